//! Public inputs, Rust against Solidity, with the contracts themselves on anvil: random deposits, headers, data in call
//! data, ranges and withdrawals. What the Rust side computes is what L1 stores, verifies and pays; anything else reverts.
//!
//! `ENSEMBLE_ANVIL=/path/to/anvil cargo nextest run -p ensemble --test public_inputs`. Without the variable the test
//! says so and passes. `ENSEMBLE_INPUTS_SEED=7 ENSEMBLE_INPUTS_ROUNDS=500` looks further.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use alloy_primitives::{Address, B256, Bytes, U256};
use common::{ATTESTER, Anvil, COMMITTER, LIMIT, World, account, client, number, run};
use ensemble::{
    account::{Account, AccountError, Call},
    config::DataAvailability,
};

use ensemble_batch::{
    BatchHeader, GWEI, L2Withdrawal, ProgramKey, PublicValues, WithdrawalTree, call_data_hash, deposit_leaf,
    next_deposits_hash,
};
use ensemble_contracts::{calls, events, returns};
use ensemble_l1::{BlockTag, TxReceipt};
use ensemble_prover::attestation::{self, AttestationDomain, AttestationKey};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;

/// Both sides of one rollup.
struct Sides {
    random: StdRng,
    world: World,
    sequencer: Account,
    user: Account,
    domain: AttestationDomain,
    key: AttestationKey,
    program: ProgramKey,
    /// Rolling hash and count of the deposits, by the Rust side.
    deposits: (B256, u64),
    /// Withdrawals so far.
    withdrawals: u64,
    /// Headers from genesis on, by the Rust side.
    headers: Vec<BatchHeader>,
    /// Withdrawals of each batch that is not verified.
    open: Vec<(usize, Vec<L2Withdrawal>)>,
    refused: u64,
    paid: u64,
    /// Batches with their data in call data.
    with_data: u64,
}

impl Sides {
    async fn new(seed: u64, anvil: Anvil) -> Self {
        let mut world =
            World::on_anvil_with(anvil, |config| config.committer.da = DataAvailability::None).await;
        let deployed = world.deploy().await;
        let block = world.l2().call("eth_getBlockByNumber", vec![json!("0x0"), json!(false)]).await.unwrap();
        let of = |field: &str| block[field].as_str().unwrap().parse().unwrap();
        let genesis = BatchHeader::genesis(
            deployed.l1_chain_id,
            deployed.proposer,
            deployed.l2_chain_id,
            of("stateRoot"),
            of("hash"),
        );
        let l1 = client(&world.l1_url());
        let look = async |data| l1.call(deployed.proposer, data, BlockTag::Latest).await.unwrap();
        let on_l1 = returns::b256(&look(calls::committed_hash(0)).await).unwrap();
        assert_eq!(on_l1, genesis.hash());
        let (backends, _) = returns::backends(&look(calls::backends()).await).unwrap();
        let program = backends[0].program_key;
        Self {
            random: StdRng::seed_from_u64(seed),
            sequencer: account(&world.l1_url(), COMMITTER.private_key).await,
            user: world.user_l1().await,
            domain: world.domain(),
            key: AttestationKey::from_hex(ATTESTER.private_key).unwrap(),
            program: ProgramKey(program),
            deposits: (B256::ZERO, 0),
            withdrawals: 0,
            headers: vec![genesis],
            open: Vec::new(),
            refused: 0,
            paid: 0,
            with_data: 0,
            world,
        }
    }

    fn proposer(&self) -> Address {
        self.world.deployment().proposer
    }

    fn bridge(&self) -> Address {
        self.world.deployment().bridge
    }

