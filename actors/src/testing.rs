//! What the tests of the actors stand on: mocked chains, a real store, a clock that is set by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::VecDeque,
    fmt::Debug,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use actix::{Handler, Message};
use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use async_trait::async_trait;
use ensemble_batch::{
    BatchHeader, Deposit, GWEI, SealedBlock, Withdrawal, deposit_leaf, next_deposits_hash, prev_randao,
};
use ensemble_contracts::{calls, events};
use ensemble_engine_api::{ExecutionClient as _, ForkchoiceState, PayloadAttributes, mock::MockEngine};
use ensemble_l1::{
    BlockTag, Eip1559Tx, FeeHistory, L1Block, L1Client, L1Error, L1Log, L1Transaction, LogFilter, TxReceipt,
    Wallet, mock::MockL1,
};
use ensemble_messages::{Send as SendTx, SendReply, TxIntent};
use ensemble_store::{BatchRecord, BatchStatus, BlockExtras, Cursor, SignedTransaction, Store};
use ensemble_supervision::{
    Backoff, ChildSpec, Component, ComponentState, ComponentStatus, EventKind, Handle, LifecycleEvent,
    Outlet, Seat, Supervisor, SystemHandle,
};
use tokio::sync::mpsc;

use crate::{ChainFacts, Clock, Fanout, ManualClock, Services, Step};

