//! Errors of guests and executions.

use ensemble_error::{Classify, Severity};

/// Why a guest cannot be made or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Risc0Error {
    /// The committed guest cannot be read.
    #[error("the guest's file: {0}")]
    Guest(String),
    /// The guest refused the input.
    #[error("{0}")]
    Refused(String),
    /// The input takes more cycles than allowed.
    #[error("more than {0} cycles")]
    Cycles(u64),
    /// The execution was told to stop.
    #[error("stopped before the end")]
    Stopped,
    /// The executor failed.
    #[error("the executor failed: {0}")]
    Executor(String),
    /// The guest ended without 64 bytes of public values.
    #[error("the guest left {0} bytes in place of the public values")]
    Journal(usize),
}

impl Classify for Risc0Error {
    fn severity(&self) -> Severity {
        match self {
            Self::Guest(_) | Self::Journal(_) => Severity::Fatal,
            Self::Refused(_) | Self::Cycles(_) => Severity::Recoverable,
            Self::Stopped | Self::Executor(_) => Severity::Transient,
        }
    }
}
