//! The proof of the `exec` backend: an EIP-712 signature over program key and public values.
//!
//! Domain `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)` with name
//! `EnsembleAttestation`, version `1`, the L1 chain id and the address of the `AttestationVerifier` contract; message
//! `BatchAttestation(bytes32 programKey,bytes publicValues)`, public values as [`PublicValues::abi_encode`]. A
//! signature is 65 bytes `r || s || v` with `s` in the lower half of the curve order (EIP-2) and `v` 27 or 28, which
//! is what OpenZeppelin's `ECDSA.recover` takes.

use std::fmt;

use alloy_primitives::{Address, B256, keccak256};
use ensemble_batch::{ProgramKey, PublicValues};
use ensemble_error::{Classify, Severity};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// `name` of the EIP-712 domain.
pub const DOMAIN_NAME: &str = "EnsembleAttestation";
/// `version` of the EIP-712 domain.
pub const DOMAIN_VERSION: &str = "1";
/// Bytes of a signature: `r` (32), `s` (32), `v` (1).
pub const SIGNATURE_LEN: usize = 65;

const DOMAIN_TYPE: &str =
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const MESSAGE_TYPE: &str = "BatchAttestation(bytes32 programKey,bytes publicValues)";

/// Why a key or a signature is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// Not a private key.
    #[error(
        "the attestation key is not a secp256k1 private key: 64 hex digits, not zero, below the curve order"
    )]
    BadKey,
    /// Not 65 bytes.
    #[error("an attestation has {SIGNATURE_LEN} bytes, this one {0}")]
    BadLength(usize),
    /// `v` is neither 27 nor 28.
    #[error("the attestation's v is {0}, it must be 27 or 28")]
    BadV(u8),
    /// `s` is in the upper half of the curve order; a contract would refuse it (EIP-2).
    #[error("the attestation's s is in the upper half of the curve order")]
    HighS,
    /// `r` and `s` belong to no public key.
    #[error("the attestation belongs to no public key")]
    Unrecoverable,
}

impl Classify for AttestationError {
    fn severity(&self) -> Severity {
        match self {
            Self::BadKey => Severity::Fatal,
            Self::BadLength(_) | Self::BadV(_) | Self::HighS | Self::Unrecoverable => Severity::Recoverable,
        }
    }
}

/// Where an attestation counts: one verifier contract on one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttestationDomain {
    /// Chain id of the L1.
    pub l1_chain_id: u64,
    /// Address of the `AttestationVerifier`.
    pub verifying_contract: Address,
}

impl AttestationDomain {
    /// EIP-712 domain separator.
    #[must_use]
    pub fn separator(&self) -> B256 {
        let mut chain_id = B256::ZERO;
        chain_id[24..].copy_from_slice(&self.l1_chain_id.to_be_bytes());
        hash_words([
            keccak256(DOMAIN_TYPE),
            keccak256(DOMAIN_NAME),
            keccak256(DOMAIN_VERSION),
            chain_id,
            self.verifying_contract.into_word(),
        ])
    }
}

fn hash_words<const N: usize>(words: [B256; N]) -> B256 {
    keccak256(words.map(|word| word.0).as_flattened())
}

/// The 32 bytes that are signed: `keccak256(0x1901 || domain separator || struct hash)` (EIP-712).
#[must_use]
pub fn digest(domain: &AttestationDomain, program_key: ProgramKey, public_values: &PublicValues) -> B256 {
    let message = hash_words([keccak256(MESSAGE_TYPE), program_key.0, keccak256(public_values.abi_encode())]);
    let mut bytes = [0u8; 66];
    bytes[..2].copy_from_slice(&[0x19, 0x01]);
    bytes[2..34].copy_from_slice(domain.separator().as_slice());
    bytes[34..].copy_from_slice(message.as_slice());
    keccak256(bytes)
}

/// Signs program key and public values. Deterministic (RFC 6979).
#[must_use]
pub fn sign(
    key: &AttestationKey,
    domain: &AttestationDomain,
    program_key: ProgramKey,
    public_values: &PublicValues,
) -> [u8; SIGNATURE_LEN] {
    let message = Message::from_digest(digest(domain, program_key, public_values).0);
    let (id, compact) = SECP256K1.sign_ecdsa_recoverable(&message, &key.secret).serialize_compact();
    let mut out = [0u8; SIGNATURE_LEN];
    out[..64].copy_from_slice(&compact);
    // ids 2 and 3 need an x coordinate above the curve order: one signature in 2^127
    out[64] = 27 + u8::from(matches!(id, RecoveryId::One | RecoveryId::Three));
    out
}

