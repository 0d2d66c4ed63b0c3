// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Initializable} from "@openzeppelin/contracts-upgradeable/proxy/utils/Initializable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {CommonBridge} from "../../src/l1/CommonBridge.sol";
import {OnChainProposer} from "../../src/l1/OnChainProposer.sol";
import {BatchHeader, IVerifiedBatches} from "../../src/l1/Types.sol";
import {ReentrantReceiver, RefusingReceiver} from "../mocks/Mocks.sol";
import {Base} from "./Base.sol";

contract DepositTest is Base {
    function setUp() public {
        deploySystem(defaultOptions());
        vm.deal(address(this), type(uint128).max);
    }

    function rolling(bytes32 previous, uint64 id, address to, uint256 amount)
        internal
        pure
        returns (bytes32)
    {
        bytes32 leaf = keccak256(abi.encode(id, to, amount));
        return (keccak256(abi.encode(previous, leaf)) >> 32) << 32;
    }

    /// SEQ-INV-1: ids count from 1 without gaps, and the rolling hash pins their order.
    function testFuzz_depositsChain(uint64[8] memory gwei_, address[8] memory to, uint32 step) public {
        bytes32 hash;
        for (uint64 id = 1; id <= 8; ++id) {
            uint256 amount = bound(gwei_[id - 1], 1, 1e9) * 1 gwei;
            address receiver = to[id - 1] == address(0) ? address(1) : to[id - 1];
            hash = rolling(hash, id, receiver, amount);
            vm.expectEmit(address(bridge));
            emit CommonBridge.DepositInitiated(amount, receiver, id, hash);
            bridge.deposit{value: amount}(receiver);
            assertEq(bridge.lastDepositId(), id);
            (bytes32 checkpoint, uint64 next) = bridge.depositCheckpoint(id);
            assertEq(checkpoint, hash);
            assertEq(next, 0, "no deposit waits behind the last");
            (, next) = bridge.depositCheckpoint(id - 1);
            assertEq(next, block.timestamp);
            vm.warp(block.timestamp + bound(step, 0, 1 days));
        }
    }

    /// The rolling hash does not depend on the time of the deposits, though both share a slot.
    function test_rollingHashIgnoresTime() public {
        uint256 snapshot = vm.snapshotState();
        bridge.deposit{value: 1 gwei}(address(1));
        bridge.deposit{value: 2 gwei}(address(2));
        (bytes32 a,) = bridge.depositCheckpoint(2);
        assertTrue(vm.revertToState(snapshot));
        vm.warp(block.timestamp + 12_345);
        bridge.deposit{value: 1 gwei}(address(1));
        vm.warp(block.timestamp + 54_321);
        bridge.deposit{value: 2 gwei}(address(2));
        (bytes32 b,) = bridge.depositCheckpoint(2);
        assertEq(a, b);
        assertEq(uint256(a) & type(uint32).max, 0);
    }

    function test_receiveCreditsTheSender() public {
        vm.deal(address(0xCAFE), 3 gwei);
        vm.expectEmit(true, true, true, false, address(bridge));
        emit CommonBridge.DepositInitiated(3 gwei, address(0xCAFE), 1, 0);
        vm.prank(address(0xCAFE));
        (bool ok,) = address(bridge).call{value: 3 gwei}("");
        assertTrue(ok);
        assertEq(bridge.lastDepositId(), 1);
    }

    function testFuzz_amountMustBeWholeGwei(uint256 amount) public {
        amount = bound(amount, 0, type(uint120).max);
        bool good = amount != 0 && amount % 1 gwei == 0 && amount / 1 gwei <= type(uint64).max;
        if (!good) {
            vm.expectRevert(abi.encodeWithSelector(CommonBridge.InvalidDepositAmount.selector, amount));
        }
        bridge.deposit{value: amount}(address(1));
    }

    function test_amountMustFit64BitsInGwei() public {
        uint256 most = uint256(type(uint64).max) * 1 gwei;
        bridge.deposit{value: most}(address(1));
        vm.expectRevert(abi.encodeWithSelector(CommonBridge.InvalidDepositAmount.selector, most + 1 gwei));
        bridge.deposit{value: most + 1 gwei}(address(1));
    }

    function test_zeroReceiverRefused() public {
        vm.expectRevert(CommonBridge.ZeroAddress.selector);
        bridge.deposit{value: 1 gwei}(address(0));
    }

    function testFuzz_unknownCheckpoint(uint64 index) public {
        bridge.deposit{value: 1 gwei}(address(1));
        index = uint64(bound(index, 2, type(uint64).max));
        vm.expectRevert(abi.encodeWithSelector(CommonBridge.UnknownDepositIndex.selector, index, 1));
        bridge.depositCheckpoint(index);
    }

    function test_emptyQueue() public view {
        (bytes32 hash, uint64 next) = bridge.depositCheckpoint(0);
        assertEq(hash, 0);
        assertEq(next, 0);
        assertEq(bridge.lastDepositId(), 0);
    }

    function test_pausedTakesNoDeposit() public {
        pauseAll();
        vm.expectRevert(CommonBridge.EnforcedPause.selector);
        bridge.deposit{value: 1 gwei}(address(1));
        (bool ok,) = address(bridge).call{value: 1 gwei}("");
        assertFalse(ok);
    }

    // -------------------------------------------------------------------------------------------------- governance

    function test_guardianMayOnlyPause() public {
        vm.startPrank(GUARDIAN);
        bridge.pause();
        assertTrue(bridge.paused());
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, GUARDIAN, bytes32(0)
            )
        );
        bridge.unpause();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, GUARDIAN, bytes32(0)
            )
        );
        bridge.upgradeToAndCall(address(1), "");
        vm.stopPrank();
        vm.startPrank(ADMIN);
        bridge.unpause();
        assertFalse(bridge.paused());
        bridge.pause();
        vm.expectRevert(CommonBridge.EnforcedPause.selector);
        bridge.pause();
        bridge.unpause();
        vm.expectRevert(CommonBridge.ExpectedPause.selector);
        bridge.unpause();
        vm.stopPrank();
    }

    function testFuzz_strangersMayNothing(address stranger) public {
        vm.assume(stranger != ADMIN && stranger != GUARDIAN);
        CommonBridge impl = new CommonBridge(IVerifiedBatches(address(proposer)));
        bytes32 guardianRole = bridge.GUARDIAN_ROLE();
        vm.startPrank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, stranger, guardianRole
            )
        );
        bridge.pause();
        bytes memory notAdmin = abi.encodeWithSelector(
            IAccessControl.AccessControlUnauthorizedAccount.selector, stranger, bytes32(0)
        );
        vm.expectRevert(notAdmin);
        bridge.unpause();
        vm.expectRevert(notAdmin);
        bridge.upgradeToAndCall(address(impl), "");
        vm.expectRevert(notAdmin);
        bridge.grantRole(guardianRole, stranger);
        vm.stopPrank();
    }

    function test_initialisesOnce() public {
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        bridge.initialize(address(this), address(this));
        CommonBridge impl = new CommonBridge(IVerifiedBatches(address(proposer)));
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        impl.initialize(address(this), address(this));
        vm.expectRevert(CommonBridge.ZeroAddress.selector);
        new CommonBridge(IVerifiedBatches(address(0)));
    }

    function test_upgradeKeepsState() public {
        bridge.deposit{value: 5 gwei}(address(1));
        CommonBridge impl = new CommonBridge(IVerifiedBatches(address(proposer)));
        vm.prank(ADMIN);
        bridge.upgradeToAndCall(address(impl), "");
        assertEq(bridge.lastDepositId(), 1);
        assertEq(address(bridge.PROPOSER()), address(proposer));
    }
}

