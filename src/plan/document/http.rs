//! `http:`: what holds for every request.

use super::Text;
use crate::plan::span::Spanned;
use std::time::Duration;

/// What holds for every request.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The time a request may take, body included. Default 60 s.
    pub timeout: Spanned<Duration>,
    /// How many redirects are followed. Default 10.
    pub redirects: Spanned<u32>,
    /// Which HTTP. Default [`HttpVersion::Auto`].
    pub version: HttpVersion,
    /// Whether a connection serves more than one request. Default true.
    pub keep_alive: bool,
    /// Whether certificates go unchecked. Default false.
    pub insecure_skip_verify: bool,
    /// Headers of every request: name and template.
    pub headers: Vec<(Text, Text)>,
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/2 over TLS where ALPN agrees, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only. Written `1.1`.
    Http1,
    /// HTTP/2 only, in clear text with prior knowledge. Written `2`.
    Http2,
}
