//! The tx manager with real signatures against the in-memory L1, and the in-memory L1 itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use common::{KEY, Owner, Wanted};
use ensemble_l1::mock::{Method, MockEffects, MockL1};
use ensemble_l1::tx_manager::{FailReason, IntentState, Outcome, TxManagerConfig};
use ensemble_l1::{
    BlockTag, Eip1559Tx, L1Client, L1Error, LogFilter, Sidecar, SidecarVersion, TxReceipt, Wallet,
};

const CONTRACT: Address = Address::repeat_byte(0xcc);
const SECOND: Duration = Duration::from_secs(1);

fn funded() -> MockL1 {
    let l1 = MockL1::new(1337);
    let wallet = Wallet::from_hex(KEY.to_owned()).unwrap();
    l1.fund(wallet.address(), U256::from(10).pow(U256::from(20)));
    l1
}

fn owner(l1: &MockL1) -> Owner {
    let config = TxManagerConfig {
        max_in_flight: 4,
        resubmit_after: 48 * SECOND,
        receipt_poll: 6 * SECOND,
        confirmations: 2,
        max_replacements: 5,
    };
    Owner::new(Arc::new(l1.clone()), config)
}

fn call(data: &'static [u8]) -> Wanted {
    Wanted { to: CONTRACT, data: Bytes::from_static(data), sidecar: None }
}

fn confirmed(outcome: &Outcome) -> (&str, &TxReceipt) {
    match outcome {
        Outcome::Confirmed { intent, receipt } => (intent.0.as_str(), receipt),
        other => panic!("expected a confirmation, got {other:?}"),
    }
}

#[tokio::test]
async fn a_pipeline_of_intents_is_mined_in_order() {
    let l1 = funded();
    let mut owner = owner(&l1);
    for (id, data) in [("1", b"one"), ("2", b"two"), ("3", b"thr")] {
        owner.want(id, call(data));
    }
    owner.tick().await;
    assert_eq!(l1.pending().len(), 3);
    l1.mine();
    l1.mine_empty();
    owner.tick().await;
    let ids: Vec<&str> = owner.outcomes.iter().map(|o| confirmed(o).0).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    let data: Vec<Bytes> = l1.mined().into_iter().map(|t| t.data).collect();
    assert_eq!(data, [Bytes::from_static(b"one"), Bytes::from_static(b"two"), Bytes::from_static(b"thr")]);
    assert!(owner.store.is_empty());
}

/// SEQ-INV-5: priced out of the market, the replacement of a blob transaction gets in.
#[tokio::test]
async fn blob_transactions_are_replaced_when_fees_rise() {
    let l1 = funded();
    let mut owner = owner(&l1);
    let blobs = ensemble_batch::pack(&[1; 1000], 1).unwrap();
    let sidecar = Arc::new(Sidecar::build(&blobs, SidecarVersion::V1).unwrap());
    let hashes = sidecar.versioned_hashes();
    owner.want("batch", Wanted { sidecar: Some(sidecar), ..call(b"commit") });
    owner.tick().await;
    l1.set_fees(9_000_000_000, 1, Some(50));
    l1.mine();
    assert_eq!(l1.mined(), [], "too cheap now");
    owner.wait(48 * SECOND);
    owner.tick().await;
    l1.mine_many(2);
    owner.tick().await;
    let (_, receipt) = confirmed(&owner.outcomes[0]);
    assert_eq!(receipt.blob_gas_used, Some(131_072));
    assert_eq!(l1.mined()[0].blob_hashes, hashes);
    assert_eq!(l1.accepted().len(), 2, "one replacement");
}

/// SEQ-INV-4, SEQ-INV-5: the answer to the send is lost and the sender dies; after the restart the same bytes go
/// out and nothing else is signed.
#[tokio::test]
async fn a_restart_after_a_lost_answer_sends_the_same_bytes() {
    let l1 = funded();
    let mut owner = owner(&l1);
    owner.want("1", call(b"one"));
    let timeout =
        L1Error::Timeout { endpoint: "mock".into(), method: "eth_sendRawTransaction", after: SECOND };
    l1.lose_answers(Method::SendRawTransaction, timeout, 1);
    owner.tick().await;
    assert!(owner.manager.status()[0].blocked.is_some());
    assert_eq!(l1.pending().len(), 1);
    owner.restart();
    owner.tick().await;
    assert_eq!(l1.requests(Method::SendRawTransaction), 2);
    assert_eq!(l1.accepted().len(), 1, "the pool had it already");
    assert_eq!(owner.store.len(), 1);
    l1.mine_many(2);
    owner.tick().await;
    confirmed(&owner.outcomes[0]);
}

