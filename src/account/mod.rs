//! An account that sends single transactions to L1 or to the L2 and waits for them: what the commands `deposit`,
//! `withdraw`, `claim` and the devnet need. The sequencer itself never sends this way.
//!
//! A reorg may take transactions of the account away, and some nodes go on counting nonces as if they were there. So a
//! nonce is never taken past such a gap, and while a transaction is waited for, it is sent again when the node has lost
//! it, and a gap below it is filled.

mod watch;

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256};
use ensemble_contracts::errors::describe_revert;
use ensemble_error::{Classify, Severity};
use ensemble_l1::{
    BlockTag, Eip1559Tx, FeePlan, FeePolicy, L1Client, L1Error, TxReceipt, TxType, Wallet, WalletError,
    fees::Market,
};

use watch::{Action, Sight, Watch};

/// Time between two looks for a receipt.
const POLL: Duration = Duration::from_millis(100);
/// Looks for a receipt between two looks at what else the node shows.
const POLLS_PER_SIGHT: u32 = 10;
/// Most pending nonces that are looked at for a gap.
const MAX_PENDING: u64 = 64;
/// Gas of a transaction that does nothing (yellow paper, G_transaction).
const TX_GAS: u64 = 21_000;

/// A key and the chain it is used on.
#[derive(Clone, Debug)]
pub struct Account {
    client: Arc<dyn L1Client>,
    wallet: Arc<Wallet>,
    chain_id: u64,
    policy: FeePolicy,
}

/// Why a transaction was not sent, or not mined with success.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The node failed.
    #[error(transparent)]
    Node(#[from] L1Error),
    /// The key could not sign.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// Fees are above the cap.
    #[error(transparent)]
    Fees(#[from] ensemble_l1::FeeCapReached),
    /// The call would revert; nothing was sent.
    #[error("the transaction would fail: {0}")]
    WouldRevert(String),
    /// Too little ETH.
    #[error(
        "{account} has {balance} wei, but {needed} wei are needed for value and gas; send ETH to it first"
    )]
    Funds {
        /// The account.
        account: Address,
        /// What it has.
        balance: U256,
        /// What is needed.
        needed: U256,
    },
    /// Mined, but failed.
    #[error("transaction {0} was mined and failed")]
    Reverted(B256),
    /// Not mined in time. It may still be.
    #[error(
        "transaction {hash} was not mined within {seconds} s; it may still be, so look before you send again"
    )]
    Timeout {
        /// The transaction.
        hash: B256,
        /// How long was waited.
        seconds: u64,
    },
    /// Not mined in time, and something else has to be mined first.
    #[error(
        "transaction {hash} was not mined within {seconds} s: it has nonce {nonce}, and no block has nonce {next} of \
         {account} yet. A reorg may have dropped that one, or it pays too little: send any transaction with that nonce \
         from this account, then look before you send again"
    )]
    Behind {
        /// The transaction.
        hash: B256,
        /// How long was waited.
        seconds: u64,
        /// Its nonce.
        nonce: u64,
        /// The nonce that comes first.
        next: u64,
        /// The account.
        account: Address,
    },
    /// Something else was mined in its place.
    #[error(
        "transaction {hash} will not be mined: another one has used nonce {nonce} of {account}; look at what it did \
         before you send again"
    )]
    Replaced {
        /// The transaction.
        hash: B256,
        /// Its nonce.
        nonce: u64,
        /// The account.
        account: Address,
    },
}

impl Classify for AccountError {
    fn severity(&self) -> Severity {
        match self {
            Self::Node(e) => e.severity(),
            Self::Wallet(_) => Severity::Fatal,
            Self::Fees(e) => e.severity(),
            Self::WouldRevert(_)
            | Self::Funds { .. }
            | Self::Reverted(_)
            | Self::Behind { .. }
            | Self::Replaced { .. } => Severity::Recoverable,
            Self::Timeout { .. } => Severity::Transient,
        }
    }
}

/// A call to make.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Whom; none creates a contract.
    pub to: Option<Address>,
    /// Wei that go with it.
    pub value: U256,
    /// Call data or init code.
    pub data: Bytes,
}

/// A transaction that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its hash.
    pub hash: B256,
    nonce: u64,
    raw: Bytes,
}

