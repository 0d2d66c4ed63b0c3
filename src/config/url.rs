//! Addresses of other programs. URLs of RPC providers and databases carry API keys and passwords, so only
//! scheme, host and port of them are ever shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

/// Why a text is no URL that can be used here. Does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// The scheme is none of those possible here.
    #[error("it does not start with {0}")]
    Scheme(&'static str),
    /// The host is missing or has a character that no host has.
    #[error("it has no valid host")]
    Host,
    /// The port is no number between 1 and 65535.
    #[error("its port is no number between 1 and 65535")]
    Port,
    /// Blanks or control characters (RFC 3986 has none).
    #[error("it has blanks or control characters")]
    Blank,
}

/// Splits `scheme://[user[:password]@]host[:port][/…]` (RFC 3986, section 3) and tells what may be shown.
fn masked(text: &str, schemes: &[&str], expected: &'static str) -> Result<String, InvalidUrl> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(InvalidUrl::Blank);
    }
    let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::Scheme(expected))?;
    let scheme = scheme.to_ascii_lowercase();
    if !schemes.contains(&scheme.as_str()) {
        return Err(InvalidUrl::Scheme(expected));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(u, p)| (Some(u), p));
    let (host, port) = match place.strip_prefix('[') {
        Some(v6) => {
            let (inside, after) = v6.split_once(']').ok_or(InvalidUrl::Host)?;
            inside.parse::<std::net::Ipv6Addr>().map_err(|_| InvalidUrl::Host)?;
            match after.strip_prefix(':') {
                Some(port) => (&place[..inside.len() + 2], Some(port)),
                None if after.is_empty() => (place, None),
                None => return Err(InvalidUrl::Host),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let valid = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
    if host.is_empty() || !host.chars().all(valid) {
        return Err(InvalidUrl::Host);
    }
    if let Some(port) = port {
        parse_port(port).ok_or(InvalidUrl::Port)?;
    }
    let hidden = user.is_some() || !matches!(tail, "" | "/");
    Ok(format!("{scheme}://{place}{}", if hidden { "/***" } else { "" }))
}

fn parse_port(text: &str) -> Option<u16> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|port| *port != 0)
}

/// URL of a JSON-RPC or HTTP endpoint, `http` or `https`. `Debug` and `Display` show scheme, host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUrl {
    text: Zeroizing<String>,
    masked: String,
}

impl RpcUrl {
    /// `http://localhost:port`.
    #[must_use]
    pub fn local(port: u16) -> Self {
        let masked = format!("http://localhost:{port}");
        Self { text: Zeroizing::new(masked.clone()), masked }
    }

    /// The whole URL, which may hold an API key. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl FromStr for RpcUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let masked = masked(text, &["http", "https"], "http:// or https://")?;
        Ok(Self { text: Zeroizing::new(text.to_owned()), masked })
    }
}

impl fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

impl fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

/// Where the durable state lives. `Debug` and `Display` hide the user and password of a database URL.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreLocation(Location);

#[derive(Clone, PartialEq, Eq)]
enum Location {
    Sqlite(PathBuf),
    Postgres { url: Zeroizing<String>, masked: String },
}

impl StoreLocation {
    /// An SQLite file.
    #[must_use]
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Location::Sqlite(path.into()))
    }

    /// The path of the SQLite file, if it is one.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.0 {
            Location::Sqlite(path) => Some(path),
            Location::Postgres { .. } => None,
        }
    }

    /// The URL of the PostgreSQL database, if it is one; it may hold a password. Never log it.
    #[must_use]
    pub fn expose_postgres_url(&self) -> Option<&str> {
        match &self.0 {
            Location::Sqlite(_) => None,
            Location::Postgres { url, .. } => Some(url),
        }
    }
}

