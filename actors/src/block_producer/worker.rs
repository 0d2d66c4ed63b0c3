//! The work of the BlockProducer.

use std::sync::Arc;

use alloy_primitives::B256;
use async_trait::async_trait;
use ensemble_batch::{BatchBuilder, Push, SealedBlock};
use ensemble_engine_api::{BlockId, BlockSummary, EngineError, ForkchoiceState, PayloadStatus};
use ensemble_messages::{BlockSealed, HeadChanged};
use ensemble_store::{BatchStatus, StoreError};

use super::{config::BlockProducerConfig, payload, schedule::TickSchedule};
use crate::{
    ActorError, Services,
    fail_point::hit,
    fanout::Fanout,
    stepper::{Next, Worker},
};

/// Seconds by which the clock may be behind the head before that is worth a word. A block that is made at the end of
/// one second and looked at with a clock that is slewed is not.
const CLOCK_BEHIND_S: u64 = 3;

/// Where the events of the BlockProducer go.
#[derive(Clone, Debug, Default)]
pub struct BlockProducerOutlets {
    /// A block was sealed.
    pub block_sealed: Fanout<BlockSealed>,
    /// Safe or finalized head moved.
    pub head_changed: Fanout<HeadChanged>,
}

#[derive(Debug)]
pub(crate) struct ProducerWorker {
    config: BlockProducerConfig,
    services: Services,
    out: Arc<BlockProducerOutlets>,
    schedule: TickSchedule,
    head: Option<BlockSummary>,
    /// Last told safe and finalized block numbers.
    told: (u64, u64),
}

impl ProducerWorker {
    pub(super) fn new(
        config: BlockProducerConfig,
        services: Services,
        out: Arc<BlockProducerOutlets>,
    ) -> Self {
        let schedule = TickSchedule::new(u64::try_from(config.interval.as_millis()).unwrap_or(u64::MAX));
        Self { config, services, out, schedule, head: None, told: (0, 0) }
    }

    /// Makes client and store agree on the head: replays to the client what it lost, keeps what the store lost.
    async fn sync(&self) -> Result<BlockSummary, ActorError> {
        let Services { store, engine, .. } = &self.services;
        let mut client =
            engine.block(BlockId::Latest).await?.ok_or(ActorError::ClientNotReady("without a head"))?;
        let Some(stored) = store.head_block().await? else {
            return self.adopt(client, 0).await;
        };
        let common = client.number.min(stored.number);
        if common > 0 {
            let in_store = store.block_hash(common).await?.ok_or(ActorError::MissingBlock(common))?;
            let at_client = if common == client.number {
                client.hash
            } else {
                engine
                    .block(BlockId::Number(common))
                    .await?
                    .ok_or(ActorError::ClientNotReady("missing old blocks"))?
                    .hash
            };
            if in_store != at_client {
                return Err(ActorError::ClientDiverged {
                    number: common,
                    client: at_client,
                    store: in_store,
                });
            }
        }
        if client.number > stored.number {
            return self.adopt(client, stored.number).await;
        }
        let missing = stored.number - client.number;
        if missing > 0 {
            tracing::info!(
                from = client.number + 1,
                to = stored.number,
                "giving the execution client its blocks back"
            );
        }
        for number in client.number + 1..=stored.number {
            let block = store.block(number).await?.ok_or(ActorError::MissingBlock(number))?;
            if block.parent_hash != client.hash {
                return Err(ActorError::ClientDiverged {
                    number,
                    client: client.hash,
                    store: block.parent_hash,
                });
            }
            self.submit(&block).await?;
            self.make_head(block.block_hash, (&block).into(), &mut client).await?;
            if (number - client.number).is_multiple_of(1000) {
                tracing::info!(number, of = stored.number, "replaying");
            }
        }
        Ok(client)
    }

