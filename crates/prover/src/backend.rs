//! What makes proofs.

use alloy_primitives::Bytes;
use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
use ensemble_error::{Classify, Severity};
use ensemble_messages::ProverType;

/// Makes proofs of one kind. Called on a thread of its own, so it may block for as long as a proof takes.
pub trait ProverBackend: Send + Sync {
    /// Kind of proof it makes.
    fn prover_type(&self) -> ProverType;

    /// Proves one batch.
    ///
    /// # Errors
    /// [`BackendError`] when the input cannot be proven or the backend is out of order. A panic is caught by the
    /// client and treated as [`BackendError::Failed`].
    fn prove(&self, input: &BatchInput) -> Result<BackendProof, BackendError>;
}

/// What a backend made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendProof {
    /// What is proven.
    pub public_values: PublicValues,
    /// Program that was run.
    pub program_key: ProgramKey,
    /// The proof, in the form the on-chain verifier of its kind takes; for `exec` 65 bytes `r || s || v`.
    pub proof: Bytes,
}

/// Why a backend made no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The program refused the input: the batch and its witness do not fit together. Another try with the same
    /// input gives the same.
    #[error("the program refused the input: {0}")]
    Refused(String),
    /// The backend itself failed (out of memory, missing prover binary); another try may help.
    #[error("the backend failed: {0}")]
    Failed(String),
}

impl Classify for BackendError {
    fn severity(&self) -> Severity {
        match self {
            Self::Refused(_) => Severity::Recoverable,
            Self::Failed(_) => Severity::Transient,
        }
    }
}
