//! Blobs from whoever has them.

use std::{fmt::Debug, sync::Arc};

use alloy_primitives::B256;
use async_trait::async_trait;
use ensemble_batch::blob::Blob;
use ensemble_l1::blobs::versioned_hashes;

use crate::{Directory, RebuildError};

/// Where on L1 the blobs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobPlace {
    /// Height of the block that holds their transaction.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Root of the beacon block that holds this execution block: the `parentBeaconBlockRoot` of the next execution block
    /// (EIP-4788). None while there is no next block: then it is the head.
    pub beacon_root: Option<B256>,
}

/// Why a source has no answer. Its text tells an operator what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BlobSourceError(pub String);

/// Something that serves blobs. It is not believed: whatever it gives is checked.
#[async_trait]
pub trait BlobSource: Send + Sync + Debug {
    /// Its name for people, without what may be secret.
    fn name(&self) -> String;

    /// The blobs with these versioned hashes (EIP-4844), in their order.
    ///
    /// # Errors
    /// When it does not have all of them, or does not answer.
    async fn blobs(&self, place: &BlobPlace, hashes: &[B256]) -> Result<Vec<Blob>, BlobSourceError>;
}

/// Several sources, asked one after the other.
#[derive(Clone, Debug)]
pub struct Blobs {
    sources: Vec<Arc<dyn BlobSource>>,
    keep: Option<Directory>,
}

impl Blobs {
    /// Sources in the order in which they are asked.
    #[must_use]
    pub fn new(sources: Vec<Arc<dyn BlobSource>>) -> Self {
        Self { sources, keep: None }
    }

    /// Asks this directory first, and keeps in it what the others give.
    #[must_use]
    pub fn keep_in(mut self, directory: Directory) -> Self {
        self.sources.insert(0, Arc::new(directory.clone()));
        self.keep = Some(directory);
        self
    }

    /// The blobs of a batch, each with the versioned hash that L1 has.
    pub(crate) async fn fetch(
        &self,
        number: u64,
        place: &BlobPlace,
        hashes: &[B256],
    ) -> Result<Vec<Blob>, RebuildError> {
        let mut tried = Vec::new();
        for source in &self.sources {
            let found = match source.blobs(place, hashes).await {
                Ok(found) => checked(found, hashes).await?,
                Err(error) => Err(error.to_string()),
            };
            match found {
                Ok(blobs) => {
                    if let Some(directory) = &self.keep {
                        directory.keep(hashes, &blobs).await?;
                    }
                    return Ok(blobs);
                }
                Err(reason) => {
                    tracing::debug!(batch = number, source = source.name(), reason, "no blobs");
                    tried.push(format!("{}: {reason}", source.name()));
                }
            }
        }
        let tried =
            if tried.is_empty() { "there is no source of blobs".to_owned() } else { tried.join("; ") };
        Err(RebuildError::NoBlobs { number, l1_block: place.number, tried })
    }
}

/// The blobs, if they have these hashes. KZG commitments take 50 ms each, so on a thread of their own.
async fn checked(blobs: Vec<Blob>, hashes: &[B256]) -> Result<Result<Vec<Blob>, String>, RebuildError> {
    if blobs.len() != hashes.len() {
        return Ok(Err(format!("{} blobs instead of {}", blobs.len(), hashes.len())));
    }
    let (blobs, ours) = tokio::task::spawn_blocking(move || {
        let ours = versioned_hashes(&blobs);
        (blobs, ours)
    })
    .await
    .map_err(|error| RebuildError::Task(error.to_string()))?;
    Ok(match ours {
        Ok(ours) if ours == hashes => Ok(blobs),
        Ok(_) => Err("a blob is not the one that L1 has".to_owned()),
        Err(error) => Err(error.to_string()),
    })
}
