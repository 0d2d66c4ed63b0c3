//! The restart decision: pure, with time and randomness passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// When a component that has ended is started again (the restart types of Erlang/OTP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Always: a normal end counts as a failure.
    Permanent,
    /// After a failure only.
    Transient,
    /// Never. Its failures, fatal ones too, do not end the system.
    Temporary,
}

/// Exponential delay between a failure and the restart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// Delay after the first failure.
    pub base: Duration,
    /// Upper bound of every delay.
    pub max: Duration,
    /// Share of the delay that is random, 0 (none) to 1 (anything between zero and the full delay). Values
    /// outside are clamped.
    pub jitter: f64,
}

impl Backoff {
    /// No delay at all.
    pub const NONE: Self = Self { base: Duration::ZERO, max: Duration::ZERO, jitter: 0.0 };

    /// The delay after the `failures`-th recent failure: `base * 2^(failures - 1)`, at most `max`, of which
    /// `jitter * unit` is taken away. `unit` is a random number of `0.0..=1.0`.
    pub fn delay(&self, failures: u32, unit: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.base.checked_mul(1_u32 << doublings).unwrap_or(Duration::MAX).min(self.max);
        let jitter = if self.jitter.is_nan() { 0.0 } else { self.jitter.clamp(0.0, 1.0) };
        if jitter == 0.0 {
            return full;
        }
        let kept = 1.0 - jitter * unit.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(full.as_secs_f64() * kept).unwrap_or(full).min(full)
    }
}

impl Default for Backoff {
    /// 100 ms, doubling up to 30 s, half of it random.
    fn default() -> Self {
        Self { base: Duration::from_millis(100), max: Duration::from_secs(30), jitter: 0.5 }
    }
}

/// How many failures within a sliding window are met with a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intensity {
    /// Restarts allowed within `window`; `u32::MAX` means no limit.
    pub max_restarts: u32,
    /// Length of the sliding window.
    pub window: Duration,
}

impl Default for Intensity {
    /// Five restarts within a minute.
    fn default() -> Self {
        Self { max_restarts: 5, window: Duration::from_secs(60) }
    }
}

/// How a component came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It had nothing more to do.
    Normal,
    /// It panicked, failed, or lost its thread.
    Failed,
    /// It failed with an error that no retry can help.
    Fatal,
}

/// What the supervisor does about an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start it again.
    Restart {
        /// Time to wait first.
        delay: Duration,
        /// Failures within the window, this one included.
        recent: u32,
    },
    /// Leave it stopped; nothing is wrong.
    Stop,
    /// Leave it failed; the others go on.
    GiveUp,
    /// Stop the whole system.
    Escalate,
}

/// Remembers the recent failures of one component and decides about the next one.
#[derive(Debug)]
pub struct RestartTracker {
    policy: RestartPolicy,
    backoff: Backoff,
    intensity: Intensity,
    recent: VecDeque<Instant>,
    rng: StdRng,
}

impl RestartTracker {
    /// Failures remembered when there is no limit; only the exponent of the delay depends on them.
    const REMEMBERED_WITHOUT_LIMIT: usize = 64;

    /// A tracker without failures. The same `seed` gives the same jitter.
    pub fn new(policy: RestartPolicy, backoff: Backoff, intensity: Intensity, seed: u64) -> Self {
        Self { policy, backoff, intensity, recent: VecDeque::new(), rng: StdRng::seed_from_u64(seed) }
    }

    /// Decides about an ending that happened at `now`.
    ///
    /// A failure is forgotten once it is older than the window, so that the delay starts from `base` again
    /// after a healthy period.
    pub fn decide(&mut self, ending: Ending, now: Instant) -> Decision {
        match (self.policy, ending) {
            (RestartPolicy::Temporary | RestartPolicy::Transient, Ending::Normal) => return Decision::Stop,
            (RestartPolicy::Temporary, Ending::Failed | Ending::Fatal) => return Decision::GiveUp,
            (RestartPolicy::Permanent | RestartPolicy::Transient, Ending::Fatal) => {
                return Decision::Escalate;
            }
            (RestartPolicy::Permanent, Ending::Normal | Ending::Failed)
            | (RestartPolicy::Transient, Ending::Failed) => {}
        }
        self.forget_before(now);
        self.recent.push_back(now);
        let recent = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        if self.intensity.max_restarts == u32::MAX {
            if self.recent.len() > Self::REMEMBERED_WITHOUT_LIMIT {
                self.recent.pop_front();
            }
        } else if recent > self.intensity.max_restarts {
            return Decision::Escalate;
        }
        let unit = self.rng.r#gen::<f64>();
        Decision::Restart { delay: self.backoff.delay(recent, unit), recent }
    }

    /// Forgets all failures, as after a restart by the operator.
    pub fn reset(&mut self) {
        self.recent.clear();
    }

    /// Failures of the window that ends at `now`.
    pub fn recent(&mut self, now: Instant) -> usize {
        self.forget_before(now);
        self.recent.len()
    }

    fn forget_before(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|t| now.saturating_duration_since(*t) > self.intensity.window) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const STEADY: Backoff = Backoff { base: SECOND, max: Duration::from_secs(60), jitter: 0.0 };

    fn tracker(policy: RestartPolicy, max_restarts: u32) -> RestartTracker {
        RestartTracker::new(policy, STEADY, Intensity { max_restarts, window: 100 * SECOND }, 1)
    }

    fn delay(decision: Decision) -> u64 {
        match decision {
            Decision::Restart { delay, .. } => delay.as_secs(),
            other => panic!("{other:?} is no restart"),
        }
    }

