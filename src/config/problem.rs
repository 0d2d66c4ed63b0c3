//! What is wrong with a configuration, where, and what to do.

use std::fmt;
use std::path::PathBuf;

use ensemble_error::{Classify, Severity};

/// Where a value, or a mistake, comes from. The order is that of the layers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The built-in default.
    Default,
    /// The TOML file; the line counts from 1.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, if one is to blame.
        line: Option<usize>,
    },
    /// The `.env` file; the line counts from 1.
    EnvFile {
        /// Its path.
        path: PathBuf,
        /// The line, if one is to blame.
        line: Option<usize>,
    },
    /// A variable of the process environment.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } | Self::EnvFile { path, line } => {
                write!(f, "{}", path.display())?;
                line.map_or(Ok(()), |line| write!(f, ":{line}"))
            }
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// One mistake. Never contains the value of a secret (SEQ-INV-12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub source: Source,
    /// `section.key`, if it is about a key.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source != Source::Default {
            write!(f, "{}: ", self.source)?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        write!(f, "{}", self.what)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// `Err` with all problems, or `Ok` when there are none.
    pub(super) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self::new(problems)) }
    }

    /// By place; problems of one place in the order in which they were found.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.source.cmp(&b.source));
        Self { problems }
    }

    /// The mistakes, by place.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{count} problem{} in the configuration:", if count == 1 { "" } else { "s" })?;
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "\n{:>3}. {problem}\n     -> {}", index + 1, problem.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl Classify for ConfigErrors {
    /// No retry repairs a configuration.
    fn severity(&self) -> Severity {
        Severity::Fatal
    }
}
