//! Every method of the JSON-RPC client × every fault of a bad provider (SEQ-INV-11): a typed error of the right severity,
//! never a panic, bounded memory, and the next good answer works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::disallowed_methods, reason = "the node lives and dies with the runtime of its test")]

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use axum::Router;
use axum::response::{IntoResponse, Response};
use ensemble_chaos::{
    ChaosProxy, ChaosProxyHandle, Fault, FaultKind, FaultPlan, Length, LogFault, WrongType,
};
use ensemble_error::{Classify, Severity};
use ensemble_l1::{BlockTag, FailoverConfig, L1Client, L1Error, LogFilter, RpcConfig, RpcL1Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const LIMIT: u32 = 20_000;
const CHAIN: u64 = 31_337;
const HASH: B256 = B256::repeat_byte(0x11);
const CONTRACT: Address = Address::repeat_byte(0xcc);
const FILTER: LogFilter =
    LogFilter { address: CONTRACT, topic0: B256::repeat_byte(1), from_block: 10, to_block: 20 };

/// Every method that the client has, by the name that it has on the wire.
const METHODS: [&str; 15] = [
    "eth_chainId",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getLogs",
    "eth_call",
    "eth_estimateGas",
    "eth_getTransactionCount",
    "eth_getBalance",
    "eth_getCode",
    "eth_feeHistory",
    "eth_blobBaseFee",
    "eth_sendRawTransaction",
    "eth_getTransactionReceipt",
    "eth_getTransactionByHash",
    "eth_getTransactionBySenderAndNonce",
];

fn transaction() -> Bytes {
    Bytes::from(vec![2, 1, 2, 3])
}

fn log(index: u64) -> Value {
    json!({
        "address": CONTRACT, "topics": [FILTER.topic0, B256::repeat_byte(7)], "data": "0x01", "blockNumber": "0xc",
        "blockHash": HASH, "transactionHash": HASH, "transactionIndex": "0x0", "logIndex": format!("{index:#x}"),
        "removed": false
    })
}

/// What a good node answers.
fn good(method: &str) -> Value {
    match method {
        "eth_chainId" => json!(format!("{CHAIN:#x}")),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => json!({
            "number": "0x10", "hash": HASH, "parentHash": B256::repeat_byte(9), "timestamp": "0x65",
            "baseFeePerGas": "0x7", "gasLimit": "0x1c9c380", "transactions": []
        }),
        "eth_getLogs" => json!([log(0), log(1)]),
        "eth_call" | "eth_getCode" => json!("0x2a"),
        "eth_feeHistory" => json!({
            "oldestBlock": "0x1", "baseFeePerGas": ["0x5", "0x6"], "reward": [["0x1"]],
            "baseFeePerBlobGas": ["0x1", "0x1"]
        }),
        "eth_sendRawTransaction" => json!(keccak256(transaction())),
        "eth_getTransactionReceipt" => json!({
            "status": "0x1", "transactionHash": HASH, "blockNumber": "0x10", "blockHash": HASH, "gasUsed": "0x5208",
            "effectiveGasPrice": "0x7", "contractAddress": null, "logs": [log(0)]
        }),
        "eth_getTransactionByHash" => json!({ "hash": HASH, "from": CONTRACT, "to": null, "input": "0x" }),
        "eth_getTransactionBySenderAndNonce" => json!({ "hash": HASH, "from": CONTRACT, "nonce": "0x10" }),
        "eth_estimateGas" | "eth_getTransactionCount" | "eth_getBalance" | "eth_blobBaseFee" => json!("0x10"),
        other => panic!("unexpected {other}"),
    }
}

async fn respond(axum::Json(request): axum::Json<Value>) -> Response {
    let result = good(request["method"].as_str().unwrap());
    axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

/// A good node behind a proxy without a plan.
async fn node() -> ChaosProxyHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(respond)).await.unwrap() });
    ChaosProxy::start(&url, FaultPlan::none()).await.unwrap()
}

