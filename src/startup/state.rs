//! What store, L1 and execution client say at the start: gathered here, judged in [`super::judge`].

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use ensemble_actors::{ChainFacts, Clock, ProofPolicy};
use ensemble_batch::{BatchLimits, usable_bytes};
use ensemble_contracts::{calls, returns};
use ensemble_engine_api::{BlockId, BlockSummary, EngineError, ExecutionClient, ForkSchedule};
use ensemble_l1::{BlockTag, L1Client, L1Error};
use ensemble_messages::SenderRole;
use ensemble_store::{BatchStatus, ChainIdentity, OpenTransactions, Store};
use serde::Serialize;

use super::{StartError, wait_for};

/// A block of some chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
}

/// Whether L1 still has the block at which the watcher stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CursorOnL1 {
    /// It is there.
    Canonical,
    /// Another block is at its height.
    Replaced,
    /// The node has no block at its height yet.
    AboveHead,
}

/// L1 at one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct L1State {
    /// The head; everything below is read there.
    pub head: Point,
    /// Its time, Unix seconds.
    pub timestamp: u64,
    /// `OnChainProposer.lastCommittedBatch`.
    pub last_committed: u64,
    /// `OnChainProposer.lastVerifiedBatch`.
    pub last_verified: u64,
    /// Hash of the header of the last committed batch.
    pub committed_hash: B256,
    /// `CommonBridge.lastDepositId`.
    pub last_deposit: u64,
    /// Transactions of the committer that the node has and no block yet.
    pub committer_in_flight: u64,
    /// The same of the verifier.
    pub verifier_in_flight: u64,
}

/// A batch of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchState {
    /// Number.
    pub number: u64,
    /// Hash of its header.
    pub hash: B256,
    /// Its last L2 block.
    pub last_block: u64,
}

/// The L1 transactions of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleState {
    /// The key.
    pub role: &'static str,
    /// Requests without an outcome.
    pub pending: u64,
    /// What was signed for them.
    pub open: OpenTransactions,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreState {
    /// Version of its schema.
    pub schema: i64,
    /// Last L1 block read.
    pub cursor: Option<Point>,
    /// Where L1 has that block.
    pub cursor_on_l1: Option<CursorOnL1>,
    /// Id of the last deposit of the ledger, 0 for none.
    pub last_deposit: u64,
    /// Id of the last one that L1 had when it was last read. Those after it were dropped by a reorg, and are waited for.
    pub last_deposit_on_l1: u64,
    /// The last block.
    pub head: Option<Point>,
    /// Id of the last deposit up to and with that block.
    pub deposits: u64,
    /// The last batch, however far it is.
    pub last_batch: Option<BatchState>,
    /// Number of the last batch that it believes committed.
    pub committed: u64,
    /// Number of the last batch that it believes verified.
    pub verified: u64,
    /// Both keys.
    pub roles: Vec<RoleState>,
}

/// The execution client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientState {
    /// The head.
    pub head: Point,
    /// Its time, Unix seconds.
    pub timestamp: u64,
    /// Gas limit of the head.
    pub gas_limit: u64,
    /// Id of the last deposit up to and with the head.
    pub deposits: u64,
    /// The safe block, when there is one.
    pub safe: Option<Point>,
    /// The finalized block, when there is one.
    pub finalized: Option<Point>,
    /// Whether it hands out whole blocks. Asked only when it has blocks that the store lacks.
    pub serves_blocks: Option<bool>,
}

/// What fits into one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BatchRoom {
    /// Bytes of its payload; none when they are not limited.
    pub bytes: Option<u64>,
    /// Gas.
    pub gas: u64,
    /// Least gas of a byte in a transaction that no compression makes smaller.
    pub gas_per_byte: u64,
}

/// With the floor of EIP-7623 a byte of call data costs 40 gas, and a zero 10. With a zero for every three others a byte of
/// information costs least, 38.2 gas, as zeros say something by their places.
const GAS_PER_BYTE: u64 = 38;
/// The same with 16 and 4 gas (EIP-2028), before Prague.
const GAS_PER_BYTE_BEFORE_PRAGUE: u64 = 15;

