//! `ensemble status`, and how commands ask the admin server.

use std::process::ExitCode;

use ensemble_supervision::{ComponentState, ComponentStatus};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{CliError, args::StatusArgs, say};
use crate::{
    admin::{Status, rpc::ErrorData},
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
pub(super) async fn ask<T: DeserializeOwned>(base: &str, path: &str) -> Result<Option<T>, CliError> {
    let (status, text) = exchange(base, path, None).await?;
    match status {
        404 => Ok(None),
        200 | 503 => read(base, &text).map(Some),
        code => Err(unexpected(base, code, &text)),
    }
}

/// A JSON-RPC error of the admin server.
#[derive(Debug, Deserialize)]
pub(super) struct RpcFailure {
    /// What it says.
    pub(super) message: String,
    /// Why, as far as it tells.
    pub(super) data: Option<ErrorData>,
}

/// Calls a JSON-RPC method of the admin server.
pub(super) async fn call<T: DeserializeOwned>(
    base: &str,
    method: &str,
    params: impl Serialize,
) -> Result<Result<T, RpcFailure>, CliError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Answer<T> {
        Result(T),
        Error(RpcFailure),
    }
    #[derive(Deserialize)]
    struct Response<T> {
        #[serde(flatten)]
        answer: Answer<T>,
    }
    let request = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let (status, text) = exchange(base, "/rpc", Some(request.to_string())).await?;
    if status != 200 {
        return Err(unexpected(base, status, &text));
    }
    let response: Response<T> = read(base, &text)?;
    Ok(match response.answer {
        Answer::Result(result) => Ok(result),
        Answer::Error(failure) => Err(failure),
    })
}

fn failed(base: &str, reason: String) -> CliError {
    CliError::Admin { url: base.to_owned(), reason }
}

fn unexpected(base: &str, status: u16, text: &str) -> CliError {
    failed(base, format!("HTTP {status}: {}", text.chars().take(300).collect::<String>()))
}

fn read<T: DeserializeOwned>(base: &str, text: &str) -> Result<T, CliError> {
    serde_json::from_str(text).map_err(|e| failed(base, format!("unreadable answer: {e}")))
}

/// Status and body of the answer to a `GET`, or to a `POST` of JSON.
async fn exchange(base: &str, path: &str, json: Option<String>) -> Result<(u16, String), CliError> {
    let url = format!("{base}{path}");
    let asked = tokio::task::spawn_blocking(move || -> Result<(u16, String), ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(std::time::Duration::from_secs(10)))
            .http_status_as_error(false)
            .build()
            .into();
        let mut response = match json {
            None => agent.get(&url).call()?,
            Some(json) => agent.post(&url).content_type("application/json").send(json)?,
        };
        let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string()?;
        Ok((response.status().as_u16(), text))
    });
    match asked.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(base, error.to_string())),
        Err(error) => Err(failed(base, error.to_string())),
    }
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
