//! What the supervisor tells about its components.

use std::time::{Duration, SystemTime};

use actix::Message;
use serde::{Deserialize, Serialize};

/// Where a component is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "detail", rename_all = "snake_case")]
pub enum ComponentState {
    /// Not started yet, or its `started` has not returned.
    Starting,
    /// At work.
    Running,
    /// At work, but it cannot reach something it needs: the reason.
    Degraded(String),
    /// Failed; starts again after the delay.
    BackingOff {
        /// Length of the whole delay, in milliseconds when serialised.
        #[serde(with = "millis")]
        delay: Duration,
    },
    /// Handles messages, but does nothing of its own accord.
    Paused,
    /// Ended as intended.
    Stopped,
    /// Ended for good: the reason.
    Failed(String),
}

impl ComponentState {
    /// Whether the component does its work without any reserve.
    pub fn is_healthy(&self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Stopped => true,
            Self::Starting | Self::Degraded(_) | Self::BackingOff { .. } | Self::Failed(_) => false,
        }
    }
}

/// Why a component failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The panic message, the error with its sources, or what the supervisor saw.
    pub reason: String,
    /// Source position of a panic, `file:line:column`.
    pub location: Option<String>,
    /// The message it was handling, as told by [`Seat::enter`](crate::Seat::enter). It may be the last one
    /// that was handled, when the failure came from a timer or a future.
    pub message: Option<String>,
    /// How long the instance had been up; zero when it had not done its start. In milliseconds when serialised.
    #[serde(with = "millis", rename = "uptime_ms", default)]
    pub uptime: Duration,
    /// Wall-clock time, in Unix milliseconds when serialised.
    #[serde(with = "unix_millis")]
    pub at: SystemTime,
}

/// One line of [`SystemHandle::status`](crate::SystemHandle::status).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// Its state.
    #[serde(flatten)]
    pub state: ComponentState,
    /// Whether the operator paused it, whatever the state.
    pub paused: bool,
    /// Time since the present state was entered, in milliseconds when serialised.
    #[serde(with = "millis", rename = "in_state_ms")]
    pub in_state: Duration,
    /// Time since the last (re)start; zero while it does not run. In milliseconds when serialised.
    #[serde(with = "millis", rename = "uptime_ms")]
    pub uptime: Duration,
    /// Incarnations so far, 1 for the first. The fencing token of the present one.
    pub epoch: u64,
    /// Restarts since the system started, whatever the cause.
    pub restarts: u64,
    /// Failures since the system started.
    pub failures: u64,
    /// Messages handled over all incarnations, as told by [`Seat::enter`](crate::Seat::enter).
    pub messages: u64,
    /// The last failure.
    pub last_failure: Option<Failure>,
}

/// Something that happened to a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct LifecycleEvent {
    /// Its name.
    pub component: String,
    /// Wall-clock time, in Unix milliseconds when serialised.
    #[serde(with = "unix_millis")]
    pub at: SystemTime,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of [`LifecycleEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// Started for the first time.
    Started,
    /// Ended in a way that was not intended.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Will be started again after the delay.
    BackingOff {
        /// The delay, in milliseconds when serialised.
        #[serde(with = "millis")]
        delay: Duration,
    },
    /// At work again.
    Restarted {
        /// Time since the failure or the command, in milliseconds when serialised.
        #[serde(with = "millis")]
        downtime: Duration,
    },
    /// Cannot reach something it needs.
    Degraded {
        /// What.
        reason: String,
    },
    /// No longer degraded.
    Recovered,
    /// Paused by the operator.
    Paused,
    /// Resumed by the operator.
    Resumed,
    /// Ended as intended.
    Stopped,
    /// Its end is the end of the system.
    Escalated {
        /// Why.
        reason: String,
    },
    /// Is restarted because a component it depends on was.
    Follows {
        /// The component.
        dependency: String,
    },
    /// Its thread was gone or hung; it starts on a new one, with an empty mailbox.
    ArbiterReplaced,
}

/// The wall-clock time of an event.
#[expect(clippy::disallowed_methods, reason = "told to operators only, never decided upon")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

mod unix_millis {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde::{Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        super::millis::serialize(&value.duration_since(UNIX_EPOCH).unwrap_or_default(), to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let since: Duration = super::millis::deserialize(from)?;
        UNIX_EPOCH.checked_add(since).ok_or_else(|| D::Error::custom("time out of range"))
    }
}
