//! The JSON-RPC client against a server that misbehaves on purpose (SEQ-INV-11).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::disallowed_methods, reason = "the servers live and die with the runtime of their test")]

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use axum::Router;
use axum::body::{Body, Bytes as BodyBytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ensemble_error::{Classify, Severity};
use ensemble_l1::{BlockTag, FailoverConfig, L1Client, L1Error, LogFilter, RpcConfig, RpcL1Client, Standing};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMIT: u32 = 20_000;
const HASH: B256 = B256::repeat_byte(0x11);
const CONTRACT: Address = Address::repeat_byte(0xcc);

enum Reply {
    /// `result` of a well-formed answer.
    Result(Value),
    /// `error` of a well-formed answer.
    Error(Value),
    /// This body with this status.
    Raw(u16, Vec<u8>),
    /// A body of unknown length that never ends.
    Endless,
    /// No answer at all.
    Silence,
}

type Handler = Arc<dyn Fn(&str, &Value) -> Reply + Send + Sync>;

#[derive(Clone)]
struct Server {
    handler: Handler,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    async fn start(handler: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> (String, Self) {
        let server = Self { handler: Arc::new(handler), requests: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, server)
    }

    fn count(&self, method: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|(m, _)| m == method).count()
    }

    fn params(&self, method: &str) -> Value {
        let all = self.requests.lock().unwrap();
        all.iter().rfind(|(m, _)| m == method).map(|(_, p)| p.clone()).expect("the method was called")
    }
}

async fn answer(State(server): State<Server>, body: BodyBytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let method = request["method"].as_str().unwrap();
    server.requests.lock().unwrap().push((method.to_owned(), request["params"].clone()));
    match (server.handler)(method, &request["params"]) {
        Reply::Result(v) => {
            axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": v })).into_response()
        }
        Reply::Error(e) => {
            axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": e })).into_response()
        }
        Reply::Raw(status, bytes) => (StatusCode::from_u16(status).unwrap(), bytes).into_response(),
        Reply::Endless => {
            let head = futures_chunk(br#"{"jsonrpc":"2.0","id":0,"result":"0x"#);
            Body::from_stream(head).into_response()
        }
        Reply::Silence => std::future::pending().await,
    }
}

/// The head, then zeros for ever.
fn futures_chunk(
    head: &'static [u8],
) -> impl futures::Stream<Item = Result<Vec<u8>, std::convert::Infallible>> + Send + 'static {
    futures::stream::unfold(false, move |started| async move {
        Some((Ok(if started { vec![b'0'; 4096] } else { head.to_vec() }), true))
    })
}

fn client(urls: &[&str]) -> RpcL1Client {
    client_with(urls, FailoverConfig::default())
}

fn client_with(urls: &[&str], failover: FailoverConfig) -> RpcL1Client {
    let config = RpcConfig { timeout: Duration::from_secs(20), max_response_bytes: LIMIT, failover };
    RpcL1Client::new(urls.iter().map(|u| (*u).to_owned()).collect(), config).unwrap()
}

fn filter() -> LogFilter {
    LogFilter { address: CONTRACT, topic0: B256::repeat_byte(1), from_block: 10, to_block: 20 }
}

fn log(address: Address, topic: u8, block: u64, index: u64) -> Value {
    json!({
        "address": address, "topics": [B256::repeat_byte(topic)], "data": "0x01", "blockNumber": format!("{block:#x}"),
        "blockHash": B256::repeat_byte(2), "transactionHash": B256::repeat_byte(3), "transactionIndex": "0x0",
        "logIndex": format!("{index:#x}"), "removed": false, "blockTimestamp": "0x1"
    })
}

fn block(number: u64) -> Value {
    json!({
        "number": format!("{number:#x}"), "hash": HASH, "parentHash": B256::repeat_byte(9), "timestamp": "0x65",
        "baseFeePerGas": "0x7", "gasLimit": "0x1c9c380", "requestsHash": B256::ZERO, "transactions": []
    })
}

#[tokio::test]
async fn parameters_and_answers_of_every_method() {
    let tx = Bytes::from(vec![2, 1, 2, 3]);
    let tx_hash = keccak256(&tx);
    let (url, server) = Server::start(move |method, _| {
        Reply::Result(match method {
            "eth_chainId" => json!("0x301824"),
            "eth_getBlockByNumber" => block(16),
            "eth_getBlockByHash" => Value::Null,
            "eth_getLogs" => json!([log(CONTRACT, 1, 12, 4), log(CONTRACT, 1, 11, 7)]),
            "eth_call" => json!("0x2a"),
            "eth_estimateGas" => json!("0x5208"),
            "eth_getTransactionCount" => json!("0x10"),
            "eth_getBalance" => json!("0xffffffffffffffffffffffffffffffffffffffff"),
            "eth_getCode" => json!("0x"),
            "eth_feeHistory" => json!({
                "oldestBlock": "0x1", "baseFeePerGas": ["0x5", "0x6", "0x7"], "gasUsedRatio": [0.1, 0.9],
                "reward": [["0x1"], ["0x2"]], "baseFeePerBlobGas": ["0x1", "0x1", "0x3"], "blobGasUsedRatio": [0, 0]
            }),
            "eth_blobBaseFee" => json!("0x9"),
            "eth_sendRawTransaction" => json!(tx_hash),
            "eth_getTransactionReceipt" => json!({
                "type": "0x3", "status": "0x1", "transactionHash": HASH, "blockNumber": "0x10", "blockHash": HASH,
                "gasUsed": "0x5208", "effectiveGasPrice": "0x7", "blobGasUsed": "0x20000", "blobGasPrice": "0x1",
                "contractAddress": null, "cumulativeGasUsed": "0x5208", "logsBloom": "0x00",
                "logs": [log(CONTRACT, 1, 16, 0)]
            }),
            "eth_getTransactionByHash" => json!({ "hash": HASH, "from": CONTRACT, "to": null, "input": "0x" }),
            other => panic!("unexpected {other}"),
        })
    })
    .await;
    let l1 = client(&[&url]);
    assert_eq!(l1.chain_id().await.unwrap(), 3_151_908);
    l1.ensure_chain(3_151_908).await.unwrap();

    let found = l1.block(BlockTag::Finalized).await.unwrap().unwrap();
    assert_eq!((found.number, found.base_fee_per_gas, found.timestamp, found.hash), (16, 7, 0x65, HASH));
    assert_eq!(server.params("eth_getBlockByNumber"), json!(["finalized", false]));
    l1.block(BlockTag::Number(16)).await.unwrap().unwrap();
    assert_eq!(server.params("eth_getBlockByNumber"), json!(["0x10", false]));
    assert_eq!(l1.block(BlockTag::Hash(HASH)).await.unwrap(), None);

    let logs = l1.logs(&filter()).await.unwrap();
    assert_eq!(logs.iter().map(|l| (l.block_number, l.log_index)).collect::<Vec<_>>(), [(11, 7), (12, 4)]);
    let expected = json!([{
        "address": CONTRACT, "topics": [B256::repeat_byte(1)], "fromBlock": "0xa", "toBlock": "0x14"
    }]);
    assert_eq!(server.params("eth_getLogs"), expected);
    let empty = LogFilter { from_block: 21, ..filter() };
    assert_eq!(l1.logs(&empty).await.unwrap(), []);
    assert_eq!(server.count("eth_getLogs"), 1, "an empty range is not asked for");

    assert_eq!(l1.call(CONTRACT, Bytes::new(), BlockTag::Hash(HASH)).await.unwrap(), Bytes::from(vec![0x2a]));
    assert_eq!(server.params("eth_call")[1], json!({ "blockHash": HASH, "requireCanonical": true }));
    let gas = l1.estimate_gas(CONTRACT, None, U256::from(5), Bytes::from(vec![1]), &[HASH]).await.unwrap();
    assert_eq!(gas, 21_000);
    let expected =
        json!([{ "from": CONTRACT, "value": "0x5", "data": "0x01", "blobVersionedHashes": [HASH] }]);
    assert_eq!(server.params("eth_estimateGas"), expected);
    assert_eq!(l1.transaction_count(CONTRACT, true).await.unwrap(), 16);
    assert_eq!(server.params("eth_getTransactionCount"), json!([CONTRACT, "pending"]));
    assert_eq!(l1.balance(CONTRACT).await.unwrap(), (U256::from(1) << 160) - U256::from(1));
    assert_eq!(l1.code(CONTRACT).await.unwrap(), Bytes::new());

    let fees = l1.fee_history(2, 50.0).await.unwrap();
    assert_eq!(server.params("eth_feeHistory"), json!(["0x2", "latest", [50.0]]));
    assert_eq!((fees.base_fee_per_gas, fees.rewards), (vec![5, 6, 7], vec![1, 2]));
    assert_eq!(fees.base_fee_per_blob_gas, Some(vec![1, 1, 3]));
    assert_eq!(l1.blob_base_fee().await.unwrap(), 9);

    assert_eq!(l1.send_raw_transaction(&Bytes::from(vec![2, 1, 2, 3])).await.unwrap(), tx_hash);
    let receipt = l1.receipt(HASH).await.unwrap().unwrap();
    assert!(receipt.status);
    assert_eq!((receipt.block_number, receipt.logs.len()), (16, 1));
    assert_eq!(receipt.fee_paid(), 21_000 * 7 + 0x20000);
    assert_eq!(receipt.confirmations(18), 3);
    assert_eq!(l1.transaction(HASH).await.unwrap().unwrap().from, CONTRACT);
}

#[tokio::test]
async fn answers_that_are_no_answers() {
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("html", b"<html>502 Bad Gateway</html>".to_vec()),
        ("truncated", br#"{"jsonrpc":"2.0","id":0,"result":"0x12"#.to_vec()),
        ("no result", br#"{"jsonrpc":"2.0","id":0}"#.to_vec()),
        ("binary", vec![0xff; 100]),
        ("batch", b"[]".to_vec()),
        ("deep", [br#"{"jsonrpc":"2.0","id":0,"result":"#.to_vec(), vec![b'['; 5000]].concat()),
    ];
    for (name, body) in bodies {
        let (url, _) = Server::start(move |_, _| Reply::Raw(200, body.clone())).await;
        let error = client(&[&url]).chain_id().await.unwrap_err();
        assert!(matches!(error, L1Error::InvalidResponse { method: "eth_chainId", .. }), "{name}: {error:?}");
        assert_eq!(error.severity(), Severity::Transient);
    }
}

#[tokio::test]
async fn results_of_the_wrong_type() {
    for result in [
        Value::Null,
        json!(true),
        json!({ "number": "0x1" }),
        json!("0xzz"),
        json!("0x1ffffffffffffffff"),
        json!(["0x1"]),
        json!(-1),
        json!("x".repeat(5000)),
    ] {
        let shown = result.to_string();
        let (url, _) = Server::start(move |_, _| Reply::Result(result.clone())).await;
        let error = client(&[&url]).chain_id().await.unwrap_err();
        assert!(matches!(error, L1Error::InvalidResponse { .. }), "{shown}: {error:?}");
        assert!(error.to_string().len() < 1500, "the text of the error is bounded");
    }
}

#[tokio::test]
async fn blocks_and_receipts_that_were_not_asked_for() {
    let (url, _) = Server::start(|method, _| match method {
        "eth_getBlockByNumber" | "eth_getBlockByHash" => Reply::Result(block(17)),
        _ => Reply::Result(json!({
            "status": "0x2", "transactionHash": HASH, "blockNumber": "0x10", "blockHash": HASH, "gasUsed": "0x1",
            "effectiveGasPrice": "0x7", "logs": []
        })),
    })
    .await;
    let l1 = client(&[&url]);
    let other = B256::repeat_byte(0x22);
    for error in [
        l1.block(BlockTag::Number(16)).await.unwrap_err(),
        l1.block(BlockTag::Hash(other)).await.unwrap_err(),
        l1.receipt(other).await.unwrap_err(),
        l1.receipt(HASH).await.unwrap_err(),
    ] {
        assert!(matches!(error, L1Error::InvalidResponse { .. }), "{error:?}");
    }
}

/// A node cannot make us take logs of another contract for deposits.
#[tokio::test]
async fn logs_that_were_not_asked_for() {
    let pending = {
        let mut log = log(CONTRACT, 1, 12, 0);
        log["blockNumber"] = Value::Null;
        log
    };
    let topics = {
        let mut log = log(CONTRACT, 1, 12, 0);
        log["topics"] = json!(vec![B256::repeat_byte(1); 5]);
        log
    };
    for logs in [
        json!([log(Address::ZERO, 1, 12, 0)]),
        json!([log(CONTRACT, 2, 12, 0)]),
        json!([log(CONTRACT, 1, 9, 0)]),
        json!([log(CONTRACT, 1, 21, 0)]),
        json!([log(CONTRACT, 1, 12, 0), log(CONTRACT, 1, 12, 0)]),
        json!([pending]),
        json!([topics]),
        Value::Null,
    ] {
        let shown = logs.to_string();
        let (url, _) = Server::start(move |_, _| Reply::Result(logs.clone())).await;
        let error = client(&[&url]).logs(&filter()).await.unwrap_err();
        assert!(matches!(error, L1Error::InvalidResponse { .. }), "{shown}: {error:?}");
    }
}

/// SEQ-INV-11: neither an announced nor an endless body is read beyond the limit.
#[tokio::test]
async fn enormous_answers() {
    let (url, _) = Server::start(|method, _| match method {
        "eth_getCode" | "eth_getLogs" => Reply::Result(json!(format!("0x{}", "00".repeat(LIMIT as usize)))),
        _ => Reply::Endless,
    })
    .await;
    let l1 = client(&[&url]);
    let announced = l1.code(CONTRACT).await.unwrap_err();
    assert_eq!(announced, L1Error::ResponseTooLarge { method: "eth_getCode", limit: LIMIT });
    let endless = l1.call(CONTRACT, Bytes::new(), BlockTag::Latest).await.unwrap_err();
    assert_eq!(endless, L1Error::ResponseTooLarge { method: "eth_call", limit: LIMIT });
    assert!(matches!(l1.logs(&filter()).await.unwrap_err(), L1Error::RangeTooLarge { .. }));
}

#[tokio::test]
async fn error_objects() {
    let (url, _) = Server::start(|method, _| {
        Reply::Error(match method {
            "eth_call" => json!({ "code": 3, "message": "execution reverted", "data": "0x7fcdd1f4" }),
            "eth_sendRawTransaction" => json!({ "code": -32000, "message": "nonce too low: next nonce 4" }),
            "eth_blobBaseFee" => json!({ "code": -32601, "message": "Method not found" }),
            "eth_getBlockByNumber" => json!({ "code": -39001, "message": "Unknown block" }),
            _ => json!({ "code": -32603, "message": "boom", "data": { "deep": [1, { "x": "y" }] } }),
        })
    })
    .await;
    let l1 = client(&[&url]);
    let reverted = l1.call(CONTRACT, Bytes::new(), BlockTag::Latest).await.unwrap_err();
    let data = Bytes::from(vec![0x7f, 0xcd, 0xd1, 0xf4]);
    assert_eq!(reverted, L1Error::ExecutionReverted { message: "execution reverted".into(), data });
    let error = l1.send_raw_transaction(&Bytes::from(vec![2])).await.unwrap_err();
    assert!(matches!(error, L1Error::NonceTooLow { .. }));
    assert!(matches!(
        l1.blob_base_fee().await.unwrap_err(),
        L1Error::MethodUnsupported { method: "eth_blobBaseFee", .. }
    ));
    assert_eq!(l1.block(BlockTag::Safe).await.unwrap(), None, "no block is safe yet");
    let error = l1.balance(CONTRACT).await.unwrap_err();
    assert_eq!(error, L1Error::Rpc { code: -32603, message: "boom".into(), data: None });
}

#[tokio::test]
async fn http_errors() {
    let status = Arc::new(AtomicUsize::new(500));
    let (url, _) = {
        let status = status.clone();
        Server::start(move |_, _| Reply::Raw(status.load(Ordering::SeqCst) as u16, b"{}".to_vec())).await
    };
    let l1 = client(&[&url]);
    assert!(
        matches!(l1.chain_id().await.unwrap_err(), L1Error::Transport { reason, .. } if reason.contains("500"))
    );
    status.store(429, Ordering::SeqCst);
    assert!(matches!(l1.chain_id().await.unwrap_err(), L1Error::RateLimited { .. }));
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let (url, _) = Server::start(|_, _| Reply::Silence).await;
    let config =
        RpcConfig { timeout: Duration::from_millis(50), max_response_bytes: LIMIT, ..RpcConfig::default() };
    let l1 = RpcL1Client::new(vec![url.clone()], config).unwrap();
    let expected = L1Error::Timeout { endpoint: url, method: "eth_chainId", after: config.timeout };
    assert_eq!(l1.chain_id().await.unwrap_err(), expected);
}

/// SEQ-INV-12: a URL with a key in it shows neither in errors nor in Debug.
#[tokio::test]
async fn a_refused_connection_hides_the_key() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://user:pass1234@{free}/v3/verysecretkey");
    let l1 = client(&[&url]);
    let error = l1.chain_id().await.unwrap_err();
    assert!(matches!(error, L1Error::Transport { .. }), "{error:?}");
    for text in [error.to_string(), format!("{error:?}"), format!("{l1:?}")] {
        assert!(text.contains(&free.to_string()), "{text}");
        assert!(!text.contains("secret") && !text.contains("pass1234"), "{text}");
    }
}

/// The connection breaks in the middle of the body.
#[tokio::test]
async fn a_broken_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = [0u8; 4096];
        assert!(socket.read(&mut buffer).await.unwrap() > 0);
        let head =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"jsonrpc\"";
        socket.write_all(head).await.unwrap();
    });
    let error = client(&[&url]).chain_id().await.unwrap_err();
    assert!(matches!(error, L1Error::Transport { .. }), "{error:?}");
}

