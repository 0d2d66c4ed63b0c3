//! A prover client that makes STARKs with RISC Zero's prover, or Groth16 seals where the machine can.
//!
//! It speaks the protocol of docs/proving.md like any other prover client. The receipt is checked here before it is handed
//! in, and again by the sequencer.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
use ensemble_messages::ProverType;
use ensemble_program::GuestInput;
use ensemble_prover::backend::{BackendError, BackendProof, Cancel, ProverBackend};
use ensemble_prover::risc0::Guests;
use ensemble_prover::{ProverClient, ProverClientConfig};
use ensemble_risc0::{Limits, Receipt, Seals};
use risc0_zkvm::sha::Digestible as _;
use risc0_zkvm::{
    Digest, ExecutorEnv, ExecutorImpl, ProverOpts, ReceiptClaim, Segment, SegmentRef, Session,
    VerifierContext, get_prover_server,
};

/// Asks a sequencer for batches and proves them.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address of the sequencer's prover server, e.g. 127.0.0.1:3900.
    endpoint: String,
    /// Name that the sequencer shows for this prover.
    name: String,
    /// Token that the prover server asks for.
    #[arg(long, env = "PROVER_CLIENT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Wrap each proof into the Groth16 seal that L1 takes. RISC Zero does this in a container, on x86-64 only.
    #[arg(long)]
    groth16: bool,
    /// Cycles of a segment, as a power of two: more need more memory (2^18: 2.3 GB, 2^20: 9 GB) and less time.
    #[arg(long, env = "PROVER_CLIENT_RISC0_SEGMENT_PO2", default_value_t = 18,
          value_parser = clap::value_parser!(u32).range(15..=22))]
    segment_po2: u32,
    /// Keep every receipt in this directory, and take it from there when its batch comes again: a prover that is stopped
    /// before the sequencer has its proof does not make it anew. Nothing is deleted there.
    #[arg(long, env = "PROVER_CLIENT_RISC0_RECEIPTS", value_name = "DIR")]
    receipts: Option<PathBuf>,
}

/// Proves each batch in one process. Looks at the cancellation while it executes, and before each segment is proven.
struct Prover {
    guests: Guests,
    groth16: bool,
    segment_po2: u32,
    receipts: Option<PathBuf>,
}

/// A segment that says when its turn comes, and that is not given out any more after a cancellation. The prover asks for
/// each segment just before it proves it, and for no other reason.
struct Watched {
    inner: Box<dyn SegmentRef>,
    batch: u64,
    index: usize,
    segments: usize,
    begun: Instant,
    cancel: Cancel,
}

/// The same session with its segments watched. `begun` is now.
fn watched(mut session: Session, batch: u64, cancel: &Cancel) -> Session {
    let (begun, segments) = (Instant::now(), session.segments.len());
    let watch = |(index, inner)| -> Box<dyn SegmentRef> {
        Box::new(Watched { inner, batch, index, segments, begun, cancel: cancel.clone() })
    };
    session.segments = session.segments.into_iter().enumerate().map(watch).collect();
    session
}

impl SegmentRef for Watched {
    fn resolve(&self) -> anyhow::Result<Segment> {
        anyhow::ensure!(!self.cancel.is_cancelled(), "cancelled");
        let segment = self.inner.resolve()?;
        let elapsed = self.begun.elapsed();
        // By the segments so far: they are equally long but for the last.
        let left = u32::try_from(self.index)
            .ok()
            .and_then(|done| elapsed.checked_div(done))
            .map(|each| each.saturating_mul(u32::try_from(self.segments - self.index).unwrap_or(u32::MAX)));
        tracing::info!(
            batch = self.batch,
            segment = self.index + 1,
            of = self.segments,
            seconds = elapsed.as_secs(),
            left = left.map(|left| left.as_secs()),
            "proving"
        );
        Ok(segment)
    }
}

fn failed(error: impl std::fmt::Display) -> BackendError {
    BackendError::Failed(format!("{error:#}"))
}

/// A file is there whole or not at all.
fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

impl Prover {
    /// Checks a receipt as the sequencer will.
    fn check(&self, receipt: &Receipt, key: ProgramKey, values: &PublicValues) -> Result<(), BackendError> {
        if self.groth16 {
            receipt.check(key, values, Seals::Groth16).map(|_| ()).map_err(failed)
        } else {
            receipt.check_stark(key, values).map_err(failed)
        }
    }

    /// Where the receipt of these values is kept.
    fn path(&self, batch: u64, values: &PublicValues) -> Option<PathBuf> {
        let kind = if self.groth16 { "groth16" } else { "stark" };
        let name = format!("batch-{batch}-{}.{kind}", values.to);
        self.receipts.as_ref().map(|directory| directory.join(name))
    }

