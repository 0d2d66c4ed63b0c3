//! Why the devnet ended badly.

use alloy_primitives::U256;

/// Why the devnet ended badly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevnetError {
    #[error("node: {0}")]
    Node(#[from] ensemble_node::NodeError),
    #[error("{0}")]
    Start(#[from] ensemble::StartError),
    #[error("deployment: {0}")]
    Deploy(#[from] ensemble::deploy::DeployError),
    #[error("{0}")]
    Account(#[from] ensemble::account::AccountError),
    #[error("{0}")]
    Bridge(#[from] ensemble::bridge::BridgeError),
    #[error("L1 or L2: {0}")]
    Rpc(#[from] ensemble_l1::L1Error),
    #[error("key: {0}")]
    Wallet(#[from] ensemble_l1::WalletError),
    #[error("store: {0}")]
    Store(#[from] ensemble_store::StoreError),
    #[error("contract: {0}")]
    Contract(#[from] ensemble_contracts::ContractError),
    #[error("prover: {0}")]
    Prover(String),
    #[error("{what}: {reason}")]
    Io { what: String, reason: String },
    #[error("{what} is {got}, expected {wanted}")]
    WrongBalance { what: String, got: U256, wanted: U256 },
    #[error("{0} did not happen within {1} s")]
    TooSlow(String, u64),
    #[error("{0}")]
    Wrong(String),
    #[error("the sequencer ended by itself: {0}")]
    Ended(String),
    #[cfg(feature = "fault-injection")]
    #[error("--chaos-panic {0}: write ACTOR@N, N from 1, e.g. l1_sender@3")]
    ChaosArgument(String),
}
