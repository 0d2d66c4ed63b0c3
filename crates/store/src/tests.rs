//! Tests of the store with a real SQLite file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::path::PathBuf;

use alloy_primitives::{Address, B256, Bloom, Bytes, FixedBytes, U256, keccak256};
use ensemble_batch::{
    BatchHeader, BlobProof, Deposit, GWEI, L2Withdrawal, ProgramKey, PublicValues, SealedBlock, Withdrawal,
    deposit_leaf, next_deposits_hash, prev_randao,
};
use ensemble_error::{Classify, Severity};
use ensemble_messages::{BatchProof, IntentId, IntentKind, LeaseId, ProverType, SenderRole, TxIntent};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};

use crate::{
    BatchRecord, BatchStatus, BlockExtras, ChainIdentity, Cursor, IntentState, LeaseRecord, PastTransaction,
    SIGNED_NONCES_KEPT, Setback, SignedTransaction, Store, StoreError, StoredProof, Unwound,
};

/// A store in a folder that goes away with it.
struct Bed {
    store: Store,
    folder: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&path(&folder)).await.unwrap();
        Self { store, folder }
    }

    /// The process ends and another one opens the file.
    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = Store::open(&path(&self.folder)).await.unwrap();
    }

    async fn sql(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.store.pool).await.unwrap();
    }
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    // The folder in between does not exist yet.
    folder.path().join("data").join("ensemble.db")
}

fn word(n: u64) -> B256 {
    keccak256(n.to_be_bytes())
}

fn cursor(number: u64) -> Cursor {
    Cursor { number, hash: word(number) }
}

/// A chain of deposits, one per given L1 block.
fn deposits(after: Option<&Deposit>, l1_blocks: &[u64]) -> Vec<Deposit> {
    let (mut id, mut hash) = after.map_or((0, B256::ZERO), |d| (d.id, d.rolling_hash));
    let mut out = Vec::new();
    for l1_block in l1_blocks {
        id += 1;
        let (to, amount) = (Address::from_word(word(id)), U256::from(id) * U256::from(GWEI));
        hash = next_deposits_hash(hash, deposit_leaf(id, to, amount));
        out.push(Deposit {
            id,
            to,
            amount,
            rolling_hash: hash,
            l1_block: *l1_block,
            l1_block_hash: word(*l1_block),
        });
    }
    out
}

/// A block whose hash is a function of its parent and `variant`.
fn block(number: u64, parent_hash: B256, variant: u64) -> SealedBlock {
    SealedBlock {
        parent_hash,
        fee_recipient: Address::repeat_byte(1),
        state_root: word(number),
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        prev_randao: prev_randao(&parent_hash, number * 2),
        number,
        gas_limit: 30_000_000,
        gas_used: 21_000,
        timestamp: 1_800_000_000 + number,
        extra_data: Bytes::from_static(b"extra"),
        base_fee_per_gas: 7,
        block_hash: keccak256(
            [parent_hash.as_slice(), &number.to_be_bytes(), &variant.to_be_bytes()].concat(),
        ),
        transactions: vec![Bytes::from(vec![2, 3, 4]); usize::try_from(number % 3).unwrap()],
        withdrawals: vec![Withdrawal {
            index: number * 2,
            validator_index: 0,
            address: Address::repeat_byte(9),
            amount_gwei: 5,
        }],
        blob_gas_used: 0,
        excess_blob_gas: 0,
        parent_beacon_block_root: B256::ZERO,
        execution_requests: vec![Bytes::from_static(&[0, 1])],
    }
}

fn batch(parent: Option<&BatchRecord>, blocks: u64) -> BatchRecord {
    let (number, parent_hash, first_block) = parent
        .map_or((1, B256::repeat_byte(7), 1), |p| (p.header.number + 1, p.header.hash(), p.last_block + 1));
    BatchRecord {
        header: BatchHeader {
            parent_hash,
            state_root: word(number),
            block_hash: word(first_block + blocks - 1),
            withdrawals_root: B256::ZERO,
            deposits_hash: B256::ZERO,
            blobs_hash: word(number + 1000),
            number,
            deposits_index: number,
            sealed_at: 1_800_000_000 + number,
        },
        first_block,
        last_block: first_block + blocks - 1,
        payload: Bytes::from(vec![u8::try_from(number % 251).unwrap(); 100]),
        blob_proofs: vec![BlobProof {
            commitment: FixedBytes::repeat_byte(3),
            proof: FixedBytes::repeat_byte(4),
        }],
        status: BatchStatus::Sealed,
        commit_tx: None,
        verify_tx: None,
    }
}

fn intent(id: &str, role: SenderRole) -> TxIntent {
    TxIntent {
        id: IntentId(id.to_owned()),
        role,
        kind: IntentKind::CommitBatch { number: 3 },
        to: Address::repeat_byte(5),
        data: Bytes::from_static(b"call"),
        blobs: 2,
    }
}

fn signed(intent: &TxIntent, n: u64, signed_at: u64) -> SignedTransaction {
    SignedTransaction {
        hash: word(n),
        intent: intent.id.clone(),
        nonce: 17,
        fees: "{}".to_owned(),
        raw: Bytes::from(vec![2; 50]),
        signed_at,
    }
}

fn proof(batch_number: u64, prover_type: ProverType) -> BatchProof {
    BatchProof {
        prover_type,
        batch_number,
        public_values: PublicValues { from: word(batch_number - 1), to: word(batch_number) },
        program_key: ProgramKey(word(99)),
        proof: Bytes::from(vec![8; 65]),
    }
}

// ------------------------------------------------------------------------------------------- opening and identity

#[tokio::test]
async fn a_new_file_is_empty() {
    let bed = Bed::new().await;
    let store = &bed.store;
    assert_eq!(store.cursor().await.unwrap(), None);
    assert_eq!(store.last_deposit().await.unwrap(), None);
    assert_eq!(store.head_block().await.unwrap(), None);
    assert_eq!(store.block(1).await.unwrap(), None);
    assert_eq!(store.block_hash(1).await.unwrap(), None);
    assert_eq!(store.block_extras(1).await.unwrap(), None);
    assert_eq!(store.last_batch().await.unwrap(), None);
    assert_eq!(store.batch(1).await.unwrap(), None);
    assert_eq!(store.batch_of_block(1).await.unwrap(), None);
    for status in [BatchStatus::Sealed, BatchStatus::Committed, BatchStatus::Verified] {
        assert_eq!(store.last_batch_at_least(status).await.unwrap(), None);
        assert_eq!(store.first_batch_at(status).await.unwrap(), None);
        assert!(store.batches_at(status).await.unwrap().is_empty());
    }
    assert!(store.proofs_of(1).await.unwrap().is_empty());
    assert!(store.leases().await.unwrap().is_empty());
    assert!(store.pending_intents(SenderRole::Committer).await.unwrap().is_empty());
    assert_eq!(store.intent(&IntentId("x".into())).await.unwrap(), None);
}

/// A store file of another chain is refused by name of what differs, and nothing in it is changed.
#[tokio::test]
async fn the_file_belongs_to_one_chain() {
    let mut bed = Bed::new().await;
    let identity = ChainIdentity {
        l1_chain_id: 1,
        l2_chain_id: 2,
        l2_genesis: word(1),
        proposer: Address::repeat_byte(1),
        bridge: Address::repeat_byte(2),
    };
    bed.store.bind_identity(&identity).await.unwrap();
    bed.store.bind_identity(&identity).await.unwrap();
    bed.reopen().await;
    let others = [
        ("the L1 chain id", ChainIdentity { l1_chain_id: 9, ..identity.clone() }),
        ("the L2 chain id", ChainIdentity { l2_chain_id: 9, ..identity.clone() }),
        ("the L2 genesis hash", ChainIdentity { l2_genesis: word(9), ..identity.clone() }),
        (
            "the OnChainProposer address",
            ChainIdentity { proposer: Address::repeat_byte(9), ..identity.clone() },
        ),
        ("the CommonBridge address", ChainIdentity { bridge: Address::repeat_byte(9), ..identity.clone() }),
    ];
    for (part, other) in others {
        let error = bed.store.bind_identity(&other).await.unwrap_err();
        assert!(matches!(&error, StoreError::WrongChain { what, .. } if *what == part), "{part}: {error}");
        assert_eq!(error.severity(), Severity::Fatal);
    }
    bed.store.bind_identity(&identity).await.unwrap();
}

/// A file written by a newer version is not touched.
#[tokio::test]
async fn a_newer_schema_is_refused() {
    let bed = Bed::new().await;
    bed.sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'future', TRUE, X'00', 0)",
    )
    .await;
    bed.store.close().await;
    let error = Store::open(&path(&bed.folder)).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { version: 999, .. }), "{error}");
    assert!(error.to_string().contains("newer version"), "{error}");
    assert_eq!(error.severity(), Severity::Fatal);
}

