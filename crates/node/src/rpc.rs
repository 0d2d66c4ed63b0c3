//! JSON-RPC dispatch: the execution client's methods, with those that read receipts done here.
//!
//! In ethrex 24 the in-memory store's range scan finds only the first receipt of a block, so every method
//! that reads receipts is answered here by point look-ups, which are right.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ethrex_common::types::{BlockHeader, Receipt, Transaction, calculate_base_fee_per_blob_gas};
use ethrex_common::{H256, U256};
use ethrex_rpc::rpc::map_authrpc_requests;
use ethrex_rpc::types::block_identifier::{BlockIdentifier, BlockIdentifierOrHash};
use ethrex_rpc::types::receipt::{RpcLog, RpcReceipt, RpcReceiptBlockInfo, RpcReceiptTxInfo};
use ethrex_rpc::utils::{RpcErrorMetadata, RpcRequest};
use ethrex_rpc::{RpcApiContext, RpcErr, map_http_requests, rpc_response};
use ethrex_storage::Store;
use serde_json::{Value, json};

use crate::logs::{LogFilter, Span};

/// A JSON-RPC error object.
pub(crate) type RpcFailure = RpcErrorMetadata;

/// Most requests in one batch (geth's `--rpc.batch-request-limit`).
const MAX_BATCH: usize = 1000;
/// Bytes of answers after which the rest of a batch is refused.
const MAX_BATCH_RESPONSE_BYTES: usize = 64 << 20;
/// Most logs in one answer.
const MAX_LOGS: usize = 20_000;
/// Most filters alive at once.
const MAX_FILTERS: usize = 1000;
/// A filter that nobody asked for this long is dropped (geth does the same).
const FILTER_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// JSON-RPC 2.0 section 5.1.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL_ERROR: i32 = -32603;
/// EIP-1474 "limit exceeded".
const LIMIT_EXCEEDED: i32 = -32005;

fn failure(code: i32, message: impl Into<String>) -> RpcFailure {
    RpcFailure { code, data: None, message: message.into() }
}

pub(crate) fn invalid_params(message: impl Into<String>) -> RpcFailure {
    failure(INVALID_PARAMS, message)
}

fn internal(message: impl Into<String>) -> RpcFailure {
    failure(INTERNAL_ERROR, message)
}

/// Which port a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Public,
    Authenticated,
}

#[derive(Clone, Debug)]
enum Filter {
    Logs(Box<LogFilter>),
    Blocks,
}

#[derive(Debug)]
struct ActiveFilter {
    filter: Filter,
    asked: Instant,
    /// First block that the next poll reports.
    next_block: u64,
}

/// Everything a request needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    context: RpcApiContext,
    filters: Arc<Mutex<HashMap<u64, ActiveFilter>>>,
    max_log_blocks: u64,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The context holds the whole store.
        f.debug_struct("Dispatcher").field("max_log_blocks", &self.max_log_blocks).finish_non_exhaustive()
    }
}

impl Dispatcher {
    pub(crate) fn new(context: RpcApiContext, max_log_blocks: u64) -> Self {
        Self { context, filters: Arc::default(), max_log_blocks }
    }

    fn store(&self) -> &Store {
        &self.context.storage
    }

    pub(crate) fn jwt_secret(&self) -> &[u8] {
        &self.context.node_data.jwt_secret
    }

