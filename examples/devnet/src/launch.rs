//! Starts everything, in order: L1, L2, contracts, sequencer, provers.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy_primitives::U256;
use ensemble::{
    Sequencer,
    admin::AdminServer,
    config::{Config, Confirmations, DataAvailability, PrivateKey, RpcUrl, StoreLocation, WitnessSource},
    deploy::{self, Deployment},
    messages::{BatchCommitted, BatchSealed, BatchVerified, BlockSealed, NewDeposit, ProofReady, TxFailed},
    supervision::EventKind,
};
#[cfg(feature = "risc0")]
use ensemble_batch::{BatchInput, ProgramKey};
use ensemble_engine_api::JwtSecret;
use ensemble_node::{
    DEV_ACCOUNTS, DevAccount, DevL1, DevL1Config, DevL1Handle, EmbeddedNode, GenesisBuilder, NodeConfig,
    NodeHandle,
};
#[cfg(feature = "risc0")]
use ensemble_prover::backend::{BackendError, BackendProof, Cancel};
use ensemble_prover::{
    attestation::{AttestationDomain, AttestationKey},
    backend::ProverBackend,
    client::{ClientEvent, ProverClient, ProverClientConfig},
    exec::ExecBackend,
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    args::{Args, Data, Proofs},
    error::DevnetError,
    fleet::{Fleet, Member},
    show,
};

/// Deploys the contracts.
pub(crate) const DEPLOYER: DevAccount = DEV_ACCOUNTS[0];
/// Sends commit transactions.
const COMMITTER: DevAccount = DEV_ACCOUNTS[1];
/// Sends verify transactions.
const VERIFIER: DevAccount = DEV_ACCOUNTS[2];
/// Receives the L2's fees.
const COINBASE: DevAccount = DEV_ACCOUNTS[3];
/// Signs for the `exec` provers.
const ATTESTER: DevAccount = DEV_ACCOUNTS[4];
/// The demo's own account.
pub(crate) const USER: DevAccount = DEV_ACCOUNTS[5];

/// Time before the program that makes STARKs is started again.
const HOST_PAUSE: Duration = Duration::from_secs(5);
/// Longest frame from a prover of STARKs: a receipt has some 280 KB for each segment.
const STARK_FRAME_BYTES: u32 = 64 << 20;

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Devnet {
    pub(crate) l1: DevL1Handle,
    pub(crate) l2: NodeHandle,
    pub(crate) sequencer: Sequencer,
    pub(crate) deployment: Deployment,
    pub(crate) fleet: Arc<Fleet>,
    admin: AdminServer,
    provers: Vec<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
    stop_provers: watch::Sender<bool>,
}

fn io(what: &str, error: impl std::fmt::Display) -> DevnetError {
    DevnetError::Io { what: what.to_owned(), reason: error.to_string() }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The port itself, or a free one for 0.
fn port(wanted: u16) -> Result<u16, DevnetError> {
    if wanted != 0 {
        return Ok(wanted);
    }
    let listener = TcpListener::bind(local(0)).map_err(|e| io("looking for a free port", e))?;
    Ok(listener.local_addr().map_err(|e| io("looking for a free port", e))?.port())
}

fn url(text: &str) -> Result<RpcUrl, DevnetError> {
    text.parse().map_err(|e| io("node URL", e))
}

fn secret(account: &DevAccount) -> Result<PrivateKey, DevnetError> {
    account.private_key.parse().map_err(|e| io("development key", e))
}

/// Runs `work` while the L1 mines as fast as it is asked to, so that deploying does not wait for block times.
async fn mining<T>(l1: &DevL1Handle, work: impl Future<Output = T>) -> T {
    let mine = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Err(error) = l1.mine_pending().await {
                tracing::warn!(%error, "a block was not mined");
            }
        }
    };
    tokio::select! {
        result = work => result,
        () = mine => std::future::pending().await,
    }
}

/// The program that makes STARKs has to be there before anything is started.
fn find_host(args: &Args) -> Result<(), DevnetError> {
    if args.prover != Proofs::Risc0 {
        return Err(DevnetError::Prover("--real-proofs goes with --prover risc0".to_owned()));
    }
    if args.provers == 0 || args.risc0_prover.is_file() {
        return Ok(());
    }
    Err(DevnetError::Prover(format!(
        "--real-proofs: there is no {}; build it as docs/proving.md says, or name it with --risc0-prover",
        args.risc0_prover.display()
    )))
}

