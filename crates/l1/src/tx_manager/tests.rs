#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, Bytes, U256, keccak256};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::L1Error;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> TxManagerConfig {
    TxManagerConfig {
        max_in_flight: 1,
        resubmit_after: 48 * SECOND,
        receipt_poll: 6 * SECOND,
        confirmations: 3,
        max_replacements: 3,
    }
}

fn fees(max_fee: u128) -> FeePlan {
    FeePlan { max_fee_per_gas: max_fee, max_priority_fee_per_gas: max_fee / 10 + 1, max_fee_per_blob_gas: 0 }
}

fn record(name: &str, nonce: u64, max_fee: u128) -> SignedRecord {
    let raw = Bytes::from(format!("{name}#{nonce}#{max_fee}").into_bytes());
    let tx_type = TxType::Eip1559;
    let max_cost = U256::from(max_fee * 100_000);
    SignedRecord { hash: keccak256(&raw), nonce, tx_type, fees: fees(max_fee), max_cost, raw }
}

fn blob_record(name: &str, nonce: u64, max_fee: u128) -> SignedRecord {
    SignedRecord { tx_type: TxType::Blob, ..record(name, nonce, max_fee) }
}

fn receipt(hash: B256, block_number: u64, status: bool) -> TxReceipt {
    TxReceipt {
        transaction_hash: hash,
        status,
        block_number,
        block_hash: B256::repeat_byte(block_number as u8),
        gas_used: 21_000,
        effective_gas_price: 1,
        blob_gas_used: None,
        blob_gas_price: None,
        contract_address: None,
        logs: Vec::new(),
    }
}

/// A manager with hands: what the unit tests have in common.
struct Bench {
    manager: TxManager,
    now: Instant,
    view: ChainView,
}

impl Bench {
    fn new(config: TxManagerConfig) -> Self {
        let view = ChainView { head: 100, nonce_latest: 7, nonce_pending: 7 };
        Self { manager: TxManager::new(config), now: Instant::now(), view }
    }

    fn next(&mut self) -> Option<Action> {
        self.manager.next_action(self.now, &self.view)
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn id(&self, name: &str) -> IntentId {
        IntentId::from(name)
    }

    /// Expects to be asked for a signature and gives one.
    fn sign(&mut self, name: &str, nonce: u64, max_fee: u128) -> SignedRecord {
        match self.next() {
            Some(Action::Sign { intent, nonce: n, .. }) if intent == self.id(name) && n == nonce => {}
            other => panic!("expected a request to sign {name} with {nonce}, got {other:?}"),
        }
        let record = record(name, nonce, max_fee);
        self.manager.on_signed(&IntentId::from(name), record.clone()).unwrap();
        record
    }

    /// The same for this type; empty when it is not that of the intent.
    fn sign_as(&mut self, name: &str, tx_type: TxType, nonce: u64, empty: bool) -> SignedRecord {
        match self.next() {
            Some(Action::Sign { intent, nonce: n, tx_type: t, empty: e, .. })
                if (intent.0.as_str(), n, t, e) == (name, nonce, tx_type, empty) => {}
            other => panic!("expected a request to sign {name} as {tx_type:?} with {nonce}, got {other:?}"),
        }
        let record = SignedRecord { tx_type, ..record(&format!("{name} {tx_type:?}"), nonce, 1000) };
        self.manager.on_signed(&IntentId::from(name), record.clone()).unwrap();
        record
    }

    /// Expects to be asked to send these bytes and reports this.
    fn broadcast(&mut self, name: &str, expected: &SignedRecord, result: Result<(), &L1Error>) {
        match self.next() {
            Some(Action::Broadcast { intent, hash, raw })
                if intent == self.id(name) && hash == expected.hash && raw == expected.raw => {}
            other => panic!("expected a request to send {name}, got {other:?}"),
        }
        self.manager.on_broadcast_result(&IntentId::from(name), expected.hash, result, self.now);
    }

    /// Expects to be asked for receipts of exactly these hashes (newest first) and reports those.
    fn check(&mut self, name: &str, hashes: &[B256], receipts: &[TxReceipt]) {
        match self.next() {
            Some(Action::CheckReceipts { intent, hashes: asked }) => {
                assert_eq!((intent, asked.as_slice()), (self.id(name), hashes));
            }
            other => panic!("expected a request for receipts of {name}, got {other:?}"),
        }
        self.manager.on_receipts(&IntentId::from(name), receipts, &self.view, self.now);
    }

    /// An intent whose first transaction was just accepted by the pool.
    fn pending(config: TxManagerConfig) -> (Self, SignedRecord) {
        let mut bench = Self::new(config);
        assert!(bench.manager.on_intent("a".into(), TxType::Eip1559));
        let first = bench.sign("a", 7, 1000);
        bench.broadcast("a", &first, Ok(()));
        bench.check("a", &[first.hash], &[]);
        assert_eq!(bench.next(), None);
        (bench, first)
    }

    fn failed(&mut self) -> FailReason {
        match self.manager.next_outcome() {
            Some(Outcome::Failed { reason, .. }) => reason,
            other => panic!("expected a failure, got {other:?}"),
        }
    }
}

fn transport() -> L1Error {
    L1Error::Transport {
        endpoint: "http://l1".into(),
        method: "eth_sendRawTransaction",
        reason: "refused".into(),
    }
}

fn nonce_too_low() -> L1Error {
    L1Error::NonceTooLow { message: "nonce too low".into() }
}

fn underpriced() -> L1Error {
    L1Error::ReplacementUnderpriced { message: "replacement transaction underpriced".into() }
}

fn rejected() -> L1Error {
    L1Error::TransactionRejected { message: "intrinsic gas too low".into() }
}

#[test]
fn confirms_only_with_enough_blocks() {
    let (mut bench, first) = Bench::pending(config());
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[first.hash], &[receipt(first.hash, 101, true)]);
    assert_eq!(bench.manager.status()[0].state, IntentState::Mined { block: 101 });
    assert_eq!(bench.manager.next_outcome(), None);
    bench.view.head = 102;
    bench.check("a", &[first.hash], &[receipt(first.hash, 101, true)]);
    assert_eq!(bench.manager.next_outcome(), None);
    bench.view.head = 103;
    bench.check("a", &[first.hash], &[receipt(first.hash, 101, true)]);
    let confirmed = Outcome::Confirmed { intent: "a".into(), receipt: receipt(first.hash, 101, true) };
    assert_eq!(bench.manager.next_outcome(), Some(confirmed));
    assert!(bench.manager.is_empty());
    assert_eq!(bench.next(), None);
}

/// A reverted transaction is mined, but it is no success.
#[test]
fn reads_the_receipts_status() {
    let (mut bench, first) = Bench::pending(TxManagerConfig { confirmations: 1, ..config() });
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[first.hash], &[receipt(first.hash, 101, false)]);
    let reverted = Outcome::Reverted { intent: "a".into(), receipt: receipt(first.hash, 101, false) };
    assert_eq!(bench.manager.next_outcome(), Some(reverted));
}

