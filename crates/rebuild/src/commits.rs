//! What L1 tells about batches.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, B256, Bytes};
use ensemble_batch::BatchHeader;
use ensemble_contracts::{calls, events, returns};
use ensemble_l1::{BlockTag, L1Client, L1Error, L1Log, LogFilter, RangeSize};

use crate::RebuildError;

/// The commit of a batch, as its event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Number of the batch.
    pub number: u64,
    /// Hash of its header.
    pub hash: B256,
    /// The transaction.
    pub transaction: B256,
    /// Height of the L1 block with it.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: B256,
}

/// Where the data of a batch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchData {
    /// In blobs with these versioned hashes.
    Blobs(Vec<B256>),
    /// In the call data of the commit: the payload.
    CallData(Bytes),
    /// Not on L1 (validium).
    Nowhere,
}

/// Reads what a proposer has committed.
#[derive(Clone, Debug)]
pub struct CommitLog {
    l1: Arc<dyn L1Client>,
    proposer: Address,
    start_block: u64,
    max_block_step: u64,
}

impl CommitLog {
    /// For the proposer at this address; `start_block` is the L1 block of its deployment or an earlier one, and
    /// `max_block_step` the most blocks that one `eth_getLogs` asks for.
    #[must_use]
    pub fn new(l1: Arc<dyn L1Client>, proposer: Address, start_block: u64, max_block_step: u64) -> Self {
        Self { l1, proposer, start_block, max_block_step }
    }

    /// First L1 block that counts.
    #[must_use]
    pub fn start_block(&self) -> u64 {
        self.start_block
    }

    /// Number of the last batch that is committed, and of the last one that is verified, at an L1 block.
    ///
    /// # Errors
    /// [`RebuildError::L1`], [`RebuildError::Contract`].
    pub async fn last(&self, at: BlockTag) -> Result<(u64, u64), RebuildError> {
        let committed = self.l1.call(self.proposer, calls::last_committed_batch(), at).await?;
        if committed.is_empty() {
            return Err(RebuildError::NoContract { address: self.proposer });
        }
        let verified = self.l1.call(self.proposer, calls::last_verified_batch(), at).await?;
        Ok((returns::u64(&committed)?, returns::u64(&verified)?))
    }

    /// Hash of the header of a committed batch, at an L1 block; 0 is the genesis header.
    ///
    /// # Errors
    /// [`RebuildError::L1`], [`RebuildError::Contract`].
    pub async fn hash(&self, number: u64, at: BlockTag) -> Result<B256, RebuildError> {
        Ok(returns::b256(&self.l1.call(self.proposer, calls::committed_hash(number), at).await?)?)
    }

    /// The logs of one event of the proposer in the L1 blocks `from` to `to`, in ranges as large as the node allows.
    /// `read` is told how far it is.
    ///
    /// # Errors
    /// [`RebuildError::L1`].
    pub async fn logs(
        &self,
        topic0: B256,
        from: u64,
        to: u64,
        read: impl Fn(u64),
    ) -> Result<Vec<L1Log>, RebuildError> {
        let mut all = Vec::new();
        let (mut next, mut range) = (from.max(self.start_block), RangeSize::new(self.max_block_step));
        while next <= to {
            let end = range.end(next, to);
            let filter = LogFilter { address: self.proposer, topic0, from_block: next, to_block: end };
            match self.l1.logs(&filter).await {
                Ok(logs) => all.extend(logs.into_iter().filter(|log| !log.removed)),
                Err(L1Error::RangeTooLarge { .. }) if range.too_large() => continue,
                Err(error) => return Err(error.into()),
            }
            range.read();
            read(end);
            next = end + 1;
        }
        Ok(all)
    }

    /// The commits in the L1 blocks `from` to `to` by number, in the order in which they happened: a batch that was taken
    /// back has been committed more than once.
    ///
    /// # Errors
    /// [`RebuildError::L1`], [`RebuildError::Contract`].
    pub async fn commits(
        &self,
        from: u64,
        to: u64,
        read: impl Fn(u64),
    ) -> Result<BTreeMap<u64, Vec<Commit>>, RebuildError> {
        let mut all: BTreeMap<u64, Vec<Commit>> = BTreeMap::new();
        for log in self.logs(events::BatchCommitted::topic(), from, to, read).await? {
            let event = events::BatchCommitted::decode(&log.topics, &log.data)?;
            all.entry(event.number).or_default().push(Commit {
                number: event.number,
                hash: event.hash,
                transaction: log.transaction_hash,
                block_number: log.block_number,
                block_hash: log.block_hash,
            });
        }
        Ok(all)
    }

    /// The header of a batch and where its data is, from the transaction that committed it.
    ///
    /// # Errors
    /// When L1 does not serve the transaction, or the header that it holds does not have the event's hash.
    pub async fn header(
        &self,
        commit: &Commit,
        parent_hash: B256,
    ) -> Result<(BatchHeader, BatchData), RebuildError> {
        let Commit { number, hash, transaction, .. } = *commit;
        let found = self.l1.transaction(transaction).await?;
        let found = found.ok_or(RebuildError::NoTransaction { number, transaction })?;
        let hashes = found.blob_versioned_hashes;
        let (header, payload) = calls::decode_commit_batch(&found.input, parent_hash, &hashes)?;
        if header.hash() != hash {
            return Err(RebuildError::OtherHeader { number, ours: header.hash(), l1: hash });
        }
        let data = match (&hashes[..], payload) {
            ([], []) => BatchData::Nowhere,
            ([], payload) => BatchData::CallData(Bytes::copy_from_slice(payload)),
            _ => BatchData::Blobs(hashes),
        };
        Ok((header, data))
    }
}
