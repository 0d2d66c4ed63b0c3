#![doc = include_str!("../README.md")]

mod component;
mod events;
#[cfg(feature = "fault-injection")]
pub mod faults;
mod guarded;
mod handle;
mod outlet;
mod panics;
mod policy;
mod seat;
mod shared;
mod spec;
mod system;

pub use component::Component;
pub use events::{ComponentState, ComponentStatus, EventKind, Failure, LifecycleEvent};
pub use handle::{CallError, Handle, Lost, TellError};
pub use outlet::Outlet;
pub use panics::{PanicReport, call_previous_hook, install_panic_hook};
pub use policy::{Backoff, Decision, Ending, Intensity, RestartPolicy, RestartTracker};
pub use seat::Seat;
pub use spec::{ChildSpec, Dependency};
pub use system::{
    ComponentStop, ControlError, ExitReason, ShutdownReport, StartError, StopOutcome, Supervisor,
    SupervisorBuilder, SystemActor, SystemHandle,
};
