//! Assembly of the sequencer: the API that the binary, the devnet and every embedding program use.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix::Recipient;
#[cfg(feature = "shadow")]
use ensemble_actors::ShadowWitness;
use ensemble_actors::{
    BlockProducer, BlockProducerConfig, BlockProducerOutlets, ChainFacts, CheckedWitness, ClientWitness,
    Clock, Confirmations, DataAvailability, Fanout, L1Committer, L1CommitterConfig, L1CommitterOutlets,
    L1Sender, L1SenderConfig, L1SenderOutlets, L1Watcher, L1WatcherConfig, L1WatcherOutlets, PROOF_MANAGER,
    ProofManager, ProofManagerConfig, ProofManagerOutlets, ProofSender, ProofSenderConfig,
    ProofSenderOutlets, ProverServer, ProverServerConfig, RetryPolicy, SenderKey, Services, SystemClock,
    WitnessSource,
};
use ensemble_batch::BatchLimits;
use ensemble_engine_api::{EngineConfig, ExecutionClient, ForkSchedule, HttpExecutionClient, JwtSecret};
use ensemble_l1::{FeePolicy, L1Client, RpcConfig, RpcL1Client, SidecarVersion, TxManagerConfig, Wallet};
use ensemble_messages::SenderRole;
use ensemble_prover::{TlsIdentity, protocol::FrameLimits, tls::acceptor};
use ensemble_store::{Store, StoreLock};
use ensemble_supervision::{
    Backoff, ChildSpec, ComponentStatus, ExitReason, Handle, LifecycleEvent, Outlet, RestartPolicy,
    ShutdownReport, Supervisor, SystemHandle,
};

use crate::{
    Event, StartError,
    config::{self, Config, RunRequirements},
    events::Subscriptions,
    repair::{Repair, RepairError, RepairReport, RepairSettings, RepairStep},
    startup::{self, Inconsistent, Sources, StartupState, Verdict, WantedProofs},
};

/// Largest answer of the execution client: a witness of a full block.
const ENGINE_ANSWER_BYTES: u32 = 256 << 20;
/// Largest input of a prover, before compression.
const PROVER_INPUT_BYTES: usize = 1 << 30;
/// Compressed inputs that are in memory while provers fetch them.
const PROVER_INPUTS_BYTES: usize = 512 << 20;
/// Failures of a component within [`RESTART_WINDOW`] after which the process ends.
const MAX_RESTARTS: u32 = 10;
/// See [`SequencerBuilder::hang_timeout`].
const HANG_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a repair waits for the transactions of the lost store.
const FLIGHT_LIMIT: Duration = Duration::from_secs(300);
/// See [`MAX_RESTARTS`].
const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// Puts a sequencer together. See [`Sequencer::builder`].
#[must_use = "a builder does nothing before `start`"]
#[derive(Debug, Default)]
pub struct SequencerBuilder {
    config: Config,
    l1: Option<Arc<dyn L1Client>>,
    engine: Option<Arc<dyn ExecutionClient>>,
    witness: Option<Arc<dyn WitnessSource>>,
    clock: Option<Arc<dyn Clock>>,
    subscriptions: Subscriptions,
    lifecycle: Vec<Outlet<LifecycleEvent>>,
    hang_timeout: Option<Duration>,
}

impl SequencerBuilder {
    /// The configuration, from [`Config::load`] or written in code.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Another way to L1 than `eth.rpc_url`.
    pub fn l1(mut self, client: Arc<dyn L1Client>) -> Self {
        self.l1 = Some(client);
        self
    }

    /// Another way to the execution client than `engine.auth_url`.
    pub fn engine(mut self, client: Arc<dyn ExecutionClient>) -> Self {
        self.engine = Some(client);
        self
    }

    /// Another source of execution witnesses than `[witness]` says.
    pub fn witness(mut self, source: Arc<dyn WitnessSource>) -> Self {
        self.witness = Some(source);
        self
    }

