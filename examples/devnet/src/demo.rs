//! The demo: a deposit, transfers, a withdrawal and its claim, each balance checked to the wei.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256};
use ensemble::{
    account::{Account, AccountError, Call},
    bridge,
    withdrawals::withdrawal_proof,
};
use ensemble_contracts::{calls, events, returns};
use ensemble_l1::{BlockTag, L1Client, LogFilter, RpcConfig, RpcL1Client, Wallet};
use rand::Rng;

use crate::{
    args::Args,
    error::DevnetError,
    launch::{Devnet, USER},
    show,
};

/// Most patience with any single step.
const LIMIT: Duration = Duration::from_secs(90);
/// Time between two looks.
const POLL: Duration = Duration::from_millis(50);
/// Most provers that are made to begin together: each needs a batch, and a batch needs some seconds.
const MOST_TOGETHER: usize = 8;

fn ether(thousandths: u64) -> U256 {
    U256::from(thousandths) * U256::from(1_000_000_000_000_000u64)
}

fn step(number: u32, text: impl AsRef<str>) {
    show::line(format!("[{number}] {}", text.as_ref()));
}

fn must(what: &str, got: U256, wanted: U256) -> Result<(), DevnetError> {
    if got == wanted {
        return Ok(());
    }
    Err(DevnetError::WrongBalance { what: what.to_owned(), got, wanted })
}

/// Looks again and again until `look` finds something.
async fn until<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<T>, DevnetError>,
) -> Result<T, DevnetError> {
    let seek = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let late = |_| DevnetError::TooSlow(what.to_owned(), LIMIT.as_secs());
    tokio::time::timeout(LIMIT, seek).await.map_err(late)?
}

async fn account(url: &str, key: &str) -> Result<Account, DevnetError> {
    let client = RpcL1Client::new(vec![url.to_owned()], RpcConfig::default())?;
    Ok(Account::new(Arc::new(client), Arc::new(Wallet::from_hex(key.to_owned())?)).await?)
}

