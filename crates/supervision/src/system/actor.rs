//! The root actor.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::dev::ContextFut;
use actix::prelude::{
    Actor, ActorContext, ActorFutureExt, Arbiter, AsyncContext, Context, Handler, Message, SpawnHandle,
    StreamHandler, WrapFuture,
};
use futures::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::builder::SYSTEM;
use super::exit::{ComponentStop, ExitReason, ShutdownReport, StopOutcome};
use super::handle::ControlError;
use super::table::Table;
use crate::events::wall_clock;
use crate::panics::catch;
use crate::policy::{Decision, Ending};
use crate::shared::{Control, EndKind, Report, ReportKind, Reporter, lock};
use crate::spec::{Child, Heartbeat, Timing};
use crate::{ComponentState, ComponentStatus, EventKind, Failure, Handle, LifecycleEvent, Outlet};

/// Events kept for a subscriber that is behind.
const EVENT_BACKLOG: usize = 1024;

/// Time that a component has beyond its stop deadline to be dropped, before its thread counts as hung.
const FORCE_GRACE: Duration = Duration::from_secs(1);

/// Time that the subscribers have to take the last events.
const FAREWELL: Duration = Duration::from_secs(1);

/// The root of a system: starts the components, watches them, and stops them.
///
/// Other crates can give it messages of their own by implementing [`Handler`] for it, and reach them by
/// [`SystemHandle::call`](crate::SystemHandle::call). Such a handler must be quick, for it holds up the
/// supervision, and must not panic: a root that has panicked cannot be trusted, and the system ends with it.
pub struct SystemActor {
    root: Handle<Self>,
    children: Vec<Slot>,
    table: Table,
    reports: mpsc::UnboundedSender<Report>,
    incoming: Option<mpsc::UnboundedReceiver<Report>>,
    subscribers: Vec<Subscriber>,
    starting: Start,
    following: Follow,
    stopping: Option<Stop>,
    ended: watch::Sender<Option<ShutdownReport>>,
    ready: watch::Sender<bool>,
}

