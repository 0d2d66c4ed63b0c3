//! Deploys the contracts on L1.
//!
//! Every address follows from the deployer's account, the salt, and what is deployed, so a second run finds what is
//! there and deploys only what is missing. The order: a factory (CREATE2 by the well-known deployment proxy where
//! the L1 has it), the attestation verifier, the proposer's code, the proposer's proxy, the bridge's code, the
//! bridge's proxy. Proxies are initialised by the transaction that creates them. Bridge and proposer hold each
//! other's address in their code; the bridge's address is therefore fixed beforehand by the factory.

use std::{path::Path, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256, address};
use ensemble_batch::{BatchHeader, ProgramKey};
use ensemble_contracts::{
    Backend, ContractError, VerifierKind, bytecode, calls,
    create2::create2_address,
    deploy::{Accounts, Attestation, DeploymentConfig, L2Genesis, ProposerSettings, plan},
    returns, verifiers,
};
use ensemble_error::{Classify, Severity};
use ensemble_l1::{BlockTag, L1Client, Wallet};
use ensemble_messages::ProverType;

use crate::{
    L2Facts, StartError,
    account::{Account, AccountError, Call},
    config::{Config, ConfigErrors, DataAvailability, EnvFileError, UNUSED_VERIFIER, update_env_file},
    execution_client, l1_client, l2_facts,
    startup::l1_chain,
};

/// The deterministic deployment proxy that most chains have (EIP-2470's predecessor, by its presigned transaction).
const DEPLOYMENT_PROXY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");
/// How long one deployment may take to be mined.
const LIMIT: Duration = Duration::from_secs(600);
/// How many of the deployer's first transactions are searched for a factory deployed by plain CREATE.
const FACTORY_SEARCH: u64 = 64;

/// Why the deployment failed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The configuration is wrong or incomplete.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The chains are not what they should be.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A transaction failed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// L1 failed.
    #[error("L1: {0}")]
    L1(#[from] ensemble_l1::L1Error),
    /// The deployer's key cannot be used.
    #[error("deployer.l1_private_key: {0}")]
    Key(#[from] ensemble_l1::WalletError),
    /// A contract answered something unreadable.
    #[error("contract: {0}")]
    Contract(#[from] ContractError),
    /// The deployer has nothing to pay with.
    #[error(
        "the deployer {0} has no ETH on L1; send it some (the whole deployment takes about 5 million gas)"
    )]
    NoFunds(Address),
    /// A transaction succeeded but left no contract.
    #[error("{what} is not at {address} after transaction {transaction}")]
    NotThere {
        /// What was deployed.
        what: &'static str,
        /// Where it should be.
        address: Address,
        /// The transaction.
        transaction: B256,
    },
    /// Something else is at the address.
    #[error(
        "the contract at {address} was initialised for another L2 or with other accounts; set deployer.salt_is_zero = false for a new address"
    )]
    OtherDeployment {
        /// The address.
        address: Address,
    },
    /// The `.env` file cannot be written.
    #[error("{0}")]
    EnvFile(#[from] EnvFileError),
}

impl Classify for DeployError {
    fn severity(&self) -> Severity {
        match self {
            Self::Account(e) => e.severity(),
            Self::L1(e) => e.severity(),
            Self::NoFunds(_) | Self::EnvFile(_) => Severity::Recoverable,
            Self::Config(_)
            | Self::Start(_)
            | Self::Key(_)
            | Self::Contract(_)
            | Self::NotThere { .. }
            | Self::OtherDeployment { .. } => Severity::Fatal,
        }
    }
}

/// One contract of the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployStep {
    /// What it is.
    pub what: &'static str,
    /// Where it is.
    pub address: Address,
    /// The transaction that deployed it, none when it was there already.
    pub transaction: Option<B256>,
    /// Gas used.
    pub gas_used: u64,
    /// Its place among the steps, from 1.
    pub number: usize,
    /// How many steps there are.
    pub of: usize,
}

