//! Settings of the L1Watcher.

use std::{str::FromStr, time::Duration};

/// When an L1 block counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmations {
    /// The L1's `safe` block.
    Safe,
    /// The L1's `finalized` block.
    Finalized,
    /// The head less this many blocks; 0 is the head itself, for a devnet.
    Depth(u64),
}

impl FromStr for Confirmations {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "safe" => Ok(Self::Safe),
            "finalized" => Ok(Self::Finalized),
            number => number
                .parse()
                .map(Self::Depth)
                .map_err(|_| format!("`{number}` is not safe, finalized or a number of blocks")),
        }
    }
}

/// Settings of the L1Watcher.
#[derive(Clone, Debug)]
pub struct L1WatcherConfig {
    /// Time between looks at L1.
    pub check_interval: Duration,
    /// At most this many blocks per `eth_getLogs`.
    pub max_block_step: u64,
    /// When a block counts.
    pub confirmations: Confirmations,
    /// First block that can hold a deposit: that of the bridge's deployment.
    pub start_block: u64,
}
