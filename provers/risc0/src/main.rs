//! A prover client that makes STARKs with RISC Zero's prover, or Groth16 seals where the machine can.
//!
//! It speaks the protocol of docs/proving.md like any other prover client. The receipt is checked here before it is handed
//! in, and again by the sequencer.

use std::path::PathBuf;
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
use kept::Kept;
use risc0_zkvm::sha::Digestible as _;
use risc0_zkvm::{
    Assumptions, CompositeReceipt, Digest, ExecutorEnv, ExecutorImpl, InnerAssumptionReceipt, InnerReceipt,
    MaybePruned, Output, ProverOpts, ProverServer, ReceiptClaim, SegmentReceipt, Session, VerifierContext,
    get_prover_server,
};

mod kept;

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
    /// Cycles of a segment, as a power of two: more need more memory (2^18: 2.3 GB, 2^20: 9 GB) and less time in all.
    #[arg(long, env = "PROVER_CLIENT_RISC0_SEGMENT_PO2", default_value_t = 18,
          value_parser = clap::value_parser!(u32).range(17..=22))]
    segment_po2: u32,
    /// Keep the proof of each segment in this directory, and then the receipt: a prover that is killed goes on where it
    /// was when it gets the same batch again. The receipts stay there.
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

fn failed(error: impl std::fmt::Display) -> BackendError {
    BackendError::Failed(format!("{error:#}"))
}

/// Proves the segments one after the other, but for those that are kept; looks at the cancellation before each.
fn prove_segments(
    server: &dyn ProverServer,
    context: &VerifierContext,
    session: &Session,
    kept: Option<&Kept>,
    batch: u64,
    cancel: &Cancel,
) -> Result<Vec<SegmentReceipt>, BackendError> {
    let (of, mut made, begun) = (session.segments.len(), 0u32, Instant::now());
    let mut receipts = Vec::new();
    for (index, segment) in session.segments.iter().enumerate() {
        if cancel.is_cancelled() {
            return Err(BackendError::Cancelled);
        }
        let (name, number) = (Kept::segment(index), index + 1);
        let there = kept.and_then(|kept| {
            kept.load(&name, |bytes| {
                let receipt: SegmentReceipt = bincode::deserialize(bytes).map_err(failed)?;
                receipt.verify_integrity_with_context(context).map(|()| receipt).map_err(failed)
            })
        });
        if let Some(receipt) = there {
            tracing::info!(batch, segment = number, of, "proven before");
            receipts.push(receipt);
            continue;
        }
        // By the segments so far: they are equally long but for the last.
        let left = begun
            .elapsed()
            .checked_div(made)
            .map(|each| each.saturating_mul(u32::try_from(of - index).unwrap_or(u32::MAX)).as_secs());
        tracing::info!(batch, segment = number, of, seconds = begun.elapsed().as_secs(), left, "proving");
        let receipt =
            segment.resolve().and_then(|segment| server.prove_segment(context, &segment)).map_err(failed)?;
        if let Some(kept) = kept {
            kept.save(&name, &bincode::serialize(&receipt).map_err(failed)?);
        }
        made += 1;
        receipts.push(receipt);
    }
    Ok(receipts)
}

/// The receipt of a session from those of its segments. It is not checked here.
fn join(
    context: &VerifierContext,
    session: &Session,
    mut segments: Vec<SegmentReceipt>,
) -> Result<risc0_zkvm::Receipt, BackendError> {
    // The claim of the last segment is the one that has the journal; nothing is assumed.
    let journal = session.journal.clone().unwrap_or_default();
    if let Some(last) = segments.last_mut() {
        let output = Output {
            journal: MaybePruned::Pruned(journal.digest()),
            assumptions: Assumptions(vec![]).into(),
        };
        last.claim.output = Some(output).into();
    }
    let parameters = context
        .composite_verifier_parameters()
        .ok_or_else(|| failed("RISC Zero's verifier has no parameters"))?
        .digest();
    // RISC Zero's crate makes such a receipt only from a whole session; its fields are public, and so is their encoding.
    let fields: (_, Vec<InnerAssumptionReceipt>, _) = (segments, Vec::new(), parameters);
    let composite: CompositeReceipt =
        bincode::serialize(&fields).and_then(|bytes| bincode::deserialize(&bytes)).map_err(failed)?;
    Ok(risc0_zkvm::Receipt::new(InnerReceipt::Composite(composite), journal.bytes))
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

    /// Name of the file of the receipt.
    fn receipt_name(&self) -> &'static str {
        if self.groth16 { "groth16" } else { "stark" }
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

        let (key, values) = (guest.image_id(), run.values);
        let proof =
            |bytes: Vec<u8>| BackendProof { public_values: values, program_key: key, proof: bytes.into() };
        let kept = match &self.receipts {
            Some(root) => Some(Kept::of(root, batch, key, self.segment_po2, &packed).map_err(|error| {
                failed(format!("cannot write to --receipts {}: {error}", root.display()))
            })?),
            None => None,
        };
        let there = kept.as_ref().and_then(|kept| {
            kept.load(self.receipt_name(), |bytes| {
                let receipt = Receipt::from_bytes(bytes).map_err(failed)?;
                self.check(&receipt, key, &values).map(|()| bytes.to_vec())
            })
        });
        if let (Some(bytes), Some(kept)) = (there, &kept) {
            tracing::info!(batch, directory = %kept.directory().display(), "the receipt is there already");
            return Ok(proof(bytes));
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
        let journal = [values.from.0, values.to.0].concat();
        let wanted = ReceiptClaim::ok(Digest::from(key.0.0), journal).digest();
        let claim = session.claim().map_err(failed)?.digest();
        if claim != wanted {
            return Err(failed(format!(
                "the receipt would claim {claim}, the sequencer takes {wanted} only"
            )));
        }
        // Never by the environment: a development receipt is none here.
        let options = if self.groth16 { ProverOpts::groth16() } else { ProverOpts::composite() };
        let options = options.with_dev_mode(false);
        let context = VerifierContext::default().with_dev_mode(false);
        let begun = Instant::now();
        let server = get_prover_server(&options).map_err(failed)?;
        let segments = prove_segments(server.as_ref(), &context, &session, kept.as_ref(), batch, cancel)?;
        let receipt = join(&context, &session, segments)?;
        let receipt = Receipt::new(server.compress(&options, &receipt).map_err(failed)?);
        let bytes = receipt.to_bytes().map_err(failed)?;
        tracing::info!(batch, seconds = begun.elapsed().as_secs(), bytes = bytes.len(), "proven");
        self.check(&receipt, key, &values)?;
        if let Some(kept) = &kept {
            kept.save(self.receipt_name(), &bytes);
            kept.forget_segments(session.segments.len());
        }
        Ok(proof(bytes))
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
