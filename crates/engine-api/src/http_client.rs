//! [`HttpExecutionClient`]: an execution client over JSON-RPC.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use ensemble_batch::SealedBlock;
use http::{HeaderValue, header::AUTHORIZATION};
use jsonrpsee::{
    core::{
        client::{ClientT, Error as ClientError},
        http_helpers::HttpError,
        traits::ToRpcParams,
    },
    http_client::{
        HttpBackend, HttpClient, HttpClientBuilder, HttpRequest, RpcLogger, RpcService,
        transport::Error as TransportError,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use tower::{Layer, Service, ServiceBuilder};

use crate::{
    BlockId, BlockSummary, BuiltPayload, ClientLog, ClientReceipt, EngineError, ExecutionClient,
    ForkSchedule, ForkchoiceState, ForkchoiceUpdated, JwtSecret, PayloadAttributes, PayloadId, PayloadStatus,
    capabilities::{EXCHANGE_CAPABILITIES, FORKCHOICE_UPDATED_V3, OURS},
    error::{from_rpc_error, remote_text},
    json::{
        JsonBlock, JsonBuiltPayload, JsonForkchoiceState, JsonForkchoiceUpdated, JsonLog, JsonPayload,
        JsonPayloadAttributes, JsonPayloadStatus, JsonReceipt, Quantity,
    },
    raw_block::{self, RawBlockError},
};

/// Builds whose parent beacon block root is remembered until their payload is fetched.
const MAX_BUILDS: usize = 64;

/// Most capabilities that are kept of a client's list, and the longest name kept; clients list about 30.
const MAX_CAPABILITIES: usize = 1024;
const MAX_CAPABILITY_LEN: usize = 128;

/// An empty JSON array.
const NO_PARAMS: [(); 0] = [];

/// How to reach an execution client.
#[derive(Clone)]
pub struct EngineConfig {
    /// URL of the authenticated port (`--authrpc…`), http or https.
    pub auth_url: String,
    /// Secret of the authenticated port.
    pub jwt: JwtSecret,
    /// URL of the public port for `eth_` and `debug_` methods; without it they go to the authenticated port, where
    /// clients serve `eth_` but mostly not `debug_`.
    pub public_url: Option<String>,
    /// Limit for one request with its answer.
    pub timeout: Duration,
    /// Largest answer that is read, in bytes. Witnesses are the largest.
    pub max_response_bytes: u32,
    /// Forks of the L2.
    pub forks: ForkSchedule,
}

impl Debug for EngineConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConfig")
            .field("auth_url", &bare_url(&self.auth_url))
            .field("jwt", &self.jwt)
            .field("public_url", &self.public_url.as_deref().map(bare_url))
            .field("timeout", &self.timeout)
            .field("max_response_bytes", &self.max_response_bytes)
            .field("forks", &self.forks)
            .finish()
    }
}

/// Scheme, host and port of a URL: user info, path and query may hold credentials.
fn bare_url(url: &str) -> String {
    match url.parse::<http::Uri>() {
        Ok(uri) => match (uri.scheme_str(), uri.host()) {
            (Some(scheme), Some(host)) => match uri.port_u16() {
                Some(port) => format!("{scheme}://{host}:{port}"),
                None => format!("{scheme}://{host}"),
            },
            _ => "(no URL)".into(),
        },
        Err(_) => "(no URL)".into(),
    }
}

/// Adds a token that was made just now to every request.
#[derive(Clone, Debug)]
struct AuthLayer(Option<Arc<JwtSecret>>);

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { inner, jwt: self.0.clone() }
    }
}

#[derive(Clone, Debug)]
struct Auth<S> {
    inner: S,
    jwt: Option<Arc<JwtSecret>>,
}

