//! The command line: `ensemble run | repair | rebuild | deploy | prover | config | status | deposit | withdraw | claim`.

pub mod args;
pub mod config_cmd;
mod error;
mod rebuild;
mod repair;
mod run;
mod status;
mod wallet;

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;

use args::{Cli, Command, GlobalArgs, LogFormat};
pub use error::CliError;

/// Exit code of a wrong command line or configuration.
const EXIT_USAGE: u8 = 2;

/// Parses the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let _guard = match log(&cli.global) {
        Ok(guard) => guard,
        Err(error) => return fail(&error),
    };
    let system = actix_rt::System::new();
    match system.block_on(dispatch(cli)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn dispatch(cli: Cli) -> Result<ExitCode, CliError> {
    let global = cli.global;
    match cli.command {
        Command::Run(args) => run::run(&global.load_options(args.overrides())).await,
        Command::Repair(args) => repair::repair(&args, &global.load_options(args.overrides())).await,
        Command::Rebuild(args) => rebuild::rebuild(&args, &global.load_options(args.overrides())).await,
        Command::Deploy(args) => run::deploy(&args, &global.load_options(args.overrides())).await,
        Command::Prover(args) => run::prover(&global.load_options(args.overrides())).await,
        Command::Config(args) => {
            config_cmd::run(&args, &global.load_options(Vec::new()), &mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Status(args) => status::status(&args, &global.load_options(Vec::new())).await,
        Command::Deposit(args) => wallet::deposit(&args, &global.load_options(Vec::new())).await,
        Command::Withdraw(args) => wallet::withdraw(&args, &global.load_options(Vec::new())).await,
        Command::Claim(args) => wallet::claim(&args, &global.load_options(Vec::new())).await,
    }
}

/// Prints one line to standard output.
fn say(text: impl std::fmt::Display) -> Result<(), CliError> {
    writeln!(std::io::stdout(), "{text}").map_err(CliError::Output)
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn fail(error: &CliError) -> ExitCode {
    eprintln!("error: {error}");
    match error {
        CliError::Config(_)
        | CliError::Usage(_)
        | CliError::ConfigCommand(config_cmd::ConfigCommandError::Config(_)) => ExitCode::from(EXIT_USAGE),
        _ => ExitCode::FAILURE,
    }
}

/// Logs go to standard error, so that the output of a command can be piped.
fn log(global: &GlobalArgs) -> Result<tracing_appender::non_blocking::WorkerGuard, CliError> {
    let filter = tracing_subscriber::EnvFilter::try_new(&global.log_level)
        .map_err(|e| CliError::Usage(format!("--log-level `{}`: {e}", global.log_level)))?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let colour = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(writer);
    match global.log_format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(guard)
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
                std::future::pending::<()>().await;
            }
        }
        () = terminated => {}
    }
}
