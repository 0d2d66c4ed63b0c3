//! Withdrawals (L2 to L1): leaves and their merkle tree.
//!
//! * leaf: `keccak256(keccak256(abi.encode(uint256 id, address to, uint256 amount)))`, amount in wei. Hashed twice, so
//!   that no inner node (64 bytes, hashed once) can be taken for a leaf.
//! * leaves in order of their id, then zero words up to the next power of two
//! * node: `keccak256(left || right)`
//! * the root of a single leaf is that leaf, its proof is empty; without leaves the root is zero
//!
//! Proofs are ordered by index, not by value: bit `i` of the index says whether the node at level `i` is the right
//! child.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

/// Most siblings of a proof; the bridge contract has the same bound.
pub const MAX_PROOF_LEN: usize = 32;

/// A withdrawal that an L2 user started on `CommonBridgeL2`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct L2Withdrawal {
    /// Id given by `CommonBridgeL2`, counting from 0 without gaps; indexes the claim bitmap on L1.
    pub id: u64,
    /// Receiver on L1.
    pub to: Address,
    /// Amount in wei.
    pub amount: U256,
}

impl L2Withdrawal {
    /// `keccak256(keccak256(abi.encode(uint256 id, address to, uint256 amount)))`.
    #[must_use]
    pub fn leaf(&self) -> B256 {
        let mut buf = [0u8; 96];
        buf[24..32].copy_from_slice(&self.id.to_be_bytes());
        buf[44..64].copy_from_slice(self.to.as_slice());
        buf[64..].copy_from_slice(&self.amount.to_be_bytes::<32>());
        keccak256(keccak256(buf))
    }
}

/// Proof that a leaf is at an index of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerkleProof {
    /// Index of the leaf, from 0. Read as bits it is the path: bit `i` is set when the node at level `i` is the right
    /// child.
    pub index: u64,
    /// Siblings from the leaf up.
    pub siblings: Vec<B256>,
}

impl MerkleProof {
    /// Whether `leaf` is at [`Self::index`] of the tree with this root. False for an index outside of a tree of this
    /// depth and for more than [`MAX_PROOF_LEN`] siblings.
    #[must_use]
    pub fn verify(&self, root: B256, leaf: B256) -> bool {
        if self.siblings.len() > MAX_PROOF_LEN || self.index >> self.siblings.len() != 0 {
            return false;
        }
        let mut node = leaf;
        for (level, sibling) in self.siblings.iter().enumerate() {
            node =
                if (self.index >> level) & 1 == 1 { parent(*sibling, node) } else { parent(node, *sibling) };
        }
        node == root
    }
}

fn parent(left: B256, right: B256) -> B256 {
    let mut buf = [0u8; 64];
    buf[..32].copy_from_slice(left.as_slice());
    buf[32..].copy_from_slice(right.as_slice());
    keccak256(buf)
}

/// The merkle tree of a batch's withdrawals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawalTree {
    ids: Vec<u64>,
    /// From the leaves (padded) to the root; empty without withdrawals.
    levels: Vec<Vec<B256>>,
}

impl WithdrawalTree {
    /// The tree of these withdrawals, whatever order they come in.
    #[must_use]
    pub fn new(withdrawals: &[L2Withdrawal]) -> Self {
        let mut sorted: Vec<&L2Withdrawal> = withdrawals.iter().collect();
        sorted.sort_by_key(|w| w.id);
        let mut leaves: Vec<B256> = sorted.iter().map(|w| w.leaf()).collect();
        let mut levels = Vec::new();
        if !leaves.is_empty() {
            leaves.resize(leaves.len().next_power_of_two(), B256::ZERO);
            while leaves.len() > 1 {
                let above = leaves.chunks_exact(2).map(|pair| parent(pair[0], pair[1])).collect();
                levels.push(std::mem::replace(&mut leaves, above));
            }
            levels.push(leaves);
        }
        Self { ids: sorted.iter().map(|w| w.id).collect(), levels }
    }

    /// The root; zero without withdrawals.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_default()
    }

    /// Number of withdrawals.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no withdrawals.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Index of the withdrawal with this id, `None` when it is not in the tree.
    #[must_use]
    pub fn index_of(&self, id: u64) -> Option<u64> {
        self.ids.binary_search(&id).ok().map(|index| index as u64)
    }

    /// Proof of the withdrawal at an index (order of ids), `None` past the last one.
    #[must_use]
    pub fn proof(&self, index: u64) -> Option<MerkleProof> {
        let at = usize::try_from(index).ok().filter(|at| *at < self.ids.len())?;
        let below_root = self.levels.len().checked_sub(1)?;
        let siblings =
            self.levels[..below_root].iter().zip(0..).map(|(row, level)| row[(at >> level) ^ 1]).collect();
        Some(MerkleProof { index, siblings })
    }

    /// Whether the proof shows that the withdrawal is in the tree with this root.
    #[must_use]
    pub fn verify(root: B256, withdrawal: &L2Withdrawal, proof: &MerkleProof) -> bool {
        proof.verify(root, withdrawal.leaf())
    }
}
