//! Memory of `ensemble run` under load, at one block a second: `cargo bench --bench soak -- --minutes 30`.
//!
//! L1, L2 and users are in this process; what is measured is the resident memory of the sequencer's own process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{LIMIT, World, address, ether, process::Process, run};
use ensemble::account::Call;

/// Transfers per second.
const RATE: u64 = 20;

fn minutes() -> f64 {
    let mut args = std::env::args().skip_while(|a| a != "--minutes").skip(1);
    // `cargo test --benches` runs this too: then a short one.
    args.next().map_or(0.1, |text| text.parse().expect("--minutes takes a number"))
}

/// Resident memory of a process in MiB (`VmRSS` of proc_pid_status(5)).
fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("it has memory");
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

fn main() {
    let end = Duration::from_secs_f64(minutes() * 60.0);
    run(async {
        let mut world = World::bare(|_| {}, |_| {}).await;
        world.deploy().await;
        let log = world.folder.path().join("run.log");
        let prover = world.prover();
        let process = Process::start(&world, &log);
        let (l1, user) = (world.user_l1().await, world.user_l2("user").await);
        let bridge = world.deployment().bridge;
        ensemble::bridge::deposit(&l1, bridge, user.address(), ether(1_000_000), LIMIT).await.unwrap();
        world.arrived(user.address()).await;
        let begin = Instant::now();
        let (mut sent, mut samples, mut next_look) = (0u64, Vec::new(), Duration::ZERO);
        let mut nonce = user.nonce().await.unwrap();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        while begin.elapsed() < end {
            seconds.tick().await;
            let fees = user.fees().await.unwrap();
            for _ in 0..RATE {
                let to = Some(address(&format!("receiver {}", sent % 5_000)));
                let call = Call { to, value: ether(1), data: Default::default() };
                let signed = user.sign(&call, nonce, 21_000, &fees).unwrap();
                user.client().send_raw_transaction(&signed.raw).await.unwrap();
                (nonce, sent) = (nonce + 1, sent + 1);
            }
            if sent.is_multiple_of(200) {
                ensemble::bridge::deposit(&l1, bridge, user.address(), ether(1), LIMIT).await.unwrap();
            }
            if begin.elapsed() >= next_look {
                let memory = resident(process.id());
                println!("{:>6.0} s  {memory:>6.1} MiB  {sent} transfers", begin.elapsed().as_secs_f64());
                samples.push(memory);
                next_look += (end / 30).max(Duration::from_secs(2));
            }
        }
        let (head, committed, verified) =
            (world.l2_head().await, world.committed().await, world.verified().await);
        assert_eq!(process.interrupt().await, Some(0), "a clean end");
        prover.stop().await.unwrap();
        let max = samples.iter().copied().fold(0.0, f64::max);
        println!(
            "{sent} transfers in {head} blocks, {committed} batches committed, {verified} verified; memory {:.1} MiB at \
             first, {:.1} at half time, {:.1} at the end, {max:.1} at most",
            samples[0],
            samples[samples.len() / 2],
            samples[samples.len() - 1],
        );
    });
}
