//! Prover client, its backends, and the wire protocol between prover and sequencer.
//!
//! - [`protocol`]: frames and messages on the TCP connection, with a codec for each side.
//! - [`client`]: [`ProverClient`] asks a sequencer for batches, has a
//!   [`ProverBackend`] prove them and hands the proofs in until they are acknowledged.
//! - [`attestation`]: the EIP-712 signature that is the proof of the `exec` backend: sign, recover, check.
//! - [`tls`]: TLS for both sides.
//! - `command` (feature `command`): the backend that has any executable make the proofs.
//! - `exec` (feature `exec`): the backend that re-executes a batch natively and signs the result.
//! - `risc0` (feature `risc0`): the backend that runs the guest of RISC Zero and makes development receipts.
//!
//! Without the features `exec` and `risc0` the crate is light: no execution client, no zkVM.

pub mod attestation;
pub mod backend;
pub mod client;
#[cfg(feature = "command")]
pub mod command;
#[cfg(feature = "exec")]
pub mod exec;
pub mod protocol;
#[cfg(feature = "risc0")]
pub mod risc0;
pub mod tls;

pub use attestation::{AttestationDomain, AttestationError, AttestationKey};
pub use backend::{BackendError, BackendProof, Cancel, ProverBackend, join_values};
pub use client::{ClientEvent, ClientReport, ProverClient, ProverClientConfig, ProverError};
#[cfg(feature = "command")]
pub use command::{CommandBackend, CommandConfig};
#[cfg(feature = "exec")]
pub use exec::ExecBackend;
pub use protocol::{
    ClientCodec, ClientMessage, FrameLimits, PROTOCOL_VERSION, ProtocolError, RefusalCode, ServerCodec,
    ServerMessage,
};
#[cfg(feature = "risc0")]
pub use risc0::Risc0Backend;
pub use tls::{ClientTls, ServerStream, TlsError, TlsIdentity};
