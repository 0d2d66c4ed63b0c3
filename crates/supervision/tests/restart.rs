//! Failures of one component, and what is left of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use common::*;
use ensemble_error::Severity;
use ensemble_supervision::{
    Backoff, CallError, ComponentState, EventKind, ExitReason, RestartPolicy, Supervisor, TellError,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// SEQ-INV-8: after a panic the address is the same, the state is new, and the report tells why and where.
#[test]
fn panic_in_a_handler() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec).await;
        let before = w.call(GetSeat).await.unwrap().0;
        assert_eq!(w.call(Add(3)).await.unwrap() % 1000, 3);

        let poison = w.call(Wrong::Panic).await;
        assert!(matches!(poison, Err(CallError::OutcomeUnknown { .. })), "{poison:?}");
        assert_eq!(w.call(Add(4)).await.unwrap() % 1000, 4, "the old sum is gone");

        let after = w.call(GetSeat).await.unwrap().0;
        assert_eq!((before.epoch(), after.epoch()), (1, 2));
        assert!(!before.is_current() && after.is_current());
        assert_eq!(probe.starts(), 2);

        let failed = events.find("w", |kind| matches!(kind, EventKind::Failed { .. })).await;
        let EventKind::Failed { failure } = failed else { unreachable!() };
        assert_eq!(failure.reason, "boom in a handler");
        assert_eq!(failure.message.as_deref(), Some("Wrong"));
        assert!(failure.location.as_deref().unwrap().contains("common/mod.rs:"), "{failure:?}");
        events.restarted("w").await;

        let status = &system.status()[0];
        assert_eq!(status.state, ComponentState::Running);
        assert_eq!((status.restarts, status.failures, status.epoch, status.messages), (1, 1, 2, 3));
        assert_eq!(status.last_failure.as_ref(), Some(&failure));
        assert!(system.shutdown().await.is_clean());
    });
}

/// SEQ-INV-8: wherever the panic happens, the next message is answered by a new instance.
#[test]
fn panic_in_a_timer_a_stream_and_a_future() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec).await;
        let cases = [
            (Wrong::PanicInTimer, "boom in a timer"),
            (Wrong::PanicInStream, "boom in a stream"),
            (Wrong::PanicInSpawned, "boom in a future"),
        ];
        for (round, (wrong, reason)) in cases.into_iter().enumerate() {
            w.tell(wrong).await.unwrap();
            let failed = events.find("w", |kind| matches!(kind, EventKind::Failed { .. })).await;
            let EventKind::Failed { failure } = failed else { unreachable!() };
            assert_eq!(failure.reason, reason);
            events.restarted("w").await;
            assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
            assert_eq!(probe.starts(), round as u64 + 2);
        }
        let lost = w.call(PanicInAnswer).await;
        assert!(matches!(lost, Err(CallError::OutcomeUnknown { .. })), "{lost:?}");
        assert!(lost.unwrap_err().outcome_unknown());
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        system.shutdown().await;
    });
}

/// A start that fails is retried with growing delays until it succeeds; the mailbox waits for it.
#[test]
fn panic_in_started() {
    run(async {
        let probe = Arc::new(Probe::default());
        probe.start_panics.store(4, SeqCst);
        let (mut events, outlet) = Events::new();
        let spec = worker("w", &probe).backoff(Backoff {
            base: Duration::from_millis(1),
            max: Duration::from_millis(4),
            jitter: 0.0,
        });
        let w = spec.handle();
        let system = Supervisor::builder().subscribe(outlet).child(spec).start().unwrap();
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        assert_eq!(probe.starts(), 5);
        let mut delays = Vec::new();
        loop {
            match events.next().await.kind {
                EventKind::BackingOff { delay } => delays.push(delay.as_millis()),
                EventKind::Restarted { .. } => break,
                EventKind::Failed { failure } => assert_eq!(failure.reason, "boom in started"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(delays, [1, 2, 4, 4]);
        system.shutdown().await;
    });
}

/// A factory that panics, at the first start or at a restart, is a failure like any other.
#[test]
fn panic_in_the_factory() {
    run(async {
        let probe = Arc::new(Probe::default());
        probe.build_panics.store(2, SeqCst);
        let (mut events, outlet) = Events::new();
        let spec = worker("w", &probe);
        let w = spec.handle();
        let system = Supervisor::builder().subscribe(outlet).child(spec).start().unwrap();
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        events.restarted("w").await;
        assert_eq!(probe.builds.load(SeqCst), 3);

        probe.build_panics.store(3, SeqCst);
        w.tell(Wrong::Panic).await.unwrap();
        assert_eq!(w.call(Add(2)).await.unwrap() % 1000, 2);
        events.restarted("w").await;
        // The poison and the two attempts after a delay; the attempt before the first delay is not counted.
        assert_eq!(system.status()[0].failures, 2 + 3);
        system.shutdown().await;
    });
}

/// SEQ-INV-8: what waits behind a poison message is handled exactly once, in order.
#[test]
fn messages_behind_a_poison_message() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec).await;
        let (release, _) = block(&w).await;
        w.try_tell(Wrong::Panic).unwrap();
        for n in 0..100 {
            w.try_tell(Add(n)).unwrap();
        }
        release.send(()).unwrap();
        w.call(Add(100)).await.unwrap();
        let handled: Vec<_> = probe.lines().into_iter().filter(|line| line.starts_with("add")).collect();
        let expected: Vec<_> = (0..=100).map(|n| format!("add {n}")).collect();
        assert_eq!(handled, expected);
        assert_eq!(probe.starts(), 2);
        system.shutdown().await;
    });
}

