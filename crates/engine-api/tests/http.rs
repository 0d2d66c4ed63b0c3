//! [`HttpExecutionClient`] against a fake server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::disallowed_methods, reason = "a fake server, and the clock that tokens are compared with")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Address, B256, Bytes, U256, address, b256, fixed_bytes, hex};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use ensemble_batch::{SealedBlock, Withdrawal};
use ensemble_engine_api::{
    BlockId, EngineConfig, EngineError, ExecutionClient, ForkSchedule, ForkchoiceState, HttpExecutionClient,
    JwtSecret, PayloadAttributes, PayloadId, PayloadStatus,
};
use ensemble_error::{Classify, Severity};
use serde_json::{Value, json};

const SECRET: &str = "0x7365637265747365637265747365637265747365637265747365637265747365";
const ALL: [&str; 6] = [
    "engine_forkchoiceUpdatedV3",
    "engine_getPayloadV3",
    "engine_getPayloadV4",
    "engine_getPayloadV5",
    "engine_newPayloadV3",
    "engine_newPayloadV4",
];
const FORKS: ForkSchedule = ForkSchedule { cancun_time: 100, prague_time: Some(200), osaka_time: Some(300) };
const HASH: B256 = b256!("1111111111111111111111111111111111111111111111111111111111111111");
const ID: PayloadId = PayloadId(fixed_bytes!("0102030405060708"));
const STATE: ForkchoiceState = ForkchoiceState { head: HASH, safe: B256::ZERO, finalized: B256::ZERO };

