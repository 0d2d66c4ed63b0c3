//! One account that sends transactions one after the other.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use ensemble_l1::{
    BlobTx, BlockTag, Eip1559Tx, L1Client, L1Error, RpcL1Client, Sidecar, SignedTx, TxReceipt, Wallet,
};

use crate::GasError;

/// Below the cap of EIP-7825 (2^24).
const GAS_LIMIT: u64 = 16_000_000;
const GWEI: u128 = 1_000_000_000;
const MAX_FEE: u128 = 100 * GWEI;
const TIP: u128 = GWEI;
/// anvil mines at once; a loaded machine may still need a while.
const RECEIPT_POLL: Duration = Duration::from_millis(20);
const RECEIPT_POLLS: u32 = 3_000;

#[derive(Debug)]
pub(crate) struct Account<'a> {
    client: &'a RpcL1Client,
    wallet: Wallet,
    chain_id: u64,
}

impl<'a> Account<'a> {
    pub(crate) fn new(client: &'a RpcL1Client, chain_id: u64, key: &str) -> Result<Self, GasError> {
        Ok(Self { client, wallet: Wallet::from_hex(key.to_owned())?, chain_id })
    }

    pub(crate) fn address(&self) -> Address {
        self.wallet.address()
    }

    /// Sends and waits for the receipt; a revert is an error that names the contract's reason.
    pub(crate) async fn send(
        &self,
        doing: &'static str,
        to: Option<Address>,
        value: U256,
        data: Bytes,
    ) -> Result<TxReceipt, GasError> {
        let tx = Eip1559Tx {
            chain_id: self.chain_id,
            nonce: self.nonce(doing).await?,
            gas_limit: GAS_LIMIT,
            max_fee_per_gas: MAX_FEE,
            max_priority_fee_per_gas: TIP,
            to,
            value,
            data: data.clone(),
        };
        let receipt = self.submit(doing, self.wallet.sign_eip1559(&tx)?).await?;
        self.require_success(doing, to, data, &[], receipt).await
    }

    /// The same with blobs.
    pub(crate) async fn send_blobs(
        &self,
        doing: &'static str,
        to: Address,
        data: Bytes,
        sidecar: &Sidecar,
    ) -> Result<TxReceipt, GasError> {
        let tx = BlobTx {
            chain_id: self.chain_id,
            nonce: self.nonce(doing).await?,
            gas_limit: GAS_LIMIT,
            max_fee_per_gas: MAX_FEE,
            max_priority_fee_per_gas: TIP,
            max_fee_per_blob_gas: MAX_FEE,
            to,
            value: U256::ZERO,
            data: data.clone(),
            sidecar,
        };
        let receipt = self.submit(doing, self.wallet.sign_blob(&tx)?).await?;
        self.require_success(doing, Some(to), data, &sidecar.versioned_hashes(), receipt).await
    }

    async fn nonce(&self, doing: &'static str) -> Result<u64, GasError> {
        self.client
            .transaction_count(self.address(), true)
            .await
            .map_err(|source| GasError::L1 { doing, source })
    }

    async fn submit(&self, doing: &'static str, signed: SignedTx) -> Result<TxReceipt, GasError> {
        let failed = |source| GasError::L1 { doing, source };
        self.client.send_raw_transaction(&signed.raw).await.map_err(failed)?;
        for _ in 0..RECEIPT_POLLS {
            if let Some(receipt) = self.client.receipt(signed.hash).await.map_err(failed)? {
                return Ok(receipt);
            }
            tokio::time::sleep(RECEIPT_POLL).await;
        }
        Err(GasError::NotMined { doing, hash: signed.hash })
    }

    async fn require_success(
        &self,
        doing: &'static str,
        to: Option<Address>,
        data: Bytes,
        blobs: &[B256],
        receipt: TxReceipt,
    ) -> Result<TxReceipt, GasError> {
        if receipt.status {
            return Ok(receipt);
        }
        // The receipt has no reason; the estimate of the same call has.
        let reason = match self.client.estimate_gas(self.address(), to, U256::ZERO, data, blobs).await {
            Err(L1Error::ExecutionReverted { data, .. }) => {
                ensemble_contracts::errors::describe_revert(&data)
            }
            Err(other) => other.to_string(),
            Ok(_) => "out of gas, or the state has changed since".to_owned(),
        };
        Err(GasError::Reverted { doing, reason })
    }
}

/// Unix seconds of the head block.
pub(crate) async fn head_time(client: &RpcL1Client) -> Result<u64, GasError> {
    let doing = "read the head block";
    match client.block(BlockTag::Latest).await {
        Ok(Some(block)) => Ok(block.timestamp),
        Ok(None) => Err(GasError::Scenario("the chain has no head block".to_owned())),
        Err(source) => Err(GasError::L1 { doing, source }),
    }
}
