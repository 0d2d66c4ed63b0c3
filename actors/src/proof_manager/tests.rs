//! Tests of the component with a real actor, a real store and real attestations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Address, B256, Bytes};
use ensemble_batch::{BatchInput, ProgramKey, PublicValues, call_data_hash};
use ensemble_l1::L1Error;
use ensemble_messages::{
    BatchCommitted, BatchProof, BatchVerified, FailureKind, Heartbeat, JoinGivenUp, JoinProofs, LeaseId,
    LeaseState, PackedInput, ProofReady, ProofRejection, ProofTask, ProverIdentity, ProverType,
    ProvingFailed, Register, RequestWork, SessionEnded, SessionId, SubmitProof, SubmitReply, Work, WorkReply,
};
use ensemble_prover::{
    attestation::{self, AttestationDomain, AttestationKey},
    protocol::{InputReader, decode_input, decode_proofs},
};
use ensemble_store::{BatchRecord, BlockExtras};
use ensemble_supervision::{CallError, ComponentState, faults};
use futures::future::join_all;
use tokio::sync::mpsc::Receiver;

use super::{
    AttestationCheck, OnChainCheck, ProofCheck, ProofManager, ProofManagerConfig, ProofManagerOutlets,
    ProofPolicy, RetryPolicy,
};
use crate::{
    Step,
    testing::{Bed, L1_CHAIN, Running, next, run, tap},
};

const LEASE_MS: u64 = 60_000;
const QUARANTINE_MS: u64 = 600_000;
const RETRY: RetryPolicy = RetryPolicy {
    budget: 3,
    first_wait: Duration::from_millis(1_000),
    longest_wait: Duration::from_millis(10_000),
    degraded_wait: Duration::from_millis(100_000),
};

struct Managing {
    run: Running<ProofManager>,
    ready: Receiver<ProofReady>,
    given_up: Receiver<JoinGivenUp>,
    key: AttestationKey,
    domain: AttestationDomain,
    genesis: B256,
    program: ProgramKey,
}

fn key(n: u8) -> AttestationKey {
    AttestationKey::from_bytes(&B256::with_last_byte(n).0).unwrap()
}

fn domain() -> AttestationDomain {
    AttestationDomain { l1_chain_id: L1_CHAIN, verifying_contract: Address::repeat_byte(0xaa) }
}

fn attestation(bed: &Bed) -> AttestationCheck {
    AttestationCheck {
        domain: domain(),
        attesters: BTreeSet::from([key(1).address()]),
        program_key: bed.services.chain.exec_program_key(),
    }
}

fn config(checks: Vec<Arc<dyn ProofCheck>>) -> ProofManagerConfig {
    ProofManagerConfig {
        policy: ProofPolicy::all_of(&checks.iter().map(|c| c.prover_type()).collect::<Vec<_>>()),
        checks,
        lease: Duration::from_millis(LEASE_MS),
        idle_retry: Duration::from_millis(1234),
        max_bad_proofs: 2,
        quarantine: Duration::from_millis(QUARANTINE_MS),
        max_range: 8,
        retry: RETRY,
        max_inputs_bytes: 1_000_000,
        max_input_bytes: 1_000_000,
    }
}

async fn start_with(bed: &Bed, name: &str, config: ProofManagerConfig) -> Managing {
    let (proof_ready, ready) = tap();
    let (join_given_up, given_up) = tap();
    let (config, out) = (Arc::new(config), Arc::new(ProofManagerOutlets { proof_ready, join_given_up }));
    let services = bed.services.clone();
    let run = run(name, move |seat| {
        ProofManager::new(seat, Arc::clone(&config), services.clone(), Arc::clone(&out))
    })
    .await;
    Managing {
        run,
        ready,
        given_up,
        key: key(1),
        domain: domain(),
        genesis: bed.services.chain.genesis_header.hash(),
        program: bed.services.chain.exec_program_key(),
    }
}

async fn start(bed: &Bed, name: &str) -> Managing {
    start_with(bed, name, config(vec![Arc::new(attestation(bed))])).await
}

fn prover(name: &str) -> ProverIdentity {
    ProverIdentity { name: name.to_owned(), peer: "127.0.0.1:9".to_owned(), prover_type: ProverType::Exec }
}

impl Managing {
    async fn request(&self, name: &str) -> WorkReply {
        self.request_by(1, name).await
    }

