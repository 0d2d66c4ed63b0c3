//! Errors of this crate.

use std::net::SocketAddr;
use std::path::PathBuf;

use ensemble_error::{Classify, Severity};

/// What can go wrong with an embedded node or a development L1.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The genesis is not one that the execution client can start from.
    #[error("invalid genesis: {reason}")]
    Genesis {
        /// What is wrong with it.
        reason: String,
    },
    /// A port could not be opened.
    #[error("cannot listen on {addr} for {role}: {source}; choose a free port (0 picks one)")]
    Bind {
        /// What the port is for.
        role: &'static str,
        /// The address asked for.
        addr: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A thread or runtime could not be started.
    #[error("cannot start {what}: {source}")]
    Spawn {
        /// The thread or runtime.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The execution client refused to start.
    #[error("the execution client did not start: {reason}")]
    Client {
        /// What it said.
        reason: String,
    },
    /// A call was answered with a JSON-RPC error.
    #[error("{method} was answered with error {code}: {message}")]
    Rpc {
        /// JSON-RPC method.
        method: String,
        /// JSON-RPC error code.
        code: i32,
        /// JSON-RPC error message.
        message: String,
    },
    /// A call was answered with something that is not what the method promises.
    #[error("{method} answered something unexpected: {reason}")]
    UnexpectedAnswer {
        /// JSON-RPC method.
        method: &'static str,
        /// What was expected and what came.
        reason: String,
    },
    /// The node has stopped, or stopped while it was asked.
    #[error("the node {label} has stopped")]
    Stopped {
        /// Name of the node.
        label: String,
    },
    /// The node did not stop within its time limit; its threads end with the process.
    #[error("the node {label} did not stop in time; its threads end with the process")]
    ShutdownTimeout {
        /// Name of the node.
        label: String,
    },
    /// The configuration contradicts itself.
    #[error("invalid configuration: {reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// Reading or writing the block journal failed.
    #[error("block journal {path}: {source}")]
    JournalIo {
        /// The journal file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The block journal does not belong to this chain, or it is damaged in the middle.
    #[error("block journal {path} is not usable: {reason}; move it away to start a new chain")]
    Journal {
        /// The journal file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Classify for NodeError {
    fn severity(&self) -> Severity {
        match self {
            Self::Genesis { .. } | Self::Config { .. } | Self::Journal { .. } => Severity::Fatal,
            Self::Client { .. } | Self::Spawn { .. } | Self::Stopped { .. } => Severity::Fatal,
            Self::Bind { .. } | Self::JournalIo { .. } | Self::ShutdownTimeout { .. } => Severity::Transient,
            Self::Rpc { .. } => Severity::Recoverable,
            Self::UnexpectedAnswer { .. } => Severity::NeedsReset,
        }
    }
}
