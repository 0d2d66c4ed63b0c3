//! The client against a server in the same process, over real TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::disallowed_methods, reason = "each handle is awaited")]

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use bytes::BytesMut;
use ensemble_batch::{BatchHeader, BatchInput, ProgramKey, PublicValues};
use ensemble_messages::{
    BatchProof, FailureKind, LeaseId, LeaseState, PackedInput, ProofRejection, ProofTask, ProverType,
    SubmitReply, Work,
};
use ensemble_prover::protocol::{CHUNK_BYTES, InputPacker, JobOffer, pack_proofs};
use ensemble_prover::{
    BackendError, BackendProof, Cancel, ClientEvent, ClientMessage, ClientReport, FrameLimits,
    PROTOCOL_VERSION, ProverBackend, ProverClient, ProverClientConfig, ProverError, RefusalCode, ServerCodec,
    ServerMessage, join_values,
};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::codec::{Encoder, Framed};

/// Ends a test that hangs; nothing is measured with it.
const GIVE_UP: Duration = Duration::from_secs(60);

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(GIVE_UP, what).await.expect("the test hangs")
}

fn input(batch_number: u64) -> BatchInput {
    let mut parent = BatchHeader::genesis(1, Address::ZERO, 2, B256::ZERO, B256::ZERO);
    parent.number = batch_number - 1;
    BatchInput {
        parent,
        parent_block: 0,
        sealed_at: 1,
        da_payload: Bytes::from_static(b"payload"),
        blobs: vec![],
        witnesses: vec![],
        in_call_data: false,
        chain_config: Bytes::from_static(b"{}"),
    }
}

fn task(number: u64) -> ProofTask {
    ProofTask::Batch { number }
}

fn work(batch_number: u64) -> Work {
    packed(task(batch_number), &input(batch_number))
}

fn packed(task: ProofTask, input: &BatchInput) -> Work {
    let packer = InputPacker::new(input.into(), 0, 1 << 24).unwrap();
    let input = Arc::new(packer.finish(&input.chain_config).unwrap());
    Work { lease: LeaseId(100 + task.last_batch()), task, lease_ms: 60_000, input }
}

fn backend_proof(input: &BatchInput) -> BackendProof {
    BackendProof {
        public_values: PublicValues { from: input.parent.hash(), to: B256::repeat_byte(7) },
        program_key: ProgramKey(B256::repeat_byte(8)),
        proof: Bytes::from_static(b"proof"),
    }
}

fn proof(batch_number: u64) -> BatchProof {
    let BackendProof { public_values, program_key, proof } = backend_proof(&input(batch_number));
    BatchProof { prover_type: ProverType::Exec, batch_number, public_values, program_key, proof }
}

type Prove = Box<dyn Fn(&BatchInput) -> Result<BackendProof, BackendError> + Send + Sync>;

/// Works until it is cancelled; says when.
struct Endless(mpsc::Sender<()>);

impl ProverBackend for Endless {
    fn prover_type(&self) -> ProverType {
        ProverType::Exec
    }

    fn prove(&self, _: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        self.0.send(()).unwrap();
        Err(BackendError::Cancelled)
    }
}

struct TestBackend(Prove);

impl ProverBackend for TestBackend {
    fn prover_type(&self) -> ProverType {
        ProverType::Exec
    }

    fn prove(&self, input: &BatchInput, _: &Cancel) -> Result<BackendProof, BackendError> {
        (self.0)(input)
    }
}

struct Client {
    running: JoinHandle<Result<ClientReport, ProverError>>,
    stop: oneshot::Sender<()>,
    events: Arc<Mutex<Vec<ClientEvent>>>,
}

