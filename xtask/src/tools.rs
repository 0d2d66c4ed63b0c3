//! cargo subcommands that the chores need: found, or installed once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::Cmd;
use crate::error::XtaskError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    CargoDeny,
    CargoNextest,
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CargoDeny => "cargo-deny",
            Self::CargoNextest => "cargo-nextest",
        }
    }

    /// The oldest version whose configuration format and flags the workspace uses (major, minor).
    fn oldest(self) -> (u64, u64) {
        match self {
            Self::CargoDeny => (0, 20),
            Self::CargoNextest => (0, 9),
        }
    }

    /// The command that installs it into `dir`.
    pub(crate) fn install(self, dir: &Path) -> Cmd {
        let (major, minor) = self.oldest();
        Cmd::cargo("install")
            .args(["--locked", self.name(), "--version"])
            .arg(format!("^{major}.{minor}"))
            .arg("--root")
            .arg(dir.to_string_lossy())
            // Its release build has no place in the workspace's target directory.
            .env_remove("CARGO_TARGET_DIR")
    }

    /// The version on PATH or in `dir`, when it is new enough.
    pub(crate) fn find(self, dir: &Path) -> Option<String> {
        [PathBuf::from(self.name()), dir.join("bin").join(self.name())].into_iter().find_map(|program| {
            let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let version = version(text.lines().next()?)?;
            (output.status.success() && (version.0, version.1) >= self.oldest())
                .then(|| format!("{}.{}.{}", version.0, version.1, version.2))
        })
    }
}

/// The first `a.b.c` of a version line, e.g. `cargo-nextest 0.9.143 (60fa45f63 2026-08-04)`.
fn version(line: &str) -> Option<(u64, u64, u64)> {
    line.split_whitespace().find_map(|word| {
        let mut parts = word.trim_start_matches('v').splitn(3, '.');
        let digits =
            |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, digits(parts.next()?)?))
    })
}

/// Where missing tools go: shared by all clones of the user where possible.
pub(crate) fn directory(target: &Path) -> Result<PathBuf, XtaskError> {
    let shared = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/ensemble/tools"));
    if let Some(dir) = shared.filter(|dir| std::fs::create_dir_all(dir).is_ok()) {
        return Ok(dir);
    }
    let dir = target.join("tools");
    match std::fs::create_dir_all(&dir) {
        Ok(()) => Ok(dir),
        Err(source) => Err(XtaskError::Write { path: dir, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Tool, version};

    #[test]
    fn versions_are_read_from_what_the_tools_print() {
        assert_eq!(version("cargo-nextest 0.9.143 (60fa45f63 2026-08-04)"), Some((0, 9, 143)));
        assert_eq!(version("cargo-deny 0.20.2-rc.1"), Some((0, 20, 2)));
        assert_eq!(version("v1.2.3"), Some((1, 2, 3)));
        assert_eq!(version("error: no such command"), None);
        assert_eq!(version("0.20"), None);
    }

    #[test]
    fn an_install_is_locked_and_of_a_known_version() {
        let line = Tool::CargoDeny.install(Path::new("/t")).to_string();
        assert_eq!(line, "cargo install --locked cargo-deny --version ^0.20 --root /t");
    }
}