/// A hook and a destructor that panic too would abort the process under plain actix.
#[test]
fn panic_upon_panic() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec).await;
        probe.nasty.store(true, SeqCst);
        w.tell(Wrong::Panic).await.unwrap();
        events.find("w", |kind| matches!(kind, EventKind::Failed { .. })).await;
        w.tell(Wrong::Done).await.unwrap();
        events.find("w", |kind| matches!(kind, EventKind::Failed { .. })).await;
        probe.nasty.store(false, SeqCst);
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        system.shutdown().await;
    });
}

/// A cancellation that a panic left undone must not hit a timer of the next instance.
#[test]
fn cancellation_before_a_panic() {
    run(async {
        let (system, w, _, _events) = single(|spec| spec).await;
        for _ in 0..3 {
            w.call(Wrong::CancelAndPanic).await.unwrap_err();
            while w.call(Ticks).await.unwrap() == 0 {
                tokio::task::yield_now().await;
            }
        }
        system.shutdown().await;
    });
}

/// SEQ-INV-8: the handle survives the loss of the component's thread.
#[test]
fn thread_lost() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec).await;
        for round in 1..=3 {
            let old = w.call(GetSeat).await.unwrap().0;
            w.tell(Wrong::KillThread).await.unwrap();
            events.find("w", |kind| *kind == EventKind::ArbiterReplaced).await;
            events.restarted("w").await;
            assert_eq!(w.call(Add(round)).await.unwrap() % 1000, round);
            assert!(!old.is_current());
            assert_eq!(probe.starts(), round + 1);
        }
        let status = &system.status()[0];
        assert_eq!(status.last_failure.as_ref().unwrap().reason, "its thread has ended");
        assert_eq!(status.restarts, 3);
        assert!(system.shutdown().await.is_clean());
    });
}

/// Losing the thread again and again counts against the intensity as well.
#[test]
fn thread_lost_too_often() {
    run(async {
        let (system, w, _, _events) = single(|spec| spec.intensity(2, Duration::from_secs(600))).await;
        while w.tell(Wrong::KillThread).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let exit = system.wait().await;
        let reason = "its thread has ended".to_owned();
        assert_eq!(exit, ExitReason::Escalated { component: "w".into(), reason });
        assert_eq!(system.status()[0].failures, 3);
    });
}

/// A thread that hangs is replaced; the instance on it learns that it is no longer the component.
#[test]
fn thread_hung() {
    run(async {
        let (system, w, probe, mut events) =
            single(|spec| spec.heartbeat(Duration::from_millis(5), Duration::from_secs(1))).await;
        let (release, zombie) = block(&w).await;
        assert!(zombie.is_current());
        let queued = actix::spawn({
            let w = w.clone();
            async move { w.call(Add(1)).await }
        });
        let failed = events.find("w", |kind| matches!(kind, EventKind::Failed { .. })).await;
        let EventKind::Failed { failure } = failed else { unreachable!() };
        assert!(failure.reason.starts_with("hung"), "{failure:?}");
        assert_eq!(failure.message.as_deref(), Some("Block"));
        assert!(!zombie.is_current());
        let lost = queued.await.unwrap();
        assert!(matches!(lost, Err(CallError::OutcomeUnknown { .. })), "{lost:?}");
        events.find("w", |kind| *kind == EventKind::ArbiterReplaced).await;
        events.restarted("w").await;
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        zombie.degraded("a voice from the grave");
        release.send(()).unwrap();
        while !probe.lines().contains(&"drop w 1".to_owned()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 2, "the end of the hung one changes nothing");
        assert_eq!(system.status()[0].state, ComponentState::Running);
        system.shutdown().await;
    });
}

