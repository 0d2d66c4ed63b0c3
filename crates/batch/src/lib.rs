//! Batch and blob encoding, commitments, public inputs: pure functions.
//!
//! Everything that L1, the sequencer and the proven program must agree on to the byte is defined here, once. The
//! formats are described byte by byte in [`codec`] (the batch payload), [`blob`] (its packing into blobs) and at
//! [`WithdrawalTree`], [`BatchHeader`] and the deposit functions.

pub mod blob;
mod block;
#[cfg(feature = "encode")]
mod builder;
pub mod codec;
mod deposits;
mod header;
mod input;
mod withdrawals;

#[cfg(all(test, feature = "encode"))]
mod tests;

pub use blob::{
    BLOB_BYTES, Blob, BlobError, blobs_hash, blobs_needed, call_data_hash, pack, unpack, usable_bytes,
    versioned_hash,
};
pub use block::{SealedBlock, Withdrawal, deposits_index_of, prev_randao};
#[cfg(feature = "encode")]
pub use builder::{BatchBuilder, BatchLimits, EncodedBatch, Limit, Push};
#[cfg(feature = "encode")]
pub use codec::encode_blocks;
pub use codec::{CodecError, ParentRef, decode_blocks};
pub use deposits::{Deposit, GWEI, deposit_leaf, next_deposits_hash};
pub use header::{BatchHeader, PublicValues};
pub use input::{BatchInput, BlobProof, GuestMarkError, ProgramKey};
pub use withdrawals::{L2Withdrawal, MAX_PROOF_LEN, MerkleProof, WithdrawalTree};
