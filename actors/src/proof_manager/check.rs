//! Checks of proofs, one per kind.

use std::{collections::BTreeSet, fmt::Debug};

use alloy_primitives::{Address, Bytes};
use ensemble_batch::ProgramKey;
use ensemble_messages::{BatchProof, ProverType};
use ensemble_prover::attestation::{self, AttestationDomain};

/// Checks the proofs of one kind. CPU work; it is called on the blocking pool.
pub trait ProofCheck: Send + Sync + Debug + 'static {
    /// The kind.
    fn prover_type(&self) -> ProverType;

    /// The program whose proofs are wanted.
    fn program_key(&self) -> ProgramKey;

    /// Checks the proof itself, and gives what of it is kept and sent to L1. Public values and program key were compared
    /// before.
    ///
    /// # Errors
    /// Why the proof does not verify.
    fn check(&self, proof: &BatchProof) -> Result<Bytes, String>;

    /// The contract on L1 that has the last word on what [`Self::check`] gave; it is asked by `eth_call`.
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
    fn check(&self, proof: &BatchProof) -> Result<Bytes, String> {
        match proof.proof.len() {
            0 => Err("the proof is empty".to_owned()),
            1..=MAX_PROOF_BYTES => Ok(proof.proof.clone()),
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

    fn check(&self, proof: &BatchProof) -> Result<Bytes, String> {
        let signer =
            attestation::recover(&self.domain, proof.program_key, &proof.public_values, &proof.proof)
                .map_err(|e| e.to_string())?;
        if self.attesters.contains(&signer) {
            Ok(proof.proof.clone())
        } else {
            Err(format!("{signer} is not a registered attester"))
        }
    }
}

/// Checks receipts of RISC Zero by its own verifier, then what L1 gets of them by the contract.
#[cfg(feature = "risc0")]
#[derive(Clone, Debug)]
pub struct Risc0Check {
    /// Takes what is not a receipt but a seal for L1, and says what it has to be.
    pub on_chain: OnChainCheck,
    /// What the verifier on L1 takes.
    pub seals: ensemble_risc0::Seals,
}

#[cfg(feature = "risc0")]
impl ProofCheck for Risc0Check {
    fn prover_type(&self) -> ProverType {
        ProverType::Risc0
    }

    fn program_key(&self) -> ProgramKey {
        self.on_chain.program_key
    }

    /// Receipts, or a seal of Groth16 as it is: that is for the contract to check.
    fn check(&self, proof: &BatchProof) -> Result<Bytes, String> {
        if proof.proof.len() == GROTH16_SEAL && self.seals == ensemble_risc0::Seals::Groth16 {
            return self.on_chain.check(proof);
        }
        ensemble_risc0::Receipt::from_bytes(&proof.proof)
            .and_then(|receipt| receipt.check(proof.program_key, &proof.public_values, self.seals))
            .map(Bytes::from)
            .map_err(|e| e.to_string())
    }

    fn verifier(&self) -> Option<Address> {
        self.on_chain.verifier()
    }
}

/// Bytes of a Groth16 seal with its selector.
#[cfg(feature = "risc0")]
const GROTH16_SEAL: usize = 260;

#[cfg(all(test, feature = "risc0"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::B256;
    use ensemble_batch::PublicValues;
    use ensemble_risc0::{Receipt, Seals};

    use super::*;

    const IMAGE: ProgramKey = ProgramKey(B256::repeat_byte(5));

    fn check(seals: Seals) -> Risc0Check {
        let verifier = Address::repeat_byte(1);
        let on_chain = OnChainCheck { prover_type: ProverType::Risc0, verifier, program_key: IMAGE };
        Risc0Check { on_chain, seals }
    }

    fn proof(proof: Vec<u8>) -> BatchProof {
        let public_values = PublicValues { from: B256::repeat_byte(2), to: B256::repeat_byte(3) };
        BatchProof {
            prover_type: ProverType::Risc0,
            batch_number: 1,
            public_values,
            program_key: IMAGE,
            proof: proof.into(),
        }
    }

    /// SEQ-INV-7: development receipts count where the sequencer was told so, and for their batch only.
    #[test]
    fn receipts_are_checked_and_become_seals() {
        let values = proof(Vec::new()).public_values;
        let receipt = proof(Receipt::development(IMAGE, &values).to_bytes().unwrap());
        let seal = check(Seals::Development).check(&receipt).unwrap();
        assert_eq!((seal.len(), &seal[..4]), (36, [0xff; 4].as_slice()));
        assert!(check(Seals::Groth16).check(&receipt).is_err());
        let mut other = receipt.clone();
        other.public_values.to = B256::ZERO;
        assert!(check(Seals::Development).check(&other).is_err());
        other = receipt;
        other.program_key = ProgramKey(B256::ZERO);
        assert!(check(Seals::Development).check(&other).is_err());
    }

    /// A seal is no receipt: what proves nothing can not be handed in as if it had been checked.
    #[test]
    fn seals_are_for_the_contract() {
        let groth16 = proof(vec![7; GROTH16_SEAL]);
        assert_eq!(check(Seals::Groth16).check(&groth16), Ok(groth16.proof.clone()));
        assert!(check(Seals::Development).check(&groth16).is_err());
        for seals in [Seals::Groth16, Seals::Development] {
            assert!(check(seals).check(&proof(vec![0xff; 36])).is_err());
            assert!(check(seals).check(&proof(Vec::new())).is_err());
        }
    }
}