impl Client {
    async fn until(&self, seen: impl Fn(&ClientEvent) -> bool) {
        within(async {
            while !self.events.lock().unwrap().iter().any(&seen) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn stopped(self) -> (ClientReport, Vec<ClientEvent>) {
        self.stop.send(()).expect("the client runs until it is stopped");
        let report = within(self.running).await.unwrap().unwrap();
        let events = self.events.lock().unwrap().clone();
        (report, events)
    }

    async fn failed(self) -> ProverError {
        within(self.running).await.unwrap().unwrap_err()
    }
}

struct Server(TcpListener);

impl Server {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn client_with(&self, change: impl FnOnce(&mut ProverClientConfig), prove: Prove) -> Client {
        self.client_of(change, Box::new(TestBackend(prove)))
    }

    fn client_of(
        &self,
        change: impl FnOnce(&mut ProverClientConfig),
        backend: Box<dyn ProverBackend>,
    ) -> Client {
        let mut config = ProverClientConfig {
            prover_server_endpoint: self.0.local_addr().unwrap().to_string(),
            proving_time_ms: 10,
            name: "test prover".to_owned(),
            backoff_initial_ms: 10,
            backoff_max_ms: 50,
            ..ProverClientConfig::default()
        };
        change(&mut config);
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let client = ProverClient::new(config, backend)
            .unwrap()
            .on_event(move |event| seen.lock().unwrap().push(event.clone()));
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(client.run(async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Client { running, stop, events }
    }

    fn client(&self) -> Client {
        self.client_with(|_| {}, Box::new(|input| Ok(backend_proof(input))))
    }

    async fn raw(&self) -> TcpStream {
        within(self.0.accept()).await.unwrap().0
    }

    /// Accepts a connection and welcomes the client.
    async fn session(&self, heartbeat_ms: u64) -> Session {
        let mut session = Session(Framed::new(self.raw().await, ServerCodec::default()));
        let hello = ClientMessage::Hello {
            version: PROTOCOL_VERSION,
            prover_type: ProverType::Exec,
            name: "test prover".to_owned(),
            token: None,
        };
        assert_eq!(session.next().await, Some(hello));
        session
            .send(ServerMessage::Welcome {
                version: PROTOCOL_VERSION,
                session: 5,
                heartbeat_ms,
                max_frame_bytes: 1 << 20,
            })
            .await;
        session
    }

    /// The same, and gives the client work.
    async fn working(&self, batch_number: u64, heartbeat_ms: u64) -> Session {
        let mut session = self.session(heartbeat_ms).await;
        assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
        session.give(&work(batch_number)).await;
        session
    }
}

struct Session(Framed<TcpStream, ServerCodec>);

impl Session {
    async fn next(&mut self) -> Option<ClientMessage> {
        within(self.0.next()).await.map(Result::unwrap)
    }

    async fn send(&mut self, message: ServerMessage) {
        within(self.0.send(message)).await.unwrap();
    }

    /// Gives work and serves its input in pieces.
    async fn give(&mut self, work: &Work) {
        self.send(ServerMessage::Work(JobOffer::from(work))).await;
        let (lease, packed) = (work.lease, &work.input.packed);
        let mut offset = 0;
        while offset < packed.len() {
            let asked = ClientMessage::Fetch { lease, offset: offset as u64 };
            assert_eq!(self.next().await, Some(asked));
            let end = packed.len().min(offset + CHUNK_BYTES);
            let data = packed.slice(offset..end);
            self.send(ServerMessage::Chunk { lease, offset: offset as u64, data }).await;
            offset = end;
        }
    }

    /// The next message that is no heartbeat.
    async fn word(&mut self) -> Option<ClientMessage> {
        loop {
            match self.next().await {
                Some(ClientMessage::Heartbeat { .. }) => {
                    self.send(ServerMessage::HeartbeatAck { state: LeaseState::Alive }).await;
                }
                other => return other,
            }
        }
    }

    async fn expect_submit(&mut self, batch_number: u64) {
        let expected =
            ClientMessage::Submit { lease: LeaseId(100 + batch_number), proof: proof(batch_number) };
        assert_eq!(self.word().await, Some(expected));
    }

    async fn answer(&mut self, batch_number: u64, reply: SubmitReply) {
        self.send(ServerMessage::SubmitAck { lease: LeaseId(100 + batch_number), reply }).await;
    }

    /// Answers requests for work by idle until the client leaves in order.
    async fn expect_goodbye(mut self) {
        loop {
            match self.next().await {
                Some(ClientMessage::RequestWork) => {
                    // the client may stop while this is on its way
                    match self.0.send(ServerMessage::Idle { retry_after_ms: 10 }).await {
                        Ok(()) | Err(_) => {}
                    }
                }
                Some(ClientMessage::Goodbye) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(within(self.0.next()).await.map(|r| r.is_ok()), None, "nothing after goodbye");
    }
}

#[tokio::test]
async fn proves_one_batch_after_another() {
    let server = Server::start().await;
    let client = server.client();
    let mut session = server.working(1, 5000).await;
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::Accepted).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    session.give(&work(2)).await;
    session.expect_submit(2).await;
    session.answer(2, SubmitReply::Duplicate).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    session.send(ServerMessage::Idle { retry_after_ms: 10 }).await;

    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    let (report, events) = stopped;
    let expected = ClientReport {
        sessions: 1,
        received: 2,
        proved: 2,
        submitted: 2,
        accepted: 1,
        duplicates: 1,
        ..ClientReport::default()
    };
    assert_eq!(report, expected);
    assert_eq!(events[0], ClientEvent::Connected { session: 5 });
    assert!(events.contains(&ClientEvent::Answered { batch_number: 1, reply: SubmitReply::Accepted }));
}

#[tokio::test]
async fn polls_while_there_is_no_work() {
    let server = Server::start().await;
    let client = server.client();
    let mut session = server.session(5000).await;
    for _ in 0..3 {
        assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
        session.send(ServerMessage::Idle { retry_after_ms: 1 }).await;
    }
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    session.give(&work(1)).await;
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::Accepted).await;
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    let (report, events) = stopped;
    assert_eq!(report.accepted, 1);
    assert!(events.contains(&ClientEvent::Idle { retry_in_ms: 10 }), "{events:?}");
}

/// SEQ-INV-6, client's side: no answer, no end of trying; once per connection.
#[tokio::test]
async fn hands_a_proof_in_again_when_the_server_dies_before_the_answer() {
    let server = Server::start().await;
    let proofs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&proofs);
    let client = server.client_with(
        |_| {},
        Box::new(move |input| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(backend_proof(input))
        }),
    );
    let mut session = server.working(1, 5000).await;
    session.expect_submit(1).await;
    drop(session);
    for _ in 0..2 {
        let mut session = server.session(5000).await;
        session.expect_submit(1).await;
        drop(session);
    }
    let mut session = server.session(5000).await;
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::Accepted).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork), "not handed in twice");
    session.send(ServerMessage::Idle { retry_after_ms: 10 }).await;
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    let (report, _) = stopped;
    assert_eq!((report.sessions, report.submitted, report.accepted), (4, 4, 1));
    assert_eq!(proofs.load(Ordering::SeqCst), 1, "proven once");
}

