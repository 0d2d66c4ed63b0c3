//! What a component, its guard and the root share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ensemble_error::Severity;
use tokio::sync::mpsc;

use crate::{Decision, Ending, Failure, RestartTracker};

/// Locks without regard to poisoning: every critical section here leaves its data whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why an instance asked to end.
#[derive(Clone, Debug)]
pub(crate) enum Exit {
    Failed {
        severity: Severity,
        reason: String,
    },
    Done,
    /// At the end of an intended stop or restart.
    Leave,
}

/// What belongs to the newest instance only.
#[derive(Debug, Default)]
struct Instance {
    exit: Option<Exit>,
    degraded: Option<String>,
}

pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    /// Epoch of the newest instance; 0 before the first. Changed under the lock of `instance`.
    pub(crate) epoch: AtomicU64,
    /// Set when the newest instance has ended, or was given up while its thread may still run it. Changed
    /// under the lock of `instance`.
    fenced: AtomicBool,
    pub(crate) messages: AtomicU64,
    pub(crate) last_message: Mutex<Option<&'static str>>,
    pub(crate) paused: AtomicBool,
    pub(crate) shutting_down: AtomicBool,
    /// Number of the guard in charge; an older one finds itself replaced and ends. Changed under the lock of
    /// `instance`.
    generation: AtomicU64,
    instance: Mutex<Instance>,
    exit_set: AtomicBool,
    /// A `Health` report is on its way.
    health_told: AtomicBool,
    /// A restart is on its way to the guard.
    pub(crate) restart_asked: AtomicBool,
    /// The same because a component it depends on was restarted.
    pub(crate) follow_asked: AtomicBool,
    /// Failures on their way to the root.
    untold: AtomicU64,
    pub(crate) tracker: Mutex<RestartTracker>,
    reporter: Mutex<Option<Reporter>>,
}

impl Shared {
    pub(crate) fn new(name: &str, tracker: RestartTracker) -> Self {
        Self {
            name: name.into(),
            epoch: AtomicU64::new(0),
            fenced: AtomicBool::new(false),
            messages: AtomicU64::new(0),
            last_message: Mutex::new(None),
            paused: AtomicBool::new(false),
            shutting_down: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            instance: Mutex::default(),
            exit_set: AtomicBool::new(false),
            health_told: AtomicBool::new(false),
            restart_asked: AtomicBool::new(false),
            follow_asked: AtomicBool::new(false),
            untold: AtomicU64::new(0),
            tracker: Mutex::new(tracker),
            reporter: Mutex::new(None),
        }
    }

    /// Opens the next epoch and clears what belonged to the last one. Epoch 0, which is never current, for a
    /// guard that is not in charge any more.
    pub(crate) fn next_epoch(&self, generation: u64) -> u64 {
        let mut instance = lock(&self.instance);
        if self.is_replaced(generation) {
            return 0;
        }
        let epoch = self.epoch.fetch_add(1, SeqCst) + 1;
        *instance = Instance::default();
        self.fenced.store(false, SeqCst);
        self.exit_set.store(false, SeqCst);
        self.health_told.store(false, SeqCst);
        *lock(&self.last_message) = None;
        epoch
    }

    pub(crate) fn is_current(&self, epoch: u64) -> bool {
        epoch != 0 && self.epoch.load(SeqCst) == epoch && !self.fenced.load(SeqCst)
    }

    /// Whether another guard than this one is in charge.
    pub(crate) fn is_replaced(&self, generation: u64) -> bool {
        self.generation.load(SeqCst) != generation
    }

    /// Puts a guard in charge.
    pub(crate) fn appoint(&self, generation: u64) {
        let _instance = lock(&self.instance);
        self.generation.store(generation, SeqCst);
    }

    /// Gives up the present instance, whose thread may still run it, and its guard.
    pub(crate) fn give_up(&self, generation: u64) {
        let _instance = lock(&self.instance);
        self.generation.store(generation, SeqCst);
        self.fenced.store(true, SeqCst);
    }

    /// The instance of this guard has ended: nothing that outlives it is current.
    pub(crate) fn fence(&self, generation: u64) {
        let _instance = lock(&self.instance);
        if !self.is_replaced(generation) {
            self.fenced.store(true, SeqCst);
        }
    }

    /// What follows from an ending; nothing for a guard that is not in charge any more.
    pub(crate) fn decide(&self, generation: u64, ending: Ending, now: Instant) -> Option<Decision> {
        let _instance = lock(&self.instance);
        (!self.is_replaced(generation)).then(|| lock(&self.tracker).decide(ending, now))
    }

