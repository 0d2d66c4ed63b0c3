use std::io;

use ensemble_error::{Classify, Severity};

use super::{RefusalCode, ServerMessage};

/// What can go wrong with a frame. After any of these the connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The first bytes are not those of this protocol.
    #[error(
        "the peer does not speak the Ensemble prover protocol: its first bytes are 0x{}",
        hex::encode(got)
    )]
    BadMagic {
        /// What was there instead of the magic.
        got: [u8; 4],
    },
    /// The first bytes are those of TLS, which this side does not speak.
    #[error("the peer speaks TLS, this side does not: {remedy}")]
    Tls {
        /// What to set.
        remedy: &'static str,
    },
    /// The peer speaks another version.
    #[error(
        "the peer speaks version {theirs} of the prover protocol, this side speaks {ours}: use the same release"
    )]
    WrongVersion {
        /// Version of the peer.
        theirs: u16,
        /// [`super::PROTOCOL_VERSION`].
        ours: u16,
    },
    /// A frame is longer than the limit for its place.
    #[error("a frame of {len} bytes is over the limit of {max}: raise the limit if the frame is legitimate")]
    FrameTooLarge {
        /// Bytes of the payload.
        len: u64,
        /// Most bytes allowed.
        max: u64,
    },
    /// A frame of allowed length holds no valid message.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// Reading or writing failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The peer closed the connection in the middle of a frame.
    #[error("the peer closed the connection in the middle of a frame")]
    Closed,
}

impl ProtocolError {
    /// What a server says to a client that caused this error, before it closes the connection. `None` when the
    /// connection is gone and nothing can be said.
    #[must_use]
    pub fn refusal(&self) -> Option<ServerMessage> {
        let code = match self {
            Self::WrongVersion { .. } => RefusalCode::WrongVersion,
            Self::BadMagic { .. } | Self::Tls { .. } | Self::FrameTooLarge { .. } | Self::Malformed(_) => {
                RefusalCode::ProtocolViolation
            }
            Self::Io(_) | Self::Closed => return None,
        };
        let reason = match self {
            Self::WrongVersion { theirs, ours } => format!(
                "the server speaks version {ours} of the prover protocol, the client {theirs}: use the same release"
            ),
            Self::BadMagic { .. }
            | Self::Tls { .. }
            | Self::FrameTooLarge { .. }
            | Self::Malformed(_)
            | Self::Io(_)
            | Self::Closed => self.to_string(),
        };
        Some(ServerMessage::Refused { code, reason })
    }
}

impl Classify for ProtocolError {
    fn severity(&self) -> Severity {
        match self {
            Self::WrongVersion { .. } | Self::BadMagic { .. } | Self::Tls { .. } => Severity::Fatal,
            Self::FrameTooLarge { .. } | Self::Malformed(_) => Severity::NeedsReset,
            Self::Io(_) | Self::Closed => Severity::Transient,
        }
    }
}
