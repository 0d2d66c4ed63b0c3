//! Everything that can go wrong, at random, in several components at once.
//!
//! A seed decides what is done in which order; the threads decide how it interleaves. `ENSEMBLE_CHAOS_SEED` replays
//! a seed, `ENSEMBLE_CHAOS_STEPS` makes a run longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use common::{Events, QUICK, run, word};
use ensemble_error::Severity;
use ensemble_supervision::{
    CallError, ChildSpec, Component, ComponentState, EventKind, ExitReason, Handle, LifecycleEvent,
    RestartPolicy, Seat, Supervisor, SystemHandle, TellError, supervised,
};
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const NAMES: [&str; 4] = ["base", "leaf", "pulsed", "transient"];
const SENDERS: u64 = 6;
/// Messages from here on are the test's own.
const FIRST_PROBE: u64 = 1_000_000_000_000;

/// What is known of one component over all its instances.
#[derive(Default)]
struct Record {
    /// Instances that have started and were not dropped, and whether they block their thread.
    alive: Mutex<HashMap<u64, bool>>,
    /// How often each message was handled.
    handled: Mutex<HashMap<u64, u64>>,
    /// Rules that were broken.
    broken: Mutex<Vec<String>>,
    /// Lets the blocked instances go on.
    release: Mutex<Vec<std::sync::mpsc::Sender<()>>>,
    hangs: AtomicU64,
}

impl Record {
    fn broken(&self, what: String) {
        self.broken.lock().unwrap().push(what);
    }

    fn release(&self) {
        self.release.lock().unwrap().clear();
    }
}

struct Toy {
    seat: Seat<Self>,
    record: Arc<Record>,
    started: bool,
}

impl Toy {
    fn enter(&self, name: &'static str) {
        self.seat.enter(name);
        let epoch = self.seat.epoch();
        if !self.record.alive.lock().unwrap().contains_key(&epoch) {
            self.record.broken(format!("{name} was handled by instance {epoch}, which has not started"));
        }
    }
}

impl Actor for Toy {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.started = true;
        let epoch = self.seat.epoch();
        let mut alive = self.record.alive.lock().unwrap();
        for (other, blocked) in alive.iter() {
            if !blocked {
                self.record.broken(format!("instance {epoch} started while {other} was there"));
            }
        }
        alive.insert(epoch, false);
        drop(alive);
        // Gives the start a length.
        ctx.wait(tokio::task::yield_now().into_actor(self));
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        if self.started {
            self.record.alive.lock().unwrap().remove(&self.seat.epoch());
        }
    }
}

supervised!(Toy);

impl Component for Toy {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }
}

/// Something to be handled once: at once, or after a turn of the loop.
#[derive(Message)]
#[rtype(result = "u64")]
struct Job {
    id: u64,
    slow: bool,
}

impl Handler<Job> for Toy {
    type Result = ResponseActFuture<Self, u64>;

    fn handle(&mut self, Job { id, slow }: Job, _: &mut Context<Self>) -> Self::Result {
        self.enter("Job");
        *self.record.handled.lock().unwrap().entry(id).or_default() += 1;
        let answer = async move {
            if slow {
                tokio::task::yield_now().await;
            }
            id
        };
        Box::pin(answer.into_actor(self))
    }
}

#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
enum Harm {
    Panic,
    PanicLater,
    Fail,
    Stop,
    Done,
    KillThread,
    Hang,
}

impl Handler<Harm> for Toy {
    type Result = ();

    fn handle(&mut self, harm: Harm, ctx: &mut Context<Self>) {
        self.enter("Harm");
        match harm {
            Harm::Panic => panic!("chaos"),
            Harm::PanicLater => {
                let later = async {
                    tokio::task::yield_now().await;
                    panic!("chaos, later");
                };
                ctx.spawn(later.into_actor(self));
            }
            Harm::Fail => self.seat.fail_with(ctx, Severity::Recoverable, "chaos"),
            Harm::Stop => ctx.stop(),
            Harm::Done => self.seat.done(ctx),
            Harm::KillThread => {
                Arbiter::current().stop();
            }
            Harm::Hang => {
                let (release, until) = std::sync::mpsc::channel();
                self.record.hangs.fetch_add(1, SeqCst);
                self.record.alive.lock().unwrap().insert(self.seat.epoch(), true);
                self.record.release.lock().unwrap().push(release);
                until.recv().unwrap_or(());
                if self.seat.is_current() {
                    self.record.alive.lock().unwrap().insert(self.seat.epoch(), false);
                }
            }
        }
    }
}

