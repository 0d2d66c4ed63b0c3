//! The blobs of produced blocks and the beacon-style HTTP endpoint that serves them.
//!
//! Paths and answers follow the Beacon API (`getBlobs`), with one slot per block: the slot number is the
//! block number and a beacon block root is the execution block's hash. So `parentBeaconBlockRoot` of block
//! n+1 names block n here, as it does on a real network.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{B256, hex};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_http::cors::CorsLayer;

use crate::embedded::Caller;
use crate::error::NodeError;
use crate::journal::{BLOB_LEN, Journal};

/// Blobs kept in memory when there is no journal: 64 MiB.
const MAX_BLOBS_IN_MEMORY: usize = 512;

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Vec<u8>>),
    Journal(u64),
}

#[derive(Debug, Default)]
struct Index {
    blocks: HashMap<B256, Vec<(B256, Place)>>,
    /// Blocks whose blobs are in memory, oldest first.
    in_memory: VecDeque<B256>,
    blobs_in_memory: usize,
}

/// Keeps the blobs of blocks: in the journal where there is one, else the latest in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Archive {
    index: Arc<Mutex<Index>>,
    journal: Option<Arc<Mutex<Journal>>>,
}

impl Archive {
    pub(crate) fn new(journal: Option<Arc<Mutex<Journal>>>) -> Self {
        Self { index: Arc::default(), journal }
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers blobs that lie in the journal, one after the other.
    pub(crate) fn insert_stored(&self, block: B256, hashes: &[B256], first_blob: u64) {
        if hashes.is_empty() {
            return;
        }
        let places = hashes
            .iter()
            .zip(0u64..)
            .map(|(hash, i)| (*hash, Place::Journal(first_blob + i * BLOB_LEN as u64)))
            .collect();
        self.index().blocks.insert(block, places);
    }

    /// Remembers blobs in memory; drops the oldest when there are too many.
    pub(crate) fn insert_in_memory(&self, block: B256, hashes: &[B256], blobs: Vec<Vec<u8>>) {
        if hashes.is_empty() {
            return;
        }
        let mut index = self.index();
        let places = blobs.into_iter().map(|b| Place::Memory(Arc::new(b)));
        let places: Vec<_> = hashes.iter().copied().zip(places).collect();
        index.blobs_in_memory += places.len();
        index.blocks.insert(block, places);
        index.in_memory.push_back(block);
        while index.blobs_in_memory > MAX_BLOBS_IN_MEMORY && index.in_memory.len() > 1 {
            if let Some(oldest) = index.in_memory.pop_front() {
                let dropped = index.blocks.remove(&oldest).map_or(0, |blobs| blobs.len());
                index.blobs_in_memory = index.blobs_in_memory.saturating_sub(dropped);
            }
        }
    }

    /// Blobs of a block, in order; with a filter only those with the wanted versioned hashes.
    fn blobs(&self, block: B256, wanted: Option<&[B256]>) -> Result<Vec<Arc<Vec<u8>>>, NodeError> {
        let places = self.index().blocks.get(&block).cloned().unwrap_or_default();
        let mut out = Vec::new();
        for (hash, place) in places {
            if wanted.is_some_and(|wanted| !wanted.contains(&hash)) {
                continue;
            }
            out.push(match (place, &self.journal) {
                (Place::Memory(blob), _) => blob,
                (Place::Journal(offset), Some(journal)) => {
                    let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
                    Arc::new(journal.read_blob(offset)?)
                }
                (Place::Journal(_), None) => continue,
            });
        }
        Ok(out)
    }
}

#[derive(Clone, Debug)]
struct Beacon {
    archive: Archive,
    caller: Caller,
    genesis_time: u64,
}

pub(crate) fn router(archive: Archive, caller: Caller, genesis_time: u64) -> Router {
    Router::new()
        .route("/eth/v1/node/version", get(version))
        .route("/eth/v1/beacon/genesis", get(genesis))
        .route("/eth/v1/beacon/blobs/{block}", get(blobs))
        .route("/eth/v1/beacon/blob_sidecars/{block}", get(blob_sidecars))
        .layer(CorsLayer::permissive())
        .with_state(Beacon { archive, caller, genesis_time })
}

async fn version() -> Json<Value> {
    Json(json!({ "data": { "version": concat!("ensemble-dev-l1/", env!("CARGO_PKG_VERSION")) } }))
}

async fn genesis(State(beacon): State<Beacon>) -> Json<Value> {
    Json(json!({ "data": {
        "genesis_time": beacon.genesis_time.to_string(),
        "genesis_validators_root": B256::ZERO,
        "genesis_fork_version": "0x00000000",
    } }))
}

async fn blob_sidecars() -> Response {
    error(StatusCode::GONE, "blob_sidecars has ended with Fulu, use /eth/v1/beacon/blobs/{block_id}")
}

async fn blobs(State(beacon): State<Beacon>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    let wanted = match wanted_hashes(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(reason) => return error(StatusCode::BAD_REQUEST, &reason),
    };
    let (method, param) = match block_param(&id) {
        Some(found) => found,
        None => return error(StatusCode::BAD_REQUEST, "Invalid block ID"),
    };
    let block = match beacon.caller.call(method, vec![param, json!(false)]).await {
        Ok(block) => block,
        Err(e) => return error(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
    };
    let hash = block.get("hash").and_then(|h| serde_json::from_value::<B256>(h.clone()).ok());
    let Some(hash) = hash else { return error(StatusCode::NOT_FOUND, "Block not found") };
    let archive = beacon.archive.clone();
    let read = tokio::task::spawn_blocking(move || archive.blobs(hash, wanted.as_deref())).await;
    match read {
        Ok(Ok(blobs)) => {
            let data: Vec<Value> = blobs.iter().map(|b| json!(hex::encode_prefixed(b.as_slice()))).collect();
            Json(json!({ "execution_optimistic": false, "finalized": false, "data": data })).into_response()
        }
        Ok(Err(e)) => error(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "reading the blobs failed"),
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "code": status.as_u16(), "message": message }))).into_response()
}