impl BatchRoom {
    /// The room for blocks of this time, Unix seconds.
    #[must_use]
    pub fn new(limits: &BatchLimits, forks: &ForkSchedule, time: u64) -> Self {
        let prague = forks.prague_time.is_some_and(|begin| begin <= time);
        Self {
            bytes: (limits.max_blobs > 0).then(|| usable_bytes(limits.max_blobs) as u64),
            gas: limits.max_gas,
            gas_per_byte: if prague { GAS_PER_BYTE } else { GAS_PER_BYTE_BEFORE_PRAGUE },
        }
    }

    /// Up to this gas limit every block fits, whatever is in it.
    #[must_use]
    pub fn fits(&self) -> u64 {
        self.bytes.map_or(self.gas, |bytes| self.gas.min(bytes.saturating_mul(self.gas_per_byte)))
    }
}

/// Two opinions on one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Height, number or id of the thing.
    pub number: u64,
    /// Hash in the store.
    pub store: B256,
    /// Hash elsewhere; none when it is not there.
    pub other: Option<B256>,
}

impl Compared {
    /// Whether both have the same.
    #[must_use]
    pub fn agree(&self) -> bool {
        self.other == Some(self.store)
    }
}

/// Everything that is known when the sequencer starts. Plain data; [`super::judge::judge`] says what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StartupState {
    /// The chain, as contracts, clients and store agree on it.
    pub identity: ChainIdentity,
    /// Our clock, Unix seconds.
    pub clock: u64,
    /// L1.
    pub l1: L1State,
    /// The store.
    pub store: StoreState,
    /// The execution client.
    pub client: ClientState,
    /// What fits into one batch.
    pub room: BatchRoom,
    /// The highest block that store and client could both have.
    pub common_block: Option<Compared>,
    /// The highest batch that store and L1 could both have.
    pub common_batch: Option<Compared>,
    /// The last deposit that ledger and bridge could both have, by the rolling hash, which covers those before it.
    pub common_deposit: Option<Compared>,
    /// The lowest batch of the store that L1 has not committed, and whose bytes are not there to send it again.
    pub without_bytes: Option<u64>,
    /// The lowest batch that the store has as verified and L1 has not, and whose proofs are not there to verify it again.
    pub without_proofs: Option<u64>,
}

/// What a state is gathered from.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    pub(crate) store: &'a Store,
    pub(crate) l1: &'a Arc<dyn L1Client>,
    pub(crate) engine: &'a Arc<dyn ExecutionClient>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) chain: &'a ChainFacts,
    pub(crate) committer: Address,
    pub(crate) verifier: Address,
    /// The proofs that L1 wants of every batch.
    pub(crate) policy: &'a ProofPolicy,
    /// Limits of one batch.
    pub(crate) limits: BatchLimits,
    /// Forks of the L2.
    pub(crate) forks: ForkSchedule,
}

