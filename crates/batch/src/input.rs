//! What a prover is given for one batch.

use alloy_primitives::{B256, Bytes, FixedBytes, keccak256};
use serde::{Deserialize, Serialize};

use crate::BatchHeader;

/// KZG commitment of one blob and the proof that it is the commitment of that blob (EIP-4844
/// `compute_blob_kzg_proof`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobProof {
    /// KZG commitment, 48 bytes.
    pub commitment: FixedBytes<48>,
    /// Blob proof (version 0), 48 bytes.
    pub proof: FixedBytes<48>,
}

/// Input of the proven program for one batch. Nothing in it is trusted: the program computes the public
/// values from it, and a wrong input gives other public values or none.
///
/// `W` is the form of the witnesses: JSON, unless something else is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchInput<W = Bytes> {
    /// Header of the previous batch; its hash is the first public value.
    pub parent: BatchHeader,
    /// Header number of the L2 block before the batch's first block.
    pub parent_block: u64,
    /// `sealed_at` of the new header.
    pub sealed_at: u64,
    /// The encoded batch as it lies in the blobs (before packing into field elements).
    pub da_payload: Bytes,
    /// One per blob, in order; empty in a batch without blobs.
    pub blobs: Vec<BlobProof>,
    /// Whether the payload lies in the call data of the commit; then there are no blobs.
    pub in_call_data: bool,
    /// Execution witness of each block; as [`Bytes`] the JSON that `debug_executionWitness` answered for it.
    pub witnesses: Vec<W>,
    /// The L2's chain configuration: the `config` object of its genesis as canonical JSON
    /// ([`ProgramKey::canonical_chain_config`]).
    pub chain_config: Bytes,
}

/// A file that is no zkVM guest of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestMarkError {
    /// The mark is not in it.
    #[error("it has no place for the chain")]
    Missing,
    /// The mark is in it more than once.
    #[error("it has two places for the chain")]
    Twice,
    /// It ends within the 32 bytes behind the mark.
    #[error("it is cut off")]
    CutOff,
}

/// Names a program together with the chain rules it proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProgramKey(pub B256);

impl ProgramKey {
    /// Version of the program's rules; part of the key, so that a change of rules needs a new key on L1.
    pub const PROGRAM: &'static str = "ensemble-program/3";

    /// What stands in a zkVM guest before the 32 bytes of the key of the chain it is for.
    pub const GUEST_MARK: [u8; 32] = *b"ensemble guest for program key: ";

    /// Makes the guest of no chain one for the chain of this key: writes it behind [`Self::GUEST_MARK`].
    ///
    /// # Errors
    /// When the file does not have exactly one such place; nothing is changed then.
    pub fn write_into(&self, guest: &mut [u8]) -> Result<(), GuestMarkError> {
        let mark = Self::GUEST_MARK;
        let mut places = guest.windows(mark.len()).enumerate().filter(|(_, bytes)| *bytes == mark);
        let place = match (places.next(), places.next()) {
            (Some((place, _)), None) => place + mark.len(),
            (None, _) => return Err(GuestMarkError::Missing),
            (Some(_), Some(_)) => return Err(GuestMarkError::Twice),
        };
        let place = guest.get_mut(place..).and_then(|rest| rest.first_chunk_mut());
        *place.ok_or(GuestMarkError::CutOff)? = self.0.0;
        Ok(())
    }

    /// Canonical text of a chain configuration: JSON with sorted keys, no white space, no null members.
    #[must_use]
    pub fn canonical_chain_config(config: &serde_json::Value) -> String {
        fn write(value: &serde_json::Value, out: &mut String) {
            match value {
                serde_json::Value::Object(map) => {
                    let mut keys: Vec<_> = map.iter().filter(|(_, v)| !v.is_null()).collect();
                    keys.sort_by(|a, b| a.0.cmp(b.0));
                    out.push('{');
                    for (i, (k, v)) in keys.into_iter().enumerate() {
                        if i > 0 {
                            out.push(',');
                        }
                        out.push_str(&serde_json::Value::String(k.clone()).to_string());
                        out.push(':');
                        write(v, out);
                    }
                    out.push('}');
                }
                serde_json::Value::Array(items) => {
                    out.push('[');
                    for (i, v) in items.iter().enumerate() {
                        if i > 0 {
                            out.push(',');
                        }
                        write(v, out);
                    }
                    out.push(']');
                }
                other => out.push_str(&other.to_string()),
            }
        }
        let mut out = String::new();
        write(config, &mut out);
        out
    }

    /// Key of the `exec` program for a chain: `keccak256(PROGRAM || 0x00 || canonical chain config)`.
    #[must_use]
    pub fn exec(canonical_chain_config: &str) -> Self {
        let mut bytes = Self::PROGRAM.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(canonical_chain_config.as_bytes());
        Self(keccak256(bytes))
    }
}
