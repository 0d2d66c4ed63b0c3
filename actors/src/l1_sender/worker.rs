//! The work of the L1Sender: does what the transaction managers say.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use ensemble_batch::blob;
use ensemble_contracts::errors::describe_revert;
use ensemble_l1::{
    BlobTx, BlockTag, CallDataGas, Eip1559Tx, FeePlan, L1Error, Sidecar, SignedTx, TxManager, TxReceipt,
    TxType,
    fees::Market,
    tx_manager::{
        Action, ChainView, FeeDecision, Funds, GasBook, IntentId as ManagedId, Outcome, PastTx, SignFailure,
        SignedRecord, TrackedTx,
    },
};
use ensemble_messages::{IntentId, IntentKind, TxConfirmed, TxFailed, TxIntent};
use ensemble_store::{PastTransaction, SignedTransaction, StoreError};

use super::{L1SenderConfig, SenderKey};
use crate::{
    ActorError, Services,
    fail_point::hit,
    fanout::Fanout,
    stepper::{Next, Worker},
};

/// Looks at L1 that an idle sender makes; a new intent wakes it.
const IDLE: Duration = Duration::from_secs(5);
/// Actions per key and step, so that one key cannot starve the other.
const ACTIONS_PER_STEP: usize = 32;
/// Simulations in a row that must revert before an unsent intent is given back as failed.
const REVERTS_TO_FAIL: u32 = 3;
/// Type of a blob transaction (EIP-4844 `BLOB_TX_TYPE`), its first byte.
const BLOB_TX: u8 = 3;
/// A balance that is enough for fewer transactions than this is warned of.
const LOW_BALANCE: u64 = 20;

/// Where the results of transactions go.
#[derive(Clone, Debug, Default)]
pub struct L1SenderOutlets {
    /// Success.
    pub confirmed: Fanout<TxConfirmed>,
    /// Failure.
    pub failed: Fanout<TxFailed>,
}

#[derive(Debug)]
struct KeyState {
    key: SenderKey,
    manager: TxManager,
    /// Intents the manager knows.
    intents: HashMap<ManagedId, TxIntent>,
    reverts: HashMap<ManagedId, u32>,
    gas: GasBook,
    /// For how many transactions the balance was enough when that was last warned of.
    warned_at: Option<u64>,
}

impl KeyState {
    /// Warns of a low balance, once for each transaction less.
    fn watch_balance(&mut self, funds: &Funds, cost: U256) {
        let left = funds.transactions_left(cost);
        if left >= LOW_BALANCE {
            self.warned_at = None;
        } else if self.warned_at.is_none_or(|at| left < at) {
            self.warned_at = Some(left);
            tracing::warn!(
                account = %funds.account,
                balance_wei = %funds.balance,
                role = self.key.role.as_str(),
                "the balance is enough for {left} more transaction(s) at present fees: top up the account"
            );
        }
    }
}

/// What a transaction is to do on L1.
struct Call {
    to: Address,
    data: Bytes,
    sidecar: Option<Sidecar>,
}

/// Why nothing was signed.
enum NotSigned {
    /// For the transaction manager to deal with.
    Failure(SignFailure),
    /// What this instance knows is not what the store has: a new one must begin.
    Reset(StoreError),
}

impl From<SignFailure> for NotSigned {
    fn from(failure: SignFailure) -> Self {
        Self::Failure(failure)
    }
}

#[derive(Debug)]
pub(crate) struct SenderWorker {
    config: L1SenderConfig,
    services: Services,
    out: Arc<L1SenderOutlets>,
    keys: Option<Vec<KeyState>>,
}

impl SenderWorker {
    pub(super) fn new(config: L1SenderConfig, services: Services, out: Arc<L1SenderOutlets>) -> Self {
        Self { config, services, out, keys: None }
    }

