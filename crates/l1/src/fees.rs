//! Fees of L1 transactions: pure arithmetic (but for [`Market::fetch`]) in saturating `u128`, all amounts in wei per gas.
//!
//! A first transaction pays `base fee × multiplier + tip`. A replacement must raise *both* EIP-1559 fields by 10 %
//! (the default of geth's and reth's pools), a blob replacement all three fields by 100 % (geth's blob pool), and
//! is never below what a fresh transaction would pay now. A fee that would pass a cap is a typed error, never a
//! silently lower fee: a transaction that is priced below the market only occupies its nonce.

use ensemble_error::{Classify, Severity};
use serde::{Deserialize, Serialize};

use crate::{FeeHistory, L1Client, L1Error};

/// Type of transaction, as far as fees and pools care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TxType {
    /// Type 2, without blobs.
    Eip1559,
    /// Type 3, with blobs (EIP-4844).
    Blob,
}

impl TxType {
    /// Least increase of every fee field in percent for a replacement: geth's `txpool.pricebump` and
    /// `blobpool.pricebump` defaults.
    #[must_use]
    pub const fn replacement_percent(self) -> u128 {
        match self {
            Self::Eip1559 => 10,
            Self::Blob => 100,
        }
    }

    /// The type that a pool does not take beside this one from the same account.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Eip1559 => Self::Blob,
            Self::Blob => Self::Eip1559,
        }
    }
}

/// The fee fields of a transaction, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FeePlan {
    /// `maxFeePerGas`.
    pub max_fee_per_gas: u128,
    /// `maxPriorityFeePerGas`, never above `max_fee_per_gas`.
    pub max_priority_fee_per_gas: u128,
    /// `maxFeePerBlobGas`; 0 in a plan for a transaction without blobs.
    pub max_fee_per_blob_gas: u128,
}

/// How fees are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeePolicy {
    /// Cap of `max_fee_per_gas`.
    pub max_fee_per_gas: u128,
    /// Cap of `max_priority_fee_per_gas` in a fresh transaction; a replacement may pass it, up to the other cap.
    pub max_priority_fee_per_gas: u128,
    /// Cap of `max_fee_per_blob_gas`.
    pub max_fee_per_blob_gas: u128,
    /// Least tip.
    pub min_priority_fee_per_gas: u128,
    /// Least `max_fee_per_blob_gas`; the protocol's minimum is 1 (EIP-4844), EIP-7918 makes it rise with the base
    /// fee.
    pub min_blob_fee_per_gas: u128,
    /// Percentile of the tips in recent blocks to pay, 0 to 100: what to ask `fee_history` for.
    pub tip_percentile: u8,
    /// Blocks of history to look at.
    pub history_blocks: u64,
    /// `max_fee_per_gas` leaves room for this many times the next base fee. 2 holds through six full blocks.
    pub base_fee_multiplier: u32,
    /// The same for blobs.
    pub blob_fee_multiplier: u32,
}

const GWEI: u128 = 1_000_000_000;

impl Default for FeePolicy {
    /// Caps of 500 gwei (gas), 50 gwei (tip) and 500 gwei (blob gas), a tip of at least 0.001 gwei, median tip of
    /// the last 20 blocks, twice the base fees.
    fn default() -> Self {
        Self {
            max_fee_per_gas: 500 * GWEI,
            max_priority_fee_per_gas: 50 * GWEI,
            max_fee_per_blob_gas: 500 * GWEI,
            min_priority_fee_per_gas: GWEI / 1000,
            min_blob_fee_per_gas: 1,
            tip_percentile: 50,
            history_blocks: 20,
            base_fee_multiplier: 2,
            blob_fee_multiplier: 2,
        }
    }
}

impl FeePolicy {
    /// The tip of a fresh transaction: the usual one within the bounds of the policy.
    #[must_use]
    pub fn tip(&self, market: &Market) -> u128 {
        market.tip.min(self.max_priority_fee_per_gas).max(self.min_priority_fee_per_gas)
    }
}

