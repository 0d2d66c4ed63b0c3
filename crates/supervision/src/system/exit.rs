//! How a system ended.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a supervised system ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "exit", rename_all = "snake_case")]
pub enum ExitReason {
    /// It was asked to.
    Shutdown,
    /// A component failed in a way that no restart mends.
    Escalated {
        /// The component; `system` for the supervisor itself.
        component: String,
        /// Its last failure.
        reason: String,
    },
}

impl ExitReason {
    /// Exit code for the process: 0, or 70 after an escalation (`EX_SOFTWARE` of sysexits(3)), so that a
    /// service manager starts it anew.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Shutdown => 0,
            Self::Escalated { .. } => 70,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown => f.write_str("shutdown"),
            Self::Escalated { component, reason } => write!(f, "`{component}` failed for good: {reason}"),
        }
    }
}

/// How the components were stopped, in the order in which it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownReport {
    /// Why the system ended.
    pub reason: ExitReason,
    /// One entry per component.
    pub components: Vec<ComponentStop>,
}

impl ShutdownReport {
    /// Whether every component came to rest by itself.
    pub fn is_clean(&self) -> bool {
        self.components.iter().all(|c| match c.outcome {
            StopOutcome::Stopped | StopOutcome::NotRunning => true,
            StopOutcome::Forced | StopOutcome::Abandoned => false,
        })
    }
}

/// How one component was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentStop {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: StopOutcome,
    /// Time it took, in whole milliseconds when serialised.
    #[serde(with = "crate::events::millis", rename = "took_ms")]
    pub took: Duration,
}

/// The ways a component can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopOutcome {
    /// Came to rest by itself; its thread has ended.
    Stopped,
    /// Did not come to rest within its deadline and was dropped; its thread has ended.
    Forced,
    /// Its thread did not answer: it was left to itself and may still run.
    Abandoned,
    /// Was not running.
    NotRunning,
}
