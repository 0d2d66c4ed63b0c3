//! Makes the batches of a lost or old store again, from L1 and the execution client.
//!
//! L1 says which batches there are: the `BatchCommitted` events name their transactions, whose call data and blob
//! hashes give the headers. The execution client has their blocks. The blocks are encoded again, and only when header
//! and blobs come out as L1 has them, to the byte, is a batch written to the store (SEQ-INV-4). Deposits and cursor
//! need no repair: the watcher reads them again.
//!
//! Each batch is one transaction of the store, in order: a repair that is interrupted goes on where it was.
//! [`crate::SequencerBuilder::repair`] runs it; `ensemble repair` does.

use std::{collections::BTreeMap, fmt, time::Duration};

use alloy_primitives::{Address, B256, U256};
use ensemble_actors::{ActorError, Services, withdrawals_of};
use ensemble_batch::{
    BatchBuilder, BatchHeader, BatchLimits, BlobProof, EncodedBatch, L2Withdrawal, ParentRef, Push,
    SealedBlock, WithdrawalTree, decode_blocks, versioned_hash,
};
use ensemble_contracts::{ContractError, calls, events, returns};
use ensemble_engine_api::{BlockId, EngineError};
use ensemble_error::{Classify, Severity};
use ensemble_l1::{BlockTag, L1Error, L1Log, LogFilter, RangeSize, blobs};
use ensemble_store::{BatchRecord, BatchStatus, BlockExtras, StoreError};

use crate::startup::{StartError, Verdict, no_head};

/// How often transactions in flight are looked at.
const FLIGHT_POLL: Duration = Duration::from_millis(500);
/// Most blobs that a transaction has had on any network so far; encodings for up to so many are tried.
const MOST_BLOBS: usize = 16;

/// What a repair needs to know besides the services.
#[derive(Clone, Debug)]
pub(crate) struct RepairSettings {
    /// L1 block of the deployment, or an earlier one.
    pub(crate) start_block: u64,
    /// At most this many L1 blocks per `eth_getLogs`.
    pub(crate) max_block_step: u64,
    /// `committer.max_blobs`.
    pub(crate) max_blobs: usize,
    /// The two accounts whose transactions must not be on their way.
    pub(crate) accounts: [Address; 2],
    /// How long is waited for those.
    pub(crate) flight_limit: Duration,
    /// Whether batches are proven, so that their blocks need witnesses.
    pub(crate) proving: bool,
}

/// What a repair is doing, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairStep {
    /// L1 transactions of the lost store are not mined yet: they decide what L1 has.
    WaitsForTransactions {
        /// Account.
        account: Address,
        /// How many.
        count: u64,
    },
    /// L1 is read for the events of the contracts.
    ReadsEvents {
        /// Read up to this block.
        block: u64,
        /// Head.
        of: u64,
    },
    /// A block is in the store again; told now and then.
    TookBlock {
        /// Height.
        number: u64,
    },
    /// A batch is in the store again.
    Restored {
        /// Number.
        number: u64,
        /// Last batch to come.
        of: u64,
        /// Its first and last L2 block.
        blocks: (u64, u64),
        /// Whether L1 has verified it.
        verified: bool,
    },
    /// The witnesses of an unverified batch are there again.
    CanBeProven {
        /// Number.
        number: u64,
    },
}

impl fmt::Display for RepairStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitsForTransactions { account, count } => {
                write!(f, "waiting for {count} transaction(s) of {account} that are not mined yet")
            }
            Self::ReadsEvents { block, of } => write!(f, "L1 read up to block {block} of {of}"),
            Self::TookBlock { number } => write!(f, "block {number} taken over from the execution client"),
            Self::Restored { number, of, blocks: (first, last), verified } => {
                let status = if *verified { "verified" } else { "committed" };
                write!(f, "batch {number} of {of} made again: blocks {first} to {last}, {status}")
            }
            Self::CanBeProven { number } => write!(f, "batch {number} can be proven"),
        }
    }
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Batches that were made again.
    pub batches: Vec<u64>,
    /// Blocks that were taken over from the execution client.
    pub blocks: u64,
    /// Verified batches among them whose bytes this version encodes otherwise. Their headers are right; the bytes are
    /// not needed any more.
    pub without_bytes: Vec<u64>,
    /// Unverified batches whose witnesses were made again.
    pub provable: Vec<u64>,
    /// Batches that cannot be proven yet, and why: the execution client has no witness. Run the repair again.
    pub unprovable: Vec<(u64, String)>,
}