/// Who fails is good again at once, so that every fault meets an endpoint in use.
fn restless() -> FailoverConfig {
    FailoverConfig { check_every: Duration::ZERO, cool_down: Duration::ZERO, ..FailoverConfig::default() }
}

fn client(proxies: &[&ChaosProxyHandle], timeout: Duration) -> RpcL1Client {
    let config = RpcConfig { timeout, max_response_bytes: LIMIT, failover: restless() };
    RpcL1Client::new(proxies.iter().map(|proxy| proxy.url()).collect(), config).unwrap()
}

const LONG: Duration = Duration::from_secs(60);

/// One call of this method; what a good node answers must come out of it.
async fn call(l1: &RpcL1Client, method: &str) -> Result<Option<()>, L1Error> {
    let none_or = |there: bool| there.then_some(());
    match method {
        "eth_chainId" => l1.chain_id().await.map(|id| none_or(id == CHAIN)),
        "eth_getBlockByNumber" => l1.block(BlockTag::Number(16)).await.map(|b| b.map(|_| ())),
        "eth_getBlockByHash" => l1.block(BlockTag::Hash(HASH)).await.map(|b| b.map(|_| ())),
        "eth_getLogs" => l1.logs(&FILTER).await.map(|logs| none_or(logs.len() == 2)),
        "eth_call" => {
            l1.call(CONTRACT, Bytes::new(), BlockTag::Latest).await.map(|out| none_or(out.as_ref() == [0x2a]))
        }
        "eth_estimateGas" => {
            let gas = l1.estimate_gas(CONTRACT, None, U256::ZERO, Bytes::new(), &[]).await;
            gas.map(|gas| none_or(gas == 16))
        }
        "eth_getTransactionCount" => l1.transaction_count(CONTRACT, true).await.map(|n| none_or(n == 16)),
        "eth_getBalance" => l1.balance(CONTRACT).await.map(|wei| none_or(wei == U256::from(16))),
        "eth_getCode" => l1.code(CONTRACT).await.map(|code| none_or(code.as_ref() == [0x2a])),
        "eth_feeHistory" => l1.fee_history(1, 50.0).await.map(|h| none_or(h.rewards == [1])),
        "eth_blobBaseFee" => l1.blob_base_fee().await.map(|fee| none_or(fee == 16)),
        "eth_sendRawTransaction" => l1
            .send_raw_transaction(&transaction())
            .await
            .map(|hash| none_or(hash == keccak256(transaction()))),
        "eth_getTransactionReceipt" => l1.receipt(HASH).await.map(|receipt| receipt.map(|_| ())),
        "eth_getTransactionByHash" => l1.transaction(HASH).await.map(|tx| tx.map(|_| ())),
        "eth_getTransactionBySenderAndNonce" => l1.pooled(CONTRACT, 16).await.map(none_or),
        other => panic!("no call for {other}"),
    }
}

/// What a fault must come to: the value a good node would give, the value "there is none", or an error.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Good,
    Nothing,
    Error(&'static str, Severity),
}

const TRANSPORT: Outcome = Outcome::Error("Transport", Severity::Transient);
const INVALID: Outcome = Outcome::Error("InvalidResponse", Severity::Transient);
const LIMITED: Outcome = Outcome::Error("RateLimited", Severity::Transient);
const RPC: Outcome = Outcome::Error("Rpc", Severity::Transient);

fn outcome(result: &Result<Option<()>, L1Error>) -> Outcome {
    match result {
        Ok(Some(())) => Outcome::Good,
        Ok(None) => Outcome::Nothing,
        Err(error) => {
            let name = variant(error);
            assert!(error.to_string().len() < 1500, "the text of an error is bounded");
            Outcome::Error(name, error.severity())
        }
    }
}

