//! How much gas a transaction gets that cannot be simulated, because what it builds on is not mined yet.

use std::collections::{BTreeMap, BTreeSet};

use super::IntentId;

/// Intents that are remembered as reverted. Beyond this many the oldest knowledge is dropped: it costs at most one
/// more revert.
const MAX_REVERTED: usize = 1024;

/// What simulations have shown, by kind of transaction. Pure.
///
/// A transaction whose predecessor is in flight reverts in a simulation on the head. It is signed *unsimulated* with
/// the gas of the last one of its kind, if
/// - one of its kind was simulated, and none has reverted since;
/// - it has never reverted itself: who was mined in vain once must pass a simulation.
///
/// So a predecessor that fails costs each of its successors at most one reverted transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GasBook {
    known: BTreeMap<String, u64>,
    reverted: BTreeSet<IntentId>,
}

impl GasBook {
    /// An empty book: nothing is signed unsimulated.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A simulation of this kind has passed with this much gas.
    pub fn passed(&mut self, kind: &str, gas: u64) {
        self.known.insert(kind.to_owned(), gas);
    }

    /// The gas limit for an unsimulated transaction: that of its kind and a quarter more. `None`: it must wait
    /// until it can be simulated.
    #[must_use]
    pub fn unsimulated(&self, kind: &str, intent: &IntentId) -> Option<u64> {
        if self.reverted.contains(intent) {
            return None;
        }
        self.known.get(kind).map(|gas| gas.saturating_add(gas / 4))
    }

    /// A transaction of this intent was mined and has reverted.
    pub fn mined_in_vain(&mut self, kind: &str, intent: IntentId) {
        self.known.remove(kind);
        if self.reverted.len() >= MAX_REVERTED {
            self.reverted.clear();
        }
        self.reverted.insert(intent);
    }

    /// The intent has succeeded.
    pub fn succeeded(&mut self, intent: &IntentId) {
        self.reverted.remove(intent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_at_first_and_after_a_revert() {
        let (a, b) = (IntentId::from("a"), IntentId::from("b"));
        let mut book = GasBook::new();
        assert_eq!(book.unsimulated("commit/1", &b), None);
        book.passed("commit/1", 100_000);
        assert_eq!(book.unsimulated("commit/1", &b), Some(125_000));
        assert_eq!(book.unsimulated("commit/2", &b), None, "other blobs, other gas");
        book.mined_in_vain("commit/1", a.clone());
        assert_eq!(book.unsimulated("commit/1", &b), None, "something is wrong with this kind");
        book.passed("commit/1", 90_000);
        assert_eq!(book.unsimulated("commit/1", &b), Some(112_500));
        assert_eq!(book.unsimulated("commit/1", &a), None, "once in vain is enough");
        book.succeeded(&a);
        assert_eq!(book.unsimulated("commit/1", &a), Some(112_500));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut book = GasBook::new();
        for n in 0..3 * MAX_REVERTED {
            book.mined_in_vain("k", IntentId(n.to_string()));
        }
        assert!(book.reverted.len() <= MAX_REVERTED);
    }
}
