// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice Everything a batch commits to. Only its hash is stored: `keccak256(abi.encode(header))`, nine words in
/// this order. A header holds its parent's hash, so one hash pins the history back to the genesis header, which
/// pins L1 chain id, proposer address and L2 chain id. `crates/batch/src/header.rs` is the same in Rust.
struct BatchHeader {
    /// Hash of the previous batch's header.
    bytes32 parentHash;
    /// L2 state root after the batch.
    bytes32 stateRoot;
    /// Hash of the batch's last L2 block.
    bytes32 blockHash;
    /// Root of the batch's withdrawals tree, zero when it has none.
    bytes32 withdrawalsRoot;
    /// Rolling hash of the deposits after the batch, low 32 bits zero.
    bytes32 depositsHash;
    /// keccak256 of the concatenated EIP-4844 versioned hashes of the batch's blobs. With the data in call data instead,
    /// the complement of its keccak256. Zero without data.
    bytes32 blobsHash;
    /// Batch number, from 1. 0 is the genesis header.
    uint64 number;
    /// Id of the last deposit included up to and with this batch.
    uint64 depositsIndex;
    /// Unix seconds at which the sequencer sealed the batch. Declared, and checked against L1's clock at commit,
    /// instead of given by L1: so the header is known, and can be proven, before the commit is mined.
    uint64 sealedAt;
}

/// @notice The hash of a header in call data, `keccak256(abi.encode(header))` without encoding it: all its fields
/// are whole words in the order of the encoding.
/// @dev Words with bits above the width of their type hash to something that no stored hash equals.
function hashCalldata(BatchHeader calldata header) pure returns (bytes32 hash) {
    assembly ("memory-safe") {
        let ptr := mload(0x40)
        calldatacopy(ptr, header, 0x120)
        hash := keccak256(ptr, 0x120)
    }
}

/// @notice The hash of a header in memory, `keccak256(abi.encode(header))`.
function hashMemory(BatchHeader memory header) pure returns (bytes32 hash) {
    assembly ("memory-safe") {
        hash := keccak256(header, 0x120)
    }
}

/// @notice A proof system that the proposer may ask, for the batches `first` to `last`.
struct Backend {
    /// Contract that checks the proofs. `SKIPPED_VERIFIER` is a place holder that is never called.
    address verifier;
    /// Whether no batch of its range is verified without this backend's proof.
    bool required;
    /// Number of the first batch that it proves. 0 and 1 mean from the beginning.
    uint40 first;
    /// Number of the last batch that it proves, 0 for no end.
    uint40 last;
    /// The program that must have been proven: verification key or image id, as the verifier means it.
    bytes32 programKey;
}

/// @notice Who may do what on the proposer.
struct Accounts {
    /// Holds DEFAULT_ADMIN_ROLE.
    address admin;
    /// Holds GUARDIAN_ROLE.
    address guardian;
    /// Commits.
    address sequencer;
    /// Verifies, when DEV_MODE goes without proofs.
    address prover;
}

/// @notice The L2's start.
struct Genesis {
    uint256 l2ChainId;
    bytes32 stateRoot;
    bytes32 blockHash;
}

// The verifier address that means "this backend is skipped". Refused without DEV_MODE.
address constant SKIPPED_VERIFIER = address(0xAA);

/// @notice Checks proofs of one proof system.
interface IProofVerifier {
    /// @notice Reverts unless `proof` proves that program `programKey` ended with `publicValues`.
    function verify(bytes32 programKey, bytes calldata publicValues, bytes calldata proof) external view;
}

/// @notice What the proposer needs from the bridge.
interface IDepositQueue {
    /// @notice The rolling hash after deposit `index` (low 32 bits zero), and the L1 time in Unix seconds of
    /// deposit `index + 1`, or 0 when there is none yet. Reverts for a deposit that does not exist.
    function depositCheckpoint(uint64 index) external view returns (bytes32 rollingHash, uint64 nextDepositAt);
}

/// @notice What the bridge needs from the proposer.
interface IVerifiedBatches {
    /// @notice The header hash of batch `number`. Reverts unless the batch is verified.
    function verifiedHash(uint256 number) external view returns (bytes32);
}
