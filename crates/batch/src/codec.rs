//! The batch payload: blocks as they lie in the blobs (or in calldata).
//!
//! `docs/data-availability.md` describes the format byte by byte: a version byte, then segments, each with a compressed
//! body and a plain part, both made of columns: one field of all blocks or all transactions after the other.
//!
//! A reader refuses what a writer does not make, so both parts are determined by the blocks, while the compressed frame
//! is not: other versions of zstd may compress otherwise. Whoever needs identical bytes keeps them.

use std::io::Read;

use alloy_primitives::{Address, B256, Bloom, Bytes};
use ensemble_error::{Classify, Severity};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use self::{read::Reader, transactions::Budget};
use crate::{SealedBlock, Withdrawal};

mod read;
mod transaction;
mod transactions;
#[cfg(feature = "encode")]
mod write;

/// First byte of a payload.
pub const VERSION: u8 = 3;

/// Most bytes that the parts of all segments of a payload may have together, and most bytes of its transactions: 64 MiB.
/// A default; readers may set another limit, but then must not be given batches from a writer with a higher one.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// Largest window of a frame: 8 MiB, what zstd uses up to level 19.
const MAX_WINDOW_BYTES: u64 = 8 << 20;

/// Bytes of the three lengths in front of a segment.
#[cfg(feature = "encode")]
pub(crate) const SEGMENT_HEADER: usize = 12;

/// Least bytes that a block takes in a body: 13 columns with at least one byte, 20 + 32 bytes fixed.
const MIN_BLOCK_BODY: usize = 13 + 20 + 32;

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

/// The blocks of a payload within [`MAX_BODY_BYTES`].
///
/// # Errors
/// [`CodecError`] for anything but a payload as the module describes it. Memory stays within a small multiple of the
/// limit whatever the bytes are.
pub fn decode_blocks(payload: &[u8], parent: &ParentRef) -> Result<Vec<SealedBlock>, CodecError> {
    decode_blocks_within(payload, parent, MAX_BODY_BYTES)
}

