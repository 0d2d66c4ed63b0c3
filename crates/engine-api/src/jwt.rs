//! The shared secret of the Engine API and the tokens made with it.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use ensemble_error::{Classify, Severity};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rand::{RngCore, rngs::OsRng};
use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

/// Most bytes that are read of a secret file; 66 hex digits and some white space fit easily.
const MAX_FILE_BYTES: u64 = 1024;

/// The 256-bit secret shared with the execution client (execution-apis, `engine/authentication.md`).
///
/// Wiped from memory on drop, never shown.
#[derive(Clone)]
pub struct JwtSecret([u8; 32]);

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// The file cannot be read or written.
    #[error("jwt secret file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not 64 hex digits.
    #[error("the jwt secret is not 32 bytes in hex (64 digits, optionally after 0x)")]
    Malformed,
    /// The system gave no randomness.
    #[error("no randomness for a jwt secret: {0}")]
    Random(String),
    /// No token can be made.
    #[error("cannot sign a JWT: {0}")]
    Sign(String),
}

impl Classify for JwtError {
    fn severity(&self) -> Severity {
        match self {
            Self::Io { .. } | Self::Malformed | Self::Random(_) | Self::Sign(_) => Severity::Fatal,
        }
    }
}

#[derive(Serialize)]
struct Claims {
    iat: u64,
}

impl JwtSecret {
    /// A secret from 64 hex digits, with or without `0x`; white space around it is ignored.
    ///
    /// # Errors
    /// [`JwtError::Malformed`].
    pub fn from_hex(text: &str) -> Result<Self, JwtError> {
        let digits = text.trim();
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        let mut secret = Self([0; 32]);
        hex::decode_to_slice(digits, &mut secret.0).map_err(|_| JwtError::Malformed)?;
        Ok(secret)
    }

    /// Reads a secret from a file as execution clients write it.
    ///
    /// # Errors
    /// [`JwtError::Io`] and [`JwtError::Malformed`].
    pub fn from_hex_file(path: impl AsRef<Path>) -> Result<Self, JwtError> {
        let path = path.as_ref();
        let io = |source| JwtError::Io { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(io)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize));
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(io)?;
        Self::from_hex(std::str::from_utf8(&bytes).map_err(|_| JwtError::Malformed)?)
    }

    /// A new random secret.
    ///
    /// # Errors
    /// [`JwtError::Random`].
    pub fn generate() -> Result<Self, JwtError> {
        let mut secret = Self([0; 32]);
        OsRng.try_fill_bytes(&mut secret.0).map_err(|e| JwtError::Random(e.to_string()))?;
        Ok(secret)
    }

    /// Writes the secret in hex to a new file that only its owner may read (mode 0600).
    ///
    /// # Errors
    /// [`JwtError::Io`], also when the file exists: a secret in use is never overwritten.
    pub fn write_file(&self, path: impl AsRef<Path>) -> Result<(), JwtError> {
        let path = path.as_ref();
        let io = |source| JwtError::Io { path: path.to_owned(), source };
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(io)?;
        let text = Zeroizing::new(hex::encode(self.0));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)
    }

    /// Makes a random secret and writes it to a new file, see [`Self::write_file`].
    ///
    /// # Errors
    /// [`JwtError::Random`] and [`JwtError::Io`].
    pub fn generate_file(path: impl AsRef<Path>) -> Result<Self, JwtError> {
        let secret = Self::generate()?;
        secret.write_file(path)?;
        Ok(secret)
    }

    /// The 32 bytes, for an execution client that runs in the same process.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A token with `iat` now (HS256), good for 60 s by the specification.
    pub(crate) fn token(&self) -> Result<Zeroizing<String>, JwtError> {
        #[expect(clippy::disallowed_methods, reason = "the client compares iat with its own wall clock")]
        let now = SystemTime::now();
        let iat = now.duration_since(UNIX_EPOCH).map_err(|e| JwtError::Sign(e.to_string()))?.as_secs();
        let key = EncodingKey::from_secret(&self.0);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &Claims { iat }, &key)
            .map(Zeroizing::new)
            .map_err(|e| JwtError::Sign(e.to_string()))
    }
}

impl Drop for JwtSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JwtSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const HEX: &str = "7365637265747365637265747365637265747365637265747365637265747365";

    #[test]
    fn hex_with_and_without_prefix() {
        for text in [HEX.to_owned(), format!("0x{HEX}"), format!("  0x{HEX}\r\n"), HEX.to_uppercase()] {
            assert_eq!(hex::encode(JwtSecret::from_hex(&text).unwrap().expose()), HEX);
        }
        for text in ["", "0x", &HEX[1..], &format!("{HEX}00"), &HEX.replace('7', "g"), &format!("0x0x{HEX}")]
        {
            assert!(matches!(JwtSecret::from_hex(text), Err(JwtError::Malformed)), "{text}");
        }
    }

    /// SEQ-INV-12
    #[test]
    fn debug_and_errors_show_nothing() {
        let secret = JwtSecret::from_hex(HEX).unwrap();
        assert_eq!(format!("{secret:?}"), "JwtSecret(***)");
        let error = JwtSecret::from_hex(&HEX[2..]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&HEX[2..10]));
    }

    #[test]
    fn file_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwt.hex");
        let secret = JwtSecret::generate_file(&path).unwrap();
        assert_eq!(JwtSecret::from_hex_file(&path).unwrap().expose(), secret.expose());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(matches!(JwtSecret::generate_file(&path), Err(JwtError::Io { .. })));
        assert_eq!(JwtSecret::from_hex_file(&path).unwrap().expose(), secret.expose());
        assert_ne!(JwtSecret::generate().unwrap().expose(), secret.expose());
    }

    /// SEQ-INV-11
    #[test]
    fn a_huge_or_binary_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [("huge", vec![b'a'; 1 << 20]), ("binary", vec![0xff; 64]), ("empty", vec![])]
        {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            assert!(matches!(JwtSecret::from_hex_file(&path), Err(JwtError::Malformed)), "{name}");
        }
        assert!(matches!(JwtSecret::from_hex_file(dir.path().join("absent")), Err(JwtError::Io { .. })));
    }
}
