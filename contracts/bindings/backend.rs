//! Proof backends as the proposer knows them.

use std::num::NonZeroU64;

use alloy_primitives::{Address, B256, U256, address, keccak256};
use ensemble_batch::{ProgramKey, PublicValues};
use serde::{Deserialize, Serialize};

/// The verifier address that means "this backend is skipped". The proposer takes it in dev mode only.
pub const SKIPPED_VERIFIER: Address = address!("00000000000000000000000000000000000000AA");

/// One proof backend as an L2 starts with it: for all its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// Contract that checks the proofs, or [`SKIPPED_VERIFIER`].
    pub verifier: Address,
    /// Whether no batch is verified without this backend's proof.
    pub required: bool,
    /// The program that must have been proven, as the verifier means it.
    pub program_key: B256,
}

/// The batches that a backend proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchRange {
    /// Number of the first one, below 2^40. 0 and 1 mean from the beginning.
    pub first: u64,
    /// Number of the last one, below 2^40; none for no end.
    pub last: Option<NonZeroU64>,
}

impl BatchRange {
    /// All batches.
    pub const ALL: Self = Self { first: 0, last: None };

    /// Whether batch `number` is one of them.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.first <= number && self.last.is_none_or(|last| number <= last.get())
    }
}

/// One proof backend of the proposer, `struct Backend` of `Types.sol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScheduledBackend {
    /// Contract that checks the proofs, or [`SKIPPED_VERIFIER`].
    pub verifier: Address,
    /// Whether no batch of `batches` is verified without this backend's proof.
    pub required: bool,
    /// The batches that it proves.
    pub batches: BatchRange,
    /// The program that must have been proven, as the verifier means it.
    pub program_key: B256,
}

impl ScheduledBackend {
    /// Whether a proof by this backend counts for batch `number`.
    #[must_use]
    pub fn proves(&self, number: u64) -> bool {
        self.verifier != SKIPPED_VERIFIER && self.batches.contains(number)
    }
}

impl From<Backend> for ScheduledBackend {
    fn from(Backend { verifier, required, program_key }: Backend) -> Self {
        Self { verifier, required, batches: BatchRange::ALL, program_key }
    }
}

/// The last batch that one verification may reach which begins at batch `first`: the proposer refuses a range in which
/// a backend begins or ends (`RangeCrossesBoundary`). None where nothing ends.
#[must_use]
pub fn last_verifiable_together(backends: &[ScheduledBackend], first: u64) -> Option<u64> {
    backends
        .iter()
        .filter(|backend| backend.verifier != SKIPPED_VERIFIER)
        .filter_map(|ScheduledBackend { batches, .. }| {
            if first < batches.first {
                Some(batches.first - 1)
            } else {
                batches.last.map(NonZeroU64::get).filter(|last| first <= *last)
            }
        })
        .min()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backends() -> impl Strategy<Value = Vec<ScheduledBackend>> {
        let backend = (0u8..4, 0u64..12, 0u64..12).prop_map(|(kind, first, last)| ScheduledBackend {
            verifier: if kind == 0 { SKIPPED_VERIFIER } else { Address::repeat_byte(kind) },
            required: false,
            batches: BatchRange { first, last: NonZeroU64::new(last).filter(|last| last.get() >= first) },
            program_key: B256::ZERO,
        });
        proptest::collection::vec(backend, 0..5)
    }

    proptest! {
        /// SEQ-INV-7: up to the boundary the same backends prove every batch, and not the one after it.
        #[test]
        fn boundaries(list in backends(), first in 1u64..14) {
            let at = |number: u64| -> Vec<bool> { list.iter().map(|b| b.proves(number)).collect() };
            let end = last_verifiable_together(&list, first);
            for number in first..=end.unwrap_or(30) {
                prop_assert_eq!(at(number), at(first));
            }
            if let Some(end) = end {
                prop_assert!(end >= first);
                prop_assert_ne!(at(end + 1), at(first));
            }
        }
    }
}
