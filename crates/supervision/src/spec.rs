//! What the supervisor has to know of a component.

use std::any::Any;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ArbiterHandle};
use tokio::sync::mpsc;

use crate::guarded::Guarded;
use crate::handle::DEFAULT_CAPACITY;
use crate::seat::{Factory, Seat};
use crate::shared::{CONTROLS, Control, Reporter, Shared, Tether};
use crate::{Backoff, Component, Handle, Intensity, RestartPolicy, RestartTracker};

/// How a component is built and supervised.
pub struct ChildSpec<A: Actor> {
    name: String,
    factory: Factory<A>,
    handle: Handle<A>,
    policy: RestartPolicy,
    backoff: Backoff,
    intensity: Intensity,
    timing: Timing,
    capacity: usize,
    dependencies: Vec<Dependency>,
}

/// A component that another one depends on: by its name, or by its [`Handle`], whose type and identity are
/// checked at the start. See [`ChildSpec::depends_on`].
#[derive(Clone)]
pub struct Dependency {
    name: String,
    handle: Option<Arc<dyn HandleOf>>,
}

/// The handle of a dependency, whatever its type.
trait HandleOf: Send + Sync {
    /// Whether the other one, a `Handle` too, is the same.
    fn is_same(&self, other: &dyn Any) -> bool;
}

impl<A: Actor> HandleOf for Handle<A> {
    fn is_same(&self, other: &dyn Any) -> bool {
        Self::is_same(self, other)
    }
}

impl Dependency {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this child is the one meant.
    pub(crate) fn is(&self, child: &dyn Child) -> bool {
        self.handle.as_ref().is_none_or(|handle| handle.is_same(child.handle()))
    }
}

impl fmt::Debug for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dependency").field(&self.name).finish()
    }
}

impl From<&str> for Dependency {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), handle: None }
    }
}

impl From<String> for Dependency {
    fn from(name: String) -> Self {
        Self { name, handle: None }
    }
}

impl<A: Actor> From<&Handle<A>> for Dependency {
    fn from(handle: &Handle<A>) -> Self {
        Self { name: handle.name().to_owned(), handle: Some(Arc::new(handle.clone())) }
    }
}

/// The times of a component that its supervisor keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) start_deadline: Duration,
    pub(crate) stop_deadline: Duration,
    pub(crate) heartbeat: Option<Heartbeat>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl<A: Actor> fmt::Debug for ChildSpec<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .field("backoff", &self.backoff)
            .field("intensity", &self.intensity)
            .field("timing", &self.timing)
            .field("capacity", &self.capacity)
            .field("dependencies", &self.dependencies)
            .finish_non_exhaustive()
    }
}

impl<A: Component> ChildSpec<A> {
    /// A component that is built by `factory`, at its start and at every restart, on its own thread.
    /// [`Component`] tells what a factory may do.
    ///
    /// Defaults: [`RestartPolicy::Permanent`], [`Backoff::default`], [`Intensity::default`], a mailbox of
    /// 256 messages, 30 s to start, 10 s to stop, no heartbeat.
    pub fn new(name: impl Into<String>, factory: impl Fn(Seat<A>) -> A + Send + Sync + 'static) -> Self {
        let name = name.into();
        Self {
            handle: Handle::new(name.as_str()),
            name,
            factory: Arc::new(factory),
            policy: RestartPolicy::Permanent,
            backoff: Backoff::default(),
            intensity: Intensity::default(),
            timing: Timing {
                start_deadline: Duration::from_secs(30),
                stop_deadline: Duration::from_secs(10),
                heartbeat: None,
            },
            capacity: DEFAULT_CAPACITY,
            dependencies: Vec::new(),
        }
    }

    /// Uses a handle made before, so that other components could be wired to this one already. It must have
    /// the same name.
    #[must_use]
    pub fn with_handle(mut self, handle: Handle<A>) -> Self {
        self.handle = handle;
        self
    }

