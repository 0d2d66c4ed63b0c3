#![doc = include_str!("../README.md")]

mod answer;
mod calls;
mod error;
mod fault;
mod history;
mod plan;
mod proxy;
mod serve;
mod stats;
mod target;

pub use error::ChaosError;
pub use fault::{Fault, FaultKind, Length, LogFault, WrongType};
pub use plan::{Decision, FaultPlan, Pattern, Planner};
pub use proxy::{ChaosProxy, ChaosProxyHandle};
pub use stats::{MethodStats, Stats};