/// The address whose key made `signature`. Whether that address counts is for the caller to decide.
///
/// # Errors
/// [`AttestationError`] for anything that the contract would refuse, too.
pub fn recover(
    domain: &AttestationDomain,
    program_key: ProgramKey,
    public_values: &PublicValues,
    signature: &[u8],
) -> Result<Address, AttestationError> {
    let Ok(bytes) = <&[u8; SIGNATURE_LEN]>::try_from(signature) else {
        return Err(AttestationError::BadLength(signature.len()));
    };
    let [compact @ .., v] = bytes;
    let id = match v {
        27 => RecoveryId::Zero,
        28 => RecoveryId::One,
        other => return Err(AttestationError::BadV(*other)),
    };
    let signature =
        RecoverableSignature::from_compact(compact, id).map_err(|_| AttestationError::Unrecoverable)?;
    let standard = signature.to_standard();
    let mut low = standard;
    low.normalize_s();
    if low != standard {
        return Err(AttestationError::HighS);
    }
    let message = Message::from_digest(digest(domain, program_key, public_values).0);
    let public =
        SECP256K1.recover_ecdsa(&message, &signature).map_err(|_| AttestationError::Unrecoverable)?;
    Ok(address_of(&public))
}

fn address_of(public: &PublicKey) -> Address {
    Address::from_raw_public_key(&public.serialize_uncompressed()[1..])
}

/// Private key of an attester. Wiped from memory on drop; `Debug` shows the address only.
pub struct AttestationKey {
    secret: SecretKey,
    address: Address,
}

impl AttestationKey {
    /// Reads 64 hex digits, with or without `0x`; white space around them is ignored.
    ///
    /// # Errors
    /// [`AttestationError::BadKey`], which does not repeat the text.
    pub fn from_hex(text: &str) -> Result<Self, AttestationError> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(digits, bytes.as_mut_slice()).map_err(|_| AttestationError::BadKey)?;
        Self::from_bytes(&bytes)
    }

    /// Takes the 32 bytes of a private key, big-endian.
    ///
    /// # Errors
    /// [`AttestationError::BadKey`] for zero or a number not below the curve order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, AttestationError> {
        let secret = SecretKey::from_slice(bytes).map_err(|_| AttestationError::BadKey)?;
        let address = address_of(&secret.public_key(SECP256K1));
        Ok(Self { secret, address })
    }

    /// Address that [`recover`] finds in this key's signatures.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }
}

