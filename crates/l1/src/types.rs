//! Plain data of the L1, in alloy-primitives types.

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

/// Which block a query is about (execution-apis `BlockNumberOrTag`, EIP-1898 for hashes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockTag {
    /// Head of the chain.
    Latest,
    /// Last justified block.
    Safe,
    /// Last finalized block.
    Finalized,
    /// The canonical block at this height.
    Number(u64),
    /// The block with this hash; in a call, it must be canonical.
    Hash(B256),
}

impl std::fmt::Display for BlockTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Safe => f.write_str("safe"),
            Self::Finalized => f.write_str("finalized"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Hash(h) => write!(f, "{h}"),
        }
    }
}

/// Header fields of an L1 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct L1Block {
    /// Height.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Hash of the parent.
    pub parent_hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
    /// EIP-1559 base fee in wei.
    pub base_fee_per_gas: u128,
    /// Gas limit.
    pub gas_limit: u64,
    /// Root of the beacon block before (EIP-4788); absent before Cancun.
    #[serde(default)]
    pub parent_beacon_block_root: Option<B256>,
}

/// Which logs to fetch. Both ends of the range are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogFilter {
    /// Contract that emits.
    pub address: Address,
    /// First topic: keccak256 of the event's signature.
    pub topic0: B256,
    /// First block.
    pub from_block: u64,
    /// Last block. A range that ends before it begins is empty.
    pub to_block: u64,
}

/// An event of a mined transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct L1Log {
    /// Contract that emitted it.
    pub address: Address,
    /// Topics, at most four.
    pub topics: Vec<B256>,
    /// ABI-encoded data.
    pub data: Bytes,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Transaction that emitted it.
    pub transaction_hash: B256,
    /// Position within the block.
    pub log_index: u64,
    /// The node says that a reorg has removed it.
    pub removed: bool,
}

/// Fees of the last blocks (`eth_feeHistory`), oldest first, in wei per gas.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FeeHistory {
    /// Base fees; the last entry is that of the next block. Never empty when it comes from a client.
    pub base_fee_per_gas: Vec<u128>,
    /// The priority fee at the percentile asked for, one per block; 0 for an empty block.
    pub rewards: Vec<u128>,
    /// Blob base fees (EIP-4844); the last entry is that of the next block. Absent when the node does not
    /// report them.
    pub base_fee_per_blob_gas: Option<Vec<u128>>,
}

/// Receipt of a mined transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TxReceipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// `true` = succeeded, `false` = reverted (EIP-658).
    pub status: bool,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Gas used.
    pub gas_used: u64,
    /// Wei paid per gas.
    pub effective_gas_price: u128,
    /// Blob gas used (EIP-4844); absent unless it is a blob transaction.
    pub blob_gas_used: Option<u64>,
    /// Wei paid per blob gas.
    pub blob_gas_price: Option<u128>,
    /// Contract that the transaction created.
    pub contract_address: Option<Address>,
    /// Its events.
    pub logs: Vec<L1Log>,
}

/// What a transaction was sent with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct L1Transaction {
    /// Hash.
    pub hash: B256,
    /// Signer.
    pub from: Address,
    /// Receiver, `None` for a creation.
    pub to: Option<Address>,
    /// Call data.
    pub input: Bytes,
    /// Versioned hashes of its blobs (EIP-4844), in order; empty unless it is a blob transaction.
    pub blob_versioned_hashes: Vec<B256>,
}

impl TxReceipt {
    /// Wei paid for gas and blob gas together (without the value transferred).
    #[must_use]
    pub fn fee_paid(&self) -> u128 {
        let gas = u128::from(self.gas_used).saturating_mul(self.effective_gas_price);
        let blob =
            u128::from(self.blob_gas_used.unwrap_or(0)).saturating_mul(self.blob_gas_price.unwrap_or(0));
        gas.saturating_add(blob)
    }

    /// Blocks that confirm it: 1 when it is in the head block, 0 when `head` is behind it.
    #[must_use]
    pub fn confirmations(&self, head: u64) -> u64 {
        if head < self.block_number { 0 } else { (head - self.block_number).saturating_add(1) }
    }
}