/// [`decode_blocks`] with another limit in bytes than [`MAX_BODY_BYTES`].
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
    let budget = || Budget { left: max_body_bytes, limit: max_body_bytes };
    let (mut stored, mut decoded) = (budget(), budget());
    let mut parent = *parent;
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let body_len = take_length(&mut rest)?;
        let frame_len = take_length(&mut rest)?;
        let plain_len = take_length(&mut rest)?;
        let frame = take(&mut rest, frame_len)?;
        let plain = take(&mut rest, plain_len)?;
        stored.take(body_len)?;
        stored.take(plain_len)?;
        let body = decompress(frame, body_len)?;
        let plain = Bytes::copy_from_slice(plain);
        decode_segment(&Bytes::from(body), &plain, &mut parent, &mut blocks, &mut decoded)?;
    }
    Ok(blocks)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], CodecError> {
    let (taken, next) = rest.split_at_checked(length).ok_or(CodecError::Truncated("a segment"))?;
    *rest = next;
    Ok(taken)
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

fn decode_segment(
    body: &Bytes,
    plain: &Bytes,
    parent: &mut ParentRef,
    blocks: &mut Vec<SealedBlock>,
    decoded: &mut Budget,
) -> Result<(), CodecError> {
    let (mut r, mut plain) = (Reader::new(body), Reader::new(plain));
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
    let mut randao_heads = plain.words::<24>(raw_heads, "prevRandao")?.into_iter();
    let fee_recipients = r.words::<20>(n, "feeRecipient")?;
    let beacon_roots = r.words::<32>(n, "parentBeaconBlockRoot")?;
    let state_roots = plain.words::<32>(n, "stateRoot")?;
    let receipts_roots = plain.words::<32>(n, "receiptsRoot")?;
    let block_hashes = plain.words::<32>(n, "blockHash")?;
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
    let mut transactions = transactions::read(&mut r, &mut plain, n, decoded)?.into_iter();
    if r.left() + plain.left() > 0 {
        return Err(CodecError::Trailing(r.left() + plain.left()));
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
pub use encode::{MAX_LEVEL, encode_blocks, encode_blocks_with, level_for};

#[cfg(feature = "encode")]
pub(crate) use encode::{body_bound, check, compress_bound, encode_segment};

#[cfg(feature = "encode")]
mod encode {
    use alloy_primitives::keccak256;

    use super::{
        write::{put_deltas, put_strings, put_uint, put_uints, uint_len},
        *,
    };

    /// Bodies up to this length, 256 KiB, are compressed at [`SMALL_BODY_LEVEL`]: those of a blob or two.
    const SMALL_BODY: usize = 256 << 10;
    const SMALL_BODY_LEVEL: i32 = 15;
    const LARGE_BODY_LEVEL: i32 = 9;

    /// Highest zstd level; above it windows grow beyond what readers accept. Higher values count as this one.
    pub const MAX_LEVEL: i32 = 19;

    /// Most bytes of a uint.
    const MAX_UINT: usize = 10;

    /// zstd level for a body of this length, so that whatever is in it, compression takes no more than some tenths of a
    /// second: 15 up to 256 KiB, which hard bytes slow down to 2 MB/s, else 9.
    #[must_use]
    pub fn level_for(body_len: usize) -> i32 {
        if body_len <= SMALL_BODY { SMALL_BODY_LEVEL } else { LARGE_BODY_LEVEL }
    }

    /// The payload of these blocks in one segment, compressed at the level of [`level_for`].
    ///
    /// # Errors
    /// [`CodecError::NotAChain`] and [`CodecError::Unencodable`] for blocks that no batch can hold,
    /// [`CodecError::TooLarge`] above [`MAX_BODY_BYTES`], [`CodecError::Compress`] when zstd fails.
    pub fn encode_blocks(blocks: &[SealedBlock]) -> Result<Vec<u8>, CodecError> {
        encode(blocks, level_for)
    }

    /// [`encode_blocks`] at a zstd level from 1 to [`MAX_LEVEL`].
    ///
    /// # Errors
    /// As [`encode_blocks`].
    pub fn encode_blocks_with(blocks: &[SealedBlock], level: i32) -> Result<Vec<u8>, CodecError> {
        encode(blocks, |_| level)
    }

    fn encode(blocks: &[SealedBlock], level: impl Fn(usize) -> i32) -> Result<Vec<u8>, CodecError> {
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

    /// One segment with these blocks, which [`check`] has passed, at the level for the length of its body.
    pub(crate) fn encode_segment(
        blocks: &[SealedBlock],
        level: impl Fn(usize) -> i32,
    ) -> Result<Vec<u8>, CodecError> {
        let (body, plain) = encode_columns(blocks);
        if body.len() + plain.len() > MAX_BODY_BYTES {
            return Err(CodecError::TooLarge { limit: MAX_BODY_BYTES });
        }
        let failed = |e: std::io::Error| CodecError::Compress(e.to_string());
        let mut compressor =
            zstd::bulk::Compressor::new(level(body.len()).clamp(1, MAX_LEVEL)).map_err(failed)?;
        let frame = compressor.compress(&body).map_err(failed)?;
        let too_large = |_| CodecError::TooLarge { limit: MAX_BODY_BYTES };
        let mut segment = Vec::with_capacity(SEGMENT_HEADER + frame.len() + plain.len());
        for length in [body.len(), frame.len(), plain.len()] {
            segment.extend_from_slice(&u32::try_from(length).map_err(too_large)?.to_be_bytes());
        }
        segment.extend_from_slice(&frame);
        segment.extend_from_slice(&plain);
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
            + block.transactions.iter().map(|tx| transactions::bound(tx)).sum::<usize>()
    }

    /// The two parts of a segment: what is compressed, and what would not become smaller by it.
    fn encode_columns(blocks: &[SealedBlock]) -> (Vec<u8>, Vec<u8>) {
        let (mut body, mut plain) = (Vec::new(), Vec::new());
        let (out, noise) = (&mut body, &mut plain);
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
            noise.extend_from_slice(&block.prev_randao[..24]);
        }
        blocks.iter().for_each(|b| out.extend_from_slice(b.fee_recipient.as_slice()));
        blocks.iter().for_each(|b| out.extend_from_slice(b.parent_beacon_block_root.as_slice()));
        blocks.iter().for_each(|b| noise.extend_from_slice(b.state_root.as_slice()));
        blocks.iter().for_each(|b| noise.extend_from_slice(b.receipts_root.as_slice()));
        blocks.iter().for_each(|b| noise.extend_from_slice(b.block_hash.as_slice()));
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
        transactions::write(blocks, out, noise);
        (body, plain)
    }
}
