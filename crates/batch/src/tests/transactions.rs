//! Transactions in columns. They are made by `alloy-consensus`, which shares no code with the codec.

use alloy_consensus::{
    TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxEnvelope, TxLegacy, transaction::SignableTransaction,
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address, hex};
use proptest::{collection::vec, option, prelude::*};

use super::{
    PARENT, any_bytes, any_u64, any_word, block,
    codec::{cuts_are_refused, parts_of, payload_of},
    traffic::{self, CHAIN_ID, Traffic},
};
use crate::{
    BLOB_BYTES, BatchBuilder, BatchLimits, CodecError, Push, SealedBlock,
    codec::{self, decode_blocks_within, encode_blocks},
    decode_blocks, pack, unpack,
};

/// A block with these transactions.
fn with(transactions: Vec<Bytes>) -> SealedBlock {
    SealedBlock { transactions, extra_data: Bytes::new(), ..block(&PARENT, 0, 0, 1) }
}

fn round_trip(transactions: Vec<Bytes>) -> (Vec<u8>, Vec<u8>) {
    let sealed = [with(transactions)];
    let payload = encode_blocks(&sealed).unwrap();
    assert_eq!(decode_blocks(&payload, &PARENT).unwrap(), sealed);
    parts_of(&payload)
}

/// The columns of transactions in the two parts, without those of a block made by [`with`].
fn columns(transactions: Vec<Bytes>) -> (Vec<u8>, Vec<u8>) {
    let (body, plain) = round_trip(transactions);
    let fixed = fixed_body();
    (body[fixed..].to_vec(), plain[96..].to_vec())
}

/// Bytes in front of the columns of transactions.
fn fixed_body() -> usize {
    // the counts and sums of no transactions: the count 0 of the block, and nothing else
    round_trip(vec![]).0.len() - 1
}

fn signature(r: u8, odd: bool) -> Signature {
    Signature::new(U256::from_be_bytes([r; 32]), U256::from(0x55), odd)
}

fn encoded<T: SignableTransaction<Signature>>(tx: T, signature: Signature) -> Bytes
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
}

fn transfer() -> TxEip1559 {
    TxEip1559 {
        chain_id: 300,
        nonce: 5,
        gas_limit: 21_000,
        max_fee_per_gas: 1_100,
        max_priority_fee_per_gas: 100,
        to: TxKind::Call(Address::repeat_byte(0xaa)),
        value: U256::from(12_000),
        access_list: AccessList::default(),
        input: Bytes::new(),
    }
}

