//! Tests of the component with a real actor, a real store and a mocked L1.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use alloy_primitives::{B256, Bytes, U256};
use ensemble_batch::Deposit;
use ensemble_contracts::events::DepositInitiated;
use ensemble_l1::{L1Client, L1Error, L1Log, mock::Method};
use ensemble_messages::{L1Advanced, L1Reorged, NewDeposit};
use ensemble_supervision::faults;
use tokio::sync::mpsc::Receiver;

use super::{Confirmations, L1Watcher, L1WatcherConfig, L1WatcherOutlets, worker::deposits_of};
use crate::{
    ActorError,
    testing::{BRIDGE, Bed, Bridge, NarrowL1, Running, deposit_log, next, run, tap, unreachable_l1},
};

struct Watching {
    run: Running<L1Watcher>,
    deposits: Receiver<NewDeposit>,
    advanced: Receiver<L1Advanced>,
    reorged: Receiver<L1Reorged>,
}

fn config(confirmations: Confirmations, max_block_step: u64) -> L1WatcherConfig {
    // It looks when it is told to, or when there is more to read.
    L1WatcherConfig {
        check_interval: Duration::from_secs(3600),
        max_block_step,
        confirmations,
        start_block: 1,
    }
}

async fn start_on(bed: &Bed, l1: Arc<dyn L1Client>, name: &str, config: L1WatcherConfig) -> Watching {
    let (new_deposit, deposits) = tap();
    let (l1_advanced, advanced) = tap();
    let (l1_reorged, reorged) = tap();
    let out = Arc::new(L1WatcherOutlets { new_deposit, l1_advanced, l1_reorged });
    let mut services = bed.services.clone();
    services.l1 = l1;
    let run =
        run(name, move |seat| L1Watcher::new(seat, config.clone(), services.clone(), Arc::clone(&out))).await;
    Watching { run, deposits, advanced, reorged }
}

async fn start(bed: &Bed, name: &str, config: L1WatcherConfig) -> Watching {
    start_on(bed, Arc::clone(&bed.services.l1), name, config).await
}

impl Watching {
    /// Has L1 read up to this block, and further if there is more.
    async fn read_to(&mut self, number: u64) {
        self.run.step().await;
        while next(&mut self.advanced).await.number < number {}
    }
}

async fn ledger(bed: &Bed) -> Vec<Deposit> {
    bed.store().deposits_after(0, 10_000).await.unwrap()
}

async fn ids(bed: &Bed) -> Vec<u64> {
    ledger(bed).await.iter().map(|d| d.id).collect()
}

async fn cursor(bed: &Bed) -> Option<u64> {
    bed.store().cursor().await.unwrap().map(|c| c.number)
}

// ------------------------------------------------------------------------------------------------------- ranges

/// SEQ-INV-1: L1 is read in ranges of at most `max_block_step`, without a gap and without an overlap, also over a
/// restart.
#[actix::test]
async fn reads_in_steps_without_a_gap() {
    let bed = Bed::new().await;
    let mut bridge = Bridge::default();
    for number in 1..=25 {
        if number % 3 == 0 {
            bridge.deposit(&bed.l1, number);
            bridge.deposit(&bed.l1, number);
        }
        bed.l1.mine();
    }
    let narrow = NarrowL1::new(&bed.l1, 1000);
    let mut watching =
        start_on(&bed, Arc::new(narrow.clone()), "watcher-steps", config(Confirmations::Depth(0), 10)).await;
    for wanted in [10, 20, 25] {
        let advanced = next(&mut watching.advanced).await;
        assert_eq!(advanced.number, wanted);
    }
    watching.run.restart().await;
    bridge.deposit(&bed.l1, 1);
    bed.l1.mine_many(3);
    watching.read_to(28).await;
    assert_eq!(*narrow.answered.lock().unwrap(), [(1, 10), (11, 20), (21, 25), (26, 28)]);
    let all = ledger(&bed).await;
    assert_eq!(all.iter().map(|d| d.id).collect::<Vec<_>>(), (1..=17).collect::<Vec<_>>());
    assert_eq!(all.last().unwrap().rolling_hash, bridge.hash);
    assert_eq!((all[0].l1_block, all[16].l1_block), (3, 26));
    for id in 1..=17 {
        assert_eq!(next(&mut watching.deposits).await.deposit.id, id);
    }
    assert_eq!(cursor(&bed).await, Some(28));
    watching.run.stop().await;
}

