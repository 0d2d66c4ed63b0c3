//! What happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::FaultKind;
use crate::plan::{MAX_METHODS, OTHER_METHODS};

/// Counts of one method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodStats {
    /// Calls that came from clients.
    pub requests: u64,
    /// Calls that the node answered: fewer than `requests` by those that were refused or cut, more by those that were
    /// delivered twice.
    pub delivered: u64,
    /// Faults that took effect.
    pub faults: BTreeMap<FaultKind, u64>,
}

/// Counts of a proxy since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// By method. Calls in a batch are counted under their methods; its faults, once each, under `(batch)`. Requests
    /// that are no JSON-RPC are `(other)`.
    pub methods: BTreeMap<String, MethodStats>,
    /// Connections that clients opened.
    pub connections: u64,
    /// Requests that the node did not answer by its own fault: refused, or broken off.
    pub target_failures: u64,
    /// Bytes of answers that came from the node.
    pub bytes_from_target: u64,
    /// Bytes of answers handed to connections of clients. What the operating system buffers is in it (a few
    /// hundred KiB per connection), so this is an upper bound of what clients have read.
    pub bytes_to_clients: u64,
}

impl Stats {
    /// Calls of this method that came from clients.
    #[must_use]
    pub fn requests(&self, method: &str) -> u64 {
        self.methods.get(method).map_or(0, |m| m.requests)
    }

    /// Calls of this method that the node answered.
    #[must_use]
    pub fn delivered(&self, method: &str) -> u64 {
        self.methods.get(method).map_or(0, |m| m.delivered)
    }

    /// Faults of this kind, of all methods.
    #[must_use]
    pub fn faults(&self, kind: FaultKind) -> u64 {
        self.methods.values().filter_map(|m| m.faults.get(&kind)).sum()
    }

    /// Faults of this method, of all kinds.
    #[must_use]
    pub fn faults_of(&self, method: &str) -> u64 {
        self.methods.get(method).map_or(0, |m| m.faults.values().sum())
    }

    /// Calls of all methods.
    #[must_use]
    pub fn total_requests(&self) -> u64 {
        self.methods.values().map(|m| m.requests).sum()
    }

    /// Faults of all kinds and methods.
    #[must_use]
    pub fn total_faults(&self) -> u64 {
        self.methods.values().flat_map(|m| m.faults.values()).sum()
    }

    pub(crate) fn method(&mut self, name: &str) -> &mut MethodStats {
        let known = self.methods.contains_key(name);
        let kept = known || (self.methods.len() < MAX_METHODS && name.len() <= crate::plan::MAX_METHOD_LEN);
        self.methods.entry(if kept { name } else { OTHER_METHODS }.to_owned()).or_default()
    }
}
