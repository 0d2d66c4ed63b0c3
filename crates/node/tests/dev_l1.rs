//! The development L1: production, receipts, logs, blobs, restart, reorg.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use alloy_primitives::{Address as AlloyAddress, B256, Bytes, U256};
use common::{blob_transaction, http, post, rpc, transfer};
use ensemble_node::{DEV_L1_CHAIN_ID, DevL1, DevL1Config, GenesisBuilder, NodeError};
use ethrex_common::Address;
use serde_json::{Value, json};

/// Emits LOG1 with its call data as data and the first word of it as topic.
const LOGGER: [u8; 10] = [0x36, 0x5f, 0x5f, 0x37, 0x5f, 0x35, 0x36, 0x5f, 0xa1, 0x00];
const LOGGER_ADDRESS: u8 = 0x77;

fn on_demand() -> DevL1Config {
    let genesis = GenesisBuilder::l1()
        .fund_dev_accounts(U256::from(10u128.pow(24)))
        .contract(AlloyAddress::repeat_byte(LOGGER_ADDRESS), Bytes::from_static(&LOGGER))
        .build();
    DevL1Config { genesis, block_time: Duration::ZERO, ..DevL1Config::default() }
}

fn word(n: u64) -> Vec<u8> {
    U256::from(n).to_be_bytes::<32>().to_vec()
}