/// What the fake server answers.
#[derive(Clone)]
enum Reply {
    Result(Value),
    Error(i32, &'static str),
    Status(u16, &'static str),
    Body(&'static str),
    /// So many bytes of JSON, without a length in the header.
    Stream(usize),
    /// So many bytes of JSON, and the header says so.
    Sized(usize),
    Hang,
    HangInBody,
    WrongId,
}

type Answer = Box<dyn Fn(&str, &Value) -> Option<Reply> + Send + Sync>;

#[derive(Clone, Debug, PartialEq)]
struct Call {
    method: String,
    params: Value,
    authorization: Option<String>,
}

#[derive(Clone)]
struct Fake {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    /// Asked first, for every method.
    script: Arc<Mutex<VecDeque<(&'static str, Reply)>>>,
    offers: Arc<Mutex<Reply>>,
    answer: Arc<Answer>,
}

impl Fake {
    async fn start(answer: impl Fn(&str, &Value) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            calls: Arc::default(),
            script: Arc::default(),
            offers: Arc::new(Mutex::new(Reply::Result(json!(ALL)))),
            answer: Arc::new(Box::new(answer)),
        };
        let app = Router::new().route("/", post(handle)).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        fake
    }

    /// A server that knows nothing but its capabilities.
    async fn empty() -> Self {
        Self::start(|_, _| None).await
    }

    /// The next call of `method` is answered by this.
    fn next(&self, method: &'static str, reply: Reply) {
        self.script.lock().unwrap().push_back((method, reply));
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn methods(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.method).collect()
    }

    fn config(&self) -> EngineConfig {
        EngineConfig {
            auth_url: self.url.clone(),
            jwt: JwtSecret::from_hex(SECRET).unwrap(),
            public_url: None,
            timeout: Duration::from_secs(20),
            max_response_bytes: 1 << 20,
            forks: FORKS,
        }
    }

    fn client(&self) -> HttpExecutionClient {
        HttpExecutionClient::new(self.config()).unwrap()
    }
}

async fn handle(State(fake): State<Fake>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    let method = request["method"].as_str().unwrap().to_owned();
    let params = request["params"].clone();
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    fake.calls.lock().unwrap().push(Call { method: method.clone(), params: params.clone(), authorization });
    let scripted = {
        let mut script = fake.script.lock().unwrap();
        let at = script.iter().position(|(name, _)| *name == method);
        at.and_then(|at| script.remove(at)).map(|(_, reply)| reply)
    };
    let reply = scripted.or_else(|| match method.as_str() {
        "engine_exchangeCapabilities" => Some(fake.offers.lock().unwrap().clone()),
        "web3_clientVersion" => Some(Reply::Result(json!("Fake/v1.2.3"))),
        _ => (fake.answer)(&method, &params),
    });
    let id = request["id"].clone();
    let big = |bytes: usize| json!({"jsonrpc": "2.0", "id": id, "result": "x".repeat(bytes)}).to_string();
    match reply.unwrap_or(Reply::Error(-32601, "Method not found")) {
        Reply::Result(result) => {
            json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string().into_response()
        }
        Reply::Error(code, message) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
                .to_string()
                .into_response()
        }
        Reply::Status(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Reply::Body(text) => text.replace("$ID", &id.to_string()).into_response(),
        Reply::Sized(bytes) => big(bytes).into_response(),
        Reply::Stream(bytes) => {
            let text = big(bytes).into_bytes();
            let parts: Vec<Result<Vec<u8>, std::io::Error>> =
                text.chunks(4096).map(|part| Ok(part.to_vec())).collect();
            Body::from_stream(futures::stream::iter(parts)).into_response()
        }
        Reply::Hang => std::future::pending().await,
        Reply::HangInBody => {
            let start = futures::stream::iter([Ok::<_, std::io::Error>(br#"{"jsonrpc":"2.0","#.to_vec())]);
            Body::from_stream(futures::StreamExt::chain(start, futures::stream::pending())).into_response()
        }
        Reply::WrongId => {
            json!({"jsonrpc": "2.0", "id": 999_999, "result": null}).to_string().into_response()
        }
    }
}

fn valid() -> Value {
    json!({"status": "VALID", "latestValidHash": HASH, "validationError": null})
}

fn attributes(timestamp: u64) -> PayloadAttributes {
    PayloadAttributes {
        timestamp,
        prev_randao: B256::repeat_byte(2),
        suggested_fee_recipient: Address::repeat_byte(3),
        withdrawals: vec![Withdrawal {
            index: 16,
            validator_index: 0,
            address: Address::repeat_byte(4),
            amount_gwei: 255,
        }],
        parent_beacon_block_root: B256::repeat_byte(5),
    }
}

fn block(timestamp: u64) -> SealedBlock {
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
        timestamp,
        extra_data: Bytes::from_static(b"x"),
        base_fee_per_gas: 7,
        block_hash: HASH,
        transactions: vec![Bytes::from_static(&[2, 0xc0])],
        withdrawals: attributes(timestamp).withdrawals,
        blob_gas_used: 0,
        excess_blob_gas: 0,
        parent_beacon_block_root: B256::repeat_byte(5),
        execution_requests: vec![],
    }
}

fn payload_json(timestamp: u64) -> Value {
    json!({
        "parentHash": B256::repeat_byte(0xa1),
        "feeRecipient": Address::repeat_byte(3),
        "stateRoot": B256::repeat_byte(0xa2),
        "receiptsRoot": B256::repeat_byte(0xa3),
        "logsBloom": format!("0x{}", "00".repeat(256)),
        "prevRandao": B256::repeat_byte(2),
        "blockNumber": "0xa",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x5208",
        "timestamp": format!("{timestamp:#x}"),
        "extraData": "0x78",
        "baseFeePerGas": "0x7",
        "blockHash": HASH,
        "transactions": ["0x02c0"],
        "withdrawals": [
            {"index": "0x10", "validatorIndex": "0x0", "address": Address::repeat_byte(4), "amount": "0xff"}
        ],
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
    })
}

fn built_json(timestamp: u64, requests: Value) -> Value {
    json!({
        "executionPayload": payload_json(timestamp),
        "blockValue": "0x123",
        "blobsBundle": {"commitments": [], "proofs": [], "blobs": []},
        "shouldOverrideBuilder": false,
        "executionRequests": requests,
        "somethingNew": [{}],
    })
}

/// A server that builds and accepts blocks.
async fn engine() -> Fake {
    Fake::start(|method, params| {
        Some(Reply::Result(match method {
            "engine_forkchoiceUpdatedV3" if params[1].is_null() => {
                json!({"payloadStatus": valid(), "payloadId": null})
            }
            "engine_forkchoiceUpdatedV3" => json!({"payloadStatus": valid(), "payloadId": ID}),
            "engine_newPayloadV3" | "engine_newPayloadV4" => valid(),
            _ => return None,
        }))
    })
    .await
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn every_request_to_the_authenticated_port_has_a_token_of_its_own() {
    let (auth, public) = (engine().await, Fake::start(|_, _| Some(Reply::Result(json!("0x1")))).await);
    let config = EngineConfig { public_url: Some(public.url.clone()), ..auth.config() };
    let client = HttpExecutionClient::connect(config).await.unwrap();
    let before = unix_now();
    client.forkchoice_updated(STATE, None).await.unwrap();
    client.new_payload(&block(250)).await.unwrap();
    let after = unix_now();
    assert_eq!(client.chain_id().await, Ok(1));

    let calls = auth.calls();
    assert_eq!(
        auth.methods(),
        ["engine_exchangeCapabilities", "engine_forkchoiceUpdatedV3", "engine_newPayloadV4"]
    );
    let key = jsonwebtoken::DecodingKey::from_secret(&hex::decode(SECRET).unwrap());
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.required_spec_claims.clear();
    for call in &calls[1..] {
        let token = call.authorization.as_deref().unwrap().strip_prefix("Bearer ").unwrap();
        let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
        let iat = claims["iat"].as_u64().unwrap();
        assert!((before..=after).contains(&iat), "{before} {iat} {after}");
    }
    // the public port must never see a token
    assert_eq!(public.methods(), ["eth_chainId"]);
    assert_eq!(public.calls()[0].authorization, None);
}

#[tokio::test]
async fn methods_follow_the_fork_of_the_payload() {
    for (timestamp, get, new, params) in [
        (100, "engine_getPayloadV3", "engine_newPayloadV3", 3),
        (199, "engine_getPayloadV3", "engine_newPayloadV3", 3),
        (200, "engine_getPayloadV4", "engine_newPayloadV4", 4),
        (300, "engine_getPayloadV5", "engine_newPayloadV4", 4),
    ] {
        let fake = engine().await;
        let client = fake.client();
        let requests = if timestamp < 200 { Value::Null } else { json!([]) };
        fake.next(get, Reply::Result(built_json(timestamp, requests)));
        let started = client.forkchoice_updated(STATE, Some(&attributes(timestamp))).await.unwrap();
        assert_eq!(started.payload_id, Some(ID));
        let built = client.get_payload(&ID, timestamp).await.unwrap();
        assert_eq!(built.block, block(timestamp), "the beacon root comes from the attributes");
        assert_eq!(built.block_value, U256::from(0x123));
        assert!(client.new_payload(&built.block).await.unwrap().is_valid());
        assert_eq!(fake.methods(), ["engine_exchangeCapabilities", "engine_forkchoiceUpdatedV3", get, new]);

        let calls = fake.calls();
        assert_eq!(calls[0].params, json!([ALL]));
        assert_eq!(calls[1].params[0]["headBlockHash"], json!(HASH));
        assert_eq!(calls[1].params[1]["timestamp"], json!(format!("{timestamp:#x}")));
        assert_eq!(calls[1].params[1]["withdrawals"], payload_json(0)["withdrawals"]);
        assert_eq!(calls[1].params[1]["parentBeaconBlockRoot"], json!(B256::repeat_byte(5)));
        assert_eq!(calls[2].params, json!([ID]));
        assert_eq!(calls[3].params.as_array().unwrap().len(), params);
        assert_eq!(calls[3].params[0], payload_json(timestamp));
        assert_eq!(calls[3].params[1], json!([]));
        assert_eq!(calls[3].params[2], json!(B256::repeat_byte(5)));
    }
}

#[tokio::test]
async fn before_cancun_nothing_is_sent() {
    let fake = engine().await;
    let client = fake.client();
    for error in [
        client.forkchoice_updated(STATE, Some(&attributes(99))).await.unwrap_err(),
        client.new_payload(&block(99)).await.unwrap_err(),
    ] {
        assert!(matches!(error, EngineError::UnsupportedFork { .. }), "{error:?}");
        assert_eq!(error.severity(), Severity::Fatal);
    }
    assert_eq!(fake.methods(), [""; 0]);
}

#[tokio::test]
async fn execution_requests_go_there_and_back() {
    let fake = engine().await;
    let client = fake.client();
    client.forkchoice_updated(STATE, Some(&attributes(250))).await.unwrap();
    fake.next("engine_getPayloadV4", Reply::Result(built_json(250, json!(["0x01aabb", "0x02cc"]))));
    let built = client.get_payload(&ID, 250).await.unwrap();
    assert_eq!(
        built.block.execution_requests,
        [Bytes::from_static(&[1, 0xaa, 0xbb]), Bytes::from_static(&[2, 0xcc])]
    );
    client.new_payload(&built.block).await.unwrap();
    assert_eq!(fake.calls().last().unwrap().params[3], json!(["0x01aabb", "0x02cc"]));
}

/// A user may send a blob transaction to the client, and its block must not stop the chain.
#[tokio::test]
async fn blob_transactions_are_named_by_their_versioned_hashes() {
    use alloy_consensus::{SignableTransaction, TxEip4844, TxEnvelope};
    use alloy_eips::eip2718::Encodable2718;
    let hashes = vec![B256::repeat_byte(0xb1), B256::repeat_byte(0xb2)];
    let tx = TxEip4844 {
        chain_id: 1,
        blob_versioned_hashes: hashes.clone(),
        input: Bytes::from_static(&[9; 100]),
        ..Default::default()
    };
    let signature = alloy_primitives::Signature::test_signature();
    let raw = TxEnvelope::from(tx.into_signed(signature)).encoded_2718();
    let fake = engine().await;
    let client = fake.client();
    let mut b = block(250);
    b.transactions.push(raw.clone().into());
    client.new_payload(&b).await.unwrap();
    assert_eq!(fake.calls().last().unwrap().params[1], json!(hashes));

    b.transactions.push(raw[..50].to_vec().into());
    let status = client.new_payload(&b).await.unwrap();
    assert!(matches!(status, PayloadStatus::Invalid { .. }), "{status:?}");
}

#[tokio::test]
async fn a_method_that_is_not_offered_is_not_sent() {
    let fake = engine().await;
    *fake.offers.lock().unwrap() = Reply::Result(json!(&ALL[..3]));
    let client = fake.client();
    let error = client.new_payload(&block(250)).await.unwrap_err();
    let expected = EngineError::NotOffered { method: "engine_newPayloadV4", client: "Fake/v1.2.3".into() };
    assert_eq!(error, expected);
    assert!(error.to_string().contains("Fake/v1.2.3") && error.to_string().contains("engine_newPayloadV4"));
    assert!(!fake.methods().contains(&"engine_newPayloadV4".to_owned()));
    // a newer version of the client takes its place
    *fake.offers.lock().unwrap() = Reply::Result(json!(ALL));
    assert!(client.new_payload(&block(250)).await.unwrap().is_valid());
}

#[tokio::test]
async fn capabilities_are_exchanged_once_and_again_when_they_prove_wrong() {
    let fake = engine().await;
    let client = fake.client();
    for _ in 0..3 {
        client.new_payload(&block(250)).await.unwrap();
    }
    let exchanges =
        |fake: &Fake| fake.methods().iter().filter(|m| *m == "engine_exchangeCapabilities").count();
    assert_eq!(exchanges(&fake), 1);
    fake.next("engine_newPayloadV4", Reply::Error(-32601, "no such method"));
    let error = client.new_payload(&block(250)).await.unwrap_err();
    assert_eq!(error, EngineError::MethodNotFound { method: "engine_newPayloadV4" });
    client.new_payload(&block(250)).await.unwrap();
    assert_eq!(exchanges(&fake), 2);
}

#[tokio::test]
async fn a_client_without_capabilities_is_tried() {
    let fake = engine().await;
    *fake.offers.lock().unwrap() = Reply::Error(-32601, "Method not found");
    let client = HttpExecutionClient::connect(fake.config()).await.unwrap();
    assert!(client.new_payload(&block(250)).await.unwrap().is_valid());
    *fake.offers.lock().unwrap() = Reply::Error(-32603, "Internal error");
    assert!(matches!(
        HttpExecutionClient::connect(fake.config()).await,
        Err(EngineError::Rpc { code: -32603, .. })
    ));
}

/// A refused token says what to look at, and does not end a sequencer that runs: the other side may be put right.
#[tokio::test]
async fn a_refused_token_is_told_from_other_errors() {
    let fake = Fake::empty().await;
    for reply in [
        Reply::Status(401, "signature is invalid"),
        Reply::Status(403, ""),
        Reply::Error(-32000, "Auth failed: Invalid or missing token"),
        Reply::Error(-32001, "missing token"),
    ] {
        fake.next("engine_exchangeCapabilities", reply);
        let error = fake.client().exchange_capabilities().await.unwrap_err();
        assert!(matches!(error, EngineError::Unauthorized { .. }), "{error:?}");
        assert_eq!(error.severity(), Severity::Recoverable);
        let text = error.to_string();
        assert!(text.contains("jwt secret file") && text.contains("clocks"), "{text}");
        // Once it is put right, the same client goes on.
        fake.client().exchange_capabilities().await.unwrap();
    }
}

#[tokio::test]
async fn payload_statuses() {
    let fake = engine().await;
    let client = fake.client();
    let hash = Some(HASH);
    for (json, status) in [
        (
            json!({"status": "VALID", "latestValidHash": HASH}),
            PayloadStatus::Valid { latest_valid_hash: hash },
        ),
        (json!({"status": "SYNCING", "latestValidHash": null}), PayloadStatus::Syncing),
        (
            json!({"status": "ACCEPTED", "latestValidHash": null, "validationError": null}),
            PayloadStatus::Accepted,
        ),
        (
            json!({"status": "INVALID", "latestValidHash": HASH, "validationError": "bad\nroot"}),
            PayloadStatus::Invalid { latest_valid_hash: hash, validation_error: Some("bad root".into()) },
        ),
        (
            json!({"status": "INVALID", "latestValidHash": null, "validationError": null}),
            PayloadStatus::Invalid { latest_valid_hash: None, validation_error: None },
        ),
    ] {
        fake.next("engine_newPayloadV4", Reply::Result(json.clone()));
        assert_eq!(client.new_payload(&block(250)).await, Ok(status.clone()));
        let answer = json!({"payloadStatus": json, "payloadId": null});
        fake.next("engine_forkchoiceUpdatedV3", Reply::Result(answer));
        let updated = client.forkchoice_updated(STATE, Some(&attributes(250))).await.unwrap();
        assert_eq!((updated.status, updated.payload_id), (status, None));
    }
}

#[tokio::test]
async fn codes_of_the_engine_api() {
    let fake = engine().await;
    let client = fake.client();
    client.forkchoice_updated(STATE, Some(&attributes(250))).await.unwrap();
    for code in [-38001, -32001] {
        fake.next("engine_getPayloadV4", Reply::Error(code, "Unknown payload"));
        let error = client.get_payload(&ID, 250).await.unwrap_err();
        assert_eq!(error, EngineError::UnknownPayload { payload_id: ID, message: "Unknown payload".into() });
    }
    let method = "engine_forkchoiceUpdatedV3";
    let message = || "no".to_owned();
    for (code, expected) in [
        (-38002, EngineError::InvalidForkchoiceState { message: message() }),
        (-38003, EngineError::InvalidPayloadAttributes { message: message() }),
        (-38005, EngineError::UnsupportedFork { method, message: message() }),
        (-32602, EngineError::Rpc { method, code: -32602, message: message() }),
    ] {
        fake.next(method, Reply::Error(code, "no"));
        assert_eq!(client.forkchoice_updated(STATE, None).await, Err(expected));
    }
}

#[tokio::test]
async fn the_data_of_an_error_is_part_of_it() {
    let fake = engine().await;
    let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-38003,"message":"Invalid","data":"timestamp too low"}}"#;
    fake.next("engine_forkchoiceUpdatedV3", Reply::Body(error));
    let expected =
        EngineError::InvalidPayloadAttributes { message: r#"Invalid: "timestamp too low""#.into() };
    assert_eq!(fake.client().forkchoice_updated(STATE, None).await, Err(expected));
}

#[tokio::test]
async fn a_build_of_somebody_else_is_unknown() {
    let fake = engine().await;
    let error = fake.client().get_payload(&ID, 250).await.unwrap_err();
    assert!(matches!(error, EngineError::UnknownPayload { .. }));
    assert_eq!(fake.methods(), [""; 0]);
}

/// SEQ-INV-11
#[tokio::test]
async fn answers_above_the_limit_are_dropped() {
    let fake = Fake::empty().await;
    let client =
        HttpExecutionClient::new(EngineConfig { max_response_bytes: 10_000, ..fake.config() }).unwrap();
    for reply in [Reply::Sized(20_000), Reply::Stream(20_000), Reply::Stream(50_000_000)] {
        fake.next("debug_executionWitness", reply);
        let error = client.execution_witness(1).await.unwrap_err();
        assert_eq!(error, EngineError::TooLarge { method: "debug_executionWitness", limit: 10_000 });
        assert_eq!(error.severity(), Severity::Recoverable);
    }
    fake.next("debug_executionWitness", Reply::Stream(9_000));
    assert_eq!(client.execution_witness(1).await.unwrap().len(), 9_002);
}

/// SEQ-INV-11
#[tokio::test]
async fn garbage_is_an_error() {
    let fake = Fake::empty().await;
    let client = fake.client();
    let deep = Box::leak(
        format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000))
            .into_boxed_str(),
    );
    for body in [
        "",
        "<html>hello</html>",
        "[]",
        "{",
        "{}",
        r#"{"jsonrpc":"2.0","id":$ID}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":"0x01"}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":1}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":"0x10000000000000000"}"#,
        "\u{fffd}\u{0}",
        deep,
    ] {
        fake.next("eth_chainId", Reply::Body(body));
        let error = client.chain_id().await.unwrap_err();
        assert!(
            matches!(error, EngineError::InvalidResponse { method: "eth_chainId", .. }),
            "{body:.60} {error:?}"
        );
        assert_eq!(error.severity(), Severity::Transient);
    }
    fake.next("eth_chainId", Reply::WrongId);
    assert!(matches!(client.chain_id().await, Err(EngineError::InvalidResponse { .. })));
}

#[tokio::test]
async fn no_answer_in_time() {
    let fake = Fake::empty().await;
    let timeout = Duration::from_millis(200);
    let client = HttpExecutionClient::new(EngineConfig { timeout, ..fake.config() }).unwrap();
    for reply in [Reply::Hang, Reply::HangInBody] {
        fake.next("eth_chainId", reply);
        let error = client.chain_id().await.unwrap_err();
        assert_eq!(error, EngineError::Timeout { method: "eth_chainId" });
        assert_eq!(error.severity(), Severity::Transient);
    }
}

#[tokio::test]
async fn a_client_that_is_away() {
    let fake = Fake::empty().await;
    fake.next("eth_chainId", Reply::Status(502, "bad gateway"));
    let error = fake.client().chain_id().await.unwrap_err();
    assert_eq!(error, EngineError::Transport { method: "eth_chainId", reason: "HTTP status 502".into() });
    // a port that was just given back
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = EngineConfig { auth_url: format!("http://127.0.0.1:{port}"), ..fake.config() };
    let error = HttpExecutionClient::new(config).unwrap().chain_id().await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Transport { reason, .. } if reason.contains("refused")),
        "{error:?}"
    );
    assert_eq!(error.severity(), Severity::Transient);
}

/// SEQ-INV-12
#[tokio::test]
async fn secrets_are_not_shown() {
    let fake = Fake::empty().await;
    let config = EngineConfig {
        auth_url: fake.url.replace("http://", "http://user:hunter2@") + "/path?key=hunter3",
        public_url: Some("https://node.example/v3/hunter4".into()),
        ..fake.config()
    };
    let shown = format!("{config:?}");
    let client = HttpExecutionClient::new(config.clone()).unwrap();
    let error = client.exchange_capabilities().await.unwrap_err();
    let bad = HttpExecutionClient::new(EngineConfig { auth_url: "hunter2".into(), ..config }).unwrap_err();
    assert!(matches!(bad, EngineError::InvalidConfig { .. }), "{bad:?}");
    let shown = format!("{shown} {client:?} {error:?} {error} {bad:?} {bad}");
    for secret in ["hunter", &SECRET[2..]] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("https://node.example"), "{shown}");
}

