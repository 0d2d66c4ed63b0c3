//! What becomes of a message in every state of a component, for every way to send it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use actix::prelude::*;
use common::*;
use ensemble_supervision::{
    Backoff, CallError, ChildSpec, EventKind, Handle, Lost, Outlet, Supervisor, TellError,
};

const SOON: Duration = Duration::from_millis(5);

fn not_running() -> CallError {
    CallError::NotRunning { component: "w".into(), message: "Add" }
}

fn restarting() -> CallError {
    CallError::Restarting { component: "w".into(), message: "Add", after: SOON }
}

fn full() -> CallError {
    CallError::Full { component: "w".into(), message: "Add", after: SOON }
}

fn late() -> CallError {
    CallError::OutcomeUnknown { component: "w".into(), message: "Add", lost: Lost::Late(SOON) }
}

fn ended() -> CallError {
    CallError::OutcomeUnknown { component: "w".into(), message: "Add", lost: Lost::Ended }
}

/// Every way to send finds the component closed.
async fn refused(w: &Handle<Worker>) {
    assert!(matches!(w.try_tell(Add(1)), Err(TellError::NotRunning(Add(1)))));
    assert_eq!(w.tell(Add(1)).await, Err(not_running()));
    assert_eq!(w.call(Add(1)).await, Err(not_running()));
    assert_eq!(w.call_timeout(Add(1), SOON).await, Err(not_running()));
}

/// How many messages there is room for, and the error when there is none.
fn fill(w: &Handle<Worker>) -> (u64, TellError<Add>) {
    let mut room = 0;
    loop {
        match w.try_tell(Add(room)) {
            Ok(()) => room += 1,
            Err(e) => break (room, e),
        }
    }
}

fn handled(probe: &Probe) -> Vec<u64> {
    probe.lines().iter().filter_map(|l| l.strip_prefix("add ")?.parse().ok()).collect()
}

/// Senders that wait, by telling and by calling.
#[expect(clippy::type_complexity)]
fn waiting(
    w: &Handle<Worker>,
) -> (tokio::task::JoinHandle<Result<(), CallError>>, tokio::task::JoinHandle<Result<u64, CallError>>) {
    let (teller, caller) = (w.clone(), w.clone());
    (
        actix::spawn(async move { teller.tell(Add(100)).await }),
        actix::spawn(async move { caller.call(Add(101)).await }),
    )
}

/// SEQ-INV-11: up and full.
#[test]
fn while_it_is_busy() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec.mailbox(3)).await;
        let (release, _) = block(&w).await;
        assert_eq!(w.call_timeout(Add(50), SOON).await, Err(late()), "there is room for this one");
        let (room, error) = fill(&w);
        // The one given up has its place until it is skipped.
        assert_eq!(room, 2);
        assert!(matches!(error, TellError::Full(Add(2))), "{error:?}");
        assert_eq!(w.call_timeout(Add(51), SOON).await, Err(full()));
        let (told, called) = waiting(&w);
        release.send(()).unwrap();
        told.await.unwrap().unwrap();
        called.await.unwrap().unwrap();
        assert_eq!(handled(&probe)[..2], [0, 1]);
        assert!(!handled(&probe).contains(&50) && !handled(&probe).contains(&51));
        system.shutdown().await;
    });
}

