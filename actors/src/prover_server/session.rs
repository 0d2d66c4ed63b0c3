//! ProverSession: one connected prover.
//!
//! One message is handled at a time: while it is, nothing is read, so TCP itself holds a hasty prover back, and at
//! most one answer is waiting to be written.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, ContextFutureSpawner, Handler, Message,
    Running, SpawnHandle, StreamHandler, WrapFuture,
    io::{FramedWrite, WriteHandler},
};
use ensemble_messages::{
    BatchProof, FailureKind, Heartbeat, LeaseId, LeaseState, PackedInput, ProofTask, ProverIdentity,
    ProvingFailed, Register, RequestWork, SessionEnded, SessionId, SubmitProof, SubmitReply, WorkReply,
};
use ensemble_prover::ServerStream;
use ensemble_prover::protocol::{
    CHUNK_BYTES, ClientMessage, JobOffer, PROTOCOL_VERSION, ProtocolError, RefusalCode, ServerCodec,
    ServerMessage, token_matches,
};
use ensemble_supervision::{CallError, Outlet};
use tokio::{io::WriteHalf, net::TcpStream};
use tokio_util::codec::FramedRead;

use super::{ProverServerConfig, Route, RouteSession, server::Sessions};
use crate::fail_point::hit_ack;

/// How long the ProofManager may take for one answer.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a prover waits when the ProofManager did not answer.
const RETRY_MS: u64 = 1_000;

type Writer = FramedWrite<ServerMessage, WriteHalf<ServerStream>, ServerCodec>;

/// One connected prover.
pub struct ProverSession {
    id: SessionId,
    peer: String,
    config: Arc<ProverServerConfig>,
    router: Outlet<RouteSession>,
    sessions: Sessions,
    writer: Writer,
    known: Option<(ProverIdentity, Route)>,
    idle: Option<SpawnHandle>,
    busy: bool,
    /// The last words are being written; nothing is heard any more.
    leaving: bool,
    goodbye: bool,
    /// What the prover has not fetched completely.
    input: Option<(LeaseId, Arc<PackedInput>)>,
}

impl std::fmt::Debug for ProverSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProverSession")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Ends a session from outside.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Refuse(pub(super) RefusalCode, pub(super) &'static str);

