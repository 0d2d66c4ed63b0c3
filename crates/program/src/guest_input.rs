//! The input as a zkVM guest reads it: witnesses without JSON, everything in bincode.

use std::sync::Arc;

use alloy_primitives::Bytes;
use ensemble_batch::{BatchHeader, BatchInput, BlobProof, ProgramKey, PublicValues};
use ethrex_common::types::block_execution_witness::RpcExecutionWitness;
use ethrex_crypto::Crypto;
use serde::{Deserialize, Serialize};

use crate::error::ProgramError;
use crate::execute::run;

/// Execution witness of one block: what `debug_executionWitness` answers, without hex and without the keys, which the
/// program does not need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// RLP of the nodes of the state trie and the storage tries.
    pub state: Vec<Bytes>,
    /// Code of the contracts.
    pub codes: Vec<Bytes>,
    /// RLP of the ancestors' headers, ascending; the last one is the parent.
    pub headers: Vec<Bytes>,
}

/// [`BatchInput`] with parsed witnesses, for [`run`](Self::run). In bincode 1 with fixed-size little-endian
/// integers it is the input of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestInput {
    /// See [`BatchInput::parent`].
    pub parent: BatchHeader,
    /// See [`BatchInput::parent_block`].
    pub parent_block: u64,
    /// See [`BatchInput::sealed_at`].
    pub sealed_at: u64,
    /// See [`BatchInput::da_payload`].
    pub da_payload: Bytes,
    /// See [`BatchInput::blobs`].
    pub blobs: Vec<BlobProof>,
    /// See [`BatchInput::in_call_data`].
    pub in_call_data: bool,
    /// One per block.
    pub witnesses: Vec<Witness>,
    /// See [`BatchInput::chain_config`].
    pub chain_config: Bytes,
}

impl GuestInput {
    /// Parses the witnesses.
    ///
    /// # Errors
    /// [`ProgramError::Witness`] for one that is not the JSON of a witness.
    pub fn new(input: &BatchInput) -> Result<Self, ProgramError> {
        let witnesses = (1..)
            .zip(&input.witnesses)
            .map(|(index, json)| {
                let witness = parse(json, input.parent_block.saturating_add(index))?;
                let bytes = |list: Vec<bytes::Bytes>| list.into_iter().map(Bytes).collect();
                Ok(Witness {
                    state: bytes(witness.state),
                    codes: bytes(witness.codes),
                    headers: bytes(witness.headers),
                })
            })
            .collect::<Result<_, ProgramError>>()?;
        Ok(Self {
            parent: input.parent.clone(),
            parent_block: input.parent_block,
            sealed_at: input.sealed_at,
            da_payload: input.da_payload.clone(),
            blobs: input.blobs.clone(),
            in_call_data: input.in_call_data,
            witnesses,
            chain_config: input.chain_config.clone(),
        })
    }

    /// The bytes that the guest reads.
    ///
    /// # Errors
    /// [`ProgramError::Packed`] does not happen for an input in memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ProgramError> {
        bincode::serialize(self).map_err(|e| ProgramError::Packed { reason: e.to_string() })
    }

    /// Reads [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`ProgramError::Packed`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProgramError> {
        use bincode::Options;
        bincode::DefaultOptions::new()
            .with_fixint_encoding()
            .with_limit(bytes.len() as u64)
            .deserialize(bytes)
            .map_err(|e| ProgramError::Packed { reason: e.to_string() })
    }

    /// What the guest does: runs the program for the one chain that `program` names, on the caller's stack.
    ///
    /// A zkVM proof names the guest and not the chain configuration in its input, so the guest has to know which
    /// configuration it is for.
    ///
    /// # Errors
    /// [`ProgramError`] when the input has no public values or is of another chain.
    pub fn run(&self, program: ProgramKey, crypto: &Arc<dyn Crypto>) -> Result<PublicValues, ProgramError> {
        let input = Input {
            parent: &self.parent,
            parent_block: self.parent_block,
            sealed_at: self.sealed_at,
            da_payload: &self.da_payload,
            blobs: &self.blobs,
            in_call_data: self.in_call_data,
            witnesses: Witnesses::Packed(&self.witnesses),
            chain_config: &self.chain_config,
            program: Some(program),
        };
        run(&input, &|| false, crypto).map(|output| output.public_values)
    }
}

/// An input of either form.
pub(crate) struct Input<'a> {
    pub(crate) parent: &'a BatchHeader,
    pub(crate) parent_block: u64,
    pub(crate) sealed_at: u64,
    pub(crate) da_payload: &'a [u8],
    pub(crate) blobs: &'a [BlobProof],
    pub(crate) in_call_data: bool,
    pub(crate) witnesses: Witnesses<'a>,
    pub(crate) chain_config: &'a [u8],
    /// The one program and chain that is proven, when there is one.
    pub(crate) program: Option<ProgramKey>,
}

impl<'a> Input<'a> {
    pub(crate) fn of(input: &'a BatchInput) -> Self {
        Self {
            parent: &input.parent,
            parent_block: input.parent_block,
            sealed_at: input.sealed_at,
            da_payload: &input.da_payload,
            blobs: &input.blobs,
            in_call_data: input.in_call_data,
            witnesses: Witnesses::Json(&input.witnesses),
            chain_config: &input.chain_config,
            program: None,
        }
    }
}

/// Witnesses of either form, one per block.
pub(crate) enum Witnesses<'a> {
    Json(&'a [Bytes]),
    Packed(&'a [Witness]),
}

impl Witnesses<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(all) => all.len(),
            Self::Packed(all) => all.len(),
        }
    }

    /// The witness of the batch's `index`th block, which has this height.
    pub(crate) fn get(&self, index: usize, block: u64) -> Result<RpcExecutionWitness, ProgramError> {
        let missing = || ProgramError::Witness { block, reason: "there is none".to_owned() };
        match self {
            Self::Json(all) => parse(all.get(index).ok_or_else(missing)?, block),
            Self::Packed(all) => {
                let witness = all.get(index).ok_or_else(missing)?;
                let bytes = |list: &[Bytes]| list.iter().map(|bytes| bytes.0.clone()).collect();
                Ok(RpcExecutionWitness {
                    state: bytes(&witness.state),
                    keys: Vec::new(),
                    codes: bytes(&witness.codes),
                    headers: bytes(&witness.headers),
                })
            }
        }
    }
}

fn parse(json: &[u8], block: u64) -> Result<RpcExecutionWitness, ProgramError> {
    serde_json::from_slice(json).map_err(|e| ProgramError::Witness { block, reason: e.to_string() })
}
