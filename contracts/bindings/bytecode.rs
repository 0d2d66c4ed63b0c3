//! The contracts' code, from the artifacts. Init codes that take constructor arguments are in
//! [`deploy`](crate::deploy) and [`verifiers`](crate::verifiers).

use alloy_primitives::Bytes;

use crate::abi;

fn owned(code: &ethers_core::types::Bytes) -> Bytes {
    code.to_vec().into()
}

/// Runtime code of `CommonBridgeL2`, to be put into the L2's genesis at
/// [`L2_BRIDGE_ADDRESS`](crate::L2_BRIDGE_ADDRESS) with empty storage and nonce 1.
#[must_use]
pub fn l2_bridge_runtime() -> Bytes {
    owned(&abi::bridge_l2::COMMONBRIDGEL2_DEPLOYED_BYTECODE)
}

/// Init code of `DeterministicDeployer`; it has no constructor arguments.
#[must_use]
pub fn deterministic_deployer() -> Bytes {
    owned(&abi::deployer::DETERMINISTICDEPLOYER_BYTECODE)
}

/// Runtime code of `DeterministicDeployer`, to recognise one that is already on the chain.
#[must_use]
pub fn deterministic_deployer_runtime() -> Bytes {
    owned(&abi::deployer::DETERMINISTICDEPLOYER_DEPLOYED_BYTECODE)
}

/// Init code of a verifier that accepts every proof. FOR TESTS AND GAS MEASUREMENTS ONLY.
#[must_use]
pub fn accept_all_verifier() -> Bytes {
    owned(&abi::accept_all::ACCEPTALLVERIFIER_BYTECODE)
}

/// Init code of a contract on the L2 that withdraws from within calls, called with
/// [`calls::nested_withdrawals`](crate::calls::nested_withdrawals). FOR TESTS ONLY.
#[must_use]
pub fn nested_withdrawer() -> Bytes {
    owned(&abi::nested_withdrawer::NESTEDWITHDRAWER_BYTECODE)
}

pub(crate) fn proposer() -> Bytes {
    owned(&abi::proposer::ONCHAINPROPOSER_BYTECODE)
}

pub(crate) fn bridge() -> Bytes {
    owned(&abi::bridge::COMMONBRIDGE_BYTECODE)
}

pub(crate) fn proxy() -> Bytes {
    owned(&abi::proxy::ERC1967PROXY_BYTECODE)
}

pub(crate) fn attestation_verifier() -> Bytes {
    owned(&abi::attestation::ATTESTATIONVERIFIER_BYTECODE)
}

pub(crate) fn sp1_verifier() -> Bytes {
    owned(&abi::sp1::SP1VERIFIER_BYTECODE)
}

pub(crate) fn risc0_verifier() -> Bytes {
    owned(&abi::risc0::RISC0VERIFIER_BYTECODE)
}

/// Init code of a verifier that believes RISC Zero's development seals, of proposers with DEV_MODE. It has no constructor
/// arguments.
#[must_use]
pub fn risc0_development_verifier() -> Bytes {
    owned(&abi::risc0_development::RISC0DEVELOPMENTVERIFIER_BYTECODE)
}

pub(crate) fn pico_verifier() -> Bytes {
    owned(&abi::pico::PICOVERIFIER_BYTECODE)
}

pub(crate) fn timelock() -> Bytes {
    owned(&abi::timelock::TIMELOCKCONTROLLER_BYTECODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_whole() {
        for code in [
            l2_bridge_runtime(),
            deterministic_deployer(),
            deterministic_deployer_runtime(),
            accept_all_verifier(),
            nested_withdrawer(),
            proposer(),
            bridge(),
            proxy(),
            attestation_verifier(),
            sp1_verifier(),
            risc0_verifier(),
            pico_verifier(),
            timelock(),
        ] {
            // solc begins with PUSH1 (0x60), or PUSH2 (0x61) where there are immutables.
            assert!(matches!(code[0], 0x60 | 0x61), "{:#x}", code[0]);
            assert!(code.len() > 80);
            // EIP-3860.
            assert!(code.len() <= 49_152);
        }
        // The init code carries the runtime code at its end.
        assert!(deterministic_deployer().ends_with(&deterministic_deployer_runtime()));
        // EIP-170, and our own target for the two big ones.
        assert!(l2_bridge_runtime().len() < 1_000);
        assert!(proposer().len() < 12_000 && bridge().len() < 12_000);
    }
}
