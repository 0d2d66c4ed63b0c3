//! L1Committer: puts sealed blocks into batches and asks L1Sender to commit them.
//!
//! A batch is in the store, with the bytes of its blobs, before anybody is asked to send it; from then on only
//! those bytes are ever sent for its number (SEQ-INV-4). What is committed is what L1 says is committed.

mod actor;
mod assembly;
mod config;
mod price;
#[cfg(test)]
mod tests;
mod worker;

pub use actor::L1Committer;
pub use config::{DataAvailability, L1CommitterConfig};
pub use worker::L1CommitterOutlets;
