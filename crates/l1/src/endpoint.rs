//! Endpoint URLs, which may hold secrets.

use std::fmt;

use crate::L1Error;

/// A checked http(s) URL that shows only scheme and host in `Debug` and `Display` (SEQ-INV-12).
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: String,
    masked: String,
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self, L1Error> {
        let url = url.trim();
        let masked = mask(url);
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(invalid(masked, "expected http://host or https://host"));
        };
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(invalid(masked, "the scheme must be http or https"));
        }
        if host_of(rest).is_empty() {
            return Err(invalid(masked, "it has no host"));
        }
        Ok(Self { url: url.to_owned(), masked })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn masked(&self) -> &str {
        &self.masked
    }

    /// Takes what may be secret in the URL out of a text that came from somewhere else.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let mut out = text.replace(&self.url, &self.masked);
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let (authority, tail) = rest.find(['/', '?', '#']).map_or((rest, ""), |i| rest.split_at(i));
        let user_info = authority.rsplit_once('@').map_or("", |(user, _)| user);
        let secrets = user_info.split(':').chain(tail.split(['/', '?', '#', '&', '=']));
        for secret in secrets.filter(|s| s.len() >= 8) {
            out = out.replace(secret, "***");
        }
        out
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

fn invalid(endpoint: String, reason: &str) -> L1Error {
    L1Error::InvalidEndpoint { endpoint, reason: reason.to_owned() }
}

/// Host and port of what follows `scheme://`.
fn host_of(rest: &str) -> &str {
    let authority = rest.find(['/', '?', '#']).map_or(rest, |i| &rest[..i]);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Scheme and host of a URL; `<not a URL>` when it has no scheme, lest a bare key be shown.
fn mask(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.len() <= 8 && scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
            format!("{scheme}://{}", host_of(rest))
        }
        _ => "<not a URL>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// SEQ-INV-12: neither user information nor path nor query is ever shown.
    #[test]
    fn shows_scheme_and_host_only() {
        let url = "https://user:hunter22hunter22@node.example:8545/v3/0123456789abcdef?key=topsecretkey#f";
        let endpoint = Endpoint::parse(url).unwrap();
        assert_eq!(endpoint.masked(), "https://node.example:8545");
        assert_eq!(format!("{endpoint:?}"), "https://node.example:8545");
        let echo = endpoint.scrub(&format!("bad request to {url}: project 0123456789abcdef, topsecretkey"));
        for secret in ["hunter22hunter22", "0123456789abcdef", "topsecretkey"] {
            assert!(!echo.contains(secret), "{echo}");
        }
        assert_eq!(endpoint.url(), url);
    }

    #[test]
    fn refuses_what_is_no_http_url() {
        for bad in ["", "localhost:8545", "ws://h", "http://", "https://user:pw@", "http:///path", "0xkey"] {
            let error = Endpoint::parse(bad).unwrap_err();
            assert!(matches!(error, L1Error::InvalidEndpoint { .. }), "{bad}: {error}");
            assert!(!error.to_string().contains("pw") && !error.to_string().contains("0xkey"), "{error}");
        }
    }
}