impl Sources<'_> {
    pub(crate) fn identity(&self) -> ChainIdentity {
        ChainIdentity {
            l1_chain_id: self.chain.l1_chain_id,
            l2_chain_id: self.chain.l2_chain_id,
            l2_genesis: self.chain.l2_genesis_hash,
            proposer: self.chain.proposer,
            bridge: self.chain.bridge,
        }
    }

    /// Asks all three. Waits, saying so, for what cannot be reached.
    pub(crate) async fn gather(&self) -> Result<StartupState, StartError> {
        let l1 = wait_for("L1", async || self.l1_state().await).await?;
        let at = BlockTag::Number(l1.head.number);
        let client_head = wait_for("the execution client", async || self.engine.block(BlockId::Latest).await)
            .await?
            .ok_or(StartError::NoGenesis)?;
        let store = self.store_state(&l1).await?;

        let client = self.client_state(&client_head, store.head.map_or(0, |p| p.number)).await?;
        let mut common_block = None;
        let height = client.head.number.min(store.head.map_or(0, |p| p.number));
        if height > 0
            && let Some(hash) = self.store.block_hash(height).await?
        {
            let block =
                wait_for("the execution client", async || self.engine.block(BlockId::Number(height)).await)
                    .await?;
            common_block = Some(Compared { number: height, store: hash, other: block.map(|b| b.hash) });
        }
        let mut common_batch = None;
        let number = l1.last_committed.min(store.last_batch.as_ref().map_or(0, |b| b.number));
        if number > 0
            && let Some(batch) = self.store.batch(number).await?
        {
            let other = self.word(self.chain.proposer, calls::committed_hash(number), at).await?;
            common_batch = Some(Compared { number, store: batch.header.hash(), other: Some(other) });
        }
        let mut common_deposit = None;
        let id = l1.last_deposit.min(store.last_deposit);
        if id > 0
            && let Some(deposit) = self.store.deposit(id).await?
        {
            let call = calls::deposit_checkpoint(id);
            let answer =
                wait_for("L1", async || self.l1.call(self.chain.bridge, call.clone(), at).await).await?;
            let other = returns::deposit_checkpoint(&answer)?.rolling_hash;
            common_deposit = Some(Compared { number: id, store: deposit.rolling_hash, other: Some(other) });
        }
        let without_bytes = self.without_bytes(&l1, &store).await?;
        let without_proofs = self.without_proofs(&l1, &store).await?;
        let clock = self.clock.unix_seconds();
        Ok(StartupState {
            identity: self.identity(),
            clock,
            room: BatchRoom::new(&self.limits, &self.forks, clock),
            l1,
            store,
            client,
            common_block,
            common_batch,
            common_deposit,
            without_bytes,
            without_proofs,
        })
    }

    /// A repair keeps verified batches without their bytes when another version has encoded them.
    async fn without_bytes(&self, l1: &L1State, store: &StoreState) -> Result<Option<u64>, StartError> {
        for number in l1.last_committed + 1..=store.last_batch.as_ref().map_or(0, |b| b.number) {
            if self.store.batch(number).await?.is_some_and(|b| b.payload.is_empty()) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// A repair makes verified batches without their proofs. A transaction that is still looked after has them.
    async fn without_proofs(&self, l1: &L1State, store: &StoreState) -> Result<Option<u64>, StartError> {
        let pending = self.store.pending_intents(SenderRole::Prover).await?;
        for number in l1.last_verified + 1..=store.verified {
            let stored = self.store.proofs_of(number).await?;
            let there: Vec<_> = stored.iter().map(|p| p.proof.prover_type).collect();
            if !self.policy.is_enough(&there) && !pending.iter().any(|i| i.kind.verifies(number)) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    async fn word(
        &self,
        to: Address,
        call: alloy_primitives::Bytes,
        at: BlockTag,
    ) -> Result<B256, StartError> {
        let answer = wait_for("L1", async || self.l1.call(to, call.clone(), at).await).await?;
        Ok(returns::b256(&answer)?)
    }

    async fn l1_state(&self) -> Result<L1State, StartError> {
        let Self { l1, chain, .. } = self;
        let head = l1.block(BlockTag::Latest).await?.ok_or_else(no_head)?;
        let at = BlockTag::Number(head.number);
        let number =
            async |to, call| -> Result<u64, StartError> { Ok(returns::u64(&l1.call(to, call, at).await?)?) };
        let last_committed = number(chain.proposer, calls::last_committed_batch()).await?;
        let in_flight = async |account| -> Result<u64, StartError> {
            let pending = l1.transaction_count(account, true).await?;
            Ok(pending.saturating_sub(l1.transaction_count(account, false).await?))
        };
        let committed_hash = l1.call(chain.proposer, calls::committed_hash(last_committed), at).await?;
        Ok(L1State {
            head: Point { number: head.number, hash: head.hash },
            timestamp: head.timestamp,
            last_committed,
            last_verified: number(chain.proposer, calls::last_verified_batch()).await?,
            committed_hash: returns::b256(&committed_hash)?,
            last_deposit: number(chain.bridge, calls::last_deposit_id()).await?,
            committer_in_flight: in_flight(self.committer).await?,
            verifier_in_flight: in_flight(self.verifier).await?,
        })
    }

    async fn store_state(&self, l1: &L1State) -> Result<StoreState, StartError> {
        let store = self.store;
        let cursor = store.cursor().await?.map(|c| Point { number: c.number, hash: c.hash });
        let cursor_on_l1 = match cursor {
            None => None,
            Some(cursor) if cursor.number > l1.head.number => Some(CursorOnL1::AboveHead),
            Some(cursor) => {
                let at = BlockTag::Number(cursor.number);
                let block = wait_for("L1", async || self.l1.block(at).await).await?;
                Some(match block {
                    Some(block) if block.hash == cursor.hash => CursorOnL1::Canonical,
                    Some(_) => CursorOnL1::Replaced,
                    None => CursorOnL1::AboveHead,
                })
            }
        };
        let mut roles = Vec::new();
        for role in [SenderRole::Committer, SenderRole::Prover] {
            roles.push(RoleState {
                role: role.as_str(),
                pending: store.pending_intents(role).await?.len() as u64,
                open: store.open_transactions(role).await?,
            });
        }
        let head = store.head_block().await?;
        let at_least = async |status| -> Result<u64, StartError> {
            Ok(store.last_batch_at_least(status).await?.map_or(0, |b| b.header.number))
        };
        Ok(StoreState {
            schema: store.schema_version().await?,
            cursor,
            cursor_on_l1,
            last_deposit: store.last_deposit().await?.map_or(0, |d| d.id),
            last_deposit_on_l1: store.last_deposit_on_l1().await?.map_or(0, |d| d.id),
            head: head.as_ref().map(|b| Point { number: b.number, hash: b.hash }),
            deposits: head.map_or(0, |b| b.deposits_index),
            last_batch: store.last_batch().await?.map(|b| BatchState {
                number: b.header.number,
                hash: b.header.hash(),
                last_block: b.last_block,
            }),
            committed: at_least(BatchStatus::Committed).await?,
            verified: at_least(BatchStatus::Verified).await?,
            roles,
        })
    }

    async fn client_state(&self, head: &BlockSummary, stored: u64) -> Result<ClientState, StartError> {
        // A client that was never told has none, and some say so by an error.
        let mark = async |id| match self.engine.block(id).await {
            Ok(block) => block.map(|b| Point { number: b.number, hash: b.hash }),
            Err(_) => None,
        };
        let serves_blocks = if head.number > stored {
            let probe = wait_for("the execution client", async || self.engine.full_block(stored + 1).await);
            match probe.await {
                Ok(block) => Some(block.is_some()),
                Err(EngineError::NotSupported { .. } | EngineError::MethodNotFound { .. }) => Some(false),
                Err(error) => return Err(error.into()),
            }
        } else {
            None
        };
        let genesis = head.number == 0;
        Ok(ClientState {
            head: Point { number: head.number, hash: head.hash },
            timestamp: head.timestamp,
            gas_limit: head.gas_limit,
            deposits: if genesis { 0 } else { ensemble_batch::deposits_index_of(&head.prev_randao) },
            safe: mark(BlockId::Safe).await,
            finalized: mark(BlockId::Finalized).await,
            serves_blocks,
        })
    }
}

/// L1 has not even a genesis block.
pub(crate) fn no_head() -> L1Error {
    L1Error::UnknownBlock { message: "the L1 node has no head".to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::sync::Arc;

    use alloy_primitives::Bytes;
    use ensemble_actors::SystemClock;
    use ensemble_batch::{BatchHeader, ProgramKey, PublicValues};
    use ensemble_engine_api::mock::MockEngine;
    use ensemble_l1::mock::MockL1;
    use ensemble_messages::ProverType;
    use ensemble_messages::{BatchProof, IntentId, IntentKind, TxIntent};
    use ensemble_store::BatchRecord;

    use super::*;

    fn at_genesis() -> L1State {
        let head = Point { number: 0, hash: B256::ZERO };
        let (last_committed, last_verified, last_deposit) = (0, 0, 0);
        L1State {
            head,
            timestamp: 0,
            last_committed,
            last_verified,
            committed_hash: B256::ZERO,
            last_deposit,
            committer_in_flight: 0,
            verifier_in_flight: 0,
        }
    }

    /// Three verified batches; the second has no bytes.
    async fn store() -> Store {
        let store = Store::in_memory().await.unwrap();
        let mut parent = B256::ZERO;
        for number in 1..=3u64 {
            let header = BatchHeader {
                parent_hash: parent,
                number,
                ..BatchHeader::genesis(1, Address::ZERO, 2, B256::ZERO, B256::ZERO)
            };
            parent = header.hash();
            let payload = if number == 2 { Bytes::new() } else { Bytes::from_static(b"bytes") };
            let record = BatchRecord {
                header,
                first_block: number,
                last_block: number,
                payload,
                blob_proofs: Vec::new(),
                status: BatchStatus::Verified,
                commit_tx: None,
                verify_tx: None,
            };
            store.restore_batch(&record).await.unwrap();
        }
        store
    }

    /// SEQ-INV-4, SEQ-INV-7: what L1 has dropped and the store cannot send again is seen, the lowest first; what has its
    /// bytes and proofs, what L1 still has, and what is still looked after is not.
    #[actix_rt::test]
    async fn what_cannot_be_sent_again_is_seen() {
        let store = store().await;
        let mock = Arc::new(MockEngine::new(2, 1_700_000_000));
        let (l1, engine, clock) = (
            Arc::new(MockL1::new(1)) as Arc<dyn L1Client>,
            mock as Arc<dyn ExecutionClient>,
            Arc::new(SystemClock) as Arc<dyn Clock>,
        );
        let chain = ChainFacts {
            l1_chain_id: 1,
            l2_chain_id: 2,
            proposer: Address::ZERO,
            bridge: Address::ZERO,
            l2_genesis_hash: B256::ZERO,
            genesis_header: BatchHeader::genesis(1, Address::ZERO, 2, B256::ZERO, B256::ZERO),
            chain_config: String::new(),
        };
        let mut sources = Sources {
            store: &store,
            l1: &l1,
            engine: &engine,
            clock: &clock,
            chain: &chain,
            committer: Address::ZERO,
            verifier: Address::ZERO,
            policy: &ProofPolicy::all_of(&[ProverType::Exec]),
            limits: BatchLimits { max_blobs: 6, max_blocks: 1, max_gas: 1, max_deposits: 1 },
            forks: ForkSchedule { cancun_time: 0, prague_time: Some(0), osaka_time: None },
        };
        let l1 = at_genesis();
        let ours = sources.store_state(&l1).await.unwrap();
        assert_eq!(ours.verified, 3);

        assert_eq!(sources.without_bytes(&l1, &ours).await.unwrap(), Some(2));
        let further = |n| L1State { last_committed: n, last_verified: n, ..l1.clone() };
        assert_eq!(sources.without_bytes(&further(1), &ours).await.unwrap(), Some(2));
        assert_eq!(sources.without_bytes(&further(2), &ours).await.unwrap(), None, "L1 has it");

        assert_eq!(sources.without_proofs(&l1, &ours).await.unwrap(), Some(1));
        let proof = BatchProof {
            batch_number: 1,
            prover_type: ProverType::Exec,
            program_key: ProgramKey(B256::ZERO),
            public_values: PublicValues { from: B256::ZERO, to: B256::ZERO },
            proof: Bytes::from_static(b"proof"),
        };
        store.insert_proof(&proof, "prover").await.unwrap();
        assert_eq!(sources.without_proofs(&l1, &ours).await.unwrap(), Some(2));
        assert_eq!(sources.without_proofs(&further(2), &ours).await.unwrap(), Some(3));
        assert_eq!(sources.without_proofs(&further(3), &ours).await.unwrap(), None, "L1 has it");
        let intent = TxIntent {
            id: IntentId("verify-3".to_owned()),
            role: SenderRole::Prover,
            kind: IntentKind::VerifyBatches { first: 3, last: 3 },
            to: Address::ZERO,
            data: Bytes::new(),
            blobs: 0,
        };
        store.put_intent(&intent).await.unwrap();
        assert_eq!(sources.without_proofs(&further(2), &ours).await.unwrap(), None, "it is looked after");
        assert_eq!(sources.without_proofs(&l1, &ours).await.unwrap(), Some(2), "not this one");
        let none = ProofPolicy::default();
        sources.policy = &none;
        assert_eq!(sources.without_proofs(&l1, &ours).await.unwrap(), None, "none are wanted");
    }
}