#[tokio::test]
async fn hands_a_proof_in_again_when_asked_to() {
    let server = Server::start().await;
    let client = server.client();
    let mut session = server.working(1, 5000).await;
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::RetryLater { retry_after_ms: 1 }).await;
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::Accepted).await;
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    assert_eq!((stopped.0.proved, stopped.0.submitted, stopped.0.accepted), (1, 2, 1));
}

#[tokio::test]
async fn sends_heartbeats_during_a_slow_proof() {
    let server = Server::start().await;
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let client = server.client_with(
        |_| {},
        Box::new(move |input| {
            held.lock().unwrap().recv_timeout(GIVE_UP).unwrap();
            Ok(backend_proof(input))
        }),
    );
    let mut session = server.working(1, 10).await;
    for _ in 0..3 {
        assert_eq!(
            session.next().await,
            Some(ClientMessage::Heartbeat { lease: LeaseId(101), task: task(1) })
        );
        session.send(ServerMessage::HeartbeatAck { state: LeaseState::Alive }).await;
    }
    release.send(()).unwrap();
    loop {
        match session.next().await {
            Some(ClientMessage::Heartbeat { .. }) => {
                session.send(ServerMessage::HeartbeatAck { state: LeaseState::Alive }).await;
            }
            Some(ClientMessage::Submit { proof: got, .. }) => {
                assert_eq!(got, proof(1));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    session.answer(1, SubmitReply::Accepted).await;
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    assert_eq!((stopped.0.accepted, stopped.0.leases_lost), (1, 0));
}

#[tokio::test]
async fn keeps_proving_over_a_restart_of_the_server() {
    let server = Server::start().await;
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let client = server.client_with(
        |_| {},
        Box::new(move |input| {
            held.lock().unwrap().recv_timeout(GIVE_UP).unwrap();
            Ok(backend_proof(input))
        }),
    );
    drop(server.working(1, 5000).await);
    let mut session = server.session(5000).await;
    assert_eq!(session.next().await, Some(ClientMessage::Heartbeat { lease: LeaseId(101), task: task(1) }));
    session.send(ServerMessage::HeartbeatAck { state: LeaseState::Lost }).await;
    client.until(|event| *event == ClientEvent::LeaseLost { batch_number: 1 }).await;
    release.send(()).unwrap();
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::Accepted).await;
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    assert_eq!((stopped.0.accepted, stopped.0.leases_lost), (1, 1));
}

/// Another prover was faster: the backend is stopped, and then the client asks for the next batch. So it is when the
/// client is stopped.
#[tokio::test]
async fn vain_work_is_given_up() {
    let server = Server::start().await;
    let (gave_up, given_up) = mpsc::channel();
    let client = server.client_of(|_| {}, Box::new(Endless(gave_up)));
    let mut session = server.working(1, 10).await;
    assert_eq!(session.next().await, Some(ClientMessage::Heartbeat { lease: LeaseId(101), task: task(1) }));
    session.send(ServerMessage::HeartbeatAck { state: LeaseState::Done }).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    given_up.try_recv().expect("the backend had ended before");
    session.give(&work(2)).await;
    assert!(matches!(session.next().await, Some(ClientMessage::Heartbeat { .. })));
    session.send(ServerMessage::HeartbeatAck { state: LeaseState::Alive }).await;
    let (report, events) = client.stopped().await;
    given_up.try_recv().expect("the backend has ended with the client");
    assert_eq!((report.cancelled, report.failed, report.unfinished), (1, 0, Some(2)));
    assert!(events.contains(&ClientEvent::Cancelled { batch_number: 1 }));
}

#[tokio::test]
async fn goes_on_after_a_rejected_proof() {
    let server = Server::start().await;
    let client = server.client();
    let mut session = server.working(1, 5000).await;
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::Rejected(ProofRejection::NotWanted)).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork), "not handed in again");
    session.give(&work(2)).await;
    session.expect_submit(2).await;
    session.answer(2, SubmitReply::Accepted).await;
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    assert_eq!((stopped.0.rejected, stopped.0.accepted), (1, 1));
}

