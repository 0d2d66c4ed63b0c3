// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {
    AccessControlUpgradeable
} from "@openzeppelin/contracts-upgradeable/access/AccessControlUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {
    Accounts,
    Backend,
    BatchHeader,
    Genesis,
    IDepositQueue,
    IProofVerifier,
    IVerifiedBatches,
    SKIPPED_VERIFIER,
    hashCalldata,
    hashMemory
} from "./Types.sol";

/// @title The L2's batches as L1 sees them: committed, then verified.
/// @notice A batch is one storage slot, the hash of its header. Every proof has the same public values, the header
/// hash before the proven range and the header hash at its end, whether it proves one batch or a thousand.
///
/// Forced inclusion: a batch range whose last batch leaves a deposit waiting for more than MAX_DEPOSIT_WAIT cannot
/// be verified; governance has to revert such batches, and the sequencer to commit others that hold the deposit.
/// The commit itself does not ask the bridge: that would add a call and three cold storage reads (about 12k gas) to
/// every commit, and a commit gives nobody anything before it is verified.
/// @dev Roles: DEFAULT_ADMIN_ROLE (meant for a timelock) upgrades, configures, reverts batches, resumes and gives
/// roles; GUARDIAN_ROLE may only pause. The sequencer is a plain address in the hot slot, not a role, because every
/// commit checks it.
contract OnChainProposer is AccessControlUpgradeable, UUPSUpgradeable, IVerifiedBatches {
    /// A backend in storage, as Solidity packs its fields: from the lowest bit on verifier (160 bits), required (8),
    /// first (40), last (40). Read and written as one word, in one place each.
    struct PackedBackend {
        uint256 packed;
        bytes32 programKey;
    }

    /// @notice May pause, and nothing else.
    bytes32 public constant GUARDIAN_ROLE = keccak256("GUARDIAN_ROLE");
    /// A batch has at most this many blobs.
    uint256 private constant MAX_BLOBS = 16;
    /// Bytes of the selector and the arguments of `commitBatch`.
    uint256 private constant COMMIT_LENGTH = 4 + 7 * 32;
    /// There are at most this many proof backends.
    uint256 private constant MAX_BACKENDS = 15;
    // Of `PackedBackend.packed`.
    uint256 private constant REQUIRED = 1 << 160;
    uint256 private constant FIRST_SHIFT = 168;
    uint256 private constant LAST_SHIFT = 208;

    /// @notice The CommonBridge that holds this L2's deposits.
    IDepositQueue public immutable BRIDGE;
    /// @notice Whether batches may go without proofs, when no backend is configured. Never on a network of worth.
    bool public immutable DEV_MODE;
    /// @notice Whether a batch must carry its data, in blobs or in call data. False means validium: data is available
    /// elsewhere.
    bool public immutable REQUIRE_BLOBS;
    /// @notice Seconds that a deposit may wait before batches without it cannot be verified.
    uint64 public immutable MAX_DEPOSIT_WAIT;
    /// @notice Seconds that may lie between the seal of a batch and its commit.
    uint64 public immutable SEAL_WINDOW;

    // One slot: all that a commit and a verification read and write besides the batches' hashes and the backends.
    address private _sequencer;
    uint40 private _lastCommitted;
    uint40 private _lastVerified;
    bool private _paused;
    /// High four bits: number of backends. Low four bits: threshold.
    uint8 private _policy;

    address private _prover;
    /// Entries from the number of backends on are of earlier policies, and void.
    mapping(uint256 index => PackedBackend) private _backends;
    /// Hash of the header of batch `number`. Entries above `_lastCommitted` are of reverted batches, and void.
    mapping(uint256 number => bytes32) private _batchHash;

    /// @notice A batch was committed.
    event BatchCommitted(uint256 indexed number, bytes32 indexed hash, bytes32 stateRoot);
    /// @notice The batches `first` to `last` were verified. `hash` is the header hash of `last`.
    event BatchesVerified(uint256 indexed first, uint256 indexed last, bytes32 hash);
    /// @notice The batches `first` to `last` were taken back.
    event BatchesReverted(uint256 indexed first, uint256 indexed last);
    /// @notice Another account commits.
    event SequencerChanged(address indexed sequencer);
    /// @notice Another account may verify without proofs in DEV_MODE.
    event ProverChanged(address indexed prover);
    /// @notice The proof policy changed: so many backends, so many proofs needed. `backends()` has the rest.
    event BackendsChanged(uint256 backends, uint8 threshold);
    /// @notice Commits and verifications stopped.
    event Paused(address account);
    /// @notice Commits and verifications go on.
    event Unpaused(address account);

    /// @notice The contract is paused.
    error EnforcedPause();
    /// @notice The contract is not paused.
    error ExpectedPause();
    /// @notice An address must not be zero here.
    error ZeroAddress();
    /// @notice Only the sequencer commits.
    error NotSequencer(address account);
    /// @notice Without proofs, only the prover verifies.
    error NotProver(address account);
    /// @notice Batches are committed in order. Most often the batch was committed before.
    error UnexpectedBatchNumber(uint256 expected, uint256 actual);
    /// @notice The transaction carries neither blobs nor data behind its arguments.
    error BlobsMissing();
    /// @notice The transaction carries more blobs than a batch may have.
    error TooManyBlobs();
    /// @notice The batch was sealed in the future, or too long ago.
    error SealTimeOutOfWindow(uint64 sealedAt, uint256 blockTime);
    /// @notice The batch is not one that is committed and waits for its verification.
    error BatchNotVerifiable(uint256 number, uint256 lastVerified, uint256 lastCommitted);
    /// @notice The header is not that of the committed batch with its number.
    error BatchHeaderMismatch(bytes32 expected, bytes32 actual);
    /// @notice The header's deposits are not those of the bridge.
    error DepositsHashMismatch(bytes32 expected, bytes32 actual);
    /// @notice The batch leaves out a deposit that waited for too long.
    error DepositOverdue(uint64 depositId, uint64 depositedAt);
    /// @notice A required backend has no proof.
    error RequiredProofMissing(uint256 backend);
    /// @notice Fewer backends have a proof than the threshold asks for.
    error TooFewProofs(uint256 given, uint256 threshold);
    /// @notice More proofs than backends, or a proof for a skipped backend or for one of other batches.
    error UnexpectedProof(uint256 index);
    /// @notice A backend proves a part of the range only. Verify up to `boundary` first, which is its last batch or
    /// the one before its first.
    error RangeCrossesBoundary(uint256 backend, uint256 boundary);
    /// @notice Only batches that are committed and not verified can be reverted.
    error BatchesNotRevertible(uint256 lastToKeep, uint256 lastVerified, uint256 lastCommitted);
    /// @notice There is no such batch.
    error BatchNotCommitted(uint256 number, uint256 lastCommitted);
    /// @notice The batch is not verified.
    error BatchNotVerified(uint256 number, uint256 lastVerified);
    /// @notice No backend is configured, or only skipped ones: allowed in DEV_MODE only.
    error NoBackends();
    /// @notice There are more backends than MAX_BACKENDS.
    error TooManyBackends();
    /// @notice A skipped backend is allowed in DEV_MODE only, and cannot be required.
    error SkippedBackendNotAllowed(uint256 index);
    /// @notice There is no code at the verifier's address.
    error VerifierWithoutCode(address verifier);
    /// @notice The threshold must lie between 1 and the number of backends, not skipped, that prove batch `number`
    /// (0 when every backend is skipped).
    error InvalidThreshold(uint256 threshold, uint256 backends, uint256 number);
    /// @notice The backend's last batch is before its first.
    error InvalidBackendRange(uint256 index);

    constructor(
        IDepositQueue bridge,
        bool devMode,
        bool requireBlobs,
        uint64 maxDepositWait,
        uint64 sealWindow
    ) {
        if (address(bridge) == address(0)) revert ZeroAddress();
        BRIDGE = bridge;
        DEV_MODE = devMode;
        REQUIRE_BLOBS = requireBlobs;
        MAX_DEPOSIT_WAIT = maxDepositWait;
        SEAL_WINDOW = sealWindow;
        _disableInitializers();
    }

    /// @notice Called once, by the proxy's constructor.
    /// @param threshold How many backends must have a proof, see `setBackends`.
    function initialize(
        Accounts calldata accounts,
        Genesis calldata genesis,
        Backend[] calldata backends_,
        uint8 threshold
    ) external initializer {
        _requireAccount(accounts.admin);
        _requireAccount(accounts.guardian);
        _grantRole(DEFAULT_ADMIN_ROLE, accounts.admin);
        _grantRole(GUARDIAN_ROLE, accounts.guardian);
        _setSequencer(accounts.sequencer);
        _setProver(accounts.prover);
        _setBackends(backends_, threshold);

        BatchHeader memory header;
        header.parentHash = keccak256(abi.encode(block.chainid, address(this), genesis.l2ChainId));
        header.stateRoot = genesis.stateRoot;
        header.blockHash = genesis.blockHash;
        _batchHash[0] = hashMemory(header);
    }

    // ------------------------------------------------------------------------------------------- commit, verify

    /// @notice Commits batch `number`, which must be the next one. For the sequencer only.
    /// The transaction's blobs are the batch's data. A transaction without blobs may have the data behind the arguments
    /// in its call data. Parameters as in `BatchHeader`.
    function commitBatch(
        bytes32 stateRoot,
        bytes32 blockHash,
        bytes32 withdrawalsRoot,
        bytes32 depositsHash,
        uint64 depositsIndex,
        uint64 sealedAt,
        uint40 number
    ) external {
        if (msg.sender != _sequencer) revert NotSequencer(msg.sender);
        _requireNotPaused();
        uint256 previous = _lastCommitted;
        uint256 expected = previous + 1;
        if (number != expected) revert UnexpectedBatchNumber(expected, number);
        if (sealedAt > block.timestamp || block.timestamp - sealedAt > SEAL_WINDOW) {
            revert SealTimeOutOfWindow(sealedAt, block.timestamp);
        }

        bytes32 hash = hashMemory(
            BatchHeader({
                parentHash: _batchHash[previous],
                stateRoot: stateRoot,
                blockHash: blockHash,
                withdrawalsRoot: withdrawalsRoot,
                depositsHash: depositsHash,
                blobsHash: _blobsHash(),
                number: number,
                depositsIndex: depositsIndex,
                sealedAt: sealedAt
            })
        );
        _batchHash[expected] = hash;
        _lastCommitted = number;
        emit BatchCommitted(number, hash, stateRoot);
    }

    /// @notice Verifies every batch after the last verified one up to `last`, with one proof per backend.
    /// Anybody may send it, except that without backends (DEV_MODE) only the prover may.
    /// @param last The header of the last batch of the range.
    /// @param proofs `proofs[i]` is for backend i. Empty, or left off at the end: not given.
    function verifyBatches(BatchHeader calldata last, bytes[] calldata proofs) external {
        _requireNotPaused();
        uint256 from = _lastVerified;
        uint256 number = last.number;
        if (number <= from || number > _lastCommitted) {
            revert BatchNotVerifiable(number, from, _lastCommitted);
        }
        bytes32 hash = hashCalldata(last);
        bytes32 expected = _batchHash[number];
        if (hash != expected) revert BatchHeaderMismatch(expected, hash);

        (bytes32 rollingHash, uint64 nextDepositAt) = BRIDGE.depositCheckpoint(last.depositsIndex);
        if (rollingHash != last.depositsHash) revert DepositsHashMismatch(rollingHash, last.depositsHash);
        if (nextDepositAt != 0 && uint256(nextDepositAt) + MAX_DEPOSIT_WAIT < last.sealedAt) {
            revert DepositOverdue(last.depositsIndex + 1, nextDepositAt);
        }

        _checkProofs(abi.encode(_batchHash[from], hash), proofs, from, number);

        _lastVerified = uint40(number);
        emit BatchesVerified(from + 1, number, hash);
    }

    /// Reverts unless the policy has enough in `proofs` for the batches after `from` up to `to`.
    function _checkProofs(bytes memory publicValues, bytes[] calldata proofs, uint256 from, uint256 to)
        internal
        view
    {
        uint256 count = _policy >> 4;
        uint256 threshold = _policy & 15;
        if (threshold == 0 && msg.sender != _prover) revert NotProver(msg.sender);
        if (proofs.length > count) revert UnexpectedProof(count);

        uint256 given;
        for (uint256 i; i < count; ++i) {
            PackedBackend storage backend = _backends[i];
            uint256 packed = backend.packed;
            bool proven = i < proofs.length && proofs[i].length != 0;
            if (!_provesRange(i, packed, from, to)) {
                if (proven) revert UnexpectedProof(i);
            } else if (proven) {
                IProofVerifier(address(uint160(packed))).verify(backend.programKey, publicValues, proofs[i]);
                ++given;
            } else if (packed & REQUIRED != 0) {
                revert RequiredProofMissing(i);
            }
        }
        if (given < threshold) revert TooFewProofs(given, threshold);
    }

    /// Whether a backend (its packed word, at `index`) proves the batches after `from` up to `to`: all of them, or
    /// none. Reverts where it would be a part of them. A skipped backend proves none.
    function _provesRange(uint256 index, uint256 backend, uint256 from, uint256 to)
        private
        pure
        returns (bool)
    {
        uint256 first = uint40(backend >> FIRST_SHIFT);
        uint256 last = backend >> LAST_SHIFT;
        if (last == 0) last = type(uint40).max;
        if (first > to || last <= from || address(uint160(backend)) == SKIPPED_VERIFIER) return false;
        unchecked {
            if (first > from + 1) last = first - 1;
        }
        if (last < to) revert RangeCrossesBoundary(index, last);
        return true;
    }

    function _blobsHash() private view returns (bytes32 hash) {
        uint256 list;
        // A list of MAX_BLOBS words that are not set to zero first.
        assembly ("memory-safe") {
            list := mload(0x40)
            mstore(0x40, add(list, 0x200))
        }
        uint256 size;
        for (uint256 i;; ++i) {
            bytes32 blob = _blobHash(i);
            if (blob == 0) break;
            if (i == MAX_BLOBS) revert TooManyBlobs();
            assembly ("memory-safe") {
                mstore(add(list, size), blob)
            }
            size += 32;
        }
        if (size == 0) {
            if (msg.data.length > COMMIT_LENGTH) return _callDataHash();
            if (REQUIRE_BLOBS) revert BlobsMissing();
            return 0;
        }
        assembly ("memory-safe") {
            hash := keccak256(list, size)
        }
    }

    /// The complement of the hash of what is behind the arguments of `commitBatch`. It is never the hash of a list of
    /// versioned hashes, so nobody can commit to blobs by naming their hashes in call data.
    function _callDataHash() private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            let size := sub(calldatasize(), COMMIT_LENGTH)
            calldatacopy(start, COMMIT_LENGTH, size)
            hash := not(keccak256(start, size))
        }
    }

    /// The EIP-4844 versioned hash of the transaction's blob `index`, 0 when there is none. A seam for tools that
    /// cannot give a call blobs.
    function _blobHash(uint256 index) internal view virtual returns (bytes32) {
        return blobhash(index);
    }

    // ---------------------------------------------------------------------------------------------- governance

    /// @notice Takes back the committed batches after `lastToKeep`. For the admin, while paused. A verified batch
    /// stays for ever. The numbers can be committed anew.
    function revertBatches(uint40 lastToKeep) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _requirePaused();
        uint256 last = _lastCommitted;
        if (lastToKeep < _lastVerified || lastToKeep >= last) {
            revert BatchesNotRevertible(lastToKeep, _lastVerified, last);
        }
        _lastCommitted = lastToKeep;
        emit BatchesReverted(uint256(lastToKeep) + 1, last);
    }

    /// @notice Replaces the proof policy. For the admin.
    /// Committed batches that are not yet verified fall under it, each under the backends whose range it is in.
    /// @param backends_ The backends, in the order in which `verifyBatches` takes their proofs.
    /// @param threshold How many backends must have a proof; besides that every required one must. 0 only when
    /// every backend is skipped (DEV_MODE).
    function setBackends(Backend[] calldata backends_, uint8 threshold)
        external
        onlyRole(DEFAULT_ADMIN_ROLE)
    {
        _setBackends(backends_, threshold);
    }

    /// @notice Changes the account that commits. For the admin.
    function setSequencer(address sequencer_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setSequencer(sequencer_);
    }

    /// @notice Changes the account that verifies without proofs in DEV_MODE. For the admin.
    function setProver(address prover_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setProver(prover_);
    }

    /// @notice Stops commits and verifications. For the guardian and the admin.
    function pause() external {
        if (!hasRole(DEFAULT_ADMIN_ROLE, msg.sender)) _checkRole(GUARDIAN_ROLE, msg.sender);
        _requireNotPaused();
        _paused = true;
        emit Paused(msg.sender);
    }

    /// @notice Lets commits and verifications go on. For the admin only.
    function unpause() external onlyRole(DEFAULT_ADMIN_ROLE) {
        _requirePaused();
        _paused = false;
        emit Unpaused(msg.sender);
    }

    function _requireNotPaused() private view {
        if (_paused) revert EnforcedPause();
    }

    function _requirePaused() private view {
        if (!_paused) revert ExpectedPause();
    }

    function _requireAccount(address account) private pure {
        if (account == address(0)) revert ZeroAddress();
    }

    function _setSequencer(address sequencer_) private {
        _requireAccount(sequencer_);
        _sequencer = sequencer_;
        emit SequencerChanged(sequencer_);
    }

    function _setProver(address prover_) private {
        _requireAccount(prover_);
        _prover = prover_;
        emit ProverChanged(prover_);
    }

    function _setBackends(Backend[] calldata backends_, uint8 threshold) private {
        uint256 count = backends_.length;
        if (count > MAX_BACKENDS) revert TooManyBackends();
        uint256 real;
        for (uint256 i; i < count; ++i) {
            Backend calldata backend = backends_[i];
            if (backend.verifier == SKIPPED_VERIFIER) {
                if (!DEV_MODE || backend.required) revert SkippedBackendNotAllowed(i);
            } else {
                if (backend.verifier.code.length == 0) revert VerifierWithoutCode(backend.verifier);
                ++real;
            }
            uint256 packed = uint160(backend.verifier) | (backend.required ? REQUIRED : 0)
                | uint256(backend.first) << FIRST_SHIFT | uint256(backend.last) << LAST_SHIFT;
            uint256 last = packed >> LAST_SHIFT;
            if (last != 0 && last < uint40(packed >> FIRST_SHIFT)) revert InvalidBackendRange(i);
            PackedBackend storage stored = _backends[i];
            stored.packed = packed;
            stored.programKey = backend.programKey;
        }
        if (real == 0 && !DEV_MODE) revert NoBackends();
        _requireEnoughEverywhere(count, threshold, real != 0);
        _policy = uint8((count << 4) | threshold);
        emit BackendsChanged(count, threshold);
    }

    /// Reverts unless every batch that is not yet verified, committed or not, is proven by `threshold` of the stored
    /// backends. Their number falls after the last batch of one, and nowhere else: enough at the next batch and after
    /// each last one is enough everywhere.
    function _requireEnoughEverywhere(uint256 count, uint256 threshold, bool positive) private view {
        uint256 verified = _lastVerified;
        // The batch before the one that is looked at.
        uint256 before = verified;
        unchecked {
            for (uint256 i;; ++i) {
                uint256 valid;
                for (uint256 k; k < count; ++k) {
                    if (_provesRange(k, _backends[k].packed, before, before + 1)) ++valid;
                }
                if (valid < threshold || (threshold == 0 && positive)) {
                    revert InvalidThreshold(threshold, valid, before + 1);
                }
                if (i == count) break;
                before = _backends[i].packed >> LAST_SHIFT;
                if (before < verified) before = verified;
            }
        }
    }

    function _authorizeUpgrade(address) internal override onlyRole(DEFAULT_ADMIN_ROLE) {}

    // --------------------------------------------------------------------------------------------------- views

    /// @notice The account that commits.
    function sequencer() external view returns (address) {
        return _sequencer;
    }

    /// @notice The account that verifies without proofs in DEV_MODE.
    function prover() external view returns (address) {
        return _prover;
    }

    /// @notice Number of the last committed batch, 0 when there is none.
    function lastCommittedBatch() external view returns (uint256) {
        return _lastCommitted;
    }

    /// @notice Number of the last verified batch, 0 when there is none.
    function lastVerifiedBatch() external view returns (uint256) {
        return _lastVerified;
    }

    /// @notice Header hash of a committed batch. Reverts for a batch that is not committed, or was reverted.
    function committedHash(uint256 number) external view returns (bytes32) {
        if (number > _lastCommitted) revert BatchNotCommitted(number, _lastCommitted);
        return _batchHash[number];
    }

    /// @inheritdoc IVerifiedBatches
    function verifiedHash(uint256 number) external view returns (bytes32) {
        if (number > _lastVerified) revert BatchNotVerified(number, _lastVerified);
        return _batchHash[number];
    }

    /// @notice The proof policy, see `setBackends`.
    function backends() external view returns (Backend[] memory list, uint8 threshold) {
        list = new Backend[](_policy >> 4);
        for (uint256 i; i < list.length; ++i) {
            PackedBackend storage backend = _backends[i];
            list[i] = Backend(
                address(uint160(backend.packed)),
                backend.packed & REQUIRED != 0,
                uint40(backend.packed >> FIRST_SHIFT),
                uint40(backend.packed >> LAST_SHIFT),
                backend.programKey
            );
        }
        threshold = _policy & 15;
    }

    /// @notice Whether the contract is paused.
    function paused() external view returns (bool) {
        return _paused;
    }
}
