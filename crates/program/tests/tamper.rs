//! Every part of the input, changed: it is refused, or leads to other public values.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use alloy_primitives::{Address, B256, Bytes, FixedBytes, keccak256};
use common::{Content, L2, blob_proofs, signed, withdraw_call};
use ensemble_batch::{
    BatchHeader, BatchInput, ParentRef, ProgramKey, SealedBlock, Withdrawal, decode_blocks, encode_blocks,
};
use ensemble_node::COMMON_BRIDGE_L2;
use ensemble_program::{InvalidPart, ProgramError, ProgramOutput, execute, execute_unless};
use serde_json::{Value, json};

/// A batch of two blocks with transfers, a deposit and a withdrawal, and its output.
fn fixture() -> &'static (BatchInput, ProgramOutput) {
    static FIXTURE: OnceLock<(BatchInput, ProgramOutput)> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut l2 = L2::start().await;
            let to = Address::repeat_byte(0x31);
            let blocks = [
                l2.seal(Content { deposits: vec![(to, 5)], ..Default::default() }).await,
                l2.seal(Content {
                    transactions: vec![
                        signed(0, 0, to, 1, vec![]),
                        signed(1, 0, COMMON_BRIDGE_L2, 9, withdraw_call(to)),
                    ],
                    deposits: vec![(to, 6), (to, 7)],
                    ..Default::default()
                })
                .await,
            ];
            let input = l2.batch(&l2.genesis, &blocks, true);
            let output = execute(&input).unwrap();
            l2.node.shutdown().await.unwrap();
            (input, output)
        })
    })
}

/// The changed input must not lead to the public values of the right one.
fn changed(name: &str, change: impl FnOnce(&mut BatchInput)) -> Result<ProgramOutput, ProgramError> {
    let (input, right) = fixture();
    let mut input = input.clone();
    change(&mut input);
    assert_ne!(&input, &fixture().0, "{name}: nothing was changed");
    let out = execute(&input);
    common::check_guest(name, &input, right.program_key, &out);
    match &out {
        Ok(out) => assert_ne!(out.public_values, right.public_values, "{name} makes no difference"),
        Err(e) => assert!(!matches!(e, ProgramError::Panicked { .. }), "{name}: {e}"),
    }
    out
}

/// A caller may have it stop before the next block, which is no verdict about the input.
#[test]
fn it_stops_between_two_blocks() {
    let (input, right) = fixture();
    for last in 0..3 {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::SeqCst) == last;
        let out = execute_unless(input, &stop);
        if last < 2 {
            assert!(matches!(out, Err(ProgramError::Stopped)), "{out:?}");
        } else {
            assert_eq!(&out.unwrap(), right, "it was not told to stop");
        }
        assert_eq!(asked.into_inner(), 2.min(last + 1), "once before each block");
    }
}

#[test]
fn every_field_of_the_parent_header_matters() {
    let one = B256::repeat_byte(1);
    changed("parent_hash", |i| i.parent.parent_hash = one).unwrap();
    changed("withdrawals_root", |i| i.parent.withdrawals_root = one).unwrap();
    changed("blobs_hash", |i| i.parent.blobs_hash = one).unwrap();
    changed("deposits_hash", |i| i.parent.deposits_hash = one).unwrap();
    changed("number", |i| i.parent.number = 7).unwrap();
    changed("parent sealed_at", |i| i.parent.sealed_at += 1).unwrap();
    let e = changed("state_root", |i| i.parent.state_root = one).unwrap_err();
    assert!(matches!(e, ProgramError::ParentStateRoot { block: 0, .. }), "{e}");
    let e = changed("block_hash", |i| i.parent.block_hash = one).unwrap_err();
    assert!(matches!(e, ProgramError::BlockHash { block: 1, .. }), "{e}");
    let e = changed("deposits_index", |i| i.parent.deposits_index = 1).unwrap_err();
    assert!(matches!(e, ProgramError::DepositIndex { expected: 2, found: 1, .. }), "{e}");
    let e = changed("last number", |i| i.parent.number = u64::MAX).unwrap_err();
    assert!(matches!(e, ProgramError::Overflow { .. }), "{e}");
    let e = changed("last deposit", |i| i.parent.deposits_index = u64::MAX).unwrap_err();
    assert!(matches!(e, ProgramError::Overflow { .. }), "{e}");
}

