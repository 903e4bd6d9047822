//! How many times one iteration of the tenant workflow allocates, once it has run a while.
//!
//! The hot path allocates what a request cannot do without and nothing else; one more creeps in
//! without anybody noticing, so it is counted here. A number that falls may be lowered; one that
//! rises needs a reason. Of this thread only: the server of one test has its own. And what the layers
//! that an API embeds allocate for a real request: nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use pacecar::client::{ClientConfig, Shared};
use pacecar::measure::{Arrival, Finished, LayoutBuilder, Recorder, RecorderHandle, Traffic, VuId};
use pacecar::middleware::{InFlightLayer, SyntheticLayer, YieldLayer};
use pacecar::plan::{self, Variables};
use pacecar::semconv::RunId;
use pacecar::workflow::{self, Environment, Program};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tower::Service;
use tower::util::ServiceFn;

/// What the target in memory does.
type Answer = fn(Request<Full<Bytes>>) -> Ready<Result<Response<Full<Bytes>>, Infallible>>;

/// Counts, and has the system do the work.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands everything on to `System` unchanged; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const STEPS: &str = r#"
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: { email: "{{ user.email }}", password: "{{ user.password }}" }
    expect: { status: 200 }
    capture: { token: $.access_token }
  - name: profile
    request: GET /api/user/profile
    auth: { bearer: "{{ token }}" }
    expect: { status: [200, 304] }
  - name: agent
    request: POST /api/llm/chat
    auth: { bearer: "{{ token }}" }
    json: { prompt: "hello {{ tenant.id }}" }
    metrics:
      llm_latency: { trend: duration }
      tokens_per_request: { trend: $.usage.total_tokens }
      cost_per_request: { trend: $.cost }
      cache_hits: { rate: $.cached }
"#;

/// What an iteration of three requests may allocate: the workflow alone, with the client over a target in memory
/// (which uses a request up, so that a copy is kept), with the client over a socket.
const WORKFLOW: u64 = 27;
const IN_MEMORY: u64 = 56;
const SOCKET: u64 = 45;

const ANSWER: &str =
    r#"{"access_token":"eyJhbGciOiJIUzI1NiJ9","usage":{"total_tokens":120},"cost":0.002,"cached":false}"#;

/// The workflow against `base`, and where it counts.
fn program(base: &str) -> (Arc<Program>, RecorderHandle) {
    let yaml = format!(
        "base_url: {base}\ntenants: {{ count: 20, users: 5, password: secret }}\nworkflow:{STEPS}\nscenarios: {{ main: {{ executor: constant-vus, vus: 1, duration: 1s }} }}\n"
    );
    let (plan, mut diagnostics) = plan::read("test", yaml.as_bytes(), &Variables::default());
    let mut layout = LayoutBuilder::new(Vec::new());
    let (environment, run) = (Environment::default(), RunId::new(1));
    let program = plan
        .and_then(|plan| workflow::compile(&plan, &environment, Path::new("."), run, &mut layout, &mut diagnostics));
    let program = program.unwrap_or_else(|| panic!("{diagnostics}"));
    (program, RecorderHandle::new(Recorder::new(layout.build(), Instant::now())))
}

/// The allocations of one iteration, at the least of many: growth of what is kept comes seldom.
fn allocations(runtime: &Runtime, vu: &mut impl Service<Arrival, Response = Finished, Error = Infallible>) -> u64 {
    let mut iterate = |number| {
        let before = COUNT.get();
        runtime.block_on(vu.call(Arrival { due: Instant::now(), number })).unwrap();
        COUNT.get() - before
    };
    for number in 0..50 {
        iterate(number);
    }
    (50..100).map(&mut iterate).min().unwrap()
}

/// What makes VUs of the workflow against `base`, of which one is enough.
fn vu<S>(base: &str, service: S, traffic: Traffic) -> workflow::Vu<S> {
    let (program, recorder) = program(base);
    let id = VuId { scenario: program.scenarios()[0], number: 1 };
    workflow::Worker::new(program, recorder, 0).vu(id, service, traffic)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A target in memory that answers at once, and allocates nothing for it.
fn target() -> ServiceFn<Answer> {
    tower::service_fn(|_| ready(Ok(Response::new(Full::from(Bytes::from_static(ANSWER.as_bytes()))))))
}

/// Per step mostly the map of headers, what is filled in of them, the body, and what goes with a request beside it;
/// per iteration its future, and what is captured.
#[test]
fn the_workflow_alone() {
    let count = allocations(&runtime(), &mut vu("http://127.0.0.1:8080", target(), Traffic::default()));
    assert!(count <= WORKFLOW, "{count} allocations an iteration of three requests");
}

#[test]
fn with_the_client_over_a_target_in_memory() {
    let client = Shared::new(ClientConfig::default()).worker().vu_over(target());
    let count = allocations(&runtime(), &mut vu("http://127.0.0.1:8080", client, Traffic::default()));
    assert!(count <= IN_MEMORY, "{count} allocations an iteration of three requests");
}

#[test]
fn with_the_client_over_a_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) && stream.write_all(answer.as_bytes()).is_ok() {}
    });
    let traffic = Traffic::default();
    let client = Shared::new(ClientConfig::default()).worker().vu(traffic.clone());
    let count = allocations(&runtime(), &mut vu(&base, client, traffic));
    assert!(count <= SOCKET, "{count} allocations an iteration of three requests");
}

/// A customer's request, with a trace and baggage of somebody else's, through all layers.
#[test]
fn the_layers_allocate_nothing_for_a_real_request() {
    let in_flight = InFlightLayer::new();
    let counted = in_flight.in_flight();
    let layers = tower::ServiceBuilder::new()
        .layer(SyntheticLayer::new())
        .layer(YieldLayer::new(counted.above(1)).or(counted.slower_than(std::time::Duration::ZERO)));
    #[cfg(feature = "limit")]
    let layers = layers.layer(pacecar::middleware::LimitLayer::per_second(std::num::NonZeroU32::MIN));
    let service = layers.layer(in_flight).service(target());
    let request = || {
        let request = Request::get("/api/user/profile").header("authorization", "Bearer x");
        let request = request.header("traceparent", "00-0123456789abcdef0000000000000007-00000000000000aa-01");
        request.header("baggage", "userId=alice,serverNode=DF%2028").body(Full::<Bytes>::default()).unwrap()
    };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut count = || {
        let request = request();
        let before = COUNT.get();
        let mut service = service.clone();
        let _ = service.poll_ready(&mut context);
        let mut answer = std::pin::pin!(service.call(request));
        let std::task::Poll::Ready(answer) = answer.as_mut().poll(&mut context) else { panic!("it answers at once") };
        drop(answer);
        COUNT.get() - before
    };
    for _ in 0..10 {
        assert_eq!(count(), 0);
    }
}
