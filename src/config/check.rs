//! What values must be to each other, and which ones a command needs.

use alloy_primitives::{Address, B256, U256, address};
use ensemble_messages::ProverType;

use super::keys::{PROVER, SEQUENCER};
use super::layers::{Config, LoadOptions, Origins, ProverConfig};
use super::problem::{ConfigErrors, Problem, Source};
use super::schema::{Filled, Key, Schema, Shown, Use};
use super::secret::PrivateKey;
use super::url::Endpoint;

/// The verifier's address that means "no proofs of this backend": `SKIPPED_VERIFIER` of `contracts/src/l1/Types.sol`.
pub const UNUSED_VERIFIER: Address = address!("00000000000000000000000000000000000000AA");

/// An account with its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The address.
    pub address: Address,
    /// The key it belongs to.
    pub private_key: PrivateKey,
}

impl Account {
    fn of(key: &PrivateKey) -> Self {
        Self { address: key.address(), private_key: key.clone() }
    }
}

/// What `ensemble run` cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequirements {
    /// `watcher.bridge_address`.
    pub bridge_address: Address,
    /// `proposer.coinbase_address`.
    pub coinbase_address: Address,
    /// `committer.on_chain_proposer_address`.
    pub on_chain_proposer_address: Address,
    /// The account of `committer.l1_private_key`.
    pub committer: Account,
    /// The account of `prover_server.l1_private_key`.
    pub verifier: Account,
}

/// What `ensemble deploy` cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployRequirements {
    /// The account of `deployer.l1_private_key`.
    pub deployer: Account,
    /// `deployer.admin_address`, or the deployer.
    pub admin: Address,
    /// `deployer.guardian_address`, or the administrator.
    pub guardian: Address,
    /// `committer.l1_address`, or the account of its key.
    pub sequencer: Address,
    /// `prover_server.l1_address`, or the account of its key.
    pub prover: Address,
}

/// What `ensemble prover` cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProverRequirements {
    /// `prover_client.prover_server_endpoint`.
    pub endpoint: Endpoint,
    /// With the `exec` backend, what it signs with and for.
    pub attestation: Option<Attestation>,
}

/// What an attestation is signed with and for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// `prover_client.attestation_private_key`.
    pub account: Account,
    /// `prover_client.l1_chain_id`.
    pub l1_chain_id: u64,
    /// `prover_client.attestation_verifier`.
    pub verifier: Address,
}

/// One proof system of the deployment, from `[deployer]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BackendKeys {
    prover: ProverType,
    verifier: Option<Address>,
    deploys: bool,
    program_key: Option<B256>,
}

impl BackendKeys {
    /// Whether its proofs are asked for.
    fn is_used(&self) -> bool {
        self.deploys || self.verifier.is_some_and(|verifier| verifier != UNUSED_VERIFIER)
    }

    fn verifier_key(&self) -> String {
        format!("{}_contract_verifier", self.prover)
    }
}

impl Config {
    /// Loads the configuration and what `ensemble run` needs of it.
    ///
    /// # Errors
    /// All mistakes and all missing keys at once.
    pub fn load_for_run(options: &LoadOptions) -> Result<(Self, RunRequirements), ConfigErrors> {
        let (config, mut problems) = Self::read(options);
        problems.extend(config.missing_for_run());
        ConfigErrors::check(problems)?;
        let needed = config.require_for_run()?;
        Ok((config, needed))
    }

    /// Loads the configuration and what `ensemble deploy` needs of it.
    ///
    /// # Errors
    /// All mistakes and all missing keys at once.
    pub fn load_for_deploy(options: &LoadOptions) -> Result<(Self, DeployRequirements), ConfigErrors> {
        let (config, mut problems) = Self::read(options);
        problems.extend(config.missing_for_deploy());
        ConfigErrors::check(problems)?;
        let needed = config.require_for_deploy()?;
        Ok((config, needed))
    }

    /// Loads the configuration for `ensemble rebuild`, and the address of the on-chain proposer, which it cannot do
    /// without.
    ///
    /// # Errors
    /// All mistakes and all missing keys at once.
    pub fn load_for_rebuild(options: &LoadOptions) -> Result<(Self, Address), ConfigErrors> {
        let (config, mut problems) = Self::read(options);
        let missing = missing(&SEQUENCER, Use::Rebuild, &config.shown(), &config.origins);
        problems.extend(missing.clone());
        ConfigErrors::check(problems)?;
        let proposer = settle(missing, config.committer.on_chain_proposer_address)?;
        Ok((config, proposer))
    }

