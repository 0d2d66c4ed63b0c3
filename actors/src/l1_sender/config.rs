//! Settings of the L1Sender.

use std::{sync::Arc, time::Duration};

use ensemble_l1::{FeePolicy, SidecarVersion, TxManagerConfig, Wallet};
use ensemble_messages::SenderRole;

/// One key.
#[derive(Clone, Debug)]
pub struct SenderKey {
    /// What it signs.
    pub role: SenderRole,
    /// The key itself; its `Debug` shows the address only.
    pub wallet: Arc<Wallet>,
}

/// Settings of the L1Sender.
#[derive(Clone, Debug)]
pub struct L1SenderConfig {
    /// The keys, one per role.
    pub keys: Vec<SenderKey>,
    /// In flight, resubmission, confirmations.
    pub manager: TxManagerConfig,
    /// Fees and their caps.
    pub fees: FeePolicy,
    /// Proofs that go with blobs: cell proofs (EIP-7594) since Osaka, blob proofs before.
    pub sidecar: SidecarVersion,
    /// How often L1 is looked at while something is in flight.
    pub poll: Duration,
}
