//! `ensemble repair`.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use super::{CliError, args::RepairArgs, interrupted, say};
use crate::{
    Sequencer, SequencerBuilder,
    config::{Config, LoadOptions},
    repair::RepairReport,
    startup::Verdict,
};

/// Looks, says what it will do, asks, and does it.
pub(super) async fn repair(args: &RepairArgs, options: &LoadOptions) -> Result<ExitCode, CliError> {
    let (config, _) = Config::load_for_run(options)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let (state, verdict) = until_interrupted(builder(&config).inspect()).await??;
    if args.json {
        say(format!("{:#}", serde_json::json!({ "verdict": verdict, "state": state })))?;
    } else {
        say(&verdict)?;
    }
    if args.dry_run {
        return Ok(code(&verdict));
    }
    match &verdict {
        Verdict::Refused(_) => return Ok(code(&verdict)),
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
    say(format!("\n{}", summary(&report)))?;
    let (_, after) = until_interrupted(builder(&config).inspect()).await??;
    if after != verdict {
        say(format!("\n{after}"))?;
    }
    if after.may_start() {
        say("Next: ensemble run")?;
    }
    Ok(code(&after))
}

/// 0 when the sequencer can start, else 1.
fn code(verdict: &Verdict) -> ExitCode {
    if verdict.may_start() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a repair did, in sentences.
fn summary(report: &RepairReport) -> String {
    if *report == RepairReport::default() {
        return "Nothing was missing, nothing was done.".to_owned();
    }
    let RepairReport { batches, blocks, without_bytes, provable, unprovable } = report;
    let mut lines = vec![format!(
        "{} batch(es) made again, {blocks} block(s) taken over, witnesses of {} batch(es) made.",
        batches.len(),
        provable.len()
    )];
    if !without_bytes.is_empty() {
        lines.push(format!(
            "Kept without bytes, as another version has encoded them; they are verified and need none: {without_bytes:?}"
        ));
    }
    for (number, reason) in unprovable {
        lines.push(format!("Batch {number} cannot be proven yet, run the repair again: {reason}"));
    }
    lines.join("\n")
}

fn builder(config: &Config) -> SequencerBuilder {
    Sequencer::builder().config(config.clone())
}

async fn until_interrupted<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    tokio::select! {
        done = work => Ok(done),
        () = interrupted() => Err(CliError::Interrupted),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_is_left_to_do() {
        assert_eq!(summary(&RepairReport::default()), "Nothing was missing, nothing was done.");
        let report = RepairReport {
            batches: vec![1, 2, 3],
            blocks: 9,
            without_bytes: vec![1],
            provable: vec![3],
            unprovable: vec![(2, "no witness".to_owned())],
        };
        let text = summary(&report);
        for part in
            ["3 batch(es) made again, 9 block(s)", "witnesses of 1 batch", "need none: [1]", "Batch 2"]
        {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
        assert!(text.ends_with("run the repair again: no witness"), "{text}");
    }
}
