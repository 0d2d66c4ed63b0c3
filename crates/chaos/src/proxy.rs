//! The proxy's port and its handle.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::serve::Shared;
use crate::target::Target;
use crate::{ChaosError, Fault, FaultPlan, Pattern, Planner, Stats};

/// Commands that wait for the port's task.
const COMMANDS: usize = 64;
/// Connections that the operating system holds until they are accepted.
const BACKLOG: u32 = 1024;
/// What the operating system holds of an answer that the client does not read, in bytes. Connections inherit it. Small, so
/// that [`Stats::bytes_to_clients`] says what a client has read of an enormous answer.
const SEND_BUFFER: u32 = 64 * 1024;
/// How long to wait when the operating system cannot open another connection, or not open the port again.
const RETRY: Duration = Duration::from_millis(20);

/// Starts proxies.
#[derive(Clone, Copy, Debug)]
pub struct ChaosProxy;

impl ChaosProxy {
    /// A proxy on a free port of 127.0.0.1 in front of the node at `target`, an `http` URL. It runs on the tokio runtime
    /// that this is called on, and ends with it or with its handle. The node need not be up yet.
    ///
    /// # Errors
    /// [`ChaosError::InvalidTarget`] when the URL cannot be used, [`ChaosError::Listen`] when there is no port.
    pub async fn start(target: &str, plan: FaultPlan) -> Result<ChaosProxyHandle, ChaosError> {
        let target = Target::parse(target)?;
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = socket.local_addr().map_err(listen_error)?;
        let mut port = Port { address, state: State::Closed(Some(socket)) };
        port.open()?;
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let shared = Arc::new(Shared::new(target, Planner::new(plan), commands.clone()));
        let mut task = JoinSet::new();
        task.spawn(run(port, shared.clone(), receiver));
        Ok(ChaosProxyHandle { address, shared, commands, task })
    }
}

/// A running proxy. Dropping it ends the proxy at once.
pub struct ChaosProxyHandle {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    task: JoinSet<()>,
}

impl fmt::Debug for ChaosProxyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosProxyHandle")
            .field("address", &self.address)
            .field("target", &self.shared.target)
            .finish_non_exhaustive()
    }
}

impl ChaosProxyHandle {
    /// The URL to give to the client in place of the node's.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The proxy's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another plan from the next request on, counted from its beginning. Scripted faults that did not happen yet are
    /// kept; requests that wait stay as they are.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.shared.planner().set_plan(plan);
    }

    /// The next `times` requests of these methods get this fault, whatever the plan says.
    pub fn script(&self, methods: impl Into<Pattern>, times: u64, fault: Fault) {
        self.shared.planner().script(methods, times, fault);
    }

    /// Forgets the scripted faults that did not happen yet.
    pub fn clear_script(&self) {
        self.shared.planner().clear_script();
    }

    /// Scripted faults that did not happen yet.
    #[must_use]
    pub fn scripted(&self) -> u64 {
        self.shared.planner().scripted()
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Closes the port and ends all connections: whoever connects is refused until [`Self::come_up`]. Returns when it
    /// is so. The port stays reserved.
    ///
    /// # Errors
    /// [`ChaosError::Stopped`].
    pub async fn go_down(&self) -> Result<(), ChaosError> {
        self.command(Command::GoDown).await
    }

    /// Opens the port again, also when it is closed by [`Fault::Down`].
    ///
    /// # Errors
    /// [`ChaosError::Stopped`], and [`ChaosError::Listen`] when another process took the port.
    pub async fn come_up(&self) -> Result<(), ChaosError> {
        self.command(Command::ComeUp).await?
    }

    /// Ends the proxy, and returns when its port is closed and every connection has ended.
    pub async fn shutdown(mut self) -> Stats {
        if self.command(Command::Stop).await.is_err() {
            tracing::debug!("the proxy had ended before");
        }
        self.task.shutdown().await;
        self.shared.stats()
    }

    async fn command<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, ChaosError> {
        let (done, wait) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| ChaosError::Stopped)?;
        wait.await.map_err(|_| ChaosError::Stopped)
    }
}

/// What the port's task is told.
#[derive(Debug)]
pub(crate) enum Command {
    GoDown(oneshot::Sender<()>),
    ComeUp(oneshot::Sender<Result<(), ChaosError>>),
    DownFor(Duration),
    Stop(oneshot::Sender<()>),
}

fn listen_error(error: std::io::Error) -> ChaosError {
    ChaosError::Listen { reason: error.to_string() }
}

/// A socket that holds the port and refuses connections, for it does not listen.
fn bound(address: SocketAddr) -> Result<TcpSocket, ChaosError> {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bind().map_err(listen_error)
}

struct Port {
    address: SocketAddr,
    state: State,
}

enum State {
    Open(TcpListener),
    Closed(Option<TcpSocket>),
}

impl Port {
    fn open(&mut self) -> Result<(), ChaosError> {
        if let State::Closed(socket) = &mut self.state {
            let socket = match socket.take() {
                Some(socket) => socket,
                None => bound(self.address)?,
            };
            self.state = State::Open(socket.listen(BACKLOG).map_err(listen_error)?);
        }
        Ok(())
    }

    fn close(&mut self) {
        if matches!(self.state, State::Open(_)) {
            self.state = State::Closed(None);
            match bound(self.address) {
                Ok(socket) => self.state = State::Closed(Some(socket)),
                Err(error) => {
                    tracing::warn!(%error, "the port of the proxy is not reserved while it is down")
                }
            }
        }
    }

    /// The next connection; never while the port is closed.
    async fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr)> {
        match &self.state {
            State::Open(listener) => listener.accept().await,
            State::Closed(_) => std::future::pending().await,
        }
    }
}

/// Ends at this time; never when there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn run(mut port: Port, shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    let mut connections = JoinSet::new();
    // When to open again; `None` also while it is down until further notice.
    let mut open_at = None;
    let mut told_to_be_down = false;
    let reply_is_awaited = |sent: bool| {
        if !sent {
            tracing::debug!("nobody waits for the end of a command");
        }
    };
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::GoDown(done)) => {
                    (told_to_be_down, open_at) = (true, None);
                    port.close();
                    connections.shutdown().await;
                    reply_is_awaited(done.send(()).is_ok());
                }
                Some(Command::ComeUp(done)) => {
                    (told_to_be_down, open_at) = (false, None);
                    reply_is_awaited(done.send(port.open()).is_ok());
                }
                Some(Command::DownFor(time)) => {
                    if !told_to_be_down {
                        open_at = open_at.max(Instant::now().checked_add(time));
                    }
                    port.close();
                    connections.shutdown().await;
                }
                Some(Command::Stop(done)) => {
                    drop(port);
                    connections.shutdown().await;
                    reply_is_awaited(done.send(()).is_ok());
                    return;
                }
                None => return,
            },
            () = at(open_at) => {
                open_at = None;
                if let Err(error) = port.open() {
                    tracing::warn!(%error, "the port of the proxy cannot be opened again yet");
                    open_at = Instant::now().checked_add(RETRY);
                }
            }
            accepted = port.accept() => match accepted {
                Ok((stream, _)) => {
                    shared.count_connection();
                    connections.spawn(serve(stream, shared.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the proxy cannot accept a connection");
                    sleep(RETRY).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!("a connection of the chaos proxy panicked: {error}");
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { shared.answer(request).await }
    });
    // Errors here are faults that were meant, and clients that left.
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::trace!(%error, "a connection of the chaos proxy ended");
    }
}
