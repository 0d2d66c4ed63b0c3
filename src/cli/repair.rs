//! `ensemble repair`.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use super::{CliError, args::RepairArgs, interrupted, say};
use crate::{
    Sequencer, SequencerBuilder,
    config::{Config, LoadOptions},
    startup::Verdict,
};

/// Looks, says what it will do, asks, and does it.
pub(super) async fn repair(args: &RepairArgs, options: &LoadOptions) -> Result<ExitCode, CliError> {
    let (config, _) = Config::load_for_run(options)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let (state, verdict) = until_interrupted(builder(&config).inspect()).await??;
    if args.dry_run {
        say(format!("{:#}", serde_json::json!({ "verdict": verdict, "state": state })))?;
    }
    say(&verdict)?;
    match &verdict {
        Verdict::Consistent | Verdict::Recoverable(_) if args.dry_run => return Ok(ExitCode::SUCCESS),
        Verdict::Refused(_) => return Ok(ExitCode::FAILURE),
        Verdict::Repairable(_) if args.dry_run => return Ok(ExitCode::FAILURE),
        // Nothing to ask about: what may be missing are witnesses.
        Verdict::Consistent | Verdict::Recoverable(_) => {}
        Verdict::Repairable(_) => {
            let from = state.store.last_batch.as_ref().map_or(0, |b| b.number) + 1;
            say(format!(
                "\nBatches {from} to {} will be made again, with the bytes that L1 has, and their blocks and witnesses \
                 taken from the execution client. Nothing that is in the store is changed.",
                state.l1.last_committed
            ))?;
            if !args.yes && !confirmed()? {
                say("Nothing was done.")?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    let report = until_interrupted(builder(&config).repair(|step| tracing::info!("{step}"))).await??;
    say(format!("{} batch(es) made again, {} block(s) taken over.", report.batches.len(), report.blocks))?;
    if !report.without_bytes.is_empty() {
        say(format!(
            "Kept without bytes, as another version has encoded them; they are verified and need none: {:?}",
            report.without_bytes
        ))?;
    }
    for (number, reason) in &report.unprovable {
        say(format!("Batch {number} cannot be proven yet, run the repair again: {reason}"))?;
    }
    let (_, verdict) = builder(&config).inspect().await?;
    say(&verdict)?;
    Ok(if verdict.may_start() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn builder(config: &Config) -> SequencerBuilder {
    Sequencer::builder().config(config.clone())
}

async fn until_interrupted<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    tokio::select! {
        done = work => Ok(done),
        () = interrupted() => {
            Err(CliError::Usage("interrupted; run it again, it goes on where it stopped".to_owned()))
        }
    }
}

/// Asks on the terminal.
fn confirmed() -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "there is nobody to ask: give --yes, or --dry-run to only look".to_owned(),
        ));
    }
    let mut out = std::io::stdout();
    write!(out, "Go on? [y/N] ").and_then(|()| out.flush()).map_err(CliError::Output)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(CliError::Output)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