/// Why a repair did not work.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It could not begin.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The state cannot be repaired.
    #[error("{0}")]
    NotRepairable(Verdict),
    /// L1 failed.
    #[error("L1: {0}")]
    L1(#[from] L1Error),
    /// The execution client failed.
    #[error("execution client: {0}")]
    Engine(#[from] EngineError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A contract answered something unreadable, or a batch was not committed by a plain `commitBatch`.
    #[error("contract: {0}")]
    Contract(#[from] ContractError),
    /// Work on the blobs failed.
    #[error("blobs: {0}")]
    Blobs(String),
    /// Transactions that the lost store had sent are still on their way.
    #[error(
        "{count} transaction(s) of {account} are still not mined, the first with nonce {nonce}: run the repair again when they \
         are, or replace them (a transfer of 0 to the account itself with that nonce and higher fees)"
    )]
    InFlight {
        /// Account.
        account: Address,
        /// How many.
        count: u64,
        /// Nonce of the first.
        nonce: u64,
    },
    /// The node does not serve the event of a committed batch.
    #[error(
        "the L1 node has no event for the commit of batch {number}: check watcher.start_block ({start_block}), or use a node \
         that keeps the logs since then"
    )]
    NoEvent {
        /// Number.
        number: u64,
        /// Configured first block.
        start_block: u64,
    },
    /// The node does not serve the transaction of a committed batch.
    #[error(
        "the L1 node does not serve transaction {transaction}, which committed batch {number}: use a node that keeps it"
    )]
    NoTransaction {
        /// Number.
        number: u64,
        /// Its transaction.
        transaction: B256,
    },
    /// The header does not come out as it is on L1.
    #[error(
        "batch {number}: {what} is {ours} here and {l1} on L1; the execution client or the store is not of this chain"
    )]
    OtherHeader {
        /// Number.
        number: u64,
        /// Which part.
        what: &'static str,
        /// What was computed.
        ours: B256,
        /// What L1 has.
        l1: B256,
    },
    /// A block of a committed batch is nowhere.
    #[error(
        "batch {number} ends with block {hash}, and {missing} is neither at the execution client nor in the store: run \
         `ensemble rebuild`, which takes it from L1, restore a backup of one of them, or switch debug_getRawBlock on"
    )]
    NoBlock {
        /// Number of the batch.
        number: u64,
        /// Hash of its last block.
        hash: B256,
        /// What is missing.
        missing: String,
    },
    /// The blobs do not come out as they are on L1.
    #[error(
        "batch {number} is not verified yet and its bytes do not come out as they are on L1: its blobs have the versioned hashes \
         {l1:?}, this version makes {ours:?}. Another version of ensemble (or another committer.max_blobs) has made it: \
         run the repair with that one"
    )]
    OtherBytes {
        /// Number.
        number: u64,
        /// Of the blobs made here.
        ours: Vec<B256>,
        /// Of the blobs on L1.
        l1: Vec<B256>,
    },
    /// The call data does not hold the blocks.
    #[error(
        "batch {number} is not verified yet, and what lies in the call data of its commit is not read as its blocks: another          version of ensemble has made it: run the repair with that one"
    )]
    OtherCallData {
        /// Number.
        number: u64,
    },
}

impl Classify for RepairError {
    fn severity(&self) -> Severity {
        match self {
            Self::Start(error) => error.severity(),
            Self::L1(error) => error.severity(),
            Self::Engine(error) => error.severity(),
            Self::Store(error) => error.severity(),
            Self::InFlight { .. } => Severity::Transient,
            Self::NotRepairable(_)
            | Self::Contract(_)
            | Self::Blobs(_)
            | Self::NoEvent { .. }
            | Self::NoTransaction { .. }
            | Self::OtherHeader { .. }
            | Self::NoBlock { .. }
            | Self::OtherBytes { .. }
            | Self::OtherCallData { .. } => Severity::Fatal,
        }
    }
}

