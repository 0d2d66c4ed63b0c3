//! A directory of blobs.

use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use async_trait::async_trait;
use ensemble_batch::blob::{BLOB_BYTES, Blob};

use crate::{BlobPlace, BlobSource, BlobSourceError, RebuildError};

/// A directory with one file per blob, `<versioned hash>.blob`: 131,072 bytes, as they are in EIP-4844.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// A directory; it is made when the first blob is kept.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, hash: &B256) -> PathBuf {
        self.path.join(format!("{hash}.blob"))
    }

    /// Writes the blobs that are not there. A file is whole or not there: it gets its name when it is written.
    ///
    /// # Errors
    /// [`RebuildError::File`].
    pub async fn keep(&self, hashes: &[B256], blobs: &[Blob]) -> Result<(), RebuildError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| RebuildError::File { path, reason: error.to_string() }
        };
        tokio::fs::create_dir_all(&self.path).await.map_err(failed(&self.path))?;
        for (hash, blob) in hashes.iter().zip(blobs) {
            let file = self.file(hash);
            if tokio::fs::metadata(&file).await.is_ok_and(|found| found.len() == BLOB_BYTES as u64) {
                continue;
            }
            let partial = file.with_extension("partial");
            tokio::fs::write(&partial, blob.as_bytes()).await.map_err(failed(&partial))?;
            tokio::fs::rename(&partial, &file).await.map_err(failed(&file))?;
        }
        Ok(())
    }
}

#[async_trait]
impl BlobSource for Directory {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    async fn blobs(&self, _: &BlobPlace, hashes: &[B256]) -> Result<Vec<Blob>, BlobSourceError> {
        let mut blobs = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let file = self.file(hash);
            let failed = |reason: String| BlobSourceError(format!("{}: {reason}", file.display()));
            // Not read before its size is known: the directory may hold anything.
            let found = tokio::fs::metadata(&file).await.map_err(|error| failed(error.to_string()))?;
            if found.len() != BLOB_BYTES as u64 {
                return Err(failed(format!("{} bytes, a blob has {BLOB_BYTES}", found.len())));
            }
            let bytes = tokio::fs::read(&file).await.map_err(|error| failed(error.to_string()))?;
            blobs.push(Blob::from_slice(&bytes).map_err(|error| failed(error.to_string()))?);
        }
        Ok(blobs)
    }
}