fn variant(error: &L1Error) -> &'static str {
    match error {
        L1Error::Transport { .. } => "Transport",
        L1Error::Timeout { .. } => "Timeout",
        L1Error::InvalidResponse { .. } => "InvalidResponse",
        L1Error::RateLimited { .. } => "RateLimited",
        L1Error::UnknownBlock { .. } => "UnknownBlock",
        L1Error::ResponseTooLarge { .. } => "ResponseTooLarge",
        L1Error::RangeTooLarge { .. } => "RangeTooLarge",
        L1Error::WrongChain { .. } => "WrongChain",
        L1Error::Rpc { .. } => "Rpc",
        other => panic!("{other:?} is not what any of these faults mean"),
    }
}

fn is_one_of(method: &str, methods: &[&str]) -> bool {
    methods.contains(&method)
}

/// What `null` means there: the node has none.
const MAY_BE_NULL: &[&str] = &[
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getTransactionReceipt",
    "eth_getTransactionByHash",
    "eth_getTransactionBySenderAndNonce",
];

struct Case {
    fault: Fault,
    /// How often the node gets the request, once the client has asked once.
    delivered: u64,
    expected: fn(&str) -> Outcome,
}

fn case(fault: Fault, delivered: u64, expected: fn(&str) -> Outcome) -> Case {
    Case { fault, delivered, expected }
}

fn cases() -> Vec<Case> {
    let cut = |percent, length| Fault::CutAnswer { percent, length };
    let too_large = |method: &str| match method {
        "eth_getLogs" => Outcome::Error("RangeTooLarge", Severity::Recoverable),
        _ => Outcome::Error("ResponseTooLarge", Severity::Recoverable),
    };
    vec![
        case(Fault::Status(500), 0, |_| TRANSPORT),
        case(Fault::Status(503), 0, |_| TRANSPORT),
        case(Fault::Status(404), 0, |_| TRANSPORT),
        case(Fault::Status(429), 0, |_| LIMITED),
        case(Fault::rate_limited(), 0, |_| LIMITED),
        case(Fault::internal_error(), 0, |_| RPC),
        case(Fault::header_not_found(), 0, |method| match method {
            "eth_sendRawTransaction" => RPC,
            "eth_getBlockByNumber" | "eth_getBlockByHash" => Outcome::Nothing,
            _ => Outcome::Error("UnknownBlock", Severity::Transient),
        }),
        case(Fault::CutRequest, 0, |_| TRANSPORT),
        case(Fault::LoseAnswer, 1, |_| TRANSPORT),
        case(Fault::Duplicate, 2, |_| Outcome::Good),
        case(cut(0, Length::Whole), 1, |_| TRANSPORT),
        case(cut(50, Length::Whole), 1, |_| TRANSPORT),
        case(cut(99, Length::Unknown), 1, |_| TRANSPORT),
        case(cut(0, Length::OfTheRest), 1, |_| INVALID),
        case(cut(50, Length::OfTheRest), 1, |_| INVALID),
        case(cut(99, Length::OfTheRest), 1, |_| INVALID),
        case(Fault::InvalidJson, 1, |_| INVALID),
        case(Fault::InvalidUtf8, 1, |_| INVALID),
        case(Fault::WrongId, 1, |_| INVALID),
        case(Fault::Enormous { bytes: 64 << 20, announced: true }, 1, too_large),
        case(Fault::Enormous { bytes: 64 << 20, announced: false }, 1, too_large),
        case(Fault::WrongType(WrongType::Null), 1, |method| {
            if is_one_of(method, MAY_BE_NULL) { Outcome::Nothing } else { INVALID }
        }),
        case(Fault::WrongType(WrongType::Text), 1, |_| INVALID),
        case(Fault::WrongType(WrongType::Number), 1, |_| INVALID),
        case(Fault::WrongType(WrongType::EmptyObject), 1, |_| INVALID),
        case(Fault::WrongType(WrongType::EmptyList), 1, |method| match method {
            "eth_getLogs" => Outcome::Nothing,
            _ => INVALID,
        }),
    ]
}