/// SEQ-INV-5: a replacement keeps the nonce, and the mined one may be any of them.
#[test]
fn replaces_with_the_same_nonce_and_accepts_an_older_hash() {
    let (mut bench, first) = Bench::pending(config());
    bench.wait(48);
    bench.check("a", &[first.hash], &[]);
    let previous = first.fees;
    let ask = bench.next();
    let fee = FeeDecision::Bump { previous };
    let tx_type = TxType::Eip1559;
    assert_eq!(ask, Some(Action::Sign { intent: "a".into(), tx_type, nonce: 7, fees: fee, empty: false }));
    let too_cheap = record("a", 7, 1001);
    let error = bench.manager.on_signed(&"a".into(), too_cheap).unwrap_err();
    assert!(matches!(error, TxManagerError::NotAReplacement { .. }));
    let second = record("a", 7, 1200);
    bench.manager.on_signed(&"a".into(), second.clone()).unwrap();
    bench.broadcast("a", &second, Ok(()));
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[second.hash, first.hash], &[receipt(first.hash, 101, true)]);
    bench.view.head = 103;
    bench.check("a", &[second.hash, first.hash], &[receipt(first.hash, 101, true)]);
    assert!(matches!(bench.manager.next_outcome(), Some(Outcome::Confirmed { receipt, .. })
        if receipt.transaction_hash == first.hash));
}

#[test]
fn already_known_is_success() {
    let mut bench = Bench::new(config());
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    let first = bench.sign("a", 7, 1000);
    bench.broadcast("a", &first, Err(&L1Error::AlreadyKnown { message: "already known".into() }));
    bench.check("a", &[first.hash], &[]);
    bench.wait(5);
    assert_eq!(bench.next(), None);
    assert_eq!(bench.manager.status()[0].blocked, None);
}

#[test]
fn underpriced_is_bumped_at_once() {
    let mut bench = Bench::new(config());
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    let first = bench.sign("a", 7, 1000);
    bench.broadcast("a", &first, Err(&underpriced()));
    bench.check("a", &[first.hash], &[]);
    let second = bench.sign("a", 7, 1200);
    bench.broadcast("a", &second, Ok(()));
}

/// A lost connection proves nothing about the transaction: the same bytes go out again, later and later.
#[test]
fn sends_the_same_bytes_again_after_transport_errors() {
    let mut bench = Bench::new(config());
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    let first = bench.sign("a", 7, 1000);
    bench.broadcast("a", &first, Err(&transport()));
    bench.check("a", &[first.hash], &[]);
    assert_eq!(bench.next(), None, "not before the back-off");
    for wait in [1, 2, 4] {
        bench.wait(wait);
        if wait == 4 {
            bench.check("a", &[first.hash], &[]);
        }
        bench.broadcast("a", &first, Err(&transport()));
    }
    bench.wait(5);
    assert_eq!(bench.next(), None, "the waits double");
    assert!(bench.manager.status()[0].blocked.as_ref().unwrap().contains("refused"));
}

/// SEQ-INV-5: a fee cap blocks the replacement, not the transaction that is out there.
#[test]
fn a_fee_cap_keeps_the_old_transaction_alive() {
    let (mut bench, first) = Bench::pending(config());
    bench.wait(48);
    bench.check("a", &[first.hash], &[]);
    assert!(matches!(bench.next(), Some(Action::Sign { .. })));
    let cap = FeeCapReached { field: crate::fees::FeeField::MaxFeePerGas, cap: 1050, needed: 1100 };
    bench.manager.on_sign_failed(&"a".into(), SignFailure::FeeCap(cap), bench.now);
    assert_eq!(bench.next(), None, "not before the back-off");
    bench.wait(1);
    bench.broadcast("a", &first, Err(&L1Error::AlreadyKnown { message: String::new() }));
    assert_eq!(bench.manager.next_outcome(), None);
}

#[test]
fn used_up_replacements_leave_the_last_bytes() {
    let (mut bench, first) = Bench::pending(TxManagerConfig { max_replacements: 1, ..config() });
    bench.wait(48);
    bench.check("a", &[first.hash], &[]);
    let second = bench.sign("a", 7, 2000);
    bench.broadcast("a", &second, Ok(()));
    for _ in 0..3 {
        bench.wait(48);
        bench.check("a", &[second.hash, first.hash], &[]);
        bench.broadcast("a", &second, Ok(()));
        assert_eq!(bench.next(), None);
    }
}

/// SEQ-INV-5: a fresh intent that cannot be signed gives its nonce back; the next one takes it.
#[test]
fn a_permanent_signing_failure_frees_the_nonce() {
    let mut bench = Bench::new(config());
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    bench.manager.on_intent("b".into(), TxType::Eip1559);
    assert!(matches!(bench.next(), Some(Action::Sign { nonce: 7, .. })));
    let failure = SignFailure::Permanent { reason: "BatchAlreadyCommitted()".into() };
    bench.manager.on_sign_failed(&"a".into(), failure, bench.now);
    assert_eq!(bench.failed(), FailReason::Unsendable { reason: "BatchAlreadyCommitted()".into() });
    bench.sign("b", 7, 1000);
}

/// The order of intents is the order of their nonces, even if the first has trouble.
#[test]
fn later_intents_wait_for_the_first() {
    let mut bench = Bench::new(TxManagerConfig { max_in_flight: 4, ..config() });
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    bench.manager.on_intent("b".into(), TxType::Eip1559);
    assert!(matches!(bench.next(), Some(Action::Sign { nonce: 7, .. })));
    assert_eq!(bench.next(), None, "b waits for a's signature");
    bench.manager.on_sign_failed(&"a".into(), SignFailure::Retry { reason: "rpc".into() }, bench.now);
    assert_eq!(bench.next(), None, "b does not overtake");
    bench.wait(1);
    let a = bench.sign("a", 7, 1000);
    bench.broadcast("a", &a, Ok(()));
    bench.check("a", &[a.hash], &[]);
    let b = bench.sign("b", 8, 1000);
    bench.broadcast("b", &b, Ok(()));
}

/// The window bounds what waits in the pool; what is mined makes room before it is confirmed.
#[test]
fn no_more_than_the_window_are_in_flight() {
    let mut bench = Bench::new(TxManagerConfig { max_in_flight: 2, ..config() });
    for name in ["a", "b", "c"] {
        bench.manager.on_intent(name.into(), TxType::Eip1559);
    }
    let mut sent = Vec::new();
    for (name, nonce) in [("a", 7), ("b", 8)] {
        let record = bench.sign(name, nonce, 1000);
        bench.broadcast(name, &record, Ok(()));
        bench.check(name, &[record.hash], &[]);
        sent.push(record);
    }
    assert_eq!(bench.next(), None, "c waits");
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 9 };
    bench.check("a", &[sent[0].hash], &[receipt(sent[0].hash, 101, true)]);
    bench.check("b", &[sent[1].hash], &[]);
    bench.sign("c", 9, 1000);
}

/// SEQ-INV-5: somebody used the nonce between the signature and the broadcast. The intent does not wait for ever.
#[test]
fn a_nonce_used_before_the_broadcast_has_an_outcome() {
    let mut bench = Bench::new(TxManagerConfig { confirmations: 1, ..config() });
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    let first = bench.sign("a", 7, 1000);
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    for _ in 0..3 {
        assert_eq!(bench.manager.next_outcome(), None);
        bench.check("a", &[first.hash], &[]);
        bench.wait(6);
    }
    assert_eq!(bench.failed(), FailReason::ForeignNonce { nonce: 7 });
}

