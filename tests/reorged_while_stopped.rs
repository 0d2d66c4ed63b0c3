//! L1 is reorganised while the sequencer is stopped. What heals under a running sequencer heals after a start too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use alloy_primitives::Bytes;
use common::{IN_VAIN, World, address, all_healthy, client, component, ether, run, until};
use ensemble::{
    Sequencer, StartError,
    account::{Account, Call},
    config::{Confirmations, DataAvailability},
    startup::{Note, Problem, Verdict},
    supervision::ComponentState,
};
use ensemble_contracts::{calls, events};
use ensemble_engine_api::BlockId;
use ensemble_l1::L1Log;
use ensemble_messages::SenderRole;
use ensemble_store::BatchStatus;

/// Longest reorg of these tests.
const DEEPEST: u64 = 60;

/// Deposits count at once, so that every reorg is deeper than their confirmations.
async fn world(da: DataAvailability) -> World {
    let mut world = World::bare(
        |l1| (l1.safe_lag, l1.finalized_lag) = (DEEPEST, DEEPEST),
        |c| {
            c.watcher.confirmations = Confirmations::Blocks(0);
            c.eth.resubmit_after_ms = 5_000;
            c.committer.da = da;
        },
    )
    .await;
    world.deploy().await;
    world
}

async fn notes(world: &World) -> Vec<Note> {
    match world.builder().inspect().await.unwrap().1 {
        Verdict::Recoverable(notes) => notes,
        other => panic!("{other}"),
    }
}

/// The event of what happened to a batch.
async fn event(world: &World, topic: alloy_primitives::B256, number: u64) -> L1Log {
    let logs = world.logs(world.deployment().proposer, topic).await;
    logs.into_iter().nth(usize::try_from(number).unwrap() - 1).expect("its event is on L1")
}

/// Number of the last batch that this sequencer knows to be verified.
async fn known_verified(sequencer: &Sequencer) -> u64 {
    let last = sequencer.services().store.last_batch_at_least(BatchStatus::Verified).await.unwrap();
    last.map_or(0, |b| b.header.number)
}

/// A verified batch loses its verification, and with it its commit or not. Without a prover: what is sent again is what
/// the store has.
async fn verified_again(with_commit: bool, (da, later): (DataAvailability, DataAvailability)) {
    let mut world = world(da).await;
    let prover = world.prover();
    let sequencer = world.sequencer().await;
    until("a verified batch", async || (known_verified(&sequencer).await >= 2).then_some(())).await;
    prover.stop().await.unwrap();
    // Nothing about it is under way any more: the next start knows of it from L1 and the store's batches alone.
    let store = &sequencer.services().store;
    let number = until("the last verification", async || {
        let known = known_verified(&sequencer).await;
        let pending = store.pending_intents(SenderRole::Prover).await.unwrap();
        let next = store.proofs_of(known + 1).await.unwrap();
        (pending.is_empty() && next.is_empty()).then_some(known)
    })
    .await;
    world.stop(&sequencer).await;
    let engine = ensemble::execution_client(&world.config).unwrap();
    let finalized = async || engine.block(BlockId::Finalized).await.unwrap().map(|b| b.number);
    let final_before = finalized().await;

    let l1 = client(&world.l1_url());
    let sent = async |log: &L1Log| l1.transaction(log.transaction_hash).await.unwrap().unwrap();
    let commit = event(&world, events::BatchCommitted::topic(), number).await;
    let first_sent = sent(&commit).await;
    assert_eq!(first_sent.blob_versioned_hashes.is_empty(), da == DataAvailability::CallData);
    let verification = event(&world, events::BatchesVerified::topic(), number).await;
    let first = if with_commit { commit.block_number } else { verification.block_number };
    world.drop_l1_from(first).await;
    let verified = world.verified().await;
    assert!(verified < number, "L1 has forgotten it");
    assert_eq!(world.committed().await < number, with_commit);
    let notes = notes(&world).await;
    assert!(notes.contains(&Note::VerifiesAgain { store: number, l1: verified }), "{notes:?}");

    world.config.committer.da = later;
    let sequencer = world.sequencer().await;
    world.verified_up_to(number).await;
    let again = event(&world, events::BatchesVerified::topic(), number).await;
    assert_eq!((again.topics, again.data), (verification.topics, verification.data), "the same verification");
    let again = event(&world, events::BatchCommitted::topic(), number).await;
    let (input, blobs) = {
        let t = sent(&again).await;
        (t.input, t.blob_versioned_hashes)
    };
    assert_eq!(
        (input, blobs),
        (first_sent.input, first_sent.blob_versioned_hashes),
        "SEQ-INV-4: the same data"
    );
    assert_eq!((again.topics, again.data), (commit.topics, commit.data), "SEQ-INV-4: the same header");
    until("the store to note it", async || (known_verified(&sequencer).await >= number).then_some(())).await;

    let prover = world.prover();
    world.verified_up_to(number + 1).await;
    all_healthy(&sequencer).await;
    assert!(finalized().await >= final_before, "what was final stays so");
    world.stop(&sequencer).await;
    prover.stop().await.unwrap();
    // What was under way when the reorg came: a commit or a verification on top of one that is gone.
    world.books_with_reverts(IN_VAIN).await;
    world.rebuild().await;
}

