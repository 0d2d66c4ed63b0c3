//! Wall-clock time behind a trait, so that tests can set it.

use std::{
    fmt::Debug,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, UNIX_EPOCH},
};

/// Tells the wall-clock time, and a second time that never jumps.
///
/// What goes into blocks, batches and the store is wall-clock time. How long something takes or waits is measured in
/// [`Self::steady_ms`]: somebody sets the machine's clock, and nothing becomes due or overdue by it.
pub trait Clock: Send + Sync + Debug + 'static {
    /// Milliseconds since the Unix epoch.
    fn unix_ms(&self) -> u64;

    /// Whole seconds since the Unix epoch.
    fn unix_seconds(&self) -> u64 {
        self.unix_ms() / 1000
    }

    /// How long one must really wait until this clock has moved by `ms` milliseconds.
    fn wait(&self, ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Milliseconds since some instant, growing evenly whatever is done to the wall clock. A clock that has only one
    /// time answers with that.
    fn steady_ms(&self) -> u64 {
        self.unix_ms()
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn unix_ms(&self) -> u64 {
        std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }

    fn steady_ms(&self) -> u64 {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock {
    unix: AtomicU64,
    steady: AtomicU64,
}

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn at(unix_ms: u64) -> Self {
        Self { unix: AtomicU64::new(unix_ms), steady: AtomicU64::new(unix_ms) }
    }

    /// Lets time pass.
    pub fn advance(&self, ms: u64) {
        self.unix.fetch_add(ms, Ordering::SeqCst);
        self.steady.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock, as an operator or a time server does it; no time passes.
    pub fn set(&self, unix_ms: u64) {
        self.unix.store(unix_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_ms(&self) -> u64 {
        self.unix.load(Ordering::SeqCst)
    }

    fn steady_ms(&self) -> u64 {
        self.steady.load(Ordering::SeqCst)
    }
}

/// A clock that begins at the machine's time and runs faster than it, for simulations: an L2 with blocks every second
/// makes one in a tenth of a second when the speed is 10.
#[derive(Clone, Copy, Debug)]
pub struct FastClock {
    begin_ms: u64,
    begin: Instant,
    speed: u32,
}

impl FastClock {
    /// A clock that runs `speed` times as fast as the machine's; 0 counts as 1.
    #[must_use]
    pub fn new(speed: u32) -> Self {
        Self { begin_ms: SystemClock.unix_ms(), begin: Instant::now(), speed: speed.max(1) }
    }
}

impl Clock for FastClock {
    fn unix_ms(&self) -> u64 {
        let passed = self.begin.elapsed().saturating_mul(self.speed).as_millis();
        self.begin_ms.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    fn wait(&self, ms: u64) -> Duration {
        Duration::from_millis(ms) / self.speed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_waits_less_than_it_shows() {
        let clock = FastClock::new(10);
        assert_eq!(clock.wait(1_000), Duration::from_millis(100));
        assert_eq!(SystemClock.wait(1_000), Duration::from_secs(1));
        let (before, real) = (clock.unix_ms(), Instant::now());
        // Until it has moved by a second; then at most as much real time has passed.
        while clock.unix_ms() - before < 1_000 {
            std::thread::yield_now();
        }
        assert!(real.elapsed() >= Duration::from_millis(99));
    }
}
