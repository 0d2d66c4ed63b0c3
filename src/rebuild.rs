//! The L2 from L1 alone: [`ensemble_rebuild`] with the configuration of a sequencer. `ensemble rebuild` does it.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;

pub use ensemble_rebuild::*;

use crate::{
    StartError,
    config::{Config, Confirmations},
    execution_client, l1_client, l2_facts,
};

/// A rebuild of the L2 whose proposer is at this address, into the execution client of the configuration: blobs come from
/// `[rebuild]`, commits count up to `watcher.confirmations`. Waits until L1 and the client can be asked.
///
/// # Errors
/// [`StartError`] when L1 or the client is not what the configuration says, [`RebuildError::BeaconUrl`].
pub async fn of_config(
    config: &Config,
    proposer: Address,
    last_batch: Option<u64>,
) -> Result<Rebuild, RebuildStartError> {
    let l1 = l1_client(config)?;
    let engine = execution_client(config)?;
    let facts = l2_facts(config, &engine, false).await?;
    let l1_chain_id = crate::startup::l1_chain(config, &l1).await?;
    let mut sources: Vec<Arc<dyn BlobSource>> = Vec::new();
    for url in &config.rebuild.beacon_url {
        sources.push(Arc::new(BeaconApi::new(url.expose())?));
    }
    let mut blobs = Blobs::new(sources);
    if let Some(path) = &config.rebuild.archive_path {
        blobs = blobs.keep_in(Directory::new(path));
    }
    let settings = Settings {
        start_block: config.watcher.start_block.unwrap_or(0),
        max_block_step: config.watcher.max_block_step,
        up_to: match config.watcher.confirmations {
            Confirmations::Finalized => UpTo::Finalized,
            Confirmations::Safe => UpTo::Safe,
            Confirmations::Blocks(depth) => UpTo::Depth(depth),
        },
        last_batch,
        poll: Duration::from_millis(config.rebuild.check_interval_ms),
        ..Settings::default()
    };
    let contracts = Contracts { proposer, l1_chain_id, l2_chain_id: facts.chain_id };
    Ok(Rebuild::new(l1, engine, blobs, contracts, settings))
}

/// Why a rebuild cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RebuildStartError {
    /// L1 or the execution client.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A source of blobs.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

impl ensemble_error::Classify for RebuildStartError {
    fn severity(&self) -> ensemble_error::Severity {
        match self {
            Self::Start(error) => error.severity(),
            Self::Rebuild(error) => error.severity(),
        }
    }
}