    /// Writes to the store the blocks that only the client has.
    async fn adopt(&self, client: BlockSummary, stored: u64) -> Result<BlockSummary, ActorError> {
        for number in stored + 1..=client.number {
            let block = match self.services.engine.full_block(number).await {
                Ok(Some(block)) => block,
                Ok(None) | Err(EngineError::NotSupported { .. } | EngineError::MethodNotFound { .. }) => {
                    return Err(ActorError::StoreBehind { client: client.number, store: number - 1 });
                }
                Err(error) => return Err(error.into()),
            };
            self.services.store.insert_block(&block).await?;
            tracing::info!(number, "took over a block that only the execution client had");
        }
        Ok(client)
    }

    /// Refuses a block that no batch can hold, while nobody has it yet: once it is in the chain, neither it nor any block
    /// after it could be committed.
    async fn check_room(&self, block: &SealedBlock) -> Result<(), ActorError> {
        let (mut batch, block) = (BatchBuilder::new(self.config.batch), block.clone());
        let number = block.number;
        // It may have to be compressed.
        let pushed = tokio::task::spawn_blocking(move || batch.push(&block))
            .await
            .map_err(|e| ActorError::Task(e.to_string()))?
            .map_err(|e| ActorError::Batch(e.to_string()))?;
        match pushed {
            Push::Accepted => Ok(()),
            Push::Full(limit) | Push::TooLarge(limit) => {
                Err(ActorError::BlockTooLarge { number, reason: limit.to_string() })
            }
        }
    }

    async fn submit(&self, block: &SealedBlock) -> Result<(), ActorError> {
        hit("block_producer.new_payload.before")?;
        let status = self.services.engine.new_payload(block).await?;
        hit("block_producer.new_payload.after")?;
        match status {
            PayloadStatus::Valid { .. } => Ok(()),
            PayloadStatus::Invalid { validation_error, .. } => Err(ActorError::BlockRefused {
                number: block.number,
                hash: block.block_hash,
                reason: validation_error.unwrap_or_else(|| "no reason given".to_owned()),
            }),
            PayloadStatus::Syncing => Err(ActorError::ClientNotReady("syncing")),
            PayloadStatus::Accepted => Err(ActorError::ClientNotReady("not on this chain (ACCEPTED)")),
        }
    }

    /// The forkchoice with this head, and the safe and finalized blocks that L1 has committed and verified.
    async fn forkchoice(&self, head: B256) -> Result<(ForkchoiceState, (u64, u64)), ActorError> {
        let Services { store, chain, .. } = &self.services;
        let mut marks = [(0, chain.l2_genesis_hash); 2];
        for (mark, status) in marks.iter_mut().zip([BatchStatus::Committed, BatchStatus::Verified]) {
            if let Some(batch) = store.last_batch_at_least(status).await? {
                *mark = (batch.last_block, batch.header.block_hash);
            }
        }
        // After a reorg of L1 less may be verified than before, but no client takes back what is final.
        if let Some(floor) = store.finalized_floor().await? {
            marks = marks.map(|mark| if mark.0 < floor.0 { floor } else { mark });
        }
        let [(safe_number, safe), (finalized_number, finalized)] = marks;
        Ok((ForkchoiceState { head, safe, finalized }, (safe_number, finalized_number)))
    }

    async fn make_head(
        &self,
        hash: B256,
        summary: BlockSummary,
        head: &mut BlockSummary,
    ) -> Result<(u64, u64), ActorError> {
        let (mut state, mut marks) = self.forkchoice(hash).await?;
        if marks.0 > summary.number {
            // While replaying, the head is still below what L1 has: name only ancestors.
            state.safe = self.services.chain.l2_genesis_hash;
            state.finalized = self.services.chain.l2_genesis_hash;
            marks = (0, 0);
        }
        hit("block_producer.head.before")?;
        let updated = self.services.engine.forkchoice_updated(state, None).await?;
        hit("block_producer.head.after")?;
        expect_valid(&updated.status, summary.number, hash)?;
        *head = summary;
        Ok(marks)
    }

