//! The guest's cryptography by SP1's precompiles (guests/sp1/src/precompiles.rs) against the program's in software, at the
//! edges of fields, group and blocks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use ensemble_program::{Accelerator, Software};
use ensemble_prover_sp1::{run, unpack};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use k256::{ProjectivePoint, Scalar, U256};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sp1_core_executor::Program;

const COMPRESSED: &[u8] = include_bytes!("../../../guests/sp1/cases.elf.zst");
const SHA256: &str = include_str!("../../../guests/sp1/cases.elf.sha256");
/// Order of the group.
const N: [u8; 32] =
    alloy_primitives::hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
/// Modulus of the coordinates.
const P: [u8; 32] =
    alloy_primitives::hex!("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f");

/// Runs the cases in the guest; each is its input, its kind before it.
fn compute(cases: &[Vec<u8>]) -> Vec<u8> {
    let program = Arc::new(Program::from(&unpack(COMPRESSED, SHA256).unwrap()).unwrap());
    let count = (cases.len() as u32).to_le_bytes();
    let mut input = vec![count.as_slice()];
    input.extend(cases.iter().map(Vec::as_slice));
    run(&program, &input).unwrap().0
}

fn case(kind: u8, input: &[u8]) -> Vec<u8> {
    [&[kind], input].concat()
}

fn random() -> StdRng {
    let seed = rand::thread_rng().r#gen();
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// SEQ-INV-7: a hash in the guest is the hash.
#[test]
fn hashes_are_those_of_software() {
    let mut random = random();
    // Around the ends of blocks of 64 and 136 bytes, and of their padding.
    let lengths = (0..=140).chain([191, 192, 193, 247, 248, 271, 272, 273, 4096]);
    let inputs: Vec<Vec<u8>> = lengths.map(|length| (0..length).map(|_| random.r#gen()).collect()).collect();
    let cases: Vec<Vec<u8>> = inputs.iter().flat_map(|i| [case(0, i), case(3, i), case(1, i)]).collect();
    let found = compute(&cases);
    let (found, rest) = found.as_chunks::<32>();
    assert_eq!((found.len(), rest.len()), (cases.len(), 0));
    for (input, found) in inputs.iter().zip(found.as_chunks::<3>().0) {
        let keccak = Software.keccak256(input);
        assert_eq!(*found, [keccak, keccak, Software.sha256(input)], "{} bytes", input.len());
    }
}

/// SEQ-INV-7: the guest recovers the key that software does, and none where that finds none.
#[test]
fn keys_are_those_of_software() {
    let mut random = random();
    let bytes = |scalar: Scalar| <[u8; 32]>::from(scalar.to_repr());
    let x = |scalar: u64| {
        let point = (ProjectivePoint::GENERATOR * Scalar::from(scalar)).to_affine().to_encoded_point(false);
        <[u8; 32]>::from(*point.x().unwrap())
    };
    let minus = |number: [u8; 32], by: u8| {
        let mut out = number;
        out[31] -= by;
        out
    };
    let mut any = || random.r#gen::<[u8; 32]>();
    let (one, zero) = (bytes(Scalar::ONE), [0; 32]);
    let mut signatures = Vec::new();
    // Any numbers: of half of them there is no point.
    for _ in 0..60 {
        signatures.push((any(), any(), any()));
    }
    // Points of which multiples meet multiples of the generator in the guest's table, on either side, and in the sums.
    for multiple in 1..=9 {
        let r = x(multiple);
        for (s, message) in [(any(), any()), (one, one), (one, zero), (any(), zero), (one, minus(N, 1))] {
            signatures.push((r, s, message));
        }
        // s times the point is the message times the generator: the key is the point at infinity, or not, by the sign.
        let s = <Scalar as Reduce<U256>>::reduce_bytes(&any().into());
        signatures.push((r, bytes(s), bytes(s * Scalar::from(multiple))));
        signatures.push((r, bytes(s), bytes(-(s * Scalar::from(multiple)))));
    }
    // The ends of the ranges.
    let ends = [zero, one, minus(N, 1), N, minus(P, 1), P, [0xff; 32]];
    for end in ends {
        signatures.extend([(end, any(), any()), (x(2), end, any()), (x(2), any(), end), (end, end, end)]);
    }

    let signatures: Vec<_> = signatures.iter().flat_map(|s| [(s, false), (s, true)]).collect();
    let cases: Vec<Vec<u8>> = signatures
        .iter()
        .map(|((r, s, message), odd)| case(2, &[r.as_slice(), s, message, &[u8::from(*odd)]].concat()))
        .collect();
    let found = compute(&cases);
    let (found, rest) = found.as_chunks::<64>();
    assert_eq!((found.len(), rest.len()), (cases.len(), 0));
    let (mut keys, mut none) = (0, 0);
    for (((r, s, message), odd), found) in signatures.iter().zip(found) {
        let wanted = Software.recover(r, s, *odd, message);
        match wanted {
            Ok(_) => keys += 1,
            Err(_) => none += 1,
        }
        assert_eq!(*found, wanted.unwrap_or([0; 64]), "{r:x?} {s:x?} {message:x?} {odd}");
    }
    assert!(keys >= 100 && none >= 60, "{keys} keys, {none} times none");
}