#[tokio::test]
async fn a_reorg_that_drops_the_transaction() {
    let l1 = funded();
    let mut owner = owner(&l1);
    owner.want("1", call(b"one"));
    owner.tick().await;
    let first = l1.mine();
    owner.tick().await;
    assert_eq!(owner.manager.status()[0].state, IntentState::Mined { block: 1 });
    l1.reorg(1);
    l1.drop_pending();
    let other = l1.mine();
    assert_ne!(first.hash, other.hash);
    owner.wait(6 * SECOND);
    owner.tick().await;
    assert_eq!(l1.accepted()[0], l1.accepted()[1], "the same bytes again");
    l1.mine_many(2);
    owner.tick().await;
    assert_eq!(confirmed(&owner.outcomes[0]).1.block_number, 2);
}

#[tokio::test]
async fn a_reverted_transaction_is_no_success() {
    let l1 = funded();
    l1.on_transaction(|_| MockEffects::reverted());
    let mut owner = owner(&l1);
    owner.want("1", call(b"one"));
    owner.tick().await;
    l1.mine_many(2);
    owner.tick().await;
    assert!(matches!(&owner.outcomes[..], [Outcome::Reverted { receipt, .. }] if !receipt.status));
}

#[tokio::test]
async fn a_call_that_would_revert_is_not_sent() {
    let l1 = funded();
    l1.on_estimate(|_| Err(L1Error::ExecutionReverted { message: "no".into(), data: Bytes::new() }));
    let mut owner = owner(&l1);
    owner.want("1", call(b"one"));
    owner.tick().await;
    let failed =
        matches!(&owner.outcomes[..], [Outcome::Failed { reason: FailReason::Unsendable { .. }, .. }]);
    assert!(failed, "{:?}", owner.outcomes);
    assert_eq!(l1.requests(Method::SendRawTransaction), 0);
}

/// Somebody else uses the key: the intent ends with its own reason, and can be sent anew.
#[tokio::test]
async fn a_foreign_transaction_takes_the_nonce() {
    let l1 = funded();
    let mut owner = owner(&l1);
    owner.want("1", call(b"one"));
    owner.tick().await;
    l1.drop_pending();
    let foreign = owner
        .wallet
        .sign_eip1559(&Eip1559Tx {
            chain_id: 1337,
            nonce: 0,
            gas_limit: 21_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1,
            to: Some(CONTRACT),
            value: U256::from(1),
            data: Bytes::new(),
        })
        .unwrap();
    l1.send_raw_transaction(&foreign.raw).await.unwrap();
    for _ in 0..4 {
        l1.mine();
        owner.tick().await;
    }
    let reason = FailReason::ForeignNonce { nonce: 0 };
    assert_eq!(owner.outcomes, [Outcome::Failed { intent: "1".into(), reason }]);
    owner.outcomes.clear();
    owner.want("1", call(b"one"));
    owner.tick().await;
    l1.mine_many(2);
    owner.tick().await;
    confirmed(&owner.outcomes[0]);
}

#[tokio::test]
async fn funds_that_come_late() {
    let l1 = MockL1::new(1);
    let mut owner = owner(&l1);
    owner.want("1", call(b"one"));
    owner.tick().await;
    assert!(owner.manager.status()[0].blocked.as_ref().unwrap().contains("insufficient funds"));
    l1.fund(owner.wallet.address(), U256::from(10).pow(U256::from(18)));
    owner.wait(SECOND);
    owner.tick().await;
    l1.mine_many(2);
    owner.tick().await;
    confirmed(&owner.outcomes[0]);
}

