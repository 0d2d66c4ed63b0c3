//! ProverServer: accepts provers.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, StreamHandler};
use ensemble_messages::SessionId;
use ensemble_prover::RefusalCode;
use ensemble_supervision::{Component, Outlet, Seat, supervised};
use futures::stream;
use tokio::net::{TcpListener, TcpStream};

use super::{
    ProverServerConfig, RouteSession,
    session::{ProverSession, Refuse},
    table::{Admission, SessionTable},
};
use crate::{ActorError, stepper::Step};

/// Wait before the port is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Session numbers are unique in the process, over restarts of the server.
static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

/// Sessions of one server; it and its sessions live on the same thread.
pub(super) type Sessions = Rc<RefCell<SessionTable<Addr<ProverSession>>>>;

/// Accepts provers.
#[derive(Debug)]
pub struct ProverServer {
    seat: Seat<Self>,
    config: Arc<ProverServerConfig>,
    router: Outlet<RouteSession>,
    sessions: Sessions,
}

impl ProverServer {
    /// A component in its supervisor's seat; `router` is the SystemActor.
    #[must_use]
    pub fn new(seat: Seat<Self>, config: Arc<ProverServerConfig>, router: Outlet<RouteSession>) -> Self {
        let sessions = Rc::new(RefCell::new(SessionTable::new(config.max_sessions)));
        Self { seat, config, router, sessions }
    }

    fn listen(&self) -> Result<TcpListener, ActorError> {
        let failed = |e: std::io::Error| ActorError::Listen {
            address: self.config.listen.to_string(),
            reason: e.to_string(),
        };
        let listener = std::net::TcpListener::bind(self.config.listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        TcpListener::from_std(listener).map_err(failed)
    }
}

supervised!(ProverServer);

impl Component for ProverServer {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }
}

impl Actor for ProverServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(Step);
    }
}

impl Handler<Step> for ProverServer {
    type Result = ();

    fn handle(&mut self, _: Step, ctx: &mut Self::Context) {
        self.seat.enter("Step");
        match self.listen() {
            Ok(listener) => {
                self.seat.healthy();
                tracing::info!(address = %self.config.listen, "waiting for provers");
                let accepted = stream::unfold(listener, |listener| async move {
                    loop {
                        match listener.accept().await {
                            Ok((socket, _)) => return Some((Accepted(socket), listener)),
                            // Out of file descriptors, or the peer was gone already: others may still come.
                            Err(error) => {
                                tracing::warn!(%error, "a connection was not accepted");
                                tokio::time::sleep(Duration::from_millis(100)).await;
                            }
                        }
                    }
                });
                ctx.add_stream(accepted);
            }
            Err(error) => {
                self.seat.degraded(error.to_string());
                ctx.notify_later(Step, RETRY);
            }
        }
    }
}

/// A new connection.
#[derive(Debug)]
pub(super) struct Accepted(TcpStream);

impl StreamHandler<Accepted> for ProverServer {
    fn handle(&mut self, Accepted(socket): Accepted, _: &mut Self::Context) {
        self.seat.enter("Accepted");
        let admission = self.sessions.borrow_mut().admit();
        let busy = match admission {
            Admission::Admit => false,
            Admission::Evict(session) => {
                part(
                    &session,
                    Refuse(RefusalCode::Busy, "another prover needed this place: say hello at once"),
                );
                false
            }
            Admission::Busy => true,
        };
        let id = NEXT_SESSION.fetch_add(1, Ordering::Relaxed);
        let started = ProverSession::start(
            SessionId(id),
            socket,
            busy,
            Arc::clone(&self.config),
            self.router.clone(),
            Rc::clone(&self.sessions),
        );
        match started {
            Ok(session) if !busy => self.sessions.borrow_mut().insert(id, session),
            Ok(_) => {
                tracing::warn!(max = self.config.max_sessions, "prover turned away: every session is taken")
            }
            Err(error) => tracing::debug!(%error, "a connection ended at once"),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        // The listener never ends by itself.
        ctx.notify_later(Step, RETRY);
    }
}

impl Drop for ProverServer {
    /// The next server counts its own sessions only, so those of this one end; the provers connect anew.
    fn drop(&mut self) {
        if let Ok(sessions) = self.sessions.try_borrow() {
            for session in sessions.peers() {
                part(session, Refuse(RefusalCode::ShuttingDown, "the prover server is being restarted"));
            }
        }
    }
}

fn part(session: &Addr<ProverSession>, refusal: Refuse) {
    if session.try_send(refusal).is_err() {
        tracing::debug!("a connection was gone already");
    }
}

/// Asks for the number of sessions.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "usize")]
pub struct CountSessions;

impl Handler<CountSessions> for ProverServer {
    type Result = usize;

    fn handle(&mut self, _: CountSessions, _: &mut Self::Context) -> usize {
        self.sessions.borrow().len()
    }
}
