use ensemble_error::{Classify, Severity};

/// What ends a prover client for good. Everything else it survives by trying again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProverError {
    /// A setting cannot work.
    #[error("[prover_client] {key}: {what}")]
    Config {
        /// Key in the configuration.
        key: &'static str,
        /// What is wrong and what would be right.
        what: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// The server speaks another version of the protocol.
    #[error(
        "the prover server speaks another version of the protocol ({reason}); run the prover of the server's release"
    )]
    WrongVersion {
        /// What the server said.
        reason: String,
    },
    /// The server wants another token.
    #[error("the prover server refused this prover ({reason}); set `token` to the server's auth_token")]
    Unauthorized {
        /// What the server said.
        reason: String,
    },
}

impl Classify for ProverError {
    fn severity(&self) -> Severity {
        match self {
            Self::Config { .. } | Self::WrongVersion { .. } | Self::Unauthorized { .. } => Severity::Fatal,
            Self::Tls(error) => error.severity(),
        }
    }
}
