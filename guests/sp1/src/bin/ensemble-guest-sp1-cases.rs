//! Computes by the guest's precompiles what the tests of `provers/sp1` ask for, and commits the results.
//!
//! It reads one answer of the host after the other: the number of cases, u32 little endian; then of each case one byte
//! and its input. 0 is keccak256 and 1 sha256 of what follows; 2 is the recovery of a key from `r`, `s`, the message's
//! hash, 32 bytes each, and one byte that says whether y is odd; 3 is keccak256 of a copy, which is aligned to 8 bytes
//! where what is read is not. Results have 32 bytes, keys 64, and no key is 64 zeros.
#![no_main]

#[path = "../precompiles.rs"]
mod precompiles;

use ensemble_program::Accelerator;
use precompiles::Precompiles;
use sp1_zkvm::io;

sp1_zkvm::entrypoint!(main);

fn recover(input: &[u8]) -> [u8; 64] {
    match input.as_chunks() {
        ([r, s, message], [odd]) => Precompiles.recover(r, s, *odd == 1, message).unwrap_or([0; 64]),
        _ => panic!("no signature"),
    }
}

fn main() {
    let count = <[u8; 4]>::try_from(io::read_vec()).unwrap_or_else(|_| panic!("no number of cases"));
    for _ in 0..u32::from_le_bytes(count) {
        match io::read_vec().split_first() {
            Some((0, input)) => io::commit_slice(&Precompiles.keccak256(input)),
            Some((1, input)) => io::commit_slice(&Precompiles.sha256(input)),
            Some((2, input)) => io::commit_slice(&recover(input)),
            Some((3, input)) => {
                let copy = input.to_vec();
                assert!(copy.is_empty() || copy.as_ptr().cast::<u64>().is_aligned());
                io::commit_slice(&Precompiles.keccak256(&copy));
            }
            _ => panic!("no such case"),
        }
    }
}
