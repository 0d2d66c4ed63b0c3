// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {CommonBridge} from "../../src/l1/CommonBridge.sol";
import {OnChainProposer} from "../../src/l1/OnChainProposer.sol";
import {BatchHeader} from "../../src/l1/Types.sol";
import {Base} from "./Base.sol";

/// A random life of the system: deposits, batches with withdrawals, proofs over ranges, reverted batches, claims
/// in any order, pauses, time. The sequencer never promises more than was deposited.
contract Handler is Base {
    struct Claim {
        uint64 batch;
        uint256 id;
        address to;
        uint256 amount;
        uint256 path;
        bytes32[] proof;
        bytes32 header;
    }

    uint256 public paidIn;
    uint256 public paidOut;
    uint256 public promised;
    uint256 public nextId;
    bytes32 public rolling;
    uint64 public deposits;
    Claim[] internal claims;
    mapping(uint256 id => bool) public paid;
    /// How often each branch that matters was taken, so that a run which never gets there is seen.
    mapping(string what => uint256) public times;

    constructor() {
        deploySystem(defaultOptions());
        vm.deal(address(this), type(uint128).max);
    }

    function proposerOf() external view returns (OnChainProposer) {
        return proposer;
    }

    function bridgeOf() external view returns (CommonBridge) {
        return bridge;
    }

    function headerHash(uint256 i) external view returns (bytes32 own, bytes32 parent) {
        return (hashOf(headers[i]), headers[i].parentHash);
    }

    function deposit(uint32 amount, address to) external {
        uint256 wei_ = (uint256(amount) + 1) * 1 gwei;
        if (to == address(0)) to = address(1);
        bridge.deposit{value: wei_}(to);
        paidIn += wei_;
        deposits += 1;
        bytes32 leaf = keccak256(abi.encode(deposits, to, wei_));
        rolling = (keccak256(abi.encode(rolling, leaf)) >> 32) << 32;
    }

    function commitBatch(uint8 count, uint32 amount) external {
        uint256 n = count % 6;
        uint256 each = uint256(amount) + 1;
        if (promised + n * each > paidIn) n = 0;
        bytes32[] memory leaves = new bytes32[](n);
        for (uint256 i; i < n; ++i) {
            leaves[i] = leafOf(nextId + i, receiver(nextId + i), each);
        }
        BatchHeader memory h = commit(treeRoot(leaves), bridge.lastDepositId());
        for (uint256 i; i < n; ++i) {
            claims.push(
                Claim(h.number, nextId + i, receiver(nextId + i), each, i, treeProof(leaves, i), hashOf(h))
            );
        }
        nextId += n;
        promised += n * each;
        times["commit"] += 1;
    }

    function verify(uint8 ahead) external {
        uint256 from = proposer.lastVerifiedBatch();
        uint256 to = proposer.lastCommittedBatch();
        if (from == to) return;
        verifyTo(uint64(bound(ahead, from + 1, to)));
        times["verify"] += 1;
    }

    function revertSome(uint8 keep) external {
        uint256 from = proposer.lastVerifiedBatch();
        uint256 to = proposer.lastCommittedBatch();
        if (from == to) return;
        revertTo(uint40(bound(keep, from, to - 1)));
        times["revert"] += 1;
    }

    function claim(uint256 which) external {
        if (claims.length == 0) return;
        Claim memory c = claims[which % claims.length];
        // An honest claim: the header that this claim's batch had, if its number still has that header.
        bool known = c.batch < headers.length && hashOf(headers[c.batch]) == c.header;
        bool verified = known && c.batch <= proposer.lastVerifiedBatch();
        bool shouldPay = verified && !paid[c.id];
        BatchHeader memory h = c.batch < headers.length ? headers[c.batch] : headers[0];
        try bridge.claimWithdrawal(h, c.id, c.to, c.amount, c.path, c.proof) {
            assertTrue(shouldPay, "paid what must not be paid");
            paid[c.id] = true;
            paidOut += c.amount;
            times["claim"] += 1;
        } catch {
            assertFalse(shouldPay, "an honest claim was refused");
            times["refused"] += 1;
        }
    }

    function wait_(uint16 seconds_) external {
        vm.warp(block.timestamp + seconds_);
    }

    function receiver(uint256 id) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("receiver", id)))));
    }
}

contract InvariantsTest is Base {
    Handler internal handler;

    function setUp() public {
        handler = new Handler();
        targetContract(address(handler));
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = Handler.deposit.selector;
        selectors[1] = Handler.commitBatch.selector;
        selectors[2] = Handler.verify.selector;
        selectors[3] = Handler.revertSome.selector;
        selectors[4] = Handler.claim.selector;
        selectors[5] = Handler.wait_.selector;
        targetSelector(FuzzSelector(address(handler), selectors));
    }

    /// The bridge holds what came in less what went out.
    function invariant_solvency() public view {
        assertEq(address(handler.bridgeOf()).balance, handler.paidIn() - handler.paidOut());
    }

    function invariant_order() public view {
        assertLe(handler.proposerOf().lastVerifiedBatch(), handler.proposerOf().lastCommittedBatch());
    }

    /// Every stored hash is the hash of a header that names its predecessor's.
    function invariant_chain() public view {
        OnChainProposer p = handler.proposerOf();
        uint256 n = p.lastCommittedBatch();
        for (uint256 i = 1; i <= n; ++i) {
            (bytes32 own, bytes32 parent) = handler.headerHash(i);
            assertEq(p.committedHash(i), own);
            assertEq(parent, p.committedHash(i - 1));
        }
    }

    /// SEQ-INV-1: the bridge's rolling hash is the one computed from its events.
    function invariant_deposits() public view {
        (bytes32 hash, uint64 next) = handler.bridgeOf().depositCheckpoint(handler.deposits());
        assertEq(hash, handler.rolling());
        assertEq(next, 0);
        assertEq(handler.bridgeOf().lastDepositId(), handler.deposits());
    }

    /// A fixed walk through every branch of the handler, so that the invariants above do not hold of idleness.
    function test_handlerReachesEveryBranch() public {
        handler.deposit(1_000_000, address(5));
        handler.commitBatch(3, 10);
        handler.claim(0);
        handler.verify(0);
        handler.claim(0);
        handler.claim(0);
        handler.commitBatch(2, 10);
        handler.revertSome(0);
        handler.claim(4);
        handler.commitBatch(2, 10);
        handler.verify(255);
        handler.claim(4);
        handler.claim(6);
        assertEq(handler.times("commit"), 3);
        assertEq(handler.times("verify"), 2);
        assertEq(handler.times("revert"), 1);
        assertEq(handler.times("claim"), 2);
        assertEq(handler.times("refused"), 4);
        invariant_solvency();
        invariant_chain();
        invariant_deposits();
    }
}
