use ensemble_messages::{LeaseId, SubmitReply};

/// Something that happened in a client, for whoever watches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server said welcome.
    Connected {
        /// The server's number for the session.
        session: u64,
    },
    /// The connection failed, was lost or was refused.
    Disconnected {
        /// Why.
        reason: String,
        /// Milliseconds until the next attempt.
        retry_in_ms: u64,
    },
    /// The server has no work.
    Idle {
        /// Milliseconds until the next request.
        retry_in_ms: u64,
    },
    /// A batch, or the proofs of a range, came in and is being proven.
    WorkReceived {
        /// Its number; of a range the last one.
        batch_number: u64,
        /// The lease it is given under.
        lease: LeaseId,
        /// Bytes of its input.
        input_bytes: usize,
    },
    /// The lease may have gone to somebody else; the proof is finished and handed in all the same.
    LeaseLost {
        /// Batch of the lease.
        batch_number: u64,
    },
    /// Another prover has finished the batch: the backend is told to stop.
    Cancelled {
        /// The batch.
        batch_number: u64,
    },
    /// The backend made a proof.
    Proved {
        /// Batch it is for.
        batch_number: u64,
        /// Milliseconds it took.
        took_ms: u64,
    },
    /// The backend made one proof of several.
    Joined {
        /// First batch it is for.
        first: u64,
        /// Last batch it is for.
        last: u64,
        /// Milliseconds it took.
        took_ms: u64,
    },
    /// The proof is larger than what the server takes. It is kept for a session with one that takes it.
    TooLarge {
        /// Batch it is for.
        batch_number: u64,
        /// Bytes of its message.
        bytes: u64,
        /// Most bytes that the server takes: its `prover_server.max_frame_bytes`.
        max_bytes: u64,
    },
    /// The backend made no proof.
    ProofFailed {
        /// Batch it was for.
        batch_number: u64,
        /// Why.
        reason: String,
        /// Milliseconds until the next request.
        retry_in_ms: u64,
    },
    /// A proof was sent.
    Submitted {
        /// Batch it is for.
        batch_number: u64,
    },
    /// The server answered to a proof.
    Answered {
        /// Batch it is for.
        batch_number: u64,
        /// What became of it.
        reply: SubmitReply,
    },
}

/// What a client did from start to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientReport {
    /// Sessions that the server welcomed.
    pub sessions: u64,
    /// Batches received.
    pub received: u64,
    /// Proofs made.
    pub proved: u64,
    /// Batches for which no proof was made.
    pub failed: u64,
    /// Times a proof was sent, repetitions included.
    pub submitted: u64,
    /// Proofs accepted.
    pub accepted: u64,
    /// Proofs that the server had already.
    pub duplicates: u64,
    /// Proofs rejected.
    pub rejected: u64,
    /// Leases lost while proving.
    pub leases_lost: u64,
    /// Proofs given up as another prover was faster.
    pub cancelled: u64,
    /// Batch whose proof was made, or in the making, when the client was stopped, without an answer for it.
    pub unfinished: Option<u64>,
}
