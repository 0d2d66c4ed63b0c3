//! Why a call reverted.

use std::fmt;

use alloy_primitives::{B256, U256, hex};
use ethers_core::abi::ethabi::{AbiError, Contract as Abi, Token};

use crate::abi;

/// Longest revert data that is decoded, in bytes; the contracts' own errors are much shorter.
const MAX_DECODED: usize = 4096;
/// Longest text that is shown, in characters.
const MAX_SHOWN: usize = 256;
/// Selector of `Error(string)` (Solidity documentation, "Panic via assert and Error via require").
const ERROR_STRING: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// Selector of `Panic(uint256)` (the same section).
const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// A revert reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revert {
    /// No data: out of gas, a plain revert, or no contract at the address.
    Empty,
    /// `require(condition, "text")`.
    Error(String),
    /// A failed check of the compiler; the code's meaning is in Solidity's documentation.
    Panic(u64),
    /// A custom error of one of our contracts or of OpenZeppelin.
    Custom {
        /// Name of the error, for instance `UnexpectedBatchNumber`.
        name: String,
        /// Name and value of each parameter.
        arguments: Vec<(String, String)>,
    },
    /// Data of something else.
    Unknown(Vec<u8>),
}

impl Revert {
    /// Reads the data of a revert, as an `eth_call` or `eth_estimateGas` error carries it. Anything is accepted.
    #[must_use]
    pub fn decode(data: &[u8]) -> Self {
        let unknown = || Self::Unknown(data.iter().take(MAX_DECODED).copied().collect());
        if data.is_empty() {
            return Self::Empty;
        }
        let Some((selector, arguments)) = data.split_first_chunk::<4>() else { return unknown() };
        if data.len() > MAX_DECODED {
            return unknown();
        }
        match *selector {
            ERROR_STRING => error_string(arguments).map_or_else(unknown, Self::Error),
            PANIC => panic_code(arguments).map_or_else(unknown, Self::Panic),
            selector => custom(selector, arguments).unwrap_or_else(unknown),
        }
    }

    /// Whether it is the custom error of this name.
    #[must_use]
    pub fn is(&self, error: &str) -> bool {
        matches!(self, Self::Custom { name, .. } if name == error)
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("reverted without a reason (out of gas, or no such function)"),
            Self::Error(text) => f.write_str(&shown(text)),
            Self::Panic(code) => {
                write!(f, "Panic({code:#04x}): {}", panic_meaning(*code))
            }
            Self::Custom { name, arguments } => {
                write!(f, "{name}(")?;
                for (i, (name, value)) in arguments.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    let colon = if name.is_empty() { "" } else { ": " };
                    write!(f, "{comma}{name}{colon}{}", shown(value))?;
                }
                f.write_str(")")
            }
            Self::Unknown(data) => {
                write!(f, "reverted with unknown data {}", shown(&hex::encode_prefixed(data)))
            }
        }
    }
}

/// [`Revert::decode`] as text, for a log line or an error message.
#[must_use]
pub fn describe_revert(data: &[u8]) -> String {
    Revert::decode(data).to_string()
}

/// Text from outside: bounded, and without control characters.
fn shown(text: &str) -> String {
    let mut out: String =
        text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        out.push('…');
    }
    out
}

fn error_string(arguments: &[u8]) -> Option<String> {
    let (offset, rest) = arguments.split_first_chunk::<32>()?;
    let (length, text) = rest.split_first_chunk::<32>()?;
    if U256::from_be_bytes(*offset) != U256::from(32) {
        return None;
    }
    let length = usize::try_from(U256::from_be_bytes(*length)).ok()?;
    text.get(..length).map(|text| String::from_utf8_lossy(text).into_owned())
}

fn panic_code(arguments: &[u8]) -> Option<u64> {
    let word = <[u8; 32]>::try_from(arguments).ok()?;
    u64::try_from(U256::from_be_bytes(word)).ok()
}

fn panic_meaning(code: u64) -> &'static str {
    match code {
        0x01 => "assertion failed",
        0x11 => "arithmetic overflow",
        0x12 => "division by zero",
        0x21 => "value is no member of the enum",
        0x22 => "storage byte array is encoded wrongly",
        0x31 => "pop on an empty array",
        0x32 => "array index out of bounds",
        0x41 => "out of memory",
        0x51 => "call of an uninitialised function",
        _ => "unknown code",
    }
}

