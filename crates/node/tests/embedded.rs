//! The embedded node as an L2 execution client: Engine API behind JWT, deposits as withdrawals, bounded and
//! typed answers, shutdown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use alloy_primitives::{Address, B256, Bytes, U256};
use common::{bearer, http, post, rpc, transfer};
use ensemble_node::{
    COMMON_BRIDGE_L2, DEV_L2_CHAIN_ID, DevL1, DevL1Config, EmbeddedNode, GenesisBuilder, NodeConfig,
    NodeError, NodeHandle, genesis_summary,
};
use serde_json::{Value, json};

const SECRET: [u8; 32] = [0x5a; 32];

fn genesis() -> Value {
    GenesisBuilder::l2()
        .fund_dev_accounts(U256::from(10u128.pow(24)))
        .common_bridge_l2(Bytes::from_static(&[0x60, 0x00]))
        .build()
}

async fn start() -> NodeHandle {
    EmbeddedNode::start(NodeConfig::local("l2", genesis(), SECRET).unwrap()).await.unwrap()
}

async fn engine(node: &NodeHandle, method: &str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let (status, answer) = post(&node.auth_url(), &bearer(&SECRET), &request).await;
    assert_eq!((status, &answer["id"]), (200, &json!(7)));
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].clone()
}

async fn fork_choice(node: &NodeHandle, head: &Value, attributes: Value) -> Value {
    let state =
        json!({ "headBlockHash": head, "safeBlockHash": B256::ZERO, "finalizedBlockHash": B256::ZERO });
    let answer = engine(node, "engine_forkchoiceUpdatedV3", json!([state, attributes])).await;
    assert_eq!(answer["payloadStatus"]["status"], "VALID");
    answer["payloadId"].clone()
}

async fn produce(node: &NodeHandle, parent: &Value, timestamp: u64, withdrawals: Value) -> Value {
    let attributes = json!({
        "timestamp": format!("{timestamp:#x}"), "prevRandao": B256::ZERO,
        "suggestedFeeRecipient": Address::repeat_byte(0xfe), "withdrawals": withdrawals,
        "parentBeaconBlockRoot": B256::ZERO,
    });
    let id = fork_choice(node, parent, attributes).await;
    let built = engine(node, "engine_getPayloadV4", json!([id])).await;
    let payload = built["executionPayload"].clone();
    let params = json!([payload, [], B256::ZERO, built["executionRequests"]]);
    assert_eq!(engine(node, "engine_newPayloadV4", params).await["status"], "VALID");
    fork_choice(node, &payload["blockHash"], Value::Null).await;
    payload
}

#[tokio::test]
async fn an_l2_is_driven_through_the_engine_port_and_credits_deposits() {
    let node = start().await;
    let url = node.http_url();
    let summary = genesis_summary(&genesis()).unwrap();
    let block = rpc(&url, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(block["hash"], json!(summary.block_hash));
    assert_eq!(block["stateRoot"], json!(summary.state_root));
    assert_eq!(rpc(&url, "eth_getCode", json!([COMMON_BRIDGE_L2, "latest"])).await, "0x6000");
    assert_eq!(rpc(&url, "eth_chainId", json!([])).await, format!("{DEV_L2_CHAIN_ID:#x}"));

    let to = Address::repeat_byte(0x33);
    let deposits = json!([
        { "index": "0x1", "validatorIndex": "0x0", "address": to, "amount": "0x5" },
        { "index": "0x2", "validatorIndex": "0x0", "address": to, "amount": "0x7" },
    ]);
    let raw = transfer(0, DEV_L2_CHAIN_ID, 0, ethrex_common::Address::repeat_byte(0x44), 11, vec![]);
    rpc(&url, "eth_sendRawTransaction", json!([raw])).await;
    let first = produce(&node, &json!(summary.block_hash), summary.timestamp + 1, deposits).await;
    assert_eq!(first["transactions"].as_array().unwrap().len(), 1);
    assert_eq!(first["withdrawals"].as_array().unwrap().len(), 2);
    assert_eq!(first["gasLimit"], format!("{:#x}", summary.gas_limit));
    let balance = async |a: Address| rpc(&url, "eth_getBalance", json!([a, "latest"])).await;
    assert_eq!(balance(to).await, format!("{:#x}", 12_000_000_000u64));
    assert_eq!(balance(Address::repeat_byte(0x44)).await, "0xb");
    let second = produce(&node, &first["blockHash"], summary.timestamp + 2, json!([])).await;
    assert_eq!(second["blockNumber"], "0x2");
    let witness = rpc(&url, "debug_executionWitness", json!(["0x1"])).await;
    assert!(!witness["state"].as_array().unwrap().is_empty());
    let on_auth_port = engine(&node, "eth_getBlockReceipts", json!(["0x1"])).await;
    assert_eq!(on_auth_port.as_array().unwrap().len(), 1);
    assert!(rpc(&url, "txpool_content", json!([])).await.is_object());
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_engine_port_wants_a_token_and_the_public_port_has_no_engine() {
    let node = start().await;
    let request =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "engine_exchangeCapabilities", "params": [[]] });
    assert_eq!(post(&node.auth_url(), "", &request).await.0, 401);
    assert_eq!(post(&node.auth_url(), &bearer(&[1; 32]), &request).await.0, 401);
    let (status, answer) = post(&node.auth_url(), &bearer(&SECRET), &request).await;
    assert_eq!(status, 200);
    assert!(answer["result"].as_array().unwrap().contains(&json!("engine_newPayloadV4")));
    let (_, answer) = post(&node.http_url(), "", &request).await;
    assert_eq!(answer["error"]["code"], -32601);
    // In process the engine is reachable without a token.
    let answer = node.call("engine_exchangeCapabilities", vec![json!([])]).await.unwrap();
    assert!(answer.is_array());
    node.shutdown().await.unwrap();
}

