//! The store file is gone, or an old copy of it was restored: the start refuses and says what to do, a repair makes the
//! batches again from L1 and the execution client, and everything goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use common::{World, address, ether, lock, run, until};
use ensemble::{
    Sequencer, StartError,
    repair::{RepairError, RepairReport, RepairStep},
    startup::{Problem, Verdict},
};
use ensemble_store::{BatchRecord, BatchStatus, BlockExtras, Store, StoreError};

fn store_file(world: &World) -> PathBuf {
    world.config.store.url.sqlite_path().unwrap().to_owned()
}

/// The files of a store.
fn files(file: &Path) -> impl Iterator<Item = PathBuf> {
    ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", file.display()))).into_iter()
}

fn lose(file: &Path) {
    for file in files(file).filter(|f| f.exists()) {
        std::fs::remove_file(file).unwrap();
    }
}

/// Lets every batch that was sealed be committed, so that none is lost with the store, and stops.
async fn stop_with_all_committed(world: &World, sequencer: &Sequencer) {
    // A batch that is lost before it is sent is sealed anew, with another time: right, but not for `books`.
    sequencer.system().pause("block_producer").await.unwrap();
    let head = world.l2_head().await;
    let store = &sequencer.services().store;
    until("the commit of every block", async || {
        let batch = store.last_batch_at_least(BatchStatus::Committed).await.unwrap();
        batch.is_some_and(|b| b.last_block >= head).then_some(())
    })
    .await;
    world.stop(sequencer).await;
}

/// Every batch of a store file, and the extras of its blocks.
async fn batches(file: &Path) -> Vec<(BatchRecord, Vec<Option<BlockExtras>>)> {
    let store = Store::open(file).await.unwrap();
    let mut all = Vec::new();
    for number in 1.. {
        let Some(batch) = store.batch(number).await.unwrap() else { break };
        let mut extras = Vec::new();
        for block in batch.first_block..=batch.last_block {
            extras.push(store.block_extras(block).await.unwrap());
        }
        all.push((batch, extras));
    }
    store.close().await;
    all
}

async fn problems(world: &World) -> Vec<Problem> {
    let error = world.refused().await;
    let StartError::Inconsistent(found) = &error else { panic!("{error:?}") };
    assert!(error.to_string().contains("`ensemble repair`"), "{error}");
    found.verdict.problems().to_vec()
}

async fn repair(world: &World) -> (RepairReport, Vec<RepairStep>) {
    let steps = Mutex::new(Vec::new());
    let work = world.builder().repair(|step| lock(&steps).push(step));
    let report = tokio::time::timeout(common::LIMIT, work).await.unwrap().unwrap();
    (report, steps.into_inner().unwrap())
}

type Batches = [(BatchRecord, Vec<Option<BlockExtras>>)];

/// SEQ-INV-4: the batches above `kept`, which were made again, are those that were lost, to the byte, with their
/// transactions; an unverified one has its witnesses. Those up to `kept` are as they were.
fn same_batches(before: &Batches, after: &Batches, kept: u64) {
    assert_eq!(before.len(), after.len());
    for ((old, old_extras), (new, new_extras)) in before.iter().zip(after) {
        let number = old.header.number;
        assert_eq!(new.header, old.header, "SEQ-INV-4: header of batch {number}");
        assert_eq!(new.payload, old.payload, "SEQ-INV-4: bytes of batch {number}");
        assert_eq!(new.blob_proofs, old.blob_proofs, "SEQ-INV-4: blobs of batch {number}");
        assert_eq!((new.first_block, new.last_block), (old.first_block, old.last_block));
        for (old, new) in old_extras.iter().zip(new_extras) {
            let (old, new) = (old.as_ref().unwrap(), new.as_ref().unwrap());
            assert_eq!(old.withdrawals, new.withdrawals, "batch {number}");
        }
        if new.status != BatchStatus::Verified {
            assert!(
                new_extras.iter().flatten().all(|e| !e.witness.is_empty()),
                "witnesses of batch {number}"
            );
        }
        if number > kept {
            assert!(new.status >= old.status, "batch {number}: {:?} after {:?}", new.status, old.status);
            assert!(new.commit_tx.is_some());
            assert!(old.commit_tx.is_none() || old.commit_tx == new.commit_tx);
            assert!(old.verify_tx.is_none() || old.verify_tx == new.verify_tx);
        }
    }
}

