use alloy_primitives::{B256, Bytes};
use proptest::{collection::vec, prelude::*};

use super::{PARENT, any_block, any_chain, block, chain, link};
use crate::{
    CodecError, ParentRef,
    codec::{decode_blocks_within, encode_blocks, encode_blocks_with},
    decode_blocks,
};

/// The two parts of a payload with one segment: what is compressed, and what is not.
pub(super) fn parts_of(payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let length = |i: usize| u32::from_be_bytes(payload[1 + 4 * i..][..4].try_into().unwrap()) as usize;
    let (frame, plain) = payload[13..].split_at(length(1));
    assert_eq!(plain.len(), length(2));
    (zstd::bulk::decompress(frame, length(0)).unwrap(), plain.to_vec())
}

fn raw_segment(body_len: u32, frame: &[u8], plain: &[u8]) -> Vec<u8> {
    let lengths = [body_len, frame.len() as u32, plain.len() as u32].map(u32::to_be_bytes).concat();
    [&lengths, frame, plain].concat()
}

fn segment((body, plain): &(Vec<u8>, Vec<u8>)) -> Vec<u8> {
    raw_segment(body.len() as u32, &zstd::bulk::compress(body, 3).unwrap(), plain)
}

pub(super) fn payload_of(parts: &(Vec<u8>, Vec<u8>)) -> Vec<u8> {
    [vec![3], segment(parts)].concat()
}

/// SEQ-INV-10: what lies in the blobs gives back the same blocks.
#[test]
fn round_trip_of_a_plain_chain() {
    let blocks = chain(&PARENT, 50, 20, 110, 1);
    let payload = encode_blocks(&blocks).unwrap();
    assert_eq!(decode_blocks(&payload, &PARENT).unwrap(), blocks);
    assert_eq!(encode_blocks(&blocks).unwrap(), payload, "deterministic");
    for level in [i32::MIN, 1, 19, 100] {
        let other = encode_blocks_with(&blocks, level).unwrap();
        assert_eq!(decode_blocks(&other, &PARENT).unwrap(), blocks);
        assert_eq!(parts_of(&other), parts_of(&payload), "the level does not touch what is compressed");
    }
}

#[test]
fn no_blocks() {
    assert_eq!(encode_blocks(&[]).unwrap(), [3]);
    assert_eq!(decode_blocks(&[3], &PARENT), Ok(vec![]));
}

/// Pins the format: a change of any byte needs a new version.
#[test]
fn body_byte_by_byte() {
    let mut b = block(&PARENT, 0, 0, 1);
    b.timestamp = 3;
    b.gas_limit = 200;
    b.gas_used = 5;
    b.base_fee_per_gas = 6;
    b.transactions = vec![Bytes::from_static(&[0xca, 0xfe]), Bytes::from_static(&[0x02])];
    b.withdrawals =
        vec![crate::Withdrawal { index: 8, validator_index: 0, address: b.fee_recipient, amount_gwei: 1 }];
    b.execution_requests = vec![Bytes::from_static(&[1, 2, 3])];
    let mut expected = vec![1];
    // timestamp, gas limit (zigzag of 200 = 400), gas used, base fee, blob gas, excess blob gas, deposits index
    expected.extend([6, 0x90, 0x03, 5, 12, 0, 0, 14, 0]);
    expected.extend([0xfe; 20]);
    expected.extend([0; 32]);
    expected.extend([0, 8]);
    expected.extend(b"ensemble");
    expected.extend([1, 16, 0]);
    expected.extend([0xfe; 20]);
    expected.push(1);
    expected.extend([1, 3, 1, 2, 3]);
    // no transaction of these has a place in columns: count, types, lengths, bytes
    expected.extend([2, 0xff, 0xff, 2, 1, 0xca, 0xfe, 0x02]);
    let plain = [b.state_root, b.receipts_root, b.block_hash].concat();
    let parts = (expected, plain);
    assert_eq!(parts_of(&encode_blocks(&[b.clone()]).unwrap()), parts);
    assert_eq!(decode_blocks(&payload_of(&parts), &PARENT), Ok(vec![b]));
    cuts_are_refused(parts);
}

/// Every cut of either part is refused, and so is anything behind it.
pub(super) fn cuts_are_refused((body, plain): (Vec<u8>, Vec<u8>)) {
    let read =
        |body: &[u8], plain: &[u8]| decode_blocks(&payload_of(&(body.to_vec(), plain.to_vec())), &PARENT);
    assert!(read(&body, &plain).is_ok());
    for end in 0..body.len() {
        assert!(read(&body[..end], &plain).is_err(), "{end}");
    }
    for end in 0..plain.len() {
        assert!(read(&body, &plain[..end]).is_err(), "{end}");
    }
    assert_eq!(read(&[&body[..], &[0]].concat(), &plain), Err(CodecError::Trailing(1)));
    assert_eq!(read(&body, &[&plain[..], &[0]].concat()), Err(CodecError::Trailing(1)));
}