/// Contracts for development, that believe receipts of the guest for this L2.
#[cfg(feature = "risc0")]
fn ask_for_risc0(config: &mut Config, chain_config: &serde_json::Value) -> Result<(), DevnetError> {
    let chain = ProgramKey::canonical_chain_config(chain_config);
    let guest = ensemble_risc0::Guest::new(ProgramKey::exec(&chain))
        .map_err(|e| DevnetError::Prover(e.to_string()))?;
    config.deployer.risc0_development_verifier = true;
    config.deployer.risc0_program_key = Some(guest.image_id().0);
    Ok(())
}

#[cfg(not(feature = "risc0"))]
fn ask_for_risc0(_: &mut Config, _: &serde_json::Value) -> Result<(), DevnetError> {
    Err(without_risc0())
}

#[cfg(feature = "risc0")]
fn risc0_backend() -> Result<Box<dyn ProverBackend>, DevnetError> {
    Ok(Box::new(Cycles(ensemble_prover::Risc0Backend::development())))
}

#[cfg(not(feature = "risc0"))]
fn risc0_backend() -> Result<Box<dyn ProverBackend>, DevnetError> {
    Err(without_risc0())
}

#[cfg(not(feature = "risc0"))]
fn without_risc0() -> DevnetError {
    DevnetError::Prover(
        "--prover risc0 needs the feature: cargo run --release -p devnet --features risc0 -- --prover risc0"
            .to_owned(),
    )
}

/// Shows what each batch takes in the zkVM.
#[cfg(feature = "risc0")]
struct Cycles(ensemble_prover::Risc0Backend);

#[cfg(feature = "risc0")]
impl ProverBackend for Cycles {
    fn prover_type(&self) -> ensemble_messages::ProverType {
        self.0.prover_type()
    }

    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        let (proof, run) = self.0.prove_and_count(input, cancel)?;
        show::event(
            "cycles",
            format!(
                "batch {}: {} of the guest, {} to be proven in {} segment(s)",
                input.parent.number + 1,
                run.user_cycles,
                run.total_cycles,
                run.segments
            ),
        );
        Ok(proof)
    }
}

