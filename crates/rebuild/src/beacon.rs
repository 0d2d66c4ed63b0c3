//! Blobs from a beacon node.

use std::{fmt, time::Duration};

use alloy_primitives::{B256, Bytes};
use async_trait::async_trait;
use ensemble_batch::blob::Blob;
use serde::Deserialize;

use crate::{BlobPlace, BlobSource, BlobSourceError, RebuildError};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer in bytes: 21 blobs (the most that BPO2 allows in a block) as hex, and something around them.
const MAX_ANSWER: u64 = 8 << 20;
/// Characters kept of a node's own words.
const MAX_WORDS: usize = 200;

/// A beacon node, asked for `GET /eth/v1/beacon/blobs/{block_id}?versioned_hashes=…` (Beacon API, since Fulu).
#[derive(Clone)]
pub struct BeaconApi {
    base: String,
    name: String,
    agent: ureq::Agent,
}

impl fmt::Debug for BeaconApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BeaconApi").field(&self.name).finish()
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Bytes>,
}

impl BeaconApi {
    /// The node at `http(s)://host:port[/path]`. Opens no connection yet.
    ///
    /// # Errors
    /// [`RebuildError::BeaconUrl`].
    pub fn new(url: &str) -> Result<Self, RebuildError> {
        let url = url.trim().trim_end_matches('/');
        let name = masked(url).ok_or_else(|| RebuildError::BeaconUrl { url: "what was given".to_owned() })?;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self { base: url.to_owned(), name, agent })
    }

    fn ask(&self, block: &str, hashes: &[B256]) -> Result<Vec<Blob>, String> {
        let wanted: Vec<String> = hashes.iter().map(B256::to_string).collect();
        let url = format!("{}/eth/v1/beacon/blobs/{block}?versioned_hashes={}", self.base, wanted.join(","));
        // ureq's own words may hold the URL, and with it a key.
        let mut response = self.agent.get(&url).call().map_err(|error| self.scrub(&error.to_string()))?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = body.map_err(|error| self.scrub(&error.to_string()))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(format!("HTTP status {status}: {}", tame(&body)));
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| format!("unreadable answer: {error}"))?;
        answer.data.iter().map(|bytes| Blob::from_slice(bytes).map_err(|error| error.to_string())).collect()
    }

    fn scrub(&self, text: &str) -> String {
        tame(text.replace(&self.base, &self.name).as_bytes())
    }
}

#[async_trait]
impl BlobSource for BeaconApi {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn blobs(&self, place: &BlobPlace, hashes: &[B256]) -> Result<Vec<Blob>, BlobSourceError> {
        // What is not there is found out by the number of blobs, and what is another block's by their hashes.
        let block = place.beacon_root.map_or_else(|| "head".to_owned(), |root| root.to_string());
        let (this, hashes) = (self.clone(), hashes.to_vec());
        tokio::task::spawn_blocking(move || this.ask(&block, &hashes))
            .await
            .map_err(|error| BlobSourceError(error.to_string()))?
            .map_err(BlobSourceError)
    }
}

/// One bounded line.
fn tame(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * MAX_WORDS)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
}

/// Scheme and host; none when it is no URL.
fn masked(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if scheme != "http" && scheme != "https" {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!host.is_empty()).then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// SEQ-INV-12
    #[test]
    fn a_key_in_the_url_is_not_shown() {
        let beacon = BeaconApi::new("https://user:hunter22@beacon.example/v1/topsecretkey/").unwrap();
        assert_eq!(beacon.name(), "https://beacon.example");
        let shown = format!("{beacon:?} {}", beacon.scrub(&format!("cannot connect to {}/eth", beacon.base)));
        assert!(!shown.contains("hunter22") && !shown.contains("topsecretkey"), "{shown}");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for bad in ["", "beacon:5052", "ftp://h", "http://", "https://user@"] {
            let error = BeaconApi::new(bad).unwrap_err();
            assert!(matches!(error, RebuildError::BeaconUrl { .. }), "{bad}");
        }
    }
}