fn bearer(jwt: &JwtSecret) -> Result<HeaderValue, TransportError> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| TransportError::Http(HttpError::Stream(e));
    let token = jwt.token().map_err(|e| failed(e.into()))?;
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.as_str())).map_err(|e| failed(e.into()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl<S> Service<HttpRequest> for Auth<S>
where
    S: Service<HttpRequest, Error = TransportError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, TransportError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: HttpRequest) -> Self::Future {
        if let Some(jwt) = &self.jwt {
            match bearer(jwt) {
                Ok(value) => {
                    request.headers_mut().insert(AUTHORIZATION, value);
                }
                Err(e) => return Box::pin(std::future::ready(Err(e))),
            }
        }
        Box::pin(self.inner.call(request))
    }
}

type Rpc = HttpClient<RpcLogger<RpcService<Auth<HttpBackend>>>>;

/// Positional parameters: a tuple that serializes to a JSON array.
struct Params(Box<RawValue>);

impl ToRpcParams for Params {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0))
    }
}

/// What the client said it offers.
#[derive(Debug)]
enum Offers {
    /// Not asked yet, or to be asked anew.
    Unknown,
    /// The client does not know `engine_exchangeCapabilities`; its answers will tell.
    Anything,
    Methods(BTreeSet<String>),
}

/// [`ExecutionClient`] over JSON-RPC and HTTP.
///
/// Every request to the authenticated port carries a token of its own. Method versions follow the fork of the
/// payload's timestamp; a method that the client does not list is not sent. Capabilities are exchanged before the
/// first Engine API call, and anew when a needed method is not in the list or the client says that it does not
/// know one: it may have been replaced by another version meanwhile.
pub struct HttpExecutionClient {
    auth: Rpc,
    public: Option<Rpc>,
    auth_url: String,
    timeout: Duration,
    max_response_bytes: u32,
    forks: ForkSchedule,
    offers: RwLock<Offers>,
    builds: Mutex<VecDeque<(PayloadId, B256)>>,
}

impl Debug for HttpExecutionClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpExecutionClient")
            .field("auth_url", &self.auth_url)
            .field("public", &self.public.is_some())
            .field("timeout", &self.timeout)
            .field("forks", &self.forks)
            .finish_non_exhaustive()
    }
}