/// SEQ-INV-11: each method with each fault, and after each fault the next call is good. The client asks once: what it
/// does not know the outcome of, it does not repeat behind the caller's back.
#[tokio::test]
async fn every_method_meets_every_fault() {
    let proxy = node().await;
    let l1 = client(&[&proxy], LONG);
    for method in METHODS {
        assert_eq!(outcome(&call(&l1, method).await), Outcome::Good, "{method} without a fault");
        for Case { fault, delivered, expected } in cases() {
            let before = proxy.stats();
            proxy.script(method, 1, fault.clone());
            let result = call(&l1, method).await;
            assert_eq!(outcome(&result), expected(method), "{method}, {fault:?}: {result:?}");
            let after = proxy.stats();
            assert_eq!(after.requests(method) - before.requests(method), 1, "{method}, {fault:?}");
            assert_eq!(after.delivered(method) - before.delivered(method), delivered, "{method}, {fault:?}");
            assert_eq!(after.faults_of(method) - before.faults_of(method), 1, "{method}, {fault:?}");
            assert_eq!(outcome(&call(&l1, method).await), Outcome::Good, "{method} after {fault:?}");
        }
    }
}

/// A node that takes the request and never answers, before and in the middle of the answer.
#[tokio::test]
async fn every_method_meets_silence() {
    let proxy = node().await;
    let (impatient, patient) = (client(&[&proxy], Duration::from_millis(150)), client(&[&proxy], LONG));
    for method in METHODS {
        proxy.script(method, 1, Fault::NeverAnswer);
        let result = call(&impatient, method).await;
        let expected = Outcome::Error("Timeout", Severity::Transient);
        assert_eq!(outcome(&result), expected, "{method}: {result:?}");
        // on a busy machine the time may be over before the request is there
        proxy.clear_script();
        assert_eq!(outcome(&call(&patient, method).await), Outcome::Good, "{method}");
    }
}

#[tokio::test]
async fn every_method_meets_an_outage() {
    let proxy = node().await;
    let l1 = client(&[&proxy], LONG);
    for method in METHODS {
        assert_eq!(outcome(&call(&l1, method).await), Outcome::Good, "{method}");
        proxy.go_down().await.unwrap();
        let result = call(&l1, method).await;
        assert_eq!(outcome(&result), TRANSPORT, "{method}: {result:?}");
        proxy.come_up().await.unwrap();
        assert_eq!(outcome(&call(&l1, method).await), Outcome::Good, "{method}");
    }
}

/// Every field that the client needs is missed, and none that it does not.
#[tokio::test]
async fn answers_without_a_field() {
    let proxy = node().await;
    let l1 = client(&[&proxy], LONG);
    let block = ["number", "hash", "parentHash", "timestamp", "baseFeePerGas", "gasLimit"];
    let log = ["address", "topics", "data", "blockNumber", "blockHash", "transactionHash", "logIndex"];
    let receipt = ["transactionHash", "status", "gasUsed", "effectiveGasPrice", "logs"];
    for (method, fields) in [
        ("eth_getBlockByNumber", &block[..]),
        ("eth_getBlockByHash", &block),
        ("eth_getLogs", &log),
        ("eth_getTransactionReceipt", &receipt),
        ("eth_feeHistory", &["baseFeePerGas"]),
        ("eth_getTransactionBySenderAndNonce", &["from", "nonce"]),
    ] {
        for field in fields {
            proxy.script(method, 1, Fault::WrongType(WrongType::Without((*field).to_owned())));
            let result = call(&l1, method).await;
            assert_eq!(outcome(&result), INVALID, "{method} without {field}: {result:?}");
        }
        assert_eq!(outcome(&call(&l1, method).await), Outcome::Good, "{method}");
    }
    // a receipt without a block is of a transaction that is still pending
    for field in ["blockNumber", "blockHash"] {
        proxy.script("eth_getTransactionReceipt", 1, Fault::WrongType(WrongType::Without(field.to_owned())));
        assert_eq!(l1.receipt(HASH).await.unwrap(), None, "{field}");
    }
    for (method, field) in
        [("eth_getTransactionReceipt", "contractAddress"), ("eth_feeHistory", "oldestBlock")]
    {
        proxy.script(method, 1, Fault::WrongType(WrongType::Without(field.to_owned())));
        assert_eq!(outcome(&call(&l1, method).await), Outcome::Good, "{method} without {field}");
    }
    assert_eq!(proxy.scripted(), 0);
}

