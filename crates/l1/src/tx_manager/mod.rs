//! Carries transactions of one key through to confirmation: a pure state machine without I/O.
//!
//! The owner of the key (one per key) does what [`TxManager::next_action`] says and reports back what came of it.
//! An *intent* is an effect wanted on L1; it gets one nonce and keeps it, however often its transaction is replaced.
//!
//! ```text
//!              on_intent          Sign{Fresh} or Adopt     on_signed, on_adopted
//!   (nothing) ──────────▶ queued ─────────────────▶ signing ───────────────▶ pending ◀───────────────────┐
//!                           ▲                          │                      │ │ │                      │
//!                           └── on_sign_failed ────────┤     Broadcast ◀──────┘ │ └─▶ Sign{Bump} ────────┤
//!                               (retry, fee cap)       │     (again after a     │     (after               │
//!                                                      │      failure, same     │      resubmit_after,     │
//!                                    Failed{Unsendable}◀      bytes)            │      or underpriced)     │
//!                                                                               │                          │
//!                                               CheckReceipts, of *every* hash ◀┘                          │
//!                                                 │            │            │                              │
//!                          one of them is mined ◀─┘            │            └─▶ none is mined, but the     │
//!                                  │                           │                nonce is used up, in       │
//!                                  ▼                           ▼                three rounds and for       │
//!                                mined ── receipt gone ── (nothing yet)         `confirmations` blocks     │
//!                                  │      (reorg): broadcast                     │                         │
//!              `confirmations`     │      the same bytes again ──────────────────┼─────────────────────────┘
//!              reached             ▼                                             ▼
//!                     Confirmed / Reverted (by status)                   Failed{ForeignNonce}
//! ```
//!
//! What holds (SEQ-INV-5):
//! - an intent has at most one nonce, and no two live intents have the same;
//! - every hash ever signed for an intent is tracked until its outcome, and whichever is mined decides it;
//! - an intent whose bytes may have reached any node never fails by time: it ends only by a receipt with enough
//!   confirmations, or by another transaction that used its nonce with as many;
//! - the owner persists a signed transaction *before* [`TxManager::on_signed`], so that after a restart
//!   [`TxManager::recover`] sends the same bytes again and no second nonce is signed for the intent;
//! - intents get their nonces in the order in which they came;
//! - what was signed for an intent that has its outcome stays known for [`TxManager::PAST_NONCES`] nonces, so that it is
//!   never taken for somebody else's when a reorg frees its nonce and it is mined again.
//!
//! After a reorg deeper than the confirmations, an intent that is wanted again takes back its old nonce and its old bytes
//! ([`Action::Adopt`]) while that nonce is free. When another intent has the nonce by then and the old transaction wins,
//! that intent is [`Outcome::Displaced`] and gets another nonce; and the old one counts for the intent it was signed for.
//!
//! A nonce gap below a pending transaction (another user of the key had the nonce and vanished from the pool) is
//! closed by a *filler*, an empty transfer to oneself: [`IntentId::is_filler`].
//!
//! A pool takes either blob transactions or others from one account. When it refuses ours because it holds one of
//! the other kind, which we may not even see, and that lasts, the place is cleared by an empty transaction of *that*
//! kind at the same nonce. If it is mined, the intent fails with [`FailReason::PoolConflict`] and can be sent anew.
//!
//! Several intents are in flight at once, so the later ones are signed before it is known that the earlier ones
//! succeed: [`GasBook`] says how much gas they get, and when they must wait. [`Funds`] says whether the account can
//! pay for all of them.

mod funds;
mod gas;
mod machine;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use ensemble_error::{Classify, Severity};
use serde::{Deserialize, Serialize};

pub use funds::{Funds, Shortfall};
pub use gas::GasBook;
pub use machine::TxManager;

use crate::{FeeCapReached, FeePlan, SignedTx, TxReceipt, TxType};

/// Identity of an intent: the same id means the same effect on L1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IntentId(pub String);

impl IntentId {
    const FILLER: &'static str = "filler/";

