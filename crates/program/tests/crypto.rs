//! The two sets of cryptography libraries agree, on good input and on bad: otherwise a zkVM would prove other blocks than
//! the sequencer seals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)]

use alloy_primitives::{hex, keccak256};
use ensemble_program::{Crypto, CryptoError, Native, Portable, Software};
use secp256k1::{Message, SECP256K1, SecretKey};

type Fp = [u8; 48];
type G1 = (Fp, Fp);
type G2 = (Fp, Fp, Fp, Fp);

const PORTABLE: Portable = Portable(Software);
/// Order of secp256k1.
const SECP_N: [u8; 32] = hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
/// Modulus and group order of BLS12-381.
const BLS_P: Fp =
    hex!("1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab");
const BLS_R: [u8; 32] = hex!("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001");
/// On the curve, in no subgroup of the right order: x = 4.
const OFF_SUBGROUP_X: u8 = 4;

/// The `n`th word of a fixed sequence.
fn word(n: u64) -> [u8; 32] {
    keccak256(n.to_be_bytes()).0
}

/// The `n`th reduced coordinate.
fn fp(n: u64) -> Fp {
    let mut out = [0; 48];
    out[16..].copy_from_slice(&word(n));
    out[..16].copy_from_slice(&word(n + 1_000_000)[..16]);
    out[0] &= 0x0f;
    out
}

/// Both give the same bytes, or both refuse; which of it, is returned.
fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    call: impl Fn(&dyn Crypto) -> Result<T, CryptoError>,
) -> Option<T> {
    let (native, portable) = (call(&Native).ok(), call(&PORTABLE).ok());
    assert_eq!(native, portable, "{what}: native against portable");
    native
}

fn split<const N: usize>(bytes: &[u8]) -> [Fp; N] {
    std::array::from_fn(|i| bytes[48 * i..48 * (i + 1)].try_into().unwrap())
}

fn g1(bytes: [u8; 96]) -> G1 {
    split::<2>(&bytes).into()
}

fn g2(bytes: [u8; 192]) -> G2 {
    split::<4>(&bytes).into()
}

#[test]
fn signatures_recover_the_same_account() {
    for n in 0..40 {
        let key = SecretKey::from_slice(&word(n)).unwrap();
        let message = word(n + 100);
        let signature = SECP256K1.sign_ecdsa_recoverable(&Message::from_digest(message), &key);
        let (id, bytes) = signature.serialize_compact();
        let id = u8::try_from(i32::from(id)).unwrap();
        let recover = |bytes: [u8; 64], id, message: [u8; 32]| {
            same("ecrecover", |crypto| crypto.secp256k1_ecrecover(&bytes, id, &message))
        };
        let account = recover(bytes, id, message).unwrap();
        let public = key.public_key(SECP256K1).serialize_uncompressed();
        assert_eq!(account, keccak256(&public[1..]).0);
        assert_ne!(recover(bytes, id ^ 1, message), Some(account));
        assert_ne!(recover(bytes, id, word(n + 101)), Some(account));
        for (at, half) in [(0, [0; 32]), (32, [0; 32]), (0, SECP_N), (32, SECP_N), (0, [0xff; 32])] {
            let mut bad = bytes;
            bad[at..at + 32].copy_from_slice(&half);
            assert_eq!(recover(bad, id, message), None);
        }
        // As good as random: half of them are the x of no point.
        let mut other = bytes;
        other[..32].copy_from_slice(&word(n + 200));
        recover(other, id, message);
        // A message that is reduced, and one that is zero.
        recover(bytes, id, [0xff; 32]);
        recover(bytes, id, [0; 32]);
        // EIP-2: a large `s` is no transaction's.
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(&bytes);
        signature[64] = id;
        let signer = same("signer", |crypto| crypto.recover_signer(&signature, &message)).unwrap();
        assert_eq!(signer.as_bytes(), &account[12..]);
        signature[32..64].copy_from_slice(&[0x7f; 32]);
        same("signer", |crypto| crypto.recover_signer(&signature, &message));
        signature[32] = 0x80;
        assert_eq!(same("signer", |crypto| crypto.recover_signer(&signature, &message)), None);
    }
    assert!(PORTABLE.secp256k1_ecrecover(&[1; 64], 2, &[1; 32]).is_err());
}

