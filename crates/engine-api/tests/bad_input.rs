//! Every method of the execution client × every fault of a bad network (SEQ-INV-11): a typed error of the right severity,
//! never a panic, bounded memory, and the next good answer works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::disallowed_methods, reason = "the client lives and dies with the runtime of its test")]

use std::time::Duration;

use alloy_consensus::{Block, BlockBody, Header, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, FixedBytes, fixed_bytes, hex};
use axum::Router;
use axum::response::{IntoResponse, Response};
use ensemble_batch::SealedBlock;
use ensemble_chaos::{
    ChaosProxy, ChaosProxyHandle, Fault, FaultKind, FaultPlan, Length, LogFault, WrongType,
};
use ensemble_engine_api::{
    BlockId, EngineConfig, EngineError, ExecutionClient, ForkSchedule, ForkchoiceState, HttpExecutionClient,
    JwtSecret, PayloadAttributes, PayloadId,
};
use ensemble_error::{Classify, Severity};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SECRET: &str = "0x7365637265747365637265747365637265747365637265747365637265747365";
const LIMIT: u32 = 50_000;
const CHAIN: u64 = 1729;
const HASH: B256 = B256::repeat_byte(0x11);
const ID: FixedBytes<8> = fixed_bytes!("0102030405060708");
const EMITTER: Address = Address::repeat_byte(0xcc);
const TIME: u64 = 250;
const STATE: ForkchoiceState = ForkchoiceState { head: HASH, safe: B256::ZERO, finalized: B256::ZERO };

/// Every method that the client has, by the name that it has on the wire.
const METHODS: [&str; 12] = [
    "engine_exchangeCapabilities",
    "engine_forkchoiceUpdatedV3",
    "engine_getPayloadV4",
    "engine_newPayloadV4",
    "eth_chainId",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getLogs",
    "eth_getTransactionReceipt",
    "debug_getRawBlock",
    "debug_executionWitness",
    "debug_chainConfig",
];

fn attributes() -> PayloadAttributes {
    PayloadAttributes {
        timestamp: TIME,
        prev_randao: B256::repeat_byte(2),
        suggested_fee_recipient: Address::repeat_byte(3),
        withdrawals: Vec::new(),
        parent_beacon_block_root: B256::repeat_byte(5),
    }
}

fn block() -> SealedBlock {
    SealedBlock {
        parent_hash: B256::repeat_byte(0xa1),
        fee_recipient: Address::repeat_byte(3),
        state_root: B256::repeat_byte(0xa2),
        receipts_root: B256::repeat_byte(0xa3),
        logs_bloom: Default::default(),
        prev_randao: B256::repeat_byte(2),
        number: 10,
        gas_limit: 30_000_000,
        gas_used: 21_000,
        timestamp: TIME,
        extra_data: Bytes::from_static(b"x"),
        base_fee_per_gas: 7,
        block_hash: HASH,
        transactions: vec![Bytes::from_static(&[2, 0xc0])],
        withdrawals: Vec::new(),
        blob_gas_used: 0,
        excess_blob_gas: 0,
        parent_beacon_block_root: B256::repeat_byte(5),
        execution_requests: vec![],
    }
}

fn payload() -> Value {
    json!({
        "parentHash": B256::repeat_byte(0xa1), "feeRecipient": Address::repeat_byte(3),
        "stateRoot": B256::repeat_byte(0xa2), "receiptsRoot": B256::repeat_byte(0xa3),
        "logsBloom": format!("0x{}", "00".repeat(256)), "prevRandao": B256::repeat_byte(2), "blockNumber": "0xa",
        "gasLimit": "0x1c9c380", "gasUsed": "0x5208", "timestamp": format!("{TIME:#x}"), "extraData": "0x78",
        "baseFeePerGas": "0x7", "blockHash": HASH, "transactions": ["0x02c0"], "withdrawals": [],
        "blobGasUsed": "0x0", "excessBlobGas": "0x0"
    })
}

