use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use ensemble_messages::{ProofTask, SubmitReply};
use futures::{SinkExt, StreamExt};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::codec::Framed;
use tokio_util::either::Either;

use super::machine::{Action, Machine};
use super::{ClientEvent, ClientReport, ProverClientConfig, ProverError};
use crate::backend::{BackendError, BackendProof, Cancel, ProverBackend};
use crate::protocol::{
    ClientCodec, ClientMessage, FrameLimits, ProtocolError, ServerMessage, decode_input, decode_proofs,
};
use crate::tls::{connector, explain, server_name};

type Line = Either<TcpStream, TlsStream<TcpStream>>;
type Connection = Framed<Line, ClientCodec>;
type Observer = Box<dyn Fn(&ClientEvent) + Send + Sync>;

/// Stack of the proving thread; execution of a batch recurses.
const PROVING_STACK: usize = 32 * 1024 * 1024;

/// Longest wait for the server to close its side.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// A proof in the making; the backend is told to give up when nobody waits for it any more.
struct Proving {
    result: oneshot::Receiver<Result<BackendProof, BackendError>>,
    cancel: Cancel,
}

impl Drop for Proving {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A prover: one connection, one batch at a time.
pub struct ProverClient {
    config: ProverClientConfig,
    backend: Arc<dyn ProverBackend>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    observer: Option<Observer>,
}

impl fmt::Debug for ProverClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProverClient")
            .field("config", &self.config)
            .field("backend", &self.backend.prover_type())
            .finish_non_exhaustive()
    }
}

impl ProverClient {
    /// A client that is not started yet.
    ///
    /// # Errors
    /// [`ProverError::Config`] when a setting cannot work, or the backend makes another kind of proof than the
    /// configuration says; [`ProverError::Tls`] when a certificate or key cannot be used.
    pub fn new(config: ProverClientConfig, backend: Box<dyn ProverBackend>) -> Result<Self, ProverError> {
        config.validate()?;
        let backend: Arc<dyn ProverBackend> = Arc::from(backend);
        if backend.prover_type() != config.prover_type {
            return Err(ProverError::Config {
                key: "prover_type",
                what: format!("`{}`, but the backend makes `{}`", config.prover_type, backend.prover_type()),
            });
        }
        let tls = match &config.tls {
            None => None,
            Some(tls) => {
                let name = server_name(tls, &config.prover_server_endpoint)
                    .map_err(|what| ProverError::Config { key: "tls_server_name", what })?;
                Some((connector(tls)?, name))
            }
        };
        Ok(Self { config, backend, tls, observer: None })
    }

    /// Has `observer` called for each event, on the client's task: it must not block.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&ClientEvent) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Works until `shutdown` is ready: connects (again and again with exponential backoff), asks for work, proves
    /// on a thread of its own with heartbeats meanwhile, hands the proof in, and after a lost connection hands it in
    /// again until the server has answered.
    ///
    /// On shutdown it waits at most `shutdown_grace_ms` for the answer to a finished proof. A proof still in the
    /// making is cancelled; a backend that does not give up at once is left behind.
    ///
    /// # Errors
    /// [`ProverError`] when no retry can help: other protocol version, refused token.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<ClientReport, ProverError> {
        let mut shutdown = pin!(shutdown);
        let mut shell = Shell {
            machine: Machine::new(self.config.clone(), StdRng::from_entropy()),
            start: Instant::now(),
            connection: None,
            buffered: 0,
            proving: None,
            stopping: false,
            client: self,
        };
        loop {
            shell.note_progress();
            let actions = shell.machine.due(shell.now());
            if actions.is_empty() {
                shell.wait(shutdown.as_mut()).await;
            }
            for action in actions {
                if let Some(result) = shell.act(action, shutdown.as_mut()).await {
                    shell.close().await;
                    return result.map(|()| shell.machine.report());
                }
            }
        }
    }
}

struct Shell {
    client: ProverClient,
    machine: Machine,
    start: Instant,
    connection: Option<Connection>,
    /// Bytes of an unfinished frame when last looked at.
    buffered: usize,
    proving: Option<Proving>,
    stopping: bool,
}

impl Shell {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A big answer on a slow line takes longer than the time-out; as long as it grows, it is waited for.
    fn note_progress(&mut self) {
        let buffered = self.connection.as_ref().map_or(0, |c| c.read_buffer().len());
        if buffered > self.buffered {
            self.machine.progress(self.now());
        }
        self.buffered = buffered;
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.machine.stop(self.now());
    }

    /// Closes in order: what was sent last is read by the server only if its own last words do not meet a closed
    /// socket, which would reset the connection.
    async fn close(&mut self) {
        let patience = Duration::from_millis(self.client.config.shutdown_grace_ms).min(CLOSE_PATIENCE);
        if let Some(mut proving) = self.proving.take() {
            proving.cancel.cancel();
            // What it started, a process perhaps, had better not outlive this one.
            if timeout(patience, &mut proving.result).await.is_err() {
                tracing::warn!("the backend does not stop; it is left behind");
            }
        }
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let closing = async {
            connection.close().await?;
            while connection.next().await.transpose()?.is_some() {}
            Ok::<(), ProtocolError>(())
        };
        match timeout(patience, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection did not close in order"),
            Err(_) => tracing::debug!("the server did not close the connection"),
        }
    }

