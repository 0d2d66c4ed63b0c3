//! Configuration: one table of keys from which loading, checking, showing, the example files and the
//! reference page derive.
//!
//! Layers, each over the one before: defaults < TOML file < `.env` file < environment < `--set` flags.
//! Everything that is wrong is reported at once, as [`Problem`]s that name the place, the key and the remedy.
//!
//! The file is `$CONFIGS_PATH/$SEQUENCER_CONFIG_FILE` (default `configs/sequencer_config.toml`), the prover
//! client's `$CONFIGS_PATH/$PROVER_CLIENT_CONFIG_FILE` (default `configs/prover_client_config.toml`). A file
//! that nobody named and that does not exist counts as empty.
//!
//! Secrets ([`Secret`], [`PrivateKey`]) and what may hide one in a URL ([`RpcUrl`], [`StoreLocation`]) never
//! show it in `Debug`, `Display`, problems or `config show` (SEQ-INV-12).

mod check;
mod env_file;
mod keys;
mod layers;
mod problem;
mod raw;
mod render;
mod schema;
mod secret;
mod setting;
#[cfg(test)]
mod tests;
mod url;
mod values;

pub use check::{
    Account, Attestation, DeployRequirements, ProverRequirements, RunRequirements, UNUSED_VERIFIER,
};
pub use env_file::{EnvFileError, update_env_file, write_private_file};
pub use keys::{
    AdminConfig, CommitterConfig, DeployerConfig, EngineConfig, EthConfig, L2Config, ProposerConfig,
    ProverClientConfig, ProverServerConfig, RebuildConfig, StoreConfig, WatcherConfig, WitnessConfig,
};
pub use layers::{Config, LoadOptions, ProverConfig};
pub use problem::{ConfigErrors, Problem, Source};
pub use render::{render_example, render_markdown, render_prover_example};
pub use secret::{InvalidPrivateKey, PrivateKey, Secret};
pub use url::{Endpoint, InvalidEndpoint, InvalidUrl, RpcUrl, StoreLocation};
pub use values::{Confirmations, DataAvailability, Gwei, SidecarVersion, Sp1Prover, WitnessSource};
