//! A development L1: an embedded node with a block producer, a blob archive and a journal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U64, U256, keccak256};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::beacon::{self, Archive};
use crate::clock::unix_now;
use crate::embedded::{Caller, EmbeddedNode, NodeConfig, NodeHandle, listen, open_ports, spawn_server};
use crate::error::NodeError;
use crate::genesis::{Fork, GenesisBuilder, GenesisSummary, genesis_summary};
use crate::heads::{Head, Heads};
use crate::journal::{BLOB_LEN, BlockRecord, Journal};

/// Name of the journal in the data folder.
const JOURNAL_FILE: &str = "blocks.journal";
/// Ether that each development account gets in the default genesis.
const DEV_BALANCE_ETHER: u64 = 1_000_000;
/// Longest reorg that can be asked for.
const MAX_REORG: u64 = 64;

/// Settings of a [`DevL1`].
#[derive(Clone, Debug)]
pub struct DevL1Config {
    /// Genesis JSON, Prague or Osaka.
    pub genesis: Value,
    /// Time between blocks; zero: only when asked ([`DevL1Handle::mine_now`]). Block times are wall clock
    /// seconds, but always later than the parent, so blocks made faster than one a second run ahead.
    pub block_time: Duration,
    /// The block this many blocks behind the head is `safe`. At most `finalized_lag`.
    pub safe_lag: u64,
    /// The block this many blocks behind the head is `finalized`; also the longest reorg possible.
    pub finalized_lag: u64,
    /// Address of the JSON-RPC port; port 0 picks a free one.
    pub http_addr: SocketAddr,
    /// Address of the beacon-style port; port 0 picks a free one.
    pub beacon_addr: SocketAddr,
    /// Folder for the journal; without one the chain ends with the process.
    pub datadir: Option<PathBuf>,
}

impl DevL1Config {
    /// One block a second, `safe` 1 and `finalized` 2 blocks behind, free ports on the loopback interface,
    /// nothing on disk.
    #[must_use]
    pub fn new(genesis: Value) -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            genesis,
            block_time: Duration::from_secs(1),
            safe_lag: 1,
            finalized_lag: 2,
            http_addr: any_port,
            beacon_addr: any_port,
            datadir: None,
        }
    }
}

impl Default for DevL1Config {
    /// [`Self::new`] with an Osaka genesis that funds [`crate::DEV_ACCOUNTS`] with a million ether each.
    fn default() -> Self {
        let ether = U256::from(10u64).pow(U256::from(18u64));
        Self::new(GenesisBuilder::l1().fund_dev_accounts(U256::from(DEV_BALANCE_ETHER) * ether).build())
    }
}

/// A block that the development L1 produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinedBlock {
    /// Height.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
    /// Number of transactions.
    pub transactions: usize,
    /// Number of blobs.
    pub blobs: usize,
}

/// Starts development L1s.
#[derive(Debug)]
pub struct DevL1;