    async fn request_by(&self, session: u64, name: &str) -> WorkReply {
        let message = RequestWork { session: SessionId(session), prover: prover(name) };
        loop {
            // As the session does: asking again is harmless.
            match self.run.handle.call(message.clone()).await {
                Ok(reply) => return reply,
                Err(CallError::OutcomeUnknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn work(&self, name: &str) -> Work {
        self.work_by(1, name).await
    }

    async fn work_by(&self, session: u64, name: &str) -> Work {
        match self.request_by(session, name).await {
            WorkReply::Work(work) => work,
            other => panic!("{name} got {other:?}"),
        }
    }

    async fn submit(&self, name: &str, lease: LeaseId, proof: &BatchProof) -> SubmitReply {
        let message =
            SubmitProof { session: SessionId(1), prover: prover(name), lease, proof: proof.clone() };
        loop {
            match self.run.handle.call(message.clone()).await {
                Ok(reply) => return reply,
                Err(CallError::OutcomeUnknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn failed(&self, name: &str, lease: LeaseId, reason: &str) -> bool {
        let (session, kind) = (SessionId(1), FailureKind::Failed);
        let message = ProvingFailed { session, prover: prover(name), lease, kind, reason: reason.to_owned() };
        self.run.handle.call(message).await.unwrap()
    }

    async fn heartbeat(&self, name: &str, session: u64, work: &Work) -> LeaseState {
        let (session, prover) = (SessionId(session), prover(name));
        let message = Heartbeat { session, prover, lease: work.lease, task: work.task };
        self.run.handle.call(message).await.unwrap()
    }

    async fn alive(&self, name: &str, work: &Work) -> bool {
        self.heartbeat(name, 1, work).await == LeaseState::Alive
    }

    /// A good proof of a range.
    fn range_proof(&self, first: &BatchRecord, last: &BatchRecord) -> BatchProof {
        let values = PublicValues { from: first.header.parent_hash, to: last.header.hash() };
        self.signed(&self.key, last.header.number, values, self.program)
    }

    /// So many batches, each with its proof.
    async fn proven(&self, bed: &Bed, count: u64) -> Vec<BatchRecord> {
        let mut batches = Vec::new();
        for _ in 0..count {
            let batch = bed.batch().await;
            assert_eq!(self.submit("a", LeaseId(1), &self.proof(&batch)).await, SubmitReply::Accepted);
            batches.push(batch);
        }
        batches
    }

    async fn join(&self, first: u64, last: u64) -> JoinProofs {
        let range = JoinProofs { first, last };
        self.run.handle.call(range).await.unwrap();
        range
    }

    /// A good proof.
    fn proof(&self, batch: &BatchRecord) -> BatchProof {
        let values = PublicValues { from: batch.header.parent_hash, to: batch.header.hash() };
        self.signed(&self.key, batch.header.number, values, self.program)
    }

    fn signed(
        &self,
        key: &AttestationKey,
        batch_number: u64,
        public_values: PublicValues,
        program_key: ProgramKey,
    ) -> BatchProof {
        let signature = attestation::sign(key, &self.domain, program_key, &public_values);
        BatchProof {
            prover_type: ProverType::Exec,
            batch_number,
            public_values,
            program_key,
            proof: Bytes::from(signature.to_vec()),
        }
    }
}

fn fetched(work: &Work) -> Vec<u8> {
    let PackedInput { bytes, packed } = &*work.input;
    let mut reader = InputReader::new(*bytes, packed.len() as u64, 1 << 20).unwrap();
    reader.push(0, packed).unwrap();
    reader.finish().unwrap()
}

/// The input as a prover reads it.
fn unpacked(work: &Work) -> BatchInput {
    decode_input(&fetched(work)).unwrap()
}

fn idle() -> WorkReply {
    WorkReply::Idle { retry_after_ms: 1234 }
}

// ----------------------------------------------------------------------------------------------------------- leases

/// Each batch is with one prover; the input has all that the program needs.
#[actix::test]
async fn batches_are_leased_in_order() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-order").await;
    assert_eq!(managing.request("a").await, idle());
    let (one, two) = (bed.batch().await, bed.batch_with(call_data_hash).await);
    let work = managing.work("a").await;
    assert_eq!((work.task.last_batch(), work.lease_ms), (1, LEASE_MS));
    let input = unpacked(&work);
    assert_eq!((input.parent.hash(), input.parent_block), (managing.genesis, 0));
    assert_eq!((input.sealed_at, input.da_payload), (one.header.sealed_at, one.payload.clone()));
    assert_eq!(input.witnesses, [Bytes::from_static(b"{\"block\":1}")]);
    assert_eq!(input.chain_config, Bytes::from_static(b"{}"));
    let second = managing.work("b").await;
    assert_eq!(second.task.last_batch(), 2);
    let second = unpacked(&second);
    assert_eq!((second.parent.hash(), second.da_payload), (two.header.parent_hash, two.payload.clone()));
    assert_eq!((input.in_call_data, second.in_call_data), (false, true), "where the payload lies");
    assert_eq!(managing.request("c").await, idle());
    // A prover that lost its connection gets its batch again.
    assert_eq!(managing.work("a").await.task.last_batch(), 1);
    managing.run.stop().await;
}

/// A lease that runs out by the clock frees the batch; a heartbeat prolongs it; a lost one is said to be lost.
#[actix::test]
async fn leases_run_out_by_the_clock() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-expiry").await;
    bed.batch().await;
    let first = managing.work("a").await;
    bed.clock.advance(LEASE_MS - 1);
    assert_eq!(managing.request("b").await, idle());
    assert!(managing.alive("a", &first).await);
    bed.clock.advance(LEASE_MS - 1);
    assert_eq!(managing.request("b").await, idle(), "prolonged");
    bed.clock.advance(1);
    let taken = managing.work("b").await;
    assert_eq!(taken.task.last_batch(), 1);
    assert_eq!(managing.heartbeat("a", 1, &first).await, LeaseState::Lost, "it is with b now");
    assert!(managing.alive("b", &taken).await);
    assert!(!managing.alive("a", &taken).await, "a lease of b");
    managing.run.stop().await;
}

/// A clock that is set, forward or back, neither takes a batch from the prover that works on it nor keeps it for a
/// prover that is gone, also over a restart.
#[actix::test]
async fn leases_do_not_follow_a_clock_that_is_set() {
    const HOURS_MS: u64 = 5 * 3_600_000;
    let bed = Bed::new().await;
    let mut managing = start(&bed, "manager-clock").await;
    bed.batch().await;
    let right = bed.services.clock.unix_ms();
    let work = managing.work("a").await;
    for set in [right + HOURS_MS, right - HOURS_MS] {
        bed.clock.set(set);
        assert_eq!(managing.request("b").await, idle());
        assert!(managing.alive("a", &work).await);
    }
    // The clock is five hours back, and a new instance knows no other one.
    managing.run.restart().await;
    assert_eq!(managing.request("b").await, idle());
    assert!(managing.alive("a", &work).await);
    bed.clock.advance(LEASE_MS);
    assert_eq!(managing.work("b").await.task.last_batch(), 1, "one lease later it is free");
    managing.run.stop().await;
}

/// A restart keeps leases and proofs.
#[actix::test]
async fn a_restart_keeps_leases_and_proofs() {
    let mut bed = Bed::new().await;
    let mut managing = start(&bed, "manager-restart").await;
    let batches = [bed.batch().await, bed.batch().await];
    let first = managing.work("a").await;
    let second = managing.work("b").await;
    assert_eq!(managing.submit("b", second.lease, &managing.proof(&batches[1])).await, SubmitReply::Accepted);
    managing.run.restart().await;
    assert!(managing.alive("a", &first).await);
    assert_eq!(managing.request("c").await, idle());
    managing.run.stop().await;

    bed.reopen_store().await;
    let managing = start(&bed, "manager-restart").await;
    assert_eq!(managing.request("c").await, idle());
    assert_eq!(managing.submit("a", first.lease, &managing.proof(&batches[0])).await, SubmitReply::Accepted);
    assert_eq!(
        managing.submit("b", second.lease, &managing.proof(&batches[1])).await,
        SubmitReply::Duplicate
    );
    managing.run.stop().await;
}

/// Many provers ask at once: no batch is handed out twice, and all are handed out.
#[actix::test]
async fn concurrent_requests_never_get_the_same_batch() {
    let bed = Bed::new().await;
    for _ in 0..20 {
        bed.batch().await;
    }
    let managing = start(&bed, "manager-crowd").await;
    let names: Vec<String> = (0..40).map(|n| format!("prover {n}")).collect();
    let replies = join_all(names.iter().map(|name| managing.request(name))).await;
    let mut given = Vec::new();
    let mut idlers = 0;
    for reply in replies {
        match reply {
            WorkReply::Work(work) => given.push(work.task.last_batch()),
            WorkReply::Idle { .. } => idlers += 1,
            other @ WorkReply::Refused { .. } => panic!("{other:?}"),
        }
    }
    given.sort_unstable();
    assert_eq!((given, idlers), ((1..=20).collect::<Vec<_>>(), 20));
    let leases = bed.store().leases().await.unwrap();
    assert_eq!(leases.iter().map(|l| l.id).collect::<BTreeSet<_>>().len(), 20);
    managing.run.stop().await;
}

/// A crowd of messages, each of which looks into the store, does not use up the connections that all components share.
#[actix::test]
async fn a_crowd_leaves_the_store_to_others() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-store").await;
    let mut batches = Vec::new();
    for _ in 0..30 {
        batches.push(bed.batch().await);
    }
    let prover = |n: usize| format!("prover {}", n % 5);
    let proofs = batches.iter().enumerate().map(|(n, batch)| {
        let managing = &managing;
        async move {
            managing.request(&prover(n)).await;
            let reply = managing.submit(&prover(n), LeaseId(1), &managing.proof(batch)).await;
            assert_eq!(reply, SubmitReply::Accepted);
            let done = Work {
                lease: LeaseId(1),
                task: ProofTask::Batch { number: batch.header.number },
                lease_ms: 0,
                input: Arc::new(PackedInput { bytes: 0, packed: Bytes::new() }),
            };
            assert_eq!(managing.heartbeat(&prover(n), 1, &done).await, LeaseState::Done);
            managing.request(&prover(n)).await;
        }
    });
    let others = (0..300).map(|_| async { assert!(bed.store().cursor().await.unwrap().is_none()) });
    futures::join!(join_all(proofs), join_all(others));
    assert_eq!(bed.store().batches_without_proof(ProverType::Exec, 0, 100).await.unwrap(), [] as [u64; 0]);
    assert_eq!(managing.run.status().state, ensemble_supervision::ComponentState::Running);
    managing.run.stop().await;
}

/// SEQ-INV-8: whatever message a panic comes at, every batch gets its proof, once, and all are announced.
#[actix::test]
async fn a_panic_at_any_message_loses_no_proof() {
    let bed = Bed::new().await;
    let name = "manager-panics";
    let managing = start(&bed, name).await;
    let mut batches = Vec::new();
    for nth in 1..=8 {
        faults::arm(name, nth);
        batches.push(bed.batch().await);
        // Whichever of these the fault strikes, the prover does it again.
        let mut accepted = 0;
        while faults::armed().iter().any(|f| f.component == name) || accepted == 0 {
            if let WorkReply::Work(work) = managing.request("a").await {
                let batch = &batches[usize::try_from(work.task.last_batch()).unwrap() - 1];
                let reply = managing.submit("a", work.lease, &managing.proof(batch)).await;
                assert!(matches!(reply, SubmitReply::Accepted | SubmitReply::Duplicate), "{reply:?}");
                accepted += 1;
            }
        }
    }
    assert!(managing.run.status().failures >= 8);
    for batch in &batches {
        let stored = bed.store().proofs_of(batch.header.number).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].proof, managing.proof(batch));
    }
    assert!(bed.store().leases().await.unwrap().is_empty());
    managing.run.stop().await;
}

// ----------------------------------------------------------------------------------------------------------- checks

/// What the store held when the check ran, and when.
#[derive(Debug)]
struct SlowCheck {
    inner: AttestationCheck,
    looked: AtomicU64,
    seen: Mutex<BTreeMap<u64, u64>>,
}

impl ProofCheck for SlowCheck {
    fn prover_type(&self) -> ProverType {
        ProverType::Exec
    }

    fn program_key(&self) -> ProgramKey {
        self.inner.program_key
    }

    fn check(&self, proof: &BatchProof) -> Result<Bytes, String> {
        let nth = self.looked.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.lock().unwrap().insert(proof.batch_number, nth);
        self.inner.check(proof)
    }
}

/// SEQ-INV-6: a proof is acknowledged after it was checked and stored: at the acknowledgement a new process finds it.
#[actix::test]
async fn an_acknowledged_proof_is_checked_and_stored() {
    let bed = Bed::new().await;
    let check =
        Arc::new(SlowCheck { inner: attestation(&bed), looked: AtomicU64::new(0), seen: Mutex::default() });
    let mut managing =
        start_with(&bed, "manager-ack", config(vec![Arc::<SlowCheck>::clone(&check) as Arc<dyn ProofCheck>]))
            .await;
    let batch = bed.batch().await;
    let work = managing.work("a").await;
    assert_eq!(managing.submit("a", work.lease, &managing.proof(&batch)).await, SubmitReply::Accepted);
    let other = ensemble_store::Store::open(&bed.path()).await.unwrap();
    let stored = other.proofs_of(1).await.unwrap();
    assert_eq!((stored.len(), stored[0].prover.as_str()), (1, "a"));
    assert_eq!(stored[0].proof, managing.proof(&batch));
    assert_eq!(*check.seen.lock().unwrap(), BTreeMap::from([(1, 1)]));
    other.close().await;
    let told = next(&mut managing.ready).await;
    assert_eq!((told.batch_number, told.prover_types), (1, vec![ProverType::Exec]));
    assert!(bed.store().leases().await.unwrap().is_empty());

    // Again: recognised, changed nothing.
    let mut other_bytes = managing.proof(&batch);
    other_bytes.prover_type = ProverType::Exec;
    assert_eq!(managing.submit("b", LeaseId(77), &other_bytes).await, SubmitReply::Duplicate);
    assert_eq!(bed.store().proofs_of(1).await.unwrap()[0].prover, "a");
    managing.run.stop().await;
}

/// SEQ-INV-6, SEQ-INV-7: the verifier on L1 has the last word on a zkVM's proof: what it does not take is refused with
/// its reason, and while it cannot be asked the prover is told to come again.
#[actix::test]
async fn the_verifier_on_l1_has_the_last_word() {
    const VERIFIER: Address = Address::repeat_byte(0xe1);
    let bed = Bed::new().await;
    let program_key = ProgramKey(B256::repeat_byte(9));
    let check = OnChainCheck { prover_type: ProverType::Sp1, verifier: VERIFIER, program_key };
    let managing = start_with(&bed, "manager-on-chain", config(vec![Arc::new(check)])).await;
    let batch = bed.batch().await;
    let honest = managing.proof(&batch);
    let values = honest.public_values.abi_encode();
    let proof = |bytes: &'static [u8]| BatchProof {
        prover_type: ProverType::Sp1,
        program_key,
        proof: Bytes::from_static(bytes),
        ..honest.clone()
    };
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    bed.l1.on_call(move |call| {
        counted.fetch_add(1, Ordering::SeqCst);
        assert_eq!(call.to, VERIFIER);
        let is = |bytes: &[u8]| {
            call.data == ensemble_contracts::calls::verify_proof(program_key.0, &values, bytes)
        };
        match () {
            () if is(b"good") => Ok(Bytes::new()),
            () if is(b"bad") => {
                let data = alloy_primitives::keccak256("ProofInvalid()")[..4].to_vec().into();
                Err(L1Error::ExecutionReverted { message: "reverted".to_owned(), data })
            }
            () if is(b"away") => Err(L1Error::RateLimited { message: "later".to_owned() }),
            () => Ok(Bytes::from(vec![0; 32])),
        }
    });
    let submit = async |name: &str, bytes| managing.submit(name, LeaseId(1), &proof(bytes)).await;
    let refused = |reply: SubmitReply| match reply {
        SubmitReply::Rejected(ProofRejection::Invalid(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(submit("a", b"").await).contains("empty"));
    assert_eq!(asked.load(Ordering::SeqCst), 0, "L1 is not asked about nothing");
    assert!(refused(submit("b", b"bad").await).contains("ProofInvalid"));
    assert!(refused(submit("c", b"no verifier there").await).contains("no verifier"));
    assert!(matches!(submit("d", b"away").await, SubmitReply::RetryLater { .. }));
    assert!(bed.store().proofs_of(1).await.unwrap().is_empty());
    assert_eq!(submit("e", b"good").await, SubmitReply::Accepted);
    assert_eq!(bed.store().proofs_of(1).await.unwrap().len(), 1);
    managing.run.stop().await;
}

/// SEQ-INV-6, SEQ-INV-7: whatever is wrong with a proof, it is refused with the reason, not stored, and the batch is
/// free for others at once.
#[actix::test]
async fn bad_proofs_are_refused_and_the_batch_is_free() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-bad").await;
    let (one, two) = (bed.batch().await, bed.batch().await);
    let good = managing.proof(&one);
    let values = good.public_values;
    let other_values = managing.proof(&two).public_values;
    let other_program = ProgramKey(B256::repeat_byte(1));
    let mut flipped = good.clone();
    let mut bytes = flipped.proof.to_vec();
    bytes[40] ^= 1;
    flipped.proof = bytes.into();
    let cut = BatchProof { proof: Bytes::from_static(&[1; 64]), ..good.clone() };
    let other_kind = BatchProof { prover_type: ProverType::Sp1, ..good.clone() };
    let other_number = BatchProof { batch_number: 2, ..good.clone() };
    let no_batch = BatchProof { batch_number: 77, ..good.clone() };
    let wrong_values = ProofRejection::WrongPublicValues { expected: values, got: other_values };
    // It begins where a range of both batches does.
    let both = PublicValues { from: values.from, to: other_values.to };
    let other_batch = ProofRejection::WrongPublicValues { expected: both, got: values };
    let wrong_program = ProofRejection::WrongProgram { expected: managing.program, got: other_program };
    let cases: Vec<(&str, BatchProof, Option<ProofRejection>)> = vec![
        ("values", managing.signed(&key(1), 1, other_values, managing.program), Some(wrong_values)),
        ("program", managing.signed(&key(1), 1, values, other_program), Some(wrong_program)),
        ("stranger", managing.signed(&key(2), 1, values, managing.program), None),
        ("flipped", flipped, None),
        ("cut", cut, None),
        ("kind", other_kind, Some(ProofRejection::NotWanted)),
        ("number", other_number, Some(other_batch)),
        ("no-batch", no_batch, Some(ProofRejection::NotWanted)),
    ];
    for (name, proof, wanted) in cases {
        let work = managing.work(name).await;
        assert_eq!(work.task.last_batch(), 1, "{name}: free again after the one before");
        let reply = managing.submit(name, work.lease, &proof).await;
        match wanted {
            Some(why) => assert_eq!(reply, SubmitReply::Rejected(why), "{name}"),
            None => {
                assert!(
                    matches!(&reply, SubmitReply::Rejected(ProofRejection::Invalid(_))),
                    "{name}: {reply:?}"
                );
            }
        }
        assert!(bed.store().proofs_of(1).await.unwrap().is_empty(), "{name}");
    }
    let work = managing.work("good").await;
    assert_eq!(managing.submit("good", work.lease, &good).await, SubmitReply::Accepted);
    assert_eq!(managing.run.status().restarts, 0);
    managing.run.stop().await;
}

/// A rejected proof ends the lease it came with only if that is the prover's own.
#[actix::test]
async fn a_bad_proof_does_not_end_the_lease_of_another() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-foreign-lease").await;
    let batch = bed.batch().await;
    let work = managing.work("honest").await;
    let mut bad = managing.proof(&batch);
    bad.public_values.to = B256::ZERO;
    let reply = managing.submit("liar", work.lease, &bad).await;
    assert!(matches!(reply, SubmitReply::Rejected(_)), "{reply:?}");
    assert!(managing.alive("honest", &work).await);
    assert_eq!(managing.request("liar").await, idle());
    managing.run.stop().await;
}

/// A prover that hands in bad proofs is not listened to for a while; others are.
#[actix::test]
async fn bad_provers_go_into_quarantine() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-quarantine").await;
    let batch = bed.batch().await;
    let mut bad = managing.proof(&batch);
    bad.public_values.to = B256::ZERO;
    for _ in 0..2 {
        let work = managing.work("liar").await;
        let reply = managing.submit("liar", work.lease, &bad).await;
        assert!(
            matches!(reply, SubmitReply::Rejected(ProofRejection::WrongPublicValues { .. })),
            "{reply:?}"
        );
    }
    let good = managing.proof(&batch);
    let quarantined = SubmitReply::Rejected(ProofRejection::Quarantined);
    assert_eq!(managing.submit("liar", LeaseId(1), &good).await, quarantined, "not even a good one");
    assert!(matches!(managing.request("liar").await, WorkReply::Refused { .. }));
    let register = |name: &str| Register { session: SessionId(1), prover: prover(name) };
    assert!(managing.run.handle.call(register("liar")).await.unwrap().is_err());
    managing.run.handle.call(register("honest")).await.unwrap().unwrap();
    assert_eq!(managing.work("honest").await.task.last_batch(), 1);
    bed.clock.advance(QUARANTINE_MS);
    managing.run.handle.call(register("liar")).await.unwrap().unwrap();
    assert_eq!(managing.submit("liar", LeaseId(1), &good).await, SubmitReply::Accepted);
    managing.run.stop().await;
}

#[actix::test]
async fn provers_of_other_kinds_are_turned_away() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-kinds").await;
    let prover = ProverIdentity { prover_type: ProverType::Pico, ..prover("p") };
    let reply = managing.run.handle.call(Register { session: SessionId(1), prover }).await.unwrap();
    assert_eq!(reply, Err("no pico proofs are wanted here".to_owned()));
    managing.run.stop().await;
}

