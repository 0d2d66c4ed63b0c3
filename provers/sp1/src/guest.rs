//! The guest's file.

use std::io::Read;
use std::sync::Arc;

use ensemble_batch::ProgramKey;
use ruzstd::decoding::StreamingDecoder;
use sha2::{Digest, Sha256};
use sp1_core_executor::Program;

use crate::error::Sp1Error;

/// The guest of no chain, as `cargo xtask guest` builds it.
const COMPRESSED: &[u8] = include_bytes!("../../../guests/sp1/guest.elf.zst");
/// Sha256 of the guest of no chain, uncompressed.
pub const GUEST_SHA256: &str = include_str!("../../../guests/sp1/guest.elf.sha256");
/// Longest guest.
const MAX_BYTES: u64 = 64 << 20;

/// The guest of one chain.
#[derive(Clone)]
pub struct Guest {
    elf: Vec<u8>,
    program: Arc<Program>,
    chain: ProgramKey,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Guest {
    /// The guest for the chain of this program key ([`ProgramKey::exec`]), which is written into its file behind the mark.
    ///
    /// # Errors
    /// [`Sp1Error::Guest`] when the committed file is damaged.
    pub fn new(chain: ProgramKey) -> Result<Self, Sp1Error> {
        let bad = |e: &dyn std::fmt::Display| Sp1Error::Guest(e.to_string());
        let mut elf = unpack(COMPRESSED, GUEST_SHA256)?;
        chain.write_into(&mut elf).map_err(|e| bad(&e))?;
        let program = Program::from(&elf).map_err(|e| bad(&e))?;
        Ok(Self { elf, program: Arc::new(program), chain })
    }

    /// The file, for SP1's prover.
    #[must_use]
    pub fn elf(&self) -> &[u8] {
        &self.elf
    }

    /// Program and chain, as `exec` attests them.
    #[must_use]
    pub fn chain(&self) -> ProgramKey {
        self.chain
    }

    pub(crate) fn program(&self) -> &Arc<Program> {
        &self.program
    }
}

/// A committed file, decompressed and checked.
///
/// # Errors
/// [`Sp1Error::Guest`] when it is damaged, or not the one of this sha256 (hex).
pub fn unpack(compressed: &[u8], sha256: &str) -> Result<Vec<u8>, Sp1Error> {
    let bad = |e: &dyn std::fmt::Display| Sp1Error::Guest(e.to_string());
    let mut elf = Vec::new();
    StreamingDecoder::new(compressed)
        .map_err(|e| bad(&e))?
        .take(MAX_BYTES)
        .read_to_end(&mut elf)
        .map_err(|e| bad(&e))?;
    let found = alloy_primitives::hex::encode(Sha256::digest(&elf));
    if found == sha256.trim() { Ok(elf) } else { Err(Sp1Error::Guest(format!("its sha256 is {found}"))) }
}
