//! `kill -9` of the real process, again and again, while users are at work.
//!
//! `ENSEMBLE_KILLS` says how often, `ENSEMBLE_KILLS_SEED` when; `cargo xtask chaos --kills 100` is the long run.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::time::Duration;

use common::{
    COMMITTER, DEPLOYER, Tolerance, VERIFIER, World, address, ether, number, process::Process, run, until,
};
use ensemble::account::Call;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Kills of a plain test run.
const KILLS: u64 = 15;

/// SEQ-INV-1, SEQ-INV-3, SEQ-INV-4, SEQ-INV-5, SEQ-INV-10, SEQ-INV-12: killed at any moment, with the real store file,
/// the sequencer goes on where it was; L1 and L2 show nothing lost and nothing twice, and the log no secret.
#[test]
fn killed_again_and_again() {
    let seed = number("ENSEMBLE_KILLS_SEED", 1);
    let kills = number("ENSEMBLE_KILLS", KILLS);
    eprintln!("ENSEMBLE_KILLS_SEED={seed} ENSEMBLE_KILLS={kills}");
    run(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::bare(|l1| l1.block_time = Duration::from_millis(400), |_| {}).await;
        world.deploy().await;
        let log = world.folder.path().join("run.log");
        let prover = world.prover();
        let (user, l2) = (world.user_l1().await, world.user_l2("user").await);
        let bridge = world.deployment().bridge;
        let load = async {
            let mut deposits = 0u64;
            loop {
                deposits += 1;
                let limit = common::LIMIT;
                ensemble::bridge::deposit(&user, bridge, l2.address(), ether(deposits), limit).await.unwrap();
                let has = l2.client().balance(l2.address()).await.unwrap();
                if deposits.is_multiple_of(3) && has > ether(10) {
                    let to = Some(address(&format!("receiver {deposits}")));
                    let call = Call { to, value: ether(1), data: Default::default() };
                    l2.transact(&call, limit).await.unwrap();
                }
            }
        };
        let killer = async {
            for n in 1..=kills {
                let process = Process::start(&world, &log);
                // Long enough for a batch on L1 now and then; else in the start, or soon after it.
                let life = if n % 3 == 0 { 4_000..9_000 } else { 100..2_600 };
                tokio::time::sleep(Duration::from_millis(rng.gen_range(life))).await;
                drop(process);
                if n.is_multiple_of(10) {
                    eprintln!("{n} kills: {} batches committed", world.committed().await);
                }
            }
        };
        tokio::select! {
            never = load => never,
            () = killer => {}
        }
        let process = Process::start(&world, &log);
        // The last deposit may be on its way still.
        until("no transaction of the user on its way", async || {
            let count = async |pending| user.client().transaction_count(user.address(), pending).await.ok();
            (count(true).await? == count(false).await?).then_some(())
        })
        .await;
        world.all_included().await;
        world.transfers(&l2, "last", 2).await;
        let reached = world.committed().await + 2;
        world.verified_up_to(reached).await;
        assert_eq!(process.interrupt().await, Some(0), "a clean end: {}", log.display());
        prover.stop().await.unwrap();
        let books = world.books_with(Tolerance { reverts: 0, lost_events: true }).await;
        assert!(books.deposits > 0 && books.verified >= reached, "{books:?}");
        let rebuilt = world.rebuild().await;
        assert!(rebuilt <= books.head);
        let text = std::fs::read_to_string(&log).unwrap();
        for key in [COMMITTER.private_key, VERIFIER.private_key, DEPLOYER.private_key] {
            assert!(!text.contains(key.trim_start_matches("0x")), "SEQ-INV-12: a key is in the log");
        }
        eprintln!("{kills} kills: {books:?}");
    });
}
