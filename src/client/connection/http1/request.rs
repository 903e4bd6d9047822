//! The head of a request as it goes over the wire.

use crate::client::Request;
use crate::client::connection::host::Host;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method};

/// Writes a request's head, and answers whether its connection may be used again afterwards.
///
/// What follows from the URL and the body is added here and not in the request, which another
/// connection may have to send. The body's length is ours to say, whatever the plan wrote.
pub(super) fn write(request: &Request, host: &Host, keep_alive: bool, length: usize, out: &mut Vec<u8>) -> bool {
    let (method, headers) = (request.method(), request.headers());
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if !path.starts_with('/') {
        // `http://host?query`
        out.push(b'/');
    }
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !headers.contains_key(HOST) {
        field(b"host", host.header.as_bytes(), out);
    }
    if let Some(authorization) = &host.authorization
        && !headers.contains_key(AUTHORIZATION)
    {
        field(b"authorization", authorization.as_bytes(), out);
    }
    for (name, value) in headers {
        if *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || (*name == CONNECTION && !keep_alive) {
            continue;
        }
        field(name.as_str().as_bytes(), value.as_bytes(), out);
    }
    if !keep_alive {
        field(b"connection", b"close", out);
    }
    // As Go: some servers refuse a POST that does not say how long it is.
    if length > 0 || matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        out.extend_from_slice(b"content-length: ");
        decimal(length, out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    keep_alive && !asks_to_close(headers)
}

/// Whether any `connection` asks to close.
pub(super) fn asks_to_close(headers: &HeaderMap) -> bool {
    has_token(headers, "close")
}

/// Whether any `connection` has this word.
pub(super) fn has_token(headers: &HeaderMap, word: &str) -> bool {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
}

fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal, without the machinery of formatting.
fn decimal(number: usize, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
