//! Tests of the component with a real actor, a real store and a mocked execution client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes, keccak256};
use ensemble_batch::BatchLimits;
use ensemble_engine_api::{
    EngineError, ExecutionClient, ForkchoiceState, PayloadAttributes, PayloadStatus, mock::MockMethod,
};
use ensemble_messages::BlockSealed;
use ensemble_store::{Cursor, Unwound};
use ensemble_supervision::{Backoff, ChildSpec, ComponentState, Handle, Supervisor, SystemHandle, faults};
use tokio::sync::mpsc::Receiver;

use super::{BlockProducer, BlockProducerConfig, BlockProducerConfigError, BlockProducerOutlets};
use crate::{
    Step,
    testing::{Bed, next, tap, until},
};

const ONE_BLOB: BatchLimits =
    BatchLimits { max_blobs: 1, max_blocks: 100, max_gas: 1_000_000_000, max_deposits: 100 };

struct Running {
    handle: Handle<BlockProducer>,
    system: SystemHandle,
    sealed: Receiver<BlockSealed>,
}

fn config(empty_blocks: bool) -> BlockProducerConfig {
    BlockProducerConfig::new(Duration::from_secs(1), Address::repeat_byte(7), empty_blocks, 3, ONE_BLOB)
        .unwrap()
}

async fn start(bed: &Bed, name: &str, empty_blocks: bool) -> Running {
    let (block_sealed, sealed) = tap();
    let out = Arc::new(BlockProducerOutlets { block_sealed, ..Default::default() });
    let (services, config) = (bed.services.clone(), config(empty_blocks));
    let spec = ChildSpec::new(name, move |seat| {
        BlockProducer::new(seat, config.clone(), services.clone(), Arc::clone(&out))
    })
    .backoff(Backoff::NONE);
    let handle = spec.handle();
    let system = Supervisor::builder().child(spec).start().unwrap();
    system.ready().await;
    Running { handle, system, sealed }
}

impl Running {
    /// Lets a second pass and waits until the client was asked this: the tick is used up then.
    async fn tick_up_to(&self, bed: &Bed, method: MockMethod) {
        let before = bed.engine.calls(method);
        bed.clock.advance(1_000);
        self.handle.tell(Step).await.unwrap();
        until("the call", || async { bed.engine.calls(method) > before }).await;
    }

    /// Lets seconds pass until the component is degraded, and gives the reason.
    async fn degraded(&self, bed: &Bed) -> String {
        let degraded = async {
            loop {
                bed.clock.advance(1_000);
                self.handle.tell(Step).await.unwrap();
                if let ComponentState::Degraded(reason) = self.system.status().remove(0).state {
                    return reason;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), degraded).await.unwrap()
    }

    /// Lets a second pass and waits for the block.
    async fn block(&mut self, bed: &Bed) -> BlockSealed {
        bed.clock.advance(1_000);
        self.handle.tell(Step).await.unwrap();
        next(&mut self.sealed).await
    }
}

/// Every deposit of the chain, in order.
fn included(bed: &Bed) -> Vec<u64> {
    bed.engine.chain().iter().flat_map(|b| b.withdrawals.iter().map(|w| w.index)).collect()
}

/// SEQ-INV-1: each deposit is on the L2 once and in order, whatever restarts come in between.
/// SEQ-INV-3: the chain in the store has no gap and no second block at a height.
#[actix::test]
async fn deposits_are_included_once_across_restarts() {
    let bed = Bed::new().await;
    bed.ledger(1, 10).await;
    let mut running = start(&bed, "producer-restarts", true).await;
    next(&mut running.sealed).await;
    for round in 0..6 {
        if round % 2 == 0 {
            running.system.restart("producer-restarts").await.unwrap();
        }
        running.block(&bed).await;
    }
    assert_eq!(included(&bed), (1..=10).collect::<Vec<_>>());
    for block in bed.engine.chain().iter().filter(|b| b.number > 0) {
        assert_eq!(bed.engine.blocks_at(block.number).len(), 1);
        assert_eq!(bed.services.store.block_hash(block.number).await.unwrap(), Some(block.block_hash));
    }
    running.system.shutdown().await;
}

/// SEQ-INV-3: the last write of an instance that was replaced may come through after the new one has looked. Its block is
/// the one at that height, nothing fails, and the next block is built on it.
#[actix::test]
async fn a_late_write_of_a_former_instance_counts() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-late", true).await;
    next(&mut running.sealed).await;
    let (head, genesis) = (bed.engine.head(), bed.engine.genesis().block_hash);
    let attributes = PayloadAttributes {
        timestamp: head.timestamp + 100,
        prev_randao: ensemble_batch::prev_randao(&head.block_hash, 0),
        suggested_fee_recipient: Address::repeat_byte(8),
        withdrawals: Vec::new(),
        parent_beacon_block_root: B256::ZERO,
    };
    let state = ForkchoiceState { head: head.block_hash, safe: genesis, finalized: genesis };
    let id = bed.engine.forkchoice_updated(state, Some(&attributes)).await.unwrap().payload_id.unwrap();
    let late = bed.engine.get_payload(&id, attributes.timestamp).await.unwrap().block;
    bed.services.store.insert_block(&late).await.unwrap();
    running.tick_up_to(&bed, MockMethod::GetPayload).await;
    bed.clock.advance(200_000);
    let sealed = running.block(&bed).await;
    assert_eq!((sealed.number, sealed.parent_hash), (late.number + 1, late.block_hash));
    assert_eq!(bed.services.store.block_hash(late.number).await.unwrap(), Some(late.block_hash));
    assert_eq!(running.system.status()[0].restarts, 0, "{:?}", running.system.status());
    running.system.shutdown().await;
}

