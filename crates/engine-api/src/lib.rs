//! Engine API client for any execution client that follows execution-apis.
//!
//! [`ExecutionClient`] is what the sequencer needs of an execution client; [`HttpExecutionClient`] speaks it over
//! JSON-RPC to ethrex, reth, geth and others. The JSON types are written here, not taken from a client, and the
//! method versions follow the fork of the payload and what the client says it offers. With the feature `mock`,
//! `MockEngine` is an execution client in memory for tests.

mod capabilities;
mod client;
mod error;
mod http_client;
mod json;
mod jwt;
#[cfg(any(test, feature = "mock"))]
pub mod mock;
mod raw_block;
mod types;

pub use capabilities::{Fork, ForkSchedule};
pub use client::ExecutionClient;
pub use error::EngineError;
pub use http_client::{EngineConfig, HttpExecutionClient};
pub use jwt::{JwtError, JwtSecret};
#[cfg(any(test, feature = "mock"))]
pub use mock::{MockEngine, MockMethod};
pub use types::{
    BlockId, BlockSummary, BuiltPayload, ClientLog, ClientReceipt, ForkchoiceState, ForkchoiceUpdated,
    PayloadAttributes, PayloadId, PayloadStatus,
};