    fn lost(&mut self, reason: String) {
        self.connection = None;
        self.machine.lost(self.now(), reason);
    }

    async fn wait<F: Future<Output = ()>>(&mut self, shutdown: Pin<&mut F>) {
        let wake = self.machine.wake_at().map(|ms| self.start + Duration::from_millis(ms));
        let prover_type = self.client.backend.prover_type();
        tokio::select! {
            biased;
            () = shutdown, if !self.stopping => self.stop(),
            result = proof_of(&mut self.proving) => {
                self.proving = None;
                self.machine.proved(self.now(), prover_type, result);
            }
            message = next_message(&mut self.connection) => match message {
                Some(Ok(message)) => self.machine.received(self.now(), message),
                Some(Err(error)) => self.lost(error.to_string()),
                None => self.lost("the server closed the connection".to_owned()),
            },
            () = sleep_until(wake.unwrap_or(self.start)), if wake.is_some() => {}
        }
    }

    async fn act<F: Future<Output = ()>>(
        &mut self,
        action: Action,
        shutdown: Pin<&mut F>,
    ) -> Option<Result<(), ProverError>> {
        match action {
            Action::Connect => self.connect(shutdown).await,
            Action::Disconnect => self.connection = None,
            Action::Send(message) => self.send(message, shutdown).await,
            Action::Prove { task, input } => self.prove(task, input),
            Action::Cancel => {
                if let Some(proving) = &self.proving {
                    proving.cancel.cancel();
                }
            }
            Action::Emit(event) => self.emit(&event),
            Action::Finish(result) => return Some(result),
        }
        None
    }

    async fn connect<F: Future<Output = ()>>(&mut self, shutdown: Pin<&mut F>) {
        let endpoint = self.client.config.prover_server_endpoint.clone();
        let patience = Duration::from_millis(self.client.config.connect_timeout_ms);
        let connected = tokio::select! {
            biased;
            () = shutdown, if !self.stopping => return self.stop(),
            connected = timeout(patience, line(&endpoint, self.client.tls.as_ref())) => connected,
        };
        match connected {
            Ok(Ok(stream)) => {
                self.connection = Some(Framed::new(stream, ClientCodec::new(FrameLimits::default())));
                self.machine.connected(self.now());
            }
            Ok(Err(reason)) => self.lost(reason),
            Err(_) => self.lost(format!("cannot connect to {endpoint}: no answer within {patience:?}")),
        }
    }