/// A check that panics costs the submission, not the component.
#[actix::test]
async fn a_check_that_panics_is_survived() {
    #[derive(Debug)]
    struct Panics;
    impl ProofCheck for Panics {
        fn prover_type(&self) -> ProverType {
            ProverType::Exec
        }
        fn program_key(&self) -> ProgramKey {
            ProgramKey(B256::ZERO)
        }
        fn check(&self, _: &BatchProof) -> Result<Bytes, String> {
            panic!("a bug in a verifier")
        }
    }
    let bed = Bed::new().await;
    let mut managing = start_with(&bed, "manager-check-panics", config(vec![Arc::new(Panics)])).await;
    let batch = bed.batch().await;
    let proof = BatchProof { program_key: ProgramKey(B256::ZERO), ..managing.proof(&batch) };
    let reply = managing.submit("a", LeaseId(1), &proof).await;
    assert!(matches!(reply, SubmitReply::RetryLater { .. }), "{reply:?}");
    let reason = managing.run.degraded().await;
    assert!(reason.contains("background task"), "{reason}");
    assert!(bed.store().proofs_of(1).await.unwrap().is_empty());
    assert_eq!(managing.run.status().restarts, 0);
    managing.run.stop().await;
}

/// A prover at work hears that the proof is there already, or the batch verified without it: its work is vain.
#[actix::test]
async fn a_prover_hears_that_another_was_faster() {
    let bed = Bed::new().await;
    let mut managing = start(&bed, "manager-vain").await;
    let one = bed.batch().await;
    bed.batch().await;
    let slow = managing.work("slow").await;
    bed.clock.advance(LEASE_MS);
    let fast = managing.work("fast").await;
    assert_eq!(fast.task, slow.task);
    assert_eq!(managing.heartbeat("slow", 1, &slow).await, LeaseState::Lost, "it may still be the first");
    assert_eq!(managing.submit("fast", fast.lease, &managing.proof(&one)).await, SubmitReply::Accepted);
    assert_eq!(managing.heartbeat("slow", 1, &slow).await, LeaseState::Done);
    let other = managing.work("slow").await;
    assert_eq!(other.task.last_batch(), 2, "it goes on with the next");
    managing.run.restart().await;
    assert_eq!(managing.heartbeat("slow", 1, &slow).await, LeaseState::Done, "over a restart too");
    bed.store().mark_verified(2, None).await.unwrap();
    bed.store().remove_lease(other.lease).await.unwrap();
    assert_eq!(managing.heartbeat("slow", 1, &other).await, LeaseState::Done, "verified without it");
    let unknown = Work { task: ProofTask::Batch { number: 77 }, ..other.clone() };
    assert_eq!(managing.heartbeat("slow", 1, &unknown).await, LeaseState::Done);
    managing.run.stop().await;
}

