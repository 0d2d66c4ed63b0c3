//! Settings of the ProverServer.

use std::{net::SocketAddr, time::Duration};

use ensemble_prover::{protocol::FrameLimits, tls::TlsAcceptor};

/// Settings of the ProverServer.
#[derive(Clone)]
pub struct ProverServerConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// TLS, if it is spoken.
    pub tls: Option<TlsAcceptor>,
    /// Shared secret that provers must show, if any.
    pub token: Option<String>,
    /// Most sessions at once.
    pub max_sessions: usize,
    /// A connection that has not said hello after this time is closed.
    pub hello_timeout: Duration,
    /// A session that says nothing for this time is closed.
    pub idle_timeout: Duration,
    /// Heartbeats that are asked of a prover at work.
    pub heartbeat: Duration,
    /// Bounds on frames.
    pub limits: FrameLimits,
}

impl std::fmt::Debug for ProverServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { listen, tls, token, max_sessions, hello_timeout, idle_timeout, heartbeat, limits } = self;
        f.debug_struct("ProverServerConfig")
            .field("listen", listen)
            .field("tls", &tls.is_some())
            .field("token", &token.as_ref().map(|_| "***"))
            .field("max_sessions", max_sessions)
            .field("hello_timeout", hello_timeout)
            .field("idle_timeout", idle_timeout)
            .field("heartbeat", heartbeat)
            .field("limits", limits)
            .finish()
    }
}