    /// Whether this is an intent that the manager made itself to use up a nonce: an empty transfer (no value, no
    /// data, no blobs) from the key to its own address.
    #[must_use]
    pub fn is_filler(&self) -> bool {
        self.0.starts_with(Self::FILLER)
    }

    fn filler(nonce: u64) -> Self {
        Self(format!("{}{nonce}", Self::FILLER))
    }
}

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for IntentId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for IntentId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Settings of a [`TxManager`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxManagerConfig {
    /// Transactions that may wait in the pool at once, 1 to [`Self::MAX_IN_FLIGHT`].
    pub max_in_flight: usize,
    /// Time in the pool after which a transaction is replaced by one with higher fees.
    pub resubmit_after: Duration,
    /// Longest time between two looks for receipts; they are looked for at each new head anyway.
    pub receipt_poll: Duration,
    /// Blocks that make an outcome final, the transaction's own included; 0 counts as 1.
    pub confirmations: u64,
    /// Replacements per intent. When they are used up, the last bytes are sent again and again.
    pub max_replacements: u32,
}

impl TxManagerConfig {
    /// Most transactions of one account that a pool surely keeps: geth's `txpool.accountslots` and the limit per
    /// account of its blob pool, reth's `txpool.max-account-slots`.
    pub const MAX_IN_FLIGHT: usize = 16;
}

impl Default for TxManagerConfig {
    /// 16 in flight, replaced after 48 s (four slots), polled every 6 s, 3 confirmations, 8 replacements.
    fn default() -> Self {
        Self {
            max_in_flight: Self::MAX_IN_FLIGHT,
            resubmit_after: Duration::from_secs(48),
            receipt_poll: Duration::from_secs(6),
            confirmations: 3,
            max_replacements: 8,
        }
    }
}

/// What the chain says about the key now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainView {
    /// Number of the head block.
    pub head: u64,
    /// Next nonce on the head block.
    pub nonce_latest: u64,
    /// Next nonce after the node's pool.
    pub nonce_pending: u64,
}

/// A signed transaction as the owner stores it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRecord {
    /// Transaction hash.
    pub hash: B256,
    /// Nonce.
    pub nonce: u64,
    /// Its own type, which is another one than that of its intent when it only clears the place in the pool.
    pub tx_type: TxType,
    /// Its fees.
    pub fees: FeePlan,
    /// The most it can cost in wei: all its gas and blob gas at its fees, and its value.
    pub max_cost: U256,
    /// Bytes for `eth_sendRawTransaction`.
    pub raw: Bytes,
}

impl SignedRecord {
    /// What [`crate::Wallet`] has signed with these fees.
    #[must_use]
    pub fn new(signed: SignedTx, fees: FeePlan) -> Self {
        let SignedTx { hash, raw, nonce, tx_type, max_cost } = signed;
        Self { hash, nonce, tx_type, fees, max_cost, raw }
    }
}

impl fmt::Debug for SignedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRecord")
            .field("hash", &self.hash)
            .field("nonce", &self.nonce)
            .field("tx_type", &self.tx_type)
            .field("fees", &self.fees)
            .field("max_cost", &self.max_cost)
            .field("raw_len", &self.raw.len())
            .finish()
    }
}

/// A stored transaction whose intent has no outcome yet; one intent may have several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedTx {
    /// The intent.
    pub intent: IntentId,
    /// Its type.
    pub tx_type: TxType,
    /// The transaction.
    pub record: SignedRecord,
}

/// A transaction of an earlier try, or of an intent that has its outcome. Only a reorg can make it be mined again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastTx {
    /// The intent it was signed for.
    pub intent: IntentId,
    /// Transaction hash.
    pub hash: B256,
    /// Nonce.
    pub nonce: u64,
    /// It only cleared the place in the pool ([`Action::Sign`]): it does not have the intent's effect.
    pub empty: bool,
}

/// Where the fees of a transaction to sign come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeDecision {
    /// First transaction of the intent: [`FeePlan::fresh`].
    Fresh,
    /// A replacement: [`FeePlan::bump`] of `previous`.
    Bump {
        /// The highest fees signed so far for this nonce.
        previous: FeePlan,
    },
}

