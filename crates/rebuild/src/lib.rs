//! The L2 from L1 alone.
//!
//! The proposer's `BatchCommitted` events name the transactions that committed batches; those carry the headers in their
//! call data and the blocks in their blobs, or in their call data too. [`Rebuild`] reads them, checks each header against
//! the contract and each blob against its versioned hash, and gives the blocks to an execution client over the Engine API,
//! which executes them. What comes out is the chain that was committed, to the same block hash (SEQ-INV-10), or an error
//! that says which batch is not what L1 says it is.
//!
//! Nothing that serves data is believed: L1's node only as far as the contract's state that it reports, a source of blobs
//! not at all. A rebuild that was interrupted goes on where the execution client is. [`Rebuild::follow`] never ends: it
//! keeps an execution client at what L1 has committed, so that it can take over.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use ensemble_rebuild::{BeaconApi, Blobs, Contracts, Directory, Rebuild, RebuildError, Settings};
//! # async fn run(l1: Arc<dyn ensemble_l1::L1Client>, engine: Arc<dyn ensemble_engine_api::ExecutionClient>,
//! #              contracts: Contracts) -> Result<(), RebuildError> {
//! let blobs = Blobs::new(vec![Arc::new(BeaconApi::new("http://localhost:5052")?)]).keep_in(Directory::new("./blobs"));
//! let mut rebuild = Rebuild::new(l1, engine, blobs, contracts, Settings::default());
//! let report = rebuild.run(|step| println!("{step}")).await?;
//! println!("head {}: {}", report.position.block.number, report.position.block.hash);
//! # Ok(()) }
//! ```

mod beacon;
mod blobs;
mod commits;
mod directory;
mod error;
mod rebuild;

pub use beacon::BeaconApi;
pub use blobs::{BlobPlace, BlobSource, BlobSourceError, Blobs};
pub use commits::{BatchData, Commit, CommitLog};
pub use directory::Directory;
pub use error::RebuildError;
pub use rebuild::{Contracts, Position, Rebuild, Report, Settings, Step, UpTo};
