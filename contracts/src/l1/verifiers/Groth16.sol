// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice A Groth16 verifying key over BN254, as published. Coordinates are in the order of EIP-197: of a point of
/// G2 x imaginary, x real, y imaginary, y real.
struct VerifyingKey {
    uint256[2] alpha;
    uint256[4] beta;
    uint256[4] gamma;
    uint256[4] delta;
    /// The constant point, then one per public input ("IC" in other places).
    uint256[2][] points;
}

// Stands for a public input that comes with each proof, among inputs that are the same for all proofs.
uint256 constant VARIABLE = type(uint256).max;

/// @title Groth16 over BN254, with the precompiles of EIP-196 and EIP-197.
/// @notice A proof is A, B, C of eight words. It holds when
/// e(A, B) = e(alpha, beta) e(L, gamma) e(C, delta) with L = points[0] + sum of input * point.
/// @dev The terms of L that are the same for every proof are summed up once, in the constructor, so that a proof
/// pays for its variable inputs only (6,000 gas each); the points of G2 are negated there, so that one product of
/// pairings has to be one. All of it is immutable, that is in the code: a second contract that holds the key as its
/// code costs about 4,000 gas more per proof (measured; 2,600 of them for the access).
///
/// What is no element of the field or no point of the curve, or in no group of order R, the precompiles refuse. A
/// valid proof can be made into another valid proof of the same statement by anybody: that is Groth16. Nothing may
/// take a proof's bytes for an identity.
abstract contract Groth16 {
    /// Order of the base field.
    uint256 private constant P =
        21888242871839275222246405745257275088696311157297823662689037894645226208583;
    /// Order of the groups.
    uint256 private constant R =
        21888242871839275222246405745257275088548364400416034343698204186575808495617;
    uint256 private constant MAX_VARIABLES = 3;
    // Precompiles.
    uint256 private constant ECADD = 6;
    uint256 private constant ECMUL = 7;
    uint256 private constant ECPAIRING = 8;
    /// Bytes of A, B and C.
    uint256 internal constant POINTS_LENGTH = 256;

    /// @notice keccak256(abi.encode(key, inputs)): which key this contract was deployed with.
    bytes32 public immutable KEY_HASH;

    uint256 private immutable ALPHA_X;
    uint256 private immutable ALPHA_Y;
    uint256 private immutable BETA_0;
    uint256 private immutable BETA_1;
    uint256 private immutable BETA_2;
    uint256 private immutable BETA_3;
    uint256 private immutable GAMMA_0;
    uint256 private immutable GAMMA_1;
    uint256 private immutable GAMMA_2;
    uint256 private immutable GAMMA_3;
    uint256 private immutable DELTA_0;
    uint256 private immutable DELTA_1;
    uint256 private immutable DELTA_2;
    uint256 private immutable DELTA_3;
    uint256 private immutable CONSTANT_X;
    uint256 private immutable CONSTANT_Y;
    uint256 private immutable FIRST_X;
    uint256 private immutable FIRST_Y;
    uint256 private immutable SECOND_X;
    uint256 private immutable SECOND_Y;
    uint256 private immutable THIRD_X;
    uint256 private immutable THIRD_Y;

    /// @notice The key has not one point per input and one more, or a point is not on its curve, or infinity.
    error InvalidVerifyingKey();
    /// @notice A proof of this proof system has exactly so many bytes.
    error InvalidProofLength(uint256 expected, uint256 actual);
    /// @notice A public input is not smaller than the order of the group, so it would stand for another one.
    error InputOutOfField(uint256 input);
    /// @notice The proof does not prove the statement: another program, other public values, or no proof at all.
    error ProofInvalid();

    /// @param inputs The values of the public inputs that are the same for every proof, `VARIABLE` for the others,
    /// of which there are at most three.
    constructor(VerifyingKey memory key, uint256[] memory inputs) {
        KEY_HASH = keccak256(abi.encode(key, inputs));
        if (key.points.length != inputs.length + 1) revert InvalidVerifyingKey();
        _requireOnCurve(key.alpha);
        _requireOnCurve(key.points[0]);
        uint256[5] memory sum;
        (sum[0], sum[1]) = (key.points[0][0], key.points[0][1]);
        uint256[2][MAX_VARIABLES] memory points;
        uint256 variables;
        for (uint256 i; i < inputs.length; ++i) {
            uint256[2] memory point = key.points[i + 1];
            _requireOnCurve(point);
            if (inputs[i] != VARIABLE) {
                _addTerm(sum, point[0], point[1], inputs[i]);
            } else {
                if (variables == MAX_VARIABLES) revert InvalidVerifyingKey();
                points[variables++] = point;
            }
        }
        uint256[4] memory beta = _negated(key.beta);
        uint256[4] memory gamma = _negated(key.gamma);
        uint256[4] memory delta = _negated(key.delta);

        (ALPHA_X, ALPHA_Y) = (key.alpha[0], key.alpha[1]);
        (BETA_0, BETA_1, BETA_2, BETA_3) = (beta[0], beta[1], beta[2], beta[3]);
        (GAMMA_0, GAMMA_1, GAMMA_2, GAMMA_3) = (gamma[0], gamma[1], gamma[2], gamma[3]);
        (DELTA_0, DELTA_1, DELTA_2, DELTA_3) = (delta[0], delta[1], delta[2], delta[3]);
        (CONSTANT_X, CONSTANT_Y) = (sum[0], sum[1]);
        (FIRST_X, FIRST_Y) = (points[0][0], points[0][1]);
        (SECOND_X, SECOND_Y) = (points[1][0], points[1][1]);
        (THIRD_X, THIRD_Y) = (points[2][0], points[2][1]);
    }

    /// @dev Reverts unless A, B, C in `proof` prove the statement with these variable inputs, in the key's order.
    /// `third` is 0 where there are only two.
    function _requireProof(uint256 first, uint256 second, uint256 third, bytes calldata proof) internal view {
        if (proof.length != POINTS_LENGTH) revert InvalidProofLength(POINTS_LENGTH, proof.length);
        uint256[5] memory sum;
        (sum[0], sum[1]) = (CONSTANT_X, CONSTANT_Y);
        _addTerm(sum, FIRST_X, FIRST_Y, first);
        _addTerm(sum, SECOND_X, SECOND_Y, second);
        _addTerm(sum, THIRD_X, THIRD_Y, third);

        // Four pairs of a point of G1 (two words) and one of G2 (four words).
        uint256[24] memory pairs;
        assembly ("memory-safe") {
            calldatacopy(pairs, proof.offset, 0xc0)
            calldatacopy(add(pairs, 0x240), add(proof.offset, 0xc0), 0x40)
        }
        (pairs[6], pairs[7]) = (ALPHA_X, ALPHA_Y);
        (pairs[8], pairs[9], pairs[10], pairs[11]) = (BETA_0, BETA_1, BETA_2, BETA_3);
        (pairs[12], pairs[13]) = (sum[0], sum[1]);
        (pairs[14], pairs[15], pairs[16], pairs[17]) = (GAMMA_0, GAMMA_1, GAMMA_2, GAMMA_3);
        (pairs[20], pairs[21], pairs[22], pairs[23]) = (DELTA_0, DELTA_1, DELTA_2, DELTA_3);
        bool holds;
        assembly ("memory-safe") {
            // The answer is a word, 1 or 0. A call that fails answers nothing and leaves the word as it was.
            mstore(0, 0)
            pop(staticcall(gas(), ECPAIRING, pairs, 0x300, 0, 0x20))
            holds := eq(mload(0), 1)
        }
        if (!holds) revert ProofInvalid();
    }

    /// The sum in `work[0..2]` gets `scalar` times the point (x, y) more. The rest of `work` is scratch.
    function _addTerm(uint256[5] memory work, uint256 x, uint256 y, uint256 scalar) private view {
        // Most often SP1's nonce and exit code.
        if (scalar == 0) return;
        if (scalar >= R) revert InputOutOfField(scalar);
        (work[2], work[3], work[4]) = (x, y, scalar);
        bool done;
        assembly ("memory-safe") {
            let point := add(work, 0x40)
            done := staticcall(gas(), ECMUL, point, 0x60, point, 0x40)
            done := and(staticcall(gas(), ECADD, work, 0x80, work, 0x40), done)
        }
        // Points of the curve never fail: out of gas.
        if (!done) revert ProofInvalid();
    }

    function _requireOnCurve(uint256[2] memory point) private pure {
        (uint256 x, uint256 y) = (point[0], point[1]);
        bool reduced = x < P && y < P;
        if (!reduced || mulmod(y, y, P) != addmod(mulmod(mulmod(x, x, P), x, P), 3, P)) {
            revert InvalidVerifyingKey();
        }
    }

    /// The negative of a point of G2, which the pairing's precompile checks. That of infinity would be none, and
    /// fails.
    function _negated(uint256[4] memory point) private view returns (uint256[4] memory negative) {
        if (point[2] > P || point[3] > P) revert InvalidVerifyingKey();
        (negative[0], negative[1], negative[2], negative[3]) =
        (point[0], point[1], P - point[2], P - point[3]);
        // Infinity of G1 with the point.
        uint256[6] memory pair;
        (pair[2], pair[3], pair[4], pair[5]) = (negative[0], negative[1], negative[2], negative[3]);
        bool valid;
        assembly ("memory-safe") {
            valid := staticcall(gas(), ECPAIRING, pair, 0xc0, 0, 0)
        }
        if (!valid) revert InvalidVerifyingKey();
    }
}