/// Two provers that go by one name work side by side; one that comes back after its session has ended gets its batch
/// again, and one that said goodbye leaves it to others at once.
#[actix::test]
async fn leases_belong_to_sessions() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-sessions").await;
    bed.batch().await;
    bed.batch().await;
    let one = managing.work_by(1, "p").await;
    let two = managing.work_by(2, "p").await;
    assert_eq!((one.task.last_batch(), two.task.last_batch()), (1, 2));
    assert_eq!(managing.request_by(3, "p").await, idle());
    let ended = |session, goodbye| SessionEnded { session: SessionId(session), goodbye };
    managing.run.handle.call(ended(1, false)).await.unwrap();
    assert_eq!(managing.request_by(3, "q").await, idle(), "its lease goes on");
    assert_eq!(managing.work_by(3, "p").await.task, one.task, "it never got the work");
    managing.run.handle.call(ended(2, true)).await.unwrap();
    assert_eq!(managing.work_by(4, "q").await.task, two.task);
    assert_eq!(bed.store().setbacks(10).await.unwrap(), [], "neither is a failure");
    managing.run.stop().await;
}

/// A prover that dies at a batch and comes back without its proof uses up the batch's budget: it does not die at it for
/// ever. One that only lost its connection goes on with it.
#[actix::test]
async fn coming_back_without_the_proof_is_a_failure() {
    let bed = Bed::new().await;
    let mut managing = start(&bed, "manager-crashing").await;
    bed.batch().await;
    let ended = |session| SessionEnded { session: SessionId(session), goodbye: false };
    let work = managing.work_by(1, "p").await;
    assert_eq!(managing.heartbeat("p", 1, &work).await, LeaseState::Alive);
    managing.run.handle.call(ended(1)).await.unwrap();
    assert_eq!(managing.heartbeat("p", 2, &work).await, LeaseState::Alive, "a new connection");
    assert_eq!(managing.request_by(3, "p").await, idle(), "the lease of session 2");
    for (nth, session) in [(1, 2), (2, 3), (3, 4)] {
        managing.run.handle.call(ended(session)).await.unwrap();
        assert_eq!(managing.request_by(session + 1, "p").await, idle(), "the batch rests");
        let setback = bed.store().setback(1, ProverType::Exec).await.unwrap().unwrap();
        assert_eq!((setback.failures, setback.prover.as_str()), (nth, "p"));
        assert!(setback.reason.contains("came back"), "{}", setback.reason);
        if nth < 3 {
            bed.clock.advance(2_000);
            let work = managing.work_by(session + 1, "p").await;
            assert_eq!(managing.heartbeat("p", session + 1, &work).await, LeaseState::Alive);
        }
    }
    assert!(managing.run.degraded().await.contains("came back"));
    managing.run.stop().await;
}

