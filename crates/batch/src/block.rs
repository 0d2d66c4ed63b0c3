//! A sealed L2 block: everything that `engine_newPayload` needs to re-create it.

use alloy_primitives::{Address, B256, Bloom, Bytes, U256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{GWEI, deposit_leaf, next_deposits_hash};

/// EIP-4895 withdrawal operation. On the L2 it carries a deposit: `index` is the deposit id that L1 assigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Deposit id (EIP-4895 `index`), counting from 1 without gaps.
    pub index: u64,
    /// Always 0 here; EIP-4895 `validatorIndex`.
    pub validator_index: u64,
    /// Account that is credited.
    pub address: Address,
    /// Amount in gwei (EIP-4895).
    pub amount_gwei: u64,
}

/// One L2 block with all fields of `ExecutionPayloadV3` (execution-apis, Cancun) and the side fields that
/// `engine_newPayloadV4` takes (Prague).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBlock {
    /// Hash of the parent block.
    pub parent_hash: B256,
    /// `feeRecipient` / coinbase.
    pub fee_recipient: Address,
    /// State root after the block.
    pub state_root: B256,
    /// Root of the receipts trie.
    pub receipts_root: B256,
    /// Logs bloom filter.
    pub logs_bloom: Bloom,
    /// `prevRandao` (EIP-4399), see [`prev_randao`].
    pub prev_randao: B256,
    /// Block height.
    pub number: u64,
    /// Gas limit.
    pub gas_limit: u64,
    /// Gas used.
    pub gas_used: u64,
    /// Unix seconds.
    pub timestamp: u64,
    /// Extra data, at most 32 bytes.
    pub extra_data: Bytes,
    /// Base fee in wei (EIP-1559).
    pub base_fee_per_gas: u64,
    /// Hash of this block.
    pub block_hash: B256,
    /// Transactions in their EIP-2718 encoding.
    pub transactions: Vec<Bytes>,
    /// Deposits of this block, in order of their id.
    pub withdrawals: Vec<Withdrawal>,
    /// EIP-4844 blob gas used (0 on the L2).
    pub blob_gas_used: u64,
    /// EIP-4844 excess blob gas.
    pub excess_blob_gas: u64,
    /// EIP-4788 parent beacon block root.
    pub parent_beacon_block_root: B256,
    /// EIP-7685 execution requests (Prague), each with its type byte; empty before Prague.
    pub execution_requests: Vec<Bytes>,
}

impl SealedBlock {
    /// Id of the last deposit included in the chain up to and with this block, 0 when there is none.
    #[must_use]
    pub fn deposits_index(&self) -> u64 {
        if self.number == 0 { 0 } else { deposits_index_of(&self.prev_randao) }
    }

    /// Rolling hash of the deposits and id of the last one after this block, from those before it. What the block
    /// includes is believed.
    #[must_use]
    pub fn deposits_after(&self, (mut hash, mut index): (B256, u64)) -> (B256, u64) {
        for w in &self.withdrawals {
            let amount = U256::from(w.amount_gwei) * U256::from(GWEI);
            hash = next_deposits_hash(hash, deposit_leaf(w.index, w.address, amount));
            index = w.index;
        }
        (hash, index)
    }
}

/// The `prevRandao` that the sequencer gives block number n: 24 bytes of keccak256(parent hash) and the id of
/// the last deposit included up to and with this block (u64, big endian).
///
/// So the head header alone says which deposit comes next, whatever became of our database.
#[must_use]
pub fn prev_randao(parent_hash: &B256, deposits_index: u64) -> B256 {
    let mut out = keccak256(parent_hash);
    out.0[24..].copy_from_slice(&deposits_index.to_be_bytes());
    out
}

/// The deposits index held in a `prevRandao` made by [`prev_randao`]. Of no meaning for the genesis block.
#[must_use]
pub fn deposits_index_of(prev_randao: &B256) -> u64 {
    let mut tail = [0u8; 8];
    tail.copy_from_slice(&prev_randao.0[24..]);
    u64::from_be_bytes(tail)
}
