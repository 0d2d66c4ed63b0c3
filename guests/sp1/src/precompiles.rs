//! Keccak, sha256 and secp256k1 by SP1's precompiles. Numbers are of 64-bit words, the lowest first.
//!
//! Inverses and square roots are hints: the host says them, and what it says is checked by one multiplication.

use ensemble_program::{Accelerator, CryptoError};
use sp1_zkvm::io::{self, FD_FP_INV, FD_FP_SQRT};
use sp1_zkvm::lib::invalid_hint;
use sp1_zkvm::lib::secp256k1::Secp256k1Point as Point;
use sp1_zkvm::lib::utils::AffinePoint;
use sp1_zkvm::syscalls::{
    syscall_keccak_permute, syscall_sha256_compress, syscall_sha256_extend, syscall_uint256_mulmod,
};

type Word = [u64; 4];

/// Modulus of the coordinates.
const P: Word = [0xffff_fffe_ffff_fc2f, !0, !0, !0];
/// Order of the group.
const N: Word = [0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, 0xffff_ffff_ffff_fffe, !0];
const ZERO: Word = [0; 4];
const ONE: Word = [1, 0, 0, 0];
const SEVEN: Word = [7, 0, 0, 0];
/// No square, as P is 3 modulo 4.
const MINUS_ONE: Word = [P[0] - 1, P[1], P[2], P[3]];

/// Bytes of a block of keccak256 and of sha256.
const KECCAK_BLOCK: usize = 136;
const SHA256_BLOCK: usize = 64;
const SHA256_START: [u64; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

#[derive(Debug)]
pub(crate) struct Precompiles;

fn words(bytes: &[u8; 32]) -> Word {
    let mut words = ZERO;
    for (word, bytes) in words.iter_mut().rev().zip(bytes.as_chunks().0) {
        *word = u64::from_be_bytes(*bytes);
    }
    words
}

fn write_be(words: &[u64], out: &mut [u8]) {
    for (bytes, word) in out.as_chunks_mut().0.iter_mut().zip(words.iter().rev()) {
        *bytes = word.to_be_bytes();
    }
}

fn is_less(a: &Word, b: &Word) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// `a b` modulo `modulus`. One of the factors has to be smaller than that: the quotient has 256 bits.
fn mul(a: &Word, b: &Word, modulus: &Word) -> Word {
    let mut out = *a;
    let [b0, b1, b2, b3] = *b;
    let [m0, m1, m2, m3] = *modulus;
    let factor_and_modulus = [b0, b1, b2, b3, m0, m1, m2, m3];
    syscall_uint256_mulmod(&mut out, factor_and_modulus.as_ptr().cast());
    out
}

/// `a - b`, and whether that is negative and so 2^256 too much.
fn sub(a: &Word, b: &Word) -> (Word, bool) {
    let mut out = ZERO;
    let mut borrow = false;
    for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
        let (difference, first) = a.overflowing_sub(*b);
        let (difference, second) = difference.overflowing_sub(borrow.into());
        *out = difference;
        borrow = first | second;
    }
    (out, borrow)
}

/// `modulus - a` for an `a` that is smaller, and zero for zero.
fn negative(a: &Word, modulus: &Word) -> Word {
    if *a == ZERO { ZERO } else { sub(modulus, a).0 }
}

/// `a + b` modulo P, of numbers that are smaller than P, `b` not zero.
fn add_mod_p(a: &Word, b: &Word) -> Word {
    match sub(a, &negative(b, &P)) {
        (sum, false) => sum,
        // Smaller than P and so than 2^256, which cancels out.
        (_, true) => sub(a, &sub(&ZERO, b).0).0,
    }
}

/// Asks the host what the hook of this descriptor answers to the numbers.
fn ask(descriptor: u32, numbers: &[Word]) {
    let mut question = vec![0; 4 + 32 * numbers.len()];
    let (length, bytes) = question.split_at_mut(4);
    length.copy_from_slice(&32_u32.to_be_bytes());
    for (bytes, number) in bytes.as_chunks_mut::<32>().0.iter_mut().zip(numbers) {
        write_be(number, bytes);
    }
    io::write(descriptor, &question);
}

/// A number that the host answers.
fn answer() -> Word {
    match <[u8; 32]>::try_from(io::read_vec()) {
        Ok(bytes) => words(&bytes),
        Err(bytes) => invalid_hint!("{} bytes in place of a number", bytes.len()),
    }
}

/// The inverse of a number that is smaller than N and not zero.
fn inverse_mod_n(a: &Word) -> Word {
    ask(FD_FP_INV, &[*a, N]);
    let inverse = answer();
    if !is_less(&inverse, &N) || mul(&inverse, a, &N) != ONE {
        invalid_hint!("no inverse");
    }
    inverse
}

/// A root of `a` modulo P, if it has any.
fn root(a: &Word) -> Option<Word> {
    ask(FD_FP_SQRT, &[*a, P, MINUS_ONE]);
    let is_square = io::read_vec();
    let root = answer();
    if !is_less(&root, &P) {
        invalid_hint!("the root is not reduced");
    }
    // Either a or -a is a square, never both, unless a is zero.
    let square = mul(&root, &root, &P);
    if square == *a {
        Some(root)
    } else if square == negative(a, &P) {
        None
    } else {
        invalid_hint!("no root, and a host that says {is_square:?}")
    }
}

