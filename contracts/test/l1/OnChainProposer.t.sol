// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Initializable} from "@openzeppelin/contracts-upgradeable/proxy/utils/Initializable.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {CommonBridge} from "../../src/l1/CommonBridge.sol";
import {OnChainProposer} from "../../src/l1/OnChainProposer.sol";
import {
    Accounts,
    Backend,
    BatchHeader,
    Genesis,
    IDepositQueue,
    SKIPPED_VERIFIER
} from "../../src/l1/Types.sol";
import {BindingVerifier} from "../mocks/Mocks.sol";
import {Base, Options} from "./Base.sol";

contract CommitTest is Base {
    function setUp() public {
        deploySystem(defaultOptions());
    }

    function test_genesis() public view {
        assertEq(proposer.committedHash(0), hashOf(headers[0]));
        assertEq(proposer.verifiedHash(0), hashOf(headers[0]));
        assertEq(proposer.lastCommittedBatch(), 0);
        assertEq(proposer.lastVerifiedBatch(), 0);
        assertEq(proposer.sequencer(), SEQUENCER);
        assertEq(proposer.prover(), PROVER);
    }

    function testFuzz_commitStoresTheHeaderHash(
        bytes32 stateRoot,
        bytes32 blockHash,
        bytes32 withdrawalsRoot,
        bytes32 depositsHash,
        uint64 depositsIndex,
        uint16 age,
        uint8 blobs
    ) public {
        BatchHeader memory h = BatchHeader({
            parentHash: hashOf(headers[0]),
            stateRoot: stateRoot,
            blockHash: blockHash,
            withdrawalsRoot: withdrawalsRoot,
            depositsHash: depositsHash,
            blobsHash: setBlobs(bound(blobs, 1, 16)),
            number: 1,
            depositsIndex: depositsIndex,
            sealedAt: uint64(block.timestamp - bound(age, 0, WINDOW))
        });
        vm.expectEmit(address(proposer));
        emit OnChainProposer.BatchCommitted(1, hashOf(h), stateRoot);
        vm.prank(SEQUENCER);
        send(h);
        assertEq(proposer.committedHash(1), hashOf(h));
        assertEq(proposer.lastCommittedBatch(), 1);
    }

    function testFuzz_onlySequencerCommits(address stranger) public {
        vm.assume(stranger != SEQUENCER);
        BatchHeader memory h = nextHeader(0, 0);
        setBlobs(1);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.NotSequencer.selector, stranger));
        vm.prank(stranger);
        send(h);
    }

    /// SEQ-INV-4: the same commit sent twice lands once.
    function testFuzz_numberMustBeNext(uint40 number) public {
        commit(0, 0);
        vm.assume(number != 2);
        BatchHeader memory h = nextHeader(0, 0);
        h.number = number;
        setBlobs(1);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.UnexpectedBatchNumber.selector, 2, number));
        vm.prank(SEQUENCER);
        send(h);
    }

    function testFuzz_sealWindow(uint64 sealedAt) public {
        BatchHeader memory h = nextHeader(0, 0);
        h.sealedAt = sealedAt;
        setBlobs(1);
        bool good = sealedAt <= block.timestamp && sealedAt + uint256(WINDOW) >= block.timestamp;
        if (!good) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    OnChainProposer.SealTimeOutOfWindow.selector, sealedAt, block.timestamp
                )
            );
        }
        vm.prank(SEQUENCER);
        send(h);
    }

    function test_sealWindowEdges() public {
        uint64[4] memory times = [
            uint64(block.timestamp + 1),
            uint64(block.timestamp) - WINDOW - 1,
            uint64(block.timestamp) - WINDOW,
            uint64(block.timestamp)
        ];
        for (uint256 i; i < 4; ++i) {
            BatchHeader memory h = nextHeader(0, 0);
            h.sealedAt = times[i];
            setBlobs(1);
            if (i < 2) {
                vm.expectRevert(
                    abi.encodeWithSelector(
                        OnChainProposer.SealTimeOutOfWindow.selector, times[i], block.timestamp
                    )
                );
            }
            vm.prank(SEQUENCER);
            send(h);
        }
        assertEq(proposer.lastCommittedBatch(), 2);
    }

    function test_blobsRequired() public {
        setBlobs(0);
        BatchHeader memory h = nextHeader(0, 0);
        vm.expectRevert(OnChainProposer.BlobsMissing.selector);
        vm.prank(SEQUENCER);
        send(h);
    }

    /// Commits as the sequencer, with `data` behind the arguments.
    function sendWithData(BatchHeader memory h, bytes memory data) internal returns (bool success) {
        bytes memory arguments = abi.encodeCall(
            OnChainProposer.commitBatch,
            (
                h.stateRoot,
                h.blockHash,
                h.withdrawalsRoot,
                h.depositsHash,
                h.depositsIndex,
                h.sealedAt,
                uint40(h.number)
            )
        );
        vm.prank(SEQUENCER);
        (success,) = address(proposer).call(abi.encodePacked(arguments, data));
    }

    /// Call data in place of blobs is committed to, to the byte.
    function testFuzz_dataInCallData(bytes calldata data) public {
        vm.assume(data.length > 0);
        setBlobs(0);
        BatchHeader memory h = nextHeader(0, 0);
        h.blobsHash = ~keccak256(data);
        assertTrue(sendWithData(h, data));
        assertEq(proposer.committedHash(1), hashOf(h));
    }

    /// Versioned hashes in call data are not the blobs that they name: nobody can commit to blobs that L1 has not seen.
    function testFuzz_hashesOfBlobsAreNoBlobs(uint8 count) public {
        count = uint8(bound(count, 1, 16));
        bytes32[] memory blobs = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            blobs[i] = bytes32((uint256(1) << 248) | i);
        }
        setBlobs(0);
        BatchHeader memory h = nextHeader(0, 0);
        h.blobsHash = keccak256(abi.encodePacked(blobs));
        assertTrue(sendWithData(h, abi.encodePacked(blobs)));
        assertTrue(proposer.committedHash(1) != hashOf(h));
        h.blobsHash = ~h.blobsHash;
        assertEq(proposer.committedHash(1), hashOf(h));
    }

    /// Where there are blobs, they are the data.
    function test_blobsGoBeforeCallData() public {
        BatchHeader memory h = nextHeader(0, 0);
        h.blobsHash = setBlobs(2);
        assertTrue(sendWithData(h, hex"0102"));
        assertEq(proposer.committedHash(1), hashOf(h));
    }

    function test_atMost16Blobs() public {
        BatchHeader memory h = nextHeader(0, 0);
        setBlobs(17);
        vm.expectRevert(OnChainProposer.TooManyBlobs.selector);
        vm.prank(SEQUENCER);
        send(h);
        h.blobsHash = setBlobs(16);
        vm.prank(SEQUENCER);
        send(h);
        assertEq(proposer.committedHash(1), hashOf(h));
    }

    function test_validiumNeedsNoBlobs() public {
        Options memory o = defaultOptions();
        o.requireBlobs = false;
        deploySystem(o);
        BatchHeader memory h = nextHeader(0, 0);
        setBlobs(0);
        vm.prank(SEQUENCER);
        send(h);
        assertEq(h.blobsHash, 0);
        assertEq(proposer.committedHash(1), hashOf(h));
        record(h);
        h = commit(0, 0); // with blobs all the same
        assertTrue(h.blobsHash != 0);
        assertEq(proposer.committedHash(2), hashOf(h));
    }

    function test_pausedTakesNoCommit() public {
        vm.prank(GUARDIAN);
        proposer.pause();
        BatchHeader memory h = nextHeader(0, 0);
        setBlobs(1);
        vm.expectRevert(OnChainProposer.EnforcedPause.selector);
        vm.prank(SEQUENCER);
        send(h);
    }

    function test_viewsRefuseUnknownBatches() public {
        commit(0, 0);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchNotCommitted.selector, 2, 1));
        proposer.committedHash(2);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchNotVerified.selector, 1, 0));
        proposer.verifiedHash(1);
    }

    /// Weakness 6 of the reference: three proxies on the way of a commit. Ours passes one, asks no other contract, and
    /// its hot state is one slot: a commit that grew another one would cost 2,100 gas more.
    function test_hotStateIsOneSlot() public {
        commit(0, 0);
        BatchHeader memory h = nextHeader(0, 0);
        vm.record();
        commit(h);
        (bytes32[] memory reads, bytes32[] memory writes) = vm.accesses(address(proposer));
        uint256 slots;
        for (uint256 i; i < reads.length; ++i) {
            bool seen;
            for (uint256 j; j < i; ++j) {
                seen = seen || reads[j] == reads[i];
            }
            if (!seen) ++slots;
        }
        // ERC-1967 slot, hot slot, parent's hash, own hash.
        assertEq(slots, 4);
        assertEq(writes.length, 2);
        (reads, writes) = vm.accesses(address(bridge));
        assertEq(reads.length + writes.length, 0, "the bridge is not asked");
    }
}

