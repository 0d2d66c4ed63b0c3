//! Sha256 and secp256k1 by RISC Zero's circuits. Numbers are of 32-bit words, the lowest first.

use ensemble_program::{Accelerator, CryptoError};
use risc0_bigint2::ec::{AffinePoint, Secp256k1Curve};
use risc0_bigint2::field::{modadd_256, modinv_256, modmul_256, modsub_256};
use risc0_zkvm::sha::{Impl, Sha256};

type Word = [u32; 8];
type Point = AffinePoint<8, Secp256k1Curve>;

/// Modulus of the coordinates.
const P: Word = [0xffff_fc2f, 0xffff_fffe, !0, !0, !0, !0, !0, !0];
/// Order of the group.
const N: Word =
    [0xd036_4141, 0xbfd2_5e8c, 0xaf48_a03b, 0xbaae_dce6, 0xffff_fffe, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff];
/// The group's generator.
const GX: Word =
    [0x16f8_1798, 0x59f2_815b, 0x2dce_28d9, 0x029b_fcdb, 0xce87_0b07, 0x55a0_6295, 0xf9dc_bbac, 0x79be_667e];
const GY: Word =
    [0xfb10_d4b8, 0x9c47_d08f, 0xa685_5419, 0xfd17_b448, 0x0e11_08a8, 0x5da4_fbfc, 0x26a3_c465, 0x483a_da77];
const ZERO: Word = [0; 8];
const SEVEN: Word = [7, 0, 0, 0, 0, 0, 0, 0];

#[derive(Debug)]
pub(crate) struct Circuits;

fn words(bytes: &[u8; 32]) -> Word {
    let mut words = ZERO;
    for (word, bytes) in words.iter_mut().rev().zip(bytes.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

fn is_less(a: &Word, b: &Word) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

fn mul(a: &Word, b: &Word, modulus: &Word) -> Word {
    let mut out = ZERO;
    modmul_256(a, b, modulus, &mut out);
    out
}

/// `a` to the power `2^n`, times `b`.
fn square_mul(a: &Word, n: usize, b: &Word) -> Word {
    // Results go to and fro between two places: a copy takes as long as a multiplication.
    let (mut one, mut other) = (*a, ZERO);
    let (mut now, mut next) = (&mut one, &mut other);
    for _ in 0..n {
        modmul_256(now, now, &P, next);
        std::mem::swap(&mut now, &mut next);
    }
    mul(now, b, &P)
}

/// `a` to the power `(P + 1) / 4`: a root of `a`, if it has any. Names say how many ones the exponent has.
fn root(a: &Word) -> Word {
    let x2 = square_mul(a, 1, a);
    let x3 = square_mul(&x2, 1, a);
    let x6 = square_mul(&x3, 3, &x3);
    let x9 = square_mul(&x6, 3, &x3);
    let x11 = square_mul(&x9, 2, &x2);
    let x22 = square_mul(&x11, 11, &x11);
    let x44 = square_mul(&x22, 22, &x22);
    let x88 = square_mul(&x44, 44, &x44);
    let x176 = square_mul(&x88, 88, &x88);
    let x220 = square_mul(&x176, 44, &x44);
    let x223 = square_mul(&x220, 3, &x3);
    let out = square_mul(&square_mul(&x223, 23, &x22), 6, &x2);
    let out = mul(&out, &out, &P);
    mul(&out, &out, &P)
}

/// The point with this x-coordinate.
fn decompress(x: &Word, y_is_odd: bool) -> Option<Point> {
    if !is_less(x, &P) {
        return None;
    }
    let mut square = ZERO;
    modadd_256(&mul(&mul(x, x, &P), x, &P), &SEVEN, &P, &mut square);
    let mut y = root(&square);
    if mul(&y, &y, &P) != square {
        return None;
    }
    // No point of the curve has y = 0: the group's order is odd.
    if (y[0] & 1 == 1) != y_is_odd {
        let mut negative = ZERO;
        modsub_256(&ZERO, &y, &P, &mut negative);
        y = negative;
    }
    Some(Point::new_unchecked(*x, y))
}

fn add(a: &Point, b: &Point) -> Point {
    let mut out = Point::IDENTITY;
    a.add(b, &mut out);
    out
}

/// `u G + v R`, two bits of each at a time.
fn sum_of_multiples(u: &Word, v: &Word, r: &Point) -> Point {
    let mut table = [Point::IDENTITY; 16];
    let g = Point::new_unchecked(GX, GY);
    for j in 0..4 {
        if j > 0 {
            table[4 * j] = add(&table[4 * (j - 1)], r);
        }
        for i in 1..4 {
            table[4 * j + i] = add(&table[4 * j + i - 1], &g);
        }
    }
    // Without copies, as in `square_mul`.
    let (mut one, mut other) = (Point::IDENTITY, Point::IDENTITY);
    let (mut now, mut next) = (&mut one, &mut other);
    for bit in (0..256).step_by(2).rev() {
        now.double(next);
        next.double(now);
        let window = |word: &Word| (word[bit / 32] >> (bit % 32) & 3) as usize;
        let index = 4 * window(v) + window(u);
        if index != 0 {
            now.add(&table[index], next);
            std::mem::swap(&mut now, &mut next);
        }
    }
    *now
}

impl Accelerator for Circuits {
    fn sha256(&self, input: &[u8]) -> [u8; 32] {
        (*Impl::hash_bytes(input)).into()
    }

    fn recover(
        &self,
        r: &[u8; 32],
        s: &[u8; 32],
        y_is_odd: bool,
        message: &[u8; 32],
    ) -> Result<[u8; 64], CryptoError> {
        let (r, s) = (words(r), words(s));
        if [&r, &s].into_iter().any(|scalar| *scalar == ZERO || !is_less(scalar, &N)) {
            return Err(CryptoError::InvalidSignature);
        }
        let point = decompress(&r, y_is_odd).ok_or(CryptoError::RecoveryFailed)?;
        let mut inverse = ZERO;
        modinv_256(&r, &N, &mut inverse);
        // Any 256 bits times the inverse are reduced.
        let u = mul(&words(message), &inverse, &N);
        let mut negative = ZERO;
        modsub_256(&ZERO, &u, &N, &mut negative);
        let key = sum_of_multiples(&negative, &mul(&s, &inverse, &N), &point);
        let coordinates = key.as_u32s().ok_or(CryptoError::RecoveryFailed)?;
        let mut out = [0; 64];
        for (bytes, word) in
            out.as_chunks_mut().0.iter_mut().zip(coordinates.iter().flat_map(|c| c.iter().rev()))
        {
            *bytes = word.to_be_bytes();
        }
        Ok(out)
    }
}
