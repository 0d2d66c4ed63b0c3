//! The batch header, its hash chain, and the public values of a proof.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

/// Everything a batch commits to. L1 stores only its hash; it holds the parent's hash, so one hash pins the
/// whole history back to the genesis header, which pins L1 chain id, proposer address and L2 chain id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchHeader {
    /// Hash of the previous batch's header.
    pub parent_hash: B256,
    /// L2 state root after the batch.
    pub state_root: B256,
    /// Hash of the batch's last L2 block.
    pub block_hash: B256,
    /// Root of the batch's withdrawals tree, zero when it has none.
    pub withdrawals_root: B256,
    /// Deposits rolling hash after the batch (low 32 bits zero).
    pub deposits_hash: B256,
    /// `keccak256` of the concatenated EIP-4844 versioned hashes of the batch's blobs ([`crate::blobs_hash`]), or
    /// [`crate::call_data_hash`] of its payload; zero when its data is not on L1.
    pub blobs_hash: B256,
    /// Batch number, from 1; 0 is the genesis header.
    pub number: u64,
    /// Id of the last deposit included up to and with this batch.
    pub deposits_index: u64,
    /// Unix seconds at which the sequencer sealed the batch; L1 checks it against its own clock at commit.
    pub sealed_at: u64,
}

impl BatchHeader {
    /// Bytes of [`Self::abi_encode`].
    pub const ENCODED_LEN: usize = 9 * 32;

    /// The header of batch 0, as `OnChainProposer.initialize` stores it.
    #[must_use]
    pub fn genesis(
        l1_chain_id: u64,
        proposer: Address,
        l2_chain_id: u64,
        state_root: B256,
        block_hash: B256,
    ) -> Self {
        let mut domain = [0u8; 96];
        domain[24..32].copy_from_slice(&l1_chain_id.to_be_bytes());
        domain[44..64].copy_from_slice(proposer.as_slice());
        domain[88..].copy_from_slice(&l2_chain_id.to_be_bytes());
        Self {
            parent_hash: keccak256(domain),
            state_root,
            block_hash,
            withdrawals_root: B256::ZERO,
            deposits_hash: B256::ZERO,
            blobs_hash: B256::ZERO,
            number: 0,
            deposits_index: 0,
            sealed_at: 0,
        }
    }

    /// Solidity's `abi.encode(header)`: nine static words.
    #[must_use]
    pub fn abi_encode(&self) -> [u8; Self::ENCODED_LEN] {
        let mut out = [0u8; Self::ENCODED_LEN];
        let words = [
            self.parent_hash,
            self.state_root,
            self.block_hash,
            self.withdrawals_root,
            self.deposits_hash,
            self.blobs_hash,
            B256::from(U256::from(self.number)),
            B256::from(U256::from(self.deposits_index)),
            B256::from(U256::from(self.sealed_at)),
        ];
        for (slot, word) in out.chunks_exact_mut(32).zip(words) {
            slot.copy_from_slice(word.as_slice());
        }
        out
    }

    /// `keccak256(abi.encode(header))`, the one word L1 stores per batch.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(self.abi_encode())
    }
}

/// What every proof proves: the chain of headers leads from `from` to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublicValues {
    /// Hash of the last header before the proven range.
    pub from: B256,
    /// Hash of the last header of the proven range.
    pub to: B256,
}

impl PublicValues {
    /// What proofs of consecutive ranges prove together: each must begin where the one before ends. None when one does
    /// not, or there is none.
    #[must_use]
    pub fn join(parts: &[Self]) -> Option<Self> {
        let (first, last) = (parts.first()?, parts.last()?);
        let follows = parts.windows(2).all(|pair| pair[0].to == pair[1].from);
        follows.then_some(Self { from: first.from, to: last.to })
    }

    /// `abi.encode(bytes32 from, bytes32 to)`.
    #[must_use]
    pub fn abi_encode(&self) -> [u8; 64] {
        let mut out = [0u8; 64];
        out[..32].copy_from_slice(self.from.as_slice());
        out[32..].copy_from_slice(self.to.as_slice());
        out
    }
}
