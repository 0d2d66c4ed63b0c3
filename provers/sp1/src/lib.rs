//! The program as a guest of SP1's zkVM, run in SP1's executor and, with the feature `prove`, proven by SP1's prover.
//!
//! The guest (`guests/sp1`) is built by `cargo xtask guest` and committed. The executor is of the version that the guest is
//! written for and runs it in this process, translated to this machine's code.

mod error;
mod execute;
mod guest;
#[cfg(feature = "prove")]
mod prove;

pub use error::Sp1Error;
pub use execute::{Execution, run};
pub use guest::{GUEST_SHA256, Guest, unpack};
#[cfg(feature = "prove")]
pub use prove::{Mode, Proof};