    /// Takes up what was unfinished when the last instance ended.
    async fn recover(&self) -> Result<Vec<KeyState>, ActorError> {
        let store = &self.services.store;
        let mut keys = Vec::new();
        for key in &self.config.keys {
            let mut manager = TxManager::new(self.config.manager);
            let mut intents = HashMap::new();
            let mut tracked = Vec::new();
            for intent in store.pending_intents(key.role).await? {
                let id = managed(&intent);
                let tx_type = tx_type(&intent);
                for signed in store.signed_of(&intent.id).await? {
                    tracked.push(TrackedTx { intent: id.clone(), tx_type, record: record(signed)? });
                }
                intents.insert(id, intent);
            }
            if !tracked.is_empty() {
                tracing::info!(
                    role = key.role.as_str(),
                    transactions = tracked.len(),
                    "taking up transactions in flight"
                );
            }
            manager.recover(tracked).map_err(|e| ActorError::Signing(e.to_string()))?;
            manager.remember(store.past_signed(key.role).await?.iter().map(past));
            keys.push(KeyState {
                key: key.clone(),
                manager,
                intents,
                reverts: HashMap::new(),
                gas: GasBook::new(),
                warned_at: None,
            });
        }
        Ok(keys)
    }

    async fn market(&self, blobs: bool) -> Result<Market, ActorError> {
        let policy = &self.config.fees;
        let history =
            self.services.l1.fee_history(policy.history_blocks, f64::from(policy.tip_percentile)).await?;
        let market = Market::from_history(&history);
        if blobs && market.blob_base_fee.is_none() {
            return Ok(market.or_blob_base_fee(self.services.l1.blob_base_fee().await?));
        }
        Ok(market)
    }

    async fn sidecar(&self, intent: &TxIntent) -> Result<Sidecar, ActorError> {
        let IntentKind::CommitBatch { number } = intent.kind else {
            return Err(ActorError::Blobs(format!("intent {} has blobs but is no commit", intent.id)));
        };
        let batch = self.services.store.batch(number).await?;
        let payload = batch.ok_or_else(|| ActorError::Batch(format!("batch {number} is missing")))?.payload;
        let (version, wanted) = (self.config.sidecar, intent.blobs);
        tokio::task::spawn_blocking(move || {
            let blobs = blob::pack(&payload, usize::try_from(wanted).unwrap_or(usize::MAX))
                .map_err(|e| ActorError::Blobs(e.to_string()))?;
            Sidecar::build(&blobs, version).map_err(|e| ActorError::Blobs(e.to_string()))
        })
        .await
        .map_err(|e| ActorError::Task(e.to_string()))?
    }

    fn fees(&self, decision: FeeDecision, market: &Market, kind: TxType) -> Result<FeePlan, SignFailure> {
        match decision {
            FeeDecision::Fresh => FeePlan::fresh(market, &self.config.fees, kind),
            FeeDecision::Bump { previous } => previous.bump(market, &self.config.fees, kind),
        }
        .map_err(SignFailure::FeeCap)
    }

    /// Gas limit of a transaction: what a simulation says and a margin. One that builds on transactions which are not
    /// mined yet cannot be simulated on the head.
    async fn gas_limit(
        &self,
        state: &mut KeyState,
        id: &ManagedId,
        nonce: u64,
        decision: FeeDecision,
        call: &Call,
    ) -> Result<u64, SignFailure> {
        let l1 = &self.services.l1;
        let from = state.key.wallet.address();
        let hashes = call.sidecar.as_ref().map(Sidecar::versioned_hashes).unwrap_or_default();
        let kind = state.intents.get(id).map(gas_kind).unwrap_or_default();
        let data_gas = CallDataGas::of(&call.data);
        if state.manager.in_flight_before(nonce).next().is_some() {
            let pending = l1.estimate_gas_pending(from, call.to, call.data.clone(), &hashes).await;
            return match (pending, state.gas.unsimulated(&kind, id, data_gas)) {
                (Ok(gas), _) => Ok(gas.saturating_add(gas / 5)),
                (Err(_), Some(limit)) => Ok(limit),
                (Err(_), None) => Err(SignFailure::Wait),
            };
        }
        match l1.estimate_gas(from, Some(call.to), U256::ZERO, call.data.clone(), &hashes).await {
            Ok(gas) => {
                state.reverts.remove(id);
                state.gas.passed(&kind, gas, data_gas);
                Ok(gas.saturating_add(gas / 5))
            }
            Err(L1Error::ExecutionReverted { data, .. }) => {
                let reverts = state.reverts.entry(id.clone()).or_default();
                *reverts += 1;
                let reason = format!("the call would revert: {}", describe_revert(&data));
                Err(if *reverts >= REVERTS_TO_FAIL && decision == FeeDecision::Fresh {
                    SignFailure::Permanent { reason }
                } else {
                    SignFailure::Retry { reason }
                })
            }
            Err(error) => Err(SignFailure::Retry { reason: ActorError::from(error).to_string() }),
        }
    }

