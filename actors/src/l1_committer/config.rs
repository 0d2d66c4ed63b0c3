//! Settings of the L1Committer.

use std::time::Duration;

use ensemble_batch::BatchLimits;
use ensemble_l1::FeePolicy;

/// Where the content of batches is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAvailability {
    /// EIP-4844 blobs.
    Blob,
    /// The call data of the commit. A batch then has at most what one blob holds, whatever its limits say.
    CallData,
    /// Blobs or call data, by the price when a batch is sealed.
    Auto,
    /// Nowhere (validium): only the header is committed.
    None,
}

impl DataAvailability {
    /// The limits of a batch that is published so.
    #[must_use]
    pub fn limits(self, limits: BatchLimits) -> BatchLimits {
        let max_blobs = match self {
            Self::Blob | Self::Auto => limits.max_blobs,
            // One transaction holds no more.
            Self::CallData => 1,
            Self::None => 0,
        };
        BatchLimits { max_blobs, ..limits }
    }
}

/// Settings of the L1Committer.
#[derive(Clone, Debug)]
pub struct L1CommitterConfig {
    /// Time between commits.
    pub commit_time: Duration,
    /// How often L1 and the store are looked at.
    pub poll: Duration,
    /// Where the content is published.
    pub da: DataAvailability,
    /// How L1Sender chooses fees: what `Auto` reckons with.
    pub fees: FeePolicy,
    /// Limits of one batch.
    pub limits: BatchLimits,
    /// At most this many batches are sealed and not yet committed.
    pub max_uncommitted: u64,
}
