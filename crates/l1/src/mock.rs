//! An in-memory L1 for tests: deterministic, mines when told to, fails when told to.
//!
//! [`MockL1`] holds real signed transactions to the rules of a pool (nonces, balances, replacement prices, one
//! type per account, no gaps for blobs) and can reorg. What contracts do is scripted: [`MockL1::on_transaction`]
//! for effects, [`MockL1::on_call`] for reads.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{BlobTransactionSidecarVariant, EthereumTxEnvelope, Transaction, TxEip4844Variant};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use async_trait::async_trait;

use crate::{
    BlockTag, FeeHistory, FeePlan, L1Block, L1Client, L1Error, L1Log, L1Transaction, LogFilter, TxReceipt,
    TxType,
};

const GWEI: u128 = 1_000_000_000;
/// Intrinsic gas of a transaction (yellow paper, G_transaction).
const TX_GAS: u64 = 21_000;
/// EIP-4844 `GAS_PER_BLOB`.
const GAS_PER_BLOB: u64 = 131_072;
/// Seconds between two blocks.
const SLOT: u64 = 12;

type Envelope = EthereumTxEnvelope<TxEip4844Variant<BlobTransactionSidecarVariant>>;
type CallHandler = Box<dyn Fn(&MockCall) -> Result<Bytes, L1Error> + Send>;
type TxHandler = Box<dyn FnMut(&MockTx) -> MockEffects + Send>;
type EstimateHandler = Box<dyn Fn(&MockTx) -> Result<u64, L1Error> + Send>;

/// A method of [`L1Client`], for [`MockL1::fail`] and [`MockL1::requests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // named as the methods are
pub enum Method {
    ChainId,
    Block,
    Logs,
    Call,
    EstimateGas,
    EstimateGasPending,
    TransactionCount,
    Pooled,
    Balance,
    Code,
    FeeHistory,
    BlobBaseFee,
    SendRawTransaction,
    Receipt,
    Transaction,
}

/// A call as [`MockL1::on_call`] sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockCall {
    /// Contract called.
    pub to: Address,
    /// Call data.
    pub data: Bytes,
    /// Number of the block that the tag stands for.
    pub block: u64,
}

/// A transaction as the handlers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockTx {
    /// Hash; zero in an estimation.
    pub hash: B256,
    /// Signer.
    pub from: Address,
    /// Receiver, `None` for a creation.
    pub to: Option<Address>,
    /// Nonce; 0 in an estimation.
    pub nonce: u64,
    /// Value in wei.
    pub value: U256,
    /// Call data.
    pub data: Bytes,
    /// Versioned hashes of its blobs.
    pub blob_hashes: Vec<B256>,
    /// Block that mines it; 0 in an estimation.
    pub block: u64,
}

/// What a mined transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockEffects {
    /// Receipt status.
    pub success: bool,
    /// Events: contract, topics, data. Ignored when it fails.
    pub logs: Vec<(Address, Vec<B256>, Bytes)>,
    /// Gas used.
    pub gas_used: u64,
}

impl Default for MockEffects {
    /// Success without events.
    fn default() -> Self {
        Self { success: true, logs: Vec::new(), gas_used: TX_GAS }
    }
}

impl MockEffects {
    /// A revert.
    #[must_use]
    pub fn reverted() -> Self {
        Self { success: false, ..Self::default() }
    }
}

/// Handle to an in-memory L1; clones share it.
#[derive(Clone)]
pub struct MockL1 {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for MockL1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MockL1")
            .field("chain_id", &state.chain_id)
            .field("head", &state.head().block.number)
            .field("pending", &state.pool.len())
            .finish_non_exhaustive()
    }
}

