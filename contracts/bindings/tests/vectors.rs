//! `contracts/test/vectors.json` against the Rust side. `contracts/test/l1/Vectors.t.sol` holds the contracts to the
//! same file, so the two agree to the byte.
#![allow(clippy::unwrap_used, clippy::panic)]

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use ensemble_batch::{
    BatchHeader, L2Withdrawal, MerkleProof, ProgramKey, PublicValues, WithdrawalTree, blobs_hash,
    call_data_hash, deposit_leaf, next_deposits_hash,
};
use ensemble_contracts::{VerifierKind, create2, verifiers};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../test/vectors.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn b256(value: &Value) -> B256 {
    text(value).parse().unwrap()
}

fn address(value: &Value) -> Address {
    text(value).parse().unwrap()
}

fn u256(value: &Value) -> U256 {
    text(value).parse().unwrap()
}

fn header(v: &Value) -> BatchHeader {
    BatchHeader {
        parent_hash: b256(&v["parentHash"]),
        state_root: b256(&v["stateRoot"]),
        block_hash: b256(&v["blockHash"]),
        withdrawals_root: b256(&v["withdrawalsRoot"]),
        deposits_hash: b256(&v["depositsHash"]),
        blobs_hash: b256(&v["blobsHash"]),
        number: v["number"].as_u64().unwrap(),
        deposits_index: v["depositsIndex"].as_u64().unwrap(),
        sealed_at: v["sealedAt"].as_u64().unwrap(),
    }
}

#[test]
fn header_hash() {
    let v = &vectors()["header"];
    let encoded: Bytes = text(&v["encoded"]).parse().unwrap();
    assert_eq!(header(v).abi_encode().as_slice(), encoded.as_ref());
    assert_eq!(header(v).hash(), b256(&v["hash"]));
}

#[test]
fn genesis_hash() {
    let v = &vectors()["genesis"];
    let genesis = BatchHeader::genesis(
        v["l1ChainId"].as_u64().unwrap(),
        address(&v["proposer"]),
        v["l2ChainId"].as_u64().unwrap(),
        b256(&v["stateRoot"]),
        b256(&v["blockHash"]),
    );
    assert_eq!(genesis.parent_hash, b256(&v["parentHash"]));
    assert_eq!(genesis.hash(), b256(&v["hash"]));
}

/// SEQ-INV-1.
#[test]
fn deposits_rolling_hash() {
    let all = vectors();
    let deposits = all["deposits"].as_array().unwrap();
    assert_eq!(deposits.len(), 4);
    let mut hash = B256::ZERO;
    for v in deposits {
        let leaf = deposit_leaf(v["id"].as_u64().unwrap(), address(&v["to"]), u256(&v["amount"]));
        assert_eq!(leaf, b256(&v["leaf"]));
        hash = next_deposits_hash(hash, leaf);
        assert_eq!(hash, b256(&v["rollingHash"]));
    }
    // The bridge's slot holds a time in the low 32 bits; it must not matter.
    let mut with_time = b256(&deposits[2]["rollingHash"]);
    with_time.0[28..].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(next_deposits_hash(with_time, b256(&deposits[3]["leaf"])), hash);
}

#[test]
fn withdrawals_tree() {
    let v = &vectors()["withdrawals"];
    let withdrawals: Vec<L2Withdrawal> = v["leaves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leaf| {
            let withdrawal = L2Withdrawal {
                id: leaf["id"].as_u64().unwrap(),
                to: address(&leaf["to"]),
                amount: u256(&leaf["amount"]),
            };
            assert_eq!(withdrawal.leaf(), b256(&leaf["leaf"]));
            withdrawal
        })
        .collect();
    let trees = v["trees"].as_array().unwrap();
    assert_eq!(trees.len(), 5);
    for tree in trees {
        let count = usize::try_from(tree["count"].as_u64().unwrap()).unwrap();
        let ours = WithdrawalTree::new(&withdrawals[..count]);
        assert_eq!(ours.root(), b256(&tree["root"]), "{count} leaves");
        for (index, siblings) in tree["proofs"].as_array().unwrap().iter().enumerate() {
            let siblings: Vec<B256> = siblings.as_array().unwrap().iter().map(b256).collect();
            let index = index as u64;
            assert_eq!(ours.proof(index), Some(MerkleProof { index, siblings }));
        }
    }
    assert_eq!(WithdrawalTree::new(&[]).root(), B256::ZERO);
}

