//! Tests of the component with a real actor, a real store, mocked chains and a mocked L1Sender.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix::Actor;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use ensemble_batch::{BLOB_BYTES, BatchLimits, GWEI, blob, usable_bytes};
use ensemble_contracts::{L2_BRIDGE_ADDRESS, calls, events::WithdrawalInitiated};
use ensemble_engine_api::{EngineError, mock::MockMethod};
use ensemble_l1::{CallDataGas, FeePolicy, Sidecar, SidecarVersion, mock::Method};
use ensemble_messages::{
    BatchCommitted, BatchSealed, BlockSealed, IntentId, IntentKind, L1Reorged, Send as SendTx, SendReply,
    SenderRole, TxConfirmed, TxFailed, TxIntent,
};
use ensemble_store::{BatchRecord, BatchStatus, IntentState};
use ensemble_supervision::{ExitReason, Outlet, faults};
use tokio::sync::mpsc::Receiver;

use super::{DataAvailability, L1Committer, L1CommitterConfig, L1CommitterOutlets};
use crate::testing::{Bed, FakeSender, Proposer, Running, USER, next, run, tap, unreachable_l1, until};

const COMMIT_MS: u64 = 10_000;

struct Committing {
    run: Running<L1Committer>,
    asked: Receiver<TxIntent>,
    sender: FakeSender,
    sealed: Receiver<BatchSealed>,
    committed: Receiver<BatchCommitted>,
    proposer: Proposer,
}

fn config() -> L1CommitterConfig {
    L1CommitterConfig {
        commit_time: Duration::from_millis(COMMIT_MS),
        // It works when it is told to.
        poll: Duration::from_secs(3600),
        da: DataAvailability::None,
        fees: FeePolicy::default(),
        limits: BatchLimits { max_blobs: 0, max_blocks: 1_000, max_gas: u64::MAX, max_deposits: 1_000 },
        max_uncommitted: 100,
    }
}

async fn start(bed: &Bed, name: &str, config: L1CommitterConfig) -> Committing {
    let (sender, asked) = FakeSender::new();
    let (batch_sealed, sealed) = tap();
    let (batch_committed, committed) = tap();
    let out = Arc::new(L1CommitterOutlets { sender: sender.outlet(), batch_sealed, batch_committed });
    let proposer = Proposer::on(&bed.l1);
    let run = start_with(bed, name, config, out).await;
    Committing { run, asked, sender, sealed, committed, proposer }
}

async fn start_with(
    bed: &Bed,
    name: &str,
    config: L1CommitterConfig,
    out: Arc<L1CommitterOutlets>,
) -> Running<L1Committer> {
    let looks = bed.l1.requests(Method::Call);
    let services = bed.services.clone();
    let run =
        run(name, move |seat| L1Committer::new(seat, config.clone(), services.clone(), Arc::clone(&out)))
            .await;
    // The time to the first batch runs from the first step.
    until("the first look at L1", || async { bed.l1.requests(Method::Call) > looks }).await;
    run
}

impl Committing {
    /// Lets the time of a batch pass; the batch, and what L1Sender was asked for it.
    async fn batch(&mut self, bed: &Bed) -> (BatchSealed, TxIntent) {
        bed.clock.advance(COMMIT_MS);
        self.run.step().await;
        let sealed = next(&mut self.sealed).await;
        let intent = next(&mut self.asked).await;
        assert_eq!(intent.kind, IntentKind::CommitBatch { number: sealed.header.number });
        (sealed, intent)
    }
}

async fn blocks(bed: &Bed, count: usize) {
    for _ in 0..count {
        bed.block(&[]).await;
    }
}

fn confirmed(intent: &TxIntent) -> TxConfirmed {
    TxConfirmed {
        id: intent.id.clone(),
        kind: intent.kind,
        transaction: B256::repeat_byte(3),
        l1_block: 1,
        gas_used: 1,
    }
}

fn failed(intent: &TxIntent) -> TxFailed {
    TxFailed { id: intent.id.clone(), kind: intent.kind, transaction: None, reason: "Paused()".to_owned() }
}

// -------------------------------------------------------------------------------------------------------- sealing

