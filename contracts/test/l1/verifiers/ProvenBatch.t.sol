// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {OnChainProposer} from "../../../src/l1/OnChainProposer.sol";
import {Backend, IDepositQueue} from "../../../src/l1/Types.sol";
import {Groth16} from "../../../src/l1/verifiers/Groth16.sol";
import {Sp1Verifier} from "../../../src/l1/verifiers/Sp1Verifier.sol";
import {Base, Options} from "../Base.sol";
import {Proofs, RealProof} from "./Proofs.sol";

/// The proposer's check of proofs with public values of other programs than ours.
contract ProposerHarness is OnChainProposer {
    constructor(IDepositQueue bridge) OnChainProposer(bridge, false, true, 3 days, 6 hours) {}

    function check(bytes calldata publicValues, bytes[] calldata proofs) external view {
        _checkProofs(publicValues, proofs, 0, 1);
    }
}

/// SEQ-INV-7: real proofs through the proposer.
contract ProvenBatchTest is Base, Proofs {
    RealProof[] internal real;

    function setUp() public {
        for (uint256 i; i < names.length; ++i) {
            real.push(load(names[i]));
        }
    }

    function options(RealProof memory p) internal returns (Options memory o) {
        o = defaultOptions();
        o.backends[0] = Backend(address(p.verifier), true, 0, 0, p.programKey);
    }

    function harness(Options memory o) internal returns (ProposerHarness) {
        ProposerHarness impl = new ProposerHarness(IDepositQueue(address(1)));
        return ProposerHarness(address(new ERC1967Proxy(address(impl), proposerInitData(o))));
    }

    function one(bytes memory proof) internal pure returns (bytes[] memory proofs) {
        proofs = new bytes[](1);
        proofs[0] = proof;
    }

    /// A real proof of another statement than the batches' is no proof of the batches.
    function test_proofOfOtherPublicValuesIsRefused() public {
        for (uint256 i; i < real.length; ++i) {
            deploySystem(options(real[i]));
            commit(0, 0);
            vm.expectRevert(Groth16.ProofInvalid.selector);
            proposer.verifyBatches{gas: GAS}(headers[1], one(real[i].proof));
            assertEq(proposer.lastVerifiedBatch(), 0);
        }
    }

    function test_realProofsGoThrough() public {
        for (uint256 i; i < real.length; ++i) {
            RealProof memory p = real[i];
            ProposerHarness h = harness(options(p));
            h.check{gas: GAS}(p.publicValues, one(p.proof));

            flip(p.publicValues, 0, 1);
            vm.expectRevert(Groth16.ProofInvalid.selector);
            h.check{gas: GAS}(p.publicValues, one(p.proof));
            flip(p.publicValues, 0, 1);

            bytes memory short = cut(p.proof, p.proof.length - 1);
            vm.expectRevert(
                abi.encodeWithSelector(
                    Groth16.InvalidProofLength.selector, p.proof.length, p.proof.length - 1
                )
            );
            h.check{gas: GAS}(p.publicValues, one(short));
            vm.expectRevert(abi.encodeWithSelector(OnChainProposer.RequiredProofMissing.selector, 0));
            h.check{gas: GAS}(p.publicValues, one(""));

            flip(p.proof, p.proof.length - 1, 1);
            vm.expectRevert(Groth16.ProofInvalid.selector);
            h.check{gas: GAS}(p.publicValues, one(p.proof));

            vm.etch(address(p.verifier), "");
            vm.expectRevert();
            h.check{gas: GAS}(p.publicValues, one(p.proof));
        }
    }

    /// The backend's program key, not the prover's, is what must be proven.
    function test_proofOfAnotherProgramIsRefused() public {
        for (uint256 i; i < real.length; ++i) {
            RealProof memory p = real[i];
            Options memory o = options(p);
            o.backends[0].programKey ^= bytes32(uint256(1));
            ProposerHarness h = harness(o);
            vm.expectRevert(Groth16.ProofInvalid.selector);
            h.check{gas: GAS}(p.publicValues, one(p.proof));
        }
    }

    /// Two backends: a proof that belongs to the other one does not count.
    function test_proofsStandInTheirPlaces() public {
        RealProof memory a = real[1];
        RealProof memory b = real[2];
        Options memory o = options(a);
        Backend[] memory list = new Backend[](2);
        list[0] = o.backends[0];
        list[1] = Backend(address(b.verifier), true, 0, 0, b.programKey);
        o.backends = list;
        o.threshold = 2;
        ProposerHarness h = harness(o);
        bytes[] memory proofs = new bytes[](2);
        (proofs[0], proofs[1]) = (b.proof, a.proof);
        // Both have 260 bytes.
        vm.expectRevert(
            abi.encodeWithSelector(Sp1Verifier.UnexpectedSelector.selector, bytes4(a.proof), bytes4(b.proof))
        );
        h.check{gas: GAS}(a.publicValues, proofs);
        (proofs[0], proofs[1]) = (a.proof, b.proof);
        // The second is over other values.
        vm.expectRevert(Groth16.ProofInvalid.selector);
        h.check{gas: GAS}(a.publicValues, proofs);
    }
}