/// What came of the messages of one sender.
#[derive(Default)]
struct Sent {
    answered: Vec<u64>,
    refused: Vec<u64>,
    unknown: Vec<u64>,
    told: Vec<u64>,
}

struct World {
    system: SystemHandle,
    handles: Vec<Handle<Toy>>,
    records: Vec<Arc<Record>>,
    events: Events,
    seed: u64,
    steps: u64,
}

fn world(intensity: impl Fn(&str) -> u32) -> World {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seed = number("ENSEMBLE_CHAOS_SEED").unwrap_or_else(rand::random::<u64>);
    let steps = number("ENSEMBLE_CHAOS_STEPS").unwrap_or(150);
    println!("ENSEMBLE_CHAOS_SEED={seed}");
    let (events, outlet) = Events::new();
    let mut builder = Supervisor::builder().seed(seed).subscribe(outlet);
    let (mut handles, mut records) = (Vec::new(), Vec::new());
    for name in NAMES {
        let record = Arc::new(Record::default());
        records.push(Arc::clone(&record));
        let make = move |seat| Toy { seat, record: Arc::clone(&record), started: false };
        let mut spec = ChildSpec::new(name, make)
            .backoff(QUICK)
            .mailbox(8)
            .intensity(intensity(name), Duration::from_secs(3600));
        spec = match name {
            "leaf" => spec.depends_on("base"),
            "pulsed" => spec.heartbeat(Duration::from_millis(5), Duration::from_millis(150)),
            "transient" => spec.policy(RestartPolicy::Transient).depends_on("leaf").depends_on("base"),
            _ => spec,
        };
        handles.push(spec.handle());
        builder = builder.child(spec);
    }
    World { system: builder.start().unwrap(), handles, records, events, seed, steps }
}

