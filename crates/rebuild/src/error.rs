//! What can go wrong.

use alloy_primitives::{Address, B256};
use ensemble_batch::CodecError;
use ensemble_contracts::ContractError;
use ensemble_engine_api::EngineError;
use ensemble_error::{Classify, Severity};
use ensemble_l1::L1Error;

/// Why a rebuild did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// L1 failed.
    #[error("L1: {0}")]
    L1(#[from] L1Error),
    /// The execution client failed.
    #[error("execution client: {0}")]
    Engine(#[from] EngineError),
    /// A contract answered something unreadable, or a batch was not committed by a plain `commitBatch`.
    #[error("contract: {0}")]
    Contract(#[from] ContractError),
    /// The URL of a Beacon API cannot be used.
    #[error("{url} is no URL of a Beacon API: expected http://host:port")]
    BeaconUrl {
        /// The URL, without what may be secret.
        url: String,
    },
    /// There is no proposer at the address.
    #[error("there is no OnChainProposer at {address} on L1: check committer.on_chain_proposer_address")]
    NoContract {
        /// The address.
        address: Address,
    },
    /// The contracts belong to another L2.
    #[error(
        "the contracts were deployed for another L2 genesis: they have {on_l1}, this execution client gives {here}; start \
         the client with the genesis of the chain to rebuild"
    )]
    OtherGenesis {
        /// Hash of header 0 in the contract.
        on_l1: B256,
        /// Hash of header 0 for this client.
        here: B256,
    },
    /// The L1 node does not serve the event of a committed batch.
    #[error(
        "the L1 node has no event for the commit of batch {number}: check watcher.start_block ({start_block}), or use a \
         node that keeps the logs since then"
    )]
    NoEvent {
        /// Number.
        number: u64,
        /// First L1 block that was read.
        start_block: u64,
    },
    /// The L1 node does not serve the transaction of a committed batch.
    #[error(
        "the L1 node does not serve transaction {transaction}, which committed batch {number}: use a node that keeps it"
    )]
    NoTransaction {
        /// Number.
        number: u64,
        /// Its transaction.
        transaction: B256,
    },
    /// The L1 node does not serve a block.
    #[error("the L1 node does not serve its block {number}")]
    NoL1Block {
        /// Height.
        number: u64,
    },
    /// A header does not have the hash that the contract has.
    #[error(
        "batch {number} has header hash {ours} by the transaction that L1 serves, the contract says {l1}: the L1 node lies"
    )]
    OtherHeader {
        /// Number.
        number: u64,
        /// What its transaction gives.
        ours: B256,
        /// What the contract has.
        l1: B256,
    },
    /// The batch has no data on L1.
    #[error(
        "batch {number} has no data on L1, neither in blobs nor in call data: the chain cannot be rebuilt from L1 alone"
    )]
    NoData {
        /// Number.
        number: u64,
    },
    /// No source has the blobs.
    #[error(
        "nobody has the blobs of batch {number} (L1 block {l1_block}): {tried}. Beacon nodes drop blobs after some 18 days: \
         use one that archives them, or a directory of blobs (--archive)"
    )]
    NoBlobs {
        /// Number.
        number: u64,
        /// Its L1 block.
        l1_block: u64,
        /// Each source and its answer.
        tried: String,
    },
    /// The blobs hold no blocks.
    #[error("the blobs of batch {number} hold no blocks: {reason}")]
    Payload {
        /// Number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// The execution client refuses a block.
    #[error(
        "block {block} of batch {number} is invalid for the execution client: {reason}; it needs the same genesis and forks"
    )]
    InvalidBlock {
        /// Number of the batch.
        number: u64,
        /// Height.
        block: u64,
        /// The client's words.
        reason: String,
    },
    /// The execution client does not take the blocks on.
    #[error(
        "the execution client does not execute block {block}: it says {status}; is another node driving it?"
    )]
    NotExecuted {
        /// Height.
        block: u64,
        /// Its words.
        status: &'static str,
    },
    /// What was executed is not what was committed.
    #[error("batch {number}: {what} is {ours} here and {l1} on L1")]
    OtherResult {
        /// Number.
        number: u64,
        /// Which part of the header.
        what: &'static str,
        /// What came out.
        ours: B256,
        /// What L1 has.
        l1: B256,
    },
    /// A file cannot be written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A task of the runtime was lost.
    #[error("a background task ended: {0}")]
    Task(String),
}

impl Classify for RebuildError {
    fn severity(&self) -> Severity {
        match self {
            Self::L1(error) => error.severity(),
            Self::Engine(error) => error.severity(),
            // Sources may get them later; a reorg may have taken the block away; the client may be starting.
            Self::NoBlobs { .. }
            | Self::NoEvent { .. }
            | Self::NoTransaction { .. }
            | Self::NoL1Block { .. }
            | Self::NotExecuted { .. }
            | Self::OtherHeader { .. }
            | Self::Task(_) => Severity::Transient,
            Self::File { .. } => Severity::Recoverable,
            Self::Contract(_)
            | Self::BeaconUrl { .. }
            | Self::NoContract { .. }
            | Self::OtherGenesis { .. }
            | Self::NoData { .. }
            | Self::Payload { .. }
            | Self::InvalidBlock { .. }
            | Self::OtherResult { .. } => Severity::Fatal,
        }
    }
}

impl RebuildError {
    pub(crate) fn payload(number: u64, error: &dyn std::fmt::Display) -> Self {
        Self::Payload { number, reason: error.to_string() }
    }

    pub(crate) fn codec(number: u64) -> impl Fn(CodecError) -> Self {
        move |error| Self::payload(number, &error)
    }
}
