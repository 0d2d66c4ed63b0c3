// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title The bridge on the L2, a predeploy at 0x000000000000000000000000000000000000ffff.
/// @notice Burns ETH here, so that it can be claimed from the CommonBridge on L1.
/// @dev Put into the genesis as runtime code: no constructor, no immutables, and zero storage is its right start.
/// The sequencer and the proven program collect its events, whatever transaction and call depth they come from.
contract CommonBridgeL2 {
    /// @notice How many withdrawals there were, and so the id of the next one. Storage slot 0.
    uint256 public withdrawalCount;

    /// @notice `amount` wei were burnt, for `receiver` on L1. Ids count from 0 without gaps.
    event WithdrawalInitiated(
        address indexed sender, address indexed receiver, uint256 indexed amount, uint256 id
    );

    /// @notice A withdrawal must carry ETH.
    error ZeroAmount();
    /// @notice The receiver must not be the zero address.
    error ZeroReceiver();
    /// @notice The ETH could not be burnt.
    error BurnFailed();

    /// @notice Withdraws the sent ETH to `receiverOnL1`.
    function withdraw(address receiverOnL1) external payable {
        if (msg.value == 0) revert ZeroAmount();
        if (receiverOnL1 == address(0)) revert ZeroReceiver();
        uint256 id = withdrawalCount;
        withdrawalCount = id + 1;
        emit WithdrawalInitiated(msg.sender, receiverOnL1, msg.value, id);
        (bool ok,) = address(0).call{value: msg.value}("");
        if (!ok) revert BurnFailed();
    }
}
