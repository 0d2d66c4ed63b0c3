//! The state-transition program that a prover runs: input to public values.
//!
//! [`execute`] takes a [`BatchInput`](ensemble_batch::BatchInput), of which nothing is trusted, and computes the
//! batch's header and public values from it, or says why there are none:
//!
//! 1. decode the blocks from the batch payload;
//! 2. re-build each block's header; its hash must be the block hash of the payload;
//! 3. re-execute each block statelessly on its witness, chained from the parent header's block hash and state root;
//! 4. fold the blocks' EIP-4895 withdrawals (our deposits) into the deposits rolling hash, in order of their ids;
//! 5. collect the withdrawals to L1 from the logs of the receipts that execution gave;
//! 6. check that the blobs, if any, hold exactly the payload.
//!
//! So two honest provers agree on the public values, and a header with these values describes one chain of
//! valid blocks. Everything is deterministic and reads nothing but its input.

mod blobs;
mod config;
mod convert;
mod crypto;
mod deposits;
mod error;
mod execute;
mod guest_input;
mod stateless;
mod trie_node;
mod verify;
mod withdrawals;

#[cfg(feature = "native")]
pub use blobs::warm_up;
#[cfg(feature = "native")]
pub use crypto::Native;
pub use crypto::{Accelerator, Portable, Software};
pub use error::{InvalidPart, ProgramError};
pub use ethrex_crypto::{Crypto, CryptoError};
pub use execute::{ProgramOutput, execute, execute_in_place, execute_unless, execute_with};
pub use guest_input::{GuestInput, Witness};
pub use verify::{FieldMismatch, VerifyError, verify_batch};
pub use withdrawals::{COMMON_BRIDGE_L2, WITHDRAWAL_INITIATED};
