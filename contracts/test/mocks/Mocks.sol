// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {CommonBridge} from "../../src/l1/CommonBridge.sol";
import {BatchHeader, IProofVerifier} from "../../src/l1/Types.sol";

/// @notice Accepts exactly one proof per statement, its hash: bound to program and public values as a real one is.
contract BindingVerifier is IProofVerifier {
    error ProofRejected();

    function prove(bytes32 programKey, bytes memory publicValues) public view returns (bytes memory) {
        return abi.encode(keccak256(abi.encode(address(this), programKey, publicValues)));
    }

    function verify(bytes32 programKey, bytes calldata publicValues, bytes calldata proof) external view {
        if (keccak256(proof) != keccak256(prove(programKey, publicValues))) revert ProofRejected();
    }
}

/// @notice A receiver of withdrawals that tries to be paid twice from within the payment.
contract ReentrantReceiver {
    CommonBridge private immutable BRIDGE;
    bytes private _call;
    bool public entered;
    bytes public answer;

    constructor(CommonBridge bridge) {
        BRIDGE = bridge;
    }

    function arm(bytes calldata data) external {
        _call = data;
    }

    receive() external payable {
        if (_call.length == 0) return;
        bytes memory data = _call;
        delete _call;
        bool ok;
        (ok, answer) = address(BRIDGE).call(data);
        entered = ok;
    }
}

/// @notice A receiver that refuses ETH, with a long answer.
contract RefusingReceiver {
    receive() external payable {
        assembly {
            revert(0, 100000)
        }
    }
}
