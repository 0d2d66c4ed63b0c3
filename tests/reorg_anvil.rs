//! Seeded reorgs of anvil under the actors: deposits, commits and verifications are dropped, come back, or do not.
//!
//! `ENSEMBLE_ANVIL=/path/to/anvil cargo nextest run -p ensemble --test reorg_anvil`. Without the variable the test says
//! so and passes. A case that fails prints how to replay it; `ENSEMBLE_REORG_SEED=1000 ENSEMBLE_REORG_CASES=2000` looks
//! further. Some cases in a row share their chains, so that a later one drops what an earlier one has settled.
//!
//! The actors are those of the sequencer, under its supervision, with a store of their own and the embedded execution
//! client. Their timers hardly matter: the test tells them to step, sets their clock, and mines every block of L1.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use common::{Anvil, COINBASE, COMMITTER, VERIFIER, World, client, lock, run};
use ensemble::account::Call;
use ensemble_actors::{
    BlockProducer, BlockProducerConfig, BlockProducerOutlets, ChainFacts, ClientWitness, Confirmations,
    DataAvailability, Fanout, L1Committer, L1CommitterConfig, L1CommitterOutlets, L1Sender, L1SenderConfig,
    L1SenderOutlets, L1Watcher, L1WatcherConfig, L1WatcherOutlets, ManualClock, ProofPolicy, ProofSender,
    ProofSenderConfig, ProofSenderOutlets, RangeLimits, SenderKey, Services, Step,
};
use ensemble_batch::{BatchHeader, BatchLimits, GWEI};
use ensemble_contracts::{calls, events, returns};
use ensemble_engine_api::ExecutionClient;
use ensemble_l1::{
    BlockTag, FeePolicy, L1Client, LogFilter, RpcConfig, RpcL1Client, SidecarVersion, TxManagerConfig, Wallet,
};
use ensemble_messages::{BatchSealed, HeadChanged, SenderRole};
use ensemble_node::{DEV_ACCOUNTS, NodeHandle};
use ensemble_store::Store;
use ensemble_supervision::{
    Backoff, ChildSpec, Component, ComponentState, Handle, Outlet, Seat, Supervisor, SystemHandle,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Deepest reorg.
const DEEPEST: u64 = 64;
/// Empty blocks at the begin of a chain, for reorgs to go into.
const RUNWAY: u64 = DEEPEST + 1;
/// Cases that share their chains.
const TOGETHER: u64 = 20;
/// Most patience with one thing that has to happen.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(4);
const LIMITS: BatchLimits =
    BatchLimits { max_blobs: 0, max_blocks: 16, max_gas: u64::MAX, max_deposits: 100 };
const NAMES: [&str; 5] = ["l1_sender", "l1_watcher", "proof_sender", "l1_committer", "block_producer"];

/// Deposit as the events of L1 and the blocks of the L2 have it: id, receiver, gwei.
type Credit = (u64, Address, u64);

/// anvil, by its own methods and with a client of its own.
#[derive(Clone, Debug)]
struct Anvils {
    url: String,
    http: plain::Client,
    l1: Arc<dyn L1Client>,
}

/// JSON-RPC for the methods that no L1 client has.
mod plain {
    use std::net::SocketAddr;

    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    #[derive(Clone, Debug)]
    pub(crate) struct Client(pub(crate) SocketAddr);

    impl Client {
        pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
            let request = format!(
                "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                self.0,
                body.len()
            );
            let mut socket = TcpStream::connect(self.0).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            let (_, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
            let answer: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"));
            assert!(answer["error"].is_null(), "{method} {params}: {}", answer["error"]);
            answer["result"].clone()
        }
    }
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

impl Anvils {
    fn new(url: &str) -> Self {
        let address = url.trim_start_matches("http://").parse().unwrap();
        Self { url: url.to_owned(), http: plain::Client(address), l1: client(url) }
    }

    async fn rpc(&self, method: &str, params: Value) -> Value {
        self.http.call(method, params).await
    }

    async fn head(&self) -> u64 {
        number(&self.rpc("eth_blockNumber", json!([])).await)
    }

    async fn mine(&self, blocks: u64, seconds_between: u64) {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}"), format!("{seconds_between:#x}")])).await;
    }

    async fn reorg(&self, depth: u64, pairs: &[Value], time: u64) {
        self.rpc("anvil_reorg", json!([depth, pairs])).await;
        self.goes_on_at(time).await;
    }

    async fn rollback(&self, depth: u64, time: u64) {
        self.rpc("anvil_rollback", json!([depth])).await;
        self.goes_on_at(time).await;
    }

    /// Time does not go back with the blocks: batches are sealed at L1's time, and L1 takes none from its future.
    async fn goes_on_at(&self, time: u64) {
        self.rpc("evm_setNextBlockTimestamp", json!([format!("{:#x}", time + 1)])).await;
    }

    async fn block(&self, number: u64) -> Value {
        self.rpc("eth_getBlockByNumber", json!([format!("{number:#x}"), true])).await
    }

    async fn logs(&self, address: Address, topic0: B256) -> Vec<ensemble_l1::L1Log> {
        let to_block = self.head().await;
        self.l1.logs(&LogFilter { address, topic0, from_block: 0, to_block }).await.unwrap()
    }
}

/// What the actors told.
#[derive(Debug, Default)]
struct Told {
    /// Hashes of the headers sealed for each batch.
    batches: BTreeMap<u64, BTreeSet<B256>>,
    /// Finalized heads, in the order in which they were told.
    finalized: Vec<u64>,
}

/// The actors of one case.
struct Actors {
    system: SystemHandle,
    sender: Handle<L1Sender>,
    watcher: Handle<L1Watcher>,
    verifier: Handle<ProofSender>,
    committer: Handle<L1Committer>,
    producer: Handle<BlockProducer>,
}

/// A chain of each kind, and the actors between them.
struct Case {
    anvil: Anvils,
    services: Services,
    clock: Arc<ManualClock>,
    actors: Actors,
    node: NodeHandle,
    /// Deposits of the L2's blocks, as far as they were read.
    read: Mutex<Vec<Vec<Credit>>>,
    told: Arc<Mutex<Told>>,
    rng: StdRng,
    confirmations: u64,
    l1_confirmations: u64,
    /// Head of L1.
    head: u64,
    /// Blocks up to this one are never dropped.
    base: u64,
    /// Highest head there ever was: what a watcher may have seen.
    highest: u64,
    /// A reorg has dropped blocks that had their confirmations.
    too_deep: bool,
    reorgs: u64,
    users: Vec<ensemble::account::Account>,
    /// Amount of the next deposit in gwei: no two are the same.
    next_gwei: u64,
    /// What happened, for the report of a failure.
    story: String,
    folder: TempDir,
}

fn child<A: Component>(
    handle: &Handle<A>,
    factory: impl Fn(Seat<A>) -> A + Send + Sync + 'static,
) -> ChildSpec<A> {
    ChildSpec::new(handle.name(), factory)
        .with_handle(handle.clone())
        .backoff(Backoff::NONE)
        .intensity(50, Duration::from_secs(60))
}

fn wallet(key: &str) -> Arc<Wallet> {
    Arc::new(Wallet::from_hex(key.to_owned()).unwrap())
}

/// Starts the actors as the sequencer does, with timers that are out of the way.
fn start(
    services: &Services,
    told: &Arc<Mutex<Told>>,
    l1_confirmations: u64,
    watcher: Confirmations,
) -> Actors {
    const NEVER: Duration = Duration::from_secs(3_600);
    let actors = (
        Handle::<L1Sender>::new("l1_sender"),
        Handle::<L1Watcher>::new("l1_watcher"),
        Handle::<ProofSender>::new("proof_sender"),
        Handle::<L1Committer>::new("l1_committer"),
        Handle::<BlockProducer>::new("block_producer"),
    );
    let (l1_sender, l1_watcher, proof_sender, l1_committer, block_producer) = actors;

    let mut out = L1SenderOutlets::default();
    out.confirmed.add(l1_committer.outlet());
    out.confirmed.add(proof_sender.outlet());
    out.failed.add(l1_committer.outlet());
    out.failed.add(proof_sender.outlet());
    let config = L1SenderConfig {
        keys: vec![
            SenderKey { role: SenderRole::Committer, wallet: wallet(COMMITTER.private_key) },
            SenderKey { role: SenderRole::Prover, wallet: wallet(VERIFIER.private_key) },
        ],
        manager: TxManagerConfig {
            resubmit_after: Duration::from_millis(25),
            receipt_poll: Duration::from_millis(2),
            confirmations: l1_confirmations,
            max_replacements: 3,
            ..TxManagerConfig::default()
        },
        fees: FeePolicy::default(),
        sidecar: SidecarVersion::V1,
        poll: NEVER,
    };
    let (held, out) = (services.clone(), Arc::new(out));
    let mut tree = Supervisor::builder().child(child(&l1_sender, move |seat| {
        L1Sender::new(seat, config.clone(), held.clone(), Arc::clone(&out))
    }));

    let mut out = L1WatcherOutlets::default();
    out.new_deposit.add(block_producer.outlet());
    out.l1_reorged.add(l1_committer.outlet());
    let config =
        L1WatcherConfig { check_interval: NEVER, max_block_step: 16, confirmations: watcher, start_block: 0 };
    let (held, out) = (services.clone(), Arc::new(out));
    tree = tree.child(child(&l1_watcher, move |seat| {
        L1Watcher::new(seat, config.clone(), held.clone(), Arc::clone(&out))
    }));

    let mut batch_verified = ensemble_actors::Fanout::default();
    batch_verified.add(block_producer.outlet());
    let out =
        ProofSenderOutlets { sender: l1_sender.outlet(), join_proofs: Fanout::default(), batch_verified };
    let config = ProofSenderConfig {
        policy: ProofPolicy::default(),
        verifiers: vec![],
        // Without proofs: what waits is verified together.
        ranges: RangeLimits { max_batches: 4, ..RangeLimits::SINGLE },
        poll: NEVER,
    };
    let (held, out) = (services.clone(), Arc::new(out));
    tree = tree.child(child(&proof_sender, move |seat| {
        ProofSender::new(seat, config.clone(), held.clone(), Arc::clone(&out))
    }));

    let mut out = L1CommitterOutlets {
        sender: l1_sender.outlet(),
        batch_sealed: Default::default(),
        batch_committed: Default::default(),
    };
    let noted = Arc::clone(told);
    out.batch_sealed.add(Outlet::from_fn(move |e: BatchSealed| {
        lock(&noted).batches.entry(e.header.number).or_default().insert(e.header.hash());
    }));
    out.batch_committed.add(block_producer.outlet());
    out.batch_committed.add(proof_sender.outlet());
    let config = L1CommitterConfig {
        commit_time: Duration::from_secs(6),
        poll: NEVER,
        da: DataAvailability::None,
        fees: FeePolicy::default(),
        limits: LIMITS,
        max_uncommitted: 1,
    };
    let (held, out) = (services.clone(), Arc::new(out));
    tree = tree.child(child(&l1_committer, move |seat| {
        L1Committer::new(seat, config.clone(), held.clone(), Arc::clone(&out))
    }));

    let mut out = BlockProducerOutlets::default();
    out.block_sealed.add(l1_committer.outlet());
    let noted = Arc::clone(told);
    out.head_changed.add(Outlet::from_fn(move |e: HeadChanged| lock(&noted).finalized.push(e.finalized)));
    let config = BlockProducerConfig::new(Duration::from_secs(1), COINBASE.address, true, 4, LIMITS).unwrap();
    let (held, out) = (services.clone(), Arc::new(out));
    tree = tree.child(child(&block_producer, move |seat| {
        BlockProducer::new(seat, config.clone(), held.clone(), Arc::clone(&out))
    }));
    Actors {
        system: tree.start().unwrap(),
        sender: l1_sender,
        watcher: l1_watcher,
        verifier: proof_sender,
        committer: l1_committer,
        producer: block_producer,
    }
}

impl Case {
    async fn begin(seed: u64, anvil: &Anvils, world: &mut World) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let base = anvil.head().await;
        let clock_at = number(&anvil.block(base).await["timestamp"]) * 1_000;
        // L1's clock is far ahead, so that no reorg takes it back behind ours.
        anvil.mine(RUNWAY, 60).await;

        let folder = TempDir::new().unwrap();
        let engine: Arc<dyn ExecutionClient> = ensemble::execution_client(&world.config).unwrap();
        let facts = ensemble::l2_facts(&world.config, &engine, false).await.unwrap();
        let (proposer, bridge) = (world.deployment().proposer, world.deployment().bridge);
        let l1_chain_id = anvil.l1.chain_id().await.unwrap();
        let chain = ChainFacts {
            l1_chain_id,
            l2_chain_id: facts.chain_id,
            proposer,
            bridge,
            l2_genesis_hash: facts.genesis_hash,
            genesis_header: BatchHeader::genesis(
                l1_chain_id,
                proposer,
                facts.chain_id,
                facts.genesis_state_root,
                facts.genesis_hash,
            ),
            chain_config: String::new(),
        };
        let clock = Arc::new(ManualClock::at(clock_at));
        let services = Services {
            store: Store::open(&folder.path().join("ensemble.db")).await.unwrap(),
            l1: Arc::new(RpcL1Client::new(vec![anvil.url.clone()], RpcConfig::default()).unwrap()),
            engine: Arc::clone(&engine),
            witness: Arc::new(ClientWitness(engine)),
            clock: Arc::<ManualClock>::clone(&clock) as Arc<dyn ensemble_actors::Clock>,
            chain: Arc::new(chain),
        };
        let told = Arc::<Mutex<Told>>::default();
        let confirmations = *[0, 1, 3, 8, 20].choose(&mut rng).unwrap();
        let l1_confirmations = rng.gen_range(1..=3);
        let actors = start(&services, &told, l1_confirmations, Confirmations::Depth(confirmations));
        actors.system.ready().await;
        let mut users = Vec::new();
        for account in &DEV_ACCOUNTS[5..8] {
            users.push(common::account(&anvil.url, account.private_key).await);
        }
        let head = anvil.head().await;
        let mut case = Self {
            anvil: anvil.clone(),
            services,
            clock,
            actors,
            node: world.take_l2(),
            read: Mutex::default(),
            told,
            rng,
            confirmations,
            l1_confirmations,
            head,
            base,
            highest: head,
            too_deep: false,
            reorgs: 0,
            users,
            next_gwei: 1_000_000,
            story: String::new(),
            folder,
        };
        case.note(format!("deposits after {confirmations}, transactions after {l1_confirmations} block(s)"));
        case
    }

    /// One whole case; whether L1 has kept what the L2 holds.
    async fn whole(&mut self, seed: u64) -> bool {
        self.rng = StdRng::seed_from_u64(seed);
        self.note(format!("seed {seed}"));
        self.happen().await;
        let kept = self.settle().await;
        if kept {
            self.recovered().await;
        } else {
            self.stopped().await;
        }
        let report = self.actors.system.shutdown().await;
        assert!(report.is_clean(), "{report:?}");
        self.books(kept).await;
        kept
    }

    /// Starts everybody anew, with the same store.
    fn restart(&mut self) {
        self.actors = start(
            &self.services,
            &self.told,
            self.l1_confirmations,
            Confirmations::Depth(self.confirmations),
        );
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        writeln!(self.story, "  {what}").unwrap();
    }

    // ------------------------------------------------------------------------------------------------ what happens

    /// Tells everybody to do a step. A component that is being restarted does it afterwards.
    async fn step(&self, blocks: bool) {
        let Actors { sender, watcher, verifier, committer, producer, .. } = &self.actors;
        if blocks {
            producer.tell(Step).await.unwrap();
        }
        watcher.tell(Step).await.unwrap();
        committer.tell(Step).await.unwrap();
        sender.tell(Step).await.unwrap();
        verifier.tell(Step).await.unwrap();
        tokio::time::sleep(LOOK).await;
    }

    async fn mine(&mut self, blocks: u64) {
        self.anvil.mine(blocks, 1).await;
        self.head += blocks;
        self.highest = self.highest.max(self.head);
    }

    /// A second passes: everybody does something, and there is another block on each chain.
    async fn second(&mut self) {
        self.clock.advance(1_000);
        self.step(true).await;
        self.mine(1).await;
    }

    /// Sends the deposit of an amount to the pool.
    async fn send_deposit(&mut self, to: Address, gwei: u64) {
        let user = self.users.choose(&mut self.rng).unwrap();
        let fees = user.fees().await.unwrap();
        let nonce = self.anvil.l1.transaction_count(user.address(), true).await.unwrap();
        let call = Call {
            to: Some(self.services.chain.bridge),
            value: U256::from(gwei) * U256::from(GWEI),
            data: calls::deposit(to),
        };
        let signed = user.sign(&call, nonce, 200_000, &fees).unwrap();
        self.anvil.l1.send_raw_transaction(&signed.raw).await.unwrap();
    }

    async fn deposit(&mut self) {
        self.next_gwei += 1;
        let gwei = self.next_gwei;
        self.send_deposit(Address::from_slice(&keccak256(gwei.to_be_bytes())[12..]), gwei).await;
        self.note(format!("deposit of {gwei} gwei"));
    }

    /// Transactions that anvil takes back with a reorg and that are to be mined anew: the deposits of the dropped blocks.
    async fn deposits_from(&self, first: u64) -> Vec<Bytes> {
        let mut out = Vec::new();
        for n in first..=self.head {
            for tx in self.anvil.block(n).await["transactions"].as_array().unwrap() {
                if tx["to"].as_str().map(|to| to.parse::<Address>().unwrap())
                    == Some(self.services.chain.bridge)
                {
                    let raw = self.anvil.rpc("eth_getRawTransactionByHash", json!([tx["hash"]])).await;
                    out.push(raw.as_str().unwrap().parse().unwrap());
                }
            }
        }
        out
    }

    async fn reorg(&mut self) {
        let head = self.head;
        assert_eq!(self.anvil.head().await, head);
        let most = DEEPEST.min(head - self.base);
        let depth = match self.rng.gen_range(0..4) {
            0 => self.rng.gen_range(1..=most.min(3)),
            1 => self.rng.gen_range(1..=most.min(12)),
            _ => self.rng.gen_range(1..=most),
        };
        let first = head - depth + 1;
        self.too_deep |= self.highest - first + 1 > self.confirmations;
        self.reorgs += 1;
        let mut deposits = self.deposits_from(first).await;
        let time = number(&self.anvil.block(head).await["timestamp"]);
        let what = match self.rng.gen_range(0..8) {
            0 | 1 => {
                self.anvil.reorg(depth, &[], time).await;
                "reorg, nothing comes back".to_owned()
            }
            2 => {
                self.anvil.rollback(depth, time).await;
                self.head -= depth;
                "rollback".to_owned()
            }
            3 => {
                // In the new blocks themselves, in their order.
                let mut places: Vec<u64> = deposits.iter().map(|_| self.rng.gen_range(0..depth)).collect();
                places.sort_unstable();
                let pairs: Vec<Value> =
                    deposits.iter().zip(places).map(|(raw, place)| json!([raw, place])).collect();
                self.anvil.reorg(depth, &pairs, time).await;
                format!("reorg, {} deposit(s) in its blocks", deposits.len())
            }
            choice => {
                if choice == 4 {
                    self.anvil.rollback(depth, time).await;
                    self.head -= depth;
                } else {
                    self.anvil.reorg(depth, &[], time).await;
                }
                let shuffled = choice == 5;
                if shuffled {
                    deposits.shuffle(&mut self.rng);
                }
                for raw in &deposits {
                    // Out of order, one may wait for another one of the same account.
                    self.anvil.l1.send_raw_transaction(raw).await.unwrap();
                    if self.rng.gen_bool(0.5) || !shuffled {
                        self.mine(1).await;
                    }
                }
                let order = if shuffled { "another" } else { "the same" };
                format!("reorg, {} deposit(s) again in {order} order", deposits.len())
            }
        };
        self.note(format!("{what}: {depth} block(s) from {first} on"));
    }

    async fn committed(&self) -> u64 {
        let data = calls::last_committed_batch();
        returns::u64(&self.anvil.l1.call(self.services.chain.proposer, data, BlockTag::Latest).await.unwrap())
            .unwrap()
    }

    async fn verified(&self) -> u64 {
        let data = calls::last_verified_batch();
        returns::u64(&self.anvil.l1.call(self.services.chain.proposer, data, BlockTag::Latest).await.unwrap())
            .unwrap()
    }

    /// The random part.
    async fn happen(&mut self) {
        let rounds = self.rng.gen_range(4..=6);
        for round in 0..rounds {
            match self.rng.gen_range(0..12) {
                0..=3 => {
                    for _ in 0..self.rng.gen_range(1..=3) {
                        self.deposit().await;
                    }
                    if self.rng.gen_bool(0.7) {
                        self.mine(1).await;
                    }
                }
                4 => {
                    let blocks = self.rng.gen_range(1..=10);
                    self.mine(blocks).await;
                }
                5..=8 => {
                    let seconds = self.rng.gen_range(2..=5);
                    for _ in 0..seconds {
                        self.second().await;
                    }
                }
                9 => {
                    let name = *NAMES.choose(&mut self.rng).unwrap();
                    self.note(format!("restart of {name}"));
                    self.actors.system.restart(name).await.unwrap();
                }
                _ => self.reorg().await,
            }
            if round == rounds / 2 {
                // So that every case has something to lose.
                let (committed, verified) = (self.committed().await, self.verified().await);
                for _ in 0..10 {
                    if self.committed().await > committed && self.verified().await > verified {
                        break;
                    }
                    self.second().await;
                }
                self.reorg().await;
            }
        }
        let (committed, verified) = (self.committed().await, self.verified().await);
        self.note(format!("{committed} committed, {verified} verified, L1 at {}", self.head));
    }

    // ------------------------------------------------------------------------------------------------- what is seen

    async fn l1_deposits(&self) -> Vec<Credit> {
        let logs = self.anvil.logs(self.services.chain.bridge, events::DepositInitiated::topic()).await;
        let credit = |log: &ensemble_l1::L1Log| {
            let e = events::DepositInitiated::decode(&log.topics, &log.data).unwrap();
            (e.deposit_id, e.to, (e.amount / U256::from(GWEI)).to::<u64>())
        };
        logs.iter().map(credit).collect()
    }

    async fn l2_block(&self, n: u64) -> Value {
        let block = self.node.call("eth_getBlockByNumber", vec![json!(format!("{n:#x}")), json!(false)]);
        block.await.unwrap()
    }

    async fn l2_head(&self) -> u64 {
        number(&self.node.call("eth_blockNumber", Vec::new()).await.unwrap())
    }

    async fn l2_deposits(&self) -> Vec<Credit> {
        let mut all = self.read.lock().unwrap().clone();
        for n in all.len() as u64 + 1..=self.l2_head().await {
            let block = self.l2_block(n).await;
            let credit = |w: &Value| {
                (number(&w["index"]), w["address"].as_str().unwrap().parse().unwrap(), number(&w["amount"]))
            };
            all.push(block["withdrawals"].as_array().unwrap().iter().map(credit).collect());
        }
        self.read.lock().unwrap().clone_from(&all);
        all.concat()
    }

    fn reason(&self, component: &str) -> String {
        let status = self.actors.system.status().into_iter().find(|c| c.name == component).unwrap();
        match status.state {
            ComponentState::Running => String::new(),
            other => format!("{other:?}"),
        }
    }

    /// What everybody says, and what the store knows of the first batches that are not verified.
    async fn states(&self) -> String {
        let mut all: String =
            NAMES.iter().map(|name| format!("\n    {name}: {}", self.reason(name))).collect();
        let (committed, verified) = (self.committed().await, self.verified().await);
        write!(all, "\n    L1 at {}: {committed} committed, {verified} verified", self.head).unwrap();
        let store = &self.services.store;
        for number in verified + 1..verified + 4 {
            let Some(batch) = store.batch(number).await.unwrap() else { break };
            let hash = alloy_primitives::hex::encode(&batch.header.hash()[..8]);
            write!(all, "\n    batch {number}: {:?}", batch.status).unwrap();
            for kind in ["commit", "verify"] {
                let id = ensemble_messages::IntentId(format!("{kind}-{number}-{hash}"));
                let state = store.intent(&id).await.unwrap().map(|r| r.state);
                write!(all, ", {kind} {state:?}").unwrap();
            }
        }
        all
    }

    /// Lets time pass, with or without further L2 blocks, until something holds.
    async fn until(&mut self, blocks: bool, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            if holds(self).await {
                return;
            }
            assert!(Instant::now() < end, "did not happen: {what}{}", self.states().await);
            self.clock.advance(3_000);
            self.step(blocks).await;
            self.mine(2).await;
        }
    }

    // ---------------------------------------------------------------------------------------------------- the end

    /// Lets everything come to rest, and says whether L1 kept the deposits that the L2 holds.
    async fn settle(&mut self) -> bool {
        // What is in the pool is mined, and what an older reorg left half done is done.
        self.until(true, "the L1 watcher at the head, or stopped", async |case| {
            let Some(cursor) = case.services.store.cursor().await.unwrap() else { return false };
            let block = case.anvil.l1.block(BlockTag::Number(cursor.number)).await.unwrap();
            let there = block.is_some_and(|b| b.hash == cursor.hash)
                && cursor.number + case.confirmations + 2 >= case.head;
            there || case.reason("l1_watcher").contains("another one now")
        })
        .await;
        loop {
            let (l1, l2) = (self.l1_deposits().await, self.l2_deposits().await);
            let same = l1.iter().zip(&l2).take_while(|(a, b)| a == b).count();
            if same == l2.len() {
                return true;
            }
            assert!(self.too_deep, "SEQ-INV-2: the L2 has {l2:?}, L1 {l1:?}, and no reorg was too deep");
            if same < l1.len() {
                self.note(format!("deposit {} is another one on L1", same + 1));
                return false;
            }
            // L1 lacks some. They are made again, as a wallet does whose transaction was dropped.
            self.note(format!("deposits {} to {} are made again", same + 1, l2.len()));
            for (_, to, gwei) in &l2[same..] {
                self.send_deposit(*to, *gwei).await;
                self.mine(1).await;
            }
        }
    }

    /// SEQ-INV-1: all is well again: every deposit is on the L2, every block is in a verified batch, nobody complains.
    async fn recovered(&mut self) {
        self.until(true, "every deposit on the L2", async |case| {
            let l1 = case.l1_deposits().await;
            let ledger = case.services.store.last_deposit().await.unwrap().map_or(0, |d| d.id);
            ledger == l1.len() as u64 && case.l2_deposits().await == l1
        })
        .await;
        let head = self.l2_head().await;
        self.until(false, "the verification of every block", async |case| {
            let batch = case.services.store.batch_of_block(head).await.unwrap();
            match batch {
                Some(batch) => case.verified().await >= batch.header.number,
                None => false,
            }
        })
        .await;
        self.until(false, "everybody at work", async |case| {
            case.actors.system.status().iter().all(|c| c.state == ComponentState::Running)
        })
        .await;
        // No further blocks; what is under way ends.
        let end = Instant::now() + PATIENCE;
        loop {
            let store = &self.services.store;
            let mut pending = store.pending_intents(SenderRole::Committer).await.unwrap();
            pending.extend(store.pending_intents(SenderRole::Prover).await.unwrap());
            if pending.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "SEQ-INV-5: no outcome of {pending:?}{}", self.states().await);
            self.actors.sender.tell(Step).await.unwrap();
            tokio::time::sleep(LOOK).await;
            self.mine(1).await;
        }
    }

    /// L1 has other deposits than the L2: nothing that holds them is verified, no further ones are taken, the operator is
    /// told, and the L2 goes on.
    async fn stopped(&mut self) {
        self.until(true, "the watcher says so", async |case| {
            case.reason("l1_watcher").contains("another one now")
        })
        .await;
        let (before, head) = (self.l2_deposits().await, self.l2_head().await);
        self.deposit().await;
        self.until(true, "the L2 goes on", async |case| case.l2_head().await > head + 5).await;
        assert_eq!(self.l2_deposits().await, before, "new deposits are stopped");
        let l1 = self.l1_deposits().await;
        let same = l1.iter().zip(&before).take_while(|(a, b)| a == b).count() as u64;
        let verified = self.verified().await;
        let batch = self.services.store.batch(verified).await.unwrap();
        let held = batch.map_or(0, |b| b.header.deposits_index);
        assert!(held <= same, "SEQ-INV-7: batch {verified} with deposits up to {held} of {same} is verified");
    }

    /// Compares both chains with each other, and the batches with what was sealed.
    async fn books(&self, recovered: bool) {
        // The L2 never had another block at any height than it has now.
        self.read.lock().unwrap().clear();
        let (l1, l2) = (self.l1_deposits().await, self.l2_deposits().await);
        assert!(l1.iter().map(|d| d.0).eq(1..=l1.len() as u64), "{l1:?}");
        assert!(l2.iter().map(|d| d.0).eq(1..=l2.len() as u64), "SEQ-INV-1: {l2:?}");
        if recovered {
            assert_eq!(l1[..l2.len()], l2[..], "SEQ-INV-1");
        }

        let proposer = self.services.chain.proposer;
        let commits = self.anvil.logs(proposer, events::BatchCommitted::topic()).await;
        let verifications = self.anvil.logs(proposer, events::BatchesVerified::topic()).await;
        // The news of a batch is lost when the committer is stopped right after it was sealed; the store has it.
        let told = lock(&self.told).batches.clone();
        let stored = async |n: u64| self.services.store.batch(n).await.unwrap().expect("it is on L1").header;
        for (log, wanted) in commits.iter().zip(1..) {
            let e = events::BatchCommitted::decode(&log.topics, &log.data).unwrap();
            assert_eq!(e.number, wanted, "commits come in order, each once");
            let sealed = told.get(&wanted).cloned().unwrap_or_else(|| BTreeSet::from([e.hash]));
            assert_eq!(sealed, BTreeSet::from([e.hash]), "SEQ-INV-4: headers sealed for batch {wanted}");
            assert_eq!(stored(wanted).await.hash(), e.hash, "SEQ-INV-4: batch {wanted}");
        }
        let mut verified = 0;
        for log in &verifications {
            let e = events::BatchesVerified::decode(&log.topics, &log.data).unwrap();
            assert_eq!(e.first, verified + 1, "verifications come in order, each once");
            verified = e.last;
            assert_eq!(stored(verified).await.hash(), e.hash, "SEQ-INV-7: batch {verified}");
            let committed = &commits[usize::try_from(verified).unwrap() - 1];
            assert!(
                (committed.block_number, committed.log_index) < (log.block_number, log.log_index),
                "SEQ-INV-7"
            );
        }

        let finalized = lock(&self.told).finalized.clone();
        assert!(finalized.is_sorted(), "the finalized head never goes back: {finalized:?}");
    }

    /// SEQ-INV-5: whatever used a nonce of ours is an event, a filler, or reverted after a reorg.
    async fn nonces(&self) {
        let proposer = self.services.chain.proposer;
        let commits = self.anvil.logs(proposer, events::BatchCommitted::topic()).await;
        let verifications = self.anvil.logs(proposer, events::BatchesVerified::topic()).await;
        let mut used: BTreeMap<Address, (u64, u64)> = BTreeMap::new();
        let mut reverted = 0;
        for n in 1..=self.head {
            for tx in self.anvil.block(n).await["transactions"].as_array().unwrap() {
                let from: Address = tx["from"].as_str().unwrap().parse().unwrap();
                if from != COMMITTER.address && from != VERIFIER.address {
                    continue;
                }
                let receipt =
                    self.anvil.l1.receipt(tx["hash"].as_str().unwrap().parse().unwrap()).await.unwrap();
                let (nonces, effects) = used.entry(from).or_default();
                assert_eq!(number(&tx["nonce"]), *nonces, "SEQ-INV-5: nonces of {from}");
                *nonces += 1;
                let filler = tx["to"].as_str().unwrap().parse::<Address>().unwrap() == from;
                match receipt.unwrap().status {
                    true if !filler => *effects += 1,
                    true => {}
                    false => reverted += 1,
                }
            }
        }
        let effects = |account: Address| used.get(&account).map_or(0, |(_, effects)| *effects);
        assert_eq!(effects(COMMITTER.address), commits.len() as u64, "SEQ-INV-5: commits");
        assert_eq!(effects(VERIFIER.address), verifications.len() as u64, "SEQ-INV-5: verifications");
        assert!(reverted <= 4 * self.reorgs, "SEQ-INV-5: {reverted} reverted, {} reorgs", self.reorgs);
    }
}

