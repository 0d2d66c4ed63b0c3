//! The execution client, run inside this process on a runtime of its own.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ethrex_blockchain::{Blockchain, BlockchainOptions};
use ethrex_common::H256;
use ethrex_p2p::network::P2PContext;
use ethrex_p2p::peer_handler::PeerHandler;
use ethrex_p2p::peer_table::PeerTableServer;
use ethrex_p2p::rlpx::initiator::{RLPxInitiator, RlpxInitiatorProtocol as _};
use ethrex_p2p::sync::SyncMode;
use ethrex_p2p::sync_manager::SyncManager;
use ethrex_p2p::types::{NetworkConfig, Node, NodeRecord};
use ethrex_p2p::utils::public_key_from_signing_key;
use ethrex_rpc::utils::RpcRequest;
use ethrex_rpc::{
    ClientVersion, GasTipEstimator, NodeData, RpcApiContext, RpcNamespace, start_block_executor,
};
use ethrex_storage::{EngineType, Store};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::error::NodeError;
use crate::rpc::{Dispatcher, Port};
use crate::{genesis, http};

/// The execution client recurses deeply: in a debug build a blob transaction overflows the usual 2 MiB.
const STACK_BYTES: usize = 16 << 20;
/// Time for requests in flight to end at shutdown.
const GRACE: Duration = Duration::from_secs(2);
/// Time for everything to end at shutdown.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(8);

/// Settings of an [`EmbeddedNode`].
#[derive(Clone)]
pub struct NodeConfig {
    /// Genesis JSON ([`crate::GenesisBuilder`]).
    pub genesis: Value,
    /// Address of the public JSON-RPC port; port 0 picks a free one.
    pub http_addr: SocketAddr,
    /// Address of the Engine API port; port 0 picks a free one.
    pub auth_addr: SocketAddr,
    /// Secret of the Engine API port.
    pub jwt_secret: [u8; 32],
    /// Gas limit that the node's block building aims at; give the genesis the same.
    pub gas_limit: u64,
    /// Name in logs and threads, such as `l1` or `l2`.
    pub label: String,
    /// Most blocks that one `eth_getLogs` may span.
    pub max_log_blocks: u64,
}

impl NodeConfig {
    /// A node on free ports of the loopback interface, with the genesis' gas limit.
    ///
    /// # Errors
    /// [`NodeError::Genesis`] when the JSON is not a genesis.
    pub fn local(label: &str, genesis: Value, jwt_secret: [u8; 32]) -> Result<Self, NodeError> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self {
            gas_limit: genesis::genesis_summary(&genesis)?.gas_limit,
            genesis,
            http_addr: any_port,
            auth_addr: any_port,
            jwt_secret,
            label: label.to_owned(),
            max_log_blocks: 10_000,
        })
    }
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConfig")
            .field("label", &self.label)
            .field("http_addr", &self.http_addr)
            .field("auth_addr", &self.auth_addr)
            .field("gas_limit", &self.gas_limit)
            .field("max_log_blocks", &self.max_log_blocks)
            .finish_non_exhaustive()
    }
}

/// Starts execution clients inside this process.
#[derive(Debug)]
pub struct EmbeddedNode;

impl EmbeddedNode {
    /// Starts a node and waits until it serves. May be called from any async context: the node has its own
    /// threads and runtime. Its chain lives in memory.
    ///
    /// # Errors
    /// When the genesis is invalid, a port is taken, or the client does not start.
    pub async fn start(config: NodeConfig) -> Result<NodeHandle, NodeError> {
        let (open, gate) = oneshot::channel();
        let node = Self::start_closed(config, gate).await?;
        open_ports(&node, open)?;
        Ok(node)
    }

    /// As [`Self::start`], but nobody is served over HTTP before `gate` opens ([`open_ports`]): whoever connects
    /// waits. The ports are taken at once.
    pub(crate) async fn start_closed(
        config: NodeConfig,
        gate: oneshot::Receiver<()>,
    ) -> Result<NodeHandle, NodeError> {
        let label = config.label.clone();
        let cancel = CancellationToken::new();
        let (ready_tx, ready_rx) = oneshot::channel();
        let (stopped_tx, stopped_rx) = watch::channel(false);
        let token = cancel.clone();
        std::thread::Builder::new()
            .name(format!("{label}-node"))
            .stack_size(STACK_BYTES)
            .spawn(move || {
                run(config, token, gate, ready_tx);
                stopped_tx.send_replace(true);
            })
            .map_err(|source| NodeError::Spawn { what: "the node's thread", source })?;
        let running = ready_rx.await.map_err(|_| NodeError::Stopped { label: label.clone() })??;
        info!(node = label, http = %running.http_addr, engine = %running.auth_addr, "execution node started");
        Ok(NodeHandle { label, cancel, stopped: stopped_rx, running })
    }
}

