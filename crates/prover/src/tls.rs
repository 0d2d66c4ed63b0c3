//! TLS between sequencer and provers, with certificates of the operator's own CA on both sides.
//!
//! Files are PEM. Nothing of them is kept but what rustls holds; errors name the configuration's key and the path, never
//! the content.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use ensemble_error::{Classify, Severity};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
pub use tokio_rustls::TlsAcceptor;
use tokio_rustls::{
    Accept, TlsConnector,
    rustls::{
        self, ClientConfig, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        server::WebPkiClientVerifier,
    },
};

/// TLS cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {}: {reason}", path.display())]
pub struct TlsError {
    /// Key in the configuration.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl Classify for TlsError {
    fn severity(&self) -> Severity {
        Severity::Fatal
    }
}

/// Where a side's own certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    /// Chain of certificates, the own one first.
    pub cert: PathBuf,
    /// Its private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// TLS of a prover client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Certificates of the CA that the server's is signed by.
    pub ca: PathBuf,
    /// Its own certificate, when the server asks for one.
    pub identity: Option<TlsIdentity>,
    /// Name in the server's certificate; the host of the endpoint by default.
    pub server_name: Option<String>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn bad(key: &'static str, path: &Path, reason: impl std::fmt::Display) -> TlsError {
    TlsError { key, path: path.to_owned(), reason: reason.to_string() }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| bad(key, path, e))?;
    if found.is_empty() {
        return Err(bad(key, path, "there is no certificate in it; it has to be PEM"));
    }
    Ok(found)
}

fn private_key(key: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| bad(key, path, e))
}

fn roots(key: &'static str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, path)? {
        roots.add(certificate).map_err(|e| bad(key, path, e))?;
    }
    Ok(roots)
}

/// What a server needs: its identity and, to ask provers for certificates, the CA that signs theirs.
///
/// # Errors
/// [`TlsError`] with the key of the configuration.
pub fn acceptor(identity: &TlsIdentity, client_ca: Option<&Path>) -> Result<TlsAcceptor, TlsError> {
    const CERT: &str = "prover_server.tls_cert_path";
    const CA: &str = "prover_server.tls_client_ca_path";
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(CERT, &identity.cert, e))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(roots(CA, path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            builder.with_client_cert_verifier(verifier.build().map_err(|e| bad(CA, path, e))?)
        }
    };
    let chain = certificates(CERT, &identity.cert)?;
    let key = private_key("prover_server.tls_key_path", &identity.key)?;
    let config = builder.with_single_cert(chain, key).map_err(|e| bad(CERT, &identity.cert, e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What a client needs.
///
/// # Errors
/// [`TlsError`] with the key of the configuration.
pub fn connector(tls: &ClientTls) -> Result<TlsConnector, TlsError> {
    const CA: &str = "prover_client.tls_ca_path";
    const CERT: &str = "prover_client.tls_cert_path";
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(CA, &tls.ca, e))?
        .with_root_certificates(roots(CA, &tls.ca)?);
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(TlsIdentity { cert, key }) => {
            let chain = certificates(CERT, cert)?;
            let key = private_key("prover_client.tls_key_path", key)?;
            builder.with_client_auth_cert(chain, key).map_err(|e| bad(CERT, cert, e))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name that the server's certificate must have, from the setting or the endpoint `host:port`.
///
/// # Errors
/// When it is neither a DNS name nor an IP address.
pub(crate) fn server_name(tls: &ClientTls, endpoint: &str) -> Result<ServerName<'static>, String> {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let name = tls.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
    ServerName::try_from(name.to_owned()).map_err(|e| format!("`{name}` cannot be in a certificate: {e}"))
}

/// A connection of a server, with or without TLS. The handshake is made when it is first read or written, so it needs no
/// place or task of its own.
pub enum ServerStream {
    /// Without TLS.
    Plain(TcpStream),
    /// Before the end of the handshake.
    Handshake(Box<Accept<TcpStream>>),
    /// After it.
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// The handshake failed.
    Failed,
}

impl std::fmt::Debug for ServerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Handshake(_) => "Handshake",
            Self::Tls(_) => "Tls",
            Self::Failed => "Failed",
        })
    }
}

impl ServerStream {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(socket: TcpStream, tls: Option<&TlsAcceptor>) -> Self {
        match tls {
            None => Self::Plain(socket),
            Some(tls) => Self::Handshake(Box::new(tls.accept(socket))),
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Handshake(accept) = self else { return Poll::Ready(Ok(())) };
        match ready!(Pin::new(accept.as_mut()).poll(cx)) {
            Ok(stream) => {
                *self = Self::Tls(Box::new(stream));
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                *self = Self::Failed;
                let kind = error.kind();
                Poll::Ready(Err(io::Error::new(
                    kind,
                    format!(
                        "no TLS handshake: {error}; the prover has no TLS, or a certificate of another CA"
                    ),
                )))
            }
        }
    }
}

fn failed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the TLS handshake failed")
}

impl AsyncRead for ServerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_handshake(cx))?;
        match this {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Self::Handshake(_) | Self::Failed => Poll::Ready(Err(failed())),
        }
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_handshake(cx))?;
        match this {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            Self::Handshake(_) | Self::Failed => Poll::Ready(Err(failed())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            // Nothing was written yet.
            Self::Handshake(_) | Self::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Handshake(_) | Self::Failed => Poll::Ready(Ok(())),
        }
    }
}

/// What a failed handshake of a client means, as far as it can be told.
pub(crate) fn explain(endpoint: &str, error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let remedy = match cause {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "; prover_client.tls_ca_path must hold the CA of the server's certificate, and prover_client.tls_server_name a \
             name in it"
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "; does the server speak TLS? Set prover_server.tls_cert_path there, or no prover_client.tls_ca_path here"
        }
        _ => "",
    };
    format!("no TLS connection with {endpoint}: {error}{remedy}")
}
