//! BLS12-381 as EIP-2537 wants it, over arkworks. Coordinates are 48 bytes, big endian; the point at infinity has
//! only zeros.

use ark_bls12_381::{Bls12_381, Fq, Fq2, Fr, G1Affine, G2Affine, g1, g2};
use ark_ec::AffineRepr;
use ark_ec::hashing::curve_maps::wb::WBMap;
use ark_ec::hashing::map_to_curve_hasher::MapToCurve;
use ark_ec::pairing::Pairing;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{AdditiveGroup, BigInt, BigInteger, Field, PrimeField};
use ethrex_crypto::CryptoError;

pub(super) type Fp = [u8; 48];
pub(super) type G1Bytes = (Fp, Fp);
pub(super) type G2Bytes = (Fp, Fp, Fp, Fp);

/// A coordinate, which has to be reduced.
fn fp(bytes: &Fp) -> Result<Fq, CryptoError> {
    let mut limbs = [0; 6];
    for (limb, bytes) in limbs.iter_mut().rev().zip(bytes.as_chunks().0) {
        *limb = u64::from_be_bytes(*bytes);
    }
    Fq::from_bigint(BigInt::new(limbs)).ok_or(CryptoError::InvalidInput("coordinate out of the field"))
}

fn fp2(c0: &Fp, c1: &Fp) -> Result<Fq2, CryptoError> {
    Ok(Fq2::new(fp(c0)?, fp(c1)?))
}

fn on_curve<C: SWCurveConfig>(x: C::BaseField, y: C::BaseField) -> Result<Affine<C>, CryptoError> {
    if x == C::BaseField::ZERO && y == C::BaseField::ZERO {
        return Ok(Affine::identity());
    }
    let point = Affine::new_unchecked(x, y);
    if point.is_on_curve() { Ok(point) } else { Err(CryptoError::InvalidPoint("not on the curve")) }
}

/// A point of the curve, in whatever subgroup.
pub(super) fn g1((x, y): &G1Bytes) -> Result<G1Affine, CryptoError> {
    on_curve(fp(x)?, fp(y)?)
}

/// A point of the twist, in whatever subgroup.
pub(super) fn g2((x0, x1, y0, y1): &G2Bytes) -> Result<G2Affine, CryptoError> {
    on_curve(fp2(x0, x1)?, fp2(y0, y1)?)
}

fn in_subgroup<C: SWCurveConfig>(point: Affine<C>) -> Result<Affine<C>, CryptoError> {
    if point.is_in_correct_subgroup_assuming_on_curve() {
        Ok(point)
    } else {
        Err(CryptoError::InvalidPoint("not in the subgroup"))
    }
}

/// Sum of the multiples. All points have to be in the subgroup, whatever their scalar.
pub(super) fn msm<B, C: SWCurveConfig<ScalarField = Fr>>(
    pairs: &[(B, [u8; 32])],
    read: impl Fn(&B) -> Result<Affine<C>, CryptoError>,
) -> Result<ark_ec::short_weierstrass::Projective<C>, CryptoError> {
    let mut sum = ark_ec::short_weierstrass::Projective::<C>::ZERO;
    for (point, scalar) in pairs {
        sum += in_subgroup(read(point)?)? * Fr::from_be_bytes_mod_order(scalar);
    }
    Ok(sum)
}

pub(super) fn pairing_check(pairs: &[(G1Bytes, G2Bytes)]) -> Result<bool, CryptoError> {
    let mut left = Vec::with_capacity(pairs.len());
    let mut right = Vec::with_capacity(pairs.len());
    for (a, b) in pairs {
        left.push(in_subgroup(g1(a)?)?);
        right.push(in_subgroup(g2(b)?)?);
    }
    Ok(product_is_one(left, right))
}

/// Whether the pairings multiply to one.
pub(super) fn product_is_one(left: Vec<G1Affine>, right: Vec<G2Affine>) -> bool {
    Bls12_381::multi_pairing(left, right).0 == <Bls12_381 as Pairing>::TargetField::ONE
}

pub(super) fn map_to_g1(u: &Fp) -> Result<G1Affine, CryptoError> {
    map::<g1::Config>(fp(u)?)
}

pub(super) fn map_to_g2((c0, c1): &(Fp, Fp)) -> Result<G2Affine, CryptoError> {
    map::<g2::Config>(fp2(c0, c1)?)
}

/// RFC 9380: simplified SWU, isogeny, cofactor cleared.
fn map<C: ark_ec::hashing::curve_maps::wb::WBConfig>(u: C::BaseField) -> Result<Affine<C>, CryptoError> {
    WBMap::<C>::map_to_curve(u)
        .map(|point| point.clear_cofactor())
        .map_err(|_| CryptoError::InvalidInput("no point for the field element"))
}

fn write(out: &mut [u8], coordinates: &[Fq]) {
    for (out, coordinate) in out.chunks_exact_mut(48).zip(coordinates) {
        out.copy_from_slice(&coordinate.into_bigint().to_bytes_be());
    }
}

pub(super) fn g1_bytes(point: G1Affine) -> [u8; 96] {
    let mut out = [0; 96];
    if let Some((x, y)) = point.xy() {
        write(&mut out, &[x, y]);
    }
    out
}

pub(super) fn g2_bytes(point: G2Affine) -> [u8; 192] {
    let mut out = [0; 192];
    if let Some((x, y)) = point.xy() {
        write(&mut out, &[x.c0, x.c1, y.c0, y.c1]);
    }
    out
}
