//! Command line of the devnet.

use std::path::PathBuf;

use clap::Parser;

/// What proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Proofs {
    Exec,
    Risc0,
}

/// Where the batches' data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Data {
    Blob,
    Calldata,
    Auto,
    None,
}

/// Runs a whole rollup in one process: an L1, an L2 execution client, the sequencer with every actor, and provers.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "devnet",
    version,
    after_help = "Examples:\n  \
        cargo devnet                      a devnet that runs until ctrl-c\n  \
        cargo devnet -- --demo            deposit, transfers, withdrawal and claim; exits 0 if every balance is right\n  \
        cargo devnet -- --demo --provers 4   the same, with batches proven in parallel, and who proved which\n  \
        cargo run --release -p devnet --features risc0 -- --demo --prover risc0   the same in RISC Zero's zkVM\n  \
        cargo devnet -- --datadir data    keeps the chains in ./data and goes on with them at the next start\n  \
        cargo devnet -- --l1-port 0       any free port (works for every port)"
)]
pub(crate) struct Args {
    /// Make a deposit, L2 transfers, a withdrawal and its claim, check every balance, and end.
    #[arg(long)]
    pub(crate) demo: bool,

    /// L2 transfers in the demo.
    #[arg(long, default_value_t = 300, value_name = "N", env = "DEVNET_TRANSFERS")]
    pub(crate) transfers: u64,

    /// Keep both chains and the store in this folder and go on with them at the next start.
    #[arg(long, value_name = "DIR", env = "DEVNET_DATADIR")]
    pub(crate) datadir: Option<PathBuf>,

    /// JSON-RPC port of the L1. 0 picks a free port.
    #[arg(long, default_value_t = 8545, value_name = "PORT", env = "DEVNET_L1_PORT")]
    pub(crate) l1_port: u16,

    /// Beacon-style port of the L1, which serves blobs.
    #[arg(long, default_value_t = 5052, value_name = "PORT", env = "DEVNET_BEACON_PORT")]
    pub(crate) beacon_port: u16,

    /// JSON-RPC port of the L2.
    #[arg(long, default_value_t = 1729, value_name = "PORT", env = "DEVNET_L2_PORT")]
    pub(crate) l2_port: u16,

    /// Engine API port of the L2.
    #[arg(long, default_value_t = 8551, value_name = "PORT", env = "DEVNET_AUTH_PORT")]
    pub(crate) auth_port: u16,

    /// Port for provers.
    #[arg(long, default_value_t = 3900, value_name = "PORT", env = "DEVNET_PROVER_PORT")]
    pub(crate) prover_port: u16,

    /// Port of the admin server.
    #[arg(long, default_value_t = 5555, value_name = "PORT", env = "DEVNET_ADMIN_PORT")]
    pub(crate) admin_port: u16,

    /// Prover clients, each with a name of its own; different ones prove different batches at the same time. In the
    /// demo, with more than one, all of them wait until each has a batch, and begin together. 0: start your own with
    /// `ensemble prover`.
    #[arg(long, default_value_t = 1, value_name = "N", env = "DEVNET_PROVERS")]
    pub(crate) provers: usize,

    /// Kind of the proofs: `exec` (native re-execution, signed) or `risc0` (the guest is executed, its cycles are counted, and
    /// receipts prove nothing, unless `--real-proofs` is given; needs the feature `risc0`).
    #[arg(long, default_value = "exec", value_name = "KIND", env = "DEVNET_PROVER")]
    pub(crate) prover: Proofs,

    /// With `--prover risc0`: STARKs, made by the program in provers/risc0: half an hour for an empty batch on two cores. With
    /// --datadir, what is proven of a batch is kept there.
    #[arg(long, env = "DEVNET_REAL_PROOFS")]
    pub(crate) real_proofs: bool,

    /// That program.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "provers/risc0/target/release/ensemble-prover-risc0",
        env = "DEVNET_RISC0_PROVER"
    )]
    pub(crate) risc0_prover: PathBuf,

    /// Where the batches' data goes: into blobs, into call data, where it is cheaper, or nowhere. In the zkVM a blob takes 160
    /// million cycles.
    #[arg(long, default_value = "blob", value_name = "WHERE", env = "DEVNET_DA")]
    pub(crate) da: Data,

    /// Take execution witnesses from a shadow node instead of the L2's client, as for clients that serve none.
    #[arg(long, env = "DEVNET_SHADOW")]
    pub(crate) shadow: bool,

    /// Time between L2 blocks, in milliseconds.
    #[arg(long, default_value_t = 1000, value_name = "MS", env = "DEVNET_INTERVAL_MS")]
    pub(crate) interval_ms: u64,

    /// Time between commits, in milliseconds.
    #[arg(long, default_value_t = 2000, value_name = "MS", env = "DEVNET_COMMIT_MS")]
    pub(crate) commit_ms: u64,

    /// Log file. Default: devnet.log in the data folder.
    #[arg(long, value_name = "FILE", env = "DEVNET_LOG_FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// Panic when ACTOR handles its N-th message, e.g. l1_sender@3. Repeatable.
    #[cfg(feature = "fault-injection")]
    #[arg(long, value_name = "ACTOR@N")]
    pub(crate) chaos_panic: Vec<String>,
}
