//! Tests of the component with a real actor, a real store, a mocked L1 and a mocked L1Sender.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes};
use ensemble_batch::{ProgramKey, PublicValues};
use ensemble_contracts::calls;
use ensemble_l1::mock::Method;
use ensemble_messages::{
    BatchCommitted, BatchProof, BatchVerified, IntentKind, JoinGivenUp, JoinProofs, ProofReady, ProverType,
    SendReply, SenderRole, TxConfirmed, TxFailed, TxIntent,
};
use ensemble_store::{BatchRecord, BatchStatus};
use ensemble_supervision::{ExitReason, faults};
use tokio::sync::mpsc::Receiver;

use super::{ProofSender, ProofSenderConfig, ProofSenderOutlets, ProofVerifier, RangeLimits};
use crate::testing::{Bed, FakeSender, PROPOSER, Proposer, Running, next, run, tap, unreachable_l1, until};
use crate::{ProofPolicy, ProofSlot};

struct Verifying {
    run: Running<ProofSender>,
    asked: Receiver<TxIntent>,
    sender: FakeSender,
    verified: Receiver<BatchVerified>,
    joins: Receiver<JoinProofs>,
    proposer: Proposer,
}

async fn start(bed: &Bed, name: &str, proofs: &[ProverType]) -> Verifying {
    start_with(bed, name, ProofPolicy::all_of(proofs)).await
}

async fn start_with(bed: &Bed, name: &str, policy: ProofPolicy) -> Verifying {
    start_ranges(bed, name, policy, RangeLimits::SINGLE).await
}

/// The contract that checks proofs of `exec`.
const VERIFIER: Address = Address::repeat_byte(0xee);

async fn start_ranges(bed: &Bed, name: &str, policy: ProofPolicy, ranges: RangeLimits) -> Verifying {
    let (sender, asked) = FakeSender::new();
    let (batch_verified, verified) = tap();
    let (join_proofs, joins) = tap();
    let out = Arc::new(ProofSenderOutlets { sender: sender.outlet(), join_proofs, batch_verified });
    let proposer = Proposer::on(&bed.l1);
    let exec =
        ProofVerifier { kind: ProverType::Exec, address: VERIFIER, program_key: ProgramKey(B256::ZERO) };
    let config = ProofSenderConfig { policy, verifiers: vec![exec], ranges, poll: Duration::from_secs(3600) };
    let services = bed.services.clone();
    let run =
        run(name, move |seat| ProofSender::new(seat, config.clone(), services.clone(), Arc::clone(&out)))
            .await;
    Verifying { run, asked, sender, verified, joins, proposer }
}

impl Verifying {
    /// Has a whole step done, from the look at L1 to the end.
    async fn whole_step(&self, bed: &Bed) {
        // The first may be under way already; the second begins after it.
        for _ in 0..2 {
            let looks = bed.l1.requests(Method::Call);
            self.run.step().await;
            until("a look at L1", || async { bed.l1.requests(Method::Call) > looks }).await;
        }
        self.run.handle.call(crate::Step).await.unwrap();
    }
}

fn proof(batch_number: u64, prover_type: ProverType) -> BatchProof {
    BatchProof {
        prover_type,
        batch_number,
        public_values: PublicValues { from: B256::ZERO, to: B256::ZERO },
        program_key: ProgramKey(B256::ZERO),
        proof: Bytes::from(format!("{prover_type} proof of {batch_number}").into_bytes()),
    }
}

async fn prove(bed: &Bed, number: u64, kind: ProverType) {
    assert!(bed.store().insert_proof(&proof(number, kind), "p").await.unwrap());
}

/// Batches in the store, all of them committed.
async fn committed(bed: &Bed, count: u64) -> Vec<BatchRecord> {
    let mut out = Vec::new();
    for _ in 0..count {
        let batch = bed.batch().await;
        bed.store().mark_committed(batch.header.number, None).await.unwrap();
        out.push(batch);
    }
    out
}

fn wanted(batch: &BatchRecord, kinds: &[ProverType], id: &TxIntent) -> TxIntent {
    let number = batch.header.number;
    let proofs: Vec<Bytes> = kinds.iter().map(|kind| proof(number, *kind).proof).collect();
    TxIntent {
        id: id.id.clone(),
        role: SenderRole::Prover,
        kind: IntentKind::VerifyBatches { first: number, last: number },
        to: PROPOSER,
        data: calls::verify_batches(&batch.header, &proofs),
        blobs: 0,
    }
}

