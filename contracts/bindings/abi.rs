//! What `abigen!` makes of the artifacts. Private: see the crate's documentation.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic
)]

pub(crate) mod bridge {
    ethers_contract::abigen!(CommonBridge, "artifacts/CommonBridge.json");
}
pub(crate) mod proposer {
    ethers_contract::abigen!(OnChainProposer, "artifacts/OnChainProposer.json");
}
pub(crate) mod bridge_l2 {
    ethers_contract::abigen!(CommonBridgeL2, "artifacts/CommonBridgeL2.json");
}
pub(crate) mod attestation {
    ethers_contract::abigen!(AttestationVerifier, "artifacts/AttestationVerifier.json");
}
pub(crate) mod deployer {
    ethers_contract::abigen!(DeterministicDeployer, "artifacts/DeterministicDeployer.json");
}
pub(crate) mod carrier {
    ethers_contract::abigen!(Carrier, "artifacts/Carrier.json");
}
pub(crate) mod proxy {
    ethers_contract::abigen!(ERC1967Proxy, "artifacts/ERC1967Proxy.json");
}
pub(crate) mod timelock {
    ethers_contract::abigen!(TimelockController, "artifacts/TimelockController.json");
}
pub(crate) mod sp1 {
    ethers_contract::abigen!(Sp1Verifier, "artifacts/Sp1Verifier.json");
}
pub(crate) mod risc0 {
    ethers_contract::abigen!(Risc0Verifier, "artifacts/Risc0Verifier.json");
}
pub(crate) mod risc0_development {
    ethers_contract::abigen!(Risc0DevelopmentVerifier, "artifacts/Risc0DevelopmentVerifier.json");
}
pub(crate) mod pico {
    ethers_contract::abigen!(PicoVerifier, "artifacts/PicoVerifier.json");
}
pub(crate) mod accept_all {
    ethers_contract::abigen!(AcceptAllVerifier, "artifacts/AcceptAllVerifier.json");
}
pub(crate) mod nested_withdrawer {
    ethers_contract::abigen!(NestedWithdrawer, "artifacts/NestedWithdrawer.json");
}

use alloy_primitives::{Address, B256, Bytes, U256};
use ensemble_batch::BatchHeader;
use ethers_core::types as eth;

pub(crate) fn address(value: Address) -> eth::Address {
    eth::H160(value.into_array())
}

pub(crate) fn uint(value: U256) -> eth::U256 {
    eth::U256(value.into_limbs())
}

pub(crate) fn words(values: &[B256]) -> Vec<[u8; 32]> {
    values.iter().map(|word| word.0).collect()
}

pub(crate) fn bytes(value: &[u8]) -> eth::Bytes {
    value.to_vec().into()
}

pub(crate) fn encode(call: impl ethers_core::abi::AbiEncode) -> Bytes {
    call.encode().into()
}

macro_rules! header {
    ($module:ident, $header:expr) => {{
        let header: &BatchHeader = $header;
        $crate::abi::$module::BatchHeader {
            parent_hash: header.parent_hash.0,
            state_root: header.state_root.0,
            block_hash: header.block_hash.0,
            withdrawals_root: header.withdrawals_root.0,
            deposits_hash: header.deposits_hash.0,
            blobs_hash: header.blobs_hash.0,
            number: header.number,
            deposits_index: header.deposits_index,
            sealed_at: header.sealed_at,
        }
    }};
}

pub(crate) fn bridge_header(header: &BatchHeader) -> bridge::BatchHeader {
    header!(bridge, header)
}

pub(crate) fn proposer_header(header: &BatchHeader) -> proposer::BatchHeader {
    header!(proposer, header)
}
