//! Sealed batches.

use alloy_primitives::{B256, Bytes};
use ensemble_batch::{BatchHeader, BlobProof, call_data_hash};
use sqlx::sqlite::SqliteRow;

use crate::{
    Store, StoreError,
    fail_point::hit,
    store::{Reader, hex, int, to_binary, to_json},
};

/// Key of [`Store::finalized_floor`] in the table `meta`.
const FINALIZED: &str = "the last finalized L2 block";

/// How far a batch has come. Statuses only move forward, except through a reorg or a revert on L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BatchStatus {
    /// In the store; may or may not be on its way to L1.
    Sealed,
    /// `commitBatch` has succeeded on L1.
    Committed,
    /// `verifyBatches` has succeeded on L1.
    Verified,
}

impl std::str::FromStr for BatchStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sealed" => Ok(Self::Sealed),
            "committed" => Ok(Self::Committed),
            "verified" => Ok(Self::Verified),
            other => Err(format!("unknown status `{other}`")),
        }
    }
}

/// A sealed batch: everything that is needed to send it again with identical bytes and to prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRecord {
    /// The header whose hash L1 stores.
    pub header: BatchHeader,
    /// First L2 block.
    pub first_block: u64,
    /// Last L2 block.
    pub last_block: u64,
    /// The encoded batch, before packing into blobs.
    pub payload: Bytes,
    /// KZG commitment and proof of each blob.
    pub blob_proofs: Vec<BlobProof>,
    /// How far it has come.
    pub status: BatchStatus,
    /// The commit transaction, once known.
    pub commit_tx: Option<B256>,
    /// The verify transaction, once known.
    pub verify_tx: Option<B256>,
}

impl BatchRecord {
    /// Whether the payload goes to L1 in the call data of the commit. The header has it, so it never changes.
    #[must_use]
    pub fn in_call_data(&self) -> bool {
        self.blob_proofs.is_empty() && self.header.blobs_hash == call_data_hash(&self.payload)
    }
}

fn record(row: &SqliteRow) -> Result<BatchRecord, StoreError> {
    let r = Reader { table: "batches", row };
    Ok(BatchRecord {
        header: r.json("header")?,
        first_block: r.int("first_block")?,
        last_block: r.int("last_block")?,
        payload: r.blob("payload")?.into(),
        blob_proofs: r.binary("blob_proofs")?,
        status: r.parse("status")?,
        commit_tx: r.parse_opt("commit_tx")?,
        verify_tx: r.parse_opt("verify_tx")?,
    })
}

impl Store {
    /// Writes a newly sealed batch (SEQ-INV-4: from here on its bytes do not change).
    ///
    /// # Errors
    /// [`StoreError::Gap`] when it does not follow the last batch, [`StoreError::Conflict`] when another batch has
    /// its number.
    pub async fn insert_batch(&self, batch: &BatchRecord) -> Result<(), StoreError> {
        let sealed =
            BatchRecord { status: BatchStatus::Sealed, commit_tx: None, verify_tx: None, ..batch.clone() };
        self.restore_batch(&sealed).await
    }

    /// Writes a batch that L1 has and this store lacks, with its status and its transactions.
    ///
    /// # Errors
    /// As [`Self::insert_batch`].
    pub async fn restore_batch(&self, batch: &BatchRecord) -> Result<(), StoreError> {
        hit("store.insert_batch.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let last = sqlx::query("SELECT * FROM batches ORDER BY number DESC LIMIT 1")
            .fetch_optional(&mut *tx)
            .await?
            .as_ref()
            .map(record)
            .transpose()?;
        let number = batch.header.number;
        if let Some(last) = last {
            if last.header == batch.header {
                return Ok(());
            }
            if last.header.number >= number {
                return Err(StoreError::Conflict { what: "batch", number });
            }
            let follows = last.header.number + 1 == number
                && last.last_block + 1 == batch.first_block
                && last.header.hash() == batch.header.parent_hash;
            if !follows {
                return Err(StoreError::Gap {
                    what: "batch",
                    got: number,
                    expected_after: last.header.number,
                });
            }
        }
        sqlx::query(
            "INSERT INTO batches (number, first_block, last_block, header_hash, header, payload, blob_proofs, status, \
             commit_tx, verify_tx) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(int(number)?)
        .bind(int(batch.first_block)?)
        .bind(int(batch.last_block)?)
        .bind(hex(&batch.header.hash()))
        .bind(to_json(&batch.header)?)
        .bind(batch.payload.as_ref())
        .bind(to_binary(&batch.blob_proofs)?)
        .bind(name(batch.status))
        .bind(batch.commit_tx.as_ref().map(hex))
        .bind(batch.verify_tx.as_ref().map(hex))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        hit("store.insert_batch.after")?;
        Ok(())
    }

    /// One batch.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn batch(&self, number: u64) -> Result<Option<BatchRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM batches WHERE number = ?")
            .bind(int(number)?)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// The batch with the highest number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn last_batch(&self) -> Result<Option<BatchRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM batches ORDER BY number DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// The batch that holds an L2 block.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn batch_of_block(&self, block: u64) -> Result<Option<BatchRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM batches WHERE first_block <= ?1 AND last_block >= ?1")
            .bind(int(block)?)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// The lowest batch that is not further than `status`, none when all are.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn first_batch_at(&self, status: BatchStatus) -> Result<Option<BatchRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM batches WHERE status = ? ORDER BY number LIMIT 1")
            .bind(name(status))
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// The batch whose header has this hash.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn batch_by_hash(&self, header: B256) -> Result<Option<BatchRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM batches WHERE header_hash = ?")
            .bind(hex(&header))
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// Numbers of the batches with this status, ascending.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn batches_at(&self, status: BatchStatus) -> Result<Vec<u64>, StoreError> {
        let rows = sqlx::query("SELECT number FROM batches WHERE status = ? ORDER BY number")
            .bind(name(status))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Reader { table: "batches", row }.int("number")).collect()
    }

