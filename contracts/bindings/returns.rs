//! What the views answer.

use std::num::NonZeroU64;

use alloy_primitives::{Address, B256};

use crate::words::{Words, address_of, bool_of, u40_of, u64_of};
use crate::{BatchRange, ContractError, ScheduledBackend};

/// `OnChainProposer` takes at most this many backends.
pub const MAX_BACKENDS: usize = 15;

fn read<T>(
    data: &[u8],
    what: &'static str,
    words: usize,
    decode: impl FnOnce(Words<'_>) -> Result<T, String>,
) -> Result<T, ContractError> {
    if data.is_empty() {
        return Err(ContractError::NoContract { what });
    }
    Words::exact(data, words).and_then(decode).map_err(|reason| ContractError::BadAnswer { what, reason })
}

/// An unsigned integer that fits 64 bits, whatever its Solidity type.
///
/// # Errors
/// [`ContractError::NoContract`] for no bytes, [`ContractError::BadAnswer`] for other than one word of 64 bits.
pub fn u64(data: &[u8]) -> Result<u64, ContractError> {
    read(data, "unsigned integer", 1, |mut words| words.u64())
}

/// A `bytes32`.
///
/// # Errors
/// As [`u64()`].
pub fn b256(data: &[u8]) -> Result<B256, ContractError> {
    read(data, "bytes32", 1, |mut words| words.word())
}

/// An `address`.
///
/// # Errors
/// As [`u64()`].
pub fn address(data: &[u8]) -> Result<Address, ContractError> {
    read(data, "address", 1, |mut words| address_of(words.word()?))
}

/// A `bool`.
///
/// # Errors
/// As [`u64()`].
pub fn bool(data: &[u8]) -> Result<bool, ContractError> {
    read(data, "bool", 1, |mut words| bool_of(words.word()?))
}

/// The bridge's queue after a deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositCheckpoint {
    /// The rolling hash, low 32 bits zero.
    pub rolling_hash: B256,
    /// L1 time (Unix seconds) of the deposit after it, `None` when there is none yet.
    pub next_deposit_at: Option<u64>,
}

/// The answer of [`calls::deposit_checkpoint`](crate::calls::deposit_checkpoint).
///
/// # Errors
/// As [`u64()`].
pub fn deposit_checkpoint(data: &[u8]) -> Result<DepositCheckpoint, ContractError> {
    read(data, "deposit checkpoint", 2, |mut words| {
        Ok(DepositCheckpoint {
            rolling_hash: words.word()?,
            next_deposit_at: Some(words.u64()?).filter(|at| *at != 0),
        })
    })
}

