use bincode::Options;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use ensemble_batch::BatchInput;
use ensemble_messages::{BatchProof, FailureKind, LeaseId, LeaseState, ProofTask, ProverType, SubmitReply};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder};

use super::message::JobOffer;
use super::{ClientMessage, ProtocolError, RefusalCode, ServerMessage};

/// Version of this protocol. Goes up with every change of a message.
pub const PROTOCOL_VERSION: u16 = 4;
/// First bytes of a payload with fixed layout.
pub const MAGIC: [u8; 4] = *b"ENSB";
/// Most bytes of a prover's name.
pub const MAX_NAME_LEN: usize = 64;
/// Most bytes of the reason in [`ServerMessage::Refused`].
pub const MAX_REASON_LEN: usize = 512;
/// Most bytes of the reason in [`ClientMessage::Failed`].
pub const MAX_FAILURE_LEN: usize = 1000;

const HEADER: usize = 4;
const KIND_REFUSED: u8 = 1;
const REFUSED_FIXED: usize = 10;
/// Growth of the read buffer is driven by bytes that came, not by a length that was announced.
const RESERVE_STEP: usize = 256 * 1024;
/// A read buffer that once held more than this is given back.
const KEEP_BUFFER: usize = 1024 * 1024;

/// Most bytes of a frame's payload, by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The first frame in each direction, sent by somebody not yet known. Default 1 KiB.
    pub hello_max: usize,
    /// Later frames of the client; a proof must fit. The server's setting, which a client learns from its
    /// [`ServerMessage::Welcome`]. Default 1 MiB.
    pub client_max: usize,
    /// Later frames of the server; a piece of an input must fit. Default 1 MiB.
    pub server_max: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { hello_max: 1024, client_max: 1024 * 1024, server_max: 1024 * 1024 }
    }
}

#[derive(Serialize, Deserialize)]
struct HelloBody {
    prover_type: ProverType,
    name: String,
    token: Option<String>,
}

/// Order of variants is the wire format.
#[derive(Serialize, Deserialize)]
enum ClientBody {
    RequestWork,
    Heartbeat { lease: LeaseId, task: ProofTask },
    Submit { lease: LeaseId, proof: BatchProof },
    Goodbye,
    Failed { lease: LeaseId, kind: FailureKind, reason: String },
    Fetch { lease: LeaseId, offset: u64 },
}

/// Order of variants is the wire format.
#[derive(Serialize, Deserialize)]
enum ServerBody {
    Welcome { version: u16, session: u64, heartbeat_ms: u64, max_frame_bytes: u32 },
    Work(JobOffer),
    Idle { retry_after_ms: u64 },
    HeartbeatAck { state: LeaseState },
    SubmitAck { lease: LeaseId, reply: SubmitReply },
    FailedAck { taken: bool },
    Chunk { lease: LeaseId, offset: u64, data: alloy_primitives::Bytes },
    InputGone { lease: LeaseId },
}

fn options(limit: usize) -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(limit as u64)
}

fn malformed(what: impl std::fmt::Display) -> ProtocolError {
    ProtocolError::Malformed(what.to_string())
}

fn decode_body<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ProtocolError> {
    options(payload.len()).deserialize(payload).map_err(malformed)
}

fn check_len(len: u64, max: usize) -> Result<(), ProtocolError> {
    let max = (max as u64).min(u64::from(u32::MAX));
    if len > max { Err(ProtocolError::FrameTooLarge { len, max }) } else { Ok(()) }
}

fn put_len(dst: &mut BytesMut, len: u64, max: usize) -> Result<(), ProtocolError> {
    check_len(len, max)?;
    let short = u32::try_from(len).map_err(malformed)?;
    dst.reserve(HEADER + short as usize);
    dst.put_u32(short);
    Ok(())
}

fn put_body<T: Serialize>(
    dst: &mut BytesMut,
    prefix: &[u8],
    body: &T,
    max: usize,
) -> Result<(), ProtocolError> {
    let size = bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .serialized_size(body)
        .map_err(malformed)?
        .saturating_add(prefix.len() as u64);
    put_len(dst, size, max)?;
    dst.put_slice(prefix);
    options(max).serialize_into(dst.writer(), body).map_err(malformed)
}

