//! The process-wide panic hook; alone in its process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use common::*;
use ensemble_supervision::{CallError, Handle, Outlet, Seat, SystemHandle, install_panic_hook};

static FOREIGN: AtomicUsize = AtomicUsize::new(0);

/// The hook takes the panics of supervised components and leaves all others to the hook before it.
#[test]
fn only_supervised_panics_are_taken() {
    std::panic::set_hook(Box::new(|_| {
        FOREIGN.fetch_add(1, SeqCst);
    }));
    install_panic_hook();
    install_panic_hook();
    let foreign = || std::thread::spawn(|| panic!("nobody's child")).join().unwrap_err();
    foreign();
    assert_eq!(FOREIGN.load(SeqCst), 1);
    run(async {
        let (system, w, _, mut events) = single(|spec| spec).await;
        w.call(Wrong::Panic).await.unwrap_err();
        events.restarted("w").await;
        assert_eq!(FOREIGN.load(SeqCst), 1);
        let failure = system.status()[0].last_failure.clone().unwrap();
        assert!(failure.location.is_some());
        system.shutdown().await;
    });
    foreign();
    assert_eq!(FOREIGN.load(SeqCst), 2);
}

/// What is passed between threads can be.
#[test]
fn handles_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Handle<Worker>>();
    check::<Outlet<Add>>();
    check::<Seat<Worker>>();
    check::<SystemHandle>();
    fn check_future<T: Send>(_: T) {}
    let handle = Handle::<Worker>::new("w");
    check_future(async move { handle.call(Add(1)).await.map_err(|e: CallError| e) });
}