impl std::fmt::Display for DeployStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}/{}] {:<30} {}", self.number, self.of, self.what, self.address)?;
        match self.transaction {
            Some(hash) => write!(f, "  tx {hash}  {} gas", self.gas_used),
            None => f.write_str("  was there already"),
        }
    }
}

/// What was deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// L1 chain id.
    pub l1_chain_id: u64,
    /// L2 chain id.
    pub l2_chain_id: u64,
    /// `CommonBridge` proxy.
    pub bridge: Address,
    /// `OnChainProposer` proxy.
    pub proposer: Address,
    /// Verifier of `exec` proofs, when they are wanted.
    pub exec_verifier: Option<Address>,
    /// Verifiers of zkVM proofs that are wanted.
    pub verifiers: Vec<(ProverType, Address)>,
    /// L1 block of the bridge's deployment, when this run made it.
    pub l1_block: Option<u64>,
    /// Gas of all transactions of this run.
    pub gas_used: u64,
}

impl Deployment {
    /// Writes the addresses into a configuration.
    pub fn apply_to(&self, config: &mut Config) {
        config.watcher.bridge_address = Some(self.bridge);
        config.watcher.start_block = self.l1_block.or(config.watcher.start_block);
        config.committer.on_chain_proposer_address = Some(self.proposer);
        if let Some(verifier) = self.exec_verifier {
            config.deployer.exec_contract_verifier = Some(verifier);
        }
        for (kind, verifier) in &self.verifiers {
            let key = match kind {
                ProverType::Exec => &mut config.deployer.exec_contract_verifier,
                ProverType::Risc0 => &mut config.deployer.risc0_contract_verifier,
                ProverType::Sp1 => &mut config.deployer.sp1_contract_verifier,
                ProverType::Pico => &mut config.deployer.pico_contract_verifier,
            };
            *key = Some(*verifier);
        }
    }

    /// Writes the addresses into a `.env` file, leaving its other lines as they are.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn write_env(&self, path: &Path) -> Result<(), DeployError> {
        let (bridge, proposer) = (self.bridge.to_string(), self.proposer.to_string());
        let verifier = self.exec_verifier.map(|v| v.to_string());
        let start_block = self.l1_block.map(|b| b.to_string());
        let mut values = vec![
            ("L1_WATCHER_BRIDGE_ADDRESS", bridge.as_str()),
            ("COMMITTER_ON_CHAIN_PROPOSER_ADDRESS", proposer.as_str()),
        ];
        if let Some(verifier) = &verifier {
            values.push(("DEPLOYER_EXEC_CONTRACT_VERIFIER", verifier));
        }
        let verifiers: Vec<_> = self
            .verifiers
            .iter()
            .map(|(kind, address)| {
                let variable = match kind {
                    ProverType::Exec => "DEPLOYER_EXEC_CONTRACT_VERIFIER",
                    ProverType::Risc0 => "DEPLOYER_RISC0_CONTRACT_VERIFIER",
                    ProverType::Sp1 => "DEPLOYER_SP1_CONTRACT_VERIFIER",
                    ProverType::Pico => "DEPLOYER_PICO_CONTRACT_VERIFIER",
                };
                (variable, address.to_string())
            })
            .collect();
        values.extend(verifiers.iter().map(|(variable, address)| (*variable, address.as_str())));
        if let Some(block) = &start_block {
            values.push(("L1_WATCHER_START_BLOCK", block));
        }
        update_env_file(path, &values)?;
        Ok(())
    }
}

struct Deployer<'a, P> {
    account: Account,
    l1: Arc<dyn L1Client>,
    progress: &'a P,
    factory: Address,
    salt: B256,
    done: usize,
    of: usize,
    gas_used: u64,
}

