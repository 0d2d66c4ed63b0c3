//! How each Rust type is read from what was written, and shown again.

use std::net::IpAddr;
use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use ensemble_messages::ProverType;

use super::raw::Raw;
use super::secret::{PrivateKey, Secret};
use super::url::{Endpoint, RpcUrl, StoreLocation};
use super::values::{Confirmations, DataAvailability, Gwei, SidecarVersion, Sp1Prover, WitnessSource};

/// Why a value does not fit its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Mistake {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// Limits of a number, and the reason for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) why: &'static str,
}

/// How a value is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Without quotes.
    Bare,
    /// As a string.
    Quoted,
    /// As a list of strings; loose text is split at commas.
    List,
    /// A string, or without quotes if it is a number.
    NumberOrQuoted,
}

impl Syntax {
    /// Writes a loose text as TOML.
    pub(super) fn write(self, text: &str) -> String {
        let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::Bare => text.to_owned(),
            Self::NumberOrQuoted if number => text.to_owned(),
            Self::Quoted | Self::NumberOrQuoted => quoted(text),
            Self::List => {
                let items: Vec<_> =
                    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(quoted).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A type that a key can have.
pub(super) trait Setting: Sized {
    /// What it is, for the reference page.
    const KIND: &'static str;
    /// How it is written.
    const SYNTAX: Syntax;
    /// Whether it is never shown.
    const SECRET: bool = false;

    /// Reads it. The mistake must not repeat what may be a secret.
    fn read(raw: &Raw) -> Result<Self, Mistake>;

    /// The value as loose text, secrets masked; `None` when there is no value.
    fn show(&self) -> Option<String>;

    /// Checks the limits of a number.
    fn within(&self, _range: Range) -> Result<(), Mistake> {
        Ok(())
    }
}

/// A value in a message: short, escaped, and not at all if it could be a private key that got into the
/// wrong line.
fn cite(text: &str) -> String {
    const MOST: usize = 48;
    let count = text.chars().count();
    let mut run = 0usize;
    let mut longest = 0usize;
    for c in text.chars() {
        run = if c.is_ascii_hexdigit() { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    if longest >= 64 || count > MOST { format!("a text of {count} characters") } else { format!("{text:?}") }
}

fn cite_raw(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) | Raw::Loose(text) => cite(text),
        Raw::Integer(Some(number)) if number.unsigned_abs() < 1 << 64 => number.to_string(),
        Raw::Float(text) => cite(text),
        Raw::Bool(value) => value.to_string(),
        Raw::Integer(_) | Raw::List(_) | Raw::Other(_) => raw.kind().to_owned(),
    }
}

fn text_of<'a>(raw: &'a Raw, expected: &str) -> Result<&'a str, Mistake> {
    let text = raw.as_text().ok_or_else(|| {
        Mistake::new(
            format!("{} where {expected} is expected", raw.kind()),
            format!("write {expected} in double quotes"),
        )
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Mistake::new("it is empty", format!("write {expected}, or remove the line")));
    }
    Ok(text)
}

impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;
    const SYNTAX: Syntax = T::SYNTAX;
    const SECRET: bool = T::SECRET;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        T::read(raw).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }

    fn within(&self, range: Range) -> Result<(), Mistake> {
        self.as_ref().map_or(Ok(()), |value| value.within(range))
    }
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: &'static str = T::KIND;
    const SYNTAX: Syntax = Syntax::List;
    const SECRET: bool = T::SECRET;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        match raw {
            Raw::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    T::read(item).map_err(|mistake| Mistake {
                        what: format!("item {}: {}", index + 1, mistake.what),
                        remedy: mistake.remedy,
                    })
                })
                .collect(),
            Raw::Text(text) | Raw::Loose(text) if text.contains(',') => text
                .split(',')
                .filter(|item| !item.trim().is_empty())
                .map(|item| T::read(&Raw::loose(item)))
                .collect(),
            other => T::read(other).map(|item| vec![item]),
        }
    }

    fn show(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        Some(self.iter().filter_map(T::show).collect::<Vec<_>>().join(","))
    }
}