fn abis() -> [&'static Abi; 11] {
    [
        &abi::proposer::ONCHAINPROPOSER_ABI,
        &abi::bridge::COMMONBRIDGE_ABI,
        &abi::bridge_l2::COMMONBRIDGEL2_ABI,
        &abi::attestation::ATTESTATIONVERIFIER_ABI,
        &abi::sp1::SP1VERIFIER_ABI,
        &abi::risc0::RISC0VERIFIER_ABI,
        &abi::risc0_development::RISC0DEVELOPMENTVERIFIER_ABI,
        &abi::pico::PICOVERIFIER_ABI,
        &abi::deployer::DETERMINISTICDEPLOYER_ABI,
        &abi::proxy::ERC1967PROXY_ABI,
        &abi::timelock::TIMELOCKCONTROLLER_ABI,
    ]
}

fn custom(selector: [u8; 4], arguments: &[u8]) -> Option<Revert> {
    abis()
        .into_iter()
        .flat_map(|abi| abi.errors.values().flatten())
        .find(|error| error.signature().as_bytes().starts_with(&selector))
        .and_then(|error| render(error, arguments))
}

fn render(error: &AbiError, arguments: &[u8]) -> Option<Revert> {
    let tokens = error.decode(arguments).ok()?;
    let arguments =
        error.inputs.iter().zip(&tokens).map(|(input, token)| (input.name.clone(), text(token))).collect();
    Some(Revert::Custom { name: error.name.clone(), arguments })
}