impl Drop for AttestationKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for AttestationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttestationKey").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use alloy_primitives::{U256, address, b256, hex};

    use super::*;

    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const ADDRESS: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    const PROGRAM: ProgramKey = ProgramKey(B256::repeat_byte(0x11));
    const VALUES: PublicValues = PublicValues { from: B256::repeat_byte(0x22), to: B256::repeat_byte(0x33) };
    const DOMAIN: AttestationDomain = AttestationDomain {
        l1_chain_id: 3_151_908,
        verifying_contract: address!("5FbDB2315678afecb367f032d93F642f64180aa3"),
    };
    /// `cast wallet sign --data` (Foundry 1.7.1) of the typed-data JSON with these values.
    const SIGNATURE: [u8; 65] = hex!(
        "3eac699549d077ad1fb987c6dd6592510da69012f75d9aab074c70101e9cb0bb"
        "44b946041bcd08bcbb46368e75865d4ff9fc71ae3b3ea25f26a92d94f60a3cba1c"
    );
    /// Order of secp256k1 (SEC 2, 2.4.1).
    const ORDER: B256 = b256!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

    /// SEQ-INV-7: what is signed is what the contract hashes. Vectors by `cast keccak` and `cast abi-encode`.
    #[test]
    fn digest_matches_an_independent_computation() {
        let separator = b256!("7434e03b4ff7b355fb63a59cd38a64730f5c040baf9b7ce191c4e2f8477c61b8");
        assert_eq!(DOMAIN.separator(), separator);
        let expected = b256!("210bfd99f308c1bb094735b86789cef133dbd98ad3bf5b7bdcdf3410a0d162c0");
        assert_eq!(digest(&DOMAIN, PROGRAM, &VALUES), expected);
    }

    #[test]
    fn signature_matches_foundrys() {
        let key = AttestationKey::from_hex(KEY).unwrap();
        assert_eq!(key.address(), ADDRESS);
        assert_eq!(sign(&key, &DOMAIN, PROGRAM, &VALUES), SIGNATURE);
        assert_eq!(recover(&DOMAIN, PROGRAM, &VALUES, &SIGNATURE), Ok(ADDRESS));
    }

    /// SEQ-INV-7: a signature counts for its own values, program, chain and contract only.
    #[test]
    fn signature_is_bound_to_everything_it_names() {
        let other = B256::repeat_byte(0x44);
        let cases = [
            (AttestationDomain { l1_chain_id: 1, ..DOMAIN }, PROGRAM, VALUES),
            (AttestationDomain { verifying_contract: Address::ZERO, ..DOMAIN }, PROGRAM, VALUES),
            (DOMAIN, ProgramKey(other), VALUES),
            (DOMAIN, PROGRAM, PublicValues { from: other, ..VALUES }),
            (DOMAIN, PROGRAM, PublicValues { to: other, ..VALUES }),
            (DOMAIN, PROGRAM, PublicValues { from: VALUES.to, to: VALUES.from }),
        ];
        for (domain, program, values) in cases {
            assert_ne!(recover(&domain, program, &values, &SIGNATURE), Ok(ADDRESS), "{domain:?} {program:?}");
        }
    }

    #[test]
    fn malleable_and_broken_signatures_are_refused() {
        let try_it = |signature: &[u8]| recover(&DOMAIN, PROGRAM, &VALUES, signature);
        for len in [0, 64, 66, 130] {
            assert_eq!(try_it(&vec![1; len]), Err(AttestationError::BadLength(len)));
        }
        for v in [0, 1, 26, 29, 255] {
            let mut signature = SIGNATURE;
            signature[64] = v;
            assert_eq!(try_it(&signature), Err(AttestationError::BadV(v)));
        }
        let s = U256::from_be_slice(&SIGNATURE[32..64]);
        let high: U256 = U256::from_be_bytes(ORDER.0) - s;
        let mut twin = SIGNATURE;
        twin[32..64].copy_from_slice(&high.to_be_bytes::<32>());
        twin[64] = 27;
        assert_eq!(try_it(&twin), Err(AttestationError::HighS));
        let mut overflow = SIGNATURE;
        overflow[32..64].copy_from_slice(ORDER.as_slice());
        assert_eq!(try_it(&overflow), Err(AttestationError::Unrecoverable));
        let mut zero = SIGNATURE;
        zero[..64].fill(0);
        assert_eq!(try_it(&zero), Err(AttestationError::Unrecoverable));
    }

    #[test]
    fn bad_keys_are_refused() {
        let zero = "00".repeat(32);
        let order = hex::encode(ORDER);
        for text in ["", "0x", "xyz", "0xac09", zero.as_str(), order.as_str(), &format!("{KEY}00")] {
            assert_eq!(AttestationKey::from_hex(text).unwrap_err(), AttestationError::BadKey, "{text}");
        }
        let spaced = format!("  {}\n", KEY.trim_start_matches("0x"));
        assert_eq!(AttestationKey::from_hex(&spaced).unwrap().address(), ADDRESS);
    }

    /// SEQ-INV-12
    #[test]
    fn debug_and_errors_do_not_show_the_key() {
        let shown = format!("{:?}", AttestationKey::from_hex(KEY).unwrap());
        assert!(shown.to_lowercase().contains(&hex::encode(ADDRESS)), "{shown}");
        assert!(!shown.to_lowercase().contains("ac0974be"), "{shown}");
        let error = AttestationKey::from_hex("ac0974bec39a17e3").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("ac0974be"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_signed_is_recovered(
            secret in 1u64..,
            chain: u64,
            contract: [u8; 20],
            program: [u8; 32],
            from: [u8; 32],
            to: [u8; 32],
        ) {
            let mut bytes = [0u8; 32];
            bytes[24..].copy_from_slice(&secret.to_be_bytes());
            let key = AttestationKey::from_bytes(&bytes).unwrap();
            let domain = AttestationDomain { l1_chain_id: chain, verifying_contract: contract.into() };
            let program = ProgramKey(program.into());
            let values = PublicValues { from: from.into(), to: to.into() };
            let signature = sign(&key, &domain, program, &values);
            proptest::prop_assert_eq!(recover(&domain, program, &values, &signature), Ok(key.address()));
        }

        /// SEQ-INV-11
        #[test]
        fn arbitrary_signatures_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            let got = recover(&DOMAIN, PROGRAM, &VALUES, &bytes);
            proptest::prop_assert_ne!(got, Ok(ADDRESS));
        }
    }
}
