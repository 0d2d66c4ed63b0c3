//! Settings of the ProofSender.

use std::time::Duration;

use alloy_primitives::Address;
use ensemble_batch::ProgramKey;
use ensemble_messages::ProverType;

use super::RangeLimits;
use crate::ProofPolicy;

/// Settings of the ProofSender.
#[derive(Clone, Debug)]
pub struct ProofSenderConfig {
    /// The proofs that the contract wants; none in dev mode, where batches are verified without.
    pub policy: ProofPolicy,
    /// The contracts that check them. When a verification reverts they are asked which proof they refuse.
    pub verifiers: Vec<ProofVerifier>,
    /// Which batches are verified together.
    pub ranges: RangeLimits,
    /// How often L1 is looked at.
    pub poll: Duration,
}

/// A contract on L1 that checks proofs (`IProofVerifier`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofVerifier {
    /// Kind of the proofs.
    pub kind: ProverType,
    /// The contract.
    pub address: Address,
    /// The program whose proofs it takes.
    pub program_key: ProgramKey,
}