fn ready(batch_number: u64) -> ProofReady {
    ProofReady { batch_number, prover_types: vec![] }
}

/// SEQ-INV-7: with k of n, any k go to L1 at once, in the places of their backends; the other places are empty.
#[actix::test]
async fn enough_proofs_are_enough() {
    let bed = Bed::new().await;
    let slot = |kind| Some(ProofSlot { kind, required: false });
    let policy = ProofPolicy {
        slots: vec![slot(ProverType::Risc0), None, slot(ProverType::Sp1), slot(ProverType::Exec)],
        threshold: 2,
    };
    let mut verifying = start_with(&bed, "proofs-enough", policy).await;
    let batch = committed(&bed, 1).await.remove(0);
    prove(&bed, 1, ProverType::Exec).await;
    prove(&bed, 1, ProverType::Pico).await;
    verifying.run.handle.tell(ready(1)).await.unwrap();
    verifying.whole_step(&bed).await;
    assert!(verifying.asked.try_recv().is_err(), "one is not enough, and nobody wants Pico's");
    prove(&bed, 1, ProverType::Risc0).await;
    verifying.run.handle.tell(ready(1)).await.unwrap();
    let intent = next(&mut verifying.asked).await;
    let of = |kind| proof(1, kind).proof;
    let proofs = [of(ProverType::Risc0), Bytes::new(), Bytes::new(), of(ProverType::Exec)];
    assert_eq!(intent.data, calls::verify_batches(&batch.header, &proofs));
    verifying.run.stop().await;
}

/// SEQ-INV-7: nothing is verified before it is committed and every proof is there; the proofs go in the contract's
/// order, whatever order they came in.
#[actix::test]
async fn waits_for_commit_and_all_proofs() {
    let bed = Bed::new().await;
    let kinds = [ProverType::Risc0, ProverType::Exec];
    let batch = bed.batch().await;
    let mut verifying = start(&bed, "proofs-wait", &kinds).await;
    prove(&bed, 1, ProverType::Exec).await;
    prove(&bed, 1, ProverType::Sp1).await;
    verifying.run.handle.tell(ready(1)).await.unwrap();
    verifying.whole_step(&bed).await;
    prove(&bed, 1, ProverType::Risc0).await;
    verifying.run.handle.tell(ready(1)).await.unwrap();
    verifying.whole_step(&bed).await;
    assert!(verifying.asked.try_recv().is_err(), "it is not committed");
    bed.store().mark_committed(1, None).await.unwrap();
    let told = BatchCommitted { number: 1, last_block: 1, transaction: None };
    verifying.run.handle.tell(told).await.unwrap();
    let intent = next(&mut verifying.asked).await;
    assert_eq!(intent, wanted(&batch, &kinds, &intent));
    verifying.whole_step(&bed).await;
    assert!(verifying.asked.try_recv().is_err(), "asked for once");
    verifying.run.stop().await;
}

/// SEQ-INV-7: a committed batch that lacks one proof waits for it.
#[actix::test]
async fn a_missing_proof_is_waited_for() {
    let bed = Bed::new().await;
    let kinds = [ProverType::Exec, ProverType::Sp1];
    committed(&bed, 1).await;
    let mut verifying = start(&bed, "proofs-missing", &kinds).await;
    prove(&bed, 1, ProverType::Exec).await;
    verifying.whole_step(&bed).await;
    assert!(verifying.asked.try_recv().is_err());
    prove(&bed, 1, ProverType::Sp1).await;
    verifying.run.handle.tell(ready(1)).await.unwrap();
    next(&mut verifying.asked).await;
    verifying.run.stop().await;
}

