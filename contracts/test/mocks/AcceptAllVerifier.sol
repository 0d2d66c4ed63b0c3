// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IProofVerifier} from "../../src/l1/Types.sol";

/// @notice FOR TESTS ONLY: accepts every proof. With it, gas measurements show the proposer's own cost.
contract AcceptAllVerifier is IProofVerifier {
    function verify(bytes32, bytes calldata, bytes calldata) external view {}
}
