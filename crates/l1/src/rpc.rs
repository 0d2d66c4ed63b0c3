//! The JSON-RPC client.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use async_trait::async_trait;
use futures::future::join_all;
use jsonrpsee::core::ClientError;
use jsonrpsee::core::client::ClientT;
use jsonrpsee::core::http_helpers::HttpError;
use jsonrpsee::core::traits::ToRpcParams;
use jsonrpsee::http_client::transport::Error as HttpTransportError;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::classify::classify_rpc_error;
use crate::endpoint::Endpoint;
use crate::error::tame;
use crate::failover::{Change, EndpointStatus, Failover, FailoverConfig, Standing};
use crate::wire::{
    WireBlock, WireFeeHistory, WireLog, WirePool, WireReceipt, WireSlot, WireTransaction, checked_logs,
    to_u64, to_u128,
};
use crate::{BlockTag, FeeHistory, L1Block, L1Client, L1Error, L1Log, L1Transaction, LogFilter, TxReceipt};

/// Limits of [`RpcL1Client`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RpcConfig {
    /// Longest wait for one answer of one endpoint.
    pub timeout: Duration,
    /// Longest answer in bytes.
    pub max_response_bytes: u32,
    /// How several endpoints share the work.
    pub failover: FailoverConfig,
}

impl Default for RpcConfig {
    /// 10 seconds, 16 MiB, and the defaults of [`FailoverConfig`].
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_response_bytes: 16 << 20,
            failover: FailoverConfig::default(),
        }
    }
}

/// L1 client over one or several JSON-RPC endpoints.
///
/// With two or more, a read now and then looks at all of them first: chain id, head, and whether they have the same
/// block some way below the head. A read goes to the first good one in the order of the list; when that fails by its
/// own fault ([`L1Error::is_endpoint_fault`]) it rests for a time that grows with each failure, and the others are
/// tried in turn. One that is behind, or rests, is tried when no good one answers; one on another fork or another
/// chain is never used. A transaction goes to one endpoint after the other until one accepts it.
/// [`L1Client::endpoints`] tells what is thought of each.
///
/// Endpoints may be at different heights, so what two calls report may step back by a few blocks: callers compare
/// hashes, as they must for reorgs anyway.
pub struct RpcL1Client {
    nodes: Vec<Node>,
    failover: Mutex<Failover>,
    expected_chain: OnceLock<u64>,
    config: RpcConfig,
}

struct Node {
    endpoint: Endpoint,
    http: HttpClient,
    chain_checked: AtomicBool,
}

impl fmt::Debug for RpcL1Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcL1Client")
            .field("endpoints", &self.nodes.iter().map(|n| &n.endpoint).collect::<Vec<_>>())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Largest request in bytes: nine blobs as hex, cell proofs included, fit.
const MAX_REQUEST_BYTES: u32 = 8 << 20;

struct Params(Vec<Value>);

impl ToRpcParams for Params {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        serde_json::value::to_raw_value(&self.0).map(Some)
    }
}

impl RpcL1Client {
    /// A client over these endpoints, in order of preference. Opens no connection yet.
    ///
    /// # Errors
    /// [`L1Error::InvalidEndpoint`] when there is none, or one is no http(s) URL.
    pub fn new(urls: Vec<String>, config: RpcConfig) -> Result<Self, L1Error> {
        if urls.is_empty() {
            return Err(L1Error::InvalidEndpoint {
                endpoint: "<none>".to_owned(),
                reason: "at least one L1 RPC URL is needed".to_owned(),
            });
        }
        let nodes = urls
            .iter()
            .map(|url| {
                let endpoint = Endpoint::parse(url)?;
                let http = HttpClientBuilder::default()
                    .request_timeout(config.timeout)
                    .max_response_size(config.max_response_bytes)
                    .max_request_size(MAX_REQUEST_BYTES)
                    .build(endpoint.url())
                    .map_err(|e| L1Error::InvalidEndpoint {
                        endpoint: endpoint.masked().to_owned(),
                        reason: tame(&endpoint.scrub(&e.to_string())),
                    })?;
                Ok(Node { endpoint, http, chain_checked: AtomicBool::new(false) })
            })
            .collect::<Result<Vec<_>, L1Error>>()?;
        let failover = Mutex::new(Failover::new(nodes.len(), config.failover));
        Ok(Self { nodes, failover, expected_chain: OnceLock::new(), config })
    }