/// SEQ-INV-3, SEQ-INV-8: a panic at any message leaves the chain whole.
#[actix::test]
async fn a_panic_at_any_message_leaves_the_chain_whole() {
    let bed = Bed::new().await;
    bed.ledger(1, 8).await;
    let mut running = start(&bed, "producer-panics", true).await;
    next(&mut running.sealed).await;
    for nth in 1..=5 {
        faults::arm("producer-panics", nth);
        // The poisoned message is lost with its actor; time goes on and another one comes.
        for _ in 0..nth {
            bed.clock.advance(1_000);
            running.handle.tell(Step).await.unwrap();
        }
        running.block(&bed).await;
        faults::clear("producer-panics");
    }
    assert_eq!(included(&bed), (1..=8).collect::<Vec<_>>());
    let head = bed.services.store.head_block().await.unwrap().unwrap();
    assert_eq!(head.hash, bed.engine.head().block_hash);
    running.system.shutdown().await;
}

/// A client that lost its chain (an embedded node after a restart) gets it back from the store, block by block.
#[actix::test]
async fn a_client_that_lost_its_blocks_gets_them_back() {
    let bed = Bed::new().await;
    bed.ledger(1, 4).await;
    let mut running = start(&bed, "producer-replay", true).await;
    next(&mut running.sealed).await;
    for _ in 0..4 {
        running.block(&bed).await;
    }
    let before = bed.engine.chain();
    running.system.shutdown().await;
    bed.engine.lose_blocks_above(0);
    assert_eq!(bed.engine.head().number, 0);

    let mut running = start(&bed, "producer-replay", true).await;
    let sealed = running.block(&bed).await;
    assert_eq!(sealed.parent_hash, before.last().unwrap().block_hash);
    assert_eq!(bed.engine.chain()[..before.len()], before[..]);
    running.system.shutdown().await;
}

/// SEQ-INV-3: the answer of the call that made a block the head is lost; the block is not made twice.
#[actix::test]
async fn a_lost_answer_makes_no_second_block() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-lost-answer", true).await;
    next(&mut running.sealed).await;
    bed.engine
        .lose_next_answer(MockMethod::NewPayload, EngineError::Timeout { method: "engine_newPayloadV4" });
    running.tick_up_to(&bed, MockMethod::NewPayload).await;
    running.block(&bed).await;
    let chain = bed.engine.chain();
    for pair in chain.windows(2) {
        assert_eq!((pair[1].number, pair[1].parent_hash), (pair[0].number + 1, pair[0].block_hash));
        assert!(pair[1].timestamp > pair[0].timestamp);
    }
    assert_eq!(
        bed.services.store.head_block().await.unwrap().unwrap().hash,
        chain.last().unwrap().block_hash
    );
    running.system.shutdown().await;
}

/// A client that is syncing makes the component degraded, not failed: no restart is spent on it.
#[actix::test]
async fn a_syncing_client_is_waited_for() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-syncing", true).await;
    next(&mut running.sealed).await;
    bed.engine.set_syncing(true);
    let degraded = async {
        loop {
            bed.clock.advance(1_000);
            running.handle.tell(Step).await.unwrap();
            let status = running.system.status().remove(0);
            if matches!(status.state, ComponentState::Degraded { .. }) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(20), degraded).await.unwrap();
    assert_eq!(status.restarts, 0);
    bed.engine.set_syncing(false);
    running.block(&bed).await;
    assert_eq!(running.system.status().remove(0).restarts, 0);
    running.system.shutdown().await;
}

