//! Data of batches in call data, and in whichever place is cheaper, with anvil as L1.
//!
//! `ENSEMBLE_ANVIL=/path/to/anvil cargo nextest run -p ensemble --test data_availability`. Without the variable the tests
//! say so and pass.
#![cfg(feature = "rebuild")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use alloy_primitives::U256;
use common::{Anvil, World, address, client, ether, run, until};
use ensemble::config::{Config, DataAvailability};
use ensemble_batch::{BLOB_BYTES, call_data_hash};
use ensemble_contracts::{calls, events};
use ensemble_l1::{CallDataGas, L1Transaction, TxReceipt};
use ensemble_store::Store;
use serde_json::json;

/// Bytes of the selector and the arguments of `commitBatch`.
const ARGUMENTS: usize = 4 + 7 * 32;

/// The commits of all batches, in order.
async fn commits(world: &World) -> Vec<(L1Transaction, TxReceipt)> {
    let l1 = client(&world.l1_url());
    let mut all = Vec::new();
    for log in world.logs(world.deployment().proposer, events::BatchCommitted::topic()).await {
        let transaction = l1.transaction(log.transaction_hash).await.unwrap().unwrap();
        all.push((transaction, l1.receipt(log.transaction_hash).await.unwrap().unwrap()));
    }
    all
}

/// How many of them carry blobs; the others have a payload in their call data.
fn with_blobs(commits: &[(L1Transaction, TxReceipt)]) -> usize {
    let (with, without): (Vec<_>, Vec<_>) =
        commits.iter().partition(|(transaction, _)| !transaction.blob_versioned_hashes.is_empty());
    assert!(with.iter().all(|(transaction, _)| transaction.input.len() == ARGUMENTS));
    assert!(without.iter().all(|(transaction, _)| transaction.input.len() > ARGUMENTS));
    with.len()
}

/// SEQ-INV-7, SEQ-INV-10: batches in call data are proven, verified and paid out, and come back from L1 without any source
/// of blobs. What the contract has is the hash of the bytes that it was given.
#[test]
fn batches_in_call_data_are_proven_and_come_back() {
    let Some(anvil) = Anvil::start() else { return };
    run(async {
        let change = |c: &mut Config| c.committer.da = DataAvailability::CallData;
        let mut world = World::on_anvil_with(anvil, change).await;
        world.deploy().await;
        let sequencer = world.sequencer().await;
        let prover = world.prover();
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(5_000)).await;
        world.arrived(user.address()).await;
        world.transfers(&user, "receiver", 30).await;
        let withdrawn = world.withdraw(&user, address("on L1"), ether(1_250)).await;
        world.claim(&sequencer, &withdrawn).await;
        world.stop_with_all_committed(&sequencer).await;
        let report = prover.stop().await.unwrap();
        assert_eq!((report.rejected, report.failed), (0, 0));
        let books = world.books().await;
        assert!(books.verified >= 1);

        let store = Store::open(&world.folder.path().join("ensemble.db")).await.unwrap();
        let commits = commits(&world).await;
        assert_eq!((commits.len() as u64, with_blobs(&commits)), (books.committed, 0));
        for ((transaction, _), number) in commits.iter().zip(1..) {
            let batch = store.batch(number).await.unwrap().unwrap();
            let (header, payload) =
                calls::decode_commit_batch(&transaction.input, batch.header.parent_hash, &[]).unwrap();
            assert_eq!((&header, payload), (&batch.header, batch.payload.as_ref()), "batch {number}");
            assert_eq!(header.blobs_hash, call_data_hash(payload), "batch {number}");
        }
        let rebuilt = world.rebuild_from(Vec::new()).await;
        assert_eq!((rebuilt.batches, rebuilt.position.header.number), (books.committed, books.committed));
    });
}

