//! Bodies that come compressed, and bodies that are bombs.

use super::*;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn encoded(coding: &str, body: &[u8]) -> Server {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n", body.len());
    Server::always([head.as_bytes(), body].concat()).await
}

#[tokio::test]
async fn what_comes_compressed_is_decoded() {
    let zstd = b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello".to_vec();
    let brotli = b"\x0b\x02\x80hello\x03".to_vec();
    let cases = [
        ("gzip", gzip(b"hello")),
        ("X-GZIP", gzip(b"hello")),
        ("deflate", deflate(b"hello")),
        ("br", brotli),
        ("zstd", zstd),
    ];
    for (coding, body) in cases {
        let server = encoded(coding, &body).await;
        let mut vu = client(|_| {});
        for _ in 0..2 {
            let answer = vu.answer(get(server.url("/"))).await;
            assert_eq!(answer.body, "hello", "{coding}");
            assert_eq!(answer.headers["content-encoding"], coding, "what came stands there");
        }
        assert_eq!(server.connections(), 1, "{coding}: the connection is kept");
    }
}

#[tokio::test]
async fn an_unknown_coding_passes_as_it_is() {
    let server = encoded("rot13", b"uryyb").await;
    let answer = client(|_| {}).answer(get(server.url("/"))).await;
    assert_eq!((&answer.body[..], answer.headers.contains_key("content-encoding")), (&b"uryyb"[..], true));
}

#[tokio::test]
async fn what_does_not_decode_is_protocol() {
    for body in [&b"this is no gzip"[..], &gzip(b"hello, hello, hello")[..12]] {
        let server = encoded("gzip", body).await;
        assert_failed(&client(|_| {}).fail(get(server.url("/"))).await, FailureKind::Protocol);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_beneath_a_decoder_is_a_reset() {
    let body = gzip(&(0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>());
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    let half = [head.as_bytes(), &body[..body.len() / 2]].concat();
    let server = Server::new(move |_| vec![Act::Send(half.clone()), Act::Close]).await;
    assert_failed(&client(|_| {}).fail(get(server.url("/"))).await, FailureKind::Reset);
}

#[tokio::test]
async fn a_bomb_is_too_large() {
    let server = encoded("gzip", &gzip(&vec![0; 8 * 1024 * 1024])).await;
    let failure = client(|config| config.max_body = 1024 * 1024).fail(get(server.url("/"))).await;
    assert_failed(&failure, FailureKind::TooLarge);
}

#[tokio::test]
async fn an_answer_to_head_that_claims_a_coding_has_no_body() {
    let server = Server::always("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 33\r\n\r\n").await;
    let mut vu = client(|_| {});
    for _ in 0..2 {
        assert_eq!(vu.answer(request("HEAD", server.url("/"), "")).await.body, "");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_large_body_comes_whole_and_a_large_request_goes_whole() {
    let body = "0123456789".repeat(300_000);
    let server = Server::always(ok(&body)).await;
    let mut vu = client(|_| {});
    let mut asked = request("POST", server.url("/"), "");
    *asked.body_mut() = Full::from(body.clone());
    for _ in 0..2 {
        let answer = vu.answer(asked.clone()).await;
        assert!(answer.body == body.as_bytes());
    }
    assert!(server.seen()[1].body == body);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn frames_come_as_they_are_sent() {
    let server = Server::new(|_| {
        vec![
            Act::Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()),
            Act::Send(b"4\r\ndata\r\n".to_vec()),
            Act::Wait(Duration::from_millis(50)),
            Act::Send(b"4\r\nmore\r\n0\r\n\r\n".to_vec()),
        ]
    })
    .await;
    let mut service = Shared::new(ClientConfig::default()).worker().vu(Traffic::default());
    let mut body = service.call(get(server.url("/"))).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data");
    let first = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "more");
    assert!(first.elapsed() >= Duration::from_millis(30));
    assert!(body.frame().await.is_none());
}
