//! The committed guest, run in RISC Zero's executor: what it accepts, what it refuses, and what it takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../program/tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, FixedBytes};
use common::{Content, L2, signed, withdraw_call};
use ensemble_batch::{BatchInput, ProgramKey};
use ensemble_node::COMMON_BRIDGE_L2;
use ensemble_program::execute;
use ensemble_risc0::{Execution, Guest, Limits, Risc0Error};
use serde_json::{Value, json};

const TO: Address = Address::repeat_byte(0x31);

fn guest(input: &BatchInput) -> Guest {
    Guest::new(ProgramKey::exec(std::str::from_utf8(&input.chain_config).unwrap())).unwrap()
}

fn run(guest: &Guest, input: &BatchInput) -> Result<Execution, Risc0Error> {
    guest.execute(input, Limits::default(), &|| false)
}

/// Transfers from all development accounts, each to an account of its own.
fn transfers(nonces: &mut [u64; 10], count: usize) -> Vec<String> {
    let mut transfer = |i: usize| {
        let to = Address::left_padding_from(&(i as u64 + 1000).to_be_bytes());
        let nonce = nonces[i % 10];
        nonces[i % 10] += 1;
        signed(i % 10, nonce, to, 1, vec![])
    };
    (0..count).map(&mut transfer).collect()
}