#[test]
fn the_other_numbers_matter() {
    changed("sealed_at", |i| i.sealed_at += 1).unwrap();
    // L1 does not check that seal times grow from batch to batch: the program must.
    let e = changed("sealed before the parent", |i| i.parent.sealed_at = i.sealed_at + 1).unwrap_err();
    assert!(matches!(e, ProgramError::SealedBeforeParent { .. }), "{e}");
    for number in [1, 77, u64::MAX - 1, u64::MAX] {
        let e = changed("parent_block", |i| i.parent_block = number).unwrap_err();
        assert!(matches!(e, ProgramError::BlockHash { .. } | ProgramError::Payload(_)), "{e}");
    }
}

#[test]
fn the_chain_configuration_matters() {
    let (input, right) = fixture();
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut config: Value = serde_json::from_slice(&input.chain_config).unwrap();
        change(&mut config);
        Bytes::from(ProgramKey::canonical_chain_config(&config).into_bytes())
    };
    let other_chain = edit(&|c| c["chainId"] = json!(5));
    let e = changed("chain id", |i| i.chain_config = other_chain).unwrap_err();
    assert!(matches!(e, ProgramError::Invalid { block: 2, part: InvalidPart::Header, .. }), "{e}");
    let no_prague = edit(&|c| c["pragueTime"] = json!(u64::MAX));
    assert!(changed("no Prague", |i| i.chain_config = no_prague).is_err());
    let amsterdam = edit(&|c| c["amsterdamTime"] = json!(0));
    let e = changed("Amsterdam", |i| i.chain_config = amsterdam).unwrap_err();
    assert!(matches!(e, ProgramError::UnsupportedFork { block: 1, .. }), "{e}");
    // Rules that change nothing in these blocks give the same state, but under another key.
    let mut later = input.clone();
    later.chain_config = edit(&|c| {
        c["osakaTime"] = json!(u64::MAX);
        c["blobSchedule"]["osaka"] = c["blobSchedule"]["prague"].clone();
    });
    let out = execute(&later).unwrap();
    assert_eq!(out.public_values, right.public_values);
    assert_ne!(out.program_key, right.program_key);
    for bytes in [&b""[..], b"{}", b"null", &[0xff]] {
        let e = changed("junk", |i| i.chain_config = Bytes::copy_from_slice(bytes)).unwrap_err();
        assert!(matches!(e, ProgramError::ChainConfig { .. }), "{e}");
    }
}

fn blocks(input: &BatchInput) -> Vec<SealedBlock> {
    let parent = ParentRef { hash: input.parent.block_hash, number: input.parent_block };
    decode_blocks(&input.da_payload, &parent).unwrap()
}

/// Changes the batch's last block; blobs are made anew, so that only the block itself can be what is refused.
fn with_last_block(change: impl Fn(&mut SealedBlock)) -> BatchInput {
    let (mut input, _) = fixture().clone();
    let mut blocks = blocks(&input);
    change(blocks.last_mut().unwrap());
    input.da_payload = encode_blocks(&blocks).unwrap().into();
    input.blobs = blob_proofs(&input.da_payload);
    input
}

/// A changed block with the old block hash is refused for its hash; with the hash that it really has, for what is
/// wrong with it, or it is another block with other public values.
fn block_change(name: &str, change: impl Fn(&mut SealedBlock)) -> Result<ProgramOutput, ProgramError> {
    let right = &fixture().1;
    let computed = match execute(&with_last_block(&change)) {
        Err(ProgramError::BlockHash { block: 2, computed, .. }) => computed,
        other => panic!("{name}: {other:?}"),
    };
    let out = execute(&with_last_block(|block| {
        change(block);
        block.block_hash = computed;
    }));
    match &out {
        Ok(out) => assert_ne!(out.public_values, right.public_values, "{name} makes no difference"),
        Err(e) => {
            assert!(
                !matches!(e, ProgramError::Panicked { .. } | ProgramError::BlockHash { .. }),
                "{name}: {e}"
            );
        }
    }
    out
}

