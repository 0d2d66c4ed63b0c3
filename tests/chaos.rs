//! The whole sequencer under random faults, one seed per run.
//!
//! Every seed is a process of its own with its own L1, L2, provers and users. When the faults are over, the sequencer
//! must come to rest by itself, and L1, L2 and contracts must hold what the invariants demand. That is checked without
//! a look at the sequencer's own tables.
//!
//! `cargo xtask chaos` runs many seeds; `cargo xtask chaos --first-seed 17 --seeds 1` runs one again.
#![cfg(feature = "fault-injection")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)]

mod common;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, U256};
use common::{COMPONENTS, Prover, Tolerance, World, address, all_healthy, ether, number, run, until};
use ensemble::{
    Sequencer,
    account::{Account, Call},
    bridge::{self, Withdrawn},
    config::{Confirmations, SidecarVersion},
    faults::{FailPoint, FaultKind, panics},
    supervision::EventKind,
};
use ensemble_actors::FastClock;
use ensemble_chaos::{ChaosProxy, ChaosProxyHandle, FaultPlan};
use ensemble_contracts::{L2_BRIDGE_ADDRESS, calls};
use ensemble_l1::{SignedTx, TxReceipt};
use ensemble_node::{Fork, GenesisBuilder};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// The clock of the L2 and the blocks of L1 are this much faster than real time.
const SPEED: u32 = 5;
/// Depth of the longest reorg. The watcher waits for as many blocks.
const REORG: u64 = 3;
/// Silence of a thread that counts as a hang.
const HANG: Duration = Duration::from_secs(2);
/// Longest life of one seed's process.
const PATIENCE: Duration = Duration::from_secs(240);
/// Seeds of a plain test run.
const SEEDS: u64 = 50;

// ---------------------------------------------------------------------------------------------------- many seeds

/// A process that runs seeds one after the other, and says of each when it is done.
struct Running {
    seeds: Range<u64>,
    process: std::process::Child,
    since: Instant,
    log: PathBuf,
}

fn start(seeds: Range<u64>, folder: &Path) -> Running {
    let log = folder.join(format!("seed-{}.log", seeds.start));
    let file = std::fs::File::create(&log).unwrap();
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_seed", "--nocapture", "--test-threads", "1"])
        .env("ENSEMBLE_CHAOS_SEED", seeds.start.to_string())
        .env("ENSEMBLE_CHAOS_IN_A_ROW", (seeds.end - seeds.start).to_string())
        .env("ENSEMBLE_CHAOS_LOG", log.with_extension("trace"))
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    Running { seeds, process, since: Instant::now(), log }
}

/// The line with which a process says that a seed is done.
fn done_line(seed: u64) -> String {
    format!("seed {seed} is done")
}

