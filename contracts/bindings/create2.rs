//! Addresses that `DeterministicDeployer` gives.

use alloy_primitives::{Address, B256, Bytes, keccak256};

use crate::abi::{self, deployer};

/// Hash of the init code of the `Carrier` that `DeterministicDeployer` creates.
fn carrier_hash() -> B256 {
    keccak256(&*abi::carrier::CARRIER_BYTECODE)
}

/// Where `DeterministicDeployer.deploy(salt, init_code)` of the deployer at `factory` puts the contract (EIP-1014).
#[must_use]
pub fn create2_address(factory: Address, salt: B256, init_code: &[u8]) -> Address {
    factory.create2_from_code(salt, init_code)
}

/// Where `DeterministicDeployer.deployByAddress(salt, ...)` puts the contract that `caller` deploys: it does not
/// depend on the init code.
#[must_use]
pub fn caller_address(factory: Address, caller: Address, salt: B256) -> Address {
    let salt = keccak256([caller.into_word(), salt].concat());
    let carrier = factory.create2(salt, carrier_hash());
    // RLP of [carrier, 1]: what the carrier creates first (EIP-161: a contract's nonce starts at 1).
    let created = keccak256([&[0xd6, 0x94], carrier.as_slice(), &[0x01]].concat());
    Address::from_word(created)
}

/// Call data of `DeterministicDeployer.deploy(salt, initCode)`.
#[must_use]
pub fn deploy(salt: B256, init_code: &[u8]) -> Bytes {
    abi::encode(deployer::DeployCall { salt: salt.0, init_code: abi::bytes(init_code) })
}

/// Call data of `DeterministicDeployer.deployByAddress(salt, initCode)`.
#[must_use]
pub fn deploy_by_address(salt: B256, init_code: &[u8]) -> Bytes {
    abi::encode(deployer::DeployByAddressCall { salt: salt.0, init_code: abi::bytes(init_code) })
}
