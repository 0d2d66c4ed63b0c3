//! Proof backends as the proposer knows them.

use alloy_primitives::{Address, B256, U256, address, keccak256};
use ensemble_batch::{ProgramKey, PublicValues};
use serde::{Deserialize, Serialize};

/// The verifier address that means "this backend is skipped". The proposer takes it in dev mode only.
pub const SKIPPED_VERIFIER: Address = address!("00000000000000000000000000000000000000AA");

/// One proof backend of the proposer, `struct Backend` of `Types.sol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// Contract that checks the proofs, or [`SKIPPED_VERIFIER`].
    pub verifier: Address,
    /// Whether no batch is verified without this backend's proof.
    pub required: bool,
    /// The program that must have been proven, as the verifier means it.
    pub program_key: B256,
}

/// What a signer of `AttestationVerifier` signs: the EIP-712 hash of
/// `BatchAttestation(bytes32 programKey,bytes publicValues)` in the domain (name "EnsembleAttestation", version
/// "1", `chain_id`, `verifier`). A proof is as many 65-byte signatures (r, s, v) as the contract's threshold says,
/// in ascending order of the signers' addresses.
#[must_use]
pub fn attestation_digest(
    chain_id: u64,
    verifier: Address,
    program_key: ProgramKey,
    public_values: &PublicValues,
) -> B256 {
    let word = |value: u64| B256::from(U256::from(value));
    let domain = keccak256(
        [
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
            keccak256("EnsembleAttestation"),
            keccak256("1"),
            word(chain_id),
            verifier.into_word(),
        ]
        .concat(),
    );
    let message = keccak256(
        [
            keccak256("BatchAttestation(bytes32 programKey,bytes publicValues)"),
            program_key.0,
            keccak256(public_values.abi_encode()),
        ]
        .concat(),
    );
    keccak256([b"\x19\x01".as_slice(), domain.as_slice(), message.as_slice()].concat())
}
