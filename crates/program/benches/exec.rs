//! Time that the program takes for a batch of plain transfers, as the prover of type `exec` runs it:
//! `cargo bench -p ensemble-program --bench exec`, and `ENSEMBLE_WRITE_GENERATED=1` before it to write
//! `benches/exec.json`.
//!
//! Real blocks of the embedded node, each transfer to an account that did not exist, blobs with their KZG proofs. The
//! processor's time counts besides the clock's, as it is nearly the same on a machine that does other things too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{path::Path, time::Instant};

use alloy_primitives::{Address, keccak256};
use common::{Content, L2, signed};
use ensemble_batch::BatchInput;
use ensemble_node::DEV_ACCOUNTS;
use ensemble_program::{execute, warm_up};
use serde_json::json;

const BLOCKS: usize = 4;
const PER_BLOCK: usize = 250;
const RUNS: usize = 21;

/// Clock ticks of /proc/self/stat, which Linux shows in hundredths of a second whatever the kernel uses.
const TICK_MS: f64 = 10.0;

/// Processor time of all threads of this process, user and system, milliseconds.
fn processor_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // proc_pid_stat(5): utime and stime are the 14th and 15th field; the second, in brackets, may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * TICK_MS
}

async fn batch() -> BatchInput {
    let mut l2 = L2::start().await;
    let mut blocks = Vec::new();
    for block in 0..BLOCKS {
        let transactions = (0..PER_BLOCK)
            .map(|i| {
                let n = block * PER_BLOCK + i;
                let (account, nonce) = (n % DEV_ACCOUNTS.len(), (n / DEV_ACCOUNTS.len()) as u64);
                let to = Address::from_word(keccak256(n.to_be_bytes()));
                signed(account, nonce, to, 1 + n as u64, vec![])
            })
            .collect();
        blocks.push(l2.seal(Content { transactions, ..Default::default() }).await);
    }
    let input = l2.batch(&l2.genesis, &blocks, true);
    l2.node.shutdown().await.unwrap();
    input
}

fn main() {
    let input = tokio::runtime::Runtime::new().unwrap().block_on(batch());
    warm_up();
    assert_eq!(execute(&input).unwrap().transactions, (BLOCKS * PER_BLOCK) as u64);
    let before = processor_ms();
    let mut walls: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            execute(&input).unwrap();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let processor = (processor_ms() - before) / RUNS as f64;
    walls.sort_by(f64::total_cmp);
    let median = walls[RUNS / 2];
    let witness: usize = input.witnesses.iter().map(|w| w.len()).sum();
    println!(
        "{} transfers in {BLOCKS} blocks, {} blobs, {} KiB of witness",
        BLOCKS * PER_BLOCK,
        input.blobs.len(),
        witness >> 10
    );
    println!(
        "  clock      median {median:.0} ms, {:.0} to {:.0} ms in {RUNS} runs",
        walls[0],
        walls[RUNS - 1]
    );
    println!("  processor  {processor:.0} ms");
    if std::env::var_os("ENSEMBLE_WRITE_GENERATED").is_some() {
        let table = json!({
            "transfers": BLOCKS * PER_BLOCK, "blocks": BLOCKS, "runs": RUNS, "witness bytes": witness,
            "clock ms, median": median.round(), "clock ms, best": walls[0].round(), "processor ms": processor.round(),
        });
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/exec.json");
        std::fs::write(&path, serde_json::to_string_pretty(&table).unwrap() + "\n").unwrap();
    }
}
