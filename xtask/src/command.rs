//! A command line as data: it can be shown, compared in tests, and run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program, its arguments, its additional environment and its directory (below the workspace root).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cmd {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    env_remove: Vec<String>,
    dir: Option<PathBuf>,
    stdout_to_stderr: bool,
}

impl Cmd {
    pub(crate) fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            env_remove: Vec::new(),
            dir: None,
            stdout_to_stderr: false,
        }
    }

    pub(crate) fn cargo(subcommand: &str) -> Self {
        Self::new("cargo").arg(subcommand)
    }

    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.env.push((key.to_owned(), value.into()));
        self
    }

    pub(crate) fn env_remove(mut self, key: &str) -> Self {
        self.env_remove.push(key.to_owned());
        self
    }

    pub(crate) fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sends what the program prints on stdout to stderr, where stdout belongs to somebody else.
    pub(crate) fn stdout_to_stderr(mut self) -> Self {
        self.stdout_to_stderr = true;
        self
    }

    /// The process to start; `path` is put before the PATH of this process.
    pub(crate) fn process(&self, root: &Path, path: Option<&Path>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        command.current_dir(match &self.dir {
            Some(dir) => root.join(dir),
            None => root.to_path_buf(),
        });
        if let Some(first) = path {
            let old = std::env::var_os("PATH").unwrap_or_default();
            let all = std::iter::once(first.to_path_buf()).chain(std::env::split_paths(&old));
            if let Ok(joined) = std::env::join_paths(all) {
                command.env("PATH", joined);
            }
        }
        for key in std::env::vars_os().map(|(key, _)| key).filter(|key| describes_us(&key.to_string_lossy()))
        {
            command.env_remove(key);
        }
        for key in &self.env_remove {
            command.env_remove(key);
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        if self.stdout_to_stderr {
            command.stdout(Stdio::from(std::io::stderr()));
        }
        command
    }
}

/// Whether cargo set this variable to describe the package that it runs, which is this one. Build scripts like that of
/// `ring` ask to be run again when it changes, so that `cargo xtask test` would build anew what `cargo test` has built,
/// and the other way round. <https://doc.rust-lang.org/cargo/reference/environment-variables.html>
fn describes_us(key: &str) -> bool {
    key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_") || key == "CARGO_PRIMARY_PACKAGE"
}

/// A line that a POSIX shell runs from the workspace root.
impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dir) = &self.dir {
            write!(f, "(cd {} && ", quote(&dir.to_string_lossy()))?;
        }
        for (key, value) in &self.env {
            write!(f, "{key}={} ", quote(value))?;
        }
        f.write_str(&quote(&self.program))?;
        for arg in &self.args {
            write!(f, " {}", quote(arg))?;
        }
        if self.dir.is_some() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Single quotes where a POSIX shell needs them.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Cmd;

    #[test]
    fn the_shown_line_is_a_shell_line() {
        let cmd = Cmd::cargo("doc").arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings").dir("a b");
        assert_eq!(cmd.to_string(), "(cd 'a b' && RUSTDOCFLAGS='-D warnings' cargo doc --no-deps)");
        assert_eq!(Cmd::new("echo").arg("it's").arg("").to_string(), r"echo 'it'\''s' ''");
    }

    /// What cargo says of this package is nothing for the build scripts of others.
    #[test]
    fn a_process_does_not_inherit_what_describes_us() {
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let output = Cmd::new("env").process(&std::env::temp_dir(), None).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("PATH="), "{text}");
        assert!(!text.contains("CARGO_MANIFEST_") && !text.contains("CARGO_PKG_"), "{text}");
    }

    /// The line that a failed step prints must do what the step did.
    #[test]
    fn a_shell_runs_the_shown_line_as_the_process_ran() {
        let root = std::env::temp_dir();
        let cmd = Cmd::new("sh").arg("-c").arg(r#"printf %s "$XTASK_PROBE|$0|$1""#).args(["a'b", "$HOME *"]);
        let cmd = cmd.env("XTASK_PROBE", "x  y");
        let direct = cmd.process(&root, None).output().unwrap();
        let shown = std::process::Command::new("sh")
            .arg("-c")
            .arg(cmd.to_string())
            .current_dir(&root)
            .output()
            .unwrap();
        assert!(direct.status.success());
        assert_eq!(direct.stdout, b"x  y|a'b|$HOME *");
        assert_eq!(direct.stdout, shown.stdout);
    }
}