#[tokio::test]
async fn useless_limits_are_refused() {
    let fake = Fake::empty().await;
    for config in [
        EngineConfig { timeout: Duration::ZERO, ..fake.config() },
        EngineConfig { max_response_bytes: 0, ..fake.config() },
        EngineConfig { auth_url: "ftp://127.0.0.1:1".into(), ..fake.config() },
        EngineConfig { public_url: Some("no url".into()), ..fake.config() },
    ] {
        let error = HttpExecutionClient::new(config).unwrap_err();
        assert!(matches!(error, EngineError::InvalidConfig { .. }), "{error:?}");
        assert_eq!(error.severity(), Severity::Fatal);
    }
}

#[tokio::test]
async fn payloads_that_break_the_specification_are_refused() {
    let fake = engine().await;
    let client = fake.client();
    client.forkchoice_updated(STATE, Some(&attributes(250))).await.unwrap();
    let with = |key: &str, value: Value| {
        let mut built = built_json(250, json!([]));
        built["executionPayload"][key] = value;
        built
    };
    for built in [
        with("extraData", json!(format!("0x{}", "00".repeat(33)))),
        with("transactions", json!(["0x"])),
        with("transactions", json!(["0xzz"])),
        with("timestamp", json!("0xfb")),
        with("baseFeePerGas", json!("0x10000000000000000")),
        with("blockNumber", json!("0x0a")),
        with("blockHash", json!("0x11")),
        with("logsBloom", json!("0x")),
        with("withdrawals", json!(null)),
        built_json(250, json!(null)),
        built_json(250, json!(["0x01"])),
        json!({"executionPayload": payload_json(250)}),
        json!(null),
    ] {
        fake.next("engine_getPayloadV4", Reply::Result(built.clone()));
        let error = client.get_payload(&ID, 250).await.unwrap_err();
        assert!(matches!(error, EngineError::InvalidResponse { .. }), "{built} {error:?}");
    }
}