/// SEQ-INV-8: before the start and during the delay before a restart messages are taken up to the capacity,
/// then refused; what was taken is handled in order once it is up.
#[test]
fn while_it_is_down() {
    run(async {
        let probe = Arc::new(Probe::default());
        let early = Handle::<Worker>::new("w");
        assert_eq!(early.call_timeout(Add(50), SOON).await, Err(late()), "there is room before the start");
        drop(early);

        let (system, w, probe, mut events) = {
            drop(probe);
            single(|spec| spec.mailbox(3).backoff(FOREVER)).await
        };
        w.call(Wrong::Panic).await.unwrap_err();
        events.find("w", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        let (room, error) = fill(&w);
        assert_eq!(room, 3);
        assert!(matches!(error, TellError::Restarting(Add(3))), "{error:?}");
        let refused = w.call_timeout(Add(51), SOON).await;
        assert_eq!(refused, Err(restarting()));
        let refused = refused.unwrap_err();
        assert!(!refused.outcome_unknown());
        assert_eq!((refused.component(), refused.message()), ("w", "Add"));
        let (told, called) = waiting(&w);
        tokio::task::yield_now().await;
        assert!(!told.is_finished() && !called.is_finished());
        system.restart("w").await.unwrap();
        told.await.unwrap().unwrap();
        called.await.unwrap().unwrap();
        assert_eq!(handled(&probe)[..3], [0, 1, 2]);
        assert!(!handled(&probe).contains(&51));
        system.shutdown().await;
    });
}

/// While its start waits for something it is not up.
#[test]
fn while_it_starts() {
    run(async {
        let probe = Arc::new(Probe::default());
        let gate = Arc::new(tokio::sync::Notify::new());
        *probe.hold_start.lock().unwrap() = Some(Arc::clone(&gate));
        let spec = worker("w", &probe).mailbox(2);
        let w = spec.handle();
        let system = Supervisor::builder().child(spec).start().unwrap();
        while probe.starts() == 0 {
            tokio::task::yield_now().await;
        }
        let (room, error) = fill(&w);
        assert_eq!(room, 2);
        assert!(matches!(error, TellError::Restarting(Add(2))), "{error:?}");
        assert_eq!(w.call_timeout(Add(9), SOON).await, Err(restarting()));
        gate.notify_one();
        w.call(Add(3)).await.unwrap();
        assert_eq!(handled(&probe), [0, 1, 3]);
        system.shutdown().await;
    });
}

/// Taken before an ordered stop: handled. After it has begun: refused.
#[test]
fn during_and_after_a_shutdown() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec.mailbox(2)).await;
        let (release, _) = block(&w).await;
        assert_eq!(fill(&w).0, 2);
        let (told, called) = waiting(&w);
        tokio::task::yield_now().await;
        let stopping = actix::spawn({
            let system = system.clone();
            async move { system.shutdown().await }
        });
        // Those that wait for room learn that there will be none.
        assert_eq!(told.await.unwrap(), Err(not_running()));
        assert_eq!(called.await.unwrap(), Err(not_running()));
        refused(&w).await;
        release.send(()).unwrap();
        assert!(stopping.await.unwrap().is_clean());
        assert_eq!(handled(&probe), [0, 1]);
        refused(&w).await;
    });
}

/// An escalation ends every call, also in the components that had no part in it.
#[test]
fn after_an_escalation() {
    run(async {
        let (probe, other) = (Arc::new(Probe::default()), Arc::new(Probe::default()));
        let (spec, bystander) = (worker("w", &probe).intensity(0, SOON), worker("v", &other));
        let (w, v) = (spec.handle(), bystander.handle());
        let system = Supervisor::builder().child(spec).child(bystander).start().unwrap();
        system.ready().await;
        let (release, _) = block(&w).await;
        w.try_tell(Wrong::Panic).unwrap();
        w.try_tell(Add(1)).unwrap();
        let queued = actix::spawn({
            let w = w.clone();
            async move { w.call(Add(2)).await }
        });
        while w.try_tell(Add(3)).is_ok() && !queued.is_finished() {
            tokio::task::yield_now().await;
            if handled(&probe).is_empty() {
                break;
            }
        }
        release.send(()).unwrap();
        assert_eq!(system.wait().await.exit_code(), 70);
        let lost = queued.await.unwrap().unwrap_err();
        assert!(lost == ended() || lost == not_running(), "{lost}");
        refused(&w).await;
        assert!(handled(&probe).is_empty(), "nothing is handled after the poison");
        assert!(matches!(v.try_tell(Add(1)), Err(TellError::NotRunning(_))));
    });
}

/// A component that has ended by itself, or was given up, refuses; its callers in the queue are told.
#[test]
fn after_the_end() {
    run(async {
        for wrong in [Wrong::Done, Wrong::Panic] {
            let policy = ensemble_supervision::RestartPolicy::Temporary;
            let (_system, w, probe, mut events) = single(|spec| spec.policy(policy)).await;
            let (release, _) = block(&w).await;
            w.try_tell(wrong).unwrap();
            let (told, called) = waiting(&w);
            tokio::task::yield_now().await;
            release.send(()).unwrap();
            told.await.unwrap().unwrap();
            assert_eq!(called.await.unwrap().unwrap_err().component(), "w");
            events.find("w", |kind| matches!(kind, EventKind::Stopped | EventKind::Failed { .. })).await;
            while !w.is_closed() {
                tokio::task::yield_now().await;
            }
            refused(&w).await;
            assert!(handled(&probe).is_empty(), "told, not promised");
        }
    });
}

