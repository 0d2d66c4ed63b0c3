//! What the sequencer needs of an execution client.

use std::fmt::Debug;

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use ensemble_batch::SealedBlock;

use crate::{
    BlockId, BlockSummary, BuiltPayload, ClientLog, ClientReceipt, EngineError, ForkchoiceState,
    ForkchoiceUpdated, PayloadAttributes, PayloadId, PayloadStatus,
};

/// An execution client: the Engine API for building and executing blocks, and what else the sequencer reads.
///
/// No method retries; [`EngineError`] says by its severity whether trying again makes sense.
#[async_trait]
pub trait ExecutionClient: Send + Sync + Debug + 'static {
    /// `engine_exchangeCapabilities`: the methods that the client offers, sorted. Implementations keep the answer
    /// and choose method versions by it.
    async fn exchange_capabilities(&self) -> Result<Vec<String>, EngineError>;

    /// `eth_chainId`.
    async fn chain_id(&self) -> Result<u64, EngineError>;

    /// A block's header fields; `None` when the client has no such block.
    async fn block(&self, id: BlockId) -> Result<Option<BlockSummary>, EngineError>;

    /// The whole canonical block of this height, from `debug_getRawBlock`; `None` when there is none.
    ///
    /// # Errors
    /// [`EngineError::NotSupported`] when the client lacks the method, or when the block has execution requests
    /// (EIP-7685), which are in no block body.
    async fn full_block(&self, number: u64) -> Result<Option<SealedBlock>, EngineError>;

    /// `engine_forkchoiceUpdated`: sets head, safe and finalized block, and with `attributes` starts a build on top
    /// of the head.
    async fn forkchoice_updated(
        &self,
        state: ForkchoiceState,
        attributes: Option<&PayloadAttributes>,
    ) -> Result<ForkchoiceUpdated, EngineError>;

    /// `engine_getPayload`: the block built so far. `timestamp` is that of the attributes; it decides the version
    /// of the method.
    async fn get_payload(&self, id: &PayloadId, timestamp: u64) -> Result<BuiltPayload, EngineError>;

    /// `engine_newPayload`: executes and stores a block.
    async fn new_payload(&self, block: &SealedBlock) -> Result<PayloadStatus, EngineError>;

    /// `eth_getLogs` for one contract and one event, both block numbers included, in chain order.
    async fn logs(
        &self,
        address: Address,
        topic0: B256,
        from_block: u64,
        to_block: u64,
    ) -> Result<Vec<ClientLog>, EngineError>;

    /// `eth_getTransactionReceipt`; `None` while the transaction is in no canonical block.
    async fn receipt(&self, transaction: B256) -> Result<Option<ClientReceipt>, EngineError>;

    /// `debug_executionWitness` of one block: the JSON text of the result, unmodified.
    ///
    /// # Errors
    /// [`EngineError::NotSupported`] when the client cannot make witnesses.
    async fn execution_witness(&self, number: u64) -> Result<Bytes, EngineError>;

    /// `debug_chainConfig`: the `config` object of the client's genesis.
    ///
    /// # Errors
    /// [`EngineError::NotSupported`] when the client lacks the method.
    async fn chain_config(&self) -> Result<serde_json::Value, EngineError>;
}