#[tokio::test]
async fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ensemble.db");
    std::fs::write(&file, [b'x'; 8192]).unwrap();
    let error = Store::open(&file).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("ensemble repair"), "{error}");
    assert_eq!(error.severity(), Severity::Fatal);
    assert_eq!(std::fs::read(&file).unwrap(), [b'x'; 8192], "left as it was");
    // A folder in place of the file, and a file in place of its folder.
    for path in [folder.path().to_owned(), file.join("ensemble.db")] {
        let error = Store::open(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::CannotOpen { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(error.to_string().contains("store.url must name a file"), "{error}");
        assert_eq!(error.severity(), Severity::Fatal);
    }
}

#[test]
fn severities() {
    let table = [
        (StoreError::Database(sqlx::Error::PoolTimedOut), Severity::Transient),
        (StoreError::Database(sqlx::Error::RowNotFound), Severity::Fatal),
        (StoreError::OutOfRange(u64::MAX), Severity::Fatal),
        (StoreError::Full { reason: String::new() }, Severity::Transient),
        (StoreError::Busy { reason: String::new() }, Severity::Transient),
        (StoreError::ReadOnly { reason: String::new() }, Severity::Fatal),
        (StoreError::Damaged { reason: String::new() }, Severity::Fatal),
        (StoreError::InUse { path: String::new() }, Severity::Fatal),
        (StoreError::Gap { what: "block", got: 3, expected_after: 1 }, Severity::NeedsReset),
        (StoreError::Conflict { what: "block", number: 3 }, Severity::NeedsReset),
    ];
    for (error, severity) in table {
        assert_eq!(error.severity(), severity, "{error}");
    }
}

/// SQLite's integers are signed: what does not fit is refused, not wrapped.
#[tokio::test]
async fn numbers_beyond_63_bits_are_refused() {
    let bed = Bed::new().await;
    let error = bed.store.record_l1_range(cursor(u64::MAX), &[]).await.unwrap_err();
    assert!(matches!(error, StoreError::OutOfRange(u64::MAX)), "{error}");
    assert_eq!(bed.store.cursor().await.unwrap(), None);
    assert!(matches!(bed.store.block(u64::MAX).await, Err(StoreError::OutOfRange(_))));
    assert!(matches!(bed.store.batch(1 << 63).await, Err(StoreError::OutOfRange(_))));
    assert!(matches!(
        bed.store.insert_lease(1, ProverType::Exec, "p", u64::MAX).await,
        Err(StoreError::OutOfRange(_))
    ));
    assert!(bed.store.leases().await.unwrap().is_empty());
}

// ------------------------------------------------------------------------------------------------------- deposits

/// SEQ-INV-1: cursor and ledger move together, and survive a new start.
#[tokio::test]
async fn ledger_and_cursor_survive_a_new_start() {
    let mut bed = Bed::new().await;
    let all = deposits(None, &[3, 3, 5]);
    bed.store.record_l1_range(cursor(4), &all[..2]).await.unwrap();
    bed.store.record_l1_range(cursor(9), &all[2..]).await.unwrap();
    bed.reopen().await;
    let store = &bed.store;
    assert_eq!(store.cursor().await.unwrap(), Some(cursor(9)));
    assert_eq!(store.deposits_after(0, 10).await.unwrap(), all);
    assert_eq!(store.deposits_after(1, 1).await.unwrap(), all[1..2]);
    assert!(store.deposits_after(3, 10).await.unwrap().is_empty());
    assert_eq!(store.deposit(2).await.unwrap().as_ref(), Some(&all[1]));
    assert_eq!(store.deposit(4).await.unwrap(), None);
    assert_eq!(store.last_deposit().await.unwrap().as_ref(), Some(&all[2]));
    assert_eq!(store.known_l1_blocks(10).await.unwrap(), [cursor(9), cursor(4)]);
    assert_eq!(store.known_l1_blocks(1).await.unwrap(), [cursor(9)]);
}

/// SEQ-INV-1: a gap or a contradiction in the ledger is refused whole: neither cursor nor ledger move.
#[tokio::test]
async fn gaps_and_contradictions_in_the_ledger_change_nothing() {
    let bed = Bed::new().await;
    let all = deposits(None, &[1, 2, 3, 4, 5]);
    bed.store.record_l1_range(cursor(2), &all[..2]).await.unwrap();

    let error = bed.store.record_l1_range(cursor(5), &[all[2].clone(), all[4].clone()]).await.unwrap_err();
    assert!(matches!(error, StoreError::Gap { what: "deposit", got: 5, expected_after: 3 }), "{error}");
    let mut other = all[1].clone();
    other.amount += U256::from(1);
    let error = bed.store.record_l1_range(cursor(5), &[other, all[2].clone()]).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { what: "deposit", number: 2 }), "{error}");
    assert_eq!(bed.store.cursor().await.unwrap(), Some(cursor(2)));
    assert_eq!(bed.store.deposits_after(0, 10).await.unwrap(), all[..2]);

    // The same content again is accepted.
    bed.store.record_l1_range(cursor(5), &all).await.unwrap();
    assert_eq!(bed.store.deposits_after(0, 10).await.unwrap(), all);
}

/// SEQ-INV-2: deposits of dropped L1 blocks leave the ledger with the cursor.
#[tokio::test]
async fn unwinding_takes_ledger_and_cursor_back() {
    let bed = Bed::new().await;
    let all = deposits(None, &[1, 4, 6]);
    bed.store.record_l1_range(cursor(2), &all[..1]).await.unwrap();
    bed.store.record_l1_range(cursor(4), &all[1..2]).await.unwrap();
    bed.store.record_l1_range(cursor(6), &all[2..]).await.unwrap();
    assert_eq!(bed.store.unwind_l1(cursor(2), 0).await.unwrap(), Unwound { removed: 2, dropped: 0 });
    assert_eq!(bed.store.cursor().await.unwrap(), Some(cursor(2)));
    assert_eq!(bed.store.deposits_after(0, 10).await.unwrap(), all[..1]);
    assert_eq!(bed.store.known_l1_blocks(10).await.unwrap(), [cursor(2)]);
    // Another deposit takes the number.
    let again = deposits(all.first(), &[8]);
    bed.store.record_l1_range(cursor(8), &again).await.unwrap();
    assert_eq!(bed.store.last_deposit().await.unwrap().as_ref(), again.first());
}

/// SEQ-INV-1: deposits that the L2 holds stay in the ledger when L1 drops their block; they get the new block when L1 has
/// them again, and nothing else takes their place.
#[tokio::test]
async fn included_deposits_outlive_their_l1_block() {
    let bed = Bed::new().await;
    let all = deposits(None, &[1, 4, 6]);
    bed.store.record_l1_range(cursor(2), &all[..1]).await.unwrap();
    bed.store.record_l1_range(cursor(6), &all[1..]).await.unwrap();
    // The head of the store holds two, and may be ahead of the client.
    bed.store.insert_block(&block(1, B256::ZERO, 1)).await.unwrap();
    for included in [0, 2] {
        let unwound = bed.store.unwind_l1(cursor(2), included).await.unwrap();
        let first = included == 0;
        assert_eq!(unwound, Unwound { removed: u64::from(first), dropped: u64::from(first) });
    }
    assert_eq!(bed.store.last_deposit_on_l1().await.unwrap().as_ref(), Some(&all[0]));
    let kept = bed.store.dropped_deposits(10).await.unwrap();
    assert_eq!(kept, [Deposit { l1_block: 0, l1_block_hash: B256::ZERO, ..all[1].clone() }]);

    let mut other = all[1].clone();
    other.rolling_hash = word(99);
    let error = bed.store.record_l1_range(cursor(5), &[other]).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { what: "deposit", number: 2 }), "{error}");
    let moved = Deposit { l1_block: 5, l1_block_hash: word(5), ..all[1].clone() };
    bed.store.record_l1_range(cursor(5), std::slice::from_ref(&moved)).await.unwrap();
    assert_eq!(bed.store.deposits_after(0, 10).await.unwrap(), [all[0].clone(), moved]);
    assert!(bed.store.dropped_deposits(10).await.unwrap().is_empty());
}

/// SEQ-INV-2: a block whose deposits have left the ledger since it was begun is not kept.
#[tokio::test]
async fn a_new_block_needs_its_deposits_in_the_ledger() {
    let bed = Bed::new().await;
    let mut one = block(1, B256::ZERO, 1);
    let all = deposits(None, &[1, 4]);
    one.withdrawals[0].address = all[1].to;
    one.withdrawals[0].amount_gwei = 2;
    let refused = async || {
        let error = bed.store.insert_new_block(&one).await.unwrap_err();
        assert!(matches!(error, StoreError::DepositDropped { block: 1, deposit: 2 }), "{error}");
        assert_eq!(bed.store.head_block().await.unwrap(), None);
    };
    refused().await;
    bed.store.record_l1_range(cursor(2), &all[..1]).await.unwrap();
    bed.store.record_l1_range(cursor(4), &all[1..]).await.unwrap();
    bed.store.unwind_l1(cursor(2), 0).await.unwrap();
    refused().await;
    bed.store.record_l1_range(cursor(4), &all[1..]).await.unwrap();
    bed.store.unwind_l1(cursor(2), 2).await.unwrap();
    refused().await;
    bed.store.record_l1_range(cursor(4), &all[1..]).await.unwrap();
    bed.store.insert_new_block(&one).await.unwrap();
    assert_eq!(bed.store.head_block().await.unwrap().unwrap().hash, one.block_hash);
}

/// A verification that L1 dropped makes its batch a committed one again; what was final stays known.
#[tokio::test]
async fn dropped_verifications_keep_what_was_final() {
    let mut bed = Bed::new().await;
    assert_eq!(bed.store.unverify_above(0).await.unwrap(), 0);
    assert_eq!(bed.store.finalized_floor().await.unwrap(), None);
    let (mut parent, mut last): (B256, Option<BatchRecord>) = (B256::ZERO, None);
    let mut hashes = Vec::new();
    for number in 1..=3 {
        let b = block(number, parent, 1);
        bed.store.insert_block(&b).await.unwrap();
        parent = b.block_hash;
        hashes.push(parent);
        let next = batch(last.as_ref(), 1);
        bed.store.insert_batch(&next).await.unwrap();
        bed.store.mark_committed(number, None).await.unwrap();
        bed.store.mark_verified(number, Some(word(number))).await.unwrap();
        last = Some(next);
    }
    assert_eq!(bed.store.unverify_above(1).await.unwrap(), 2);
    assert_eq!(bed.store.batches_at(BatchStatus::Committed).await.unwrap(), [2, 3]);
    assert_eq!(bed.store.batch(2).await.unwrap().unwrap().verify_tx, None);
    assert_eq!(bed.store.finalized_floor().await.unwrap(), Some((3, hashes[2])));
    // A second reorg takes less away than the first: the floor stays.
    bed.store.mark_verified(2, None).await.unwrap();
    assert_eq!(bed.store.unverify_above(0).await.unwrap(), 2);
    bed.reopen().await;
    assert_eq!(bed.store.finalized_floor().await.unwrap(), Some((3, hashes[2])));
}

