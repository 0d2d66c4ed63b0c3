//! A whole sequencer with its L1, its L2 and its provers, for tests that look at it from outside.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[cfg(feature = "rebuild")]
mod from_anvil;
#[cfg(feature = "cli")]
pub(crate) mod process;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256, keccak256};
use ensemble::{
    Sequencer, SequencerBuilder, StartError,
    account::{Account, AccountError, Call},
    bridge::{self, BridgeError, Deposited, Withdrawn},
    config::{Config, Confirmations, PrivateKey, RpcUrl, StoreLocation},
    deploy::{self, Deployment},
    messages::{BatchSealed, BatchVerified, BlockSealed},
    supervision::{ComponentState, ComponentStatus, EventKind, LifecycleEvent},
    withdrawals::{WithdrawalProof, withdrawal_proof},
};
use ensemble_batch::{BatchHeader, ParentRef, blob, decode_blocks};
use ensemble_contracts::{bytecode, calls, events, returns};
use ensemble_engine_api::{ExecutionClient, ForkchoiceState, JwtSecret, PayloadStatus};
use ensemble_l1::{BlockTag, L1Client, L1Log, LogFilter, RpcConfig, RpcL1Client, Wallet};
use ensemble_node::{
    DEV_ACCOUNTS, DevAccount, DevL1, DevL1Config, DevL1Handle, EmbeddedNode, GenesisBuilder, NodeConfig,
    NodeHandle,
};
use ensemble_prover::{
    ClientEvent, ClientReport, ExecBackend, ProverBackend, ProverClient, ProverClientConfig, ProverError,
    attestation::{AttestationDomain, AttestationKey},
};
use ensemble_store::BatchStatus;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
};

/// Most patience with anything. Nothing is expected to take that long.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// Transactions that one reorg may have made in vain: what both keys have in flight on top of one that it drops
/// (`eth.max_in_flight`).
pub(crate) const IN_VAIN: u64 = 2 * 16;
/// Time between two looks.
const POLL: Duration = Duration::from_millis(50);

pub(crate) const DEPLOYER: DevAccount = DEV_ACCOUNTS[0];
pub(crate) const COMMITTER: DevAccount = DEV_ACCOUNTS[1];
pub(crate) const VERIFIER: DevAccount = DEV_ACCOUNTS[2];
pub(crate) const COINBASE: DevAccount = DEV_ACCOUNTS[3];
pub(crate) const ATTESTER: DevAccount = DEV_ACCOUNTS[4];
pub(crate) const USER: DevAccount = DEV_ACCOUNTS[5];

/// Every component, in the order of its start.
pub(crate) const COMPONENTS: [&str; 7] = [
    "l1_sender",
    "l1_watcher",
    "proof_manager",
    "prover_server",
    "proof_sender",
    "l1_committer",
    "block_producer",
];

/// Runs a test inside an actix system. `RUST_LOG` shows what happens.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr);
    // Another test of the same process may have done it already.
    drop(subscriber.try_init());
    actix_rt::System::new().block_on(test)
}

/// Looks again and again until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "did not happen within {} s: {what}", LIMIT.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

/// The number in an environment variable.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, it is {text:?}"))
    })
}

pub(crate) fn ether(thousandths: u64) -> U256 {
    U256::from(thousandths) * U256::from(1_000_000_000_000_000u64)
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A port that nobody listens on. It is below those that systems give to whoever asks for any port (Linux: from 32768 on):
/// one of these can go to another process while what listens on it here is being restarted.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(61);
    (0..COUNT)
        .map(|_| begin.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed)) % COUNT + FIRST)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(local(*port)).is_ok())
        .expect("there is a free port")
}

pub(crate) fn url(text: &str) -> RpcUrl {
    text.parse().unwrap()
}

