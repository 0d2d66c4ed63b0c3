//! Tests over real TCP: the real client with a backend that signs, through the SystemActor to a real ProofManager.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_primitives::{Address, B256, Bytes};
use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
use ensemble_messages::{BatchProof, LeaseId, LeaseState, ProofReady, ProofTask, ProverType, SubmitReply};
use ensemble_prover::{
    BackendError, BackendProof, Cancel, ClientCodec, ClientEvent, ClientMessage, ClientReport, FrameLimits,
    PROTOCOL_VERSION, ProverBackend, ProverClient, ProverClientConfig, ProverError, RefusalCode,
    ServerMessage,
    attestation::{self, AttestationDomain, AttestationKey},
    protocol::MAGIC,
};
use ensemble_supervision::{
    Backoff, ChildSpec, ComponentState, ComponentStatus, EventKind, Handle, LifecycleEvent, Supervisor,
    SystemHandle, faults,
};
use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Mutex as AsyncMutex, MutexGuard, mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::codec::Framed;

use super::{PROOF_MANAGER, ProverServer, ProverServerConfig, server::CountSessions};
use crate::{
    AttestationCheck, ProofCheck, ProofManager, ProofManagerConfig, ProofManagerOutlets,
    testing::{Bed, L1_CHAIN, LIMIT, next, tap, until},
};

mod fleet;
mod tls;

const SERVER: &str = "prover_server";
const TOKEN: &str = "a token of some length";

/// Components go by fixed names here, and faults are armed by name: one test at a time.
static ALONE: AsyncMutex<()> = AsyncMutex::const_new(());

struct Serving {
    bed: Bed,
    system: SystemHandle,
    server: Handle<ProverServer>,
    address: SocketAddr,
    ready: mpsc::Receiver<ProofReady>,
    life: mpsc::Receiver<LifecycleEvent>,
    /// Header hash of each batch, for the backend.
    headers: Arc<Mutex<BTreeMap<u64, B256>>>,
    /// Bytes that the backend puts behind each proof.
    padding: usize,
    /// What the server is made with when it is started anew.
    config: Arc<Mutex<Arc<ProverServerConfig>>>,
    _alone: MutexGuard<'static, ()>,
}

fn key() -> AttestationKey {
    AttestationKey::from_bytes(&B256::with_last_byte(1).0).unwrap()
}

fn domain() -> AttestationDomain {
    AttestationDomain { l1_chain_id: L1_CHAIN, verifying_contract: Address::repeat_byte(0xaa) }
}

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn config() -> ProverServerConfig {
    ProverServerConfig {
        listen: free_address(),
        tls: None,
        token: Some(TOKEN.to_owned()),
        max_sessions: 64,
        hello_timeout: LIMIT,
        idle_timeout: LIMIT,
        heartbeat: Duration::from_secs(1),
        limits: FrameLimits { client_max: 10_000, ..FrameLimits::default() },
    }
}

async fn serve(config: ProverServerConfig, with_manager: bool) -> Serving {
    serve_with(config, with_manager, |_| {}).await
}

