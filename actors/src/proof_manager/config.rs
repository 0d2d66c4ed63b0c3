//! Settings of the ProofManager.

use std::{sync::Arc, time::Duration};

use super::{ProofCheck, ProofPolicy, RetryPolicy};

/// Settings of the ProofManager.
#[derive(Clone, Debug)]
pub struct ProofManagerConfig {
    /// One check per kind of proof that is asked for.
    pub checks: Vec<Arc<dyn ProofCheck>>,
    /// Which of them a batch needs.
    pub policy: ProofPolicy,
    /// How long a prover has for a batch without a heartbeat.
    pub lease: Duration,
    /// How long a prover without work waits before it asks again.
    pub idle_retry: Duration,
    /// Bad proofs after which a prover is in quarantine.
    pub max_bad_proofs: u32,
    /// How long the quarantine lasts.
    pub quarantine: Duration,
    /// Most batches that one proof is taken for. 1: only proofs of single batches.
    pub max_range: u64,
    /// How often and when a batch is tried again.
    pub retry: RetryPolicy,
    /// Bytes of compressed inputs that provers are fetching at which no further batch is handed out.
    pub max_inputs_bytes: usize,
    /// Largest input that is sent to a prover, in bytes before compression.
    pub max_input_bytes: usize,
}