/// Pools refuse a blob transaction beside others of the same account.
#[test]
fn does_not_mix_types_in_the_pool() {
    let mut bench = Bench::new(TxManagerConfig { max_in_flight: 4, ..config() });
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    bench.manager.on_intent("blob".into(), TxType::Blob);
    let a = bench.sign("a", 7, 1000);
    bench.broadcast("a", &a, Ok(()));
    bench.check("a", &[a.hash], &[]);
    assert_eq!(bench.next(), None);
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[a.hash], &[receipt(a.hash, 101, true)]);
    assert_eq!(bench.next(), None, "a reorg could bring it back");
    bench.view.head = 103;
    bench.check("a", &[a.hash], &[receipt(a.hash, 101, true)]);
    bench.sign_as("blob", TxType::Blob, 8, false);
}

#[test]
fn refused_content_fails_only_when_nothing_can_be_out_there() {
    let mut bench = Bench::new(config());
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    let first = bench.sign("a", 7, 1000);
    bench.broadcast("a", &first, Err(&rejected()));
    assert!(matches!(bench.failed(), FailReason::Rejected { .. }));
    assert!(bench.manager.is_empty());

    let mut bench = Bench::new(config());
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    let first = bench.sign("a", 7, 1000);
    bench.broadcast("a", &first, Err(&transport()));
    bench.wait(2);
    bench.check("a", &[first.hash], &[]);
    bench.broadcast("a", &first, Err(&rejected()));
    assert_eq!(bench.manager.next_outcome(), None, "the first send may have arrived");
    assert_eq!(bench.manager.status()[0].nonce, Some(7));
}

/// SEQ-INV-5: "nonce too low" is checked against every hash; ours being mined is a success.
#[test]
fn nonce_too_low_of_our_own() {
    let (mut bench, first) = Bench::pending(config());
    bench.wait(48);
    bench.check("a", &[first.hash], &[]);
    let second = bench.sign("a", 7, 2000);
    bench.broadcast("a", &second, Err(&nonce_too_low()));
    bench.view = ChainView { head: 103, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[second.hash, first.hash], &[receipt(first.hash, 101, true)]);
    assert!(matches!(bench.manager.next_outcome(), Some(Outcome::Confirmed { .. })));
}

#[test]
fn a_foreign_nonce_needs_rounds_and_confirmations() {
    let (mut bench, first) = Bench::pending(config());
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[first.hash], &[]);
    for _ in 0..3 {
        bench.wait(48);
        bench.check("a", &[first.hash], &[]);
        assert_eq!(bench.next(), None, "nothing is sent or signed for a used nonce");
        assert_eq!(bench.manager.next_outcome(), None, "the foreign block may still be reorged out");
    }
    bench.view.head = 103;
    bench.check("a", &[first.hash], &[]);
    assert_eq!(bench.failed(), FailReason::ForeignNonce { nonce: 7 });
    assert!(bench.manager.on_intent("a".into(), TxType::Eip1559), "it can be sent anew");
    bench.sign("a", 8, 1000);
}

/// A node that lags behind the one that told the nonce has no receipt yet; that is not a foreign transaction.
#[test]
fn one_missing_receipt_makes_no_foreign_nonce() {
    let (mut bench, first) = Bench::pending(TxManagerConfig { confirmations: 1, ..config() });
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[first.hash], &[]);
    bench.wait(6);
    bench.check("a", &[first.hash], &[]);
    assert_eq!(bench.manager.next_outcome(), None);
    bench.wait(6);
    bench.check("a", &[first.hash], &[receipt(first.hash, 101, true)]);
    assert!(matches!(bench.manager.next_outcome(), Some(Outcome::Confirmed { .. })));
}

#[test]
fn a_foreign_nonce_that_is_reorged_out_is_ours_again() {
    let (mut bench, first) = Bench::pending(config());
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[first.hash], &[]);
    bench.view = ChainView { head: 102, nonce_latest: 7, nonce_pending: 7 };
    bench.check("a", &[first.hash], &[]);
    bench.wait(48);
    bench.check("a", &[first.hash], &[]);
    bench.sign("a", 7, 2000);
}

/// A receipt that vanishes before its confirmations: the same bytes are sent again.
#[test]
fn a_reorg_makes_it_send_the_same_bytes_again() {
    let (mut bench, first) = Bench::pending(config());
    bench.wait(48);
    bench.check("a", &[first.hash], &[]);
    let second = bench.sign("a", 7, 2000);
    bench.broadcast("a", &second, Ok(()));
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[second.hash, first.hash], &[receipt(first.hash, 101, true)]);
    bench.view = ChainView { head: 100, nonce_latest: 7, nonce_pending: 7 };
    bench.check("a", &[second.hash, first.hash], &[]);
    bench.broadcast("a", &first, Err(&underpriced()));
    bench.broadcast("a", &second, Err(&L1Error::AlreadyKnown { message: String::new() }));
    bench.view = ChainView { head: 104, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[second.hash, first.hash], &[receipt(second.hash, 102, true)]);
    assert!(matches!(bench.manager.next_outcome(), Some(Outcome::Confirmed { receipt, .. })
        if receipt.transaction_hash == second.hash));
}

/// SEQ-INV-5, SEQ-INV-4: after a restart receipts come first, then the same bytes; nothing new is signed.
#[test]
fn recovery_sends_the_same_bytes() {
    let (first, second) = (record("a", 7, 1000), record("a", 7, 2000));
    let tracked = |record: &SignedRecord| TrackedTx {
        intent: "a".into(),
        tx_type: TxType::Eip1559,
        record: record.clone(),
    };
    let mut bench = Bench::new(config());
    bench.manager.recover(vec![tracked(&second), tracked(&first), tracked(&first)]).unwrap();
    assert!(!bench.manager.on_intent("a".into(), TxType::Eip1559), "it is tracked already");
    bench.check("a", &[second.hash, first.hash], &[]);
    bench.broadcast("a", &second, Ok(()));
    assert_eq!(bench.next(), None);
    bench.view = ChainView { head: 103, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[second.hash, first.hash], &[receipt(first.hash, 101, true)]);
    assert!(matches!(bench.manager.next_outcome(), Some(Outcome::Confirmed { .. })));
}

#[test]
fn recovery_refuses_a_corrupt_store() {
    let tracked = |intent: &str, nonce: u64| TrackedTx {
        intent: intent.into(),
        tx_type: TxType::Blob,
        record: blob_record(intent, nonce, 1000),
    };
    let mut manager = TxManager::new(config());
    let error = manager.recover(vec![tracked("a", 7), tracked("a", 8)]).unwrap_err();
    assert_eq!(error, TxManagerError::TwoNonces { intent: "a".into(), first: 7, second: 8 });
    let error = manager.recover(vec![tracked("a", 7), tracked("b", 7)]).unwrap_err();
    assert_eq!(error, TxManagerError::SharedNonce { nonce: 7, first: "a".into(), second: "b".into() });
    assert!(manager.is_empty());
    assert_eq!(error.severity(), Severity::Fatal);
}

#[test]
fn queues_behind_what_the_pool_already_has() {
    let mut bench = Bench::new(config());
    bench.view.nonce_pending = 9;
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    bench.sign("a", 9, 1000);
}

