//! The work of the L1Committer.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use alloy_primitives::{B256, hex};
use async_trait::async_trait;
use ensemble_batch::{EncodedBatch, blobs_hash, call_data_hash, versioned_hash};
use ensemble_contracts::{calls, returns};
use ensemble_engine_api::BlockId;
use ensemble_l1::{BlockTag, Market, TxType, blobs};
use ensemble_messages::{
    BatchCommitted, BatchSealed, IntentId, IntentKind, Send, SenderRole, TxFailed, TxIntent,
};
use ensemble_store::{BatchRecord, BatchStatus, BlockExtras, IntentState};
use ensemble_supervision::Outlet;

use super::{
    DataAvailability, L1CommitterConfig,
    assembly::{Added, Assembly},
    price::{MAX_CALL_DATA, Place, Prices},
};
use crate::{
    ActorError, Services,
    fanout::Fanout,
    missing::Missing,
    services::ask,
    stepper::{Next, Worker},
    withdrawals::withdrawals_of,
};

/// How long L1 is believed between two looks, unless a transaction was confirmed.
const L1_LOOK_MS: u64 = 2_000;

/// Where the messages of the L1Committer go.
#[derive(Clone, Debug)]
pub struct L1CommitterOutlets {
    /// L1Sender.
    pub sender: Outlet<Send>,
    /// A batch was sealed.
    pub batch_sealed: Fanout<BatchSealed>,
    /// A batch is committed on L1.
    pub batch_committed: Fanout<BatchCommitted>,
}

/// What the actor tells its worker.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// L1 has changed: look now.
    pub(super) look: bool,
    /// A commit transaction failed.
    pub(super) failed: Option<TxFailed>,
}

#[derive(Debug)]
pub(crate) struct CommitterWorker {
    config: L1CommitterConfig,
    services: Services,
    out: Arc<L1CommitterOutlets>,
    inbox: Rc<RefCell<Inbox>>,
    assembly: Option<Assembly>,
    /// Last batch that L1Sender was asked for by this instance.
    asked: u64,
    looked_at_ms: Option<u64>,
    sealed_at_ms: u64,
    missing: Missing,
}

impl CommitterWorker {
    pub(super) fn new(
        config: L1CommitterConfig,
        services: Services,
        out: Arc<L1CommitterOutlets>,
        inbox: Rc<RefCell<Inbox>>,
    ) -> Self {
        let mut config = config;
        config.limits = config.da.limits(config.limits);
        Self {
            config,
            services,
            out,
            inbox,
            assembly: None,
            asked: 0,
            looked_at_ms: None,
            sealed_at_ms: 0,
            missing: Missing::default(),
        }
    }

    /// Brings the statuses of batches in line with the contract.
    async fn look_at_l1(&mut self) -> Result<(), ActorError> {
        let Services { store, l1, chain, .. } = &self.services;
        let last =
            returns::u64(&l1.call(chain.proposer, calls::last_committed_batch(), BlockTag::Latest).await?)?;
        let ours = store.last_batch().await?.map_or(0, |b| b.header.number);
        if last > ours {
            return Err(ActorError::L1Diverged {
                what: "the last committed batch".to_owned(),
                l1: last.to_string(),
                store: ours.to_string(),
            });
        }
        for number in store.batches_at(BatchStatus::Sealed).await? {
            if number > last {
                break;
            }
            let Some(batch) = store.batch(number).await? else { break };
            let answer = l1.call(chain.proposer, calls::committed_hash(number), BlockTag::Latest).await?;
            let (on_l1, in_store) = (returns::b256(&answer)?, batch.header.hash());
            if on_l1 != in_store {
                return Err(ActorError::L1Diverged {
                    what: format!("the hash of batch {number}"),
                    l1: on_l1.to_string(),
                    store: in_store.to_string(),
                });
            }
            let transaction = self.services.transaction_of(&intent_id(&batch)).await?;
            if store.mark_committed(number, transaction).await? {
                self.out.batch_committed.send(&BatchCommitted {
                    number,
                    last_block: batch.last_block,
                    transaction,
                });
            }
        }
        let gone = store.uncommit_above(last).await?;
        if gone > 0 {
            tracing::warn!(last_committed = last, batches = gone, "L1 dropped commits; they are sent again");
            self.asked = last;
        }
        Ok(())
    }

    /// Asks L1Sender for every sealed batch it was not asked for yet.
    async fn ask(&mut self) -> Result<u64, ActorError> {
        let store = self.services.store.clone();
        let waiting = store.batches_at(BatchStatus::Sealed).await?;
        let asked = self.asked;
        for number in waiting.iter().copied().filter(|n| *n > asked) {
            let Some(batch) = store.batch(number).await? else { break };
            let intent = TxIntent {
                id: intent_id(&batch),
                role: SenderRole::Committer,
                kind: IntentKind::CommitBatch { number },
                to: self.services.chain.proposer,
                data: match place_of(&batch) {
                    Place::CallData => calls::commit_batch_with_data(&batch.header, &batch.payload),
                    Place::Blobs | Place::Nowhere => calls::commit_batch(&batch.header),
                },
                blobs: batch.blob_proofs.len() as u64,
            };
            if let Some(transaction) = ask(&self.out.sender, intent).await? {
                if self.is_missing(&batch, transaction).await? {
                    break;
                }
                self.inbox.borrow_mut().look = true;
            }
            self.asked = number;
        }
        Ok(waiting.len() as u64)
    }

