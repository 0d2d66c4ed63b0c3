//! The numbers, and how they compare.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::GasError;

/// Gas of each operation (see the crate's documentation for what counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GasReport {
    /// A deposit of ETH after the first one.
    pub deposit: u64,
    /// A batch with ten deposits, a withdrawals root and one blob, after the first batch.
    pub commit: u64,
    /// Verification of that batch by one required backend that accepts everything, with a proof of 260 bytes.
    pub verify_overhead: u64,
    /// Verification of eight batches at once, with one such proof.
    pub verify_8_batches: u64,
    /// A withdrawal from a tree of depth 8 whose word of the claim bitmap is in use.
    pub claim: u64,
    /// Deployer, both implementations, both proxies with their initialisation.
    pub deploy: u64,
}

/// Upper bounds of the design. The snapshot is below them and guards tighter; these hold for every snapshot to come.
pub const TARGETS: GasReport = GasReport {
    deposit: 61_000,
    commit: 62_000,
    verify_overhead: 71_000,
    verify_8_batches: 80_000,
    claim: 68_000,
    deploy: 4_500_000,
};

/// An operation that costs more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// Gas measured.
    pub measured: u64,
    /// Gas allowed.
    pub allowed: u64,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measured, allowed } = self;
        write!(f, "{name}: {measured} gas, {} more than {allowed}", measured.saturating_sub(*allowed))
    }
}

impl GasReport {
    /// Every operation by name.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 6] {
        let Self { deposit, commit, verify_overhead, verify_8_batches, claim, deploy } = *self;
        [
            ("deposit", deposit),
            ("commit", commit),
            ("verify_overhead", verify_overhead),
            ("verify_8_batches", verify_8_batches),
            ("claim", claim),
            ("deploy", deploy),
        ]
    }

    /// The operations that cost more than in `allowed`.
    #[must_use]
    pub fn dearer_than(&self, allowed: &Self) -> Vec<Operation> {
        self.rows()
            .into_iter()
            .zip(allowed.rows())
            .filter(|((_, measured), (_, allowed))| measured > allowed)
            .map(|((name, measured), (_, allowed))| Operation { name, measured, allowed })
            .collect()
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// [`GasError::Snapshot`].
    pub fn read(path: &Path) -> Result<Self, GasError> {
        let failed = |reason: String| GasError::Snapshot { path: path.to_path_buf(), reason };
        let text = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        serde_json::from_slice(&text).map_err(|e| failed(e.to_string()))
    }

    /// Writes a snapshot.
    ///
    /// # Errors
    /// [`GasError::Snapshot`].
    pub fn write(&self, path: &Path) -> Result<(), GasError> {
        let failed = |reason: String| GasError::Snapshot { path: path.to_path_buf(), reason };
        let text = serde_json::to_string_pretty(self).map_err(|e| failed(e.to_string()))?;
        std::fs::write(path, text + "\n").map_err(|e| failed(e.to_string()))
    }
}

/// `benches/gas.json` of the workspace that cargo runs this in.
#[must_use]
pub fn snapshot_path() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.as_deref().map_or(Path::new(env!("CARGO_MANIFEST_DIR")), Path::new);
    package.ancestors().nth(2).unwrap_or(package).join("benches").join("gas.json")
}

#[cfg(test)]
mod tests {
    use super::{GasReport, Operation, TARGETS, snapshot_path};

    #[test]
    fn only_what_is_dearer_is_reported() {
        assert_eq!(TARGETS.dearer_than(&TARGETS), []);
        let measured = GasReport { deposit: 1, claim: TARGETS.claim + 7, ..TARGETS };
        let dearer = measured.dearer_than(&TARGETS);
        assert_eq!(dearer, [Operation { name: "claim", measured: 68_007, allowed: 68_000 }]);
        assert_eq!(dearer[0].to_string(), "claim: 68007 gas, 7 more than 68000");
    }

    #[test]
    fn the_committed_snapshot_meets_the_targets() {
        let committed = GasReport::read(&snapshot_path()).unwrap();
        assert_eq!(committed.dearer_than(&TARGETS), []);
    }

    #[test]
    fn a_snapshot_with_a_missing_or_unknown_operation_is_refused() {
        let good = serde_json::to_value(TARGETS).unwrap();
        assert!(serde_json::from_value::<GasReport>(good.clone()).is_ok());
        let mut missing = good.clone();
        missing.as_object_mut().unwrap().remove("claim");
        assert!(serde_json::from_value::<GasReport>(missing).is_err());
        let mut unknown = good;
        unknown["withdraw"] = 1.into();
        assert!(serde_json::from_value::<GasReport>(unknown).is_err());
    }
}
