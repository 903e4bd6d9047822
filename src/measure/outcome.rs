//! How a request ended, as enums, classified where it happens.

use super::exchange::Exchange;
use std::fmt;

/// Why a request got no (whole) answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The connection was reset, or closed before the answer was whole.
    Reset,
    /// Nobody listens there.
    Refused,
    /// The request ran out of time.
    Timeout,
    /// The TLS handshake failed.
    Tls,
    /// The name could not be resolved.
    Dns,
    /// What came back is not HTTP.
    Protocol,
    /// The answer is larger than pacecar is willing to read.
    TooLarge,
    /// The URL or a header cannot be sent.
    InvalidRequest,
    /// The guard does not allow this host.
    Forbidden,
    /// Connecting failed in another way: no route, no free port, too many open files.
    Connect,
}

/// A request that got no (whole) answer, and what is known of it.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// What is known of the exchange so far.
    pub exchange: Exchange,
    /// The cause, for a log line.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Which HTTP an answer came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Proto {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

/// Which TLS a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.2
    V12,
    /// TLS 1.3
    V13,
}

// === impl FailureKind ===

impl FailureKind {
    /// k6's number for it.
    #[must_use]
    pub const fn error_code(self) -> u16 {
        match self {
            Self::Protocol | Self::TooLarge | Self::InvalidRequest | Self::Forbidden => 1000,
            Self::Dns => 1100,
            Self::Connect => 1210,
            Self::Refused => 1212,
            Self::Reset => 1220,
            Self::Timeout => 1050,
            Self::Tls => 1300,
        }
    }

    /// What stands in the tag `error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "connection reset by peer",
            Self::Refused => "connection refused",
            Self::Timeout => "request timeout",
            Self::Tls => "tls handshake failed",
            Self::Dns => "name could not be resolved",
            Self::Protocol => "malformed answer",
            Self::TooLarge => "answer too large",
            Self::InvalidRequest => "invalid request",
            Self::Forbidden => "host not allowed",
            Self::Connect => "connecting failed",
        }
    }
}

// === impl Failure ===

impl Failure {
    /// A failure about which nothing else is known.
    #[must_use]
    pub fn new(kind: FailureKind) -> Self {
        Self { kind, exchange: Exchange::default(), source: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

// === impl Proto, TlsVersion ===

impl Proto {
    /// k6's tag value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

impl TlsVersion {
    /// k6's tag value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V12 => "tls1.2",
            Self::V13 => "tls1.3",
        }
    }
}
