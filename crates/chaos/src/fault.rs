//! What can be done to one request.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing done to one request. Where a fault needs something that the answer does not have (an error answer to
/// [`Fault::WrongType`], say), the answer passes unchanged and is not counted as faulted.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The request reaches the node late, by a time drawn from this range.
    DelayRequest(RangeInclusive<Duration>),
    /// The answer reaches the client late, so that later requests are answered before it.
    DelayAnswer(RangeInclusive<Duration>),
    /// An HTTP status in place of an answer; the node never sees the request.
    Status(u16),
    /// A JSON-RPC error in place of an answer; the node never sees the request.
    RpcError {
        /// JSON-RPC code.
        code: i64,
        /// The words that go with it.
        message: String,
    },
    /// The connection ends without an answer; the node never sees the request.
    CutRequest,
    /// The connection ends after a part of the answer.
    CutAnswer {
        /// How much of the answer is sent, in hundredths; at least one byte is missing.
        percent: u8,
        /// What the client is told of the length.
        length: Length,
    },
    /// The node does what was asked; the connection ends without an answer.
    LoseAnswer,
    /// The node does what was asked; no answer ever comes, and the connection stays.
    NeverAnswer,
    /// The node gets the request twice, one after the other; the client gets the second answer.
    Duplicate,
    /// The answer is exchanged, id and all, for that of another request: one that is answered while this one waits.
    /// When none comes within this time, the answer passes unchanged.
    Swap(Duration),
    /// An answer to the same question (method and parameters) that is older by so many *different* answers, or the
    /// oldest there is. Passes unchanged while the question had only one answer so far. Never for what the Ethereum
    /// JSON-RPC does not let a lagging node answer differently: transactions that are sent, `engine_…`, `eth_chainId`.
    Stale(usize),
    /// The result is replaced by something of another type.
    WrongType(WrongType),
    /// The result is replaced by this value.
    Result(Value),
    /// The logs of the result are made wrong. Only for results that are a list of logs with at least one.
    Logs(LogFault),
    /// A result that is a string of so many bytes. It is made while it is sent and never held in memory.
    Enormous {
        /// Length of the string in bytes.
        bytes: u64,
        /// Whether the header says how long the answer is.
        announced: bool,
    },
    /// A body that is no JSON.
    InvalidJson,
    /// The answer, with its last string or name broken in the middle of a UTF-8 character.
    InvalidUtf8,
    /// The answer has the id of no request.
    WrongId,
    /// `eth_chainId` and `net_version` answer this chain id; other methods pass.
    WrongChain(u64),
    /// The port is closed for so long: this connection and all others end, new ones are refused.
    Down(Duration),
}

/// What the header of an answer that is cut says of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// That of the whole answer: the client sees that bytes are missing.
    Whole,
    /// That of what is sent: the client sees a complete answer that is no JSON.
    OfTheRest,
    /// Nothing (chunked): the last chunk is missing.
    Unknown,
}

/// What takes the place of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongType {
    /// `null`, which is a legal answer of many methods.
    Null,
    /// A string that is no hex.
    Text,
    /// A number.
    Number,
    /// An empty list.
    EmptyList,
    /// An object without fields.
    EmptyObject,
    /// The object without this field; for a list, its first object.
    Without(String),
}

/// What is done to a list of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFault {
    /// The last log is of another contract.
    OtherAddress,
    /// The last log has another first topic.
    OtherTopic,
    /// The last log has five topics.
    FiveTopics,
    /// The last log is of a block below those that were asked for.
    OtherBlock,
    /// The last log is pending: it has no block.
    NoBlock,
    /// The last log is there twice.
    Twice,
    /// The last log is there again at the next index of its block: same topics, same data.
    Again,
    /// The last log is marked as removed by a reorg.
    Removed,
    /// The last log is missing, as from a node that is behind. No client can see this from one answer.
    Missing,
    /// In reverse order. No fault: JSON-RPC promises no order.
    Reversed,
}

