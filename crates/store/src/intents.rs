//! Transactions that are wanted on L1 and what was signed for them.

use alloy_primitives::{B256, Bytes};
use ensemble_messages::{IntentId, SenderRole, TxIntent};
use sqlx::sqlite::SqliteRow;

use crate::{
    Store, StoreError,
    fail_point::hit,
    store::{Reader, hex, int, to_json},
};

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

impl Store {
    /// Writes an intent, or finds it: the same id is the same effect. One that had failed is pending again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn put_intent(&self, intent: &TxIntent) -> Result<IntentState, StoreError> {
        hit("store.put_intent.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let row = sqlx::query("SELECT * FROM intents WHERE id = ?")
            .bind(&intent.id.0)
            .fetch_optional(&mut *tx)
            .await?;
        let state = match row.as_ref().map(record).transpose()? {
            Some(IntentRecord { state: IntentState::Failed { .. }, .. }) => {
                // What was signed for the failed try is resolved: it must not be mistaken for this one.
                sqlx::query("DELETE FROM signed_transactions WHERE intent = ?")
                    .bind(&intent.id.0)
                    .execute(&mut *tx)
                    .await?;
                sqlx::query("UPDATE intents SET state = 'pending', reason = NULL, intent = ? WHERE id = ?")
                    .bind(to_json(intent)?)
                    .bind(&intent.id.0)
                    .execute(&mut *tx)
                    .await?;
                IntentState::Pending
            }
            Some(found) => found.state,
            None => {
                sqlx::query(
                    "INSERT INTO intents (id, role, intent, state, seq) \
                     VALUES (?, ?, ?, 'pending', (SELECT COALESCE(MAX(seq), 0) + 1 FROM intents))",
                )
                .bind(&intent.id.0)
                .bind(intent.role.as_str())
                .bind(to_json(intent)?)
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

    /// What was signed for the pending intents of a key: how many transactions, their lowest and highest nonce.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn open_transactions(&self, role: SenderRole) -> Result<OpenTransactions, StoreError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS count, COALESCE(MIN(t.nonce), 0) AS low, COALESCE(MAX(t.nonce), 0) AS high \
             FROM signed_transactions t JOIN intents i ON i.id = t.intent WHERE i.role = ? AND i.state = 'pending'",
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

    /// Keeps a signed transaction, before it is broadcast (SEQ-INV-5).
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another pending intent of the same key has its nonce: an instance that was taken
    /// for dead, or another process, has signed too. Nothing may be sent then.
    pub async fn insert_signed(&self, signed: &SignedTransaction) -> Result<(), StoreError> {
        hit("store.insert_signed.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let (taken,): (i64,) = sqlx::query_as(
            "SELECT COUNT(*) FROM signed_transactions s JOIN intents i ON i.id = s.intent \
             WHERE s.nonce = ?1 AND i.id <> ?2 AND i.state = 'pending' \
             AND i.role = (SELECT role FROM intents WHERE id = ?2)",
        )
        .bind(int(signed.nonce)?)
        .bind(&signed.intent.0)
        .fetch_one(&mut *tx)
        .await?;
        if taken > 0 {
            return Err(StoreError::Conflict {
                what: "a signed transaction with nonce",
                number: signed.nonce,
            });
        }
        sqlx::query(
            "INSERT INTO signed_transactions (hash, intent, nonce, fees, raw, signed_at) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(hex(&signed.hash))
        .bind(&signed.intent.0)
        .bind(int(signed.nonce)?)
        .bind(&signed.fees)
        .bind(signed.raw.as_ref())
        .bind(int(signed.signed_at)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        hit("store.insert_signed.after")?;
        Ok(())
    }

    /// Everything that was signed for an intent, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn signed_of(&self, id: &IntentId) -> Result<Vec<SignedTransaction>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM signed_transactions WHERE intent = ? ORDER BY signed_at, rowid")
                .bind(&id.0)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(signed).collect()
    }
}