/// One of several nodes, as a test moves it.
struct L1Node {
    url: String,
    server: Server,
    head: Arc<AtomicU64>,
    fork: Arc<AtomicU64>,
    up: Arc<AtomicBool>,
}

impl L1Node {
    /// A node at block `head`.
    async fn start(head: u64) -> Self {
        let head = Arc::new(AtomicU64::new(head));
        let (fork, up) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(true)));
        let (at, branch, alive) = (head.clone(), fork.clone(), up.clone());
        let (url, server) = Server::start(move |method, params| {
            if !alive.load(Ordering::SeqCst) {
                return Reply::Raw(503, Vec::new());
            }
            let head = at.load(Ordering::SeqCst);
            let asked =
                params[0].as_str().and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
            let number = asked.unwrap_or(head);
            Reply::Result(match method {
                "eth_getBlockByNumber" if number > head => Value::Null,
                "eth_getBlockByNumber" => {
                    let mut block = block(number);
                    block["hash"] = json!(keccak256(format!("{number} {}", branch.load(Ordering::SeqCst))));
                    block
                }
                "eth_getBalance" => json!("0x7"),
                other => panic!("unexpected {other}"),
            })
        })
        .await;
        Self { url, server, head, fork, up }
    }

    fn reads(&self) -> usize {
        self.server.count("eth_getBalance")
    }
}