/// A repair that runs.
pub(crate) struct Repair<'a, F> {
    services: &'a Services,
    settings: &'a RepairSettings,
    tell: F,
    report: RepairReport,
}

/// What L1 tells of a batch.
struct OnL1 {
    header: BatchHeader,
    /// Versioned hashes of its blobs.
    hashes: Vec<B256>,
    /// The payload, when it is in the call data.
    call_data: alloy_primitives::Bytes,
    commit_tx: B256,
    verify_tx: Option<B256>,
    status: BatchStatus,
}

impl<'a, F: Fn(RepairStep)> Repair<'a, F> {
    pub(crate) fn new(services: &'a Services, settings: &'a RepairSettings, tell: F) -> Self {
        Self { services, settings, tell, report: RepairReport::default() }
    }

    /// Makes every batch that L1 has and the store lacks, and the witnesses of those that are not verified.
    pub(crate) async fn run(mut self) -> Result<RepairReport, RepairError> {
        let Services { store, l1, chain, .. } = self.services;
        self.landed().await?;
        let head = l1.block(BlockTag::Latest).await?.ok_or_else(no_head)?;
        let at = BlockTag::Number(head.number);
        let committed = returns::u64(&l1.call(chain.proposer, calls::last_committed_batch(), at).await?)?;
        let verified = returns::u64(&l1.call(chain.proposer, calls::last_verified_batch(), at).await?)?;
        let (mut parent, mut parent_block, mut from_l1) =
            (chain.genesis_header.clone(), 0, self.settings.start_block);
        if let Some(last) = store.last_batch().await? {
            if let Some(transaction) = last.commit_tx
                && let Some(receipt) = l1.receipt(transaction).await?
            {
                from_l1 = receipt.block_number;
            }
            (parent, parent_block) = (last.header, last.last_block);
        }
        if parent.number < committed {
            let commits = self.events(events::BatchCommitted::topic(), from_l1, head.number).await?;
            let verifications = self.events(events::BatchesVerified::topic(), from_l1, head.number).await?;
            let commits = commits_by_number(&commits)?;
            let verifications = verifications_by_number(&verifications)?;
            for number in parent.number + 1..=committed {
                let status = if number <= verified { BatchStatus::Verified } else { BatchStatus::Committed };
                let found = commits.get(&number).map(Vec::as_slice).unwrap_or_default();
                let mut batch = self.on_l1(number, found, parent.hash(), at, status).await?;
                batch.verify_tx = verifications.get(&number).copied().filter(|_| number <= verified);
                let last_block = self.restore(&batch, &parent, parent_block).await?;
                (self.tell)(RepairStep::Restored {
                    number,
                    of: committed,
                    blocks: (parent_block + 1, last_block),
                    verified: number <= verified,
                });
                self.report.batches.push(number);
                (parent, parent_block) = (batch.header, last_block);
            }
        }
        if self.settings.proving {
            self.witnesses().await?;
        }
        Ok(self.report)
    }

    /// Waits until nothing that the lost store has sent is on its way: a commit that is mined after we have looked
    /// would make our next batch the second of its number.
    async fn landed(&self) -> Result<(), RepairError> {
        let mut waited = Duration::ZERO;
        for account in self.settings.accounts {
            loop {
                let nonce = self.services.l1.transaction_count(account, false).await?;
                let pending = self.services.l1.transaction_count(account, true).await?;
                let count = pending.saturating_sub(nonce);
                if count == 0 {
                    break;
                }
                if waited >= self.settings.flight_limit {
                    return Err(RepairError::InFlight { account, count, nonce });
                }
                (self.tell)(RepairStep::WaitsForTransactions { account, count });
                tokio::time::sleep(FLIGHT_POLL).await;
                waited += FLIGHT_POLL;
            }
        }
        Ok(())
    }