/// A failure that is told ends the lease at once; the batch rests longer with each one, and others go on. Told twice it
/// counts once, and nobody ends the lease of another.
#[actix::test]
async fn a_told_failure_ends_the_lease() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-failure").await;
    bed.batch().await;
    let work = managing.work("a").await;
    assert!(managing.failed("b", work.lease, "not mine").await);
    assert!(managing.alive("a", &work).await, "b cannot end it");
    assert!(managing.failed("a", work.lease, "out of memory").await);
    assert_eq!(managing.heartbeat("a", 1, &work).await, LeaseState::Lost);
    assert!(managing.failed("a", work.lease, "out of memory").await, "told again");
    let setback = bed.store().setback(1, ProverType::Exec).await.unwrap().unwrap();
    assert_eq!((setback.failures, setback.prover.as_str()), (1, "a"));
    assert_eq!(setback.reason, "the prover failed: out of memory");
    assert_eq!(managing.request("b").await, idle(), "it rests for a second");
    bed.batch().await;
    assert_eq!(managing.work("b").await.task.last_batch(), 2, "others need not wait for it");
    bed.clock.advance(1_000);
    assert_eq!(managing.work("c").await.task.last_batch(), 1);
    managing.run.stop().await;
}

/// A prover that fails at one batch after another does not use up the budget of all: it rests longer each time, until
/// it hands in a proof.
#[actix::test]
async fn a_broken_prover_rests() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-broken-prover").await;
    let mut batches = Vec::new();
    for _ in 0..6 {
        batches.push(bed.batch().await);
    }
    for (number, wait) in [(1, 1_000), (2, 2_000)] {
        let work = managing.work("broken").await;
        assert_eq!(work.task.last_batch(), number);
        managing.failed("broken", work.lease, "no memory").await;
        assert_eq!(managing.request("broken").await, WorkReply::Idle { retry_after_ms: wait.max(1_234) });
        // Another one is given the same batches later, and the next one now.
        bed.clock.advance(wait - 1);
        assert!(matches!(managing.request("broken").await, WorkReply::Idle { .. }));
        bed.clock.advance(1);
        let good = managing.work(&format!("good-{number}")).await;
        assert_eq!(good.task.last_batch(), number, "rested");
    }
    let work = managing.work("broken").await;
    assert_eq!(work.task.last_batch(), 3);
    assert_eq!(
        managing.submit("broken", work.lease, &managing.proof(&batches[2])).await,
        SubmitReply::Accepted
    );
    let work = managing.work("broken").await;
    managing.failed("broken", work.lease, "no memory").await;
    bed.clock.advance(1_234);
    assert!(matches!(managing.request("broken").await, WorkReply::Work(_)), "the proof made up for it");
    managing.run.stop().await;
}