async fn send(url: &str, raw: &str) -> String {
    rpc(url, "eth_sendRawTransaction", json!([raw])).await.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn receipts_and_logs_of_every_transaction_in_a_block() {
    let l1 = DevL1::start(on_demand()).await.unwrap();
    let url = l1.rpc_url();
    let logger = Address::repeat_byte(LOGGER_ADDRESS);
    let mut hashes = Vec::new();
    for (account, topic) in [(0, 5), (1, 6), (2, 5)] {
        let raw = transfer(account, DEV_L1_CHAIN_ID, 0, logger, 0, word(topic));
        hashes.push(send(&url, &raw).await);
    }
    let block = l1.mine_pending().await.unwrap().expect("the pool holds transactions");
    assert_eq!((block.number, block.transactions), (1, 3));
    assert_eq!(l1.mine_pending().await.unwrap(), None, "the pool is empty");

    let receipts = rpc(&url, "eth_getBlockReceipts", json!(["latest"])).await;
    assert_eq!(receipts.as_array().unwrap().len(), 3);
    for hash in &hashes {
        let receipt = rpc(&url, "eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1");
        assert_eq!(receipt["blockHash"], json!(block.hash));
        assert_eq!(receipt["logs"].as_array().unwrap().len(), 1);
        assert!(receipts.as_array().unwrap().contains(&receipt));
    }
    let indices: Vec<&Value> =
        receipts.as_array().unwrap().iter().map(|r| &r["logs"][0]["logIndex"]).collect();
    assert_eq!(indices, ["0x0", "0x1", "0x2"]);

    let topic = format!("0x{}", hex::encode(word(5)));
    let filter = json!({ "fromBlock": "0x0", "address": format!("{logger:#x}"), "topics": [topic] });
    let logs = rpc(&url, "eth_getLogs", json!([filter])).await;
    assert_eq!(logs.as_array().unwrap().len(), 2);
    assert!(logs.as_array().unwrap().iter().all(|l| l["topics"][0] == json!(topic)));
    let by_hash = rpc(&url, "eth_getLogs", json!([{ "blockHash": block.hash }])).await;
    assert_eq!(by_hash.as_array().unwrap().len(), 3);
    let raw = rpc(&url, "debug_getRawReceipts", json!(["latest"])).await;
    assert_eq!(raw.as_array().unwrap().len(), 3);

    let unknown = rpc(&url, "eth_getTransactionReceipt", json!([B256::ZERO])).await;
    assert_eq!(unknown, Value::Null);
    l1.shutdown().await.unwrap();
}

#[tokio::test]
async fn filters_report_each_log_and_block_once() {
    let l1 = DevL1::start(on_demand()).await.unwrap();
    let url = l1.rpc_url();
    let logger = Address::repeat_byte(LOGGER_ADDRESS);
    l1.mine_now().await.unwrap();
    let logs = rpc(&url, "eth_newFilter", json!([{ "address": format!("{logger:#x}") }])).await;
    let blocks = rpc(&url, "eth_newBlockFilter", json!([])).await;
    assert_eq!(rpc(&url, "eth_getFilterChanges", json!([logs])).await, json!([]));
    for nonce in 0..2 {
        send(&url, &transfer(0, DEV_L1_CHAIN_ID, nonce, logger, 0, word(nonce))).await;
        let block = l1.mine_now().await.unwrap();
        let changes = rpc(&url, "eth_getFilterChanges", json!([logs])).await;
        assert_eq!(changes.as_array().unwrap().len(), 1);
        assert_eq!(changes[0]["blockHash"], json!(block.hash));
        assert_eq!(rpc(&url, "eth_getFilterChanges", json!([logs])).await, json!([]));
        assert_eq!(rpc(&url, "eth_getFilterChanges", json!([blocks])).await, json!([block.hash]));
    }
    assert_eq!(rpc(&url, "eth_uninstallFilter", json!([logs])).await, json!(true));
    assert_eq!(rpc(&url, "eth_uninstallFilter", json!([logs])).await, json!(false));
    l1.shutdown().await.unwrap();
}

#[tokio::test]
async fn tags_follow_at_their_distance() {
    let l1 = DevL1::start(DevL1Config { safe_lag: 1, finalized_lag: 3, ..on_demand() }).await.unwrap();
    let url = l1.rpc_url();
    let mut last_time = 0;
    for _ in 0..5 {
        let block = l1.mine_now().await.unwrap();
        assert!(block.timestamp > last_time);
        last_time = block.timestamp;
    }
    for (tag, number) in [("latest", "0x5"), ("safe", "0x4"), ("finalized", "0x2")] {
        let block = rpc(&url, "eth_getBlockByNumber", json!([tag, false])).await;
        assert_eq!(block["number"], number, "{tag}");
    }
    l1.shutdown().await.unwrap();

    let l1 = DevL1::start(DevL1Config { safe_lag: 0, finalized_lag: 0, ..on_demand() }).await.unwrap();
    l1.mine_now().await.unwrap();
    l1.mine_now().await.unwrap();
    for tag in ["latest", "safe", "finalized"] {
        let block = l1.call("eth_getBlockByNumber", vec![json!(tag), json!(false)]).await.unwrap();
        assert_eq!(block["number"], "0x2", "{tag}");
    }
    l1.shutdown().await.unwrap();
}

#[tokio::test]
async fn blocks_come_by_themselves_at_the_block_time() {
    let l1 =
        DevL1::start(DevL1Config { block_time: Duration::from_millis(20), ..on_demand() }).await.unwrap();
    let filter = l1.call("eth_newBlockFilter", vec![]).await.unwrap();
    let mut seen = 0;
    while seen < 3 {
        let changes = l1.call("eth_getFilterChanges", vec![filter.clone()]).await.unwrap();
        seen += changes.as_array().unwrap().len();
        tokio::task::yield_now().await;
    }
    l1.shutdown().await.unwrap();
}

/// Blobs are served after inclusion, by number, hash, head, and filtered; and again after a restart.
#[tokio::test]
async fn blobs_and_chain_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = || DevL1Config { datadir: Some(folder.path().to_owned()), ..on_demand() };
    let blobs: Vec<Vec<u8>> = (1..=2u8)
        .map(|n| {
            let mut blob = vec![0u8; 131_072];
            for (i, chunk) in blob.chunks_exact_mut(32).enumerate() {
                chunk[1] = n;
                chunk[31] = i as u8;
            }
            blob
        })
        .collect();
    let (raw, hashes) = blob_transaction(0, DEV_L1_CHAIN_ID, 0, &blobs);

    let l1 = DevL1::start(config()).await.unwrap();
    let url = l1.rpc_url();
    l1.mine_now().await.unwrap();
    let transaction = send(&url, &raw).await;
    let with_blobs = l1.mine_now().await.unwrap();
    assert_eq!((with_blobs.number, with_blobs.blobs), (2, 2));
    send(&url, &transfer(1, DEV_L1_CHAIN_ID, 0, Address::repeat_byte(9), 5, vec![])).await;
    let head = l1.mine_now().await.unwrap();
    check_blobs(&l1.beacon_url(), &with_blobs.hash, &hashes, &blobs).await;
    let receipt = rpc(&url, "eth_getTransactionReceipt", json!([transaction])).await;
    assert_eq!(receipt["blobGasUsed"], "0x40000");
    let second = DevL1::start(config()).await;
    assert!(matches!(second, Err(NodeError::Journal { .. })), "the journal is locked: {second:?}");
    l1.shutdown().await.unwrap();

    let l1 = DevL1::start(config()).await.unwrap();
    let url = l1.rpc_url();
    let block = rpc(&url, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(block["hash"], json!(head.hash));
    let balance =
        rpc(&url, "eth_getBalance", json!([format!("{:#x}", Address::repeat_byte(9)), "latest"])).await;
    assert_eq!(balance, "0x5");
    check_blobs(&l1.beacon_url(), &with_blobs.hash, &hashes, &blobs).await;
    let next = l1.mine_now().await.unwrap();
    assert_eq!(next.number, 4);
    assert!(next.timestamp > head.timestamp);
    l1.shutdown().await.unwrap();

    // A crash in the middle of a write loses that block only.
    let journal = folder.path().join("blocks.journal");
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 5]).unwrap();
    let l1 = DevL1::start(config()).await.unwrap();
    let block = rpc(&l1.rpc_url(), "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(block["hash"], json!(head.hash));
    l1.shutdown().await.unwrap();

    let other = DevL1Config { genesis: GenesisBuilder::l1().chain_id(5).build(), ..config() };
    assert!(matches!(DevL1::start(other).await, Err(NodeError::Journal { .. })));
}

