//! What SP1's own prover makes of the committed guest: its keys.
#![cfg(feature = "prove")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use alloy_primitives::B256;
use ensemble_batch::ProgramKey;
use ensemble_prover_sp1::Guest;

fn key(chain: ProgramKey) -> ProgramKey {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Guest::new(chain).unwrap().program_key()).unwrap()
}

/// SEQ-INV-7: the key on L1 stands for the committed guest.
#[test]
fn the_key_is_the_recorded_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/sp1/program-key");
    let found = key(ProgramKey(B256::ZERO)).0.to_string();
    if std::env::var_os("ENSEMBLE_WRITE_GENERATED").is_some() {
        std::fs::write(&path, format!("{found}\n")).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), found);
}

/// SEQ-INV-7: a proof for one chain is none for another, and `key` prints the one of a chain.
#[test]
fn each_chain_has_its_key() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let genesis = directory.join("genesis.json");
    let config = serde_json::json!({ "chainId": 5, "terminalTotalDifficulty": 0 });
    std::fs::write(&genesis, serde_json::json!({ "config": config }).to_string()).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_ensemble-prover-sp1"));
    let printed = program.arg("key").arg(&genesis).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let chain = ProgramKey::exec(&ProgramKey::canonical_chain_config(&config));
    let found = key(chain);
    assert_eq!(String::from_utf8(printed.stdout).unwrap().trim(), found.0.to_string());
    assert_ne!(found, key(ProgramKey(B256::ZERO)));

    std::fs::write(&genesis, "{}").unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_ensemble-prover-sp1"));
    let refused = program.arg("key").arg(&genesis).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("`config`"));
}
