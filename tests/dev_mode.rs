//! Development mode: contracts that want no proofs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{World, address, ether, run};
use ensemble::StartError;
use ensemble_contracts::{calls, returns};
use ensemble_l1::BlockTag;

/// Batches are verified without proofs and without anything that would take one; a sequencer that wants proofs does
/// not run on such contracts.
#[test]
fn batches_are_verified_without_proofs() {
    run(async {
        let mut world = World::start(|c| c.prover_server.dev_mode = true).await;
        assert_eq!(world.deployment().exec_verifier, None);
        let l1 = common::client(&world.l1_url());
        let proposer = world.deployment().proposer;
        assert!(
            returns::bool(&l1.call(proposer, calls::dev_mode(), BlockTag::Latest).await.unwrap()).unwrap()
        );

        let sequencer = world.sequencer().await;
        let names: Vec<_> = sequencer.status().into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["l1_sender", "l1_watcher", "proof_sender", "l1_committer", "block_producer"]);
        let port = common::local(world.config.prover_server.listen_port);
        assert!(tokio::net::TcpStream::connect(port).await.is_err(), "nobody waits for provers");

        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(2_000)).await;
        assert_eq!(world.arrived(user.address()).await, ether(2_000));
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        world.claim(&sequencer, &withdrawn).await;
        world.stop(&sequencer).await;
        let books = world.books().await;
        assert!(books.verified >= 1, "{books:?}");
        world.rebuild().await;

        world.config.prover_server.dev_mode = false;
        let error = world.refused().await;
        assert!(matches!(error, StartError::Proofs(_)), "{error:?}");
        assert!(error.to_string().contains("set prover_server.dev_mode = true"), "{error}");
    });
}