#[test]
fn every_field_of_a_block_matters() {
    let one = B256::repeat_byte(1);
    let e = execute(&with_last_block(|b| b.block_hash = one)).unwrap_err();
    assert!(matches!(e, ProgramError::BlockHash { block: 2, claimed, .. } if claimed == one), "{e}");

    let invalid = |part: InvalidPart, name: &str, change: &dyn Fn(&mut SealedBlock)| {
        let e = block_change(name, change).unwrap_err();
        assert!(matches!(&e, ProgramError::Invalid { block: 2, part: p, .. } if *p == part), "{name}: {e}");
    };
    let state = |name: &str, change: &dyn Fn(&mut SealedBlock)| {
        let e = block_change(name, change).unwrap_err();
        assert!(matches!(e, ProgramError::StateRoot { block: 2, .. }), "{name}: {e}");
    };
    state("state_root", &|b| b.state_root = one);
    state("a deposit's receiver", &|b| b.withdrawals[0].address = Address::repeat_byte(0x31 ^ 0x31));
    state("a deposit's amount", &|b| b.withdrawals[0].amount_gwei += 1);
    state("parent_beacon_block_root", &|b| b.parent_beacon_block_root = one);
    state("timestamp", &|b| b.timestamp += 1);
    invalid(InvalidPart::Receipts, "receipts_root", &|b| b.receipts_root = one);
    invalid(InvalidPart::Receipts, "logs_bloom", &|b| b.logs_bloom.0[9] ^= 1);
    invalid(InvalidPart::GasUsed, "gas_used", &|b| b.gas_used += 1);
    invalid(InvalidPart::GasUsed, "a transaction less", &|b| {
        b.transactions.pop();
    });
    invalid(InvalidPart::Header, "gas_limit", &|b| b.gas_limit *= 2);
    invalid(InvalidPart::Header, "gas below used", &|b| b.gas_limit = b.gas_used - 1);
    invalid(InvalidPart::Header, "base_fee_per_gas", &|b| b.base_fee_per_gas += 1);
    invalid(InvalidPart::Header, "timestamp of the parent", &|b| b.timestamp -= 2);
    invalid(InvalidPart::Header, "blob_gas_used", &|b| b.blob_gas_used = 131_072);
    invalid(InvalidPart::Header, "excess_blob_gas", &|b| b.excess_blob_gas = 131_072);
    invalid(InvalidPart::Execution, "a transaction twice", &|b| {
        b.transactions.push(b.transactions[0].clone())
    });
    invalid(InvalidPart::Requests, "execution_requests", &|b| {
        b.execution_requests.push(Bytes::from_static(&[0, 1]));
    });
    let e = block_change("prev_randao", |b| b.prev_randao = one).unwrap_err();
    assert!(matches!(e, ProgramError::PrevRandao { block: 2, .. }), "{e}");
    let e = block_change("deposit id", |b| b.withdrawals[1].index = 9).unwrap_err();
    assert!(matches!(e, ProgramError::DepositIndex { block: 2, expected: 3, found: 9 }), "{e}");
    let e = block_change("validator index", |b| b.withdrawals[0].validator_index = 1).unwrap_err();
    assert!(matches!(e, ProgramError::DepositValidator { .. }), "{e}");
    assert!(block_change("fee_recipient", |b| b.fee_recipient = Address::repeat_byte(3)).is_err());
    assert!(block_change("a deposit less", |b| b.withdrawals.truncate(1)).is_err());
    assert!(
        block_change("a deposit more", |b| {
            b.withdrawals.push(Withdrawal {
                index: 4,
                validator_index: 0,
                address: Address::repeat_byte(4),
                amount_gwei: 1,
            });
        })
        .is_err()
    );
    // Free text of the sequencer: another, valid block.
    let out = block_change("extra_data", |b| b.extra_data = Bytes::from_static(b"other")).unwrap();
    assert_ne!(out.header.block_hash, fixture().1.header.block_hash);
}