impl HttpExecutionClient {
    /// A client for this configuration. Nothing is sent yet: the execution client may come up later.
    ///
    /// # Errors
    /// [`EngineError::InvalidConfig`] when a URL is none or a limit is zero.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        if config.timeout.is_zero() {
            return Err(EngineError::InvalidConfig { reason: "the timeout is zero".into() });
        }
        if config.max_response_bytes == 0 {
            return Err(EngineError::InvalidConfig { reason: "the limit of answers is zero bytes".into() });
        }
        let connect = |url: &str, name: &str, jwt: Option<Arc<JwtSecret>>| {
            HttpClientBuilder::default()
                .request_timeout(config.timeout)
                .connect_timeout(config.timeout)
                .max_response_size(config.max_response_bytes)
                // requests hold our own blocks, whose size gas bounds
                .max_request_size(u32::MAX)
                .set_http_middleware(ServiceBuilder::new().layer(AuthLayer(jwt)))
                .build(url)
                .map_err(|e| EngineError::InvalidConfig { reason: format!("{name}: {e}") })
        };
        let jwt = Arc::new(config.jwt);
        Ok(Self {
            auth: connect(&config.auth_url, "auth_url", Some(jwt))?,
            public: config.public_url.as_deref().map(|url| connect(url, "public_url", None)).transpose()?,
            auth_url: bare_url(&config.auth_url),
            timeout: config.timeout,
            max_response_bytes: config.max_response_bytes,
            forks: config.forks,
            offers: RwLock::new(Offers::Unknown),
            builds: Mutex::new(VecDeque::new()),
        })
    }

    /// [`Self::new`], then exchanges capabilities, so that a wrong URL or secret shows at once.
    ///
    /// # Errors
    /// As [`Self::new`] and [`ExecutionClient::exchange_capabilities`]; a client that does not know
    /// `engine_exchangeCapabilities` is no error.
    pub async fn connect(config: EngineConfig) -> Result<Self, EngineError> {
        let client = Self::new(config)?;
        match client.exchange_capabilities().await {
            Ok(_) | Err(EngineError::MethodNotFound { .. }) => Ok(client),
            Err(e) => Err(e),
        }
    }

    async fn send<R: DeserializeOwned>(
        &self,
        rpc: &Rpc,
        method: &'static str,
        payload_id: Option<PayloadId>,
        params: impl Serialize + Send,
    ) -> Result<R, EngineError> {
        let invalid = |reason: String| EngineError::InvalidResponse { method, reason: remote_text(&reason) };
        let params =
            Params(to_raw_value(&params).map_err(|e| invalid(format!("cannot write the request: {e}")))?);
        let raw: Box<RawValue> =
            rpc.request(method, params).await.map_err(|e| self.map_error(method, payload_id, e))?;
        serde_json::from_str(raw.get()).map_err(|e| invalid(e.to_string()))
    }

    fn map_error(&self, method: &'static str, payload_id: Option<PayloadId>, e: ClientError) -> EngineError {
        let invalid = |reason: String| EngineError::InvalidResponse { method, reason: remote_text(&reason) };
        let transport = |reason: String| EngineError::Transport { method, reason: remote_text(&reason) };
        match e {
            ClientError::Call(object) => {
                // some clients say in `data` what is wrong, and in `message` only what the code says already
                let message = match object.data() {
                    Some(data) => format!("{}: {}", object.message(), data.get()),
                    None => object.message().to_owned(),
                };
                from_rpc_error(method, payload_id, object.code(), &message)
            }
            ClientError::RequestTimeout => EngineError::Timeout { method },
            ClientError::ParseError(e) => invalid(e.to_string()),
            ClientError::InvalidRequestId(e) => invalid(e.to_string()),
            ClientError::Transport(e) => match e.downcast_ref::<TransportError>() {
                Some(TransportError::Rejected { status_code: status @ (401 | 403) }) => {
                    EngineError::Unauthorized { method, reason: format!("HTTP status {status}") }
                }
                Some(TransportError::Rejected { status_code }) => {
                    transport(format!("HTTP status {status_code}"))
                }
                Some(TransportError::Http(HttpError::TooLarge)) => self.too_large(method),
                Some(TransportError::Http(HttpError::Malformed)) => {
                    invalid("the answer is no JSON object".into())
                }
                Some(TransportError::Http(HttpError::Stream(inner))) => {
                    if inner.is::<http_body_util::LengthLimitError>() {
                        self.too_large(method)
                    } else {
                        transport(with_sources(inner.as_ref()))
                    }
                }
                Some(
                    TransportError::Url(_)
                    | TransportError::RequestTooLarge
                    | TransportError::InvalidCertficateStore,
                )
                | None => transport(with_sources(e.as_ref())),
            },
            other => transport(other.to_string()),
        }
    }

    fn too_large(&self, method: &'static str) -> EngineError {
        EngineError::TooLarge { method, limit: self.max_response_bytes }
    }

    async fn public<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Serialize + Send,
    ) -> Result<R, EngineError> {
        self.send(self.public.as_ref().unwrap_or(&self.auth), method, None, params).await
    }

    /// A call of the Engine API, once the client is known to offer it.
    async fn engine<R: DeserializeOwned>(
        &self,
        method: &'static str,
        payload_id: Option<PayloadId>,
        params: impl Serialize + Send,
    ) -> Result<R, EngineError> {
        self.require(method).await?;
        let result = self.send(&self.auth, method, payload_id, params).await;
        if matches!(result, Err(EngineError::MethodNotFound { .. })) {
            self.set_offers(Offers::Unknown);
        }
        result
    }

    fn set_offers(&self, offers: Offers) {
        *self.offers.write().unwrap_or_else(PoisonError::into_inner) = offers;
    }

    /// `None`: not known.
    fn offers(&self, method: &str) -> Option<bool> {
        match &*self.offers.read().unwrap_or_else(PoisonError::into_inner) {
            Offers::Unknown => None,
            Offers::Anything => Some(true),
            Offers::Methods(methods) => Some(methods.contains(method)),
        }
    }

    async fn require(&self, method: &'static str) -> Result<(), EngineError> {
        if self.offers(method) == Some(true) {
            return Ok(());
        }
        match self.exchange_capabilities().await {
            Ok(_) | Err(EngineError::MethodNotFound { .. }) => {}
            Err(e) => return Err(e),
        }
        match self.offers(method) {
            // another call just learnt that the list is out of date; this call's answer will tell
            Some(true) | None => Ok(()),
            Some(false) => Err(EngineError::NotOffered { method, client: self.client_name().await }),
        }
    }

    /// Name and version of the client, for errors.
    async fn client_name(&self) -> String {
        let name: Result<String, _> = self.public("web3_clientVersion", NO_PARAMS).await;
        name.map_or_else(|_| "the execution client".into(), |name| remote_text(&name))
    }

    /// Turns "method not found" into [`EngineError::NotSupported`].
    async fn optional<R>(&self, result: Result<R, EngineError>, hint: &str) -> Result<R, EngineError> {
        match result {
            Err(EngineError::MethodNotFound { method }) => Err(EngineError::NotSupported {
                method,
                client: self.client_name().await,
                reason: format!("it does not know the method on this port; {hint}"),
            }),
            other => other,
        }
    }

    fn remember_build(&self, id: PayloadId, parent_beacon_block_root: B256) {
        let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        builds.retain(|(known, _)| *known != id);
        if builds.len() >= MAX_BUILDS {
            builds.pop_front();
        }
        builds.push_back((id, parent_beacon_block_root));
    }

    fn beacon_root_of(&self, id: &PayloadId) -> Option<B256> {
        let builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        builds.iter().find(|(known, _)| known == id).map(|(_, root)| *root)
    }
}

