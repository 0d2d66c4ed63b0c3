//! Settings of the ProofSender.

use std::time::Duration;

use crate::ProofPolicy;

/// Settings of the ProofSender.
#[derive(Clone, Debug)]
pub struct ProofSenderConfig {
    /// The proofs that the contract wants; none in dev mode, where batches are verified without.
    pub policy: ProofPolicy,
    /// How often L1 is looked at.
    pub poll: Duration,
}
