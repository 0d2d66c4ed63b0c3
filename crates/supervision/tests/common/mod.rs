//! What the tests share: a component that does as it is told, and a list of the events.

// Every test binary uses a part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use ensemble_error::Severity;
use ensemble_supervision::{
    Backoff, ChildSpec, Component, EventKind, Handle, LifecycleEvent, Outlet, Seat, Supervisor, SystemHandle,
    supervised,
};
use futures::future::LocalBoxFuture;
use tokio::sync::{Notify, mpsc};

/// Runs a test inside an actix system. The limit only turns a hang into a failure.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    System::new().block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs")
    })
}

/// What a test sees of its workers over all their instances.
#[derive(Default)]
pub struct Probe {
    /// Calls of `started`.
    pub starts: AtomicU64,
    /// Calls of the factory.
    pub builds: AtomicU64,
    /// How many of the next starts panic.
    pub start_panics: AtomicU64,
    /// How many of the next builds panic.
    pub build_panics: AtomicU64,
    /// Everything that happened, in order.
    pub log: Mutex<Vec<String>>,
    /// What the stop hook waits for, if it waits.
    pub hold_stop: Mutex<Option<Arc<Notify>>>,
    /// What the start waits for, if it waits.
    pub hold_start: Mutex<Option<Arc<Notify>>>,
    /// What every start finds out of reach.
    pub out_of_reach: Mutex<Option<&'static str>>,
    /// Panic when the context stops or the state is dropped.
    pub nasty: std::sync::atomic::AtomicBool,
}

impl Probe {
    pub fn log(&self, line: impl Into<String>) {
        self.log.lock().unwrap().push(line.into());
    }

    pub fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn starts(&self) -> u64 {
        self.starts.load(SeqCst)
    }
}

/// A component with one number as its state.
pub struct Worker {
    seat: Seat<Self>,
    probe: Arc<Probe>,
    sum: u64,
    timer: Option<SpawnHandle>,
}

impl Worker {
    pub fn new(seat: Seat<Self>, probe: Arc<Probe>) -> Self {
        probe.builds.fetch_add(1, SeqCst);
        if probe.build_panics.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok() {
            panic!("boom in the factory");
        }
        Self { seat, probe, sum: 0, timer: None }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.probe.starts.fetch_add(1, SeqCst);
        if self.probe.start_panics.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok() {
            panic!("boom in started");
        }
        if let Some(reason) = *self.probe.out_of_reach.lock().unwrap() {
            self.seat.degraded(reason);
        }
        self.timer = Some(ctx.run_interval(Duration::from_millis(1), |worker, _| {
            if !worker.seat.is_paused() {
                worker.sum += 1000;
            }
        }));
        let name = self.seat.name().to_owned();
        let hold = self.probe.hold_start.lock().unwrap().clone();
        let begin = async move {
            if let Some(hold) = hold {
                hold.notified().await;
            }
        };
        ctx.wait(begin.into_actor(self).map(move |(), worker, _| worker.probe.log(format!("start {name}"))));
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        assert!(!self.probe.nasty.load(SeqCst), "boom in stopping");
        Running::Stop
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.probe.log(format!("drop {} {}", self.seat.name(), self.seat.epoch()));
        assert!(!self.probe.nasty.load(SeqCst), "boom in drop");
    }
}

supervised!(Worker);

impl Component for Worker {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }

    fn stopping_gracefully(&mut self, _: &mut Context<Self>) -> Option<LocalBoxFuture<'static, ()>> {
        let name = self.seat.name().to_owned();
        self.probe.log(format!("stopping {name}"));
        let hold = self.probe.hold_stop.lock().unwrap().clone()?;
        let probe = Arc::clone(&self.probe);
        Some(Box::pin(async move {
            hold.notified().await;
            probe.log(format!("rested {name}"));
        }))
    }
}

/// Adds to the state and answers with it.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct Add(pub u64);

impl Handler<Add> for Worker {
    type Result = u64;

    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
        self.seat.enter("Add");
        self.probe.log(format!("add {n}"));
        self.sum = self.sum % 1000 + n;
        self.sum
    }
}

/// Something that goes wrong.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Wrong {
    Panic,
    PanicInTimer,
    PanicInStream,
    PanicInSpawned,
    /// Panics right after it has cancelled its timer.
    CancelAndPanic,
    Fail(Severity),
    Done,
    StopWithoutReason,
    KillThread,
}

impl StreamHandler<()> for Worker {
    fn handle(&mut self, (): (), _: &mut Context<Self>) {
        panic!("boom in a stream");
    }
}