/// SEQ-INV-1 to 8, 10 to 12: many seeds of [`one_seed`], some at a time. `ENSEMBLE_CHAOS_SEEDS` says how many,
/// `ENSEMBLE_CHAOS_FIRST` where to begin, `ENSEMBLE_CHAOS_JOBS` how many at a time. What a process needs once, above all
/// the trusted setup of KZG, costs as much as a seed, so each runs some of them.
#[test]
fn seeds() {
    const IN_A_ROW: u64 = 5;
    let first = number("ENSEMBLE_CHAOS_FIRST", 1);
    let end = first + number("ENSEMBLE_CHAOS_SEEDS", SEEDS);
    let jobs = usize::try_from(number("ENSEMBLE_CHAOS_JOBS", 3)).unwrap().max(1);
    let rows = (first..end).step_by(IN_A_ROW as usize).map(|from| from..end.min(from + IN_A_ROW));
    let mut waiting: VecDeque<Range<u64>> = rows.collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let begin = Instant::now();
    let (mut running, mut passed, mut failed) = (Vec::<Running>::new(), 0u64, Vec::new());
    loop {
        while running.len() < jobs
            && let Some(seeds) = waiting.pop_front()
        {
            running.push(start(seeds, &folder));
        }
        if running.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        let mut still = Vec::new();
        for mut run in running {
            let seeds = run.seeds.clone();
            let patience = PATIENCE * u32::try_from(seeds.end - seeds.start).unwrap();
            let verdict = match run.process.try_wait().unwrap() {
                Some(status) => Some(format!("{status}")).filter(|_| !status.success()),
                None if run.since.elapsed() > patience => {
                    run.process.kill().unwrap();
                    run.process.wait().unwrap();
                    Some(format!("no end within {} s", patience.as_secs()))
                }
                None => {
                    still.push(run);
                    continue;
                }
            };
            let text = std::fs::read_to_string(&run.log).unwrap_or_default();
            let is_done = |seed: &u64| text.lines().any(|line| line == done_line(*seed));
            let done = seeds.clone().take_while(is_done).count() as u64;
            let culprit = seeds.start + done;
            passed += done;
            match verdict {
                None => {
                    assert_eq!(culprit, seeds.end, "a process that ended well has run all its seeds");
                    let time = run.since.elapsed().as_secs_f64();
                    eprintln!("seeds {} to {}: ok, {time:.1} s ({passed} done)", seeds.start, seeds.end - 1);
                    std::fs::remove_file(&run.log).unwrap();
                    drop(std::fs::remove_file(run.log.with_extension("trace")));
                }
                Some(why) => {
                    let lines: Vec<&str> = text.lines().collect();
                    eprintln!("seed {culprit}: FAILED, {why}; the end of {}:", run.log.display());
                    for line in &lines[lines.len().saturating_sub(40)..] {
                        eprintln!("    {line}");
                    }
                    eprintln!("again: cargo xtask chaos --first-seed {culprit} --seeds 1");
                    failed.push(culprit);
                    if culprit + 1 < seeds.end {
                        waiting.push_back(culprit + 1..seeds.end);
                    }
                }
            }
        }
        running = still;
    }
    eprintln!(
        "{passed} seed(s) from {first} on passed in {:.0} s, {} failed",
        begin.elapsed().as_secs_f64(),
        failed.len()
    );
    assert!(failed.is_empty(), "failed seeds: {failed:?}; their logs are in {}", folder.display());
    assert_eq!(passed, end - first, "every seed has run");
    std::fs::remove_dir_all(&folder).unwrap();
}

// ------------------------------------------------------------------------------------------------------ one seed

/// What may go wrong next.
#[derive(Clone, Debug)]
enum Fault {
    /// A panic at the n-th message from now.
    Message {
        component: &'static str,
        nth: u64,
    },
    /// At a side effect.
    Point {
        point: FailPoint,
        kind: FaultKind,
        nth: usize,
    },
    Restart(&'static str),
    Pause {
        component: &'static str,
        ms: u64,
    },
    /// The way to L1, or to the execution client, is bad for a while.
    Bad {
        way: Way,
        seed: u64,
        intensity: f64,
        ms: u64,
    },
    /// There is no way at all for a while.
    Down {
        way: Way,
        ms: u64,
    },
    Reorg {
        depth: u64,
    },
    /// The L1 node is stopped and started again: its chain is there, its pool is empty.
    L1Node {
        ms: u64,
    },
    /// The execution client is stopped, and comes back without a single block.
    L2Node {
        ms: u64,
    },
    Provers,
    /// The whole sequencer is stopped and started again.
    Stop,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// Every endpoint of L1.
    L1,
    /// The first of them.
    L1Endpoint,
    /// The execution client.
    Engine,
}

fn draw(rng: &mut StdRng, points: &[FailPoint]) -> Fault {
    let component = *COMPONENTS.choose(rng).unwrap();
    let way = *[Way::L1, Way::L1Endpoint, Way::Engine, Way::Engine].choose(rng).unwrap();
    match rng.gen_range(0..100) {
        0..15 => Fault::Message { component, nth: rng.gen_range(1..=4) },
        15..55 => {
            let kind = match rng.gen_range(0..10) {
                0..5 => FaultKind::Panic,
                5..8 => FaultKind::Error,
                8 => FaultKind::Hang(rng.gen_range(20..4_000)),
                _ => FaultKind::LoseThread,
            };
            Fault::Point { point: *points.choose(rng).unwrap(), kind, nth: rng.gen_range(1..=3) }
        }
        55..60 => Fault::Restart(component),
        60..65 => Fault::Pause { component, ms: rng.gen_range(50..600) },
        65..77 => {
            let (seed, ms) = (rng.r#gen(), rng.gen_range(200..1_500));
            Fault::Bad { way, seed, intensity: rng.gen_range(0.1..0.6), ms }
        }
        77..83 => Fault::Down { way, ms: rng.gen_range(50..800) },
        83..89 => Fault::Reorg { depth: rng.gen_range(1..=REORG) },
        89..91 => Fault::L1Node { ms: rng.gen_range(50..800) },
        91..93 => Fault::L2Node { ms: rng.gen_range(50..800) },
        93..95 => Fault::Provers,
        _ => Fault::Stop,
    }
}

/// What the users do.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Deposit { user: usize, thousandths: u64 },
    Transfers { user: usize, count: u64 },
    Withdraw { user: usize, thousandths: u64 },
}

fn deed(rng: &mut StdRng) -> Deed {
    let user = rng.gen_range(0..2);
    match rng.gen_range(0..10) {
        0..4 => Deed::Deposit { user, thousandths: rng.gen_range(1..3_000) },
        4..8 => Deed::Transfers { user, count: rng.gen_range(1..8) },
        _ => Deed::Withdraw { user, thousandths: rng.gen_range(1..50) },
    }
}

/// The sequencer, started again like a service whenever it ends.
struct Service {
    world: Rc<World>,
    config: ensemble::config::Config,
    clock: Arc<FastClock>,
    now: RefCell<Option<Sequencer>>,
    wanted: Cell<bool>,
    escalations: Cell<u32>,
}

impl Service {
    async fn start(&self) {
        let builder =
            self.world.builder().config(self.config.clone()).clock(self.clock.clone()).hang_timeout(HANG);
        let sequencer = builder.start().await.expect("it starts");
        *self.now.borrow_mut() = Some(sequencer);
    }

