//! `ensemble deposit`, `withdraw` and `claim`.

use std::{process::ExitCode, sync::Arc, time::Duration};

use alloy_primitives::{Address, U256};
use ensemble_l1::{L1Client, RpcConfig, RpcL1Client, Wallet};
use indicatif::ProgressBar;

use super::{
    CliError,
    args::{Amount, ClaimArgs, DepositArgs, WithdrawArgs},
    say,
    status::{admin_url, ask},
};
use crate::{
    account::Account,
    bridge,
    config::{Config, LoadOptions, RpcUrl, Secret},
    withdrawals::WithdrawalProof,
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
    let before = match args.wait {
        true => Some((l2(args.l2_rpc.as_ref(), &config)?, ())),
        false => None,
    };
    let balance = match &before {
        Some((l2, ())) => l2.balance(to).await?,
        None => U256::ZERO,
    };
    let amount = args.amount.wei();
    let bar = spinner(format!("depositing {} …", Amount::from_wei(amount)));
    let done = bridge::deposit(&account, bridge_address, to, amount, LIMIT).await;
    bar.finish_and_clear();
    let done = done?;
    say(format!(
        "L1 tx {}\ndeposit #{} of {} for {to}",
        done.transaction,
        done.id,
        Amount::from_wei(amount)
    ))?;
    if let Some((l2, ())) = before {
        let bar = spinner("waiting for the L2 …".to_owned());
        while l2.balance(to).await? < balance + amount {
            tokio::time::sleep(POLL).await;
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
        "L2 tx {}\nwithdrawal #{} in block {}\nOnce its batch is verified: ensemble claim --tx {}",
        done.transaction, done.id, done.block, done.transaction
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// `ensemble claim`.
pub(super) async fn claim(args: &ClaimArgs, options: &LoadOptions) -> Result<ExitCode, CliError> {
    let config = Config::load(options)?;
    let bridge_address = bridge_of(args.bridge, &config)?;
    let l2 = l2(args.l2_rpc.as_ref(), &config)?;
    let receipt = l2
        .receipt(args.tx)
        .await?
        .ok_or_else(|| CliError::Usage(format!("the L2 has no transaction {}", args.tx)))?;
    let withdrawals = bridge::withdrawals_in(&receipt)?;
    if withdrawals.is_empty() {
        return Err(CliError::Usage(format!("transaction {} started no withdrawal", args.tx)));
    }
    let base = admin_url(args.admin_url.as_ref(), options)?;
    let account = account(&args.private_key, l1(args.l1_rpc.as_ref(), &config)?).await?;
    for withdrawal in withdrawals {
        let bar = spinner(format!("withdrawal #{} waits for its batch to be verified …", withdrawal.id));
        let proof = loop {
            let path = format!("/withdrawals/{}/{}", withdrawal.block, withdrawal.id);
            match ask::<WithdrawalProof>(&base, &path).await? {
                Some(proof) if proof.claimable => break proof,
                Some(proof) if !args.wait => {
                    return Err(bridge::BridgeError::NotVerified(proof.header.number).into());
                }
                None if !args.wait => {
                    return Err(CliError::Usage(format!(
                        "L2 block {} is in no batch yet; try again later or give --wait",
                        withdrawal.block
                    )));
                }
                Some(_) | None => tokio::time::sleep(POLL).await,
            }
        };
        bar.set_message("claiming …");
        let receipt = bridge::claim(&account, bridge_address, &proof, LIMIT).await;
        bar.finish_and_clear();
        let receipt = receipt?;
        say(format!(
            "L1 tx {}\nwithdrawal #{}: {} paid to {}",
            receipt.transaction_hash,
            proof.id,
            Amount::from_wei(proof.amount),
            proof.to
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
