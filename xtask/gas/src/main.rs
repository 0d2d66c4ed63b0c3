//! `cargo xtask gas` starts this.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "printing is what this program is for")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ensemble_gas::{Anvil, GasError, GasReport, measure, snapshot_path};

/// Gas of every L1 operation, measured by real transactions with real blobs on anvil
#[derive(Debug, Parser)]
struct Options {
    /// One JSON object on stdout and nothing else
    #[arg(long)]
    json: bool,
    /// Fail when an operation costs more than benches/gas.json says
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Write benches/gas.json
    #[arg(long)]
    write: bool,
    /// The anvil binary itself, not the wrapper of npm
    #[arg(long, env = "ENSEMBLE_ANVIL", value_name = "PATH")]
    anvil: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    // Dropping the measurement kills its anvil.
    let done = tokio::select! {
        done = run(&options) => done,
        () = interrupted() => {
            eprintln!("gas: interrupted");
            return ExitCode::from(130);
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("gas: {error}");
        ExitCode::FAILURE
    })
}

async fn run(options: &Options) -> Result<ExitCode, GasError> {
    let path = options.anvil.clone();
    // Blocks until anvil listens. When it is interrupted, the runtime waits for it and drops what it returns.
    let started = tokio::task::spawn_blocking(move || Anvil::start(&path)).await;
    let anvil = started.map_err(|_| GasError::AnvilSilent)??;
    let report = measure(&anvil).await?;
    drop(anvil);
    let path = snapshot_path();
    let snapshot = GasReport::read(&path);
    if options.json {
        let value = serde_json::json!(report);
        println!("{value}");
    } else {
        for (name, gas) in report.rows() {
            let before = snapshot.as_ref().ok().and_then(|s| s.rows().into_iter().find(|row| row.0 == name));
            let change = before.map_or(String::new(), |(_, old)| format!("  (snapshot {old})"));
            println!("{name:<18}{gas:>10}{change}");
        }
    }
    if options.write {
        report.write(&path)?;
        eprintln!("gas: wrote {}", path.display());
    }
    if options.check {
        let dearer = report.dearer_than(&snapshot?);
        for operation in &dearer {
            eprintln!("gas: {operation}");
        }
        if !dearer.is_empty() {
            eprintln!("gas: when that is intended, run `cargo xtask gas --write` and say why in the commit");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends with SIGINT, and where there is one with SIGTERM.
async fn interrupted() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
