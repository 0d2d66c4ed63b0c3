use alloy_primitives::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{PARENT, any_block, block, chain, link};
use crate::{
    BatchBuilder, BatchLimits, CodecError, Limit, ParentRef, Push, SealedBlock, Withdrawal, decode_blocks,
    unpack, usable_bytes,
};

const WIDE: BatchLimits =
    BatchLimits { max_blobs: 6, max_blocks: 10_000, max_gas: u64::MAX, max_deposits: 10_000 };

/// Pushes blocks of a chain that `next` makes until the batch is full.
fn fill(limits: BatchLimits, next: impl Fn(&ParentRef) -> SealedBlock) -> (BatchBuilder, Limit) {
    let mut builder = BatchBuilder::new(limits);
    let mut at = PARENT;
    loop {
        let block = next(&at);
        match builder.push(&block).unwrap() {
            Push::Accepted => at = ParentRef::from(&block),
            Push::Full(limit) => return (builder, limit),
            Push::TooLarge(limit) => panic!("{limit}"),
        }
    }
}

#[test]
fn counts_are_limits() {
    let blocks = chain(&PARENT, 4, 2, 100, 1);
    let deposit = Withdrawal { index: 1, validator_index: 0, address: Default::default(), amount_gwei: 1 };
    let with_deposits = |parent: &ParentRef| {
        let mut b = block(parent, 0, 0, 1);
        b.withdrawals = vec![deposit.clone(); 3];
        b
    };
    let (builder, limit) = fill(BatchLimits { max_blocks: 3, ..WIDE }, |at| block(at, 2, 100, 1));
    assert_eq!((builder.blocks(), limit), (&blocks[..3], Limit::Blocks));
    let (builder, limit) = fill(BatchLimits { max_gas: 4 * 21_000, ..WIDE }, |at| block(at, 2, 100, 1));
    assert_eq!((builder.blocks(), limit, builder.gas()), (&blocks[..2], Limit::Gas, 84_000));
    let (builder, limit) = fill(BatchLimits { max_deposits: 7, ..WIDE }, with_deposits);
    assert_eq!((builder.blocks().len(), limit, builder.deposits()), (2, Limit::Deposits, 6));

    for (limits, limit) in [
        (BatchLimits { max_gas: 41_999, ..WIDE }, Limit::Gas),
        (BatchLimits { max_blocks: 0, ..WIDE }, Limit::Blocks),
    ] {
        assert_eq!(BatchBuilder::new(limits).push(&blocks[0]), Ok(Push::TooLarge(limit)));
    }
    let limits = BatchLimits { max_deposits: 2, ..WIDE };
    assert_eq!(BatchBuilder::new(limits).push(&with_deposits(&PARENT)), Ok(Push::TooLarge(Limit::Deposits)));
}

/// A block that was refused leaves no trace: the batch is sealed and the block opens the next one.
#[test]
fn a_refused_block_changes_nothing() {
    let blocks = chain(&PARENT, 4, 1, 50_000, 1);
    let limits = BatchLimits { max_blobs: 1, ..WIDE };
    let mut builder = BatchBuilder::new(limits);
    assert_eq!(builder.push(&blocks[0]), Ok(Push::Accepted));
    assert_eq!(builder.push(&blocks[1]), Ok(Push::Accepted));
    let (bound, gas) = (builder.payload_bound(), builder.gas());
    assert_eq!(builder.push(&blocks[2]), Ok(Push::Full(Limit::Blobs)));
    assert_eq!((builder.payload_bound(), builder.gas(), builder.blocks()), (bound, gas, &blocks[..2]));
    let not_next = CodecError::NotAChain { number: blocks[3].number };
    assert_eq!(builder.push(&blocks[3]), Err(not_next));
    let batch = builder.finish().unwrap();
    assert_eq!(batch.blobs.len(), 1);
    assert_eq!(decode_blocks(&batch.payload, &PARENT).unwrap(), blocks[..2]);

    let mut next = BatchBuilder::new(limits);
    assert_eq!(next.push(&blocks[2]), Ok(Push::Accepted));
    assert_eq!(next.push(&blocks[3]), Ok(Push::Accepted));
    let parent = ParentRef::from(&blocks[1]);
    assert_eq!(decode_blocks(&next.finish().unwrap().payload, &parent).unwrap(), blocks[2..]);
}

#[test]
fn a_block_for_which_no_batch_is_large_enough() {
    let huge = block(&PARENT, 2, usable_bytes(1) / 2, 1);
    let mut builder = BatchBuilder::new(BatchLimits { max_blobs: 1, ..WIDE });
    assert_eq!(builder.push(&huge), Ok(Push::TooLarge(Limit::Blobs)));
    assert!(builder.is_empty());
    assert_eq!(BatchBuilder::new(BatchLimits { max_blobs: 2, ..WIDE }).push(&huge), Ok(Push::Accepted));
}

