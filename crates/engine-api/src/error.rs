//! Errors of an execution client.

use ensemble_error::{Classify, Severity};

use crate::PayloadId;

/// What can go wrong when talking to an execution client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The request did not get through: refused, reset, or an HTTP status that is not about authentication.
    #[error("{method}: the execution client cannot be reached: {reason}")]
    Transport {
        /// RPC method.
        method: &'static str,
        /// What the transport said.
        reason: String,
    },
    /// No answer in time. The client may still have done what was asked.
    #[error("{method}: no answer from the execution client within the configured time")]
    Timeout {
        /// RPC method.
        method: &'static str,
    },
    /// The client refused our token. A start refuses to go on with it; while running it is tried again, for a wrong clock
    /// and a client that was started with another secret are put right without us.
    #[error(
        "{method}: the execution client refused the JWT ({reason}): either the jwt secret file is not the same on \
         both sides (it is read at the start: after a change restart that side), or their clocks differ by more than 60 s"
    )]
    Unauthorized {
        /// RPC method.
        method: &'static str,
        /// What the client said.
        reason: String,
    },
    /// A JSON-RPC error that has no variant of its own.
    #[error("{method}: the execution client answered error {code}: {message}")]
    Rpc {
        /// RPC method.
        method: &'static str,
        /// JSON-RPC error code.
        code: i32,
        /// The client's words, shortened.
        message: String,
    },
    /// The client does not know the build (-38001, or -32001): it was dropped or the client restarted.
    #[error("the execution client does not know payload {payload_id} ({message}); start a new build")]
    UnknownPayload {
        /// The id that was asked for.
        payload_id: PayloadId,
        /// The client's words, shortened.
        message: String,
    },
    /// -38002: safe or finalized block do not fit the head.
    #[error("the execution client refused the forkchoice state: {message}")]
    InvalidForkchoiceState {
        /// The client's words, shortened.
        message: String,
    },
    /// -38003: for instance a timestamp that is not above the parent's.
    #[error("the execution client refused the payload attributes: {message}")]
    InvalidPayloadAttributes {
        /// The client's words, shortened.
        message: String,
    },
    /// -38005, or a timestamp before the first fork that we support.
    #[error(
        "{method}: fork not supported: {message}; check that the fork times equal those of the L2 genesis"
    )]
    UnsupportedFork {
        /// RPC method.
        method: &'static str,
        /// Why.
        message: String,
    },
    /// -32601.
    #[error("{method}: the execution client does not know this method")]
    MethodNotFound {
        /// RPC method.
        method: &'static str,
    },
    /// The fork demands a method that the client does not list among its capabilities.
    #[error(
        "{client} does not offer {method}, which the fork of the block demands; use a newer version of the client"
    )]
    NotOffered {
        /// RPC method.
        method: &'static str,
        /// The client's own name and version.
        client: String,
    },
    /// The client lacks something optional.
    #[error("{client} cannot serve {method}: {reason}")]
    NotSupported {
        /// RPC method.
        method: &'static str,
        /// The client's own name and version.
        client: String,
        /// Why, and what is left to do.
        reason: String,
    },
    /// The answer is not what the specification says.
    #[error("{method}: unusable answer from the execution client: {reason}")]
    InvalidResponse {
        /// RPC method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is larger than the configured limit and was dropped.
    #[error("{method}: the answer is larger than {limit} bytes; ask for less, or raise the limit of answers")]
    TooLarge {
        /// RPC method.
        method: &'static str,
        /// The configured limit in bytes.
        limit: u32,
    },
    /// The configuration cannot work.
    #[error("execution client configuration: {reason}")]
    InvalidConfig {
        /// What is wrong.
        reason: String,
    },
}

