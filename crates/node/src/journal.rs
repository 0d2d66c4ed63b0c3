//! Append-only file of the blocks a development L1 produced, with their blobs.
//!
//! Layout: a file header (`MAGIC`, 32 bytes genesis hash, 8 bytes checksum), then records. A record is its
//! length (u64, little endian), 8 bytes checksum of the length, the bytes, 8 bytes checksum of the bytes; a
//! checksum is the first 8 bytes of keccak256. Record bytes: length of the JSON (u32, little endian), the
//! JSON, then for each versioned hash in the JSON one blob.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;

use crate::error::NodeError;

const MAGIC: &[u8; 8] = b"ENSJRNL1";
const CHECKSUM_LEN: usize = 8;
const FILE_HEADER_LEN: usize = 8 + 32 + CHECKSUM_LEN;
const RECORD_HEADER_LEN: usize = 8 + CHECKSUM_LEN;
/// Largest record that is read: far above any block with all its blobs.
const MAX_RECORD: u64 = 256 << 20;

/// Bytes of a blob (EIP-4844: 4096 field elements of 32 bytes).
pub(crate) const BLOB_LEN: usize = 4096 * 32;

/// Parameters of `engine_newPayloadV4` for one block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockRecord {
    pub(crate) execution_payload: Value,
    pub(crate) versioned_hashes: Vec<B256>,
    pub(crate) parent_beacon_block_root: B256,
    pub(crate) execution_requests: Value,
}

impl BlockRecord {
    pub(crate) fn into_params(self) -> Vec<Value> {
        vec![
            self.execution_payload,
            json!(self.versioned_hashes),
            json!(self.parent_beacon_block_root),
            self.execution_requests,
        ]
    }
}

/// A record read back, with the file offset of its first blob.
#[derive(Debug)]
pub(crate) struct StoredBlock {
    pub(crate) record: BlockRecord,
    pub(crate) first_blob: u64,
}

/// The open journal. The file is locked against a second process.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Length of the good part of the file; everything up to here was read or written whole.
    good_len: u64,
}

impl Journal {
    /// Opens or creates the journal of the chain with this genesis. Reading starts at the first record.
    pub(crate) fn open(path: &Path, genesis: B256) -> Result<Self, NodeError> {
        let io = |source| NodeError::JournalIo { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let reason = "another process has it open".to_owned();
                return Err(NodeError::Journal { path: path.to_owned(), reason });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(io(source)),
        }
        let expected = file_header(genesis);
        let length = file.metadata().map_err(io)?.len();
        if length < FILE_HEADER_LEN as u64 {
            // New, or the process died while it wrote the header.
            file.set_len(0).map_err(io)?;
            file.write_all(&expected).map_err(io)?;
            file.sync_all().map_err(io)?;
        } else {
            let mut found = [0u8; FILE_HEADER_LEN];
            file.read_exact(&mut found).map_err(io)?;
            if found != expected {
                let reason = if &found[..8] == MAGIC { "it is of another chain" } else { "it is no journal" };
                return Err(NodeError::Journal { path: path.to_owned(), reason: reason.to_owned() });
            }
        }
        Ok(Self { path: path.to_owned(), file, good_len: FILE_HEADER_LEN as u64 })
    }

    fn io(&self, source: std::io::Error) -> NodeError {
        NodeError::JournalIo { path: self.path.clone(), source }
    }

    fn damaged(&self, reason: &str) -> NodeError {
        let reason = format!("record at byte {}: {reason}", self.good_len);
        NodeError::Journal { path: self.path.clone(), reason }
    }

    /// Reads the next record. `None` at the end; a record that a crash left unfinished is cut off.
    pub(crate) fn read_next(&mut self) -> Result<Option<StoredBlock>, NodeError> {
        let file_len = self.file.metadata().map_err(|e| self.io(e))?.len();
        let rest = file_len.saturating_sub(self.good_len);
        if rest == 0 {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(self.good_len)).map_err(|e| self.io(e))?;
        let mut header = [0u8; RECORD_HEADER_LEN];
        if rest < RECORD_HEADER_LEN as u64 {
            return self.cut_tail(rest);
        }
        self.file.read_exact(&mut header).map_err(|e| self.io(e))?;
        let (length_bytes, sum) = header.split_at(8);
        if checksum(length_bytes) != sum {
            // Some file systems leave zeros where data was not written yet.
            return if self.only_zeros_follow()? {
                self.cut_tail(rest)
            } else {
                Err(self.damaged("bad header checksum"))
            };
        }
        let mut length = [0u8; 8];
        length.copy_from_slice(length_bytes);
        let length = u64::from_le_bytes(length);
        if length > MAX_RECORD {
            return Err(self.damaged("impossible length"));
        }
        let whole = RECORD_HEADER_LEN as u64 + length + CHECKSUM_LEN as u64;
        if rest < whole {
            return self.cut_tail(rest);
        }
        let mut bytes = vec![0u8; usize::try_from(length).unwrap_or(0)];
        let mut sum = [0u8; CHECKSUM_LEN];
        self.file.read_exact(&mut bytes).map_err(|e| self.io(e))?;
        self.file.read_exact(&mut sum).map_err(|e| self.io(e))?;
        if checksum(&bytes) != sum {
            return if rest == whole { self.cut_tail(rest) } else { Err(self.damaged("bad checksum")) };
        }
        let (record, blobs_at) = decode(&bytes).map_err(|reason| self.damaged(&reason))?;
        let first_blob = self.good_len + (RECORD_HEADER_LEN + blobs_at) as u64;
        self.good_len += whole;
        Ok(Some(StoredBlock { record, first_blob }))
    }

