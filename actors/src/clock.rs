//! Wall-clock time behind a trait, so that tests can set it.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, UNIX_EPOCH},
};

/// Tells the wall-clock time.
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
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn at(unix_ms: u64) -> Self {
        Self(AtomicU64::new(unix_ms))
    }

    /// Moves the clock forward.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
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