impl Account {
    /// An account on the chain that `client` serves.
    ///
    /// # Errors
    /// When the node cannot be asked for its chain id.
    pub async fn new(client: Arc<dyn L1Client>, wallet: Arc<Wallet>) -> Result<Self, AccountError> {
        let chain_id = client.chain_id().await?;
        Ok(Self { client, wallet, chain_id, policy: FeePolicy::default() })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.wallet.address()
    }

    /// The chain it is on.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The node it talks to.
    #[must_use]
    pub fn client(&self) -> &Arc<dyn L1Client> {
        &self.client
    }

    /// Its next nonce, pending transactions included, but not past a gap that a reorg left in the node's pool.
    ///
    /// # Errors
    /// When the node fails.
    pub async fn nonce(&self) -> Result<u64, AccountError> {
        let (account, client) = (self.address(), &self.client);
        let pending = client.transaction_count(account, true).await?;
        let mut nonce = client.transaction_count(account, false).await?;
        let last = pending.min(nonce.saturating_add(MAX_PENDING));
        while nonce < last {
            if self.pooled(nonce).await? != Some(false) {
                nonce += 1;
                continue;
            }
            // It may have been mined between the two questions.
            let mined = client.transaction_count(account, false).await?;
            if mined <= nonce {
                tracing::warn!(
                    %account, nonce, pending, "a reorg has dropped a transaction of this account: its nonce is used again"
                );
                return Ok(nonce);
            }
            nonce = mined;
        }
        Ok(pending.max(nonce))
    }

