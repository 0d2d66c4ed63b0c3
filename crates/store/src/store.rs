//! Opening the store, its identity, and small helpers for columns.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Address, B256};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Connection, Row, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use crate::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// Most pages that SQLite lets a file have (<https://www.sqlite.org/limits.html>, item 14).
const MAX_PAGES: u32 = 4_294_967_294;
/// So long the end of what uses a connection is waited for when the store is closed.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
/// Size limit that stands for none.
const NO_LIMIT: u64 = u64::MAX;

/// The chain that a store file belongs to. Bound at the first start, compared at every later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainIdentity {
    /// L1 chain id.
    pub l1_chain_id: u64,
    /// L2 chain id.
    pub l2_chain_id: u64,
    /// Hash of the L2 genesis block.
    pub l2_genesis: B256,
    /// `OnChainProposer` proxy.
    pub proposer: Address,
    /// `CommonBridge` proxy.
    pub bridge: Address,
}

/// Handle of the store; clones share the connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: SqlitePool,
    /// Pages that the file may have; [`NO_LIMIT`] for as many as fit.
    max_pages: Arc<AtomicU64>,
}

/// Keeps other processes from working with a store file: the sequencer and a repair hold it, readers need not.
/// Dropping it lets go; so does the end of the process, however it comes.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Locks a store file, by a file beside it with `.lock` behind its name.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another one holds it, [`StoreError::CannotOpen`] when the lock cannot be made.
    pub fn acquire(path: &Path) -> Result<Self, StoreError> {
        let cannot = |error: std::io::Error| StoreError::opening(path, sqlx::Error::Io(error));
        make_folder(path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(PathBuf::from(name))
            .map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.display().to_string() }),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }
}

/// Bounds the pages that the file may have, for one connection.
async fn bound(connection: &mut SqliteConnection, pages: u64) -> Result<(), sqlx::Error> {
    if pages != NO_LIMIT {
        let pages = pages.min(u64::from(MAX_PAGES));
        let pragma = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(pragma).execute(connection).await?;
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            std::fs::create_dir_all(parent).map_err(|e| StoreError::opening(path, sqlx::Error::Io(e)))
        }
        Some(_) | None => Ok(()),
    }
}