/// A fee field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeField {
    /// `max_fee_per_gas`.
    MaxFeePerGas,
    /// `max_fee_per_blob_gas`.
    MaxFeePerBlobGas,
}

impl std::fmt::Display for FeeField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MaxFeePerGas => "max_fee_per_gas",
            Self::MaxFeePerBlobGas => "max_fee_per_blob_gas",
        })
    }
}

/// The market wants more than the policy allows. Nothing is sent; it may pass when fees fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error(
    "fee cap reached: {field} needs {needed} wei, the cap is {cap} wei; wait for lower fees or raise the cap"
)]
pub struct FeeCapReached {
    /// Which field.
    pub field: FeeField,
    /// The cap in wei per gas.
    pub cap: u128,
    /// What is needed in wei per gas.
    pub needed: u128,
}

impl Classify for FeeCapReached {
    fn severity(&self) -> Severity {
        let Self { field: _, cap: _, needed: _ } = self;
        Severity::Recoverable
    }
}

/// What the network asks now, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Market {
    /// Base fee of the next block.
    pub base_fee: u128,
    /// Usual tip.
    pub tip: u128,
    /// Blob base fee of the next block. A plan bids the cap while it is unknown.
    pub blob_base_fee: Option<u128>,
}

impl Market {
    /// Asks the L1, also with `eth_blobBaseFee` when the price of blobs is wanted and the fee history lacks it.
    ///
    /// # Errors
    /// Those of [`L1Client::fee_history`] and [`L1Client::blob_base_fee`].
    pub async fn fetch(client: &dyn L1Client, policy: &FeePolicy, kind: TxType) -> Result<Self, L1Error> {
        let history = client.fee_history(policy.history_blocks, f64::from(policy.tip_percentile)).await?;
        let market = Self::from_history(&history);
        match (kind, market.blob_base_fee) {
            (TxType::Blob, None) => Ok(market.or_blob_base_fee(client.blob_base_fee().await?)),
            (TxType::Blob, Some(_)) | (TxType::Eip1559, _) => Ok(market),
        }
    }

    /// Reads a fee history: the next block's base fees, and the median of the tips of the blocks that had any.
    #[must_use]
    pub fn from_history(history: &FeeHistory) -> Self {
        let mut tips: Vec<u128> = history.rewards.iter().copied().filter(|tip| *tip > 0).collect();
        tips.sort_unstable();
        Self {
            base_fee: history.base_fee_per_gas.last().copied().unwrap_or(0),
            tip: tips.get(tips.len() / 2).copied().unwrap_or(0),
            blob_base_fee: history.base_fee_per_blob_gas.as_ref().and_then(|fees| fees.last().copied()),
        }
    }

    /// The same with a blob base fee from elsewhere (`eth_blobBaseFee`) when the history has none.
    #[must_use]
    pub fn or_blob_base_fee(self, blob_base_fee: u128) -> Self {
        Self { blob_base_fee: self.blob_base_fee.or(Some(blob_base_fee)), ..self }
    }
}

impl FeePlan {
    /// Fees of a fresh transaction.
    ///
    /// # Errors
    /// [`FeeCapReached`] when the next base fee with the tip, or the blob base fee, passes its cap. Below that, the
    /// head room that the multipliers want is cut down to the cap.
    pub fn fresh(market: &Market, policy: &FeePolicy, kind: TxType) -> Result<Self, FeeCapReached> {
        let tip = policy.tip(market);
        let needed = market.base_fee.saturating_add(tip);
        let wanted =
            market.base_fee.saturating_mul(multiplier(policy.base_fee_multiplier)).saturating_add(tip);
        let max_fee_per_gas = within(FeeField::MaxFeePerGas, needed, wanted, policy.max_fee_per_gas)?;
        let max_fee_per_blob_gas = match kind {
            TxType::Eip1559 => 0,
            TxType::Blob => {
                // Blob gas is paid at the block's price whatever the bid, so the cap is safe when the price is unknown.
                let base = market.blob_base_fee.unwrap_or(policy.max_fee_per_blob_gas);
                let needed = base.max(policy.min_blob_fee_per_gas).max(1);
                let wanted = base.saturating_mul(multiplier(policy.blob_fee_multiplier)).max(needed);
                within(FeeField::MaxFeePerBlobGas, needed, wanted, policy.max_fee_per_blob_gas)?
            }
        };
        Ok(Self { max_fee_per_gas, max_priority_fee_per_gas: tip, max_fee_per_blob_gas })
    }