/// What the owner is to do. Each action is given once; it is outstanding until its result is reported.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// Sign the intent's transaction with this nonce, *store it*, then report [`TxManager::on_signed`], or
    /// [`TxManager::on_sign_failed`].
    Sign {
        /// The intent.
        intent: IntentId,
        /// The type to sign.
        tx_type: TxType,
        /// Nonce to use.
        nonce: u64,
        /// Fees to use.
        fees: FeeDecision,
        /// Not the intent's transaction, but an empty one to oneself (no value, no data; with one blob when the
        /// type wants it) that uses up the nonce.
        empty: bool,
    },
    /// What was signed for earlier tries of the intent with this nonce is to be sent again, for the chain has lost it:
    /// *store that it belongs to the present try*, then report [`TxManager::on_adopted`], or
    /// [`TxManager::on_sign_failed`].
    Adopt {
        /// The intent.
        intent: IntentId,
        /// The nonce.
        nonce: u64,
    },
    /// Send these bytes, then report [`TxManager::on_broadcast_result`].
    Broadcast {
        /// The intent.
        intent: IntentId,
        /// Hash of the transaction.
        hash: B256,
        /// Its bytes.
        raw: Bytes,
    },
    /// Fetch the receipts of all these hashes, then report [`TxManager::on_receipts`], or
    /// [`TxManager::on_check_failed`] when any could not be fetched.
    CheckReceipts {
        /// The intent.
        intent: IntentId,
        /// Hashes, newest first.
        hashes: Vec<B256>,
    },
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sign { intent, tx_type, nonce, fees, empty } => f
                .debug_struct("Sign")
                .field("intent", intent)
                .field("tx_type", tx_type)
                .field("nonce", nonce)
                .field("fees", fees)
                .field("empty", empty)
                .finish(),
            Self::Adopt { intent, nonce } => {
                f.debug_struct("Adopt").field("intent", intent).field("nonce", nonce).finish()
            }
            // Blobs would fill the log.
            Self::Broadcast { intent, hash, raw } => f
                .debug_struct("Broadcast")
                .field("intent", intent)
                .field("hash", hash)
                .field("raw_len", &raw.len())
                .finish(),
            Self::CheckReceipts { intent, hashes } => {
                f.debug_struct("CheckReceipts").field("intent", intent).field("hashes", hashes).finish()
            }
        }
    }
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignFailure {
    /// It may work later.
    Retry {
        /// What happened.
        reason: String,
    },
    /// What it builds on is not mined yet, and it cannot be signed before. Nothing is wrong; it is asked for again
    /// soon.
    Wait,
    /// The fees are above the cap now.
    FeeCap(FeeCapReached),
    /// The account cannot pay for it beside what is in flight.
    Funds(Box<Shortfall>),
    /// It will never work, for instance because the call reverts. Ends an intent that has nothing signed yet.
    Permanent {
        /// What is wrong.
        reason: String,
    },
}

/// How an intent ended. The owner keeps its stored transactions for [`TxManager::PAST_NONCES`] nonces more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Mined, succeeded, and has its confirmations.
    Confirmed {
        /// The intent.
        intent: IntentId,
        /// Receipt of the transaction that was mined.
        receipt: TxReceipt,
    },
    /// Mined, reverted, and has its confirmations.
    Reverted {
        /// The intent.
        intent: IntentId,
        /// Receipt of the transaction that was mined.
        receipt: TxReceipt,
    },
    /// Its nonce was used by a transaction that was signed earlier and came back with a reorg. Nothing is wrong:
    /// begin another try and tell [`TxManager::on_intent`] again. A filler has done its work.
    Displaced {
        /// The intent.
        intent: IntentId,
        /// The nonce.
        nonce: u64,
        /// The intent that the other transaction was signed for.
        by: IntentId,
    },
    /// Nothing of it is or can get on L1.
    Failed {
        /// The intent.
        intent: IntentId,
        /// Why.
        reason: FailReason,
    },
}

impl Outcome {
    /// Whose outcome it is.
    #[must_use]
    pub fn intent(&self) -> &IntentId {
        match self {
            Self::Confirmed { intent, .. }
            | Self::Reverted { intent, .. }
            | Self::Displaced { intent, .. }
            | Self::Failed { intent, .. } => intent,
        }
    }
}