/// SEQ-INV-4: the batch is in the store when L1Sender is asked, and what is asked for is that batch.
#[actix::test]
async fn seals_by_time_and_stores_before_it_asks() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-time", config()).await;
    blocks(&bed, 3).await;
    bed.clock.advance(COMMIT_MS - 1);
    committing.run.step().await;
    until("the blocks were read", || async { bed.store().block_extras(3).await.unwrap().is_some() }).await;
    assert!(committing.sealed.try_recv().is_err(), "a millisecond is missing");
    bed.clock.advance(1);
    committing.run.step().await;
    let sealed = next(&mut committing.sealed).await;
    assert_eq!((sealed.header.number, sealed.first_block, sealed.last_block), (1, 1, 3));
    let intent = next(&mut committing.asked).await;
    let stored = bed.store().batch(1).await.unwrap().unwrap();
    assert_eq!((stored.header.clone(), stored.status), (sealed.header.clone(), BatchStatus::Sealed));
    assert_eq!(stored.payload.len() as u64, sealed.payload_bytes);
    let wanted = TxIntent {
        id: intent.id.clone(),
        role: SenderRole::Committer,
        kind: IntentKind::CommitBatch { number: 1 },
        to: crate::testing::PROPOSER,
        data: calls::commit_batch(&stored.header),
        blobs: 0,
    };
    assert_eq!(intent, wanted);
    assert_eq!(stored.header.parent_hash, bed.services.chain.genesis_header.hash());
    assert_eq!(stored.header.block_hash, bed.engine.head().block_hash);
    assert_eq!(stored.header.state_root, bed.engine.head().state_root);

    // The next batch follows; an empty one is not made.
    bed.clock.advance(COMMIT_MS);
    committing.run.step().await;
    blocks(&bed, 1).await;
    let (second, _) = committing.batch(&bed).await;
    assert_eq!((second.header.number, second.first_block, second.last_block), (2, 4, 4));
    assert_eq!(second.header.parent_hash, stored.header.hash());
    committing.run.stop().await;
}

/// A full batch does not wait for its time, and a block that does not fit begins the next one.
#[actix::test]
async fn seals_by_size() {
    let bed = Bed::new().await;
    let mut config = config();
    config.limits.max_blocks = 2;
    let mut committing = start(&bed, "committer-size", config).await;
    blocks(&bed, 5).await;
    let told = bed.engine.head();
    let hint = BlockSealed {
        number: told.number,
        hash: told.block_hash,
        parent_hash: told.parent_hash,
        timestamp: told.timestamp,
        transactions: 0,
        deposits: 0,
        deposits_index: 0,
        gas_used: 0,
    };
    committing.run.handle.tell(hint).await.unwrap();
    for (first, last) in [(1, 2), (3, 4)] {
        let sealed = next(&mut committing.sealed).await;
        assert_eq!((sealed.first_block, sealed.last_block), (first, last));
    }
    until("the fifth block was read", || async { bed.store().block_extras(5).await.unwrap().is_some() })
        .await;
    assert!(committing.sealed.try_recv().is_err(), "one block is not full");
    let (third, _) = {
        next(&mut committing.asked).await;
        next(&mut committing.asked).await;
        committing.batch(&bed).await
    };
    assert_eq!((third.first_block, third.last_block), (5, 5));
    committing.run.stop().await;
}

/// SEQ-INV-11: while L1 takes no commits, no more than `max_uncommitted` batches are made.
#[actix::test]
async fn uncommitted_batches_are_bounded() {
    let bed = Bed::new().await;
    let mut config = config();
    (config.limits.max_blocks, config.max_uncommitted) = (1, 2);
    let mut committing = start(&bed, "committer-bounded", config).await;
    blocks(&bed, 5).await;
    committing.run.step().await;
    next(&mut committing.sealed).await;
    next(&mut committing.sealed).await;
    bed.clock.advance(COMMIT_MS);
    committing.run.step().await;
    until("the third block was read", || async { bed.store().block_extras(3).await.unwrap().is_some() })
        .await;
    assert_eq!(bed.store().last_batch().await.unwrap().unwrap().header.number, 2);
    let first = next(&mut committing.asked).await;
    committing.proposer.commit(bed.store().batch(1).await.unwrap().unwrap().header.hash());
    committing.run.handle.tell(confirmed(&first)).await.unwrap();
    assert_eq!(next(&mut committing.sealed).await.header.number, 3);
    committing.run.stop().await;
}

/// A block that no batch can hold is reported with the setting to change.
#[actix::test]
async fn a_block_too_large_is_reported() {
    let bed = Bed::new().await;
    let mut config = config();
    config.limits.max_deposits = 1;
    let mut committing = start(&bed, "committer-too-large", config).await;
    bed.block(&[(1, 1), (2, 1)]).await;
    committing.run.step().await;
    let reason = committing.run.degraded().await;
    assert!(reason.contains("block 1") && reason.contains("deposits"), "{reason}");
    assert_eq!(committing.run.status().restarts, 0);
    committing.run.stop().await;
}

// ---------------------------------------------------------------------------------------------------- commitments

fn node(left: B256, right: B256) -> B256 {
    keccak256([left.as_slice(), right.as_slice()].concat())
}

fn word(n: u64) -> B256 {
    B256::from(U256::from(n))
}