fn header_json(number: u64) -> Value {
    json!({
        "number": format!("{number:#x}"),
        "hash": HASH,
        "parentHash": B256::repeat_byte(1),
        "stateRoot": B256::repeat_byte(2),
        "timestamp": "0x64",
        "mixHash": B256::repeat_byte(3),
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x0",
        "baseFeePerGas": "0x7",
        "transactions": [HASH, HASH],
        "uncles": [],
    })
}

#[tokio::test]
async fn blocks() {
    let fake = Fake::empty().await;
    let client = fake.client();
    for (id, method, params) in [
        (BlockId::Latest, "eth_getBlockByNumber", json!(["latest", false])),
        (BlockId::Safe, "eth_getBlockByNumber", json!(["safe", false])),
        (BlockId::Finalized, "eth_getBlockByNumber", json!(["finalized", false])),
        (BlockId::Number(10), "eth_getBlockByNumber", json!(["0xa", false])),
        (BlockId::Hash(HASH), "eth_getBlockByHash", json!([HASH, false])),
    ] {
        fake.next(method, Reply::Result(header_json(10)));
        let block = client.block(id).await.unwrap().unwrap();
        assert_eq!((block.number, block.hash, block.timestamp, block.transaction_count), (10, HASH, 100, 2));
        assert_eq!(block.prev_randao, B256::repeat_byte(3));
        assert_eq!(fake.calls().last().unwrap().params, params);
        fake.next(method, Reply::Result(json!(null)));
        assert_eq!(client.block(id).await, Ok(None));
    }
    // while there is no safe block, geth answers an error
    for (code, message) in [(-39001, "Unknown block"), (-32000, "safe block not found")] {
        fake.next("eth_getBlockByNumber", Reply::Error(code, message));
        assert_eq!(client.block(BlockId::Safe).await, Ok(None));
    }
    fake.next("eth_getBlockByNumber", Reply::Error(-32000, "database closed"));
    assert!(matches!(client.block(BlockId::Safe).await, Err(EngineError::Rpc { .. })));
    fake.next("eth_getBlockByNumber", Reply::Result(header_json(11)));
    assert!(matches!(client.block(BlockId::Number(10)).await, Err(EngineError::InvalidResponse { .. })));
    fake.next("eth_getBlockByHash", Reply::Result(header_json(11)));
    assert!(matches!(
        client.block(BlockId::Hash(B256::ZERO)).await,
        Err(EngineError::InvalidResponse { .. })
    ));
}

