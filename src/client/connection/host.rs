//! Where a VU's requests go: one [`Host`] per scheme and authority, with what is prepared
//! for its requests and with its idle connections.

use super::http1::Http1;
use super::http2::Http2;
use http::Uri;
use http::header::HeaderValue;
use http::uri::{Authority, Scheme};
use std::cell::RefCell;
use std::rc::Rc;

/// How many idle connections a VU keeps to one host: k6's `batchPerHost`.
const MAX_IDLE: usize = 6;

/// How many hosts a VU keeps connections to; the one that was used longest ago goes first.
const MAX_HOSTS: usize = 64;

/// The hosts of one VU, the one used last first.
#[derive(Debug, Default)]
pub(crate) struct Hosts(RefCell<Vec<Rc<Host>>>);

/// One host of one VU.
#[derive(Debug)]
pub(crate) struct Host {
    /// `http` or `https`.
    pub(crate) scheme: Scheme,
    /// As the URL has it.
    authority: Authority,
    /// Without user and password.
    pub(crate) bare: Authority,
    /// The name or address, an IPv6 address without its brackets.
    pub(crate) name: Box<str>,
    /// The port, the scheme's where the URL has none.
    pub(crate) port: u16,
    /// What stands in `host`.
    pub(crate) header: HeaderValue,
    /// What the URL's user and password make of `authorization`.
    pub(crate) authorization: Option<HeaderValue>,
    #[allow(clippy::vec_box, reason = "a connection is handed on with each request: as a pointer, not as a kilobyte")]
    idle: RefCell<Vec<Box<Http1>>>,
    http2: RefCell<Option<Rc<Http2>>>,
}

// === impl Hosts ===

impl Hosts {
    /// The host of a URL; none where it is no absolute HTTP URL.
    pub(crate) fn find(&self, uri: &Uri) -> Option<Rc<Host>> {
        let (scheme, authority) = (uri.scheme()?, uri.authority()?);
        let hosts = &mut *self.0.borrow_mut();
        let at = hosts.iter().position(|host| host.is(scheme, authority));
        match at {
            Some(0) => {}
            Some(at) => hosts[..=at].rotate_right(1),
            None => {
                let host = Host::new(scheme, authority)?;
                hosts.truncate(MAX_HOSTS - 1);
                hosts.insert(0, Rc::new(host));
            }
        }
        hosts.first().cloned()
    }
}

// === impl Host ===

impl Host {
    fn new(scheme: &Scheme, authority: &Authority) -> Option<Self> {
        let default = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (user, bare) = match authority.as_str().rsplit_once('@') {
            Some((user, bare)) => (Some(user), bare.parse().ok()?),
            None => (None, authority.clone()),
        };
        let bare: Authority = bare;
        let name = bare.host().trim_start_matches('[').trim_end_matches(']');
        if name.is_empty() {
            return None;
        }
        // A port that is not a number is none: `http` lets `host:` and `host:99999` pass.
        let port = match bare.as_str().get(bare.host().len()..)? {
            "" | ":" => default,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        Some(Self {
            scheme: scheme.clone(),
            authority: authority.clone(),
            name: name.into(),
            port,
            header: HeaderValue::from_str(bare.as_str()).ok()?,
            authorization: user.and_then(basic),
            bare,
            idle: RefCell::default(),
            http2: RefCell::default(),
        })
    }

    fn is(&self, scheme: &Scheme, authority: &Authority) -> bool {
        self.scheme == *scheme && self.authority.as_str() == authority.as_str()
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_secure(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The idle connection that was used last.
    pub(crate) fn take(&self) -> Option<Box<Http1>> {
        self.idle.borrow_mut().pop()
    }

    /// Keeps an idle connection for the next request; one too many is closed.
    pub(crate) fn keep(&self, connection: Box<Http1>) {
        let idle = &mut *self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// The HTTP/2 connection, which serves any number of requests.
    pub(crate) fn http2(&self) -> Option<Rc<Http2>> {
        self.http2.borrow().clone()
    }

    /// Keeps an HTTP/2 connection, or forgets it.
    pub(crate) fn set_http2(&self, connection: Option<Rc<Http2>>) {
        *self.http2.borrow_mut() = connection;
    }
}

/// `authorization` of a URL's `user:password`, as Go and curl send it.
fn basic(user: &str) -> Option<HeaderValue> {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let mut plain: Vec<u8> = percent_encoding::percent_decode_str(user).collect();
    plain.push(b':');
    plain.extend(percent_encoding::percent_decode_str(password));
    let mut value = HeaderValue::from_str(&format!("Basic {}", base64(&plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Base64 with padding (RFC 4648): too little to bring a crate for.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let shift = 18 - 6 * digit;
            let used = digit <= chunk.len();
            text.push(if used { char::from(DIGITS[(bits >> shift) as usize & 63]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn host(uri: &str) -> Option<Rc<Host>> {
        Hosts::default().find(&uri.parse().unwrap())
    }

    #[test]
    fn a_url_says_where_to_connect() {
        let cases = [
            ("http://a.test/x", "a.test", 80, "a.test"),
            ("https://a.test", "a.test", 443, "a.test"),
            ("http://[::1]:8080/", "::1", 8080, "[::1]:8080"),
            ("http://u:p@a.test:81/", "a.test", 81, "a.test:81"),
        ];
        for (uri, name, port, header) in cases {
            let host = host(uri).unwrap();
            assert_eq!((&*host.name, host.port, host.header.to_str().unwrap()), (name, port, header), "{uri}");
        }
    }

    #[test]
    fn what_is_no_http_url_has_no_host() {
        for uri in ["/x", "ftp://a.test/", "a.test:80", "http://a.test:99999/", "http://:80/"] {
            let Ok(uri) = uri.parse::<Uri>() else { continue };
            assert!(Hosts::default().find(&uri).is_none(), "{uri}");
        }
    }

    #[test]
    fn user_and_password_become_basic_authorization() {
        let host = host("http://Aladdin:open%20sesame@a.test/").unwrap();
        assert_eq!(host.authorization.as_ref().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn hosts_are_found_again_and_bounded() {
        let hosts = Hosts::default();
        let find = |n: usize| hosts.find(&format!("http://h{n}.test/").parse().unwrap()).unwrap();
        let first = find(0);
        assert!(Rc::ptr_eq(&first, &find(0)));
        for n in 1..200 {
            find(n);
            assert!(Rc::ptr_eq(&find(0), &first), "a host in use stays");
        }
        assert_eq!(hosts.0.borrow().len(), MAX_HOSTS);
    }
}
