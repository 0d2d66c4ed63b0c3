//! The command line.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use alloy_primitives::{Address, B256, U256};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{LoadOptions, RpcUrl, Secret};

/// The `ensemble` program.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "ensemble",
    version,
    about = "Actor-model L2 sequencer",
    long_about = "Ensemble sequences an L2: it builds blocks with an execution client over the Engine API, includes \
                  the deposits of L1, commits batches to L1 and has them proven.",
    after_help = "Examples:\n  \
                  ensemble config init                       write a configuration with every key and its help\n  \
                  ensemble config check --for run            all mistakes at once, before a start\n  \
                  ensemble deploy                            deploy the contracts, write their addresses to .env\n  \
                  ensemble run --set proposer.interval_ms=2000\n  \
                  ensemble deposit --amount 1.5ether --private-key 0x… --bridge 0x…",
    propagate_version = true,
    arg_required_else_help = true,
    subcommand_required = true
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Configuration file (TOML).
    ///
    /// Without it: $CONFIGS_PATH/$SEQUENCER_CONFIG_FILE, by default configs/sequencer_config.toml
    /// (`ensemble prover`: $PROVER_CLIENT_CONFIG_FILE, configs/prover_client_config.toml).
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// File with variables, read before the environment.
    ///
    /// Without it: $ENV_FILE, by default .env (`ensemble prover`: $PROVER_ENV_FILE, .env.prover).
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Option<PathBuf>,

    /// Sets any key of the configuration, over all files and variables. Once per key.
    ///
    /// `ensemble config show` lists the keys. Lists are separated by commas. Secrets belong into the environment:
    /// flags show in the list of processes.
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<SetFlag>,

    /// Form of log lines.
    #[arg(long, global = true, value_name = "FORMAT", env = "ENSEMBLE_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// What is logged: a level, or a filter such as info,ensemble_actors=debug.
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log_level: String,
}

impl GlobalArgs {
    /// Where the layers of the configuration come from, with what a command's own flags set in `overrides`
    /// (`--set` wins over them).
    #[must_use]
    pub fn load_options(&self, overrides: Vec<(String, String)>) -> LoadOptions {
        let set = self.set.iter().map(|flag| (flag.key.clone(), flag.value.expose().to_owned()));
        LoadOptions {
            file: self.config.clone(),
            env_file: self.env_file.clone(),
            flags: overrides.into_iter().chain(set).collect(),
            ..LoadOptions::from_process()
        }
    }
}

/// One `--set` flag. The value may be a secret, so `Debug` hides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFlag {
    /// `section.key`.
    pub key: String,
    /// The value.
    pub value: Secret,
}

/// Why a `--set` flag is none. Does not repeat the text, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected section.key=value")]
pub struct InvalidSetFlag;

impl FromStr for SetFlag {
    type Err = InvalidSetFlag;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or(InvalidSetFlag)?;
        Ok(Self { key: key.trim().to_owned(), value: Secret::new(value) })
    }
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the sequencer.
    Run(RunArgs),
    /// Make the batches of a lost or old store again, from L1 and the execution client.
    Repair(RepairArgs),
    /// Replay the L2 from L1 alone into an execution client.
    Rebuild(RebuildArgs),
    /// Deploy the contracts on L1.
    Deploy(DeployArgs),
    /// Run a prover client.
    Prover(ProverArgs),
    /// Write, check or show the configuration.
    Config(ConfigArgs),
    /// Show how the components of a running sequencer are.
    Status(StatusArgs),
    /// Deposit ether from L1 to the L2.
    Deposit(DepositArgs),
    /// Start a withdrawal of ether from the L2 to L1.
    Withdraw(WithdrawArgs),
    /// Claim the withdrawals of a transaction on L1, once their batch is verified.
    Claim(ClaimArgs),
}

/// `key = value` of each flag that is given.
fn overrides<const N: usize>(flags: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    flags.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), value))).collect()
}

/// URLs as one loose text.
fn joined(urls: &[RpcUrl]) -> Option<String> {
    (!urls.is_empty()).then(|| urls.iter().map(RpcUrl::expose).collect::<Vec<_>>().join(","))
}

