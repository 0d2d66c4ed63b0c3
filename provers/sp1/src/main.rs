//! Runs the guest of SP1's zkVM on batches, says what it took and, with the feature `prove`, proves it.
//!
//! A batch is the `input.bin` that a `command` prover is given (docs/proving.md).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy_primitives::hex;
use bincode::Options;
use clap::{Parser, Subcommand};
use ensemble_batch::{BatchInput, ProgramKey};
use ensemble_program::{GuestInput, ProgramError};
#[cfg(feature = "prove")]
use ensemble_prover_sp1::Mode;
use ensemble_prover_sp1::{Guest, Sp1Error};
use serde_json::json;

/// Exit code when the program refuses an input.
const REFUSED: u8 = 65;
/// Longest input.
const MAX_BYTES: u64 = 1 << 30;

/// Runs the guest of SP1's zkVM on batches, and proves it.
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
    /// Print the verifying key's hash for the L2 of a genesis file: it is `deployer.sp1_program_key`.
    #[cfg(feature = "prove")]
    Key {
        /// Genesis file of the L2.
        genesis: PathBuf,
    },
    /// Prove a batch with this machine's processors, as a `command` prover does, and check the proof.
    #[cfg(feature = "prove")]
    Prove {
        /// What to make. L1 takes `groth16`; of the others, SP1's own file is written.
        #[arg(long, value_enum, default_value = "groth16")]
        mode: Mode,
        /// File with the input of a batch, as a `command` prover is given it.
        input: PathBuf,
        /// Where the result goes.
        output: PathBuf,
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
    #[cfg(feature = "prove")]
    #[error("{0}: {1}")]
    Genesis(PathBuf, String),
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
            #[cfg(feature = "prove")]
            Self::Genesis(..) => false,
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

#[cfg(feature = "prove")]
fn key(path: &Path) -> Result<(), Failure> {
    let bad = |e: &dyn std::fmt::Display| Failure::Genesis(path.to_owned(), e.to_string());
    let bytes = std::fs::read(path).map_err(|e| bad(&e))?;
    let genesis: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| bad(&e))?;
    let config = genesis.get("config").ok_or_else(|| bad(&"a genesis has `config`"))?;
    let guest = Guest::new(ProgramKey::exec(&ProgramKey::canonical_chain_config(config)))?;
    println!("{}", runtime(path)?.block_on(guest.program_key())?.0);
    Ok(())
}

#[cfg(feature = "prove")]
fn prove(mode: Mode, path: &Path, output: &Path) -> Result<(), Failure> {
    let (input, guest) = read(path)?;
    let proof = runtime(path)?.block_on(guest.prove(&input, mode))?;
    let Some(bytes) = proof.for_l1() else {
        return proof
            .proof
            .save(output)
            .map_err(|e| Failure::File(output.to_owned(), std::io::Error::other(e)));
    };
    let made = json!({
        "programKey": proof.program_key.0,
        "publicValues": hex::encode_prefixed([proof.values.from.0, proof.values.to.0].concat()),
        "proof": hex::encode_prefixed(bytes),
    });
    std::fs::write(output, made.to_string()).map_err(|e| Failure::File(output.to_owned(), e))
}

#[cfg(feature = "prove")]
fn runtime(path: &Path) -> Result<tokio::runtime::Runtime, Failure> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    tokio::runtime::Runtime::new().map_err(|e| Failure::File(path.to_owned(), e))
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Execute { inputs } => inputs.iter().try_for_each(|path| execute(path)),
        Task::Export { input, elf, stdin } => export(&input, &elf, &stdin),
        #[cfg(feature = "prove")]
        Task::Key { genesis } => key(&genesis),
        #[cfg(feature = "prove")]
        Task::Prove { mode, input, output } => prove(mode, &input, &output),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            if failure.is_refusal() { ExitCode::from(REFUSED) } else { ExitCode::FAILURE }
        }
    }
}