/// Batches are verified in order, though the later one is proven first.
#[actix::test]
async fn batches_are_verified_in_order() {
    let bed = Bed::new().await;
    let batches = committed(&bed, 3).await;
    let mut verifying = start(&bed, "proofs-order", &[ProverType::Exec]).await;
    for number in [3, 2] {
        prove(&bed, number, ProverType::Exec).await;
        verifying.run.handle.tell(ready(number)).await.unwrap();
    }
    verifying.whole_step(&bed).await;
    assert!(verifying.asked.try_recv().is_err(), "batch 1 comes first");
    prove(&bed, 1, ProverType::Exec).await;
    verifying.run.handle.tell(ready(1)).await.unwrap();
    for batch in &batches {
        let number = batch.header.number;
        let intent = next(&mut verifying.asked).await;
        assert_eq!(intent, wanted(batch, &[ProverType::Exec], &intent));
        let transaction = B256::with_last_byte(u8::try_from(number).unwrap());
        bed.store().put_intent(&intent).await.unwrap();
        bed.store().confirm_intent(&intent.id, transaction).await.unwrap();
        verifying.proposer.verify(number);
        let told =
            TxConfirmed { id: intent.id, kind: intent.kind, transaction, l1_block: number, gas_used: 1 };
        verifying.run.handle.tell(told).await.unwrap();
        let told = next(&mut verifying.verified).await;
        assert_eq!((told.number, told.last_block, told.transaction), (number, number, Some(transaction)));
        let stored = bed.store().batch(number).await.unwrap().unwrap();
        assert_eq!((stored.status, stored.verify_tx), (BatchStatus::Verified, Some(transaction)));
        let pruned = || async { bed.store().block_extras(number).await.unwrap().unwrap().witness.is_empty() };
        until("the witness is not needed any more", pruned).await;
    }
    assert!(bed.store().batches_at(BatchStatus::Committed).await.unwrap().is_empty());
    verifying.run.stop().await;
}

/// L1 shows a verification before L1Sender has confirmed it: the transaction that did it is told all the same.
#[actix::test]
async fn a_verification_that_is_not_confirmed_yet_has_its_transaction() {
    let bed = Bed::new().await;
    committed(&bed, 2).await;
    let mut verifying = start(&bed, "proofs-unconfirmed", &[ProverType::Exec]).await;
    for number in 1..=2 {
        prove(&bed, number, ProverType::Exec).await;
        verifying.run.handle.tell(ready(number)).await.unwrap();
        let intent = next(&mut verifying.asked).await;
        // Of the second one, L1 has no receipt: somebody else may have verified it.
        let expected = match number {
            1 => Some(bed.mine_unconfirmed(&intent).await),
            _ => None,
        };
        verifying.proposer.verify(number);
        verifying.run.step().await;
        let told = next(&mut verifying.verified).await;
        assert_eq!((told.number, told.transaction), (number, expected));
        assert_eq!(bed.store().batch(number).await.unwrap().unwrap().verify_tx, expected);
    }
    verifying.run.stop().await;
}

/// SEQ-INV-8: whatever message a panic comes at, the same bytes are asked for again and every batch is verified.
#[actix::test]
async fn a_panic_at_any_message_loses_nothing() {
    let bed = Bed::new().await;
    let name = "proofs-panics";
    let batches = committed(&bed, 5).await;
    let mut verifying = start(&bed, name, &[ProverType::Exec]).await;
    for batch in &batches {
        let number = batch.header.number;
        faults::arm(name, number);
        prove(&bed, number, ProverType::Exec).await;
        for _ in 0..number {
            verifying.run.handle.tell(ready(number)).await.unwrap();
        }
        verifying.run.restarted().await;
        let intent = next(&mut verifying.asked).await;
        assert_eq!(intent, wanted(batch, &[ProverType::Exec], &intent));
        verifying.run.restart().await;
        // Once by the new instance, and perhaps once by the one before.
        assert_eq!(next(&mut verifying.asked).await, intent);
        while let Ok(again) = verifying.asked.try_recv() {
            assert_eq!(again, intent);
        }
        verifying.proposer.verify(number);
        verifying.run.step().await;
        assert_eq!(next(&mut verifying.verified).await.number, number);
    }
    assert!(verifying.run.status().failures >= 5);
    verifying.run.stop().await;
}

