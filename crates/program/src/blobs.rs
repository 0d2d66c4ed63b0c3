//! The blobs, or the call data, hold exactly the payload.

use alloy_primitives::B256;
use ensemble_batch::{BlobProof, blobs_hash, blobs_needed, call_data_hash, pack, versioned_hash};
use ethrex_crypto::Crypto;

use crate::error::ProgramError;

/// Loads the KZG trusted setup, which takes seconds, so that the first batch with blobs does not wait for it.
#[cfg(feature = "native")]
pub fn warm_up() {
    crate::crypto::warm_up();
}

/// Checks each commitment against the blob that the payload packs to (EIP-4844 `verify_blob_kzg_proof`) and returns
/// the header's `blobs_hash`. L1 hashes call data itself, so there is nothing to check of it.
pub(crate) fn verify(
    payload: &[u8],
    proofs: &[BlobProof],
    in_call_data: bool,
    crypto: &dyn Crypto,
) -> Result<B256, ProgramError> {
    match (proofs.is_empty(), in_call_data) {
        (true, true) => return Ok(call_data_hash(payload)),
        (true, false) => return Ok(B256::ZERO),
        (false, true) => return Err(ProgramError::BlobCount { expected: 0, found: proofs.len() }),
        (false, false) => {}
    }
    let expected = blobs_needed(payload.len());
    if expected != proofs.len() {
        return Err(ProgramError::BlobCount { expected, found: proofs.len() });
    }
    let blobs = pack(payload, expected).map_err(ProgramError::Blobs)?;
    let mut hashes = Vec::with_capacity(proofs.len());
    for (index, (blob, BlobProof { commitment, proof })) in blobs.iter().zip(proofs).enumerate() {
        let valid = crypto
            .verify_blob_kzg_proof(blob.as_bytes(), commitment, proof)
            .map_err(|e| ProgramError::BlobInput { index, reason: e.to_string() })?;
        if !valid {
            return Err(ProgramError::BlobProof { index });
        }
        hashes.push(versioned_hash(commitment));
    }
    Ok(blobs_hash(&hashes))
}
