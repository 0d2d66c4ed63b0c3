//! Errors of the store.

use ensemble_error::{Classify, Severity};

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite answered with an error.
    #[error("store: {0}")]
    Database(sqlx::Error),
    /// There is no room for what was to be written. It was not written, and nothing else was lost.
    #[error("store: {reason}: there is no room for more; free some, it goes on by itself")]
    Full {
        /// What SQLite said.
        reason: String,
    },
    /// The file is held by somebody else for longer than we wait.
    #[error("store: {reason}: another program holds the file; end it")]
    Busy {
        /// What SQLite said.
        reason: String,
    },
    /// Another sequencer, or a repair, works with the file.
    #[error(
        "store: {path} is in use by another ensemble process; end it first, two must never share a store"
    )]
    InUse {
        /// The file.
        path: String,
    },
    /// The file may be read but not written.
    #[error(
        "store: {reason}: the file, its `-wal` or its folder cannot be written; correct their owner, permissions or mount"
    )]
    ReadOnly {
        /// What SQLite said.
        reason: String,
    },
    /// The file is no SQLite file, or a damaged one.
    #[error(
        "store: {reason}: the file is damaged; move it away (keep it), then restore a backup or, without one, run `ensemble repair`"
    )]
    Damaged {
        /// What SQLite said.
        reason: String,
    },
    /// The file cannot be opened.
    #[error(
        "store: {path} cannot be opened: {reason}; store.url must name a file, in a folder that this user may write"
    )]
    CannotOpen {
        /// The file.
        path: String,
        /// What the system or SQLite said.
        reason: String,
    },
    /// The file was written by a newer version.
    #[error(
        "store: the schema cannot be brought up to date: the file has version {version}, this program knows up to {known}; use the newer version"
    )]
    Newer {
        /// Version of the schema in the file.
        version: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// The schema cannot be brought up to date.
    #[error("store: the schema cannot be brought up to date: {0}")]
    Migration(sqlx::migrate::MigrateError),
    /// A value in the file cannot be read.
    #[error(
        "store: {table}.{column} of row {row} cannot be read: {reason}; the file is damaged: move it away (keep it), then restore a backup or, without one, run `ensemble repair`"
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

/// Primary result codes of SQLite (<https://www.sqlite.org/rescode.html>).
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
}

/// The primary result code of an error that SQLite itself gave.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let reason =
            || error.as_database_error().map_or_else(|| error.to_string(), |e| e.message().to_owned());
        match primary_code(&error) {
            Some(code::FULL) => Self::Full { reason: reason() },
            Some(code::BUSY | code::LOCKED) => Self::Busy { reason: reason() },
            Some(code::READONLY | code::PERM) => Self::ReadOnly { reason: reason() },
            Some(code::CORRUPT | code::NOTADB) => Self::Damaged { reason: reason() },
            // The driver panics at a schema that is not text.
            None if matches!(error, sqlx::Error::WorkerCrashed) => Self::Damaged { reason: reason() },
            Some(_) | None => Self::Database(error),
        }
    }
}

impl StoreError {
    /// What opening `path` failed with.
    pub(crate) fn opening(path: &std::path::Path, error: sqlx::Error) -> Self {
        let path = path.display().to_string();
        match (&error, primary_code(&error)) {
            (sqlx::Error::Io(reason), _) => Self::CannotOpen { path, reason: reason.to_string() },
            (_, Some(code::CANTOPEN)) => Self::CannotOpen { path, reason: error.to_string() },
            _ => error.into(),
        }
    }

    /// What bringing the schema up to `known` failed with.
    pub(crate) fn migrating(error: sqlx::migrate::MigrateError, known: i64) -> Self {
        use sqlx::migrate::MigrateError as E;
        match error {
            E::Execute(error) | E::ExecuteMigration(error, _) => error.into(),
            E::VersionMissing(version) if version > known => Self::Newer { version, known },
            other => Self::Migration(other),
        }
    }
}

impl Classify for StoreError {
    fn severity(&self) -> Severity {
        match self {
            Self::Database(error) => match error {
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => Severity::Transient,
                _ if primary_code(error) == Some(code::IOERR) => Severity::Transient,
                _ => Severity::Fatal,
            },
            Self::Full { .. } | Self::Busy { .. } => Severity::Transient,
            Self::ReadOnly { .. }
            | Self::Damaged { .. }
            | Self::CannotOpen { .. }
            | Self::InUse { .. }
            | Self::Newer { .. }
            | Self::Migration(_)
            | Self::Corrupt { .. }
            | Self::OutOfRange(_)
            | Self::WrongChain { .. } => Severity::Fatal,
            Self::DepositDropped { .. } => Severity::Recoverable,
            Self::Gap { .. } | Self::Conflict { .. } => Severity::NeedsReset,
        }
    }
}