/// SEQ-INV-7, SEQ-INV-10: while blobs are dear, batches go into call data, and are cheaper for that than they would have
/// been in a blob; when blobs have become cheap, they go there. Both kinds are proven, and the L2 comes back from both.
#[test]
fn auto_takes_call_data_and_blobs_by_their_price() {
    /// Makes a blob base fee of 3.5 × 10^14 wei, far above what gas ever costs here. It falls by 14 % a block.
    const EXCESS_BLOB_GAS: u64 = 0x0a00_0000;
    /// Blocks until it is at its least.
    const UNTIL_CHEAP: u64 = 512;
    let folder = tempfile::TempDir::new().unwrap();
    let genesis = folder.path().join("genesis.json");
    let fork =
        json!({ "chainId": 31337, "terminalTotalDifficulty": "0x0", "londonBlock": 0, "osakaTime": 0 });
    let content = json!({
        "config": fork,
        "alloc": {},
        "difficulty": "0x0",
        "gasLimit": "0x3938700",
        "timestamp": "0x6a000000",
        "baseFeePerGas": "0xf4240",
        "excessBlobGas": format!("{EXCESS_BLOB_GAS:#x}"),
    });
    std::fs::write(&genesis, content.to_string()).unwrap();
    let init = genesis.to_str().unwrap();
    let Some(anvil) = Anvil::start_with(&["--block-time", "1", "--slots-in-an-epoch", "1", "--init", init])
    else {
        return;
    };
    run(async {
        let change = |c: &mut Config| {
            c.committer.da = DataAvailability::Auto;
            // Its first blob transaction makes anvil load a trusted setup of its own.
            c.eth.request_timeout_ms = 60_000;
        };
        let mut world = World::on_anvil_with(anvil, change).await;
        world.deploy().await;
        let sequencer = world.sequencer().await;
        let prover = world.prover();
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(5_000)).await;
        world.arrived(user.address()).await;
        world.transfers(&user, "first", 5).await;
        world.verified_up_to(2).await;
        let dear = commits(&world).await;
        assert_eq!(with_blobs(&dear), 0, "{dear:?}");

        world.anvil().call("anvil_mine", json!([format!("{UNTIL_CHEAP:#x}")])).await;
        world.transfers(&user, "second", 5).await;
        let first = until("a batch in a blob", async || {
            let commits = commits(&world).await;
            (with_blobs(&commits) > 0).then_some(commits.len() as u64)
        })
        .await;
        world.verified_up_to(first).await;
        world.stop_with_all_committed(&sequencer).await;
        let report = prover.stop().await.unwrap();
        assert_eq!((report.rejected, report.failed), (0, 0));
        let books = world.books().await;

        let all = commits(&world).await;
        let switch = all.len() - with_blobs(&all);
        assert!(switch > 0 && all[switch..].iter().all(|(t, _)| !t.blob_versioned_hashes.is_empty()));
        // What the commits cost, and what they would have cost in the other place, at the prices of their blocks.
        let in_blobs = &all[all.len() - 1].1;
        for (transaction, receipt) in &dear {
            // What the choice reckons with: the bytes, and 18 gas a word. Arguments differ by some zeros.
            let payload = &transaction.input[ARGUMENTS..];
            let reckoned = CallDataGas::of(payload).used + 18 * (payload.len() as u64).div_ceil(32);
            let measured = receipt.gas_used.checked_sub(in_blobs.gas_used);
            eprintln!("{} bytes: {measured:?} gas, reckoned {reckoned}", payload.len());
            assert!(measured.is_some_and(|gas| gas.abs_diff(reckoned) < 1_500), "{measured:?} {reckoned}");
            let block = format!("{:#x}", receipt.block_number);
            let prices = world.anvil().call("eth_feeHistory", json!(["0x1", block, [50]])).await;
            let price: U256 = prices["baseFeePerBlobGas"][0].as_str().unwrap().parse().unwrap();
            let gas_price = U256::from(receipt.effective_gas_price);
            let paid = U256::from(receipt.gas_used) * gas_price;
            let otherwise = U256::from(in_blobs.gas_used) * gas_price + U256::from(BLOB_BYTES) * price;
            assert!(paid < otherwise, "paid {paid} wei, it would have been {otherwise}");
        }
        let data = all.iter().map(|(transaction, _)| transaction.input.len()).find(|len| *len > ARGUMENTS);
        let data_gas = U256::from(4 * (data.unwrap() - ARGUMENTS));
        let blob = U256::from(in_blobs.blob_gas_price.unwrap()) * U256::from(BLOB_BYTES);
        assert!(blob < data_gas * U256::from(in_blobs.effective_gas_price), "a blob cost {blob} wei");
        let rebuilt = world.rebuild_from_anvil().await;
        assert_eq!(rebuilt.batches, books.committed);
    });
}
