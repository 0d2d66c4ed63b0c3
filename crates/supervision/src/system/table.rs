//! The table of components, readable without asking the root.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::shared::{Shared, lock};
use crate::{ComponentState, ComponentStatus, Failure};

pub(super) struct Row {
    shared: Arc<Shared>,
    state: ComponentState,
    since: Instant,
    up_since: Option<Instant>,
    restarts: u64,
    failures: u64,
    last_failure: Option<Failure>,
}

impl Row {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            state: ComponentState::Starting,
            since: Instant::now(),
            up_since: None,
            restarts: 0,
            failures: 0,
            last_failure: None,
        }
    }

    pub(super) fn state(&self) -> &ComponentState {
        &self.state
    }

    pub(super) fn set_state(&mut self, state: ComponentState) {
        let is_up = |state: &ComponentState| match state {
            ComponentState::Running | ComponentState::Degraded(_) | ComponentState::Paused => true,
            ComponentState::Starting
            | ComponentState::BackingOff { .. }
            | ComponentState::Stopped
            | ComponentState::Failed(_) => false,
        };
        if std::mem::discriminant(&self.state) != std::mem::discriminant(&state) {
            self.since = Instant::now();
        }
        if !is_up(&state) {
            self.up_since = None;
        }
        self.state = state;
    }

    pub(super) fn started(&mut self, again: bool) {
        self.set_state(ComponentState::Running);
        self.up_since = Some(Instant::now());
        self.restarts += u64::from(again);
    }

    pub(super) fn failed(&mut self, failure: Failure) {
        self.failures += 1;
        self.last_failure = Some(failure);
    }

    pub(super) fn uptime(&self) -> Duration {
        self.up_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn status(&self) -> ComponentStatus {
        let paused = self.shared.paused.load(SeqCst);
        let state = match &self.state {
            ComponentState::Running if paused => ComponentState::Paused,
            state => state.clone(),
        };
        ComponentStatus {
            name: self.shared.name.to_string(),
            state,
            paused,
            in_state: self.since.elapsed(),
            uptime: self.uptime(),
            epoch: self.shared.epoch.load(SeqCst),
            restarts: self.restarts,
            failures: self.failures,
            messages: self.shared.messages.load(SeqCst),
            last_failure: self.last_failure.clone(),
        }
    }
}

/// Rows in the order of declaration.
#[derive(Clone)]
pub(super) struct Table(Arc<Mutex<Vec<Row>>>);

impl Table {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        Self(Arc::new(Mutex::new(rows)))
    }

    /// Does something with a row, if it is there.
    pub(super) fn with<R>(&self, index: usize, f: impl FnOnce(&mut Row) -> R) -> Option<R> {
        lock(&self.0).get_mut(index).map(f)
    }

    pub(super) fn status(&self) -> Vec<ComponentStatus> {
        lock(&self.0).iter().map(Row::status).collect()
    }
}