/// SEQ-INV-11
#[tokio::test]
async fn bad_requests_get_typed_answers() {
    let config = NodeConfig { max_log_blocks: 2, ..NodeConfig::local("l2", genesis(), SECRET).unwrap() };
    let node = EmbeddedNode::start(config).await.unwrap();
    let url = node.http_url();
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("\u{0}", -32700),
        ("null", -32600),
        ("[]", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"nope"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getLogs"}"#, -32602),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x2","toBlock":"0x1"}]}"#,
            -32602,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionReceipt","params":["0x1"]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getFilterChanges","params":["0x1"]}"#, -32000),
    ] {
        let (status, answer) = http(&url, "POST", "/", "", body.as_bytes()).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, &answer["error"]["code"]), (200, &json!(code)), "{body}: {answer}");
    }
    let deep = "[".repeat(100_000);
    let (_, answer) = http(&url, "POST", "/", "", deep.as_bytes()).await;
    assert!(String::from_utf8_lossy(&answer).contains("-32700"));
    let (status, _) = http(&url, "POST", "/", "", &vec![b' '; (16 << 20) + 1]).await;
    assert_eq!(status, 413);

    let call = json!({ "jsonrpc": "2.0", "id": 3, "method": "eth_blockNumber", "params": [] });
    let (_, answer) = post(&url, "", &json!([call, 5, call])).await;
    assert_eq!(answer[0]["result"], "0x0");
    assert_eq!(answer[1]["error"]["code"], -32600);
    assert_eq!(answer[2]["id"], 3);
    let (_, answer) = post(&url, "", &Value::Array(vec![call; 1001])).await;
    assert_eq!(answer["error"]["code"], -32600);

    let summary = genesis_summary(&genesis()).unwrap();
    let mut parent = json!(summary.block_hash);
    for i in 1..=3 {
        parent = produce(&node, &parent, summary.timestamp + i, json!([])).await["blockHash"].clone();
    }
    let logs =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{ "fromBlock": "0x0" }] });
    let (_, answer) = post(&url, "", &logs).await;
    assert_eq!(answer["error"]["code"], -32005, "{answer}");
    let in_range = json!([{ "fromBlock": "0x2", "toBlock": "0xffffffffffffffff" }]);
    assert_eq!(rpc(&url, "eth_getLogs", in_range).await, json!([]));
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn browsers_may_call_the_public_port() {
    let node = start().await;
    let call = json!({ "jsonrpc": "2.0", "id": 3, "method": "eth_blockNumber", "params": [] }).to_string();
    let addr = node.http_addr();
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\norigin: https://dapp.example\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{call}",
        call.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.to_lowercase().contains("access-control-allow-origin: *"), "{answer}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn l1_and_l2_run_side_by_side_and_stop_on_their_own() {
    let l1_config = DevL1Config { block_time: std::time::Duration::ZERO, ..DevL1Config::default() };
    let (l1, l2) = tokio::join!(DevL1::start(l1_config), start());
    let l1 = l1.unwrap();
    assert_ne!(l1.rpc_url(), l2.http_url());
    assert_eq!(l1.mine_now().await.unwrap().number, 1);
    l2.shutdown().await.unwrap();
    assert_eq!(l1.mine_now().await.unwrap().number, 2);
    l1.shutdown().await.unwrap();
}

/// A node may be dropped inside a current-thread runtime, and its ports are free afterwards.
#[tokio::test(flavor = "current_thread")]
async fn a_dropped_node_stops_by_itself() {
    let node = start().await;
    let addr = node.http_addr();
    let idle = tokio::net::TcpStream::connect(addr).await.unwrap();
    drop(node);
    // Connecting fails once the listener is gone.
    while tokio::net::TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    drop(idle);
    let again = NodeConfig { http_addr: addr, ..NodeConfig::local("l2", genesis(), SECRET).unwrap() };
    EmbeddedNode::start(again).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn start_failures_are_typed() {
    assert!(matches!(NodeConfig::local("l2", json!({}), SECRET), Err(NodeError::Genesis { .. })));
    let node = start().await;
    let config =
        NodeConfig { auth_addr: node.auth_addr(), ..NodeConfig::local("l2", genesis(), SECRET).unwrap() };
    assert!(matches!(EmbeddedNode::start(config).await, Err(NodeError::Bind { .. })));
    let broken = NodeConfig { genesis: json!(3), ..NodeConfig::local("l2", genesis(), SECRET).unwrap() };
    assert!(matches!(EmbeddedNode::start(broken).await, Err(NodeError::Genesis { .. })));
    node.shutdown().await.unwrap();
}

/// SEQ-INV-12
#[test]
fn the_secret_is_not_in_debug_output() {
    let config = NodeConfig::local("l2", genesis(), SECRET).unwrap();
    let text = format!("{config:?}");
    let secret_as_list = format!("{SECRET:?}");
    assert!(text.contains("l2") && !text.contains(&secret_as_list) && !text.contains("5a5a"), "{text}");
}