    /// The intent of an id, which is made when it is a filler of the manager: an empty transfer to oneself that uses up a
    /// nonce. It is kept like any other.
    async fn intent(&self, state: &mut KeyState, id: &ManagedId) -> Result<TxIntent, NotSigned> {
        if let Some(intent) = state.intents.get(id) {
            return Ok(intent.clone());
        }
        if !id.is_filler() {
            let reason = format!("intent {id} is unknown");
            return Err(SignFailure::Permanent { reason }.into());
        }
        let filler = TxIntent {
            id: IntentId(format!("{}/{id}", state.key.role.as_str())),
            role: state.key.role,
            kind: IntentKind::UseUpNonce,
            to: state.key.wallet.address(),
            data: Default::default(),
            blobs: 0,
        };
        self.services.store.put_intent(&filler).await.map_err(|e| retry(e.into()))?;
        state.intents.insert(id.clone(), filler.clone());
        Ok(filler)
    }

    /// What is to be signed: the intent's call, or an empty one to oneself.
    async fn call(
        &self,
        from: Address,
        intent: &TxIntent,
        kind: TxType,
        empty: bool,
    ) -> Result<Call, ActorError> {
        let sidecar = match (kind, empty) {
            (TxType::Eip1559, _) => None,
            (TxType::Blob, false) => Some(self.sidecar(intent).await?),
            (TxType::Blob, true) => {
                let version = self.config.sidecar;
                let made = tokio::task::spawn_blocking(move || Sidecar::empty(version)).await;
                let made = made.map_err(|e| ActorError::Task(e.to_string()))?;
                Some(made.map_err(|e| ActorError::Blobs(e.to_string()))?)
            }
        };
        Ok(match empty {
            true => Call { to: from, data: Bytes::new(), sidecar },
            false => Call { to: intent.to, data: intent.data.clone(), sidecar },
        })
    }

    /// Signs and stores; the bytes are not sent yet.
    async fn sign(
        &self,
        state: &mut KeyState,
        id: &ManagedId,
        (kind, nonce): (TxType, u64),
        decision: FeeDecision,
        empty: bool,
    ) -> Result<SignedRecord, NotSigned> {
        let from = state.key.wallet.address();
        let chain_id = self.services.chain.l1_chain_id;
        let market = self.market(kind == TxType::Blob).await.map_err(retry)?;
        let plan = self.fees(decision, &market, kind)?;
        let intent = self.intent(state, id).await?;
        let call = self.call(from, &intent, kind, empty).await.map_err(retry)?;
        let gas_limit = self.gas_limit(state, id, nonce, decision, &call).await?;
        let signed = match &call.sidecar {
            Some(sidecar) => state.key.wallet.sign_blob(&BlobTx {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: plan.max_fee_per_gas,
                max_priority_fee_per_gas: plan.max_priority_fee_per_gas,
                max_fee_per_blob_gas: plan.max_fee_per_blob_gas,
                to: call.to,
                value: U256::ZERO,
                data: call.data.clone(),
                sidecar,
            }),
            None => state.key.wallet.sign_eip1559(&Eip1559Tx {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: plan.max_fee_per_gas,
                max_priority_fee_per_gas: plan.max_priority_fee_per_gas,
                to: Some(call.to),
                value: U256::ZERO,
                data: call.data.clone(),
            }),
        }
        .map_err(|e| retry(ActorError::Signing(e.to_string())))?;
        let balance = self.services.l1.balance(from).await.map_err(|e| retry(e.into()))?;
        let funds = Funds { account: from, balance, in_flight: state.manager.worst_cost(Some(id)) };
        state.watch_balance(&funds, signed.max_cost);
        funds.cover(signed.max_cost).map_err(SignFailure::Funds)?;
        let record = SignedRecord::new(signed, plan);
        let fees = serde_json::to_string(&plan).map_err(|e| retry(ActorError::Signing(e.to_string())))?;
        self.services
            .store
            .insert_signed(&SignedTransaction {
                hash: record.hash,
                intent: intent.id.clone(),
                nonce,
                fees,
                raw: record.raw.clone(),
                signed_at: self.services.clock.unix_ms(),
            })
            .await
            .map_err(not_stored)?;
        Ok(record)
    }