impl DevL1 {
    /// Starts the node, replays the journal if there is one, then starts producing blocks.
    ///
    /// # Errors
    /// When the configuration contradicts itself, a port is taken, or the journal is of another chain,
    /// damaged or in use.
    pub async fn start(config: DevL1Config) -> Result<DevL1Handle, NodeError> {
        if config.safe_lag > config.finalized_lag {
            let reason =
                format!("safe_lag {} is larger than finalized_lag {}", config.safe_lag, config.finalized_lag);
            return Err(NodeError::Config { reason });
        }
        let genesis = genesis_summary(&config.genesis)?;
        let fork = genesis.fork.ok_or_else(|| NodeError::Genesis {
            reason: "the development L1 needs the Prague or the Osaka rules at genesis".to_owned(),
        })?;
        ethrex_crypto::kzg::warm_up_trusted_setup();

        // Nobody else is given the secret: blocks are produced in process.
        let node = NodeConfig {
            http_addr: config.http_addr,
            ..NodeConfig::local("l1", config.genesis.clone(), rand::random())?
        };
        // Nobody sees the chain while it is replayed: that would look like a reorg.
        let (open, gate) = oneshot::channel();
        let node = EmbeddedNode::start_closed(node, gate).await?;
        let journal = match &config.datadir {
            Some(folder) => Some(open_journal(folder.join(JOURNAL_FILE), genesis.block_hash).await?),
            None => None,
        };
        let mut producer = Producer {
            caller: node.caller(),
            fork,
            heads: Heads::new(
                Head { number: 0, hash: genesis.block_hash, timestamp: genesis.timestamp },
                config.safe_lag,
                config.finalized_lag,
            ),
            archive: Archive::new(journal.clone()),
            journal,
        };
        producer.replay().await?;
        open_ports(&node, open)?;

        let beacon_addr = start_beacon(&node, &config, &producer, genesis).await?;
        let (commands, inbox) = mpsc::channel(64);
        let caller = node.caller();
        let token = node.cancel_token();
        node.tasks()
            .spawn_on(async move { producer.run(config.block_time, inbox, token).await }, node.runtime());
        info!(rpc = node.http_url(), beacon = %beacon_addr, "development L1 started");
        Ok(DevL1Handle { node, beacon_addr, commands, caller })
    }
}

async fn start_beacon(
    node: &NodeHandle,
    config: &DevL1Config,
    producer: &Producer,
    genesis: GenesisSummary,
) -> Result<SocketAddr, NodeError> {
    let router = beacon::router(producer.archive.clone(), node.caller(), genesis.timestamp);
    let (addr, tasks, token) = (config.beacon_addr, node.tasks().clone(), node.cancel_token());
    let started = node.runtime().spawn(async move {
        let (listener, bound) = listen("the beacon endpoint", addr).await?;
        spawn_server(&tasks, "beacon endpoint", listener, router, token);
        Ok(bound)
    });
    started.await.map_err(|_| NodeError::Stopped { label: "l1".to_owned() })?
}

/// A running development L1. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct DevL1Handle {
    node: NodeHandle,
    beacon_addr: SocketAddr,
    commands: mpsc::Sender<Command>,
    caller: Caller,
}

