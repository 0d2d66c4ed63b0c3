//! The proxy against a small real server and a real HTTP client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::disallowed_methods, reason = "the node lives and dies with the runtime of its test")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes as BodyBytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ensemble_chaos::{
    ChaosProxy, ChaosProxyHandle, Fault, FaultKind, FaultPlan, Length, LogFault, Stats, WrongType,
};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A node that counts: its head grows with every `grow`.
#[derive(Clone, Default)]
struct Node {
    seen: Arc<Mutex<Vec<(String, HeaderMap, Value)>>>,
    head: Arc<AtomicU64>,
}

impl Node {
    async fn start() -> (String, Self) {
        let node = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base?key=secretkey", listener.local_addr().unwrap());
        let app = Router::new().fallback(respond).with_state(node.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, node)
    }

    fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().iter().map(|(_, _, body)| body.clone()).collect()
    }

    fn result(&self, call: &Value) -> Value {
        let log = |index: u64| {
            json!({ "address": "0xcc", "topics": ["0x01"], "data": "0x", "blockNumber": "0x9", "blockHash": "0x3",
                "logIndex": format!("{index:#x}"), "removed": false })
        };
        match call["method"].as_str().unwrap() {
            "eth_chainId" => json!("0x1"),
            "net_version" => json!("1"),
            "eth_blockNumber" => json!(format!("{:#x}", self.head.load(Ordering::SeqCst))),
            "eth_getLogs" => json!([log(0), log(1)]),
            "eth_getBlockByNumber" => json!({ "number": "0x9", "hash": "0x3" }),
            _ => json!({ "echo": call["params"] }),
        }
    }
}

async fn respond(State(node): State<Node>, uri: Uri, headers: HeaderMap, body: BodyBytes) -> Response {
    let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    node.seen.lock().unwrap().push((uri.to_string(), headers, value.clone()));
    let answer = |call: &Value| json!({ "jsonrpc": "2.0", "id": call["id"], "result": node.result(call) });
    match value {
        Value::Array(calls) => axum::Json(calls.iter().map(answer).collect::<Value>()).into_response(),
        Value::Object(_) => ([("x-node", "yes")], axum::Json(answer(&value))).into_response(),
        _ => (StatusCode::IM_A_TEAPOT, "no JSON-RPC").into_response(),
    }
}

#[derive(Clone)]
struct User {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
}

/// What a client got: status and body, or why it got nothing.
type Got = Result<(StatusCode, Bytes), String>;

impl User {
    fn new(proxy: &ChaosProxyHandle) -> Self {
        let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Self { client, url: proxy.url() }
    }

    async fn send(&self, body: String) -> Got {
        let request = Request::post(&self.url).header("authorization", "Bearer secrettoken");
        let response = self.client.request(request.body(Full::new(body.into())).unwrap()).await;
        let response = response.map_err(|e| format!("{e:?}"))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| format!("body: {e:?}"))?;
        Ok((status, body.to_bytes()))
    }

    async fn raw(&self, method: &str, id: u64) -> Got {
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": [id] }).to_string()).await
    }

    async fn call(&self, method: &str) -> Value {
        let (status, body) = self.raw(method, 5).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        serde_json::from_slice(&body).unwrap()
    }

    async fn result(&self, method: &str) -> Value {
        let mut answer = self.call(method).await;
        assert_eq!(answer["id"], json!(5));
        answer["result"].take()
    }
}

async fn setup(plan: FaultPlan) -> (Node, ChaosProxyHandle, User) {
    let (url, node) = Node::start().await;
    let proxy = ChaosProxy::start(&url, plan).await.unwrap();
    let user = User::new(&proxy);
    (node, proxy, user)
}

fn faults(stats: &Stats, kind: FaultKind) -> u64 {
    stats.faults(kind)
}

