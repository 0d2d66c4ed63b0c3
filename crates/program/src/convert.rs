//! Sealed blocks as the execution crates see them.

use alloy_primitives::{Address, B256, Bloom};
use ensemble_batch::SealedBlock;
use ethrex_common::constants::DEFAULT_OMMERS_HASH;
use ethrex_common::types::requests::{EncodedRequests, compute_requests_hash};
use ethrex_common::types::{
    Block, BlockBody, BlockHeader, ChainConfig, Transaction, Withdrawal, compute_transactions_root,
    compute_withdrawals_root,
};
use ethrex_common::{H160, H256};
use ethrex_crypto::Crypto;

use crate::error::ProgramError;

pub(crate) fn h256(b: B256) -> H256 {
    H256(b.0)
}

pub(crate) fn b256(h: H256) -> B256 {
    B256::from(h.0)
}

fn h160(a: Address) -> H160 {
    H160(a.into_array())
}

fn bloom(b: &Bloom) -> ethrex_common::Bloom {
    ethrex_common::Bloom::from_slice(b.as_slice())
}

/// Re-builds the block, with the roots that the header commits to, and checks its hash.
pub(crate) fn block(
    sealed: &SealedBlock,
    config: &ChainConfig,
    crypto: &dyn Crypto,
) -> Result<Block, ProgramError> {
    let number = sealed.number;
    let timestamp = sealed.timestamp;
    if !config.is_cancun_activated(timestamp) || config.is_amsterdam_activated(timestamp) {
        return Err(ProgramError::UnsupportedFork { block: number, timestamp });
    }
    let transactions = transactions(sealed)?;
    let withdrawals: Vec<Withdrawal> = sealed
        .withdrawals
        .iter()
        .map(|w| Withdrawal {
            index: w.index,
            validator_index: w.validator_index,
            address: h160(w.address),
            amount: w.amount_gwei,
        })
        .collect();
    let header = BlockHeader {
        parent_hash: h256(sealed.parent_hash),
        ommers_hash: *DEFAULT_OMMERS_HASH,
        coinbase: h160(sealed.fee_recipient),
        state_root: h256(sealed.state_root),
        transactions_root: compute_transactions_root(&transactions, crypto),
        receipts_root: h256(sealed.receipts_root),
        logs_bloom: bloom(&sealed.logs_bloom),
        number,
        gas_limit: sealed.gas_limit,
        gas_used: sealed.gas_used,
        timestamp,
        extra_data: sealed.extra_data.0.clone(),
        prev_randao: h256(sealed.prev_randao),
        base_fee_per_gas: Some(sealed.base_fee_per_gas),
        withdrawals_root: Some(compute_withdrawals_root(&withdrawals, crypto)),
        blob_gas_used: Some(sealed.blob_gas_used),
        excess_blob_gas: Some(sealed.excess_blob_gas),
        parent_beacon_block_root: Some(h256(sealed.parent_beacon_block_root)),
        requests_hash: requests_hash(sealed, config)?,
        ..Default::default()
    };
    let computed = b256(*header.hash.get_or_init(|| header.compute_block_hash(crypto)));
    if computed != sealed.block_hash {
        return Err(ProgramError::BlockHash { block: number, claimed: sealed.block_hash, computed });
    }
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(withdrawals) };
    Ok(Block::new(header, body))
}

/// Decodes the transactions; each has to be in its one encoding, so that a client which is given the payload's bytes
/// builds the same block.
fn transactions(sealed: &SealedBlock) -> Result<Vec<Transaction>, ProgramError> {
    let decode = |(index, bytes): (usize, &alloy_primitives::Bytes)| {
        let refuse = |reason: String| ProgramError::Transaction { block: sealed.number, index, reason };
        match bytes.first() {
            // Legacy, EIP-2930, EIP-1559, EIP-4844, EIP-7702.
            Some(0xc0..=0xff | 1..=4) => {}
            Some(other) => {
                return Err(refuse(format!("type {other:#04x} is not an Ethereum transaction type")));
            }
            None => return Err(refuse("it is empty".to_owned())),
        }
        let transaction = Transaction::decode_canonical(bytes).map_err(|e| refuse(e.to_string()))?;
        if transaction.encode_canonical_to_vec() != bytes.as_ref() {
            return Err(refuse("it is not in its canonical encoding".to_owned()));
        }
        Ok(transaction)
    };
    sealed.transactions.iter().enumerate().map(decode).collect()
}

/// EIP-7685: each request has its type byte and data, types ascend; no requests before Prague.
fn requests_hash(sealed: &SealedBlock, config: &ChainConfig) -> Result<Option<H256>, ProgramError> {
    let refuse = |reason| ProgramError::RequestsForm { block: sealed.number, reason };
    let requests = &sealed.execution_requests;
    if !config.is_prague_activated(sealed.timestamp) {
        return if requests.is_empty() { Ok(None) } else { Err(refuse("there are none before Prague")) };
    }
    if requests.iter().any(|request| request.len() < 2) {
        return Err(refuse("a request without data is left out"));
    }
    if !requests.is_sorted_by(|a, b| a.first() < b.first()) {
        return Err(refuse("request types do not ascend"));
    }
    let encoded: Vec<_> = requests.iter().map(|request| EncodedRequests(request.0.clone())).collect();
    Ok(Some(compute_requests_hash(&encoded)))
}
