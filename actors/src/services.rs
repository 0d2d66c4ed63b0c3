//! What every actor stands on: the store, L1, the execution client, the clock, and the facts of the chain.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use ensemble_batch::{BatchHeader, ProgramKey};
use ensemble_engine_api::ExecutionClient;
use ensemble_l1::L1Client;
use ensemble_store::Store;

use crate::{Clock, WitnessSource};

/// Facts of the chain that never change while the sequencer runs.
#[derive(Clone, Debug)]
pub struct ChainFacts {
    /// L1 chain id.
    pub l1_chain_id: u64,
    /// L2 chain id.
    pub l2_chain_id: u64,
    /// `OnChainProposer` proxy.
    pub proposer: Address,
    /// `CommonBridge` proxy.
    pub bridge: Address,
    /// Hash of the L2 genesis block.
    pub l2_genesis_hash: B256,
    /// Header of batch 0.
    pub genesis_header: BatchHeader,
    /// The L2's chain configuration, canonical JSON; empty when no proofs are made (dev mode).
    pub chain_config: String,
}

impl ChainFacts {
    /// Key of the `exec` program for this chain.
    #[must_use]
    pub fn exec_program_key(&self) -> ProgramKey {
        ProgramKey::exec(&self.chain_config)
    }
}

/// Shared by all actors; cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    /// Durable state.
    pub store: Store,
    /// L1.
    pub l1: Arc<dyn L1Client>,
    /// The L2 execution client.
    pub engine: Arc<dyn ExecutionClient>,
    /// Execution witnesses.
    pub witness: Arc<dyn WitnessSource>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// The chain.
    pub chain: Arc<ChainFacts>,
}
