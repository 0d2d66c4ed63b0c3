//! The error of this crate.

use ensemble_error::{Classify, Severity};

/// What a node answered is not what the contract would have answered, or a deployment makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// `eth_call` answered no bytes: there is no contract at the address.
    #[error(
        "the answer to {what} is empty: there is no contract at this address on this chain; check the address"
    )]
    NoContract {
        /// The value that was asked for.
        what: &'static str,
    },
    /// The bytes are not an encoding of the expected type.
    #[error("the answer is no {what}: {reason}; the node or the contract is not what it should be")]
    BadAnswer {
        /// The value that was asked for.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A log is not the expected event.
    #[error("the log is no {event} event: {reason}")]
    BadEvent {
        /// The event's name.
        event: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Call data is not that of the expected function.
    #[error("the call data is no {function} call: {reason}")]
    BadCall {
        /// The function's name.
        function: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The contracts would refuse this deployment.
    #[error("the deployment makes no sense: {0}")]
    BadDeployment(String),
}

impl Classify for ContractError {
    fn severity(&self) -> Severity {
        match self {
            // Another node, or the same one later, may answer right.
            Self::BadAnswer { .. } | Self::BadEvent { .. } => Severity::Transient,
            Self::NoContract { .. } | Self::BadCall { .. } | Self::BadDeployment(_) => Severity::Fatal,
        }
    }
}