/// Makes one proof of several; proves nothing.
struct Joiner;

impl ProverBackend for Joiner {
    fn prover_type(&self) -> ProverType {
        ProverType::Exec
    }

    fn prove(&self, _: &BatchInput, _: &Cancel) -> Result<BackendProof, BackendError> {
        Err(BackendError::Failed("it only joins".to_owned()))
    }

    fn join(&self, proofs: &[BatchProof]) -> Result<BackendProof, BackendError> {
        let (program_key, public_values) = join_values(ProverType::Exec, proofs)?;
        let proof = Bytes::from(format!("{} proofs", proofs.len()).into_bytes());
        Ok(BackendProof { public_values, program_key, proof })
    }
}

/// The proofs of a range are fetched like any input and one proof of them is handed in; proofs that are not those of
/// the range, or that the backend does not join, end the lease.
#[tokio::test]
async fn makes_one_proof_of_several() {
    let word = B256::repeat_byte;
    let of = |number: u8| BatchProof {
        batch_number: number.into(),
        public_values: PublicValues { from: word(number - 1), to: word(number) },
        ..proof(7)
    };
    let joining = |first: u64, last: u64, proofs: &[BatchProof]| {
        let input = Arc::new(pack_proofs(proofs, 1 << 20).unwrap());
        Work { lease: LeaseId(100 + last), task: ProofTask::Join { first, last }, lease_ms: 60_000, input }
    };
    let server = Server::start().await;
    let client = server.client_of(|_| {}, Box::new(Joiner));
    let mut session = server.session(5_000).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    session.give(&joining(3, 5, &[of(3), of(4), of(5)])).await;
    let expected = BatchProof {
        public_values: PublicValues { from: word(2), to: word(5) },
        proof: Bytes::from_static(b"3 proofs"),
        ..of(5)
    };
    assert_eq!(session.word().await, Some(ClientMessage::Submit { lease: LeaseId(105), proof: expected }));
    session.answer(5, SubmitReply::Accepted).await;
    for (proofs, kind, why) in [
        (vec![of(3), of(5)], FailureKind::Failed, "batches 3 to 5"),
        (vec![of(4), of(3), of(5)], FailureKind::Failed, "batches 3 to 5"),
        (vec![of(3), BatchProof { batch_number: 4, ..of(9) }, of(5)], FailureKind::Refused, "does not begin"),
    ] {
        assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
        session.give(&joining(3, 5, &proofs)).await;
        match session.word().await {
            Some(ClientMessage::Failed { lease: LeaseId(105), kind: told, reason }) => {
                assert!(told == kind && reason.contains(why), "{told}: {reason}");
            }
            other => panic!("{other:?}"),
        }
        session.send(ServerMessage::FailedAck { taken: true }).await;
    }
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    let (report, events) = stopped;
    assert_eq!((report.received, report.proved, report.accepted, report.failed), (4, 1, 1, 3), "{report:?}");
    assert!(events.iter().any(|e| matches!(e, ClientEvent::Joined { first: 3, last: 5, .. })), "{events:?}");
}