#[derive(Debug)]
struct Running {
    http_addr: SocketAddr,
    auth_addr: SocketAddr,
    runtime: Handle,
    dispatcher: Dispatcher,
    /// What shutdown waits for.
    tasks: TaskTracker,
}

/// A running node. Dropping it stops the node without waiting.
#[derive(Debug)]
pub struct NodeHandle {
    label: String,
    cancel: CancellationToken,
    stopped: watch::Receiver<bool>,
    running: Running,
}

impl NodeHandle {
    /// URL of the public JSON-RPC port.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.running.http_addr)
    }

    /// URL of the Engine API port.
    #[must_use]
    pub fn auth_url(&self) -> String {
        format!("http://{}", self.running.auth_addr)
    }

    /// Address of the public JSON-RPC port.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.running.http_addr
    }

    /// Address of the Engine API port.
    #[must_use]
    pub fn auth_addr(&self) -> SocketAddr {
        self.running.auth_addr
    }

    /// Calls a method in process, without HTTP. Serves the methods of both ports, so `engine_*` too.
    ///
    /// # Errors
    /// [`NodeError::Rpc`] with the node's error answer, [`NodeError::Stopped`] when it has stopped.
    pub async fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, NodeError> {
        self.caller().call(method, params).await
    }

    /// Waits until the node has stopped, for whatever reason.
    pub async fn stopped(&self) {
        wait(self.stopped.clone()).await;
    }

    /// Stops the node: requests in flight get a moment to end, then everything is dropped.
    ///
    /// # Errors
    /// [`NodeError::ShutdownTimeout`] when that takes longer than 8 seconds.
    pub async fn shutdown(self) -> Result<(), NodeError> {
        self.cancel.cancel();
        let label = self.label.clone();
        tokio::time::timeout(SHUTDOWN_LIMIT, wait(self.stopped.clone()))
            .await
            .map_err(|_| NodeError::ShutdownTimeout { label })
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller {
            label: self.label.clone(),
            runtime: self.running.runtime.clone(),
            dispatcher: self.running.dispatcher.clone(),
        }
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.running.runtime
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.running.tasks
    }

    pub(crate) fn cancel_token(&self) -> CancellationToken {
        self.cancel.clone()
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    // An error means that the node's thread is gone, so it has stopped too.
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        warn!("the node's thread ended early");
    }
}

/// Calls the node's methods from inside the process.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    label: String,
    runtime: Handle,
    dispatcher: Dispatcher,
}

impl Caller {
    pub(crate) async fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, NodeError> {
        let request = RpcRequest::new(method, Some(params));
        let dispatcher = self.dispatcher.clone();
        let port = if method.starts_with("engine_") { Port::Authenticated } else { Port::Public };
        // On the node's runtime, because the caller's threads have small stacks.
        let answer = self.runtime.spawn(async move { dispatcher.call(port, &request).await }).await;
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => Err(NodeError::Rpc { method: method.to_owned(), code: e.code, message: e.message }),
            Err(e) if e.is_cancelled() => Err(NodeError::Stopped { label: self.label.clone() }),
            Err(e) => Err(NodeError::Rpc {
                method: method.to_owned(),
                code: -32603,
                message: format!("the node failed while it answered: {e}"),
            }),
        }
    }
}

/// Body of the node's thread: owns the runtime, so the runtime is never dropped inside another one.
fn run(
    config: NodeConfig,
    cancel: CancellationToken,
    gate: oneshot::Receiver<()>,
    ready: oneshot::Sender<Result<Running, NodeError>>,
) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name(format!("{}-worker", config.label))
        .thread_stack_size(STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(source) => {
            let failed = NodeError::Spawn { what: "the node's runtime", source };
            if ready.send(Err(failed)).is_err() {
                warn!("nobody waits for the node");
            }
            return;
        }
    };
    let handle = runtime.handle().clone();
    runtime.block_on(async {
        match serve(&config, &handle, gate, &cancel).await {
            Ok(running) => {
                let servers = running.tasks.clone();
                if ready.send(Ok(running)).is_err() {
                    cancel.cancel();
                }
                cancel.cancelled().await;
                servers.close();
                if tokio::time::timeout(GRACE, servers.wait()).await.is_err() {
                    warn!(node = config.label, "requests in flight were dropped at shutdown");
                }
            }
            Err(e) => {
                if ready.send(Err(e)).is_err() {
                    warn!(node = config.label, "nobody waits for the node");
                }
            }
        }
    });
    runtime.shutdown_timeout(GRACE);
    info!(node = config.label, "execution node stopped");
}

