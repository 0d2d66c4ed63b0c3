// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice Creates contracts from init code given as call data. Its own code is always the same, so CREATE2 puts it
/// at an address that depends on the salt alone; what it creates first (nonce 1) is at one that follows from it.
contract Carrier {
    fallback() external {
        assembly ("memory-safe") {
            let ptr := mload(0x40)
            calldatacopy(ptr, 0, calldatasize())
            if iszero(create(0, ptr, calldatasize())) {
                returndatacopy(ptr, 0, returndatasize())
                revert(ptr, returndatasize())
            }
        }
    }
}

/// @title Deploys contracts at addresses that are known beforehand.
/// @notice For an L1 that lacks the well-known CREATE2 factories, and for the one address that CREATE2 cannot give:
/// bridge and proposer hold each other's address in their code, and a CREATE2 address depends on the code.
contract DeterministicDeployer {
    /// @notice A contract was deployed.
    event Deployed(address indexed deployed);

    /// @notice There is code at the address already: the deployment was done before.
    error AlreadyDeployed(address deployed);
    /// @notice The init code reverted without a reason, or left no code behind.
    error DeploymentFailed();

    /// @notice Deploys by CREATE2 (EIP-1014): the address depends on this contract, `salt` and `initCode`, so it does
    /// not matter who calls.
    function deploy(bytes32 salt, bytes calldata initCode) external returns (address deployed) {
        deployed = addressOf(salt, keccak256(initCode));
        if (deployed.code.length != 0) revert AlreadyDeployed(deployed);
        bytes memory code = initCode;
        address created;
        assembly ("memory-safe") {
            created := create2(0, add(code, 32), mload(code), salt)
        }
        if (created == address(0)) _bubble();
        // Init code that leaves no code behind would look as if it had not been deployed.
        if (deployed.code.length == 0) revert DeploymentFailed();
        emit Deployed(deployed);
    }

    /// @notice Deploys at an address that depends on this contract, the caller and `salt`, not on `initCode`.
    function deployByAddress(bytes32 salt, bytes calldata initCode) external returns (address deployed) {
        address carrier;
        (carrier, deployed) = _byAddress(msg.sender, salt);
        if (carrier.code.length != 0) revert AlreadyDeployed(deployed);
        (bool ok,) = address(new Carrier{salt: _callerSalt(msg.sender, salt)}()).call(initCode);
        if (!ok) _bubble();
        if (deployed.code.length == 0) revert DeploymentFailed();
        emit Deployed(deployed);
    }

    /// @notice Where `deploy` puts the contract.
    function addressOf(bytes32 salt, bytes32 initCodeHash) public view returns (address) {
        return _address(keccak256(abi.encodePacked(hex"ff", address(this), salt, initCodeHash)));
    }

    /// @notice Where `deployByAddress` puts the contract that `caller` deploys.
    function addressFor(address caller, bytes32 salt) external view returns (address deployed) {
        (, deployed) = _byAddress(caller, salt);
    }

    function _byAddress(address caller, bytes32 salt)
        private
        view
        returns (address carrier, address deployed)
    {
        carrier = addressOf(_callerSalt(caller, salt), keccak256(type(Carrier).creationCode));
        // RLP of [carrier, 1], the CREATE address of an account with nonce 1.
        deployed = _address(keccak256(abi.encodePacked(hex"d694", carrier, hex"01")));
    }

    function _callerSalt(address caller, bytes32 salt) private pure returns (bytes32) {
        return keccak256(abi.encode(caller, salt));
    }

    function _bubble() private pure {
        assembly ("memory-safe") {
            if returndatasize() {
                let ptr := mload(0x40)
                returndatacopy(ptr, 0, returndatasize())
                revert(ptr, returndatasize())
            }
        }
        revert DeploymentFailed();
    }

    function _address(bytes32 hash) private pure returns (address) {
        return address(uint160(uint256(hash)));
    }
}
