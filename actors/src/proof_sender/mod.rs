//! ProofSender: has batches verified on L1 once they are committed and all their proofs are there.
//!
//! Several batches that wait go together where provers make one proof of theirs ([`RangeLimits`]); when that takes too
//! long, or L1 refuses it, they go one by one.
//!
//! It keeps nothing: the contract's `lastVerifiedBatch` and the store say where it stands. A verification that a reorg
//! took away is sent again, with the proofs of the store.

mod actor;
mod config;
mod ranges;
#[cfg(test)]
mod tests;
mod worker;

pub use actor::ProofSender;
pub use config::{ProofSenderConfig, ProofVerifier};
pub use ranges::RangeLimits;
pub use worker::ProofSenderOutlets;