    fn failover(&self) -> MutexGuard<'_, Failover> {
        self.failover.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to ask, best first, after a look at all of them when one is due.
    async fn endpoints_in_order(&self) -> Vec<(usize, &Node)> {
        let due = self.failover().due(Instant::now());
        if !due.is_empty() {
            self.look_at(due).await;
        }
        let order = self.failover().order();
        order.into_iter().filter_map(|index| Some((index, self.nodes.get(index)?))).collect()
    }

    /// A look at these endpoints, at all of them at once.
    async fn look_at(&self, due: Vec<usize>) {
        let heads = self.ask(&due, BlockTag::Latest).await;
        let heads: Vec<_> = heads.into_iter().map(|(index, block)| (index, block.number)).collect();
        let (changes, compared, height) = self.failover().heads(Instant::now(), &heads);
        self.tell(changes);
        if compared.is_empty() {
            return;
        }
        let blocks = self.ask(&compared, BlockTag::Number(height)).await;
        let blocks: Vec<_> = blocks.into_iter().map(|(index, block)| (index, block.hash)).collect();
        let changes = self.failover().blocks(Instant::now(), height, &blocks);
        self.tell(changes);
    }

    /// The same block of several endpoints; who does not answer is taken note of.
    async fn ask(&self, whom: &[usize], tag: BlockTag) -> Vec<(usize, L1Block)> {
        let method = "eth_getBlockByNumber";
        let limit = self.config.failover.check_timeout;
        let asked = whom.iter().filter_map(|&index| Some((index, self.nodes.get(index)?)));
        let answers = join_all(asked.map(|(index, node)| async move {
            let late = L1Error::Timeout { endpoint: node.endpoint.masked().to_owned(), method, after: limit };
            let question =
                self.request_on::<Option<WireBlock>>(node, method, vec![tag_param(tag), json!(false)]);
            let answer = tokio::time::timeout(limit, question).await.unwrap_or(Err(late));
            let block = answer.and_then(|wire| {
                let block =
                    wire.ok_or_else(|| "there is no such block".to_owned()).and_then(WireBlock::into_block);
                block.map_err(|reason| invalid(method, &format!("block {tag}: {reason}")))
            });
            (index, block)
        }))
        .await;
        let mut blocks = Vec::with_capacity(answers.len());
        for (index, answer) in answers {
            match answer {
                Ok(block) => blocks.push((index, block)),
                Err(error) => self.note_failure(index, &error),
            }
        }
        blocks
    }

    fn note_failure(&self, index: usize, error: &L1Error) {
        if let (Some(node), L1Error::Transport { .. }) = (self.nodes.get(index), error) {
            // what comes back behind the same URL may be something else
            node.chain_checked.store(false, Ordering::Release);
        }
        let change = self.failover().failed(index, Instant::now(), error);
        self.tell(change);
    }

    fn tell(&self, changes: impl IntoIterator<Item = Change>) {
        if self.nodes.len() < 2 {
            return;
        }
        for Change { index, standing } in changes {
            let Some(endpoint) = self.nodes.get(index).map(|node| node.endpoint.masked()) else { continue };
            match standing {
                Standing::Good => tracing::info!(endpoint, "L1 endpoint is good again"),
                Standing::Lagging { .. } | Standing::Failing { .. } => {
                    tracing::warn!(endpoint, %standing, "L1 endpoint is given up for a while");
                }
                Standing::Forked { .. } | Standing::WrongChain { .. } => {
                    tracing::error!(endpoint, %standing, "L1 endpoint is not used");
                }
            }
        }
    }