impl Devnet {
    /// Starts everything; `folder` keeps it.
    pub(crate) async fn start(args: &Args, folder: &Path, log_file: &Path) -> Result<Self, DevnetError> {
        if args.real_proofs {
            find_host(args)?;
        }
        let rich = U256::from(10).pow(U256::from(24));
        let l1_genesis = GenesisBuilder::l1().fund_dev_accounts(rich).build();
        let l2_genesis =
            GenesisBuilder::l2().common_bridge_l2(ensemble_contracts::bytecode::l2_bridge_runtime()).build();

        let chain_config = l2_genesis["config"].clone();
        let l1 = DevL1::start(DevL1Config {
            http_addr: local(args.l1_port),
            beacon_addr: local(args.beacon_port),
            datadir: args.datadir.as_ref().map(|_| folder.join("l1")),
            ..DevL1Config::new(l1_genesis)
        })
        .await?;

        let jwt_path = folder.join("jwt.hex");
        let jwt = if jwt_path.exists() {
            JwtSecret::from_hex_file(&jwt_path)
        } else {
            JwtSecret::generate_file(&jwt_path)
        }
        .map_err(|e| io("JWT secret", e))?;
        let genesis_path = folder.join("genesis-l2.json");
        std::fs::write(&genesis_path, format!("{l2_genesis:#}")).map_err(|e| io("genesis-l2.json", e))?;
        let l2 = EmbeddedNode::start(NodeConfig {
            http_addr: local(args.l2_port),
            auth_addr: local(args.auth_port),
            ..NodeConfig::local("l2", l2_genesis, *jwt.expose())?
        })
        .await?;

        let mut config = Config::default();
        config.eth.rpc_url = vec![url(&l1.rpc_url())?];
        // One block is final enough on a chain that does not reorganise.
        config.eth.confirmations = 1;
        config.deployer.l1_private_key = Some(secret(&DEPLOYER)?);
        match args.prover {
            Proofs::Exec => config.deployer.exec_attestation_addresses = vec![ATTESTER.address],
            Proofs::Risc0 => ask_for_risc0(&mut config, &chain_config)?,
        }
        config.watcher.confirmations = Confirmations::Blocks(0);
        config.watcher.check_interval_ms = 200;
        config.proposer.interval_ms = args.interval_ms;
        config.proposer.coinbase_address = Some(COINBASE.address);
        config.committer.l1_address = Some(COMMITTER.address);
        config.committer.l1_private_key = Some(secret(&COMMITTER)?);
        config.committer.commit_time_ms = args.commit_ms;
        config.committer.da = match args.da {
            Data::Blob => DataAvailability::Blob,
            Data::Calldata => DataAvailability::CallData,
            Data::Auto => DataAvailability::Auto,
            Data::None => DataAvailability::None,
        };
        config.committer.arbitrary_base_blob_gas_price = 1;
        config.prover_server.l1_address = Some(VERIFIER.address);
        config.prover_server.l1_private_key = Some(secret(&VERIFIER)?);
        config.prover_server.listen_port = port(args.prover_port)?;
        config.prover_server.lease_ms = 30_000;
        if args.real_proofs {
            config.prover_server.max_frame_bytes = STARK_FRAME_BYTES;
        }
        config.engine.auth_url = url(&l2.auth_url())?;
        config.engine.public_url = Some(url(&l2.http_url())?);
        config.engine.jwt_path = jwt_path;
        config.l2.genesis_path = Some(genesis_path);
        if args.shadow {
            config.witness.source = WitnessSource::Shadow;
        }
        config.store.url = StoreLocation::sqlite(folder.join("ensemble.db"));

        let deployment =
            mining(&l1, deploy::deploy(&config, |step| tracing::info!(%step, "deploying"))).await?;
        deployment.apply_to(&mut config);

        let mut builder = Sequencer::builder().config(config.clone());
        let stopping = Arc::new(AtomicBool::new(false));
        let fleet = Arc::<Fleet>::default();
        builder = print_events(builder, Arc::clone(&fleet), Arc::clone(&stopping));
        let sequencer = builder.start().await?;
        let admin = AdminServer::start(sequencer.clone(), local(args.admin_port))?;

        let (stop_provers, stopped) = watch::channel(false);
        let mut devnet =
            Self { l1, l2, sequencer, deployment, fleet, admin, provers: Vec::new(), stopping, stop_provers };
        for n in 1..=args.provers {
            let prover = if args.real_proofs {
                devnet.start_host(n, args, &config, stopped.clone())?
            } else {
                devnet.start_prover(n, args.prover, &config, stopped.clone())?
            };
            devnet.provers.push(prover);
        }
        devnet.greet(&config, log_file);
        Ok(devnet)
    }

    /// Signs what it re-executed.
    fn exec_backend(&self) -> Result<Box<dyn ProverBackend>, DevnetError> {
        let key =
            AttestationKey::from_hex(ATTESTER.private_key).map_err(|e| DevnetError::Prover(e.to_string()))?;
        let domain = AttestationDomain {
            l1_chain_id: self.deployment.l1_chain_id,
            verifying_contract: self
                .deployment
                .exec_verifier
                .ok_or_else(|| DevnetError::Prover("no verifier was deployed".to_owned()))?,
        };
        Ok(Box::new(ExecBackend::new(key, domain)))
    }