/// Every read looks at all endpoints first.
fn watchful(nodes: &[&L1Node]) -> RpcL1Client {
    let failover = FailoverConfig {
        check_every: Duration::ZERO,
        cool_down: Duration::ZERO,
        ..FailoverConfig::default()
    };
    client_with(&nodes.iter().map(|node| node.url.as_str()).collect::<Vec<_>>(), failover)
}

async fn read(l1: &RpcL1Client) {
    assert_eq!(l1.balance(CONTRACT).await.unwrap(), U256::from(7));
}

#[tokio::test]
async fn reads_fail_over_and_come_back() {
    let (first, second) = (L1Node::start(20).await, L1Node::start(20).await);
    let l1 = watchful(&[&first, &second]);
    read(&l1).await;
    first.up.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        read(&l1).await;
    }
    assert_eq!((first.reads(), second.reads()), (1, 3), "who does not answer a look is not asked");
    assert!(matches!(l1.endpoints()[0].standing, Standing::Failing { .. }), "{:?}", l1.endpoints());
    first.up.store(true, Ordering::SeqCst);
    read(&l1).await;
    assert_eq!((first.reads(), second.reads()), (2, 3), "the first one is preferred");
    assert!(
        l1.endpoints().iter().all(|e| e.standing.is_good() && e.head == Some(20)),
        "{:?}",
        l1.endpoints()
    );
}

