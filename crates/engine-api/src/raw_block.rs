//! Blocks and transactions in RLP: what the sequencer has to read of them.

use alloy_primitives::{Address, B256, Bloom, Bytes, U256, b256, keccak256};
use alloy_rlp::{Decodable, Header};
use ensemble_batch::{SealedBlock, Withdrawal};

/// `sha256("")`, the `requestsHash` of a block without execution requests (EIP-7685).
const NO_REQUESTS: B256 = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

/// `keccak256(rlp([]))`, the `ommersHash` of a block without ommers (EIP-3675).
const NO_OMMERS: B256 = b256!("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");

/// Type byte of an EIP-4844 transaction.
const BLOB_TX_TYPE: u8 = 3;

/// Why a raw block is no [`SealedBlock`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RawBlockError {
    /// Not the RLP of a block that we know.
    Malformed(String),
    /// The block has execution requests, and those are not in it.
    HasRequests,
}

impl From<alloy_rlp::Error> for RawBlockError {
    fn from(e: alloy_rlp::Error) -> Self {
        Self::Malformed(format!("RLP: {e}"))
    }
}

/// Takes the payload of a list off the front of `buf`.
fn list<'a>(buf: &mut &'a [u8]) -> Result<&'a [u8], RawBlockError> {
    Ok(Header::decode_bytes(buf, true)?)
}

fn exhausted(buf: &[u8], what: &str) -> Result<(), RawBlockError> {
    if buf.is_empty() {
        Ok(())
    } else {
        Err(RawBlockError::Malformed(format!("{what} is followed by more data")))
    }
}

/// Decodes `rlp([header, transactions, ommers, withdrawals])` (EIP-4895) of a Cancun (20 header fields), Prague or
/// Osaka (21) block. The block hash is computed from the header; a difficulty, nonce or ommer is refused.
pub(crate) fn decode(bytes: &[u8]) -> Result<SealedBlock, RawBlockError> {
    let mut rest = bytes;
    let mut body = list(&mut rest)?;
    exhausted(rest, "the block")?;

    let header_start = body;
    let mut h = list(&mut body)?;
    let header_rlp = &header_start[..header_start.len() - body.len()];
    let parent_hash = B256::decode(&mut h)?;
    let ommers_hash = B256::decode(&mut h)?;
    let fee_recipient = Address::decode(&mut h)?;
    let state_root = B256::decode(&mut h)?;
    let _transactions_root = B256::decode(&mut h)?;
    let receipts_root = B256::decode(&mut h)?;
    let logs_bloom = Bloom::decode(&mut h)?;
    let difficulty = U256::decode(&mut h)?;
    let number = u64::decode(&mut h)?;
    let gas_limit = u64::decode(&mut h)?;
    let gas_used = u64::decode(&mut h)?;
    let timestamp = u64::decode(&mut h)?;
    let extra_data = Bytes::decode(&mut h)?;
    let prev_randao = B256::decode(&mut h)?;
    let nonce = <[u8; 8]>::decode(&mut h)?;
    let base_fee_per_gas = u64::decode(&mut h)?;
    let _withdrawals_root = B256::decode(&mut h)?;
    let blob_gas_used = u64::decode(&mut h)?;
    let excess_blob_gas = u64::decode(&mut h)?;
    let parent_beacon_block_root = B256::decode(&mut h)?;
    let requests_hash = if h.is_empty() { None } else { Some(B256::decode(&mut h)?) };
    exhausted(h, "the header")?;
    if ommers_hash != NO_OMMERS || !difficulty.is_zero() || nonce != [0; 8] {
        return Err(RawBlockError::Malformed("not a proof-of-stake block".into()));
    }
    if extra_data.len() > 32 {
        return Err(RawBlockError::Malformed("extra data above 32 bytes".into()));
    }
    if requests_hash.is_some_and(|hash| hash != NO_REQUESTS) {
        return Err(RawBlockError::HasRequests);
    }

    let mut txs = list(&mut body)?;
    let mut transactions = Vec::new();
    while !txs.is_empty() {
        let start = txs;
        let header = Header::decode(&mut txs)?;
        let (payload, next) =
            txs.split_at_checked(header.payload_length).ok_or(alloy_rlp::Error::InputTooShort)?;
        txs = next;
        // a legacy transaction is a list and stands as it is, a typed one (EIP-2718) is wrapped in a string
        let raw = if header.list { &start[..start.len() - next.len()] } else { payload };
        if raw.is_empty() {
            return Err(RawBlockError::Malformed("an empty transaction".into()));
        }
        transactions.push(Bytes::copy_from_slice(raw));
    }
    exhausted(list(&mut body)?, "the empty list of ommers")?;
    let mut items = list(&mut body)?;
    exhausted(body, "the list of withdrawals")?;
    let mut withdrawals = Vec::new();
    while !items.is_empty() {
        let mut w = list(&mut items)?;
        withdrawals.push(Withdrawal {
            index: u64::decode(&mut w)?,
            validator_index: u64::decode(&mut w)?,
            address: Address::decode(&mut w)?,
            amount_gwei: u64::decode(&mut w)?,
        });
        exhausted(w, "a withdrawal")?;
    }

    Ok(SealedBlock {
        parent_hash,
        fee_recipient,
        state_root,
        receipts_root,
        logs_bloom,
        prev_randao,
        number,
        gas_limit,
        gas_used,
        timestamp,
        extra_data,
        base_fee_per_gas,
        block_hash: keccak256(header_rlp),
        transactions,
        withdrawals,
        blob_gas_used,
        excess_blob_gas,
        parent_beacon_block_root,
        execution_requests: Vec::new(),
    })
}

