//! The replay of batches.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, U256};
use ensemble_batch::{
    BatchHeader, L2Withdrawal, ParentRef, SealedBlock, WithdrawalTree, blob, decode_blocks,
};
use ensemble_contracts::{L2_BRIDGE_ADDRESS, events};
use ensemble_engine_api::{BlockId, ExecutionClient, ForkchoiceState, PayloadStatus};
use ensemble_error::{Classify, Severity};
use ensemble_l1::{BlockTag, L1Block, L1Client};
use futures::{StreamExt, stream};

use crate::{BatchData, BlobPlace, Blobs, Commit, CommitLog, RebuildError};

/// First wait after an error that may pass; doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// Longest wait after an error that may pass.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The L2 that is rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contracts {
    /// `OnChainProposer`.
    pub proposer: Address,
    /// Chain id of L1.
    pub l1_chain_id: u64,
    /// Chain id of the L2.
    pub l2_chain_id: u64,
}

/// Up to which L1 block commits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpTo {
    /// The last finalized one: what is rebuilt stays.
    Finalized,
    /// The last safe one.
    Safe,
    /// The one so many blocks below the head; 0 is the head.
    Depth(u64),
}

/// How a rebuild works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// L1 block of the deployment, or an earlier one.
    pub start_block: u64,
    /// Most L1 blocks that one `eth_getLogs` asks for.
    pub max_block_step: u64,
    /// Which commits count.
    pub up_to: UpTo,
    /// Last batch to replay; none: all.
    pub last_batch: Option<u64>,
    /// Batches that are fetched while an earlier one is executed. Each takes up to its blobs' size in memory.
    pub ahead: usize,
    /// Time between two looks at L1 of [`Rebuild::follow`].
    pub poll: Duration,
}

impl Default for Settings {
    /// Everything that is finalized, from block 0 on in steps of 5,000; four batches ahead; a look every 2 s.
    fn default() -> Self {
        Self {
            start_block: 0,
            max_block_step: 5_000,
            up_to: UpTo::Finalized,
            last_batch: None,
            ahead: 4,
            poll: Duration::from_secs(2),
        }
    }
}

/// Where a rebuild is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Header of the last batch that was replayed.
    pub header: BatchHeader,
    /// Its last block.
    pub block: ParentRef,
}

/// What a rebuild did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where it is now.
    pub position: Position,
    /// Batches that were replayed.
    pub batches: u64,
    /// Blocks that were executed.
    pub blocks: u64,
    /// Last batch that L1 has committed, and last one that it has verified.
    pub on_l1: (u64, u64),
}

/// What a rebuild is doing, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// L1 is read for commits.
    Reads {
        /// Read up to this block.
        block: u64,
        /// Last block to read.
        of: u64,
    },
    /// The client has batches already.
    Resumes {
        /// The last of them; 0: none.
        batch: u64,
        /// Its last block.
        block: u64,
        /// Last batch on L1.
        of: u64,
    },
    /// A batch was replayed.
    Replayed {
        /// Its number.
        batch: u64,
        /// Last batch on L1.
        of: u64,
        /// Its first and last block.
        blocks: (u64, u64),
        /// Whether L1 has verified it.
        verified: bool,
    },
    /// L1 no longer has what was replayed: a reorg, or batches that were taken back.
    GoesBack {
        /// Last batch that was replayed.
        from: u64,
    },
    /// Something failed that may pass.
    Waits {
        /// What.
        error: String,
        /// Next try after this time.
        retry_in: Duration,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reads { block, of } => write!(f, "L1 read up to block {block} of {of}"),
            Self::Resumes { batch: 0, of, .. } => {
                write!(f, "the execution client is empty; {of} batch(es) to replay")
            }
            Self::Resumes { batch, block, of } => {
                write!(f, "the execution client has batch {batch} of {of}, up to block {block}")
            }
            Self::Replayed { batch, of, blocks: (first, last), verified } => {
                let status = if *verified { "verified" } else { "committed" };
                write!(f, "batch {batch} of {of} replayed: blocks {first} to {last}, {status}")
            }
            Self::GoesBack { from } => {
                write!(f, "L1 no longer has batch {from} as it was replayed: looking for the common one")
            }
            Self::Waits { error, retry_in } => write!(f, "{error}; next try in {} s", retry_in.as_secs()),
        }
    }
}

/// A batch that has been fetched.
struct Fetched {
    header: BatchHeader,
    payload: Vec<u8>,
}

/// A rebuild of one L2.
#[derive(Debug)]
pub struct Rebuild {
    l1: Arc<dyn L1Client>,
    engine: Arc<dyn ExecutionClient>,
    blobs: Blobs,
    contracts: Contracts,
    settings: Settings,
    log: CommitLog,
    /// Where the last run ended, and up to which L1 block it has read.
    at: Option<(Position, u64)>,
}