    /// Another clock than the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How long a component's thread may give no sign of life before it counts as hung and is replaced; 15 s by default.
    /// No component blocks its thread for long, so this is about a machine that stalls.
    pub fn hang_timeout(mut self, limit: Duration) -> Self {
        self.hang_timeout = Some(limit);
        self
    }

    /// Sends every event of this kind to an actor. An event is dropped, with a warning, when its mailbox is full.
    pub fn subscribe<M: Event>(mut self, recipient: Recipient<M>) -> Self {
        M::add_to(&mut self.subscriptions, Outlet::from_recipient(recipient));
        self
    }

    /// Calls a function with every event of this kind. It runs on the component's own thread: it must be quick.
    pub fn on<M: Event>(mut self, f: impl Fn(M) + Send + Sync + 'static) -> Self {
        M::add_to(&mut self.subscriptions, Outlet::from_fn(f));
        self
    }

    /// Calls a function when a component starts, fails, restarts or stops.
    pub fn on_lifecycle(mut self, f: impl Fn(LifecycleEvent) + Send + Sync + 'static) -> Self {
        self.lifecycle.push(Outlet::from_fn(f));
        self
    }

    /// Checks configuration, chains and contracts, opens the store, asks whether store, L1 and execution client fit
    /// together, and starts every component. Waits, saying so, for an L1 node or an execution client that is not
    /// reachable yet.
    ///
    /// Must be called inside an actix system.
    ///
    /// # Errors
    /// See [`StartError`]; [`StartError::Inconsistent`] has every problem with its remedy.
    pub async fn start(self) -> Result<Sequencer, StartError> {
        let prepared = self.prepare(Opening::ToWork).await?;
        let verdict = startup::judge(&prepared.state);
        log_state(&prepared.state, &verdict, verdict.may_start());
        if !verdict.may_start() {
            prepared.services.store.close().await;
            let state = prepared.state;
            return Err(StartError::Inconsistent(Box::new(Inconsistent { state, verdict })));
        }
        let Prepared {
            config,
            needed,
            proofs,
            mut services,
            lock,
            state,
            witness,
            subscriptions,
            lifecycle,
            hang,
        } = prepared;
        let shadow = witness_source(&config, !proofs.checks.is_empty(), &mut services, witness).await?;
        let system = assemble(&config, &needed, &services, proofs, subscriptions, lifecycle, hang)?;
        #[cfg(not(feature = "shadow"))]
        let None = shadow;
        Ok(Sequencer {
            system,
            services,
            state: Arc::new(state),
            lock: Arc::new(std::sync::Mutex::new(lock)),
            #[cfg(feature = "shadow")]
            shadow: Arc::new(tokio::sync::Mutex::new(shadow)),
        })
    }

