//! Keys and proofs by SP1's own prover.

use alloy_primitives::B256;
use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
use sp1_sdk::{
    CpuProver, Elf, HashableKey, LightProver, ProveRequest, Prover, ProvingKey, SP1ProofMode,
    SP1ProofWithPublicValues, SP1Stdin,
};

use crate::error::Sp1Error;
use crate::execute::pack;
use crate::guest::Guest;

/// Kind of a proof: the later ones are made of the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// A STARK for each shard of the execution.
    Core,
    /// One STARK of them all.
    Compressed,
    /// What L1 takes. SP1 makes it in a container, or with its native prover.
    Groth16,
}

impl From<Mode> for SP1ProofMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Core => Self::Core,
            Mode::Compressed => Self::Compressed,
            Mode::Groth16 => Self::Groth16,
        }
    }
}

/// A proof that SP1's verifier has taken.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Hash of the guest's verifying key: the program key on L1.
    pub program_key: ProgramKey,
    /// What the guest committed to.
    pub values: PublicValues,
    /// The proof in SP1's form.
    pub proof: SP1ProofWithPublicValues,
}

impl Proof {
    /// The bytes that L1 takes; none of a proof in another mode than [`Mode::Groth16`].
    #[must_use]
    pub fn for_l1(&self) -> Option<Vec<u8>> {
        match self.proof.proof {
            sp1_sdk::SP1Proof::Groth16(_) => Some(self.proof.bytes()),
            _ => None,
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Sp1Error {
    Sp1Error::Prover(format!("{error:#}"))
}

impl Guest {
    /// Hash of the guest's verifying key, which is `deployer.sp1_program_key`. Takes seconds.
    ///
    /// # Errors
    /// [`Sp1Error::Prover`].
    pub async fn program_key(&self) -> Result<ProgramKey, Sp1Error> {
        let key = LightProver::new().await.setup(Elf::from(self.elf())).await.map_err(failed)?;
        Ok(ProgramKey(B256::from(key.verifying_key().bytes32_raw())))
    }

    /// Proves a batch on this machine's processors, and has SP1's verifier look at the proof.
    ///
    /// # Errors
    /// Those of [`Guest::execute`], which comes first; [`Sp1Error::Prover`].
    pub async fn prove(&self, input: &BatchInput, mode: Mode) -> Result<Proof, Sp1Error> {
        let packed = pack(input)?;
        let values = self.execute_bytes(&packed)?.values;
        let mut stdin = SP1Stdin::new();
        stdin.write_slice(&packed);
        let prover = CpuProver::new().await;
        let key = prover.setup(Elf::from(self.elf())).await.map_err(failed)?;
        let proof = prover.prove(&key, stdin).mode(mode.into()).await.map_err(failed)?;
        prover.verify(&proof, key.verifying_key(), None).map_err(failed)?;
        let committed = proof.public_values.as_slice();
        if committed != [values.from.0, values.to.0].as_flattened() {
            return Err(Sp1Error::Values(committed.len()));
        }
        let program_key = ProgramKey(B256::from(key.verifying_key().bytes32_raw()));
        Ok(Proof { program_key, values, proof })
    }
}
