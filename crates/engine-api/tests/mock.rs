//! The mock keeps the rules that tests of its users rely on.
#![cfg(feature = "mock")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloy_primitives::{Address, B256, Bytes};
use ensemble_batch::{SealedBlock, Withdrawal, prev_randao};
use ensemble_engine_api::{
    BlockId, EngineError, ExecutionClient, ForkchoiceState, MockEngine, MockMethod, PayloadAttributes,
    PayloadStatus,
};

fn attributes(parent: &SealedBlock, deposits_index: u64) -> PayloadAttributes {
    PayloadAttributes {
        timestamp: parent.timestamp + 1,
        prev_randao: prev_randao(&parent.block_hash, deposits_index),
        suggested_fee_recipient: Address::repeat_byte(1),
        withdrawals: vec![],
        parent_beacon_block_root: B256::ZERO,
    }
}

fn at(head: B256) -> ForkchoiceState {
    ForkchoiceState { head, safe: B256::ZERO, finalized: B256::ZERO }
}

/// One block on top of a block: forkchoice, payload, execution, forkchoice.
async fn produce(mock: &MockEngine, parent: &SealedBlock) -> SealedBlock {
    let attributes = attributes(parent, 0);
    let id = mock
        .forkchoice_updated(at(parent.block_hash), Some(&attributes))
        .await
        .unwrap()
        .payload_id
        .expect("a build");
    let block = mock.get_payload(&id, attributes.timestamp).await.unwrap().block;
    assert!(mock.new_payload(&block).await.unwrap().is_valid());
    assert!(mock.forkchoice_updated(at(block.block_hash), None).await.unwrap().status.is_valid());
    block
}

async fn grow(mock: &MockEngine, blocks: usize) -> Vec<SealedBlock> {
    let mut chain = vec![mock.head()];
    for _ in 0..blocks {
        chain.push(produce(mock, chain.last().unwrap()).await);
    }
    chain
}

#[tokio::test]
async fn the_same_steps_give_the_same_chain() {
    let (a, b, other) = (MockEngine::new(5, 100), MockEngine::new(5, 100), MockEngine::new(6, 100));
    assert_eq!(grow(&a, 5).await, grow(&b, 5).await);
    assert_eq!(a.chain(), b.chain());
    assert_ne!(a.genesis(), other.genesis());
    assert_eq!(a.chain_id().await, Ok(5));
    assert_eq!(a.calls(MockMethod::NewPayload), 5);
}

#[tokio::test]
async fn blocks_by_every_id() {
    let mock = MockEngine::new(1, 0);
    let chain = grow(&mock, 3).await;
    assert_eq!(mock.block(BlockId::Safe).await, Ok(None));
    let state = ForkchoiceState {
        head: chain[3].block_hash,
        safe: chain[2].block_hash,
        finalized: chain[1].block_hash,
    };
    mock.forkchoice_updated(state, None).await.unwrap();
    for (id, number) in [
        (BlockId::Latest, 3),
        (BlockId::Safe, 2),
        (BlockId::Finalized, 1),
        (BlockId::Number(2), 2),
        (BlockId::Hash(chain[1].block_hash), 1),
    ] {
        assert_eq!(mock.block(id).await.unwrap().unwrap(), (&chain[number]).into());
    }
    assert_eq!(mock.block(BlockId::Number(4)).await, Ok(None));
    assert_eq!(mock.full_block(2).await, Ok(Some(chain[2].clone())));
    assert_eq!(mock.full_block(4).await, Ok(None));
}

