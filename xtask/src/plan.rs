//! Which steps a chore has: a pure function of the options and the workspace.

use std::path::PathBuf;

use crate::cli::{ChaosOptions, CheckOptions, GasOptions, TestOptions};
use crate::command::Cmd;
use crate::contracts;
use crate::error::XtaskError;
use crate::tools::Tool;
use crate::workspace::{Package, Workspace};

/// The package that users embed, and what must never be in its default-off dependency tree: the execution
/// node, provers, the command line, and the transports of ethers.
const EMBEDDED: &str = "ensemble";
const NOT_EMBEDDED: &[&str] = &[
    "clap",
    "ensemble-node",
    "ensemble-program",
    "ethers",
    "ethers-providers",
    "ethrex-*",
    "malachite*",
    "openssl-sys",
    "risc0-*",
    "sp1-*",
];

/// Packages outside the workspace, whose crates nothing else needs.
const PROVERS: &[&str] = &["provers/risc0", SP1];
const SP1: &str = "provers/sp1";

/// One line of the table that closes a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) action: Action,
    /// A step that must have passed before: this one is skipped otherwise.
    pub(crate) needs: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Succeeds when the program does.
    Run(Cmd),
    /// The same, unless the program says that it cannot run here (exit status 69).
    RunWherePossible { cmd: Cmd, because: &'static str },
    /// The same with a tool that is installed first when it is missing.
    WithTool { tool: Tool, cmd: Cmd, fallback: Option<Cmd> },
    /// `npm install`, unless the lock file was installed already.
    NpmInstall(Cmd),
    /// `cargo tree` must not list these crates.
    LeanTree { cmd: Cmd, package: &'static str, forbidden: &'static [&'static str] },
}

impl Step {
    fn run(name: &str, cmd: Cmd) -> Self {
        Self { name: name.to_owned(), action: Action::Run(cmd), needs: None }
    }

    fn needs(mut self, step: &'static str) -> Self {
        self.needs = Some(step);
        self
    }

    pub(crate) fn cmd(&self) -> &Cmd {
        match &self.action {
            Action::Run(cmd) | Action::NpmInstall(cmd) => cmd,
            Action::RunWherePossible { cmd, .. }
            | Action::WithTool { cmd, .. }
            | Action::LeanTree { cmd, .. } => cmd,
        }
    }
}

pub(crate) struct Planner<'a> {
    workspace: &'a Workspace,
    /// Path of the anvil binary that npm installs, when it is there already.
    installed_anvil: Option<PathBuf>,
    /// ENSEMBLE_ANVIL of the caller: wins.
    anvil_given: bool,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(workspace: &'a Workspace) -> Self {
        let anvil = contracts::anvil(&workspace.root);
        Self {
            workspace,
            installed_anvil: anvil.is_file().then_some(anvil),
            anvil_given: std::env::var_os(contracts::ANVIL_VARIABLE).is_some(),
        }
    }

    pub(crate) fn check(&self, options: &CheckOptions) -> Result<Vec<Step>, XtaskError> {
        let packages = &options.run.packages;
        self.workspace.require_packages(packages)?;
        let all = packages.is_empty();
        let mut steps = Vec::new();

        let fmt = Cmd::cargo("fmt");
        let fmt = if all { fmt.arg("--all") } else { fmt.args(selection(packages)) };
        steps.push(Step::run("format", fmt.args(["--", "--check"])));

        steps.push(Step::run(
            "clippy",
            Cmd::cargo("clippy")
                .args(selection(packages))
                .arg("--all-targets")
                .args(self.workspace.feature_args(packages))
                .args(["--", "-D", "warnings"]),
        ));
        // One run of cargo each: packages that are built together get the features that any of them asks for.
        for package in self.chosen(packages).filter(|p| p.has_default_feature && p.has_library) {
            steps.push(Step::run(
                &format!("clippy, bare {}", package.name),
                Cmd::cargo("clippy").args(selection(std::slice::from_ref(&package.name))).args([
                    "--lib",
                    "--bins",
                    "--no-default-features",
                    "--",
                    "-D",
                    "warnings",
                ]),
            ));
        }
        if all && self.workspace.packages.iter().any(|p| p.name == EMBEDDED) {
            steps.push(Step {
                name: "lean library".to_owned(),
                action: Action::LeanTree {
                    cmd: Cmd::cargo("tree")
                        .args(["--package", EMBEDDED, "--no-default-features"])
                        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]),
                    package: EMBEDDED,
                    forbidden: NOT_EMBEDDED,
                },
                needs: None,
            });
        }
        if all {
            steps.push(Step {
                name: "dependency policy".to_owned(),
                action: Action::WithTool {
                    tool: Tool::CargoDeny,
                    cmd: Cmd::cargo("deny").args(["check", "bans", "licenses", "sources"]),
                    fallback: None,
                },
                needs: None,
            });
        }
        if all {
            steps.extend(PROVERS.iter().flat_map(|prover| outside(prover)));
        }
        steps.push(Step::run(
            "documentation",
            Cmd::cargo("doc")
                .args(["--no-deps"])
                .args(selection(packages))
                .args(self.workspace.feature_args(packages))
                .env("RUSTDOCFLAGS", "-D warnings"),
        ));
        if !options.fast {
            let tests = TestOptions { run: options.run.clone(), ..TestOptions::default() };
            let mut tests = self.test(&tests)?;
            if let Some(npm) = tests.iter().position(|step| step.name == NPM_INSTALL) {
                let format = contracts::forge(&self.workspace.root).args(["fmt", "--check"]);
                tests.insert(npm + 1, contracts_step("contracts format", format));
            }
            steps.extend(tests);
            if all {
                steps.push(Step {
                    name: "zkVM guest".to_owned(),
                    action: Action::RunWherePossible {
                        cmd: build_guest(true),
                        because: "its compiler comes from packages of Debian 12 for x86-64, which cannot be had here",
                    },
                    needs: None,
                });
            }
        }
        Ok(steps)
    }

    /// Lints and tests of the packages outside the workspace, by their lock files. RISC Zero's circuits are left out: they take
    /// an hour to compile, and change nothing here.
    pub(crate) fn provers(&self) -> Vec<Step> {
        let each = |prover: &&str| {
            let clippy = at(prover, "clippy")
                .args(["--locked", "--all-targets", "--", "-D", "warnings"])
                .env("RISC0_SKIP_BUILD_KERNELS", "1")
                // Leaves out what RISC Zero's build would download.
                .env("DOCS_RS", "1");
            Step::run(&format!("clippy, {prover}"), clippy)
        };
        let mut steps: Vec<Step> = PROVERS.iter().map(each).collect();
        steps.push(Step::run(&format!("tests, {SP1}"), at(SP1, "test").arg("--locked")));
        steps
    }

    pub(crate) fn test(&self, options: &TestOptions) -> Result<Vec<Step>, XtaskError> {
        let packages = &options.run.packages;
        self.workspace.require_packages(packages)?;
        let narrowed = !options.filter.is_empty() || !packages.is_empty();
        let mut steps = Vec::new();
        if !options.no_contracts && !narrowed {
            steps.push(self.npm_install());
            steps
                .push(contracts_step("contracts build", contracts::forge(&self.workspace.root).arg("build")));
            steps.push(
                contracts_step("contract tests", contracts::forge(&self.workspace.root).arg("test"))
                    .needs("contracts build"),
            );
            steps.push(
                contracts_step("contract artifacts", contracts::artifacts(true)).needs("contracts build"),
            );
            steps.push(Step::run("verifying keys", contracts::verifying_keys()));
        }
        // Narrowed runs use the anvil that is there; the full run installs it in its first step.
        let anvil = if options.no_contracts || narrowed {
            self.installed_anvil.clone()
        } else {
            Some(contracts::anvil(&self.workspace.root))
        };
        let with_anvil = |cmd: Cmd| match &anvil {
            Some(path) if !self.anvil_given => cmd.env(contracts::ANVIL_VARIABLE, path.to_string_lossy()),
            _ => cmd,
        };
        let features = self.workspace.feature_args(packages);

        let mut nextest =
            Cmd::cargo("nextest").arg("run").args(selection(packages)).args(features.iter().cloned());
        if !packages.is_empty() && options.filter.is_empty() {
            nextest = nextest.arg("--no-tests=warn");
        }
        // Several names mean "any of them" to nextest; cargo test takes them after `--` with the same meaning.
        let nextest = with_anvil(nextest.args(options.filter.iter().cloned()));
        let mut fallback = Cmd::cargo("test")
            .args(selection(packages))
            .args(features.iter().cloned())
            .args(["--all-targets", "--no-fail-fast"]);
        if !options.filter.is_empty() {
            fallback = fallback.arg("--").args(options.filter.iter().cloned());
        }
        let tests = Step {
            name: "Rust tests".to_owned(),
            action: Action::WithTool {
                tool: Tool::CargoNextest,
                cmd: nextest,
                fallback: Some(with_anvil(fallback)),
            },
            needs: None,
        };
        steps.push(if narrowed || options.no_contracts { tests } else { tests.needs(NPM_INSTALL) });

        let libraries: Vec<String> =
            self.chosen(packages).filter(|p| p.has_library).map(|p| p.name.clone()).collect();
        if options.filter.is_empty() && !libraries.is_empty() {
            let selected = if packages.is_empty() { selection(packages) } else { selection(&libraries) };
            let doc = Cmd::cargo("test").arg("--doc").args(selected).args(features);
            steps.push(Step::run("documentation tests", doc));
        }
        Ok(steps)
    }

    pub(crate) fn contracts(&self, check: bool) -> Vec<Step> {
        vec![
            self.npm_install(),
            contracts_step("contracts build", contracts::forge(&self.workspace.root).arg("build")),
            contracts_step("contract artifacts", contracts::artifacts(check)).needs("contracts build"),
        ]
    }

    pub(crate) fn guest(&self, check: bool) -> Vec<Step> {
        vec![Step::run("guest", build_guest(check))]
    }

    pub(crate) fn gas(&self, options: &GasOptions) -> Vec<Step> {
        let mut run = Cmd::cargo("run").args(["--quiet", "--package", "ensemble-gas", "--"]);
        for (on, flag) in [(options.json, "--json"), (options.check, "--check"), (options.write, "--write")] {
            if on {
                run = run.arg(flag);
            }
        }
        if self.anvil_given {
            return vec![Step::run("gas", run)];
        }
        let anvil = contracts::anvil(&self.workspace.root);
        let run = run.env(contracts::ANVIL_VARIABLE, anvil.to_string_lossy());
        vec![self.npm_install(), Step::run("gas", run).needs(NPM_INSTALL)]
    }

    pub(crate) fn chaos(&self, options: &ChaosOptions) -> Vec<Step> {
        // As `cargo xtask test` builds them, so that nothing is compiled twice.
        let test = |name: &str, test: &str| {
            let profile = options.release.then_some("--release");
            Cmd::cargo("test")
                .args(selection(&[]))
                .args(self.workspace.feature_args(&[]))
                .args(profile)
                .args(["--test", name, "--", "--exact", test, "--nocapture"])
        };
        let mut steps = Vec::new();
        if options.seeds > 0 {
            let seeds = test("chaos", "seeds")
                .env("ENSEMBLE_CHAOS_SEEDS", options.seeds.to_string())
                .env("ENSEMBLE_CHAOS_FIRST", options.first_seed.to_string())
                .env("ENSEMBLE_CHAOS_JOBS", options.jobs.to_string());
            steps.push(Step::run("seeds", seeds));
        }
        if options.kills > 0 {
            let kills = test("killed", "killed_again_and_again")
                .env("ENSEMBLE_KILLS", options.kills.to_string())
                .env("ENSEMBLE_KILLS_SEED", options.first_seed.to_string());
            steps.push(Step::run("kills", kills));
        }
        steps
    }

    fn npm_install(&self) -> Step {
        // stdout may belong to `gas --json`.
        Step {
            name: NPM_INSTALL.to_owned(),
            action: Action::NpmInstall(contracts::npm_install().stdout_to_stderr()),
            needs: None,
        }
    }

    fn chosen(&self, packages: &[String]) -> impl Iterator<Item = &'a Package> {
        self.workspace.packages.iter().filter(move |p| packages.is_empty() || packages.contains(&p.name))
    }
}

