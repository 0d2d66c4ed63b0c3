#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloy_primitives::{B256, Bytes, FixedBytes, hex};
use bytes::{BufMut, BytesMut};
use ensemble_batch::{BatchHeader, BatchInput, BlobProof, ProgramKey, PublicValues};
use ensemble_messages::{
    BatchProof, FailureKind, LeaseId, LeaseState, PackedInput, ProofRejection, ProofTask, ProverType,
    SubmitReply,
};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

use super::*;

fn hello() -> ClientMessage {
    ClientMessage::Hello {
        version: PROTOCOL_VERSION,
        prover_type: ProverType::Exec,
        name: "p".to_owned(),
        token: None,
    }
}

fn client_bytes(message: ClientMessage) -> BytesMut {
    let mut out = BytesMut::new();
    ClientCodec::default().encode(message, &mut out).unwrap();
    out
}

fn server_bytes(message: ServerMessage) -> BytesMut {
    let mut out = BytesMut::new();
    ServerCodec::default().encode(message, &mut out).unwrap();
    out
}

fn greeted_server(limits: FrameLimits) -> ServerCodec {
    let mut codec = ServerCodec::new(limits);
    assert_eq!(codec.decode(&mut client_bytes(hello())).unwrap(), Some(hello()));
    codec
}

fn offer() -> JobOffer {
    JobOffer {
        lease: LeaseId(1),
        task: ProofTask::Batch { number: 2 },
        lease_ms: 3,
        input_bytes: 5,
        packed_bytes: 4,
    }
}

fn welcome() -> ServerMessage {
    ServerMessage::Welcome {
        version: PROTOCOL_VERSION,
        session: 9,
        heartbeat_ms: 5000,
        max_frame_bytes: 1 << 20,
    }
}

fn greeted_client(limits: FrameLimits) -> ClientCodec {
    let mut codec = ClientCodec::new(limits);
    assert_eq!(codec.decode(&mut server_bytes(welcome())).unwrap(), Some(welcome()));
    codec
}

fn frame(payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u32(payload.len() as u32);
    out.put_slice(payload);
    out
}

fn values() -> PublicValues {
    PublicValues { from: B256::repeat_byte(2), to: B256::repeat_byte(3) }
}

fn proof() -> BatchProof {
    BatchProof {
        prover_type: ProverType::Sp1,
        batch_number: 258,
        public_values: values(),
        program_key: ProgramKey(B256::repeat_byte(4)),
        proof: Bytes::from_static(&[0xaa, 0xbb]),
    }
}

fn batch_input() -> BatchInput {
    BatchInput {
        parent: BatchHeader::genesis(1, alloy_primitives::Address::ZERO, 2, B256::ZERO, B256::ZERO),
        parent_block: 5,
        sealed_at: 6,
        da_payload: Bytes::from_static(b"payload"),
        blobs: vec![BlobProof { commitment: FixedBytes::repeat_byte(7), proof: FixedBytes::repeat_byte(8) }],
        witnesses: vec![Bytes::from_static(b"{}"), Bytes::new()],
        in_call_data: false,
        chain_config: Bytes::from_static(b"{\"chainId\":2}"),
    }
}