fn random_address() -> Address {
    Address::from(rand::thread_rng().r#gen::<[u8; 20]>())
}

pub(crate) async fn run(args: &Args, devnet: &Devnet) -> Result<(), DevnetError> {
    let begun = Instant::now();
    let bridge_address = devnet.deployment.bridge;
    let user_l1 = account(&devnet.l1.rpc_url(), USER.private_key).await?;
    let key = hex::encode(rand::thread_rng().r#gen::<[u8; 32]>());
    let user_l2 = account(&devnet.l2.http_url(), &key).await?;
    let (l1, l2) = (Arc::clone(user_l1.client()), Arc::clone(user_l2.client()));
    let bridge_before = l1.balance(bridge_address).await?;

    let deposited = ether(10_000);
    step(1, format!("deposit {} on L1 for a new account {}", show::eth(deposited), user_l2.address()));
    let deposit = bridge::deposit(&user_l1, bridge_address, user_l2.address(), deposited, LIMIT).await?;
    show::line(format!("    L1 tx {}  deposit #{}", deposit.transaction, deposit.id));
    until("the deposit on the L2", async || {
        Ok((!l2.balance(user_l2.address()).await?.is_zero()).then_some(()))
    })
    .await?;
    must("the balance of the account after the deposit", l2.balance(user_l2.address()).await?, deposited)?;
    show::line(format!("    on the L2 after {:.1} s", begun.elapsed().as_secs_f64()));

    if args.provers > 1 {
        devnet.fleet.hold();
    }
    step(2, format!("{} transfers on the L2", args.transfers));
    let spent = transfers(args.transfers, &user_l2, &l2).await?;

    let (withdrawn, receiver) = (ether(1_250), random_address());
    step(3, format!("withdraw {} to a new L1 account {receiver}", show::eth(withdrawn)));
    let withdrawal = bridge::withdraw(&user_l2, receiver, withdrawn, LIMIT).await?;
    show::line(format!(
        "    L2 tx {}  withdrawal #{} in block {}",
        withdrawal.transaction, withdrawal.id, withdrawal.block
    ));
    let receipt = l2.receipt(withdrawal.transaction).await?;
    let fee = receipt.map_or(U256::ZERO, |r| U256::from(r.fee_paid()));
    must(
        "the balance of the account after the withdrawal",
        l2.balance(user_l2.address()).await?,
        deposited - spent - withdrawn - fee,
    )?;

    step(4, "wait until its batch is verified on L1, then claim");
    if args.provers > 1 {
        prove_together(args.provers.min(MOST_TOGETHER), devnet).await?;
    }
    let store = &devnet.sequencer.services().store;
    let proof = until("the verification of the withdrawal's batch", async || {
        Ok(withdrawal_proof(store, withdrawal.block, withdrawal.id).await?.filter(|p| p.claimable))
    })
    .await?;
    show::line(format!("    batch {} is verified", proof.header.number));
    let claim = bridge::claim(&user_l1, bridge_address, &proof, LIMIT).await?;
    show::line(format!("    L1 tx {}  {} gas", claim.transaction_hash, claim.gas_used));
    must("the receiver's balance on L1", l1.balance(receiver).await?, withdrawn)?;
    match bridge::claim(&user_l1, bridge_address, &proof, LIMIT).await {
        Err(bridge::BridgeError::Account(AccountError::WouldRevert(_))) => {}
        Ok(_) => return Err(DevnetError::Wrong("the same withdrawal was paid twice".to_owned())),
        Err(error) => return Err(error.into()),
    }

    step(5, "check the books");
    let bridge_now = l1.balance(bridge_address).await?;
    must("the ETH in the bridge", bridge_now - bridge_before, deposited - withdrawn)?;
    books(devnet, &l1).await?;
    show::line(format!("    provers: {}", devnet.fleet.summary()));
    show::line(format!("\nEvery balance is right. {:.1} s.", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// Waits until so many provers have a batch each, and lets all of them begin at the same time.
async fn prove_together(provers: usize, devnet: &Devnet) -> Result<(), DevnetError> {
    let fleet = &devnet.fleet;
    let batches = until("a batch for each prover", async || {
        Ok(Some(fleet.waiting()).filter(|waiting| waiting.len() >= provers))
    })
    .await?;
    let all: Vec<_> = batches.iter().map(|(prover, batch)| format!("{prover} batch {batch}")).collect();
    show::line(format!("    a batch for each prover: {}; all begin now", all.join(", ")));
    let begun = Instant::now();
    fleet.release();
    let took = until("the proofs of these batches", async || {
        Ok(batches
            .values()
            .map(|batch| fleet.proven(*batch).map(|(_, took)| took))
            .collect::<Option<Vec<_>>>())
    })
    .await?;
    show::line(format!(
        "    {} batches proven in {} ms, the single proofs in {} ms",
        batches.len(),
        begun.elapsed().as_millis(),
        took.iter().map(|took| took.as_millis().to_string()).collect::<Vec<_>>().join(" + ")
    ));
    Ok(())
}

/// Sends `count` transfers to random accounts and checks every balance. Gives what they cost the sender.
async fn transfers(count: u64, from: &Account, l2: &Arc<dyn L1Client>) -> Result<U256, DevnetError> {
    if count == 0 {
        return Ok(U256::ZERO);
    }
    let begun = Instant::now();
    let fees = from.fees().await?;
    let first = from.nonce().await?;
    let before = l2.balance(from.address()).await?;
    let mut sent: Vec<(Address, U256, B256)> = Vec::new();
    for n in 0..count {
        let (to, value) = (random_address(), ether(1) + U256::from(n));
        let call = Call { to: Some(to), value, data: Default::default() };
        let signed = from.sign(&call, first + n, 21_000, &fees)?;
        l2.send_raw_transaction(&signed.raw).await?;
        sent.push((to, value, signed.hash));
    }
    let mut cost = U256::ZERO;
    for (to, value, hash) in &sent {
        let receipt = from.wait(*hash, LIMIT).await?;
        must("the balance of a receiver", l2.balance(*to).await?, *value)?;
        cost += *value + U256::from(receipt.fee_paid());
    }
    must("the balance of the sender after the transfers", l2.balance(from.address()).await?, before - cost)?;
    let (first, last) =
        (sent.first().map(|s| s.2).unwrap_or_default(), sent.last().map(|s| s.2).unwrap_or_default());
    show::line(format!("    first L2 tx {first}\n    last  L2 tx {last}"));
    show::line(format!("    in blocks, every balance right, after {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(cost)
}

/// Compares what L1 itself says with what should have happened: every commit once, every verification once, every
/// deposit once.
async fn books(devnet: &Devnet, l1: &Arc<dyn L1Client>) -> Result<(), DevnetError> {
    let (proposer, bridge_address) = (devnet.deployment.proposer, devnet.deployment.bridge);
    let number = async |data| -> Result<u64, DevnetError> {
        Ok(returns::u64(&l1.call(proposer, data, BlockTag::Latest).await?)?)
    };
    // Verified first: a commit may come in between, a verification without a commit may not.
    let verified = number(calls::last_verified_batch()).await?;
    let committed = number(calls::last_committed_batch()).await?;
    let head = l1.block(BlockTag::Latest).await?.map_or(0, |b| b.number);
    let logs = async |address, topic0| -> Result<Vec<ensemble_l1::L1Log>, DevnetError> {
        Ok(l1.logs(&LogFilter { address, topic0, from_block: 0, to_block: head }).await?)
    };
    let commits = logs(proposer, events::BatchCommitted::topic()).await?;
    let mut seen = Vec::new();
    for log in &commits {
        seen.push(events::BatchCommitted::decode(&log.topics, &log.data)?.number);
    }
    if !seen.iter().copied().eq(1..=seen.len() as u64) || (seen.len() as u64) < committed {
        return Err(DevnetError::Wrong(format!(
            "the commits on L1 are {seen:?}, the contract says {committed}"
        )));
    }
    let mut next = 1;
    for log in logs(proposer, events::BatchesVerified::topic()).await? {
        let event = events::BatchesVerified::decode(&log.topics, &log.data)?;
        if event.first != next {
            return Err(DevnetError::Wrong(format!(
                "batch {next} was not verified right after the one before"
            )));
        }
        next = event.last + 1;
    }
    if next <= verified {
        return Err(DevnetError::Wrong(format!(
            "L1 has verified {verified} batches, its events say {}",
            next - 1
        )));
    }
    let deposits = logs(bridge_address, events::DepositInitiated::topic()).await?.len() as u64;
    let included = devnet.sequencer.services().store.head_block().await?.map_or(0, |b| b.deposits_index);
    if included != deposits {
        return Err(DevnetError::Wrong(format!("L1 has {deposits} deposits, the L2 {included}")));
    }
    show::line(format!(
        "    L1 says: {deposits} deposit(s), {} batches committed, {} verified, each once",
        seen.len(),
        next - 1
    ));
    Ok(())
}
