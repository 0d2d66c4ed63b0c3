//! Checks of proofs, one per kind.

use std::{collections::BTreeSet, fmt::Debug};

use alloy_primitives::Address;
use ensemble_batch::ProgramKey;
use ensemble_messages::{BatchProof, ProverType};
use ensemble_prover::attestation::{self, AttestationDomain};

/// Checks the proofs of one kind. CPU work; it is called on the blocking pool.
pub trait ProofCheck: Send + Sync + Debug + 'static {
    /// The kind.
    fn prover_type(&self) -> ProverType;

    /// The program whose proofs are wanted.
    fn program_key(&self) -> ProgramKey;

    /// Checks the proof itself. Public values and program key were compared before.
    ///
    /// # Errors
    /// Why the proof does not verify.
    fn check(&self, proof: &BatchProof) -> Result<(), String>;
}

/// Checks `exec` proofs: the signature must be one of the attesters registered with the AttestationVerifier.
#[derive(Clone, Debug)]
pub struct AttestationCheck {
    /// EIP-712 domain of the verifier contract.
    pub domain: AttestationDomain,
    /// Registered attesters.
    pub attesters: BTreeSet<Address>,
    /// The program they attest to.
    pub program_key: ProgramKey,
}

impl ProofCheck for AttestationCheck {
    fn prover_type(&self) -> ProverType {
        ProverType::Exec
    }

    fn program_key(&self) -> ProgramKey {
        self.program_key
    }

    fn check(&self, proof: &BatchProof) -> Result<(), String> {
        let signer =
            attestation::recover(&self.domain, proof.program_key, &proof.public_values, &proof.proof)
                .map_err(|e| e.to_string())?;
        if self.attesters.contains(&signer) {
            Ok(())
        } else {
            Err(format!("{signer} is not a registered attester"))
        }
    }
}