    async fn send<F: Future<Output = ()>>(&mut self, message: ClientMessage, shutdown: Pin<&mut F>) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let is_proof = matches!(message, ClientMessage::Submit { .. });
        let patience = Duration::from_millis(if self.stopping {
            self.client.config.shutdown_grace_ms.min(self.client.config.reply_timeout_ms)
        } else {
            self.client.config.reply_timeout_ms
        });
        let sent = tokio::select! {
            biased;
            sent = timeout(patience, connection.send(message)) => sent,
            () = shutdown, if !self.stopping => {
                self.stop();
                return self.lost("stopped while sending".to_owned());
            }
        };
        match sent {
            Ok(Ok(())) if is_proof => self.machine.submitted(),
            Ok(Ok(())) => {}
            Ok(Err(ProtocolError::FrameTooLarge { len, max })) => {
                self.machine.too_large(self.now(), len, max);
            }
            Ok(Err(error)) => self.lost(error.to_string()),
            Err(_) => self.lost(format!("the server did not read within {patience:?}")),
        }
    }

    /// A thread of its own instead of the runtime's blocking pool: a runtime that is dropped waits for its pool, so
    /// a stop would last as long as the proof.
    fn prove(&mut self, task: ProofTask, input: Vec<u8>) {
        let (done, result) = oneshot::channel();
        let backend = Arc::clone(&self.client.backend);
        let cancel = Cancel::default();
        let proving = Proving { result, cancel: cancel.clone() };
        let job = move || {
            let result = catch_unwind(AssertUnwindSafe(|| prove(backend.as_ref(), task, input, &cancel)))
                .unwrap_or_else(|panic| {
                    Err(BackendError::Failed(format!("it panicked: {}", panic_text(panic.as_ref()))))
                });
            if done.send(result).is_err() {
                tracing::debug!(%task, "the backend ended after the client");
            }
        };
        let spawned = std::thread::Builder::new()
            .name("ensemble-prove".to_owned())
            .stack_size(PROVING_STACK)
            .spawn(job);
        match spawned {
            Ok(_) => self.proving = Some(proving),
            Err(error) => {
                let prover_type = self.client.backend.prover_type();
                let reason = format!("cannot start the proving thread: {error}");
                self.machine.proved(self.now(), prover_type, Err(BackendError::Failed(reason)));
            }
        }
    }

    fn emit(&self, event: &ClientEvent) {
        match event {
            ClientEvent::Connected { session } => {
                tracing::info!(session, server = %self.client.config.prover_server_endpoint, "connected");
            }
            ClientEvent::Disconnected { reason, retry_in_ms } => {
                tracing::warn!(reason = ?reason, retry_in_ms, "no connection to the prover server");
            }
            ClientEvent::Idle { retry_in_ms } => tracing::debug!(retry_in_ms, "no work"),
            ClientEvent::WorkReceived { batch_number, lease, input_bytes } => {
                tracing::info!(batch = batch_number, lease = lease.0, input_bytes, "proving");
            }
            ClientEvent::LeaseLost { batch_number } => {
                tracing::warn!(batch = batch_number, "lease lost; the proof is finished all the same");
            }
            ClientEvent::Cancelled { batch_number } => {
                tracing::info!(batch = batch_number, "another prover was faster; giving up");
            }
            ClientEvent::Proved { batch_number, took_ms } => {
                tracing::info!(batch = batch_number, took_ms, "proved");
            }
            ClientEvent::Joined { first, last, took_ms } => {
                tracing::info!(first, last, took_ms, "made one proof of several");
            }
            ClientEvent::ProofFailed { batch_number, reason, retry_in_ms } => {
                tracing::error!(batch = batch_number, reason = ?reason, retry_in_ms, "no proof");
            }
            ClientEvent::TooLarge { batch_number, bytes, max_bytes } => {
                tracing::error!(
                    batch = batch_number,
                    bytes,
                    max_bytes,
                    "the server does not take so large a proof; it is kept: start the server anew with a larger \
                     prover_server.max_frame_bytes"
                );
            }
            ClientEvent::Submitted { batch_number } => tracing::debug!(batch = batch_number, "proof sent"),
            ClientEvent::Answered { batch_number, reply } => match reply {
                SubmitReply::Accepted => tracing::info!(batch = batch_number, "proof accepted"),
                SubmitReply::Duplicate => {
                    tracing::info!(batch = batch_number, "the server had a proof already");
                }
                SubmitReply::Rejected(rejection) => {
                    let reason = rejection.to_string();
                    tracing::error!(batch = batch_number, reason = ?reason, "proof rejected");
                }
                SubmitReply::RetryLater { retry_after_ms } => {
                    tracing::warn!(
                        batch = batch_number,
                        retry_after_ms,
                        "the server cannot take the proof now"
                    );
                }
            },
        }
        if let Some(observer) = &self.client.observer {
            observer(event);
        }
    }
}

async fn line(endpoint: &str, tls: Option<&(TlsConnector, ServerName<'static>)>) -> Result<Line, String> {
    let stream = TcpStream::connect(endpoint)
        .await
        .map_err(|error| format!("cannot connect to {endpoint}: {error}"))?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    match tls {
        None => Ok(Either::Left(stream)),
        Some((connector, name)) => match connector.connect(name.clone(), stream).await {
            Ok(stream) => Ok(Either::Right(stream)),
            Err(error) => Err(explain(endpoint, &error)),
        },
    }
}

fn prove(
    backend: &dyn ProverBackend,
    task: ProofTask,
    bytes: Vec<u8>,
    cancel: &Cancel,
) -> Result<BackendProof, BackendError> {
    let unusable = |why: String| BackendError::Failed(format!("the input is unusable: {why}"));
    match task {
        ProofTask::Batch { number } => {
            let input = decode_input(&bytes).map_err(|error| unusable(error.to_string()))?;
            drop(bytes);
            if input.parent.number.checked_add(1) != Some(number) {
                let parent = input.parent.number;
                return Err(unusable(format!("offered as batch {number}, its parent is batch {parent}")));
            }
            backend.prove(&input, cancel)
        }
        ProofTask::Join { first, last } => {
            let proofs = decode_proofs(&bytes).map_err(|error| unusable(error.to_string()))?;
            drop(bytes);
            if !proofs.iter().map(|proof| proof.batch_number).eq(first..=last) {
                let count = proofs.len();
                return Err(unusable(format!("offered as {task}, it has {count} proofs, not one of each")));
            }
            backend.join(&proofs)
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

async fn proof_of(proving: &mut Option<Proving>) -> Result<BackendProof, BackendError> {
    match proving {
        Some(proving) => (&mut proving.result).await.unwrap_or_else(|_| {
            Err(BackendError::Failed("the proving thread ended without a result".to_owned()))
        }),
        None => std::future::pending().await,
    }
}

async fn next_message(connection: &mut Option<Connection>) -> Option<Result<ServerMessage, ProtocolError>> {
    match connection {
        Some(connection) => connection.next().await,
        None => std::future::pending().await,
    }
}
