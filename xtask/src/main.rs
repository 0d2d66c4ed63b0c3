//! Chores of the workspace: `cargo xtask --help`.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "printing is what this program is for")]

mod cli;
mod command;
mod contracts;
mod error;
#[cfg(test)]
mod links;
mod plan;
mod runner;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Task};
use crate::error::XtaskError;
use crate::plan::Planner;
use crate::runner::Runner;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, XtaskError> {
    let workspace = Workspace::discover()?;
    let planner = Planner::new(&workspace);
    let (name, steps, list, fail_fast) = match &cli.task {
        Task::Check(options) => ("check", planner.check(options)?, options.run.list, options.run.fail_fast),
        Task::Test(options) => ("test", planner.test(options)?, options.run.list, options.run.fail_fast),
        Task::Contracts(options) => ("contracts", planner.contracts(options.check), options.list, true),
        Task::Provers(options) => ("provers", planner.provers(), options.list, true),
        Task::Guest(options) => ("guest", planner.guest(options.check), options.list, true),
        Task::Gas(options) => ("gas", planner.gas(options), options.list, true),
        Task::Chaos(options) => ("chaos", planner.chaos(options), options.list, false),
    };
    if list {
        for step in &steps {
            println!("{}\n    {}", step.name, step.cmd());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let report = Runner::new(&workspace, fail_fast).run(steps);
    eprint!("{}", report.render(name));
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
