//! [`BatchBuilder`]: collects blocks into a batch whose size is known before it is sealed.

use alloy_primitives::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    SealedBlock,
    blob::{self, Blob, usable_bytes},
    codec::{
        self, CodecError, MAX_BODY_BYTES, SEGMENT_HEADER, body_bound, check, compress_bound, encode_segment,
        level_for,
    },
};

/// Bytes of the version in front of the segments.
const VERSION_BYTES: usize = 1;

/// How large a batch may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchLimits {
    /// Blobs. With 0 the batch is for a chain that keeps its data elsewhere: there are no blobs, and the payload is
    /// bounded only by [`codec::MAX_BODY_BYTES`].
    pub max_blobs: usize,
    /// L2 blocks.
    pub max_blocks: usize,
    /// Sum of the gas used by the blocks.
    pub max_gas: u64,
    /// Deposits (EIP-4895 withdrawals of the blocks).
    pub max_deposits: usize,
}

/// Which limit a block would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`BatchLimits::max_blobs`].
    Blobs,
    /// [`BatchLimits::max_blocks`].
    Blocks,
    /// [`BatchLimits::max_gas`].
    Gas,
    /// [`BatchLimits::max_deposits`].
    Deposits,
    /// [`codec::MAX_BODY_BYTES`]: the bytes before compression.
    Body,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Blobs => "blobs",
            Self::Blocks => "blocks",
            Self::Gas => "gas",
            Self::Deposits => "deposits",
            Self::Body => "uncompressed bytes",
        })
    }
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Push {
    /// It is in the batch, and the batch still fits.
    Accepted,
    /// It is not in the batch: seal the batch, then push the block to a new one.
    Full(Limit),
    /// It does not even fit into a batch of its own. The limits are too low for the blocks that the sequencer makes.
    TooLarge(Limit),
}

/// A finished batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBatch {
    /// The payload, see [`codec`].
    pub payload: Bytes,
    /// The payload packed into blobs, see [`blob`]; empty when [`BatchLimits::max_blobs`] is 0.
    pub blobs: Vec<Blob>,
}

/// Collects consecutive blocks into a batch. Pure: the same blocks give the same bytes.
///
/// The size is known without compressing everything for each block. The batch is kept as segments that are compressed
/// already, and an open one, whose size is bounded by zstd's bound for incompressible data. Only when that bound would
/// exceed the blobs is the open segment compressed and closed; and when closed segments alone would be too large, all
/// are compressed anew as one, at most once for each growth of the batch by an eighth. So all compression together is
/// linear in the bytes of the batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    limits: BatchLimits,
    blocks: Vec<SealedBlock>,
    gas: u64,
    deposits: usize,
    /// Bound of the bytes of all blocks before compression.
    body: usize,
    /// Segments that are compressed already.
    closed: Vec<Vec<u8>>,
    /// Index of the first block of the open segment.
    open_from: usize,
    /// Bound of the open segment's bytes before compression.
    open_body: usize,
    /// [`Self::body`] when all segments were last compressed as one.
    merged_at: usize,
}

