// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {OnChainProposer} from "../../src/l1/OnChainProposer.sol";
import {Backend, SKIPPED_VERIFIER} from "../../src/l1/Types.sol";
import {BindingVerifier} from "../mocks/Mocks.sol";
import {Base, Options} from "./Base.sol";

/// What the contract should do, batch by batch, where the contract compares ends of ranges.
library Model {
    /// Beyond every number that a test uses.
    uint256 internal constant FAR = 1 << 39;

    function proves(Backend memory b, uint256 number) internal pure returns (bool) {
        return b.verifier != SKIPPED_VERIFIER && b.first <= number && (b.last == 0 || number <= b.last);
    }

    function validAt(Backend[] memory list, uint256 number) internal pure returns (uint256 count) {
        for (uint256 i; i < list.length; ++i) {
            if (proves(list[i], number)) ++count;
        }
    }

    /// The revert that `setBackends` must give, empty when it must accept. `horizon` is above every bounded range.
    function setResult(Backend[] memory list, uint8 threshold, uint256 verified, uint256 horizon)
        internal
        pure
        returns (bytes4)
    {
        for (uint256 i; i < list.length; ++i) {
            if (list[i].last != 0 && list[i].last < list[i].first) {
                return OnChainProposer.InvalidBackendRange.selector;
            }
        }
        if (threshold == 0) return OnChainProposer.InvalidThreshold.selector;
        for (uint256 n = verified + 1; n <= horizon; ++n) {
            if (validAt(list, n) < threshold) return OnChainProposer.InvalidThreshold.selector;
        }
        return validAt(list, FAR) < threshold ? OnChainProposer.InvalidThreshold.selector : bytes4(0);
    }

    /// The revert that a verification must give, empty when it must go through. Bit i of `given`: there is a proof
    /// for backend i.
    function verifyResult(Backend[] memory list, uint8 threshold, uint256 from, uint256 to, uint256 given)
        internal
        pure
        returns (bytes memory)
    {
        uint256 count;
        for (uint256 i; i < list.length; ++i) {
            bool first = proves(list[i], from + 1);
            for (uint256 n = from + 2; n <= to; ++n) {
                if (proves(list[i], n) != first) {
                    return abi.encodeWithSelector(OnChainProposer.RangeCrossesBoundary.selector, i, n - 1);
                }
            }
            bool proof = (given >> i) & 1 == 1;
            if (!first && proof) return abi.encodeWithSelector(OnChainProposer.UnexpectedProof.selector, i);
            if (first && !proof && list[i].required) {
                return abi.encodeWithSelector(OnChainProposer.RequiredProofMissing.selector, i);
            }
            if (first && proof) ++count;
        }
        if (count < threshold) {
            return abi.encodeWithSelector(OnChainProposer.TooFewProofs.selector, count, threshold);
        }
        return "";
    }

    /// Backends that differ in their keys, with ranges that often touch, overlap or leave holes.
    function random(address verifier, uint256 seed, uint256 offset)
        internal
        pure
        returns (Backend[] memory list, uint8 threshold)
    {
        list = new Backend[](1 + seed % 5);
        for (uint256 i; i < list.length; ++i) {
            uint256 r = uint256(keccak256(abi.encode(seed, i)));
            list[i].verifier = verifier;
            list[i].required = r & 3 == 0;
            list[i].first = uint40((r >> 8) & 3 == 0 ? 0 : offset + ((r >> 16) % 8));
            list[i].last = uint40((r >> 32) & 3 < 2 ? 0 : offset + ((r >> 40) % 10));
            list[i].programKey = bytes32(r);
        }
        threshold = uint8((seed >> 128) % 4);
    }
}