impl Setting for bool {
    const KIND: &'static str = "boolean";
    const SYNTAX: Syntax = Syntax::Bare;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        match raw {
            Raw::Bool(value) => return Ok(*value),
            Raw::Integer(Some(0)) => return Ok(false),
            Raw::Integer(Some(1)) => return Ok(true),
            Raw::Loose(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => return Ok(true),
                "false" | "0" => return Ok(false),
                _ => {}
            },
            Raw::Text(_) | Raw::Integer(_) | Raw::Float(_) | Raw::List(_) | Raw::Other(_) => {}
        }
        Err(Mistake::new(
            format!("{} is not a boolean", cite_raw(raw)),
            "write true or false, without quotes",
        ))
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

fn read_number(raw: &Raw, max: u64) -> Result<u64, Mistake> {
    let number = match raw {
        Raw::Integer(number) => *number,
        Raw::Loose(text) => {
            let text = text.trim().replace('_', "");
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if !digits {
                return Err(Mistake::new(
                    format!("{} is not a whole number", cite_raw(raw)),
                    "write decimal digits only; the unit is in the key's name",
                ));
            }
            text.parse().ok()
        }
        Raw::Text(_) | Raw::Float(_) | Raw::Bool(_) | Raw::List(_) | Raw::Other(_) => {
            return Err(Mistake::new(
                format!("{} is not a whole number", cite_raw(raw)),
                "write decimal digits without quotes; the unit is in the key's name",
            ));
        }
    };
    number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number <= max).ok_or_else(|| {
        Mistake::new(format!("{} is out of range", cite_raw(raw)), format!("write a number from 0 to {max}"))
    })
}

fn check_range(value: u64, range: Range) -> Result<(), Mistake> {
    if (range.min..=range.max).contains(&value) {
        return Ok(());
    }
    let remedy = if range.max == u64::MAX {
        format!("write at least {}", range.min)
    } else {
        format!("write a number from {} to {}", range.min, range.max)
    };
    let side = if value < range.min { "below" } else { "above" };
    let limit = if value < range.min { range.min } else { range.max };
    Err(Mistake::new(format!("{value} is {side} {limit}: {}", range.why), remedy))
}

macro_rules! numbers {
    ($($type:ty),+) => { $(
        impl Setting for $type {
            const KIND: &'static str = "number";
            const SYNTAX: Syntax = Syntax::Bare;

            fn read(raw: &Raw) -> Result<Self, Mistake> {
                let number = read_number(raw, u64::try_from(<$type>::MAX).unwrap_or(u64::MAX))?;
                Self::try_from(number).map_err(|_| {
                    Mistake::new(format!("{number} is out of range"), format!("write at most {}", <$type>::MAX))
                })
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn within(&self, range: Range) -> Result<(), Mistake> {
                check_range(u64::try_from(*self).unwrap_or(u64::MAX), range)
            }
        }
    )+ };
}

numbers!(u16, u32, u64, usize);

impl Setting for Gwei {
    const KIND: &'static str = "gwei";
    const SYNTAX: Syntax = Syntax::Bare;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        let text = match raw {
            Raw::Integer(Some(number)) => number.to_string(),
            Raw::Float(text) => text.clone(),
            Raw::Loose(text) => text.to_string(),
            Raw::Text(_) | Raw::Integer(None) | Raw::Bool(_) | Raw::List(_) | Raw::Other(_) => String::new(),
        };
        text.parse().map_err(|()| {
            Mistake::new(
                format!("{} is no amount in gwei", cite_raw(raw)),
                "write a number of gwei with at most 9 decimals, such as 30 or 1.5, without quotes",
            )
        })
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for Address {
    const KIND: &'static str = "address";
    const SYNTAX: Syntax = Syntax::Quoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        const EXPECTED: &str = "an address (0x and 40 hex digits)";
        let text = text_of(raw, EXPECTED)?;
        let wrong = || Mistake::new(format!("{} is no address", cite(text)), format!("write {EXPECTED}"));
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or_else(wrong)?;
        let mut bytes = [0u8; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| wrong())?;
        let address = Self::from(bytes);
        let mixed =
            digits.bytes().any(|b| b.is_ascii_uppercase()) && digits.bytes().any(|b| b.is_ascii_lowercase());
        if mixed && address.to_checksum(None)[2..] != *digits {
            return Err(Mistake::new(
                format!("{} fails the EIP-55 checksum", cite(text)),
                "copy the address again, a digit is mistyped; all lower case switches the check off",
            ));
        }
        Ok(address)
    }

    fn show(&self) -> Option<String> {
        Some(self.to_checksum(None))
    }
}

impl Setting for B256 {
    const KIND: &'static str = "hash";
    const SYNTAX: Syntax = Syntax::Quoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        const EXPECTED: &str = "0x and 64 hex digits";
        let text = text_of(raw, EXPECTED)?;
        let mut bytes = [0u8; 32];
        text.strip_prefix("0x").and_then(|digits| hex::decode_to_slice(digits, &mut bytes).ok()).ok_or_else(
            || Mistake::new(format!("{} is no 32 byte value", cite(text)), format!("write {EXPECTED}")),
        )?;
        Ok(Self::from(bytes))
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for PrivateKey {
    const KIND: &'static str = "private key";
    const SYNTAX: Syntax = Syntax::Quoted;
    const SECRET: bool = true;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        const EXPECTED: &str = "a private key (64 hex digits)";
        text_of(raw, EXPECTED)?
            .parse()
            .map_err(|error| Mistake::new(format!("not a private key: {error}"), format!("write {EXPECTED}")))
    }

    fn show(&self) -> Option<String> {
        Some("***".to_owned())
    }
}

impl Setting for Secret {
    const KIND: &'static str = "secret";
    const SYNTAX: Syntax = Syntax::Quoted;
    const SECRET: bool = true;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        text_of(raw, "a secret text").map(Self::new)
    }

    fn show(&self) -> Option<String> {
        Some("***".to_owned())
    }
}