struct State {
    chain_id: u64,
    blocks: Vec<MinedBlock>,
    /// Keyed by sender and nonce.
    pool: BTreeMap<(Address, u64), PoolTx>,
    scripted_logs: Vec<(Address, Vec<B256>, Bytes)>,
    funds: HashMap<Address, U256>,
    code: HashMap<Address, Bytes>,
    base_fee: u128,
    tip: u128,
    blob_base_fee: Option<u128>,
    safe_lag: u64,
    finalized_lag: u64,
    automine: bool,
    /// Rises with each reorg, so that blocks of different branches have different hashes.
    branch: u64,
    failures: BTreeMap<Method, VecDeque<Failure>>,
    requests: BTreeMap<Method, u64>,
    accepted: Vec<Bytes>,
    call_handler: Option<CallHandler>,
    tx_handler: Option<TxHandler>,
    estimate_handler: Option<EstimateHandler>,
    pending_handler: Option<EstimateHandler>,
}

struct Failure {
    error: L1Error,
    /// `None` = for ever.
    times: Option<u64>,
    /// Do what was asked, then fail: the answer is lost on its way.
    after_effect: bool,
}

#[derive(Clone)]
struct PoolTx {
    tx: MockTx,
    tx_type: TxType,
    fees: FeePlan,
    gas_limit: u64,
}

struct MinedBlock {
    block: L1Block,
    txs: Vec<(PoolTx, TxReceipt)>,
    logs: Vec<L1Log>,
}