contract BackendRangesTest is Base {
    bytes32 internal constant NEW_KEY = keccak256("next program");
    uint64 internal constant BATCHES = 8;

    function setUp() public {
        deploySystem(defaultOptions());
        for (uint64 i; i < BATCHES; ++i) {
            commit(bytes32(uint256(i)), 0);
        }
    }

    function set(Backend[] memory list, uint8 threshold) internal {
        vm.prank(ADMIN);
        proposer.setBackends(list, threshold);
    }

    /// The new program from batch `first` on.
    function upgradeAt(uint40 first) internal {
        Backend[] memory list = new Backend[](2);
        list[0] = Backend(address(verifier), true, 0, first - 1, KEY);
        list[1] = Backend(address(verifier), true, first, 0, NEW_KEY);
        set(list, 1);
    }

    function proofs(bytes32 first, bytes32 second, uint64 to) internal view returns (bytes[] memory list) {
        list = new bytes[](second == 0 ? 1 : 2);
        if (first != 0) list[0] = verifier.prove(first, publicValues(to));
        if (second != 0) list[1] = verifier.prove(second, publicValues(to));
    }

    function refuses(uint64 to, bytes[] memory list, bytes memory reason) internal {
        vm.expectRevert(reason);
        proposer.verifyBatches(headers[to], list);
    }

    /// SEQ-INV-7. An upgrade of the program strands no batch: those before the boundary are proven by the old one,
    /// those after it by the new one, and neither by the other.
    function test_upgradeOfTheProgram() public {
        verifyTo(1);
        upgradeAt(5);

        refuses(
            5, proofs(KEY, 0, 5), abi.encodeWithSelector(OnChainProposer.RangeCrossesBoundary.selector, 0, 4)
        );
        refuses(
            4, proofs(KEY, NEW_KEY, 4), abi.encodeWithSelector(OnChainProposer.UnexpectedProof.selector, 1)
        );
        refuses(4, new bytes[](2), abi.encodeWithSelector(OnChainProposer.RequiredProofMissing.selector, 0));
        refuses(4, proofs(NEW_KEY, 0, 4), abi.encodeWithSelector(BindingVerifier.ProofRejected.selector));
        proposer.verifyBatches(headers[3], proofs(KEY, 0, 3));
        proposer.verifyBatches(headers[4], proofs(KEY, 0, 4));

        refuses(8, proofs(KEY, 0, 8), abi.encodeWithSelector(OnChainProposer.UnexpectedProof.selector, 0));
        refuses(8, new bytes[](2), abi.encodeWithSelector(OnChainProposer.RequiredProofMissing.selector, 1));
        proposer.verifyBatches(headers[8], proofs(0, NEW_KEY, 8));
        assertEq(proposer.lastVerifiedBatch(), 8);

        // The old one can go.
        Backend[] memory list = new Backend[](1);
        list[0] = Backend(address(verifier), true, 0, 0, NEW_KEY);
        set(list, 1);
        commit(0, 0);
        proposer.verifyBatches(headers[9], proofs(NEW_KEY, 0, 9));
    }

    /// A backend that is valid in the middle only: the first of its two ends is named.
    function test_boundariesAreNamed() public {
        Backend[] memory list = new Backend[](2);
        list[0] = Backend(address(verifier), false, 0, 0, KEY);
        list[1] = Backend(address(verifier), false, 3, 5, NEW_KEY);
        set(list, 1);
        uint64[4] memory ends = [uint64(3), 5, 6, 8];
        for (uint256 i; i < 4; ++i) {
            refuses(
                ends[i],
                proofs(KEY, 0, ends[i]),
                abi.encodeWithSelector(OnChainProposer.RangeCrossesBoundary.selector, 1, 2)
            );
        }
        proposer.verifyBatches(headers[2], proofs(KEY, 0, 2));
        refuses(
            6, proofs(KEY, 0, 6), abi.encodeWithSelector(OnChainProposer.RangeCrossesBoundary.selector, 1, 5)
        );
        proposer.verifyBatches(headers[5], proofs(KEY, NEW_KEY, 5));
        proposer.verifyBatches(headers[8], proofs(KEY, 0, 8));
    }

    /// No hole, at the start, in the middle, or at the end.
    function test_holesAreRefused() public {
        verifyTo(3);
        uint40[2][4] memory a = [[uint40(0), 5], [uint40(0), 5], [uint40(5), 0], [uint40(0), 3]];
        uint40[2][4] memory b = [[uint40(7), 0], [uint40(4), 6], [uint40(6), 0], [uint40(5), 0]];
        uint256[4] memory hole = [uint256(6), 7, 4, 4];
        Backend[] memory list = new Backend[](2);
        for (uint256 i; i < 4; ++i) {
            list[0] = Backend(address(verifier), true, a[i][0], a[i][1], KEY);
            list[1] = Backend(address(verifier), true, b[i][0], b[i][1], NEW_KEY);
            vm.prank(ADMIN);
            vm.expectRevert(abi.encodeWithSelector(OnChainProposer.InvalidThreshold.selector, 1, 0, hole[i]));
            proposer.setBackends(list, 1);
        }
        // Batches that are verified need nobody any more.
        list[0].last = 3;
        list[1].first = 4;
        set(list, 1);
        list[0].last = 1;
        set(list, 1);
        // Two of two, and one of them ends.
        list[0] = Backend(address(verifier), false, 0, 9, KEY);
        list[1] = Backend(address(verifier), false, 0, 0, NEW_KEY);
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.InvalidThreshold.selector, 2, 1, 10));
        proposer.setBackends(list, 2);
    }

    function test_holesAreRefusedAtDeployment() public {
        Options memory o = defaultOptions();
        o.backends[0].first = 1;
        deploySystem(o);
        o.backends[0].first = 2;
        vm.expectRevert();
        this.deployAgain(o);
        o.backends[0].first = 0;
        o.backends[0].last = 9;
        vm.expectRevert();
        this.deployAgain(o);
    }

    function deployAgain(Options memory o) external {
        deploySystem(o);
    }

    function test_rangesAreNotEmpty() public {
        Backend[] memory list = new Backend[](2);
        list[0] = Backend(address(verifier), true, 0, 0, KEY);
        list[1] = Backend(address(verifier), true, 6, 5, NEW_KEY);
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.InvalidBackendRange.selector, 1));
        proposer.setBackends(list, 1);
        list[1].last = 6;
        set(list, 1);
    }

    function test_viewGivesTheRanges() public {
        uint40 max = type(uint40).max;
        Backend[] memory list = new Backend[](3);
        list[0] = Backend(address(verifier), false, 0, 0, KEY);
        list[1] = Backend(address(verifier), true, max - 1, max - 1, bytes32(type(uint256).max));
        list[2] = Backend(address(verifier), true, 3, max - 2, 0);
        set(list, 1);
        (Backend[] memory stored,) = proposer.backends();
        assertEq(abi.encode(stored), abi.encode(list));
    }

    /// A place holder has no range that a verification could cross.
    function test_skippedHasNoBoundary() public {
        Options memory o = defaultOptions();
        o.devMode = true;
        deploySystem(o);
        commit(0, 0);
        commit(0, 0);
        Backend[] memory list = new Backend[](2);
        list[0] = Backend(address(verifier), true, 0, 0, KEY);
        list[1] = Backend(SKIPPED_VERIFIER, false, 2, 0, 0);
        set(list, 1);
        refuses(
            2, proofs(KEY, NEW_KEY, 2), abi.encodeWithSelector(OnChainProposer.UnexpectedProof.selector, 1)
        );
        proposer.verifyBatches(headers[2], proofs(KEY, 0, 2));
    }

    /// `setBackends` refuses exactly the policies with a batch that fewer backends than the threshold prove.
    function testFuzz_noHole(uint256 seed, uint8 verified) public {
        uint64 done = uint64(bound(verified, 0, BATCHES));
        if (done != 0) verifyTo(done);
        (Backend[] memory list, uint8 threshold) = Model.random(address(verifier), seed, 1);
        bytes4 expected = Model.setResult(list, threshold, done, 16);
        vm.prank(ADMIN);
        try proposer.setBackends(list, threshold) {
            assertEq(expected, bytes4(0));
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), expected);
        }
    }

    /// A verification does what the model says, whatever the ranges, the threshold and the proofs given.
    function testFuzz_verification(uint256 seed, uint8 from_, uint8 to_, uint8 given) public {
        uint64 from = uint64(bound(from_, 0, BATCHES - 1));
        uint64 to = uint64(bound(to_, from + 1, BATCHES));
        if (from != 0) verifyTo(from);
        (Backend[] memory list, uint8 threshold) = Model.random(address(verifier), seed, 1);
        // Without end, so that nothing is a hole.
        for (uint256 i; i < threshold && i < list.length; ++i) {
            (list[i].first, list[i].last) = (0, 0);
        }
        vm.assume(Model.setResult(list, threshold, from, 16) == 0);
        set(list, threshold);
        given = uint8(given & ((1 << list.length) - 1));
        bytes[] memory list_ = new bytes[](list.length);
        for (uint256 i; i < list.length; ++i) {
            if ((given >> i) & 1 == 1) list_[i] = verifier.prove(list[i].programKey, publicValues(to));
        }
        bytes memory expected = Model.verifyResult(list, threshold, from, to, given);
        if (expected.length != 0) vm.expectRevert(expected);
        proposer.verifyBatches(headers[to], list_);
        assertEq(proposer.lastVerifiedBatch(), expected.length == 0 ? to : from);
    }
}

