//! Transactions that are wanted on L1 and what was signed for them.

use alloy_primitives::{B256, Bytes};
use ensemble_messages::{IntentId, IntentKind, SenderRole, TxIntent};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Store, StoreError,
    fail_point::hit,
    store::{Reader, hex, int, to_json},
};

/// Nonces of a key, counted from the highest ever signed, whose transactions are kept after their outcome. At a commit a
/// minute these are four hours; L1 finalises in a quarter of one.
pub const SIGNED_NONCES_KEPT: u64 = 256;

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntentState {
    /// To be done.
    Pending,
    /// Mined with success and confirmed.
    Confirmed {
        /// The transaction.
        transaction: B256,
    },
    /// Mined and reverted, or refused.
    Failed {
        /// Why.
        reason: String,
    },
}

/// An intent and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentRecord {
    /// The intent.
    pub intent: TxIntent,
    /// Its state.
    pub state: IntentState,
}

/// A transaction that was signed for an intent. It is written before it is broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// Transaction hash.
    pub hash: B256,
    /// The intent it is for.
    pub intent: IntentId,
    /// Nonce of the role's account.
    pub nonce: u64,
    /// Fees it was signed with, as JSON.
    pub fees: String,
    /// The bytes for `eth_sendRawTransaction`.
    pub raw: Bytes,
    /// Unix milliseconds.
    pub signed_at: u64,
}

/// A transaction that was signed for what is done, failed, or was begun anew: it may still be mined when a reorg frees
/// its nonce. See [`Store::past_signed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastTransaction {
    /// The intent it was signed for.
    pub intent: TxIntent,
    /// Transaction hash.
    pub hash: B256,
    /// Nonce of the role's account.
    pub nonce: u64,
    /// First byte of its bytes: the transaction type (EIP-2718).
    pub kind: u8,
}

/// Transactions of a key whose outcome is not known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct OpenTransactions {
    /// How many were signed.
    pub count: u64,
    /// Lowest and highest nonce.
    pub nonces: Option<(u64, u64)>,
}

fn record(row: &SqliteRow) -> Result<IntentRecord, StoreError> {
    let r = Reader { table: "intents", row };
    let state = match r.text("state")?.as_str() {
        "confirmed" => IntentState::Confirmed {
            transaction: r
                .parse_opt("transaction_hash")?
                .ok_or_else(|| r.corrupt("transaction_hash", "a confirmed intent has none"))?,
        },
        "failed" => IntentState::Failed { reason: r.parse_opt::<String>("reason")?.unwrap_or_default() },
        _ => IntentState::Pending,
    };
    Ok(IntentRecord { intent: r.json("intent")?, state })
}

fn signed(row: &SqliteRow) -> Result<SignedTransaction, StoreError> {
    let r = Reader { table: "signed_transactions", row };
    Ok(SignedTransaction {
        hash: r.parse("hash")?,
        intent: IntentId(r.text("intent")?),
        nonce: r.int("nonce")?,
        fees: r.text("fees")?,
        raw: r.blob("raw")?.into(),
        signed_at: r.int("signed_at")?,
    })
}

/// Whether no other pending intent of the same key has this nonce.
async fn nonce_is_free(
    connection: &mut SqliteConnection,
    intent: &IntentId,
    number: u64,
) -> Result<(), StoreError> {
    let (taken,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM signed_transactions s JOIN intents i ON i.id = s.intent AND i.try = s.try \
         WHERE s.nonce = ?1 AND i.id <> ?2 AND i.state = 'pending' \
         AND i.role = (SELECT role FROM intents WHERE id = ?2)",
    )
    .bind(int(number)?)
    .bind(&intent.0)
    .fetch_one(connection)
    .await?;
    if taken > 0 {
        return Err(StoreError::Conflict { what: "a signed transaction with nonce", number });
    }
    Ok(())
}

