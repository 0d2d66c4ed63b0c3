//! KZG proofs of EIP-4844 (consensus-specs, deneb/polynomial-commitments.md), over arkworks.

use ark_bls12_381::{Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{AdditiveGroup, BigInt, FftField, Field, PrimeField, batch_inversion};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use ethrex_crypto::CryptoError;

use super::bls;

/// Field elements of a blob.
const ELEMENTS: usize = 4096;
const ELEMENT_BYTES: usize = 32;
/// `FIAT_SHAMIR_PROTOCOL_DOMAIN`.
const DOMAIN: &[u8; 16] = b"FSBLOBVERIFY_V1_";
/// The secret of Ethereum's KZG ceremony, times the generator of the second group, compressed: the second of the
/// "g2 monomial" points in `trusted_setup.txt` of consensus-specs.
const TAU_G2: [u8; 96] = alloy_primitives::hex!(
    "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72"
    "185cbfee53492714734429b7b38608e23926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
);

const NOT_REDUCED: CryptoError = CryptoError::InvalidInput("field element out of the field");
const BAD_POINT: CryptoError = CryptoError::InvalidPoint("not a compressed point of the group");

fn element(bytes: &[u8; ELEMENT_BYTES]) -> Result<Fr, CryptoError> {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().rev().zip(bytes.as_chunks().0) {
        *limb = u64::from_be_bytes(*bytes);
    }
    Fr::from_bigint(BigInt::new(limbs)).ok_or(NOT_REDUCED)
}

/// A point of the group in its one compressed form.
fn point(bytes: &[u8; 48]) -> Result<G1Affine, CryptoError> {
    let point = G1Affine::deserialize_compressed(bytes.as_slice()).map_err(|_| BAD_POINT)?;
    let mut canonical = [0; 48];
    point.serialize_compressed(canonical.as_mut_slice()).map_err(|_| BAD_POINT)?;
    if canonical == *bytes { Ok(point) } else { Err(BAD_POINT) }
}

/// Whether the polynomial of the commitment has the value `y` at `z`.
pub(super) fn verify_proof(
    z: &[u8; 32],
    y: &[u8; 32],
    commitment: &[u8; 48],
    proof: &[u8; 48],
) -> Result<bool, CryptoError> {
    opens(element(z)?, element(y)?, point(commitment)?, point(proof)?)
}

/// `e(commitment - y, 1) = e(proof, tau - z)`, with the terms of `z` moved to the left.
fn opens(z: Fr, y: Fr, commitment: G1Affine, proof: G1Affine) -> Result<bool, CryptoError> {
    // A constant of the ceremony, so its subgroup need not be checked again.
    let tau = G2Affine::deserialize_compressed_unchecked(TAU_G2.as_slice()).map_err(|_| BAD_POINT)?;
    let left = commitment - G1Affine::generator() * y + proof * z;
    Ok(bls::product_is_one(vec![left.into(), -proof], vec![G2Affine::generator(), tau]))
}

/// Whether the commitment is that of the blob, by a proof of its value at a point that depends on both.
pub(super) fn verify_blob_proof(
    blob: &[u8],
    commitment: &[u8; 48],
    proof: &[u8; 48],
    sha256: impl FnOnce(&[u8]) -> [u8; 32],
) -> Result<bool, CryptoError> {
    if blob.len() != ELEMENTS * ELEMENT_BYTES {
        return Err(CryptoError::InvalidInput("a blob has 131072 bytes"));
    }
    let values = blob.as_chunks().0.iter().map(element).collect::<Result<Vec<_>, _>>()?;
    let (commitment_point, proof) = (point(commitment)?, point(proof)?);
    let degree = (ELEMENTS as u128).to_be_bytes();
    let challenge = sha256(&[DOMAIN, degree.as_slice(), blob, commitment].concat());
    let z = Fr::from_be_bytes_mod_order(&challenge);
    opens(z, evaluate(&values, z)?, commitment_point, proof)
}

/// The value at `z` of the polynomial that has these values at the roots of unity, which are in bit-reversed order.
fn evaluate(values: &[Fr], z: Fr) -> Result<Fr, CryptoError> {
    let root = Fr::get_root_of_unity(ELEMENTS as u64).ok_or(NOT_REDUCED)?;
    let mut roots = Vec::with_capacity(ELEMENTS);
    let mut power = Fr::ONE;
    for _ in 0..ELEMENTS {
        roots.push(power);
        power *= root;
    }
    // Values in the order of the roots.
    let shift = usize::BITS - ELEMENTS.trailing_zeros();
    let value_at = |index: usize| values.get(index.reverse_bits() >> shift).copied().unwrap_or_default();
    if let Some(index) = roots.iter().position(|root| *root == z) {
        return Ok(value_at(index));
    }
    let mut inverses: Vec<Fr> = roots.iter().map(|root| z - root).collect();
    batch_inversion(&mut inverses);
    let mut sum = Fr::ZERO;
    for (index, (root, inverse)) in roots.iter().zip(&inverses).enumerate() {
        sum += value_at(index) * root * inverse;
    }
    let count = Fr::from(ELEMENTS as u64).inverse().ok_or(NOT_REDUCED)?;
    Ok(sum * (z.pow([ELEMENTS as u64]) - Fr::ONE) * count)
}
