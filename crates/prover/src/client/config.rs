use std::fmt;

use ensemble_messages::ProverType;
use serde::Deserialize;

use super::ProverError;
use crate::protocol::{FrameLimits, check_name};
use crate::tls::ClientTls;

/// Settings of a [`super::ProverClient`]; the section `[prover_client]` of its configuration file.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProverClientConfig {
    /// `host:port` of the prover server. Environment: `PROVER_CLIENT_PROVER_SERVER_ENDPOINT`.
    pub prover_server_endpoint: String,
    /// Milliseconds to wait before asking again when there was no work or the last try failed. Environment:
    /// `PROVER_CLIENT_PROVING_TIME_MS`.
    pub proving_time_ms: u64,
    /// Kind of proof; must be the backend's.
    pub prover_type: ProverType,
    /// Name in the server's logs: 1 to 64 bytes of printable ASCII.
    pub name: String,
    /// Shared secret, when the server wants one. Not shown by `Debug`.
    pub token: Option<String>,
    /// TLS, when the server speaks it.
    #[serde(skip)]
    pub tls: Option<ClientTls>,
    /// Milliseconds until a connection attempt is given up.
    pub connect_timeout_ms: u64,
    /// Milliseconds until a missing answer counts as a dead connection; also bounds the sending of one message.
    pub reply_timeout_ms: u64,
    /// The same for the answer to a proof, which the server checks first.
    pub submit_timeout_ms: u64,
    /// Milliseconds before the first new attempt after a failure; doubled by each further one.
    pub backoff_initial_ms: u64,
    /// Most milliseconds between two attempts.
    pub backoff_max_ms: u64,
    /// Milliseconds a stopping client waits for the answer to a finished proof.
    pub shutdown_grace_ms: u64,
    /// Most bytes of a batch's input that are accepted, before compression. Default 1 GiB.
    pub max_input_bytes: usize,
}

impl Default for ProverClientConfig {
    fn default() -> Self {
        Self {
            prover_server_endpoint: "localhost:3900".to_owned(),
            proving_time_ms: 5000,
            prover_type: ProverType::Exec,
            name: "prover".to_owned(),
            token: None,
            tls: None,
            connect_timeout_ms: 10_000,
            reply_timeout_ms: 30_000,
            submit_timeout_ms: 120_000,
            backoff_initial_ms: 500,
            backoff_max_ms: 30_000,
            shutdown_grace_ms: 5000,
            max_input_bytes: 1 << 30,
        }
    }
}

impl fmt::Debug for ProverClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            prover_server_endpoint,
            proving_time_ms,
            prover_type,
            name,
            token,
            tls,
            connect_timeout_ms,
            reply_timeout_ms,
            submit_timeout_ms,
            backoff_initial_ms,
            backoff_max_ms,
            shutdown_grace_ms,
            max_input_bytes,
        } = self;
        f.debug_struct("ProverClientConfig")
            .field("prover_server_endpoint", prover_server_endpoint)
            .field("proving_time_ms", proving_time_ms)
            .field("prover_type", prover_type)
            .field("name", name)
            .field("token", &token.as_ref().map(|_| "***"))
            .field("tls", tls)
            .field("connect_timeout_ms", connect_timeout_ms)
            .field("reply_timeout_ms", reply_timeout_ms)
            .field("submit_timeout_ms", submit_timeout_ms)
            .field("backoff_initial_ms", backoff_initial_ms)
            .field("backoff_max_ms", backoff_max_ms)
            .field("shutdown_grace_ms", shutdown_grace_ms)
            .field("max_input_bytes", max_input_bytes)
            .finish()
    }
}

impl ProverClientConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ProverError::Config`] for the first value that cannot work.
    pub fn validate(&self) -> Result<(), ProverError> {
        let bad = |key: &'static str, what: String| Err(ProverError::Config { key, what });
        let endpoint = self.prover_server_endpoint.as_str();
        let port = endpoint
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty() && !host.contains('/'))
            .and_then(|(_, port)| port.parse::<u16>().ok())
            .filter(|port| *port != 0);
        if port.is_none() {
            return bad(
                "prover_server_endpoint",
                format!("`{endpoint}` is not host:port; write for example localhost:3900, without a scheme"),
            );
        }
        if let Err(error) = check_name(&self.name) {
            return bad("name", error.to_string());
        }
        for (key, value) in [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("reply_timeout_ms", self.reply_timeout_ms),
            ("submit_timeout_ms", self.submit_timeout_ms),
            ("backoff_initial_ms", self.backoff_initial_ms),
        ] {
            if value == 0 {
                return bad(key, "must be above 0".to_owned());
            }
        }
        for (key, value) in [
            ("proving_time_ms", self.proving_time_ms),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("reply_timeout_ms", self.reply_timeout_ms),
            ("submit_timeout_ms", self.submit_timeout_ms),
            ("backoff_max_ms", self.backoff_max_ms),
            ("shutdown_grace_ms", self.shutdown_grace_ms),
        ] {
            if value > Self::MAX_MS {
                return bad(key, format!("{value} is over a day ({} ms)", Self::MAX_MS));
            }
        }
        if self.backoff_max_ms < self.backoff_initial_ms {
            return bad("backoff_max_ms", "must not be below backoff_initial_ms".to_owned());
        }
        if self.max_input_bytes < FrameLimits::default().hello_max
            || u32::try_from(self.max_input_bytes).is_err()
        {
            return bad("max_input_bytes", "must be between 1024 and 4294967295".to_owned());
        }
        Ok(())
    }

    /// A day; no wait is longer.
    const MAX_MS: u64 = 24 * 60 * 60 * 1000;
}
