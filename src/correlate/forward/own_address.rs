//! Whether a URL leads back to pacecar, however its host is spelt.
//!
//! Nothing is resolved: a plan is checked without a network. A name that resolves to this machine in a way that
//! cannot be seen from here is caught when it happens, by the header that each forwarded message carries.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use url::{Host, Url};

/// Whether `url` leads to `listening` (`HOST:PORT`): the same port, on this machine.
///
/// Which of the machine's addresses it is does not matter. A collector that listens on the port of pacecar's
/// receiver, on another address of the same machine, is far less likely than a loop.
pub(super) fn same(url: &Url, listening: &str) -> bool {
    let Some((host, port)) = listening.rsplit_once(':') else { return false };
    if port.parse().ok() != url.port_or_known_default() {
        return false;
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match url.host() {
        Some(Host::Ipv4(ip)) => here(ip.into()),
        Some(Host::Ipv6(ip)) => here(ip.to_canonical()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case(host)
                || name.eq_ignore_ascii_case("localhost")
                || name.to_ascii_lowercase().ends_with(".localhost")
                || matches!(name, "ip6-localhost" | "ip6-loopback" | "localhost.localdomain")
                || machine(name)
        }
        None => false,
    }
}

/// Whether an address is one of this machine's: nobody can bind to another's.
fn here(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// Whether this machine calls itself `name`, with or without its domain.
fn machine(name: &str) -> bool {
    let uname = rustix::system::uname();
    let Ok(own) = uname.nodename().to_str() else { return false };
    let short = own.split('.').next().unwrap_or_default();
    !own.is_empty() && (name.eq_ignore_ascii_case(own) || name.eq_ignore_ascii_case(short))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn is_own(url: &str, listening: &str) -> bool {
        same(&Url::parse(url).unwrap(), listening)
    }

    #[test]
    fn every_spelling_of_this_machine_is_caught() {
        let name = rustix::system::uname().nodename().to_str().unwrap().to_owned();
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "api.localhost",
            "[::1]",
            "0.0.0.0",
            "[::]",
            "127.1",
            "2130706433",
            "0x7f.1",
            "[::ffff:127.0.0.1]",
            "127.0.0.2",
            name.as_str(),
        ] {
            for listening in ["127.0.0.1:4318", "0.0.0.0:4318", "[::1]:4318", "localhost:4318"] {
                assert!(is_own(&format!("http://{host}:4318"), listening), "{host} at {listening}");
            }
            assert!(!is_own(&format!("http://{host}:4319"), "127.0.0.1:4318"), "another port of {host}");
        }
        assert!(is_own("http://u:p@localhost:4318/v1?x#y", "127.0.0.1:4318"));
        assert!(is_own("http://localhost", "127.0.0.1:80"), "the port that the scheme means");
    }

    #[test]
    fn other_machines_are_not_this_one() {
        for host in ["192.0.2.1", "[2001:db8::1]", "collector", "localhost.example.com", "notlocalhost"] {
            assert!(!is_own(&format!("http://{host}:4318"), "127.0.0.1:4318"), "{host}");
        }
        assert!(is_own("http://pacecar.svc:4318", "pacecar.svc:4318"));
    }
}
