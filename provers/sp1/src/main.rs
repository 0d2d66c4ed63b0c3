//! Runs the guest of SP1's zkVM on batches and says what it took. Makes no proofs.
//!
//! A batch is the `input.bin` that a `command` prover is given (docs/proving.md).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy_primitives::hex;
use bincode::Options;
use clap::{Parser, Subcommand};
use ensemble_batch::{BatchInput, ProgramKey};
use ensemble_program::{GuestInput, ProgramError};
use ensemble_prover_sp1::{Guest, Sp1Error};
use serde_json::json;

/// Exit code when the program refuses an input.
const REFUSED: u8 = 65;
/// Longest input.
const MAX_BYTES: u64 = 1 << 30;

/// Runs the guest of SP1's zkVM on batches. Makes no proofs.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run the guest and print public values and cycles, a line of JSON for each batch.
    Execute {
        /// Files with the input of a batch, as a `command` prover is given them.
        #[arg(required = true)]
        inputs: Vec<PathBuf>,
    },
    /// Write what SP1's own prover takes for a batch.
    Export {
        /// File with the input of a batch, as a `command` prover is given it.
        input: PathBuf,
        /// Where the guest of the batch's chain goes: the ELF file to prove.
        #[arg(long)]
        elf: PathBuf,
        /// Where the guest's input goes: the one slice of its standard input.
        #[arg(long)]
        stdin: PathBuf,
    },
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("{0}: longer than {MAX_BYTES} bytes")]
    Length(PathBuf),
    #[error("no input of a batch: {0}")]
    Decode(#[from] bincode::Error),
    #[error("the chain configuration is not UTF-8")]
    ChainConfig,
    #[error("{0}")]
    Program(#[from] ProgramError),
    #[error("{0}")]
    Guest(#[from] Sp1Error),
}

impl Failure {
    fn is_refusal(&self) -> bool {
        match self {
            Self::Decode(_) | Self::ChainConfig | Self::Program(_) | Self::Guest(Sp1Error::Refused(_)) => {
                true
            }
            Self::File(..) | Self::Length(_) | Self::Guest(_) => false,
        }
    }
}

/// A batch and the guest of its chain.
fn read(path: &Path) -> Result<(BatchInput, Guest), Failure> {
    let failed = |e| Failure::File(path.to_owned(), e);
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(Failure::Length(path.to_owned()));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let input: BatchInput =
        bincode::DefaultOptions::new().with_fixint_encoding().with_limit(MAX_BYTES).deserialize(&bytes)?;
    let config = std::str::from_utf8(&input.chain_config).map_err(|_| Failure::ChainConfig)?;
    let guest = Guest::new(ProgramKey::exec(config))?;
    Ok((input, guest))
}

fn execute(path: &Path) -> Result<(), Failure> {
    let (input, guest) = read(path)?;
    let run = guest.execute(&input)?;
    let line = json!({
        "batch": input.parent.number.saturating_add(1),
        "chain": guest.chain().0,
        "publicValues": hex::encode_prefixed([run.values.from.0, run.values.to.0].concat()),
        "cycles": run.cycles,
    });
    println!("{line}");
    Ok(())
}

fn export(path: &Path, elf: &Path, stdin: &Path) -> Result<(), Failure> {
    let (input, guest) = read(path)?;
    let write =
        |to: &Path, bytes: &[u8]| std::fs::write(to, bytes).map_err(|e| Failure::File(to.to_owned(), e));
    write(elf, guest.elf())?;
    write(stdin, &GuestInput::new(&input)?.to_bytes()?)
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Execute { inputs } => inputs.iter().try_for_each(|path| execute(path)),
        Task::Export { input, elf, stdin } => export(&input, &elf, &stdin),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            if failure.is_refusal() { ExitCode::from(REFUSED) } else { ExitCode::FAILURE }
        }
    }
}