async fn check_blobs(url: &str, block: &B256, hashes: &[String], blobs: &[Vec<u8>]) {
    let get = async |path: String| {
        let (status, body) = http(url, "GET", &path, "", b"").await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        (status, body)
    };
    let expected: Vec<Value> = blobs.iter().map(|b| json!(format!("0x{}", hex::encode(b)))).collect();
    for id in [block.to_string(), "2".to_owned()] {
        let (status, body) = get(format!("/eth/v1/beacon/blobs/{id}")).await;
        assert_eq!(status, 200);
        assert!(body["data"] == json!(expected), "blobs of {id} differ");
        let (_, body) = get(format!("/eth/v1/beacon/blobs/{id}?versioned_hashes={}", hashes[1])).await;
        assert!(body["data"] == json!([expected[1]]), "filtered blob of {id} differs");
    }
    let (status, body) = get("/eth/v1/beacon/blobs/head".into()).await;
    assert_eq!((status, &body["data"]), (200, &json!([])));
    assert_eq!(get("/eth/v1/beacon/blobs/99".into()).await.0, 404);
    assert_eq!(get("/eth/v1/beacon/blobs/nonsense".into()).await.0, 400);
    assert_eq!(get("/eth/v1/beacon/blobs/2?versioned_hashes=0x1".into()).await.0, 400);
    assert_eq!(get("/eth/v1/beacon/blob_sidecars/2".into()).await.0, 410);
    assert_eq!(get("/eth/v1/node/version".into()).await.0, 200);
}

#[tokio::test]
async fn a_reorg_replaces_blocks_down_to_the_finalized_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = || DevL1Config { finalized_lag: 4, datadir: Some(folder.path().to_owned()), ..on_demand() };
    let l1 = DevL1::start(config()).await.unwrap();
    let url = l1.rpc_url();
    let mut old = Vec::new();
    for _ in 0..6 {
        old.push(l1.mine_now().await.unwrap());
    }
    let raw = transfer(0, DEV_L1_CHAIN_ID, 0, Address::repeat_byte(LOGGER_ADDRESS), 0, word(1));
    let dropped = send(&url, &raw).await;
    let seventh = l1.mine_now().await.unwrap();
    assert!(matches!(l1.reorg(5).await, Err(NodeError::Config { .. })));
    assert!(matches!(l1.reorg_from(2).await, Err(NodeError::Config { .. })));
    assert!(matches!(l1.reorg_from(8).await, Err(NodeError::Config { .. })));
    let new = l1.reorg_from(5).await.unwrap();
    assert_eq!(new.iter().map(|b| b.number).collect::<Vec<_>>(), [5, 6, 7, 8]);
    let block = async |tag: &str| rpc(&url, "eth_getBlockByNumber", json!([tag, false])).await;
    assert_eq!(block("0x4").await["hash"], json!(old[3].hash));
    assert_eq!(block("0x5").await["hash"], json!(new[0].hash));
    assert_ne!(new[0].hash, old[4].hash);
    assert_eq!(block("latest").await["hash"], json!(new[3].hash));
    assert_eq!(rpc(&url, "eth_getTransactionReceipt", json!([dropped])).await, Value::Null);
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{ "blockHash": seventh.hash }] });
    let (_, answer) = post(&url, "", &request).await;
    assert!(answer.get("error").is_some(), "a dropped block has no logs to give: {answer}");
    let new = l1.reorg(2).await.unwrap();
    assert_eq!(new.iter().map(|b| b.number).collect::<Vec<_>>(), [7, 8, 9]);
    l1.shutdown().await.unwrap();

    let l1 = DevL1::start(config()).await.unwrap();
    let latest = l1.call("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await.unwrap();
    assert_eq!(latest["hash"], json!(new[2].hash), "the journal replays reorgs too");
    l1.shutdown().await.unwrap();
}

#[tokio::test]
async fn contradictory_configurations_are_refused() {
    let lags = DevL1Config { safe_lag: 3, finalized_lag: 2, ..on_demand() };
    assert!(matches!(DevL1::start(lags).await, Err(NodeError::Config { .. })));
    let junk = DevL1Config { genesis: json!({}), ..on_demand() };
    assert!(matches!(DevL1::start(junk).await, Err(NodeError::Genesis { .. })));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = DevL1Config { http_addr: taken.local_addr().unwrap(), ..on_demand() };
    assert!(matches!(DevL1::start(busy).await, Err(NodeError::Bind { .. })));
}
