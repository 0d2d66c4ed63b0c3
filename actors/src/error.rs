//! Errors of the actors.

use alloy_primitives::B256;
use ensemble_contracts::ContractError;
use ensemble_engine_api::EngineError;
use ensemble_error::{Classify, Severity};
use ensemble_l1::L1Error;
use ensemble_store::StoreError;

/// What can stop an actor's step.
#[derive(Debug, thiserror::Error)]
pub enum ActorError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// L1 failed.
    #[error("L1: {0}")]
    L1(#[from] L1Error),
    /// The execution client failed.
    #[error("execution client: {0}")]
    Engine(#[from] EngineError),
    /// A contract answered something unreadable.
    #[error("contract: {0}")]
    Contract(#[from] ContractError),
    /// The batch cannot be encoded.
    #[error("batch: {0}")]
    Batch(String),
    /// Work on the blobs failed.
    #[error("blobs: {0}")]
    Blobs(String),
    /// A key could not sign.
    #[error("signing: {0}")]
    Signing(String),
    /// The execution client is not ready.
    #[error("the execution client is {0}")]
    ClientNotReady(&'static str),
    /// The L1 node does not have a block yet that was read before.
    #[error(
        "the L1 node has not reached block {wanted} again, which was read before; it is behind or was replaced"
    )]
    L1Behind {
        /// Height.
        wanted: u64,
    },
    /// The logs and the header of an L1 block do not belong together.
    #[error(
        "the logs of L1 block {block} carry another hash than its header: a reorg came in between, or the nodes behind the endpoint disagree"
    )]
    L1Unsteady {
        /// Height.
        block: u64,
    },
    /// The execution client calls our own block invalid.
    #[error("the execution client refuses block {number} ({hash}): {reason}")]
    BlockRefused {
        /// Height.
        number: u64,
        /// Hash.
        hash: B256,
        /// What it said.
        reason: String,
    },
    /// The execution client built something else than it was asked for.
    #[error(
        "the execution client built a block with another {field} than asked for: wanted {wanted}, got {got}"
    )]
    PayloadMismatch {
        /// Which field.
        field: &'static str,
        /// What was asked for.
        wanted: String,
        /// What came.
        got: String,
    },
    /// The execution client's chain is not the one in the store.
    #[error(
        "the execution client has block {client} at height {number}, the store has {store}; one of them belongs to another chain or was rolled back"
    )]
    ClientDiverged {
        /// Height.
        number: u64,
        /// Hash at the client.
        client: B256,
        /// Hash in the store.
        store: B256,
    },
    /// The wall clock is behind the chain.
    #[error(
        "the clock shows {clock}, but block {number} is of {timestamp}: blocks wait for {} s until the clock has passed it; set the clock right",
        timestamp.saturating_sub(*clock)
    )]
    ClockBehind {
        /// Height of the head.
        number: u64,
        /// Its timestamp, Unix seconds.
        timestamp: u64,
        /// What the clock shows, Unix seconds.
        clock: u64,
    },
    /// The execution client has blocks that the store does not know and does not serve them.
    #[error(
        "the execution client is at block {client}, the store at {store}, and the blocks between cannot be read from the client"
    )]
    StoreBehind {
        /// Height of the client.
        client: u64,
        /// Height of the store.
        store: u64,
    },
    /// A batch that has to be proven lacks the witness of one of its blocks.
    #[error("the execution witness of block {0} is missing in the store")]
    MissingWitness(u64),
    /// A block that the client lacks is not in the store either.
    #[error("block {0} is missing in the store")]
    MissingBlock(u64),
    /// The last write of an instance that was replaced came through after we had looked: its block is the one that counts.
    #[error(
        "another block {number} was written meanwhile, by an instance that was replaced; it is taken over"
    )]
    Outrun {
        /// Height.
        number: u64,
    },
    /// What the execution client calls a witness is none of that block.
    #[error("the execution client's witness of block {number} is unusable: {reason}; it is asked again")]
    BadWitness {
        /// Height.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// What L1 holds contradicts the store.
    #[error(
        "{what} on L1 is {l1}, the store has {store}: another sequencer has written to the contracts, or the store belongs to another deployment"
    )]
    L1Diverged {
        /// What differs.
        what: String,
        /// Value on L1.
        l1: String,
        /// Value in the store.
        store: String,
    },
    /// A log of the bridge does not fit into the chain of deposits.
    #[error("deposit {id} in L1 block {l1_block}: {reason}")]
    BadDeposit {
        /// Deposit id.
        id: u64,
        /// L1 block.
        l1_block: u64,
        /// What is wrong.
        reason: String,
    },
    /// L1 was reorganised below deposits that the L2 already holds, and they are not there again yet.
    #[error(
        "L1 was reorganised deeper than watcher.confirmations and has dropped the deposits {first} to {last}, which the L2 already holds; no new deposit is taken until they are on L1 again, which happens by itself when their transactions are mined anew; if they stay away, see `Dropped deposits` in docs/operations.md"
    )]
    DepositsDropped {
        /// Lowest id.
        first: u64,
        /// Highest id.
        last: u64,
    },
    /// L1 has another deposit in the place of one that the L2 already holds.
    #[error(
        "L1 was reorganised deeper than watcher.confirmations: deposit {id} is another one now (L1 block {l1_block}) than the L2 holds; no new deposit is taken, and no batch that holds it can be verified; the L2 has to be taken back to before that deposit: see `Dropped deposits` in docs/operations.md"
    )]
    DepositReplaced {
        /// Id.
        id: u64,
        /// L1 block of the other one.
        l1_block: u64,
    },
    /// A batch holds deposits that L1 does not have.
    #[error(
        "batch {batch} cannot be verified: L1 does not have the deposits up to {deposit} as the batch holds them; it goes on when they are on L1 again, else see `Dropped deposits` in docs/operations.md"
    )]
    DepositsNotOnL1 {
        /// Number of the batch.
        batch: u64,
        /// Id of its last deposit.
        deposit: u64,
    },
    /// No block that the watcher knows is still canonical.
    #[error("none of the last {0} L1 blocks the watcher has read is canonical any more")]
    NoCommonAncestor(usize),
    /// A single L2 block does not fit into a batch.
    #[error(
        "L2 block {number} alone exceeds the limits of a batch ({reason}): lower the gas limit of the execution client, or raise \
         the limits of [committer]"
    )]
    BlockTooLarge {
        /// Height.
        number: u64,
        /// Which limit.
        reason: String,
    },
    /// Another component did not take a message.
    #[error("{component} does not answer: {reason}")]
    Peer {
        /// Name of the component.
        component: &'static str,
        /// What happened.
        reason: String,
    },
    /// A transaction failed on L1.
    #[error("transaction {id} failed on L1: {reason}")]
    Transaction {
        /// Intent.
        id: String,
        /// Why.
        reason: String,
    },
    /// A socket could not be opened.
    #[error(
        "cannot listen for provers on {address}: {reason}; choose another prover_server.listen_ip or listen_port"
    )]
    Listen {
        /// Address.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// A task on the blocking pool was lost.
    #[error("a background task ended without a result: {0}")]
    Task(String),
}

