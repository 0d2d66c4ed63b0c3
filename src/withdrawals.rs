//! Proofs of withdrawals, made from the store.

use alloy_primitives::{Address, B256, U256};
use ensemble_batch::{BatchHeader, L2Withdrawal, WithdrawalTree};
use ensemble_store::{BatchStatus, Store, StoreError};
use serde::{Deserialize, Serialize};

/// Everything that `CommonBridge.claimWithdrawal` wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawalProof {
    /// Header of the batch that holds the withdrawal.
    pub header: BatchHeader,
    /// Id of the withdrawal.
    pub id: u64,
    /// Receiver on L1.
    pub to: Address,
    /// Amount in wei.
    pub amount: U256,
    /// Index of the leaf in the batch's tree.
    pub path: u64,
    /// Siblings from leaf to root.
    pub siblings: Vec<B256>,
    /// Whether the batch is verified, so that the claim will succeed.
    pub claimable: bool,
}

/// The proof of withdrawal `id` that was started in L2 block `block`; none while the block is in no batch, or
/// when there is no such withdrawal in it.
///
/// # Errors
/// When the store cannot be read.
pub async fn withdrawal_proof(
    store: &Store,
    block: u64,
    id: u64,
) -> Result<Option<WithdrawalProof>, StoreError> {
    let Some(batch) = store.batch_of_block(block).await? else { return Ok(None) };
    let mut all: Vec<L2Withdrawal> = Vec::new();
    for number in batch.first_block..=batch.last_block {
        if let Some(extras) = store.block_extras(number).await? {
            all.extend(extras.withdrawals);
        }
    }
    let Some(index) = all.iter().position(|w| w.id == id) else { return Ok(None) };
    let Some(proof) = WithdrawalTree::new(&all).proof(index as u64) else { return Ok(None) };
    let withdrawal = &all[index];
    Ok(Some(WithdrawalProof {
        header: batch.header,
        id,
        to: withdrawal.to,
        amount: withdrawal.amount,
        path: proof.index,
        siblings: proof.siblings,
        claimable: batch.status == BatchStatus::Verified,
    }))
}
