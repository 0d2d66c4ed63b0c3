//! The store file is gone, or an old copy of it was restored: the start refuses and says what to do, a repair makes the
//! batches again from L1 and the execution client, and everything goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use alloy_primitives::{B256, U256};
use common::{COMMITTER, VERIFIER, World, address, client, ether, lock, run, until};
use ensemble::{
    StartError,
    account::Call,
    repair::{RepairError, RepairReport, RepairStep},
    startup::{Problem, Verdict},
};
use ensemble_batch::{BatchHeader, SealedBlock, blob, blobs_hash, versioned_hash};
use ensemble_contracts::calls;
use ensemble_engine_api::{BlockId, ForkchoiceState, PayloadAttributes};
use ensemble_l1::{BlobTx, BlockTag, SidecarVersion, Wallet, blobs::Sidecar};
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
        world.stop_with_all_committed(&sequencer).await;
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
        world.stop_with_all_committed(&sequencer).await;
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
        world.stop_with_all_committed(&sequencer).await;
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
        world.stop_with_all_committed(&sequencer).await;
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

/// SEQ-INV-4, SEQ-INV-5: the store is lost while its last commits are not mined. The repair waits for them; otherwise the
/// next sequencer would send a second batch of the same number.
#[test]
fn commits_under_way_are_waited_for() {
    run(async {
        let mut world = World::bare(|l1| l1.block_time = Duration::ZERO, |_| {}).await;
        world.deploy().await;
        let sequencer = world.sequencer().await;
        let committed = async || (world.committed().await >= 1).then_some(());
        world.mining(until("a committed batch", committed)).await;
        // From here on nothing is mined.
        let l1 = client(&world.l1_url());
        let [on_l1, sent] = [false, true];
        let nonce = async |pending| l1.transaction_count(COMMITTER.address, pending).await.unwrap();
        until("a commit under way", async || (nonce(sent).await > nonce(on_l1).await).then_some(())).await;
        sequencer.system().pause("block_producer").await.unwrap();
        let head = world.l2_head().await;
        let store = &sequencer.services().store;
        until("every block on its way", async || {
            let last = store.last_batch().await.unwrap()?;
            (last.last_block >= head && last.header.number == nonce(sent).await).then_some(())
        })
        .await;
        let before = world.committed().await;
        world.stop(&sequencer).await;
        lose(&store_file(&world));

        let waiting = tokio::sync::Notify::new();
        let mined = async {
            waiting.notified().await;
            world.dev_l1().mine_now().await.unwrap();
            std::future::pending().await
        };
        let repair = world.builder().repair(|step| {
            if matches!(step, RepairStep::WaitsForTransactions { account, .. } if account == COMMITTER.address) {
                waiting.notify_one();
            }
        });
        let report = tokio::select! {
            biased;
            done = tokio::time::timeout(common::LIMIT, repair) => done.unwrap().unwrap(),
            never = mined => never,
        };
        let committed = world.committed().await;
        assert!(committed > before, "{committed} after {before}");
        assert_eq!(report.batches, (1..=committed).collect::<Vec<_>>(), "those that were under way too");

        let sequencer = world.sequencer().await;
        let next = async || (world.committed().await > committed).then_some(());
        world.mining(until("the next batch", next)).await;
        // What is under way when it stops has to be mined for the books.
        world.stop(&sequencer).await;
        world.mining(world.books()).await;
    });
}

/// Has a first batch sealed and not sent, and gives it.
async fn never_sent(world: &World) -> BatchRecord {
    let sequencer = world.sequencer().await;
    sequencer.system().pause("l1_sender").await.unwrap();
    let store = &sequencer.services().store;
    let batch = until("a sealed batch", async || store.batch(1).await.unwrap()).await;
    world.stop(&sequencer).await;
    batch
}

