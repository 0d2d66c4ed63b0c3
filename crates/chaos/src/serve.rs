//! One request: ask the planner, do as it says.

use std::fmt;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::answer::{Answer, Body, Meter};
use crate::calls::{Calls, invalid_utf8};
use crate::history::History;
use crate::plan::OTHER_METHODS;
use crate::proxy::Command;
use crate::target::Target;
use crate::{Fault, FaultKind, Planner, Stats};

/// Longest request that is taken, in bytes. Nine blobs as hex with their proofs are 3 MiB.
const MAX_REQUEST: usize = 64 << 20;

/// Ends the connection of the request. Never seen by a client.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// An answer that waits to be exchanged for another.
struct Waiting {
    answer: Answer,
    other: oneshot::Sender<Answer>,
}

/// What all connections of a proxy share.
pub(crate) struct Shared {
    pub(crate) target: Target,
    planner: Mutex<Planner>,
    stats: Mutex<Stats>,
    history: Mutex<History>,
    waiting: Mutex<Option<Waiting>>,
    meter: Meter,
    commands: mpsc::Sender<Command>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(target: Target, planner: Planner, commands: mpsc::Sender<Command>) -> Self {
        Self {
            target,
            planner: Mutex::new(planner),
            stats: Mutex::default(),
            history: Mutex::default(),
            waiting: Mutex::default(),
            meter: Meter::default(),
            commands,
        }
    }

