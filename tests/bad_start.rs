//! Surroundings that are wrong, missing, or go away: what the sequencer says, and how it goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::TcpListener;

use alloy_primitives::{Address, B256, U256};
use common::{World, address, all_healthy, component, ether, local, run, until, url};
use ensemble::{
    Sequencer, StartError, config::StoreLocation, deploy::DeployError, supervision::ComponentState,
};
use ensemble_engine_api::{EngineError, JwtSecret};
use ensemble_node::{EmbeddedNode, GenesisBuilder, NodeConfig};
use ensemble_store::{ChainIdentity, Store, StoreError};
use futures::FutureExt;

/// Asserts that a message has every one of these parts.
fn says(error: &impl std::fmt::Display, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

/// No component failed or was restarted: what is away for a while costs nothing.
fn nothing_burnt(sequencer: &Sequencer) {
    for status in sequencer.status() {
        assert_eq!((status.failures, status.restarts), (0, 0), "{status:?}");
    }
}

async fn degraded(sequencer: &Sequencer, name: &str) -> String {
    until(&format!("{name} degraded"), async || match component(sequencer, name).state {
        ComponentState::Degraded(reason) => Some(reason),
        _ => None,
    })
    .await
}

/// Every wrong setting is refused before anything runs, by an error that names the key or the remedy.
#[test]
fn wrong_settings_are_refused_with_a_remedy() {
    run(async {
        let mut world = World::start(|_| {}).await;
        let right = world.config.clone();
        let folder = world.folder.path().to_owned();

        world.config.committer.l1_private_key = None;
        let error = world.refused().await;
        assert!(matches!(error, StartError::Config(_)), "{error:?}");
        says(&error, &["committer.l1_private_key", "COMMITTER_L1_PRIVATE_KEY"]);

        world.config = right.clone();
        world.config.engine.jwt_path = folder.join("nowhere.hex");
        let error = world.refused().await;
        assert!(matches!(error, StartError::Jwt(_)), "{error:?}");
        says(&error, &["engine.jwt_path", "nowhere.hex"]);

        // The public port asks for no token: only the engine port can tell.
        JwtSecret::generate_file(folder.join("other.hex")).unwrap();
        for public in [right.engine.public_url.clone(), None] {
            world.config = right.clone();
            world.config.engine.jwt_path = folder.join("other.hex");
            world.config.engine.public_url = public;
            let error = world.refused().await;
            assert!(matches!(error, StartError::Engine(EngineError::Unauthorized { .. })), "{error:?}");
            says(&error, &["JWT", "jwt secret file", "clocks"]);
        }

        world.config = right.clone();
        world.config.eth.chain_id = Some(5);
        let error = world.refused().await;
        assert!(matches!(error, StartError::WrongChain { which: "L1", expected: 5, .. }), "{error:?}");
        says(&error, &["eth.chain_id", "eth.rpc_url"]);
        let error = ensemble::deploy::deploy(&world.config, |_| {}).await.unwrap_err();
        assert!(matches!(error, DeployError::Start(StartError::WrongChain { .. })), "{error:?}");

        world.config = right.clone();
        world.config.l2.chain_id = Some(5);
        let error = world.refused().await;
        assert!(matches!(error, StartError::WrongChain { expected: 5, .. }), "{error:?}");
        says(&error, &["execution client", "l2.chain_id"]);

        let nobody = address("nobody");
        for key in ["committer.on_chain_proposer_address", "watcher.bridge_address"] {
            world.config = right.clone();
            match key {
                "watcher.bridge_address" => world.config.watcher.bridge_address = Some(nobody),
                _ => world.config.committer.on_chain_proposer_address = Some(nobody),
            }
            let error = world.refused().await;
            assert!(
                matches!(error, StartError::NoContract { address, .. } if address == nobody),
                "{error:?}"
            );
            says(&error, &[key, "ensemble deploy"]);
        }

        world.config = right.clone();
        world.config.prover_server.dev_mode = true;
        let error = world.refused().await;
        assert!(matches!(error, StartError::Proofs(_)), "{error:?}");
        says(&error, &["prover_server.dev_mode is on", "turn it off"]);

        world.config = right.clone();
        world.config.deployer.exec_contract_verifier = None;
        let error = world.refused().await;
        assert!(matches!(error, StartError::Proofs(_)), "{error:?}");
        says(&error, &["deployer.*_contract_verifier"]);

        world.config = right.clone();
        world.config.deployer.exec_attestation_addresses.clear();
        let error = world.refused().await;
        assert!(matches!(error, StartError::Proofs(_)), "{error:?}");
        says(&error, &["deployer.exec_attestation_addresses is empty"]);

        let path = folder.join("other-chain.db");
        let store = Store::open(&path).await.unwrap();
        let other = ChainIdentity {
            l1_chain_id: 5,
            l2_chain_id: world.deployment().l2_chain_id,
            l2_genesis: B256::ZERO,
            proposer: Address::ZERO,
            bridge: Address::ZERO,
        };
        store.bind_identity(&other).await.unwrap();
        store.close().await;
        world.config = right.clone();
        world.config.store.url = StoreLocation::sqlite(&path);
        let error = world.refused().await;
        assert!(matches!(error, StartError::Store(StoreError::WrongChain { .. })), "{error:?}");
        says(&error, &["another chain", "the L1 chain id is 5", "use another store file"]);

        // After all that, the right settings still start.
        world.config = right;
        let sequencer = world.sequencer().await;
        world.stop(&sequencer).await;
    });
}

/// SEQ-INV-7: a client with another genesis than the contracts were deployed for is refused.
#[test]
fn another_genesis_is_refused() {
    run(async {
        let mut world = World::start(|_| {}).await;
        let jwt = JwtSecret::from_hex_file(&world.config.engine.jwt_path).unwrap();
        let genesis = GenesisBuilder::l2()
            .common_bridge_l2(ensemble_contracts::bytecode::l2_bridge_runtime())
            .fund(address("extra"), U256::from(1))
            .build();
        let other =
            EmbeddedNode::start(NodeConfig::local("other", genesis, *jwt.expose()).unwrap()).await.unwrap();
        world.config.engine.auth_url = url(&other.auth_url());
        world.config.engine.public_url = Some(url(&other.http_url()));
        let error = world.refused().await;
        assert!(matches!(error, StartError::WrongGenesis { .. }), "{error:?}");
        says(&error, &["another L2 genesis", "start the client with the right genesis"]);
    });
}

/// Without an L1 the start waits, and goes on when L1 comes up.
#[test]
fn the_start_waits_for_l1_and_for_the_execution_client() {
    run(async {
        let world = World::start(|_| {}).await;
        world.stop_l1().await;
        world.stop_l2().await;
        for what in ["L1", "L2"] {
            let l2 = world.config.engine.auth_url.expose().to_owned();
            let address = if what == "L1" { world.l1_url() } else { l2 };
            // Something that hangs up on everybody: shows that it is tried again.
            let nobody = tokio::net::TcpListener::bind(address.trim_start_matches("http://")).await.unwrap();
            let mut starting = Box::pin(world.builder().start());
            let tries = async {
                for _ in 0..3 {
                    drop(nobody.accept().await.unwrap());
                }
            };
            tokio::select! {
                result = &mut starting => panic!("it started without {what}: {result:?}"),
                tried = tokio::time::timeout(common::LIMIT, tries) => tried.expect("it keeps trying"),
            }
            drop(nobody);
            assert!(starting.as_mut().now_or_never().is_none(), "{what}");
            drop(starting);
            if what == "L1" {
                world.start_l1().await;
            }
        }

        // And now one start sees both of them come up.
        world.stop_l1().await;
        let builder = world.builder();
        let starting = actix_rt::spawn(builder.start());
        world.start_l1().await;
        if starting.is_finished() {
            panic!("it started without an execution client: {:?}", starting.await.unwrap());
        }
        world.start_l2().await;
        let sequencer = tokio::time::timeout(common::LIMIT, starting).await.unwrap().unwrap().unwrap();
        all_healthy(&sequencer).await;
        world.stop(&sequencer).await;
    });
}

/// L1 goes away and comes back on the same port: what needs it is degraded, the L2 goes on, nothing fails.
#[test]
fn l1_goes_away_and_comes_back() {
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(3_000)).await;
        world.arrived(user.address()).await;
        world.verified_up_to(1).await;

        world.stop_l1().await;
        for name in ["l1_watcher", "l1_committer", "proof_sender"] {
            says(&degraded(&sequencer, name).await, &["L1"]);
        }
        let head = world.l2_head().await;
        until("blocks without L1", async || (world.l2_head().await >= head + 2).then_some(())).await;
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        nothing_burnt(&sequencer);

        world.start_l1().await;
        all_healthy(&sequencer).await;
        world.deposit(address("second"), ether(7)).await;
        assert_eq!(world.arrived(address("second")).await, ether(7));
        world.claim(&sequencer, &withdrawn).await;
        nothing_burnt(&sequencer);
        for name in ["l1_watcher", "l1_committer", "proof_sender"] {
            use ensemble::supervision::EventKind;
            assert!(world.events(name, |e| matches!(e, EventKind::Degraded { .. })) > 0, "{name}");
            assert!(world.events(name, |e| matches!(e, EventKind::Recovered)) > 0, "{name}");
        }
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        world.books().await;
    });
}