/// `ensemble run`
#[derive(Args, Clone, Debug, Default)]
#[command(
    long_about = "Runs the sequencer: L1 watcher, block producer, L1 committer, prover server and admin server, under \
                  supervision. Ctrl-C and SIGTERM stop it in order.",
    after_help = "Examples:\n  \
                  ensemble run\n  \
                  ensemble run --config /etc/ensemble/sequencer.toml --log-format json\n  \
                  ensemble run --l1-rpc http://localhost:8545 --auth-url http://localhost:8551 --jwt ./jwt.hex\n\n\
                  Exit codes: 0 stopped, 2 wrong command line or configuration, 70 a component failed for good."
)]
pub struct RunArgs {
    /// JSON-RPC URL of L1; more than one for fail-over [key: eth.rpc_url] [env: ETH_RPC_URL].
    #[arg(long, value_name = "URL", value_parser = UrlParser, value_delimiter = ',')]
    pub l1_rpc: Vec<RpcUrl>,
    /// Engine API URL of the execution client [key: engine.auth_url] [env: ENGINE_API_AUTH_URL].
    #[arg(long, value_name = "URL", value_parser = UrlParser)]
    pub auth_url: Option<RpcUrl>,
    /// File with the JWT secret of the Engine API [key: engine.jwt_path] [env: ENGINE_API_JWT_PATH].
    #[arg(long, value_name = "FILE")]
    pub jwt: Option<PathBuf>,
    /// SQLite file of the durable state [key: store.url] [env: STORE_URL].
    #[arg(long, value_name = "PATH or URL")]
    pub store: Option<Secret>,
    /// Verify batches without proofs [key: prover_server.dev_mode] [env: PROVER_SERVER_DEV_MODE].
    #[arg(long)]
    pub dev_mode: bool,
}

impl RunArgs {
    /// The keys that the flags set.
    #[must_use]
    pub fn overrides(&self) -> Vec<(String, String)> {
        overrides([
            ("eth.rpc_url", joined(&self.l1_rpc)),
            ("engine.auth_url", self.auth_url.as_ref().map(|url| url.expose().to_owned())),
            ("engine.jwt_path", self.jwt.as_ref().map(|path| path.display().to_string())),
            ("store.url", self.store.as_ref().map(|store| store.expose().to_owned())),
            ("prover_server.dev_mode", self.dev_mode.then(|| "true".to_owned())),
        ])
    }
}

/// `ensemble repair`
#[derive(Args, Clone, Debug, Default)]
#[command(
    long_about = "Looks at store, L1 and execution client, says what does not fit together, and makes the batches that L1 \
                  has and the store lacks again. It changes nothing else, goes on where it was interrupted, and refuses \
                  to run beside a sequencer.",
    after_help = "Examples:\n  \
                  ensemble repair --dry-run          what was found and what follows; writes nothing\n  \
                  ensemble repair --dry-run --json   the same, for programs\n  \
                  ensemble repair\n  \
                  ensemble repair --yes              without a question\n\n\
                  Exit codes: 0 the sequencer can start, 1 it cannot, 2 wrong command line or configuration."
)]
pub struct RepairArgs {
    /// JSON-RPC URL of L1; more than one for fail-over [key: eth.rpc_url] [env: ETH_RPC_URL].
    #[arg(long, value_name = "URL", value_parser = UrlParser, value_delimiter = ',')]
    pub l1_rpc: Vec<RpcUrl>,
    /// SQLite file of the durable state [key: store.url] [env: STORE_URL].
    #[arg(long, value_name = "PATH or URL")]
    pub store: Option<Secret>,
    /// Only say what was found.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Say it as JSON, with everything that was seen.
    #[arg(long, requires = "dry_run")]
    pub json: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

impl RepairArgs {
    /// The keys that the flags set.
    #[must_use]
    pub fn overrides(&self) -> Vec<(String, String)> {
        overrides([
            ("eth.rpc_url", joined(&self.l1_rpc)),
            ("store.url", self.store.as_ref().map(|store| store.expose().to_owned())),
        ])
    }
}

/// `ensemble rebuild`
#[derive(Args, Clone, Debug, Default)]
#[command(
    long_about = "Reads every batch that the contracts on L1 have, takes its blocks out of its blobs, and gives them to an \
                  execution client, which executes them. Each blob, header and result is checked against L1. It goes on \
                  where the client is, so it can be interrupted at any time.\n\n\
                  With --follow it does not end: the client stays at what L1 has committed, as a standby. To take over, \
                  stop it, run `ensemble repair`, then `ensemble run`.",
    after_help = "Examples:\n  \
                  ensemble rebuild --beacon http://localhost:5052\n  \
                  ensemble rebuild --archive ./blobs --up-to finalized\n  \
                  ensemble rebuild --beacon http://localhost:5052 --archive ./blobs --follow\n\n\
                  The execution client needs the genesis of the L2 and no data. No private key is needed.\n\
                  Exit codes: 0 the client has the chain, 1 it has not, 2 wrong command line or configuration."
)]
pub struct RebuildArgs {
    /// JSON-RPC URL of L1; more than one for fail-over [key: eth.rpc_url] [env: ETH_RPC_URL].
    #[arg(long, value_name = "URL", value_parser = UrlParser, value_delimiter = ',')]
    pub l1_rpc: Vec<RpcUrl>,
    /// URL of a Beacon API that serves the blobs; more than one are asked in turn [key: rebuild.beacon_url]
    /// [env: REBUILD_BEACON_URL].
    #[arg(long, value_name = "URL", value_parser = UrlParser, value_delimiter = ',')]
    pub beacon: Vec<RpcUrl>,
    /// Directory of blobs, asked first; keeps what the Beacon APIs give [key: rebuild.archive_path]
    /// [env: REBUILD_ARCHIVE_PATH].
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// Engine API URL of the execution client [key: engine.auth_url] [env: ENGINE_API_AUTH_URL].
    #[arg(long, value_name = "URL", value_parser = UrlParser)]
    pub auth_url: Option<RpcUrl>,
    /// Public JSON-RPC URL of the execution client [key: engine.public_url] [env: ENGINE_API_PUBLIC_URL].
    #[arg(long, value_name = "URL", value_parser = UrlParser)]
    pub public_url: Option<RpcUrl>,
    /// File with the JWT secret of the Engine API [key: engine.jwt_path] [env: ENGINE_API_JWT_PATH].
    #[arg(long, value_name = "FILE")]
    pub jwt: Option<PathBuf>,
    /// Address of the on-chain proposer [key: committer.on_chain_proposer_address].
    #[arg(long, value_name = "ADDRESS")]
    pub proposer: Option<Address>,
    /// Which commits count: those in `finalized`, `safe` blocks, or this many blocks below the head
    /// [key: watcher.confirmations].
    #[arg(long, value_name = "finalized|safe|N")]
    pub up_to: Option<String>,
    /// Stop after this batch.
    #[arg(long, value_name = "NUMBER", conflicts_with = "follow")]
    pub last_batch: Option<u64>,
    /// Go on for ever: keep the client at what L1 has committed.
    #[arg(long)]
    pub follow: bool,
}