impl FromStr for StoreLocation {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "postgres://, sqlite: or a path";
        let text = text.trim();
        let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
        if let Some(path) = path {
            return if path.is_empty() { Err(InvalidUrl::Host) } else { Ok(Self::sqlite(path)) };
        }
        if text.contains("://") {
            let masked = masked(text, &["postgres", "postgresql"], EXPECTED)?;
            return Ok(Self(Location::Postgres { url: Zeroizing::new(text.to_owned()), masked }));
        }
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(InvalidUrl::Blank);
        }
        Ok(Self::sqlite(text))
    }
}

impl fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::Sqlite(path) => write!(f, "{}", path.display()),
            Location::Postgres { masked, .. } => f.write_str(masked),
        }
    }
}

/// Why a text is no `host:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not host:port with a port between 1 and 65535")]
pub struct InvalidEndpoint;

/// A TCP endpoint, `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or IP address (IPv6 without brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let text = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = text.rsplit_once(':').ok_or(InvalidEndpoint)?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed {
            Some(v6) => {
                v6.parse::<std::net::Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| InvalidEndpoint)?
            }
            None => host.to_owned(),
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || (bracketed.is_none() && !host.chars().all(plain)) {
            return Err(InvalidEndpoint);
        }
        Ok(Self { host, port: parse_port(port).ok_or(InvalidEndpoint)? })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// SEQ-INV-12
    #[test]
    fn only_scheme_host_and_port_are_shown() {
        for (text, shown) in [
            ("http://localhost:8545", "http://localhost:8545"),
            ("HTTPS://l1.example/", "https://l1.example"),
            ("https://l1.example/v3/0123abcd", "https://l1.example/***"),
            ("https://user:pass@l1.example:443", "https://l1.example:443/***"),
            ("https://l1.example?key=abc", "https://l1.example/***"),
            ("http://[::1]:8545", "http://[::1]:8545"),
            ("http://[::1]", "http://[::1]"),
            ("http://a@b@host/", "http://host/***"),
        ] {
            let url: RpcUrl = text.parse().unwrap();
            assert_eq!(format!("{url} {url:?}"), format!("{shown} {shown}"));
            assert_eq!(url.expose(), text);
        }
        let store: StoreLocation = "postgres://ensemble:hunter2@db:5432/ensemble".parse().unwrap();
        assert_eq!(format!("{store:?}"), "postgres://db:5432/***");
        assert_eq!(store.expose_postgres_url(), Some("postgres://ensemble:hunter2@db:5432/ensemble"));
    }

    #[test]
    fn bad_urls_are_refused() {
        for (text, error) in [
            ("", InvalidUrl::Scheme("http:// or https://")),
            ("localhost:8545", InvalidUrl::Scheme("http:// or https://")),
            ("ws://localhost", InvalidUrl::Scheme("http:// or https://")),
            ("http://", InvalidUrl::Host),
            ("http://:80", InvalidUrl::Host),
            ("http://a$b", InvalidUrl::Host),
            ("http://[::1", InvalidUrl::Host),
            ("http://[::1]x", InvalidUrl::Host),
            ("http://h:0", InvalidUrl::Port),
            ("http://h:+80", InvalidUrl::Port),
            ("http://h:65536", InvalidUrl::Port),
            ("http://h: 80", InvalidUrl::Blank),
        ] {
            assert_eq!(text.parse::<RpcUrl>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn stores_and_endpoints() {
        for text in ["./data/ensemble.db", "sqlite:./data/ensemble.db", "sqlite://./data/ensemble.db"] {
            let store: StoreLocation = text.parse().unwrap();
            assert_eq!(store.sqlite_path(), Some(Path::new("./data/ensemble.db")));
        }
        assert!("mysql://db/x".parse::<StoreLocation>().is_err());
        assert!("sqlite:".parse::<StoreLocation>().is_err());
        for (text, shown) in
            [("localhost:3900", "localhost:3900"), ("tcp://10.0.0.1:1", "10.0.0.1:1"), ("[::1]:9", "[::1]:9")]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
        for text in
            ["", "localhost", "localhost:", ":3900", "host:0", "host:99999", "::1:80", "http://h:1", "[x]:1"]
        {
            assert_eq!(text.parse::<Endpoint>(), Err(InvalidEndpoint), "{text}");
        }
    }
}
