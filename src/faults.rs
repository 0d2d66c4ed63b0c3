//! Faults on purpose, for tests of a whole sequencer (feature `fault-injection`).
//!
//! Three kinds: a panic at the n-th message of a component ([`panics`]), a panic or an error at a named place right
//! before or after a side effect ([`FailPoint`]), and faults of the network between the sequencer and its nodes, which
//! crate `ensemble-chaos` makes. All are process-wide.

use std::fmt;

pub use ensemble_supervision::faults as panics;

/// What happens at a [`FailPoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The component panics.
    Panic,
    /// The operation fails, as when the disk or the network does.
    Error,
    /// The component's thread blocks for so many milliseconds.
    Hang(u64),
    /// The component's thread ends.
    LoseThread,
}

/// A named place right before or after a side effect.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FailPoint(&'static str);

impl fmt::Debug for FailPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for FailPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A fail point cannot be armed.
#[derive(Debug, thiserror::Error)]
#[error("fail point {point}: {reason}")]
pub struct FailPointError {
    /// Its name.
    pub point: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl FailPoint {
    /// Every fail point there is.
    pub fn all() -> impl Iterator<Item = Self> {
        ensemble_store::FAIL_POINTS.iter().chain(ensemble_actors::FAIL_POINTS).map(|name| Self(name))
    }

    /// The fail point of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|p| p.0 == name)
    }

    /// Its name, for instance `store.insert_block.after`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Has it do this once, at the `nth` time from now that it is reached (1 is the next). What was armed there before
    /// is forgotten.
    ///
    /// # Errors
    /// [`FailPointError`] when the crate `fail` refuses it.
    pub fn arm(self, kind: FaultKind, nth: usize) -> Result<(), FailPointError> {
        let failed = |reason| FailPointError { point: self.0, reason };
        let skip = match nth {
            0 | 1 => String::new(),
            n => format!("{}*off->", n - 1),
        };
        let action = match kind {
            FaultKind::Panic => "panic".to_owned(),
            FaultKind::Error => "return".to_owned(),
            FaultKind::Hang(ms) => format!("sleep({ms})"),
            FaultKind::LoseThread => {
                let left = std::sync::atomic::AtomicUsize::new(nth.max(1));
                let lose = move || {
                    if left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
                        actix::Arbiter::current().stop();
                    }
                };
                return fail::cfg_callback(self.0, lose).map_err(failed);
            }
        };
        fail::cfg(self.0, &format!("{skip}1*{action}->off")).map_err(failed)
    }

    /// Does nothing any more.
    pub fn disarm(self) {
        fail::remove(self.0);
    }
}
