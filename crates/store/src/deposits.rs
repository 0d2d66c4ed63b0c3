//! The watcher's cursor and the ledger of deposits.

use alloy_primitives::{Address, B256, U256};
use ensemble_batch::Deposit;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;

use crate::{
    Store, StoreError,
    fail_point::hit,
    store::{Reader, hex, int},
};

/// The `l1_block` of a deposit whose block L1 has dropped, while the L2 holds the deposit already. No deposit can be in
/// L1's genesis block.
const DROPPED: u64 = 0;

/// How many L1 blocks behind the cursor keep their hash, to find the common ancestor after a reorg.
const KEPT_L1_BLOCKS: u64 = 4096;

/// Position of the watcher on L1: everything up to and with this block has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Block number.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
}

/// What became of the deposits of dropped L1 blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwound {
    /// Deposits that left the ledger: the L2 does not hold them.
    pub removed: u64,
    /// Deposits that the L2 holds already. They stay, and wait for their L1 block: [`Store::dropped_deposits`].
    pub dropped: u64,
}

fn deposit(row: &SqliteRow) -> Result<Deposit, StoreError> {
    let r = Reader { table: "deposits", row };
    Ok(Deposit {
        id: r.int("id")?,
        to: r.parse::<Address>("receiver")?,
        amount: r.parse::<U256>("amount")?,
        rolling_hash: r.parse("rolling_hash")?,
        l1_block: r.int("l1_block")?,
        l1_block_hash: r.parse("l1_block_hash")?,
    })
}

