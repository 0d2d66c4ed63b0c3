//! Which range of batches gets one proof of its own. Pure.

use ensemble_messages::{JoinGivenUp, JoinProofs};

/// The range that the ProofSender wants proven together. In memory: it is wanted again and again while it is wanted.
#[derive(Debug, Default)]
pub(super) struct Goal {
    range: Option<JoinProofs>,
    given_up: Option<JoinGivenUp>,
}

impl Goal {
    /// A range is wanted, instead of the one before. When it was given up, that is to be told again: it was not heard.
    pub(super) fn wanted(&mut self, range: JoinProofs) -> Option<JoinGivenUp> {
        self.given_up = self.given_up.take().filter(|given_up| given_up.range == range);
        self.range = Some(range).filter(|_| self.given_up.is_none());
        self.given_up.clone()
    }

    /// What provers are given.
    pub(super) fn range(&self) -> Option<JoinProofs> {
        self.range
    }

    /// A prover did not make the proof of a range. None when that range is not wanted now.
    pub(super) fn failed(&mut self, range: JoinProofs, reason: String) -> Option<JoinGivenUp> {
        self.range.take_if(|wanted| *wanted == range)?;
        self.given_up = Some(JoinGivenUp { range, reason });
        self.given_up.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_failed_is_given_up_and_that_is_told_until_another_is_wanted() {
        let (one, two) = (JoinProofs { first: 1, last: 3 }, JoinProofs { first: 2, last: 3 });
        let mut goal = Goal::default();
        assert_eq!(goal.failed(one, "nobody wants it".into()), None);
        assert_eq!((goal.wanted(one), goal.range()), (None, Some(one)));
        assert_eq!((goal.wanted(one), goal.range()), (None, Some(one)));
        assert_eq!(goal.failed(two, "late".into()), None, "of an earlier goal");
        let told = goal.failed(one, "no".into());
        assert_eq!(told, Some(JoinGivenUp { range: one, reason: "no".into() }));
        assert_eq!(goal.range(), None);
        assert_eq!((goal.wanted(one), goal.range()), (told, None), "it was not heard");
        assert_eq!((goal.wanted(two), goal.range()), (None, Some(two)));
        assert_eq!((goal.wanted(one), goal.range()), (None, Some(one)), "a new try");
    }
}
