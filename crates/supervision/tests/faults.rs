//! Deliberate panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use ensemble_supervision::{CallError, EventKind, faults};

/// A fault fires once, at its message, counted over restarts.
#[test]
fn fault_at_the_nth_message() {
    run(async {
        let (system, w, probe, mut events) = single(|spec| spec).await;
        w.call(Add(1)).await.unwrap();
        faults::arm("w", 3);
        faults::arm("w", 5);
        faults::arm("somebody else", 1);
        assert_eq!(faults::armed().iter().filter(|f| f.component == "w").count(), 2);
        let mut lost = Vec::new();
        for n in 1..=8 {
            match w.call(Add(n)).await {
                Ok(_) => {}
                Err(CallError::OutcomeUnknown { .. }) => lost.push(n),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(lost, [3, 5]);
        assert_eq!(probe.starts(), 3);
        let failed = events.find("w", |kind| matches!(kind, EventKind::Failed { .. })).await;
        let EventKind::Failed { failure } = failed else { unreachable!() };
        assert_eq!(failure.reason, "injected fault: w at message 3");
        assert_eq!(failure.message.as_deref(), Some("Add"));
        let fired: Vec<_> = faults::fired().into_iter().map(|f| (f.component, f.nth_message)).collect();
        assert_eq!(fired, [("w".to_owned(), 3), ("w".to_owned(), 5)]);
        assert_eq!(faults::armed().len(), 1, "the other component's");
        faults::clear("w");
        assert!(faults::fired().is_empty());
        system.shutdown().await;
    });
}
