//! Which batches are verified together. Pure: time is passed in.

use std::time::Duration;

/// How far batches are verified together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLimits {
    /// Most batches of one verification. 1: each has its own, with its own proofs.
    pub max_batches: u64,
    /// How long a proven batch waits for others to be verified with. Zero: it is verified with those that are there.
    pub collect: Duration,
    /// How long the proof of a range is waited for before its batches are verified one by one.
    pub join_timeout: Duration,
    /// The contract takes other proofs after this batch, so no range goes over it.
    pub boundary: Option<u64>,
}

impl RangeLimits {
    /// Every batch by itself.
    pub const SINGLE: Self =
        Self { max_batches: 1, collect: Duration::ZERO, join_timeout: Duration::ZERO, boundary: None };

    /// The last batch that one verification may reach which begins with `first`.
    fn reach(&self, first: u64) -> u64 {
        let reach = first.saturating_add(self.max_batches.max(1) - 1);
        self.boundary.filter(|boundary| *boundary >= first).map_or(reach, |boundary| boundary.min(reach))
    }
}

/// What can be verified next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proven<'a> {
    /// The batch after the last verified one.
    pub(super) first: u64,
    /// From `first` to here every batch is committed and has its own proofs.
    pub(super) last: u64,
    /// Ends of the ranges beginning with `first` that have proofs of their own, enough for the contract.
    pub(super) joined: &'a [u64],
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Verify the batches up to this one.
    Verify {
        /// Last batch.
        last: u64,
    },
    /// Have proofs made for the batches up to this one.
    Join {
        /// Last batch.
        last: u64,
    },
    /// Wait for further batches.
    Collect,
}

/// Remembers since when batches wait, and which range they wait for.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// The first batch not verified, and when it was seen proven.
    since: Option<(u64, u64)>,
    /// End of the range that proofs are made for, and since when.
    goal: Option<(u64, u64)>,
    /// Batches up to here are verified one by one.
    single_until: u64,
    /// End of the range that was last found fit to be verified, until it is.
    chosen: Option<u64>,
    /// Ranges in a row that were not verified together.
    failures: u32,
}

/// Most batches that are verified one by one after ranges that failed, before the next range is tried.
const MAX_PAUSE: u64 = 1_024;

fn over(since_ms: u64, wait: Duration, now_ms: u64) -> bool {
    u128::from(now_ms.saturating_sub(since_ms)) >= wait.as_millis()
}

impl Ranges {
    /// The next thing to do. Once a range is the goal it stays that, also when more batches are proven, as long as its own
    /// can be verified.
    pub(super) fn plan(&mut self, limits: &RangeLimits, proven: &Proven<'_>, now_ms: u64) -> Plan {
        let first = proven.first;
        if self.chosen.take_if(|end| *end < first).is_some() {
            self.failures = 0;
        }
        let since = match self.since {
            Some((of, since)) if of == first => since,
            Some(_) | None => {
                self.since = Some((first, now_ms));
                self.goal = None;
                now_ms
            }
        };
        let single = Plan::Verify { last: first };
        let reach = limits.reach(first);
        if first <= self.single_until || reach == first {
            return single;
        }
        let fits = |last: &u64| *last > first && *last <= proven.last.min(reach);
        if let Some(last) = proven.joined.iter().copied().filter(fits).max() {
            self.chosen = Some(last);
            return Plan::Verify { last };
        }
        self.goal = self.goal.filter(|(goal, _)| *goal <= proven.last);
        let (goal, since) = match self.goal {
            Some(goal) => goal,
            None if proven.last < reach && !over(since, limits.collect, now_ms) => return Plan::Collect,
            None if proven.last.min(reach) <= first => return single,
            None => {
                let goal = (proven.last.min(reach), now_ms);
                self.goal = Some(goal);
                goal
            }
        };
        if over(since, limits.join_timeout, now_ms) {
            self.one_by_one(goal);
            return single;
        }
        Plan::Join { last: goal }
    }

    /// The batches up to this one are verified one by one: their range was not proven in time, or L1 refuses it. When
    /// that happens again and again, provers do not make such proofs, and it is tried at growing intervals.
    pub(super) fn one_by_one(&mut self, last: u64) {
        let pause = match self.failures {
            0 => 0,
            failures => 8_u64.checked_shl(failures - 1).unwrap_or(MAX_PAUSE).min(MAX_PAUSE),
        };
        self.failures = self.failures.saturating_add(1);
        self.chosen = None;
        self.singly_to(last.saturating_add(pause));
    }

    /// The batches up to this one are verified one by one.
    pub(super) fn singly_to(&mut self, last: u64) {
        self.single_until = self.single_until.max(last);
        self.goal = None;
    }

    /// Nobody makes the proof of this range. Nothing when another one is the goal by now.
    pub(super) fn given_up(&mut self, first: u64, last: u64) {
        let is_goal =
            self.since.is_some_and(|(of, _)| of == first) && self.goal.is_some_and(|(end, _)| end == last);
        if is_goal {
            self.one_by_one(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RangeLimits = RangeLimits {
        max_batches: 8,
        collect: Duration::ZERO,
        join_timeout: Duration::from_millis(100),
        boundary: None,
    };

    fn proven(first: u64, last: u64, joined: &[u64]) -> Proven<'_> {
        Proven { first, last, joined }
    }

    #[test]
    fn one_batch_goes_at_once_and_several_together() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.plan(&LIMITS, &proven(4, 4, &[]), 0), Plan::Verify { last: 4 });
        assert_eq!(ranges.plan(&LIMITS, &proven(5, 7, &[]), 1), Plan::Join { last: 7 });
        assert_eq!(ranges.plan(&LIMITS, &proven(5, 9, &[]), 2), Plan::Join { last: 7 }, "the goal stays");
        assert_eq!(ranges.plan(&LIMITS, &proven(5, 9, &[7]), 3), Plan::Verify { last: 7 });
        assert_eq!(ranges.plan(&LIMITS, &proven(8, 30, &[]), 4), Plan::Join { last: 15 }, "at most eight");
    }