impl Store {
    /// Writes an intent, or finds it: the same id is the same effect. One that had failed is pending again, as another
    /// try: what was signed for the ones before stays known ([`Self::past_signed`]).
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn put_intent(&self, intent: &TxIntent) -> Result<IntentState, StoreError> {
        hit("store.put_intent.before")?;
        let (first, last) = match intent.kind {
            IntentKind::VerifyBatches { first, last } => (Some(int(first)?), Some(int(last)?)),
            IntentKind::CommitBatch { .. } | IntentKind::UseUpNonce => (None, None),
        };
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let row = sqlx::query("SELECT * FROM intents WHERE id = ?")
            .bind(&intent.id.0)
            .fetch_optional(&mut *tx)
            .await?;
        let state = match row.as_ref().map(record).transpose()? {
            Some(IntentRecord { state: IntentState::Failed { .. }, .. }) => {
                sqlx::query(
                    "UPDATE intents SET state = 'pending', reason = NULL, intent = ?, first_batch = ?, last_batch = ?, \
                     try = try + 1 WHERE id = ?",
                )
                .bind(to_json(intent)?)
                .bind(first)
                .bind(last)
                .bind(&intent.id.0)
                .execute(&mut *tx)
                .await?;
                IntentState::Pending
            }
            Some(found) => found.state,
            None => {
                sqlx::query(
                    "INSERT INTO intents (id, role, intent, first_batch, last_batch, state, seq) \
                     VALUES (?, ?, ?, ?, ?, 'pending', (SELECT COALESCE(MAX(seq), 0) + 1 FROM intents))",
                )
                .bind(&intent.id.0)
                .bind(intent.role.as_str())
                .bind(to_json(intent)?)
                .bind(first)
                .bind(last)
                .execute(&mut *tx)
                .await?;
                IntentState::Pending
            }
        };
        tx.commit().await?;
        hit("store.put_intent.after")?;
        Ok(state)
    }