impl ProverSession {
    /// Starts the actor of a connection on this thread. `busy` turns the prover away at once.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub(super) fn start(
        id: SessionId,
        socket: TcpStream,
        busy: bool,
        config: Arc<ProverServerConfig>,
        router: Outlet<RouteSession>,
        sessions: Sessions,
    ) -> std::io::Result<actix::Addr<Self>> {
        let peer = socket.peer_addr()?.to_string();
        socket.set_nodelay(true)?;
        let (read, write) = tokio::io::split(ServerStream::new(socket, config.tls.as_ref()));
        Ok(Self::create(|ctx| {
            ctx.add_stream(FramedRead::new(read, ServerCodec::new(config.limits)));
            let writer = FramedWrite::new(write, ServerCodec::new(config.limits), ctx);
            Self {
                id,
                peer,
                config,
                router,
                sessions,
                writer,
                known: None,
                idle: None,
                busy,
                leaving: false,
                goodbye: false,
                input: None,
            }
        }))
    }

    fn say(&mut self, message: ServerMessage) {
        self.writer.write(message);
    }

    fn refuse(&mut self, code: RefusalCode, reason: impl Into<String>, ctx: &mut Context<Self>) {
        self.say(ServerMessage::Refused { code, reason: reason.into() });
        self.leave(ctx);
    }

    /// Ends the session once what was said is written.
    fn leave(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        self.writer.close();
        // The writer ends the context when it is done; a peer that does not read is not waited for.
        ctx.run_later(Duration::from_secs(5), |_, ctx| ctx.stop());
    }

    /// Closes the session when nothing is heard for this time.
    fn listen_for(&mut self, time: Duration, ctx: &mut Context<Self>) {
        if let Some(timer) = self.idle.take() {
            ctx.cancel_future(timer);
        }
        self.idle = Some(ctx.run_later(time, |actor, ctx| {
            tracing::debug!(session = actor.id.0, peer = actor.peer, "a silent prover connection is closed");
            ctx.stop();
        }));
    }

    fn hello(
        &mut self,
        prover_type: ensemble_messages::ProverType,
        name: String,
        token: Option<&str>,
        ctx: &mut Context<Self>,
    ) {
        if let Some(expected) = &self.config.token
            && !token_matches(expected, token)
        {
            tracing::warn!(peer = self.peer, "a prover with a wrong token was turned away");
            return self.refuse(RefusalCode::Unauthorized, "the token is missing or wrong", ctx);
        }
        let prover = ProverIdentity { name, peer: self.peer.clone(), prover_type };
        let (router, session, asked) = (self.router.clone(), self.id, prover.clone());
        let routed = async move {
            let route = router.call_timeout(RouteSession { session, prover: asked.clone() }, ANSWER).await?;
            let Some(route) = route else { return Ok(None) };
            let admitted = route.register.call_timeout(Register { session, prover: asked }, ANSWER).await?;
            Ok(Some((route, admitted)))
        };
        routed
            .into_actor(self)
            .map(move |result: Result<_, CallError>, actor, ctx| match result {
                Ok(Some((route, Ok(())))) => {
                    actor.sessions.borrow_mut().known(actor.id.0);
                    actor.known = Some((prover, route));
                    let heartbeat_ms = u64::try_from(actor.config.heartbeat.as_millis()).unwrap_or(u64::MAX);
                    let session = actor.id.0;
                    let max_frame_bytes = u32::try_from(actor.config.limits.client_max).unwrap_or(u32::MAX);
                    actor.say(ServerMessage::Welcome {
                        version: PROTOCOL_VERSION,
                        session,
                        heartbeat_ms,
                        max_frame_bytes,
                    });
                    let idle = actor.config.idle_timeout;
                    actor.listen_for(idle, ctx);
                }
                Ok(Some((_, Err(reason)))) => actor.refuse(RefusalCode::NotWanted, reason, ctx),
                Ok(None) => actor.refuse(RefusalCode::Busy, "the proof manager does not run now", ctx),
                Err(error) => actor.refuse(RefusalCode::Busy, error.to_string(), ctx),
            })
            .wait(ctx);
    }

    fn request_work(&mut self, prover: ProverIdentity, route: &Route, ctx: &mut Context<Self>) {
        let (outlet, session) = (route.request_work.clone(), self.id);
        async move { outlet.call_timeout(RequestWork { session, prover }, ANSWER).await }
            .into_actor(self)
            .map(|reply, actor, ctx| match reply {
                Ok(WorkReply::Work(work)) => {
                    actor.say(ServerMessage::Work(JobOffer::from(&work)));
                    actor.input = Some((work.lease, work.input));
                }
                Ok(WorkReply::Idle { retry_after_ms }) => actor.say(ServerMessage::Idle { retry_after_ms }),
                Ok(WorkReply::Refused { reason }) => actor.refuse(RefusalCode::Quarantined, reason, ctx),
                // It is being restarted; asking again is harmless.
                Err(error) => {
                    tracing::debug!(%error, "no answer to a request for work");
                    actor.say(ServerMessage::Idle { retry_after_ms: RETRY_MS });
                }
            })
            .wait(ctx);
    }

    /// A piece of the input; the last one is the end of it here.
    fn fetch(&mut self, lease: LeaseId, offset: u64, ctx: &mut Context<Self>) {
        let Some((_, input)) = self.input.as_ref().filter(|(held, _)| *held == lease) else {
            return self.say(ServerMessage::InputGone { lease });
        };
        let packed = &input.packed;
        let Some(from) = usize::try_from(offset).ok().filter(|from| *from < packed.len()) else {
            let reason = format!("byte {offset} of an input with {} bytes", packed.len());
            return self.refuse(RefusalCode::ProtocolViolation, reason, ctx);
        };
        let to = from.saturating_add(CHUNK_BYTES).min(packed.len());
        let (data, last) = (packed.slice(from..to), to == packed.len());
        self.say(ServerMessage::Chunk { lease, offset, data });
        if last {
            self.input = None;
        }
    }

    fn heartbeat(
        &mut self,
        prover: ProverIdentity,
        route: &Route,
        lease: LeaseId,
        task: ProofTask,
        ctx: &mut Context<Self>,
    ) {
        let (outlet, session) = (route.heartbeat.clone(), self.id);
        async move { outlet.call_timeout(Heartbeat { session, prover, lease, task }, ANSWER).await }
            .into_actor(self)
            .map(|state, actor, _| {
                // No answer is no reason to stop proving: the proof is looked at anyway.
                actor.say(ServerMessage::HeartbeatAck { state: state.unwrap_or(LeaseState::Alive) });
            })
            .wait(ctx);
    }

    fn submit(
        &mut self,
        prover: ProverIdentity,
        route: &Route,
        lease: LeaseId,
        proof: BatchProof,
        ctx: &mut Context<Self>,
    ) {
        let (outlet, session) = (route.submit.clone(), self.id);
        async move { outlet.call_timeout(SubmitProof { session, prover, lease, proof }, ANSWER).await }
            .into_actor(self)
            .map(move |reply, actor, _| {
                // Unknown outcome: the prover hands it in again, and a stored proof is recognised.
                let reply = reply.unwrap_or(SubmitReply::RetryLater { retry_after_ms: RETRY_MS });
                hit_ack("prover_session.proof.ack");
                actor.say(ServerMessage::SubmitAck { lease, reply });
            })
            .wait(ctx);
    }
}