    /// The logs of one event of the proposer, in ranges as large as the node allows.
    async fn events(&self, topic0: B256, from: u64, to: u64) -> Result<Vec<L1Log>, RepairError> {
        let Services { l1, chain, .. } = self.services;
        let mut all = Vec::new();
        let (mut next, mut range) = (from, RangeSize::new(self.settings.max_block_step));
        while next <= to {
            let end = range.end(next, to);
            let filter = LogFilter { address: chain.proposer, topic0, from_block: next, to_block: end };
            match l1.logs(&filter).await {
                Ok(logs) => all.extend(logs.into_iter().filter(|log| !log.removed)),
                Err(L1Error::RangeTooLarge { .. }) if range.too_large() => continue,
                Err(error) => return Err(error.into()),
            }
            range.read();
            (self.tell)(RepairStep::ReadsEvents { block: end, of: to });
            next = end + 1;
        }
        Ok(all)
    }

    /// The header of a batch, by the transaction that committed it.
    async fn on_l1(
        &self,
        number: u64,
        commits: &[(B256, B256)],
        parent_hash: B256,
        at: BlockTag,
        status: BatchStatus,
    ) -> Result<OnL1, RepairError> {
        let Services { l1, chain, .. } = self.services;
        let hash = returns::b256(&l1.call(chain.proposer, calls::committed_hash(number), at).await?)?;
        // A batch that was taken back has an event too: the last one with the right hash counts.
        let commit_tx = commits.iter().rev().find(|(of, _)| *of == hash).map(|(_, transaction)| *transaction);
        let commit_tx =
            commit_tx.ok_or(RepairError::NoEvent { number, start_block: self.settings.start_block })?;
        let transaction = l1
            .transaction(commit_tx)
            .await?
            .ok_or(RepairError::NoTransaction { number, transaction: commit_tx })?;
        let hashes = transaction.blob_versioned_hashes;
        let (header, payload) = calls::decode_commit_batch(&transaction.input, parent_hash, &hashes)?;
        let call_data = alloy_primitives::Bytes::copy_from_slice(payload);
        same(number, "the hash of the header", header.hash(), hash)?;
        Ok(OnL1 { header, hashes, call_data, commit_tx, verify_tx: None, status })
    }

    /// Makes a batch from its blocks, checks it against L1, and writes it. Gives its last block.
    async fn restore(
        &mut self,
        batch: &OnL1,
        parent: &BatchHeader,
        parent_block: u64,
    ) -> Result<u64, RepairError> {
        let Services { store, .. } = self.services;
        let (header, number) = (&batch.header, batch.header.number);
        let blocks = self.blocks(header, parent.block_hash, parent_block).await?;
        let last = blocks.last().map_or(parent_block, |b| b.number);
        let withdrawals =
            withdrawals_of::<RepairError>(self.services.engine.as_ref(), parent_block + 1, last).await?;

        let before = (parent.deposits_hash, parent.deposits_index);
        let (deposits_hash, deposits_index) =
            blocks.iter().fold(before, |deposits, block| block.deposits_after(deposits));
        let all: Vec<L2Withdrawal> = withdrawals.values().flatten().cloned().collect();
        let state_root = blocks.last().map_or(parent.state_root, |b| b.state_root);
        same(number, "the state root", state_root, header.state_root)?;
        same(number, "the rolling hash of deposits", deposits_hash, header.deposits_hash)?;
        let index = |n: u64| B256::from(U256::from(n));
        same(number, "the last deposit", index(deposits_index), index(header.deposits_index))?;
        same(number, "the root of withdrawals", WithdrawalTree::new(&all).root(), header.withdrawals_root)?;

        let encoded = if batch.call_data.is_empty() {
            self.encode(&blocks, &batch.hashes).await?
        } else {
            let parent = ParentRef { hash: parent.block_hash, number: parent_block };
            in_call_data(&blocks, &batch.call_data, &parent)
        };
        let (payload, blob_proofs) = match encoded {
            Encoded::Same(payload, proofs) => (payload, proofs),
            Encoded::Other(_) if batch.status == BatchStatus::Verified => {
                tracing::warn!(
                    batch = number,
                    "this version encodes the batch otherwise; it is kept without its bytes"
                );
                self.report.without_bytes.push(number);
                (alloy_primitives::Bytes::new(), Vec::new())
            }
            Encoded::Other(_) if !batch.call_data.is_empty() => {
                return Err(RepairError::OtherCallData { number });
            }
            Encoded::Other(ours) => {
                return Err(RepairError::OtherBytes { number, ours, l1: batch.hashes.clone() });
            }
        };
        for block in &blocks {
            if store.block_extras(block.number).await?.is_none() {
                let withdrawals = withdrawals.get(&block.number).cloned().unwrap_or_default();
                store
                    .set_block_extras(block.number, &BlockExtras { withdrawals, witness: Vec::new() })
                    .await?;
            }
        }
        store
            .restore_batch(&BatchRecord {
                header: header.clone(),
                first_block: parent_block + 1,
                last_block: last,
                payload,
                blob_proofs,
                status: batch.status,
                commit_tx: Some(batch.commit_tx),
                verify_tx: batch.verify_tx,
            })
            .await?;
        Ok(last)
    }