/// The header's commitments equal what is computed here from the formats' descriptions.
#[actix::test]
async fn withdrawals_root_and_deposits_hash_are_right() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-roots", config()).await;
    let withdrawal = |id: u64, to: Address, wei: u64| {
        let topics = vec![WithdrawalInitiated::topic(), USER.into_word(), to.into_word(), word(wei)];
        bed.engine.add_log(L2_BRIDGE_ADDRESS, topics, Bytes::from(word(id).to_vec()));
    };
    let receivers = [1, 2, 3].map(Address::with_last_byte);
    withdrawal(0, receivers[0], 10);
    withdrawal(1, receivers[1], 20);
    // Another contract's event of the same name is none.
    bed.engine.add_log(
        Address::repeat_byte(0x66),
        vec![WithdrawalInitiated::topic(), USER.into_word(), USER.into_word(), word(1)],
        Bytes::from(word(7).to_vec()),
    );
    bed.block(&[(1, 11), (2, 22)]).await;
    withdrawal(2, receivers[2], 30);
    bed.block(&[(3, 33)]).await;
    let (sealed, _) = committing.batch(&bed).await;

    let leaf =
        |id: u64, to: Address, wei: u64| keccak256(keccak256([word(id), to.into_word(), word(wei)].concat()));
    let leaves =
        [leaf(0, receivers[0], 10), leaf(1, receivers[1], 20), leaf(2, receivers[2], 30), B256::ZERO];
    let root = node(node(leaves[0], leaves[1]), node(leaves[2], leaves[3]));
    assert_eq!(sealed.header.withdrawals_root, root);

    let mut hash = B256::ZERO;
    for (id, gwei) in [(1, 11), (2, 22), (3, 33)] {
        hash = node(hash, keccak256([word(id), USER.into_word(), word(gwei * GWEI)].concat()));
        hash.0[28..].fill(0);
    }
    assert_eq!((sealed.header.deposits_hash, sealed.header.deposits_index), (hash, 3));

    // A batch without either: the root is zero, the deposits are those of the parent.
    blocks(&bed, 1).await;
    let (second, _) = committing.batch(&bed).await;
    assert_eq!(second.header.withdrawals_root, B256::ZERO);
    assert_eq!((second.header.deposits_hash, second.header.deposits_index), (hash, 3));
    committing.run.stop().await;
}

/// The header commits to the blobs that the transaction will carry.
#[actix::test]
async fn blobs_are_committed_to() {
    let bed = Bed::new().await;
    let mut config = config();
    (config.da, config.limits.max_blobs) = (DataAvailability::Blob, 2);
    let mut committing = start(&bed, "committer-blobs", config).await;
    blocks(&bed, 2).await;
    let (sealed, intent) = committing.batch(&bed).await;
    assert_eq!((sealed.blobs, intent.blobs), (1, 1));
    let stored = bed.store().batch(1).await.unwrap().unwrap();
    let sidecar = Sidecar::build(&blob::pack(&stored.payload, 1).unwrap(), SidecarVersion::V0).unwrap();
    assert_eq!(sealed.header.blobs_hash, keccak256(sidecar.versioned_hashes().concat()));
    assert_eq!(stored.blob_proofs, sidecar.blob_proofs().unwrap());
    committing.run.stop().await;
}

/// L1 refuses a seal time in its future: the older of both clocks counts.
#[actix::test]
async fn the_seal_time_is_never_ahead_of_l1() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-seal-time", config()).await;
    blocks(&bed, 1).await;
    let (sealed, _) = committing.batch(&bed).await;
    assert_eq!(sealed.header.sealed_at, bed.l1.head().timestamp);
    assert!(sealed.header.sealed_at < bed.services.clock.unix_seconds());
    committing.run.stop().await;
}

/// Checks that the payload is in the call data, behind the header's arguments.
fn is_in_call_data(batch: &BatchRecord, intent: &TxIntent) {
    let BatchRecord { header, payload, blob_proofs, .. } = batch;
    assert!(batch.in_call_data() && blob_proofs.is_empty(), "{header:?}");
    assert_eq!(header.blobs_hash, B256::from(keccak256(payload).0.map(|byte| !byte)));
    assert_eq!((&intent.data, intent.blobs), (&calls::commit_batch_with_data(header, payload), 0));
}