impl std::fmt::Debug for SystemActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemActor")
            .field("components", &self.names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

struct Slot {
    child: Box<dyn Child>,
    /// Those that are restarted when this one was.
    dependents: Vec<usize>,
    running: Option<Running>,
    /// Its guard has ended, the thread is being joined.
    joining: Option<EndKind>,
    /// Start again when the thread is joined.
    again: Option<Instant>,
    generation: u64,
    /// The timer of a start on a new thread.
    respawn: Option<(SpawnHandle, Instant)>,
    heartbeat: Option<SpawnHandle>,
    /// The timer of a restart that was sent to the guard.
    insisting: Option<SpawnHandle>,
    /// The operator's restart is not done yet.
    wanted: bool,
}

/// One incarnation on its thread.
struct Running {
    arbiter: Arbiter,
    control: mpsc::Sender<Control>,
}

struct Subscriber {
    name: String,
    queue: mpsc::Sender<LifecycleEvent>,
    task: JoinHandle<()>,
    missed: u64,
}

/// The ordered start.
#[derive(Default)]
struct Start {
    next: usize,
    awaited: Option<(usize, SpawnHandle)>,
}

/// The ordered restart of what depends on a restarted component.
#[derive(Default)]
struct Follow {
    /// Still to be restarted, and because of which component.
    queue: BTreeMap<usize, usize>,
    awaited: Option<(usize, SpawnHandle)>,
}

/// The ordered stop.
struct Stop {
    reason: ExitReason,
    queue: VecDeque<usize>,
    current: Option<(usize, Instant, SpawnHandle)>,
    done: Vec<ComponentStop>,
}

impl SystemActor {
    pub(super) fn new(
        root: Handle<Self>,
        children: impl Iterator<Item = (Box<dyn Child>, Vec<usize>)>,
        table: Table,
        subscribers: Vec<Outlet<LifecycleEvent>>,
        ended: watch::Sender<Option<ShutdownReport>>,
        ready: watch::Sender<bool>,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "reports are sent from drops, must not be lost, and are a few per start"
        )]
        let (reports, incoming) = mpsc::unbounded_channel();
        let slot = |(child, dependents)| Slot {
            child,
            dependents,
            running: None,
            joining: None,
            again: None,
            generation: 0,
            respawn: None,
            heartbeat: None,
            insisting: None,
            wanted: false,
        };
        Self {
            root,
            children: children.map(slot).collect(),
            table,
            reports,
            incoming: Some(incoming),
            subscribers: subscribers.into_iter().map(Subscriber::new).collect(),
            starting: Start::default(),
            following: Follow::default(),
            stopping: None,
            ended,
            ready,
        }
    }

    pub(super) fn ended_sender(&self) -> watch::Sender<Option<ShutdownReport>> {
        self.ended.clone()
    }

    /// The stable address of a component, if it has this name and is of this type.
    pub fn handle_of<A: Actor>(&self, name: &str) -> Option<Handle<A>> {
        let slot = self.children.iter().find(|slot| slot.name() == name)?;
        slot.child.handle().downcast_ref::<Handle<A>>().cloned()
    }

    /// Names of the components in the order of their start.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.children.iter().map(Slot::name)
    }

    /// See [`SystemHandle::status`](crate::SystemHandle::status).
    pub fn status(&self) -> Vec<ComponentStatus> {
        self.table.status()
    }

    /// The one place where events are logged and handed out.
    fn publish(&mut self, index: usize, kind: EventKind) {
        let Some(slot) = self.children.get(index) else { return };
        let event = LifecycleEvent { component: slot.name().to_owned(), at: wall_clock(), kind };
        log(&event);
        self.subscribers.retain_mut(|subscriber| subscriber.offer(&event));
    }

    fn set_state(&self, index: usize, state: ComponentState) {
        self.table.with(index, |row| row.set_state(state));
    }

    // --- start ---

    /// Starts the next component, when none is being waited for.
    fn start_next(&mut self, ctx: &mut Context<Self>) {
        while self.starting.awaited.is_none() && self.stopping.is_none() {
            let index = self.starting.next;
            let Some(slot) = self.children.get(index) else {
                self.ready.send_replace(true);
                return;
            };
            self.starting.next += 1;
            let deadline = slot.child.timing().start_deadline;
            let timer = ctx.run_later(deadline, move |root, ctx| {
                if root.settled(index, ctx) {
                    tracing::warn!(
                        component = root.name(index),
                        "has not started within {deadline:?}; going on with the next one"
                    );
                    root.start_next(ctx);
                }
            });
            self.starting.awaited = Some((index, timer));
            self.spawn(index, None, ctx);
        }
    }

    /// Ends the waiting for a component's start; whether it was the one waited for.
    fn settled(&mut self, index: usize, ctx: &mut Context<Self>) -> bool {
        match self.starting.awaited.take_if(|(awaited, _)| *awaited == index) {
            Some((_, timer)) => ctx.cancel_future(timer),
            None => false,
        }
    }

    /// Starts a component on a new thread.
    fn spawn(&mut self, index: usize, down_since: Option<Instant>, ctx: &mut Context<Self>) {
        let reports = self.reports.clone();
        let Some(slot) = self.children.get_mut(index) else { return };
        slot.generation += 1;
        slot.again = None;
        slot.child.shared().appoint(slot.generation);
        slot.child.shared().restart_asked.store(false, SeqCst);
        slot.child.shared().follow_asked.store(false, SeqCst);
        match Arbiter::try_new() {
            Ok(arbiter) => {
                let reporter = Reporter { root: reports, index, generation: slot.generation };
                let control = slot.child.spawn(&arbiter.handle(), reporter, down_since);
                slot.running = Some(Running { arbiter, control });
                self.set_state(index, ComponentState::Starting);
                self.watch_pulse(index, ctx);
            }
            Err(e) => self.thread_lost(index, format!("cannot start a thread: {e}"), down_since, ctx),
        }
    }

    // --- life ---

    fn on_report(&mut self, report: Report, ctx: &mut Context<Self>) {
        let Report { index, generation, kind } = report;
        if let (ReportKind::Failed { .. }, Some(slot)) = (&kind, self.children.get(index)) {
            slot.child.shared().failure_heard();
        }
        if self.children.get(index).is_none_or(|slot| slot.generation != generation) {
            return;
        }
        match kind {
            ReportKind::Starting => self.set_state(index, ComponentState::Starting),
            ReportKind::Started { down_since } => {
                self.table.with(index, |row| row.started(down_since.is_some()));
                self.publish(
                    index,
                    down_since.map_or(EventKind::Started, |t| EventKind::Restarted { downtime: t.elapsed() }),
                );
                // It may have found out during its start that something is out of reach.
                self.health(index);
                if down_since.is_some() {
                    self.lead(index);
                }
                self.settle(index, ctx);
            }
            ReportKind::Failed { failure, next } => {
                self.failed(index, failure, next, ctx);
                self.settle(index, ctx);
            }
            ReportKind::Health => self.health(index),
            ReportKind::Ended(end) => self.ended(index, end, ctx),
            ReportKind::Joined => self.joined(index, ctx),
        }
    }

    fn health(&mut self, index: usize) {
        let Some(reason) = self.children.get(index).map(|slot| slot.child.shared().take_health()) else {
            return;
        };
        let before = self.table.with(index, |row| row.state().clone());
        match (before, reason) {
            (Some(ComponentState::Degraded(_)), Some(reason)) => {
                self.set_state(index, ComponentState::Degraded(reason));
            }
            (Some(ComponentState::Degraded(_)), None) => {
                self.set_state(index, ComponentState::Running);
                self.publish(index, EventKind::Recovered);
            }
            (Some(ComponentState::Running), Some(reason)) => {
                self.set_state(index, ComponentState::Degraded(reason.clone()));
                self.publish(index, EventKind::Degraded { reason });
            }
            // Asked again when it has started; or it has failed or ended meanwhile; or nothing has changed.
            (_, _) => {}
        }
    }

    fn failed(&mut self, index: usize, failure: Failure, next: Decision, ctx: &mut Context<Self>) {
        let reason = failure.reason.clone();
        let stated = ComponentState::Failed(reason.clone());
        self.table.with(index, |row| row.failed(failure.clone()));
        self.publish(index, EventKind::Failed { failure });
        match next {
            Decision::Restart { delay, .. } => {
                self.set_state(index, ComponentState::BackingOff { delay });
                self.publish(index, EventKind::BackingOff { delay });
            }
            Decision::Stop => self.set_state(index, ComponentState::Stopped),
            Decision::GiveUp => self.set_state(index, stated),
            Decision::Escalate => {
                self.set_state(index, stated);
                self.publish(index, EventKind::Escalated { reason: reason.clone() });
                let component = self.name(index).to_owned();
                self.shut_down(ExitReason::Escalated { component, reason }, ctx);
            }
        }
    }

    /// The guard of an incarnation has ended: ends its thread.
    fn ended(&mut self, index: usize, end: EndKind, ctx: &mut Context<Self>) {
        let stopping = self.stopping.is_some();
        let reports = self.reports.clone();
        let Some(slot) = self.children.get_mut(index) else { return };
        slot.stop_pulse(ctx);
        if end == EndKind::ArbiterGone && !stopping {
            if let Some(running) = slot.running.take() {
                running.arbiter.stop();
            }
            // The guard may have gone before it had carried out the operator's command.
            let wanted = slot.again.take().is_some() || slot.wanted;
            let reason = "its thread has ended".to_owned();
            self.thread_lost(index, reason, Some(Instant::now()), ctx);
            if wanted {
                self.respawn(index, ctx);
            }
        } else {
            slot.child.close_handle();
            slot.joining = Some(end);
            if slot.child.shared().restart_asked.swap(false, SeqCst) && !stopping {
                // The guard ended before it saw the command.
                slot.again.get_or_insert_with(Instant::now);
            }
            slot.join(Reporter { root: reports, index, generation: slot.generation });
            match end {
                EndKind::Stopped | EndKind::Forced | EndKind::ArbiterGone => {
                    self.set_state(index, ComponentState::Stopped);
                    self.publish(index, EventKind::Stopped);
                }
                // Its state was set with the failure.
                EndKind::Failed => {}
            }
        }
        self.settle(index, ctx);
    }

    /// The thread of an ended incarnation has ended too.
    fn joined(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Some(slot) = self.children.get_mut(index) else { return };
        let outcome = match slot.joining.take() {
            Some(EndKind::Forced) => StopOutcome::Forced,
            Some(EndKind::Stopped | EndKind::ArbiterGone | EndKind::Failed) | None => StopOutcome::Stopped,
        };
        match (&self.stopping, slot.again.take()) {
            (None, Some(since)) => self.spawn(index, Some(since), ctx),
            (None, None) => {}
            (Some(_), _) => self.stopped(index, outcome, ctx),
        }
    }

    /// A component is without a thread, or its thread is as good as none.
    fn thread_lost(
        &mut self,
        index: usize,
        reason: String,
        down_since: Option<Instant>,
        ctx: &mut Context<Self>,
    ) {
        let Some(slot) = self.children.get_mut(index) else { return };
        let shared = Arc::clone(slot.child.shared());
        slot.child.set_down();
        let now = tokio::time::Instant::now().into_std();
        let decision = lock(&shared.tracker).decide(Ending::Failed, now);
        let down_since = down_since.unwrap_or_else(Instant::now);
        match decision {
            Decision::Restart { delay, .. } => {
                let timer = ctx.run_later(delay, move |root, ctx| root.respawn(index, ctx));
                slot.respawn = Some((timer, down_since));
            }
            Decision::Stop | Decision::GiveUp | Decision::Escalate => slot.child.close_handle(),
        }
        let message = lock(&shared.last_message).map(ToOwned::to_owned);
        let uptime = self.table.with(index, |row| row.uptime()).unwrap_or_default();
        let failure = Failure { reason, location: None, message, uptime, at: wall_clock() };
        self.failed(index, failure, decision, ctx);
        self.settle(index, ctx);
    }

    fn respawn(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Some(slot) = self.children.get_mut(index) else { return };
        let Some((timer, down_since)) = slot.respawn.take() else { return };
        ctx.cancel_future(timer);
        self.publish(index, EventKind::ArbiterReplaced);
        self.spawn(index, Some(down_since), ctx);
    }

    // --- signs of life ---

    fn watch_pulse(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Some(slot) = self.children.get_mut(index) else { return };
        slot.stop_pulse(ctx);
        let Some(Heartbeat { interval, timeout }) = slot.child.timing().heartbeat else { return };
        let generation = slot.generation;
        slot.heartbeat = Some(ctx.run_later(interval, move |root, ctx| {
            root.feel_pulse(index, generation, timeout, ctx);
        }));
    }

    fn feel_pulse(&mut self, index: usize, generation: u64, timeout: Duration, ctx: &mut Context<Self>) {
        let Some(slot) = self.children.get_mut(index) else { return };
        let Some(running) = &slot.running else { return };
        let (alive, answer) = oneshot::channel::<()>();
        // A thread that has ended drops the closure: no answer is an answer here, its end is reported.
        running.arbiter.spawn_fn(move || drop(alive));
        let pulse = async move { tokio::time::timeout(timeout, answer).await.is_ok() };
        let felt = actix::fut::wrap_future::<_, Self>(pulse).map(move |answered, root, ctx| {
            if root.stopping.is_some() || root.children.get(index).is_none_or(|s| s.generation != generation)
            {
                return;
            }
            if answered {
                root.watch_pulse(index, ctx);
            } else {
                root.hung(index, timeout, ctx);
            }
        });
        slot.heartbeat = Some(ctx.spawn(felt));
    }

    fn hung(&mut self, index: usize, timeout: Duration, ctx: &mut Context<Self>) {
        let Some(slot) = self.children.get_mut(index) else { return };
        slot.heartbeat = None;
        slot.give_up();
        let reason = format!("hung: its thread gave no sign of life for {timeout:?}");
        self.thread_lost(index, reason, Some(Instant::now()), ctx);
    }

    // --- the operator ---

    fn operate(
        &mut self,
        index: usize,
        command: Command,
        ctx: &mut Context<Self>,
    ) -> Result<(), ControlError> {
        if self.stopping.is_some() {
            return Err(ControlError::ShuttingDown);
        }
        let Some(slot) = self.children.get_mut(index) else { return Ok(()) };
        match command {
            // Its turn to start will come.
            Command::Restart if index >= self.starting.next => {}
            Command::Restart => {
                if let Some(running) = &slot.running {
                    if slot.child.shared().restart_asked.swap(true, SeqCst) {
                        return Ok(());
                    }
                    if running.control.try_send(Control::Restart).is_ok() {
                        slot.wanted = true;
                        self.insist(index, ctx);
                        return Ok(());
                    }
                }
                lock(&slot.child.shared().tracker).reset();
                if slot.joining.is_some() || slot.running.is_some() {
                    slot.again.get_or_insert_with(Instant::now);
                } else if slot.respawn.is_some() {
                    self.respawn(index, ctx);
                } else {
                    self.spawn(index, Some(Instant::now()), ctx);
                }
            }
            Command::Pause => {
                if !slot.child.shared().paused.swap(true, SeqCst) {
                    self.publish(index, EventKind::Paused);
                }
            }
            Command::Resume => {
                if slot.child.shared().paused.swap(false, SeqCst) {
                    self.publish(index, EventKind::Resumed);
                }
            }
        }
        Ok(())
    }

    /// Sees to it that a restart that was sent to a guard is made, even if its thread hangs.
    fn insist(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Some(slot) = self.children.get_mut(index) else { return };
        let (generation, epoch) = (slot.generation, slot.child.shared().epoch.load(SeqCst));
        let deadline = slot.child.timing().stop_deadline.saturating_add(FORCE_GRACE);
        slot.stop_insisting(ctx);
        slot.insisting = Some(ctx.run_later(deadline, move |root, ctx| {
            let Some(slot) = root.children.get_mut(index) else { return };
            let hangs = root.stopping.is_none()
                && slot.running.is_some()
                && slot.generation == generation
                && slot.child.shared().epoch.load(SeqCst) == epoch;
            if hangs {
                tracing::error!(component = slot.name(), "hangs; it is left to itself for its restart");
                slot.stop_pulse(ctx);
                slot.give_up();
                root.publish(index, EventKind::ArbiterReplaced);
                root.spawn(index, Some(Instant::now()), ctx);
            }
        }));
    }

    // --- dependencies ---

    /// A component is up again: those that depend on it have to follow.
    fn lead(&mut self, index: usize) {
        if self.stopping.is_none()
            && let Some(slot) = self.children.get(index)
        {
            self.following.queue.extend(slot.dependents.iter().map(|dependent| (*dependent, index)));
        }
    }

    /// A component has started, failed or ended: whoever waits for that goes on.
    fn settle(&mut self, index: usize, ctx: &mut Context<Self>) {
        if self.settled(index, ctx) {
            self.start_next(ctx);
        }
        if let Some((_, timer)) = self.following.awaited.take_if(|(awaited, _)| *awaited == index) {
            ctx.cancel_future(timer);
        }
        if let Some(slot) = self.children.get_mut(index) {
            slot.stop_insisting(ctx);
            slot.wanted = false;
        }
        self.follow_next(ctx);
    }

    /// Restarts the next component that has to follow, when none is being waited for.
    fn follow_next(&mut self, ctx: &mut Context<Self>) {
        while self.following.awaited.is_none()
            && self.stopping.is_none()
            && let Some((index, dependency)) = self.following.queue.pop_first()
        {
            let Some(slot) = self.children.get(index) else { continue };
            // One that has no thread, now or yet, starts later than what it depends on anyway.
            let Some(running) = &slot.running else { continue };
            // That one is on its way may be true no longer when this one gets there; one too many does no harm.
            let asked = slot.child.shared().follow_asked.swap(true, SeqCst);
            if !asked && running.control.try_send(Control::Follow).is_err() {
                continue;
            }
            // It goes on waiting, or is about to start: its next report may be far away.
            let waits =
                self.table.with(index, |row| matches!(row.state(), ComponentState::BackingOff { .. }));
            if waits == Some(true) {
                continue;
            }
            let Timing { stop_deadline, start_deadline, .. } = slot.child.timing();
            let limit = stop_deadline.saturating_add(start_deadline);
            let timer = ctx.run_later(limit, move |root, ctx| {
                tracing::warn!(component = root.name(index), "has not restarted within {limit:?}");
                root.following.awaited = None;
                root.follow_next(ctx);
            });
            self.following.awaited = Some((index, timer));
            let dependency = self.name(dependency).to_owned();
            self.publish(index, EventKind::Follows { dependency });
            self.insist(index, ctx);
        }
    }

    // --- stop ---

    /// Begins the ordered stop; the first reason counts.
    fn shut_down(&mut self, reason: ExitReason, ctx: &mut Context<Self>) {
        if self.stopping.is_some() {
            return;
        }
        tracing::info!("stopping the system: {reason}");
        for slot in &mut self.children {
            slot.child.shared().shutting_down.store(true, SeqCst);
            slot.stop_pulse(ctx);
            if let Some((timer, _)) = slot.respawn.take() {
                ctx.cancel_future(timer);
            }
        }
        let following = std::mem::take(&mut self.following).awaited;
        for (_, timer) in self.starting.awaited.take().into_iter().chain(following) {
            ctx.cancel_future(timer);
        }
        let queue = (0..self.children.len()).rev().collect();
        self.stopping = Some(Stop { reason, queue, current: None, done: Vec::new() });
        self.stop_next(ctx);
    }

    fn stop_next(&mut self, ctx: &mut Context<Self>) {
        loop {
            let Some(stop) = &mut self.stopping else { return };
            let Some(index) = stop.queue.pop_front() else { return self.finish(ctx) };
            let Some(slot) = self.children.get_mut(index) else { continue };
            slot.child.close_handle();
            if slot.running.is_none() && slot.joining.is_none() {
                let name = slot.name().to_owned();
                stop.done.push(ComponentStop {
                    name,
                    outcome: StopOutcome::NotRunning,
                    took: Duration::ZERO,
                });
                let rest = |row: &mut super::table::Row| match row.state() {
                    ComponentState::Stopped | ComponentState::Failed(_) => false,
                    ComponentState::Starting
                    | ComponentState::Running
                    | ComponentState::Degraded(_)
                    | ComponentState::BackingOff { .. }
                    | ComponentState::Paused => {
                        row.set_state(ComponentState::Stopped);
                        true
                    }
                };
                if self.table.with(index, rest) == Some(true) {
                    self.publish(index, EventKind::Stopped);
                }
                continue;
            }
            if let Some(running) = &slot.running
                && running.control.try_send(Control::Stop).is_err()
            {
                tracing::debug!(component = slot.name(), "has ended before it was asked to");
            }
            let deadline = slot.child.timing().stop_deadline.saturating_add(FORCE_GRACE);
            let timer = ctx.run_later(deadline, move |root, ctx| root.abandon(index, ctx));
            stop.current = Some((index, Instant::now(), timer));
            return;
        }
    }

    /// A component has come to its end; goes on with the next one if it was its turn.
    fn stopped(&mut self, index: usize, outcome: StopOutcome, ctx: &mut Context<Self>) {
        let name = self.name(index).to_owned();
        let Some(stop) = &mut self.stopping else { return };
        // One that ended before its turn just does not run any more.
        if let Some((_, since, timer)) = stop.current.take_if(|(current, ..)| *current == index) {
            ctx.cancel_future(timer);
            stop.done.push(ComponentStop { name, outcome, took: since.elapsed() });
            self.stop_next(ctx);
        }
    }

    /// Leaves a component that does not react to itself.
    fn abandon(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Some(slot) = self.children.get_mut(index) else { return };
        slot.give_up();
        tracing::error!(component = slot.name(), "its thread does not answer; it is left to itself");
        self.set_state(index, ComponentState::Failed("abandoned: its thread did not stop".into()));
        self.stopped(index, StopOutcome::Abandoned, ctx);
    }

    /// All components have come to their end: lets the subscribers have the last events, then ends.
    fn finish(&mut self, ctx: &mut Context<Self>) {
        let Some(Stop { reason, done, .. }) = self.stopping.as_mut() else { return };
        let report = ShutdownReport { reason: reason.clone(), components: std::mem::take(done) };
        let tasks: Vec<_> = self.subscribers.drain(..).map(|subscriber| subscriber.task).collect();
        let last_events = async move {
            if tokio::time::timeout(FAREWELL, join_all(tasks)).await.is_err() {
                tracing::warn!("a subscriber did not take the last events within {FAREWELL:?}");
            }
        };
        ctx.wait(last_events.into_actor(self).map(move |(), root, ctx| {
            root.root.close();
            root.ended.send_replace(Some(report));
            ctx.stop();
        }));
    }

    fn name(&self, index: usize) -> &str {
        self.children.get(index).map_or(SYSTEM, Slot::name)
    }
}

