//! Messages between prover sessions and ProofManager, and what they carry.

use std::{str::FromStr, sync::Arc};

use actix::Message;
use alloy_primitives::Bytes;
use ensemble_batch::{ProgramKey, PublicValues};
use serde::{Deserialize, Serialize};

/// Kind of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProverType {
    /// Native re-execution, attested by a signature over the public values (EIP-712).
    Exec,
    /// RISC Zero.
    Risc0,
    /// Succinct SP1.
    Sp1,
    /// Brevis Pico.
    Pico,
}

impl ProverType {
    /// Every type, in the order of the contract's configuration.
    pub const ALL: [Self; 4] = [Self::Exec, Self::Risc0, Self::Sp1, Self::Pico];

    /// Stable lower-case name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Risc0 => "risc0",
            Self::Sp1 => "sp1",
            Self::Pico => "pico",
        }
    }

    /// Whether provers make one proof of several ([`JoinProofs`]). Those of the zkVMs do not yet.
    #[must_use]
    pub fn joins(self) -> bool {
        match self {
            Self::Exec => true,
            Self::Risc0 | Self::Sp1 | Self::Pico => false,
        }
    }
}

impl std::fmt::Display for ProverType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no prover type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown prover type `{0}`: expected one of exec, risc0, sp1, pico")]
pub struct UnknownProverType(pub String);

impl FromStr for ProverType {
    type Err = UnknownProverType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|t| t.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| UnknownProverType(text.to_owned()))
    }
}

/// A proof for one batch, or for a range of batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchProof {
    /// Kind of proof.
    pub prover_type: ProverType,
    /// Batch it is for; of a range the last one.
    pub batch_number: u64,
    /// What it proves. Where the range begins is said by `from`.
    pub public_values: PublicValues,
    /// Program that was run.
    pub program_key: ProgramKey,
    /// The proof itself; for `exec` 65 bytes `r || s || v`.
    pub proof: Bytes,
}

/// Number of a prover's TCP session, unique while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// Number of a lease, unique for ever within a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseId(pub u64);

/// Who a prover says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProverIdentity {
    /// Name chosen by its operator, for logs.
    pub name: String,
    /// Address it connects from.
    pub peer: String,
    /// Kind of proof it makes.
    pub prover_type: ProverType,
}

/// A prover has said hello.
///
/// Producer: ProverSession, routed by SystemActor. Consumer: ProofManager. Delivery: acknowledged; `false` refuses
/// the session (its prover type is not wanted, or it is in quarantine).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "Result<(), String>")]
pub struct Register {
    /// The session.
    pub session: SessionId,
    /// Who it is.
    pub prover: ProverIdentity,
}

/// A prover wants work.
///
/// Producer: ProverSession. Consumer: ProofManager. Delivery: acknowledged; the lease is stored before the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "WorkReply")]
pub struct RequestWork {
    /// The session.
    pub session: SessionId,
    /// Who it is.
    pub prover: ProverIdentity,
}

/// What is to be proven. Goes over the wire by the order of its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProofTask {
    /// One batch.
    Batch {
        /// Its number.
        number: u64,
    },
    /// A range of batches, by their own proofs: one proof is made of several ([`JoinProofs`]).
    Join {
        /// Number of the first batch.
        first: u64,
        /// Number of the last batch.
        last: u64,
    },
}

impl ProofTask {
    /// The last batch that the proof is about.
    #[must_use]
    pub fn last_batch(self) -> u64 {
        match self {
            Self::Batch { number } => number,
            Self::Join { last, .. } => last,
        }
    }
}

impl std::fmt::Display for ProofTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Batch { number } => write!(f, "batch {number}"),
            Self::Join { first, last } => write!(f, "batches {first} to {last}"),
        }
    }
}

/// A job: something to prove, leased for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The lease, which names the job in all that follows.
    pub lease: LeaseId,
    /// What to prove.
    pub task: ProofTask,
    /// Milliseconds after which the batch is given to somebody else unless a [`Heartbeat`] comes.
    pub lease_ms: u64,
    /// What the program needs. Shared: all provers of a batch are sent the same bytes.
    pub input: Arc<PackedInput>,
}

/// `bincode` of what a [`ProofTask`] needs, compressed: an [`ensemble_batch::BatchInput`], or the proofs to be joined.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedInput {
    /// Bytes before compression.
    pub bytes: u64,
    /// One zstd frame.
    pub packed: Bytes,
}

impl std::fmt::Debug for PackedInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedInput").field("bytes", &self.bytes).field("packed", &self.packed.len()).finish()
    }
}

/// Answer to [`RequestWork`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkReply {
    /// Prove this.
    Work(Work),
    /// Nothing to do now.
    Idle {
        /// Milliseconds to wait before asking again.
        retry_after_ms: u64,
    },
    /// This prover will get nothing.
    Refused {
        /// Why.
        reason: String,
    },
}