/// Pins the format: a change of any byte needs a new version.
#[test]
fn columns_byte_by_byte() {
    let a = Address::repeat_byte(0xaa);
    let b = address!("00000001bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    let plain_transfer = transfer();
    let call = {
        let mut data = hex!("a9059cbb").to_vec();
        data.extend(B256::from(U256::from(5_000)).0);
        data.extend(b.into_word());
        data.extend([0x77; 32]);
        data.extend([1, 2, 3]);
        TxLegacy {
            chain_id: None,
            nonce: 200,
            gas_price: 7,
            gas_limit: 3,
            to: a.into(),
            value: U256::from((1u64 << 56) + 1),
            input: data.into(),
        }
    };
    let creation = TxEip2930 {
        chain_id: 300,
        nonce: 0,
        gas_price: 0,
        gas_limit: 0,
        to: TxKind::Create,
        value: U256::from(1),
        access_list: AccessList(vec![AccessListItem {
            address: b,
            storage_keys: vec![B256::repeat_byte(4)],
        }]),
        input: Bytes::from_static(&[0xfe; 40]),
    };
    let authorization =
        Authorization { chain_id: U256::from(9), address: Address::repeat_byte(0xcc), nonce: 1 };
    let set_code = TxEip7702 {
        chain_id: 300,
        nonce: 1,
        gas_limit: 2,
        max_fee_per_gas: 3,
        max_priority_fee_per_gas: 4,
        to: b,
        value: U256::from(10).pow(U256::from(60)) * U256::from(7),
        access_list: AccessList::default(),
        authorization_list: vec![authorization.into_signed(signature(9, true))],
        input: Bytes::from_static(&[1]),
    };
    let transactions = vec![
        encoded(plain_transfer, signature(0x11, true)),
        Bytes::from_static(&[0x7f, 9]),
        encoded(call, signature(0x22, false)),
        encoded(creation, signature(0x33, true)),
        encoded(set_code, signature(0x44, false)),
    ];
    let (body, plain) = columns(transactions.clone());
    let mut expected = vec![5, 2, 0xff, 0, 1, 4];
    expected.extend([2, 0x7f, 9]);
    // chain ids: zigzag of 300, -300, 300, 0; nonces; gas limits
    expected.extend([0xd8, 0x04, 0xd7, 0x04, 0xd8, 0x04, 0]);
    expected.extend([5, 0xc8, 0x01, 0, 1]);
    expected.extend([0x88, 0xa4, 0x01, 3, 0, 2]);
    // fees without tips, 3 - 4 among them, tips
    expected.extend([0xe8, 0x07, 7, 0]);
    expected.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    expected.extend([100, 4]);
    // receivers: a new one, the first again, none, a new one
    expected.extend([1, 2, 0, 1]);
    // values: exponents, with the flag of a mantissa of 8 bytes, and the other mantissas
    expected.extend([3, 0x80, 0, 60, 12, 1, 7]);
    // data: lengths, selectors, forms of words, a number, an address (the second), bytes, rests
    expected.extend([0, 103, 40, 1]);
    expected.extend(hex!("a9059cbb"));
    expected.extend([0, 1, 2]);
    expected.extend([3, 5]);
    expected.push(2);
    expected.extend([0x77; 32]);
    expected.extend([1, 2, 3]);
    expected.extend([0xfe; 40]);
    expected.push(1);
    // access lists: counts of the three transactions that may have one, addresses, counts of keys, keys
    expected.extend([0, 1, 0, 2, 1]);
    expected.extend([4; 32]);
    // authorizations: counts, chain ids, addresses, nonces
    expected.extend([1, 18, 0, 1]);
    assert_eq!(body, expected);

    let mut rest = hex!("0100000000000001").to_vec();
    rest.extend([a, b, Address::repeat_byte(0xcc)].concat());
    [0x11, 0x22, 0x33, 0x44].iter().for_each(|r| rest.extend([*r; 32]));
    // the y parity is the highest bit of s
    let s = |odd_y: u8| {
        let mut s = B256::with_last_byte(0x55);
        s[0] = odd_y << 7;
        s
    };
    [1, 0, 1, 0].iter().for_each(|odd_y| rest.extend(s(*odd_y)));
    rest.extend([9; 32]);
    rest.extend(s(1));
    assert_eq!(plain, rest);
    cuts_are_refused(round_trip(transactions));
}

/// SEQ-INV-10: what is no transaction in its canonical form, or has numbers that columns do not hold, is kept as it is.
#[test]
fn other_bytes_are_kept_raw() {
    let canonical = encoded(transfer(), signature(1, true));
    assert_eq!(canonical[..3], [2, 0xf8, canonical.len() as u8 - 3]);
    let rewrite = |bytes: &[u8]| Bytes::from([&[2, 0xf8, bytes.len() as u8], bytes].concat());
    let fields = &canonical[3..];
    let legacy = |v: u8| {
        let list = [&[0x80, 1, 1, 0x80, 0x80, 0x80, v][..], &[1, 1]].concat();
        Bytes::from([&[0xc0 + list.len() as u8][..], &list].concat())
    };
    let raw = [
        Bytes::from_static(&[0]),
        Bytes::from_static(&[0xc0]),
        // behind the list, behind the last field, a number with a leading zero, a longer form of a length
        [&canonical[..], &[0]].concat().into(),
        rewrite(&[fields, &[1]].concat()),
        rewrite(&[&[0x83, 0, 1, 0x2c], &fields[3..]].concat()),
        [&[2, 0xf9, 0, fields.len() as u8], fields].concat().into(),
        // y parity 2
        rewrite(&[&fields[..fields.len() - 35], &[2], &fields[fields.len() - 34..]].concat()),
        // legacy signatures that EIP-155 does not know, or for chain id 0
        legacy(26),
        legacy(29),
        legacy(35),
        legacy(36),
        encoded(TxEip1559 { max_fee_per_gas: 1 << 64, ..transfer() }, signature(1, true)),
        encoded(TxEip1559 { max_priority_fee_per_gas: 1 << 64, ..transfer() }, signature(1, true)),
        encoded(TxEip1559 { value: U256::MAX, ..transfer() }, signature(1, true)),
        // no valid signature (EIP-2)
        encoded(transfer(), Signature::new(U256::from(1), U256::from(1) << 255, true)),
        encoded(
            TxEip4844 {
                chain_id: 1,
                blob_versioned_hashes: vec![B256::repeat_byte(1)],
                ..Default::default()
            },
            signature(1, true),
        ),
    ];
    for tx in raw {
        let (body, plain) = columns(vec![tx.clone()]);
        assert_eq!(body[..2], [1, 0xff], "{tx}");
        assert!(body.ends_with(&tx) && plain.is_empty(), "{tx}");
    }
    for in_columns in [canonical.clone(), legacy(27), legacy(28), legacy(37)] {
        assert_ne!(columns(vec![in_columns.clone()]).0[1], 0xff, "{in_columns}");
    }
}

/// SEQ-INV-11: a reader refuses what a writer does not make.
#[test]
fn only_the_canonical_form_is_read() {
    let mut data = hex!("a9059cbb").to_vec();
    data.extend(Address::repeat_byte(0xbb).into_word());
    data.extend(B256::from(U256::from(30)));
    data.extend([0x77; 32]);
    let call = TxEip1559 { input: data.into(), ..transfer() };
    let legacy =
        TxLegacy { chain_id: Some(300), to: Address::repeat_byte(0xaa).into(), ..Default::default() };
    let transactions = vec![encoded(call, signature(1, true)), encoded(legacy, signature(1, true))];
    let (body, plain) = round_trip(transactions);
    let start = fixed_body();
    let change = |at: usize, take: usize, bytes: &[u8]| {
        let mut changed = body.clone();
        changed.splice(start + at..start + at + take, bytes.iter().copied());
        decode_blocks(&payload_of(&(changed, plain.clone())), &PARENT)
    };
    let (mut expected, from) = (vec![], |expected: &mut Vec<u8>, bytes: &[u8]| {
        let at = expected.len();
        expected.extend_from_slice(bytes);
        at
    });
    let e = &mut expected;
    from(e, &[2]);
    let kinds = from(e, &[2, 0]);
    let chain_ids = from(e, &[0xd8, 0x04, 0]);
    from(e, &[5, 0, 0x88, 0xa4, 0x01, 0, 0xe8, 0x07, 0, 100]);
    let to = from(e, &[1, 2]);
    let exponents = from(e, &[3, 0]);
    let mantissas = from(e, &[12, 0]);
    let lengths = from(e, &[100, 0, 0xa9, 5, 0x9c, 0xbb]);
    let forms = from(e, &[1, 0, 2]);
    let number = from(e, &[1, 3]);
    let address = from(e, &[0]);
    let word = from(e, &[0x77; 32]);
    from(e, &[0]);
    assert_eq!(body[start..], expected);
    assert!(change(0, 0, &[]).is_ok());

    assert_eq!(change(kinds, 1, &[3]), Err(CodecError::NonCanonical("transaction type")));
    // a legacy transaction whose v would not fit: zigzag of 2^63 - 300
    let huge = [&[0xd8, 0x04][..], &[0xa8, 0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]].concat();
    assert_eq!(change(chain_ids, 3, &huge), Err(CodecError::OutOfRange("chainId")));
    // an address that is not yet known, the same one twice (the second in the columns is 0xbb…, made new by reference)
    assert_eq!(change(to, 1, &[2]), Err(CodecError::OutOfRange("to")));
    assert_eq!(change(address, 1, &[9]), Err(CodecError::OutOfRange("data")));
    let mut twice = plain.clone();
    twice.copy_within(96..116, 116);
    assert_eq!(
        decode_blocks(&payload_of(&(body.clone(), twice)), &PARENT),
        Err(CodecError::NonCanonical("addresses"))
    );
    // decimals: 120 × 10^2, 0 × 10^1, above 256 bits, and a word above 128
    assert_eq!(change(exponents, 4, &[2, 0, 120, 0]), Err(CodecError::NonCanonical("value")));
    assert_eq!(change(exponents + 1, 1, &[1]), Err(CodecError::NonCanonical("value")));
    assert_eq!(change(exponents, 1, &[77]), Err(CodecError::OutOfRange("value")));
    assert_eq!(change(mantissas, 1, &[0xff; 19]), Err(CodecError::OutOfRange("value")));
    assert_eq!(change(number, 1, &[39]), Err(CodecError::OutOfRange("data")));
    // a uint for what has 8 bytes in the plain part, and 8 bytes for what is a uint: 2^56 + 1, 2^56 - 1
    let uint = [0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    assert_eq!(change(mantissas, 1, &uint), Err(CodecError::NonCanonical("value")));
    let flagged = |mantissa: u64| {
        let mut changed = body.clone();
        changed[start + exponents] |= 0x80;
        changed.remove(start + mantissas);
        let mut words = plain.clone();
        words.splice(96..96, mantissa.to_be_bytes());
        decode_blocks(&payload_of(&(changed, words)), &PARENT)
    };
    assert!(flagged((1 << 56) + 1).is_ok());
    assert_eq!(flagged((1 << 56) - 1), Err(CodecError::NonCanonical("value")));
    // forms of words: unknown, an address that is a number, bytes that are an address
    assert_eq!(change(forms, 1, &[3]), Err(CodecError::NonCanonical("data")));
    let mut low = plain.clone();
    low[116..120].fill(0);
    assert_eq!(
        decode_blocks(&payload_of(&(body.clone(), low)), &PARENT),
        Err(CodecError::NonCanonical("data"))
    );
    assert_eq!(change(word, 12, &[0; 12]), Err(CodecError::NonCanonical("data")));
    assert!(change(lengths, 1, &[0x63]).is_err());
    // what has a place in the columns is not read as raw bytes
    let tx = encoded(transfer(), signature(1, true));
    let mut smuggled = round_trip(vec![]).0;
    smuggled.pop();
    smuggled.extend([1, 0xff, tx.len() as u8]);
    smuggled.extend_from_slice(&tx);
    assert_eq!(
        decode_blocks(&payload_of(&(smuggled, plain[..96].to_vec())), &PARENT),
        Err(CodecError::NonCanonical("raw transaction"))
    );
}

/// SEQ-INV-11: columns hold less than what comes out of them; the limit is on both.
#[test]
fn what_comes_out_is_bounded() {
    let zeros = TxEip1559 { input: vec![0; 1 << 20].into(), ..transfer() };
    let sealed = [with(vec![encoded(zeros, signature(1, true))])];
    let payload = encode_blocks(&sealed).unwrap();
    let (body, plain) = parts_of(&payload);
    assert!(body.len() + plain.len() < 1 << 17, "a word of zeros is three bytes");
    let limit = sealed[0].transactions[0].len() + 64;
    assert_eq!(decode_blocks_within(&payload, &PARENT, limit).unwrap(), sealed);
    let limit = limit - 1;
    assert_eq!(decode_blocks_within(&payload, &PARENT, limit), Err(CodecError::TooLarge { limit }));
    // a length that only says that it is large
    let mut body = round_trip(vec![]).0;
    body.pop();
    body.extend([1, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let limit = codec::MAX_BODY_BYTES;
    assert_eq!(
        decode_blocks(&payload_of(&(body, plain[..96].to_vec())), &PARENT),
        Err(CodecError::TooLarge { limit })
    );
}

/// What `docs/data-availability.md` says about the bytes that a transfer takes.
#[test]
fn bytes_of_a_transfer() {
    for (traffic, most, most_with_blocks) in
        [(Traffic::Distinct, 91.0, 92.0), (Traffic::Recurring, 73.0, 74.0), (Traffic::Tokens, 94.0, 97.0)]
    {
        let (count, per_block) = (30, 100);
        let blocks = traffic::blocks(traffic, PARENT, count, per_block, 1);
        let empty: Vec<_> =
            blocks.iter().cloned().map(|b| SealedBlock { transactions: vec![], ..b }).collect();
        let each = |bytes: usize| bytes as f64 * BLOB_BYTES as f64 / 130_048.0 / (count * per_block) as f64;
        let payload = encode_blocks(&blocks).unwrap().len();
        let without_blocks = each(payload - encode_blocks(&empty).unwrap().len());
        assert!(without_blocks <= most, "{}: {without_blocks:.2} blob bytes", traffic.name());
        assert!(
            each(payload) <= most_with_blocks,
            "{}: {:.2} with the blocks",
            traffic.name(),
            each(payload)
        );
    }
}

/// SEQ-INV-10, through builder and blobs: segments, several blobs, every type of transaction.
#[test]
fn traffic_fills_blobs_and_comes_back() {
    for traffic in Traffic::ALL {
        let chain = traffic::blocks(traffic, PARENT, 60, 100, 2);
        let limits = BatchLimits { max_blobs: 3, max_blocks: 1000, max_gas: u64::MAX, max_deposits: 1000 };
        let mut builder = BatchBuilder::new(limits);
        let taken = chain.iter().take_while(|b| builder.push(b).unwrap() == Push::Accepted).count();
        assert!(taken > 30, "{}: {taken} blocks of 100 in three blobs", traffic.name());
        let batch = builder.finish().unwrap();
        let payload = unpack(&batch.blobs).unwrap();
        assert_eq!(payload, batch.payload);
        assert_eq!(decode_blocks(&payload, &PARENT).unwrap(), chain[..taken]);
        let columns = traffic::types(&chain).len();
        assert!(if traffic == Traffic::Mixed { columns == 4 } else { columns == 1 });
        assert!(pack(&payload, 2).is_err(), "{}: three blobs are needed", traffic.name());
    }
}

fn any_address() -> impl Strategy<Value = Address> {
    prop_oneof![
        (0..4u8).prop_map(Address::repeat_byte),
        (0..4u8).prop_map(|low| Address::left_padding_from(&[1, 2, low])),
        any::<[u8; 20]>().prop_map(Address::from),
    ]
}

/// Numbers of all lengths, many of them with zeros at the end.
fn any_number() -> impl Strategy<Value = U256> {
    (any::<[u8; 32]>(), 0..=256usize, 0..78u64).prop_map(|(bytes, bits, zeros)| {
        let number = if bits == 0 { U256::ZERO } else { U256::from_be_bytes(bytes) >> (256 - bits) };
        let power = U256::from(10).pow(U256::from(zeros));
        number.checked_mul(power).unwrap_or(number)
    })
}

fn any_data() -> impl Strategy<Value = Bytes> {
    let word = prop_oneof![
        any_number().prop_map(B256::from),
        any_address().prop_map(|address| address.into_word()),
        any_word()
    ];
    let call = (any::<[u8; 4]>(), vec(word, 0..5), any_bytes(0, 40))
        .prop_map(|(selector, words, rest)| Bytes::from([&selector[..], &words.concat(), &rest].concat()));
    prop_oneof![Just(Bytes::new()), any_bytes(0, 40), call]
}

fn any_signature() -> impl Strategy<Value = Signature> {
    (any_number(), any_number(), any::<bool>()).prop_map(|(r, s, odd)| Signature::new(r, s, odd))
}

fn any_access_list() -> impl Strategy<Value = AccessList> {
    let item = (any_address(), vec(any_word(), 0..3))
        .prop_map(|(address, storage_keys)| AccessListItem { address, storage_keys });
    vec(item, 0..3).prop_map(AccessList)
}

fn any_authorization() -> impl Strategy<Value = SignedAuthorization> {
    (any_number(), any_address(), any_u64(), any_signature()).prop_map(
        |(chain_id, address, nonce, signature)| {
            Authorization { chain_id, address, nonce }.into_signed(signature)
        },
    )
}

/// A transaction of any type, mostly with numbers as they occur, sometimes with such as have no place in columns.
pub(super) fn any_encoded() -> impl Strategy<Value = Bytes> {
    let chain_id = prop_oneof![Just(CHAIN_ID), Just(0), any_u64()];
    let fees = (any_u64(), any_u64(), 0..40u32).prop_map(|(max, tip, wide)| {
        let wide = u128::from(wide == 0) << 64;
        (u128::from(max) | wide, u128::from(tip))
    });
    let fields = (0..6u8, chain_id, any_u64(), fees, any_u64(), option::of(any_address()), any_number());
    let lists = (any_data(), any_access_list(), vec(any_authorization(), 0..3), any_signature());
    (fields, lists).prop_map(|(fields, (input, access_list, authorization_list, signature))| {
        let (kind, chain_id, nonce, (max, tip), gas_limit, to, value) = fields;
        let to_kind = to.map_or(TxKind::Create, TxKind::Call);
        match kind {
            0 | 1 => {
                // what v holds
                let chain_id = (kind == 1).then_some(chain_id % (u64::MAX / 2 - 18));
                let tx = TxLegacy { chain_id, nonce, gas_price: max, gas_limit, to: to_kind, value, input };
                encoded(tx, signature)
            }
            2 => encoded(
                TxEip2930 {
                    chain_id,
                    nonce,
                    gas_price: max,
                    gas_limit,
                    to: to_kind,
                    value,
                    access_list,
                    input,
                },
                signature,
            ),
            3 => encoded(
                TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max,
                    max_priority_fee_per_gas: tip,
                    to: to.unwrap_or_default(),
                    value,
                    access_list,
                    authorization_list,
                    input,
                },
                signature,
            ),
            _ => encoded(
                TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max,
                    max_priority_fee_per_gas: tip,
                    to: to_kind,
                    value,
                    access_list,
                    input,
                },
                signature,
            ),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// SEQ-INV-10: every transaction comes back to the byte, and a block never takes more than the builder counts.
    #[test]
    fn round_trip_of_any_transactions(transactions in vec(any_encoded(), 0..12)) {
        let sealed = with(transactions);
        let payload = encode_blocks(std::slice::from_ref(&sealed)).unwrap();
        let (body, plain) = parts_of(&payload);
        let bound = codec::body_bound(&sealed);
        prop_assert!(body.len() + plain.len() <= bound);
        let read = decode_blocks_within(&payload, &PARENT, bound).unwrap();
        prop_assert_eq!(read, [sealed]);
    }

    /// SEQ-INV-10: damage of a transaction changes how it is stored, never what comes back.
    #[test]
    fn round_trip_of_damaged_transactions(
        tx in any_encoded(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let mut bytes = tx.to_vec();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let sealed = [with(vec![tx, bytes.into()])];
        prop_assert_eq!(decode_blocks(&encode_blocks(&sealed).unwrap(), &PARENT).unwrap(), sealed);
    }
}
