//! What is found out before the first component starts: the chains, the contracts, the kinds of proof, and whether
//! store, L1 and execution client fit together.

mod judge;
mod state;

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use alloy_primitives::{Address, Bytes};
use ensemble_actors::{
    AttestationCheck, ChainFacts, OnChainCheck, ProofCheck, ProofPolicy, ProofSlot, ProofVerifier,
    RangeLimits,
};
use ensemble_batch::{BatchHeader, ProgramKey};
use ensemble_contracts::{ScheduledBackend, calls, last_verifiable_together, returns};
use ensemble_engine_api::{BlockId, EngineError, ExecutionClient, ForkSchedule};
use ensemble_error::{Classify, Severity};
use ensemble_l1::{BlockTag, L1Client, L1Error};
use ensemble_messages::ProverType;
use ensemble_prover::attestation::AttestationDomain;

use crate::config::{Config, ProverServerConfig, UNUSED_VERIFIER};

pub use judge::{Note, Problem, Verdict, judge};
pub use state::{
    BatchRoom, BatchState, ClientState, Compared, CursorOnL1, L1State, Point, RoleState, StartupState,
    StoreState,
};
pub(crate) use state::{Sources, no_head};

/// First wait for something that is not reachable yet; doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// Longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Why the sequencer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong or incomplete.
    #[error("{0}")]
    Config(#[from] crate::config::ConfigErrors),
    /// The block producer's settings are wrong.
    #[error(transparent)]
    Producer(#[from] ensemble_actors::BlockProducerConfigError),
    /// TLS for provers cannot be set up.
    #[error(transparent)]
    Tls(#[from] ensemble_prover::TlsError),
    /// L1 answered with an error that waiting does not cure.
    #[error("L1: {0}")]
    L1(#[from] L1Error),
    /// The execution client answered with an error that waiting does not cure.
    #[error("execution client: {0}")]
    Engine(#[from] EngineError),
    /// The JWT secret cannot be read.
    #[error("engine.jwt_path: {0}")]
    Jwt(#[from] ensemble_engine_api::JwtError),
    /// A private key cannot be used.
    #[error("private key: {0}")]
    Key(#[from] ensemble_l1::WalletError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] ensemble_store::StoreError),
    /// Store, L1 and execution client do not fit together.
    #[error("{}", .0.verdict)]
    Inconsistent(Box<Inconsistent>),
    /// A contract answered something unreadable.
    #[error("contract: {0}")]
    Contract(#[from] ensemble_contracts::ContractError),
    /// A chain has another id than configured.
    #[error("{which} has chain id {actual}, the configuration says {expected}: check {key}")]
    WrongChain {
        /// L1 or L2.
        which: &'static str,
        /// Chain id found.
        actual: u64,
        /// Chain id configured.
        expected: u64,
        /// Key to look at.
        key: &'static str,
    },
    /// There is no contract where one was expected.
    #[error(
        "there is no contract at {address} ({key}); deploy with `ensemble deploy` or correct the address"
    )]
    NoContract {
        /// The address.
        address: Address,
        /// Key to look at.
        key: &'static str,
    },
    /// The contracts were deployed for another L2.
    #[error(
        "the contracts were deployed for another L2 genesis: they have {on_l1}, this execution client gives {here}; \
         start the client with the right genesis, or deploy contracts for this one"
    )]
    WrongGenesis {
        /// Hash of header 0 in the contract.
        on_l1: String,
        /// Hash of header 0 for this client.
        here: String,
    },
    /// The client has no chain.
    #[error("the execution client has no genesis block")]
    NoGenesis,
    /// The genesis file is unusable.
    #[error("l2.genesis_path: {path}: {reason}")]
    Genesis {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The L2's chain configuration cannot be had.
    #[error(
        "the execution client does not tell its chain configuration ({0}); give the genesis file as l2.genesis_path"
    )]
    NoChainConfig(String),
    /// What the contracts want proven cannot be checked here.
    #[error("proofs: {0}")]
    Proofs(String),
    /// The supervision tree cannot be started.
    #[error("supervision: {0}")]
    Supervision(#[from] ensemble_supervision::StartError),
    /// The shadow node for witnesses does not start.
    #[error("shadow node: {reason}")]
    Shadow {
        /// Why.
        reason: String,
    },
    /// The admin port cannot be opened.
    #[error("the admin server cannot listen on {address}: {reason}; choose another admin.listen_port")]
    Admin {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// Not available in this version.
    #[error("{0}")]
    Unsupported(String),
}

/// Why [`StartError::Inconsistent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inconsistent {
    /// What was found.
    pub state: StartupState,
    /// What follows: the problems and their remedies.
    pub verdict: Verdict,
}

impl Classify for StartError {
    fn severity(&self) -> Severity {
        match self {
            Self::L1(error) => error.severity(),
            Self::Engine(error) => error.severity(),
            Self::Store(error) => error.severity(),
            Self::Tls(error) => error.severity(),
            Self::Config(_)
            | Self::Producer(_)
            | Self::Jwt(_)
            | Self::Key(_)
            | Self::Inconsistent(_)
            | Self::Contract(_)
            | Self::WrongChain { .. }
            | Self::NoContract { .. }
            | Self::WrongGenesis { .. }
            | Self::NoGenesis
            | Self::Genesis { .. }
            | Self::NoChainConfig(_)
            | Self::Proofs(_)
            | Self::Supervision(_)
            | Self::Shadow { .. }
            | Self::Admin { .. }
            | Self::Unsupported(_) => Severity::Fatal,
        }
    }
}

/// Does `ask` until it works or fails for good; says so while it waits.
pub(crate) async fn wait_for<T, E, F>(what: &str, mut ask: F) -> Result<T, E>
where
    E: Classify,
    F: AsyncFnMut() -> Result<T, E>,
{
    let mut wait = WAIT_FIRST;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.severity() == Severity::Transient => {
                tracing::warn!(%error, retry_in_ms = wait.as_millis(), "waiting for {what}");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads the `config` object of a genesis file.
///
/// # Errors
/// When the file cannot be read or has no such object.
pub fn genesis_config(path: &Path) -> Result<serde_json::Value, StartError> {
    let bad = |reason: String| StartError::Genesis { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    let genesis: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    genesis
        .get("config")
        .filter(|c| c.is_object())
        .cloned()
        .ok_or_else(|| bad("it has no `config`".to_owned()))
}

/// The forks of a chain configuration that the Engine API's methods depend on. Without one: Prague from genesis.
#[must_use]
pub fn fork_schedule(config: Option<&serde_json::Value>) -> ForkSchedule {
    let time = |key: &str| config.and_then(|c| c.get(key)).and_then(serde_json::Value::as_u64);
    match config {
        None => ForkSchedule { cancun_time: 0, prague_time: Some(0), osaka_time: None },
        Some(_) => ForkSchedule {
            cancun_time: time("cancunTime").unwrap_or(u64::MAX),
            prague_time: time("pragueTime"),
            osaka_time: time("osakaTime"),
        },
    }
}

/// The L2 as its execution client shows it.
#[derive(Clone, Debug)]
pub struct L2Facts {
    /// Chain id.
    pub chain_id: u64,
    /// Hash of the genesis block.
    pub genesis_hash: alloy_primitives::B256,
    /// State root of the genesis block.
    pub genesis_state_root: alloy_primitives::B256,
    /// Canonical chain configuration; empty when not asked for.
    pub chain_config: String,
}

/// Asks the execution client who it is.
///
/// # Errors
/// When it is on another chain than configured, or does not say what is needed.
pub async fn l2_facts(
    config: &Config,
    engine: &Arc<dyn ExecutionClient>,
    with_chain_config: bool,
) -> Result<L2Facts, StartError> {
    let chain_id = wait_for("the execution client", async || engine.chain_id().await).await?;
    if let Some(expected) = config.l2.chain_id
        && expected != chain_id
    {
        return Err(StartError::WrongChain {
            which: "the execution client",
            actual: chain_id,
            expected,
            key: "l2.chain_id and engine.auth_url",
        });
    }
    let genesis = wait_for("the execution client", async || engine.block(BlockId::Number(0)).await)
        .await?
        .ok_or(StartError::NoGenesis)?;
    let chain_config = match (&config.l2.genesis_path, with_chain_config) {
        (_, false) => String::new(),
        (Some(path), true) => ProgramKey::canonical_chain_config(&genesis_config(path)?),
        (None, true) => {
            let told = wait_for("the execution client", async || engine.chain_config().await).await;
            ProgramKey::canonical_chain_config(&told.map_err(|e| StartError::NoChainConfig(e.to_string()))?)
        }
    };
    Ok(L2Facts { chain_id, genesis_hash: genesis.hash, genesis_state_root: genesis.state_root, chain_config })
}

/// The chain id of L1, if it is the one configured.
pub(crate) async fn l1_chain(config: &Config, l1: &Arc<dyn L1Client>) -> Result<u64, StartError> {
    let actual = wait_for("L1", async || l1.chain_id().await).await?;
    match config.eth.chain_id {
        Some(expected) if expected != actual => {
            Err(StartError::WrongChain { which: "L1", actual, expected, key: "eth.chain_id and eth.rpc_url" })
        }
        Some(_) | None => Ok(actual),
    }
}

/// Asks both chains who they are and compares them with the configuration and the contracts.
pub(crate) async fn chain_facts(
    config: &Config,
    bridge: Address,
    proposer: Address,
    l1: &Arc<dyn L1Client>,
    engine: &Arc<dyn ExecutionClient>,
) -> Result<ChainFacts, StartError> {
    let l1_chain_id = l1_chain(config, l1).await?;
    for (address, key) in
        [(proposer, "committer.on_chain_proposer_address"), (bridge, "watcher.bridge_address")]
    {
        if wait_for("L1", async || l1.code(address).await).await?.is_empty() {
            return Err(StartError::NoContract { address, key });
        }
    }
    // The public port asks for no token, so only this tells that the engine port refuses ours.
    match wait_for("the execution client", async || engine.exchange_capabilities().await).await {
        Ok(_) | Err(EngineError::MethodNotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let l2 = l2_facts(config, engine, !config.prover_server.dev_mode).await?;
    let genesis_header =
        BatchHeader::genesis(l1_chain_id, proposer, l2.chain_id, l2.genesis_state_root, l2.genesis_hash);
    let answer =
        wait_for("L1", async || l1.call(proposer, calls::committed_hash(0), BlockTag::Latest).await).await?;
    let on_l1 = returns::b256(&answer)?;
    if on_l1 != genesis_header.hash() {
        return Err(StartError::WrongGenesis {
            on_l1: on_l1.to_string(),
            here: genesis_header.hash().to_string(),
        });
    }
    Ok(ChainFacts {
        l1_chain_id,
        l2_chain_id: l2.chain_id,
        proposer,
        bridge,
        l2_genesis_hash: l2.genesis_hash,
        genesis_header,
        chain_config: l2.chain_config,
    })
}

/// Which proofs the contract wants, and how each is checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct WantedProofs {
    pub(crate) checks: Vec<Arc<dyn ProofCheck>>,
    pub(crate) policy: ProofPolicy,
    pub(crate) verifiers: Vec<ProofVerifier>,
    /// The last batch that these are for, when the contract takes others after it.
    pub(crate) until: Option<u64>,
}

impl WantedProofs {
    /// Which batches are verified together.
    pub(crate) fn ranges(&self, config: &ProverServerConfig) -> RangeLimits {
        let joined: Vec<ProverType> = self.policy.kinds().filter(|kind| kind.joins()).collect();
        let max_batches = if self.policy.is_enough(&joined) { config.verify_max_batches } else { 1 };
        RangeLimits {
            max_batches,
            collect: Duration::from_millis(config.verify_collect_ms),
            join_timeout: Duration::from_millis(config.verify_join_timeout_ms),
            boundary: self.until,
        }
    }
}

/// The proofs that the contract wants of the next batches, and how each is checked.
pub(crate) async fn wanted_proofs(
    config: &Config,
    facts: &ChainFacts,
    l1: &Arc<dyn L1Client>,
) -> Result<WantedProofs, StartError> {
    let ask = async |data: Bytes| {
        wait_for("L1", async || l1.call(facts.proposer, data.clone(), BlockTag::Latest).await).await
    };
    let (backends, threshold) = returns::backends(&ask(calls::backends()).await?)?;
    let next = returns::u64(&ask(calls::last_verified_batch()).await?)? + 1;
    if config.prover_server.dev_mode {
        return if backends.iter().all(|b| b.verifier == UNUSED_VERIFIER) {
            Ok(WantedProofs::default())
        } else {
            Err(StartError::Proofs(format!(
                "prover_server.dev_mode is on, but the contracts want {threshold} proof(s) for every batch; turn it \
                 off, or deploy contracts for dev mode"
            )))
        };
    }
    if !backends.iter().any(|backend| backend.proves(next)) {
        return Err(StartError::Proofs(
            "the contracts were deployed for dev mode and take no proofs; set prover_server.dev_mode = true, or \
             deploy contracts with a verifier"
                .to_owned(),
        ));
    }
    let until = last_verifiable_together(&backends, next);
    if let Some(last) = until {
        tracing::warn!(
            last,
            "the contracts want other proofs after this batch: start the sequencer again when it is verified"
        );
    }
    let mut wanted = WantedProofs {
        policy: ProofPolicy { slots: Vec::new(), threshold: threshold.into() },
        until,
        ..Default::default()
    };
    for backend in &backends {
        if !backend.proves(next) {
            wanted.policy.slots.push(None);
            continue;
        }
        let check = proof_check(config, facts, backend)?;
        let kind = check.prover_type();
        if wanted.policy.kinds().any(|other| other == kind) {
            return Err(StartError::Proofs(format!("the contracts list two backends for {kind} proofs")));
        }
        wanted.policy.slots.push(Some(ProofSlot { kind, required: backend.required }));
        let program_key = ProgramKey(backend.program_key);
        wanted.verifiers.push(ProofVerifier { kind, address: backend.verifier, program_key });
        wanted.checks.push(check);
    }
    Ok(wanted)
}

/// How what RISC Zero's provers hand in is checked.
#[cfg(feature = "risc0")]
fn receipt_check(config: &Config, on_chain: OnChainCheck) -> Result<Arc<dyn ProofCheck>, StartError> {
    use ensemble_risc0::Seals;
    let seals = if config.deployer.risc0_development_verifier {
        tracing::warn!("development receipts of RISC Zero are believed: deployer.risc0_development_verifier");
        Seals::Development
    } else {
        Seals::Groth16
    };
    Ok(Arc::new(ensemble_actors::Risc0Check { on_chain, seals }))
}

/// Without the feature, what is handed in has to be the seal for L1.
#[cfg(not(feature = "risc0"))]
fn receipt_check(config: &Config, on_chain: OnChainCheck) -> Result<Arc<dyn ProofCheck>, StartError> {
    if config.deployer.risc0_development_verifier {
        return Err(StartError::Proofs(
            "deployer.risc0_development_verifier needs a build with the feature `risc0`".to_owned(),
        ));
    }
    Ok(Arc::new(on_chain))
}

/// How the proofs of one backend are checked.
fn proof_check(
    config: &Config,
    facts: &ChainFacts,
    backend: &ScheduledBackend,
) -> Result<Arc<dyn ProofCheck>, StartError> {
    let named = [
        (ProverType::Exec, config.deployer.exec_contract_verifier),
        (ProverType::Risc0, config.deployer.risc0_contract_verifier),
        (ProverType::Sp1, config.deployer.sp1_contract_verifier),
        (ProverType::Pico, config.deployer.pico_contract_verifier),
    ];
    match named.iter().find(|(_, address)| *address == Some(backend.verifier)).map(|(kind, _)| *kind) {
        Some(ProverType::Exec) => {
            let program_key = facts.exec_program_key();
            if backend.program_key != program_key.0 {
                return Err(StartError::Proofs(format!(
                    "the contracts were deployed for exec program {}, this L2's chain configuration gives {}; \
                     check l2.genesis_path and the execution client's genesis",
                    backend.program_key, program_key.0
                )));
            }
            let attesters: BTreeSet<Address> =
                config.deployer.exec_attestation_addresses.iter().copied().collect();
            if attesters.is_empty() {
                return Err(StartError::Proofs(
                    "deployer.exec_attestation_addresses is empty, so no attestation could be checked"
                        .to_owned(),
                ));
            }
            Ok(Arc::new(AttestationCheck {
                domain: AttestationDomain {
                    l1_chain_id: facts.l1_chain_id,
                    verifying_contract: backend.verifier,
                },
                attesters,
                program_key,
            }))
        }
        Some(prover_type @ (ProverType::Risc0 | ProverType::Sp1 | ProverType::Pico)) => {
            let on_chain = OnChainCheck {
                prover_type,
                verifier: backend.verifier,
                program_key: ProgramKey(backend.program_key),
            };
            if prover_type == ProverType::Risc0 {
                return receipt_check(config, on_chain);
            }
            Ok(Arc::new(on_chain))
        }
        None => Err(StartError::Proofs(format!(
            "the contracts want proofs for the verifier at {}, which no deployer.*_contract_verifier names",
            backend.verifier
        ))),
    }
}
