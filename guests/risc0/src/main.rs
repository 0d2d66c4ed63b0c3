//! Reads a packed batch, runs the program, commits the 64 bytes of public values.

use std::io::Read;
use std::sync::Arc;

use ensemble_batch::ProgramKey;
use ensemble_program::{Crypto, PackedInput, Portable};
use risc0_zkvm::guest::env;

/// The chain that this guest is for: a mark, and behind it the program key of the chain, which is written into the
/// built file. So the image id names program and chain.
#[used]
static CHAIN: [u8; 64] = *b"ensemble: the program's key is in the 32 bytes behind this: \0\0\0\0";

fn main() {
    let mut bytes = Vec::new();
    let values = env::stdin().read_to_end(&mut bytes).map_err(|e| e.to_string());
    let values = values.and_then(|_| {
        let crypto: Arc<dyn Crypto> = Arc::new(Portable);
        let input = PackedInput::from_bytes(&bytes).map_err(|e| e.to_string())?;
        input.run(ProgramKey(Default::default()), &crypto).map_err(|e| e.to_string())
    });
    match values {
        Ok(values) => env::commit_slice(&[values.from.0, values.to.0].concat()),
        Err(why) => panic!("refused: {why}"),
    }
}
