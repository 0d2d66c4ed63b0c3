// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Backend} from "../../../src/l1/Types.sol";
import {AcceptAllVerifier} from "../../mocks/AcceptAllVerifier.sol";
import {Base, Options} from "../Base.sol";
import {Proofs, RealProof} from "./Proofs.sol";

/// What a call costs (its own gas, without the transaction's) and how long the code is, against snapshots/. Rewrite
/// with `FOUNDRY_GAS_SNAPSHOT_CHECK=false forge test`. Whole transactions: `cargo xtask gas`.
contract GasTest is Base, Proofs {
    RealProof[] internal real;

    function setUp() public {
        for (uint256 i; i < names.length; ++i) {
            real.push(load(names[i]));
        }
        Options memory o = defaultOptions();
        o.backends[0] = Backend(address(new AcceptAllVerifier()), true, 0, 0, KEY);
        deploySystem(o);
        vm.deal(address(this), 1 ether);
        bridge.deposit{value: 1 gwei}(address(1));
        commit(keccak256("w"), 1);
    }

    function test_verifiers() public {
        for (uint256 i; i < real.length; ++i) {
            RealProof memory p = real[i];
            p.verifier.verify(p.programKey, p.publicValues, p.proof);
            vm.snapshotGasLastCall("verifiers", string.concat(p.name, " call"));
            vm.snapshotValue("verifiers", string.concat(p.name, " code"), address(p.verifier).code.length);
        }
    }

    function test_commit() public {
        commit(keccak256("w"), 1);
        vm.snapshotGasLastCall("proposer", "commit call");
    }

    function test_verify() public {
        bytes[] memory proofs = new bytes[](1);
        proofs[0] = new bytes(260);
        proposer.verifyBatches(headers[1], proofs);
        vm.snapshotGasLastCall("proposer", "verify call");
    }

    function test_setBackends() public {
        (Backend[] memory list, uint8 threshold) = proposer.backends();
        vm.prank(ADMIN);
        proposer.setBackends(list, threshold);
        vm.snapshotGasLastCall("proposer", "setBackends call");
        // Behind the proxy, ERC-1967's slot.
        bytes32 slot = bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1);
        address implementation = address(uint160(uint256(vm.load(address(proposer), slot))));
        vm.snapshotValue("proposer", "code", implementation.code.length);
    }
}