    fn only_zeros_follow(&mut self) -> Result<bool, NodeError> {
        self.file.seek(SeekFrom::Start(self.good_len)).map_err(|e| self.io(e))?;
        let mut buffer = [0u8; 4096];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(n) if buffer.iter().take(n).any(|b| *b != 0) => return Ok(false),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.io(e)),
            }
        }
    }

    fn cut_tail(&mut self, bytes: u64) -> Result<Option<StoredBlock>, NodeError> {
        warn!(path = %self.path.display(), bytes, "cut an unfinished record off the block journal");
        self.file.set_len(self.good_len).map_err(|e| self.io(e))?;
        self.file.sync_all().map_err(|e| self.io(e))?;
        Ok(None)
    }

    /// Appends a block and makes it durable. Returns the file offset of its first blob. Only after
    /// [`Self::read_next`] has answered `None`.
    pub(crate) fn append(&mut self, record: &BlockRecord, blobs: &[Vec<u8>]) -> Result<u64, NodeError> {
        if blobs.len() != record.versioned_hashes.len() || blobs.iter().any(|b| b.len() != BLOB_LEN) {
            return Err(self.damaged("blobs do not fit the versioned hashes"));
        }
        let json = serde_json::to_vec(record).map_err(|e| self.damaged(&e.to_string()))?;
        let json_len = u32::try_from(json.len()).map_err(|_| self.damaged("payload is too large"))?;
        let mut bytes = Vec::with_capacity(4 + json.len() + blobs.len() * BLOB_LEN);
        bytes.extend_from_slice(&json_len.to_le_bytes());
        bytes.extend_from_slice(&json);
        for blob in blobs {
            bytes.extend_from_slice(blob);
        }
        let length = (bytes.len() as u64).to_le_bytes();
        if bytes.len() as u64 > MAX_RECORD {
            return Err(self.damaged("block is too large"));
        }
        let mut whole = Vec::with_capacity(RECORD_HEADER_LEN + bytes.len() + CHECKSUM_LEN);
        whole.extend_from_slice(&length);
        whole.extend_from_slice(&checksum(&length));
        whole.extend_from_slice(&bytes);
        whole.extend_from_slice(&checksum(&bytes));
        let written = self
            .file
            .seek(SeekFrom::Start(self.good_len))
            .and_then(|_| self.file.write_all(&whole))
            .and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            if let Err(undo) = self.file.set_len(self.good_len) {
                warn!(path = %self.path.display(), error = %undo, "cannot undo a failed write");
            }
            return Err(self.io(e));
        }
        let first_blob = self.good_len + (RECORD_HEADER_LEN + 4 + json.len()) as u64;
        self.good_len += whole.len() as u64;
        Ok(first_blob)
    }

    /// Reads one blob.
    pub(crate) fn read_blob(&mut self, offset: u64) -> Result<Vec<u8>, NodeError> {
        let mut blob = vec![0u8; BLOB_LEN];
        self.file.seek(SeekFrom::Start(offset)).map_err(|e| self.io(e))?;
        self.file.read_exact(&mut blob).map_err(|e| self.io(e))?;
        Ok(blob)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut out = [0u8; CHECKSUM_LEN];
    out.copy_from_slice(&keccak256(bytes)[..CHECKSUM_LEN]);
    out
}

fn file_header(genesis: B256) -> [u8; FILE_HEADER_LEN] {
    let mut out = [0u8; FILE_HEADER_LEN];
    out[..8].copy_from_slice(MAGIC);
    out[8..40].copy_from_slice(genesis.as_slice());
    let sum = checksum(&out[..40]);
    out[40..].copy_from_slice(&sum);
    out
}