impl World {
    fn rng(&self, stream: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Sends to all components, in every way, until told to stop.
    fn senders(&self, stop: &tokio::sync::watch::Receiver<bool>) -> Vec<tokio::task::JoinHandle<Vec<Sent>>> {
        (0..SENDERS)
            .map(|sender| {
                let (handles, mut rng, stop) = (self.handles.clone(), self.rng(sender), stop.clone());
                actix::spawn(async move {
                    let mut sent: Vec<Sent> = handles.iter().map(|_| Sent::default()).collect();
                    for n in 0.. {
                        if *stop.borrow() {
                            break;
                        }
                        let id = sender * 1_000_000_000 + n;
                        let to = rng.gen_range(0..handles.len());
                        let (handle, sent) = (&handles[to], &mut sent[to]);
                        let job = Job { id, slow: rng.gen_bool(0.3) };
                        let limit = Duration::from_millis(rng.gen_range(1..50));
                        let result = match rng.gen_range(0..4) {
                            0 => handle.call(job).await,
                            1 => handle.call_timeout(job, limit).await,
                            2 => {
                                match handle.try_tell(job) {
                                    Ok(()) => sent.told.push(id),
                                    Err(
                                        TellError::Full(_)
                                        | TellError::Restarting(_)
                                        | TellError::NotRunning(_),
                                    ) => {
                                        sent.refused.push(id);
                                    }
                                }
                                tokio::task::yield_now().await;
                                continue;
                            }
                            _ => {
                                match handle.tell(job).await {
                                    Ok(()) => sent.told.push(id),
                                    Err(e) if e.outcome_unknown() => panic!("a tell has no outcome: {e}"),
                                    Err(_) => sent.refused.push(id),
                                }
                                tokio::task::yield_now().await;
                                continue;
                            }
                        };
                        match result {
                            Ok(answer) => {
                                assert_eq!(answer, id);
                                sent.answered.push(id);
                            }
                            Err(CallError::OutcomeUnknown { .. }) => sent.unknown.push(id),
                            Err(
                                CallError::NotRunning { .. }
                                | CallError::Restarting { .. }
                                | CallError::Full { .. },
                            ) => sent.refused.push(id),
                        }
                        tokio::task::yield_now().await;
                    }
                    sent
                })
            })
            .collect()
    }

    /// One thing going wrong, or the operator at work.
    async fn step(&self, rng: &mut StdRng, operator: bool) {
        let at = rng.gen_range(0..NAMES.len());
        let (name, handle, record) = (NAMES[at], &self.handles[at], &self.records[at]);
        let harm = match rng.gen_range(0..16) {
            0..=3 => Harm::Panic,
            4 => Harm::PanicLater,
            5 => Harm::Fail,
            6 => Harm::Stop,
            7 if name != "transient" || operator => Harm::Done,
            8 => Harm::KillThread,
            9 | 10 if name == "pulsed" => Harm::Hang,
            11 | 12 if operator => {
                self.system.restart(name).await.unwrap();
                return;
            }
            13 if operator => {
                self.system.pause(name).await.unwrap();
                return;
            }
            14 if operator => {
                self.system.resume(name).await.unwrap();
                return;
            }
            15 => {
                record.release();
                return;
            }
            _ => {
                tokio::time::sleep(Duration::from_millis(rng.gen_range(0..4))).await;
                return;
            }
        };
        // A full mailbox may be that of a component that waits for the operator, or hangs.
        if handle.call_timeout(harm, Duration::from_millis(20)).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// What holds whatever happened.
    fn check(&self, sent: Vec<Vec<Sent>>) {
        let mut total = [0_usize; 4];
        for (at, record) in self.records.iter().enumerate() {
            let broken = record.broken.lock().unwrap();
            assert!(broken.is_empty(), "{}: {broken:?}", NAMES[at]);
            let handled = record.handled.lock().unwrap();
            let twice: Vec<_> = handled.iter().filter(|(_, times)| **times > 1).collect();
            assert!(twice.is_empty(), "{}: handled more than once: {twice:?}", NAMES[at]);
            let mut known = HashSet::new();
            for sent in sent.iter().map(|sender| &sender[at]) {
                for id in &sent.answered {
                    assert!(handled.contains_key(id), "{}: {id} was answered, not handled", NAMES[at]);
                }
                for id in &sent.refused {
                    assert!(!handled.contains_key(id), "{}: {id} was refused and handled", NAMES[at]);
                }
                let lists = [&sent.answered, &sent.refused, &sent.unknown, &sent.told];
                for (count, list) in total.iter_mut().zip(lists) {
                    *count += list.len();
                    known.extend(list.iter().copied());
                }
            }
            let all_known = handled.keys().all(|id| *id >= FIRST_PROBE || known.contains(id));
            assert!(all_known, "{}: a message from nowhere", NAMES[at]);
            assert!(record.alive.lock().unwrap().is_empty(), "{}: an instance is left", NAMES[at]);
        }
        println!("answered, refused, unknown, told: {total:?}");
    }

    /// When nothing goes wrong any more everybody comes back.
    async fn all_recover(&self) {
        let limit = Duration::from_millis(200);
        for (at, name) in NAMES.into_iter().enumerate() {
            for id in FIRST_PROBE.. {
                self.records[at].release();
                match self.handles[at].call_timeout(Job { id, slow: true }, limit).await {
                    Ok(_) => break,
                    Err(CallError::NotRunning { .. }) => self.system.restart(name).await.unwrap(),
                    Err(_) => {}
                }
            }
        }
    }

    /// Waits for the zombies.
    async fn all_gone(&self) {
        for record in &self.records {
            record.release();
            while !record.alive.lock().unwrap().is_empty() {
                record.release();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// Every component's events are in an order that makes sense.
fn check_events(events: &[LifecycleEvent]) -> HashMap<String, u64> {
    let mut failures: HashMap<String, u64> = HashMap::new();
    for name in NAMES {
        let mut up = false;
        for event in events.iter().filter(|e| e.component == name) {
            let trace = || format!("{name}: {}", word(&event.kind));
            match &event.kind {
                EventKind::Started => {
                    assert!(!up, "{}", trace());
                    up = true;
                }
                EventKind::Restarted { .. } => up = true,
                EventKind::Failed { .. } => {
                    *failures.entry(name.to_owned()).or_default() += 1;
                    up = false;
                }
                EventKind::Stopped => up = false,
                EventKind::BackingOff { .. } => assert!(!up, "{}", trace()),
                EventKind::Degraded { .. }
                | EventKind::Recovered
                | EventKind::Paused
                | EventKind::Resumed
                | EventKind::Follows { .. }
                | EventKind::Escalated { .. }
                | EventKind::ArbiterReplaced => {}
            }
        }
        assert!(!up, "{name} is up at the end");
    }
    failures
}

/// SEQ-INV-8: whatever goes wrong, in whatever order: every call ends; a message is handled at most once; one
/// that was answered was handled, one that was refused was not; no instance starts beside another, but for
/// those that hang; without a limit nothing escalates; the stop is in order, and nothing is left.
#[test]
fn chaos() {
    run(async {
        let mut world = world(|_| u32::MAX);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let senders = world.senders(&stopped);
        let mut rng = world.rng(1000);
        for _ in 0..world.steps {
            world.step(&mut rng, true).await;
        }
        for name in NAMES {
            world.system.resume(name).await.unwrap();
        }
        world.all_recover().await;
        let report = world.system.shutdown().await;
        stop.send_replace(true);
        let sent: Vec<_> = join_all(senders).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(report.reason, ExitReason::Shutdown);
        assert!(report.is_clean(), "{report:?}");
        let order: Vec<_> = report.components.iter().rev().map(|c| c.name.as_str()).collect();
        assert_eq!(order, NAMES);
        world.all_gone().await;
        world.check(sent);
        let events = world.events.rest().await;
        let failures = check_events(&events);
        for status in world.system.status() {
            assert_eq!(status.state, ComponentState::Stopped, "{}", status.name);
            assert_eq!(failures.get(&status.name).copied().unwrap_or(0), status.failures);
        }
        println!("failures: {failures:?}, hangs: {}", world.records[2].hangs.load(SeqCst));
        let stops: Vec<_> = events.iter().rev().filter(|e| e.kind == EventKind::Stopped).take(4).collect();
        assert_eq!(stops.iter().map(|e| e.component.as_str()).collect::<Vec<_>>(), NAMES);
    });
}

/// With a limit the system ends at the failure that is one too many, and at no other.
#[test]
fn chaos_with_a_limit() {
    run(async {
        let limit = |name: &str| if name == "leaf" { 3 } else { 5 };
        let mut world = world(limit);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let senders = world.senders(&stopped);
        let mut rng = world.rng(2000);
        // Somebody will be first.
        while world.system.status().iter().all(|s| s.failures <= u64::from(limit(&s.name))) {
            world.step(&mut rng, false).await;
        }
        for record in &world.records {
            record.release();
        }
        let exit = world.system.wait().await;
        stop.send_replace(true);
        let sent: Vec<_> = join_all(senders).await.into_iter().map(Result::unwrap).collect();
        let ExitReason::Escalated { component, .. } = &exit else { panic!("{exit:?}") };
        world.all_gone().await;
        world.check(sent);
        let events = world.events.rest().await;
        check_events(&events);
        for status in world.system.status() {
            let over = u64::from(limit(&status.name)) + 1;
            if status.name == *component {
                assert_eq!(status.failures, over, "{component}");
            } else {
                assert!(status.failures < over, "{}: {}", status.name, status.failures);
            }
        }
        let escalations = events.iter().filter(|e| matches!(e.kind, EventKind::Escalated { .. }));
        assert_eq!(escalations.count(), 1);
        let report = world.system.shutdown().await;
        let order: Vec<_> = report.components.iter().rev().map(|c| c.name.as_str()).collect();
        assert_eq!(order, NAMES);
    });
}
