//! Proofs of batches and of ranges of them, and leases.

use ensemble_messages::{BatchProof, LeaseId, ProverType};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    fail_point::hit,
    store::{Reader, int, to_binary},
};

/// A proof that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredProof {
    /// The proof.
    pub proof: BatchProof,
    /// Name of the prover that made it.
    pub prover: String,
}

/// A batch, or a range of batches, that is with a prover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The lease.
    pub id: LeaseId,
    /// First batch of the range; the batch itself when it is one.
    pub first_batch: u64,
    /// Batch; of a range the last one.
    pub batch_number: u64,
    /// Kind of proof.
    pub prover_type: ProverType,
    /// Name of the prover.
    pub prover: String,
    /// Unix milliseconds at which the batch is free again.
    pub expires_at: u64,
}

/// A proof that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setback {
    /// Batch.
    pub batch_number: u64,
    /// Kind of proof.
    pub prover_type: ProverType,
    /// How often.
    pub failures: u32,
    /// Unix milliseconds before which it is not tried again.
    pub retry_at: u64,
    /// Name of the prover that tried last; empty when it came to no prover.
    pub prover: String,
    /// Why the last try failed.
    pub reason: String,
}

fn setback_of(row: &SqliteRow) -> Result<Setback, StoreError> {
    let r = Reader { table: "setbacks", row };
    Ok(Setback {
        batch_number: r.int("batch_number")?,
        prover_type: r.parse("prover_type")?,
        failures: u32::try_from(r.int("failures")?).map_err(|e| r.corrupt("failures", e))?,
        retry_at: r.int("retry_at")?,
        prover: r.text("prover")?,
        reason: r.text("reason")?,
    })
}

fn stored_proof(table: &'static str) -> impl Fn(&SqliteRow) -> Result<StoredProof, StoreError> {
    move |row| {
        let r = Reader { table, row };
        Ok(StoredProof { proof: r.binary("proof")?, prover: r.text("prover")? })
    }
}