impl Store {
    /// The watcher's position, none before the first range was read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn cursor(&self) -> Result<Option<Cursor>, StoreError> {
        let row =
            sqlx::query("SELECT number, hash FROM l1_cursor WHERE id = 1").fetch_optional(&self.pool).await?;
        row.map(|row| {
            let r = Reader { table: "l1_cursor", row: &row };
            Ok(Cursor { number: r.int("number")?, hash: r.parse("hash")? })
        })
        .transpose()
    }

    /// Moves the cursor and writes the deposits of the range that was read, in one transaction (SEQ-INV-1, -2).
    ///
    /// Deposits already in the ledger with the same content are accepted again; those that L1 had dropped get their
    /// new L1 block.
    ///
    /// # Errors
    /// [`StoreError::Gap`] when ids are not consecutive, [`StoreError::Conflict`] when an id is there with other
    /// content; nothing is written then.
    pub async fn record_l1_range(&self, cursor: Cursor, deposits: &[Deposit]) -> Result<(), StoreError> {
        hit("store.record_l1_range.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let (last,): (i64,) =
            sqlx::query_as("SELECT COALESCE(MAX(id), 0) FROM deposits").fetch_one(&mut *tx).await?;
        let mut last = u64::try_from(last).unwrap_or(0);
        for d in deposits {
            if d.id <= last {
                let row = sqlx::query("SELECT * FROM deposits WHERE id = ?")
                    .bind(int(d.id)?)
                    .fetch_optional(&mut *tx)
                    .await?;
                let conflict = StoreError::Conflict { what: "deposit", number: d.id };
                let Some(there) = row.as_ref().map(deposit).transpose()? else { return Err(conflict) };
                if there == *d {
                    continue;
                }
                let moved = Deposit { l1_block: d.l1_block, l1_block_hash: d.l1_block_hash, ..there.clone() };
                if there.l1_block != DROPPED || moved != *d {
                    return Err(conflict);
                }
                sqlx::query("UPDATE deposits SET l1_block = ?, l1_block_hash = ? WHERE id = ?")
                    .bind(int(d.l1_block)?)
                    .bind(hex(&d.l1_block_hash))
                    .bind(int(d.id)?)
                    .execute(&mut *tx)
                    .await?;
                continue;
            }
            if d.id != last + 1 {
                return Err(StoreError::Gap { what: "deposit", got: d.id, expected_after: last });
            }
            sqlx::query(
                "INSERT INTO deposits (id, receiver, amount, rolling_hash, l1_block, l1_block_hash) \
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(int(d.id)?)
            .bind(d.to.to_string())
            .bind(d.amount.to_string())
            .bind(hex(&d.rolling_hash))
            .bind(int(d.l1_block)?)
            .bind(hex(&d.l1_block_hash))
            .execute(&mut *tx)
            .await?;
            last = d.id;
        }
        set_cursor(&mut tx, cursor).await?;
        sqlx::query("DELETE FROM l1_blocks WHERE number < ?")
            .bind(int(cursor.number.saturating_sub(KEPT_L1_BLOCKS))?)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        hit("store.record_l1_range.after")?;
        Ok(())
    }

    /// Puts the cursor back to a block that is still canonical and removes the deposits of later blocks, except those
    /// that the L2 holds: up to `included`, the client's last one, or up to the one of the stored head, which may be
    /// ahead of it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn unwind_l1(&self, to: Cursor, included: u64) -> Result<Unwound, StoreError> {
        hit("store.unwind_l1.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let stored: Option<(i64,)> =
            sqlx::query_as("SELECT deposits_index FROM blocks ORDER BY number DESC LIMIT 1")
                .fetch_optional(&mut *tx)
                .await?;
        let included = int(included)?.max(stored.map_or(0, |(index,)| index));
        let removed = sqlx::query("DELETE FROM deposits WHERE l1_block > ? AND id > ?")
            .bind(int(to.number)?)
            .bind(included)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        let dropped =
            sqlx::query("UPDATE deposits SET l1_block = ?, l1_block_hash = ? WHERE l1_block > ? AND id <= ?")
                .bind(int(DROPPED)?)
                .bind(hex(&B256::ZERO))
                .bind(int(to.number)?)
                .bind(included)
                .execute(&mut *tx)
                .await?
                .rows_affected();
        sqlx::query("DELETE FROM l1_blocks WHERE number > ?").bind(int(to.number)?).execute(&mut *tx).await?;
        set_cursor(&mut tx, to).await?;
        tx.commit().await?;
        hit("store.unwind_l1.after")?;
        Ok(Unwound { removed, dropped })
    }

    /// The deposit with the highest id that L1 has, as far as it was read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn last_deposit_on_l1(&self) -> Result<Option<Deposit>, StoreError> {
        let row = sqlx::query("SELECT * FROM deposits WHERE l1_block > ? ORDER BY id DESC LIMIT 1")
            .bind(int(DROPPED)?)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(deposit).transpose()
    }

    /// Deposits that the L2 holds and L1 has dropped, in order, at most `limit`. Their `l1_block` is 0.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn dropped_deposits(&self, limit: u32) -> Result<Vec<Deposit>, StoreError> {
        // They are the last ones of the ledger: L1 gives ids in the order of its blocks.
        let last = self.last_deposit_on_l1().await?.map_or(0, |d| d.id);
        self.deposits_after(last, limit).await
    }

    /// Blocks that were the cursor at some time, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn known_l1_blocks(&self, limit: u32) -> Result<Vec<Cursor>, StoreError> {
        let rows = sqlx::query("SELECT number, hash FROM l1_blocks ORDER BY number DESC LIMIT ?")
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let r = Reader { table: "l1_blocks", row };
                Ok(Cursor { number: r.int("number")?, hash: r.parse("hash")? })
            })
            .collect()
    }

    /// Deposits with an id above `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn deposits_after(&self, after: u64, limit: u32) -> Result<Vec<Deposit>, StoreError> {
        let rows = sqlx::query("SELECT * FROM deposits WHERE id > ? ORDER BY id LIMIT ?")
            .bind(int(after)?)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(deposit).collect()
    }

    /// One deposit.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn deposit(&self, id: u64) -> Result<Option<Deposit>, StoreError> {
        let row = sqlx::query("SELECT * FROM deposits WHERE id = ?")
            .bind(int(id)?)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(deposit).transpose()
    }

    /// The deposit with the highest id.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn last_deposit(&self) -> Result<Option<Deposit>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM deposits ORDER BY id DESC LIMIT 1").fetch_optional(&self.pool).await?;
        row.as_ref().map(deposit).transpose()
    }
}

async fn set_cursor(tx: &mut sqlx::SqliteConnection, cursor: Cursor) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO l1_cursor (id, number, hash) VALUES (1, ?1, ?2) \
         ON CONFLICT (id) DO UPDATE SET number = ?1, hash = ?2",
    )
    .bind(int(cursor.number)?)
    .bind(hex(&cursor.hash))
    .execute(&mut *tx)
    .await?;
    sqlx::query("INSERT OR REPLACE INTO l1_blocks (number, hash) VALUES (?, ?)")
        .bind(int(cursor.number)?)
        .bind(hex(&cursor.hash))
        .execute(&mut *tx)
        .await?;
    Ok(())
}
