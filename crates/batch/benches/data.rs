//! Bytes that a transaction takes in a batch: `cargo bench -p ensemble-batch --bench data`, and
//! `ENSEMBLE_WRITE_GENERATED=1` before it to write `benches/data.json`.
//!
//! What is measured is deterministic but for the versions of the compressors. `src/tests/traffic.rs` makes the
//! transactions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../src/tests/traffic.rs"]
mod traffic;

use std::{collections::BTreeMap, path::Path};

use alloy_primitives::B256;
use ensemble_batch::{ParentRef, SealedBlock, codec::encode_blocks_with, prev_randao};
use traffic::Traffic;

const PARENT: ParentRef = ParentRef { hash: B256::repeat_byte(0x11), number: 41 };
const BLOCKS: usize = 30;
const PER_BLOCK: usize = 100;
const SEED: u64 = 1;

fn zstd(bytes: &[u8], level: i32) -> usize {
    zstd::bulk::compress(bytes, level).unwrap().len()
}

fn brotli(bytes: &[u8], quality: u32) -> usize {
    let mut out = Vec::new();
    let params =
        brotli::enc::BrotliEncoderParams { quality: quality as i32, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut out, &params).unwrap();
    out.len()
}

fn main() {
    let mut table: BTreeMap<String, BTreeMap<&str, f64>> = BTreeMap::new();
    for traffic in Traffic::ALL {
        let blocks = traffic::blocks(traffic, PARENT, BLOCKS, PER_BLOCK, SEED);
        let raw: Vec<u8> = blocks.iter().flat_map(|b| &b.transactions).flat_map(|tx| tx.to_vec()).collect();
        let count = (BLOCKS * PER_BLOCK) as f64;
        let rounded = |bytes: usize| (bytes as f64 / count * 100.0).round() / 100.0;
        let row = BTreeMap::from([
            ("raw", rounded(raw.len())),
            ("raw, zstd 9", rounded(zstd(&raw, 9))),
            ("raw, brotli 9", rounded(brotli(&raw, 9))),
            ("payload", rounded(encode_blocks_with(&blocks, 9).unwrap().len())),
            ("payload, level 19", rounded(encode_blocks_with(&blocks, 19).unwrap().len())),
        ]);
        println!("{}: {:?}", traffic.name(), traffic::types(&blocks));
        row.iter().for_each(|(name, bytes)| println!("  {name:<24}{bytes:>8.2}"));
        table.insert(traffic.name().to_owned(), row);
    }
    if std::env::var_os("ENSEMBLE_WRITE_GENERATED").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/data.json");
        let text = serde_json::to_string_pretty(&table).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
}
