//! Where the data of a batch goes, by what it costs there. Pure.

use alloy_primitives::U256;
use ensemble_batch::BLOB_BYTES;
use ensemble_l1::{CallDataGas, FeePolicy, Market};

/// Gas of a commit without its payload: `commit` of `benches/gas.json`.
const COMMIT_GAS: u64 = 61_873;
/// The least gas of its call data: the selector and seven words, none of whose bytes is taken to be zero.
const COMMIT_FLOOR: u64 = 21_000 + (4 + 7 * 32) * 40;
/// Gas of each word of a payload in call data besides what its bytes cost: the proxy and the contract copy it to memory
/// that grows by it, and the contract hashes it.
const WORD_GAS: u64 = 2 * (3 + 3) + 6;
/// By so much of it the price has to be lower elsewhere, in percent. A pool takes either blob transactions or others
/// from one account, so with each change the next commit waits until all before it are confirmed.
const MARGIN_PERCENT: u64 = 20;

/// Longest payload in call data: what one blob holds. With what stands around it, it is below the 128 KiB that pools of
/// L1 nodes take as one transaction (`txMaxSize` of geth, `txpool.max-tx-input-bytes` of reth).
pub(super) const MAX_CALL_DATA: usize = ensemble_batch::usable_bytes(1);

/// Where the data of one batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Blobs,
    CallData,
    Nowhere,
}

/// The price in wei of a payload in either place, besides what every commit costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prices {
    blobs: U256,
    call_data: U256,
}

impl Prices {
    /// For this payload in so many blobs. `None` when the price of blobs is not known.
    pub(super) fn of(payload: &[u8], blobs: usize, market: &Market, policy: &FeePolicy) -> Option<Self> {
        let blob_gas = U256::from(blobs) * U256::from(BLOB_BYTES);
        let gas_price = U256::from(market.base_fee) + U256::from(policy.tip(market));
        Some(Self {
            blobs: blob_gas * U256::from(market.blob_base_fee?),
            call_data: U256::from(payload_gas(payload)) * gas_price,
        })
    }

    /// The cheaper place; the one before unless the other is cheaper by the margin. Blobs when they cost the same and
    /// neither was before.
    pub(super) fn choose(&self, before: Option<Place>) -> Place {
        let percent = |price: U256, percent| price.saturating_mul(U256::from(percent));
        let less = 100 - MARGIN_PERCENT;
        let call_data_is_cheaper = match before {
            Some(Place::Blobs) => percent(self.call_data, 100) < percent(self.blobs, less),
            Some(Place::CallData) => percent(self.blobs, 100) >= percent(self.call_data, less),
            Some(Place::Nowhere) | None => self.call_data < self.blobs,
        };
        if call_data_is_cheaper { Place::CallData } else { Place::Blobs }
    }
}