/// SEQ-INV-1, SEQ-INV-3, SEQ-INV-4, SEQ-INV-10: the store is lost after traffic, with verified and with unverified
/// batches on L1. The start names the problem and starts nothing; the repair makes every batch again with the same
/// bytes; deposits, withdrawals, commits and verifications go on, and the books are right.
#[test]
fn a_lost_store_is_made_again() {
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(3_000)).await;
        world.arrived(user.address()).await;
        world.transfers(&user, "before", 20).await;
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        world.claimable(&sequencer, &withdrawn).await;
        // From here on nothing is proven: the last batches are committed and not verified.
        prover.stop().await.unwrap();
        let verified = world.verified().await;
        world.transfers(&user, "unverified", 5).await;
        world.deposit(address("unverified deposit"), ether(7)).await;
        world.arrived(address("unverified deposit")).await;
        let second = world.withdraw(&user, address("on L1 later"), ether(300)).await;
        stop_with_all_committed(&world, &sequencer).await;
        let committed = world.committed().await;
        let verified_then = world.verified().await;
        assert!(verified >= 1 && committed > verified_then, "{verified} {verified_then} {committed}");

        let file = store_file(&world);
        let before = batches(&file).await;
        lose(&file);
        let (state, verdict) = world.builder().inspect().await.unwrap();
        assert!(!file.exists(), "a look makes no store");
        assert_eq!(verdict, Verdict::Repairable(vec![Problem::StoreLost { l1: committed }]));
        assert_eq!((state.l1.last_committed, state.l1.last_verified), (committed, verified_then));
        let head = world.l2_head().await;
        assert_eq!(problems(&world).await, [Problem::StoreLost { l1: committed }]);
        assert_eq!(world.l2_head().await, head, "nothing was started");

        let (report, steps) = repair(&world).await;
        assert_eq!(report.batches, (1..=committed).collect::<Vec<_>>());
        assert!(report.without_bytes.is_empty() && report.unprovable.is_empty(), "{report:?}");
        assert!(steps.contains(&RepairStep::CanBeProven { number: committed }), "{steps:?}");
        same_batches(&before, &batches(&file).await, 0);
        // Once more does nothing.
        assert_eq!(repair(&world).await.0, RepairReport::default());

        let sequencer = world.sequencer().await;
        assert_eq!(sequencer.startup().l1.last_committed, committed);
        let prover = world.prover();
        world.deposit(address("after"), ether(11)).await;
        assert_eq!(world.arrived(address("after")).await, ether(11));
        world.verified_up_to(committed + 1).await;
        for withdrawn in [&withdrawn, &second] {
            world.claim(&sequencer, withdrawn).await;
        }
        world.transfers(&user, "after", 5).await;
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        let books = world.books().await;
        assert_eq!(books.deposits, 3);
        assert!(books.verified > committed, "{books:?}");
        let rebuilt = world.rebuild().await;
        assert!(rebuilt >= second.block && rebuilt <= books.head, "{rebuilt} of {books:?}");
    });
}

