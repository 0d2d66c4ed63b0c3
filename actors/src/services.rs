//! What every actor stands on: the store, L1, the execution client, the clock, and the facts of the chain.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use ensemble_batch::{BatchHeader, ProgramKey};
use ensemble_engine_api::ExecutionClient;
use ensemble_l1::L1Client;
use ensemble_messages::{IntentId, Send, SendReply, TxIntent};
use ensemble_store::{IntentState, Store, StoreError};
use ensemble_supervision::Outlet;

use crate::{ActorError, Clock, WitnessSource};

/// How long L1Sender may take to note an intent.
const ACCEPT: Duration = Duration::from_secs(30);

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

impl Services {
    /// The transaction that has had an intent's effect on L1: the one that L1Sender has confirmed, or, as L1 shows the
    /// effect before that, the one of those signed for it that is mined. None when others did it, or L1 does not say: it
    /// is for people to see, nothing is decided by it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn transaction_of(&self, id: &IntentId) -> Result<Option<B256>, StoreError> {
        match self.store.intent(id).await?.map(|record| record.state) {
            Some(IntentState::Confirmed { transaction }) => return Ok(Some(transaction)),
            Some(IntentState::Pending) => {}
            Some(IntentState::Failed { .. }) | None => return Ok(None),
        }
        for signed in self.store.signed_of(id).await? {
            match self.l1.receipt(signed.hash).await {
                Ok(Some(receipt)) if receipt.status => return Ok(Some(signed.hash)),
                Ok(_) => {}
                Err(error) => tracing::debug!(%id, %error, "which transaction it was"),
            }
        }
        Ok(None)
    }
}

/// Asks L1Sender for an intent. None when it looks after it now; its transaction when that is confirmed already.
///
/// # Errors
/// [`ActorError::Peer`] when it does not answer or refuses.
pub(crate) async fn ask(sender: &Outlet<Send>, intent: TxIntent) -> Result<Option<B256>, ActorError> {
    let failed = |reason| ActorError::Peer { component: "l1_sender", reason };
    match sender.call_timeout(Send { intent }, ACCEPT).await.map_err(|e| failed(e.to_string()))? {
        SendReply::Accepted => Ok(None),
        SendReply::AlreadyConfirmed { transaction } => Ok(Some(transaction)),
        SendReply::Refused { reason } => Err(failed(reason)),
    }
}
