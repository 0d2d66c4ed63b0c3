//! The system as a whole: start, operation, stop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use actix::prelude::*;
use common::*;
use ensemble_supervision::{
    Backoff, CallError, ChildSpec, ComponentState, ComponentStatus, ControlError, EventKind, ExitReason,
    Handle, LifecycleEvent, Lost, Outlet, RestartPolicy, Seat, StartError, StopOutcome, Supervisor,
    SystemActor, TellError,
};
use tokio::sync::Notify;

/// The next component starts when the one before has done what its start waits for; they stop in reverse.
#[test]
fn ordered_start_and_reverse_stop() {
    run(async {
        let (slow, quick) = (Arc::new(Probe::default()), Arc::new(Probe::default()));
        let gate = Arc::new(Notify::new());
        *slow.hold_start.lock().unwrap() = Some(Arc::clone(&gate));
        let (mut events, outlet) = Events::new();
        let spec = worker("a", &slow);
        let a = spec.handle();
        let system = Supervisor::builder()
            .subscribe(outlet)
            .child(spec)
            .child(worker("b", &quick))
            .child(worker("c", &quick))
            .start()
            .unwrap();
        // Sent before the start: it waits in the mailbox.
        let early = actix::spawn(async move { a.call(Add(5)).await });
        while slow.starts() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(quick.builds.load(SeqCst), 0, "b waits for a");
        assert_eq!(system.status()[0].state, ComponentState::Starting);
        gate.notify_one();
        system.ready().await;
        assert_eq!(early.await.unwrap().unwrap() % 1000, 5);
        assert_eq!(quick.lines(), ["start b", "start c"]);

        let report = system.shutdown().await;
        assert!(report.is_clean());
        let order: Vec<_> = report.components.iter().map(|c| (c.name.as_str(), c.outcome)).collect();
        let stopped = StopOutcome::Stopped;
        assert_eq!(order, [("c", stopped), ("b", stopped), ("a", stopped)]);
        let lines = quick.lines();
        assert_eq!(lines[2..], ["stopping c", "drop c 1", "stopping b", "drop b 1"]);
        assert_eq!(report.reason.exit_code(), 0);
        let seen: Vec<_> =
            events.rest().await.iter().map(|e| format!("{} {}", e.component, word(&e.kind))).collect();
        assert_eq!(seen, ["a started", "b started", "c started", "c stopped", "b stopped", "a stopped"]);
    });
}

/// A component that fails at its start does not hold up the others, nor does one that never ends it.
#[test]
fn start_goes_on() {
    run(async {
        let probe = Arc::new(Probe::default());
        let (broken, stuck) = (Arc::new(Probe::default()), Arc::new(Probe::default()));
        broken.start_panics.store(1, SeqCst);
        *stuck.hold_start.lock().unwrap() = Some(Arc::new(Notify::new()));
        let system = Supervisor::builder()
            .child(worker("broken", &broken).backoff(FOREVER))
            .child(worker("stuck", &stuck).start_deadline(Duration::from_millis(20)))
            .child(worker("fine", &probe))
            .start()
            .unwrap();
        system.ready().await;
        let states: Vec<_> = system.status().into_iter().map(|s| s.state).collect();
        assert!(matches!(states[0], ComponentState::BackingOff { .. }), "{states:?}");
        assert_eq!(states[1..], [ComponentState::Starting, ComponentState::Running]);
        let report = system.shutdown().await;
        let outcomes: Vec<_> = report.components.iter().map(|c| c.outcome).collect();
        assert_eq!(outcomes, [StopOutcome::Stopped; 3], "a start under way does not hold up the end");
        assert_eq!(stuck.lines(), ["drop stuck 1"], "nothing to come to rest from");
    });
}