/// A permanent component that fails too often ends the system with code 70, the others in order.
#[test]
fn escalation() {
    run(async {
        let probe = Arc::new(Probe::default());
        let (mut events, outlet) = Events::new();
        let spec = worker("b", &probe).intensity(3, Duration::from_secs(600));
        let b = spec.handle();
        let system = Supervisor::builder()
            .subscribe(outlet)
            .child(worker("a", &probe))
            .child(spec)
            .child(worker("c", &probe))
            .start()
            .unwrap();
        system.ready().await;
        for _ in 0..4 {
            b.call(Wrong::Panic).await.unwrap_err();
        }
        let exit = system.wait().await;
        let reason = "boom in a handler".to_owned();
        assert_eq!(exit, ExitReason::Escalated { component: "b".into(), reason: reason.clone() });
        assert_eq!(exit.exit_code(), 70);
        assert_eq!(
            b.call(Add(1)).await,
            Err(CallError::NotRunning { component: "b".into(), message: "Add" })
        );

        let report = system.shutdown().await;
        assert_eq!(report.reason, exit);
        let order: Vec<_> = report.components.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(order, ["c", "b", "a"]);
        let states: Vec<_> = system.status().into_iter().map(|s| s.state).collect();
        let failed = ComponentState::Failed(reason);
        assert_eq!(states, [ComponentState::Stopped, failed, ComponentState::Stopped]);
        let b_events: Vec<_> =
            events.rest().await.into_iter().filter(|e| e.component == "b").map(|e| word(&e.kind)).collect();
        let cycle = ["failed", "backing-off", "restarted"];
        let expected = [&["started"][..], &cycle, &cycle, &cycle, &["failed", "escalated"]].concat();
        assert_eq!(b_events, expected);
    });
}

/// A fatal error is not retried.
#[test]
fn fatal_error() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec).await;
        w.tell(Wrong::Fail(Severity::Fatal)).await.unwrap();
        assert_eq!(system.wait().await.exit_code(), 70);
        assert_eq!(probe.starts(), 1);
    });
}

/// Errors that are not fatal are restarts like any other.
#[test]
fn failures_that_are_not_fatal() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec.policy(RestartPolicy::Transient)).await;
        for severity in [Severity::Transient, Severity::Recoverable, Severity::NeedsReset] {
            w.tell(Wrong::Fail(severity)).await.unwrap();
            events.restarted("w").await;
        }
        assert_eq!(probe.starts(), 4);
        assert_eq!(system.status()[0].last_failure.as_ref().unwrap().reason, "failed as told");
        system.shutdown().await;
    });
}

/// The three policies, with a normal end and with a failure.
#[test]
fn policies() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec).await;
        w.tell(Wrong::Done).await.unwrap();
        events.restarted("w").await;
        w.tell(Wrong::StopWithoutReason).await.unwrap();
        events.restarted("w").await;
        assert_eq!(probe.starts(), 3);
        system.shutdown().await;

        for policy in [RestartPolicy::Transient, RestartPolicy::Temporary] {
            let (system, w, probe, mut events) = single(|spec| spec.policy(policy)).await;
            w.tell(Wrong::Done).await.unwrap();
            events.find("w", |kind| *kind == EventKind::Stopped).await;
            assert_eq!(system.status()[0].state, ComponentState::Stopped);
            assert_eq!(
                w.call(Add(1)).await,
                Err(CallError::NotRunning { component: "w".into(), message: "Add" })
            );
            assert!(matches!(w.try_tell(Add(1)), Err(TellError::NotRunning(Add(1)))));

            // The same handle reaches it when the operator starts it again.
            system.restart("w").await.unwrap();
            events.restarted("w").await;
            assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
            assert_eq!(probe.starts(), 2);
            assert_eq!(system.shutdown().await.reason, ExitReason::Shutdown);
        }

        for wrong in [Wrong::Panic, Wrong::Fail(Severity::Fatal)] {
            let (system, w, probe, mut events) = single(|spec| spec.policy(RestartPolicy::Temporary)).await;
            w.tell(wrong).await.unwrap();
            events.find("w", |kind| matches!(kind, EventKind::Failed { .. })).await;
            assert!(w.call(Add(1)).await.is_err());
            assert!(matches!(system.status()[0].state, ComponentState::Failed(_)));
            assert_eq!(probe.starts(), 1);
            assert_eq!(system.shutdown().await.reason, ExitReason::Shutdown);
        }
    });
}