    /// The program that makes STARKs, as a process of its own that connects over TCP, and is started again when it ends.
    /// In a folder that stays, it goes on with its proofs then.
    fn start_host(
        &self,
        n: usize,
        args: &Args,
        config: &Config,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<JoinHandle<()>, DevnetError> {
        let name = format!("risc0-{n}");
        let mut command = tokio::process::Command::new(&args.risc0_prover);
        command.arg(format!("127.0.0.1:{}", config.prover_server.listen_port)).arg(&name).kill_on_drop(true);
        if let Some(folder) = &args.datadir {
            command.arg("--receipts").arg(folder.join("receipts"));
        }
        let mut start = move || command.spawn().map_err(|e| io("the prover of --real-proofs", e));
        let mut host = start()?;
        show::event("prover", format!("{name} makes STARKs"));
        #[expect(
            clippy::disallowed_methods,
            reason = "a prover is no component of the sequencer: it has no supervisor"
        )]
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    ended = host.wait() => {
                        let how = ended.map_or_else(|e| e.to_string(), |status| status.to_string());
                        show::event("PROVER", format!("{name} ended: {how}; another one in {HOST_PAUSE:?}"));
                    }
                    _ = stopped.wait_for(|stop| *stop) => return,
                }
                tokio::select! {
                    () = tokio::time::sleep(HOST_PAUSE) => {}
                    _ = stopped.wait_for(|stop| *stop) => return,
                }
                match start() {
                    Ok(again) => host = again,
                    Err(error) => return show::event("PROVER", format!("{name}: {error}")),
                }
            }
        });
        Ok(task)
    }

    /// A prover client that connects over TCP, like one on another machine would.
    fn start_prover(
        &self,
        n: usize,
        proofs: Proofs,
        config: &Config,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<JoinHandle<()>, DevnetError> {
        let bad = |e: &dyn std::fmt::Display| DevnetError::Prover(e.to_string());
        let (kind, done, backend) = match proofs {
            Proofs::Exec => ("exec", "re-executed and signed", self.exec_backend()?),
            Proofs::Risc0 => ("risc0", "executed in the zkVM, development receipt", risc0_backend()?),
        };
        let prover_type = backend.prover_type();
        let name = format!("{kind}-{n}");
        let fleet = Arc::clone(&self.fleet);
        let member = Member { name: name.clone(), fleet: Arc::clone(&fleet), backend };
        let client = ProverClient::new(
            ProverClientConfig {
                prover_server_endpoint: format!("127.0.0.1:{}", config.prover_server.listen_port),
                proving_time_ms: 200,
                name: name.clone(),
                prover_type,
                backoff_initial_ms: 100,
                backoff_max_ms: 2_000,
                ..ProverClientConfig::default()
            },
            Box::new(member),
        )
        .map_err(|e| bad(&e))?
        .on_event(move |event| match event {
            ClientEvent::Proved { batch_number, took_ms } => {
                // Without the time that it was held.
                let took_ms =
                    fleet.proven(*batch_number).map_or(*took_ms, |(_, took)| took.as_millis() as u64);
                show::event("proof", format!("batch {batch_number} {done} by {name} in {took_ms} ms"));
            }
            ClientEvent::Joined { first, last, .. } => {
                show::event("proof", format!("batches {first} to {last} signed together by {name}"));
            }
            other => tracing::debug!(prover = name, event = ?other, "prover"),
        });
        let runs = client.run(async move {
            // A closed channel means that the devnet is gone, too.
            let _gone = stopped.wait_for(|stop| *stop).await.is_err();
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "a prover is no component of the sequencer: it has no supervisor"
        )]
        let task = tokio::spawn(async move {
            match runs.await {
                Ok(report) => tracing::info!(?report, "prover ended"),
                Err(error) => show::event("PROVER", format!("ended: {error}")),
            }
        });
        Ok(task)
    }

    fn greet(&self, config: &Config, log_file: &Path) {
        let rows = [
            ("L1", format!("{}   chain id {}", self.l1.rpc_url(), self.deployment.l1_chain_id)),
            ("L1 blobs", format!("{}/eth/v1/beacon/blobs/{{block}}", self.l1.beacon_url())),
            ("L2", format!("{}   chain id {}", self.l2.http_url(), self.deployment.l2_chain_id)),
            ("Engine API", self.l2.auth_url()),
            ("Admin", format!("http://{}/status", self.admin.address())),
            ("Provers", format!("127.0.0.1:{}", config.prover_server.listen_port)),
            ("Bridge", self.deployment.bridge.to_string()),
            ("Proposer", self.deployment.proposer.to_string()),
            ("Log", log_file.display().to_string()),
        ];
        show::line("");
        for (name, value) in rows {
            show::line(format!("  {name:<11}{value}"));
        }
        show::line("\n  Funded on L1 (public development keys, never use them elsewhere):");
        for account in &DEV_ACCOUNTS[5..] {
            show::line(format!("  {}  0x{}", account.address, account.private_key));
        }
        show::line("\n  Send ETH to the bridge and it is yours on the L2. Ctrl-c ends.\n");
    }

    /// Ends everything, in reverse order of the start.
    pub(crate) async fn stop(self) -> Result<(), DevnetError> {
        self.stopping.store(true, Ordering::Relaxed);
        self.fleet.release();
        self.stop_provers.send_replace(true);
        self.admin.stop().await;
        let report = self.sequencer.shutdown().await;
        for component in report.components.iter() {
            tracing::info!(?component, "stopped");
        }
        for prover in self.provers {
            if tokio::time::timeout(Duration::from_millis(500), prover).await.is_err() {
                tracing::warn!("a prover did not end in time");
            }
        }
        self.l2.shutdown().await?;
        self.l1.shutdown().await?;
        if report.is_clean() {
            Ok(())
        } else {
            Err(DevnetError::Wrong(format!("not every component stopped cleanly: {report:?}")))
        }
    }
}

