//! The committed genesis files are what the builder makes. `ENSEMBLE_UPDATE=1 cargo test -p ensemble-node --test
//! genesis_files` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use alloy_primitives::{Bytes, U256};
use ensemble_node::{DevL1Config, GenesisBuilder, genesis_summary};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn check(name: &str, genesis: &Value) {
    genesis_summary(genesis).unwrap();
    let path = root().join("configs").join(name);
    let expected = format!("{}\n", serde_json::to_string_pretty(genesis).unwrap());
    if std::env::var_os("ENSEMBLE_UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{name} differs from what the builder makes; set ENSEMBLE_UPDATE=1 to write it"
    );
}

#[test]
fn l1() {
    check("genesis-l1.json", &DevL1Config::default().genesis);
}

/// For any execution client: the bridge predeploy, and no funded account.
#[test]
fn l2() {
    let artifact = std::fs::read_to_string(root().join("contracts/artifacts/CommonBridgeL2.json")).unwrap();
    let artifact: Value = serde_json::from_str(&artifact).unwrap();
    let code: Bytes = artifact["deployedBytecode"].as_str().unwrap().parse().unwrap();
    let genesis = GenesisBuilder::l2().common_bridge_l2(code).build();
    assert!(U256::ZERO == balances(&genesis), "nobody owns ether at genesis");
    check("genesis-l2.json", &genesis);
}

fn balances(genesis: &Value) -> U256 {
    let accounts = genesis["alloc"].as_object().unwrap().values();
    accounts.filter_map(|a| a.get("balance")?.as_str()?.parse::<U256>().ok()).sum()
}