    fn word(&mut self) -> B256 {
        B256::from(self.random.r#gen::<[u8; 32]>())
    }

    async fn deposit(&mut self) {
        let to = Address::from(self.random.r#gen::<[u8; 20]>());
        let amount = U256::from(self.random.gen_range(1..=1_000_000_000_u64)) * U256::from(GWEI);
        let call = Call { to: Some(self.bridge()), value: amount, data: calls::deposit(to) };
        let receipt = self.user.transact(&call, LIMIT).await.unwrap();
        let log = &receipt.logs[0];
        let event = events::DepositInitiated::decode(&log.topics, &log.data).unwrap();
        let id = self.deposits.1 + 1;
        let hash = next_deposits_hash(self.deposits.0, deposit_leaf(id, to, amount));
        assert_eq!((event.deposit_id, event.rolling_hash), (id, hash), "{to} {amount}");
        self.deposits = (hash, id);
    }

    async fn commit(&mut self) {
        let number = self.headers.len() as u64;
        let count = *[0, 1, 2, 3, 5, 8, 13, 40].choose(&mut self.random).unwrap();
        let withdrawals: Vec<L2Withdrawal> = (0..count)
            .map(|index| L2Withdrawal {
                id: self.withdrawals + index,
                to: Address::from(self.random.r#gen::<[u8; 20]>()),
                amount: U256::from(self.random.gen_range(0..=u64::MAX >> 20)),
            })
            .collect();
        self.withdrawals += count;
        // Of any length and alignment, sometimes shorter than a word, sometimes with versioned hashes in it.
        let mut payload = vec![0; *[0, 0, 1, 31, 32, 33, 1_000, 20_000].choose(&mut self.random).unwrap()];
        self.random.fill(&mut payload[..]);
        for word in payload.chunks_exact_mut(32) {
            word[0] = 1;
        }
        let parent = self.headers.last().unwrap();
        let now = self.sequencer.client().block(BlockTag::Latest).await.unwrap().unwrap().timestamp;
        let header = BatchHeader {
            parent_hash: parent.hash(),
            sealed_at: now - self.random.gen_range(0..600),
            number,
            deposits_hash: self.deposits.0,
            deposits_index: self.deposits.1,
            blobs_hash: if payload.is_empty() { B256::ZERO } else { call_data_hash(&payload) },
            withdrawals_root: WithdrawalTree::new(&withdrawals).root(),
            state_root: self.word(),
            block_hash: self.word(),
        };
        let data = calls::commit_batch_with_data(&header, &payload);
        let call = Call { to: Some(self.proposer()), data, ..Call::default() };
        let receipt = self.sequencer.transact(&call, LIMIT).await.unwrap();
        let log = &receipt.logs[0];
        let event = events::BatchCommitted::decode(&log.topics, &log.data).unwrap();
        assert_eq!((event.number, event.hash), (number, header.hash()), "{header:?}");
        let mined = self.sequencer.client().transaction(receipt.transaction_hash).await.unwrap().unwrap();
        let read = calls::decode_commit_batch(&mined.input, header.parent_hash, &[]).unwrap();
        assert_eq!(read, (header.clone(), &payload[..]), "read back from L1");
        self.with_data += u64::from(!payload.is_empty());
        self.headers.push(header);
        self.open.push((usize::try_from(number).unwrap(), withdrawals));
    }

    async fn verify(&self, last: &BatchHeader, values: PublicValues) -> Result<TxReceipt, AccountError> {
        let proof = Bytes::from(attestation::sign(&self.key, &self.domain, self.program, &values).to_vec());
        let call = Call {
            to: Some(self.proposer()),
            data: calls::verify_batches(last, &[proof]),
            ..Call::default()
        };
        self.user.transact(&call, LIMIT).await
    }

    async fn refuses(&mut self, last: BatchHeader, values: PublicValues, what: &str, error: &str) {
        match self.verify(&last, values).await {
            Err(AccountError::WouldRevert(reason)) => {
                assert!(reason.contains(error), "{what}: {reason} instead of {error}");
            }
            other => panic!("{what}: {other:?}"),
        }
        self.refused += 1;
    }

    /// Verifies some of the open batches at once, after what must not go through.
    async fn verify_range(&mut self) {
        let count = self.random.gen_range(1..=self.open.len());
        let range: Vec<_> = self.open.drain(..count).collect();
        let (first, last) = (range[0].0, range[count - 1].0);
        let header = self.headers[last].clone();
        let values = PublicValues { from: self.headers[first - 1].hash(), to: header.hash() };

        let bit = self.random.gen_range(0..256_usize);
        let flip = |mut word: B256| {
            word.0[bit / 8] ^= 1 << (bit % 8);
            word
        };
        let other = "NotASigner";
        let from = PublicValues { from: flip(values.from), ..values };
        self.refuses(header.clone(), from, "another begin", other).await;
        let to = PublicValues { to: flip(values.to), ..values };
        self.refuses(header.clone(), to, "another end", other).await;
        let swapped = PublicValues { from: values.to, to: values.from };
        self.refuses(header.clone(), swapped, "begin and end swapped", other).await;
        if first > 1 {
            let longer = PublicValues { from: self.headers[first - 2].hash(), ..values };
            self.refuses(header.clone(), longer, "a batch too many", other).await;
        }
        if count > 1 {
            let shorter = PublicValues { from: self.headers[first].hash(), ..values };
            self.refuses(header.clone(), shorter, "a batch too few", other).await;
        }
        let mut changed = header.clone();
        let field = match self.random.gen_range(0..8) {
            0 => &mut changed.parent_hash,
            1 => &mut changed.state_root,
            2 => &mut changed.block_hash,
            3 => &mut changed.withdrawals_root,
            4 => &mut changed.deposits_hash,
            5 => &mut changed.blobs_hash,
            6 => {
                changed.deposits_index ^= 1 << (bit % 64);
                &mut B256::default()
            }
            _ => {
                changed.sealed_at ^= 1 << (bit % 64);
                &mut B256::default()
            }
        };
        *field = flip(*field);
        let values_of_changed = PublicValues { to: changed.hash(), ..values };
        self.refuses(changed, values_of_changed, "another header", "BatchHeaderMismatch").await;

        let receipt = self.verify(&header, values).await.unwrap();
        let log = &receipt.logs[0];
        let event = events::BatchesVerified::decode(&log.topics, &log.data).unwrap();
        assert_eq!((event.first, event.last, event.hash), (first as u64, last as u64, header.hash()));
        for (number, withdrawals) in range {
            self.claim_of(number, &withdrawals).await;
        }
    }

    /// Every withdrawal of a verified batch can be claimed, seen by `eth_call`; a changed one cannot. One is claimed.
    async fn claim_of(&mut self, number: usize, withdrawals: &[L2Withdrawal]) {
        let header = self.headers[number].clone();
        let tree = WithdrawalTree::new(withdrawals);
        let bridge = self.bridge();
        let client = self.user.client().clone();
        for (index, withdrawal) in withdrawals.iter().enumerate() {
            let proof = tree.proof(index as u64).unwrap();
            let data = |w: &L2Withdrawal, path, siblings: &[B256]| {
                calls::claim_withdrawal(&header, w.id, w.to, w.amount, path, siblings)
            };
            let good = data(withdrawal, proof.index, &proof.siblings);
            client.call(bridge, good.clone(), BlockTag::Latest).await.unwrap();

            let mut wrong = vec![
                data(
                    &L2Withdrawal { id: withdrawal.id + 1, ..withdrawal.clone() },
                    proof.index,
                    &proof.siblings,
                ),
                data(
                    &L2Withdrawal { amount: withdrawal.amount + U256::from(1), ..withdrawal.clone() },
                    proof.index,
                    &proof.siblings,
                ),
                data(
                    &L2Withdrawal { to: self.user.address(), ..withdrawal.clone() },
                    proof.index,
                    &proof.siblings,
                ),
                data(withdrawal, proof.index ^ (1 << proof.siblings.len()), &proof.siblings),
            ];
            if !proof.siblings.is_empty() {
                wrong.push(data(withdrawal, proof.index ^ 1, &proof.siblings));
                wrong.push(data(withdrawal, proof.index, &proof.siblings[1..]));
            }
            for data in wrong {
                let refused = client.call(bridge, data, BlockTag::Latest).await;
                let Err(ensemble_l1::L1Error::ExecutionReverted { data, .. }) = refused else {
                    panic!("batch {number}, withdrawal {index}: {refused:?}");
                };
                assert!(ensemble_contracts::errors::Revert::decode(&data).is("InvalidWithdrawalProof"));
                self.refused += 1;
            }
            if index == 0 {
                let before = client.balance(withdrawal.to).await.unwrap();
                let call = Call { to: Some(bridge), data: good, ..Call::default() };
                self.user.transact(&call, LIMIT).await.unwrap();
                assert_eq!(client.balance(withdrawal.to).await.unwrap(), before + withdrawal.amount);
                self.paid += 1;
            }
        }
    }
}

/// SEQ-INV-1, SEQ-INV-5, SEQ-INV-6: rolling hash of the deposits, hash of data in call data, header hash, chain of parents,
/// public values of one batch or many, attestation, withdrawals root and its proofs are the same in Rust and in the contracts, and nothing
/// that differs in one bit goes through.
#[test]
fn rust_and_solidity_agree_on_random_batches() {
    let Some(anvil) = Anvil::start_with(&[]) else { return };
    let (seed, rounds) = (number("ENSEMBLE_INPUTS_SEED", 1), number("ENSEMBLE_INPUTS_ROUNDS", 40));
    eprintln!("ENSEMBLE_INPUTS_SEED={seed} ENSEMBLE_INPUTS_ROUNDS={rounds}");
    run(async {
        let mut sides = Sides::new(seed, anvil).await;
        for _ in 0..rounds {
            for _ in 0..sides.random.gen_range(0..3) {
                sides.deposit().await;
            }
            sides.commit().await;
            if sides.random.gen_bool(0.4) {
                sides.verify_range().await;
            }
        }
        while !sides.open.is_empty() {
            sides.verify_range().await;
        }
        eprintln!(
            "{} deposits, {} batches, {} of them with data, {} withdrawals of which {} claimed, {} wrong inputs refused",
            sides.deposits.1, rounds, sides.with_data, sides.withdrawals, sides.paid, sides.refused
        );
        assert!(sides.with_data > 0 && sides.with_data < rounds, "with data and without");
        assert_eq!(sides.world.verified().await, rounds);
        assert!(sides.refused > rounds, "wrong inputs were tried");
    });
}
