//! [`MockEngine`]: an execution client in memory.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256, Bloom, Bytes, FixedBytes, U256, keccak256};
use async_trait::async_trait;
use ensemble_batch::SealedBlock;

use crate::{
    BlockId, BlockSummary, BuiltPayload, ClientLog, ClientReceipt, EngineError, ExecutionClient,
    ForkchoiceState, ForkchoiceUpdated, PayloadAttributes, PayloadId, PayloadStatus, capabilities::OURS,
};

/// Gas of every transaction.
const TX_GAS: u64 = 21_000;

/// The methods of [`ExecutionClient`], to count calls and to inject failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MockMethod {
    /// [`ExecutionClient::exchange_capabilities`]
    ExchangeCapabilities,
    /// [`ExecutionClient::chain_id`]
    ChainId,
    /// [`ExecutionClient::block`]
    Block,
    /// [`ExecutionClient::full_block`]
    FullBlock,
    /// [`ExecutionClient::forkchoice_updated`]
    ForkchoiceUpdated,
    /// [`ExecutionClient::get_payload`]
    GetPayload,
    /// [`ExecutionClient::new_payload`]
    NewPayload,
    /// [`ExecutionClient::logs`]
    Logs,
    /// [`ExecutionClient::receipt`]
    Receipt,
    /// [`ExecutionClient::execution_witness`]
    ExecutionWitness,
    /// [`ExecutionClient::chain_config`]
    ChainConfig,
}

#[derive(Debug)]
struct Failure {
    error: EngineError,
    /// The call takes effect, only its answer is lost.
    after_effect: bool,
}

#[derive(Debug)]
struct Build {
    block: SealedBlock,
    logs: Vec<ClientLog>,
}

#[derive(Debug)]
struct State {
    chain_id: u64,
    genesis: B256,
    blocks: HashMap<B256, SealedBlock>,
    logs: HashMap<B256, Vec<ClientLog>>,
    head: B256,
    safe: B256,
    finalized: B256,
    pool: Vec<Bytes>,
    pending_logs: Vec<(Address, Vec<B256>, Bytes)>,
    builds: HashMap<PayloadId, Build>,
    syncing: bool,
    payload_statuses: VecDeque<PayloadStatus>,
    failures: BTreeMap<MockMethod, VecDeque<Failure>>,
    calls: BTreeMap<MockMethod, u64>,
    witnesses: HashMap<u64, Bytes>,
    chain_config: serde_json::Value,
}

/// An execution client in memory for tests: it keeps a tree of blocks, builds deterministic ones (hashes are keccak
/// of the content, nothing is executed), follows the forkchoice rules of the Engine API, and fails on demand.
///
/// Clones share the same state.
#[derive(Clone, Debug)]
pub struct MockEngine(Arc<Mutex<State>>);

