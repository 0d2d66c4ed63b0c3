//! What the chores need to know about the workspace.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::error::XtaskError;

/// Features that need a zkVM's own toolchain: they are built where that is installed, not by the chores.
const HEAVY_FEATURES: &[&str] = &["cuda", "pico", "sp1", "zkvm"];

/// One package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Every feature but `default` and those of [`HEAVY_FEATURES`].
    pub(crate) features: Vec<String>,
    pub(crate) has_default_feature: bool,
    pub(crate) has_heavy_feature: bool,
    pub(crate) has_library: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

impl Workspace {
    /// Asks cargo, from the folder of this package where `cargo run` names it, else from the current one. The folder
    /// at compile time would be that of another clone where clones share a target directory.
    pub(crate) fn discover() -> Result<Self, XtaskError> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let shown = "cargo metadata --no-deps --format-version 1";
        let folder = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(folder)
            .output()
            .map_err(|source| XtaskError::Spawn { command: shown.to_owned(), source })?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(XtaskError::Metadata { command: shown.to_owned(), stderr });
        }
        let value =
            serde_json::from_slice(&output.stdout).map_err(|e| XtaskError::MetadataFormat(e.to_string()))?;
        Self::from_metadata(&value)
    }

    /// Reads the output format 1 of `cargo metadata` (The Cargo Book, "cargo metadata").
    pub(crate) fn from_metadata(value: &Value) -> Result<Self, XtaskError> {
        let text = |key: &str| {
            value[key]
                .as_str()
                .map(PathBuf::from)
                .ok_or_else(|| XtaskError::MetadataFormat(format!("no `{key}`")))
        };
        let packages = value["packages"]
            .as_array()
            .ok_or_else(|| XtaskError::MetadataFormat("no `packages`".to_owned()))?
            .iter()
            .map(package)
            .collect::<Result<_, _>>()?;
        Ok(Self { root: text("workspace_root")?, target: text("target_directory")?, packages })
    }

    /// Fails for a name that no package of the workspace has.
    pub(crate) fn require_packages(&self, names: &[String]) -> Result<(), XtaskError> {
        match names.iter().find(|name| !self.packages.iter().any(|p| p.name == **name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<&str> = self.packages.iter().map(|p| p.name.as_str()).collect();
                Err(XtaskError::UnknownPackage { name: name.clone(), known: known.join(", ") })
            }
        }
    }

    /// Arguments that switch on every feature but the heavy ones, for the given packages (none = all).
    pub(crate) fn feature_args(&self, packages: &[String]) -> Vec<String> {
        let chosen: Vec<&Package> =
            self.packages.iter().filter(|p| packages.is_empty() || packages.contains(&p.name)).collect();
        if !chosen.iter().any(|p| p.has_heavy_feature) {
            return vec!["--all-features".to_owned()];
        }
        let mut list: Vec<String> =
            chosen.iter().flat_map(|p| p.features.iter().map(move |f| format!("{}/{f}", p.name))).collect();
        list.sort();
        if list.is_empty() { Vec::new() } else { vec!["--features".to_owned(), list.join(",")] }
    }
}

fn package(value: &Value) -> Result<Package, XtaskError> {
    let name =
        value["name"].as_str().ok_or_else(|| XtaskError::MetadataFormat("a package without name".into()))?;
    let features = value["features"]
        .as_object()
        .ok_or_else(|| XtaskError::MetadataFormat(format!("package `{name}` without `features`")))?;
    let heavy = |feature: &str| HEAVY_FEATURES.contains(&feature);
    let has_library = value["targets"].as_array().is_some_and(|targets| {
        targets.iter().any(|t| t["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == "lib")))
    });
    Ok(Package {
        name: name.to_owned(),
        features: features.keys().filter(|f| *f != "default" && !heavy(f)).cloned().collect(),
        has_default_feature: features.contains_key("default"),
        has_heavy_feature: features.keys().any(|f| heavy(f)),
        has_library,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use serde_json::json;

    use super::Workspace;

    pub(crate) fn sample(heavy: bool) -> Workspace {
        let mut prover = json!({ "default": ["exec"], "exec": [] });
        if heavy {
            prover["sp1"] = json!([]);
        }
        Workspace::from_metadata(&json!({
            "workspace_root": "/w",
            "target_directory": "/w/target",
            "packages": [
                { "name": "node", "features": {}, "targets": [{ "kind": ["lib"] }] },
                { "name": "l1", "features": { "mock": [] }, "targets": [{ "kind": ["lib"] }] },
                { "name": "prover", "features": prover, "targets": [{ "kind": ["lib"] }, { "kind": ["bin"] }] },
                { "name": "tool", "features": {}, "targets": [{ "kind": ["bin"] }] },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn heavy_features_stay_off_and_all_others_are_on() {
        assert_eq!(sample(false).feature_args(&[]), ["--all-features"]);
        assert_eq!(sample(true).feature_args(&[]), ["--features", "l1/mock,prover/exec"]);
        assert_eq!(sample(true).feature_args(&["l1".to_owned()]), ["--all-features"]);
        assert_eq!(sample(true).feature_args(&["prover".to_owned()]), ["--features", "prover/exec"]);
    }

    #[test]
    fn an_unknown_package_is_named_with_the_known_ones() {
        let error =
            sample(false).require_packages(&["l1".to_owned(), "l2".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "there is no package `l2` in this workspace; there are: node, l1, prover, tool");
    }

    #[test]
    fn metadata_of_another_shape_is_an_error() {
        for bad in [json!({}), json!([]), json!({ "packages": [{}] }), json!({ "packages": [] })] {
            assert!(Workspace::from_metadata(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn this_workspace_is_found() {
        let workspace = Workspace::discover().unwrap();
        assert!(workspace.packages.iter().any(|p| p.name == "xtask" && !p.has_library));
        assert!(workspace.root.join("xtask").is_dir());
    }
}
