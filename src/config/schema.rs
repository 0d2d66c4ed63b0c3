//! The shape of the table of keys.

use super::layers::Resolved;
use super::raw::Raw;
use super::setting::{Mistake, Range, Setting, Syntax};

/// A command that cannot do without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// `ensemble run`.
    Run,
    /// `ensemble deploy`.
    Deploy,
    /// `ensemble prover`.
    Prover,
    /// `ensemble rebuild`.
    Rebuild,
}

impl Use {
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Deploy => "deploy",
            Self::Prover => "prover",
            Self::Rebuild => "rebuild",
        }
    }
}

/// One key. Made by [`section!`] only.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// Other names in the same section.
    pub(super) aliases: &'static [&'static str],
    /// Variables besides those that follow from section and name.
    pub(super) extra_variables: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) kind: &'static str,
    pub(super) syntax: Syntax,
    /// Its value is never shown.
    pub(super) secret: bool,
    pub(super) range: Option<Range>,
    /// An example, as loose text.
    pub(super) example: &'static str,
    pub(super) needed: &'static [Use],
    /// The default, as loose text.
    pub(super) default: fn() -> Option<String>,
    /// Checks a value.
    pub(super) check: fn(&Raw) -> Result<(), Mistake>,
}

impl Key {
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    pub(super) fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// One section.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// The first one is the canonical prefix of the section's variables.
    pub(super) prefixes: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) keys: &'static [Key],
}

impl Section {
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.answers_to(name))
    }

    /// The variables of a key, the canonical one first: `PREFIX_NAME` for each prefix and name.
    pub(super) fn variables(&self, key: &Key) -> Vec<String> {
        let names = std::iter::once(&key.name).chain(key.aliases);
        let mut variables = Vec::new();
        for name in names {
            for prefix in self.prefixes {
                let variable = format!("{prefix}_{}", name.replace(' ', "_").to_ascii_uppercase());
                if !variables.contains(&variable) {
                    variables.push(variable);
                }
            }
        }
        variables.extend(key.extra_variables.iter().map(|name| (*name).to_owned()));
        variables
    }
}

/// Everything about one configuration file.
#[derive(Debug)]
pub(super) struct Schema {
    /// Variable with the file's name.
    pub(super) file_variable: &'static str,
    /// Name of the file if the variable is not set.
    pub(super) default_file: &'static str,
    /// Variable with the path of the `.env` file.
    pub(super) env_file_variable: &'static str,
    /// Path of the `.env` file if the variable is not set.
    pub(super) default_env_file: &'static str,
    /// Keys may stand at the top of the file, as those of this section.
    pub(super) flat: Option<&'static str>,
    pub(super) sections: &'static [&'static Section],
}

impl Schema {
    pub(super) fn section(&self, name: &str) -> Option<&'static Section> {
        self.sections.iter().copied().find(|section| section.name == name)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&'static Section, &'static Key)> {
        self.sections.iter().flat_map(|section| section.keys.iter().map(move |key| (*section, key)))
    }
}

/// A key and what may be shown of its value, as loose text.
pub(super) struct Shown {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) value: Option<String>,
}

/// A section's struct.
pub(super) trait Filled {
    /// Built from what the layers gave.
    fn from_resolved(resolved: &Resolved) -> Self;

    /// Its values, in the order of the table.
    fn shown(&self) -> Vec<Shown>;
}

/// Reads a value and checks its limits.
pub(super) fn read<T: Setting>(raw: &Raw, range: Option<Range>) -> Result<T, Mistake> {
    let value = T::read(raw)?;
    if let Some(range) = range {
        value.within(range)?;
    }
    Ok(value)
}

/// Writes one section of the table and the struct that it fills. The doc comments are the help texts.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $struct:ident, $static:ident = $section:literal, variables [$($prefix:literal),+];
        $(
            $(#[doc = $help:literal])+
            $field:ident: $type:ty = $default:expr, like $example:literal
            $(, alias [$($alias:literal),+])?
            $(, variable [$($variable:literal),+])?
            $(, range [$min:expr, $max:expr, $why:literal])?
            $(, needed [$($use:ident),+])?
            ;
        )+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $struct {
            $( $(#[doc = $help])+ pub $field: $type, )+
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl Filled for $struct {
            fn from_resolved(resolved: &Resolved) -> Self {
                let default = Self::default();
                Self { $(
                    $field: resolved
                        .raw($section, stringify!($field))
                        .and_then(|raw| read::<$type>(raw, section!(@range $($min, $max, $why)?)).ok())
                        .unwrap_or(default.$field),
                )+ }
            }

            fn shown(&self) -> Vec<Shown> {
                vec![ $( Shown {
                    section: $section,
                    name: stringify!($field),
                    value: Setting::show(&self.$field),
                }, )+ ]
            }
        }

        pub(super) static $static: Section = Section {
            name: $section,
            prefixes: &[$($prefix),+],
            help: concat!($($about),+),
            keys: &[ $( Key {
                section: $section,
                name: stringify!($field),
                aliases: &[$($($alias),+)?],
                extra_variables: &[$($($variable),+)?],
                help: concat!($($help),+),
                kind: <$type as Setting>::KIND,
                syntax: <$type as Setting>::SYNTAX,
                secret: <$type as Setting>::SECRET,
                range: section!(@range $($min, $max, $why)?),
                example: $example,
                needed: &[$($(Use::$use),+)?],
                default: || <$type as Setting>::show(&$default),
                check: |raw| {
                    read::<$type>(raw, section!(@range $($min, $max, $why)?)).map(drop)
                },
            }, )+ ],
        };
    };
    (@range) => { None };
    (@range $min:expr, $max:expr, $why:literal) => { Some(Range { min: $min, max: $max, why: $why }) };
}
pub(super) use section;
