//! Where OTLP goes on to, and how: from `correlate.traces.forward`, or from OpenTelemetry's variables.
//!
//! `forward` is a base URL and always gets protobuf over HTTP. The variables say the rest (headers, timeout,
//! compression, certificate), for `forward` too: there is nowhere else to put a collector's token.

use super::environment::{self, Lookup};
use super::own_address;
use crate::correlate::otlp::Signal;
use http::HeaderMap;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use url::Url;

/// A collector: addresses and manners.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    /// One for each of [`Signal::ALL`]; none where only traces are asked for.
    endpoints: [Option<Url>; 3],
    pub(super) protocol: Protocol,
    /// Sent with each request. Values are marked sensitive, so no log shows them.
    pub(super) headers: HeaderMap,
    /// For one request, from the first byte to the last.
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    /// A PEM file of authorities, in place of the system's.
    pub(super) certificate: Option<PathBuf>,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`
    #[default]
    Http,
    /// `grpc`
    Grpc,
}

/// Why there is no such collector. No variant repeats a header or the user part of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CollectorError {
    /// Not an absolute `http` or `https` URL with a host.
    #[error("{name}: not a URL that begins with http:// or https:// and has a host")]
    Url {
        /// The key or variable that says so.
        name: String,
    },
    /// A variable whose value has no meaning.
    #[error("{name}: {problem}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An address where pacecar itself listens: it would feed itself for ever.
    #[error("{name} is an address of pacecar's own ({address})")]
    Own {
        /// The key or variable that says so.
        name: String,
        /// Where pacecar listens.
        address: String,
    },
}

// === impl Collector ===

impl Collector {
    /// The collector behind `correlate.traces.forward`: the base URL `base`. `lookup` finds a variable's value.
    ///
    /// # Errors
    /// [`CollectorError`] where the URL or a variable is malformed, which is exit 104.
    pub fn at(base: &str, lookup: &Lookup<'_>) -> Result<Self, CollectorError> {
        const NAME: &str = "correlate.traces.forward";
        let base = parse(NAME, base)?;
        let endpoints = Signal::ALL.map(|signal| Some(below(&base, signal)));
        environment::collector(endpoints, Protocol::Http, lookup, &["OTEL_EXPORTER_OTLP_"])
    }

    /// The collector that `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` names: for
    /// pacecar's own spans alone, where no `forward` is given. None where neither is set, or where
    /// `OTEL_SDK_DISABLED` or `OTEL_TRACES_EXPORTER=none` says that none is wanted.
    ///
    /// # Errors
    /// [`CollectorError`] where a variable is malformed, which is exit 104.
    pub fn from_environment(lookup: &Lookup<'_>) -> Result<Option<Self>, CollectorError> {
        environment::own_spans(lookup)
    }

    /// The collector of one signal: below the base URL `base`, or where the variables for it say, or at the default
    /// address on this machine. None where `OTEL_…_EXPORTER=none` says that none is wanted.
    ///
    /// # Errors
    /// [`CollectorError`] where the URL or a variable is malformed, which is exit 104.
    pub fn of_signal(signal: Signal, base: Option<&str>, lookup: &Lookup<'_>) -> Result<Option<Self>, CollectorError> {
        environment::of_signal(signal, base, lookup)
    }

    /// Whether both send `signal` to the same address.
    #[must_use]
    pub fn shares(&self, other: &Self, signal: Signal) -> bool {
        self.endpoint(signal).is_some() && self.endpoint(signal) == other.endpoint(signal)
    }

    /// Refuses a collector that is pacecar itself, however the host is spelt. `listening` are the addresses that
    /// pacecar listens on, `HOST:PORT` each: the receiver's, and that of its control.
    ///
    /// # Errors
    /// [`CollectorError::Own`], which is exit 104.
    pub fn refuse_own(&self, name: &str, listening: &[&str]) -> Result<(), CollectorError> {
        for url in self.endpoints.iter().flatten() {
            if let Some(address) = listening.iter().find(|address| own_address::same(url, address)) {
                return Err(CollectorError::Own { name: name.to_owned(), address: (*address).to_owned() });
            }
        }
        Ok(())
    }

    /// Whether it takes metrics and logs too, and so what others sent.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.endpoints.iter().all(Option::is_some)
    }

    pub(super) fn new(endpoints: [Option<Url>; 3], protocol: Protocol) -> Self {
        Self {
            endpoints,
            protocol,
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(10),
            gzip: false,
            certificate: None,
        }
    }

    /// Where `signal` goes, if it goes anywhere.
    pub(super) fn endpoint(&self, signal: Signal) -> Option<&Url> {
        self.endpoints.get(signal as usize).and_then(Option::as_ref)
    }
}

/// Reads a URL that a key or variable called `name` holds. The error does not repeat it: it may hold a password.
pub(super) fn parse(name: &str, text: &str) -> Result<Url, CollectorError> {
    let refused = || CollectorError::Url { name: name.to_owned() };
    let url = Url::parse(text.trim()).map_err(|_| refused())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(refused()) }
}

/// Where `signal` goes below a base URL: `http://host/prefix` and `http://host/prefix/` are the same.
pub(super) fn below(base: &Url, signal: Signal) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{}", base.path().trim_end_matches('/'), signal.path()));
    url
}
