//! What the ProofManager reads and writes for one request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use alloy_primitives::{Address, B256};
use ensemble_batch::PublicValues;
use ensemble_contracts::{calls, errors};
use ensemble_l1::{BlockTag, L1Error};
use ensemble_messages::{
    BatchProof, FailureKind, Heartbeat, JoinProofs, LeaseId, LeaseState, PackedInput, ProofReady,
    ProofRejection, ProofTask, ProverType, SessionId, SubmitReply, Work,
};
use ensemble_prover::protocol::{InputError, InputHead, InputPacker, pack_proofs};
use ensemble_store::{BatchRecord, BatchStatus, LeaseRecord, Setback};

use super::{
    ProofManagerConfig,
    assignment::{self, Holders},
    retry::{Failure, tidy},
};
use crate::{ActorError, Services};

/// How many open batches are looked at for one request.
const OPEN_BATCHES: u32 = 256;
/// How many batches one request may set back, as their input cannot be made or their lease ran out.
const LOOKS: u32 = 8;
/// How many setbacks are read to tell the operator of them.
const SETBACKS: u32 = 1_000;

/// A try to prove a batch; `prover` is empty when it came to none.
#[derive(Clone, Copy)]
struct Tried<'a> {
    number: u64,
    prover_type: ProverType,
    prover: &'a str,
}

/// What a prover without a proof had its lease for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The lease is not this prover's, or no longer.
    Unknown,
    /// A batch, which rests now.
    Batch,
    /// A range of batches.
    Range(JoinProofs),
}

fn range_of(lease: &LeaseRecord) -> Option<JoinProofs> {
    let (first, last) = (lease.first_batch, lease.batch_number);
    (first < last).then_some(JoinProofs { first, last })
}

#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) config: Arc<ProofManagerConfig>,
    pub(super) services: Services,
    /// Inputs that some session holds, by the hash of their batch's header.
    inputs: Arc<Mutex<HashMap<B256, Weak<PackedInput>>>>,
    /// Wall clock less steady clock when this instance began, in milliseconds.
    epoch: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InputError> + Send + 'static,
) -> Result<Result<T, InputError>, ActorError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ActorError::Task(e.to_string()))
}

impl Desk {
    pub(super) fn new(config: Arc<ProofManagerConfig>, services: Services) -> Self {
        let epoch = services.clock.unix_ms().wrapping_sub(services.clock.steady_ms());
        Self { config, services, inputs: Arc::default(), epoch }
    }

    /// The time that leases and quarantines are measured in: wall-clock milliseconds when this instance began, and
    /// even since then. So a clock that is set neither ends all leases nor makes them last.
    pub(super) fn now_ms(&self) -> u64 {
        self.epoch.wrapping_add(self.services.clock.steady_ms())
    }

    /// Leases and waits of an earlier instance whose clock was ahead of ours must not outlast one lease, or the longest
    /// wait, from now.
    pub(super) async fn cap_leases(&self) -> Result<(), ActorError> {
        self.services.store.cap_setbacks(self.after(self.config.retry.longest())).await?;
        let shortened = self.services.store.cap_leases(self.lease_until()).await?;
        if shortened > 0 {
            tracing::warn!(leases = shortened, "the clock was set back since these leases were given");
        }
        Ok(())
    }

    pub(super) fn wants(&self, prover_type: ProverType) -> bool {
        self.config.checks.iter().any(|c| c.prover_type() == prover_type)
    }

    fn after(&self, wait: Duration) -> u64 {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.now_ms().saturating_add(wait).min(i64::MAX as u64)
    }

    fn lease_until(&self) -> u64 {
        self.after(self.config.lease)
    }

    async fn parent_of(&self, batch: &BatchRecord) -> Result<ensemble_batch::BatchHeader, ActorError> {
        if batch.header.number == 1 {
            return Ok(self.services.chain.genesis_header.clone());
        }
        let parent = self.services.store.batch(batch.header.number - 1).await?;
        Ok(parent
            .ok_or_else(|| ActorError::Batch(format!("batch {} is missing", batch.header.number - 1)))?
            .header)
    }

    /// What every proof of a batch must prove.
    async fn public_values(&self, batch: &BatchRecord) -> Result<PublicValues, ActorError> {
        Ok(PublicValues { from: self.parent_of(batch).await?.hash(), to: batch.header.hash() })
    }

