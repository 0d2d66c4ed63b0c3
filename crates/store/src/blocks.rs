//! Sealed L2 blocks, what was read of them for the batch, and their witnesses.

use alloy_primitives::{B256, U256};
use ensemble_batch::{GWEI, L2Withdrawal, SealedBlock};
use sqlx::sqlite::SqliteRow;

use crate::{
    Store, StoreError,
    fail_point::hit,
    store::{Reader, hex, int, to_binary},
};

/// The light columns of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// Block height.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
    /// Id of the last deposit included up to and with this block.
    pub deposits_index: u64,
    /// Number of transactions.
    pub transactions: u64,
    /// Whether witness and withdrawals are there.
    pub complete: bool,
}

/// What is read from the execution client after a block was sealed and before it enters a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockExtras {
    /// Withdrawals that the block's transactions started, in order.
    pub withdrawals: Vec<L2Withdrawal>,
    /// The JSON that `debug_executionWitness` answered; empty once pruned.
    pub witness: Vec<u8>,
}

fn block_row(row: &SqliteRow) -> Result<BlockRow, StoreError> {
    let r = Reader { table: "blocks", row };
    Ok(BlockRow {
        number: r.int("number")?,
        hash: r.parse("hash")?,
        timestamp: r.int("timestamp")?,
        deposits_index: r.int("deposits_index")?,
        transactions: r.int("transactions")?,
        complete: r.int("complete")? != 0,
    })
}

const LIGHT: &str = "SELECT number, hash, timestamp, deposits_index, transactions, \
    (withdrawals IS NOT NULL) AS complete FROM blocks ORDER BY number DESC LIMIT 1";

impl Store {
    /// Writes a sealed block. The same block again is accepted; another one at its height is not (SEQ-INV-3).
    ///
    /// # Errors
    /// [`StoreError::Gap`] when it does not follow the stored head, [`StoreError::Conflict`] when another block is
    /// at its height.
    pub async fn insert_block(&self, block: &SealedBlock) -> Result<(), StoreError> {
        hit("store.insert_block.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        insert(&mut tx, block).await?;
        tx.commit().await?;
        hit("store.insert_block.after")?;
        Ok(())
    }

    /// Writes a block that was just built, if the ledger still has the deposits that it includes (SEQ-INV-2): the
    /// watcher may have unwound a reorg since the block was begun.
    ///
    /// # Errors
    /// [`StoreError::DepositDropped`] when it has not; else as [`Self::insert_block`].
    pub async fn insert_new_block(&self, block: &SealedBlock) -> Result<(), StoreError> {
        hit("store.insert_new_block.before")?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for w in &block.withdrawals {
            let there: Option<(String, String)> =
                sqlx::query_as("SELECT receiver, amount FROM deposits WHERE id = ? AND l1_block > 0")
                    .bind(int(w.index)?)
                    .fetch_optional(&mut *tx)
                    .await?;
            let amount = U256::from(w.amount_gwei) * U256::from(GWEI);
            if there != Some((w.address.to_string(), amount.to_string())) {
                return Err(StoreError::DepositDropped { block: block.number, deposit: w.index });
            }
        }
        insert(&mut tx, block).await?;
        tx.commit().await?;
        hit("store.insert_new_block.after")?;
        Ok(())
    }

    /// The highest stored block.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn head_block(&self) -> Result<Option<BlockRow>, StoreError> {
        let row = sqlx::query(LIGHT).fetch_optional(&self.pool).await?;
        row.as_ref().map(block_row).transpose()
    }

