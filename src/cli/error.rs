//! Why a command failed.

use crate::{
    StartError, account::AccountError, bridge::BridgeError, cli::config_cmd::ConfigCommandError,
    config::ConfigErrors, deploy::DeployError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is wrong or incomplete.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// Ctrl-c or SIGTERM came first.
    #[error("interrupted; run it again, it goes on where it stopped")]
    Interrupted,
    /// `ensemble config` failed.
    #[error("{0}")]
    ConfigCommand(#[from] ConfigCommandError),
    /// The sequencer did not start.
    #[error("{0}")]
    Start(#[from] StartError),
    /// The repair failed.
    #[error("{0}")]
    Repair(#[from] crate::repair::RepairError),
    /// The rebuild failed.
    #[error("{0}")]
    Rebuild(#[from] crate::rebuild::RebuildError),
    /// The deployment failed.
    #[error("{0}")]
    Deploy(#[from] DeployError),
    /// A transaction failed.
    #[error("{0}")]
    Account(#[from] AccountError),
    /// A deposit, withdrawal or claim failed.
    #[error("{0}")]
    Bridge(#[from] BridgeError),
    /// A withdrawal cannot be claimed yet.
    #[error("{0}; try again later, or give --wait")]
    NotYet(String),
    /// There is no withdrawal to claim.
    #[error("{0}")]
    NoProof(String),
    /// A node failed.
    #[error("{0}")]
    Node(#[from] ensemble_l1::L1Error),
    /// A key cannot be used.
    #[error("--private-key: {0}")]
    Key(#[from] ensemble_l1::WalletError),
    /// The prover ended badly.
    #[cfg(feature = "prover")]
    #[error("{0}")]
    Prover(#[from] ensemble_prover::client::ProverError),
    /// The admin server cannot be asked.
    #[error(
        "the admin server at {url} does not answer: {reason}; is the sequencer running, and is --admin-url right?"
    )]
    Admin {
        /// Where it was looked for.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(std::io::Error),
}
