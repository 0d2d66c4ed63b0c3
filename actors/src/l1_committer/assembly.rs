//! The batch that is being filled. Pure: blocks in, header and payload out.

use alloy_primitives::B256;
use ensemble_batch::{
    BatchBuilder, BatchHeader, BatchLimits, EncodedBatch, L2Withdrawal, Push, SealedBlock, WithdrawalTree,
};

use crate::ActorError;

/// Blocks collected after the parent batch.
#[derive(Debug)]
pub(super) struct Assembly {
    parent: BatchHeader,
    parent_block: u64,
    builder: BatchBuilder,
    withdrawals: Vec<L2Withdrawal>,
    deposits_hash: B256,
    deposits_index: u64,
    last: Option<(u64, B256, B256)>,
}

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is in.
    Yes,
    /// The batch must be sealed first.
    Full(String),
}

/// A batch before its blobs are committed to.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) first_block: u64,
    pub(super) last_block: u64,
    pub(super) encoded: EncodedBatch,
    header: BatchHeader,
}

impl Sealed {
    /// The header, now that the hash over the blobs is known.
    pub(super) fn header(&self, blobs_hash: B256) -> BatchHeader {
        BatchHeader { blobs_hash, ..self.header.clone() }
    }
}

impl Assembly {
    pub(super) fn new(parent: BatchHeader, parent_block: u64, limits: BatchLimits) -> Self {
        Self {
            deposits_hash: parent.deposits_hash,
            deposits_index: parent.deposits_index,
            parent,
            parent_block,
            builder: BatchBuilder::new(limits),
            withdrawals: Vec::new(),
            last: None,
        }
    }

    /// Height of the block that comes next.
    pub(super) fn next_block(&self) -> u64 {
        self.last.map_or(self.parent_block, |(number, ..)| number) + 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Adds the next block with the withdrawals that it started.
    ///
    /// # Errors
    /// When the block does not follow, or can never fit.
    pub(super) fn add(
        &mut self,
        block: &SealedBlock,
        withdrawals: &[L2Withdrawal],
    ) -> Result<Added, ActorError> {
        let parent_hash = self.last.map_or(self.parent.block_hash, |(_, hash, _)| hash);
        if block.number != self.next_block() || block.parent_hash != parent_hash {
            return Err(ActorError::ClientDiverged {
                number: block.number,
                client: block.parent_hash,
                store: parent_hash,
            });
        }
        match self.builder.push(block).map_err(|e| ActorError::Batch(e.to_string()))? {
            Push::Accepted => {}
            Push::Full(reason) => return Ok(Added::Full(reason.to_string())),
            Push::TooLarge(reason) => {
                return Err(ActorError::BlockTooLarge { number: block.number, reason: reason.to_string() });
            }
        }
        (self.deposits_hash, self.deposits_index) =
            block.deposits_after((self.deposits_hash, self.deposits_index));
        self.withdrawals.extend_from_slice(withdrawals);
        self.last = Some((block.number, block.block_hash, block.state_root));
        Ok(Added::Yes)
    }

    /// Closes the batch. None when it is empty. Its seal time is never before that of its parent.
    ///
    /// # Errors
    /// When the content cannot be encoded.
    pub(super) fn seal(self, sealed_at: u64) -> Result<Option<Sealed>, ActorError> {
        let Some((last_block, block_hash, state_root)) = self.last else { return Ok(None) };
        let header = BatchHeader {
            parent_hash: self.parent.hash(),
            state_root,
            block_hash,
            withdrawals_root: WithdrawalTree::new(&self.withdrawals).root(),
            deposits_hash: self.deposits_hash,
            blobs_hash: B256::ZERO,
            number: self.parent.number + 1,
            deposits_index: self.deposits_index,
            sealed_at: sealed_at.max(self.parent.sealed_at),
        };
        let encoded = self.builder.finish().map_err(|e| ActorError::Batch(e.to_string()))?;
        Ok(Some(Sealed { first_block: self.parent_block + 1, last_block, encoded, header }))
    }
}