/// The bytes on the wire, written down by hand from the module's description: a change of any is a change of the
/// protocol version.
#[test]
fn wire_format_is_pinned() {
    let le = |n: u64| n.to_le_bytes().to_vec();
    let word = |b: u8| [le(32), vec![b; 32]].concat();
    let submit = [
        vec![2, 0, 0, 0],
        le(7),
        vec![2, 0, 0, 0],
        le(258),
        word(2),
        word(3),
        word(4),
        le(2),
        vec![0xaa, 0xbb],
    ]
    .concat();
    let failed =
        ClientMessage::Failed { lease: LeaseId(7), kind: FailureKind::Failed, reason: "no".to_owned() };
    let client: [(ClientMessage, Vec<u8>); 8] = [
        (hello(), hex!("454e5342 0004 00000000 0100000000000000 70 00").to_vec()),
        (ClientMessage::RequestWork, vec![0; 4]),
        (
            ClientMessage::Heartbeat { lease: LeaseId(7), task: ProofTask::Batch { number: 2 } },
            [vec![1, 0, 0, 0], le(7), vec![0; 4], le(2)].concat(),
        ),
        (
            ClientMessage::Heartbeat { lease: LeaseId(7), task: ProofTask::Join { first: 2, last: 5 } },
            [vec![1, 0, 0, 0], le(7), vec![1, 0, 0, 0], le(2), le(5)].concat(),
        ),
        (ClientMessage::Submit { lease: LeaseId(7), proof: proof() }, submit),
        (ClientMessage::Goodbye, vec![3, 0, 0, 0]),
        (ClientMessage::Fetch { lease: LeaseId(7), offset: 9 }, [vec![5, 0, 0, 0], le(7), le(9)].concat()),
        (failed, [vec![4, 0, 0, 0], le(7), vec![1, 0, 0, 0], le(2), b"no".to_vec()].concat()),
    ];
    for (message, payload) in client {
        assert_eq!(client_bytes(message.clone()), frame(&payload), "{message:?}");
    }
    let work = offer();
    let chunk = ServerMessage::Chunk { lease: LeaseId(7), offset: 9, data: Bytes::from_static(&[0xff]) };
    let server: [(ServerMessage, Vec<u8>); 9] = [
        (welcome(), [vec![0, 0, 0, 0, 4, 0], le(9), le(5000), vec![0, 0, 16, 0]].concat()),
        (
            ServerMessage::Refused { code: RefusalCode::Unauthorized, reason: "no".to_owned() },
            hex!("454e5342 0004 01 02 0002 6e6f").to_vec(),
        ),
        (
            ServerMessage::Work(work),
            [vec![1, 0, 0, 0], le(1), vec![0; 4], le(2), le(3), le(5), le(4)].concat(),
        ),
        (ServerMessage::Idle { retry_after_ms: 4 }, [vec![2, 0, 0, 0], le(4)].concat()),
        (ServerMessage::HeartbeatAck { state: LeaseState::Done }, vec![3, 0, 0, 0, 2, 0, 0, 0]),
        (
            ServerMessage::SubmitAck { lease: LeaseId(2), reply: SubmitReply::Duplicate },
            [vec![4, 0, 0, 0], le(2), vec![1, 0, 0, 0]].concat(),
        ),
        (ServerMessage::FailedAck { taken: true }, vec![5, 0, 0, 0, 1]),
        (chunk, [vec![6, 0, 0, 0], le(7), le(9), le(1), vec![0xff]].concat()),
        (ServerMessage::InputGone { lease: LeaseId(7) }, [vec![7, 0, 0, 0], le(7)].concat()),
    ];
    for (message, payload) in server {
        assert_eq!(server_bytes(message.clone()), frame(&payload), "{message:?}");
    }
}

#[test]
fn refusal_of_another_version_is_readable() {
    let mut theirs = client_bytes(hello());
    theirs[9] = 5;
    theirs.truncate(12);
    theirs[..4].copy_from_slice(&8u32.to_be_bytes());
    let error = ServerCodec::default().decode(&mut theirs).unwrap_err();
    assert!(matches!(error, ProtocolError::WrongVersion { theirs: 5, ours: 4 }), "{error}");

    let mut answer = server_bytes(error.refusal().unwrap());
    match ClientCodec::default().decode(&mut answer).unwrap().unwrap() {
        ServerMessage::Refused { code: RefusalCode::WrongVersion, reason } => {
            assert!(reason.contains("version 4") && reason.contains('5'), "{reason}");
        }
        other => panic!("{other:?}"),
    }

    // from a later version: other version number, unknown code, bytes after the reason
    let mut later = frame(&hex!("454e5342 0009 01 c8 0002 6e6f 010203"));
    assert_eq!(
        ClientCodec::default().decode(&mut later).unwrap(),
        Some(ServerMessage::Refused { code: RefusalCode::Other(200), reason: "no".to_owned() })
    );
}

#[test]
fn refusal_reasons_are_cut_and_cleaned() {
    let reason = format!("{}{}", "x".repeat(MAX_REASON_LEN - 1), "äöü".repeat(400));
    let mut bytes = server_bytes(ServerMessage::Refused { code: RefusalCode::Busy, reason });
    match ClientCodec::default().decode(&mut bytes).unwrap().unwrap() {
        ServerMessage::Refused { reason, .. } => assert_eq!(reason, "x".repeat(MAX_REASON_LEN - 1)),
        other => panic!("{other:?}"),
    }
    let reason = "a\nb\x1b[31m".to_owned();
    let mut bytes = server_bytes(ServerMessage::Refused { code: RefusalCode::Busy, reason });
    match ClientCodec::default().decode(&mut bytes).unwrap().unwrap() {
        ServerMessage::Refused { reason, .. } => assert_eq!(reason, "a\u{fffd}b\u{fffd}[31m"),
        other => panic!("{other:?}"),
    }
}

/// SEQ-INV-11: what a prover says of its failure ends up in the store and in log lines.
#[test]
fn reasons_of_failures_are_cut_and_cleaned() {
    let failed =
        |reason: String| ClientMessage::Failed { lease: LeaseId(1), kind: FailureKind::Refused, reason };
    let decoded = |bytes: &mut BytesMut| greeted_server(FrameLimits::default()).decode(bytes);
    let mut long = client_bytes(failed(format!("{}ä", "x".repeat(MAX_FAILURE_LEN - 1))));
    assert_eq!(decoded(&mut long).unwrap(), Some(failed("x".repeat(MAX_FAILURE_LEN - 1))));
    let mut control = client_bytes(failed("a\nb".to_owned()));
    assert_eq!(decoded(&mut control).unwrap(), Some(failed("a\u{fffd}b".to_owned())));
    let reason = vec![b'x'; MAX_FAILURE_LEN + 1];
    let longer = [&[4, 0, 0, 0][..], &[0; 12], &(reason.len() as u64).to_le_bytes(), &reason].concat();
    let error = decoded(&mut frame(&longer)).unwrap_err();
    assert!(matches!(error, ProtocolError::Malformed(_)), "{error}");
}

