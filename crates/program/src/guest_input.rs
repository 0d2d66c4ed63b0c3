//! The input as a zkVM guest reads it: witnesses without JSON, everything in bincode.

use std::sync::Arc;

use alloy_primitives::Bytes;
use ensemble_batch::{BatchInput, ProgramKey, PublicValues};
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
pub struct GuestInput(BatchInput<Witness>);

impl GuestInput {
    /// Parses the witnesses.
    ///
    /// # Errors
    /// [`ProgramError::Witness`] for one that is not the JSON of a witness.
    pub fn new(input: &BatchInput) -> Result<Self, ProgramError> {
        let BatchInput {
            parent,
            parent_block,
            sealed_at,
            da_payload,
            blobs,
            in_call_data,
            witnesses,
            chain_config,
        } = input;
        let witnesses = (1..)
            .zip(witnesses)
            .map(|(index, json)| {
                let witness = json.parsed(parent_block.saturating_add(index))?;
                let bytes = |list: Vec<bytes::Bytes>| list.into_iter().map(Bytes).collect();
                Ok(Witness {
                    state: bytes(witness.state),
                    codes: bytes(witness.codes),
                    headers: bytes(witness.headers),
                })
            })
            .collect::<Result<_, ProgramError>>()?;
        Ok(Self(BatchInput {
            parent: parent.clone(),
            parent_block: *parent_block,
            sealed_at: *sealed_at,
            da_payload: da_payload.clone(),
            blobs: blobs.clone(),
            in_call_data: *in_call_data,
            witnesses,
            chain_config: chain_config.clone(),
        }))
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
        run(&self.0, Some(program), &|| false, crypto).map(|output| output.public_values)
    }
}

/// A witness in one of its forms.
pub(crate) trait WitnessForm {
    /// The witness of the block of this height.
    fn parsed(&self, block: u64) -> Result<RpcExecutionWitness, ProgramError>;
}

/// JSON.
impl WitnessForm for Bytes {
    fn parsed(&self, block: u64) -> Result<RpcExecutionWitness, ProgramError> {
        serde_json::from_slice(self).map_err(|e| ProgramError::Witness { block, reason: e.to_string() })
    }
}

impl WitnessForm for Witness {
    fn parsed(&self, _: u64) -> Result<RpcExecutionWitness, ProgramError> {
        let bytes = |list: &[Bytes]| list.iter().map(|bytes| bytes.0.clone()).collect();
        Ok(RpcExecutionWitness {
            state: bytes(&self.state),
            keys: Vec::new(),
            codes: bytes(&self.codes),
            headers: bytes(&self.headers),
        })
    }
}
