//! ProverServer and ProverSession: the TCP side of proving.
//!
//! The server accepts connections and bounds them; each becomes a [`ProverSession`] actor of its own, which speaks
//! the wire protocol of [`ensemble_prover::protocol`] and passes typed messages on. Where they go is the
//! SystemActor's decision ([`RouteSession`]): it hands a session the ProofManager's handle.

mod config;
mod route;
mod server;
mod session;
mod table;
#[cfg(test)]
mod tests;

pub use config::ProverServerConfig;
pub use route::{PROOF_MANAGER, Route, RouteSession};
pub use server::ProverServer;
pub use session::ProverSession;
