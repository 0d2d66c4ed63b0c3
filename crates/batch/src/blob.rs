//! Packing of bytes into EIP-4844 blobs, and what L1 sees of blobs.
//!
//! A blob is 4096 field elements of 32 bytes, big endian. Every element has to be below the BLS12-381 scalar modulus,
//! which has 255 bits, so 254 of the 256 bits are used: four elements, a group, hold 127 bytes. The stream over all
//! blobs of a batch, in order, is:
//!
//! | bytes | content |
//! |---|---|
//! | 4 | length `n` of the payload, u32 big endian |
//! | `n` | payload |
//! | rest | zeros up to the end of the last blob |
//!
//! 127 bytes of the stream fill a group, 130048 bytes (1024 groups) a blob. The first 124 bytes of a group lie in its
//! elements' bytes 1 to 31, one element after the other. The last three are, as a number of 24 bits big endian, four
//! numbers of 6 bits, the highest first: they are byte 0 of the four elements. There are no more blobs than the stream
//! needs; an empty payload takes one. [`unpack`] refuses everything else, so that bytes and blobs stand in a
//! one-to-one relation.

use alloy_primitives::{B256, FixedBytes, keccak256};
use ensemble_error::{Classify, Severity};
use sha2::{Digest, Sha256};

/// Bytes of a blob (EIP-4844: 4096 field elements of 32 bytes).
pub const BLOB_BYTES: usize = 131_072;
/// Bytes of a field element.
const ELEMENT: usize = 32;
/// Bits of the first byte of a field element that carry data.
const HEAD_BITS: usize = 6;
/// The highest value of that byte.
const HEAD_MASK: u8 = (1 << HEAD_BITS) - 1;
/// Field elements that are filled together.
const GROUP: usize = 4;
/// Bytes of data in the last 31 bytes of a group's elements.
const GROUP_TAILS: usize = GROUP * (ELEMENT - 1);
/// Bytes of data in a group.
const GROUP_DATA: usize = GROUP_TAILS + GROUP * HEAD_BITS / 8;
/// Bytes of a blob that carry data.
const BLOB_DATA: usize = BLOB_BYTES / (GROUP * ELEMENT) * GROUP_DATA;
/// Bytes of the length in front of the payload.
const LENGTH_PREFIX: usize = 4;
/// `VERSIONED_HASH_VERSION_KZG` of EIP-4844.
const VERSIONED_HASH_VERSION_KZG: u8 = 1;

/// One EIP-4844 blob, on the heap.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(Box<[u8; BLOB_BYTES]>);

/// Bytes that do not fit into blobs, or blobs that no payload gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The payload needs more blobs than allowed.
    #[error("a payload of {bytes} bytes needs {needed} blobs, at most {max} are allowed")]
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// Blobs that it takes.
        needed: usize,
        /// Blobs that are allowed.
        max: usize,
    },
    /// A blob has another size than [`BLOB_BYTES`].
    #[error("a blob of {0} bytes instead of {BLOB_BYTES}")]
    WrongSize(usize),
    /// There are no blobs.
    #[error("no blobs")]
    Empty,
    /// A field element has one of its first two bits set.
    #[error("field element {element} of blob {blob} has more than 254 bits")]
    HighBits {
        /// Index of the blob.
        blob: usize,
        /// Index of the field element.
        element: usize,
    },
    /// The length in front of the payload and the number of blobs do not fit together.
    #[error("{blobs} blobs for a payload that says it has {bytes} bytes")]
    WrongCount {
        /// Number of blobs.
        blobs: usize,
        /// Length in front of the payload.
        bytes: usize,
    },
    /// There is something behind the payload.
    #[error("data behind the end of the payload")]
    Trailing,
}

impl Classify for BlobError {
    fn severity(&self) -> Severity {
        match self {
            Self::TooLarge { .. } => Severity::Recoverable,
            Self::WrongSize(_)
            | Self::Empty
            | Self::HighBits { .. }
            | Self::WrongCount { .. }
            | Self::Trailing => Severity::Fatal,
        }
    }
}

impl Blob {
    /// A blob from its bytes.
    ///
    /// # Errors
    /// [`BlobError::WrongSize`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BlobError> {
        let wrong = |_| BlobError::WrongSize(bytes.len());
        Box::<[u8; BLOB_BYTES]>::try_from(bytes.to_vec().into_boxed_slice()).map(Self).map_err(wrong)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; BLOB_BYTES] {
        &self.0
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let used = BLOB_BYTES - self.0.iter().rev().take_while(|byte| **byte == 0).count();
        write!(f, "Blob({used} bytes, then zeros)")
    }
}

/// Longest payload that `n_blobs` blobs hold.
#[must_use]
pub const fn usable_bytes(n_blobs: usize) -> usize {
    let most = n_blobs.saturating_mul(BLOB_DATA).saturating_sub(LENGTH_PREFIX);
    if most > u32::MAX as usize { u32::MAX as usize } else { most }
}