    /// The blocks of a batch: from the store, else from the execution client, and then in the store.
    async fn blocks(
        &mut self,
        header: &BatchHeader,
        mut parent_hash: B256,
        parent_block: u64,
    ) -> Result<Vec<SealedBlock>, RepairError> {
        let Services { store, engine, .. } = self.services;
        let missing = |missing: String| RepairError::NoBlock {
            number: header.number,
            hash: header.block_hash,
            missing,
        };
        let last = match store.block_number(header.block_hash).await? {
            Some(number) => number,
            None => engine
                .block(BlockId::Hash(header.block_hash))
                .await?
                .map(|b| b.number)
                .ok_or_else(|| missing("it".to_owned()))?,
        };
        let mut blocks = Vec::new();
        for number in parent_block + 1..=last {
            let block = match store.block(number).await? {
                Some(block) => block,
                None => {
                    let block = match engine.full_block(number).await {
                        Ok(block) => block,
                        Err(EngineError::NotSupported { .. } | EngineError::MethodNotFound { .. }) => None,
                        Err(error) => return Err(error.into()),
                    };
                    let block = block.ok_or_else(|| missing(format!("block {number}")))?;
                    same(header.number, "the parent of a block", block.parent_hash, parent_hash)?;
                    store.insert_block(&block).await?;
                    self.report.blocks += 1;
                    if self.report.blocks.is_multiple_of(1_000) {
                        (self.tell)(RepairStep::TookBlock { number });
                    }
                    block
                }
            };
            same(header.number, "the parent of a block", block.parent_hash, parent_hash)?;
            parent_hash = block.block_hash;
            blocks.push(block);
        }
        same(header.number, "the last block", parent_hash, header.block_hash)?;
        Ok(blocks)
    }

    /// Encodes blocks as the committer does. How a batch is cut into segments depends on the blobs it was allowed, so
    /// other numbers than today's are tried too.
    async fn encode(&self, blocks: &[SealedBlock], wanted: &[B256]) -> Result<Encoded, RepairError> {
        if wanted.is_empty() {
            let encoded = build(blocks, 0)?.map(|e| e.payload).unwrap_or_default();
            return Ok(Encoded::Same(encoded, Vec::new()));
        }
        let mut ours = Vec::new();
        let mut tried: Vec<alloy_primitives::Bytes> = Vec::new();
        for max_blobs in [self.settings.max_blobs].into_iter().chain(wanted.len()..=MOST_BLOBS) {
            let Some(encoded) = build(blocks, max_blobs)? else { continue };
            if encoded.blobs.len() != wanted.len() || tried.contains(&encoded.payload) {
                continue;
            }
            let raw = encoded.blobs;
            let proofs = tokio::task::spawn_blocking(move || blobs::blob_proofs(&raw))
                .await
                .map_err(|e| RepairError::Blobs(e.to_string()))?
                .map_err(|e| RepairError::Blobs(e.to_string()))?;
            let hashes: Vec<B256> = proofs.iter().map(|p| versioned_hash(&p.commitment)).collect();
            if hashes == wanted {
                return Ok(Encoded::Same(encoded.payload, proofs));
            }
            ours = hashes;
            tried.push(encoded.payload);
        }
        Ok(Encoded::Other(ours))
    }

