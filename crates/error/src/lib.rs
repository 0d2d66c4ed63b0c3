//! Error severities shared by every Ensemble crate.
//!
//! Each crate has its own typed errors; what a supervisor or a retry loop needs to know of them is only
//! how bad they are. That is [`Severity`], and [`Classify`] is how an error tells it.

use serde::{Deserialize, Serialize};

/// How an error is to be met. Matches on it are exhaustive everywhere, so a new level breaks the build
/// until every caller has decided what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Goes away by itself (time-out, refused connection, busy database): try the same thing again later.
    Transient,
    /// The request was wrong for the present state (nonce conflict, fee cap, range too large): change the
    /// request, then try again.
    Recoverable,
    /// What we believe about the world is wrong (unknown head, L1 reorg): drop derived state and read it anew.
    NeedsReset,
    /// No retry can help (wrong chain, corrupted store, invalid configuration): stop and tell the operator.
    Fatal,
}

/// An error that knows its [`Severity`].
pub trait Classify: std::error::Error {
    /// How bad this error is.
    fn severity(&self) -> Severity;
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Transient => "transient",
            Self::Recoverable => "recoverable",
            Self::NeedsReset => "needs-reset",
            Self::Fatal => "fatal",
        })
    }
}
