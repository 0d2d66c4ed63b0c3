//! Several provers at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::Devnet;

/// The word after `marker`.
fn after<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    line.split_once(marker)?.1.split_whitespace().next()
}

/// `--provers 4`: four batches are in the hands of four provers at the same time; every batch is proven by one of them,
/// and what is verified on L1 is named with the prover that proved it.
#[test]
fn four_provers_prove_four_batches_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut devnet = Devnet::demo(folder.path(), &["--provers", "4"]);
    let right = devnet.shows("Every balance is right.");
    let rest = devnet.shows("\0");
    let status = devnet.wait();
    let shown = devnet.shown.join("\n");
    assert!(right && !rest && status.success(), "{status}\n{shown}");

    let lines = |marker: &'static str| devnet.shown.iter().filter(move |line| line.contains(marker));
    let provers: BTreeSet<String> = (1..=4).map(|n| format!("exec-{n}")).collect();
    let mut proven = BTreeMap::new();
    for line in lines(" re-executed and signed by ") {
        let (batch, prover) = (after(line, "batch ").unwrap(), after(line, "signed by ").unwrap());
        assert!(provers.contains(prover), "{line}");
        assert_eq!(proven.insert(batch, prover), None, "{line}: proven twice\n{shown}");
    }
    let busy: BTreeSet<String> = proven.values().map(|prover| (*prover).to_owned()).collect();
    assert_eq!(busy, provers, "every prover proves\n{shown}");
    let mut verified = 0;
    for line in lines("  verified ") {
        let (batch, prover) = (after(line, "batch ").unwrap(), after(line, "proven by ").expect(line));
        assert_eq!(proven.get(batch), Some(&prover), "{line}\n{shown}");
        verified += 1;
    }
    assert!(verified >= 1, "{shown}");
    let together = lines("; all begin now").next().expect("provers begin together");
    assert!(provers.iter().all(|prover| together.contains(prover)), "{together}");
    assert_eq!(lines("at most 4 at work at once").count(), 1, "{shown}");
}
