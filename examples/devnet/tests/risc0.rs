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

/// A prover that dies is started again, and is told the folder where it keeps what it has proven.
#[cfg(unix)]
#[test]
fn a_prover_that_dies_is_started_again() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let (program, calls) = (folder.path().join("prover.sh"), folder.path().join("calls"));
    std::fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> '{}'\nexit 3\n", calls.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["--prover", "risc0", "--real-proofs", "--risc0-prover", program.to_str().unwrap()];
    let mut devnet = Devnet::start(folder.path(), &arguments);
    for _ in 0..2 {
        assert!(devnet.shows("  PROVER     risc0-1 ended: exit status: 3"), "{}", devnet.shown.join("\n"));
    }
    let calls = std::fs::read_to_string(calls).unwrap();
    let receipts = format!("--receipts {}", folder.path().join("receipts").display());
    assert!(calls.lines().count() >= 2, "{calls}");
    assert!(calls.lines().all(|call| call.contains(" risc0-1 ") && call.ends_with(&receipts)), "{calls}");
}

/// Without provers of its own the devnet needs no program: they connect from elsewhere.
#[test]
fn real_proofs_by_provers_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such-prover");
    let arguments = ["--prover", "risc0", "--real-proofs", "--provers", "0", "--risc0-prover"];
    let mut devnet = Devnet::start(folder.path(), &[&arguments[..], &[missing.to_str().unwrap()]].concat());
    assert!(devnet.shows("  up after "), "{}", devnet.shown.join("\n"));
}
