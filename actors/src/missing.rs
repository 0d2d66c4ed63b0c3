//! When something that L1 had is gone for good. Pure.

/// L1 blocks over which a commit or a verification must be missing before it is taken for dropped, so that a node that is behind is
/// not mistaken for a reorg.
const MISSING_BLOCKS: u64 = 3;

/// Watches over one batch whose commit, or whose verification, L1 does not show, though it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The batch, and the lowest L1 head at which it was missing.
    since: Option<(u64, u64)>,
}

impl Missing {
    /// Nothing is missing.
    pub(crate) fn none(&mut self) {
        self.since = None;
    }

    /// A batch is missing at this L1 head; true when that is certain by now.
    pub(crate) fn at(&mut self, batch: u64, head: u64) -> bool {
        let since = match self.since {
            // A reorg may have made L1 shorter.
            Some((of, since)) if of == batch => since.min(head),
            Some(_) | None => head,
        };
        self.since = Some((batch, since));
        head >= since.saturating_add(MISSING_BLOCKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_blocks_make_it_certain() {
        let mut missing = Missing::default();
        assert_eq!([10, 10, 11, 12, 13].map(|head| missing.at(5, head)), [false, false, false, false, true]);
    }

    #[test]
    fn another_batch_or_a_find_begins_anew() {
        let mut missing = Missing::default();
        assert!(!missing.at(5, 10));
        assert!(!missing.at(4, 13), "an earlier one is missing now");
        missing.none();
        assert!(!missing.at(4, 16));
        assert!(missing.at(4, 19));
    }

    #[test]
    fn a_shorter_chain_counts_from_its_own_head() {
        let mut missing = Missing::default();
        assert_eq!([100, 60, 62, 63].map(|head| missing.at(5, head)), [false, false, false, true]);
    }
}