impl RebuildArgs {
    /// The keys that the flags set.
    #[must_use]
    pub fn overrides(&self) -> Vec<(String, String)> {
        let url = |url: &Option<RpcUrl>| url.as_ref().map(|url| url.expose().to_owned());
        overrides([
            ("eth.rpc_url", joined(&self.l1_rpc)),
            ("rebuild.beacon_url", joined(&self.beacon)),
            ("rebuild.archive_path", self.archive.as_ref().map(|path| path.display().to_string())),
            ("engine.auth_url", url(&self.auth_url)),
            ("engine.public_url", url(&self.public_url)),
            ("engine.jwt_path", self.jwt.as_ref().map(|path| path.display().to_string())),
            ("committer.on_chain_proposer_address", self.proposer.map(|address| address.to_string())),
            ("watcher.confirmations", self.up_to.clone()),
        ])
    }
}

/// `ensemble deploy`
#[derive(Args, Clone, Debug)]
#[command(
    long_about = "Deploys the bridge, the on-chain proposer and the attestation verifier on L1 and writes their \
                  addresses to the .env file, where `ensemble run` finds them. Accounts, proof backends and salt come \
                  from [deployer], [committer] and [prover_server] of the configuration.",
    after_help = "Examples:\n  \
                  DEPLOYER_L1_PRIVATE_KEY=0x… ensemble deploy\n  \
                  ensemble deploy --l1-rpc http://localhost:8545 --dev-mode --write-env ./devnet.env\n  \
                  ensemble deploy --no-write-env --json"
)]
pub struct DeployArgs {
    /// JSON-RPC URL of L1 [key: eth.rpc_url] [env: ETH_RPC_URL].
    #[arg(long, value_name = "URL", value_parser = UrlParser, value_delimiter = ',')]
    pub l1_rpc: Vec<RpcUrl>,
    /// JSON-RPC URL of the L2, asked for its genesis block and chain id [key: engine.public_url]
    /// [env: ENGINE_API_PUBLIC_URL].
    #[arg(long, value_name = "URL", value_parser = UrlParser)]
    pub l2_rpc: Option<RpcUrl>,
    /// Allow contracts that verify batches without proofs [key: prover_server.dev_mode]
    /// [env: PROVER_SERVER_DEV_MODE].
    #[arg(long)]
    pub dev_mode: bool,
    /// File that gets the contracts' addresses as variables; other lines of it stay.
    #[arg(long, value_name = "FILE", env = "ENSEMBLE_WRITE_ENV", default_value = ".env")]
    pub write_env: PathBuf,
    /// Only print the addresses.
    #[arg(long)]
    pub no_write_env: bool,
    /// Print the addresses as JSON.
    #[arg(long)]
    pub json: bool,
}

