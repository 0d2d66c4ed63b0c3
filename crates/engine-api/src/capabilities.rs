//! Forks, and which method version each demands.

use serde::{Deserialize, Serialize};

use crate::EngineError;

pub(crate) const EXCHANGE_CAPABILITIES: &str = "engine_exchangeCapabilities";
pub(crate) const FORKCHOICE_UPDATED_V3: &str = "engine_forkchoiceUpdatedV3";
pub(crate) const GET_PAYLOAD_V3: &str = "engine_getPayloadV3";
pub(crate) const GET_PAYLOAD_V4: &str = "engine_getPayloadV4";
pub(crate) const GET_PAYLOAD_V5: &str = "engine_getPayloadV5";
pub(crate) const NEW_PAYLOAD_V3: &str = "engine_newPayloadV3";
pub(crate) const NEW_PAYLOAD_V4: &str = "engine_newPayloadV4";

/// The Engine API methods that this crate can use, as it tells the client. By the specification
/// `engine_exchangeCapabilities` itself is not among them.
pub(crate) const OURS: [&str; 6] =
    [FORKCHOICE_UPDATED_V3, GET_PAYLOAD_V3, GET_PAYLOAD_V4, GET_PAYLOAD_V5, NEW_PAYLOAD_V3, NEW_PAYLOAD_V4];

/// A fork of the execution layer that this crate can build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fork {
    /// Cancun.
    Cancun,
    /// Prague.
    Prague,
    /// Osaka.
    Osaka,
}

impl Fork {
    /// `engine_forkchoiceUpdated` for attributes of this fork.
    #[must_use]
    pub const fn forkchoice_updated(self) -> &'static str {
        match self {
            Self::Cancun | Self::Prague | Self::Osaka => FORKCHOICE_UPDATED_V3,
        }
    }

    /// `engine_getPayload` for a payload of this fork.
    #[must_use]
    pub const fn get_payload(self) -> &'static str {
        match self {
            Self::Cancun => GET_PAYLOAD_V3,
            Self::Prague => GET_PAYLOAD_V4,
            Self::Osaka => GET_PAYLOAD_V5,
        }
    }

    /// `engine_newPayload` for a payload of this fork.
    #[must_use]
    pub const fn new_payload(self) -> &'static str {
        match self {
            Self::Cancun => NEW_PAYLOAD_V3,
            Self::Prague | Self::Osaka => NEW_PAYLOAD_V4,
        }
    }

    /// Whether blocks of this fork have execution requests (EIP-7685).
    #[must_use]
    pub const fn has_requests(self) -> bool {
        match self {
            Self::Cancun => false,
            Self::Prague | Self::Osaka => true,
        }
    }
}

/// Unix seconds at which the forks of the L2 begin; the same as in its genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForkSchedule {
    /// Cancun.
    pub cancun_time: u64,
    /// Prague, when it is planned.
    pub prague_time: Option<u64>,
    /// Osaka, when it is planned.
    pub osaka_time: Option<u64>,
}

impl ForkSchedule {
    /// The fork of a block with this timestamp.
    ///
    /// # Errors
    /// [`EngineError::UnsupportedFork`] before Cancun; `method` goes into the error.
    pub fn at(&self, timestamp: u64, method: &'static str) -> Result<Fork, EngineError> {
        let begun = |time: Option<u64>| time.is_some_and(|time| time <= timestamp);
        if begun(self.osaka_time) {
            Ok(Fork::Osaka)
        } else if begun(self.prague_time) {
            Ok(Fork::Prague)
        } else if self.cancun_time <= timestamp {
            Ok(Fork::Cancun)
        } else {
            Err(EngineError::UnsupportedFork {
                method,
                message: format!("timestamp {timestamp} is before Cancun at {}", self.cancun_time),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_begin_at_their_time() {
        let forks = ForkSchedule { cancun_time: 10, prague_time: Some(20), osaka_time: Some(30) };
        assert!(matches!(forks.at(9, "m"), Err(EngineError::UnsupportedFork { method: "m", .. })));
        for (timestamp, fork) in
            [(10, Fork::Cancun), (19, Fork::Cancun), (20, Fork::Prague), (29, Fork::Prague)]
        {
            assert_eq!(forks.at(timestamp, "m"), Ok(fork));
        }
        assert_eq!(forks.at(30, "m"), Ok(Fork::Osaka));
        let forks = ForkSchedule { cancun_time: 0, prague_time: None, osaka_time: None };
        assert_eq!(forks.at(u64::MAX, "m"), Ok(Fork::Cancun));
    }

    #[test]
    fn every_method_a_fork_needs_is_announced() {
        for fork in [Fork::Cancun, Fork::Prague, Fork::Osaka] {
            for method in [fork.forkchoice_updated(), fork.get_payload(), fork.new_payload()] {
                assert!(OURS.contains(&method), "{method}");
            }
        }
    }
}
