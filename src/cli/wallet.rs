//! `ensemble deposit`, `withdraw` and `claim`.

use std::{process::ExitCode, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, U256};
use ensemble_l1::{L1Client, RpcConfig, RpcL1Client, Wallet};
use indicatif::ProgressBar;

use super::{
    CliError,
    args::{Amount, ClaimArgs, DepositArgs, WithdrawArgs},
    say,
    status::{admin_url, call},
};
use crate::{
    account::Account,
    admin::rpc::GET_WITHDRAWAL_PROOFS,
    bridge,
    config::{Config, LoadOptions, RpcUrl, Secret},
    withdrawals::{TransactionWithdrawal, WithdrawalState},
};

/// How long a transaction may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Time between two looks while waiting.
const POLL: Duration = Duration::from_secs(1);

fn client(urls: Vec<String>) -> Result<Arc<dyn L1Client>, CliError> {
    Ok(Arc::new(RpcL1Client::new(urls, RpcConfig::default())?))
}

fn l1(said: Option<&RpcUrl>, config: &Config) -> Result<Arc<dyn L1Client>, CliError> {
    match said {
        Some(url) => client(vec![url.expose().to_owned()]),
        None => client(config.eth.rpc_url.iter().map(|u| u.expose().to_owned()).collect()),
    }
}

fn l2(said: Option<&RpcUrl>, config: &Config) -> Result<Arc<dyn L1Client>, CliError> {
    let url = said.or(config.engine.public_url.as_ref()).ok_or_else(|| {
        CliError::Usage(
            "where is the L2? Give --l2-rpc URL, or engine.public_url in the configuration".to_owned(),
        )
    })?;
    client(vec![url.expose().to_owned()])
}

fn bridge_of(said: Option<Address>, config: &Config) -> Result<Address, CliError> {
    said.or(config.watcher.bridge_address).ok_or_else(|| {
        CliError::Usage(
            "where is the bridge? Give --bridge ADDRESS, or watcher.bridge_address in the configuration"
                .to_owned(),
        )
    })
}

async fn account(key: &Secret, client: Arc<dyn L1Client>) -> Result<Account, CliError> {
    Ok(Account::new(client, Arc::new(Wallet::from_hex(key.expose().to_owned())?)).await?)
}

fn spinner(text: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message(text);
    bar
}

/// `ensemble deposit`.
pub(super) async fn deposit(args: &DepositArgs, options: &LoadOptions) -> Result<ExitCode, CliError> {
    let config = Config::load(options)?;
    let bridge_address = bridge_of(args.bridge, &config)?;
    let account = account(&args.private_key, l1(args.l1_rpc.as_ref(), &config)?).await?;
    let to = args.to.unwrap_or(account.address());
    let l2 = args.wait.then(|| l2(args.l2_rpc.as_ref(), &config)).transpose()?;
    let before = match &l2 {
        Some(l2) => l2.balance(to).await?,
        None => U256::ZERO,
    };
    let amount = args.amount.wei();
    let bar = spinner(format!("depositing {} …", Amount::from_wei(amount)));
    let sent = bridge::send_deposit(&account, bridge_address, to, amount).await?;
    let done = bridge::deposited(&account, bridge_address, &sent, LIMIT).await;
    bar.finish_and_clear();
    let mut done = done?;
    say(format!(
        "L1 tx {}\ndeposit #{} of {} for {to}",
        done.transaction,
        done.id,
        Amount::from_wei(amount)
    ))?;
    if let Some(l2) = l2 {
        let bar = spinner("waiting for the L2 …".to_owned());
        while l2.balance(to).await? < before + amount {
            tokio::time::sleep(POLL).await;
            // A reorg of L1 may have taken the deposit away: without it there is nothing to wait for.
            let now = bridge::deposited(&account, bridge_address, &sent, LIMIT).await?;
            if now.id != done.id {
                bar.suspend(|| say(format!("L1 was reorganised: it is deposit #{} now", now.id)))?;
            }
            done = now;
        }
        bar.finish_and_clear();
        say("on the L2")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `ensemble withdraw`.
pub(super) async fn withdraw(args: &WithdrawArgs, options: &LoadOptions) -> Result<ExitCode, CliError> {
    let config = Config::load(options)?;
    let account = account(&args.private_key, l2(args.l2_rpc.as_ref(), &config)?).await?;
    let to = args.to.unwrap_or(account.address());
    let bar = spinner("withdrawing …".to_owned());
    let done = bridge::withdraw(&account, to, args.amount.wei(), LIMIT).await;
    bar.finish_and_clear();
    let done = done?;
    say(format!(
        "L2 tx {}\nwithdrawal #{} in block {}\nOnce its batch is verified: ensemble claim {}",
        done.transaction, done.id, done.block, done.transaction
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The withdrawals of a transaction that can be claimed or were paid. With `wait` it waits until all are.
async fn claimable(
    base: &str,
    transaction: B256,
    wait: bool,
) -> Result<Vec<TransactionWithdrawal>, CliError> {
    let bar = spinner("asking the sequencer …".to_owned());
    loop {
        let answer = call::<Vec<TransactionWithdrawal>>(base, GET_WITHDRAWAL_PROOFS, (transaction,)).await?;
        let waits_for = match answer {
            Ok(all) => match all.iter().find(|w| w.state < WithdrawalState::Claimable) {
                None => {
                    bar.finish_and_clear();
                    return Ok(all);
                }
                Some(one) => format!(
                    "withdrawal #{} is in batch {} and {}",
                    one.proof.id, one.proof.header.number, one.state
                ),
            },
            Err(failure) if failure.data.is_some_and(|data| data.reason.will_pass()) => failure.message,
            Err(failure) => return Err(CliError::NoProof(failure.message)),
        };
        if !wait {
            return Err(CliError::NotYet(waits_for));
        }
        bar.set_message(waits_for);
        tokio::time::sleep(POLL).await;
    }
}

/// `ensemble claim`.
pub(super) async fn claim(args: &ClaimArgs, options: &LoadOptions) -> Result<ExitCode, CliError> {
    let config = Config::load(options)?;
    let transaction = args
        .transaction()
        .ok_or_else(|| CliError::Usage("which L2 transaction? Give its hash".to_owned()))?;
    let bridge_address = bridge_of(args.bridge, &config)?;
    let base = admin_url(args.admin_url.as_ref(), options)?;
    let account = account(&args.private_key, l1(args.l1_rpc.as_ref(), &config)?).await?;
    for TransactionWithdrawal { proof, state } in claimable(&base, transaction, args.wait).await? {
        let paid = |how: &str| {
            let amount = Amount::from_wei(proof.amount);
            say(format!("withdrawal #{}: {amount} {how} to {}", proof.id, proof.to))
        };
        if state == WithdrawalState::Claimed {
            paid("was paid before")?;
            continue;
        }
        let bar = spinner(format!("claiming withdrawal #{} …", proof.id));
        let claimed = bridge::claim(&account, bridge_address, &proof, LIMIT).await;
        bar.finish_and_clear();
        match claimed {
            Ok(receipt) => {
                say(format!("L1 tx {}", receipt.transaction_hash))?;
                paid("paid")?;
            }
            // Somebody else was faster, or it did not fail for that.
            Err(error) => {
                if !bridge::is_claimed(&account, bridge_address, proof.id).await? {
                    return Err(error.into());
                }
                paid("was paid meanwhile")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
