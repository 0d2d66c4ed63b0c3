//! The guest's file and image ids.

use std::io::Read;

use alloy_primitives::B256;
use ensemble_batch::ProgramKey;
use risc0_binfmt::{Digestible as _, ProgramBinary, SystemState};
use risc0_zkos_v1compat::V1COMPAT_ELF;
use risc0_zkvm::sha::Impl;
use ruzstd::decoding::StreamingDecoder;
use sha2::{Digest, Sha256};

use crate::error::Risc0Error;

/// The guest of no chain, as `cargo xtask guest` builds it.
const COMPRESSED: &[u8] = include_bytes!("../../../guests/risc0/guest.elf.zst");
/// Sha256 of the guest of no chain, uncompressed.
pub const GUEST_SHA256: &str = include_str!("../../../guests/risc0/guest.elf.sha256");
/// Longest guest.
const MAX_BYTES: u64 = 64 << 20;

/// The guest of one chain.
#[derive(Clone)]
pub struct Guest {
    elf: Vec<u8>,
    #[cfg(feature = "execute")]
    image: risc0_binfmt::MemoryImage,
    image_id: B256,
    program: ProgramKey,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").field("image_id", &self.image_id).field("program", &self.program).finish()
    }
}

impl Guest {
    /// The guest for the chain of this program key ([`ProgramKey::exec`]), which is written into its file behind the mark.
    ///
    /// # Errors
    /// [`Risc0Error::Guest`] when the committed file is damaged.
    pub fn new(program: ProgramKey) -> Result<Self, Risc0Error> {
        let bad = |e: &dyn std::fmt::Display| Risc0Error::Guest(e.to_string());
        let mut elf = template()?;
        program.write_into(&mut elf).map_err(|e| bad(&e))?;
        let elf = ProgramBinary::new(&elf, V1COMPAT_ELF).encode();
        let binary = ProgramBinary::decode(&elf).map_err(|e| bad(&e))?;
        let mut image = binary.to_image().map_err(|e| bad(&e))?;
        // Not the root of the image: that is only what it has a hash of, beside the program counter.
        let state = SystemState { pc: 0, merkle_root: image.image_id() };
        let image_id = B256::from(<[u8; 32]>::from(state.digest::<Impl>()));
        Ok(Self {
            elf,
            #[cfg(feature = "execute")]
            image,
            image_id,
            program,
        })
    }

    /// The image id: the program key on L1. It is what RISC Zero's `compute_image_id` gives.
    #[must_use]
    pub fn image_id(&self) -> ProgramKey {
        ProgramKey(self.image_id)
    }

    /// Program and chain, as `exec` attests them.
    #[must_use]
    pub fn program(&self) -> ProgramKey {
        self.program
    }

    /// Guest and kernel in RISC Zero's own format ("R0BF"), for its prover.
    #[must_use]
    pub fn binary(&self) -> &[u8] {
        &self.elf
    }

    #[cfg(feature = "execute")]
    pub(crate) fn image(&self) -> &risc0_binfmt::MemoryImage {
        &self.image
    }
}

/// The guest of no chain, checked.
fn template() -> Result<Vec<u8>, Risc0Error> {
    let bad = |e: &dyn std::fmt::Display| Risc0Error::Guest(e.to_string());
    let mut elf = Vec::new();
    StreamingDecoder::new(COMPRESSED)
        .map_err(|e| bad(&e))?
        .take(MAX_BYTES)
        .read_to_end(&mut elf)
        .map_err(|e| bad(&e))?;
    let found = alloy_primitives::hex::encode(Sha256::digest(&elf));
    if found == GUEST_SHA256.trim() {
        Ok(elf)
    } else {
        Err(Risc0Error::Guest(format!("its sha256 is {found}")))
    }
}