    /// The highest batch that is at least this far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn last_batch_at_least(&self, status: BatchStatus) -> Result<Option<BatchRecord>, StoreError> {
        let sql = match status {
            BatchStatus::Sealed => "SELECT * FROM batches ORDER BY number DESC LIMIT 1",
            BatchStatus::Committed => {
                "SELECT * FROM batches WHERE status IN ('committed', 'verified') ORDER BY number DESC LIMIT 1"
            }
            BatchStatus::Verified => {
                "SELECT * FROM batches WHERE status = 'verified' ORDER BY number DESC LIMIT 1"
            }
        };
        let row = sqlx::query(sql).fetch_optional(&self.pool).await?;
        row.as_ref().map(record).transpose()
    }

    /// Notes that a batch is committed; false when it was at least that far already.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn mark_committed(&self, number: u64, transaction: Option<B256>) -> Result<bool, StoreError> {
        hit("store.mark_committed.before")?;
        let done = sqlx::query(
            "UPDATE batches SET status = 'committed', commit_tx = COALESCE(?, commit_tx) \
             WHERE number = ? AND status = 'sealed'",
        )
        .bind(transaction.as_ref().map(hex))
        .bind(int(number)?)
        .execute(&self.pool)
        .await?;
        hit("store.mark_committed.after")?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes that a batch is verified; false when it was already.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn mark_verified(&self, number: u64, transaction: Option<B256>) -> Result<bool, StoreError> {
        hit("store.mark_verified.before")?;
        let done = sqlx::query(
            "UPDATE batches SET status = 'verified', verify_tx = COALESCE(?, verify_tx) \
             WHERE number = ? AND status <> 'verified'",
        )
        .bind(transaction.as_ref().map(hex))
        .bind(int(number)?)
        .execute(&self.pool)
        .await?;
        hit("store.mark_verified.after")?;
        Ok(done.rows_affected() > 0)
    }

    /// L1 no longer has the verifications above `last_verified` (reorg): those batches are committed, or waiting for
    /// that, as before. How far the L2 was final is kept: [`Self::finalized_floor`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn unverify_above(&self, last_verified: u64) -> Result<u64, StoreError> {
        hit("store.unverify_above.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "INSERT INTO meta (key, value) \
             SELECT ?1, CAST(MAX(last_block) AS TEXT) FROM batches \
             WHERE status = 'verified' HAVING MAX(last_block) IS NOT NULL \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value \
             WHERE CAST(excluded.value AS INTEGER) > CAST(meta.value AS INTEGER)",
        )
        .bind(FINALIZED)
        .execute(&mut *tx)
        .await?;
        let done = sqlx::query(
            "UPDATE batches SET status = 'committed', verify_tx = NULL WHERE number > ? AND status = 'verified'",
        )
        .bind(int(last_verified)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        hit("store.unverify_above.after")?;
        Ok(done.rows_affected())
    }

    /// The highest block of a batch whose verification was dropped by L1, with its hash. An execution client that was
    /// told that this block is final must not be told less.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn finalized_floor(&self) -> Result<Option<(u64, B256)>, StoreError> {
        let row = sqlx::query(
            "SELECT b.number, b.hash FROM blocks b, meta m WHERE m.key = ? AND b.number = CAST(m.value AS INTEGER)",
        )
        .bind(FINALIZED)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let r = Reader { table: "blocks", row: &row };
            Ok((r.int("number")?, r.parse("hash")?))
        })
        .transpose()
    }

    /// L1 no longer has the commits above `last_committed` (reorg or revert): those batches are sealed again.
    /// Verified batches are left alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn uncommit_above(&self, last_committed: u64) -> Result<u64, StoreError> {
        hit("store.uncommit_above.before")?;
        let done = sqlx::query(
            "UPDATE batches SET status = 'sealed', commit_tx = NULL WHERE number > ? AND status = 'committed'",
        )
        .bind(int(last_committed)?)
        .execute(&self.pool)
        .await?;
        hit("store.uncommit_above.after")?;
        Ok(done.rows_affected())
    }
}

fn name(status: BatchStatus) -> &'static str {
    match status {
        BatchStatus::Sealed => "sealed",
        BatchStatus::Committed => "committed",
        BatchStatus::Verified => "verified",
    }
}