impl MockEngine {
    /// A chain that consists of its genesis block.
    #[must_use]
    pub fn new(chain_id: u64, genesis_timestamp: u64) -> Self {
        let mut genesis = SealedBlock {
            parent_hash: B256::ZERO,
            fee_recipient: Address::ZERO,
            state_root: keccak256(chain_id.to_be_bytes()),
            receipts_root: B256::ZERO,
            logs_bloom: Bloom::ZERO,
            prev_randao: B256::ZERO,
            number: 0,
            gas_limit: 25_000_000,
            gas_used: 0,
            timestamp: genesis_timestamp,
            extra_data: Bytes::new(),
            base_fee_per_gas: 7,
            block_hash: B256::ZERO,
            transactions: vec![],
            withdrawals: vec![],
            blob_gas_used: 0,
            excess_blob_gas: 0,
            parent_beacon_block_root: B256::ZERO,
            execution_requests: vec![],
        };
        genesis.block_hash = hash_of(&genesis);
        let hash = genesis.block_hash;
        Self(Arc::new(Mutex::new(State {
            chain_id,
            genesis: hash,
            blocks: HashMap::from([(hash, genesis)]),
            logs: HashMap::new(),
            head: hash,
            safe: B256::ZERO,
            finalized: B256::ZERO,
            pool: vec![],
            pending_logs: vec![],
            builds: HashMap::new(),
            syncing: false,
            payload_statuses: VecDeque::new(),
            failures: BTreeMap::new(),
            calls: BTreeMap::new(),
            witnesses: HashMap::new(),
            chain_config: serde_json::json!({ "chainId": chain_id, "pragueTime": 0 }),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next call of `method` fails with `error` and has no effect. Several calls queue up.
    pub fn fail_next(&self, method: MockMethod, error: EngineError) {
        self.state().failures.entry(method).or_default().push_back(Failure { error, after_effect: false });
    }

    /// The next call of `method` takes effect, but its answer is lost and `error` comes instead.
    pub fn lose_next_answer(&self, method: MockMethod, error: EngineError) {
        self.state().failures.entry(method).or_default().push_back(Failure { error, after_effect: true });
    }

    /// While set, forkchoice updates and new payloads are answered by SYNCING and have no effect.
    pub fn set_syncing(&self, syncing: bool) {
        self.state().syncing = syncing;
    }

    /// The next `new_payload` is answered by this; unless it is VALID, the block is not stored.
    pub fn next_payload_status(&self, status: PayloadStatus) {
        self.state().payload_statuses.push_back(status);
    }

    /// Puts a transaction into the pool; the next build takes it. Once its block is accepted it leaves the pool.
    pub fn add_transaction(&self, raw: Bytes) {
        self.state().pool.push(raw);
    }

    /// Empties the pool.
    pub fn drop_transactions(&self) {
        self.state().pool.clear();
    }

    /// The next build emits this log.
    pub fn add_log(&self, address: Address, topics: Vec<B256>, data: Bytes) {
        self.state().pending_logs.push((address, topics, data));
    }

    /// What `execution_witness` answers for a block instead of a text made up for it.
    pub fn set_witness(&self, number: u64, json: Bytes) {
        self.state().witnesses.insert(number, json);
    }

    /// What `chain_config` answers.
    pub fn set_chain_config(&self, config: serde_json::Value) {
        self.state().chain_config = config;
    }

    /// A restart that lost everything above a height: blocks, builds and pool. The head falls back to it.
    pub fn lose_blocks_above(&self, number: u64) {
        let mut state = self.state();
        let kept = state.ancestor_at(state.head, number).unwrap_or(state.head);
        state.blocks.retain(|_, block| block.number <= number);
        state.head = kept;
        for tag in [state.safe, state.finalized] {
            if !tag.is_zero() && !state.blocks.contains_key(&tag) {
                if state.safe == tag {
                    state.safe = kept;
                }
                if state.finalized == tag {
                    state.finalized = kept;
                }
            }
        }
        state.builds.clear();
        state.pool.clear();
        state.pending_logs.clear();
    }

    /// A restart that kept the chain but lost builds and pool.
    pub fn restart(&self) {
        let mut state = self.state();
        state.builds.clear();
        state.pool.clear();
        state.pending_logs.clear();
    }

    /// The head block.
    #[must_use]
    pub fn head(&self) -> SealedBlock {
        let state = self.state();
        state.blocks[&state.head].clone()
    }

    /// The genesis block.
    #[must_use]
    pub fn genesis(&self) -> SealedBlock {
        let state = self.state();
        state.blocks[&state.genesis].clone()
    }

    /// The canonical chain from genesis to head.
    #[must_use]
    pub fn chain(&self) -> Vec<SealedBlock> {
        let state = self.state();
        let mut chain = vec![];
        let mut at = Some(state.head);
        while let Some(block) = at.and_then(|hash| state.blocks.get(&hash)) {
            at = (block.number > 0).then_some(block.parent_hash);
            chain.push(block.clone());
        }
        chain.reverse();
        chain
    }

    /// Every block that was ever accepted at this height, canonical or not.
    #[must_use]
    pub fn blocks_at(&self, number: u64) -> Vec<SealedBlock> {
        let mut blocks: Vec<_> =
            self.state().blocks.values().filter(|block| block.number == number).cloned().collect();
        blocks.sort_by_key(|block| block.block_hash);
        blocks
    }

    /// Hashes of the safe and the finalized block; zero while there is none.
    #[must_use]
    pub fn safe_and_finalized(&self) -> (B256, B256) {
        let state = self.state();
        (state.safe, state.finalized)
    }

    /// How often a method was called, failed calls included.
    #[must_use]
    pub fn calls(&self, method: MockMethod) -> u64 {
        self.state().calls.get(&method).copied().unwrap_or(0)
    }

    /// Counts the call, then runs it unless a failure is due.
    fn run<R>(
        &self,
        method: MockMethod,
        call: impl FnOnce(&mut State) -> Result<R, EngineError>,
    ) -> Result<R, EngineError> {
        let mut state = self.state();
        *state.calls.entry(method).or_default() += 1;
        match state.failures.get_mut(&method).and_then(VecDeque::pop_front) {
            None => call(&mut state),
            Some(Failure { error, after_effect: false }) => Err(error),
            Some(Failure { error, after_effect: true }) => call(&mut state).and(Err(error)),
        }
    }
}

impl State {
    fn ancestor_at(&self, mut hash: B256, number: u64) -> Option<B256> {
        loop {
            let block = self.blocks.get(&hash)?;
            if block.number <= number {
                return (block.number == number).then_some(hash);
            }
            hash = block.parent_hash;
        }
    }

    fn is_ancestor(&self, ancestor: B256, of: B256) -> bool {
        self.blocks.get(&ancestor).is_some_and(|block| self.ancestor_at(of, block.number) == Some(ancestor))
    }

    fn find(&self, id: BlockId) -> Option<&SealedBlock> {
        let hash = match id {
            BlockId::Latest => self.head,
            BlockId::Safe => self.safe,
            BlockId::Finalized => self.finalized,
            BlockId::Number(number) => self.ancestor_at(self.head, number)?,
            BlockId::Hash(hash) => hash,
        };
        self.blocks.get(&hash)
    }

    fn forkchoice_updated(
        &mut self,
        state: ForkchoiceState,
        attributes: Option<&PayloadAttributes>,
    ) -> Result<ForkchoiceUpdated, EngineError> {
        let Some(head) = self.blocks.get(&state.head).filter(|_| !self.syncing).cloned() else {
            return Ok(ForkchoiceUpdated { status: PayloadStatus::Syncing, payload_id: None });
        };
        for (name, hash) in [("safe", state.safe), ("finalized", state.finalized)] {
            if !hash.is_zero() && !self.is_ancestor(hash, state.head) {
                let message = format!("the {name} block is no ancestor of the head");
                return Err(EngineError::InvalidForkchoiceState { message });
            }
        }
        let status = PayloadStatus::Valid { latest_valid_hash: Some(state.head) };
        // a head behind the finalized block is valid but starts nothing
        if !self.finalized.is_zero()
            && state.head != self.finalized
            && self.is_ancestor(state.head, self.finalized)
        {
            return Ok(ForkchoiceUpdated { status, payload_id: None });
        }
        self.head = state.head;
        self.safe = state.safe;
        self.finalized = state.finalized;
        let Some(attributes) = attributes else { return Ok(ForkchoiceUpdated { status, payload_id: None }) };
        if attributes.timestamp <= head.timestamp {
            let message =
                format!("timestamp {} is not above the parent's {}", attributes.timestamp, head.timestamp);
            return Err(EngineError::InvalidPayloadAttributes { message });
        }
        let mut block = SealedBlock {
            parent_hash: head.block_hash,
            fee_recipient: attributes.suggested_fee_recipient,
            state_root: B256::ZERO,
            receipts_root: B256::ZERO,
            prev_randao: attributes.prev_randao,
            number: head.number + 1,
            gas_used: TX_GAS * self.pool.len() as u64,
            timestamp: attributes.timestamp,
            block_hash: B256::ZERO,
            transactions: self.pool.clone(),
            withdrawals: attributes.withdrawals.clone(),
            parent_beacon_block_root: attributes.parent_beacon_block_root,
            ..head.clone()
        };
        block.state_root = state_root_of(&block, head.state_root);
        block.block_hash = hash_of(&block);
        let transaction_hash = block.transactions.first().map(keccak256).unwrap_or_default();
        let logs = std::mem::take(&mut self.pending_logs)
            .into_iter()
            .zip(0..)
            .map(|((address, topics, data), log_index)| ClientLog {
                address,
                topics,
                data,
                block_number: block.number,
                log_index,
                transaction_hash,
            })
            .collect();
        let mut id = FixedBytes::<8>::ZERO;
        id.copy_from_slice(&block.block_hash[..8]);
        let id = PayloadId(id);
        self.builds.entry(id).or_insert(Build { block, logs });
        Ok(ForkchoiceUpdated { status, payload_id: Some(id) })
    }

    fn new_payload(&mut self, block: &SealedBlock) -> PayloadStatus {
        if self.syncing {
            return PayloadStatus::Syncing;
        }
        if let Some(status) = self.payload_statuses.pop_front()
            && !status.is_valid()
        {
            return status;
        }
        let Some(parent) = self.blocks.get(&block.parent_hash) else { return PayloadStatus::Syncing };
        let invalid = |reason: &str| PayloadStatus::Invalid {
            latest_valid_hash: Some(block.parent_hash),
            validation_error: Some(reason.into()),
        };
        if hash_of(block) != block.block_hash {
            return invalid("block hash mismatch");
        }
        if block.number != parent.number + 1 || block.timestamp <= parent.timestamp {
            return invalid("not a child of its parent");
        }
        if state_root_of(block, parent.state_root) != block.state_root {
            return invalid("state root mismatch");
        }
        self.pool.retain(|tx| !block.transactions.contains(tx));
        let built = self.builds.values().find(|build| build.block.block_hash == block.block_hash);
        if let Some(logs) = built.map(|build| build.logs.clone()) {
            self.logs.insert(block.block_hash, logs);
        }
        self.blocks.insert(block.block_hash, block.clone());
        PayloadStatus::Valid { latest_valid_hash: Some(block.block_hash) }
    }
}

/// Stands for executing the block.
fn state_root_of(block: &SealedBlock, parent_root: B256) -> B256 {
    let mut bytes = parent_root.to_vec();
    bytes.extend_from_slice(&block.number.to_be_bytes());
    for tx in &block.transactions {
        bytes.extend_from_slice(keccak256(tx).as_slice());
    }
    for w in &block.withdrawals {
        bytes.extend_from_slice(&w.index.to_be_bytes());
        bytes.extend_from_slice(w.address.as_slice());
        bytes.extend_from_slice(&w.amount_gwei.to_be_bytes());
    }
    keccak256(bytes)
}

/// Stands for the header hash: depends on every field but the hash itself.
fn hash_of(block: &SealedBlock) -> B256 {
    let mut bytes = vec![];
    for word in [
        block.parent_hash,
        block.state_root,
        block.receipts_root,
        block.prev_randao,
        block.parent_beacon_block_root,
        keccak256(block.logs_bloom),
        keccak256(&block.extra_data),
    ] {
        bytes.extend_from_slice(word.as_slice());
    }
    for number in [
        block.number,
        block.gas_limit,
        block.gas_used,
        block.timestamp,
        block.base_fee_per_gas,
        block.blob_gas_used,
        block.excess_blob_gas,
        block.transactions.len() as u64,
        block.withdrawals.len() as u64,
    ] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(block.fee_recipient.as_slice());
    for item in block.transactions.iter().chain(&block.execution_requests) {
        bytes.extend_from_slice(keccak256(item).as_slice());
    }
    for w in &block.withdrawals {
        bytes.extend_from_slice(&w.index.to_be_bytes());
        bytes.extend_from_slice(&w.validator_index.to_be_bytes());
        bytes.extend_from_slice(w.address.as_slice());
        bytes.extend_from_slice(&w.amount_gwei.to_be_bytes());
    }
    keccak256(bytes)
}

#[async_trait]
impl ExecutionClient for MockEngine {
    async fn exchange_capabilities(&self) -> Result<Vec<String>, EngineError> {
        self.run(MockMethod::ExchangeCapabilities, |_| Ok(OURS.iter().map(|&m| m.to_owned()).collect()))
    }

    async fn chain_id(&self) -> Result<u64, EngineError> {
        self.run(MockMethod::ChainId, |state| Ok(state.chain_id))
    }

    async fn block(&self, id: BlockId) -> Result<Option<BlockSummary>, EngineError> {
        self.run(MockMethod::Block, |state| Ok(state.find(id).map(Into::into)))
    }

    async fn full_block(&self, number: u64) -> Result<Option<SealedBlock>, EngineError> {
        self.run(MockMethod::FullBlock, |state| Ok(state.find(BlockId::Number(number)).cloned()))
    }

    async fn forkchoice_updated(
        &self,
        state: ForkchoiceState,
        attributes: Option<&PayloadAttributes>,
    ) -> Result<ForkchoiceUpdated, EngineError> {
        self.run(MockMethod::ForkchoiceUpdated, |s| s.forkchoice_updated(state, attributes))
    }

    async fn get_payload(&self, id: &PayloadId, timestamp: u64) -> Result<BuiltPayload, EngineError> {
        self.run(MockMethod::GetPayload, |state| match state.builds.get(id) {
            Some(build) if build.block.timestamp == timestamp => {
                let block_value = U256::from(build.block.gas_used);
                Ok(BuiltPayload { block: build.block.clone(), block_value })
            }
            _ => Err(EngineError::UnknownPayload { payload_id: *id, message: "unknown payload".into() }),
        })
    }

    async fn new_payload(&self, block: &SealedBlock) -> Result<PayloadStatus, EngineError> {
        self.run(MockMethod::NewPayload, |state| Ok(state.new_payload(block)))
    }

    async fn logs(
        &self,
        address: Address,
        topic0: B256,
        from_block: u64,
        to_block: u64,
    ) -> Result<Vec<ClientLog>, EngineError> {
        self.run(MockMethod::Logs, |state| {
            let mut found = vec![];
            let mut at = state.head;
            while let Some(block) = state.blocks.get(&at) {
                if block.number < from_block {
                    break;
                }
                if block.number <= to_block {
                    found.extend(state.logs.get(&at).into_iter().flatten().cloned());
                }
                if block.number == 0 {
                    break;
                }
                at = block.parent_hash;
            }
            found.retain(|log| log.address == address && log.topics.first() == Some(&topic0));
            found.sort_by_key(|log| (log.block_number, log.log_index));
            Ok(found)
        })
    }

    /// Every transaction succeeds; the logs of a block belong to its first one.
    async fn receipt(&self, transaction: B256) -> Result<Option<ClientReceipt>, EngineError> {
        self.run(MockMethod::Receipt, |state| {
            let mut at = state.head;
            while let Some(block) = state.blocks.get(&at) {
                if block.transactions.iter().any(|raw| keccak256(raw) == transaction) {
                    let logs = state.logs.get(&at).into_iter().flatten();
                    let logs = logs.filter(|log| log.transaction_hash == transaction).cloned().collect();
                    let block_number = block.number;
                    let receipt =
                        ClientReceipt { transaction_hash: transaction, block_number, succeeded: true, logs };
                    return Ok(Some(receipt));
                }
                if block.number == 0 {
                    break;
                }
                at = block.parent_hash;
            }
            Ok(None)
        })
    }

    async fn execution_witness(&self, number: u64) -> Result<Bytes, EngineError> {
        self.run(MockMethod::ExecutionWitness, |state| {
            let Some(block) = state.find(BlockId::Number(number)) else {
                let message = format!("block {number} not found");
                return Err(EngineError::Rpc { method: "debug_executionWitness", code: -32000, message });
            };
            let made_up =
                || Bytes::from(format!(r#"{{"block":"{}","state":[]}}"#, block.block_hash).into_bytes());
            Ok(state.witnesses.get(&number).cloned().unwrap_or_else(made_up))
        })
    }

    async fn chain_config(&self) -> Result<serde_json::Value, EngineError> {
        self.run(MockMethod::ChainConfig, |state| Ok(state.chain_config.clone()))
    }
}