#[test]
fn public_values() {
    let v = &vectors()["publicValues"];
    let values = PublicValues { from: b256(&v["from"]), to: b256(&v["to"]) };
    let encoded: Bytes = text(&v["encoded"]).parse().unwrap();
    assert_eq!(values.abi_encode().as_slice(), encoded.as_ref());
}

#[test]
fn blob_hashes() {
    let v = &vectors()["blobs"];
    let hashes: Vec<B256> = v["versionedHashes"].as_array().unwrap().iter().map(b256).collect();
    assert_eq!(keccak256(hashes.concat()), b256(&v["hash"]));
    assert_eq!(blobs_hash(&hashes), b256(&v["hash"]));
    assert_eq!(blobs_hash(&[]), B256::ZERO);
}

#[test]
fn hash_of_call_data() {
    let v = &vectors()["callData"];
    let payload: Bytes = text(&v["payload"]).parse().unwrap();
    assert_eq!(call_data_hash(&payload), b256(&v["hash"]));
    assert_eq!(call_data_hash(&payload), !keccak256(&payload));
}

/// SEQ-INV-7.
#[test]
fn attestation_digest() {
    let all = vectors();
    let (v, p) = (&all["attestation"], &all["publicValues"]);
    let values = PublicValues { from: b256(&p["from"]), to: b256(&p["to"]) };
    let digest = ensemble_contracts::attestation_digest(
        v["chainId"].as_u64().unwrap(),
        address(&v["verifier"]),
        ProgramKey(b256(&v["programKey"])),
        &values,
    );
    assert_eq!(digest, b256(&v["digest"]));
}

#[test]
fn deployer_addresses() {
    let all = vectors();
    let v = &all["deployer"];
    let (factory, salt) = (address(&v["factory"]), b256(&v["salt"]));
    let init_code: Bytes = text(&v["initCode"]).parse().unwrap();
    assert_eq!(create2::create2_address(factory, salt, &init_code), address(&v["create2"]));
    assert_eq!(create2::caller_address(factory, address(&v["caller"]), salt), address(&v["byAddress"]));
}

/// SEQ-INV-7: the verifiers get the keys that are in `contracts/keys`.
#[test]
fn verifier_keys() {
    let all = vectors();
    let artifact = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    for kind in VerifierKind::ALL {
        let (name, artifact) = match kind {
            VerifierKind::Sp1 => ("sp1-v6.1", artifact(include_str!("../../artifacts/Sp1Verifier.json"))),
            VerifierKind::Sp1V5 => ("sp1-v5", artifact(include_str!("../../artifacts/Sp1Verifier.json"))),
            VerifierKind::Risc0 => ("risc0-v3", artifact(include_str!("../../artifacts/Risc0Verifier.json"))),
            VerifierKind::Pico => ("pico", artifact(include_str!("../../artifacts/PicoVerifier.json"))),
        };
        let v = &all["verifiers"][name];
        assert_eq!(verifiers::key_hash(kind), b256(&v["keyHash"]), "{name}");
        let code: Bytes = text(&artifact["bytecode"]).parse().unwrap();
        let init_code = verifiers::init_code(kind);
        let arguments = init_code.strip_prefix(code.as_ref()).unwrap();
        assert_eq!(keccak256(arguments), b256(&v["argumentsHash"]), "{name}");
    }
}