#[test]
fn only_the_canonical_form_is_read() {
    let payload = encode_blocks(&[block(&PARENT, 1, 4, 1)]).unwrap();
    let (body, plain) = parts_of(&payload);
    let change_both = |at: usize, bytes: &[u8], take: usize, before: &[u8]| {
        let mut changed = body.clone();
        changed.splice(at..at + take, bytes.iter().copied());
        decode_blocks(&payload_of(&(changed, [before, &plain].concat())), &PARENT)
    };
    let change = |at: usize, bytes: &[u8], take: usize| change_both(at, bytes, take, &[]);
    assert!(change(0, &[1], 1).is_ok());
    // a longer form of the block count, no blocks, more blocks than the body has room for, above 64 bits
    assert_eq!(change(0, &[0x81, 0x00], 1), Err(CodecError::NonCanonical("block count")));
    assert_eq!(change(0, &[0], 1), Err(CodecError::NonCanonical("block count")));
    assert_eq!(change(0, &[0xff, 0xff, 0xff, 0xff, 0x0f], 1), Err(CodecError::Truncated("block count")));
    assert_eq!(change(0, &[0xff; 11], 1), Err(CodecError::OutOfRange("block count")));
    let too_wide = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert_eq!(change(0, &too_wide, 1), Err(CodecError::OutOfRange("block count")));
    // columns before the form of prevRandao: count 1, timestamp 5, gas limit 4, gas used 3, 4 × 1
    let form = 1 + 5 + 4 + 3 + 4;
    assert_eq!(body[form..form + 2], [0, 0xfe]);
    assert_eq!(change(form, &[2], 1), Err(CodecError::NonCanonical("prevRandao")));
    let derived = crate::prev_randao(&PARENT.hash, 0);
    assert_eq!(change_both(form, &[1], 1, &derived[..24]), Err(CodecError::NonCanonical("prevRandao")));
    assert!(change_both(form, &[1], 1, &[7; 24]).is_ok());
    let bloom = form + 1 + 20 + 32;
    assert_eq!(
        change(bloom, &[[1u8].as_slice(), &[0; 256]].concat(), 1),
        Err(CodecError::NonCanonical("logsBloom"))
    );
    assert_eq!(change(bloom + 1, &[33], 1), Err(CodecError::OutOfRange("extraData")));
    // an empty transaction
    let tx = body.len() - 4;
    assert_eq!(body[tx - 2..tx], [0xff, 4]);
    assert_eq!(change(tx - 1, &[0], 5), Err(CodecError::NonCanonical("raw transaction")));
    assert_eq!(change(tx - 2, &[3], 1), Err(CodecError::NonCanonical("transaction type")));
}

#[test]
fn what_is_no_chain_is_not_encoded() {
    let good = chain(&PARENT, 3, 1, 10, 1);
    let with = |change: fn(&mut crate::SealedBlock)| {
        let mut blocks = good.clone();
        change(&mut blocks[1]);
        encode_blocks(&blocks)
    };
    let number = PARENT.number + 2;
    assert!(with(|_| ()).is_ok());
    assert_eq!(with(|b| b.parent_hash = B256::ZERO), Err(CodecError::NotAChain { number }));
    assert_eq!(with(|b| b.number += 1), Err(CodecError::NotAChain { number: number + 1 }));
    for change in [
        (|b| b.transactions.push(Bytes::new())) as fn(&mut crate::SealedBlock),
        |b| b.execution_requests.push(Bytes::new()),
        |b| b.extra_data = Bytes::from_static(&[0; 33]),
    ] {
        assert!(matches!(with(change), Err(CodecError::Unencodable { .. })));
    }
    let mut genesis = good[0].clone();
    genesis.number = 0;
    assert!(matches!(encode_blocks(&[genesis]), Err(CodecError::Unencodable { number: 0, .. })));
}

#[test]
fn envelope() {
    let blocks = chain(&PARENT, 2, 3, 50, 1);
    let payload = encode_blocks(&blocks).unwrap();
    let read = |bytes: &[u8]| decode_blocks(bytes, &PARENT);
    assert_eq!(read(&[]), Err(CodecError::Version(None)));
    assert_eq!(read(&[2]), Err(CodecError::Version(Some(2))));
    assert_eq!(read(&[&payload[..], &[0]].concat()), Err(CodecError::Truncated("a segment")));
    // two frames in one segment, data behind the frame, a skippable frame, a length that is not true
    let (body, plain) = parts_of(&payload);
    let frame = &payload[13..payload.len() - plain.len()];
    let rewrap =
        |body_len: u32, frame: &[u8]| read(&[&[3][..], &raw_segment(body_len, frame, &plain)].concat());
    let len = body.len() as u32;
    assert_eq!(rewrap(len, frame), Ok(blocks));
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0];
    for (body_len, frame) in [
        (2 * len, [frame, frame].concat()),
        (len, [frame, frame].concat()),
        (len, [frame, &[0]].concat()),
        (len, [&skippable, frame].concat()),
        (len - 1, frame.to_vec()),
        (len + 1, frame.to_vec()),
        (0, vec![]),
    ] {
        assert!(matches!(rewrap(body_len, &frame), Err(CodecError::Decompress(_))), "{body_len}");
    }
}