    pub(crate) fn planner(&self) -> MutexGuard<'_, Planner> {
        lock(&self.planner)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { bytes_to_clients: self.meter.total(), ..lock(&self.stats).clone() }
    }

    pub(crate) fn count_connection(&self) {
        lock(&self.stats).connections += 1;
    }

    /// Counts a fault that takes effect.
    fn inject(&self, request: &Asked, kind: FaultKind) {
        tracing::debug!(method = request.name(), fault = %kind, "fault injected");
        *lock(&self.stats).method(request.name()).faults.entry(kind).or_default() += 1;
    }

    /// Answers one request, or ends its connection.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, MAX_REQUEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) if e.is::<http_body_util::LengthLimitError>() => {
                return Ok(Answer::json(StatusCode::PAYLOAD_TOO_LARGE, Vec::new()).whole(&self.meter));
            }
            Err(_) => return Err(Cut),
        };
        let asked = Asked { calls: Calls::parse(&body), parts, body };
        let decision = self.planner().decide(&asked.methods());
        {
            let mut stats = lock(&self.stats);
            for method in asked.methods() {
                stats.method(method).requests += 1;
            }
        }
        if !decision.latency.is_zero() {
            sleep(decision.latency).await;
        }
        match decision.fault {
            None => {
                let answer = self.deliver(&asked).await?;
                Ok(self.exchange_if_wanted(&asked, answer).whole(&self.meter))
            }
            Some(fault) => self.faulted(&asked, fault).await,
        }
    }

    async fn faulted(&self, asked: &Asked, fault: Fault) -> Result<Response<Body>, Cut> {
        let kind = fault.kind();
        let calls = &asked.calls;
        match fault {
            Fault::DelayRequest(time) => {
                self.inject(asked, kind);
                sleep(*time.start()).await;
                Ok(self.deliver(asked).await?.whole(&self.meter))
            }
            Fault::DelayAnswer(time) => {
                let answer = self.deliver(asked).await?;
                self.inject(asked, kind);
                sleep(*time.start()).await;
                Ok(answer.whole(&self.meter))
            }
            Fault::Status(status) => {
                self.inject(asked, kind);
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                Ok(Answer::json(status, Vec::new()).whole(&self.meter))
            }
            Fault::RpcError { code, message } => {
                self.inject(asked, kind);
                Ok(Answer::json(StatusCode::OK, calls.error(code, &message)).whole(&self.meter))
            }
            Fault::CutRequest => {
                self.inject(asked, kind);
                Err(Cut)
            }
            Fault::Down(time) => {
                self.inject(asked, kind);
                // Full: the port is about to be closed anyway.
                if self.commands.try_send(Command::DownFor(time)).is_err() {
                    tracing::debug!("the port is being closed already");
                }
                Err(Cut)
            }
            Fault::CutAnswer { percent, length } => {
                let answer = self.deliver(asked).await?;
                self.inject(asked, kind);
                Ok(answer.cut(percent, length, &self.meter))
            }
            Fault::LoseAnswer => {
                self.deliver(asked).await?;
                self.inject(asked, kind);
                Err(Cut)
            }
            Fault::NeverAnswer => {
                self.inject(asked, kind);
                if self.deliver(asked).await.is_err() {
                    tracing::debug!("not even the node answered");
                }
                pending().await
            }
            Fault::Duplicate => {
                self.deliver(asked).await?;
                self.inject(asked, kind);
                Ok(self.deliver(asked).await?.whole(&self.meter))
            }
            Fault::Swap(window) => {
                let answer = self.deliver(asked).await?;
                Ok(self.exchange(asked, answer, window).await.whole(&self.meter))
            }
            Fault::Enormous { bytes, announced } => {
                self.deliver(asked).await?;
                self.inject(asked, kind);
                Ok(Answer::enormous(calls.enormous(), bytes, announced, &self.meter))
            }
            Fault::InvalidJson => self.rewritten(asked, kind, |_| Some(calls.invalid_json())).await,
            Fault::InvalidUtf8 => self.rewritten(asked, kind, invalid_utf8).await,
            Fault::WrongId => self.rewritten(asked, kind, |body| calls.wrong_id(body)).await,
            Fault::WrongChain(chain) => {
                self.rewritten(asked, kind, |body| calls.wrong_chain(body, chain)).await
            }
            Fault::WrongType(wrong) => {
                self.rewritten(asked, kind, |body| calls.wrong_type(body, &wrong)).await
            }
            Fault::Logs(fault) => self.rewritten(asked, kind, |body| calls.logs(body, fault)).await,
            Fault::Stale(back) => {
                self.rewritten(asked, kind, |body| lock(&self.history).stale(calls, body, back)).await
            }
            Fault::Result(value) => {
                let replace = |body: &[u8]| {
                    calls.edit_results(body, |_, result| {
                        result.clone_from(&value);
                        true
                    })
                };
                self.rewritten(asked, kind, replace).await
            }
        }
    }

    /// Gives the request to the node. A node that cannot be reached looks to the client like a cut connection.
    async fn deliver(&self, asked: &Asked) -> Result<Answer, Cut> {
        let Asked { calls, parts, body } = asked;
        match self.target.deliver(&parts.method, &parts.uri, &parts.headers, body.clone()).await {
            Ok(answer) => {
                {
                    let mut stats = lock(&self.stats);
                    stats.bytes_from_target += answer.body.len() as u64;
                    for method in asked.methods() {
                        stats.method(method).delivered += 1;
                    }
                }
                lock(&self.history).record(calls, &answer.body);
                Ok(answer)
            }
            Err(reason) => {
                tracing::debug!(method = asked.name(), reason, "the node behind the proxy did not answer");
                lock(&self.stats).target_failures += 1;
                Err(Cut)
            }
        }
    }

    async fn rewritten(
        &self,
        asked: &Asked,
        kind: FaultKind,
        rewrite: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Response<Body>, Cut> {
        let answer = self.deliver(asked).await?;
        Ok(match rewrite(&answer.body) {
            Some(body) => {
                self.inject(asked, kind);
                answer.with_body(body)
            }
            None => answer,
        }
        .whole(&self.meter))
    }

    /// The answer of a request that waits for an exchange, or this one when none waits.
    fn exchange_if_wanted(&self, asked: &Asked, mine: Answer) -> Answer {
        let Some(Waiting { answer, other }) = lock(&self.waiting).take() else { return mine };
        match other.send(mine) {
            Ok(()) => {
                self.inject(asked, FaultKind::Swap);
                answer
            }
            // it waited long enough and took its own
            Err(mine) => mine,
        }
    }

    async fn exchange(&self, asked: &Asked, mine: Answer, window: Duration) -> Answer {
        let (other, exchanged) = oneshot::channel();
        {
            let mut waiting = lock(&self.waiting);
            if waiting.as_ref().is_none_or(|w| w.other.is_closed()) {
                *waiting = Some(Waiting { answer: mine.clone(), other });
            } else {
                drop(waiting);
                return self.exchange_if_wanted(asked, mine);
            }
        }
        match timeout(window, exchanged).await {
            Ok(Ok(answer)) => {
                self.inject(asked, FaultKind::Swap);
                answer
            }
            Ok(Err(_)) | Err(_) => mine,
        }
    }
}

/// A request that was read.
struct Asked {
    calls: Calls,
    parts: http::request::Parts,
    body: Bytes,
}

impl Asked {
    fn methods(&self) -> Vec<&str> {
        match self.calls.calls.as_slice() {
            [] => vec![OTHER_METHODS],
            calls => calls.iter().map(|call| call.method.as_str()).collect(),
        }
    }

    /// The name that its faults are counted under.
    fn name(&self) -> &str {
        match self.calls.calls.as_slice() {
            [] => OTHER_METHODS,
            [call] if !self.calls.batch => &call.method,
            _ => "(batch)",
        }
    }
}