async fn serve(
    config: &NodeConfig,
    runtime: &Handle,
    gate: oneshot::Receiver<()>,
    cancel: &CancellationToken,
) -> Result<Running, NodeError> {
    let (http_listener, http_addr) = listen("the public RPC", config.http_addr).await?;
    let (auth_listener, auth_addr) = listen("the Engine API", config.auth_addr).await?;
    let context = start_client(config, cancel).await?;
    let dispatcher = Dispatcher::new(context, config.max_log_blocks);
    let tasks = TaskTracker::new();
    let servers = [
        ("public RPC", http_listener, http::public(dispatcher.clone())),
        ("Engine API", auth_listener, http::engine(dispatcher.clone())),
    ];
    let (tracker, token) = (tasks.clone(), cancel.clone());
    tasks.spawn(async move {
        let opened = tokio::select! {
            opened = gate => opened.is_ok(),
            () = token.cancelled() => false,
        };
        if opened {
            for (name, listener, router) in servers {
                spawn_server(&tracker, name, listener, router, token.clone());
            }
        }
    });
    Ok(Running { http_addr, auth_addr, runtime: runtime.clone(), dispatcher, tasks })
}

/// Lets a node that was started closed serve its ports.
pub(crate) fn open_ports(node: &NodeHandle, gate: oneshot::Sender<()>) -> Result<(), NodeError> {
    gate.send(()).map_err(|()| NodeError::Stopped { label: node.label.clone() })
}

pub(crate) fn spawn_server(
    tasks: &TaskTracker,
    name: &'static str,
    listener: TcpListener,
    router: axum::Router,
    cancel: CancellationToken,
) {
    tasks.spawn(async move {
        let server = axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned());
        if let Err(e) = server.await {
            warn!(server = name, error = %e, "server ended");
        }
    });
}

pub(crate) async fn listen(
    role: &'static str,
    addr: SocketAddr,
) -> Result<(TcpListener, SocketAddr), NodeError> {
    let bind = |source| NodeError::Bind { role, addr, source };
    let listener = TcpListener::bind(addr).await.map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    Ok((listener, bound))
}

/// Starts the client without any peer-to-peer networking: nothing listens, nothing dials.
async fn start_client(config: &NodeConfig, cancel: &CancellationToken) -> Result<RpcApiContext, NodeError> {
    fn client(e: impl fmt::Display) -> NodeError {
        NodeError::Client { reason: e.to_string() }
    }
    let genesis = genesis::parse(&config.genesis)?;
    let mut store = Store::new("", EngineType::InMemory).map_err(client)?;
    store.add_initial_state(genesis).await.map_err(client)?;
    let options = BlockchainOptions { perf_logs_enabled: false, ..BlockchainOptions::default() };
    let blockchain = Arc::new(Blockchain::new(store.clone(), options));
    blockchain.set_synced();

    let signer = secp256k1::SecretKey::new(&mut rand::rngs::OsRng);
    let no_address = std::net::IpAddr::from([127, 0, 0, 1]);
    let node = Node::new(no_address, 0, 0, public_key_from_signing_key(&signer));
    let record = NodeRecord::from_node(&node, 1, &signer).map_err(client)?;
    let table = PeerTableServer::spawn(H256::random(), 0, store.clone());
    let p2p = P2PContext::new(
        node.clone(),
        NetworkConfig::from_node(&node),
        TaskTracker::new(),
        signer,
        table.clone(),
        store.clone(),
        blockchain.clone(),
        "ensemble".into(),
        None,
        600_000,
        600_000.0,
    )
    .map_err(client)?;
    let initiator = RLPxInitiator::spawn(p2p);
    let peers = PeerHandler::new(table, initiator.clone());
    initiator.shutdown().map_err(client)?;
    let syncer = SyncManager::new(
        peers,
        &SyncMode::Full,
        cancel.child_token(),
        blockchain.clone(),
        store.clone(),
        ".".into(),
    )
    .await;
    let version = ClientVersion::new(
        "ethrex".into(),
        "24.0.0".into(),
        "embedded".into(),
        "00000000".into(),
        format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "unknown".into(),
    );
    Ok(RpcApiContext {
        storage: store,
        blockchain: blockchain.clone(),
        active_filters: Default::default(),
        syncer: Some(Arc::new(syncer)),
        peer_handler: None,
        node_data: NodeData {
            jwt_secret: config.jwt_secret.to_vec().into(),
            local_p2p_node: node,
            local_node_record: record,
            client_version: version,
            extra_data: "ensemble".into(),
        },
        gas_tip_estimator: Arc::new(tokio::sync::Mutex::new(GasTipEstimator::new())),
        log_filter_handler: None,
        gas_ceil: config.gas_limit,
        block_worker_channel: start_block_executor(blockchain),
        ws: None,
        allowed_namespaces: Arc::new(HashSet::from([
            RpcNamespace::Eth,
            RpcNamespace::Net,
            RpcNamespace::Web3,
            RpcNamespace::Debug,
            RpcNamespace::Mempool,
        ])),
    })
}
