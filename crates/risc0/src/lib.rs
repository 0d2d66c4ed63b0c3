//! The program as a guest of RISC Zero's zkVM.
//!
//! The guest (`guests/risc0`) is built apart from this workspace, by `cargo xtask guest`, and committed. What is here needs
//! neither its toolchain nor RISC Zero's prover:
//!
//! - [`Guest`]: the guest of one chain and its image id, which is the program key on L1;
//! - [`Guest::execute`]: runs it and counts cycles (feature `execute`);
//! - [`Receipt`]: what a prover hands in, and what of it goes to L1.

mod error;
#[cfg(feature = "execute")]
mod execute;
mod guest;
mod receipt;

pub use error::Risc0Error;
#[cfg(feature = "execute")]
pub use execute::{Execution, Limits};
pub use guest::{GUEST_SHA256, Guest};
pub use receipt::{DEVELOPMENT_SELECTOR, Receipt, ReceiptError, Seals};