fn raw_block() -> String {
    let header = Header {
        number: 10,
        timestamp: TIME,
        base_fee_per_gas: Some(7),
        withdrawals_root: Some(B256::repeat_byte(4)),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::repeat_byte(5)),
        ..Default::default()
    };
    let body = BlockBody::<TxEnvelope> {
        transactions: Vec::new(),
        ommers: Vec::new(),
        withdrawals: Some(Vec::new().into()),
    };
    hex::encode_prefixed(alloy_rlp::encode(Block { header, body }))
}

fn log(index: u64) -> Value {
    json!({
        "address": EMITTER, "topics": [HASH, B256::ZERO], "data": "0x01", "blockNumber": "0x2",
        "logIndex": format!("{index:#x}"), "transactionHash": B256::repeat_byte(7), "removed": false
    })
}

/// What a good client answers.
fn good(method: &str) -> Value {
    let valid = json!({ "status": "VALID", "latestValidHash": HASH, "validationError": null });
    match method {
        "engine_exchangeCapabilities" => {
            json!(["engine_forkchoiceUpdatedV3", "engine_getPayloadV4", "engine_newPayloadV4"])
        }
        "engine_forkchoiceUpdatedV3" => json!({ "payloadStatus": valid, "payloadId": ID }),
        "engine_getPayloadV4" => {
            json!({ "executionPayload": payload(), "blockValue": "0x1", "executionRequests": [] })
        }
        "engine_newPayloadV4" => valid,
        "eth_chainId" => json!(format!("{CHAIN:#x}")),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => json!({
            "number": "0xa", "hash": HASH, "parentHash": B256::repeat_byte(1), "stateRoot": B256::repeat_byte(2),
            "timestamp": "0x64", "mixHash": B256::repeat_byte(3), "gasLimit": "0x1c9c380", "gasUsed": "0x0",
            "baseFeePerGas": "0x7", "transactions": [], "uncles": []
        }),
        "eth_getLogs" => json!([log(0), log(1)]),
        "eth_getTransactionReceipt" => json!({
            "transactionHash": B256::repeat_byte(7), "blockNumber": "0x2", "status": "0x1",
            "logs": [log(0), log(1)]
        }),
        "debug_getRawBlock" => json!(raw_block()),
        "debug_executionWitness" => json!({ "state": [], "codes": [] }),
        "debug_chainConfig" => json!({ "chainId": CHAIN }),
        "web3_clientVersion" => json!("Fake/v1"),
        other => panic!("unexpected {other}"),
    }
}

async fn respond(axum::Json(request): axum::Json<Value>) -> Response {
    let result = good(request["method"].as_str().unwrap());
    axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

/// A good client behind a proxy without a plan.
async fn node() -> ChaosProxyHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(respond)).await.unwrap() });
    ChaosProxy::start(&url, FaultPlan::none()).await.unwrap()
}

const LONG: Duration = Duration::from_secs(60);

/// A client that has exchanged capabilities and started a build.
async fn connected(proxy: &ChaosProxyHandle, timeout: Duration) -> HttpExecutionClient {
    let client = HttpExecutionClient::connect(EngineConfig {
        auth_url: proxy.url(),
        jwt: JwtSecret::from_hex(SECRET).unwrap(),
        public_url: None,
        timeout,
        max_response_bytes: LIMIT,
        forks: ForkSchedule { cancun_time: 100, prague_time: Some(200), osaka_time: None },
    })
    .await
    .unwrap();
    client.forkchoice_updated(STATE, Some(&attributes())).await.unwrap();
    client
}

