//! What L1 and this crate must agree on to the byte, as literals. The tests of `ensemble-contracts` compare the
//! contracts with this crate.

use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256, address, b256, hex, keccak256};

use crate::{
    BatchHeader, GuestMarkError, L2Withdrawal, ProgramKey, PublicValues, WithdrawalTree, blobs_hash,
    deposit_leaf, deposits_index_of, next_deposits_hash, prev_randao, versioned_hash,
};

const TO: Address = address!("00112233445566778899aabbccddeeff00112233");

/// A 32-byte word from the hex digits of its end.
fn word(digits: &str) -> Vec<u8> {
    hex::decode(format!("{digits:0>64}")).unwrap()
}

fn header() -> BatchHeader {
    BatchHeader {
        parent_hash: B256::repeat_byte(1),
        state_root: B256::repeat_byte(2),
        block_hash: B256::repeat_byte(3),
        withdrawals_root: B256::repeat_byte(4),
        deposits_hash: B256::repeat_byte(5),
        blobs_hash: B256::repeat_byte(6),
        number: 7,
        deposits_index: 8,
        sealed_at: 0x0102_0304_0506_0708,
    }
}

#[test]
fn header_hash() {
    let mut bytes = Vec::new();
    for byte in ["01", "02", "03", "04", "05", "06"] {
        bytes.extend(hex::decode(byte.repeat(32)).unwrap());
    }
    for digits in ["7", "8", "0102030405060708"] {
        bytes.extend(word(digits));
    }
    assert_eq!(header().abi_encode().as_slice(), bytes);
    assert_eq!(header().hash(), keccak256(&bytes));
    assert_eq!(header().hash(), b256!("c5eb4e9eea58707c683a9d7bd73b8947fc7470a236272c0c416c689d7dcdd3b7"));
}

#[test]
fn every_field_is_in_the_header_hash() {
    let base = header();
    let changed = [
        BatchHeader { parent_hash: B256::ZERO, ..base.clone() },
        BatchHeader { state_root: B256::ZERO, ..base.clone() },
        BatchHeader { block_hash: B256::ZERO, ..base.clone() },
        BatchHeader { withdrawals_root: B256::ZERO, ..base.clone() },
        BatchHeader { deposits_hash: B256::ZERO, ..base.clone() },
        BatchHeader { blobs_hash: B256::ZERO, ..base.clone() },
        BatchHeader { number: 0, ..base.clone() },
        BatchHeader { deposits_index: 0, ..base.clone() },
        BatchHeader { sealed_at: 0, ..base.clone() },
    ];
    for header in changed {
        assert_ne!(header.hash(), base.hash(), "{header:?}");
    }
}

#[test]
fn genesis_header_hash() {
    let genesis = BatchHeader::genesis(1, TO, 1729, B256::repeat_byte(0xaa), B256::repeat_byte(0xbb));
    let domain = [word("1"), word("00112233445566778899aabbccddeeff00112233"), word("6c1")].concat();
    let parent = hex::encode(keccak256(domain));
    let (state, block) = ("aa".repeat(32), "bb".repeat(32));
    let words = [parent.as_str(), &state, &block, "0", "0", "0", "0", "0", "0"];
    assert_eq!(genesis.abi_encode().as_slice(), words.map(word).concat());
    assert_eq!(genesis.hash(), b256!("84ab46a465edd5b823acfa182d7b042e88738e977a627b5ebb90de97c602014f"));
}

#[test]
fn public_values() {
    let values = PublicValues { from: B256::repeat_byte(1), to: B256::repeat_byte(2) };
    assert_eq!(hex::encode(values.abi_encode()), format!("{}{}", "01".repeat(32), "02".repeat(32)));
}

#[test]
fn deposits_hash() {
    let eth = U256::from(10).pow(U256::from(18));
    let first = deposit_leaf(1, TO, eth);
    let bytes =
        [word("1"), word("00112233445566778899aabbccddeeff00112233"), word("de0b6b3a7640000")].concat();
    assert_eq!(first, keccak256(bytes));
    assert_eq!(first, b256!("66bfea729ee509d7ac3444055e17edf5fa5727eaf9eec694fb1be9508d835003"));

    let after_first = next_deposits_hash(B256::ZERO, first);
    let masked = |bytes: Vec<u8>| format!("{}00000000", &hex::encode(keccak256(bytes))[..56]);
    assert_eq!(hex::encode(after_first), masked([vec![0; 32], first.to_vec()].concat()));
    assert_eq!(after_first, b256!("4adb935fc7735e7bf286a7c0f3828329db7f8bb5cbf416790b2bf03900000000"));

    let second = deposit_leaf(2, Address::repeat_byte(0xff), U256::from(1_000_000_000u64));
    let after_second = next_deposits_hash(after_first, second);
    assert_eq!(hex::encode(after_second), masked([after_first.to_vec(), second.to_vec()].concat()));
    assert_eq!(after_second, b256!("ca9b0880519122671df94df7ad8c6577b6059703959225a6f7f42bc000000000"));

    // the time that the bridge keeps in the low 32 bits does not count
    let mut stamped = after_first;
    stamped.0[28..].copy_from_slice(&1_700_000_000u32.to_be_bytes());
    assert_eq!(next_deposits_hash(stamped, second), after_second);
}