/// Takes one whole payload off `src`, or says by `None` that more bytes are needed. `peek` sees the first bytes of
/// the payload as soon as they are there.
fn take_payload(
    src: &mut BytesMut,
    max: usize,
    peek: impl FnOnce(&[u8]) -> Result<(), ProtocolError>,
) -> Result<Option<Bytes>, ProtocolError> {
    let Some(header) = src.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes(*header);
    check_len(u64::from(len), max)?;
    let whole = HEADER.saturating_add(len as usize);
    peek(&src[HEADER..src.len().min(whole)])?;
    if src.len() < whole {
        src.reserve((whole - src.len()).min(RESERVE_STEP));
        return Ok(None);
    }
    src.advance(HEADER);
    let payload = src.split_to(len as usize).freeze();
    if whole > KEEP_BUFFER && src.is_empty() {
        *src = BytesMut::new();
    }
    Ok(Some(payload))
}

fn at_end<T>(item: Option<T>, src: &BytesMut) -> Result<Option<T>, ProtocolError> {
    if item.is_none() && !src.is_empty() { Err(ProtocolError::Closed) } else { Ok(item) }
}

fn peek_magic(start: &[u8]) -> Result<(), ProtocolError> {
    match start.first_chunk::<4>() {
        Some(got) if *got != MAGIC => Err(ProtocolError::BadMagic { got: *got }),
        Some(_) | None => Ok(()),
    }
}

/// Checks a prover's name: 1 to 64 bytes of printable ASCII, so that it is safe in a log line.
///
/// # Errors
/// [`ProtocolError::Malformed`] with the rule that was broken.
pub fn check_name(name: &str) -> Result<(), ProtocolError> {
    if name.is_empty() || name.len() > MAX_NAME_LEN {
        return Err(malformed(format_args!(
            "a prover's name has 1 to {MAX_NAME_LEN} bytes, this one {}",
            name.len()
        )));
    }
    if !name.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(malformed("a prover's name is printable ASCII"));
    }
    Ok(())
}

/// The input of a job as it is before compression: bincode 1 with fixed-size integers, little endian.
///
/// # Errors
/// [`ProtocolError::FrameTooLarge`] over `max` bytes.
pub fn encode_input(input: &BatchInput, max: usize) -> Result<alloy_primitives::Bytes, ProtocolError> {
    let size =
        bincode::DefaultOptions::new().with_fixint_encoding().serialized_size(input).map_err(malformed)?;
    check_len(size, max)?;
    options(max).serialize(input).map(Into::into).map_err(malformed)
}

/// Reads what [`encode_input`] makes. Allocates no more than 2 MiB and a small multiple of `bytes.len()`, whatever lengths they claim.
///
/// # Errors
/// [`ProtocolError::Malformed`] when the bytes are not exactly one input.
pub fn decode_input(bytes: &[u8]) -> Result<BatchInput, ProtocolError> {
    decode_body(bytes)
}

/// Reads the input of a [`ProofTask::Join`]: the proofs of its batches, in their order, as
/// [`super::pack_proofs`] encodes them. Allocates like [`decode_input`].
///
/// # Errors
/// [`ProtocolError::Malformed`] when the bytes are not exactly such proofs.
pub fn decode_proofs(bytes: &[u8]) -> Result<Vec<BatchProof>, ProtocolError> {
    decode_body(bytes)
}

/// The server's side of a connection: reads [`ClientMessage`], writes [`ServerMessage`].
///
/// The reader refuses everything before a hello and a second hello. Reader and writer share no state, so a split
/// connection may have one codec for each half.
#[derive(Clone, Debug, Default)]
pub struct ServerCodec {
    limits: FrameLimits,
    greeted: bool,
}

impl ServerCodec {
    /// A codec for a new connection.
    #[must_use]
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, greeted: false }
    }

    fn hello(payload: &[u8]) -> Result<ClientMessage, ProtocolError> {
        let Some((prefix, body)) = payload.split_first_chunk::<6>() else {
            return Err(malformed(format_args!("a hello of {} bytes", payload.len())));
        };
        let [m0, m1, m2, m3, v0, v1] = *prefix;
        peek_magic(&[m0, m1, m2, m3])?;
        let version = u16::from_be_bytes([v0, v1]);
        if version != PROTOCOL_VERSION {
            return Err(ProtocolError::WrongVersion { theirs: version, ours: PROTOCOL_VERSION });
        }
        let HelloBody { prover_type, name, token } = decode_body(body)?;
        check_name(&name)?;
        Ok(ClientMessage::Hello { version, prover_type, name, token })
    }
}

