#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloy_primitives::{B256, Bytes, hex};
use ensemble_batch::{ProgramKey, PublicValues};
use ensemble_messages::{
    FailureKind, LeaseId, LeaseState, ProofRejection, ProofTask, ProverType, SubmitReply,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::machine::{Action, MAX_PAUSE_MS, MIN_PAUSE_MS, Machine};
use super::*;
use crate::backend::{BackendError, BackendProof};
use crate::protocol::{CHUNK_BYTES, ClientMessage, JobOffer, PROTOCOL_VERSION, RefusalCode, ServerMessage};

fn config() -> ProverClientConfig {
    ProverClientConfig { token: Some("hunter2".to_owned()), ..ProverClientConfig::default() }
}

fn machine() -> Machine {
    Machine::new(config(), StdRng::seed_from_u64(1))
}

fn welcome() -> ServerMessage {
    ServerMessage::Welcome {
        version: PROTOCOL_VERSION,
        session: 1,
        heartbeat_ms: 2000,
        max_frame_bytes: 1 << 20,
    }
}

fn task(number: u64) -> ProofTask {
    ProofTask::Batch { number }
}

/// What every job has for an input here: one piece, which decompresses to nothing.
const PACKED: [u8; 13] = hex!("28b52ffd 04 00 010000 99e9d851");

fn offer(batch_number: u64) -> JobOffer {
    JobOffer {
        lease: LeaseId(batch_number * 10),
        task: task(batch_number),
        lease_ms: 60_000,
        input_bytes: 0,
        packed_bytes: PACKED.len() as u64,
    }
}

fn chunk(batch_number: u64) -> ServerMessage {
    let lease = LeaseId(batch_number * 10);
    ServerMessage::Chunk { lease, offset: 0, data: Bytes::from_static(&PACKED) }
}

/// Brings a job and its input; the client proves then, after a first heartbeat.
fn give(m: &mut Machine, now: u64, offer: JobOffer) {
    m.received(now, ServerMessage::Work(offer));
    let actions = m.due(now);
    assert_eq!(sent(&actions), [&ClientMessage::Fetch { lease: offer.lease, offset: 0 }]);
    m.received(now, chunk(offer.task.last_batch()));
    let actions = m.due(now);
    assert!(actions.contains(&Action::Prove { task: offer.task, input: Vec::new() }), "{actions:?}");
    assert_eq!(sent(&actions), [&ClientMessage::Heartbeat { lease: offer.lease, task: offer.task }]);
    m.received(now, ServerMessage::HeartbeatAck { state: LeaseState::Alive });
}

fn proof() -> BackendProof {
    BackendProof {
        public_values: PublicValues { from: B256::ZERO, to: B256::ZERO },
        program_key: ProgramKey(B256::ZERO),
        proof: Bytes::from_static(&[1]),
    }
}

fn sent(actions: &[Action]) -> Vec<&ClientMessage> {
    actions.iter().filter_map(|a| if let Action::Send(m) = a { Some(m) } else { None }).collect()
}

fn events(actions: &[Action]) -> Vec<&ClientEvent> {
    actions.iter().filter_map(|a| if let Action::Emit(e) = a { Some(e) } else { None }).collect()
}

fn finished(actions: &[Action]) -> Option<&Result<(), ProverError>> {
    actions.iter().find_map(|a| if let Action::Finish(r) = a { Some(r) } else { None })
}

fn retry_in(actions: &[Action]) -> u64 {
    events(actions)
        .into_iter()
        .find_map(|e| match e {
            ClientEvent::Disconnected { retry_in_ms, .. } | ClientEvent::ProofFailed { retry_in_ms, .. } => {
                Some(*retry_in_ms)
            }
            _ => None,
        })
        .unwrap_or_else(|| panic!("no retry in {actions:?}"))
}

/// Connects at `now` up to the welcome; the next `due` sends what comes first.
fn connect(m: &mut Machine, now: u64) {
    assert_eq!(m.due(now), [Action::Connect]);
    m.connected(now);
    let actions = m.due(now);
    assert!(matches!(sent(&actions)[..], [ClientMessage::Hello { .. }]), "{actions:?}");
    m.received(now, welcome());
}

/// Connects and takes a batch.
fn take(m: &mut Machine, now: u64, batch_number: u64) {
    connect(m, now);
    let actions = m.due(now);
    assert_eq!(sent(&actions), [&ClientMessage::RequestWork]);
    give(m, now, offer(batch_number));
}

fn take_and_prove(m: &mut Machine, now: u64, batch_number: u64) {
    take(m, now, batch_number);
    m.proved(now, ProverType::Exec, Ok(proof()));
}

#[test]
fn a_batch_goes_through() {
    let mut m = machine();
    take_and_prove(&mut m, 0, 7);
    let actions = m.due(5);
    match sent(&actions)[..] {
        [ClientMessage::Submit { lease: LeaseId(70), proof }] => {
            assert_eq!((proof.batch_number, proof.prover_type), (7, ProverType::Exec));
        }
        _ => panic!("{actions:?}"),
    }
    m.submitted();
    assert_eq!(m.report().unfinished, Some(7));
    m.received(6, ServerMessage::SubmitAck { lease: LeaseId(70), reply: SubmitReply::Accepted });
    let actions = m.due(6);
    assert_eq!(sent(&actions), [&ClientMessage::RequestWork], "asks on at once after an accepted proof");
    let expected = ClientReport {
        sessions: 1,
        received: 1,
        proved: 1,
        submitted: 1,
        accepted: 1,
        ..ClientReport::default()
    };
    assert_eq!(m.report(), expected);
}

/// SEQ-INV-6, client's side: a proof is kept until there is an answer, and sent once per connection.
#[test]
fn a_proof_is_sent_once_per_connection_until_answered() {
    let mut m = machine();
    take_and_prove(&mut m, 0, 1);
    assert_eq!(sent(&m.due(0)).len(), 1);
    let mut now = 0;
    for round in 0..5 {
        assert!(sent(&m.due(now + 1000)).is_empty(), "round {round}: twice on one connection");
        m.lost(now + 1000, "gone".to_owned());
        let actions = m.due(now + 1000);
        now += 1000 + retry_in(&actions);
        connect(&mut m, now);
        let actions = m.due(now);
        assert!(matches!(sent(&actions)[..], [ClientMessage::Submit { .. }]), "round {round}: {actions:?}");
    }
    m.received(now, ServerMessage::SubmitAck { lease: LeaseId(10), reply: SubmitReply::Duplicate });
    assert_eq!(m.report().unfinished, None);
    assert_eq!(m.report().duplicates, 1);
}

#[test]
fn a_proof_finished_without_connection_is_sent_after_reconnecting() {
    let mut m = machine();
    take(&mut m, 0, 1);
    m.lost(10, "gone".to_owned());
    let actions = m.due(10);
    let now = 10 + retry_in(&actions);
    m.proved(11, ProverType::Exec, Ok(proof()));
    assert!(sent(&m.due(11)).is_empty());
    connect(&mut m, now);
    assert!(matches!(sent(&m.due(now))[..], [ClientMessage::Submit { lease: LeaseId(10), .. }]));
}

/// A lost lease is no reason to stop: the proof may still be the first. The client keeps asking, and says so once.
#[test]
fn heartbeats_go_out_while_proving() {
    let mut m = machine();
    take(&mut m, 0, 1);
    assert_eq!(m.wake_at(), Some(2000));
    assert!(sent(&m.due(1999)).is_empty());
    let mut lost = 0;
    for at in [2000, 4000, 6000, 8000] {
        assert_eq!(sent(&m.due(at)), [&ClientMessage::Heartbeat { lease: LeaseId(10), task: task(1) }]);
        let state = if at < 6000 { LeaseState::Alive } else { LeaseState::Lost };
        m.received(at, ServerMessage::HeartbeatAck { state });
        let actions = m.due(at);
        lost +=
            events(&actions).iter().filter(|e| ***e == ClientEvent::LeaseLost { batch_number: 1 }).count();
    }
    assert_eq!((lost, m.report().leases_lost), (1, 1));
    m.proved(9000, ProverType::Exec, Ok(proof()));
    assert!(matches!(sent(&m.due(9000))[..], [ClientMessage::Submit { .. }]), "sent all the same");
}

/// When another prover has finished, the backend is told to stop, and no further batch is asked for until it has.
#[test]
fn vain_work_is_stopped() {
    for result in [Err(BackendError::Cancelled), Ok(proof())] {
        let mut m = machine();
        take(&mut m, 0, 1);
        m.due(2000);
        m.received(2001, ServerMessage::HeartbeatAck { state: LeaseState::Done });
        let actions = m.due(2001);
        assert_eq!(actions, [Action::Cancel, Action::Emit(ClientEvent::Cancelled { batch_number: 1 })]);
        assert_eq!((m.wake_at(), m.report().unfinished), (None, None));
        assert!(m.due(9000).is_empty(), "one batch at a time");
        m.proved(9500, ProverType::Exec, result);
        assert_eq!(sent(&m.due(9500)), [&ClientMessage::RequestWork]);
        assert_eq!((m.report().cancelled, m.report().failed, m.report().proved), (1, 0, 0));
    }
    // A client that is stopped does not wait for it.
    let mut m = machine();
    take(&mut m, 0, 1);
    m.due(2000);
    m.received(2001, ServerMessage::HeartbeatAck { state: LeaseState::Done });
    m.due(2001);
    m.stop(2002);
    assert_eq!(finished(&m.due(2002)), Some(&Ok(())));
}

#[test]
fn heartbeats_fit_into_short_leases() {
    let mut m = machine();
    connect(&mut m, 0);
    assert_eq!(sent(&m.due(0)), [&ClientMessage::RequestWork]);
    give(&mut m, 0, JobOffer { lease_ms: 900, ..offer(1) });
    assert_eq!(m.wake_at(), Some(300));
    assert_eq!(sent(&m.due(300)).len(), 1);
    m.received(301, ServerMessage::HeartbeatAck { state: LeaseState::Alive });
    m.due(301);
    assert_eq!(m.wake_at(), Some(600));
}

#[test]
fn a_new_session_hears_of_the_lease_at_once() {
    let mut m = machine();
    take(&mut m, 0, 1);
    m.lost(10, "gone".to_owned());
    let now = 10 + retry_in(&m.due(10));
    assert!(now < 2000, "before the next heartbeat of the old session");
    connect(&mut m, now);
    assert_eq!(sent(&m.due(now)), [&ClientMessage::Heartbeat { lease: LeaseId(10), task: task(1) }]);
}

/// The input is asked for piece by piece, with heartbeats between; what is lost with the connection is asked for again.
#[test]
fn the_input_is_fetched_in_pieces() {
    let mut m = machine();
    connect(&mut m, 0);
    m.due(0);
    m.received(0, ServerMessage::Work(offer(1)));
    let lease = LeaseId(10);
    let piece = |from: usize, to: usize| ServerMessage::Chunk {
        lease,
        offset: from as u64,
        data: Bytes::copy_from_slice(&PACKED[from..to]),
    };
    assert_eq!(sent(&m.due(0)), [&ClientMessage::Fetch { lease, offset: 0 }]);
    assert!(sent(&m.due(1)).is_empty(), "one question at a time");
    m.received(1, piece(0, 5));
    assert_eq!(sent(&m.due(1)), [&ClientMessage::Fetch { lease, offset: 5 }]);
    m.received(2500, piece(5, 9));
    assert_eq!(sent(&m.due(2500)), [&ClientMessage::Heartbeat { lease, task: task(1) }], "it takes long");
    m.received(2500, ServerMessage::HeartbeatAck { state: LeaseState::Alive });
    assert_eq!(sent(&m.due(2500)), [&ClientMessage::Fetch { lease, offset: 9 }]);
    m.lost(2600, "gone".to_owned());
    assert_eq!(m.report().unfinished, None);
    let now = 2600 + retry_in(&m.due(2600));
    connect(&mut m, now);
    assert_eq!(sent(&m.due(now)), [&ClientMessage::RequestWork]);
    give(&mut m, now, offer(1));

    // The job is done meanwhile, or the server does not have its input any more.
    for message in [
        ServerMessage::HeartbeatAck { state: LeaseState::Done },
        ServerMessage::InputGone { lease: LeaseId(10) },
    ] {
        let mut m = machine();
        connect(&mut m, 0);
        m.due(0);
        m.received(0, ServerMessage::Work(offer(1)));
        let asked = if matches!(message, ServerMessage::HeartbeatAck { .. }) { 2500 } else { 0 };
        assert_eq!(sent(&m.due(asked)).len(), 1);
        m.received(2500, message);
        let next = m.wake_at().unwrap().max(2500);
        m.due(2500);
        if next > 2500 {
            assert_eq!(sent(&m.due(next)), [&ClientMessage::RequestWork]);
        }
        assert_eq!((m.report().failed, m.report().unfinished), (0, None));
        assert_eq!(m.wake_at(), Some(next + 30_000), "it waits for the answer to a request for work");
    }
}

/// SEQ-INV-11: an input that is too large, damaged or in disorder is a failure of the job, told to the server, and
/// neither the end of the client nor of its connection.
#[test]
fn bad_inputs_are_told() {
    let huge = JobOffer { input_bytes: u64::MAX, ..offer(1) };
    let chunk = |offset, data: &[u8]| ServerMessage::Chunk {
        lease: LeaseId(10),
        offset,
        data: Bytes::copy_from_slice(data),
    };
    let mut flipped = PACKED;
    flipped[10] ^= 1;
    let cases: [(JobOffer, Option<ServerMessage>, &str); 6] = [
        (huge, None, "max_input_bytes"),
        (offer(1), Some(chunk(0, &flipped)), "damaged"),
        (offer(1), Some(chunk(3, &PACKED)), "begins at byte 3"),
        (offer(1), Some(chunk(0, &[])), "a piece of the input has 0 bytes"),
        (offer(1), Some(chunk(0, &vec![0; CHUNK_BYTES + 1])), "a piece of the input has"),
        (JobOffer { input_bytes: 5, ..offer(1) }, Some(chunk(0, &PACKED)), "announced were 5"),
    ];
    for (offer, answer, part) in cases {
        let mut m = machine();
        connect(&mut m, 0);
        m.due(0);
        m.received(0, ServerMessage::Work(offer));
        if let Some(answer) = answer {
            assert!(matches!(sent(&m.due(0))[..], [ClientMessage::Fetch { .. }]), "{part}");
            m.received(0, answer);
        }
        let actions = m.due(0);
        match sent(&actions)[..] {
            [ClientMessage::Failed { lease: LeaseId(10), kind: FailureKind::Failed, reason }] => {
                assert!(reason.contains(part), "{part}: {reason}");
            }
            _ => panic!("{part}: {actions:?}"),
        }
    }
}

#[test]
fn a_duplicate_is_followed_by_a_pause() {
    let mut m = machine();
    take_and_prove(&mut m, 0, 1);
    m.due(0);
    m.received(0, ServerMessage::SubmitAck { lease: LeaseId(10), reply: SubmitReply::Duplicate });
    assert!(sent(&m.due(0)).is_empty());
    assert_eq!(m.wake_at(), Some(5000));
}

#[test]
fn a_proof_waits_for_the_answer_to_a_heartbeat() {
    let mut m = machine();
    take(&mut m, 0, 1);
    assert_eq!(sent(&m.due(2000)).len(), 1);
    m.proved(2001, ProverType::Exec, Ok(proof()));
    assert!(sent(&m.due(2001)).is_empty(), "one question at a time");
    m.received(2002, ServerMessage::HeartbeatAck { state: LeaseState::Alive });
    assert!(matches!(sent(&m.due(2002))[..], [ClientMessage::Submit { .. }]));
}

/// SEQ-INV-11: what the server says about time is bounded.
#[test]
fn pauses_asked_by_the_server_are_bounded() {
    for (asked, got) in [(0, 5000), (7000, 7000), (u64::MAX, MAX_PAUSE_MS)] {
        let mut m = machine();
        connect(&mut m, 0);
        m.due(0);
        m.received(0, ServerMessage::Idle { retry_after_ms: asked });
        assert_eq!(events(&m.due(0)), [&ClientEvent::Idle { retry_in_ms: got }]);
        assert_eq!(m.wake_at(), Some(got));
        assert!(sent(&m.due(got - 1)).is_empty());
        assert_eq!(sent(&m.due(got)), [&ClientMessage::RequestWork]);
    }
    for (asked, got) in [(0, MIN_PAUSE_MS), (u64::MAX, MAX_PAUSE_MS)] {
        let mut m = machine();
        take_and_prove(&mut m, 0, 1);
        m.due(0);
        let reply = SubmitReply::RetryLater { retry_after_ms: asked };
        m.received(0, ServerMessage::SubmitAck { lease: LeaseId(10), reply });
        m.due(0);
        assert_eq!(m.wake_at(), Some(got));
        assert!(matches!(sent(&m.due(got))[..], [ClientMessage::Submit { .. }]));
    }
    let mut m = machine();
    assert_eq!(m.due(0), [Action::Connect]);
    m.connected(0);
    m.due(0);
    m.received(
        0,
        ServerMessage::Welcome {
            version: PROTOCOL_VERSION,
            session: 1,
            heartbeat_ms: 0,
            max_frame_bytes: 1 << 20,
        },
    );
    m.due(0);
    give(&mut m, 0, JobOffer { lease_ms: u64::MAX, ..offer(1) });
    assert_eq!(m.wake_at(), Some(MIN_PAUSE_MS));
}

#[test]
fn silence_ends_the_connection() {
    let mut m = machine();
    connect(&mut m, 0);
    m.due(0);
    assert_eq!(m.wake_at(), Some(30_000));
    m.progress(29_000);
    assert!(m.due(30_000).is_empty(), "a big answer is coming in");
    let actions = m.due(59_000);
    assert_eq!(actions[0], Action::Disconnect);
    assert!(retry_in(&actions) >= 250);

    let mut m = machine();
    take_and_prove(&mut m, 0, 1);
    m.due(0);
    assert_eq!(m.wake_at(), Some(120_000), "checking a proof takes longer");
}

#[test]
fn reconnecting_backs_off_until_the_server_is_useful() {
    let mut m = machine();
    let mut now = 0;
    for attempt in 1..20u32 {
        assert_eq!(m.due(now), [Action::Connect]);
        m.lost(now, "refused".to_owned());
        let wait = retry_in(&m.due(now));
        let most = (500u64 << attempt.min(10).saturating_sub(1)).min(30_000);
        assert!((most / 2..=most).contains(&wait), "attempt {attempt}: {wait} of {most}");
        assert_eq!(m.wake_at(), Some(now + wait));
        now += wait;
    }
    // a welcome alone is not useful, an answer to a request is
    connect(&mut m, now);
    m.due(now);
    m.lost(now, "gone".to_owned());
    let wait = retry_in(&m.due(now));
    assert!(wait >= 15_000, "{wait}");
    now += wait;
    connect(&mut m, now);
    m.due(now);
    m.received(now, ServerMessage::Idle { retry_after_ms: 1 });
    m.due(now);
    m.lost(now, "gone".to_owned());
    let wait = retry_in(&m.due(now));
    assert!(wait <= 500, "{wait}");
}

#[test]
fn final_refusals_end_the_client_with_a_remedy() {
    let refuse = |code, reason: &str| {
        let mut m = machine();
        m.due(0);
        m.connected(0);
        m.due(0);
        m.received(0, ServerMessage::Refused { code, reason: reason.to_owned() });
        finished(&m.due(0)).cloned()
    };
    let error = refuse(RefusalCode::WrongVersion, "version 9 here").unwrap().unwrap_err();
    assert!(matches!(&error, ProverError::WrongVersion { .. }));
    assert!(error.to_string().contains("version 9 here") && error.to_string().contains("release"), "{error}");
    let error = refuse(RefusalCode::Unauthorized, "bad token").unwrap().unwrap_err();
    assert!(error.to_string().contains("bad token") && error.to_string().contains("auth_token"), "{error}");
    for code in [
        RefusalCode::NotWanted,
        RefusalCode::Quarantined,
        RefusalCode::Busy,
        RefusalCode::ShuttingDown,
        RefusalCode::ProtocolViolation,
        RefusalCode::Other(77),
    ] {
        assert_eq!(refuse(code, "later"), None, "{code:?}");
    }
    let mut m = machine();
    m.due(0);
    m.connected(0);
    m.due(0);
    m.received(
        0,
        ServerMessage::Welcome {
            version: PROTOCOL_VERSION + 1,
            session: 1,
            heartbeat_ms: 1,
            max_frame_bytes: 1 << 20,
        },
    );
    assert!(matches!(finished(&m.due(0)), Some(Err(ProverError::WrongVersion { .. }))));
}

#[test]
fn unwanted_provers_knock_at_the_slowest_pace() {
    let mut m = machine();
    m.due(0);
    m.connected(0);
    m.due(0);
    m.received(0, ServerMessage::Refused { code: RefusalCode::NotWanted, reason: "no risc0".to_owned() });
    let actions = m.due(0);
    assert_eq!(actions[0], Action::Disconnect);
    assert_eq!(retry_in(&actions), 30_000);
}

#[test]
fn failed_and_rejected_proofs_slow_the_client_down() {
    let mut m = machine();
    take(&mut m, 0, 1);
    let mut now = 0;
    let mut waits = Vec::new();
    for n in 0..8 {
        if n % 2 == 0 {
            m.proved(now, ProverType::Exec, Err(BackendError::Failed("no".to_owned())));
            let actions = m.due(now);
            assert!(matches!(sent(&actions)[..], [ClientMessage::Failed { .. }]), "{actions:?}");
            m.received(now, ServerMessage::FailedAck { taken: true });
            m.due(now);
        } else {
            m.proved(now, ProverType::Exec, Ok(proof()));
            m.due(now);
            let reply = SubmitReply::Rejected(ProofRejection::Invalid("no".to_owned()));
            m.received(now, ServerMessage::SubmitAck { lease: LeaseId(10), reply });
            m.due(now);
        }
        let next = m.wake_at().unwrap();
        waits.push(next - now);
        now = next;
        assert_eq!(sent(&m.due(now)), [&ClientMessage::RequestWork]);
        give(&mut m, now, offer(1));
    }
    assert!(waits.iter().all(|w| *w >= 5000), "never below proving_time_ms: {waits:?}");
    assert!(waits[7] >= 15_000, "{waits:?}");
    assert_eq!((m.report().failed, m.report().rejected), (4, 4));
}

#[test]
fn unexpected_messages_end_the_connection() {
    let ack = |n: u64| ServerMessage::SubmitAck { lease: LeaseId(n * 10), reply: SubmitReply::Accepted };
    for message in [
        welcome(),
        ServerMessage::HeartbeatAck { state: LeaseState::Alive },
        ack(1),
        ServerMessage::Work(offer(2)),
    ] {
        let mut m = machine();
        take_and_prove(&mut m, 0, 1);
        m.due(0);
        let wrong = if message == ack(1) { ack(2) } else { message };
        m.received(0, wrong.clone());
        let actions = m.due(0);
        assert!(actions.contains(&Action::Disconnect), "{wrong:?}: {actions:?}");
        assert_eq!(m.report().unfinished, Some(1), "the proof is kept");
    }
    let mut m = machine();
    take(&mut m, 0, 1);
    m.received(1, ServerMessage::Work(offer(2)));
    assert!(m.due(1).contains(&Action::Disconnect), "work that nobody asked for");
}

/// A client whose proof of batch 1 is too large for the server, up to the answer that the server knows of it.
fn with_a_proof_too_large(answered: bool) -> Machine {
    let mut m = machine();
    take_and_prove(&mut m, 0, 1);
    m.due(0);
    m.too_large(0, 5000, 4000);
    let actions = m.due(0);
    let event = ClientEvent::TooLarge { batch_number: 1, bytes: 5000, max_bytes: 4000 };
    assert_eq!(events(&actions), [&event]);
    match sent(&actions)[..] {
        [ClientMessage::Failed { lease: LeaseId(10), kind: FailureKind::Failed, reason }] => {
            assert!(reason.contains("5000") && reason.contains("prover_server.max_frame_bytes"), "{reason}");
        }
        _ => panic!("the connection goes on, and the server is told: {actions:?}"),
    }
    if answered {
        m.received(0, ServerMessage::FailedAck { taken: true });
        assert!(sent(&m.due(0)).is_empty());
    }
    m
}

/// SEQ-INV-6, client's side: a proof that one server does not take is kept for the next one, and no other work is asked
/// for meanwhile.
#[test]
fn a_proof_too_large_for_a_server_is_kept_for_the_next() {
    for answered in [true, false] {
        let mut m = with_a_proof_too_large(answered);
        let mut now = 0;
        if answered {
            for state in [LeaseState::Lost, LeaseState::Alive] {
                now = m.wake_at().unwrap();
                let beat = ClientMessage::Heartbeat { lease: LeaseId(10), task: task(1) };
                assert_eq!(sent(&m.due(now)), [&beat]);
                m.received(now, ServerMessage::HeartbeatAck { state });
            }
        }
        assert_eq!(m.report().unfinished, Some(1));
        m.lost(now, "it is started anew".to_owned());
        now += retry_in(&m.due(now));
        connect(&mut m, now);
        let actions = m.due(now);
        assert!(
            matches!(sent(&actions)[..], [ClientMessage::Submit { lease: LeaseId(10), .. }]),
            "{actions:?}"
        );
        m.received(now, ServerMessage::SubmitAck { lease: LeaseId(10), reply: SubmitReply::Accepted });
        let report = m.report();
        assert_eq!((report.proved, report.failed, report.accepted), (1, 0, 1));
    }
}

/// When the batch has another proof, the one that was kept is let go.
#[test]
fn a_kept_proof_is_let_go_when_nobody_wants_it() {
    let mut m = with_a_proof_too_large(true);
    let now = m.wake_at().unwrap();
    m.due(now);
    m.received(now, ServerMessage::HeartbeatAck { state: LeaseState::Done });
    let actions = m.due(now);
    assert_eq!(events(&actions), [&ClientEvent::Cancelled { batch_number: 1 }]);
    assert_eq!(sent(&actions), [&ClientMessage::RequestWork]);
    assert_eq!((m.report().unfinished, m.report().cancelled), (None, 1));

    let mut m = with_a_proof_too_large(true);
    m.stop(now);
    assert_eq!(finished(&m.due(now)), Some(&Ok(())), "a stop does not wait for another server");
    assert_eq!(m.report().unfinished, Some(1), "and what is lost is said");
}

#[test]
fn stopping_waits_for_the_answer_to_a_proof_only() {
    // idle: at once, in order
    let mut m = machine();
    connect(&mut m, 0);
    m.due(0);
    m.received(0, ServerMessage::Idle { retry_after_ms: 0 });
    m.due(0);
    m.stop(1);
    let actions = m.due(1);
    assert_eq!(actions, [Action::Send(ClientMessage::Goodbye), Action::Finish(Ok(()))]);
    assert!(m.due(2).is_empty(), "finished once");

    // proving: the work is left behind and reported
    let mut m = machine();
    take(&mut m, 0, 3);
    m.stop(1);
    assert_eq!(finished(&m.due(1)), Some(&Ok(())));
    assert_eq!(m.report().unfinished, Some(3));

    // a proof without answer: waits for it
    let mut m = machine();
    take_and_prove(&mut m, 0, 4);
    m.due(0);
    m.stop(1);
    assert_eq!(finished(&m.due(2)), None);
    m.received(3, ServerMessage::SubmitAck { lease: LeaseId(40), reply: SubmitReply::Accepted });
    let actions = m.due(3);
    assert_eq!(sent(&actions), [&ClientMessage::Goodbye]);
    assert_eq!(finished(&actions), Some(&Ok(())));
    assert_eq!(m.report().unfinished, None);

    // but not for ever
    let mut m = machine();
    take_and_prove(&mut m, 0, 4);
    m.due(0);
    m.stop(1);
    assert_eq!(m.wake_at(), Some(5001));
    assert_eq!(finished(&m.due(5001)), Some(&Ok(())));
    assert_eq!(m.report().unfinished, Some(4));

    // without a connection there is nothing to wait for
    let mut m = machine();
    m.due(0);
    m.lost(0, "refused".to_owned());
    m.stop(1);
    assert_eq!(finished(&m.due(1)), Some(&Ok(())));
}

/// A failure is told until the server has it, over connections too, and only then comes the next batch.
#[test]
fn a_failure_is_told_until_it_is_taken() {
    let failed = ClientMessage::Failed {
        lease: LeaseId(10),
        kind: FailureKind::Refused,
        reason: "bad witness".to_owned(),
    };
    let mut m = machine();
    take(&mut m, 0, 1);
    m.proved(0, ProverType::Exec, Err(BackendError::Refused("bad witness".to_owned())));
    assert_eq!(sent(&m.due(0)), [&failed]);
    assert_eq!(m.report().unfinished, None);
    m.lost(10, "gone".to_owned());
    let now = 10 + retry_in(&m.due(10));
    connect(&mut m, now);
    assert_eq!(sent(&m.due(now)), [&failed]);
    m.received(now, ServerMessage::FailedAck { taken: false });
    assert!(sent(&m.due(now)).is_empty());
    assert_eq!(m.wake_at(), Some(now + 1000));
    let now = now + 1000;
    assert_eq!(sent(&m.due(now)), [&failed]);
    m.received(now, ServerMessage::FailedAck { taken: true });
    m.due(now);
    let next = m.wake_at().unwrap();
    assert_eq!(sent(&m.due(next)), [&ClientMessage::RequestWork]);

    // a stopping client tells it, too
    let mut m = machine();
    take(&mut m, 0, 1);
    m.proved(0, ProverType::Exec, Err(BackendError::Failed("no memory".to_owned())));
    m.stop(0);
    let actions = m.due(0);
    assert!(matches!(sent(&actions)[..], [ClientMessage::Failed { .. }]), "{actions:?}");
    m.received(1, ServerMessage::FailedAck { taken: true });
    assert_eq!(finished(&m.due(1)), Some(&Ok(())));
}

/// SEQ-INV-11: whatever the server sends and whenever, the client neither panics nor floods, and keeps its proof
/// until it is answered.
#[test]
fn random_servers_are_survived() {
    for seed in 0..300u64 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut m = Machine::new(config(), StdRng::seed_from_u64(seed));
        let mut now = 0u64;
        let mut awaiting = 0i32;
        for step in 0..200 {
            let context = format!("seed {seed} step {step}");
            loop {
                let actions = m.due(now);
                if actions.is_empty() {
                    break;
                }
                for action in actions {
                    match action {
                        Action::Connect => {
                            awaiting = 0;
                            if rng.gen_bool(0.8) { m.connected(now) } else { m.lost(now, "no".to_owned()) }
                        }
                        Action::Send(_) => {
                            awaiting += 1;
                            assert_eq!(awaiting, 1, "{context}: one question at a time");
                        }
                        Action::Disconnect => awaiting = 0,
                        Action::Prove { .. } | Action::Cancel | Action::Emit(_) => {}
                        Action::Finish(_) => panic!("{context}: nobody stopped it"),
                    }
                }
            }
            let kept = m.report().unfinished;
            let n: u64 = rng.gen_range(0..3);
            let message = match rng.gen_range(0..12) {
                0 | 1 => ServerMessage::Welcome {
                    version: PROTOCOL_VERSION,
                    session: n,
                    heartbeat_ms: rng.gen_range(0..=u64::MAX),
                    max_frame_bytes: rng.r#gen(),
                },
                2 => ServerMessage::Work(JobOffer {
                    lease_ms: rng.r#gen(),
                    packed_bytes: rng.gen_range(0..40),
                    ..offer(n)
                }),
                3 => ServerMessage::Idle { retry_after_ms: rng.r#gen() },
                4 => ServerMessage::HeartbeatAck {
                    state: [LeaseState::Alive, LeaseState::Lost, LeaseState::Done][rng.gen_range(0..3)],
                },
                5 => ServerMessage::SubmitAck { lease: LeaseId(n * 10), reply: SubmitReply::Accepted },
                9 => ServerMessage::InputGone { lease: LeaseId(n * 10) },
                10 => chunk(n),
                8 => ServerMessage::FailedAck { taken: rng.r#gen() },
                6 => ServerMessage::SubmitAck {
                    lease: LeaseId(n * 10),
                    reply: SubmitReply::RetryLater { retry_after_ms: rng.r#gen() },
                },
                7 => {
                    let result =
                        if rng.r#gen() { Ok(proof()) } else { Err(BackendError::Failed("no".to_owned())) };
                    let failed = result.is_err();
                    m.proved(now, ProverType::Exec, result);
                    assert!(m.report().unfinished == kept || failed, "{context}");
                    continue;
                }
                _ => {
                    now = now.max(m.wake_at().unwrap_or(now));
                    continue;
                }
            };
            awaiting = 0;
            let answers = matches!(&message, ServerMessage::SubmitAck { lease, .. } if Some(lease.0) == kept.map(|n| n * 10));
            m.received(now, message);
            assert!(kept.is_none() || m.report().unfinished == kept || answers, "{context}");
        }
    }
}

#[test]
fn configuration_is_the_documented_section() {
    let text = "prover_server_endpoint = \"10.0.0.1:3900\"\nproving_time_ms = 1\nprover_type = \"sp1\"\n";
    let parsed: ProverClientConfig = toml::from_str(text).unwrap();
    let expected = ProverClientConfig {
        prover_server_endpoint: "10.0.0.1:3900".to_owned(),
        proving_time_ms: 1,
        prover_type: ProverType::Sp1,
        ..ProverClientConfig::default()
    };
    assert_eq!(parsed, expected);
    assert!(toml::from_str::<ProverClientConfig>("proving_time = 1").is_err(), "unknown keys are errors");
    assert!(ProverClientConfig::default().validate().is_ok());
}

#[test]
fn bad_settings_are_named() {
    type Change = fn(&mut ProverClientConfig);
    let cases: [(&str, Change); 12] = [
        ("prover_server_endpoint", |c| c.prover_server_endpoint = "localhost".to_owned()),
        ("prover_server_endpoint", |c| c.prover_server_endpoint = ":3900".to_owned()),
        ("prover_server_endpoint", |c| c.prover_server_endpoint = "localhost:0".to_owned()),
        ("prover_server_endpoint", |c| c.prover_server_endpoint = "http://localhost:3900".to_owned()),
        ("name", |c| c.name = "a\nb".to_owned()),
        ("connect_timeout_ms", |c| c.connect_timeout_ms = 0),
        ("reply_timeout_ms", |c| c.reply_timeout_ms = u64::MAX),
        ("submit_timeout_ms", |c| c.submit_timeout_ms = 0),
        ("backoff_initial_ms", |c| c.backoff_initial_ms = 0),
        ("backoff_max_ms", |c| c.backoff_max_ms = 1),
        ("proving_time_ms", |c| c.proving_time_ms = u64::MAX),
        ("max_input_bytes", |c| c.max_input_bytes = 1),
    ];
    for (wanted, change) in cases {
        let mut bad = ProverClientConfig::default();
        change(&mut bad);
        match bad.validate() {
            Err(ProverError::Config { key, .. }) => assert_eq!(key, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
}

/// SEQ-INV-12
#[test]
fn the_token_does_not_show() {
    let shown = format!("{:?} {:?}", config(), machine());
    assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
}