impl Slot {
    fn name(&self) -> &str {
        &self.child.shared().name
    }

    /// Leaves a thread that does not react to itself. Its guard and the reports of that are of no account
    /// from here on.
    fn give_up(&mut self) {
        self.generation += 1;
        self.child.shared().give_up(self.generation);
        self.child.set_down();
        self.child.abandon_handle();
        if let Some(running) = self.running.take() {
            running.arbiter.stop();
        }
    }

    fn stop_insisting(&mut self, ctx: &mut Context<SystemActor>) {
        if let Some(timer) = self.insisting.take() {
            ctx.cancel_future(timer);
        }
    }

    fn stop_pulse(&mut self, ctx: &mut Context<SystemActor>) {
        if let Some(heartbeat) = self.heartbeat.take() {
            ctx.cancel_future(heartbeat);
        }
    }

    /// Ends the thread of an incarnation whose guard has ended, and reports when that is done.
    fn join(&mut self, reporter: Reporter) {
        let Some(Running { arbiter, .. }) = self.running.take() else {
            return reporter.report(ReportKind::Joined);
        };
        arbiter.stop();
        let joiner = {
            let reporter = reporter.clone();
            move || {
                if arbiter.join().is_err() {
                    tracing::warn!("a component's thread ended with a panic");
                }
                reporter.report(ReportKind::Joined);
            }
        };
        if let Err(e) = std::thread::Builder::new().name("arbiter-join".into()).spawn(joiner) {
            tracing::warn!("cannot wait for a thread's end: {e}");
            reporter.report(ReportKind::Joined);
        }
    }
}

