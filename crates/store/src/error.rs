//! Errors of the store.

use ensemble_error::{Classify, Severity};

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite answered with an error.
    #[error("store: {0}")]
    Database(#[from] sqlx::Error),
    /// The file has a schema that this version cannot read.
    #[error("store: the schema cannot be brought up to date ({0}); was the file written by a newer version?")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A value in the file cannot be read.
    #[error(
        "store: {table}.{column} of row {row} cannot be read: {reason}; the file is damaged: restore a backup"
    )]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Key of the row.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A number does not fit into SQLite's signed 64 bits.
    #[error("store: {0} does not fit into a signed 64-bit integer")]
    OutOfRange(u64),
    /// The file belongs to another chain.
    #[error(
        "store: the file belongs to another chain: {what} is {stored} there, {wanted} here; use another store file or correct the configuration"
    )]
    WrongChain {
        /// Which part of the identity differs.
        what: &'static str,
        /// Value in the file.
        stored: String,
        /// Value of the configuration or of the chain.
        wanted: String,
    },
    /// Rows must follow each other without a gap.
    #[error("store: {what} {got} does not follow {expected_after}")]
    Gap {
        /// What kind of row.
        what: &'static str,
        /// The number that was to be written.
        got: u64,
        /// The number it should come right after.
        expected_after: u64,
    },
    /// A block includes a deposit that L1 has dropped.
    #[error(
        "store: block {block} includes deposit {deposit}, which L1 has dropped meanwhile; another block is built"
    )]
    DepositDropped {
        /// The block.
        block: u64,
        /// The deposit's id.
        deposit: u64,
    },
    /// Another row is there already.
    #[error("store: {what} {number} is there already and differs from what was to be written")]
    Conflict {
        /// What kind of row.
        what: &'static str,
        /// Its number.
        number: u64,
    },
}

impl Classify for StoreError {
    fn severity(&self) -> Severity {
        match self {
            Self::Database(error) => match error {
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
                    Severity::Transient
                }
                sqlx::Error::Database(db) => {
                    // SQLITE_BUSY 5, SQLITE_LOCKED 6, SQLITE_IOERR 10, SQLITE_FULL 13 (primary codes)
                    let code = db.code().and_then(|c| c.parse::<i32>().ok()).map_or(0, |c| c & 0xff);
                    if matches!(code, 5 | 6 | 10 | 13) { Severity::Transient } else { Severity::Fatal }
                }
                _ => Severity::Fatal,
            },
            Self::Migration(_) | Self::Corrupt { .. } | Self::OutOfRange(_) | Self::WrongChain { .. } => {
                Severity::Fatal
            }
            Self::DepositDropped { .. } => Severity::Recoverable,
            Self::Gap { .. } | Self::Conflict { .. } => Severity::NeedsReset,
        }
    }
}
