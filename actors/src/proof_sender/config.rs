//! Settings of the ProofSender.

use std::time::Duration;

use ensemble_messages::ProverType;

/// Settings of the ProofSender.
#[derive(Clone, Debug)]
pub struct ProofSenderConfig {
    /// Kinds of proof in the order in which the contract lists its verifiers; empty in dev mode, where batches are
    /// verified without proofs.
    pub proofs: Vec<ProverType>,
    /// How often L1 is looked at.
    pub poll: Duration,
}