    /// Takes what was signed for earlier tries into the present one.
    async fn adopt(
        &self,
        state: &mut KeyState,
        id: &ManagedId,
        nonce: u64,
    ) -> Result<Vec<SignedRecord>, NotSigned> {
        let intent = self.intent(state, id).await?;
        let rows = self.services.store.adopt_signed(&intent.id, nonce).await.map_err(not_stored)?;
        let records = rows.into_iter().filter(|row| row.nonce == nonce).map(record);
        records.collect::<Result<_, _>>().map_err(|e| match e {
            ActorError::Store(damage) => NotSigned::Reset(damage),
            other => retry(other),
        })
    }

    async fn act(&self, state: &mut KeyState, action: Action, view: &ChainView) -> Result<(), ActorError> {
        let l1 = &self.services.l1;
        match action {
            Action::Sign { intent, tx_type, nonce, fees, empty } => {
                match self.sign(state, &intent, (tx_type, nonce), fees, empty).await {
                    Ok(record) => state
                        .manager
                        .on_signed(&intent, record)
                        .map_err(|e| ActorError::Signing(e.to_string()))?,
                    Err(NotSigned::Reset(error)) => return Err(error.into()),
                    Err(NotSigned::Failure(failure)) => {
                        match &failure {
                            SignFailure::Wait => tracing::debug!(%intent, "waits for the one before it"),
                            SignFailure::Retry { .. }
                            | SignFailure::FeeCap(_)
                            | SignFailure::Funds(_)
                            | SignFailure::Permanent { .. } => {
                                tracing::warn!(%intent, ?failure, "not signed");
                            }
                        }
                        state.manager.on_sign_failed(&intent, failure, Instant::now());
                    }
                }
            }
            Action::Adopt { intent, nonce } => match self.adopt(state, &intent, nonce).await {
                Ok(records) => {
                    tracing::info!(%intent, nonce, count = records.len(), "L1 has lost it: the same bytes again");
                    state
                        .manager
                        .on_adopted(&intent, records)
                        .map_err(|e| ActorError::Signing(e.to_string()))?;
                }
                Err(NotSigned::Reset(error)) => return Err(error.into()),
                Err(NotSigned::Failure(failure)) => {
                    tracing::warn!(%intent, nonce, ?failure, "what was signed earlier is not sent");
                    state.manager.on_sign_failed(&intent, failure, Instant::now());
                }
            },
            Action::Broadcast { intent, hash, raw } => {
                // Whatever goes wrong here may have gone wrong after the node took the transaction.
                let lost = |e: ActorError| L1Error::Transport {
                    endpoint: "fail point".to_owned(),
                    method: "eth_sendRawTransaction",
                    reason: e.to_string(),
                };
                let sent = match hit("l1_sender.broadcast.before") {
                    Ok(()) => l1.send_raw_transaction(&raw).await,
                    Err(error) => Err(lost(error)),
                };
                let sent = hit("l1_sender.broadcast.after").map_err(lost).and(sent);
                match &sent {
                    Ok(_) => {
                        tracing::info!(%intent, %hash, role = state.key.role.as_str(), "transaction sent")
                    }
                    Err(error) => {
                        tracing::warn!(%intent, %hash, %error, "the L1 node did not take a transaction")
                    }
                }
                let result = sent.as_ref().map(|_| ());
                state.manager.on_broadcast_result(&intent, hash, result, Instant::now());
            }
            Action::CheckReceipts { intent, hashes } => {
                let mut receipts: Vec<TxReceipt> = Vec::new();
                for hash in hashes {
                    match l1.receipt(hash).await {
                        Ok(receipt) => receipts.extend(receipt),
                        Err(error) => {
                            state.manager.on_check_failed(&intent, Instant::now());
                            return Err(error.into());
                        }
                    }
                }
                state.manager.on_receipts(&intent, &receipts, view, Instant::now());
            }
        }
        Ok(())
    }