contract ClaimTest is Base {
    function setUp() public {
        deploySystem(defaultOptions());
        vm.deal(address(this), type(uint128).max);
        bridge.deposit{value: 1000 ether}(address(1));
    }

    struct Case {
        uint256 id;
        address to;
        uint256 amount;
        uint256 path;
        bytes32[] proof;
    }

    function claim(BatchHeader memory h, Case memory c) internal {
        bridge.claimWithdrawal(h, c.id, c.to, c.amount, c.path, c.proof);
    }

    /// Commits a batch of `n` withdrawals with ids from `first`, and returns the claim of the one at `pick`.
    function withdrawals(uint256 n, uint256 pick, uint256 first, uint256 amount)
        internal
        returns (BatchHeader memory h, Case memory c)
    {
        bytes32[] memory leaves = new bytes32[](n);
        for (uint256 i; i < n; ++i) {
            leaves[i] = leafOf(first + i, receiver(first + i), amount);
        }
        h = commit(treeRoot(leaves), bridge.lastDepositId());
        c = Case(first + pick, receiver(first + pick), amount, pick, treeProof(leaves, pick));
    }

    function receiver(uint256 id) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("receiver", id)))));
    }

    function testFuzz_claimOnceAndOnlyWhatWasProven(
        uint8 count,
        uint8 pick,
        uint256 amount,
        uint64 first,
        address relayer
    ) public {
        uint256 n = bound(count, 1, 40);
        BatchHeader memory h;
        Case memory c;
        (h, c) = withdrawals(n, bound(pick, 0, n - 1), first, bound(amount, 1, 10 ether));

        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchNotVerified.selector, 1, 0));
        claim(h, c);
        verifyTo(1);

        vm.startPrank(relayer);
        c.amount += 1;
        vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
        claim(h, c);
        c.amount -= 1;
        address to = c.to;
        c.to = relayer;
        vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
        claim(h, c);
        c.to = to;
        c.id += 1;
        vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
        claim(h, c);
        c.id -= 1;

        assertFalse(bridge.isClaimed(c.id));
        vm.expectEmit(address(bridge));
        emit CommonBridge.WithdrawalClaimed(c.id, c.to, c.amount);
        claim(h, c);
        assertEq(c.to.balance, c.amount);
        assertTrue(bridge.isClaimed(c.id));
        vm.expectRevert(abi.encodeWithSelector(CommonBridge.WithdrawalAlreadyClaimed.selector, c.id));
        claim(h, c);
        vm.stopPrank();
    }

    function test_everyWithdrawalOfABatch() public {
        for (uint256 n = 1; n <= 9; ++n) {
            uint256 first = n * 100;
            bytes32[] memory leaves = new bytes32[](n);
            for (uint256 i; i < n; ++i) {
                leaves[i] = leafOf(first + i, receiver(first + i), 1 ether);
            }
            BatchHeader memory h = commit(treeRoot(leaves), bridge.lastDepositId());
            verifyTo(h.number);
            for (uint256 i; i < n; ++i) {
                claim(h, Case(first + i, receiver(first + i), 1 ether, i, treeProof(leaves, i)));
                assertEq(receiver(first + i).balance, 1 ether);
            }
            // Neighbours in the bitmap do not forget each other.
            for (uint256 i; i < n; ++i) {
                vm.expectRevert(
                    abi.encodeWithSelector(CommonBridge.WithdrawalAlreadyClaimed.selector, first + i)
                );
                claim(h, Case(first + i, receiver(first + i), 1 ether, i, treeProof(leaves, i)));
            }
        }
    }

    function testFuzz_brokenProof(uint8 level, uint8 bit) public {
        (BatchHeader memory h, Case memory c) = withdrawals(16, 11, 0, 1 ether);
        verifyTo(1);
        uint256 k = bound(level, 0, 3);
        c.proof[k] ^= bytes32(uint256(1) << bit);
        vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
        claim(h, c);
    }

    /// One withdrawal has one path: other bits, or bits above the tree, do not give a second claim.
    function test_pathIsCanonical() public {
        (BatchHeader memory h, Case memory c) = withdrawals(8, 5, 0, 1 ether);
        verifyTo(1);
        for (uint256 p; p < 300; ++p) {
            if (p == 5) continue;
            c.path = p;
            vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
            claim(h, c);
        }
        c.path = 5;
        claim(h, c);
    }

    function test_proofLengthIsBound() public {
        (BatchHeader memory h, Case memory c) = withdrawals(1, 0, 0, 1 ether);
        verifyTo(1);
        c.proof = new bytes32[](33);
        vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
        claim(h, c);
        c.proof = new bytes32[](32);
        vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
        claim(h, c);
        c.proof = new bytes32[](0);
        claim(h, c);
    }

    /// A tree deeper than the bound is refused, though its proof is right; one as deep as it is accepted.
    function testFuzz_treeDepthIsBound(uint256 depth, uint32 path, bytes32 seed) public {
        depth = bound(depth, 31, 34);
        uint256 index = depth == 31 ? path >> 1 : path;
        bytes32[] memory proof = new bytes32[](depth);
        bytes32 node = leafOf(1, receiver(1), 1 ether);
        for (uint256 k; k < depth; ++k) {
            proof[k] = keccak256(abi.encode(seed, k));
            node = (index >> k) & 1 == 0
                ? keccak256(abi.encode(node, proof[k]))
                : keccak256(abi.encode(proof[k], node));
        }
        BatchHeader memory h = commit(node, 1);
        verifyTo(1);
        if (depth > 32) vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
        claim(h, Case(1, receiver(1), 1 ether, index, proof));
        assertEq(bridge.isClaimed(1), depth <= 32);
    }

    /// An inner node cannot be sold as a leaf, nor the padding.
    function test_innerNodeAndPaddingAreNoWithdrawals() public {
        (BatchHeader memory h, Case memory c) = withdrawals(3, 2, 0, 1 ether);
        verifyTo(1);
        assertEq(c.proof.length, 2);
        assertEq(c.proof[0], 0, "padded with zero");
        bytes32[] memory shorter = new bytes32[](1);
        shorter[0] = c.proof[1];
        c.proof = shorter;
        c.path = 1;
        vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
        claim(h, c);
    }

    function test_batchWithoutWithdrawalsPaysNothing() public {
        BatchHeader memory h = commit(0, 1);
        verifyTo(1);
        vm.expectRevert(CommonBridge.InvalidWithdrawalProof.selector);
        claim(h, Case(0, address(this), 1 ether, 0, new bytes32[](0)));
    }

    function test_forgedHeaderRefused() public {
        commit(0, 1);
        verifyTo(1);
        BatchHeader memory h = headers[1];
        h.withdrawalsRoot = leafOf(0, address(this), 1 ether);
        vm.expectRevert(
            abi.encodeWithSelector(
                CommonBridge.BatchHeaderMismatch.selector, proposer.verifiedHash(1), hashOf(h)
            )
        );
        claim(h, Case(0, address(this), 1 ether, 0, new bytes32[](0)));
    }

    /// Bits above a field's width must not give a header a second form.
    function test_dirtyHeaderWordsRefused() public {
        (BatchHeader memory h, Case memory c) = withdrawals(1, 0, 0, 1 ether);
        verifyTo(1);
        bytes memory data =
            abi.encodeCall(CommonBridge.claimWithdrawal, (h, c.id, c.to, c.amount, c.path, c.proof));
        for (uint256 word = 6; word < 9; ++word) {
            bytes memory dirty = bytes.concat(data);
            dirty[4 + word * 32] = 0x01;
            (bool accepted,) = address(bridge).call(dirty);
            assertFalse(accepted);
        }
        (bool ok,) = address(bridge).call(data);
        assertTrue(ok);
    }

    /// Weakness 1 of the reference: the withdrawals root of a reverted batch stayed claimable.
    function test_revertedBatchCannotBeClaimed() public {
        commit(0, 1);
        (BatchHeader memory stale, Case memory c) = withdrawals(1, 0, 0, 5 ether);
        verifyTo(1);
        revertTo(1);
        vm.expectRevert(abi.encodeWithSelector(OnChainProposer.BatchNotVerified.selector, 2, 1));
        claim(stale, c);
        commit(0, 1);
        verifyTo(2);
        bytes memory mismatch = abi.encodeWithSelector(
            CommonBridge.BatchHeaderMismatch.selector, proposer.verifiedHash(2), hashOf(stale)
        );
        vm.expectRevert(mismatch);
        claim(stale, c);
        assertEq(address(bridge).balance, 1000 ether);

        // The same withdrawal, in the batch that replaced the reverted one's successor, is paid once.
        (BatchHeader memory h,) = withdrawals(1, 0, 0, 5 ether);
        verifyTo(3);
        claim(h, c);
        assertEq(c.to.balance, 5 ether);
    }

    function test_receiverCannotReenter() public {
        ReentrantReceiver bad = new ReentrantReceiver(bridge);
        bytes32[] memory leaves = new bytes32[](2);
        leaves[0] = leafOf(0, address(bad), 1 ether);
        leaves[1] = leafOf(1, address(bad), 1 ether);
        BatchHeader memory h = commit(treeRoot(leaves), 1);
        verifyTo(1);
        Case memory first = Case(0, address(bad), 1 ether, 0, treeProof(leaves, 0));
        Case memory second = Case(1, address(bad), 1 ether, 1, treeProof(leaves, 1));
        bad.arm(
            abi.encodeCall(
                CommonBridge.claimWithdrawal,
                (h, second.id, second.to, second.amount, second.path, second.proof)
            )
        );
        claim(h, first);
        assertFalse(bad.entered());
        assertEq(bytes4(bad.answer()), ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        assertEq(address(bad).balance, 1 ether);
        claim(h, second);
        assertEq(address(bad).balance, 2 ether);
    }

    function test_refusedPaymentStaysClaimable() public {
        RefusingReceiver bad = new RefusingReceiver();
        BatchHeader memory h = commit(leafOf(0, address(bad), 1 ether), 1);
        verifyTo(1);
        Case memory c = Case(0, address(bad), 1 ether, 0, new bytes32[](0));
        vm.expectRevert(
            abi.encodeWithSelector(CommonBridge.WithdrawalTransferFailed.selector, address(bad), 1 ether)
        );
        claim(h, c);
        assertFalse(bridge.isClaimed(0));
        vm.etch(address(bad), "");
        claim(h, c);
        assertEq(address(bad).balance, 1 ether);
    }

    function test_pausedPaysNothing() public {
        (BatchHeader memory h, Case memory c) = withdrawals(1, 0, 0, 1 ether);
        verifyTo(1);
        pauseAll();
        vm.expectRevert(CommonBridge.EnforcedPause.selector);
        claim(h, c);
    }

    /// A pause of the proposer stops commits, not the payment of what was verified.
    function test_proposerPauseLeavesClaims() public {
        (BatchHeader memory h, Case memory c) = withdrawals(1, 0, 0, 1 ether);
        verifyTo(1);
        vm.prank(GUARDIAN);
        proposer.pause();
        claim(h, c);
        assertEq(c.to.balance, 1 ether);
    }

    /// Weakness 7 of the reference: a new slot for each claim, 22,000 gas. Here 256 ids share one.
    function test_claimsShareSlots() public {
        uint64[5] memory ids = [uint64(0), 1, 255, 256, 511];
        bytes32[] memory leaves = new bytes32[](5);
        for (uint256 i; i < 5; ++i) {
            leaves[i] = leafOf(ids[i], receiver(ids[i]), 1 ether);
        }
        BatchHeader memory h = commit(treeRoot(leaves), 1);
        verifyTo(1);
        bytes32[5] memory slots;
        for (uint256 i; i < 5; ++i) {
            vm.record();
            claim(h, Case(ids[i], receiver(ids[i]), 1 ether, i, treeProof(leaves, i)));
            (, bytes32[] memory writes) = vm.accesses(address(bridge));
            assertEq(writes.length, 1, "a claim writes one slot");
            slots[i] = writes[0];
        }
        assertTrue(slots[0] == slots[1] && slots[1] == slots[2], "ids 0 to 255");
        assertTrue(slots[3] == slots[4] && slots[3] != slots[0], "ids 256 to 511");
    }

    /// And in the slot that they share, no claim takes another one's bit.
    function testFuzz_bitmapKeepsIdsApart(uint64 a, uint64 b) public {
        vm.assume(a != b);
        BatchHeader memory h = commit(leafOf(a, receiver(a), 1 ether), 1);
        verifyTo(1);
        claim(h, Case(a, receiver(a), 1 ether, 0, new bytes32[](0)));
        assertTrue(bridge.isClaimed(a));
        assertFalse(bridge.isClaimed(b));
    }
}