async fn serve_with(
    config: ProverServerConfig,
    with_manager: bool,
    change: impl FnOnce(&mut ProofManagerConfig),
) -> Serving {
    let alone = ALONE.lock().await;
    for name in [SERVER, PROOF_MANAGER] {
        faults::clear(name);
    }
    let bed = Bed::new().await;
    let check = AttestationCheck {
        domain: domain(),
        attesters: BTreeSet::from([key().address()]),
        program_key: bed.services.chain.exec_program_key(),
    };
    let mut manager_config = ProofManagerConfig {
        policy: crate::ProofPolicy::all_of(&[ProverType::Exec]),
        checks: vec![Arc::new(check)],
        lease: LIMIT,
        idle_retry: Duration::from_millis(20),
        max_bad_proofs: 2,
        quarantine: LIMIT,
        max_range: 1,
        retry: crate::RetryPolicy { first_wait: Duration::from_millis(20), ..crate::RetryPolicy::default() },
        max_inputs_bytes: 1_000_000,
        max_input_bytes: 1_000_000,
    };
    change(&mut manager_config);
    let manager_config = Arc::new(manager_config);
    let (proof_ready, ready) = tap();
    let out = Arc::new(ProofManagerOutlets { proof_ready, ..ProofManagerOutlets::default() });
    let services = bed.services.clone();
    let manager = ChildSpec::new(PROOF_MANAGER, move |seat| {
        ProofManager::new(seat, Arc::clone(&manager_config), services.clone(), Arc::clone(&out))
    });

    let (life_tx, life) = mpsc::channel(10_000);
    let events = ensemble_supervision::Outlet::from_fn(move |e: LifecycleEvent| drop(life_tx.try_send(e)));
    let mut builder = Supervisor::builder().subscribe(events);
    if with_manager {
        builder = builder.child(manager.backoff(Backoff::NONE).intensity(u32::MAX, LIMIT));
    }
    let address = config.listen;
    let (config, router) = (Arc::new(Mutex::new(Arc::new(config))), builder.root().outlet());
    let next = Arc::clone(&config);
    let server = ChildSpec::new(SERVER, move |seat| {
        ProverServer::new(seat, Arc::clone(&next.lock().unwrap()), router.clone())
    })
    .backoff(Backoff::NONE)
    .intensity(u32::MAX, LIMIT);
    let handle = server.handle();
    let system = builder.child(server).start().unwrap();
    system.ready().await;
    let (server, headers) = (handle, Arc::default());
    Serving { bed, system, server, address, ready, life, headers, padding: 0, config, _alone: alone }
}

impl Serving {
    async fn batch(&self) -> u64 {
        let batch = self.bed.batch().await;
        self.headers.lock().unwrap().insert(batch.header.number, batch.header.hash());
        batch.header.number
    }