/// One proof of each kind is wanted for a range of batches that are proven one by one.
///
/// Producer: ProofSender. Consumer: ProofManager. Delivery: hint, sent again and again while it is wanted; the last one
/// counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct JoinProofs {
    /// First batch of the range.
    pub first: u64,
    /// Last batch of the range.
    pub last: u64,
}

/// Nobody makes the proof of a range: its batches have to be verified one by one.
///
/// Producer: ProofManager. Consumer: ProofSender. Delivery: hint; without it the ProofSender waits its time out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct JoinGivenUp {
    /// The range, as it was wanted.
    pub range: JoinProofs,
    /// Why.
    pub reason: String,
}

/// A prover is still at work on its lease.
///
/// Producer: ProverSession. Consumer: ProofManager. Delivery: acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "LeaseState")]
pub struct Heartbeat {
    /// The session.
    pub session: SessionId,
    /// Who it is.
    pub prover: ProverIdentity,
    /// The lease.
    pub lease: LeaseId,
    /// What it was given for.
    pub task: ProofTask,
}

/// Answer to [`Heartbeat`]. Goes over the wire by the order of its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LeaseState {
    /// The lease goes on.
    Alive,
    /// Somebody else may have the job by now; a proof is still taken, whoever is first.
    Lost,
    /// No such proof is wanted any more, as another prover has finished it: the work is in vain.
    Done,
}

/// A prover's session is over.
///
/// Producer: ProverSession. Consumer: ProofManager. Delivery: a hint; without it the lease runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct SessionEnded {
    /// The session.
    pub session: SessionId,
    /// It said goodbye: whatever it was at will not be finished.
    pub goodbye: bool,
}

/// A prover hands in a proof.
///
/// Producer: ProverSession. Consumer: ProofManager. Delivery: acknowledged; the reply `Accepted` comes after the
/// proof is checked against the batch's public values and stored (SEQ-INV-6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "SubmitReply")]
pub struct SubmitProof {
    /// The session.
    pub session: SessionId,
    /// Who it is.
    pub prover: ProverIdentity,
    /// The lease, when the prover has one.
    pub lease: LeaseId,
    /// The proof.
    pub proof: BatchProof,
}

/// Why a prover gives a job back without a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// The program refused the input: another try of this prover gives the same.
    Refused,
    /// The prover itself failed: another try, or another prover, may do better.
    Failed,
}

impl std::fmt::Display for FailureKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Refused => "the program refused the input",
            Self::Failed => "the prover failed",
        })
    }
}

/// A prover has no proof to hand in for its lease, and says why.
///
/// Producer: ProverSession. Consumer: ProofManager. Delivery: acknowledged after the lease is ended and the failure is
/// stored; `false` when it could not be stored, so that it has to be told again. Telling twice counts once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "bool")]
pub struct ProvingFailed {
    /// The session.
    pub session: SessionId,
    /// Who it is.
    pub prover: ProverIdentity,
    /// The lease that ends.
    pub lease: LeaseId,
    /// What failed.
    pub kind: FailureKind,
    /// The prover's words, bounded by the protocol.
    pub reason: String,
}

/// Why a proof was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProofRejection {
    /// No such batch, or it needs no proof of this kind.
    NotWanted,
    /// It proves other public values than the batch's; the program saw another batch or other data.
    WrongPublicValues {
        /// What the batch has.
        expected: PublicValues,
        /// What the proof says.
        got: PublicValues,
    },
    /// It was made by another program or for other chain rules.
    WrongProgram {
        /// The key registered on L1.
        expected: ProgramKey,
        /// The key of the proof.
        got: ProgramKey,
    },
    /// The proof does not verify.
    Invalid(String),
    /// This prover handed in bad proofs before and is not listened to any more.
    Quarantined,
}

impl std::fmt::Display for ProofRejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotWanted => f.write_str("no proof of this kind is wanted for this batch"),
            Self::WrongPublicValues { expected, got } => write!(
                f,
                "the proof is about other data: batch has {} -> {}, proof says {} -> {}",
                expected.from, expected.to, got.from, got.to
            ),
            Self::WrongProgram { expected, got } => {
                write!(f, "the proof is of program {}, wanted {}", got.0, expected.0)
            }
            Self::Invalid(why) => write!(f, "the proof does not verify: {why}"),
            Self::Quarantined => f.write_str("this prover is in quarantine after bad proofs"),
        }
    }
}

/// Answer to [`SubmitProof`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubmitReply {
    /// Checked and stored.
    Accepted,
    /// A proof of this kind was there already; nothing was changed.
    Duplicate,
    /// Refused; the batch is given to somebody else.
    Rejected(ProofRejection),
    /// It could not be stored now; hand it in again.
    RetryLater {
        /// Milliseconds to wait.
        retry_after_ms: u64,
    },
}
