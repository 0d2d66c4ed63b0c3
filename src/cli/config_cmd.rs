//! `ensemble config init | check | show`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ensemble_error::{Classify, Severity};

use super::args::{CheckTarget, ConfigArgs, ConfigCheckArgs, ConfigCommand, ConfigInitArgs, ConfigShowArgs};
use crate::config::{
    Config, ConfigErrors, LoadOptions, ProverConfig, render_example, render_prover_example,
    write_private_file,
};

/// Why `ensemble config` failed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigCommandError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// `init` does not replace a file by itself.
    #[error("{0} is there already: give another path, or --force to replace it")]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("{path} cannot be written: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Classify for ConfigCommandError {
    fn severity(&self) -> Severity {
        match self {
            Self::Config(errors) => errors.severity(),
            Self::Exists(_) | Self::File { .. } | Self::Output(_) => Severity::Fatal,
        }
    }
}

/// Runs the command. Results go to `out`; mistakes of the configuration are the error.
///
/// # Errors
/// All mistakes at once, or why a file or the output could not be written.
pub fn run(args: &ConfigArgs, options: &LoadOptions, out: &mut dyn Write) -> Result<(), ConfigCommandError> {
    match &args.command {
        ConfigCommand::Init(args) => init(args, &options.directory, out),
        ConfigCommand::Check(args) => check(args, options, out),
        ConfigCommand::Show(args) => show(args, options, out),
    }
}

fn init(args: &ConfigInitArgs, directory: &Path, out: &mut dyn Write) -> Result<(), ConfigCommandError> {
    let text = if args.prover { render_prover_example() } else { render_example() };
    let path = match &args.path {
        Some(path) if path.as_os_str() == "-" => {
            out.write_all(text.as_bytes())?;
            return Ok(());
        }
        Some(path) => path.clone(),
        None if args.prover => PathBuf::from("configs/prover_client_config.toml"),
        None => PathBuf::from("configs/sequencer_config.toml"),
    };
    let path = directory.join(path);
    let failed = |source| ConfigCommandError::File { path: path.clone(), source };
    if !args.force && path.try_exists().map_err(failed)? {
        return Err(ConfigCommandError::Exists(path));
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    write_private_file(&path, text.as_bytes()).map_err(failed)?;
    let target = if args.prover { "prover" } else { "run" };
    writeln!(
        out,
        "wrote {path}\nuncomment and change what you need, then: ensemble config check --for {target} --config {path}",
        path = path.display()
    )?;
    Ok(())
}

fn check(
    args: &ConfigCheckArgs,
    options: &LoadOptions,
    out: &mut dyn Write,
) -> Result<(), ConfigCommandError> {
    let (summary, warnings) = match args.target {
        Some(CheckTarget::Prover) => {
            let (config, _) = ProverConfig::load_for_prover(options)?;
            (config.summary(), config.warnings().to_vec())
        }
        Some(CheckTarget::Run) => {
            let (config, _) = Config::load_for_run(options)?;
            (config.summary(), config.warnings().to_vec())
        }
        Some(CheckTarget::Deploy) => {
            let (config, _) = Config::load_for_deploy(options)?;
            (config.summary(), config.warnings().to_vec())
        }
        None => {
            let config = Config::load(options)?;
            (config.summary(), config.warnings().to_vec())
        }
    };
    for warning in &warnings {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(out, "the configuration is valid; keys set: {summary}")?;
    Ok(())
}

fn show(args: &ConfigShowArgs, options: &LoadOptions, out: &mut dyn Write) -> Result<(), ConfigCommandError> {
    let text = if args.prover { ProverConfig::load(options)?.show() } else { Config::load(options)?.show() };
    out.write_all(text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use clap::Parser;

    use super::super::args::{Cli, Command};
    use super::*;

    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    struct Directory(tempfile::TempDir);

    impl Directory {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// Runs a command line as `main` would, without the variables of this machine.
        fn run(&self, line: &str) -> Result<String, ConfigCommandError> {
            let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
            let Command::Config(args) = &cli.command else { panic!("{line}") };
            let mut options = cli.global.load_options(Vec::new());
            options.directory = self.0.path().to_owned();
            options.env.clear();
            let mut out = Vec::new();
            run(args, &options, &mut out)?;
            Ok(String::from_utf8(out).unwrap())
        }
    }

    #[test]
    fn init_writes_what_check_accepts() {
        let directory = Directory::new();
        let text = directory.run("ensemble config init").unwrap();
        assert!(text.contains("ensemble config check --for run"), "{text}");
        let path = directory.path("configs/sequencer_config.toml");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), render_example());
        let text = directory.run("ensemble config check").unwrap();
        assert!(text.contains("the configuration is valid; keys set: 0 from "), "{text}");

        let again = directory.run("ensemble config init").unwrap_err();
        assert!(matches!(&again, ConfigCommandError::Exists(there) if *there == path), "{again}");
        std::fs::write(&path, "").unwrap();
        directory.run("ensemble config init --force").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), render_example());

        directory.run("ensemble config init --prover x/p.toml").unwrap();
        assert_eq!(std::fs::read_to_string(directory.path("x/p.toml")).unwrap(), render_prover_example());
        assert_eq!(directory.run("ensemble config init --prover -").unwrap(), render_prover_example());
        let blocked = directory.run("ensemble config init x/p.toml/y.toml").unwrap_err();
        assert!(matches!(blocked, ConfigCommandError::File { .. }), "{blocked}");
        assert_eq!(blocked.severity(), Severity::Fatal);
    }

    #[test]
    fn check_reports_for_the_command() {
        let directory = Directory::new();
        let problems = |line: &str| match directory.run(line).unwrap_err() {
            ConfigCommandError::Config(errors) => errors.problems().len(),
            other => panic!("{line}: {other}"),
        };
        assert!(directory.run("ensemble config check").is_ok());
        assert_eq!(problems("ensemble config check --for run"), 5);
        assert_eq!(problems("ensemble config check --for deploy"), 4);
        assert_eq!(problems("ensemble config check --for prover"), 3);
        assert_eq!(problems("ensemble config check --for run --set proposer.interval_ms=1 --set a.b=1"), 7);
        let text = directory.run("ensemble config check --set admin.listen_ip=0.0.0.0").unwrap();
        assert!(text.starts_with("warning: admin.listen_ip = 0.0.0.0"), "{text}");
        assert!(text.contains("1 from flags"), "{text}");
        let text = directory.run("ensemble config check --for prover --set backend=sp1").unwrap();
        assert!(text.contains("valid"), "{text}");
    }

    /// SEQ-INV-12
    #[test]
    fn show_masks_secrets_and_names_sources() {
        let directory = Directory::new();
        std::fs::write(directory.path("c.toml"), format!("[committer]\nl1_private_key = \"{KEY}\"\n"))
            .unwrap();
        let text = directory
            .run("ensemble config show --config c.toml --set eth.rpc_url=https://h/apikey77")
            .unwrap();
        assert!(!text.contains("ac0974") && !text.contains("apikey77"), "{text}");
        let line = text.lines().find(|line| line.starts_with("l1_private_key")).unwrap();
        assert!(line.starts_with("l1_private_key = \"***\"") && line.ends_with("c.toml:2"), "{line}");
        assert!(text.contains("rpc_url = [\"https://h/***\"]"), "{text}");
        assert!(
            directory
                .run("ensemble config show --prover")
                .unwrap()
                .contains("prover_server_endpoint = \"localhost:3900\"")
        );
    }
}
