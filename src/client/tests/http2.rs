//! HTTP/2 in clear text, with prior knowledge.

use super::*;
use crate::measure::Proto;
use crate::plan::HttpVersion;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::LocalSet;

/// A server that answers each request with its method, authority, path and body.
/// Its first `short` connections end after one answer.
pub(super) async fn echo(short: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let connections = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let answered = Arc::new(tokio::sync::Notify::new());
                let done = Arc::clone(&answered);
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    done.notify_one();
                    answer(request)
                });
                let connection =
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
                let mut connection = std::pin::pin!(connection);
                if number < short {
                    tokio::select! {
                        _ = connection.as_mut() => {}
                        () = async { answered.notified().await; tokio::time::sleep(Duration::from_millis(20)).await } => {
                            connection.as_mut().graceful_shutdown();
                            let _ = connection.await;
                        }
                    }
                } else {
                    let _ = connection.await;
                }
            });
        }
    });
    (address, count)
}

pub(super) async fn answer(
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Full<Bytes>>, std::convert::Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = format!(
        "{} {} {} {}",
        parts.method,
        parts.uri.authority().map_or("-", |authority| authority.as_str()),
        parts.uri.path(),
        String::from_utf8_lossy(&body)
    );
    Ok(http::Response::new(Full::from(text)))
}

fn http2_client() -> impl Asks {
    client(|config| config.version = HttpVersion::Http2)
}

#[tokio::test]
async fn one_connection_serves_all_requests() {
    LocalSet::new()
        .run_until(async {
            let (address, connections) = echo(0).await;
            let mut vu = http2_client();
            for _ in 0..5 {
                let answer = vu.answer(request("POST", format!("http://{address}/p"), "body")).await;
                assert_eq!(answer.body, format!("POST {address} /p body"));
                assert_eq!(answer.exchange.proto, Proto::Http2);
                assert!(answer.exchange.timings.duration() > Duration::ZERO);
            }
            assert_eq!(connections.load(Ordering::SeqCst), 1);
        })
        .await;
}

#[tokio::test]
async fn a_host_of_the_plans_own_is_the_authority() {
    LocalSet::new()
        .run_until(async {
            let (address, _) = echo(0).await;
            let asked = with_header(get(format!("http://{address}/p")), "host", "other.test");
            assert_eq!(http2_client().answer(asked).await.body, "GET other.test /p ");
        })
        .await;
}

#[tokio::test]
async fn a_connection_that_ended_is_replaced() {
    LocalSet::new()
        .run_until(async {
            let (address, connections) = echo(1).await;
            let mut vu = http2_client();
            vu.answer(get(format!("http://{address}/1"))).await;
            tokio::time::sleep(Duration::from_millis(60)).await;
            let answer = vu.answer(request("POST", format!("http://{address}/2"), "b")).await;
            assert_eq!(answer.body, format!("POST {address} /2 b"));
            assert!(answer.exchange.stale);
            assert_eq!(connections.load(Ordering::SeqCst), 2);
        })
        .await;
}

#[tokio::test]
async fn without_keep_alive_each_request_has_its_own() {
    LocalSet::new()
        .run_until(async {
            let (address, connections) = echo(0).await;
            let mut vu = client(|config| {
                config.version = HttpVersion::Http2;
                config.keep_alive = false;
            });
            for _ in 0..3 {
                assert_eq!(vu.answer(get(format!("http://{address}/"))).await.status, 200);
            }
            assert_eq!(connections.load(Ordering::SeqCst), 3);
        })
        .await;
}

#[tokio::test]
async fn a_server_that_speaks_no_http2_fails() {
    LocalSet::new()
        .run_until(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
                }
            });
            let failure = http2_client().fail(get(url)).await;
            assert!(matches!(failure.kind, FailureKind::Protocol | FailureKind::Reset), "{failure:?}");
        })
        .await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_reset() {
    LocalSet::new()
        .run_until(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let mut buffer = [0; 4096];
                    let _ = stream.read(&mut buffer).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let _ = stream.set_zero_linger();
                }
            });
            assert_failed(&http2_client().fail(get(url)).await, FailureKind::Reset);
        })
        .await;
}

#[tokio::test]
async fn a_vu_that_ends_closes_its_connection() {
    LocalSet::new()
        .run_until(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let closed = tokio::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service_fn(answer);
                let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
            let mut vu = http2_client();
            vu.answer(get(url)).await;
            drop(vu);
            tokio::time::timeout(Duration::from_secs(2), closed).await.expect("the connection was closed").unwrap();
        })
        .await;
}