#[tokio::test]
async fn a_server_of_another_version_is_final() {
    let server = Server::start().await;
    let client = server.client();
    let mut stream = server.raw().await;
    let mut header = [0u8; 10];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header[4..], *b"ENSB\x00\x04");
    // Refused as version 5 writes it, with something behind the reason that version 4 does not know
    let reason = b"this is version 5";
    let mut frame = vec![0, 0, 0, 10 + reason.len() as u8 + 3];
    frame.extend_from_slice(b"ENSB\x00\x05\x01\x01\x00");
    frame.push(reason.len() as u8);
    frame.extend_from_slice(reason);
    frame.extend_from_slice(&[1, 2, 3]);
    stream.write_all(&frame).await.unwrap();
    let error = client.failed().await;
    assert_eq!(error, ProverError::WrongVersion { reason: "this is version 5".to_owned() });
}

#[tokio::test]
async fn a_refused_token_is_final() {
    let server = Server::start().await;
    let client = server
        .client_with(|c| c.token = Some("guess".to_owned()), Box::new(|input| Ok(backend_proof(input))));
    let mut session = Session(Framed::new(server.raw().await, ServerCodec::default()));
    match session.next().await {
        Some(ClientMessage::Hello { token: Some(token), .. }) => assert_eq!(token, "guess"),
        other => panic!("{other:?}"),
    }
    let reason = "wrong token".to_owned();
    session.send(ServerMessage::Refused { code: RefusalCode::Unauthorized, reason: reason.clone() }).await;
    assert_eq!(client.failed().await, ProverError::Unauthorized { reason });
}

#[tokio::test]
async fn a_busy_server_is_tried_again() {
    let server = Server::start().await;
    let client = server.client();
    for code in [RefusalCode::Busy, RefusalCode::NotWanted] {
        let mut session = Session(Framed::new(server.raw().await, ServerCodec::default()));
        assert!(matches!(session.next().await, Some(ClientMessage::Hello { .. })));
        session.send(ServerMessage::Refused { code, reason: "not now".to_owned() }).await;
    }
    let mut session = server.session(5000).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    assert_eq!(stopped.0.sessions, 1);
}

/// SEQ-INV-11
#[tokio::test]
async fn garbage_from_the_server_costs_one_connection() {
    let mut work_cut = vec![0, 0, 1, 0, 1, 0, 0, 0];
    work_cut.extend_from_slice(&[9; 100]);
    let garbage: [&[u8]; 6] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        &[0, 0, 0, 0],
        b"\x00\x00\x00\x0aENSB\x00\x01\x07\x00\x00\x00",
        &work_cut,
    ];
    let server = Server::start().await;
    let client = server.client();
    for (n, bytes) in garbage.into_iter().enumerate() {
        // half of it in place of the welcome, half after it
        let mut stream =
            if n % 2 == 0 { server.raw().await } else { server.session(5000).await.0.into_inner() };
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        match within(stream.read_to_end(&mut rest)).await {
            Ok(_) | Err(_) => {}
        }
    }
    let mut session = server.working(1, 5000).await;
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::Accepted).await;
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    let (report, events) = stopped;
    assert_eq!(report.accepted, 1);
    let lost = events.iter().filter(|e| matches!(e, ClientEvent::Disconnected { .. })).count();
    assert_eq!(lost, garbage.len(), "{events:?}");
}