    /// Fees of a transaction that replaces one with fees `self`: each field at least what the pools demand of a
    /// replacement, and at least what a fresh transaction pays now.
    ///
    /// # Errors
    /// [`FeeCapReached`] when a field would pass its cap. The old transaction is then best left as it is.
    pub fn bump(&self, market: &Market, policy: &FeePolicy, kind: TxType) -> Result<Self, FeeCapReached> {
        let fresh = Self::fresh(market, policy, kind)?;
        let floor = self.replacement_floor(kind);
        let max_priority_fee_per_gas = floor.max_priority_fee_per_gas.max(fresh.max_priority_fee_per_gas);
        let needed = floor.max_fee_per_gas.max(max_priority_fee_per_gas);
        let max_fee_per_gas = within(
            FeeField::MaxFeePerGas,
            needed,
            needed.max(fresh.max_fee_per_gas),
            policy.max_fee_per_gas,
        )?;
        let max_fee_per_blob_gas = match kind {
            TxType::Eip1559 => 0,
            TxType::Blob => within(
                FeeField::MaxFeePerBlobGas,
                floor.max_fee_per_blob_gas,
                floor.max_fee_per_blob_gas.max(fresh.max_fee_per_blob_gas),
                policy.max_fee_per_blob_gas,
            )?,
        };
        Ok(Self { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas })
    }

    /// The least fees that replace a transaction with fees `self`.
    #[must_use]
    pub fn replacement_floor(&self, kind: TxType) -> Self {
        let percent = kind.replacement_percent();
        Self {
            max_fee_per_gas: raised(self.max_fee_per_gas, percent),
            max_priority_fee_per_gas: raised(self.max_priority_fee_per_gas, percent),
            max_fee_per_blob_gas: match kind {
                TxType::Eip1559 => 0,
                TxType::Blob => raised(self.max_fee_per_blob_gas, percent),
            },
        }
    }

    /// Whether a pool that holds a transaction with fees `old` takes one with fees `self` in its place.
    #[must_use]
    pub fn replaces(&self, old: &Self, kind: TxType) -> bool {
        let floor = old.replacement_floor(kind);
        self.max_fee_per_gas >= floor.max_fee_per_gas
            && self.max_priority_fee_per_gas >= floor.max_priority_fee_per_gas
            && self.max_fee_per_blob_gas >= floor.max_fee_per_blob_gas
    }

    /// The greater of two plans in each field.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            max_fee_per_gas: self.max_fee_per_gas.max(other.max_fee_per_gas),
            max_priority_fee_per_gas: self.max_priority_fee_per_gas.max(other.max_priority_fee_per_gas),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas.max(other.max_fee_per_blob_gas),
        }
    }
}

fn multiplier(configured: u32) -> u128 {
    u128::from(configured.max(1))
}

/// `value` plus `percent` of it, rounded up, and at least one more.
fn raised(value: u128, percent: u128) -> u128 {
    let share = value / 100;
    let rest = value % 100;
    let more = share.saturating_mul(percent).saturating_add((rest * percent).div_ceil(100));
    value.saturating_add(more.max(1))
}

