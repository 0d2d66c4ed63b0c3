//! The work of the L1Watcher.

use std::sync::Arc;

use alloy_primitives::B256;
use async_trait::async_trait;
use ensemble_batch::{Deposit, deposit_leaf, next_deposits_hash};
use ensemble_contracts::events;
use ensemble_engine_api::BlockId;
use ensemble_l1::{BlockTag, L1Block, L1Error, L1Log, LogFilter, RangeSize};
use ensemble_messages::{L1Advanced, L1Reorged, NewDeposit};
use ensemble_store::Cursor;

use super::{Confirmations, L1WatcherConfig, anchor};
use crate::{
    ActorError, Services,
    fanout::Fanout,
    stepper::{Next, Worker},
};

/// How many remembered blocks are compared when a reorg is looked into.
const REORG_SEARCH: u32 = 4096;
/// How many deposits that L1 has dropped are looked at at once.
const DROPPED_SEARCH: u32 = 100_000;

/// Where the events of the L1Watcher go.
#[derive(Clone, Debug, Default)]
pub struct L1WatcherOutlets {
    /// A deposit is in the ledger.
    pub new_deposit: Fanout<NewDeposit>,
    /// L1 was read further.
    pub l1_advanced: Fanout<L1Advanced>,
    /// L1 was reorganised.
    pub l1_reorged: Fanout<L1Reorged>,
}

#[derive(Debug)]
pub(crate) struct WatcherWorker {
    config: L1WatcherConfig,
    services: Services,
    out: Arc<L1WatcherOutlets>,
    range: RangeSize,
}

/// Turns the logs of a range into deposits that continue the chain of rolling hashes.
///
/// # Errors
/// When a log cannot be decoded, an id is missing or repeated, or the bridge's rolling hash is not ours.
pub(super) fn deposits_of(
    logs: &[L1Log],
    bridge: alloy_primitives::Address,
    last: Option<&Deposit>,
) -> Result<Vec<Deposit>, ActorError> {
    let mut sorted: Vec<&L1Log> = logs.iter().filter(|log| !log.removed && log.address == bridge).collect();
    sorted.sort_by_key(|log| (log.block_number, log.log_index));
    let (mut id, mut hash) = last.map_or((0, B256::ZERO), |d| (d.id, d.rolling_hash));
    let mut out = Vec::with_capacity(sorted.len());
    for log in sorted {
        let event = events::DepositInitiated::decode(&log.topics, &log.data)?;
        let bad = |reason: String| ActorError::BadDeposit {
            id: event.deposit_id,
            l1_block: log.block_number,
            reason,
        };
        // Ledger and cursor move together, so no log of a range can be in the ledger already.
        if event.deposit_id <= id {
            return Err(bad(format!("it comes again after deposit {id}; the L1 node repeats itself")));
        }
        if event.deposit_id != id + 1 {
            return Err(bad(format!("it comes after deposit {id}; the answer of the L1 node is incomplete")));
        }
        hash = next_deposits_hash(hash, deposit_leaf(event.deposit_id, event.to, event.amount));
        if hash != event.rolling_hash {
            return Err(bad(format!("its rolling hash is {}, expected {hash}", event.rolling_hash)));
        }
        id = event.deposit_id;
        out.push(Deposit {
            id,
            to: event.to,
            amount: event.amount,
            rolling_hash: hash,
            l1_block: log.block_number,
            l1_block_hash: log.block_hash,
        });
    }
    Ok(out)
}

impl WatcherWorker {
    pub(super) fn new(config: L1WatcherConfig, services: Services, out: Arc<L1WatcherOutlets>) -> Self {
        let range = RangeSize::new(config.max_block_step);
        Self { config, services, out, range }
    }

    /// The last block that counts.
    async fn target(&self) -> Result<Option<L1Block>, ActorError> {
        let l1 = &self.services.l1;
        Ok(match self.config.confirmations {
            Confirmations::Safe => l1.block(BlockTag::Safe).await?,
            Confirmations::Finalized => l1.block(BlockTag::Finalized).await?,
            Confirmations::Depth(0) => l1.block(BlockTag::Latest).await?,
            Confirmations::Depth(depth) => match l1.block(BlockTag::Latest).await? {
                Some(head) if head.number >= depth => l1.block(BlockTag::Number(head.number - depth)).await?,
                _ => None,
            },
        })
    }

    async fn canonical(&self, cursor: Cursor) -> Result<bool, ActorError> {
        let block = self.services.l1.block(BlockTag::Number(cursor.number)).await?;
        Ok(block.is_some_and(|b| b.hash == cursor.hash))
    }

