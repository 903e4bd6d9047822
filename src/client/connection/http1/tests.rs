//! What is pure in HTTP/1.1: heads, and where bodies end. Sockets are in `client/tests`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::answer::{Parsed, parse};
use super::framing::{Framing, FramingError};
use super::{Asked, Http1Error, MAX_BUFFER};
use crate::client::Request;
use crate::client::connection::host::Hosts;
use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use proptest::prelude::*;

fn read(head: &str, asked: Asked) -> Result<(u16, Framing, bool), Http1Error> {
    let mut held = Bytes::copy_from_slice(head.as_bytes());
    match parse(&mut held, asked)? {
        Parsed::Whole { head, framing, keep } => Ok((head.status.as_u16(), framing, keep)),
        other => panic!("{other:?}"),
    }
}

fn written(request: &Request, keep_alive: bool) -> (String, bool) {
    let host = Hosts::default().find(request.uri()).unwrap();
    let mut out = Vec::new();
    let length = super::whole(request.body().clone()).len();
    let keep = super::request::write(request, &host, keep_alive, length, &mut out);
    (String::from_utf8(out).unwrap(), keep)
}

fn request(method: &str, uri: &str, body: &'static str) -> Request {
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = uri.parse().unwrap();
    request
}

/// Takes all of a body that comes in these pieces, and how it ended.
fn taken(mut framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, usize), FramingError> {
    let (mut body, mut rest) = (Vec::new(), 0);
    for piece in pieces {
        let mut held = Bytes::copy_from_slice(piece);
        while let Some(data) = framing.take(&mut held)? {
            body.extend_from_slice(&data);
        }
        rest += held.len();
    }
    Ok((body, framing.is_over(), rest))
}

#[test]
fn the_end_of_a_body_follows_from_the_head_as_the_rfc_says() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Framing::Ended, true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n", Framing::chunked(), true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n", Framing::chunked(), true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n", Framing::UntilClose, false),
        ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, false),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", Framing::Ended, true),
        ("HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n", Framing::Ended, true),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Framing::Ended, false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: x, Close\r\n\r\n", Framing::Length(5), false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\n", Framing::Length(5), true),
        (
            "HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: close\r\nconnection: keep-alive\r\n\r\n",
            Framing::Length(5),
            false,
        ),
    ];
    for (head, framing, keep) in cases {
        let (_, found, kept) = read(head, Asked::Other).unwrap();
        assert_eq!((found, kept), (framing, keep), "{head}");
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(read(head, Asked::Head).unwrap(), (200, Framing::Ended, true));
    assert_eq!(read(head, Asked::Connect).unwrap(), (200, Framing::Ended, false));
}

#[test]
fn a_head_that_says_two_things_is_none() {
    for (head, error) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", FramingError::ContentLength),
        ("HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n", FramingError::ContentLength),
        ("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", FramingError::ContentLength),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5,\r\n\r\n", FramingError::ContentLength),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", FramingError::ContentLength),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", FramingError::TransferEncoding),
    ] {
        assert!(matches!(read(head, Asked::Other), Err(Http1Error::Length(found)) if found == error), "{head}");
    }
    for head in
        ["HTTP/1.1 99 X\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nx y: z\r\n\r\n", "ICY 200 OK\r\n\r\n"]
    {
        assert!(read(head, Asked::Other).is_err(), "{head}");
    }
    let headed = |count: usize| format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(count));
    for count in [100, 101, 4095] {
        assert_eq!(read(&headed(count), Asked::Other).unwrap(), (200, Framing::Ended, true), "{count}");
    }
    let many = headed(4096);
    assert!(matches!(read(&many, Asked::Other), Err(Http1Error::Head(_))));
    assert!(many.len() < MAX_BUFFER);
}

