//! The future that runs one component on its arbiter and survives its panics.
//!
//! actix's own supervisor neither catches panics nor ends a start-stop loop. This one polls the actor's
//! context inside `catch_unwind`, keeps the mailbox, and has the state rebuilt by the factory.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use actix::dev::channel::AddressReceiver;
use actix::dev::{AsyncContextParts, ContextFut};
use actix::prelude::{Actor, ActorContext, ActorFuture, AsyncContext, Context};
use ensemble_error::Severity;
use futures::future::LocalBoxFuture;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::events::wall_clock;
use crate::panics::{PanicReport, catch};
use crate::policy::{Decision, Ending};
use crate::shared::{Control, EndKind, Exit, ReportKind, Reporter, Shared, Tether, lock};
use crate::{Component, Failure, Seat};

pub(crate) struct Guarded<A: Component> {
    // Dropped before the tether, which tells that the actor is gone.
    stage: Stage<A>,
    phase: Phase,
    /// An intended stop or restart under way, and when it is forced.
    intent: Option<(Control, Pin<Box<Sleep>>)>,
    control: mpsc::Receiver<Control>,
    seat: Seat<A>,
    stop_deadline: Duration,
    /// Since when the component is down; shared with the item that reports its start.
    down_since: Rc<Cell<Option<Instant>>>,
    /// Whether the present instance has done its start.
    begun: Rc<Cell<bool>>,
    tether: Tether,
}

enum Stage<A: Component> {
    /// The factory has not succeeded yet.
    Unborn(AddressReceiver<A>),
    Alive(Box<ContextFut<A, Context<A>>>),
    Gone,
}

enum Phase {
    /// The next instance has to be built.
    Build,
    Running,
    /// Waiting before the next phase.
    Backoff {
        sleep: Pin<Box<Sleep>>,
        built: bool,
    },
}

/// When the next instance is built.
enum Rebuild {
    /// Before the delay, so that the callers of what was under way learn of its end at once.
    Now,
    /// After it: the factory has just failed.
    Later,
}

/// How to go on after a step.
enum Step {
    Again,
    Wait,
    /// For good; whether the actor's own hooks run when it is dropped.
    End(EndKind, Hooks),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hooks {
    Run,
    /// Its state is broken, or it is not the component any more.
    Skip,
}

impl<A: Component> Guarded<A> {
    pub(crate) fn new(
        seat: Seat<A>,
        mailbox: AddressReceiver<A>,
        control: mpsc::Receiver<Control>,
        tether: Tether,
        stop_deadline: Duration,
        down_since: Option<Instant>,
    ) -> Self {
        Self {
            stage: Stage::Unborn(mailbox),
            phase: Phase::Build,
            intent: None,
            control,
            seat,
            stop_deadline,
            down_since: Rc::new(Cell::new(down_since)),
            begun: Rc::default(),
            tether,
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        self.seat.shared()
    }

    fn reporter(&self) -> &Reporter {
        self.tether.reporter()
    }

    /// Whether the root has given this incarnation up and started another.
    fn is_replaced(&self) -> bool {
        self.shared().generation.load(SeqCst) != self.reporter().generation
    }

    fn step(&mut self, cx: &mut TaskContext<'_>) -> Step {
        if self.is_replaced() {
            return Step::End(EndKind::Forced, Hooks::Skip);
        }
        while let Poll::Ready(command) = self.control.poll_recv(cx) {
            match command {
                // The root is gone: nobody would see what happens here.
                None => return Step::End(EndKind::Forced, Hooks::Run),
                Some(command) => {
                    if let Some(end) = self.obey(command) {
                        return Step::End(end, Hooks::Run);
                    }
                }
            }
        }
        if let Some((_, deadline)) = &mut self.intent
            && deadline.as_mut().poll(cx).is_ready()
        {
            return self.force();
        }
        match &mut self.phase {
            Phase::Backoff { sleep, built } => {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Step::Wait;
                }
                if *built {
                    self.begin();
                } else {
                    self.phase = Phase::Build;
                }
                Step::Again
            }
            Phase::Build => match self.build() {
                Ok(()) => {
                    self.begin();
                    Step::Again
                }
                Err(panic) => self.ended(Ending::Failed, Rebuild::Later, || panic),
            },
            Phase::Running => self.run(cx),
        }
    }