impl DevL1Handle {
    /// URL of the JSON-RPC port.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        self.node.http_url()
    }

    /// URL of the beacon-style port: `/eth/v1/beacon/blobs/{block number, block hash, head or finalized}`.
    #[must_use]
    pub fn beacon_url(&self) -> String {
        format!("http://{}", self.beacon_addr)
    }

    /// The node behind it.
    #[must_use]
    pub fn node(&self) -> &NodeHandle {
        &self.node
    }

    /// Calls a JSON-RPC method in process.
    ///
    /// # Errors
    /// See [`NodeHandle::call`].
    pub async fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, NodeError> {
        self.caller.call(method, params).await
    }

    /// Produces a block now, with what the pool holds, and waits for it.
    ///
    /// # Errors
    /// When the node or the journal fails; the chain is then as before.
    pub async fn mine_now(&self) -> Result<MinedBlock, NodeError> {
        self.command(|reply| Command::Mine { reply }).await
    }

    /// As [`Self::mine_now`], but only when the pool holds a transaction; else `None`. For callers that want their
    /// transactions included at once: blocks that nobody needs would only push block times ahead of the clock.
    ///
    /// # Errors
    /// As [`Self::mine_now`].
    pub async fn mine_pending(&self) -> Result<Option<MinedBlock>, NodeError> {
        self.command(|reply| Command::MinePending { reply }).await
    }

    /// Drops the last `depth` blocks and produces `depth + 1` others in their place. Transactions of dropped
    /// blocks do not return to the pool.
    ///
    /// # Errors
    /// [`NodeError::Config`] when that would drop a finalized block; else as [`Self::mine_now`].
    pub async fn reorg(&self, depth: u64) -> Result<Vec<MinedBlock>, NodeError> {
        self.command(|reply| Command::Reorg { from: ReorgFrom::Depth(depth), reply }).await
    }

    /// Drops every block from number `first` on, as [`Self::reorg`] does, whatever is produced meanwhile.
    ///
    /// # Errors
    /// [`NodeError::Config`] when there is no such block or it is finalized; else as [`Self::mine_now`].
    pub async fn reorg_from(&self, first: u64) -> Result<Vec<MinedBlock>, NodeError> {
        self.command(|reply| Command::Reorg { from: ReorgFrom::Block(first), reply }).await
    }

    async fn command<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, NodeError>>) -> Command,
    ) -> Result<T, NodeError> {
        let stopped = || NodeError::Stopped { label: "l1".to_owned() };
        let (reply, answer) = oneshot::channel();
        self.commands.send(make(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Stops production, then the node.
    ///
    /// # Errors
    /// [`NodeError::ShutdownTimeout`] when that takes too long.
    pub async fn shutdown(self) -> Result<(), NodeError> {
        self.node.shutdown().await
    }
}

#[derive(Debug)]
enum Command {
    Mine { reply: oneshot::Sender<Result<MinedBlock, NodeError>> },
    MinePending { reply: oneshot::Sender<Result<Option<MinedBlock>, NodeError>> },
    Reorg { from: ReorgFrom, reply: oneshot::Sender<Result<Vec<MinedBlock>, NodeError>> },
}

/// Where a reorg begins.
#[derive(Clone, Copy, Debug)]
enum ReorgFrom {
    /// This many blocks below the head.
    Depth(u64),
    /// At the block with this number.
    Block(u64),
}

#[derive(Debug)]
struct Producer {
    caller: Caller,
    fork: Fork,
    heads: Heads,
    archive: Archive,
    journal: Option<Arc<Mutex<Journal>>>,
}

/// Part of a payload that the producer looks at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadSummary {
    parent_hash: B256,
    block_hash: B256,
    block_number: U64,
    timestamp: U64,
    transactions: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuiltPayload {
    execution_payload: Value,
    #[serde(default)]
    blobs_bundle: Option<BlobsBundle>,
    #[serde(default)]
    execution_requests: Option<Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
struct BlobsBundle {
    commitments: Vec<alloy_primitives::FixedBytes<48>>,
    blobs: Vec<alloy_primitives::Bytes>,
}

impl Producer {
    async fn run(
        mut self,
        block_time: Duration,
        mut inbox: mpsc::Receiver<Command>,
        stop: tokio_util::sync::CancellationToken,
    ) {
        let automatic = !block_time.is_zero();
        // Never ticks at once: the first block comes one block time after the start.
        let period = if automatic { block_time } else { Duration::from_secs(3600) };
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                command = inbox.recv() => match command {
                    Some(Command::Mine { reply }) => answer(reply, self.produce().await),
                    Some(Command::MinePending { reply }) => answer(reply, self.produce_pending().await),
                    Some(Command::Reorg { from, reply }) => answer(reply, self.reorg(from).await),
                    None => break,
                },
                _ = ticks.tick(), if automatic => match self.produce().await {
                    Ok(block) => debug!(number = block.number, hash = %block.hash, "L1 block"),
                    Err(e) => warn!(error = %e, "no L1 block this time, trying again at the next tick"),
                },
            }
        }
    }

    async fn produce_pending(&mut self) -> Result<Option<MinedBlock>, NodeError> {
        const METHOD: &str = "txpool_status";
        let status = self.caller.call(METHOD, vec![]).await?;
        let pending = status.get("pending").and_then(|n| U64::deserialize(n).ok());
        match pending.ok_or_else(|| unexpected(METHOD, &status))? {
            U64::ZERO => Ok(None),
            _ => self.produce().await.map(Some),
        }
    }

    async fn reorg(&mut self, from: ReorgFrom) -> Result<Vec<MinedBlock>, NodeError> {
        let head = self.heads.head().number;
        let depth = match from {
            ReorgFrom::Depth(depth) => depth,
            ReorgFrom::Block(first) if first > head => {
                let reason = format!("there is no block {first} to drop: the last one is {head}");
                return Err(NodeError::Config { reason });
            }
            ReorgFrom::Block(first) => head - first + 1,
        };
        if depth > MAX_REORG || !self.heads.rewind(depth) {
            let reason = format!("a reorg of {depth} blocks would drop a finalized block");
            return Err(NodeError::Config { reason });
        }
        let mut blocks = Vec::new();
        for _ in 0..=depth {
            blocks.push(self.produce().await?);
        }
        Ok(blocks)
    }

    /// One block: build, validate, make durable, make canonical.
    async fn produce(&mut self) -> Result<MinedBlock, NodeError> {
        let parent = self.heads.head();
        let timestamp = self.heads.next_timestamp(unix_now());
        let mut seed = parent.hash.to_vec();
        seed.extend_from_slice(&timestamp.to_be_bytes());
        let attributes = json!({
            "timestamp": format!("{timestamp:#x}"),
            "prevRandao": keccak256(seed),
            "suggestedFeeRecipient": "0x0000000000000000000000000000000000000000",
            "withdrawals": [],
            "parentBeaconBlockRoot": parent.hash,
        });
        let id = self.fork_choice(attributes).await?;
        let (get_payload, new_payload) = self.methods();
        let built = self.caller.call(get_payload, vec![id]).await?;
        let built: BuiltPayload = serde_json::from_value(built).map_err(|e| unexpected(get_payload, &e))?;
        let bundle = built.blobs_bundle.unwrap_or_default();
        if bundle.blobs.len() != bundle.commitments.len() || bundle.blobs.iter().any(|b| b.len() != BLOB_LEN)
        {
            return Err(unexpected(get_payload, &"a blobs bundle that does not fit together"));
        }
        let record = BlockRecord {
            execution_payload: built.execution_payload,
            versioned_hashes: bundle.commitments.iter().map(|c| versioned_hash(c.as_slice())).collect(),
            parent_beacon_block_root: parent.hash,
            execution_requests: json!(built.execution_requests.unwrap_or_default()),
        };
        let (_, block) = summary(&record, get_payload)?;
        self.insert(new_payload, &record).await?;
        let blobs = bundle.blobs.into_iter().map(|b| b.to_vec()).collect();
        self.keep(block.hash, record, blobs).await?;
        self.advance(block).await?;
        Ok(block)
    }

    /// Fork choice at the present head. With payload attributes, answers the id of the payload being built.
    async fn fork_choice(&self, attributes: Value) -> Result<Value, NodeError> {
        const METHOD: &str = "engine_forkchoiceUpdatedV3";
        let building = !attributes.is_null();
        let [head, safe, finalized] = self.heads.fork_choice();
        let state = json!({
            "headBlockHash": head, "safeBlockHash": safe, "finalizedBlockHash": finalized,
        });
        let answer = self.caller.call(METHOD, vec![state, attributes]).await?;
        if answer.pointer("/payloadStatus/status") != Some(&json!("VALID")) {
            return Err(unexpected(METHOD, &answer));
        }
        match answer.get("payloadId") {
            Some(id) if building && id.is_string() => Ok(id.clone()),
            _ if building => Err(unexpected(METHOD, &format!("no payload id: {answer}"))),
            _ => Ok(Value::Null),
        }
    }

    async fn insert(&self, method: &'static str, record: &BlockRecord) -> Result<(), NodeError> {
        let status = self.caller.call(method, record.clone().into_params()).await?;
        if status.get("status") != Some(&json!("VALID")) {
            return Err(unexpected(method, &status));
        }
        Ok(())
    }

    async fn keep(&self, block: B256, record: BlockRecord, blobs: Vec<Vec<u8>>) -> Result<(), NodeError> {
        let Some(journal) = self.journal.clone() else {
            self.archive.insert_in_memory(block, &record.versioned_hashes, blobs);
            return Ok(());
        };
        let hashes = record.versioned_hashes.clone();
        let written = tokio::task::spawn_blocking(move || {
            journal.lock().unwrap_or_else(PoisonError::into_inner).append(&record, &blobs)
        });
        let first_blob = written.await.map_err(|_| NodeError::Stopped { label: "l1".to_owned() })??;
        self.archive.insert_stored(block, &hashes, first_blob);
        Ok(())
    }

    async fn advance(&mut self, block: MinedBlock) -> Result<(), NodeError> {
        let undo = self.heads.clone();
        self.heads.push(Head { number: block.number, hash: block.hash, timestamp: block.timestamp });
        let outcome = self.fork_choice(Value::Null).await;
        if outcome.is_err() {
            self.heads = undo;
        }
        outcome.map(|_| ())
    }

    /// Puts the journal's blocks into the empty node, in the order in which they were produced.
    async fn replay(&mut self) -> Result<(), NodeError> {
        let Some(journal) = self.journal.clone() else { return Ok(()) };
        let (begin, mut count) = (Instant::now(), 0u64);
        loop {
            let journal = journal.clone();
            let next = tokio::task::spawn_blocking(move || {
                journal.lock().unwrap_or_else(PoisonError::into_inner).read_next()
            });
            let next = next.await.map_err(|_| NodeError::Stopped { label: "l1".to_owned() })??;
            let Some(stored) = next else { break };
            let (_, new_payload) = self.methods();
            let (parent, block) = summary(&stored.record, new_payload)?;
            if !self.heads.rewind_to(parent) {
                return Err(unexpected(new_payload, &format!("block {} has no known parent", block.number)));
            }
            self.insert(new_payload, &stored.record).await?;
            self.archive.insert_stored(block.hash, &stored.record.versioned_hashes, stored.first_blob);
            self.advance(block).await?;
            count += 1;
        }
        if count > 0 {
            let head = self.heads.head();
            let seconds = begin.elapsed().as_secs_f64();
            info!(blocks = count, head = head.number, hash = %head.hash, seconds, "replayed the L1 journal");
        }
        Ok(())
    }

    fn methods(&self) -> (&'static str, &'static str) {
        match self.fork {
            Fork::Prague => ("engine_getPayloadV4", "engine_newPayloadV4"),
            Fork::Osaka => ("engine_getPayloadV5", "engine_newPayloadV4"),
        }
    }
}

async fn open_journal(path: PathBuf, genesis: B256) -> Result<Arc<Mutex<Journal>>, NodeError> {
    let opened = tokio::task::spawn_blocking(move || Journal::open(&path, genesis)).await;
    let journal = opened.map_err(|_| NodeError::Stopped { label: "l1".to_owned() })??;
    Ok(Arc::new(Mutex::new(journal)))
}

fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        debug!("nobody waits for the answer any more");
    }
}

fn unexpected(method: &'static str, reason: &dyn std::fmt::Display) -> NodeError {
    NodeError::UnexpectedAnswer { method, reason: reason.to_string() }
}

/// Parent hash and summary of a block.
fn summary(record: &BlockRecord, method: &'static str) -> Result<(B256, MinedBlock), NodeError> {
    let payload =
        PayloadSummary::deserialize(&record.execution_payload).map_err(|e| unexpected(method, &e))?;
    let block = MinedBlock {
        number: payload.block_number.to(),
        hash: payload.block_hash,
        timestamp: payload.timestamp.to(),
        transactions: payload.transactions.len(),
        blobs: record.versioned_hashes.len(),
    };
    Ok((payload.parent_hash, block))
}

/// EIP-4844 `kzg_to_versioned_hash`.
fn versioned_hash(commitment: &[u8]) -> B256 {
    use ethrex_crypto::Crypto as _;
    let mut hash = ethrex_crypto::NativeCrypto.sha256(commitment);
    hash[0] = 1;
    B256::from(hash)
}