/// Number of blobs that a payload takes.
#[must_use]
pub const fn blobs_needed(payload_bytes: usize) -> usize {
    payload_bytes.saturating_add(LENGTH_PREFIX).div_ceil(BLOB_DATA)
}

/// Packs a payload into as few blobs as possible, at least one; see the module for the format.
///
/// # Errors
/// [`BlobError::TooLarge`].
pub fn pack(payload: &[u8], max_blobs: usize) -> Result<Vec<Blob>, BlobError> {
    let needed = blobs_needed(payload.len());
    let too_large = BlobError::TooLarge { bytes: payload.len(), needed, max: max_blobs };
    if needed > max_blobs {
        return Err(too_large);
    }
    let Ok(length) = u32::try_from(payload.len()) else { return Err(too_large) };
    let mut stream = Vec::with_capacity(needed * BLOB_DATA);
    stream.extend_from_slice(&length.to_be_bytes());
    stream.extend_from_slice(payload);
    stream.resize(needed * BLOB_DATA, 0);
    let mut bytes = vec![0u8; needed * BLOB_BYTES];
    for (group, data) in bytes.chunks_exact_mut(GROUP * ELEMENT).zip(stream.chunks_exact(GROUP_DATA)) {
        let (tails, heads) = data.split_at(GROUP_TAILS);
        let heads = heads.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for (i, element) in group.chunks_exact_mut(ELEMENT).enumerate() {
            element[0] = (heads >> (HEAD_BITS * (GROUP - 1 - i))) as u8 & HEAD_MASK;
            element[1..].copy_from_slice(&tails[i * (ELEMENT - 1)..][..ELEMENT - 1]);
        }
    }
    bytes.chunks_exact(BLOB_BYTES).map(Blob::from_slice).collect()
}

/// The payload of blobs that [`pack`] made.
///
/// # Errors
/// Any [`BlobError`] but [`BlobError::TooLarge`] and [`BlobError::WrongSize`] when no payload packs to these blobs.
pub fn unpack(blobs: &[Blob]) -> Result<Vec<u8>, BlobError> {
    if blobs.is_empty() {
        return Err(BlobError::Empty);
    }
    let mut stream = Vec::with_capacity(blobs.len() * BLOB_DATA);
    for (blob, bytes) in blobs.iter().enumerate() {
        for (at, group) in bytes.0.chunks_exact(GROUP * ELEMENT).enumerate() {
            let mut heads = 0u32;
            for (i, element) in group.chunks_exact(ELEMENT).enumerate() {
                if element[0] > HEAD_MASK {
                    return Err(BlobError::HighBits { blob, element: at * GROUP + i });
                }
                heads = heads << HEAD_BITS | u32::from(element[0]);
                stream.extend_from_slice(&element[1..]);
            }
            stream.extend_from_slice(&heads.to_be_bytes()[1..]);
        }
    }
    let mut length = [0u8; LENGTH_PREFIX];
    length.copy_from_slice(&stream[..LENGTH_PREFIX]);
    let length = u32::from_be_bytes(length) as usize;
    if blobs_needed(length) != blobs.len() {
        return Err(BlobError::WrongCount { blobs: blobs.len(), bytes: length });
    }
    let end = LENGTH_PREFIX + length;
    if stream[end..].iter().any(|byte| *byte != 0) {
        return Err(BlobError::Trailing);
    }
    stream.truncate(end);
    stream.drain(..LENGTH_PREFIX);
    Ok(stream)
}

/// `kzg_to_versioned_hash` of EIP-4844: `0x01 || sha256(commitment)[1..]`.
#[must_use]
pub fn versioned_hash(commitment: &FixedBytes<48>) -> B256 {
    let mut hash: [u8; 32] = Sha256::digest(commitment.as_slice()).into();
    hash[0] = VERSIONED_HASH_VERSION_KZG;
    B256::from(hash)
}

/// What stands in [`crate::BatchHeader::blobs_hash`] when the payload lies in the call data of the commit: the complement
/// of its `keccak256`. It is never the hash of a list of versioned hashes, so a list of hashes in call data does not
/// pass for the blobs that it names.
#[must_use]
pub fn call_data_hash(payload: &[u8]) -> B256 {
    !keccak256(payload)
}

/// `keccak256` of the concatenated versioned hashes, zero without blobs: [`crate::BatchHeader::blobs_hash`].
#[must_use]
pub fn blobs_hash(versioned_hashes: &[B256]) -> B256 {
    if versioned_hashes.is_empty() {
        return B256::ZERO;
    }
    let bytes: Vec<u8> = versioned_hashes.iter().flat_map(|hash| hash.0).collect();
    keccak256(bytes)
}