    /// Looks at store, L1 and execution client as [`Self::start`] does, and starts and writes nothing. A store file
    /// that is there is brought up to date with the schema; one that is not there is not made.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn inspect(self) -> Result<(StartupState, Verdict), StartError> {
        let prepared = self.prepare(Opening::ToLook).await?;
        prepared.services.store.close().await;
        let verdict = startup::judge(&prepared.state);
        Ok((prepared.state, verdict))
    }

    /// Makes the batches that L1 has and the store lacks again, from L1 and the execution client, and the witnesses of
    /// those that are not verified: see [`crate::repair`]. `tell` hears of every step. Nothing is done when nothing is
    /// missing.
    ///
    /// # Errors
    /// [`RepairError::NotRepairable`] when somebody has to do something first; else see [`RepairError`]. What was made
    /// until then stays, and the next repair goes on from there.
    pub async fn repair(self, tell: impl Fn(RepairStep)) -> Result<RepairReport, RepairError> {
        let mut prepared = self.prepare(Opening::ToWork).await?;
        let verdict = startup::judge(&prepared.state);
        log_state(&prepared.state, &verdict, !matches!(verdict, Verdict::Refused(_)));
        if let Verdict::Refused(_) = verdict {
            prepared.services.store.close().await;
            return Err(RepairError::NotRepairable(verdict));
        }
        prepared.services.store.check_file().await?;
        let config = &prepared.config;
        let settings = RepairSettings {
            start_block: config.watcher.start_block.unwrap_or(0),
            max_block_step: config.watcher.max_block_step,
            max_blobs: config.committer.max_blobs,
            accounts: [prepared.needed.committer.address, prepared.needed.verifier.address],
            flight_limit: FLIGHT_LIMIT,
            proving: !prepared.proofs.checks.is_empty(),
        };
        let witness = prepared.witness.take();
        let shadow =
            witness_source(&prepared.config, settings.proving, &mut prepared.services, witness).await?;
        let done = Repair::new(&prepared.services, &settings, tell).run().await;
        prepared.services.store.close().await;
        #[cfg(not(feature = "shadow"))]
        let None = shadow;
        #[cfg(feature = "shadow")]
        if let Some(node) = shadow
            && let Err(error) = node.shutdown().await
        {
            tracing::warn!(%error, "the shadow node did not stop in time");
        }
        done
    }

    /// Everything up to the question whether store, L1 and execution client fit together.
    async fn prepare(self, opening: Opening) -> Result<Prepared, StartError> {
        let needed = self.config.require_for_run()?;
        let l1 = match self.l1 {
            Some(l1) => l1,
            None => l1_client(&self.config)?,
        };
        let engine = match self.engine {
            Some(engine) => engine,
            None => execution_client(&self.config)?,
        };
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let facts = startup::chain_facts(
            &self.config,
            needed.bridge_address,
            needed.on_chain_proposer_address,
            &l1,
            &engine,
        )
        .await?;
        let proofs = startup::wanted_proofs(&self.config, &facts, &l1).await?;
        let path = self.config.store.url.sqlite_path().ok_or_else(|| {
            StartError::Unsupported(
                "store.url: PostgreSQL is not available yet; give the path of an SQLite file".to_owned(),
            )
        })?;
        let (lock, store) = match opening {
            Opening::ToWork => (Some(StoreLock::acquire(path)?), Store::open(path).await?),
            Opening::ToLook if path.exists() => (None, Store::open(path).await?),
            Opening::ToLook => (None, Store::in_memory().await?),
        };
        let sources = Sources {
            store: &store,
            l1: &l1,
            engine: &engine,
            clock: &clock,
            chain: &facts,
            committer: needed.committer.address,
            verifier: needed.verifier.address,
            policy: &proofs.policy,
            limits: batch_limits(&self.config.committer).1,
            forks: l2_forks(&self.config)?,
        };
        store.bind_identity(&sources.identity()).await?;
        let state = sources.gather().await?;
        // Replaced when a source of its own or a shadow is wanted.
        let client = Arc::new(ClientWitness(Arc::clone(&engine)));
        let services = Services { store, l1, engine, witness: client, clock, chain: Arc::new(facts) };
        Ok(Prepared {
            config: self.config,
            needed,
            proofs,
            services,
            lock,
            state,
            witness: self.witness,
            subscriptions: self.subscriptions,
            lifecycle: self.lifecycle,
            hang: self.hang_timeout.unwrap_or(HANG_TIMEOUT),
        })
    }
}

/// What the store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// To write: nobody else may.
    ToWork,
    /// To look at what is there.
    ToLook,
}

/// Everything that a start needs, before anything runs.
struct Prepared {
    config: Config,
    needed: RunRequirements,
    proofs: WantedProofs,
    services: Services,
    lock: Option<StoreLock>,
    state: StartupState,
    witness: Option<Arc<dyn WitnessSource>>,
    subscriptions: Subscriptions,
    lifecycle: Vec<Outlet<LifecycleEvent>>,
    hang: Duration,
}

/// One line with everything that was found; an error when the work that was asked for ends with it.
fn log_state(state: &StartupState, verdict: &Verdict, goes_on: bool) {
    let found = serde_json::to_string(state).unwrap_or_else(|error| error.to_string());
    let verdict_json = serde_json::to_string(verdict).unwrap_or_else(|error| error.to_string());
    if goes_on {
        tracing::info!(verdict = verdict.name(), findings = verdict_json, state = found, "start-up state");
    } else {
        tracing::error!(verdict = verdict.name(), findings = verdict_json, state = found, "start-up state");
    }
}

