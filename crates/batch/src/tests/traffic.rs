//! Transactions as wallets make them, with real signatures, from a seed. Shared with `benches/data.rs`.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;

use alloy_consensus::{
    Signed, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy, transaction::SignableTransaction,
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip2930::{AccessList, AccessListItem},
    eip7702::Authorization,
};
use alloy_primitives::{Address, B256, Bloom, Bytes, Signature, TxKind, U256, keccak256};

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use secp256k1::{Message, SECP256K1, SecretKey};

use super::{ParentRef, SealedBlock, prev_randao};

/// Chain id of every transaction that has one.
pub const CHAIN_ID: u64 = 65_536_999;

/// What the transactions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// EIP-1559 transfers, no account in two of them.
    Distinct,
    /// EIP-1559 transfers among 64 accounts.
    Recurring,
    /// ERC-20 transfers of 8 tokens, between accounts of which none is in two of them.
    Tokens,
    /// All of the above among 2,000 accounts, a few of which are in most of them, with legacy, EIP-2930 and EIP-7702
    /// transactions, approvals, swaps and deployments.
    Mixed,
}

impl Traffic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Distinct, Self::Recurring, Self::Tokens, Self::Mixed];

    /// A name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Distinct => "distinct",
            Self::Recurring => "recurring",
            Self::Tokens => "tokens",
            Self::Mixed => "mixed",
        }
    }
}

struct Account {
    key: SecretKey,
    address: Address,
    nonce: u64,
}

/// What the fees of a transaction are.
#[derive(Clone, Copy)]
struct Fees {
    max: u128,
    tip: u128,
}

struct Maker {
    rng: ChaCha8Rng,
    accounts: Vec<Account>,
    tokens: Vec<Address>,
    /// Base fees of the last blocks, the newest last.
    base_fees: Vec<u64>,
}

