//! The input of a job on its way from server to client: encoded once, compressed once, sent in pieces that the client
//! asks for.

use bincode::Options;
use ensemble_batch::{BatchHeader, BatchInput, BlobProof};
use ensemble_error::{Classify, Severity};
use ensemble_messages::{BatchProof, PackedInput};
use std::io::Write;
use zstd::stream::raw::{Decoder, Operation};
use zstd::stream::write::Encoder;
use zstd::zstd_safe::{DParameter, InBuffer, OutBuffer};

/// Most bytes of an input in one frame.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// zstd's default: the window has 2 MiB, so a reader needs no more.
const LEVEL: i32 = 3;
/// Largest window that a reader makes room for, as a power of two: 8 MiB.
const MAX_WINDOW_LOG: u32 = 23;
/// Most that is decompressed before it is counted.
const STEP: usize = 128 * 1024;

/// Why an input cannot be sent or read. The connection is not to blame, and goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// It is larger than this side takes.
    #[error("the input has {bytes} bytes, over the limit of {max}")]
    TooLarge {
        /// Bytes before compression, as far as they are known.
        bytes: u64,
        /// Most bytes.
        max: u64,
    },
    /// A piece does not follow the one before.
    #[error("a piece of the input begins at byte {got} instead of {expected}")]
    WrongOffset {
        /// Where it had to begin.
        expected: u64,
        /// Where it begins.
        got: u64,
    },
    /// A piece has no bytes, or more than a frame may bring.
    #[error("a piece of the input has {bytes} bytes, allowed are 1 to {max}")]
    BadPiece {
        /// Bytes of the piece.
        bytes: usize,
        /// Most bytes.
        max: usize,
    },
    /// More or fewer bytes came than were announced.
    #[error("the input has {got} bytes {what}, announced were {announced}")]
    WrongTotal {
        /// Before or after decompression.
        what: &'static str,
        /// What was announced.
        announced: u64,
        /// What came, as far as it was read.
        got: u64,
    },
    /// The bytes cannot be decompressed, or their checksum is wrong.
    #[error("the input is damaged: {0}")]
    Damaged(String),
    /// The bytes cannot be compressed.
    #[error("the input cannot be packed: {0}")]
    Packing(String),
}

impl Classify for InputError {
    fn severity(&self) -> Severity {
        match self {
            Self::TooLarge { .. } => Severity::Recoverable,
            Self::WrongOffset { .. }
            | Self::BadPiece { .. }
            | Self::WrongTotal { .. }
            | Self::Damaged(_)
            | Self::Packing(_) => Severity::Transient,
        }
    }
}

fn packing(error: impl std::fmt::Display) -> InputError {
    InputError::Packing(error.to_string())
}

fn damaged(error: impl std::fmt::Display) -> InputError {
    InputError::Damaged(error.to_string())
}

/// What of a [`BatchInput`] comes before its witnesses.
#[derive(Clone, Copy, Debug)]
pub struct InputHead<'a> {
    /// Header of the previous batch.
    pub parent: &'a BatchHeader,
    /// Number of its last block.
    pub parent_block: u64,
    /// When the batch was sealed, Unix seconds.
    pub sealed_at: u64,
    /// Payload of the batch.
    pub da_payload: &'a [u8],
    /// Its blobs.
    pub blobs: &'a [BlobProof],
    /// Whether the payload lies in the call data of the commit.
    pub in_call_data: bool,
}

impl<'a> From<&'a BatchInput> for InputHead<'a> {
    fn from(input: &'a BatchInput) -> Self {
        Self {
            parent: &input.parent,
            parent_block: input.parent_block,
            sealed_at: input.sealed_at,
            da_payload: &input.da_payload,
            blobs: &input.blobs,
            in_call_data: input.in_call_data,
        }
    }
}

/// Encodes and compresses an input piece by piece, so that neither its encoding nor all of its witnesses are ever in
/// memory. The result holds what [`super::encode_input`] gives. CPU work, for a thread that may block.
pub struct InputPacker {
    encoder: Encoder<'static, Vec<u8>>,
    bytes: u64,
    max: u64,
}

impl std::fmt::Debug for InputPacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputPacker")
            .field("bytes", &self.bytes)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl InputPacker {
    /// Begins an input of at most `max` bytes before compression, with so many witnesses to come.
    ///
    /// # Errors
    /// [`InputError::TooLarge`]; [`InputError::Packing`] when there is no memory for the compressor.
    pub fn new(head: InputHead<'_>, witnesses: u64, max: usize) -> Result<Self, InputError> {
        let mut packer = Self::empty(max)?;
        let InputHead { parent, parent_block, sealed_at, da_payload, blobs, in_call_data } = head;
        packer.put(&(parent, parent_block, sealed_at))?;
        packer.put_bytes(da_payload)?;
        packer.put(&(blobs, in_call_data, witnesses))?;
        Ok(packer)
    }

    fn empty(max: usize) -> Result<Self, InputError> {
        let mut encoder = Encoder::new(Vec::new(), LEVEL).map_err(packing)?;
        encoder.include_checksum(true).map_err(packing)?;
        Ok(Self { encoder, bytes: 0, max: max as u64 })
    }

    fn room_for(&mut self, more: u64) -> Result<(), InputError> {
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes > self.max {
            return Err(InputError::TooLarge { bytes: self.bytes, max: self.max });
        }
        Ok(())
    }

    fn put(&mut self, value: &impl serde::Serialize) -> Result<(), InputError> {
        let options = || bincode::DefaultOptions::new().with_fixint_encoding();
        self.room_for(options().serialized_size(value).map_err(packing)?)?;
        options().serialize_into(&mut self.encoder, value).map_err(packing)
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), InputError> {
        self.put(&(bytes.len() as u64))?;
        self.room_for(bytes.len() as u64)?;
        self.encoder.write_all(bytes).map_err(packing)
    }

    /// The next witness.
    ///
    /// # Errors
    /// [`InputError::TooLarge`].
    pub fn witness(&mut self, witness: &[u8]) -> Result<(), InputError> {
        self.put_bytes(witness)
    }

    /// The end.
    ///
    /// # Errors
    /// [`InputError::TooLarge`].
    pub fn finish(mut self, chain_config: &[u8]) -> Result<PackedInput, InputError> {
        self.put_bytes(chain_config)?;
        self.end()
    }

    fn end(self) -> Result<PackedInput, InputError> {
        let mut packed = self.encoder.finish().map_err(packing)?;
        packed.shrink_to_fit();
        Ok(PackedInput { bytes: self.bytes, packed: packed.into() })
    }
}

