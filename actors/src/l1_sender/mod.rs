//! L1Sender: the only component that signs L1 transactions.
//!
//! It owns the nonces of the committer's and of the prover's key, one [`ensemble_l1::TxManager`] each. An intent is
//! in the store before it is acknowledged, a signed transaction before it is broadcast; after a restart the same
//! bytes are sent again (SEQ-INV-5).

mod actor;
mod config;
#[cfg(test)]
mod tests;
mod worker;

pub use actor::L1Sender;
pub use config::{L1SenderConfig, SenderKey};
pub use worker::L1SenderOutlets;