/// The blob versioned hashes of all EIP-4844 transactions, in order: `expectedBlobVersionedHashes` of
/// `engine_newPayload`. Users can send such transactions to a client of the L2, and it may include them.
pub(crate) fn blob_versioned_hashes(transactions: &[Bytes]) -> Result<Vec<B256>, String> {
    let mut hashes = Vec::new();
    for tx in transactions {
        if let Some((&BLOB_TX_TYPE, body)) = tx.split_first() {
            hashes.extend(hashes_of(body).map_err(|e| format!("malformed blob transaction: {e}"))?);
        }
    }
    Ok(hashes)
}

fn hashes_of(mut tx_body: &[u8]) -> Result<Vec<B256>, alloy_rlp::Error> {
    /// Fields before `blob_versioned_hashes` (EIP-4844).
    const FIELDS_BEFORE: usize = 10;
    let mut fields = Header::decode_bytes(&mut tx_body, true)?;
    for _ in 0..FIELDS_BEFORE {
        let header = Header::decode(&mut fields)?;
        fields = fields.get(header.payload_length..).ok_or(alloy_rlp::Error::InputTooShort)?;
    }
    Vec::<B256>::decode(&mut fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEQ-INV-11: a seeded walk over broken blocks and transactions; what matters is that nothing panics and that
    /// what is accepted is a block.
    #[test]
    fn noise_is_an_error() {
        let seed = 0x5eed_u64;
        println!("seed {seed}");
        let mut state = B256::from(U256::from(seed));
        for round in 0..3000u32 {
            state = keccak256(state);
            let len = usize::from(state[0]) * 3;
            let mut bytes: Vec<u8> =
                (0..len).map(|i| state[i % 32] ^ (i as u8).wrapping_mul(state[1])).collect();
            if round % 2 == 0 {
                // lists within lists, as a block begins
                bytes.splice(0..0, [0xf9, state[2] & 3, state[3], 0xf9, state[4] & 1, state[5], 0xa0]);
            }
            assert!(decode(&bytes).is_err(), "seed {seed} round {round}");
            bytes.splice(0..0, [BLOB_TX_TYPE, 0xf8, state[6]]);
            if let Ok(hashes) = blob_versioned_hashes(&[Bytes::from(bytes)]) {
                assert!(hashes.len() < 32, "seed {seed} round {round}");
            }
        }
    }

    #[test]
    fn only_blob_transactions_have_hashes() {
        let none = [Bytes::from_static(&[2, 0xc0]), Bytes::from_static(&[0xf8, 1]), Bytes::new()];
        assert_eq!(blob_versioned_hashes(&none), Ok(vec![]));
        assert!(blob_versioned_hashes(&[Bytes::from_static(&[3])]).is_err());
    }

    #[test]
    fn constants() {
        assert_eq!(NO_OMMERS, keccak256([0xc0]));
        assert!(NO_REQUESTS.to_string().starts_with("0xe3b0c442"));
    }
}