const NPM_INSTALL: &str = "npm packages";

/// A subcommand of cargo for a package outside the workspace.
fn at(package: &str, subcommand: &str) -> Cmd {
    Cmd::cargo(subcommand).arg("--manifest-path").arg(format!("{package}/Cargo.toml"))
}

/// What `check` looks at in a package outside the workspace: the rest would take it minutes.
fn outside(package: &str) -> [Step; 2] {
    let deny = at(package, "deny").args(["--config", "provers/deny.toml", "--locked", "check"]);
    let action = Action::WithTool {
        tool: Tool::CargoDeny,
        cmd: deny.args(["bans", "licenses", "sources"]),
        fallback: None,
    };
    [
        Step::run(&format!("format, {package}"), at(package, "fmt").args(["--", "--check"])),
        Step { name: format!("dependency policy, {package}"), action, needs: None },
    ]
}

fn build_guest(check: bool) -> Cmd {
    Cmd::new("guests/build.sh").args(check.then_some("--check"))
}

fn contracts_step(name: &'static str, cmd: Cmd) -> Step {
    Step::run(name, cmd).needs(NPM_INSTALL)
}

fn selection(packages: &[String]) -> Vec<String> {
    if packages.is_empty() {
        return vec!["--workspace".to_owned()];
    }
    packages.iter().flat_map(|name| ["--package".to_owned(), name.clone()]).collect()
}

