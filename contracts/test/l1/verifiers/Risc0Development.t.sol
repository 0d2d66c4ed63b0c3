// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Groth16} from "../../../src/l1/verifiers/Groth16.sol";
import {IDevMode, Risc0DevelopmentVerifier} from "../../../src/l1/verifiers/Risc0DevelopmentVerifier.sol";
import {Proofs} from "./Proofs.sol";

/// A proposer, as the verifier sees it.
contract Proposer is IDevMode {
    bool public immutable DEV_MODE;
    Risc0DevelopmentVerifier private immutable VERIFIER;

    constructor(bool devMode, Risc0DevelopmentVerifier verifier) {
        DEV_MODE = devMode;
        VERIFIER = verifier;
    }

    function verify(bytes32 programKey, bytes calldata publicValues, bytes calldata proof) external view {
        VERIFIER.verify(programKey, publicValues, proof);
    }
}

/// SEQ-INV-7: seals that prove nothing are for development.
contract Risc0DevelopmentTest is Proofs {
    Risc0DevelopmentVerifier internal verifier = new Risc0DevelopmentVerifier();
    bytes32 internal constant PROGRAM = bytes32(uint256(7));
    bytes internal values = abi.encode(uint256(1), uint256(2));
    bytes internal seal;

    function setUp() public {
        seal = bytes.concat(
            hex"ffffffff",
            risc0Verifier(vm.readFile("keys/risc0-v3.json")).claimDigest(PROGRAM, sha256(values))
        );
    }

    function test_aProposerForDevelopmentMayBelieve() public {
        new Proposer(true, verifier).verify(PROGRAM, values, seal);
        vm.prank(address(1));
        verifier.verify(PROGRAM, values, seal);
    }

    function test_everybodyElseIsRefused() public {
        Proposer strict = new Proposer(false, verifier);
        vm.expectRevert(
            abi.encodeWithSelector(Risc0DevelopmentVerifier.NotForDevelopment.selector, address(strict))
        );
        strict.verify(PROGRAM, values, seal);
        // This test is a contract that does not know the question.
        vm.expectRevert(
            abi.encodeWithSelector(Risc0DevelopmentVerifier.NotForDevelopment.selector, address(this))
        );
        verifier.verify(PROGRAM, values, seal);
    }

    function test_aSealIsForOneProgramAndItsValues() public {
        Proposer proposer = new Proposer(true, verifier);
        bytes memory invalid = abi.encodeWithSelector(Groth16.ProofInvalid.selector);
        vm.expectRevert(invalid);
        proposer.verify(bytes32(uint256(8)), values, seal);
        vm.expectRevert(invalid);
        proposer.verify(PROGRAM, abi.encode(uint256(1), uint256(3)), seal);
        for (uint256 i; i < 36; ++i) {
            bytes memory other = seal;
            other[i] ^= 0x01;
            vm.expectRevert(invalid);
            proposer.verify(PROGRAM, values, other);
        }
        for (uint256 n = 0; n < 38; ++n) {
            if (n == 36) continue;
            vm.expectRevert(abi.encodeWithSelector(Groth16.InvalidProofLength.selector, 36, n));
            proposer.verify(PROGRAM, values, cut(seal, n));
        }
    }
}