    /// Goes back to the last block read that is still canonical.
    async fn unwind(&self, from: Cursor) -> Result<Cursor, ActorError> {
        let known = self.services.store.known_l1_blocks(REORG_SEARCH).await?;
        let mut ancestor = None;
        for cursor in &known {
            if cursor.number < from.number && self.canonical(*cursor).await? {
                ancestor = Some(*cursor);
                break;
            }
        }
        let ancestor = match ancestor {
            Some(ancestor) => ancestor,
            // All that was read is gone: begin before the bridge.
            None => {
                let origin = BlockTag::Number(self.config.start_block.saturating_sub(1));
                let block =
                    self.services.l1.block(origin).await?.ok_or(ActorError::NoCommonAncestor(known.len()))?;
                Cursor { number: block.number, hash: block.hash }
            }
        };
        let included = match self.services.engine.block(BlockId::Latest).await? {
            Some(head) if head.number > 0 => ensemble_batch::deposits_index_of(&head.prev_randao),
            _ => 0,
        };
        let unwound = self.services.store.unwind_l1(ancestor, included).await?;
        tracing::warn!(
            from = from.number,
            to = ancestor.number,
            removed_deposits = unwound.removed,
            dropped_deposits_on_l2 = unwound.dropped,
            "L1 was reorganised; reading again from the common ancestor"
        );
        self.out.l1_reorged.send(&L1Reorged { from: from.number, common_ancestor: ancestor.number });
        Ok(ancestor)
    }
}

#[async_trait(?Send)]
impl Worker for WatcherWorker {
    async fn step(&mut self) -> Result<Next, ActorError> {
        let idle = Next::After(self.config.check_interval);
        let Services { store, l1, chain, .. } = &self.services;
        let mut cursor = store.cursor().await?;
        if let Some(at) = cursor
            && !self.canonical(at).await?
        {
            // A node that is merely behind (another endpoint) has no block at that height yet: not a reorg.
            if l1.block(BlockTag::Latest).await?.is_none_or(|head| head.number < at.number) {
                return Err(ActorError::L1Behind { wanted: at.number });
            }
            cursor = Some(self.unwind(at).await?);
        }
        let dropped = store.dropped_deposits(DROPPED_SEARCH).await?;
        let Some(target) = self.target().await? else {
            anchor::complete(&dropped)?;
            return Ok(idle);
        };
        let from = cursor.map_or(self.config.start_block, |c| c.number + 1);
        if from > target.number {
            anchor::complete(&dropped)?;
            return Ok(idle);
        }
        let to = self.range.end(from, target.number);
        let filter = LogFilter {
            address: chain.bridge,
            topic0: events::DepositInitiated::topic(),
            from_block: from,
            to_block: to,
        };
        // Read before the logs and looked at again after them, together with the cursor: what is still canonical then
        // was so in between, and so was all that lies below it. Otherwise a reorg came between two questions.
        let end = if to == target.number { Some(target) } else { l1.block(BlockTag::Number(to)).await? };
        let Some(end) = end else { return Ok(idle) };
        let end = Cursor { number: end.number, hash: end.hash };
        let logs = match l1.logs(&filter).await {
            Ok(logs) => logs,
            Err(error @ L1Error::RangeTooLarge { .. }) => {
                return if self.range.too_large() { Ok(Next::Now) } else { Err(error.into()) };
            }
            Err(error) => return Err(error.into()),
        };
        let torn = logs.iter().any(|log| log.block_number == to && log.block_hash != end.hash);
        let moved = match cursor {
            Some(at) => !self.canonical(at).await?,
            None => false,
        };
        if torn || moved || !self.canonical(end).await? {
            return Err(ActorError::L1Unsteady { block: to });
        }
        let last = store.last_deposit_on_l1().await?;
        let deposits = deposits_of(&logs, chain.bridge, last.as_ref())?;
        let new = anchor::anchor(&dropped, &deposits)?;
        store.record_l1_range(end, &deposits).await?;
        self.range.read();
        for deposit in new {
            self.out.new_deposit.send(&NewDeposit { deposit: deposit.clone() });
        }
        self.out.l1_advanced.send(&L1Advanced { number: end.number, hash: end.hash });
        if to < target.number {
            return Ok(Next::Now);
        }
        anchor::complete(dropped.get(deposits.len()..).unwrap_or_default())?;
        Ok(idle)
    }
}