impl Setting for String {
    const KIND: &'static str = "text";
    const SYNTAX: Syntax = Syntax::Quoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        text_of(raw, "a text").map(str::to_owned)
    }

    fn show(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Setting for PathBuf {
    const KIND: &'static str = "path";
    const SYNTAX: Syntax = Syntax::Quoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        let text = text_of(raw, "a path")?;
        if text.chars().any(char::is_control) {
            return Err(Mistake::new("the path has control characters", "write a path"));
        }
        Ok(Self::from(text))
    }

    fn show(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl Setting for IpAddr {
    const KIND: &'static str = "IP address";
    const SYNTAX: Syntax = Syntax::Quoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        const EXPECTED: &str = "an IP address such as 127.0.0.1 or ::1";
        let text = text_of(raw, EXPECTED)?;
        text.parse().map_err(|_| {
            Mistake::new(format!("{} is no IP address", cite(text)), format!("write {EXPECTED}"))
        })
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for RpcUrl {
    const KIND: &'static str = "URL";
    const SYNTAX: Syntax = Syntax::Quoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        const EXPECTED: &str = "a URL such as http://localhost:8545";
        text_of(raw, EXPECTED)?.parse().map_err(|error| {
            Mistake::new(format!("not a URL that works here: {error}"), format!("write {EXPECTED}"))
        })
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for StoreLocation {
    const KIND: &'static str = "path or URL";
    const SYNTAX: Syntax = Syntax::Quoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        const EXPECTED: &str = "the path of an SQLite file, or postgres://user:password@host/database";
        text_of(raw, EXPECTED)?
            .parse()
            .map_err(|error| Mistake::new(format!("not a store: {error}"), format!("write {EXPECTED}")))
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for Endpoint {
    const KIND: &'static str = "host:port";
    const SYNTAX: Syntax = Syntax::Quoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        const EXPECTED: &str = "host:port, such as localhost:3900";
        let text = text_of(raw, EXPECTED)?;
        text.parse().map_err(|error| {
            Mistake::new(format!("{} is no endpoint: {error}", cite(text)), format!("write {EXPECTED}"))
        })
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for Confirmations {
    const KIND: &'static str = "\"safe\", \"finalized\" or number";
    const SYNTAX: Syntax = Syntax::NumberOrQuoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        if let Some(text) = raw.as_text() {
            match text.trim() {
                "safe" => return Ok(Self::Safe),
                "finalized" => return Ok(Self::Finalized),
                _ => {}
            }
        }
        read_number(raw, 1_000_000).map(Self::Blocks).map_err(|_| {
            Mistake::new(
                format!("{} is neither safe, finalized nor a number of blocks", cite_raw(raw)),
                "write \"safe\", \"finalized\", or a number of L1 blocks up to 1000000",
            )
        })
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

fn read_choice<T: Copy>(raw: &Raw, choices: &[(&'static str, T)]) -> Result<T, Mistake> {
    let text = match raw {
        Raw::Integer(Some(number)) => number.to_string(),
        other => other.as_text().unwrap_or_default().trim().to_owned(),
    };
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        Mistake::new(
            format!("{} is not possible here", cite_raw(raw)),
            format!("write one of: {}", names.join(", ")),
        )
    })
}

macro_rules! choices {
    ($($type:ty: $kind:literal, $syntax:expr;)+) => { $(
        impl Setting for $type {
            const KIND: &'static str = $kind;
            const SYNTAX: Syntax = $syntax;

            fn read(raw: &Raw) -> Result<Self, Mistake> {
                read_choice(raw, Self::CHOICES)
            }

            fn show(&self) -> Option<String> {
                Some(self.as_str().to_owned())
            }
        }
    )+ };
}

choices! {
    DataAvailability: "\"blob\", \"calldata\", \"auto\" or \"none\"", Syntax::Quoted;
    SidecarVersion: "1 or 0", Syntax::Bare;
    WitnessSource: "\"client\" or \"shadow\"", Syntax::Quoted;
    Sp1Prover: "\"mock\", \"cpu\" or \"cuda\"", Syntax::Quoted;
}

impl Setting for ProverType {
    const KIND: &'static str = "\"exec\", \"risc0\", \"sp1\" or \"pico\"";
    const SYNTAX: Syntax = Syntax::Quoted;

    fn read(raw: &Raw) -> Result<Self, Mistake> {
        read_choice(raw, &Self::ALL.map(|kind| (kind.as_str(), kind)))
    }

    fn show(&self) -> Option<String> {
        Some(self.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn text(text: &str) -> Raw {
        Raw::Text(zeroize::Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn numbers_are_strict_in_toml_and_loose_elsewhere() {
        assert_eq!(u64::read(&Raw::Integer(Some(5))), Ok(5));
        assert_eq!(u64::read(&Raw::loose(" 5_000 ")), Ok(5000));
        assert!(u64::read(&text("5")).unwrap_err().remedy.contains("without quotes"));
        for raw in [
            Raw::Integer(Some(-1)),
            Raw::Integer(None),
            Raw::Integer(Some(1 << 64)),
            Raw::loose("5s"),
            Raw::loose("-5"),
        ] {
            assert!(u64::read(&raw).is_err());
        }
        assert!(u16::read(&Raw::Integer(Some(65_536))).is_err());
        assert_eq!(u16::read(&Raw::Integer(Some(65_535))), Ok(65_535));
    }

    #[test]
    fn addresses_are_checked_by_eip_55() {
        let good = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        assert!(Address::read(&text(good)).is_ok());
        assert!(Address::read(&text(&good.to_lowercase())).is_ok());
        assert!(Address::read(&text(&good.replace("Fd6", "fd6"))).unwrap_err().what.contains("EIP-55"));
        assert!(Address::read(&text(&good[2..])).is_err());
        assert!(Address::read(&text("0xé39Fd6e51aad88F6F4ce6aB8827279cffFb9226")).is_err());
        assert!(Address::read(&Raw::Integer(Some(7))).is_err());
    }

    /// SEQ-INV-12: a private key in the line of an address is not repeated.
    #[test]
    fn what_could_be_a_key_is_not_cited() {
        let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        for raw in [text(key), text(&format!("0x{key}")), Raw::loose(key)] {
            for mistake in [
                Address::read(&raw).unwrap_err(),
                u64::read(&raw).unwrap_err(),
                Endpoint::read(&raw).unwrap_err(),
                IpAddr::read(&raw).unwrap_err(),
                bool::read(&raw).unwrap_err(),
                DataAvailability::read(&raw).unwrap_err(),
                Confirmations::read(&raw).unwrap_err(),
            ] {
                assert!(!format!("{mistake:?}").contains("ac0974"), "{mistake:?}");
            }
        }
    }

    #[test]
    fn lists_come_as_arrays_or_with_commas() {
        let a = "http://a";
        let b = "https://b/key";
        let list = Vec::<RpcUrl>::read(&Raw::List(vec![text(a), text(b)])).unwrap();
        assert_eq!(list, Vec::<RpcUrl>::read(&Raw::loose("http://a, https://b/key")).unwrap());
        assert_eq!(list, Vec::<RpcUrl>::read(&text("http://a,https://b/key,")).unwrap());
        assert_eq!(list.show().unwrap(), "http://a,https://b/***");
        assert_eq!(Vec::<RpcUrl>::read(&text(a)).unwrap().len(), 1);
        let mistake = Vec::<RpcUrl>::read(&Raw::List(vec![text(a), Raw::Bool(true)])).unwrap_err();
        assert!(mistake.what.starts_with("item 2"), "{mistake:?}");
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(Syntax::Quoted.write("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000A\"");
        assert_eq!(Syntax::List.write("a, b"), "[\"a\", \"b\"]");
        assert_eq!(Syntax::NumberOrQuoted.write("12"), "12");
        assert_eq!(Syntax::NumberOrQuoted.write("safe"), "\"safe\"");
    }

    #[test]
    fn confirmations() {
        assert_eq!(Confirmations::read(&text("safe")), Ok(Confirmations::Safe));
        assert_eq!(Confirmations::read(&Raw::loose("12")), Ok(Confirmations::Blocks(12)));
        assert_eq!(Confirmations::read(&Raw::Integer(Some(0))), Ok(Confirmations::Blocks(0)));
        assert!(Confirmations::read(&text("latest")).is_err());
    }
}
