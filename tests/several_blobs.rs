//! A batch of several blobs, from the L2's pool to L1 and back from there, with anvil as L1.
//!
//! `ENSEMBLE_ANVIL=/path/to/anvil cargo nextest run -p ensemble --test several_blobs`. Without the variable the test
//! says so and passes.
#![cfg(feature = "rebuild")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{collections::BTreeSet, sync::Arc};

use alloy_primitives::{B256, Bytes, keccak256};
use common::{Anvil, LIMIT, World, address, client, ether, run};
use ensemble::{account::Call, rebuild};
use ensemble_batch::Blob;
use ensemble_contracts::events;
use ensemble_l1::BlockTag;

/// Blobs as anvil serves them: by the number of the execution block.
#[derive(Debug)]
struct AnvilBlobs(std::net::SocketAddr);

#[async_trait::async_trait]
impl rebuild::BlobSource for AnvilBlobs {
    fn name(&self) -> String {
        "anvil".to_owned()
    }

    async fn blobs(
        &self,
        place: &rebuild::BlobPlace,
        hashes: &[B256],
    ) -> Result<Vec<Blob>, rebuild::BlobSourceError> {
        let wanted: Vec<String> = hashes.iter().map(B256::to_string).collect();
        let path = format!("/eth/v1/beacon/blobs/{}?versioned_hashes={}", place.number, wanted.join(","));
        let answer = common::http(self.0, "GET", &path).await.json();
        let data: Vec<Bytes> = serde_json::from_value(answer["data"].clone())
            .map_err(|e| rebuild::BlobSourceError(e.to_string()))?;
        data.iter()
            .map(|bytes| Blob::from_slice(bytes).map_err(|e| rebuild::BlobSourceError(e.to_string())))
            .collect()
    }
}

/// SEQ-INV-10: a batch that needs more than two blobs goes to L1 in one transaction, is proven, and comes back from there.
#[test]
fn a_batch_of_several_blobs_on_anvil() {
    /// Bytes of call data that no compression makes smaller, below the 128 KiB that pools take.
    const NOISE: usize = 100_000;
    let Some(anvil) = Anvil::start() else { return };
    run(async {
        let address_of_anvil = anvil.url.trim_start_matches("http://").parse().unwrap();
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

        let (node, config) = world.empty_node("rebuilt").await;
        let contracts = rebuild::Contracts {
            proposer: world.deployment().proposer,
            l1_chain_id: world.deployment().l1_chain_id,
            l2_chain_id: user.chain_id(),
        };
        let settings = rebuild::Settings { up_to: rebuild::UpTo::Depth(0), ..Default::default() };
        let source = rebuild::Blobs::new(vec![Arc::new(AnvilBlobs(address_of_anvil))]);
        let engine = ensemble::execution_client(&config).unwrap();
        let mut rebuild = rebuild::Rebuild::new(l1, engine, source, contracts, settings);
        let report = rebuild.run(|_| {}).await.unwrap();
        assert_eq!(report.batches, commits.len() as u64);
        let head = report.position.block;
        assert!(blocks.iter().all(|number| *number <= head.number));
        let original = user.client().block(BlockTag::Number(head.number)).await.unwrap().unwrap();
        assert_eq!(original.hash, head.hash, "SEQ-INV-10: the same chain");
        node.shutdown().await.unwrap();
        prover.stop().await.unwrap();
    });
}
