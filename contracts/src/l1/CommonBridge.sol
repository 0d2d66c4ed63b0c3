// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {
    AccessControlUpgradeable
} from "@openzeppelin/contracts-upgradeable/access/AccessControlUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {BatchHeader, IDepositQueue, IVerifiedBatches, hashCalldata} from "./Types.sol";

/// @title Holds the ETH that is on the L2: takes deposits, pays withdrawals.
/// @notice A deposit is one storage slot: the rolling hash of all deposits up to it, with the L1 time of the
/// deposit in the low 32 bits. A batch names the last deposit it included and the rolling hash there, so nothing
/// has to be removed, however many deposits wait. A withdrawal is proven against the withdrawals root inside a
/// verified batch header: the root lives and dies with its batch.
/// @dev Roles: DEFAULT_ADMIN_ROLE (meant for a timelock) upgrades, resumes and gives roles; GUARDIAN_ROLE may only
/// pause. Neither is looked up on the way of a deposit or a claim.
contract CommonBridge is AccessControlUpgradeable, UUPSUpgradeable, ReentrancyGuardTransient, IDepositQueue {
    /// @notice May pause, and nothing else.
    bytes32 public constant GUARDIAN_ROLE = keccak256("GUARDIAN_ROLE");
    /// @notice A claim's proof has at most this many siblings.
    uint256 public constant MAX_TREE_DEPTH = 32;

    uint256 private constant GWEI = 1 gwei;
    uint256 private constant TIME_MASK = type(uint32).max;

    /// @notice The OnChainProposer whose verified batches may be claimed from.
    /// @dev Proxies of both contracts know each other by immutables, which cost no storage read. The deployer can
    /// do that because `DeterministicDeployer.deployByAddress` fixes the bridge's address beforehand.
    IVerifiedBatches public immutable PROPOSER;

    uint64 private _lastDepositId;
    bool private _paused;
    /// Rolling hash after deposit `id`, with the deposit's L1 time in the low 32 bits.
    mapping(uint256 id => bytes32) private _deposits;
    /// Bit `id & 255` of word `id >> 8` is set when withdrawal `id` was paid.
    mapping(uint256 word => uint256) private _claimed;

    /// @notice ETH was taken for the L2. `rollingHash` has its low 32 bits zero.
    event DepositInitiated(
        uint256 indexed amount, address indexed to, uint256 indexed depositId, bytes32 rollingHash
    );
    /// @notice A withdrawal was paid out.
    event WithdrawalClaimed(uint256 indexed id, address indexed to, uint256 amount);
    /// @notice Deposits and claims stopped.
    event Paused(address account);
    /// @notice Deposits and claims go on.
    event Unpaused(address account);

    /// @notice The contract is paused.
    error EnforcedPause();
    /// @notice The contract is not paused.
    error ExpectedPause();
    /// @notice An address must not be zero here.
    error ZeroAddress();
    /// @notice A deposit must be a positive whole number of gwei, and fit 64 bits in gwei (EIP-4895).
    error InvalidDepositAmount(uint256 amount);
    /// @notice There is no deposit with this id.
    error UnknownDepositIndex(uint64 index, uint64 lastDepositId);
    /// @notice The header is not that of the verified batch with its number.
    error BatchHeaderMismatch(bytes32 expected, bytes32 actual);
    /// @notice The proof does not lead from the withdrawal to the batch's withdrawals root.
    error InvalidWithdrawalProof();
    /// @notice This withdrawal was paid before.
    error WithdrawalAlreadyClaimed(uint256 id);
    /// @notice The receiver did not accept the ETH.
    error WithdrawalTransferFailed(address to, uint256 amount);

    constructor(IVerifiedBatches proposer) {
        if (address(proposer) == address(0)) revert ZeroAddress();
        PROPOSER = proposer;
        _disableInitializers();
    }

    /// @notice Called once, by the proxy's constructor.
    function initialize(address admin, address guardian) external initializer {
        if (admin == address(0) || guardian == address(0)) revert ZeroAddress();
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(GUARDIAN_ROLE, guardian);
    }

    // ------------------------------------------------------------------------------------------------ deposits

    /// @notice Credits the sent ETH to `to` on the L2.
    function deposit(address to) external payable {
        _deposit(to);
    }

    /// @notice Credits the sent ETH to the sender on the L2. A contract should rather call `deposit`: its address
    /// on the L2 may belong to somebody else.
    receive() external payable {
        _deposit(msg.sender);
    }

    function _deposit(address to) private {
        if (_paused) revert EnforcedPause();
        if (to == address(0)) revert ZeroAddress();
        if (msg.value == 0 || msg.value % GWEI != 0 || msg.value / GWEI > type(uint64).max) {
            revert InvalidDepositAmount(msg.value);
        }
        uint64 id = _lastDepositId + 1;
        bytes32 leaf = keccak256(abi.encode(id, to, msg.value));
        bytes32 rolling = _mask(_hashPair(_mask(_deposits[id - 1]), leaf));
        _deposits[id] = rolling | bytes32(block.timestamp & TIME_MASK);
        _lastDepositId = id;
        emit DepositInitiated(msg.value, to, id, rolling);
    }

    /// @inheritdoc IDepositQueue
    function depositCheckpoint(uint64 index)
        external
        view
        returns (bytes32 rollingHash, uint64 nextDepositAt)
    {
        // Every deposit's slot holds a time, so the slots alone say which deposits there are.
        bytes32 slot = _deposits[index];
        if (slot == 0 && index != 0) revert UnknownDepositIndex(index, _lastDepositId);
        rollingHash = _mask(slot);
        nextDepositAt = uint64(uint256(_deposits[uint256(index) + 1]) & TIME_MASK);
    }

    /// @notice Id of the newest deposit, 0 when there is none.
    function lastDepositId() external view returns (uint64) {
        return _lastDepositId;
    }

    // --------------------------------------------------------------------------------------------- withdrawals

    /// @notice Pays withdrawal `id` to `to`. Anybody may send it: receiver and amount are in the proven leaf.
    /// @param header The header of the verified batch that holds the withdrawal.
    /// @param path Index of the leaf in the batch's tree: bit k says whether the node at level k is a right child.
    /// @param proof The siblings from the leaf upwards. Empty for a tree of one leaf.
    function claimWithdrawal(
        BatchHeader calldata header,
        uint256 id,
        address to,
        uint256 amount,
        uint256 path,
        bytes32[] calldata proof
    ) external nonReentrant {
        if (_paused) revert EnforcedPause();
        bytes32 expected = PROPOSER.verifiedHash(header.number);
        bytes32 actual = hashCalldata(header);
        if (actual != expected) revert BatchHeaderMismatch(expected, actual);

        if (proof.length > MAX_TREE_DEPTH || path >> proof.length != 0) revert InvalidWithdrawalProof();
        // Hashed twice, so that no inner node (64 bytes) can pass for a leaf.
        bytes32 node = keccak256(bytes.concat(keccak256(abi.encode(id, to, amount))));
        for (uint256 level; level < proof.length; ++level) {
            node = (path >> level) & 1 == 0 ? _hashPair(node, proof[level]) : _hashPair(proof[level], node);
        }
        if (node != header.withdrawalsRoot) revert InvalidWithdrawalProof();

        uint256 bits = _claimed[id >> 8];
        uint256 bit = 1 << (id & 255);
        if (bits & bit != 0) revert WithdrawalAlreadyClaimed(id);
        _claimed[id >> 8] = bits | bit;
        emit WithdrawalClaimed(id, to, amount);

        bool ok;
        // Without copying what the receiver returns: it could be made large at the sender's cost.
        assembly ("memory-safe") {
            ok := call(gas(), to, amount, 0, 0, 0, 0)
        }
        if (!ok) revert WithdrawalTransferFailed(to, amount);
    }

    /// @notice Whether withdrawal `id` was paid.
    function isClaimed(uint256 id) external view returns (bool) {
        return (_claimed[id >> 8] >> (id & 255)) & 1 != 0;
    }

    // ---------------------------------------------------------------------------------------------- governance

    /// @notice Stops deposits and claims. For the guardian and the admin.
    function pause() external {
        if (!hasRole(DEFAULT_ADMIN_ROLE, msg.sender)) _checkRole(GUARDIAN_ROLE, msg.sender);
        if (_paused) revert EnforcedPause();
        _paused = true;
        emit Paused(msg.sender);
    }

    /// @notice Lets deposits and claims go on. For the admin only.
    function unpause() external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (!_paused) revert ExpectedPause();
        _paused = false;
        emit Unpaused(msg.sender);
    }

    /// @notice Whether the contract is paused.
    function paused() external view returns (bool) {
        return _paused;
    }

    function _authorizeUpgrade(address) internal override onlyRole(DEFAULT_ADMIN_ROLE) {}

    function _mask(bytes32 word) private pure returns (bytes32) {
        return word & ~bytes32(TIME_MASK);
    }

    function _hashPair(bytes32 left, bytes32 right) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0x00, left)
            mstore(0x20, right)
            hash := keccak256(0x00, 0x40)
        }
    }
}