/// Before an intended stop the mailbox is worked off and the hook awaited; new messages are refused.
#[test]
fn graceful_stop() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec).await;
        let rest = Arc::new(Notify::new());
        *probe.hold_stop.lock().unwrap() = Some(Arc::clone(&rest));
        let (release, _) = block(&w).await;
        for n in 0..10 {
            w.try_tell(Add(n)).unwrap();
        }
        let stopping = actix::spawn({
            let system = system.clone();
            async move { system.shutdown().await }
        });
        while !w.is_closed() {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            w.call(Add(99)).await,
            Err(CallError::NotRunning { component: "w".into(), message: "Add" })
        );
        release.send(()).unwrap();
        rest.notify_one();
        assert!(stopping.await.unwrap().is_clean());
        let mut expected = vec!["start w".to_owned()];
        expected.extend((0..10).map(|n| format!("add {n}")));
        expected.extend(["stopping w", "rested w", "drop w 1"].map(str::to_owned));
        assert_eq!(probe.lines(), expected);
    });
}

/// A component that does not come to rest is dropped at its deadline, one whose thread does not react is
/// left to itself; the others stop all the same.
#[test]
fn stop_deadlines() {
    run(async {
        let (fine, restless, hung) =
            (Arc::new(Probe::default()), Arc::new(Probe::default()), Arc::new(Probe::default()));
        *restless.hold_stop.lock().unwrap() = Some(Arc::new(Notify::new()));
        let soon = Duration::from_millis(20);
        let spec = worker("hung", &hung).stop_deadline(soon);
        let h = spec.handle();
        let system = Supervisor::builder()
            .child(worker("fine", &fine))
            .child(worker("restless", &restless).stop_deadline(soon))
            .child(spec)
            .start()
            .unwrap();
        system.ready().await;
        let (release, zombie) = block(&h).await;
        let queued = actix::spawn(async move { h.call(Add(1)).await });
        let report = system.shutdown().await;
        let lost = queued.await.unwrap();
        assert!(lost.is_err(), "nobody waits for a thread that may never come back: {lost:?}");
        let outcomes: Vec<_> = report.components.iter().map(|c| (c.name.as_str(), c.outcome)).collect();
        assert_eq!(
            outcomes,
            [
                ("hung", StopOutcome::Abandoned),
                ("restless", StopOutcome::Forced),
                ("fine", StopOutcome::Stopped)
            ]
        );
        assert!(!report.is_clean());
        assert!(!zombie.is_current());
        assert_eq!(restless.lines().last().unwrap(), "drop restless 1");
        release.send(()).unwrap();
    });
}

/// Nothing is restarted once the shutdown has begun, and what fails then is no failure.
#[test]
fn failure_while_stopping() {
    run(async {
        let (first, last) = (Arc::new(Probe::default()), Arc::new(Probe::default()));
        let rest = Arc::new(Notify::new());
        *last.hold_stop.lock().unwrap() = Some(Arc::clone(&rest));
        let (mut events, outlet) = Events::new();
        let spec = worker("a", &first);
        let a = spec.handle();
        let system =
            Supervisor::builder().subscribe(outlet).child(spec).child(worker("b", &last)).start().unwrap();
        system.ready().await;
        let stopping = actix::spawn({
            let system = system.clone();
            async move { system.shutdown().await }
        });
        while !last.lines().contains(&"stopping b".to_owned()) {
            tokio::task::yield_now().await;
        }
        // b is still stopping, a has not been asked to: its panic comes too late to count.
        a.call(Wrong::Panic).await.unwrap_err();
        events.find("a", |kind| *kind == EventKind::Stopped).await;
        rest.notify_one();
        let report = stopping.await.unwrap();
        assert_eq!(report.reason, ExitReason::Shutdown);
        assert_eq!(first.starts(), 1);
        assert_eq!(system.status()[0].failures, 0);
        assert!(matches!(system.restart("a").await, Err(ControlError::ShuttingDown)));
    });
}

