//! A batch of several blobs, from the L2's pool to L1 and back from there, with anvil as L1.
//!
//! `ENSEMBLE_ANVIL=/path/to/anvil cargo nextest run -p ensemble --test several_blobs`. Without the variable the test
//! says so and passes.
#![cfg(feature = "rebuild")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use alloy_primitives::keccak256;
use common::{Anvil, LIMIT, World, address, client, ether, run};
use ensemble::account::Call;
use ensemble_contracts::events;

/// SEQ-INV-10: a batch that needs more than two blobs goes to L1 in one transaction, is proven, and comes back from there.
#[test]
fn a_batch_of_several_blobs_on_anvil() {
    /// Bytes of call data that no compression makes smaller, below the 128 KiB that pools take.
    const NOISE: usize = 100_000;
    let Some(anvil) = Anvil::start() else { return };
    run(async {
        let mut world = World::on_anvil(anvil).await;
        world.deploy().await;
        let sequencer = world.sequencer().await;
        let prover = world.prover();
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(5_000)).await;
        world.arrived(user.address()).await;

        // All at once into the next block.
        sequencer.system().pause("block_producer").await.unwrap();
        let (fees, first) = (user.fees().await.unwrap(), user.nonce().await.unwrap());
        let mut sent = Vec::new();
        for n in 0..4 {
            let words = (0..NOISE / 32).map(|i| keccak256(format!("{n}/{i}")).0);
            let data: Vec<u8> = words.flatten().collect();
            let call = Call { to: Some(address("noise")), value: ether(1), data: data.into() };
            let signed = user.sign(&call, first + n, 5_000_000, &fees).unwrap();
            user.client().send_raw_transaction(&signed.raw).await.unwrap();
            sent.push(signed.hash);
        }
        sequencer.system().resume("block_producer").await.unwrap();
        let mut blocks = BTreeSet::new();
        for hash in sent {
            blocks.insert(user.wait(hash, LIMIT).await.unwrap().block_number);
        }
        assert_eq!(blocks.len(), 1, "blocks {blocks:?} hold the noise");
        world.stop_with_all_committed(&sequencer).await;

        let l1 = client(&world.l1_url());
        let commits = world.logs(world.deployment().proposer, events::BatchCommitted::topic()).await;
        let mut blobs = Vec::new();
        for log in &commits {
            let transaction = l1.transaction(log.transaction_hash).await.unwrap().unwrap();
            blobs.push(transaction.blob_versioned_hashes.len());
        }
        assert!(blobs.iter().any(|count| *count >= 3), "blobs of the batches: {blobs:?}");

        let report = world.rebuild_from_anvil().await;
        assert_eq!(report.batches, commits.len() as u64);
        assert!(blocks.iter().all(|number| *number <= report.position.block.number));
        prover.stop().await.unwrap();
    });
}