/// A verification that failed is asked for again with the same bytes, also when nobody says that it failed.
#[actix::test]
async fn a_failed_verification_is_asked_for_again() {
    let bed = Bed::new().await;
    committed(&bed, 1).await;
    prove(&bed, 1, ProverType::Exec).await;
    let mut verifying = start(&bed, "proofs-failed", &[ProverType::Exec]).await;
    let intent = next(&mut verifying.asked).await;
    let told = TxFailed {
        id: intent.id.clone(),
        kind: intent.kind,
        transaction: None,
        reason: "InvalidProof()".into(),
    };
    verifying.run.handle.tell(told).await.unwrap();
    let reason = verifying.run.degraded().await;
    assert!(reason.contains(&intent.id.0) && reason.contains("InvalidProof()"), "{reason}");
    assert_eq!(next(&mut verifying.asked).await, intent);
    verifying.run.recovered().await;

    bed.store().put_intent(&intent).await.unwrap();
    bed.store().fail_intent(&intent.id, "Paused()").await.unwrap();
    verifying.run.step().await;
    let reason = verifying.run.degraded().await;
    assert!(reason.contains("Paused()"), "{reason}");
    assert_eq!(next(&mut verifying.asked).await, intent);
    assert_eq!(verifying.run.status().restarts, 0);
    verifying.run.stop().await;
}

/// L1Sender refuses, then takes it.
#[actix::test]
async fn a_refusing_sender_is_asked_again() {
    let bed = Bed::new().await;
    committed(&bed, 1).await;
    prove(&bed, 1, ProverType::Exec).await;
    let (sender, mut asked) = FakeSender::new();
    sender.reply(SendReply::Refused { reason: "disk full".into() });
    Proposer::on(&bed.l1);
    let out = Arc::new(ProofSenderOutlets {
        sender: sender.outlet(),
        join_proofs: Default::default(),
        batch_verified: Default::default(),
    });
    let config = ProofSenderConfig {
        policy: ProofPolicy::all_of(&[ProverType::Exec]),
        verifiers: vec![],
        ranges: RangeLimits::SINGLE,
        poll: Duration::from_secs(3600),
    };
    let services = bed.services.clone();
    let mut run = run("proofs-refused", move |seat| {
        ProofSender::new(seat, config.clone(), services.clone(), Arc::clone(&out))
    })
    .await;
    let first = next(&mut asked).await;
    let reason = run.degraded().await;
    assert!(reason.contains("disk full"), "{reason}");
    assert_eq!(next(&mut asked).await, first);
    run.recovered().await;
    run.stop().await;
}

/// Batches that somebody else had verified are noticed, all of them, and the next one is asked for.
#[actix::test]
async fn verifications_of_others_are_noticed() {
    let bed = Bed::new().await;
    let batches = committed(&bed, 3).await;
    prove(&bed, 3, ProverType::Exec).await;
    let mut verifying = start(&bed, "proofs-others", &[ProverType::Exec]).await;
    verifying.proposer.verify(2);
    verifying.run.step().await;
    for number in 1..=2 {
        let told = next(&mut verifying.verified).await;
        assert_eq!((told.number, told.transaction), (number, None));
    }
    let intent = next(&mut verifying.asked).await;
    assert_eq!(intent, wanted(&batches[2], &[ProverType::Exec], &intent));
    verifying.run.stop().await;
}

/// L1 has verified batches that the store does not know: the store belongs to another chain or is too old.
#[actix::test]
async fn unknown_verified_batches_are_fatal() {
    let bed = Bed::new().await;
    committed(&bed, 1).await;
    let mut verifying = start(&bed, "proofs-unknown", &[]).await;
    verifying.proposer.verify(3);
    verifying.run.step().await;
    let reason = verifying.run.escalated().await;
    assert!(reason.contains("last verified batch on L1 is 3, the store has 1"), "{reason}");
    let end = verifying.run.system.wait().await;
    assert!(matches!(end, ExitReason::Escalated { .. }), "{end:?}");
}