/// A gap below our nonce would keep it pending for ever: an empty transaction closes it.
#[test]
fn fills_a_gap_that_persists() {
    let mut bench = Bench::new(config());
    bench.view.nonce_pending = 8; // somebody else's transaction with nonce 7
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    let a = bench.sign("a", 8, 1000);
    bench.broadcast("a", &a, Ok(()));
    bench.check("a", &[a.hash], &[]);
    bench.view.nonce_pending = 7; // it is gone
    assert_eq!(bench.next(), None);
    bench.wait(48);
    // Before anything of the transaction behind the gap: that is always due when the node takes longer than
    // `resubmit_after` for an answer.
    let filler = IntentId::filler(7);
    assert!(filler.is_filler());
    assert!(matches!(bench.next(), Some(Action::Sign { intent, nonce: 7, .. }) if intent == filler));
    bench.check("a", &[a.hash], &[]);
    bench.broadcast("a", &a, Ok(()));
    assert!(!bench.manager.on_intent(filler, TxType::Eip1559), "the name is reserved");
}

#[test]
fn a_lagging_view_does_not_reuse_a_nonce() {
    let (mut bench, first) = Bench::pending(TxManagerConfig { confirmations: 1, ..config() });
    bench.view.head = 101; // the nonces in the view are those of the block before
    bench.check("a", &[first.hash], &[receipt(first.hash, 101, true)]);
    assert!(matches!(bench.manager.next_outcome(), Some(Outcome::Confirmed { .. })));
    bench.manager.on_intent("b".into(), TxType::Eip1559);
    assert_eq!(bench.next(), None, "7 was ours, and 8 would leave a gap if a reorg took 7 away");
    bench.wait(47);
    assert_eq!(bench.next(), None);
    (bench.view.nonce_latest, bench.view.nonce_pending) = (8, 8);
    bench.sign("b", 8, 1000);
}

/// SEQ-INV-5: when a reorg takes a confirmed transaction away for good, the chain waits for its nonce: the next
/// intent gets that one, and not the one after it, which would never be mined.
#[test]
fn a_reorg_below_the_confirmed_gives_the_nonce_back() {
    let (mut bench, first) = Bench::pending(TxManagerConfig { confirmations: 1, ..config() });
    (bench.view.head, bench.view.nonce_latest, bench.view.nonce_pending) = (101, 8, 8);
    bench.check("a", &[first.hash], &[receipt(first.hash, 101, true)]);
    assert!(matches!(bench.manager.next_outcome(), Some(Outcome::Confirmed { .. })));
    (bench.view.head, bench.view.nonce_latest, bench.view.nonce_pending) = (102, 7, 7);
    bench.manager.on_intent("b".into(), TxType::Eip1559);
    assert_eq!(bench.next(), None);
    bench.wait(48);
    bench.sign("b", 7, 1000);
}

/// An intent that was confirmed at nonce 7 in block 101, and a reorg that has taken that block away.
fn confirmed_and_gone(config: TxManagerConfig) -> (Bench, SignedRecord) {
    let (mut bench, first) = Bench::pending(TxManagerConfig { confirmations: 1, ..config });
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[first.hash], &[receipt(first.hash, 101, true)]);
    assert!(matches!(bench.manager.next_outcome(), Some(Outcome::Confirmed { .. })));
    bench.view = ChainView { head: 102, nonce_latest: 7, nonce_pending: 7 };
    bench.manager.on_block_gone();
    (bench, first)
}

/// SEQ-INV-4, SEQ-INV-5: a confirmed intent that a deep reorg has undone is the same transaction again, and no second one.
#[test]
fn a_deep_reorg_brings_the_same_bytes_again() {
    let (mut bench, first) = confirmed_and_gone(config());
    assert!(bench.manager.on_intent("a".into(), TxType::Eip1559));
    assert_eq!(bench.next(), Some(Action::Adopt { intent: "a".into(), nonce: 7 }));
    assert_eq!(bench.next(), None, "until it is stored");
    bench.manager.on_sign_failed(&"a".into(), SignFailure::Retry { reason: "store".into() }, bench.now);
    bench.wait(1);
    assert_eq!(bench.next(), Some(Action::Adopt { intent: "a".into(), nonce: 7 }));
    let error = bench.manager.on_adopted(&"a".into(), vec![record("a", 8, 1000)]).unwrap_err();
    assert_eq!(error, TxManagerError::WrongNonce { intent: "a".into(), expected: 7, got: 8 });
    bench.manager.on_adopted(&"a".into(), vec![first.clone()]).unwrap();
    let error = bench.manager.on_adopted(&"a".into(), vec![first.clone()]).unwrap_err();
    assert_eq!(error, TxManagerError::NotSigning { intent: "a".into() });
    bench.check("a", &[first.hash], &[]);
    bench.broadcast("a", &first, Ok(()));
    bench.view = ChainView { head: 103, nonce_latest: 8, nonce_pending: 8 };
    bench.check("a", &[first.hash], &[receipt(first.hash, 103, true)]);
    let confirmed = Outcome::Confirmed { intent: "a".into(), receipt: receipt(first.hash, 103, true) };
    assert_eq!(bench.manager.next_outcome(), Some(confirmed));
}

/// What is not kept any more cannot be sent again: the intent is signed anew, at the nonce that waits.
#[test]
fn nothing_to_adopt_is_signed_anew() {
    let (mut bench, _) = confirmed_and_gone(config());
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    assert_eq!(bench.next(), Some(Action::Adopt { intent: "a".into(), nonce: 7 }));
    bench.manager.on_adopted(&"a".into(), Vec::new()).unwrap();
    bench.sign("a", 7, 2000);
}

/// What only cleared the place in the pool has no effect: it is nothing to begin again with.
#[test]
fn an_empty_transaction_is_not_adopted() {
    let mut bench = Bench::new(config());
    let past = |empty, n| PastTx { intent: "a".into(), hash: B256::repeat_byte(n), nonce: 7, empty };
    bench.manager.remember([past(true, 1)]);
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    bench.sign("a", 7, 1000);
    let mut bench = Bench::new(config());
    bench.manager.remember([past(true, 1), past(false, 2)]);
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    assert_eq!(bench.next(), Some(Action::Adopt { intent: "a".into(), nonce: 7 }));
}

/// SEQ-INV-5: our own earlier transaction that a reorg brings back is no use of our key by somebody else. Whoever had its
/// nonce meanwhile gets another one; a new process knows it too.
#[test]
fn an_earlier_transaction_of_ours_is_not_foreign() {
    for new_process in [false, true] {
        let (mut bench, first) = confirmed_and_gone(config());
        if new_process {
            bench.manager = TxManager::new(TxManagerConfig { confirmations: 1, ..config() });
            let empty = false;
            bench.manager.remember([PastTx { intent: "a".into(), hash: first.hash, nonce: 7, empty }]);
        }
        bench.manager.on_intent("b".into(), TxType::Eip1559);
        let b = bench.sign("b", 7, 1000);
        bench.broadcast("b", &b, Ok(()));
        bench.view = ChainView { head: 103, nonce_latest: 8, nonce_pending: 8 };
        bench.check("b", &[b.hash, first.hash], &[receipt(first.hash, 103, true)]);
        let displaced = Outcome::Displaced { intent: "b".into(), nonce: 7, by: "a".into() };
        assert_eq!(bench.manager.next_outcome(), Some(displaced));
        assert!(bench.manager.on_intent("b".into(), TxType::Eip1559));
        bench.sign("b", 8, 1000);
        assert_eq!(bench.manager.next_outcome(), None);
    }
}