    /// When it is started again.
    #[must_use]
    pub fn policy(mut self, policy: RestartPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How long a restart waits.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many restarts within a sliding window are tried before the failure ends the system;
    /// `u32::MAX` for no limit.
    #[must_use]
    pub fn intensity(mut self, max_restarts: u32, window: Duration) -> Self {
        self.intensity = Intensity { max_restarts, window };
        self
    }

    /// Messages its mailbox holds; 0 counts as 1.
    #[must_use]
    pub fn mailbox(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// How long the start of the next component waits for this one to have started.
    #[must_use]
    pub fn start_deadline(mut self, deadline: Duration) -> Self {
        self.timing.start_deadline = deadline;
        self
    }

    /// How long an intended stop may take before the component is dropped.
    #[must_use]
    pub fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.timing.stop_deadline = deadline;
        self
    }

    /// Asks the component's thread for a sign of life every `interval`. One that gives none within
    /// `timeout` is hung: the component fails and is started again on a new thread.
    ///
    /// A thread cannot be ended from outside. Until the hung one comes to itself it may go on with what it
    /// was doing: see [`Seat::is_current`].
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration, timeout: Duration) -> Self {
        self.timing.heartbeat = Some(Heartbeat { interval, timeout });
        self
    }

    /// Declares that this component is of no use with a new instance of another one, unless it begins anew
    /// itself: it holds a session with it, say, or something that was agreed on. By default no component
    /// depends on another.
    ///
    /// Whenever the other one has been restarted, after a failure or by the operator, this one is restarted
    /// too once the other is up again: gracefully, in the order of the start, and so on to what depends on
    /// this one. That is no failure of this one and costs none of its restarts. If it waits for a restart
    /// itself, it just goes on waiting; if it has ended, it stays ended. A degradation is no restart.
    ///
    /// The other one must be added to the system before this one.
    #[must_use]
    pub fn depends_on(mut self, other: impl Into<Dependency>) -> Self {
        self.dependencies.push(other.into());
        self
    }

    /// The component's stable address.
    pub fn handle(&self) -> Handle<A> {
        self.handle.clone()
    }

    pub(crate) fn into_child(self, seed: u64) -> TypedChild<A> {
        // One seed for the system, but not the same jitter for every component.
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        let seed = seed ^ hasher.finish();
        let tracker = RestartTracker::new(self.policy, self.backoff, self.intensity, seed);
        let shared = Arc::new(Shared::new(&self.name, tracker));
        TypedChild {
            seat: Seat::new(shared, self.factory, self.handle),
            timing: self.timing,
            capacity: self.capacity,
            dependencies: self.dependencies,
        }
    }
}

/// A component, whatever its type, in the root's hands.
pub(crate) trait Child: Send {
    fn shared(&self) -> &Arc<Shared>;
    fn timing(&self) -> Timing;
    fn dependencies(&self) -> &[Dependency];
    /// The name its handle goes by.
    fn handle_name(&self) -> &str;
    /// The `Handle` of its type.
    fn handle(&self) -> &dyn Any;
    fn close_handle(&self);
    /// Tells the senders that the component is down.
    fn set_down(&self);
    /// Leaves the present mailbox to the thread that has it.
    fn abandon_handle(&self);
    /// Starts an incarnation; what happens to it is reported.
    fn spawn(
        &self,
        arbiter: &ArbiterHandle,
        reporter: Reporter,
        down_since: Option<Instant>,
    ) -> mpsc::Sender<Control>;
}

pub(crate) struct TypedChild<A: Actor> {
    seat: Seat<A>,
    timing: Timing,
    capacity: usize,
    dependencies: Vec<Dependency>,
}

impl<A: Component> Child for TypedChild<A> {
    fn shared(&self) -> &Arc<Shared> {
        self.seat.shared()
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    fn handle_name(&self) -> &str {
        self.seat.handle_ref().name()
    }

    fn handle(&self) -> &dyn Any {
        self.seat.handle_ref()
    }

    fn close_handle(&self) {
        self.seat.handle_ref().close();
    }

    fn set_down(&self) {
        self.seat.handle_ref().set_up(false);
    }

    fn abandon_handle(&self) {
        self.seat.handle_ref().abandon();
    }

    fn spawn(
        &self,
        arbiter: &ArbiterHandle,
        reporter: Reporter,
        down_since: Option<Instant>,
    ) -> mpsc::Sender<Control> {
        let (control_tx, control) = mpsc::channel(CONTROLS);
        self.seat.shared().set_reporter(reporter.clone());
        let seat = self.seat.of_guard(reporter.generation);
        let tether = Tether::new(reporter);
        let mailbox = self.seat.handle_ref().open(self.capacity);
        let stop_deadline = self.timing.stop_deadline;
        // A dead arbiter drops the closure, and the tether in it reports that.
        arbiter.spawn_fn(move || {
            if let Some(mailbox) = mailbox {
                let guarded = Guarded::new(seat, mailbox, control, tether, stop_deadline, down_since);
                actix::spawn(guarded);
            }
        });
        control_tx
    }
}