pub(crate) fn address_of(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

pub(crate) fn secret(account: &DevAccount) -> PrivateKey {
    account.private_key.parse().unwrap()
}

/// An address nobody has used, the same in every run.
pub(crate) fn address(name: &str) -> Address {
    Address::from_slice(&keccak256(name)[12..])
}

pub(crate) fn client(url: &str) -> Arc<dyn L1Client> {
    Arc::new(RpcL1Client::new(vec![url.to_owned()], RpcConfig::default()).unwrap())
}

pub(crate) async fn account(url: &str, key: &str) -> Account {
    Account::new(client(url), Arc::new(Wallet::from_hex(key.to_owned()).unwrap())).await.unwrap()
}

/// An anvil process; killed on drop.
#[derive(Debug)]
pub(crate) struct Anvil {
    process: Child,
    pub(crate) url: String,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Anvil {
    /// `None` when there is no anvil to start.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&["--block-time", "1", "--slots-in-an-epoch", "1"])
    }

    /// [`Self::start`], with arguments of its own.
    pub(crate) fn start_with(arguments: &[&str]) -> Option<Self> {
        let Ok(binary) = std::env::var("ENSEMBLE_ANVIL") else {
            eprintln!(
                "skipped: set ENSEMBLE_ANVIL to the path of an anvil binary (not npm's wrapper) to run this test"
            );
            return None;
        };
        let mut process = Command::new(binary)
            .args(["--port", "0", "--hardfork", "osaka"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("ENSEMBLE_ANVIL can be run");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(|line| line.expect("anvil writes text"))
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("anvil says where it listens");
        // Its log goes on; somebody has to read it.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, url: format!("http://{address}") })
    }

    /// One of its own methods.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut answer = http_with(address_of(&self.url), "POST", "/", &request.to_string()).await.json();
        assert!(answer["error"].is_null(), "{method} {params}: {}", answer["error"]);
        answer["result"].take()
    }
}

/// The L1 of a test.
#[derive(Debug)]
pub(crate) enum L1 {
    /// The development L1, with a journal: it can be stopped and started again.
    Dev {
        config: DevL1Config,
        handle: RefCell<Option<Rc<DevL1Handle>>>,
    },
    Anvil(Anvil),
}

/// What the sequencer told, over all its runs.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Hashes that were sealed at each height.
    pub(crate) blocks: BTreeMap<u64, BTreeSet<B256>>,
    /// Deposits of each sealed block.
    pub(crate) deposits: BTreeMap<u64, u64>,
    /// Hashes of the headers that were sealed for each batch.
    pub(crate) batches: BTreeMap<u64, BTreeSet<B256>>,
    /// Last batch that was said to be verified.
    pub(crate) verified: u64,
    pub(crate) lifecycle: Vec<LifecycleEvent>,
}

/// What L1 and L2 say in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) deposits: u64,
    pub(crate) committed: u64,
    pub(crate) verified: u64,
    pub(crate) head: u64,
}

/// What the faults of a test may have caused without breaking an invariant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tolerance {
    /// Transactions of ours that reverted, or were fillers.
    pub(crate) reverts: u64,
    /// A component may have died between a write and the event that tells of it.
    pub(crate) lost_events: bool,
}

/// A prover client that connects over TCP. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Prover {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<ClientReport, ProverError>>,
    pub(crate) events: Arc<Mutex<Vec<ClientEvent>>>,
}

impl Prover {
    pub(crate) async fn stop(self) -> Result<ClientReport, ProverError> {
        self.stop.send_replace(true);
        tokio::time::timeout(LIMIT, self.task).await.expect("a prover ends when asked to").unwrap()
    }

    /// How many of its events fit.
    pub(crate) fn count(&self, fits: impl Fn(&ClientEvent) -> bool) -> usize {
        lock(&self.events).iter().filter(|e| fits(e)).count()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything around a sequencer.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) l1: L1,
    pub(crate) l2_config: NodeConfig,
    l2: RefCell<Option<Rc<NodeHandle>>>,
    pub(crate) config: Config,
    pub(crate) deployment: Option<Deployment>,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl World {
    /// A development L1 and an L2, nothing deployed yet.
    pub(crate) async fn bare(
        change_l1: impl FnOnce(&mut DevL1Config),
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = DevL1Config {
            http_addr: local(free_port()),
            beacon_addr: local(free_port()),
            datadir: Some(folder.path().join("l1")),
            ..DevL1Config::new(GenesisBuilder::l1().fund_dev_accounts(ether(1_000_000_000)).build())
        };
        change_l1(&mut config);
        let handle = DevL1::start(config.clone()).await.unwrap();
        config.http_addr = address_of(&handle.rpc_url());
        config.beacon_addr = address_of(&handle.beacon_url());
        Self::with(folder, L1::Dev { config, handle: RefCell::new(Some(Rc::new(handle))) }, change).await
    }

    /// [`Self::bare`], with contracts.
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::bare(|_| {}, change).await;
        world.deploy().await;
        world
    }

    pub(crate) async fn on_anvil(anvil: Anvil) -> Self {
        // Its first blob transaction makes anvil load a trusted setup of its own.
        Self::on_anvil_with(anvil, |c| c.eth.request_timeout_ms = 60_000).await
    }

