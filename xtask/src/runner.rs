//! Runs steps one after the other and says how each went.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::command::Cmd;
use crate::contracts;
use crate::error::XtaskError;
use crate::plan::{Action, Step, forbidden_crates};
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// Why, and the line that runs the step alone.
    Failed {
        reason: String,
        command: String,
    },
    Skipped {
        because: String,
    },
    /// This machine cannot do it, which is no failure.
    NotHere {
        because: String,
    },
}

/// `EX_UNAVAILABLE` of sysexits.h: what the program needs is not to be had here.
const EX_UNAVAILABLE: i32 = 69;

/// Why a step did not pass.
enum Fault {
    Failure(String),
    NotHere(String),
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Failure(reason)
    }
}

#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<(String, Outcome, Duration)>,
}

impl Report {
    /// Whether every step passed that this machine can do.
    pub(crate) fn passed(&self) -> bool {
        self.rows.iter().all(|(_, outcome, _)| matches!(outcome, Outcome::Passed | Outcome::NotHere { .. }))
    }

    fn outcome_of(&self, name: &str) -> Option<&Outcome> {
        self.rows.iter().find(|(step, ..)| *step == name).map(|(_, outcome, _)| outcome)
    }

    /// The table of durations, what failed, and one closing line.
    pub(crate) fn render(&self, task: &str) -> String {
        let width = self.rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        let mut text = format!("\n==> {task}: summary\n");
        let mut push = |line: std::fmt::Arguments<'_>| {
            // Writing to a String cannot fail.
            text.write_fmt(line).ok();
        };
        for (name, outcome, took) in &self.rows {
            let (word, note) = match outcome {
                Outcome::Passed => ("ok", String::new()),
                Outcome::Failed { reason, .. } => ("FAILED", format!("  {reason}")),
                Outcome::Skipped { because } => ("skipped", format!("  {because}")),
                Outcome::NotHere { because } => ("NOT RUN", format!("  {because}")),
            };
            push(format_args!("    {name:width$}  {word:<7}  {:>8}{note}\n", shown(*took)));
        }
        for (name, outcome, _) in &self.rows {
            if let Outcome::Failed { command, .. } = outcome {
                push(format_args!("    run `{name}` alone: {command}\n"));
            }
        }
        let total: Duration = self.rows.iter().map(|(.., took)| *took).sum();
        let count = |wanted: fn(&Outcome) -> bool| self.rows.iter().filter(|(_, o, _)| wanted(o)).count();
        push(format_args!(
            "==> {task}: {} steps ok, {} failed, {} skipped, in {}\n",
            count(|o| matches!(o, Outcome::Passed)),
            count(|o| matches!(o, Outcome::Failed { .. })),
            count(|o| matches!(o, Outcome::Skipped { .. } | Outcome::NotHere { .. })),
            shown(total),
        ));
        text
    }
}

/// `1m05s` or `0.4s`.
fn shown(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds >= 60 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1}s", took.as_secs_f64())
    }
}

pub(crate) struct Runner<'a> {
    workspace: &'a Workspace,
    fail_fast: bool,
    tools: Option<PathBuf>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(workspace: &'a Workspace, fail_fast: bool) -> Self {
        Self { workspace, fail_fast, tools: None }
    }

    pub(crate) fn run(mut self, steps: Vec<Step>) -> Report {
        let count = steps.len();
        let mut report = Report { rows: Vec::with_capacity(count) };
        for (i, step) in steps.into_iter().enumerate() {
            let blocked = step.needs.filter(|needed| report.outcome_of(needed) != Some(&Outcome::Passed));
            let stopped =
                self.fail_fast && report.rows.iter().any(|(_, o, _)| matches!(o, Outcome::Failed { .. }));
            let begun = Instant::now();
            let outcome = if let Some(needed) = blocked {
                Outcome::Skipped { because: format!("needs `{needed}`") }
            } else if stopped {
                Outcome::Skipped { because: "a step before it failed".to_owned() }
            } else {
                let command = step.cmd().to_string();
                eprintln!("\n==> [{}/{count}] {}\n    $ {command}", i + 1, step.name);
                match self.perform(&step.action) {
                    Ok(()) => Outcome::Passed,
                    Err(Fault::Failure(reason)) => Outcome::Failed { reason, command },
                    Err(Fault::NotHere(because)) => Outcome::NotHere { because },
                }
            };
            let took = begun.elapsed();
            match &outcome {
                Outcome::Passed => eprintln!("    ok in {}", shown(took)),
                Outcome::Failed { reason, command } => {
                    eprintln!("    FAILED in {}: {reason}\n    run it alone: {command}", shown(took));
                }
                Outcome::Skipped { because } => {
                    eprintln!("\n==> [{}/{count}] {}: skipped, {because}", i + 1, step.name)
                }
                Outcome::NotHere { because } => eprintln!("    NOT RUN: {because}"),
            }
            report.rows.push((step.name, outcome, took));
        }
        report
    }

    fn perform(&mut self, action: &Action) -> Result<(), Fault> {
        match action {
            Action::Run(cmd) => Ok(self.execute(cmd)?),
            Action::RunWherePossible { cmd, because } => match self.status(cmd)? {
                status if status.code() == Some(EX_UNAVAILABLE) => Err(Fault::NotHere((*because).to_owned())),
                status => Ok(succeeded(status)?),
            },
            Action::NpmInstall(cmd) => {
                contracts::check_lock(&self.workspace.root)?;
                if contracts::is_installed(&self.workspace.root) {
                    eprintln!("    the packages of this lock file are installed");
                    return Ok(());
                }
                self.execute(cmd)?;
                contracts::mark_installed(&self.workspace.root)
                    .map_err(|e| format!("cannot note the install: {e}").into())
            }
            Action::WithTool { tool, cmd, fallback } => match (self.provide(*tool), fallback) {
                (Ok(()), _) => Ok(self.execute(cmd)?),
                (Err(reason), None) => Err(reason.into()),
                (Err(reason), Some(fallback)) => {
                    eprintln!("    {reason}\n    using this instead: {fallback}");
                    Ok(self.execute(fallback)?)
                }
            },
            Action::LeanTree { cmd, package, forbidden } => {
                let output = cmd.process(&self.workspace.root, None).output().map_err(|e| e.to_string())?;
                if !output.status.success() {
                    return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
                }
                match forbidden_crates(&String::from_utf8_lossy(&output.stdout), package, forbidden) {
                    None => Err(format!("`cargo tree` did not list `{package}` first").into()),
                    Some(found) if found.is_empty() => Ok(()),
                    Some(found) => Err(format!(
                        "`{package}` without default features depends on {}: put it behind a feature \
                         (`cargo tree --invert NAME` says who asks for it)",
                        found.join(", ")
                    )
                    .into()),
                }
            }
        }
    }

    fn execute(&self, cmd: &Cmd) -> Result<(), String> {
        succeeded(self.status(cmd)?)
    }

    fn status(&self, cmd: &Cmd) -> Result<ExitStatus, String> {
        let path = self.tools.as_ref().map(|dir| dir.join("bin"));
        cmd.process(&self.workspace.root, path.as_deref())
            .status()
            .map_err(|source| XtaskError::Spawn { command: cmd.to_string(), source }.to_string())
    }

    /// Installs the tool unless it is there.
    fn provide(&mut self, tool: Tool) -> Result<(), String> {
        let dir = tools::directory(&self.workspace.target).map_err(|e| e.to_string())?;
        self.tools = Some(dir.clone());
        if let Some(version) = tool.find(&dir) {
            eprintln!("    {} {version}", tool.name());
            return Ok(());
        }
        let install = tool.install(&dir);
        eprintln!("    {} is missing: building it once, about five minutes\n    $ {install}", tool.name());
        self.execute(&install).map_err(|e| format!("cannot install {}: {e}", tool.name()))?;
        tool.find(&dir).map(drop).ok_or_else(|| format!("{} is installed but does not run", tool.name()))
    }
}