#[test]
fn transactions_have_one_encoding_and_only_ethereum_types() {
    let right = blocks(&fixture().0)[1].transactions[0].clone();
    let refused = |name: &str, bytes: Vec<u8>| {
        let e = execute(&with_last_block(|b| b.transactions[0] = bytes.clone().into())).unwrap_err();
        assert!(matches!(e, ProgramError::Transaction { block: 2, index: 0, .. }), "{name}: {e}");
    };
    for kind in [0x00, 0x05, 0x06, 0x7d, 0x7e, 0x7f, 0x80, 0xb8] {
        let mut bytes = right.to_vec();
        bytes[0] = kind;
        refused("type", bytes);
    }
    let mut trailing = right.to_vec();
    trailing.push(0);
    refused("trailing byte", trailing);
    refused("cut", right[..right.len() - 1].to_vec());
    refused("nothing but the type", vec![2]);
    for index in [0, 1] {
        let unordered = vec![Bytes::from_static(&[1, 1]), Bytes::from(vec![index, 1])];
        let e = execute(&with_last_block(|b| b.execution_requests = unordered.clone())).unwrap_err();
        assert!(matches!(e, ProgramError::RequestsForm { block: 2, .. }), "{e}");
    }
    let empty = vec![Bytes::from_static(&[1])];
    let e = execute(&with_last_block(|b| b.execution_requests = empty.clone())).unwrap_err();
    assert!(matches!(e, ProgramError::RequestsForm { block: 2, .. }), "{e}");
}

#[test]
fn the_payload_is_whole_and_in_order() {
    let all = blocks(&fixture().0);
    let payload = |blocks: &[SealedBlock]| -> Bytes { encode_blocks(blocks).unwrap().into() };
    let e = changed("no payload", |i| i.da_payload = Bytes::new()).unwrap_err();
    assert!(matches!(e, ProgramError::Payload(_)), "{e}");
    let e = changed("no blocks", |i| i.da_payload = payload(&[])).unwrap_err();
    assert_eq!(e, ProgramError::EmptyBatch);
    let e = changed("a block less", |i| i.da_payload = payload(&all[..1])).unwrap_err();
    assert_eq!(e, ProgramError::WitnessCount { blocks: 1, witnesses: 2 });
    let e = changed("only the second block", |i| {
        i.da_payload = payload(&all[1..]);
        i.witnesses.remove(0);
    })
    .unwrap_err();
    assert!(matches!(e, ProgramError::BlockHash { .. }), "{e}");
    // A shorter batch is another batch, not a forged one.
    let out = changed("the first block only", |i| {
        i.da_payload = payload(&all[..1]);
        i.witnesses.pop();
        i.blobs = blob_proofs(&i.da_payload);
    })
    .unwrap();
    assert_eq!((out.header.block_hash, out.header.deposits_index), (all[0].block_hash, 1));
    for at in (0..fixture().0.da_payload.len()).step_by(37) {
        let flip = changed("a payload byte", |i| {
            let mut bytes = i.da_payload.to_vec();
            bytes[at] ^= 1;
            i.da_payload = bytes.into();
        });
        assert!(flip.is_err(), "byte {at}");
    }
}