/// The header commits to the call data that the transaction will carry, and it carries it.
#[actix::test]
async fn call_data_is_committed_to() {
    let bed = Bed::new().await;
    let mut config = config();
    (config.da, config.limits.max_blobs) = (DataAvailability::CallData, 6);
    let mut committing = start(&bed, "committer-call-data", config).await;
    blocks(&bed, 2).await;
    let (sealed, intent) = committing.batch(&bed).await;
    let stored = bed.store().batch(1).await.unwrap().unwrap();
    is_in_call_data(&stored, &intent);
    assert_eq!((sealed.blobs, &sealed.header), (0, &stored.header));
    assert!(!stored.payload.is_empty());

    // A transaction holds no more than a blob, whatever the limits say.
    for seed in 0..3 {
        bed.engine.add_transaction((0..2_000).flat_map(|n| keccak256(format!("{seed}/{n}")).0).collect());
        blocks(&bed, 1).await;
    }
    committing.run.step().await;
    for number in [2, 3] {
        let intent = next(&mut committing.asked).await;
        let stored = bed.store().batch(number).await.unwrap().unwrap();
        assert!(stored.payload.len() <= usable_bytes(1), "{} bytes", stored.payload.len());
        is_in_call_data(&stored, &intent);
        if number == 2 {
            assert_eq!((stored.first_block, stored.last_block), (3, 4), "two of them fit");
            bed.clock.advance(COMMIT_MS);
            committing.run.step().await;
        }
    }
    committing.run.stop().await;
}

/// Without data on L1 the header says so.
#[actix::test]
async fn a_validium_commits_to_no_data() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-validium", config()).await;
    blocks(&bed, 1).await;
    let (sealed, intent) = committing.batch(&bed).await;
    let stored = bed.store().batch(1).await.unwrap().unwrap();
    assert_eq!((sealed.header.blobs_hash, stored.in_call_data()), (B256::ZERO, false));
    assert_eq!((intent.data, intent.blobs), (calls::commit_batch(&stored.header), 0));
    committing.run.stop().await;
}

const GWEI_WEI: u128 = 1_000_000_000;

fn auto() -> L1CommitterConfig {
    let mut config = config();
    (config.da, config.limits.max_blobs) = (DataAvailability::Auto, 6);
    config
}

/// Each batch goes where it is cheaper when it is sealed; a place is left only for one that is cheaper by the margin,
/// also by a new process.
#[actix::test]
async fn auto_goes_where_it_is_cheaper() {
    let mut bed = Bed::new().await;
    let mut committing = start(&bed, "committer-auto", auto()).await;
    // (price of blobs, blobs). The margin is around the price at which both cost the same, which is asked for first.
    let mut even = None;
    for (name, blobs) in [
        ("cheap", true),
        ("dear", false),
        ("hardly cheaper", false),
        ("cheap", true),
        ("hardly dearer", true),
    ] {
        blocks(&bed, 1).await;
        let price = match (name, even) {
            ("cheap", _) | (_, None) => 1,
            ("dear", Some(_)) => 100 * GWEI_WEI,
            ("hardly cheaper", Some(even)) => even * 9 / 10,
            (_, Some(even)) => even * 11 / 10,
        };
        bed.l1.set_fees(GWEI_WEI, 0, Some(price));
        bed.l1.mine();
        let (sealed, intent) = committing.batch(&bed).await;
        let stored = bed.store().batch(sealed.header.number).await.unwrap().unwrap();
        assert_eq!(sealed.blobs, u64::from(blobs), "{name}: {price} wei");
        match blobs {
            true => {
                assert_eq!((intent.blobs, intent.data), (1, calls::commit_batch(&stored.header)), "{name}")
            }
            false => is_in_call_data(&stored, &intent),
        }
        let gas = CallDataGas::of(&stored.payload).used + 18 * (stored.payload.len() as u64).div_ceil(32);
        let tip = FeePolicy::default().min_priority_fee_per_gas;
        even = Some(u128::from(gas) * (GWEI_WEI + tip) / BLOB_BYTES as u128);
        committing.run.stop().await;
        bed.reopen_store().await;
        committing = start(&bed, "committer-auto", auto()).await;
        // It was not told that L1 has them.
        for _ in 0..sealed.header.number {
            next(&mut committing.asked).await;
        }
    }
    committing.run.stop().await;
}

