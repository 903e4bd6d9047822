//! Hosts that are allowed, and the host a URL leads to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// Says of a request's URI whether it may be sent there.
pub type HostFilter = Arc<dyn Fn(&http::Uri) -> bool + Send + Sync>;

/// One allowed host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// One address.
    Address(IpAddr),
    /// One name, in lower case.
    Name(String),
    /// All names below one: `*.` and the name; here with the dot in front, in lower case.
    Below(String),
}

/// Why a text is no [`HostPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// A `*` that is not the whole first part.
    #[error("`*` stands only at the front, as `*.`")]
    Wildcard,
    /// Not a name and not an address.
    #[error("it is neither a name nor an address")]
    Malformed,
}

/// What a step's URL tells before its templates are filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UrlHost {
    /// It goes below `base_url`.
    Relative,
    /// It goes to this host, in brackets where that is an IPv6 address.
    Known(String),
    /// A template decides.
    Unknown,
}

// === impl HostPattern ===

impl HostPattern {
    /// Reads a pattern; a port behind it is ignored.
    ///
    /// # Errors
    /// Where it is no host.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(HostPatternError::Empty);
        }
        if let Some(address) = address(text) {
            return Ok(Self::Address(address));
        }
        let host = without_port(text).ok_or(HostPatternError::Malformed)?;
        if let Some(address) = address(host) {
            return Ok(Self::Address(address));
        }
        let (wild, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
        if name.contains('*') {
            return Err(HostPatternError::Wildcard);
        }
        // Names are compared as they are sent, so one beyond ASCII is turned into what is sent.
        let name = match url::Host::parse(name.strip_suffix('.').unwrap_or(name)) {
            Ok(url::Host::Domain(name)) => name,
            Ok(url::Host::Ipv4(address)) if !wild => return Ok(Self::Address(address.into())),
            _ => return Err(HostPatternError::Malformed),
        };
        Ok(if wild { Self::Below(format!(".{name}")) } else { Self::Name(name) })
    }

    /// Whether `host`, as a URI has it, is meant. Does not allocate.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Address(allowed) => address(host) == Some(*allowed),
            Self::Name(allowed) => host.eq_ignore_ascii_case(allowed),
            Self::Below(allowed) => {
                let split = host.len().checked_sub(allowed.len()).filter(|split| *split > 0);
                split.is_some_and(|split| {
                    host.as_bytes()[split..].eq_ignore_ascii_case(allowed.as_bytes()) && address(host).is_none()
                })
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*{name}"),
        }
    }
}

// === helpers ===

/// An address, an IPv6 one in brackets or not; one that carries an IPv4 address is that.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if !bare.starts_with(|first: char| first.is_ascii_hexdigit() || first == ':') {
        return None;
    }
    match bare.parse().ok()? {
        IpAddr::V6(address) => Some(mapped(address)),
        address @ IpAddr::V4(_) => Some(address),
    }
}

fn mapped(address: Ipv6Addr) -> IpAddr {
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}

/// What stands before the port.
fn without_port(host: &str) -> Option<&str> {
    match host.rsplit_once(':') {
        None => Some(host),
        Some((before, port)) if port == "*" || port.parse::<u16>().is_ok() => Some(before),
        // The last colon of an address in brackets.
        Some(_) if host.starts_with('[') && host.ends_with(']') => Some(host),
        Some(_) => None,
    }
}

/// Where a step's URL leads, as far as its text tells.
pub(super) fn of_url(url: &str) -> UrlHost {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.starts_with("{{") { UrlHost::Unknown } else { UrlHost::Relative };
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        // A path with a URL in its query, or a template that is the scheme.
        return if scheme.contains("{{") && !scheme.starts_with('/') { UrlHost::Unknown } else { UrlHost::Relative };
    }
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    // A template ends where it ends: a `/` inside one is no end of the host.
    if authority.contains("{{") {
        return UrlHost::Unknown;
    }
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, _)) => format!("[{inner}]"),
        None => host.split(':').next().unwrap_or(host).to_owned(),
    };
    // As it is sent: a name beyond ASCII in its other form.
    match url::Host::parse(&host) {
        Ok(url::Host::Domain(name)) => UrlHost::Known(name),
        _ => UrlHost::Known(host),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_pattern_matches_what_it_names_and_nothing_else() {
        for (pattern, hosts, others) in [
            (
                "127.0.0.1",
                &["127.0.0.1", "[::ffff:127.0.0.1]"][..],
                &["127.0.0.2", "127.0.0.1.evil.example", "localhost"][..],
            ),
            ("127.0.0.1:8080", &["127.0.0.1"], &["10.0.0.1"]),
            ("localhost", &["localhost", "LOCALHOST", "localhost."], &["localhost.evil", "mylocalhost"]),
            ("API.Example.com:443", &["api.example.com"], &["example.com", "x.api.example.com"]),
            (
                "*.staging.example.com",
                &["a.staging.example.com", "a.b.STAGING.example.com"],
                &["staging.example.com", "evilstaging.example.com", "staging.example.com.evil", ".staging.example.com"],
            ),
            ("[::1]:8080", &["[::1]", "[0:0:0:0:0:0:0:1]"], &["[::2]", "127.0.0.1"]),
            ("::1", &["[::1]"], &["[::2]"]),
            ("bücher.example", &["xn--bcher-kva.example"], &["bucher.example"]),
        ] {
            let pattern = HostPattern::parse(pattern).unwrap();
            for host in hosts {
                assert!(pattern.matches(host), "{pattern} {host}");
            }
            for host in others.iter().filter(|host| !host.starts_with('.')) {
                assert!(!pattern.matches(host), "{pattern} {host}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            " ",
            "*",
            "a.*.example",
            "*.*.example",
            "ex*mple",
            "http://a.example",
            "a.example/x",
            "a b",
            "*.",
            "a:b:c",
            "*.1.2.3.4",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_host_of_a_url_is_told_where_its_text_tells() {
        let known = |host: &str| UrlHost::Known(host.to_owned());
        for (url, host) in [
            ("/api", UrlHost::Relative),
            ("/go?to=http://evil.example/", UrlHost::Relative),
            ("http://a.example", known("a.example")),
            ("HTTPS://A.Example:8443/x?y", known("a.example")),
            ("http://127.0.0.1@evil.example/", known("evil.example")),
            ("http://127.0.0.1:80@evil.example:81/", known("evil.example")),
            ("http://evil.example\\@127.0.0.1/", known("evil.example")),
            ("http://[::1]:8080/x", known("[::1]")),
            ("http://a.example/{{ id }}", known("a.example")),
            ("http://a.example?x={{ id }}", known("a.example")),
            ("http://{{ host }}/x", UrlHost::Unknown),
            ("http://{{ a }}.example/x", UrlHost::Unknown),
            ("{{ url }}", UrlHost::Unknown),
            ("{{ scheme }}://a.example", UrlHost::Unknown),
        ] {
            assert_eq!(of_url(url), host, "{url}");
        }
    }
}