#[tokio::test]
async fn builds_take_pool_withdrawals_and_logs() {
    let mock = MockEngine::new(1, 0);
    let (tx, topic) = (Bytes::from_static(&[2, 1]), B256::repeat_byte(3));
    mock.add_transaction(tx.clone());
    mock.add_log(Address::ZERO, vec![topic], Bytes::from_static(&[9]));
    let deposit = Withdrawal { index: 1, validator_index: 0, address: Address::ZERO, amount_gwei: 5 };
    let genesis = mock.genesis();
    let attributes = PayloadAttributes { withdrawals: vec![deposit.clone()], ..attributes(&genesis, 1) };
    let id =
        mock.forkchoice_updated(at(genesis.block_hash), Some(&attributes)).await.unwrap().payload_id.unwrap();
    let block = mock.get_payload(&id, attributes.timestamp).await.unwrap().block;
    assert_eq!((block.transactions.clone(), block.withdrawals.clone()), (vec![tx], vec![deposit]));
    assert_eq!((block.gas_used, block.deposits_index()), (21_000, 1));
    // not yet canonical
    assert_eq!(mock.logs(Address::ZERO, topic, 0, 9).await.unwrap(), []);
    mock.new_payload(&block).await.unwrap();
    mock.forkchoice_updated(at(block.block_hash), None).await.unwrap();
    let logs = mock.logs(Address::ZERO, topic, 0, 9).await.unwrap();
    assert_eq!((logs.len(), logs[0].block_number), (1, 1));
    let hash = logs[0].transaction_hash;
    let receipt = mock.receipt(hash).await.unwrap().unwrap();
    assert_eq!((receipt.block_number, receipt.succeeded, receipt.logs), (1, true, logs));
    assert_eq!(mock.receipt(topic).await.unwrap(), None);
    assert_eq!(mock.logs(Address::ZERO, topic, 2, 9).await.unwrap(), []);
    assert_eq!(mock.logs(Address::ZERO, B256::ZERO, 0, 9).await.unwrap(), []);
    let next = produce(&mock, &block).await;
    assert!(next.transactions.is_empty(), "the pool is empty");
}

#[tokio::test]
async fn forkchoice_rules() {
    let mock = MockEngine::new(1, 0);
    let chain = grow(&mock, 3).await;
    let head = chain[3].block_hash;
    let unknown = mock.forkchoice_updated(at(B256::repeat_byte(9)), None).await.unwrap();
    assert_eq!((unknown.status, unknown.payload_id), (PayloadStatus::Syncing, None));
    for state in [
        ForkchoiceState { safe: B256::repeat_byte(9), ..at(head) },
        ForkchoiceState { finalized: head, ..at(chain[2].block_hash) },
    ] {
        let refused = mock.forkchoice_updated(state, None).await;
        assert!(matches!(refused, Err(EngineError::InvalidForkchoiceState { .. })), "{refused:?}");
    }
    let stale = PayloadAttributes { timestamp: chain[3].timestamp, ..attributes(&chain[3], 0) };
    let refused = mock.forkchoice_updated(at(head), Some(&stale)).await;
    assert!(matches!(refused, Err(EngineError::InvalidPayloadAttributes { .. })), "{refused:?}");

    // back to a block that is not finalized, and on from there
    let mut other = attributes(&chain[1], 0);
    other.timestamp += 10;
    let id =
        mock.forkchoice_updated(at(chain[1].block_hash), Some(&other)).await.unwrap().payload_id.unwrap();
    assert_eq!(mock.head(), chain[1]);
    let fork = mock.get_payload(&id, other.timestamp).await.unwrap().block;
    mock.new_payload(&fork).await.unwrap();
    let state = ForkchoiceState { finalized: fork.block_hash, ..at(fork.block_hash) };
    mock.forkchoice_updated(state, None).await.unwrap();
    assert_eq!(mock.chain(), [&chain[..2], std::slice::from_ref(&fork)].concat());
    assert_eq!(mock.blocks_at(2).len(), 2);
    assert_eq!(mock.safe_and_finalized(), (B256::ZERO, fork.block_hash));
    // behind the finalized block nothing is built
    let behind = mock.forkchoice_updated(at(chain[1].block_hash), Some(&other)).await.unwrap();
    assert!(behind.status.is_valid() && behind.payload_id.is_none());
    assert_eq!(mock.head(), fork);
}