    /// Everything that the program needs for a batch, packed; the same bytes for all who fetch them at one time.
    async fn input(&self, batch: &BatchRecord) -> Result<Arc<PackedInput>, ActorError> {
        let hash = batch.header.hash();
        if let Some(input) = lock(&self.inputs).get(&hash).and_then(Weak::upgrade) {
            return Ok(input);
        }
        let input = Arc::new(self.pack(batch).await?);
        lock(&self.inputs).insert(hash, Arc::downgrade(&input));
        Ok(input)
    }

    /// Whether so many inputs are being fetched that no other one is made.
    fn is_full(&self) -> bool {
        let mut inputs = lock(&self.inputs);
        inputs.retain(|_, input| input.strong_count() > 0);
        let held = inputs.values().filter_map(Weak::upgrade).map(|input| input.packed.len());
        held.sum::<usize>() >= self.config.max_inputs_bytes
    }

    async fn pack(&self, batch: &BatchRecord) -> Result<PackedInput, ActorError> {
        let number = batch.header.number;
        let failed = move |e: InputError| ActorError::Batch(format!("input of batch {number}: {e}"));
        let parent = self.parent_of(batch).await?;
        let head = InputHead {
            parent: &parent,
            parent_block: batch.first_block - 1,
            sealed_at: batch.header.sealed_at,
            da_payload: &batch.payload,
            blobs: &batch.blob_proofs,
            in_call_data: batch.in_call_data(),
        };
        let blocks = batch.last_block - batch.first_block + 1;
        let mut packer = InputPacker::new(head, blocks, self.config.max_input_bytes).map_err(failed)?;
        for number in batch.first_block..=batch.last_block {
            let extras = self.services.store.block_extras(number).await?;
            let witness = extras.map(|e| e.witness).filter(|w| !w.is_empty());
            let witness = witness.ok_or(ActorError::MissingWitness(number))?;
            packer = blocking(move || {
                packer.witness(&witness)?;
                Ok(packer)
            })
            .await?
            .map_err(failed)?;
        }
        let chain = Arc::clone(&self.services.chain);
        blocking(move || packer.finish(chain.chain_config.as_bytes())).await?.map_err(failed)
    }

