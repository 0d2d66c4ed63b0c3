//! Tests of the component with a real actor, a real store, real keys and a mocked L1 that keeps the rules of a pool.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use ensemble_batch::blob;
use ensemble_l1::{
    BlobTx, Eip1559Tx, FeePlan, FeePolicy, L1Client as _, L1Error, Sidecar, SidecarVersion, TxManagerConfig,
    Wallet,
    mock::{Method, MockEffects},
};
use ensemble_messages::{
    IntentId, IntentKind, Send as SendTx, SendReply, SenderRole, TxConfirmed, TxFailed, TxIntent,
};
use ensemble_store::{IntentState, SignedTransaction};
use ensemble_supervision::{CallError, faults};
use tokio::sync::mpsc::Receiver;

use super::{L1Sender, L1SenderConfig, L1SenderOutlets, SenderKey};
use crate::testing::{Bed, L1_CHAIN, LIMIT, PROPOSER, Running, next, run, tap, unreachable_l1, until};

struct Sending {
    run: Running<L1Sender>,
    confirmed: Receiver<TxConfirmed>,
    failed: Receiver<TxFailed>,
}

fn wallet(n: u8) -> Wallet {
    Wallet::from_hex(format!("{n:064x}")).unwrap()
}

fn committer() -> Address {
    wallet(1).address()
}

fn prover() -> Address {
    wallet(2).address()
}

fn config() -> L1SenderConfig {
    L1SenderConfig {
        keys: vec![
            SenderKey { role: SenderRole::Committer, wallet: Arc::new(wallet(1)) },
            SenderKey { role: SenderRole::Prover, wallet: Arc::new(wallet(2)) },
        ],
        manager: TxManagerConfig {
            max_in_flight: 4,
            resubmit_after: LIMIT * 10,
            receipt_poll: Duration::from_millis(20),
            confirmations: 1,
            max_replacements: 3,
        },
        fees: FeePolicy::default(),
        sidecar: SidecarVersion::V0,
        poll: Duration::from_millis(20),
    }
}

async fn start_with(bed: &Bed, name: &str, config: L1SenderConfig) -> Sending {
    let (confirmed_out, confirmed) = tap();
    let (failed_out, failed) = tap();
    let out = Arc::new(L1SenderOutlets { confirmed: confirmed_out, failed: failed_out });
    let services = bed.services.clone();
    let run =
        run(name, move |seat| L1Sender::new(seat, config.clone(), services.clone(), Arc::clone(&out))).await;
    Sending { run, confirmed, failed }
}

async fn start(bed: &Bed, name: &str) -> Sending {
    for address in [committer(), prover()] {
        bed.l1.fund(address, U256::from(10).pow(U256::from(20)));
    }
    start_with(bed, name, config()).await
}

fn commit(number: u64) -> TxIntent {
    TxIntent {
        id: IntentId(format!("commit-{number}")),
        role: SenderRole::Committer,
        kind: IntentKind::CommitBatch { number },
        to: PROPOSER,
        data: Bytes::from(format!("commit {number}").into_bytes()),
        blobs: 0,
    }
}

fn verify(number: u64) -> TxIntent {
    TxIntent {
        id: IntentId(format!("verify-{number}")),
        role: SenderRole::Prover,
        kind: IntentKind::VerifyBatches { first: number, last: number },
        data: Bytes::from(format!("verify {number}").into_bytes()),
        ..commit(number)
    }
}