/// Incompressible blocks fill the blobs to the last block that fits.
#[test]
fn noise_fills_the_blobs() {
    let (builder, limit) = fill(BatchLimits { max_blobs: 2, ..WIDE }, |at| block(at, 10, 100, 1));
    assert_eq!(limit, Limit::Blobs);
    let blocks = builder.blocks().to_vec();
    let batch = builder.finish().unwrap();
    assert_eq!(batch.blobs.len(), 2);
    let left = usable_bytes(2) - batch.payload.len();
    assert!(left < 2 * 1200, "{left} bytes are left, a block has about 1150");
    assert_eq!(unpack(&batch.blobs).unwrap(), batch.payload);
    assert_eq!(decode_blocks(&batch.payload, &PARENT).unwrap(), blocks);
}

/// Blocks that compress well go on being accepted beyond the size of the blobs, with few compressions of everything.
#[test]
fn redundant_blocks_fill_the_blobs_too() {
    let next = |at: &ParentRef| {
        let mut b = block(at, 10, 40, 1);
        for tx in &mut b.transactions {
            *tx = Bytes::from([tx.as_ref(), &[0x5a; 160]].concat());
        }
        b
    };
    let (builder, limit) = fill(BatchLimits { max_blobs: 1, ..WIDE }, next);
    assert_eq!(limit, Limit::Blobs);
    let blocks = builder.blocks().to_vec();
    let raw: usize = blocks.iter().flat_map(|b| &b.transactions).map(|tx| tx.len()).sum();
    assert!(raw > 2 * usable_bytes(1), "{raw} bytes of transactions in one blob");
    let batch = builder.finish().unwrap();
    assert!(batch.payload.len() <= usable_bytes(1));
    assert!(batch.payload.len() > usable_bytes(1) / 10 * 9, "{} bytes", batch.payload.len());
    assert_eq!(decode_blocks(&batch.payload, &PARENT).unwrap(), blocks);
}

#[test]
fn without_blobs_the_payload_is_kept_elsewhere() {
    let blocks = chain(&PARENT, 3, 2, 100_000, 1);
    let mut builder = BatchBuilder::new(BatchLimits { max_blobs: 0, ..WIDE });
    for block in &blocks {
        assert_eq!(builder.push(block), Ok(Push::Accepted));
    }
    let batch = builder.finish().unwrap();
    assert!(batch.blobs.is_empty());
    assert_eq!(decode_blocks(&batch.payload, &PARENT).unwrap(), blocks);
}

#[test]
fn the_body_is_bounded_too() {
    let mut zeros = block(&PARENT, 0, 0, 1);
    zeros.transactions = vec![Bytes::from(vec![1; 40 << 20])];
    let mut next = block(&ParentRef::from(&zeros), 0, 0, 1);
    next.transactions = zeros.transactions.clone();
    let mut builder = BatchBuilder::new(BatchLimits { max_blobs: 1, ..WIDE });
    assert_eq!(builder.push(&zeros), Ok(Push::Accepted));
    assert_eq!(builder.push(&next), Ok(Push::Full(Limit::Body)));
    let batch = builder.finish().unwrap();
    assert!(batch.payload.len() < 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// SEQ-INV-4, SEQ-INV-10: the bound holds at every step, the batch fits, its blocks come back, and the same
    /// pushes give the same bytes.
    #[test]
    fn any_blocks(blocks in vec(any_block(), 1..12), repeat in 1..60usize, max_blobs in 1..3usize) {
        let blocks = link(blocks.iter().cloned().cycle().take(blocks.len() * repeat).collect(), PARENT);
        let limits = BatchLimits { max_blobs, max_gas: u64::MAX, ..WIDE };
        let run = || {
            let mut builder = BatchBuilder::new(limits);
            let mut bounds = vec![];
            for block in &blocks {
                match builder.push(block).unwrap() {
                    Push::Accepted => bounds.push(builder.payload_bound()),
                    Push::Full(_) => break,
                    Push::TooLarge(limit) => panic!("{limit}"),
                }
            }
            (builder, bounds)
        };
        let (builder, bounds) = run();
        prop_assert!(bounds.iter().all(|bound| *bound <= usable_bytes(max_blobs)));
        let accepted = builder.blocks().to_vec();
        let batch = builder.finish().unwrap();
        prop_assert!(batch.payload.len() <= *bounds.last().unwrap());
        prop_assert_eq!(&unpack(&batch.blobs).unwrap(), &batch.payload);
        prop_assert_eq!(decode_blocks(&batch.payload, &PARENT).unwrap(), accepted);
        prop_assert_eq!(run().0.finish().unwrap(), batch);
    }
}
