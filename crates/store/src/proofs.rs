//! Proofs and leases.

use ensemble_messages::{BatchProof, LeaseId, ProverType};

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

/// A batch that is with a prover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The lease.
    pub id: LeaseId,
    /// Batch.
    pub batch_number: u64,
    /// Kind of proof.
    pub prover_type: ProverType,
    /// Name of the prover.
    pub prover: String,
    /// Unix milliseconds at which the batch is free again.
    pub expires_at: u64,
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
        sqlx::query("DELETE FROM leases WHERE batch_number = ? AND prover_type = ?")
            .bind(int(proof.batch_number)?)
            .bind(proof.prover_type.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        hit("store.insert_proof.after")?;
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
        rows.iter()
            .map(|row| {
                let r = Reader { table: "proofs", row };
                Ok(StoredProof { proof: r.binary("proof")?, prover: r.text("prover")? })
            })
            .collect()
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
        hit("store.insert_lease.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM leases WHERE batch_number = ? AND prover_type = ?")
            .bind(int(batch_number)?)
            .bind(prover_type.as_str())
            .execute(&mut *tx)
            .await?;
        let done = sqlx::query(
            "INSERT INTO leases (batch_number, prover_type, prover, expires_at) VALUES (?, ?, ?, ?)",
        )
        .bind(int(batch_number)?)
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
                    batch_number: r.int("batch_number")?,
                    prover_type: r.parse("prover_type")?,
                    prover: r.text("prover")?,
                    expires_at: r.int("expires_at")?,
                })
            })
            .collect()
    }

    /// Unverified batches that lack a proof of this kind, ascending, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn batches_without_proof(
        &self,
        prover_type: ProverType,
        limit: u32,
    ) -> Result<Vec<u64>, StoreError> {
        let rows = sqlx::query(
            "SELECT number FROM batches b WHERE status <> 'verified' AND NOT EXISTS \
             (SELECT 1 FROM proofs p WHERE p.batch_number = b.number AND p.prover_type = ?) \
             ORDER BY number LIMIT ?",
        )
        .bind(prover_type.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Reader { table: "batches", row }.int("number")).collect()
    }
}