impl Decoder for ServerCodec {
    type Item = ClientMessage;
    type Error = ProtocolError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<ClientMessage>, ProtocolError> {
        if !self.greeted {
            // A handshake record (RFC 8446 5.1); as the length of a frame it would be too large.
            if src.starts_with(&[0x16, 0x03]) {
                let remedy = "set prover_server.tls_cert_path, or no prover_client.tls_ca_path";
                return Err(ProtocolError::Tls { remedy });
            }
            let Some(payload) = take_payload(src, self.limits.hello_max, peek_magic)? else {
                return Ok(None);
            };
            let hello = Self::hello(&payload)?;
            self.greeted = true;
            return Ok(Some(hello));
        }
        let Some(payload) = take_payload(src, self.limits.client_max, |_| Ok(()))? else {
            return Ok(None);
        };
        if payload.starts_with(&MAGIC) {
            return Err(malformed("a second hello"));
        }
        Ok(Some(match decode_body(&payload)? {
            ClientBody::RequestWork => ClientMessage::RequestWork,
            ClientBody::Heartbeat { lease, task } => ClientMessage::Heartbeat { lease, task },
            ClientBody::Submit { lease, proof } => ClientMessage::Submit { lease, proof },
            ClientBody::Goodbye => ClientMessage::Goodbye,
            ClientBody::Fetch { lease, offset } => ClientMessage::Fetch { lease, offset },
            ClientBody::Failed { reason, .. } if reason.len() > MAX_FAILURE_LEN => {
                let len = reason.len();
                return Err(malformed(format_args!(
                    "a failure's reason of {len} bytes, at most {MAX_FAILURE_LEN}"
                )));
            }
            ClientBody::Failed { lease, kind, reason } => {
                ClientMessage::Failed { lease, kind, reason: printable(&reason) }
            }
        }))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<ClientMessage>, ProtocolError> {
        at_end(self.decode(src)?, src)
    }
}

impl Encoder<ServerMessage> for ServerCodec {
    type Error = ProtocolError;

    fn encode(&mut self, message: ServerMessage, dst: &mut BytesMut) -> Result<(), ProtocolError> {
        let body = match message {
            ServerMessage::Refused { code, reason } => return put_refused(dst, code, &reason),
            ServerMessage::Welcome { version, session, heartbeat_ms, max_frame_bytes } => {
                ServerBody::Welcome { version, session, heartbeat_ms, max_frame_bytes }
            }
            ServerMessage::Work(offer) => ServerBody::Work(offer),
            ServerMessage::Chunk { lease, offset, data } => ServerBody::Chunk { lease, offset, data },
            ServerMessage::InputGone { lease } => ServerBody::InputGone { lease },
            ServerMessage::Idle { retry_after_ms } => ServerBody::Idle { retry_after_ms },
            ServerMessage::HeartbeatAck { state } => ServerBody::HeartbeatAck { state },
            ServerMessage::SubmitAck { lease, reply } => ServerBody::SubmitAck { lease, reply },
            ServerMessage::FailedAck { taken } => ServerBody::FailedAck { taken },
        };
        put_body(dst, &[], &body, self.limits.server_max)
    }
}

/// Text from the network, safe in a log line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn put_refused(dst: &mut BytesMut, code: RefusalCode, reason: &str) -> Result<(), ProtocolError> {
    let reason = &reason[..reason.floor_char_boundary(MAX_REASON_LEN)];
    let len = REFUSED_FIXED + reason.len();
    put_len(dst, len as u64, REFUSED_FIXED + MAX_REASON_LEN)?;
    dst.put_slice(&MAGIC);
    dst.put_u16(PROTOCOL_VERSION);
    dst.put_u8(KIND_REFUSED);
    dst.put_u8(code.to_byte());
    dst.put_u16(u16::try_from(reason.len()).map_err(malformed)?);
    dst.put_slice(reason.as_bytes());
    Ok(())
}