/// A chain of `blocks` blocks with `per_block` transactions each behind `parent`. The same seed gives the same bytes.
pub fn blocks(
    traffic: Traffic,
    parent: ParentRef,
    blocks: usize,
    per_block: usize,
    seed: u64,
) -> Vec<SealedBlock> {
    let mut maker = Maker {
        rng: ChaCha8Rng::seed_from_u64(seed),
        accounts: Vec::new(),
        tokens: Vec::new(),
        base_fees: vec![50_000_000],
    };
    let accounts = match traffic {
        Traffic::Distinct | Traffic::Tokens => 0,
        Traffic::Recurring => 64,
        Traffic::Mixed => 2_000,
    };
    for _ in 0..accounts {
        maker.add_account();
    }
    maker.tokens = (0..8).map(|_| maker.rng.r#gen::<[u8; 20]>().into()).collect();
    let mut at = parent;
    (0..blocks)
        .map(|_| {
            let transactions: Vec<Bytes> = (0..per_block).map(|_| maker.transaction(traffic)).collect();
            let block = maker.block(&at, transactions, traffic);
            at = ParentRef::from(&block);
            block
        })
        .collect()
}

impl Maker {
    /// An account that has sent some transactions already: few have sent many.
    fn add_account(&mut self) -> usize {
        let key = SecretKey::from_slice(&self.rng.r#gen::<[u8; 32]>()).unwrap();
        let public = key.public_key(SECP256K1).serialize_uncompressed();
        let address = Address::from_slice(&keccak256(&public[1..])[12..]);
        let nonce = (self.rng.gen_range(0.0..7.6f64).exp() - 1.0) as u64;
        self.accounts.push(Account { key, address, nonce });
        self.accounts.len() - 1
    }

    fn account(&mut self, traffic: Traffic) -> usize {
        match traffic {
            Traffic::Distinct | Traffic::Tokens => self.add_account(),
            Traffic::Recurring => self.rng.gen_range(0..self.accounts.len()),
            Traffic::Mixed => {
                let share: f64 = self.rng.r#gen();
                (share.powi(3) * self.accounts.len() as f64) as usize
            }
        }
    }

    /// A maximum that a wallet offers: mostly twice the base fee that it saw and a tip of its own.
    fn fees(&mut self) -> Fees {
        let tip = *[0, 1_000_000, 1_000_000, 100_000_000, 1_000_000_000, 1_500_000_000, 1_500_000_000]
            .choose(&mut self.rng)
            .unwrap();
        let age = self.rng.gen_range(0..3).min(self.base_fees.len() - 1);
        let base = u128::from(self.base_fees[self.base_fees.len() - 1 - age]);
        let max = match self.rng.gen_range(0..10) {
            0..=7 => 2 * base + tip,
            8 => base * self.rng.gen_range(110..200) / 100 + tip,
            _ => self.rng.gen_range(2..10) * 1_000_000_000,
        };
        Fees { max, tip: tip.min(max) }
    }

    /// An amount in units of 10^-`decimals`: people choose few digits, programs and "send all" choose all of them.
    fn amount(&mut self, decimals: u32) -> u128 {
        let digits = match self.rng.gen_range(0..100) {
            0..=59 => self.rng.gen_range(1..=3),
            60..=84 => self.rng.gen_range(4..=8),
            _ => decimals + 1,
        };
        let mantissa = self.rng.gen_range(1..10u128.pow(digits.min(decimals + 1)));
        // between a thousandth and a thousand whole units
        let high = i64::from(decimals) + self.rng.gen_range(-3..=2i64);
        mantissa * 10u128.pow(u32::try_from(high - i64::from(digits) + 1).unwrap_or(0))
    }

    fn sign<T: SignableTransaction<Signature>>(&mut self, from: usize, tx: T) -> Signed<T> {
        let signature = sign(&self.accounts[from].key, tx.signature_hash());
        tx.into_signed(signature)
    }

    fn nonce(&mut self, from: usize) -> u64 {
        let account = &mut self.accounts[from];
        account.nonce += 1;
        account.nonce - 1
    }

    fn dynamic(
        &mut self,
        from: usize,
        to: TxKind,
        value: u128,
        gas_limit: u64,
        input: Vec<u8>,
    ) -> TxEnvelope {
        let Fees { max, tip } = self.fees();
        let tx = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.nonce(from),
            gas_limit,
            max_fee_per_gas: max,
            max_priority_fee_per_gas: tip,
            to,
            value: U256::from(value),
            access_list: AccessList::default(),
            input: input.into(),
        };
        self.sign(from, tx).into()
    }

    fn token(&mut self) -> Address {
        let share: f64 = self.rng.r#gen();
        self.tokens[(share.powi(2) * self.tokens.len() as f64) as usize]
    }

    fn transaction(&mut self, traffic: Traffic) -> Bytes {
        let from = self.account(traffic);
        let kind = match traffic {
            Traffic::Distinct | Traffic::Recurring => 0,
            Traffic::Tokens => 50,
            Traffic::Mixed => self.rng.gen_range(0..100),
        };
        let receiver = self.account(traffic);
        let receiver = self.accounts[receiver].address;
        let envelope: TxEnvelope = match kind {
            0..40 => {
                let value = self.amount(18);
                self.dynamic(from, receiver.into(), value, 21_000, vec![])
            }
            40..70 => {
                let (token, decimals) = (self.token(), if self.rng.gen_bool(0.6) { 6 } else { 18 });
                let amount = self.amount(decimals);
                let input = call("transfer(address,uint256)", &[receiver.into_word(), word(amount)]);
                let gas = self.rng.gen_range(45_000..66_000);
                self.dynamic(from, token.into(), 0, gas, input)
            }
            70..75 => {
                let (token, spender) = (self.token(), self.tokens[0]);
                let input = call("approve(address,uint256)", &[spender.into_word(), B256::repeat_byte(0xff)]);
                let gas = self.rng.gen_range(46_000..50_000);
                self.dynamic(from, token.into(), 0, gas, input)
            }
            75..85 => {
                let (a, b, me) = (self.token(), self.token(), self.accounts[from].address);
                let deadline = 1_790_000_000 + self.rng.gen_range(0..2_000);
                let words = [
                    word(self.amount(18)),
                    word(self.amount(18)),
                    word(0xa0),
                    me.into_word(),
                    word(deadline),
                    word(2),
                    a.into_word(),
                    b.into_word(),
                ];
                let signature = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)";
                let gas = self.rng.gen_range(120_000..220_000);
                let router = self.tokens[1];
                self.dynamic(from, router.into(), 0, gas, call(signature, &words))
            }
            85..93 => {
                let tx = TxLegacy {
                    chain_id: (kind != 92).then_some(CHAIN_ID),
                    nonce: self.nonce(from),
                    gas_price: self.fees().max,
                    gas_limit: 21_000,
                    to: receiver.into(),
                    value: U256::from(self.amount(18)),
                    input: Bytes::new(),
                };
                self.sign(from, tx).into()
            }
            93..95 => {
                let token = self.token();
                let list = AccessListItem {
                    address: token,
                    storage_keys: vec![keccak256(receiver), B256::with_last_byte(3)],
                };
                let tx = TxEip2930 {
                    chain_id: CHAIN_ID,
                    nonce: self.nonce(from),
                    gas_price: self.fees().max,
                    gas_limit: 70_000,
                    to: token.into(),
                    value: U256::ZERO,
                    access_list: AccessList(vec![list]),
                    input: call("transfer(address,uint256)", &[receiver.into_word(), word(1_000_000)]).into(),
                };
                self.sign(from, tx).into()
            }
            95..98 => {
                let nonce = self.nonce(from);
                let authorization = Authorization {
                    chain_id: U256::from(CHAIN_ID),
                    address: self.tokens[2],
                    nonce: nonce + 1,
                };
                let signature = sign(&self.accounts[from].key, authorization.signature_hash());
                let Fees { max, tip } = self.fees();
                let tx = TxEip7702 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit: 120_000,
                    max_fee_per_gas: max,
                    max_priority_fee_per_gas: tip,
                    to: self.accounts[from].address,
                    value: U256::ZERO,
                    access_list: AccessList::default(),
                    authorization_list: vec![authorization.into_signed(signature)],
                    input: call("execute(bytes)", &[word(0x20), word(0)]).into(),
                };
                self.sign(from, tx).into()
            }
            _ => {
                // code repeats itself; a third of it here does not
                let mut code = b"\x60\x80\x60\x40\x52\x34\x80\x15\x60\x0f\x57\x60\x00\x80\xfd\x5b".repeat(60);
                for at in (0..code.len()).step_by(3) {
                    code[at] = self.rng.r#gen();
                }
                self.dynamic(from, TxKind::Create, 0, 900_000, code)
            }
        };
        envelope.encoded_2718().into()
    }

    fn block(&mut self, parent: &ParentRef, transactions: Vec<Bytes>, traffic: Traffic) -> SealedBlock {
        let base_fee = self.base_fees[self.base_fees.len() - 1];
        self.base_fees.push(base_fee * self.rng.gen_range(960..=1040) / 1000);
        let number = parent.number + 1;
        let mut logs_bloom = Bloom::ZERO;
        if matches!(traffic, Traffic::Tokens | Traffic::Mixed) {
            transactions.iter().for_each(|tx| logs_bloom.accrue(alloy_primitives::BloomInput::Raw(tx)));
        }
        SealedBlock {
            parent_hash: parent.hash,
            fee_recipient: Address::repeat_byte(0xfe),
            state_root: self.rng.r#gen::<[u8; 32]>().into(),
            receipts_root: self.rng.r#gen::<[u8; 32]>().into(),
            logs_bloom,
            prev_randao: prev_randao(&parent.hash, 7),
            number,
            gas_limit: 30_000_000,
            gas_used: 21_000 * transactions.len() as u64,
            timestamp: 1_790_000_000 + number,
            extra_data: Bytes::new(),
            base_fee_per_gas: base_fee,
            block_hash: self.rng.r#gen::<[u8; 32]>().into(),
            transactions,
            withdrawals: vec![],
            blob_gas_used: 0,
            excess_blob_gas: 0,
            parent_beacon_block_root: B256::ZERO,
            execution_requests: vec![],
        }
    }
}

/// How many transactions there are of each EIP-2718 type; legacy ones count as type 0.
pub fn types(blocks: &[SealedBlock]) -> HashMap<u8, usize> {
    let mut counts = HashMap::new();
    for tx in blocks.iter().flat_map(|b| &b.transactions) {
        *counts.entry(if tx[0] >= 0xc0 { 0 } else { tx[0] }).or_default() += 1;
    }
    counts
}

fn sign(key: &SecretKey, hash: B256) -> Signature {
    let (id, rs) = SECP256K1.sign_ecdsa_recoverable(&Message::from_digest(hash.0), key).serialize_compact();
    Signature::from_bytes_and_parity(&rs, i32::from(id) == 1)
}

fn word(number: u128) -> B256 {
    U256::from(number).into()
}

fn call(signature: &str, words: &[B256]) -> Vec<u8> {
    let mut data = keccak256(signature)[..4].to_vec();
    words.iter().for_each(|word| data.extend_from_slice(word.as_slice()));
    data
}
