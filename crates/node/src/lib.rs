//! Embedded execution node for devnets and tests.
//!
//! [`EmbeddedNode`] runs the ethrex execution client inside this process: a public JSON-RPC port and an
//! Engine API port behind JWT, no peer-to-peer networking, chain in memory. It serves as the L2's execution
//! client, driven by the sequencer like any other client. [`DevL1`] is such a node plus a block producer, a
//! blob archive with a beacon-style endpoint, and a journal that lets the chain survive restarts.
//! [`GenesisBuilder`] makes the genesis of either.

mod beacon;
mod clock;
mod dev_l1;
mod embedded;
mod error;
mod genesis;
mod heads;
mod http;
mod journal;
mod keys;
mod logs;
mod rpc;

pub use dev_l1::{DevL1, DevL1Config, DevL1Handle, MinedBlock};
pub use embedded::{EmbeddedNode, NodeConfig, NodeHandle};
pub use error::NodeError;
pub use genesis::{
    COMMON_BRIDGE_L2, CREATE2_FACTORY, DEPOSIT_CONTRACT, DEV_GAS_LIMIT, DEV_GENESIS_TIMESTAMP,
    DEV_L1_CHAIN_ID, DEV_L2_CHAIN_ID, DEV_L2_GAS_LIMIT, Fork, GenesisBuilder, GenesisSummary,
    INITIAL_BASE_FEE, genesis_summary,
};
pub use keys::{DEV_ACCOUNTS, DevAccount};