/// With the thread goes the mailbox: who waits for an answer is told, who waits for room goes on waiting, and
/// until there is a new mailbox there is no room at all.
#[test]
fn while_the_thread_is_replaced() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec.mailbox(2).backoff(FOREVER)).await;
        let (release, _) = block(&w).await;
        w.try_tell(Wrong::KillThread).unwrap();
        let queued = actix::spawn({
            let w = w.clone();
            async move { w.call(Add(1)).await }
        });
        tokio::task::yield_now().await;
        let (told, called) = waiting(&w);
        tokio::task::yield_now().await;
        release.send(()).unwrap();
        events.find("w", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        // Whether the thread still got to them is its business; nobody waits in vain.
        let lost = queued.await.unwrap();
        assert!(lost.is_ok() || lost == Err(ended()), "{lost:?}");

        assert!(matches!(w.try_tell(Add(3)), Err(TellError::Restarting(Add(3)))));
        assert_eq!(w.call_timeout(Add(4), SOON).await, Err(restarting()));
        let (later_told, later_called) = waiting(&w);
        system.restart("w").await.unwrap();
        later_told.await.unwrap().unwrap();
        later_called.await.unwrap().unwrap();
        told.await.unwrap().unwrap();
        let first = called.await.unwrap();
        assert!(first.is_ok() || first == Err(ended()), "{first:?}");
        assert!(!handled(&probe).contains(&4));
        system.shutdown().await;
    });
}

/// SEQ-INV-8: the mailbox outlives as many restarts as there are; nothing in it is lost or doubled.
#[test]
fn over_many_restarts() {
    run(async {
        let (system, w, probe, _events) = single(|spec| spec.backoff(Backoff::NONE).mailbox(64)).await;
        let (release, _) = block(&w).await;
        for n in 0..30 {
            w.try_tell(Add(n)).unwrap();
            w.try_tell(Wrong::Panic).unwrap();
        }
        release.send(()).unwrap();
        w.call(Add(30)).await.unwrap();
        assert_eq!(handled(&probe), (0..=30).collect::<Vec<_>>());
        assert_eq!(probe.starts(), 31);
        system.shutdown().await;
    });
}

/// A factory that fails for a while does not lose what waits for the first start.
#[test]
fn before_the_first_instance() {
    run(async {
        let probe = Arc::new(Probe::default());
        probe.build_panics.store(3, SeqCst);
        let spec: ChildSpec<Worker> = worker("w", &probe);
        let w = spec.handle();
        w.try_tell(Add(1)).unwrap();
        let system = Supervisor::builder().child(spec).start().unwrap();
        w.call(Add(2)).await.unwrap();
        assert_eq!(handled(&probe), [1, 2]);
        system.shutdown().await;
    });
}

struct Plain;

impl Actor for Plain {
    type Context = Context<Self>;
}

impl Handler<Add> for Plain {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Self::Result {
        match n {
            0 => panic!("boom without supervision"),
            1 => return Box::pin(std::future::pending()),
            _ => {}
        }
        Box::pin(async move { n })
    }
}

/// An outlet to a plain actix actor has the same errors.
#[test]
fn through_an_outlet_to_actix() {
    run(async {
        let outlet = Outlet::<Add>::from_recipient(Plain.start().recipient());
        assert_eq!(outlet.call(Add(7)).await, Ok(7));
        let late = outlet.call_timeout(Add(1), SOON).await.unwrap_err();
        assert_eq!(
            late,
            CallError::OutcomeUnknown {
                component: "recipient".into(),
                message: "Add",
                lost: Lost::Late(SOON)
            }
        );
        let lost = outlet.call(Add(0)).await.unwrap_err();
        assert!(matches!(lost, CallError::OutcomeUnknown { lost: Lost::Ended, .. }), "{lost}");
        let refused = outlet.tell(Add(7)).await.unwrap_err();
        assert!(matches!(refused, CallError::NotRunning { .. }), "{refused}");
        assert!(matches!(outlet.try_tell(Add(7)), Err(TellError::NotRunning(Add(7)))));
    });
}