/// Logs that were not asked for are no deposits (SEQ-INV-1, SEQ-INV-2). What one answer cannot show, a log that is
/// missing or there again under another index, is the watcher's to find by the ids of the deposits.
#[tokio::test]
async fn logs_made_wrong() {
    let proxy = node().await;
    let l1 = client(&[&proxy], LONG);
    for (fault, refused) in [
        (LogFault::OtherAddress, true),
        (LogFault::OtherTopic, true),
        (LogFault::FiveTopics, true),
        (LogFault::OtherBlock, true),
        (LogFault::NoBlock, true),
        (LogFault::Twice, true),
        (LogFault::Removed, false),
        (LogFault::Again, false),
        (LogFault::Missing, false),
        (LogFault::Reversed, false),
    ] {
        proxy.script("eth_getLogs", 1, Fault::Logs(fault));
        let result = l1.logs(&FILTER).await;
        match (&result, refused) {
            (Err(error), true) => {
                assert_eq!((variant(error), error.severity()), ("InvalidResponse", Severity::Transient));
            }
            (Ok(logs), false) => {
                let removed = logs.iter().map(|log| log.removed).collect::<Vec<_>>();
                let expected: &[bool] = match fault {
                    LogFault::Removed => &[false, true],
                    LogFault::Again => &[false, false, false],
                    LogFault::Missing => &[false],
                    _ => &[false, false],
                };
                assert_eq!(removed, expected, "{fault:?}");
                assert!(logs.is_sorted_by_key(|log| (log.block_number, log.log_index)), "{fault:?}");
            }
            (_, _) => panic!("{fault:?}: {result:?}"),
        }
        assert_eq!(l1.logs(&FILTER).await.unwrap().len(), 2, "after {fault:?}");
    }
    assert_eq!(proxy.stats().faults(FaultKind::Logs), 10);
}

/// SEQ-INV-11: of an answer without end, no more is read than the limit and what the operating system has buffered; of
/// one that says how long it is, nothing.
#[tokio::test]
async fn enormous_answers_are_not_read() {
    // the operating system's on both sides, and that of the HTTP server
    const BUFFERS: u64 = 2 << 20;
    const ENORMOUS: u64 = 1 << 30;
    for announced in [true, false] {
        let proxy = node().await;
        let l1 = client(&[&proxy], LONG);
        proxy.script("*", 1, Fault::Enormous { bytes: ENORMOUS, announced });
        let error = l1.code(CONTRACT).await.unwrap_err();
        assert_eq!(error, L1Error::ResponseTooLarge { method: "eth_getCode", limit: LIMIT });
        assert_eq!(outcome(&call(&l1, "eth_getCode").await), Outcome::Good);
        let stats = proxy.shutdown().await;
        assert!(stats.bytes_to_clients < BUFFERS, "announced: {announced}, {} bytes", stats.bytes_to_clients);
        println!("announced: {announced}: {} bytes left the proxy", stats.bytes_to_clients);
    }
}