/// SEQ-INV-7: a reorg takes verifications away that were confirmed. Once that is certain, and not before, the batches are
/// committed ones again, and are verified anew with the proofs of the store.
#[actix::test]
async fn a_dropped_verification_is_sent_again() {
    let bed = Bed::new().await;
    let batches = committed(&bed, 3).await;
    for number in 1..=3 {
        prove(&bed, number, ProverType::Exec).await;
    }
    let mut verifying = start(&bed, "proofs-dropped", &[ProverType::Exec]).await;
    let mut first = Vec::new();
    for number in 1..=3 {
        let intent = next(&mut verifying.asked).await;
        bed.store().put_intent(&intent).await.unwrap();
        bed.store().confirm_intent(&intent.id, B256::with_last_byte(9)).await.unwrap();
        first.push(intent);
        verifying.proposer.verify(number);
        verifying.run.step().await;
        assert_eq!(next(&mut verifying.verified).await.number, number);
    }
    let head = bed.l1.mine_many(10).number;
    verifying.proposer.verify(1);
    for _ in 0..3 {
        verifying.whole_step(&bed).await;
        assert_eq!(bed.store().batches_at(BatchStatus::Verified).await.unwrap(), [1, 2, 3], "may be a lag");
        bed.l1.mine();
    }
    assert_eq!(bed.l1.head().number, head + 3);
    verifying.run.step().await;
    for (number, before) in [(2, &first[1]), (3, &first[2])] {
        let intent = next(&mut verifying.asked).await;
        assert_eq!(&intent, before, "the same bytes");
        assert_eq!(
            intent,
            wanted(&batches[usize::try_from(number).unwrap() - 1], &[ProverType::Exec], &intent)
        );
        assert!(bed.store().batches_at(BatchStatus::Committed).await.unwrap().contains(&number));
        let state = bed.store().put_intent(&intent).await.unwrap();
        assert_eq!(state, ensemble_store::IntentState::Pending, "L1Sender does not think that it is done");
        verifying.proposer.verify(number);
        verifying.run.step().await;
        assert_eq!(next(&mut verifying.verified).await.number, number);
    }
    assert_eq!(verifying.run.status().restarts, 0);
    verifying.run.stop().await;
}

/// A verification that was confirmed and dropped before anybody saw it on L1 is sent again as well; what is only late is
/// waited for.
#[actix::test]
async fn a_verification_dropped_unseen_is_sent_again() {
    let bed = Bed::new().await;
    committed(&bed, 1).await;
    let mut verifying = start(&bed, "proofs-unseen", &[]).await;
    let intent = next(&mut verifying.asked).await;
    bed.store().put_intent(&intent).await.unwrap();
    bed.store().confirm_intent(&intent.id, B256::with_last_byte(9)).await.unwrap();
    for _ in 0..3 {
        verifying.whole_step(&bed).await;
        assert!(verifying.asked.try_recv().is_err(), "the node may be behind");
        bed.l1.mine();
    }
    verifying.run.step().await;
    assert_eq!(next(&mut verifying.asked).await, intent);
    verifying.run.stop().await;
}

/// SEQ-INV-7: a batch whose deposits L1 does not have is not sent to be refused; the reason is told, and it goes on when
/// L1 has them.
#[actix::test]
async fn a_batch_without_its_deposits_waits() {
    for (name, on_l1) in [("proofs-none", None), ("proofs-other", Some(B256::repeat_byte(5)))] {
        let bed = Bed::new().await;
        let mut verifying = start(&bed, name, &[]).await;
        verifying.proposer.deposits_hash(on_l1);
        committed(&bed, 1).await;
        verifying.run.step().await;
        let reason = verifying.run.degraded().await;
        assert!(reason.contains("batch 1 cannot be verified: L1 does not have the deposits"), "{reason}");
        assert!(verifying.asked.try_recv().is_err());
        verifying.proposer.deposits_hash(Some(B256::ZERO));
        verifying.run.step().await;
        next(&mut verifying.asked).await;
        verifying.run.recovered().await;
        assert_eq!(verifying.run.status().restarts, 0);
        verifying.run.stop().await;
    }
}

const TOGETHER: RangeLimits = RangeLimits {
    max_batches: 8,
    collect: Duration::ZERO,
    join_timeout: Duration::from_secs(30),
    boundary: None,
};

/// Committed batches, each with a proof of its own.
async fn proven(bed: &Bed, count: u64) -> Vec<BatchRecord> {
    let batches = committed(bed, count).await;
    for batch in &batches {
        prove(bed, batch.header.number, ProverType::Exec).await;
    }
    batches
}

fn range_proof(last: u64) -> BatchProof {
    BatchProof {
        proof: Bytes::from(format!("proof up to {last}").into_bytes()),
        ..proof(last, ProverType::Exec)
    }
}

