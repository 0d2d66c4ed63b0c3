//! The `exec` backend: re-executes a batch natively and signs what came out.

use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
use ensemble_messages::ProverType;
use ensemble_program::ProgramError;

use crate::attestation::{self, AttestationDomain, AttestationKey};
use crate::backend::{BackendError, BackendProof, Cancel, ProverBackend};

/// Runs [`ensemble_program::execute`] and signs the public values with an attestation key (EIP-712). No validity
/// proof: it says that the holder of the key re-executed the batch.
#[derive(Debug)]
pub struct ExecBackend {
    key: AttestationKey,
    domain: AttestationDomain,
}

impl ExecBackend {
    /// A backend that attests for one verifier contract.
    #[must_use]
    pub fn new(key: AttestationKey, domain: AttestationDomain) -> Self {
        Self { key, domain }
    }

    /// Address that the verifier contract must know.
    #[must_use]
    pub fn attester(&self) -> alloy_primitives::Address {
        self.key.address()
    }

    fn attest(&self, program_key: ProgramKey, public_values: PublicValues) -> BackendProof {
        let signature = attestation::sign(&self.key, &self.domain, program_key, &public_values);
        BackendProof { public_values, program_key, proof: signature.to_vec().into() }
    }
}

impl ProverBackend for ExecBackend {
    fn prover_type(&self) -> ProverType {
        ProverType::Exec
    }

    /// Looks at `cancel` between two blocks.
    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        let output = ensemble_program::execute_unless(input, &|| cancel.is_cancelled()).map_err(|error| {
            if matches!(error, ProgramError::Stopped) {
                BackendError::Cancelled
            } else {
                BackendError::Refused(error.to_string())
            }
        })?;
        Ok(self.attest(output.program_key, output.public_values))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use alloy_primitives::{Address, B256, Bytes};
    use ensemble_batch::BatchHeader;

    use super::*;

    fn backend() -> ExecBackend {
        let key = AttestationKey::from_bytes(&[7; 32]).unwrap();
        let domain = AttestationDomain { l1_chain_id: 1, verifying_contract: Address::repeat_byte(9) };
        ExecBackend::new(key, domain)
    }

    fn input() -> BatchInput {
        BatchInput {
            parent: BatchHeader::genesis(1, Address::ZERO, 2, B256::ZERO, B256::ZERO),
            parent_block: 0,
            sealed_at: 1,
            da_payload: Bytes::from_static(b"not a batch"),
            blobs: vec![],
            witnesses: vec![],
            in_call_data: false,
            chain_config: Bytes::from_static(b"{}"),
        }
    }

    /// SEQ-INV-7
    #[test]
    fn an_attestation_is_one_of_the_attester() {
        let backend = backend();
        let key = ProgramKey(B256::repeat_byte(3));
        let values = PublicValues { from: B256::repeat_byte(1), to: B256::repeat_byte(2) };
        let made = backend.attest(key, values);
        assert_eq!((made.public_values, made.program_key), (values, key));
        let recovered = attestation::recover(&backend.domain, key, &values, &made.proof);
        assert_eq!(recovered, Ok(backend.attester()));
    }

    #[test]
    fn signs_nothing_that_the_program_refuses() {
        match backend().prove(&input(), &Cancel::default()) {
            Err(BackendError::Refused(why)) => assert!(!why.is_empty()),
            other => panic!("{other:?}"),
        }
    }

    /// SEQ-INV-12
    #[test]
    fn debug_does_not_show_the_key() {
        let shown = format!("{:?}", backend());
        assert!(!shown.contains("0707"), "{shown}");
    }
}
