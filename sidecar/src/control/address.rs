//! `HOST:PORT` of a control address: read, resolved, bound.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::str::FromStr;
use thiserror::Error;

/// Where a run listens unless it is told otherwise, as k6 does.
pub(crate) const DEFAULT: &str = "127.0.0.1:6565";

/// An address to listen at, or to speak to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an IP address; no brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why an address cannot be used.
#[derive(Debug, Error)]
pub(crate) enum AddressError {
    #[error("{0:?} is no address: write HOST:PORT, as 127.0.0.1:6565")]
    Malformed(String),
    #[error("{0} is beyond this machine: set PACECAR_TOKEN, which then has to be sent, or listen at 127.0.0.1")]
    Unprotected(Address),
    #[error("{address} cannot be bound")]
    Taken { address: Address, source: std::io::Error },
}

// === impl Address ===

impl Address {
    /// Where a name leads to; IPv4 first, as k6 has it.
    pub(crate) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        use std::net::ToSocketAddrs;
        let mut found: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        if found.is_empty() {
            return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(found)
    }

    /// Refuses what lies beyond loopback where no token protects it. A name is what it leads to; one that leads
    /// nowhere cannot be bound, which is another matter.
    pub(crate) fn protect(&self, token: bool) -> Result<(), AddressError> {
        let within = self.resolve().map_or_else(
            |_| self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) || !self.host.contains(['.', ':']),
            |found| found.iter().all(|address| address.ip().to_canonical().is_loopback()),
        );
        if within || token { Ok(()) } else { Err(AddressError::Unprotected(self.clone())) }
    }

    /// Binds it: the first of what the name leads to that can be.
    pub(crate) fn bind(&self) -> Result<TcpListener, AddressError> {
        let bound = self.resolve().and_then(|found| TcpListener::bind(&*found)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        bound.map_err(|source| AddressError::Taken { address: self.clone(), source })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().map_err(|_| malformed())?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|ip| ip.contains(':')).ok_or_else(malformed)?,
            // Nothing is everything, as in Go.
            None if host.is_empty() => "0.0.0.0",
            None => host,
        };
        let ip = host.parse::<IpAddr>().is_ok();
        let name =
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if !ip && !name {
            return Err(malformed());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_and_nonsense_is_not() {
        for (text, host, port) in [
            ("127.0.0.1:6565", "127.0.0.1", 6565),
            ("localhost:0", "localhost", 0),
            ("[::1]:80", "::1", 80),
            (":6565", "0.0.0.0", 6565),
        ] {
            assert_eq!(text.parse::<Address>().unwrap(), Address { host: host.to_owned(), port }, "{text}");
        }
        for text in ["", "6565", "127.0.0.1", "a:b", "host:70000", "a b:1", "[::1:80", "::1:80x", "http://a:1", "[a]:1"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn beyond_loopback_needs_a_token() {
        for (text, within) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("localhost:1", true),
            ("[::1]:1", true),
            ("0.0.0.0:1", false),
            (":1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.protect(false).is_ok(), within, "{text}");
            assert!(address.protect(true).is_ok(), "{text}");
        }
    }
}