impl<P: Fn(&DeployStep)> Deployer<'_, P> {
    async fn there(&self, address: Address) -> Result<bool, DeployError> {
        Ok(!self.l1.code(address).await?.is_empty())
    }

    fn report(&mut self, what: &'static str, address: Address, receipt: Option<&ensemble_l1::TxReceipt>) {
        self.done += 1;
        let gas_used = receipt.map_or(0, |r| r.gas_used);
        self.gas_used += gas_used;
        (self.progress)(&DeployStep {
            what,
            address,
            transaction: receipt.map(|r| r.transaction_hash),
            gas_used,
            number: self.done,
            of: self.of,
        });
    }

    /// Makes sure that a contract is at its address. Gives the L1 block when it was not.
    async fn ensure(
        &mut self,
        what: &'static str,
        address: Address,
        call: Call,
    ) -> Result<Option<u64>, DeployError> {
        if self.there(address).await? {
            self.report(what, address, None);
            return Ok(None);
        }
        let receipt = self.account.transact(&call, LIMIT).await?;
        if !self.there(address).await? {
            return Err(DeployError::NotThere { what, address, transaction: receipt.transaction_hash });
        }
        self.report(what, address, Some(&receipt));
        Ok(Some(receipt.block_number))
    }

    /// A verifier with the committed key. What is at its address already must have that key.
    async fn verifier(&mut self, kind: VerifierKind) -> Result<Address, DeployError> {
        let address = self.step(verifiers::deployment(self.factory, self.salt, kind)).await?;
        let answer = self.l1.call(address, calls::verifier_key_hash(), BlockTag::Latest).await?;
        if returns::b256(&answer)? == verifiers::key_hash(kind) {
            Ok(address)
        } else {
            Err(DeployError::OtherDeployment { address })
        }
    }

    async fn step(
        &mut self,
        step: ensemble_contracts::deploy::DeploymentStep,
    ) -> Result<Address, DeployError> {
        let call = Call { to: Some(self.factory), value: U256::ZERO, data: step.data };
        self.ensure(step.name, step.address, call).await?;
        Ok(step.address)
    }

    /// The factory: by the deployment proxy where there is one, else by the deployer's own CREATE.
    async fn factory(&mut self) -> Result<(), DeployError> {
        let code = bytecode::deterministic_deployer();
        if self.there(DEPLOYMENT_PROXY).await? {
            let data: Bytes = [self.salt.as_slice(), &code].concat().into();
            self.factory = create2_address(DEPLOYMENT_PROXY, self.salt, &code);
            let call = Call { to: Some(DEPLOYMENT_PROXY), value: U256::ZERO, data };
            self.ensure("DeterministicDeployer", self.factory, call).await?;
            return Ok(());
        }
        let (me, next) = (self.account.address(), self.account.nonce().await?);
        let runtime = bytecode::deterministic_deployer_runtime();
        for nonce in 0..next.min(FACTORY_SEARCH) {
            let address = me.create(nonce);
            if self.l1.code(address).await? == runtime {
                self.factory = address;
                self.report("DeterministicDeployer", address, None);
                return Ok(());
            }
        }
        self.factory = me.create(next);
        let call = Call { to: None, value: U256::ZERO, data: code };
        self.ensure("DeterministicDeployer", self.factory, call).await?;
        Ok(())
    }
}

/// A zkVM whose proofs the configuration wants.
struct Zkvm {
    kind: ProverType,
    /// What is deployed when there is no address.
    contract: VerifierKind,
    verifier: Option<Address>,
    program_key: Option<B256>,
}

impl Zkvm {
    fn deploys(&self) -> bool {
        self.verifier.is_none()
    }
}