/// The client refuses our token while we run: its clock is off, or it was started with another secret. The component says
/// so and tries again; it neither fails nor ends the sequencer, and goes on once the client takes the token.
#[actix::test]
async fn a_refused_token_is_waited_for() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-token", true).await;
    let first = next(&mut running.sealed).await;
    let refused = EngineError::Unauthorized { method: "engine_x", reason: "HTTP status 401".into() };
    for method in [MockMethod::ForkchoiceUpdated, MockMethod::GetPayload, MockMethod::NewPayload] {
        bed.engine.fail_next(method, refused.clone());
        running.tick_up_to(&bed, method).await;
        let reason = async || match running.system.status().remove(0).state {
            ComponentState::Degraded(reason) => Some(reason),
            _ => None,
        };
        until("the degradation", async || reason().await.is_some()).await;
        let reason = reason().await.unwrap();
        assert!(reason.contains("jwt secret file") && reason.contains("clocks"), "{method:?}: {reason}");
        running.block(&bed).await;
    }
    // The block is told before the step ends.
    let status = || running.system.status().remove(0);
    until("health", || async { status().state == ComponentState::Running }).await;
    assert_eq!((status().failures, status().restarts), (0, 0));
    assert_eq!(bed.engine.head().number, first.number + 3);
    running.system.shutdown().await;
}

/// A block that the client itself calls invalid does not enter the store.
#[actix::test]
async fn an_invalid_block_is_not_kept() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-invalid", true).await;
    let first = next(&mut running.sealed).await;
    bed.engine.next_payload_status(PayloadStatus::Invalid {
        latest_valid_hash: None,
        validation_error: Some("state root mismatch".to_owned()),
    });
    running.tick_up_to(&bed, MockMethod::NewPayload).await;
    let sealed = running.block(&bed).await;
    assert_eq!((sealed.number, sealed.parent_hash), (first.number + 1, first.hash));
    assert_ne!(sealed.hash, B256::ZERO);
    running.system.shutdown().await;
}

#[actix::test]
async fn no_block_without_content_when_empty_blocks_are_off() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-empty", false).await;
    for _ in 0..3 {
        bed.clock.advance(1_000);
        running.handle.tell(Step).await.unwrap();
    }
    bed.ledger(1, 1).await;
    let sealed = running.block(&bed).await;
    assert_eq!((sealed.number, sealed.deposits), (1, 1));
    running.system.shutdown().await;
}

/// A reorg of L1 takes a verification away: the client is not told that less is final than before, and the safe head
/// does not fall below the final one.
#[actix::test]
async fn the_finalized_head_never_goes_back() {
    let bed = Bed::new().await;
    for number in 1..=2 {
        bed.batch().await;
        bed.store().mark_committed(number, None).await.unwrap();
        bed.store().mark_verified(number, None).await.unwrap();
    }
    let mut running = start(&bed, "producer-final", true).await;
    next(&mut running.sealed).await;
    let block = |n: usize| bed.engine.chain()[n].block_hash;
    assert_eq!(bed.engine.safe_and_finalized(), (block(2), block(2)));
    bed.store().unverify_above(0).await.unwrap();
    bed.store().uncommit_above(0).await.unwrap();
    for _ in 0..2 {
        running.block(&bed).await;
        assert_eq!(bed.engine.safe_and_finalized(), (block(2), block(2)));
        running.system.restart("producer-final").await.unwrap();
    }
    running.system.shutdown().await;
}

/// SEQ-INV-2: a deposit that leaves the ledger while its block is being built is not included.
#[actix::test]
async fn a_deposit_that_is_dropped_meanwhile_is_not_included() {
    let bed = Bed::new().await;
    bed.ledger(1, 2).await;
    let mut running = start(&bed, "producer-dropped", true).await;
    next(&mut running.sealed).await;
    assert_eq!(included(&bed), [1, 2]);
    bed.ledger(3, 4).await;
    // As if L1 had dropped them between the look at the ledger and the end of the block.
    let at = Cursor { number: 2, hash: B256::with_last_byte(1) };
    assert_eq!(bed.store().unwind_l1(at, 4).await.unwrap(), Unwound { removed: 0, dropped: 2 });
    running.tick_up_to(&bed, MockMethod::NewPayload).await;
    let degraded = || async { matches!(running.system.status()[0].state, ComponentState::Degraded(_)) };
    until("it says so", degraded).await;
    assert_eq!((included(&bed), bed.store().head_block().await.unwrap().unwrap().number), (vec![1, 2], 1));
    bed.ledger(3, 4).await;
    running.block(&bed).await;
    assert_eq!(included(&bed), [1, 2, 3, 4]);
    running.system.shutdown().await;
}