/// An endpoint that turns out to serve another chain is never used; one that cannot say which it serves is not used yet.
#[tokio::test]
async fn another_chain() {
    let proxy = node().await;
    let l1 = client(&[&proxy], LONG);
    proxy.script("eth_chainId", 1, Fault::WrongChain(1));
    let error = l1.ensure_chain(CHAIN).await.unwrap_err();
    assert_eq!(error, L1Error::WrongChain { expected: CHAIN, actual: 1 });
    assert_eq!(error.severity(), Severity::Fatal);
    // Bound to its chain, and the endpoint is not checked yet: no read before the check is good.
    for fault in
        [Fault::Status(503), Fault::LoseAnswer, Fault::InvalidJson, Fault::WrongType(WrongType::Null)]
    {
        proxy.script("eth_chainId", 1, fault.clone());
        let error = l1.balance(CONTRACT).await.unwrap_err();
        assert_eq!(error.severity(), Severity::Transient, "{fault:?}: {error}");
    }
    assert_eq!(proxy.stats().requests("eth_getBalance"), 0);
    assert_eq!(outcome(&call(&l1, "eth_getBalance").await), Outcome::Good);
    l1.ensure_chain(CHAIN).await.unwrap();
}

/// Two answers change places: neither is taken for the other's, although both are good answers.
#[tokio::test]
async fn swapped_answers() {
    let proxy = node().await;
    let l1 = client(&[&proxy], LONG);
    proxy.script("eth_getBalance", 1, Fault::Swap(LONG));
    let second = async {
        while proxy.stats().delivered("eth_getBalance") == 0 {
            tokio::task::yield_now().await;
        }
        // the first one waits by now, or will at once: ask until it got an answer of ours
        loop {
            let result = call(&l1, "eth_blobBaseFee").await;
            if proxy.stats().faults(FaultKind::Swap) > 0 {
                return result;
            }
        }
    };
    let (first, second) = tokio::join!(call(&l1, "eth_getBalance"), second);
    assert_eq!((outcome(&first), outcome(&second)), (INVALID, INVALID), "{first:?} {second:?}");
    assert_eq!(outcome(&call(&l1, "eth_getBalance").await), Outcome::Good);
}

/// With a second endpoint that works, a read is good whatever the first one does.
#[tokio::test]
async fn reads_survive_a_bad_endpoint() {
    let endpoints = [node().await, node().await];
    let l1 = client(&[&endpoints[0], &endpoints[1]], LONG);
    for method in METHODS.into_iter().filter(|method| *method != "eth_sendRawTransaction") {
        for fault in [
            Fault::Status(503),
            Fault::CutRequest,
            Fault::LoseAnswer,
            Fault::cut_in_the_middle(),
            Fault::InvalidUtf8,
            Fault::WrongId,
            Fault::rate_limited(),
        ] {
            endpoints[0].script(method, 1, fault.clone());
            assert_eq!(outcome(&call(&l1, method).await), Outcome::Good, "{method}, {fault:?}");
            assert_eq!(endpoints[0].scripted(), 0, "{method}, {fault:?}: the first one is asked first");
        }
    }
}

/// What chaos at its worst does to who retries: at most three errors in a row, none of them fatal.
#[tokio::test]
async fn who_retries_gets_through() {
    const SEED: u64 = 20;
    let proxy = node().await;
    let l1 = client(&[&proxy], Duration::from_millis(700));
    proxy.set_plan(FaultPlan::l1(SEED, 3.0));
    for n in 0..400 {
        let method = METHODS[n % METHODS.len()];
        let mut row = 0;
        // an outage fails requests that no fault was meant for
        let mut down = 0;
        loop {
            let before = proxy.stats().requests(method);
            match call(&l1, method).await {
                Ok(_) => break,
                Err(error) => {
                    assert_ne!(error.severity(), Severity::Fatal, "seed {SEED}, {method}: {error}");
                    if proxy.stats().requests(method) > before {
                        row += 1;
                    } else {
                        down += 1;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
            assert!(row <= 3 && down < 1000, "seed {SEED}, {method}: {row} in a row, {down} refused");
        }
    }
    let stats = proxy.shutdown().await;
    assert!(stats.total_faults() > 80, "seed {SEED}: {stats:?}");
}