/// The retry budget: a batch that fails again and again, told or in silence, becomes degraded, which status and reason
/// show, over a restart too; it is tried at long intervals then, holds up no other batch, and the proof ends it.
#[actix::test]
async fn a_batch_that_uses_up_its_budget_is_degraded() {
    let mut bed = Bed::new().await;
    let mut managing = start(&bed, "manager-budget").await;
    let (one, two) = (bed.batch().await, bed.batch().await);
    managing.failed("a", managing.work("a").await.lease, "first").await;
    bed.clock.advance(1_000);
    let silent = managing.work("b").await;
    assert_eq!(silent.task.last_batch(), 1);
    bed.clock.advance(LEASE_MS);
    let work = managing.work("c").await;
    assert_eq!(work.task.last_batch(), 1, "silence was wait enough");
    let setback = bed.store().setback(1, ProverType::Exec).await.unwrap().unwrap();
    assert_eq!(
        (setback.failures, setback.prover.as_str(), setback.reason.as_str()),
        (2, "b", "its lease ran out")
    );
    managing.failed("c", work.lease, "third").await;
    let reason = managing.run.degraded().await;
    for part in ["batch 1", "exec", "3 tries", "third", "`c`", "100 s", "docs/operations.md"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    // Others go on.
    let other = managing.work("d").await;
    assert_eq!(other.task.last_batch(), 2);
    assert_eq!(managing.submit("d", other.lease, &managing.proof(&two)).await, SubmitReply::Accepted);
    managing.run.handle.call(Step).await.unwrap();
    assert!(matches!(managing.run.status().state, ComponentState::Degraded(_)), "still");
    managing.run.stop().await;

    // A new process knows it, too.
    bed.reopen_store().await;
    let mut managing = start(&bed, "manager-budget").await;
    assert!(managing.run.degraded().await.contains("batch 1"));
    bed.clock.advance(99_000);
    assert_eq!(managing.request("e").await, idle());
    bed.clock.advance(1_000);
    let work = managing.work("e").await;
    assert_eq!(work.task.last_batch(), 1, "not given up");
    managing.failed("e", work.lease, "fourth").await;
    bed.clock.advance(99_000);
    assert_eq!(managing.request("f").await, idle());
    assert_eq!(managing.submit("late", LeaseId(7), &managing.proof(&one)).await, SubmitReply::Accepted);
    managing.run.handle.call(Step).await.unwrap();
    managing.run.recovered().await;
    assert_eq!(bed.store().setbacks(10).await.unwrap(), []);
    managing.run.stop().await;
}

/// SEQ-INV-11: an input larger than the limit is not sent, the reason is shown, and the batches behind are proven.
#[actix::test]
async fn an_input_too_large_holds_up_nobody() {
    let bed = Bed::new().await;
    let mut config = config(vec![Arc::new(attestation(&bed))]);
    config.max_input_bytes = 1_000;
    let mut managing = start_with(&bed, "manager-large-input", config).await;
    let one = bed.batch().await;
    let extras = BlockExtras { withdrawals: Vec::new(), witness: vec![7; 2_000] };
    bed.store().set_block_extras(one.first_block, &extras).await.unwrap();
    let two = bed.batch().await;
    let work = managing.work("a").await;
    assert_eq!(work.task.last_batch(), 2);
    let leases = bed.store().leases().await.unwrap();
    assert_eq!(leases.iter().map(|l| l.batch_number).collect::<Vec<_>>(), [2], "nobody holds it");
    managing.submit("a", work.lease, &managing.proof(&two)).await;
    assert!(matches!(managing.request("a").await, WorkReply::Idle { .. }));
    let reason = managing.run.degraded().await;
    assert!(reason.contains("input of batch 1") && reason.contains("limit"), "{reason}");
    // A larger limit, and it is proven.
    managing.run.stop().await;
    let managing = start(&bed, "manager-large-input").await;
    assert_eq!(managing.request("a").await, idle());
    bed.clock.advance(100_000);
    assert_eq!(managing.work("a").await.task.last_batch(), 1);
    managing.run.stop().await;
}

/// SEQ-INV-11: provers of one batch are served from the same bytes, which are gone with the last of them; while as many
/// bytes as allowed are held, no further batch is handed out.
#[actix::test]
async fn inputs_are_shared_and_bounded() {
    let bed = Bed::new().await;
    let program_key = ProgramKey(B256::repeat_byte(9));
    let sp1 = OnChainCheck { prover_type: ProverType::Sp1, verifier: Address::ZERO, program_key };
    let checks: Vec<Arc<dyn ProofCheck>> = vec![Arc::new(attestation(&bed)), Arc::new(sp1)];
    let managing = start_with(&bed, "manager-inputs", config(checks)).await;
    bed.batch().await;
    let exec = managing.work("a").await;
    let other = ProverIdentity { prover_type: ProverType::Sp1, ..prover("b") };
    let request = RequestWork { session: SessionId(2), prover: other };
    let WorkReply::Work(sp1) = managing.run.handle.call(request).await.unwrap() else { panic!("no work") };
    assert_eq!(sp1.task, exec.task);
    assert!(Arc::ptr_eq(&sp1.input, &exec.input));
    let before = Arc::downgrade(&exec.input);
    drop((exec, sp1));
    assert_eq!(before.strong_count(), 0, "nobody else keeps it");
    managing.run.stop().await;

    let few = ProofManagerConfig { max_inputs_bytes: 1, ..config(vec![Arc::new(attestation(&bed))]) };
    let managing = start_with(&bed, "manager-inputs", few).await;
    bed.batch().await;
    let first = managing.work("a").await;
    assert_eq!(managing.request("b").await, idle());
    drop(first);
    assert_eq!(managing.work("b").await.task.last_batch(), 2);
    managing.run.stop().await;
}

/// A batch whose witness is gone is set back like one that failed.
#[actix::test]
async fn a_missing_witness_holds_up_nobody() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-missing-witness").await;
    let one = bed.batch().await;
    bed.batch().await;
    bed.store().prune_witnesses(one.last_block).await.unwrap();
    assert_eq!(managing.work("a").await.task.last_batch(), 2);
    let setback = bed.store().setback(1, ProverType::Exec).await.unwrap().unwrap();
    assert_eq!((setback.failures, setback.prover.as_str()), (1, ""));
    assert!(setback.reason.contains("missing"), "{}", setback.reason);
    managing.run.stop().await;
}