/// The block with the earlier transaction may go again: nothing is decided before it has its confirmations.
#[test]
fn an_earlier_transaction_needs_its_confirmations() {
    let mut bench = Bench::new(config());
    let old = B256::repeat_byte(1);
    bench.manager.remember([PastTx { intent: "old".into(), hash: old, nonce: 7, empty: false }]);
    bench.manager.on_intent("b".into(), TxType::Eip1559);
    let b = bench.sign("b", 7, 1000);
    bench.broadcast("b", &b, Ok(()));
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    bench.check("b", &[b.hash, old], &[receipt(old, 101, true)]);
    assert_eq!(bench.manager.next_outcome(), None);
    assert_eq!(bench.manager.status()[0].blocked, None, "nothing is wrong");
    bench.view = ChainView { head: 103, nonce_latest: 8, nonce_pending: 8 };
    bench.check("b", &[b.hash, old], &[receipt(b.hash, 102, true)]);
    assert_eq!(bench.manager.next_outcome(), None);
    bench.view.head = 104;
    bench.check("b", &[b.hash, old], &[receipt(b.hash, 102, true)]);
    assert!(matches!(bench.manager.next_outcome(), Some(Outcome::Confirmed { .. })));
}

/// SEQ-INV-5: the effect of an earlier transaction that comes back counts for its intent, be that still waiting for a
/// nonce or on its way with another one, where it can only revert.
#[test]
fn an_earlier_transaction_counts_for_its_intent() {
    for max_in_flight in [1, 2] {
        let (mut bench, first) = confirmed_and_gone(TxManagerConfig { max_in_flight, ..config() });
        bench.manager.on_intent("b".into(), TxType::Eip1559);
        let b = bench.sign("b", 7, 1000);
        bench.broadcast("b", &b, Ok(()));
        bench.check("b", &[b.hash, first.hash], &[]);
        bench.manager.on_intent("a".into(), TxType::Eip1559);
        let again = (max_in_flight == 2).then(|| {
            let again = bench.sign("a", 8, 1500);
            bench.broadcast("a", &again, Ok(()));
            again
        });
        bench.view = ChainView { head: 103, nonce_latest: 8, nonce_pending: 8 };
        bench.check("b", &[b.hash, first.hash], &[receipt(first.hash, 103, true)]);
        let displaced = Outcome::Displaced { intent: "b".into(), nonce: 7, by: "a".into() };
        assert_eq!(bench.manager.next_outcome(), Some(displaced));
        if let Some(again) = again {
            assert_eq!(bench.manager.next_outcome(), None, "its own nonce has no outcome yet");
            bench.view = ChainView { head: 104, nonce_latest: 9, nonce_pending: 9 };
            bench.check("a", &[again.hash], &[receipt(again.hash, 104, false)]);
        }
        let confirmed = Outcome::Confirmed { intent: "a".into(), receipt: receipt(first.hash, 103, true) };
        assert_eq!(bench.manager.next_outcome(), Some(confirmed));
        assert!(bench.manager.is_empty());
    }
}

/// What is known of the past is bounded: the newest nonces count.
#[test]
fn the_past_is_bounded() {
    let mut bench = Bench::new(config());
    let count = TxManager::PAST_NONCES as u64 + 50;
    let past = |nonce| PastTx { intent: "a".into(), hash: B256::repeat_byte(1), nonce, empty: false };
    bench.manager.remember((7..7 + count).map(past));
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    assert_eq!(bench.next(), Some(Action::Adopt { intent: "a".into(), nonce: 57 }));
}

/// An intent that waits takes the nonce of a gap before what is behind it is sent again, however slow the node is.
#[test]
fn a_slow_node_does_not_keep_a_gap_open() {
    let config = TxManagerConfig { max_in_flight: 2, ..config() };
    let mut bench = Bench::new(config);
    bench
        .manager
        .recover(vec![TrackedTx {
            intent: "b".into(),
            tx_type: TxType::Eip1559,
            record: record("b", 8, 1000),
        }])
        .unwrap();
    let past = PastTx { intent: "a".into(), hash: B256::repeat_byte(1), nonce: 7, empty: false };
    bench.manager.remember([past]);
    let b = record("b", 8, 1000);
    bench.check("b", &[b.hash], &[]);
    bench.broadcast("b", &b, Ok(()));
    assert!(bench.manager.on_intent("a".into(), TxType::Eip1559));
    bench.wait(48);
    assert_eq!(bench.next(), Some(Action::Adopt { intent: "a".into(), nonce: 7 }));
}

/// A pool that counts past a gap says that a nonce above ours is next: that shows no transaction in the gap.
#[test]
fn fills_a_gap_that_the_pool_counts_past() {
    let mut bench = Bench::new(config());
    bench.view.nonce_pending = 8; // somebody else's transaction with nonce 7
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    let a = bench.sign("a", 8, 1000);
    bench.broadcast("a", &a, Ok(()));
    bench.check("a", &[a.hash], &[]);
    bench.view.nonce_pending = 9; // it is gone, ours is counted
    assert_eq!(bench.next(), None);
    bench.wait(48);
    let filler = IntentId::filler(7);
    match bench.next() {
        Some(Action::Sign { intent, nonce, .. }) => assert_eq!((intent, nonce), (filler, 7)),
        other => panic!("{other:?}"),
    }
    bench.check("a", &[a.hash], &[]);
    bench.broadcast("a", &a, Ok(()));
}

fn reserved() -> L1Error {
    L1Error::AccountReserved { message: "address already reserved".into() }
}

impl Bench {
    /// Goes on with a pool that does not take the bytes of `record`, up to the first other thing that `name` is asked for.
    /// Returns how many seconds that took.
    fn kept_out(&mut self, name: &str, record: &SignedRecord) -> (u64, Action) {
        for second in 1..=200 {
            self.wait(1);
            while let Some(action) = self.next() {
                match action {
                    Action::CheckReceipts { intent, .. } => {
                        self.manager.on_receipts(&intent, &[], &self.view, self.now);
                    }
                    Action::Broadcast { intent, hash, .. } if hash == record.hash => {
                        self.manager.on_broadcast_result(&intent, hash, Err(&reserved()), self.now);
                    }
                    // The others are accepted.
                    Action::Broadcast { intent, hash, .. } if intent != self.id(name) => {
                        self.manager.on_broadcast_result(&intent, hash, Ok(()), self.now);
                    }
                    other => return (second, other),
                }
            }
        }
        panic!("{name} is kept out for ever");
    }
}

/// SEQ-INV-5: a pool that holds a transaction of the other type where ours belongs gets an empty one of that type, but not
/// before it has had `resubmit_after` (48 s) to get rid of it; and ours comes again when the empty one is kept out as well.
#[test]
fn the_place_is_cleared_when_it_stays_taken() {
    for (own, other) in [(TxType::Eip1559, TxType::Blob), (TxType::Blob, TxType::Eip1559)] {
        let mut bench = Bench::new(config());
        assert!(bench.manager.on_intent("a".into(), own));
        let ours = bench.sign_as("a", own, 7, false);
        bench.broadcast("a", &ours, Err(&reserved()));

        let (seconds, action) = bench.kept_out("a", &ours);
        assert!((48..=96).contains(&seconds), "{seconds}");
        let asked = Action::Sign {
            intent: "a".into(),
            tx_type: other,
            nonce: 7,
            fees: FeeDecision::Fresh,
            empty: true,
        };
        assert_eq!(action, asked);
        let empty = SignedRecord { tx_type: other, ..record("empty", 7, 1000) };
        bench.manager.on_signed(&"a".into(), empty.clone()).unwrap();
        bench.broadcast("a", &empty, Err(&reserved()));

        let (seconds, action) = bench.kept_out("a", &empty);
        assert!((48..=96).contains(&seconds), "{seconds}");
        assert_eq!(action, Action::Broadcast { intent: "a".into(), hash: ours.hash, raw: ours.raw });
    }
}