    fn run(&mut self, cx: &mut TaskContext<'_>) -> Step {
        let name = Arc::clone(&self.shared().name);
        let Stage::Alive(actor) = &mut self.stage else {
            self.phase = Phase::Build;
            return Step::Again;
        };
        let polled = catch(&name, || Pin::new(&mut **actor).poll(cx));
        self.seat.handle_ref().wake();
        match polled {
            Err(panic) => self.failed(Severity::Transient, panic),
            Ok(polled) => match (self.shared().take_exit(), polled) {
                (None, Poll::Pending) => Step::Wait,
                // Also when `stopping` refused: an exit is final.
                (Some(exit), _) => self.exited(exit),
                (None, Poll::Ready(())) => self.exited(Exit::Done),
            },
        }
    }

    /// Starts to carry out a command; the end, if that is at once.
    fn obey(&mut self, command: Control) -> Option<EndKind> {
        if matches!(command, Control::Restart) {
            self.shared().restart_asked.store(false, SeqCst);
        }
        // Before the start is done there is nothing to come to rest from.
        if !self.begun.get() || !matches!(self.phase, Phase::Running) {
            return match command {
                Control::Stop => Some(EndKind::Stopped),
                Control::Restart => {
                    self.phase = Phase::Build;
                    None
                }
            };
        }
        let under_way = match (&self.intent, &command) {
            (Some((Control::Stop, _)), _) | (Some((Control::Restart, _)), Control::Restart) => return None,
            (Some((Control::Restart, _)), Control::Stop) => true,
            (None, _) => false,
        };
        if let Stage::Alive(actor) = &mut self.stage
            && !under_way
        {
            let shared = Arc::clone(self.seat.shared());
            actor.ctx().spawn(Farewell { shared, hook: None });
        }
        self.down_since.set(Some(Instant::now()));
        self.intent = Some((command, Box::pin(tokio::time::sleep(self.stop_deadline))));
        None
    }

    /// The deadline of an intended stop or restart is over.
    fn force(&mut self) -> Step {
        match self.intent.take() {
            Some((Control::Restart, _)) => {
                tracing::warn!(
                    component = self.seat.name(),
                    "did not come to rest within {:?} for its restart",
                    self.stop_deadline
                );
                self.phase = Phase::Build;
                Step::Again
            }
            Some((Control::Stop, _)) | None => Step::End(EndKind::Forced, Hooks::Run),
        }
    }

    fn exited(&mut self, exit: Exit) -> Step {
        match exit {
            Exit::Leave => match self.intent.take() {
                Some((Control::Restart, _)) => {
                    self.phase = Phase::Build;
                    Step::Again
                }
                Some((Control::Stop, _)) | None => Step::End(EndKind::Stopped, Hooks::Run),
            },
            Exit::Failed { severity, reason } => {
                self.failed(severity, PanicReport { message: reason, location: None })
            }
            Exit::Done => self.ended(Ending::Normal, Rebuild::Now, || PanicReport {
                message: "ended, though it is permanent".into(),
                location: None,
            }),
        }
    }

    fn failed(&mut self, severity: Severity, cause: PanicReport) -> Step {
        let ending = match severity {
            Severity::Fatal => Ending::Fatal,
            Severity::Transient | Severity::Recoverable | Severity::NeedsReset => Ending::Failed,
        };
        self.ended(ending, Rebuild::Now, || cause)
    }

    fn ended(&mut self, ending: Ending, rebuild: Rebuild, cause: impl FnOnce() -> PanicReport) -> Step {
        let stopping = matches!(self.intent, Some((Control::Stop, _)));
        if stopping || self.shared().shutting_down.load(SeqCst) {
            if ending != Ending::Normal {
                let cause = cause();
                tracing::warn!(component = self.seat.name(), "failed while stopping: {}", cause.message);
            }
            return Step::End(EndKind::Stopped, Hooks::Skip);
        }
        self.intent = None;
        let now = Instant::now();
        let decision = lock(&self.shared().tracker).decide(ending, tokio::time::Instant::now().into_std());
        if decision == Decision::Stop {
            return Step::End(EndKind::Stopped, Hooks::Skip);
        }
        let cause = cause();
        let message = lock(&self.shared().last_message).map(ToOwned::to_owned);
        let failure = Failure { reason: cause.message, location: cause.location, message, at: wall_clock() };
        self.reporter().report(ReportKind::Failed { failure, next: decision });
        match decision {
            Decision::Restart { delay, .. } => {
                if self.down_since.get().is_none() {
                    self.down_since.set(Some(now));
                }
                // A factory that panics here gets its next chance after the delay, and is judged then.
                let built = match rebuild {
                    Rebuild::Now => self.build().is_ok(),
                    Rebuild::Later => false,
                };
                self.phase = Phase::Backoff { sleep: Box::pin(tokio::time::sleep(delay)), built };
                Step::Again
            }
            Decision::Stop | Decision::GiveUp | Decision::Escalate => Step::End(EndKind::Failed, Hooks::Skip),
        }
    }