impl DeployArgs {
    /// The keys that the flags set.
    #[must_use]
    pub fn overrides(&self) -> Vec<(String, String)> {
        overrides([
            ("eth.rpc_url", joined(&self.l1_rpc)),
            ("engine.public_url", self.l2_rpc.as_ref().map(|url| url.expose().to_owned())),
            ("prover_server.dev_mode", self.dev_mode.then(|| "true".to_owned())),
        ])
    }

    /// The file to write the addresses to, if any.
    #[must_use]
    pub fn env_target(&self) -> Option<&PathBuf> {
        (!self.no_write_env).then_some(&self.write_env)
    }
}

/// `ensemble prover`
#[derive(Args, Clone, Debug, Default)]
#[command(
    long_about = "Runs a prover client: asks the prover server for batches, proves them, hands in the proofs. It \
                  reconnects by itself and can be stopped at any time.",
    after_help = "Examples:\n  \
                  PROVER_CLIENT_ATTESTATION_PRIVATE_KEY=0x… ensemble prover --endpoint 10.0.0.1:3900\n  \
                  ensemble prover --backend risc0 --name gpu-1"
)]
pub struct ProverArgs {
    /// Address of the prover server [key: prover_client.prover_server_endpoint]
    /// [env: PROVER_CLIENT_PROVER_SERVER_ENDPOINT].
    #[arg(long, value_name = "HOST:PORT")]
    pub endpoint: Option<String>,
    /// What proves: exec, risc0, sp1 or pico [key: prover_client.backend] [env: PROVER_CLIENT_BACKEND].
    #[arg(long, value_name = "BACKEND")]
    pub backend: Option<String>,
    /// Name that the prover server shows [key: prover_client.name] [env: PROVER_CLIENT_NAME].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

impl ProverArgs {
    /// The keys that the flags set.
    #[must_use]
    pub fn overrides(&self) -> Vec<(String, String)> {
        overrides([
            ("prover_client.prover_server_endpoint", self.endpoint.clone()),
            ("prover_client.backend", self.backend.clone()),
            ("prover_client.name", self.name.clone()),
        ])
    }
}

/// `ensemble config`
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct ConfigArgs {
    /// The command.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The commands below `ensemble config`.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a configuration file with every key, its default and its help, all commented out.
    #[command(after_help = "Examples:\n  ensemble config init\n  ensemble config init - | less\n  \
                            ensemble config init --prover configs/prover_client_config.toml")]
    Init(ConfigInitArgs),
    /// Check files, variables and flags; report all mistakes at once.
    #[command(after_help = "Examples:\n  ensemble config check\n  ensemble config check --for run\n  \
                            ensemble config check --for prover --config ./prover.toml")]
    Check(ConfigCheckArgs),
    /// Print the effective values and where each comes from; secrets are masked.
    #[command(
        after_help = "Examples:\n  ensemble config show\n  ensemble config show --set watcher.confirmations=3"
    )]
    Show(ConfigShowArgs),
}

/// `ensemble config init`
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigInitArgs {
    /// File to write, `-` for standard output. Without it, configs/sequencer_config.toml
    /// (with --prover, configs/prover_client_config.toml).
    #[arg(value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// The prover client's configuration instead of the sequencer's.
    #[arg(long)]
    pub prover: bool,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// `ensemble config check`
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigCheckArgs {
    /// Also report what this command needs and does not have.
    #[arg(long = "for", value_name = "COMMAND")]
    pub target: Option<CheckTarget>,
}

/// The command that a configuration is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckTarget {
    /// `ensemble run`
    Run,
    /// `ensemble deploy`
    Deploy,
    /// `ensemble prover`, which has a file of its own
    Prover,
}

/// `ensemble config show`
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigShowArgs {
    /// The prover client's configuration instead of the sequencer's.
    #[arg(long)]
    pub prover: bool,
}