/// `wanted`, cut to `cap`, unless even `needed` passes the cap.
fn within(field: FeeField, needed: u128, wanted: u128, cap: u128) -> Result<u128, FeeCapReached> {
    if needed > cap { Err(FeeCapReached { field, cap, needed }) } else { Ok(wanted.min(cap)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn market(base_fee: u128, tip: u128, blob: u128) -> Market {
        Market { base_fee, tip, blob_base_fee: Some(blob) }
    }

    #[test]
    fn a_fresh_plan_leaves_room_for_rising_base_fees() {
        let plan =
            FeePlan::fresh(&market(10 * GWEI, 2 * GWEI, 5), &FeePolicy::default(), TxType::Blob).unwrap();
        let expected = FeePlan {
            max_fee_per_gas: 22 * GWEI,
            max_priority_fee_per_gas: 2 * GWEI,
            max_fee_per_blob_gas: 10,
        };
        assert_eq!(plan, expected);
        let plain = FeePlan::fresh(&market(10 * GWEI, 2 * GWEI, 5), &FeePolicy::default(), TxType::Eip1559);
        assert_eq!(plain.unwrap().max_fee_per_blob_gas, 0);
    }

    #[test]
    fn tips_have_a_floor_and_a_cap() {
        let policy = FeePolicy::default();
        let tip =
            |t| FeePlan::fresh(&market(1, t, 1), &policy, TxType::Eip1559).unwrap().max_priority_fee_per_gas;
        assert_eq!(tip(0), policy.min_priority_fee_per_gas);
        assert_eq!(tip(1000 * GWEI), policy.max_priority_fee_per_gas);
    }

    #[test]
    fn caps_cut_the_head_room_but_not_the_need() {
        let policy = FeePolicy { max_fee_per_gas: 15 * GWEI, ..FeePolicy::default() };
        let plan = FeePlan::fresh(&market(10 * GWEI, GWEI, 1), &policy, TxType::Eip1559).unwrap();
        assert_eq!(plan.max_fee_per_gas, 15 * GWEI, "21 gwei wanted, 11 needed");
        let error = FeePlan::fresh(&market(15 * GWEI, GWEI, 1), &policy, TxType::Eip1559).unwrap_err();
        let expected = FeeCapReached { field: FeeField::MaxFeePerGas, cap: 15 * GWEI, needed: 16 * GWEI };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("15000000000") && error.to_string().contains("16000000000"));
        let policy = FeePolicy { max_fee_per_blob_gas: 9, ..FeePolicy::default() };
        let error = FeePlan::fresh(&market(1, 1, 10), &policy, TxType::Blob).unwrap_err();
        assert_eq!(error, FeeCapReached { field: FeeField::MaxFeePerBlobGas, cap: 9, needed: 10 });
    }

    #[test]
    fn an_unknown_blob_price_bids_the_cap() {
        let market = Market { base_fee: 1, tip: 1, blob_base_fee: None };
        let plan = FeePlan::fresh(&market, &FeePolicy::default(), TxType::Blob).unwrap();
        assert_eq!(plan.max_fee_per_blob_gas, FeePolicy::default().max_fee_per_blob_gas);
        assert_eq!(market.or_blob_base_fee(3).blob_base_fee, Some(3));
    }

    /// The increases that geth's pools demand, rounded up.
    #[test]
    fn replacement_floors() {
        let old = FeePlan { max_fee_per_gas: 101, max_priority_fee_per_gas: 1, max_fee_per_blob_gas: 7 };
        let floor = old.replacement_floor(TxType::Eip1559);
        assert_eq!((floor.max_fee_per_gas, floor.max_priority_fee_per_gas), (112, 2));
        let floor = old.replacement_floor(TxType::Blob);
        assert_eq!(
            (floor.max_fee_per_gas, floor.max_priority_fee_per_gas, floor.max_fee_per_blob_gas),
            (202, 2, 14)
        );
        let zero = FeePlan { max_fee_per_gas: 5, max_priority_fee_per_gas: 0, max_fee_per_blob_gas: 0 };
        let floor = zero.replacement_floor(TxType::Eip1559);
        let fees = (floor.max_fee_per_gas, floor.max_priority_fee_per_gas);
        assert_eq!(fees, (6, 1), "geth wants both strictly higher");
        let top =
            FeePlan { max_fee_per_gas: u128::MAX, max_priority_fee_per_gas: 0, max_fee_per_blob_gas: 0 };
        assert_eq!(top.replacement_floor(TxType::Blob).max_fee_per_gas, u128::MAX);
    }

    #[test]
    fn reads_a_fee_history() {
        let history = FeeHistory {
            base_fee_per_gas: vec![5, 6, 7],
            rewards: vec![0, 9, 3, 0, 4],
            base_fee_per_blob_gas: Some(vec![1, 2, 3]),
        };
        assert_eq!(Market::from_history(&history), market(7, 4, 3));
        let empty = Market { base_fee: 0, tip: 0, blob_base_fee: None };
        assert_eq!(Market::from_history(&FeeHistory::default()), empty);
    }

    fn amount() -> impl Strategy<Value = u128> {
        prop_oneof![0..1000u128, 0..1000 * GWEI, any::<u128>()]
    }

    prop_compose! {
        fn policies()(
            max_fee_per_gas in amount(), max_priority_fee_per_gas in amount(), max_fee_per_blob_gas in amount(),
            min_priority_fee_per_gas in amount(), min_blob_fee_per_gas in amount(),
            base_fee_multiplier in 0..10u32, blob_fee_multiplier in 0..10u32,
        ) -> FeePolicy {
            FeePolicy {
                max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas, min_priority_fee_per_gas,
                min_blob_fee_per_gas, base_fee_multiplier, blob_fee_multiplier, ..FeePolicy::default()
            }
        }
    }

    prop_compose! {
        fn markets()(base_fee in amount(), tip in amount(), blob in proptest::option::of(amount())) -> Market {
            Market { base_fee, tip, blob_base_fee: blob }
        }
    }

    fn kinds() -> impl Strategy<Value = TxType> {
        prop_oneof![Just(TxType::Eip1559), Just(TxType::Blob)]
    }

    proptest! {
        #[test]
        fn fresh_plans_are_valid_and_within_the_caps(m in markets(), policy in policies(), kind in kinds()) {
            match FeePlan::fresh(&m, &policy, kind) {
                Ok(plan) => {
                    prop_assert!(plan.max_priority_fee_per_gas <= plan.max_fee_per_gas);
                    prop_assert!(plan.max_fee_per_gas <= policy.max_fee_per_gas);
                    prop_assert!(plan.max_fee_per_gas >= m.base_fee);
                    prop_assert!(plan.max_fee_per_blob_gas <= policy.max_fee_per_blob_gas);
                    if kind == TxType::Blob {
                        prop_assert!(plan.max_fee_per_blob_gas >= m.blob_base_fee.unwrap_or(0));
                    }
                }
                Err(e) => prop_assert!(e.needed > e.cap),
            }
        }

        #[test]
        fn bumps_replace_and_never_fall_below_the_market(
            old in (amount(), amount(), amount()), m in markets(), policy in policies(), kind in kinds(),
        ) {
            let old = FeePlan {
                max_fee_per_gas: old.0.max(old.1) / 2,
                max_priority_fee_per_gas: old.0.min(old.1) / 2,
                max_fee_per_blob_gas: if kind == TxType::Blob { old.2 / 2 } else { 0 },
            };
            match old.bump(&m, &policy, kind) {
                Ok(plan) => {
                    prop_assert!(plan.replaces(&old, kind));
                    prop_assert!(plan.max_fee_per_gas > old.max_fee_per_gas);
                    prop_assert!(plan.max_priority_fee_per_gas > old.max_priority_fee_per_gas);
                    prop_assert!(plan.max_priority_fee_per_gas <= plan.max_fee_per_gas);
                    prop_assert!(plan.max_fee_per_gas <= policy.max_fee_per_gas);
                    prop_assert!(plan.max_fee_per_blob_gas <= policy.max_fee_per_blob_gas);
                    let fresh = FeePlan::fresh(&m, &policy, kind).unwrap();
                    prop_assert_eq!(plan.max(fresh), plan);
                    if kind == TxType::Blob {
                        prop_assert!(plan.max_fee_per_blob_gas > old.max_fee_per_blob_gas);
                    }
                }
                Err(e) => prop_assert!(e.needed > e.cap),
            }
        }
    }
}
