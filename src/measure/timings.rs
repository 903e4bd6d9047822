//! The phases of one request, k6's.

use std::time::Duration;

/// The phases of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Waiting for a connection slot (and for the name to resolve), before connecting.
    pub blocked: Duration,
    /// Establishing the TCP connection; zero on a reused one.
    pub connecting: Duration,
    /// The TLS handshake; zero on a reused connection.
    pub tls_handshaking: Duration,
    /// Writing the request.
    pub sending: Duration,
    /// From the request's last byte to the answer's first.
    pub waiting: Duration,
    /// From the answer's first byte to its last.
    pub receiving: Duration,
}

impl Timings {
    /// k6's `http_req_duration`: sending + waiting + receiving.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.sending + self.waiting + self.receiving
    }

    /// k6's `http_req_blocked`: all that stood between the wish to send and the first byte sent, so connecting and
    /// the TLS handshake are in it. It is not part of [`Self::duration`].
    #[must_use]
    pub fn until_connected(&self) -> Duration {
        self.blocked + self.connecting + self.tls_handshaking
    }
}