contract VerifyTest is Base {
    function setUp() public {
        deploySystem(defaultOptions());
        vm.deal(address(this), 1e30);
    }

    function testFuzz_oneProofForManyBatches(uint8 count, uint8 first) public {
        uint64 n = uint64(bound(count, 2, 12));
        uint64 m = uint64(bound(first, 1, n - 1));
        for (uint64 i; i < n; ++i) {
            commit(bytes32(uint256(i)), 0);
        }
        vm.expectEmit(address(proposer));
        emit OnChainProposer.BatchesVerified(1, m, hashOf(headers[m]));
        verifyTo(m);
        assertEq(proposer.lastVerifiedBatch(), m);
        vm.expectEmit(address(proposer));
        emit OnChainProposer.BatchesVerified(m + 1, n, hashOf(headers[n]));
        verifyTo(n);
        assertEq(proposer.verifiedHash(n), hashOf(headers[n]));
        // Replay.
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchNotVerifiable.selector, m, n, n));
        proposer.verifyBatches(headers[m], new bytes[](1));
    }

    /// SEQ-INV-7, and weakness 2 of the reference: no batch without a proof, were it the first or empty.
    function test_noBatchWithoutProof() public {
        commit(0, 0);
        bytes[][3] memory none = [new bytes[](0), new bytes[](1), new bytes[](1)];
        address[3] memory callers = [address(this), SEQUENCER, PROVER];
        for (uint256 i; i < 3; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(OnChainProposer.RequiredProofMissing.selector, 0));
            proposer.verifyBatches(headers[1], none[i]);
        }
    }

    /// SEQ-INV-7, and weakness 3 of the reference: a proof of another range, program, or statement.
    function test_proofForAnotherStatementRefused() public {
        commit(0, 0);
        commit(0, 0);
        commit(0, 0);
        bytes[] memory proofs = proofsFor(2);
        vm.expectRevert(BindingVerifier.ProofRejected.selector);
        proposer.verifyBatches(headers[3], proofs); // shorter range
        verifyTo(1);
        vm.expectRevert(BindingVerifier.ProofRejected.selector);
        proposer.verifyBatches(headers[2], proofs); // 0..2 instead of 1..2
        proofs[0] = verifier.prove(keccak256("other program"), publicValues(2));
        vm.expectRevert(BindingVerifier.ProofRejected.selector);
        proposer.verifyBatches(headers[2], proofs);
    }

    function testFuzz_tamperedHeaderRefused(uint8 field, uint8 bit) public {
        BatchHeader memory h = commit(keccak256("w"), 0);
        bytes[] memory proofs = proofsFor(1);
        field = uint8(bound(field, 0, 8));
        if (field == 6) field = 0; // another number is another error, tested above
        uint256 width = field < 6 ? 256 : 64;
        uint256 flip = uint256(1) << (bit % width);
        assembly {
            let p := add(h, mul(field, 32))
            mstore(p, xor(mload(p), flip))
        }
        vm.expectRevert(
            abi.encodeWithSelector(
                OnChainProposer.BatchHeaderMismatch.selector, proposer.committedHash(1), hashOf(h)
            )
        );
        proposer.verifyBatches(h, proofs);
    }

    /// Weakness 5 of the reference: only the state root was chained from batch to batch.
    function test_previousBlockIsBound() public {
        BatchHeader memory a = commit(0, 0);
        revertTo(0);
        BatchHeader memory b = nextHeader(0, 0);
        b.blockHash = keccak256("another block, same state");
        commit(b);
        assertTrue(hashOf(a) != hashOf(b));
        BatchHeader memory next = commit(0, 0);
        assertEq(next.parentHash, proposer.committedHash(1));
        assertTrue(next.parentHash != hashOf(a));
    }

    function test_notCommittedCannotBeVerified() public {
        BatchHeader memory h = nextHeader(0, 0);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchNotVerifiable.selector, 1, 0, 0));
        proposer.verifyBatches(h, new bytes[](1));
        h.number = 0;
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchNotVerifiable.selector, 0, 0, 0));
        proposer.verifyBatches(h, new bytes[](1));
    }

    function test_pausedVerifiesNothing() public {
        commit(0, 0);
        bytes[] memory proofs = proofsFor(1);
        vm.prank(GUARDIAN);
        proposer.pause();
        vm.expectRevert(OnChainProposer.EnforcedPause.selector);
        proposer.verifyBatches(headers[1], proofs);
    }

    // --------------------------------------------------------------------------------------------------- deposits

    /// SEQ-INV-1: the deposits of a verified batch are the bridge's.
    function test_wrongDepositsHashRefused() public {
        bridge.deposit{value: 1 gwei}(address(1));
        BatchHeader memory h = nextHeader(0, 1);
        bytes32 expected = h.depositsHash;
        h.depositsHash = keccak256("invented");
        h = commit(h);
        bytes[] memory proofs = proofsFor(1);
        vm.expectRevert(
            abi.encodeWithSelector(
                OnChainProposer.DepositsHashMismatch.selector, expected, keccak256("invented")
            )
        );
        proposer.verifyBatches(h, proofs);
    }

    function test_unknownDepositIndexRefused() public {
        bridge.deposit{value: 1 gwei}(address(1));
        BatchHeader memory h = nextHeader(0, 1);
        h.depositsIndex = 2;
        h = commit(h);
        bytes[] memory proofs = proofsFor(1);
        vm.expectRevert(abi.encodeWithSelector(CommonBridge.UnknownDepositIndex.selector, 2, 1));
        proposer.verifyBatches(h, proofs);
    }

    /// The stored slot holds the time in its low bits: the time must not be taken for the hash.
    function test_unmaskedSlotIsNoDepositsHash() public {
        bridge.deposit{value: 1 gwei}(address(1));
        BatchHeader memory h = nextHeader(0, 1);
        bytes32 expected = h.depositsHash;
        h.depositsHash = expected | bytes32(block.timestamp & type(uint32).max);
        h = commit(h);
        bytes[] memory proofs = proofsFor(1);
        vm.expectRevert(
            abi.encodeWithSelector(OnChainProposer.DepositsHashMismatch.selector, expected, h.depositsHash)
        );
        proposer.verifyBatches(h, proofs);
    }

    /// Forced inclusion.
    function test_overdueDepositBlocksVerification() public {
        bridge.deposit{value: 1 gwei}(address(1));
        uint64 depositedAt = uint64(block.timestamp);
        vm.warp(depositedAt + MAX_WAIT);
        commit(0, 0); // the last second at which it may be left out
        verifyTo(1);
        vm.warp(depositedAt + MAX_WAIT + 1);
        commit(0, 0);
        bytes[] memory proofs = proofsFor(2);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.DepositOverdue.selector, 1, depositedAt));
        proposer.verifyBatches(headers[2], proofs);

        // A later batch that includes it heals the range, without a revert.
        commit(0, 1);
        verifyTo(3);
        assertEq(proposer.lastVerifiedBatch(), 3);
    }

    function test_overdueBatchCanBeRevertedAndReplaced() public {
        bridge.deposit{value: 1 gwei}(address(1));
        vm.warp(block.timestamp + MAX_WAIT + 1);
        commit(0, 0);
        revertTo(0);
        commit(0, 1);
        verifyTo(1);
        assertEq(proposer.lastVerifiedBatch(), 1);
    }

    /// Weakness 4 of the reference: the cost grew with the queue, until no transaction could pay it.
    function test_queueLengthCostsNothing() public {
        bridge.deposit{value: 1 gwei}(address(1));
        bridge.deposit{value: 1 gwei}(address(1));
        commit(0, 1);
        bytes[] memory proofs = proofsFor(1);
        uint256 snapshot = vm.snapshotState();
        uint256 before = gasleft();
        proposer.verifyBatches(headers[1], proofs);
        uint256 shortQueue = before - gasleft();
        assertTrue(vm.revertToState(snapshot));
        for (uint256 i; i < 300; ++i) {
            bridge.deposit{value: 1 gwei}(address(1));
        }
        before = gasleft();
        proposer.verifyBatches(headers[1], proofs);
        assertApproxEqAbs(before - gasleft(), shortQueue, 3000); // warm slots differ, the queue does not count
    }

    // ------------------------------------------------------------------------------------------------------ revert

    function test_revertOnlyUnverifiedAndPausedByAdmin() public {
        for (uint256 i; i < 4; ++i) {
            commit(0, 0);
        }
        verifyTo(2);
        vm.prank(ADMIN);
        vm.expectRevert(OnChainProposer.ExpectedPause.selector);
        proposer.revertBatches(3);
        vm.startPrank(GUARDIAN);
        proposer.pause();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, GUARDIAN, bytes32(0)
            )
        );
        proposer.revertBatches(3);
        vm.stopPrank();
        vm.startPrank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchesNotRevertible.selector, 1, 2, 4));
        proposer.revertBatches(1);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchesNotRevertible.selector, 4, 2, 4));
        proposer.revertBatches(4);
        vm.expectEmit(address(proposer));
        emit OnChainProposer.BatchesReverted(3, 4);
        proposer.revertBatches(2);
        vm.stopPrank();
        assertEq(proposer.lastCommittedBatch(), 2);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchNotCommitted.selector, 3, 2));
        proposer.committedHash(3);
    }

    function test_revertedHeaderIsVoid() public {
        commit(0, 0);
        BatchHeader memory old = commit(keccak256("old"), 0);
        bytes[] memory proofs = proofsFor(2);
        revertTo(1);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchNotVerifiable.selector, 2, 0, 1));
        proposer.verifyBatches(old, proofs);
        commit(keccak256("new"), 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                OnChainProposer.BatchHeaderMismatch.selector, proposer.committedHash(2), hashOf(old)
            )
        );
        proposer.verifyBatches(old, proofs);
        verifyTo(2);
    }
}