    /// The receipt that was kept, if it is one of this program and these values.
    fn kept(&self, path: &Path, key: ProgramKey, values: &PublicValues) -> Option<Vec<u8>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the receipt cannot be read; proving anew");
                return None;
            }
        };
        let checked =
            Receipt::from_bytes(&bytes).map_err(failed).and_then(|receipt| self.check(&receipt, key, values));
        match checked {
            Ok(()) => Some(bytes),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "this is not the batch's receipt; proving anew");
                None
            }
        }
    }
}

impl ProverBackend for Prover {
    fn prover_type(&self) -> ProverType {
        ProverType::Risc0
    }

    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        let guest = self.guests.of(input)?;
        let batch = input.parent.number.saturating_add(1);
        let packed = GuestInput::new(input)
            .and_then(|packed| packed.to_bytes())
            .map_err(|e| BackendError::Refused(e.to_string()))?;
        // Says what the program refuses, and what it takes, before hours go into a proof.
        let limits = Limits { segment_po2: self.segment_po2 as usize, ..Limits::default() };
        let run = guest.execute_bytes(&packed, limits, &|| cancel.is_cancelled())?;
        tracing::info!(
            batch,
            user = run.user_cycles,
            total = run.total_cycles,
            segments = run.segments,
            "executed"
        );

        let path = self.path(batch, &run.values);
        if let Some(path) = &path
            && let Some(bytes) = self.kept(path, guest.image_id(), &run.values)
        {
            tracing::info!(batch, path = %path.display(), "the receipt is there already");
            return Ok(BackendProof {
                public_values: run.values,
                program_key: guest.image_id(),
                proof: bytes.into(),
            });
        }
        let env = ExecutorEnv::builder()
            .write_slice(&packed)
            .segment_limit_po2(self.segment_po2)
            .build()
            .map_err(failed)?;
        let session =
            ExecutorImpl::from_elf(env, guest.binary()).and_then(|mut e| e.run()).map_err(failed)?;
        if cancel.is_cancelled() {
            return Err(BackendError::Cancelled);
        }
        // What the receipt will claim is known already: hours later it would be too late to look.
        let values = [run.values.from.0, run.values.to.0].concat();
        let wanted = ReceiptClaim::ok(Digest::from(guest.image_id().0.0), values).digest();
        let claim = session.claim().map_err(failed)?.digest();
        if claim != wanted {
            return Err(failed(format!(
                "the receipt would claim {claim}, the sequencer takes {wanted} only"
            )));
        }
        let options = if self.groth16 { ProverOpts::groth16() } else { ProverOpts::composite() };
        let begun = Instant::now();
        let session = watched(session, batch, cancel);
        // Never by the environment: a development receipt is none here.
        let context = VerifierContext::default().with_dev_mode(false);
        let receipt = get_prover_server(&options.with_dev_mode(false))
            .and_then(|prover| prover.prove_session(&context, &session))
            .map_err(|error| if cancel.is_cancelled() { BackendError::Cancelled } else { failed(error) })?
            .receipt;
        let receipt = Receipt::new(receipt);
        let bytes = receipt.to_bytes().map_err(failed)?;
        tracing::info!(batch, seconds = begun.elapsed().as_secs(), bytes = bytes.len(), "proven");
        self.check(&receipt, guest.image_id(), &run.values)?;
        if let Some(path) = &path
            && let Err(error) = save(path, &bytes)
        {
            tracing::warn!(path = %path.display(), %error, "the receipt was not kept; it is handed in all the same");
        }
        Ok(BackendProof { public_values: run.values, program_key: guest.image_id(), proof: bytes.into() })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "info,risc0_zkvm=warn".into()),
        )
        .init();
    let args = Args::parse();
    if let Some(directory) = &args.receipts
        && let Err(error) = std::fs::create_dir_all(directory)
    {
        tracing::error!(path = %directory.display(), %error, "no directory for receipts: give another --receipts");
        return ExitCode::FAILURE;
    }
    let Args { endpoint, name, token, groth16, segment_po2, receipts } = args;
    let backend = Prover { guests: Guests::default(), groth16, segment_po2, receipts };
    let config = ProverClientConfig {
        prover_server_endpoint: endpoint,
        name,
        prover_type: ProverType::Risc0,
        token,
        ..ProverClientConfig::default()
    };
    let ran = match ProverClient::new(config, Box::new(backend)) {
        Ok(client) => {
            client
                .run(async {
                    if let Err(error) = tokio::signal::ctrl_c().await {
                        tracing::error!(%error, "ctrl-c is not heard");
                        std::future::pending::<()>().await;
                    }
                })
                .await
        }
        Err(error) => Err(error),
    };
    match ran {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "ended");
            ExitCode::FAILURE
        }
    }
}
