//! `ensemble run`, `deploy` and `prover`: what runs for long.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use ensemble_supervision::ExitReason;
use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, args::DeployArgs, interrupted, say};
use crate::{
    Sequencer,
    admin::AdminServer,
    config::{Config, LoadOptions},
    deploy,
};

/// `ensemble run`.
pub(super) async fn run(options: &LoadOptions) -> Result<ExitCode, CliError> {
    let (config, _) = Config::load_for_run(options)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting: {}", config.summary());
    let admin_at =
        config.admin.enabled.then(|| SocketAddr::new(config.admin.listen_ip, config.admin.listen_port));
    let started = tokio::select! {
        started = Sequencer::builder().config(config).start() => started?,
        () = interrupted() => return Ok(ExitCode::SUCCESS),
    };
    let admin = match admin_at.map(|address| AdminServer::start(started.clone(), address)).transpose() {
        Ok(admin) => admin,
        Err(error) => {
            started.shutdown().await;
            return Err(error.into());
        }
    };
    if let Some(admin) = &admin {
        tracing::info!(address = %admin.address(), "admin server");
    }
    tracing::info!("running; ctrl-c stops");
    let ended = tokio::select! {
        () = interrupted() => None,
        reason = started.wait() => Some(reason),
    };
    if let Some(admin) = admin {
        admin.stop().await;
    }
    let report = started.shutdown().await;
    let reason = ended.unwrap_or(ExitReason::Shutdown);
    tracing::info!(%reason, clean = report.is_clean(), "stopped");
    Ok(ExitCode::from(reason.exit_code()))
}