impl Sending {
    /// Asks until the request is acknowledged, as the components do.
    async fn ask(&self, intent: &TxIntent) -> SendReply {
        loop {
            match self.run.handle.call(SendTx { intent: intent.clone() }).await {
                Ok(reply) => return reply,
                Err(CallError::OutcomeUnknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

async fn state(bed: &Bed, intent: &TxIntent) -> IntentState {
    bed.store().intent(&intent.id).await.unwrap().unwrap().state
}

async fn is_confirmed(bed: &Bed, intent: &TxIntent) -> bool {
    let record = bed.store().intent(&intent.id).await.unwrap();
    record.is_some_and(|r| matches!(r.state, IntentState::Confirmed { .. }))
}

fn timeout() -> L1Error {
    let after = Duration::from_secs(10);
    L1Error::Timeout { endpoint: "http://l1".into(), method: "eth_sendRawTransaction", after }
}

// ----------------------------------------------------------------------------------------------- once, whatever happens

/// SEQ-INV-5: an intent is one transaction, however often it is asked for.
#[actix::test]
async fn an_intent_is_one_transaction() {
    let bed = Bed::new().await;
    bed.l1.set_automine(true);
    let mut sending = start(&bed, "sender-once").await;
    assert_eq!(sending.ask(&commit(1)).await, SendReply::Accepted);
    for _ in 0..3 {
        // Before or after it is mined.
        assert!(!matches!(sending.ask(&commit(1)).await, SendReply::Refused { .. }));
    }
    let told = next(&mut sending.confirmed).await;
    let mined = bed.l1.mined();
    assert_eq!(mined.len(), 1);
    let tx = &mined[0];
    assert_eq!((told.id, told.kind), (commit(1).id, IntentKind::CommitBatch { number: 1 }));
    assert_eq!((told.transaction, told.l1_block), (tx.hash, tx.block));
    assert_eq!((tx.from, tx.to, tx.nonce, tx.value), (committer(), Some(PROPOSER), 0, U256::ZERO));
    assert_eq!(tx.data, commit(1).data);
    let done = SendReply::AlreadyConfirmed { transaction: tx.hash };
    assert_eq!(sending.ask(&commit(1)).await, done);
    sending.run.restart().await;
    assert_eq!(sending.ask(&commit(1)).await, done);
    assert_eq!(state(&bed, &commit(1)).await, IntentState::Confirmed { transaction: tx.hash });
    assert_eq!(bed.l1.accepted().len(), 1);
    sending.run.stop().await;
}

/// SEQ-INV-5: after a restart the bytes that were signed are sent again, not others, and nothing is signed anew.
#[actix::test]
async fn a_restart_sends_the_same_bytes() {
    let bed = Bed::new().await;
    let mut sending = start(&bed, "sender-same-bytes").await;
    for number in 1..=3 {
        sending.ask(&commit(number)).await;
    }
    until("three in the pool", || async { bed.l1.pending().len() == 3 }).await;
    let first = bed.l1.accepted();
    let signed = bed.store().signed_of(&commit(1).id).await.unwrap();
    assert_eq!(signed.iter().map(|s| s.raw.clone()).collect::<Vec<_>>(), first[..1]);

    let sent = bed.l1.requests(Method::SendRawTransaction);
    sending.run.restart().await;
    until("all were sent again", || async { bed.l1.requests(Method::SendRawTransaction) >= sent + 3 }).await;
    assert_eq!(bed.l1.accepted(), first, "the pool knew them");

    // The pool has lost them.
    bed.l1.drop_pending();
    sending.run.restart().await;
    until("all are back", || async { bed.l1.pending().len() == 3 }).await;
    assert_eq!(bed.l1.accepted()[3..], first, "byte for byte");

    bed.l1.mine();
    for _ in 0..3 {
        next(&mut sending.confirmed).await;
    }
    for number in 1..=3 {
        assert_eq!(bed.store().signed_of(&commit(number).id).await.unwrap().len(), 1);
    }
    assert_eq!(bed.l1.mined().iter().map(|tx| tx.nonce).collect::<Vec<_>>(), [0, 1, 2]);
    sending.run.stop().await;
}

/// SEQ-INV-5: as above, for a new process with the same store while L1 has gone on.
#[actix::test]
async fn a_new_process_takes_up_what_is_in_flight() {
    let mut bed = Bed::new().await;
    let sending = start(&bed, "sender-process").await;
    sending.ask(&commit(1)).await;
    sending.ask(&commit(2)).await;
    until("both in the pool", || async { bed.l1.pending().len() == 2 }).await;
    sending.run.stop().await;
    bed.l1.mine();
    bed.reopen_store().await;
    let mut sending = start_with(&bed, "sender-process", config()).await;
    for number in 1..=2 {
        assert_eq!(next(&mut sending.confirmed).await.id, commit(number).id);
    }
    assert_eq!((bed.l1.accepted().len(), bed.l1.mined().len()), (2, 2));
    sending.run.stop().await;
}

/// SEQ-INV-5, SEQ-INV-8: whatever message a panic comes at, what was acknowledged is on L1 once.
#[actix::test]
async fn a_panic_at_any_message_sends_nothing_twice() {
    let bed = Bed::new().await;
    let name = "sender-panics";
    let mut sending = start(&bed, name).await;
    let count = 10;
    for nth in 1..=count {
        faults::arm(name, nth);
        sending.ask(&commit(nth)).await;
        sending.ask(&verify(nth)).await;
        // Until the fault has struck there is always a message more.
        sending
            .run
            .step_until("the fault", || async { faults::armed().iter().all(|f| f.component != name) })
            .await;
        sending.run.restarted().await;
        // Lost with the panic or not: a component asks again.
        sending.ask(&commit(nth)).await;
        sending.ask(&verify(nth)).await;
        if nth % 2 == 0 {
            bed.l1.mine();
        }
    }
    bed.l1.set_automine(true);
    bed.l1.mine();
    for nth in 1..=count {
        sending
            .run
            .step_until("all confirmed", || async {
                bed.l1.mine();
                is_confirmed(&bed, &commit(nth)).await && is_confirmed(&bed, &verify(nth)).await
            })
            .await;
    }
    let mined = bed.l1.mined();
    for (from, word) in [(committer(), "commit"), (prover(), "verify")] {
        let ours: Vec<_> = mined.iter().filter(|tx| tx.from == from).collect();
        assert_eq!(
            ours.iter().map(|tx| tx.nonce).collect::<Vec<_>>(),
            (0..count).collect::<Vec<_>>(),
            "{word}"
        );
        let effects: BTreeSet<_> = ours.iter().map(|tx| tx.data.to_vec()).collect();
        let wanted: BTreeSet<_> = (1..=count).map(|n| format!("{word} {n}").into_bytes()).collect();
        assert_eq!(effects, wanted);
    }
    let accepted: BTreeSet<_> = bed.l1.accepted().iter().map(keccak256).collect();
    assert_eq!(accepted.len(), mined.len(), "nothing else was ever taken");
    sending.run.stop().await;
}

/// SEQ-INV-5: the node has the transaction, but its answer is lost. It is not signed a second time.
#[actix::test]
async fn a_lost_answer_sends_nothing_twice() {
    let bed = Bed::new().await;
    let mut sending = start(&bed, "sender-lost-answer").await;
    bed.l1.lose_answers(Method::SendRawTransaction, timeout(), 1);
    sending.ask(&commit(1)).await;
    let reason = sending.run.degraded().await;
    assert!(reason.contains("commit-1") && reason.contains("got no answer"), "{reason}");
    assert_eq!(bed.l1.pending().len(), 1);
    until("sent again", || async { bed.l1.requests(Method::SendRawTransaction) == 2 }).await;
    bed.l1.mine();
    next(&mut sending.confirmed).await;
    assert_eq!((bed.l1.accepted().len(), bed.l1.mined().len()), (1, 1));
    assert_eq!(sending.run.status().restarts, 0);
    sending.run.stop().await;
}

/// SEQ-INV-5: somebody else has signed for the nonce, as the store shows: nothing is sent, and a new instance begins with
/// what the store has.
#[actix::test]
async fn a_nonce_signed_by_another_instance_is_left_alone() {
    let bed = Bed::new().await;
    bed.l1.on_pending_estimate(|_| Ok(100_000));
    let mut sending = start(&bed, "sender-other-instance").await;
    sending.ask(&commit(1)).await;
    until("in the pool", || async { bed.l1.pending().len() == 1 }).await;
    // An instance that was taken for dead wakes up and signs for the nonce that comes next.
    bed.l1.fail_always(Method::FeeHistory, unreachable_l1());
    sending.ask(&commit(2)).await;
    sending.run.degraded().await;
    let theirs = commit(3);
    bed.store().put_intent(&theirs).await.unwrap();
    let raw = wallet(1)
        .sign_eip1559(&Eip1559Tx {
            chain_id: L1_CHAIN,
            nonce: 1,
            gas_limit: 100_000,
            max_fee_per_gas: 5_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: Some(PROPOSER),
            value: U256::ZERO,
            data: theirs.data.clone(),
        })
        .unwrap()
        .raw;
    let fees = FeePlan {
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        max_fee_per_blob_gas: 0,
    };
    let (hash, fees) = (keccak256(&raw), serde_json::to_string(&fees).unwrap());
    let signed =
        SignedTransaction { hash, intent: theirs.id.clone(), nonce: 1, fees, raw: raw.clone(), signed_at: 1 };
    bed.store().insert_signed(&signed).await.unwrap();
    bed.l1.clear_failures();
    sending.run.restarted().await;
    until("all in the pool", || async { bed.l1.pending().len() == 3 }).await;
    assert_eq!(bed.l1.accepted()[1], raw, "what the store has for the nonce, and nothing else");
    bed.l1.mine();
    let mined: Vec<_> = bed.l1.mined().iter().map(|tx| (tx.nonce, tx.data.clone())).collect();
    assert_eq!(mined, [(0, commit(1).data), (1, commit(3).data), (2, commit(2).data)]);
    sending.run.stop().await;
}

/// A reorg takes the transaction back; it counts when it has its confirmations, and is still one transaction.
#[actix::test]
async fn a_reorg_does_not_make_a_second_transaction() {
    let bed = Bed::new().await;
    for address in [committer(), prover()] {
        bed.l1.fund(address, U256::from(10).pow(U256::from(20)));
    }
    let mut config = config();
    config.manager.confirmations = 3;
    let mut sending = start_with(&bed, "sender-reorg", config).await;
    sending.ask(&commit(1)).await;
    until("in the pool", || async { bed.l1.pending().len() == 1 }).await;
    bed.l1.mine_many(2);
    let looks = bed.l1.requests(Method::Receipt);
    until("its receipt was seen", || async { bed.l1.requests(Method::Receipt) >= looks + 2 }).await;
    assert!(sending.confirmed.try_recv().is_err(), "two confirmations of three");
    bed.l1.reorg(2);
    bed.l1.drop_pending();
    until("sent again", || async { bed.l1.pending().len() == 1 }).await;
    bed.l1.mine_many(3);
    let told = next(&mut sending.confirmed).await;
    let accepted = bed.l1.accepted();
    assert_eq!(accepted.len(), 2);
    assert_eq!(accepted[0], accepted[1]);
    assert_eq!(told.transaction, bed.l1.mined()[0].hash);
    sending.run.stop().await;
}

/// Confirms the commit of batch 1, takes its block away by a reorg deeper than the confirmations, and empties the pool.
async fn confirmed_and_gone(bed: &Bed, sending: &mut Sending) {
    sending.ask(&commit(1)).await;
    until("in the pool", || async { bed.l1.pending().len() == 1 }).await;
    bed.l1.mine();
    next(&mut sending.confirmed).await;
    bed.l1.reorg(1);
    bed.l1.drop_pending();
    bed.l1.mine_empty();
    bed.l1.mine_empty();
}

/// SEQ-INV-4, SEQ-INV-5: a commit that was confirmed and is lost to a deep reorg goes out again with its old nonce and its
/// old bytes, by the same instance or by another.
#[actix::test]
async fn a_deep_reorg_sends_the_same_bytes_again() {
    for (name, restart) in [("sender-deep-reorg", false), ("sender-deep-reorg-restart", true)] {
        let bed = Bed::new().await;
        let mut sending = start(&bed, name).await;
        confirmed_and_gone(&bed, &mut sending).await;
        // What is signed anew would be other bytes.
        bed.l1.set_fees(300_000_000, 200_000_000, Some(1));
        // As the committer does.
        bed.store().fail_intent(&commit(1).id, "L1 no longer has it").await.unwrap();
        if restart {
            sending.run.restart().await;
        }
        assert_eq!(sending.ask(&commit(1)).await, SendReply::Accepted);
        until("back in the pool", || async { bed.l1.pending().len() == 1 }).await;
        let accepted = bed.l1.accepted();
        assert_eq!(accepted, [accepted[0].clone(), accepted[0].clone()], "{name}");
        // It is of the present try, and so survives what comes.
        assert_eq!(bed.store().signed_of(&commit(1).id).await.unwrap().len(), 1, "{name}");
        bed.l1.mine();
        assert_eq!(next(&mut sending.confirmed).await.transaction, keccak256(&accepted[0]), "{name}");
        assert!(sending.failed.try_recv().is_err(), "{name}");
        sending.run.stop().await;
    }
}

/// SEQ-INV-5: when a deep reorg brings our own earlier transaction back at a nonce that another one has by then, the key
/// is not called stolen: nothing fails, and each effect is there once. A new instance knows it as well.
#[actix::test]
async fn our_own_earlier_transaction_is_not_foreign() {
    for (name, restart) in [("sender-own-past", false), ("sender-own-past-restart", true)] {
        let bed = Bed::new().await;
        let mut sending = start(&bed, name).await;
        confirmed_and_gone(&bed, &mut sending).await;
        sending.ask(&commit(2)).await;
        until("the other in the pool", || async { bed.l1.pending().len() == 1 }).await;
        if restart {
            sending.run.restart().await;
        }
        // The first one comes back, by another node.
        bed.l1.drop_pending();
        let first = bed.l1.accepted()[0].clone();
        bed.l1.send_raw_transaction(&first).await.unwrap();
        bed.l1.mine();
        until("the other again", || async { bed.l1.pending().len() == 1 }).await;
        bed.l1.mine();
        assert_eq!(next(&mut sending.confirmed).await.id, commit(2).id, "{name}");
        assert!(sending.failed.try_recv().is_err(), "{name}: no false alarm");
        assert_eq!(bed.store().signed_of(&commit(2).id).await.unwrap().len(), 1, "{name}: of this try");
        let mined: Vec<_> = bed.l1.mined().iter().map(|tx| (tx.nonce, tx.data.clone())).collect();
        assert_eq!(mined, [(0, commit(1).data), (1, commit(2).data)], "{name}");
        assert!(is_confirmed(&bed, &commit(1)).await && is_confirmed(&bed, &commit(2)).await, "{name}");
        sending.run.stop().await;
    }
}

/// SEQ-INV-5: as above, while the first commit was asked for again and got another nonce. Its earlier transaction has
/// the effect, so the later one reverts: the commit is confirmed all the same.
#[actix::test]
async fn an_earlier_transaction_counts_for_its_intent() {
    let bed = Bed::new().await;
    let mut sending = start(&bed, "sender-past-counts").await;
    confirmed_and_gone(&bed, &mut sending).await;
    sending.ask(&commit(2)).await;
    until("the other in the pool", || async { bed.l1.pending().len() == 1 }).await;
    bed.store().fail_intent(&commit(1).id, "L1 no longer has it").await.unwrap();
    sending.ask(&commit(1)).await;
    until("both in the pool", || async { bed.l1.pending().len() == 2 }).await;
    let accepted = bed.l1.accepted();
    bed.l1.on_transaction(|tx| match (tx.nonce, &tx.data) {
        (1, data) if *data == commit(1).data => MockEffects::reverted(),
        _ => MockEffects::default(),
    });
    bed.l1.drop_pending();
    for raw in [&accepted[0], &accepted[2]] {
        bed.l1.send_raw_transaction(raw).await.unwrap();
    }
    bed.l1.mine();
    let told = next(&mut sending.confirmed).await;
    assert_eq!((told.id, told.transaction), (commit(1).id, keccak256(&accepted[0])));
    until("the other again", || async { bed.l1.pending().len() == 1 }).await;
    bed.l1.mine();
    assert_eq!(next(&mut sending.confirmed).await.id, commit(2).id);
    assert!(sending.failed.try_recv().is_err());
    sending.run.stop().await;
}

// ----------------------------------------------------------------------------------------------- several in flight

/// A simulation on the head passes for the first commit only: the others build on it.
fn only_the_first_passes(bed: &Bed) {
    bed.l1.on_estimate(|tx| match tx.data == commit(1).data {
        true => Ok(100_000),
        false => Err(L1Error::ExecutionReverted { message: "reverted".into(), data: Bytes::new() }),
    });
}

/// SEQ-INV-5: commits do not wait for each other's blocks, whether the node can simulate on its pool or not; they go out
/// in order, each with a nonce of its own.
#[actix::test]
async fn commits_do_not_wait_for_each_other() {
    for (name, pending) in [("sender-window-pending", true), ("sender-window-known", false)] {
        let bed = Bed::new().await;
        only_the_first_passes(&bed);
        if pending {
            bed.l1.on_pending_estimate(|_| Ok(100_000));
        }
        let mut sending = start(&bed, name).await;
        for number in 1..=3 {
            sending.ask(&commit(number)).await;
        }
        until("all in the pool", || async { bed.l1.pending().len() == 3 }).await;
        assert!(bed.l1.mined().is_empty(), "{name}");
        bed.l1.mine();
        for number in 1..=3 {
            assert_eq!(next(&mut sending.confirmed).await.id, commit(number).id, "{name}");
        }
        let mined: Vec<_> = bed.l1.mined().iter().map(|tx| (tx.nonce, tx.data.clone())).collect();
        let wanted: Vec<_> = (0..3).map(|n| (n, commit(n + 1).data)).collect();
        assert_eq!(mined, wanted, "{name}");
        sending.run.stop().await;
    }
}

/// SEQ-INV-5: what was mined in vain behind a commit that failed is not sent again before a simulation has passed.
#[actix::test]
async fn mined_in_vain_once_is_enough() {
    let bed = Bed::new().await;
    only_the_first_passes(&bed);
    bed.l1.on_transaction(|_| MockEffects::reverted());
    let mut sending = start(&bed, "sender-in-vain").await;
    for number in 1..=2 {
        sending.ask(&commit(number)).await;
    }
    until("both in the pool", || async { bed.l1.pending().len() == 2 }).await;
    bed.l1.mine();
    for number in 1..=2 {
        assert_eq!(next(&mut sending.failed).await.id, commit(number).id);
    }
    // Asked for again, behind a first one that would pass and is not mined yet.
    for number in 1..=2 {
        assert_eq!(sending.ask(&commit(number)).await, SendReply::Accepted);
    }
    until("the first again", || async { bed.l1.pending().len() == 1 }).await;
    bed.l1.on_transaction(|_| MockEffects::default());
    bed.l1.on_estimate(|_| Ok(100_000));
    bed.l1.mine();
    assert_eq!(next(&mut sending.confirmed).await.id, commit(1).id);
    until("then the second", || async { bed.l1.pending().len() == 1 }).await;
    bed.l1.mine();
    assert_eq!(next(&mut sending.confirmed).await.id, commit(2).id);
    assert_eq!(bed.l1.mined().len(), 4, "each was mined in vain once");
    sending.run.stop().await;
}

/// An account that can pay for one transaction but not for two has one in flight; the other waits, with what is missing.
#[actix::test]
async fn the_balance_covers_everything_in_flight() {
    let bed = Bed::new().await;
    bed.l1.on_estimate(|_| Ok(100_000));
    let mut sending = start(&bed, "sender-measure").await;
    sending.ask(&commit(1)).await;
    until("in the pool", || async { bed.l1.pending().len() == 1 }).await;
    let cost = ensemble_l1::SignedTx::decode(&bed.l1.accepted()[0]).unwrap().max_cost;
    bed.l1.mine();
    next(&mut sending.confirmed).await;
    sending.run.stop().await;

    let bed = Bed::new().await;
    bed.l1.on_estimate(|_| Ok(100_000));
    bed.l1.on_pending_estimate(|_| Ok(100_000));
    bed.l1.fund(committer(), cost * U256::from(3) / U256::from(2));
    let mut sending = start_with(&bed, "sender-covered", config()).await;
    for number in 1..=2 {
        sending.ask(&commit(number)).await;
    }
    let reason = sending.run.degraded().await;
    assert!(reason.contains("commit-2") && reason.contains("wei are missing: top up"), "{reason}");
    assert_eq!(bed.l1.pending().len(), 1);
    bed.l1.fund(committer(), cost * U256::from(10));
    until("both in the pool", || async { bed.l1.pending().len() == 2 }).await;
    bed.l1.mine();
    for number in 1..=2 {
        assert_eq!(next(&mut sending.confirmed).await.id, commit(number).id);
    }
    sending.run.stop().await;
}

// -------------------------------------------------------------------------------------------------- pool conflicts

/// A transaction that somebody else sent with the committer's key: a blob transaction or a plain one.
fn stray(blob: bool, max_fee_per_gas: u128) -> Bytes {
    let (max_priority_fee_per_gas, to) = (max_fee_per_gas / 2, Address::repeat_byte(9));
    let signed = match blob {
        true => wallet(1).sign_blob(&BlobTx {
            chain_id: L1_CHAIN,
            nonce: 0,
            gas_limit: 21_000,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            max_fee_per_blob_gas: 1,
            to,
            value: U256::ZERO,
            data: Bytes::new(),
            sidecar: &Sidecar::empty(SidecarVersion::V0).unwrap(),
        }),
        false => wallet(1).sign_eip1559(&Eip1559Tx {
            chain_id: L1_CHAIN,
            nonce: 0,
            gas_limit: 21_000,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: Some(to),
            value: U256::ZERO,
            data: Bytes::new(),
        }),
    };
    signed.unwrap().raw
}

/// A sender that does not wait long for the pool, and its first batch.
async fn impatient(bed: &Bed, name: &str) -> Sending {
    for address in [committer(), prover()] {
        bed.l1.fund(address, U256::from(10).pow(U256::from(20)));
    }
    bed.batch().await;
    let mut config = config();
    config.manager.resubmit_after = Duration::from_millis(100);
    start_with(bed, name, config).await
}

/// A pool takes no blob transaction beside a plain one of the account, and the other way round. Ours waits, says why, and
/// goes out when the other one is mined.
#[actix::test]
async fn the_other_kind_in_the_pool_is_waited_for() {
    for (name, blob) in [("sender-other-kind-blob", true), ("sender-other-kind-plain", false)] {
        let bed = Bed::new().await;
        bed.batch().await;
        let mut sending = start(&bed, name).await;
        bed.l1.send_raw_transaction(&stray(!blob, 10_000_000_000)).await.unwrap();
        let intent = TxIntent { blobs: u64::from(blob), ..commit(1) };
        sending.ask(&intent).await;
        let reason = sending.run.degraded().await;
        assert!(reason.contains("commit-1") && reason.contains("already reserved"), "{name}: {reason}");
        assert_eq!(bed.l1.pending().len(), 1, "{name}");
        bed.l1.mine();
        until("ours in the pool", || async { bed.l1.pending().len() == 1 }).await;
        bed.l1.mine();
        assert_eq!(next(&mut sending.confirmed).await.id, intent.id, "{name}");
        let mined = bed.l1.mined();
        assert_eq!((mined.len(), mined[1].nonce, &mined[1].data), (2, 1, &intent.data), "{name}");
        assert!(sending.failed.try_recv().is_err(), "{name}");
        sending.run.stop().await;
    }
}

/// SEQ-INV-5: when the other kind sits below ours and is never mined, an empty transaction of its kind takes its place, and
/// ours goes out behind it.
#[actix::test]
async fn an_empty_transaction_clears_the_way() {
    for (name, blob) in [("sender-clears-blob", true), ("sender-clears-plain", false)] {
        let bed = Bed::new().await;
        let mut sending = impatient(&bed, name).await;
        // Below the base fee: it stays in the pool.
        bed.l1.send_raw_transaction(&stray(!blob, 500_000_000)).await.unwrap();
        let theirs = bed.l1.pending();
        let intent = TxIntent { blobs: u64::from(blob), ..commit(1) };
        sending.ask(&intent).await;
        until("another one in its place", || async { bed.l1.pending() != theirs }).await;
        let told = async {
            loop {
                bed.l1.mine();
                // The empty one is told of as well.
                if let Ok(told) = sending.confirmed.try_recv()
                    && told.kind == intent.kind
                {
                    return told;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(tokio::time::timeout(LIMIT, told).await.unwrap().id, intent.id, "{name}");
        let mined = bed.l1.mined();
        assert_eq!((mined.len(), mined[0].nonce, mined[1].nonce), (2, 0, 1), "{name}");
        assert_eq!((mined[0].to, mined[0].data.len()), (Some(committer()), 0), "{name}");
        assert_eq!(mined[0].blob_hashes.len(), usize::from(!blob), "{name}");
        assert_eq!((&mined[1].data, mined[1].blob_hashes.len()), (&intent.data, usize::from(blob)), "{name}");
        sending.run.stop().await;
    }
}

/// SEQ-INV-5: when the other kind has the very nonce of ours, an empty transaction of its kind replaces it. The intent is
/// given back with the reason, and its next try has another nonce.
#[actix::test]
async fn a_pool_conflict_uses_up_the_nonce() {
    for (name, blob) in [("sender-conflict-blob", true), ("sender-conflict-plain", false)] {
        let bed = Bed::new().await;
        let mut sending = impatient(&bed, name).await;
        // Ours is signed, and before it arrives the pool has the other one.
        bed.l1.fail_always(Method::SendRawTransaction, timeout());
        let intent = TxIntent { blobs: u64::from(blob), ..commit(1) };
        sending.ask(&intent).await;
        until("ours is signed", || async {
            bed.store().signed_of(&intent.id).await.is_ok_and(|signed| !signed.is_empty())
        })
        .await;
        bed.l1.clear_failures();
        let theirs = stray(!blob, 2_000_000_000);
        bed.l1.drop_pending();
        bed.l1.send_raw_transaction(&theirs).await.unwrap();
        let theirs = keccak256_of(&theirs);
        until("ours in its place", || async { !bed.l1.pending().contains(&theirs) }).await;
        bed.l1.mine();
        let told = next(&mut sending.failed).await;
        assert_eq!((&told.id, told.transaction), (&intent.id, None), "{name}");
        assert!(
            told.reason.contains("nonce 0 was used up by an empty transaction"),
            "{name}: {}",
            told.reason
        );
        let mined = bed.l1.mined();
        assert_eq!((mined.len(), mined[0].to, mined[0].data.len()), (1, Some(committer()), 0), "{name}");

        bed.l1.set_automine(true);
        assert_eq!(sending.ask(&intent).await, SendReply::Accepted, "{name}");
        assert_eq!(next(&mut sending.confirmed).await.id, intent.id, "{name}");
        let mined = bed.l1.mined();
        assert_eq!((mined.len(), mined[1].nonce, &mined[1].data), (2, 1, &intent.data), "{name}");
        assert_eq!(sending.run.status().restarts, 0, "{name}");
        sending.run.stop().await;
    }
}

/// Hash of a signed transaction: for a blob transaction that of its bytes without the sidecar (EIP-4844).
fn keccak256_of(raw: &Bytes) -> B256 {
    ensemble_l1::SignedTx::decode(raw).unwrap().hash
}

// ------------------------------------------------------------------------------------------------------ two keys

/// One key that cannot go on does not hold the other one up.
#[actix::test]
async fn keys_are_independent() {
    let bed = Bed::new().await;
    bed.l1.set_automine(true);
    let key = committer();
    bed.l1.on_estimate(move |tx| if tx.from == key { Err(unreachable_l1()) } else { Ok(100_000) });
    let mut sending = start(&bed, "sender-two-keys").await;
    sending.ask(&commit(1)).await;
    sending.ask(&verify(1)).await;
    let told = next(&mut sending.confirmed).await;
    assert_eq!(told.id, verify(1).id);
    let reason = sending.run.degraded().await;
    assert!(reason.contains("commit-1"), "{reason}");
    sending.ask(&verify(2)).await;
    assert_eq!(next(&mut sending.confirmed).await.id, verify(2).id);
    bed.l1.on_estimate(|_| Ok(100_000));
    assert_eq!(next(&mut sending.confirmed).await.id, commit(1).id);
    sending.run.recovered().await;
    let mined: Vec<_> = bed.l1.mined().iter().map(|tx| (tx.from, tx.nonce)).collect();
    assert_eq!(mined, [(prover(), 0), (prover(), 1), (committer(), 0)]);
    sending.run.stop().await;
}

// ------------------------------------------------------------------------------------------------------- failures

/// A mined transaction that reverted fails its intent with the reason; asked for again, it gets a new nonce.
#[actix::test]
async fn a_revert_fails_the_intent_and_a_new_try_gets_a_new_nonce() {
    let bed = Bed::new().await;
    bed.l1.set_automine(true);
    bed.l1.on_transaction(|tx| if tx.nonce == 0 { MockEffects::reverted() } else { MockEffects::default() });
    let mut sending = start(&bed, "sender-revert").await;
    sending.ask(&commit(1)).await;
    let told = next(&mut sending.failed).await;
    let first = bed.l1.mined()[0].hash;
    assert_eq!((told.id, told.kind, told.transaction), (commit(1).id, commit(1).kind, Some(first)));
    assert!(told.reason.contains("reverted"), "{}", told.reason);
    assert_eq!(state(&bed, &commit(1)).await, IntentState::Failed { reason: told.reason });
    assert!(sending.confirmed.try_recv().is_err());

    assert_eq!(sending.ask(&commit(1)).await, SendReply::Accepted);
    let told = next(&mut sending.confirmed).await;
    let mined = bed.l1.mined();
    assert_eq!(mined.iter().map(|tx| tx.nonce).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((mined[1].data.clone(), told.transaction), (commit(1).data, mined[1].hash));
    assert_eq!(sending.run.status().restarts, 0);
    sending.run.stop().await;
}

/// A call that would revert is not sent: it costs nothing and uses no nonce.
#[actix::test]
async fn a_call_that_would_revert_is_not_sent() {
    let bed = Bed::new().await;
    bed.l1.set_automine(true);
    let data = Bytes::from(keccak256("EnforcedPause()")[..4].to_vec());
    bed.l1.on_estimate(move |tx| {
        if tx.data == commit(1).data {
            return Err(L1Error::ExecutionReverted {
                message: "execution reverted".into(),
                data: data.clone(),
            });
        }
        Ok(100_000)
    });
    let mut sending = start(&bed, "sender-would-revert").await;
    sending.ask(&commit(1)).await;
    let told = next(&mut sending.failed).await;
    assert_eq!(told.transaction, None);
    assert!(told.reason.contains("EnforcedPause"), "{}", told.reason);
    assert!(bed.l1.accepted().is_empty());
    sending.ask(&commit(2)).await;
    next(&mut sending.confirmed).await;
    assert_eq!(bed.l1.mined().iter().map(|tx| tx.nonce).collect::<Vec<_>>(), [0]);
    sending.run.stop().await;
}

/// An account without money is degraded with what to do; the intent is kept and goes out once there is money.
#[actix::test]
async fn an_empty_account_is_waited_for() {
    let bed = Bed::new().await;
    bed.l1.set_automine(true);
    let mut sending = start_with(&bed, "sender-poor", config()).await;
    sending.ask(&commit(1)).await;
    let reason = sending.run.degraded().await;
    assert!(reason.contains("top up the account"), "{reason}");
    bed.l1.fund(committer(), U256::from(10).pow(U256::from(20)));
    next(&mut sending.confirmed).await;
    sending.run.recovered().await;
    assert_eq!((bed.l1.mined().len(), sending.run.status().restarts), (1, 0));
    sending.run.stop().await;
}

/// L1 cannot be reached: degraded, nothing is lost, no restart is spent.
#[actix::test]
async fn an_unreachable_l1_is_waited_for() {
    let bed = Bed::new().await;
    bed.l1.set_automine(true);
    let mut sending = start(&bed, "sender-unreachable").await;
    for method in [Method::Block, Method::TransactionCount, Method::FeeHistory, Method::Receipt] {
        bed.l1.fail(method, unreachable_l1(), 1);
        let number = bed.l1.requests(method) + 100 * (method as u64 + 1);
        sending.ask(&commit(number)).await;
        let reason = sending.run.degraded().await;
        assert!(reason.contains("connection refused"), "{method:?}: {reason}");
        assert_eq!(next(&mut sending.confirmed).await.id, commit(number).id, "{method:?}");
        sending.run.recovered().await;
    }
    assert_eq!(bed.l1.mined().iter().map(|tx| tx.nonce).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(sending.run.status().restarts, 0);
    sending.run.stop().await;
}

/// SEQ-INV-5, SEQ-INV-8: an intent that cannot be stored is not acknowledged and not sent.
#[actix::test]
async fn what_cannot_be_stored_is_not_acknowledged() {
    let bed = Bed::new().await;
    bed.l1.set_automine(true);
    let sending = start(&bed, "sender-no-store").await;
    bed.store().close().await;
    let reply = sending.run.handle.call(SendTx { intent: commit(1) }).await;
    // A step that finds the store closed ends the component.
    assert!(matches!(reply, Ok(SendReply::Refused { .. }) | Err(_)), "{reply:?}");
    assert!(bed.l1.accepted().is_empty());
    sending.run.system.shutdown().await;
}

// ---------------------------------------------------------------------------------------------------------- blobs

/// The blob transaction carries the blobs of the stored batch: their hashes are those that the header commits to.
#[actix::test]
async fn a_commit_carries_the_blobs_of_its_batch() {
    let bed = Bed::new().await;
    bed.l1.set_automine(true);
    let mut record = bed.batch().await;
    // A batch with more content than one blob holds.
    record.header.number += 1;
    record.header.parent_hash = bed.store().last_batch().await.unwrap().unwrap().header.hash();
    (record.first_block, record.last_block) = (2, 2);
    record.payload = (0..150_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect::<Vec<_>>().into();
    bed.store().insert_batch(&record).await.unwrap();
    let sidecar = Sidecar::build(&blob::pack(&record.payload, 2).unwrap(), SidecarVersion::V0).unwrap();

    let mut sending = start(&bed, "sender-blobs").await;
    let intent = TxIntent { blobs: 2, ..commit(2) };
    sending.ask(&intent).await;
    next(&mut sending.confirmed).await;
    let mined = bed.l1.mined();
    assert_eq!(mined[0].blob_hashes, sidecar.versioned_hashes());
    assert_eq!((mined[0].data.clone(), mined[0].nonce), (intent.data, 0));
    assert_ne!(mined[0].blob_hashes[0], B256::ZERO);
    sending.run.stop().await;
}

/// SEQ-INV-12: neither status nor settings show a key.
#[actix::test]
async fn keys_are_not_shown() {
    let text = format!("{:?}", config());
    assert!(!text.contains(&format!("{:064x}", 1)) && !text.contains(&format!("{:064x}", 2)), "{text}");
    assert!(text.to_lowercase().contains(&format!("{:x}", committer())), "{text}");
}