/// Between two looks, who has failed is left alone.
#[tokio::test]
async fn who_failed_rests() {
    let (first, second) = (L1Node::start(20).await, L1Node::start(20).await);
    let hour = Duration::from_secs(3600);
    let failover = FailoverConfig {
        check_every: hour,
        cool_down: hour,
        max_cool_down: hour,
        ..FailoverConfig::default()
    };
    let l1 = client_with(&[&first.url, &second.url], failover);
    read(&l1).await;
    first.up.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        read(&l1).await;
    }
    assert_eq!((first.reads(), second.reads()), (2, 3), "asked once more, then not again");
    // nobody else is left: it is asked before its rest is over
    second.up.store(false, Ordering::SeqCst);
    first.up.store(true, Ordering::SeqCst);
    read(&l1).await;
    assert_eq!((first.reads(), second.reads()), (3, 4));
}

#[tokio::test]
async fn who_is_behind_is_asked_only_when_nobody_else_answers() {
    let (first, second) = (L1Node::start(20).await, L1Node::start(29).await);
    let l1 = watchful(&[&first, &second]);
    read(&l1).await;
    assert_eq!((first.reads(), second.reads()), (0, 1));
    assert_eq!(l1.endpoints()[0].standing, Standing::Lagging { behind: 9 });
    second.up.store(false, Ordering::SeqCst);
    read(&l1).await;
    assert_eq!((first.reads(), second.reads()), (1, 1));
    second.up.store(true, Ordering::SeqCst);
    first.head.store(30, Ordering::SeqCst);
    read(&l1).await;
    assert_eq!((first.reads(), second.reads()), (2, 1), "it has caught up");
}

