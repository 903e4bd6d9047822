//! What the client costs per request: its layers alone, over a target in memory, and all of
//! it over loopback against a raw server on another thread. Bare hyper stands beside it.

#![allow(missing_docs, clippy::expect_used)]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::HeaderValue;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use pacecar::client::{ClientConfig, Request, Shared};
use pacecar::measure::{Failure, RequestContext, Traffic};
use pacecar::semconv::{RunId, SpanId, TraceId};
use std::convert::Infallible;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tower::Service;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"token\":\"abc\"}";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A request as a workflow prepares it.
fn request(uri: &http::Uri) -> Request {
    let mut request = Request::new(Full::from(Bytes::from_static(b"{\"prompt\":\"hello\"}")));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri.clone();
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer abc"));
    request.extensions_mut().insert(RequestContext {
        trace: TraceId::of_run(RunId::new(1), 7),
        span: SpanId::new(9),
        baggage: HeaderValue::from_static("pacecar.run=0000000000000001,pacecar.scenario=s,pacecar.tenant=1"),
        iteration: 1,
        due: Instant::now(),
    });
    request
}

async fn ask<S, B>(service: &mut S, request: Request) -> Bytes
where
    S: Service<Request, Response = http::Response<B>, Error = Failure>,
    B: Body<Data = Bytes, Error = Failure>,
{
    let response = service.call(request).await.expect("an answer");
    response.into_body().collect().await.expect("a body").to_bytes()
}

/// Answers every piece that comes, which on loopback is a request.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) && stream.write_all(ANSWER).is_ok() {}
            });
        }
    });
    address
}

fn in_memory(criterion: &mut Criterion) {
    let runtime = runtime();
    let target = tower::service_fn(|_: Request| async {
        Ok::<_, Infallible>(http::Response::new(Full::from(Bytes::from_static(b"{}"))))
    });
    let uri: http::Uri = "http://127.0.0.1:8080/api/llm/chat".parse().expect("a URI");
    criterion.bench_function("preparing a request", |bencher| bencher.iter(|| black_box(request(&uri))));
    for (name, redirects) in [("stack in memory", 10), ("stack in memory, no redirects", 0)] {
        let config = ClientConfig { redirects, ..ClientConfig::default() };
        let mut vu = Shared::new(config).worker().vu_over(target);
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(async { black_box(ask(&mut vu, request(&uri)).await) }));
        });
    }
}

fn loopback(criterion: &mut Criterion) {
    let runtime = runtime();
    let address = server();
    let uri: http::Uri = format!("http://{address}/api/llm/chat").parse().expect("a URI");
    let mut vu = Shared::new(ClientConfig::default()).worker().vu(Traffic::default());
    criterion.bench_function("stack over loopback", |bencher| {
        bencher.iter(|| runtime.block_on(async { black_box(ask(&mut vu, request(&uri)).await) }));
    });

    let mut sender = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        sender
    });
    let path: http::Uri = "/api/llm/chat".parse().expect("a URI");
    criterion.bench_function("bare hyper over loopback", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut request = request(&path);
                request.headers_mut().insert("host", HeaderValue::from_static("127.0.0.1"));
                sender.ready().await.expect("ready");
                let response = sender.send_request(request).await.expect("an answer");
                black_box(response.into_body().collect().await.expect("a body").to_bytes())
            })
        });
    });
}

criterion_group!(benches, in_memory, loopback);
criterion_main!(benches);