    /// Whether L1 lacks the commit of a batch although its transaction was confirmed: a reorg deeper than the
    /// confirmations, or `revertBatches`. Once that is certain the commit is to be sent anew.
    async fn is_missing(&mut self, batch: &BatchRecord, transaction: B256) -> Result<bool, ActorError> {
        let Services { store, l1, chain, .. } = &self.services;
        let number = batch.header.number;
        let head =
            l1.block(BlockTag::Latest).await?.ok_or(ActorError::ClientNotReady("without an L1 head"))?;
        let at = BlockTag::Number(head.number);
        let last = returns::u64(&l1.call(chain.proposer, calls::last_committed_batch(), at).await?)?;
        let newer = l1.receipt(transaction).await?.is_some_and(|r| r.block_number > head.number);
        if last >= number || newer {
            self.missing.none();
            return Ok(false);
        }
        if self.missing.at(number, head.number) {
            tracing::warn!(batch = number, %transaction, "L1 no longer has a confirmed commit; it is sent anew");
            store.fail_intent(&intent_id(batch), "L1 no longer has it").await?;
            self.missing.none();
        }
        Ok(true)
    }

    /// A commit that failed without our having been told so: the message was lost. One that was confirmed and is not
    /// on L1 is to be asked for again: a reorg took it before it was seen there.
    async fn failed_unheard(&mut self) -> Result<Option<(IntentId, String)>, ActorError> {
        let store = &self.services.store;
        for number in store.batches_at(BatchStatus::Sealed).await?.into_iter().filter(|n| *n <= self.asked) {
            let Some(batch) = store.batch(number).await? else { break };
            let id = intent_id(&batch);
            match store.intent(&id).await?.map(|r| r.state) {
                Some(IntentState::Failed { reason }) => return Ok(Some((id, reason))),
                Some(IntentState::Confirmed { .. }) => {
                    self.asked = number - 1;
                    break;
                }
                Some(IntentState::Pending) | None => {}
            }
        }
        Ok(None)
    }

    /// Withdrawals and witness of a block: from the store, else from the execution client.
    async fn extras(&self, number: u64) -> Result<BlockExtras, ActorError> {
        let Services { store, engine, chain, witness: source, .. } = &self.services;
        if let Some(extras) = store.block_extras(number).await? {
            return Ok(extras);
        }
        let mut by_block = withdrawals_of::<ActorError>(engine.as_ref(), number, number).await?;
        let withdrawals = by_block.remove(&number).unwrap_or_default();
        // Without a chain configuration nothing is proven (dev mode), and no witness is needed.
        let witness =
            if chain.chain_config.is_empty() { Vec::new() } else { source.witness(number).await?.to_vec() };
        let extras = BlockExtras { withdrawals, witness };
        store.set_block_extras(number, &extras).await?;
        Ok(extras)
    }

    async fn begin(&self) -> Result<Assembly, ActorError> {
        let (header, block) = match self.services.store.last_batch().await? {
            Some(batch) => (batch.header, batch.last_block),
            None => (self.services.chain.genesis_header.clone(), 0),
        };
        Ok(Assembly::new(header, block, self.config.limits))
    }

    /// Where the data of a batch goes. The header holds the choice, so it is made once.
    async fn place(&self, batch: &EncodedBatch) -> Result<Place, ActorError> {
        match self.config.da {
            DataAvailability::None => Ok(Place::Nowhere),
            DataAvailability::Blob => Ok(Place::Blobs),
            DataAvailability::CallData => Ok(Place::CallData),
            DataAvailability::Auto if batch.payload.len() > MAX_CALL_DATA => Ok(Place::Blobs),
            DataAvailability::Auto => {
                let Services { store, l1, .. } = &self.services;
                let fees = &self.config.fees;
                let market = Market::fetch(l1.as_ref(), fees, TxType::Blob).await?;
                let before = store.last_batch().await?.as_ref().map(place_of);
                let prices = Prices::of(&batch.payload, batch.blobs.len(), &market, fees);
                let place = prices.map_or(Place::Blobs, |prices| prices.choose(before));
                tracing::debug!(?prices, ?before, ?place, bytes = batch.payload.len(), "data of a batch");
                Ok(place)
            }
        }
    }