/// SEQ-INV-1: a node that refuses large ranges is asked for smaller ones, and larger ones again later.
#[actix::test]
async fn ranges_shrink_and_grow_back() {
    let bed = Bed::new().await;
    let mut bridge = Bridge::default();
    for number in 1..=40 {
        bridge.deposit(&bed.l1, number);
        bed.l1.mine();
    }
    let narrow = NarrowL1::new(&bed.l1, 3);
    let mut watching =
        start_on(&bed, Arc::new(narrow.clone()), "watcher-narrow", config(Confirmations::Depth(0), 16)).await;
    watching.read_to(40).await;
    assert_eq!(narrow.refused.lock().unwrap()[..3], [(1, 16), (1, 8), (1, 4)]);
    assert!(narrow.answered.lock().unwrap().iter().all(|(from, to)| to - from < 3));

    *narrow.limit.lock().unwrap() = 1000;
    bed.l1.mine_many(60);
    watching.read_to(100).await;
    let answered = narrow.answered.lock().unwrap().clone();
    assert!(answered.iter().any(|(from, to)| to - from >= 9), "it grew back: {answered:?}");
    let mut expected = 1;
    for (from, to) in answered {
        assert_eq!(from, expected, "no gap, no overlap");
        expected = to + 1;
    }
    assert_eq!(ids(&bed).await, (1..=40).collect::<Vec<_>>());
    watching.run.stop().await;
}

/// A node that refuses even one block makes the component degraded, not busy.
#[actix::test]
async fn a_single_block_too_large_is_reported() {
    let bed = Bed::new().await;
    bed.l1.mine_many(4);
    let narrow = NarrowL1::new(&bed.l1, 0);
    let mut watching =
        start_on(&bed, Arc::new(narrow.clone()), "watcher-one-block", config(Confirmations::Depth(0), 4))
            .await;
    let reason = watching.run.degraded().await;
    assert!(reason.contains("range of logs too large"), "{reason}");
    assert_eq!(narrow.refused.lock().unwrap()[..3], [(1, 4), (1, 2), (1, 1)]);
    assert_eq!(cursor(&bed).await, None);
    *narrow.limit.lock().unwrap() = 100;
    watching.read_to(4).await;
    watching.run.recovered().await;
    assert_eq!(watching.run.status().restarts, 0);
    watching.run.stop().await;
}

/// SEQ-INV-1: a question without an answer never moves the cursor, whichever it was.
#[actix::test]
async fn failed_questions_never_move_the_cursor() {
    let bed = Bed::new().await;
    let mut bridge = Bridge::default();
    let mut watching = start(&bed, "watcher-failures", config(Confirmations::Depth(0), 100)).await;
    for (round, method) in [Method::Logs, Method::Block, Method::Logs].into_iter().enumerate() {
        let before = cursor(&bed).await;
        let there = ids(&bed).await;
        bed.l1.fail_always(method, unreachable_l1());
        bridge.deposit(&bed.l1, 5);
        let head = bed.l1.mine().number;
        watching.run.step().await;
        let reason = watching.run.degraded().await;
        assert!(reason.contains("connection refused"), "round {round}: {reason}");
        assert_eq!((cursor(&bed).await, ids(&bed).await), (before, there), "round {round}");
        bed.l1.clear_failures();
        watching.read_to(head).await;
        watching.run.recovered().await;
        assert_eq!(ids(&bed).await.len(), round + 1);
    }
    // The answer is lost after the node has done its work: the same range again.
    bed.l1.lose_answers(Method::Logs, unreachable_l1(), 1);
    bridge.deposit(&bed.l1, 5);
    let head = bed.l1.mine().number;
    watching.read_to(head).await;
    assert_eq!(ids(&bed).await, [1, 2, 3, 4]);
    assert_eq!(watching.run.status().restarts, 0);
    watching.run.stop().await;
}

// ------------------------------------------------------------------------------------------------- confirmations

