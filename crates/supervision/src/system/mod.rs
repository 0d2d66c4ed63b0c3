//! The root of the supervision: starts, watches, replaces, escalates, stops.

mod actor;
mod builder;
mod exit;
mod handle;
mod table;

pub use actor::SystemActor;
pub use builder::{StartError, Supervisor, SupervisorBuilder};
pub use exit::{ComponentStop, ExitReason, ShutdownReport, StopOutcome};
pub use handle::{ControlError, SystemHandle};
