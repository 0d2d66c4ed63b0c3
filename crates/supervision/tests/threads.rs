//! Threads of components; alone in its process, for it counts them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod common;

use std::time::Duration;

use common::*;
use ensemble_supervision::EventKind;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// A thread that was lost, or hung and came to itself, ends: replacing it leaks nothing.
#[test]
fn replaced_threads_end() {
    run(async {
        let pulse = Duration::from_millis(5);
        let (system, w, _, mut events) = single(|spec| spec.heartbeat(pulse, 40 * pulse)).await;
        w.call(Add(1)).await.unwrap();
        let before = threads();
        for _ in 0..20 {
            w.tell(Wrong::KillThread).await.unwrap();
            events.find("w", |kind| *kind == EventKind::ArbiterReplaced).await;
            events.restarted("w").await;
        }
        let (release, _) = block(&w).await;
        events.restarted("w").await;
        assert!(threads() > before, "the hung one is still there");
        release.send(()).unwrap();
        w.call(Add(1)).await.unwrap();
        while threads() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(system.shutdown().await.is_clean());
        while threads() >= before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}
