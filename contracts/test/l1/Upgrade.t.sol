// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {OnChainProposer} from "../../src/l1/OnChainProposer.sol";
import {IDepositQueue} from "../../src/l1/Types.sol";
import {Base, Options} from "./Base.sol";

contract OnChainProposerV2 is OnChainProposer {
    constructor(IDepositQueue bridge) OnChainProposer(bridge, false, true, 3 days, 6 hours) {}

    function version() external pure returns (uint256) {
        return 2;
    }
}

/// The admin is an OpenZeppelin TimelockController: an upgrade waits for its delay.
contract TimelockUpgradeTest is Base {
    address internal constant COUNCIL = address(0xC0C);
    TimelockController internal timelock;

    function setUp() public {
        address[] memory council = new address[](1);
        council[0] = COUNCIL;
        timelock = new TimelockController(2 days, council, council, address(0));
        Options memory o = defaultOptions();
        o.admin = address(timelock);
        deploySystem(o);
    }

    function test_upgradeThroughTheTimelock() public {
        commit(keccak256("w"), 0);
        OnChainProposerV2 impl = new OnChainProposerV2(IDepositQueue(address(bridge)));
        bytes memory upgrade = abi.encodeCall(proposer.upgradeToAndCall, (address(impl), ""));

        vm.startPrank(COUNCIL);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, COUNCIL, bytes32(0)
            )
        );
        proposer.upgradeToAndCall(address(impl), "");
        vm.expectRevert();
        timelock.execute(address(proposer), 0, upgrade, 0, 0);
        timelock.schedule(address(proposer), 0, upgrade, 0, 0, 2 days);
        vm.warp(block.timestamp + 2 days - 1);
        vm.expectRevert();
        timelock.execute(address(proposer), 0, upgrade, 0, 0);
        vm.warp(block.timestamp + 1);
        timelock.execute(address(proposer), 0, upgrade, 0, 0);
        vm.stopPrank();

        assertEq(OnChainProposerV2(address(proposer)).version(), 2);
        assertEq(proposer.lastCommittedBatch(), 1);
        assertEq(proposer.committedHash(1), hashOf(headers[1]));
        verifyTo(1);
        assertEq(proposer.lastVerifiedBatch(), 1);
    }

    /// Storage of a backend, also as versions without ranges wrote it: slots keccak256(index, 2) and the next one.
    function test_layoutOfTheBackends() public view {
        bytes32 slot = keccak256(abi.encode(0, 2));
        assertEq(vm.load(address(proposer), slot), bytes32(uint160(address(verifier)) | (uint256(1) << 160)));
        assertEq(vm.load(address(proposer), bytes32(uint256(slot) + 1)), KEY);
    }

    /// The guardian needs no delay to stop the system, only the timelock lets it go on.
    function test_guardianStopsAtOnce() public {
        pauseAll();
        assertTrue(proposer.paused() && bridge.paused());
        bytes memory unpause = abi.encodeCall(proposer.unpause, ());
        vm.startPrank(COUNCIL);
        timelock.schedule(address(proposer), 0, unpause, 0, 0, 2 days);
        vm.warp(block.timestamp + 2 days);
        timelock.execute(address(proposer), 0, unpause, 0, 0);
        vm.stopPrank();
        assertFalse(proposer.paused());
    }

    function test_upgradeToSomethingElseRefused() public {
        vm.startPrank(address(timelock));
        vm.expectRevert();
        proposer.upgradeToAndCall(address(verifier), ""); // no UUPS implementation
        vm.stopPrank();
    }
}