    /// What `ensemble run` cannot do without.
    ///
    /// # Errors
    /// All missing keys at once.
    pub fn require_for_run(&self) -> Result<RunRequirements, ConfigErrors> {
        let found = || {
            Some(RunRequirements {
                bridge_address: self.watcher.bridge_address?,
                coinbase_address: self.proposer.coinbase_address?,
                on_chain_proposer_address: self.committer.on_chain_proposer_address?,
                committer: Account::of(self.committer.l1_private_key.as_ref()?),
                verifier: Account::of(self.prover_server.l1_private_key.as_ref()?),
            })
        };
        settle(self.missing_for_run(), found())
    }

    /// What `ensemble deploy` cannot do without.
    ///
    /// # Errors
    /// All missing keys at once.
    pub fn require_for_deploy(&self) -> Result<DeployRequirements, ConfigErrors> {
        let found = || {
            let deployer = Account::of(self.deployer.l1_private_key.as_ref()?);
            let admin = self.deployer.admin_address.unwrap_or(deployer.address);
            Some(DeployRequirements {
                admin,
                guardian: self.deployer.guardian_address.unwrap_or(admin),
                deployer,
                sequencer: self.committer_address()?,
                prover: self.verifier_address()?,
            })
        };
        settle(self.missing_for_deploy(), found())
    }

    /// `committer.l1_address`, or the account of `committer.l1_private_key`.
    #[must_use]
    pub fn committer_address(&self) -> Option<Address> {
        self.committer.l1_address.or_else(|| self.committer.l1_private_key.as_ref().map(PrivateKey::address))
    }

    /// `prover_server.l1_address`, or the account of `prover_server.l1_private_key`.
    #[must_use]
    pub fn verifier_address(&self) -> Option<Address> {
        self.prover_server
            .l1_address
            .or_else(|| self.prover_server.l1_private_key.as_ref().map(PrivateKey::address))
    }

    fn missing_for_run(&self) -> Vec<Problem> {
        missing(&SEQUENCER, Use::Run, &self.shown(), &self.origins)
    }

    fn missing_for_deploy(&self) -> Vec<Problem> {
        let mut problems = missing(&SEQUENCER, Use::Deploy, &self.shown(), &self.origins);
        let accounts = [("committer", self.committer_address()), ("prover_server", self.verifier_address())];
        for (section, address) in accounts {
            let mistaken = |name| self.origins.is_mistaken(section, name);
            if address.is_none() && !mistaken("l1_address") && !mistaken("l1_private_key") {
                problems.push(lack(&SEQUENCER, section, "l1_address", Use::Deploy, "is missing"));
            }
        }
        let mut used = 0;
        for backend in self.backends() {
            if !backend.is_used() {
                continue;
            }
            used += 1;
            let key = format!("{}_program_key", backend.prover);
            let known = SEQUENCER.section("deployer").and_then(|section| section.key(&key));
            if let Some(key) = known
                && backend.program_key.is_none()
                && !self.origins.is_mistaken("deployer", key.name)
            {
                let what = format!("is missing, and `{}` asks for its proofs", backend.verifier_key());
                problems.push(lack(&SEQUENCER, "deployer", key.name, Use::Deploy, &what));
            }
        }
        if used == 0 && !self.prover_server.dev_mode {
            problems.push(Problem {
                source: Source::Default,
                key: Some("deployer".to_owned()),
                what: "no proof backend: nothing could ever be verified".to_owned(),
                remedy:
                    "set `exec_attestation_addresses` or a verifier with its program key; for a development \
                         network without proofs set prover_server.dev_mode = true"
                        .to_owned(),
            });
        }
        if let Some(threshold) = self.deployer.proof_threshold
            && threshold > used
            && used > 0
        {
            problems.push(self.problem(
                "deployer",
                "proof_threshold",
                format!("{threshold} proofs are asked for of {used} backends"),
                format!("write a number from 1 to {used}"),
            ));
        }
        problems
    }

