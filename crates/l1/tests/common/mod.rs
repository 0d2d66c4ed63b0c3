//! An owner of a key: does what the tx manager says, as L1Sender does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, Bytes, U256};
use ensemble_l1::fees::{FeePolicy, Market};
use ensemble_l1::tx_manager::{
    Action, ChainView, FeeDecision, IntentId, Outcome, SignFailure, SignedRecord, TrackedTx, TxManager,
    TxManagerConfig,
};
use ensemble_l1::{BlobTx, Eip1559Tx, FeePlan, L1Client, L1Error, Sidecar, SidecarVersion, TxType, Wallet};

/// First account of the well-known test mnemonic ("test test … junk").
pub(crate) const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) to: Address,
    pub(crate) data: Bytes,
    pub(crate) sidecar: Option<Arc<Sidecar>>,
}

impl Wanted {
    fn tx_type(&self) -> TxType {
        if self.sidecar.is_some() { TxType::Blob } else { TxType::Eip1559 }
    }
}

pub(crate) struct Owner {
    pub(crate) client: Arc<dyn L1Client>,
    pub(crate) wallet: Wallet,
    pub(crate) config: TxManagerConfig,
    pub(crate) manager: TxManager,
    pub(crate) policy: FeePolicy,
    pub(crate) now: Instant,
    /// What is on disk.
    pub(crate) store: Vec<TrackedTx>,
    /// What is stored of intents that have their outcome.
    history: Vec<TrackedTx>,
    pub(crate) wanted: BTreeMap<IntentId, Wanted>,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Owner {
    pub(crate) fn new(client: Arc<dyn L1Client>, config: TxManagerConfig) -> Self {
        Self {
            client,
            wallet: Wallet::from_hex(KEY.to_owned()).unwrap(),
            config,
            manager: TxManager::new(config),
            policy: FeePolicy::default(),
            now: Instant::now(),
            store: Vec::new(),
            history: Vec::new(),
            wanted: BTreeMap::new(),
            outcomes: Vec::new(),
        }
    }

    pub(crate) fn want(&mut self, id: &str, wanted: Wanted) {
        assert!(self.manager.on_intent(id.into(), wanted.tx_type()));
        self.wanted.insert(id.into(), wanted);
    }

    /// Dies and comes back with what is on disk.
    pub(crate) fn restart(&mut self) {
        self.manager = TxManager::new(self.config);
        self.manager.recover(self.store.clone()).unwrap();
        for (id, wanted) in &self.wanted {
            self.manager.on_intent(id.clone(), wanted.tx_type());
        }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    async fn view(&self) -> Result<ChainView, L1Error> {
        let head = self.client.block(ensemble_l1::BlockTag::Latest).await?.expect("there is a head");
        let address = self.wallet.address();
        Ok(ChainView {
            head: head.number,
            nonce_latest: self.client.transaction_count(address, false).await?,
            nonce_pending: self.client.transaction_count(address, true).await?,
        })
    }

    /// One round: everything there is to do now.
    pub(crate) async fn tick(&mut self) {
        let Ok(view) = self.view().await else { return };
        while let Some(action) = self.manager.next_action(self.now, &view) {
            self.perform(action, &view).await;
            while let Some(outcome) = self.manager.next_outcome() {
                self.history.extend(self.store.extract_if(.., |t| t.intent == *outcome.intent()));
                self.wanted.remove(outcome.intent());
                self.outcomes.push(outcome);
            }
        }
    }

    async fn perform(&mut self, action: Action, view: &ChainView) {
        match action {
            Action::Sign { intent, tx_type, nonce, fees, empty } => {
                match self.sign(&intent, tx_type, nonce, fees, empty).await {
                    Ok(record) => {
                        let own = self.wanted.get(&intent).map_or(tx_type, Wanted::tx_type);
                        let tracked =
                            TrackedTx { intent: intent.clone(), tx_type: own, record: record.clone() };
                        self.store.push(tracked);
                        self.manager.on_signed(&intent, record).unwrap();
                    }
                    Err(failure) => self.manager.on_sign_failed(&intent, failure, self.now),
                }
            }
            Action::Adopt { intent, nonce } => {
                let again = |t: &mut TrackedTx| t.intent == intent && t.record.nonce == nonce;
                let adopted: Vec<_> = self.history.extract_if(.., again).collect();
                self.store.extend(adopted.iter().cloned());
                let records = adopted.into_iter().map(|t| t.record).collect();
                self.manager.on_adopted(&intent, records).unwrap();
            }
            Action::Broadcast { intent, hash, raw } => {
                let result = self.client.send_raw_transaction(&raw).await;
                let result = result.as_ref().map(|_| ());
                self.manager.on_broadcast_result(&intent, hash, result, self.now);
            }
            Action::CheckReceipts { intent, hashes } => {
                let mut receipts = Vec::new();
                for hash in hashes {
                    match self.client.receipt(hash).await {
                        Ok(receipt) => receipts.extend(receipt),
                        Err(_) => return self.manager.on_check_failed(&intent, self.now),
                    }
                }
                self.manager.on_receipts(&intent, &receipts, view, self.now);
            }
        }
    }

    async fn sign(
        &self,
        id: &IntentId,
        kind: TxType,
        nonce: u64,
        fees: FeeDecision,
        empty: bool,
    ) -> Result<SignedRecord, SignFailure> {
        let wanted = match self.wanted.get(id).filter(|_| !empty) {
            Some(wanted) => wanted.clone(),
            None => Wanted {
                to: self.wallet.address(),
                data: Bytes::new(),
                sidecar: (kind == TxType::Blob)
                    .then(|| Arc::new(Sidecar::empty(SidecarVersion::V0).unwrap())),
            },
        };
        let later = |e: L1Error| SignFailure::Retry { reason: e.to_string() };
        let market = Market::fetch(&*self.client, &self.policy, kind).await.map_err(later)?;
        let plan = match fees {
            FeeDecision::Fresh => FeePlan::fresh(&market, &self.policy, kind),
            FeeDecision::Bump { previous } => previous.bump(&market, &self.policy, kind),
        }
        .map_err(SignFailure::FeeCap)?;
        let hashes = wanted.sidecar.as_ref().map(|s| s.versioned_hashes()).unwrap_or_default();
        let from = self.wallet.address();
        let gas_limit = self
            .client
            .estimate_gas(from, Some(wanted.to), U256::ZERO, wanted.data.clone(), &hashes)
            .await
            .map_err(|e| match e {
                L1Error::ExecutionReverted { .. } => SignFailure::Permanent { reason: e.to_string() },
                other => later(other),
            })?;
        let chain_id = self.client.chain_id().await.map_err(later)?;
        let FeePlan { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas } = plan;
        let signed = match &wanted.sidecar {
            None => self.wallet.sign_eip1559(&Eip1559Tx {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: Some(wanted.to),
                value: U256::ZERO,
                data: wanted.data,
            }),
            Some(sidecar) => self.wallet.sign_blob(&BlobTx {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                max_fee_per_blob_gas,
                to: wanted.to,
                value: U256::ZERO,
                data: wanted.data,
                sidecar,
            }),
        }
        .unwrap();
        Ok(SignedRecord::new(signed, plan))
    }
}
