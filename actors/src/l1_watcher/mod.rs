//! L1Watcher: reads `DepositInitiated` events of the bridge into the ledger of the store.
//!
//! The cursor is a block number **and** its hash; it moves only in the transaction that writes the deposits of
//! the range that was read, so a failed read costs time and never a deposit.

mod actor;
mod config;
mod range;
#[cfg(test)]
mod tests;
mod worker;

pub use actor::L1Watcher;
pub use config::{Confirmations, L1WatcherConfig};
pub use worker::L1WatcherOutlets;