/// A shutdown does not wait for a delay to pass; neither does a restart by the operator.
#[test]
fn commands_during_the_delay() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec.backoff(FOREVER)).await;
        w.call(Wrong::Panic).await.unwrap_err();
        events.find("w", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        assert!(matches!(system.status()[0].state, ComponentState::BackingOff { .. }));
        system.restart("w").await.unwrap();
        events.restarted("w").await;
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);

        w.call(Wrong::Panic).await.unwrap_err();
        events.find("w", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        let queued = actix::spawn({
            let w = w.clone();
            async move { w.call(Add(1)).await }
        });
        let report = system.shutdown().await;
        assert!(report.is_clean());
        assert!(queued.await.unwrap().is_err(), "no caller is left waiting");
        assert_eq!(probe.starts(), 2);
    });
}

/// The same while the thread is gone and its replacement is still to come.
#[test]
fn commands_without_a_thread() {
    run(async {
        let (system, w, _, mut events) = single(|spec| spec.backoff(FOREVER)).await;
        w.tell(Wrong::KillThread).await.unwrap();
        events.find("w", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        let waiting = actix::spawn({
            let w = w.clone();
            async move { w.call(Add(7)).await }
        });
        system.restart("w").await.unwrap();
        events.restarted("w").await;
        assert_eq!(waiting.await.unwrap().unwrap() % 1000, 7);

        w.tell(Wrong::KillThread).await.unwrap();
        events.find("w", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        let waiting = actix::spawn({
            let w = w.clone();
            async move { w.call(Add(8)).await }
        });
        assert_eq!(system.shutdown().await.components[0].outcome, StopOutcome::NotRunning);
        assert_eq!(
            waiting.await.unwrap(),
            Err(CallError::NotRunning { component: "w".into(), message: "Add" })
        );
    });
}

/// A restart by the operator is graceful and costs no budget.
#[test]
fn restart_by_the_operator() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec.intensity(0, Duration::from_secs(600))).await;
        for _ in 0..5 {
            w.call(Add(3)).await.unwrap();
            system.restart("w").await.unwrap();
            events.restarted("w").await;
        }
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        assert_eq!(probe.lines().iter().filter(|l| *l == "stopping w").count(), 5);
        let status = &system.status()[0];
        assert_eq!((status.restarts, status.failures, status.epoch), (5, 0, 6));
        assert_eq!(system.restart("x").await, Err(ControlError::UnknownComponent { name: "x".into() }));
        system.shutdown().await;
    });
}

/// A restart whose hook never ends is forced at the deadline.
#[test]
fn restart_by_force() {
    run(async {
        let (system, w, probe, mut events) =
            single(|spec| spec.stop_deadline(Duration::from_millis(20))).await;
        *probe.hold_stop.lock().unwrap() = Some(Arc::new(Notify::new()));
        system.restart("w").await.unwrap();
        events.restarted("w").await;
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        assert_eq!(system.shutdown().await.components[0].outcome, StopOutcome::Forced);
    });
}

/// Being degraded is seen, and costs nothing.
#[test]
fn degraded() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec.intensity(0, Duration::from_secs(600))).await;
        for _ in 0..100 {
            w.call(Health(Some("no L1"))).await.unwrap();
            events.find("w", |kind| *kind == EventKind::Degraded { reason: "no L1".into() }).await;
            w.call(Health(None)).await.unwrap();
            events.find("w", |kind| *kind == EventKind::Recovered).await;
        }
        assert_eq!(system.status()[0].state, ComponentState::Running);
        w.call(Health(Some("no L1"))).await.unwrap();
        events.find("w", |kind| matches!(kind, EventKind::Degraded { .. })).await;
        assert_eq!(system.status()[0].state, ComponentState::Degraded("no L1".into()));
        assert!(!system.status()[0].state.is_healthy());
        system.restart("w").await.unwrap();
        events.restarted("w").await;
        assert_eq!(system.status()[0].state, ComponentState::Running, "a new instance knows nothing of it");
        assert_eq!((probe.starts(), system.status()[0].failures), (2, 0));
        system.shutdown().await;
    });
}

