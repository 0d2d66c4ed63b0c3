//! Deposits: the blocks' EIP-4895 withdrawals, in order, folded into the rolling hash of the bridge.

use alloy_primitives::{B256, U256};
use ensemble_batch::{BatchHeader, GWEI, SealedBlock, deposit_leaf, next_deposits_hash, prev_randao};

use crate::error::ProgramError;

/// Deposits included so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deposits {
    pub(crate) index: u64,
    pub(crate) hash: B256,
}

impl Deposits {
    pub(crate) fn after(header: &BatchHeader) -> Self {
        Self { index: header.deposits_index, hash: header.deposits_hash }
    }

    /// Takes the deposits of the next block. SEQ-INV-1: ids count up by one over all blocks.
    pub(crate) fn add_block(&mut self, block: &SealedBlock) -> Result<(), ProgramError> {
        for w in &block.withdrawals {
            let expected =
                self.index.checked_add(1).ok_or(ProgramError::Overflow { what: "the deposits index" })?;
            if w.index != expected {
                return Err(ProgramError::DepositIndex { block: block.number, expected, found: w.index });
            }
            if w.validator_index != 0 {
                let (id, found) = (w.index, w.validator_index);
                return Err(ProgramError::DepositValidator { block: block.number, id, found });
            }
            let wei = U256::from(w.amount_gwei) * U256::from(GWEI);
            self.index = expected;
            self.hash = next_deposits_hash(self.hash, deposit_leaf(expected, w.address, wei));
        }
        let expected = prev_randao(&block.parent_hash, self.index);
        if block.prev_randao != expected {
            return Err(ProgramError::PrevRandao { block: block.number, expected, found: block.prev_randao });
        }
        Ok(())
    }
}
