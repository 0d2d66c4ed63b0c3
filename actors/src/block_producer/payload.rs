//! What is asked of the execution client, and the check that it gave just that. Pure.

use alloy_primitives::{Address, B256};
use ensemble_batch::{Deposit, GWEI, SealedBlock, Withdrawal, prev_randao};
use ensemble_engine_api::{BlockSummary, PayloadAttributes};

use crate::ActorError;

/// EIP-2718 type of a blob transaction (EIP-4844). Blobs of an L2 block would not be on L1, so it has none.
const BLOB_TX_TYPE: u8 = 3;

/// Id of the last deposit included up to and with this head.
pub(crate) fn deposits_index(head: &BlockSummary) -> u64 {
    if head.number == 0 { 0 } else { ensemble_batch::deposits_index_of(&head.prev_randao) }
}

/// Attributes of the block after `head`.
///
/// # Errors
/// When the deposits do not follow the last included one without a gap, or are not whole gwei.
pub(crate) fn attributes(
    head: &BlockSummary,
    timestamp: u64,
    coinbase: Address,
    deposits: &[Deposit],
) -> Result<PayloadAttributes, ActorError> {
    let mut last = deposits_index(head);
    let mut withdrawals = Vec::with_capacity(deposits.len());
    for deposit in deposits {
        let bad = |reason: &str| ActorError::BadDeposit {
            id: deposit.id,
            l1_block: deposit.l1_block,
            reason: reason.to_owned(),
        };
        if deposit.id != last + 1 {
            return Err(bad(&format!("it does not follow deposit {last}")));
        }
        let (gwei, rest) = deposit.amount.div_rem(alloy_primitives::U256::from(GWEI));
        if !rest.is_zero() {
            return Err(bad("its amount is not a whole number of gwei"));
        }
        let amount_gwei = u64::try_from(gwei).map_err(|_| bad("its amount in gwei exceeds 64 bits"))?;
        withdrawals.push(Withdrawal {
            index: deposit.id,
            validator_index: 0,
            address: deposit.to,
            amount_gwei,
        });
        last = deposit.id;
    }
    Ok(PayloadAttributes {
        timestamp,
        prev_randao: prev_randao(&head.hash, last),
        suggested_fee_recipient: coinbase,
        withdrawals,
        parent_beacon_block_root: B256::ZERO,
    })
}

/// Checks that the client built what it was asked for.
///
/// # Errors
/// [`ActorError::PayloadMismatch`] naming the first field that differs.
pub(crate) fn check(
    head: &BlockSummary,
    attributes: &PayloadAttributes,
    block: &SealedBlock,
) -> Result<(), ActorError> {
    fn same<T: PartialEq + std::fmt::Debug>(
        field: &'static str,
        wanted: &T,
        got: &T,
    ) -> Result<(), ActorError> {
        if wanted == got {
            return Ok(());
        }
        Err(ActorError::PayloadMismatch { field, wanted: format!("{wanted:?}"), got: format!("{got:?}") })
    }
    same("parent hash", &head.hash, &block.parent_hash)?;
    same("number", &(head.number + 1), &block.number)?;
    same("timestamp", &attributes.timestamp, &block.timestamp)?;
    same("prevRandao", &attributes.prev_randao, &block.prev_randao)?;
    same("fee recipient", &attributes.suggested_fee_recipient, &block.fee_recipient)?;
    same("list of deposits", &attributes.withdrawals, &block.withdrawals)?;
    same("parent beacon block root", &attributes.parent_beacon_block_root, &block.parent_beacon_block_root)?;
    let blob_transactions = block.transactions.iter().filter(|t| t.first() == Some(&BLOB_TX_TYPE)).count();
    same("number of blob transactions", &0, &blob_transactions)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, address};

    use super::*;

    fn head(number: u64, index: u64) -> BlockSummary {
        let parent = B256::repeat_byte(1);
        BlockSummary {
            number,
            hash: B256::repeat_byte(2),
            parent_hash: parent,
            state_root: B256::ZERO,
            timestamp: 100,
            prev_randao: prev_randao(&parent, index),
            gas_limit: 30_000_000,
            gas_used: 0,
            base_fee_per_gas: 7,
            transaction_count: 0,
        }
    }

    fn deposit(id: u64, wei: u64) -> Deposit {
        Deposit {
            id,
            to: address!("00000000000000000000000000000000000000aa"),
            amount: U256::from(wei),
            rolling_hash: B256::ZERO,
            l1_block: 1,
            l1_block_hash: B256::ZERO,
        }
    }

    /// SEQ-INV-1: the index in the header says which deposit comes next, so none is credited twice or left out.
    #[test]
    fn deposits_follow_the_heads_index() {
        let attrs = attributes(&head(5, 7), 101, Address::ZERO, &[deposit(8, GWEI), deposit(9, 3 * GWEI)]);
        let attrs = attrs.expect("consecutive");
        assert_eq!(
            attrs.withdrawals.iter().map(|w| (w.index, w.amount_gwei)).collect::<Vec<_>>(),
            [(8, 1), (9, 3)]
        );
        assert_eq!(ensemble_batch::deposits_index_of(&attrs.prev_randao), 9);
        for wrong in [[deposit(7, GWEI)], [deposit(9, GWEI)], [deposit(8, GWEI + 1)]] {
            assert!(attributes(&head(5, 7), 101, Address::ZERO, &wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_genesis_block_has_no_deposits() {
        assert_eq!(deposits_index(&head(0, 99)), 0);
    }
}