/// A random life with changing policies.
contract RangesHandler is Base {
    Backend[] internal list;
    uint8 internal threshold;
    uint256 public accepted;
    uint256 public refusedPolicies;
    uint256 public verifications;
    uint256 public refusedVerifications;
    /// Least number of proofs by which a batch was verified, above its threshold.
    bool public underProven;

    constructor() {
        deploySystem(defaultOptions());
        list.push(Backend(address(verifier), true, 0, 0, KEY));
        threshold = 1;
    }

    function proposerOf() external view returns (OnChainProposer) {
        return proposer;
    }

    function commitBatch() external {
        commit(0, 0);
    }

    function setBackends(uint256 seed) external {
        uint256 verified = proposer.lastVerifiedBatch();
        (Backend[] memory next, uint8 t) = Model.random(address(verifier), seed, verified);
        // Half of them keep a backend without end: others are seldom without a hole.
        if (seed >> 255 == 0) (next[0].first, next[0].last) = (0, 0);
        vm.prank(ADMIN);
        try proposer.setBackends(next, t) {
            delete list;
            for (uint256 i; i < next.length; ++i) {
                list.push(next[i]);
            }
            threshold = t;
            ++accepted;
            assertEq(Model.setResult(next, t, verified, verified + 16), bytes4(0), "a policy with a hole");
        } catch {
            ++refusedPolicies;
            assertTrue(Model.setResult(next, t, verified, verified + 16) != 0, "a sound policy refused");
        }
    }

    function verify(uint8 ahead, uint8 given) external {
        uint256 from = proposer.lastVerifiedBatch();
        uint256 to = proposer.lastCommittedBatch();
        if (from == to) return;
        to = bound(ahead, from + 1, to);
        Backend[] memory current = list;
        bytes[] memory given_ = new bytes[](current.length);
        uint256 mask;
        for (uint256 i; i < current.length; ++i) {
            // Most often all that are valid for the first batch.
            bool proof = given < 200 ? Model.proves(current[i], from + 1) : (given >> i) & 1 == 1;
            if (!proof) continue;
            mask |= 1 << i;
            given_[i] = verifier.prove(current[i].programKey, publicValues(uint64(to)));
        }
        bytes memory expected = Model.verifyResult(current, threshold, from, to, mask);
        try proposer.verifyBatches(headers[to], given_) {
            assertEq(expected.length, 0, "verified against the model");
            ++verifications;
            for (uint256 n = from + 1; n <= to; ++n) {
                uint256 proofs;
                for (uint256 i; i < current.length; ++i) {
                    if ((mask >> i) & 1 == 1 && Model.proves(current[i], n)) ++proofs;
                }
                if (proofs < threshold || proofs == 0) underProven = true;
            }
        } catch (bytes memory reason) {
            assertEq(reason, expected);
            ++refusedVerifications;
        }
    }

    /// Every batch that waits can be verified, one at a time, with proofs of its own backends.
    function drain() external {
        uint256 snapshot = vm.snapshotState();
        Backend[] memory current = list;
        for (uint256 n = proposer.lastVerifiedBatch() + 1; n <= proposer.lastCommittedBatch(); ++n) {
            bytes[] memory proofs = new bytes[](current.length);
            for (uint256 i; i < current.length; ++i) {
                if (Model.proves(current[i], n)) {
                    proofs[i] = verifier.prove(current[i].programKey, publicValues(uint64(n)));
                }
            }
            proposer.verifyBatches(headers[n], proofs);
        }
        assertTrue(vm.revertToState(snapshot));
    }
}

