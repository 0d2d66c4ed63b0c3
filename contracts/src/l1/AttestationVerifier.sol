// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IProofVerifier} from "./Types.sol";

/// @title A proof backend of m-of-n signatures.
/// @notice The signers say that they executed the batches and got these public values. It is worth what the signers
/// are worth: a trusted execution environment, or a second opinion beside a validity proof.
/// @dev EIP-712 typed data, domain (name "EnsembleAttestation", version "1", chain id, this contract), type
/// `BatchAttestation(bytes32 programKey,bytes publicValues)`. The set of signers never changes: another set is
/// another contract, which governance puts into the proposer's backends.
contract AttestationVerifier is EIP712, IProofVerifier {
    bytes32 private constant TYPEHASH = keccak256("BatchAttestation(bytes32 programKey,bytes publicValues)");
    uint256 private constant SIGNATURE_LENGTH = 65;

    /// @notice How many signatures a proof has.
    uint256 public immutable THRESHOLD;
    /// @notice Whether an account's signature counts.
    mapping(address account => bool) public isSigner;

    /// @notice The threshold must lie between 1 and the number of signers.
    error InvalidThreshold(uint256 threshold, uint256 signers);
    /// @notice A signer is the zero address or named twice.
    error InvalidSigner(address signer);
    /// @notice A proof is exactly THRESHOLD signatures of 65 bytes.
    error InvalidProofLength(uint256 expected, uint256 actual);
    /// @notice The recovered account is no signer: a stranger's signature, or one over something else.
    error NotASigner(address account);
    /// @notice Signatures must be in ascending order of their accounts, each account once.
    error SignersNotAscending(address previous, address account);

    constructor(address[] memory signers, uint256 threshold) EIP712("EnsembleAttestation", "1") {
        if (threshold == 0 || threshold > signers.length) revert InvalidThreshold(threshold, signers.length);
        THRESHOLD = threshold;
        for (uint256 i; i < signers.length; ++i) {
            if (signers[i] == address(0) || isSigner[signers[i]]) revert InvalidSigner(signers[i]);
            isSigner[signers[i]] = true;
        }
    }

    /// @notice What a signer signs.
    function digest(bytes32 programKey, bytes calldata publicValues) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(TYPEHASH, programKey, keccak256(publicValues))));
    }

    /// @inheritdoc IProofVerifier
    /// @param proof THRESHOLD signatures (r, s, v: 65 bytes each), in ascending order of their accounts.
    function verify(bytes32 programKey, bytes calldata publicValues, bytes calldata proof) external view {
        if (proof.length != THRESHOLD * SIGNATURE_LENGTH) {
            revert InvalidProofLength(THRESHOLD * SIGNATURE_LENGTH, proof.length);
        }
        bytes32 hash = digest(programKey, publicValues);
        address previous;
        for (uint256 offset; offset < proof.length; offset += SIGNATURE_LENGTH) {
            address account = ECDSA.recoverCalldata(hash, proof[offset:offset + SIGNATURE_LENGTH]);
            if (!isSigner[account]) revert NotASigner(account);
            if (account <= previous) revert SignersNotAscending(previous, account);
            previous = account;
        }
    }
}