/// SEQ-INV-2: a deposit is in the ledger when its block counts, and not one block earlier.
#[actix::test]
async fn deposits_wait_for_their_confirmations() {
    for (name, confirmations) in [
        ("watcher-depth", Confirmations::Depth(3)),
        ("watcher-safe", Confirmations::Safe),
        ("watcher-finalized", Confirmations::Finalized),
    ] {
        let bed = Bed::new().await;
        match confirmations {
            Confirmations::Safe => bed.l1.set_lags(3, 1_000),
            Confirmations::Finalized | Confirmations::Depth(_) => bed.l1.set_lags(0, 3),
        }
        let mut watching = start(&bed, name, config(confirmations, 100)).await;
        bed.l1.mine_many(2);
        Bridge::default().deposit(&bed.l1, 5);
        assert_eq!(bed.l1.mine_many(3).number, 5);
        watching.read_to(2).await;
        assert!(ids(&bed).await.is_empty(), "{name}: block 3 has too few blocks above it");
        assert_eq!(cursor(&bed).await, Some(2), "{name}");
        bed.l1.mine();
        watching.read_to(3).await;
        assert_eq!(ids(&bed).await, [1], "{name}");
        assert_eq!(next(&mut watching.deposits).await.deposit.l1_block, 3, "{name}");
        watching.run.stop().await;
    }
}

/// SEQ-INV-2: a deposit that L1 drops before it has its confirmations is never in the ledger.
#[actix::test]
async fn a_dropped_deposit_never_comes() {
    let bed = Bed::new().await;
    let mut watching = start(&bed, "watcher-dropped", config(Confirmations::Depth(5), 100)).await;
    bed.l1.mine_many(2);
    Bridge::default().deposit(&bed.l1, 5);
    bed.l1.mine_many(5);
    watching.read_to(2).await;
    assert_eq!(bed.l1.reorg(5).number, 2);
    // In its place comes another one.
    let mut bridge = Bridge::default();
    bed.l1.mine();
    bridge.deposit(&bed.l1, 77);
    bed.l1.mine_many(9);
    watching.read_to(7).await;
    let all = ledger(&bed).await;
    assert_eq!((all.len(), all[0].rolling_hash), (1, bridge.hash));
    assert!(watching.reorged.try_recv().is_err(), "nothing that had been read was dropped");
    watching.run.stop().await;
}

#[test]
fn confirmations_are_read_from_text() {
    assert_eq!("safe".parse(), Ok(Confirmations::Safe));
    assert_eq!("finalized".parse(), Ok(Confirmations::Finalized));
    assert_eq!("12".parse(), Ok(Confirmations::Depth(12)));
    for bad in ["", "latest", "-1", "1.5", "Safe"] {
        let error = bad.parse::<Confirmations>().unwrap_err();
        assert!(error.contains(&format!("`{bad}`")), "{error}");
    }
}

// -------------------------------------------------------------------------------------------------------- reorgs

/// SEQ-INV-1, SEQ-INV-2: blocks that were read and are dropped take their deposits with them; what L1 has instead is
/// read from the common ancestor on.
#[actix::test]
async fn a_reorg_unwinds_and_reads_again() {
    let bed = Bed::new().await;
    let mut watching = start(&bed, "watcher-reorg", config(Confirmations::Depth(0), 100)).await;
    let mut bridge = Bridge::default();
    let mut at_block_1 = bridge.clone();
    for number in 1..=3 {
        bridge.deposit(&bed.l1, number);
        bed.l1.mine();
        watching.read_to(number).await;
        if number == 1 {
            at_block_1 = bridge.clone();
        }
    }
    bed.l1.reorg(2);
    let mut bridge = at_block_1;
    bridge.deposit(&bed.l1, 99);
    bed.l1.mine_many(3);
    watching.read_to(4).await;
    let told = next(&mut watching.reorged).await;
    assert_eq!((told.from, told.common_ancestor), (3, 1));
    let all = ledger(&bed).await;
    assert_eq!(all.iter().map(|d| (d.id, d.l1_block)).collect::<Vec<_>>(), [(1, 1), (2, 2)]);
    assert_eq!(all[1].rolling_hash, bridge.hash);
    assert_eq!(bed.store().cursor().await.unwrap().unwrap().hash, bed.l1.head().hash);
    assert_eq!(watching.run.status().restarts, 0);
    watching.run.stop().await;
}