#[tokio::test]
async fn the_mock_keeps_the_rules_of_a_pool() {
    let l1 = funded();
    let wallet = Wallet::from_hex(KEY.to_owned()).unwrap();
    let tx = |nonce, max_fee: u128, data: &'static [u8]| {
        let tx = Eip1559Tx {
            chain_id: 1337,
            nonce,
            gas_limit: 30_000,
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: max_fee,
            to: Some(CONTRACT),
            value: U256::from(7),
            data: Bytes::from_static(data),
        };
        wallet.sign_eip1559(&tx).unwrap()
    };
    let gwei = 1_000_000_000u128;
    let first = tx(0, gwei, b"a");
    assert_eq!(l1.send_raw_transaction(&first.raw).await.unwrap(), first.hash);
    assert!(l1.transaction(first.hash).await.unwrap().is_some());
    let error = l1.send_raw_transaction(&first.raw).await.unwrap_err();
    assert!(matches!(error, L1Error::AlreadyKnown { .. }));
    let error = l1.send_raw_transaction(&tx(0, gwei + gwei / 20, b"b").raw).await.unwrap_err();
    assert!(matches!(error, L1Error::ReplacementUnderpriced { .. }));
    let gapped = tx(2, gwei, b"c");
    l1.send_raw_transaction(&gapped.raw).await.unwrap();
    assert_eq!(l1.transaction_count(wallet.address(), true).await.unwrap(), 1);
    let error = l1.send_raw_transaction(&Bytes::from_static(b"\x02junk")).await.unwrap_err();
    assert!(matches!(error, L1Error::TransactionRejected { .. }));

    l1.on_transaction(|tx| MockEffects {
        logs: vec![(CONTRACT, vec![B256::repeat_byte(1)], tx.data.clone())],
        ..MockEffects::default()
    });
    let mined = l1.mine();
    assert_eq!(l1.pending(), [gapped.hash]);
    let error = l1.send_raw_transaction(&tx(0, 5 * gwei, b"d").raw).await.unwrap_err();
    assert!(matches!(error, L1Error::NonceTooLow { .. }));
    assert_eq!(l1.transaction_count(wallet.address(), false).await.unwrap(), 1);
    let receipt = l1.receipt(first.hash).await.unwrap().unwrap();
    assert_eq!((receipt.block_number, receipt.block_hash, receipt.status), (1, mined.hash, true));
    assert_eq!(l1.balance(CONTRACT).await.unwrap(), U256::from(7));
    let before = U256::from(10).pow(U256::from(20));
    let paid = U256::from(receipt.fee_paid() + 7);
    assert_eq!(l1.balance(wallet.address()).await.unwrap(), before - paid);
    let filter = LogFilter { address: CONTRACT, topic0: B256::repeat_byte(1), from_block: 1, to_block: 1 };
    assert_eq!(l1.logs(&filter).await.unwrap(), receipt.logs);

    // The reorg takes everything back.
    l1.reorg(5);
    assert_eq!(l1.head().number, 0, "the genesis block stays");
    assert_eq!(l1.receipt(first.hash).await.unwrap(), None);
    assert_eq!(l1.logs(&filter).await.unwrap(), []);
    assert_eq!(l1.balance(CONTRACT).await.unwrap(), U256::ZERO);
    assert_eq!(l1.pending(), [first.hash, gapped.hash]);
    assert_ne!(l1.mine().hash, mined.hash);
}

#[tokio::test]
async fn the_mock_scripts_logs_tags_and_failures() {
    let l1 = MockL1::new(5);
    l1.set_lags(1, 3);
    assert_eq!(l1.block(BlockTag::Finalized).await.unwrap(), None);
    l1.push_log(CONTRACT, vec![B256::repeat_byte(1)], Bytes::from_static(b"x"));
    let first = l1.mine();
    l1.mine_many(3);
    assert_eq!(l1.block(BlockTag::Finalized).await.unwrap(), Some(first));
    assert_eq!(l1.block(BlockTag::Hash(first.hash)).await.unwrap(), Some(first));
    assert_eq!(l1.block(BlockTag::Safe).await.unwrap().unwrap().number, 3);
    assert_eq!(l1.block(BlockTag::Number(9)).await.unwrap(), None);
    let filter = LogFilter { address: CONTRACT, topic0: B256::repeat_byte(1), from_block: 0, to_block: 9 };
    assert_eq!(l1.logs(&filter).await.unwrap()[0].block_hash, first.hash);

    let down = L1Error::Transport { endpoint: "mock".into(), method: "eth_chainId", reason: "down".into() };
    l1.fail(Method::ChainId, down.clone(), 2);
    assert_eq!(l1.chain_id().await.unwrap_err(), down);
    assert_eq!(l1.ensure_chain(5).await.unwrap_err(), down);
    l1.ensure_chain(5).await.unwrap();
    assert_eq!(l1.ensure_chain(6).await.unwrap_err(), L1Error::WrongChain { expected: 6, actual: 5 });
    l1.fail_always(Method::Call, down.clone());
    for _ in 0..3 {
        assert_eq!(l1.call(CONTRACT, Bytes::new(), BlockTag::Latest).await.unwrap_err(), down);
    }
    l1.clear_failures();
    l1.on_call(|call| Ok(Bytes::from(call.block.to_be_bytes().to_vec())));
    let answer = l1.call(CONTRACT, Bytes::new(), BlockTag::Number(2)).await.unwrap();
    assert_eq!(answer, Bytes::from(2u64.to_be_bytes().to_vec()));
    assert_eq!(l1.requests(Method::Call), 4);
}
