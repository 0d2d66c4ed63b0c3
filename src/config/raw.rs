//! A value as it was written, before its key gives it a type.

use toml::de::DeValue;
use zeroize::Zeroizing;

/// A value as it was written. It has no `Debug`: it may be a secret.
#[derive(Clone, PartialEq)]
pub(super) enum Raw {
    /// A TOML string.
    Text(Zeroizing<String>),
    /// A text without a type, from a variable or a flag.
    Loose(Zeroizing<String>),
    /// A TOML integer, or `None` if it has more than 127 bits.
    Integer(Option<i128>),
    /// A TOML float, as written.
    Float(String),
    /// A TOML boolean.
    Bool(bool),
    /// A TOML array.
    List(Vec<Raw>),
    /// Something that no key takes.
    Other(&'static str),
}

impl Raw {
    pub(super) fn loose(text: &str) -> Self {
        Self::Loose(Zeroizing::new(text.to_owned()))
    }

    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(Zeroizing::new(text.to_string())),
            DeValue::Integer(integer) => {
                Self::Integer(i128::from_str_radix(integer.as_str(), integer.radix()).ok())
            }
            DeValue::Float(float) => Self::Float(float.as_str().to_owned()),
            DeValue::Boolean(value) => Self::Bool(*value),
            DeValue::Array(items) => Self::List(
                items
                    .iter()
                    .map(|item| match item.get_ref() {
                        DeValue::Array(_) => Self::Other("a list"),
                        other => Self::from_toml(other),
                    })
                    .collect(),
            ),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// The text, of a string or of something loose.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Loose(text) => Some(text),
            Self::Integer(_) | Self::Float(_) | Self::Bool(_) | Self::List(_) | Self::Other(_) => None,
        }
    }

    /// What kind of thing it is, for messages. Never the value.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Loose(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a decimal number",
            Self::Bool(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
        }
    }
}
