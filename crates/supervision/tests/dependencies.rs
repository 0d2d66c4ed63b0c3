//! Restarts that follow from the restart of another component.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use ensemble_supervision::{
    ChildSpec, ComponentState, EventKind, Handle, RestartPolicy, StartError, Supervisor, SystemHandle,
};
use tokio::sync::Notify;

/// No restart of its own is allowed.
fn strict(name: &str, probe: &Arc<Probe>) -> ChildSpec<Worker> {
    worker(name, probe).intensity(0, Duration::from_secs(600))
}

struct Family {
    system: SystemHandle,
    probe: Arc<Probe>,
    events: Events,
    handles: Vec<Handle<Worker>>,
}

/// `a`; `x` on its own; `b` on `a`; `c` on `b` and `a`.
async fn family() -> Family {
    let probe = Arc::new(Probe::default());
    let (events, outlet) = Events::new();
    let a = worker("a", &probe);
    let b = strict("b", &probe).depends_on("a");
    let c = strict("c", &probe).depends_on(&b.handle()).depends_on(&a.handle());
    let x = strict("x", &probe);
    let handles = vec![a.handle(), b.handle(), c.handle()];
    let builder = Supervisor::builder().subscribe(outlet).child(a).child(x).child(b).child(c);
    let system = builder.start().unwrap();
    system.ready().await;
    Family { system, probe, events, handles }
}

impl Family {
    /// Waits until `c` has followed; what happened to all but `a` until then.
    async fn followed(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let event = self.events.next().await;
            let line = format!("{} {}", event.component, word(&event.kind));
            if let EventKind::Follows { dependency } = &event.kind {
                seen.push(format!("{line} {dependency}"));
            } else if line == "c restarted" {
                seen.push(line);
                return seen;
            } else if line != "a started" && !line.ends_with(" started") {
                seen.push(line);
            }
        }
    }

    fn assert_followed_once(&self) {
        let status = self.system.status();
        let epochs: Vec<_> = status.iter().map(|s| (s.name.as_str(), s.epoch, s.state.clone())).collect();
        let running = ComponentState::Running;
        let expected = [("a", 2, &running), ("x", 1, &running), ("b", 2, &running), ("c", 2, &running)];
        assert_eq!(epochs, expected.map(|(name, epoch, state)| (name, epoch, state.clone())));
        assert!(status.iter().skip(1).all(|s| s.failures == 0), "{status:?}");
    }
}

/// A failure of what others depend on restarts them, each once, in the order of the start, after it is up
/// again, gracefully, without a failure of theirs; the others are left alone.
#[test]
fn dependents_follow_a_failure() {
    run(async {
        let mut family = family().await;
        family.handles[0].call(Wrong::Panic).await.unwrap_err();
        let seen = family.followed().await;
        assert_eq!(
            seen,
            [
                "a failed",
                "a backing-off",
                "a restarted",
                "b follows a",
                "b restarted",
                "c follows b",
                "c restarted"
            ]
        );
        family.assert_followed_once();
        let lines = family.probe.lines();
        let started_again = lines.iter().rposition(|l| l == "start a").unwrap();
        // The old `a` goes before the new one starts; the others are asked to rest only then.
        assert_eq!(
            lines[started_again..],
            ["start a", "stopping b", "drop b 1", "start b", "stopping c", "drop c 1", "start c"]
        );
        assert!(family.system.shutdown().await.is_clean());
    });
}

/// So does the loss of its thread, and a restart by the operator: an instance that is new is new.
#[test]
fn dependents_follow_a_lost_thread_and_the_operator() {
    run(async {
        let mut first = family().await;
        first.handles[0].tell(Wrong::KillThread).await.unwrap();
        let seen = first.followed().await;
        assert_eq!(seen[..3], ["a failed", "a backing-off", "a arbiter-replaced"]);
        assert_eq!(seen[3..], ["a restarted", "b follows a", "b restarted", "c follows b", "c restarted"]);
        first.assert_followed_once();
        first.system.shutdown().await;

        let mut second = family().await;
        second.system.restart("a").await.unwrap();
        let seen = second.followed().await;
        assert_eq!(seen, ["a restarted", "b follows a", "b restarted", "c follows b", "c restarted"]);
        second.assert_followed_once();
        second.system.shutdown().await;
    });
}

/// A degradation is no restart, and a dependent's own restart does not touch what it depends on.
#[test]
fn nobody_follows_a_degradation_or_a_dependent() {
    run(async {
        let mut family = family().await;
        family.handles[0].call(Health(Some("no L1"))).await.unwrap();
        family.events.find("a", |kind| matches!(kind, EventKind::Degraded { .. })).await;
        family.handles[0].call(Health(None)).await.unwrap();
        family.events.find("a", |kind| *kind == EventKind::Recovered).await;
        family.system.restart("c").await.unwrap();
        family.events.restarted("c").await;
        let epochs: Vec<_> = family.system.status().iter().map(|s| s.epoch).collect();
        assert_eq!(epochs, [1, 1, 1, 2]);
        family.system.shutdown().await;
    });
}

