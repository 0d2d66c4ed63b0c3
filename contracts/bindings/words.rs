//! Strict reading of ABI words: no bit outside of the type's width may be set.

use alloy_primitives::{Address, B256, U256};

/// Reads static ABI words one after the other.
pub(crate) struct Words<'a> {
    words: &'a [[u8; 32]],
}

impl<'a> Words<'a> {
    /// Words of exactly `count` times 32 bytes.
    pub(crate) fn exact(data: &'a [u8], count: usize) -> Result<Self, String> {
        let (words, rest) = data.as_chunks::<32>();
        if words.len() != count || !rest.is_empty() {
            return Err(format!("{} bytes instead of {}", data.len(), count * 32));
        }
        Ok(Self { words })
    }

    pub(crate) fn word(&mut self) -> Result<B256, String> {
        let (first, rest) = self.words.split_first().ok_or("a word is missing")?;
        self.words = rest;
        Ok(B256::new(*first))
    }

    pub(crate) fn u256(&mut self) -> Result<U256, String> {
        self.word().map(|word| U256::from_be_bytes(word.0))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, String> {
        u64_of(self.word()?)
    }
}

pub(crate) fn u64_of(word: B256) -> Result<u64, String> {
    u64::try_from(U256::from_be_bytes(word.0)).map_err(|_| format!("{word} does not fit 64 bits"))
}

pub(crate) fn u40_of(word: B256) -> Result<u64, String> {
    u64_of(word).and_then(|value| {
        if value >> 40 == 0 { Ok(value) } else { Err(format!("{word} does not fit 40 bits")) }
    })
}

pub(crate) fn address_of(word: B256) -> Result<Address, String> {
    if word.0[..12].iter().any(|byte| *byte != 0) {
        return Err(format!("{word} is no address"));
    }
    Ok(Address::from_word(word))
}

pub(crate) fn bool_of(word: B256) -> Result<bool, String> {
    match u64_of(word) {
        Ok(0) => Ok(false),
        Ok(1) => Ok(true),
        Ok(_) | Err(_) => Err(format!("{word} is no boolean")),
    }
}
