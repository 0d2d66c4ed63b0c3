//! Why an input has no public values.

use alloy_primitives::B256;
use ensemble_batch::{BlobError, CodecError};
use ensemble_error::{Classify, Severity};

/// The check that found a block to be invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPart {
    /// Header against parent header (yellow paper 4.4.4 and the header rules of later EIPs).
    Header,
    /// Execution of a transaction or system call.
    Execution,
    /// Gas used.
    GasUsed,
    /// Receipts root or logs bloom.
    Receipts,
    /// EIP-7685 requests.
    Requests,
}

impl std::fmt::Display for InvalidPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Execution => "execution",
            Self::GasUsed => "gas used",
            Self::Receipts => "receipts",
            Self::Requests => "requests",
        })
    }
}

/// Why an input has no public values. Block numbers are L2 heights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The payload is no encoded batch.
    #[error("the batch payload cannot be decoded: {0}")]
    Payload(#[from] CodecError),
    /// The payload holds no block.
    #[error("the batch has no blocks")]
    EmptyBatch,
    /// The batch was sealed before its parent. L1 relies on the program for this order.
    #[error("the batch is sealed at {sealed_at}, before its parent at {parent}")]
    SealedBeforeParent {
        /// Seal time of the batch, Unix seconds.
        sealed_at: u64,
        /// Seal time of its parent.
        parent: u64,
    },
    /// A number left its range.
    #[error("{what} exceeds 64 bits")]
    Overflow {
        /// The number.
        what: &'static str,
    },
    /// The chain configuration cannot be used.
    #[error("chain configuration: {reason}")]
    ChainConfig {
        /// What is wrong with it.
        reason: String,
    },
    /// The chain configuration is not the one that the guest is for.
    #[error("the input is for program {found}, this is {expected}")]
    OtherChain {
        /// Key of the guest's program and chain.
        expected: B256,
        /// Key by the input's chain configuration.
        found: B256,
    },
    /// The bytes are no packed input.
    #[error("packed input: {reason}")]
    Packed {
        /// What is wrong with them.
        reason: String,
    },
    /// A block is under rules that the program does not know.
    #[error("block {block} at time {timestamp} is under rules before Cancun or after Osaka")]
    UnsupportedFork {
        /// Height.
        block: u64,
        /// Unix seconds.
        timestamp: u64,
    },
    /// There is not one witness per block.
    #[error("{witnesses} witnesses for {blocks} blocks")]
    WitnessCount {
        /// Blocks in the payload.
        blocks: usize,
        /// Witnesses in the input.
        witnesses: usize,
    },
    /// A witness is malformed or incomplete.
    #[error("witness of block {block}: {reason}")]
    Witness {
        /// Height.
        block: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A witness is for a block with another parent.
    #[error("witness of block {block}: its parent is {found}, the batch says {expected}")]
    WitnessParent {
        /// Height.
        block: u64,
        /// The parent hash by the batch.
        expected: B256,
        /// Hash of the last header in the witness.
        found: B256,
    },
    /// A transaction is not in the one encoding it has, or of a type that the L2 does not have.
    #[error("transaction {index} of block {block}: {reason}")]
    Transaction {
        /// Height.
        block: u64,
        /// Index in the block.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Execution requests are not in the form of EIP-7685.
    #[error("execution requests of block {block}: {reason}")]
    RequestsForm {
        /// Height.
        block: u64,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The header has another hash than the payload says.
    #[error("block {block}: the payload says hash {claimed}, its header hashes to {computed}")]
    BlockHash {
        /// Height.
        block: u64,
        /// Hash in the payload.
        claimed: B256,
        /// Hash of the re-built header.
        computed: B256,
    },
    /// The parent batch header and the parent block disagree about the state.
    #[error("the parent header says state root {expected}, block {block} before the batch has {found}")]
    ParentStateRoot {
        /// Height of the parent block.
        block: u64,
        /// State root in the parent batch header.
        expected: B256,
        /// State root in the parent block's header.
        found: B256,
    },
    /// The witness' state is not the parent's.
    #[error("block {block} begins with state root {expected}, its witness has {found}")]
    PreStateRoot {
        /// Height.
        block: u64,
        /// State root of the parent block.
        expected: B256,
        /// Root of the witness' state trie.
        found: B256,
    },
    /// Execution gives another state than the block says.
    #[error("block {block} says state root {expected}, execution gives {found}")]
    StateRoot {
        /// Height.
        block: u64,
        /// State root in the block.
        expected: B256,
        /// State root after execution.
        found: B256,
    },
    /// The block breaks a rule of the chain.
    #[error("block {block} is invalid ({part}): {reason}")]
    Invalid {
        /// Height.
        block: u64,
        /// The check that failed.
        part: InvalidPart,
        /// What is wrong.
        reason: String,
    },
    /// A deposit is out of order, repeated or left out.
    #[error("block {block}: deposit {found} where deposit {expected} is next")]
    DepositIndex {
        /// Height.
        block: u64,
        /// Id that is next.
        expected: u64,
        /// Id in the block.
        found: u64,
    },
    /// A deposit with a validator index.
    #[error("block {block}: deposit {id} has validator index {found} instead of 0")]
    DepositValidator {
        /// Height.
        block: u64,
        /// Deposit id.
        id: u64,
        /// Validator index in the block.
        found: u64,
    },
    /// `prevRandao` does not carry the parent hash and the deposits index.
    #[error("block {block}: prevRandao is {found} instead of {expected}")]
    PrevRandao {
        /// Height.
        block: u64,
        /// What it has to be.
        expected: B256,
        /// What the block has.
        found: B256,
    },
    /// A log of the L2 bridge that is not of the form it emits.
    #[error("block {block}: malformed withdrawal log: {reason}")]
    WithdrawalLog {
        /// Height.
        block: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Withdrawal ids have a gap or go back.
    #[error("block {block}: withdrawal {found} where withdrawal {expected} is next")]
    WithdrawalId {
        /// Height.
        block: u64,
        /// Id that is next.
        expected: u64,
        /// Id in the log.
        found: u64,
    },
    /// The payload cannot be packed into the blobs.
    #[error("the payload does not fit the blobs: {0}")]
    Blobs(BlobError),
    /// There are more or fewer blobs than the payload takes.
    #[error("the payload takes {expected} blobs, the input has {found}")]
    BlobCount {
        /// Blobs that the payload takes.
        expected: usize,
        /// Blobs in the input.
        found: usize,
    },
    /// A commitment or proof is no curve point.
    #[error("blob {index}: {reason}")]
    BlobInput {
        /// Index of the blob.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A commitment is not that of the blob.
    #[error("blob {index}: the proof does not show that the commitment is that of the payload's blob")]
    BlobProof {
        /// Index of the blob.
        index: usize,
    },
    /// The execution code panicked: a defect, or an input made to do harm.
    #[error("the program panicked: {reason}")]
    Panicked {
        /// The panic's message.
        reason: String,
    },
    /// The caller had it stop.
    #[error("stopped before the end")]
    Stopped,
    /// The program's thread could not be started.
    #[error("cannot start the program's thread: {reason}")]
    Thread {
        /// The system's answer.
        reason: String,
    },
}

impl Classify for ProgramError {
    fn severity(&self) -> Severity {
        match self {
            // Witnesses are not part of what the batch commits to: another one may do.
            Self::WitnessCount { .. }
            | Self::Witness { .. }
            | Self::WitnessParent { .. }
            | Self::PreStateRoot { .. } => Severity::Recoverable,
            Self::Thread { .. } | Self::Stopped => Severity::Transient,
            Self::Payload(_)
            | Self::EmptyBatch
            | Self::SealedBeforeParent { .. }
            | Self::Overflow { .. }
            | Self::ChainConfig { .. }
            | Self::OtherChain { .. }
            | Self::Packed { .. }
            | Self::UnsupportedFork { .. }
            | Self::Transaction { .. }
            | Self::RequestsForm { .. }
            | Self::BlockHash { .. }
            | Self::ParentStateRoot { .. }
            | Self::StateRoot { .. }
            | Self::Invalid { .. }
            | Self::DepositIndex { .. }
            | Self::DepositValidator { .. }
            | Self::PrevRandao { .. }
            | Self::WithdrawalLog { .. }
            | Self::WithdrawalId { .. }
            | Self::Blobs(_)
            | Self::BlobCount { .. }
            | Self::BlobInput { .. }
            | Self::BlobProof { .. }
            | Self::Panicked { .. } => Severity::Fatal,
        }
    }
}
