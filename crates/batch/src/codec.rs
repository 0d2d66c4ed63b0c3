//! The batch payload: blocks as they lie in the blobs (or in calldata).
//!
//! # Payload
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, [`VERSION`] |
//! | … | segments, one after the other up to the end |
//!
//! A segment holds one or more consecutive blocks and is compressed on its own; segments let a builder know the size
//! of a growing batch without compressing everything anew for each block.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | length of the body, u32 big endian |
//! | 4 | length of the frame, u32 big endian |
//! | … | frame: the body as exactly one zstd frame (RFC 8878), window at most 8 MiB, without dictionary |
//!
//! # Body
//!
//! Each field of all `n` blocks in a column of its own, the columns in this order. *uint* is unsigned LEB128 in its
//! shortest form, at most 64 bits. *delta* is a uint: the zigzag form `(d << 1) ^ (d >> 63)` of the difference
//! (modulo 2^64) to the value before it in the column, 0 before the first.
//!
//! | column | content |
//! |---|---|
//! | block count | one uint, `n` > 0 |
//! | `timestamp` | `n` deltas |
//! | `gasLimit` | `n` deltas |
//! | `gasUsed` | `n` uints |
//! | `baseFeePerGas` | `n` deltas |
//! | `blobGasUsed` | `n` uints |
//! | `excessBlobGas` | `n` deltas |
//! | `prevRandao`, last 8 bytes | `n` deltas (the deposits index, u64 big endian) |
//! | `prevRandao`, form | `n` bytes: 0 when the first 24 bytes are those of `keccak256(parentHash)`, else 1 |
//! | `prevRandao`, first 24 bytes | 24 bytes for each block whose form is 1 |
//! | `feeRecipient` | `n` × 20 bytes |
//! | `parentBeaconBlockRoot` | `n` × 32 bytes |
//! | `stateRoot` | `n` × 32 bytes |
//! | `receiptsRoot` | `n` × 32 bytes |
//! | `blockHash` | `n` × 32 bytes |
//! | `logsBloom`, form | `n` bytes: 0 when all bits are zero, else 1 |
//! | `logsBloom` | 256 bytes for each block whose form is 1 |
//! | `extraData`, lengths | `n` uints, each at most 32 |
//! | `extraData` | the bytes |
//! | `withdrawals`, counts | `n` uints; `m` is their sum |
//! | `index` | `m` deltas |
//! | `validatorIndex` | `m` deltas |
//! | `address` | `m` × 20 bytes |
//! | `amount` (gwei) | `m` uints |
//! | `executionRequests`, counts | `n` uints |
//! | `executionRequests`, lengths | a uint above 0 for each |
//! | `executionRequests` | the bytes |
//! | `transactions`, counts | `n` uints |
//! | `transactions`, lengths | a uint above 0 for each |
//! | `transactions` | the bytes, each transaction in its EIP-2718 encoding |
//!
//! `parentHash` and `number` are not stored: they follow from the block before, and for the first block from the
//! [`ParentRef`] that the reader brings.
//!
//! A reader refuses what a writer does not make: bytes behind the last column, uints in a longer form, forms other
//! than 0 and 1, a form 1 where 0 would do. So a body is determined by its blocks, while the frame is not: other
//! versions of zstd may compress otherwise. Whoever needs identical bytes keeps them.

use std::io::Read;

use alloy_primitives::{Address, B256, Bloom, Bytes};
use ensemble_error::{Classify, Severity};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::{SealedBlock, Withdrawal};

/// First byte of a payload.
pub const VERSION: u8 = 1;

/// Most bytes that the bodies of all segments of a payload may have together: 64 MiB. A default; readers may set
/// another limit, but then must not be given batches from a writer with a higher one.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// Largest window of a frame: 8 MiB, what zstd uses up to level 19.
const MAX_WINDOW_BYTES: u64 = 8 << 20;

/// Bytes of the two lengths in front of a frame.
#[cfg(feature = "encode")]
pub(crate) const SEGMENT_HEADER: usize = 8;

/// Least bytes that a block takes in a body: 13 columns with at least one byte, 20 + 4 × 32 bytes fixed.
const MIN_BLOCK_BODY: usize = 13 + 20 + 4 * 32;

/// Limit of `extraData` (yellow paper).
const MAX_EXTRA_DATA: u64 = 32;

/// The block that the first block of a batch is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentRef {
    /// Its hash.
    pub hash: B256,
    /// Its height.
    pub number: u64,
}