/// SEQ-INV-11: the hashes kept for reorgs are bounded.
#[tokio::test]
async fn old_l1_hashes_are_forgotten() {
    let bed = Bed::new().await;
    for number in [1, 2, 4_097, 4_098] {
        bed.store.record_l1_range(cursor(number), &[]).await.unwrap();
    }
    let kept: Vec<u64> = bed.store.known_l1_blocks(10).await.unwrap().iter().map(|c| c.number).collect();
    assert_eq!(kept, [4_098, 4_097, 2]);
}

// --------------------------------------------------------------------------------------------------------- blocks

/// SEQ-INV-3: one block per height, each on its parent.
#[tokio::test]
async fn blocks_follow_each_other() {
    let mut bed = Bed::new().await;
    let b1 = block(1, B256::ZERO, 0);
    let b2 = block(2, b1.block_hash, 0);
    bed.store.insert_block(&b1).await.unwrap();
    bed.store.insert_block(&b2).await.unwrap();
    bed.store.insert_block(&b1).await.unwrap();

    let refused = bed.store.insert_block(&block(2, b1.block_hash, 1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { what: "block", number: 2 }), "{refused}");
    for (number, parent) in [(4, b2.block_hash), (3, b1.block_hash)] {
        let refused = bed.store.insert_block(&block(number, parent, 0)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Gap { what: "block", expected_after: 2, .. }), "{refused}");
    }

    bed.reopen().await;
    let head = bed.store.head_block().await.unwrap().unwrap();
    assert_eq!((head.number, head.hash, head.timestamp), (2, b2.block_hash, b2.timestamp));
    assert_eq!((head.deposits_index, head.transactions, head.complete), (4, 2, false));
    assert_eq!(bed.store.block(1).await.unwrap(), Some(b1.clone()));
    assert_eq!(bed.store.block(2).await.unwrap(), Some(b2));
    assert_eq!(bed.store.block_hash(1).await.unwrap(), Some(b1.block_hash));
    assert_eq!(bed.store.block(3).await.unwrap(), None);
}

#[tokio::test]
async fn extras_of_a_block_and_their_pruning() {
    let bed = Bed::new().await;
    let b1 = block(1, B256::ZERO, 0);
    let b2 = block(2, b1.block_hash, 0);
    bed.store.insert_block(&b1).await.unwrap();
    bed.store.insert_block(&b2).await.unwrap();
    assert_eq!(bed.store.block_extras(1).await.unwrap(), None);
    let extras = BlockExtras {
        withdrawals: vec![L2Withdrawal { id: 0, to: Address::repeat_byte(3), amount: U256::from(12) }],
        witness: b"{}".to_vec(),
    };
    for number in [1, 2] {
        bed.store.set_block_extras(number, &extras).await.unwrap();
    }
    assert_eq!(bed.store.block_extras(1).await.unwrap(), Some(extras.clone()));
    assert!(bed.store.head_block().await.unwrap().unwrap().complete);
    assert_eq!(bed.store.prune_witnesses(1).await.unwrap(), 1);
    assert_eq!(bed.store.prune_witnesses(1).await.unwrap(), 0);
    // The withdrawals are still needed for claims.
    let pruned = BlockExtras { witness: Vec::new(), ..extras.clone() };
    assert_eq!(bed.store.block_extras(1).await.unwrap(), Some(pruned));
    assert_eq!(bed.store.block_extras(2).await.unwrap(), Some(extras));
}

/// A batch's withdrawals come in the order of the chain; a block whose extras were never kept adds none.
#[tokio::test]
async fn withdrawals_of_a_range() {
    let bed = Bed::new().await;
    let mut parent = B256::ZERO;
    let one = |id| L2Withdrawal { id, to: Address::repeat_byte(3), amount: U256::from(12 + id) };
    for number in 1..=4 {
        let sealed = block(number, parent, 0);
        parent = sealed.block_hash;
        bed.store.insert_block(&sealed).await.unwrap();
        if number != 3 {
            let extras = BlockExtras {
                withdrawals: vec![one(2 * number), one(2 * number + 1)],
                witness: vec![7; 100],
            };
            bed.store.set_block_extras(number, &extras).await.unwrap();
        }
    }
    let ids = async |first, last| {
        let all = bed.store.withdrawals(first, last).await.unwrap();
        assert!(all.iter().all(|w| *w == one(w.id)));
        all.iter().map(|w| w.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(1, 4).await, [2, 3, 4, 5, 8, 9]);
    assert_eq!(ids(2, 2).await, [4, 5]);
    assert_eq!(ids(3, 3).await, [0u64; 0]);
    assert_eq!(ids(5, 9).await, [0u64; 0]);
}

/// Only a head that is in no batch can be taken away.
#[tokio::test]
async fn only_an_unbatched_head_can_be_removed() {
    let bed = Bed::new().await;
    let b1 = block(1, B256::ZERO, 0);
    let b2 = block(2, b1.block_hash, 0);
    bed.store.insert_block(&b1).await.unwrap();
    bed.store.insert_block(&b2).await.unwrap();
    assert!(!bed.store.remove_head_block(b1.block_hash).await.unwrap(), "not the head");
    assert!(bed.store.remove_head_block(b2.block_hash).await.unwrap());
    bed.store.insert_batch(&batch(None, 1)).await.unwrap();
    assert!(!bed.store.remove_head_block(b1.block_hash).await.unwrap(), "in batch 1");
    assert_eq!(bed.store.head_block().await.unwrap().unwrap().hash, b1.block_hash);
}

// -------------------------------------------------------------------------------------------------------- batches

/// SEQ-INV-4: what was sealed is read back byte for byte, also after a new start, and is not replaced.
#[tokio::test]
async fn a_sealed_batch_does_not_change() {
    let mut bed = Bed::new().await;
    let one = batch(None, 3);
    let two = batch(Some(&one), 2);
    bed.store.insert_batch(&one).await.unwrap();
    bed.store.insert_batch(&two).await.unwrap();
    bed.store.insert_batch(&two).await.unwrap();
    bed.reopen().await;
    assert_eq!(bed.store.batch(1).await.unwrap(), Some(one.clone()));
    assert_eq!(bed.store.batch(2).await.unwrap(), Some(two.clone()));
    assert_eq!(bed.store.last_batch().await.unwrap(), Some(two.clone()));

    let mut other = two.clone();
    other.header.sealed_at += 1;
    let mut old = one.clone();
    old.header.sealed_at += 1;
    for (batch, n) in [(&other, 2), (&old, 1), (&one, 1)] {
        let refused = bed.store.insert_batch(batch).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Conflict { what: "batch", number } if number == n),
            "batch {n}: {refused}"
        );
    }
    let three = batch(Some(&two), 1);
    let mut gap = three.clone();
    gap.header.number += 1;
    let mut hole = three.clone();
    hole.first_block += 1;
    let mut stranger = three.clone();
    stranger.header.parent_hash = word(5);
    for batch in [gap, hole, stranger] {
        let refused = bed.store.insert_batch(&batch).await.unwrap_err();
        assert!(matches!(refused, StoreError::Gap { what: "batch", expected_after: 2, .. }), "{refused}");
    }
    assert_eq!(bed.store.last_batch().await.unwrap(), Some(two.clone()));
    for (block, number) in [(1, 1), (3, 1), (4, 2), (5, 2)] {
        assert_eq!(
            bed.store.batch_of_block(block).await.unwrap().unwrap().header.number,
            number,
            "block {block}"
        );
    }
    assert_eq!(bed.store.batch_of_block(6).await.unwrap(), None);
}

#[tokio::test]
async fn statuses_move_forward_and_back_only_by_uncommit() {
    let bed = Bed::new().await;
    let mut last: Option<BatchRecord> = None;
    for _ in 0..4 {
        let next = batch(last.as_ref(), 1);
        bed.store.insert_batch(&next).await.unwrap();
        last = Some(next);
    }
    let store = &bed.store;
    for number in 1..=3 {
        assert!(store.mark_committed(number, Some(word(number))).await.unwrap());
        assert!(!store.mark_committed(number, None).await.unwrap(), "only once");
    }
    assert!(store.mark_verified(1, Some(word(50))).await.unwrap());
    assert!(!store.mark_verified(1, None).await.unwrap());
    assert!(!store.mark_committed(1, None).await.unwrap(), "never backwards");
    assert!(!store.mark_committed(9, None).await.unwrap(), "no such batch");

    let one = store.batch(1).await.unwrap().unwrap();
    assert_eq!(
        (one.status, one.commit_tx, one.verify_tx),
        (BatchStatus::Verified, Some(word(1)), Some(word(50)))
    );
    assert_eq!(store.batches_at(BatchStatus::Sealed).await.unwrap(), [4]);
    assert_eq!(store.batches_at(BatchStatus::Committed).await.unwrap(), [2, 3]);
    assert_eq!(store.first_batch_at(BatchStatus::Committed).await.unwrap().unwrap().header.number, 2);
    let highest =
        |status| async move { store.last_batch_at_least(status).await.unwrap().unwrap().header.number };
    assert_eq!(highest(BatchStatus::Verified).await, 1);
    assert_eq!(highest(BatchStatus::Committed).await, 3);
    assert_eq!(highest(BatchStatus::Sealed).await, 4);

    assert_eq!(store.uncommit_above(0).await.unwrap(), 2, "the verified batch stays");
    let two = store.batch(2).await.unwrap().unwrap();
    assert_eq!((two.status, two.commit_tx), (BatchStatus::Sealed, None));
    assert_eq!(highest(BatchStatus::Committed).await, 1);
    assert_eq!(store.batches_at(BatchStatus::Sealed).await.unwrap(), [2, 3, 4]);
    assert!(BatchStatus::Sealed < BatchStatus::Committed && BatchStatus::Committed < BatchStatus::Verified);
}

