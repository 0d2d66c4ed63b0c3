use proptest::{collection::vec, prelude::*};

use crate::{BLOB_BYTES, Blob, BlobError, blobs_needed, pack, unpack, usable_bytes};

#[test]
fn sizes() {
    assert_eq!(BLOB_BYTES, 4096 * 32);
    assert_eq!(usable_bytes(0), 0);
    assert_eq!(usable_bytes(1), 4096 * 254 / 8 - 4);
    assert_eq!(usable_bytes(6), 6 * 130_048 - 4);
    assert_eq!(usable_bytes(usize::MAX), u32::MAX as usize);
    assert_eq!(
        (blobs_needed(0), blobs_needed(usable_bytes(1)), blobs_needed(usable_bytes(1) + 1)),
        (1, 1, 2)
    );
}

#[test]
fn layout() {
    let blobs = pack(b"\x01\x02\x03", 1).unwrap();
    assert_eq!(blobs.len(), 1);
    assert_eq!(blobs[0].as_bytes()[..9], [0, 0, 0, 0, 3, 1, 2, 3, 0]);
    assert!(blobs[0].as_bytes()[9..].iter().all(|byte| *byte == 0));
    // the length, then 123 bytes: the last three of the group's 127 are spread over the first bits of its elements
    let payload: Vec<u8> = (1..=120).chain([0b1000_0001, 0b1111_0000, 0b1100_0010]).chain([0x77]).collect();
    let group = pack(&payload, 1).unwrap().remove(0);
    let bytes = group.as_bytes();
    assert_eq!([bytes[0], bytes[32], bytes[64], bytes[96]], [0b10_0000, 0b01_1111, 0b00_0011, 0b00_0010]);
    assert_eq!(bytes[1..32], [&[0, 0, 0, 124][..], &payload[..27]].concat());
    assert_eq!(bytes[33..64], payload[27..58]);
    assert_eq!(bytes[97..128], payload[89..120]);
    assert_eq!(bytes[128..131], [0, 0x77, 0]);
}

#[test]
fn limits() {
    for n in 1..=3 {
        let most = vec![0xab; usable_bytes(n)];
        let blobs = pack(&most, n).unwrap();
        assert_eq!(blobs.len(), n);
        assert!(unpack(&blobs).unwrap() == most);
        let above = vec![0xab; usable_bytes(n) + 1];
        let error = BlobError::TooLarge { bytes: above.len(), needed: n + 1, max: n };
        assert_eq!(pack(&above, n), Err(error));
    }
    assert!(matches!(pack(&[], 0), Err(BlobError::TooLarge { .. })));
    assert_eq!(unpack(&pack(&[], 1).unwrap()), Ok(vec![]));
}

#[test]
fn what_pack_does_not_make_is_refused() {
    let good = pack(&[7; 100], 1).unwrap().remove(0);
    let change = |at: usize, value: u8| {
        let mut bytes = good.as_bytes().to_vec();
        bytes[at] = value;
        Blob::from_slice(&bytes).unwrap()
    };
    assert_eq!(unpack(&[]), Err(BlobError::Empty));
    for bit in [0x40, 0x80] {
        let refused = Err(BlobError::HighBits { blob: 0, element: 2 });
        assert_eq!(unpack(&[change(64, bit)]), refused);
    }
    assert_eq!(unpack(&[change(128 + 64, 1)]), Err(BlobError::Trailing));
    assert_eq!(unpack(&[change(BLOB_BYTES - 1, 1)]), Err(BlobError::Trailing));
    assert_eq!(unpack(&[change(4, 99)]), Err(BlobError::Trailing));
    assert_eq!(unpack(&[good.clone(), good.clone()]), Err(BlobError::WrongCount { blobs: 2, bytes: 100 }));
    assert!(matches!(unpack(&[change(1, 0xff)]), Err(BlobError::WrongCount { blobs: 1, .. })));
    assert_eq!(Blob::from_slice(&[0; 5]), Err(BlobError::WrongSize(5)));
    assert_eq!(format!("{good:?}"), "Blob(108 bytes, then zeros)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn round_trip(payload in vec(any::<u8>(), 0..300_000)) {
        let blobs = pack(&payload, 3).unwrap();
        prop_assert_eq!(blobs.len(), blobs_needed(payload.len()));
        // EIP-4844: each field element is below the BLS12-381 scalar modulus, which begins with 0x73
        prop_assert!(blobs.iter().all(|blob| blob.as_bytes().chunks(32).all(|element| element[0] < 0x40)));
        prop_assert!(unpack(&blobs).unwrap() == payload);
    }
}