#[test]
fn blobs_hold_exactly_the_payload() {
    let e = changed("a blob more", |i| i.blobs.push(i.blobs[0].clone())).unwrap_err();
    assert_eq!(e, ProgramError::BlobCount { expected: 1, found: 2 });
    let other = blob_proofs(b"another payload").remove(0);
    let e = changed("another blob", |i| i.blobs[0] = other.clone()).unwrap_err();
    assert_eq!(e, ProgramError::BlobProof { index: 0 });
    let e = changed("another commitment", |i| i.blobs[0].commitment = other.commitment).unwrap_err();
    assert_eq!(e, ProgramError::BlobProof { index: 0 });
    let e = changed("another proof", |i| i.blobs[0].proof = other.proof).unwrap_err();
    assert_eq!(e, ProgramError::BlobProof { index: 0 });
    for junk in [FixedBytes::<48>::ZERO, FixedBytes::repeat_byte(0xff)] {
        let e = changed("no point", |i| i.blobs[0].commitment = junk).unwrap_err();
        assert!(matches!(e, ProgramError::BlobInput { index: 0, .. }), "{e}");
        let e = changed("no point", |i| i.blobs[0].proof = junk).unwrap_err();
        assert!(matches!(e, ProgramError::BlobInput { index: 0, .. }), "{e}");
    }
    let out = changed("no blobs", |i| i.blobs.clear()).unwrap();
    assert_eq!(out.header.blobs_hash, B256::ZERO);
    let e = changed("in_call_data", |i| i.in_call_data = true).unwrap_err();
    assert_eq!(e, ProgramError::BlobCount { expected: 0, found: 1 });
}

/// A batch in call data has the header that L1 makes of the same bytes, and nothing else passes for it.
#[test]
fn call_data_is_exactly_the_payload() {
    let in_call_data = |i: &mut BatchInput| {
        i.blobs.clear();
        i.in_call_data = true;
    };
    let right = changed("call data instead of blobs", in_call_data).unwrap();
    let payload = &fixture().0.da_payload;
    assert_eq!(right.header.blobs_hash, B256::from(keccak256(payload).0.map(|byte| !byte)));
    assert_eq!(
        BatchHeader { blobs_hash: fixture().1.header.blobs_hash, ..right.header.clone() },
        fixture().1.header
    );
    // the other two places give other headers
    let out = changed("nowhere", |i| i.blobs.clear()).unwrap();
    assert_ne!(out.public_values, right.public_values);

    let refused = |name: &str, bytes: Vec<u8>| {
        let e = changed(name, |i| {
            in_call_data(i);
            i.da_payload = bytes.into();
        });
        assert!(matches!(e, Err(ProgramError::Payload(_))), "{name}: {e:?}");
    };
    refused("a byte more", [payload.as_ref(), &[0]].concat());
    refused("a byte less", payload[..payload.len() - 1].to_vec());
    refused("a byte before", [&[0], payload.as_ref()].concat());
    refused("nothing", Vec::new());
    for at in (0..payload.len()).step_by(41) {
        let out = changed("a payload byte", |i| {
            in_call_data(i);
            let mut bytes = i.da_payload.to_vec();
            bytes[at] ^= 1;
            i.da_payload = bytes.into();
        });
        assert!(out.is_err(), "byte {at}");
    }
}

/// Changes one witness as JSON.
fn witness_change(
    name: &str,
    at: usize,
    change: impl FnOnce(&mut Value),
) -> Result<ProgramOutput, ProgramError> {
    let mut input = fixture().0.clone();
    let mut witness: Value = serde_json::from_slice(&input.witnesses[at]).unwrap();
    change(&mut witness);
    input.witnesses[at] = witness.to_string().into_bytes().into();
    let out = execute(&input);
    // Whatever the witness, it can only lead to the right public values or to none.
    match &out {
        Ok(out) => assert_eq!(out, &fixture().1, "{name}"),
        Err(e) => assert!(!matches!(e, ProgramError::Panicked { .. }), "{name}: {e}"),
    }
    out
}