#[tokio::test]
async fn payload_rules() {
    let mock = MockEngine::new(1, 0);
    let chain = grow(&mock, 1).await;
    let mut orphan = chain[1].clone();
    orphan.parent_hash = B256::repeat_byte(9);
    assert_eq!(mock.new_payload(&orphan).await, Ok(PayloadStatus::Syncing));
    for change in [
        (|b| b.state_root = B256::ZERO) as fn(&mut SealedBlock),
        |b| b.gas_used += 1,
        |b| {
            b.transactions.push(Bytes::from_static(&[1]));
        },
    ] {
        let mut tampered = chain[1].clone();
        change(&mut tampered);
        assert!(matches!(mock.new_payload(&tampered).await, Ok(PayloadStatus::Invalid { .. })));
    }
    mock.set_syncing(true);
    assert_eq!(mock.new_payload(&chain[1]).await, Ok(PayloadStatus::Syncing));
    assert_eq!(
        mock.forkchoice_updated(at(chain[1].block_hash), None).await.unwrap().status,
        PayloadStatus::Syncing
    );
    mock.set_syncing(false);
    mock.next_payload_status(PayloadStatus::Accepted);
    assert_eq!(mock.new_payload(&chain[1]).await, Ok(PayloadStatus::Accepted));
    assert!(mock.new_payload(&chain[1]).await.unwrap().is_valid());
}

#[tokio::test]
async fn failures_come_once_with_and_without_effect() {
    let mock = MockEngine::new(1, 0);
    let genesis = mock.genesis();
    let timeout = EngineError::Timeout { method: "engine_newPayloadV4" };
    let attributes = attributes(&genesis, 0);
    let id =
        mock.forkchoice_updated(at(genesis.block_hash), Some(&attributes)).await.unwrap().payload_id.unwrap();
    let block = mock.get_payload(&id, attributes.timestamp).await.unwrap().block;
    mock.fail_next(MockMethod::NewPayload, timeout.clone());
    mock.lose_next_answer(MockMethod::NewPayload, timeout.clone());
    let known = async || mock.block(BlockId::Hash(block.block_hash)).await.unwrap().is_some();
    assert_eq!(mock.new_payload(&block).await, Err(timeout.clone()));
    assert!(!known().await);
    assert_eq!(mock.new_payload(&block).await, Err(timeout));
    assert!(known().await, "only the answer was lost");
    assert!(mock.new_payload(&block).await.unwrap().is_valid());
    assert_eq!(mock.calls(MockMethod::NewPayload), 3);
}

#[tokio::test]
async fn restarts() {
    let mock = MockEngine::new(1, 0);
    let chain = grow(&mock, 4).await;
    let state = ForkchoiceState {
        safe: chain[3].block_hash,
        finalized: chain[1].block_hash,
        ..at(chain[4].block_hash)
    };
    let attributes = attributes(&chain[4], 0);
    let id = mock.forkchoice_updated(state, Some(&attributes)).await.unwrap().payload_id.unwrap();
    mock.restart();
    let lost = mock.get_payload(&id, attributes.timestamp).await;
    assert!(matches!(lost, Err(EngineError::UnknownPayload { .. })));
    assert_eq!(mock.head(), chain[4]);

    mock.lose_blocks_above(2);
    assert_eq!(mock.chain(), chain[..3]);
    assert_eq!(mock.safe_and_finalized(), (chain[2].block_hash, chain[1].block_hash));
    assert_eq!(mock.block(BlockId::Hash(chain[3].block_hash)).await, Ok(None));
    assert_eq!(mock.new_payload(&chain[4]).await, Ok(PayloadStatus::Syncing));
    // the chain comes back when its payloads are given again
    for block in &chain[3..] {
        assert!(mock.new_payload(block).await.unwrap().is_valid());
    }
    assert!(mock.forkchoice_updated(state, None).await.unwrap().status.is_valid());
    assert_eq!(mock.chain(), chain);
}

#[tokio::test]
async fn witnesses_and_chain_config() {
    let mock = MockEngine::new(1, 0);
    let chain = grow(&mock, 2).await;
    let made_up = mock.execution_witness(1).await.unwrap();
    assert!(String::from_utf8(made_up.to_vec()).unwrap().contains(&chain[1].block_hash.to_string()));
    assert_ne!(made_up, mock.execution_witness(2).await.unwrap());
    mock.set_witness(1, Bytes::from_static(b"{}"));
    assert_eq!(mock.execution_witness(1).await.unwrap(), Bytes::from_static(b"{}"));
    assert!(matches!(mock.execution_witness(3).await, Err(EngineError::Rpc { .. })));
    assert_eq!(mock.chain_config().await.unwrap()["chainId"], 1);
    mock.set_chain_config(serde_json::json!({}));
    assert_eq!(mock.chain_config().await, Ok(serde_json::json!({})));
}