#[tokio::test]
async fn waits_for_a_server_that_is_not_there_yet() {
    let server = Server::start().await;
    let address = server.0.local_addr().unwrap();
    drop(server);
    let placeholder = Server::start().await;
    let client = placeholder.client_with(
        |c| c.prover_server_endpoint = address.to_string(),
        Box::new(|input| Ok(backend_proof(input))),
    );
    client.until(|event| matches!(event, ClientEvent::Disconnected { .. })).await;
    let server = Server(TcpListener::bind(address).await.unwrap());
    let mut session = server.session(5000).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    assert_eq!(stopped.0.sessions, 1);
}

#[tokio::test]
async fn failing_backends_do_not_end_the_client() {
    let server = Server::start().await;
    let client = server.client_with(
        |_| {},
        Box::new(|input| match input.parent.number {
            0 => Err(BackendError::Refused("bad witness".to_owned())),
            1 => panic!("out of order"),
            2 => Err(BackendError::Failed("no memory".to_owned())),
            _ => Ok(backend_proof(input)),
        }),
    );
    let mut session = server.working(1, 5000).await;
    let unreadable = PackedInput { bytes: 1, packed: Bytes::from_static(b"?") };
    let unreadable = Work { input: Arc::new(unreadable), ..work(4) };
    let mislabelled = Work { task: task(9), ..work(4) };
    let told = [
        (101, FailureKind::Refused, "bad witness"),
        (102, FailureKind::Failed, "out of order"),
        (103, FailureKind::Failed, "no memory"),
        (104, FailureKind::Failed, "unusable"),
        (104, FailureKind::Failed, "offered as batch 9"),
    ];
    for (next, (lease, kind, part)) in
        [work(2), work(3), unreadable, mislabelled, work(4)].into_iter().zip(told)
    {
        match session.word().await {
            Some(ClientMessage::Failed { lease: LeaseId(got), kind: said, reason }) => {
                assert!(got == lease && said == kind && reason.contains(part), "{got} {said} {reason}");
            }
            other => panic!("{other:?}"),
        }
        session.send(ServerMessage::FailedAck { taken: true }).await;
        assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
        session.give(&next).await;
    }
    session.expect_submit(4).await;
    session.answer(4, SubmitReply::Accepted).await;
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    let (report, events) = stopped;
    assert_eq!((report.failed, report.accepted, report.sessions), (5, 1, 1));
    let reasons: Vec<_> = events
        .iter()
        .filter_map(|e| match e {
            ClientEvent::ProofFailed { batch_number, reason, .. } => Some((*batch_number, reason.as_str())),
            _ => None,
        })
        .collect();
    let expected = [
        (1, "bad witness"),
        (2, "out of order"),
        (3, "no memory"),
        (4, "unusable"),
        (9, "offered as batch 9"),
    ];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for ((batch, reason), (wanted, part)) in reasons.into_iter().zip(expected) {
        assert!(batch == wanted && reason.contains(part), "{batch} {reason}");
    }
}

#[tokio::test]
async fn stops_without_waiting_for_a_long_proof() {
    let server = Server::start().await;
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let client = server.client_with(
        |_| {},
        Box::new(move |input| {
            held.lock().unwrap().recv_timeout(GIVE_UP).unwrap();
            Ok(backend_proof(input))
        }),
    );
    let mut session = server.working(1, 10).await;
    assert!(matches!(session.next().await, Some(ClientMessage::Heartbeat { .. })));
    session.send(ServerMessage::HeartbeatAck { state: LeaseState::Alive }).await;
    let (report, _) = client.stopped().await;
    assert_eq!(report.unfinished, Some(1));
    release.send(()).unwrap();
}

