//! `ensemble rebuild`.

use std::{process::ExitCode, time::Duration};

use ensemble_rebuild::{Rebuild, Report, Step};
use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, args::RebuildArgs, interrupted, say};
use crate::{
    config::{Config, DataAvailability, LoadOptions},
    rebuild::{RebuildStartError, of_config},
};

/// Replays, or follows until ctrl-c.
pub(super) async fn rebuild(args: &RebuildArgs, options: &LoadOptions) -> Result<ExitCode, CliError> {
    let (config, proposer) = Config::load_for_rebuild(options)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let no_source = config.rebuild.beacon_url.is_empty() && config.rebuild.archive_path.is_none();
    if no_source && config.committer.da != DataAvailability::CallData {
        return Err(CliError::Usage(
            "where are the blobs? Give --beacon URL (a Beacon API of L1), or --archive DIR (a directory of blobs)"
                .to_owned(),
        ));
    }
    let opened = tokio::select! {
        opened = of_config(&config, proposer, args.last_batch) => opened,
        () = interrupted() => return Ok(ExitCode::SUCCESS),
    };
    let mut rebuild = opened.map_err(|error| match error {
        RebuildStartError::Start(error) => CliError::from(error),
        RebuildStartError::Rebuild(error) => CliError::from(error),
    })?;
    if args.follow { follow(&mut rebuild).await } else { once(&mut rebuild).await }
}

async fn once(rebuild: &mut Rebuild) -> Result<ExitCode, CliError> {
    let bar = bar();
    let done = tokio::select! {
        done = rebuild.run(|step| show(&bar, &step)) => done,
        () = interrupted() => {
            bar.finish_and_clear();
            return Err(CliError::Usage("interrupted; run it again, it goes on where it stopped".to_owned()));
        }
    };
    bar.finish_and_clear();
    let Report { position, batches, blocks, on_l1: (committed, verified) } = done?;
    say(format!("{batches} batch(es) with {blocks} block(s) replayed."))?;
    say(format!(
        "The execution client has batch {} of {committed} ({verified} verified); head {} {}",
        position.header.number, position.block.number, position.block.hash
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn follow(rebuild: &mut Rebuild) -> Result<ExitCode, CliError> {
    tracing::info!("following L1; ctrl-c stops");
    rebuild
        .follow(
            |step| match step {
                Step::Reads { .. } => tracing::debug!("{step}"),
                Step::Waits { .. } | Step::GoesBack { .. } => tracing::warn!("{step}"),
                Step::Resumes { .. } | Step::Replayed { .. } => tracing::info!("{step}"),
            },
            interrupted(),
        )
        .await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{spinner} {wide_bar} {pos}/{len} batches, {eta} left  {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// On a terminal a bar, else lines.
fn show(bar: &ProgressBar, step: &Step) {
    if bar.is_hidden() {
        tracing::info!("{step}");
    }
    match step {
        Step::Reads { .. } | Step::Waits { .. } | Step::GoesBack { .. } => bar.set_message(step.to_string()),
        Step::Resumes { batch, of, .. } => {
            bar.set_length(*of);
            bar.set_position(*batch);
            bar.reset_eta();
        }
        Step::Replayed { batch, blocks: (_, last), .. } => {
            bar.set_position(*batch);
            bar.set_message(format!("block {last}"));
        }
    }
}