#[test]
fn segments_continue_the_chain() {
    let blocks = chain(&PARENT, 5, 2, 60, 1);
    let parts: Vec<u8> = [&blocks[..2], &blocks[2..3], &blocks[3..]]
        .into_iter()
        .flat_map(|part| segment(&parts_of(&encode_blocks(part).unwrap())))
        .collect();
    assert_eq!(decode_blocks(&[vec![3], parts].concat(), &PARENT).unwrap(), blocks);
}

/// SEQ-INV-11: a bomb is refused by its own word or at the byte after it, and the limit is over all segments.
#[test]
fn bombs_are_refused() {
    let frame = zstd::bulk::compress(&vec![0; 256 << 20], 1).unwrap();
    assert!(frame.len() < 64 << 10);
    for body_len in [0u32, 1, 1 << 20, u32::MAX] {
        let bomb = [&[3][..], &raw_segment(body_len, &frame, &[])].concat();
        let refused = decode_blocks(&bomb, &PARENT).unwrap_err();
        assert!(matches!(refused, CodecError::Decompress(_) | CodecError::TooLarge { .. }), "{refused:?}");
    }
    let blocks = chain(&PARENT, 2, 1, 50, 1);
    let one = |blocks: &[_]| segment(&parts_of(&encode_blocks(blocks).unwrap()));
    let two = [vec![3], one(&blocks[..1]), one(&blocks[1..])].concat();
    let bytes_of = |b| {
        let (body, plain) = parts_of(&encode_blocks(std::slice::from_ref(b)).unwrap());
        body.len() + plain.len()
    };
    let needed: usize = blocks.iter().map(bytes_of).sum();
    assert_eq!(decode_blocks_within(&two, &PARENT, needed), Ok(blocks));
    let limit = needed - 1;
    assert_eq!(decode_blocks_within(&two, &PARENT, limit), Err(CodecError::TooLarge { limit }));
}

/// SEQ-INV-11: a window above 8 MiB is refused before it is allocated.
#[test]
fn windows_are_bounded() {
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8];
    let frame = [&header[..], &[1, 0, 0]].concat();
    let payload = [&[3][..], &raw_segment(9, &frame, &[])].concat();
    assert!(matches!(decode_blocks(&payload, &PARENT), Err(CodecError::Decompress(_))));
}

#[test]
fn numbers_do_not_run_over() {
    let last = ParentRef { hash: B256::ZERO, number: u64::MAX };
    let payload = encode_blocks(&[block(&PARENT, 0, 0, 1)]).unwrap();
    assert_eq!(decode_blocks(&payload, &last), Err(CodecError::OutOfRange("number")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// SEQ-INV-10
    #[test]
    fn round_trip((parent, blocks) in any_chain(8)) {
        let payload = encode_blocks(&blocks).unwrap();
        prop_assert_eq!(decode_blocks(&payload, &parent).unwrap(), blocks);
    }

    /// SEQ-INV-11
    #[test]
    fn cut_payloads_are_refused((parent, blocks) in any_chain(3), cut in any::<prop::sample::Index>()) {
        prop_assume!(!blocks.is_empty());
        let payload = encode_blocks(&blocks).unwrap();
        // the version alone is the payload without blocks
        let end = cut.index(payload.len() - 1);
        prop_assert!(decode_blocks(&payload[..end], &parent).is_err() || end == 1);
    }

    /// SEQ-INV-11: never panics; what is accepted is another chain, or the same where the change was without effect
    #[test]
    fn flipped_payloads_do_no_harm((parent, blocks) in any_chain(3), flips in vec((any::<prop::sample::Index>(), 0..8u32), 1..4)) {
        let mut payload = encode_blocks(&blocks).unwrap();
        for (at, bit) in flips {
            let at = at.index(payload.len());
            payload[at] ^= 1 << bit;
        }
        if let Ok(read) = decode_blocks(&payload, &parent) {
            let again = encode_blocks(&read).unwrap();
            prop_assert_eq!(decode_blocks(&again, &parent).unwrap(), read);
        }
    }

    /// SEQ-INV-11: the same behind a valid frame; a body that is accepted is the only one of its blocks
    #[test]
    fn flipped_bodies_are_canonical_or_refused(
        blocks in vec(any_block(), 1..4),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (mut body, mut plain) = parts_of(&encode_blocks(&link(blocks, PARENT)).unwrap());
        for (at, value) in edits {
            let at = at.index(body.len() + plain.len());
            if let Some(byte) = body.get_mut(at) { *byte = value } else { plain[at - body.len()] = value }
        }
        let parts = (body, plain);
        if let Ok(read) = decode_blocks(&payload_of(&parts), &PARENT) {
            prop_assert_eq!(parts_of(&encode_blocks(&read).unwrap()), parts);
        }
    }

    /// SEQ-INV-11
    #[test]
    fn noise_is_refused(noise in vec(any::<u8>(), 0..2000)) {
        prop_assert!(decode_blocks(&[&[3, 0, 0, 1, 0][..], &noise].concat(), &PARENT).is_err());
        prop_assert!(decode_blocks(&payload_of(&(noise.clone(), noise)), &PARENT).is_err());
    }
}
