//! The sequencer, or its execution client, stopped in the middle of work and started again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Prover, World, address, ether, run, until};
use ensemble_prover::ClientEvent;

fn proofs(prover: &Prover) -> usize {
    prover.count(|e| matches!(e, ClientEvent::Answered { .. }))
}

/// SEQ-INV-1, SEQ-INV-3, SEQ-INV-4, SEQ-INV-5, SEQ-INV-10: the sequencer is stopped right after a deposit on L1,
/// after a block with a deposit, after a batch was sealed, and after a proof was taken; each time it goes on with
/// the same store, and L1 and L2 show nothing lost and nothing twice.
#[test]
fn stopped_anywhere_it_goes_on_where_it_was() {
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        let user = world.user_l2("user").await;

        // Stopped while L1 has a deposit that nobody has looked at.
        let sequencer = world.sequencer().await;
        until("the first block", async || world.seen().blocks.contains_key(&1).then_some(())).await;
        world.stop(&sequencer).await;
        world.deposit(user.address(), ether(3_000)).await;
        assert_eq!(
            world.l2_head().await,
            *world.seen().blocks.keys().last().unwrap(),
            "a stopped producer makes no block"
        );

        // Stopped right after the block with the deposit.
        let sequencer = world.sequencer().await;
        until("the block with the deposit", async || {
            world.seen().deposits.values().any(|d| *d > 0).then_some(())
        })
        .await;
        world.stop(&sequencer).await;
        assert_eq!(world.arrived(user.address()).await, ether(3_000));

        // Stopped right after a batch was sealed: its commit is on its way, or not even signed.
        let sequencer = world.sequencer().await;
        world.deposit(user.address(), ether(2_000)).await;
        let sealed = world.seen().batches.len();
        until("a new batch", async || (world.seen().batches.len() > sealed).then_some(())).await;
        world.stop(&sequencer).await;

        // Stopped right after a proof was taken: its verification is on its way, or not even asked for.
        let sequencer = world.sequencer().await;
        let taken = proofs(&prover);
        until("a new proof", async || (proofs(&prover) > taken).then_some(())).await;
        world.stop(&sequencer).await;

        let sequencer = world.sequencer().await;
        world.all_included().await;
        world.transfers(&user, "receiver", 10).await;
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        world.claim(&sequencer, &withdrawn).await;
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        let books = world.books().await;
        assert_eq!(books.deposits, 2);
        assert!(books.verified > 1, "{books:?}");
        let rebuilt = world.rebuild().await;
        assert!(rebuilt >= withdrawn.block && rebuilt <= books.head, "{rebuilt} of {books:?}");
    });
}

/// SEQ-INV-3: an execution client that lost its chain gets its blocks back, with the same hashes, whether that
/// happened while the sequencer was stopped or under its feet.
#[test]
fn an_empty_execution_client_gets_its_blocks_back() {
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        let user = world.user_l2("user").await;
        let sequencer = world.sequencer().await;
        world.deposit(user.address(), ether(3_000)).await;
        world.arrived(user.address()).await;
        let before = world.transfers(&user, "first", 3).await;
        world.verified_up_to(1).await;
        world.stop(&sequencer).await;

        let head = world.l2_head().await;
        world.stop_l2().await;
        world.start_l2().await;
        assert_eq!(world.l2_head().await, 0, "the new node is empty");
        let sequencer = world.sequencer().await;
        until("the old head", async || (world.l2_head().await >= head).then_some(())).await;
        assert_eq!(world.arrived(user.address()).await, ether(3_000) - before);
        until("a new block", async || (world.l2_head().await > head).then_some(())).await;

        let head = world.l2_head().await;
        world.stop_l2().await;
        world.start_l2().await;
        until("a block on top", async || (world.l2_head().await > head).then_some(())).await;

        world.transfers(&user, "second", 3).await;
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        world.claim(&sequencer, &withdrawn).await;
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        world.books().await;
    });
}