/// One that waits for its own restart goes on waiting; one that has ended stays ended; neither holds up the
/// next one.
#[test]
fn those_that_are_down_do_not_follow() {
    run(async {
        let probe = Arc::new(Probe::default());
        let (mut events, outlet) = Events::new();
        let a = worker("a", &probe);
        let waits = worker("waits", &probe).backoff(FOREVER).depends_on("a");
        let ended = worker("ended", &probe).policy(RestartPolicy::Transient).depends_on("a");
        let last = strict("last", &probe).depends_on("a");
        let (a_handle, w, e) = (a.handle(), waits.handle(), ended.handle());
        let builder = Supervisor::builder().subscribe(outlet);
        let system = builder.child(a).child(waits).child(ended).child(last).start().unwrap();
        system.ready().await;
        w.call(Wrong::Panic).await.unwrap_err();
        events.find("waits", |kind| matches!(kind, EventKind::BackingOff { .. })).await;
        e.tell(Wrong::Done).await.unwrap();
        events.find("ended", |kind| *kind == EventKind::Stopped).await;

        a_handle.call(Wrong::Panic).await.unwrap_err();
        events.restarted("last").await;
        let status = system.status();
        assert!(matches!(status[1].state, ComponentState::BackingOff { .. }), "{:?}", status[1]);
        assert_eq!(status[2].state, ComponentState::Stopped);
        assert_eq!((status[1].restarts, status[2].restarts, status[3].restarts), (0, 0, 1));
        assert!(system.shutdown().await.is_clean());
    });
}

/// One that does not get up again, or whose thread hangs, holds up the next one no longer than its deadlines.
#[test]
fn a_dependent_that_is_stuck() {
    run(async {
        let (probe, stuck) = (Arc::new(Probe::default()), Arc::new(Probe::default()));
        let soon = Duration::from_millis(20);
        let (mut events, outlet) = Events::new();
        let a = worker("a", &probe);
        let s = strict("s", &stuck).depends_on("a").start_deadline(soon).stop_deadline(soon);
        let h = strict("h", &probe).depends_on("a").start_deadline(soon).stop_deadline(soon);
        let last = strict("last", &probe).depends_on("a");
        let (a_handle, h_handle) = (a.handle(), h.handle());
        let builder = Supervisor::builder().subscribe(outlet).child(a).child(s).child(h).child(last);
        let system = builder.start().unwrap();
        system.ready().await;
        *stuck.hold_start.lock().unwrap() = Some(Arc::new(Notify::new()));
        let (release, zombie) = block(&h_handle).await;
        a_handle.call(Wrong::Panic).await.unwrap_err();
        events.restarted("last").await;
        assert_eq!(system.status()[1].state, ComponentState::Starting);
        while zombie.is_current() {
            tokio::task::yield_now().await;
        }
        // On a new thread; a call that still gets into the old mailbox is told so.
        while h_handle.call(Add(1)).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(system.status()[2].failures, 0);
        release.send(()).unwrap();
        system.shutdown().await;
    });
}

/// A shutdown in the middle of it stops everything in order; nobody follows any more.
#[test]
fn shutdown_while_dependents_follow() {
    run(async {
        let (probe, slow) = (Arc::new(Probe::default()), Arc::new(Probe::default()));
        let rest = Arc::new(Notify::new());
        let a = worker("a", &probe);
        let b = strict("b", &slow).depends_on("a");
        let c = strict("c", &probe).depends_on("a");
        let a_handle = a.handle();
        let system = Supervisor::builder().child(a).child(b).child(c).start().unwrap();
        system.ready().await;
        *slow.hold_stop.lock().unwrap() = Some(Arc::clone(&rest));
        a_handle.call(Wrong::Panic).await.unwrap_err();
        while !slow.lines().contains(&"stopping b".to_owned()) {
            tokio::task::yield_now().await;
        }
        let stopping = actix::spawn({
            let system = system.clone();
            async move { system.shutdown().await }
        });
        while system.restart("a").await.is_ok() {
            tokio::task::yield_now().await;
        }
        *slow.hold_stop.lock().unwrap() = None;
        rest.notify_one();
        let report = stopping.await.unwrap();
        assert!(report.is_clean());
        let order: Vec<_> = report.components.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(order, ["c", "b", "a"]);
        assert_eq!(system.status()[2].epoch, 1, "c was still to follow");
    });
}

#[test]
fn mistakes_in_the_dependencies() {
    run(async {
        let probe = Arc::new(Probe::default());
        let start = |a: ChildSpec<Worker>, b: ChildSpec<Worker>| {
            Supervisor::builder().child(a).child(b).start().map(|_| ()).unwrap_err()
        };
        let unknown = start(worker("a", &probe), worker("b", &probe).depends_on("c"));
        assert!(
            matches!(&unknown, StartError::UnknownDependency { name, dependency } if name == "b" && dependency == "c")
        );
        let stranger = Handle::<Worker>::new("a");
        let foreign = start(worker("a", &probe), worker("b", &probe).depends_on(&stranger));
        assert!(matches!(foreign, StartError::UnknownDependency { .. }), "the name alone is not enough");
        let circle = start(worker("a", &probe).depends_on("b"), worker("b", &probe).depends_on("a"));
        assert!(matches!(&circle, StartError::DependencyCycle { cycle } if cycle == &["a", "b", "a"]));
        assert_eq!(circle.to_string(), "components depend on each other in a circle: a on b on a");
        let own = start(worker("a", &probe), worker("b", &probe).depends_on("b"));
        assert!(matches!(own, StartError::DependencyCycle { .. }));
        let late = start(worker("a", &probe).depends_on("b"), worker("b", &probe));
        assert!(matches!(late, StartError::LateDependency { .. }));
    });
    assert_eq!(Probe::default().starts(), 0);
}