    /// Replaces the actor by a new one from the factory and drops all its futures.
    fn build(&mut self) -> Result<(), PanicReport> {
        let name = Arc::clone(&self.shared().name);
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Unborn(mailbox) => match catch(&name, || self.seat.rebuild()) {
                Ok(actor) => {
                    let context = Context::with_receiver(mailbox);
                    self.stage = Stage::Alive(Box::new(context.into_future(actor)));
                    Ok(())
                }
                Err(panic) => {
                    self.stage = Stage::Unborn(mailbox);
                    Err(panic)
                }
            },
            Stage::Alive(mut actor) => {
                let used = actor.ctx().spawn(Nothing).into_usize();
                let restarted = catch(&name, || actor.restart());
                if restarted.is_ok() {
                    // actix counts its futures from 1 again, but keeps cancellations that were asked for
                    // just before the restart: they would hit the new instance's futures.
                    for _ in 0..used {
                        actor.ctx().spawn(Nothing);
                    }
                }
                self.stage = Stage::Alive(actor);
                restarted.map(|_| ())
            }
            Stage::Gone => Ok(()),
        }
    }

    /// Lets the new instance run.
    fn begin(&mut self) {
        self.phase = Phase::Running;
        self.begun.set(false);
        let down_since = Rc::clone(&self.down_since);
        let begun = Rc::clone(&self.begun);
        let reporter = self.reporter().clone();
        if let Stage::Alive(actor) = &mut self.stage {
            actor.ctx().wait(Begun { reporter, down_since, begun });
        }
    }

    /// Drops the actor.
    fn drop_actor(&mut self, hooks: Hooks) {
        let name = Arc::clone(&self.shared().name);
        let stage = std::mem::replace(&mut self.stage, Stage::Gone);
        let dropped = catch(&name, move || match stage {
            Stage::Alive(mut actor) => {
                // actix would start an actor that has not started before it lets it stop.
                if hooks == Hooks::Skip || !actor.ctx().parts().started() {
                    actor.ctx().terminate();
                }
                drop(actor);
            }
            Stage::Unborn(mailbox) => drop(mailbox),
            Stage::Gone => {}
        });
        if let Err(panic) = dropped {
            tracing::warn!(component = &*name, "panic while the actor was dropped: {}", panic.message);
        }
        self.seat.handle_ref().wake();
    }
}

impl<A: Component> Unpin for Guarded<A> {}

impl<A: Component> Future for Guarded<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        if matches!(self.stage, Stage::Gone) {
            return Poll::Ready(());
        }
        loop {
            match self.step(cx) {
                Step::Again => {}
                Step::Wait => return Poll::Pending,
                Step::End(end, hooks) => {
                    self.tether.end_as(end);
                    self.drop_actor(hooks);
                    return Poll::Ready(());
                }
            }
        }
    }
}

impl<A: Component> Drop for Guarded<A> {
    fn drop(&mut self) {
        // The arbiter ends: the actor's hooks run as they would without supervision.
        self.drop_actor(Hooks::Run);
    }
}

/// An item without effect.
struct Nothing;

impl<A: Actor> ActorFuture<A> for Nothing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut A, _: &mut A::Context, _: &mut TaskContext<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// Waited for first of all: it is reached when `started` and what that waits for are done.
struct Begun {
    reporter: Reporter,
    down_since: Rc<Cell<Option<Instant>>>,
    begun: Rc<Cell<bool>>,
}

impl<A: Actor> ActorFuture<A> for Begun {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut A, _: &mut A::Context, _: &mut TaskContext<'_>) -> Poll<()> {
        self.begun.set(true);
        let down_since = self.down_since.take();
        self.reporter.report(ReportKind::Started { down_since });
        Poll::Ready(())
    }
}

/// Calls the component's stop hook, waits for it, and stops the context.
struct Farewell {
    shared: Arc<Shared>,
    hook: Option<LocalBoxFuture<'static, ()>>,
}

impl<A: Component> ActorFuture<A> for Farewell {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut A::Context,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if self.hook.is_none() {
            self.hook = actor.stopping_gracefully(ctx);
        }
        if let Some(hook) = &mut self.hook {
            ready!(hook.as_mut().poll(cx));
        }
        self.shared.set_exit(Exit::Leave);
        ctx.stop();
        Poll::Ready(())
    }
}
