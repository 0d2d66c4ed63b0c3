//! Whether blocks come in time while everything else is being restarted: `cargo bench --bench ticks`.
//!
//! Every component but the block producer panics again and again; what is measured is the distance of the blocks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{COMPONENTS, World, lock, run};
use ensemble::{faults::panics, messages::BlockSealed};

fn blocks() -> usize {
    let mut args = std::env::args().skip_while(|a| a != "--blocks").skip(1);
    args.next().map_or(5, |text| text.parse().expect("--blocks takes a number"))
}

fn main() {
    let wanted = blocks();
    run(async {
        let world = World::start(|_| {}).await;
        let prover = world.prover();
        for faulty in [false, true] {
            let seen = Arc::<Mutex<Vec<(Instant, u64)>>>::default();
            let noted = Arc::clone(&seen);
            let sequencer = world
                .builder()
                .on(move |block: BlockSealed| lock(&noted).push((Instant::now(), block.timestamp)))
                .start()
                .await
                .unwrap();
            sequencer.ready().await;
            let first = lock(&seen).len();
            while lock(&seen).len() < first + wanted + 1 {
                if faulty {
                    for component in COMPONENTS.iter().filter(|c| **c != "block_producer") {
                        // Ten in a minute end the process, so each fails less often.
                        let failures = common::component(&sequencer, component).failures;
                        let limit = lock(&seen).len().saturating_sub(first) as u64 / 8 + 1;
                        if failures < limit && panics::armed().iter().all(|f| f.component != **component) {
                            panics::arm(*component, 1);
                        }
                    }
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let seen = lock(&seen).split_off(first);
            let mut gaps: Vec<f64> =
                seen.windows(2).map(|w| (w[1].0 - w[0].0).as_secs_f64() * 1000.0).collect();
            gaps.sort_by(f64::total_cmp);
            let missed: u64 = seen.windows(2).map(|w| (w[1].1 - w[0].1).saturating_sub(1)).sum();
            let restarts: u64 = sequencer.status().iter().map(|c| c.restarts).sum();
            println!(
                "{}: {} blocks, {restarts} restarts, {missed} ticks missed; distance p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
                if faulty { "with restarts   " } else { "without restarts" },
                gaps.len() + 1,
                gaps[gaps.len() / 2],
                gaps[(gaps.len() * 99 / 100).min(gaps.len() - 1)],
                gaps[gaps.len() - 1],
            );
            world.stop(&sequencer).await;
        }
        prover.stop().await.unwrap();
    });
}
