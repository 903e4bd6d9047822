//! The client against real sockets of this process: raw servers that do what a script says,
//! so that each way in which a server can misbehave is one line here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod cookies;
mod failures;
mod headers;
mod http2;
mod in_process;
mod keep_alive;
mod proofs;
mod redirects;
mod tls;

use super::{ClientConfig, Request, Shared};
use crate::measure::{Exchange, Failure, FailureKind, RequestContext, Traffic};
use crate::semconv::{RunId, SpanId, TraceId};
use bytes::Bytes;
use http::HeaderValue;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tower::Service;

/// What a server does once it has a request.
#[derive(Clone, Debug)]
enum Act {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Closes the connection as one should.
    Close,
    /// Resets the connection.
    Reset,
    /// Writes these bytes for ever.
    Forever(Vec<u8>),
    /// Says nothing any more.
    Hang,
    /// Goes on when the test says so.
    When(Arc<tokio::sync::Notify>),
}

/// One request as it came.
#[derive(Clone, Debug)]
struct Seen {
    /// Which connection it came on, from 0.
    connection: usize,
    /// Which request of the server it is, from 0.
    number: usize,
    /// Its first line and headers, names in lower case as hyper writes them.
    head: String,
    body: String,
}

/// A server in this process.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

/// An answer that was read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
    exchange: Exchange,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

impl Server {
    /// Serves what `script` says of each request.
    async fn new(script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicUsize>::default());
        let script = Arc::new(script);
        let (all, count) = (Arc::clone(&seen), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(converse(stream, connection, Arc::clone(&script), Arc::clone(&all)));
            }
        });
        Self { address, seen, connections }
    }

    /// Serves `answer` to all.
    async fn always(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |_| vec![Act::Send(answer.clone())]).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads requests and does what the script says, until it says so or the client hangs up.
async fn converse<F>(mut stream: TcpStream, connection: usize, script: Arc<F>, all: Arc<Mutex<Vec<Seen>>>)
where
    F: Fn(&Seen) -> Vec<Act>,
{
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
        let mut request = Seen { connection, number: 0, head, body: String::new() };
        let len: usize = request.header("content-length").map_or(0, |len| len.parse().unwrap());
        while buffer.len() < len {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        request.body = String::from_utf8(buffer.drain(..len).collect()).unwrap();
        let acts = {
            let mut all = all.lock().unwrap();
            request.number = all.len();
            all.push(request.clone());
            script(&request)
        };
        for act in acts {
            match act {
                Act::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Act::Wait(time) => tokio::time::sleep(time).await,
                Act::Close => return,
                Act::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
                Act::Forever(bytes) => while stream.write_all(&bytes).await.is_ok() {},
                Act::Hang => std::future::pending().await,
                Act::When(now) => now.notified().await,
            }
        }
    }
}

/// An answer with a body.
fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A redirect.
fn redirect(status: u16, location: &str) -> Vec<Act> {
    vec![Act::Send(format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 4\r\n\r\nmove").into())]
}

/// The client of a VU, with `change` applied to the default configuration.
fn client(change: impl FnOnce(&mut ClientConfig)) -> impl Asks {
    let mut config = ClientConfig { timeout: Duration::from_secs(5), ..ClientConfig::default() };
    change(&mut config);
    Shared::new(config).worker().vu(Traffic::default())
}

/// A VU's client, whatever its type.
trait Asks {
    /// Asks and reads the answer to its end.
    async fn ask(&mut self, request: Request) -> Result<Answer, Failure>;

    /// Asks for a failure.
    async fn fail(&mut self, request: Request) -> Failure {
        let started = Instant::now();
        let failure = self.ask(request).await.expect_err("this should fail");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        failure
    }

    /// Asks for an answer.
    async fn answer(&mut self, request: Request) -> Answer {
        self.ask(request).await.expect("this should be answered")
    }
}

impl<S, B> Asks for S
where
    S: Service<Request, Response = http::Response<B>, Error = Failure>,
    B: Body<Data = Bytes, Error = Failure>,
{
    async fn ask(&mut self, request: Request) -> Result<Answer, Failure> {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await?;
        let (mut parts, body) = self.call(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let exchange = parts.extensions.remove().expect("each answer carries its exchange");
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, exchange })
    }
}

/// What the workflow says of a request of this iteration.
fn context(iteration: u64) -> RequestContext {
    RequestContext {
        trace: TraceId::of_run(RunId::new(0x0123_4567_89ab_cdef), 7),
        span: SpanId::new(0xaa),
        baggage: HeaderValue::from_static("pacecar.run=0123456789abcdef"),
        iteration,
        due: Instant::now(),
    }
}

fn request(method: &str, url: impl AsRef<str>, body: &'static str) -> Request {
    http::Request::builder().method(method).uri(url.as_ref()).extension(context(1)).body(Full::from(body)).unwrap()
}

fn get(url: impl AsRef<str>) -> Request {
    request("GET", url, "")
}

fn with_header(mut request: Request, name: &'static str, value: &str) -> Request {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// A kind and the phases that must have taken time.
fn assert_failed(failure: &Failure, kind: FailureKind) {
    assert_eq!(failure.kind, kind, "{failure:?}");
}
