//! What users do with the bridge: deposit, withdraw, claim.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use ensemble_batch::GWEI;
use ensemble_contracts::{ContractError, L2_BRIDGE_ADDRESS, calls, events, returns};
use ensemble_error::{Classify, Severity};
use ensemble_l1::{BlockTag, TxReceipt};

use crate::{
    account::{Account, AccountError, Call, Sent},
    withdrawals::WithdrawalProof,
};

/// Why a deposit, withdrawal or claim did not work.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The transaction failed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// An event could not be read.
    #[error("contract: {0}")]
    Contract(#[from] ContractError),
    /// The amount cannot be deposited.
    #[error("a deposit is a whole number of gwei above zero; {0} wei is not")]
    Amount(U256),
    /// The transaction did not do what it should have done.
    #[error("transaction {transaction} has no {event} event; is {contract} the right contract?")]
    NoEvent {
        /// The transaction.
        transaction: B256,
        /// The event looked for.
        event: &'static str,
        /// The contract called.
        contract: Address,
    },
    /// The batch of the withdrawal is not verified yet.
    #[error("batch {0} is not verified on L1 yet; try again later")]
    NotVerified(u64),
}

impl Classify for BridgeError {
    fn severity(&self) -> Severity {
        match self {
            Self::Account(e) => e.severity(),
            Self::Contract(_) | Self::Amount(_) | Self::NoEvent { .. } => Severity::Recoverable,
            Self::NotVerified(_) => Severity::Transient,
        }
    }
}

/// A deposit on L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposited {
    /// L1 transaction.
    pub transaction: B256,
    /// Id that the bridge gave it.
    pub id: u64,
    /// L1 block.
    pub l1_block: u64,
}

/// A withdrawal that was started on the L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// L2 transaction.
    pub transaction: B256,
    /// Id of the withdrawal.
    pub id: u64,
    /// L2 block.
    pub block: u64,
    /// Receiver on L1.
    pub to: Address,
    /// Amount in wei.
    pub amount: U256,
}

/// Deposits `amount` wei to `to`, from an account on L1.
///
/// # Errors
/// See [`BridgeError`].
pub async fn deposit(
    account: &Account,
    bridge: Address,
    to: Address,
    amount: U256,
    limit: Duration,
) -> Result<Deposited, BridgeError> {
    let sent = send_deposit(account, bridge, to, amount).await?;
    deposited(account, bridge, &sent, limit).await
}

/// Sends the transaction of a deposit, for [`deposited`].
///
/// # Errors
/// See [`BridgeError`].
pub async fn send_deposit(
    account: &Account,
    bridge: Address,
    to: Address,
    amount: U256,
) -> Result<Sent, BridgeError> {
    if amount.is_zero() || !(amount % U256::from(GWEI)).is_zero() {
        return Err(BridgeError::Amount(amount));
    }
    Ok(account.send(&Call { to: Some(bridge), value: amount, data: calls::deposit(to) }).await?)
}

/// Waits until a deposit is on L1. To be asked again after a reorg: it brings the transaction back, where it can, and the
/// deposit may have another id then.
///
/// # Errors
/// See [`BridgeError`].
pub async fn deposited(
    account: &Account,
    bridge: Address,
    sent: &Sent,
    limit: Duration,
) -> Result<Deposited, BridgeError> {
    let receipt = account.see_through(sent, limit).await?;
    let log = receipt
        .logs
        .iter()
        .find(|log| log.address == bridge && log.topics.first() == Some(&events::DepositInitiated::topic()))
        .ok_or(BridgeError::NoEvent {
            transaction: receipt.transaction_hash,
            event: "DepositInitiated",
            contract: bridge,
        })?;
    let event = events::DepositInitiated::decode(&log.topics, &log.data)?;
    Ok(Deposited {
        transaction: receipt.transaction_hash,
        id: event.deposit_id,
        l1_block: receipt.block_number,
    })
}

/// Starts the withdrawal of `amount` wei to `to`, from an account on the L2.
///
/// # Errors
/// See [`BridgeError`].
pub async fn withdraw(
    account: &Account,
    to: Address,
    amount: U256,
    limit: Duration,
) -> Result<Withdrawn, BridgeError> {
    let call = Call { to: Some(L2_BRIDGE_ADDRESS), value: amount, data: calls::withdraw(to) };
    let receipt = account.transact(&call, limit).await?;
    withdrawals_in(&receipt)?.into_iter().next().ok_or(BridgeError::NoEvent {
        transaction: receipt.transaction_hash,
        event: "WithdrawalInitiated",
        contract: L2_BRIDGE_ADDRESS,
    })
}

/// The withdrawals that an L2 transaction started, in order.
///
/// # Errors
/// When an event of the bridge cannot be read.
pub fn withdrawals_in(receipt: &TxReceipt) -> Result<Vec<Withdrawn>, BridgeError> {
    let topic = events::WithdrawalInitiated::topic();
    receipt
        .logs
        .iter()
        .filter(|log| log.address == L2_BRIDGE_ADDRESS && log.topics.first() == Some(&topic))
        .map(|log| {
            let event = events::WithdrawalInitiated::decode(&log.topics, &log.data)?;
            Ok(Withdrawn {
                transaction: receipt.transaction_hash,
                id: event.id,
                block: receipt.block_number,
                to: event.receiver,
                amount: event.amount,
            })
        })
        .collect()
}

/// Whether a withdrawal was paid, as L1 is now.
///
/// # Errors
/// See [`BridgeError`].
pub async fn is_claimed(account: &Account, bridge: Address, id: u64) -> Result<bool, BridgeError> {
    let answer = account.client().call(bridge, calls::is_claimed(id), BlockTag::Latest).await;
    Ok(returns::bool(&answer.map_err(AccountError::Node)?)?)
}

/// Claims a withdrawal on L1. Anybody may; the receiver named in it is paid.
///
/// # Errors
/// See [`BridgeError`].
pub async fn claim(
    account: &Account,
    bridge: Address,
    proof: &WithdrawalProof,
    limit: Duration,
) -> Result<TxReceipt, BridgeError> {
    if !proof.claimable {
        return Err(BridgeError::NotVerified(proof.header.number));
    }
    let data =
        calls::claim_withdrawal(&proof.header, proof.id, proof.to, proof.amount, proof.path, &proof.siblings);
    let call = Call { to: Some(bridge), value: U256::ZERO, data };
    Ok(account.transact(&call, limit).await?)
}