/// SEQ-INV-1, SEQ-INV-2: a reorg may come between any two questions of a step; in the end the ledger is what L1 has.
#[actix::test]
async fn a_reorg_between_any_two_questions_is_noticed() {
    for (case, step) in [("watcher-between", 100), ("watcher-between-steps", 2)] {
        for nth in 1..=14 {
            let bed = Bed::new().await;
            let narrow = NarrowL1::new(&bed.l1, 1000);
            let mut watching =
                start_on(&bed, Arc::new(narrow.clone()), case, config(Confirmations::Depth(0), step)).await;
            let mut bridge = Bridge::default();
            for number in 1..=2 {
                bridge.deposit(&bed.l1, number);
                bed.l1.mine();
                watching.read_to(number).await;
            }
            let kept = after_gwei(1);
            for number in 3..=7 {
                bridge.deposit(&bed.l1, number);
                bed.l1.mine();
            }
            let (l1, mut other) = (bed.l1.clone(), kept.clone());
            let reorg = move || {
                // Everything above block 1 is replaced, by a longer chain with other deposits.
                l1.reorg(6);
                for number in 0..8 {
                    if number % 2 == 0 {
                        other.deposit(&l1, 100 + number);
                    }
                    l1.mine();
                }
            };
            *narrow.interlude.lock().unwrap() = Some((nth, Box::new(reorg)));
            watching
                .run
                .step_until("the reorg, and all is read", || async {
                    narrow.interlude.lock().unwrap().is_none() && cursor(&bed).await == Some(9)
                })
                .await;
            let mut wanted = kept;
            let unused = ensemble_l1::mock::MockL1::new(1);
            for number in [100, 102, 104, 106] {
                wanted.deposit(&unused, number);
            }
            let all = ledger(&bed).await;
            assert_eq!(all.iter().map(|d| d.l1_block).collect::<Vec<_>>(), [1, 2, 4, 6, 8], "{case} {nth}");
            assert_eq!(all.last().unwrap().rolling_hash, wanted.hash, "{case} {nth}");
            assert_eq!(watching.run.status().restarts, 0, "{case} {nth}");
            watching.run.stop().await;
        }
    }
}

fn after_gwei(gwei: u64) -> Bridge {
    let mut bridge = Bridge::default();
    bridge.deposit(&ensemble_l1::mock::MockL1::new(1), gwei);
    bridge
}

/// A reorg that drops even the end of the first range goes back to the block before the bridge.
#[actix::test]
async fn a_reorg_below_everything_known_begins_anew() {
    let bed = Bed::new().await;
    let mut bridge = Bridge::default();
    for number in 1..=3 {
        bridge.deposit(&bed.l1, number);
        bed.l1.mine();
    }
    let mut watching = start(&bed, "watcher-first-range", config(Confirmations::Depth(0), 100)).await;
    watching.read_to(3).await;
    assert_eq!(ids(&bed).await, [1, 2, 3]);
    bed.l1.reorg(2);
    bed.l1.mine_many(4);
    watching.read_to(5).await;
    assert_eq!(next(&mut watching.reorged).await.common_ancestor, 0);
    assert_eq!(ids(&bed).await, [1], "the deposit of the block that stayed");
    watching.run.stop().await;
}

/// Three deposits in the blocks 1 to 3, of which the L2 holds two; then L1 drops the blocks 2 and 3. The bridge as it
/// was after block 1.
async fn drop_an_included_deposit(bed: &Bed, watching: &mut Watching) -> Bridge {
    let mut bridge = Bridge::default();
    for number in 1..=3 {
        bridge.deposit(&bed.l1, number);
        bed.l1.mine();
        watching.read_to(number).await;
    }
    bed.block(&[(1, 1), (2, 2)]).await;
    bed.l1.reorg(2);
    bed.l1.mine_many(5);
    watching.read_to(6).await;
    let reason = watching.run.degraded_by("deposits 2 to 2").await;
    assert!(reason.contains("watcher.confirmations"), "{reason}");
    assert_eq!((ids(bed).await, cursor(bed).await), (vec![1, 2], Some(6)), "what the L2 holds stays");
    assert_eq!(next(&mut watching.reorged).await.common_ancestor, 1);
    while watching.deposits.try_recv().is_ok() {}
    after_gwei(1)
}

