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
use ensemble_batch::{
    BLOB_BYTES, ParentRef, SealedBlock, decode_blocks, encode_blocks, prev_randao, usable_bytes,
};
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

/// The two parts of each segment of a payload: what is compressed, before that, and what is not.
fn segments(payload: &[u8]) -> Vec<(Vec<u8>, &[u8])> {
    let mut rest = &payload[1..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let length = |i: usize| u32::from_be_bytes(rest[4 * i..][..4].try_into().unwrap()) as usize;
        let (body, frame, plain) = (length(0), length(1), length(2));
        let (segment, next) = rest[12..].split_at(frame + plain);
        all.push((zstd::bulk::decompress(&segment[..frame], body).unwrap(), &segment[frame..]));
        rest = next;
    }
    all
}

fn main() {
    let mut table: BTreeMap<String, BTreeMap<&str, f64>> = BTreeMap::new();
    for traffic in Traffic::ALL {
        let blocks = traffic::blocks(traffic, PARENT, BLOCKS, PER_BLOCK, SEED);
        let raw: Vec<u8> = blocks.iter().flat_map(|b| &b.transactions).flat_map(|tx| tx.to_vec()).collect();
        let empty: Vec<SealedBlock> =
            blocks.iter().cloned().map(|b| SealedBlock { transactions: vec![], ..b }).collect();
        let payload = encode_blocks(&blocks).unwrap();
        let read = decode_blocks(&payload, &PARENT).unwrap();
        assert_eq!(read, blocks);
        let parts = segments(&payload);
        let [(body, plain)] = &parts[..] else { panic!("{} segments", parts.len()) };
        let together = [body, *plain].concat();
        let in_blobs = |bytes: usize| bytes as f64 * BLOB_BYTES as f64 / (usable_bytes(1) + 4) as f64;
        let of_blocks = in_blobs(encode_blocks(&empty).unwrap().len());
        let rows = [
            ("raw", raw.len() as f64),
            ("raw, zstd 9", zstd(&raw, 9) as f64),
            ("raw, zstd 19", zstd(&raw, 19) as f64),
            ("raw, brotli 9", brotli(&raw, 9) as f64),
            ("raw, brotli 11", brotli(&raw, 11) as f64),
            ("columns", together.len() as f64),
            ("columns in one zstd 9", zstd(&together, 9) as f64),
            ("columns, zstd 3", (plain.len() + zstd(body, 3)) as f64),
            ("columns, zstd 9", (plain.len() + zstd(body, 9)) as f64),
            ("columns, zstd 15", payload.len() as f64),
            ("columns, zstd 19", (plain.len() + zstd(body, 19)) as f64),
            ("columns, brotli 9", (plain.len() + brotli(body, 9)) as f64),
            ("columns, brotli 11", (plain.len() + brotli(body, 11)) as f64),
            ("blob", in_blobs(payload.len())),
            ("blob, without the blocks", in_blobs(payload.len()) - of_blocks),
        ];
        println!("{}: {:?}", traffic.name(), traffic::types(&blocks));
        let mut row = BTreeMap::new();
        for (name, bytes) in rows {
            let each = (bytes / (BLOCKS * PER_BLOCK) as f64 * 100.0).round() / 100.0;
            println!("  {name:<26}{each:>8.2}");
            row.insert(name, each);
        }
        table.insert(traffic.name().to_owned(), row);
    }
    if std::env::var_os("ENSEMBLE_WRITE_GENERATED").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/data.json");
        let text = serde_json::to_string_pretty(&table).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
}
