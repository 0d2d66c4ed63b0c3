//! Where execution witnesses come from.

use std::{fmt::Debug, sync::Arc};

use alloy_primitives::{B256, Bytes};
use async_trait::async_trait;
use ensemble_batch::SealedBlock;
use ensemble_engine_api::{BlockId, ExecutionClient, ForkchoiceState, PayloadStatus};
use ensemble_store::Store;
use tokio::sync::Mutex;

use crate::ActorError;

/// Makes the execution witness of a sealed block: the JSON that `debug_executionWitness` answers.
#[async_trait]
pub trait WitnessSource: Send + Sync + Debug + 'static {
    /// The witness of the L2 block at this height.
    ///
    /// # Errors
    /// When it cannot be had now.
    async fn witness(&self, number: u64) -> Result<Bytes, ActorError>;
}

/// The execution client itself, where it serves `debug_executionWitness`.
#[derive(Clone, Debug)]
pub struct ClientWitness(pub Arc<dyn ExecutionClient>);

#[async_trait]
impl WitnessSource for ClientWitness {
    async fn witness(&self, number: u64) -> Result<Bytes, ActorError> {
        Ok(self.0.execution_witness(number).await?)
    }
}

/// A second execution client that is fed with every sealed block from the store, and asked instead of the first.
///
/// The block producer's client needs to know nothing of witnesses then. A shadow that lost its chain (it may live in
/// memory) is fed again from the beginning.
#[derive(Debug)]
pub struct ShadowWitness {
    client: Arc<dyn ExecutionClient>,
    store: Store,
    genesis: B256,
    /// Feeding is one at a time.
    feeding: Mutex<()>,
}

impl ShadowWitness {
    /// A shadow that stands at `genesis` or at some block of the store.
    #[must_use]
    pub fn new(client: Arc<dyn ExecutionClient>, store: Store, genesis: B256) -> Self {
        Self { client, store, genesis, feeding: Mutex::new(()) }
    }

    async fn give(&self, block: &SealedBlock) -> Result<(), ActorError> {
        let refused = |reason: String| ActorError::BlockRefused {
            number: block.number,
            hash: block.block_hash,
            reason,
        };
        let forkchoice =
            ForkchoiceState { head: block.block_hash, safe: self.genesis, finalized: self.genesis };
        for status in [
            self.client.new_payload(block).await?,
            self.client.forkchoice_updated(forkchoice, None).await?.status,
        ] {
            match status {
                PayloadStatus::Valid { .. } => {}
                PayloadStatus::Invalid { validation_error, .. } => {
                    return Err(refused(format!("shadow: {}", validation_error.unwrap_or_default())));
                }
                PayloadStatus::Syncing | PayloadStatus::Accepted => {
                    return Err(ActorError::ClientNotReady(
                        "not following (the shadow that makes witnesses)",
                    ));
                }
            }
        }
        Ok(())
    }

    async fn follow(&self, to: u64) -> Result<(), ActorError> {
        let _one_at_a_time = self.feeding.lock().await;
        let head = self.client.block(BlockId::Latest).await?.map_or(0, |b| b.number);
        if to > head + 1 {
            tracing::info!(from = head + 1, to, "feeding the shadow client");
        }
        for number in head + 1..=to {
            let block = self.store.block(number).await?.ok_or(ActorError::MissingBlock(number))?;
            self.give(&block).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl WitnessSource for ShadowWitness {
    async fn witness(&self, number: u64) -> Result<Bytes, ActorError> {
        self.follow(number).await?;
        Ok(self.client.execution_witness(number).await?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ensemble_engine_api::{PayloadAttributes, mock::MockEngine};

    use super::*;
    use crate::testing::Bed;

    /// The shadow is fed from the store, gives the witness of the block asked for, and is fed anew when it lost all.
    #[actix::test]
    async fn a_shadow_follows_the_store() {
        let bed = Bed::new().await;
        let (engine, store) = (&bed.engine, &bed.services.store);
        for _ in 0..3 {
            let head = engine.head();
            let attributes = PayloadAttributes {
                timestamp: head.timestamp + 1,
                prev_randao: ensemble_batch::prev_randao(&head.block_hash, 0),
                suggested_fee_recipient: Default::default(),
                withdrawals: Vec::new(),
                parent_beacon_block_root: B256::ZERO,
            };
            let genesis = engine.genesis().block_hash;
            let state = ForkchoiceState { head: head.block_hash, safe: genesis, finalized: genesis };
            let id = engine.forkchoice_updated(state, Some(&attributes)).await.unwrap().payload_id.unwrap();
            let block = engine.get_payload(&id, attributes.timestamp).await.unwrap().block;
            engine.new_payload(&block).await.unwrap();
            engine
                .forkchoice_updated(ForkchoiceState { head: block.block_hash, ..state }, None)
                .await
                .unwrap();
            store.insert_block(&block).await.unwrap();
        }
        let shadow = MockEngine::new(crate::testing::L2_CHAIN, engine.genesis().timestamp);
        assert_eq!(shadow.genesis().block_hash, engine.genesis().block_hash);
        shadow.set_witness(2, Bytes::from_static(b"{\"state\":[\"two\"]}"));
        let source = ShadowWitness::new(Arc::new(shadow.clone()), store.clone(), engine.genesis().block_hash);
        assert_eq!(source.witness(2).await.unwrap(), Bytes::from_static(b"{\"state\":[\"two\"]}"));
        assert_eq!(shadow.head().number, 2);
        shadow.lose_blocks_above(0);
        source.witness(3).await.unwrap();
        assert_eq!(shadow.head().block_hash, engine.head().block_hash);
    }
}