    /// One request to one endpoint, without failover.
    async fn request_raw(
        &self,
        node: &Node,
        method: &'static str,
        params: Vec<Value>,
    ) -> Result<Box<RawValue>, L1Error> {
        node.http
            .request::<Box<RawValue>, _>(method, Params(params))
            .await
            .map_err(|e| self.map_error(node, method, e))
    }

    /// The same, after making sure that the endpoint serves the right chain once one is demanded.
    async fn request_on<R: DeserializeOwned>(
        &self,
        node: &Node,
        method: &'static str,
        params: Vec<Value>,
    ) -> Result<R, L1Error> {
        if let Some(expected) = self.expected_chain.get()
            && !node.chain_checked.load(Ordering::Acquire)
        {
            self.check_chain(node, *expected).await?;
        }
        decode(method, &self.request_raw(node, method, params).await?)
    }

    async fn check_chain(&self, node: &Node, expected: u64) -> Result<(), L1Error> {
        let method = "eth_chainId";
        let raw = self.request_raw(node, method, Vec::new()).await?;
        let actual = quantity_u64(method, decode(method, &raw)?)?;
        if actual != expected {
            return Err(L1Error::WrongChain { expected, actual });
        }
        node.chain_checked.store(true, Ordering::Release);
        Ok(())
    }

