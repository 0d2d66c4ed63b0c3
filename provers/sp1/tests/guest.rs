//! The committed guest in SP1's executor: what it accepts, what it refuses, and what it takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use alloy_primitives::{B256, Bytes, hex};
use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
use ensemble_program::{Crypto, Portable, Software, execute_with};
use ensemble_prover_sp1::{Guest, Sp1Error};
use serde_json::Value;

/// Batches as `cycles_are_the_recorded_ones` of `crates/risc0` makes them.
const BATCHES: [&str; 7] = [
    "empty block",
    "1 deposit",
    "1 withdrawal",
    "1 transfer",
    "10 transfers",
    "100 transfers",
    "empty block and a blob",
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/batches").join(format!("{name}.bin"))
}

fn batch(name: &str) -> BatchInput {
    bincode::deserialize(&std::fs::read(path(name)).unwrap()).unwrap()
}

fn chain(input: &BatchInput) -> ProgramKey {
    ProgramKey::exec(std::str::from_utf8(&input.chain_config).unwrap())
}

/// The program on this machine.
fn native(input: &BatchInput) -> Result<PublicValues, String> {
    let crypto: Arc<dyn Crypto> = Arc::new(Portable(Software));
    execute_with(input, &crypto).map(|output| output.public_values).map_err(|e| e.to_string())
}

fn program(args: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ensemble-prover-sp1")).args(args).output().unwrap()
}

/// SEQ-INV-7: the guest commits to the public values that native execution gives. Cycles are the same on every machine.
#[test]
fn the_guest_and_the_program_agree() {
    let guest = Guest::new(chain(&batch(BATCHES[0]))).unwrap();
    let mut found = BTreeMap::new();
    for name in BATCHES {
        let input = batch(name);
        let run = guest.execute(&input).unwrap();
        assert_eq!(run.values, native(&input).unwrap(), "{name}");
        found.insert(name.to_owned(), run.cycles);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cycles.json");
    if std::env::var_os("ENSEMBLE_WRITE_GENERATED").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    }
    let recorded: BTreeMap<String, u64> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(found, recorded);
}

/// SEQ-INV-7: no public values where the program refuses, and its words.
#[test]
fn the_guest_refuses_what_the_program_refuses() {
    let right = batch("1 transfer");
    let guest = Guest::new(chain(&right)).unwrap();
    type Change = fn(&mut BatchInput);
    let changes: [(&str, Change); 5] = [
        ("deposits", |i| i.parent.deposits_index += 1),
        ("state", |i| i.parent.state_root = B256::repeat_byte(1)),
        ("witness", |i| i.witnesses[0] = batch("empty block").witnesses[0].clone()),
        ("payload", |i| i.da_payload = Bytes::from_static(b"no batch")),
        ("no witness", |i| i.witnesses.clear()),
    ];
    for (name, change) in changes {
        let mut input = right.clone();
        change(&mut input);
        let refused = native(&input).expect_err(name);
        assert_eq!(guest.execute(&input), Err(Sp1Error::Refused(refused)), "{name}");
    }
}

/// SEQ-INV-7: a proof for one chain is none for another.
#[test]
fn a_guest_is_for_one_chain() {
    let input = batch("empty block");
    let guest = |chain| Guest::new(chain).unwrap();
    let other = guest(ProgramKey(B256::repeat_byte(1)));
    assert_eq!(other.chain(), ProgramKey(B256::repeat_byte(1)));
    assert_ne!(other.elf(), guest(chain(&input)).elf());
    match other.execute(&input) {
        Err(Sp1Error::Refused(why)) => assert!(why.contains("the input is for program"), "{why}"),
        refused => panic!("{refused:?}"),
    }
}

/// SEQ-INV-11: bytes that are no input.
#[test]
fn bytes_that_are_no_input_are_refused() {
    let guest = Guest::new(ProgramKey(B256::ZERO)).unwrap();
    for bytes in [&[][..], &[0xff; 400]] {
        match guest.execute_bytes(bytes) {
            Err(Sp1Error::Refused(why)) => assert!(why.starts_with("packed input"), "{why}"),
            refused => panic!("{refused:?}"),
        }
    }
}

/// What is proven is what was built for the target: an executable for 64-bit RISC-V, where SP1 loads it.
#[test]
fn the_guest_is_a_riscv_program() {
    let guest = Guest::new(ProgramKey(B256::ZERO)).unwrap();
    let half = |at: usize| u16::from_le_bytes(guest.elf()[at..at + 2].try_into().unwrap());
    assert_eq!(guest.elf()[..6], *b"\x7fELF\x02\x01", "64 bits, little endian");
    assert_eq!((half(16), half(18)), (2, 243), "an executable, RISC-V");
    let entry = u64::from_le_bytes(guest.elf()[24..32].try_into().unwrap());
    assert!((0x7800_0000..0x8000_0000).contains(&entry), "{entry:#x}");
}

/// The program's exit codes are those of docs/proving.md.
#[test]
fn the_program_prints_what_batches_take() {
    let execute = Path::new("execute");
    let name = "empty block";
    let ran = program(&[execute, &path(name), &path("1 transfer")]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let lines: Vec<Value> =
        String::from_utf8(ran.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let values = native(&batch(name)).unwrap();
    let values = hex::encode_prefixed([values.from.0, values.to.0].concat());
    assert_eq!(lines[0]["publicValues"], values);
    assert_eq!(lines[0]["chain"], chain(&batch(name)).0.to_string());

    let missing = program(&[execute, Path::new("there-is-none.bin")]);
    assert_eq!(missing.status.code(), Some(1));
    let garbage = program(&[execute, &Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")]);
    assert_eq!(garbage.status.code(), Some(65), "{}", String::from_utf8_lossy(&garbage.stderr));
}

/// What SP1's prover is given is what was executed here.
#[test]
fn the_program_writes_what_the_prover_takes() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (elf, stdin) = (directory.join("guest.elf"), directory.join("stdin"));
    let input = batch("1 transfer");
    let args = ["export", "--elf", "--stdin"].map(Path::new);
    let ran = program(&[args[0], &path("1 transfer"), args[1], &elf, args[2], &stdin]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let guest = Guest::new(chain(&input)).unwrap();
    assert_eq!(std::fs::read(elf).unwrap(), guest.elf());
    let run = guest.execute_bytes(&std::fs::read(stdin).unwrap()).unwrap();
    assert_eq!(run.values, native(&input).unwrap());
}