/// SEQ-INV-7: the guest commits to the public values that native execution gives, and to none where that refuses.
#[tokio::test(flavor = "multi_thread")]
async fn the_guest_and_the_program_agree() {
    let mut l2 = L2::start().await;
    let blocks = [
        l2.seal(Content { deposits: vec![(TO, 5)], ..Default::default() }).await,
        l2.seal(Content {
            transactions: vec![
                signed(0, 0, TO, 1, vec![]),
                signed(1, 0, COMMON_BRIDGE_L2, 9, withdraw_call(TO)),
                // The precompile of addresses by signatures, on bytes that are none.
                signed(2, 0, Address::with_last_byte(1), 0, vec![0x1b; 128]),
            ],
            deposits: vec![(TO, 6)],
            ..Default::default()
        })
        .await,
    ];
    let right = l2.batch(&l2.genesis, &blocks, false);
    let with_blob = l2.batch(&l2.genesis, &blocks[..1], true);
    l2.node.shutdown().await.unwrap();
    tokio::task::spawn_blocking(move || {
        let guest = guest(&right);
        let native = execute(&right).unwrap();
        assert_eq!(run(&guest, &right).unwrap().values, native.public_values);
        assert_eq!(guest.execute(&right, Limits::default(), &|| true), Err(Risc0Error::Stopped));

        type Change = fn(&mut BatchInput);
        let changes: [(&str, &BatchInput, Change); 5] = [
            ("deposits", &right, |i| i.parent.deposits_index += 1),
            ("witness", &right, |i| i.witnesses.swap(0, 1)),
            ("payload", &right, |i| i.da_payload = Bytes::from_static(b"no batch")),
            // The right one costs 160 million cycles: `cycles_are_the_recorded_ones` has it.
            ("blob proof", &with_blob, |i| i.blobs[0].proof = i.blobs[0].commitment),
            ("no point", &with_blob, |i| i.blobs[0].commitment = FixedBytes::repeat_byte(1)),
        ];
        for (name, batch, change) in changes {
            let mut input = batch.clone();
            change(&mut input);
            let refused = execute(&input).expect_err(name).to_string();
            match run(&guest, &input) {
                Err(Risc0Error::Refused(why)) if name == "no point" => {
                    assert!(why.starts_with("blob 0: "), "{why}")
                }
                Err(Risc0Error::Refused(why)) => assert_eq!(why, refused, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }

        // A proof for another chain would have another image id; this guest makes none.
        let mut config: Value = serde_json::from_slice(&right.chain_config).unwrap();
        config["osakaTime"] = json!(u64::MAX);
        config["blobSchedule"]["osaka"] = config["blobSchedule"]["prague"].clone();
        let mut other = right.clone();
        other.chain_config = ProgramKey::canonical_chain_config(&config).into_bytes().into();
        assert_eq!(execute(&other).unwrap().public_values, native.public_values);
        match run(&guest, &other) {
            Err(Risc0Error::Refused(why)) => assert!(why.contains("the input is for program"), "{why}"),
            refused => panic!("{refused:?}"),
        }
    })
    .await
    .unwrap();
}

/// Image id of the guest for program key zero. It changes with the guest, and with nothing else: docs/proving.md.
#[test]
fn the_image_id_is_the_committed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/risc0/image-id");
    let id = Guest::new(ProgramKey(B256::ZERO)).unwrap().image_id();
    if std::env::var_os("ENSEMBLE_WRITE_GENERATED").is_some() {
        std::fs::write(&path, format!("{}\n", id.0)).unwrap();
    }
    let committed: B256 = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
    assert_eq!(id.0, committed);
}

/// SEQ-INV-7: a proof for one chain is none for another.
#[test]
fn each_chain_has_an_image_id_of_its_own() {
    let guest = |byte| Guest::new(ProgramKey(B256::repeat_byte(byte))).unwrap();
    let id = risc0_binfmt::compute_image_id(guest(1).binary()).unwrap();
    assert_eq!(guest(1).image_id().0.0, <[u8; 32]>::from(id), "RISC Zero's own");
    assert_ne!(guest(1).image_id(), guest(2).image_id());
    assert_eq!(guest(2).program(), ProgramKey(B256::repeat_byte(2)));
}

/// SEQ-INV-11: bytes that are no input, and limits.
#[test]
fn a_run_ends() {
    let guest = Guest::new(ProgramKey(Default::default())).unwrap();
    for bytes in [&[][..], &[0xff; 400]] {
        let refused = guest.execute_bytes(bytes, Limits::default(), &|| false);
        assert!(
            matches!(&refused, Err(Risc0Error::Refused(why)) if why.starts_with("packed input")),
            "{refused:?}"
        );
    }
    let limits = Limits { cycles: 1000, ..Limits::default() };
    assert_eq!(guest.execute_bytes(&[], limits, &|| false), Err(Risc0Error::Cycles(1000)));
}

/// Cycles are the same on every machine: benches/cycles.json has them, docs/proving.md explains them.
#[tokio::test(flavor = "multi_thread")]
async fn cycles_are_the_recorded_ones() {
    let mut l2 = L2::start().await;
    let mut nonces = [0; 10];
    let mut batches = Vec::new();
    let mut parent = l2.genesis.clone();
    let of = |transactions| Content { transactions, ..Content::default() };
    let [one, ten, hundred] = [1, 10, 100].map(|count| of(transfers(&mut nonces, count)));
    let withdrawal = of(vec![signed(0, nonces[0], COMMON_BRIDGE_L2, 9, withdraw_call(TO))]);
    let contents = [
        ("empty block", Content::default(), false),
        ("1 transfer", one, false),
        ("10 transfers", ten, false),
        ("100 transfers", hundred, false),
        ("1 deposit", Content { deposits: vec![(TO, 1)], ..Content::default() }, false),
        ("1 withdrawal", withdrawal, false),
        ("empty block and a blob", Content::default(), true),
    ];
    for (name, content, blobs) in contents {
        let block = l2.seal(content).await;
        let input = l2.batch(&parent, &[block], blobs);
        parent = execute(&input).unwrap().header;
        if std::env::var_os("ENSEMBLE_WRITE_GENERATED").is_some() {
            // The batches that the guest for SP1 is tested with, outside this workspace.
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../provers/sp1/tests/batches");
            let bytes = bincode::serialize(&input).unwrap();
            std::fs::write(directory.join(format!("{name}.bin")), bytes).unwrap();
        }
        batches.push((name, input));
    }
    l2.node.shutdown().await.unwrap();

    let found = tokio::task::spawn_blocking(move || {
        let guest = guest(&batches[0].1);
        let mut found = BTreeMap::new();
        for (name, input) in &batches {
            let run = run(&guest, input).unwrap();
            assert_eq!(run.values, execute(input).unwrap().public_values, "{name}");
            found.insert((*name).to_owned(), run);
        }
        found
    })
    .await
    .unwrap();

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/cycles.json");
    if std::env::var_os("ENSEMBLE_WRITE_GENERATED").is_some() {
        let all: BTreeMap<_, _> = found
            .iter()
            .map(|(name, run)| {
                let entry = json!({
                    "user": run.user_cycles, "paging": run.paging_cycles, "total": run.total_cycles,
                    "segments": run.segments,
                });
                (name, entry)
            })
            .collect();
        std::fs::write(&path, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
    }
    let recorded: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>());
    for (name, run) in found {
        let wanted = recorded[&name]["user"].as_u64().unwrap();
        // Witnesses have their nodes in no fixed order.
        let off = run.user_cycles.abs_diff(wanted);
        assert!(off <= wanted / 50, "{name}: {} cycles, benches/cycles.json says {wanted}", run.user_cycles);
    }
}
