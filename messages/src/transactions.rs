//! Messages between the components that want an L1 transaction and L1Sender, the only one that signs.

use actix::Message;
use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

/// Which key signs. Two roles never share a key, so each has nonces of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SenderRole {
    /// `committer.l1_address`: commit transactions.
    Committer,
    /// `prover_server.l1_address`: verify transactions.
    Prover,
}

impl SenderRole {
    /// Stable name, used in the store and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committer => "committer",
            Self::Prover => "prover",
        }
    }
}

/// Name of an effect on L1 that must happen once, however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IntentId(pub String);

impl std::fmt::Display for IntentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an intent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// `commitBatch`; the blobs are those of the stored batch.
    CommitBatch {
        /// Batch number.
        number: u64,
    },
    /// `verifyBatches` for a range of batches.
    VerifyBatches {
        /// First batch number of the range: the one after the last verified batch.
        first: u64,
        /// Last batch number of the range.
        last: u64,
    },
    /// An empty transfer of the key to itself that uses up a nonce below a transaction in flight.
    UseUpNonce,
}

impl IntentKind {
    /// Whether it verifies this batch.
    #[must_use]
    pub fn verifies(self, number: u64) -> bool {
        match self {
            Self::VerifyBatches { first, last } => (first..=last).contains(&number),
            Self::CommitBatch { .. } | Self::UseUpNonce => false,
        }
    }
}

/// A transaction that somebody wants on L1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxIntent {
    /// Identity: the same id means the same effect.
    pub id: IntentId,
    /// Which key signs.
    pub role: SenderRole,
    /// What it is for.
    pub kind: IntentKind,
    /// Contract to call.
    pub to: Address,
    /// Call data.
    pub data: Bytes,
    /// Number of blobs that go with it; they are read from the stored batch. 0 = an EIP-1559 transaction.
    pub blobs: u64,
}

/// Asks for a transaction.
///
/// Producers: L1Committer, ProofSender. Consumer: L1Sender. Delivery: acknowledged; the reply comes after the
/// intent is in the store. Repeating it is harmless.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
#[rtype(result = "SendReply")]
pub struct Send {
    /// The transaction wanted.
    pub intent: TxIntent,
}

/// Answer to [`Send`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendReply {
    /// Stored; [`TxConfirmed`] or [`TxFailed`] will follow.
    Accepted,
    /// It is on L1 already, in this transaction.
    AlreadyConfirmed {
        /// Hash of the confirmed transaction.
        transaction: B256,
    },
    /// Not stored; ask again later.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A transaction has succeeded on L1 with the configured confirmations.
///
/// Producer: L1Sender. Consumers: L1Committer (commit), ProofSender (verify). Delivery: hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct TxConfirmed {
    /// Which intent.
    pub id: IntentId,
    /// What it was for.
    pub kind: IntentKind,
    /// Hash of the mined transaction.
    pub transaction: B256,
    /// L1 block that holds it.
    pub l1_block: u64,
    /// Gas used.
    pub gas_used: u64,
}

/// A transaction was mined and reverted, or cannot be sent at all.
///
/// Producer: L1Sender. Consumers: L1Committer (commit), ProofSender (verify). Delivery: hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct TxFailed {
    /// Which intent.
    pub id: IntentId,
    /// What it was for.
    pub kind: IntentKind,
    /// Hash of the reverted transaction, none when nothing was mined.
    pub transaction: Option<B256>,
    /// The contract's revert reason or the sender's own.
    pub reason: String,
}