/// What is in the place of a later nonce does not stop the first one, which is mined or replaced before anything is done
/// about it.
#[test]
fn only_the_place_of_the_next_nonce_is_cleared() {
    let mut bench = Bench::new(TxManagerConfig { max_in_flight: 2, ..config() });
    assert!(bench.manager.on_intent("a".into(), TxType::Eip1559));
    assert!(bench.manager.on_intent("b".into(), TxType::Eip1559));
    let a = bench.sign("a", 7, 1000);
    bench.broadcast("a", &a, Ok(()));
    bench.check("a", &[a.hash], &[]);
    let b = bench.sign("b", 8, 1000);
    bench.broadcast("b", &b, Err(&reserved()));
    let mut fee = 1000;
    for _ in 0..config().max_replacements {
        let (_, action) = bench.kept_out("b", &b);
        match action {
            Action::Sign { intent, nonce: 7, fees: FeeDecision::Bump { .. }, .. } if intent == "a".into() => {
            }
            other => panic!("{other:?}"),
        }
        fee *= 2;
        bench.manager.on_signed(&"a".into(), record("a", 7, fee)).unwrap();
    }
    bench.view = ChainView { head: 101, nonce_latest: 8, nonce_pending: 8 };
    let (seconds, action) = bench.kept_out("b", &b);
    assert!((48..=96).contains(&seconds), "{seconds}");
    let asked = Action::Sign {
        intent: "b".into(),
        tx_type: TxType::Blob,
        nonce: 8,
        fees: FeeDecision::Fresh,
        empty: true,
    };
    assert_eq!(action, asked);
}

#[test]
fn only_unsigned_intents_can_be_cancelled() {
    let mut bench = Bench::new(config());
    bench.manager.on_intent("a".into(), TxType::Eip1559);
    bench.manager.on_intent("b".into(), TxType::Eip1559);
    assert!(matches!(bench.next(), Some(Action::Sign { .. })));
    assert!(!bench.manager.cancel(&"a".into()));
    assert!(bench.manager.cancel(&"b".into()));
    assert!(!bench.manager.cancel(&"b".into()));
    assert_eq!(bench.manager.len(), 1);
}

#[test]
fn reports_that_were_not_asked_for_change_nothing() {
    let (mut bench, first) = Bench::pending(config());
    let error = bench.manager.on_signed(&"a".into(), record("a", 7, 5000)).unwrap_err();
    assert_eq!(error, TxManagerError::NotSigning { intent: "a".into() });
    bench.manager.on_receipts(&"a".into(), &[receipt(first.hash, 1, true)], &bench.view, bench.now);
    bench.manager.on_broadcast_result(&"a".into(), first.hash, Err(&rejected()), bench.now);
    bench.manager.on_sign_failed(&"a".into(), SignFailure::Retry { reason: String::new() }, bench.now);
    bench.manager.on_check_failed(&"a".into(), bench.now);
    assert_eq!(bench.manager.next_outcome(), None);
    assert_eq!(bench.next(), None);

    bench.wait(48);
    bench.check("a", &[first.hash], &[]);
    assert!(matches!(bench.next(), Some(Action::Sign { .. })));
    let error = bench.manager.on_signed(&"a".into(), record("a", 8, 5000)).unwrap_err();
    assert_eq!(error, TxManagerError::WrongNonce { intent: "a".into(), expected: 7, got: 8 });
    let foreign = receipt(B256::repeat_byte(9), 101, true);
    bench.manager.on_signed(&"a".into(), record("a", 7, 5000)).unwrap();
    bench.broadcast("a", &record("a", 7, 5000), Ok(()));
    bench.view.head = 101;
    bench.check("a", &[record("a", 7, 5000).hash, first.hash], &[foreign]);
    assert_eq!(
        bench.manager.status()[0].state,
        IntentState::Pending,
        "a receipt of another hash says nothing"
    );
}

// ---------------------------------------------------------------------------------------------------------------
// The same against a simulated chain with every fault at random.

#[derive(Clone, Debug)]
struct SimTx {
    record: SignedRecord,
    intent: Option<IntentId>,
    tx_type: TxType,
}