/// Puts the wanted source of witnesses into the services, and gives the shadow node when that is one.
async fn witness_source(
    config: &Config,
    proving: bool,
    services: &mut Services,
    wanted: Option<Arc<dyn WitnessSource>>,
) -> Result<Option<Shadow>, StartError> {
    let shadowed = matches!(config.witness.source, config::WitnessSource::Shadow) && proving;
    let mut shadow = None;
    match wanted {
        Some(witness) => services.witness = witness,
        None if shadowed => {
            (shadow, services.witness) = start_shadow(config, &services.store, &services.chain).await?;
        }
        None => {}
    }
    services.witness = Arc::new(CheckedWitness::new(Arc::clone(&services.witness), services.store.clone()));
    Ok(shadow)
}

#[cfg(feature = "shadow")]
type Shadow = ensemble_node::NodeHandle;
/// There is none in a build without the feature `shadow`.
#[cfg(not(feature = "shadow"))]
type Shadow = std::convert::Infallible;

/// Starts the shadow node.
#[cfg(feature = "shadow")]
async fn start_shadow(
    config: &Config,
    store: &Store,
    facts: &ChainFacts,
) -> Result<(Option<Shadow>, Arc<dyn WitnessSource>), StartError> {
    let (node, client) = crate::shadow::start(config.l2.genesis_path.as_deref()).await?;
    let witness = ShadowWitness::new(client, store.clone(), facts.l2_genesis_hash);
    Ok((Some(node), Arc::new(witness)))
}

#[cfg(not(feature = "shadow"))]
async fn start_shadow(
    _: &Config,
    _: &Store,
    _: &ChainFacts,
) -> Result<(Option<Shadow>, Arc<dyn WitnessSource>), StartError> {
    Err(StartError::Unsupported(
        "witness.source = \"shadow\": this program was built without the feature `shadow`".to_owned(),
    ))
}

/// A running sequencer.
#[derive(Clone, Debug)]
pub struct Sequencer {
    system: SystemHandle,
    services: Services,
    state: Arc<StartupState>,
    lock: Arc<std::sync::Mutex<Option<StoreLock>>>,
    #[cfg(feature = "shadow")]
    shadow: Arc<tokio::sync::Mutex<Option<Shadow>>>,
}

impl Sequencer {
    /// Begins to put a sequencer together.
    pub fn builder() -> SequencerBuilder {
        SequencerBuilder::default()
    }

    /// What the actors stand on.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// What store, L1 and execution client said when this sequencer started; [`startup::judge`] says what followed.
    #[must_use]
    pub fn startup(&self) -> &StartupState {
        &self.state
    }

    /// The supervision tree: restart, pause and resume components by name.
    #[must_use]
    pub fn system(&self) -> &SystemHandle {
        &self.system
    }

    /// State of every component.
    #[must_use]
    pub fn status(&self) -> Vec<ComponentStatus> {
        self.system.status()
    }

    /// Waits until every component has started.
    pub async fn ready(&self) {
        self.system.ready().await;
    }

    /// Stops every component in reverse order of its start and closes the store.
    pub async fn shutdown(&self) -> ShutdownReport {
        let report = self.system.shutdown().await;
        self.services.store.close().await;
        self.unlock();
        #[cfg(feature = "shadow")]
        if let Some(node) = self.shadow.lock().await.take()
            && let Err(error) = node.shutdown().await
        {
            tracing::warn!(%error, "the shadow node did not stop in time");
        }
        report
    }

    /// Waits until the sequencer ends, by [`Self::shutdown`] or by a component that failed too often.
    pub async fn wait(&self) -> ExitReason {
        let reason = self.system.wait().await;
        self.unlock();
        reason
    }