    fn sequencer(&self) -> Option<Sequencer> {
        self.now.borrow().clone()
    }

    async fn restart(&self) {
        self.wanted.set(false);
        let Some(sequencer) = self.now.borrow_mut().take() else { return };
        // A component may have been given a fault that keeps it from a clean end; the next start must cope with that.
        let report = sequencer.shutdown().await;
        eprintln!("    stopped: {:?}", report.reason);
        self.start().await;
        self.wanted.set(true);
    }

    /// A component that failed too often has ended everything: what a service manager does then.
    async fn keep(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let Some(sequencer) = self.sequencer().filter(|_| self.wanted.get()) else { continue };
            let ended = tokio::time::timeout(Duration::from_millis(1), sequencer.wait()).await;
            if let Ok(reason) = ended
                && self.wanted.get()
            {
                eprintln!("    ended: {reason:?}; started again");
                self.escalations.set(self.escalations.get() + 1);
                self.restart().await;
            }
        }
    }
}

/// Sends until it is mined: a reorg takes transactions away for good, and so does a node that loses its pool. An account
/// that has used `nonces` of them for good waits until the node knows that too. Gives the nonce with the receipt.
async fn insist(from: &Account, call: &Call, gas: u64, nonces: u64) -> (u64, TxReceipt) {
    let chain = from.client();
    let mut sent = Vec::<(SignedTx, u64)>::new();
    until("a user's transaction", async || {
        for (transaction, nonce) in &sent {
            if let Ok(Some(receipt)) = chain.receipt(transaction.hash).await {
                return Some((*nonce, receipt));
            }
        }
        // Not the pool's: that may count past a transaction which a reorg has taken away.
        let nonce = chain.transaction_count(from.address(), false).await.ok()?;
        match sent.last() {
            _ if nonce < nonces => {}
            // It is about to be seen in a block.
            Some((_, last)) if nonce > *last => {}
            Some((transaction, last)) if nonce == *last => {
                drop(chain.send_raw_transaction(&transaction.raw).await)
            }
            Some(_) | None => {
                let signed = from.sign(call, nonce, gas, &from.fees().await.ok()?).unwrap();
                drop(chain.send_raw_transaction(&signed.raw).await);
                sent.push((signed, nonce));
            }
        }
        None
    })
    .await
}

struct Users<'a> {
    world: &'a World,
    l1: Account,
    l2: [Account; 2],
    /// Nonces that each has used on the L2, which forgets nothing.
    nonces: [Cell<u64>; 2],
    withdrawn: RefCell<Vec<Withdrawn>>,
}

