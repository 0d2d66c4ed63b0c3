//! The work of the ProofSender.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use alloy_primitives::{B256, Bytes, hex};
use async_trait::async_trait;
use ensemble_contracts::{calls, errors, returns};
use ensemble_l1::{BlockTag, L1Error};
use ensemble_messages::{
    BatchVerified, IntentId, IntentKind, JoinProofs, ProverType, Send, SenderRole, TxFailed, TxIntent,
};
use ensemble_store::{BatchRecord, BatchStatus, IntentRecord, IntentState, StoredProof};
use ensemble_supervision::Outlet;

use super::{
    ProofSenderConfig,
    ranges::{Plan, Proven, Ranges},
};
use crate::{
    ActorError, Services,
    fanout::Fanout,
    missing::Missing,
    services::ask,
    stepper::{Next, Worker},
};

/// Where the messages of the ProofSender go.
#[derive(Clone, Debug)]
pub struct ProofSenderOutlets {
    /// L1Sender.
    pub sender: Outlet<Send>,
    /// ProofManager: proofs of a range are wanted.
    pub join_proofs: Fanout<JoinProofs>,
    /// A batch is verified on L1.
    pub batch_verified: Fanout<BatchVerified>,
}

/// What the actor tells its worker.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) failed: Option<TxFailed>,
    /// Nobody makes the proof of this range.
    pub(super) given_up: Option<JoinProofs>,
}

#[derive(Debug)]
pub(crate) struct ProofSenderWorker {
    config: ProofSenderConfig,
    services: Services,
    out: Arc<ProofSenderOutlets>,
    inbox: Rc<RefCell<Inbox>>,
    /// What L1Sender was last asked for by this instance, and the last batch of it.
    asked: Option<(IntentId, u64)>,
    ranges: Ranges,
    /// Proofs that were removed because L1 refuses them: the first batch not verified then, and how many.
    refused: (u64, u32),
    missing: Missing,
}