    /// The payload of a block.
    ///
    /// # Errors
    /// When the file cannot be read or the payload is damaged.
    pub async fn block(&self, number: u64) -> Result<Option<SealedBlock>, StoreError> {
        let row = sqlx::query("SELECT number, payload FROM blocks WHERE number = ?")
            .bind(int(number)?)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Reader { table: "blocks", row: &row }.binary("payload")).transpose()
    }

    /// Hash of a stored block.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn block_hash(&self, number: u64) -> Result<Option<B256>, StoreError> {
        let row = sqlx::query("SELECT number, hash FROM blocks WHERE number = ?")
            .bind(int(number)?)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Reader { table: "blocks", row: &row }.parse("hash")).transpose()
    }

    /// Height of the stored block with this hash.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn block_number(&self, hash: B256) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query("SELECT number FROM blocks WHERE hash = ?")
            .bind(hex(&hash))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Reader { table: "blocks", row: &row }.int("number")).transpose()
    }

    /// Removes a block that never became canonical, and nothing else: only the stored head can be removed, and
    /// only while it is in no batch.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn remove_head_block(&self, hash: B256) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "DELETE FROM blocks WHERE hash = ?1 AND number = (SELECT MAX(number) FROM blocks) \
             AND number > (SELECT COALESCE(MAX(last_block), 0) FROM batches)",
        )
        .bind(hex(&hash))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Keeps withdrawals and witness of a block.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn set_block_extras(&self, number: u64, extras: &BlockExtras) -> Result<(), StoreError> {
        hit("store.set_block_extras.before")?;
        sqlx::query("UPDATE blocks SET withdrawals = ?, witness = ? WHERE number = ?")
            .bind(to_binary(&extras.withdrawals)?)
            .bind(&extras.witness)
            .bind(int(number)?)
            .execute(&self.pool)
            .await?;
        hit("store.set_block_extras.after")?;
        Ok(())
    }

    /// Withdrawals and witness of a block, none before they were kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn block_extras(&self, number: u64) -> Result<Option<BlockExtras>, StoreError> {
        let row = sqlx::query(
            "SELECT number, withdrawals, COALESCE(witness, X'') AS witness FROM blocks \
             WHERE number = ? AND withdrawals IS NOT NULL",
        )
        .bind(int(number)?)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| {
            let r = Reader { table: "blocks", row: &row };
            Ok(BlockExtras { withdrawals: r.binary("withdrawals")?, witness: r.blob("witness")? })
        })
        .transpose()
    }

    /// The withdrawals that the blocks `first` to `last` started, in order, as far as they were kept. Reads no witness.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn withdrawals(&self, first: u64, last: u64) -> Result<Vec<L2Withdrawal>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, withdrawals FROM blocks \
             WHERE number BETWEEN ? AND ? AND withdrawals IS NOT NULL ORDER BY number",
        )
        .bind(int(first)?)
        .bind(int(last)?)
        .fetch_all(&self.pool)
        .await?;
        let mut all = Vec::new();
        for row in &rows {
            all.extend(Reader { table: "blocks", row }.binary::<Vec<L2Withdrawal>>("withdrawals")?);
        }
        Ok(all)
    }

    /// Drops the witnesses of blocks up to and with `number`; their batch is verified.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn prune_witnesses(&self, number: u64) -> Result<u64, StoreError> {
        hit("store.prune_witnesses.before")?;
        let done = sqlx::query("UPDATE blocks SET witness = NULL WHERE number <= ? AND witness IS NOT NULL")
            .bind(int(number)?)
            .execute(&self.pool)
            .await?;
        hit("store.prune_witnesses.after")?;
        Ok(done.rows_affected())
    }
}

async fn insert(tx: &mut sqlx::SqliteConnection, block: &SealedBlock) -> Result<(), StoreError> {
    let there: Option<(String,)> = sqlx::query_as("SELECT hash FROM blocks WHERE number = ?")
        .bind(int(block.number)?)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some((hash,)) = there {
        return if hash == hex(&block.block_hash) {
            Ok(())
        } else {
            Err(StoreError::Conflict { what: "block", number: block.number })
        };
    }
    let head: Option<(i64, String)> =
        sqlx::query_as("SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1")
            .fetch_optional(&mut *tx)
            .await?;
    if let Some((number, hash)) = head {
        let number = u64::try_from(number).unwrap_or(0);
        if block.number != number + 1 || hex(&block.parent_hash) != hash {
            return Err(StoreError::Gap { what: "block", got: block.number, expected_after: number });
        }
    }
    sqlx::query(
        "INSERT INTO blocks (number, hash, parent_hash, timestamp, deposits_index, transactions, gas_used, payload) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(int(block.number)?)
    .bind(hex(&block.block_hash))
    .bind(hex(&block.parent_hash))
    .bind(int(block.timestamp)?)
    .bind(int(block.deposits_index())?)
    .bind(int(block.transactions.len() as u64)?)
    .bind(int(block.gas_used)?)
    .bind(to_binary(block)?)
    .execute(&mut *tx)
    .await?;
    Ok(())
}
