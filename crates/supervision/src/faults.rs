//! Deliberate panics, to test that a system survives them (feature `fault-injection`).
//!
//! The registry is process-wide. Messages are counted from the arming on, over restarts; each fault fires
//! exactly once.

use std::sync::Mutex;

use crate::shared::lock;

/// A fault that was armed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The component that is to panic.
    pub component: String,
    /// At which message after the arming, counted from 1.
    pub nth_message: u64,
}

#[derive(Debug, Default)]
struct Registry {
    armed: Vec<(Fault, u64)>,
    fired: Vec<Fault>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { armed: Vec::new(), fired: Vec::new() });

/// Makes `component` panic at the `nth_message` it enters from now on (1 is the next one; 0 counts as 1).
/// Several faults can be armed for one component; each counts by itself.
pub fn arm(component: impl Into<String>, nth_message: u64) {
    let nth_message = nth_message.max(1);
    lock(&REGISTRY).armed.push((Fault { component: component.into(), nth_message }, 0));
}

/// Faults still waiting for their message.
pub fn armed() -> Vec<Fault> {
    lock(&REGISTRY).armed.iter().map(|(fault, _)| fault.clone()).collect()
}

/// Faults that have fired, in order.
pub fn fired() -> Vec<Fault> {
    lock(&REGISTRY).fired.clone()
}

/// Forgets all faults of `component`, armed and fired.
pub fn clear(component: &str) {
    let mut registry = lock(&REGISTRY);
    registry.armed.retain(|(fault, _)| fault.component != component);
    registry.fired.retain(|fault| fault.component != component);
}

#[expect(clippy::panic, reason = "panicking is what a fault is for")]
pub(crate) fn on_message(component: &str) {
    let due = {
        let mut registry = lock(&REGISTRY);
        for (_, seen) in registry.armed.iter_mut().filter(|(fault, _)| fault.component == component) {
            *seen += 1;
        }
        let due =
            registry.armed.iter().position(|(f, seen)| f.component == component && *seen >= f.nth_message);
        let due = due.map(|at| registry.armed.remove(at).0);
        registry.fired.extend(due.clone());
        due
    };
    if let Some(Fault { component, nth_message }) = due {
        panic!("injected fault: {component} at message {nth_message}");
    }
}