    async fn produce(&mut self, head: &BlockSummary, now: u64) -> Result<Option<SealedBlock>, ActorError> {
        let Services { store, engine, .. } = &self.services;
        let deposits =
            store.deposits_after(payload::deposits_index(head), self.config.max_deposits_per_block).await?;
        let attributes = payload::attributes(head, now, self.config.coinbase, &deposits)?;
        let (state, _) = self.forkchoice(head.hash).await?;
        hit("block_producer.build.before")?;
        let updated = engine.forkchoice_updated(state, Some(&attributes)).await?;
        hit("block_producer.build.after")?;
        expect_valid(&updated.status, head.number, head.hash)?;
        let id =
            updated.payload_id.ok_or(ActorError::ClientNotReady("not willing to build (no payload id)"))?;
        let block = engine.get_payload(&id, now).await?.block;
        hit("block_producer.get_payload.after")?;
        payload::check(head, &attributes, &block)?;
        if block.transactions.is_empty() && block.withdrawals.is_empty() && !self.config.empty_blocks {
            return Ok(None);
        }
        self.check_room(&block).await?;
        self.submit(&block).await?;
        // Kept before it becomes the head: a crash in between is repaired by `sync`, which replays it (SEQ-INV-3).
        match store.insert_new_block(&block).await {
            Ok(()) => Ok(Some(block)),
            Err(StoreError::Conflict { number, .. }) => Err(ActorError::Outrun { number }),
            Err(error) => Err(error.into()),
        }
    }
}

fn expect_valid(status: &PayloadStatus, number: u64, hash: B256) -> Result<(), ActorError> {
    match status {
        PayloadStatus::Valid { .. } => Ok(()),
        PayloadStatus::Invalid { validation_error, .. } => Err(ActorError::BlockRefused {
            number,
            hash,
            reason: validation_error.clone().unwrap_or_else(|| "no reason given".to_owned()),
        }),
        PayloadStatus::Syncing => Err(ActorError::ClientNotReady("syncing")),
        PayloadStatus::Accepted => Err(ActorError::ClientNotReady("not on this chain (ACCEPTED)")),
    }
}

#[async_trait(?Send)]
impl Worker for ProducerWorker {
    async fn step(&mut self) -> Result<Next, ActorError> {
        let clock = Arc::clone(&self.services.clock);
        // Whatever goes wrong below, the next step begins with a fresh look at the client.
        let head = match self.head.take() {
            Some(head) => head,
            None => {
                let head = self.sync().await?;
                tracing::info!(number = head.number, hash = %head.hash, "L2 head");
                head
            }
        };
        // When a block is due is not for the wall clock to say: somebody may set it.
        let tick = clock.steady_ms();
        if !self.schedule.is_due(tick) {
            self.head = Some(head);
            return Ok(Next::After(clock.wait(self.schedule.wait_ms(tick))));
        }
        let now_ms = clock.unix_ms();
        let now = now_ms / 1000;
        if now <= head.timestamp {
            // The clock is in the second of the parent, or behind it: timestamps must grow.
            let error = (head.timestamp - now >= CLOCK_BEHIND_S).then(|| ActorError::ClockBehind {
                number: head.number,
                timestamp: head.timestamp,
                clock: now,
            });
            self.head = Some(head);
            return match error {
                Some(error) => Err(error),
                None => Ok(Next::After(clock.wait(1000 - now_ms % 1000))),
            };
        }
        self.schedule.served(tick);
        let mut head = head;
        if let Some(block) = self.produce(&head, now).await? {
            let marks = self.make_head(block.block_hash, (&block).into(), &mut head).await?;
            self.out.block_sealed.send(&BlockSealed {
                number: block.number,
                hash: block.block_hash,
                parent_hash: block.parent_hash,
                timestamp: block.timestamp,
                transactions: block.transactions.len() as u64,
                deposits: block.withdrawals.len() as u64,
                deposits_index: block.deposits_index(),
                gas_used: block.gas_used,
            });
            if marks != self.told {
                self.told = marks;
                self.out.head_changed.send(&HeadChanged {
                    head: head.number,
                    safe: marks.0,
                    finalized: marks.1,
                });
            }
        }
        self.head = Some(head);
        Ok(Next::After(clock.wait(self.schedule.wait_ms(clock.steady_ms()))))
    }
}
