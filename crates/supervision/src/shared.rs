//! What a component, its guard and the root share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ensemble_error::Severity;
use tokio::sync::mpsc;

use crate::{Failure, RestartTracker};

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

pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    /// Epoch of the newest instance; 0 before the first.
    pub(crate) epoch: AtomicU64,
    /// Set when the newest instance was given up while its thread may still run it.
    pub(crate) fenced: AtomicBool,
    pub(crate) messages: AtomicU64,
    pub(crate) last_message: Mutex<Option<&'static str>>,
    pub(crate) paused: AtomicBool,
    pub(crate) shutting_down: AtomicBool,
    /// Number of the guard in charge; an older one finds itself replaced and ends.
    pub(crate) generation: AtomicU64,
    exit: Mutex<Option<Exit>>,
    exit_set: AtomicBool,
    degraded: Mutex<Option<String>>,
    /// A `Health` report is on its way.
    health_told: AtomicBool,
    /// A restart is on its way to the guard.
    pub(crate) restart_asked: AtomicBool,
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
            exit: Mutex::new(None),
            exit_set: AtomicBool::new(false),
            degraded: Mutex::new(None),
            health_told: AtomicBool::new(false),
            restart_asked: AtomicBool::new(false),
            tracker: Mutex::new(tracker),
            reporter: Mutex::new(None),
        }
    }

    /// Opens the next epoch and clears what belonged to the last one.
    pub(crate) fn next_epoch(&self) -> u64 {
        let epoch = self.epoch.fetch_add(1, SeqCst) + 1;
        self.fenced.store(false, SeqCst);
        *lock(&self.exit) = None;
        self.exit_set.store(false, SeqCst);
        *lock(&self.degraded) = None;
        self.health_told.store(false, SeqCst);
        *lock(&self.last_message) = None;
        epoch
    }

    pub(crate) fn is_current(&self, epoch: u64) -> bool {
        self.epoch.load(SeqCst) == epoch && !self.fenced.load(SeqCst)
    }

    pub(crate) fn set_exit(&self, exit: Exit) {
        lock(&self.exit).get_or_insert(exit);
        self.exit_set.store(true, SeqCst);
    }

    pub(crate) fn take_exit(&self) -> Option<Exit> {
        if !self.exit_set.swap(false, SeqCst) {
            return None;
        }
        lock(&self.exit).take()
    }

    /// Sets or clears the reason for being degraded.
    pub(crate) fn set_degraded(&self, reason: Option<String>) {
        let changed = {
            let mut degraded = lock(&self.degraded);
            let changed = *degraded != reason;
            *degraded = reason;
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
        lock(&self.degraded).clone()
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

/// At most one restart and one stop are on their way to a guard.
pub(crate) const CONTROLS: usize = 2;

/// What a guard does at the operator's or the root's word.
#[derive(Debug)]
pub(crate) enum Control {
    Stop,
    Restart,
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
    /// `started` returned; the moment it went down if this is a restart.
    Started {
        down_since: Option<Instant>,
    },
    Failed {
        failure: Failure,
        next: crate::Decision,
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