/// The client's side of a connection: reads [`ServerMessage`], writes [`ClientMessage`]. After the server's welcome it
/// writes frames of up to what the welcome says.
#[derive(Clone, Debug, Default)]
pub struct ClientCodec {
    limits: FrameLimits,
    greeted: bool,
}

impl ClientCodec {
    /// A codec for a new connection.
    #[must_use]
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, greeted: false }
    }

    fn refused(payload: &[u8]) -> Result<ServerMessage, ProtocolError> {
        let Some((fixed, rest)) = payload.split_first_chunk::<REFUSED_FIXED>() else {
            return Err(malformed(format_args!("a refusal of {} bytes", payload.len())));
        };
        let [_, _, _, _, _, _, kind, code, l0, l1] = *fixed;
        if kind != KIND_REFUSED {
            return Err(malformed(format_args!("a fixed-layout payload of unknown kind {kind}")));
        }
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let reason = rest
            .get(..len)
            .ok_or_else(|| malformed(format_args!("a reason of {len} bytes in {}", rest.len())))?;
        let reason = std::str::from_utf8(reason).map_err(malformed)?;
        Ok(ServerMessage::Refused { code: RefusalCode::from_byte(code), reason: printable(reason) })
    }
}

impl Decoder for ClientCodec {
    type Item = ServerMessage;
    type Error = ProtocolError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<ServerMessage>, ProtocolError> {
        // An alert record: what a TLS server says to a client without TLS.
        if !self.greeted && src.starts_with(&[0x15, 0x03]) {
            return Err(ProtocolError::Tls { remedy: "set prover_client.tls_ca_path" });
        }
        let max = if self.greeted { self.limits.server_max } else { self.limits.hello_max };
        let Some(payload) = take_payload(src, max, |_| Ok(()))? else {
            return Ok(None);
        };
        let message = if payload.starts_with(&MAGIC) {
            Self::refused(&payload)?
        } else {
            match decode_body(&payload)? {
                ServerBody::Welcome { version, session, heartbeat_ms, max_frame_bytes } => {
                    self.limits.client_max = usize::try_from(max_frame_bytes).unwrap_or(usize::MAX);
                    ServerMessage::Welcome { version, session, heartbeat_ms, max_frame_bytes }
                }
                ServerBody::Work(offer) => ServerMessage::Work(offer),
                ServerBody::Chunk { lease, offset, data } => ServerMessage::Chunk { lease, offset, data },
                ServerBody::InputGone { lease } => ServerMessage::InputGone { lease },
                ServerBody::Idle { retry_after_ms } => ServerMessage::Idle { retry_after_ms },
                ServerBody::HeartbeatAck { state } => ServerMessage::HeartbeatAck { state },
                ServerBody::SubmitAck { lease, reply } => ServerMessage::SubmitAck { lease, reply },
                ServerBody::FailedAck { taken } => ServerMessage::FailedAck { taken },
            }
        };
        self.greeted = true;
        Ok(Some(message))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<ServerMessage>, ProtocolError> {
        at_end(self.decode(src)?, src)
    }
}

impl Encoder<ClientMessage> for ClientCodec {
    type Error = ProtocolError;

    fn encode(&mut self, message: ClientMessage, dst: &mut BytesMut) -> Result<(), ProtocolError> {
        let body = match message {
            ClientMessage::Hello { version, prover_type, name, token } => {
                check_name(&name)?;
                let [m0, m1, m2, m3] = MAGIC;
                let [v0, v1] = version.to_be_bytes();
                let body = HelloBody { prover_type, name, token };
                return put_body(dst, &[m0, m1, m2, m3, v0, v1], &body, self.limits.hello_max);
            }
            ClientMessage::RequestWork => ClientBody::RequestWork,
            ClientMessage::Heartbeat { lease, task } => ClientBody::Heartbeat { lease, task },
            ClientMessage::Submit { lease, proof } => ClientBody::Submit { lease, proof },
            ClientMessage::Failed { lease, kind, reason } => {
                let cut = reason.floor_char_boundary(MAX_FAILURE_LEN);
                ClientBody::Failed { lease, kind, reason: reason[..cut].to_owned() }
            }
            ClientMessage::Fetch { lease, offset } => ClientBody::Fetch { lease, offset },
            ClientMessage::Goodbye => ClientBody::Goodbye,
        };
        put_body(dst, &[], &body, self.limits.client_max)
    }
}