/// A paused component sees that it is, and still answers; the pause survives a restart.
#[test]
fn pause_and_resume() {
    run(async {
        let (system, w, _, mut events) = single(|spec| spec).await;
        system.pause("w").await.unwrap();
        events.find("w", |kind| *kind == EventKind::Paused).await;
        assert_eq!(system.status()[0].state, ComponentState::Paused);
        w.call(Wrong::Panic).await.unwrap_err();
        events.restarted("w").await;
        let seat = w.call(GetSeat).await.unwrap().0;
        assert!(seat.is_paused());
        assert_eq!(w.call(Ticks).await.unwrap(), 0);
        system.pause("w").await.unwrap();
        system.resume("w").await.unwrap();
        assert_eq!(word(&events.next().await.kind), "resumed", "the second pause was none");
        assert!(!seat.is_paused());
        while w.call(Ticks).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(system.status()[0].state, ComponentState::Running);
        assert!(system.pause("x").await.is_err());
        system.shutdown().await;
    });
}

/// SEQ-INV-11: a mailbox holds what it was given room for, whatever way it is reached.
#[test]
fn bounded_mailbox() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec.mailbox(4)).await;
        let (release, _) = block(&w).await;
        let outlet = w.outlet::<Add>();
        let mut room = 0;
        while outlet.try_tell(Add(room)).is_ok() {
            room += 1;
            assert!(room < 100);
        }
        assert_eq!(room, 4);
        assert!(matches!(w.clone().try_tell(Add(9)), Err(TellError::Full(Add(9)))));
        let limit = Duration::from_millis(5);
        let full = w.call_timeout(Add(9), limit).await;
        assert_eq!(full, Err(CallError::Full { component: "w".into(), message: "Add", after: limit }));
        assert!(!full.unwrap_err().outcome_unknown());

        let waiting: Vec<_> = (10..30)
            .map(|n| {
                let outlet = outlet.clone();
                actix::spawn(async move { outlet.tell(Add(n)).await })
            })
            .collect();
        release.send(()).unwrap();
        for told in waiting {
            told.await.unwrap().unwrap();
        }
        w.call(Add(30)).await.unwrap();
        let mut handled: Vec<u64> =
            probe.lines().iter().filter_map(|l| l.strip_prefix("add ")?.parse().ok()).collect();
        assert_eq!(handled[..4], [0, 1, 2, 3]);
        handled.sort_unstable();
        assert_eq!(handled[4..], (10..=30).collect::<Vec<_>>());
        system.shutdown().await;
    });
}

/// A message whose caller has given up is not handled any more.
#[test]
fn call_with_a_time_limit() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec).await;
        let (release, _) = block(&w).await;
        let limit = Duration::from_millis(5);
        let late = w.call_timeout(Add(1), limit).await;
        assert_eq!(
            late,
            Err(CallError::OutcomeUnknown { component: "w".into(), message: "Add", lost: Lost::Late(limit) })
        );
        release.send(()).unwrap();
        assert_eq!(w.call_timeout(Add(2), Duration::from_secs(30)).await.unwrap() % 1000, 2);
        assert!(!probe.lines().contains(&"add 1".to_owned()));
        system.shutdown().await;
    });
}