/// Commits a header with these bytes, as another program would. Gives the header as it is then, and the versioned hashes.
async fn commit(world: &World, header: &BatchHeader, payload: &[u8]) -> (BatchHeader, Vec<B256>) {
    let sidecar = Sidecar::build(&blob::pack(payload, 1).unwrap(), SidecarVersion::V1).unwrap();
    let hashes = sidecar.versioned_hashes();
    let header = BatchHeader { blobs_hash: blobs_hash(&hashes), ..header.clone() };
    let committer = common::account(&world.l1_url(), COMMITTER.private_key).await;
    let fees = committer.fees().await.unwrap();
    let commit = BlobTx {
        chain_id: committer.chain_id(),
        nonce: committer.nonce().await.unwrap(),
        gas_limit: 1_000_000,
        max_fee_per_gas: fees.max_fee_per_gas,
        max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
        max_fee_per_blob_gas: 1_000_000_000,
        to: world.deployment().proposer,
        value: U256::ZERO,
        data: calls::commit_batch(&header),
        sidecar: &sidecar,
    };
    let signed = Wallet::from_hex(COMMITTER.private_key.to_owned()).unwrap().sign_blob(&commit).unwrap();
    committer.client().send_raw_transaction(&signed.raw).await.unwrap();
    committer.wait(signed.hash, common::LIMIT).await.unwrap();
    (header, hashes)
}

/// A world whose batches need no proofs, and whose L1 may be reorganised deeply.
async fn unproven() -> World {
    let deep = 200;
    let mut world =
        World::bare(|l1| (l1.safe_lag, l1.finalized_lag) = (deep, deep), |c| c.prover_server.dev_mode = true)
            .await;
    world.deploy().await;
    world
}

/// SEQ-INV-4: a batch that another version has encoded is not written with bytes that are not L1's. While it is not
/// verified, the repair says so; a verified one is kept without bytes, and the chain goes on. When L1 drops such a batch
/// it cannot be sent again: the start says so.
#[test]
fn what_another_version_has_encoded_is_not_made_up() {
    run(async {
        let world = unproven().await;
        let batch = never_sent(&world).await;
        let file = store_file(&world);
        lose(&file);
        let other_bytes: Vec<u8> = batch.payload.iter().copied().chain([0]).collect();
        let (header, hashes) = commit(&world, &batch.header, &other_bytes).await;
        assert_eq!(world.committed().await, 1);

        assert_eq!(problems(&world).await, [Problem::StoreLost { l1: 1 }]);
        let error = world.builder().repair(|_| {}).await.unwrap_err();
        let RepairError::OtherBytes { number: 1, ours, l1 } = &error else { panic!("{error:?}") };
        let made: Vec<B256> = batch.blob_proofs.iter().map(|p| versioned_hash(&p.commitment)).collect();
        assert_eq!((ours, l1), (&made, &hashes));
        assert!(error.to_string().contains("run the repair with that one"), "{error}");
        assert!(batches(&file).await.is_empty(), "nothing was written");

        let verifier = common::account(&world.l1_url(), VERIFIER.private_key).await;
        let (to, data) = (Some(world.deployment().proposer), calls::verify_batches(&header, &[]));
        let call = Call { to, value: U256::ZERO, data };
        let verification = verifier.transact(&call, common::LIMIT).await.unwrap();
        let (report, _) = repair(&world).await;
        assert_eq!((report.batches, report.without_bytes), (vec![1], vec![1]));
        let (restored, _) = batches(&file).await.remove(0);
        assert_eq!((&restored.header, restored.status), (&header, BatchStatus::Verified));
        assert_eq!(restored.verify_tx, Some(verification.transaction_hash));
        assert!(restored.payload.is_empty() && restored.blob_proofs.is_empty());

        // What that version has sealed.
        world.seen().batches = [(1, [header.hash()].into())].into();
        let sequencer = world.sequencer().await;
        world.verified_up_to(2).await;
        world.stop(&sequencer).await;
        world.books().await;

        let commit = client(&world.l1_url()).receipt(restored.commit_tx.unwrap()).await.unwrap().unwrap();
        world.drop_l1_from(commit.block_number).await;
        assert_eq!(problems(&world).await, [Problem::BytesMissing { batch: 1, l1: 0 }]);
        // As it is told: L1 has nothing, so all is sealed anew from the client's blocks.
        lose(&file);
        assert_eq!(repair(&world).await.0, RepairReport::default());
        let sequencer = world.sequencer().await;
        world.verified_up_to(1).await;
        world.stop(&sequencer).await;
    });
}

