//! Withdrawals to L1, read from the logs of executed receipts.

use alloy_primitives::{Address, B256, U256, address, b256};
use ensemble_batch::L2Withdrawal;
use ethrex_common::types::{Log, Receipt};

use crate::error::ProgramError;

/// Address of the `CommonBridgeL2` predeploy.
pub const COMMON_BRIDGE_L2: Address = address!("0x000000000000000000000000000000000000ffff");

/// Topic of `WithdrawalInitiated(address indexed senderOnL2, address indexed receiverOnL1, uint256 indexed amount,
/// uint256 withdrawalId)`: keccak256 of `WithdrawalInitiated(address,address,uint256,uint256)`.
pub const WITHDRAWAL_INITIATED: B256 =
    b256!("0x2e16c360bf25f9193c8e78b0fcdf02bacfd34fd98ec9fe4aa2549e15346dafd2");

/// The withdrawals of a batch, in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Withdrawals(Vec<L2Withdrawal>);

impl Withdrawals {
    /// Takes the withdrawals of the next block. Logs of reverted transactions are not in receipts.
    pub(crate) fn add_block(&mut self, block: u64, receipts: &[Receipt]) -> Result<(), ProgramError> {
        for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
            let Some(withdrawal) =
                parse(log).map_err(|reason| ProgramError::WithdrawalLog { block, reason })?
            else {
                continue;
            };
            if let Some(last) = self.0.last() {
                let what = "the withdrawal id";
                let expected = last.id.checked_add(1).ok_or(ProgramError::Overflow { what })?;
                if withdrawal.id != expected {
                    return Err(ProgramError::WithdrawalId { block, expected, found: withdrawal.id });
                }
            }
            self.0.push(withdrawal);
        }
        Ok(())
    }

    pub(crate) fn into_inner(self) -> Vec<L2Withdrawal> {
        self.0
    }
}

/// `None` for logs that are not withdrawals.
fn parse(log: &Log) -> Result<Option<L2Withdrawal>, &'static str> {
    if log.address.as_bytes() != COMMON_BRIDGE_L2.as_slice()
        || log.topics.first().is_none_or(|topic| topic.as_bytes() != WITHDRAWAL_INITIATED.as_slice())
    {
        return Ok(None);
    }
    let [_, _, receiver, amount] = log.topics.as_slice() else { return Err("it has not four topics") };
    let (padding, receiver) = receiver.as_bytes().split_at(12);
    if padding.iter().any(|b| *b != 0) {
        return Err("its receiver is not an address");
    }
    let id = <[u8; 32]>::try_from(log.data.as_ref()).map_err(|_| "its data is not one word")?;
    let id = u64::try_from(U256::from_be_bytes(id)).map_err(|_| "its id exceeds 64 bits")?;
    Ok(Some(L2Withdrawal {
        id,
        to: Address::from_slice(receiver),
        amount: U256::from_be_slice(amount.as_bytes()),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use alloy_primitives::keccak256;
    use ethrex_common::types::TxType;
    use ethrex_common::{H160, H256};

    fn log(id: u64) -> Log {
        let word = |n: u64| H256(U256::from(n).to_be_bytes());
        Log {
            address: H160(COMMON_BRIDGE_L2.into_array()),
            topics: vec![H256(WITHDRAWAL_INITIATED.0), word(1), word(2), word(3)],
            data: word(id).as_bytes().to_vec().into(),
        }
    }

    fn receipts(logs: Vec<Log>) -> Vec<Receipt> {
        vec![Receipt::new(TxType::EIP1559, true, 21_000, logs)]
    }

    #[test]
    fn the_topic_is_that_of_the_event() {
        let signature = "WithdrawalInitiated(address,address,uint256,uint256)";
        assert_eq!(keccak256(signature), WITHDRAWAL_INITIATED);
    }

    #[test]
    fn only_well_formed_logs_of_the_bridge_count() {
        let mut withdrawals = Withdrawals::default();
        let mut foreign = log(8);
        foreign.address = H160::repeat_byte(1);
        let mut other_event = log(8);
        other_event.topics[0] = H256::repeat_byte(1);
        let mut no_topics = log(8);
        no_topics.topics.clear();
        withdrawals.add_block(1, &receipts(vec![log(7), foreign, other_event, no_topics, log(8)])).unwrap();
        withdrawals.add_block(2, &receipts(vec![log(9)])).unwrap();
        let to = Address::from_word(B256::from(U256::from(2)));
        let expected: Vec<_> = (7..10).map(|id| L2Withdrawal { id, to, amount: U256::from(3) }).collect();
        assert_eq!(withdrawals.into_inner(), expected);
    }

    #[test]
    fn ids_have_neither_gap_nor_repetition() {
        for second in [6, 7, 9] {
            let logs = receipts(vec![log(7), log(second)]);
            let refused = Withdrawals::default().add_block(1, &logs);
            assert_eq!(refused, Err(ProgramError::WithdrawalId { block: 1, expected: 8, found: second }));
        }
    }

    #[test]
    fn malformed_logs_of_the_bridge_are_refused() {
        let mut short = log(1);
        short.topics.pop();
        let mut receiver = log(1);
        receiver.topics[2].0[0] = 1;
        let mut huge = log(1);
        huge.data = vec![1; 32].into();
        let mut no_data = log(1);
        no_data.data = vec![].into();
        for bad in [short, receiver, huge, no_data] {
            let refused = Withdrawals::default().add_block(1, &receipts(vec![bad]));
            assert!(matches!(refused, Err(ProgramError::WithdrawalLog { .. })));
        }
    }
}