/// SEQ-INV-4: the place that a batch was sealed for stays, with the same bytes, when prices or configuration are others: for
/// a new process, after a failure, and when L1 drops the commit.
#[actix::test]
async fn a_place_is_kept() {
    const DEAR: u128 = 100 * GWEI_WEI;
    use DataAvailability::{Auto, Blob, CallData, None as Nowhere};
    for (name, (da, price), later, blobs) in [
        ("committer-kept-dear", (Auto, DEAR), (Auto, 1), 0),
        ("committer-kept-cheap", (Auto, 1), (Auto, DEAR), 1),
        ("committer-kept-blob", (Blob, DEAR), (CallData, DEAR), 1),
        ("committer-kept-data", (CallData, 1), (Blob, 1), 0),
        ("committer-kept-none", (Nowhere, DEAR), (CallData, DEAR), 0),
    ] {
        let config = |da| L1CommitterConfig { da, ..auto() };
        let mut bed = Bed::new().await;
        bed.l1.set_fees(GWEI_WEI, 0, Some(price));
        bed.l1.mine();
        let mut committing = start(&bed, name, config(da)).await;
        blocks(&bed, 2).await;
        let (sealed, intent) = committing.batch(&bed).await;
        let stored = bed.store().batch(1).await.unwrap().unwrap();
        assert_eq!((sealed.blobs, stored.in_call_data()), (blobs, blobs == 0 && da != Nowhere), "{name}");

        let (da, price) = later;
        bed.l1.set_fees(GWEI_WEI, 0, Some(price));
        bed.l1.mine_many(50);
        committing.run.stop().await;
        bed.reopen_store().await;
        let mut committing = start(&bed, name, config(da)).await;
        assert_eq!(next(&mut committing.asked).await, intent, "{name}: a new process");
        committing.run.handle.tell(failed(&intent)).await.unwrap();
        assert_eq!(next(&mut committing.asked).await, intent, "{name}: a failure");
        committing.proposer.commit(sealed.header.hash());
        committing.run.handle.tell(confirmed(&intent)).await.unwrap();
        next(&mut committing.committed).await;
        committing.proposer.uncommit_above(0);
        committing.run.handle.tell(L1Reorged { from: 9, common_ancestor: 7 }).await.unwrap();
        assert_eq!(next(&mut committing.asked).await, intent, "{name}: a reorg");
        let now = bed.store().batch(1).await.unwrap().unwrap();
        assert_eq!((now.header, now.payload), (stored.header, stored.payload), "{name}");
        committing.run.stop().await;
    }
}

/// No price, no choice: the batch waits, and nothing is lost. Only `auto` asks for prices.
#[actix::test]
async fn prices_are_waited_for() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-prices", auto()).await;
    bed.l1.fail(Method::FeeHistory, unreachable_l1(), 1);
    blocks(&bed, 2).await;
    bed.clock.advance(COMMIT_MS);
    committing.run.step().await;
    let reason = committing.run.degraded().await;
    assert!(reason.contains("connection refused"), "{reason}");
    let sealed = next(&mut committing.sealed).await;
    assert_eq!((sealed.first_block, sealed.last_block), (1, 2));
    assert_eq!(bed.l1.requests(Method::FeeHistory), 2);
    committing.run.stop().await;

    let bed = Bed::new().await;
    for (name, da) in [
        ("committer-prices-blob", DataAvailability::Blob),
        ("committer-prices-data", DataAvailability::CallData),
    ] {
        let mut committing = start(&bed, name, L1CommitterConfig { da, ..auto() }).await;
        blocks(&bed, 1).await;
        bed.clock.advance(COMMIT_MS);
        committing.run.step().await;
        next(&mut committing.sealed).await;
        committing.run.stop().await;
    }
    assert_eq!(bed.l1.requests(Method::FeeHistory), 0);
}

// ------------------------------------------------------------------------------------------- identical bytes again

/// SEQ-INV-4: whatever message a panic comes at, a batch that was asked for is asked for again with the same bytes,
/// though L1 and the clock have gone on.
#[actix::test]
async fn batches_are_asked_for_again_with_identical_bytes() {
    let bed = Bed::new().await;
    let name = "committer-panics";
    let mut config = config();
    config.limits.max_blocks = 2;
    let mut committing = start(&bed, name, config).await;
    let mut seen: BTreeMap<u64, TxIntent> = BTreeMap::new();
    let mut payloads: BTreeMap<u64, (B256, Bytes)> = BTreeMap::new();
    let mut again = 0;
    // A batch is full when the block after it comes.
    blocks(&bed, 1).await;
    for nth in 1..=6_u64 {
        blocks(&bed, 2).await;
        faults::arm(name, nth);
        let stop = bed.store().last_batch().await.unwrap().map_or(0, |b| b.header.number) + 1;
        for _ in 0..nth {
            bed.clock.advance(700);
            bed.l1.mine();
            committing.run.step().await;
        }
        committing.run.restarted().await;
        if nth % 2 == 0 {
            committing.run.restart().await;
        }
        until("the batch", || async { bed.store().batch(stop).await.unwrap().is_some() }).await;
        // Whoever asks for it, and once more by the new instance.
        for _ in 0..2 {
            loop {
                let intent = next(&mut committing.asked).await;
                let IntentKind::CommitBatch { number } = intent.kind else { panic!("{intent:?}") };
                let batch = bed.store().batch(number).await.unwrap().unwrap();
                assert_eq!(
                    intent.data,
                    calls::commit_batch(&batch.header),
                    "the bytes are those of the stored batch"
                );
                let content = (batch.header.hash(), batch.payload);
                assert_eq!(
                    payloads.entry(number).or_insert_with(|| content.clone()),
                    &content,
                    "batch {number}"
                );
                again += usize::from(seen.contains_key(&number));
                assert_eq!(*seen.entry(number).or_insert_with(|| intent.clone()), intent, "batch {number}");
                if number == stop {
                    break;
                }
            }
            committing.run.restart().await;
        }
    }
    assert!(again >= 6);
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), (1..=6).collect::<Vec<_>>());
    for number in 1..=6 {
        let batch = bed.store().batch(number).await.unwrap().unwrap();
        assert_eq!((batch.first_block, batch.last_block), (number * 2 - 1, number * 2));
    }
    committing.run.stop().await;
}

