//! What goes in and out of an execution client, in domain types.

use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256};
use ensemble_batch::{SealedBlock, Withdrawal};
use serde::{Deserialize, Serialize};

/// Which block is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockId {
    /// The head.
    Latest,
    /// The safe block of the last forkchoice update.
    Safe,
    /// The finalized block of the last forkchoice update.
    Finalized,
    /// The canonical block of this height.
    Number(u64),
    /// The block with this hash, canonical or not.
    Hash(B256),
}

/// The header fields of a block that the sequencer looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockSummary {
    /// Height.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Hash of the parent block.
    pub parent_hash: B256,
    /// State root after the block.
    pub state_root: B256,
    /// Unix seconds.
    pub timestamp: u64,
    /// `mixHash`, which is `prevRandao` since EIP-4399.
    pub prev_randao: B256,
    /// Gas limit.
    pub gas_limit: u64,
    /// Gas used.
    pub gas_used: u64,
    /// Base fee in wei (EIP-1559).
    pub base_fee_per_gas: u64,
    /// Number of transactions.
    pub transaction_count: u64,
}

impl From<&SealedBlock> for BlockSummary {
    fn from(block: &SealedBlock) -> Self {
        Self {
            number: block.number,
            hash: block.block_hash,
            parent_hash: block.parent_hash,
            state_root: block.state_root,
            timestamp: block.timestamp,
            prev_randao: block.prev_randao,
            gas_limit: block.gas_limit,
            gas_used: block.gas_used,
            base_fee_per_gas: block.base_fee_per_gas,
            transaction_count: block.transactions.len() as u64,
        }
    }
}

/// `ForkchoiceStateV1` (execution-apis, Paris).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForkchoiceState {
    /// `headBlockHash`.
    pub head: B256,
    /// `safeBlockHash`; zero when there is none yet.
    pub safe: B256,
    /// `finalizedBlockHash`; zero when there is none yet.
    pub finalized: B256,
}

/// `PayloadAttributesV3` (execution-apis, Cancun).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadAttributes {
    /// Unix seconds, above the parent's.
    pub timestamp: u64,
    /// `prevRandao` of the new block.
    pub prev_randao: B256,
    /// Fee recipient that the client is asked to use.
    pub suggested_fee_recipient: Address,
    /// EIP-4895 withdrawals of the new block, in order.
    pub withdrawals: Vec<Withdrawal>,
    /// EIP-4788 parent beacon block root.
    pub parent_beacon_block_root: B256,
}

/// `payloadId`: eight opaque bytes that name a build at the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PayloadId(pub FixedBytes<8>);

impl std::fmt::Display for PayloadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// `PayloadStatusV1` (execution-apis, Paris). `INVALID_BLOCK_HASH` of older clients counts as invalid.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PayloadStatus {
    /// The payload, or the chain that the head ends, is valid.
    Valid {
        /// Most recent valid block of that chain.
        latest_valid_hash: Option<B256>,
    },
    /// The payload or an ancestor is invalid.
    Invalid {
        /// Most recent valid ancestor, when the client knows it.
        latest_valid_hash: Option<B256>,
        /// The client's words.
        validation_error: Option<String>,
    },
    /// The client lacks an ancestor and cannot tell.
    Syncing,
    /// The payload is well-formed, does not extend the canonical chain, and was not executed.
    Accepted,
}

impl PayloadStatus {
    /// Whether this is [`Self::Valid`].
    #[must_use]
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid { .. })
    }
}

/// Answer of `engine_forkchoiceUpdated`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForkchoiceUpdated {
    /// What became of the forkchoice state.
    pub status: PayloadStatus,
    /// The build that was started; none without attributes, and none when the client did not start one, for
    /// instance because the head lies behind the finalized block.
    pub payload_id: Option<PayloadId>,
}

/// Answer of `engine_getPayload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltPayload {
    /// The block, not yet known to the client until it is given to `new_payload`.
    pub block: SealedBlock,
    /// Expected value for the fee recipient, in wei.
    pub block_value: U256,
}

/// What became of a transaction in a canonical block.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientReceipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// Height of its block.
    pub block_number: u64,
    /// `false` when it was reverted (EIP-658).
    pub succeeded: bool,
    /// What it emitted, in order.
    pub logs: Vec<ClientLog>,
}

/// A log as `eth_getLogs` answers it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientLog {
    /// Contract that emitted it.
    pub address: Address,
    /// Topics, at most 4.
    pub topics: Vec<B256>,
    /// Data.
    pub data: Bytes,
    /// Height of its block.
    pub block_number: u64,
    /// Index within the block.
    pub log_index: u64,
    /// Transaction that emitted it.
    pub transaction_hash: B256,
}
