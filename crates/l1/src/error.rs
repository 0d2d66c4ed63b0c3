//! What can go wrong between us and the L1.

use std::time::Duration;

use alloy_primitives::Bytes;
use ensemble_error::{Classify, Severity};

/// An error of an L1 node or of the way to it.
///
/// Texts from a node are cut to [`MAX_REMOTE_TEXT`] characters and stripped of control characters. Endpoints
/// are shown as scheme and host only, since paths and user information often hold API keys (SEQ-INV-12).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum L1Error {
    /// The list of endpoints is unusable.
    #[error("invalid L1 endpoint {endpoint}: {reason}")]
    InvalidEndpoint {
        /// The endpoint, masked.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer came: connection refused, broken off, or an HTTP error.
    #[error("{method} on {endpoint} failed: {reason}")]
    Transport {
        /// The endpoint, masked.
        endpoint: String,
        /// JSON-RPC method.
        method: &'static str,
        /// What happened.
        reason: String,
    },
    /// No answer came in time. A transaction sent this way may or may not have arrived.
    #[error("{method} on {endpoint} got no answer within {after:?}")]
    Timeout {
        /// The endpoint, masked.
        endpoint: String,
        /// JSON-RPC method.
        method: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The answer is longer than we are willing to hold.
    #[error("the answer to {method} exceeds {limit} bytes: ask for less, or raise max_response_bytes")]
    ResponseTooLarge {
        /// JSON-RPC method.
        method: &'static str,
        /// The limit in bytes.
        limit: u32,
    },
    /// The answer makes no sense.
    #[error("invalid answer to {method}: {reason}")]
    InvalidResponse {
        /// JSON-RPC method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The endpoint serves another chain.
    #[error("the L1 endpoint serves chain {actual}, expected chain {expected}: check the RPC URL")]
    WrongChain {
        /// Configured chain id.
        expected: u64,
        /// Chain id the node reported.
        actual: u64,
    },
    /// The nonce is used up on chain.
    #[error("nonce too low: {message}")]
    NonceTooLow {
        /// The node's words.
        message: String,
    },
    /// The nonce leaves a gap that the node's pool does not take.
    #[error("nonce too high: {message}")]
    NonceTooHigh {
        /// The node's words.
        message: String,
    },
    /// The node has exactly this transaction already.
    #[error("transaction already known: {message}")]
    AlreadyKnown {
        /// The node's words.
        message: String,
    },
    /// Below the pool's minimum price.
    #[error("transaction underpriced: {message}")]
    Underpriced {
        /// The node's words.
        message: String,
    },
    /// Another transaction with this nonce is in the pool, and the new fees do not replace it.
    #[error("replacement transaction underpriced: {message}")]
    ReplacementUnderpriced {
        /// The node's words.
        message: String,
    },
    /// The fee cap is below the block's base fee or blob base fee.
    #[error("fee cap below base fee: {message}")]
    FeeCapTooLow {
        /// The node's words.
        message: String,
    },
    /// The account cannot pay.
    #[error("insufficient funds, top up the account: {message}")]
    InsufficientFunds {
        /// The node's words.
        message: String,
    },
    /// The account has transactions of the other kind pending: a pool takes either blob transactions or others
    /// from one account, not both.
    #[error("the account is reserved by the pool for another kind of transaction: {message}")]
    AccountReserved {
        /// The node's words.
        message: String,
    },
    /// The pool has no room, for anybody or for this account.
    #[error("transaction pool is full: {message}")]
    PoolFull {
        /// The node's words.
        message: String,
    },
    /// The node will never take this transaction as it is.
    #[error("transaction rejected: {message}")]
    TransactionRejected {
        /// The node's words.
        message: String,
    },
    /// Execution reverted, in a call or in gas estimation.
    #[error("execution reverted: {message}")]
    ExecutionReverted {
        /// The node's words.
        message: String,
        /// ABI-encoded revert data, empty when there is none.
        data: Bytes,
    },
    /// The range of blocks asked for holds too much for one answer.
    #[error("range of logs too large, ask for fewer blocks: {message}")]
    RangeTooLarge {
        /// The node's words.
        message: String,
    },
    /// Too many requests.
    #[error("rate limited by the L1 provider: {message}")]
    RateLimited {
        /// The node's words.
        message: String,
    },
    /// The node does not have the block asked for (it lags, pruned it, or a reorg dropped it).
    #[error("the L1 node does not have this block: {message}")]
    UnknownBlock {
        /// The node's words.
        message: String,
    },
    /// The node does not offer the method.
    #[error("the L1 node does not support {method}: {message}")]
    MethodUnsupported {
        /// JSON-RPC method.
        method: &'static str,
        /// The node's words.
        message: String,
    },
    /// Any other JSON-RPC error.
    #[error("L1 node error {code}: {message}")]
    Rpc {
        /// JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
        /// The error's data, when it is hex.
        data: Option<Bytes>,
    },
}

/// Characters kept of a text that a node sent.
pub const MAX_REMOTE_TEXT: usize = 300;

impl Classify for L1Error {
    fn severity(&self) -> Severity {
        match self {
            Self::Transport { .. }
            | Self::Timeout { .. }
            | Self::InvalidResponse { .. }
            | Self::AlreadyKnown { .. }
            | Self::PoolFull { .. }
            | Self::RateLimited { .. }
            | Self::UnknownBlock { .. } => Severity::Transient,
            Self::Rpc { code, .. } => rpc_severity(*code),
            Self::ResponseTooLarge { .. }
            | Self::NonceTooLow { .. }
            | Self::NonceTooHigh { .. }
            | Self::Underpriced { .. }
            | Self::ReplacementUnderpriced { .. }
            | Self::FeeCapTooLow { .. }
            | Self::InsufficientFunds { .. }
            | Self::AccountReserved { .. }
            | Self::TransactionRejected { .. }
            | Self::ExecutionReverted { .. }
            | Self::RangeTooLarge { .. }
            | Self::MethodUnsupported { .. } => Severity::Recoverable,
            Self::WrongChain { .. } | Self::InvalidEndpoint { .. } => Severity::Fatal,
        }
    }
}

impl L1Error {
    /// Whether another endpoint may well do better with the very same request.
    #[must_use]
    pub fn is_endpoint_fault(&self) -> bool {
        match self {
            Self::Transport { .. }
            | Self::Timeout { .. }
            | Self::InvalidResponse { .. }
            | Self::RateLimited { .. }
            | Self::MethodUnsupported { .. }
            | Self::WrongChain { .. } => true,
            Self::InvalidEndpoint { .. }
            | Self::ResponseTooLarge { .. }
            | Self::NonceTooLow { .. }
            | Self::NonceTooHigh { .. }
            | Self::AlreadyKnown { .. }
            | Self::Underpriced { .. }
            | Self::ReplacementUnderpriced { .. }
            | Self::FeeCapTooLow { .. }
            | Self::InsufficientFunds { .. }
            | Self::AccountReserved { .. }
            | Self::PoolFull { .. }
            | Self::TransactionRejected { .. }
            | Self::ExecutionReverted { .. }
            | Self::RangeTooLarge { .. }
            | Self::UnknownBlock { .. }
            | Self::Rpc { .. } => false,
        }
    }
}

/// JSON-RPC 2.0 section 5.1: -32700 and -32600 to -32602 blame the request; the rest blames the server.
fn rpc_severity(code: i64) -> Severity {
    match code {
        -32700 | -32602..=-32600 => Severity::Recoverable,
        _ => Severity::Transient,
    }
}

/// A node's text made fit for logs: one line, bounded.
pub(crate) fn tame(text: &str) -> String {
    let mut out: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REMOTE_TEXT).collect();
    if text.chars().nth(MAX_REMOTE_TEXT).is_some() {
        out.push('…');
    }
    out
}
