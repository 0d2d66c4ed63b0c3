//! Which proofs L1 wants of a batch. Pure.

use ensemble_messages::ProverType;

/// One backend of the proposer, at its place in the contract's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofSlot {
    /// Kind of its proofs.
    pub kind: ProverType,
    /// Whether nothing is verified without its proof.
    pub required: bool,
}

/// The proofs that L1 wants: at least so many, and every required one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProofPolicy {
    /// The contract's backends in its order; none where it takes no proof now (a backend of other batches).
    pub slots: Vec<Option<ProofSlot>>,
    /// How many proofs at least. 0: none, in dev mode.
    pub threshold: usize,
}

impl ProofPolicy {
    /// One required proof of each kind, in this order.
    #[must_use]
    pub fn all_of(kinds: &[ProverType]) -> Self {
        let slots = kinds.iter().map(|kind| Some(ProofSlot { kind: *kind, required: true })).collect();
        Self { slots, threshold: kinds.len() }
    }

    /// The kinds of proof that count, in the contract's order.
    pub fn kinds(&self) -> impl Iterator<Item = ProverType> + '_ {
        self.slots.iter().flatten().map(|slot| slot.kind)
    }

    /// Whether L1 verifies a batch with these proofs.
    #[must_use]
    pub fn is_enough(&self, there: &[ProverType]) -> bool {
        let given = |slot: &ProofSlot| there.contains(&slot.kind);
        let slots = || self.slots.iter().flatten();
        slots().all(|slot| !slot.required || given(slot))
            && slots().filter(|slot| given(slot)).count() >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use ProverType::{Exec, Pico, Risc0, Sp1};

    use super::*;

    fn slot(kind: ProverType, required: bool) -> Option<ProofSlot> {
        Some(ProofSlot { kind, required })
    }

    /// SEQ-INV-7: what would revert is not sent.
    #[test]
    fn the_required_ones_and_enough_of_all() {
        let policy = ProofPolicy {
            slots: vec![slot(Risc0, true), None, slot(Sp1, false), slot(Exec, false)],
            threshold: 2,
        };
        assert_eq!(policy.kinds().collect::<Vec<_>>(), [Risc0, Sp1, Exec]);
        assert!(policy.is_enough(&[Risc0, Exec]));
        assert!(policy.is_enough(&[Sp1, Risc0]));
        assert!(policy.is_enough(&[Exec, Sp1, Risc0]));
        assert!(!policy.is_enough(&[Exec, Sp1]), "the required one is missing");
        assert!(!policy.is_enough(&[Risc0]), "one is not enough");
        assert!(!policy.is_enough(&[Risc0, Pico]), "nobody has asked for that");
        assert!(!policy.is_enough(&[]));
    }

    #[test]
    fn all_of_them_or_none_at_all() {
        let all = ProofPolicy::all_of(&[Exec, Sp1]);
        assert!(all.is_enough(&[Sp1, Exec]) && !all.is_enough(&[Exec]) && !all.is_enough(&[Sp1]));
        assert!(ProofPolicy::default().is_enough(&[]), "dev mode");
    }
}