/// In the order in which the contract lists them. An address goes before a wish to deploy.
fn zkvms(config: &Config) -> Vec<Zkvm> {
    let d = &config.deployer;
    let all = [
        (
            ProverType::Risc0,
            VerifierKind::Risc0,
            d.risc0_contract_verifier,
            d.risc0_deploy_verifier || d.risc0_development_verifier,
            d.risc0_program_key,
        ),
        (
            ProverType::Sp1,
            VerifierKind::Sp1,
            d.sp1_contract_verifier,
            d.sp1_deploy_verifier,
            d.sp1_program_key,
        ),
        (
            ProverType::Pico,
            VerifierKind::Pico,
            d.pico_contract_verifier,
            d.pico_deploy_verifier,
            d.pico_program_key,
        ),
    ];
    all.into_iter()
        .map(|(kind, contract, verifier, deploys, program_key)| {
            let verifier = verifier.filter(|v| *v != UNUSED_VERIFIER);
            (deploys, Zkvm { kind, contract, verifier, program_key })
        })
        .filter(|(deploys, zkvm)| *deploys || zkvm.verifier.is_some())
        .map(|(_, zkvm)| zkvm)
        .collect()
}

/// Deploys what is missing; `progress` hears of each contract.
///
/// # Errors
/// See [`DeployError`].
pub async fn deploy<P: Fn(&DeployStep)>(config: &Config, progress: P) -> Result<Deployment, DeployError> {
    let needed = config.require_for_deploy()?;
    let l1 = l1_client(config)?;
    let chain_id = l1_chain(config, &l1).await?;
    let wallet = Arc::new(Wallet::from_hex(needed.deployer.private_key.expose_hex().to_string())?);
    if l1.balance(wallet.address()).await?.is_zero() {
        return Err(DeployError::NoFunds(wallet.address()));
    }
    let dev_mode = config.prover_server.dev_mode;
    let engine = execution_client(config)?;
    let l2 = l2_facts(config, &engine, !dev_mode).await?;

    if let Some(found) = existing(config, &l1, &l2, chain_id).await? {
        return Ok(found);
    }

    let zkvms = if dev_mode { Vec::new() } else { zkvms(config) };
    let deploys_verifier = !dev_mode
        && config.deployer.exec_contract_verifier.is_none()
        && !config.deployer.exec_attestation_addresses.is_empty();
    let salt = if config.deployer.salt_is_zero { B256::ZERO } else { B256::from(rand::random::<[u8; 32]>()) };
    let mut deployer = Deployer {
        account: Account::new(Arc::clone(&l1), wallet).await?,
        l1: Arc::clone(&l1),
        progress: &progress,
        factory: Address::ZERO,
        salt,
        done: 0,
        of: 5 + usize::from(deploys_verifier) + zkvms.iter().filter(|zkvm| zkvm.deploys()).count(),
        gas_used: 0,
    };
    deployer.factory().await?;

    let exec_key = ProgramKey::exec(&l2.chain_config).0;
    // In the order in which the sequencer sends the proofs; an attestation verifier that is deployed comes last.
    let mut backends = Vec::new();
    let mut verifiers = Vec::new();
    for zkvm in &zkvms {
        let verifier = match zkvm.verifier {
            Some(verifier) => verifier,
            None if zkvm.kind == ProverType::Risc0 && config.deployer.risc0_development_verifier => {
                deployer.step(verifiers::risc0_development(deployer.factory, deployer.salt)).await?
            }
            None => deployer.verifier(zkvm.contract).await?,
        };
        verifiers.push((zkvm.kind, verifier));
        if let Some(program_key) = zkvm.program_key {
            backends.push(Backend { verifier, required: true, program_key });
        }
    }
    if let Some(verifier) =
        config.deployer.exec_contract_verifier.filter(|v| !dev_mode && *v != UNUSED_VERIFIER)
    {
        backends.push(Backend { verifier, required: true, program_key: exec_key });
    }
    let count = backends.len() + usize::from(deploys_verifier);
    let threshold = match config.deployer.proof_threshold {
        Some(threshold) if count > 0 => usize::try_from(threshold).unwrap_or(usize::MAX),
        Some(_) | None => count,
    };
    // With k of n, any k will do.
    let required = threshold >= count;
    backends.iter_mut().for_each(|backend| backend.required = required);
    let threshold = u8::try_from(threshold).unwrap_or(u8::MAX);
    let plan = plan(&DeploymentConfig {
        factory: deployer.factory,
        deployer: deployer.account.address(),
        salt,
        settings: ProposerSettings {
            dev_mode: dev_mode || config.deployer.risc0_development_verifier,
            require_blobs: matches!(config.committer.da, DataAvailability::Blob),
            max_deposit_wait: config.deployer.max_deposit_wait_s,
            seal_window: config.deployer.seal_window_s,
        },
        accounts: Accounts {
            admin: needed.admin,
            guardian: needed.guardian,
            sequencer: needed.sequencer,
            prover: needed.prover,
        },
        genesis: L2Genesis {
            chain_id: l2.chain_id,
            state_root: l2.genesis_state_root,
            block_hash: l2.genesis_hash,
        },
        backends,
        threshold,
        attestation: deploys_verifier.then(|| Attestation {
            signers: config.deployer.exec_attestation_addresses.clone(),
            threshold: config.deployer.exec_threshold.unwrap_or(1),
            required,
            program_key: exec_key,
        }),
        timelock: None,
    })?;
    let mut l1_block = None;
    for step in &plan.steps {
        let call = Call { to: Some(deployer.factory), value: U256::ZERO, data: step.data.clone() };
        let deployed_in = deployer.ensure(step.name, step.address, call).await?;
        if step.address == plan.bridge {
            l1_block = deployed_in;
        }
    }
    check_pair(&l1, &l2, chain_id, plan.proposer, plan.bridge).await?;
    Ok(Deployment {
        l1_chain_id: chain_id,
        l2_chain_id: l2.chain_id,
        bridge: plan.bridge,
        proposer: plan.proposer,
        exec_verifier: plan
            .attestation_verifier
            .or(config.deployer.exec_contract_verifier.filter(|_| !dev_mode)),
        verifiers,
        l1_block,
        gas_used: deployer.gas_used,
    })
}

