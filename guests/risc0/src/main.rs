//! Reads a packed batch, runs the program, commits the 64 bytes of public values.

mod accelerated;

use std::io::Read;
use std::sync::Arc;

use ensemble_batch::ProgramKey;
use ensemble_program::{Crypto, GuestInput, Portable};
use risc0_zkvm::guest::env;

/// The chain that this guest is for: a mark, and behind it the chain's program key, which is written into the built file
/// (`ensemble_risc0::Guest`). So the image id names program and chain.
#[used]
static CHAIN: [[u8; 32]; 2] = [ProgramKey::GUEST_MARK, [0; 32]];

fn main() {
    // SAFETY: a reference to a static is valid. Volatile, because the value is not the one that the compiler knows.
    let [_, chain] = unsafe { std::ptr::read_volatile(&CHAIN) };
    let crypto: Arc<dyn Crypto> = Arc::new(Portable(accelerated::Circuits));
    let mut bytes = Vec::new();
    let read = env::stdin().read_to_end(&mut bytes);
    read.unwrap_or_else(|e| panic!("no input: {e}"));
    match GuestInput::from_bytes(&bytes).and_then(|input| input.run(ProgramKey(chain.into()), &crypto)) {
        Ok(values) => env::commit_slice(&[values.from.0, values.to.0].concat()),
        Err(why) => panic!("refused: {why}"),
    }
}
