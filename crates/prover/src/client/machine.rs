//! What the client decides. Time is milliseconds on a monotonic clock that the caller reads.

use ensemble_messages::{BatchProof, FailureKind, LeaseId, LeaseState, ProofTask, ProverType, SubmitReply};
use rand::Rng;
use rand::rngs::StdRng;

use super::{ClientEvent, ClientReport, ProverClientConfig, ProverError};
use crate::backend::{BackendError, BackendProof};
use crate::protocol::{
    ClientMessage, InputError, InputReader, JobOffer, PROTOCOL_VERSION, RefusalCode, ServerMessage,
};

/// Shortest wait between two messages of the same kind, whatever the server or the configuration say.
pub(super) const MIN_PAUSE_MS: u64 = 10;
/// Wait before a failure is told again that the server could not keep.
const TELL_AGAIN_MS: u64 = 1000;
/// Longest wait that a server can ask for.
pub(super) const MAX_PAUSE_MS: u64 = 5 * 60 * 1000;

/// What the shell is to do, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Connect,
    Send(ClientMessage),
    Disconnect,
    Prove {
        task: ProofTask,
        input: Vec<u8>,
    },
    /// Has the backend give up; [`Machine::proved`] follows.
    Cancel,
    Emit(ClientEvent),
    Finish(Result<(), ProverError>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Welcome,
    WorkReply,
    Chunk,
    HeartbeatAck,
    SubmitAck,
    FailedAck,
}

impl Awaited {
    fn name(self) -> &'static str {
        match self {
            Self::Welcome => "hello",
            Self::WorkReply => "request for work",
            Self::Chunk => "request for a piece of the input",
            Self::HeartbeatAck => "heartbeat",
            Self::SubmitAck => "proof",
            Self::FailedAck => "failure",
        }
    }
}

#[derive(Debug)]
enum Link {
    Down {
        retry_at: u64,
    },
    Connecting,
    /// At most one message is without an answer at a time.
    Up {
        awaited: Option<(Awaited, u64)>,
        heartbeat_ms: u64,
    },
    Over,
}

#[derive(Debug)]
enum Job {
    /// The input comes in.
    Fetching {
        offer: JobOffer,
        reader: Box<InputReader>,
        heartbeat_at: u64,
    },
    Proving {
        lease: LeaseId,
        task: ProofTask,
        lease_ms: u64,
        since: u64,
        heartbeat_at: u64,
        lost: bool,
    },
    /// The backend was told to give up and has not done so yet.
    Stopping,
    Proven {
        lease: LeaseId,
        task: ProofTask,
        proof: BatchProof,
        submit_at: u64,
    },
    /// Too large a proof for the server of this session. The heartbeats say whether somebody still wants it.
    Kept {
        lease: LeaseId,
        task: ProofTask,
        proof: BatchProof,
        heartbeat_at: u64,
    },
    /// There will be no proof; the server does not know yet.
    Failed {
        lease: LeaseId,
        kind: FailureKind,
        reason: String,
        tell_at: u64,
        /// The proof, when there is one that cannot be sent.
        kept: Option<(ProofTask, BatchProof)>,
    },
}