    /// Leases a batch, or the range that is wanted, to a prover, and says which leases there were. The caller makes sure
    /// that only one request runs at a time.
    pub(super) async fn assign(
        &self,
        prover_type: ProverType,
        prover: &str,
        session: SessionId,
        holders: &Holders,
        wanted: Option<JoinProofs>,
    ) -> Result<Option<(Work, Vec<LeaseId>)>, ActorError> {
        let store = &self.services.store;
        if let Some(range) = wanted
            && let Some(given) = self.assign_range(range, prover_type, prover, session, holders).await?
        {
            return Ok(Some(given));
        }
        if self.is_full() {
            return Ok(None);
        }
        for _ in 0..LOOKS {
            let now = self.now_ms();
            let open = store.batches_without_proof(prover_type, now, OPEN_BATCHES).await?;
            if open.is_empty() {
                return Ok(None);
            }
            let leases = store.leases().await?;
            let own = |lease: &LeaseRecord| holders.own(lease, prover, session);
            let Some(number) = assignment::choose(&open, &leases, prover_type, own, now) else {
                return Ok(None);
            };
            let before = leases.iter().find(|l| assignment::is_of(l, number) && l.prover_type == prover_type);
            if let Some(expired) = before.filter(|l| l.expires_at <= now) {
                let silent = Tried { number, prover_type, prover: &expired.prover };
                self.set_back(Some(expired.id), silent, Failure::Silence, "its lease ran out").await?;
                continue;
            }
            if let Some(lost) = before.filter(|l| holders.abandoned(l.id)) {
                let crashed = Tried { number, prover_type, prover };
                let reason = "the prover came back without its proof";
                self.set_back(Some(lost.id), crashed, Failure::Told, reason).await?;
                continue;
            }
            let Some(batch) = store.batch(number).await? else { return Ok(None) };
            let input = match self.input(&batch).await {
                Ok(input) => input,
                // The other batches need not wait for what is wrong with this one.
                Err(error @ (ActorError::Batch(_) | ActorError::MissingWitness(_))) => {
                    let failure = match error {
                        ActorError::Batch(_) => Failure::Hopeless,
                        _ => Failure::Told,
                    };
                    let tried = Tried { number, prover_type, prover: "" };
                    self.set_back(None, tried, failure, &error.to_string()).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let lease = store.insert_lease(number, prover_type, prover, self.lease_until()).await?;
            tracing::info!(batch = number, %prover_type, prover, bytes = input.bytes, "batch given to a prover");
            let task = ProofTask::Batch { number };
            let live = leases.iter().map(|l| l.id).collect();
            return Ok(Some((Work { lease, task, lease_ms: self.lease_ms(), input }, live)));
        }
        Ok(None)
    }

    fn lease_ms(&self) -> u64 {
        u64::try_from(self.config.lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether proofs of this kind are taken for that many batches.
    fn takes_range(&self, prover_type: ProverType, JoinProofs { first, last }: JoinProofs) -> bool {
        prover_type.joins() && first < last && last - first < self.config.max_range
    }

    /// Leases a range to a prover, with the proofs of its batches; none when it has its proof, is verified, lacks proofs,
    /// or is with somebody else.
    async fn assign_range(
        &self,
        range: JoinProofs,
        prover_type: ProverType,
        prover: &str,
        session: SessionId,
        holders: &Holders,
    ) -> Result<Option<(Work, Vec<LeaseId>)>, ActorError> {
        let store = &self.services.store;
        let JoinProofs { first, last } = range;
        if !self.takes_range(prover_type, range) || !self.lacks_range(range, prover_type).await? {
            return Ok(None);
        }
        let leases = store.leases().await?;
        let held = leases.iter().find(|l| range_of(l) == Some(range) && l.prover_type == prover_type);
        if held.is_some_and(|l| l.expires_at > self.now_ms() && !holders.own(l, prover, session)) {
            return Ok(None);
        }
        let mut proofs = Vec::new();
        for number in first..=last {
            let stored = store.proofs_of(number).await?;
            let Some(stored) = stored.into_iter().find(|p| p.proof.prover_type == prover_type) else {
                return Ok(None);
            };
            proofs.push(stored.proof);
        }
        let max = self.config.max_input_bytes;
        let input = match blocking(move || pack_proofs(&proofs, max)).await? {
            Ok(input) => Arc::new(input),
            Err(error) => {
                tracing::warn!(first, last, %prover_type, %error, "these proofs cannot be sent to a prover");
                return Ok(None);
            }
        };
        // Those of ranges that were wanted before end here when their provers are gone.
        let now = self.now_ms();
        for old in leases.iter().filter(|l| range_of(l).is_some_and(|r| r != range) && l.expires_at <= now) {
            store.remove_lease(old.id).await?;
        }
        let lease = store.insert_range_lease(first, last, prover_type, prover, self.lease_until()).await?;
        tracing::info!(first, last, %prover_type, prover, "proofs given to a prover, to make one of them");
        let task = ProofTask::Join { first, last };
        let live = leases.iter().map(|l| l.id).collect();
        Ok(Some((Work { lease, task, lease_ms: self.lease_ms(), input }, live)))
    }

    /// Whether a range is still to be verified and has no proof of this kind.
    async fn lacks_range(&self, range: JoinProofs, prover_type: ProverType) -> Result<bool, ActorError> {
        let store = &self.services.store;
        let open = store.batch(range.first).await?.is_some_and(|b| b.status != BatchStatus::Verified);
        let stored = store.range_proofs_from(range.first).await?;
        let is_it = |p: &BatchProof| p.batch_number == range.last && p.prover_type == prover_type;
        Ok(open && !stored.iter().any(|p| is_it(&p.proof)))
    }

    /// Counts a failure and has the batch rest. False when the lease it belongs to is gone.
    async fn set_back(
        &self,
        lease: Option<LeaseId>,
        tried: Tried<'_>,
        failure: Failure,
        reason: &str,
    ) -> Result<bool, ActorError> {
        let Tried { number, prover_type, prover } = tried;
        let store = &self.services.store;
        let before = store.setback(number, prover_type).await?.map_or(0, |s| s.failures);
        let retry = &self.config.retry;
        let (failures, wait) = retry.after(before, failure);
        let setback = Setback {
            batch_number: number,
            prover_type,
            failures,
            retry_at: self.after(wait),
            prover: prover.to_owned(),
            reason: tidy(reason),
        };
        if !store.set_back(lease, &setback).await? {
            return Ok(false);
        }
        let (reason, wait) = (setback.reason, wait.as_secs());
        if retry.is_degraded(failures) && !retry.is_degraded(before) {
            tracing::error!(
                batch = number, %prover_type, prover, failures, reason, retry_in_s = wait,
                "the batch is degraded: it is tried at long intervals only; see `Batches without a proof` in \
                 docs/operations.md"
            );
        } else {
            tracing::warn!(batch = number, %prover_type, prover, failures, reason, retry_in_s = wait, "no proof");
        }
        Ok(true)
    }

    /// A prover has no proof for its lease.
    pub(super) async fn failed(
        &self,
        lease: LeaseId,
        prover: &str,
        kind: FailureKind,
        reason: &str,
    ) -> Result<Failed, ActorError> {
        let store = &self.services.store;
        let leases = store.leases().await?;
        let Some(held) = leases.iter().find(|l| l.id == lease && l.prover == prover) else {
            return Ok(Failed::Unknown);
        };
        if let Some(range) = range_of(held) {
            store.remove_lease(lease).await?;
            return Ok(Failed::Range(range));
        }
        let tried = Tried { number: held.batch_number, prover_type: held.prover_type, prover };
        let counted = self.set_back(Some(lease), tried, Failure::Told, &format!("{kind}: {reason}")).await?;
        Ok(if counted { Failed::Batch } else { Failed::Unknown })
    }

    /// What the operator has to know of batches that have no proof, if anything.
    pub(super) async fn trouble(&self) -> Result<Option<String>, ActorError> {
        Ok(self.config.retry.trouble(&self.services.store.setbacks(SETBACKS).await?))
    }

    /// Ends a lease of this prover; a lease of another one stays. Gives the range that it was for, if it was for one.
    pub(super) async fn give_back(
        &self,
        lease: LeaseId,
        prover: &str,
    ) -> Result<Option<JoinProofs>, ActorError> {
        let store = &self.services.store;
        let leases = store.leases().await?;
        let Some(held) = leases.iter().find(|l| l.id == lease && l.prover == prover) else {
            return Ok(None);
        };
        store.remove_lease(lease).await?;
        Ok(range_of(held))
    }

    /// Prolongs a lease of this prover, or says what became of it.
    pub(super) async fn prolong(&self, message: &Heartbeat) -> Result<LeaseState, ActorError> {
        let Heartbeat { session: _, prover, lease, task } = message;
        let store = &self.services.store;
        let own = store.leases().await?.iter().any(|l| l.id == *lease && l.prover == prover.name);
        if let ProofTask::Join { first, last } = *task
            && !self.lacks_range(JoinProofs { first, last }, prover.prover_type).await?
        {
            // Verified one by one, so its lease is still there.
            if own {
                store.remove_lease(*lease).await?;
            }
            return Ok(LeaseState::Done);
        }
        if own && store.extend_lease(*lease, self.lease_until()).await? {
            return Ok(LeaseState::Alive);
        }
        let number = match *task {
            ProofTask::Batch { number } => number,
            ProofTask::Join { .. } => return Ok(LeaseState::Lost),
        };
        let open = match store.batch(number).await? {
            Some(batch) => batch.status != BatchStatus::Verified,
            None => false,
        };
        let there = store.proofs_of(number).await?.iter().any(|p| p.proof.prover_type == prover.prover_type);
        Ok(if open && !there { LeaseState::Lost } else { LeaseState::Done })
    }

    /// Why the verifier on L1 does not take a proof; none when it does.
    async fn refused_on_l1(
        &self,
        verifier: Address,
        proof: &BatchProof,
    ) -> Result<Option<String>, ActorError> {
        let values = proof.public_values.abi_encode();
        let data = calls::verify_proof(proof.program_key.0, &values, &proof.proof);
        match self.services.l1.call(verifier, data, BlockTag::Latest).await {
            // The function gives nothing back. Anything else is not the verifier.
            Ok(answer) if answer.is_empty() => Ok(None),
            Ok(_) => Ok(Some(format!("the contract at {verifier} is no verifier"))),
            Err(L1Error::ExecutionReverted { data, .. }) => Ok(Some(errors::describe_revert(&data))),
            Err(error) => Err(error.into()),
        }
    }

    /// The first batch of the range that a proof says it is for, by where its public values begin; none when that is no
    /// range.
    async fn first_of(&self, proof: &BatchProof) -> Result<Option<BatchRecord>, ActorError> {
        let store = &self.services.store;
        let from = proof.public_values.from;
        let parent = match store.batch_by_hash(from).await? {
            Some(parent) => parent.header.number,
            None if self.services.chain.genesis_header.hash() == from => 0,
            None => return Ok(None),
        };
        let range = JoinProofs { first: parent + 1, last: proof.batch_number };
        if !self.takes_range(proof.prover_type, range) {
            return Ok(None);
        }
        Ok(store.batch(range.first).await?)
    }

    /// Checks a proof, of a batch or of a range of batches, and keeps it. An `Err` means that it could not be looked at now.
    pub(super) async fn accept(&self, proof: &BatchProof, prover: &str) -> Result<SubmitReply, ActorError> {
        let store = &self.services.store;
        let rejected = |why| Ok(SubmitReply::Rejected(why));
        let Some(check) = self.config.checks.iter().find(|c| c.prover_type() == proof.prover_type) else {
            return rejected(ProofRejection::NotWanted);
        };
        let Some(batch) = store.batch(proof.batch_number).await? else {
            return rejected(ProofRejection::NotWanted);
        };
        let mut expected = self.public_values(&batch).await?;
        let first =
            if proof.public_values.from == expected.from { None } else { self.first_of(proof).await? };
        if let Some(first) = &first {
            // Its batches were verified one by one meanwhile; the prover is not to blame.
            if first.status == BatchStatus::Verified {
                return rejected(ProofRejection::NotWanted);
            }
            expected.from = self.parent_of(first).await?.hash();
        }
        if proof.public_values != expected {
            return rejected(ProofRejection::WrongPublicValues { expected, got: proof.public_values });
        }
        if proof.program_key != check.program_key() {
            return rejected(ProofRejection::WrongProgram {
                expected: check.program_key(),
                got: proof.program_key,
            });
        }
        let on_chain = check.verifier();
        let (check, checked) = (Arc::clone(check), proof.clone());
        let verdict = tokio::task::spawn_blocking(move || check.check(&checked))
            .await
            .map_err(|e| ActorError::Task(e.to_string()))?;
        let proof = match verdict {
            Ok(for_l1) => BatchProof { proof: for_l1, ..proof.clone() },
            Err(why) => return rejected(ProofRejection::Invalid(why)),
        };
        if let Some(verifier) = on_chain
            && let Some(why) = self.refused_on_l1(verifier, &proof).await?
        {
            return rejected(ProofRejection::Invalid(why));
        }
        let is_new = match first {
            Some(first) => {
                let first = first.header.number;
                tracing::info!(first, last = proof.batch_number, prover, "one proof of these batches");
                store.insert_range_proof(first, &proof, prover).await?
            }
            None => store.insert_proof(&proof, prover).await?,
        };
        Ok(if is_new { SubmitReply::Accepted } else { SubmitReply::Duplicate })
    }

    /// The batch, when enough of its proofs are there and it is not verified yet.
    pub(super) async fn ready(&self, number: u64) -> Result<Option<ProofReady>, ActorError> {
        let store = &self.services.store;
        match store.batch(number).await? {
            Some(batch) if batch.status != BatchStatus::Verified => {}
            Some(_) | None => return Ok(None),
        }
        let there: Vec<ProverType> =
            store.proofs_of(number).await?.iter().map(|p| p.proof.prover_type).collect();
        let enough = self.config.policy.is_enough(&there);
        Ok(enough.then_some(ProofReady { batch_number: number, prover_types: there }))
    }

    /// The first batch that is not verified, when enough of its proofs are there.
    pub(super) async fn next_ready(&self) -> Result<Option<ProofReady>, ActorError> {
        let verified = self
            .services
            .store
            .last_batch_at_least(BatchStatus::Verified)
            .await?
            .map_or(0, |b| b.header.number);
        self.ready(verified + 1).await
    }
}
