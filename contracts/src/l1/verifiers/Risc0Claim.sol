// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title What a receipt of RISC Zero says.
/// @notice The claim is that the image was started as it is, ended with exit code 0, read no input but private one, wrote
/// the journal, and assumed nothing. As in risc0-zkvm 3.0.5 (src/claim/receipt.rs) and risc0-binfmt 3.0.4
/// (src/hash.rs).
abstract contract Risc0Claim {
    // A digest of a structure is sha256(sha256(tag), digests in it, numbers in it (32 bits, little endian), count of
    // the digests (16 bits, little endian)).
    /// sha256("risc0.ReceiptClaim")
    bytes32 private constant CLAIM_TAG = 0xcb1fefcd1f2d9a64975cbbbf6e161e2914434b0cbb9960b84df5d717e86b48af;
    /// sha256("risc0.Output")
    bytes32 private constant OUTPUT_TAG = 0x77eafeb366a78b47747de0d7bb176284085ff5564887009a5be63da32d3559d4;
    /// Digest of the system's state after a program that halted: structure "risc0.SystemState" of a zero root and
    /// program counter 0.
    bytes32 private constant HALTED = 0xa3acc27117418996340b84e5a90f3ef4c49d22c79e44aad822ec9c313e1eb8e2;

    /// @notice The digest of the claim that program `imageId` ended well with a journal of this sha256.
    function claimDigest(bytes32 imageId, bytes32 journalDigest) public pure returns (bytes32) {
        bytes32 output = sha256(abi.encodePacked(OUTPUT_TAG, journalDigest, bytes32(0), bytes2(0x0200)));
        return
            sha256(
                abi.encodePacked(CLAIM_TAG, bytes32(0), imageId, HALTED, output, uint64(0), bytes2(0x0400))
            );
    }
}
