#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blob;
mod builder;
mod codec;
mod traffic;
mod transactions;
mod vectors;
mod withdrawals;

use alloy_primitives::{Address, B256, Bloom, Bytes, keccak256};
use proptest::{collection::vec, prelude::*};

use crate::{ParentRef, SealedBlock, Withdrawal, prev_randao};

/// A plain block: `txs` transactions of `tx_len` bytes of noise that `seed` decides.
fn block(parent: &ParentRef, txs: usize, tx_len: usize, seed: u64) -> SealedBlock {
    let number = parent.number + 1;
    let word = |tag: &str| keccak256(format!("{tag}{number}{seed}"));
    let noise = |i: usize| {
        let mut bytes: Vec<u8> =
            (0..tx_len.div_ceil(32)).flat_map(|j| keccak256(format!("{number}/{i}/{j}/{seed}")).0).collect();
        bytes.truncate(tx_len);
        Bytes::from(bytes)
    };
    SealedBlock {
        parent_hash: parent.hash,
        fee_recipient: Address::repeat_byte(0xfe),
        state_root: word("state"),
        receipts_root: word("receipts"),
        logs_bloom: Bloom::ZERO,
        prev_randao: prev_randao(&parent.hash, 7),
        number,
        gas_limit: 30_000_000,
        gas_used: 21_000 * txs as u64,
        timestamp: 1_700_000_000 + number,
        extra_data: Bytes::from_static(b"ensemble"),
        base_fee_per_gas: 7,
        block_hash: word("hash"),
        transactions: (0..txs).map(noise).collect(),
        withdrawals: vec![],
        blob_gas_used: 0,
        excess_blob_gas: 0,
        parent_beacon_block_root: B256::ZERO,
        execution_requests: vec![],
    }
}

fn chain(parent: &ParentRef, blocks: usize, txs: usize, tx_len: usize, seed: u64) -> Vec<SealedBlock> {
    let mut at = *parent;
    (0..blocks)
        .map(|_| {
            let block = block(&at, txs, tx_len, seed);
            at = ParentRef::from(&block);
            block
        })
        .collect()
}

const PARENT: ParentRef = ParentRef { hash: B256::repeat_byte(0x11), number: 41 };

fn any_word() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

/// Numbers of every length, with the borders of 64 bits among them.
fn any_u64() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), Just(1 << 63), 0..300u64, any::<u64>()]
}

fn any_bytes(min: usize, max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), min..=max).prop_map(Bytes::from)
}

prop_compose! {
    fn any_withdrawal()(
        index in any_u64(), validator_index in any_u64(), address in any::<[u8; 20]>(), amount_gwei in any_u64(),
    ) -> Withdrawal {
        Withdrawal { index, validator_index, address: address.into(), amount_gwei }
    }
}

prop_compose! {
    /// A block that any field of may have any value; its place in the chain is given by [`link`].
    fn any_block()(
        words in vec(any_word(), 5),
        fee_recipient in any::<[u8; 20]>(),
        bloom in prop_oneof![Just(None), any::<[u8; 32]>().prop_map(Some)],
        numbers in vec(any_u64(), 6),
        randao in prop_oneof![any_u64().prop_map(Ok), any_word().prop_map(Err)],
        extra_data in any_bytes(0, 32),
        transactions in vec(prop_oneof![any_bytes(1, 300), transactions::any_encoded()], 0..6),
        withdrawals in vec(any_withdrawal(), 0..5),
        execution_requests in vec(any_bytes(1, 80), 0..3),
    ) -> (SealedBlock, Option<u64>) {
        let mut logs_bloom = Bloom::ZERO;
        if let Some(bytes) = bloom {
            logs_bloom.0[100..132].copy_from_slice(&bytes);
        }
        let block = SealedBlock {
            parent_hash: B256::ZERO,
            fee_recipient: fee_recipient.into(),
            state_root: words[0],
            receipts_root: words[1],
            logs_bloom,
            prev_randao: randao.err().unwrap_or_default(),
            number: 0,
            gas_limit: numbers[0],
            gas_used: numbers[1],
            timestamp: numbers[2],
            extra_data,
            base_fee_per_gas: numbers[3],
            block_hash: words[2],
            transactions,
            withdrawals,
            blob_gas_used: numbers[4],
            excess_blob_gas: numbers[5],
            parent_beacon_block_root: words[3],
            execution_requests,
        };
        (block, randao.ok())
    }
}

/// Makes a chain of blocks on top of a parent.
fn link(blocks: Vec<(SealedBlock, Option<u64>)>, parent: ParentRef) -> Vec<SealedBlock> {
    let mut at = parent;
    blocks
        .into_iter()
        .map(|(mut block, deposits_index)| {
            block.parent_hash = at.hash;
            block.number = at.number + 1;
            if let Some(index) = deposits_index {
                block.prev_randao = prev_randao(&at.hash, index);
            }
            at = ParentRef::from(&block);
            block
        })
        .collect()
}

fn any_parent() -> impl Strategy<Value = ParentRef> {
    (any_word(), prop_oneof![Just(0), 0..1u64 << 40]).prop_map(|(hash, number)| ParentRef { hash, number })
}

fn any_chain(max: usize) -> impl Strategy<Value = (ParentRef, Vec<SealedBlock>)> {
    (any_parent(), vec(any_block(), 0..=max)).prop_map(|(parent, blocks)| (parent, link(blocks, parent)))
}
