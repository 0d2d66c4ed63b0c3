//! The contracts on a real L1, against the committed snapshot.

use std::path::PathBuf;

use ensemble_gas::{Anvil, GasReport, measure, snapshot_path};

/// No operation costs more than `benches/gas.json` says, and the numbers are the same in every run.
#[tokio::test]
async fn no_operation_costs_more_than_the_snapshot() {
    let Some(path) = std::env::var_os("ENSEMBLE_ANVIL").map(PathBuf::from) else {
        println!("skipped: set ENSEMBLE_ANVIL to the anvil binary, or run `cargo xtask test`");
        return;
    };
    let snapshot = GasReport::read(&snapshot_path()).unwrap();
    let first = measure(&Anvil::start(&path).unwrap()).await.unwrap();
    assert_eq!(
        first.dearer_than(&snapshot),
        [],
        "when that is intended, run `cargo xtask gas --write` and say why in the commit"
    );
    let second = measure(&Anvil::start(&path).unwrap()).await.unwrap();
    assert_eq!(first, second);
}