/// SEQ-INV-6: an endpoint on another fork would show a reorg that is none. It is never asked, not even as the last one.
#[tokio::test]
async fn who_is_on_another_fork_is_never_asked() {
    let (first, second, third) = (L1Node::start(20).await, L1Node::start(20).await, L1Node::start(21).await);
    let l1 = watchful(&[&first, &second, &third]);
    read(&l1).await;
    first.fork.store(2, Ordering::SeqCst);
    read(&l1).await;
    assert_eq!((first.reads(), second.reads()), (1, 1));
    let Standing::Forked { height, block, others } = l1.endpoints()[0].standing.clone() else {
        panic!("{:?}", l1.endpoints())
    };
    assert_eq!((height, block), (12, keccak256("12 2")));
    assert_eq!(others, keccak256("12 1"));
    for node in [&second, &third] {
        node.up.store(false, Ordering::SeqCst);
    }
    let error = l1.balance(CONTRACT).await.unwrap_err();
    assert_eq!(error.severity(), Severity::Transient, "{error}");
    assert_eq!(first.reads(), 1);
    second.up.store(true, Ordering::SeqCst);
    first.fork.store(1, Ordering::SeqCst);
    read(&l1).await;
    assert_eq!(first.reads(), 2, "it has come over to the others");
}