#[tokio::test]
async fn stopping_waits_for_the_answer_to_a_proof() {
    let server = Server::start().await;
    let client =
        server.client_with(|c| c.shutdown_grace_ms = 60_000, Box::new(|input| Ok(backend_proof(input))));
    let mut session = server.working(1, 5000).await;
    session.expect_submit(1).await;
    let stopping = tokio::spawn(client.stopped());
    session.answer(1, SubmitReply::Accepted).await;
    // either order of stop and answer: the answer is counted
    session.expect_goodbye().await;
    let (report, _) = within(stopping).await.unwrap();
    assert_eq!((report.accepted, report.unfinished), (1, None));
}

/// SEQ-INV-11: an input over the configured size is refused by its announced length, and the next one is taken.
#[tokio::test]
async fn oversized_inputs_are_refused() {
    let server = Server::start().await;
    let client = server.client_with(|c| c.max_input_bytes = 2000, Box::new(|input| Ok(backend_proof(input))));
    let mut session = server.session(5000).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    let big = BatchInput { da_payload: vec![0; 2000].into(), ..input(1) };
    session.send(ServerMessage::Work(JobOffer::from(&packed(task(1), &big)))).await;
    match session.next().await {
        Some(ClientMessage::Failed { lease: LeaseId(101), kind: FailureKind::Failed, reason }) => {
            assert!(reason.contains("max_input_bytes"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    session.send(ServerMessage::FailedAck { taken: true }).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    session.give(&work(2)).await;
    session.expect_submit(2).await;
    session.answer(2, SubmitReply::Accepted).await;
    let (stopped, ()) = tokio::join!(client.stopped(), session.expect_goodbye());
    assert_eq!((stopped.0.sessions, stopped.0.failed, stopped.0.accepted), (1, 1, 1));
}

/// An input of many pieces, of which one takes longer than the time-out for answers, but keeps coming.
#[tokio::test]
async fn a_large_input_on_a_slow_line() {
    let server = Server::start().await;
    let mut noise = vec![0; 3 << 20];
    rand::RngCore::fill_bytes(&mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1), &mut noise);
    let large = BatchInput { da_payload: noise.into(), ..input(1) };
    let expected = large.clone();
    let client = server.client_with(
        |c| c.reply_timeout_ms = 1000,
        Box::new(move |input| {
            assert!(*input == expected, "the input came through");
            Ok(backend_proof(input))
        }),
    );
    let mut session = server.session(5000).await;
    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    let work = packed(task(1), &large);
    session.give(&work).await;
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::RetryLater { retry_after_ms: 10 }).await;
    session.expect_submit(1).await;
    session.answer(1, SubmitReply::Accepted).await;

    assert_eq!(session.next().await, Some(ClientMessage::RequestWork));
    session.send(ServerMessage::Work(JobOffer::from(&work))).await;
    assert!(matches!(session.next().await, Some(ClientMessage::Fetch { offset: 0, .. })));
    let data = work.input.packed.slice(..CHUNK_BYTES);
    let mut bytes = BytesMut::new();
    ServerCodec::default()
        .encode(ServerMessage::Chunk { lease: work.lease, offset: 0, data }, &mut bytes)
        .unwrap();
    for piece in bytes.chunks(bytes.len().div_ceil(30)) {
        // the line, not a synchronisation: 30 pieces in 1.5 s
        tokio::time::sleep(Duration::from_millis(50)).await;
        session.0.get_mut().write_all(piece).await.unwrap();
    }
    let next = CHUNK_BYTES as u64;
    assert_eq!(session.next().await, Some(ClientMessage::Fetch { lease: work.lease, offset: next }));
    let (report, _) = client.stopped().await;
    assert_eq!((report.accepted, report.sessions), (1, 1));
}

#[test]
fn a_backend_of_another_kind_is_refused() {
    let config = ProverClientConfig { prover_type: ProverType::Risc0, ..ProverClientConfig::default() };
    let error =
        ProverClient::new(config, Box::new(TestBackend(Box::new(|i| Ok(backend_proof(i)))))).unwrap_err();
    assert!(matches!(&error, ProverError::Config { key: "prover_type", .. }), "{error}");
    assert!(CHUNK_BYTES + 100 < FrameLimits::default().server_max);
}
