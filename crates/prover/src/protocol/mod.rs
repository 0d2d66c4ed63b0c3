//! The protocol between prover client and prover server.
//!
//! # Frames
//!
//! TCP, both directions: `length: u32 big-endian`, then `length` bytes of payload. The length is checked against
//! [`FrameLimits`] before anything is allocated for it. There are two kinds of payload.
//!
//! **Fixed layout**, the same in all versions, so that a client and a server of different versions part with a
//! sentence both can read. Such a payload starts with the magic `ENSB`.
//!
//! Hello, the first frame of the client:
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | magic `ENSB` (45 4e 53 42) |
//! | 4..6 | protocol version of the client, u16 big-endian |
//! | 6..  | `bincode` of `(prover_type, name, token)`; the layout of this part belongs to the version |
//!
//! Refused, from the server at any time, after which it closes the connection:
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | magic `ENSB` |
//! | 4..6 | protocol version of the server, u16 big-endian |
//! | 6    | kind of the payload, 1 = refused |
//! | 7    | [`RefusalCode`], see [`RefusalCode::to_byte`] |
//! | 8..10 | length of the reason in bytes, u16 big-endian, at most 512 |
//! | 10.. | the reason, UTF-8; bytes after it belong to later versions and are skipped |
//!
//! **bincode**: every other payload is one enum in `bincode` 1.3 with fixed-width little-endian integers (u32 variant
//! number, u64 lengths); bytes after it are an error. A variant number never reads as the magic.
//!
//! # Conversation
//!
//! ```text
//! client                         server
//! Hello                 ──▶
//!                       ◀──      Welcome (or Refused, end)
//! RequestWork           ──▶
//!                       ◀──      Work | Idle
//! Fetch (until the input is there) ──▶
//!                       ◀──      Chunk | InputGone
//! Heartbeat (while proving) ──▶
//!                       ◀──      HeartbeatAck
//! Submit                ──▶
//!                       ◀──      SubmitAck, after the proof is checked and stored
//! Failed, instead of Submit ──▶
//!                       ◀──      FailedAck, after the lease is ended
//! Goodbye               ──▶      end
//! ```
//! Each client message except `Goodbye` has exactly one answer, in order.

mod codec;
mod error;
mod input;
mod message;
#[cfg(test)]
mod tests;

pub use codec::{
    ClientCodec, FrameLimits, MAGIC, MAX_FAILURE_LEN, MAX_NAME_LEN, MAX_REASON_LEN, PROTOCOL_VERSION,
    ServerCodec, check_name, decode_input, decode_proofs, encode_input,
};
pub use error::ProtocolError;
pub use input::{CHUNK_BYTES, InputError, InputHead, InputPacker, InputReader, pack_proofs};
pub use message::{ClientMessage, JobOffer, RefusalCode, ServerMessage, token_matches};
