//! The L2 from L1 alone, into an execution client that has nothing but the genesis.
#![cfg(feature = "rebuild")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::{cell::RefCell, path::Path, rc::Rc};

use alloy_primitives::{Address, B256};
use common::{World, address, all_healthy, client, ether, run, until, url};
use ensemble::{
    Sequencer,
    config::{Config, Confirmations, StoreLocation},
    rebuild::{Rebuild, RebuildError, Report, Step, of_config},
    startup::Verdict,
};
use ensemble_l1::BlockTag;
use tokio::sync::oneshot;

/// Most blocks that a reorg of these tests takes away.
const DEEPEST: u64 = 4;

async fn world() -> World {
    let mut world = World::bare(
        |l1| (l1.safe_lag, l1.finalized_lag) = (DEEPEST, 2 * DEEPEST),
        |c| c.eth.resubmit_after_ms = 2_000,
    )
    .await;
    world.deploy().await;
    world
}

/// Deposits, transfers and a withdrawal, until so many batches are verified.
async fn history(world: &World, batches: u64) {
    let prover = world.prover();
    let sequencer = world.sequencer().await;
    let user = world.user_l2("user").await;
    world.deposit(user.address(), ether(3_000)).await;
    world.arrived(user.address()).await;
    world.transfers(&user, "receiver", 20).await;
    world.withdraw(&user, address("on L1"), ether(500)).await;
    world.verified_up_to(batches).await;
    world.stop(&sequencer).await;
    prover.stop().await.unwrap();
}

async fn open(config: &Config, world: &World, last_batch: Option<u64>) -> Rebuild {
    of_config(config, world.deployment().proposer, last_batch).await.unwrap()
}

async fn replay(config: &Config, world: &World) -> Result<Report, RebuildError> {
    open(config, world, None).await.run(|_| {}).await
}

/// Hash of a node's block.
async fn hash(url: &str, number: u64) -> B256 {
    client(url).block(BlockTag::Number(number)).await.unwrap().unwrap().hash
}

fn with_blobs(mut config: Config, beacon: Option<String>, archive: Option<&Path>) -> Config {
    config.rebuild.beacon_url = beacon.iter().map(|text| url(text)).collect();
    config.rebuild.archive_path = archive.map(Path::to_path_buf);
    config
}

/// SEQ-INV-10: every committed batch comes back to the same block hash; an interrupted rebuild goes on where it was; a
/// directory of blobs does in place of a beacon node, and a blob in it that is not L1's is not believed.
#[test]
fn the_chain_comes_back_from_l1_alone() {
    run(async {
        let world = world().await;
        history(&world, 4).await;
        let committed = world.committed().await;
        let blobs = world.folder.path().join("blobs");
        let (node, config) = world.empty_node("rebuilt").await;
        let config = with_blobs(config, Some(world.beacon_url()), Some(&blobs));

        let part = open(&config, &world, Some(2)).await.run(|_| {}).await.unwrap();
        assert_eq!((part.batches, part.position.header.number), (2, 2));
        let steps = RefCell::new(Vec::new());
        let rest = open(&config, &world, None).await.run(|step| steps.borrow_mut().push(step)).await.unwrap();
        assert_eq!((rest.batches, rest.position.header.number), (committed - 2, committed));
        let resumed = Step::Resumes { batch: 2, block: part.position.block.number, of: committed };
        assert!(steps.borrow().contains(&resumed), "{steps:?}");
        let head = rest.position.block;
        assert_eq!(head.hash, hash(&world.l2_url(), head.number).await, "SEQ-INV-10: the same chain");
        let rebuilt = client(&node.http_url());
        assert_eq!(rebuilt.block(BlockTag::Latest).await.unwrap().unwrap().hash, head.hash);
        assert_eq!(rebuilt.block(BlockTag::Safe).await.unwrap().unwrap().hash, head.hash);
        assert!(
            rebuilt.block(BlockTag::Finalized).await.unwrap().unwrap().number > 0,
            "what is verified is final"
        );
        let again = replay(&config, &world).await.unwrap();
        assert_eq!((again.batches, again.blocks), (0, 0), "nothing is left to do");
        node.shutdown().await.unwrap();

        // The directory alone is enough.
        let (node, config) = world.empty_node("from files").await;
        let config = with_blobs(config, None, Some(&blobs));
        let report = replay(&config, &world).await.unwrap();
        assert_eq!((report.batches, report.position.block), (committed, head));
        node.shutdown().await.unwrap();

        // A blob in it is another one, of a right size: it is not believed, alone it is not enough, and with a beacon
        // node it is not needed.
        let mut files: Vec<_> =
            std::fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        std::fs::copy(&files[0], &files[1]).unwrap();
        let (node, config) = world.empty_node("from bad files").await;
        let alone = replay(&with_blobs(config.clone(), None, Some(&blobs)), &world).await.unwrap_err();
        let RebuildError::NoBlobs { tried, .. } = &alone else { panic!("{alone}") };
        assert!(tried.contains("not the one that L1 has"), "{alone}");
        assert!(alone.to_string().contains("--archive"), "{alone}");
        let report =
            replay(&with_blobs(config, Some(world.beacon_url()), Some(&blobs)), &world).await.unwrap();
        assert_eq!(report.position.block, head);
        node.shutdown().await.unwrap();
    });
}

