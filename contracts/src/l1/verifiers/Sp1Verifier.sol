// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IProofVerifier} from "../Types.sol";
import {Groth16, VARIABLE, VerifyingKey} from "./Groth16.sol";

/// @title SP1's Groth16 proofs.
/// @notice The program key is the program's `vk.bytes32()`.
///
/// SP1 v6: 4 bytes selector, exit code, root of the recursion's keys, nonce (a word each), A, B, C: 356 bytes. Public
/// inputs: program key, digest of the public values, exit code, root, nonce. The exit code must be 0 (the program
/// ended well) and the root this contract's, or other recursion programs than SP1's own would do.
///
/// SP1 v4 and v5, where `VK_ROOT` is zero: selector, A, B, C: 260 bytes. Public inputs: program key, digest.
///
/// The digest is sha256 of the public values, without the three highest bits. Programs that hash them with blake3
/// instead are not accepted. As in sp1-verifier 6.10.0 (src/groth16/mod.rs).
contract Sp1Verifier is Groth16, IProofVerifier {
    uint256 private constant SELECTOR_LENGTH = 4;
    uint256 private constant HEADER_LENGTH = 100;
    uint256 private constant DIGEST_MASK = (1 << 253) - 1;

    /// @notice The first bytes of every proof: those of sha256 of the verifying key's file.
    bytes4 public immutable SELECTOR;
    /// @notice Root of the keys of SP1's recursion programs, zero before v6.
    bytes32 public immutable VK_ROOT;

    /// @notice The proof is of another version of SP1.
    error UnexpectedSelector(bytes4 expected, bytes4 actual);
    /// @notice The proof is of a program that failed.
    error UnexpectedExitCode(bytes32 exitCode);
    /// @notice The proof was made with other recursion programs.
    error UnexpectedVkRoot(bytes32 expected, bytes32 actual);

    constructor(VerifyingKey memory key, bytes4 selector, bytes32 vkRoot) Groth16(key, sp1Inputs(vkRoot)) {
        SELECTOR = selector;
        VK_ROOT = vkRoot;
    }

    /// @inheritdoc IProofVerifier
    function verify(bytes32 programKey, bytes calldata publicValues, bytes calldata proof) external view {
        bytes32 vkRoot = VK_ROOT;
        uint256 header = vkRoot == 0 ? SELECTOR_LENGTH : HEADER_LENGTH;
        if (proof.length != header + POINTS_LENGTH) {
            revert InvalidProofLength(header + POINTS_LENGTH, proof.length);
        }
        bytes4 selector = bytes4(proof);
        if (selector != SELECTOR) revert UnexpectedSelector(SELECTOR, selector);
        uint256 nonce;
        if (vkRoot != 0) {
            bytes32 exitCode = bytes32(proof[4:36]);
            if (exitCode != 0) revert UnexpectedExitCode(exitCode);
            bytes32 root = bytes32(proof[36:68]);
            if (root != vkRoot) revert UnexpectedVkRoot(vkRoot, root);
            nonce = uint256(bytes32(proof[68:100]));
        }
        uint256 digest = uint256(sha256(publicValues)) & DIGEST_MASK;
        _requireProof(uint256(programKey), digest, nonce, proof[header:]);
    }
}

function sp1Inputs(bytes32 vkRoot) pure returns (uint256[] memory inputs) {
    inputs = new uint256[](vkRoot == 0 ? 2 : 5);
    (inputs[0], inputs[1]) = (VARIABLE, VARIABLE);
    if (vkRoot != 0) (inputs[2], inputs[3], inputs[4]) = (0, uint256(vkRoot), VARIABLE);
}
