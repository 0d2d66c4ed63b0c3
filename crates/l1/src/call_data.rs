//! What call data costs.

/// Gas of every transaction.
const TRANSACTION: u64 = 21_000;
/// Gas of a zero byte and of any other (EIP-2028).
const ZERO: u64 = 4;
const OTHER: u64 = 16;
/// The same in the least that a transaction costs: 10 for each of their 1 and 4 tokens (EIP-7623).
const ZERO_FLOOR: u64 = 10;
const OTHER_FLOOR: u64 = 40;

/// Gas of a transaction's call data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallDataGas {
    /// What it adds to the gas of the transaction (EIP-2028).
    pub used: u64,
    /// The least gas that a transaction with it costs, whatever it does (EIP-7623). A lower gas limit makes the
    /// transaction invalid.
    pub floor: u64,
}

impl CallDataGas {
    /// Of these bytes.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
        let others = data.len() as u64 - zeros;
        Self {
            used: zeros * ZERO + others * OTHER,
            floor: TRANSACTION + zeros * ZERO_FLOOR + others * OTHER_FLOOR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted() {
        assert_eq!(CallDataGas::of(&[]), CallDataGas { used: 0, floor: 21_000 });
        let mixed = CallDataGas::of(&[0, 1, 0, 255, 0]);
        assert_eq!(mixed, CallDataGas { used: 3 * 4 + 2 * 16, floor: 21_000 + 3 * 10 + 2 * 40 });
    }
}
