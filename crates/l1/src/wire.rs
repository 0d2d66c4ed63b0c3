//! JSON-RPC answers (execution-apis schemas) and how they become our types.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U64, U128, U256};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{FeeHistory, L1Block, L1Log, L1Transaction, LogFilter, TxReceipt};

/// EVM limit: LOG4 is the last of the log opcodes.
const MAX_TOPICS: usize = 4;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireBlock {
    number: Option<U64>,
    hash: Option<B256>,
    parent_hash: B256,
    timestamp: U64,
    base_fee_per_gas: Option<U128>,
    gas_limit: U64,
    #[serde(default)]
    parent_beacon_block_root: Option<B256>,
}

impl WireBlock {
    pub(crate) fn into_block(self) -> Result<L1Block, String> {
        Ok(L1Block {
            number: self.number.ok_or("the block has no number: it is pending")?.to(),
            hash: self.hash.ok_or("the block has no hash: it is pending")?,
            parent_hash: self.parent_hash,
            timestamp: self.timestamp.to(),
            base_fee_per_gas: self
                .base_fee_per_gas
                .ok_or("the block has no base fee: the chain is not past London (EIP-1559)")?
                .to(),
            gas_limit: self.gas_limit.to(),
            parent_beacon_block_root: self.parent_beacon_block_root,
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    block_number: Option<U64>,
    block_hash: Option<B256>,
    transaction_hash: Option<B256>,
    log_index: Option<U64>,
    #[serde(default)]
    removed: bool,
}

impl WireLog {
    pub(crate) fn into_log(self) -> Result<L1Log, String> {
        if self.topics.len() > MAX_TOPICS {
            return Err(format!("a log has {} topics, at most {MAX_TOPICS} are possible", self.topics.len()));
        }
        Ok(L1Log {
            address: self.address,
            topics: self.topics,
            data: self.data,
            block_number: self.block_number.ok_or("a log has no block number")?.to(),
            block_hash: self.block_hash.ok_or("a log has no block hash")?,
            transaction_hash: self.transaction_hash.ok_or("a log has no transaction hash")?,
            log_index: self.log_index.ok_or("a log has no index")?.to(),
            removed: self.removed,
        })
    }
}

/// Checks that each log is one that was asked for, and sorts them.
pub(crate) fn checked_logs(wire: Vec<WireLog>, filter: &LogFilter) -> Result<Vec<L1Log>, String> {
    let mut logs = wire.into_iter().map(WireLog::into_log).collect::<Result<Vec<_>, _>>()?;
    for log in &logs {
        if log.address != filter.address {
            return Err(format!("a log is of contract {}, asked for {}", log.address, filter.address));
        }
        if log.topics.first() != Some(&filter.topic0) {
            return Err(format!("a log has another first topic than {}", filter.topic0));
        }
        if !(filter.from_block..=filter.to_block).contains(&log.block_number) {
            return Err(format!(
                "a log is of block {}, asked for {} to {}",
                log.block_number, filter.from_block, filter.to_block
            ));
        }
    }
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    if logs.windows(2).any(|w| (w[0].block_number, w[0].log_index) == (w[1].block_number, w[1].log_index)) {
        return Err("two logs have the same block and index".to_owned());
    }
    Ok(logs)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireReceipt {
    transaction_hash: B256,
    status: Option<U64>,
    block_number: Option<U64>,
    block_hash: Option<B256>,
    gas_used: U64,
    effective_gas_price: U128,
    blob_gas_used: Option<U64>,
    blob_gas_price: Option<U128>,
    contract_address: Option<Address>,
    logs: Vec<WireLog>,
}

impl WireReceipt {
    /// `Ok(None)` for a receipt of a transaction that is only pending.
    pub(crate) fn into_receipt(self, asked: B256) -> Result<Option<TxReceipt>, String> {
        if self.transaction_hash != asked {
            return Err(format!(
                "the receipt is of transaction {}, asked for {asked}",
                self.transaction_hash
            ));
        }
        let (Some(block_number), Some(block_hash)) = (self.block_number, self.block_hash) else {
            return Ok(None);
        };
        let status = self.status.ok_or("the receipt has no status (EIP-658)")?;
        if status > U64::from(1) {
            return Err(format!("the receipt has status {status}, expected 0 or 1"));
        }
        Ok(Some(TxReceipt {
            transaction_hash: self.transaction_hash,
            status: status == U64::from(1),
            block_number: block_number.to(),
            block_hash,
            gas_used: self.gas_used.to(),
            effective_gas_price: self.effective_gas_price.to(),
            blob_gas_used: self.blob_gas_used.map(|v| v.to()).filter(|v| *v > 0),
            blob_gas_price: self
                .blob_gas_used
                .filter(|v| !v.is_zero())
                .and(self.blob_gas_price)
                .map(|v| v.to()),
            contract_address: self.contract_address,
            logs: self.logs.into_iter().map(WireLog::into_log).collect::<Result<_, _>>()?,
        }))
    }
}

/// What is read of `eth_getTransactionBySenderAndNonce`.
#[derive(Debug, Deserialize)]
pub(crate) struct WireSlot {
    from: Address,
    nonce: U64,
}

impl WireSlot {
    pub(crate) fn is(&self, from: Address, nonce: u64) -> bool {
        self.from == from && self.nonce == U64::from(nonce)
    }
}

/// `txpool_contentFrom`: transactions by nonce, in decimal.
#[derive(Debug, Deserialize)]
pub(crate) struct WirePool {
    pending: BTreeMap<String, IgnoredAny>,
    queued: BTreeMap<String, IgnoredAny>,
}

impl WirePool {
    pub(crate) fn has(&self, nonce: u64) -> bool {
        let nonce = nonce.to_string();
        self.pending.contains_key(&nonce) || self.queued.contains_key(&nonce)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireTransaction {
    hash: B256,
    from: Address,
    to: Option<Address>,
    input: Bytes,
    #[serde(default)]
    blob_versioned_hashes: Option<Vec<B256>>,
}

impl WireTransaction {
    pub(crate) fn into_transaction(self, asked: B256) -> Result<L1Transaction, String> {
        if self.hash != asked {
            return Err(format!("the answer is transaction {}, asked for {asked}", self.hash));
        }
        Ok(L1Transaction {
            hash: self.hash,
            from: self.from,
            to: self.to,
            input: self.input,
            blob_versioned_hashes: self.blob_versioned_hashes.unwrap_or_default(),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireFeeHistory {
    base_fee_per_gas: Vec<U128>,
    reward: Option<Vec<Vec<U128>>>,
    base_fee_per_blob_gas: Option<Vec<U128>>,
}

impl WireFeeHistory {
    pub(crate) fn into_history(self) -> Result<FeeHistory, String> {
        if self.base_fee_per_gas.is_empty() {
            return Err("the fee history is empty".to_owned());
        }
        let rewards = self
            .reward
            .unwrap_or_default()
            .into_iter()
            .map(|row| row.first().map(|v| v.to()).ok_or("a block of the fee history has no reward"))
            .collect::<Result<_, _>>()?;
        Ok(FeeHistory {
            base_fee_per_gas: self.base_fee_per_gas.into_iter().map(|v| v.to()).collect(),
            rewards,
            base_fee_per_blob_gas: self
                .base_fee_per_blob_gas
                .filter(|fees| !fees.is_empty())
                .map(|fees| fees.into_iter().map(|v| v.to()).collect()),
        })
    }
}

/// A quantity that must fit 64 bits.
pub(crate) fn to_u64(value: U256) -> Result<u64, String> {
    u64::try_from(value).map_err(|_| format!("{value} does not fit 64 bits"))
}

/// A quantity that must fit 128 bits.
pub(crate) fn to_u128(value: U256) -> Result<u128, String> {
    u128::try_from(value).map_err(|_| format!("{value} does not fit 128 bits"))
}