/// SEQ-INV-4: a new process with the same store goes on with the same bytes.
#[actix::test]
async fn a_new_process_asks_with_identical_bytes() {
    let mut bed = Bed::new().await;
    let mut committing = start(&bed, "committer-process", config()).await;
    blocks(&bed, 2).await;
    let (_, before) = committing.batch(&bed).await;
    committing.run.stop().await;
    bed.reopen_store().await;
    bed.clock.advance(1_000_000);
    bed.l1.mine_many(50);
    let mut committing = start(&bed, "committer-process", config()).await;
    assert_eq!(next(&mut committing.asked).await, before);
    committing.run.stop().await;
}

/// SEQ-INV-4: L1Sender cannot take a batch; the batch stays as it is and is offered again, also after a restart.
#[actix::test]
async fn a_refusing_sender_is_asked_again() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-refused", config()).await;
    for _ in 0..2 {
        committing.sender.reply(SendReply::Refused { reason: "disk full".to_owned() });
    }
    blocks(&bed, 1).await;
    let (_, first) = committing.batch(&bed).await;
    let reason = committing.run.degraded().await;
    assert!(reason.contains("l1_sender") && reason.contains("disk full"), "{reason}");
    assert_eq!(next(&mut committing.asked).await, first, "by itself");
    committing.run.restart().await;
    assert_eq!(next(&mut committing.asked).await, first);
    committing.run.stop().await;
}

/// L1Sender does not run: degraded with its name, no restart.
#[actix::test]
async fn an_absent_sender_makes_it_degraded() {
    struct Gone;
    impl Actor for Gone {
        type Context = actix::Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            actix::ActorContext::stop(ctx);
        }
    }
    impl actix::Handler<SendTx> for Gone {
        type Result = actix::MessageResult<SendTx>;
        fn handle(&mut self, _: SendTx, _: &mut Self::Context) -> Self::Result {
            panic!("it has stopped")
        }
    }
    let bed = Bed::new().await;
    Proposer::on(&bed.l1);
    let sender = Outlet::from_recipient(Gone.start().recipient());
    let out =
        L1CommitterOutlets { sender, batch_sealed: Default::default(), batch_committed: Default::default() };
    let mut run = start_with(&bed, "committer-alone", config(), Arc::new(out)).await;
    blocks(&bed, 1).await;
    bed.clock.advance(COMMIT_MS);
    run.step().await;
    let reason = run.degraded().await;
    assert!(reason.contains("l1_sender does not answer"), "{reason}");
    assert_eq!(bed.store().batches_at(BatchStatus::Sealed).await.unwrap(), [1]);
    assert_eq!(run.status().restarts, 0);
    run.stop().await;
}

// ------------------------------------------------------------------------------------------------------ what L1 has

/// A commit that is on L1 counts, whoever sent it.
#[actix::test]
async fn commits_are_seen_on_l1() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-seen", config()).await;
    blocks(&bed, 1).await;
    let (first, intent) = committing.batch(&bed).await;
    committing.proposer.commit(first.header.hash());
    committing.run.handle.tell(confirmed(&intent)).await.unwrap();
    let told = next(&mut committing.committed).await;
    assert_eq!(
        (told.number, told.last_block, told.transaction),
        (1, 1, None),
        "the intent has no transaction"
    );

    blocks(&bed, 1).await;
    let (second, intent) = committing.batch(&bed).await;
    bed.store().put_intent(&intent).await.unwrap();
    bed.store().confirm_intent(&intent.id, B256::repeat_byte(8)).await.unwrap();
    committing.proposer.commit(second.header.hash());
    // No message comes; it looks by itself after a while.
    bed.clock.advance(2_000);
    committing.run.step().await;
    let told = next(&mut committing.committed).await;
    assert_eq!((told.number, told.transaction), (2, Some(B256::repeat_byte(8))));

    // L1 shows the third one before L1Sender has confirmed it.
    blocks(&bed, 1).await;
    let (third, intent) = committing.batch(&bed).await;
    let mined = bed.mine_unconfirmed(&intent).await;
    committing.proposer.commit(third.header.hash());
    bed.clock.advance(2_000);
    committing.run.step().await;
    let told = next(&mut committing.committed).await;
    assert_eq!((told.number, told.transaction), (3, Some(mined)));
    for (number, transaction) in [(1, None), (2, Some(B256::repeat_byte(8))), (3, Some(mined))] {
        let batch = bed.store().batch(number).await.unwrap().unwrap();
        assert_eq!((batch.status, batch.commit_tx), (BatchStatus::Committed, transaction));
    }
    committing.run.stop().await;
}

