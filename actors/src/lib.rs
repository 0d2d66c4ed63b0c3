//! The actors of the Ensemble sequencer.
//!
//! One folder per actor: the actor itself moves messages and time, a worker does the work step by step, and what
//! can be decided without I/O is in pure modules beside it. What they share is [`Services`].

mod block_producer;
mod clock;
mod error;
mod fail_point;
mod fanout;
mod l1_committer;
mod l1_sender;
mod l1_watcher;
mod missing;
mod proof_manager;
mod proof_sender;
mod prover_server;
mod services;
mod stepper;
#[cfg(test)]
mod testing;
mod withdrawals;
mod witness;

pub use block_producer::{
    BlockProducer, BlockProducerConfig, BlockProducerConfigError, BlockProducerOutlets,
};
pub use clock::{Clock, FastClock, ManualClock, SystemClock};
pub use error::ActorError;
#[cfg(feature = "fault-injection")]
pub use fail_point::FAIL_POINTS;
pub use fanout::Fanout;
pub use l1_committer::{DataAvailability, L1Committer, L1CommitterConfig, L1CommitterOutlets};
pub use l1_sender::{L1Sender, L1SenderConfig, L1SenderOutlets, SenderKey};
pub use l1_watcher::{Confirmations, L1Watcher, L1WatcherConfig, L1WatcherOutlets};
#[cfg(feature = "risc0")]
pub use proof_manager::Risc0Check;
pub use proof_manager::{
    AttestationCheck, OnChainCheck, ProofCheck, ProofManager, ProofManagerConfig, ProofManagerOutlets,
    ProofPolicy, ProofSlot, RetryPolicy,
};
pub use proof_sender::{ProofSender, ProofSenderConfig, ProofSenderOutlets, ProofVerifier, RangeLimits};
pub use prover_server::{
    PROOF_MANAGER, ProverServer, ProverServerConfig, ProverSession, Route, RouteSession,
};
pub use services::{ChainFacts, Services};
pub use stepper::Step;
pub use withdrawals::withdrawals_of;
pub use witness::{CheckedWitness, ClientWitness, ShadowWitness, WitnessSource};
