//! Cryptography by C and assembly libraries.

use c_kzg::{Blob, Bytes48, KzgSettings, ethereum_kzg_settings};
use ethrex_crypto::{Crypto, CryptoError, NativeCrypto};

/// Verification needs no precomputed tables, and without them the trusted setup loads fastest.
const PRECOMPUTE: u64 = 0;

/// libsecp256k1, c-kzg, blst, aws-lc and ethrex' assembly.
#[derive(Clone, Copy, Debug)]
pub struct Native;

pub(crate) fn settings() -> &'static KzgSettings {
    ethereum_kzg_settings(PRECOMPUTE)
}

fn other(e: c_kzg::Error) -> CryptoError {
    CryptoError::Other(e.to_string())
}

impl Crypto for Native {
    fn secp256r1_verify(&self, msg: &[u8; 32], sig: &[u8; 64], pk: &[u8; 64]) -> bool {
        NativeCrypto.secp256r1_verify(msg, sig, pk)
    }

    fn verify_kzg_proof(
        &self,
        z: &[u8; 32],
        y: &[u8; 32],
        commitment: &[u8; 48],
        proof: &[u8; 48],
    ) -> Result<(), CryptoError> {
        let valid = settings()
            .verify_kzg_proof(&(*commitment).into(), &(*z).into(), &(*y).into(), &(*proof).into())
            .map_err(other)?;
        if valid { Ok(()) } else { Err(CryptoError::VerificationFailed) }
    }

    fn verify_blob_kzg_proof(
        &self,
        blob: &[u8],
        commitment: &[u8; 48],
        proof: &[u8; 48],
    ) -> Result<bool, CryptoError> {
        let blob = Blob::from_bytes(blob).map_err(other)?;
        settings()
            .verify_blob_kzg_proof(&blob, &Bytes48::new(*commitment), &Bytes48::new(*proof))
            .map_err(other)
    }
}