/// L1 has something else under our number, or more than we know: nothing can go on, and nobody retries.
#[actix::test]
async fn another_batch_on_l1_is_fatal() {
    for (name, more) in [("committer-other-hash", false), ("committer-unknown-batch", true)] {
        let bed = Bed::new().await;
        let mut committing = start(&bed, name, config()).await;
        blocks(&bed, 1).await;
        let (sealed, _) = committing.batch(&bed).await;
        if more {
            committing.proposer.commit(sealed.header.hash());
        }
        committing.proposer.commit(B256::repeat_byte(9));
        bed.clock.advance(2_000);
        committing.run.step().await;
        let reason = committing.run.escalated().await;
        let wanted =
            if more { "last committed batch on L1 is 2, the store has 1" } else { "the hash of batch 1" };
        assert!(reason.contains(wanted), "{name}: {reason}");
        let end = committing.run.system.wait().await;
        assert!(matches!(&end, ExitReason::Escalated { component, .. } if component == name), "{end:?}");
        assert_eq!(end.exit_code(), 70);
        assert!(committing.committed.try_recv().is_err());
    }
}

/// SEQ-INV-4: L1 drops a commit; the same bytes are asked for again, and count again when they are back.
#[actix::test]
async fn a_dropped_commit_is_asked_for_again() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-dropped", config()).await;
    let mut intents = Vec::new();
    for _ in 0..3 {
        blocks(&bed, 1).await;
        let (sealed, intent) = committing.batch(&bed).await;
        committing.proposer.commit(sealed.header.hash());
        committing.run.handle.tell(confirmed(&intent)).await.unwrap();
        next(&mut committing.committed).await;
        intents.push(intent);
    }
    committing.proposer.uncommit_above(1);
    committing.run.handle.tell(L1Reorged { from: 9, common_ancestor: 7 }).await.unwrap();
    for intent in &intents[1..] {
        assert_eq!(next(&mut committing.asked).await, *intent);
    }
    assert_eq!(bed.store().batches_at(BatchStatus::Sealed).await.unwrap(), [2, 3]);
    let hash = bed.store().batch(2).await.unwrap().unwrap().header.hash();
    committing.proposer.commit(hash);
    committing.run.handle.tell(confirmed(&intents[1])).await.unwrap();
    assert_eq!(next(&mut committing.committed).await.number, 2);
    committing.run.stop().await;
}

/// A confirmed commit that L1 has lost for good (`revertBatches`, a deep reorg) is sent anew, but not for a node that
/// is merely behind.
#[actix::test]
async fn a_confirmed_commit_that_l1_lost_is_sent_anew() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-reverted", config()).await;
    blocks(&bed, 1).await;
    let (sealed, intent) = committing.batch(&bed).await;
    bed.store().put_intent(&intent).await.unwrap();
    bed.store().confirm_intent(&intent.id, B256::repeat_byte(8)).await.unwrap();
    committing.proposer.commit(sealed.header.hash());
    committing.run.handle.tell(confirmed(&intent)).await.unwrap();
    next(&mut committing.committed).await;

    // L1Sender knows the intent as done.
    committing.proposer.uncommit_above(0);
    committing.sender.otherwise(SendReply::AlreadyConfirmed { transaction: B256::repeat_byte(8) });
    committing.run.handle.tell(L1Reorged { from: 9, common_ancestor: 7 }).await.unwrap();
    for _ in 0..2 {
        assert_eq!(next(&mut committing.asked).await, intent);
        bed.l1.mine();
        committing.run.step().await;
    }
    assert_eq!(next(&mut committing.asked).await, intent);
    assert!(bed.store().pending_intents(SenderRole::Committer).await.unwrap().is_empty(), "it may be a lag");
    let is_failed = || async {
        let state = bed.store().intent(&intent.id).await.unwrap().unwrap().state;
        matches!(state, IntentState::Failed { .. })
    };
    assert!(!is_failed().await);
    let later = || async {
        bed.l1.mine();
        is_failed().await
    };
    committing.run.step_until("it is given up", later).await;
    // The next time it is a new try of the same intent.
    committing.sender.otherwise(SendReply::Accepted);
    committing.run.step().await;
    assert_eq!(next(&mut committing.asked).await, intent);
    committing.run.stop().await;
}