// ------------------------------------------------------------------------------------------------------------ ranges

/// SEQ-INV-6, SEQ-INV-7: the proofs of a range are given to one prover; the proof that it makes of them is checked like
/// any other, kept beside theirs, and announced. The same lease goes on over a restart.
#[actix::test]
async fn one_proof_is_made_of_several() {
    let bed = Bed::new().await;
    let mut managing = start(&bed, "manager-join").await;
    let batches = managing.proven(&bed, 4).await;
    assert_eq!(managing.request("a").await, idle(), "no range is wanted");
    managing.join(2, 4).await;
    let work = managing.work("a").await;
    assert_eq!((work.task, work.lease_ms), (ProofTask::Join { first: 2, last: 4 }, LEASE_MS));
    let wanted: Vec<BatchProof> = batches[1..].iter().map(|batch| managing.proof(batch)).collect();
    assert_eq!(decode_proofs(&fetched(&work)).unwrap(), wanted);
    assert_eq!(managing.request("b").await, idle(), "it is with a");
    assert!(managing.alive("a", &work).await);
    assert_eq!(managing.heartbeat("b", 2, &work).await, LeaseState::Lost);
    managing.run.restart().await;
    assert_eq!(managing.request("b").await, idle(), "not wanted again yet");
    managing.join(2, 4).await;
    assert_eq!(managing.request_by(2, "b").await, idle(), "still with a");
    assert!(managing.alive("a", &work).await);

    let proof = managing.range_proof(&batches[1], &batches[3]);
    assert_eq!(managing.submit("a", work.lease, &proof).await, SubmitReply::Accepted);
    assert_eq!(managing.submit("a", work.lease, &proof).await, SubmitReply::Duplicate);
    let stored = bed.store().range_proofs_from(2).await.unwrap();
    assert_eq!((stored.len(), &stored[0].proof, stored[0].prover.as_str()), (1, &proof, "a"));
    assert_eq!(bed.store().proofs_of(4).await.unwrap()[0].proof, managing.proof(&batches[3]), "untouched");
    assert_eq!(bed.store().leases().await.unwrap(), []);
    assert_eq!(managing.heartbeat("a", 1, &work).await, LeaseState::Done);
    while next(&mut managing.ready).await.batch_number != 4 {}
    assert_eq!(managing.request("b").await, idle(), "it is there");
    assert!(managing.given_up.try_recv().is_err());
    managing.run.stop().await;
}

/// SEQ-INV-7: a proof of a range that says anything else than what its batches say is refused, counts against its prover,
/// and the range is given up, which is told again as long as it is asked for. Its batches keep their proofs.
#[actix::test]
async fn bad_proofs_of_ranges_are_refused() {
    let bed = Bed::new().await;
    let mut managing = start(&bed, "manager-bad-join").await;
    let batches = managing.proven(&bed, 3).await;
    let good = managing.range_proof(&batches[0], &batches[2]);
    let values = good.public_values;
    let elsewhere = PublicValues { to: B256::repeat_byte(9), ..values };
    let nowhere = PublicValues { from: B256::repeat_byte(9), ..values };
    let program = managing.program;
    let cases = [
        ("end", managing.signed(&key(1), 3, elsewhere, program), "other data"),
        ("begin", managing.signed(&key(1), 3, nowhere, program), "other data"),
        ("program", managing.signed(&key(1), 3, values, ProgramKey(B256::ZERO)), "program"),
        ("stranger", managing.signed(&key(2), 3, values, program), "not a registered attester"),
    ];
    for (name, proof, why) in cases {
        let range = managing.join(1, 3).await;
        let work = managing.work(name).await;
        match managing.submit(name, work.lease, &proof).await {
            SubmitReply::Rejected(told) => assert!(told.to_string().contains(why), "{name}: {told}"),
            other => panic!("{name}: {other:?}"),
        }
        let given_up = next(&mut managing.given_up).await;
        assert!(given_up.range == range && given_up.reason.contains(why), "{given_up:?}");
        assert_eq!(managing.request("b").await, idle(), "{name}");
        managing.join(1, 3).await;
        assert_eq!(next(&mut managing.given_up).await, given_up);
        // Another range was wanted meanwhile.
        managing.join(1, 2).await;
    }
    assert_eq!(bed.store().range_proofs_from(1).await.unwrap(), []);
    assert_eq!(bed.store().leases().await.unwrap(), []);
    for batch in &batches {
        assert_eq!(bed.store().proofs_of(batch.header.number).await.unwrap().len(), 1);
    }
    // Twice is too often.
    managing.join(1, 3).await;
    let work = managing.work("end").await;
    managing.submit("end", work.lease, &managing.signed(&key(1), 3, elsewhere, program)).await;
    assert!(matches!(managing.request("end").await, WorkReply::Refused { .. }));
    managing.run.stop().await;
}