pub(crate) const BRIDGE: Address = address!("00000000000000000000000000000000000000b1");
pub(crate) const PROPOSER: Address = address!("00000000000000000000000000000000000000c1");
pub(crate) const USER: Address = address!("00000000000000000000000000000000000000e1");
pub(crate) const L1_CHAIN: u64 = 3_151_908;
pub(crate) const L2_CHAIN: u64 = 1_729;
const START_MS: u64 = 1_800_000_000_000;
/// Patience with anything that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Bed {
    pub(crate) services: Services,
    pub(crate) engine: MockEngine,
    pub(crate) l1: MockL1,
    pub(crate) clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("ensemble.db")).await.unwrap();
        let engine = MockEngine::new(L2_CHAIN, START_MS / 1000 - 1000);
        let l1 = MockL1::new(L1_CHAIN);
        let clock = Arc::new(ManualClock::at(START_MS));
        let genesis = engine.genesis();
        let chain = ChainFacts {
            l1_chain_id: L1_CHAIN,
            l2_chain_id: engine.chain_id().await.unwrap(),
            proposer: PROPOSER,
            bridge: BRIDGE,
            l2_genesis_hash: genesis.block_hash,
            genesis_header: BatchHeader::genesis(
                L1_CHAIN,
                PROPOSER,
                L2_CHAIN,
                genesis.state_root,
                genesis.block_hash,
            ),
            chain_config: "{}".to_owned(),
        };
        let services = Services {
            store,
            l1: Arc::new(l1.clone()),
            engine: Arc::new(engine.clone()),
            witness: Arc::new(crate::ClientWitness(Arc::new(engine.clone()))),
            clock: Arc::<ManualClock>::clone(&clock) as Arc<dyn Clock>,
            chain: Arc::new(chain),
        };
        Self { services, engine, l1, clock, folder }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.services.store
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ensemble.db")
    }

    /// The process ends and another one opens the file.
    pub(crate) async fn reopen_store(&mut self) {
        self.services.store.close().await;
        self.services.store = Store::open(&self.path()).await.unwrap();
    }

    /// Puts deposits into the ledger as the watcher would, `first` to `last`.
    pub(crate) async fn ledger(&self, first: u64, last: u64) {
        let before = self.store().last_deposit_on_l1().await.unwrap();
        let mut hash = before.map_or(B256::ZERO, |d| d.rolling_hash);
        let mut deposits = Vec::new();
        for id in first..=last {
            let amount = U256::from(id) * U256::from(GWEI);
            hash = next_deposits_hash(hash, deposit_leaf(id, USER, amount));
            deposits.push(Deposit {
                id,
                to: USER,
                amount,
                rolling_hash: hash,
                l1_block: id,
                l1_block_hash: B256::with_last_byte(1),
            });
        }
        let cursor = Cursor { number: last, hash: B256::with_last_byte(1) };
        self.store().record_l1_range(cursor, &deposits).await.unwrap();
    }

    /// Makes an L2 block with these deposits (id, gwei) as the producer would.
    pub(crate) async fn block(&self, deposits: &[(u64, u64)]) -> SealedBlock {
        let head = self.engine.head();
        let last = deposits.last().map_or(head.deposits_index(), |(id, _)| *id);
        let withdrawals = deposits.iter().map(|(index, amount_gwei)| Withdrawal {
            index: *index,
            validator_index: 0,
            address: USER,
            amount_gwei: *amount_gwei,
        });
        let attributes = PayloadAttributes {
            timestamp: head.timestamp + 1,
            prev_randao: prev_randao(&head.block_hash, last),
            suggested_fee_recipient: Address::repeat_byte(7),
            withdrawals: withdrawals.collect(),
            parent_beacon_block_root: B256::ZERO,
        };
        let at = |head| ForkchoiceState { head, safe: B256::ZERO, finalized: B256::ZERO };
        let started = self.engine.forkchoice_updated(at(head.block_hash), Some(&attributes)).await.unwrap();
        let id = started.payload_id.unwrap();
        let block = self.engine.get_payload(&id, attributes.timestamp).await.unwrap().block;
        assert!(self.engine.new_payload(&block).await.unwrap().is_valid());
        self.engine.forkchoice_updated(at(block.block_hash), None).await.unwrap();
        self.store().insert_block(&block).await.unwrap();
        block
    }

    /// Seals a batch of one new block without data on L1, as the committer would.
    pub(crate) async fn batch(&self) -> BatchRecord {
        self.batch_with(|_| B256::ZERO).await
    }

    /// The same with this `blobs_hash` of its payload.
    pub(crate) async fn batch_with(&self, blobs_hash: impl FnOnce(&[u8]) -> B256) -> BatchRecord {
        let last = self.store().last_batch().await.unwrap();
        let parent = last.as_ref().map_or(&self.services.chain.genesis_header, |b| &b.header);
        let block = self.block(&[]).await;
        let witness = format!("{{\"block\":{}}}", block.number).into_bytes();
        let extras = BlockExtras { withdrawals: Vec::new(), witness };
        self.store().set_block_extras(block.number, &extras).await.unwrap();
        let payload = Bytes::from(block.block_hash.to_vec());
        let record = BatchRecord {
            header: BatchHeader {
                parent_hash: parent.hash(),
                state_root: block.state_root,
                block_hash: block.block_hash,
                withdrawals_root: B256::ZERO,
                deposits_hash: B256::ZERO,
                blobs_hash: blobs_hash(&payload),
                number: parent.number + 1,
                deposits_index: 0,
                sealed_at: block.timestamp,
            },
            first_block: block.number,
            last_block: block.number,
            payload,
            blob_proofs: Vec::new(),
            status: BatchStatus::Sealed,
            commit_tx: None,
            verify_tx: None,
        };
        self.store().insert_batch(&record).await.unwrap();
        record
    }

    /// L1Sender has signed an intent twice and L1 has mined the dearer one, which nobody has confirmed yet; its hash.
    pub(crate) async fn mine_unconfirmed(&self, intent: &TxIntent) -> B256 {
        self.store().put_intent(intent).await.unwrap();
        let wallet = Wallet::from_hex("1".repeat(64)).unwrap();
        self.l1.fund(wallet.address(), U256::from(10).pow(U256::from(18)));
        let mut raw = Bytes::new();
        for max_fee_per_gas in [10_000_000_000, 20_000_000_000] {
            let tx = Eip1559Tx {
                chain_id: L1_CHAIN,
                nonce: 0,
                gas_limit: 100_000,
                max_fee_per_gas,
                max_priority_fee_per_gas: 1,
                to: Some(PROPOSER),
                value: U256::ZERO,
                data: Bytes::new(),
            };
            raw = wallet.sign_eip1559(&tx).unwrap().raw;
            let signed = SignedTransaction {
                hash: keccak256(&raw),
                intent: intent.id.clone(),
                nonce: 0,
                fees: "{}".to_owned(),
                raw: raw.clone(),
                signed_at: 0,
            };
            self.store().insert_signed(&signed).await.unwrap();
        }
        self.l1.send_raw_transaction(&raw).await.unwrap();
        self.l1.mine();
        keccak256(raw)
    }
}