// ----------------------------------------------------------------------------------------------- proofs and leases

/// SEQ-INV-6: a stored proof survives a new start, is kept once, and ends its lease.
#[tokio::test]
async fn proofs_are_kept_once_and_end_the_lease() {
    let mut bed = Bed::new().await;
    bed.store.insert_batch(&batch(None, 1)).await.unwrap();
    let lease = bed.store.insert_lease(1, ProverType::Exec, "a", 100).await.unwrap();
    let other_kind = bed.store.insert_lease(1, ProverType::Sp1, "b", 100).await.unwrap();
    assert!(bed.store.insert_proof(&proof(1, ProverType::Exec), "a").await.unwrap());
    assert!(!bed.store.insert_proof(&proof(1, ProverType::Exec), "c").await.unwrap(), "the first one stays");
    assert!(bed.store.insert_proof(&proof(1, ProverType::Risc0), "d").await.unwrap());
    bed.reopen().await;
    let stored = bed.store.proofs_of(1).await.unwrap();
    let wanted = [(ProverType::Exec, "a"), (ProverType::Risc0, "d")];
    assert_eq!(
        stored,
        wanted.map(|(kind, prover)| StoredProof { proof: proof(1, kind), prover: prover.to_owned() })
    );
    let leases: Vec<LeaseId> = bed.store.leases().await.unwrap().iter().map(|l| l.id).collect();
    assert_eq!(leases, [other_kind]);
    assert!(!bed.store.extend_lease(lease, 200).await.unwrap());
    assert!(bed.store.remove_proof(1, ProverType::Exec).await.unwrap());
    assert!(!bed.store.remove_proof(1, ProverType::Exec).await.unwrap());
    assert_eq!(bed.store.proofs_of(1).await.unwrap().len(), 1);
}

/// SEQ-INV-6: proofs of ranges are kept beside those of their batches, once each, and end their own lease.
#[tokio::test]
async fn proofs_of_ranges_are_kept_once_and_end_the_lease() {
    let mut bed = Bed::new().await;
    let single = bed.store.insert_lease(3, ProverType::Exec, "a", 100).await.unwrap();
    let range = bed.store.insert_range_lease(1, 3, ProverType::Exec, "a", 100).await.unwrap();
    let longer = bed.store.insert_range_lease(1, 4, ProverType::Exec, "b", 100).await.unwrap();
    let again = bed.store.insert_range_lease(1, 4, ProverType::Exec, "c", 100).await.unwrap();
    assert!(single < range && range < longer && longer < again);
    assert!(bed.store.insert_range_proof(1, &proof(3, ProverType::Exec), "a").await.unwrap());
    assert!(!bed.store.insert_range_proof(1, &proof(3, ProverType::Exec), "b").await.unwrap());
    assert!(bed.store.insert_range_proof(1, &proof(4, ProverType::Sp1), "b").await.unwrap());
    bed.reopen().await;
    let there: Vec<(u64, u64)> =
        bed.store.leases().await.unwrap().iter().map(|l| (l.first_batch, l.batch_number)).collect();
    assert_eq!(there, [(3, 3), (1, 4)], "a proof ends the lease of its own range only");
    let stored =
        |number, kind, prover: &str| StoredProof { proof: proof(number, kind), prover: prover.to_owned() };
    let wanted = [stored(4, ProverType::Sp1, "b"), stored(3, ProverType::Exec, "a")];
    assert_eq!(bed.store.range_proofs_from(1).await.unwrap(), wanted);
    assert!(bed.store.range_proofs_from(2).await.unwrap().is_empty());
    assert!(bed.store.proofs_of(3).await.unwrap().is_empty());
    assert!(!bed.store.remove_range_proof(1, 4, ProverType::Exec).await.unwrap());
    assert!(bed.store.remove_range_proof(1, 4, ProverType::Sp1).await.unwrap());
    assert_eq!(bed.store.range_proofs_from(1).await.unwrap(), wanted[1..]);
}

/// Which verification a batch has had: the confirmed one whose range it is in.
#[tokio::test]
async fn verifications_are_found_by_batch() {
    let bed = Bed::new().await;
    let verify = |first, last| TxIntent {
        kind: IntentKind::VerifyBatches { first, last },
        ..intent(&format!("verify-{last}"), SenderRole::Prover)
    };
    for (first, last) in [(1, 1), (2, 5), (6, 6)] {
        bed.store.put_intent(&verify(first, last)).await.unwrap();
    }
    let of = async |number| {
        let found = bed.store.confirmed_verifications(number).await.unwrap();
        found.into_iter().map(|r| r.intent.id.0).collect::<Vec<_>>()
    };
    assert!(of(3).await.is_empty(), "none is confirmed");
    for last in [1, 5] {
        bed.store.confirm_intent(&verify(0, last).id, word(last)).await.unwrap();
    }
    assert_eq!(of(1).await, ["verify-1"]);
    for number in 2..=5 {
        assert_eq!(of(number).await, ["verify-5"]);
    }
    assert!(of(6).await.is_empty() && of(0).await.is_empty());
    bed.store.fail_intent(&verify(2, 5).id, "dropped").await.unwrap();
    assert!(of(4).await.is_empty());
    // Asked for again, for another range.
    bed.store.put_intent(&verify(4, 5)).await.unwrap();
    bed.store.confirm_intent(&verify(4, 5).id, word(5)).await.unwrap();
    assert_eq!(of(4).await, ["verify-5"]);
    assert!(of(3).await.is_empty());
}

/// Lease numbers are never used twice, so a late heartbeat cannot prolong somebody else's lease.
#[tokio::test]
async fn lease_numbers_are_never_used_twice() {
    let mut bed = Bed::new().await;
    let first = bed.store.insert_lease(1, ProverType::Exec, "a", 100).await.unwrap();
    let second = bed.store.insert_lease(1, ProverType::Exec, "b", 200).await.unwrap();
    assert!(second > first);
    let wanted = LeaseRecord {
        id: second,
        first_batch: 1,
        batch_number: 1,
        prover_type: ProverType::Exec,
        prover: "b".to_owned(),
        expires_at: 200,
    };
    assert_eq!(bed.store.leases().await.unwrap(), [wanted]);
    assert!(!bed.store.extend_lease(first, 900).await.unwrap(), "it was given to somebody else");
    assert!(bed.store.extend_lease(second, 300).await.unwrap());
    assert!(bed.store.remove_lease(second).await.unwrap());
    assert!(!bed.store.remove_lease(second).await.unwrap());
    bed.reopen().await;
    let third = bed.store.insert_lease(2, ProverType::Exec, "a", 100).await.unwrap();
    assert!(third > second, "{third:?} after {second:?}");
}

fn setback(batch_number: u64, failures: u32, retry_at: u64) -> Setback {
    Setback {
        batch_number,
        prover_type: ProverType::Exec,
        failures,
        retry_at,
        prover: "a".to_owned(),
        reason: "out of memory".to_owned(),
    }
}

/// A failure is told once and ends its lease, the batch rests, over a new start too; the proof ends that.
#[tokio::test]
async fn a_setback_is_kept_until_the_proof_is_there() {
    let mut bed = Bed::new().await;
    bed.store.insert_batch(&batch(None, 1)).await.unwrap();
    let lease = bed.store.insert_lease(1, ProverType::Exec, "a", 100).await.unwrap();
    let other = bed.store.insert_lease(1, ProverType::Sp1, "b", 100).await.unwrap();
    assert!(
        !bed.store.set_back(Some(other), &setback(1, 1, 50)).await.unwrap(),
        "the lease is of another kind"
    );
    assert!(bed.store.set_back(Some(lease), &setback(1, 1, 50)).await.unwrap());
    assert!(!bed.store.set_back(Some(lease), &setback(1, 2, 90)).await.unwrap(), "told again");
    assert_eq!(bed.store.leases().await.unwrap().iter().map(|l| l.id).collect::<Vec<_>>(), [other]);
    bed.reopen().await;
    assert_eq!(bed.store.setbacks(10).await.unwrap(), [setback(1, 1, 50)]);
    assert_eq!(bed.store.setback(1, ProverType::Exec).await.unwrap(), Some(setback(1, 1, 50)));
    assert_eq!(bed.store.setback(1, ProverType::Sp1).await.unwrap(), None);
    let open = async |kind, now| bed.store.batches_without_proof(kind, now, 9).await.unwrap();
    assert_eq!(open(ProverType::Exec, 49).await, [] as [u64; 0]);
    assert_eq!(open(ProverType::Exec, 50).await, [1]);
    assert_eq!(open(ProverType::Sp1, 49).await, [1], "kinds do not wait for each other");
    assert!(bed.store.set_back(None, &setback(1, 2, 90)).await.unwrap());
    assert_eq!(bed.store.setbacks(10).await.unwrap(), [setback(1, 2, 90)]);
    bed.store.cap_setbacks(60).await.unwrap();
    assert_eq!(bed.store.setbacks(10).await.unwrap(), [setback(1, 2, 60)]);
    bed.store.insert_proof(&proof(1, ProverType::Exec), "a").await.unwrap();
    assert_eq!(bed.store.setbacks(10).await.unwrap(), []);

    // One that is verified without this proof is forgotten.
    bed.store.remove_proof(1, ProverType::Exec).await.unwrap();
    bed.store.set_back(None, &setback(1, 3, 99)).await.unwrap();
    bed.store.mark_verified(1, None).await.unwrap();
    assert_eq!(bed.store.setbacks(10).await.unwrap(), []);
    bed.store.cap_setbacks(99).await.unwrap();
    let left: (i64,) =
        sqlx::query_as("SELECT count(*) FROM setbacks").fetch_one(&bed.store.pool).await.unwrap();
    assert_eq!(left, (0,));
}