/// EIP-2537: additions, multiples and pairings.
#[test]
fn points_of_bls12_381_give_the_same_points() {
    let zero = [0; 48];
    let (inf1, inf2): (G1, G2) = ((zero, zero), (zero, zero, zero, zero));
    let mut a = Vec::new();
    let mut b = Vec::new();
    for n in 0..6 {
        a.push(g1(same("map to G1", |c| c.bls12_381_fp_to_g1(&fp(n))).unwrap()));
        b.push(g2(same("map to G2", |c| c.bls12_381_fp2_to_g2((fp(n), fp(n + 9)))).unwrap()));
    }
    for u in [
        zero,
        {
            let mut one = zero;
            one[47] = 1;
            one
        },
        BLS_P,
        [0xff; 48],
    ] {
        let reduced = u[0] < 0x1a;
        assert_eq!(same("map to G1", |c| c.bls12_381_fp_to_g1(&u)).is_some(), reduced);
        assert_eq!(same("map to G2", |c| c.bls12_381_fp2_to_g2((u, zero))).is_some(), reduced);
        assert_eq!(same("map to G2", |c| c.bls12_381_fp2_to_g2((zero, u))).is_some(), reduced);
    }
    let negative = |(x, y): G1| -> G1 {
        let scalar: [u8; 32] = {
            let mut r = BLS_R;
            r[31] -= 1;
            r
        };
        g1(same("negative", |c| c.bls12_381_g1_msm(&[((x, y), scalar)])).unwrap())
    };
    let mut off = (zero, zero);
    off.0[47] = OFF_SUBGROUP_X;
    off.1 = hex!(
        "0a989badd40d6212b33cffc3f3763e9bc760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c"
    );
    let no_curve = {
        let mut p = a[0];
        p.1[47] ^= 1;
        p
    };
    let not_reduced = (BLS_P, a[0].1);
    for points in
        [(a[0], a[1]), (a[0], a[0]), (a[0], negative(a[0])), (inf1, a[0]), (inf1, inf1), (off, a[0])]
    {
        assert!(same("add in G1", |c| c.bls12_381_g1_add(points.0, points.1)).is_some(), "{points:?}");
    }
    for bad in [no_curve, not_reduced] {
        assert_eq!(same("add in G1", |c| c.bls12_381_g1_add(a[0], bad)), None);
        assert_eq!(same("multiples in G1", |c| c.bls12_381_g1_msm(&[(bad, [0; 32])])), None);
        assert_eq!(same("pairing", |c| c.bls12_381_pairing_check(&[(bad, inf2)])), None);
    }
    assert_eq!(same("multiples in G1", |c| c.bls12_381_g1_msm(&[(off, [0; 32])])), None);
    assert_eq!(same("pairing", |c| c.bls12_381_pairing_check(&[(off, inf2)])), None);
    for points in [(b[0], b[1]), (b[0], b[0]), (inf2, b[0]), (inf2, inf2)] {
        assert!(same("add in G2", |c| c.bls12_381_g2_add(points.0, points.1)).is_some());
    }
    let bad2 = {
        let mut p = b[0];
        p.3[47] ^= 1;
        p
    };
    assert_eq!(same("add in G2", |c| c.bls12_381_g2_add(b[0], bad2)), None);
    assert_eq!(same("multiples in G2", |c| c.bls12_381_g2_msm(&[(bad2, [1; 32])])), None);
    assert_eq!(same("pairing", |c| c.bls12_381_pairing_check(&[(inf1, bad2)])), None);

    let scalars = [[0; 32], [0xff; 32], BLS_R, word(7), word(8), word(9)];
    for count in 1..=6 {
        let pairs: Vec<_> = a.iter().copied().zip(scalars).take(count).collect();
        assert!(same("multiples in G1", |c| c.bls12_381_g1_msm(&pairs)).is_some());
        let pairs: Vec<_> = b.iter().copied().zip(scalars).take(count).collect();
        assert!(same("multiples in G2", |c| c.bls12_381_g2_msm(&pairs)).is_some());
    }
    assert_eq!(same("of infinity", |c| c.bls12_381_g1_msm(&[(inf1, word(1))])), Some([0; 96]));
    assert_eq!(same("of infinity", |c| c.bls12_381_g2_msm(&[(inf2, word(1))])), Some([0; 192]));

    let pairing = |pairs: &[(G1, G2)]| same("pairing", |c| c.bls12_381_pairing_check(pairs)).unwrap();
    assert!(pairing(&[(a[0], b[0]), (negative(a[0]), b[0])]));
    assert!(!pairing(&[(a[0], b[0]), (a[1], b[0])]));
    assert!(!pairing(&[(a[0], b[0])]));
    assert!(pairing(&[(inf1, b[0]), (a[0], inf2)]));
}