/// An error with what caused it: hyper's own text is only "client error (Connect)".
fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let more = e.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = e.source();
    }
    text
}

fn quantity(value: u64) -> String {
    format!("{value:#x}")
}

#[async_trait]
impl ExecutionClient for HttpExecutionClient {
    async fn exchange_capabilities(&self) -> Result<Vec<String>, EngineError> {
        let answer: Result<Vec<String>, _> =
            self.send(&self.auth, EXCHANGE_CAPABILITIES, None, (OURS,)).await;
        match answer {
            Ok(list) => {
                let methods: BTreeSet<String> = list
                    .into_iter()
                    .filter(|method| method.len() <= MAX_CAPABILITY_LEN)
                    .take(MAX_CAPABILITIES)
                    .collect();
                let sorted = methods.iter().cloned().collect();
                self.set_offers(Offers::Methods(methods));
                Ok(sorted)
            }
            Err(e) => {
                let unknown = matches!(e, EngineError::MethodNotFound { .. });
                self.set_offers(if unknown { Offers::Anything } else { Offers::Unknown });
                Err(e)
            }
        }
    }

    async fn chain_id(&self) -> Result<u64, EngineError> {
        self.public::<Quantity>("eth_chainId", NO_PARAMS).await.map(|q| q.0)
    }

