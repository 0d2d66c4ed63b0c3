// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {CommonBridge} from "../../src/l1/CommonBridge.sol";
import {DeterministicDeployer} from "../../src/l1/DeterministicDeployer.sol";
import {OnChainProposer} from "../../src/l1/OnChainProposer.sol";
import {
    Accounts,
    Backend,
    BatchHeader,
    Genesis,
    IDepositQueue,
    IVerifiedBatches
} from "../../src/l1/Types.sol";
import {BindingVerifier} from "../mocks/Mocks.sol";

struct Options {
    bool devMode;
    bool requireBlobs;
    address admin;
    uint8 threshold;
    Backend[] backends;
}

/// Deploys the system the way contracts/README.md says, and plays an honest sequencer.
abstract contract Base is Test {
    address internal constant ADMIN = address(0xAD317);
    address internal constant GUARDIAN = address(0x6A2D);
    address internal constant SEQUENCER = address(0x5E9);
    address internal constant PROVER = address(0x920);
    bytes32 internal constant KEY = keccak256("program");
    uint256 internal constant L2_CHAIN_ID = 65_536_999;
    bytes32 internal constant GENESIS_STATE = keccak256("genesis state");
    bytes32 internal constant GENESIS_BLOCK = keccak256("genesis block");
    uint64 internal constant MAX_WAIT = 3 days;
    uint64 internal constant WINDOW = 6 hours;

    DeterministicDeployer internal factory;
    OnChainProposer internal proposer;
    CommonBridge internal bridge;
    BindingVerifier internal verifier;
    /// headers[n] is the header of batch n.
    BatchHeader[] internal headers;

    function defaultOptions() internal returns (Options memory o) {
        if (address(verifier) == address(0)) verifier = new BindingVerifier();
        o.requireBlobs = true;
        o.admin = ADMIN;
        o.threshold = 1;
        o.backends = new Backend[](1);
        o.backends[0] = Backend(address(verifier), true, 0, 0, KEY);
    }

    function proposerInitData(Options memory o) internal pure returns (bytes memory) {
        return abi.encodeCall(
            OnChainProposer.initialize,
            (
                Accounts(o.admin, GUARDIAN, SEQUENCER, PROVER),
                Genesis(L2_CHAIN_ID, GENESIS_STATE, GENESIS_BLOCK),
                o.backends,
                o.threshold
            )
        );
    }

    function deploySystem(Options memory o) internal {
        vm.warp(1_700_000_000);
        factory = new DeterministicDeployer();
        address bridgeAt = factory.addressFor(address(this), 0);
        address impl = factory.deploy(
            0,
            abi.encodePacked(
                type(OnChainProposer).creationCode,
                abi.encode(IDepositQueue(bridgeAt), o.devMode, o.requireBlobs, MAX_WAIT, WINDOW)
            )
        );
        proposer = OnChainProposer(
            factory.deploy(
                0, abi.encodePacked(type(ERC1967Proxy).creationCode, abi.encode(impl, proposerInitData(o)))
            )
        );
        address bridgeImpl = factory.deploy(
            0, abi.encodePacked(type(CommonBridge).creationCode, abi.encode(address(proposer)))
        );
        bytes memory init = abi.encodeCall(CommonBridge.initialize, (o.admin, GUARDIAN));
        bridge = CommonBridge(
            payable(factory.deployByAddress(
                    0, abi.encodePacked(type(ERC1967Proxy).creationCode, abi.encode(bridgeImpl, init))
                ))
        );
        assertEq(address(bridge), bridgeAt);
        delete headers;
        BatchHeader memory genesis;
        genesis.parentHash = keccak256(abi.encode(block.chainid, address(proposer), L2_CHAIN_ID));
        genesis.stateRoot = GENESIS_STATE;
        genesis.blockHash = GENESIS_BLOCK;
        headers.push(genesis);
    }

    function hashOf(BatchHeader memory h) internal pure returns (bytes32) {
        return keccak256(abi.encode(h));
    }

    function last() internal view returns (uint64) {
        return uint64(proposer.lastCommittedBatch());
    }

    function setBlobs(uint256 count) internal returns (bytes32 hash) {
        bytes32[] memory blobs = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            blobs[i] = bytes32((uint256(1) << 248) | (uint256(keccak256(abi.encode(last(), i))) >> 8));
        }
        vm.blobhashes(blobs);
        return count == 0 ? bytes32(0) : keccak256(abi.encodePacked(blobs));
    }

    /// The header that an honest sequencer commits next.
    function nextHeader(bytes32 withdrawalsRoot, uint64 depositsIndex)
        internal
        view
        returns (BatchHeader memory h)
    {
        uint64 n = last() + 1;
        (bytes32 rolling,) = bridge.depositCheckpoint(depositsIndex);
        h.parentHash = proposer.committedHash(n - 1);
        h.stateRoot = keccak256(abi.encode("state", n, withdrawalsRoot));
        h.blockHash = keccak256(abi.encode("block", n, withdrawalsRoot));
        h.withdrawalsRoot = withdrawalsRoot;
        h.depositsHash = rolling;
        h.number = n;
        h.depositsIndex = depositsIndex;
        h.sealedAt = uint64(block.timestamp);
    }

    function send(BatchHeader memory h) internal {
        proposer.commitBatch(
            h.stateRoot,
            h.blockHash,
            h.withdrawalsRoot,
            h.depositsHash,
            h.depositsIndex,
            h.sealedAt,
            uint40(h.number)
        );
    }

    function record(BatchHeader memory h) internal {
        while (headers.length > h.number) {
            headers.pop();
        }
        headers.push(h);
    }

    function commit(BatchHeader memory h) internal returns (BatchHeader memory) {
        h.blobsHash = setBlobs(2);
        vm.prank(SEQUENCER);
        send(h);
        record(h);
        return h;
    }

    function commit(bytes32 withdrawalsRoot, uint64 depositsIndex) internal returns (BatchHeader memory) {
        return commit(nextHeader(withdrawalsRoot, depositsIndex));
    }

    function publicValues(uint64 to) internal view returns (bytes memory) {
        return abi.encode(proposer.committedHash(proposer.lastVerifiedBatch()), hashOf(headers[to]));
    }

    function proofsFor(uint64 to) internal view returns (bytes[] memory proofs) {
        proofs = new bytes[](1);
        proofs[0] = verifier.prove(KEY, publicValues(to));
    }

    function verifyTo(uint64 to) internal {
        proposer.verifyBatches(headers[to], proofsFor(to));
    }

    function pauseAll() internal {
        vm.startPrank(GUARDIAN);
        proposer.pause();
        bridge.pause();
        vm.stopPrank();
    }

    function revertTo(uint40 number) internal {
        vm.prank(GUARDIAN);
        proposer.pause();
        vm.startPrank(ADMIN);
        proposer.revertBatches(number);
        proposer.unpause();
        vm.stopPrank();
        while (headers.length > uint256(number) + 1) {
            headers.pop();
        }
    }

    // ----------------------------------------------------------------------------------------- withdrawals tree

    function leafOf(uint256 id, address to, uint256 amount) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(id, to, amount))));
    }

    /// The leaves, padded with zeros to the next power of two.
    function padded(bytes32[] memory leaves) internal pure returns (bytes32[] memory level) {
        uint256 width = 1;
        while (width < leaves.length) width *= 2;
        level = new bytes32[](width);
        for (uint256 i; i < leaves.length; ++i) {
            level[i] = leaves[i];
        }
    }

    function up(bytes32[] memory level) internal pure returns (bytes32[] memory next) {
        next = new bytes32[](level.length / 2);
        for (uint256 i; i < next.length; ++i) {
            next[i] = keccak256(abi.encode(level[2 * i], level[2 * i + 1]));
        }
    }

    function treeRoot(bytes32[] memory leaves) internal pure returns (bytes32) {
        if (leaves.length == 0) return 0;
        bytes32[] memory level = padded(leaves);
        while (level.length > 1) level = up(level);
        return level[0];
    }

    function treeProof(bytes32[] memory leaves, uint256 index)
        internal
        pure
        returns (bytes32[] memory proof)
    {
        bytes32[] memory level = padded(leaves);
        uint256 depth;
        for (uint256 width = level.length; width > 1; width /= 2) {
            ++depth;
        }
        proof = new bytes32[](depth);
        for (uint256 k; k < depth; ++k) {
            proof[k] = level[index ^ 1];
            level = up(level);
            index >>= 1;
        }
    }
}
