//! The `command` backend: any executable makes the proofs.
//!
//! For each batch the executable is started in a fresh, empty directory with two more arguments: the path of the input and
//! the path at which it has to leave the result. No shell is involved.
//!
//! | file | content |
//! |---|---|
//! | `input.bin` | the [`BatchInput`], bincode 1 with fixed-size integers, little endian |
//! | `proof.json` | `{"programKey": "0x…", "publicValues": "0x…", "proof": "0x…"}` |
//!
//! `programKey` has 32 bytes, `publicValues` 64 ([`PublicValues`]). What Pico's command line leaves behind is understood
//! too: `riscvVKey` in place of `programKey`, and `proof` as a list of words.
//!
//! When the proof is not wanted any more, or takes too long, the executable is killed (SIGKILL; not what it started: a
//! script that only calls another program does so with `exec`).
//!
//! The executable ends with exit code 0 when it has written the result, and with 65 (`EX_DATAERR` of sysexits.h) when the
//! program refuses the input, so that trying again is in vain. What it writes to its standard error is in the error.
//!
//! Nothing of the result is believed: the sequencer compares public values and program key with what it wants, and has the
//! verifier on L1 check the proof. The directory is new each time, so a result can only be the one of this run.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use alloy_primitives::{B256, Bytes};
use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
use ensemble_messages::ProverType;
use serde::Deserialize;

use crate::{
    backend::{BackendError, BackendProof, Cancel, ProverBackend},
    protocol::encode_input,
};

/// Exit code that says that the program refuses the input (`EX_DATAERR`, sysexits.h).
pub const EXIT_REFUSED: i32 = 65;
/// Longest result that is read.
const MAX_RESULT: u64 = 1 << 20;
/// Most that is told of the executable's own words.
const MAX_WORDS: u64 = 2_000;
/// Largest input that is written.
const MAX_INPUT: usize = 1 << 30;
/// Time between two looks at the executable.
const LOOK: Duration = Duration::from_millis(50);

/// Settings of a [`CommandBackend`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandConfig {
    /// The executable.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<String>,
    /// Kind of the proofs that it makes.
    pub prover_type: ProverType,
    /// Longest time for one proof; then it is killed.
    pub timeout: Duration,
    /// Directory in which each run gets one of its own; the system's directory for temporary files by default.
    pub directory: Option<PathBuf>,
}

/// Has an executable make the proofs.
#[derive(Clone, Debug)]
pub struct CommandBackend {
    config: CommandConfig,
}

/// What an executable leaves behind.
#[derive(Deserialize)]
struct Made {
    #[serde(rename = "programKey", alias = "riscvVKey")]
    program_key: B256,
    #[serde(rename = "publicValues")]
    public_values: Bytes,
    proof: ProofForm,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ProofForm {
    Whole(Bytes),
    Words(Vec<Bytes>),
}

/// Killed and waited for when a run ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> BackendError {
    BackendError::Failed(format!("{what}: {error}"))
}

impl CommandBackend {
    /// A backend that starts this executable for each proof.
    #[must_use]
    pub fn new(config: CommandConfig) -> Self {
        Self { config }
    }