impl MockL1 {
    /// A chain that has its genesis block only.
    #[must_use]
    pub fn new(chain_id: u64) -> Self {
        let genesis = L1Block {
            number: 0,
            hash: keccak256(chain_id.to_be_bytes()),
            parent_hash: B256::ZERO,
            timestamp: 1_700_000_000,
            base_fee_per_gas: GWEI,
            gas_limit: 60_000_000,
            parent_beacon_block_root: None,
        };
        let state = State {
            chain_id,
            blocks: vec![MinedBlock { block: genesis, txs: Vec::new(), logs: Vec::new() }],
            pool: BTreeMap::new(),
            scripted_logs: Vec::new(),
            funds: HashMap::new(),
            code: HashMap::new(),
            base_fee: GWEI,
            tip: GWEI,
            blob_base_fee: Some(1),
            safe_lag: 1,
            finalized_lag: 2,
            automine: false,
            branch: 0,
            failures: BTreeMap::new(),
            requests: BTreeMap::new(),
            accepted: Vec::new(),
            call_handler: None,
            tx_handler: None,
            estimate_handler: None,
            pending_handler: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to an account's balance.
    pub fn fund(&self, address: Address, wei: U256) {
        let mut state = self.state();
        let balance = state.funds.entry(address).or_default();
        *balance = balance.saturating_add(wei);
    }

    /// Puts code at an address.
    pub fn set_code(&self, address: Address, code: Bytes) {
        self.state().code.insert(address, code);
    }

    /// Sets the fees of the blocks to come, in wei per gas. `blob` = `None`: the fee history does not report it.
    pub fn set_fees(&self, base: u128, tip: u128, blob: Option<u128>) {
        let mut state = self.state();
        (state.base_fee, state.tip, state.blob_base_fee) = (base, tip, blob);
    }

    /// Sets how far `safe` and `finalized` are behind the head.
    pub fn set_lags(&self, safe: u64, finalized: u64) {
        let mut state = self.state();
        (state.safe_lag, state.finalized_lag) = (safe, finalized);
    }

    /// Mines a block for each accepted transaction.
    pub fn set_automine(&self, on: bool) {
        self.state().automine = on;
    }

    /// Scripts what contracts answer.
    pub fn on_call(&self, handler: impl Fn(&MockCall) -> Result<Bytes, L1Error> + Send + 'static) {
        self.state().call_handler = Some(Box::new(handler));
    }

    /// Scripts what mined transactions do. It runs again when a reorg makes a transaction be mined again.
    pub fn on_transaction(&self, handler: impl FnMut(&MockTx) -> MockEffects + Send + 'static) {
        self.state().tx_handler = Some(Box::new(handler));
    }

    /// Scripts gas estimation. Without it, every transaction is worth its intrinsic gas and 50 000 more.
    pub fn on_estimate(&self, handler: impl Fn(&MockTx) -> Result<u64, L1Error> + Send + 'static) {
        self.state().estimate_handler = Some(Box::new(handler));
    }

    /// Scripts gas estimation on the pending block. Without it, the node has none.
    pub fn on_pending_estimate(&self, handler: impl Fn(&MockTx) -> Result<u64, L1Error> + Send + 'static) {
        self.state().pending_handler = Some(Box::new(handler));
    }

    /// Lets the next `times` requests of a method fail. Calls add up and take effect one after the other.
    pub fn fail(&self, method: Method, error: L1Error, times: u64) {
        self.push_failure(method, Failure { error, times: Some(times), after_effect: false });
    }

    /// Lets all requests of a method fail from now on.
    pub fn fail_always(&self, method: Method, error: L1Error) {
        self.push_failure(method, Failure { error, times: None, after_effect: false });
    }

    /// Lets the next `times` requests of a method take effect and then fail: the answers get lost.
    pub fn lose_answers(&self, method: Method, error: L1Error, times: u64) {
        self.push_failure(method, Failure { error, times: Some(times), after_effect: true });
    }

    fn push_failure(&self, method: Method, failure: Failure) {
        self.state().failures.entry(method).or_default().push_back(failure);
    }

    /// Ends all failures.
    pub fn clear_failures(&self) {
        self.state().failures.clear();
    }

    /// Adds an event to the next block, as if some transaction had emitted it.
    pub fn push_log(&self, address: Address, topics: Vec<B256>, data: Bytes) {
        self.state().scripted_logs.push((address, topics, data));
    }

    /// Mines a block with the scripted logs and every transaction of the pool that can pay for it.
    pub fn mine(&self) -> L1Block {
        self.state().mine(true)
    }

    /// Mines a block without transactions.
    pub fn mine_empty(&self) -> L1Block {
        self.state().mine(false)
    }

    /// Mines `count` blocks; returns the last, or the head when `count` is 0.
    pub fn mine_many(&self, count: u64) -> L1Block {
        let mut state = self.state();
        for _ in 0..count {
            state.mine(true);
        }
        state.head().block
    }

    /// Takes the last `depth` blocks away (never the genesis). Their transactions go back into the pool, their
    /// scripted logs are lost. The head is lower until new blocks are mined; those have other hashes.
    pub fn reorg(&self, depth: u64) -> L1Block {
        self.state().reorg(depth)
    }

    /// Empties the pool, as if all its transactions had been evicted.
    pub fn drop_pending(&self) {
        self.state().pool.clear();
    }

    /// Hashes of the transactions in the pool, by sender and nonce.
    #[must_use]
    pub fn pending(&self) -> Vec<B256> {
        self.state().pool.values().map(|p| p.tx.hash).collect()
    }

    /// The bytes of every transaction that the pool ever took, in order.
    #[must_use]
    pub fn accepted(&self) -> Vec<Bytes> {
        self.state().accepted.clone()
    }

    /// The transactions of the canonical chain, in order.
    #[must_use]
    pub fn mined(&self) -> Vec<MockTx> {
        self.state().blocks.iter().flat_map(|b| b.txs.iter().map(|(p, _)| p.tx.clone())).collect()
    }

    /// How often a method was called.
    #[must_use]
    pub fn requests(&self, method: Method) -> u64 {
        self.state().requests.get(&method).copied().unwrap_or(0)
    }

    /// The head block.
    #[must_use]
    pub fn head(&self) -> L1Block {
        self.state().head().block
    }

    /// Counts a request, and runs it unless a failure is due.
    fn serve<T>(
        &self,
        method: Method,
        work: impl FnOnce(&mut State) -> Result<T, L1Error>,
    ) -> Result<T, L1Error> {
        let mut state = self.state();
        *state.requests.entry(method).or_default() += 1;
        match state.next_failure(method) {
            Some((error, true)) => {
                // The effect counts, the answer is lost, be it good or bad.
                drop(work(&mut state));
                Err(error)
            }
            Some((error, false)) => Err(error),
            None => work(&mut state),
        }
    }
}

impl State {
    fn head(&self) -> &MinedBlock {
        // The genesis block is never removed.
        &self.blocks[self.blocks.len() - 1]
    }

    fn next_failure(&mut self, method: Method) -> Option<(L1Error, bool)> {
        let queue = self.failures.get_mut(&method)?;
        let failure = queue.front_mut()?;
        let found = (failure.error.clone(), failure.after_effect);
        if let Some(times) = &mut failure.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                queue.pop_front();
            }
        }
        Some(found)
    }

