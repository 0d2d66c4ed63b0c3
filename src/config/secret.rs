//! Values that must not be seen.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use alloy_primitives::Address;
use zeroize::{Zeroize, Zeroizing};

/// A secret text (a token). Wiped on drop; `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads the text as a private key.
    ///
    /// # Errors
    /// If it is none; the error does not repeat the text.
    pub fn private_key(&self) -> Result<PrivateKey, InvalidPrivateKey> {
        self.0.parse()
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a text is no private key. Does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrivateKey {
    /// Other than 64 characters after an optional `0x`.
    #[error("it has {0} characters after an optional 0x instead of 64 hex digits")]
    Length(usize),
    /// A character is no hex digit.
    #[error("it has a character that is no hex digit")]
    NotHex,
    /// Zero, or not below the order of secp256k1 (SEC 2, section 2.4.1).
    #[error("it is zero or not below the order of the curve secp256k1")]
    OutOfRange,
}

/// A secp256k1 private key. Wiped on drop; `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    bytes: Zeroizing<[u8; 32]>,
    address: Address,
}

impl PrivateKey {
    /// The account of this key: the last 20 bytes of keccak256 of the public key (Yellow Paper, appendix F).
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// The key's 32 bytes, big-endian. Never log them.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The key as 64 hex digits without `0x`, wiped on drop. Never log it.
    #[must_use]
    pub fn expose_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.bytes.as_slice()))
    }
}

impl FromStr for PrivateKey {
    type Err = InvalidPrivateKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let length = digits.chars().count();
        if length != 64 {
            return Err(InvalidPrivateKey::Length(length));
        }
        let mut bytes = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(digits, bytes.as_mut_slice()).map_err(|_| InvalidPrivateKey::NotHex)?;
        let mut key =
            secp256k1::SecretKey::from_slice(bytes.as_slice()).map_err(|_| InvalidPrivateKey::OutOfRange)?;
        let mut public = secp256k1::PublicKey::from_secret_key_global(&key).serialize_uncompressed();
        key.non_secure_erase();
        let address = Address::from_raw_public_key(&public[1..]);
        public.zeroize();
        Ok(Self { bytes, address })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::address;

    use super::*;

    /// First account of the mnemonic "test test test test test test test test test test test junk".
    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn the_address_is_derived() {
        let key: PrivateKey = KEY.parse().unwrap();
        assert_eq!(key.address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(*key.expose_hex(), KEY[2..]);
        assert_eq!(KEY[2..].parse::<PrivateKey>().unwrap(), key);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        for (text, error) in [
            ("", InvalidPrivateKey::Length(0)),
            ("0x12", InvalidPrivateKey::Length(2)),
            (&"zz".repeat(32), InvalidPrivateKey::NotHex),
            (&"é".repeat(64), InvalidPrivateKey::NotHex),
            (&"0".repeat(64), InvalidPrivateKey::OutOfRange),
            (order, InvalidPrivateKey::OutOfRange),
        ] {
            assert_eq!(text.parse::<PrivateKey>().unwrap_err(), error, "{text}");
        }
    }

    /// SEQ-INV-12
    #[test]
    fn nothing_prints_them() {
        let key: PrivateKey = KEY.parse().unwrap();
        let secret = Secret::new(KEY);
        assert_eq!(format!("{key:?} {key} {secret:?} {secret}"), "*** *** *** ***");
        assert_eq!(secret.private_key().unwrap(), key);
    }
}
