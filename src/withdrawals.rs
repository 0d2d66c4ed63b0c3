//! Proofs of withdrawals, made from the store.

use std::fmt;

use alloy_primitives::{Address, B256, U256};
use ensemble_actors::Services;
use ensemble_batch::{BatchHeader, L2Withdrawal, WithdrawalTree};
use ensemble_contracts::{ContractError, L2_BRIDGE_ADDRESS, calls, events, returns};
use ensemble_engine_api::{ClientReceipt, EngineError};
use ensemble_error::{Classify, Severity};
use ensemble_l1::{BlockTag, L1Error};
use ensemble_store::{BatchRecord, BatchStatus, Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

/// Requests to L1 at the same time, when a transaction has many withdrawals.
const AT_ONCE: usize = 8;

/// Everything that `CommonBridge.claimWithdrawal` wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawalProof {
    /// Header of the batch that holds the withdrawal.
    pub header: BatchHeader,
    /// Id of the withdrawal.
    pub id: u64,
    /// Receiver on L1.
    pub to: Address,
    /// Amount in wei.
    pub amount: U256,
    /// Index of the leaf in the batch's tree.
    pub path: u64,
    /// Siblings from leaf to root.
    pub siblings: Vec<B256>,
    /// Whether the batch is verified, so that the claim will succeed.
    pub claimable: bool,
}

/// How far a withdrawal in a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalState {
    /// Its batch is not on L1 yet.
    Sealed,
    /// Its batch is committed on L1, and not verified yet.
    Committed,
    /// Its batch is verified: anybody may claim it.
    Claimable,
    /// It was paid.
    Claimed,
}

impl fmt::Display for WithdrawalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealed => "waits for its batch to be committed on L1, and then verified",
            Self::Committed => "waits for its batch to be verified on L1",
            Self::Claimable => "can be claimed",
            Self::Claimed => "was paid",
        })
    }
}

/// One withdrawal of a transaction: its proof, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionWithdrawal {
    /// What a claim needs.
    #[serde(flatten)]
    pub proof: WithdrawalProof,
    /// How far it is.
    pub state: WithdrawalState,
}