fn succeeded(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Report, Runner, shown};
    use crate::command::Cmd;
    use crate::plan::{Action, Step};
    use crate::workspace::tests::sample;

    fn step(name: &'static str, program: &str, needs: Option<&'static str>) -> Step {
        Step { name: name.to_owned(), action: Action::Run(Cmd::new(program)), needs }
    }

    fn run(fail_fast: bool, steps: Vec<Step>) -> Report {
        let mut workspace = sample(false);
        workspace.root = std::env::temp_dir();
        Runner::new(&workspace, fail_fast).run(steps)
    }

    #[test]
    fn one_failed_step_fails_the_run_and_blocks_only_what_needs_it() {
        let steps = vec![
            step("a", "false", None),
            step("b", "true", Some("a")),
            step("c", "true", Some("b")),
            step("d", "true", None),
        ];
        let report = run(false, steps.clone());
        assert!(!report.passed());
        let text = report.render("check");
        assert!(text.contains("b  skipped") && text.contains("needs `a`"), "{text}");
        assert!(text.contains("c  skipped") && text.contains("d  ok"), "{text}");
        assert!(text.contains("run `a` alone: false"), "{text}");
        assert!(text.contains("==> check: 1 steps ok, 1 failed, 2 skipped"), "{text}");
        assert!(run(true, steps).render("check").contains("0 steps ok, 1 failed, 3 skipped"));
    }

    #[test]
    fn a_program_that_is_not_there_fails_its_step() {
        let report = run(false, vec![step("a", "no-such-program-here", None)]);
        assert!(!report.passed());
        assert!(report.render("check").contains("is it installed and on PATH?"));
    }

    #[test]
    fn what_this_machine_cannot_do_is_shown_and_is_no_failure() {
        let exits = |code: &str| {
            let cmd = Cmd::new("sh").args(["-c", code]);
            let action = Action::RunWherePossible { cmd, because: "no packages" };
            run(false, vec![Step { name: "guest".to_owned(), action, needs: None }])
        };
        let report = exits("exit 69");
        assert!(report.passed());
        let text = report.render("check");
        assert!(text.contains("guest  NOT RUN") && text.contains("no packages"), "{text}");
        assert!(text.contains("0 steps ok, 0 failed, 1 skipped"), "{text}");
        assert!(!exits("exit 1").passed());
        assert!(exits("exit 0").render("check").contains("1 steps ok"));
    }

    #[test]
    fn all_passed() {
        let report = run(true, vec![step("a", "true", None), step("b", "true", Some("a"))]);
        assert!(report.passed());
        assert!(report.render("test").contains("==> test: 2 steps ok, 0 failed, 0 skipped"));
    }

    #[test]
    fn a_forbidden_dependency_fails_the_lean_tree() {
        let tree = |lines: &str| {
            let cmd = Cmd::new("printf").arg(lines);
            let action = Action::LeanTree { cmd, package: "ensemble", forbidden: &["clap", "ethrex-*"] };
            run(false, vec![Step { name: "tree".to_owned(), action, needs: None }])
        };
        assert!(tree("ensemble v0.1.0\nactix v0.13.5\n").passed());
        let bad = tree("ensemble v0.1.0\nethrex-vm v24.0.0\n");
        assert!(!bad.passed());
        assert!(bad.render("check").contains("depends on ethrex-vm"));
        assert!(!tree("").passed());
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(shown(Duration::from_millis(440)), "0.4s");
        assert_eq!(shown(Duration::from_secs(65)), "1m05s");
    }
}