    /// Whether the node's pool has a transaction with this nonce; none when it cannot tell.
    async fn pooled(&self, nonce: u64) -> Result<Option<bool>, AccountError> {
        match self.client.pooled(self.address(), nonce).await {
            Ok(pooled) => Ok(Some(pooled)),
            Err(L1Error::MethodUnsupported { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Fees that a transaction of now would get.
    ///
    /// # Errors
    /// When the node fails or the fees are above the cap.
    pub async fn fees(&self) -> Result<FeePlan, AccountError> {
        let history = self
            .client
            .fee_history(self.policy.history_blocks, f64::from(self.policy.tip_percentile))
            .await?;
        Ok(FeePlan::fresh(&Market::from_history(&history), &self.policy, TxType::Eip1559)?)
    }

    /// Signs a call.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(
        &self,
        call: &Call,
        nonce: u64,
        gas_limit: u64,
        fees: &FeePlan,
    ) -> Result<ensemble_l1::SignedTx, AccountError> {
        Ok(self.wallet.sign_eip1559(&Eip1559Tx {
            chain_id: self.chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            to: call.to,
            value: call.value,
            data: call.data.clone(),
        })?)
    }

    /// Simulates a call and sends it.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn send(&self, call: &Call) -> Result<Sent, AccountError> {
        let (from, client) = (self.address(), &self.client);
        let fees = self.fees().await?;
        let balance = client.balance(from).await?;
        if balance <= call.value {
            let needed = call.value + U256::from(1);
            return Err(AccountError::Funds { account: from, balance, needed });
        }
        let gas = match client.estimate_gas(from, call.to, call.value, call.data.clone(), &[]).await {
            Ok(gas) => gas.saturating_add(gas / 5),
            Err(L1Error::ExecutionReverted { data, .. }) => {
                return Err(AccountError::WouldRevert(describe_revert(&data)));
            }
            Err(error) => return Err(error.into()),
        };
        let needed =
            call.value.saturating_add(U256::from(gas).saturating_mul(U256::from(fees.max_fee_per_gas)));
        if balance < needed {
            return Err(AccountError::Funds { account: from, balance, needed });
        }
        let nonce = self.nonce().await?;
        let signed = self.sign(call, nonce, gas, &fees)?;
        match client.send_raw_transaction(&signed.raw).await {
            Ok(_) | Err(L1Error::AlreadyKnown { .. }) => {
                Ok(Sent { hash: signed.hash, nonce, raw: signed.raw })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until a transaction is mined.
    ///
    /// # Errors
    /// [`AccountError::Reverted`] when it failed, [`AccountError::Timeout`] when it was not mined in time.
    pub async fn wait(&self, hash: B256, limit: Duration) -> Result<TxReceipt, AccountError> {
        let receipt = async {
            loop {
                if let Some(receipt) = self.receipt(hash).await? {
                    return Ok::<_, AccountError>(receipt);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let receipt = tokio::time::timeout(limit, receipt)
            .await
            .map_err(|_| AccountError::Timeout { hash, seconds: limit.as_secs() })??;
        succeeded(receipt)
    }

    /// Waits until a transaction of this account is mined, and helps where the node does not get there by itself: after a
    /// reorg it may have lost the transaction, or one with a lower nonce.
    ///
    /// # Errors
    /// [`AccountError::Reverted`] when it failed, [`AccountError::Replaced`] when another one was mined in its place,
    /// [`AccountError::Timeout`] and [`AccountError::Behind`] when it was not mined in time.
    pub async fn see_through(&self, sent: &Sent, limit: Duration) -> Result<TxReceipt, AccountError> {
        let Sent { hash, nonce, .. } = *sent;
        let seconds = limit.as_secs();
        let mut watch = Watch::new(nonce);
        let receipt = async {
            loop {
                for _ in 0..POLLS_PER_SIGHT {
                    if let Some(receipt) = self.receipt(hash).await? {
                        return Ok::<_, AccountError>(receipt);
                    }
                    tokio::time::sleep(POLL).await;
                }
                match self.help(sent, &mut watch).await {
                    Ok(()) => {}
                    Err(error) if error.severity() == Severity::Transient => {
                        tracing::debug!(%hash, %error, "a transaction that is not mined could not be looked at");
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        if let Ok(receipt) = tokio::time::timeout(limit, receipt).await {
            return succeeded(receipt?);
        }
        let account = self.address();
        match self.client.transaction_count(account, false).await {
            Ok(next) if next < nonce => Err(AccountError::Behind { hash, seconds, nonce, next, account }),
            Ok(_) | Err(_) => Err(AccountError::Timeout { hash, seconds }),
        }
    }

    /// Looks at what the node shows of a transaction without a receipt, and does what helps.
    async fn help(&self, sent: &Sent, watch: &mut Watch) -> Result<(), AccountError> {
        let (account, client) = (self.address(), &self.client);
        let known = client.transaction(sent.hash).await?.is_some();
        let before = client.transaction_count(account, false).await?;
        let pooled = if before < sent.nonce { self.pooled(before).await? } else { None };
        let next = client.transaction_count(account, false).await?;
        // Of a nonce that was used meanwhile, the pool's answer says nothing.
        let pooled = pooled.filter(|_| next == before);
        let Some(block) = client.block(BlockTag::Latest).await? else { return Ok(()) };
        match watch.decide(Sight { head: block.number, next, known, pooled }) {
            Action::Wait => Ok(()),
            Action::SendAgain => {
                tracing::warn!(hash = %sent.hash, "the node has lost a transaction, perhaps in a reorg: sent again");
                tolerate(client.send_raw_transaction(&sent.raw).await)
            }
            Action::Fill(nonce) => {
                tracing::warn!(
                    %account, nonce, "the node has no transaction with this nonce, and others wait behind it: an empty one \
                    is sent"
                );
                let call = Call { to: Some(account), ..Call::default() };
                let filler = self.sign(&call, nonce, TX_GAS, &self.fees().await?)?;
                tolerate(client.send_raw_transaction(&filler.raw).await)
            }
            Action::Lost => Err(AccountError::Replaced { hash: sent.hash, nonce: sent.nonce, account }),
        }
    }

    /// The receipt of a transaction; none also when the node cannot be asked just now.
    async fn receipt(&self, hash: B256) -> Result<Option<TxReceipt>, AccountError> {
        match self.client.receipt(hash).await {
            Ok(receipt) => Ok(receipt),
            Err(error) if error.severity() == Severity::Transient => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a call and waits until it is mined.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn transact(&self, call: &Call, limit: Duration) -> Result<TxReceipt, AccountError> {
        let sent = self.send(call).await?;
        self.see_through(&sent, limit).await
    }
}

fn succeeded(receipt: TxReceipt) -> Result<TxReceipt, AccountError> {
    if receipt.status { Ok(receipt) } else { Err(AccountError::Reverted(receipt.transaction_hash)) }
}

/// What a node may answer to bytes that help: they are there already, or are not needed any more.
fn tolerate(answer: Result<B256, L1Error>) -> Result<(), AccountError> {
    match answer {
        Ok(_)
        | Err(
            L1Error::AlreadyKnown { .. }
            | L1Error::NonceTooLow { .. }
            | L1Error::Underpriced { .. }
            | L1Error::ReplacementUnderpriced { .. }
            | L1Error::FeeCapTooLow { .. },
        ) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
