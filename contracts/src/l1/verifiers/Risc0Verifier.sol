// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IProofVerifier} from "../Types.sol";
import {Groth16, VARIABLE, VerifyingKey} from "./Groth16.sol";
import {Risc0Claim} from "./Risc0Claim.sol";

/// @title RISC Zero's Groth16 seals.
/// @notice The program key is the image id, the public values are the journal. A proof is a seal: 4 bytes selector,
/// A, B, C: 260 bytes. Public inputs: control root (two halves), digest of the receipt's claim (two halves), control
/// id of the identity program over BN254.
/// As in risc0-groth16 3.0.5 (src/verifier.rs).
contract Risc0Verifier is Groth16, Risc0Claim, IProofVerifier {
    uint256 private constant SELECTOR_LENGTH = 4;
    /// @notice The first bytes of every seal: those of the digest of key, control root and control id.
    bytes4 public immutable SELECTOR;
    /// @notice Root of the recursion programs that RISC Zero allows.
    bytes32 public immutable CONTROL_ROOT;
    /// @notice Control id of the identity program over BN254.
    bytes32 public immutable BN254_CONTROL_ID;

    /// @notice The seal is of another version of RISC Zero.
    error UnexpectedSelector(bytes4 expected, bytes4 actual);

    constructor(VerifyingKey memory key, bytes4 selector, bytes32 controlRoot, bytes32 bn254ControlId)
        Groth16(key, risc0Inputs(controlRoot, bn254ControlId))
    {
        SELECTOR = selector;
        CONTROL_ROOT = controlRoot;
        BN254_CONTROL_ID = bn254ControlId;
    }

    /// @inheritdoc IProofVerifier
    function verify(bytes32 programKey, bytes calldata publicValues, bytes calldata proof) external view {
        if (proof.length != SELECTOR_LENGTH + POINTS_LENGTH) {
            revert InvalidProofLength(SELECTOR_LENGTH + POINTS_LENGTH, proof.length);
        }
        bytes4 selector = bytes4(proof);
        if (selector != SELECTOR) revert UnexpectedSelector(SELECTOR, selector);
        (uint256 low, uint256 high) = risc0Halves(claimDigest(programKey, sha256(publicValues)));
        _requireProof(low, high, 0, proof[SELECTOR_LENGTH:]);
    }
}

function risc0Inputs(bytes32 controlRoot, bytes32 bn254ControlId) pure returns (uint256[] memory inputs) {
    inputs = new uint256[](5);
    (inputs[0], inputs[1]) = risc0Halves(controlRoot);
    (inputs[2], inputs[3]) = (VARIABLE, VARIABLE);
    inputs[4] = reversed(bn254ControlId);
}

/// The two halves of a digest as RISC Zero's circuit takes them: its bytes as little-endian number, low half first.
function risc0Halves(bytes32 digest) pure returns (uint256 low, uint256 high) {
    uint256 number = reversed(digest);
    return (number & type(uint128).max, number >> 128);
}

/// The bytes of a word as a little-endian number.
function reversed(bytes32 word) pure returns (uint256 number) {
    number = uint256(word);
    // Neighbouring bytes, then pairs, fours, eights and halves change places.
    number = (number & BYTES) << 8 | (number >> 8) & BYTES;
    number = (number & PAIRS) << 16 | (number >> 16) & PAIRS;
    number = (number & FOURS) << 32 | (number >> 32) & FOURS;
    number = (number & EIGHTS) << 64 | (number >> 64) & EIGHTS;
    number = number << 128 | number >> 128;
}

uint256 constant BYTES = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
uint256 constant PAIRS = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
uint256 constant FOURS = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
uint256 constant EIGHTS = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