    #[test]
    fn every_policy_meets_every_ending() {
        use Decision::{Escalate, GiveUp, Stop};
        use Ending::{Failed, Fatal, Normal};
        use RestartPolicy::{Permanent, Temporary, Transient};
        let restart = Decision::Restart { delay: SECOND, recent: 1 };
        for (policy, ending, expected) in [
            (Permanent, Normal, restart),
            (Permanent, Failed, restart),
            (Permanent, Fatal, Escalate),
            (Transient, Normal, Stop),
            (Transient, Failed, restart),
            (Transient, Fatal, Escalate),
            (Temporary, Normal, Stop),
            (Temporary, Failed, GiveUp),
            (Temporary, Fatal, GiveUp),
        ] {
            let decision = tracker(policy, 3).decide(ending, Instant::now());
            assert_eq!(decision, expected, "{policy:?} {ending:?}");
        }
    }

    #[test]
    fn delays_double_up_to_the_cap_and_start_anew_after_a_healthy_window() {
        let mut tracker = tracker(RestartPolicy::Permanent, 20);
        let t0 = Instant::now();
        let delays: Vec<_> = (0..8).map(|_| delay(tracker.decide(Ending::Failed, t0))).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        // The window's last moment still counts them.
        assert_eq!(delay(tracker.decide(Ending::Failed, t0 + 100 * SECOND)), 60);
        assert_eq!(delay(tracker.decide(Ending::Failed, t0 + 201 * SECOND)), 1);
    }

    #[test]
    fn the_window_slides() {
        let mut tracker = tracker(RestartPolicy::Transient, 2);
        let t0 = Instant::now();
        for at in [0, 60, 120, 180, 240] {
            let decision = tracker.decide(Ending::Failed, t0 + at * SECOND);
            assert!(matches!(decision, Decision::Restart { .. }), "{at}: {decision:?}");
        }
        assert_eq!(tracker.recent(t0 + 240 * SECOND), 2);
        assert_eq!(tracker.decide(Ending::Failed, t0 + 250 * SECOND), Decision::Escalate);
        tracker.reset();
        assert_eq!(delay(tracker.decide(Ending::Failed, t0 + 250 * SECOND)), 1);
    }

    #[test]
    fn zero_restarts_are_none() {
        assert_eq!(
            tracker(RestartPolicy::Permanent, 0).decide(Ending::Failed, Instant::now()),
            Decision::Escalate
        );
    }

    /// SEQ-INV-11: without a limit the memory is bounded all the same.
    #[test]
    fn no_limit_is_not_no_bound() {
        let mut tracker = tracker(RestartPolicy::Permanent, u32::MAX);
        let t0 = Instant::now();
        for _ in 0..10_000 {
            assert!(delay(tracker.decide(Ending::Failed, t0)) <= 60);
        }
        assert_eq!(tracker.recent(t0), RestartTracker::REMEMBERED_WITHOUT_LIMIT);
    }

    #[test]
    fn a_clock_that_steps_back_is_survived() {
        let mut tracker = tracker(RestartPolicy::Permanent, 5);
        let t0 = Instant::now() + 1000 * SECOND;
        assert_eq!(delay(tracker.decide(Ending::Failed, t0)), 1);
        assert_eq!(delay(tracker.decide(Ending::Failed, t0 - 500 * SECOND)), 2);
    }

    #[test]
    fn the_seed_decides_the_jitter() {
        let delays = |seed| {
            let backoff = Backoff { jitter: 1.0, ..STEADY };
            let mut tracker =
                RestartTracker::new(RestartPolicy::Permanent, backoff, Intensity::default(), seed);
            let now = Instant::now();
            (0..5).map(|_| tracker.decide(Ending::Failed, now)).collect::<Vec<_>>()
        };
        assert_eq!(delays(3), delays(3));
        assert_ne!(delays(3), delays(4));
    }

    proptest! {
        /// Whatever the configuration, a delay is between its jittered floor and its cap.
        #[test]
        fn delays_stay_within_their_bounds(
            base in 0_u64..=u64::MAX,
            max in 0_u64..=u64::MAX,
            jitter in prop_oneof![proptest::num::f64::ANY, 0.0..=1.0],
            failures: u32,
            unit in prop_oneof![proptest::num::f64::ANY, 0.0..=1.0],
        ) {
            let (base, max) = (Duration::from_nanos(base), Duration::from_nanos(max));
            let backoff = Backoff { base, max, jitter };
            let delay = backoff.delay(failures, unit);
            let steady = Backoff { jitter: 0.0, ..backoff };
            let full = steady.delay(failures, unit);
            prop_assert!(base.min(max) <= full && full <= max);
            prop_assert!(full <= steady.delay(failures.saturating_add(1), unit));
            prop_assert!(delay <= full);
            if (0.0..=1.0).contains(&jitter) {
                let floor = full.as_secs_f64() * (1.0 - jitter);
                prop_assert!(delay.as_secs_f64() >= floor * 0.999_999 - 1e-9, "{delay:?} < {floor}");
            }
        }

        /// Against a plain count of the failures of the last window, whatever their times.
        #[test]
        fn escalates_exactly_when_the_window_is_overfull(
            gaps in proptest::collection::vec(0_u32..50, 1..60),
            max_restarts in 0_u32..6,
        ) {
            let mut tracker = tracker(RestartPolicy::Permanent, max_restarts);
            let mut now = Instant::now();
            let mut times: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += SECOND * gap;
                times.push(now);
                let recent = times.iter().filter(|t| now - **t <= 100 * SECOND).count();
                let decision = tracker.decide(Ending::Failed, now);
                if recent > max_restarts as usize {
                    prop_assert_eq!(decision, Decision::Escalate);
                } else {
                    let restarts = matches!(decision, Decision::Restart { recent: n, .. } if n as usize == recent);
                    prop_assert!(restarts, "{:?} after {} failures", decision, recent);
                }
            }
        }
    }
}