    fn nonce(&self, address: Address) -> u64 {
        let mined = self.blocks.iter().flat_map(|b| &b.txs).filter(|(p, _)| p.tx.from == address).count();
        mined as u64
    }

    fn balance(&self, address: Address) -> U256 {
        let mut balance = self.funds.get(&address).copied().unwrap_or_default();
        for (pooled, receipt) in self.blocks.iter().flat_map(|b| &b.txs) {
            if pooled.tx.from == address {
                balance = balance.saturating_sub(U256::from(receipt.fee_paid()));
                if receipt.status {
                    balance = balance.saturating_sub(pooled.tx.value);
                }
            }
            if receipt.status && pooled.tx.to == Some(address) {
                balance = balance.saturating_add(pooled.tx.value);
            }
        }
        balance
    }

    fn find(&self, tag: BlockTag) -> Option<&MinedBlock> {
        let head = self.head().block.number;
        let number = match tag {
            BlockTag::Latest => head,
            BlockTag::Safe => head.checked_sub(self.safe_lag)?,
            BlockTag::Finalized => head.checked_sub(self.finalized_lag)?,
            BlockTag::Number(n) => n,
            BlockTag::Hash(hash) => return self.blocks.iter().find(|b| b.block.hash == hash),
        };
        self.blocks.get(usize::try_from(number).ok()?)
    }

    fn mine(&mut self, with_pool: bool) -> L1Block {
        let parent = self.head().block;
        let number = parent.number + 1;
        let mut seed = parent.hash.to_vec();
        seed.extend_from_slice(&number.to_be_bytes());
        seed.extend_from_slice(&self.branch.to_be_bytes());
        let block = L1Block {
            number,
            hash: keccak256(seed),
            parent_hash: parent.hash,
            timestamp: parent.timestamp + SLOT,
            base_fee_per_gas: self.base_fee,
            gas_limit: parent.gas_limit,
            parent_beacon_block_root: Some(parent.hash),
        };
        let mut mined = MinedBlock { block, txs: Vec::new(), logs: Vec::new() };
        for (address, topics, data) in std::mem::take(&mut self.scripted_logs) {
            let index = mined.logs.len() as u64;
            let hash = keccak256([block.hash.as_slice(), &index.to_be_bytes()].concat());
            mined.logs.push(log_at(&block, hash, index, address, topics, data));
        }
        if with_pool {
            for pooled in self.executable() {
                self.execute(pooled, &mut mined);
            }
        }
        self.blocks.push(mined);
        block
    }

    /// Takes out of the pool what can be mined now, in the order of nonces.
    fn executable(&mut self) -> Vec<PoolTx> {
        let mut next: HashMap<Address, u64> = HashMap::new();
        let keys: Vec<_> = self.pool.keys().copied().collect();
        let mut out = Vec::new();
        for (from, nonce) in keys {
            let expected = *next.entry(from).or_insert_with(|| self.nonce(from));
            let pays = self.pool.get(&(from, nonce)).is_some_and(|p| {
                p.fees.max_fee_per_gas >= self.base_fee
                    && (p.tx_type == TxType::Eip1559
                        || p.fees.max_fee_per_blob_gas >= self.blob_base_fee.unwrap_or(1))
            });
            if nonce == expected && pays {
                next.insert(from, expected + 1);
                out.extend(self.pool.remove(&(from, nonce)));
            }
        }
        out
    }