impl Subscriber {
    fn new(outlet: Outlet<LifecycleEvent>) -> Self {
        let (queue, mut events) = mpsc::channel(EVENT_BACKLOG);
        let name = outlet.name().to_owned();
        let task = actix::spawn(async move {
            while let Some(event) = events.recv().await {
                if outlet.tell(event).await.is_err() {
                    break;
                }
            }
        });
        Self { name, queue, task, missed: 0 }
    }

    /// Hands an event on without waiting; false when the subscriber has ended.
    fn offer(&mut self, event: &LifecycleEvent) -> bool {
        match self.queue.try_send(event.clone()) {
            Ok(()) => {
                if self.missed > 0 {
                    tracing::warn!(subscriber = self.name, "missed {} events", self.missed);
                    self.missed = 0;
                }
                true
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.missed += 1;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

fn log(event: &LifecycleEvent) {
    let component = event.component.as_str();
    match &event.kind {
        EventKind::Started => tracing::info!(component, "started"),
        EventKind::Failed { failure } => tracing::error!(
            component,
            location = failure.location.as_deref(),
            message = failure.message.as_deref(),
            "failed: {}",
            failure.reason
        ),
        EventKind::BackingOff { delay } => tracing::info!(component, ?delay, "restarts after a delay"),
        EventKind::Restarted { downtime } => tracing::info!(component, ?downtime, "restarted"),
        EventKind::Degraded { reason } => tracing::warn!(component, "degraded: {reason}"),
        EventKind::Recovered => tracing::info!(component, "recovered"),
        EventKind::Paused => tracing::info!(component, "paused"),
        EventKind::Resumed => tracing::info!(component, "resumed"),
        EventKind::Stopped => tracing::info!(component, "stopped"),
        EventKind::Escalated { reason } => tracing::error!(component, "ends the system: {reason}"),
        EventKind::Follows { dependency } => {
            tracing::info!(component, dependency, "restarts after what it depends on");
        }
        EventKind::ArbiterReplaced => tracing::warn!(component, "moves to a new thread"),
    }
}

impl Actor for SystemActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(mut incoming) = self.incoming.take() {
            Self::add_stream(futures::stream::poll_fn(move |cx| incoming.poll_recv(cx)), ctx);
        }
        self.root.set_up(true);
        self.start_next(ctx);
    }
}

impl StreamHandler<Report> for SystemActor {
    fn handle(&mut self, report: Report, ctx: &mut Context<Self>) {
        self.on_report(report, ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Drop for SystemActor {
    fn drop(&mut self) {
        // Nothing may run without supervision, and nobody may wait for what will not come.
        self.root.close();
        for slot in &mut self.children {
            slot.child.shared().shutting_down.store(true, SeqCst);
            slot.child.close_handle();
            if let Some(running) = slot.running.take() {
                slot.child.shared().fence(slot.generation);
                slot.child.abandon_handle();
                running.arbiter.stop();
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    Restart,
    Pause,
    Resume,
}

/// An operator's command to one component.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), ControlError>")]
pub(super) struct Operate {
    pub(super) name: String,
    pub(super) command: Command,
}

impl Handler<Operate> for SystemActor {
    type Result = Result<(), ControlError>;

    fn handle(&mut self, Operate { name, command }: Operate, ctx: &mut Context<Self>) -> Self::Result {
        let index = self.names().position(|known| known == name);
        match index {
            Some(index) => self.operate(index, command, ctx),
            None => Err(ControlError::UnknownComponent { name }),
        }
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Subscribe(pub(super) Outlet<LifecycleEvent>);

impl Handler<Subscribe> for SystemActor {
    type Result = ();

    fn handle(&mut self, Subscribe(outlet): Subscribe, _: &mut Context<Self>) {
        self.subscribers.push(Subscriber::new(outlet));
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Shutdown;

impl Handler<Shutdown> for SystemActor {
    type Result = ();

    fn handle(&mut self, Shutdown: Shutdown, ctx: &mut Context<Self>) {
        self.shut_down(ExitReason::Shutdown, ctx);
    }
}

/// The future that runs the root. A panic of the root ends the system.
pub(super) struct Root {
    actor: Option<Box<ContextFut<SystemActor, Context<SystemActor>>>>,
    ended: watch::Sender<Option<ShutdownReport>>,
}

impl Root {
    pub(super) fn new(
        actor: ContextFut<SystemActor, Context<SystemActor>>,
        ended: watch::Sender<Option<ShutdownReport>>,
    ) -> Self {
        Self { actor: Some(Box::new(actor)), ended }
    }
}

impl Future for Root {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(mut actor) = this.actor.take() else { return Poll::Ready(()) };
        let name: Arc<str> = SYSTEM.into();
        let reason = match catch(&name, || Pin::new(&mut *actor).poll(cx)) {
            Ok(Poll::Pending) => {
                this.actor = Some(actor);
                return Poll::Pending;
            }
            Ok(Poll::Ready(())) => "the supervisor has ended".to_owned(),
            Err(panic) => format!("the supervisor panicked: {}", panic.message),
        };
        actor.ctx().terminate();
        if let Err(panic) = catch(&name, move || drop(actor)) {
            tracing::error!("panic while the supervisor was dropped: {}", panic.message);
        }
        this.ended.send_if_modified(|report| {
            let unset = report.is_none();
            report.get_or_insert(ShutdownReport {
                reason: ExitReason::Escalated { component: SYSTEM.into(), reason },
                components: Vec::new(),
            });
            unset
        });
        Arbiter::current().stop();
        Poll::Ready(())
    }
}