/// One call of this method; what a good client answers must come out of it.
async fn call(client: &HttpExecutionClient, method: &str) -> Result<Option<()>, EngineError> {
    let none_or = |there: bool| there.then_some(());
    match method {
        "engine_exchangeCapabilities" => client.exchange_capabilities().await.map(|l| none_or(l.len() == 3)),
        "engine_forkchoiceUpdatedV3" => {
            let updated = client.forkchoice_updated(STATE, Some(&attributes())).await;
            updated.map(|u| none_or(u.status.is_valid() && u.payload_id == Some(PayloadId(ID))))
        }
        "engine_getPayloadV4" => {
            client.get_payload(&PayloadId(ID), TIME).await.map(|b| none_or(b.block == block()))
        }
        "engine_newPayloadV4" => client.new_payload(&block()).await.map(|s| none_or(s.is_valid())),
        "eth_chainId" => client.chain_id().await.map(|id| none_or(id == CHAIN)),
        "eth_getBlockByNumber" => client.block(BlockId::Number(10)).await.map(|b| b.map(|_| ())),
        "eth_getBlockByHash" => client.block(BlockId::Hash(HASH)).await.map(|b| b.map(|_| ())),
        "eth_getLogs" => client.logs(EMITTER, HASH, 1, 3).await.map(|logs| none_or(logs.len() == 2)),
        "eth_getTransactionReceipt" => client
            .receipt(B256::repeat_byte(7))
            .await
            .map(|r| r.and_then(|r| none_or(r.succeeded && r.block_number == 2 && r.logs.len() == 2))),
        "debug_getRawBlock" => client.full_block(10).await.map(|b| b.map(|_| ())),
        "debug_executionWitness" => client.execution_witness(10).await.map(|w| none_or(w.starts_with(b"{"))),
        "debug_chainConfig" => client.chain_config().await.map(|c| none_or(c["chainId"] == json!(CHAIN))),
        other => panic!("no call for {other}"),
    }
}

/// What a fault must come to: the value a good client would give, another value, or an error.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Good,
    Other,
    Error(&'static str, Severity),
}

const TRANSPORT: Outcome = Outcome::Error("Transport", Severity::Transient);
const INVALID: Outcome = Outcome::Error("InvalidResponse", Severity::Transient);
const RPC: Outcome = Outcome::Error("Rpc", Severity::Transient);

fn outcome(result: &Result<Option<()>, EngineError>) -> Outcome {
    match result {
        Ok(Some(())) => Outcome::Good,
        Ok(None) => Outcome::Other,
        Err(error) => {
            assert!(error.to_string().len() < 1500, "the text of an error is bounded");
            // SEQ-INV-12: a token is a header and three parts of base64
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("Bearer") && !shown.contains("eyJ"), "{shown}");
            Outcome::Error(variant(error), error.severity())
        }
    }
}

fn variant(error: &EngineError) -> &'static str {
    match error {
        EngineError::Transport { .. } => "Transport",
        EngineError::Timeout { .. } => "Timeout",
        EngineError::Unauthorized { .. } => "Unauthorized",
        EngineError::Rpc { .. } => "Rpc",
        EngineError::UnknownPayload { .. } => "UnknownPayload",
        EngineError::InvalidForkchoiceState { .. } => "InvalidForkchoiceState",
        EngineError::InvalidResponse { .. } => "InvalidResponse",
        EngineError::TooLarge { .. } => "TooLarge",
        other => panic!("{other:?} is not what any of these faults mean"),
    }
}

struct Case {
    fault: Fault,
    /// How often the node gets the request, once the client has asked once.
    delivered: u64,
    expected: fn(&str) -> Outcome,
}

fn case(fault: Fault, delivered: u64, expected: fn(&str) -> Outcome) -> Case {
    Case { fault, delivered, expected }
}

fn rpc(code: i64, message: &str) -> Fault {
    Fault::RpcError { code, message: message.to_owned() }
}

/// A witness is handed on as it came: what is in it is for the prover to judge. `null` is none.
fn witness_or_invalid(method: &str) -> Outcome {
    if method == "debug_executionWitness" { Outcome::Other } else { INVALID }
}