const EMITTER: Address = address!("000000000000000000000000000000000000ffff");

fn log_json(number: u64, index: u64) -> Value {
    json!({
        "address": EMITTER,
        "topics": [HASH, B256::ZERO],
        "data": "0x01",
        "blockNumber": format!("{number:#x}"),
        "logIndex": format!("{index:#x}"),
        "transactionHash": B256::repeat_byte(7),
        "removed": false,
    })
}

#[tokio::test]
async fn logs() {
    let fake = Fake::empty().await;
    let client = fake.client();
    fake.next("eth_getLogs", Reply::Result(json!([log_json(3, 0), log_json(2, 1), log_json(2, 0)])));
    let logs = client.logs(EMITTER, HASH, 2, 3).await.unwrap();
    let order: Vec<_> = logs.iter().map(|log| (log.block_number, log.log_index)).collect();
    assert_eq!(order, [(2, 0), (2, 1), (3, 0)]);
    assert_eq!((&logs[0].data, logs[0].transaction_hash), (&Bytes::from_static(&[1]), B256::repeat_byte(7)));
    let filter = json!([{"address": EMITTER, "topics": [HASH], "fromBlock": "0x2", "toBlock": "0x3"}]);
    assert_eq!(fake.calls()[0].params, filter);

    let with = |key: &str, value: Value| {
        let mut log = log_json(2, 0);
        log[key] = value;
        json!([log])
    };
    for answer in [
        with("removed", json!(true)),
        with("address", json!(Address::ZERO)),
        with("topics", json!([B256::ZERO])),
        with("topics", json!([])),
        with("topics", json!([HASH, HASH, HASH, HASH, HASH])),
        with("blockNumber", json!("0x4")),
        with("blockNumber", json!(null)),
        json!([log_json(2, 0), log_json(2, 0)]),
        json!(null),
    ] {
        fake.next("eth_getLogs", Reply::Result(answer.clone()));
        let error = client.logs(EMITTER, HASH, 2, 3).await.unwrap_err();
        assert!(matches!(error, EngineError::InvalidResponse { .. }), "{answer} {error:?}");
    }
}