/// Where the payload goes is in what is stored, also by earlier versions: in blobs, in call data, or nowhere.
#[tokio::test]
async fn the_place_of_a_payload_is_kept() {
    let mut bed = Bed::new().await;
    let in_blobs = batch(None, 1);
    let mut in_call_data = batch(Some(&in_blobs), 1);
    in_call_data.blob_proofs.clear();
    in_call_data.header.blobs_hash = B256::from(keccak256(&in_call_data.payload).0.map(|byte| !byte));
    let mut nowhere = batch(Some(&in_call_data), 1);
    nowhere.blob_proofs.clear();
    nowhere.header.blobs_hash = B256::ZERO;
    for record in [&in_blobs, &in_call_data, &nowhere] {
        bed.store.insert_batch(record).await.unwrap();
    }
    bed.reopen().await;
    for (record, expected) in [(in_blobs, false), (in_call_data, true), (nowhere, false)] {
        let stored = bed.store.batch(record.header.number).await.unwrap().unwrap();
        assert_eq!((&stored, stored.in_call_data()), (&record, expected));
    }
}

#[tokio::test]
async fn batches_that_lack_a_proof() {
    let bed = Bed::new().await;
    let mut last: Option<BatchRecord> = None;
    for _ in 0..5 {
        let next = batch(last.as_ref(), 1);
        bed.store.insert_batch(&next).await.unwrap();
        last = Some(next);
    }
    bed.store.mark_verified(1, None).await.unwrap();
    bed.store.insert_proof(&proof(3, ProverType::Exec), "a").await.unwrap();
    assert_eq!(bed.store.batches_without_proof(ProverType::Exec, 0, 10).await.unwrap(), [2, 4, 5]);
    assert_eq!(bed.store.batches_without_proof(ProverType::Exec, 0, 2).await.unwrap(), [2, 4]);
    assert_eq!(bed.store.batches_without_proof(ProverType::Sp1, 0, 10).await.unwrap(), [2, 3, 4, 5]);
}

// -------------------------------------------------------------------------------------------------------- intents

/// SEQ-INV-5: one intent per id, whatever happens in between; each key's intents in the order they came.
#[tokio::test]
async fn an_intent_is_one_effect() {
    let mut bed = Bed::new().await;
    let (b, a) = (intent("b", SenderRole::Committer), intent("a", SenderRole::Committer));
    let other_key = intent("c", SenderRole::Prover);
    for i in [&b, &a, &other_key, &b] {
        assert_eq!(bed.store.put_intent(i).await.unwrap(), IntentState::Pending);
    }
    bed.reopen().await;
    assert_eq!(bed.store.pending_intents(SenderRole::Committer).await.unwrap(), [b.clone(), a.clone()]);
    assert_eq!(bed.store.pending_intents(SenderRole::Prover).await.unwrap(), [other_key]);

    bed.store.confirm_intent(&b.id, word(1)).await.unwrap();
    let confirmed = IntentState::Confirmed { transaction: word(1) };
    assert_eq!(bed.store.put_intent(&b).await.unwrap(), confirmed);
    let record = bed.store.intent(&b.id).await.unwrap().unwrap();
    assert_eq!((record.intent, record.state), (b, confirmed));
    assert_eq!(bed.store.pending_intents(SenderRole::Committer).await.unwrap(), [a]);
}

/// SEQ-INV-5: what was signed is there after a new start, oldest first, and is kept once.
#[tokio::test]
async fn signed_transactions_survive_a_new_start() {
    let mut bed = Bed::new().await;
    let i = intent("i", SenderRole::Committer);
    let orphan = bed.store.insert_signed(&signed(&i, 1, 5)).await.unwrap_err();
    assert!(matches!(orphan, StoreError::Database(_)), "a transaction without an intent: {orphan}");
    bed.store.put_intent(&i).await.unwrap();
    let (late, early) = (signed(&i, 1, 9), signed(&i, 2, 5));
    for tx in [&late, &early, &late] {
        bed.store.insert_signed(tx).await.unwrap();
    }
    bed.reopen().await;
    assert_eq!(bed.store.signed_of(&i.id).await.unwrap(), [early, late]);
    assert!(bed.store.signed_of(&IntentId("other".into())).await.unwrap().is_empty());
}

/// SEQ-INV-5: an instance that was taken for dead and wakes up cannot have a second transaction signed for a nonce.
#[tokio::test]
async fn one_nonce_is_signed_for_one_intent_only() {
    let bed = Bed::new().await;
    let (first, second) = (intent("first", SenderRole::Committer), intent("second", SenderRole::Committer));
    let other_key = intent("third", SenderRole::Prover);
    for i in [&first, &second, &other_key] {
        bed.store.put_intent(i).await.unwrap();
    }
    bed.store.insert_signed(&signed(&first, 1, 7)).await.unwrap();
    let error = bed.store.insert_signed(&signed(&second, 2, 7)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { number: 17, .. }), "{error}");
    assert!(bed.store.signed_of(&second.id).await.unwrap().is_empty());
    // A replacement, another key, and a nonce whose intent has its outcome are something else.
    bed.store.insert_signed(&signed(&first, 3, 7)).await.unwrap();
    bed.store.insert_signed(&signed(&other_key, 4, 7)).await.unwrap();
    bed.store.confirm_intent(&first.id, B256::ZERO).await.unwrap();
    bed.store.insert_signed(&signed(&second, 2, 7)).await.unwrap();
}

/// SEQ-INV-5: a failed intent that is asked for again starts anew. What was signed for the failed try is not mistaken for
/// the new one, and is not forgotten: a reorg may bring it back.
#[tokio::test]
async fn a_failed_intent_starts_anew() {
    let mut bed = Bed::new().await;
    let i = intent("i", SenderRole::Committer);
    bed.store.put_intent(&i).await.unwrap();
    bed.store.insert_signed(&signed(&i, 1, 5)).await.unwrap();
    assert!(bed.store.past_signed(SenderRole::Committer).await.unwrap().is_empty(), "it is pending");
    bed.store.fail_intent(&i.id, "reverted: Paused()").await.unwrap();
    let failed = IntentState::Failed { reason: "reverted: Paused()".to_owned() };
    assert_eq!(bed.store.intent(&i.id).await.unwrap().unwrap().state, failed);
    assert!(bed.store.pending_intents(SenderRole::Committer).await.unwrap().is_empty());
    assert_eq!(bed.store.signed_of(&i.id).await.unwrap().len(), 1, "kept while nobody asks again");

    let changed = TxIntent { data: Bytes::from_static(b"other"), ..i.clone() };
    assert_eq!(bed.store.put_intent(&changed).await.unwrap(), IntentState::Pending);
    bed.reopen().await;
    assert!(bed.store.signed_of(&i.id).await.unwrap().is_empty());
    assert_eq!(bed.store.open_transactions(SenderRole::Committer).await.unwrap().count, 0);
    assert_eq!(
        bed.store.pending_intents(SenderRole::Committer).await.unwrap(),
        std::slice::from_ref(&changed)
    );
    let past = PastTransaction { intent: changed.clone(), hash: word(1), nonce: 17, kind: 2 };
    assert_eq!(bed.store.past_signed(SenderRole::Committer).await.unwrap(), [past]);
    assert!(bed.store.past_signed(SenderRole::Prover).await.unwrap().is_empty(), "another key");

    // The nonce of a try that is over is nobody's.
    let other = intent("other", SenderRole::Committer);
    bed.store.put_intent(&other).await.unwrap();
    bed.store.insert_signed(&signed(&other, 2, 6)).await.unwrap();
    let error = bed.store.adopt_signed(&i.id, 17).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { number: 17, .. }), "{error}");
    // The nonce of a pending intent was used by another one: its next try begins without it.
    bed.store.retry_intent(&other.id).await.unwrap();
    assert!(bed.store.signed_of(&other.id).await.unwrap().is_empty());
    assert_eq!(bed.store.adopt_signed(&i.id, 17).await.unwrap(), [signed(&i, 1, 5)]);
    bed.reopen().await;
    assert_eq!(bed.store.signed_of(&i.id).await.unwrap(), [signed(&i, 1, 5)]);
    let past = PastTransaction { intent: other, hash: word(2), nonce: 17, kind: 2 };
    assert_eq!(bed.store.past_signed(SenderRole::Committer).await.unwrap(), [past]);
    assert!(bed.store.adopt_signed(&i.id, 18).await.unwrap().iter().all(|tx| tx.nonce == 17));
}

/// SEQ-INV-5: signing the same bytes in another try makes them a transaction of that one.
#[tokio::test]
async fn the_same_bytes_belong_to_the_last_try() {
    let bed = Bed::new().await;
    let i = intent("i", SenderRole::Committer);
    bed.store.put_intent(&i).await.unwrap();
    bed.store.insert_signed(&signed(&i, 1, 5)).await.unwrap();
    bed.store.fail_intent(&i.id, "rejected").await.unwrap();
    bed.store.put_intent(&i).await.unwrap();
    bed.store.insert_signed(&signed(&i, 1, 9)).await.unwrap();
    assert_eq!(bed.store.signed_of(&i.id).await.unwrap().len(), 1);
    assert!(bed.store.past_signed(SenderRole::Committer).await.unwrap().is_empty());
}