    fn execute(&mut self, mut pooled: PoolTx, into: &mut MinedBlock) {
        let block = into.block;
        pooled.tx.block = block.number;
        let effects = self.tx_handler.as_mut().map_or_else(MockEffects::default, |h| h(&pooled.tx));
        let tip = pooled
            .fees
            .max_priority_fee_per_gas
            .min(pooled.fees.max_fee_per_gas.saturating_sub(block.base_fee_per_gas));
        let mut logs = Vec::new();
        if effects.success {
            for (address, topics, data) in effects.logs {
                let index = into.logs.len() as u64;
                let log = log_at(&block, pooled.tx.hash, index, address, topics, data);
                into.logs.push(log.clone());
                logs.push(log);
            }
        }
        let blobs = pooled.tx.blob_hashes.len() as u64;
        let receipt = TxReceipt {
            transaction_hash: pooled.tx.hash,
            status: effects.success,
            block_number: block.number,
            block_hash: block.hash,
            gas_used: effects.gas_used.min(pooled.gas_limit),
            effective_gas_price: block.base_fee_per_gas.saturating_add(tip),
            blob_gas_used: (blobs > 0).then_some(blobs * GAS_PER_BLOB),
            blob_gas_price: (blobs > 0).then_some(self.blob_base_fee.unwrap_or(1)),
            contract_address: pooled.tx.to.is_none().then(|| pooled.tx.from.create(pooled.tx.nonce)),
            logs,
        };
        into.txs.push((pooled, receipt));
    }

    fn reorg(&mut self, depth: u64) -> L1Block {
        self.branch += 1;
        let keep = self.blocks.len().saturating_sub(usize::try_from(depth).unwrap_or(usize::MAX)).max(1);
        for block in self.blocks.split_off(keep) {
            for (pooled, _) in block.txs {
                self.pool.insert((pooled.tx.from, pooled.tx.nonce), pooled);
            }
        }
        self.head().block
    }

    fn send(&mut self, raw: &Bytes) -> Result<B256, L1Error> {
        let pooled = decode(raw)?;
        let (hash, from, nonce) = (pooled.tx.hash, pooled.tx.from, pooled.tx.nonce);
        let mined = self.blocks.iter().flat_map(|b| &b.txs).any(|(p, _)| p.tx.hash == hash);
        if mined || self.pool.values().any(|p| p.tx.hash == hash) {
            return Err(L1Error::AlreadyKnown { message: "already known".to_owned() });
        }
        let next = self.nonce(from);
        if nonce < next {
            let message = format!("next nonce {next}, tx nonce {nonce}");
            return Err(L1Error::NonceTooLow { message });
        }
        let worst = U256::from(pooled.fees.max_fee_per_gas)
            .saturating_mul(U256::from(pooled.gas_limit))
            .saturating_add(
                U256::from(pooled.fees.max_fee_per_blob_gas)
                    .saturating_mul(U256::from(pooled.tx.blob_hashes.len() as u64 * GAS_PER_BLOB)),
            )
            .saturating_add(pooled.tx.value);
        if worst > self.balance(from) {
            let message = format!("balance {}, tx cost {worst}", self.balance(from));
            return Err(L1Error::InsufficientFunds { message });
        }
        let same_sender: Vec<&PoolTx> = self.pool.values().filter(|p| p.tx.from == from).collect();
        if same_sender.iter().any(|p| p.tx_type != pooled.tx_type) {
            return Err(L1Error::AccountReserved { message: "address already reserved".to_owned() });
        }
        if pooled.tx_type == TxType::Blob && (next..nonce).any(|n| !self.pool.contains_key(&(from, n))) {
            return Err(L1Error::NonceTooHigh { message: format!("next nonce {next}, tx nonce {nonce}") });
        }
        if let Some(old) = self.pool.get(&(from, nonce))
            && !pooled.fees.replaces(&old.fees, pooled.tx_type)
        {
            let message = "replacement transaction underpriced".to_owned();
            return Err(L1Error::ReplacementUnderpriced { message });
        }
        self.pool.insert((from, nonce), pooled);
        self.accepted.push(raw.clone());
        if self.automine {
            self.mine(true);
        }
        Ok(hash)
    }
}

