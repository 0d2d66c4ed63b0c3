//! Two hundred provers, simulated by tasks with real TCP connections, most of which misbehave now and then.

#![allow(clippy::print_stdout)]

use std::{
    collections::BTreeSet,
    rc::Rc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use ensemble_messages::{BatchProof, FailureKind};
use ensemble_prover::protocol::{InputReader, JobOffer, decode_input};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio_util::codec::Encoder;

use super::*;

const PROVERS: usize = 200;
const SESSIONS: usize = 120;
const BATCHES: usize = 60;
/// Lets a run be repeated; which task runs first is not up to it.
const SEED_VARIABLE: &str = "ENSEMBLE_FLEET_SEED";

type Line = Framed<TcpStream, ClientCodec>;

/// What all provers share.
struct Fleet {
    address: SocketAddr,
    headers: Arc<Mutex<BTreeMap<u64, B256>>>,
    program: ProgramKey,
    over: AtomicBool,
    busy: AtomicUsize,
    lies: AtomicUsize,
    welcomed: Mutex<BTreeSet<usize>>,
    /// Batch of each acknowledgement `Accepted`.
    accepted: Mutex<Vec<u64>>,
}

/// One session ended; why is of no interest here.
struct Ended;

struct Sim {
    fleet: Rc<Fleet>,
    index: usize,
    rng: StdRng,
}

impl Sim {
    async fn run(mut self) {
        while !self.fleet.over.load(Ordering::SeqCst) {
            let Ended = self.session().await;
            // A prover's own pace, not a synchronisation.
            tokio::time::sleep(Duration::from_millis(self.rng.gen_range(1..60))).await;
        }
    }

    async fn ask(&self, line: &mut Line, message: ClientMessage) -> Result<ServerMessage, Ended> {
        line.send(message).await.map_err(|_| Ended)?;
        answer(line).await.ok_or(Ended)
    }

    /// Writes the first half of a frame, and is gone.
    async fn half_a_frame(&mut self, line: Line, message: ClientMessage) -> Ended {
        let mut bytes = bytes::BytesMut::new();
        ClientCodec::new(FrameLimits::default()).encode(message, &mut bytes).unwrap();
        let half = self.rng.gen_range(1..bytes.len());
        let mut socket = line.into_inner();
        drop(socket.write_all(&bytes[..half]).await);
        Ended
    }

    async fn session(&mut self) -> Ended {
        let Ok(socket) = TcpStream::connect(self.fleet.address).await else { return Ended };
        let mut line = Framed::new(socket, ClientCodec::new(FrameLimits::default()));
        if self.rng.gen_bool(0.02) {
            return self.half_a_frame(line, hello("half a hello")).await;
        }
        match self.ask(&mut line, hello(&format!("prover-{}", self.index))).await {
            Ok(ServerMessage::Welcome { .. }) => {
                self.fleet.welcomed.lock().unwrap().insert(self.index);
            }
            Ok(ServerMessage::Refused { code: RefusalCode::Busy, .. }) => {
                self.fleet.busy.fetch_add(1, Ordering::SeqCst);
                return Ended;
            }
            Ok(ServerMessage::Refused { .. }) | Err(Ended) => return Ended,
            Ok(other) => panic!("seed, see above: {other:?} in answer to a hello"),
        }
        for _ in 0..self.rng.gen_range(1..5) {
            match self.ask(&mut line, ClientMessage::RequestWork).await {
                Ok(ServerMessage::Work(offer)) => match self.job(line, offer).await {
                    Ok(back) => line = back,
                    Err(Ended) => return Ended,
                },
                Ok(ServerMessage::Idle { .. }) => {
                    tokio::time::sleep(Duration::from_millis(self.rng.gen_range(5..40))).await;
                }
                Ok(ServerMessage::Refused { .. }) | Err(Ended) => return Ended,
                Ok(other) => panic!("seed, see above: {other:?} in answer to a request for work"),
            }
        }
        if self.rng.gen_bool(0.5) {
            drop(line.send(ClientMessage::Goodbye).await);
        }
        Ended
    }

    /// Fetches the input; `None` when the job is given up on the way.
    async fn input(&mut self, line: &mut Line, offer: &JobOffer) -> Result<Option<BatchInput>, Ended> {
        let mut reader = InputReader::new(offer.input_bytes, offer.packed_bytes, 1 << 20).unwrap();
        while !reader.is_complete() {
            if self.rng.gen_bool(0.05) {
                return Err(Ended);
            }
            let fetch = ClientMessage::Fetch { lease: offer.lease, offset: reader.offset() };
            match self.ask(line, fetch).await? {
                ServerMessage::Chunk { lease, offset, data } => {
                    assert_eq!(lease, offer.lease);
                    reader.push(offset, &data).unwrap();
                }
                ServerMessage::InputGone { .. } => return Ok(None),
                ServerMessage::Refused { .. } => return Err(Ended),
                other => panic!("seed, see above: {other:?} in answer to a fetch"),
            }
        }
        Ok(Some(decode_input(&reader.finish().unwrap()).unwrap()))
    }

    async fn job(&mut self, mut line: Line, offer: JobOffer) -> Result<Line, Ended> {
        let Some(input) = self.input(&mut line, &offer).await? else { return Ok(line) };
        let number = offer.task.last_batch();
        let to = *self.fleet.headers.lock().unwrap().get(&number).unwrap();
        let values = PublicValues { from: input.parent.hash(), to };
        let good = signed(number, values, self.fleet.program);
        // Every tenth prover only lies, the others do what comes to their minds.
        if self.index.is_multiple_of(10) {
            return self.lie(line, &offer, good).await;
        }
        let submit = ClientMessage::Submit { lease: offer.lease, proof: good.clone() };
        match self.rng.gen_range(0..10) {
            0 => Err(Ended),
            1 => Err(self.half_a_frame(line, submit).await),
            2 => {
                let (lease, kind) = (offer.lease, FailureKind::Failed);
                let failed = ClientMessage::Failed { lease, kind, reason: "out of luck".to_owned() };
                match self.ask(&mut line, failed).await? {
                    ServerMessage::FailedAck { .. } => Ok(line),
                    ServerMessage::Refused { .. } => Err(Ended),
                    other => panic!("seed, see above: {other:?} in answer to a failure"),
                }
            }
            3 => {
                // Sent, and gone before the answer.
                drop(line.send(submit).await);
                Err(Ended)
            }
            4 | 5 => {
                for _ in 0..self.rng.gen_range(1..6) {
                    let heartbeat = ClientMessage::Heartbeat { lease: offer.lease, task: offer.task };
                    match self.ask(&mut line, heartbeat).await? {
                        ServerMessage::HeartbeatAck { state: LeaseState::Done } => return Ok(line),
                        ServerMessage::HeartbeatAck { .. } => {}
                        ServerMessage::Refused { .. } => return Err(Ended),
                        other => panic!("seed, see above: {other:?} in answer to a heartbeat"),
                    }
                    tokio::time::sleep(Duration::from_millis(self.rng.gen_range(1..30))).await;
                }
                self.submit(&mut line, submit, number).await?;
                Ok(line)
            }
            6 => {
                self.submit(&mut line, submit.clone(), number).await?;
                self.submit(&mut line, submit, number).await?;
                Ok(line)
            }
            _ => {
                self.submit(&mut line, submit, number).await?;
                Ok(line)
            }
        }
    }

    async fn submit(&self, line: &mut Line, submit: ClientMessage, number: u64) -> Result<(), Ended> {
        match self.ask(line, submit).await? {
            ServerMessage::SubmitAck { reply: SubmitReply::Accepted, .. } => {
                self.fleet.accepted.lock().unwrap().push(number);
                Ok(())
            }
            ServerMessage::SubmitAck {
                reply: SubmitReply::Duplicate | SubmitReply::RetryLater { .. },
                ..
            } => Ok(()),
            ServerMessage::Refused { .. } => Err(Ended),
            other => panic!("seed, see above: {other:?} in answer to a good proof"),
        }
    }

    async fn lie(&mut self, mut line: Line, offer: &JobOffer, good: BatchProof) -> Result<Line, Ended> {
        let number = good.batch_number;
        let (values, program) = (good.public_values, good.program_key);
        let proof = match self.rng.gen_range(0..4) {
            0 => signed(number, PublicValues { to: B256::repeat_byte(7), ..values }, program),
            1 => signed(number, PublicValues { from: B256::repeat_byte(7), ..values }, program),
            2 => signed(number, values, ProgramKey(B256::repeat_byte(7))),
            _ => {
                let mut bytes = good.proof.to_vec();
                let at = self.rng.gen_range(0..64);
                bytes[at] ^= 1 << self.rng.gen_range(0..8);
                BatchProof { proof: bytes.into(), ..good }
            }
        };
        match self.ask(&mut line, ClientMessage::Submit { lease: offer.lease, proof }).await? {
            ServerMessage::SubmitAck { reply: SubmitReply::Rejected(_), .. } => {
                self.fleet.lies.fetch_add(1, Ordering::SeqCst);
                Ok(line)
            }
            ServerMessage::SubmitAck { reply: SubmitReply::RetryLater { .. }, .. } => Ok(line),
            ServerMessage::Refused { .. } => Err(Ended),
            other => panic!("seed, see above: {other:?} in answer to a lie"),
        }
    }
}

fn signed(batch_number: u64, public_values: PublicValues, program_key: ProgramKey) -> BatchProof {
    let proof = attestation::sign(&key(), &domain(), program_key, &public_values);
    let prover_type = ProverType::Exec;
    BatchProof { prover_type, batch_number, public_values, program_key, proof: proof.to_vec().into() }
}

/// SEQ-INV-6, SEQ-INV-7, SEQ-INV-11: provers crash, fail, lie, are slow, hand in twice and vanish in the middle of a frame,
/// and there are more of them than sessions: every batch gets its one proof, each is acknowledged at most once, no lie
/// is kept, and all provers come to their turn.
#[actix::test]
async fn two_hundred_provers() {
    let seed: u64 =
        std::env::var(SEED_VARIABLE).ok().map_or_else(rand::random, |s| s.parse().expect("a number"));
    println!("{SEED_VARIABLE}={seed}");
    let config = ProverServerConfig { max_sessions: SESSIONS, ..config() };
    let mut serving = serve_with(config, true, |manager| {
        manager.max_bad_proofs = 3;
        manager.retry.budget = u32::MAX;
        manager.retry.longest_wait = Duration::from_secs(10);
    })
    .await;
    let mut wanted = BTreeSet::new();
    for _ in 0..BATCHES {
        wanted.insert(serving.batch().await);
    }
    let fleet = Rc::new(Fleet {
        address: serving.address,
        headers: Arc::clone(&serving.headers),
        program: serving.bed.services.chain.exec_program_key(),
        over: AtomicBool::new(false),
        busy: AtomicUsize::new(0),
        lies: AtomicUsize::new(0),
        welcomed: Mutex::default(),
        accepted: Mutex::default(),
    });
    let provers: Vec<_> = (0..PROVERS)
        .map(|index| {
            let rng = StdRng::seed_from_u64(seed ^ (index as u64).rotate_left(32));
            actix::spawn(Sim { fleet: Rc::clone(&fleet), index, rng }.run())
        })
        .collect();
    // Time passes, so that the leases of those who are gone run out.
    let done = async {
        loop {
            serving.bed.clock.advance(1_000);
            tokio::time::sleep(Duration::from_millis(20)).await;
            let far = i64::MAX.unsigned_abs();
            let open = serving.bed.store().batches_without_proof(ProverType::Exec, far, 1).await.unwrap();
            let all_proven = open.is_empty();
            if all_proven && fleet.welcomed.lock().unwrap().len() == PROVERS {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, done).await.unwrap_or_else(|_| panic!("not in time with seed {seed}"));
    fleet.over.store(true, Ordering::SeqCst);
    for prover in provers {
        tokio::time::timeout(LIMIT, prover).await.expect("an end").expect("no panic");
    }

    let mut first = serving.bed.services.chain.genesis_header.hash();
    for number in &wanted {
        let stored = serving.bed.store().proofs_of(*number).await.unwrap();
        let to = serving.headers.lock().unwrap()[number];
        assert_eq!(stored.len(), 1, "seed {seed}, batch {number}");
        let honest = signed(*number, PublicValues { from: first, to }, fleet.program);
        assert_eq!(stored[0].proof, honest, "seed {seed}, batch {number}, by {}", stored[0].prover);
        first = to;
    }
    let accepted = fleet.accepted.lock().unwrap().clone();
    let distinct: BTreeSet<u64> = accepted.iter().copied().collect();
    assert_eq!(distinct.len(), accepted.len(), "seed {seed}: accepted twice: {accepted:?}");
    // What goes to ProofSender is a hint by number: never of another batch, and of every one.
    let mut told = BTreeSet::new();
    while told.len() < wanted.len() {
        let ready = next(&mut serving.ready).await;
        assert!(
            wanted.contains(&ready.batch_number) && ready.prover_types == [ProverType::Exec],
            "{ready:?}"
        );
        told.insert(ready.batch_number);
    }
    let (busy, lies) = (fleet.busy.load(Ordering::SeqCst), fleet.lies.load(Ordering::SeqCst));
    println!("{} accepted, {lies} lies, {busy} times busy", accepted.len());
    assert!(busy > 0 && lies > 0, "seed {seed}: {busy} {lies}");
    assert!(serving.bed.store().setbacks(1_000).await.unwrap().is_empty(), "seed {seed}");
    assert_eq!(
        (serving.status(SERVER).restarts, serving.status(PROOF_MANAGER).restarts),
        (0, 0),
        "seed {seed}"
    );
    until("the sessions have ended", || async { serving.sessions().await == 0 }).await;
    assert!(serving.system.shutdown().await.is_clean());
}
