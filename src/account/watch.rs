//! What to do for a transaction that is not mined yet: decided from what the node shows, without I/O.

/// Blocks that a gap must outlast before it is filled: the transaction that belongs there may be on its way.
pub(super) const GAP_BLOCKS: u64 = 3;

/// What the node shows of a transaction that has no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// Height of the chain.
    pub(super) head: u64,
    /// The account's next nonce by the head block.
    pub(super) next: u64,
    /// Whether the node knows the transaction.
    pub(super) known: bool,
    /// Whether the node's pool has a transaction with nonce `next`; none when it cannot tell.
    pub(super) pooled: Option<bool>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    Wait,
    /// The node has lost the transaction: give it the same bytes again.
    SendAgain,
    /// Nothing with this nonce will ever be mined by itself, and without it nothing after it: send an empty one.
    Fill(u64),
    /// Another transaction has used the nonce.
    Lost,
}

/// A transaction on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    nonce: u64,
    /// Since when (height) nothing has changed: the account's next nonce.
    since: Option<(u64, u64)>,
}

impl Watch {
    /// A transaction with this nonce.
    pub(super) fn new(nonce: u64) -> Self {
        Self { nonce, since: None }
    }

    /// What to do about what is seen now.
    pub(super) fn decide(&mut self, sight: Sight) -> Action {
        let since = match self.since {
            Some((next, head)) if next == sight.next && head <= sight.head => head,
            // A reorg counts as a change, too.
            _ => {
                self.since = Some((sight.next, sight.head));
                sight.head
            }
        };
        let lasts = sight.head - since >= GAP_BLOCKS;
        if sight.next > self.nonce {
            // Its receipt may come a little later than its nonce is used.
            return if lasts { Action::Lost } else { Action::Wait };
        }
        if !sight.known {
            return Action::SendAgain;
        }
        match sight.pooled {
            Some(false) if sight.next < self.nonce && lasts => Action::Fill(sight.next),
            _ => Action::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Sight = Sight { head: 100, next: 5, known: true, pooled: Some(true) };

    fn decide(nonce: u64, sights: &[Sight]) -> Vec<Action> {
        let mut watch = Watch::new(nonce);
        sights.iter().map(|sight| watch.decide(*sight)).collect()
    }

    /// Sights of the same, one block after the other.
    fn lasting(sight: Sight, blocks: u64) -> Vec<Sight> {
        (0..=blocks).map(|n| Sight { head: sight.head + n, ..sight }).collect()
    }

    /// A full queue before it, or an account that is simply slow, is no reason to do anything.
    #[test]
    fn what_is_on_its_way_is_left_alone() {
        for nonce in [5, 7] {
            for pooled in [Some(true), None] {
                let sights = lasting(Sight { pooled, ..QUIET }, 20);
                assert!(
                    decide(nonce, &sights).iter().all(|action| *action == Action::Wait),
                    "{nonce} {pooled:?}"
                );
            }
        }
        // Its own nonce is next, whatever the pool says of it.
        let sights = lasting(Sight { pooled: Some(false), ..QUIET }, 20);
        assert!(decide(5, &sights).iter().all(|action| *action == Action::Wait));
    }

    #[test]
    fn what_the_node_has_lost_is_sent_again() {
        let lost = Sight { known: false, ..QUIET };
        assert_eq!(decide(5, &[lost, QUIET, lost]), [Action::SendAgain, Action::Wait, Action::SendAgain]);
        // Also behind a gap: the bytes come first.
        assert_eq!(decide(7, &[Sight { pooled: Some(false), ..lost }]), [Action::SendAgain]);
    }

    /// A gap is filled when it lasts, and only where the node is sure that nothing is there.
    #[test]
    fn a_gap_that_lasts_is_filled() {
        let gap = Sight { pooled: Some(false), ..QUIET };
        let mut wanted = vec![Action::Wait; GAP_BLOCKS as usize];
        wanted.push(Action::Fill(5));
        assert_eq!(decide(7, &lasting(gap, GAP_BLOCKS)), wanted);
        // The next one begins anew, and so does one on a chain that went back.
        let mut sights = lasting(gap, GAP_BLOCKS - 1);
        sights.extend(lasting(Sight { head: 103, next: 6, ..gap }, GAP_BLOCKS - 1));
        sights.extend(lasting(Sight { head: 90, next: 6, ..gap }, GAP_BLOCKS - 1));
        assert!(decide(7, &sights).iter().all(|action| *action == Action::Wait));
    }

    /// A nonce that is used and a receipt that is not there yet are no contradiction for a moment.
    #[test]
    fn a_nonce_that_another_one_used_is_lost() {
        let used = Sight { next: 8, known: false, pooled: None, ..QUIET };
        let mut wanted = vec![Action::Wait; GAP_BLOCKS as usize];
        wanted.push(Action::Lost);
        assert_eq!(decide(7, &lasting(used, GAP_BLOCKS)), wanted);
    }
}
