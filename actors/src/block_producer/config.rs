//! Settings of the BlockProducer.

use std::time::Duration;

use alloy_primitives::Address;
use ensemble_batch::BatchLimits;

/// Settings of the BlockProducer.
#[derive(Clone, Debug)]
pub struct BlockProducerConfig {
    /// Time between blocks.
    pub(crate) interval: Duration,
    /// Receives the execution fees.
    pub(crate) coinbase: Address,
    /// Whether a block is made when there is nothing to put into it.
    pub(crate) empty_blocks: bool,
    /// At most this many deposits per block.
    pub(crate) max_deposits_per_block: u32,
    /// What a batch of the L1Committer holds.
    pub(crate) batch: BatchLimits,
}

/// The settings contradict the rules of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Blocks faster than their timestamps.
    #[error(
        "proposer.interval_ms is {0}, but block timestamps are whole seconds and must grow: use 1000 or more"
    )]
    IntervalTooShort(u128),
}

impl BlockProducerConfig {
    /// Checks and keeps the settings. `batch` is what a batch of the L1Committer holds, so that no block is made that cannot
    /// be committed.
    ///
    /// # Errors
    /// When blocks would come faster than once a second.
    pub fn new(
        interval: Duration,
        coinbase: Address,
        empty_blocks: bool,
        max_deposits_per_block: u32,
        batch: BatchLimits,
    ) -> Result<Self, ConfigError> {
        if interval < Duration::from_secs(1) {
            return Err(ConfigError::IntervalTooShort(interval.as_millis()));
        }
        Ok(Self {
            interval,
            coinbase,
            empty_blocks,
            max_deposits_per_block: max_deposits_per_block.max(1),
            batch,
        })
    }
}