impl BatchBuilder {
    /// An empty batch.
    ///
    /// A push may compress the whole batch, at the level of [`codec::level_for`]: up to about 0.2 s for 15 MB that go
    /// into six blobs.
    #[must_use]
    pub fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            blocks: Vec::new(),
            gas: 0,
            deposits: 0,
            body: 0,
            closed: Vec::new(),
            open_from: 0,
            open_body: 0,
            merged_at: 0,
        }
    }

    /// Blocks of the batch, in order.
    #[must_use]
    pub fn blocks(&self) -> &[SealedBlock] {
        &self.blocks
    }

    /// Whether the batch has no blocks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Gas used by the blocks.
    #[must_use]
    pub fn gas(&self) -> u64 {
        self.gas
    }

    /// Deposits of the blocks.
    #[must_use]
    pub fn deposits(&self) -> usize {
        self.deposits
    }

    /// Upper bound of the payload's bytes if the batch were finished now.
    #[must_use]
    pub fn payload_bound(&self) -> usize {
        self.bound_with(self.open_body)
    }

    /// Adds a block unless the batch would exceed its limits by it. A block that is not added changes nothing.
    ///
    /// # Errors
    /// [`CodecError::NotAChain`] and [`CodecError::Unencodable`] for a block that has no place in this batch,
    /// [`CodecError::Compress`] when zstd fails. The batch is as before.
    pub fn push(&mut self, block: &SealedBlock) -> Result<Push, CodecError> {
        check(block, self.blocks.last())?;
        let gas = self.gas.saturating_add(block.gas_used);
        let deposits = self.deposits.saturating_add(block.withdrawals.len());
        let body = body_bound(block);
        let limits = &self.limits;
        let over = if self.blocks.len() >= limits.max_blocks {
            Some(Limit::Blocks)
        } else if gas > limits.max_gas {
            Some(Limit::Gas)
        } else if deposits > limits.max_deposits {
            Some(Limit::Deposits)
        } else if self.body.saturating_add(body) > MAX_BODY_BYTES {
            Some(Limit::Body)
        } else {
            None
        };
        if let Some(limit) = over {
            return Ok(self.refuse(limit));
        }
        self.blocks.push(block.clone());
        match self.make_room(body) {
            Ok(true) => {
                self.gas = gas;
                self.deposits = deposits;
                self.body += body;
                Ok(Push::Accepted)
            }
            Ok(false) => {
                self.blocks.pop();
                Ok(self.refuse(Limit::Blobs))
            }
            Err(e) => {
                self.blocks.pop();
                Err(e)
            }
        }
    }

    /// The finished batch. An empty one has an empty chain of segments as its payload.
    ///
    /// # Errors
    /// [`CodecError::Compress`] when zstd fails.
    pub fn finish(mut self) -> Result<EncodedBatch, CodecError> {
        if self.open_from < self.blocks.len() {
            self.closed.push(encode_segment(&self.blocks[self.open_from..], level_for)?);
        }
        if self.closed.len() > 1 {
            let one = encode_segment(&self.blocks, level_for)?;
            if one.len() <= self.closed.iter().map(Vec::len).sum() {
                self.closed = vec![one];
            }
        }
        let mut payload = vec![codec::VERSION];
        self.closed.iter().for_each(|segment| payload.extend_from_slice(segment));
        let blobs = if self.limits.max_blobs == 0 {
            Vec::new()
        } else {
            // the bound was kept at every push
            let too_large = |_| CodecError::TooLarge { limit: self.capacity() };
            blob::pack(&payload, self.limits.max_blobs).map_err(too_large)?
        };
        Ok(EncodedBatch { payload: payload.into(), blobs })
    }

    fn refuse(&self, limit: Limit) -> Push {
        if self.blocks.is_empty() { Push::TooLarge(limit) } else { Push::Full(limit) }
    }

    fn capacity(&self) -> usize {
        if self.limits.max_blobs == 0 { usize::MAX } else { usable_bytes(self.limits.max_blobs) }
    }

    fn closed_bytes(&self) -> usize {
        self.closed.iter().map(Vec::len).sum()
    }

    fn bound_with(&self, open_body: usize) -> usize {
        let open = if open_body == 0 { 0 } else { SEGMENT_HEADER + compress_bound(open_body) };
        VERSION_BYTES + self.closed_bytes() + open
    }

    /// Whether the batch still fits with the block that was just put at the end, which adds `body` bytes. Only when
    /// it does are the segments changed.
    fn make_room(&mut self, body: usize) -> Result<bool, CodecError> {
        let capacity = self.capacity();
        let open_body = self.open_body + body;
        if self.bound_with(open_body) <= capacity {
            self.open_body = open_body;
            return Ok(true);
        }
        let segment = encode_segment(&self.blocks[self.open_from..], level_for)?;
        let closed = if VERSION_BYTES + self.closed_bytes() + segment.len() <= capacity {
            self.closed.push(segment);
            true
        } else {
            self.merge(self.body + body)?
        };
        if closed {
            self.open_from = self.blocks.len();
            self.open_body = 0;
        }
        Ok(closed)
    }

    /// Compresses all blocks as one segment if that may help, and tells whether the batch fits then.
    fn merge(&mut self, body: usize) -> Result<bool, CodecError> {
        let grown_enough = body >= self.merged_at.saturating_add(self.merged_at / 8);
        if self.closed.is_empty() || !grown_enough {
            return Ok(false);
        }
        self.merged_at = body;
        let segment = encode_segment(&self.blocks, level_for)?;
        let fits = VERSION_BYTES + segment.len() <= self.capacity();
        if fits {
            self.closed = vec![segment];
        }
        Ok(fits)
    }
}