impl Users<'_> {
    async fn deposit(&self, to: Address, amount: U256) {
        let bridge = self.world.deployment().bridge;
        let call = Call { to: Some(bridge), value: amount, data: calls::deposit(to) };
        insist(&self.l1, &call, 300_000, 0).await;
    }

    async fn on_l2(&self, user: usize, call: &Call, gas: u64) -> TxReceipt {
        let (nonce, receipt) = insist(&self.l2[user], call, gas, self.nonces[user].get()).await;
        self.nonces[user].set(nonce + 1);
        receipt
    }

    /// As [`World::claim`]; a reorg may have taken transactions of the claimant away, and left a gap in its nonces.
    async fn claim(&self, sequencer: &Sequencer, withdrawn: &Withdrawn) {
        let proof = self.world.claimable(sequencer, withdrawn).await;
        let data = calls::claim_withdrawal(
            &proof.header,
            proof.id,
            proof.to,
            proof.amount,
            proof.path,
            &proof.siblings,
        );
        let call = Call { to: Some(self.world.deployment().bridge), value: U256::ZERO, data };
        let (_, receipt) = insist(&self.l1, &call, 300_000, 0).await;
        assert!(receipt.status, "a withdrawal can be claimed");
        let paid = self.l1.client().balance(withdrawn.to).await.unwrap();
        assert_eq!(paid, withdrawn.amount, "the receiver is a new account");
        let (_, receipt) = insist(&self.l1, &call, 300_000, 0).await;
        assert!(!receipt.status, "it can be claimed once");
    }

    async fn can_pay(&self, user: usize, amount: U256) -> bool {
        let account = &self.l2[user];
        account.client().balance(account.address()).await.is_ok_and(|has| has > amount + ether(10))
    }

    async fn act(&self, deed: Deed) {
        match deed {
            Deed::Deposit { user, thousandths } => {
                self.deposit(self.l2[user].address(), ether(thousandths)).await;
            }
            Deed::Transfers { user, count } => {
                for n in 0..count {
                    if self.can_pay(user, ether(1)).await {
                        let to = address(&format!("receiver {user} {n}"));
                        let call = Call { to: Some(to), value: ether(1), data: Default::default() };
                        self.on_l2(user, &call, 21_000).await;
                    }
                }
            }
            Deed::Withdraw { user, thousandths } => {
                if self.can_pay(user, ether(thousandths)).await {
                    let to = address(&format!("withdrawal {}", self.withdrawn.borrow().len()));
                    let value = ether(thousandths);
                    let call = Call { to: Some(L2_BRIDGE_ADDRESS), value, data: calls::withdraw(to) };
                    let receipt = self.on_l2(user, &call, 300_000).await;
                    assert!(receipt.status, "a withdrawal succeeds");
                    self.withdrawn.borrow_mut().extend(bridge::withdrawals_in(&receipt).unwrap());
                }
            }
        }
    }
}

/// Everything that is done to the sequencer.
struct Saboteur<'a> {
    service: &'a Service,
    world: &'a World,
    /// Two endpoints of the same node.
    l1: [&'a ChaosProxyHandle; 2],
    /// Engine API and public port.
    engine: [&'a ChaosProxyHandle; 2],
    provers: RefCell<Option<Prover>>,
    reorgs: Cell<u64>,
}

impl Saboteur<'_> {
    fn ports(&self, way: Way) -> &[&ChaosProxyHandle] {
        match way {
            Way::L1 => &self.l1,
            Way::L1Endpoint => &self.l1[..1],
            Way::Engine => &self.engine,
        }
    }

    async fn inject(&self, fault: Fault) {
        let wait = async |ms| tokio::time::sleep(Duration::from_millis(ms)).await;
        match fault {
            Fault::Message { component, nth } => panics::arm(component, nth),
            Fault::Point { point, kind, nth } => point.arm(kind, nth).unwrap(),
            Fault::Restart(component) => {
                if let Some(sequencer) = self.service.sequencer()
                    && let Err(error) = sequencer.system().restart(component).await
                {
                    eprintln!("    {error}");
                }
            }
            Fault::Pause { component, ms } => {
                let Some(sequencer) = self.service.sequencer() else { return };
                if sequencer.system().pause(component).await.is_ok() {
                    wait(ms).await;
                    if let Err(error) = sequencer.system().resume(component).await {
                        eprintln!("    {error}");
                    }
                }
            }
            Fault::Bad { way, seed, intensity, ms } => {
                for port in self.ports(way) {
                    port.set_plan(match way {
                        Way::L1 | Way::L1Endpoint => FaultPlan::l1(seed, intensity),
                        Way::Engine => FaultPlan::engine(seed, intensity),
                    });
                }
                wait(ms).await;
                self.ports(way).iter().for_each(|port| port.set_plan(FaultPlan::none()));
            }
            Fault::Down { way, ms } => {
                for port in self.ports(way) {
                    port.go_down().await.unwrap();
                }
                wait(ms).await;
                for port in self.ports(way) {
                    // A connection of another process may have got the port meanwhile.
                    until("the proxy at its port again", async || port.come_up().await.ok()).await;
                }
            }
            Fault::Reorg { depth } => {
                self.world.dev_l1().reorg(depth).await.unwrap();
                self.reorgs.set(self.reorgs.get() + 1);
            }
            Fault::L1Node { ms } => {
                self.world.stop_l1().await;
                wait(ms).await;
                self.world.start_l1().await;
            }
            Fault::L2Node { ms } => {
                self.world.stop_l2().await;
                wait(ms).await;
                self.world.start_l2().await;
            }
            Fault::Provers => {
                let prover = self.provers.borrow_mut().take();
                if let Some(prover) = prover {
                    prover.stop().await.unwrap();
                }
                *self.provers.borrow_mut() = Some(self.world.prover());
            }
            Fault::Stop => self.service.restart().await,
        }
    }

    async fn end(&self) -> Sequencer {
        FailPoint::all().for_each(FailPoint::disarm);
        COMPONENTS.iter().for_each(|component| panics::clear(component));
        until("a sequencer at work", async || self.service.sequencer()).await
    }
}

