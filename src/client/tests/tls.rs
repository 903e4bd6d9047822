//! TLS: who is believed, what is agreed on, what is timed.

use super::*;
use crate::measure::{Proto, TlsVersion};
use crate::plan::HttpVersion;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

/// A server with a certificate that nobody knows, for `localhost`, that offers `protocols`.
async fn server(protocols: &[&str], versions: &[&'static rustls::SupportedProtocolVersion]) -> u16 {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let io = TokioIo::new(stream);
                let service = service_fn(super::http2::answer);
                if http2 {
                    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
                } else {
                    let _ = http1::Builder::new().serve_connection(io, service).await;
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn versions_are_agreed_on_and_named() {
    let cases = [
        (HttpVersion::Auto, &["h2", "http/1.1"][..], Proto::Http2),
        (HttpVersion::Auto, &["http/1.1"], Proto::Http11),
        (HttpVersion::Auto, &[], Proto::Http11),
        (HttpVersion::Http1, &["h2", "http/1.1"], Proto::Http11),
        (HttpVersion::Http2, &["h2", "http/1.1"], Proto::Http2),
    ];
    let local = LocalSet::new();
    for (version, offered, proto) in cases {
        local
            .run_until(async {
                let port = server(offered, rustls::ALL_VERSIONS).await;
                let mut vu = client(|config| {
                    config.version = version;
                    config.insecure_skip_verify = true;
                });
                for reused in [false, true] {
                    let answer = vu.answer(get(format!("https://localhost:{port}/x"))).await;
                    assert_eq!(answer.exchange.proto, proto, "{version:?} {offered:?}");
                    assert_eq!(answer.exchange.tls, Some(TlsVersion::V13));
                    assert_eq!(answer.exchange.timings.tls_handshaking.is_zero(), reused);
                    assert!(answer.exchange.timings.duration() > Duration::ZERO);
                }
            })
            .await;
    }
}

#[tokio::test]
async fn an_older_version_is_named_too() {
    let port = server(&["http/1.1"], &[&rustls::version::TLS12]).await;
    let answer =
        client(|config| config.insecure_skip_verify = true).answer(get(format!("https://127.0.0.1:{port}/"))).await;
    assert_eq!(answer.exchange.tls, Some(TlsVersion::V12));
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_is_a_tls_failure() {
    let port = server(&["http/1.1"], rustls::ALL_VERSIONS).await;
    let failure = client(|_| {}).fail(get(format!("https://localhost:{port}/"))).await;
    assert_failed(&failure, FailureKind::Tls);
    assert_eq!(failure.kind.error_code(), 1300);
    assert!(failure.exchange.timings.tls_handshaking > Duration::ZERO);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_a_tls_failure() {
    let server = Server::always(ok("")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let failure = client(|_| {}).fail(get(format!("https://127.0.0.1:{port}/"))).await;
    assert_failed(&failure, FailureKind::Tls);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_handshake_that_is_never_answered_runs_out_of_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut vu = client(|config| {
        config.timeout = Duration::from_millis(200);
        config.insecure_skip_verify = true;
    });
    let failure = vu.fail(get(format!("https://127.0.0.1:{port}/"))).await;
    assert_failed(&failure, FailureKind::Timeout);
    assert!(failure.exchange.timings.tls_handshaking > Duration::from_millis(100));
    drop(listener);
}