    async fn block(&self, id: BlockId) -> Result<Option<BlockSummary>, EngineError> {
        const BY_NUMBER: &str = "eth_getBlockByNumber";
        const BY_HASH: &str = "eth_getBlockByHash";
        let (method, which, tag) = match id {
            BlockId::Latest => (BY_NUMBER, "latest".to_owned(), true),
            BlockId::Safe => (BY_NUMBER, "safe".to_owned(), true),
            BlockId::Finalized => (BY_NUMBER, "finalized".to_owned(), true),
            BlockId::Number(number) => (BY_NUMBER, quantity(number), false),
            BlockId::Hash(hash) => (BY_HASH, hash.to_string(), false),
        };
        let block: Option<JsonBlock> = match self.public(method, (which, false)).await {
            Ok(block) => block,
            // geth answers an error instead of null while there is no safe or finalized block
            Err(EngineError::Rpc { code, message, .. })
                if tag && (code == -39001 || message.to_lowercase().ends_with("block not found")) =>
            {
                None
            }
            Err(e) => return Err(e),
        };
        let Some(block) = block.map(BlockSummary::from) else { return Ok(None) };
        let wrong = match id {
            BlockId::Number(number) => block.number != number,
            BlockId::Hash(hash) => block.hash != hash,
            BlockId::Latest | BlockId::Safe | BlockId::Finalized => false,
        };
        if wrong {
            let reason = format!("asked for {id:?}, got block {} {}", block.number, block.hash);
            return Err(EngineError::InvalidResponse { method, reason });
        }
        Ok(Some(block))
    }

    async fn full_block(&self, number: u64) -> Result<Option<SealedBlock>, EngineError> {
        const METHOD: &str = "debug_getRawBlock";
        let hint = "start it with the debug namespace on the public port";
        // clients answer a missing block by null, by empty data, or by an error of their own choice
        if self.block(BlockId::Number(number)).await?.is_none() {
            return Ok(None);
        }
        let raw: Result<Option<String>, _> = self.public(METHOD, (quantity(number),)).await;
        let Some(hex) = self.optional(raw, hint).await? else { return Ok(None) };
        // as a string: `Bytes` itself would also take a list of numbers
        let raw: Bytes = hex
            .parse()
            .map_err(|e| EngineError::InvalidResponse { method: METHOD, reason: format!("no hex: {e}") })?;
        if raw.is_empty() {
            return Ok(None);
        }
        match raw_block::decode(&raw) {
            Ok(block) if block.number == number => Ok(Some(block)),
            Ok(block) => Err(EngineError::InvalidResponse {
                method: METHOD,
                reason: format!("asked for block {number}, got {}", block.number),
            }),
            Err(RawBlockError::Malformed(reason)) => {
                Err(EngineError::InvalidResponse { method: METHOD, reason })
            }
            Err(RawBlockError::HasRequests) => Err(EngineError::NotSupported {
                method: METHOD,
                client: self.client_name().await,
                reason: format!("block {number} has execution requests, which only the payload holds"),
            }),
        }
    }

    async fn forkchoice_updated(
        &self,
        state: ForkchoiceState,
        attributes: Option<&PayloadAttributes>,
    ) -> Result<ForkchoiceUpdated, EngineError> {
        let method = match attributes {
            Some(attributes) => {
                self.forks.at(attributes.timestamp, FORKCHOICE_UPDATED_V3)?.forkchoice_updated()
            }
            None => FORKCHOICE_UPDATED_V3,
        };
        let params = (JsonForkchoiceState::from(state), attributes.map(JsonPayloadAttributes::from));
        let answer: JsonForkchoiceUpdated = self.engine(method, None, params).await?;
        if let (Some(id), Some(attributes)) = (answer.payload_id, attributes) {
            self.remember_build(id, attributes.parent_beacon_block_root);
        }
        Ok(ForkchoiceUpdated { status: answer.payload_status.into(), payload_id: answer.payload_id })
    }

    async fn get_payload(&self, id: &PayloadId, timestamp: u64) -> Result<BuiltPayload, EngineError> {
        let Some(beacon_root) = self.beacon_root_of(id) else {
            return Err(EngineError::UnknownPayload {
                payload_id: *id,
                message: "the build was not started through this connection".into(),
            });
        };
        let fork = self.forks.at(timestamp, "engine_getPayload")?;
        let method = fork.get_payload();
        let answer: JsonBuiltPayload = self.engine(method, Some(*id), (id,)).await?;
        let invalid = |reason| EngineError::InvalidResponse { method, reason };
        let (block, block_value) = answer.into_block(fork.has_requests(), beacon_root).map_err(invalid)?;
        if block.timestamp != timestamp {
            return Err(invalid(format!("asked for timestamp {timestamp}, got {}", block.timestamp)));
        }
        Ok(BuiltPayload { block, block_value })
    }

