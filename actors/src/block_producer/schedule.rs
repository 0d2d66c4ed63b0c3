//! When the next block is due: a fixed grid of instants, so that the work a block takes does not add up.

/// Ticks every `interval_ms`, without drift. Pure: time is passed in.
#[derive(Clone, Debug)]
pub(crate) struct TickSchedule {
    interval_ms: u64,
    next_ms: Option<u64>,
}

impl TickSchedule {
    pub(crate) fn new(interval_ms: u64) -> Self {
        Self { interval_ms: interval_ms.max(1), next_ms: None }
    }

    /// Whether a tick is due now. The first call is always due and fixes the grid.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.next_ms.is_none_or(|next| now_ms >= next)
    }

    /// Notes that the work of a tick begins at `now_ms`. Ticks that were missed meanwhile are left out, not made up for.
    pub(crate) fn served(&mut self, now_ms: u64) {
        let base = self.next_ms.unwrap_or(now_ms);
        let passed = now_ms.saturating_sub(base) / self.interval_ms;
        self.next_ms = Some(base + (passed + 1) * self.interval_ms);
    }

    /// Milliseconds until the next tick.
    pub(crate) fn wait_ms(&self, now_ms: u64) -> u64 {
        self.next_ms.map_or(0, |next| next.saturating_sub(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_does_not_shift_the_grid() {
        let mut schedule = TickSchedule::new(1000);
        let mut served = Vec::new();
        let mut now = 5_000;
        for work in [10, 400, 30, 999, 5] {
            now += schedule.wait_ms(now);
            assert!(schedule.is_due(now));
            schedule.served(now);
            served.push(now);
            now += work;
        }
        assert_eq!(served, [5_000, 6_000, 7_000, 8_000, 9_000]);
    }

    #[test]
    fn missed_ticks_are_left_out() {
        let mut schedule = TickSchedule::new(1000);
        schedule.served(10_000);
        assert_eq!(schedule.wait_ms(10_000), 1000);
        assert!(!schedule.is_due(10_999));
        schedule.served(14_500);
        assert_eq!(schedule.wait_ms(14_500), 500);
    }
}