/// SEQ-INV-5, SEQ-INV-7: stopped, L1 drops the verification of a batch, and the next start has it verified again.
#[test]
fn a_dropped_verification_is_sent_again() {
    run(verified_again(false, (DataAvailability::Blob, DataAvailability::Blob)));
}

/// SEQ-INV-4, SEQ-INV-5, SEQ-INV-7: the same when L1 has dropped the commit of the verified batch too.
#[test]
fn a_dropped_commit_of_a_verified_batch_is_sent_again() {
    run(verified_again(true, (DataAvailability::Blob, DataAvailability::Blob)));
}

/// SEQ-INV-4: the same for batches in call data, when the next start is told to use blobs: what was sealed stays where it
/// was, and both kinds lie on one chain.
#[test]
fn a_dropped_commit_in_call_data_stays_there() {
    run(verified_again(true, (DataAvailability::CallData, DataAvailability::Blob)));
}

/// The signed transaction of a deposit, to be mined more than once.
async fn signed_deposit(user: &Account, world: &World, to: &str, thousandths: u64) -> Bytes {
    let call = Call {
        to: Some(world.deployment().bridge),
        value: ether(thousandths),
        data: calls::deposit(address(to)),
    };
    let (nonce, fees) = (user.nonce().await.unwrap(), user.fees().await.unwrap());
    user.sign(&call, nonce, 200_000, &fees).unwrap().raw
}

/// Has a signed deposit mined, and gives its L1 block.
async fn mined(user: &Account, raw: &Bytes) -> u64 {
    let hash = user.client().send_raw_transaction(raw).await.unwrap();
    user.wait(hash, common::LIMIT).await.unwrap().block_number
}

async fn waiting(sequencer: &Sequencer) {
    let reason = until("the watcher waiting for the deposit", async || {
        match component(sequencer, "l1_watcher").state {
            ComponentState::Degraded(reason) => Some(reason),
            _ => None,
        }
    })
    .await;
    assert!(reason.contains("has dropped the deposits 1 to 1"), "{reason}");
}

