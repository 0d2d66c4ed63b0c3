//! The store is lost under the real program: `ensemble run` says what to do, `ensemble repair` does it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::time::Duration;

use common::{
    COMMITTER, DEPLOYER, Tolerance, VERIFIER, World, address, ether,
    process::{Process, Said, said},
    run, until,
};

/// Runs a command, shows what it said, and checks how it ended.
async fn ends(world: &World, arguments: &[&str], code: i32) -> Said {
    let said = said(world, arguments, &[]).await;
    eprintln!("$ ensemble {}\n{}--- on standard error:\n{}", arguments.join(" "), said.out, said.err);
    assert_eq!(said.code, Some(code), "{arguments:?}");
    for key in [COMMITTER.private_key, VERIFIER.private_key, DEPLOYER.private_key] {
        assert!(!format!("{said:?}").contains(key.trim_start_matches("0x")), "SEQ-INV-12: a key is shown");
    }
    said
}

/// Asserts that a text has every one of these parts.
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

/// SEQ-INV-1, SEQ-INV-3, SEQ-INV-4, SEQ-INV-10, SEQ-INV-12: deployed, run, stopped and repaired by the program alone. A
/// lost store is named with its remedy, nothing is done that was not asked for, and after the repair the next batches
/// are verified.
#[test]
fn a_lost_store_is_repaired_by_the_program() {
    run(async {
        let mut world = World::bare(|l1| l1.block_time = Duration::from_millis(400), |_| {}).await;
        let key = [("DEPLOYER_L1_PRIVATE_KEY", DEPLOYER.private_key)];
        let deployed = world.mining(said(&world, &["deploy"], &key)).await;
        assert_eq!(deployed.code, Some(0), "{deployed:?}");
        let deployment = world.deploy().await;
        assert_eq!(deployment.gas_used, 0, "everything is there already: {deployed:?}");
        has(&deployed.out, &[&deployment.bridge.to_string(), "Next: ensemble run"]);

        let log = world.folder.path().join("run.log");
        let prover = world.prover();
        let process = Process::start(&world, &log);
        world.deposit(address("before"), ether(3_000)).await;
        world.arrived(address("before")).await;
        world.verified_up_to(1).await;
        prover.stop().await.unwrap();
        // Committed and not verified: has to be proven from what the repair makes.
        let reached = world.committed().await + 2;
        until("unverified batches", async || (world.committed().await >= reached).then_some(())).await;
        assert_eq!(process.interrupt().await, Some(0), "a clean end: {}", log.display());
        let head = world.l2_head().await;
        let file = world.folder.path().join("ensemble.db");
        for end in ["", "-wal", "-shm"] {
            let file = file.with_extension(format!("db{end}"));
            if file.exists() {
                std::fs::remove_file(file).unwrap();
            }
        }

        has(&ends(&world, &["repair", "--help"], 0).await.out, &["--dry-run", "--yes", "Exit codes"]);
        let dry = ends(&world, &["repair", "--dry-run"], 1).await;
        assert!(!file.exists(), "a look makes no store");
        has(&dry.out, &["the store holds no batch", "run `ensemble repair`"]);
        let json = ends(&world, &["repair", "--dry-run", "--json"], 1).await.out;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON and nothing else");
        let committed = world.committed().await;
        assert_eq!(json["verdict"]["repairable"][0]["store_lost"]["l1"], committed);
        let refused = ends(&world, &["run"], 1).await;
        has(&refused.err, &["the store holds no batch", "run `ensemble repair`"]);
        assert_eq!(world.l2_head().await, head, "nothing was started");

        let asked = ends(&world, &["repair"], 2).await;
        has(&asked.err, &["--yes", "--dry-run"]);
        has(&asked.out, &[&format!("Batches 1 to {committed} will be made again")]);
        let repaired = ends(&world, &["repair", "--yes"], 0).await;
        has(&repaired.out, &[&format!("{committed} batch(es) made again"), "Next: ensemble run"]);
        has(&repaired.err, &[&format!("batch {committed} can be proven")]);
        assert!(!repaired.err.contains("ERROR"), "{repaired:?}");
        let again = ends(&world, &["repair"], 0).await;
        has(&again.out, &["Nothing was missing, nothing was done.", "Next: ensemble run"]);
        ends(&world, &["repair", "--dry-run"], 0).await;

        let process = Process::start(&world, &log);
        until("a new block", async || (world.l2_head().await > head).then_some(())).await;
        has(&ends(&world, &["repair"], 1).await.err, &["is in use by another ensemble process"]);
        let prover = world.prover();
        world.deposit(address("after"), ether(5)).await;
        assert_eq!(world.arrived(address("after")).await, ether(5));
        let reached = world.committed().await + 2;
        world.verified_up_to(reached).await;
        assert_eq!(process.interrupt().await, Some(0), "a clean end: {}", log.display());
        prover.stop().await.unwrap();
        let books = world.books_with(Tolerance { reverts: 0, lost_events: true }).await;
        assert!(books.deposits == 2 && books.verified >= reached, "{books:?}");
        world.rebuild().await;
    });
}