/// Gas that a payload adds to the commit in whose call data it lies.
fn payload_gas(payload: &[u8]) -> u64 {
    let CallDataGas { used, floor } = CallDataGas::of(payload);
    let words = payload.len().div_ceil(32) as u64;
    // the square of the words counts in the memory of either frame (yellow paper, H.1)
    let memory = 2 * (words * words / 512);
    let used = COMMIT_GAS + used + words * WORD_GAS + memory;
    used.max(floor - CallDataGas::of(&[]).floor + COMMIT_FLOOR) - COMMIT_GAS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn market(base_fee: u128, blob_base_fee: u128) -> Market {
        Market { base_fee, tip: 0, blob_base_fee: Some(blob_base_fee) }
    }

    /// A policy that adds no tip.
    fn untipped() -> FeePolicy {
        FeePolicy { min_priority_fee_per_gas: 0, ..FeePolicy::default() }
    }

    fn prices(payload: &[u8], blobs: usize, market: &Market) -> Prices {
        Prices::of(payload, blobs, market, &untipped()).unwrap()
    }

    #[test]
    fn the_gas_of_a_commit_is_that_of_the_snapshot() {
        let snapshot: serde_json::Value =
            serde_json::from_str(include_str!("../../../benches/gas.json")).unwrap();
        assert_eq!(snapshot["commit"].as_u64(), Some(COMMIT_GAS));
    }

    /// A short payload costs what it uses, a long one the floor of EIP-7623.
    #[test]
    fn gas_of_a_payload() {
        assert_eq!(payload_gas(&[]), 0);
        assert_eq!(payload_gas(&[1; 32]), 32 * 16 + 18);
        assert_eq!(payload_gas(&[0; 32]), 32 * 4 + 18);
        assert_eq!(payload_gas(&[1; 100_000]), 21_000 + 40 * (100_000 + 228) - COMMIT_GAS);
        assert_eq!(payload_gas(&[0; 100_000]), 21_000 + 40 * 228 + 10 * 100_000 - COMMIT_GAS);
    }

    /// A blob costs 131,072 blob gas whatever is in it; 300 bytes cost 4,980 gas in call data.
    #[test]
    fn the_cheaper_one() {
        let short = [7; 300];
        assert_eq!(payload_gas(&short), 4_980);
        let even = 131_072 * 1_000 / 4_980;
        assert_eq!(prices(&short, 1, &market(even, 1_000)).choose(None), Place::CallData);
        assert_eq!(prices(&short, 1, &market(even + 1, 1_000)).choose(None), Place::Blobs);
        assert_eq!(prices(&short, 1, &market(0, 0)).choose(None), Place::Blobs, "they cost the same");
        // EIP-7918: the price of blobs is not far below a sixteenth of the base fee. A full blob is then far cheaper than
        // call data; it takes blobs dearer than gas by a factor of 39 to change that.
        let full = vec![7; MAX_CALL_DATA];
        assert_eq!(prices(&full, 1, &market(1_600, 100)).choose(None), Place::Blobs);
        assert_eq!(prices(&full, 1, &market(100, 3_900)).choose(None), Place::Blobs);
        assert_eq!(prices(&full, 1, &market(100, 4_000)).choose(None), Place::CallData);
        // more blobs for the same payload are dearer
        assert_eq!(prices(&full, 2, &market(100, 2_000)).choose(None), Place::CallData);
    }

    /// A tip is paid for gas, not for blob gas; it is what L1Sender would offer.
    #[test]
    fn tips_count_and_unknown_prices_give_none() {
        let payload = [7; 300];
        let cheap = market(1_000, 1_000);
        let choose = |market: &Market, policy: &FeePolicy| {
            Prices::of(&payload, 1, market, policy).unwrap().choose(None)
        };
        let tipped = Market { tip: 100_000, ..cheap };
        assert_eq!(choose(&cheap, &untipped()), Place::CallData);
        assert_eq!(choose(&tipped, &untipped()), Place::Blobs);
        assert_eq!(
            choose(&cheap, &FeePolicy { min_priority_fee_per_gas: 100_000, ..untipped() }),
            Place::Blobs
        );
        let capped = FeePolicy { max_priority_fee_per_gas: 1, ..untipped() };
        assert_eq!(choose(&tipped, &capped), Place::CallData);
        let unknown = Market { blob_base_fee: None, ..cheap };
        assert_eq!(Prices::of(&payload, 1, &unknown, &untipped()), None);
    }

    /// What was before stays until the other is cheaper by more than 20 %.
    #[test]
    fn a_change_needs_a_margin() {
        let at = |blobs: u64, call_data: u64| Prices {
            blobs: U256::from(blobs),
            call_data: U256::from(call_data),
        };
        for (blobs, call_data, before, after) in [
            (1_000, 801, Place::Blobs, Place::Blobs),
            (1_000, 800, Place::Blobs, Place::Blobs),
            (1_000, 799, Place::Blobs, Place::CallData),
            (801, 1_000, Place::CallData, Place::CallData),
            (800, 1_000, Place::CallData, Place::CallData),
            (799, 1_000, Place::CallData, Place::Blobs),
            (999, 1_000, Place::Nowhere, Place::Blobs),
            (1_000, 999, Place::Nowhere, Place::CallData),
        ] {
            assert_eq!(at(blobs, call_data).choose(Some(before)), after, "{blobs} {call_data} {before:?}");
        }
    }

    #[test]
    fn the_dearest_prices_do_not_overflow() {
        let policy = FeePolicy { max_priority_fee_per_gas: u128::MAX, ..FeePolicy::default() };
        let most = Market { base_fee: u128::MAX, tip: u128::MAX, blob_base_fee: Some(u128::MAX) };
        let full = vec![7; MAX_CALL_DATA];
        let of = |blobs, market: &Market| Prices::of(&full, blobs, market, &policy).unwrap();
        for before in [None, Some(Place::Blobs), Some(Place::CallData)] {
            assert_eq!(
                of(16, &most).choose(before),
                Place::Blobs,
                "more gas than blob gas, and each dearer by its tip"
            );
            assert_eq!(of(16, &Market { base_fee: 1, tip: 1, ..most }).choose(before), Place::CallData);
            assert_eq!(of(16, &Market { blob_base_fee: Some(1), ..most }).choose(before), Place::Blobs);
        }
    }

    fn fee() -> impl Strategy<Value = u128> {
        prop_oneof![0..1_000u128, 0..1_000_000_000_000u128, any::<u128>()]
    }

    proptest! {
        /// The choice is never dearer than the other place by more than the margin, and asked again it stays.
        #[test]
        fn the_choice_is_sound(
            payload in prop::collection::vec(any::<u8>(), 1..5_000), blobs in 1..=16usize,
            base_fee in fee(), tip in fee(), blob in fee(), before in prop::sample::select(vec![
                None, Some(Place::Blobs), Some(Place::CallData), Some(Place::Nowhere),
            ]),
        ) {
            let market = Market { base_fee, tip, blob_base_fee: Some(blob) };
            let prices = Prices::of(&payload, blobs, &market, &FeePolicy::default()).unwrap();
            let chosen = prices.choose(before);
            let (own, other) = match chosen {
                Place::Blobs => (prices.blobs, prices.call_data),
                Place::CallData => (prices.call_data, prices.blobs),
                Place::Nowhere => return Err(TestCaseError::fail("nowhere is no choice")),
            };
            prop_assert!(own * U256::from(100 - MARGIN_PERCENT) <= other * U256::from(100));
            prop_assert_eq!(prices.choose(Some(chosen)), chosen);
        }
    }
}
