//! The whole devnet, killed in the middle of its demo and started again on the same data folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::Devnet;

/// SEQ-INV-1, SEQ-INV-3, SEQ-INV-4, SEQ-INV-5, SEQ-INV-8: SIGKILL at every step of the demo. The last run checks, from
/// the events of L1, that every deposit of all runs is on the L2 once, and that every batch was committed and
/// verified once.
#[test]
fn goes_on_after_sigkill_at_every_step() {
    let folder = tempfile::tempdir().unwrap();
    for step in ["[1]", "[2]", "[3]", "[4]"] {
        let mut devnet = Devnet::demo(folder.path(), &[]);
        assert!(devnet.shows(step), "{step} was not reached:\n{}", devnet.shown.join("\n"));
        devnet.process.kill().unwrap();
        let status = devnet.wait();
        assert_eq!(status.code(), None, "{step}: it ended before it was killed: {status}");
    }
    let mut devnet = Devnet::demo(folder.path(), &[]);
    let right = devnet.shows("Every balance is right.");
    let rest = devnet.shows("\0");
    let status = devnet.wait();
    assert!(right && !rest && status.success(), "{status}\n{}", devnet.shown.join("\n"));
    let says = devnet.shown.iter().find(|line| line.contains("L1 says:")).expect("the demo compares with L1");
    // Every run got as far as its deposit, the first one perhaps not.
    assert!(says.contains("4 deposit(s)") || says.contains("5 deposit(s)"), "{says}");
}