    fn backends(&self) -> [BackendKeys; 4] {
        let deployer = &self.deployer;
        ProverType::ALL.map(|prover| {
            let (verifier, deploys, program_key) = match prover {
                ProverType::Exec => {
                    (deployer.exec_contract_verifier, !deployer.exec_attestation_addresses.is_empty(), None)
                }
                ProverType::Risc0 => (
                    deployer.risc0_contract_verifier,
                    deployer.risc0_deploy_verifier || deployer.risc0_development_verifier,
                    deployer.risc0_program_key,
                ),
                ProverType::Sp1 => {
                    (deployer.sp1_contract_verifier, deployer.sp1_deploy_verifier, deployer.sp1_program_key)
                }
                ProverType::Pico => (
                    deployer.pico_contract_verifier,
                    deployer.pico_deploy_verifier,
                    deployer.pico_program_key,
                ),
            };
            BackendKeys { prover, verifier, deploys, program_key }
        })
    }

    fn problem(&self, section: &'static str, name: &'static str, what: String, remedy: String) -> Problem {
        Problem {
            source: self.origins.source(section, name),
            key: Some(format!("{section}.{name}")),
            what,
            remedy,
        }
    }

    /// Values that are right by themselves and wrong together.
    pub(super) fn relations(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let accounts = [
            ("deployer", self.deployer.l1_address, &self.deployer.l1_private_key),
            ("committer", self.committer.l1_address, &self.committer.l1_private_key),
            ("prover_server", self.prover_server.l1_address, &self.prover_server.l1_private_key),
        ];
        for (section, address, key) in accounts {
            if let (Some(address), Some(key)) = (address, key)
                && address != key.address()
            {
                problems.push(self.problem(
                    section,
                    "l1_address",
                    format!(
                        "{address} is not the account of {section}.l1_private_key, which is {}",
                        key.address()
                    ),
                    "correct the one that is wrong, or remove the address: the key is enough".to_owned(),
                ));
            }
        }
        if let (Some(committer), Some(verifier)) = (self.committer_address(), self.verifier_address())
            && committer == verifier
        {
            let name = if self.prover_server.l1_address.is_some() { "l1_address" } else { "l1_private_key" };
            problems.push(self.problem(
                "prover_server",
                name,
                format!("{verifier} is the account of [committer], too"),
                "use another account: two senders on one account take each other's nonces".to_owned(),
            ));
        }
        self.zero_and_equal_addresses(&mut problems);
        self.backend_relations(&mut problems);

        if let (Some(l1), Some(l2)) = (self.eth.chain_id, self.l2.chain_id)
            && l1 == l2
        {
            problems.push(
                self.problem(
                    "l2",
                    "chain_id",
                    format!("{l2} is the chain id of L1, too"),
                    "give the L2 an id of its own: transactions of one chain would be valid on the other"
                        .to_owned(),
                ),
            );
        }
        if self.eth.max_priority_fee_per_gas_gwei > self.eth.max_fee_per_gas_gwei {
            problems.push(self.problem(
                "eth",
                "max_priority_fee_per_gas_gwei",
                format!(
                    "{} is above eth.max_fee_per_gas_gwei, which is {}",
                    self.eth.max_priority_fee_per_gas_gwei, self.eth.max_fee_per_gas_gwei
                ),
                "a tip is part of the fee (EIP-1559): lower it, or raise the other".to_owned(),
            ));
        }
        let floor = u128::from(self.committer.arbitrary_base_blob_gas_price);
        if floor > self.eth.max_fee_per_blob_gas_gwei.wei() {
            problems.push(self.problem(
                "committer",
                "arbitrary_base_blob_gas_price",
                format!(
                    "{floor} wei is above eth.max_fee_per_blob_gas_gwei, which is {}",
                    self.eth.max_fee_per_blob_gas_gwei
                ),
                "lower it, or raise the other".to_owned(),
            ));
        }
        let (block, batch) = (self.proposer.max_deposits_per_block, self.committer.max_batch_deposits);
        if block > batch {
            problems.push(self.problem(
                "committer",
                "max_batch_deposits",
                format!("{batch} is below proposer.max_deposits_per_block, which is {block}"),
                "raise it, or lower the other: a full block would fit into no batch".to_owned(),
            ));
        }
        let (server, admin) = (&self.prover_server, &self.admin);
        let same_ip = server.listen_ip == admin.listen_ip
            || (server.listen_ip.is_ipv4() == admin.listen_ip.is_ipv4()
                && (server.listen_ip.is_unspecified() || admin.listen_ip.is_unspecified()));
        if admin.enabled && same_ip && server.listen_port == admin.listen_port {
            problems.push(self.problem(
                "admin",
                "listen_port",
                format!("{} is the port of the prover server, too", admin.listen_port),
                "give one of them another port".to_owned(),
            ));
        }
        let missing = match (&server.tls_cert_path, &server.tls_key_path, &server.tls_client_ca_path) {
            (Some(_), None, _) => Some(("tls_cert_path", "tls_key_path")),
            (None, Some(_), _) => Some(("tls_key_path", "tls_cert_path")),
            (None, None, Some(_)) => Some(("tls_client_ca_path", "tls_cert_path and tls_key_path")),
            (Some(_), Some(_), _) | (None, None, None) => None,
        };
        if let Some((name, other)) = missing {
            problems.push(self.problem(
                "prover_server",
                name,
                format!("has no {other} with it"),
                format!("set {other}, or remove the line: TLS needs certificate and key"),
            ));
        }
        problems
    }

