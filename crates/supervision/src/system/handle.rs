//! What the host of a system holds.

use std::fmt;
use std::time::Duration;

use actix::prelude::{Handler, Message};
use ensemble_error::{Classify, Severity};
use tokio::sync::watch;

use super::actor::{Command, Operate, SystemActor};
use super::builder::SYSTEM;
use super::exit::{ExitReason, ShutdownReport};
use super::table::Table;
use crate::{CallError, ComponentStatus, Handle, LifecycleEvent, Outlet, TellError};

/// Why an operator's command was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such component.
    #[error("there is no component `{name}`; the status lists them")]
    UnknownComponent {
        /// The name given.
        name: String,
    },
    /// The system is stopping or has ended.
    #[error("the system is shutting down")]
    ShuttingDown,
    /// The supervisor did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Classify for ControlError {
    fn severity(&self) -> Severity {
        match self {
            Self::UnknownComponent { .. } | Self::ShuttingDown => Severity::Recoverable,
            Self::Call(e) => e.severity(),
        }
    }
}

pub(super) type Ended = watch::Receiver<Option<ShutdownReport>>;

/// A running system. Clones are the same system; it goes on when all of them are dropped.
#[derive(Clone)]
pub struct SystemHandle {
    root: Handle<SystemActor>,
    table: Table,
    ended: Ended,
    ready: watch::Receiver<bool>,
}

impl fmt::Debug for SystemHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemHandle").field("ended", &*self.ended.borrow()).finish_non_exhaustive()
    }
}

impl SystemHandle {
    pub(super) fn new(
        root: Handle<SystemActor>,
        table: Table,
        ended: Ended,
        ready: watch::Receiver<bool>,
    ) -> Self {
        Self { root, table, ended, ready }
    }

    /// All components in the order of their start. Answers at once, whatever the supervisor is doing, and
    /// after the end as well.
    pub fn status(&self) -> Vec<ComponentStatus> {
        self.table.status()
    }

    /// Waits until every component has started once or has failed to, or the system has ended.
    pub async fn ready(&self) {
        let mut ready = self.ready.clone();
        let mut ended = self.ended.clone();
        // Either channel's end is the end of the supervisor.
        tokio::select! {
            result = ready.wait_for(|ready| *ready) => drop(result),
            result = ended.wait_for(Option::is_some) => drop(result),
        }
    }

    /// Restarts a component: gracefully when it runs, at once when it waits for a restart, anew when it has
    /// ended. Costs nothing of its restart budget. Returns when the command was taken, not when it is done.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn restart(&self, name: &str) -> Result<(), ControlError> {
        self.operate(name, Command::Restart).await
    }

    /// Tells a component to do nothing of its own accord; it still handles messages. Kept over restarts.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn pause(&self, name: &str) -> Result<(), ControlError> {
        self.operate(name, Command::Pause).await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn resume(&self, name: &str) -> Result<(), ControlError> {
        self.operate(name, Command::Resume).await
    }

    async fn operate(&self, name: &str, command: Command) -> Result<(), ControlError> {
        match self.root.call(Operate { name: name.to_owned(), command }).await {
            Ok(result) => result,
            Err(CallError::NotRunning { .. }) => Err(ControlError::ShuttingDown),
            Err(
                e
                @ (CallError::Restarting { .. } | CallError::Full { .. } | CallError::OutcomeUnknown { .. }),
            ) => Err(e.into()),
        }
    }

    /// Sends all events from now on there, in order. A subscriber that is more than 1024 events behind
    /// misses some, which is logged; one that has ended is forgotten.
    ///
    /// # Errors
    /// [`CallError`], when the system has ended.
    pub async fn subscribe(&self, outlet: Outlet<LifecycleEvent>) -> Result<(), CallError> {
        self.root.call(super::actor::Subscribe(outlet)).await
    }

    /// Stops the components in the reverse order of their start, each within its deadline, and ends the
    /// system. Called again, or when the system has ended, it gives the same report.
    pub async fn shutdown(&self) -> ShutdownReport {
        if let Err(e) = self.root.tell(super::actor::Shutdown).await {
            tracing::debug!("the system has ended before this shutdown: {e}");
        }
        self.end().await
    }

    /// Waits for the end of the system.
    pub async fn wait(&self) -> ExitReason {
        self.end().await.reason
    }

    async fn end(&self) -> ShutdownReport {
        let mut ended = self.ended.clone();
        let report = ended.wait_for(Option::is_some).await.ok().and_then(|report| report.clone());
        report.unwrap_or_else(|| ShutdownReport {
            reason: ExitReason::Escalated {
                component: SYSTEM.into(),
                reason: "the supervisor's thread has ended".into(),
            },
            components: Vec::new(),
        })
    }

    /// Calls a handler that another crate has given to [`SystemActor`]. See [`Handle::call`].
    ///
    /// # Errors
    /// [`CallError::NotRunning`] or [`CallError::OutcomeUnknown`].
    pub async fn call<M>(&self, message: M) -> Result<M::Result, CallError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        SystemActor: Handler<M>,
    {
        self.root.call(message).await
    }

    /// As [`call`](Self::call), with a time limit. See [`Handle::call_timeout`].
    ///
    /// # Errors
    /// Any [`CallError`].
    pub async fn call_timeout<M>(&self, message: M, limit: Duration) -> Result<M::Result, CallError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        SystemActor: Handler<M>,
    {
        self.root.call_timeout(message, limit).await
    }

    /// See [`Handle::try_tell`].
    ///
    /// # Errors
    /// The message, in a [`TellError`].
    pub fn try_tell<M>(&self, message: M) -> Result<(), TellError<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        SystemActor: Handler<M>,
    {
        self.root.try_tell(message)
    }

    /// The root's own address.
    pub fn root(&self) -> &Handle<SystemActor> {
        &self.root
    }
}
