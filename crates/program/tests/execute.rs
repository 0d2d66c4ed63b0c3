//! Real blocks from the embedded node, through the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use alloy_primitives::{Address, B256, U256};
use common::{Content, L2, TWICE, signed, withdraw_call};
use ensemble_batch::{
    BatchHeader, GWEI, L2Withdrawal, ProgramKey, WithdrawalTree, blobs_hash, deposit_leaf,
    next_deposits_hash, versioned_hash,
};
use ensemble_node::COMMON_BRIDGE_L2;
use ensemble_program::{ProgramError, ProgramOutput, VerifyError, execute, verify_batch};

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);

/// Two batches in a row: transfers, deposits, withdrawals (direct, nested and reverted), an empty block, blobs.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_real_blocks_give_their_headers() {
    let mut l2 = L2::start().await;
    let mut first = Vec::new();
    first.push(l2.seal(Content { deposits: vec![(ALICE, 5), (BOB, 7)], ..Default::default() }).await);
    first.push(
        l2.seal(Content {
            transactions: vec![
                signed(0, 0, BOB, 11, vec![]),
                signed(1, 0, COMMON_BRIDGE_L2, 100, withdraw_call(ALICE)),
                signed(2, 0, COMMON_BRIDGE_L2, 0, withdraw_call(ALICE)),
                signed(3, 0, TWICE, 10, withdraw_call(BOB)),
            ],
            deposits: vec![(ALICE, 1)],
            ..Default::default()
        })
        .await,
    );
    first.push(l2.seal(Content::default()).await);
    let input = l2.batch(&l2.genesis, &first, true);
    let out = tokio::task::spawn_blocking({
        let input = input.clone();
        move || execute(&input).unwrap()
    })
    .await
    .unwrap();

    let last = &first[2].0;
    let receipts = receipts(&l2, 2).await;
    let mut withdrawals = Vec::new();
    for (status, to) in receipts {
        let (receiver, amounts): (Address, &[u64]) = if to == COMMON_BRIDGE_L2 && status {
            (ALICE, &[100])
        } else if to == TWICE {
            (BOB, &[5, 5])
        } else {
            continue;
        };
        for amount in amounts {
            let id = withdrawals.len() as u64;
            withdrawals.push(L2Withdrawal { id, to: receiver, amount: U256::from(*amount) });
        }
    }
    assert_eq!(
        withdrawals.len(),
        3,
        "one direct and two nested withdrawals, none from the reverted transaction"
    );
    let mut deposits_hash = B256::ZERO;
    for (id, (to, gwei)) in (1..).zip([(ALICE, 5u64), (BOB, 7), (ALICE, 1)]) {
        deposits_hash = next_deposits_hash(deposits_hash, deposit_leaf(id, to, U256::from(gwei * GWEI)));
    }
    let hashes: Vec<B256> = input.blobs.iter().map(|b| versioned_hash(&b.commitment)).collect();
    let expected = BatchHeader {
        parent_hash: l2.genesis.hash(),
        state_root: last.state_root,
        block_hash: last.block_hash,
        withdrawals_root: WithdrawalTree::new(&withdrawals).root(),
        deposits_hash,
        blobs_hash: blobs_hash(&hashes),
        number: 1,
        deposits_index: 3,
        sealed_at: input.sealed_at,
    };
    assert_eq!(out.header, expected);
    assert_eq!((out.public_values.from, out.public_values.to), (l2.genesis.hash(), expected.hash()));
    assert_eq!((out.blocks, out.transactions), (3, 4));
    assert_eq!(out.gas_used, first.iter().map(|(b, _)| b.gas_used).sum::<u64>());
    assert_eq!(out.program_key, ProgramKey::exec(std::str::from_utf8(&l2.chain_config).unwrap()));
    common::check_guest("three blocks", &input, out.program_key, &Ok(out.clone()));

    // The next batch goes on where this one ends; without blobs this time.
    let second = vec![
        l2.seal(Content {
            transactions: vec![signed(0, 1, COMMON_BRIDGE_L2, 3, withdraw_call(BOB))],
            deposits: vec![(BOB, 2)],
            ..Default::default()
        })
        .await,
    ];
    let input = l2.batch(&out.header, &second, false);
    let next = execute(&input).unwrap();
    assert_eq!(next.public_values.from, out.public_values.to);
    assert_eq!((next.header.number, next.header.deposits_index), (2, 4));
    assert_eq!(next.header.blobs_hash, B256::ZERO);
    assert_eq!(
        next.header.deposits_hash,
        next_deposits_hash(deposits_hash, deposit_leaf(4, BOB, U256::from(2 * GWEI)))
    );
    let fourth = L2Withdrawal { id: 3, to: BOB, amount: U256::from(3) };
    assert_eq!(next.header.withdrawals_root, fourth.leaf());
    assert_eq!(verify_batch(&input, &next.header), Ok(next.clone()));
    let mut wrong = next.header.clone();
    wrong.state_root = B256::ZERO;
    match verify_batch(&input, &wrong) {
        Err(VerifyError::Mismatch(fields)) => {
            assert_eq!(fields.len(), 1);
            assert_eq!(
                (fields[0].field, &fields[0].computed),
                ("state_root", &next.header.state_root.to_string())
            );
        }
        other => panic!("{other:?}"),
    }
    l2.node.shutdown().await.unwrap();
}