impl Classify for ActorError {
    fn severity(&self) -> Severity {
        match self {
            Self::Store(e) => e.severity(),
            Self::L1(e) => e.severity(),
            Self::Engine(e) => e.severity(),
            Self::Contract(_)
            | Self::ClientNotReady(_)
            | Self::L1Behind { .. }
            | Self::L1Unsteady { .. }
            | Self::StoreBehind { .. }
            | Self::BadWitness { .. }
            | Self::Outrun { .. }
            | Self::ClockBehind { .. }
            | Self::Peer { .. }
            | Self::Listen { .. }
            | Self::Task(_) => Severity::Transient,
            Self::PayloadMismatch { .. } | Self::Transaction { .. } | Self::Blobs(_) | Self::Signing(_) => {
                Severity::Recoverable
            }
            Self::BlockRefused { .. }
            | Self::ClientDiverged { .. }
            | Self::MissingBlock(_)
            | Self::MissingWitness(_) => Severity::NeedsReset,
            // These need an operator, but a restart of the process would change nothing: the component stays
            // degraded and says why at every try.
            Self::BadDeposit { .. }
            | Self::DepositsDropped { .. }
            | Self::DepositReplaced { .. }
            | Self::DepositsNotOnL1 { .. }
            | Self::NoCommonAncestor(_)
            | Self::BlockTooLarge { .. }
            | Self::Batch(_) => Severity::Recoverable,
            Self::L1Diverged { .. } => Severity::Fatal,
        }
    }
}
