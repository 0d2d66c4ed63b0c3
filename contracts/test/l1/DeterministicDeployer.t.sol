// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {DeterministicDeployer} from "../../src/l1/DeterministicDeployer.sol";

contract Box {
    error Refused(uint256 value);

    uint256 public immutable VALUE;

    constructor(uint256 value) {
        if (value == 13) revert Refused(value);
        VALUE = value;
    }
}

contract DeterministicDeployerTest is Test {
    DeterministicDeployer internal factory;

    function setUp() public {
        factory = new DeterministicDeployer();
    }

    function code(uint256 value) internal pure returns (bytes memory) {
        return abi.encodePacked(type(Box).creationCode, abi.encode(value));
    }

    function testFuzz_create2(bytes32 salt, address caller) public {
        address expected = vm.computeCreate2Address(salt, keccak256(code(5)), address(factory));
        assertEq(factory.addressOf(salt, keccak256(code(5))), expected);
        vm.expectEmit(address(factory));
        emit DeterministicDeployer.Deployed(expected);
        vm.prank(caller);
        assertEq(factory.deploy(salt, code(5)), expected);
        assertEq(Box(expected).VALUE(), 5);
        vm.expectRevert(abi.encodeWithSelector(DeterministicDeployer.AlreadyDeployed.selector, expected));
        factory.deploy(salt, code(5));
    }

    /// The address is known before the code, and nobody else can take it.
    function testFuzz_byAddress(bytes32 salt, address caller, address stranger, uint256 value) public {
        vm.assume(caller != stranger);
        value = bound(value, 14, type(uint256).max);
        address expected = factory.addressFor(caller, salt);
        vm.prank(stranger);
        assertTrue(factory.deployByAddress(salt, code(1)) != expected);
        assertEq(expected.code.length, 0);
        vm.prank(caller);
        assertEq(factory.deployByAddress(salt, code(value)), expected);
        assertEq(Box(expected).VALUE(), value);
        vm.expectRevert(abi.encodeWithSelector(DeterministicDeployer.AlreadyDeployed.selector, expected));
        vm.prank(caller);
        factory.deployByAddress(salt, code(value));
    }

    function test_constructorErrorsComeThrough() public {
        bytes memory refused = abi.encodeWithSelector(Box.Refused.selector, 13);
        vm.expectRevert(refused);
        factory.deploy(0, code(13));
        vm.expectRevert(refused);
        factory.deployByAddress(0, code(13));
        // The failed attempt has taken nothing.
        factory.deployByAddress(0, code(14));
    }

    function test_noCodeIsAFailure() public {
        vm.expectRevert(DeterministicDeployer.DeploymentFailed.selector);
        factory.deploy(0, "");
        vm.expectRevert(DeterministicDeployer.DeploymentFailed.selector);
        factory.deployByAddress(0, "");
        vm.expectRevert(DeterministicDeployer.DeploymentFailed.selector);
        factory.deploy(0, hex"fe"); // invalid opcode, no reason
        vm.expectRevert(DeterministicDeployer.DeploymentFailed.selector);
        factory.deployByAddress(0, hex"fe");
    }
}