/// A prover that cannot make the proof of a range ends it: neither rests, and no batch is set back.
#[actix::test]
async fn a_range_that_nobody_joins_is_given_up() {
    let bed = Bed::new().await;
    let mut managing = start(&bed, "manager-no-join").await;
    managing.proven(&bed, 2).await;
    let range = managing.join(1, 2).await;
    let work = managing.work("a").await;
    assert!(managing.failed("a", work.lease, "whose proofs are these").await);
    let told = next(&mut managing.given_up).await;
    assert_eq!(told, JoinGivenUp { range, reason: "whose proofs are these".into() });
    assert!(managing.failed("a", work.lease, "whose proofs are these").await, "told again");
    assert!(managing.given_up.try_recv().is_err());
    assert_eq!(bed.store().setbacks(9).await.unwrap(), []);
    assert_eq!(managing.request("b").await, idle());
    bed.batch().await;
    assert_eq!(managing.work("a").await.task, ProofTask::Batch { number: 3 }, "it does not rest");

    // A prover that is never heard of again keeps neither the range nor its lease for ever.
    managing.join(1, 3).await;
    assert_eq!(managing.request("b").await, idle(), "batch 3 has no proof");
    managing.join(1, 2).await;
    let gone = managing.work("gone").await;
    assert_eq!(managing.request("b").await, idle());
    bed.clock.advance(LEASE_MS);
    assert_eq!(managing.work("b").await.task, gone.task);
    bed.clock.advance(LEASE_MS);
    let batch = bed.store().batch(3).await.unwrap().unwrap();
    assert_eq!(managing.submit("a", LeaseId(1), &managing.proof(&batch)).await, SubmitReply::Accepted);
    managing.join(2, 3).await;
    assert_eq!(managing.work("c").await.task, ProofTask::Join { first: 2, last: 3 });
    let leases = bed.store().leases().await.unwrap();
    assert_eq!(leases.iter().map(|l| (l.first_batch, l.batch_number)).collect::<Vec<_>>(), [(2, 3)]);
    managing.run.stop().await;
}

/// Only what is wanted and can be made is given out: not what is verified, lacks a proof, is longer than allowed, or is of a kind
/// that nobody joins. While a range is out, its last batch can still be proven by itself.
#[actix::test]
async fn ranges_that_cannot_be_are_not_given_out() {
    let bed = Bed::new().await;
    let managing = start(&bed, "manager-vain-join").await;
    let batches = managing.proven(&bed, 9).await;
    for (first, last) in [(1, 9), (3, 3), (4, 3), (9, 10), (0, 2)] {
        managing.join(first, last).await;
        assert_eq!(managing.request("a").await, idle(), "{first} to {last}");
    }
    managing.join(1, 8).await;
    assert_eq!(managing.work("a").await.task, ProofTask::Join { first: 1, last: 8 });
    bed.store().remove_proof(8, ProverType::Exec).await.unwrap();
    let alone = managing.work("b").await;
    assert_eq!(alone.task, ProofTask::Batch { number: 8 });
    assert_eq!(managing.request("c").await, idle());
    assert_eq!(managing.submit("b", alone.lease, &managing.proof(&batches[7])).await, SubmitReply::Accepted);
    let leases = bed.store().leases().await.unwrap();
    assert_eq!(leases.iter().map(|l| (l.first_batch, l.batch_number)).collect::<Vec<_>>(), [(1, 8)]);
    // Verified one by one meanwhile.
    let work = managing.work("a").await;
    bed.store().mark_verified(1, None).await.unwrap();
    assert_eq!(managing.heartbeat("a", 1, &work).await, LeaseState::Done);
    assert_eq!(bed.store().leases().await.unwrap(), []);
    assert_eq!(managing.request("a").await, idle());
    let late = managing.range_proof(&batches[0], &batches[7]);
    let reply = managing.submit("a", work.lease, &late).await;
    assert_eq!(reply, SubmitReply::Rejected(ProofRejection::NotWanted), "which is not held against it");
    managing.run.stop().await;
}

/// SEQ-INV-8: whatever message a panic comes at, the proof of the range is there in the end, once.
#[actix::test]
async fn a_panic_at_any_message_loses_no_range() {
    let bed = Bed::new().await;
    let name = "manager-join-panics";
    let managing = start(&bed, name).await;
    let mut batches = managing.proven(&bed, 1).await;
    for nth in 1..=6 {
        batches.extend(managing.proven(&bed, 1).await);
        faults::arm(name, nth);
        let mut accepted = false;
        while faults::armed().iter().any(|f| f.component == name) || !accepted {
            // As the ProofSender does: again and again.
            drop(managing.run.handle.call(JoinProofs { first: 1, last: nth + 1 }).await);
            if let WorkReply::Work(work) = managing.request("a").await {
                let proof = managing.range_proof(&batches[0], batches.last().unwrap());
                let reply = managing.submit("a", work.lease, &proof).await;
                assert!(matches!(reply, SubmitReply::Accepted | SubmitReply::Duplicate), "{reply:?}");
                accepted = true;
            }
        }
        assert_eq!(bed.store().range_proofs_from(1).await.unwrap().len() as u64, nth);
    }
    assert_eq!(bed.store().leases().await.unwrap(), []);
    managing.run.stop().await;
}

// ----------------------------------------------------------------------------------------------------- announcements

/// Proofs are announced when they are complete, when the batch is committed, when its turn comes, and after a start.
#[actix::test]
async fn complete_proofs_are_announced() {
    let bed = Bed::new().await;
    let mut managing = start(&bed, "manager-announce").await;
    let batches = [bed.batch().await, bed.batch().await];
    for batch in &batches {
        let work = managing.work("a").await;
        managing.submit("a", work.lease, &managing.proof(batch)).await;
        assert_eq!(next(&mut managing.ready).await.batch_number, batch.header.number);
    }
    let committed = BatchCommitted { number: 2, last_block: 2, transaction: None };
    managing.run.handle.tell(committed).await.unwrap();
    while next(&mut managing.ready).await.batch_number != 2 {}
    bed.store().mark_verified(1, None).await.unwrap();
    let verified = BatchVerified { number: 1, last_block: 1, transaction: None };
    managing.run.handle.tell(verified).await.unwrap();
    while next(&mut managing.ready).await.batch_number != 2 {}
    managing.run.restart().await;
    while next(&mut managing.ready).await.batch_number != 2 {}
    // What is verified is not announced any more.
    bed.store().mark_verified(2, None).await.unwrap();
    managing.run.handle.call(Step).await.unwrap();
    managing.run.stop().await;
}
