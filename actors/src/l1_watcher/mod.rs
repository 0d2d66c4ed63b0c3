//! L1Watcher: reads `DepositInitiated` events of the bridge into the ledger of the store.
//!
//! The cursor is a block number **and** its hash; it moves only in the transaction that writes the deposits of
//! the range that was read, so a failed read costs time and never a deposit.
//!
//! A reorg takes the cursor back to the last block that stayed. Deposits above it leave the ledger, except those that
//! the L2 holds already: they stay without an L1 block until L1 has them again. Until then there are no new deposits,
//! and the component is degraded.

mod actor;
mod anchor;
mod config;
#[cfg(test)]
mod tests;
mod worker;

pub use actor::L1Watcher;
pub use config::{Confirmations, L1WatcherConfig};
pub use worker::L1WatcherOutlets;