/// SEQ-INV-8: under random panics from many senders every call ends, a message takes effect at most once,
/// and a message with an answer took effect.
#[test]
fn hammer() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    run(async {
        let (system, w, probe, _events) = single(|spec| spec.backoff(Backoff::NONE).mailbox(8)).await;
        let senders = (0..8_u64).map(|sender| {
            let w = w.clone();
            actix::spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed ^ sender);
                let (mut answered, mut unknown) = (Vec::new(), 0);
                for n in 0..200 {
                    if rng.gen_ratio(1, 20) {
                        w.tell(Wrong::Panic).await.unwrap();
                    }
                    let id = sender * 1000 + n;
                    match w.call(Add(id)).await {
                        Ok(_) => answered.push(id),
                        Err(CallError::OutcomeUnknown { .. }) => unknown += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                (answered, unknown)
            })
        });
        let results = futures::future::join_all(senders).await;
        let handled: Vec<String> = probe.lines().into_iter().filter(|l| l.starts_with("add")).collect();
        let once: HashSet<_> = handled.iter().cloned().collect();
        assert_eq!(once.len(), handled.len(), "a message was handled twice");
        let mut sent = 0;
        for result in results {
            let (answered, unknown) = result.unwrap();
            sent += answered.len() + unknown;
            for id in answered {
                assert!(once.contains(&format!("add {id}")), "{id} was answered but not handled");
            }
        }
        assert_eq!(sent, 8 * 200);
        assert!(probe.starts() > 10, "{} starts", probe.starts());
        assert!(system.shutdown().await.is_clean());
    });
}

/// A component whose thread ends while it waits for its restart is not started by that end.
#[test]
fn thread_lost_during_the_delay() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec.backoff(FOREVER)).await;
        let arbiter = w.call(WhichArbiter).await.unwrap().0;
        w.call(Wrong::Panic).await.unwrap_err();
        events.find("w", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        arbiter.stop();
        let failed = events.find("w", |kind| matches!(kind, EventKind::Failed { .. })).await;
        let EventKind::Failed { failure } = failed else { unreachable!() };
        assert_eq!(failure.reason, "its thread has ended");
        assert_eq!(probe.starts(), 1);
        assert!(probe.lines().contains(&"drop w 2".to_owned()), "{:?}", probe.lines());
        system.restart("w").await.unwrap();
        events.restarted("w").await;
        assert_eq!(w.call(Add(1)).await.unwrap() % 1000, 1);
        system.shutdown().await;
    });
}

/// Failures without any delay leave the thread and the root their other work: they can be stopped at once.
#[test]
fn a_hot_loop_of_failures_can_be_stopped() {
    run(async {
        let probe = Arc::new(Probe::default());
        probe.start_panics.store(u64::MAX, SeqCst);
        let pulse = Duration::from_secs(1);
        let spec = worker("w", &probe).backoff(Backoff::NONE).heartbeat(pulse, 10 * pulse);
        let other = worker("other", &Arc::new(Probe::default()));
        let (w, o) = (spec.handle(), other.handle());
        let system = Supervisor::builder().child(spec).child(other).start().unwrap();
        while system.status()[0].failures < 300 {
            o.call(Add(1)).await.unwrap();
        }
        let status = &system.status()[0];
        assert!(probe.starts() - status.failures < 1000, "the root hears of the failures as they happen");
        let report = system.shutdown().await;
        assert!(report.is_clean(), "{report:?}");
        assert!(w.call(Add(1)).await.is_err());
    });
}

/// While the start of an instance takes its time the status says so, not that it still waits for it.
#[test]
fn the_status_during_a_slow_restart() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec).await;
        let gate = Arc::new(tokio::sync::Notify::new());
        *probe.hold_start.lock().unwrap() = Some(Arc::clone(&gate));
        w.call(Wrong::Panic).await.unwrap_err();
        events.find("w", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        while system.status()[0].state != ComponentState::Starting {
            tokio::task::yield_now().await;
        }
        assert_eq!(system.status()[0].uptime, Duration::ZERO);
        gate.notify_one();
        events.restarted("w").await;
        assert_eq!(system.status()[0].state, ComponentState::Running);
        system.shutdown().await;
    });
}