/// Another crate's message to the root.
#[derive(Message)]
#[rtype(result = "Option<u64>")]
struct EpochOf(&'static str);

impl Handler<EpochOf> for SystemActor {
    type Result = ResponseFuture<Option<u64>>;

    fn handle(&mut self, EpochOf(name): EpochOf, _: &mut Context<Self>) -> Self::Result {
        let handle = self.handle_of::<Worker>(name);
        Box::pin(async move { handle?.call(GetSeat).await.ok().map(|seat| seat.0.epoch()) })
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct PanicInRoot;

impl Handler<PanicInRoot> for SystemActor {
    type Result = ();

    fn handle(&mut self, _: PanicInRoot, _: &mut Context<Self>) {
        panic!("boom in the root");
    }
}

#[test]
fn extended_root() {
    run(async {
        let (system, ..) = single(|spec| spec).await;
        assert_eq!(system.call(EpochOf("w")).await.unwrap(), Some(1));
        assert_eq!(system.call(EpochOf("x")).await.unwrap(), None);
        system.shutdown().await;
        assert!(system.call(EpochOf("w")).await.is_err());
    });
}

/// A root that panics takes the system with it: nothing runs unsupervised, nobody waits in vain.
#[test]
fn panic_in_the_root() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec).await;
        let hung = worker("hung", &Arc::new(Probe::default()));
        let h = hung.handle();
        let other = Supervisor::builder().child(hung).start().unwrap();
        let (release, zombie) = block(&h).await;
        let queued = actix::spawn(async move { h.call(Add(1)).await });
        tokio::task::yield_now().await;
        other.call(PanicInRoot).await.unwrap_err();
        queued.await.unwrap().unwrap_err();
        assert!(!zombie.is_current());
        release.send(()).unwrap();

        system.call(PanicInRoot).await.unwrap_err();
        let exit = system.wait().await;
        let ExitReason::Escalated { component, reason } = &exit else { panic!("{exit:?}") };
        assert_eq!(component, "system");
        assert!(reason.contains("boom in the root"), "{reason}");
        assert!(w.call(Add(1)).await.is_err());
        assert_eq!(system.shutdown().await.reason, exit);
        while !probe.lines().contains(&"drop w 1".to_owned()) {
            tokio::task::yield_now().await;
        }
    });
}

/// When the host stops actix itself, the handle says so.
#[test]
fn actix_stopped_by_the_host() {
    let (system, w) = run(async {
        let (system, w, ..) = single(|spec| spec).await;
        System::current().stop();
        system.wait().await;
        (system, w)
    });
    run(async move {
        assert_eq!(system.wait().await.exit_code(), 70);
        assert!(w.call(Add(1)).await.is_err());
        assert!(system.shutdown().await.components.is_empty());
    });
}

#[test]
fn mistakes_in_the_wiring() {
    let probe = Arc::new(Probe::default());
    let start = |specs: [ChildSpec<Worker>; 2]| {
        let [a, b] = specs;
        Supervisor::builder().child(a).child(b).start().map(|_| ()).unwrap_err()
    };
    assert!(matches!(start([worker("a", &probe), worker("b", &probe)]), StartError::NoActixSystem));
    run(async {
        let twice = start([worker("a", &probe), worker("a", &probe)]);
        assert!(matches!(twice, StartError::DuplicateName { name } if name == "a"));
        let reserved = start([worker("a", &probe), worker("system", &probe)]);
        assert!(matches!(reserved, StartError::ReservedName { .. }));
        let foreign = start([worker("a", &probe), worker("b", &probe).with_handle(Handle::new("c"))]);
        assert!(matches!(foreign, StartError::ForeignHandle { .. }));
    });
    assert_eq!(probe.builds.load(SeqCst), 0);
}

/// Handles made first let components refer to each other in a circle.
#[test]
fn handles_made_first() {
    run(async {
        let probe = Arc::new(Probe::default());
        let (a, b) = (Handle::<Worker>::new("a"), Handle::<Worker>::new("b"));
        let (to_a, to_b) = (a.outlet::<Add>(), b.outlet::<Add>());
        let system = Supervisor::builder()
            .child(worker("a", &probe).with_handle(a))
            .child(worker("b", &probe).with_handle(b))
            .start()
            .unwrap();
        assert_eq!(to_a.call(Add(1)).await.unwrap() % 1000, 1);
        assert_eq!(to_b.call(Add(2)).await.unwrap() % 1000, 2);
        system.shutdown().await;
        assert!(to_a.tell(Add(1)).await.is_err());
    });
}

/// A subscriber that does not keep up loses events, not the system its pace.
#[test]
fn slow_subscriber() {
    run(async {
        let (system, w, _, _events) = single(|spec| spec.backoff(Backoff::NONE)).await;
        let never = Arc::new(Notify::new());
        let idle = Idle(Arc::clone(&never)).start();
        system.subscribe(Outlet::from_recipient(idle.recipient())).await.unwrap();
        for _ in 0..500 {
            w.call(Wrong::Panic).await.unwrap_err();
        }
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        let report = system.shutdown().await;
        assert!(report.is_clean());
        assert_eq!(system.status()[0].restarts, 500);
    });
}

