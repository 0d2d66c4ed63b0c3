//! The `.env` file: read, and updated by the deployer.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ensemble_error::{Classify, Severity};
use zeroize::Zeroizing;

use super::problem::{Problem, Source};

/// One variable of the file.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: Zeroizing<String>,
    pub(super) line: Option<usize>,
}

/// Reads the variables; lines that are none become problems (without their text, which may be a secret).
pub(super) fn parse(text: &str, path: &Path, problems: &mut Vec<Problem>) -> Vec<Variable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut places: BTreeMap<&str, VecDeque<usize>> = BTreeMap::new();
    let mut first_lines: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = assigned(line) {
            places.entry(name).or_default().push_back(index + 1);
        }
        first_lines.entry(line.trim()).or_insert(index + 1);
    }
    let mut variables: Vec<Variable> = Vec::new();
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((name, value)) => {
                // The n-th occurrence of the name is the n-th line with it.
                let line = places.get_mut(name.as_str()).and_then(VecDeque::pop_front);
                variables.push(Variable { name, value: Zeroizing::new(value), line });
            }
            Err(dotenvy::Error::LineParse(bad, _)) => {
                let first = bad.lines().next().unwrap_or_default().trim();
                let line = first_lines.get(first).copied();
                problems.push(Problem {
                    source: Source::EnvFile { path: path.to_owned(), line },
                    key: None,
                    what: "not a line of a .env file".to_owned(),
                    remedy: "write NAME=value; values with blanks, quotes, # or $ in single quotes"
                        .to_owned(),
                });
            }
            Err(error) => problems.push(Problem {
                source: Source::EnvFile { path: path.to_owned(), line: None },
                key: None,
                what: format!("cannot be read: {error}"),
                remedy: "name a .env file".to_owned(),
            }),
        }
    }
    variables
}

/// The name that a line assigns.
fn assigned(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    let name = name.trim();
    Some(name.strip_prefix("export ").unwrap_or(name).trim())
}

/// Why the `.env` file could not be updated.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name or value cannot stand in a `.env` file.
    #[error("`{0}` cannot be written to a .env file: the name or value has characters that need quotes")]
    Unwritable(String),
}

impl Classify for EnvFileError {
    fn severity(&self) -> Severity {
        match self {
            Self::Io { .. } | Self::Unwritable(_) => Severity::Fatal,
        }
    }
}

/// Sets variables in a `.env` file: lines that assign them are replaced, other lines stay as they are, new
/// variables go to the end. The file is replaced as a whole, readable by its owner only.
///
/// # Errors
/// If the file cannot be read or written, or a name or value would need quotes. Nothing is written then.
pub fn update_env_file(path: &Path, entries: &[(&str, &str)]) -> Result<(), EnvFileError> {
    let failed = |source| EnvFileError::Io { path: path.to_owned(), source };
    let old = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
        Err(error) => return Err(failed(error)),
    };
    let new = Zeroizing::new(updated(&old, entries)?);
    write_private_file(path, new.as_bytes()).map_err(failed)
}

/// Writes a file as a whole or not at all, readable by its owner only.
///
/// # Errors
/// What the system said; a file that was there is unchanged then.
pub fn write_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or_else(|| io::Error::other("not the path of a file"))?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        // The first error is the one to tell.
        drop(std::fs::remove_file(&temporary));
    })
}

fn updated(old: &str, entries: &[(&str, &str)]) -> Result<String, EnvFileError> {
    for (name, value) in entries {
        let name_ok = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let value_ok =
            value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '#' | '$' | '\\' | '`'));
        if !name_ok || !value_ok {
            return Err(EnvFileError::Unwritable((*name).to_owned()));
        }
    }
    let mut out = String::with_capacity(old.len() + 256);
    let mut written = vec![false; entries.len()];
    for line in old.lines() {
        let entry = entries.iter().position(|(name, _)| assigned(line) == Some(name));
        match entry {
            Some(index) if written[index] => continue,
            Some(index) => {
                written[index] = true;
                out.push_str(&format!("{}={}", entries[index].0, entries[index].1));
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    for (index, (name, value)) in entries.iter().enumerate() {
        if !written[index] {
            out.push_str(&format!("{name}={value}\n"));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_values_and_lines() {
        let text = "\u{feff}# a comment\nA=1\nexport B='two words' # why\n\nA=2\n";
        let mut problems = Vec::new();
        let found: Vec<_> = parse(text, Path::new(".env"), &mut problems)
            .into_iter()
            .map(|v| (v.name, v.value.to_string(), v.line))
            .collect();
        assert_eq!(
            found,
            [
                ("A".into(), "1".into(), Some(2)),
                ("B".into(), "two words".into(), Some(3)),
                ("A".into(), "2".into(), Some(5))
            ]
        );
        assert!(problems.is_empty());
    }

    /// SEQ-INV-12: the text of a bad line may be a secret.
    #[test]
    fn bad_lines_are_located_and_not_repeated() {
        let mut problems = Vec::new();
        let found = parse("A=1\nhunter two\nB=2\n", Path::new("x/.env"), &mut problems);
        assert_eq!(found.len(), 2);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].source.to_string(), "x/.env:2");
        assert!(!format!("{problems:?}").contains("hunter"));
    }

    #[test]
    fn an_update_leaves_other_lines_alone() {
        let old = "# mine\nKEEP='a b'\nexport SET=old\nSET=older\nLAST=1";
        let new = updated(old, &[("SET", "0x1"), ("NEW", "http://h:1/")]).unwrap();
        assert_eq!(new, "# mine\nKEEP='a b'\nSET=0x1\nLAST=1\nNEW=http://h:1/\n");
        assert_eq!(updated(&new, &[("SET", "0x1"), ("NEW", "http://h:1/")]).unwrap(), new);
        for (name, value) in [("A B", "1"), ("", "1"), ("A", "a b"), ("A", "$X"), ("A", "1\nB=2")] {
            assert!(
                matches!(updated("", &[(name, value)]), Err(EnvFileError::Unwritable(_))),
                "{name}={value}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_and_replaced_as_a_whole() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        update_env_file(&path, &[("A", "1")]).unwrap();
        update_env_file(&path, &[("B", "2")]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "A=1\nB=2\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(update_env_file(&directory.path().join("no/such/.env"), &[("A", "1")]).is_err());
    }
}