/// The point with this x-coordinate.
fn decompress(x: &Word, y_is_odd: bool) -> Option<Point> {
    if !is_less(x, &P) {
        return None;
    }
    let square = add_mod_p(&mul(&mul(x, x, &P), x, &P), &SEVEN);
    let mut y = root(&square)?;
    // No point of the curve has y = 0: the group's order is odd.
    if (y[0] & 1 == 1) != y_is_odd {
        y = negative(&y, &P);
    }
    let mut coordinates = [0; 8];
    let (to_x, to_y) = coordinates.split_at_mut(4);
    to_x.copy_from_slice(x);
    to_y.copy_from_slice(&y);
    Some(Point::new(coordinates))
}

/// `u G + v R`, two bits of each at a time.
fn sum_of_multiples(u: &Word, v: &Word, r: &Point) -> Point {
    let mut table = [Point::identity(); 16];
    for j in 0..4 {
        if j > 0 {
            table[4 * j] = table[4 * (j - 1)];
            table[4 * j].complete_add_assign(r);
        }
        for i in 1..4 {
            table[4 * j + i] = table[4 * j + i - 1];
            table[4 * j + i].complete_add_assign(&Point::GENERATOR_T);
        }
    }
    let mut out = Point::identity();
    for bit in (0..256).step_by(2).rev() {
        out.double();
        out.double();
        let window = |word: &Word| (word[bit / 64] >> (bit % 64) & 3) as usize;
        let index = 4 * window(v) + window(u);
        if index != 0 {
            out.complete_add_assign(&table[index]);
        }
    }
    out
}

/// A block of keccak in the alignment that its state has.
#[repr(align(8))]
struct Block([u8; KECCAK_BLOCK]);

fn absorb(state: &mut [u64; 25], block: &[u8; KECCAK_BLOCK]) {
    // SAFETY: numbers may be any bytes.
    match unsafe { block.align_to::<u64>() } {
        ([], words, []) => {
            for (to, word) in state.iter_mut().zip(words) {
                *to ^= u64::from_le(*word);
            }
        }
        // Byte by byte, as the machine reads aligned numbers only.
        _ => {
            for (to, bytes) in state.iter_mut().zip(block.as_chunks().0) {
                *to ^= u64::from_le_bytes(*bytes);
            }
        }
    }
    syscall_keccak_permute(state);
}

/// Keccak-256 with the padding that Ethereum uses.
fn keccak256(input: &[u8]) -> [u8; 32] {
    let mut state = [0; 25];
    let (blocks, rest) = input.as_chunks();
    for block in blocks {
        absorb(&mut state, block);
    }
    let mut last = Block([0; KECCAK_BLOCK]);
    last.0[..rest.len()].copy_from_slice(rest);
    last.0[rest.len()] = 1;
    last.0[KECCAK_BLOCK - 1] |= 0x80;
    absorb(&mut state, &last.0);
    let mut out = [0; 32];
    for (bytes, word) in out.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_le_bytes();
    }
    out
}

/// What alloy calls for a hash.
///
/// # Safety
/// `bytes` has to point to `len` bytes, `output` to room for 32.
#[unsafe(no_mangle)]
unsafe extern "C" fn native_keccak256(bytes: *const u8, len: usize, output: *mut u8) {
    // SAFETY: the caller says so.
    unsafe {
        let input = std::slice::from_raw_parts(bytes, len);
        output.copy_from_nonoverlapping(keccak256(input).as_ptr(), 32);
    }
}

impl Accelerator for Precompiles {
    fn keccak256(&self, input: &[u8]) -> [u8; 32] {
        keccak256(input)
    }

    fn sha256(&self, input: &[u8]) -> [u8; 32] {
        let mut state = SHA256_START;
        let mut compress = |block: &[u8; SHA256_BLOCK]| {
            let mut schedule = [0; 64];
            for (word, bytes) in schedule.iter_mut().zip(block.as_chunks().0) {
                *word = u32::from_be_bytes(*bytes).into();
            }
            syscall_sha256_extend(&mut schedule);
            syscall_sha256_compress(&mut schedule, &mut state);
        };
        let (blocks, rest) = input.as_chunks();
        blocks.iter().for_each(&mut compress);
        // A mark, zeros, and the length in bits at the end of a block.
        let mut last = [0; 2 * SHA256_BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        last[rest.len()] = 0x80;
        let end = if rest.len() + 9 <= SHA256_BLOCK { SHA256_BLOCK } else { 2 * SHA256_BLOCK };
        last[end - 8..end].copy_from_slice(&(input.len() as u64 * 8).to_be_bytes());
        last[..end].as_chunks().0.iter().for_each(&mut compress);
        let mut out = [0; 32];
        for (bytes, word) in out.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = (word as u32).to_be_bytes();
        }
        out
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
        let inverse = inverse_mod_n(&r);
        let u = mul(&words(message), &inverse, &N);
        let key = sum_of_multiples(&negative(&u, &N), &mul(&s, &inverse, &N), &point);
        if key.is_identity() {
            return Err(CryptoError::RecoveryFailed);
        }
        let mut out = [0; 64];
        let (x, y) = key.limbs_ref().split_at(4);
        let (to_x, to_y) = out.split_at_mut(32);
        write_be(x, to_x);
        write_be(y, to_y);
        Ok(out)
    }
}