impl From<&SealedBlock> for ParentRef {
    fn from(block: &SealedBlock) -> Self {
        Self { hash: block.block_hash, number: block.number }
    }
}

/// Blocks that cannot be encoded, or bytes that are no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The payload is of a version that this reader does not know; `None`: it is empty.
    #[error("batch payload of version {0:?}, this program reads version {VERSION}")]
    Version(Option<u8>),
    /// The bytes end too early.
    #[error("batch payload ends within {0}")]
    Truncated(&'static str),
    /// Bytes behind the end of the last column.
    #[error("batch payload: {0} bytes behind the last column")]
    Trailing(usize),
    /// A value in a form that a writer does not make.
    #[error("batch payload: {0} is not in its canonical form")]
    NonCanonical(&'static str),
    /// A value beyond its range.
    #[error("batch payload: {0} is out of range")]
    OutOfRange(&'static str),
    /// More bytes after decompression than allowed.
    #[error("batch body above the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The frame is malformed, or does not hold the bytes that its segment says.
    #[error("batch payload cannot be decompressed: {0}")]
    Decompress(String),
    /// zstd failed.
    #[error("batch cannot be compressed: {0}")]
    Compress(String),
    /// A block that is not the child of the one before it.
    #[error("block {number} is not the child of the block before it in the batch")]
    NotAChain {
        /// Height of the block.
        number: u64,
    },
    /// A block that breaks a rule of the format.
    #[error("block {number} cannot be encoded: {reason}")]
    Unencodable {
        /// Height of the block.
        number: u64,
        /// The rule.
        reason: &'static str,
    },
}

impl Classify for CodecError {
    fn severity(&self) -> Severity {
        match self {
            Self::TooLarge { .. } => Severity::Recoverable,
            Self::NotAChain { .. } => Severity::NeedsReset,
            Self::Version(_)
            | Self::Truncated(_)
            | Self::Trailing(_)
            | Self::NonCanonical(_)
            | Self::OutOfRange(_)
            | Self::Decompress(_)
            | Self::Compress(_)
            | Self::Unencodable { .. } => Severity::Fatal,
        }
    }
}

/// The blocks of a payload whose bodies have at most [`MAX_BODY_BYTES`].
///
/// # Errors
/// [`CodecError`] for anything but a payload as the module describes it. Memory stays within a small multiple of the
/// limit whatever the bytes are.
pub fn decode_blocks(payload: &[u8], parent: &ParentRef) -> Result<Vec<SealedBlock>, CodecError> {
    decode_blocks_within(payload, parent, MAX_BODY_BYTES)
}

/// [`decode_blocks`] with a limit in bytes for the bodies of all segments together.
///
/// # Errors
/// As [`decode_blocks`].
pub fn decode_blocks_within(
    payload: &[u8],
    parent: &ParentRef,
    max_body_bytes: usize,
) -> Result<Vec<SealedBlock>, CodecError> {
    let mut rest = match payload.split_first() {
        Some((&VERSION, rest)) => rest,
        other => return Err(CodecError::Version(other.map(|(version, _)| *version))),
    };
    let mut budget = max_body_bytes;
    let mut parent = *parent;
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let body_len = take_length(&mut rest)?;
        let frame_len = take_length(&mut rest)?;
        let (frame, next) = rest.split_at_checked(frame_len).ok_or(CodecError::Truncated("a segment"))?;
        rest = next;
        budget = budget.checked_sub(body_len).ok_or(CodecError::TooLarge { limit: max_body_bytes })?;
        let body = decompress(frame, body_len)?;
        decode_body(&Bytes::from(body), &mut parent, &mut blocks)?;
    }
    Ok(blocks)
}

fn take_length(rest: &mut &[u8]) -> Result<usize, CodecError> {
    let (length, next) = rest.split_first_chunk::<4>().ok_or(CodecError::Truncated("a segment"))?;
    *rest = next;
    Ok(u32::from_be_bytes(*length) as usize)
}

fn decompress(frame: &[u8], body_len: usize) -> Result<Vec<u8>, CodecError> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_WINDOW_BYTES);
    let failed = |e: &dyn std::fmt::Display| CodecError::Decompress(e.to_string());
    let mut stream = StreamingDecoder::new_with_decoder(frame, decoder).map_err(|e| failed(&e))?;
    let mut body = Vec::new();
    // one byte more than expected, to see when there is more
    stream.by_ref().take(body_len as u64 + 1).read_to_end(&mut body).map_err(|e| failed(&e))?;
    if body.len() != body_len {
        return Err(CodecError::Decompress("another length than the segment says".into()));
    }
    if !stream.decoder.is_finished() || !stream.get_ref().is_empty() {
        return Err(CodecError::Decompress("the segment is not exactly one frame".into()));
    }
    Ok(body)
}

fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// Reads columns off the front of a body.
struct Reader<'a> {
    body: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn left(&self) -> usize {
        self.body.len() - self.at
    }

    fn bytes(&mut self, count: usize, what: &'static str) -> Result<&[u8], CodecError> {
        if count > self.left() {
            return Err(CodecError::Truncated(what));
        }
        let start = self.at;
        self.at += count;
        Ok(&self.body[start..self.at])
    }

    fn uint(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.bytes(1, what)?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(CodecError::OutOfRange(what));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(CodecError::NonCanonical(what)) } else { Ok(value) };
            }
        }
        Err(CodecError::OutOfRange(what))
    }

    /// A column of `count` values; the caller has bounded `count` by the bytes of the body.
    fn uints(&mut self, count: usize, what: &'static str) -> Result<Vec<u64>, CodecError> {
        (0..count).map(|_| self.uint(what)).collect()
    }

    fn deltas(&mut self, count: usize, what: &'static str) -> Result<Vec<u64>, CodecError> {
        let mut last = 0u64;
        let mut values = self.uints(count, what)?;
        for value in &mut values {
            last = last.wrapping_add(unzigzag(*value));
            *value = last;
        }
        Ok(values)
    }

    fn words<const N: usize>(
        &mut self,
        count: usize,
        what: &'static str,
    ) -> Result<Vec<[u8; N]>, CodecError> {
        let bytes = self.bytes(count.saturating_mul(N), what)?;
        Ok(bytes.as_chunks::<N>().0.to_vec())
    }

    fn forms(&mut self, count: usize, what: &'static str) -> Result<Vec<bool>, CodecError> {
        let bytes = self.bytes(count, what)?;
        bytes
            .iter()
            .map(|form| match form {
                0 => Ok(false),
                1 => Ok(true),
                _ => Err(CodecError::NonCanonical(what)),
            })
            .collect()
    }

    /// A column of counts, and their sum. Each counted thing takes at least `min_bytes` in later columns, so the sum
    /// cannot exceed what is left of the body.
    fn counts(
        &mut self,
        n: usize,
        min_bytes: usize,
        what: &'static str,
    ) -> Result<(Vec<usize>, usize), CodecError> {
        let mut sum = 0usize;
        let mut counts = Vec::with_capacity(n);
        for _ in 0..n {
            let count = usize::try_from(self.uint(what)?).map_err(|_| CodecError::OutOfRange(what))?;
            sum = sum.checked_add(count).ok_or(CodecError::OutOfRange(what))?;
            counts.push(count);
        }
        if sum > self.left() / min_bytes {
            return Err(CodecError::Truncated(what));
        }
        Ok((counts, sum))
    }

    /// Byte strings: counts, lengths above zero, then the bytes. The strings share the memory of the body.
    fn strings(&mut self, n: usize, what: &'static str) -> Result<Vec<Vec<Bytes>>, CodecError> {
        let (counts, sum) = self.counts(n, 2, what)?;
        let lengths = self.uints(sum, what)?;
        let mut lengths = lengths.into_iter();
        let mut rows = Vec::with_capacity(n);
        for count in counts {
            let mut row = Vec::with_capacity(count);
            for length in lengths.by_ref().take(count) {
                if length == 0 {
                    return Err(CodecError::NonCanonical(what));
                }
                row.push(self.string(length, what)?);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn string(&mut self, length: u64, what: &'static str) -> Result<Bytes, CodecError> {
        let start = self.at;
        let length = usize::try_from(length).map_err(|_| CodecError::OutOfRange(what))?;
        self.bytes(length, what)?;
        Ok(self.body.slice(start..self.at))
    }
}

fn decode_body(
    body: &Bytes,
    parent: &mut ParentRef,
    blocks: &mut Vec<SealedBlock>,
) -> Result<(), CodecError> {
    let mut r = Reader { body, at: 0 };
    let n = r.uint("block count")?;
    if n == 0 {
        return Err(CodecError::NonCanonical("block count"));
    }
    let n = usize::try_from(n)
        .ok()
        .filter(|n| *n <= r.left() / MIN_BLOCK_BODY)
        .ok_or(CodecError::Truncated("block count"))?;

    let timestamps = r.deltas(n, "timestamp")?;
    let gas_limits = r.deltas(n, "gasLimit")?;
    let gas_used = r.uints(n, "gasUsed")?;
    let base_fees = r.deltas(n, "baseFeePerGas")?;
    let blob_gas_used = r.uints(n, "blobGasUsed")?;
    let excess_blob_gas = r.deltas(n, "excessBlobGas")?;
    let randao_tails = r.deltas(n, "prevRandao")?;
    let randao_forms = r.forms(n, "prevRandao")?;
    let raw_heads = randao_forms.iter().filter(|raw| **raw).count();
    let mut randao_heads = r.words::<24>(raw_heads, "prevRandao")?.into_iter();
    let fee_recipients = r.words::<20>(n, "feeRecipient")?;
    let beacon_roots = r.words::<32>(n, "parentBeaconBlockRoot")?;
    let state_roots = r.words::<32>(n, "stateRoot")?;
    let receipts_roots = r.words::<32>(n, "receiptsRoot")?;
    let block_hashes = r.words::<32>(n, "blockHash")?;
    let bloom_forms = r.forms(n, "logsBloom")?;
    let raw_blooms = bloom_forms.iter().filter(|raw| **raw).count();
    let mut blooms = r.words::<256>(raw_blooms, "logsBloom")?.into_iter();
    let extra_lengths = r.uints(n, "extraData")?;
    if extra_lengths.iter().any(|length| *length > MAX_EXTRA_DATA) {
        return Err(CodecError::OutOfRange("extraData"));
    }
    let extra_data: Vec<Bytes> =
        extra_lengths.into_iter().map(|length| r.string(length, "extraData")).collect::<Result<_, _>>()?;
    let mut withdrawals = decode_withdrawals(&mut r, n)?.into_iter();
    let mut requests = r.strings(n, "executionRequests")?.into_iter();
    let mut transactions = r.strings(n, "transactions")?.into_iter();
    if r.left() > 0 {
        return Err(CodecError::Trailing(r.left()));
    }

    blocks.reserve(n);
    for i in 0..n {
        let mut prev_randao = crate::prev_randao(&parent.hash, randao_tails[i]);
        if randao_forms[i] {
            let head = randao_heads.next().ok_or(CodecError::Truncated("prevRandao"))?;
            if head == prev_randao.0[..24] {
                return Err(CodecError::NonCanonical("prevRandao"));
            }
            prev_randao.0[..24].copy_from_slice(&head);
        }
        let logs_bloom = if bloom_forms[i] {
            let bloom = Bloom::from(blooms.next().ok_or(CodecError::Truncated("logsBloom"))?);
            if bloom.is_zero() {
                return Err(CodecError::NonCanonical("logsBloom"));
            }
            bloom
        } else {
            Bloom::ZERO
        };
        let block = SealedBlock {
            parent_hash: parent.hash,
            fee_recipient: Address::from(fee_recipients[i]),
            state_root: B256::from(state_roots[i]),
            receipts_root: B256::from(receipts_roots[i]),
            logs_bloom,
            prev_randao,
            number: parent.number.checked_add(1).ok_or(CodecError::OutOfRange("number"))?,
            gas_limit: gas_limits[i],
            gas_used: gas_used[i],
            timestamp: timestamps[i],
            extra_data: extra_data[i].clone(),
            base_fee_per_gas: base_fees[i],
            block_hash: B256::from(block_hashes[i]),
            transactions: transactions.next().unwrap_or_default(),
            withdrawals: withdrawals.next().unwrap_or_default(),
            blob_gas_used: blob_gas_used[i],
            excess_blob_gas: excess_blob_gas[i],
            parent_beacon_block_root: B256::from(beacon_roots[i]),
            execution_requests: requests.next().unwrap_or_default(),
        };
        *parent = ParentRef::from(&block);
        blocks.push(block);
    }
    Ok(())
}

fn decode_withdrawals(r: &mut Reader<'_>, n: usize) -> Result<Vec<Vec<Withdrawal>>, CodecError> {
    const WHAT: &str = "withdrawals";
    let (counts, m) = r.counts(n, 1 + 1 + 20 + 1, WHAT)?;
    let indices = r.deltas(m, WHAT)?;
    let validators = r.deltas(m, WHAT)?;
    let addresses = r.words::<20>(m, WHAT)?;
    let amounts = r.uints(m, WHAT)?;
    let mut at = 0;
    let rows = counts.into_iter().map(|count| {
        let row = at..at + count;
        at = row.end;
        row.map(|i| Withdrawal {
            index: indices[i],
            validator_index: validators[i],
            address: Address::from(addresses[i]),
            amount_gwei: amounts[i],
        })
        .collect()
    });
    Ok(rows.collect())
}

#[cfg(feature = "encode")]
pub use encode::{DEFAULT_LEVEL, MAX_LEVEL, encode_blocks, encode_blocks_with};

#[cfg(feature = "encode")]
pub(crate) use encode::{body_bound, check, compress_bound, encode_segment};

#[cfg(feature = "encode")]
mod encode {
    use alloy_primitives::keccak256;

    use super::*;

    /// zstd level that [`encode_blocks`] uses.
    pub const DEFAULT_LEVEL: i32 = 9;

    /// Highest zstd level; above it windows grow beyond what readers accept. Higher values count as this one.
    pub const MAX_LEVEL: i32 = 19;

    /// Most bytes of a uint.
    const MAX_UINT: usize = 10;

    /// The payload of these blocks in one segment, compressed at [`DEFAULT_LEVEL`].
    ///
    /// # Errors
    /// [`CodecError::NotAChain`] and [`CodecError::Unencodable`] for blocks that no batch can hold,
    /// [`CodecError::TooLarge`] above [`MAX_BODY_BYTES`], [`CodecError::Compress`] when zstd fails.
    pub fn encode_blocks(blocks: &[SealedBlock]) -> Result<Vec<u8>, CodecError> {
        encode_blocks_with(blocks, DEFAULT_LEVEL)
    }

    /// [`encode_blocks`] at another zstd level, 1 to [`MAX_LEVEL`].
    ///
    /// # Errors
    /// As [`encode_blocks`].
    pub fn encode_blocks_with(blocks: &[SealedBlock], level: i32) -> Result<Vec<u8>, CodecError> {
        let mut payload = vec![VERSION];
        let mut last = None;
        for block in blocks {
            check(block, last)?;
            last = Some(block);
        }
        if !blocks.is_empty() {
            payload.extend(encode_segment(blocks, level)?);
        }
        Ok(payload)
    }

    /// Whether the format can hold the block behind `last`.
    pub(crate) fn check(block: &SealedBlock, last: Option<&SealedBlock>) -> Result<(), CodecError> {
        let number = block.number;
        let fits = |last: &SealedBlock| {
            last.block_hash == block.parent_hash && last.number.checked_add(1) == Some(block.number)
        };
        if last.is_some_and(|last| !fits(last)) {
            return Err(CodecError::NotAChain { number });
        }
        let reason = if number == 0 {
            "it is the genesis block"
        } else if block.extra_data.len() as u64 > MAX_EXTRA_DATA {
            "its extra data is longer than 32 bytes"
        } else if block.transactions.iter().any(|tx| tx.is_empty()) {
            "it has an empty transaction"
        } else if block.execution_requests.iter().any(|request| request.is_empty()) {
            "it has an empty execution request"
        } else {
            return Ok(());
        };
        Err(CodecError::Unencodable { number, reason })
    }

    /// One segment with these blocks, which [`check`] has passed.
    pub(crate) fn encode_segment(blocks: &[SealedBlock], level: i32) -> Result<Vec<u8>, CodecError> {
        let body = encode_body(blocks);
        if body.len() > MAX_BODY_BYTES {
            return Err(CodecError::TooLarge { limit: MAX_BODY_BYTES });
        }
        let failed = |e: std::io::Error| CodecError::Compress(e.to_string());
        let mut compressor = zstd::bulk::Compressor::new(level.clamp(1, MAX_LEVEL)).map_err(failed)?;
        let frame = compressor.compress(&body).map_err(failed)?;
        let too_large = |_| CodecError::TooLarge { limit: MAX_BODY_BYTES };
        let mut segment = Vec::with_capacity(SEGMENT_HEADER + frame.len());
        segment.extend_from_slice(&u32::try_from(body.len()).map_err(too_large)?.to_be_bytes());
        segment.extend_from_slice(&u32::try_from(frame.len()).map_err(too_large)?.to_be_bytes());
        segment.extend_from_slice(&frame);
        Ok(segment)
    }

    /// Most bytes that a frame has for a body of this length, whatever it holds.
    pub(crate) fn compress_bound(body_len: usize) -> usize {
        zstd::zstd_safe::compress_bound(body_len)
    }

    /// Upper bound of what a block adds to a body, close to the truth for blocks with many transactions.
    pub(crate) fn body_bound(block: &SealedBlock) -> usize {
        let strings = |list: &[Bytes]| list.iter().map(|s| uint_len(s.len() as u64) + s.len()).sum::<usize>();
        // the count of a segment's blocks has at most as many bytes as the segment has blocks
        let count = 1;
        let numbers = 7 * MAX_UINT;
        let forms = 2;
        let fixed = 24 + 20 + 4 * 32 + if block.logs_bloom.is_zero() { 0 } else { 256 };
        let counts = 4 * MAX_UINT;
        count
            + numbers
            + forms
            + fixed
            + counts
            + block.extra_data.len()
            + block.withdrawals.len() * (3 * MAX_UINT + 20)
            + strings(&block.execution_requests)
            + strings(&block.transactions)
    }

    fn uint_len(value: u64) -> usize {
        (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
    }

    fn put_uint(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn zigzag(value: u64) -> u64 {
        (value << 1) ^ ((value as i64) >> 63) as u64
    }

    fn put_deltas(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
        let mut last = 0u64;
        for value in values {
            put_uint(out, zigzag(value.wrapping_sub(last)));
            last = value;
        }
    }

    fn put_uints(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
        values.for_each(|value| put_uint(out, value));
    }

    fn put_strings<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = &'a [Bytes]> + Clone) {
        put_uints(out, rows.clone().map(|row| row.len() as u64));
        put_uints(out, rows.clone().flatten().map(|s| s.len() as u64));
        rows.flatten().for_each(|s| out.extend_from_slice(s));
    }

    fn encode_body(blocks: &[SealedBlock]) -> Vec<u8> {
        let mut out = Vec::with_capacity(blocks.iter().map(body_bound).sum());
        let out = &mut out;
        put_uint(out, blocks.len() as u64);
        put_deltas(out, blocks.iter().map(|b| b.timestamp));
        put_deltas(out, blocks.iter().map(|b| b.gas_limit));
        put_uints(out, blocks.iter().map(|b| b.gas_used));
        put_deltas(out, blocks.iter().map(|b| b.base_fee_per_gas));
        put_uints(out, blocks.iter().map(|b| b.blob_gas_used));
        put_deltas(out, blocks.iter().map(|b| b.excess_blob_gas));
        put_deltas(out, blocks.iter().map(|b| crate::deposits_index_of(&b.prev_randao)));
        let raw_head = |b: &SealedBlock| b.prev_randao[..24] != keccak256(b.parent_hash)[..24];
        let raw_heads: Vec<bool> = blocks.iter().map(raw_head).collect();
        out.extend(raw_heads.iter().map(|raw| u8::from(*raw)));
        for (block, _) in blocks.iter().zip(raw_heads).filter(|(_, raw)| *raw) {
            out.extend_from_slice(&block.prev_randao[..24]);
        }
        blocks.iter().for_each(|b| out.extend_from_slice(b.fee_recipient.as_slice()));
        blocks.iter().for_each(|b| out.extend_from_slice(b.parent_beacon_block_root.as_slice()));
        blocks.iter().for_each(|b| out.extend_from_slice(b.state_root.as_slice()));
        blocks.iter().for_each(|b| out.extend_from_slice(b.receipts_root.as_slice()));
        blocks.iter().for_each(|b| out.extend_from_slice(b.block_hash.as_slice()));
        out.extend(blocks.iter().map(|b| u8::from(!b.logs_bloom.is_zero())));
        for block in blocks.iter().filter(|b| !b.logs_bloom.is_zero()) {
            out.extend_from_slice(block.logs_bloom.as_slice());
        }
        put_uints(out, blocks.iter().map(|b| b.extra_data.len() as u64));
        blocks.iter().for_each(|b| out.extend_from_slice(&b.extra_data));
        put_uints(out, blocks.iter().map(|b| b.withdrawals.len() as u64));
        let withdrawals = || blocks.iter().flat_map(|b| &b.withdrawals);
        put_deltas(out, withdrawals().map(|w| w.index));
        put_deltas(out, withdrawals().map(|w| w.validator_index));
        withdrawals().for_each(|w| out.extend_from_slice(w.address.as_slice()));
        put_uints(out, withdrawals().map(|w| w.amount_gwei));
        put_strings(out, blocks.iter().map(|b| b.execution_requests.as_slice()));
        put_strings(out, blocks.iter().map(|b| b.transactions.as_slice()));
        std::mem::take(out)
    }
}