/// EIP-4844: the point evaluation precompile, and the blobs of a batch.
#[test]
fn kzg_proofs_hold_or_not_for_both() {
    let settings = c_kzg::ethereum_kzg_settings(0);
    let mut blob = vec![0; 131_072];
    for (n, element) in blob.chunks_exact_mut(32).enumerate().take(300) {
        element.copy_from_slice(&word(n as u64));
        element[0] = 0;
    }
    let c_blob = c_kzg::Blob::from_bytes(&blob).unwrap();
    let commitment = settings.blob_to_kzg_commitment(&c_blob).unwrap().to_bytes();
    let proof = settings.compute_blob_kzg_proof(&c_blob, &commitment).unwrap().to_bytes().into_inner();
    let commitment = commitment.into_inner();
    let verify = |blob: &[u8], commitment: &Fp, proof: &Fp| {
        same("blob", |c| c.verify_blob_kzg_proof(blob, commitment, proof))
    };
    assert_eq!(verify(&blob, &commitment, &proof), Some(true));
    assert_eq!(verify(&blob, &proof, &commitment), Some(false));
    let infinity = {
        let mut p = [0; 48];
        p[0] = 0xc0;
        p
    };
    assert_eq!(verify(&vec![0; 131_072], &infinity, &infinity), Some(true), "the zero polynomial");
    assert_eq!(verify(&blob, &commitment, &infinity), Some(false));
    let mut changed = blob.clone();
    changed[131_071] ^= 1;
    assert_eq!(verify(&changed, &commitment, &proof), Some(false));
    changed[131_040..131_072].copy_from_slice(&BLS_R);
    assert_eq!(verify(&changed, &commitment, &proof), None, "an element that is not reduced");
    assert_eq!(verify(&blob[1..], &commitment, &proof), None);
    let odd_infinity = {
        let mut p = infinity;
        p[47] = 1;
        p
    };
    let sign_of_infinity = {
        let mut p = [0; 48];
        p[0] = 0xe0;
        p
    };
    let uncompressed = {
        let mut p = commitment;
        p[0] &= 0x7f;
        p
    };
    let not_reduced = {
        let mut p = BLS_P;
        p[0] |= 0x80;
        p
    };
    // x = 4 is on the curve and not in the subgroup, x = 0 likewise.
    let off = {
        let mut p = [0; 48];
        p[0] = 0x80;
        p[47] = OFF_SUBGROUP_X;
        p
    };
    let zero_x = {
        let mut p = [0; 48];
        p[0] = 0x80;
        p
    };
    for bad in [[0; 48], [0xff; 48], odd_infinity, sign_of_infinity, uncompressed, not_reduced, off, zero_x] {
        assert_eq!(verify(&blob, &bad, &proof), None, "{bad:02x?}");
        assert_eq!(verify(&blob, &commitment, &bad), None, "{bad:02x?}");
    }

    // A root of unity is a point where the polynomial is given and not computed.
    let root = hex!("0000000000000000000000000000000000000000000000000000000000000001");
    for z in [word(3), [0; 32], root].map(|mut z| {
        z[0] = 0;
        z
    }) {
        let (proof, y) = settings.compute_kzg_proof(&c_blob, &c_kzg::Bytes32::new(z)).unwrap();
        let (proof, y) = (proof.to_bytes().into_inner(), *y.as_ref());
        let evaluate = |z: &[u8; 32], y: &[u8; 32], proof: &Fp| {
            same("evaluation", |c| c.verify_kzg_proof(z, y, &commitment, proof)).is_some()
        };
        assert!(evaluate(&z, &y, &proof));
        assert!(!evaluate(&z, &word(5), &proof) && !evaluate(&y, &z, &proof));
        assert!(!evaluate(&BLS_R, &y, &proof) && !evaluate(&z, &BLS_R, &proof));
        assert!(!evaluate(&z, &y, &commitment));
    }
}

/// The hashes, big numbers and curves that need no second library.
#[test]
fn the_rest_is_the_same() {
    for length in [0, 1, 55, 64, 135, 136, 137, 1000] {
        let data: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
        same("keccak", |c| Ok(c.keccak256(&data)));
        same("sha256", |c| Ok(c.sha256(&data)));
        same("ripemd", |c| Ok(c.ripemd160(&data)));
        assert_eq!(PORTABLE.keccak256(&data), keccak256(&data).0);
    }
    for n in 0..20 {
        let (a, b, m) = (word(n), word(n + 50), word(n + 90));
        same("modexp", |c| c.modexp(&a, &b, &m));
        same("mulmod", |c| Ok(c.mulmod256(&a, &b, &m)));
        same("p256", |c| {
            Ok(c.secp256r1_verify(
                &a,
                &[b, m].concat().try_into().unwrap(),
                &[a, b].concat().try_into().unwrap(),
            ))
        });
    }
    let (message, r, s, x, y) = (
        // RFC 6979, A.2.5: P-256, SHA-256, "sample".
        hex!("af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf"),
        hex!("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"),
        hex!("f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"),
        hex!("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"),
        hex!("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"),
    );
    let (signature, key) = ([r, s].concat().try_into().unwrap(), [x, y].concat().try_into().unwrap());
    assert_eq!(same("p256", |c| Ok(c.secp256r1_verify(&message, &signature, &key))), Some(true));
}