/// Why an intent failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailReason {
    /// It could not be signed; nothing was sent.
    #[error("it cannot be sent: {reason}")]
    Unsendable {
        /// What the owner said.
        reason: String,
    },
    /// Every node refused it for what it is; it reached no pool.
    #[error("the L1 node rejected it: {message}")]
    Rejected {
        /// The node's words.
        message: String,
    },
    /// A transaction that is not ours used its nonce. Send the intent again to get a new one, after making sure
    /// that nobody else uses the key.
    #[error("nonce {nonce} was used by a transaction that is not ours: is the key used elsewhere?")]
    ForeignNonce {
        /// The nonce.
        nonce: u64,
    },
    /// The pool held a transaction of the other kind in its place, so its nonce was used up by an empty one. Send
    /// the intent again to get a new nonce.
    #[error(
        "nonce {nonce} was used up by an empty transaction, because the L1 node's pool kept its place for another kind of transaction"
    )]
    PoolConflict {
        /// The nonce.
        nonce: u64,
    },
}

impl Classify for FailReason {
    fn severity(&self) -> Severity {
        match self {
            Self::Unsendable { .. } | Self::Rejected { .. } | Self::PoolConflict { .. } => {
                Severity::Recoverable
            }
            Self::ForeignNonce { .. } => Severity::NeedsReset,
        }
    }
}

/// The owner reported something that breaks the rules. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxManagerError {
    /// A signature that was not asked for.
    #[error("intent {intent}: a signature came that was not asked for")]
    NotSigning {
        /// The intent.
        intent: IntentId,
    },
    /// Signed with another nonce than told.
    #[error("intent {intent}: signed with nonce {got}, the nonce is {expected}")]
    WrongNonce {
        /// The intent.
        intent: IntentId,
        /// Nonce told.
        expected: u64,
        /// Nonce signed.
        got: u64,
    },
    /// Signed as another type than told.
    #[error("intent {intent}: signed as {got:?}, asked for was {expected:?}")]
    WrongType {
        /// The intent.
        intent: IntentId,
        /// Type told.
        expected: TxType,
        /// Type signed.
        got: TxType,
    },
    /// Fees that no pool takes as a replacement.
    #[error("intent {intent}: the fees {got:?} do not replace {previous:?}")]
    NotAReplacement {
        /// The intent.
        intent: IntentId,
        /// Fees to replace.
        previous: FeePlan,
        /// Fees signed.
        got: FeePlan,
    },
    /// The store has transactions with different nonces for one intent.
    #[error("intent {intent} has transactions with nonces {first} and {second} in the store")]
    TwoNonces {
        /// The intent.
        intent: IntentId,
        /// One nonce.
        first: u64,
        /// The other.
        second: u64,
    },
    /// The store has two unfinished intents with one nonce.
    #[error("intents {first} and {second} both have nonce {nonce} in the store")]
    SharedNonce {
        /// The nonce.
        nonce: u64,
        /// One intent.
        first: IntentId,
        /// The other.
        second: IntentId,
    },
}

impl Classify for TxManagerError {
    fn severity(&self) -> Severity {
        match self {
            Self::NotSigning { .. }
            | Self::WrongNonce { .. }
            | Self::WrongType { .. }
            | Self::NotAReplacement { .. } => Severity::NeedsReset,
            Self::TwoNonces { .. } | Self::SharedNonce { .. } => Severity::Fatal,
        }
    }
}

/// Where an intent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Has no nonce yet.
    Queued,
    /// Its first transaction is being signed.
    Signing,
    /// Signed, not mined.
    Pending,
    /// Mined, waiting for confirmations.
    Mined {
        /// Height of the block.
        block: u64,
    },
}

/// An intent as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentStatus {
    /// The intent.
    pub intent: IntentId,
    /// Its type.
    pub tx_type: TxType,
    /// Where it is.
    pub state: IntentState,
    /// Its nonce.
    pub nonce: Option<u64>,
    /// Hashes signed for it, oldest first.
    pub hashes: Vec<B256>,
    /// What holds it up, when something does.
    pub blocked: Option<String>,
}