contract BackendsTest is Base {
    BindingVerifier internal second;
    BindingVerifier internal third;

    function setUp() public {
        deploySystem(defaultOptions());
        second = new BindingVerifier();
        third = new BindingVerifier();
    }

    function list(bool firstRequired) internal view returns (Backend[] memory b) {
        b = new Backend[](3);
        b[0] = Backend(address(verifier), firstRequired, 0, 0, KEY);
        b[1] = Backend(address(second), false, 0, 0, keccak256("second"));
        b[2] = Backend(address(third), false, 0, 0, keccak256("third"));
    }

    function set(Backend[] memory b, uint8 threshold) internal {
        vm.prank(ADMIN);
        proposer.setBackends(b, threshold);
    }

    /// Every subset of valid proofs against k-of-n with one required backend.
    function testFuzz_kOfN(uint8 threshold, uint8 mask, bool required) public {
        threshold = uint8(bound(threshold, 1, 3));
        mask = mask & 7;
        set(list(required), threshold);
        commit(0, 0);
        bytes memory pv = publicValues(1);
        bytes[] memory proofs = new bytes[](3);
        if (mask & 1 != 0) proofs[0] = verifier.prove(KEY, pv);
        if (mask & 2 != 0) proofs[1] = second.prove(keccak256("second"), pv);
        if (mask & 4 != 0) proofs[2] = third.prove(keccak256("third"), pv);
        uint256 given = (mask & 1) + ((mask >> 1) & 1) + (mask >> 2);
        if (required && mask & 1 == 0) {
            vm.expectRevert(abi.encodeWithSelector(OnChainProposer.RequiredProofMissing.selector, 0));
        } else if (given < threshold) {
            vm.expectRevert(abi.encodeWithSelector(OnChainProposer.TooFewProofs.selector, given, threshold));
        }
        proposer.verifyBatches(headers[1], proofs);
    }

    /// A wrong proof beside enough right ones is still refused, not ignored.
    function test_wrongExtraProofRefused() public {
        set(list(false), 1);
        commit(0, 0);
        bytes[] memory proofs = new bytes[](3);
        proofs[0] = verifier.prove(KEY, publicValues(1));
        proofs[2] = hex"00";
        vm.expectRevert(BindingVerifier.ProofRejected.selector);
        proposer.verifyBatches(headers[1], proofs);
    }

    function test_moreProofsThanBackendsRefused() public {
        commit(0, 0);
        bytes[] memory proofs = new bytes[](2);
        proofs[0] = verifier.prove(KEY, publicValues(1));
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.UnexpectedProof.selector, 1));
        proposer.verifyBatches(headers[1], proofs);
    }

    function test_trailingProofsMayBeLeftOff() public {
        set(list(true), 1);
        commit(0, 0);
        proposer.verifyBatches(headers[1], proofsFor(1));
        assertEq(proposer.lastVerifiedBatch(), 1);
    }

    function test_viewAndReplacement() public {
        set(list(true), 2);
        (Backend[] memory b, uint8 threshold) = proposer.backends();
        assertEq(b.length, 3);
        assertEq(threshold, 2);
        assertEq(b[2].verifier, address(third));
        assertEq(b[2].programKey, keccak256("third"));
        assertTrue(b[0].required && !b[1].required);
        Backend[] memory one = new Backend[](1);
        one[0] = Backend(address(second), false, 0, 0, KEY);
        vm.expectEmit(address(proposer));
        emit OnChainProposer.BackendsChanged(1, 1);
        set(one, 1);
        (b, threshold) = proposer.backends();
        assertEq(b.length, 1);
        assertEq(b[0].verifier, address(second));
        assertEq(threshold, 1);
    }

    function testFuzz_thresholdBounds(uint8 threshold) public {
        vm.assume(threshold == 0 || threshold > 3);
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.InvalidThreshold.selector, threshold, 3, 1));
        proposer.setBackends(list(true), threshold);
    }

    function test_fifteenBackendsAtMost() public {
        Backend[] memory b = new Backend[](16);
        for (uint256 i; i < 16; ++i) {
            b[i] = Backend(address(verifier), false, 0, 0, bytes32(i));
        }
        vm.prank(ADMIN);
        vm.expectRevert(OnChainProposer.TooManyBackends.selector);
        proposer.setBackends(b, 1);
        assembly {
            mstore(b, 15)
        }
        set(b, 15);
        (Backend[] memory stored, uint8 threshold) = proposer.backends();
        assertEq(stored.length, 15);
        assertEq(threshold, 15);
        commit(0, 0);
        bytes[] memory proofs = new bytes[](15);
        for (uint256 i; i < 15; ++i) {
            proofs[i] = verifier.prove(bytes32(i), publicValues(1));
        }
        proposer.verifyBatches(headers[1], proofs);
        assertEq(proposer.lastVerifiedBatch(), 1);
    }

    /// Weakness 3 of the reference: a call to an address without code "succeeds".
    function testFuzz_verifierWithoutCodeRefused(address empty) public {
        vm.assume(empty.code.length == 0 && empty != SKIPPED_VERIFIER);
        Backend[] memory b = new Backend[](1);
        b[0] = Backend(empty, true, 0, 0, KEY);
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.VerifierWithoutCode.selector, empty));
        proposer.setBackends(b, 1);
    }

    /// And a verifier whose code vanished later accepts nothing.
    function test_verifierThatLostItsCodeAcceptsNothing() public {
        commit(0, 0);
        bytes[] memory proofs = proofsFor(1);
        vm.etch(address(verifier), "");
        vm.expectRevert();
        proposer.verifyBatches(headers[1], proofs);
        assertEq(proposer.lastVerifiedBatch(), 0);
    }

    function test_withoutDevModeNothingIsSkipped() public {
        vm.startPrank(ADMIN);
        vm.expectRevert(OnChainProposer.NoBackends.selector);
        proposer.setBackends(new Backend[](0), 0);
        Backend[] memory b = list(true);
        b[1].verifier = SKIPPED_VERIFIER;
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.SkippedBackendNotAllowed.selector, 1));
        proposer.setBackends(b, 1);
        vm.stopPrank();
    }

    function test_cannotBeDeployedWithoutBackends() public {
        Options memory o = defaultOptions();
        o.backends = new Backend[](0);
        o.threshold = 0;
        OnChainProposer impl =
            new OnChainProposer(IDepositQueue(address(bridge)), false, true, MAX_WAIT, WINDOW);
        vm.expectRevert(OnChainProposer.NoBackends.selector);
        new ERC1967Proxy(address(impl), proposerInitData(o));
    }
}

