//! The sequencer with anvil as its L1.
//!
//! `ENSEMBLE_ANVIL=/path/to/anvil cargo nextest run -p ensemble --test anvil`. Without the variable the test says so
//! and passes.
#![cfg(feature = "rebuild")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::PathBuf;

use alloy_primitives::Bytes;
use common::{Anvil, LIMIT, World, address, address_of, client, ether, http, run, until};
use ensemble::{
    account::{Account, Call, Sent},
    bridge, deploy,
    rebuild::of_config,
};
use ensemble_contracts::events;
use ensemble_l1::BlockTag;
use serde_json::json;

/// Deposit, transfers, withdrawal, commit with blobs, proof over TCP, verification, claim; a second run of the deployer
/// finds everything in its place; and a rebuild arrives at the same block.
#[test]
fn deposit_to_claim_on_anvil() {
    let Some(anvil) = Anvil::start() else { return };
    run(async {
        let mut world = World::on_anvil(anvil).await;
        let blank = world.config.clone();
        let first = world.deploy().await;
        assert!(first.gas_used > 0);
        for (what, config) in [("with the addresses", &world.config), ("without them", &blank)] {
            let again = deploy::deploy(config, |step| assert_eq!(step.transaction, None, "{what}: {step}"))
                .await
                .unwrap();
            assert_eq!(again.gas_used, 0, "{what}");
            assert_eq!(
                (again.bridge, again.proposer, again.exec_verifier),
                (first.bridge, first.proposer, first.exec_verifier),
                "{what}"
            );
        }

        let sequencer = world.sequencer().await;
        let prover = world.prover();
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(5_000)).await;
        assert_eq!(world.arrived(user.address()).await, ether(5_000));
        world.transfers(&user, "receiver", 5).await;
        let withdrawn = world.withdraw(&user, address("on L1"), ether(1_250)).await;
        world.claim(&sequencer, &withdrawn).await;
        world.stop(&sequencer).await;
        let report = prover.stop().await.unwrap();
        let books = world.books().await;
        assert_eq!(books.deposits, 1);
        assert!(books.verified >= 1);
        assert_eq!((report.rejected, report.failed), (0, 0));
        assert!(report.accepted >= books.verified);

        // SEQ-INV-10: L1 and the blobs that anvil was given are enough.
        let (node, mut empty) = world.empty_node("rebuilt").await;
        empty.rebuild.archive_path = Some(archive(&world).await);
        let rebuilt = of_config(&empty, world.deployment().proposer, None).await.unwrap().run(|_| {}).await;
        let rebuilt = rebuilt.unwrap().position;
        assert_eq!(rebuilt.header.number, books.committed);
        let original = client(&world.l2_url()).block(BlockTag::Number(rebuilt.block.number)).await.unwrap();
        assert_eq!(original.unwrap().hash, rebuilt.block.hash, "SEQ-INV-10: the same chain");
        node.shutdown().await.unwrap();
    });
}

/// A directory with every blob that anvil was given with a commit. It serves them by the numbers of blocks only, not by
/// the beacon roots that a rebuild asks for.
async fn archive(world: &World) -> PathBuf {
    let (l1, folder) = (client(&world.l1_url()), world.folder.path().join("blobs"));
    std::fs::create_dir(&folder).unwrap();
    for log in world.logs(world.deployment().proposer, events::BatchCommitted::topic()).await {
        let commit = l1.transaction(log.transaction_hash).await.unwrap().unwrap();
        for hash in commit.blob_versioned_hashes {
            let path = format!("/eth/v1/beacon/blobs/{}?versioned_hashes={hash}", log.block_number);
            let answer = http(address_of(&world.l1_url()), "GET", &path).await;
            let blobs: Vec<Bytes> = serde_json::from_value(answer.json()["data"].take()).unwrap();
            let [blob] = &blobs[..] else { panic!("{} blobs have the hash {hash}", blobs.len()) };
            std::fs::write(folder.join(format!("{hash}.blob")), blob).unwrap();
        }
    }
    folder
}

/// Sends a transaction that does nothing.
async fn idle(account: &Account) -> Sent {
    account.send(&Call { to: Some(account.address()), ..Call::default() }).await.unwrap()
}

/// (Next nonce by the head block, next nonce as anvil counts its pool.)
async fn nonces(account: &Account) -> (u64, u64) {
    let count = async |pending| account.client().transaction_count(account.address(), pending).await.unwrap();
    (count(false).await, count(true).await)
}