    async fn seal(&mut self, assembly: Assembly) -> Result<(), ActorError> {
        // L1 refuses a seal time in its future or long past, so ours is that of the newest L1 block. Our own clock may
        // be set to anything.
        let l1_time = self.services.l1.block(BlockTag::Latest).await?.map_or(0, |b| b.timestamp);
        let Some(sealed) = assembly.seal(l1_time)? else { return Ok(()) };
        let place = self.place(&sealed.encoded).await?;
        let blob_proofs = match place {
            Place::CallData | Place::Nowhere => Vec::new(),
            Place::Blobs => {
                let raw = sealed.encoded.blobs.clone();
                tokio::task::spawn_blocking(move || blobs::blob_proofs(&raw))
                    .await
                    .map_err(|e| ActorError::Task(e.to_string()))?
                    .map_err(|e| ActorError::Blobs(e.to_string()))?
            }
        };
        let hash = match place {
            Place::CallData => call_data_hash(&sealed.encoded.payload),
            Place::Blobs | Place::Nowhere => {
                let hashes: Vec<B256> = blob_proofs.iter().map(|p| versioned_hash(&p.commitment)).collect();
                blobs_hash(&hashes)
            }
        };
        let record = BatchRecord {
            header: sealed.header(hash),
            first_block: sealed.first_block,
            last_block: sealed.last_block,
            payload: sealed.encoded.payload,
            blob_proofs,
            status: BatchStatus::Sealed,
            commit_tx: None,
            verify_tx: None,
        };
        self.services.store.insert_batch(&record).await?;
        self.sealed_at_ms = self.services.clock.steady_ms();
        self.out.batch_sealed.send(&BatchSealed {
            header: record.header,
            first_block: record.first_block,
            last_block: record.last_block,
            blobs: record.blob_proofs.len() as u64,
            payload_bytes: record.payload.len() as u64,
        });
        Ok(())
    }
}

/// Where the data of a sealed batch goes.
fn place_of(batch: &BatchRecord) -> Place {
    match (batch.blob_proofs.is_empty(), batch.in_call_data()) {
        (false, _) => Place::Blobs,
        (true, true) => Place::CallData,
        (true, false) => Place::Nowhere,
    }
}

/// Names the commit of this very batch: another batch of the same number has another name.
fn intent_id(batch: &BatchRecord) -> IntentId {
    let hash = batch.header.hash();
    IntentId(format!("commit-{}-{}", batch.header.number, hex::encode(&hash[..8])))
}

#[async_trait(?Send)]
impl Worker for CommitterWorker {
    async fn step(&mut self) -> Result<Next, ActorError> {
        let now = self.services.clock.steady_ms();
        let failed = self.inbox.borrow_mut().failed.take();
        let look = std::mem::take(&mut self.inbox.borrow_mut().look);
        let stale = self.looked_at_ms.is_none_or(|at| now.saturating_sub(at) >= L1_LOOK_MS);
        if look || stale || failed.is_some() {
            self.looked_at_ms = None;
            if let Err(error) = self.look_at_l1().await {
                self.inbox.borrow_mut().failed = failed;
                return Err(error);
            }
            self.looked_at_ms = Some(now);
            let failed = match failed {
                Some(failed) => Some((failed.id, failed.reason)),
                None => self.failed_unheard().await?,
            };
            if let Some((id, reason)) = failed {
                // L1 was just looked at. If the batch is still not committed it is asked for again, after a pause.
                self.asked = 0;
                return Err(ActorError::Transaction { id: id.to_string(), reason });
            }
        }
        let waiting = self.ask().await?;

        let mut assembly = match self.assembly.take() {
            Some(assembly) => assembly,
            None => {
                self.sealed_at_ms = if self.sealed_at_ms == 0 { now } else { self.sealed_at_ms };
                self.begin().await?
            }
        };
        let mut head = self.services.store.head_block().await?.map_or(0, |b| b.number);
        if assembly.next_block() <= head {
            // A block is in the store shortly before it is the client's head, and the client may have lost some.
            let client = self.services.engine.block(BlockId::Latest).await?.map_or(0, |b| b.number);
            head = head.min(client);
        }
        let mut full = None;
        while full.is_none() && assembly.next_block() <= head {
            let number = assembly.next_block();
            let extras = self.extras(number).await?;
            let block = self.services.store.block(number).await?.ok_or(ActorError::MissingBlock(number))?;
            if let Added::Full(reason) = assembly.add(&block, &extras.withdrawals)? {
                full = Some(reason);
            }
        }
        let due = now.saturating_sub(self.sealed_at_ms)
            >= u64::try_from(self.config.commit_time.as_millis()).unwrap_or(u64::MAX);
        if waiting < self.config.max_uncommitted && !assembly.is_empty() && (due || full.is_some()) {
            if let Some(reason) = full {
                tracing::debug!(reason, "the batch is full");
            }
            self.seal(assembly).await?;
            return Ok(Next::Now);
        }
        self.assembly = Some(assembly);
        Ok(Next::After(self.config.poll))
    }
}