#[test]
fn blocks_closer_than_a_second_are_refused_with_the_reason() {
    let error =
        BlockProducerConfig::new(Duration::from_millis(999), Address::ZERO, true, 1, ONE_BLOB).unwrap_err();
    assert_eq!(error, BlockProducerConfigError::IntervalTooShort(999));
    assert!(error.to_string().contains("whole seconds"), "{error}");
}

/// A clock that is set back by hours: no block gets a time before its parent's, the component says why it waits, and
/// goes on at once when the clock is right again, without waiting out a timer of hours.
#[actix::test]
async fn a_clock_that_is_set_back_only_delays() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-clock-back", true).await;
    let first = next(&mut running.sealed).await;
    let right = bed.services.clock.unix_ms();
    bed.clock.set(right - 3 * 3_600_000);
    let reason = running.degraded(&bed).await;
    assert!(reason.contains("the clock shows") && reason.contains("set the clock right"), "{reason}");
    assert_eq!(bed.engine.head().number, first.number);

    bed.clock.set(right);
    let second = running.block(&bed).await;
    assert_eq!(second.number, first.number + 1);
    assert!(second.timestamp > first.timestamp);
    let status = running.system.status().remove(0);
    assert_eq!((status.failures, status.restarts), (0, 0));
    running.system.shutdown().await;
}

/// A clock that is set forward and back again: the blocks made meanwhile stand, the next one comes when the clock has
/// passed the last of them.
#[actix::test]
async fn a_clock_that_was_ahead_is_waited_for() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-clock-ahead", true).await;
    next(&mut running.sealed).await;
    let right = bed.services.clock.unix_ms();
    bed.clock.set(right + 3_600_000);
    let ahead = running.block(&bed).await;
    assert!(ahead.timestamp >= right / 1000 + 3_600);
    bed.clock.set(right + 2_000);
    bed.clock.advance(1_000);
    running.handle.tell(Step).await.unwrap();
    until("degraded", || async {
        matches!(running.system.status().remove(0).state, ComponentState::Degraded { .. })
    })
    .await;
    bed.clock.set((ahead.timestamp + 1) * 1000);
    let next = running.block(&bed).await;
    assert_eq!((next.number, next.parent_hash), (ahead.number + 1, ahead.hash));
    assert!(next.timestamp > ahead.timestamp);
    running.system.shutdown().await;
}

/// A clock that is set back while no block is made (`empty_blocks` off) keeps no deposit waiting: when a block is due is
/// not for the wall clock to say.
#[actix::test]
async fn ticks_do_not_follow_a_clock_that_is_set_back() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-clock-idle", false).await;
    running.tick_up_to(&bed, MockMethod::GetPayload).await;
    // Still after the genesis block, and long before the last tick.
    bed.clock.set(bed.services.clock.unix_ms() - 900_000);
    bed.ledger(1, 1).await;
    let sealed = running.block(&bed).await;
    assert_eq!((sealed.number, sealed.deposits), (1, 1));
    running.system.shutdown().await;
}

/// A block that no batch holds is not made, as nothing after it could be committed: the client does not get it back, the
/// operator is told why, and with a smaller one the chain goes on.
#[actix::test]
async fn a_block_that_no_batch_holds_is_not_made() {
    let bed = Bed::new().await;
    let mut running = start(&bed, "producer-too-large", true).await;
    let first = next(&mut running.sealed).await;
    let payloads = bed.engine.calls(MockMethod::NewPayload);
    // Of a first byte that no transaction has, so that it is kept as it is, and bytes that nothing makes smaller.
    let noise = |bytes: usize| (0..bytes.div_ceil(32)).flat_map(|i| keccak256(i.to_be_bytes()).0);
    let large: Bytes = std::iter::once(0x7f).chain(noise(130_100)).collect();
    bed.engine.add_transaction(large.clone());
    let reason = running.degraded(&bed).await;
    assert!(reason.contains("exceeds the limits of a batch (blobs)"), "{reason}");
    assert!(reason.contains("lower the gas limit of the execution client"), "{reason}");
    assert_eq!(bed.engine.calls(MockMethod::NewPayload), payloads);
    assert_eq!((bed.engine.head().number, bed.services.store.block_hash(2).await.unwrap()), (1, None));

    bed.engine.drop_transactions();
    bed.engine.add_transaction(large.slice(..129_000));
    let second = running.block(&bed).await;
    assert_eq!((second.number, second.parent_hash, second.transactions), (2, first.hash, 1));
    let status = running.system.status().remove(0);
    assert_eq!((status.failures, status.restarts), (0, 0));
    running.system.shutdown().await;
}