/// `ensemble deploy`.
pub(super) async fn deploy(args: &DeployArgs, options: &LoadOptions) -> Result<ExitCode, CliError> {
    let (config, _) = Config::load_for_deploy(options)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message("deploying …");
    let deployment = tokio::select! {
        done = deploy::deploy(&config, |step| {
            if bar.is_hidden() {
                tracing::info!("{step}");
            } else {
                bar.println(step.to_string());
            }
        }) => done,
        () = interrupted() => {
            bar.finish_and_clear();
            return Err(CliError::Interrupted);
        }
    };
    bar.finish_and_clear();
    let deployment = deployment?;
    if let Some(file) = args.env_target() {
        deployment.write_env(file)?;
    }
    if args.json {
        return say(serde_json::json!({
            "l1_chain_id": deployment.l1_chain_id,
            "l2_chain_id": deployment.l2_chain_id,
            "bridge": deployment.bridge,
            "proposer": deployment.proposer,
            "exec_verifier": deployment.exec_verifier,
            "gas_used": deployment.gas_used,
        }))
        .map(|()| ExitCode::SUCCESS);
    }
    say(format!("bridge    {}\nproposer  {}", deployment.bridge, deployment.proposer))?;
    if let Some(verifier) = deployment.exec_verifier {
        say(format!("verifier  {verifier}   (exec)"))?;
    }
    match (deployment.gas_used, args.env_target()) {
        (0, Some(file)) => {
            say(format!("Everything was there already; addresses are in {}.", file.display()))?
        }
        (gas, Some(file)) => {
            say(format!("{gas} gas; addresses are in {}. Next: ensemble run", file.display()))?
        }
        (gas, None) => say(format!("{gas} gas"))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `ensemble prover`.
#[cfg(feature = "prover")]
pub(super) async fn prover(options: &LoadOptions) -> Result<ExitCode, CliError> {
    use ensemble_messages::ProverType;
    use ensemble_prover::{
        attestation::{AttestationDomain, AttestationKey},
        backend::ProverBackend,
        client::{ProverClient, ProverClientConfig},
        command::{CommandBackend, CommandConfig},
        exec::ExecBackend,
    };

    use crate::config::ProverConfig;

    let (config, needed) = ProverConfig::load_for_prover(options)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let client = &config.client;
    let backend: Box<dyn ProverBackend> = match (&client.command, client.backend, needed.attestation) {
        (Some(program), prover_type, _) => {
            tracing::info!(program = %program.display(), %prover_type, "command backend");
            Box::new(CommandBackend::new(CommandConfig {
                program: std::path::absolute(program).unwrap_or_else(|_| program.clone()),
                arguments: client.command_args.clone(),
                prover_type,
                timeout: Duration::from_millis(client.command_timeout_ms),
                directory: None,
            }))
        }
        (None, ProverType::Exec, Some(attestation)) => {
            let key = AttestationKey::from_bytes(attestation.account.private_key.expose_bytes())
                .map_err(|e| CliError::Usage(format!("prover_client.attestation_private_key: {e}")))?;
            let domain = AttestationDomain {
                l1_chain_id: attestation.l1_chain_id,
                verifying_contract: attestation.verifier,
            };
            tracing::info!(attester = %attestation.account.address, "exec backend");
            Box::new(ExecBackend::new(key, domain).with_peers(client.peer_attesters.iter().copied()))
        }
        #[cfg(feature = "risc0")]
        (None, ProverType::Risc0, _) if client.risc0_dev_mode => {
            tracing::warn!("risc0 backend: executes, and hands in receipts that prove nothing");
            Box::new(ensemble_prover::risc0::Risc0Backend::development())
        }
        #[cfg(not(feature = "risc0"))]
        (None, ProverType::Risc0, _) if client.risc0_dev_mode => {
            return Err(CliError::Usage(
                "prover_client.risc0_dev_mode needs a build with the feature `risc0`".to_owned(),
            ));
        }
        (None, ProverType::Risc0, _) => {
            return Err(CliError::Usage(
                "STARKs of RISC Zero are made by a program of its own, provers/risc0: docs/proving.md says how to build \
                 it. For development, prover_client.risc0_dev_mode = true makes receipts that prove nothing; or set \
                 prover_client.command"
                    .to_owned(),
            ));
        }
        (None, other, _) => {
            return Err(CliError::Usage(format!(
                "prover_client.backend = \"{other}\" needs prover_client.command: the executable that makes the proofs"
            )));
        }
    };
    let tls = prover_tls(client)?;
    // The first proof would wait some seconds for the trusted setup.
    let warm = tokio::task::spawn_blocking(ensemble_l1::blobs::warm_up);
    // Quarantine goes by name: provers that were given none must not share it.
    let unnamed = config.client.name == ProverClientConfig::default().name;
    let name =
        if unnamed { format!("prover-{:08x}", rand::random::<u32>()) } else { config.client.name.clone() };
    let client = ProverClient::new(
        ProverClientConfig {
            prover_server_endpoint: needed.endpoint.to_string(),
            proving_time_ms: config.client.proving_time_ms,
            prover_type: config.client.backend,
            name,
            tls,
            token: config.client.token.as_ref().map(|t| t.expose().to_owned()),
            ..ProverClientConfig::default()
        },
        backend,
    )?
    .on_event(|event| tracing::info!(?event, "prover"));
    let report = client.run(interrupted()).await?;
    warm.abort();
    tracing::info!(?report, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// What `[prover_client]` says of TLS.
#[cfg(feature = "prover")]
fn prover_tls(
    client: &crate::config::ProverClientConfig,
) -> Result<Option<ensemble_prover::ClientTls>, CliError> {
    use ensemble_prover::{ClientTls, TlsIdentity};

    let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
    let identity = match (&client.tls_cert_path, &client.tls_key_path) {
        (Some(cert), Some(key)) => Some(TlsIdentity { cert: cert.clone(), key: key.clone() }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return usage("prover_client.tls_cert_path and tls_key_path need each other: set both or none");
        }
    };
    match (&client.tls_ca_path, identity) {
        (Some(ca), identity) => {
            Ok(Some(ClientTls { ca: ca.clone(), identity, server_name: client.tls_server_name.clone() }))
        }
        (None, None) => Ok(None),
        (None, Some(_)) => {
            usage("prover_client.tls_cert_path needs tls_ca_path: the CA of the prover server")
        }
    }
}

/// `ensemble prover`, in a build without it.
#[cfg(not(feature = "prover"))]
pub(super) async fn prover(_: &LoadOptions) -> Result<ExitCode, CliError> {
    Err(CliError::Usage("this binary was built without the feature `prover`".to_owned()))
}