/// What is asked for when the batches from `first` to this one are verified together.
fn range_wanted(first: u64, last: &BatchRecord, id: &TxIntent) -> TxIntent {
    let number = last.header.number;
    TxIntent {
        kind: IntentKind::VerifyBatches { first, last: number },
        data: calls::verify_batches(&last.header, &[range_proof(number).proof]),
        ..wanted(last, &[], id)
    }
}

fn exec_only() -> ProofPolicy {
    ProofPolicy::all_of(&[ProverType::Exec])
}

/// SEQ-INV-7: batches that wait together get one proof and one transaction, and each of them learns which it was.
#[actix::test]
async fn batches_that_wait_are_verified_together() {
    let bed = Bed::new().await;
    let batches = proven(&bed, 3).await;
    let mut verifying = start_ranges(&bed, "proofs-together", exec_only(), TOGETHER).await;
    assert_eq!(next(&mut verifying.joins).await, JoinProofs { first: 1, last: 3 });
    verifying.whole_step(&bed).await;
    assert_eq!(
        next(&mut verifying.joins).await,
        JoinProofs { first: 1, last: 3 },
        "said again: it is a hint"
    );
    assert!(verifying.asked.try_recv().is_err(), "the proof of the range is waited for");
    assert!(bed.store().insert_range_proof(1, &range_proof(3), "p").await.unwrap());
    verifying.run.handle.tell(ready(3)).await.unwrap();
    let intent = next(&mut verifying.asked).await;
    assert_eq!(intent, range_wanted(1, &batches[2], &intent));

    let transaction = B256::with_last_byte(7);
    bed.store().put_intent(&intent).await.unwrap();
    bed.store().confirm_intent(&intent.id, transaction).await.unwrap();
    verifying.proposer.verify(3);
    verifying.run.step().await;
    for number in 1..=3 {
        let told = next(&mut verifying.verified).await;
        assert_eq!((told.number, told.transaction), (number, Some(transaction)));
    }
    // One batch alone needs no other proof.
    let batch = proven_next(&bed, 4).await;
    verifying.run.step().await;
    let intent = next(&mut verifying.asked).await;
    assert_eq!(intent, wanted(&batch, &[ProverType::Exec], &intent));
    verifying.run.stop().await;
}

async fn proven_next(bed: &Bed, number: u64) -> BatchRecord {
    let batch = bed.batch().await;
    assert_eq!(batch.header.number, number);
    bed.store().mark_committed(number, None).await.unwrap();
    prove(bed, number, ProverType::Exec).await;
    batch
}

/// When nobody makes the proof of the range, its batches go one by one.
#[actix::test]
async fn a_range_that_is_not_proven_in_time_goes_one_by_one() {
    let bed = Bed::new().await;
    let batches = proven(&bed, 2).await;
    let mut verifying = start_ranges(&bed, "proofs-late", exec_only(), TOGETHER).await;
    next(&mut verifying.joins).await;
    bed.clock.advance(30_000);
    verifying.run.step().await;
    for batch in &batches {
        let intent = next(&mut verifying.asked).await;
        assert_eq!(intent, wanted(batch, &[ProverType::Exec], &intent));
        // Too late.
        bed.store().insert_range_proof(1, &range_proof(2), "p").await.unwrap();
        verifying.proposer.verify(batch.header.number);
        verifying.run.step().await;
        next(&mut verifying.verified).await;
    }
    verifying.run.stop().await;
}

/// When provers say that they make no proof of the range, its batches go one by one at once.
#[actix::test]
async fn a_range_that_is_given_up_goes_one_by_one() {
    let bed = Bed::new().await;
    let batches = proven(&bed, 2).await;
    let mut verifying = start_ranges(&bed, "proofs-given-up", exec_only(), TOGETHER).await;
    let range = next(&mut verifying.joins).await;
    let of = |range| JoinGivenUp { range, reason: "nobody knows how".into() };
    verifying.run.handle.tell(of(JoinProofs { last: 7, ..range })).await.unwrap();
    assert_eq!(next(&mut verifying.joins).await, range, "another range was given up");
    assert!(verifying.asked.try_recv().is_err());
    verifying.run.handle.tell(of(range)).await.unwrap();
    for batch in &batches {
        let intent = next(&mut verifying.asked).await;
        assert_eq!(intent, wanted(batch, &[ProverType::Exec], &intent));
        verifying.proposer.verify(batch.header.number);
        verifying.run.step().await;
        next(&mut verifying.verified).await;
    }
    verifying.run.stop().await;
}

