//! Runs a component's work one step at a time.
//!
//! A worker holds the state of a component and does one step of its work when it is asked to, with `&mut self`
//! and `await`. [`Stepper`] lends the worker to a future while a step runs, arms the timer of the next step, and
//! turns errors into what supervision wants to hear: *degraded* while something outside is not reachable, a
//! failure only where a restart can help.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, Message, SpawnHandle, WrapFuture};
use async_trait::async_trait;
use ensemble_error::{Classify, Severity};
use ensemble_supervision::Component;

use crate::ActorError;

/// First wait after an error; doubles with every further one.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// Longest wait after an error.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// When the next step is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At once: there is more to do.
    Now,
    /// After this time, or earlier when woken.
    After(Duration),
}

/// The work of a component.
#[async_trait(?Send)]
pub(crate) trait Worker: 'static {
    /// Does one step.
    async fn step(&mut self) -> Result<Next, ActorError>;
}

/// Asks a component to do a step.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Step;

/// Lends a worker to the step that runs.
#[derive(Debug)]
pub(crate) struct Stepper<W> {
    worker: Option<W>,
    wake: bool,
    failures: u32,
    timer: Option<SpawnHandle>,
}

impl<W> Stepper<W> {
    pub(crate) fn new(worker: W) -> Self {
        Self { worker: Some(worker), wake: false, failures: 0, timer: None }
    }
}

/// A component that is driven by a stepper.
pub(crate) trait Stepped: Component + actix::Handler<Step> {
    type Worker: Worker;

    fn stepper(&mut self) -> &mut Stepper<Self::Worker>;

    /// Begins a step, or notes that another one is wanted when one is running. Does nothing while paused.
    fn step_now(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.stepper().timer.take() {
            ctx.cancel_future(timer);
        }
        if self.seat().is_paused() {
            let timer = ctx.notify_later(Step, Duration::from_millis(200));
            self.stepper().timer = Some(timer);
            return;
        }
        let Some(mut worker) = self.stepper().worker.take() else {
            self.stepper().wake = true;
            return;
        };
        self.stepper().wake = false;
        let step = async move {
            let result = worker.step().await;
            (worker, result)
        };
        ctx.spawn(step.into_actor(self).map(|(worker, result), actor, ctx| {
            actor.stepper().worker = Some(worker);
            actor.step_done(result, ctx);
        }));
    }

    fn step_done(&mut self, result: Result<Next, ActorError>, ctx: &mut Context<Self>) {
        let wait = match result {
            Ok(next) => {
                self.stepper().failures = 0;
                self.seat().healthy();
                match next {
                    Next::Now => Duration::ZERO,
                    Next::After(_) if self.stepper().wake => Duration::ZERO,
                    Next::After(wait) => wait,
                }
            }
            Err(error) => match error.severity() {
                Severity::Transient | Severity::Recoverable => {
                    let failures = self.stepper().failures;
                    self.stepper().failures = failures.saturating_add(1);
                    let wait = RETRY_FIRST.saturating_mul(1 << failures.min(8)).min(RETRY_MAX);
                    self.seat().degraded(error.to_string());
                    // Woken meanwhile: what it waits for may be there now.
                    if self.stepper().wake { RETRY_FIRST } else { wait }
                }
                Severity::NeedsReset | Severity::Fatal => {
                    let seat = self.seat().clone();
                    seat.fail(ctx, error);
                    return;
                }
            },
        };
        if wait.is_zero() {
            ctx.notify(Step);
        } else {
            let timer = ctx.notify_later(Step, wait);
            self.stepper().timer = Some(timer);
        }
    }
}
