//! The committed zkVM guests as files. They are run in `crates/risc0` and, outside this workspace, in `provers/sp1`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Read;
use std::path::Path;

use alloy_primitives::hex;
use ensemble_batch::ProgramKey;
use ruzstd::decoding::StreamingDecoder;
use sha2::{Digest, Sha256};

/// `EM_RISCV` of the ELF header.
const RISCV: u16 = 243;
/// `ET_EXEC` of the ELF header.
const EXECUTABLE: u16 = 2;

/// The file behind `guests/<name>.elf.zst`, which has to have the sha256 beside it.
fn committed(name: &str) -> Vec<u8> {
    let path = |ending: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests").join(format!("{name}.elf.{ending}"))
    };
    let compressed = std::fs::read(path("zst")).unwrap();
    let mut elf = Vec::new();
    StreamingDecoder::new(compressed.as_slice()).unwrap().read_to_end(&mut elf).unwrap();
    let sum = std::fs::read_to_string(path("sha256")).unwrap();
    assert_eq!(hex::encode(Sha256::digest(&elf)), sum.trim(), "{name}");
    elf
}

/// Class (1: 32 bits, 2: 64 bits), type and machine of an ELF file with little-endian numbers.
fn header(elf: &[u8]) -> (u8, u16, u16) {
    assert_eq!((&elf[..4], elf[5]), (b"\x7fELF".as_slice(), 1));
    let half = |at: usize| u16::from_le_bytes(elf[at..at + 2].try_into().unwrap());
    (elf[4], half(16), half(18))
}

/// SEQ-INV-7: each guest is the built one, for its zkVM, and has one place for the chain, which is empty.
#[test]
fn the_committed_guests_are_programs_of_no_chain() {
    for (name, class) in [("risc0/guest", 1), ("sp1/guest", 2)] {
        let elf = committed(name);
        assert_eq!(header(&elf), (class, EXECUTABLE, RISCV), "{name}");
        let mark = ProgramKey::GUEST_MARK;
        let places: Vec<usize> = elf
            .windows(mark.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == mark)
            .map(|(at, _)| at)
            .collect();
        let [place] = places[..] else { panic!("{name}: {places:?}") };
        assert_eq!(elf[place + mark.len()..][..32], [0; 32], "{name}");
    }
    assert_eq!(header(&committed("sp1/cases")), (2, EXECUTABLE, RISCV));
}
