//! The L1 and L2 contracts for Rust callers: call data, answers, events, revert reasons and deployment.
//!
//! The bindings are generated from `contracts/artifacts` and stay inside this crate; what leaves it has the
//! types of `alloy-primitives` and `ensemble-batch`. Nothing here talks to a node: a caller sends the bytes of
//! [`calls`] with its own client and gives what comes back to [`returns`], [`events`] and [`errors`].

mod abi;
mod backend;
pub mod bytecode;
pub mod calls;
pub mod create2;
pub mod deploy;
mod error;
pub mod errors;
pub mod events;
mod keys;
pub mod returns;
pub mod verifiers;
mod words;

pub use backend::{
    Backend, BatchRange, SKIPPED_VERIFIER, ScheduledBackend, attestation_digest, last_verifiable_together,
};
pub use bytecode::l2_bridge_runtime;
pub use calls::L2_BRIDGE_ADDRESS;
pub use error::ContractError;
pub use verifiers::VerifierKind;