/// SEQ-INV-7: a range that L1 does not take is not tried for ever: its proof is removed when the verifier refuses it, and
/// the batches go one by one.
#[actix::test]
async fn a_range_that_l1_refuses_goes_one_by_one() {
    let bed = Bed::new().await;
    let batches = proven(&bed, 2).await;
    bed.store().insert_range_proof(1, &range_proof(2), "liar").await.unwrap();
    let mut verifying = start_ranges(&bed, "proofs-range-refused", exec_only(), TOGETHER).await;
    let range = next(&mut verifying.asked).await;
    assert_eq!(range, range_wanted(1, &batches[1], &range));
    bed.store().put_intent(&range).await.unwrap();
    bed.store().fail_intent(&range.id, "InvalidProof()").await.unwrap();
    verifying.proposer.refuse_proofs(true);
    verifying.run.step().await;
    let reason = verifying.run.degraded().await;
    assert!(reason.contains("InvalidProof()"), "{reason}");
    for batch in &batches {
        let intent = next(&mut verifying.asked).await;
        assert_eq!(intent, wanted(batch, &[ProverType::Exec], &intent));
        verifying.proposer.verify(batch.header.number);
        verifying.run.step().await;
        next(&mut verifying.verified).await;
    }
    assert!(bed.store().range_proofs_from(1).await.unwrap().is_empty());
    assert!(verifying.joins.try_recv().is_err());
    verifying.run.stop().await;
}

/// SEQ-INV-7: a proof of a batch that its verifier refuses is removed, so that the batch is proven anew, but not for ever;
/// and one that it takes stays, whatever else the verification failed of.
#[actix::test]
async fn a_proof_that_l1_refuses_is_made_anew() {
    let bed = Bed::new().await;
    proven(&bed, 1).await;
    let mut verifying = start(&bed, "proofs-bad", &[ProverType::Exec]).await;
    let missing = || async { bed.store().batches_without_proof(ProverType::Exec, 0, 9).await.unwrap() };
    for round in 0..6 {
        let intent = next(&mut verifying.asked).await;
        bed.store().put_intent(&intent).await.unwrap();
        verifying.proposer.refuse_proofs(round > 0);
        let told =
            TxFailed { id: intent.id.clone(), kind: intent.kind, transaction: None, reason: "no".into() };
        bed.store().fail_intent(&intent.id, "no").await.unwrap();
        verifying.run.handle.tell(told).await.unwrap();
        verifying.run.degraded().await;
        let removed = !missing().await.is_empty();
        assert_eq!(removed, (1..=3).contains(&round), "round {round}");
        if removed {
            prove(&bed, 1, ProverType::Exec).await;
            verifying.run.step().await;
        }
        verifying.run.recovered().await;
    }
    verifying.run.stop().await;
}

/// SEQ-INV-5: after a restart the verification that is under way is looked after, and no other one with a batch of its
/// range is asked for, though a longer range has a proof by now.
#[actix::test]
async fn no_other_range_while_one_is_under_way() {
    let bed = Bed::new().await;
    let batches = proven(&bed, 4).await;
    bed.store().insert_range_proof(1, &range_proof(2), "p").await.unwrap();
    let mut verifying = start_ranges(&bed, "proofs-one-range", exec_only(), TOGETHER).await;
    let range = next(&mut verifying.asked).await;
    assert_eq!(range, range_wanted(1, &batches[1], &range));
    bed.store().put_intent(&range).await.unwrap();
    bed.store().insert_range_proof(1, &range_proof(4), "p").await.unwrap();
    verifying.run.restart().await;
    assert_eq!(next(&mut verifying.asked).await, range);
    verifying.whole_step(&bed).await;
    assert!(verifying.asked.try_recv().is_err());
    verifying.proposer.verify(2);
    verifying.run.step().await;
    assert_eq!(next(&mut verifying.joins).await, JoinProofs { first: 3, last: 4 });

    // A verification of a later batch, from before a reorg: nothing that is asked for has that batch, too.
    let later = TxIntent {
        kind: IntentKind::VerifyBatches { first: 4, last: 4 },
        ..wanted(&batches[3], &[], &range)
    };
    let id = format!("verify-4-{}", alloy_primitives::hex::encode(&batches[3].header.hash()[..8]));
    let later = TxIntent { id: ensemble_messages::IntentId(id), ..later };
    bed.store().put_intent(&later).await.unwrap();
    bed.store().insert_range_proof(3, &range_proof(4), "p").await.unwrap();
    verifying.run.step().await;
    let intent = next(&mut verifying.asked).await;
    assert_eq!(intent, wanted(&batches[2], &[ProverType::Exec], &intent));
    verifying.run.stop().await;
}

