//! `ensemble status`, and how commands ask the admin server.

use std::process::ExitCode;

use ensemble_supervision::{ComponentState, ComponentStatus};
use serde::de::DeserializeOwned;

use super::{CliError, args::StatusArgs, say};
use crate::{
    admin::Status,
    config::{Config, LoadOptions, RpcUrl},
};

/// Longest answer that is read.
const MAX_ANSWER: u64 = 4 << 20;

/// Where the admin server is: as said, else as configured.
pub(super) fn admin_url(said: Option<&RpcUrl>, options: &LoadOptions) -> Result<String, CliError> {
    if let Some(url) = said {
        return Ok(url.expose().trim_end_matches('/').to_owned());
    }
    let admin = Config::load(options)?.admin;
    Ok(format!("http://{}", std::net::SocketAddr::new(admin.listen_ip, admin.listen_port)))
}

/// Asks the admin server; none when it says 404.
pub(super) async fn ask<T: DeserializeOwned + Send + 'static>(
    base: &str,
    path: &str,
) -> Result<Option<T>, CliError> {
    let url = format!("{base}{path}");
    let shown = base.to_owned();
    let failed = move |reason: String| CliError::Admin { url: shown, reason };
    let asked = tokio::task::spawn_blocking(move || -> Result<Option<String>, String> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(std::time::Duration::from_secs(10)))
            .http_status_as_error(false)
            .build()
            .into();
        let mut response = agent.get(&url).call().map_err(|e| e.to_string())?;
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_string()
            .map_err(|e| e.to_string())?;
        match response.status().as_u16() {
            404 => Ok(None),
            200 | 503 => Ok(Some(text)),
            code => Err(format!("HTTP {code}: {}", text.chars().take(300).collect::<String>())),
        }
    });
    let text = match asked.await {
        Ok(Ok(text)) => text,
        Ok(Err(reason)) => return Err(failed(reason)),
        Err(error) => return Err(failed(error.to_string())),
    };
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|e| failed(format!("unreadable answer: {e}")))
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |n| n.to_string())
}

fn state(state: &ComponentState) -> &'static str {
    match state {
        ComponentState::Starting => "starting",
        ComponentState::Running => "running",
        ComponentState::Degraded(_) => "degraded",
        ComponentState::BackingOff { .. } => "backing off",
        ComponentState::Paused => "paused",
        ComponentState::Stopped => "stopped",
        ComponentState::Failed(_) => "failed",
    }
}

/// What stands between a component and its work now, else its last failure.
fn trouble(component: &ComponentStatus) -> &str {
    match &component.state {
        ComponentState::Degraded(reason) | ComponentState::Failed(reason) => reason,
        _ => component.last_failure.as_ref().map_or("", |f| &f.reason),
    }
}

/// `ensemble status`: exit code 0 when every component is healthy, 1 when not.
pub(super) async fn status(args: &StatusArgs, options: &LoadOptions) -> Result<ExitCode, CliError> {
    let base = admin_url(args.admin_url.as_ref(), options)?;
    let status: Status = ask(&base, "/status")
        .await?
        .ok_or_else(|| CliError::Admin { url: base.clone(), reason: "it knows no /status".to_owned() })?;
    let healthy = status.components.iter().all(|c| c.state.is_healthy());
    let code = if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.json {
        let text = serde_json::to_string_pretty(&status)
            .map_err(|e| CliError::Admin { url: base, reason: e.to_string() })?;
        say(text)?;
        return Ok(code);
    }
    say(format!(
        "L1 chain {}  read to block {}  last deposit {}",
        status.l1_chain_id,
        number(status.l1_block),
        number(status.last_deposit)
    ))?;
    say(format!(
        "L2 chain {}  head {}  last deposit included {}",
        status.l2_chain_id,
        number(status.head),
        number(status.included_deposit)
    ))?;
    say(format!(
        "batches   sealed {}  committed {}  verified {}\n",
        number(status.sealed_batch),
        number(status.committed_batch),
        number(status.verified_batch)
    ))?;
    for endpoint in status.l1_endpoints.iter().filter(|e| !e.standing.is_good()) {
        say(format!("L1 endpoint {}: {}", endpoint.endpoint, endpoint.standing))?;
    }
    say(format!("{:<16} {:<14} {:>8} {:>10}  trouble", "component", "state", "restarts", "messages"))?;
    for component in &status.components {
        say(format!(
            "{:<16} {:<14} {:>8} {:>10}  {}",
            component.name,
            state(&component.state),
            component.restarts,
            component.messages,
            trouble(component)
        ))?;
    }
    Ok(code)
}