/// A receipt is that of the transaction asked for, with its own logs in order, or it is none.
#[tokio::test]
async fn receipts() {
    let fake = Fake::empty().await;
    let client = fake.client();
    let hash = B256::repeat_byte(7);
    let receipt = || {
        json!({
            "transactionHash": hash,
            "blockNumber": "0x2",
            "status": "0x1",
            "logs": [log_json(2, 3), log_json(2, 5)],
        })
    };
    let with = |key: &str, value: Value| {
        let mut receipt = receipt();
        receipt[key] = value;
        receipt
    };
    let answer = async |answer: Value| {
        fake.next("eth_getTransactionReceipt", Reply::Result(answer));
        client.receipt(hash).await
    };
    let read = answer(receipt()).await.unwrap().unwrap();
    assert_eq!((read.transaction_hash, read.block_number, read.succeeded), (hash, 2, true));
    assert_eq!(read.logs.iter().map(|log| log.log_index).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(fake.calls()[0].params, json!([hash]));
    assert!(!answer(with("status", json!("0x0"))).await.unwrap().unwrap().succeeded);
    assert_eq!(answer(json!(null)).await.unwrap(), None, "not known");
    assert_eq!(answer(with("blockNumber", json!(null))).await.unwrap(), None, "only pending");
    for wrong in [
        with("transactionHash", json!(HASH)),
        with("status", json!("0x2")),
        with("status", json!(null)),
        with("blockNumber", json!("0x3")),
        with("logs", json!([log_json(2, 5), log_json(2, 3)])),
        with("logs", json!([log_json(2, 3), log_json(2, 3)])),
        with("logs", json!([log_json(1, 3)])),
        with("logs", json!(null)),
    ] {
        let error = answer(wrong.clone()).await.unwrap_err();
        assert!(matches!(error, EngineError::InvalidResponse { .. }), "{wrong} {error:?}");
    }
}

/// The witness goes to the prover as the client wrote it: key order, white space and all.
#[tokio::test]
async fn witnesses_are_not_touched() {
    let fake = Fake::empty().await;
    let client = fake.client();
    fake.next(
        "debug_executionWitness",
        Reply::Body(r#"{"jsonrpc":"2.0","id":$ID,"result":{"b": 1e2,  "a":[ ]}}"#),
    );
    assert_eq!(client.execution_witness(16).await.unwrap().as_ref(), br#"{"b": 1e2,  "a":[ ]}"#);
    assert_eq!(fake.calls()[0].params, json!(["0x10"]));
    fake.next("debug_executionWitness", Reply::Result(json!(null)));
    assert!(matches!(client.execution_witness(16).await, Err(EngineError::InvalidResponse { .. })));
}

#[tokio::test]
async fn what_a_client_cannot_serve() {
    let fake =
        Fake::start(|method, _| (method == "eth_getBlockByNumber").then(|| Reply::Result(header_json(10))))
            .await;
    let client = fake.client();
    for error in [
        client.execution_witness(10).await.unwrap_err(),
        client.chain_config().await.unwrap_err(),
        client.full_block(10).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, EngineError::NotSupported { client, .. } if client == "Fake/v1.2.3"),
            "{error:?}"
        );
        assert_eq!(error.severity(), Severity::Recoverable);
    }
    fake.next("debug_chainConfig", Reply::Result(json!({"chainId": 7})));
    assert_eq!(client.chain_config().await, Ok(json!({"chainId": 7})));
    fake.next("debug_chainConfig", Reply::Result(json!([])));
    assert!(matches!(client.chain_config().await, Err(EngineError::InvalidResponse { .. })));
}

#[tokio::test]
async fn whole_blocks() {
    use alloy_consensus::{Block, BlockBody, Header, SignableTransaction, TxEip1559, TxEnvelope, TxLegacy};
    use alloy_eips::{eip2718::Encodable2718, eip4895};
    let signature = alloy_primitives::Signature::test_signature();
    let txs = vec![
        TxEnvelope::from(
            TxLegacy { nonce: 3, gas_limit: 21_000, ..Default::default() }.into_signed(signature),
        ),
        TxEnvelope::from(
            TxEip1559 { chain_id: 5, input: vec![1; 80].into(), ..Default::default() }.into_signed(signature),
        ),
    ];
    let withdrawal = eip4895::Withdrawal { index: 9, validator_index: 1, address: EMITTER, amount: 1 << 40 };
    let no_requests = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let raw_block = |requests_hash: Option<B256>| {
        let header = Header {
            number: 10,
            parent_hash: B256::repeat_byte(1),
            state_root: B256::repeat_byte(2),
            mix_hash: B256::repeat_byte(3),
            timestamp: 250,
            gas_limit: 30_000_000,
            extra_data: Bytes::from_static(b"ensemble"),
            base_fee_per_gas: Some(7),
            withdrawals_root: Some(B256::repeat_byte(4)),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(1 << 17),
            parent_beacon_block_root: Some(B256::repeat_byte(5)),
            requests_hash,
            ..Default::default()
        };
        let body = BlockBody {
            transactions: txs.clone(),
            ommers: vec![],
            withdrawals: Some(vec![withdrawal].into()),
        };
        (
            header.hash_slow(),
            alloy_primitives::hex::encode_prefixed(alloy_rlp::encode(Block { header, body })),
        )
    };

    let fake =
        Fake::start(|method, _| (method == "eth_getBlockByNumber").then(|| Reply::Result(header_json(10))))
            .await;
    let client = fake.client();
    for requests_hash in [None, Some(no_requests)] {
        let (hash, raw) = raw_block(requests_hash);
        fake.next("debug_getRawBlock", Reply::Result(json!(raw)));
        let block = client.full_block(10).await.unwrap().unwrap();
        assert_eq!((block.block_hash, block.number, block.timestamp), (hash, 10, 250));
        assert_eq!((block.prev_randao, block.excess_blob_gas), (B256::repeat_byte(3), 1 << 17));
        assert_eq!(block.parent_beacon_block_root, B256::repeat_byte(5));
        let raw_txs: Vec<Bytes> = txs.iter().map(|tx| tx.encoded_2718().into()).collect();
        assert_eq!(block.transactions, raw_txs);
        let expected = Withdrawal { index: 9, validator_index: 1, address: EMITTER, amount_gwei: 1 << 40 };
        assert_eq!(block.withdrawals, [expected]);
        assert!(block.execution_requests.is_empty());
        assert_eq!(block.extra_data, Bytes::from_static(b"ensemble"));

        // SEQ-INV-11: cut anywhere
        let bytes = alloy_primitives::hex::decode(&raw).unwrap();
        for end in (1..bytes.len()).step_by(23) {
            fake.next("debug_getRawBlock", Reply::Result(json!(Bytes::copy_from_slice(&bytes[..end]))));
            let error = client.full_block(10).await.unwrap_err();
            assert!(matches!(error, EngineError::InvalidResponse { .. }), "{end} {error:?}");
        }
    }
    // requests are not in the block: a block made up without them would be another one
    fake.next("debug_getRawBlock", Reply::Result(json!(raw_block(Some(HASH)).1)));
    assert!(matches!(client.full_block(10).await, Err(EngineError::NotSupported { .. })));
    fake.next("eth_getBlockByNumber", Reply::Result(header_json(9)));
    fake.next("debug_getRawBlock", Reply::Result(json!(raw_block(None).1)));
    assert!(matches!(client.full_block(9).await, Err(EngineError::InvalidResponse { .. })));
    fake.next("eth_getBlockByNumber", Reply::Result(json!(null)));
    assert_eq!(client.full_block(10).await, Ok(None));
}