#[test]
fn broken_refusals_are_malformed() {
    for payload in [
        &hex!("454e5342 0004 02 02 0000")[..],  // unknown kind
        &hex!("454e5342 0001 01 02 00"),        // cut
        &hex!("454e5342 0001 01 02 0003 6e6f"), // longer than it is
        &hex!("454e5342 0001 01 02 0002 ffff"), // not UTF-8
    ] {
        let error = ClientCodec::default().decode(&mut frame(payload)).unwrap_err();
        assert!(matches!(error, ProtocolError::Malformed(_)), "{payload:?} {error}");
    }
}

#[test]
fn refusal_codes_round_trip() {
    for byte in 0..=255 {
        let code = RefusalCode::from_byte(byte);
        assert_eq!(code.to_byte(), byte);
        assert_eq!(code.is_final(), byte == 1 || byte == 2);
    }
}

#[test]
fn peers_of_other_protocols_are_recognised_early() {
    // four bytes of payload are enough to see that this is no hello, the announced rest never comes
    let mut src = BytesMut::from(&hex!("00000064 16030100")[..]);
    let error = ServerCodec::default().decode(&mut src).unwrap_err();
    assert!(matches!(error, ProtocolError::BadMagic { got: [0x16, 3, 1, 0] }), "{error}");

    let mut http = BytesMut::from(&b"GET / HTTP/1.1\r\n\r\n"[..]);
    let error = ServerCodec::default().decode(&mut http).unwrap_err();
    assert!(matches!(error, ProtocolError::FrameTooLarge { max: 1024, .. }), "{error}");
}

/// One side speaks TLS and the other does not: the first record says so, and what to set.
#[test]
fn tls_on_one_side_only_is_recognised() {
    let mut hello = BytesMut::from(&hex!("16030100f8 010000f4 0303")[..]);
    let error = ServerCodec::default().decode(&mut hello).unwrap_err();
    assert!(
        matches!(error, ProtocolError::Tls { .. }) && error.to_string().contains("tls_cert_path"),
        "{error}"
    );
    assert!(error.refusal().is_some());
    let mut alert = BytesMut::from(&hex!("15030300 02 0232")[..]);
    let error = ClientCodec::default().decode(&mut alert).unwrap_err();
    assert!(
        matches!(error, ProtocolError::Tls { .. }) && error.to_string().contains("tls_ca_path"),
        "{error}"
    );
}

/// SEQ-INV-11: nobody sends more than the limit of the present place, and nothing is allocated for a length that
/// was only announced.
#[test]
fn announced_lengths_are_bounded_and_cost_nothing() {
    let limits = FrameLimits { hello_max: 64, client_max: 100, server_max: 1 << 30 };
    let header = |len: u32| BytesMut::from(&len.to_be_bytes()[..]);

    let too_large = |result: Result<Option<ClientMessage>, ProtocolError>, bound: u64| match result {
        Err(ProtocolError::FrameTooLarge { len, max }) => assert_eq!((len, max), (bound + 1, bound)),
        other => panic!("{other:?}"),
    };
    too_large(ServerCodec::new(limits).decode(&mut header(65)), 64);
    assert!(ServerCodec::new(limits).decode(&mut header(64)).unwrap().is_none());
    too_large(greeted_server(limits).decode(&mut header(101)), 100);
    assert!(greeted_server(limits).decode(&mut header(100)).unwrap().is_none());

    let error = ClientCodec::new(limits).decode(&mut header(65)).unwrap_err();
    assert!(matches!(error, ProtocolError::FrameTooLarge { len: 65, max: 64 }), "{error}");
    let mut src = header(1 << 30);
    assert!(greeted_client(limits).decode(&mut src).unwrap().is_none());
    assert!(src.capacity() <= 1 << 20, "{}", src.capacity());
}

#[test]
fn own_messages_over_the_limit_are_not_sent() {
    let limits = FrameLimits { hello_max: 64, client_max: 100, server_max: 100 };
    let mut out = BytesMut::new();
    let error = ClientCodec::new(limits)
        .encode(ClientMessage::Submit { lease: LeaseId(1), proof: proof() }, &mut out)
        .unwrap_err();
    assert!(matches!(error, ProtocolError::FrameTooLarge { max: 100, .. }), "{error}");
    let chunk = ServerMessage::Chunk { lease: LeaseId(1), offset: 0, data: vec![0; 100].into() };
    let error = ServerCodec::new(limits).encode(chunk, &mut out).unwrap_err();
    assert!(matches!(error, ProtocolError::FrameTooLarge { len: 128, max: 100 }), "{error}");
    assert!(out.is_empty(), "a refused message leaves no bytes behind");
    assert!(encode_input(&batch_input(), 64).is_err());
}

