//! The admin server of a running sequencer, over HTTP.
#![cfg(feature = "admin")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{LIMIT, World, address, component, ether, http, local, run, until};
use ensemble::{
    admin::{AdminServer, Status},
    bridge,
    supervision::ComponentState,
    withdrawals::WithdrawalProof,
};
use ensemble_l1::BlockTag;

/// Health, status, control of components and proofs of withdrawals.
#[test]
fn operators_see_and_control_the_sequencer() {
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let admin = AdminServer::start(sequencer.clone(), local(0)).unwrap();
        let at = admin.address();
        let status = async || -> Status {
            let answer = http(at, "GET", "/status").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            serde_json::from_str(&answer.body).unwrap()
        };
        until("health", async || (http(at, "GET", "/health").await.status == 200).then_some(())).await;
        assert_eq!(http(at, "GET", "/health").await.json()["healthy"], true);

        // What it says is what L1 and L2 say.
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(2_000)).await;
        world.arrived(user.address()).await;
        world.verified_up_to(1).await;
        let first = until("the status of the first batch", async || {
            let status = status().await;
            (status.verified_batch.is_some() && status.included_deposit == Some(1)).then_some(status)
        })
        .await;
        let deployment = world.deployment();
        assert_eq!((first.l1_chain_id, first.l2_chain_id), (deployment.l1_chain_id, deployment.l2_chain_id));
        assert_eq!((first.bridge, first.proposer), (deployment.bridge, deployment.proposer));
        assert_eq!(first.last_deposit, Some(1));
        assert!(first.verified_batch <= first.committed_batch && first.committed_batch <= first.sealed_batch);
        assert!(first.verified_batch.unwrap() <= world.verified().await);
        assert!(first.head.unwrap() <= world.l2_head().await);
        let names: Vec<_> = first.components.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, common::COMPONENTS);

        // A paused producer makes no block, however far L1 goes; others go on.
        let answer = http(at, "POST", "/components/block_producer/pause").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        until("the pause", async || {
            (component(&sequencer, "block_producer").state == ComponentState::Paused).then_some(())
        })
        .await;
        let l1 = common::client(&world.l1_url());
        let l1_head = async || l1.block(BlockTag::Latest).await.unwrap().unwrap().number;
        // A step that was running when the pause came may still end.
        let begun = l1_head().await;
        until("L1 blocks", async || (l1_head().await >= begun + 2).then_some(())).await;
        let (head, begun) = (world.l2_head().await, l1_head().await);
        until("L1 blocks", async || (l1_head().await >= begun + 3).then_some(())).await;
        assert_eq!(world.l2_head().await, head, "blocks while paused");
        let paused = status().await.components.into_iter().find(|c| c.name == "block_producer").unwrap();
        assert!(paused.paused);
        assert_eq!(http(at, "GET", "/health").await.status, 200, "a pause is intended, so it is healthy");
        assert_eq!(http(at, "POST", "/components/block_producer/resume").await.status, 200);
        until("blocks again", async || (world.l2_head().await > head).then_some(())).await;

        let before = component(&sequencer, "l1_watcher");
        assert_eq!(http(at, "POST", "/components/l1_watcher/restart").await.status, 200);
        until("the restart", async || {
            let now = component(&sequencer, "l1_watcher");
            (now.epoch == before.epoch + 1 && now.state == ComponentState::Running).then_some(())
        })
        .await;
        assert_eq!(
            component(&sequencer, "l1_watcher").failures,
            0,
            "a restart by the operator is no failure"
        );

        for (method, path, status, says) in [
            ("POST", "/components/nobody/restart", 400, "nobody"),
            ("POST", "/components/l1_watcher/explode", 404, "use restart, pause or resume"),
            ("GET", "/withdrawals/999999/0", 404, "no batch holds withdrawal 0 of L2 block 999999"),
            ("GET", "/withdrawals/x/y", 404, ""),
            ("GET", "/components/l1_watcher/restart", 404, ""),
            ("GET", "/nothing", 404, ""),
        ] {
            let answer = http(at, method, path).await;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            assert!(answer.body.contains(says), "{method} {path}: {answer:?}");
        }

        // The proof of a withdrawal is good enough to claim it.
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        let path = format!("/withdrawals/{}/{}", withdrawn.block, withdrawn.id);
        let proof = until("a proof that can be claimed", async || {
            let answer = http(at, "GET", &path).await;
            assert!([200, 404].contains(&answer.status), "{answer:?}");
            let proof = (answer.status == 200)
                .then(|| serde_json::from_str::<WithdrawalProof>(&answer.body).unwrap());
            proof.filter(|p| p.claimable)
        })
        .await;
        bridge::claim(&world.user_l1().await, world.deployment().bridge, &proof, LIMIT).await.unwrap();
        assert_eq!(l1.balance(address("on L1")).await.unwrap(), ether(500));

        // Without L1 it is not healthy, and says who suffers.
        world.stop_l1().await;
        let sick =
            until("503", async || Some(http(at, "GET", "/health").await).filter(|a| a.status == 503)).await;
        assert_eq!(sick.json()["healthy"], false);
        assert!(sick.json()["components"].as_array().is_some_and(|c| !c.is_empty()), "{sick:?}");
        world.start_l1().await;
        until("health again", async || (http(at, "GET", "/health").await.status == 200).then_some(())).await;

        admin.stop().await;
        assert!(tokio::net::TcpStream::connect(at).await.is_err(), "a stopped admin server listens no more");
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
    });
}
