//! The `risc0` backend for development: runs the guest in RISC Zero's executor and hands in a development receipt.
//!
//! STARKs are made by `provers/risc0`, a program of its own: RISC Zero's prover needs a C++ compiler and an hour to build.

use std::sync::{Mutex, PoisonError};

use ensemble_batch::{BatchInput, ProgramKey};
use ensemble_messages::ProverType;
use ensemble_risc0::{Execution, Guest, Limits, Receipt, Risc0Error};

use crate::backend::{BackendError, BackendProof, Cancel, ProverBackend};

impl From<Risc0Error> for BackendError {
    fn from(error: Risc0Error) -> Self {
        match error {
            Risc0Error::Refused(why) => Self::Refused(why),
            Risc0Error::Stopped => Self::Cancelled,
            other @ (Risc0Error::Guest(_)
            | Risc0Error::Cycles(_)
            | Risc0Error::Executor(_)
            | Risc0Error::Journal(_)) => Self::Failed(other.to_string()),
        }
    }
}

/// The guest of the chain that was last asked for: making one takes a second.
#[derive(Debug, Default)]
pub struct Guests(Mutex<Option<Guest>>);

impl Guests {
    /// The guest for the input's chain.
    ///
    /// # Errors
    /// [`BackendError::Refused`] when the chain configuration is no text, [`BackendError::Failed`] when the committed guest is
    /// damaged.
    pub fn of(&self, input: &BatchInput) -> Result<Guest, BackendError> {
        let config = std::str::from_utf8(&input.chain_config)
            .map_err(|e| BackendError::Refused(format!("chain configuration: {e}")))?;
        let program = ProgramKey::exec(config);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = known.as_ref().filter(|guest| guest.program() == program) {
            return Ok(guest.clone());
        }
        let guest = Guest::new(program)?;
        *known = Some(guest.clone());
        Ok(guest)
    }
}

/// Runs the guest and makes development receipts, which prove nothing: for sequencers and contracts that were told to
/// believe them.
#[derive(Debug, Default)]
pub struct Risc0Backend {
    guests: Guests,
}

impl Risc0Backend {
    /// A backend for development.
    #[must_use]
    pub fn development() -> Self {
        Self::default()
    }

    /// [`prove`](ProverBackend::prove), and what the run took.
    ///
    /// # Errors
    /// As there.
    pub fn prove_and_count(
        &self,
        input: &BatchInput,
        cancel: &Cancel,
    ) -> Result<(BackendProof, Execution), BackendError> {
        let guest = self.guests.of(input)?;
        let run = guest.execute(input, Limits::default(), &|| cancel.is_cancelled())?;
        let proof = Receipt::development(guest.image_id(), &run.values)
            .to_bytes()
            .map_err(|e| BackendError::Failed(e.to_string()))?;
        let proof =
            BackendProof { public_values: run.values, program_key: guest.image_id(), proof: proof.into() };
        Ok((proof, run))
    }
}

impl ProverBackend for Risc0Backend {
    fn prover_type(&self) -> ProverType {
        ProverType::Risc0
    }

    /// Looks at `cancel` after each segment, of about a million cycles.
    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        let (proof, run) = self.prove_and_count(input, cancel)?;
        tracing::info!(
            batch = input.parent.number.saturating_add(1),
            user_cycles = run.user_cycles,
            total_cycles = run.total_cycles,
            segments = run.segments,
            "guest executed"
        );
        Ok(proof)
    }
}
