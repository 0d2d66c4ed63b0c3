// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {stdJson} from "forge-std/StdJson.sol";
import {IProofVerifier} from "../../../src/l1/Types.sol";
import {VerifyingKey} from "../../../src/l1/verifiers/Groth16.sol";
import {PicoVerifier} from "../../../src/l1/verifiers/PicoVerifier.sol";
import {Risc0Verifier} from "../../../src/l1/verifiers/Risc0Verifier.sol";
import {Sp1Verifier} from "../../../src/l1/verifiers/Sp1Verifier.sol";

/// A proof that a prover of the real proof system made, for some program (test/proofs.json).
struct RealProof {
    string name;
    IProofVerifier verifier;
    bytes32 programKey;
    bytes publicValues;
    bytes proof;
}

/// The verifiers with the committed keys, and the real proofs.
abstract contract Proofs is Test {
    using stdJson for string;

    uint256 internal constant P =
        21888242871839275222246405745257275088696311157297823662689037894645226208583;
    uint256 internal constant R =
        21888242871839275222246405745257275088548364400416034343698204186575808495617;
    uint256 internal constant POINTS = 256;
    /// More than any verification takes: what a precompile swallows must leave something for the error.
    uint256 internal constant GAS = 3_000_000;

    string[4] internal names = ["sp1_v61", "sp1_v5", "risc0_v3", "pico"];

    function keyFile(string memory name) internal view returns (string memory) {
        return vm.readFile(string.concat("keys/", name, ".json"));
    }

    function readKey(string memory json) internal view returns (VerifyingKey memory key) {
        key.alpha = pair(json.readUintArray(".key.alpha"));
        key.beta = four(json.readUintArray(".key.beta"));
        key.gamma = four(json.readUintArray(".key.gamma"));
        key.delta = four(json.readUintArray(".key.delta"));
        uint256 count;
        while (vm.keyExistsJson(json, string.concat(".key.points[", vm.toString(count), "]"))) ++count;
        key.points = new uint256[2][](count);
        for (uint256 i; i < count; ++i) {
            key.points[i] = pair(json.readUintArray(string.concat(".key.points[", vm.toString(i), "]")));
        }
    }

    function pair(uint256[] memory words) internal pure returns (uint256[2] memory) {
        require(words.length == 2);
        return [words[0], words[1]];
    }

    function four(uint256[] memory words) internal pure returns (uint256[4] memory) {
        require(words.length == 4);
        return [words[0], words[1], words[2], words[3]];
    }

    /// An SP1 verifier: v5 keys name no root.
    function sp1Verifier(string memory json) internal returns (Sp1Verifier) {
        bytes32 root = vm.keyExistsJson(json, ".vkRoot") ? json.readBytes32(".vkRoot") : bytes32(0);
        return new Sp1Verifier(readKey(json), bytes4(json.readBytes(".selector")), root);
    }

    function risc0Verifier(string memory json) internal returns (Risc0Verifier) {
        return new Risc0Verifier(
            readKey(json),
            bytes4(json.readBytes(".selector")),
            json.readBytes32(".controlRoot"),
            json.readBytes32(".bn254ControlId")
        );
    }

    function picoVerifier(string memory json) internal returns (PicoVerifier) {
        return new PicoVerifier(readKey(json));
    }

    function load(string memory name) internal returns (RealProof memory p) {
        string memory json = vm.readFile("test/proofs.json");
        string memory pos = string.concat(".", name);
        p.name = name;
        p.programKey = json.readBytes32(string.concat(pos, ".programKey"));
        p.publicValues = json.readBytes(string.concat(pos, ".publicValues"));
        p.proof = json.readBytes(string.concat(pos, ".proof"));
        string memory key = keyFile(json.readString(string.concat(pos, ".key")));
        bytes1 first = bytes(name)[0];
        p.verifier = first == "s"
            ? IProofVerifier(sp1Verifier(key))
            : first == "r" ? IProofVerifier(risc0Verifier(key)) : picoVerifier(key);
    }

    function accepted(RealProof memory p) internal view returns (bool) {
        try p.verifier.verify{gas: GAS}(p.programKey, p.publicValues, p.proof) {
            return true;
        } catch {
            return false;
        }
    }

    // What these return is changed in place.

    function wordAt(bytes memory data, uint256 pos) internal pure returns (uint256 word) {
        require(pos + 32 <= data.length);
        assembly ("memory-safe") {
            word := mload(add(add(data, 32), pos))
        }
    }

    function setWord(bytes memory data, uint256 pos, uint256 word) internal pure {
        require(pos + 32 <= data.length);
        assembly ("memory-safe") {
            mstore(add(add(data, 32), pos), word)
        }
    }

    function flip(bytes memory data, uint256 pos, uint8 mask) internal pure {
        data[pos] ^= bytes1(mask);
    }

    function cut(bytes memory data, uint256 length) internal pure returns (bytes memory out) {
        out = new bytes(length);
        for (uint256 i; i < length && i < data.length; ++i) {
            out[i] = data[i];
        }
    }
}
