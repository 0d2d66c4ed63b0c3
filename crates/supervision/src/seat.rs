//! A component's link to its supervisor.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use actix::{Actor, ActorContext, Context};
use ensemble_error::{Classify, Severity};

use crate::shared::{Exit, Shared, lock};
use crate::{Backoff, Component, Handle, Intensity, RestartPolicy, RestartTracker};

pub(crate) type Factory<A> = Arc<dyn Fn(Seat<A>) -> A + Send + Sync>;

/// What a component gets from its supervisor when it is built; it is the component's only link to it.
///
/// Every instance has its own, with its own [`epoch`](Self::epoch). Clones may go to tasks that outlive the
/// instance: [`is_current`](Self::is_current) tells them so.
pub struct Seat<A: Actor> {
    shared: Arc<Shared>,
    factory: Factory<A>,
    handle: Handle<A>,
    epoch: u64,
    /// The guard that it belongs to.
    generation: u64,
}

impl<A: Actor> Clone for Seat<A> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            factory: Arc::clone(&self.factory),
            handle: self.handle.clone(),
            epoch: self.epoch,
            generation: self.generation,
        }
    }
}

impl<A: Actor> fmt::Debug for Seat<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("name", &self.name()).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl<A: Actor> Seat<A> {
    pub(crate) fn new(shared: Arc<Shared>, factory: Factory<A>, handle: Handle<A>) -> Self {
        Self { shared, factory, handle, epoch: 0, generation: 0 }
    }

    /// The seat for the instances of a guard.
    pub(crate) fn of_guard(&self, generation: u64) -> Self {
        Self { generation, ..self.clone() }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn handle_ref(&self) -> &Handle<A> {
        &self.handle
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Number of this instance, 1 for the first: grows with every (re)start. A fencing token for side
    /// effects.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether this instance is still the component. False for a task that outlived its instance, and for
    /// an instance whose thread hung so that it was replaced: it must have no side effects any more.
    ///
    /// Between this answer and the side effect the instance may be replaced. Where that matters hand the
    /// [`epoch`](Self::epoch) to what has the effect, and let it refuse every epoch below the highest it knows.
    pub fn is_current(&self) -> bool {
        self.shared.is_current(self.epoch)
    }

    /// The component's own stable address.
    pub fn handle(&self) -> Handle<A> {
        self.handle.clone()
    }

    /// Still running, but cannot reach something it needs. Shown in the status; costs no restart. Repeated
    /// calls update the reason.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.shared.set_degraded(self.epoch, Some(reason.into()));
    }

    /// Ends a degradation; does nothing when there is none.
    pub fn healthy(&self) {
        self.shared.set_degraded(self.epoch, None);
    }

    /// Every handler calls it first, with the name of its message: it counts the messages handled, and
    /// names the message in the report of a failure.
    ///
    /// # Panics
    /// When the thread of this instance hung and the component goes on elsewhere: the unwinding, silent and
    /// caught by the supervisor, ends the instance, so that it handles none of the messages left to it. With
    /// the feature `fault-injection`, when a fault armed for this component is due.
    pub fn enter(&self, message: &'static str) {
        if self.shared.is_replaced(self.generation) {
            std::panic::resume_unwind(Box::new("replaced"));
        }
        self.shared.messages.fetch_add(1, SeqCst);
        *lock(&self.shared.last_message) = Some(message);
        #[cfg(feature = "fault-injection")]
        crate::faults::on_message(self.name());
    }

    /// Whether the operator has paused this component: its timers should do nothing then.
    pub fn is_paused(&self) -> bool {
        self.shared.paused.load(SeqCst)
    }

    /// Builds the next instance, with the next epoch.
    pub fn rebuild(&self) -> A {
        let mut next = self.clone();
        next.epoch = self.shared.next_epoch(self.generation);
        (self.factory)(next)
    }
}

impl<A: Component> Seat<A> {
    /// A seat without a supervisor, to run a component alone, as in its unit tests. It has epoch 0;
    /// [`rebuild`](Self::rebuild) makes the first instance.
    pub fn detached(name: &str, factory: impl Fn(Self) -> A + Send + Sync + 'static) -> Self {
        let tracker = RestartTracker::new(RestartPolicy::Temporary, Backoff::NONE, Intensity::default(), 0);
        Self::new(Arc::new(Shared::new(name, tracker)), Arc::new(factory), Handle::new(name))
    }

    /// Ends this instance as failed; the policy decides what follows. A [`Severity::Fatal`] error is not
    /// retried but ends the system, unless the policy is [`RestartPolicy::Temporary`].
    pub fn fail(&self, ctx: &mut Context<A>, error: impl Classify) {
        let severity = error.severity();
        self.fail_with(ctx, severity, chain(&error));
    }

    /// As [`fail`](Self::fail), with the parts of the error.
    pub fn fail_with(&self, ctx: &mut Context<A>, severity: Severity, reason: impl Into<String>) {
        self.end(ctx, Exit::Failed { severity, reason: reason.into() });
    }

    /// Ends this instance as having nothing more to do: no restart, unless the policy is
    /// [`RestartPolicy::Permanent`].
    pub fn done(&self, ctx: &mut Context<A>) {
        self.end(ctx, Exit::Done);
    }

    fn end(&self, ctx: &mut Context<A>, exit: Exit) {
        self.shared.set_exit(self.epoch, exit);
        ctx.stop();
    }
}

/// An error with its sources, separated by colons.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors print their source themselves.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
