//! Deposits (L1 to L2) and their rolling hash.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

/// Wei per gwei. Deposits are whole multiples of it because EIP-4895 counts in gwei.
pub const GWEI: u64 = 1_000_000_000;

/// A deposit as the bridge emitted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// Id given by the bridge, counting from 1 without gaps.
    pub id: u64,
    /// Account to credit on the L2.
    pub to: Address,
    /// Amount in wei, a multiple of [`GWEI`].
    pub amount: U256,
    /// The bridge's rolling hash after this deposit, low 32 bits zero.
    pub rolling_hash: B256,
    /// L1 block that holds the event.
    pub l1_block: u64,
    /// Hash of that L1 block.
    pub l1_block_hash: B256,
}

/// `keccak256(abi.encode(uint64 id, address to, uint256 amount))`, amount in wei.
#[must_use]
pub fn deposit_leaf(id: u64, to: Address, amount: U256) -> B256 {
    let mut buf = [0u8; 96];
    buf[24..32].copy_from_slice(&id.to_be_bytes());
    buf[44..64].copy_from_slice(to.as_slice());
    buf[64..].copy_from_slice(&amount.to_be_bytes::<32>());
    keccak256(buf)
}

/// The rolling hash after one more deposit: `keccak256(previous || leaf)` with the low 32 bits cleared.
///
/// The bridge keeps the L1 time of the deposit in those 32 bits of its storage slot and masks them out before
/// it goes on hashing, so that the hash does not depend on the time.
#[must_use]
pub fn next_deposits_hash(previous: B256, leaf: B256) -> B256 {
    let mut buf = [0u8; 64];
    buf[..28].copy_from_slice(&previous.0[..28]);
    buf[32..].copy_from_slice(leaf.as_slice());
    let mut out = keccak256(buf);
    out.0[28..].fill(0);
    out
}