/// SEQ-INV-1: L1 drops a deposit that the L2 has credited already, and has it again later, as usual: it gets its new L1
/// block, is not taken for a new one, and the next deposits follow.
#[actix::test]
async fn an_included_deposit_comes_back() {
    let bed = Bed::new().await;
    let mut watching = start(&bed, "watcher-comes-back", config(Confirmations::Depth(0), 100)).await;
    let mut bridge = drop_an_included_deposit(&bed, &mut watching).await;
    watching.run.restart().await;
    watching.run.degraded_by("deposits 2 to 2").await;
    bridge.deposit(&bed.l1, 2);
    bed.l1.mine();
    watching.read_to(7).await;
    watching.run.recovered().await;
    assert_eq!(ledger(&bed).await.iter().map(|d| d.l1_block).collect::<Vec<_>>(), [1, 7]);
    bridge.deposit(&bed.l1, 30);
    bed.l1.mine();
    watching.read_to(8).await;
    assert_eq!(ids(&bed).await, [1, 2, 3]);
    assert_eq!(ledger(&bed).await.last().unwrap().rolling_hash, bridge.hash);
    assert_eq!(next(&mut watching.deposits).await.deposit.id, 3, "only what is new is told");
    assert_eq!(watching.run.status().restarts, 1);
    watching.run.stop().await;
}

/// SEQ-INV-1: L1 has another deposit in the place of one that the L2 holds. No deposit is taken, the ledger stays, and
/// the operator is told; when another reorg brings ours back, it goes on.
#[actix::test]
async fn another_deposit_in_the_place_of_an_included_one_stops_deposits() {
    let bed = Bed::new().await;
    let mut watching = start(&bed, "watcher-replaced", config(Confirmations::Depth(0), 100)).await;
    let ours = drop_an_included_deposit(&bed, &mut watching).await;
    let mut other = ours.clone();
    for gwei in [77, 78] {
        other.deposit(&bed.l1, gwei);
        bed.l1.mine();
    }
    for _ in 0..2 {
        watching.run.restart().await;
        let reason = watching.run.degraded_by("deposit 2 is another one now (L1 block 7)").await;
        assert!(reason.contains("`Dropped deposits` in docs/operations.md"), "{reason}");
        assert_eq!((ids(&bed).await, cursor(&bed).await), (vec![1, 2], Some(6)));
    }
    assert!(watching.deposits.try_recv().is_err());
    bed.l1.reorg(2);
    let mut ours = ours;
    for gwei in [2, 3] {
        ours.deposit(&bed.l1, gwei);
        bed.l1.mine();
    }
    watching.read_to(8).await;
    watching.run.recovered().await;
    assert_eq!(ids(&bed).await, [1, 2, 3]);
    assert_eq!(ledger(&bed).await.last().unwrap().rolling_hash, ours.hash);
    watching.run.stop().await;
}

/// The same reorg is harmless as long as only deposits that are not on the L2 yet are dropped.
#[actix::test]
async fn a_reorg_above_the_included_deposits_unwinds() {
    let bed = Bed::new().await;
    let mut watching = start(&bed, "watcher-above", config(Confirmations::Depth(0), 100)).await;
    let mut bridge = Bridge::default();
    for number in 1..=3 {
        bridge.deposit(&bed.l1, number);
        bed.l1.mine();
        watching.read_to(number).await;
    }
    bed.block(&[(1, 1), (2, 2)]).await;
    bed.l1.reorg(1);
    bed.l1.mine_many(2);
    watching.read_to(4).await;
    assert_eq!(next(&mut watching.reorged).await.common_ancestor, 2);
    assert_eq!(ids(&bed).await, [1, 2]);
    watching.run.stop().await;
}

/// An endpoint that is behind has no block at the cursor's height: waited for, not taken for a reorg.
#[actix::test]
async fn a_node_that_is_behind_is_no_reorg() {
    let bed = Bed::new().await;
    let mut bridge = Bridge::default();
    let narrow = NarrowL1::new(&bed.l1, 1000);
    let mut watching =
        start_on(&bed, Arc::new(narrow.clone()), "watcher-behind", config(Confirmations::Depth(0), 100))
            .await;
    for number in 1..=3 {
        bridge.deposit(&bed.l1, number);
        bed.l1.mine();
        watching.read_to(number).await;
    }
    *narrow.behind.lock().unwrap() = Some(1);
    watching.run.step().await;
    let reason = watching.run.degraded().await;
    assert!(reason.contains("has not reached block 3"), "{reason}");
    assert_eq!((cursor(&bed).await, ids(&bed).await), (Some(3), vec![1, 2, 3]));
    *narrow.behind.lock().unwrap() = None;
    bed.l1.mine();
    watching.read_to(4).await;
    assert!(watching.reorged.try_recv().is_err());
    assert_eq!(*narrow.answered.lock().unwrap(), [(1, 1), (2, 2), (3, 3), (4, 4)]);
    watching.run.stop().await;
}

