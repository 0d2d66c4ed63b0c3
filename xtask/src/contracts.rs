//! The Foundry project under `contracts/`: what its chores call.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::Cmd;

/// Names the anvil binary to the tests that start an L1.
pub(crate) const ANVIL_VARIABLE: &str = "ENSEMBLE_ANVIL";

const DIR: &str = "contracts";
const LOCK: &str = "package-lock.json";
/// A copy of the lock file that the folder was installed from: npm's own `.package-lock.json` leaves things out.
const INSTALLED_LOCK: &str = "node_modules/.installed-package-lock.json";

/// Foundry's names of the machines that its npm packages are built for.
fn platform() -> String {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{os}-{arch}")
}

/// The program itself. `node_modules/.bin` holds a wrapper, and killing that leaves its child running.
fn foundry(root: &Path, tool: &str) -> PathBuf {
    let file = format!("{tool}{}", std::env::consts::EXE_SUFFIX);
    root.join(DIR).join(format!("node_modules/@foundry-rs/{tool}-{}/bin/{file}", platform()))
}

pub(crate) fn anvil(root: &Path) -> PathBuf {
    foundry(root, "anvil")
}

pub(crate) fn forge(root: &Path) -> Cmd {
    Cmd::new(foundry(root, "forge").to_string_lossy()).dir(DIR)
}

/// Installs what the lock file says, with its hashes. Not `npm ci`: that refuses a lock file without the binaries of
/// every other platform, and npm writes such a one where the registry does not serve them all.
pub(crate) fn npm_install() -> Cmd {
    Cmd::new("npm").args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]).dir(DIR)
}

/// Whether the lock file was made from this `package.json`, as `npm ci` would ask.
pub(crate) fn check_lock(root: &Path) -> Result<(), String> {
    let read = |name: &str| -> Result<Value, String> {
        let path = root.join(DIR).join(name);
        let text = std::fs::read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        serde_json::from_slice(&text).map_err(|e| format!("{} is no JSON: {e}", path.display()))
    };
    if lock_matches(&read("package.json")?, &read(LOCK)?) {
        Ok(())
    } else {
        Err(format!(
            "{DIR}/{LOCK} is not of this package.json: run `npm install` in {DIR} and commit the lock file"
        ))
    }
}

/// Lock files of version 2 and 3 hold the manifest that they were made from as package "" (docs.npmjs.com,
/// "package-lock.json").
fn lock_matches(manifest: &Value, lock: &Value) -> bool {
    let locked = &lock["packages"][""];
    locked.is_object()
        && ["dependencies", "devDependencies", "optionalDependencies"]
            .iter()
            .all(|key| locked[key] == manifest[key])
}

/// Writes `contracts/artifacts` from forge's output, or (`check`) fails when they differ.
pub(crate) fn artifacts(check: bool) -> Cmd {
    let cmd = Cmd::new("node").arg("tools/artifacts.mjs").dir(DIR);
    if check { cmd.arg("--check") } else { cmd }
}

/// Fails when the committed verifying keys, or the constants made of them, do not agree with themselves.
pub(crate) fn verifying_keys() -> Cmd {
    Cmd::new("node").args(["tools/verifying-keys.mjs", "--check"]).dir(DIR)
}

/// Whether the lock file as it is now was installed by [`mark_installed`]'s caller.
pub(crate) fn is_installed(root: &Path) -> bool {
    let dir = root.join(DIR);
    match (std::fs::read(dir.join(LOCK)), std::fs::read(dir.join(INSTALLED_LOCK))) {
        (Ok(lock), Ok(installed)) => lock == installed && anvil(root).is_file(),
        _ => false,
    }
}

/// Notes that the packages of the present lock file are installed.
pub(crate) fn mark_installed(root: &Path) -> std::io::Result<()> {
    let dir = root.join(DIR);
    std::fs::copy(dir.join(LOCK), dir.join(INSTALLED_LOCK)).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::lock_matches;

    #[test]
    fn a_lock_file_of_another_manifest_is_noticed() {
        let manifest = json!({ "name": "c", "devDependencies": { "solc": "0.8.37" } });
        let lock = |version: &str| json!({ "packages": { "": { "devDependencies": { "solc": version } } } });
        assert!(lock_matches(&manifest, &lock("0.8.37")));
        assert!(!lock_matches(&manifest, &lock("0.8.36")));
        assert!(!lock_matches(&manifest, &json!({ "packages": {} })));
        assert!(!lock_matches(&json!({ "dependencies": { "a": "1" } }), &json!({ "packages": { "": {} } })));
    }
}
