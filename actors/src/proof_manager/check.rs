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

    /// The contract on L1 that has the last word on a proof which passed [`Self::check`]; it is asked by `eth_call`.
    fn verifier(&self) -> Option<Address> {
        None
    }
}

/// Checks the proofs of a zkVM by the contract on L1 that will verify them: what it takes in an `eth_call`, it takes in
/// the verification.
#[derive(Clone, Debug)]
pub struct OnChainCheck {
    /// The kind.
    pub prover_type: ProverType,
    /// `IProofVerifier` of the proposer's backend.
    pub verifier: Address,
    /// The program whose proofs are wanted: verification key or image id.
    pub program_key: ProgramKey,
}

impl ProofCheck for OnChainCheck {
    fn prover_type(&self) -> ProverType {
        self.prover_type
    }

    fn program_key(&self) -> ProgramKey {
        self.program_key
    }

    /// An empty proof means "not given" in `verifyBatches`.
    fn check(&self, proof: &BatchProof) -> Result<(), String> {
        match proof.proof.len() {
            0 => Err("the proof is empty".to_owned()),
            1..=MAX_PROOF_BYTES => Ok(()),
            bytes => Err(format!("the proof has {bytes} bytes, at most {MAX_PROOF_BYTES} are taken")),
        }
    }

    fn verifier(&self) -> Option<Address> {
        Some(self.verifier)
    }
}

/// Longest proof that is sent to L1. Groth16 and Plonk proofs have less than 1,000 bytes.
const MAX_PROOF_BYTES: usize = 16 << 10;

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
