//! The blobs, or the call data, hold exactly the payload.

use alloy_primitives::B256;
use c_kzg::{Blob, Bytes48, KzgSettings, ethereum_kzg_settings};
use ensemble_batch::{BlobProof, blobs_hash, blobs_needed, call_data_hash, pack, versioned_hash};

use crate::error::ProgramError;

/// Verification needs no precomputed tables, and without them the trusted setup loads fastest.
const PRECOMPUTE: u64 = 0;

fn settings() -> &'static KzgSettings {
    ethereum_kzg_settings(PRECOMPUTE)
}

/// Loads the KZG trusted setup, which takes seconds, so that the first batch with blobs does not wait for it.
pub fn warm_up() {
    settings();
}

/// Checks each commitment against the blob that the payload packs to (EIP-4844 `verify_blob_kzg_proof`) and returns
/// the header's `blobs_hash`. L1 hashes call data itself, so there is nothing to check of it.
pub(crate) fn verify(payload: &[u8], proofs: &[BlobProof], in_call_data: bool) -> Result<B256, ProgramError> {
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
        let bad = |e: c_kzg::Error| ProgramError::BlobInput { index, reason: e.to_string() };
        let blob = Blob::from_bytes(blob.as_bytes()).map_err(bad)?;
        let (point, opening) = (Bytes48::new(commitment.0), Bytes48::new(proof.0));
        if !settings().verify_blob_kzg_proof(&blob, &point, &opening).map_err(bad)? {
            return Err(ProgramError::BlobProof { index });
        }
        hashes.push(versioned_hash(commitment));
    }
    Ok(blobs_hash(&hashes))
}