/// Never gets done with its first event.
struct Idle(Arc<Notify>);

impl Actor for Idle {
    type Context = Context<Self>;
}

impl Handler<LifecycleEvent> for Idle {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: LifecycleEvent, _: &mut Context<Self>) -> Self::Result {
        let never = Arc::clone(&self.0);
        AtomicResponse::new(Box::pin(async move { never.notified().await }.into_actor(self)))
    }
}

/// The status as an operator's tool reads it.
#[test]
fn status_as_json() {
    run(async {
        let (system, w, ..) = single(|spec| spec).await;
        w.call(Wrong::Panic).await.unwrap_err();
        w.call(Health(Some("no L1"))).await.unwrap();
        let status = loop {
            let status = system.status();
            if matches!(status[0].state, ComponentState::Degraded(_)) {
                break status;
            }
            tokio::task::yield_now().await;
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json[0]["name"], "w");
        assert_eq!(json[0]["state"], "degraded");
        assert_eq!(json[0]["detail"], "no L1");
        assert_eq!(json[0]["last_failure"]["reason"], "boom in a handler");
        assert!(json[0]["uptime_ms"].is_u64());
        let back: Vec<ComponentStatus> = serde_json::from_value(json).unwrap();
        assert_eq!(back[0].state, status[0].state);
        let report = system.shutdown().await;
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["reason"]["exit"], "shutdown");
        assert_eq!(json["components"][0]["outcome"], "stopped");
    });
}

/// A component can be tested without a supervisor.
#[test]
fn detached_seat() {
    run(async {
        let probe = Arc::new(Probe::default());
        let seat = Seat::detached("alone", {
            let probe = Arc::clone(&probe);
            move |seat| Worker::new(seat, Arc::clone(&probe))
        });
        let addr = seat.rebuild().start();
        assert_eq!(addr.send(Add(2)).await.unwrap() % 1000, 2);
        assert_eq!(addr.send(GetSeat).await.unwrap().0.epoch(), 1);
        addr.send(Health(Some("nobody listens"))).await.unwrap();
        addr.send(Wrong::Done).await.unwrap();
        assert!(addr.send(Add(1)).await.is_err());
    });
}

/// A restart asked for before a component's turn changes nothing: it is started once.
#[test]
fn restart_before_the_start() {
    run(async {
        let (slow, quick) = (Arc::new(Probe::default()), Arc::new(Probe::default()));
        let gate = Arc::new(Notify::new());
        *slow.hold_start.lock().unwrap() = Some(Arc::clone(&gate));
        let system =
            Supervisor::builder().child(worker("a", &slow)).child(worker("b", &quick)).start().unwrap();
        system.restart("b").await.unwrap();
        assert_eq!(quick.builds.load(SeqCst), 0);
        gate.notify_one();
        system.ready().await;
        assert_eq!(quick.builds.load(SeqCst), 1);
        assert!(system.shutdown().await.is_clean());
    });
}

/// A component that ends by itself while the operator asks for its restart is restarted.
#[test]
fn restart_and_end_at_once() {
    run(async {
        let (system, w, _, mut events) = single(|spec| spec.policy(RestartPolicy::Transient)).await;
        let (release, _) = block(&w).await;
        w.tell(Wrong::Done).await.unwrap();
        system.restart("w").await.unwrap();
        release.send(()).unwrap();
        events.restarted("w").await;
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        system.shutdown().await;
    });
}

/// A component that finds at its start that something is out of reach is started and degraded.
#[test]
fn degraded_from_the_start() {
    run(async {
        let probe = Arc::new(Probe::default());
        *probe.out_of_reach.lock().unwrap() = Some("no L1");
        let (mut events, outlet) = Events::new();
        let spec = worker("w", &probe);
        let w = spec.handle();
        let system = Supervisor::builder().subscribe(outlet).child(spec).start().unwrap();
        system.ready().await;
        assert_eq!(system.status()[0].state, ComponentState::Degraded("no L1".into()));
        w.call(Wrong::Panic).await.unwrap_err();
        events.restarted("w").await;
        events.find("w", |kind| matches!(kind, EventKind::Degraded { .. })).await;
        system.shutdown().await;
    });
}