/// Without faults nothing is changed: path, query, headers with the token, status, batches, bodies that are no JSON.
#[tokio::test]
async fn passes_everything_on() {
    let (node, proxy, user) = setup(FaultPlan::none()).await;
    assert_eq!(user.result("x").await, json!({ "echo": [5] }));
    let (path, headers, body) = node.seen.lock().unwrap()[0].clone();
    assert_eq!(path, "/base?key=secretkey");
    assert_eq!(headers["authorization"], "Bearer secrettoken");
    assert_eq!(headers["host"].to_str().unwrap(), node_host(&proxy), "the host is that of the node");
    assert_eq!(body, json!({ "jsonrpc": "2.0", "id": 5, "method": "x", "params": [5] }));

    let batch = json!([{ "id": 1, "method": "a", "params": 1 }, { "id": 2, "method": "b", "params": 2 }]);
    let (status, body) = user.send(batch.to_string()).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    let answers: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&answers[0]["result"]["echo"], &answers[1]["id"]), (&json!(1), &json!(2)));

    let got = user.send("no JSON".into()).await.unwrap();
    assert_eq!(got, (StatusCode::IM_A_TEAPOT, Bytes::from_static(b"no JSON-RPC")));

    let shown = format!("{proxy:?}");
    let stats = proxy.shutdown().await;
    assert_eq!((stats.requests("x"), stats.requests("a"), stats.requests("(other)")), (1, 1, 1));
    assert_eq!((stats.total_faults(), stats.target_failures), (0, 0));
    assert!(stats.bytes_to_clients > 0 && stats.bytes_to_clients == stats.bytes_from_target);
    // SEQ-INV-12
    assert!(!shown.contains("secretkey"), "{shown}");
}

fn node_host(proxy: &ChaosProxyHandle) -> String {
    let shown = format!("{proxy:?}");
    shown.split("target: ").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

#[tokio::test]
async fn answers_of_the_proxy_itself() {
    let (node, proxy, user) = setup(FaultPlan::none()).await;
    proxy.script("x", 1, Fault::Status(503));
    assert_eq!(user.raw("x", 1).await.unwrap(), (StatusCode::SERVICE_UNAVAILABLE, Bytes::new()));
    proxy.script("x", 1, Fault::rate_limited());
    let error = user.call("x").await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!(5), &json!(-32005)));
    proxy.script("x", 1, Fault::CutRequest);
    let cut = user.raw("x", 1).await.unwrap_err();
    assert!(cut.contains("IncompleteMessage"), "{cut}");
    assert_eq!(node.seen().len(), 0, "the node saw none of them");
    assert_eq!(user.result("x").await, json!({ "echo": [5] }));
    let stats = proxy.shutdown().await;
    assert_eq!((stats.requests("x"), stats.delivered("x"), stats.faults_of("x")), (4, 1, 3));
}

/// The node did it, and the client does not know.
#[tokio::test]
async fn lost_answers() {
    let (node, proxy, user) = setup(FaultPlan::none()).await;
    proxy.script("send", 1, Fault::LoseAnswer);
    assert!(user.raw("send", 1).await.is_err());
    assert_eq!(node.seen().len(), 1);
    proxy.script("send", 1, Fault::NeverAnswer);
    assert!(timeout(Duration::from_millis(100), user.raw("send", 2)).await.is_err());
    assert_eq!(node.seen().len(), 2);
    proxy.script("send", 1, Fault::Duplicate);
    assert_eq!(user.result("send").await, json!({ "echo": [5] }));
    let seen = node.seen();
    assert_eq!((seen.len(), &seen[2]), (4, &seen[3]));
    let stats = proxy.shutdown().await;
    assert_eq!((stats.requests("send"), stats.delivered("send")), (3, 4));
    for kind in [FaultKind::LoseAnswer, FaultKind::NeverAnswer, FaultKind::Duplicate] {
        assert_eq!(faults(&stats, kind), 1, "{kind}");
    }
}