async fn stop_mining(anvil: &Anvil) {
    anvil.call("evm_setIntervalMining", json!([0])).await;
    anvil.call("evm_setAutomine", json!([false])).await;
}

async fn mine_on(anvil: &Anvil) {
    anvil.call("evm_setIntervalMining", json!([1])).await;
}

/// A reorg drops a transaction of the account that was mined, and not the one after it, which waits in the pool. Nobody
/// mines meanwhile; gives the one that waits.
async fn leave_gap(anvil: &Anvil, account: &Account) -> Sent {
    stop_mining(anvil).await;
    let (first, _) = nonces(account).await;
    idle(account).await;
    anvil.call("anvil_mine", json!(["0x1"])).await;
    let waits = idle(account).await;
    anvil.call("anvil_reorg", json!([1, []])).await;
    assert_eq!(nonces(account).await, (first, first + 2), "a gap, and anvil counts on past it");
    waits
}

/// A deposit and a claim, each after a reorg that left a gap in the account's nonces: both are mined, what waited behind
/// the gap too (anvil throws it away when it mines before the gap is filled), and the deposit is credited once.
#[test]
fn deposits_and_claims_go_through_gaps_that_reorgs_leave() {
    let Some(anvil) = Anvil::start() else { return };
    run(async {
        let mut world = World::on_anvil(anvil).await;
        world.deploy().await;
        let account = world.user_l1().await;
        let user = world.user_l2("user").await;
        let (anvil, bridge) = (world.anvil(), world.deployment().bridge);

        let waits = leave_gap(anvil, &account).await;
        mine_on(anvil).await;
        bridge::deposit(&account, bridge, user.address(), ether(2_000), LIMIT).await.unwrap();
        account.see_through(&waits, LIMIT).await.unwrap();

        let sequencer = world.sequencer().await;
        let prover = world.prover();
        assert_eq!(world.arrived(user.address()).await, ether(2_000));
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        let proof = world.claimable(&sequencer, &withdrawn).await;
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();

        let waits = leave_gap(anvil, &account).await;
        mine_on(anvil).await;
        bridge::claim(&account, bridge, &proof, LIMIT).await.unwrap();
        account.see_through(&waits, LIMIT).await.unwrap();
        assert_eq!(account.client().balance(withdrawn.to).await.unwrap(), ether(500));
        assert_eq!(deposits_on_l1(&world).await, 1);
    });
}

async fn deposits_on_l1(world: &World) -> usize {
    let topic = events::DepositInitiated::topic();
    world.logs(world.deployment().bridge, topic).await.len()
}

/// While a deposit is waited for, the node loses it, then a transaction before it: it is sent again with the same bytes,
/// the gap is filled, and there is one deposit.
#[test]
fn a_deposit_on_its_way_outlives_what_the_node_loses() {
    let Some(anvil) = Anvil::start() else { return };
    run(async {
        let mut world = World::on_anvil(anvil).await;
        world.deploy().await;
        let account = world.user_l1().await;
        let (anvil, bridge) = (world.anvil(), world.deployment().bridge);

        stop_mining(anvil).await;
        let before = idle(&account).await;
        let sent = bridge::send_deposit(&account, bridge, address("receiver"), ether(1_000)).await.unwrap();
        for lost in [before.hash, sent.hash] {
            anvil.call("anvil_dropTransaction", json!([lost])).await;
            until("the loss", async || {
                account.client().transaction(lost).await.unwrap().is_none().then_some(())
            })
            .await;
        }
        mine_on(anvil).await;
        let deposited = bridge::deposited(&account, bridge, &sent, LIMIT).await.unwrap();
        assert_eq!((deposited.transaction, deposited.id), (sent.hash, 1));

        // It was mined, and a reorg takes it away: asked again, it comes back.
        stop_mining(anvil).await;
        let head = account.client().block(BlockTag::Latest).await.unwrap().unwrap().number;
        let depth = head - deposited.l1_block + 1;
        anvil.call("anvil_reorg", json!([depth, []])).await;
        assert_eq!(account.client().receipt(sent.hash).await.unwrap(), None, "the reorg took it away");
        mine_on(anvil).await;
        let again = bridge::deposited(&account, bridge, &sent, LIMIT).await.unwrap();
        assert_eq!((again.transaction, again.id), (sent.hash, 1));
        assert_eq!(deposits_on_l1(&world).await, 1);
        assert_eq!(account.client().balance(bridge).await.unwrap(), ether(1_000));
    });
}