/// SEQ-INV-7: a reorg takes the verification of a range away: each of its batches is a committed one again, and the same
/// bytes verify all of them anew, although one of them could go by itself.
#[actix::test]
async fn a_dropped_range_is_sent_again() {
    let bed = Bed::new().await;
    proven(&bed, 3).await;
    bed.store().insert_range_proof(1, &range_proof(3), "p").await.unwrap();
    let mut verifying = start_ranges(&bed, "proofs-range-dropped", exec_only(), TOGETHER).await;
    let range = next(&mut verifying.asked).await;
    for transaction in [7, 8] {
        assert_eq!(bed.store().put_intent(&range).await.unwrap(), ensemble_store::IntentState::Pending);
        let transaction = B256::with_last_byte(transaction);
        bed.store().confirm_intent(&range.id, transaction).await.unwrap();
        verifying.proposer.verify(3);
        verifying.run.step().await;
        for number in 1..=3 {
            let told = next(&mut verifying.verified).await;
            assert_eq!((told.number, told.transaction), (number, Some(transaction)));
        }
        if transaction == B256::with_last_byte(8) {
            break;
        }
        verifying.proposer.verify(0);
        for _ in 0..3 {
            verifying.whole_step(&bed).await;
            assert!(verifying.asked.try_recv().is_err(), "may be a lag");
            bed.l1.mine();
        }
        verifying.run.step().await;
        assert_eq!(next(&mut verifying.asked).await, range, "the same bytes");
        assert_eq!(bed.store().batches_at(BatchStatus::Committed).await.unwrap(), [1, 2, 3]);
    }
    assert!(verifying.joins.try_recv().is_err());
    verifying.run.stop().await;
}

/// In dev mode a range needs no proof.
#[actix::test]
async fn dev_mode_verifies_what_is_there() {
    let bed = Bed::new().await;
    let batches = committed(&bed, 3).await;
    let mut verifying = start_ranges(&bed, "proofs-dev-range", ProofPolicy::default(), TOGETHER).await;
    let intent = next(&mut verifying.asked).await;
    let kind = IntentKind::VerifyBatches { first: 1, last: 3 };
    assert_eq!(intent, TxIntent { kind, ..wanted(&batches[2], &[], &intent) });
    verifying.run.stop().await;
}

/// In dev mode batches are verified without proofs.
#[actix::test]
async fn dev_mode_needs_no_proofs() {
    let bed = Bed::new().await;
    let batches = committed(&bed, 1).await;
    let mut verifying = start(&bed, "proofs-dev", &[]).await;
    let intent = next(&mut verifying.asked).await;
    assert_eq!(intent, wanted(&batches[0], &[], &intent));
    verifying.run.stop().await;
}

#[actix::test]
async fn an_unreachable_l1_is_waited_for() {
    let bed = Bed::new().await;
    committed(&bed, 1).await;
    bed.l1.fail(Method::Call, unreachable_l1(), 2);
    let mut verifying = start(&bed, "proofs-unreachable", &[]).await;
    let reason = verifying.run.degraded().await;
    assert!(reason.contains("connection refused"), "{reason}");
    next(&mut verifying.asked).await;
    verifying.run.recovered().await;
    assert_eq!(verifying.run.status().restarts, 0);
    assert!(verifying.sender.outlet().name().len() < 1_000);
    verifying.run.stop().await;
}