/// `ensemble status`
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  ensemble status\n  ensemble status --admin-url http://10.0.0.1:5555 --json"
)]
pub struct StatusArgs {
    /// URL of the admin server. Without it, from admin.listen_ip and admin.listen_port of the configuration.
    #[arg(long, value_name = "URL", env = "ENSEMBLE_ADMIN_URL", hide_env_values = true, value_parser = UrlParser)]
    pub admin_url: Option<RpcUrl>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `ensemble deposit`
#[derive(Args, Clone, Debug)]
#[command(
    long_about = "Deposits ether: sends it to the bridge on L1; the sequencer credits it on the L2 once the L1 block has \
                  the configured confirmations. Amounts are multiples of 1 gwei.",
    after_help = "Examples:\n  \
                  ENSEMBLE_PRIVATE_KEY=0x… ensemble deposit --amount 1.5ether\n  \
                  ensemble deposit --amount 1500gwei --to 0x… --l1-rpc http://localhost:8545 --bridge 0x… --wait"
)]
pub struct DepositArgs {
    /// How much: 1.5ether, 1500gwei, 1000000000wei.
    #[arg(long, value_name = "AMOUNT")]
    pub amount: Amount,
    /// L2 account that is credited. Without it, the sender.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<Address>,
    /// Private key of the sender on L1.
    #[arg(long, value_name = "KEY", env = "ENSEMBLE_PRIVATE_KEY", hide_env_values = true)]
    pub private_key: Secret,
    /// JSON-RPC URL of L1. Without it, eth.rpc_url of the configuration.
    #[arg(long, value_name = "URL", env = "ENSEMBLE_L1_RPC", hide_env_values = true, value_parser = UrlParser)]
    pub l1_rpc: Option<RpcUrl>,
    /// JSON-RPC URL of the L2, for --wait. Without it, engine.public_url of the configuration.
    #[arg(long, value_name = "URL", env = "ENSEMBLE_L2_RPC", hide_env_values = true, value_parser = UrlParser)]
    pub l2_rpc: Option<RpcUrl>,
    /// Address of the bridge on L1. Without it, watcher.bridge_address of the configuration.
    #[arg(long, value_name = "ADDRESS", env = "ENSEMBLE_BRIDGE")]
    pub bridge: Option<Address>,
    /// Wait until the deposit is in an L2 block.
    #[arg(long)]
    pub wait: bool,
}

/// `ensemble withdraw`
#[derive(Args, Clone, Debug)]
#[command(
    long_about = "Starts a withdrawal: sends ether to the L2's bridge, and prints the transaction's hash and the \
                  withdrawal's id. Once its batch is verified on L1, `ensemble claim` pays it out.",
    after_help = "Examples:\n  \
                  ENSEMBLE_PRIVATE_KEY=0x… ensemble withdraw --amount 0.1ether --l2-rpc http://localhost:1729"
)]
pub struct WithdrawArgs {
    /// How much: 1.5ether, 1500gwei, 1000000000wei.
    #[arg(long, value_name = "AMOUNT")]
    pub amount: Amount,
    /// L1 account that gets it. Without it, the sender.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<Address>,
    /// Private key of the sender on the L2.
    #[arg(long, value_name = "KEY", env = "ENSEMBLE_PRIVATE_KEY", hide_env_values = true)]
    pub private_key: Secret,
    /// JSON-RPC URL of the L2. Without it, engine.public_url of the configuration.
    #[arg(long, value_name = "URL", env = "ENSEMBLE_L2_RPC", hide_env_values = true, value_parser = UrlParser)]
    pub l2_rpc: Option<RpcUrl>,
}