    /// A read with failover. `check` belongs to the answer: an endpoint whose answer fails it is at fault.
    async fn read<R, T>(
        &self,
        method: &'static str,
        params: Vec<Value>,
        check: impl Fn(R) -> Result<T, String> + Send + Sync,
    ) -> Result<T, L1Error>
    where
        R: DeserializeOwned + Send,
        T: Send,
    {
        let mut last_error = None;
        for (index, node) in self.endpoints_in_order().await {
            let result = self
                .request_on::<R>(node, method, params.clone())
                .await
                .and_then(|answer| check(answer).map_err(|reason| invalid(method, &reason)));
            match result {
                Ok(value) => {
                    self.failover().answered(index, Instant::now());
                    return Ok(value);
                }
                // good for all that it offers
                Err(error @ L1Error::MethodUnsupported { .. }) => last_error = Some(error),
                Err(error) if error.is_endpoint_fault() => {
                    self.note_failure(index, &error);
                    last_error = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last_error.unwrap_or_else(|| invalid(method, "no endpoint was asked")))
    }

    fn map_error(&self, node: &Node, method: &'static str, error: ClientError) -> L1Error {
        let transport = |reason: String| L1Error::Transport {
            endpoint: node.endpoint.masked().to_owned(),
            method,
            reason: tame(&node.endpoint.scrub(&reason)),
        };
        let too_large = || match method {
            "eth_getLogs" => L1Error::RangeTooLarge {
                message: format!("the answer exceeds {} bytes", self.config.max_response_bytes),
            },
            _ => L1Error::ResponseTooLarge { method, limit: self.config.max_response_bytes },
        };
        match error {
            ClientError::Call(object) => {
                let data = object.data().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
                let message = node.endpoint.scrub(object.message());
                classify_rpc_error(method, i64::from(object.code()), &message, data.as_ref())
            }
            ClientError::RequestTimeout => L1Error::Timeout {
                endpoint: node.endpoint.masked().to_owned(),
                method,
                after: self.config.timeout,
            },
            ClientError::ParseError(e) => invalid(method, &e.to_string()),
            ClientError::InvalidRequestId(e) => invalid(method, &e.to_string()),
            ClientError::Transport(e) => match e.downcast_ref::<HttpTransportError>() {
                Some(HttpTransportError::Http(HttpError::TooLarge)) => too_large(),
                Some(HttpTransportError::Http(HttpError::Malformed)) => {
                    invalid(method, "the body is not JSON")
                }
                Some(HttpTransportError::Http(HttpError::Stream(cause))) => {
                    let text = chain_text(cause.as_ref());
                    // `http_body_util::LengthLimitError`: the body grew past the limit without a content length.
                    if text.contains("length limit exceeded") { too_large() } else { transport(text) }
                }
                Some(HttpTransportError::Rejected { status_code: 429 }) => {
                    L1Error::RateLimited { message: "HTTP status 429".to_owned() }
                }
                Some(HttpTransportError::Rejected { status_code }) => {
                    transport(format!("HTTP status {status_code}"))
                }
                Some(HttpTransportError::RequestTooLarge) => L1Error::TransactionRejected {
                    message: format!("the request exceeds {MAX_REQUEST_BYTES} bytes"),
                },
                Some(HttpTransportError::Url(_) | HttpTransportError::InvalidCertficateStore) | None => {
                    transport(chain_text(e.as_ref()))
                }
            },
            other => transport(chain_text(&other)),
        }
    }
}

/// An error's text with its causes.
fn chain_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

fn invalid(method: &'static str, reason: &str) -> L1Error {
    L1Error::InvalidResponse { method, reason: tame(reason) }
}

fn decode<R: DeserializeOwned>(method: &'static str, raw: &RawValue) -> Result<R, L1Error> {
    serde_json::from_str(raw.get()).map_err(|e| invalid(method, &e.to_string()))
}

fn quantity_u64(method: &'static str, value: U256) -> Result<u64, L1Error> {
    to_u64(value).map_err(|reason| invalid(method, &reason))
}

fn hex_quantity(value: u64) -> Value {
    Value::String(format!("{value:#x}"))
}

/// A block parameter of a state query.
fn tag_param(tag: BlockTag) -> Value {
    match tag {
        BlockTag::Latest => json!("latest"),
        BlockTag::Safe => json!("safe"),
        BlockTag::Finalized => json!("finalized"),
        BlockTag::Number(n) => hex_quantity(n),
        BlockTag::Hash(hash) => json!({ "blockHash": hash, "requireCanonical": true }),
    }
}

/// The transaction object of `eth_estimateGas`.
fn call_param(from: Address, to: Option<Address>, value: U256, data: &Bytes, blob_hashes: &[B256]) -> Value {
    let mut tx = json!({ "from": from, "value": value, "data": data });
    if let Some(map) = tx.as_object_mut() {
        if let Some(to) = to {
            map.insert("to".to_owned(), json!(to));
        }
        if !blob_hashes.is_empty() {
            map.insert("blobVersionedHashes".to_owned(), json!(blob_hashes));
        }
    }
    tx
}

#[async_trait]
impl L1Client for RpcL1Client {
    async fn chain_id(&self) -> Result<u64, L1Error> {
        self.read("eth_chainId", Vec::new(), to_u64).await
    }

    fn endpoints(&self) -> Vec<EndpointStatus> {
        let failover = self.failover();
        let status = |(node, (standing, head)): (&Node, _)| EndpointStatus {
            endpoint: node.endpoint.masked().to_owned(),
            standing,
            head,
        };
        self.nodes.iter().zip(failover.standings()).map(status).collect()
    }

    /// Checks every endpoint that can be reached now; the others are checked before their first use. The first chain
    /// demanded binds the client for good.
    async fn ensure_chain(&self, expected: u64) -> Result<(), L1Error> {
        let demanded = *self.expected_chain.get_or_init(|| expected);
        if demanded != expected {
            return Err(L1Error::WrongChain { expected, actual: demanded });
        }
        let mut outcome = Err(invalid("eth_chainId", "no endpoint was asked"));
        let mut reached = false;
        for node in &self.nodes {
            match self.check_chain(node, expected).await {
                Ok(()) => reached = true,
                Err(error @ L1Error::WrongChain { .. }) => return Err(error),
                Err(error) => outcome = Err(error),
            }
        }
        if reached { Ok(()) } else { outcome }
    }

    async fn block(&self, tag: BlockTag) -> Result<Option<L1Block>, L1Error> {
        let (method, param) = match tag {
            BlockTag::Hash(hash) => ("eth_getBlockByHash", json!(hash)),
            BlockTag::Latest | BlockTag::Safe | BlockTag::Finalized | BlockTag::Number(_) => {
                ("eth_getBlockByNumber", tag_param(tag))
            }
        };
        let check = move |block: Option<WireBlock>| {
            let Some(block) = block.map(WireBlock::into_block).transpose()? else { return Ok(None) };
            let asked = match tag {
                BlockTag::Number(n) => n == block.number,
                BlockTag::Hash(h) => h == block.hash,
                BlockTag::Latest | BlockTag::Safe | BlockTag::Finalized => true,
            };
            if asked { Ok(Some(block)) } else { Err(format!("asked for block {tag}, got {}", block.number)) }
        };
        match self.read(method, vec![param, json!(false)], check).await {
            // geth says so before the first justification or finalisation.
            Err(L1Error::UnknownBlock { .. }) => Ok(None),
            Err(L1Error::Rpc { message, .. })
                if matches!(tag, BlockTag::Safe | BlockTag::Finalized)
                    && message.to_lowercase().contains("block not") =>
            {
                Ok(None)
            }
            result => result,
        }
    }

    async fn logs(&self, filter: &LogFilter) -> Result<Vec<L1Log>, L1Error> {
        if filter.to_block < filter.from_block {
            return Ok(Vec::new());
        }
        let params = json!({
            "address": filter.address,
            "topics": [filter.topic0],
            "fromBlock": hex_quantity(filter.from_block),
            "toBlock": hex_quantity(filter.to_block),
        });
        let filter = *filter;
        self.read("eth_getLogs", vec![params], move |logs: Vec<WireLog>| checked_logs(logs, &filter)).await
    }

    async fn call(&self, to: Address, data: Bytes, tag: BlockTag) -> Result<Bytes, L1Error> {
        let params = vec![json!({ "to": to, "data": data }), tag_param(tag)];
        self.read("eth_call", params, |text: String| text.parse().map_err(|e| format!("no hex: {e}"))).await
    }

    async fn estimate_gas(
        &self,
        from: Address,
        to: Option<Address>,
        value: U256,
        data: Bytes,
        blob_hashes: &[B256],
    ) -> Result<u64, L1Error> {
        let tx = call_param(from, to, value, &data, blob_hashes);
        self.read("eth_estimateGas", vec![tx], to_u64).await
    }

    async fn estimate_gas_pending(
        &self,
        from: Address,
        to: Address,
        data: Bytes,
        blob_hashes: &[B256],
    ) -> Result<u64, L1Error> {
        let tx = call_param(from, Some(to), U256::ZERO, &data, blob_hashes);
        self.read("eth_estimateGas", vec![tx, json!("pending")], to_u64).await
    }

    async fn transaction_count(&self, address: Address, pending: bool) -> Result<u64, L1Error> {
        let tag = if pending { "pending" } else { "latest" };
        self.read("eth_getTransactionCount", vec![json!(address), json!(tag)], to_u64).await
    }

    /// reth and anvil have the first method, geth, reth and ethrex the second.
    async fn pooled(&self, from: Address, nonce: u64) -> Result<bool, L1Error> {
        let check = move |found: Option<WireSlot>| match found {
            None => Ok(false),
            Some(slot) if slot.is(from, nonce) => Ok(true),
            Some(_) => Err(format!("asked for nonce {nonce} of {from}, got another transaction")),
        };
        let params = vec![json!(from), hex_quantity(nonce)];
        match self.read("eth_getTransactionBySenderAndNonce", params, check).await {
            Err(L1Error::MethodUnsupported { .. }) => {}
            known => return known,
        }
        let check = move |pool: WirePool| Ok(pool.has(nonce));
        self.read("txpool_contentFrom", vec![json!(from)], check).await
    }

    async fn balance(&self, address: Address) -> Result<U256, L1Error> {
        self.read("eth_getBalance", vec![json!(address), json!("latest")], Ok).await
    }

    async fn code(&self, address: Address) -> Result<Bytes, L1Error> {
        let params = vec![json!(address), json!("latest")];
        self.read("eth_getCode", params, |text: String| text.parse().map_err(|e| format!("no hex: {e}")))
            .await
    }

    async fn fee_history(&self, blocks: u64, percentile: f64) -> Result<FeeHistory, L1Error> {
        let percentile = if percentile.is_finite() { percentile.clamp(0.0, 100.0) } else { 50.0 };
        let params = vec![hex_quantity(blocks.clamp(1, 1024)), json!("latest"), json!([percentile])];
        self.read("eth_feeHistory", params, WireFeeHistory::into_history).await
    }

    async fn blob_base_fee(&self) -> Result<u128, L1Error> {
        self.read("eth_blobBaseFee", Vec::new(), to_u128).await
    }

    async fn send_raw_transaction(&self, raw: &Bytes) -> Result<B256, L1Error> {
        let method = "eth_sendRawTransaction";
        let expected = transaction_hash(raw);
        let mut verdict: Option<L1Error> = None;
        for (index, node) in self.endpoints_in_order().await {
            let error = match self.request_on::<B256>(node, method, vec![json!(raw)]).await {
                Ok(hash) if hash == expected => return Ok(hash),
                Ok(hash) => {
                    invalid(method, &format!("the node names the transaction {hash}, it is {expected}"))
                }
                Err(error @ L1Error::AlreadyKnown { .. }) => return Err(error),
                Err(error) => error,
            };
            if self.nodes.len() > 1 {
                tracing::warn!(endpoint = node.endpoint.masked(), method, %error, "L1 endpoint did not accept");
            }
            if error.is_endpoint_fault() && !matches!(error, L1Error::MethodUnsupported { .. }) {
                self.note_failure(index, &error);
            }
            // An endpoint that judged the transaction says more than one that did not answer.
            if verdict.as_ref().is_none_or(L1Error::is_endpoint_fault) {
                verdict = Some(error);
            }
        }
        Err(verdict.unwrap_or_else(|| invalid(method, "no endpoint was asked")))
    }

    async fn receipt(&self, hash: B256) -> Result<Option<TxReceipt>, L1Error> {
        let check = move |wire: Option<WireReceipt>| match wire {
            Some(wire) => wire.into_receipt(hash),
            None => Ok(None),
        };
        self.read("eth_getTransactionReceipt", vec![json!(hash)], check).await
    }

    async fn transaction(&self, hash: B256) -> Result<Option<L1Transaction>, L1Error> {
        let check =
            move |wire: Option<WireTransaction>| wire.map(|wire| wire.into_transaction(hash)).transpose();
        self.read("eth_getTransactionByHash", vec![json!(hash)], check).await
    }
}

/// Hash of a signed transaction from its wire bytes.
///
/// For a blob transaction the wire bytes carry the sidecar, which is not part of the hash (EIP-4844
/// "Networking"): `0x03 || rlp([tx, …])`, and the hash is of `0x03 || rlp(tx)`.
pub(crate) fn transaction_hash(raw: &[u8]) -> B256 {
    if raw.first() == Some(&0x03)
        && let Some(inner) = blob_transaction_body(&raw[1..])
    {
        let mut bytes = Vec::with_capacity(1 + inner.len());
        bytes.push(0x03);
        bytes.extend_from_slice(inner);
        return keccak256(bytes);
    }
    keccak256(raw)
}

/// The RLP list `tx` inside the outer list of a blob transaction's network form.
fn blob_transaction_body(rlp: &[u8]) -> Option<&[u8]> {
    let (header, _) = list_header(rlp)?;
    let inner = rlp.get(header..)?;
    let (inner_header, inner_len) = list_header(inner)?;
    inner.get(..inner_header.checked_add(inner_len)?)
}

/// (Length of the header, length of the payload) of an RLP list (yellow paper, appendix B).
fn list_header(rlp: &[u8]) -> Option<(usize, usize)> {
    match *rlp.first()? {
        byte @ 0xc0..=0xf7 => Some((1, usize::from(byte - 0xc0))),
        byte @ 0xf8..=0xff => {
            let width = usize::from(byte - 0xf7);
            let mut length = 0usize;
            for b in rlp.get(1..1 + width)? {
                length = length.checked_mul(256)?.checked_add(usize::from(*b))?;
            }
            Some((1 + width, length))
        }
        _ => None,
    }
}