fn log_at(block: &L1Block, tx: B256, index: u64, address: Address, topics: Vec<B256>, data: Bytes) -> L1Log {
    L1Log {
        address,
        topics,
        data,
        block_number: block.number,
        block_hash: block.hash,
        transaction_hash: tx,
        log_index: index,
        removed: false,
    }
}

fn decode(raw: &Bytes) -> Result<PoolTx, L1Error> {
    let rejected = |message: String| L1Error::TransactionRejected { message };
    let mut rest = raw.as_ref();
    let envelope = Envelope::decode_2718(&mut rest).map_err(|e| rejected(format!("rlp: {e}")))?;
    if !rest.is_empty() {
        return Err(rejected("rlp: trailing bytes".to_owned()));
    }
    let from = envelope.recover_signer().map_err(|e| rejected(format!("invalid sender: {e}")))?;
    let blob_hashes = envelope.blob_versioned_hashes().map(<[B256]>::to_vec).unwrap_or_default();
    let tx_type = if envelope.is_eip4844() { TxType::Blob } else { TxType::Eip1559 };
    if let Envelope::Eip4844(signed) = &envelope {
        let carried = signed.tx().sidecar().map(|s| s.versioned_hashes().collect::<Vec<_>>());
        if carried.as_ref() != Some(&blob_hashes) || blob_hashes.is_empty() {
            return Err(rejected("the blob sidecar does not fit the versioned hashes".to_owned()));
        }
    }
    let fees = FeePlan {
        max_fee_per_gas: envelope.max_fee_per_gas(),
        max_priority_fee_per_gas: envelope.max_priority_fee_per_gas().unwrap_or(0),
        max_fee_per_blob_gas: envelope.max_fee_per_blob_gas().unwrap_or(0),
    };
    if fees.max_priority_fee_per_gas > fees.max_fee_per_gas {
        return Err(rejected("max priority fee per gas higher than max fee per gas".to_owned()));
    }
    if envelope.gas_limit() < TX_GAS {
        return Err(rejected("intrinsic gas too low".to_owned()));
    }
    let tx = MockTx {
        hash: *envelope.tx_hash(),
        from,
        to: envelope.to(),
        nonce: envelope.nonce(),
        value: envelope.value(),
        data: envelope.input().clone(),
        blob_hashes,
        block: 0,
    };
    Ok(PoolTx { tx, tx_type, fees, gas_limit: envelope.gas_limit() })
}

#[async_trait]
impl L1Client for MockL1 {
    async fn chain_id(&self) -> Result<u64, L1Error> {
        self.serve(Method::ChainId, |s| Ok(s.chain_id))
    }

    async fn block(&self, tag: BlockTag) -> Result<Option<L1Block>, L1Error> {
        self.serve(Method::Block, |s| Ok(s.find(tag).map(|b| b.block)))
    }

    async fn logs(&self, filter: &LogFilter) -> Result<Vec<L1Log>, L1Error> {
        self.serve(Method::Logs, |s| {
            Ok(s.blocks
                .iter()
                .filter(|b| (filter.from_block..=filter.to_block).contains(&b.block.number))
                .flat_map(|b| &b.logs)
                .filter(|l| l.address == filter.address && l.topics.first() == Some(&filter.topic0))
                .cloned()
                .collect())
        })
    }

    async fn call(&self, to: Address, data: Bytes, tag: BlockTag) -> Result<Bytes, L1Error> {
        self.serve(Method::Call, |s| {
            let Some(block) = s.find(tag).map(|b| b.block.number) else {
                return Err(L1Error::UnknownBlock { message: "header not found".to_owned() });
            };
            match &s.call_handler {
                Some(handler) => handler(&MockCall { to, data, block }),
                None => Ok(Bytes::new()),
            }
        })
    }

