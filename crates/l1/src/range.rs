//! How large the next range of blocks is. Pure.

/// Range size for `eth_getLogs`: halves when the node calls a range too large, grows back slowly.
#[derive(Clone, Debug)]
pub struct RangeSize {
    max: u64,
    now: u64,
}

impl RangeSize {
    /// Ranges of at most `max` blocks; 0 counts as 1.
    #[must_use]
    pub fn new(max: u64) -> Self {
        Self { max: max.max(1), now: max.max(1) }
    }

    /// Last block of the range that begins at `from`, when `target` is the last block that counts.
    #[must_use]
    pub fn end(&self, from: u64, target: u64) -> u64 {
        from.saturating_add(self.now - 1).min(target)
    }

    /// The node refused this range as too large. False when it was a single block already.
    pub fn too_large(&mut self) -> bool {
        let shrunk = self.now > 1;
        self.now = (self.now / 2).max(1);
        shrunk
    }

    /// A range was read.
    pub fn read(&mut self) {
        self.now = self.now.saturating_add(self.now.div_ceil(4)).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_beyond_the_configured_step_or_the_target() {
        let range = RangeSize::new(100);
        assert_eq!(range.end(10, 1_000), 109);
        assert_eq!(range.end(10, 50), 50);
        assert_eq!(RangeSize::new(0).end(7, 9), 7);
    }

    #[test]
    fn halves_down_to_one_block_and_grows_back() {
        let mut range = RangeSize::new(10);
        let mut sizes = vec![range.end(1, 100)];
        while range.too_large() {
            sizes.push(range.end(1, 100));
        }
        assert_eq!(sizes, [10, 5, 2, 1]);
        for _ in 0..20 {
            range.read();
        }
        assert_eq!(range.end(1, 100), 10);
    }
}