/// A node that takes a look's question and never answers holds reads up only as long as a look may take.
#[tokio::test]
async fn silence_in_a_look_is_a_failure() {
    let (silent, silent_server) = Server::start(|_, _| Reply::Silence).await;
    let second = L1Node::start(20).await;
    let failover = FailoverConfig { check_timeout: Duration::from_millis(50), ..FailoverConfig::default() };
    let l1 = client_with(&[&silent, &second.url], failover);
    read(&l1).await;
    assert_eq!(silent_server.count("eth_getBalance"), 0);
    assert!(matches!(l1.endpoints()[0].standing, Standing::Failing { .. }), "{:?}", l1.endpoints());
}

/// SEQ-INV-12: what operators see of an endpoint has no key in it.
#[tokio::test]
async fn the_status_of_endpoints_hides_keys() {
    let second = L1Node::start(20).await;
    let l1 = client_with(
        &["http://user:secretpassword@127.0.0.1:1/secretkey", &second.url],
        FailoverConfig::default(),
    );
    read(&l1).await;
    let shown = serde_json::to_string(&l1.endpoints()).unwrap();
    assert!(shown.contains("\"standing\":\"failing\"") && shown.contains("\"head\":20"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

/// What one endpoint does not offer another one may, and it stays good for the rest.
#[tokio::test]
async fn a_missing_method_is_no_failure() {
    let (bare, bare_server) = Server::start(|method, _| match method {
        "eth_blobBaseFee" => Reply::Error(json!({ "code": -32601, "message": "the method does not exist" })),
        "eth_getBlockByNumber" => Reply::Result(block(16)),
        _ => Reply::Result(json!("0x7")),
    })
    .await;
    let (full, _) = Server::start(|method, _| match method {
        "eth_getBlockByNumber" => Reply::Result(block(16)),
        _ => Reply::Result(json!("0x9")),
    })
    .await;
    let l1 = client(&[&bare, &full]);
    assert_eq!(l1.blob_base_fee().await.unwrap(), 9);
    read(&l1).await;
    assert_eq!(bare_server.count("eth_getBalance"), 1);
}

/// A gap in an account's nonces is found with whichever method the node has, and no other transaction is taken for the
/// one that fills it.
#[tokio::test]
async fn what_a_pool_has() {
    let missing = || Reply::Error(json!({ "code": -32601, "message": "the method does not exist" }));
    let by_nonce = "eth_getTransactionBySenderAndNonce";
    let (url, server) = Server::start(move |method, params| match (method, params[1].as_str()) {
        (m, Some("0x10")) if m == by_nonce => {
            Reply::Result(json!({ "hash": HASH, "from": CONTRACT, "nonce": "0x10" }))
        }
        (m, Some("0x11")) if m == by_nonce => Reply::Result(Value::Null),
        (m, Some("0x12")) if m == by_nonce => {
            Reply::Result(json!({ "hash": HASH, "from": CONTRACT, "nonce": "0x10" }))
        }
        (m, Some("0x13")) if m == by_nonce => {
            Reply::Result(json!({ "hash": HASH, "from": Address::ZERO, "nonce": "0x13" }))
        }
        other => panic!("unexpected {other:?}"),
    })
    .await;
    let l1 = client(&[&url]);
    assert!(l1.pooled(CONTRACT, 16).await.unwrap());
    assert_eq!(server.params(by_nonce), json!([CONTRACT, "0x10"]));
    assert!(!l1.pooled(CONTRACT, 17).await.unwrap());
    for nonce in [18, 19] {
        let error = l1.pooled(CONTRACT, nonce).await.unwrap_err();
        assert!(matches!(error, L1Error::InvalidResponse { .. }), "{nonce}: {error:?}");
    }

    let (url, server) = Server::start(move |method, _| match method {
        "txpool_contentFrom" => {
            let tx = json!({ "hash": HASH });
            Reply::Result(json!({ "pending": { "16": tx, "160": tx }, "queued": { "18": tx } }))
        }
        _ => missing(),
    })
    .await;
    let l1 = client(&[&url]);
    for (nonce, there) in [(16, true), (17, false), (18, true), (160, true), (1, false)] {
        assert_eq!(l1.pooled(CONTRACT, nonce).await, Ok(there), "{nonce}");
    }
    assert_eq!(server.params("txpool_contentFrom"), json!([CONTRACT]));

    let (url, _) = Server::start(move |_, _| missing()).await;
    let error = client(&[&url]).pooled(CONTRACT, 16).await.unwrap_err();
    assert!(matches!(error, L1Error::MethodUnsupported { .. }), "{error:?}");
}

/// What the node says about the request itself is final: no other node is asked.
#[tokio::test]
async fn reverts_do_not_fail_over() {
    let (first, _) =
        Server::start(|_, _| Reply::Error(json!({ "code": 3, "message": "execution reverted" }))).await;
    let (second, server) = Server::start(|_, _| Reply::Result(json!("0x"))).await;
    let error = client(&[&first, &second]).call(CONTRACT, Bytes::new(), BlockTag::Latest).await.unwrap_err();
    assert!(matches!(error, L1Error::ExecutionReverted { .. }));
    assert_eq!(server.count("eth_call"), 0);
}

#[tokio::test]
async fn sends_go_on_until_one_accepts() {
    let raw = Bytes::from(vec![2, 9]);
    let hash = keccak256(&raw);
    let error = |code: i64, message: &'static str| {
        move |_: &str, _: &Value| Reply::Error(json!({ "code": code, "message": message }))
    };
    let (down, _) = Server::start(|_, _| Reply::Raw(502, Vec::new())).await;
    let (full, full_server) = Server::start(error(-32000, "txpool is full")).await;
    let (liar, _) = Server::start(|_, _| Reply::Result(json!(HASH))).await;
    let (good, _) = Server::start(move |_, _| Reply::Result(json!(hash))).await;
    assert_eq!(client(&[&down, &full, &liar, &good]).send_raw_transaction(&raw).await.unwrap(), hash);
    let refused = client(&[&down, &full, &liar]).send_raw_transaction(&raw).await.unwrap_err();
    assert!(matches!(refused, L1Error::PoolFull { .. }), "a judgement counts more than silence: {refused:?}");
    assert_eq!(full_server.count("eth_sendRawTransaction"), 2);
    let (known, _) = Server::start(error(-32000, "already known")).await;
    let known = client(&[&down, &known, &good]).send_raw_transaction(&raw).await.unwrap_err();
    assert!(matches!(known, L1Error::AlreadyKnown { .. }));
    let lied = client(&[&liar]).send_raw_transaction(&raw).await.unwrap_err();
    assert!(matches!(lied, L1Error::InvalidResponse { .. }), "{lied:?}");
}

/// An endpoint of another chain is never used, even when it only comes up later.
#[tokio::test]
async fn endpoints_of_another_chain() {
    let (right, _) = Server::start(|_, _| Reply::Result(json!("0x1"))).await;
    let (wrong, _) = Server::start(|_, _| Reply::Result(json!("0x2"))).await;
    let error = client(&[&right, &wrong]).ensure_chain(1).await.unwrap_err();
    assert_eq!(error, L1Error::WrongChain { expected: 1, actual: 2 });
    assert_eq!(error.severity(), Severity::Fatal);

    // Down at first, back with another chain behind the same URL.
    let up = Arc::new(AtomicUsize::new(0));
    let late_up = up.clone();
    let (late, late_server) =
        Server::start(move |method, _| match (late_up.load(Ordering::SeqCst), method) {
            (0, _) => Reply::Raw(503, Vec::new()),
            (_, "eth_chainId") => Reply::Result(json!("0x2")),
            _ => Reply::Result(json!("0x666")),
        })
        .await;
    let alive = Arc::new(AtomicUsize::new(1));
    let still_alive = alive.clone();
    let (first, _) = Server::start(move |_, _| match still_alive.load(Ordering::SeqCst) {
        0 => Reply::Raw(503, Vec::new()),
        _ => Reply::Result(json!("0x1")),
    })
    .await;
    let l1 = client(&[&first, &late]);
    l1.ensure_chain(1).await.unwrap();
    up.store(1, Ordering::SeqCst);
    alive.store(0, Ordering::SeqCst);
    let error = l1.balance(CONTRACT).await.unwrap_err();
    assert_eq!(error, L1Error::WrongChain { expected: 1, actual: 2 });
    assert_eq!(late_server.count("eth_getBalance"), 0);
}

#[test]
fn unusable_lists_of_endpoints() {
    let config = RpcConfig::default();
    for urls in [vec![], vec!["ftp://host".to_owned()], vec!["http://ok".to_owned(), "secret".to_owned()]] {
        let error = RpcL1Client::new(urls, config).unwrap_err();
        assert!(matches!(error, L1Error::InvalidEndpoint { .. }));
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(error.severity(), Severity::Fatal);
    }
    assert!(RpcL1Client::new(vec!["https://node.example/key".to_owned()], config).is_ok());
}