#[tokio::test]
async fn answers_cut_in_the_middle() {
    let (_node, proxy, user) = setup(FaultPlan::none()).await;
    for length in [Length::Whole, Length::Unknown] {
        proxy.script("x", 1, Fault::CutAnswer { percent: 50, length });
        let error = user.raw("x", 1).await.unwrap_err();
        assert!(error.starts_with("body: "), "the head came, the body did not: {error}");
    }
    proxy.script("x", 1, Fault::CutAnswer { percent: 50, length: Length::OfTheRest });
    let (status, half) = user.raw("x", 5).await.unwrap();
    let (_, whole) = user.raw("x", 5).await.unwrap();
    assert_eq!((status, half.len()), (StatusCode::OK, whole.len() / 2));
    assert_eq!(half, whole[..half.len()]);
}

/// A part of a cut answer is really sent: the client has bytes in its hand when the connection ends.
#[tokio::test]
async fn the_part_before_the_cut_arrives() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (_node, proxy, _) = setup(FaultPlan::none()).await;
    for (length, header) in
        [(Length::Whole, "content-length: "), (Length::Unknown, "transfer-encoding: chunked")]
    {
        proxy.script("x", 1, Fault::CutAnswer { percent: 50, length });
        let mut socket = TcpStream::connect(proxy.address()).await.unwrap();
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#;
        let head = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        socket.read_to_end(&mut got).await.unwrap();
        let text = String::from_utf8(got).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains(header), "{text}");
        assert!(text.contains(r#""jsonrpc"#) || text.contains(r#""id""#), "{text}");
        assert!(!text.contains(r#"{"echo":[]}"#), "{text}");
    }
}

#[tokio::test]
async fn results_made_wrong() {
    let (_node, proxy, user) = setup(FaultPlan::none()).await;
    proxy.script("eth_getBlockByNumber", 1, Fault::WrongType(WrongType::Null));
    assert_eq!(user.result("eth_getBlockByNumber").await, Value::Null);
    proxy.script("eth_getBlockByNumber", 1, Fault::WrongType(WrongType::Without("hash".into())));
    assert_eq!(user.result("eth_getBlockByNumber").await, json!({ "number": "0x9" }));
    proxy.script("eth_getLogs", 1, Fault::Logs(LogFault::Twice));
    assert_eq!(user.result("eth_getLogs").await.as_array().unwrap().len(), 3);
    proxy.script("eth_chainId", 1, Fault::WrongChain(0xbad));
    assert_eq!(user.result("eth_chainId").await, json!("0xbad"));
    proxy.script("x", 1, Fault::Result(json!([1, 2])));
    assert_eq!(user.result("x").await, json!([1, 2]));
    proxy.script("x", 1, Fault::WrongId);
    assert_ne!(user.call("x").await["id"], json!(5));
    for fault in [Fault::InvalidJson, Fault::InvalidUtf8] {
        proxy.script("x", 1, fault);
        let (_, body) = user.raw("x", 5).await.unwrap();
        assert!(serde_json::from_slice::<Value>(&body).is_err());
    }
    // does not apply: passes, and is not counted
    proxy.script("x", 1, Fault::WrongChain(1));
    assert_eq!(user.result("x").await, json!({ "echo": [5] }));
    let stats = proxy.shutdown().await;
    assert_eq!((stats.total_faults(), stats.faults(FaultKind::WrongChain)), (8, 1));
}

/// In a batch every result is made wrong, each under its own id.
#[tokio::test]
async fn batches_are_faulted_as_one() {
    let (_node, proxy, user) = setup(FaultPlan::none()).await;
    let batch = json!([{ "id": 1, "method": "a" }, { "id": 2, "method": "eth_chainId" }]).to_string();
    let send = async |fault| {
        proxy.script("eth_chainId", 1, fault);
        serde_json::from_slice::<Value>(&user.send(batch.clone()).await.unwrap().1).unwrap()
    };
    let error = send(Fault::internal_error()).await;
    assert_eq!((&error[0]["id"], &error[1]["error"]["code"]), (&json!(1), &json!(-32603)));
    let chain = send(Fault::WrongChain(2)).await;
    assert_eq!((&chain[1]["result"], chain[0]["result"].is_object()), (&json!("0x2"), true));
    assert_eq!(proxy.stats().faults_of("(batch)"), 2);
}

#[tokio::test]
async fn stale_answers_are_older_ones() {
    let (node, proxy, user) = setup(FaultPlan::none()).await;
    proxy.script("eth_blockNumber", 1, Fault::Stale(1));
    assert_eq!(user.result("eth_blockNumber").await, json!("0x0"), "there is no older one yet");
    assert_eq!(proxy.stats().total_faults(), 0);
    for head in 1..=5 {
        node.head.store(head, Ordering::SeqCst);
        assert_eq!(user.result("eth_blockNumber").await, json!(format!("{head:#x}")));
    }
    proxy.script("eth_blockNumber", 1, Fault::Stale(2));
    assert_eq!(user.result("eth_blockNumber").await, json!("0x3"));
    assert_eq!(user.result("eth_blockNumber").await, json!("0x5"));
    assert_eq!(proxy.stats().faults(FaultKind::Stale), 1);
}

/// The first request waits until another is answered, and both get what is the other's, id included.
#[tokio::test]
async fn answers_are_swapped() {
    let (node, proxy, user) = setup(FaultPlan::none()).await;
    proxy.script("x", 1, Fault::Swap(Duration::from_secs(60)));
    let first = tokio::spawn({
        let user = user.clone();
        async move { user.raw("x", 1).await }
    });
    while node.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    // the node has the first one; ask until the exchange has happened
    let mut second = user.raw("y", 2).await.unwrap();
    while proxy.stats().faults(FaultKind::Swap) == 0 {
        second = user.raw("y", 2).await.unwrap();
    }
    let id = |body: &Bytes| serde_json::from_slice::<Value>(body).unwrap()["id"].clone();
    assert_eq!(id(&first.await.unwrap().unwrap().1), json!(2));
    assert_eq!(id(&second.1), json!(1));
    assert_eq!(proxy.stats().faults(FaultKind::Swap), 2);
    proxy.script("x", 1, Fault::Swap(Duration::from_millis(1)));
    assert_eq!(user.result("x").await, json!({ "echo": [5] }), "nobody to swap with");
}

/// A delayed answer is overtaken by a later request.
#[tokio::test]
async fn delayed_answers_are_overtaken() {
    let (node, proxy, user) = setup(FaultPlan::none()).await;
    let day = Duration::from_secs(86_400);
    proxy.script("x", 1, Fault::DelayAnswer(day..=day));
    let slow = user.raw("x", 1);
    tokio::pin!(slow);
    tokio::select! {
        got = &mut slow => panic!("it was to be late: {got:?}"),
        got = async {
            while node.seen().is_empty() {
                tokio::task::yield_now().await;
            }
            user.raw("y", 2).await
        } => assert_eq!(got.unwrap().0, StatusCode::OK),
    }
    proxy.script("y", 1, Fault::DelayRequest(day..=day));
    assert!(timeout(Duration::from_millis(50), user.raw("y", 3)).await.is_err());
    assert_eq!(node.seen().len(), 2, "a delayed request has not arrived");
}

#[tokio::test]
async fn enormous_answers_are_as_long_as_they_say() {
    let (_node, proxy, user) = setup(FaultPlan::none()).await;
    for announced in [true, false] {
        proxy.script("x", 1, Fault::Enormous { bytes: 1_000_000, announced });
        assert_eq!(user.result("x").await.as_str().map(str::len), Some(1_000_000));
    }
    assert!(proxy.stats().bytes_to_clients > 2_000_000);
}

/// Down is "connection refused", for open connections too, and the port is the same afterwards.
#[tokio::test]
async fn outages() {
    let (_node, proxy, user) = setup(FaultPlan::none()).await;
    assert_eq!(user.result("x").await, json!({ "echo": [5] }));
    let refused = async || {
        let error = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    };
    for _ in 0..20 {
        proxy.go_down().await.unwrap();
        refused().await;
        assert!(user.raw("x", 1).await.is_err());
        proxy.go_down().await.unwrap();
        proxy.come_up().await.unwrap();
        proxy.come_up().await.unwrap();
        assert_eq!(user.result("x").await, json!({ "echo": [5] }));
    }
    // planned: comes back by itself
    proxy.script("x", 1, Fault::Down(Duration::from_millis(30)));
    assert!(user.raw("x", 1).await.is_err());
    while user.raw("x", 1).await.is_err() {
        tokio::task::yield_now().await;
    }
    // planned and then told: stays down until told otherwise
    proxy.script("x", 1, Fault::Down(Duration::from_secs(86_400)));
    assert!(user.raw("x", 1).await.is_err());
    proxy.go_down().await.unwrap();
    refused().await;
    proxy.come_up().await.unwrap();
    assert_eq!(user.result("x").await, json!({ "echo": [5] }));
    let address = proxy.address();
    proxy.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
}

/// A node that is not there looks like a cut connection, and the proxy goes on when it comes.
#[tokio::test]
async fn a_node_that_is_not_there() {
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nowhere.local_addr().unwrap());
    drop(nowhere);
    let proxy = ChaosProxy::start(&url, FaultPlan::none()).await.unwrap();
    assert!(User::new(&proxy).raw("x", 1).await.is_err());
    let stats = proxy.shutdown().await;
    assert_eq!((stats.target_failures, stats.delivered("x"), stats.total_faults()), (1, 0, 0));
}

/// The same seed and the same requests: the same faults, through the proxy too.
#[tokio::test]
async fn a_seed_is_reproducible() {
    const SEED: u64 = 11;
    let run = async |seed: u64| {
        let plan = FaultPlan::new(seed)
            .fault("a*", 0.3, Fault::Status(500))
            .fault("*", 0.2, Fault::rate_limited())
            .fault("*", 0.1, Fault::CutRequest);
        let (_node, proxy, user) = setup(plan).await;
        let mut outcomes = Vec::new();
        for n in 0..120 {
            outcomes.push(match user.raw(["a", "ab", "b"][n % 3], 1).await {
                Ok((StatusCode::OK, body)) => {
                    if body.windows(5).any(|w| w == b"error") {
                        'e'
                    } else {
                        '.'
                    }
                }
                Ok(_) => 's',
                Err(_) => 'c',
            });
        }
        (outcomes.into_iter().collect::<String>(), proxy.shutdown().await.total_faults())
    };
    let (first, again, other) = (run(SEED).await, run(SEED).await, run(SEED + 1).await);
    assert_eq!(first, again, "seed {SEED}");
    assert_ne!(first.0, other.0);
    for outcome in ['e', '.', 's', 'c'] {
        assert!(first.0.contains(outcome), "seed {SEED}: {}", first.0);
    }
}

/// Many clients at once: nothing is lost, and every request is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once() {
    const SEED: u64 = 3;
    let (_node, proxy, user) =
        setup(FaultPlan::l1(SEED, 1.0).latency("*", Duration::ZERO..=Duration::ZERO)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8u64 {
        let user = user.clone();
        tasks.spawn(async move {
            let mut good = 0;
            for n in 0..40 {
                let method = ["eth_chainId", "eth_blockNumber", "eth_getLogs", "other"][n % 4];
                let got = timeout(Duration::from_millis(500), user.raw(method, task)).await;
                good += u32::from(matches!(got, Ok(Ok((StatusCode::OK, _)))));
            }
            good
        });
    }
    let good: u32 = tasks.join_all().await.into_iter().sum();
    let stats = proxy.shutdown().await;
    assert!(good > 200, "seed {SEED}: whoever asks gets answers, {good} of 320: {stats:?}");
    assert!(stats.total_faults() > 10, "seed {SEED}: {stats:?}");
}
