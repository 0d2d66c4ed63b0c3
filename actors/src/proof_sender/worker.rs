//! The work of the ProofSender.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use alloy_primitives::{Bytes, hex};
use async_trait::async_trait;
use ensemble_contracts::{calls, returns};
use ensemble_l1::{BlockTag, L1Error};
use ensemble_messages::{
    BatchVerified, IntentId, IntentKind, Send, SendReply, SenderRole, TxFailed, TxIntent,
};
use ensemble_store::{BatchRecord, BatchStatus, IntentState};
use ensemble_supervision::Outlet;

use super::ProofSenderConfig;
use crate::{
    ActorError, Services,
    fanout::Fanout,
    missing::Missing,
    stepper::{Next, Worker},
};

/// Where the messages of the ProofSender go.
#[derive(Clone, Debug)]
pub struct ProofSenderOutlets {
    /// L1Sender.
    pub sender: Outlet<Send>,
    /// A batch is verified on L1.
    pub batch_verified: Fanout<BatchVerified>,
}

/// What the actor tells its worker.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) failed: Option<TxFailed>,
}

#[derive(Debug)]
pub(crate) struct ProofSenderWorker {
    config: ProofSenderConfig,
    services: Services,
    out: Arc<ProofSenderOutlets>,
    inbox: Rc<RefCell<Inbox>>,
    /// Batch that L1Sender was asked for by this instance.
    asked: u64,
    missing: Missing,
}

fn intent_id(batch: &BatchRecord) -> IntentId {
    let hash = batch.header.hash();
    IntentId(format!("verify-{}-{}", batch.header.number, hex::encode(&hash[..8])))
}

impl ProofSenderWorker {
    pub(super) fn new(
        config: ProofSenderConfig,
        services: Services,
        out: Arc<ProofSenderOutlets>,
        inbox: Rc<RefCell<Inbox>>,
    ) -> Self {
        Self { config, services, out, inbox, asked: 0, missing: Missing::default() }
    }

    /// Notes what L1 has verified since the last look.
    async fn note_verified(&self, last: u64) -> Result<(), ActorError> {
        let store = &self.services.store;
        let known = store.last_batch_at_least(BatchStatus::Verified).await?.map_or(0, |b| b.header.number);
        for number in known + 1..=last {
            let Some(batch) = store.batch(number).await? else {
                return Err(ActorError::L1Diverged {
                    what: "the last verified batch".to_owned(),
                    l1: last.to_string(),
                    store: (number - 1).to_string(),
                });
            };
            let transaction = match store.intent(&intent_id(&batch)).await?.map(|r| r.state) {
                Some(IntentState::Confirmed { transaction }) => Some(transaction),
                _ => None,
            };
            if store.mark_verified(number, transaction).await? {
                self.out.batch_verified.send(&BatchVerified {
                    number,
                    last_block: batch.last_block,
                    transaction,
                });
                store.prune_witnesses(batch.last_block).await?;
            }
        }
        Ok(())
    }

    /// Looks for verifications that L1 no longer has although they were seen there or confirmed: a reorg. True while that
    /// is not certain; then they are forgotten here, to be sent anew.
    async fn is_missing(&mut self, last: u64) -> Result<bool, ActorError> {
        let Services { store, l1, chain, .. } = &self.services;
        let known = store.last_batch_at_least(BatchStatus::Verified).await?.map_or(0, |b| b.header.number);
        let confirmed = self.confirmed(last + 1).await?.is_some();
        if known <= last && !confirmed {
            self.missing.none();
            return Ok(false);
        }
        let head =
            l1.block(BlockTag::Latest).await?.ok_or(ActorError::ClientNotReady("without an L1 head"))?;
        let at = BlockTag::Number(head.number);
        if returns::u64(&l1.call(chain.proposer, calls::last_verified_batch(), at).await?)? > last {
            self.missing.none();
            return Ok(true);
        }
        if !self.missing.at(last + 1, head.number) {
            return Ok(true);
        }
        let batches = store.unverify_above(last).await?;
        tracing::warn!(last_verified = last, batches, "L1 dropped verifications; they are sent again");
        for number in last + 1..=known.max(last + 1) {
            if let Some(id) = self.confirmed(number).await? {
                store.fail_intent(&id, "L1 no longer has it").await?;
            }
        }
        self.asked = last;
        self.missing.none();
        Ok(false)
    }