/// A component that waits for a new thread does not get it once the shutdown has begun.
#[test]
fn no_new_thread_while_stopping() {
    run(async {
        let (first, last) = (Arc::new(Probe::default()), Arc::new(Probe::default()));
        let rest = Arc::new(Notify::new());
        *last.hold_stop.lock().unwrap() = Some(Arc::clone(&rest));
        let (mut events, outlet) = Events::new();
        let delay = Duration::from_millis(300);
        let spec = worker("a", &first).backoff(Backoff { base: delay, max: delay, jitter: 0.0 });
        let a = spec.handle();
        let system =
            Supervisor::builder().subscribe(outlet).child(spec).child(worker("b", &last)).start().unwrap();
        system.ready().await;
        a.tell(Wrong::KillThread).await.unwrap();
        events.find("a", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        let stopping = actix::spawn({
            let system = system.clone();
            async move { system.shutdown().await }
        });
        while !last.lines().contains(&"stopping b".to_owned()) {
            tokio::task::yield_now().await;
        }
        // Not to wait for something, but for nothing to happen.
        tokio::time::sleep(2 * delay).await;
        rest.notify_one();
        stopping.await.unwrap();
        assert_eq!(first.builds.load(SeqCst), 1);
    });
}

/// A shutdown takes over a restart under way: the hook is called once, and nothing starts again.
#[test]
fn shutdown_during_a_restart() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec).await;
        let rest = Arc::new(Notify::new());
        *probe.hold_stop.lock().unwrap() = Some(Arc::clone(&rest));
        system.restart("w").await.unwrap();
        while !probe.lines().contains(&"stopping w".to_owned()) {
            tokio::task::yield_now().await;
        }
        let stopping = actix::spawn({
            let system = system.clone();
            async move { system.shutdown().await }
        });
        // Refused only after the stop was sent on its way.
        while system.restart("w").await.is_ok() {
            tokio::task::yield_now().await;
        }
        rest.notify_one();
        assert!(stopping.await.unwrap().is_clean());
        assert!(w.is_closed());
        assert_eq!(probe.lines(), ["start w", "stopping w", "rested w", "drop w 1"]);
    });
}

/// Keeps the root busy until the sender sends.
#[derive(Message)]
#[rtype(result = "()")]
struct BlockRoot(std::sync::mpsc::Receiver<()>);

impl Handler<BlockRoot> for SystemActor {
    type Result = ();

    fn handle(&mut self, BlockRoot(until): BlockRoot, _: &mut Context<Self>) {
        until.recv().unwrap_or(());
    }
}

/// A restart that the operator asks for before the root has heard that the thread is gone is made at once, and
/// once only.
#[test]
fn restart_and_lost_thread_at_once() {
    run(async {
        let policy = RestartPolicy::Transient;
        let (system, w, probe, mut events) = single(|spec| spec.backoff(FOREVER).policy(policy)).await;
        let (release, until) = std::sync::mpsc::channel();
        system.try_tell(BlockRoot(until)).unwrap();
        w.tell(Wrong::KillThread).await.unwrap();
        while !probe.lines().contains(&"drop w 1".to_owned()) {
            tokio::task::yield_now().await;
        }
        let restart = system.restart("w");
        tokio::pin!(restart);
        assert!(futures::poll!(&mut restart).is_pending(), "in the root's mailbox");
        release.send(()).unwrap();
        restart.await.unwrap();
        events.restarted("w").await;
        // Nothing is left of the command: an end on purpose is the end.
        w.tell(Wrong::Done).await.unwrap();
        events.find("w", |kind| *kind == EventKind::Stopped).await;
        assert!(w.call(Add(1)).await.is_err());
        system.shutdown().await;
        assert_eq!(probe.starts(), 2);
    });
}