async fn end_lease(
    connection: &mut SqliteConnection,
    first: u64,
    last: u64,
    prover_type: ProverType,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM leases WHERE first_batch = ? AND batch_number = ? AND prover_type = ?")
        .bind(int(first)?)
        .bind(int(last)?)
        .bind(prover_type.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Keeps a checked proof and ends its lease, in one transaction; false when one of this kind is there already.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn insert_proof(&self, proof: &BatchProof, prover: &str) -> Result<bool, StoreError> {
        hit("store.insert_proof.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let done = sqlx::query(
            "INSERT INTO proofs (batch_number, prover_type, prover, proof) VALUES (?, ?, ?, ?) \
            ON CONFLICT DO NOTHING",
        )
        .bind(int(proof.batch_number)?)
        .bind(proof.prover_type.as_str())
        .bind(prover)
        .bind(to_binary(proof)?)
        .execute(&mut *tx)
        .await?;
        end_lease(&mut tx, proof.batch_number, proof.batch_number, proof.prover_type).await?;
        sqlx::query("DELETE FROM setbacks WHERE batch_number = ? AND prover_type = ?")
            .bind(int(proof.batch_number)?)
            .bind(proof.prover_type.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        hit("store.insert_proof.after")?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps a checked proof of the batches from `first` to its own number and ends its lease, in one transaction; false
    /// when one of this kind is there already.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn insert_range_proof(
        &self,
        first: u64,
        proof: &BatchProof,
        prover: &str,
    ) -> Result<bool, StoreError> {
        hit("store.insert_range_proof.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let done = sqlx::query(
            "INSERT INTO range_proofs (first_batch, last_batch, prover_type, prover, proof) \
             VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(int(first)?)
        .bind(int(proof.batch_number)?)
        .bind(proof.prover_type.as_str())
        .bind(prover)
        .bind(to_binary(proof)?)
        .execute(&mut *tx)
        .await?;
        end_lease(&mut tx, first, proof.batch_number, proof.prover_type).await?;
        tx.commit().await?;
        hit("store.insert_range_proof.after")?;
        Ok(done.rows_affected() > 0)
    }

    /// The proofs of all ranges that begin with a batch, the longest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn range_proofs_from(&self, first: u64) -> Result<Vec<StoredProof>, StoreError> {
        let rows = sqlx::query(
            "SELECT last_batch AS batch_number, prover, proof FROM range_proofs WHERE first_batch = ? \
             ORDER BY last_batch DESC, prover_type",
        )
        .bind(int(first)?)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(stored_proof("range_proofs")).collect()
    }

    /// Removes the proof of a range that L1 did not accept.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn remove_range_proof(
        &self,
        first: u64,
        last: u64,
        prover_type: ProverType,
    ) -> Result<bool, StoreError> {
        hit("store.remove_range_proof.before")?;
        let done = sqlx::query(
            "DELETE FROM range_proofs WHERE first_batch = ? AND last_batch = ? AND prover_type = ?",
        )
        .bind(int(first)?)
        .bind(int(last)?)
        .bind(prover_type.as_str())
        .execute(&self.pool)
        .await?;
        hit("store.remove_range_proof.after")?;
        Ok(done.rows_affected() > 0)
    }

    /// The proofs of a batch.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn proofs_of(&self, batch_number: u64) -> Result<Vec<StoredProof>, StoreError> {
        let rows = sqlx::query(
            "SELECT batch_number, prover, proof FROM proofs WHERE batch_number = ? ORDER BY prover_type",
        )
        .bind(int(batch_number)?)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(stored_proof("proofs")).collect()
    }

    /// Removes a proof that L1 did not accept.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn remove_proof(&self, batch_number: u64, prover_type: ProverType) -> Result<bool, StoreError> {
        hit("store.remove_proof.before")?;
        let done = sqlx::query("DELETE FROM proofs WHERE batch_number = ? AND prover_type = ?")
            .bind(int(batch_number)?)
            .bind(prover_type.as_str())
            .execute(&self.pool)
            .await?;
        hit("store.remove_proof.after")?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives a batch to a prover, replacing an expired lease on it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn insert_lease(
        &self,
        batch_number: u64,
        prover_type: ProverType,
        prover: &str,
        expires_at: u64,
    ) -> Result<LeaseId, StoreError> {
        self.insert_range_lease(batch_number, batch_number, prover_type, prover, expires_at).await
    }

    /// Gives a range of batches to a prover, replacing an expired lease on the same range.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn insert_range_lease(
        &self,
        first: u64,
        last: u64,
        prover_type: ProverType,
        prover: &str,
        expires_at: u64,
    ) -> Result<LeaseId, StoreError> {
        hit("store.insert_lease.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        end_lease(&mut tx, first, last, prover_type).await?;
        let done = sqlx::query(
            "INSERT INTO leases (first_batch, batch_number, prover_type, prover, expires_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(int(first)?)
        .bind(int(last)?)
        .bind(prover_type.as_str())
        .bind(prover)
        .bind(int(expires_at)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        hit("store.insert_lease.after")?;
        Ok(LeaseId(u64::try_from(done.last_insert_rowid()).unwrap_or(0)))
    }

    /// Prolongs a lease; false when it is gone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn extend_lease(&self, lease: LeaseId, expires_at: u64) -> Result<bool, StoreError> {
        hit("store.extend_lease.before")?;
        let done = sqlx::query("UPDATE leases SET expires_at = ? WHERE id = ?")
            .bind(int(expires_at)?)
            .bind(int(lease.0)?)
            .execute(&self.pool)
            .await?;
        hit("store.extend_lease.after")?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps what is known of a failed proof and ends the lease it was tried under, in one transaction. With a lease that
    /// is gone nothing is kept, and false is given: the failure was told before, or the batch is somebody else's.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn set_back(&self, lease: Option<LeaseId>, setback: &Setback) -> Result<bool, StoreError> {
        hit("store.set_back.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(lease) = lease {
            let ended =
                sqlx::query("DELETE FROM leases WHERE id = ? AND batch_number = ? AND prover_type = ?")
                    .bind(int(lease.0)?)
                    .bind(int(setback.batch_number)?)
                    .bind(setback.prover_type.as_str())
                    .execute(&mut *tx)
                    .await?;
            if ended.rows_affected() == 0 {
                return Ok(false);
            }
        }
        sqlx::query(
            "INSERT OR REPLACE INTO setbacks (batch_number, prover_type, failures, retry_at, prover, reason) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(int(setback.batch_number)?)
        .bind(setback.prover_type.as_str())
        .bind(setback.failures)
        .bind(int(setback.retry_at)?)
        .bind(&setback.prover)
        .bind(&setback.reason)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        hit("store.set_back.after")?;
        Ok(true)
    }

    /// The setback of one batch and kind.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn setback(
        &self,
        batch_number: u64,
        prover_type: ProverType,
    ) -> Result<Option<Setback>, StoreError> {
        let row = sqlx::query("SELECT * FROM setbacks WHERE batch_number = ? AND prover_type = ?")
            .bind(int(batch_number)?)
            .bind(prover_type.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(setback_of).transpose()
    }

    /// The setbacks of unverified batches, ascending, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn setbacks(&self, limit: u32) -> Result<Vec<Setback>, StoreError> {
        let rows = sqlx::query(
            "SELECT s.* FROM setbacks s JOIN batches b ON b.number = s.batch_number \
             WHERE b.status <> 'verified' ORDER BY s.batch_number, s.prover_type LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(setback_of).collect()
    }

    /// Has no failed proof wait longer than until `latest`, and forgets those of verified batches.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn cap_setbacks(&self, latest: u64) -> Result<(), StoreError> {
        sqlx::query("UPDATE setbacks SET retry_at = ?1 WHERE retry_at > ?1")
            .bind(int(latest)?)
            .execute(&self.pool)
            .await?;
        sqlx::query(
            "DELETE FROM setbacks WHERE batch_number IN (SELECT number FROM batches WHERE status = 'verified')",
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Shortens every lease that would last longer than `latest`; gives how many there were.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn cap_leases(&self, latest: u64) -> Result<u64, StoreError> {
        let done = sqlx::query("UPDATE leases SET expires_at = ?1 WHERE expires_at > ?1")
            .bind(int(latest)?)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn remove_lease(&self, lease: LeaseId) -> Result<bool, StoreError> {
        hit("store.remove_lease.before")?;
        let done =
            sqlx::query("DELETE FROM leases WHERE id = ?").bind(int(lease.0)?).execute(&self.pool).await?;
        hit("store.remove_lease.after")?;
        Ok(done.rows_affected() > 0)
    }

    /// All leases, expired ones too.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn leases(&self) -> Result<Vec<LeaseRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM leases ORDER BY id").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let r = Reader { table: "leases", row };
                Ok(LeaseRecord {
                    id: LeaseId(r.int("id")?),
                    first_batch: r.int("first_batch")?,
                    batch_number: r.int("batch_number")?,
                    prover_type: r.parse("prover_type")?,
                    prover: r.text("prover")?,
                    expires_at: r.int("expires_at")?,
                })
            })
            .collect()
    }

    /// Unverified batches that lack a proof of this kind and do not rest after a setback at `now` (Unix milliseconds),
    /// ascending, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn batches_without_proof(
        &self,
        prover_type: ProverType,
        now: u64,
        limit: u32,
    ) -> Result<Vec<u64>, StoreError> {
        let rows = sqlx::query(
            "SELECT number FROM batches b WHERE status <> 'verified' AND NOT EXISTS \
             (SELECT 1 FROM proofs p WHERE p.batch_number = b.number AND p.prover_type = ?1) \
             AND NOT EXISTS (SELECT 1 FROM setbacks s WHERE s.batch_number = b.number \
             AND s.prover_type = ?1 AND s.retry_at > ?2) ORDER BY number LIMIT ?3",
        )
        .bind(prover_type.as_str())
        .bind(int(now)?)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Reader { table: "batches", row }.int("number")).collect()
    }
}