    /// Lets another sequencer have the store.
    fn unlock(&self) {
        drop(self.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }
}

/// The L1 client of a configuration.
///
/// # Errors
/// When a URL cannot be used.
pub fn l1_client(config: &Config) -> Result<Arc<dyn L1Client>, StartError> {
    let urls = config.eth.rpc_url.iter().map(|u| u.expose().to_owned()).collect();
    let rpc =
        RpcConfig { timeout: Duration::from_millis(config.eth.request_timeout_ms), ..RpcConfig::default() };
    Ok(Arc::new(RpcL1Client::new(urls, rpc)?))
}

/// The Engine API client of a configuration.
///
/// # Errors
/// When the JWT secret cannot be read or a URL cannot be used.
pub fn execution_client(config: &Config) -> Result<Arc<dyn ExecutionClient>, StartError> {
    Ok(Arc::new(HttpExecutionClient::new(EngineConfig {
        auth_url: config.engine.auth_url.expose().to_owned(),
        jwt: JwtSecret::from_hex_file(&config.engine.jwt_path)?,
        public_url: config.engine.public_url.as_ref().map(|u| u.expose().to_owned()),
        timeout: Duration::from_millis(config.engine.timeout_ms),
        max_response_bytes: ENGINE_ANSWER_BYTES,
        forks: l2_forks(config)?,
    })?))
}

fn l2_forks(config: &Config) -> Result<ForkSchedule, StartError> {
    let genesis = config.l2.genesis_path.as_deref().map(startup::genesis_config).transpose()?;
    Ok(startup::fork_schedule(genesis.as_ref()))
}

/// Where the data of batches goes, and how large one may be.
fn batch_limits(committer: &config::CommitterConfig) -> (DataAvailability, BatchLimits) {
    let da = match committer.da {
        config::DataAvailability::Blob => DataAvailability::Blob,
        config::DataAvailability::CallData => DataAvailability::CallData,
        config::DataAvailability::Auto => DataAvailability::Auto,
        config::DataAvailability::None => DataAvailability::None,
    };
    let limits = BatchLimits {
        max_blobs: committer.max_blobs,
        max_blocks: committer.max_batch_blocks,
        max_gas: committer.max_batch_gas,
        max_deposits: committer.max_batch_deposits,
    };
    (da, da.limits(limits))
}

fn spec<A: ensemble_supervision::Component>(
    handle: &Handle<A>,
    hang: Duration,
    factory: impl Fn(ensemble_supervision::Seat<A>) -> A + Send + Sync + 'static,
) -> ChildSpec<A> {
    ChildSpec::new(handle.name(), factory)
        .with_handle(handle.clone())
        .policy(RestartPolicy::Permanent)
        .backoff(Backoff { base: Duration::from_millis(20), max: Duration::from_secs(5), jitter: 0.2 })
        .intensity(MAX_RESTARTS, RESTART_WINDOW)
        // Work on blobs cannot be interrupted, and takes seconds on a busy machine.
        .stop_deadline(Duration::from_secs(10))
        .heartbeat((hang / 4).min(Duration::from_secs(1)), hang)
}

fn assemble(
    config: &Config,
    needed: &RunRequirements,
    services: &Services,
    proofs: WantedProofs,
    mut events: Subscriptions,
    lifecycle: Vec<Outlet<LifecycleEvent>>,
    hang: Duration,
) -> Result<SystemHandle, StartError> {
    let sender = Handle::<L1Sender>::new("l1_sender");
    let watcher = Handle::<L1Watcher>::new("l1_watcher");
    let manager = Handle::<ProofManager>::new(PROOF_MANAGER);
    let server = Handle::<ProverServer>::new("prover_server");
    let proof_sender = Handle::<ProofSender>::new("proof_sender");
    let committer = Handle::<L1Committer>::new("l1_committer");
    let producer = Handle::<BlockProducer>::new("block_producer");

    events.new_deposit.add(producer.outlet());
    events.l1_reorged.add(committer.outlet());
    events.block_sealed.add(committer.outlet());
    events.batch_committed.add(producer.outlet());
    events.batch_committed.add(proof_sender.outlet());
    events.batch_verified.add(producer.outlet());
    events.proof_ready.add(proof_sender.outlet());
    events.tx_confirmed.add(committer.outlet());
    events.tx_confirmed.add(proof_sender.outlet());
    events.tx_failed.add(committer.outlet());
    events.tx_failed.add(proof_sender.outlet());
    let ranges = proofs.ranges(&config.prover_server);
    let WantedProofs { checks, policy, verifiers, until: _ } = proofs;
    let proving = !checks.is_empty();
    if proving {
        events.batch_committed.add(manager.outlet());
        events.batch_verified.add(manager.outlet());
    }

    let millis = Duration::from_millis;
    let mut tree = Supervisor::builder();
    for outlet in lifecycle {
        tree = tree.subscribe(outlet);
    }

    let key = |role, account: &config::Account| -> Result<SenderKey, StartError> {
        Ok(SenderKey {
            role,
            wallet: Arc::new(Wallet::from_hex(account.private_key.expose_hex().to_string())?),
        })
    };
    let fees = FeePolicy {
        max_fee_per_gas: config.eth.max_fee_per_gas_gwei.wei(),
        max_priority_fee_per_gas: config.eth.max_priority_fee_per_gas_gwei.wei(),
        max_fee_per_blob_gas: config.eth.max_fee_per_blob_gas_gwei.wei(),
        min_blob_fee_per_gas: u128::from(config.committer.arbitrary_base_blob_gas_price),
        ..FeePolicy::default()
    };
    let sender_config = L1SenderConfig {
        keys: vec![
            key(SenderRole::Committer, &needed.committer)?,
            key(SenderRole::Prover, &needed.verifier)?,
        ],
        manager: TxManagerConfig {
            resubmit_after: millis(config.eth.resubmit_after_ms),
            receipt_poll: millis(500),
            confirmations: config.eth.confirmations,
            max_in_flight: config.eth.max_in_flight,
            ..TxManagerConfig::default()
        },
        fees,
        sidecar: match config.committer.blob_sidecar_version {
            config::SidecarVersion::V0 => SidecarVersion::V0,
            config::SidecarVersion::V1 => SidecarVersion::V1,
        },
        poll: millis(250),
    };
    let out = Arc::new(L1SenderOutlets {
        confirmed: events.tx_confirmed.clone(),
        failed: events.tx_failed.clone(),
    });
    let held = services.clone();
    tree = tree.child(spec(&sender, hang, move |seat| {
        L1Sender::new(seat, sender_config.clone(), held.clone(), Arc::clone(&out))
    }));

    let watcher_config = L1WatcherConfig {
        check_interval: millis(config.watcher.check_interval_ms),
        max_block_step: config.watcher.max_block_step,
        confirmations: match config.watcher.confirmations {
            config::Confirmations::Safe => Confirmations::Safe,
            config::Confirmations::Finalized => Confirmations::Finalized,
            config::Confirmations::Blocks(depth) => Confirmations::Depth(depth),
        },
        start_block: config.watcher.start_block.unwrap_or(0),
    };
    let out = Arc::new(L1WatcherOutlets {
        new_deposit: events.new_deposit.clone(),
        l1_advanced: events.l1_advanced.clone(),
        l1_reorged: events.l1_reorged.clone(),
    });
    let held = services.clone();
    tree = tree.child(spec(&watcher, hang, move |seat| {
        L1Watcher::new(seat, watcher_config.clone(), held.clone(), Arc::clone(&out))
    }));

    if proving {
        let lease = millis(config.prover_server.lease_ms);
        let manager_config = Arc::new(ProofManagerConfig {
            checks,
            policy: policy.clone(),
            lease,
            idle_retry: millis(500),
            max_bad_proofs: 3,
            quarantine: Duration::from_secs(600),
            max_range: ranges.max_batches,
            retry: RetryPolicy {
                budget: config.prover_server.max_failures,
                degraded_wait: millis(config.prover_server.degraded_retry_ms),
                ..RetryPolicy::default()
            },
            max_inputs_bytes: PROVER_INPUTS_BYTES,
            max_input_bytes: PROVER_INPUT_BYTES,
        });
        let mut join_given_up = Fanout::default();
        join_given_up.add(proof_sender.outlet());
        let out = Arc::new(ProofManagerOutlets { proof_ready: events.proof_ready.clone(), join_given_up });
        let held = services.clone();
        tree = tree.child(spec(&manager, hang, move |seat| {
            ProofManager::new(seat, Arc::clone(&manager_config), held.clone(), Arc::clone(&out))
        }));

        let server_keys = &config.prover_server;
        let tls = match (&server_keys.tls_cert_path, &server_keys.tls_key_path) {
            (Some(cert), Some(key)) => {
                let identity = TlsIdentity { cert: cert.clone(), key: key.clone() };
                Some(acceptor(&identity, server_keys.tls_client_ca_path.as_deref())?)
            }
            // The configuration was checked: there is none without the other.
            (Some(_), None) | (None, Some(_)) | (None, None) => None,
        };
        let heartbeat = (lease / 4).min(Duration::from_secs(30));
        let server_config = Arc::new(ProverServerConfig {
            listen: SocketAddr::new(config.prover_server.listen_ip, config.prover_server.listen_port),
            tls,
            token: config.prover_server.auth_token.as_ref().map(|t| t.expose().to_owned()),
            max_sessions: config.prover_server.max_sessions,
            hello_timeout: Duration::from_secs(5),
            idle_timeout: heartbeat * 4 + Duration::from_secs(60),
            heartbeat,
            limits: FrameLimits {
                client_max: usize::try_from(config.prover_server.max_frame_bytes).unwrap_or(usize::MAX),
                ..FrameLimits::default()
            },
        });
        let router = tree.root().outlet();
        tree = tree.child(spec(&server, hang, move |seat| {
            ProverServer::new(seat, Arc::clone(&server_config), router.clone())
        }));
    }

    let proof_sender_config = ProofSenderConfig {
        poll: if proving { millis(1_000) } else { millis(config.prover_server.dev_interval_ms) },
        policy,
        verifiers,
        ranges,
    };
    let mut join_proofs = Fanout::default();
    if proving {
        join_proofs.add(manager.outlet());
    }
    let out = Arc::new(ProofSenderOutlets {
        sender: sender.outlet(),
        join_proofs,
        batch_verified: events.batch_verified.clone(),
    });
    let held = services.clone();
    tree = tree.child(spec(&proof_sender, hang, move |seat| {
        ProofSender::new(seat, proof_sender_config.clone(), held.clone(), Arc::clone(&out))
    }));

    let (da, limits) = batch_limits(&config.committer);
    let committer_config = L1CommitterConfig {
        commit_time: millis(config.committer.commit_time_ms),
        poll: millis(config.committer.commit_time_ms.clamp(100, 1_000)),
        da,
        fees,
        limits,
        max_uncommitted: config.eth.max_in_flight as u64,
    };
    let out = Arc::new(L1CommitterOutlets {
        sender: sender.outlet(),
        batch_sealed: events.batch_sealed.clone(),
        batch_committed: events.batch_committed.clone(),
    });
    let held = services.clone();
    tree = tree.child(spec(&committer, hang, move |seat| {
        L1Committer::new(seat, committer_config.clone(), held.clone(), Arc::clone(&out))
    }));

    let producer_config = BlockProducerConfig::new(
        millis(config.proposer.interval_ms),
        needed.coinbase_address,
        config.proposer.empty_blocks,
        u32::try_from(config.proposer.max_deposits_per_block).unwrap_or(u32::MAX),
        limits,
    )?;
    let out = Arc::new(BlockProducerOutlets {
        block_sealed: events.block_sealed.clone(),
        head_changed: events.head_changed.clone(),
    });
    let held = services.clone();
    tree = tree.child(spec(&producer, hang, move |seat| {
        BlockProducer::new(seat, producer_config.clone(), held.clone(), Arc::clone(&out))
    }));
    Ok(tree.start()?)
}
