//! Instances that are not the component any more, and what they can no longer do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use ensemble_supervision::{
    CallError, ComponentState, EventKind, Lost, RestartPolicy, Seat, Supervisor, SystemHandle,
};
use tokio::sync::Notify;

const PULSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_millis(500);

/// The last word of an instance whose thread hung.
async fn buried(probe: &Probe) {
    while !probe.lines().contains(&"drop w 1".to_owned()) {
        tokio::task::yield_now().await;
    }
}

async fn untouched(system: &SystemHandle, seat: &Seat<Worker>, failures: u64) {
    // The root has handled all reports that were sent before this.
    system.pause("w").await.unwrap();
    system.resume("w").await.unwrap();
    let status = &system.status()[0];
    assert_eq!(status.state, ComponentState::Running);
    assert_eq!((status.failures, status.epoch), (failures, seat.epoch()));
    assert!(seat.is_current(), "the living instance is the component");
}

/// SEQ-INV-8: a hang is noticed while the others go on; the thread is replaced, and whatever the old instance
/// does when it wakes, ending in every way there is, does not touch the new one.
#[test]
fn a_zombie_that_wakes_up_changes_nothing() {
    run(async {
        for then in [Then::Act, Then::Degrade, Then::Fail, Then::Done, Then::Panic] {
            let probe = Arc::new(Probe::default());
            let (mut events, outlet) = Events::new();
            // One failure is allowed, and the hang is it.
            let spec = worker("w", &probe).heartbeat(PULSE, PATIENCE).intensity(1, Duration::from_secs(600));
            let other = worker("other", &Arc::new(Probe::default()));
            let (w, o) = (spec.handle(), other.handle());
            let system = Supervisor::builder().subscribe(outlet).child(spec).child(other).start().unwrap();
            system.ready().await;

            let (release, zombie) = block_then(&w, then).await;
            assert_eq!(o.call(Add(1)).await.unwrap() % 1000, 1, "the other one goes on");
            let failed = events.find("w", |kind| matches!(kind, EventKind::Failed { .. })).await;
            let EventKind::Failed { failure } = failed else { unreachable!() };
            assert!(failure.reason.starts_with("hung"), "{failure:?}");
            assert!(!zombie.is_current());
            assert_eq!(o.call(Add(2)).await.unwrap() % 1000, 3);
            events.restarted("w").await;
            let living = w.call(GetSeat).await.unwrap().0;
            assert_eq!((zombie.epoch(), living.epoch()), (1, 2));

            release.send(()).unwrap();
            buried(&probe).await;
            untouched(&system, &living, 1).await;
            let effects: Vec<_> = probe.lines().into_iter().filter(|l| l.starts_with("effect")).collect();
            let expected: &[&str] = if matches!(then, Then::Act) { &["effect refused"] } else { &[] };
            assert_eq!(effects, expected, "{then:?}");
            assert_eq!(w.call(Add(3)).await.unwrap() % 1000, 3);
            assert!(system.shutdown().await.is_clean());
        }
    });
}

/// The messages left to a hung thread are not handled when it wakes: their callers were told, and the tellers
/// had no promise.
#[test]
fn a_zombie_handles_nothing_more() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec.heartbeat(PULSE, PATIENCE)).await;
        let (release, _) = block(&w).await;
        w.try_tell(Add(1)).unwrap();
        let queued = actix::spawn({
            let w = w.clone();
            async move { w.call(Add(2)).await }
        });
        events.restarted("w").await;
        let lost = queued.await.unwrap().unwrap_err();
        assert_eq!(
            lost,
            CallError::OutcomeUnknown { component: "w".into(), message: "Add", lost: Lost::Ended }
        );
        release.send(()).unwrap();
        buried(&probe).await;
        assert!(!probe.lines().iter().any(|l| l.starts_with("add")), "{:?}", probe.lines());
        assert_eq!(w.call(Add(3)).await.unwrap() % 1000, 3);
        system.shutdown().await;
    });
}

/// A restart that was under way when the thread hung is finished by nobody: the new instance stays.
#[test]
fn a_zombie_in_the_middle_of_a_restart() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec.heartbeat(PULSE, PATIENCE)).await;
        let rest = Arc::new(Notify::new());
        *probe.hold_stop.lock().unwrap() = Some(Arc::clone(&rest));
        system.restart("w").await.unwrap();
        while !probe.lines().contains(&"stopping w".to_owned()) {
            tokio::task::yield_now().await;
        }
        let (release, _) = block(&w).await;
        events.restarted("w").await;
        let living = w.call(GetSeat).await.unwrap().0;
        // Its hook is done by the time it wakes, so that it goes on to leave.
        rest.notify_one();
        release.send(()).unwrap();
        buried(&probe).await;
        untouched(&system, &living, 1).await;
        *probe.hold_stop.lock().unwrap() = None;
        assert!(system.shutdown().await.is_clean());
    });
}

/// The operator can restart what hangs, heartbeat or not, and that is no failure.
#[test]
fn the_operator_restarts_a_hung_component() {
    run(async {
        let (system, w, probe, mut events) =
            single(|spec| spec.stop_deadline(PULSE).intensity(0, Duration::from_secs(600))).await;
        let (release, zombie) = block_then(&w, Then::Panic).await;
        system.restart("w").await.unwrap();
        events.find("w", |kind| *kind == EventKind::ArbiterReplaced).await;
        events.restarted("w").await;
        assert!(!zombie.is_current());
        let living = w.call(GetSeat).await.unwrap().0;
        release.send(()).unwrap();
        buried(&probe).await;
        untouched(&system, &living, 0).await;
        system.shutdown().await;
    });
}

/// A task that outlives its instance learns that, also when no other instance follows.
#[test]
fn what_outlives_the_component_is_not_current() {
    run(async {
        for wrong in [Wrong::Done, Wrong::Panic, Wrong::KillThread] {
            let (system, w, _, mut events) = single(|spec| spec.policy(RestartPolicy::Temporary)).await;
            let seat = w.call(GetSeat).await.unwrap().0;
            assert!(seat.is_current());
            w.tell(wrong).await.unwrap();
            events.find("w", |kind| matches!(kind, EventKind::Stopped | EventKind::Failed { .. })).await;
            while seat.is_current() {
                tokio::task::yield_now().await;
            }
            system.shutdown().await;
        }
        let (system, w, ..) = single(|spec| spec).await;
        let seat = w.call(GetSeat).await.unwrap().0;
        system.shutdown().await;
        assert!(!seat.is_current());
    });
}
