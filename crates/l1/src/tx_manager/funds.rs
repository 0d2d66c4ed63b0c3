//! Whether an account can pay for what is in flight.

use alloy_primitives::{Address, U256};
use ensemble_error::{Classify, Severity};

/// The account cannot pay the worst case of everything in flight and one transaction more. Nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "account {account} has {balance} wei; what is in flight may cost {in_flight} wei and this transaction {cost} wei, so {missing} wei are missing: top up the account"
)]
pub struct Shortfall {
    /// The account.
    pub account: Address,
    /// Its balance in wei.
    pub balance: U256,
    /// Worst cost in wei of its other transactions in flight.
    pub in_flight: U256,
    /// Worst cost in wei of the transaction to sign.
    pub cost: U256,
    /// What is missing, in wei.
    pub missing: U256,
}

impl Classify for Shortfall {
    fn severity(&self) -> Severity {
        let Self { account: _, balance: _, in_flight: _, cost: _, missing: _ } = self;
        Severity::Recoverable
    }
}

/// What an account has, and what it may have to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funds {
    /// The account.
    pub account: Address,
    /// Its balance in wei.
    pub balance: U256,
    /// Worst cost in wei of its other transactions in flight ([`super::TxManager::worst_cost`]).
    pub in_flight: U256,
}

impl Funds {
    /// Whether a transaction can be signed that may cost this many wei.
    ///
    /// # Errors
    /// [`Shortfall`] when not.
    pub fn cover(&self, cost: U256) -> Result<(), Box<Shortfall>> {
        let Self { account, balance, in_flight } = *self;
        let needed = in_flight.saturating_add(cost);
        match needed.checked_sub(balance) {
            Some(missing) if !missing.is_zero() => {
                Err(Box::new(Shortfall { account, balance, in_flight, cost, missing }))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// For how many transactions of this cost the balance is enough, beside what is in flight.
    #[must_use]
    pub fn transactions_left(&self, cost: U256) -> u64 {
        let free = self.balance.saturating_sub(self.in_flight);
        free.checked_div(cost).map_or(u64::MAX, |n| n.saturating_to::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn funds(balance: u64, in_flight: u64) -> Funds {
        Funds {
            account: Address::repeat_byte(7),
            balance: U256::from(balance),
            in_flight: U256::from(in_flight),
        }
    }

    #[test]
    fn everything_in_flight_counts() {
        assert_eq!(funds(100, 60).cover(U256::from(40)), Ok(()));
        let shortfall = funds(100, 60).cover(U256::from(41));
        let expected = Shortfall {
            account: Address::repeat_byte(7),
            balance: U256::from(100),
            in_flight: U256::from(60),
            cost: U256::from(41),
            missing: U256::from(1),
        };
        assert_eq!(shortfall, Err(Box::new(expected)));
        let text = expected.to_string();
        assert!(text.contains("0x0707") && text.contains("so 1 wei are missing"), "{text}");
        assert!(funds(0, 0).cover(U256::MAX).is_err() && funds(0, 1).cover(U256::MAX).is_err());
        assert_eq!(funds(0, 0).cover(U256::ZERO), Ok(()));
    }

    #[test]
    fn counts_what_is_left() {
        assert_eq!(funds(100, 60).transactions_left(U256::from(15)), 2);
        assert_eq!(funds(60, 100).transactions_left(U256::from(15)), 0);
        assert_eq!(funds(60, 0).transactions_left(U256::ZERO), u64::MAX);
    }
}