/// `ensemble claim`
#[derive(Args, Clone, Debug)]
#[command(
    long_about = "Claims all withdrawals of an L2 transaction: takes their merkle proofs from the sequencer and sends them \
                  to the bridge on L1, which pays the receivers. Anybody may send them; the key only pays for gas. \
                  Withdrawals that are paid already are left out.",
    after_help = "Examples:\n  \
                  ENSEMBLE_PRIVATE_KEY=0x… ensemble claim 0x… --wait\n\n\
                  Exit codes: 0 all are paid, 1 not all of them, 2 wrong command line or configuration."
)]
pub struct ClaimArgs {
    /// Hash of the L2 transaction, as `ensemble withdraw` printed it.
    #[arg(value_name = "HASH", required_unless_present = "tx", conflicts_with = "tx")]
    pub transaction: Option<B256>,
    /// The same, as an option.
    #[arg(long, value_name = "HASH")]
    pub tx: Option<B256>,
    /// Private key that pays for the claim on L1.
    #[arg(long, value_name = "KEY", env = "ENSEMBLE_PRIVATE_KEY", hide_env_values = true)]
    pub private_key: Secret,
    /// JSON-RPC URL of L1. Without it, eth.rpc_url of the configuration.
    #[arg(long, value_name = "URL", env = "ENSEMBLE_L1_RPC", hide_env_values = true, value_parser = UrlParser)]
    pub l1_rpc: Option<RpcUrl>,
    /// Not needed any more: the sequencer asks the L2.
    #[arg(long, value_name = "URL", env = "ENSEMBLE_L2_RPC", hide = true, hide_env_values = true, value_parser = UrlParser)]
    pub l2_rpc: Option<RpcUrl>,
    /// Address of the bridge on L1. Without it, watcher.bridge_address of the configuration.
    #[arg(long, value_name = "ADDRESS", env = "ENSEMBLE_BRIDGE")]
    pub bridge: Option<Address>,
    /// Admin server of the sequencer, which serves the proofs. Default: that of the configuration.
    #[arg(long, value_name = "URL", env = "ENSEMBLE_ADMIN_URL", hide_env_values = true, value_parser = UrlParser)]
    pub admin_url: Option<RpcUrl>,
    /// Wait until the batch is verified, instead of telling that it is not.
    #[arg(long)]
    pub wait: bool,
}

impl ClaimArgs {
    /// The transaction, whichever way it was given; none does not pass the parser.
    #[must_use]
    pub fn transaction(&self) -> Option<B256> {
        self.transaction.or(self.tx)
    }
}

/// Reads a URL without repeating a wrong one, which may hold an API key.
#[derive(Clone, Copy, Debug)]
struct UrlParser;

impl TypedValueParser for UrlParser {
    type Value = RpcUrl;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let name = argument.map_or_else(|| "the URL".to_owned(), ToString::to_string);
        let wrong = |reason: &dyn fmt::Display| {
            clap::Error::raw(ErrorKind::ValueValidation, format!("invalid value for '{name}': {reason}\n"))
                .with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| wrong(&"it is not UTF-8"))?;
        text.parse().map_err(|error| wrong(&error))
    }
}

/// An amount of ether, kept in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(U256);

/// Units of ether, the largest first, with their decimals.
const UNITS: [(&str, usize); 3] = [("ether", 18), ("gwei", 9), ("wei", 0)];

impl Amount {
    /// The amount in wei.
    #[must_use]
    pub fn wei(self) -> U256 {
        self.0
    }

    /// From wei.
    #[must_use]
    pub fn from_wei(wei: U256) -> Self {
        Self(wei)
    }
}

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// The number is missing or malformed.
    #[error("expected a number and a unit, such as 1.5ether, 1500gwei or 100wei")]
    Malformed,
    /// The unit is unknown.
    #[error("the unit is none of ether, gwei, wei")]
    Unit,
    /// Parts of a wei.
    #[error("{unit} has at most {decimals} decimals: parts of a wei do not exist")]
    TooPrecise {
        /// The unit.
        unit: &'static str,
        /// How many decimals it has.
        decimals: usize,
    },
    /// Above 2^256 - 1 wei.
    #[error("it is above 2^256 - 1 wei")]
    TooLarge,
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    /// Reads `1.5ether`, `1500gwei`, `100wei`, `100` (wei); blanks between and `_` within the number are allowed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_'))).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (unit, decimals) = match unit.trim().to_ascii_lowercase().as_str() {
            "" => ("wei", 0),
            "eth" => ("ether", 18),
            name => UNITS.into_iter().find(|(unit, _)| *unit == name).ok_or(InvalidAmount::Unit)?,
        };
        let number = number.replace('_', "");
        let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
        let point = number.contains('.');
        if whole.is_empty() || (point && part.is_empty()) || part.contains('.') {
            return Err(InvalidAmount::Malformed);
        }
        let part = part.trim_end_matches('0');
        if part.len() > decimals {
            return Err(InvalidAmount::TooPrecise { unit, decimals });
        }
        // 2^256 has 78 digits; what is longer is not worth reading.
        let digits = format!("{}{part:0<decimals$}", whole.trim_start_matches('0'));
        if digits.len() > 78 {
            return Err(InvalidAmount::TooLarge);
        }
        let digits = if digits.is_empty() { "0" } else { &digits };
        U256::from_str_radix(digits, 10).map(Self).map_err(|_| InvalidAmount::TooLarge)
    }
}

