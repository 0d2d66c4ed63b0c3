//! The cryptography that the program runs on: the same results from two sets of libraries.

mod bls;
mod kzg;
#[cfg(feature = "native")]
mod native;
mod portable;

use std::sync::Arc;

use ethrex_crypto::Crypto;

#[cfg(feature = "native")]
pub use native::Native;
pub use portable::{Accelerator, Portable, Software};

/// Loads what [`Native`] needs for KZG proofs.
#[cfg(feature = "native")]
pub(crate) fn warm_up() {
    native::settings();
}

/// What the program runs on when nothing else is asked for: [`Native`] where that is built in.
pub(crate) fn default() -> Arc<dyn Crypto> {
    #[cfg(feature = "native")]
    return Arc::new(Native);
    #[cfg(not(feature = "native"))]
    Arc::new(Portable(Software))
}
