//! The devnet as a process.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

/// Most patience with one run of the demo.
const LIMIT: Duration = Duration::from_secs(180);

/// A running demo; killed on drop.
pub(crate) struct Devnet {
    pub(crate) process: Child,
    lines: Receiver<String>,
    pub(crate) shown: Vec<String>,
}

impl Drop for Devnet {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Devnet {
    /// The demo with 20 transfers.
    pub(crate) fn demo(folder: &Path, more: &[&str]) -> Self {
        Self::start(folder, &[&["--demo", "--transfers", "20"], more].concat())
    }

    /// The devnet on free ports, with its data in this folder.
    pub(crate) fn start(folder: &Path, more: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_devnet"))
            .arg("--datadir")
            .arg(folder)
            .args(more)
            .args(["--l1-port", "0", "--l2-port", "0", "--auth-port", "0", "--beacon-port", "0"])
            .args(["--prover-port", "0", "--admin-port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, lines, shown: Vec::new() }
    }

    /// Reads what it shows up to a line that begins with `start`; false when it ends before.
    pub(crate) fn shows(&mut self, start: &str) -> bool {
        let end = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = line.starts_with(start);
                    self.shown.push(line);
                    if found {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("`{start}` was not shown in time:\n{}", self.shown.join("\n"))
                }
            }
        }
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}