impl Handler<Wrong> for Worker {
    type Result = ();

    fn handle(&mut self, wrong: Wrong, ctx: &mut Context<Self>) {
        self.seat.enter("Wrong");
        self.sum += 500;
        match wrong {
            Wrong::Panic => panic!("boom in a handler"),
            Wrong::PanicInTimer => {
                ctx.run_later(Duration::from_millis(1), |_, _| panic!("boom in a timer"));
            }
            Wrong::PanicInStream => {
                Self::add_stream(futures::stream::once(async {}), ctx);
            }
            Wrong::PanicInSpawned => {
                let task = async {
                    tokio::task::yield_now().await;
                    panic!("boom in a future");
                };
                ctx.spawn(task.into_actor(self));
            }
            Wrong::CancelAndPanic => {
                ctx.cancel_future(self.timer.take().unwrap());
                panic!("boom after a cancellation");
            }
            Wrong::Fail(severity) => self.seat.fail_with(ctx, severity, "failed as told"),
            Wrong::Done => self.seat.done(ctx),
            Wrong::StopWithoutReason => ctx.stop(),
            Wrong::KillThread => {
                Arbiter::current().stop();
            }
        }
    }
}

/// Answers from a future that panics.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct PanicInAnswer;

impl Handler<PanicInAnswer> for Worker {
    type Result = ResponseActFuture<Self, u64>;

    fn handle(&mut self, _: PanicInAnswer, _: &mut Context<Self>) -> Self::Result {
        self.seat.enter("PanicInAnswer");
        Box::pin(
            async {
                tokio::task::yield_now().await;
                panic!("boom in an answer");
            }
            .into_actor(self),
        )
    }
}

/// Blocks the thread until the sender sends or is dropped; tells when it has begun to.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Block(pub std::sync::mpsc::Receiver<()>, pub mpsc::Sender<Seat<Worker>>);

impl Handler<Block> for Worker {
    type Result = ();

    fn handle(&mut self, Block(until, begun): Block, _: &mut Context<Self>) {
        self.seat.enter("Block");
        begun.try_send(self.seat.clone()).unwrap();
        // Whether released by a message or by the end of the sender is all the same.
        until.recv().unwrap_or(());
    }
}

/// Blocks a worker; the sender lets it go on.
pub async fn block(worker: &Handle<Worker>) -> (std::sync::mpsc::Sender<()>, Seat<Worker>) {
    let (release, until) = std::sync::mpsc::channel();
    let (begun, mut has_begun) = mpsc::channel(1);
    worker.tell(Block(until, begun)).await.unwrap();
    (release, has_begun.recv().await.expect("the worker takes the message"))
}

/// What a blocked worker does when it comes to itself.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    Panic,
    Fail,
    Done,
    Degrade,
    /// Has its effect, if it is still the component.
    Act,
}

/// As [`Block`], with something to do afterwards.
#[derive(Message)]
#[rtype(result = "()")]
pub struct BlockThen(pub std::sync::mpsc::Receiver<()>, pub mpsc::Sender<Seat<Worker>>, pub Then);

impl Handler<BlockThen> for Worker {
    type Result = ();

    fn handle(&mut self, BlockThen(until, begun, then): BlockThen, ctx: &mut Context<Self>) {
        self.seat.enter("BlockThen");
        begun.try_send(self.seat.clone()).unwrap();
        until.recv().unwrap_or(());
        match then {
            Then::Panic => panic!("boom from the grave"),
            Then::Fail => self.seat.fail_with(ctx, Severity::Fatal, "failed in the grave"),
            Then::Done => self.seat.done(ctx),
            Then::Degrade => self.seat.degraded("a voice from the grave"),
            Then::Act if self.seat.is_current() => self.probe.log("effect"),
            Then::Act => self.probe.log("effect refused"),
        }
    }
}

/// Blocks a worker until the sender sends, and has it do something then.
pub async fn block_then(worker: &Handle<Worker>, then: Then) -> (std::sync::mpsc::Sender<()>, Seat<Worker>) {
    let (release, until) = std::sync::mpsc::channel();
    let (begun, mut has_begun) = mpsc::channel(1);
    worker.tell(BlockThen(until, begun, then)).await.unwrap();
    (release, has_begun.recv().await.expect("the worker takes the message"))
}

/// Sets or clears the degradation.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Health(pub Option<&'static str>);

impl Handler<Health> for Worker {
    type Result = ();

