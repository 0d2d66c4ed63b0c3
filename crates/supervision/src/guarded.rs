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
    /// Since when the present instance has done its start.
    begun: Rc<Cell<Option<Instant>>>,
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
        delay: Delay,
        built: bool,
    },
}

enum Delay {
    /// None, but the thread gets to its other work in between.
    Yield {
        done: bool,
    },
    Sleep(Pin<Box<Sleep>>),
}

impl Delay {
    /// The least delay while the root is behind with hearing of the failures.
    const WHILE_UNHEARD: Duration = Duration::from_millis(10);

    fn new(delay: Duration) -> Self {
        if delay.is_zero() {
            Self::Yield { done: false }
        } else {
            Self::Sleep(Box::pin(tokio::time::sleep(delay)))
        }
    }

    fn is_over(&mut self, cx: &mut TaskContext<'_>) -> bool {
        match self {
            Self::Yield { done: true } => true,
            Self::Yield { done } => {
                *done = true;
                cx.waker().wake_by_ref();
                false
            }
            Self::Sleep(sleep) => sleep.as_mut().poll(cx).is_ready(),
        }
    }
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
        self.shared().is_replaced(self.reporter().generation)
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
            Phase::Backoff { delay, built } => {
                if !delay.is_over(cx) {
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
        if self.is_replaced() {
            // It hung, and what it did or wished since is of no account.
            return Step::End(EndKind::Forced, Hooks::Skip);
        }
        match polled {
            Err(panic) => self.failed(Severity::Transient, panic),
            Ok(polled) => match (self.shared().take_exit(self.reporter().generation), polled) {
                (None, Poll::Pending) => Step::Wait,
                // Also when `stopping` refused: an exit is final.
                (Some(exit), _) => self.exited(exit),
                (None, Poll::Ready(())) => self.exited(Exit::Done),
            },
        }
    }

    /// Starts to carry out a command; the end, if that is at once.
    fn obey(&mut self, command: Control) -> Option<EndKind> {
        let running = matches!(self.phase, Phase::Running);
        let command = match command {
            Control::Stop => Control::Stop,
            Control::Restart => {
                self.shared().restart_asked.store(false, SeqCst);
                Control::Restart
            }
            Control::Follow => {
                self.shared().follow_asked.store(false, SeqCst);
                if !running {
                    return None;
                }
                Control::Restart
            }
        };
        // Before the start is done there is nothing to come to rest from.
        if self.begun.get().is_none() || !running {
            return match command {
                Control::Stop => Some(EndKind::Stopped),
                Control::Restart | Control::Follow => {
                    self.phase = Phase::Build;
                    None
                }
            };
        }
        let under_way = match (&self.intent, &command) {
            (Some((Control::Stop, _)), _)
            | (Some((Control::Restart | Control::Follow, _)), Control::Restart | Control::Follow) => {
                return None;
            }
            (Some((Control::Restart | Control::Follow, _)), Control::Stop) => true,
            (None, _) => false,
        };
        if let Stage::Alive(actor) = &mut self.stage
            && !under_way
        {
            actor.ctx().spawn(Farewell { hook: None });
        }
        self.down_since.set(Some(Instant::now()));
        self.intent = Some((command, Box::pin(tokio::time::sleep(self.stop_deadline))));
        None
    }

    /// The deadline of an intended stop or restart is over.
    fn force(&mut self) -> Step {
        match self.intent.take() {
            Some((Control::Restart | Control::Follow, _)) => {
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
                Some((Control::Restart | Control::Follow, _)) => {
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
        let at = tokio::time::Instant::now().into_std();
        let Some(decision) = self.shared().decide(self.reporter().generation, ending, at) else {
            return Step::End(EndKind::Forced, Hooks::Skip);
        };
        self.set_up(false);
        if decision == Decision::Stop {
            return Step::End(EndKind::Stopped, Hooks::Skip);
        }
        let cause = cause();
        let message = lock(&self.shared().last_message).map(ToOwned::to_owned);
        let uptime = self.begun.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let failure =
            Failure { reason: cause.message, location: cause.location, message, uptime, at: wall_clock() };
        let unheard = self.shared().failure_told();
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
                let delay = if unheard { delay.max(Delay::WHILE_UNHEARD) } else { delay };
                self.phase = Phase::Backoff { delay: Delay::new(delay), built };
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
        self.begun.set(None);
        self.set_up(false);
        self.reporter().report(ReportKind::Starting);
        let down_since = Rc::clone(&self.down_since);
        let begun = Rc::clone(&self.begun);
        let reporter = self.reporter().clone();
        if let Stage::Alive(actor) = &mut self.stage {
            actor.ctx().wait(Begun { reporter, down_since, begun });
        }
    }

    /// Tells the senders whether the component is up.
    fn set_up(&self, up: bool) {
        if !self.is_replaced() {
            self.seat.handle_ref().set_up(up);
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
        self.shared().fence(self.reporter().generation);
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
    begun: Rc<Cell<Option<Instant>>>,
}

impl<A: Component> ActorFuture<A> for Begun {
    type Output = ();

    fn poll(self: Pin<&mut Self>, actor: &mut A, _: &mut A::Context, _: &mut TaskContext<'_>) -> Poll<()> {
        self.begun.set(Some(Instant::now()));
        let seat = actor.seat();
        if seat.is_current() {
            seat.handle_ref().set_up(true);
        }
        let down_since = self.down_since.take();
        self.reporter.report(ReportKind::Started { down_since });
        Poll::Ready(())
    }
}

/// Calls the component's stop hook, waits for it, and stops the context.
struct Farewell {
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
        let seat = actor.seat();
        seat.shared().set_exit(seat.epoch(), Exit::Leave);
        ctx.stop();
        Poll::Ready(())
    }
}
