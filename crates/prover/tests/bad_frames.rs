//! Streams of a prover or a server gone bad, from a seed: cut, flipped, spliced, with lengths that lie (SEQ-INV-11). The
//! codecs never panic, end in a typed error, and never hold much more memory than the bytes that came; what is measured
//! is the allocator, not what the code says of itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use alloy_primitives::{B256, Bytes, FixedBytes};
use bytes::BytesMut;
use ensemble_batch::{BatchHeader, BatchInput, BlobProof, ProgramKey, PublicValues};
use ensemble_messages::{
    BatchProof, FailureKind, LeaseId, LeaseState, ProofRejection, ProofTask, ProverType, SubmitReply,
};
use ensemble_prover::protocol::{JobOffer, decode_input, encode_input};
use ensemble_prover::{
    ClientCodec, ClientMessage, FrameLimits, PROTOCOL_VERSION, ProtocolError, RefusalCode, ServerCodec,
    ServerMessage,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::codec::{Decoder, Encoder};

/// Counts what this thread holds, and the most that it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    HELD.with(|held| {
        held.set(held.get() + change);
        MOST.with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator with the same arguments; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `at` came from `alloc` above, that is from `System`, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` returns, and the most bytes that it held at once beyond those held before.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(Cell::get);
    MOST.with(|most| most.set(before));
    let value = work();
    (value, usize::try_from(MOST.with(Cell::get) - before).unwrap())
}

fn limits() -> FrameLimits {
    FrameLimits { hello_max: 1024, client_max: 1 << 20, server_max: 256 << 20 }
}

fn proof(rng: &mut StdRng) -> BatchProof {
    BatchProof {
        prover_type: ProverType::Exec,
        batch_number: rng.r#gen(),
        public_values: PublicValues { from: B256::repeat_byte(2), to: B256::repeat_byte(3) },
        program_key: ProgramKey(B256::repeat_byte(4)),
        proof: random_bytes(rng, 3000).into(),
    }
}

fn random_bytes(rng: &mut StdRng, most: usize) -> Vec<u8> {
    let length = rng.gen_range(0..=most);
    (0..length).map(|_| rng.r#gen()).collect()
}

fn input(rng: &mut StdRng) -> BatchInput {
    BatchInput {
        parent: BatchHeader::genesis(1, alloy_primitives::Address::ZERO, 2, B256::ZERO, B256::ZERO),
        parent_block: 5,
        sealed_at: 6,
        da_payload: random_bytes(rng, 2000).into(),
        blobs: vec![
            BlobProof { commitment: FixedBytes::repeat_byte(7), proof: FixedBytes::repeat_byte(8) };
            3
        ],
        witnesses: (0..5).map(|_| random_bytes(rng, 500).into()).collect(),
        in_call_data: false,
        chain_config: Bytes::from_static(b"{\"chainId\":2}"),
    }
}

/// A good conversation of a prover, as bytes, with the places where its frames begin.
fn client_stream(rng: &mut StdRng) -> (Vec<u8>, Vec<usize>) {
    let lease = LeaseId(rng.r#gen());
    stream(
        &mut ClientCodec::new(limits()),
        [
            ClientMessage::Hello {
                version: PROTOCOL_VERSION,
                prover_type: ProverType::Exec,
                name: "prover-1".to_owned(),
                token: Some("a token of some length".to_owned()),
            },
            ClientMessage::RequestWork,
            ClientMessage::Fetch { lease, offset: 7 },
            ClientMessage::Heartbeat { lease, task: ProofTask::Batch { number: 2 } },
            ClientMessage::Submit { lease, proof: proof(rng) },
            ClientMessage::Failed { lease, kind: FailureKind::Failed, reason: "out of memory".to_owned() },
            ClientMessage::Goodbye,
        ],
    )
}

/// The same of a server.
fn server_stream(rng: &mut StdRng) -> (Vec<u8>, Vec<usize>) {
    let data = encode_input(&input(rng), 1 << 20).unwrap();
    stream(
        &mut ServerCodec::new(limits()),
        [
            ServerMessage::Welcome {
                version: PROTOCOL_VERSION,
                session: 9,
                heartbeat_ms: 5000,
                max_frame_bytes: 1 << 20,
            },
            ServerMessage::Idle { retry_after_ms: 4 },
            ServerMessage::Work(JobOffer {
                lease: LeaseId(1),
                task: ProofTask::Batch { number: 2 },
                lease_ms: 3,
                input_bytes: 4,
                packed_bytes: 5,
            }),
            ServerMessage::Chunk { lease: LeaseId(1), offset: 6, data },
            ServerMessage::InputGone { lease: LeaseId(1) },
            ServerMessage::HeartbeatAck { state: LeaseState::Lost },
            ServerMessage::FailedAck { taken: true },
            ServerMessage::SubmitAck {
                lease: LeaseId(2),
                reply: SubmitReply::Rejected(ProofRejection::Invalid("words of the checker".to_owned())),
            },
            ServerMessage::Refused {
                code: RefusalCode::Quarantined,
                reason: "one proof too many".to_owned(),
            },
        ],
    )
}

fn stream<M, C: Encoder<M, Error = ProtocolError>>(
    codec: &mut C,
    messages: impl IntoIterator<Item = M>,
) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut starts) = (BytesMut::new(), Vec::new());
    for message in messages {
        starts.push(bytes.len());
        codec.encode(message, &mut bytes).unwrap();
    }
    (bytes.to_vec(), starts)
}

const LIES: [u64; 10] = [0, 1, 3, 0xff, 0xffff, 1 << 20, 200 << 20, u32::MAX as u64, 1 << 40, u64::MAX];

/// One to four things done to a stream.
fn damage(rng: &mut StdRng, bytes: &mut Vec<u8>, starts: &[usize]) {
    for _ in 0..rng.gen_range(1..=4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.gen_range(0..bytes.len());
        let lie = LIES[rng.gen_range(0..LIES.len())];
        let put = |bytes: &mut Vec<u8>, at: usize, value: &[u8]| {
            for (old, new) in bytes.iter_mut().skip(at).zip(value) {
                *old = *new;
            }
        };
        match rng.gen_range(0..8) {
            0 => bytes[at] ^= 1 << rng.gen_range(0..8),
            1 => bytes.truncate(at),
            2 => {
                let noise = random_bytes(rng, 40);
                bytes.splice(at..at, noise);
            }
            3 => {
                let end = bytes.len().min(at + rng.gen_range(1..40));
                bytes.drain(at..end);
            }
            // the length of a frame
            4 => put(bytes, starts[rng.gen_range(0..starts.len())], &(lie as u32).to_be_bytes()),
            // anything that may be a length within a message
            5 => put(bytes, at, &lie.to_le_bytes()),
            6 => {
                let end = bytes.len().min(at + 200);
                bytes.extend_from_within(at..end);
            }
            _ => {
                let noise = random_bytes(rng, 200);
                put(bytes, at, &noise);
            }
        }
    }
}

/// Feeds a stream in pieces, as a socket would; stops at the first error.
fn read<D: Decoder<Error = ProtocolError>>(
    codec: &mut D,
    bytes: &[u8],
    piece: usize,
) -> Result<usize, ProtocolError> {
    let (mut buffer, mut whole) = (BytesMut::new(), 0);
    for part in bytes.chunks(piece) {
        buffer.extend_from_slice(part);
        while codec.decode(&mut buffer)?.is_some() {
            whole += 1;
        }
    }
    while codec.decode_eof(&mut buffer)?.is_some() {
        whole += 1;
    }
    Ok(whole)
}

/// serde makes room for up to 1 MiB of a list before the first element is read, whatever length the list claims; a list of
/// lists does so twice.
const LISTS: usize = 2 << 20;

/// The read buffer grows by doubling and by steps of 256 KiB, a message is built beside it.
fn allowed(bytes: usize) -> usize {
    8 * bytes + (1 << 20) + LISTS
}

const SEED: u64 = 0x0bad_f4a3;
const ROUNDS: u64 = 4000;

/// SEQ-INV-11
#[test]
fn damaged_streams_end_in_an_error_within_bounded_memory() {
    let (mut errors, mut good, mut most) = (0u32, 0u32, 0usize);
    for round in 0..ROUNDS {
        let mut rng = StdRng::seed_from_u64(SEED ^ round);
        let from_client = rng.r#gen::<bool>();
        let (mut bytes, starts) = if from_client { client_stream(&mut rng) } else { server_stream(&mut rng) };
        damage(&mut rng, &mut bytes, &starts);
        let piece = [1, 7, 64, 1500, 1 << 20][rng.gen_range(0..5)];
        let (result, held) = measured(|| {
            if from_client {
                read(&mut ServerCodec::new(limits()), &bytes, piece)
            } else {
                read(&mut ClientCodec::new(limits()), &bytes, piece)
            }
        });
        most = most.max(held);
        assert!(
            held <= allowed(bytes.len()),
            "seed {SEED:#x}, round {round}: {held} bytes held for a stream of {}",
            bytes.len()
        );
        match result {
            Ok(_) => good += 1,
            Err(error) => {
                errors += 1;
                assert!(error.to_string().len() < 500, "seed {SEED:#x}, round {round}: {error}");
                assert!(!error.to_string().contains("a token of some length"), "SEQ-INV-12: {error}");
            }
        }
    }
    println!("{errors} errors, {good} streams that stayed readable, at most {most} bytes held");
    assert!(errors > 2000 && good > 50, "seed {SEED:#x}: {errors} errors, {good} good");
}

/// SEQ-INV-11: the input of a batch as a prover reads it.
#[test]
fn damaged_inputs_cost_no_more_than_they_weigh() {
    let mut errors = 0;
    for round in 0..ROUNDS {
        let mut rng = StdRng::seed_from_u64(SEED ^ (round << 32));
        let mut bytes = encode_input(&input(&mut rng), 1 << 20).unwrap().to_vec();
        damage(&mut rng, &mut bytes, &[0]);
        let (result, held) = measured(|| decode_input(&bytes).map(drop));
        assert!(held <= 4 * bytes.len() + LISTS, "seed {SEED:#x}, round {round}: {held} for {}", bytes.len());
        errors += u32::from(result.is_err());
    }
    assert!(errors > 1000, "seed {SEED:#x}: {errors} errors");
}

/// SEQ-INV-11: a frame of the largest length, of which only the first byte ever comes, costs almost nothing; one that
/// comes whole costs what it weighs.
#[test]
fn huge_frames() {
    let hello = client_stream(&mut StdRng::seed_from_u64(SEED));
    let hello = &hello.0[..hello.1[1]];
    let mut server = ServerCodec::new(limits());
    assert_eq!(read(&mut server, hello, 1000).unwrap(), 1);
    let announced = [&(1u32 << 20).to_be_bytes()[..], &[2]].concat();
    let (result, held) = measured(|| read(&mut server, &announced, 1000));
    assert!(matches!(result, Err(ProtocolError::Closed)), "{result:?}");
    assert!(held < 600 << 10, "{held} bytes for a frame that did not come");

    let whole = [&(1u32 << 20).to_be_bytes()[..], &vec![2; 1 << 20]].concat();
    let (result, held) = measured(|| read(&mut server, &whole, 4096));
    assert!(matches!(result, Err(ProtocolError::Malformed(_))), "{result:?}");
    assert!(held < 4 << 20, "{held} bytes for a frame of 1 MiB");

    for too_long in [(1u32 << 20) + 1, u32::MAX] {
        let (result, held) = measured(|| read(&mut server, &too_long.to_be_bytes(), 1000));
        assert!(matches!(result, Err(ProtocolError::FrameTooLarge { .. })), "{result:?}");
        assert!(held < 4096, "{held} bytes for a frame that is refused");
    }
}