fn text(token: &Token) -> String {
    match token {
        Token::Address(address) => alloy_primitives::Address::from(address.0).to_string(),
        Token::FixedBytes(bytes) => match <[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(word) => B256::new(word).to_string(),
            Err(_) => hex::encode_prefixed(bytes),
        },
        Token::Bytes(bytes) => hex::encode_prefixed(bytes),
        Token::Uint(number) | Token::Int(number) => number.to_string(),
        Token::Bool(value) => value.to_string(),
        Token::String(text) => text.clone(),
        Token::FixedArray(items) | Token::Array(items) | Token::Tuple(items) => {
            format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::{Address, keccak256};
    use ethers_core::abi::AbiEncode;
    use proptest::prelude::*;

    use super::*;

    fn revert(signature: &str, words: &[u64]) -> Vec<u8> {
        let mut out = keccak256(signature)[..4].to_vec();
        for word in words {
            out.extend(U256::from(*word).to_be_bytes::<32>());
        }
        out
    }

    #[test]
    fn custom_errors_are_named() {
        let data = revert("UnexpectedBatchNumber(uint256,uint256)", &[5, 4]);
        assert_eq!(describe_revert(&data), "UnexpectedBatchNumber(expected: 5, actual: 4)");
        assert!(Revert::decode(&data).is("UnexpectedBatchNumber"));
        assert!(!Revert::decode(&data).is("EnforcedPause"));
        assert_eq!(describe_revert(&revert("EnforcedPause()", &[])), "EnforcedPause()");
        assert_eq!(
            describe_revert(&revert("RangeCrossesBoundary(uint256,uint256)", &[1, 40])),
            "RangeCrossesBoundary(backend: 1, boundary: 40)"
        );
        assert_eq!(
            describe_revert(&revert("NotSequencer(address)", &[0xAA])),
            format!("NotSequencer(account: {})", crate::SKIPPED_VERIFIER)
        );
        assert_eq!(
            describe_revert(&revert("WithdrawalTransferFailed(address,uint256)", &[0, 7])),
            format!("WithdrawalTransferFailed(to: {}, amount: 7)", Address::ZERO)
        );
        assert_eq!(
            describe_revert(&revert("BatchHeaderMismatch(bytes32,bytes32)", &[1, 2])),
            format!(
                "BatchHeaderMismatch(expected: {}, actual: {})",
                B256::from(U256::from(1)),
                B256::from(U256::from(2))
            )
        );
        // OpenZeppelin, the L2 contract, the verifiers, the deployer.
        for signature in [
            "AccessControlUnauthorizedAccount(address,bytes32)",
            "ERC1967InvalidImplementation(address)",
            "InvalidInitialization()",
            "ZeroReceiver()",
            "NotASigner(address)",
            "ProofInvalid()",
            "UnexpectedVkRoot(bytes32,bytes32)",
            "AlreadyDeployed(address)",
            "ECDSAInvalidSignatureLength(uint256)",
        ] {
            let name = signature.split('(').next().unwrap();
            let words =
                [1; 2].get(..signature.matches(',').count() + usize::from(!signature.ends_with("()")));
            assert!(Revert::decode(&revert(signature, words.unwrap())).is(name), "{signature}");
        }
    }

    /// Every error in the contracts' ABIs decodes from its own encoding of zeros.
    #[test]
    fn every_error_decodes() {
        let mut seen = 0;
        for error in abis().into_iter().flat_map(|abi| abi.errors.values().flatten()) {
            let dynamic = error.inputs.iter().any(|input| {
                !matches!(
                    input.kind,
                    ethers_core::abi::ParamType::Address
                        | ethers_core::abi::ParamType::Uint(_)
                        | ethers_core::abi::ParamType::FixedBytes(_)
                )
            });
            if dynamic {
                continue;
            }
            let mut data = error.signature().as_bytes()[..4].to_vec();
            data.resize(4 + 32 * error.inputs.len(), 0);
            assert!(Revert::decode(&data).is(&error.name), "{}", error.name);
            seen += 1;
        }
        assert!(seen > 40, "{seen}");
    }

    #[test]
    fn standard_reverts() {
        assert_eq!(Revert::decode(&[]), Revert::Empty);
        let mut data = ERROR_STRING.to_vec();
        data.extend("not today".to_owned().encode());
        assert_eq!(Revert::decode(&data), Revert::Error("not today".to_owned()));
        assert_eq!(describe_revert(&data), "not today");
        assert_eq!(describe_revert(&revert("Panic(uint256)", &[0x11])), "Panic(0x11): arithmetic overflow");
        assert_eq!(Revert::decode(&[1, 2]), Revert::Unknown(vec![1, 2]));
        assert_eq!(describe_revert(&[0xde, 0xad, 0xbe, 0xef]), "reverted with unknown data 0xdeadbeef");
        // Our error, but cut short.
        let cut = &revert("UnexpectedBatchNumber(uint256,uint256)", &[5, 4])[..40];
        assert_eq!(Revert::decode(cut), Revert::Unknown(cut.to_vec()));
    }

    /// SEQ-INV-11: a hostile reason stays short and prints on one line.
    #[test]
    fn long_text_is_cut() {
        let mut data = ERROR_STRING.to_vec();
        data.extend("a\nb\u{1b}[31m".repeat(200).encode());
        let text = describe_revert(&data);
        assert_eq!(text.chars().count(), MAX_SHOWN + 1);
        assert!(!text.chars().any(char::is_control));
        let text = describe_revert(&vec![0xff; 1_000_000]);
        assert!(text.chars().count() < MAX_SHOWN + 50);
        // A length that lies.
        let mut data = ERROR_STRING.to_vec();
        data.extend(U256::from(32).to_be_bytes::<32>());
        data.extend([0xff; 32]);
        assert!(matches!(Revert::decode(&data), Revert::Unknown(_)));
    }

    proptest! {
        /// SEQ-INV-11.
        #[test]
        fn any_bytes(head in 0usize..6, data in proptest::collection::vec(any::<u8>(), 0..600)) {
            let selectors = [
                ERROR_STRING, PANIC, [0; 4],
                keccak256("AddressEmptyCode(address)")[..4].try_into().unwrap(),
                keccak256("StringTooLong(string)")[..4].try_into().unwrap(),
                keccak256("UnexpectedBatchNumber(uint256,uint256)")[..4].try_into().unwrap(),
            ];
            let data = [selectors[head].as_slice(), &data].concat();
            prop_assert!(describe_revert(&data).chars().count() < 4 * MAX_SHOWN);
        }
    }
}