/// What a client sends is bound by what the server takes, whatever the client was made with.
#[test]
fn the_welcome_says_how_large_a_proof_may_be() {
    let submit = |bytes: usize| {
        let proof = BatchProof { proof: vec![7; bytes].into(), ..proof() };
        ClientMessage::Submit { lease: LeaseId(1), proof }
    };
    for (ours, theirs) in [(100, 4 << 20), (4 << 20, 1000), (1 << 20, 1 << 20)] {
        let mut client = ClientCodec::new(FrameLimits { client_max: ours, ..FrameLimits::default() });
        let mut server = greeted_server(FrameLimits { client_max: theirs, ..FrameLimits::default() });
        let welcome = ServerMessage::Welcome {
            version: PROTOCOL_VERSION,
            session: 1,
            heartbeat_ms: 1,
            max_frame_bytes: theirs as u32,
        };
        assert_eq!(client.decode(&mut server_bytes(welcome.clone())).unwrap(), Some(welcome));
        let fits = theirs - (client_bytes(submit(0)).len() - 4);
        let mut bytes = BytesMut::new();
        client.encode(submit(fits), &mut bytes).unwrap();
        assert_eq!(server.decode(&mut bytes).unwrap(), Some(submit(fits)));
        let error = client.encode(submit(fits + 1), &mut bytes).unwrap_err();
        let (wanted, limit) = (theirs as u64 + 1, theirs as u64);
        assert!(
            matches!(error, ProtocolError::FrameTooLarge { len, max } if (len, max) == (wanted, limit)),
            "{error}"
        );
    }
}