/// The RPC call that finds a block by its Beacon API `block_id`.
fn block_param(id: &str) -> Option<(&'static str, Value)> {
    const BY_NUMBER: &str = "eth_getBlockByNumber";
    match id {
        "head" => Some((BY_NUMBER, json!("latest"))),
        "finalized" => Some((BY_NUMBER, json!("finalized"))),
        "genesis" => Some((BY_NUMBER, json!("earliest"))),
        root if root.starts_with("0x") => {
            let root: B256 = root.parse().ok()?;
            Some(("eth_getBlockByHash", json!(root)))
        }
        slot if !slot.is_empty() && slot.bytes().all(|b| b.is_ascii_digit()) => {
            let slot: u64 = slot.parse().ok()?;
            Some((BY_NUMBER, json!(format!("{slot:#x}"))))
        }
        _ => None,
    }
}

/// Reads `versioned_hashes=0x..,0x..`, which may also be repeated. `None` when absent.
fn wanted_hashes(query: &str) -> Result<Option<Vec<B256>>, String> {
    const MAX: usize = 128;
    let mut out: Option<Vec<B256>> = None;
    for pair in query.split('&') {
        let Some(list) = pair.strip_prefix("versioned_hashes=") else { continue };
        let wanted = out.get_or_insert_default();
        for hash in list.replace("%2C", ",").replace("%2c", ",").split(',').filter(|h| !h.is_empty()) {
            if wanted.len() == MAX {
                return Err(format!("more than {MAX} versioned_hashes"));
            }
            wanted.push(hash.parse().map_err(|_| "Invalid versioned hash".to_owned())?);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn block_ids() {
        let root = B256::repeat_byte(3);
        assert_eq!(block_param("head").unwrap().1, json!("latest"));
        assert_eq!(block_param("17").unwrap().1, json!("0x11"));
        assert_eq!(block_param(&root.to_string()).unwrap(), ("eth_getBlockByHash", json!(root)));
        for bad in ["", "-1", "0x12", "latest", "99999999999999999999999", "1 "] {
            assert!(block_param(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn hash_filters() {
        let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
        assert_eq!(wanted_hashes("").unwrap(), None);
        assert_eq!(wanted_hashes("x=1&versioned_hashes=").unwrap(), Some(vec![]));
        let both = Some(vec![a, b]);
        assert_eq!(wanted_hashes(&format!("versioned_hashes={a},{b}")).unwrap(), both);
        assert_eq!(wanted_hashes(&format!("versioned_hashes={a}%2C{b}")).unwrap(), both);
        assert_eq!(wanted_hashes(&format!("versioned_hashes={a}&versioned_hashes={b}")).unwrap(), both);
        assert!(wanted_hashes("versioned_hashes=0x12").is_err());
        let many = vec![a.to_string(); 129].join(",");
        assert!(wanted_hashes(&format!("versioned_hashes={many}")).is_err());
    }

    /// SEQ-INV-11: memory stays bounded, the newest blobs stay.
    #[test]
    fn the_oldest_blobs_in_memory_are_dropped() {
        let archive = Archive::default();
        let block = |i: usize| B256::from(alloy_primitives::U256::from(i + 1));
        for i in 0..MAX_BLOBS_IN_MEMORY + 10 {
            archive.insert_in_memory(block(i), &[block(i)], vec![vec![7]]);
        }
        assert_eq!(archive.index().blobs_in_memory, MAX_BLOBS_IN_MEMORY);
        assert_eq!(archive.index().blocks.len(), MAX_BLOBS_IN_MEMORY);
        assert!(archive.blobs(block(9), None).unwrap().is_empty());
        assert_eq!(archive.blobs(block(10), None).unwrap().len(), 1);
        assert!(archive.blobs(block(10), Some(&[block(11)])).unwrap().is_empty());
    }
}
