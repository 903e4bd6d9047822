//! What playing costs: a whole iteration of the tenant workflow, and its login alone, against a
//! target in memory that answers at once.

#![allow(missing_docs, clippy::panic)]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::Full;
use pacecar::measure::{Arrival, LayoutBuilder, Recorder, RecorderHandle, Traffic, VuId};
use pacecar::plan::{self, Diagnostics, Variables};
use pacecar::semconv::RunId;
use pacecar::workflow::{self, Environment, Vu, Worker};
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;
use tower::Service;

/// 200 bytes, as an identity provider answers.
const TOKEN: &str = r#"{"token_type":"bearer","expires_in":3600,"access_token":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmN","refresh_token":"v1.MjM0NTY3ODkwMTIzNDU2Nzg","user":{"id":42}}"#;
const ANSWER: &str =
    r#"{"id":"c-1","tenant":"1","usage":{"total_tokens":120,"prompt_tokens":20},"cost":0.002,"cached":false}"#;

const LOGIN: &str = r#"
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: { email: "{{ user.email }}", password: "{{ user.password }}" }
    expect: { status: 200 }
    capture: { token: $.access_token }
    metrics: { login_latency: { trend: duration } }
"#;
const REST: &str = r#"
  - name: profile
    request: GET /api/user/profile
    auth: { bearer: "{{ token }}" }
    expect: { status: [200, 304], json: { $.tenant: "1" } }
  - name: agent
    request: POST /api/llm/chat
    headers: { authorization: "Bearer {{ token }}" }
    json: { prompt: "hello {{ tenant.id }}" }
    when: "{{ token is defined }}"
    metrics:
      llm_latency: { trend: duration }
      tokens_per_request: { trend: $.usage.total_tokens }
      cost_per_request: { trend: $.cost }
      cache_hits: { rate: $.cached }
"#;

/// Answers at once.
#[derive(Clone)]
struct Target {
    token: Bytes,
    answer: Bytes,
}

impl Service<Request<Full<Bytes>>> for Target {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let body = if request.uri().path().starts_with("/auth") { &self.token } else { &self.answer };
        ready(Ok(Response::new(Full::new(body.clone()))))
    }
}

fn vu(steps: &str) -> Vu<Target> {
    let yaml = format!(
        "base_url: http://127.0.0.1:8080\ntenants: {{ count: 20, users: 5, password: secret }}\nworkflow:{steps}\nscenarios: {{ main: {{ executor: constant-vus, vus: 1, duration: 1s }} }}\n"
    );
    let (plan, mut diagnostics) = plan::read("bench", yaml.as_bytes(), &Variables::default());
    let mut layout = LayoutBuilder::new(Vec::new());
    let program = plan.and_then(|plan| {
        let run = RunId::new(1);
        workflow::compile(&plan, &Environment::default(), Path::new("."), run, &mut layout, &mut diagnostics)
    });
    let program = program.unwrap_or_else(|| panic!("{}", told(&diagnostics)));
    let recorder = RecorderHandle::new(Recorder::new(layout.build(), Instant::now()));
    let id = VuId { scenario: program.scenarios()[0], number: 1 };
    let target = Target { token: Bytes::from_static(TOKEN.as_bytes()), answer: Bytes::from_static(ANSWER.as_bytes()) };
    Worker::new(Arc::clone(&program), recorder, 0).vu(id, target, Traffic::default())
}

fn told(diagnostics: &Diagnostics) -> String {
    diagnostics.to_string()
}

fn iterate(vu: &mut Vu<Target>, number: u64) {
    let mut context = Context::from_waker(Waker::noop());
    let mut call = pin!(vu.call(Arrival { due: Instant::now(), number }));
    while call.as_mut().poll(&mut context).is_pending() {}
}

fn iterations(c: &mut Criterion) {
    for (name, steps) in [("login", LOGIN.to_owned()), ("tenant workflow", format!("{LOGIN}{REST}"))] {
        let mut vu = vu(&steps);
        let mut number = 0;
        c.bench_function(&format!("workflow/{name}"), |b| {
            b.iter(|| {
                number += 1;
                iterate(&mut vu, number);
            });
        });
    }
}

criterion_group!(benches, iterations);
criterion_main!(benches);
