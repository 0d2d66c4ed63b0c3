//! The node that the proxy stands in front of.

use std::fmt;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::ChaosError;
use crate::answer::Answer;

/// Longest answer of a node that is passed on, in bytes.
const MAX_ANSWER: usize = 1 << 30;

/// Headers that belong to one connection (RFC 9110 section 7.6.1), and those that are made anew.
/// `accept-encoding` goes too: a compressed answer could not be made wrong.
const NOT_FORWARDED: [HeaderName; 8] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Shows host and port only, since paths and queries hold keys.
#[derive(Clone)]
pub(crate) struct Target {
    uri: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.uri.authority().map_or("", |a| a.as_str()))
    }
}

fn invalid(reason: &'static str) -> ChaosError {
    ChaosError::InvalidTarget { reason }
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, ChaosError> {
        let uri: Uri = url.parse().map_err(|_| invalid("it is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(invalid("the scheme must be http"));
        }
        let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("put user and password into the URL of the proxy: headers pass through"));
        }
        // One connection per request: one that the node closed meanwhile must not look like a fault of the proxy.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(HttpConnector::new());
        Ok(Self { uri, client })
    }

    /// Where a request for `path` of the proxy goes: the root of the proxy is the whole URL of the node.
    fn uri_for(&self, asked: &Uri) -> Result<Uri, http::Error> {
        let path = match asked.path_and_query().map(PathAndQuery::as_str) {
            None | Some("/" | "") => self.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned(),
            Some(more) => format!("{}{more}", self.uri.path().trim_end_matches('/')),
        };
        let authority = self.uri.authority().map_or("", |a| a.as_str());
        Uri::builder().scheme("http").authority(authority).path_and_query(path).build()
    }

    /// One request and its whole answer.
    pub(crate) async fn deliver(
        &self,
        method: &Method,
        asked: &Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answer, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = self.uri_for(asked).map_err(|e| e.to_string())?;
        *request.headers_mut() = headers.clone();
        for name in &NOT_FORWARDED {
            request.headers_mut().remove(name);
        }
        let response = self.client.request(request).await.map_err(|e| chain_text(&e))?;
        let (mut parts, body) = response.into_parts();
        for name in &NOT_FORWARDED {
            parts.headers.remove(name);
        }
        let body =
            Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| chain_text(e.as_ref()))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// An error's text with its causes.
fn chain_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unusable_targets_are_not_shown() {
        for url in
            ["", "secretkey", "https://host/secretkey", "ws://host", "http://u:secretkey@host", "/secretkey"]
        {
            let error = Target::parse(url).unwrap_err();
            assert!(matches!(error, ChaosError::InvalidTarget { .. }), "{url}");
            assert!(!error.to_string().contains("secretkey"));
        }
    }

    /// SEQ-INV-12: a key in the path of the node's URL is used and not shown.
    #[test]
    fn paths_are_kept_and_hidden() {
        let target = Target::parse("http://127.0.0.1:8545/v3/secretkey?k=1").unwrap();
        let uri = |path: &str| target.uri_for(&path.parse().unwrap()).unwrap().to_string();
        assert_eq!(uri("/"), "http://127.0.0.1:8545/v3/secretkey?k=1");
        assert_eq!(uri("/health?x=2"), "http://127.0.0.1:8545/v3/secretkey/health?x=2");
        assert_eq!(format!("{target:?}"), "127.0.0.1:8545");
        let bare = Target::parse("http://localhost:1").unwrap();
        assert_eq!(bare.uri_for(&"/".parse().unwrap()).unwrap().to_string(), "http://localhost:1/");
    }
}