impl ProverSession {
    fn failed(
        &mut self,
        prover: ProverIdentity,
        route: &Route,
        lease: LeaseId,
        (kind, reason): (FailureKind, String),
        ctx: &mut Context<Self>,
    ) {
        let (outlet, session) = (route.failed.clone(), self.id);
        async move {
            outlet.call_timeout(ProvingFailed { session, prover, lease, kind, reason }, ANSWER).await
        }
        .into_actor(self)
        .map(|taken, actor, _| {
            // Unknown outcome: the prover says it again, and it counts once.
            actor.say(ServerMessage::FailedAck { taken: taken.unwrap_or(false) });
        })
        .wait(ctx);
    }
}

impl Actor for ProverSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.busy {
            return self.refuse(RefusalCode::Busy, "every session is taken; try again later", ctx);
        }
        let time = self.config.hello_timeout;
        self.listen_for(time, ctx);
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.sessions.borrow_mut().remove(self.id.0);
        if let Some((_, route)) = self.known.take() {
            let ended = SessionEnded { session: self.id, goodbye: self.goodbye };
            if let Err(error) = route.ended.try_tell(ended) {
                tracing::debug!(session = self.id.0, %error, "its lease runs out");
            }
        }
        Running::Stop
    }
}

impl StreamHandler<Result<ClientMessage, ProtocolError>> for ProverSession {
    fn handle(&mut self, item: Result<ClientMessage, ProtocolError>, ctx: &mut Self::Context) {
        if self.leaving {
            return;
        }
        let message = match item {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(session = self.id.0, peer = self.peer, %error, "a prover broke the protocol");
                if let Some(refusal) = error.refusal() {
                    self.say(refusal);
                }
                self.leave(ctx);
                return;
            }
        };
        match (message, self.known.clone()) {
            (ClientMessage::Hello { version: _, prover_type, name, token }, None) => {
                self.hello(prover_type, name, token.as_deref(), ctx);
            }
            (ClientMessage::Goodbye, _) => {
                self.goodbye = true;
                self.leave(ctx);
            }
            (ClientMessage::Hello { .. }, Some(_)) => {
                self.refuse(RefusalCode::ProtocolViolation, "hello was said already", ctx);
            }
            (_, None) => self.refuse(RefusalCode::ProtocolViolation, "say hello first", ctx),
            (message, Some((prover, route))) => {
                let idle = self.config.idle_timeout;
                self.listen_for(idle, ctx);
                if !matches!(message, ClientMessage::Fetch { .. } | ClientMessage::Heartbeat { .. }) {
                    self.input = None;
                }
                match message {
                    ClientMessage::Fetch { lease, offset } => self.fetch(lease, offset, ctx),
                    ClientMessage::RequestWork => self.request_work(prover, &route, ctx),
                    ClientMessage::Heartbeat { lease, task } => {
                        self.heartbeat(prover, &route, lease, task, ctx);
                    }
                    ClientMessage::Submit { proof, .. } if proof.prover_type != prover.prover_type => {
                        let reason =
                            format!("said hello as {}, handed in {}", prover.prover_type, proof.prover_type);
                        self.refuse(RefusalCode::ProtocolViolation, reason, ctx);
                    }
                    ClientMessage::Submit { lease, proof } => self.submit(prover, &route, lease, proof, ctx),
                    ClientMessage::Failed { lease, kind, reason } => {
                        self.failed(prover, &route, lease, (kind, reason), ctx);
                    }
                    ClientMessage::Hello { .. } | ClientMessage::Goodbye => {}
                }
            }
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        // What a refusal says must still get out; the writer ends the session then.
        if !self.leaving {
            ctx.stop();
        }
    }
}

impl WriteHandler<ProtocolError> for ProverSession {
    fn error(&mut self, error: ProtocolError, _: &mut Self::Context) -> Running {
        tracing::debug!(session = self.id.0, peer = self.peer, %error, "writing to a prover failed");
        Running::Stop
    }
}

impl Handler<Refuse> for ProverSession {
    type Result = ();

    fn handle(&mut self, Refuse(code, reason): Refuse, ctx: &mut Self::Context) {
        if !self.leaving {
            self.refuse(code, reason, ctx);
        }
    }
}
