// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice Withdraws from within calls, several times in one transaction.
contract NestedWithdrawer {
    function run(address bridge, address receiver, uint256 times, uint256 amount) external payable {
        for (uint256 i; i < times; ++i) {
            (bool ok,) = bridge.call{value: amount}(abi.encodeWithSignature("withdraw(address)", receiver));
            require(ok, "withdraw");
        }
    }

    /// A withdrawal for each receiver, each one call deeper than the one before.
    function runDeep(address bridge, address[] calldata receivers, uint256 amount) external payable {
        this.run(bridge, receivers[0], 1, amount);
        if (receivers.length > 1) this.runDeep(bridge, receivers[1:], amount);
    }

    /// A withdrawal that is undone must leave no gap in the ids.
    function runAndRevert(address bridge, address receiver, uint256 amount) external payable {
        this.run(bridge, receiver, 1, amount);
        revert("undone");
    }
}
