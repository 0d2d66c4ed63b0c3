//! What can go wrong with the proxy itself.

use ensemble_error::{Classify, Severity};

/// An error of the proxy, not of what it does to others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChaosError {
    /// The node's URL cannot be used. The URL is not shown, since it may hold a key.
    #[error("the URL of the node cannot be used: {reason}")]
    InvalidTarget {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The port cannot be opened, or not be opened again.
    #[error("the proxy cannot listen: {reason}")]
    Listen {
        /// What the operating system said.
        reason: String,
    },
    /// The proxy has ended: the runtime that it was started on is gone.
    #[error("the proxy is not running any more: keep the runtime that it was started on")]
    Stopped,
}

impl Classify for ChaosError {
    fn severity(&self) -> Severity {
        match self {
            Self::Listen { .. } => Severity::Transient,
            Self::InvalidTarget { .. } | Self::Stopped => Severity::Fatal,
        }
    }
}
