//! The receiver's sockets: what its clients see, and what those see who mean harm.

use super::*;
use crate::correlate::otlp::Signal;
use crate::correlate::{Intake, ReceiverError};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::Write;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a request of HTTP/1.1 and returns all that comes back. Writing may fail where it is refused early.
async fn http(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";
const GZIP: &str = "content-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n";
const JSON: &str = "content-type: application/json; charset=utf-8\r\n";

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

fn frame(packed: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![packed];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// Calls a method of gRPC: the answer's headers, its body and its trailers.
async fn grpc(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &'static str)],
    body: Vec<u8>,
) -> (HeaderMap, Bytes, HeaderMap) {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::from(body)).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    connection.abort();
    (head.headers, collected.to_bytes(), trailers)
}

async fn grpc_status(address: SocketAddr, headers: &[(&'static str, &'static str)], body: Vec<u8>) -> String {
    let (head, _, trailers) = grpc(address, Signal::Traces.method(), headers, body).await;
    let status = trailers.get("grpc-status").or_else(|| head.get("grpc-status")).unwrap();
    status.to_str().unwrap().to_owned()
}

fn one() -> Bytes {
    traces(vec![span(ours(1))])
}

#[tokio::test]
async fn every_way_of_sending_arrives() {
    let (receiver, http_at, grpc_at, mut incoming, _forward) = receiver().await;
    let json = serde_json::to_vec(&ExportTraceServiceRequest::decode(one()).unwrap()).unwrap();
    for (headers, body) in [
        (PROTOBUF, one().to_vec()),
        (GZIP, gzip(&one())),
        (JSON, json.clone()),
        ("content-type: application/json\r\ncontent-encoding: gzip\r\n", gzip(&json)),
    ] {
        let answer = http(http_at, "/v1/traces", headers, &body).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{headers}: {answer}");
        assert_eq!(answer.contains("application/json") && answer.ends_with("{}"), headers.contains("json"), "{answer}");
    }
    for (headers, body) in [
        (&[][..], frame(0, &one())),
        (&[("grpc-encoding", "gzip")], frame(1, &gzip(&one()))),
        (&[("grpc-encoding", "gzip")], frame(0, &one())),
    ] {
        let (head, body, trailers) = grpc(grpc_at, Signal::Traces.method(), headers, body).await;
        assert_eq!(
            (&head["content-type"], &trailers["grpc-status"]),
            (&"application/grpc".parse().unwrap(), &"0".parse().unwrap())
        );
        assert_eq!(&body[..], [0; 5], "an empty message, framed");
    }
    for signal in [Signal::Metrics, Signal::Logs] {
        assert!(http(http_at, signal.path(), PROTOBUF, b"").await.starts_with("HTTP/1.1 200"));
        assert_eq!(grpc(grpc_at, signal.method(), &[], frame(0, b"")).await.2["grpc-status"], "0");
    }
    let mut expected: Option<Intake> = None;
    for _ in 0..7 {
        let batch = incoming.next().await.unwrap();
        let [item] = batch.items() else { panic!("{batch:?}") };
        assert_eq!(item, expected.get_or_insert_with(|| item.clone()));
    }
    let stats = receiver.stop().await;
    assert_eq!((stats.spans, stats.foreign, stats.rejected), (7, 0, 0));
}

#[tokio::test]
async fn what_is_wrong_has_its_own_answer_and_is_counted() {
    let (receiver, http_at, grpc_at, _incoming, _forward) = receiver().await;
    let bomb = gzip(&vec![0; 64 << 20]);
    let huge = vec![0; 9 << 20];
    let mut rejected = 0;
    for (path, headers, body, status, counts) in [
        ("/v1/traces", PROTOBUF, &b"garbage"[..], 400, 1),
        ("/v1/traces", PROTOBUF, &one()[..one().len() - 1], 400, 1),
        ("/v1/traces", JSON, b"{\"resourceSpans\":7}", 400, 1),
        ("/v1/logs", GZIP, b"no gzip", 400, 1),
        ("/v1/logs", GZIP, &gzip(&one())[..20], 400, 1),
        ("/v1/traces", GZIP, &bomb, 413, 1),
        ("/v1/traces", PROTOBUF, &huge, 413, 1),
        ("/v1/traces", "content-type: application/x-protobuf\r\ncontent-encoding: zstd\r\n", b"x", 415, 1),
        ("/v1/traces", "content-type: text/plain\r\n", b"x", 415, 1),
        ("/v1/traces", "", b"x", 415, 1),
        ("/v1/profiles", PROTOBUF, b"x", 404, 0),
        ("/", PROTOBUF, b"x", 404, 0),
    ] {
        let answer = http(http_at, path, headers, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {headers}: {answer}");
        rejected += counts;
        assert_eq!(receiver.stats().rejected, rejected, "{path} {headers}");
    }
    let json = http(http_at, "/v1/traces", JSON, b"[").await;
    assert!(json.contains("application/json") && json.contains("\"message\""), "{json}");
    rejected += 1;
    for (headers, body, status, counts) in [
        (&[][..], frame(0, b"garbage"), "3", 1),
        (&[], frame(1, &one()), "3", 1),
        (&[("grpc-encoding", "gzip")], frame(1, b"no gzip"), "3", 1),
        (&[("grpc-encoding", "gzip")], frame(1, &bomb), "8", 1),
        (&[], frame(0, &huge), "8", 1),
        (&[("grpc-encoding", "zstd")], frame(1, b"x"), "12", 1),
        (&[], frame(0, &one())[..20].to_vec(), "3", 1),
        (&[], [frame(0, &one()), frame(0, &one())].concat(), "3", 1),
        (&[], b"abc".to_vec(), "3", 1),
    ] {
        assert_eq!(grpc_status(grpc_at, headers, body).await, status, "{headers:?}");
        rejected += counts;
        assert_eq!(receiver.stats().rejected, rejected, "{headers:?}");
    }
    let (head, ..) = grpc(grpc_at, "/other.Service/Method", &[], frame(0, b"")).await;
    assert_eq!(head["grpc-status"], "12");
    assert_eq!(receiver.stop().await.spans, 0);
}

#[tokio::test]
async fn who_is_told_later_is_told_when() {
    let (receiver, http_at, grpc_at, _incoming, forward) = receiver().await;
    forward.close();
    let answer = http(http_at, "/v1/traces", PROTOBUF, &one()).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    let (head, ..) = grpc(grpc_at, Signal::Traces.method(), &[], frame(0, &one())).await;
    assert_eq!(head["grpc-status"], "14");
    assert!(head.contains_key("grpc-status-details-bin"));
    let stats = receiver.stop().await;
    assert_eq!((stats.spans, stats.later, stats.rejected), (0, 2, 0));
}

#[tokio::test]
async fn its_own_messages_are_refused() {
    let (receiver, http_at, grpc_at, _incoming, _forward) = receiver().await;
    let headers = format!("{PROTOBUF}pacecar-forwarded-by: {RUN}\r\n");
    assert!(http(http_at, "/v1/traces", &headers, &one()).await.starts_with("HTTP/1.1 508"));
    assert_eq!(grpc_status(grpc_at, &[("pacecar-forwarded-by", "0123456789abcdef")], frame(0, &one())).await, "3");
    // Another pacecar's are welcome.
    let headers = format!("{PROTOBUF}pacecar-forwarded-by: 00000000000000ff\r\n");
    assert!(http(http_at, "/v1/traces", &headers, &one()).await.starts_with("HTTP/1.1 200"));
    assert_eq!(receiver.stop().await.rejected, 2);
}

#[tokio::test]
async fn a_hundred_megabytes_are_refused_with_an_answer() {
    let (receiver, http_at, ..) = receiver().await;
    let answer = http(http_at, "/v1/traces", PROTOBUF, &vec![0; 100 << 20]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(receiver.stats().rejected, 1);
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let (receiver, http_at, _, _incoming, _forward) = receiver().await;
    let mut stream = TcpStream::connect(http_at).await.unwrap();
    let _ = stream.write_all(b"POST /v1/traces HTTP/1.1\r\n").await;
    // Far more than fits: at some point nobody reads any more.
    for at in 0..20_000 {
        if stream.write_all(format!("x-{at}: {}\r\n", "y".repeat(1000)).as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"));
    assert!(http(http_at, "/v1/traces", PROTOBUF, &one()).await.starts_with("HTTP/1.1 200"), "others are served on");
    drop(receiver);
}

#[tokio::test]
async fn who_never_finishes_keeps_nobody_waiting_and_stop_waits_for_nobody() {
    let (receiver, http_at, grpc_at, _incoming, _forward) = receiver().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(http_at).await.unwrap();
        let head = format!("POST /v1/traces HTTP/1.1\r\nhost: x\r\n{PROTOBUF}content-length: 8000000\r\n\r\nx");
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
        let mut stream = TcpStream::connect(grpc_at).await.unwrap();
        let _ = stream.write_all(b"PRI * HTTP/2.0\r\n").await;
        slow.push(stream);
    }
    assert!(http(http_at, "/v1/traces", PROTOBUF, &one()).await.starts_with("HTTP/1.1 200"));
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(30), receiver.stop()).await;
    assert_eq!(stopped.unwrap().spans, 1);
    assert!(TcpStream::connect(http_at).await.is_err(), "it listens on");
}

#[tokio::test]
async fn only_what_is_named_listens_and_a_taken_address_is_an_error() {
    let none = Bound::bind(&ReceiverConfig::default()).await.unwrap();
    assert_eq!((none.http(), none.grpc()), (None, None));
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = ReceiverConfig { grpc: Some(address.clone()), ..ReceiverConfig::default() };
    let ReceiverError::Bind { address: named, .. } = Bound::bind(&config).await.unwrap_err();
    assert_eq!(named, address);
}