#[test]
fn withdrawals_root() {
    let withdrawals: Vec<_> =
        (0u64..3).map(|id| L2Withdrawal { id, to: TO, amount: U256::from(id + 1) }).collect();
    let leaf = |id: &str, amount: &str| {
        let bytes = [word(id), word("00112233445566778899aabbccddeeff00112233"), word(amount)].concat();
        keccak256(keccak256(bytes))
    };
    let leaves = [leaf("0", "1"), leaf("1", "2"), leaf("2", "3")];
    assert_eq!(withdrawals[0].leaf(), leaves[0]);
    assert_eq!(leaves[0], b256!("6a7c0b2e555435f66a62b1c69f6761ce68e9c72af312268e6f3e5c1724309c92"));
    let pair = |a: B256, b: B256| keccak256([a.0, b.0].concat());
    let root = pair(pair(leaves[0], leaves[1]), pair(leaves[2], B256::ZERO));
    assert_eq!(WithdrawalTree::new(&withdrawals).root(), root);
    assert_eq!(root, b256!("9e77378fe46e6a36a33c386392eaddd736ff77f04e4e69e6d1236a586c867a37"));
}

#[test]
fn versioned_hashes() {
    // EIP-4844: the commitment of the zero blob is the point at infinity
    let mut infinity = FixedBytes::<48>::ZERO;
    infinity.0[0] = 0xc0;
    let hash = versioned_hash(&infinity);
    assert_eq!(hash, b256!("010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014"));
    assert_eq!(blobs_hash(&[]), B256::ZERO);
    assert_eq!(blobs_hash(&[hash]), keccak256(hash));
    assert_eq!(blobs_hash(&[hash, TO.into_word()]), keccak256([hash.0, TO.into_word().0].concat()));
}

/// SEQ-INV-7: a guest gets its chain at the one place behind the mark, and a file without exactly one is left alone.
#[test]
fn a_guest_has_one_place_for_the_chain() {
    let (mark, key) = (ProgramKey::GUEST_MARK, ProgramKey(B256::repeat_byte(7)));
    let mut guest = [&[1, 2][..], &mark, &[0; 32], &[3]].concat();
    key.write_into(&mut guest).unwrap();
    assert_eq!(guest, [&[1, 2][..], &mark, &[7; 32], &[3]].concat());
    for (file, error) in [
        ([&mark[1..], &[0; 64]].concat(), GuestMarkError::Missing),
        ([mark, [0; 32], mark, [0; 32]].concat(), GuestMarkError::Twice),
        ([&mark[..], &[0; 31]].concat(), GuestMarkError::CutOff),
        (vec![], GuestMarkError::Missing),
    ] {
        let mut changed = file.clone();
        assert_eq!(key.write_into(&mut changed), Err(error));
        assert_eq!(changed, file);
    }
}

#[test]
fn randao_holds_the_deposits_index() {
    let parent = B256::repeat_byte(9);
    let randao = prev_randao(&parent, 0x0102_0304_0506_0708);
    assert_eq!(randao[..24], keccak256(parent)[..24]);
    assert_eq!(Bytes::copy_from_slice(&randao[24..]), Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(deposits_index_of(&randao), 0x0102_0304_0506_0708);
}

/// SEQ-INV-7: proofs make one only when each begins where the one before it ends.
#[test]
fn public_values_of_consecutive_ranges_join() {
    let word = B256::repeat_byte;
    let values = |from, to| PublicValues { from: word(from), to: word(to) };
    assert_eq!(PublicValues::join(&[values(1, 2)]), Some(values(1, 2)));
    assert_eq!(PublicValues::join(&[values(1, 2), values(2, 5), values(5, 3)]), Some(values(1, 3)));
    assert_eq!(PublicValues::join(&[]), None);
    assert_eq!(PublicValues::join(&[values(1, 2), values(3, 5)]), None, "a gap");
    assert_eq!(PublicValues::join(&[values(2, 5), values(1, 2)]), None, "the wrong order");
    assert_eq!(PublicValues::join(&[values(1, 2), values(2, 5), values(2, 5)]), None, "one twice");
}