struct Sim {
    rng: StdRng,
    seed: u64,
    config: TxManagerConfig,
    manager: TxManager,
    now: Instant,
    blocks: Vec<Vec<SimTx>>,
    pool: BTreeMap<u64, SimTx>,
    base_fee: u128,
    stale_nonces: (u64, u64),
    /// What the owner has on disk.
    store: Vec<TrackedTx>,
    /// And what it keeps of intents that have their outcome, or have begun another try.
    past: Vec<TrackedTx>,
    /// Reorgs may be deeper than the confirmations; the owner then asks again for what the chain has lost.
    deep: bool,
    wanted: Vec<(IntentId, TxType)>,
    finished: BTreeMap<IntentId, bool>,
    faults: bool,
    foreign: bool,
    signatures: usize,
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let config = TxManagerConfig {
            max_in_flight: rng.gen_range(1..=4),
            resubmit_after: rng.gen_range(5u32..60) * SECOND,
            receipt_poll: rng.gen_range(1u32..10) * SECOND,
            confirmations: rng.gen_range(2..=5),
            max_replacements: rng.gen_range(0..=6),
        };
        let mixture = rng.gen_range(0..3);
        let wanted = (0..rng.gen_range(1..=8))
            .map(|i| {
                let tx_type = match mixture {
                    0 => TxType::Eip1559,
                    1 => TxType::Blob,
                    _ if rng.gen_bool(0.5) => TxType::Blob,
                    _ => TxType::Eip1559,
                };
                (IntentId(format!("intent-{i}")), tx_type)
            })
            .collect();
        let foreign = rng.gen_bool(0.3);
        let deep = rng.gen_bool(0.4);
        let mut sim = Self {
            rng,
            seed,
            config,
            manager: TxManager::new(config),
            now: Instant::now(),
            blocks: vec![Vec::new(); 10],
            pool: BTreeMap::new(),
            base_fee: 1000,
            stale_nonces: (0, 0),
            store: Vec::new(),
            past: Vec::new(),
            deep,
            wanted,
            finished: BTreeMap::new(),
            faults: true,
            foreign,
            signatures: 0,
        };
        sim.restart();
        sim
    }

    fn chance(&mut self, p: f64) -> bool {
        self.faults && self.rng.gen_bool(p)
    }

    fn nonce(&self) -> u64 {
        self.blocks.iter().map(|b| b.len() as u64).sum()
    }

    fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    /// The owner dies and comes back with what is on disk.
    fn restart(&mut self) {
        self.manager = TxManager::new(self.config);
        self.manager.recover(self.store.clone()).unwrap();
        self.manager.remember(self.past.iter().map(|t| PastTx {
            intent: t.intent.clone(),
            hash: t.record.hash,
            nonce: t.record.nonce,
            empty: t.record.tx_type != t.tx_type,
        }));
        for (id, tx_type) in self.wanted.clone() {
            if !self.finished.contains_key(&id) {
                self.manager.on_intent(id, tx_type);
            }
        }
    }

    fn mine(&mut self) {
        let mut block = Vec::new();
        let mut next = self.nonce();
        while let Some(tx) = self.pool.get(&next) {
            if tx.record.fees.max_fee_per_gas < self.base_fee || self.rng.gen_bool(0.1) {
                break;
            }
            block.push(self.pool.remove(&next).unwrap());
            next += 1;
        }
        self.blocks.push(block);
    }

    fn chain_events(&mut self) {
        self.now += Duration::from_millis(self.rng.gen_range(100..9000));
        if self.chance(0.2) {
            self.base_fee = self.rng.gen_range(200..4000);
        }
        if self.chance(0.06) {
            // No deeper than what the manager takes for final, unless that is what this run is about.
            let deepest = if self.deep { self.config.confirmations * 3 } else { self.config.confirmations };
            let depth = self.rng.gen_range(1..deepest).min(self.head()) as usize;
            for block in self.blocks.split_off(self.blocks.len() - depth) {
                for tx in block {
                    if self.rng.gen_bool(0.5) {
                        self.pool.insert(tx.record.nonce, tx);
                    }
                }
            }
            // The other branch is longer.
            for _ in 0..depth {
                self.mine();
            }
        }
        if self.chance(0.05) {
            let keep: BTreeSet<u64> = self.pool.keys().copied().filter(|_| self.rng.gen_bool(0.5)).collect();
            self.pool.retain(|nonce, _| keep.contains(nonce));
        }
        if self.foreign && self.chance(0.02) {
            // Somebody else uses the key; the transaction is mined at once or only shows up in the pool.
            let nonce = self.nonce();
            let record = record("foreign", nonce, self.rng.gen_range(1000..9000));
            let tx = SimTx { record, intent: None, tx_type: TxType::Eip1559 };
            self.pool.insert(nonce, tx);
            if self.rng.gen_bool(0.5) {
                self.mine();
            }
        }
        if self.rng.gen_bool(0.5) {
            self.mine();
        }
        // Pools drop what is mined, blob transactions behind a gap at once and others after hours.
        let mut next = self.nonce();
        self.pool.retain(|nonce, _| *nonce >= next);
        let rng = &mut self.rng;
        self.pool.retain(|nonce, tx| {
            let gap = *nonce != next;
            next += u64::from(!gap);
            !gap || (tx.tx_type == TxType::Eip1559 && rng.gen_bool(0.98))
        });
    }

    /// Whether a transaction of the intent is on the chain.
    fn is_there(&self, id: &IntentId) -> bool {
        self.blocks.iter().flatten().any(|t| t.intent.as_ref() == Some(id))
    }

    /// The contract has an effect once: who comes second reverts.
    fn status_of(&self, tx: &SimTx) -> bool {
        let Some(id) = &tx.intent else { return true };
        let first = self.blocks.iter().flatten().find(|t| t.intent.as_ref() == Some(id));
        succeeds(id) && first.is_some_and(|first| first.record.hash == tx.record.hash)
    }

    /// After a deep reorg the owner asks again for what was done and is not on the chain any more.
    fn ask_again(&mut self) {
        let done: Vec<_> =
            self.wanted.iter().filter(|(id, _)| self.finished.contains_key(id)).cloned().collect();
        for (id, tx_type) in done {
            if !self.is_there(&id) && self.rng.gen_bool(0.2) {
                self.finished.remove(&id);
                assert!(self.manager.on_intent(id, tx_type), "seed {}", self.seed);
            }
        }
    }

    fn view(&mut self) -> ChainView {
        let latest = self.nonce();
        let mut pending = latest;
        while self.pool.contains_key(&pending) {
            pending += 1;
        }
        // A lagging node behind the load balancer answers the nonce queries at times.
        let (nonce_latest, nonce_pending) =
            if self.chance(0.1) { self.stale_nonces } else { (latest, pending) };
        self.stale_nonces = (latest, pending);
        ChainView { head: self.head(), nonce_latest, nonce_pending }
    }

    fn pool_takes(&mut self, tx: SimTx) -> Result<(), L1Error> {
        let nonce = tx.record.nonce;
        let all = self.blocks.iter().flatten().chain(self.pool.values());
        if all.into_iter().any(|t| t.record.hash == tx.record.hash) {
            return Err(L1Error::AlreadyKnown { message: String::new() });
        }
        if nonce < self.nonce() {
            return Err(nonce_too_low());
        }
        if self.pool.values().any(|t| t.tx_type != tx.tx_type) {
            return Err(L1Error::AccountReserved { message: String::new() });
        }
        if tx.tx_type == TxType::Blob && (self.nonce()..nonce).any(|n| !self.pool.contains_key(&n)) {
            return Err(L1Error::NonceTooHigh { message: String::new() });
        }
        if tx.record.fees.max_fee_per_gas * 2 < self.base_fee {
            return Err(L1Error::Underpriced { message: String::new() });
        }
        if let Some(old) = self.pool.get(&nonce)
            && !tx.record.fees.replaces(&old.record.fees, tx.tx_type)
        {
            return Err(underpriced());
        }
        self.pool.insert(nonce, tx);
        Ok(())
    }

    fn perform(&mut self, action: Action, view: &ChainView) {
        match action {
            Action::Sign { intent, tx_type, nonce, fees, empty } => {
                if self.chance(0.05) {
                    let failure = SignFailure::Retry { reason: "rpc down".into() };
                    return self.manager.on_sign_failed(&intent, failure, self.now);
                }
                let market = FeePlan {
                    max_fee_per_gas: self.base_fee * 2,
                    max_priority_fee_per_gas: 10,
                    max_fee_per_blob_gas: if tx_type == TxType::Blob { 10 } else { 0 },
                };
                let plan = match fees {
                    FeeDecision::Fresh => market,
                    FeeDecision::Bump { previous } => previous.replacement_floor(tx_type).max(market),
                };
                self.signatures += 1;
                let raw = format!("{intent} {nonce} {plan:?} {}", self.signatures);
                let raw = Bytes::from(raw.into_bytes());
                let hash = keccak256(&raw);
                let max_cost = U256::from(plan.max_fee_per_gas * 100_000);
                let record = SignedRecord { hash, nonce, tx_type, fees: plan, max_cost, raw };
                // The store knows the type of the intent; what only clears its place in the pool has the other one.
                let own = if empty && !intent.is_filler() { tx_type.other() } else { tx_type };
                self.store.push(TrackedTx { intent: intent.clone(), tx_type: own, record: record.clone() });
                self.check_store();
                if self.chance(0.03) {
                    return self.restart();
                }
                self.manager.on_signed(&intent, record).unwrap_or_else(|e| panic!("seed {}: {e}", self.seed));
            }
            Action::Adopt { intent, nonce } => {
                if self.chance(0.05) {
                    let failure = SignFailure::Retry { reason: "disk full".into() };
                    return self.manager.on_sign_failed(&intent, failure, self.now);
                }
                let again = |t: &mut TrackedTx| t.intent == intent && t.record.nonce == nonce;
                let adopted: Vec<_> = self.past.extract_if(.., again).collect();
                assert!(!adopted.is_empty(), "seed {}: {intent} was never signed", self.seed);
                self.store.extend(adopted.iter().cloned());
                self.check_store();
                if self.chance(0.1) {
                    return self.restart();
                }
                let records = adopted.into_iter().map(|t| t.record).collect();
                let done = self.manager.on_adopted(&intent, records);
                done.unwrap_or_else(|e| panic!("seed {}: {e}", self.seed));
            }
            Action::Broadcast { intent, hash, raw } => {
                let stored = self.store.iter().find(|t| t.record.hash == hash);
                let stored = stored.unwrap_or_else(|| panic!("seed {}: sent but not stored", self.seed));
                assert_eq!(stored.record.raw, raw, "seed {}: other bytes than stored", self.seed);
                let tx = SimTx {
                    record: stored.record.clone(),
                    intent: (stored.record.tx_type == stored.tx_type).then(|| intent.clone()),
                    tx_type: stored.record.tx_type,
                };
                let lost = self.chance(0.1);
                let result = if lost && self.rng.gen_bool(0.5) { Ok(()) } else { self.pool_takes(tx) };
                if self.chance(0.03) {
                    return self.restart();
                }
                let result = if lost { Err(transport()) } else { result };
                let result = result.as_ref().copied();
                self.manager.on_broadcast_result(&intent, hash, result, self.now);
            }
            Action::CheckReceipts { intent, hashes } => {
                let of_intent: Vec<B256> =
                    self.store.iter().filter(|t| t.intent == intent).map(|t| t.record.hash).collect();
                assert!(
                    of_intent.iter().all(|h| hashes.contains(h)),
                    "seed {}: a hash is forgotten",
                    self.seed
                );
                if self.chance(0.1) {
                    return self.manager.on_check_failed(&intent, self.now);
                }
                let mut receipts = Vec::new();
                for (number, block) in self.blocks.iter().enumerate() {
                    for tx in block.iter().filter(|t| hashes.contains(&t.record.hash)) {
                        receipts.push(receipt(tx.record.hash, number as u64, self.status_of(tx)));
                    }
                }
                self.manager.on_receipts(&intent, &receipts, view, self.now);
            }
        }
    }

    /// SEQ-INV-5 on disk: one nonce per unfinished intent, one unfinished intent per nonce.
    fn check_store(&self) {
        let mut by_nonce: BTreeMap<u64, &IntentId> = BTreeMap::new();
        let mut by_intent: BTreeMap<&IntentId, u64> = BTreeMap::new();
        for TrackedTx { intent, record, .. } in &self.store {
            let nonce = *by_intent.entry(intent).or_insert(record.nonce);
            assert_eq!(nonce, record.nonce, "seed {}: {intent} has two nonces", self.seed);
            let owner = *by_nonce.entry(record.nonce).or_insert(intent);
            assert_eq!(owner, intent, "seed {}: nonce {nonce} is shared", self.seed);
        }
    }

    fn take_outcomes(&mut self) {
        while let Some(outcome) = self.manager.next_outcome() {
            let id = outcome.intent().clone();
            self.past.extend(self.store.extract_if(.., |t| t.intent == id));
            match outcome {
                Outcome::Confirmed { receipt, .. } | Outcome::Reverted { receipt, .. } => {
                    let block = self.blocks.get(receipt.block_number as usize);
                    let there =
                        block.is_some_and(|b| b.iter().any(|t| t.record.hash == receipt.transaction_hash));
                    assert!(there || self.deep, "seed {}: {id} is not on the chain", self.seed);
                    assert!(receipt.confirmations(self.head()) >= self.config.confirmations);
                    // A transaction from before a deep reorg may have come first.
                    assert!(self.deep || receipt.status == succeeds(&id), "seed {}: {id}", self.seed);
                    if !id.is_filler() {
                        assert_eq!(self.finished.insert(id, receipt.status), None, "seed {}", self.seed);
                    }
                }
                Outcome::Displaced { by, .. } => {
                    assert!(self.deep, "seed {}: {id}: nothing of {by} can have come back", self.seed);
                    if let Some((id, tx_type)) = self.wanted.iter().find(|(w, _)| *w == id).cloned() {
                        assert!(self.manager.on_intent(id, tx_type));
                    }
                }
                Outcome::Failed { reason: FailReason::ForeignNonce { .. }, .. } => {
                    assert!(self.foreign, "seed {}: {id}: a nonce of ours is called foreign", self.seed);
                    if let Some((id, tx_type)) = self.wanted.iter().find(|(w, _)| *w == id).cloned() {
                        assert!(self.manager.on_intent(id, tx_type));
                    }
                }
                Outcome::Failed { reason: FailReason::PoolConflict { .. }, .. } => {
                    // After a deep reorg the other kind may be an earlier transaction of our own.
                    let other = self.foreign || self.deep;
                    assert!(other, "seed {}: {id}: nothing was in its place", self.seed);
                    if let Some((id, tx_type)) = self.wanted.iter().find(|(w, _)| *w == id).cloned() {
                        assert!(self.manager.on_intent(id, tx_type));
                    }
                }
                Outcome::Failed { reason, .. } => panic!("seed {}: {id} failed: {reason}", self.seed),
            }
        }
    }

    fn step(&mut self) {
        self.chain_events();
        if self.chance(0.03) {
            self.restart();
        }
        self.ask_again();
        let view = self.view();
        let mut actions = 0;
        while let Some(action) = self.manager.next_action(self.now, &view) {
            actions += 1;
            assert!(actions < 200, "seed {}: no end of actions at one moment: {action:?}", self.seed);
            self.perform(action, &view);
            self.take_outcomes();
        }
        let mut seen = BTreeSet::new();
        for tx in self.blocks.iter().flatten().filter(|tx| !self.deep || self.status_of(tx)) {
            if let Some(id) = tx.intent.as_ref().filter(|id| !id.is_filler()) {
                assert!(seen.insert(id.clone()), "seed {}: {id} took effect twice", self.seed);
            }
        }
    }

    fn run(mut self) -> usize {
        for _ in 0..150 {
            self.step();
        }
        self.faults = false;
        self.base_fee = 100;
        let mut steps = 0;
        while !self.manager.is_empty() || !self.wanted.iter().all(|(id, _)| self.is_there(id)) {
            self.step();
            steps += 1;
            assert!(steps < 2000, "seed {}: no end: {:#?} {:?}", self.seed, self.manager.status(), self.pool);
        }
        for (id, _) in &self.wanted {
            let finished = self.finished.get(id);
            assert!(finished.is_some(), "seed {}: {id}", self.seed);
            let times = self.blocks.iter().flatten().filter(|t| t.intent.as_ref() == Some(id)).count();
            if !self.deep {
                assert_eq!(finished, Some(&succeeds(id)), "seed {}: {id}", self.seed);
                assert_eq!(times, 1, "seed {}: {id} is on the chain {times} times", self.seed);
            }
        }
        self.signatures
    }
}

fn succeeds(id: &IntentId) -> bool {
    !id.0.ends_with('3')
}

/// SEQ-INV-5: whatever the chain, the pool, the network and the process do, each intent takes effect exactly once.
/// `ENSEMBLE_TEST_SEED` repeats one run.
#[test]
fn every_intent_takes_effect_once_in_a_hostile_world() {
    let seeds: Vec<u64> = match std::env::var("ENSEMBLE_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("ENSEMBLE_TEST_SEED is a number")],
        Err(_) => {
            let random: u64 = rand::random();
            eprintln!("seeds 0 to 399 and {random} to {}", random.wrapping_add(99));
            (0..400).chain((0..100).map(|i| random.wrapping_add(i))).collect()
        }
    };
    let signatures: usize = seeds.iter().map(|seed| Sim::new(*seed).run()).sum();
    assert!(signatures >= seeds.len(), "the simulation did something");
}