/// SEQ-INV-1, SEQ-INV-3, SEQ-INV-4: stopped, L1 drops a deposit that the L2 holds. The next starts, before and after
/// the watcher has gone back, go on with blocks and wait; when the transaction is mined again the deposit counts once,
/// and the one after it follows.
#[test]
fn a_dropped_deposit_is_waited_for() {
    run(async {
        let world = world(DataAvailability::Blob).await;
        let prover = world.prover();
        let user = world.user_l1().await;
        let sequencer = world.sequencer().await;
        let deposit = signed_deposit(&user, &world, "depositor", 3_000).await;
        let l1_block = mined(&user, &deposit).await;
        assert_eq!(world.arrived(address("depositor")).await, ether(3_000));
        world.stop(&sequencer).await;
        world.drop_l1_from(l1_block).await;

        let wanted = Note::WaitsForDeposits { client: 1, l1: 0 };
        let found = notes(&world).await;
        assert!(found.contains(&wanted), "{found:?}");
        assert!(found.iter().any(|n| matches!(n, Note::Unwinds { .. })), "{found:?}");
        let sequencer = world.sequencer().await;
        waiting(&sequencer).await;
        let head = world.l2_head().await;
        until("blocks meanwhile", async || (world.l2_head().await >= head + 2).then_some(())).await;
        world.stop(&sequencer).await;

        let found = notes(&world).await;
        assert!(found.contains(&wanted), "{found:?}");
        assert!(!found.iter().any(|n| matches!(n, Note::Unwinds { .. })), "it has gone back: {found:?}");
        let sequencer = world.sequencer().await;
        waiting(&sequencer).await;
        mined(&user, &deposit).await;
        world.deposit(address("next"), ether(5)).await;
        assert_eq!(world.arrived(address("next")).await, ether(5));
        all_healthy(&sequencer).await;
        let reached = world.committed().await + 1;
        world.verified_up_to(reached).await;
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        let credited = client(&world.l2_url()).balance(address("depositor")).await.unwrap();
        assert_eq!(credited, ether(3_000), "SEQ-INV-1: once");
        assert_eq!(world.books_with_reverts(IN_VAIN).await.deposits, 2);
        world.rebuild().await;
    });
}

/// SEQ-INV-1: stopped, L1 drops a deposit that the L2 holds and gives its id to another one. That does not heal: no
/// block is built on it, whether the watcher has gone back or not.
#[test]
fn a_replaced_deposit_is_refused() {
    run(async {
        let world = world(DataAvailability::Blob).await;
        let user = world.user_l1().await;
        let sequencer = world.sequencer().await;
        let deposit = signed_deposit(&user, &world, "depositor", 3_000).await;
        let l1_block = mined(&user, &deposit).await;
        world.arrived(address("depositor")).await;
        world.stop(&sequencer).await;
        world.drop_l1_from(l1_block).await;
        let between = world.sequencer().await;
        waiting(&between).await;
        world.stop(&between).await;
        let head = world.l2_head().await;
        assert_eq!(world.deposit(address("somebody else"), ether(7)).await.id, 1);
        let error = world.refused().await;
        let StartError::Inconsistent(found) = &error else { panic!("{error:?}") };
        assert_eq!(found.verdict, Verdict::Refused(vec![Problem::DepositReplaced { id: 1 }]));
        assert!(error.to_string().contains("`Dropped deposits` in docs/operations.md"), "{error}");
        assert_eq!(world.l2_head().await, head, "nothing was started");
    });
}

/// SEQ-INV-7: a verified batch that a repair has made has no proofs. When L1 drops its verification the start says so,
/// and what it says to do has the batch proven and verified again.
#[test]
fn a_repaired_batch_is_proven_again() {
    run(async {
        let world = world(DataAvailability::Blob).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        world.verified_up_to(1).await;
        prover.stop().await.unwrap();
        world.stop_with_all_committed(&sequencer).await;
        let lose = || {
            let file = world.config.store.url.sqlite_path().unwrap();
            for end in ["db", "db-wal", "db-shm"].map(|end| file.with_extension(end)) {
                assert!(!end.exists() || std::fs::remove_file(end).is_ok());
            }
        };
        lose();
        let repair = async || world.builder().repair(|_| {}).await.unwrap();
        assert!(!repair().await.provable.contains(&1), "it is verified");
        let verification = event(&world, events::BatchesVerified::topic(), 1).await;
        world.drop_l1_from(verification.block_number).await;
        let (_, verdict) = world.builder().inspect().await.unwrap();
        assert_eq!(verdict, Verdict::Refused(vec![Problem::ProofsMissing { batch: 1, l1: 0 }]));
        assert!(verdict.to_string().contains("move the store away (keep it) and run `ensemble repair`"));

        lose();
        assert!(repair().await.provable.contains(&1));
        let sequencer = world.sequencer().await;
        let prover = world.prover();
        world.verified_up_to(2).await;
        all_healthy(&sequencer).await;
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
    });
}
