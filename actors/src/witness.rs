//! Where execution witnesses come from.

use std::{fmt::Debug, sync::Arc};

use alloy_primitives::{B256, Bytes, b256, keccak256};
use async_trait::async_trait;
use ensemble_batch::SealedBlock;
use ensemble_engine_api::{BlockId, ExecutionClient, ForkchoiceState, PayloadStatus};
use ensemble_store::Store;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::ActorError;

/// Root of an empty trie: `keccak256(rlp(""))`.
const EMPTY_ROOT_HASH: B256 = b256!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");

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

/// Looks at every witness before it is believed, so that a bad answer is asked for again instead of being kept: a batch
/// whose witnesses are of another block, or are no witnesses, could never be proven.
///
/// A witness must be one in form, hold the parent's header, and hold the root node of the state that the parent left.
#[derive(Clone, Debug)]
pub struct CheckedWitness {
    source: Arc<dyn WitnessSource>,
    store: Store,
}

/// The result of `debug_executionWitness` (geth, reth, ethrex), as far as it is looked at.
#[derive(Deserialize)]
struct WitnessForm {
    state: Vec<Bytes>,
    #[serde(default)]
    codes: Option<Vec<Bytes>>,
    headers: Vec<Bytes>,
}

impl CheckedWitness {
    /// Checks what `source` gives against the blocks of the store.
    #[must_use]
    pub fn new(source: Arc<dyn WitnessSource>, store: Store) -> Self {
        Self { source, store }
    }
}

#[async_trait]
impl WitnessSource for CheckedWitness {
    async fn witness(&self, number: u64) -> Result<Bytes, ActorError> {
        let block = self.store.block(number).await?.ok_or(ActorError::MissingBlock(number))?;
        let witness = self.source.witness(number).await?;
        // A witness may have megabytes, and each node is hashed.
        let checked =
            tokio::task::spawn_blocking(move || check_witness(&witness, block.parent_hash).map(|()| witness));
        let checked = checked.await.map_err(|error| ActorError::Task(error.to_string()))?;
        checked.map_err(|reason| ActorError::BadWitness { number, reason })
    }
}

fn check_witness(witness: &[u8], parent_hash: B256) -> Result<(), String> {
    let form: WitnessForm = serde_json::from_slice(witness).map_err(|error| format!("its form: {error}"))?;
    let parent = form
        .headers
        .iter()
        .find(|header| keccak256(header) == parent_hash)
        .ok_or_else(|| format!("the header of the parent {parent_hash} is missing"))?;
    let root = state_root(parent).ok_or("the parent's header is malformed")?;
    let codes = form.codes.unwrap_or_default();
    let held = root == EMPTY_ROOT_HASH || form.state.iter().chain(&codes).any(|node| keccak256(node) == root);
    if held { Ok(()) } else { Err(format!("the root node of the parent's state {root} is missing")) }
}

/// The state root of an encoded header: the fourth field, behind two hashes and an address (yellow paper, 4.4).
fn state_root(header: &[u8]) -> Option<B256> {
    const BEFORE: usize = 33 + 33 + 21;
    let mut rest = header;
    let list = alloy_rlp::Header::decode(&mut rest).ok().filter(|list| list.list)?;
    let field = rest.get(..list.payload_length)?.get(BEFORE..BEFORE + 33)?;
    let (0xa0, root) = field.split_first()? else { return None };
    B256::try_from(root).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use alloy_rlp::Encodable;
    use ensemble_engine_api::{PayloadAttributes, mock::MockEngine};

    use super::*;
    use crate::testing::Bed;

    /// An encoded header with this state root; the fields after it do not matter.
    fn header(root: B256) -> Bytes {
        let mut payload = Vec::new();
        B256::ZERO.encode(&mut payload);
        B256::ZERO.encode(&mut payload);
        alloy_primitives::Address::ZERO.encode(&mut payload);
        root.encode(&mut payload);
        7u64.encode(&mut payload);
        let mut out = Vec::new();
        alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut out);
        out.extend(payload);
        out.into()
    }

    /// SEQ-INV-11: a witness that is none, or of another block, is an error that may pass; each part matters.
    #[test]
    fn what_a_witness_must_hold() {
        let node = Bytes::from_static(b"the root node");
        let parent = header(keccak256(&node));
        let json = |state: &[&Bytes], headers: &[&Bytes]| {
            serde_json::json!({ "state": state, "codes": [], "keys": [], "headers": headers }).to_string()
        };
        let other = Bytes::from_static(b"another node");
        let parent_hash = keccak256(&parent);
        let check = |text: &str| check_witness(text.as_bytes(), parent_hash);
        assert_eq!(check(&json(&[&other, &node], &[&other, &parent])), Ok(()));
        for bad in [
            "\"neither hex nor anything else\"".to_owned(),
            "{}".to_owned(),
            "[]".to_owned(),
            r#"{"state": ["0xzz"], "headers": []}"#.to_owned(),
            json(&[&node], &[&other]),
            json(&[&other], &[&parent]),
            json(&[], &[&parent]),
        ] {
            assert!(check(&bad).is_err(), "{bad}");
        }
        // The first block may be built on an empty state.
        let empty = header(EMPTY_ROOT_HASH);
        assert_eq!(check_witness(json(&[], &[&empty]).as_bytes(), keccak256(&empty)), Ok(()));
        for cut in [Bytes::new(), parent.slice(..40), Bytes::from_static(&[0xc1, 0x80])] {
            assert!(check_witness(json(&[&node], &[&cut]).as_bytes(), keccak256(&cut)).is_err());
        }
    }

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
