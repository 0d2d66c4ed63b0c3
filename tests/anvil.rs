//! The sequencer with anvil as its L1.
//!
//! `ENSEMBLE_ANVIL=/path/to/anvil cargo nextest run -p ensemble --test anvil`. Without the variable the test says so
//! and passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Anvil, World, address, ether, run};
use ensemble::deploy;

/// Deposit, transfers, withdrawal, commit with blobs, proof over TCP, verification, claim; and a second run of the
/// deployer finds everything in its place.
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
    });
}