/// Logs and header that come from different branches are not mixed: nothing is recorded, and the node is not hammered.
#[actix::test]
async fn logs_of_another_branch_are_not_recorded() {
    let bed = Bed::new().await;
    let narrow = NarrowL1::new(&bed.l1, 1000);
    *narrow.stale_hash.lock().unwrap() = Some(B256::repeat_byte(9));
    Bridge::default().deposit(&bed.l1, 1);
    bed.l1.mine();
    let mut watching =
        start_on(&bed, Arc::new(narrow.clone()), "watcher-stale", config(Confirmations::Depth(0), 100)).await;
    let reason = watching.run.degraded().await;
    assert!(reason.contains("block 1"), "{reason}");
    assert_eq!((cursor(&bed).await, ids(&bed).await), (None, vec![]));
    *narrow.stale_hash.lock().unwrap() = None;
    watching.read_to(1).await;
    watching.run.recovered().await;
    assert_eq!(ids(&bed).await, [1]);
    watching.run.stop().await;
}

// ------------------------------------------------------------------------------------------------------ bad input

/// SEQ-INV-1, SEQ-INV-11: what does not fit into the chain of deposits is refused with the reason; neither ledger nor
/// cursor move, and no restart is spent.
#[actix::test]
async fn logs_that_do_not_fit_are_refused() {
    let amount = U256::from(5_000_000_000_u64);
    let topic = DepositInitiated::topic();
    let skipped = || {
        let mut bridge = after_one();
        bridge.deposit(&ensemble_l1::mock::MockL1::new(1), 5);
        deposit_log(3, amount, bridge.hash)
    };
    type Log = (Vec<B256>, Bytes);
    let short = |len: usize| Bytes::from(vec![0; len]);
    let cases: Vec<(&str, Log, &str)> = vec![
        ("watcher-missing-id", skipped(), "deposit 3 in L1 block 2: it comes after deposit 1"),
        ("watcher-repeated-id", deposit_log(1, amount, after_one().hash), "deposit 1 in L1 block 2"),
        ("watcher-wrong-hash", deposit_log(2, amount, B256::repeat_byte(4)), "its rolling hash is 0x0404"),
        ("watcher-no-data", (deposit_log(2, amount, B256::ZERO).0, short(0)), "DepositInitiated"),
        ("watcher-short-data", (deposit_log(2, amount, B256::ZERO).0, short(31)), "DepositInitiated"),
        ("watcher-few-topics", (vec![topic], short(32)), "DepositInitiated"),
        (
            "watcher-wide-id",
            (vec![topic, B256::ZERO, B256::ZERO, B256::repeat_byte(255)], short(32)),
            "DepositInitiated",
        ),
        (
            "watcher-wide-address",
            (vec![topic, B256::ZERO, B256::repeat_byte(1), B256::ZERO], short(32)),
            "DepositInitiated",
        ),
    ];
    for (name, (topics, data), wanted) in cases {
        let bed = Bed::new().await;
        let mut watching = start(&bed, name, config(Confirmations::Depth(0), 100)).await;
        Bridge::default().deposit(&bed.l1, 5);
        bed.l1.mine();
        watching.read_to(1).await;
        bed.l1.push_log(BRIDGE, topics, data);
        bed.l1.mine();
        watching.run.step().await;
        let reason = watching.run.degraded().await;
        assert!(reason.contains(wanted), "{name}: {reason}");
        assert_eq!((cursor(&bed).await, ids(&bed).await), (Some(1), vec![1]), "{name}");
        assert_eq!(watching.run.status().restarts, 0, "{name}");
        watching.run.stop().await;
    }
}