fn cases() -> Vec<Case> {
    let cut = |percent, length| Fault::CutAnswer { percent, length };
    let too_large = |_: &str| Outcome::Error("TooLarge", Severity::Recoverable);
    vec![
        case(Fault::Status(500), 0, |_| TRANSPORT),
        case(Fault::Status(503), 0, |_| TRANSPORT),
        case(Fault::Status(429), 0, |_| TRANSPORT),
        case(Fault::Status(401), 0, |_| Outcome::Error("Unauthorized", Severity::Recoverable)),
        case(Fault::rate_limited(), 0, |_| RPC),
        case(Fault::internal_error(), 0, |_| RPC),
        case(Fault::header_not_found(), 0, |_| RPC),
        case(rpc(-38001, "Unknown payload"), 0, |method| match method {
            "engine_getPayloadV4" => Outcome::Error("UnknownPayload", Severity::Recoverable),
            _ => RPC,
        }),
        case(rpc(-38002, "Invalid forkchoice state"), 0, |_| {
            Outcome::Error("InvalidForkchoiceState", Severity::NeedsReset)
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
        case(Fault::WrongType(WrongType::Null), 1, |method| match method {
            "eth_getBlockByNumber"
            | "eth_getBlockByHash"
            | "eth_getTransactionReceipt"
            | "debug_getRawBlock" => Outcome::Other,
            _ => INVALID,
        }),
        case(Fault::WrongType(WrongType::Text), 1, witness_or_invalid),
        case(Fault::WrongType(WrongType::Number), 1, witness_or_invalid),
        case(Fault::WrongType(WrongType::EmptyObject), 1, |method| match method {
            "debug_executionWitness" => Outcome::Good,
            "debug_chainConfig" => Outcome::Other,
            _ => INVALID,
        }),
        case(Fault::WrongType(WrongType::EmptyList), 1, |method| match method {
            "eth_getLogs" | "engine_exchangeCapabilities" => Outcome::Other,
            _ => witness_or_invalid(method),
        }),
    ]
}

/// SEQ-INV-11: each method with each fault, and after each fault the next call is good. The client asks once: what it
/// does not know the outcome of, it does not repeat behind the caller's back.
#[tokio::test]
async fn every_method_meets_every_fault() {
    let proxy = node().await;
    let client = connected(&proxy, LONG).await;
    for method in METHODS {
        assert_eq!(outcome(&call(&client, method).await), Outcome::Good, "{method} without a fault");
        for Case { fault, delivered, expected } in cases() {
            let before = proxy.stats();
            proxy.script(method, 1, fault.clone());
            let result = call(&client, method).await;
            assert_eq!(outcome(&result), expected(method), "{method}, {fault:?}: {result:?}");
            let after = proxy.stats();
            assert_eq!(after.requests(method) - before.requests(method), 1, "{method}, {fault:?}");
            assert_eq!(after.delivered(method) - before.delivered(method), delivered, "{method}, {fault:?}");
            assert_eq!(after.faults_of(method) - before.faults_of(method), 1, "{method}, {fault:?}");
            assert_eq!(outcome(&call(&client, method).await), Outcome::Good, "{method} after {fault:?}");
        }
    }
}

/// A client that takes the request and never answers.
#[tokio::test]
async fn every_method_meets_silence() {
    let proxy = node().await;
    let (impatient, patient) =
        (connected(&proxy, Duration::from_millis(100)).await, connected(&proxy, LONG).await);
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
    let client = connected(&proxy, LONG).await;
    for method in METHODS {
        assert_eq!(outcome(&call(&client, method).await), Outcome::Good, "{method}");
        proxy.go_down().await.unwrap();
        let result = call(&client, method).await;
        assert_eq!(outcome(&result), TRANSPORT, "{method}: {result:?}");
        proxy.come_up().await.unwrap();
        assert_eq!(outcome(&call(&client, method).await), Outcome::Good, "{method}");
    }
}

/// Every field that the client needs is missed.
#[tokio::test]
async fn answers_without_a_field() {
    let proxy = node().await;
    let client = connected(&proxy, LONG).await;
    let block = [
        "number",
        "hash",
        "parentHash",
        "stateRoot",
        "timestamp",
        "mixHash",
        "gasLimit",
        "gasUsed",
        "baseFeePerGas",
        "transactions",
    ];
    for (method, fields) in [
        ("engine_forkchoiceUpdatedV3", &["payloadStatus"][..]),
        ("engine_getPayloadV4", &["executionPayload", "blockValue", "executionRequests"]),
        ("engine_newPayloadV4", &["status"]),
        ("eth_getBlockByNumber", &block),
        ("eth_getBlockByHash", &block),
        ("eth_getLogs", &["address", "topics", "data", "blockNumber", "logIndex", "transactionHash"]),
    ] {
        for field in fields {
            proxy.script(method, 1, Fault::WrongType(WrongType::Without((*field).to_owned())));
            let result = call(&client, method).await;
            assert_eq!(outcome(&result), INVALID, "{method} without {field}: {result:?}");
        }
        assert_eq!(outcome(&call(&client, method).await), Outcome::Good, "{method}");
    }
    let Value::Object(payload) = payload() else { panic!("it is an object") };
    for field in payload.keys() {
        let mut built = good("engine_getPayloadV4");
        built["executionPayload"].as_object_mut().unwrap().remove(field);
        proxy.script("engine_getPayloadV4", 1, Fault::Result(built));
        let result = call(&client, "engine_getPayloadV4").await;
        assert_eq!(outcome(&result), INVALID, "without {field}: {result:?}");
    }
    assert_eq!(proxy.scripted(), 0);
}

/// Withdrawals that L2 did not make must not get into a batch's tree.
#[tokio::test]
async fn logs_made_wrong() {
    let proxy = node().await;
    let client = connected(&proxy, LONG).await;
    for (fault, expected) in [
        (LogFault::OtherAddress, INVALID),
        (LogFault::OtherTopic, INVALID),
        (LogFault::FiveTopics, INVALID),
        (LogFault::OtherBlock, INVALID),
        (LogFault::NoBlock, INVALID),
        (LogFault::Twice, INVALID),
        (LogFault::Removed, INVALID),
        (LogFault::Again, Outcome::Other),
        (LogFault::Missing, Outcome::Other),
        (LogFault::Reversed, Outcome::Good),
    ] {
        proxy.script("eth_getLogs", 1, Fault::Logs(fault));
        let result = call(&client, "eth_getLogs").await;
        assert_eq!(outcome(&result), expected, "{fault:?}: {result:?}");
        assert_eq!(outcome(&call(&client, "eth_getLogs").await), Outcome::Good, "after {fault:?}");
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
        let client = connected(&proxy, LONG).await;
        proxy.script("debug_executionWitness", 1, Fault::Enormous { bytes: ENORMOUS, announced });
        let error = client.execution_witness(10).await.unwrap_err();
        assert_eq!(error, EngineError::TooLarge { method: "debug_executionWitness", limit: LIMIT });
        assert_eq!(outcome(&call(&client, "debug_executionWitness").await), Outcome::Good);
        let stats = proxy.shutdown().await;
        assert!(stats.bytes_to_clients < BUFFERS, "announced: {announced}, {} bytes", stats.bytes_to_clients);
        println!("announced: {announced}: {} bytes left the proxy", stats.bytes_to_clients);
    }
}

/// The first contact fails in every way: the client is usable afterwards, without being built anew.
#[tokio::test]
async fn capabilities_that_do_not_come() {
    for Case { fault, .. } in cases() {
        let proxy = node().await;
        let client = connected(&proxy, LONG).await;
        proxy.script("engine_exchangeCapabilities", 1, fault.clone());
        let first = call(&client, "engine_exchangeCapabilities").await;
        let result = call(&client, "engine_newPayloadV4").await;
        assert_eq!(outcome(&result), Outcome::Good, "after {fault:?} ({first:?}): {result:?}");
    }
}

/// What chaos at its worst does to who retries: at most two errors in a row, none of them fatal.
#[tokio::test]
async fn who_retries_gets_through() {
    const SEED: u64 = 21;
    let proxy = node().await;
    let client = connected(&proxy, Duration::from_millis(700)).await;
    proxy.set_plan(FaultPlan::engine(SEED, 3.0));
    for n in 0..400 {
        let method = METHODS[n % METHODS.len()];
        let mut row = 0;
        // an outage fails requests that no fault was meant for
        let mut others = 0;
        loop {
            let before = proxy.stats().requests(method);
            match call(&client, method).await {
                Ok(_) => break,
                Err(error) => {
                    assert_ne!(error.severity(), Severity::Fatal, "seed {SEED}, {method}: {error}");
                    if proxy.stats().requests(method) > before {
                        row += 1;
                    } else {
                        others += 1;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
            assert!(row <= 2 && others < 1000, "seed {SEED}, {method}: {row} in a row, {others} others");
        }
    }
    let stats = proxy.shutdown().await;
    assert!(stats.total_faults() > 60, "seed {SEED}: {stats:?}");
}