/// Whether a component failed in a way that a fault of this test explains.
fn explained(reason: &str) -> bool {
    ["injected fault", "failpoint", "its thread has ended", "gave no sign of life"]
        .iter()
        .any(|text| reason.contains(text))
}

/// SEQ-INV-12: what was logged, in full detail, holds no key and no token.
fn no_secrets(world: &World, log: &Path) {
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.contains("l1_committer"), "the log has something in it");
    let jwt = std::fs::read_to_string(&world.config.engine.jwt_path).unwrap();
    for secret in [
        common::DEPLOYER.private_key,
        common::COMMITTER.private_key,
        common::VERIFIER.private_key,
        common::ATTESTER.private_key,
        jwt.trim(),
    ] {
        assert!(
            !text.contains(secret.trim_start_matches("0x")),
            "SEQ-INV-12: a secret is in {}",
            log.display()
        );
    }
}

/// One seed: `ENSEMBLE_CHAOS_SEED`, 1 by default; with `ENSEMBLE_CHAOS_IN_A_ROW` the ones after it too.
#[test]
fn one_seed() {
    let first = number("ENSEMBLE_CHAOS_SEED", 1);
    let folder = tempfile::TempDir::new().unwrap();
    let log = std::env::var_os("ENSEMBLE_CHAOS_LOG").map_or_else(|| folder.path().join("log"), PathBuf::from);
    let file = std::fs::File::create(&log).unwrap();
    tracing_subscriber::fmt()
        .with_env_filter(
            "info,ensemble=debug,ensemble_actors=trace,ensemble_l1=trace,ensemble_engine_api=trace",
        )
        .with_ansi(false)
        .with_writer(std::sync::Mutex::new(file))
        .init();
    for seed in first..first + number("ENSEMBLE_CHAOS_IN_A_ROW", 1) {
        eprintln!("ENSEMBLE_CHAOS_SEED={seed}");
        tracing::info!(seed, "begin");
        chaos(seed, &log);
        println!("{}", done_line(seed));
    }
}

/// Most batches of one verification, and how long a proven batch waits for others, in milliseconds: some seeds verify
/// one by one, some together what is there, and some collect.
fn ranges(seed: u64) -> (u64, u64) {
    // Not from the numbers that the faults are drawn from.
    let mut rng = StdRng::seed_from_u64(!seed);
    (*[1, 2, 8, 8].choose(&mut rng).unwrap(), *[0, 0, 1_000, 3_000].choose(&mut rng).unwrap())
}

/// Most seeds run on an L1 before Osaka, whose blobs take a fifth of the time.
fn before_osaka(seed: u64) -> bool {
    !seed.is_multiple_of(4)
}

