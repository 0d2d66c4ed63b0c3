//! Domain types and every typed message of the Ensemble sequencer.
//!
//! Messages are plain data (`Clone + Debug + Serialize`). The doc line of each names its producer, its consumers
//! and what delivery it can rely on. Three guarantees occur:
//!
//! - **hint**: may be lost or repeated; the consumer re-reads the durable source (store, L1, execution client) at
//!   every tick and at every start, so a lost hint costs latency and never data;
//! - **acknowledged**: a request whose reply is sent after the effect is durable; no reply means the outcome is
//!   unknown, and sending it again is safe (the receiver recognises it);
//! - **event**: for observers; delivered in order to a subscriber that keeps up.

mod events;
mod prover;
mod transactions;

pub use events::{
    BatchCommitted, BatchSealed, BatchVerified, BlockSealed, HeadChanged, L1Advanced, L1Reorged, NewDeposit,
    ProofReady,
};
pub use prover::{
    BatchProof, FailureKind, Heartbeat, JoinGivenUp, JoinProofs, LeaseId, LeaseState, PackedInput,
    ProofRejection, ProofTask, ProverIdentity, ProverType, ProvingFailed, Register, RequestWork,
    SessionEnded, SessionId, SubmitProof, SubmitReply, UnknownProverType, Work, WorkReply,
};
pub use transactions::{IntentId, IntentKind, Send, SendReply, SenderRole, TxConfirmed, TxFailed, TxIntent};