    async fn estimate_gas(
        &self,
        from: Address,
        to: Option<Address>,
        value: U256,
        data: Bytes,
        blob_hashes: &[B256],
    ) -> Result<u64, L1Error> {
        let blob_hashes = blob_hashes.to_vec();
        self.serve(Method::EstimateGas, |s| {
            let tx = MockTx { hash: B256::ZERO, from, to, nonce: 0, value, data, blob_hashes, block: 0 };
            match &s.estimate_handler {
                Some(handler) => handler(&tx),
                None => Ok(TX_GAS + 50_000 + 16 * tx.data.len() as u64),
            }
        })
    }

    async fn estimate_gas_pending(
        &self,
        from: Address,
        to: Address,
        data: Bytes,
        blob_hashes: &[B256],
    ) -> Result<u64, L1Error> {
        let blob_hashes = blob_hashes.to_vec();
        self.serve(Method::EstimateGasPending, |s| {
            let value = U256::ZERO;
            let tx =
                MockTx { hash: B256::ZERO, from, to: Some(to), nonce: 0, value, data, blob_hashes, block: 0 };
            match &s.pending_handler {
                Some(handler) => handler(&tx),
                None => Err(L1Error::MethodUnsupported {
                    method: "eth_estimateGas",
                    message: "no pending block".to_owned(),
                }),
            }
        })
    }

    async fn transaction_count(&self, address: Address, pending: bool) -> Result<u64, L1Error> {
        self.serve(Method::TransactionCount, |s| {
            let mut nonce = s.nonce(address);
            while pending && s.pool.contains_key(&(address, nonce)) {
                nonce += 1;
            }
            Ok(nonce)
        })
    }

    async fn pooled(&self, from: Address, nonce: u64) -> Result<bool, L1Error> {
        self.serve(Method::Pooled, |s| Ok(s.pool.contains_key(&(from, nonce))))
    }

    async fn balance(&self, address: Address) -> Result<U256, L1Error> {
        self.serve(Method::Balance, |s| Ok(s.balance(address)))
    }

    async fn code(&self, address: Address) -> Result<Bytes, L1Error> {
        self.serve(Method::Code, |s| Ok(s.code.get(&address).cloned().unwrap_or_default()))
    }

    async fn fee_history(&self, blocks: u64, _percentile: f64) -> Result<FeeHistory, L1Error> {
        self.serve(Method::FeeHistory, |s| {
            let count = usize::try_from(blocks.max(1)).unwrap_or(usize::MAX).min(s.blocks.len());
            let mut base_fee_per_gas: Vec<u128> =
                s.blocks.iter().rev().take(count).rev().map(|b| b.block.base_fee_per_gas).collect();
            base_fee_per_gas.push(s.base_fee);
            Ok(FeeHistory {
                rewards: vec![s.tip; count],
                base_fee_per_blob_gas: s.blob_base_fee.map(|fee| vec![fee; count + 1]),
                base_fee_per_gas,
            })
        })
    }

    async fn blob_base_fee(&self) -> Result<u128, L1Error> {
        self.serve(Method::BlobBaseFee, |s| Ok(s.blob_base_fee.unwrap_or(1)))
    }

    async fn send_raw_transaction(&self, raw: &Bytes) -> Result<B256, L1Error> {
        self.serve(Method::SendRawTransaction, |s| s.send(raw))
    }

    async fn receipt(&self, hash: B256) -> Result<Option<TxReceipt>, L1Error> {
        self.serve(Method::Receipt, |s| {
            let mut all = s.blocks.iter().flat_map(|b| &b.txs);
            Ok(all.find(|(p, _)| p.tx.hash == hash).map(|(_, receipt)| receipt.clone()))
        })
    }

    async fn transaction(&self, hash: B256) -> Result<Option<L1Transaction>, L1Error> {
        self.serve(Method::Transaction, |s| {
            let mined = s.blocks.iter().flat_map(|b| &b.txs).map(|(p, _)| &p.tx);
            let found = mined.chain(s.pool.values().map(|p| &p.tx)).find(|tx| tx.hash == hash);
            Ok(found.map(|tx| L1Transaction {
                hash,
                from: tx.from,
                to: tx.to,
                input: tx.data.clone(),
                blob_versioned_hashes: tx.blob_hashes.clone(),
            }))
        })
    }
}