/// `quiet` silences what components say of each other while everything stops.
fn print_events(
    builder: ensemble::SequencerBuilder,
    fleet: Arc<Fleet>,
    quiet: Arc<AtomicBool>,
) -> ensemble::SequencerBuilder {
    builder
        .on(|e: NewDeposit| {
            let d = e.deposit;
            show::event(
                "deposit",
                format!(
                    "#{}  {} for {}, seen in L1 block {}",
                    d.id,
                    show::eth(d.amount),
                    show::short_address(&d.to),
                    d.l1_block
                ),
            );
        })
        .on(|e: BlockSealed| {
            let deposits =
                if e.deposits > 0 { format!(", {} deposit(s)", e.deposits) } else { String::new() };
            show::event(
                "block",
                format!(
                    "{}  {} transaction(s){deposits}  {}",
                    e.number,
                    e.transactions,
                    show::short(&e.hash)
                ),
            );
        })
        .on(|e: BatchSealed| {
            let place = match (e.blobs, e.header.blobs_hash.is_zero()) {
                (0, true) => "not on L1".to_owned(),
                (0, false) => "in call data".to_owned(),
                (blobs, _) => format!("in {blobs} blob(s)"),
            };
            show::event(
                "batch",
                format!(
                    "{}  blocks {}-{}, {} bytes {place}",
                    e.header.number, e.first_block, e.last_block, e.payload_bytes
                ),
            );
        })
        .on(|e: BatchCommitted| {
            show::event("committed", format!("batch {} on L1{}", e.number, by(e.transaction.as_ref())));
        })
        .on(|e: ProofReady| tracing::debug!(batch = e.batch_number, "proofs are complete"))
        .on(move |e: BatchVerified| {
            let prover = fleet.proven(e.number).map(|(prover, _)| format!("  proven by {prover}"));
            show::event(
                "verified",
                format!(
                    "batch {} on L1{}{}",
                    e.number,
                    by(e.transaction.as_ref()),
                    prover.unwrap_or_default()
                ),
            );
        })
        .on(|e: TxFailed| show::event("L1 TX", format!("{} failed: {}", e.id, e.reason)))
        .on_lifecycle(move |e| {
            if quiet.load(Ordering::Relaxed) {
                return;
            }
            let text = match &e.kind {
                EventKind::Failed { failure } => format!("failed: {}", failure.reason),
                EventKind::Restarted { downtime } => format!("restarted after {} ms", downtime.as_millis()),
                EventKind::Degraded { reason } => format!("degraded: {reason}"),
                EventKind::Recovered => "recovered".to_owned(),
                EventKind::Escalated { .. } => "failed too often: the sequencer ends".to_owned(),
                _ => return,
            };
            show::event("ACTOR", format!("{} {text}", e.component));
        })
}

fn by(transaction: Option<&alloy_primitives::B256>) -> String {
    transaction.map(|hash| format!("  tx {}", show::short(hash))).unwrap_or_default()
}

/// The folder that keeps everything: the one asked for, or a temporary one.
pub(crate) fn folder(args: &Args) -> Result<(PathBuf, Option<tempfile::TempDir>), DevnetError> {
    match &args.datadir {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|e| io(&folder.display().to_string(), e))?;
            Ok((folder.clone(), None))
        }
        None => {
            let folder = tempfile::Builder::new().prefix("ensemble-devnet-").tempdir();
            let folder = folder.map_err(|e| io("temporary folder", e))?;
            Ok((folder.path().to_owned(), Some(folder)))
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;

    #[test]
    fn every_role_has_an_account_of_its_own() {
        let mut all: Vec<Address> =
            [DEPLOYER, COMMITTER, VERIFIER, COINBASE, ATTESTER, USER].iter().map(|a| a.address).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
    }
}