    /// Waits until these batches have their proofs.
    async fn proven(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let stored = || async { self.bed.store().proofs_of(number).await.unwrap().len() == 1 };
            until(&format!("batch {number} is proven"), stored).await;
        }
    }

    /// Connects, also while the server is just being started again.
    async fn connect(&self) -> TcpStream {
        let connecting = async {
            loop {
                if let Ok(socket) = TcpStream::connect(self.address).await {
                    socket.set_nodelay(true).unwrap();
                    return socket;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, connecting).await.expect("a listening server")
    }

    async fn framed(&self) -> Framed<TcpStream, ClientCodec> {
        Framed::new(self.connect().await, ClientCodec::new(FrameLimits::default()))
    }

    async fn sessions(&self) -> usize {
        self.server.call(CountSessions).await.unwrap()
    }

    fn client(&self, name: &str) -> Client {
        self.client_with(name, |_| {})
    }

    fn client_with(&self, name: &str, change: impl FnOnce(&mut ProverClientConfig)) -> Client {
        let mut config = client_config(self.address, name);
        change(&mut config);
        let backend = Signer {
            headers: Arc::clone(&self.headers),
            program: self.bed.services.chain.exec_program_key(),
            padding: self.padding,
        };
        let (tx, events) = mpsc::channel(10_000);
        let client = ProverClient::new(config, Box::new(backend))
            .unwrap()
            .on_event(move |event| drop(tx.try_send(event.clone())));
        let (stop, stopped) = oneshot::channel::<()>();
        let running = actix::spawn(client.run(async move { drop(stopped.await) }));
        Client { running, stop, events }
    }

    fn status(&self, name: &str) -> ComponentStatus {
        self.system.status().into_iter().find(|s| s.name == name).unwrap()
    }

    async fn restarted(&mut self, name: &str) {
        loop {
            let event = next(&mut self.life).await;
            if event.component == name && matches!(event.kind, EventKind::Restarted { .. }) {
                return;
            }
        }
    }
}

fn client_config(address: SocketAddr, name: &str) -> ProverClientConfig {
    ProverClientConfig {
        prover_server_endpoint: address.to_string(),
        proving_time_ms: 20,
        name: name.to_owned(),
        token: Some(TOKEN.to_owned()),
        backoff_initial_ms: 20,
        backoff_max_ms: 200,
        ..ProverClientConfig::default()
    }
}

/// A backend that knows the result and signs it.
struct Signer {
    headers: Arc<Mutex<BTreeMap<u64, B256>>>,
    program: ProgramKey,
    padding: usize,
}

impl ProverBackend for Signer {
    fn prover_type(&self) -> ProverType {
        ProverType::Exec
    }

    fn prove(&self, input: &BatchInput, _: &Cancel) -> Result<BackendProof, BackendError> {
        let to = self.headers.lock().unwrap().get(&(input.parent.number + 1)).copied();
        let to = to.ok_or_else(|| BackendError::Failed("unknown batch".into()))?;
        let public_values = PublicValues { from: input.parent.hash(), to };
        let mut proof = attestation::sign(&key(), &domain(), self.program, &public_values).to_vec();
        proof.resize(proof.len() + self.padding, 7);
        Ok(BackendProof { public_values, program_key: self.program, proof: proof.into() })
    }
}

/// Takes attestations with something behind them: proofs as large as a STARK, without its hours.
#[derive(Debug)]
struct PaddedCheck(AttestationCheck);

impl ProofCheck for PaddedCheck {
    fn prover_type(&self) -> ProverType {
        self.0.prover_type()
    }

    fn program_key(&self) -> ProgramKey {
        self.0.program_key()
    }

    fn check(&self, proof: &BatchProof) -> Result<Bytes, String> {
        let signature = proof.proof.get(..65).ok_or("no attestation")?;
        self.0.check(&BatchProof { proof: Bytes::copy_from_slice(signature), ..proof.clone() })?;
        Ok(proof.proof.clone())
    }
}

struct Client {
    running: JoinHandle<Result<ClientReport, ProverError>>,
    stop: oneshot::Sender<()>,
    events: mpsc::Receiver<ClientEvent>,
}

impl Client {
    async fn wait_for(&mut self, wanted: impl Fn(&ClientEvent) -> bool) {
        while !wanted(&next(&mut self.events).await) {}
    }

    async fn stop(self) -> ClientReport {
        self.stop.send(()).unwrap();
        tokio::time::timeout(LIMIT, self.running).await.unwrap().unwrap().unwrap()
    }
}

fn hello(name: &str) -> ClientMessage {
    ClientMessage::Hello {
        version: PROTOCOL_VERSION,
        prover_type: ProverType::Exec,
        name: name.to_owned(),
        token: Some(TOKEN.to_owned()),
    }
}

async fn answer(connection: &mut Framed<TcpStream, ClientCodec>) -> Option<ServerMessage> {
    tokio::time::timeout(LIMIT, connection.next())
        .await
        .expect("an answer in time")
        .transpose()
        .ok()
        .flatten()
}

/// The server refuses with this code and closes.
async fn refused(mut connection: Framed<TcpStream, ClientCodec>, what: &str) -> (RefusalCode, String) {
    let Some(ServerMessage::Refused { code, reason }) = answer(&mut connection).await else {
        panic!("{what} was not refused")
    };
    assert!(answer(&mut connection).await.is_none(), "{what}: closed after the refusal");
    (code, reason)
}

/// The connection is closed from the other side.
async fn closed(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let read = tokio::time::timeout(LIMIT, socket.read_to_end(&mut rest)).await.expect("closed in time");
    assert!(read.is_err() || rest.len() < 1_024, "{} bytes", rest.len());
}

// --------------------------------------------------------------------------------------------------------- end to end

/// SEQ-INV-6: provers ask, prove and hand in until every batch has its proof.
#[actix::test]
async fn batches_are_proven_end_to_end() {
    let mut serving = serve(config(), true).await;
    let clients = [serving.client("a"), serving.client("b"), serving.client("c")];
    let mut wanted = BTreeSet::new();
    for _ in 0..8 {
        wanted.insert(serving.batch().await);
    }
    serving.proven(wanted.clone()).await;
    assert!(wanted.contains(&next(&mut serving.ready).await.batch_number));
    let mut reports = Vec::new();
    for client in clients {
        reports.push(client.stop().await);
    }
    let accepted: u64 = reports.iter().map(|r| r.accepted).sum();
    // The answer to the last one may have been cut off by the stop.
    let cut = reports.iter().filter(|r| r.unfinished.is_some()).count() as u64;
    assert!(accepted + cut >= 8 && accepted <= 8, "{reports:?}");
    assert!(reports.iter().all(|r| r.rejected + r.duplicates + r.failed + r.leases_lost == 0), "{reports:?}");
    for number in wanted {
        assert_eq!(serving.bed.store().proofs_of(number).await.unwrap().len(), 1);
    }
    until("the sessions have ended", || async { serving.sessions().await == 0 }).await;
    assert!(serving.system.shutdown().await.is_clean());
}

/// SEQ-INV-8: server and manager panic at message after message; the client gets every batch through, once.
#[actix::test]
async fn restarts_in_the_middle_lose_nothing() {
    let mut serving = serve(config(), true).await;
    let client = serving.client("steady");
    for nth in 1..=8 {
        faults::arm(PROOF_MANAGER, nth);
        let number = serving.batch().await;
        serving.restarted(PROOF_MANAGER).await;
        serving.proven([number]).await;
    }
    for round in 0..4 {
        // A connection is a message to the server.
        faults::arm(SERVER, 1);
        let socket = serving.connect().await;
        serving.restarted(SERVER).await;
        drop(socket);
        if round % 2 == 1 {
            serving.system.restart(SERVER).await.unwrap();
            serving.restarted(SERVER).await;
        }
        let number = serving.batch().await;
        serving.proven([number]).await;
        // A newcomer is served as well.
        let newcomer = serving.client("newcomer");
        let number = serving.batch().await;
        serving.proven([number]).await;
        newcomer.stop().await;
    }
    let report = client.stop().await;
    assert_eq!((report.rejected, report.failed), (0, 0), "{report:?}");
    for number in 1..=16 {
        assert_eq!(serving.bed.store().proofs_of(number).await.unwrap().len(), 1, "batch {number}");
    }
    assert!(serving.status(PROOF_MANAGER).failures >= 8);
    assert!(serving.status(SERVER).failures >= 4);
    assert!(serving.system.shutdown().await.is_clean());
}

/// SEQ-INV-6: a proof of 4 MiB and a server that takes 1 MiB: the client learns that before it sends it, the sequencer
/// learns that there is one, and once started anew with a larger limit it gets that same proof.
#[actix::test]
async fn a_large_proof_waits_for_a_server_that_takes_it() {
    const MIB: usize = 1 << 20;
    let limit = |bytes| ProverServerConfig {
        limits: FrameLimits { client_max: bytes, ..FrameLimits::default() },
        ..config()
    };
    let mut small = limit(MIB);
    let mut serving = serve_with(small.clone(), true, |c| {
        let attestation = AttestationCheck {
            domain: domain(),
            attesters: BTreeSet::from([key().address()]),
            program_key: c.checks[0].program_key(),
        };
        c.checks = vec![Arc::new(PaddedCheck(attestation))];
    })
    .await;
    serving.padding = 4 * MIB;
    serving.batch().await;
    let mut client = serving.client("stark");
    client
        .wait_for(|e| matches!(e, ClientEvent::TooLarge { batch_number: 1, bytes, max_bytes: 1_048_576 } if *bytes > 4 << 20))
        .await;
    let told = || async { serving.bed.store().leases().await.unwrap().is_empty() };
    until("the sequencer is told", told).await;
    assert!(serving.bed.store().proofs_of(1).await.unwrap().is_empty());

    small.limits.client_max = 8 * MIB;
    *serving.config.lock().unwrap() = Arc::new(small);
    serving.system.restart(SERVER).await.unwrap();
    serving.proven([1]).await;
    assert_eq!(serving.bed.store().proofs_of(1).await.unwrap()[0].proof.proof.len(), 65 + 4 * MIB);
    let report = client.stop().await;
    let counted = (report.received, report.proved, report.failed, report.accepted);
    assert_eq!(counted, (1, 1, 0, 1), "SEQ-INV-6: made once, handed in once: {report:?}");
    serving.system.shutdown().await;
}

/// A restarted server does not keep the sessions of the one before beside its own: their provers connect anew.
#[actix::test]
async fn a_restart_ends_the_sessions_of_before() {
    let mut serving = serve(config(), true).await;
    let mut connection = serving.framed().await;
    connection.send(hello("a")).await.unwrap();
    assert!(matches!(answer(&mut connection).await, Some(ServerMessage::Welcome { .. })));
    serving.system.restart(SERVER).await.unwrap();
    serving.restarted(SERVER).await;
    assert_eq!(refused(connection, "the session of before").await.0, RefusalCode::ShuttingDown);
    let mut connection = serving.framed().await;
    connection.send(hello("a")).await.unwrap();
    assert!(matches!(answer(&mut connection).await, Some(ServerMessage::Welcome { .. })));
    assert_eq!(serving.sessions().await, 1);
    assert!(serving.system.shutdown().await.is_clean());
}

/// The sessions of a server need nothing of the ProofManager that a restart of it would make stale: connection, lease and
/// proof outlive it. So the server does not depend on it.
#[actix::test]
async fn a_session_outlives_the_manager() {
    let mut serving = serve(config(), true).await;
    let number = serving.batch().await;
    let mut connection = serving.framed().await;
    connection.send(hello("a")).await.unwrap();
    assert!(matches!(answer(&mut connection).await, Some(ServerMessage::Welcome { .. })));
    connection.send(ClientMessage::RequestWork).await.unwrap();
    let work = match answer(&mut connection).await {
        Some(ServerMessage::Work(work)) => work,
        other => panic!("{other:?}"),
    };
    assert_eq!(work.task, ProofTask::Batch { number });
    serving.system.restart(PROOF_MANAGER).await.unwrap();
    serving.restarted(PROOF_MANAGER).await;
    connection.send(ClientMessage::Heartbeat { lease: work.lease, task: work.task }).await.unwrap();
    assert_eq!(answer(&mut connection).await, Some(ServerMessage::HeartbeatAck { state: LeaseState::Alive }));
    // Nobody else gets its batch.
    let mut other = serving.framed().await;
    other.send(hello("b")).await.unwrap();
    assert!(matches!(answer(&mut other).await, Some(ServerMessage::Welcome { .. })));
    other.send(ClientMessage::RequestWork).await.unwrap();
    assert!(matches!(answer(&mut other).await, Some(ServerMessage::Idle { .. })));
    assert_eq!((serving.sessions().await, serving.status(SERVER).restarts), (2, 0));
    assert!(serving.system.shutdown().await.is_clean());
}

// ---------------------------------------------------------------------------------------------------------- bad peers

/// SEQ-INV-11: whatever a peer says, it is refused in words that it can read, and nobody else notices.
#[actix::test]
async fn bad_talk_is_refused() {
    let serving = serve(config(), true).await;
    let mut good = serving.client("good");
    good.wait_for(|e| matches!(e, ClientEvent::Connected { .. })).await;

    let frame = |payload: &[u8]| [&u32::try_from(payload.len()).unwrap().to_be_bytes(), payload].concat();
    let [v0, v1] = 99_u16.to_be_bytes();
    let wrong_version = frame(&[&MAGIC[..], &[v0, v1], b"whatever comes then"].concat());
    let raw: Vec<(&str, Vec<u8>, RefusalCode)> = vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), RefusalCode::ProtocolViolation),
        ("zeros", vec![0; 64], RefusalCode::ProtocolViolation),
        ("another magic", frame(b"ENSX\0\x01aaaaaaaa"), RefusalCode::ProtocolViolation),
        ("4 GiB", vec![0xff; 4], RefusalCode::ProtocolViolation),
        (
            "a hello that is none",
            frame(&[&MAGIC[..], &PROTOCOL_VERSION.to_be_bytes(), &[0xff; 40]].concat()),
            RefusalCode::ProtocolViolation,
        ),
        ("another version", wrong_version, RefusalCode::WrongVersion),
    ];
    for (what, bytes, wanted) in raw {
        let mut socket = serving.connect().await;
        socket.write_all(&bytes).await.unwrap();
        let connection = Framed::new(socket, ClientCodec::new(FrameLimits::default()));
        let (code, reason) = refused(connection, what).await;
        assert_eq!(code, wanted, "{what}: {reason}");
    }

    // After a good hello.
    let long = vec![0_u8; 10_001];
    let raw: Vec<(&str, Vec<u8>)> = vec![
        ("a frame over the limit", 10_001_u32.to_be_bytes().to_vec()),
        ("a whole frame over the limit", frame(&long)),
        ("nonsense", frame(&[9; 30])),
        ("a length that lies", frame(&[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("an empty frame", frame(&[])),
    ];
    for (what, bytes) in raw {
        let mut connection = serving.framed().await;
        connection.send(hello("bad")).await.unwrap();
        assert!(matches!(answer(&mut connection).await, Some(ServerMessage::Welcome { .. })), "{what}");
        connection.get_mut().write_all(&bytes).await.unwrap();
        let (code, reason) = refused(connection, what).await;
        assert_eq!(code, RefusalCode::ProtocolViolation, "{what}: {reason}");
    }
    let mut connection = serving.framed().await;
    connection.send(hello("twice")).await.unwrap();
    answer(&mut connection).await;
    connection.send(hello("twice")).await.unwrap();
    assert_eq!(refused(connection, "a second hello").await.0, RefusalCode::ProtocolViolation);
    let mut connection = serving.framed().await;
    connection.send(ClientMessage::RequestWork).await.unwrap();
    assert_eq!(refused(connection, "no hello").await.0, RefusalCode::ProtocolViolation);

    // Cut off in the middle of a frame.
    let mut socket = serving.connect().await;
    socket.write_all(&[0, 0, 0, 40, b'E', b'N']).await.unwrap();
    drop(socket);

    until("only the good one is left", || async { serving.sessions().await == 1 }).await;
    let number = serving.batch().await;
    serving.proven([number]).await;
    assert_eq!(good.stop().await.sessions, 1, "it never lost its connection");
    assert_eq!(serving.status(SERVER).restarts, 0);
    assert!(serving.system.shutdown().await.is_clean());
}

/// A prover without the right token, of another kind, or in quarantine is told so.
#[actix::test]
async fn unwanted_provers_are_turned_away() {
    let serving = serve(config(), true).await;
    for token in [None, Some("guess".to_owned()), Some(String::new())] {
        let mut connection = serving.framed().await;
        let ClientMessage::Hello { version, prover_type, name, .. } = hello("x") else { unreachable!() };
        connection.send(ClientMessage::Hello { version, prover_type, name, token }).await.unwrap();
        let (code, reason) = refused(connection, "a wrong token").await;
        assert_eq!(code, RefusalCode::Unauthorized);
        assert!(!reason.contains(TOKEN), "{reason}");
    }
    let mut connection = serving.framed().await;
    let other = ClientMessage::Hello {
        version: PROTOCOL_VERSION,
        prover_type: ProverType::Sp1,
        name: "x".into(),
        token: Some(TOKEN.to_owned()),
    };
    connection.send(other).await.unwrap();
    let (code, reason) = refused(connection, "another kind").await;
    assert_eq!(code, RefusalCode::NotWanted, "{reason}");
    assert!(reason.contains("sp1"), "{reason}");

    // The client gives up for good, with what to do.
    let mut config = client_config(serving.address, "x");
    config.token = None;
    let backend = Signer { headers: Arc::default(), program: ProgramKey(B256::ZERO), padding: 0 };
    let client = ProverClient::new(config, Box::new(backend)).unwrap();
    let error = tokio::time::timeout(LIMIT, client.run(std::future::pending())).await.unwrap().unwrap_err();
    assert!(matches!(error, ProverError::Unauthorized { .. }), "{error}");

    // Bad proofs lead to quarantine.
    let number = serving.batch().await;
    let mut connection = serving.framed().await;
    connection.send(hello("liar")).await.unwrap();
    assert!(matches!(answer(&mut connection).await, Some(ServerMessage::Welcome { .. })));
    let proof = ensemble_messages::BatchProof {
        prover_type: ProverType::Exec,
        batch_number: number,
        public_values: PublicValues { from: B256::ZERO, to: B256::ZERO },
        program_key: ProgramKey(B256::ZERO),
        proof: Bytes::from_static(&[1; 65]),
    };
    for _ in 0..2 {
        connection.send(ClientMessage::Submit { lease: LeaseId(1), proof: proof.clone() }).await.unwrap();
        let reply = answer(&mut connection).await;
        let Some(ServerMessage::SubmitAck { lease, reply }) = reply else { panic!("{reply:?}") };
        assert_eq!(lease, LeaseId(1));
        assert!(matches!(reply, SubmitReply::Rejected(_)), "{reply:?}");
    }
    connection.send(ClientMessage::RequestWork).await.unwrap();
    assert_eq!(refused(connection, "a liar").await.0, RefusalCode::Quarantined);
    until("nobody is left", || async { serving.sessions().await == 0 }).await;
    assert!(serving.system.shutdown().await.is_clean());
}

/// SEQ-INV-11: a thousand silent connections take no more places than there are, and keep no prover out.
#[actix::test]
async fn silent_connections_keep_nobody_out() {
    let serving = serve(config(), true).await;
    let mut silent = Vec::new();
    for n in 0..1_000 {
        silent.push(serving.connect().await);
        if n % 100 == 0 {
            assert!(serving.sessions().await <= 64);
        }
        // The first ones were turned away by now; their end is free for the next.
        if silent.len() > 300 {
            closed(&mut silent.remove(0)).await;
        }
    }
    let mut client = serving.client("good");
    client.wait_for(|e| matches!(e, ClientEvent::Connected { .. })).await;
    let first = serving.batch().await;
    serving.proven([first]).await;
    assert!(serving.sessions().await <= 64);
    // More of them while it works: it keeps its place.
    for _ in 0..200 {
        silent.push(serving.connect().await);
    }
    let second = serving.batch().await;
    serving.proven([second]).await;
    let report = client.stop().await;
    assert_eq!((report.sessions, report.rejected), (1, 0), "{report:?}");
    drop(silent);
    until("all have ended", || async { serving.sessions().await == 0 }).await;
    assert_eq!(serving.status(SERVER).restarts, 0);
    assert!(serving.system.shutdown().await.is_clean());
}

/// A frame that comes byte by byte is a frame; one that never ends costs its place after the time for a hello.
#[actix::test]
async fn slow_frames() {
    let serving = serve(ProverServerConfig { hello_timeout: Duration::from_secs(2), ..config() }, true).await;
    let mut bytes = bytes::BytesMut::new();
    let mut codec = ClientCodec::new(FrameLimits::default());
    tokio_util::codec::Encoder::encode(&mut codec, hello("slow"), &mut bytes).unwrap();
    let mut socket = serving.connect().await;
    for byte in &bytes {
        socket.write_all(&[*byte]).await.unwrap();
        socket.flush().await.unwrap();
    }
    let mut connection = Framed::new(socket, codec);
    assert!(matches!(answer(&mut connection).await, Some(ServerMessage::Welcome { .. })));

    let mut endless = serving.connect().await;
    endless.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    closed(&mut endless).await;
    let mut mute = serving.connect().await;
    closed(&mut mute).await;
    let number = serving.batch().await;
    let client = serving.client("good");
    serving.proven([number]).await;
    client.stop().await;
    assert!(serving.system.shutdown().await.is_clean());
}

/// A known prover that falls silent is let go; its batch is another's once the lease is over.
#[actix::test]
async fn silent_provers_are_let_go() {
    let serving =
        serve(ProverServerConfig { idle_timeout: Duration::from_millis(300), ..config() }, true).await;
    let mut connection = serving.framed().await;
    connection.send(hello("a")).await.unwrap();
    assert!(matches!(answer(&mut connection).await, Some(ServerMessage::Welcome { .. })));
    assert!(answer(&mut connection).await.is_none(), "closed");
    until("its place is free", || async { serving.sessions().await == 0 }).await;
    assert!(serving.system.shutdown().await.is_clean());
}

/// When every place is taken by a known prover a new one is told to come again, and gets a place that becomes free.
#[actix::test]
async fn a_full_server_says_so() {
    let serving = serve(ProverServerConfig { max_sessions: 2, ..config() }, true).await;
    let mut known = Vec::new();
    for name in ["a", "b"] {
        let mut connection = serving.framed().await;
        connection.send(hello(name)).await.unwrap();
        assert!(matches!(answer(&mut connection).await, Some(ServerMessage::Welcome { .. })));
        known.push(connection);
    }
    let mut third = serving.framed().await;
    third.send(hello("c")).await.unwrap();
    assert_eq!(refused(third, "one too many").await.0, RefusalCode::Busy);
    known[0].send(ClientMessage::Goodbye).await.unwrap();
    assert!(answer(&mut known[0]).await.is_none());
    until("a place is free", || async { serving.sessions().await == 1 }).await;
    let mut third = serving.framed().await;
    third.send(hello("c")).await.unwrap();
    assert!(matches!(answer(&mut third).await, Some(ServerMessage::Welcome { .. })));
    assert!(serving.system.shutdown().await.is_clean());
}

/// SEQ-INV-11: connections that are turned away for want of room do not pile up.
#[actix::test]
async fn connections_beyond_the_last_place_are_closed_at_once() {
    let serving = serve(ProverServerConfig { max_sessions: 1, ..config() }, true).await;
    let mut known = serving.framed().await;
    known.send(hello("a")).await.unwrap();
    assert!(matches!(answer(&mut known).await, Some(ServerMessage::Welcome { .. })));
    // They say nothing, and the time for a hello is long.
    for _ in 0..20 {
        let waiting = serving.framed().await;
        assert_eq!(refused(waiting, "no room").await.0, RefusalCode::Busy);
    }
    assert_eq!(serving.sessions().await, 1);
    assert!(serving.system.shutdown().await.is_clean());
}

// ------------------------------------------------------------------------------------------------------------- the rest

/// Without a ProofManager provers are asked to come again.
#[actix::test]
async fn without_a_manager_provers_come_again() {
    let serving = serve(config(), false).await;
    let mut connection = serving.framed().await;
    connection.send(hello("a")).await.unwrap();
    let (code, reason) = refused(connection, "nobody to work for").await;
    assert_eq!(code, RefusalCode::Busy);
    assert!(reason.contains("proof manager"), "{reason}");
    assert!(serving.system.shutdown().await.is_clean());
}

/// A port that is taken makes it degraded with what to change; it goes on when the port is free.
#[actix::test]
async fn a_taken_port_is_reported_and_tried_again() {
    let config = config();
    let taken = std::net::TcpListener::bind(config.listen).unwrap();
    let serving = serve(config, true).await;
    until("degraded", || async { matches!(serving.status(SERVER).state, ComponentState::Degraded(_)) }).await;
    let ComponentState::Degraded(reason) = serving.status(SERVER).state else {
        panic!("it recovered by itself")
    };
    assert!(reason.contains("prover_server.listen_ip or listen_port"), "{reason}");
    drop(taken);
    let number = serving.batch().await;
    let client = serving.client("a");
    serving.proven([number]).await;
    client.stop().await;
    assert_eq!((serving.status(SERVER).restarts, serving.status(SERVER).state), (0, ComponentState::Running));
    assert!(serving.system.shutdown().await.is_clean());
}

/// SEQ-INV-12.
#[test]
fn the_token_is_not_shown() {
    let text = format!("{:?}", config());
    assert!(!text.contains(TOKEN) && text.contains("***"), "{text}");
}