/// What became of the cases.
#[derive(Debug, Default)]
struct Tally {
    recovered: u64,
    stopped: u64,
    reorgs: u64,
    deposits: u64,
    committed: u64,
    verified: u64,
    /// Transactions that verified these.
    verifications: u64,
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

/// Runs cases on the same chains until one of them fails or stops. Gives the seed that comes next, and what failed.
async fn together(first: u64, end: u64, tally: &mut Tally) -> (u64, Option<String>) {
    let anvil = Anvil::start_with(&["--order", "fifo", "--prune-history", "5000"])
        .expect("it was there a moment ago");
    let mut world = World::on_anvil_with(anvil, |c| {
        c.prover_server.dev_mode = true;
        c.committer.da = ensemble::config::DataAvailability::None;
    })
    .await;
    world.deploy().await;
    let anvil = Anvils::new(&world.l1_url());
    anvil.rpc("evm_setAutomine", json!([false])).await;
    let case = Case::begin(first, &anvil, &mut world).await;
    let case = Arc::new(tokio::sync::Mutex::new(case));
    let mut seed = first;
    let failure = loop {
        let held = Arc::clone(&case);
        let outcome = actix_rt::spawn(async move { held.lock().await.whole(seed).await }).await;
        let mut case = case.lock().await;
        case.actors.system.shutdown().await;
        seed += 1;
        match outcome {
            Ok(true) => tally.recovered += 1,
            Ok(false) => {
                tally.stopped += 1;
                break None;
            }
            Err(error) => {
                eprintln!("{error}\n{}", case.story);
                break Some(format!(
                    "{error}\nreplay: ENSEMBLE_REORG_SEED={first} ENSEMBLE_REORG_CASES={}",
                    seed - first
                ));
            }
        }
        if seed == end {
            break None;
        }
        case.restart();
    };
    let case = Arc::into_inner(case).expect("its holders have ended").into_inner();
    if failure.is_none() {
        case.nonces().await;
    }
    tally.reorgs += case.reorgs;
    tally.deposits += case.l2_deposits().await.len() as u64;
    tally.committed += case.committed().await;
    tally.verified += case.verified().await;
    let proposer = case.services.chain.proposer;
    tally.verifications += case.anvil.logs(proposer, events::BatchesVerified::topic()).await.len() as u64;
    case.services.store.close().await;
    case.node.shutdown().await.unwrap();
    case.folder.close().unwrap();
    (seed, failure)
}

/// SEQ-INV-1, SEQ-INV-2, SEQ-INV-4, SEQ-INV-5, SEQ-INV-7: whatever L1 drops, and however deep, both chains agree in the
/// end, or the sequencer says why they cannot and goes on without new deposits.
#[test]
fn seeded_reorgs() {
    if Anvil::start_with(&[]).is_none() {
        return;
    }
    let first = variable("ENSEMBLE_REORG_SEED").unwrap_or(1);
    let cases = variable("ENSEMBLE_REORG_CASES").unwrap_or(200);
    eprintln!("ENSEMBLE_REORG_SEED={first} ENSEMBLE_REORG_CASES={cases}");
    run(async {
        let mut tally = Tally::default();
        let (mut seed, mut failures) = (first, Vec::new());
        while seed < first + cases {
            let failure;
            (seed, failure) = together(seed, (seed + TOGETHER).min(first + cases), &mut tally).await;
            failures.extend(failure);
        }
        eprintln!("{tally:?}");
        // Here, and not above alone: of a long output the end is what everybody sees.
        assert!(
            failures.is_empty(),
            "{} failed, its story is above:\n{}",
            failures.len(),
            failures.join("\n")
        );
    });
}