fn decode(bytes: &[u8]) -> Result<(BlockRecord, usize), String> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or("too short")?;
    let json_len = u32::from_le_bytes(*length) as usize;
    let (json, blobs) = rest.split_at_checked(json_len).ok_or("JSON is cut off")?;
    let record: BlockRecord = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    if record.versioned_hashes.len().checked_mul(BLOB_LEN) != Some(blobs.len()) {
        return Err("number of blobs differs from the versioned hashes".to_owned());
    }
    Ok((record, 4 + json_len))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const GENESIS: B256 = B256::repeat_byte(9);

    fn block(n: u8, blobs: usize) -> (BlockRecord, Vec<Vec<u8>>) {
        let record = BlockRecord {
            execution_payload: json!({ "blockNumber": n }),
            versioned_hashes: (0..blobs).map(|i| B256::repeat_byte(i as u8)).collect(),
            parent_beacon_block_root: B256::repeat_byte(n),
            execution_requests: json!(["0x00"]),
        };
        (record, (0..blobs).map(|i| vec![n ^ i as u8; BLOB_LEN]).collect())
    }

    fn read_all(path: &Path) -> Result<Vec<StoredBlock>, NodeError> {
        let mut journal = Journal::open(path, GENESIS)?;
        let mut out = Vec::new();
        while let Some(stored) = journal.read_next()? {
            out.push(stored);
        }
        Ok(out)
    }

    /// Three blocks, the second with blobs.
    fn filled(path: &Path, blobs: usize) -> Vec<BlockRecord> {
        let mut journal = Journal::open(path, GENESIS).unwrap();
        assert!(journal.read_next().unwrap().is_none());
        let mut records = Vec::new();
        for (n, blobs) in [(1, 0), (2, blobs), (3, 0)] {
            let (record, blobs) = block(n, blobs);
            let at = journal.append(&record, &blobs).unwrap();
            for (i, blob) in blobs.iter().enumerate() {
                assert_eq!(&journal.read_blob(at + (i * BLOB_LEN) as u64).unwrap(), blob);
            }
            records.push(record);
        }
        records
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("journal");
        let records = filled(&path, 2);
        let stored = read_all(&path).unwrap();
        assert_eq!(stored.iter().map(|s| s.record.clone()).collect::<Vec<_>>(), records);
        let mut journal = Journal::open(&path, GENESIS).unwrap();
        assert_eq!(journal.read_blob(stored[1].first_blob + BLOB_LEN as u64).unwrap(), block(2, 2).1[1]);
    }

    /// A crash may leave any prefix of the last record, or zeros: nothing but that record is lost.
    #[test]
    fn a_torn_tail_is_cut_off_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let records = filled(&path, 0);
        let full = std::fs::read(&path).unwrap();
        let last = {
            let mut journal = Journal::open(&path, GENESIS).unwrap();
            journal.read_next().unwrap().unwrap();
            journal.read_next().unwrap().unwrap();
            usize::try_from(journal.good_len).unwrap()
        };
        for end in last..full.len() {
            std::fs::write(&path, &full[..end]).unwrap();
            let stored = read_all(&path).unwrap();
            assert_eq!(stored.len(), 2, "cut at {end}");
            assert_eq!(stored[1].record, records[1]);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), last as u64);
        }
        let mut zeros = full[..last].to_vec();
        zeros.resize(last + 5000, 0);
        std::fs::write(&path, &zeros).unwrap();
        assert_eq!(read_all(&path).unwrap().len(), 2);
        let mut journal = Journal::open(&path, GENESIS).unwrap();
        while journal.read_next().unwrap().is_some() {}
        journal.append(&records[2], &[]).unwrap();
        drop(journal);
        assert_eq!(std::fs::read(&path).unwrap(), full);
    }

    /// Damage before the last record is never taken for a torn tail.
    #[test]
    fn damage_in_the_middle_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        filled(&path, 1);
        let full = std::fs::read(&path).unwrap();
        let second_ends = {
            let mut journal = Journal::open(&path, GENESIS).unwrap();
            journal.read_next().unwrap().unwrap();
            journal.read_next().unwrap().unwrap();
            usize::try_from(journal.good_len).unwrap()
        };
        for at in (0..second_ends).step_by(9973).chain((0..FILE_HEADER_LEN + RECORD_HEADER_LEN).step_by(7)) {
            let mut bad = full.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert!(matches!(read_all(&path), Err(NodeError::Journal { .. })), "flipped byte {at}");
        }
    }

    #[test]
    fn another_chain_and_a_second_process_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let _open = Journal::open(&path, GENESIS).unwrap();
        assert!(matches!(Journal::open(&path, GENESIS), Err(NodeError::Journal { .. })));
        drop(_open);
        assert!(matches!(Journal::open(&path, B256::ZERO), Err(NodeError::Journal { .. })));
    }

    #[test]
    fn blobs_that_do_not_fit_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path, GENESIS).unwrap();
        let (record, _) = block(1, 2);
        assert!(journal.append(&record, &[]).is_err());
        assert!(journal.append(&record, &[vec![0; BLOB_LEN], vec![0; 5]]).is_err());
        assert!(journal.read_next().unwrap().is_none());
    }
}