    #[test]
    fn what_is_not_joined_in_time_goes_one_by_one() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 3, &[]), 1_000), Plan::Join { last: 3 });
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 3, &[]), 1_099), Plan::Join { last: 3 });
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 3, &[]), 1_100), Plan::Verify { last: 1 });
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 9, &[3]), 1_101), Plan::Verify { last: 1 }, "it stays so");
        assert_eq!(ranges.plan(&LIMITS, &proven(3, 9, &[]), 1_102), Plan::Verify { last: 3 });
        assert_eq!(ranges.plan(&LIMITS, &proven(4, 9, &[]), 1_103), Plan::Join { last: 9 }, "a new try");
    }

    #[test]
    fn a_range_that_l1_refuses_goes_one_by_one() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 3, &[3]), 0), Plan::Verify { last: 3 });
        ranges.one_by_one(3);
        for first in 1..=3 {
            assert_eq!(ranges.plan(&LIMITS, &proven(first, 3, &[3]), 0), Plan::Verify { last: first });
        }
    }

    #[test]
    fn what_nobody_joins_goes_one_by_one_at_once() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 3, &[]), 0), Plan::Join { last: 3 });
        ranges.given_up(1, 2);
        ranges.given_up(2, 3);
        assert_eq!(
            ranges.plan(&LIMITS, &proven(1, 3, &[]), 1),
            Plan::Join { last: 3 },
            "others were given up"
        );
        ranges.given_up(1, 3);
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 3, &[]), 1), Plan::Verify { last: 1 });
        assert_eq!(ranges.plan(&LIMITS, &proven(2, 9, &[]), 1), Plan::Verify { last: 2 });
    }

    /// Provers that do not make such proofs do not hold up every range.
    #[test]
    fn ranges_that_fail_in_a_row_are_tried_less_often() {
        let mut ranges = Ranges::default();
        let mut tried = Vec::new();
        for first in 1..=100 {
            let last = first + 1;
            if ranges.plan(&LIMITS, &proven(first, last, &[]), 0) == (Plan::Join { last }) {
                tried.push(first);
                ranges.given_up(first, last);
            }
        }
        assert_eq!(tried, [1, 3, 13, 31, 65]);
        // One that is verified makes up for them.
        assert_eq!(ranges.plan(&LIMITS, &proven(200, 202, &[202]), 0), Plan::Verify { last: 202 });
        assert_eq!(ranges.plan(&LIMITS, &proven(203, 204, &[]), 0), Plan::Join { last: 204 });
        ranges.given_up(203, 204);
        assert_eq!(ranges.plan(&LIMITS, &proven(205, 206, &[]), 0), Plan::Join { last: 206 });
        for _ in 0..100 {
            ranges.one_by_one(206);
        }
        assert_eq!(ranges.plan(&LIMITS, &proven(1_230, 1_240, &[]), 0), Plan::Verify { last: 1_230 });
        assert_eq!(ranges.plan(&LIMITS, &proven(1_231, 1_232, &[]), 0), Plan::Join { last: 1_232 });
    }

    #[test]
    fn batches_are_collected_for_a_while() {
        let limits = RangeLimits { collect: Duration::from_millis(50), max_batches: 3, ..LIMITS };
        let mut ranges = Ranges::default();
        assert_eq!(ranges.plan(&limits, &proven(1, 1, &[]), 10), Plan::Collect);
        assert_eq!(ranges.plan(&limits, &proven(1, 2, &[]), 59), Plan::Collect);
        assert_eq!(ranges.plan(&limits, &proven(1, 2, &[]), 60), Plan::Join { last: 2 });
        assert_eq!(ranges.plan(&limits, &proven(3, 5, &[]), 61), Plan::Join { last: 5 }, "as many as may be");
        assert_eq!(ranges.plan(&limits, &proven(6, 6, &[]), 62), Plan::Collect);
        assert_eq!(ranges.plan(&limits, &proven(6, 6, &[]), 112), Plan::Verify { last: 6 }, "alone");
    }

    /// The contract would refuse such a range (`RangeCrossesBoundary`).
    #[test]
    fn no_range_goes_over_a_boundary() {
        let limits = RangeLimits { boundary: Some(5), ..LIMITS };
        let mut ranges = Ranges::default();
        assert_eq!(ranges.plan(&limits, &proven(3, 9, &[]), 0), Plan::Join { last: 5 });
        assert_eq!(ranges.plan(&limits, &proven(3, 9, &[9, 5, 4]), 0), Plan::Verify { last: 5 });
        assert_eq!(ranges.plan(&limits, &proven(5, 9, &[9]), 0), Plan::Verify { last: 5 });
        assert_eq!(ranges.plan(&limits, &proven(6, 9, &[]), 0), Plan::Join { last: 9 }, "it lies behind");
    }

    #[test]
    fn a_range_is_as_long_as_what_is_committed() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 3, &[]), 0), Plan::Join { last: 3 });
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 2, &[]), 0), Plan::Join { last: 2 }, "a reorg");
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 1, &[3]), 0), Plan::Verify { last: 1 });
        assert_eq!(ranges.plan(&LIMITS, &proven(1, 2, &[4, 2]), 0), Plan::Verify { last: 2 });
        let single = RangeLimits::SINGLE;
        assert_eq!(ranges.plan(&single, &proven(1, 9, &[4]), 0), Plan::Verify { last: 1 });
    }
}
