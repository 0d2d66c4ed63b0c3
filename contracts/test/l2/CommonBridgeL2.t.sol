// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test, Vm} from "forge-std/Test.sol";
import {CommonBridgeL2} from "../../src/l2/CommonBridgeL2.sol";
import {NestedWithdrawer} from "../mocks/NestedWithdrawer.sol";

contract CommonBridgeL2Test is Test {
    CommonBridgeL2 internal constant BRIDGE = CommonBridgeL2(address(0xFFFF));

    event WithdrawalInitiated(
        address indexed sender, address indexed receiver, uint256 indexed amount, uint256 id
    );

    function setUp() public {
        // As in the genesis: runtime code, no constructor, empty storage.
        vm.etch(address(BRIDGE), type(CommonBridgeL2).runtimeCode);
        vm.deal(address(this), 1e30);
    }

    function testFuzz_withdraw(address[4] memory receivers, uint96[4] memory amounts) public {
        uint256 burnt = address(0).balance;
        for (uint256 i; i < 4; ++i) {
            address to = receivers[i] == address(0) ? address(1) : receivers[i];
            uint256 amount = bound(amounts[i], 1, type(uint96).max);
            vm.expectEmit(address(BRIDGE));
            emit WithdrawalInitiated(address(this), to, amount, i);
            BRIDGE.withdraw{value: amount}(to);
            burnt += amount;
            assertEq(address(0).balance, burnt);
            assertEq(address(BRIDGE).balance, 0);
            assertEq(uint256(vm.load(address(BRIDGE), 0)), i + 1, "the counter is storage slot 0");
            assertEq(BRIDGE.withdrawalCount(), i + 1);
        }
    }

    function test_refusals() public {
        vm.expectRevert(CommonBridgeL2.ZeroAmount.selector);
        BRIDGE.withdraw(address(1));
        vm.expectRevert(CommonBridgeL2.ZeroReceiver.selector);
        BRIDGE.withdraw{value: 1}(address(0));
        (bool ok,) = address(BRIDGE).call{value: 1}("");
        assertFalse(ok, "plain transfers would be lost");
        assertEq(BRIDGE.withdrawalCount(), 0);
    }

    /// Each at another depth of calls, for another receiver, in one transaction.
    function test_deeperAndDeeper() public {
        NestedWithdrawer w = new NestedWithdrawer();
        address[] memory receivers = new address[](3);
        for (uint160 i; i < 3; ++i) {
            receivers[i] = address(0xB0B + i);
            vm.expectEmit(address(BRIDGE));
            emit WithdrawalInitiated(address(w), receivers[i], 2 ether, i);
        }
        w.runDeep{value: 6 ether}(address(BRIDGE), receivers, 2 ether);
        assertEq(BRIDGE.withdrawalCount(), 3);
        assertEq(address(0).balance, 6 ether);
        assertEq(address(w).balance, 0);
    }

    /// The reference lost withdrawals made by a contract, and had one id per transaction.
    function test_anyDepthAndSeveralPerTransaction() public {
        NestedWithdrawer w = new NestedWithdrawer();
        vm.recordLogs();
        w.run{value: 30 ether}(address(BRIDGE), address(0xB0B), 3, 10 ether);
        try w.runAndRevert{value: 5 ether}(address(BRIDGE), address(0xB0B), 5 ether) {
            revert("not undone");
        } catch Error(string memory reason) {
            assertEq(reason, "undone");
        }
        w.run{value: 1 ether}(address(BRIDGE), address(0xB0B), 1, 1 ether);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 seen;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(BRIDGE)) continue;
            if (seen == 3 && uint256(logs[i].topics[3]) == 5 ether) continue; // of the undone call, not in the receipt
            assertEq(abi.decode(logs[i].data, (uint256)), seen, "ids have no gap");
            assertEq(logs[i].topics[1], bytes32(uint256(uint160(address(w)))));
            ++seen;
        }
        assertEq(seen, 4);
        assertEq(BRIDGE.withdrawalCount(), 4);
        assertEq(address(0).balance, 31 ether);
    }
}