fn chaos(seed: u64, log: &Path) {
    run(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::bare(
            |l1| {
                l1.block_time = Duration::from_secs(1) / SPEED;
                (l1.safe_lag, l1.finalized_lag) = (REORG, 4 * REORG);
                if before_osaka(seed) {
                    let genesis = GenesisBuilder::l1().fork(Fork::Prague);
                    l1.genesis = genesis.fund_dev_accounts(ether(1_000_000_000)).build();
                }
            },
            |c| {
                if before_osaka(seed) {
                    c.committer.blob_sidecar_version = SidecarVersion::V0;
                }
                c.watcher.confirmations = Confirmations::Blocks(REORG);
                c.watcher.check_interval_ms = 100;
                c.eth.confirmations = 2;
                c.eth.resubmit_after_ms = 1_500;
                c.eth.request_timeout_ms = 2_000;
                c.engine.timeout_ms = 2_000;
                c.committer.commit_time_ms = 3_000;
                (c.prover_server.verify_max_batches, c.prover_server.verify_collect_ms) = ranges(seed);
                c.prover_server.verify_join_timeout_ms = 3_000;
            },
        )
        .await;
        world.deploy().await;
        let world = Rc::new(world);
        let (l1_way, second_l1_way, engine_way, public_way) = (
            ChaosProxy::start(&world.l1_url(), FaultPlan::none()).await.unwrap(),
            ChaosProxy::start(&world.l1_url(), FaultPlan::none()).await.unwrap(),
            ChaosProxy::start(world.config.engine.auth_url.expose(), FaultPlan::none()).await.unwrap(),
            ChaosProxy::start(&world.l2_url(), FaultPlan::none()).await.unwrap(),
        );
        let mut config = world.config.clone();
        config.eth.rpc_url = vec![common::url(&l1_way.url()), common::url(&second_l1_way.url())];
        config.engine.auth_url = common::url(&engine_way.url());
        config.engine.public_url = Some(common::url(&public_way.url()));
        let service = Rc::new(Service {
            world: Rc::clone(&world),
            config,
            clock: Arc::new(FastClock::new(SPEED)),
            now: RefCell::default(),
            wanted: Cell::new(true),
            escalations: Cell::default(),
        });
        service.start().await;
        let keeper = actix_rt::spawn({
            let service = Rc::clone(&service);
            async move { service.keep().await }
        });
        let users = Users {
            world: &world,
            l1: world.user_l1().await,
            l2: [world.user_l2("first").await, world.user_l2("second").await],
            nonces: Default::default(),
            withdrawn: RefCell::default(),
        };
        for user in &users.l2 {
            users.deposit(user.address(), ether(1_000)).await;
        }
        let saboteur = Saboteur {
            service: &service,
            world: &world,
            l1: [&l1_way, &second_l1_way],
            engine: [&engine_way, &public_way],
            provers: RefCell::new(Some(world.prover())),
            reorgs: Cell::default(),
        };

        let points: Vec<FailPoint> = FailPoint::all().collect();
        let deeds: Vec<Deed> = (0..rng.gen_range(4..10)).map(|_| deed(&mut rng)).collect();
        let faults: Vec<(u64, Fault)> =
            (0..rng.gen_range(6..18)).map(|_| (rng.gen_range(20..300), draw(&mut rng, &points))).collect();
        let load = async {
            for deed in deeds {
                eprintln!("  {deed:?}");
                users.act(deed).await;
            }
        };
        let trouble = async {
            for (pause, fault) in faults {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                eprintln!("  {fault:?}");
                saboteur.inject(fault).await;
            }
        };
        tokio::join!(load, trouble);
        eprintln!("quiet");
        saboteur.end().await;
        world.all_included().await;
        let sequencer = service.sequencer().unwrap();
        all_healthy(&sequencer).await;
        let reached = world.committed().await + 2;
        world.verified_up_to(reached).await;
        let withdrawn = users.withdrawn.borrow().clone();
        for one in withdrawn.iter().take(2) {
            users.claim(&sequencer, one).await;
        }
        // A reorg may have left a deposit in the pool behind a gap in the user's nonces, and a claim closed it.
        world.all_included().await;
        service.wanted.set(false);
        keeper.abort();
        world.stop(&sequencer).await;
        let prover = saboteur.provers.borrow_mut().take();
        prover.unwrap().stop().await.unwrap();

        for event in &world.seen().lifecycle {
            if let EventKind::Failed { failure } = &event.kind {
                let told = format!("{}: {} at {:?}", event.component, failure.reason, failure.location);
                assert!(explained(&failure.reason), "nobody asked for this failure: {told}");
            }
        }
        // A reorg may revert what was under way: a commit or a verification on top of one that is gone.
        let reverts = saboteur.reorgs.get() * 16;
        let books = world.books_with(Tolerance { reverts, lost_events: true }).await;
        let rebuilt = world.rebuild().await;
        assert!(rebuilt <= books.head && books.verified >= reached, "{rebuilt} of {books:?}");
        no_secrets(&world, log);
        eprintln!("{books:?}, {} withdrawal(s), escalations: {}", withdrawn.len(), service.escalations.get());
    });
}
