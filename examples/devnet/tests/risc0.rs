//! `--prover risc0`.
#![cfg(feature = "risc0")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;

use common::Devnet;

/// SEQ-INV-7: every batch that L1 verifies was executed in the zkVM, and its receipt was checked by the sequencer before: with
/// contracts that take nothing but seals which the sequencer makes of receipts.
#[test]
fn batches_are_verified_with_receipts() {
    let folder = tempfile::tempdir().unwrap();
    // Few blocks, in call data as blobs take long: an unoptimised build runs some million cycles a second.
    let arguments = ["--demo", "--transfers", "3", "--prover", "risc0", "--da", "calldata"];
    let arguments = [arguments.as_slice(), &["--interval-ms", "2000", "--commit-ms", "10000"]].concat();
    let mut devnet = Devnet::start(folder.path(), &arguments);
    let right = devnet.shows("Every balance is right.");
    let rest = devnet.shows("\0");
    let status = devnet.wait();
    let shown = devnet.shown.join("\n");
    assert!(right && !rest && status.success(), "{status}\n{shown}");
    let count = |marker: &str| devnet.shown.iter().filter(|line| line.contains(marker)).count();
    let verified = count("  verified ");
    assert!(verified >= 1, "{shown}");
    assert!(count(" executed in the zkVM, development receipt by risc0-1 ") >= verified, "{shown}");
    assert!(count(" of the guest, ") >= verified, "{shown}");
    assert!(count(" bytes in call data") >= verified, "{shown}");
    assert_eq!(count(" re-executed and signed "), 0, "{shown}");
}

/// What cannot be started is said with its remedy.
#[test]
fn real_proofs_need_their_program() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such-prover");
    let ended = Command::new(env!("CARGO_BIN_EXE_devnet"))
        .args(["--prover", "risc0", "--real-proofs", "--risc0-prover"])
        .arg(missing)
        .arg("--datadir")
        .arg(folder.path())
        .args(["--l1-port", "0", "--l2-port", "0", "--auth-port", "0", "--beacon-port", "0"])
        .args(["--prover-port", "0", "--admin-port", "0"])
        .output()
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!ended.status.success(), "{said}");
    assert!(said.contains("no-such-prover") && said.contains("docs/proving.md"), "{said}");
}
