//! The whole devnet, killed in the middle of its demo and started again on the same data folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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
struct Devnet {
    process: Child,
    lines: Receiver<String>,
    shown: Vec<String>,
}

impl Drop for Devnet {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Devnet {
    fn demo(folder: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_devnet"))
            .args(["--demo", "--transfers", "20", "--datadir"])
            .arg(folder)
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
    fn shows(&mut self, start: &str) -> bool {
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

    fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

/// SEQ-INV-1, SEQ-INV-3, SEQ-INV-4, SEQ-INV-5, SEQ-INV-8: SIGKILL at every step of the demo. The last run checks, from
/// the events of L1, that every deposit of all runs is on the L2 once, and that every batch was committed and
/// verified once.
#[test]
fn goes_on_after_sigkill_at_every_step() {
    let folder = tempfile::tempdir().unwrap();
    for step in ["[1]", "[2]", "[3]", "[4]"] {
        let mut devnet = Devnet::demo(folder.path());
        assert!(devnet.shows(step), "{step} was not reached:\n{}", devnet.shown.join("\n"));
        devnet.process.kill().unwrap();
        let status = devnet.wait();
        assert_eq!(status.code(), None, "{step}: it ended before it was killed: {status}");
    }
    let mut devnet = Devnet::demo(folder.path());
    let right = devnet.shows("Every balance is right.");
    let rest = devnet.shows("\0");
    let status = devnet.wait();
    assert!(right && !rest && status.success(), "{status}\n{}", devnet.shown.join("\n"));
    let says = devnet.shown.iter().find(|line| line.contains("L1 says:")).expect("the demo compares with L1");
    // Every run got as far as its deposit, the first one perhaps not.
    assert!(says.contains("4 deposit(s)") || says.contains("5 deposit(s)"), "{says}");
}