impl Store {
    /// Opens the file, creating it and its folder when absent, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is damaged, or has a newer schema.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        make_folder(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a committed row survives a power cut, not only a kill.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        Self::connect(options, 4).await.map_err(|error| match error {
            StoreError::Database(error) => StoreError::opening(path, error),
            other => other,
        })
    }

    /// An empty store that is in memory and goes away with its last handle: to look at a chain that has no store.
    ///
    /// # Errors
    /// When SQLite fails.
    pub async fn in_memory() -> Result<Self, StoreError> {
        // Every connection would have a database of its own.
        Self::connect(SqliteConnectOptions::new().in_memory(true).foreign_keys(true), 1).await
    }

    async fn connect(options: SqliteConnectOptions, connections: u32) -> Result<Self, StoreError> {
        let max_pages = Arc::new(AtomicU64::new(NO_LIMIT));
        let (limit, at_first) = (Arc::clone(&max_pages), Arc::clone(&max_pages));
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(15))
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                let pages = at_first.load(Ordering::SeqCst);
                Box::pin(async move { bound(connection, pages).await })
            })
            .before_acquire(move |connection, _| {
                let pages = limit.load(Ordering::SeqCst);
                Box::pin(async move {
                    // When there is no room, SQLite rolls back by itself, and the driver's own rollback fails: it
                    // then believes in a transaction for ever. Such a connection is closed, another one is opened.
                    if connection.is_in_transaction() {
                        return Ok(false);
                    }
                    bound(connection, pages).await?;
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
        MIGRATIONS.run(&pool).await.map_err(|e| StoreError::migrating(e, known))?;
        Ok(Self { pool, max_pages })
    }

    /// Bounds the file to so many bytes (rounded up to pages, and never below its present size); `None` lifts the
    /// bound. What does not fit is [`StoreError::Full`], as on a full disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn set_size_limit(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        let (page,): (i64,) = sqlx::query_as("PRAGMA page_size").fetch_one(&self.pool).await?;
        let page = u64::try_from(page).unwrap_or(0).max(1);
        // Once set, the bound of a connection is only moved, never taken away.
        let pages = bytes.map_or(u64::from(MAX_PAGES), |bytes| bytes.div_ceil(page).max(1));
        self.max_pages.store(pages, Ordering::SeqCst);
        Ok(())
    }

    /// Version of the schema: that of the last migration.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn schema_version(&self) -> Result<i64, StoreError> {
        let (version,): (i64,) = sqlx::query_as("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations")
            .fetch_one(&self.pool)
            .await?;
        Ok(version)
    }

    /// Looks at the whole file for damage (`PRAGMA quick_check`). Takes as long as reading it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with the first finding.
    pub async fn check_file(&self) -> Result<(), StoreError> {
        let (found,): (String,) = sqlx::query_as("PRAGMA quick_check(1)").fetch_one(&self.pool).await?;
        if found == "ok" { Ok(()) } else { Err(StoreError::Damaged { reason: found }) }
    }

    /// Finishes what is under way, brings all of it from the `-wal` into the file itself, and closes it. After 10 s, as
    /// something holds a connection and does not come to an end, it is left to the end of the process, which loses nothing.
    pub async fn close(&self) {
        let closed = async {
            // The last connection does this when it is closed. But one that is dropped with the thread it was used on is
            // closed somewhat later, and so is that of another process.
            if !self.pool.is_closed()
                && let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.pool).await
            {
                tracing::warn!(%error, "the store's file is not complete without its -wal: keep both");
            }
            self.pool.close().await;
        };
        if tokio::time::timeout(CLOSE_DEADLINE, closed).await.is_err() {
            tracing::warn!("a connection to the store is still in use; its -wal stays and belongs to it");
        }
    }

    /// Binds the file to a chain, or checks that it is bound to this one.
    ///
    /// # Errors
    /// [`StoreError::WrongChain`] naming the first part that differs.
    pub async fn bind_identity(&self, identity: &ChainIdentity) -> Result<(), StoreError> {
        let parts = [
            ("the L1 chain id", identity.l1_chain_id.to_string()),
            ("the L2 chain id", identity.l2_chain_id.to_string()),
            ("the L2 genesis hash", hex(&identity.l2_genesis)),
            ("the OnChainProposer address", identity.proposer.to_string()),
            ("the CommonBridge address", identity.bridge.to_string()),
        ];
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for (what, wanted) in parts {
            let stored: Option<(String,)> = sqlx::query_as("SELECT value FROM meta WHERE key = ?")
                .bind(what)
                .fetch_optional(&mut *tx)
                .await?;
            match stored {
                Some((stored,)) if stored == wanted => {}
                Some((stored,)) => return Err(StoreError::WrongChain { what, stored, wanted }),
                None => {
                    sqlx::query("INSERT INTO meta (key, value) VALUES (?, ?)")
                        .bind(what)
                        .bind(&wanted)
                        .execute(&mut *tx)
                        .await?;
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

/// u64 to SQLite's i64.
pub(crate) fn int(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::OutOfRange(value))
}

pub(crate) fn hex(hash: &B256) -> String {
    format!("{hash:#x}")
}

/// Reads columns of one row with typed errors.
pub(crate) struct Reader<'r> {
    pub(crate) table: &'static str,
    pub(crate) row: &'r SqliteRow,
}

impl Reader<'_> {
    pub(crate) fn corrupt(&self, column: &'static str, reason: impl std::fmt::Display) -> StoreError {
        let row = self
            .row
            .try_get::<i64, _>(0)
            .map(|n| n.to_string())
            .or_else(|_| self.row.try_get::<String, _>(0));
        StoreError::Corrupt {
            table: self.table,
            column,
            row: row.unwrap_or_else(|_| "?".to_owned()),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn int(&self, column: &'static str) -> Result<u64, StoreError> {
        let value: i64 = self.row.try_get(column)?;
        u64::try_from(value).map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        Ok(self.row.try_get(column)?)
    }

    pub(crate) fn parse<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T::Err: std::fmt::Display,
    {
        self.text(column)?.parse().map_err(|e: T::Err| self.corrupt(column, e))
    }

    pub(crate) fn parse_opt<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T::Err: std::fmt::Display,
    {
        let text: Option<String> = self.row.try_get(column)?;
        text.map(|t| t.parse().map_err(|e: T::Err| self.corrupt(column, e))).transpose()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn blob(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        Ok(self.row.try_get(column)?)
    }

    pub(crate) fn binary<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        bincode::deserialize(&self.blob(column)?).map_err(|e| self.corrupt(column, e))
    }
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Database(sqlx::Error::Encode(Box::new(e))))
}

pub(crate) fn to_binary<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    bincode::serialize(value).map_err(|e| StoreError::Database(sqlx::Error::Encode(e)))
}
