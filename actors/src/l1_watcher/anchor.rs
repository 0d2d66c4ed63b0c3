//! Deposits that the L2 holds and L1 has dropped: what it means that L1 has deposits again. Pure.

use ensemble_batch::Deposit;

use crate::ActorError;

/// Compares deposits that were just read with those that L1 had dropped (both in order of their ids), and gives those
/// that are new to the ledger.
///
/// # Errors
/// [`ActorError::DepositReplaced`] when L1 has another one under the id of one that the L2 holds.
pub(super) fn anchor<'a>(dropped: &[Deposit], read: &'a [Deposit]) -> Result<&'a [Deposit], ActorError> {
    for (ours, theirs) in dropped.iter().zip(read) {
        // The rolling hash covers id, receiver, amount, and all that came before.
        if (ours.id, ours.rolling_hash) != (theirs.id, theirs.rolling_hash) {
            return Err(ActorError::DepositReplaced { id: ours.id, l1_block: theirs.l1_block });
        }
    }
    Ok(read.get(dropped.len()..).unwrap_or_default())
}

/// What the watcher says while L1 lacks deposits that the L2 holds.
///
/// # Errors
/// [`ActorError::DepositsDropped`] as long as there are any.
pub(super) fn complete(dropped: &[Deposit]) -> Result<(), ActorError> {
    match (dropped.first(), dropped.last()) {
        (Some(first), Some(last)) => Err(ActorError::DepositsDropped { first: first.id, last: last.id }),
        (None, _) | (_, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, U256};

    use super::*;

    fn deposits(ids: std::ops::RangeInclusive<u64>, l1_block: u64, variant: u8) -> Vec<Deposit> {
        ids.map(|id| Deposit {
            id,
            to: Address::ZERO,
            amount: U256::from(id),
            rolling_hash: B256::from(U256::from(id)) | B256::right_padding_from(&[variant]),
            l1_block,
            l1_block_hash: B256::ZERO,
        })
        .collect()
    }

    /// SEQ-INV-1: what comes back is not taken for new; what follows is.
    #[test]
    fn the_same_deposits_come_back() {
        let dropped = deposits(4..=6, 0, 1);
        let again = deposits(4..=8, 20, 1);
        assert_eq!(anchor(&dropped, &again[..2]).expect("the same"), []);
        assert_eq!(anchor(&dropped, &again).expect("the same"), &again[3..]);
        assert_eq!(anchor(&[], &again).expect("all new"), again);
        assert_eq!(anchor(&dropped, &[]).expect("nothing yet"), []);
    }

    /// SEQ-INV-1: another deposit under the same id is never mixed into the chain.
    #[test]
    fn other_deposits_are_refused() {
        let dropped = deposits(4..=6, 0, 1);
        let mut again = deposits(4..=5, 20, 1);
        again.extend(deposits(6..=7, 21, 2));
        let error = anchor(&dropped, &again).expect_err("6 is another one");
        assert!(matches!(error, ActorError::DepositReplaced { id: 6, l1_block: 21 }), "{error}");
    }

    #[test]
    fn the_gap_is_named() {
        let error = complete(&deposits(4..=6, 0, 1)).expect_err("a gap");
        assert!(matches!(error, ActorError::DepositsDropped { first: 4, last: 6 }), "{error}");
        assert!(complete(&[]).is_ok());
    }
}
