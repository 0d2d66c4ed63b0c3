//! Columns as they are written.

use alloy_primitives::Bytes;

/// Bytes of a uint.
pub(super) fn uint_len(value: impl Into<u128>) -> usize {
    (128 - (value.into() | 1).leading_zeros() as usize).div_ceil(7)
}

pub(super) fn put_uint(out: &mut Vec<u8>, value: impl Into<u128>) {
    let mut value: u128 = value.into();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn zigzag(value: u64) -> u64 {
    (value << 1) ^ ((value as i64) >> 63) as u64
}

pub(super) fn put_deltas(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    let mut last = 0u64;
    for value in values {
        put_uint(out, zigzag(value.wrapping_sub(last)));
        last = value;
    }
}

pub(super) fn put_uints(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    values.for_each(|value| put_uint(out, value));
}

pub(super) fn put_strings<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = &'a [Bytes]> + Clone) {
    put_uints(out, rows.clone().map(|row| row.len() as u64));
    put_uints(out, rows.clone().flatten().map(|s| s.len() as u64));
    rows.flatten().for_each(|s| out.extend_from_slice(s));
}
