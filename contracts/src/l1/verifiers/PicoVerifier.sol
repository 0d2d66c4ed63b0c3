// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IProofVerifier} from "../Types.sol";
import {Groth16, VARIABLE, VerifyingKey} from "./Groth16.sol";

/// @title Pico's Groth16 proofs.
/// @notice The program key is Pico's "riscv vkey". A proof is A, B, C: 256 bytes, without anything that tells its
/// version. Public inputs: program key, and sha256 of the public values without the three highest bits.
contract PicoVerifier is Groth16, IProofVerifier {
    uint256 private constant DIGEST_MASK = (1 << 253) - 1;

    constructor(VerifyingKey memory key) Groth16(key, picoInputs()) {}

    /// @inheritdoc IProofVerifier
    function verify(bytes32 programKey, bytes calldata publicValues, bytes calldata proof) external view {
        _requireProof(uint256(programKey), uint256(sha256(publicValues)) & DIGEST_MASK, 0, proof);
    }
}

function picoInputs() pure returns (uint256[] memory inputs) {
    inputs = new uint256[](2);
    (inputs[0], inputs[1]) = (VARIABLE, VARIABLE);
}