    async fn finish(&self, state: &mut KeyState, outcome: Outcome) -> Result<(), ActorError> {
        let Some(intent) = state.intents.get(outcome.intent()).cloned() else { return Ok(()) };
        let store = &self.services.store;
        match &outcome {
            Outcome::Confirmed { receipt, .. } => {
                state.gas.succeeded(outcome.intent());
                store.confirm_intent(&intent.id, receipt.transaction_hash).await?;
                self.out.confirmed.send(&TxConfirmed {
                    id: intent.id,
                    kind: intent.kind,
                    transaction: receipt.transaction_hash,
                    l1_block: receipt.block_number,
                    gas_used: receipt.gas_used,
                });
            }
            Outcome::Reverted { receipt, .. } => {
                state.gas.mined_in_vain(&gas_kind(&intent), outcome.intent().clone());
                let reason = self.revert_reason(&state.key, &intent).await;
                self.fail(intent, Some(receipt.transaction_hash), reason).await?;
            }
            Outcome::Displaced { nonce, by, .. } => {
                tracing::info!(intent = %intent.id, nonce, %by, "an earlier transaction of ours has used the nonce");
                match intent.kind {
                    IntentKind::UseUpNonce => {
                        store.fail_intent(&intent.id, &format!("{by} has used the nonce")).await?;
                    }
                    IntentKind::CommitBatch { .. } | IntentKind::VerifyBatches { .. } => {
                        store.retry_intent(&intent.id).await?;
                    }
                }
            }
            Outcome::Failed { reason, .. } => self.fail(intent, None, reason.to_string()).await?,
        }
        state.reverts.remove(outcome.intent());
        state.intents.remove(outcome.intent());
        Ok(())
    }

    async fn fail(
        &self,
        intent: TxIntent,
        transaction: Option<B256>,
        reason: String,
    ) -> Result<(), ActorError> {
        self.services.store.fail_intent(&intent.id, &reason).await?;
        tracing::error!(intent = %intent.id, reason, "transaction failed");
        self.out.failed.send(&TxFailed { id: intent.id, kind: intent.kind, transaction, reason });
        Ok(())
    }

    /// Why a mined transaction reverted: the call is made again on the present state.
    async fn revert_reason(&self, key: &SenderKey, intent: &TxIntent) -> String {
        let hashes = match intent.blobs {
            0 => Vec::new(),
            _ => self.sidecar(intent).await.map(|s| s.versioned_hashes()).unwrap_or_default(),
        };
        let from = key.wallet.address();
        let again =
            self.services.l1.estimate_gas(from, Some(intent.to), U256::ZERO, intent.data.clone(), &hashes);
        match again.await {
            Err(L1Error::ExecutionReverted { data, .. }) => describe_revert(&data),
            Ok(_) => "reverted, but the same call would succeed now".to_owned(),
            Err(error) => format!("reverted; the reason could not be asked for: {error}"),
        }
    }

