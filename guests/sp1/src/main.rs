//! Reads a packed batch, runs the program, commits the 64 bytes of public values.
#![no_main]

mod precompiles;

use std::sync::Arc;

use ensemble_batch::ProgramKey;
use ensemble_program::{Crypto, GuestInput, Portable};
use sp1_zkvm::io;

sp1_zkvm::entrypoint!(main);

/// The chain that this guest is for: a mark, and behind it the chain's program key, which is written into the built file.
/// So the verifying key names program and chain.
#[used]
static CHAIN: [[u8; 32]; 2] = [ProgramKey::GUEST_MARK, [0; 32]];

fn main() {
    // SAFETY: a reference to a static is valid. Volatile, because the value is not the one that the compiler knows.
    let [_, chain] = unsafe { std::ptr::read_volatile(&CHAIN) };
    let crypto: Arc<dyn Crypto> = Arc::new(Portable(precompiles::Precompiles));
    let bytes = io::read_vec();
    match GuestInput::from_bytes(&bytes).and_then(|input| input.run(ProgramKey(chain.into()), &crypto)) {
        Ok(values) => io::commit_slice(&[values.from.0, values.to.0].concat()),
        Err(why) => panic!("refused: {why}"),
    }
}
