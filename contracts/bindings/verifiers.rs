//! The verifiers of real proof systems, with the keys of `contracts/keys` (docs/verifiers.md).
//!
//! A verifier knows neither the L2 nor a program: the same one serves every L2 of a chain. The program is named by
//! the proposer's [`Backend`](crate::Backend).

use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256, keccak256};
use ethers_core::abi::{Token, encode};

use crate::deploy::DeploymentStep;
use crate::{abi, bytecode, create2, keys};

/// A proof system with a verifier and a committed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerifierKind {
    /// SP1 v6.1 (`Sp1Verifier`). Program key: `vk.bytes32()`. Proof: what `bytes()` of SP1's SDK gives, 356 bytes.
    Sp1,
    /// SP1 v5 (`Sp1Verifier` without a root of recursion keys). Proof: 260 bytes.
    Sp1V5,
    /// RISC Zero v3 (`Risc0Verifier`). Program key: the image id. Proof: the encoded seal, 260 bytes.
    Risc0,
    /// Pico (`PicoVerifier`), with the key of Brevis' template. Program key: the "riscv vkey". Proof: 256 bytes.
    /// Pico's prover can be set up anew, and then has another key: compare before use.
    Pico,
}

/// A verifying key as published, coordinates in the order of EIP-197.
pub(crate) struct Key {
    pub(crate) alpha: [B256; 2],
    pub(crate) beta: [B256; 4],
    pub(crate) gamma: [B256; 4],
    pub(crate) delta: [B256; 4],
    pub(crate) points: &'static [[B256; 2]],
}

/// A public input that comes with each proof (`VARIABLE` in `Groth16.sol`).
const VARIABLE: U256 = U256::MAX;

impl VerifierKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sp1, Self::Sp1V5, Self::Risc0, Self::Pico];

    /// Name of the contract.
    #[must_use]
    pub const fn contract(self) -> &'static str {
        match self {
            Self::Sp1 | Self::Sp1V5 => "Sp1Verifier",
            Self::Risc0 => "Risc0Verifier",
            Self::Pico => "PicoVerifier",
        }
    }

    /// The first bytes of every proof. Pico's have nothing of the kind.
    #[must_use]
    pub const fn selector(self) -> Option<FixedBytes<4>> {
        match self {
            Self::Sp1 => Some(keys::SP1_V6_1_SELECTOR),
            Self::Sp1V5 => Some(keys::SP1_V5_SELECTOR),
            Self::Risc0 => Some(keys::RISC0_V3_SELECTOR),
            Self::Pico => None,
        }
    }

    /// Length of every proof in bytes.
    #[must_use]
    pub const fn proof_length(self) -> usize {
        match self {
            Self::Sp1 => 356,
            Self::Sp1V5 | Self::Risc0 => 260,
            Self::Pico => 256,
        }
    }

    const fn key(self) -> &'static Key {
        match self {
            Self::Sp1 => &keys::SP1_V6_1,
            Self::Sp1V5 => &keys::SP1_V5,
            Self::Risc0 => &keys::RISC0_V3,
            Self::Pico => &keys::PICO,
        }
    }

    fn inputs(self) -> Vec<U256> {
        match self {
            Self::Sp1 => {
                vec![VARIABLE, VARIABLE, U256::ZERO, U256::from_be_bytes(keys::SP1_V6_1_VK_ROOT.0), VARIABLE]
            }
            Self::Sp1V5 | Self::Pico => vec![VARIABLE, VARIABLE],
            Self::Risc0 => {
                let [low, high] = halves(keys::RISC0_V3_CONTROL_ROOT);
                let id = U256::from_le_bytes(keys::RISC0_V3_BN254_CONTROL_ID.0);
                vec![low, high, VARIABLE, VARIABLE, id]
            }
        }
    }
}

/// A digest's bytes as a little-endian number, in two halves, the low one first.
fn halves(digest: B256) -> [U256; 2] {
    let number = U256::from_le_bytes(digest.0);
    [number & U256::from(u128::MAX), number >> 128]
}

fn word(value: &B256) -> Token {
    Token::Uint(value.0.into())
}

fn words(values: &[B256]) -> Token {
    Token::FixedArray(values.iter().map(word).collect())
}

fn fixed<const N: usize>(value: FixedBytes<N>) -> Token {
    Token::FixedBytes(value.to_vec())
}

fn key_token(key: &Key) -> Token {
    let points = key.points.iter().map(|point| words(point)).collect();
    Token::Tuple(vec![
        words(&key.alpha),
        words(&key.beta),
        words(&key.gamma),
        words(&key.delta),
        Token::Array(points),
    ])
}

