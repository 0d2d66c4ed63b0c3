//! Ensemble: an actor-model L2 sequencer framework.
//!
//! [`Sequencer::builder`] puts the sequencer together; the binary and the devnet use nothing else.

pub mod account;
#[cfg(feature = "admin")]
pub mod admin;
pub mod bridge;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod deploy;
mod events;
#[cfg(feature = "fault-injection")]
pub mod faults;
#[cfg(feature = "rebuild")]
pub mod rebuild;
pub mod repair;
mod sequencer;
#[cfg(feature = "shadow")]
mod shadow;
pub mod startup;
pub mod withdrawals;

pub use ensemble_messages as messages;
pub use ensemble_supervision as supervision;
pub use events::{Event, Subscriptions};
pub use sequencer::{Sequencer, SequencerBuilder, execution_client, l1_client};
pub use startup::{L2Facts, StartError, fork_schedule, genesis_config, l2_facts};
