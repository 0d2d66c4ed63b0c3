//! Why a measurement failed.

use std::path::PathBuf;

use alloy_primitives::B256;
use ensemble_contracts::ContractError;
use ensemble_l1::blobs::BlobError;
use ensemble_l1::{L1Error, WalletError};

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum GasError {
    /// anvil did not start.
    #[error("cannot start anvil at {}: {source}; `cargo xtask contracts` installs it", path.display())]
    AnvilStart {
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// anvil ended or kept silent instead of saying where it listens.
    #[error("anvil did not say where it listens")]
    AnvilSilent,
    /// The node refused a request.
    #[error("{doing}: {source}")]
    L1 {
        /// The operation.
        doing: &'static str,
        /// What the client reported.
        source: L1Error,
    },
    /// A transaction was mined and reverted.
    #[error("{doing}: reverted: {reason}")]
    Reverted {
        /// The operation.
        doing: &'static str,
        /// The contract's error, by name.
        reason: String,
    },
    /// A transaction was sent and not mined in time.
    #[error("{doing}: transaction {hash} was not mined")]
    NotMined {
        /// The operation.
        doing: &'static str,
        /// The transaction.
        hash: B256,
    },
    /// The wallet refused a key or failed to sign.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The blob's commitment or proofs could not be made.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The deployment is not one that the contracts take.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The scenario is not what the contracts expect.
    #[error("the scenario is wrong: {0}")]
    Scenario(String),
    /// The snapshot could not be read or written.
    #[error("{}: {reason}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
