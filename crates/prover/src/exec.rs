//! The `exec` backend: re-executes a batch natively and signs what came out.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
use ensemble_messages::{BatchProof, ProverType};
use ensemble_program::ProgramError;

use crate::attestation::{self, AttestationDomain, AttestationKey};
use crate::backend::{BackendError, BackendProof, Cancel, ProverBackend, join_values};

/// Runs [`ensemble_program::execute`] and signs the public values with an attestation key (EIP-712). No validity
/// proof: it says that the holder of the key re-executed the batch.
#[derive(Debug)]
pub struct ExecBackend {
    key: AttestationKey,
    domain: AttestationDomain,
    peers: BTreeSet<Address>,
}

impl ExecBackend {
    /// A backend that attests for one verifier contract.
    #[must_use]
    pub fn new(key: AttestationKey, domain: AttestationDomain) -> Self {
        Self { key, domain, peers: BTreeSet::new() }
    }

    /// Believes these attesters, too, when it attests to a range of batches ([`ProverBackend::join`]). Without them it
    /// attests to nothing but what it has executed itself.
    #[must_use]
    pub fn with_peers(mut self, peers: impl IntoIterator<Item = Address>) -> Self {
        self.peers.extend(peers);
        self
    }

    /// Address that the verifier contract must know.
    #[must_use]
    pub fn attester(&self) -> Address {
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

    fn join(&self, proofs: &[BatchProof]) -> Result<BackendProof, BackendError> {
        let (program_key, joined) = join_values(self.prover_type(), proofs)?;
        for BatchProof { batch_number, public_values, proof, .. } in proofs {
            let refused = |why| BackendError::Refused(format!("the proof of batch {batch_number}: {why}"));
            let signer = attestation::recover(&self.domain, program_key, public_values, proof)
                .map_err(|error| refused(error.to_string()))?;
            if signer != self.attester() && !self.peers.contains(&signer) {
                return Err(refused(format!(
                    "{signer} attests to it, whom this prover does not know (prover_client.peer_attesters)"
                )));
            }
        }
        Ok(self.attest(program_key, joined))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use alloy_primitives::{B256, Bytes};
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

    fn key(byte: u8) -> ProgramKey {
        ProgramKey(B256::repeat_byte(byte))
    }

    /// Proof of the batch that leads from header `number - 1` to `number`.
    fn attested(by: &ExecBackend, program_key: ProgramKey, number: u8) -> BatchProof {
        let values = PublicValues { from: B256::repeat_byte(number - 1), to: B256::repeat_byte(number) };
        let BackendProof { public_values, program_key, proof } = by.attest(program_key, values);
        BatchProof {
            prover_type: ProverType::Exec,
            batch_number: number.into(),
            public_values,
            program_key,
            proof,
        }
    }

    /// SEQ-INV-7: a range is attested to when each of its batches is, by this prover or one that it was told to believe.
    #[test]
    fn a_range_is_attested_to_like_its_batches() {
        let (ours, other) =
            (backend(), ExecBackend::new(AttestationKey::from_bytes(&[8; 32]).unwrap(), backend().domain));
        let proofs: Vec<BatchProof> = (3..=6).map(|number| attested(&ours, key(1), number)).collect();
        let joined = ours.join(&proofs).unwrap();
        let values = PublicValues { from: B256::repeat_byte(2), to: B256::repeat_byte(6) };
        assert_eq!((joined.program_key, joined.public_values), (key(1), values));
        assert_eq!(attestation::recover(&ours.domain, key(1), &values, &joined.proof), Ok(ours.attester()));

        let refused = |by: &ExecBackend, proofs: &[BatchProof], why: &str| match by.join(proofs) {
            Err(BackendError::Refused(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{why}: {other:?}"),
        };
        let with = |place: usize, proof: BatchProof| {
            let mut proofs = proofs.clone();
            proofs[place] = proof;
            proofs
        };
        refused(&ours, &[], "there are none");
        refused(&ours, &with(1, attested(&ours, key(1), 5)), "does not begin where");
        refused(&ours, &with(1, attested(&ours, key(2), 4)), "several programs");
        refused(
            &ours,
            &with(1, BatchProof { prover_type: ProverType::Sp1, ..proofs[1].clone() }),
            "another kind",
        );
        refused(&ours, &with(2, attested(&other, key(1), 5)), "batch 5");
        refused(
            &ours,
            &with(2, BatchProof { proof: Bytes::from_static(&[1; 64]), ..proofs[2].clone() }),
            "batch 5",
        );
        let moved = BatchProof { public_values: proofs[2].public_values, ..attested(&ours, key(1), 6) };
        refused(&ours, &with(2, moved), "batch 6");
        let believing = other.with_peers([ours.attester()]);
        assert_eq!(believing.join(&proofs).unwrap().public_values, values);
        assert_eq!(believing.join(&with(2, attested(&believing, key(1), 5))).unwrap().public_values, values);
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