impl Rebuild {
    /// A rebuild of the L2 that these contracts belong to, into this execution client.
    #[must_use]
    pub fn new(
        l1: Arc<dyn L1Client>,
        engine: Arc<dyn ExecutionClient>,
        blobs: Blobs,
        contracts: Contracts,
        settings: Settings,
    ) -> Self {
        let log = CommitLog::new(
            Arc::clone(&l1),
            contracts.proposer,
            settings.start_block,
            settings.max_block_step,
        );
        Self { l1, engine, blobs, contracts, settings, log, at: None }
    }

    /// Replays every batch that L1 has and the execution client lacks. Dropping the future stops it between two requests;
    /// the next run goes on from there.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub async fn run(&mut self, tell: impl Fn(Step)) -> Result<Report, RebuildError> {
        let (target, at) = self.target().await?;
        let (committed, verified) = self.log.last(at).await?;
        let last = self.settings.last_batch.map_or(committed, |limit| limit.min(committed));
        let (mut position, read) = match self.at.take() {
            Some((position, read)) if self.still_there(&position, committed, at).await? => {
                (position, read + 1)
            }
            former => {
                if let Some((position, _)) = former {
                    tell(Step::GoesBack { from: position.header.number });
                }
                (self.genesis(at).await?, 0)
            }
        };
        let reading = |block| tell(Step::Reads { block, of: target });
        let mut found = self.log.commits(read, target, reading).await?;
        if position.header.number == 0 {
            position = self.resume(position, &found, last, at).await?;
            let (batch, block) = (position.header.number, position.block.number);
            tell(Step::Resumes { batch, block, of: last });
        }
        let mut report = Report { position, batches: 0, blocks: 0, on_l1: (committed, verified) };
        let chain = self.chain(&mut found, report.position.header.clone(), last, at).await?;
        let finalized = self.finalized(&report.position, verified);
        let mut state =
            ForkchoiceState { head: report.position.block.hash, safe: report.position.block.hash, finalized };
        let fetches = chain.into_iter().map(|(commit, parent)| self.fetch(commit, parent));
        let mut fetched = stream::iter(fetches).buffered(self.settings.ahead.max(1));
        while let Some(batch) = fetched.next().await {
            let Fetched { header, payload } = batch?;
            let first = report.position.block.number + 1;
            let before = &report.position;
            let blocks =
                decode_blocks(&payload, &before.block).map_err(RebuildError::codec(header.number))?;
            let is_verified = header.number <= verified;
            for block in &blocks {
                self.execute(header.number, block, &mut state).await?;
            }
            let end = blocks.last().map_or(before.block, ParentRef::from);
            self.check(&before.header, &header, &blocks, first).await?;
            (state.head, state.safe) = (end.hash, end.hash);
            if is_verified {
                state.finalized = end.hash;
            }
            self.head(end.number, &state).await?;
            report.batches += 1;
            report.blocks += blocks.len() as u64;
            let (batch, blocks) = (header.number, (first, end.number));
            report.position = Position { header, block: end };
            tell(Step::Replayed { batch, of: last, blocks, verified: is_verified });
        }
        drop(fetched);
        self.at = Some((report.position.clone(), target));
        Ok(report)
    }

    /// Runs again and again until `stop` is done: keeps the execution client at what L1 has committed. Errors that may
    /// pass are told and tried again.
    ///
    /// # Errors
    /// An error that does not pass by itself.
    pub async fn follow(
        &mut self,
        tell: impl Fn(Step),
        stop: impl Future<Output = ()>,
    ) -> Result<(), RebuildError> {
        tokio::pin!(stop);
        let mut wait = WAIT_FIRST;
        loop {
            let result = tokio::select! {
                result = self.run(&tell) => result,
                () = &mut stop => return Ok(()),
            };
            let pause = match result {
                Ok(_) => {
                    wait = WAIT_FIRST;
                    self.settings.poll
                }
                Err(error) => match error.severity() {
                    Severity::Transient => {
                        tell(Step::Waits { error: error.to_string(), retry_in: wait });
                        let pause = wait;
                        wait = (wait * 2).min(WAIT_MAX);
                        pause
                    }
                    Severity::Recoverable | Severity::NeedsReset | Severity::Fatal => return Err(error),
                },
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut stop => return Ok(()),
            }
        }
    }

    /// The last L1 block that counts.
    async fn target(&self) -> Result<(u64, BlockTag), RebuildError> {
        let tag = match self.settings.up_to {
            UpTo::Finalized => BlockTag::Finalized,
            UpTo::Safe => BlockTag::Safe,
            UpTo::Depth(_) => BlockTag::Latest,
        };
        // Before the first justification there is no such block: nothing counts yet.
        let head = self.l1.block(tag).await?.map_or(0, |block| block.number);
        let target = match self.settings.up_to {
            UpTo::Depth(depth) => head.saturating_sub(depth),
            UpTo::Finalized | UpTo::Safe => head,
        };
        Ok((target, BlockTag::Number(target)))
    }

    /// Whether L1 still has a batch that was replayed.
    async fn still_there(
        &self,
        position: &Position,
        committed: u64,
        at: BlockTag,
    ) -> Result<bool, RebuildError> {
        let number = position.header.number;
        Ok(number <= committed && self.log.hash(number, at).await? == position.header.hash())
    }

    /// The start, if client and contract agree on it.
    async fn genesis(&self, at: BlockTag) -> Result<Position, RebuildError> {
        let block = self.engine.block(BlockId::Number(0)).await?;
        let block = block.ok_or(RebuildError::NotExecuted { block: 0, status: "it has no genesis block" })?;
        let Contracts { proposer, l1_chain_id, l2_chain_id } = self.contracts;
        let header = BatchHeader::genesis(l1_chain_id, proposer, l2_chain_id, block.state_root, block.hash);
        let on_l1 = self.log.hash(0, at).await?;
        if header.hash() != on_l1 {
            return Err(RebuildError::OtherGenesis { on_l1, here: header.hash() });
        }
        Ok(Position { header, block: ParentRef { hash: block.hash, number: 0 } })
    }

    /// The last batch whose last block is on the client's chain: found by halving, since who has a batch has all before.
    async fn resume(
        &self,
        genesis: Position,
        found: &BTreeMap<u64, Vec<Commit>>,
        last: u64,
        at: BlockTag,
    ) -> Result<Position, RebuildError> {
        let head = self.engine.block(BlockId::Latest).await?.map_or(0, |block| block.number);
        let mut position = genesis;
        if head == 0 {
            return Ok(position);
        }
        let (mut has, mut lacks) = (0, last + 1);
        while lacks - has > 1 {
            let middle = has + (lacks - has) / 2;
            let parent = self.log.hash(middle - 1, at).await?;
            let commit = self.commit(found, middle, at).await?;
            let (header, _) = self.log.header(&commit, parent).await?;
            match self.on_chain(header.block_hash).await? {
                Some(block) => {
                    has = middle;
                    position = Position { header, block };
                }
                None => lacks = middle,
            }
        }
        Ok(position)
    }

    /// A block, if it is on the client's canonical chain.
    async fn on_chain(&self, hash: B256) -> Result<Option<ParentRef>, RebuildError> {
        let Some(block) = self.engine.block(BlockId::Hash(hash)).await? else { return Ok(None) };
        let canonical = self.engine.block(BlockId::Number(block.number)).await?;
        Ok(canonical.filter(|c| c.hash == hash).map(|c| ParentRef { hash, number: c.number }))
    }

    /// The commit of a batch that counts: of several the one whose hash the contract has.
    async fn commit(
        &self,
        found: &BTreeMap<u64, Vec<Commit>>,
        number: u64,
        at: BlockTag,
    ) -> Result<Commit, RebuildError> {
        let missing = || RebuildError::NoEvent { number, start_block: self.log.start_block() };
        match found.get(&number).map(Vec::as_slice).unwrap_or_default() {
            [] => Err(missing()),
            [only] => Ok(*only),
            several => {
                let hash = self.log.hash(number, at).await?;
                several.iter().rev().find(|commit| commit.hash == hash).copied().ok_or_else(missing)
            }
        }
    }

    /// The commits after `from`, each with its parent's hash. Their chain of hashes ends with the contract's last one.
    async fn chain(
        &self,
        found: &mut BTreeMap<u64, Vec<Commit>>,
        from: BatchHeader,
        last: u64,
        at: BlockTag,
    ) -> Result<Vec<(Commit, B256)>, RebuildError> {
        let mut chain = Vec::new();
        let mut parent = from.hash();
        for number in from.number + 1..=last {
            let commit = self.commit(found, number, at).await?;
            chain.push((commit, parent));
            parent = commit.hash;
        }
        let on_l1 = self.log.hash(last.max(from.number), at).await?;
        if parent != on_l1 {
            return Err(RebuildError::OtherHeader { number: last, ours: parent, l1: on_l1 });
        }
        Ok(chain)
    }

    /// Header and payload of a batch.
    async fn fetch(&self, commit: Commit, parent: B256) -> Result<Fetched, RebuildError> {
        let number = commit.number;
        let (header, data) = self.log.header(&commit, parent).await?;
        let hashes = match data {
            BatchData::Nowhere => return Err(RebuildError::NoData { number }),
            BatchData::CallData(payload) => return Ok(Fetched { header, payload: payload.to_vec() }),
            BatchData::Blobs(hashes) => hashes,
        };
        let mut place = self.place(&commit).await?;
        let blobs = loop {
            match self.blobs.fetch(number, &place, &hashes).await {
                // It was L1's head when it was looked at; meanwhile it may not be.
                Err(RebuildError::NoBlobs { .. }) if place.beacon_root.is_none() => {
                    place = self.place(&commit).await?;
                    if place.beacon_root.is_none() {
                        break self.blobs.fetch(number, &place, &hashes).await?;
                    }
                }
                result => break result?,
            }
        };
        let payload = blob::unpack(&blobs).map_err(|error| RebuildError::payload(number, &error))?;
        Ok(Fetched { header, payload: payload.to_vec() })
    }

    /// Where the blobs of a commit are.
    async fn place(&self, commit: &Commit) -> Result<BlobPlace, RebuildError> {
        let Commit { block_number: number, block_hash: hash, .. } = *commit;
        let next: Option<L1Block> = self.l1.block(BlockTag::Number(number + 1)).await?;
        let beacon_root =
            next.filter(|next| next.parent_hash == hash).and_then(|b| b.parent_beacon_block_root);
        Ok(BlobPlace { number, hash, beacon_root })
    }

    /// Gives a block to the client, which executes it.
    async fn execute(
        &self,
        batch: u64,
        block: &SealedBlock,
        state: &mut ForkchoiceState,
    ) -> Result<(), RebuildError> {
        match self.engine.new_payload(block).await? {
            PayloadStatus::Valid { .. } | PayloadStatus::Accepted => {}
            PayloadStatus::Invalid { validation_error, .. } => {
                let reason = validation_error.unwrap_or_else(|| "it does not say why".to_owned());
                return Err(RebuildError::InvalidBlock { number: batch, block: block.number, reason });
            }
            PayloadStatus::Syncing => {
                return Err(RebuildError::NotExecuted { block: block.number, status: "SYNCING" });
            }
        }
        state.head = block.block_hash;
        self.head(block.number, state).await
    }

    async fn head(&self, block: u64, state: &ForkchoiceState) -> Result<(), RebuildError> {
        match self.engine.forkchoice_updated(*state, None).await?.status {
            PayloadStatus::Valid { .. } => Ok(()),
            PayloadStatus::Syncing => Err(RebuildError::NotExecuted { block, status: "SYNCING" }),
            PayloadStatus::Accepted => Err(RebuildError::NotExecuted { block, status: "ACCEPTED" }),
            PayloadStatus::Invalid { .. } => Err(RebuildError::NotExecuted { block, status: "INVALID" }),
        }
    }

    /// What may be called final at the start: a verified batch that the client has.
    fn finalized(&self, position: &Position, verified: u64) -> B256 {
        let known = position.header.number > 0 && position.header.number <= verified;
        if known { position.block.hash } else { B256::ZERO }
    }

    /// Compares what was executed with what was committed, field by field.
    async fn check(
        &self,
        before: &BatchHeader,
        header: &BatchHeader,
        blocks: &[SealedBlock],
        first: u64,
    ) -> Result<(), RebuildError> {
        let number = header.number;
        let same = |what, ours: B256, l1: B256| {
            if ours == l1 { Ok(()) } else { Err(RebuildError::OtherResult { number, what, ours, l1 }) }
        };
        let end = blocks.last();
        same("the last block", end.map_or(before.block_hash, |b| b.block_hash), header.block_hash)?;
        same("the state root", end.map_or(before.state_root, |b| b.state_root), header.state_root)?;
        let (hash, index) =
            blocks.iter().fold((before.deposits_hash, before.deposits_index), |deposits, block| {
                block.deposits_after(deposits)
            });
        let word = |n: u64| B256::from(U256::from(n));
        same("the rolling hash of deposits", hash, header.deposits_hash)?;
        same("the last deposit", word(index), word(header.deposits_index))?;
        let last = end.map_or(first, |block| block.number);
        let mut logs =
            self.engine.logs(L2_BRIDGE_ADDRESS, events::WithdrawalInitiated::topic(), first, last).await?;
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        let mut withdrawals = Vec::with_capacity(logs.len());
        for log in logs {
            let event = events::WithdrawalInitiated::decode(&log.topics, &log.data)?;
            withdrawals.push(L2Withdrawal { id: event.id, to: event.receiver, amount: event.amount });
        }
        same("the root of withdrawals", WithdrawalTree::new(&withdrawals).root(), header.withdrawals_root)
    }
}
