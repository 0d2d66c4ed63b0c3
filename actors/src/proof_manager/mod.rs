//! ProofManager: hands batches to provers and takes their proofs.
//!
//! Every batch needs the proofs that the contract's policy asks for. A batch is leased to one prover at a time; a lease that runs
//! out gives it to the next, and so does a prover that says it failed, within a retry budget: a batch that uses it up
//! is degraded, which the operator is told, and never stands in the way of others. A proof is checked against the batch's public values and stored before it is
//! acknowledged (SEQ-INV-6); a prover that hands in bad proofs is put in quarantine.
//!
//! When the ProofSender wants batches verified together, the next prover that asks is given their proofs, to make one of
//! them; such a proof is checked like any other. A prover that cannot ends that, and the batches go one by one.

mod actor;
mod assignment;
mod check;
mod config;
mod goal;
mod policy;
mod retry;
#[cfg(test)]
mod tests;
mod work;

pub use actor::{ProofManager, ProofManagerOutlets};
#[cfg(feature = "risc0")]
pub use check::Risc0Check;
pub use check::{AttestationCheck, OnChainCheck, ProofCheck};
pub use config::ProofManagerConfig;
pub use policy::{ProofPolicy, ProofSlot};
pub use retry::RetryPolicy;