    fn zero_and_equal_addresses(&self, problems: &mut Vec<Problem>) {
        let bridge = self.watcher.bridge_address;
        let proposer = self.committer.on_chain_proposer_address;
        let contracts =
            [("watcher", "bridge_address", bridge), ("committer", "on_chain_proposer_address", proposer)];
        for (section, name, address) in contracts {
            if address.is_some_and(|address| address.is_zero()) {
                problems.push(self.problem(
                    section,
                    name,
                    "is the zero address, which is no contract".to_owned(),
                    "write the address that `ensemble deploy` printed, or remove the line".to_owned(),
                ));
            }
        }
        if bridge.is_some() && bridge == proposer && !bridge.is_some_and(|address| address.is_zero()) {
            problems.push(self.problem(
                "committer",
                "on_chain_proposer_address",
                "is the address of the bridge, too".to_owned(),
                "write the two addresses that `ensemble deploy` printed".to_owned(),
            ));
        }
    }

    fn backend_relations(&self, problems: &mut Vec<Problem>) {
        if !self.prover_server.dev_mode && !self.origins.is_mistaken("prover_server", "dev_mode") {
            for backend in self.backends() {
                let name = backend.verifier_key();
                let known = SEQUENCER.section("deployer").and_then(|section| section.key(&name));
                if let Some(key) = known
                    && backend.verifier == Some(UNUSED_VERIFIER)
                {
                    problems.push(self.problem(
                        "deployer",
                        key.name,
                        format!("{UNUSED_VERIFIER} stands for no verification, which contracts refuse without dev mode"),
                        "write the verifier's address, remove the line if these proofs are not asked for, or set \
                         prover_server.dev_mode = true on a development network"
                            .to_owned(),
                    ));
                }
            }
        }
        let signers = &self.deployer.exec_attestation_addresses;
        let mut sorted = signers.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            problems.push(self.problem(
                "deployer",
                "exec_attestation_addresses",
                format!("{} is there twice", pair[0]),
                "name each account once".to_owned(),
            ));
        }
        if sorted.first().is_some_and(|address| address.is_zero()) {
            problems.push(self.problem(
                "deployer",
                "exec_attestation_addresses",
                "has the zero address, which nobody can sign for".to_owned(),
                "remove it".to_owned(),
            ));
        }
        let count = U256::from(signers.len());
        if let Some(threshold) = self.deployer.exec_threshold
            && U256::from(threshold) > count
            && !self.origins.is_mistaken("deployer", "exec_attestation_addresses")
        {
            problems.push(self.problem(
                "deployer",
                "exec_threshold",
                format!(
                    "{threshold} signatures are asked for of {count} accounts in exec_attestation_addresses"
                ),
                "lower it, or name more accounts".to_owned(),
            ));
        }
    }

    /// What is allowed and probably not meant.
    pub(super) fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        let server = &self.prover_server;
        if !server.listen_ip.is_loopback()
            && server.auth_token.is_none()
            && server.tls_client_ca_path.is_none()
            && !server.dev_mode
        {
            risks.push(format!(
                "prover_server.listen_ip = {} without prover_server.auth_token: whoever reaches the port gets work",
                server.listen_ip
            ));
        }
        if !server.listen_ip.is_loopback() && server.tls_cert_path.is_none() && server.auth_token.is_some() {
            risks.push(format!(
                "prover_server.listen_ip = {} without prover_server.tls_cert_path: the token goes over the wire in clear",
                server.listen_ip
            ));
        }
        if self.admin.enabled && !self.admin.listen_ip.is_loopback() {
            risks.push(format!(
                "admin.listen_ip = {}: the admin server has no authentication, keep it behind a proxy",
                self.admin.listen_ip
            ));
        }
        if self.proposer.coinbase_address.is_some_and(|address| address.is_zero()) {
            risks.push("proposer.coinbase_address is the zero address: execution fees are lost".to_owned());
        }
        risks
    }
}

