//! An account that sends single transactions to L1 or to the L2 and waits for them: what the commands `deposit`,
//! `withdraw`, `claim` and the devnet need. The sequencer itself never sends this way.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256};
use ensemble_contracts::errors::describe_revert;
use ensemble_error::{Classify, Severity};
use ensemble_l1::{
    Eip1559Tx, FeePlan, FeePolicy, L1Client, L1Error, TxReceipt, TxType, Wallet, WalletError, fees::Market,
};

/// Time between two looks for a receipt.
const POLL: Duration = Duration::from_millis(100);

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
}

impl Classify for AccountError {
    fn severity(&self) -> Severity {
        match self {
            Self::Node(e) => e.severity(),
            Self::Wallet(_) => Severity::Fatal,
            Self::Fees(e) => e.severity(),
            Self::WouldRevert(_) | Self::Funds { .. } | Self::Reverted(_) => Severity::Recoverable,
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

    /// Its next nonce, pending transactions included.
    ///
    /// # Errors
    /// When the node fails.
    pub async fn nonce(&self) -> Result<u64, AccountError> {
        Ok(self.client.transaction_count(self.address(), true).await?)
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

    /// Simulates a call, sends it, and gives the hash.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn send(&self, call: &Call) -> Result<B256, AccountError> {
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
        let signed = self.sign(call, self.nonce().await?, gas, &fees)?;
        match client.send_raw_transaction(&signed.raw).await {
            Ok(_) | Err(L1Error::AlreadyKnown { .. }) => Ok(signed.hash),
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
                match self.client.receipt(hash).await {
                    Ok(Some(receipt)) => return Ok(receipt),
                    Ok(None) => {}
                    Err(error) if error.severity() == Severity::Transient => {}
                    Err(error) => return Err(AccountError::Node(error)),
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let receipt = tokio::time::timeout(limit, receipt)
            .await
            .map_err(|_| AccountError::Timeout { hash, seconds: limit.as_secs() })??;
        if receipt.status { Ok(receipt) } else { Err(AccountError::Reverted(hash)) }
    }

    /// Sends a call and waits until it is mined.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn transact(&self, call: &Call, limit: Duration) -> Result<TxReceipt, AccountError> {
        let hash = self.send(call).await?;
        self.wait(hash, limit).await
    }
}