// ----------------------------------------------------------------------------------------------------- supervision

/// One component under a supervisor, and what happens to it.
pub(crate) struct Running<A: Component> {
    pub(crate) handle: Handle<A>,
    pub(crate) system: SystemHandle,
    name: String,
    life: mpsc::Receiver<LifecycleEvent>,
}

/// Starts a component that may be restarted as often as it likes.
pub(crate) async fn run<A: Component>(
    name: &str,
    factory: impl Fn(Seat<A>) -> A + Send + Sync + 'static,
) -> Running<A> {
    let spec = ChildSpec::new(name, factory).backoff(Backoff::NONE).intensity(u32::MAX, LIMIT);
    let handle = spec.handle();
    let (outlet, life) = channel();
    let system = Supervisor::builder().child(spec).subscribe(outlet).start().unwrap();
    system.ready().await;
    let mut running = Running { handle, system, name: name.to_owned(), life };
    running
        .life("start", |kind| matches!(kind, EventKind::Started | EventKind::Failed { .. }).then_some(()))
        .await;
    running
}

impl<A: Component> Running<A> {
    /// Waits for something in the component's life; what comes before it is passed over.
    pub(crate) async fn life<T>(&mut self, what: &str, wanted: impl Fn(&EventKind) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.life.recv().await.expect("a live supervisor");
                if let Some(found) = wanted(&event.kind) {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(LIMIT, found).await;
        found.unwrap_or_else(|_| panic!("no {what} of {} in time; now: {:?}", self.name, self.status()))
    }

    /// Waits until it becomes degraded; the reason.
    pub(crate) async fn degraded(&mut self) -> String {
        self.life("degradation", |kind| match kind {
            EventKind::Degraded { reason } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until it is degraded for this reason, whatever it was degraded for before: a reorg in the middle of its
    /// questions is a reason, too.
    pub(crate) async fn degraded_by(&self, wanted: &str) -> String {
        let found = async {
            loop {
                match self.status().state {
                    ComponentState::Degraded(reason) if reason.contains(wanted) => return reason,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        let found = tokio::time::timeout(LIMIT, found).await;
        found.unwrap_or_else(|_| panic!("not degraded by `{wanted}` in time; now: {:?}", self.status()))
    }

    pub(crate) async fn recovered(&mut self) {
        self.life("recovery", |kind| matches!(kind, EventKind::Recovered).then_some(())).await;
    }

    /// Waits until the supervisor has started it again after a failure.
    pub(crate) async fn restarted(&mut self) {
        self.life("restart", |kind| matches!(kind, EventKind::Restarted { .. }).then_some(())).await;
    }

    /// Waits for the escalation; its reason.
    pub(crate) async fn escalated(&mut self) -> String {
        self.life("escalation", |kind| match kind {
            EventKind::Escalated { reason } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn restart(&mut self) {
        self.system.restart(&self.name).await.unwrap();
        self.restarted().await;
    }

    /// Asks for a step. When a step is running, another one follows.
    pub(crate) async fn step(&self)
    where
        A: Handler<Step>,
    {
        self.handle.tell(Step).await.unwrap();
    }

    /// Asks for steps until the condition holds: for effects that nobody announces.
    pub(crate) async fn step_until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F)
    where
        A: Handler<Step>,
    {
        let looking = async {
            while !holds().await {
                // A component that panics at this very message answers no call; the next one does.
                let _lost = self.handle.call(Step).await.is_err();
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(LIMIT, looking).await;
        found.unwrap_or_else(|_| panic!("not in time: {what}; now: {:?}", self.status()));
    }

    pub(crate) fn status(&self) -> ComponentStatus {
        self.system.status().remove(0)
    }

    pub(crate) async fn stop(&self) {
        let report = self.system.shutdown().await;
        assert!(report.is_clean(), "{report:?}");
    }
}

fn channel<M: Message<Result = ()> + Send + 'static>() -> (Outlet<M>, mpsc::Receiver<M>) {
    let (tx, rx) = mpsc::channel(10_000);
    // The test may have ended already.
    let outlet = Outlet::from_fn(move |message: M| drop(tx.try_send(message)));
    (outlet, rx)
}

/// A subscription that a test can wait on.
pub(crate) fn tap<M: Message<Result = ()> + Send + Clone + 'static>() -> (Fanout<M>, mpsc::Receiver<M>) {
    let (outlet, rx) = channel();
    let mut fanout = Fanout::default();
    fanout.add(outlet);
    (fanout, rx)
}

/// The next event, or a failed test.
pub(crate) async fn next<M>(events: &mut mpsc::Receiver<M>) -> M {
    tokio::time::timeout(LIMIT, events.recv()).await.expect("an event in time").expect("a live component")
}

/// Waits until the condition holds: for effects that nobody announces.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let looking = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, looking).await.is_ok(), "not in time: {what}");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

// -------------------------------------------------------------------------------------------------------- L1Sender

/// Stands for L1Sender: remembers what it was asked for, answers what it is told to (accepted when told nothing).
#[derive(Clone, Debug)]
pub(crate) struct FakeSender {
    replies: Arc<Mutex<VecDeque<SendReply>>>,
    otherwise: Arc<Mutex<SendReply>>,
    tx: mpsc::Sender<TxIntent>,
}

impl FakeSender {
    pub(crate) fn new() -> (Self, mpsc::Receiver<TxIntent>) {
        let (tx, rx) = mpsc::channel(10_000);
        let otherwise = Arc::new(Mutex::new(SendReply::Accepted));
        (Self { replies: Arc::default(), otherwise, tx }, rx)
    }

    pub(crate) fn reply(&self, reply: SendReply) {
        lock(&self.replies).push_back(reply);
    }

    /// What it answers when nothing else was told.
    pub(crate) fn otherwise(&self, reply: SendReply) {
        *lock(&self.otherwise) = reply;
    }

    pub(crate) fn outlet(&self) -> Outlet<SendTx> {
        let this = self.clone();
        Outlet::from_fn(move |SendTx { intent }| {
            this.tx.try_send(intent).unwrap();
            lock(&this.replies).pop_front().unwrap_or_else(|| lock(&this.otherwise).clone())
        })
    }
}

// -------------------------------------------------------------------------------------------------- OnChainProposer

/// Answers the views of OnChainProposer on a mocked L1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposer(Arc<Mutex<ProposerState>>);

#[derive(Debug)]
struct ProposerState {
    committed: Vec<B256>,
    verified: u64,
    /// What the bridge says of every deposit; none when it has none.
    deposits_hash: Option<B256>,
    /// Whether verifiers refuse every proof.
    refuses: bool,
}

impl Default for ProposerState {
    fn default() -> Self {
        Self { committed: Vec::new(), verified: 0, deposits_hash: Some(B256::ZERO), refuses: false }
    }
}

impl Proposer {
    pub(crate) fn on(l1: &MockL1) -> Self {
        let this = Self::default();
        let state = Arc::clone(&this.0);
        l1.on_call(move |call| {
            let state = lock(&state);
            if call.to == BRIDGE {
                // Of the bridge, only its checkpoints are asked for.
                assert_eq!(call.data[..4], calls::deposit_checkpoint(0)[..4]);
                return match state.deposits_hash {
                    Some(hash) => Ok(Bytes::from([hash.0, [0; 32]].concat())),
                    None => Err(L1Error::ExecutionReverted { message: "no such".into(), data: Bytes::new() }),
                };
            }
            if call.data[..4] == calls::verify_proof(B256::ZERO, &[], &[])[..4] {
                let message = "InvalidProof()".into();
                return match state.refuses {
                    true => Err(L1Error::ExecutionReverted { message, data: Bytes::new() }),
                    false => Ok(Bytes::new()),
                };
            }
            assert_eq!(call.to, PROPOSER);
            let number = |n: u64| Ok(Bytes::from(U256::from(n).to_be_bytes::<32>().to_vec()));
            if call.data == calls::last_committed_batch() {
                return number(state.committed.len() as u64);
            }
            if call.data == calls::last_verified_batch() {
                return number(state.verified);
            }
            assert_eq!(call.data[..4], calls::committed_hash(0)[..4], "no other call is expected");
            let batch = U256::from_be_slice(&call.data[4..]).to::<usize>();
            match batch.checked_sub(1).and_then(|n| state.committed.get(n)) {
                Some(hash) => Ok(Bytes::from(hash.to_vec())),
                None => {
                    Err(L1Error::ExecutionReverted { message: "not committed".into(), data: Bytes::new() })
                }
            }
        });
        this
    }

    pub(crate) fn commit(&self, hash: B256) {
        lock(&self.0).committed.push(hash);
    }

    /// A reorg, or `revertBatches`.
    pub(crate) fn uncommit_above(&self, number: usize) {
        lock(&self.0).committed.truncate(number);
    }

    /// The rolling hash of every deposit, none when the bridge has no deposits.
    pub(crate) fn deposits_hash(&self, hash: Option<B256>) {
        lock(&self.0).deposits_hash = hash;
    }

    /// Whether verifiers refuse every proof from now on.
    pub(crate) fn refuse_proofs(&self, refuses: bool) {
        lock(&self.0).refuses = refuses;
    }

    pub(crate) fn verify(&self, last: u64) {
        lock(&self.0).verified = last;
    }
}

// ------------------------------------------------------------------------------------------------------ CommonBridge

/// Emits deposits on a mocked L1 as the bridge would.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bridge {
    pub(crate) id: u64,
    pub(crate) hash: B256,
}

pub(crate) fn deposit_log(id: u64, amount: U256, rolling_hash: B256) -> (Vec<B256>, Bytes) {
    let topics =
        vec![events::DepositInitiated::topic(), amount.into(), USER.into_word(), B256::from(U256::from(id))];
    (topics, Bytes::from(rolling_hash.to_vec()))
}

impl Bridge {
    /// Puts a deposit into the next L1 block.
    pub(crate) fn deposit(&mut self, l1: &MockL1, gwei: u64) {
        let amount = U256::from(gwei) * U256::from(GWEI);
        self.id += 1;
        self.hash = next_deposits_hash(self.hash, deposit_leaf(self.id, USER, amount));
        let (topics, data) = deposit_log(self.id, amount, self.hash);
        l1.push_log(BRIDGE, topics, data);
    }
}

/// A mocked L1 that answers `eth_getLogs` for small ranges only, and remembers the ranges.
#[derive(Clone)]
pub(crate) struct NarrowL1 {
    pub(crate) l1: MockL1,
    /// Most blocks per question.
    pub(crate) limit: Arc<Mutex<u64>>,
    /// Ranges that were answered.
    pub(crate) answered: Arc<Mutex<Vec<(u64, u64)>>>,
    /// Ranges that were refused.
    pub(crate) refused: Arc<Mutex<Vec<(u64, u64)>>>,
    /// Gives answers about logs an older block hash, as a pool of nodes of which one is behind may do.
    pub(crate) stale_hash: Arc<Mutex<Option<B256>>>,
    /// Knows no block above this one.
    pub(crate) behind: Arc<Mutex<Option<u64>>>,
    /// What happens after so many more questions about blocks and logs.
    pub(crate) interlude: Arc<Mutex<Option<Interlude>>>,
}

pub(crate) type Interlude = (u32, Box<dyn FnOnce() + Send>);

impl Debug for NarrowL1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NarrowL1").field("l1", &self.l1).finish_non_exhaustive()
    }
}

impl NarrowL1 {
    pub(crate) fn new(l1: &MockL1, limit: u64) -> Self {
        Self {
            l1: l1.clone(),
            limit: Arc::new(Mutex::new(limit)),
            answered: Arc::default(),
            refused: Arc::default(),
            stale_hash: Arc::default(),
            behind: Arc::default(),
            interlude: Arc::default(),
        }
    }

    /// A question was answered.
    fn answered_one(&self) {
        let mut interlude = lock(&self.interlude);
        let due = match &mut *interlude {
            Some((left, _)) => {
                *left -= 1;
                *left == 0
            }
            None => false,
        };
        if due && let Some((_, happens)) = interlude.take() {
            happens();
        }
    }
}

#[async_trait]
impl L1Client for NarrowL1 {
    async fn chain_id(&self) -> Result<u64, L1Error> {
        self.l1.chain_id().await
    }

    async fn block(&self, tag: BlockTag) -> Result<Option<L1Block>, L1Error> {
        let behind = *lock(&self.behind);
        let found = match (behind, tag) {
            (Some(head), BlockTag::Latest) => self.l1.block(BlockTag::Number(head)).await,
            (Some(head), BlockTag::Number(n)) if n > head => Ok(None),
            _ => self.l1.block(tag).await,
        };
        self.answered_one();
        found
    }

    async fn logs(&self, filter: &LogFilter) -> Result<Vec<L1Log>, L1Error> {
        let range = (filter.from_block, filter.to_block);
        if range.1 - range.0 >= *lock(&self.limit) {
            lock(&self.refused).push(range);
            return Err(L1Error::RangeTooLarge { message: "query exceeds max block range".into() });
        }
        let mut logs = self.l1.logs(filter).await?;
        if let Some(stale) = *lock(&self.stale_hash) {
            logs.iter_mut().for_each(|log| log.block_hash = stale);
        }
        lock(&self.answered).push(range);
        self.answered_one();
        Ok(logs)
    }

    async fn call(&self, to: Address, data: Bytes, tag: BlockTag) -> Result<Bytes, L1Error> {
        self.l1.call(to, data, tag).await
    }

    async fn estimate_gas(
        &self,
        from: Address,
        to: Option<Address>,
        value: U256,
        data: Bytes,
        blob_hashes: &[B256],
    ) -> Result<u64, L1Error> {
        self.l1.estimate_gas(from, to, value, data, blob_hashes).await
    }

    async fn transaction_count(&self, address: Address, pending: bool) -> Result<u64, L1Error> {
        self.l1.transaction_count(address, pending).await
    }

    async fn balance(&self, address: Address) -> Result<U256, L1Error> {
        self.l1.balance(address).await
    }

    async fn code(&self, address: Address) -> Result<Bytes, L1Error> {
        self.l1.code(address).await
    }

    async fn fee_history(&self, blocks: u64, percentile: f64) -> Result<FeeHistory, L1Error> {
        self.l1.fee_history(blocks, percentile).await
    }

    async fn blob_base_fee(&self) -> Result<u128, L1Error> {
        self.l1.blob_base_fee().await
    }

    async fn send_raw_transaction(&self, raw: &Bytes) -> Result<B256, L1Error> {
        self.l1.send_raw_transaction(raw).await
    }

    async fn receipt(&self, hash: B256) -> Result<Option<TxReceipt>, L1Error> {
        self.l1.receipt(hash).await
    }

    async fn transaction(&self, hash: B256) -> Result<Option<L1Transaction>, L1Error> {
        self.l1.transaction(hash).await
    }
}

/// What a node says that cannot be reached.
pub(crate) fn unreachable_l1() -> L1Error {
    L1Error::Transport {
        endpoint: "http://l1".into(),
        method: "eth_getLogs",
        reason: "connection refused".into(),
    }
}