/// SEQ-INV-4: a commit that was confirmed and dropped before it was seen on L1 is sent anew as well.
#[actix::test]
async fn a_commit_dropped_unseen_is_sent_anew() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-unseen", config()).await;
    blocks(&bed, 1).await;
    let (_, intent) = committing.batch(&bed).await;
    let transaction = B256::repeat_byte(8);
    bed.store().put_intent(&intent).await.unwrap();
    bed.store().confirm_intent(&intent.id, transaction).await.unwrap();
    committing.sender.otherwise(SendReply::AlreadyConfirmed { transaction });
    let given_up = || async {
        bed.l1.mine();
        bed.clock.advance(2_000);
        let state = bed.store().intent(&intent.id).await.unwrap().unwrap().state;
        matches!(state, IntentState::Failed { .. })
    };
    committing.run.step_until("it is given up", given_up).await;
    assert_eq!(next(&mut committing.asked).await, intent);
    committing.run.stop().await;
}

// ---------------------------------------------------------------------------------------------------- failed commits

/// A commit that failed is asked for again after a pause, with the same bytes.
#[actix::test]
async fn a_failed_commit_is_asked_for_again() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-failed", config()).await;
    blocks(&bed, 1).await;
    let (_, intent) = committing.batch(&bed).await;
    // The failure of another key's transaction is none of its business.
    let other = TxFailed {
        id: IntentId("verify".into()),
        kind: IntentKind::VerifyBatches { first: 1, last: 1 },
        transaction: None,
        reason: "no".into(),
    };
    committing.run.handle.tell(other).await.unwrap();
    committing.run.handle.tell(failed(&intent)).await.unwrap();
    let reason = committing.run.degraded().await;
    assert!(reason.contains(&intent.id.0) && reason.contains("Paused()"), "{reason}");
    assert_eq!(next(&mut committing.asked).await, intent);
    committing.run.recovered().await;
    assert!(committing.asked.try_recv().is_err(), "once");
    committing.run.stop().await;
}

/// The news of a failure comes while L1 cannot be reached, or does not come at all: it is not forgotten.
#[actix::test]
async fn the_news_of_a_failure_is_not_lost() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-lost-news", config()).await;
    blocks(&bed, 1).await;
    let (_, intent) = committing.batch(&bed).await;
    bed.l1.fail(Method::Call, unreachable_l1(), 1);
    committing.run.handle.tell(failed(&intent)).await.unwrap();
    let reason = committing.run.degraded().await;
    assert!(reason.contains("connection refused"), "{reason}");
    assert_eq!(next(&mut committing.asked).await, intent);
    committing.run.recovered().await;

    bed.store().put_intent(&intent).await.unwrap();
    bed.store().fail_intent(&intent.id, "Paused()").await.unwrap();
    bed.clock.advance(2_000);
    committing.run.step().await;
    let reason = committing.run.degraded().await;
    assert!(reason.contains("Paused()"), "{reason}");
    assert_eq!(next(&mut committing.asked).await, intent);
    committing.run.stop().await;
}

/// Errors of L1 and of the execution client make it degraded; no restart is spent, nothing is lost.
#[actix::test]
async fn unreachable_neighbours_are_waited_for() {
    let bed = Bed::new().await;
    let mut committing = start(&bed, "committer-unreachable", config()).await;
    bed.l1.fail_always(Method::Call, unreachable_l1());
    bed.clock.advance(2_000);
    committing.run.step().await;
    committing.run.degraded().await;
    bed.l1.clear_failures();
    committing.run.recovered().await;
    for method in [MockMethod::Logs, MockMethod::ExecutionWitness] {
        bed.engine.fail_next(method, EngineError::Timeout { method: "debug_executionWitness" });
    }
    blocks(&bed, 2).await;
    committing.run.step().await;
    let reason = committing.run.degraded().await;
    assert!(reason.contains("execution client"), "{reason}");
    committing.run.recovered().await;
    bed.l1.fail(Method::Block, unreachable_l1(), 1);
    let (sealed, _) = committing.batch(&bed).await;
    assert_eq!((sealed.first_block, sealed.last_block), (1, 2));
    assert_eq!(bed.engine.calls(MockMethod::ExecutionWitness), 3, "kept extras are not asked for again");
    assert_eq!(committing.run.status().restarts, 0);
    committing.run.stop().await;
}

/// Without proofs (dev mode) no witness is asked for.
#[actix::test]
async fn dev_mode_asks_for_no_witness() {
    let mut bed = Bed::new().await;
    let mut chain = (*bed.services.chain).clone();
    chain.chain_config = String::new();
    bed.services.chain = Arc::new(chain);
    let mut committing = start(&bed, "committer-dev", config()).await;
    blocks(&bed, 2).await;
    committing.batch(&bed).await;
    assert_eq!(bed.engine.calls(MockMethod::ExecutionWitness), 0);
    committing.run.stop().await;
}
