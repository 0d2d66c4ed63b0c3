// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {stdJson} from "forge-std/StdJson.sol";
import {Groth16, VARIABLE, VerifyingKey} from "../../../src/l1/verifiers/Groth16.sol";
import {Risc0Verifier, reversed, risc0Halves} from "../../../src/l1/verifiers/Risc0Verifier.sol";
import {Sp1Verifier} from "../../../src/l1/verifiers/Sp1Verifier.sol";
import {Proofs, RealProof} from "./Proofs.sol";

/// Any Groth16 statement, with any split into fixed and variable inputs.
contract Groth16Harness is Groth16 {
    constructor(VerifyingKey memory key, uint256[] memory inputs) Groth16(key, inputs) {}

    function check(uint256 first, uint256 second, uint256 third, bytes calldata proof) external view {
        _requireProof(first, second, third, proof);
    }
}

/// SEQ-INV-7: a real proof is accepted, and nothing else. Each test runs over every proof system.
contract VerifiersTest is Proofs {
    using stdJson for string;

    RealProof[] internal proofs;

    function setUp() public {
        for (uint256 i; i < names.length; ++i) {
            proofs.push(load(names[i]));
        }
    }

    function refused(RealProof memory p, bytes memory reason, string memory what) internal view {
        try p.verifier.verify{gas: GAS}(p.programKey, p.publicValues, p.proof) {
            revert(string.concat(p.name, " accepted ", what));
        } catch (bytes memory actual) {
            assertEq(actual, reason, string.concat(p.name, ": ", what));
        }
    }

    function invalid() internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Groth16.ProofInvalid.selector);
    }

    function outOfField(uint256 input) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Groth16.InputOutOfField.selector, input);
    }

    function test_realProofsAreAccepted() public view {
        for (uint256 i; i < proofs.length; ++i) {
            proofs[i].verifier.verify(proofs[i].programKey, proofs[i].publicValues, proofs[i].proof);
        }
    }

    function test_lengthIsExact() public view {
        for (uint256 i; i < proofs.length; ++i) {
            RealProof memory p = proofs[i];
            bytes memory whole = p.proof;
            uint256 n = whole.length;
            uint256[9] memory lengths = [uint256(0), 1, 4, POINTS - 1, n - 32, n - 1, n + 1, n + 32, 2 * n];
            for (uint256 k; k < lengths.length; ++k) {
                p.proof = cut(whole, lengths[k]);
                refused(
                    p,
                    abi.encodeWithSelector(Groth16.InvalidProofLength.selector, n, lengths[k]),
                    string.concat("a proof of length ", vm.toString(lengths[k]))
                );
            }
        }
    }

    function test_selectorIsExact() public view {
        for (uint256 i; i < 3; ++i) {
            for (uint256 bit; bit < 32; ++bit) {
                RealProof memory p = proofs[i];
                bytes4 good = bytes4(p.proof);
                flip(p.proof, bit / 8, uint8(1 << (bit % 8)));
                // The two contracts' errors are the same bytes.
                assertEq(Sp1Verifier.UnexpectedSelector.selector, Risc0Verifier.UnexpectedSelector.selector);
                refused(
                    p,
                    abi.encodeWithSelector(Sp1Verifier.UnexpectedSelector.selector, good, bytes4(p.proof)),
                    "another selector"
                );
            }
        }
    }

    function test_everyByteOfTheProgramKeyCounts() public view {
        for (uint256 i; i < proofs.length; ++i) {
            for (uint256 pos; pos < 32; ++pos) {
                RealProof memory p = proofs[i];
                p.programKey ^= bytes32(uint256(1) << (8 * pos));
                refused(p, invalid(), "another program");
            }
            RealProof memory zero = proofs[i];
            zero.programKey = 0;
            refused(zero, invalid(), "no program");
        }
    }

    function test_everyByteOfThePublicValuesCounts() public view {
        for (uint256 i; i < proofs.length; ++i) {
            RealProof memory p = proofs[i];
            bytes memory values = p.publicValues;
            for (uint256 pos; pos < values.length; ++pos) {
                flip(values, pos, uint8(1 << (pos % 8)));
                refused(p, invalid(), "other public values");
                flip(values, pos, uint8(1 << (pos % 8)));
            }
            p.publicValues = cut(values, values.length - 1);
            refused(p, invalid(), "shorter public values");
            p.publicValues = cut(values, values.length + 1);
            refused(p, invalid(), "longer public values");
            p.publicValues = "";
            refused(p, invalid(), "no public values");
        }
    }

    /// Lowest and highest bit of each coordinate.
    function test_everyWordOfThePointsCounts() public view {
        for (uint256 i; i < proofs.length; ++i) {
            RealProof memory p = proofs[i];
            for (uint256 pos = p.proof.length - POINTS; pos < p.proof.length; pos += 32) {
                flip(p.proof, pos, 0x80);
                refused(p, invalid(), "a changed point");
                flip(p.proof, pos, 0x80);
                flip(p.proof, pos + 31, 0x01);
                refused(p, invalid(), "a changed point");
                flip(p.proof, pos + 31, 0x01);
            }
            assertTrue(accepted(p));
        }
    }

    /// The same number modulo the field's order would be another form of the same proof.
    function test_coordinatesAreReduced() public view {
        for (uint256 i; i < proofs.length; ++i) {
            RealProof memory p = proofs[i];
            for (uint256 pos = p.proof.length - POINTS; pos < p.proof.length; pos += 32) {
                uint256 good = wordAt(p.proof, pos);
                for (uint256 more = P; more <= type(uint256).max - good; more += P) {
                    setWord(p.proof, pos, good + more);
                    refused(p, invalid(), "a coordinate that is not reduced");
                    if (more > type(uint256).max - P) break;
                }
                setWord(p.proof, pos, good);
            }
        }
    }

    /// The same number modulo the group's order would be another program with the same proof.
    function test_scalarsAreReduced() public view {
        for (uint256 i; i < proofs.length; ++i) {
            RealProof memory p = proofs[i];
            uint256 good = uint256(p.programKey);
            for (uint256 k = 1; k <= 4; ++k) {
                p.programKey = bytes32(good + k * R);
                // RISC Zero's image ids are hashed, any word may be one.
                refused(p, i == 2 ? invalid() : outOfField(good + k * R), "a key that is not reduced");
            }
            p.programKey = bytes32(R);
            refused(p, i == 2 ? invalid() : outOfField(R), "the group's order as key");
        }
        RealProof memory sp1 = proofs[0];
        assertEq(wordAt(sp1.proof, 68), 0);
        for (uint256 k = 1; k <= 5; ++k) {
            setWord(sp1.proof, 68, k * R);
            refused(sp1, outOfField(k * R), "a nonce that is not reduced");
        }
    }

    function test_sp1ExitCodeMustBeZero() public view {
        RealProof memory p = proofs[0];
        for (uint256 bit; bit < 256; ++bit) {
            setWord(p.proof, 4, uint256(1) << bit);
            refused(
                p,
                abi.encodeWithSelector(Sp1Verifier.UnexpectedExitCode.selector, uint256(1) << bit),
                "a program that failed"
            );
        }
        // Zero by another name.
        setWord(p.proof, 4, R);
        refused(p, abi.encodeWithSelector(Sp1Verifier.UnexpectedExitCode.selector, R), "exit code r");
    }

    function test_sp1RecursionKeysArePinned() public {
        RealProof memory p = proofs[0];
        uint256 root = wordAt(p.proof, 36);
        uint256[4] memory others = [root ^ 1, root ^ (1 << 255), root + R, 0];
        for (uint256 i; i < others.length; ++i) {
            setWord(p.proof, 36, others[i]);
            refused(
                p,
                abi.encodeWithSelector(Sp1Verifier.UnexpectedVkRoot.selector, root, others[i]),
                "another root of keys"
            );
        }
        // A verifier with another root accepts neither the proof nor one that names its root.
        string memory json = keyFile("sp1-v6.1");
        Sp1Verifier other = new Sp1Verifier(readKey(json), 0x4388a21c, bytes32(root ^ 1));
        setWord(p.proof, 36, root);
        p.verifier = other;
        refused(
            p,
            abi.encodeWithSelector(Sp1Verifier.UnexpectedVkRoot.selector, root ^ 1, root),
            "a proof of another root"
        );
        setWord(p.proof, 36, root ^ 1);
        refused(p, invalid(), "a proof with the root replaced");
    }

    function test_sp1NonceIsBound() public view {
        RealProof memory p = proofs[0];
        for (uint256 k = 1; k < 4; ++k) {
            setWord(p.proof, 68, k);
            refused(p, invalid(), "another nonce");
        }
        setWord(p.proof, 68, R - 1);
        refused(p, invalid(), "another nonce");
    }

    function test_risc0ControlIdsArePinned() public {
        string memory json = keyFile("risc0-v3");
        bytes32 root = json.readBytes32(".controlRoot");
        bytes32 id = json.readBytes32(".bn254ControlId");
        RealProof memory p = proofs[2];
        // A byte of each half, and of the id.
        bytes32[2][3] memory others = [
            [root ^ bytes32(uint256(1)), id],
            [root ^ bytes32(uint256(1) << 240), id],
            [root, id ^ bytes32(uint256(1) << 248)]
        ];
        for (uint256 i; i < others.length; ++i) {
            p.verifier = new Risc0Verifier(readKey(json), 0x73c457ba, others[i][0], others[i][1]);
            refused(p, invalid(), "a seal of other recursion programs");
        }
    }

    function test_otherPointsAreNoProof() public view {
        for (uint256 i; i < proofs.length; ++i) {
            RealProof memory p = proofs[i];
            uint256 pos = p.proof.length - POINTS;
            bytes memory good = cut(p.proof, p.proof.length);
            for (uint256 k; k < 8; ++k) {
                setWord(p.proof, pos + 32 * k, 0);
            }
            refused(p, invalid(), "points at infinity");

            // The negative of A: y -> p - y.
            p.proof = cut(good, good.length);
            setWord(p.proof, pos + 32, P - wordAt(good, pos + 32));
            refused(p, invalid(), "another A");

            // A and C change places.
            p.proof = cut(good, good.length);
            for (uint256 k; k < 2; ++k) {
                setWord(p.proof, pos + 32 * k, wordAt(good, pos + 192 + 32 * k));
                setWord(p.proof, pos + 192 + 32 * k, wordAt(good, pos + 32 * k));
            }
            refused(p, invalid(), "A for C");

            // Real and imaginary parts of B change places.
            p.proof = cut(good, good.length);
            for (uint256 k = 2; k < 6; ++k) {
                setWord(p.proof, pos + 32 * k, wordAt(good, pos + 32 * (k ^ 1)));
            }
            refused(p, invalid(), "B in another order");
        }
    }

    /// A point of the twist that is not in the group of order r.
    function test_pointOfAnotherGroup() public view {
        for (uint256 i; i < proofs.length; ++i) {
            RealProof memory p = proofs[i];
            uint256 pos = p.proof.length - POINTS + 64;
            setWord(p.proof, pos, TWIST_X1);
            setWord(p.proof, pos + 32, TWIST_X0);
            setWord(p.proof, pos + 64, TWIST_Y1);
            setWord(p.proof, pos + 96, TWIST_Y0);
            refused(p, invalid(), "a point of another group");
        }
    }

    /// Groth16 itself: (-A, -B, C) proves what (A, B, C) proves. Why a proof is no identity.
    function test_proofsAreMalleable() public view {
        for (uint256 i; i < proofs.length; ++i) {
            RealProof memory p = proofs[i];
            uint256 pos = p.proof.length - POINTS;
            uint256[3] memory y = [pos + 32, pos + 128, pos + 160];
            for (uint256 k; k < 3; ++k) {
                setWord(p.proof, y[k], P - wordAt(p.proof, y[k]));
            }
            assertTrue(accepted(p), p.name);
        }
    }

    function test_proofsOfOtherSystemsAreRefused() public view {
        for (uint256 i; i < proofs.length; ++i) {
            for (uint256 j; j < proofs.length; ++j) {
                if (i == j) continue;
                RealProof memory p = proofs[i];
                p.verifier = proofs[j].verifier;
                assertFalse(accepted(p), string.concat(p.name, " on ", proofs[j].name));
                // The points alone, under the header of the other system.
                p.proof = cut(proofs[j].proof, proofs[j].proof.length);
                bytes memory from = proofs[i].proof;
                for (uint256 k; k < POINTS; k += 32) {
                    setWord(p.proof, p.proof.length - POINTS + k, wordAt(from, from.length - POINTS + k));
                }
                refused(p, invalid(), "the points of a proof of another system");
            }
        }
    }

    /// Whatever the gas, nothing is accepted for want of it.
    function testFuzz_gasMakesNoProof(uint256 gas_, uint8 which, bool tampered) public view {
        RealProof memory p = proofs[which % proofs.length];
        gas_ = bound(gas_, 0, 400_000);
        if (tampered) flip(p.publicValues, 0, 1);
        try p.verifier.verify{gas: gas_}(p.programKey, p.publicValues, p.proof) {
            assertFalse(tampered);
            // The pairing alone.
            assertGt(gas_, 181_000);
        } catch {
            assertTrue(tampered || gas_ < 240_000);
        }
    }

    /// Random bytes of proof, public values and key changed.
    function testFuzz_changedBytes(uint256 seed, uint8 which, uint8 count) public view {
        RealProof memory p = proofs[which % proofs.length];
        bytes32 before = keccak256(abi.encode(p));
        for (uint256 i; i <= count % 8; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            uint8 mask = uint8(random) | 1;
            random >>= 8;
            if (random % 8 == 0) {
                p.programKey ^= bytes32(uint256(mask) << (8 * ((random >> 3) % 32)));
            } else if (random % 8 == 1) {
                flip(p.publicValues, (random >> 3) % p.publicValues.length, mask);
            } else {
                flip(p.proof, (random >> 3) % p.proof.length, mask);
            }
        }
        vm.assume(keccak256(abi.encode(p)) != before);
        assertFalse(accepted(p), p.name);
    }

    function testFuzz_randomProofs(bytes32 seed, uint8 which, bytes memory values) public view {
        RealProof memory p = proofs[which % proofs.length];
        p.publicValues = values;
        for (uint256 pos = p.proof.length - POINTS; pos < p.proof.length; pos += 32) {
            seed = keccak256(abi.encode(seed));
            setWord(p.proof, pos, uint256(seed) % P);
        }
        assertFalse(accepted(p), p.name);
    }

    // --------------------------------------------------------------------------------------------------- keys

    /// What SP1 and RISC Zero sign their proofs with follows from the key.
    function test_selectorsAreThoseOfTheKeys() public view {
        string[2] memory sp1 = ["sp1-v6.1", "sp1-v5"];
        for (uint256 i; i < 2; ++i) {
            string memory json = keyFile(sp1[i]);
            bytes32 hash = sha256(json.readBytes(".sources[0].bytes"));
            assertEq(hash, json.readBytes32(".sources[0].sha256"));
            assertEq(bytes4(hash), bytes4(json.readBytes(".selector")));
            assertEq(bytes4(hash), Sp1Verifier(address(proofs[i].verifier)).SELECTOR());
        }
        assertEq(Risc0Verifier(address(proofs[2].verifier)).SELECTOR(), bytes4(0x73c457ba));
        assertEq(Sp1Verifier(address(proofs[0].verifier)).SELECTOR(), bytes4(0x4388a21c));
        assertEq(
            Sp1Verifier(address(proofs[0].verifier)).VK_ROOT(), keyFile("sp1-v6.1").readBytes32(".vkRoot")
        );
    }

    /// The same hashes as in Rust.
    function test_keyHashTellsTheKey() public view {
        string memory vectors = vm.readFile("test/vectors.json");
        string[4] memory keys = ["sp1-v6.1", "sp1-v5", "risc0-v3", "pico"];
        for (uint256 i; i < keys.length; ++i) {
            bytes32 expected = vectors.readBytes32(string.concat("['verifiers']['", keys[i], "'].keyHash"));
            assertEq(Sp1Verifier(address(proofs[i].verifier)).KEY_HASH(), expected, keys[i]);
        }
    }

    function make(VerifyingKey memory key, uint256[] memory inputs) external {
        new Groth16Harness(key, inputs);
    }

    function tryKey(VerifyingKey memory key, uint256[] memory inputs) internal returns (bytes memory reason) {
        try this.make{gas: 2 * GAS}(key, inputs) {}
        catch (bytes memory raised) {
            reason = raised;
        }
    }

    function test_badKeysAreRefused() public {
        bytes memory bad = abi.encodeWithSelector(Groth16.InvalidVerifyingKey.selector);
        string memory json = keyFile("pico");
        uint256[] memory inputs = new uint256[](2);
        (inputs[0], inputs[1]) = (VARIABLE, VARIABLE);
        assertEq(tryKey(readKey(json), inputs).length, 0);

        for (uint256 i; i < 3; ++i) {
            for (uint256 part; part < 4; ++part) {
                VerifyingKey memory key = readKey(json);
                uint256[4] memory point = i == 0 ? key.beta : i == 1 ? key.gamma : key.delta;
                point[part] ^= 1;
                assertEq(tryKey(key, inputs), bad, "not on the twist");
                point[part] = (point[part] ^ 1) + P;
                assertEq(tryKey(key, inputs), bad, "not reduced");
            }
            VerifyingKey memory infinite = readKey(json);
            uint256[4] memory zero;
            if (i == 0) infinite.beta = zero;
            else if (i == 1) infinite.gamma = zero;
            else infinite.delta = zero;
            assertEq(tryKey(infinite, inputs), bad, "infinity");
            VerifyingKey memory stray = readKey(json);
            uint256[4] memory other = [TWIST_X1, TWIST_X0, TWIST_Y1, TWIST_Y0];
            if (i == 0) stray.beta = other;
            else if (i == 1) stray.gamma = other;
            else stray.delta = other;
            assertEq(tryKey(stray, inputs), bad, "another group");
        }
        for (uint256 i; i < 4; ++i) {
            for (uint256 part; part < 2; ++part) {
                VerifyingKey memory key = readKey(json);
                uint256[2] memory point = i == 3 ? key.alpha : key.points[i];
                point[part] ^= 1;
                assertEq(tryKey(key, inputs), bad, "not on the curve");
                point[part] = (point[part] ^ 1) + P;
                assertEq(tryKey(key, inputs), bad, "not reduced");
            }
            VerifyingKey memory infinite = readKey(json);
            uint256[2] memory g1 = i == 3 ? infinite.alpha : infinite.points[i];
            (g1[0], g1[1]) = (0, 0);
            assertEq(tryKey(infinite, inputs), bad, "infinity");
        }
        VerifyingKey memory short = readKey(json);
        uint256[2][] memory points = short.points;
        assembly {
            mstore(points, 2)
        }
        assertEq(tryKey(short, inputs), bad, "a point too few");
        assertEq(tryKey(readKey(json), new uint256[](1)), bad, "an input too few");
        assertEq(tryKey(readKey(keyFile("risc0-v3")), inputs), bad, "a point too many");

        uint256[] memory five = new uint256[](5);
        (five[0], five[1], five[2], five[3]) = (VARIABLE, VARIABLE, VARIABLE, VARIABLE);
        assertEq(tryKey(readKey(keyFile("risc0-v3")), five), bad, "four variables");
        five[3] = R;
        assertEq(tryKey(readKey(keyFile("risc0-v3")), five), outOfField(R));
        five[3] = R - 1;
        assertEq(tryKey(readKey(keyFile("risc0-v3")), five).length, 0);
    }

    /// Every split of the inputs of a real proof into fixed and variable ones proves the same statement.
    function test_fixedInputsAreSummedUp() public {
        RealProof memory p = proofs[2];
        string memory json = keyFile("risc0-v3");
        uint256[] memory inputs = new uint256[](5);
        (inputs[0], inputs[1]) = risc0Halves(json.readBytes32(".controlRoot"));
        (inputs[2], inputs[3]) =
            risc0Halves(Risc0Verifier(address(p.verifier)).claimDigest(p.programKey, sha256(p.publicValues)));
        inputs[4] = reversed(json.readBytes32(".bn254ControlId"));
        VerifyingKey memory key = readKey(json);
        uint256 splits;
        for (uint256 mask; mask < 32; ++mask) {
            if (checkSplit(key, inputs, mask, pointsOf(p.proof))) ++splits;
        }
        assertEq(splits, 1 + 5 + 10 + 10);
    }

    function pointsOf(bytes memory proof) internal pure returns (bytes memory points) {
        points = new bytes(POINTS);
        for (uint256 k; k < POINTS; k += 32) {
            setWord(points, k, wordAt(proof, proof.length - POINTS + k));
        }
    }

    /// False when more than three are variable.
    function checkSplit(VerifyingKey memory key, uint256[] memory inputs, uint256 mask, bytes memory points)
        internal
        returns (bool)
    {
        uint256[] memory given = new uint256[](5);
        uint256[5] memory variable;
        uint256 count;
        for (uint256 i; i < 5; ++i) {
            bool isVariable = (mask >> i) & 1 == 1;
            given[i] = isVariable ? VARIABLE : inputs[i];
            if (isVariable) variable[count++] = inputs[i];
        }
        if (count > 3) return false;
        Groth16Harness harness = new Groth16Harness(key, given);
        harness.check(variable[0], variable[1], variable[2], points);
        for (uint256 i; i < count; ++i) {
            variable[i] ^= 1;
            vm.expectRevert(Groth16.ProofInvalid.selector);
            harness.check{gas: GAS}(variable[0], variable[1], variable[2], points);
            variable[i] ^= 1;
        }
        return true;
    }

    // ------------------------------------------------------------------------------------------- RISC Zero's claim

    function tagged(string memory tag, bytes memory rest) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(sha256(bytes(tag)), rest));
    }

    /// The constants in the contract are hashes; here they are computed.
    function testFuzz_claimDigest(bytes32 image, bytes32 journal) public view {
        bytes32 halted = tagged("risc0.SystemState", abi.encodePacked(bytes32(0), hex"00000000", hex"0100"));
        bytes32 output = tagged("risc0.Output", abi.encodePacked(journal, bytes32(0), hex"0200"));
        bytes32 claim = tagged(
            "risc0.ReceiptClaim",
            abi.encodePacked(bytes32(0), image, halted, output, hex"00000000", hex"00000000", hex"0400")
        );
        assertEq(Risc0Verifier(address(proofs[2].verifier)).claimDigest(image, journal), claim);
    }

    function testFuzz_halves(bytes32 digest) public pure {
        (uint256 low, uint256 high) = risc0Halves(digest);
        for (uint256 i; i < 16; ++i) {
            assertEq(uint8(low >> (8 * i)), uint8(digest[i]));
            assertEq(uint8(high >> (8 * i)), uint8(digest[16 + i]));
        }
        assertEq(low >> 128, 0);
        assertEq(high >> 128, 0);
    }
    // ------------------------------------------------------------------------------------------------ constants

    /// On the twist (x = 1), its order is not r: the group of order r is one of about 2^254 in the curve's points.
    uint256 private constant TWIST_X1 = 0;
    uint256 private constant TWIST_X0 = 1;
    uint256 private constant TWIST_Y1 =
        5912654199736721486680175016176231956195085055698687135131307249486702594212;
    uint256 private constant TWIST_Y0 =
        18278151005453108793778860132295291098363647455926340152056652516292830556603;
}