/// What is kept of the past is bounded by nonces; what is pending is kept however old it is.
#[tokio::test]
async fn the_past_is_bounded() {
    let bed = Bed::new().await;
    let old = intent("old", SenderRole::Committer);
    let other_key = intent("other key", SenderRole::Prover);
    for (n, i) in [(900, &old), (901, &other_key)] {
        bed.store.put_intent(i).await.unwrap();
        bed.store.insert_signed(&SignedTransaction { nonce: 0, ..signed(i, n, 1) }).await.unwrap();
    }
    bed.store.confirm_intent(&other_key.id, word(901)).await.unwrap();
    let last = SIGNED_NONCES_KEPT + 3;
    for nonce in 1..=last {
        let i = intent(&format!("{nonce}"), SenderRole::Committer);
        bed.store.put_intent(&i).await.unwrap();
        bed.store.insert_signed(&SignedTransaction { nonce, ..signed(&i, nonce, nonce) }).await.unwrap();
        bed.store.confirm_intent(&i.id, word(nonce)).await.unwrap();
    }
    let past = bed.store.past_signed(SenderRole::Committer).await.unwrap();
    let nonces: Vec<_> = past.iter().map(|tx| tx.nonce).collect();
    assert_eq!(nonces, (4..=last).collect::<Vec<_>>());
    let count = |id: String| async { bed.store.signed_of(&IntentId(id)).await.unwrap().len() };
    assert_eq!((count("3".to_owned()).await, count("4".to_owned()).await), (0, 1));
    assert_eq!(count("old".to_owned()).await, 1, "pending");
    assert_eq!(bed.store.past_signed(SenderRole::Prover).await.unwrap().len(), 1);
}

/// SEQ-INV-5: a file of the first version is brought up to date with what was signed: pending stays pending, and what is
/// done is known as the past.
#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ensemble.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    sqlx::migrate!("./migrations").run_to(1, &pool).await.unwrap();
    let (open, done) = (intent("open", SenderRole::Committer), intent("done", SenderRole::Committer));
    for (seq, (i, state)) in [(&open, "pending"), (&done, "confirmed")].into_iter().enumerate() {
        let nonce = i64::try_from(seq).unwrap();
        sqlx::query(
            "INSERT INTO intents (id, role, intent, state, transaction_hash, seq) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(&i.id.0)
        .bind(i.role.as_str())
        .bind(serde_json::to_string(i).unwrap())
        .bind(state)
        .bind(format!("{:#x}", word(7)))
        .bind(nonce)
        .execute(&pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO signed_transactions (hash, intent, nonce, fees, raw, signed_at) VALUES (?, ?, ?, '{}', X'03', 5)",
        )
        .bind(format!("{:#x}", word(nonce.unsigned_abs())))
        .bind(&i.id.0)
        .bind(nonce)
        .execute(&pool)
        .await
        .unwrap();
    }
    let verify = r#"{"id":"verify-4","role":"prover","kind":{"verify_batches":{"last":4}},"to":"0x0000000000000000000000000000000000000000","data":"0x","blobs":0}"#;
    sqlx::query("INSERT INTO intents (id, role, intent, state, transaction_hash, seq) VALUES ('verify-4', 'prover', ?, 'confirmed', ?, 9)")
        .bind(verify)
        .bind(format!("{:#x}", word(7)))
        .execute(&pool)
        .await
        .unwrap();
    for id in [5, 6] {
        sqlx::query("INSERT INTO leases (id, batch_number, prover_type, prover, expires_at) VALUES (?, ?, 'exec', 'a', 7)")
            .bind(id)
            .bind(id)
            .execute(&pool)
            .await
            .unwrap();
    }
    sqlx::query("DELETE FROM leases WHERE id = 6").execute(&pool).await.unwrap();
    pool.close().await;

    let store = Store::open(&file).await.unwrap();
    assert_eq!(store.schema_version().await.unwrap(), 4);
    let kept = store.signed_of(&open.id).await.unwrap();
    assert_eq!(kept.iter().map(|tx| (tx.hash, tx.nonce)).collect::<Vec<_>>(), [(word(0), 0)]);
    assert_eq!(store.pending_intents(SenderRole::Committer).await.unwrap(), [open]);
    let past = PastTransaction { intent: done, hash: word(1), nonce: 1, kind: 3 };
    assert_eq!(store.past_signed(SenderRole::Committer).await.unwrap(), [past]);
    let found = store.confirmed_verifications(4).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].intent.kind, IntentKind::VerifyBatches { first: 4, last: 4 });
    let leases = store.leases().await.unwrap();
    assert_eq!(
        leases.iter().map(|l| (l.id, l.first_batch, l.batch_number)).collect::<Vec<_>>(),
        [(LeaseId(5), 5, 5)]
    );
    let next = store.insert_lease(9, ProverType::Exec, "a", 8).await.unwrap();
    assert_eq!(next, LeaseId(7), "numbers of leases go on behind the last one ever given");
}

// -------------------------------------------------------------------------------------------------- damaged files

/// SEQ-INV-11: a damaged value names its table, column and row, and is never taken for something else.
#[tokio::test]
async fn damaged_values_are_named() {
    let bed = Bed::new().await;
    let b1 = block(1, B256::ZERO, 0);
    bed.store.insert_block(&b1).await.unwrap();
    bed.store
        .set_block_extras(1, &BlockExtras { withdrawals: Vec::new(), witness: Vec::new() })
        .await
        .unwrap();
    bed.store.record_l1_range(cursor(4), &deposits(None, &[1])).await.unwrap();
    bed.store.insert_batch(&batch(None, 1)).await.unwrap();
    bed.store.insert_proof(&proof(1, ProverType::Exec), "a").await.unwrap();
    bed.store.insert_lease(7, ProverType::Exec, "a", 5).await.unwrap();
    bed.store.set_back(None, &setback(1, 1, 5)).await.unwrap();
    let i = intent("i", SenderRole::Committer);
    bed.store.put_intent(&i).await.unwrap();
    bed.store.insert_signed(&signed(&i, 1, 5)).await.unwrap();

    let mut seen = 0;
    let mut check = |what: &str, error: StoreError, place: (&str, &str, &str)| {
        let StoreError::Corrupt { table, column, row, .. } = &error else { panic!("{what}: {error}") };
        assert_eq!((*table, *column, row.as_str()), place, "{what}");
        assert_eq!(error.severity(), Severity::Fatal);
        seen += 1;
    };

    bed.sql("UPDATE l1_cursor SET hash = '0x12'").await;
    check("cursor", bed.store.cursor().await.unwrap_err(), ("l1_cursor", "hash", "4"));
    bed.sql("UPDATE l1_blocks SET hash = 'zz'").await;
    check("l1 block", bed.store.known_l1_blocks(1).await.unwrap_err(), ("l1_blocks", "hash", "4"));
    bed.sql("UPDATE deposits SET amount = '12x'").await;
    check("deposit", bed.store.deposit(1).await.unwrap_err(), ("deposits", "amount", "1"));
    check("last deposit", bed.store.last_deposit().await.unwrap_err(), ("deposits", "amount", "1"));
    check("deposits", bed.store.deposits_after(0, 1).await.unwrap_err(), ("deposits", "amount", "1"));
    bed.sql("UPDATE deposits SET amount = '12', l1_block = -4").await;
    check("negative", bed.store.deposit(1).await.unwrap_err(), ("deposits", "l1_block", "1"));

    bed.sql("UPDATE blocks SET payload = X'00'").await;
    check("payload", bed.store.block(1).await.unwrap_err(), ("blocks", "payload", "1"));
    bed.sql("UPDATE blocks SET withdrawals = X'ffffffffffffffff'").await;
    check("withdrawals", bed.store.block_extras(1).await.unwrap_err(), ("blocks", "withdrawals", "1"));
    bed.sql("UPDATE blocks SET hash = 'none'").await;
    check("block hash", bed.store.block_hash(1).await.unwrap_err(), ("blocks", "hash", "1"));
    check("head", bed.store.head_block().await.unwrap_err(), ("blocks", "hash", "1"));

    bed.sql("UPDATE batches SET header = '{\"number\": 1}'").await;
    check("header", bed.store.batch(1).await.unwrap_err(), ("batches", "header", "1"));
    check("last batch", bed.store.last_batch().await.unwrap_err(), ("batches", "header", "1"));
    check("insert", bed.store.insert_batch(&batch(None, 1)).await.unwrap_err(), ("batches", "header", "1"));
    bed.sql("UPDATE proofs SET proof = X'0102'").await;
    check("proof", bed.store.proofs_of(1).await.unwrap_err(), ("proofs", "proof", "1"));
    bed.sql("UPDATE setbacks SET failures = -1").await;
    check("setback", bed.store.setbacks(1).await.unwrap_err(), ("setbacks", "failures", "1"));
    bed.store.insert_range_proof(1, &proof(2, ProverType::Exec), "a").await.unwrap();
    bed.sql("UPDATE range_proofs SET proof = X'0102'").await;
    let place = ("range_proofs", "proof", "2");
    check("range proof", bed.store.range_proofs_from(1).await.unwrap_err(), place);
    bed.sql("UPDATE leases SET prover_type = 'steam'").await;
    check("lease", bed.store.leases().await.unwrap_err(), ("leases", "prover_type", "1"));

    bed.sql("UPDATE signed_transactions SET nonce = -1").await;
    let row = format!("{:#x}", word(1));
    check("signed", bed.store.signed_of(&i.id).await.unwrap_err(), ("signed_transactions", "nonce", &row));
    bed.sql("UPDATE intents SET intent = 'no json'").await;
    check("intent", bed.store.intent(&i.id).await.unwrap_err(), ("intents", "intent", "i"));
    check("put", bed.store.put_intent(&i).await.unwrap_err(), ("intents", "intent", "i"));
    check(
        "pending",
        bed.store.pending_intents(SenderRole::Committer).await.unwrap_err(),
        ("intents", "intent", "i"),
    );
    assert_eq!(seen, 21);
}