    /// The name of a batch's verification, when L1Sender has confirmed it.
    async fn confirmed(&self, number: u64) -> Result<Option<IntentId>, ActorError> {
        let store = &self.services.store;
        let Some(batch) = store.batch(number).await? else { return Ok(None) };
        let id = intent_id(&batch);
        let state = store.intent(&id).await?.map(|r| r.state);
        Ok(matches!(state, Some(IntentState::Confirmed { .. })).then_some(id))
    }

    /// Whether L1 has the deposits of a batch as the batch has them: else its verification would revert.
    async fn check_deposits(&self, batch: &BatchRecord) -> Result<(), ActorError> {
        let Services { l1, chain, .. } = &self.services;
        let header = &batch.header;
        let data = calls::deposit_checkpoint(header.deposits_index);
        let on_l1 = match l1.call(chain.bridge, data, BlockTag::Latest).await {
            Ok(answer) => Some(returns::deposit_checkpoint(&answer)?.rolling_hash),
            // There are not so many.
            Err(L1Error::ExecutionReverted { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if on_l1 == Some(header.deposits_hash) {
            return Ok(());
        }
        Err(ActorError::DepositsNotOnL1 { batch: header.number, deposit: header.deposits_index })
    }

    /// The proofs of a batch in the order of the contract, empty where one is not given; none while they are not enough.
    async fn proofs(&self, number: u64) -> Result<Option<Vec<Bytes>>, ActorError> {
        let stored = self.services.store.proofs_of(number).await?;
        let policy = &self.config.policy;
        if !policy.is_enough(&stored.iter().map(|p| p.proof.prover_type).collect::<Vec<_>>()) {
            return Ok(None);
        }
        let of = |kind| stored.iter().find(|p| p.proof.prover_type == kind).map(|p| p.proof.proof.clone());
        Ok(Some(
            policy.slots.iter().map(|slot| slot.and_then(|slot| of(slot.kind)).unwrap_or_default()).collect(),
        ))
    }
}

#[async_trait(?Send)]
impl Worker for ProofSenderWorker {
    async fn step(&mut self) -> Result<Next, ActorError> {
        let idle = Next::After(self.config.poll);
        let last = {
            let Services { l1, chain, .. } = &self.services;
            returns::u64(&l1.call(chain.proposer, calls::last_verified_batch(), BlockTag::Latest).await?)?
        };
        self.note_verified(last).await?;
        if self.is_missing(last).await? {
            return Ok(idle);
        }
        let Services { store, chain, .. } = &self.services;
        let failed = self.inbox.borrow_mut().failed.take();
        if let Some(failed) = failed {
            self.asked = 0;
            return Err(ActorError::Transaction { id: failed.id.to_string(), reason: failed.reason });
        }
        let number = last + 1;
        let Some(batch) = store.batch(number).await? else { return Ok(idle) };
        if self.asked >= number {
            // The message that it failed may have been lost.
            if let Some(IntentState::Failed { reason }) =
                store.intent(&intent_id(&batch)).await?.map(|r| r.state)
            {
                self.asked = 0;
                return Err(ActorError::Transaction { id: intent_id(&batch).to_string(), reason });
            }
            return Ok(idle);
        }
        if batch.status != BatchStatus::Committed {
            return Ok(idle);
        }
        let Some(proofs) = self.proofs(number).await? else { return Ok(idle) };
        self.check_deposits(&batch).await?;
        let intent = TxIntent {
            id: intent_id(&batch),
            role: SenderRole::Prover,
            kind: IntentKind::VerifyBatches { last: number },
            to: chain.proposer,
            data: calls::verify_batches(&batch.header, &proofs),
            blobs: 0,
        };
        let reply = self
            .out
            .sender
            .call_timeout(Send { intent }, Duration::from_secs(30))
            .await
            .map_err(|e| ActorError::Peer { component: "l1_sender", reason: e.to_string() })?;
        match reply {
            SendReply::Accepted | SendReply::AlreadyConfirmed { .. } => self.asked = number,
            SendReply::Refused { reason } => return Err(ActorError::Peer { component: "l1_sender", reason }),
        }
        Ok(idle)
    }
}
