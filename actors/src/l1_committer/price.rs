//! What it costs to publish a batch: blobs against call data. Pure.

use ensemble_batch::BLOB_BYTES;
use ensemble_l1::Market;

/// Gas of a commit without its data, `commit` of `benches/gas.json`.
const COMMIT_GAS: u128 = 61_873;
/// Gas of every transaction, part of [`COMMIT_GAS`].
const TRANSACTION_GAS: u128 = 21_000;
/// Bytes of the commit's call data in front of the payload.
const ARGUMENTS: usize = 4 + 7 * 32;
/// Gas of a zero byte and of another one in call data (EIP-2028).
const ZERO_BYTE_GAS: u128 = 4;
const OTHER_BYTE_GAS: u128 = 16;
/// The least gas for the same, 10 for each token (EIP-7623).
const ZERO_BYTE_FLOOR: u128 = 10;
const OTHER_BYTE_FLOOR: u128 = 40;
/// Gas that each word of call data costs besides: the proxy copies it once, the contract copies it once and hashes it, and
/// memory of either grows.
const WORD_GAS: u128 = 2 * (3 + 3) + 6;

/// Longest payload in call data: what one blob holds. With what stands around it, it is below the 128 KiB that pools of
/// L1 nodes take as a transaction.
pub(super) const MAX_CALL_DATA: usize = ensemble_batch::usable_bytes(1);

/// Gas of a commit whose payload is in its call data.
fn call_data_gas(payload: &[u8]) -> u128 {
    let zeros = payload.iter().filter(|byte| **byte == 0).count() as u128;
    let others = payload.len() as u128 - zeros;
    let words = payload.len().div_ceil(32) as u128;
    // above 22 KiB a growing part for the square of the words (yellow paper, H.1), in either frame
    let memory = 2 * (words * words / 512);
    let used = COMMIT_GAS + zeros * ZERO_BYTE_GAS + others * OTHER_BYTE_GAS + words * WORD_GAS + memory;
    // few bytes of the arguments are zero: all count as others, a few hundred gas too much
    let floor = TRANSACTION_GAS + zeros * ZERO_BYTE_FLOOR + (others + ARGUMENTS as u128) * OTHER_BYTE_FLOOR;
    used.max(floor)
}

/// Whether a commit costs less with its payload in call data than in so many blobs. Without a price of blobs it does not.
pub(super) fn call_data_is_cheaper(payload: &[u8], blobs: usize, market: &Market) -> bool {
    let Some(blob_base_fee) = market.blob_base_fee else { return false };
    let gas_price = market.base_fee.saturating_add(market.tip);
    let blob_gas = blobs as u128 * BLOB_BYTES as u128;
    let in_blobs =
        COMMIT_GAS.saturating_mul(gas_price).saturating_add(blob_gas.saturating_mul(blob_base_fee));
    call_data_gas(payload).saturating_mul(gas_price) < in_blobs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(base_fee: u128, blob_base_fee: u128) -> Market {
        Market { base_fee, tip: 0, blob_base_fee: Some(blob_base_fee) }
    }

    #[test]
    fn gas_of_call_data() {
        // a short payload costs what it uses, a long one the floor
        assert_eq!(call_data_gas(&[]), COMMIT_GAS);
        assert_eq!(call_data_gas(&[1; 32]), COMMIT_GAS + 32 * 16 + 18);
        assert_eq!(call_data_gas(&[0; 32]), COMMIT_GAS + 32 * 4 + 18);
        assert_eq!(call_data_gas(&[1; 100_000]), 21_000 + 40 * (100_000 + 228));
        assert_eq!(
            call_data_gas(&[0; 100_000]),
            COMMIT_GAS + 400_000 + 3_125 * 18 + 2 * (3_125 * 3_125 / 512)
        );
    }

    /// 300 bytes cost 4,900 gas more in call data. A blob costs 131,072 blob gas whatever is in it.
    #[test]
    fn the_cheaper_one() {
        let short = [7; 300];
        let extra = call_data_gas(&short) - COMMIT_GAS;
        let even = 131_072 * 1_000 / extra;
        assert!(call_data_is_cheaper(&short, 1, &market(even - 1, 1_000)));
        assert!(!call_data_is_cheaper(&short, 1, &market(even + 1, 1_000)));
        // EIP-7918: the price of blobs is not far below a sixteenth of the base fee. A full blob is then far cheaper than
        // call data; it takes blobs dearer than gas by a factor of 39 to change that.
        let full = vec![7; MAX_CALL_DATA];
        assert!(!call_data_is_cheaper(&full, 1, &market(1_600, 100)));
        assert!(!call_data_is_cheaper(&full, 1, &market(100, 3_900)));
        assert!(call_data_is_cheaper(&full, 1, &market(100, 4_000)));
        // more blobs for the same payload are dearer
        assert!(call_data_is_cheaper(&full, 2, &market(100, 2_000)));
    }

    /// A tip is paid for gas, not for blob gas.
    #[test]
    fn tips_count_and_unknown_prices_mean_blobs() {
        let payload = [7; 300];
        let cheap = market(1_000, 1_000);
        assert!(call_data_is_cheaper(&payload, 1, &cheap));
        assert!(!call_data_is_cheaper(&payload, 1, &Market { tip: 100_000, ..cheap }));
        assert!(!call_data_is_cheaper(&payload, 1, &Market { blob_base_fee: None, ..cheap }));
        assert!(!call_data_is_cheaper(&payload, 1, &market(u128::MAX, u128::MAX)), "without overflow");
    }
}