/// The contracts that the configuration names, when they are there and are this L2's.
async fn existing(
    config: &Config,
    l1: &Arc<dyn L1Client>,
    l2: &L2Facts,
    chain_id: u64,
) -> Result<Option<Deployment>, DeployError> {
    let named = (config.committer.on_chain_proposer_address, config.watcher.bridge_address);
    let (Some(proposer), Some(bridge)) = named else { return Ok(None) };
    if l1.code(proposer).await?.is_empty() || l1.code(bridge).await?.is_empty() {
        return Ok(None);
    }
    check_pair(l1, l2, chain_id, proposer, bridge).await?;
    let exec_verifier = config.deployer.exec_contract_verifier.filter(|_| !config.prover_server.dev_mode);
    Ok(Some(Deployment {
        l1_chain_id: chain_id,
        l2_chain_id: l2.chain_id,
        bridge,
        proposer,
        exec_verifier,
        verifiers: Vec::new(),
        l1_block: None,
        gas_used: 0,
    }))
}

/// Checks that bridge and proposer belong to each other and to this L2: with a fixed salt, another deployment may
/// be at their addresses.
async fn check_pair(
    l1: &Arc<dyn L1Client>,
    l2: &L2Facts,
    chain_id: u64,
    proposer: Address,
    bridge: Address,
) -> Result<(), DeployError> {
    let header =
        BatchHeader::genesis(chain_id, proposer, l2.chain_id, l2.genesis_state_root, l2.genesis_hash);
    let genesis = returns::b256(&l1.call(proposer, calls::committed_hash(0), BlockTag::Latest).await?)?;
    if genesis != header.hash() {
        return Err(DeployError::OtherDeployment { address: proposer });
    }
    let of_bridge = returns::address(&l1.call(bridge, calls::bridge_proposer(), BlockTag::Latest).await?)?;
    if of_bridge != proposer {
        return Err(DeployError::OtherDeployment { address: bridge });
    }
    Ok(())
}