fn after_one() -> Bridge {
    after_gwei(5)
}

fn log(bridge: &Bridge, gwei: u64, block_number: u64, log_index: u64) -> L1Log {
    let (topics, data) =
        deposit_log(bridge.id, U256::from(gwei) * U256::from(1_000_000_000_u64), bridge.hash);
    L1Log {
        address: BRIDGE,
        topics,
        data,
        block_number,
        block_hash: B256::with_last_byte(1),
        transaction_hash: B256::ZERO,
        log_index,
        removed: false,
    }
}

/// The order of an answer does not matter; logs of others and removed ones do not count.
#[test]
fn logs_are_sorted_and_sifted() {
    let l1 = ensemble_l1::mock::MockL1::new(1);
    let mut bridge = Bridge::default();
    let mut logs = Vec::new();
    for n in 1..=4 {
        bridge.deposit(&l1, n);
        logs.push(log(&bridge, n, 10 + n / 3, n));
    }
    let mut removed = logs[0].clone();
    (removed.removed, removed.block_number) = (true, 99);
    let mut foreign = logs[1].clone();
    foreign.address = crate::testing::PROPOSER;
    let shuffled = [removed, logs[3].clone(), logs[1].clone(), foreign, logs[0].clone(), logs[2].clone()];
    let deposits = deposits_of(&shuffled, BRIDGE, None).unwrap();
    assert_eq!(
        deposits.iter().map(|d| (d.id, d.l1_block)).collect::<Vec<_>>(),
        [(1, 10), (2, 10), (3, 11), (4, 11)]
    );
    assert_eq!(deposits[3].rolling_hash, bridge.hash);

    // Continued from the middle, and refused when the same log comes twice.
    let rest = deposits_of(&logs[2..], BRIDGE, Some(&deposits[1])).unwrap();
    assert_eq!(rest, deposits[2..]);
    let twice = [logs[2].clone(), logs[2].clone()];
    let error = deposits_of(&twice, BRIDGE, Some(&deposits[1])).unwrap_err();
    assert!(matches!(error, ActorError::BadDeposit { id: 3, .. }), "{error}");
    assert!(deposits_of(&[], BRIDGE, None).unwrap().is_empty());
}

// ------------------------------------------------------------------------------------------------------- restarts

/// SEQ-INV-1, SEQ-INV-8: a panic at any message loses no deposit and repeats none.
#[actix::test]
async fn a_panic_at_any_message_loses_no_deposit() {
    let bed = Bed::new().await;
    let name = "watcher-panics";
    let mut bridge = Bridge::default();
    let mut watching = start(&bed, name, config(Confirmations::Depth(1), 2)).await;
    for nth in 1..=6 {
        faults::arm(name, nth);
        for _ in 0..5 {
            bridge.deposit(&bed.l1, nth);
            bed.l1.mine();
        }
        for _ in 0..nth {
            watching.run.step().await;
        }
        watching.run.restarted().await;
        assert!(faults::armed().iter().all(|f| f.component != name), "the fault {nth} has struck");
        let head = bed.l1.head().number;
        watching.run.step_until("read to the head", || async { cursor(&bed).await == Some(head - 1) }).await;
    }
    bed.l1.mine();
    watching.run.step_until("all is read", || async { ids(&bed).await.len() == 30 }).await;
    assert_eq!(ids(&bed).await, (1..=30).collect::<Vec<_>>());
    assert_eq!(ledger(&bed).await.last().unwrap().rolling_hash, bridge.hash);
    assert!(watching.run.status().failures >= 6);
    watching.run.stop().await;
}

/// A node that says nothing but errors of its own is degraded for as long as it takes.
#[actix::test]
async fn an_internal_error_of_the_node_is_waited_for() {
    let bed = Bed::new().await;
    bed.l1.mine_many(2);
    let error = L1Error::Rpc { code: -32603, message: "internal error".into(), data: None };
    bed.l1.fail(Method::Block, error, 3);
    let mut watching = start(&bed, "watcher-internal", config(Confirmations::Depth(0), 100)).await;
    let reason = watching.run.degraded().await;
    assert!(reason.contains("internal error"), "{reason}");
    watching.read_to(2).await;
    watching.run.recovered().await;
    assert_eq!(watching.run.status().restarts, 0);
    watching.run.stop().await;
}