    fn handle(&mut self, Health(reason): Health, _: &mut Context<Self>) {
        match reason {
            Some(reason) => self.seat.degraded(reason),
            None => self.seat.healthy(),
        }
    }
}

/// The seat of the present instance.
#[derive(Message)]
#[rtype(result = "Reply<Seat<Worker>>")]
pub struct GetSeat;

#[derive(MessageResponse)]
pub struct Reply<T: 'static>(pub T);

impl Handler<GetSeat> for Worker {
    type Result = Reply<Seat<Self>>;

    fn handle(&mut self, _: GetSeat, _: &mut Context<Self>) -> Self::Result {
        Reply(self.seat.clone())
    }
}

/// The sum, with thousands from the timer.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct Ticks;

impl Handler<Ticks> for Worker {
    type Result = u64;

    fn handle(&mut self, _: Ticks, _: &mut Context<Self>) -> u64 {
        self.sum / 1000
    }
}

/// A delay that is the same every time and hardly any.
pub const QUICK: Backoff =
    Backoff { base: Duration::from_millis(1), max: Duration::from_millis(1), jitter: 0.0 };

/// A delay that no test lives to see the end of.
pub const FOREVER: Backoff =
    Backoff { base: Duration::from_secs(86_400), max: Duration::from_secs(86_400), jitter: 0.0 };

/// A worker that is restarted quickly and without limit.
pub fn worker(name: &str, probe: &Arc<Probe>) -> ChildSpec<Worker> {
    let probe = Arc::clone(probe);
    ChildSpec::new(name, move |seat| Worker::new(seat, Arc::clone(&probe)))
        .backoff(QUICK)
        .intensity(u32::MAX, Duration::from_secs(60))
}

/// The events of a system, in order.
pub struct Events(mpsc::Receiver<LifecycleEvent>);

impl Events {
    pub fn new() -> (Self, Outlet<LifecycleEvent>) {
        let (tx, rx) = mpsc::channel(100_000);
        (
            Self(rx),
            Outlet::from_fn(move |event| {
                // A test that looks at no events drops the receiver.
                if let Err(mpsc::error::TrySendError::Full(event)) = tx.try_send(event) {
                    panic!("no room for {event:?}");
                }
            }),
        )
    }

    pub async fn next(&mut self) -> LifecycleEvent {
        self.0.recv().await.expect("the system has not ended")
    }

    /// Skips to the first event that matches.
    pub async fn find(&mut self, component: &str, mut matches: impl FnMut(&EventKind) -> bool) -> EventKind {
        loop {
            let event = self.next().await;
            if event.component == component && matches(&event.kind) {
                return event.kind;
            }
        }
    }

    pub async fn restarted(&mut self, component: &str) {
        self.find(component, |kind| matches!(kind, EventKind::Restarted { .. })).await;
    }

    /// The rest, when the system has ended.
    pub async fn rest(&mut self) -> Vec<LifecycleEvent> {
        let mut rest = Vec::new();
        while let Some(event) = self.0.recv().await {
            rest.push(event);
        }
        rest
    }
}

/// One word for an event.
pub fn word(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Started => "started",
        EventKind::Failed { .. } => "failed",
        EventKind::BackingOff { .. } => "backing-off",
        EventKind::Restarted { .. } => "restarted",
        EventKind::Degraded { .. } => "degraded",
        EventKind::Recovered => "recovered",
        EventKind::Paused => "paused",
        EventKind::Resumed => "resumed",
        EventKind::Stopped => "stopped",
        EventKind::Escalated { .. } => "escalated",
        EventKind::Follows { .. } => "follows",
        EventKind::ArbiterReplaced => "arbiter-replaced",
    }
}

/// A system with one worker, ready.
pub async fn single(
    make: impl FnOnce(ChildSpec<Worker>) -> ChildSpec<Worker>,
) -> (SystemHandle, Handle<Worker>, Arc<Probe>, Events) {
    let probe = Arc::new(Probe::default());
    let (events, outlet) = Events::new();
    let spec = make(worker("w", &probe));
    let handle = spec.handle();
    let system = Supervisor::builder().seed(7).subscribe(outlet).child(spec).start().unwrap();
    system.ready().await;
    (system, handle, probe, events)
}

/// The thread a worker runs on.
#[derive(Message)]
#[rtype(result = "Reply<ArbiterHandle>")]
pub struct WhichArbiter;

impl Handler<WhichArbiter> for Worker {
    type Result = Reply<ArbiterHandle>;

    fn handle(&mut self, _: WhichArbiter, _: &mut Context<Self>) -> Self::Result {
        Reply(Arbiter::current())
    }
}
