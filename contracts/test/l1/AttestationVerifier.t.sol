// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {AttestationVerifier} from "../../src/l1/AttestationVerifier.sol";
import {Backend} from "../../src/l1/Types.sol";
import {Base, Options} from "./Base.sol";

contract AttestationVerifierTest is Test {
    bytes32 internal constant KEY = keccak256("program");
    uint256 internal constant CURVE_ORDER =
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    /// Private keys, in ascending order of their accounts.
    uint256[] internal keys;

    function setUp() public {
        for (uint256 i = 1; i <= 5; ++i) {
            keys.push(i);
        }
        for (uint256 i; i < 5; ++i) {
            for (uint256 j; j < 4; ++j) {
                if (vm.addr(keys[j]) > vm.addr(keys[j + 1])) (keys[j], keys[j + 1]) = (keys[j + 1], keys[j]);
            }
        }
    }

    function make(uint256 n, uint256 threshold) internal returns (AttestationVerifier) {
        address[] memory signers = new address[](n);
        for (uint256 i; i < n; ++i) {
            signers[i] = vm.addr(keys[i]);
        }
        return new AttestationVerifier(signers, threshold);
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// Every subset of n signers with exactly `threshold` members is accepted, others are not.
    function testFuzz_mOfN(uint8 n_, uint8 m_, uint8 mask) public {
        uint256 n = bound(n_, 1, 5);
        uint256 m = bound(m_, 1, n);
        AttestationVerifier a = make(n, m);
        bytes memory pv = abi.encode(keccak256("from"), keccak256("to"));
        bytes32 digest = a.digest(KEY, pv);
        bytes memory proof;
        uint256 count;
        for (uint256 i; i < n; ++i) {
            if ((mask >> i) & 1 == 1) {
                proof = bytes.concat(proof, sign(keys[i], digest));
                ++count;
            }
        }
        if (count != m) {
            vm.expectRevert(
                abi.encodeWithSelector(AttestationVerifier.InvalidProofLength.selector, m * 65, count * 65)
            );
        }
        a.verify(KEY, pv, proof);
    }

    function test_refusals() public {
        AttestationVerifier a = make(3, 2);
        bytes memory pv = abi.encode(keccak256("from"), keccak256("to"));
        bytes32 d = a.digest(KEY, pv);
        bytes memory s0 = sign(keys[0], d);
        bytes memory s1 = sign(keys[1], d);
        a.verify(KEY, pv, bytes.concat(s0, s1));

        address first = vm.addr(keys[0]);
        vm.expectRevert(
            abi.encodeWithSelector(AttestationVerifier.SignersNotAscending.selector, first, first)
        );
        a.verify(KEY, pv, bytes.concat(s0, s0));
        vm.expectRevert(
            abi.encodeWithSelector(AttestationVerifier.SignersNotAscending.selector, vm.addr(keys[1]), first)
        );
        a.verify(KEY, pv, bytes.concat(s1, s0));
        vm.expectRevert(abi.encodeWithSelector(AttestationVerifier.NotASigner.selector, vm.addr(keys[4])));
        a.verify(KEY, pv, bytes.concat(s0, sign(keys[4], d)));
        vm.expectRevert(abi.encodeWithSelector(AttestationVerifier.InvalidProofLength.selector, 130, 0));
        a.verify(KEY, pv, "");
        vm.expectRevert(abi.encodeWithSelector(AttestationVerifier.InvalidProofLength.selector, 130, 195));
        a.verify(KEY, pv, bytes.concat(s0, s1, s1));
        vm.expectRevert(); // recovers some stranger
        a.verify(keccak256("other program"), pv, bytes.concat(s0, s1));
        vm.expectRevert();
        a.verify(KEY, abi.encode(keccak256("from"), keccak256("elsewhere")), bytes.concat(s0, s1));
    }

    function testFuzz_flippedBitRefused(uint16 index, bytes32 from, bytes32 to) public {
        AttestationVerifier a = make(2, 2);
        bytes memory pv = abi.encode(from, to);
        bytes32 d = a.digest(KEY, pv);
        bytes memory proof = bytes.concat(sign(keys[0], d), sign(keys[1], d));
        uint256 bit = bound(index, 0, proof.length * 8 - 1);
        proof[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        vm.expectRevert();
        a.verify(KEY, pv, proof);
    }

    /// The other root of a signature (high s) is not a second form of the proof.
    function test_malleatedSignatureRefused() public {
        AttestationVerifier a = make(1, 1);
        bytes memory pv = abi.encode(uint256(1), uint256(2));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[0], a.digest(KEY, pv));
        bytes32 high = bytes32(CURVE_ORDER - uint256(s));
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, high));
        a.verify(KEY, pv, abi.encodePacked(r, high, v == 27 ? uint8(28) : uint8(27)));
    }

    /// A signature is good for one chain and one contract.
    function test_boundToChainAndContract() public {
        AttestationVerifier a = make(1, 1);
        AttestationVerifier b = make(1, 1);
        bytes memory pv = abi.encode(uint256(1), uint256(2));
        bytes memory proof = sign(keys[0], a.digest(KEY, pv));
        a.verify(KEY, pv, proof);
        vm.expectRevert();
        b.verify(KEY, pv, proof);
        vm.chainId(block.chainid + 1);
        vm.expectRevert();
        a.verify(KEY, pv, proof);
    }

    function test_configuration() public {
        address[] memory s = new address[](2);
        s[0] = vm.addr(1);
        s[1] = vm.addr(2);
        vm.expectRevert(abi.encodeWithSelector(AttestationVerifier.InvalidThreshold.selector, 0, 2));
        new AttestationVerifier(s, 0);
        vm.expectRevert(abi.encodeWithSelector(AttestationVerifier.InvalidThreshold.selector, 3, 2));
        new AttestationVerifier(s, 3);
        s[1] = s[0];
        vm.expectRevert(abi.encodeWithSelector(AttestationVerifier.InvalidSigner.selector, s[0]));
        new AttestationVerifier(s, 1);
        s[1] = address(0);
        vm.expectRevert(abi.encodeWithSelector(AttestationVerifier.InvalidSigner.selector, address(0)));
        new AttestationVerifier(s, 1);
    }
}

/// Through the proposer, end to end.
contract AttestedBatchTest is Base {
    function test_attestedBatchIsVerified() public {
        address[] memory s = new address[](1);
        s[0] = vm.addr(7);
        AttestationVerifier a = new AttestationVerifier(s, 1);
        Options memory o = defaultOptions();
        o.backends[0] = Backend(address(a), true, 0, 0, KEY);
        deploySystem(o);
        commit(0, 0);
        commit(0, 0);
        (uint8 v, bytes32 r, bytes32 sv) = vm.sign(7, a.digest(KEY, publicValues(2)));
        bytes[] memory proofs = new bytes[](1);
        proofs[0] = abi.encodePacked(r, sv, v);
        vm.expectRevert();
        proposer.verifyBatches(headers[1], proofs);
        proposer.verifyBatches(headers[2], proofs);
        assertEq(proposer.lastVerifiedBatch(), 2);
    }
}