    /// Takes the wish of an instance to end; refused when it is not the present one.
    pub(crate) fn set_exit(&self, epoch: u64, exit: Exit) {
        let mut instance = lock(&self.instance);
        if self.is_current(epoch) {
            instance.exit.get_or_insert(exit);
            self.exit_set.store(true, SeqCst);
        }
    }

    /// The wish of the present instance to end, for its guard.
    pub(crate) fn take_exit(&self, generation: u64) -> Option<Exit> {
        if !self.exit_set.load(SeqCst) {
            return None;
        }
        let mut instance = lock(&self.instance);
        if self.is_replaced(generation) {
            return None;
        }
        self.exit_set.store(false, SeqCst);
        instance.exit.take()
    }

    /// Sets or clears the reason for being degraded; refused when the instance is not the present one.
    pub(crate) fn set_degraded(&self, epoch: u64, reason: Option<String>) {
        let changed = {
            let mut instance = lock(&self.instance);
            let changed = self.is_current(epoch) && instance.degraded != reason;
            if changed {
                instance.degraded = reason;
            }
            changed
        };
        // One report at a time, however fast it changes.
        if changed && !self.health_told.swap(true, SeqCst) {
            self.report(ReportKind::Health);
        }
    }

    /// What a `Health` report is about.
    pub(crate) fn take_health(&self) -> Option<String> {
        self.health_told.store(false, SeqCst);
        lock(&self.instance).degraded.clone()
    }

    /// Counts a failure that the root has to be told of; whether it is far behind.
    pub(crate) fn failure_told(&self) -> bool {
        self.untold.fetch_add(1, SeqCst) >= MANY_UNTOLD
    }

    /// The root has heard of a failure.
    pub(crate) fn failure_heard(&self) {
        self.untold.fetch_sub(1, SeqCst);
    }

    pub(crate) fn set_reporter(&self, reporter: Reporter) {
        *lock(&self.reporter) = Some(reporter);
    }

    fn report(&self, kind: ReportKind) {
        if let Some(reporter) = &*lock(&self.reporter) {
            reporter.report(kind);
        }
    }
}

/// At most one restart of each kind and one stop are on their way to a guard.
pub(crate) const CONTROLS: usize = 3;

/// Failures that the root has not heard of, from which on a component waits before it tries again.
const MANY_UNTOLD: u64 = 64;

/// What a guard does at the operator's or the root's word.
#[derive(Debug)]
pub(crate) enum Control {
    Stop,
    Restart,
    /// Restart, unless the next instance has not begun to start.
    Follow,
}

/// News from one incarnation of a component.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) index: usize,
    pub(crate) generation: u64,
    pub(crate) kind: ReportKind,
}

#[derive(Debug)]
pub(crate) enum ReportKind {
    /// The delay is over, or the old instance has ended: the next one begins to start.
    Starting,
    /// `started` returned; the moment it went down if this is a restart.
    Started {
        down_since: Option<Instant>,
    },
    Failed {
        failure: Failure,
        next: Decision,
    },
    /// It has become degraded, or recovered: what holds now is in the shared state.
    Health,
    /// The guard has ended and dropped the actor; its last report.
    Ended(EndKind),
    /// The thread has ended as well.
    Joined,
}

/// Why a guard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// Nothing more to do, or asked to stop.
    Stopped,
    /// Did not stop within its deadline, was dropped.
    Forced,
    /// Failed; what follows from it was reported before.
    Failed,
    /// Dropped from outside: the arbiter's thread has ended.
    ArbiterGone,
}

/// Where one incarnation sends its reports.
#[derive(Clone)]
pub(crate) struct Reporter {
    pub(crate) root: mpsc::UnboundedSender<Report>,
    pub(crate) index: usize,
    pub(crate) generation: u64,
}

impl Reporter {
    pub(crate) fn report(&self, kind: ReportKind) {
        let report = Report { index: self.index, generation: self.generation, kind };
        if self.root.send(report).is_err() {
            tracing::debug!("a report came after the end of the supervisor");
        }
    }
}

/// Reports the end of an incarnation however it comes, even if its guard never got to its thread.
pub(crate) struct Tether {
    reporter: Reporter,
    end: Option<EndKind>,
}

impl Tether {
    pub(crate) fn new(reporter: Reporter) -> Self {
        Self { reporter, end: None }
    }

    pub(crate) fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// Sets the reason that the drop will report.
    pub(crate) fn end_as(&mut self, end: EndKind) {
        self.end.get_or_insert(end);
    }
}

impl Drop for Tether {
    fn drop(&mut self) {
        self.reporter.report(ReportKind::Ended(self.end.unwrap_or(EndKind::ArbiterGone)));
    }
}
