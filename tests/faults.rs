//! Panics in every actor while users deposit, transfer and withdraw.
//!
//! Needs the feature `fault-injection`; the registry of faults is one for the process, so this file has one test.
#![cfg(feature = "fault-injection")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{COMPONENTS, World, address, all_healthy, component, ether, local, run, until};
use ensemble::supervision::{EventKind, faults};
use tokio::net::TcpStream;

/// Arms a panic at each of these messages of each component.
fn arm(messages: &[u64]) {
    for name in COMPONENTS {
        for n in messages {
            faults::arm(name, *n);
        }
    }
}

/// The prover server only hears of new connections: they come and go until this is aborted.
fn visitors(port: u16) -> tokio::task::JoinHandle<()> {
    actix_rt::spawn(async move {
        loop {
            drop(TcpStream::connect(local(port)).await);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
}

/// SEQ-INV-8 (and what `books` names): whatever actor panics at whatever message, nothing is lost and nothing is
/// done twice.
#[test]
fn every_actor_panics_at_start_and_at_work() {
    run(async {
        let world = World::start(|_| {}).await;
        // At the first messages of all, before anything is done.
        arm(&[1, 2]);
        let sequencer = world.sequencer().await;
        let prover = world.prover();
        let visitors = visitors(world.config.prover_server.listen_port);
        until("a panic of every component at its start", async || {
            (faults::fired().len() == 2 * COMPONENTS.len()).then_some(())
        })
        .await;

        arm(&[1, 3]);
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(5_000)).await;
        assert_eq!(world.arrived(user.address()).await, ether(5_000));
        arm(&[2]);
        world.transfers(&user, "first", 10).await;
        let withdrawn = world.withdraw(&user, address("on L1"), ether(1_250)).await;
        // The withdrawal's own batch is committed, proven and verified under these.
        arm(&[4, 7]);
        world.deposit(user.address(), ether(1_000)).await;
        world.claim(&sequencer, &withdrawn).await;
        world.transfers(&user, "second", 10).await;
        world.all_included().await;

        until("the last panics", async || faults::armed().is_empty().then_some(())).await;
        visitors.abort();
        all_healthy(&sequencer).await;
        let reached = world.committed().await + 1;
        world.verified_up_to(reached).await;

        for name in COMPONENTS {
            let fired = faults::fired().into_iter().filter(|f| f.component == name).count();
            let status = component(&sequencer, name);
            assert_eq!((fired, status.failures, status.restarts), (7, 7, 7), "{name}");
            let failure = status.last_failure.expect("it failed").reason;
            assert!(failure.contains("injected fault"), "{name}: {failure}");
            assert_eq!(world.events(name, |e| matches!(e, EventKind::Failed { .. })), 7, "{name}");
        }
        assert_eq!(world.events("", |e| matches!(e, EventKind::Escalated { .. })), 0);
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        let books = world.books().await;
        assert_eq!(books.deposits, 2);
        assert!(books.verified >= reached);
    });
}
