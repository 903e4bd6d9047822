//! Who may ask: requests from foreign pages, and without the token, are turned away.
//!
//! A browser sends a page's requests to any address, loopback too: `Origin` tells whose page it
//! is. A page whose own name is made to lead here (DNS rebinding) tells by `Host`.

use super::Address;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Uri, uri::Authority};
use std::net::IpAddr;
use thiserror::Error;

/// `PACECAR_TOKEN`.
#[derive(Clone)]
pub(crate) struct Token(String);

/// Why a token is none.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("PACECAR_TOKEN must be of visible ASCII characters, without spaces: it is sent in a header")]
pub(crate) struct TokenError;

/// By which names this address is called.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    given: String,
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It comes from a foreign page, or calls us by a foreign name.
    Foreign,
    /// It has no token, or a wrong one.
    Unauthorized,
}

// === impl Token ===

impl Token {
    /// The token of the environment; none where it is not set, or empty.
    pub(crate) fn from_env() -> Result<Option<Self>, TokenError> {
        match std::env::var_os("PACECAR_TOKEN") {
            None => Ok(None),
            Some(text) => Self::read(text.to_str().ok_or(TokenError)?),
        }
    }

    /// A file's line end is no part of it.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, TokenError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError);
        }
        Ok((!text.is_empty()).then(|| Self(text.to_owned())))
    }

    /// The header's value that carries it.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let (Some(one), None) = (all.next(), all.next()) else { return false };
        let bytes = one.as_bytes();
        let Some(blank) = bytes.iter().position(|byte| *byte == b' ') else { return false };
        let (scheme, token) = bytes.split_at(blank);
        scheme.eq_ignore_ascii_case(b"bearer") && same(self.0.as_bytes(), token.trim_ascii())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Whether two texts are the same, in a time that tells nothing but the length of what was sent.
fn same(secret: &[u8], sent: &[u8]) -> bool {
    let mut differs = u8::from(secret.len() != sent.len());
    for (at, byte) in sent.iter().enumerate() {
        // The remainder is 0 of an empty secret only, and that is never a token.
        let expected = secret.get(at % secret.len().max(1)).copied().unwrap_or_default();
        differs |= std::hint::black_box(expected ^ byte);
    }
    std::hint::black_box(differs) == 0
}

// === impl Names ===

impl Names {
    pub(crate) fn new(address: &Address) -> Self {
        Self { given: address.host.clone() }
    }

    /// Refuses what comes from elsewhere. `came_to` is the address at which the connection came in.
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap, came_to: IpAddr) -> Result<(), Denied> {
        let ours = |host: &str| self.ours(host, came_to);
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Denied::Foreign) };
        let named = host.to_str().ok().and_then(host_of).is_some_and(|host| ours(&host));
        // A request line may name the host, too.
        let line = uri.authority().is_none_or(|authority| host_of(authority.as_str()).is_some_and(|host| ours(&host)));
        let page = |origin: &HeaderValue| {
            let origin = origin.to_str().ok()?;
            let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?;
            host_of(rest)
        };
        let pages = headers.get_all(ORIGIN).iter().all(|origin| page(origin).is_some_and(|host| ours(&host)));
        if named && line && pages { Ok(()) } else { Err(Denied::Foreign) }
    }

    fn ours(&self, host: &str, came_to: IpAddr) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.eq_ignore_ascii_case(&self.given)
            || bare.parse::<IpAddr>().is_ok_and(|ip| {
                let ip = ip.to_canonical();
                // No name leads a browser to an IP address: what it calls by one it really means.
                ip == came_to.to_canonical()
                    || ip == IpAddr::from([127, 0, 0, 1])
                    || ip == IpAddr::from(std::net::Ipv6Addr::LOCALHOST)
                    || self.given.parse() == Ok(ip)
            })
    }
}

/// The host of `HOST[:PORT]`, without a user, a path or anything else that does not belong there.
fn host_of(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    let rest = authority.as_str().strip_prefix(authority.host())?;
    let proper = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    proper.then(|| authority.host().to_owned())
}

/// Refuses what has not the token, where there is one.
pub(crate) fn authorize(token: Option<&Token>, headers: &HeaderMap) -> Result<(), Denied> {
    if token.is_none_or(|token| token.admits(headers)) { Ok(()) } else { Err(Denied::Unauthorized) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_the_token_opens() {
        let token = Token::read(" s3cret\n").unwrap();
        let admits = |value: &str| authorize(token.as_ref(), &headers(&[("authorization", value)])).is_ok();
        assert!(admits("Bearer s3cret") && admits("bearer s3cret") && admits("BEARER  s3cret "));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3crets",
            "Bearer s3crets3cret",
            "Bearer",
            "Bearer ",
            "s3cret",
            "Basic s3cret",
            "Bearer S3cret",
        ] {
            assert!(!admits(wrong), "{wrong}");
        }
        let twice = headers(&[("authorization", "Bearer s3cret"), ("authorization", "Bearer other")]);
        assert!(authorize(token.as_ref(), &twice).is_err() && authorize(token.as_ref(), &HeaderMap::new()).is_err());
        assert!(authorize(None, &HeaderMap::new()).is_ok());
        assert!(Token::read("").unwrap().is_none() && Token::read("a b").is_err() && Token::read("ä").is_err());
    }

    #[test]
    fn foreign_hosts_and_origins_are_told_from_ours() {
        let names = Names::new(&"staging-box:6565".parse().unwrap());
        let came_to: IpAddr = "10.1.2.3".parse().unwrap();
        let admits =
            |pairs: &[(&'static str, &str)]| names.admit(&Uri::from_static("/"), &headers(pairs), came_to).is_ok();
        for ours in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:6565",
            "[::1]:6565",
            "staging-box:1",
            "10.1.2.3:6565",
        ] {
            assert!(admits(&[("host", ours)]), "{ours}");
            assert!(admits(&[("host", ours), ("origin", &format!("http://{ours}"))]), "{ours}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.1.2.4",
            "localhost@evil.example",
            "evil@localhost",
            "127.0.0.2",
            "",
            "localhost:x",
            "a, localhost",
        ] {
            assert!(!admits(&[("host", foreign)]), "{foreign}");
            assert!(!admits(&[("host", "localhost"), ("origin", &format!("http://{foreign}"))]), "{foreign}");
        }
        for foreign in ["null", "", "file://", "localhost", "ftp://localhost", "chrome-extension://abc"] {
            assert!(!admits(&[("host", "localhost"), ("origin", foreign)]), "{foreign}");
        }
        assert!(!admits(&[]) && !admits(&[("host", "localhost"), ("host", "evil.example")]));
        assert!(!admits(&[("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.example")]));
        let line = Uri::from_static("http://evil.example/v1/status");
        assert!(names.admit(&line, &headers(&[("host", "localhost")]), came_to).is_err());
    }
}