/// The crates of a `cargo tree --prefix none --format {p}` listing that a pattern forbids, sorted, once each.
/// A pattern is a name, or the start of one followed by `*`. `None` when the listing is not one of `package`.
pub(crate) fn forbidden_crates(tree: &str, package: &str, patterns: &[&str]) -> Option<Vec<String>> {
    let mut names = tree.lines().filter_map(|line| line.split_whitespace().next());
    if names.next()? != package {
        return None;
    }
    let matches = |name: &str| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *pattern,
        })
    };
    let mut found: Vec<String> = names.filter(|name| matches(name)).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    Some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::{Action, Planner, Step, forbidden_crates};
    use crate::cli::{CheckOptions, GasOptions, RunOptions, TestOptions};
    use crate::workspace::{Workspace, tests::sample};

    fn planner(workspace: &Workspace) -> Planner<'_> {
        Planner { workspace, installed_anvil: None, anvil_given: false }
    }

    fn only(package: &str) -> RunOptions {
        RunOptions { packages: vec![package.to_owned()], ..RunOptions::default() }
    }

    fn lines(steps: &[Step]) -> Vec<String> {
        steps.iter().map(|step| step.cmd().to_string()).collect()
    }

    #[test]
    fn check_holds_all_of_test_in_its_order() {
        let workspace = sample(false);
        let check = planner(&workspace).check(&CheckOptions::default()).unwrap();
        let test = planner(&workspace).test(&TestOptions::default()).unwrap();
        let mut rest = check.iter();
        assert!(test.iter().all(|step| rest.any(|other| other == step)));
        let fast =
            planner(&workspace).check(&CheckOptions { fast: true, ..CheckOptions::default() }).unwrap();
        assert!(check.starts_with(&fast));
        assert!(!fast.iter().any(|step| test.contains(step)));
    }

    /// A step that only warns protects nothing.
    #[test]
    fn warnings_fail_the_lints_and_the_documentation() {
        let workspace = sample(false);
        let steps = planner(&workspace).check(&CheckOptions::default()).unwrap();
        let lines = lines(&steps);
        let clippy: Vec<_> = lines.iter().filter(|line| line.contains("clippy")).collect();
        // The workspace, and the one package with default features without them.
        assert_eq!(clippy.len(), 2);
        assert!(clippy[1].contains("--package prover --lib --bins --no-default-features"));
        assert!(clippy.iter().all(|line| line.ends_with("-- -D warnings")));
        assert!(
            lines.contains(
                &"RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --workspace --all-features".into()
            )
        );
    }

    #[test]
    fn the_tests_of_a_full_run_get_the_anvil_that_its_first_step_installs() {
        let workspace = sample(false);
        let steps = planner(&workspace).test(&TestOptions::default()).unwrap();
        let rust = steps.iter().find(|step| step.name == "Rust tests").unwrap();
        let line = rust.cmd().to_string();
        assert!(line.starts_with("ENSEMBLE_ANVIL=/w/contracts/node_modules/@foundry-rs/anvil-"), "{line}");
        assert_eq!(rust.needs, Some(&*steps[0].name));
        assert!(matches!(steps[0].action, Action::NpmInstall(_)));
    }

    #[test]
    fn no_contracts_needs_no_node() {
        let workspace = sample(false);
        let options = TestOptions { no_contracts: true, ..TestOptions::default() };
        let lines = lines(&planner(&workspace).test(&options).unwrap());
        assert_eq!(
            lines,
            ["cargo nextest run --workspace --all-features", "cargo test --doc --workspace --all-features"]
        );
    }

    #[test]
    fn a_filter_narrows_to_the_rust_tests_it_names() {
        let workspace = sample(false);
        let options = TestOptions { filter: vec!["reorg".into(), "fee".into()], ..TestOptions::default() };
        let steps = planner(&workspace).test(&options).unwrap();
        assert_eq!(lines(&steps), ["cargo nextest run --workspace --all-features reorg fee"]);
        let Action::WithTool { fallback: Some(fallback), .. } = &steps[0].action else {
            panic!("{steps:?}");
        };
        assert!(fallback.to_string().ends_with("--no-fail-fast -- reorg fee"));
    }

    #[test]
    fn a_package_without_library_has_no_documentation_tests() {
        let workspace = sample(false);
        let of = |name: &str| {
            let options = TestOptions { run: only(name), ..TestOptions::default() };
            lines(&planner(&workspace).test(&options).unwrap())
        };
        assert_eq!(of("tool"), ["cargo nextest run --package tool --all-features --no-tests=warn"]);
        assert_eq!(of("l1")[1..], ["cargo test --doc --package l1 --all-features"]);
    }

    #[test]
    fn a_guest_is_built_or_compared() {
        let workspace = sample(false);
        assert_eq!(lines(&planner(&workspace).guest(false)), ["guests/build.sh"]);
        assert_eq!(lines(&planner(&workspace).guest(true)), ["guests/build.sh --check"]);
        let last = planner(&workspace).check(&CheckOptions::default()).unwrap().pop().unwrap();
        assert_eq!(last.cmd().to_string(), "guests/build.sh --check");
        assert!(matches!(last.action, Action::RunWherePossible { .. }));
    }

    /// Each of them has its format and its dependencies checked by CI, and its lints by a chore of its own.
    #[test]
    fn provers_outside_the_workspace_are_not_forgotten() {
        let workspace = sample(false);
        let check = lines(&planner(&workspace).check(&CheckOptions::default()).unwrap());
        let chore = lines(&planner(&workspace).provers());
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../provers");
        let mut found = 0;
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if !entry.path().join("Cargo.toml").is_file() {
                continue;
            }
            found += 1;
            let manifest =
                format!("--manifest-path provers/{}/Cargo.toml", entry.file_name().to_string_lossy());
            for subcommand in ["fmt", "deny"] {
                let start = format!("cargo {subcommand} {manifest}");
                assert!(check.iter().any(|line| line.starts_with(&start)), "{start}: {check:?}");
            }
            let clippy = format!("cargo clippy {manifest}");
            assert!(
                chore.iter().any(|line| line.contains(&clippy) && line.ends_with("-- -D warnings")),
                "{clippy}: {chore:?}"
            );
        }
        assert_eq!(found, super::PROVERS.len());
    }

    #[test]
    fn an_unknown_package_is_refused_before_anything_runs() {
        let workspace = sample(false);
        let planner = planner(&workspace);
        assert!(planner.check(&CheckOptions { run: only("nobody"), ..CheckOptions::default() }).is_err());
        assert!(planner.test(&TestOptions { run: only("nobody"), ..TestOptions::default() }).is_err());
    }

    #[test]
    fn every_prerequisite_comes_before_its_step() {
        let workspace = sample(false);
        let planner = planner(&workspace);
        let check = planner.check(&CheckOptions::default()).unwrap();
        for steps in [check, planner.contracts(true), planner.gas(&GasOptions::default())] {
            for (i, step) in steps.iter().enumerate() {
                assert!(
                    step.needs.is_none_or(|needed| steps[..i].iter().any(|s| s.name == needed)),
                    "{step:?}"
                );
            }
        }
    }

    #[test]
    fn forbidden_crates_are_found_by_name_and_by_prefix() {
        let tree = "ensemble v0.1.0 (/w)\nethers-core v2.0.14\nethrex-vm v24.0.0\n\nethrex-vm v24.0.0 (*)\nclap_lex v1\n";
        let found = |patterns: &[&str]| forbidden_crates(tree, "ensemble", patterns);
        assert_eq!(found(&["ethers", "clap", "risc0-*"]), Some(vec![]));
        assert_eq!(found(&["ethrex-*"]), Some(vec!["ethrex-vm".to_owned()]));
        assert_eq!(forbidden_crates("", "ensemble", &["x"]), None);
        assert_eq!(forbidden_crates("other v1\n", "ensemble", &["x"]), None);
    }
}