/// The answer of [`calls::backends`](crate::calls::backends): the backends in the order in which `verifyBatches`
/// takes their proofs, and how many must have a proof.
///
/// # Errors
/// As [`u64()`]; also for more than [`MAX_BACKENDS`] backends.
pub fn backends(data: &[u8]) -> Result<(Vec<ScheduledBackend>, u8), ContractError> {
    let what = "list of proof backends";
    let bad = |reason: &str| ContractError::BadAnswer { what, reason: reason.to_owned() };
    // abi.encode((address,bool,uint40,uint40,bytes32)[], uint8): offset, threshold, length, five words per backend.
    let count = data.len().saturating_sub(96) / 160;
    if count > MAX_BACKENDS {
        return Err(bad("there are too many"));
    }
    read(data, what, 3 + 5 * count, |mut words| {
        if words.u64()? != 64 {
            return Err("the list does not follow the threshold".to_owned());
        }
        let threshold =
            u8::try_from(words.u64()?).map_err(|_| "the threshold does not fit 8 bits".to_owned())?;
        if words.u64()? != count as u64 {
            return Err("its length is not that of the data".to_owned());
        }
        let list = (0..count)
            .map(|_| {
                Ok(ScheduledBackend {
                    verifier: address_of(words.word()?)?,
                    required: bool_of(words.word()?)?,
                    batches: BatchRange {
                        first: u40_of(words.word()?)?,
                        last: NonZeroU64::new(u40_of(words.word()?)?),
                    },
                    program_key: words.word()?,
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        Ok((list, threshold))
    })
}

/// A `uint256` that fits 64 bits, from a single word that is already cut out of an answer.
///
/// # Errors
/// [`ContractError::BadAnswer`] when it does not fit.
pub fn u64_word(word: B256) -> Result<u64, ContractError> {
    u64_of(word).map_err(|reason| ContractError::BadAnswer { what: "unsigned integer", reason })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::U256;
    use ensemble_error::{Classify, Severity};
    use ethers_core::abi::AbiEncode;
    use proptest::prelude::*;

    use super::*;
    use crate::abi::proposer;
    use crate::calls::proposer_backends;

    fn word(value: u64) -> Vec<u8> {
        U256::from(value).to_be_bytes_vec()
    }

    #[test]
    fn single_words() {
        assert_eq!(u64(&word(7)).unwrap(), 7);
        assert_eq!(b256(&word(7)).unwrap(), B256::from(U256::from(7)));
        assert_eq!(address(&word(0xAA)).unwrap(), crate::SKIPPED_VERIFIER);
        assert!(bool(&word(1)).unwrap());
        assert!(!bool(&word(0)).unwrap());
        assert!(bool(&word(2)).is_err());
        assert!(u64(&[0xff; 32]).is_err());
        assert!(address(&[0xff; 32]).is_err());
        assert!(b256(&[0; 33]).is_err());
        assert!(b256(&[0; 64]).is_err());
        assert_eq!(u64_word(B256::from(U256::from(3))).unwrap(), 3);
    }

    /// An address without code is a wrong configuration: no retry helps.
    #[test]
    fn no_contract() {
        for error in [
            u64(&[]).unwrap_err(),
            b256(&[]).unwrap_err(),
            backends(&[]).unwrap_err(),
            deposit_checkpoint(&[]).unwrap_err(),
        ] {
            assert!(matches!(error, ContractError::NoContract { .. }));
            assert_eq!(error.severity(), Severity::Fatal);
        }
        assert_eq!(u64(&[1]).unwrap_err().severity(), Severity::Transient);
    }

    #[test]
    fn checkpoint() {
        let hash = B256::repeat_byte(5);
        let at = |time| deposit_checkpoint(&[hash.to_vec(), word(time)].concat()).unwrap();
        assert_eq!(at(0), DepositCheckpoint { rolling_hash: hash, next_deposit_at: None });
        assert_eq!(at(9), DepositCheckpoint { rolling_hash: hash, next_deposit_at: Some(9) });
    }

    fn list(count: usize) -> Vec<ScheduledBackend> {
        (0..count)
            .map(|i| ScheduledBackend {
                verifier: Address::repeat_byte(i as u8 + 1),
                required: i % 2 == 0,
                batches: BatchRange {
                    first: i as u64 * 7,
                    last: NonZeroU64::new(if i % 3 == 0 { 0 } else { (1 << 40) - i as u64 }),
                },
                program_key: B256::repeat_byte(i as u8 + 100),
            })
            .collect()
    }

    /// Against the encoder of the generated bindings.
    #[test]
    fn backends_round_trip() {
        for count in 0..=MAX_BACKENDS {
            let encoded =
                proposer::BackendsReturn { list: proposer_backends(&list(count)), threshold: count as u8 }
                    .encode();
            assert_eq!(backends(&encoded).unwrap(), (list(count), count as u8));
        }
        let many = proposer::BackendsReturn { list: proposer_backends(&list(16)), threshold: 1 }.encode();
        assert!(backends(&many).is_err());
    }

    proptest! {
        /// SEQ-INV-11: bytes from outside give a value or an error.
        #[test]
        fn any_bytes(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            let outcomes = [
                u64(&data).is_ok(), b256(&data).is_ok(), address(&data).is_ok(), bool(&data).is_ok(),
            ];
            prop_assert!(data.len() == 32 || outcomes.iter().all(|ok| !ok));
            prop_assert!(data.len() == 64 || deposit_checkpoint(&data).is_err());
            prop_assert!(data.len() % 160 == 96 || backends(&data).is_err());
        }

        /// A flipped bit in a list of backends is an error or another value, never the same value.
        #[test]
        fn backends_are_canonical(count in 0usize..4, at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let good = proposer::BackendsReturn { list: proposer_backends(&list(count)), threshold: 1 }.encode();
            let mut data = good.clone();
            let at = at.index(data.len());
            data[at] ^= 1 << bit;
            prop_assert_ne!(backends(&data).ok(), backends(&good).ok());
        }
    }
}