/// So many proofs of a batch are made anew when L1 refuses them: provers and contract do not fit together then.
const MAX_REFUSED: u32 = 3;

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
        Self {
            config,
            services,
            out,
            inbox,
            asked: None,
            ranges: Ranges::default(),
            refused: (0, 0),
            missing: Missing::default(),
        }
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
            let transaction = self.transaction_of(number).await?;
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

    /// The transaction that verified a batch, by itself or with others; see [`Services::transaction_of`].
    async fn transaction_of(&self, number: u64) -> Result<Option<B256>, ActorError> {
        let confirmed = self.confirmed(number).await?.map(|record| record.intent);
        let under_way = self.under_way(number.saturating_sub(1)).await?.into_iter().map(|(_, intent)| intent);
        for intent in confirmed.into_iter().chain(under_way).filter(|i| i.kind.verifies(number)) {
            if let Some(transaction) = self.services.transaction_of(&intent.id).await? {
                return Ok(Some(transaction));
            }
        }
        Ok(None)
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
            if let Some(record) = self.confirmed(number).await? {
                store.fail_intent(&record.intent.id, "L1 no longer has it").await?;
            }
        }
        self.asked = None;
        self.missing.none();
        Ok(false)
    }

    /// A batch's verification, by itself or with others, when L1Sender has confirmed it.
    async fn confirmed(&self, number: u64) -> Result<Option<IntentRecord>, ActorError> {
        for record in self.services.store.confirmed_verifications(number).await? {
            if self.is_current(&record.intent).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Whether it verifies the batches of the store, not others that had their numbers before a revert on L1.
    async fn is_current(&self, intent: &TxIntent) -> Result<bool, ActorError> {
        let IntentKind::VerifyBatches { last, .. } = intent.kind else { return Ok(false) };
        let batch = self.services.store.batch(last).await?;
        Ok(batch.is_some_and(|batch| intent_id(&batch) == intent.id))
    }

    /// Verifications of batches after `verified` that L1Sender looks after, the first batches first: no other one is
    /// asked for meanwhile that has a batch of theirs (SEQ-INV-5).
    async fn under_way(&self, verified: u64) -> Result<Vec<(u64, TxIntent)>, ActorError> {
        let mut found = Vec::new();
        for intent in self.services.store.pending_intents(SenderRole::Prover).await? {
            if let IntentKind::VerifyBatches { first, last } = intent.kind
                && last > verified
                && self.is_current(&intent).await?
            {
                found.push((first, intent));
            }
        }
        found.sort_by_key(|(first, _)| *first);
        Ok(found)
    }

    /// L1 did not take a verification. Batches of a range go one by one from now on, and proofs that their verifier
    /// refuses are removed, so that others are made.
    async fn not_taken(&mut self, id: IntentId, kind: IntentKind, reason: String) -> ActorError {
        self.asked = None;
        if let IntentKind::VerifyBatches { first, last } = kind {
            if last > first {
                tracing::warn!(
                    first,
                    last,
                    reason,
                    "L1 does not take these batches together: one by one now"
                );
                self.ranges.one_by_one(last);
            }
            if let Err(error) = self.remove_refused(first, last).await {
                return error;
            }
        }
        ActorError::Transaction { id: id.to_string(), reason }
    }

    async fn remove_refused(&mut self, first: u64, last: u64) -> Result<(), ActorError> {
        let Services { store, l1, .. } = &self.services;
        let proofs = if first == last {
            store.proofs_of(first).await?
        } else {
            store
                .range_proofs_from(first)
                .await?
                .into_iter()
                .filter(|p| p.proof.batch_number == last)
                .collect()
        };
        for StoredProof { proof, prover } in proofs {
            let kind = proof.prover_type;
            let Some(verifier) = self.config.verifiers.iter().find(|v| v.kind == kind) else { continue };
            let values = proof.public_values.abi_encode();
            let data = calls::verify_proof(verifier.program_key.0, &values, &proof.proof);
            let why = match l1.call(verifier.address, data, BlockTag::Latest).await {
                Ok(_) => continue,
                Err(L1Error::ExecutionReverted { data, .. }) => errors::describe_revert(&data),
                Err(error) => return Err(error.into()),
            };
            if self.refused.0 != first {
                self.refused = (first, 0);
            }
            if self.refused.1 >= MAX_REFUSED {
                tracing::error!(
                    first, last, %kind, why, verifier = %verifier.address,
                    "L1 refuses one proof after the other: compare the provers' program and keys with the contract's"
                );
                continue;
            }
            self.refused.1 += 1;
            tracing::error!(first, last, %kind, prover, why, "L1 refuses this proof: removed, to be made anew");
            if first == last {
                store.remove_proof(first, kind).await?;
            } else {
                store.remove_range_proof(first, last, kind).await?;
            }
        }
        Ok(())
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

    /// Whether proofs of the same batches are enough.
    fn is_enough(&self, proofs: &[StoredProof]) -> bool {
        let kinds: Vec<ProverType> = proofs.iter().map(|p| p.proof.prover_type).collect();
        self.config.policy.is_enough(&kinds)
    }

    /// Proofs in the order of the contract, empty where one is not given.
    fn in_order(&self, proofs: &[StoredProof]) -> Vec<Bytes> {
        let of = |kind| proofs.iter().find(|p| p.proof.prover_type == kind).map(|p| p.proof.proof.clone());
        let slots = self.config.policy.slots.iter();
        slots.map(|slot| slot.and_then(|slot| of(slot.kind)).unwrap_or_default()).collect()
    }

    /// From `first` on without a gap and before `end`, the last batch that is committed and has its proofs; none when
    /// the first has not.
    async fn last_proven(&self, first: u64, end: u64) -> Result<Option<u64>, ActorError> {
        let store = &self.services.store;
        let committed = store.batches_at(BatchStatus::Committed).await?;
        let mut last = None;
        for number in first..first.saturating_add(self.config.ranges.max_batches.max(1)).min(end) {
            if committed.binary_search(&number).is_err() || !self.is_enough(&store.proofs_of(number).await?) {
                break;
            }
            last = Some(number);
        }
        Ok(last)
    }

    /// Proofs of ranges that begin with `first` and are enough, by their last batch. Where the contract wants none, none
    /// are enough for all that is there.
    async fn joined(&self, first: u64, proven: u64) -> Result<BTreeMap<u64, Vec<StoredProof>>, ActorError> {
        if self.config.ranges.max_batches <= 1 {
            return Ok(BTreeMap::new());
        }
        if self.is_enough(&[]) {
            return Ok(BTreeMap::from([(proven, Vec::new())]));
        }
        let mut joined = BTreeMap::<u64, Vec<StoredProof>>::new();
        for stored in self.services.store.range_proofs_from(first).await? {
            joined.entry(stored.proof.batch_number).or_default().push(stored);
        }
        joined.retain(|_, proofs| self.is_enough(proofs));
        Ok(joined)
    }

    async fn ask(&mut self, intent: TxIntent) -> Result<(), ActorError> {
        let IntentKind::VerifyBatches { last, .. } = intent.kind else { return Ok(()) };
        let id = intent.id.clone();
        ask(&self.out.sender, intent).await?;
        self.asked = Some((id, last));
        Ok(())
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
        let failed = self.inbox.borrow_mut().failed.take();
        if let Some(failed) = failed {
            return Err(self.not_taken(failed.id, failed.kind, failed.reason).await);
        }
        let given_up = self.inbox.borrow_mut().given_up.take();
        if let Some(JoinProofs { first, last }) = given_up {
            self.ranges.given_up(first, last);
        }
        let store = self.services.store.clone();
        if let Some((id, asked)) = self.asked.clone()
            && asked > last
        {
            // The message that it failed may have been lost.
            return match store.intent(&id).await? {
                Some(IntentRecord { intent, state: IntentState::Failed { reason } }) => {
                    Err(self.not_taken(id, intent.kind, reason).await)
                }
                Some(_) | None => Ok(idle),
            };
        }
        let first = last + 1;
        let mut end = u64::MAX;
        if let Some((begin, intent)) = self.under_way(last).await?.into_iter().next() {
            if begin <= first {
                self.ask(intent).await?;
                return Ok(idle);
            }
            end = begin;
        }
        let Some(proven) = self.last_proven(first, end).await? else { return Ok(idle) };
        let joined = self.joined(first, proven).await?;
        let ends: Vec<u64> = joined.keys().copied().collect();
        let proven = Proven { first, last: proven, joined: &ends };
        let now = self.services.clock.steady_ms();
        let last = match self.ranges.plan(&self.config.ranges, &proven, now) {
            Plan::Verify { last } => last,
            Plan::Join { last } => {
                self.out.join_proofs.send(&JoinProofs { first, last });
                return Ok(idle);
            }
            Plan::Collect => return Ok(idle),
        };
        let Some(batch) = store.batch(last).await? else { return Ok(idle) };
        if let Err(error) = self.check_deposits(&batch).await {
            if last == first || !matches!(error, ActorError::DepositsNotOnL1 { .. }) {
                return Err(error);
            }
            // Those before it may have theirs.
            self.ranges.singly_to(last);
            return Ok(Next::Now);
        }
        let proofs = match joined.get(&last) {
            Some(proofs) if last > first => self.in_order(proofs),
            Some(_) | None => self.in_order(&store.proofs_of(last).await?),
        };
        self.ask(TxIntent {
            id: intent_id(&batch),
            role: SenderRole::Prover,
            kind: IntentKind::VerifyBatches { first, last },
            to: self.services.chain.proposer,
            data: calls::verify_batches(&batch.header, &proofs),
            blobs: 0,
        })
        .await?;
        Ok(idle)
    }
}