    async fn new_payload(&self, block: &SealedBlock) -> Result<PayloadStatus, EngineError> {
        let fork = self.forks.at(block.timestamp, "engine_newPayload")?;
        let method = fork.new_payload();
        let hashes = match raw_block::blob_versioned_hashes(&block.transactions) {
            Ok(hashes) => hashes,
            Err(reason) => {
                return Ok(PayloadStatus::Invalid {
                    latest_valid_hash: None,
                    validation_error: Some(reason),
                });
            }
        };
        let payload = JsonPayload::from(block);
        let beacon_root = block.parent_beacon_block_root;
        let answer: JsonPayloadStatus = if fork.has_requests() {
            self.engine(method, None, (payload, hashes, beacon_root, &block.execution_requests)).await?
        } else {
            self.engine(method, None, (payload, hashes, beacon_root)).await?
        };
        Ok(answer.into())
    }

    async fn logs(
        &self,
        address: Address,
        topic0: B256,
        from_block: u64,
        to_block: u64,
    ) -> Result<Vec<ClientLog>, EngineError> {
        const METHOD: &str = "eth_getLogs";
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Filter {
            address: Address,
            topics: [B256; 1],
            from_block: String,
            to_block: String,
        }
        let filter = Filter {
            address,
            topics: [topic0],
            from_block: quantity(from_block),
            to_block: quantity(to_block),
        };
        let logs: Vec<JsonLog> = self.public(METHOD, (filter,)).await?;
        let invalid = |reason: &str| EngineError::InvalidResponse { method: METHOD, reason: reason.into() };
        if logs.iter().any(|log| log.removed) {
            return Err(invalid("a log of a removed block"));
        }
        let mut logs: Vec<ClientLog> = logs.into_iter().map(Into::into).collect();
        for log in &logs {
            if log.address != address || log.topics.first() != Some(&topic0) || log.topics.len() > 4 {
                return Err(invalid("a log that does not match the filter"));
            }
            if log.block_number < from_block || log.block_number > to_block {
                return Err(invalid("a log outside of the range of blocks"));
            }
        }
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        if logs.windows(2).any(|w| (w[0].block_number, w[0].log_index) == (w[1].block_number, w[1].log_index))
        {
            return Err(invalid("the same log twice"));
        }
        Ok(logs)
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<ClientReceipt>, EngineError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let receipt: Option<JsonReceipt> = self.public(METHOD, (transaction,)).await?;
        let receipt = receipt.map(|receipt| receipt.into_receipt(transaction)).transpose();
        let invalid = |reason| EngineError::InvalidResponse { method: METHOD, reason };
        receipt.map(Option::flatten).map_err(invalid)
    }

    async fn execution_witness(&self, number: u64) -> Result<Bytes, EngineError> {
        const METHOD: &str = "debug_executionWitness";
        let raw: Result<Box<RawValue>, _> = self.public(METHOD, (quantity(number),)).await;
        let raw = self.optional(raw, "use a client that serves it, or a shadow node for witnesses").await?;
        if raw.get() == "null" {
            return Err(EngineError::InvalidResponse {
                method: METHOD,
                reason: format!("no witness of {number}"),
            });
        }
        Ok(Bytes::from(Box::<str>::from(raw).into_boxed_bytes()))
    }

    async fn chain_config(&self) -> Result<serde_json::Value, EngineError> {
        const METHOD: &str = "debug_chainConfig";
        let config: Result<serde_json::Value, _> = self.public(METHOD, NO_PARAMS).await;
        let config = self.optional(config, "give the genesis file in the configuration").await?;
        if !config.is_object() {
            return Err(EngineError::InvalidResponse { method: METHOD, reason: "not a JSON object".into() });
        }
        Ok(config)
    }
}
