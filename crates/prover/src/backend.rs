//! What makes proofs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use alloy_primitives::Bytes;
use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
use ensemble_error::{Classify, Severity};
use ensemble_messages::{BatchProof, FailureKind, ProverType};

/// Makes proofs of one kind. Called on a thread of its own, so it may block for as long as a proof takes.
pub trait ProverBackend: Send + Sync {
    /// Kind of proof it makes.
    fn prover_type(&self) -> ProverType;

    /// Proves one batch.
    ///
    /// # Errors
    /// [`BackendError`] when the input cannot be proven, the backend is out of order, or it was cancelled. A panic is
    /// caught by the client and treated as [`BackendError::Failed`].
    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError>;

    /// Makes one proof of several, over consecutive batches in their order. Backends need not be able to.
    ///
    /// # Errors
    /// [`BackendError::Refused`] when they do not belong together, one of them is not believed, or this backend makes
    /// no such proofs.
    fn join(&self, proofs: &[BatchProof]) -> Result<BackendProof, BackendError> {
        let why = format!("this {} backend makes no proof of {} proofs", self.prover_type(), proofs.len());
        Err(BackendError::Refused(why))
    }
}

/// Says that nobody wants a proof any more, as another prover was faster or the client stops. A backend looks at it now
/// and then and gives up with [`BackendError::Cancelled`]; one that does not costs its machine time, nothing else.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Cancels the proof. For ever: each proof has a `Cancel` of its own.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the proof is in vain.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What proofs of consecutive batches prove together, and of which program they are.
///
/// # Errors
/// [`BackendError::Refused`] when they are not all of this kind, of one program, and each begins where the one before
/// it ends.
pub fn join_values(
    kind: ProverType,
    proofs: &[BatchProof],
) -> Result<(ProgramKey, PublicValues), BackendError> {
    let refused = |why: &str| BackendError::Refused(format!("the proofs do not belong together: {why}"));
    let program_key = proofs.first().ok_or_else(|| refused("there are none"))?.program_key;
    if proofs.iter().any(|proof| proof.prover_type != kind) {
        return Err(refused("they are of another kind"));
    }
    if proofs.iter().any(|proof| proof.program_key != program_key) {
        return Err(refused("they are of several programs"));
    }
    let values: Vec<PublicValues> = proofs.iter().map(|proof| proof.public_values).collect();
    let joined =
        PublicValues::join(&values).ok_or_else(|| refused("one does not begin where another ends"))?;
    Ok((program_key, joined))
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
    /// The proof is not wanted any more.
    #[error("cancelled")]
    Cancelled,
}

impl BackendError {
    /// What the sequencer is told.
    #[must_use]
    pub fn told(&self) -> (FailureKind, &str) {
        match self {
            Self::Refused(why) => (FailureKind::Refused, why),
            Self::Failed(why) => (FailureKind::Failed, why),
            Self::Cancelled => (FailureKind::Failed, "cancelled"),
        }
    }
}

impl Classify for BackendError {
    fn severity(&self) -> Severity {
        match self {
            Self::Refused(_) => Severity::Recoverable,
            Self::Failed(_) | Self::Cancelled => Severity::Transient,
        }
    }
}