contract RangesInvariantsTest is Base {
    RangesHandler internal handler;

    function setUp() public {
        handler = new RangesHandler();
        targetContract(address(handler));
        bytes4[] memory selectors = new bytes4[](4);
        selectors[0] = RangesHandler.commitBatch.selector;
        selectors[1] = RangesHandler.setBackends.selector;
        selectors[2] = RangesHandler.verify.selector;
        selectors[3] = RangesHandler.drain.selector;
        targetSelector(FuzzSelector(address(handler), selectors));
    }

    /// SEQ-INV-7: no batch was verified by fewer proofs than the threshold, each of a backend valid at that batch.
    function invariant_everyBatchHasItsProofs() public view {
        assertFalse(handler.underProven());
    }

    /// At every batch that is not verified, now and for ever, enough backends are valid.
    function invariant_noHole() public view {
        OnChainProposer p = handler.proposerOf();
        (Backend[] memory list, uint8 threshold) = p.backends();
        uint256 verified = p.lastVerifiedBatch();
        assertGt(threshold, 0);
        for (uint256 n = verified + 1; n <= verified + 24; ++n) {
            assertGe(Model.validAt(list, n), threshold);
        }
        assertGe(Model.validAt(list, Model.FAR), threshold);
    }

    /// A fixed walk through every branch of the handler, so that the invariants above do not hold of idleness.
    function test_handlerReachesEveryBranch() public {
        for (uint256 i; i < 12; ++i) {
            handler.commitBatch();
            handler.commitBatch();
            for (uint256 k; k < 6; ++k) {
                handler.setBackends(uint256(keccak256(abi.encode(i, k))));
            }
            handler.drain();
            handler.verify(uint8(2 * i + 3), 255);
            handler.verify(uint8(2 * i + 3), 0);
            handler.verify(uint8(2 * i), 0);
        }
        assertGt(handler.accepted(), 5);
        assertGt(handler.refusedPolicies(), 5);
        assertGt(handler.verifications(), 3);
        assertGt(handler.refusedVerifications(), 3);
        invariant_noHole();
        invariant_everyBatchHasItsProofs();
    }
}