/// A store that is closed is whole without its `-wal`, also while somebody else has it open: what an operator copies after
/// a stop has everything.
#[tokio::test]
async fn a_closed_file_is_complete() {
    let bed = Bed::new().await;
    let other = Store::open(&path(&bed.folder)).await.unwrap();
    other.schema_version().await.unwrap();
    let block = block(1, B256::ZERO, 0);
    bed.store.insert_block(&block).await.unwrap();
    bed.store.close().await;
    bed.store.close().await;
    let copy = bed.folder.path().join("copy.db");
    std::fs::copy(path(&bed.folder), &copy).unwrap();
    let copied = Store::open(&copy).await.unwrap();
    assert_eq!(copied.block_hash(1).await.unwrap(), Some(block.block_hash));
    other.close().await;
    copied.close().await;
}

/// A confirmed intent must know its transaction: zero would be a transaction that does not exist.
#[tokio::test]
async fn a_confirmed_intent_without_its_transaction_is_damage() {
    let bed = Bed::new().await;
    let i = intent("i", SenderRole::Committer);
    bed.store.put_intent(&i).await.unwrap();
    bed.store.confirm_intent(&i.id, word(1)).await.unwrap();
    bed.sql("UPDATE intents SET transaction_hash = NULL").await;
    let error = bed.store.put_intent(&i).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Corrupt { table: "intents", column: "transaction_hash", .. }),
        "{error}"
    );
}

// ------------------------------------------------------------------------------------------------- random sequences

/// What the store should hold.
#[derive(Default)]
struct Model {
    cursor: Option<Cursor>,
    known: Vec<Cursor>,
    deposits: Vec<Deposit>,
    blocks: Vec<SealedBlock>,
    batches: Vec<BatchRecord>,
    intents: Vec<(TxIntent, IntentState, Vec<SignedTransaction>)>,
}

impl Model {
    async fn compare(&self, store: &Store, what: &str) {
        assert_eq!(store.cursor().await.unwrap(), self.cursor, "{what}");
        assert_eq!(store.deposits_after(0, 100_000).await.unwrap(), self.deposits, "{what}");
        let mut known = store.known_l1_blocks(100_000).await.unwrap();
        known.reverse();
        assert_eq!(known, self.known, "{what}");
        let head = store.head_block().await.unwrap().map(|row| (row.number, row.hash));
        assert_eq!(head, self.blocks.last().map(|b| (b.number, b.block_hash)), "{what}");
        for b in &self.blocks {
            assert_eq!(store.block(b.number).await.unwrap().as_ref(), Some(b), "{what}");
        }
        for b in &self.batches {
            assert_eq!(store.batch(b.header.number).await.unwrap().as_ref(), Some(b), "{what}");
        }
        assert_eq!(store.last_batch().await.unwrap().as_ref(), self.batches.last(), "{what}");
        let mut pending = Vec::new();
        for (i, state, txs) in &self.intents {
            assert_eq!(store.intent(&i.id).await.unwrap().unwrap().state, *state, "{what}");
            assert_eq!(store.signed_of(&i.id).await.unwrap(), *txs, "{what}");
            if *state == IntentState::Pending {
                pending.push(i.clone());
            }
        }
        assert_eq!(store.pending_intents(SenderRole::Committer).await.unwrap(), pending, "{what}");
    }
}

/// SEQ-INV-1, -3, -4, -5: any order of good and bad calls and new starts leaves what the model says.
#[tokio::test]
async fn random_sequences_agree_with_the_model() {
    let seed =
        std::env::var("ENSEMBLE_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("ENSEMBLE_TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bed = Bed::new().await;
    let mut model = Model::default();
    let mut variant = 0;
    for round in 0..250_u64 {
        let choice = rng.gen_range(0..14);
        let what = format!("seed {seed}, round {round}, operation {choice}");
        match choice {
            0 | 1 => range_read(&bed.store, &mut model, &mut rng, &what).await,
            2 => {
                let Some(to) = model.known.get(rng.gen_range(0..model.known.len().max(1))).copied() else {
                    continue;
                };
                // The blocks of these tests hold deposits up to twice their number.
                let included = model.blocks.last().map_or(0, |b| b.number * 2);
                let before = model.deposits.len();
                model.deposits.retain(|d| d.l1_block <= to.number || d.id <= included);
                let removed = u64::try_from(before - model.deposits.len()).unwrap();
                let mut dropped = 0;
                for d in model.deposits.iter_mut().filter(|d| d.l1_block > to.number) {
                    (d.l1_block, d.l1_block_hash) = (0, B256::ZERO);
                    dropped += 1;
                }
                let unwound = bed.store.unwind_l1(to, 0).await.unwrap();
                assert_eq!(unwound, Unwound { removed, dropped }, "{what}");
                model.known.retain(|c| c.number <= to.number);
                model.cursor = Some(to);
            }
            3..=5 => {
                variant += 1;
                let parent = model.blocks.last().map_or(B256::ZERO, |b| b.block_hash);
                let new = block(model.blocks.len() as u64 + 1, parent, variant);
                bed.store.insert_block(&new).await.unwrap();
                model.blocks.push(new);
            }
            6 => {
                let Some(head) = model.blocks.last() else { continue };
                let at = rng.gen_range(1..=head.number);
                let rival = block(at, head.parent_hash, u64::MAX);
                let error = bed.store.insert_block(&rival).await.unwrap_err();
                assert!(matches!(error, StoreError::Conflict { .. }), "{what}: {error}");
                let hole = block(head.number + 2, head.block_hash, 0);
                assert!(matches!(bed.store.insert_block(&hole).await, Err(StoreError::Gap { .. })), "{what}");
            }
            7 => {
                let Some(head) = model.blocks.last() else { continue };
                let free = model.batches.last().is_none_or(|b| b.last_block < head.number);
                assert_eq!(bed.store.remove_head_block(head.block_hash).await.unwrap(), free, "{what}");
                if free {
                    model.blocks.pop();
                }
            }
            8 => {
                let first = model.batches.last().map_or(1, |b| b.last_block + 1);
                let there = (model.blocks.len() as u64 + 1).saturating_sub(first);
                if there == 0 {
                    continue;
                }
                let new = batch(model.batches.last(), rng.gen_range(1..=there));
                bed.store.insert_batch(&new).await.unwrap();
                model.batches.push(new);
            }
            9 => {
                let number = rng.gen_range(0..=model.batches.len() as u64 + 1);
                let found = model.batches.iter_mut().find(|b| b.header.number == number);
                let change = found.as_ref().is_some_and(|b| b.status == BatchStatus::Sealed);
                assert_eq!(
                    bed.store.mark_committed(number, Some(word(round))).await.unwrap(),
                    change,
                    "{what}"
                );
                if let Some(b) = found.filter(|_| change) {
                    (b.status, b.commit_tx) = (BatchStatus::Committed, Some(word(round)));
                }
            }
            10 => {
                let keep = rng.gen_range(0..=model.batches.len() as u64);
                let mut gone = 0;
                for b in model.batches.iter_mut().filter(|b| b.header.number > keep) {
                    if b.status == BatchStatus::Committed {
                        (b.status, b.commit_tx) = (BatchStatus::Sealed, None);
                        gone += 1;
                    }
                }
                assert_eq!(bed.store.uncommit_above(keep).await.unwrap(), gone, "{what}");
            }
            11 | 12 => intents(&bed.store, &mut model, &mut rng, round, &what).await,
            _ => bed.reopen().await,
        }
        if round % 25 == 0 {
            model.compare(&bed.store, &what).await;
        }
    }
    bed.reopen().await;
    model.compare(&bed.store, &format!("seed {seed}, at the end")).await;
}

async fn range_read(store: &Store, model: &mut Model, rng: &mut StdRng, what: &str) {
    let from = model.cursor.map_or(0, |c| c.number) + 1;
    let to = cursor(from + rng.gen_range(0..4));
    let count = rng.gen_range(0..4);
    let mut places: Vec<u64> = (0..count).map(|_| rng.gen_range(from..=to.number)).collect();
    places.sort_unstable();
    let mut new = deposits(model.deposits.last(), &places);
    if new.len() > 1 && rng.gen_bool(0.2) {
        new.remove(0);
        assert!(matches!(store.record_l1_range(to, &new).await, Err(StoreError::Gap { .. })), "{what}");
        return;
    }
    if rng.gen_bool(0.2)
        && let Some(last) = model.deposits.last()
    {
        let mut wrong = last.clone();
        wrong.to = Address::ZERO;
        let refused = store.record_l1_range(to, &[wrong]).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{what}");
        return;
    }
    store.record_l1_range(to, &new).await.unwrap();
    model.deposits.extend(new);
    model.known.push(to);
    model.cursor = Some(to);
}

async fn intents(store: &Store, model: &mut Model, rng: &mut StdRng, round: u64, what: &str) {
    let at = rng.gen_range(0..=model.intents.len());
    if at == model.intents.len() {
        let new = intent(&format!("intent-{round}"), SenderRole::Committer);
        assert_eq!(store.put_intent(&new).await.unwrap(), IntentState::Pending, "{what}");
        model.intents.push((new, IntentState::Pending, Vec::new()));
        return;
    }
    let (i, state, txs) = &mut model.intents[at];
    match rng.gen_range(0..4) {
        0 => {
            if matches!(state, IntentState::Failed { .. }) {
                *state = IntentState::Pending;
                txs.clear();
            }
            assert_eq!(store.put_intent(i).await.unwrap(), *state, "{what}");
        }
        1 if *state == IntentState::Pending => {
            // Each intent has a nonce of its own.
            let tx = SignedTransaction { nonce: at as u64, ..signed(i, 1_000_000 + round, round) };
            store.insert_signed(&tx).await.unwrap();
            txs.push(tx);
        }
        2 if *state == IntentState::Pending => {
            *state = IntentState::Confirmed { transaction: word(round) };
            store.confirm_intent(&i.id, word(round)).await.unwrap();
        }
        3 if *state == IntentState::Pending => {
            *state = IntentState::Failed { reason: what.to_owned() };
            store.fail_intent(&i.id, what).await.unwrap();
        }
        _ => {}
    }
}

/// Several components write at once: nobody gets an error, nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_wait_for_each_other() {
    let bed = Bed::new().await;
    let (blocks, ranges, puts) = (bed.store.clone(), bed.store.clone(), bed.store.clone());
    let write_blocks = async move {
        let mut parent = B256::ZERO;
        for number in 1..=40 {
            let new = block(number, parent, 0);
            parent = new.block_hash;
            blocks.insert_block(&new).await.unwrap();
        }
    };
    let write_ranges = async move {
        let all = deposits(None, &(1..=40).collect::<Vec<_>>());
        for d in &all {
            ranges.record_l1_range(cursor(d.l1_block), std::slice::from_ref(d)).await.unwrap();
        }
    };
    let write_intents = async move {
        for n in 0..40 {
            puts.put_intent(&intent(&format!("{n}"), SenderRole::Prover)).await.unwrap();
        }
    };
    tokio::join!(write_blocks, write_ranges, write_intents);
    assert_eq!(bed.store.head_block().await.unwrap().unwrap().number, 40);
    assert_eq!(bed.store.last_deposit().await.unwrap().unwrap().id, 40);
    assert_eq!(bed.store.pending_intents(SenderRole::Prover).await.unwrap().len(), 40);
}

