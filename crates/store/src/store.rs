//! Opening the store, its identity, and small helpers for columns.

use std::{path::Path, str::FromStr, time::Duration};

use alloy_primitives::{Address, B256};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use crate::StoreError;

/// The chain that a store file belongs to. Bound at the first start, compared at every later one.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

impl Store {
    /// Opens the file, creating it and its folder when absent, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be opened or written, or has a newer schema.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(sqlx::Error::Io)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a committed row survives a power cut, not only a kill.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(15))
            .connect_with(options)
            .await?;
        sqlx::migrate!("./migrations").run(&pool).await?;
        Ok(Self { pool })
    }

    /// Finishes what is under way and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
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
