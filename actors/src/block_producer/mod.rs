//! BlockProducer: makes L2 blocks through the Engine API of the execution client.
//!
//! Its only durable state is the client's chain (and the copy of every payload in the store, written before the
//! block becomes the head). After a restart it asks the client for its head; the header says which deposit came
//! last ([`ensemble_batch::prev_randao`]). A client that lost its chain gets it back from the store.

mod actor;
mod config;
mod payload;
mod schedule;
#[cfg(test)]
mod tests;
mod worker;

pub use actor::BlockProducer;
pub use config::{BlockProducerConfig, ConfigError as BlockProducerConfigError};
pub use worker::BlockProducerOutlets;
