//! The L1 client of the Ensemble sequencer.
//!
//! - [`L1Client`] is the L1 as the sequencer sees it; [`RpcL1Client`] speaks JSON-RPC with failover.
//! - [`L1Error`] sorts what nodes say into typed variants ([`classify_rpc_error`]).
//! - [`Wallet`] signs; [`blobs`] makes EIP-4844 and EIP-7594 sidecars.
//! - [`CallDataGas`] is what call data costs.
//! - [`fees`] computes fees and replacements, [`tx_manager`] carries transactions through to confirmation. Both are
//!   pure: they do no I/O.
//! - `mock` (feature `mock`) is an in-memory L1 for tests.

pub mod blobs;
mod call_data;
mod classify;
mod client;
mod endpoint;
mod error;
mod failover;
pub mod fees;
#[cfg(feature = "mock")]
pub mod mock;
mod range;
mod rpc;
pub mod tx_manager;
mod types;
mod wallet;
mod wire;

pub use blobs::{Sidecar, SidecarVersion};
pub use call_data::CallDataGas;
pub use classify::classify_rpc_error;
pub use client::L1Client;
pub use error::{L1Error, MAX_REMOTE_TEXT};
pub use failover::{EndpointStatus, FailoverConfig, Standing};
pub use fees::{FeeCapReached, FeePlan, FeePolicy, Market, TxType};
pub use range::RangeSize;
pub use rpc::{RpcConfig, RpcL1Client};
pub use tx_manager::{TxManager, TxManagerConfig};
pub use types::{BlockTag, FeeHistory, L1Block, L1Log, L1Transaction, LogFilter, TxReceipt};
pub use wallet::{BlobTx, Eip1559Tx, NotASignedTx, SignedTx, Wallet, WalletError};
