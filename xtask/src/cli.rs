//! The command line.

use clap::{Args, Parser, Subcommand};

/// Everything a contributor and CI run, with one spelling.
///
/// `cargo xtask check` is what CI runs. It needs rustc (see rust-version in Cargo.toml), a C compiler,
/// node 20 or later with npm, and nothing else: Foundry and the Solidity compiler come from npm, and
/// cargo-nextest and cargo-deny are installed when they are missing (once, about five minutes each; into
/// $HOME/.cache/ensemble/tools, or the target directory where that cannot be written).
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    after_help = "Examples:\n  \
        cargo xtask check --fast                  format, lints, licences, docs; no tests\n  \
        cargo xtask check -p ensemble-batch       the same for one crate, with its tests\n  \
        cargo xtask test --no-contracts           Rust tests only\n  \
        cargo xtask test --filter reorg           Rust tests whose name holds `reorg`\n  \
        cargo xtask check --list                  print the commands instead of running them\n  \
        cargo xtask contracts                     rebuild contracts/artifacts after a change in Solidity\n  \
        cargo xtask guest --check                 rebuild the zkVM guests, compare with the committed ones\n  \
        cargo xtask provers                       lints and tests of provers/*, after a change of what they use\n  \
        cargo xtask gas --check                   compare gas with benches/gas.json\n  \
        cargo xtask chaos --seeds 1000            the whole sequencer under random faults\n  \
        cargo xtask chaos --first-seed 17 --seeds 1\n  \
        cargo xtask chaos --seeds 0 --kills 100   kill -9 of the real process under load"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// The chores.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Format, lints, dependency policy, documentation, then `test`: what CI runs
    Check(CheckOptions),
    /// Contract tests, Rust tests, documentation tests
    Test(TestOptions),
    /// Build the contracts and write contracts/artifacts
    Contracts(ContractsOptions),
    /// Build the zkVM guests from pinned sources and write guests/*/*.elf.zst (Debian on x86-64, about twenty minutes)
    Guest(GuestOptions),
    /// Lints and tests of the provers outside the workspace (about a thousand crates, twenty minutes of processor time)
    Provers(ProversOptions),
    /// Measure the gas of every L1 operation by real transactions on anvil
    Gas(GasOptions),
    /// Run the whole sequencer under random faults, one seed after the other; and kill its process again and again
    Chaos(ChaosOptions),
}

/// How a list of steps is run.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RunOptions {
    /// Only this package (may be repeated); workspace-wide steps are left out
    #[arg(short, long = "package", value_name = "NAME")]
    pub(crate) packages: Vec<String>,
    /// Print the steps and their commands, run nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// Stop at the first step that fails (default: run the others too, and fail at the end)
    #[arg(long)]
    pub(crate) fail_fast: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CheckOptions {
    /// Leave out the tests
    #[arg(long)]
    pub(crate) fast: bool,
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TestOptions {
    /// Only Rust tests whose name holds this text (may be repeated); leaves out contract and documentation tests
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Vec<String>,
    /// Leave out npm, Foundry and the contract tests; tests that need anvil then say that they are skipped,
    /// unless ENSEMBLE_ANVIL names the binary
    #[arg(long)]
    pub(crate) no_contracts: bool,
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ContractsOptions {
    /// Fail when the committed artifacts differ from the build, write nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the steps and their commands, run nothing
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GuestOptions {
    /// Fail when a committed guest differs from the build, write nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the steps and their commands, run nothing
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ProversOptions {
    /// Print the steps and their commands, run nothing
    #[arg(long)]
    pub(crate) list: bool,
}

/// Gas is `gasUsed` of the receipt: intrinsic gas and calldata included, blob gas not.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GasOptions {
    /// One JSON object on stdout and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    /// Fail when an operation costs more than benches/gas.json says
    #[arg(long, conflicts_with = "write")]
    pub(crate) check: bool,
    /// Write benches/gas.json
    #[arg(long)]
    pub(crate) write: bool,
    /// Print the steps and their commands, run nothing
    #[arg(long)]
    pub(crate) list: bool,
}

/// Each seed is a process with an L1, an L2 and provers of its own. A seed that fails prints the end of its log and the
/// command that runs it again.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChaosOptions {
    /// How many seeds
    #[arg(long, default_value_t = 50)]
    pub(crate) seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    pub(crate) first_seed: u64,
    /// How many run at the same time
    #[arg(long, default_value_t = 3)]
    pub(crate) jobs: u64,
    /// Then start `ensemble run` and kill it this many times under load
    #[arg(long, default_value_t = 0)]
    pub(crate) kills: u64,
    /// Build with optimisation: minutes to build, and each seed takes a third of the time
    #[arg(long)]
    pub(crate) release: bool,
    /// Print the steps and their commands, run nothing
    #[arg(long)]
    pub(crate) list: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn contradictory_gas_flags_are_refused() {
        use clap::Parser as _;
        assert!(Cli::try_parse_from(["xtask", "gas", "--check", "--write"]).is_err());
        assert!(Cli::try_parse_from(["xtask", "gas", "--check", "--json"]).is_ok());
    }
}