/// Success and receiver of each transaction of a block, in order.
async fn receipts(l2: &L2, block: u64) -> Vec<(bool, Address)> {
    let receipts = l2.node.call("eth_getBlockReceipts", vec![format!("{block:#x}").into()]).await.unwrap();
    let one = |r: &serde_json::Value| (r["status"] == "0x1", r["to"].as_str().unwrap().parse().unwrap());
    receipts.as_array().unwrap().iter().map(one).collect()
}

/// SEQ-INV-1: blocks whose deposits are not exactly the next ones have no public values, valid as they are otherwise.
#[tokio::test]
async fn deposits_out_of_order_have_no_public_values() {
    let order = |expected, found| ProgramError::DepositIndex { block: 1, expected, found };
    let attempts = [
        ("gap", [(2, 0), (3, 0)], order(1, 2)),
        ("repeated", [(1, 0), (1, 0)], order(2, 1)),
        ("swapped", [(2, 0), (1, 0)], order(1, 2)),
        ("zero", [(0, 0), (1, 0)], order(1, 0)),
        ("validator", [(1, 0), (2, 9)], ProgramError::DepositValidator { block: 1, id: 2, found: 9 }),
    ];
    let mut l2 = L2::start().await;
    let start = l2.head;
    for (name, ids, expected) in attempts {
        (l2.head, l2.deposits_index) = (start, 0);
        let deposits = vec![(ALICE, 5), (BOB, 7)];
        let block = l2.seal(Content { deposits, ids: Some(ids.to_vec()), ..Default::default() }).await;
        let refused = execute(&l2.batch(&l2.genesis, &[block], false)).unwrap_err();
        assert_eq!(refused, expected, "{name}");
    }
    (l2.head, l2.deposits_index) = (start, 0);
    let block = l2.seal(Content { prev_randao: Some(B256::repeat_byte(1)), ..Default::default() }).await;
    let refused = execute(&l2.batch(&l2.genesis, &[block], false)).unwrap_err();
    assert!(matches!(refused, ProgramError::PrevRandao { block: 1, .. }), "{refused}");
    l2.node.shutdown().await.unwrap();
}

/// A batch of several blobs, and the time it takes. `cargo test -p ensemble-program -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; run it alone"]
#[allow(clippy::print_stdout)]
async fn timings() {
    let mut l2 = L2::start().await;
    let mut blocks = vec![l2.seal(Content::default()).await];
    let mut nonces = [0u64; 10];
    for _ in 0..2 {
        let mut transactions = Vec::new();
        for i in 0..1000usize {
            let to = Address::left_padding_from(&(i as u64 + 1000).to_be_bytes());
            transactions.push(signed(i % 10, nonces[i % 10], to, 1, vec![]));
            nonces[i % 10] += 1;
        }
        blocks.push(l2.seal(Content { transactions, ..Default::default() }).await);
    }
    let run = |name: &str, input: &ensemble_batch::BatchInput| -> ProgramOutput {
        let begin = std::time::Instant::now();
        let out = execute(input).unwrap();
        println!(
            "{name}: {} blocks, {} transactions, payload {} B, {} blobs, witnesses {} B: {:.1} ms",
            out.blocks,
            out.transactions,
            input.da_payload.len(),
            input.blobs.len(),
            input.witnesses.iter().map(|w| w.len()).sum::<usize>(),
            begin.elapsed().as_secs_f64() * 1e3
        );
        out
    };
    let empty = l2.batch(&l2.genesis, &blocks[..1], false);
    run("empty block, first run", &empty);
    let out = run("empty block", &empty);
    let load = std::time::Instant::now();
    c_kzg::ethereum_kzg_settings(0);
    println!("KZG settings, precompute 0: {:.1} ms", load.elapsed().as_secs_f64() * 1e3);
    run("empty block and blob", &l2.batch(&l2.genesis, &blocks[..1], true));
    run("1000 transfers", &l2.batch(&out.header, &blocks[1..2], false));
    run("2000 transfers", &l2.batch(&out.header, &blocks[1..], false));
    let with_blobs = run("2000 transfers and blobs", &l2.batch(&out.header, &blocks[1..], true));
    assert_eq!(with_blobs.transactions, 2000);
    l2.node.shutdown().await.unwrap();
}