impl fmt::Display for Amount {
    /// In the unit that takes the fewest characters, exactly: `1.5ether`, `1gwei`, `7wei`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0ether");
        }
        let digits = self.0.to_string();
        let texts = UNITS.map(|(unit, decimals)| {
            let padded = format!("{digits:0>width$}", width = decimals + 1);
            let (whole, part) = padded.split_at(padded.len() - decimals);
            let part = part.trim_end_matches('0');
            if part.is_empty() { format!("{whole}{unit}") } else { format!("{whole}.{part}{unit}") }
        });
        let shortest = texts.iter().min_by_key(|text| text.len());
        f.write_str(shortest.map_or("", String::as_str))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use clap::CommandFactory;

    use super::*;
    use crate::config::{Config, ProverConfig};

    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn clap_accepts_the_definitions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn amounts() {
        for (text, wei, shown) in [
            ("1.5ether", "1500000000000000000", "1.5ether"),
            ("1 ETH", "1000000000000000000", "1ether"),
            ("1500gwei", "1500000000000", "1500gwei"),
            ("1_500gwei", "1500000000000", "1500gwei"),
            ("0.000000001gwei", "1", "1wei"),
            ("100wei", "100", "100wei"),
            ("100", "100", "100wei"),
            ("0ether", "0", "0ether"),
            ("0.10ether", "100000000000000000", "0.1ether"),
            ("1.0wei", "1", "1wei"),
            ("000001ether", "1000000000000000000", "1ether"),
        ] {
            let amount: Amount = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (amount.wei().to_string().as_str(), amount.to_string().as_str()),
                (wei, shown),
                "{text}"
            );
            assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount, "{text}");
        }
        let most = Amount::from_wei(U256::MAX);
        assert_eq!(most.to_string().parse::<Amount>().unwrap(), most);
    }

    #[test]
    fn bad_amounts() {
        let too_precise = |unit, decimals| InvalidAmount::TooPrecise { unit, decimals };
        for (text, error) in [
            ("", InvalidAmount::Malformed),
            ("ether", InvalidAmount::Malformed),
            (".5ether", InvalidAmount::Malformed),
            ("1.ether", InvalidAmount::Malformed),
            ("1.2.3ether", InvalidAmount::Malformed),
            ("-1ether", InvalidAmount::Unit),
            ("1e18", InvalidAmount::Unit),
            ("1btc", InvalidAmount::Unit),
            ("1.5wei", too_precise("wei", 0)),
            ("1.1234567891gwei", too_precise("gwei", 9)),
            ("0.0000000000000000001ether", too_precise("ether", 18)),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(error), "{text}");
        }
        for text in [format!("{}0", U256::MAX), format!("{}ether", U256::MAX), "9".repeat(100_000)] {
            assert_eq!(text.parse::<Amount>(), Err(InvalidAmount::TooLarge));
        }
    }

    /// Every flag of a command that stands for a key reaches that key.
    #[test]
    fn flags_reach_the_configuration() {
        let cli = parse(
            "ensemble run --l1-rpc http://a,http://b/key --auth-url http://c --jwt ./j.hex --store x.db --dev-mode \
             --set proposer.interval_ms=2000 --set watcher.confirmations=7",
        );
        let Command::Run(args) = &cli.command else { panic!("{cli:?}") };
        let directory = tempfile::tempdir().unwrap();
        let load = |overrides| LoadOptions {
            directory: directory.path().to_owned(),
            env: Default::default(),
            ..cli.global.load_options(overrides)
        };
        let config = Config::load(&load(args.overrides())).unwrap();
        assert_eq!(
            config.eth.rpc_url.iter().map(RpcUrl::expose).collect::<Vec<_>>(),
            ["http://a", "http://b/key"]
        );
        assert_eq!(config.engine.auth_url.expose(), "http://c");
        assert_eq!(config.engine.jwt_path, PathBuf::from("./j.hex"));
        assert_eq!(config.store.url.to_string(), "x.db");
        assert!(config.prover_server.dev_mode);
        assert_eq!(config.proposer.interval_ms, 2000);
        assert_eq!(config.watcher.confirmations.to_string(), "7");

        let cli = parse("ensemble deploy --l1-rpc http://a --l2-rpc http://b --dev-mode --no-write-env");
        let Command::Deploy(args) = &cli.command else { panic!("{cli:?}") };
        let config = Config::load(&load(args.overrides())).unwrap();
        assert_eq!(config.eth.rpc_url[0].expose(), "http://a");
        assert_eq!(config.engine.public_url.unwrap().expose(), "http://b");
        assert!(config.prover_server.dev_mode && args.env_target().is_none());

        let cli = parse("ensemble prover --endpoint h:1 --backend sp1 --name p --set proving_time_ms=10");
        let Command::Prover(args) = &cli.command else { panic!("{cli:?}") };
        let options = LoadOptions {
            directory: directory.path().to_owned(),
            env: Default::default(),
            ..cli.global.load_options(args.overrides())
        };
        let config = ProverConfig::load(&options).unwrap();
        assert_eq!(config.client.prover_server_endpoint.to_string(), "h:1");
        assert_eq!((config.client.backend.as_str(), config.client.name.as_str()), ("sp1", "p"));
        assert_eq!(config.client.proving_time_ms, 10);
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in ["ensemble --config a.toml --env-file e run", "ensemble run --config a.toml --env-file e"]
        {
            let options = parse(line).global.load_options(Vec::new());
            assert_eq!((options.file, options.env_file), (Some("a.toml".into()), Some("e".into())));
        }
        // --set wins over a command's own flag.
        let cli = parse("ensemble run --jwt a --set engine.jwt_path=b");
        let Command::Run(args) = &cli.command else { panic!("{cli:?}") };
        let flags = cli.global.load_options(args.overrides()).flags;
        assert_eq!(flags.last(), Some(&("engine.jwt_path".to_owned(), "b".to_owned())));
    }

    #[test]
    fn wallet_commands() {
        let bridge = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
        let cli = parse(&format!(
            "ensemble deposit --amount 1.5ether --to {bridge} --private-key {KEY} --bridge {bridge}"
        ));
        let Command::Deposit(args) = &cli.command else { panic!("{cli:?}") };
        assert_eq!(args.amount.to_string(), "1.5ether");
        assert_eq!((args.to, args.bridge), (Some(bridge.parse().unwrap()), Some(bridge.parse().unwrap())));
        assert!(args.private_key.private_key().is_ok());
        let cli = parse(&format!("ensemble claim --tx 0x{} --private-key {KEY} --wait", "ab".repeat(32)));
        let Command::Claim(args) = &cli.command else { panic!("{cli:?}") };
        assert!(args.wait && args.transaction() == Some(B256::repeat_byte(0xab)));
        let cli = parse(&format!("ensemble claim 0x{} --private-key {KEY}", "ab".repeat(32)));
        let Command::Claim(args) = &cli.command else { panic!("{cli:?}") };
        assert!(!args.wait && args.transaction() == Some(B256::repeat_byte(0xab)));
        for hashes in ["", "0x01", "0x{} --tx 0x{}"] {
            let line = format!("ensemble claim {hashes} --private-key {KEY}").replace("{}", &"ab".repeat(32));
            assert!(Cli::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
        assert!(matches!(
            parse(&format!("ensemble withdraw --amount 1gwei --private-key {KEY}")).command,
            Command::Withdraw(_)
        ));
    }

    /// SEQ-INV-12: neither parsed arguments nor messages about wrong ones show a secret.
    #[test]
    fn secrets_of_the_command_line_are_not_shown() {
        let cli = parse(&format!(
            "ensemble deposit --amount 1ether --private-key {KEY} --l1-rpc https://h/apikey77 --set a.b={KEY}"
        ));
        let text = format!("{cli:?}");
        assert!(!text.contains("ac0974") && !text.contains("apikey77"), "{text}");
        for line in [
            "ensemble deposit --amount 1ether --private-key 0xac0974 --l1-rpc ws://h/apikey77",
            "ensemble run --auth-url h/apikey77",
        ] {
            let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
            let text = error.to_string();
            assert!(!text.contains("apikey77") && !text.contains("ac0974"), "{text}");
            assert!(text.contains("invalid value for '--"), "{text}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    /// Each command and each argument explains itself, and commands have examples.
    #[test]
    fn everything_has_help() {
        fn walk(command: &clap::Command, path: &str) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {}", argument.get_id());
            }
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_about().is_some(), "{path}");
                if sub.get_subcommands().next().is_none() {
                    let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(help.starts_with("Examples:"), "{path}");
                }
                walk(sub, &path);
            }
        }
        walk(&Cli::command(), "ensemble");
    }
}
