//! L1 reorganises under the sequencer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use alloy_primitives::U256;
use common::{IN_VAIN, World, address, all_healthy, client, ether, run, until};
use ensemble::config::Confirmations;
use ensemble_contracts::events;

/// Longest reorg of these tests.
const DEEPEST: u64 = 12;

async fn world(confirmations: u64) -> World {
    let mut world = World::bare(
        |l1| (l1.safe_lag, l1.finalized_lag) = (DEEPEST, DEEPEST),
        |c| {
            c.watcher.confirmations = Confirmations::Blocks(confirmations);
            c.eth.resubmit_after_ms = 5_000;
        },
    )
    .await;
    world.deploy().await;
    world
}

/// SEQ-INV-1, SEQ-INV-2: a deposit that L1 drops before it has its confirmations never reaches the L2; the next one
/// takes its id and does.
#[test]
fn a_dropped_deposit_is_never_included() {
    run(async {
        let world = world(3).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let (dropped, kept) = (address("dropped"), address("kept"));
        let first = world.deposit(dropped, ether(1_000)).await;
        world.drop_l1_from(first.l1_block).await;
        let second = world.deposit(kept, ether(2_000)).await;
        assert_eq!((first.id, second.id), (1, 1), "L1 has forgotten the first");
        assert_eq!(world.arrived(kept).await, ether(2_000));
        let reached = world.committed().await + 1;
        world.verified_up_to(reached).await;
        assert_eq!(client(&world.l2_url()).balance(dropped).await.unwrap(), U256::ZERO);
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        assert_eq!(world.books().await.deposits, 1);
    });
}

/// SEQ-INV-2, SEQ-INV-4, SEQ-INV-5: a commit that was confirmed and then dropped with its block is sent again, with the
/// same header; later batches follow, and all are verified.
#[test]
fn a_dropped_commit_is_sent_again() {
    run(async {
        let world = world(0).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let topic = events::BatchCommitted::topic();
        let commits = async || world.logs(world.deployment().proposer, topic).await;
        // Told to be committed, so the sequencer believes in it.
        let told = async || {
            let store = &sequencer.services().store;
            let last = store.last_batch_at_least(ensemble_store::BatchStatus::Committed).await.unwrap();
            last.map(|b| b.header.number)
        };
        let number = until("the commit of a batch", async || told().await.filter(|n| *n >= 2)).await;
        let log = commits()
            .await
            .into_iter()
            .nth(usize::try_from(number).unwrap() - 1)
            .expect("its event is on L1");
        world.drop_l1_from(log.block_number).await;
        assert!(world.committed().await < number, "L1 has forgotten it");
        world.verified_up_to(number + 1).await;
        let again = commits().await.into_iter().nth(usize::try_from(number).unwrap() - 1).unwrap();
        assert_eq!((again.topics, again.data), (log.topics, log.data), "the same header");
        all_healthy(&sequencer).await;
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        world.books_with_reverts(IN_VAIN).await;
        world.rebuild().await;
    });
}