/// A [`Fault`] without its parameters, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// [`Fault::DelayRequest`].
    DelayRequest,
    /// [`Fault::DelayAnswer`].
    DelayAnswer,
    /// [`Fault::Status`].
    Status,
    /// [`Fault::RpcError`].
    RpcError,
    /// [`Fault::CutRequest`].
    CutRequest,
    /// [`Fault::CutAnswer`].
    CutAnswer,
    /// [`Fault::LoseAnswer`].
    LoseAnswer,
    /// [`Fault::NeverAnswer`].
    NeverAnswer,
    /// [`Fault::Duplicate`].
    Duplicate,
    /// [`Fault::Swap`]; counted for both requests.
    Swap,
    /// [`Fault::Stale`].
    Stale,
    /// [`Fault::WrongType`].
    WrongType,
    /// [`Fault::Result`].
    Result,
    /// [`Fault::Logs`].
    Logs,
    /// [`Fault::Enormous`].
    Enormous,
    /// [`Fault::InvalidJson`].
    InvalidJson,
    /// [`Fault::InvalidUtf8`].
    InvalidUtf8,
    /// [`Fault::WrongId`].
    WrongId,
    /// [`Fault::WrongChain`].
    WrongChain,
    /// [`Fault::Down`].
    Down,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DelayRequest => "delay request",
            Self::DelayAnswer => "delay answer",
            Self::Status => "status",
            Self::RpcError => "rpc error",
            Self::CutRequest => "cut request",
            Self::CutAnswer => "cut answer",
            Self::LoseAnswer => "lose answer",
            Self::NeverAnswer => "never answer",
            Self::Duplicate => "duplicate",
            Self::Swap => "swap",
            Self::Stale => "stale",
            Self::WrongType => "wrong type",
            Self::Result => "result",
            Self::Logs => "logs",
            Self::Enormous => "enormous",
            Self::InvalidJson => "invalid JSON",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::WrongId => "wrong id",
            Self::WrongChain => "wrong chain",
            Self::Down => "down",
        })
    }
}

impl Fault {
    /// The kind of this fault.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::DelayRequest(_) => FaultKind::DelayRequest,
            Self::DelayAnswer(_) => FaultKind::DelayAnswer,
            Self::Status(_) => FaultKind::Status,
            Self::RpcError { .. } => FaultKind::RpcError,
            Self::CutRequest => FaultKind::CutRequest,
            Self::CutAnswer { .. } => FaultKind::CutAnswer,
            Self::LoseAnswer => FaultKind::LoseAnswer,
            Self::NeverAnswer => FaultKind::NeverAnswer,
            Self::Duplicate => FaultKind::Duplicate,
            Self::Swap(_) => FaultKind::Swap,
            Self::Stale(_) => FaultKind::Stale,
            Self::WrongType(_) => FaultKind::WrongType,
            Self::Result(_) => FaultKind::Result,
            Self::Logs(_) => FaultKind::Logs,
            Self::Enormous { .. } => FaultKind::Enormous,
            Self::InvalidJson => FaultKind::InvalidJson,
            Self::InvalidUtf8 => FaultKind::InvalidUtf8,
            Self::WrongId => FaultKind::WrongId,
            Self::WrongChain(_) => FaultKind::WrongChain,
            Self::Down(_) => FaultKind::Down,
        }
    }

    /// The error that providers answer when an account asks too often.
    #[must_use]
    pub fn rate_limited() -> Self {
        Self::RpcError { code: -32005, message: "limit exceeded: too many requests".to_owned() }
    }

    /// The error of a node that does not have the block that a query is about.
    #[must_use]
    pub fn header_not_found() -> Self {
        Self::RpcError { code: -32000, message: "header not found".to_owned() }
    }

    /// The error of a node that fails inside.
    #[must_use]
    pub fn internal_error() -> Self {
        Self::RpcError { code: -32603, message: "internal error".to_owned() }
    }

    /// Half of the answer, and a header that promises all of it.
    #[must_use]
    pub fn cut_in_the_middle() -> Self {
        Self::CutAnswer { percent: 50, length: Length::Whole }
    }
}
