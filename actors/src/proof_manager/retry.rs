//! How often, and when, a batch is tried again that a prover could not prove. Pure: time is passed in.

use std::time::Duration;

use ensemble_store::Setback;

/// Most bytes that are kept of a reason.
const MAX_REASON: usize = 1_000;

/// The retry budget of a batch and kind of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failures after which the batch is degraded: it is tried once per [`Self::degraded_wait`], and the operator is told.
    pub budget: u32,
    /// Wait after the first failure; doubled by each further one.
    pub first_wait: Duration,
    /// Longest of these waits.
    pub longest_wait: Duration,
    /// Wait between two tries of a degraded batch.
    pub degraded_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            budget: 5,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
            degraded_wait: Duration::from_secs(600),
        }
    }
}

/// What a failure says about the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another try may do better, after a wait.
    Told,
    /// A lease ran out; that was wait enough.
    Silence,
    /// Another try is in vain until somebody changes something: the batch is degraded at once.
    Hopeless,
}

impl RetryPolicy {
    /// Wait after so many failures in a row, as if there was no budget.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_wait.saturating_mul(factor).min(self.longest_wait)
    }

    /// Whether the budget of a batch with so many failures is used up.
    pub(super) fn is_degraded(&self, failures: u32) -> bool {
        failures >= self.budget.max(1)
    }

    /// Longest wait of all.
    pub(super) fn longest(&self) -> Duration {
        self.longest_wait.max(self.degraded_wait)
    }

    /// Number of failures with one more, and how long the batch rests.
    pub(super) fn after(&self, failures: u32, failure: Failure) -> (u32, Duration) {
        let more = failures.saturating_add(1);
        let failures = match failure {
            Failure::Told | Failure::Silence => more,
            Failure::Hopeless => more.max(self.budget),
        };
        let wait = match failure {
            _ if self.is_degraded(failures) => self.degraded_wait,
            Failure::Silence => Duration::ZERO,
            Failure::Told | Failure::Hopeless => self.backoff(failures),
        };
        (failures, wait)
    }

    /// What the operator has to know of the batches whose budget is used up; none when there is none.
    pub(super) fn trouble(&self, setbacks: &[Setback]) -> Option<String> {
        let mut degraded = setbacks.iter().filter(|s| self.is_degraded(s.failures));
        let first = degraded.next()?;
        let by = if first.prover.is_empty() { String::new() } else { format!(", prover `{}`", first.prover) };
        let others = match degraded.count() {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        Some(format!(
            "batch {} has no {} proof after {} tries{others}: {}{by}; it is tried again every {} s, other batches go on: \
             see `Batches without a proof` in docs/operations.md",
            first.batch_number,
            first.prover_type,
            first.failures,
            first.reason,
            self.degraded_wait.as_secs()
        ))
    }
}

/// A reason on one line, not longer than what is kept.
pub(super) fn tidy(reason: &str) -> String {
    let cut = &reason[..reason.floor_char_boundary(MAX_REASON)];
    cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use ensemble_messages::ProverType;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        budget: 4,
        first_wait: Duration::from_secs(1),
        longest_wait: Duration::from_secs(3),
        degraded_wait: Duration::from_secs(600),
    };

    #[test]
    fn waits_grow_until_the_budget_is_used_up() {
        let waits: Vec<u64> = (0..6).map(|n| POLICY.after(n, Failure::Told).1.as_secs()).collect();
        assert_eq!(waits, [1, 2, 3, 600, 600, 600]);
        assert_eq!(POLICY.after(u32::MAX, Failure::Told), (u32::MAX, Duration::from_secs(600)));
        assert_eq!(POLICY.backoff(0), Duration::from_secs(1));
        assert_eq!(POLICY.backoff(u32::MAX), Duration::from_secs(3));
    }

    #[test]
    fn silence_has_waited_already_and_the_hopeless_rest_at_once() {
        assert_eq!(POLICY.after(0, Failure::Silence), (1, Duration::ZERO));
        assert_eq!(POLICY.after(3, Failure::Silence), (4, Duration::from_secs(600)));
        assert_eq!(POLICY.after(0, Failure::Hopeless), (4, Duration::from_secs(600)));
        assert_eq!(POLICY.after(7, Failure::Hopeless), (8, Duration::from_secs(600)));
    }

    /// A budget of nothing is one failure, not none: a batch is tried at least once.
    #[test]
    fn no_budget_is_one_try() {
        let none = RetryPolicy { budget: 0, ..POLICY };
        assert!(!none.is_degraded(0) && none.is_degraded(1));
    }

    #[test]
    fn the_operator_is_told_of_degraded_batches_only() {
        let setback = |batch_number, failures, prover: &str| Setback {
            batch_number,
            prover_type: ProverType::Sp1,
            failures,
            retry_at: 0,
            prover: prover.to_owned(),
            reason: "out of memory".to_owned(),
        };
        assert_eq!(POLICY.trouble(&[setback(1, 3, "a")]), None);
        let told =
            POLICY.trouble(&[setback(1, 3, "a"), setback(2, 4, "b"), setback(7, 9, "")]).unwrap_or_default();
        for part in
            ["batch 2", "sp1", "4 tries", "(and 1 more)", "out of memory", "`b`", "docs/operations.md"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!POLICY.trouble(&[setback(7, 9, "")]).unwrap_or_default().contains("prover `"));
    }

    /// SEQ-INV-11: words of a prover end up in the store, in the status and in log lines.
    #[test]
    fn reasons_are_cut_and_cleaned() {
        assert_eq!(tidy("a\nb\x1b[0m"), "a b [0m");
        assert_eq!(tidy(&"ä".repeat(2_000)).len(), MAX_REASON);
    }
}
