//! Messages that carry the state of the chain from one component to the next.

use actix::Message;
use alloy_primitives::B256;
use ensemble_batch::{BatchHeader, Deposit};
use serde::{Deserialize, Serialize};

use crate::ProverType;

/// A deposit on L1 has the configured confirmations and is in the ledger of the store.
///
/// Producer: L1Watcher. Consumers: BlockProducer, subscribers. Delivery: hint (the ledger is the source).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct NewDeposit {
    /// The deposit.
    pub deposit: Deposit,
}

/// The watcher has read all of L1 up to this block.
///
/// Producer: L1Watcher. Consumers: subscribers. Delivery: event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct L1Advanced {
    /// Number of the last L1 block read.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// L1 blocks that the watcher had read are no longer canonical.
///
/// Producer: L1Watcher. Consumers: L1Committer, subscribers. Delivery: hint (the cursor is already unwound).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct L1Reorged {
    /// Last block number the cursor had.
    pub from: u64,
    /// Last block number that is still canonical; the cursor is here now.
    pub common_ancestor: u64,
}

/// A block became the head of the L2 and is in the store.
///
/// Producer: BlockProducer. Consumers: L1Committer, subscribers. Delivery: hint (the store is the source).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct BlockSealed {
    /// Block height.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Hash of the parent.
    pub parent_hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
    /// Number of transactions.
    pub transactions: u64,
    /// Number of deposits credited in this block.
    pub deposits: u64,
    /// Id of the last deposit included up to and with this block.
    pub deposits_index: u64,
    /// Gas used.
    pub gas_used: u64,
}

/// The execution client's safe or finalized L2 head was moved.
///
/// Producer: BlockProducer. Consumers: subscribers. Delivery: event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct HeadChanged {
    /// Unsafe head: sealed.
    pub head: u64,
    /// Safe head: committed on L1.
    pub safe: u64,
    /// Finalized head: verified on L1.
    pub finalized: u64,
}

/// A batch was sealed and is in the store; its bytes will not change any more (SEQ-INV-4).
///
/// Producer: L1Committer. Consumers: subscribers. Delivery: event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct BatchSealed {
    /// The header whose hash L1 stores.
    pub header: BatchHeader,
    /// First L2 block of the batch.
    pub first_block: u64,
    /// Last L2 block of the batch.
    pub last_block: u64,
    /// Number of EIP-4844 blobs.
    pub blobs: u64,
    /// Size of the encoded batch in bytes, before packing into blobs.
    pub payload_bytes: u64,
}

/// A batch is committed on L1.
///
/// Producer: L1Committer. Consumers: BlockProducer (safe head), ProofManager, subscribers. Delivery: hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct BatchCommitted {
    /// Batch number.
    pub number: u64,
    /// Last L2 block of the batch.
    pub last_block: u64,
    /// The commit transaction, unknown when the commit was only seen in the contract.
    pub transaction: Option<B256>,
}

/// All proofs that the contracts demand for a batch are checked and stored.
///
/// Producer: ProofManager. Consumers: ProofSender, subscribers. Delivery: hint (the store is the source).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct ProofReady {
    /// Batch number.
    pub batch_number: u64,
    /// The prover types whose proofs are there.
    pub prover_types: Vec<ProverType>,
}

/// A batch is verified on L1.
///
/// Producer: ProofSender. Consumers: BlockProducer (finalized head), ProofManager, subscribers. Delivery: hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct BatchVerified {
    /// Batch number.
    pub number: u64,
    /// Last L2 block of the batch.
    pub last_block: u64,
    /// The verify transaction, unknown when the verification was only seen in the contract.
    pub transaction: Option<B256>,
}