contract DevModeTest is Base {
    function setUp() public {
        Options memory o = defaultOptions();
        o.devMode = true;
        o.backends = new Backend[](0);
        o.threshold = 0;
        deploySystem(o);
    }

    function test_withoutBackendsOnlyTheProverVerifies() public {
        commit(0, 0);
        address[3] memory others = [address(this), SEQUENCER, ADMIN];
        for (uint256 i; i < 3; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(OnChainProposer.NotProver.selector, others[i]));
            proposer.verifyBatches(headers[1], new bytes[](0));
        }
        vm.prank(PROVER);
        proposer.verifyBatches(headers[1], new bytes[](0));
        assertEq(proposer.lastVerifiedBatch(), 1);
    }

    function test_skippedBackends() public {
        Backend[] memory b = new Backend[](2);
        b[0] = Backend(SKIPPED_VERIFIER, false, 0, 0, 0);
        b[1] = Backend(SKIPPED_VERIFIER, false, 0, 0, 0);
        vm.prank(ADMIN);
        proposer.setBackends(b, 0);
        commit(0, 0);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.NotProver.selector, address(this)));
        proposer.verifyBatches(headers[1], new bytes[](2));
        bytes[] memory proofs = new bytes[](2);
        proofs[1] = hex"01";
        vm.prank(PROVER);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.UnexpectedProof.selector, 1));
        proposer.verifyBatches(headers[1], proofs);
        vm.prank(PROVER);
        proposer.verifyBatches(headers[1], new bytes[](2));
        assertEq(proposer.lastVerifiedBatch(), 1);
    }

    /// A skipped backend counts for nothing where a real one is configured.
    function test_skippedBesideRealBackend() public {
        Backend[] memory b = new Backend[](2);
        b[0] = Backend(SKIPPED_VERIFIER, false, 0, 0, 0);
        b[1] = Backend(address(verifier), false, 0, 0, KEY);
        vm.startPrank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.InvalidThreshold.selector, 2, 1, 1));
        proposer.setBackends(b, 2);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.InvalidThreshold.selector, 0, 1, 1));
        proposer.setBackends(b, 0);
        proposer.setBackends(b, 1);
        vm.stopPrank();
        commit(0, 0);
        vm.prank(PROVER);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.TooFewProofs.selector, 0, 1));
        proposer.verifyBatches(headers[1], new bytes[](2));
        bytes[] memory proofs = new bytes[](2);
        proofs[1] = verifier.prove(KEY, publicValues(1));
        proposer.verifyBatches(headers[1], proofs);
    }

    function test_skippedCannotBeRequired() public {
        Backend[] memory b = new Backend[](1);
        b[0] = Backend(SKIPPED_VERIFIER, true, 0, 0, 0);
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.SkippedBackendNotAllowed.selector, 0));
        proposer.setBackends(b, 0);
    }
}