#[test]
fn a_witness_leads_to_the_right_values_or_to_none() {
    let e = changed("no witness", |i| i.witnesses.clear()).unwrap_err();
    assert_eq!(e, ProgramError::WitnessCount { blocks: 2, witnesses: 0 });
    let e = changed("a witness more", |i| i.witnesses.push(i.witnesses[0].clone())).unwrap_err();
    assert_eq!(e, ProgramError::WitnessCount { blocks: 2, witnesses: 3 });
    let e = changed("swapped", |i| i.witnesses.swap(0, 1)).unwrap_err();
    assert!(matches!(e, ProgramError::WitnessParent { block: 1, .. }), "{e}");
    let e = changed("junk", |i| i.witnesses[1] = Bytes::from_static(b"{}")).unwrap_err();
    assert!(matches!(e, ProgramError::Witness { block: 2, .. }), "{e}");

    for (at, key) in [(0, "state"), (1, "state"), (0, "headers"), (1, "headers"), (1, "codes")] {
        let count = serde_json::from_slice::<Value>(&fixture().0.witnesses[at]).unwrap()[key]
            .as_array()
            .unwrap()
            .len();
        assert!(count > 0, "the fixture's witness {at} has no {key}");
        for item in 0..count {
            let name = format!("{key}[{item}] of witness {at}");
            let removed = witness_change(&name, at, |w| {
                w[key].as_array_mut().unwrap().remove(item);
            });
            let flipped = witness_change(&name, at, |w| {
                let text = w[key][item].as_str().unwrap();
                let mut bytes = alloy_primitives::hex::decode(text).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                w[key][item] = json!(alloy_primitives::hex::encode_prefixed(bytes));
            });
            if key == "headers" && item == count - 1 {
                assert!(removed.is_err() && flipped.is_err(), "{name} is needed");
            }
        }
        let none = witness_change(key, at, |w| w[key] = json!([]));
        assert!(none.is_err(), "a block cannot be executed without {key}");
    }
    let e = witness_change("no node", 1, |w| w["state"].as_array_mut().unwrap().push(json!("0xdeadbeef")));
    assert!(matches!(e, Err(ProgramError::Witness { block: 2, .. })), "{e:?}");
    // Things that nobody asks for do no harm.
    witness_change("unused", 1, |w| {
        w["state"].as_array_mut().unwrap().extend([json!("0xc22001"), json!("0x80")]);
        w["codes"].as_array_mut().unwrap().push(json!("0x6001"));
    })
    .unwrap();
}

/// SEQ-INV-11: random damage in witnesses never panics and never leads to other values.
#[test]
fn damaged_witnesses_do_no_harm() {
    let seed = std::env::var("ENSEMBLE_TEST_SEED").unwrap_or_else(|_| "witness".to_owned());
    let mut random = keccak256(&seed);
    for round in 0..150 {
        random = keccak256(random);
        let at = usize::from(random[0]) % 2;
        let name = format!("round {round}, ENSEMBLE_TEST_SEED={seed}");
        let outcome = witness_change(&name, at, |w| {
            let key = ["state", "state", "state", "headers", "codes"][usize::from(random[1]) % 5];
            let Some(items) = w[key].as_array_mut().filter(|items| !items.is_empty()) else { return };
            let item = usize::from(random[2]) % items.len();
            let mut bytes = alloy_primitives::hex::decode(items[item].as_str().unwrap()).unwrap();
            for i in 0..=usize::from(random[3]) % 4 {
                let place =
                    usize::from(u16::from_be_bytes([random[4 + 2 * i], random[5 + 2 * i]])) % bytes.len();
                bytes[place] = random[16 + i];
            }
            if random[20].is_multiple_of(4) {
                bytes.truncate(usize::from(random[21]) % bytes.len());
            }
            items[item] = json!(alloy_primitives::hex::encode_prefixed(bytes));
        });
        drop(outcome);
        let mut input = fixture().0.clone();
        let mut raw = input.witnesses[at].to_vec();
        let place = u32::from_be_bytes([random[22], random[23], random[24], random[25]]) as usize % raw.len();
        raw[place] = random[26];
        input.witnesses[at] = raw.into();
        match execute(&input) {
            Ok(out) => assert_eq!(&out, &fixture().1, "{name}"),
            Err(e) => assert!(!matches!(e, ProgramError::Panicked { .. }), "{name}: {e}"),
        }
    }
}
