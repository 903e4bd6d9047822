//! Why a request failed: decided here, from types and kinds, never from a message.

use super::connection::Http1Error;
use crate::measure::FailureKind;
use std::error::Error;
use std::io;

/// What a failed attempt to connect is.
pub(super) fn connecting(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureKind::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => FailureKind::Reset,
        // No route, no free port, too many open files, nobody answers.
        _ => FailureKind::Connect,
    }
}

/// What a failed TLS handshake is.
pub(super) fn handshaking(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            FailureKind::Reset
        }
        _ => FailureKind::Tls,
    }
}

/// What an error of an exchange over HTTP/1.1 is.
pub(super) fn answering(error: &Http1Error) -> FailureKind {
    match error {
        Http1Error::Io(error) => reading(error),
        Http1Error::Incomplete => FailureKind::Reset,
        Http1Error::TooLarge => FailureKind::TooLarge,
        Http1Error::Head(_) | Http1Error::Field(_) | Http1Error::Length(_) | Http1Error::Body(_) => {
            FailureKind::Protocol
        }
    }
}

/// What an error of an exchange over HTTP/2 is.
pub(super) fn exchanging(error: &hyper::Error) -> FailureKind {
    if error.is_parse() {
        return FailureKind::Protocol;
    }
    if let Some(io) = find::<io::Error>(error) {
        return reading(io);
    }
    // A 'user' error is hyper's word for a connection that went away under a request: our bodies cannot fail.
    let gone = error.is_incomplete_message() || error.is_closed() || error.is_canceled() || error.is_user();
    if gone || error.is_shutdown() { FailureKind::Reset } else { FailureKind::Protocol }
}

/// What an error of a connection that was up is.
fn reading(error: &io::Error) -> FailureKind {
    if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        return FailureKind::Tls;
    }
    match error.kind() {
        // What a socket says that counts heads without an end.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => FailureKind::Protocol,
        // The kernel gave the connection up.
        io::ErrorKind::TimedOut => FailureKind::Timeout,
        _ => FailureKind::Reset,
    }
}

/// The first cause of type `E`.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
