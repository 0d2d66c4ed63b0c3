//! Columns as they are read.

use alloy_primitives::Bytes;

use super::CodecError;

fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// Reads columns off the front of a part of a body.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    body: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a Bytes) -> Self {
        Self { body, at: 0 }
    }

    pub(super) fn left(&self) -> usize {
        self.body.len() - self.at
    }

    pub(super) fn bytes(&mut self, count: usize, what: &'static str) -> Result<&[u8], CodecError> {
        if count > self.left() {
            return Err(CodecError::Truncated(what));
        }
        let start = self.at;
        self.at += count;
        Ok(&self.body[start..self.at])
    }

    pub(super) fn uint(&mut self, what: &'static str) -> Result<u64, CodecError> {
        u64::try_from(self.wide(u64::BITS, what)?).map_err(|_| CodecError::OutOfRange(what))
    }

    /// A uint of at most 128 bits.
    pub(super) fn wide_uint(&mut self, what: &'static str) -> Result<u128, CodecError> {
        self.wide(u128::BITS, what)
    }

    fn wide(&mut self, bits: u32, what: &'static str) -> Result<u128, CodecError> {
        let mut value = 0u128;
        for shift in (0..bits).step_by(7) {
            let byte = self.bytes(1, what)?[0];
            let low = byte & 0x7f;
            if shift + 7 > bits && low >> (bits - shift) != 0 {
                return Err(CodecError::OutOfRange(what));
            }
            value |= u128::from(low) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(CodecError::NonCanonical(what)) } else { Ok(value) };
            }
        }
        Err(CodecError::OutOfRange(what))
    }

    /// A column of `count` values; the caller has bounded `count` by the bytes of the body.
    pub(super) fn uints(&mut self, count: usize, what: &'static str) -> Result<Vec<u64>, CodecError> {
        (0..count).map(|_| self.uint(what)).collect()
    }

    pub(super) fn deltas(&mut self, count: usize, what: &'static str) -> Result<Vec<u64>, CodecError> {
        let mut last = 0u64;
        let mut values = self.uints(count, what)?;
        for value in &mut values {
            last = last.wrapping_add(unzigzag(*value));
            *value = last;
        }
        Ok(values)
    }

    pub(super) fn words<const N: usize>(
        &mut self,
        count: usize,
        what: &'static str,
    ) -> Result<Vec<[u8; N]>, CodecError> {
        let bytes = self.bytes(count.saturating_mul(N), what)?;
        Ok(bytes.as_chunks::<N>().0.to_vec())
    }

    /// One of the words of a column.
    pub(super) fn word<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let bytes = self.bytes(N, what)?;
        bytes.first_chunk().copied().ok_or(CodecError::Truncated(what))
    }

    pub(super) fn forms(&mut self, count: usize, what: &'static str) -> Result<Vec<bool>, CodecError> {
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

    /// A column of sizes, and their sum.
    pub(super) fn sizes(&mut self, n: usize, what: &'static str) -> Result<(Vec<usize>, usize), CodecError> {
        let mut sum = 0usize;
        let mut sizes = Vec::new();
        for _ in 0..n {
            let size = usize::try_from(self.uint(what)?).map_err(|_| CodecError::OutOfRange(what))?;
            sum = sum.checked_add(size).ok_or(CodecError::OutOfRange(what))?;
            sizes.push(size);
        }
        Ok((sizes, sum))
    }

    /// A column of counts, and their sum. Each counted thing takes at least `min_bytes` in later columns, so the sum
    /// cannot exceed what is left of the body.
    pub(super) fn counts(
        &mut self,
        n: usize,
        min_bytes: usize,
        what: &'static str,
    ) -> Result<(Vec<usize>, usize), CodecError> {
        let (counts, sum) = self.sizes(n, what)?;
        if sum > self.left() / min_bytes {
            return Err(CodecError::Truncated(what));
        }
        Ok((counts, sum))
    }

    /// Byte strings: counts, lengths above zero, then the bytes. The strings share the memory of the body.
    pub(super) fn strings(&mut self, n: usize, what: &'static str) -> Result<Vec<Vec<Bytes>>, CodecError> {
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

    pub(super) fn string(&mut self, length: u64, what: &'static str) -> Result<Bytes, CodecError> {
        let start = self.at;
        let length = usize::try_from(length).map_err(|_| CodecError::OutOfRange(what))?;
        self.bytes(length, what)?;
        Ok(self.body.slice(start..self.at))
    }
}
