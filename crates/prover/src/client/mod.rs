//! The prover's side: asks a sequencer for batches, proves them, hands the proofs in.
//!
//! Decisions are in a state machine without I/O (`machine.rs`); this module's [`ProverClient`] gives it a TCP
//! connection, a clock and a thread to prove on.

mod config;
mod error;
mod event;
mod machine;
mod run;
#[cfg(test)]
mod tests;

pub use config::ProverClientConfig;
pub use error::ProverError;
pub use event::{ClientEvent, ClientReport};
pub use run::ProverClient;
