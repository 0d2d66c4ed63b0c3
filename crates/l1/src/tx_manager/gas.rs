//! How much gas a transaction gets that cannot be simulated, because what it builds on is not mined yet.

use std::collections::{BTreeMap, BTreeSet};

use super::IntentId;
use crate::CallDataGas;

/// Intents that are remembered as reverted. Beyond this many the oldest knowledge is dropped: it costs at most one
/// more revert.
const MAX_REVERTED: usize = 1024;

/// What simulations have shown, by kind of transaction. Pure.
///
/// A transaction whose predecessor is in flight reverts in a simulation on the head. It is signed *unsimulated* with
/// the gas of the last one of its kind, corrected by what its own call data costs, if
/// - one of its kind was simulated, and none has reverted since;
/// - it has never reverted itself: who was mined in vain once must pass a simulation.
///
/// So a predecessor that fails costs each of its successors at most one reverted transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GasBook {
    /// Gas besides call data.
    known: BTreeMap<String, u64>,
    reverted: BTreeSet<IntentId>,
}

impl GasBook {
    /// An empty book: nothing is signed unsimulated.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A simulation of this kind has passed with this much gas, that of its call data included.
    pub fn passed(&mut self, kind: &str, gas: u64, data: CallDataGas) {
        self.known.insert(kind.to_owned(), gas.saturating_sub(data.used));
    }

    /// The gas limit for an unsimulated transaction: that of its kind, with its own call data, and a quarter more. It is
    /// never below the least that such call data costs. `None`: it must wait until it can be simulated.
    #[must_use]
    pub fn unsimulated(&self, kind: &str, intent: &IntentId, data: CallDataGas) -> Option<u64> {
        if self.reverted.contains(intent) {
            return None;
        }
        let gas = self.known.get(kind)?.saturating_add(data.used).max(data.floor);
        Some(gas.saturating_add(gas / 4))
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
        let data = CallDataGas { used: 4_000, floor: 31_000 };
        let mut book = GasBook::new();
        assert_eq!(book.unsimulated("commit/1", &b, data), None);
        book.passed("commit/1", 100_000, data);
        assert_eq!(book.unsimulated("commit/1", &b, data), Some(125_000));
        assert_eq!(book.unsimulated("commit/2", &b, data), None, "other blobs, other gas");
        book.mined_in_vain("commit/1", a.clone());
        assert_eq!(book.unsimulated("commit/1", &b, data), None, "something is wrong with this kind");
        book.passed("commit/1", 90_000, data);
        assert_eq!(book.unsimulated("commit/1", &b, data), Some(112_500));
        assert_eq!(book.unsimulated("commit/1", &a, data), None, "once in vain is enough");
        book.succeeded(&a);
        assert_eq!(book.unsimulated("commit/1", &a, data), Some(112_500));
    }

    /// Two commits with payloads of different lengths in their call data: neither gets too little, whichever was simulated.
    #[test]
    fn other_call_data_is_other_gas() {
        let intent = IntentId::from("a");
        let (short, long) = (CallDataGas::of(&[7; 300]), CallDataGas::of(&[7; 100_000]));
        assert!(short.used + 60_000 > short.floor && long.used + 60_000 < long.floor);
        let gas = |data: CallDataGas| (60_000 + data.used).max(data.floor);
        for (simulated, next) in [(short, long), (long, short), (short, short), (long, long)] {
            let mut book = GasBook::new();
            book.passed("commit/0", gas(simulated), simulated);
            let limit = book.unsimulated("commit/0", &intent, next).unwrap_or_default();
            assert!(limit >= gas(next) + gas(next) / 4, "{simulated:?} {next:?}: {limit}");
        }
        let mut book = GasBook::new();
        book.passed("k", 1, CallDataGas { used: 2, floor: 0 });
        let most = CallDataGas { used: u64::MAX, floor: u64::MAX };
        assert_eq!(book.unsimulated("k", &intent, most), Some(u64::MAX), "without overflow");
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
