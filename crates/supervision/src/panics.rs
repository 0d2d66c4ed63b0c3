//! Catching panics together with their place in the source.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

static PREVIOUS: OnceLock<Hook> = OnceLock::new();

thread_local! {
    static GUARDED: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
    static LAST: RefCell<Option<PanicReport>> = const { RefCell::new(None) };
}

/// What is known of a panic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanicReport {
    /// The panic message.
    pub message: String,
    /// `file:line:column`; absent when another panic hook has replaced ours.
    pub location: Option<String>,
}

/// Installs the process-wide panic hook; further calls do nothing.
///
/// A panic of a supervised component is logged through `tracing` with its component, thread and place, and
/// kept for the failure report. A panic anywhere else goes to the hook that was installed before, as if
/// this one were not there.
pub fn install_panic_hook() {
    PREVIOUS.get_or_init(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(on_panic));
        previous
    });
}

/// Calls the hook that [`install_panic_hook`] replaced, if it has replaced one.
pub fn call_previous_hook(info: &PanicHookInfo<'_>) {
    if let Some(previous) = PREVIOUS.get() {
        previous(info);
    }
}

fn on_panic(info: &PanicHookInfo<'_>) {
    // The thread's locals may be gone or borrowed when the panic happens; then it is treated as foreign.
    let component = GUARDED.try_with(|c| c.try_borrow().ok().and_then(|c| c.clone())).ok().flatten();
    let Some(component) = component else {
        return call_previous_hook(info);
    };
    let report = PanicReport {
        message: payload_text(info.payload()),
        location: info.location().map(ToString::to_string),
    };
    let backtrace = std::backtrace::Backtrace::capture();
    let thread = std::thread::current();
    tracing::error!(
        component = &*component,
        thread = thread.name().unwrap_or("unnamed"),
        location = report.location.as_deref().unwrap_or("unknown"),
        backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured)
            .then(|| tracing::field::display(&backtrace)),
        "panic: {}",
        report.message
    );
    let kept = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| *last = Some(report)).is_ok());
    if !kept.unwrap_or(false) {
        tracing::error!("the panic above could not be kept for the failure report");
    }
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".into())
}

/// Restores the thread's mark when it goes out of scope.
struct Mark(Option<Arc<str>>);

impl Drop for Mark {
    fn drop(&mut self) {
        let before = self.0.take();
        GUARDED.with(|c| *c.borrow_mut() = before);
    }
}

/// Runs `f` on behalf of `component` and turns a panic into its report.
///
/// Sound only when the caller never uses again what `f` may have left half changed.
pub(crate) fn catch<R>(component: &Arc<str>, f: impl FnOnce() -> R) -> Result<R, PanicReport> {
    let _mark = Mark(GUARDED.with(|c| c.borrow_mut().replace(Arc::clone(component))));
    LAST.with(|last| last.borrow_mut().take());
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        LAST.with(|last| last.borrow_mut().take())
            .unwrap_or_else(|| PanicReport { message: payload_text(&*payload), location: None })
    })
}
