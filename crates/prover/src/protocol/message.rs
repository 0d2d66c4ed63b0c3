use std::fmt;

use alloy_primitives::{Bytes, keccak256};
use ensemble_messages::{
    BatchProof, FailureKind, LeaseId, LeaseState, ProofTask, ProverType, SubmitReply, Work,
};
use serde::{Deserialize, Serialize};

/// From client to server.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// First message of a connection.
    Hello {
        /// [`super::PROTOCOL_VERSION`] of the client.
        version: u16,
        /// Kind of proof it makes.
        prover_type: ProverType,
        /// Name for the server's logs, see [`super::check_name`].
        name: String,
        /// Shared secret, where the server wants one. Never logged.
        token: Option<String>,
    },
    /// Asks for a batch.
    RequestWork,
    /// Still at work on this lease.
    Heartbeat {
        /// The lease of the [`Work`] at hand.
        lease: LeaseId,
        /// Its task.
        task: ProofTask,
    },
    /// Hands in a proof.
    Submit {
        /// The lease the batch was given under.
        lease: LeaseId,
        /// The proof.
        proof: BatchProof,
    },
    /// Gives a job back without a proof.
    Failed {
        /// The lease that ends.
        lease: LeaseId,
        /// What failed.
        kind: FailureKind,
        /// Why, at most [`super::MAX_FAILURE_LEN`] bytes.
        reason: String,
    },
    /// Asks for the piece of the job's input that begins at this byte.
    Fetch {
        /// The lease of the [`JobOffer`] at hand.
        lease: LeaseId,
        /// Bytes that it has already.
        offset: u64,
    },
    /// Ends the session in order.
    Goodbye,
}

/// A job, without its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOffer {
    /// The lease, which names the job in all that follows.
    pub lease: LeaseId,
    /// What to prove.
    pub task: ProofTask,
    /// Milliseconds after which the job is given to somebody else unless a heartbeat comes.
    pub lease_ms: u64,
    /// Bytes of the input, see [`super::decode_input`].
    pub input_bytes: u64,
    /// Bytes of it on the wire: one zstd frame.
    pub packed_bytes: u64,
}

impl From<&Work> for JobOffer {
    fn from(work: &Work) -> Self {
        Self {
            lease: work.lease,
            task: work.task,
            lease_ms: work.lease_ms,
            input_bytes: work.input.bytes,
            packed_bytes: work.input.packed.len() as u64,
        }
    }
}

impl fmt::Debug for ClientMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { version, prover_type, name, token } => f
                .debug_struct("Hello")
                .field("version", version)
                .field("prover_type", prover_type)
                .field("name", name)
                .field("token", &token.as_ref().map(|_| "***"))
                .finish(),
            Self::RequestWork => f.write_str("RequestWork"),
            Self::Heartbeat { lease, task } => {
                f.debug_struct("Heartbeat").field("lease", lease).field("task", task).finish()
            }
            Self::Submit { lease, proof } => {
                f.debug_struct("Submit").field("lease", lease).field("proof", proof).finish()
            }
            Self::Failed { lease, kind, reason } => f
                .debug_struct("Failed")
                .field("lease", lease)
                .field("kind", kind)
                .field("reason", reason)
                .finish(),
            Self::Fetch { lease, offset } => {
                f.debug_struct("Fetch").field("lease", lease).field("offset", offset).finish()
            }
            Self::Goodbye => f.write_str("Goodbye"),
        }
    }
}

/// From server to client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// Answer to a good [`ClientMessage::Hello`].
    Welcome {
        /// [`super::PROTOCOL_VERSION`] of the server.
        version: u16,
        /// Number of the session, for logs on both sides.
        session: u64,
        /// Milliseconds between heartbeats that the server wants while the client proves.
        heartbeat_ms: u64,
        /// Most bytes of a frame that it takes from the client: what a proof must fit into.
        max_frame_bytes: u32,
    },
    /// The server ends the session.
    Refused {
        /// Why, for the program.
        code: RefusalCode,
        /// Why, for its operator; cut at 512 bytes.
        reason: String,
    },
    /// Something to prove; its input is fetched next.
    Work(JobOffer),
    /// Answer to [`ClientMessage::Fetch`].
    Chunk {
        /// The job.
        lease: LeaseId,
        /// Where in the compressed input it begins.
        offset: u64,
        /// The bytes, at most [`super::CHUNK_BYTES`].
        data: Bytes,
    },
    /// Answer to [`ClientMessage::Fetch`]: this session has no such input, or no longer. Ask for work again.
    InputGone {
        /// The job that was asked for.
        lease: LeaseId,
    },
    /// No batch to prove now.
    Idle {
        /// Milliseconds to wait before asking again.
        retry_after_ms: u64,
    },
    /// Answer to [`ClientMessage::Heartbeat`].
    HeartbeatAck {
        /// What became of the lease.
        state: LeaseState,
    },
    /// Answer to [`ClientMessage::Submit`].
    SubmitAck {
        /// Lease that the proof came under.
        lease: LeaseId,
        /// What became of it.
        reply: SubmitReply,
    },
    /// Answer to [`ClientMessage::Failed`].
    FailedAck {
        /// `false`: it could not be kept; say it again.
        taken: bool,
    },
}

/// Why a server ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// The client's protocol version is not the server's. Final.
    WrongVersion,
    /// The token is missing or wrong. Final.
    Unauthorized,
    /// No proofs of this kind are wanted, or this prover gets no work. May change.
    NotWanted,
    /// The prover handed in bad proofs and is not listened to for a while.
    Quarantined,
    /// The server has as many sessions as it takes.
    Busy,
    /// The server is going down.
    ShuttingDown,
    /// The client broke the protocol.
    ProtocolViolation,
    /// A code of a later version.
    Other(u8),
}

impl RefusalCode {
    /// The byte on the wire: 1 wrong version, 2 unauthorized, 3 not wanted, 4 quarantined, 5 busy,
    /// 6 shutting down, 7 protocol violation.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        match self {
            Self::WrongVersion => 1,
            Self::Unauthorized => 2,
            Self::NotWanted => 3,
            Self::Quarantined => 4,
            Self::Busy => 5,
            Self::ShuttingDown => 6,
            Self::ProtocolViolation => 7,
            Self::Other(byte) => byte,
        }
    }

    /// Reads the byte of [`Self::to_byte`]; every byte is a code.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::WrongVersion,
            2 => Self::Unauthorized,
            3 => Self::NotWanted,
            4 => Self::Quarantined,
            5 => Self::Busy,
            6 => Self::ShuttingDown,
            7 => Self::ProtocolViolation,
            other => Self::Other(other),
        }
    }

    /// Whether trying again with the same client and configuration is in vain.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::WrongVersion | Self::Unauthorized => true,
            Self::NotWanted
            | Self::Quarantined
            | Self::Busy
            | Self::ShuttingDown
            | Self::ProtocolViolation
            | Self::Other(_) => false,
        }
    }
}

/// Compares a token from the network with the one wanted, in a time that tells nothing about where they differ
/// (the hashes are compared, which an attacker cannot steer).
#[must_use]
pub fn token_matches(expected: &str, offered: Option<&str>) -> bool {
    offered.is_some_and(|offered| keccak256(expected) == keccak256(offered))
}
