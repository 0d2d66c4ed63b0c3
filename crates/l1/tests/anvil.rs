//! The client, the wallet and the tx manager against a real node.
//!
//! `ENSEMBLE_ANVIL=/path/to/anvil cargo test -p ensemble-l1 --test anvil` (the binary itself, not the wrapper that npm
//! puts into `node_modules/.bin`). Without the variable the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use common::{KEY, Owner, Wanted};
use ensemble_l1::fees::{FeePolicy, Market};
use ensemble_l1::tx_manager::{IntentState, Outcome, TxManagerConfig};
use ensemble_l1::{
    BlobTx, BlockTag, Eip1559Tx, FeePlan, L1Client, L1Error, LogFilter, RpcConfig, RpcL1Client, Sidecar,
    SidecarVersion, SignedTx, TxReceipt, TxType, Wallet,
};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee::rpc_params;

const CHAIN: u64 = 31_337;
const GWEI: u128 = 1_000_000_000;

/// Without call data it emits `LOG1(topic 0x2a)`, else it reverts with its call data.
const INIT_CODE: [u8; 34] = hex!("601780600b6000396000f3 36600c57602a60006000a1005b3660006000373660 00fd");

struct Anvil {
    process: Child,
    url: String,
    control: HttpClient,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Anvil {
    /// `None` when there is no anvil to start.
    fn start(arguments: &[&str]) -> Option<Self> {
        let Ok(binary) = std::env::var("ENSEMBLE_ANVIL") else {
            eprintln!("skipped: set ENSEMBLE_ANVIL to the path of an anvil binary to run this test");
            return None;
        };
        let mut process = Command::new(binary)
            .args(["--port", "0", "--chain-id", "31337", "--no-mining"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("ENSEMBLE_ANVIL can be run");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(|line| line.expect("anvil writes text"))
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("anvil says where it listens");
        // Its log goes on; somebody has to read it.
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("http://{address}");
        let control = HttpClientBuilder::default().build(&url).unwrap();
        Some(Self { process, url, control })
    }

    fn client(&self) -> RpcL1Client {
        // Its first blob transaction makes anvil load a trusted setup of its own.
        let config = RpcConfig { timeout: Duration::from_secs(120), ..RpcConfig::default() };
        RpcL1Client::new(vec![self.url.clone()], config).unwrap()
    }

    async fn mine(&self) {
        self.control.request::<String, _>("evm_mine", rpc_params![]).await.unwrap();
    }
}

fn wallet() -> Wallet {
    Wallet::from_hex(KEY.to_owned()).unwrap()
}

fn eip1559(nonce: u64, to: Option<Address>, data: Bytes) -> Eip1559Tx {
    Eip1559Tx {
        chain_id: CHAIN,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 20 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to,
        value: U256::ZERO,
        data,
    }
}

async fn send(l1: &RpcL1Client, tx: &SignedTx) {
    assert_eq!(l1.send_raw_transaction(&tx.raw).await.unwrap(), tx.hash);
}

async fn include(anvil: &Anvil, l1: &RpcL1Client, tx: &SignedTx) -> TxReceipt {
    send(l1, tx).await;
    anvil.mine().await;
    l1.receipt(tx.hash).await.unwrap().expect("it is mined")
}

async fn deploy(anvil: &Anvil, l1: &RpcL1Client) -> Address {
    let nonce = l1.transaction_count(wallet().address(), true).await.unwrap();
    let tx = wallet().sign_eip1559(&eip1559(nonce, None, Bytes::from(INIT_CODE.to_vec()))).unwrap();
    let receipt = include(anvil, l1, &tx).await;
    assert!(receipt.status);
    receipt.contract_address.unwrap()
}

#[tokio::test]
async fn deploy_call_logs_and_reverts() {
    let Some(anvil) = Anvil::start(&["--hardfork", "osaka"]) else { return };
    let l1 = anvil.client();
    l1.ensure_chain(CHAIN).await.unwrap();
    let other = L1Error::WrongChain { expected: 1, actual: CHAIN };
    assert_eq!(l1.ensure_chain(1).await, Err(other.clone()));
    assert_eq!(anvil.client().ensure_chain(1).await, Err(other));
    assert_eq!(
        l1.balance(wallet().address()).await.unwrap(),
        U256::from(10_000) * U256::from(10).pow(U256::from(18))
    );
    let contract = deploy(&anvil, &l1).await;
    assert_eq!(l1.code(contract).await.unwrap().len(), 23);

    let gas =
        l1.estimate_gas(wallet().address(), Some(contract), U256::ZERO, Bytes::new(), &[]).await.unwrap();
    assert!((21_000..30_000).contains(&gas), "{gas}");
    let tx = wallet().sign_eip1559(&eip1559(1, Some(contract), Bytes::new())).unwrap();
    let receipt = include(&anvil, &l1, &tx).await;
    let topic0 = B256::from(U256::from(0x2a));
    let filter = LogFilter { address: contract, topic0, from_block: 0, to_block: receipt.block_number };
    let logs = l1.logs(&filter).await.unwrap();
    assert_eq!(logs, receipt.logs);
    assert_eq!((logs.len(), logs[0].transaction_hash, logs[0].block_hash), (1, tx.hash, receipt.block_hash));
    assert_eq!(l1.logs(&LogFilter { topic0: B256::ZERO, ..filter }).await.unwrap(), []);

    let head = l1.block(BlockTag::Latest).await.unwrap().unwrap();
    assert_eq!(head.number, receipt.block_number);
    assert_eq!(l1.block(BlockTag::Hash(head.hash)).await.unwrap(), Some(head));
    assert_eq!(l1.block(BlockTag::Number(head.number)).await.unwrap(), Some(head));
    assert_eq!(l1.block(BlockTag::Number(99)).await.unwrap(), None);
    assert_eq!(l1.block(BlockTag::Hash(B256::repeat_byte(1))).await.unwrap(), None);
    assert!(l1.block(BlockTag::Finalized).await.unwrap().is_some());

    let data = Bytes::from(
        hex!("7fcdd1f400000000000000000000000000000000000000000000000000000000000000ff").to_vec(),
    );
    let from_call = l1.call(contract, data.clone(), BlockTag::Hash(head.hash)).await.unwrap_err();
    let from_estimate =
        l1.estimate_gas(wallet().address(), Some(contract), U256::ZERO, data.clone(), &[]).await.unwrap_err();
    for error in [from_call, from_estimate] {
        assert!(matches!(&error, L1Error::ExecutionReverted { data: d, .. } if *d == data), "{error:?}");
    }
    let tx = wallet().sign_eip1559(&eip1559(2, Some(contract), data)).unwrap();
    assert!(!include(&anvil, &l1, &tx).await.status, "mined and reverted");
}

#[tokio::test]
async fn fees_of_the_node() {
    let Some(anvil) = Anvil::start(&["--hardfork", "osaka"]) else { return };
    let l1 = anvil.client();
    deploy(&anvil, &l1).await;
    let history = l1.fee_history(4, 50.0).await.unwrap();
    assert_eq!(history.base_fee_per_gas.len(), history.rewards.len() + 1);
    let market = Market::fetch(&l1, &FeePolicy::default(), TxType::Blob).await.unwrap();
    assert!(market.base_fee > 0 && market.blob_base_fee.unwrap() > 0);
    assert_eq!(l1.blob_base_fee().await.unwrap(), market.blob_base_fee.unwrap());
    let plan = FeePlan::fresh(&market, &FeePolicy::default(), TxType::Blob).unwrap();
    assert!(plan.max_fee_per_gas >= 2 * market.base_fee);
}

#[tokio::test]
async fn blobs_of_both_versions() {
    let payload: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let blobs = ensemble_batch::pack(&payload, 6).unwrap();
    for (fork, version) in [("prague", SidecarVersion::V0), ("osaka", SidecarVersion::V1)] {
        let Some(anvil) = Anvil::start(&["--hardfork", fork]) else { return };
        let l1 = anvil.client();
        let sidecar = Sidecar::build(&blobs, version).unwrap();
        let hashes = sidecar.versioned_hashes();
        let to = Address::repeat_byte(0x42);
        let data = Bytes::from_static(b"commit");
        let gas_limit =
            l1.estimate_gas(wallet().address(), Some(to), U256::ZERO, data.clone(), &hashes).await.unwrap();
        let tx = BlobTx {
            chain_id: CHAIN,
            nonce: 0,
            gas_limit,
            max_fee_per_gas: 20 * GWEI,
            max_priority_fee_per_gas: GWEI,
            max_fee_per_blob_gas: GWEI,
            to,
            value: U256::ZERO,
            data,
            sidecar: &sidecar,
        };
        let tx = wallet().sign_blob(&tx).unwrap();
        let receipt = include(&anvil, &l1, &tx).await;
        assert!(receipt.status);
        assert_eq!(receipt.blob_gas_used, Some(2 * 131_072), "{fork}");
        assert!(receipt.blob_gas_price.unwrap() > 0);
        assert!(l1.transaction(tx.hash).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn what_the_pool_refuses() {
    let Some(anvil) = Anvil::start(&["--hardfork", "osaka"]) else { return };
    let l1 = anvil.client();
    let to = Some(Address::repeat_byte(0x42));
    let base = eip1559(0, to, Bytes::new());
    let first = wallet().sign_eip1559(&base).unwrap();
    send(&l1, &first).await;
    assert_eq!(l1.receipt(first.hash).await.unwrap(), None);
    assert!(l1.transaction(first.hash).await.unwrap().is_some());
    assert_eq!(l1.transaction(B256::repeat_byte(1)).await.unwrap(), None);
    assert_eq!(l1.transaction_count(wallet().address(), true).await.unwrap(), 1);
    assert_eq!(l1.transaction_count(wallet().address(), false).await.unwrap(), 0);

    let refused = async |wallet: &Wallet, tx: Eip1559Tx| {
        let tx = wallet.sign_eip1559(&tx).unwrap();
        l1.send_raw_transaction(&tx.raw).await.unwrap_err()
    };
    let error = refused(&wallet(), base.clone()).await;
    assert!(matches!(error, L1Error::AlreadyKnown { .. }), "{error:?}");
    let error = refused(&wallet(), Eip1559Tx { value: U256::from(1), ..base.clone() }).await;
    assert!(matches!(error, L1Error::ReplacementUnderpriced { .. }), "{error:?}");
    let poor = Wallet::from_hex("11".repeat(32)).unwrap();
    let error = refused(&poor, base.clone()).await;
    assert!(matches!(error, L1Error::InsufficientFunds { .. }), "{error:?}");
    let error = refused(&wallet(), Eip1559Tx { nonce: 1, gas_limit: 20_000, ..base.clone() }).await;
    assert!(matches!(error, L1Error::TransactionRejected { .. }), "{error:?}");
    let error = refused(&wallet(), Eip1559Tx { nonce: 1, chain_id: 5, ..base.clone() }).await;
    assert!(matches!(error, L1Error::TransactionRejected { .. }), "{error:?}");
    let error = l1.send_raw_transaction(&Bytes::from_static(b"\x02junk")).await.unwrap_err();
    assert!(matches!(error, L1Error::TransactionRejected { .. }), "{error:?}");
    anvil.mine().await;
    let error = refused(&wallet(), Eip1559Tx { value: U256::from(2), ..base }).await;
    assert!(matches!(error, L1Error::NonceTooLow { .. }), "{error:?}");
}

/// SEQ-INV-5 on a real pool: replacement, restart and reorg, and the effect is there once.
#[tokio::test]
async fn the_tx_manager_through_a_reorg() {
    let Some(anvil) = Anvil::start(&["--hardfork", "osaka"]) else { return };
    let second = Duration::from_secs(1);
    let config = TxManagerConfig {
        max_in_flight: 2,
        resubmit_after: 48 * second,
        receipt_poll: 6 * second,
        confirmations: 2,
        max_replacements: 5,
    };
    let mut owner = Owner::new(Arc::new(anvil.client()), config);
    let blobs = ensemble_batch::pack(&[3; 5000], 6).unwrap();
    let sidecar = Arc::new(Sidecar::build(&blobs, SidecarVersion::V1).unwrap());
    let to = Address::repeat_byte(0x42);
    owner.want("batch", Wanted { to, data: Bytes::from_static(b"commit"), sidecar: Some(sidecar) });
    owner.tick().await;
    owner.wait(48 * second);
    owner.tick().await;
    let hashes = owner.manager.status()[0].hashes.clone();
    assert_eq!(hashes.len(), 2, "{:?}", owner.manager.status());
    owner.restart();
    owner.tick().await;
    assert_eq!(owner.manager.status()[0].hashes, hashes, "nothing new is signed");

    anvil.mine().await;
    owner.tick().await;
    let mined = owner.manager.status()[0].clone();
    assert!(matches!(mined.state, IntentState::Mined { .. }), "{mined:?}");
    anvil
        .control
        .request::<serde_json::Value, _>("anvil_reorg", rpc_params![1, Vec::<u8>::new()])
        .await
        .unwrap();
    assert_eq!(owner.client.receipt(hashes[1]).await.unwrap(), None, "the reorg dropped it");
    owner.wait(6 * second);
    owner.tick().await;
    assert_eq!(owner.manager.status()[0].state, IntentState::Pending);
    owner.wait(second);
    owner.tick().await;
    for _ in 0..3 {
        anvil.mine().await;
        owner.wait(6 * second);
        owner.tick().await;
    }
    let [Outcome::Confirmed { receipt, .. }] = &owner.outcomes[..] else { panic!("{:?}", owner.outcomes) };
    assert_eq!(receipt.transaction_hash, hashes[1]);
    assert_eq!(owner.client.transaction_count(owner.wallet.address(), false).await.unwrap(), 1);
}