    fn run(&self, folder: &Path, cancel: &Cancel) -> Result<(), BackendError> {
        let Self { config } = self;
        let shown = config.program.display();
        let words = folder.join("stderr");
        let stderr = File::create(&words).map_err(|error| failed("its standard error", &error))?;
        let child = Command::new(&config.program)
            .args(&config.arguments)
            .arg(folder.join("input.bin"))
            .arg(folder.join("proof.json"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(|error| BackendError::Failed(format!("{shown} cannot be started: {error}")))?;
        let mut running = Running(child);
        let end = Instant::now() + config.timeout;
        let status: ExitStatus = loop {
            match running.0.try_wait().map_err(|error| failed("waiting for it", &error))? {
                Some(status) => break status,
                None if cancel.is_cancelled() => return Err(BackendError::Cancelled),
                None if Instant::now() >= end => {
                    let after = config.timeout.as_secs();
                    return Err(BackendError::Failed(format!("{shown} made no proof within {after} s")));
                }
                None => std::thread::sleep(LOOK),
            }
        };
        match status.code() {
            Some(0) => Ok(()),
            Some(EXIT_REFUSED) => Err(BackendError::Refused(last_words(&words))),
            _ => Err(BackendError::Failed(format!("{shown} ended with {status}: {}", last_words(&words)))),
        }
    }
}

impl ProverBackend for CommandBackend {
    fn prover_type(&self) -> ProverType {
        self.config.prover_type
    }

    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("ensemble-prover-");
        let folder = match &self.config.directory {
            Some(directory) => builder.tempdir_in(directory),
            None => builder.tempdir(),
        };
        let folder = folder.map_err(|error| failed("a directory for the proof", &error))?;
        let bytes = encode_input(input, MAX_INPUT).map_err(|error| failed("the input", &error))?;
        std::fs::write(folder.path().join("input.bin"), &bytes)
            .map_err(|error| failed("the input", &error))?;
        drop(bytes);
        self.run(folder.path(), cancel)?;
        read(&folder.path().join("proof.json"))
    }
}

/// The result that was left behind.
fn read(path: &Path) -> Result<BackendProof, BackendError> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| failed("it ended well and left no proof.json", &error))?;
    file.take(MAX_RESULT + 1).read_to_end(&mut text).map_err(|error| failed("proof.json", &error))?;
    if text.len() as u64 > MAX_RESULT {
        return Err(failed("proof.json", &format!("more than {MAX_RESULT} bytes")));
    }
    let made: Made = serde_json::from_slice(&text).map_err(|error| failed("proof.json", &error))?;
    let Some((from, to)) = made.public_values.split_at_checked(32).filter(|(_, to)| to.len() == 32) else {
        let length = made.public_values.len();
        return Err(failed("proof.json", &format!("publicValues has {length} bytes instead of 64")));
    };
    let proof = match made.proof {
        ProofForm::Whole(bytes) => bytes,
        ProofForm::Words(words) => words.concat().into(),
    };
    Ok(BackendProof {
        public_values: PublicValues { from: B256::from_slice(from), to: B256::from_slice(to) },
        program_key: ProgramKey(made.program_key),
        proof,
    })
}

