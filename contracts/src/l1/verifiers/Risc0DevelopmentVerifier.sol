// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IProofVerifier} from "../Types.sol";
import {Groth16} from "./Groth16.sol";
import {Risc0Claim} from "./Risc0Claim.sol";

/// What a proposer says of itself.
interface IDevMode {
    function DEV_MODE() external view returns (bool);
}

/// @title Believes that a RISC Zero program ran. FOR DEVELOPMENT ONLY: whoever knows a batch can make its seal.
/// @notice A seal is 36 bytes: selector ffffffff and the digest of the receipt's claim, as RISC Zero's own mock verifier
/// has it. A contract that calls this one has to be deployed for development; a proposer without DEV_MODE is refused.
contract Risc0DevelopmentVerifier is Risc0Claim, IProofVerifier {
    bytes4 public constant SELECTOR = 0xffffffff;
    uint256 private constant LENGTH = 36;

    /// @notice The caller is a contract that was not deployed for development.
    error NotForDevelopment(address caller);

    /// @inheritdoc IProofVerifier
    function verify(bytes32 programKey, bytes calldata publicValues, bytes calldata proof) external view {
        // Accounts may ask what a proposer would be told.
        if (msg.sender.code.length != 0 && !_isDevelopment(msg.sender)) revert NotForDevelopment(msg.sender);
        if (proof.length != LENGTH) revert Groth16.InvalidProofLength(LENGTH, proof.length);
        if (bytes4(proof) != SELECTOR || bytes32(proof[4:]) != claimDigest(programKey, sha256(publicValues)))
        {
            revert Groth16.ProofInvalid();
        }
    }

    function _isDevelopment(address caller) private view returns (bool) {
        (bool ok, bytes memory answer) = caller.staticcall(abi.encodeCall(IDevMode.DEV_MODE, ()));
        return ok && answer.length == 32 && bytes32(answer) == bytes32(uint256(1));
    }
}