/// SEQ-INV-11: what cannot be rebuilt is refused with what to do, and nothing reaches the client.
#[test]
fn what_cannot_be_rebuilt_is_refused() {
    run(async {
        let world = world().await;
        history(&world, 1).await;
        let (node, config) = world.empty_node("rebuilt").await;
        let good = with_blobs(config, Some(world.beacon_url()), None);

        let nowhere = replay(&with_blobs(good.clone(), None, None), &world).await.unwrap_err();
        assert!(matches!(nowhere, RebuildError::NoBlobs { number: 1, .. }), "{nowhere}");
        let gone = with_blobs(good.clone(), Some("http://127.0.0.1:1/secretkey".to_owned()), None);
        let gone = replay(&gone, &world).await.unwrap_err();
        assert!(matches!(gone, RebuildError::NoBlobs { .. }), "{gone}");
        assert!(!gone.to_string().contains("secretkey"), "SEQ-INV-12: {gone}");

        let mut late = good.clone();
        let l1 = client(&world.l1_url());
        late.watcher.start_block = Some(l1.block(BlockTag::Latest).await.unwrap().unwrap().number);
        let late = replay(&late, &world).await.unwrap_err();
        assert!(matches!(late, RebuildError::NoEvent { number: 1, .. }), "{late}");
        assert!(late.to_string().contains("watcher.start_block"), "{late}");

        let nobody =
            of_config(&good, Address::repeat_byte(7), None).await.unwrap().run(|_| {}).await.unwrap_err();
        assert!(matches!(nobody, RebuildError::NoContract { .. }), "{nobody}");
        let mut other = good.clone();
        // L1 itself is an execution client with another genesis.
        other.engine.public_url = Some(url(&world.l1_url()));
        let other = replay(&other, &world).await.unwrap_err();
        assert!(matches!(other, RebuildError::OtherGenesis { .. }), "{other}");

        assert_eq!(client(&node.http_url()).block(BlockTag::Latest).await.unwrap().unwrap().number, 0);
        assert_eq!(replay(&good, &world).await.unwrap().position.header.number, world.committed().await);
        node.shutdown().await.unwrap();
    });
}

/// SEQ-INV-10, SEQ-INV-3: a standby follows L1 through reorgs; when the sequencer, its store and its execution client are
/// all gone, another one goes on from the standby: the same chain, and the next batches are committed and verified.
#[test]
fn a_standby_takes_over() {
    run(async {
        let world = world().await;
        let prover = world.prover();
        let sequencer = world.sequencer().await;
        let (node, config) = world.empty_node("standby").await;
        let mut config = with_blobs(config, Some(world.beacon_url()), None);
        config.watcher.confirmations = Confirmations::Blocks(0);
        config.rebuild.check_interval_ms = 100;
        let (stop, stopped) = oneshot::channel::<()>();
        let steps = Rc::<RefCell<Vec<Step>>>::default();
        let mut rebuild = open(&config, &world, None).await;
        let told = Rc::clone(&steps);
        let follower = actix_rt::spawn(async move {
            let stopped = async { drop(stopped.await) };
            rebuild.follow(|step| told.borrow_mut().push(step), stopped).await
        });
        let standby = client(&node.http_url());
        let follows = async |what: &str| {
            let goal = world.committed().await + 1;
            world.verified_up_to(goal).await;
            until(what, async || {
                steps
                    .borrow()
                    .iter()
                    .any(|s| matches!(s, Step::Replayed { batch, .. } if *batch >= goal))
                    .then_some(())
            })
            .await;
        };

        let user = world.user_l2("user").await;
        world.deposit(user.address(), ether(3_000)).await;
        world.arrived(user.address()).await;
        world.transfers(&user, "receiver", 10).await;
        follows("the first batches").await;
        for depth in [1, 3, DEEPEST] {
            world.dev_l1().reorg(depth).await.unwrap();
            follows("batches after a reorg").await;
        }

        // All is gone but L1 and the standby.
        world.stop(&sequencer).await;
        let committed = world.committed().await;
        until("the standby at what L1 has", async || {
            steps
                .borrow()
                .iter()
                .any(|s| matches!(s, Step::Replayed { batch, .. } if *batch == committed))
                .then_some(())
        })
        .await;
        stop.send(()).unwrap();
        follower.await.unwrap().unwrap();
        let head = standby.block(BlockTag::Latest).await.unwrap().unwrap();
        assert_eq!(head.hash, hash(&world.l2_url(), head.number).await, "SEQ-INV-10: the same chain");
        world.stop_l2().await;
        config.store.url = StoreLocation::sqlite(world.folder.path().join("standby.db"));
        // Commits that were under way when the sequencer was lost may be mined meanwhile: those come from L1, too.
        until("a repair", async || {
            replay(&config, &world).await.unwrap();
            Sequencer::builder().config(config.clone()).repair(|_| {}).await.ok()
        })
        .await;
        let committed = world.committed().await;
        let (_, verdict) = Sequencer::builder().config(config.clone()).inspect().await.unwrap();
        assert!(matches!(verdict, Verdict::Consistent | Verdict::Recoverable(_)), "{verdict}");
        let second = Sequencer::builder().config(config).start().await.unwrap();
        all_healthy(&second).await;
        world.verified_up_to(committed + 2).await;
        let late = standby.balance(user.address()).await.unwrap();
        assert!(!late.is_zero() && late < ether(3_000), "the user's balance is there: {late}");
        world.deposit(address("late"), ether(1_000)).await;
        until("a deposit after the change", async || {
            standby.balance(address("late")).await.ok().filter(|balance| *balance == ether(1_000))
        })
        .await;
        world.stop(&second).await;
        prover.stop().await.unwrap();
        node.shutdown().await.unwrap();
    });
}