/// SEQ-INV-4, SEQ-INV-7: a header on L1 that does not follow from the blocks it names is not written as if it did,
/// whichever part of it is wrong.
#[test]
fn a_header_that_is_not_of_this_chain_is_refused() {
    run(async {
        let world = unproven().await;
        let BatchRecord { header, payload, .. } = never_sent(&world).await;
        lose(&store_file(&world));
        let other = B256::repeat_byte(7);
        let cases = [
            ("the state root", BatchHeader { state_root: other, ..header.clone() }),
            ("the root of withdrawals", BatchHeader { withdrawals_root: other, ..header.clone() }),
            ("the rolling hash of deposits", BatchHeader { deposits_hash: other, ..header.clone() }),
            ("the last deposit", BatchHeader { deposits_index: header.deposits_index + 1, ..header.clone() }),
        ];
        for (part, wrong) in cases {
            let (wrong, _) = commit(&world, &wrong, &payload).await;
            let error = world.builder().repair(|_| {}).await.unwrap_err();
            let RepairError::OtherHeader { number: 1, what, .. } = error else { panic!("{part}: {error:?}") };
            assert_eq!(what, part);
            assert!(batches(&store_file(&world)).await.is_empty(), "nothing was written");
            let topic = ensemble_contracts::events::BatchCommitted::topic();
            let logs = world.logs(world.deployment().proposer, topic).await;
            assert!(logs[0].topics.contains(&wrong.hash()), "{logs:?}");
            world.drop_l1_from(logs[0].block_number).await;
        }
        commit(&world, &header, &payload).await;
        assert_eq!(repair(&world).await.0.batches, [1]);
    });
}

/// SEQ-INV-3: the execution client lacks blocks of the batches. Those that it has are made again, the first that it
/// lacks is named, and when the client has them again the repair goes on there.
#[test]
fn a_client_that_lacks_blocks_is_said() {
    run(async {
        let world = unproven().await;
        let sequencer = world.sequencer().await;
        until("three batches", async || (world.committed().await >= 3).then_some(())).await;
        world.stop_with_all_committed(&sequencer).await;
        let file = store_file(&world);
        let before = batches(&file).await;
        let store = Store::open(&file).await.unwrap();
        let mut blocks = Vec::new();
        for number in 1..=before.last().unwrap().0.last_block {
            blocks.push(store.block(number).await.unwrap().unwrap());
        }
        store.close().await;
        lose(&file);
        world.stop_l2().await;
        world.start_l2().await;
        let engine = ensemble::execution_client(&world.config).unwrap();
        let genesis = engine.block(BlockId::Number(0)).await.unwrap().unwrap().hash;
        let give = async |blocks: &[SealedBlock]| {
            for block in blocks {
                engine.new_payload(block).await.unwrap();
                let state = ForkchoiceState { head: block.block_hash, safe: genesis, finalized: genesis };
                engine.forkchoice_updated(state, None).await.unwrap();
            }
        };
        // The second batch's last block is missing.
        let (has, lacks) = blocks.split_at(usize::try_from(before[1].0.last_block).unwrap() - 1);
        give(has).await;
        let error = world.builder().repair(|_| {}).await.unwrap_err();
        let RepairError::NoBlock { number: 2, hash, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*hash, before[1].0.header.block_hash);
        assert_eq!(batches(&file).await.len(), 1, "the first is there");
        give(lacks).await;
        let (report, _) = repair(&world).await;
        assert_eq!(report.batches, (2..=before.len() as u64).collect::<Vec<_>>());
        let after = batches(&file).await;
        assert!(before.iter().zip(&after).all(|((old, _), (new, _))| old.header == new.header));
    });
}