    async fn drive(&self, state: &mut KeyState) -> Result<bool, ActorError> {
        for intent in self.services.store.pending_intents(state.key.role).await? {
            let id = managed(&intent);
            state.manager.on_intent(id.clone(), tx_type(&intent));
            state.intents.insert(id, intent);
        }
        if state.manager.is_empty() {
            return Ok(false);
        }
        let (l1, address) = (&self.services.l1, state.key.wallet.address());
        let head =
            l1.block(BlockTag::Latest).await?.ok_or(ActorError::ClientNotReady("without an L1 head"))?;
        let view = ChainView {
            head: head.number,
            nonce_latest: l1.transaction_count(address, false).await?,
            nonce_pending: l1.transaction_count(address, true).await?,
        };
        if let Some((height, hash)) = state.manager.doubtful_block(&view)
            && l1.block(BlockTag::Number(height)).await?.is_some_and(|block| block.hash != hash)
        {
            tracing::warn!(height, "L1 dropped a block with a confirmed transaction of ours");
            state.manager.on_block_gone();
        }
        let mut problem = None;
        for _ in 0..ACTIONS_PER_STEP {
            let Some(action) = state.manager.next_action(Instant::now(), &view) else { break };
            let done = self.act(state, action, &view).await;
            // An outcome is taken from the manager once, so it must not be dropped by a failing store: then this
            // instance forgets everything and reads the store again. It is stored before the next action, which may
            // give its nonce to another intent.
            while let Some(outcome) = state.manager.next_outcome() {
                self.finish(state, outcome).await?;
            }
            if let Err(error) = done {
                problem = Some(error);
                break;
            }
        }
        match problem {
            Some(error) => Err(error),
            None => {
                let blocked =
                    state.manager.status().into_iter().find_map(|s| s.blocked.map(|b| (s.intent, b)));
                match blocked {
                    Some((id, reason)) => Err(ActorError::Transaction { id: id.to_string(), reason }),
                    None => Ok(!state.manager.is_empty()),
                }
            }
        }
    }
}

/// The name under which the manager knows an intent: fillers are stored with the role before theirs, because each
/// manager counts its own.
fn managed(intent: &TxIntent) -> ManagedId {
    let id = match intent.kind {
        IntentKind::UseUpNonce => intent.id.0.split_once('/').map_or(intent.id.0.as_str(), |(_, rest)| rest),
        IntentKind::CommitBatch { .. } | IntentKind::VerifyBatches { .. } => &intent.id.0,
    };
    ManagedId(id.to_owned())
}

/// Transactions of one kind take the same gas, but for their call data.
fn gas_kind(intent: &TxIntent) -> String {
    match intent.kind {
        IntentKind::CommitBatch { .. } => format!("commit/{}", intent.blobs),
        IntentKind::VerifyBatches { .. } => "verify".to_owned(),
        IntentKind::UseUpNonce => "filler".to_owned(),
    }
}

fn retry(error: ActorError) -> NotSigned {
    NotSigned::Failure(SignFailure::Retry { reason: error.to_string() })
}

fn not_stored(error: StoreError) -> NotSigned {
    match error {
        // Somebody else signs with this key: what is in the store counts, not what this instance knows.
        StoreError::Conflict { .. } => NotSigned::Reset(error),
        other => retry(other.into()),
    }
}

fn past(signed: &PastTransaction) -> PastTx {
    let blobs = signed.kind == BLOB_TX;
    PastTx {
        intent: managed(&signed.intent),
        hash: signed.hash,
        nonce: signed.nonce,
        empty: signed.intent.kind != IntentKind::UseUpNonce && blobs != (signed.intent.blobs > 0),
    }
}

fn tx_type(intent: &TxIntent) -> TxType {
    if intent.blobs > 0 { TxType::Blob } else { TxType::Eip1559 }
}

fn record(signed: SignedTransaction) -> Result<SignedRecord, ActorError> {
    let corrupt = |column: &'static str, reason: String| {
        let row = signed.hash.to_string();
        ActorError::Store(StoreError::Corrupt { table: "signed_transactions", column, row, reason })
    };
    let fees = serde_json::from_str(&signed.fees).map_err(|e| corrupt("fees", e.to_string()))?;
    let decoded = SignedTx::decode(&signed.raw).map_err(|e| corrupt("raw", e.to_string()))?;
    Ok(SignedRecord::new(decoded, fees))
}

#[async_trait(?Send)]
impl Worker for SenderWorker {
    async fn step(&mut self) -> Result<Next, ActorError> {
        let mut keys = match self.keys.take() {
            Some(keys) => keys,
            None => self.recover().await?,
        };
        let mut busy = false;
        let mut problem = None;
        for state in &mut keys {
            match self.drive(state).await {
                Ok(more) => busy |= more,
                // The other key goes on whatever happens to this one.
                Err(ActorError::Store(error)) => return Err(error.into()),
                Err(error) => problem = Some(error),
            }
        }
        self.keys = Some(keys);
        match problem {
            Some(error) => Err(error),
            None => Ok(Next::After(if busy { self.config.poll } else { IDLE })),
        }
    }
}