// ----------------------------------------------------------------------------------------------------- bad files

/// Blocks, batches, deposits, requests, and payloads that fill some pages.
async fn filled(store: &Store) {
    let ledger = deposits(None, &[1, 2, 3]);
    store.record_l1_range(cursor(3), &ledger).await.unwrap();
    let mut parent = B256::ZERO;
    for number in 1..=20 {
        let mut block = block(number, parent, 0);
        block.transactions.push(Bytes::from(vec![7; 3_000]));
        store.insert_block(&block).await.unwrap();
        let extras = BlockExtras { withdrawals: Vec::new(), witness: vec![9; 2_000] };
        store.set_block_extras(number, &extras).await.unwrap();
        parent = block.block_hash;
    }
    let first = batch(None, 10);
    store.insert_batch(&first).await.unwrap();
    store.insert_batch(&batch(Some(&first), 10)).await.unwrap();
}

/// Reads everything that a start and the components read.
async fn read_all(store: &Store) -> Result<(), StoreError> {
    store.check_file().await?;
    store.cursor().await?;
    store.known_l1_blocks(100).await?;
    store.deposits_after(0, 100).await?;
    for number in 1..=20 {
        store.block(number).await?;
        store.block_extras(number).await?;
    }
    store.head_block().await?;
    for number in 1..=2 {
        store.batch(number).await?;
        store.proofs_of(number).await?;
        store.range_proofs_from(number).await?;
        store.confirmed_verifications(number).await?;
    }
    for role in [SenderRole::Committer, SenderRole::Prover] {
        store.pending_intents(role).await?;
        store.open_transactions(role).await?;
        store.past_signed(role).await?;
    }
    store.leases().await?;
    store.setbacks(10).await?;
    Ok(())
}

/// SEQ-INV-11: a file with flipped bytes, a torn end, or noise in its middle gives a typed error that says what to do, or
/// reads as before; never a panic. Damage that SQLite can see is never taken for something that passes.
#[tokio::test]
async fn a_damaged_file_is_a_typed_error() {
    let bed = Bed::new().await;
    filled(&bed.store).await;
    bed.store.close().await;
    let whole = std::fs::read(path(&bed.folder)).unwrap();
    let seed = 0x0bad_f11e_u64;
    eprintln!("seed {seed:#x}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut refused = 0;
    for round in 0..60 {
        let mut bytes = whole.clone();
        match round % 4 {
            // A few flipped bytes.
            0 => {
                for _ in 0..rng.gen_range(1..20) {
                    let at = rng.gen_range(0..bytes.len());
                    bytes[at] ^= rng.gen_range(1..=255u8);
                }
            }
            // A page of noise.
            1 => {
                let page = rng.gen_range(0..bytes.len() / 4096);
                rng.fill(&mut bytes[page * 4096..(page + 1) * 4096]);
            }
            // A page of another place: the disk mixed up its sectors.
            2 => {
                let (from, to) = (rng.gen_range(0..bytes.len() / 4096), rng.gen_range(0..bytes.len() / 4096));
                bytes.copy_within(from * 4096..(from + 1) * 4096, to * 4096);
            }
            // A torn end.
            _ => bytes.truncate(rng.gen_range(1..bytes.len())),
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ensemble.db");
        std::fs::write(&file, &bytes).unwrap();
        let looked = async {
            let store = Store::open(&file).await?;
            let read = read_all(&store).await;
            store.close().await;
            read
        };
        if let Err(error) = looked.await {
            refused += 1;
            assert_eq!(error.severity(), Severity::Fatal, "seed {seed:#x} round {round}: {error:?}");
        }
    }
    assert!(refused >= 30, "{refused} of 60 files were refused");
}

/// A file without any bytes is an empty store: what L1 says of it is for the start to judge.
#[tokio::test]
async fn an_empty_file_is_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ensemble.db");
    std::fs::write(&file, []).unwrap();
    let store = Store::open(&file).await.unwrap();
    assert!(store.head_block().await.unwrap().is_none());
}

/// SEQ-INV-8: when there is no room the write fails as a whole, passes for nothing else, and works when there is room
/// again; what was acknowledged before is there.
#[tokio::test]
async fn no_room_loses_nothing() {
    let mut bed = Bed::new().await;
    bed.store.set_size_limit(Some(1)).await.unwrap();
    let mut parent = B256::ZERO;
    let mut kept = 0;
    let full = loop {
        let mut next = block(kept + 1, parent, 0);
        next.transactions.push(Bytes::from(vec![7; 10_000]));
        match bed.store.insert_block(&next).await {
            Ok(()) => (kept, parent) = (next.number, next.block_hash),
            Err(error) => break error,
        }
        assert!(kept < 100, "the limit holds");
    };
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    assert!(full.to_string().contains("no room"), "{full}");
    assert_eq!(full.severity(), Severity::Transient);
    assert_eq!(bed.store.head_block().await.unwrap().map_or(0, |b| b.number), kept);
    // Every connection runs out of room, in the middle of transactions of all sizes.
    for bytes in (0..60).map(|n| n * 3_331) {
        let mut next = block(kept + 1, parent, 0);
        next.transactions.push(Bytes::from(vec![7; 1 + bytes]));
        let ledger = deposits(None, &vec![1; 1 + bytes / 10_000]);
        let (block, range) =
            tokio::join!(bed.store.insert_block(&next), bed.store.record_l1_range(cursor(1), &ledger));
        for error in [block.err(), range.err()].into_iter().flatten() {
            let conflict = matches!(error, StoreError::Conflict { .. });
            assert!(conflict || matches!(error, StoreError::Full { .. }), "{error:?}");
        }
        (kept, parent) =
            bed.store.head_block().await.unwrap().map_or((0, B256::ZERO), |b| (b.number, b.hash));
    }

    bed.store.set_size_limit(None).await.unwrap();
    let next = block(kept + 1, parent, 0);
    bed.store.insert_block(&next).await.unwrap();
    bed.reopen().await;
    assert_eq!(bed.store.head_block().await.unwrap().unwrap().hash, next.block_hash);
    bed.store.check_file().await.unwrap();
}

/// A file that another program holds is waited for, then said so; it is not damaged by it.
#[tokio::test]
async fn a_file_held_by_another_program_is_busy() {
    let bed = Bed::new().await;
    let mut holder = bed.store.pool.acquire().await.unwrap();
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *holder).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut *holder).await.unwrap();
    let mut other = bed.store.pool.acquire().await.unwrap();
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *other).await.unwrap();
    let error: StoreError = sqlx::query("INSERT INTO meta (key, value) VALUES ('a', 'b')")
        .execute(&mut *other)
        .await
        .unwrap_err()
        .into();
    assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
    assert_eq!(error.severity(), Severity::Transient);
    assert!(error.to_string().contains("another program"), "{error}");
    sqlx::query("ROLLBACK").execute(&mut *holder).await.unwrap();
    sqlx::query("INSERT INTO meta (key, value) VALUES ('a', 'b')").execute(&mut *other).await.unwrap();
}

/// Two sequencers never have one store; the lock ends with its holder.
#[tokio::test]
async fn a_store_has_one_user() {
    let bed = Bed::new().await;
    let lock = crate::StoreLock::acquire(&path(&bed.folder)).unwrap();
    let error = crate::StoreLock::acquire(&path(&bed.folder)).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("in use by another ensemble process"), "{error}");
    drop(lock);
    crate::StoreLock::acquire(&path(&bed.folder)).unwrap();
}

/// A batch that is restored has the status and the transactions that L1 gave it, and still must follow the last one.
#[tokio::test]
async fn restored_batches_keep_their_status() {
    let bed = Bed::new().await;
    let mut first = batch(None, 3);
    (first.status, first.commit_tx, first.verify_tx) = (BatchStatus::Verified, Some(word(1)), Some(word(2)));
    bed.store.restore_batch(&first).await.unwrap();
    bed.store.restore_batch(&first).await.unwrap();
    let mut second = batch(Some(&first), 2);
    (second.status, second.commit_tx) = (BatchStatus::Committed, Some(word(3)));
    bed.store.restore_batch(&second).await.unwrap();
    assert_eq!(bed.store.batch(1).await.unwrap(), Some(first.clone()));
    assert_eq!(bed.store.batch(2).await.unwrap(), Some(second.clone()));
    let gap = batch(Some(&BatchRecord { last_block: 9, ..second }), 1);
    let error = bed.store.restore_batch(&gap).await.unwrap_err();
    assert!(matches!(error, StoreError::Gap { .. }), "{error:?}");
}