    /// Makes the witnesses that unverified batches lack. What cannot be made is reported.
    async fn witnesses(&mut self) -> Result<(), RepairError> {
        let Services { store, witness: source, .. } = self.services;
        for status in [BatchStatus::Committed, BatchStatus::Sealed] {
            for number in store.batches_at(status).await? {
                let Some(batch) = store.batch(number).await? else { continue };
                let mut failed: Option<ActorError> = None;
                let mut made = false;
                for block in batch.first_block..=batch.last_block {
                    let Some(extras) = store.block_extras(block).await? else { continue };
                    if !extras.witness.is_empty() {
                        continue;
                    }
                    match source.witness(block).await {
                        Ok(witness) => {
                            let extras = BlockExtras { witness: witness.to_vec(), ..extras };
                            store.set_block_extras(block, &extras).await?;
                            made = true;
                        }
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
                match failed {
                    Some(error) => {
                        tracing::warn!(batch = number, %error, "no witness");
                        self.report.unprovable.push((number, error.to_string()));
                    }
                    None if made => {
                        self.report.provable.push(number);
                        (self.tell)(RepairStep::CanBeProven { number });
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }
}

enum Encoded {
    /// As on L1.
    Same(alloy_primitives::Bytes, Vec<BlobProof>),
    /// With these versioned hashes.
    Other(Vec<B256>),
}

/// The bytes in the call data of a commit, when they hold these blocks. Unlike blobs, L1 keeps them, so nothing has to be
/// encoded anew.
fn in_call_data(blocks: &[SealedBlock], call_data: &alloy_primitives::Bytes, parent: &ParentRef) -> Encoded {
    match decode_blocks(call_data, parent) {
        Ok(read) if read == blocks => Encoded::Same(call_data.clone(), Vec::new()),
        Ok(_) | Err(_) => Encoded::Other(Vec::new()),
    }
}

/// The batch of these blocks; none when it does not fit into so many blobs.
fn build(blocks: &[SealedBlock], max_blobs: usize) -> Result<Option<EncodedBatch>, RepairError> {
    let limits =
        BatchLimits { max_blobs, max_blocks: usize::MAX, max_gas: u64::MAX, max_deposits: usize::MAX };
    let mut builder = BatchBuilder::new(limits);
    let failed = |e: ensemble_batch::CodecError| RepairError::Blobs(e.to_string());
    for block in blocks {
        match builder.push(block).map_err(failed)? {
            Push::Accepted => {}
            Push::Full(_) | Push::TooLarge(_) => return Ok(None),
        }
    }
    builder.finish().map(Some).map_err(failed)
}

/// Hash and transaction of every commit, by number, in order.
fn commits_by_number(logs: &[L1Log]) -> Result<BTreeMap<u64, Vec<(B256, B256)>>, RepairError> {
    let mut all: BTreeMap<u64, Vec<(B256, B256)>> = BTreeMap::new();
    for log in logs {
        let event = events::BatchCommitted::decode(&log.topics, &log.data)?;
        all.entry(event.number).or_default().push((event.hash, log.transaction_hash));
    }
    Ok(all)
}

/// The transaction that verified each batch. Ranges never overlap: what is verified stays so.
fn verifications_by_number(logs: &[L1Log]) -> Result<BTreeMap<u64, B256>, RepairError> {
    let mut all = BTreeMap::new();
    for log in logs {
        let event = events::BatchesVerified::decode(&log.topics, &log.data)?;
        // Bounded by what can be in one proof, not by what a log says.
        for number in (event.first..=event.last).take(1 << 16) {
            all.insert(number, log.transaction_hash);
        }
    }
    Ok(all)
}

fn same(number: u64, what: &'static str, ours: B256, l1: B256) -> Result<(), RepairError> {
    if ours == l1 { Ok(()) } else { Err(RepairError::OtherHeader { number, what, ours, l1 }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::{
        cell::RefCell,
        sync::{Arc, LazyLock},
    };

    use alloy_primitives::{Bytes, address, keccak256};
    use ensemble_actors::{ChainFacts, ClientWitness, SystemClock};
    use ensemble_engine_api::mock::MockEngine;
    use ensemble_l1::{
        Eip1559Tx, L1Client, Wallet,
        mock::{Method, MockL1},
    };
    use ensemble_store::Store;

    use super::*;

    const PROPOSER: Address = address!("00000000000000000000000000000000000000bb");
    static COMMITTER: LazyLock<Wallet> =
        LazyLock::new(|| Wallet::from_hex(alloy_primitives::hex::encode(keccak256("committer"))).unwrap());

    async fn services(l1: &MockL1) -> Services {
        let engine = Arc::new(MockEngine::new(2, 1_700_000_000));
        let genesis = engine.genesis();
        let header = BatchHeader::genesis(1, PROPOSER, 2, genesis.state_root, genesis.block_hash);
        Services {
            store: Store::in_memory().await.unwrap(),
            l1: Arc::new(l1.clone()),
            witness: Arc::new(ClientWitness(engine.clone())),
            engine,
            clock: Arc::new(SystemClock),
            chain: Arc::new(ChainFacts {
                l1_chain_id: 1,
                l2_chain_id: 2,
                proposer: PROPOSER,
                bridge: Address::ZERO,
                l2_genesis_hash: genesis.block_hash,
                genesis_header: header,
                chain_config: String::new(),
            }),
        }
    }

    fn settings() -> RepairSettings {
        RepairSettings {
            start_block: 0,
            max_block_step: 8,
            max_blobs: 6,
            accounts: [COMMITTER.address(), Address::ZERO],
            flight_limit: Duration::from_secs(60),
            proving: false,
        }
    }

    async fn send(l1: &MockL1, nonce: u64) {
        let transfer = Eip1559Tx {
            chain_id: 1,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: Some(PROPOSER),
            value: U256::ZERO,
            data: Bytes::new(),
        };
        l1.send_raw_transaction(&COMMITTER.sign_eip1559(&transfer).unwrap().raw).await.unwrap();
    }

    /// SEQ-INV-4, SEQ-INV-5: what the lost store has sent is waited for until it is mined, and for no longer than the
    /// limit; then the repair says which transactions stand in its way.
    #[actix_rt::test]
    async fn transactions_under_way_are_waited_for() {
        let l1 = MockL1::new(1);
        l1.fund(COMMITTER.address(), U256::MAX);
        let (services, mut settings) = (services(&l1).await, settings());
        send(&l1, 0).await;
        l1.mine();
        for nonce in [1, 2] {
            send(&l1, nonce).await;
        }
        let account = COMMITTER.address();
        let steps = RefCell::new(Vec::new());
        let tell = |step| {
            steps.borrow_mut().push(step);
            if steps.borrow().len() == 2 {
                l1.mine();
            }
        };
        Repair::new(&services, &settings, tell).landed().await.unwrap();
        let waits = RepairStep::WaitsForTransactions { account, count: 2 };
        assert_eq!(*steps.borrow(), [waits.clone(), waits], "until they are mined");

        send(&l1, 3).await;
        settings.flight_limit = Duration::ZERO;
        let error = Repair::new(&services, &settings, |_| {}).landed().await.unwrap_err();
        let RepairError::InFlight { account: of, count: 1, nonce: 3 } = error else { panic!("{error:?}") };
        assert_eq!(of, account);
        assert_eq!(error.severity(), Severity::Transient, "it may be tried again");
        l1.mine();
        Repair::new(&services, &settings, |_| {}).landed().await.unwrap();
    }

    /// Events are read from the first to the last block, however few blocks the node answers for at once; a node that
    /// does not answer for one block is an error, and what it takes back does not count.
    #[actix_rt::test]
    async fn every_event_is_read_in_ranges_that_the_node_allows() {
        let l1 = MockL1::new(1);
        let (services, settings) = (services(&l1).await, settings());
        let topic = keccak256("event");
        for _ in 0..20 {
            l1.push_log(PROPOSER, vec![topic], Bytes::new());
            l1.mine();
        }
        let too_large = || L1Error::RangeTooLarge { message: "at most two".to_owned() };
        l1.fail(Method::Logs, too_large(), 2);
        let steps = RefCell::new(Vec::new());
        let logs = Repair::new(&services, &settings, |step| steps.borrow_mut().push(step))
            .events(topic, 3, 20)
            .await
            .unwrap();
        assert!(logs.iter().map(|log| log.block_number).eq(3..=20), "{logs:?}");
        let steps = steps.into_inner();
        assert_eq!(steps.first(), Some(&RepairStep::ReadsEvents { block: 4, of: 20 }), "8, 4, 2 blocks");
        assert_eq!(steps.last(), Some(&RepairStep::ReadsEvents { block: 20, of: 20 }));

        l1.fail_always(Method::Logs, too_large());
        let error = Repair::new(&services, &settings, |_| {}).events(topic, 3, 20).await.unwrap_err();
        assert!(matches!(error, RepairError::L1(L1Error::RangeTooLarge { .. })), "{error:?}");
    }

    /// Two blocks that do not fit into one blob: their transactions do not compress.
    fn blocks() -> Vec<SealedBlock> {
        let mut parent = MockEngine::new(2, 1_700_000_000).genesis();
        let mut all = Vec::new();
        for number in 1..=2u64 {
            let noise = (0..3_000).flat_map(|n| keccak256(format!("{number}/{n}")).0);
            let block = SealedBlock {
                parent_hash: parent.block_hash,
                number,
                block_hash: keccak256(number.to_be_bytes()),
                transactions: vec![noise.collect::<Vec<u8>>().into()],
                ..parent
            };
            parent = block.clone();
            all.push(block);
        }
        all
    }

    fn versioned(proofs: &[BlobProof]) -> Vec<B256> {
        proofs.iter().map(|p| versioned_hash(&p.commitment)).collect()
    }

    /// SEQ-INV-4: the bytes are found again when `committer.max_blobs` is another one today than it was, and what is not
    /// L1's is never taken for it.
    #[actix_rt::test]
    async fn the_bytes_are_those_of_l1_or_none() {
        let l1 = MockL1::new(1);
        let (services, mut settings) = (services(&l1).await, settings());
        let blocks = blocks();
        let made = build(&blocks, 6).unwrap().unwrap();
        assert_eq!(made.blobs.len(), 2);
        let proofs = blobs::blob_proofs(&made.blobs).unwrap();
        for max_blobs in [1, 2, 6] {
            settings.max_blobs = max_blobs;
            let repair = Repair::new(&services, &settings, |_| {});
            let Encoded::Same(payload, found) = repair.encode(&blocks, &versioned(&proofs)).await.unwrap()
            else {
                panic!("not found from {max_blobs} blobs")
            };
            assert!(payload == made.payload && found == proofs, "L1's bytes");
        }
        let repair = Repair::new(&services, &settings, |_| {});
        let Encoded::Other(ours) = repair.encode(&blocks, &[B256::ZERO; 2]).await.unwrap() else {
            panic!("these are nobody's bytes")
        };
        assert_eq!(ours, versioned(&proofs), "what it would have sent");
        // L1 keeps call data, so its bytes are taken as they are; they have to hold the blocks.
        let parent = ParentRef { hash: blocks[0].parent_hash, number: blocks[0].number - 1 };
        let Encoded::Same(payload, found) = in_call_data(&blocks, &made.payload, &parent) else {
            panic!("these are the bytes")
        };
        assert!(payload == made.payload && found.is_empty());
        let cut = made.payload.slice(..made.payload.len() - 1);
        for (blocks, bytes) in [(&blocks[..1], &made.payload), (&blocks[..], &cut)] {
            assert!(matches!(in_call_data(blocks, bytes, &parent), Encoded::Other(_)), "other blocks");
        }
        // Without data on L1 nothing is to be compared.
        let Encoded::Same(payload, found) = repair.encode(&blocks, &[]).await.unwrap() else { panic!() };
        assert!(!payload.is_empty() && found.is_empty());
    }
}
