//! The L1 as the sequencer sees it.

use std::fmt::Debug;

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;

use crate::{
    BlockTag, EndpointStatus, FeeHistory, L1Block, L1Error, L1Log, L1Transaction, LogFilter, TxReceipt,
};

/// Access to an L1 node. [`crate::RpcL1Client`] speaks JSON-RPC; tests use the `MockL1` of feature `mock`.
///
/// No method waits for anything but one answer: each has the time-out of the implementation, none polls.
#[async_trait]
pub trait L1Client: Send + Sync + Debug + 'static {
    /// `eth_chainId`.
    async fn chain_id(&self) -> Result<u64, L1Error>;

    /// Fails with [`L1Error::WrongChain`] unless the node serves chain `expected`.
    async fn ensure_chain(&self, expected: u64) -> Result<(), L1Error> {
        let actual = self.chain_id().await?;
        if actual == expected { Ok(()) } else { Err(L1Error::WrongChain { expected, actual }) }
    }

    /// The endpoints behind this client and what is thought of each; empty where that means nothing.
    fn endpoints(&self) -> Vec<EndpointStatus> {
        Vec::new()
    }

    /// A block's header fields, `None` when the node has no such block.
    async fn block(&self, tag: BlockTag) -> Result<Option<L1Block>, L1Error>;

    /// `eth_getLogs`, ordered by block and log index. Every log returned matches the filter: an answer that
    /// holds anything else is [`L1Error::InvalidResponse`]. [`L1Error::RangeTooLarge`] asks for a smaller range.
    async fn logs(&self, filter: &LogFilter) -> Result<Vec<L1Log>, L1Error>;

    /// `eth_call`. A revert is [`L1Error::ExecutionReverted`] with the contract's data.
    async fn call(&self, to: Address, data: Bytes, tag: BlockTag) -> Result<Bytes, L1Error>;

    /// `eth_estimateGas` on the head block. `to = None` estimates a contract creation.
    async fn estimate_gas(
        &self,
        from: Address,
        to: Option<Address>,
        value: U256,
        data: Bytes,
        blob_hashes: &[B256],
    ) -> Result<u64, L1Error>;

    /// `eth_estimateGas` on the block that the node would make of its pool, so after what is in flight. Not every
    /// node has one: [`L1Error::MethodUnsupported`], or the head block in its place.
    async fn estimate_gas_pending(
        &self,
        from: Address,
        to: Address,
        data: Bytes,
        blob_hashes: &[B256],
    ) -> Result<u64, L1Error> {
        let _ = (from, to, data, blob_hashes);
        Err(L1Error::MethodUnsupported { method: "eth_estimateGas", message: "no pending block".to_owned() })
    }

    /// `eth_getTransactionCount`: the next nonce, on the head block or (`pending`) after the node's own pool.
    async fn transaction_count(&self, address: Address, pending: bool) -> Result<u64, L1Error>;

    /// Whether the node's pool has a transaction of this account with a nonce that no block has used yet. Some nodes count
    /// a pending nonce on past what a reorg took away, and nothing after such a gap is ever mined. Not every node can
    /// tell: [`L1Error::MethodUnsupported`].
    async fn pooled(&self, from: Address, nonce: u64) -> Result<bool, L1Error> {
        let _ = (from, nonce);
        Err(L1Error::MethodUnsupported {
            method: "eth_getTransactionBySenderAndNonce",
            message: "not asked".to_owned(),
        })
    }

    /// Balance in wei on the head block.
    async fn balance(&self, address: Address) -> Result<U256, L1Error>;

    /// Code of an account on the head block, empty when there is none.
    async fn code(&self, address: Address) -> Result<Bytes, L1Error>;

    /// `eth_feeHistory` of the last `blocks` blocks (at least 1) with the priority fee at `percentile` (0 to 100).
    async fn fee_history(&self, blocks: u64, percentile: f64) -> Result<FeeHistory, L1Error>;

    /// `eth_blobBaseFee`: wei per blob gas of the next block, for nodes whose fee history lacks it.
    async fn blob_base_fee(&self) -> Result<u128, L1Error>;

    /// `eth_sendRawTransaction`. The hash is that of the bytes sent; [`L1Error::AlreadyKnown`] means that the
    /// node has them already, which is as good as success.
    async fn send_raw_transaction(&self, raw: &Bytes) -> Result<B256, L1Error>;

    /// `eth_getTransactionReceipt`, `None` while the transaction is not in a canonical block.
    async fn receipt(&self, hash: B256) -> Result<Option<TxReceipt>, L1Error>;

    /// `eth_getTransactionByHash`: what a transaction was sent with, mined or in the node's pool; `None` when the node
    /// does not know it.
    async fn transaction(&self, hash: B256) -> Result<Option<L1Transaction>, L1Error>;
}
