//! The chain of the development L1 from its finalized block to its head: which block is head, safe,
//! finalized, and what the next block's time is. No I/O.

use std::collections::VecDeque;

use alloy_primitives::B256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) timestamp: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Heads {
    /// From the finalized block to the head's parent.
    behind: VecDeque<Head>,
    last: Head,
    /// Finality does not go back in a reorg.
    finalized: Head,
    latest_timestamp: u64,
    safe_lag: u64,
    finalized_lag: u64,
}

impl Heads {
    pub(crate) fn new(genesis: Head, safe_lag: u64, finalized_lag: u64) -> Self {
        Self {
            behind: VecDeque::new(),
            last: genesis,
            finalized: genesis,
            latest_timestamp: genesis.timestamp,
            safe_lag,
            finalized_lag,
        }
    }

    pub(crate) fn head(&self) -> Head {
        self.last
    }

    /// Hashes of the head, the safe and the finalized block.
    pub(crate) fn fork_choice(&self) -> [B256; 3] {
        let safe = match usize::try_from(self.safe_lag) {
            Ok(0) => self.last,
            Ok(lag) => self.behind.iter().rev().nth(lag - 1).copied().unwrap_or(self.finalized),
            Err(_) => self.finalized,
        };
        let safe = if safe.number < self.finalized.number { self.finalized } else { safe };
        [self.last.hash, safe.hash, self.finalized.hash]
    }

    /// Wall clock, but later than every block so far, dropped ones too: so no block is produced twice.
    pub(crate) fn next_timestamp(&self, now: u64) -> u64 {
        now.max(self.latest_timestamp.saturating_add(1))
    }

    pub(crate) fn push(&mut self, head: Head) {
        self.behind.push_back(self.last);
        self.last = head;
        self.latest_timestamp = self.latest_timestamp.max(head.timestamp);
        let finalized = head.number.saturating_sub(self.finalized_lag).max(self.finalized.number);
        if finalized == head.number {
            self.finalized = head;
            self.behind.clear();
            return;
        }
        while self.behind.front().is_some_and(|b| b.number < finalized) {
            self.behind.pop_front();
        }
        if let Some(block) = self.behind.front() {
            self.finalized = *block;
        }
    }

    /// Goes back by `depth` blocks; false when that would drop a finalized block.
    pub(crate) fn rewind(&mut self, depth: u64) -> bool {
        let Some(number) = self.last.number.checked_sub(depth).filter(|n| *n >= self.finalized.number) else {
            return false;
        };
        while self.last.number > number {
            let Some(parent) = self.behind.pop_back() else { return false };
            self.last = parent;
        }
        true
    }

    /// Goes back to the block with this hash; false when it is not between the finalized block and the head.
    pub(crate) fn rewind_to(&mut self, hash: B256) -> bool {
        if self.last.hash == hash {
            return true;
        }
        match self.behind.iter().rev().find(|b| b.hash == hash).map(|b| b.number) {
            Some(number) => self.rewind(self.last.number.saturating_sub(number)),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u64, fork: u8) -> Head {
        let mut hash = B256::repeat_byte(fork);
        hash.0[24..].copy_from_slice(&number.to_be_bytes());
        Head { number, hash, timestamp: 100 + number }
    }

    fn numbers(heads: &Heads) -> [u64; 3] {
        heads.fork_choice().map(|h| u64::from_be_bytes(h.0[24..].try_into().unwrap_or_default()))
    }

    #[test]
    fn tags_follow_the_head_at_their_distance() {
        for (safe, finalized) in [(0, 0), (0, 3), (1, 2), (2, 2), (1, 40)] {
            let mut heads = Heads::new(head(0, 0), safe, finalized);
            assert_eq!(numbers(&heads), [0, 0, 0]);
            for n in 1..100u64 {
                heads.push(head(n, 0));
                let expected = [n, n.saturating_sub(safe), n.saturating_sub(finalized)];
                assert_eq!(numbers(&heads), expected, "lags {safe} {finalized}");
                assert!(heads.behind.len() as u64 <= finalized + 1);
            }
        }
    }

    #[test]
    fn a_reorg_never_passes_the_finalized_block_nor_moves_it_back() {
        let mut heads = Heads::new(head(0, 0), 1, 5);
        for n in 1..=20 {
            heads.push(head(n, 0));
        }
        assert!(!heads.clone().rewind(6));
        assert!(heads.rewind(5));
        assert_eq!(numbers(&heads), [15, 15, 15]);
        for n in 16..=22u64 {
            heads.push(head(n, 1));
            assert_eq!(numbers(&heads)[2], 15.max(n.saturating_sub(5)));
            assert_eq!(numbers(&heads)[1], n - 1);
        }
        assert_eq!(heads.fork_choice()[0], head(22, 1).hash);
        assert!(heads.rewind_to(head(18, 1).hash));
        assert!(!heads.rewind_to(head(18, 0).hash));
    }

    #[test]
    fn time_always_grows_even_after_a_reorg() {
        let mut heads = Heads::new(head(0, 0), 1, 5);
        assert_eq!(heads.next_timestamp(7_000), 7_000);
        heads.push(head(1, 0));
        heads.push(head(2, 0));
        assert!(heads.rewind(2));
        assert_eq!(heads.next_timestamp(0), 103);
    }
}