    /// One intent.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn intent(&self, id: &IntentId) -> Result<Option<IntentRecord>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM intents WHERE id = ?").bind(&id.0).fetch_optional(&self.pool).await?;
        row.as_ref().map(record).transpose()
    }

    /// Pending intents of a key, in the order in which they were asked for.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn pending_intents(&self, role: SenderRole) -> Result<Vec<TxIntent>, StoreError> {
        let rows = sqlx::query("SELECT * FROM intents WHERE role = ? AND state = 'pending' ORDER BY seq")
            .bind(role.as_str())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| record(row).map(|r| r.intent)).collect()
    }

    /// Confirmed verifications of ranges with this batch in them. Batches that were reverted on L1 have had others.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn confirmed_verifications(&self, number: u64) -> Result<Vec<IntentRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM intents WHERE role = ?1 AND last_batch >= ?2 AND first_batch <= ?2 \
             AND state = 'confirmed' ORDER BY seq",
        )
        .bind(SenderRole::Prover.as_str())
        .bind(int(number)?)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(record).collect()
    }

    /// What was signed for the pending intents of a key: how many transactions, their lowest and highest nonce.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn open_transactions(&self, role: SenderRole) -> Result<OpenTransactions, StoreError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS count, COALESCE(MIN(t.nonce), 0) AS low, COALESCE(MAX(t.nonce), 0) AS high \
             FROM signed_transactions t JOIN intents i ON i.id = t.intent AND i.try = t.try \
             WHERE i.role = ? AND i.state = 'pending'",
        )
        .bind(role.as_str())
        .fetch_one(&self.pool)
        .await?;
        let r = Reader { table: "signed_transactions", row: &row };
        let count = r.int("count")?;
        let nonces = if count == 0 { None } else { Some((r.int("low")?, r.int("high")?)) };
        Ok(OpenTransactions { count, nonces })
    }

    /// Notes that an intent is confirmed on L1.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn confirm_intent(&self, id: &IntentId, transaction: B256) -> Result<(), StoreError> {
        hit("store.confirm_intent.before")?;
        sqlx::query("UPDATE intents SET state = 'confirmed', transaction_hash = ? WHERE id = ?")
            .bind(hex(&transaction))
            .bind(&id.0)
            .execute(&self.pool)
            .await?;
        hit("store.confirm_intent.after")?;
        Ok(())
    }

    /// Notes that an intent failed on L1.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn fail_intent(&self, id: &IntentId, reason: &str) -> Result<(), StoreError> {
        hit("store.fail_intent.before")?;
        sqlx::query("UPDATE intents SET state = 'failed', reason = ? WHERE id = ?")
            .bind(reason)
            .bind(&id.0)
            .execute(&self.pool)
            .await?;
        hit("store.fail_intent.after")?;
        Ok(())
    }

    /// Begins another try of a pending intent: the nonce of the last one was used by another transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn retry_intent(&self, id: &IntentId) -> Result<(), StoreError> {
        hit("store.retry_intent.before")?;
        sqlx::query("UPDATE intents SET try = try + 1 WHERE id = ? AND state = 'pending'")
            .bind(&id.0)
            .execute(&self.pool)
            .await?;
        hit("store.retry_intent.after")?;
        Ok(())
    }

    /// Keeps a signed transaction, before it is broadcast (SEQ-INV-5), and drops what is [`SIGNED_NONCES_KEPT`] nonces
    /// older, unless it is of a pending try.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another pending intent of the same key has its nonce: an instance that was taken
    /// for dead, or another process, has signed too. Nothing may be sent then.
    pub async fn insert_signed(&self, signed: &SignedTransaction) -> Result<(), StoreError> {
        hit("store.insert_signed.before")?;
        let nonce = int(signed.nonce)?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        nonce_is_free(&mut tx, &signed.intent, signed.nonce).await?;
        // The same bytes may have been signed for an earlier try, or to use up the nonce: they are of the last one.
        sqlx::query(
            "INSERT INTO signed_transactions (hash, intent, nonce, fees, raw, signed_at, try) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, COALESCE((SELECT try FROM intents WHERE id = ?2), 1)) \
             ON CONFLICT (hash) DO UPDATE SET intent = excluded.intent, try = excluded.try",
        )
        .bind(hex(&signed.hash))
        .bind(&signed.intent.0)
        .bind(nonce)
        .bind(&signed.fees)
        .bind(signed.raw.as_ref())
        .bind(int(signed.signed_at)?)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM signed_transactions WHERE nonce <= ?1 AND EXISTS (SELECT 1 FROM intents i \
             WHERE i.id = signed_transactions.intent AND i.role = (SELECT role FROM intents WHERE id = ?2) \
             AND (i.state <> 'pending' OR i.try <> signed_transactions.try))",
        )
        .bind(nonce - int(SIGNED_NONCES_KEPT)?)
        .bind(&signed.intent.0)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        hit("store.insert_signed.after")?;
        Ok(())
    }

    /// Everything that was signed for the present try of an intent, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn signed_of(&self, id: &IntentId) -> Result<Vec<SignedTransaction>, StoreError> {
        let rows = sqlx::query(
            "SELECT s.* FROM signed_transactions s JOIN intents i ON i.id = s.intent AND i.try = s.try \
             WHERE s.intent = ? ORDER BY s.signed_at, s.rowid",
        )
        .bind(&id.0)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(signed).collect()
    }

    /// What was signed with a key and is of no pending try, for the last [`SIGNED_NONCES_KEPT`] nonces.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn past_signed(&self, role: SenderRole) -> Result<Vec<PastTransaction>, StoreError> {
        let rows = sqlx::query(
            "SELECT s.hash, s.nonce, substr(s.raw, 1, 1) AS kind, i.intent FROM signed_transactions s \
             JOIN intents i ON i.id = s.intent WHERE i.role = ?1 AND (i.state <> 'pending' OR i.try <> s.try) \
             AND s.nonce > (SELECT MAX(t.nonce) FROM signed_transactions t JOIN intents j ON j.id = t.intent \
             WHERE j.role = ?1) - ?2 ORDER BY s.nonce, s.signed_at, s.rowid",
        )
        .bind(role.as_str())
        .bind(int(SIGNED_NONCES_KEPT)?)
        .fetch_all(&self.pool)
        .await?;
        let past = |row| {
            let r = Reader { table: "signed_transactions", row };
            let kind = r.blob("kind")?.first().copied();
            Ok(PastTransaction {
                intent: r.json("intent")?,
                hash: r.parse("hash")?,
                nonce: r.int("nonce")?,
                kind: kind.ok_or_else(|| r.corrupt("raw", "it is empty"))?,
            })
        };
        rows.iter().map(past).collect()
    }

    /// Takes what was signed for earlier tries of an intent with this nonce into its present try, and gives it. Empty
    /// when it is not kept any more.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] as [`Self::insert_signed`].
    pub async fn adopt_signed(
        &self,
        id: &IntentId,
        nonce: u64,
    ) -> Result<Vec<SignedTransaction>, StoreError> {
        hit("store.adopt_signed.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        nonce_is_free(&mut tx, id, nonce).await?;
        sqlx::query(
            "UPDATE signed_transactions SET try = (SELECT try FROM intents WHERE id = ?1) WHERE intent = ?1 AND nonce = ?2",
        )
        .bind(&id.0)
        .bind(int(nonce)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        hit("store.adopt_signed.after")?;
        self.signed_of(id).await
    }
}