impl Classify for EngineError {
    fn severity(&self) -> Severity {
        match self {
            Self::Transport { .. } | Self::Timeout { .. } | Self::InvalidResponse { .. } => {
                Severity::Transient
            }
            Self::Rpc { code, .. } => match code {
                // parse error, invalid request, invalid params: the same request will not do better
                -32700 | -32600 | -32602 => Severity::Recoverable,
                _ => Severity::Transient,
            },
            // The configuration worked when we started.
            Self::Unauthorized { .. }
            | Self::UnknownPayload { .. }
            | Self::InvalidPayloadAttributes { .. }
            | Self::NotSupported { .. }
            | Self::TooLarge { .. } => Severity::Recoverable,
            Self::InvalidForkchoiceState { .. } => Severity::NeedsReset,
            Self::UnsupportedFork { .. }
            | Self::MethodNotFound { .. }
            | Self::NotOffered { .. }
            | Self::InvalidConfig { .. } => Severity::Fatal,
        }
    }
}

/// Longest text of a remote side that goes into an error.
const MAX_REMOTE_TEXT: usize = 512;

/// Text of a remote side as it may stand in an error or a log: short and without control characters.
pub(crate) fn remote_text(text: &str) -> String {
    let mut out: String =
        text.chars().take(MAX_REMOTE_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

/// What a JSON-RPC error object means (execution-apis, `engine/common.md`, and the JSON-RPC 2.0 codes).
///
/// Clients differ: an unknown payload id is -38001 or -32001, a refused token may come as HTTP 200 with an error
/// object whose code says nothing.
pub(crate) fn from_rpc_error(
    method: &'static str,
    payload_id: Option<PayloadId>,
    code: i32,
    message: &str,
) -> EngineError {
    let text = remote_text(message);
    match (code, payload_id) {
        (-32601, _) => EngineError::MethodNotFound { method },
        (-38001 | -32001, Some(payload_id)) => EngineError::UnknownPayload { payload_id, message: text },
        (-38002, _) => EngineError::InvalidForkchoiceState { message: text },
        (-38003, _) => EngineError::InvalidPayloadAttributes { message: text },
        (-38005, _) => EngineError::UnsupportedFork { method, message: text },
        _ if speaks_of_authentication(message) => EngineError::Unauthorized { method, reason: text },
        _ => EngineError::Rpc { method, code, message: text },
    }
}

fn speaks_of_authentication(message: &str) -> bool {
    let text: String = message.chars().take(MAX_REMOTE_TEXT).collect::<String>().to_lowercase();
    ["auth failed", "unauthorized", "unauthenticated", "jwt", "missing token", "invalid token", "bearer"]
        .iter()
        .any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_text_is_short_and_printable() {
        let text = remote_text(&format!("a\nb\u{1b}[31m{}", "x".repeat(10_000)));
        assert!(text.starts_with("a b [31mxxx"));
        assert!(text.chars().count() <= MAX_REMOTE_TEXT + 1);
        assert!(!text.chars().any(char::is_control));
        assert_eq!(remote_text("short"), "short");
    }

    #[test]
    fn codes_of_the_specification() {
        let id = Some(PayloadId::default());
        for (code, payload, severity) in [
            (-32601, None, Severity::Fatal),
            (-38001, id, Severity::Recoverable),
            (-32001, id, Severity::Recoverable),
            (-38002, None, Severity::NeedsReset),
            (-38003, None, Severity::Recoverable),
            (-38005, None, Severity::Fatal),
            (-32602, None, Severity::Recoverable),
            (-32603, None, Severity::Transient),
            (-32000, None, Severity::Transient),
        ] {
            let error = from_rpc_error("engine_x", payload, code, "no");
            assert_eq!(error.severity(), severity, "{error:?}");
        }
        assert!(matches!(from_rpc_error("m", None, -38001, "no"), EngineError::Rpc { code: -38001, .. }));
        assert!(matches!(
            from_rpc_error("m", None, -32000, "Auth failed: Invalid iat claim"),
            EngineError::Unauthorized { .. }
        ));
    }
}