/// Why there are no proofs for a transaction, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawalError {
    /// No block has it.
    #[error("no block of the L2 has transaction {0}; wait until it is mined, or check the hash")]
    NotMined(B256),
    /// It was undone as a whole.
    #[error("transaction {0} was mined and failed, so it started no withdrawal")]
    Failed(B256),
    /// It did something else.
    #[error("transaction {0} started no withdrawal")]
    NoWithdrawal(B256),
    /// The sequencer has not made the batch yet.
    #[error("L2 block {block} is in no batch yet; wait for the next one")]
    NotInBatch {
        /// Block of the transaction.
        block: u64,
    },
    /// The store and the header of a batch do not fit together.
    #[error("the store does not hold the withdrawals that batch {0} was made of; repair or restore it")]
    Inconsistent(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The execution client failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// L1 failed.
    #[error("L1: {0}")]
    L1(#[from] L1Error),
    /// A contract's event or answer could not be read.
    #[error("contract: {0}")]
    Contract(#[from] ContractError),
}

impl Classify for WithdrawalError {
    fn severity(&self) -> Severity {
        match self {
            Self::NotMined(_) | Self::NotInBatch { .. } => Severity::Transient,
            Self::Failed(_) | Self::NoWithdrawal(_) => Severity::Recoverable,
            Self::Inconsistent(_) => Severity::Fatal,
            Self::Store(e) => e.severity(),
            Self::Engine(e) => e.severity(),
            Self::L1(e) => e.severity(),
            Self::Contract(e) => e.severity(),
        }
    }
}

/// The proof of withdrawal `id` that was started in L2 block `block`; none while the block is in no batch, or
/// when there is no such withdrawal in it.
///
/// # Errors
/// When the store cannot be read.
pub async fn withdrawal_proof(
    store: &Store,
    block: u64,
    id: u64,
) -> Result<Option<WithdrawalProof>, StoreError> {
    let Some(batch) = store.batch_of_block(block).await? else { return Ok(None) };
    let all = store.withdrawals(batch.first_block, batch.last_block).await?;
    Ok(Proofs::new(&batch, &all).of(id))
}

/// All withdrawals of an L2 transaction in their order, with proofs; at least one.
///
/// # Errors
/// [`WithdrawalError`] says what to wait for, and what will never come.
pub async fn withdrawals_of_transaction(
    services: &Services,
    transaction: B256,
) -> Result<Vec<TransactionWithdrawal>, WithdrawalError> {
    let receipt = services.engine.receipt(transaction).await?;
    let receipt = receipt.ok_or(WithdrawalError::NotMined(transaction))?;
    let started = started_in(&receipt)?;
    let block = receipt.block_number;
    let batch = services.store.batch_of_block(block).await?.ok_or(WithdrawalError::NotInBatch { block })?;
    let all = services.store.withdrawals(batch.first_block, batch.last_block).await?;
    let proofs = prove(&batch, &all, &started)?;
    stream::iter(proofs)
        .map(|proof| async move {
            let state = match batch_state(batch.status) {
                WithdrawalState::Claimable if is_claimed(services, proof.id).await? => {
                    WithdrawalState::Claimed
                }
                state => state,
            };
            Ok(TransactionWithdrawal { proof, state })
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn is_claimed(services: &Services, id: u64) -> Result<bool, WithdrawalError> {
    let answer = services.l1.call(services.chain.bridge, calls::is_claimed(id), BlockTag::Latest).await?;
    Ok(returns::bool(&answer)?)
}

fn batch_state(status: BatchStatus) -> WithdrawalState {
    match status {
        BatchStatus::Sealed => WithdrawalState::Sealed,
        BatchStatus::Committed => WithdrawalState::Committed,
        BatchStatus::Verified => WithdrawalState::Claimable,
    }
}

/// The withdrawals that a transaction started, whatever contract and call depth they came from; at least one.
fn started_in(receipt: &ClientReceipt) -> Result<Vec<L2Withdrawal>, WithdrawalError> {
    let transaction = receipt.transaction_hash;
    if !receipt.succeeded {
        return Err(WithdrawalError::Failed(transaction));
    }
    let topic = events::WithdrawalInitiated::topic();
    let started: Vec<L2Withdrawal> = receipt
        .logs
        .iter()
        .filter(|log| log.address == L2_BRIDGE_ADDRESS && log.topics.first() == Some(&topic))
        .map(|log| {
            let event = events::WithdrawalInitiated::decode(&log.topics, &log.data)?;
            Ok::<_, ContractError>(L2Withdrawal { id: event.id, to: event.receiver, amount: event.amount })
        })
        .collect::<Result<_, _>>()?;
    if started.is_empty() { Err(WithdrawalError::NoWithdrawal(transaction)) } else { Ok(started) }
}

/// The proofs of `wanted` in a batch that is made of `all`.
fn prove(
    batch: &BatchRecord,
    all: &[L2Withdrawal],
    wanted: &[L2Withdrawal],
) -> Result<Vec<WithdrawalProof>, WithdrawalError> {
    let inconsistent = || WithdrawalError::Inconsistent(batch.header.number);
    let proofs = Proofs::new(batch, all);
    if proofs.tree.root() != batch.header.withdrawals_root {
        return Err(inconsistent());
    }
    let fits = |proof: &WithdrawalProof, w: &L2Withdrawal| proof.to == w.to && proof.amount == w.amount;
    wanted.iter().map(|w| proofs.of(w.id).filter(|p| fits(p, w)).ok_or_else(inconsistent)).collect()
}

/// The tree of a batch.
struct Proofs<'a> {
    batch: &'a BatchRecord,
    all: &'a [L2Withdrawal],
    tree: WithdrawalTree,
}

impl<'a> Proofs<'a> {
    fn new(batch: &'a BatchRecord, all: &'a [L2Withdrawal]) -> Self {
        Self { batch, all, tree: WithdrawalTree::new(all) }
    }

    fn of(&self, id: u64) -> Option<WithdrawalProof> {
        let withdrawal = self.all.iter().find(|w| w.id == id)?;
        let proof = self.tree.proof(self.tree.index_of(id)?)?;
        Some(WithdrawalProof {
            header: self.batch.header.clone(),
            id,
            to: withdrawal.to,
            amount: withdrawal.amount,
            path: proof.index,
            siblings: proof.siblings,
            claimable: self.batch.status == BatchStatus::Verified,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use ensemble_batch::MerkleProof;
    use ensemble_engine_api::ClientLog;

    use super::*;

    fn withdrawal(id: u64) -> L2Withdrawal {
        L2Withdrawal { id, to: Address::repeat_byte(3), amount: U256::from(100 + id) }
    }

    fn batch(all: &[L2Withdrawal], status: BatchStatus) -> BatchRecord {
        let genesis = BatchHeader::genesis(1, Address::ZERO, 2, B256::ZERO, B256::ZERO);
        BatchRecord {
            header: BatchHeader { number: 4, withdrawals_root: WithdrawalTree::new(all).root(), ..genesis },
            first_block: 7,
            last_block: 9,
            payload: Default::default(),
            blob_proofs: Vec::new(),
            status,
            commit_tx: None,
            verify_tx: None,
        }
    }

    /// Every withdrawal of a transaction gets the proof that L1 checks, whatever else is in the batch.
    #[test]
    fn proofs_are_those_of_the_header() {
        let all: Vec<_> = (5..16).map(withdrawal).collect();
        let wanted = &all[3..6];
        for (status, claimable) in
            [(BatchStatus::Sealed, false), (BatchStatus::Committed, false), (BatchStatus::Verified, true)]
        {
            let batch = batch(&all, status);
            let proofs = prove(&batch, &all, wanted).unwrap();
            assert_eq!(proofs.iter().map(|p| p.id).collect::<Vec<_>>(), [8, 9, 10]);
            for (proof, w) in proofs.into_iter().zip(wanted) {
                assert_eq!((proof.to, proof.amount, proof.claimable), (w.to, w.amount, claimable));
                let merkle = MerkleProof { index: proof.path, siblings: proof.siblings };
                assert!(merkle.verify(proof.header.withdrawals_root, w.leaf()));
            }
        }
    }

    /// A proof that L1 would refuse is not handed out: the store lacks a withdrawal, or the client tells of another one.
    #[test]
    fn what_does_not_fit_the_header_is_refused() {
        let all: Vec<_> = (0..4).map(withdrawal).collect();
        let batch = batch(&all, BatchStatus::Verified);
        let refused = |all: &[L2Withdrawal], wanted: L2Withdrawal| {
            let error = prove(&batch, all, &[wanted]).unwrap_err();
            assert!(matches!(error, WithdrawalError::Inconsistent(4)), "{error}");
            assert_eq!(error.severity(), Severity::Fatal);
        };
        refused(&all[..3], withdrawal(0));
        refused(&[], withdrawal(0));
        refused(&all, withdrawal(4));
        refused(&all, L2Withdrawal { amount: U256::from(1), ..withdrawal(1) });
        refused(&all, L2Withdrawal { to: Address::ZERO, ..withdrawal(1) });
    }

    /// Logs of other contracts and of other events are no withdrawals, and a failed transaction has none.
    #[test]
    fn only_events_of_the_bridge_count() {
        let word = |address: Address| address.into_word();
        let log = |address, topic| ClientLog {
            address,
            topics: vec![
                topic,
                word(Address::repeat_byte(1)),
                word(Address::repeat_byte(3)),
                U256::from(105).into(),
            ],
            data: U256::from(5).to_be_bytes_vec().into(),
            block_number: 7,
            log_index: 0,
            transaction_hash: B256::repeat_byte(9),
        };
        let topic = events::WithdrawalInitiated::topic();
        let ours = log(L2_BRIDGE_ADDRESS, topic);
        let others = [log(Address::repeat_byte(7), topic), log(L2_BRIDGE_ADDRESS, B256::repeat_byte(7))];
        let receipt = |succeeded, logs: &[ClientLog]| ClientReceipt {
            transaction_hash: B256::repeat_byte(9),
            block_number: 7,
            succeeded,
            logs: logs.to_vec(),
        };
        let [foreign, other_event] = others.clone();
        let mixed = [foreign, ours.clone(), other_event];
        assert_eq!(started_in(&receipt(true, &mixed)).unwrap(), [withdrawal(5)]);
        assert!(matches!(started_in(&receipt(true, &others)), Err(WithdrawalError::NoWithdrawal(_))));
        assert!(matches!(started_in(&receipt(false, &mixed)), Err(WithdrawalError::Failed(_))));
        let damaged = ClientLog { data: Default::default(), ..ours };
        assert!(matches!(started_in(&receipt(true, &[damaged])), Err(WithdrawalError::Contract(_))));
    }
}