/// Gives the execution client, which is at its genesis, a first block that the sequencer has not made.
async fn foreign_block(world: &World) -> B256 {
    let engine = ensemble::execution_client(&world.config).unwrap();
    let genesis = engine.block(BlockId::Number(0)).await.unwrap().unwrap();
    let attributes = PayloadAttributes {
        timestamp: genesis.timestamp + 1,
        prev_randao: ensemble_batch::prev_randao(&genesis.hash, 0),
        suggested_fee_recipient: address("somebody else"),
        withdrawals: Vec::new(),
        parent_beacon_block_root: B256::ZERO,
    };
    let state = ForkchoiceState { head: genesis.hash, safe: genesis.hash, finalized: genesis.hash };
    let id = engine.forkchoice_updated(state, Some(&attributes)).await.unwrap().payload_id.unwrap();
    let block = engine.get_payload(&id, attributes.timestamp).await.unwrap().block;
    engine.new_payload(&block).await.unwrap();
    engine.forkchoice_updated(ForkchoiceState { head: block.block_hash, ..state }, None).await.unwrap();
    block.block_hash
}

/// SEQ-INV-3, SEQ-INV-4: the store contradicts L1, or the execution client, or the client hides blocks: the start says
/// which, and starts nothing; neither does a repair.
#[test]
fn what_contradicts_the_store_is_said() {
    run(async {
        let mut world = unproven().await;
        let batch = never_sent(&world).await;
        let other_bytes: Vec<u8> = batch.payload.iter().copied().chain([0]).collect();
        let (header, _) = commit(&world, &batch.header, &other_bytes).await;
        let wanted = [Problem::OtherBatch { number: 1, store: batch.header.hash(), l1: header.hash() }];
        assert_eq!(problems(&world).await, wanted);
        let error = world.builder().repair(|_| {}).await.unwrap_err();
        let RepairError::NotRepairable(verdict) = error else { panic!("{error:?}") };
        assert_eq!(verdict, Verdict::Refused(wanted.to_vec()));

        world.stop_l2().await;
        world.start_l2().await;
        let foreign = foreign_block(&world).await;
        let found = problems(&world).await;
        let [
            Problem::OtherBatch { .. },
            Problem::ClientDiverged { number: 1, client, store_is_l1s: false, .. },
        ] = found[..]
        else {
            panic!("{found:?}")
        };
        assert_eq!(client, Some(foreign));

        // Without the store the client has a block that it has to hand out; on its engine port it does not.
        lose(&store_file(&world));
        world.config.engine.public_url = None;
        assert_eq!(
            problems(&world).await,
            [Problem::StoreLost { l1: 1 }, Problem::BlocksHidden { client: 1, store: 0 }]
        );
    });
}

/// A first block that is too late, or an L1 node that keeps no old logs: the repair says what it does not find, and
/// writes nothing.
#[test]
fn a_commit_that_is_not_found_is_said() {
    run(async {
        let mut world = World::start(|c| c.prover_server.dev_mode = true).await;
        let sequencer = world.sequencer().await;
        world.stop_with_all_committed(&sequencer).await;
        let file = store_file(&world);
        lose(&file);
        let head = client(&world.l1_url()).block(BlockTag::Latest).await.unwrap().unwrap().number;
        world.config.watcher.start_block = Some(head + 1);
        let error = world.builder().repair(|_| {}).await.unwrap_err();
        let RepairError::NoEvent { number: 1, start_block } = &error else { panic!("{error:?}") };
        assert_eq!(*start_block, head + 1);
        assert!(error.to_string().contains("check watcher.start_block"), "{error}");
        assert!(batches(&file).await.is_empty(), "nothing was written");
        world.config.watcher.start_block = None;
        assert_eq!(repair(&world).await.0.batches, (1..=world.committed().await).collect::<Vec<_>>());
    });
}