    pub(crate) async fn on_anvil_with(anvil: Anvil, change: impl FnOnce(&mut Config)) -> Self {
        Self::with(TempDir::new().unwrap(), L1::Anvil(anvil), change).await
    }

    async fn with(folder: TempDir, l1: L1, change: impl FnOnce(&mut Config)) -> Self {
        let jwt_path = folder.path().join("jwt.hex");
        let jwt = JwtSecret::generate_file(&jwt_path).unwrap();
        let genesis = GenesisBuilder::l2().common_bridge_l2(bytecode::l2_bridge_runtime()).build();
        let genesis_path = folder.path().join("genesis-l2.json");
        std::fs::write(&genesis_path, genesis.to_string()).unwrap();
        let l2_config = NodeConfig {
            http_addr: local(free_port()),
            auth_addr: local(free_port()),
            ..NodeConfig::local("l2", genesis, *jwt.expose()).unwrap()
        };
        let l2 = EmbeddedNode::start(l2_config.clone()).await.unwrap();

        let mut config = Config::default();
        config.eth.rpc_url = vec![url(&match &l1 {
            L1::Dev { config, .. } => format!("http://{}", config.http_addr),
            L1::Anvil(anvil) => anvil.url.clone(),
        })];
        config.eth.confirmations = 1;
        config.deployer.l1_private_key = Some(secret(&DEPLOYER));
        config.deployer.exec_attestation_addresses = vec![ATTESTER.address];
        config.watcher.confirmations = Confirmations::Blocks(0);
        config.watcher.check_interval_ms = 200;
        config.proposer.interval_ms = 1_000;
        config.proposer.coinbase_address = Some(COINBASE.address);
        config.committer.l1_address = Some(COMMITTER.address);
        config.committer.l1_private_key = Some(secret(&COMMITTER));
        config.committer.commit_time_ms = 2_000;
        config.committer.arbitrary_base_blob_gas_price = 1;
        config.prover_server.l1_address = Some(VERIFIER.address);
        config.prover_server.l1_private_key = Some(secret(&VERIFIER));
        config.prover_server.listen_port = free_port();
        config.prover_server.lease_ms = 10_000;
        config.prover_server.dev_interval_ms = 500;
        config.engine.auth_url = url(&l2.auth_url());
        config.engine.public_url = Some(url(&l2.http_url()));
        config.engine.jwt_path = jwt_path;
        config.l2.genesis_path = Some(genesis_path);
        config.store.url = StoreLocation::sqlite(folder.path().join("ensemble.db"));
        change(&mut config);
        Self {
            folder,
            l1,
            l2_config,
            l2: RefCell::new(Some(Rc::new(l2))),
            config,
            deployment: None,
            seen: Arc::default(),
        }
    }

    /// Runs the deployer and writes the addresses into the configuration.
    pub(crate) async fn deploy(&mut self) -> Deployment {
        let deployment = self.mining(deploy::deploy(&self.config, |_| {})).await.unwrap();
        deployment.apply_to(&mut self.config);
        self.deployment = Some(deployment.clone());
        deployment
    }

