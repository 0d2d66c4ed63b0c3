//! Gas of every L1 operation of Ensemble, measured by real transactions with real blobs on anvil.
//!
//! `gasUsed` of the receipt: intrinsic gas and calldata included, blob gas not. Everything that decides about gas is
//! the same in every run (keys, addresses, hashes, declared times), so the numbers are too, to the unit.

mod anvil;
mod chain;
mod deployment;
mod error;
mod measure;
mod report;

pub use anvil::Anvil;
pub use error::GasError;
pub use measure::measure;
pub use report::{GasReport, Operation, TARGETS, snapshot_path};