/// SEQ-INV-1, SEQ-INV-3, SEQ-INV-4: an old copy of the store is restored. Only what it lacks is made again, and a repair
/// that was cut short goes on where it was.
#[test]
fn an_old_copy_of_the_store_is_brought_up_to_date() {
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(3_000)).await;
        world.arrived(user.address()).await;
        world.verified_up_to(1).await;
        stop_with_all_committed(&world, &sequencer).await;
        let file = store_file(&world);
        let old = world.committed().await;
        let copy = world.folder.path().join("backup.db");
        for (from, to) in files(&file).zip(files(&copy)).filter(|(from, _)| from.exists()) {
            std::fs::copy(from, to).unwrap();
        }

        let sequencer = world.sequencer().await;
        world.deposit(address("later"), ether(5)).await;
        world.arrived(address("later")).await;
        world.transfers(&user, "later", 10).await;
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        until("more batches", async || (world.committed().await >= old + 2).then_some(())).await;
        stop_with_all_committed(&world, &sequencer).await;
        prover.stop().await.unwrap();
        let committed = world.committed().await;
        let before = batches(&file).await;
        lose(&file);
        for (from, to) in files(&copy).zip(files(&file)).filter(|(from, _)| from.exists()) {
            std::fs::rename(from, to).unwrap();
        }

        assert_eq!(problems(&world).await, [Problem::StoreBehind { store: old, l1: committed }]);
        // The repair is dropped after its first batch.
        let one = tokio::sync::Notify::new();
        tokio::select! {
            biased;
            () = one.notified() => {}
            done = world.builder().repair(|step| {
                if matches!(step, RepairStep::Restored { .. }) {
                    one.notify_one();
                }
            }) => panic!("it was to be cut short: {done:?}"),
        }
        let (report, _) = repair(&world).await;
        let first = report.batches.first().copied().unwrap();
        assert!(first > old && first <= old + 2, "{report:?}");
        assert_eq!(report.batches, (first..=committed).collect::<Vec<_>>());
        same_batches(&before, &batches(&file).await, old);

        let sequencer = world.sequencer().await;
        let prover = world.prover();
        world.deposit(address("after"), ether(11)).await;
        assert_eq!(world.arrived(address("after")).await, ether(11));
        world.claim(&sequencer, &withdrawn).await;
        world.verified_up_to(committed + 1).await;
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        let books = world.books().await;
        assert_eq!(books.deposits, 3);
        world.rebuild().await;
    });
}

/// Store and execution client are lost together, or the client is of another chain: nothing is made up. The start lists
/// the problem, and neither start nor repair writes a batch.
#[test]
fn what_cannot_be_made_again_is_said() {
    run(async {
        let world = World::start(|_| {}).await;
        let sequencer = world.sequencer().await;
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(3_000)).await;
        world.arrived(user.address()).await;
        stop_with_all_committed(&world, &sequencer).await;
        let committed = world.committed().await;
        let file = store_file(&world);

        // The client's chain is in memory: a new one is at its genesis.
        let kept = world.folder.path().join("kept.db");
        for (from, to) in files(&file).zip(files(&kept)).filter(|(from, _)| from.exists()) {
            std::fs::rename(from, to).unwrap();
        }
        world.stop_l2().await;
        world.start_l2().await;
        assert_eq!(problems(&world).await, [Problem::BlocksLost { l1: committed }]);
        let error = world.builder().repair(|_| {}).await.unwrap_err();
        assert!(matches!(error, RepairError::NotRepairable(Verdict::Refused(_))), "{error:?}");
        assert!(batches(&file).await.is_empty());

        // With the store back, the client gets everything from it.
        lose(&file);
        for (from, to) in files(&kept).zip(files(&file)).filter(|(from, _)| from.exists()) {
            std::fs::rename(from, to).unwrap();
        }
        let sequencer = world.sequencer().await;
        assert_eq!(world.arrived(user.address()).await, ether(3_000));
        // A second sequencer, or a repair, does not touch the store of a running one.
        let error = world.refused().await;
        assert!(matches!(error, StartError::Store(StoreError::InUse { .. })), "{error:?}");
        let error = world.builder().repair(|_| {}).await.unwrap_err();
        assert!(
            matches!(error, RepairError::Start(StartError::Store(StoreError::InUse { .. }))),
            "{error:?}"
        );
        world.stop(&sequencer).await;
        world.books().await;
    });
}