contract GovernanceTest is Base {
    function setUp() public {
        deploySystem(defaultOptions());
    }

    function test_guardianMayOnlyPause() public {
        vm.startPrank(GUARDIAN);
        proposer.pause();
        bytes memory notAdmin = abi.encodeWithSelector(
            IAccessControl.AccessControlUnauthorizedAccount.selector, GUARDIAN, bytes32(0)
        );
        vm.expectRevert(notAdmin);
        proposer.unpause();
        vm.expectRevert(notAdmin);
        proposer.setSequencer(GUARDIAN);
        vm.expectRevert(notAdmin);
        proposer.setProver(GUARDIAN);
        vm.stopPrank();
        vm.startPrank(ADMIN);
        vm.expectRevert(OnChainProposer.EnforcedPause.selector);
        proposer.pause();
        proposer.unpause();
        vm.expectRevert(OnChainProposer.ExpectedPause.selector);
        proposer.unpause();
        proposer.pause();
        assertTrue(proposer.paused());
        vm.stopPrank();
    }

    function testFuzz_strangersMayNothing(address stranger) public {
        vm.assume(stranger != ADMIN && stranger != GUARDIAN);
        OnChainProposer impl =
            new OnChainProposer(IDepositQueue(address(bridge)), false, true, MAX_WAIT, WINDOW);
        bytes32 guardianRole = proposer.GUARDIAN_ROLE();
        bytes memory notAdmin = abi.encodeWithSelector(
            IAccessControl.AccessControlUnauthorizedAccount.selector, stranger, bytes32(0)
        );
        vm.startPrank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, stranger, guardianRole
            )
        );
        proposer.pause();
        vm.expectRevert(notAdmin);
        proposer.unpause();
        vm.expectRevert(notAdmin);
        proposer.revertBatches(0);
        vm.expectRevert(notAdmin);
        proposer.setBackends(new Backend[](0), 0);
        vm.expectRevert(notAdmin);
        proposer.setSequencer(stranger);
        vm.expectRevert(notAdmin);
        proposer.setProver(stranger);
        vm.expectRevert(notAdmin);
        proposer.upgradeToAndCall(address(impl), "");
        vm.stopPrank();
    }

    function test_sequencerHandover() public {
        vm.startPrank(ADMIN);
        vm.expectRevert(OnChainProposer.ZeroAddress.selector);
        proposer.setSequencer(address(0));
        vm.expectRevert(OnChainProposer.ZeroAddress.selector);
        proposer.setProver(address(0));
        vm.expectEmit(address(proposer));
        emit OnChainProposer.SequencerChanged(address(0x77));
        proposer.setSequencer(address(0x77));
        vm.expectEmit(address(proposer));
        emit OnChainProposer.ProverChanged(address(0x78));
        proposer.setProver(address(0x78));
        vm.stopPrank();
        BatchHeader memory h = nextHeader(0, 0);
        setBlobs(1);
        vm.prank(SEQUENCER);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.NotSequencer.selector, SEQUENCER));
        send(h);
        vm.prank(address(0x77));
        send(h);
        assertEq(proposer.lastCommittedBatch(), 1);
        assertEq(proposer.lastVerifiedBatch(), 0);
        assertFalse(proposer.paused());
        (, uint8 threshold) = proposer.backends();
        assertEq(threshold, 1, "neighbours in the slot are untouched");
    }

    function test_initialisesOnce() public {
        Accounts memory a = Accounts(address(this), address(this), address(this), address(this));
        Genesis memory g = Genesis(1, 0, 0);
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        proposer.initialize(a, g, new Backend[](0), 0);
        OnChainProposer impl =
            new OnChainProposer(IDepositQueue(address(bridge)), true, true, MAX_WAIT, WINDOW);
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        impl.initialize(a, g, new Backend[](0), 0);
        vm.expectRevert(OnChainProposer.ZeroAddress.selector);
        new OnChainProposer(IDepositQueue(address(0)), true, true, MAX_WAIT, WINDOW);
    }

    function test_zeroAccountsRefused() public {
        OnChainProposer impl =
            new OnChainProposer(IDepositQueue(address(bridge)), true, true, MAX_WAIT, WINDOW);
        for (uint256 i; i < 4; ++i) {
            address[4] memory a = [ADMIN, GUARDIAN, SEQUENCER, PROVER];
            a[i] = address(0);
            bytes memory init = abi.encodeCall(
                OnChainProposer.initialize,
                (Accounts(a[0], a[1], a[2], a[3]), Genesis(1, 0, 0), new Backend[](0), 0)
            );
            vm.expectRevert(OnChainProposer.ZeroAddress.selector);
            new ERC1967Proxy(address(impl), init);
        }
    }
}