impl Job {
    /// Batch whose proof is made or in the making.
    fn unfinished(&self) -> Option<u64> {
        match self {
            Self::Proving { task, .. } => Some(task.last_batch()),
            Self::Proven { proof, .. } | Self::Kept { proof, .. } => Some(proof.batch_number),
            Self::Failed { kept, .. } => kept.as_ref().map(|(_, proof)| proof.batch_number),
            Self::Fetching { .. } | Self::Stopping => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Machine {
    config: ProverClientConfig,
    rng: StdRng,
    link: Link,
    job: Option<Job>,
    /// Failed attempts to get a useful answer since the last one.
    attempts: u32,
    /// Failed or rejected proofs since the last good one.
    setbacks: u32,
    request_at: u64,
    stop_by: Option<u64>,
    report: ClientReport,
    actions: Vec<Action>,
}

impl Machine {
    pub(super) fn new(config: ProverClientConfig, rng: StdRng) -> Self {
        Self {
            config,
            rng,
            link: Link::Down { retry_at: 0 },
            job: None,
            attempts: 0,
            setbacks: 0,
            request_at: 0,
            stop_by: None,
            report: ClientReport::default(),
            actions: Vec::new(),
        }
    }

    pub(super) fn report(&self) -> ClientReport {
        ClientReport { unfinished: self.job.as_ref().and_then(Job::unfinished), ..self.report.clone() }
    }

    /// Decides what is due at `now`, and hands out what is to be done.
    pub(super) fn due(&mut self, now: u64) -> Vec<Action> {
        self.advance(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Self::due`] has something to decide even if nothing happens.
    pub(super) fn wake_at(&self) -> Option<u64> {
        let next = match &self.link {
            Link::Over | Link::Connecting => None,
            Link::Down { retry_at } => Some(*retry_at),
            Link::Up { awaited: Some((_, deadline)), .. } => Some(*deadline),
            Link::Up { awaited: None, .. } => match &self.job {
                None => Some(self.request_at),
                Some(Job::Fetching { .. }) => Some(0),
                Some(Job::Proving { heartbeat_at, .. } | Job::Kept { heartbeat_at, .. }) => {
                    Some(*heartbeat_at)
                }
                Some(Job::Stopping) => None,
                Some(Job::Proven { submit_at, .. }) => Some(*submit_at),
                Some(Job::Failed { tell_at, .. }) => Some(*tell_at),
            },
        };
        match (next, self.stop_by) {
            (Some(next), Some(stop)) => Some(next.min(stop)),
            (next, stop) => next.or(stop),
        }
    }

    fn advance(&mut self, now: u64) {
        if let Some(stop_by) = self.stop_by {
            let answer_may_come = matches!(self.link, Link::Up { .. })
                && matches!(self.job, Some(Job::Proven { .. } | Job::Failed { .. }));
            if !answer_may_come || now >= stop_by {
                return self.leave();
            }
        }
        match &mut self.link {
            Link::Over | Link::Connecting => {}
            Link::Down { retry_at } => {
                if now >= *retry_at {
                    self.link = Link::Connecting;
                    self.actions.push(Action::Connect);
                }
            }
            Link::Up { awaited: Some((awaited, deadline)), .. } => {
                if now >= *deadline {
                    let reason = format!("the server gave no answer to the {}", awaited.name());
                    self.disconnect(now, reason);
                }
            }
            Link::Up { awaited: None, heartbeat_ms } => {
                let heartbeat_ms = *heartbeat_ms;
                match &mut self.job {
                    None if now >= self.request_at => {
                        self.send(now, ClientMessage::RequestWork, Awaited::WorkReply);
                    }
                    Some(Job::Fetching { offer, heartbeat_at: at, .. }) if now >= *at => {
                        *at = now + heartbeat_ms.min(offer.lease_ms / 3).max(MIN_PAUSE_MS);
                        let (lease, task) = (offer.lease, offer.task);
                        self.send(now, ClientMessage::Heartbeat { lease, task }, Awaited::HeartbeatAck);
                    }
                    Some(Job::Fetching { offer, reader, .. }) => {
                        let message = ClientMessage::Fetch { lease: offer.lease, offset: reader.offset() };
                        self.send(now, message, Awaited::Chunk);
                    }
                    Some(Job::Proving { lease, task, lease_ms, heartbeat_at: at, .. }) if now >= *at => {
                        *at = now + heartbeat_ms.min(*lease_ms / 3).max(MIN_PAUSE_MS);
                        let (lease, task) = (*lease, *task);
                        self.send(now, ClientMessage::Heartbeat { lease, task }, Awaited::HeartbeatAck);
                    }
                    Some(Job::Kept { lease, task, heartbeat_at: at, .. }) if now >= *at => {
                        *at = now + heartbeat_ms;
                        let (lease, task) = (*lease, *task);
                        self.send(now, ClientMessage::Heartbeat { lease, task }, Awaited::HeartbeatAck);
                    }
                    Some(Job::Proven { lease, proof, submit_at, .. }) if now >= *submit_at => {
                        let message = ClientMessage::Submit { lease: *lease, proof: proof.clone() };
                        self.send(now, message, Awaited::SubmitAck);
                    }
                    Some(Job::Failed { lease, kind, reason, tell_at, .. }) if now >= *tell_at => {
                        let message =
                            ClientMessage::Failed { lease: *lease, kind: *kind, reason: reason.clone() };
                        self.send(now, message, Awaited::FailedAck);
                    }
                    None
                    | Some(
                        Job::Proving { .. }
                        | Job::Stopping
                        | Job::Proven { .. }
                        | Job::Kept { .. }
                        | Job::Failed { .. },
                    ) => {}
                }
            }
        }
    }

    fn send(&mut self, now: u64, message: ClientMessage, awaited: Awaited) {
        let deadline = now + self.patience(awaited);
        if let Link::Up { awaited: slot, .. } = &mut self.link {
            *slot = Some((awaited, deadline));
        }
        self.actions.push(Action::Send(message));
    }

    fn patience(&self, awaited: Awaited) -> u64 {
        match awaited {
            Awaited::Welcome
            | Awaited::WorkReply
            | Awaited::Chunk
            | Awaited::HeartbeatAck
            | Awaited::FailedAck => self.config.reply_timeout_ms,
            Awaited::SubmitAck => self.config.submit_timeout_ms,
        }
    }

    /// A part of the awaited answer came in.
    pub(super) fn progress(&mut self, now: u64) {
        if let Link::Up { awaited: Some((awaited, _)), .. } = self.link {
            let later = now + self.patience(awaited);
            if let Link::Up { awaited: Some((_, deadline)), .. } = &mut self.link {
                *deadline = later;
            }
        }
    }

    /// The proof at hand went out.
    pub(super) fn submitted(&mut self) {
        if let Some(Job::Proven { proof, .. }) = &self.job {
            let batch_number = proof.batch_number;
            self.report.submitted += 1;
            self.emit(ClientEvent::Submitted { batch_number });
        }
    }

    fn emit(&mut self, event: ClientEvent) {
        self.actions.push(Action::Emit(event));
    }

    fn leave(&mut self) {
        if matches!(self.link, Link::Up { .. }) {
            self.actions.push(Action::Send(ClientMessage::Goodbye));
        }
        self.finish(Ok(()));
    }

    fn finish(&mut self, result: Result<(), ProverError>) {
        if !matches!(self.link, Link::Over) {
            self.link = Link::Over;
            self.actions.push(Action::Finish(result));
        }
    }

    /// `initial * 2^(n-1)` up to the maximum, of which a random half to whole is taken.
    fn backoff(&mut self, failures: u32) -> u64 {
        let doubled = 1u64
            .checked_shl(failures.saturating_sub(1))
            .and_then(|factor| self.config.backoff_initial_ms.checked_mul(factor))
            .unwrap_or(u64::MAX)
            .min(self.config.backoff_max_ms);
        self.rng.gen_range(doubled.div_ceil(2)..=doubled).max(1)
    }

    fn down(&mut self, now: u64, reason: String, retry_in_ms: u64) {
        self.link = Link::Down { retry_at: now + retry_in_ms };
        if matches!(self.job, Some(Job::Fetching { .. })) {
            // The next session gives the same job again, from its beginning.
            self.job = None;
        }
        self.emit(ClientEvent::Disconnected { reason, retry_in_ms });
    }

    fn disconnect(&mut self, now: u64, reason: String) {
        self.actions.push(Action::Disconnect);
        self.lost(now, reason);
    }

    pub(super) fn connected(&mut self, now: u64) {
        if !matches!(self.link, Link::Connecting) {
            return;
        }
        self.link = Link::Up { awaited: None, heartbeat_ms: MAX_PAUSE_MS };
        let hello = ClientMessage::Hello {
            version: PROTOCOL_VERSION,
            prover_type: self.config.prover_type,
            name: self.config.name.clone(),
            token: self.config.token.clone(),
        };
        self.send(now, hello, Awaited::Welcome);
    }

    /// The connection could not be made, or is gone.
    pub(super) fn lost(&mut self, now: u64, reason: String) {
        if matches!(self.link, Link::Over | Link::Down { .. }) {
            return;
        }
        self.attempts = self.attempts.saturating_add(1);
        let wait = self.backoff(self.attempts);
        self.down(now, reason, wait);
    }

    pub(super) fn stop(&mut self, now: u64) {
        self.stop_by.get_or_insert(now + self.config.shutdown_grace_ms);
    }

    pub(super) fn received(&mut self, now: u64, message: ServerMessage) {
        let Link::Up { awaited, heartbeat_ms } = &mut self.link else {
            return;
        };
        let expected = awaited.take().map(|(awaited, _)| awaited);
        match (expected, message) {
            (_, ServerMessage::Refused { code, reason }) => self.refused(now, code, reason),
            (
                Some(Awaited::Welcome),
                ServerMessage::Welcome { version, session, heartbeat_ms: wanted, max_frame_bytes: _ },
            ) => {
                if version != PROTOCOL_VERSION {
                    let reason = format!("it speaks {version}, this prover {PROTOCOL_VERSION}");
                    return self.finish(Err(ProverError::WrongVersion { reason }));
                }
                *heartbeat_ms = wanted.clamp(MIN_PAUSE_MS, MAX_PAUSE_MS);
                self.report.sessions += 1;
                self.job = match self.job.take() {
                    Some(Job::Proving { lease, task, lease_ms, since, heartbeat_at: _, lost }) => {
                        Some(Job::Proving { lease, task, lease_ms, since, heartbeat_at: now, lost })
                    }
                    // This server may take it.
                    Some(
                        Job::Kept { lease, task, proof, .. }
                        | Job::Failed { lease, kept: Some((task, proof)), .. },
                    ) => Some(Job::Proven { lease, task, proof, submit_at: now }),
                    other => other,
                };
                self.emit(ClientEvent::Connected { session });
            }
            (Some(Awaited::WorkReply), ServerMessage::Work(offer)) => {
                self.attempts = 0;
                let beat = (*heartbeat_ms).min(offer.lease_ms / 3).max(MIN_PAUSE_MS);
                self.offered(now, offer, now + beat);
            }
            (Some(Awaited::Chunk), ServerMessage::Chunk { lease, offset, data }) if matches!(&self.job, Some(Job::Fetching { offer, .. }) if offer.lease == lease) =>
            {
                self.attempts = 0;
                self.chunk(now, offset, &data);
            }
            (Some(Awaited::Chunk), ServerMessage::InputGone { lease }) if matches!(&self.job, Some(Job::Fetching { offer, .. }) if offer.lease == lease) =>
            {
                self.job = None;
                self.set_back(now);
            }
            (Some(Awaited::WorkReply), ServerMessage::Idle { retry_after_ms }) => {
                self.attempts = 0;
                let wait = retry_after_ms.clamp(MIN_PAUSE_MS, MAX_PAUSE_MS).max(self.config.proving_time_ms);
                self.request_at = now + wait;
                self.emit(ClientEvent::Idle { retry_in_ms: wait });
            }
            (Some(Awaited::HeartbeatAck), ServerMessage::HeartbeatAck { state }) => {
                self.attempts = 0;
                self.lease_is(state);
            }
            (Some(Awaited::SubmitAck), ServerMessage::SubmitAck { lease, reply }) if matches!(&self.job, Some(Job::Proven { lease: ours, .. }) if *ours == lease) =>
            {
                self.attempts = 0;
                self.answered(now, reply);
            }
            (Some(Awaited::FailedAck), ServerMessage::FailedAck { taken }) => {
                self.attempts = 0;
                if let Some(Job::Failed { lease, tell_at, kept, .. }) = &mut self.job {
                    *tell_at = now + TELL_AGAIN_MS;
                    if taken {
                        let (lease, heartbeat_at) = (*lease, now + *heartbeat_ms);
                        self.job =
                            kept.take().map(|(task, proof)| Job::Kept { lease, task, proof, heartbeat_at });
                    }
                }
            }
            (expected, message) => {
                let what = match message {
                    ServerMessage::Welcome { .. } => "a welcome",
                    ServerMessage::Refused { .. } => "a refusal",
                    ServerMessage::Work(_) => "work",
                    ServerMessage::Chunk { .. } | ServerMessage::InputGone { .. } => "a piece of an input",
                    ServerMessage::Idle { .. } => "idle",
                    ServerMessage::HeartbeatAck { .. } => "a heartbeat's answer",
                    ServerMessage::SubmitAck { .. } => "an answer to a proof that was not sent",
                    ServerMessage::FailedAck { .. } => "an answer to a failure",
                };
                let asked = expected.map_or("nothing", Awaited::name);
                self.disconnect(now, format!("the server sent {what} in answer to: {asked}"));
            }
        }
    }

    fn offered(&mut self, now: u64, offer: JobOffer, heartbeat_at: u64) {
        self.report.received += 1;
        let (lease, batch_number) = (offer.lease, offer.task.last_batch());
        let input_bytes = usize::try_from(offer.input_bytes).unwrap_or(usize::MAX);
        self.emit(ClientEvent::WorkReceived { batch_number, lease, input_bytes });
        match InputReader::new(offer.input_bytes, offer.packed_bytes, self.config.max_input_bytes) {
            Ok(reader) => self.job = Some(Job::Fetching { offer, reader: Box::new(reader), heartbeat_at }),
            Err(error @ InputError::TooLarge { .. }) => {
                let why = format!("{error}; raise prover_client.max_input_bytes");
                self.failed(now, lease, batch_number, &BackendError::Failed(why));
            }
            Err(error) => {
                self.failed(now, lease, batch_number, &BackendError::Failed(error.to_string()));
            }
        }
    }

    fn chunk(&mut self, now: u64, offset: u64, data: &[u8]) {
        let Some(Job::Fetching { offer, mut reader, heartbeat_at }) = self.job.take() else { return };
        let JobOffer { lease, task, lease_ms, .. } = offer;
        let input = match reader.push(offset, data) {
            Ok(()) if !reader.is_complete() => {
                self.job = Some(Job::Fetching { offer, reader, heartbeat_at });
                return;
            }
            Ok(()) => reader.finish(),
            Err(error) => Err(error),
        };
        match input {
            Ok(input) => {
                // The first heartbeat comes at once: it says that the job has begun.
                self.job =
                    Some(Job::Proving { lease, task, lease_ms, since: now, heartbeat_at: now, lost: false });
                self.actions.push(Action::Prove { task, input });
            }
            Err(error) => {
                let error = BackendError::Failed(format!("the input is unusable: {error}"));
                self.failed(now, lease, task.last_batch(), &error);
            }
        }
    }

    fn lease_is(&mut self, state: LeaseState) {
        match &self.job {
            Some(Job::Fetching { .. }) if state == LeaseState::Done => {
                self.job = None;
                return;
            }
            Some(Job::Kept { proof, .. }) if state == LeaseState::Done => {
                let batch_number = proof.batch_number;
                self.job = None;
                self.report.cancelled += 1;
                self.emit(ClientEvent::Cancelled { batch_number });
                return;
            }
            _ => {}
        }
        let Some(Job::Proving { task, lost, .. }) = &mut self.job else { return };
        let batch_number = task.last_batch();
        match state {
            LeaseState::Alive => {}
            LeaseState::Lost => {
                if !std::mem::replace(lost, true) {
                    self.report.leases_lost += 1;
                    self.emit(ClientEvent::LeaseLost { batch_number });
                }
            }
            LeaseState::Done => {
                self.job = Some(Job::Stopping);
                self.report.cancelled += 1;
                self.actions.push(Action::Cancel);
                self.emit(ClientEvent::Cancelled { batch_number });
            }
        }
    }

    fn refused(&mut self, now: u64, code: RefusalCode, reason: String) {
        match code {
            RefusalCode::WrongVersion => self.finish(Err(ProverError::WrongVersion { reason })),
            RefusalCode::Unauthorized => self.finish(Err(ProverError::Unauthorized { reason })),
            RefusalCode::NotWanted | RefusalCode::Quarantined => {
                self.actions.push(Action::Disconnect);
                let wait = self.config.backoff_max_ms;
                self.down(now, format!("the server refused this prover: {reason}"), wait);
            }
            RefusalCode::Busy
            | RefusalCode::ShuttingDown
            | RefusalCode::ProtocolViolation
            | RefusalCode::Other(_) => {
                self.disconnect(now, format!("the server refused this prover: {reason}"));
            }
        }
    }

    fn answered(&mut self, now: u64, reply: SubmitReply) {
        let Some(Job::Proven { proof, .. }) = &self.job else { return };
        let batch_number = proof.batch_number;
        match &reply {
            SubmitReply::Accepted => {
                self.report.accepted += 1;
                self.setbacks = 0;
                self.job = None;
                self.request_at = now;
            }
            SubmitReply::Duplicate => {
                self.report.duplicates += 1;
                self.setbacks = 0;
                self.job = None;
                self.request_at = now + self.config.proving_time_ms.max(MIN_PAUSE_MS);
            }
            SubmitReply::Rejected(_) => {
                self.report.rejected += 1;
                self.job = None;
                self.set_back(now);
            }
            SubmitReply::RetryLater { retry_after_ms } => {
                if let Some(Job::Proven { submit_at, .. }) = &mut self.job {
                    *submit_at = now + (*retry_after_ms).clamp(MIN_PAUSE_MS, MAX_PAUSE_MS);
                }
            }
        }
        self.emit(ClientEvent::Answered { batch_number, reply });
    }

    fn set_back(&mut self, now: u64) -> u64 {
        self.setbacks = self.setbacks.saturating_add(1);
        let wait = self.backoff(self.setbacks).max(self.config.proving_time_ms).max(MIN_PAUSE_MS);
        self.request_at = now + wait;
        wait
    }

    /// The backend is done with the batch at hand.
    pub(super) fn proved(
        &mut self,
        now: u64,
        prover_type: ProverType,
        result: Result<BackendProof, BackendError>,
    ) {
        if matches!(self.job, Some(Job::Stopping)) {
            self.job = None;
            self.request_at = now;
            return;
        }
        let Some(Job::Proving { lease, task, since, .. }) = self.job else {
            return;
        };
        let batch_number = task.last_batch();
        match result {
            Ok(BackendProof { public_values, program_key, proof }) => {
                self.report.proved += 1;
                let proof = BatchProof { prover_type, batch_number, public_values, program_key, proof };
                self.job = Some(Job::Proven { lease, task, proof, submit_at: now });
                let took_ms = now.saturating_sub(since);
                self.emit(match task {
                    ProofTask::Batch { number } => ClientEvent::Proved { batch_number: number, took_ms },
                    ProofTask::Join { first, last } => ClientEvent::Joined { first, last, took_ms },
                });
            }
            Err(error) => self.failed(now, lease, batch_number, &error),
        }
    }

    /// A message of so many bytes is over the server's limit. If it is a proof, the server is told, and it is kept for
    /// the next session: it may have taken hours, and another prover's would be as large.
    pub(super) fn too_large(&mut self, now: u64, bytes: u64, max_bytes: u64) {
        match self.job.take() {
            Some(Job::Proven { lease, task, proof, .. }) => {
                if let Link::Up { awaited, .. } = &mut self.link {
                    *awaited = None;
                }
                let batch_number = proof.batch_number;
                let reason = format!(
                    "the proof is a message of {bytes} bytes, and this server takes {max_bytes}: start it anew with a \
                     larger prover_server.max_frame_bytes, the prover keeps the proof"
                );
                let kind = FailureKind::Failed;
                let kept = Some((task, proof));
                self.job = Some(Job::Failed { lease, kind, reason, tell_at: now, kept });
                self.emit(ClientEvent::TooLarge { batch_number, bytes, max_bytes });
            }
            other => {
                self.job = other;
                self.disconnect(now, format!("a message of {bytes} bytes, and the server takes {max_bytes}"));
            }
        }
    }

    fn failed(&mut self, now: u64, lease: LeaseId, batch_number: u64, error: &BackendError) {
        self.report.failed += 1;
        let (kind, reason) = error.told();
        self.job = Some(Job::Failed { lease, kind, reason: reason.to_owned(), tell_at: now, kept: None });
        let retry_in_ms = self.set_back(now);
        self.emit(ClientEvent::ProofFailed { batch_number, reason: error.to_string(), retry_in_ms });
    }
}