/// The input of a job that makes one proof of several: a list of these, in bincode, which [`super::decode_proofs`] reads.
/// CPU work, for a thread that may block.
///
/// # Errors
/// [`InputError::TooLarge`] over `max` bytes before compression.
pub fn pack_proofs(proofs: &[BatchProof], max: usize) -> Result<PackedInput, InputError> {
    let mut packer = InputPacker::empty(max)?;
    packer.put(&proofs)?;
    packer.end()
}

/// Puts an input together from its pieces. Holds the decompressed bytes that came so far, never more than were announced
/// or than `max`, and no compressed ones.
pub struct InputReader {
    decoder: Decoder<'static>,
    bytes: u64,
    packed: u64,
    read: u64,
    input: Vec<u8>,
    ended: bool,
}

impl std::fmt::Debug for InputReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, packed, read, .. } = self;
        f.debug_struct("InputReader")
            .field("bytes", bytes)
            .field("packed", packed)
            .field("read", read)
            .finish_non_exhaustive()
    }
}

impl InputReader {
    /// A reader of an input that has `bytes` bytes, `packed` of them on the wire, if it has at most `max`.
    ///
    /// # Errors
    /// [`InputError::TooLarge`], before anything is allocated.
    pub fn new(bytes: u64, packed: u64, max: usize) -> Result<Self, InputError> {
        let max = max as u64;
        // What cannot be made smaller grows a little.
        if bytes > max || packed > max.saturating_add(max / 128).saturating_add(1024) {
            return Err(InputError::TooLarge { bytes: bytes.max(packed), max });
        }
        let mut decoder = Decoder::new().map_err(damaged)?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(damaged)?;
        Ok(Self { decoder, bytes, packed, read: 0, input: Vec::new(), ended: false })
    }

    /// Where the next piece begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.read
    }

    /// Whether all pieces are there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.read >= self.packed
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// Any but [`InputError::Packing`]; the reader is of no use then.
    pub fn push(&mut self, offset: u64, piece: &[u8]) -> Result<(), InputError> {
        if offset != self.read {
            return Err(InputError::WrongOffset { expected: self.read, got: offset });
        }
        if piece.is_empty() || piece.len() > CHUNK_BYTES {
            return Err(InputError::BadPiece { bytes: piece.len(), max: CHUNK_BYTES });
        }
        self.read += piece.len() as u64;
        if self.read > self.packed {
            return Err(InputError::WrongTotal {
                what: "on the wire",
                announced: self.packed,
                got: self.read,
            });
        }
        let mut from = InBuffer::around(piece);
        let mut step = vec![0; STEP];
        loop {
            let mut to = OutBuffer::around(&mut step[..]);
            if self.ended {
                if from.pos < piece.len() {
                    return Err(InputError::Damaged("bytes after its end".to_owned()));
                }
                return Ok(());
            }
            let hint = self.decoder.run(&mut from, &mut to).map_err(damaged)?;
            self.ended = hint == 0;
            let made = to.as_slice();
            let whole = self.input.len() as u64 + made.len() as u64;
            if whole > self.bytes {
                return Err(InputError::WrongTotal {
                    what: "decompressed",
                    announced: self.bytes,
                    got: whole,
                });
            }
            let full = made.len() == STEP;
            let (len, needed) = (self.input.len(), self.input.len() + made.len());
            if needed > self.input.capacity() {
                // By doubling, as far as bytes have come, but never beyond what was announced.
                let most = usize::try_from(self.bytes).unwrap_or(usize::MAX);
                self.input.reserve_exact((2 * len).clamp(needed, most) - len);
            }
            self.input.extend_from_slice(made);
            // A full step may have left something in the decoder.
            if from.pos == piece.len() && !full {
                return Ok(());
            }
        }
    }

    /// The whole input, as [`super::decode_input`] takes it.
    ///
    /// # Errors
    /// [`InputError::WrongTotal`], [`InputError::Damaged`].
    pub fn finish(self) -> Result<Vec<u8>, InputError> {
        let total = |what, announced, got| Err(InputError::WrongTotal { what, announced, got });
        if self.read != self.packed {
            return total("on the wire", self.packed, self.read);
        }
        if !self.ended {
            return Err(InputError::Damaged("it has no end".to_owned()));
        }
        if self.input.len() as u64 != self.bytes {
            return total("decompressed", self.bytes, self.input.len() as u64);
        }
        Ok(self.input)
    }
}
