//! Names to addresses, once per worker and name for a while.
//!
//! VUs that start together ask once: the first asks, the others wait for its answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer holds.
const TTL: Duration = Duration::from_secs(60);

/// How long a failure holds: long enough that a thousand VUs do not ask a thousand times.
const FAILURE_TTL: Duration = Duration::from_secs(1);

/// How many names are remembered.
const MAX_NAMES: usize = 256;

/// The names that one worker has asked for.
#[derive(Debug, Default)]
pub(crate) struct Resolver(RefCell<HashMap<Box<str>, Rc<Name>>>);

/// One name: held locked while it is asked for.
#[derive(Debug, Default)]
struct Name(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    /// Empty: it could not be resolved.
    addresses: Rc<[IpAddr]>,
    until: Instant,
}

// === impl Resolver ===

impl Resolver {
    /// The addresses of a name, in the order in which they are to be tried.
    ///
    /// # Errors
    /// Whatever the system's resolver says; also where there is no address.
    pub(crate) async fn resolve(&self, name: &str) -> io::Result<Rc<[IpAddr]>> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(Rc::new([address]));
        }
        // RFC 6761; both, because a server may listen on either, and the hosts file may know one only.
        if name.eq_ignore_ascii_case("localhost") {
            return Ok(Rc::new([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
        }
        let entry = self.entry(name);
        let mut known = entry.0.lock().await;
        if let Some(known) = known.as_ref().filter(|known| Instant::now() < known.until) {
            return found(&known.addresses);
        }
        let asked = tokio::net::lookup_host((name, 0)).await;
        let addresses: Vec<IpAddr> = match &asked {
            Ok(_) => asked?.map(|address| address.ip()).collect(),
            Err(error) => {
                tracing::debug!(name, %error, "name could not be resolved");
                Vec::new()
            }
        };
        let ttl = if addresses.is_empty() { FAILURE_TTL } else { TTL };
        let addresses: Rc<[IpAddr]> = addresses.into();
        *known = Some(Known { addresses: Rc::clone(&addresses), until: Instant::now() + ttl });
        found(&addresses)
    }

    fn entry(&self, name: &str) -> Rc<Name> {
        let names = &mut *self.0.borrow_mut();
        if let Some(entry) = names.get(name) {
            return Rc::clone(entry);
        }
        if names.len() >= MAX_NAMES {
            // Whoever still waits for one of them keeps it; the others ask anew.
            names.clear();
        }
        Rc::clone(names.entry(name.into()).or_default())
    }
}

fn found(addresses: &Rc<[IpAddr]>) -> io::Result<Rc<[IpAddr]>> {
    if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(Rc::clone(addresses)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn addresses_need_no_resolver_and_localhost_is_both() {
        let resolver = Resolver::default();
        assert_eq!(&*resolver.resolve("::1").await.unwrap(), &[IpAddr::from(Ipv6Addr::LOCALHOST)]);
        assert_eq!(resolver.resolve("LocalHost").await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_is_an_error_and_remembered() {
        let resolver = Resolver::default();
        assert!(resolver.resolve("no such name").await.is_err());
        assert_eq!(resolver.0.borrow().len(), 1);
        assert!(resolver.resolve("no such name").await.is_err());
    }
}
