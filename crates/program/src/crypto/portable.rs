//! Cryptography in pure Rust.

use ethrex_crypto::{Crypto, CryptoError};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::ops::{Invert, LinearCombination, Reduce};
use k256::elliptic_curve::point::DecompressPoint;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::{AffinePoint, FieldBytes, ProjectivePoint, Scalar, U256};
use sha2::Digest;

use super::{bls, kzg};

/// The operations that most of a batch's cryptography consists of and that a zkVM has circuits for.
pub trait Accelerator: Send + Sync + std::fmt::Debug {
    /// Keccak-256 with the padding that Ethereum uses.
    fn keccak256(&self, input: &[u8]) -> [u8; 32] {
        ethrex_crypto::keccak::keccak_hash(input)
    }

    /// Sha256.
    fn sha256(&self, input: &[u8]) -> [u8; 32];

    /// Coordinates, big endian, of the secp256k1 key by which a message's hash was signed (SEC 1, 4.1.6). `r` and `s` are
    /// big endian.
    ///
    /// # Errors
    /// When there is none: `r` or `s` is zero or not smaller than the group's order, `r` is no point's, or the key would be
    /// the point at infinity.
    fn recover(
        &self,
        r: &[u8; 32],
        s: &[u8; 32],
        y_is_odd: bool,
        message: &[u8; 32],
    ) -> Result<[u8; 64], CryptoError>;
}

/// No circuits: k256 and sha2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Software;

impl Accelerator for Software {
    fn sha256(&self, input: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(input).into()
    }

    fn recover(
        &self,
        r: &[u8; 32],
        s: &[u8; 32],
        y_is_odd: bool,
        message: &[u8; 32],
    ) -> Result<[u8; 64], CryptoError> {
        let point = FieldBytes::from(*r);
        let scalar = |bytes: &[u8; 32]| {
            Option::<Scalar>::from(Scalar::from_repr((*bytes).into()))
                .filter(|scalar| !bool::from(scalar.is_zero()))
                .ok_or(CryptoError::InvalidSignature)
        };
        let (r, s) = (scalar(r)?, scalar(s)?);
        let point = AffinePoint::decompress(&point, u8::from(y_is_odd).into());
        let point = Option::<AffinePoint>::from(point).ok_or(CryptoError::RecoveryFailed)?;
        let inverse = Option::<Scalar>::from(r.invert_vartime()).ok_or(CryptoError::InvalidSignature)?;
        let message = <Scalar as Reduce<U256>>::reduce_bytes(&(*message).into());
        let key = ProjectivePoint::lincomb(
            &ProjectivePoint::GENERATOR,
            &-(inverse * message),
            &point.into(),
            &(inverse * s),
        );
        match key.to_affine().to_encoded_point(false).as_bytes() {
            [4, coordinates @ ..] => coordinates.try_into().map_err(|_| CryptoError::RecoveryFailed),
            _ => Err(CryptoError::RecoveryFailed),
        }
    }
}

/// Pure Rust throughout: what a zkVM guest is built with. Accepts, refuses and computes what `Native` does.
///
/// Methods that are not overridden are portable in [`Crypto`] itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable<A = Software>(pub A);

/// The x-coordinate of a signature's point may exceed the group's order (recovery ids 2 and 3); neither transactions
/// nor the precompile can ask for that.
const MAX_RECOVERY_ID: u8 = 1;

impl<A: Accelerator> Crypto for Portable<A> {
    fn secp256k1_ecrecover(
        &self,
        sig: &[u8; 64],
        recid: u8,
        msg: &[u8; 32],
    ) -> Result<[u8; 32], CryptoError> {
        if recid > MAX_RECOVERY_ID {
            return Err(CryptoError::InvalidRecoveryId);
        }
        let [r, s] = sig.as_chunks().0 else { return Err(CryptoError::InvalidSignature) };
        self.0.recover(r, s, recid == 1, msg).map(|key| self.keccak256(&key))
    }

    fn keccak256(&self, input: &[u8]) -> [u8; 32] {
        self.0.keccak256(input)
    }

    fn sha256(&self, input: &[u8]) -> [u8; 32] {
        self.0.sha256(input)
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

    fn bls12_381_g1_msm(&self, pairs: &[(([u8; 48], [u8; 48]), [u8; 32])]) -> Result<[u8; 96], CryptoError> {
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
