//! ProofSender: has a batch verified on L1 once it is committed and all its proofs are there.
//!
//! It keeps nothing: the contract's `lastVerifiedBatch` and the store say where it stands. A verification that a reorg
//! took away is sent again, with the proofs of the store.

mod actor;
mod config;
#[cfg(test)]
mod tests;
mod worker;

pub use actor::ProofSender;
pub use config::ProofSenderConfig;
pub use worker::ProofSenderOutlets;
