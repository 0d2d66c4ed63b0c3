// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

// OpenZeppelin contracts that are deployed as they are: imported, so that forge writes their artifacts.
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