impl ProverConfig {
    /// Loads the configuration and what `ensemble prover` needs of it.
    ///
    /// # Errors
    /// All mistakes and all missing keys at once.
    pub fn load_for_prover(options: &LoadOptions) -> Result<(Self, ProverRequirements), ConfigErrors> {
        let (config, mut problems) = Self::read(options);
        problems.extend(config.missing());
        ConfigErrors::check(problems)?;
        let needed = config.require_for_prover()?;
        Ok((config, needed))
    }

    /// What `ensemble prover` cannot do without.
    ///
    /// # Errors
    /// All missing keys at once.
    pub fn require_for_prover(&self) -> Result<ProverRequirements, ConfigErrors> {
        let endpoint = self.client.prover_server_endpoint.clone();
        let found = || match self.client.backend {
            ProverType::Exec if self.client.command.is_none() => {
                let attestation = Attestation {
                    account: Account::of(self.client.attestation_private_key.as_ref()?),
                    l1_chain_id: self.client.l1_chain_id?,
                    verifier: self.client.attestation_verifier?,
                };
                Some(ProverRequirements { endpoint, attestation: Some(attestation) })
            }
            ProverType::Exec | ProverType::Risc0 | ProverType::Sp1 | ProverType::Pico => {
                Some(ProverRequirements { endpoint, attestation: None })
            }
        };
        settle(self.missing(), found())
    }

    fn missing(&self) -> Vec<Problem> {
        match self.client.backend {
            ProverType::Exec
                if self.client.command.is_none() && !self.origins.is_mistaken("prover_client", "backend") =>
            {
                missing(&PROVER, Use::Prover, &self.client.shown(), &self.origins)
            }
            ProverType::Exec | ProverType::Risc0 | ProverType::Sp1 | ProverType::Pico => Vec::new(),
        }
    }
}

/// The requirements, or all that is missing.
fn settle<T>(problems: Vec<Problem>, found: Option<T>) -> Result<T, ConfigErrors> {
    ConfigErrors::check(problems)?;
    found.ok_or_else(|| {
        ConfigErrors::new(vec![Problem {
            source: Source::Default,
            key: None,
            what: "a value that is needed is missing".to_owned(),
            remedy: "`ensemble config show` tells which keys have no value".to_owned(),
        }])
    })
}

/// The keys that a command needs and that have no value; those with a wrong value were reported already.
fn missing(schema: &'static Schema, command: Use, shown: &[Shown], origins: &Origins) -> Vec<Problem> {
    let has_value =
        |key: &Key| shown.iter().any(|s| s.section == key.section && s.name == key.name && s.value.is_some());
    schema
        .keys()
        .filter(|(_, key)| key.needed.contains(&command) && !has_value(key))
        .filter(|(section, key)| !origins.is_mistaken(section.name, key.name))
        .map(|(section, key)| lack(schema, section.name, key.name, command, "is missing"))
        .collect()
}

fn lack(schema: &Schema, section: &str, name: &str, command: Use, what: &str) -> Problem {
    let variable = schema
        .section(section)
        .and_then(|section| section.key(name).map(|key| section.variables(key)))
        .and_then(|variables| variables.into_iter().next())
        .unwrap_or_default();
    Problem {
        source: Source::Default,
        key: Some(format!("{section}.{name}")),
        what: format!("{what} (`ensemble {}` needs it)", command.command()),
        remedy: format!("set `{name}` in [{section}], or the variable {variable}"),
    }
}
