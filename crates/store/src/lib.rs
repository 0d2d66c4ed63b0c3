//! Durable state of the sequencer: SQLite in one file, through `sqlx`.
//!
//! Whatever a component must still know after a crash is here, written before the side effect that depends on
//! it. Each method is one transaction. The tables are plain enough to be read with the `sqlite3` shell: hashes
//! and addresses are hex text, amounts decimal wei; only payloads, witnesses and proofs are binary.

mod batches;
mod blocks;
mod deposits;
mod error;
mod fail_point;
mod intents;
mod proofs;
mod store;

pub use batches::{BatchRecord, BatchStatus};
pub use blocks::{BlockExtras, BlockRow};
pub use deposits::{Cursor, Unwound};
pub use error::StoreError;
#[cfg(feature = "fault-injection")]
pub use fail_point::FAIL_POINTS;
pub use intents::{
    IntentRecord, IntentState, OpenTransactions, PastTransaction, SIGNED_NONCES_KEPT, SignedTransaction,
};
pub use proofs::{LeaseRecord, Setback, StoredProof};
pub use store::{ChainIdentity, Store, StoreLock};

#[cfg(test)]
mod tests;