/// The execution client goes away and comes back on the same port, its chain lost: the producer is degraded until it
/// has given the blocks back, nothing fails.
#[test]
fn the_execution_client_goes_away_and_comes_back() {
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(3_000)).await;
        world.arrived(user.address()).await;

        let head = world.l2_head().await;
        world.stop_l2().await;
        says(&degraded(&sequencer, "block_producer").await, &["execution client"]);
        world.deposit(address("meanwhile"), ether(5)).await;
        world.start_l2().await;
        all_healthy(&sequencer).await;
        until("a block on top", async || (world.l2_head().await > head).then_some(())).await;
        assert_eq!(world.arrived(address("meanwhile")).await, ether(5));
        let withdrawn = world.withdraw(&user, address("on L1"), ether(500)).await;
        world.claim(&sequencer, &withdrawn).await;
        nothing_burnt(&sequencer);
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
        world.books().await;
    });
}

/// A port that is taken costs no restart: the prover server says which setting to change, and takes the port when it
/// is free.
#[test]
fn a_taken_prover_port_is_waited_for() {
    run(async {
        let world = World::start(|_| {}).await;
        let taken = TcpListener::bind(local(world.config.prover_server.listen_port)).unwrap();
        let sequencer = world.sequencer().await;
        says(&degraded(&sequencer, "prover_server").await, &["prover_server.listen_ip", "listen_port"]);
        drop(taken);
        let prover = world.prover();
        world.verified_up_to(1).await;
        all_healthy(&sequencer).await;
        nothing_burnt(&sequencer);
        world.stop(&sequencer).await;
        prover.stop().await.unwrap();
    });
}