/// SEQ-INV-11
#[test]
fn lengths_inside_a_message_may_lie() {
    for lie in [u64::MAX, 1 << 33, 1 << 20, 3] {
        // Submit whose last length, that of the proof, lies
        let mut bytes = client_bytes(ClientMessage::Submit { lease: LeaseId(1), proof: proof() });
        let at = bytes.len() - 10;
        bytes[at..at + 8].copy_from_slice(&lie.to_le_bytes());
        let error = greeted_server(FrameLimits::default()).decode(&mut bytes).unwrap_err();
        assert!(matches!(error, ProtocolError::Malformed(_)), "{error}");

        let good = encode_input(&batch_input(), 1 << 20).unwrap();
        let config_len = good.len() - batch_input().chain_config.len() - 8;
        let witnesses_len = config_len - (8 + 2 + 8) - 8;
        for at in [config_len, witnesses_len] {
            let mut bad = good.to_vec();
            bad[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            assert!(matches!(decode_input(&bad), Err(ProtocolError::Malformed(_))), "{at} {lie}");
        }
    }
}

#[test]
fn inputs_round_trip() {
    let bytes = encode_input(&batch_input(), 1 << 20).unwrap();
    assert_eq!(decode_input(&bytes).unwrap(), batch_input());
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(matches!(decode_input(&longer), Err(ProtocolError::Malformed(_))));
}

fn packed(input: &BatchInput, max: usize) -> Result<PackedInput, InputError> {
    let mut packer = InputPacker::new(input.into(), input.witnesses.len() as u64, max)?;
    for witness in &input.witnesses {
        packer.witness(witness)?;
    }
    packer.finish(&input.chain_config)
}

/// A large input that compresses badly, and the pieces that it comes in.
fn large_input() -> (BatchInput, PackedInput) {
    let mut input = batch_input();
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    input.witnesses = (0..3).map(|_| (0..700_000).map(|_| noise()).collect::<Vec<u8>>().into()).collect();
    (input.blobs, input.in_call_data) = (Vec::new(), true);
    let packed = packed(&input, 1 << 22).unwrap();
    (input, packed)
}

fn read(input: &PackedInput, piece: usize) -> Result<Vec<u8>, InputError> {
    let mut reader = InputReader::new(input.bytes, input.packed.len() as u64, 1 << 22)?;
    for piece in input.packed.chunks(piece) {
        reader.push(reader.offset(), piece)?;
    }
    reader.finish()
}

/// What is packed piece by piece is what [`encode_input`] makes of the whole.
#[test]
fn inputs_are_packed_and_read_in_pieces() {
    let (large, packed_large) = large_input();
    for (input, packed) in [(batch_input(), packed(&batch_input(), 1 << 20).unwrap()), (large, packed_large)]
    {
        let whole = encode_input(&input, 1 << 22).unwrap();
        assert_eq!(packed.bytes, whole.len() as u64);
        for piece in [1_000, 65_536, CHUNK_BYTES] {
            let came = read(&packed, piece).unwrap();
            assert_eq!(came, whole.to_vec(), "{piece}");
            assert_eq!(came.capacity(), came.len(), "not a byte more than announced is held");
        }
        assert_eq!(decode_input(&read(&packed, CHUNK_BYTES).unwrap()).unwrap(), input);
    }
    let mut zeros = batch_input();
    zeros.witnesses = vec![vec![0; 4 << 20].into()];
    let small = packed(&zeros, 5 << 20).unwrap();
    assert!(small.packed.len() < 4096, "{} bytes", small.packed.len());
}

/// The input of a join is a list of proofs, each laid out as in `Submit`.
#[test]
fn proofs_to_be_joined_are_packed_and_read() {
    let proofs = [proof(), BatchProof { batch_number: 259, ..proof() }];
    let packed = pack_proofs(&proofs, 1 << 20).unwrap();
    let bytes = read(&packed, CHUNK_BYTES).unwrap();
    let submitted = |proof: BatchProof| {
        let frame = client_bytes(ClientMessage::Submit { lease: LeaseId(7), proof });
        frame[4 + 12..].to_vec()
    };
    let [one, two] = proofs.clone().map(submitted);
    assert_eq!(bytes, [2_u64.to_le_bytes().to_vec(), one, two].concat());
    assert_eq!(decode_proofs(&bytes).unwrap(), proofs);
    assert!(pack_proofs(&proofs, bytes.len()).is_ok());
    let error = pack_proofs(&proofs, bytes.len() - 1).unwrap_err();
    assert!(matches!(error, InputError::TooLarge { .. }), "{error}");

    // SEQ-INV-11
    for cut in 0..bytes.len() {
        assert!(decode_proofs(&bytes[..cut]).is_err(), "{cut}");
    }
    assert!(decode_proofs(&[&bytes[..], &[0]].concat()).is_err());
    assert!(decode_proofs(&[0xff; 8]).is_err(), "a length without end");
}

/// SEQ-INV-11: an input over the limit is refused while it is made, and by what is announced of it.
#[test]
fn inputs_over_the_limit_are_refused_on_both_sides() {
    let whole = encode_input(&batch_input(), 1 << 20).unwrap().len();
    assert!(packed(&batch_input(), whole).is_ok());
    for max in [0, 10, whole - 1] {
        let error = packed(&batch_input(), max).unwrap_err();
        assert!(matches!(error, InputError::TooLarge { .. }), "{max}: {error}");
    }
    for (bytes, packed) in [(1001, 10), (10, 5000), (u64::MAX, 1), (1, u64::MAX)] {
        let error = InputReader::new(bytes, packed, 1000).unwrap_err();
        assert!(matches!(error, InputError::TooLarge { max: 1000, .. }), "{error}");
    }
}

/// SEQ-INV-11: pieces in a wrong order, empty, too long, too many or too few.
#[test]
fn pieces_that_do_not_fit_are_refused() {
    let (_, input) = large_input();
    let reader = || InputReader::new(input.bytes, input.packed.len() as u64, 1 << 22).unwrap();
    let (first, second) = (&input.packed[..1000], &input.packed[1000..2000]);
    assert_eq!(reader().push(1000, second), Err(InputError::WrongOffset { expected: 0, got: 1000 }));
    let mut twice = reader();
    twice.push(0, first).unwrap();
    assert_eq!(twice.push(0, first), Err(InputError::WrongOffset { expected: 1000, got: 0 }));
    assert!(matches!(reader().push(0, &[]), Err(InputError::BadPiece { bytes: 0, .. })));
    let long = vec![0; CHUNK_BYTES + 1];
    assert!(matches!(reader().push(0, &long), Err(InputError::BadPiece { .. })));
    let mut cut = reader();
    cut.push(0, first).unwrap();
    assert!(!cut.is_complete());
    assert!(matches!(cut.finish(), Err(InputError::WrongTotal { what: "on the wire", .. })));
    // One byte more than announced, and one less.
    let mut more = input.packed.to_vec();
    more.push(0);
    let mut reader = InputReader::new(input.bytes, input.packed.len() as u64, 1 << 22).unwrap();
    let result = more.chunks(CHUNK_BYTES).try_for_each(|piece| reader.push(reader.offset(), piece));
    assert!(matches!(result, Err(InputError::WrongTotal { what: "on the wire", .. })), "{result:?}");
    let shorter = PackedInput { bytes: input.bytes, packed: input.packed.slice(..input.packed.len() - 1) };
    assert!(matches!(read(&shorter, CHUNK_BYTES), Err(InputError::Damaged(_))));
    let trailing = PackedInput { bytes: input.bytes, packed: more.into() };
    assert!(matches!(read(&trailing, CHUNK_BYTES), Err(InputError::Damaged(_))));
    for lie in [input.bytes - 1, input.bytes + 1] {
        let lying = PackedInput { bytes: lie, packed: input.packed.clone() };
        let error = read(&lying, CHUNK_BYTES).unwrap_err();
        assert!(matches!(error, InputError::WrongTotal { what: "decompressed", .. }), "{error}");
    }
}

/// SEQ-INV-11: bytes that decompress to much more than was announced are cut off at what was announced; a frame that wants
/// a window of gigabytes is refused.
#[test]
fn decompression_bombs_are_refused() {
    let mut zeros = batch_input();
    zeros.witnesses = vec![vec![0; 64 << 20].into()];
    let bomb = packed(&zeros, 65 << 20).unwrap();
    assert!(bomb.packed.len() < 16 << 10, "{} bytes", bomb.packed.len());
    let lying = PackedInput { bytes: 1000, packed: bomb.packed };
    match read(&lying, CHUNK_BYTES) {
        Err(InputError::WrongTotal { what: "decompressed", announced: 1000, got }) => {
            assert!(got <= 1000 + (128 << 10), "{got} bytes were made")
        }
        other => panic!("{other:?}"),
    }
    // RFC 8878 3.1.1: magic, no single segment, window descriptor 31 << 3 (2 TiB), an empty last block
    let window = PackedInput { bytes: 5, packed: Bytes::from_static(&hex!("28b52ffd 00 f8 010000")) };
    assert!(matches!(read(&window, CHUNK_BYTES), Err(InputError::Damaged(_))));
}

#[test]
fn trailing_bytes_and_unknown_messages_are_malformed() {
    for payload in [&[0, 0, 0, 0, 0][..], &[4, 0, 0, 0], &[9, 0, 0, 0], &[0xff; 4], &[0, 0], &[]] {
        let error = greeted_server(FrameLimits::default()).decode(&mut frame(payload)).unwrap_err();
        assert!(matches!(error, ProtocolError::Malformed(_)), "{payload:?} {error}");
    }
}

#[test]
fn hello_comes_first_and_once() {
    let error = ServerCodec::default().decode(&mut client_bytes(ClientMessage::RequestWork)).unwrap_err();
    assert!(matches!(error, ProtocolError::BadMagic { .. }), "{error}");
    let error = greeted_server(FrameLimits::default()).decode(&mut client_bytes(hello())).unwrap_err();
    assert!(matches!(&error, ProtocolError::Malformed(what) if what == "a second hello"), "{error}");
}

/// SEQ-INV-11: names end up in log lines.
#[test]
fn names_are_checked_on_both_sides() {
    for name in ["", "a\nb", "\x1b[2J", "é", &"x".repeat(65)] {
        assert!(check_name(name).is_err(), "{name:?}");
        let message = ClientMessage::Hello {
            version: PROTOCOL_VERSION,
            prover_type: ProverType::Exec,
            name: name.to_owned(),
            token: None,
        };
        assert!(ClientCodec::default().encode(message, &mut BytesMut::new()).is_err(), "{name:?}");
    }
    let mut bytes = client_bytes(hello());
    let at = bytes.len() - 2;
    bytes[at] = b'\n';
    let error = ServerCodec::default().decode(&mut bytes).unwrap_err();
    assert!(matches!(error, ProtocolError::Malformed(_)), "{error}");
    assert!(check_name(&"x".repeat(64)).is_ok());
}

#[test]
fn end_of_stream_inside_a_frame_is_an_error() {
    let whole = client_bytes(hello());
    for cut in 1..whole.len() {
        let mut part = BytesMut::from(&whole[..cut]);
        let error = ServerCodec::default().decode_eof(&mut part).unwrap_err();
        assert!(matches!(error, ProtocolError::Closed), "{cut}: {error}");
    }
    assert!(ServerCodec::default().decode_eof(&mut BytesMut::new()).unwrap().is_none());
}

/// SEQ-INV-12
#[test]
fn tokens_do_not_show_in_debug() {
    let message = ClientMessage::Hello {
        version: 1,
        prover_type: ProverType::Exec,
        name: "p".to_owned(),
        token: Some("hunter2".to_owned()),
    };
    assert!(!format!("{message:?}").contains("hunter2"));
}

#[test]
fn tokens_are_compared() {
    assert!(token_matches("a", Some("a")));
    assert!(!token_matches("a", Some("b")));
    assert!(!token_matches("a", None));
    assert!(!token_matches("", None));
}

#[test]
fn large_read_buffers_are_given_back() {
    let limits = FrameLimits { server_max: 8 << 20, ..FrameLimits::default() };
    let chunk = ServerMessage::Chunk { lease: LeaseId(1), offset: 0, data: vec![7; 4 << 20].into() };
    let mut src = BytesMut::new();
    ServerCodec::new(limits).encode(chunk.clone(), &mut src).unwrap();
    src.reserve(8 << 20);
    let mut codec = greeted_client(limits);
    assert_eq!(codec.decode(&mut src).unwrap(), Some(chunk));
    assert_eq!(src.capacity(), 0);
}

fn any_word() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

fn any_values() -> impl Strategy<Value = PublicValues> {
    (any_word(), any_word()).prop_map(|(from, to)| PublicValues { from, to })
}

fn any_bytes(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn any_proof() -> impl Strategy<Value = BatchProof> {
    (prop::sample::select(&ProverType::ALL), any::<u64>(), any_values(), any_word(), any_bytes(300)).prop_map(
        |(prover_type, batch_number, public_values, key, proof)| BatchProof {
            prover_type,
            batch_number,
            public_values,
            program_key: ProgramKey(key),
            proof,
        },
    )
}

fn any_task() -> impl Strategy<Value = ProofTask> {
    prop_oneof![
        any::<u64>().prop_map(|number| ProofTask::Batch { number }),
        any::<(u64, u64)>().prop_map(|(first, last)| ProofTask::Join { first, last }),
    ]
}

fn any_client() -> impl Strategy<Value = ClientMessage> {
    prop_oneof![
        Just(ClientMessage::RequestWork),
        (any::<u64>(), any_task()).prop_map(|(n, task)| ClientMessage::Heartbeat { lease: LeaseId(n), task }),
        (any::<u64>(), any_proof()).prop_map(|(n, proof)| ClientMessage::Submit { lease: LeaseId(n), proof }),
        (any::<u64>(), any::<bool>(), "[^\\p{Cc}]{0,200}").prop_map(|(n, refused, reason)| {
            ClientMessage::Failed {
                lease: LeaseId(n),
                kind: if refused { FailureKind::Refused } else { FailureKind::Failed },
                reason,
            }
        }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(n, offset)| ClientMessage::Fetch { lease: LeaseId(n), offset }),
        Just(ClientMessage::Goodbye),
    ]
}

fn any_hello() -> impl Strategy<Value = ClientMessage> {
    (prop::sample::select(&ProverType::ALL), "[ -~]{1,64}", prop::option::of("\\PC{0,80}")).prop_map(
        |(prover_type, name, token)| ClientMessage::Hello {
            version: PROTOCOL_VERSION,
            prover_type,
            name,
            token,
        },
    )
}

fn any_reply() -> impl Strategy<Value = SubmitReply> {
    prop_oneof![
        Just(SubmitReply::Accepted),
        Just(SubmitReply::Duplicate),
        Just(SubmitReply::Rejected(ProofRejection::NotWanted)),
        Just(SubmitReply::Rejected(ProofRejection::Quarantined)),
        "\\PC{0,60}".prop_map(|why| SubmitReply::Rejected(ProofRejection::Invalid(why))),
        (any_values(), any_values()).prop_map(|(expected, got)| SubmitReply::Rejected(
            ProofRejection::WrongPublicValues { expected, got }
        )),
        (any_word(), any_word()).prop_map(|(expected, got)| SubmitReply::Rejected(
            ProofRejection::WrongProgram { expected: ProgramKey(expected), got: ProgramKey(got) }
        )),
        any::<u64>().prop_map(|retry_after_ms| SubmitReply::RetryLater { retry_after_ms }),
    ]
}

fn any_server() -> impl Strategy<Value = ServerMessage> {
    prop_oneof![
        (any::<u16>(), any::<u64>(), any::<u64>(), any::<u32>()).prop_map(
            |(version, session, heartbeat_ms, max_frame_bytes)| {
                ServerMessage::Welcome { version, session, heartbeat_ms, max_frame_bytes }
            }
        ),
        (any::<u8>(), "\\PC{0,100}")
            .prop_map(|(byte, reason)| ServerMessage::Refused { code: RefusalCode::from_byte(byte), reason }),
        (any::<u64>(), any::<u64>(), any_bytes(2000))
            .prop_map(|(lease, offset, data)| ServerMessage::Chunk { lease: LeaseId(lease), offset, data }),
        (any::<[u64; 4]>(), any_task()).prop_map(|([lease, lease_ms, input_bytes, packed_bytes], task)| {
            ServerMessage::Work(JobOffer { lease: LeaseId(lease), task, lease_ms, input_bytes, packed_bytes })
        }),
        any::<u64>().prop_map(|n| ServerMessage::InputGone { lease: LeaseId(n) }),
        any::<u64>().prop_map(|retry_after_ms| ServerMessage::Idle { retry_after_ms }),
        prop::sample::select(&[LeaseState::Alive, LeaseState::Lost, LeaseState::Done])
            .prop_map(|state| ServerMessage::HeartbeatAck { state }),
        (any::<u64>(), any_reply())
            .prop_map(|(n, reply)| ServerMessage::SubmitAck { lease: LeaseId(n), reply }),
        any::<bool>().prop_map(|taken| ServerMessage::FailedAck { taken }),
    ]
}

/// Feeds `bytes` to a decoder in pieces of `step` bytes.
fn decode_all<D: Decoder<Error = ProtocolError>>(
    codec: &mut D,
    bytes: &[u8],
    step: usize,
) -> Result<Vec<D::Item>, ProtocolError> {
    let mut src = BytesMut::new();
    let mut out = Vec::new();
    for piece in bytes.chunks(step) {
        src.extend_from_slice(piece);
        while let Some(item) = codec.decode(&mut src)? {
            out.push(item);
        }
    }
    while let Some(item) = codec.decode_eof(&mut src)? {
        out.push(item);
    }
    Ok(out)
}

proptest! {
    #[test]
    fn client_messages_round_trip(
        first in any_hello(),
        rest in prop::collection::vec(any_client(), 0..5),
        step in 1usize..400,
    ) {
        let mut all = vec![first];
        all.extend(rest);
        let mut bytes = BytesMut::new();
        for message in &all {
            ClientCodec::default().encode(message.clone(), &mut bytes).unwrap();
        }
        prop_assert_eq!(decode_all(&mut ServerCodec::default(), &bytes, step).unwrap(), all);
    }

    #[test]
    fn server_messages_round_trip(rest in prop::collection::vec(any_server(), 0..5), step in 1usize..400) {
        let mut all = vec![welcome()];
        all.extend(rest);
        let mut bytes = BytesMut::new();
        for message in &all {
            ServerCodec::default().encode(message.clone(), &mut bytes).unwrap();
        }
        prop_assert_eq!(decode_all(&mut ClientCodec::default(), &bytes, step).unwrap(), all);
    }

    /// SEQ-INV-11: a truncated stream yields the whole messages before the cut, then an error.
    #[test]
    fn truncated_streams_are_errors(message in any_client(), cut in any::<prop::sample::Index>()) {
        let bytes = client_bytes(message);
        let cut = cut.index(bytes.len());
        prop_assume!(cut > 0);
        let result = decode_all(&mut greeted_server(FrameLimits::default()), &bytes[..cut], 7);
        prop_assert!(matches!(result, Err(ProtocolError::Closed)));
    }

    /// SEQ-INV-11
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), step in 1usize..300) {
        let limits = FrameLimits { hello_max: 128, client_max: 256, server_max: 256 };
        let ends = [
            decode_all(&mut ServerCodec::new(limits), &bytes, step).is_ok(),
            decode_all(&mut greeted_server(limits), &bytes, step).is_ok(),
            decode_all(&mut ClientCodec::new(limits), &bytes, step).is_ok(),
            decode_all(&mut greeted_client(limits), &bytes, step).is_ok(),
        ];
        // what is no error was consumed to the last byte, so it starts with a bounded length
        if !bytes.is_empty() && ends.contains(&true) {
            let len = u32::from_be_bytes(*bytes.first_chunk::<4>().unwrap());
            prop_assert!(len <= 256 && len as usize + 4 <= bytes.len());
        }
    }

    /// SEQ-INV-11: valid frames around random or damaged payloads.
    #[test]
    fn damaged_payloads_never_panic(
        message in any_server(),
        at in any::<prop::sample::Index>(),
        value: u8,
        noise in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = server_bytes(message.clone());
        let at = 4 + at.index(bytes.len() - 4);
        let same = bytes[at] == value;
        bytes[at] = value;
        match greeted_client(FrameLimits::default()).decode(&mut bytes) {
            Ok(Some(got)) => prop_assert!(!same || got == message),
            Ok(None) => prop_assert!(false, "the frame was whole"),
            Err(error) => prop_assert!(!same && matches!(error, ProtocolError::Malformed(_)), "{}", error),
        }
        let result = greeted_server(FrameLimits::default()).decode(&mut frame(&noise));
        prop_assert!(matches!(result, Ok(Some(_)) | Err(ProtocolError::Malformed(_))), "{:?}", result);
    }

    /// SEQ-INV-11: a flipped bit anywhere is noticed: by the decompressor or by its checksum.
    #[test]
    fn damaged_pieces_are_noticed(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let good = packed(&batch_input(), 1 << 20).unwrap();
        let mut bytes = good.packed.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let bad = PackedInput { bytes: good.bytes, packed: bytes.into() };
        if let Ok(read) = read(&bad, 64) {
            // A bit of the frame's header that means nothing here.
            prop_assert_eq!(read, encode_input(&batch_input(), 1 << 20).unwrap().to_vec());
        }
    }

    /// SEQ-INV-11
    #[test]
    fn damaged_inputs_never_panic(at in any::<prop::sample::Index>(), value: u8, cut: bool) {
        let mut bytes = encode_input(&batch_input(), 1 << 20).unwrap().to_vec();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            prop_assert!(decode_input(&bytes).is_err());
        } else {
            let same = bytes[at] == value;
            bytes[at] = value;
            if let Ok(input) = decode_input(&bytes) {
                prop_assert_eq!(input == batch_input(), same);
            }
        }
    }
}
