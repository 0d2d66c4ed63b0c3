//! One command runs the whole sequencer: L1, L2, contracts, every actor and provers in one process.

mod args;
mod demo;
mod error;
mod fleet;
mod launch;
mod show;

use std::{process::ExitCode, time::Instant};

use args::Args;
use clap::Parser;
use error::DevnetError;
use launch::Devnet;

fn main() -> ExitCode {
    let args = Args::parse();
    let system = actix_rt::System::new();
    match system.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show::line(format!("\nerror: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), DevnetError> {
    let started = Instant::now();
    let (folder, _temporary) = launch::folder(&args)?;
    let log_file = args.log_file.clone().unwrap_or_else(|| {
        if args.datadir.is_some() {
            folder.join("devnet.log")
        } else {
            std::env::temp_dir().join("ensemble-devnet.log")
        }
    });
    let _guard = log_to(&log_file)?;
    #[cfg(feature = "fault-injection")]
    arm(&args)?;

    show::line("Starting L1, L2 and contracts …");
    let devnet = tokio::select! {
        devnet = Devnet::start(&args, &folder, &log_file) => devnet?,
        () = interrupted() => return Ok(()),
    };
    show::line(format!("  up after {:.1} s\n", started.elapsed().as_secs_f64()));

    let result = tokio::select! {
        result = work(&args, &devnet) => result,
        () = interrupted() => {
            show::line("\nStopping …");
            Ok(())
        }
        reason = devnet.sequencer.wait() => Err(DevnetError::Ended(reason.to_string())),
    };
    let stopping = Instant::now();
    let stopped = devnet.stop().await;
    show::line(format!("Stopped in {:.1} s.", stopping.elapsed().as_secs_f64()));
    result.and(stopped)
}

async fn work(args: &Args, devnet: &Devnet) -> Result<(), DevnetError> {
    if args.demo {
        demo::run(args, devnet).await?;
        #[cfg(feature = "fault-injection")]
        check_faults(args)?;
        Ok(())
    } else {
        std::future::pending().await
    }
}

/// Waits for ctrl-c or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => {
            if interrupted.is_err() {
                std::future::pending().await
            }
        }
        () = terminated => {}
    }
}

fn log_to(file: &std::path::Path) -> Result<tracing_appender::non_blocking::WorkerGuard, DevnetError> {
    let open = std::fs::File::create(file);
    let open =
        open.map_err(|e| DevnetError::Io { what: file.display().to_string(), reason: e.to_string() })?;
    let (writer, guard) = tracing_appender::non_blocking(open);
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,spawned_concurrency=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer).init();
    Ok(guard)
}

#[cfg(feature = "fault-injection")]
fn arm(args: &Args) -> Result<(), DevnetError> {
    for fault in &args.chaos_panic {
        let bad = || DevnetError::ChaosArgument(fault.clone());
        let (actor, n) = fault.split_once('@').ok_or_else(bad)?;
        let n: u64 = n.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?;
        ensemble::supervision::faults::arm(actor, n);
    }
    Ok(())
}

/// A demo that never reached its fault has shown nothing.
#[cfg(feature = "fault-injection")]
fn check_faults(args: &Args) -> Result<(), DevnetError> {
    let fired = ensemble::supervision::faults::fired();
    if fired.len() == args.chaos_panic.len() {
        return Ok(());
    }
    Err(DevnetError::Wrong(format!(
        "only {} of {} injected panics happened; still armed: {:?}",
        fired.len(),
        args.chaos_panic.len(),
        ensemble::supervision::faults::armed()
    )))
}