/// The end of what an executable wrote, on one line.
fn last_words(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_WORDS)))?;
        let mut end = Vec::new();
        file.take(MAX_WORDS).read_to_end(&mut end)?;
        Ok(end)
    };
    match read() {
        Ok(end) => {
            let text: String =
                String::from_utf8_lossy(&end).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            if text.trim().is_empty() { "it says nothing".to_owned() } else { text.trim().to_owned() }
        }
        Err(error) => format!("its words are lost: {error}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use alloy_primitives::Address;
    use ensemble_batch::BatchHeader;

    use super::*;
    use crate::protocol::decode_input;

    fn input() -> BatchInput {
        BatchInput {
            parent: BatchHeader::genesis(1, Address::ZERO, 2, B256::ZERO, B256::ZERO),
            parent_block: 4,
            sealed_at: 5,
            da_payload: Bytes::from_static(b"payload"),
            blobs: vec![],
            witnesses: vec![Bytes::from_static(b"{}")],
            in_call_data: false,
            chain_config: Bytes::from_static(b"{}"),
        }
    }

    /// A backend whose executable is a shell with this script; `$1` is the input, `$2` the result.
    fn script(text: &str, timeout: Duration) -> CommandBackend {
        CommandBackend::new(CommandConfig {
            program: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), text.to_owned(), "prover".to_owned()],
            prover_type: ProverType::Pico,
            timeout,
            directory: None,
        })
    }

    fn prove(text: &str) -> Result<BackendProof, BackendError> {
        script(text, Duration::from_secs(60)).prove(&input(), &Cancel::default())
    }

    fn json(proof: &str) -> String {
        let (key, from, to) = (B256::repeat_byte(1), "22".repeat(32), "33".repeat(32));
        format!(r#"{{"programKey": "{key}", "publicValues": "0x{from}{to}", "proof": {proof}}}"#)
    }

    fn expected(proof: &[u8]) -> BackendProof {
        BackendProof {
            public_values: PublicValues { from: B256::repeat_byte(0x22), to: B256::repeat_byte(0x33) },
            program_key: ProgramKey(B256::repeat_byte(1)),
            proof: Bytes::copy_from_slice(proof),
        }
    }

    #[test]
    fn an_executable_gets_the_input_and_leaves_the_proof() {
        let kept = tempfile::NamedTempFile::new().unwrap();
        let text = format!("cp \"$1\" {} && echo '{}' > \"$2\"", kept.path().display(), json("\"0x0a0b\""));
        assert_eq!(prove(&text).unwrap(), expected(&[10, 11]));
        assert_eq!(decode_input(&std::fs::read(kept.path()).unwrap()).unwrap(), input());
        assert_eq!(script(&text, LOOK).prover_type(), ProverType::Pico);
    }

    /// The `inputs.json` of Pico's command line.
    #[test]
    fn picos_form_is_understood() {
        let words = format!("[\"{}\", \"{}\"]", B256::repeat_byte(7), B256::repeat_byte(8));
        let text = json(&words).replace("programKey", "riscvVKey");
        let made = prove(&format!("echo '{text}' > \"$2\"")).unwrap();
        assert_eq!(made, expected(&[[7; 32], [8; 32]].concat()));
    }

    /// SEQ-INV-11: whatever an executable does is an error that says what, and never a proof.
    #[test]
    fn bad_executables() {
        for (text, reason) in [
            ("echo went wrong >&2; exit 3", "went wrong"),
            ("exit 1", "it says nothing"),
            ("kill -9 $$", "signal"),
            ("true", "left no proof.json"),
            ("echo '{' > \"$2\"", "proof.json"),
            ("echo '[]' > \"$2\"", "proof.json"),
            (r#"echo '{"programKey": "0x01", "publicValues": "0x", "proof": "0x"}' > "$2""#, "proof.json"),
            ("head -c 2000000 /dev/zero > \"$2\"", "more than"),
        ] {
            let error = prove(text).unwrap_err();
            assert!(matches!(&error, BackendError::Failed(why) if why.contains(reason)), "{text}: {error}");
        }
        let short = json("\"0x\"").replace(&"33".repeat(32), "33");
        let error = prove(&format!("echo '{short}' > \"$2\"")).unwrap_err();
        assert!(error.to_string().contains("33 bytes instead of 64"), "{error}");
        let nowhere = CommandBackend::new(CommandConfig {
            program: "/nowhere/prover".into(),
            ..script("", LOOK).config
        });
        let error = nowhere.prove(&input(), &Cancel::default()).unwrap_err();
        assert!(error.to_string().contains("/nowhere/prover cannot be started"), "{error}");
    }

    #[test]
    fn a_refused_input_is_not_tried_again() {
        let error = prove("echo the witness is incomplete >&2; exit 65").unwrap_err();
        assert_eq!(error, BackendError::Refused("the witness is incomplete".to_owned()));
    }

    /// A long text on standard error is cut to its end.
    #[test]
    fn many_words_are_cut() {
        let error = prove("head -c 100000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1").unwrap_err();
        let text = error.to_string();
        assert!(text.len() < 2_500 && text.ends_with("the end"), "{}", text.len());
    }

    /// Another prover was faster: the executable is killed, long before its time is over.
    #[test]
    fn a_cancelled_executable_is_killed() {
        let directory = tempfile::TempDir::new().unwrap();
        let mut backend = script("echo $$ > ../pid; exec sleep 1000", Duration::from_secs(600));
        backend.config.directory = Some(directory.path().to_path_buf());
        let (cancel, pid) = (Cancel::default(), directory.path().join("pid"));
        let (cancelling, started) = (cancel.clone(), pid.clone());
        let other = std::thread::spawn(move || {
            // The shell makes the file before it writes to it.
            while !std::fs::read_to_string(&started).is_ok_and(|text| text.ends_with('\n')) {
                std::thread::yield_now();
            }
            cancelling.cancel();
        });
        assert_eq!(backend.prove(&input(), &cancel).unwrap_err(), BackendError::Cancelled);
        other.join().unwrap();
        let process = std::fs::read_to_string(pid).unwrap();
        assert!(!Path::new("/proc").join(process.trim()).exists(), "process {process} still runs");
    }

    /// An executable that never ends is killed, with nothing left behind.
    #[test]
    fn a_silent_executable_is_killed() {
        let directory = tempfile::TempDir::new().unwrap();
        let mut backend = script("echo $$ > ../pid; exec sleep 1000", Duration::from_millis(300));
        backend.config.directory = Some(directory.path().to_path_buf());
        let error = backend.prove(&input(), &Cancel::default()).unwrap_err();
        assert!(error.to_string().contains("no proof within"), "{error}");
        let process = std::fs::read_to_string(directory.path().join("pid")).unwrap();
        assert!(!Path::new("/proc").join(process.trim()).exists(), "process {process} still runs");
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "only the pid is left: {left:?}");
    }
}