#[test]
fn a_request_says_where_it_goes_and_how_long_it_is() {
    let lines = |method, uri, body| written(&request(method, uri, body), true).0;
    assert_eq!(lines("GET", "http://a.test/x?y#z", ""), "GET /x?y HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(lines("GET", "http://a.test:81", ""), "GET / HTTP/1.1\r\nhost: a.test:81\r\n\r\n");
    assert_eq!(lines("GET", "http://a.test?q", ""), "GET /?q HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(lines("POST", "http://a.test/", ""), "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(lines("PUT", "http://a.test/", "0123456789ab").lines().last(), Some(""));
    assert!(lines("PUT", "http://a.test/", "0123456789ab").contains("\r\ncontent-length: 12\r\n"));
    assert!(lines("GET", "http://u:p@a.test/", "").contains("\r\nauthorization: Basic dTpw\r\n"));
}

#[test]
fn what_the_plan_wrote_of_host_and_authorization_stays_and_of_lengths_does_not() {
    let mut asked = request("POST", "http://u:p@a.test/", "abc");
    for (name, value) in
        [("host", "b.test"), ("authorization", "x"), ("content-length", "7"), ("transfer-encoding", "y")]
    {
        asked.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let (text, keep) = written(&asked, true);
    assert_eq!(text, "POST / HTTP/1.1\r\nhost: b.test\r\nauthorization: x\r\ncontent-length: 3\r\n\r\n");
    assert!(keep);
}

#[test]
fn a_connection_that_is_to_be_closed_says_so_once() {
    let mut asked = request("GET", "http://a.test/", "");
    assert!(written(&asked, false).0.contains("\r\nconnection: close\r\n"));
    asked.headers_mut().insert("connection", HeaderValue::from_static("upgrade, Close"));
    let (text, keep) = written(&asked, false);
    assert_eq!((text.matches("connection").count(), keep), (1, false));
    assert!(!written(&asked, true).1, "the plan's own close counts");
}

#[test]
fn chunks_are_taken_and_nothing_behind_them() {
    let body = b"3\r\nabc\r\n0A ;x=\"y\"\r\n0123456789\r\n0\r\nt: u\r\nv:\r\n\r\nHTTP";
    let (taken, over, rest) = taken(Framing::chunked(), &[body]).unwrap();
    assert_eq!((&taken[..], over, rest), (&b"abc0123456789"[..], true, 4));
}

#[test]
fn what_is_no_chunk_is_an_error() {
    let long = format!("1;{}", "x".repeat(20_000));
    let trailers = format!("0\r\n{}", "x: y\r\n".repeat(5_000));
    for (body, error) in [
        ("zz\r\n", FramingError::ChunkSize),
        ("\r\n", FramingError::ChunkSize),
        ("-1\r\n", FramingError::ChunkSize),
        ("1 2\r\n", FramingError::ChunkSize),
        ("1\n", FramingError::ChunkSize),
        ("1;x\n", FramingError::ChunkSize),
        ("1\rx", FramingError::ChunkSize),
        ("11111111111111111\r\n", FramingError::ChunkSize),
        ("1\r\nab", FramingError::ChunkEnd),
        ("1\r\na\rb", FramingError::ChunkEnd),
        ("0\r\n\rx", FramingError::ChunkEnd),
        ("0\r\nx: y\rz", FramingError::ChunkEnd),
        (&long, FramingError::Aside),
        (&trailers, FramingError::Aside),
    ] {
        assert_eq!(taken(Framing::chunked(), &[body.as_bytes()]), Err(error), "{:.20}", body);
    }
}

#[test]
fn only_a_body_without_a_length_ends_with_its_connection() {
    let mut until = Framing::UntilClose;
    assert_eq!(taken(until, &[b"ab", b"c"]).unwrap(), (b"abc".to_vec(), false, 0));
    assert!(until.end_with_connection() && until.is_over());
    for mut framing in [Framing::length(1), Framing::chunked()] {
        assert!(!framing.end_with_connection());
    }
}

proptest! {
    /// A body is the same however the network cuts it up.
    #[test]
    fn a_body_does_not_depend_on_how_it_is_cut_up(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        cuts in prop::collection::vec(1_usize..20, 1..60),
        sized in any::<bool>(),
    ) {
        let body: Vec<u8> = chunks.concat();
        let (framing, mut wire) = if sized {
            (Framing::length(body.len() as u64), body.clone())
        } else {
            let mut wire: Vec<u8> = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x};e\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\na: b\r\n\r\n");
            (Framing::chunked(), wire)
        };
        wire.extend_from_slice(b"next");
        let (mut pieces, mut rest) = (Vec::new(), &wire[..]);
        for cut in cuts.iter().cycle() {
            let (piece, left) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        let (found, over, behind) = taken(framing, &pieces).unwrap();
        prop_assert_eq!((found, over, behind), (body, true, 4));
    }

    /// Whatever a server says is an answer, a part of one, or an error.
    #[test]
    fn any_head_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), start in any::<bool>()) {
        let mut text = if start { b"HTTP/1.1 200 OK\r\n".to_vec() } else { Vec::new() };
        text.extend(bytes);
        let mut held = Bytes::from(text);
        let _ = parse(&mut held, Asked::Other);
    }
}
