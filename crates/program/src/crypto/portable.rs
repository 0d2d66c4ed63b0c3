//! Cryptography in pure Rust.

use ethrex_crypto::{Crypto, CryptoError};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::ops::{Invert, LinearCombination, Reduce};
use k256::elliptic_curve::point::DecompressPoint;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::{AffinePoint, FieldBytes, ProjectivePoint, Scalar, U256};

use super::{bls, kzg};

/// Pure Rust throughout: what a zkVM guest is built with. Accepts, refuses and computes what `Native` does.
///
/// Methods that are not overridden are portable in [`Crypto`] itself.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// The x-coordinate of a signature's point may exceed the group's order (recovery ids 2 and 3); neither transactions
/// nor the precompile can ask for that.
const MAX_RECOVERY_ID: u8 = 1;

impl Crypto for Portable {
    fn secp256k1_ecrecover(
        &self,
        sig: &[u8; 64],
        recid: u8,
        msg: &[u8; 32],
    ) -> Result<[u8; 32], CryptoError> {
        if recid > MAX_RECOVERY_ID {
            return Err(CryptoError::InvalidRecoveryId);
        }
        let (r_bytes, s_bytes) = sig.split_at(32);
        let r_bytes = FieldBytes::from_slice(r_bytes);
        let scalar = |bytes: &FieldBytes| {
            Option::<Scalar>::from(Scalar::from_repr(*bytes))
                .filter(|scalar| !bool::from(scalar.is_zero()))
                .ok_or(CryptoError::InvalidSignature)
        };
        let (r, s) = (scalar(r_bytes)?, scalar(FieldBytes::from_slice(s_bytes))?);
        let point = Option::<AffinePoint>::from(AffinePoint::decompress(r_bytes, recid.into()))
            .ok_or(CryptoError::RecoveryFailed)?;
        let inverse =
            Option::<Scalar>::from(r.invert_vartime()).ok_or(CryptoError::InvalidSignature)?;
        let message = <Scalar as Reduce<U256>>::reduce_bytes(FieldBytes::from_slice(msg));
        // SEC 1, 4.1.6: (s R - e G) / r
        let key = ProjectivePoint::lincomb(
            &ProjectivePoint::GENERATOR,
            &-(inverse * message),
            &point.into(),
            &(inverse * s),
        );
        let encoded = key.to_affine().to_encoded_point(false);
        match encoded.as_bytes() {
            [4, coordinates @ ..] if coordinates.len() == 64 => Ok(self.keccak256(coordinates)),
            _ => Err(CryptoError::RecoveryFailed),
        }
    }

    fn verify_kzg_proof(
        &self,
        z: &[u8; 32],
        y: &[u8; 32],
        commitment: &[u8; 48],
        proof: &[u8; 48],
    ) -> Result<(), CryptoError> {
        let valid = kzg::verify_proof(z, y, commitment, proof)?;
        if valid { Ok(()) } else { Err(CryptoError::VerificationFailed) }
    }

    fn verify_blob_kzg_proof(
        &self,
        blob: &[u8],
        commitment: &[u8; 48],
        proof: &[u8; 48],
    ) -> Result<bool, CryptoError> {
        kzg::verify_blob_proof(blob, commitment, proof, |bytes| self.sha256(bytes))
    }

    fn bls12_381_g1_add(
        &self,
        a: ([u8; 48], [u8; 48]),
        b: ([u8; 48], [u8; 48]),
    ) -> Result<[u8; 96], CryptoError> {
        Ok(bls::g1_bytes((bls::g1(&a)? + bls::g1(&b)?).into()))
    }

    fn bls12_381_g1_msm(
        &self,
        pairs: &[(([u8; 48], [u8; 48]), [u8; 32])],
    ) -> Result<[u8; 96], CryptoError> {
        bls::msm(pairs, bls::g1).map(|sum| bls::g1_bytes(sum.into()))
    }

    fn bls12_381_g2_add(
        &self,
        a: ([u8; 48], [u8; 48], [u8; 48], [u8; 48]),
        b: ([u8; 48], [u8; 48], [u8; 48], [u8; 48]),
    ) -> Result<[u8; 192], CryptoError> {
        Ok(bls::g2_bytes((bls::g2(&a)? + bls::g2(&b)?).into()))
    }

    fn bls12_381_g2_msm(
        &self,
        pairs: &[(([u8; 48], [u8; 48], [u8; 48], [u8; 48]), [u8; 32])],
    ) -> Result<[u8; 192], CryptoError> {
        bls::msm(pairs, bls::g2).map(|sum| bls::g2_bytes(sum.into()))
    }

    fn bls12_381_pairing_check(
        &self,
        pairs: &[(([u8; 48], [u8; 48]), ([u8; 48], [u8; 48], [u8; 48], [u8; 48]))],
    ) -> Result<bool, CryptoError> {
        bls::pairing_check(pairs)
    }

    fn bls12_381_fp_to_g1(&self, fp: &[u8; 48]) -> Result<[u8; 96], CryptoError> {
        bls::map_to_g1(fp).map(bls::g1_bytes)
    }

    fn bls12_381_fp2_to_g2(&self, fp2: ([u8; 48], [u8; 48])) -> Result<[u8; 192], CryptoError> {
        bls::map_to_g2(&fp2).map(bls::g2_bytes)
    }
}