/// Creation code of the verifier with the committed key. It can be deployed by anybody, in any way.
#[must_use]
pub fn init_code(kind: VerifierKind) -> Bytes {
    let key = key_token(kind.key());
    let (code, arguments) = match kind {
        VerifierKind::Sp1 => (
            bytecode::sp1_verifier(),
            vec![key, fixed(keys::SP1_V6_1_SELECTOR), fixed(keys::SP1_V6_1_VK_ROOT)],
        ),
        VerifierKind::Sp1V5 => {
            (bytecode::sp1_verifier(), vec![key, fixed(keys::SP1_V5_SELECTOR), fixed(B256::ZERO)])
        }
        VerifierKind::Risc0 => (
            bytecode::risc0_verifier(),
            vec![
                key,
                fixed(keys::RISC0_V3_SELECTOR),
                fixed(keys::RISC0_V3_CONTROL_ROOT),
                fixed(keys::RISC0_V3_BN254_CONTROL_ID),
            ],
        ),
        VerifierKind::Pico => (bytecode::pico_verifier(), vec![key]),
    };
    [code.as_ref(), &encode(&arguments)].concat().into()
}

/// The transaction that deploys the verifier through the `DeterministicDeployer` at `factory`, and the address that
/// comes out. A step whose address has code is done.
#[must_use]
pub fn deployment(factory: Address, salt: B256, kind: VerifierKind) -> DeploymentStep {
    let code = init_code(kind);
    DeploymentStep {
        name: kind.contract(),
        address: create2::create2_address(factory, salt, &code),
        data: create2::deploy(salt, &code),
    }
}

/// [`deployment`] of the verifier that believes RISC Zero's development seals. It has no key, and refuses proposers that were
/// not deployed with DEV_MODE.
#[must_use]
pub fn risc0_development(factory: Address, salt: B256) -> DeploymentStep {
    let code = bytecode::risc0_development_verifier();
    DeploymentStep {
        name: "Risc0DevelopmentVerifier",
        address: create2::create2_address(factory, salt, &code),
        data: create2::deploy(salt, &code),
    }
}

/// What `KEY_HASH()` of a verifier with the committed key answers:
/// `keccak256(abi.encode(key, public inputs that are the same for every proof))`.
#[must_use]
pub fn key_hash(kind: VerifierKind) -> B256 {
    let inputs = kind.inputs().into_iter().map(|input| Token::Uint(abi::uint(input))).collect();
    keccak256(encode(&[key_token(kind.key()), Token::Array(inputs)]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Value;

    use super::*;

    fn file(kind: VerifierKind) -> Value {
        let text = match kind {
            VerifierKind::Sp1 => include_str!("../keys/sp1-v6.1.json"),
            VerifierKind::Sp1V5 => include_str!("../keys/sp1-v5.json"),
            VerifierKind::Risc0 => include_str!("../keys/risc0-v3.json"),
            VerifierKind::Pico => include_str!("../keys/pico.json"),
        };
        serde_json::from_str(text).unwrap()
    }

    fn list(value: &Value) -> Vec<B256> {
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().parse().unwrap()).collect()
    }

    /// The constants are those of the JSON files, which the contracts' tests read.
    #[test]
    fn constants_are_the_committed_keys() {
        for kind in VerifierKind::ALL {
            let (file, key) = (file(kind), kind.key());
            let parts = [
                ("alpha", &key.alpha[..]),
                ("beta", &key.beta[..]),
                ("gamma", &key.gamma[..]),
                ("delta", &key.delta[..]),
            ];
            for (part, words) in parts {
                assert_eq!(list(&file["key"][part]), words, "{kind:?} {part}");
            }
            let points = file["key"]["points"].as_array().unwrap();
            assert_eq!(points.len(), key.points.len());
            assert_eq!(points.len(), kind.inputs().len() + 1);
            for (point, ours) in points.iter().zip(key.points) {
                assert_eq!(list(point), ours);
            }
            let selector = file["selector"].as_str().map(|text| text.parse::<FixedBytes<4>>().unwrap());
            assert_eq!(selector, kind.selector());
        }
    }

    /// The proofs that the contracts' tests accept have the lengths and selectors that a sender may check for.
    #[test]
    fn shapes_are_those_of_real_proofs() {
        let proofs: Value = serde_json::from_str(include_str!("../test/proofs.json")).unwrap();
        for (kind, name) in VerifierKind::ALL.into_iter().zip(["sp1_v61", "sp1_v5", "risc0_v3", "pico"]) {
            let proof: Bytes = proofs[name]["proof"].as_str().unwrap().parse().unwrap();
            assert_eq!(proof.len(), kind.proof_length());
            assert!(kind.selector().is_none_or(|selector| proof.starts_with(selector.as_slice())));
        }
    }

    /// Verifiers of different keys are different contracts, and one of them has one address.
    #[test]
    fn init_codes() {
        let factory = Address::repeat_byte(7);
        for (i, kind) in VerifierKind::ALL.into_iter().enumerate() {
            let code = init_code(kind);
            assert!(code.len() < 49_152, "EIP-3860");
            let step = deployment(factory, B256::ZERO, kind);
            assert_eq!(step, deployment(factory, B256::ZERO, kind));
            for other in &VerifierKind::ALL[i + 1..] {
                assert_ne!(step.address, deployment(factory, B256::ZERO, *other).address);
                assert_ne!(key_hash(kind), key_hash(*other));
            }
        }
    }
}
