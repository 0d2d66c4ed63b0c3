//! `ensemble` as a process of its own.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{ATTESTER, COINBASE, COMMITTER, LIMIT, VERIFIER, World, free_port, until};

/// The process, killed on drop.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `ensemble` with these arguments and nothing but environment variables.
fn command(world: &World, arguments: &[&str]) -> Command {
    let config = &world.config;
    let mut command = Command::new(env!("CARGO_BIN_EXE_ensemble"));
    command
        .args(arguments)
        .current_dir(world.folder.path())
        .env("ETH_RPC_URL", world.l1_url())
        .env("ETH_CONFIRMATIONS", "1")
        .env("ETH_RESUBMIT_AFTER_MS", "2000")
        .env("ENGINE_API_AUTH_URL", config.engine.auth_url.expose())
        .env("ENGINE_API_PUBLIC_URL", world.l2_url())
        .env("ENGINE_API_JWT_PATH", &config.engine.jwt_path)
        .env("L2_GENESIS_PATH", config.l2.genesis_path.as_ref().unwrap())
        .env("STORE_URL", world.folder.path().join("ensemble.db"))
        .env("PROPOSER_COINBASE_ADDRESS", COINBASE.address.to_string())
        .env("PROPOSER_INTERVAL_MS", "1000")
        .env("L1_WATCHER_CHECK_INTERVAL_MS", "100")
        .env("L1_WATCHER_CONFIRMATIONS", "0")
        .env("COMMITTER_COMMIT_TIME_MS", "1000")
        .env("COMMITTER_ARBITRARY_BASE_BLOB_GAS_PRICE", "1")
        .env("COMMITTER_L1_PRIVATE_KEY", COMMITTER.private_key)
        .env("PROVER_SERVER_L1_PRIVATE_KEY", VERIFIER.private_key)
        .env("PROVER_SERVER_LISTEN_PORT", config.prover_server.listen_port.to_string())
        .env("PROVER_SERVER_LEASE_MS", "3000")
        .env("DEPLOYER_EXEC_ATTESTATION_ADDRESSES", ATTESTER.address.to_string())
        .env("ADMIN_LISTEN_PORT", free_port().to_string())
        .env_remove("DEPLOYER_L1_PRIVATE_KEY")
        .stdin(Stdio::null());
    if let Some(deployment) = &world.deployment {
        command
            .env("L1_WATCHER_BRIDGE_ADDRESS", deployment.bridge.to_string())
            .env("COMMITTER_ON_CHAIN_PROPOSER_ADDRESS", deployment.proposer.to_string())
            .env("DEPLOYER_EXEC_CONTRACT_VERIFIER", deployment.exec_verifier.unwrap().to_string());
    }
    command
}

/// What a command said, when it has ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command of `ensemble` to its end, with some more environment variables.
pub(crate) async fn said(world: &World, arguments: &[&str], more: &[(&str, &str)]) -> Said {
    let mut command = command(world, arguments);
    command.envs(more.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Killed, and not waited for, when the test ends before it.
    let mut process = tokio::process::Command::from(command);
    let output = tokio::time::timeout(LIMIT, process.kill_on_drop(true).output());
    let output = output.await.unwrap_or_else(|_| panic!("{arguments:?} does not end")).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Process {
    /// `ensemble run`. What it says is added to `log`.
    pub(crate) fn start(world: &World, log: &Path) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = command(world, &["run", "--log-format", "json"]);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self(command.spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGINT, and the exit code.
    pub(crate) async fn interrupt(mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success(), "the process still runs");
        until("the end of the process", async || self.0.try_wait().unwrap().map(|status| status.code())).await
    }
}