    /// Runs `work` while the development L1 mines whatever it is given at once.
    pub(crate) async fn mining<T>(&self, work: impl Future<Output = T>) -> T {
        let L1::Dev { .. } = &self.l1 else { return work.await };
        let l1 = self.dev_l1();
        let mine = async {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                l1.mine_pending().await.unwrap();
            }
        };
        tokio::select! {
            result = work => result,
            () = mine => unreachable!(),
        }
    }

    pub(crate) fn deployment(&self) -> &Deployment {
        self.deployment.as_ref().expect("contracts are deployed")
    }

    pub(crate) fn l1_url(&self) -> String {
        self.config.eth.rpc_url[0].expose().to_owned()
    }

    pub(crate) fn l2_url(&self) -> String {
        format!("http://{}", self.l2_config.http_addr)
    }

    pub(crate) fn l2(&self) -> Rc<NodeHandle> {
        self.l2.borrow().clone().expect("the L2 node runs")
    }

    pub(crate) fn dev_l1(&self) -> Rc<DevL1Handle> {
        let L1::Dev { handle, .. } = &self.l1 else { panic!("no development L1") };
        handle.borrow().clone().expect("L1 runs")
    }

    /// Drops every block of the development L1 from `first` on.
    pub(crate) async fn drop_l1_from(&self, first: u64) {
        self.dev_l1().reorg_from(first).await.unwrap();
    }

    pub(crate) fn anvil(&self) -> &Anvil {
        let L1::Anvil(anvil) = &self.l1 else { panic!("L1 is no anvil") };
        anvil
    }

    pub(crate) async fn stop_l1(&self) {
        let L1::Dev { handle, .. } = &self.l1 else { panic!("only the development L1 can be stopped") };
        let l1 = handle.take().expect("L1 runs");
        Rc::into_inner(l1).expect("nobody asks L1 just now").shutdown().await.unwrap();
    }

    /// Starts the development L1 again, on the same ports and with its chain.
    pub(crate) async fn start_l1(&self) {
        let L1::Dev { config, handle } = &self.l1 else { panic!("only the development L1 can be started") };
        let l1 = DevL1::start(config.clone()).await.unwrap();
        handle.replace(Some(Rc::new(l1)));
    }

    /// Hands the L2 node out; this world no longer stops it.
    pub(crate) fn take_l2(&self) -> NodeHandle {
        Rc::into_inner(self.l2.take().expect("the L2 node runs")).expect("nobody asks the L2 just now")
    }

    pub(crate) async fn stop_l2(&self) {
        self.take_l2().shutdown().await.unwrap();
    }

    /// Starts an L2 node on the same ports. Its chain was in memory, so it is at its genesis again.
    pub(crate) async fn start_l2(&self) {
        let l2 = EmbeddedNode::start(self.l2_config.clone()).await.unwrap();
        self.l2.replace(Some(Rc::new(l2)));
    }

    /// A builder that notes everything in [`Self::seen`].
    pub(crate) fn builder(&self) -> SequencerBuilder {
        let seen = || Arc::clone(&self.seen);
        let (blocks, batches, verified, lifecycle) = (seen(), seen(), seen(), seen());
        Sequencer::builder()
            .config(self.config.clone())
            .on(move |e: BlockSealed| {
                let mut seen = lock(&blocks);
                seen.blocks.entry(e.number).or_default().insert(e.hash);
                seen.deposits.insert(e.number, e.deposits);
            })
            .on(move |e: BatchSealed| {
                lock(&batches).batches.entry(e.header.number).or_default().insert(e.header.hash());
            })
            .on(move |e: BatchVerified| {
                let mut seen = lock(&verified);
                seen.verified = seen.verified.max(e.number);
            })
            .on_lifecycle(move |e| lock(&lifecycle).lifecycle.push(e))
    }

    pub(crate) async fn sequencer(&self) -> Sequencer {
        let started = tokio::time::timeout(LIMIT, self.builder().start()).await.expect("starts in time");
        let sequencer = started.expect("starts");
        tokio::time::timeout(LIMIT, sequencer.ready()).await.expect("every component starts in time");
        sequencer
    }

    /// Starts a sequencer that must not start, and gives the reason.
    pub(crate) async fn refused(&self) -> StartError {
        match tokio::time::timeout(LIMIT, self.builder().start()).await.expect("an answer in time") {
            Ok(_) => panic!("it started"),
            Err(error) => error,
        }
    }

    pub(crate) fn domain(&self) -> AttestationDomain {
        AttestationDomain {
            l1_chain_id: self.deployment().l1_chain_id,
            verifying_contract: self.deployment().exec_verifier.expect("a verifier is deployed"),
        }
    }

    /// The honest backend.
    pub(crate) fn backend(&self, attester: &DevAccount) -> ExecBackend {
        ExecBackend::new(AttestationKey::from_hex(attester.private_key).unwrap(), self.domain())
    }

    /// Starts the honest prover.
    pub(crate) fn prover(&self) -> Prover {
        self.prover_with("honest", Box::new(self.backend(&ATTESTER)))
    }

    pub(crate) fn prover_with(&self, name: &str, backend: Box<dyn ProverBackend>) -> Prover {
        let config = ProverClientConfig {
            prover_server_endpoint: format!("127.0.0.1:{}", self.config.prover_server.listen_port),
            proving_time_ms: 100,
            prover_type: backend.prover_type(),
            name: name.to_owned(),
            backoff_initial_ms: 50,
            backoff_max_ms: 500,
            ..ProverClientConfig::default()
        };
        let events = Arc::<Mutex<Vec<ClientEvent>>>::default();
        let noted = Arc::clone(&events);
        let client =
            ProverClient::new(config, backend).unwrap().on_event(move |e| lock(&noted).push(e.clone()));
        let (stop, mut stopped) = watch::channel(false);
        let task = actix_rt::spawn(client.run(async move {
            // A closed channel means that the test has ended.
            drop(stopped.wait_for(|stop| *stop).await);
        }));
        Prover { stop, task, events }
    }

    /// The user on L1.
    pub(crate) async fn user_l1(&self) -> Account {
        account(&self.l1_url(), USER.private_key).await
    }

    /// A user on the L2, without anything at first.
    pub(crate) async fn user_l2(&self, name: &str) -> Account {
        account(&self.l2_url(), &alloy_primitives::hex::encode(keccak256(name))).await
    }

    /// Deposits and waits until L1 has it.
    pub(crate) async fn deposit(&self, to: Address, amount: U256) -> Deposited {
        bridge::deposit(&self.user_l1().await, self.deployment().bridge, to, amount, LIMIT).await.unwrap()
    }

    /// Waits until an account of the L2 has something, and gives its balance.
    pub(crate) async fn arrived(&self, to: Address) -> U256 {
        let l2 = client(&self.l2_url());
        until("the deposit on the L2", async || l2.balance(to).await.ok().filter(|b| !b.is_zero())).await
    }

    /// Sends `count` transfers of one thousandth to new accounts and waits for all. Gives what they cost.
    pub(crate) async fn transfers(&self, from: &Account, name: &str, count: u64) -> U256 {
        let l2 = from.client();
        let (fees, first) = (from.fees().await.unwrap(), from.nonce().await.unwrap());
        let before = l2.balance(from.address()).await.unwrap();
        let mut sent = Vec::new();
        for n in 0..count {
            let to = address(&format!("{name} {n}"));
            let call = Call { to: Some(to), value: ether(1), data: Default::default() };
            let signed = from.sign(&call, first + n, 21_000, &fees).unwrap();
            l2.send_raw_transaction(&signed.raw).await.unwrap();
            sent.push((to, signed.hash));
        }
        let mut cost = U256::ZERO;
        for (to, hash) in sent {
            let receipt = from.wait(hash, LIMIT).await.unwrap();
            assert_eq!(l2.balance(to).await.unwrap(), ether(1));
            cost += ether(1) + U256::from(receipt.fee_paid());
        }
        assert_eq!(l2.balance(from.address()).await.unwrap(), before - cost, "the sender's balance");
        cost
    }

    pub(crate) async fn withdraw(&self, from: &Account, to: Address, amount: U256) -> Withdrawn {
        bridge::withdraw(from, to, amount, LIMIT).await.unwrap()
    }

    /// The proof of a withdrawal once its batch is verified.
    pub(crate) async fn claimable(&self, sequencer: &Sequencer, withdrawn: &Withdrawn) -> WithdrawalProof {
        let store = &sequencer.services().store;
        until("the verification of the withdrawal's batch", async || {
            let proof = withdrawal_proof(store, withdrawn.block, withdrawn.id).await.unwrap();
            proof.filter(|p| p.claimable)
        })
        .await
    }

    /// Waits for the batch of a withdrawal, claims it, and checks that it is paid once.
    pub(crate) async fn claim(&self, sequencer: &Sequencer, withdrawn: &Withdrawn) {
        let (user, bridge) = (self.user_l1().await, self.deployment().bridge);
        let before = user.client().balance(withdrawn.to).await.unwrap();
        let proof = self.claimable(sequencer, withdrawn).await;
        bridge::claim(&user, bridge, &proof, LIMIT).await.unwrap();
        assert_eq!(user.client().balance(withdrawn.to).await.unwrap(), before + withdrawn.amount);
        match bridge::claim(&user, bridge, &proof, LIMIT).await {
            Err(BridgeError::Account(AccountError::WouldRevert(_))) => {}
            other => panic!("the same withdrawal can be claimed twice: {other:?}"),
        }
    }

    async fn number(&self, l1: &Arc<dyn L1Client>, data: alloy_primitives::Bytes) -> u64 {
        let proposer = self.deployment().proposer;
        returns::u64(&l1.call(proposer, data, BlockTag::Latest).await.unwrap()).unwrap()
    }

    pub(crate) async fn committed(&self) -> u64 {
        self.number(&client(&self.l1_url()), calls::last_committed_batch()).await
    }

    pub(crate) async fn verified(&self) -> u64 {
        self.number(&client(&self.l1_url()), calls::last_verified_batch()).await
    }

    /// Waits until L1 has verified this batch.
    pub(crate) async fn verified_up_to(&self, number: u64) {
        let what = format!("the verification of batch {number} on L1");
        until(&what, async || (self.verified().await >= number).then_some(())).await;
    }

    pub(crate) async fn logs(&self, address: Address, topic0: B256) -> Vec<L1Log> {
        let l1 = client(&self.l1_url());
        let to_block = l1.block(BlockTag::Latest).await.unwrap().unwrap().number;
        l1.logs(&LogFilter { address, topic0, from_block: 0, to_block }).await.unwrap()
    }

    /// Deposits as L1 has them: id, receiver, gwei.
    async fn l1_deposits(&self) -> Vec<(u64, Address, u64)> {
        let logs = self.logs(self.deployment().bridge, events::DepositInitiated::topic()).await;
        logs.iter()
            .map(|log| {
                let e = events::DepositInitiated::decode(&log.topics, &log.data).unwrap();
                (e.deposit_id, e.to, (e.amount / U256::from(1_000_000_000u64)).to::<u64>())
            })
            .collect()
    }

    async fn l2_block(&self, number: u64) -> Value {
        let block =
            self.l2().call("eth_getBlockByNumber", vec![json!(format!("{number:#x}")), json!(false)]).await;
        block.unwrap()
    }

    /// Deposits as the blocks of the L2 have them.
    async fn l2_deposits(&self, head: u64) -> Vec<(u64, Address, u64)> {
        let hex = |v: &Value| u64::from_str_radix(v.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        let mut all = Vec::new();
        for number in 1..=head {
            for w in self.l2_block(number).await["withdrawals"].as_array().expect("a block has withdrawals") {
                all.push((
                    hex(&w["index"]),
                    w["address"].as_str().unwrap().parse().unwrap(),
                    hex(&w["amount"]),
                ));
            }
        }
        all
    }

    pub(crate) async fn l2_head(&self) -> u64 {
        client(&self.l2_url()).block(BlockTag::Latest).await.unwrap().unwrap().number
    }

    /// Waits until every deposit that L1 has now is on the L2.
    pub(crate) async fn all_included(&self) {
        let wanted = self.l1_deposits().await.len();
        until("every deposit on the L2", async || {
            let head = self.l2_head().await;
            (self.l2_deposits(head).await.len() >= wanted).then_some(())
        })
        .await;
    }

    /// Compares L1, L2 and what the sequencer told, without a look at its store. To be called when the sequencer
    /// is stopped.
    ///
    /// - SEQ-INV-1: the deposits in the L2's blocks are those of L1's events, in order, each once.
    /// - SEQ-INV-3: no height was sealed twice, and every sealed block is on the L2's chain, without a gap.
    /// - SEQ-INV-4: no batch was sealed twice, and what L1 has is what was sealed.
    /// - SEQ-INV-5: every nonce of committer and verifier is a commit or a verification that succeeded.
    pub(crate) async fn books(&self) -> Books {
        self.books_with(Tolerance::default()).await
    }

    /// As [`Self::books`], but up to so many transactions may have reverted: those that were under way when a reorg
    /// took away what they build on.
    pub(crate) async fn books_with_reverts(&self, reverts: u64) -> Books {
        self.books_with(Tolerance { reverts, ..Tolerance::default() }).await
    }

    /// As [`Self::books`], with what the test's faults may have caused.
    pub(crate) async fn books_with(&self, Tolerance { reverts, lost_events }: Tolerance) -> Books {
        let deployment = self.deployment();
        let l1 = client(&self.l1_url());
        let head = self.l2_head().await;
        let deposits = self.l1_deposits().await;
        assert!(deposits.iter().map(|d| d.0).eq(1..=deposits.len() as u64), "{deposits:?}");
        assert_eq!(self.l2_deposits(head).await, deposits, "SEQ-INV-1: deposits on L2 and L1");

        let mut parent = self.l2_block(0).await["hash"].clone();
        let mut canonical = BTreeMap::new();
        for number in 1..=head {
            let block = self.l2_block(number).await;
            assert_eq!(block["parentHash"], parent, "SEQ-INV-3: block {number}");
            parent = block["hash"].clone();
            canonical.insert(number, parent.as_str().unwrap().parse::<B256>().unwrap());
        }
        let (told, sealed) = {
            let seen = lock(&self.seen);
            (seen.blocks.clone(), seen.batches.clone())
        };
        for (number, hashes) in told {
            let hashes: Vec<B256> = hashes.into_iter().collect();
            assert_eq!(hashes, [canonical[&number]], "SEQ-INV-3: blocks sealed at height {number}");
        }

        // A transaction that was under way when the sequencer stopped may be mined meanwhile.
        let counts = async || {
            let commits = self.logs(deployment.proposer, events::BatchCommitted::topic()).await;
            let verifications = self.logs(deployment.proposer, events::BatchesVerified::topic()).await;
            (commits, verifications)
        };
        let mut last = None;
        let last_of = |logs: &[L1Log]| {
            logs.last().map_or(0, |log| events::BatchesVerified::decode(&log.topics, &log.data).unwrap().last)
        };
        let (commits, verifications) =
            until("SEQ-INV-5: one event for each nonce that was used", async || {
                let (commits, verifications) = counts().await;
                let nonces = [
                    l1.transaction_count(COMMITTER.address, false).await.unwrap(),
                    l1.transaction_count(VERIFIER.address, false).await.unwrap(),
                ];
                let events = [commits.len() as u64, verifications.len() as u64];
                let counts = (nonces, events);
                if last != Some(counts) {
                    eprintln!("nonces of committer and verifier: {nonces:?}, their events: {events:?}");
                    last = Some(counts);
                }
                let extra = nonces.iter().sum::<u64>().checked_sub(events.iter().sum());
                // Where reverts are allowed, one may be mined between two of these looks.
                let contract = [self.committed().await, self.verified().await];
                let agree = contract == [events[0], last_of(&verifications)];
                (agree && extra.is_some_and(|extra| extra <= reverts)).then_some((commits, verifications))
            })
            .await;
        for (log, number) in commits.iter().zip(1..) {
            let event = events::BatchCommitted::decode(&log.topics, &log.data).unwrap();
            assert_eq!(event.number, number, "commits come in order, each once");
            let wanted: Vec<B256> = sealed.get(&number).into_iter().flatten().copied().collect();
            if !(lost_events && wanted.is_empty()) {
                assert_eq!(wanted, [event.hash], "SEQ-INV-4: headers sealed for batch {number}");
            }
        }
        let mut verified = 0;
        for log in &verifications {
            let event = events::BatchesVerified::decode(&log.topics, &log.data).unwrap();
            assert_eq!(event.first, verified + 1, "verifications come in order, each once");
            verified = event.last;
        }
        let committed = commits.len() as u64;
        assert!(verified <= committed);
        Books { deposits: deposits.len() as u64, committed, verified, head }
    }

    /// Where L1's blobs are served.
    pub(crate) fn beacon_url(&self) -> String {
        let L1::Dev { config, .. } = &self.l1 else { panic!("only the development L1 keeps blobs") };
        format!("http://{}", config.beacon_addr)
    }

    /// Another L2 node with the same genesis and nothing else, and the configuration for it.
    pub(crate) async fn empty_node(&self, label: &str) -> (NodeHandle, Config) {
        let node = EmbeddedNode::start(NodeConfig {
            http_addr: local(0),
            auth_addr: local(0),
            label: label.to_owned(),
            ..self.l2_config.clone()
        })
        .await
        .unwrap();
        let mut config = self.config.clone();
        config.engine.auth_url = url(&node.auth_url());
        config.engine.public_url = Some(url(&node.http_url()));
        (node, config)
    }

    /// SEQ-INV-10: rebuilds the L2 in an empty node from what L1 and its blobs hold, and gives the head reached.
    pub(crate) async fn rebuild(&self) -> u64 {
        let L1::Dev { config, .. } = &self.l1 else { panic!("only the development L1 keeps blobs") };
        let l1 = self.dev_l1();
        let (node, engine) = self.empty_node("rebuilt").await;
        let engine: Arc<dyn ExecutionClient> = ensemble::execution_client(&engine).unwrap();
        let facts = ensemble::l2_facts(&self.config, &engine, false).await.unwrap();
        let deployment = self.deployment();
        let mut header = BatchHeader::genesis(
            deployment.l1_chain_id,
            deployment.proposer,
            facts.chain_id,
            facts.genesis_state_root,
            facts.genesis_hash,
        );
        let mut parent = ParentRef { hash: facts.genesis_hash, number: 0 };
        for log in self.logs(deployment.proposer, events::BatchCommitted::topic()).await {
            let event = events::BatchCommitted::decode(&log.topics, &log.data).unwrap();
            let transaction =
                l1.call("eth_getTransactionByHash", vec![json!(log.transaction_hash)]).await.unwrap();
            let hashes: Option<Vec<B256>> =
                serde_json::from_value(transaction["blobVersionedHashes"].clone()).unwrap();
            let hashes = hashes.unwrap_or_default();
            let input: alloy_primitives::Bytes =
                serde_json::from_value(transaction["input"].clone()).unwrap();
            let (next, in_call_data) = calls::decode_commit_batch(&input, header.hash(), &hashes).unwrap();
            header = next;
            assert_eq!(header.hash(), event.hash, "batch {}", event.number);
            let payload = if hashes.is_empty() {
                in_call_data.to_vec()
            } else {
                // Several commits may be in one L1 block.
                let wanted: Vec<String> = hashes.iter().map(B256::to_string).collect();
                let path =
                    format!("/eth/v1/beacon/blobs/{}?versioned_hashes={}", log.block_hash, wanted.join(","));
                let answer = http(config.beacon_addr, "GET", &path).await;
                let data: Vec<alloy_primitives::Bytes> =
                    serde_json::from_value(answer.json()["data"].clone()).unwrap();
                let blobs: Vec<_> = data.iter().map(|b| blob::Blob::from_slice(b).unwrap()).collect();
                assert_eq!(blobs.len(), hashes.len(), "blobs of batch {}", event.number);
                blob::unpack(&blobs).unwrap()
            };
            for block in decode_blocks(&payload, &parent).unwrap() {
                let status = engine.new_payload(&block).await.unwrap();
                assert!(matches!(status, PayloadStatus::Valid { .. }), "block {}: {status:?}", block.number);
                let genesis = facts.genesis_hash;
                let state = ForkchoiceState { head: block.block_hash, safe: genesis, finalized: genesis };
                engine.forkchoice_updated(state, None).await.unwrap();
                parent = ParentRef::from(&block);
            }
            assert_eq!(parent.hash, header.block_hash, "SEQ-INV-10: last block of batch {}", event.number);
        }
        assert_eq!(
            self.l2_block(parent.number).await["hash"],
            json!(parent.hash),
            "SEQ-INV-10: the same chain"
        );
        node.shutdown().await.unwrap();
        parent.number
    }

    /// Lets every batch that was sealed be committed, so that none is lost with the store, and stops.
    pub(crate) async fn stop_with_all_committed(&self, sequencer: &Sequencer) {
        // A batch that is lost before it is sent is sealed anew, with another time: right, but not for `books`.
        sequencer.system().pause("block_producer").await.unwrap();
        let head = self.l2_head().await;
        let store = &sequencer.services().store;
        until("the commit of every block", async || {
            let batch = store.last_batch_at_least(BatchStatus::Committed).await.unwrap();
            batch.is_some_and(|b| b.last_block >= head).then_some(())
        })
        .await;
        self.stop(sequencer).await;
    }

    /// Stops a sequencer; every component must end by itself.
    pub(crate) async fn stop(&self, sequencer: &Sequencer) {
        let report = tokio::time::timeout(LIMIT, sequencer.shutdown()).await.expect("stops in time");
        assert!(report.is_clean(), "{report:?}");
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// How many lifecycle events of a component fit; all components for "".
    pub(crate) fn events(&self, component: &str, fits: impl Fn(&EventKind) -> bool) -> usize {
        let seen = self.seen();
        let of = |e: &&LifecycleEvent| (component.is_empty() || e.component == component) && fits(&e.kind);
        seen.lifecycle.iter().filter(of).count()
    }
}

pub(crate) fn component(sequencer: &Sequencer, name: &str) -> ComponentStatus {
    sequencer.status().into_iter().find(|c| c.name == name).unwrap_or_else(|| panic!("there is no {name}"))
}

/// Waits until every component is at work.
pub(crate) async fn all_healthy(sequencer: &Sequencer) {
    until("every component at work", async || {
        sequencer.status().iter().all(|c| c.state == ComponentState::Running).then_some(())
    })
    .await;
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// One HTTP request; 1.0, so the answer comes in one piece and ends the connection.
pub(crate) async fn http(to: SocketAddr, method: &str, path: &str) -> Answer {
    http_with(to, method, path, "").await
}

/// [`http`], with a body.
pub(crate) async fn http_with(to: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let exchange = async {
        let mut socket = TcpStream::connect(to).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {to}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(LIMIT, exchange).await.expect("an answer in time");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).expect("a status line").parse().unwrap();
    Answer { status, body: body.to_owned() }
}