    /// Answers a request body: one request or a batch.
    pub(crate) async fn body(&self, port: Port, body: &[u8]) -> Value {
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Array(batch)) => self.batch(port, batch).await,
            Ok(single) => self.single(port, single).await,
            Err(e) => error_response(failure(PARSE_ERROR, format!("not JSON: {e}"))),
        }
    }

    async fn batch(&self, port: Port, batch: Vec<Value>) -> Value {
        if batch.is_empty() {
            return error_response(failure(INVALID_REQUEST, "the batch is empty"));
        }
        if batch.len() > MAX_BATCH {
            let message = format!("{} requests in a batch, {MAX_BATCH} are allowed", batch.len());
            return error_response(failure(INVALID_REQUEST, message));
        }
        let (mut answers, mut bytes) = (Vec::with_capacity(batch.len()), 0usize);
        for request in batch {
            let answer = if bytes > MAX_BATCH_RESPONSE_BYTES {
                let mut refused = error_response(failure(LIMIT_EXCEEDED, "the batch's answer is too large"));
                refused["id"] = request.get("id").cloned().unwrap_or(Value::Null);
                refused
            } else {
                self.single(port, request).await
            };
            bytes = bytes.saturating_add(answer.to_string().len());
            answers.push(answer);
        }
        Value::Array(answers)
    }

    async fn single(&self, port: Port, request: Value) -> Value {
        let id = request.get("id").filter(|id| id.is_u64() || id.is_string()).cloned();
        let request = match serde_json::from_value::<RpcRequest>(request) {
            Ok(request) => request,
            Err(e) => {
                let mut refused = error_response(failure(INVALID_REQUEST, format!("not a request: {e}")));
                refused["id"] = id.unwrap_or(Value::Null);
                return refused;
            }
        };
        let answer = self.call(port, &request).await;
        rpc_response(request.id, answer).unwrap_or_else(|e| error_response(internal(e.to_string())))
    }

    /// Answers one method.
    pub(crate) async fn call(&self, port: Port, request: &RpcRequest) -> Result<Value, RpcFailure> {
        let first = || request.params.as_ref().and_then(|p| p.first()).cloned().unwrap_or(Value::Null);
        match request.method.as_str() {
            "eth_getTransactionReceipt" => self.transaction_receipt(first()).await,
            "eth_getBlockReceipts" => match self.block(first()).await? {
                Some(header) => to_json(self.rpc_receipts(&header, None).await?),
                None => Ok(Value::Null),
            },
            "debug_getRawReceipts" if port == Port::Public => self.raw_receipts(first()).await,
            "eth_getLogs" => {
                let filter = LogFilter::parse(&first())?;
                to_json(self.logs(&filter).await?)
            }
            "eth_newFilter" => {
                let filter = LogFilter::parse(&first())?;
                if matches!(filter.span, Span::Hash(_)) {
                    return Err(invalid_params("eth_newFilter takes no blockHash"));
                }
                self.new_filter(Filter::Logs(Box::new(filter))).await
            }
            "eth_newBlockFilter" => self.new_filter(Filter::Blocks).await,
            "eth_uninstallFilter" => {
                let id = filter_id(&first())?;
                Ok(json!(self.filters().remove(&id).is_some()))
            }
            "eth_getFilterChanges" => self.filter_changes(&first()).await,
            "eth_getFilterLogs" => {
                let id = filter_id(&first())?;
                let filter = self.filters().get(&id).map(|active| active.filter.clone());
                match filter {
                    Some(Filter::Logs(filter)) => to_json(self.logs(&filter).await?),
                    Some(Filter::Blocks) => Err(invalid_params("this filter is not a log filter")),
                    None => Err(filter_not_found()),
                }
            }
            _ => match port {
                Port::Public => map_http_requests(request, self.context.clone()).await,
                Port::Authenticated => map_authrpc_requests(request, self.context.clone()).await,
            }
            .map_err(RpcFailure::from),
        }
    }

    /// Header of a canonical block that a client names by number, tag or hash (EIP-1898).
    async fn block(&self, id: Value) -> Result<Option<BlockHeader>, RpcFailure> {
        let id = BlockIdentifierOrHash::parse(id, 0)?;
        Ok(id.resolve_block_header(self.store()).await.map_err(RpcErr::from)?)
    }

    async fn receipts(&self, header: &BlockHeader, transactions: usize) -> Result<Vec<Receipt>, RpcFailure> {
        let store = self.store();
        let mut receipts = Vec::with_capacity(transactions);
        for index in 0..transactions {
            let receipt = store.get_receipt(header.number, index as u64).await.map_err(RpcErr::from)?;
            receipts.push(receipt.ok_or_else(|| {
                internal(format!("receipt {index} of block {} is not in the store", header.number))
            })?);
        }
        // Receipts are looked up by number: make sure that a reorg did not change the block meanwhile.
        let canonical = store.get_canonical_block_hash(header.number).await.map_err(RpcErr::from)?;
        if canonical != Some(header.hash()) {
            return Err(internal(format!("block {} was replaced, try again", header.number)));
        }
        Ok(receipts)
    }

    async fn transactions(&self, header: &BlockHeader) -> Result<Vec<Transaction>, RpcFailure> {
        let body = self.store().get_block_body_by_hash(header.hash()).await.map_err(RpcErr::from)?;
        let missing = || internal(format!("body of block {} is not in the store", header.number));
        Ok(body.ok_or_else(missing)?.transactions)
    }

    /// Receipts of a block as RPC answers them; only the one at an index if given.
    async fn rpc_receipts(
        &self,
        header: &BlockHeader,
        only: Option<usize>,
    ) -> Result<Vec<RpcReceipt>, RpcFailure> {
        let mut transactions = self.transactions(header).await?;
        if let Some(index) = only {
            transactions.truncate(index.saturating_add(1));
        }
        let receipts = self.receipts(header, transactions.len()).await?;
        let schedule = self.store().get_chain_config().get_fork_blob_schedule(header.timestamp);
        let blob_fee: U256 = calculate_base_fee_per_blob_gas(
            header.excess_blob_gas.unwrap_or_default(),
            schedule.map(|s| s.base_fee_update_fraction).unwrap_or_default(),
        );
        let blob_fee = u64::try_from(blob_fee).map_err(|_| internal("the blob base fee exceeds 64 bits"))?;
        let block = RpcReceiptBlockInfo::from_block_header(header.clone());
        let (mut out, mut gas_before, mut logs_before) = (Vec::new(), 0u64, 0u64);
        for (index, (transaction, receipt)) in transactions.into_iter().zip(receipts).enumerate() {
            let gas = receipt.cumulative_gas_used.saturating_sub(gas_before);
            let logs = logs_before;
            gas_before = receipt.cumulative_gas_used;
            logs_before = logs_before.saturating_add(receipt.logs.len() as u64);
            // The sender is recovered from the signature here, which is what costs.
            if only.is_none_or(|only| only == index) {
                let (index, base_fee) = (index as u64, header.base_fee_per_gas);
                let info = RpcReceiptTxInfo::from_transaction(transaction, index, gas, blob_fee, base_fee)?;
                out.push(RpcReceipt::new(receipt, info, block.clone(), logs));
            }
        }
        Ok(out)
    }

    async fn transaction_receipt(&self, hash: Value) -> Result<Value, RpcFailure> {
        let hash: H256 = serde_json::from_value(hash).map_err(|e| invalid_params(e.to_string()))?;
        let store = self.store();
        let location = store.get_transaction_location(hash).await.map_err(RpcErr::from)?;
        let Some((number, block_hash, index)) = location else { return Ok(Value::Null) };
        match store.get_block_header(number).map_err(RpcErr::from)? {
            Some(header) if header.hash() == block_hash => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                to_json(self.rpc_receipts(&header, Some(index)).await?.pop())
            }
            _ => Ok(Value::Null),
        }
    }

    async fn raw_receipts(&self, block: Value) -> Result<Value, RpcFailure> {
        let Some(header) = self.block(block).await? else { return Ok(Value::Null) };
        let transactions = self.transactions(&header).await?;
        let receipts = self.receipts(&header, transactions.len()).await?;
        let raw = receipts.iter().map(|receipt| {
            json!(format!("0x{}", hex::encode(receipt.encode_inner_with_bloom(&ethrex_crypto::NativeCrypto))))
        });
        Ok(Value::Array(raw.collect()))
    }

    async fn logs(&self, filter: &LogFilter) -> Result<Vec<RpcLog>, RpcFailure> {
        let store = self.store();
        let (first, last) = match &filter.span {
            Span::Hash(hash) => {
                let header = store.get_block_header_by_hash(*hash).map_err(RpcErr::from)?;
                let Some(header) = header else { return Err(failure(-32000, "unknown block")) };
                let mut out = Vec::new();
                self.block_logs(filter, &header, &mut out).await?;
                return Ok(out);
            }
            Span::Range(first, last) => (self.number(first).await?, self.number(last).await?),
        };
        if last < first {
            return Err(invalid_params("invalid block range: toBlock is before fromBlock"));
        }
        let latest = store.get_latest_block_number().await.map_err(RpcErr::from)?;
        let last = last.min(latest);
        if last.saturating_sub(first) >= self.max_log_blocks {
            let message = format!("query exceeds max block range {}", self.max_log_blocks);
            return Err(failure(LIMIT_EXCEEDED, message));
        }
        let mut out = Vec::new();
        for number in first..=last {
            let header = store.get_block_header(number).map_err(RpcErr::from)?;
            let header = header.ok_or_else(|| internal(format!("block {number} is not in the store")))?;
            self.block_logs(filter, &header, &mut out).await?;
        }
        Ok(out)
    }

    async fn block_logs(
        &self,
        filter: &LogFilter,
        header: &BlockHeader,
        out: &mut Vec<RpcLog>,
    ) -> Result<(), RpcFailure> {
        if header.logs_bloom.is_zero() || !filter.may_match(&header.logs_bloom) {
            return Ok(());
        }
        let transactions = self.transactions(header).await?;
        let receipts = self.receipts(header, transactions.len()).await?;
        let mut log_index = 0u64;
        for (index, (transaction, receipt)) in transactions.iter().zip(receipts).enumerate() {
            let mut transaction_hash = None;
            for log in receipt.logs {
                if filter.matches(&log) {
                    out.push(RpcLog {
                        transaction_hash: *transaction_hash
                            .get_or_insert_with(|| transaction.hash(&ethrex_crypto::NativeCrypto)),
                        log: log.into(),
                        log_index,
                        removed: false,
                        transaction_index: index as u64,
                        block_hash: header.hash(),
                        block_number: header.number,
                    });
                }
                log_index = log_index.saturating_add(1);
            }
        }
        if out.len() > MAX_LOGS {
            return Err(failure(LIMIT_EXCEEDED, format!("query returned more than {MAX_LOGS} results")));
        }
        Ok(())
    }

    async fn number(&self, block: &BlockIdentifier) -> Result<u64, RpcFailure> {
        let number = block.resolve_block_number(self.store()).await.map_err(RpcErr::from)?;
        number.ok_or_else(|| failure(-32000, "unknown block"))
    }

    fn filters(&self) -> std::sync::MutexGuard<'_, HashMap<u64, ActiveFilter>> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn new_filter(&self, filter: Filter) -> Result<Value, RpcFailure> {
        let latest = self.store().get_latest_block_number().await.map_err(RpcErr::from)?;
        let id: u64 = rand::random();
        let mut filters = self.filters();
        filters.retain(|_, active| active.asked.elapsed() < FILTER_LIFETIME);
        if filters.len() >= MAX_FILTERS {
            return Err(failure(LIMIT_EXCEEDED, format!("{MAX_FILTERS} filters exist already")));
        }
        let next_block = latest.saturating_add(1);
        filters.insert(id, ActiveFilter { filter, asked: Instant::now(), next_block });
        Ok(json!(format!("{id:#x}")))
    }

    async fn filter_changes(&self, id: &Value) -> Result<Value, RpcFailure> {
        let id = filter_id(id)?;
        let latest = self.store().get_latest_block_number().await.map_err(RpcErr::from)?;
        let (filter, from) = {
            let mut filters = self.filters();
            let active = filters.get_mut(&id).ok_or_else(filter_not_found)?;
            active.asked = Instant::now();
            (active.filter.clone(), active.next_block)
        };
        let answer = match filter {
            _ if latest < from => json!([]),
            Filter::Blocks => {
                let first = from.max(latest.saturating_sub(self.max_log_blocks));
                let mut hashes = Vec::new();
                for number in first..=latest {
                    let hash = self.store().get_canonical_block_hash(number).await.map_err(RpcErr::from)?;
                    hashes.extend(hash);
                }
                to_json(hashes)?
            }
            Filter::Logs(filter) => {
                let mut filter = *filter;
                if let Span::Range(first, last) = &filter.span {
                    // Tags other than numbers do not bound a filter that looks at new blocks.
                    let first = match first {
                        BlockIdentifier::Number(n) => from.max(*n),
                        BlockIdentifier::Tag(_) => from,
                    };
                    let last = match last {
                        BlockIdentifier::Number(n) => latest.min(*n),
                        BlockIdentifier::Tag(_) => latest,
                    };
                    if last < first {
                        self.advance_filter(id, latest);
                        return Ok(json!([]));
                    }
                    filter.span = Span::Range(BlockIdentifier::Number(first), BlockIdentifier::Number(last));
                }
                to_json(self.logs(&filter).await?)?
            }
        };
        self.advance_filter(id, latest);
        Ok(answer)
    }

    fn advance_filter(&self, id: u64, latest: u64) {
        if let Some(active) = self.filters().get_mut(&id) {
            active.next_block = active.next_block.max(latest.saturating_add(1));
        }
    }
}

fn filter_id(value: &Value) -> Result<u64, RpcFailure> {
    let digits = value.as_str().and_then(|s| s.strip_prefix("0x"));
    digits
        .and_then(|d| u64::from_str_radix(d, 16).ok())
        .ok_or_else(|| invalid_params("a filter id is a hexadecimal number"))
}

fn filter_not_found() -> RpcFailure {
    failure(-32000, "filter not found")
}

fn to_json(value: impl serde::Serialize) -> Result<Value, RpcFailure> {
    serde_json::to_value(value).map_err(|e| internal(e.to_string()))
}

fn error_response(error: RpcFailure) -> Value {
    json!({ "jsonrpc": "2.0", "id": null, "error": error })
}
