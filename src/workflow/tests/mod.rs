//! Whole plans against a target in memory: what is sent, what is counted, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod clocks;
mod errors;
mod phases;
mod records;
mod requests;
mod streams;
mod tenants;

use super::*;
use crate::measure::{
    Arrival, Exchange, Failure, FailureKind, Finished, Layout, LayoutBuilder, Reading, Recorder, RecorderHandle,
    RequestContext, Selector, Totals, Traffic, VuId,
};
use crate::plan::{Diagnostics, Plan, Variables};
use crate::semconv::RunId;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tower::Service;

pub(super) const RUN: u64 = 0x0123_4567_89ab_cdef;

/// A plan, compiled, and where it counts.
pub(super) struct Stage {
    pub(super) program: Arc<Program>,
    pub(super) layout: Arc<Layout>,
    pub(super) recorder: RecorderHandle,
    pub(super) worker: Worker,
    start: Instant,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) context: RequestContext,
}

/// What a target answers.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    /// How long after the one before each part of the body comes.
    pub(super) frames: Vec<(Duration, Result<Bytes, FailureKind>)>,
    /// How long the head takes.
    pub(super) delay: Duration,
    pub(super) failure: Option<FailureKind>,
    pub(super) exchange: Option<Exchange>,
}

/// A target in memory: keeps what it saw, answers by a function.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) seen: Rc<RefCell<Vec<Seen>>>,
    answer: Rc<dyn Fn(&Seen) -> Reply>,
}

/// A body that comes in parts.
pub(super) struct Parts {
    frames: VecDeque<(Duration, Result<Bytes, FailureKind>)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl Stage ===

/// A program and what it counts in.
pub(super) type Compiled = (Arc<Program>, Arc<Layout>);

pub(super) fn read(yaml: &str, base: &Path, env: &[(&str, &str)]) -> (Option<Compiled>, String) {
    let (plan, mut diagnostics) = crate::plan::read("plan.yaml", yaml.as_bytes(), &Variables::default());
    let (program, layout) = lower(&plan.unwrap(), base, env, &mut diagnostics);
    let told = diagnostics.to_string();
    (program.filter(|_| !diagnostics.has_errors()).map(|program| (program, layout)), told)
}

fn lower(
    plan: &Plan,
    base: &Path,
    env: &[(&str, &str)],
    diagnostics: &mut Diagnostics,
) -> (Option<Arc<Program>>, Arc<Layout>) {
    let env: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut layout = LayoutBuilder::new(Vec::new());
    let program = compile(plan, &Environment::new(env), base, RunId::new(RUN), &mut layout, diagnostics);
    (program, layout.build())
}

/// Compiles a plan that has no errors. `base_url` and a scenario are added.
pub(super) fn stage(yaml: &str) -> Stage {
    stage_in(yaml, Path::new("."), &[])
}

pub(super) fn stage_in(yaml: &str, base: &Path, env: &[(&str, &str)]) -> Stage {
    let (compiled, told) = read(&whole(yaml), base, env);
    let (program, layout) = compiled.unwrap_or_else(|| panic!("{told}"));
    let start = Instant::now();
    let recorder = RecorderHandle::new(Recorder::new(Arc::clone(&layout), start));
    let worker = Worker::new(Arc::clone(&program), recorder.clone(), 0);
    Stage { program, layout, recorder, worker, start }
}

pub(super) fn whole(yaml: &str) -> String {
    let mut whole = yaml.trim_start().to_owned();
    if !whole.contains("base_url:") {
        whole.insert_str(0, "base_url: http://api.test/v1\n");
    }
    if !whole.contains("scenarios:") {
        whole.push_str("\nscenarios: { main: { executor: constant-vus, vus: 1, duration: 1s } }\n");
    }
    whole
}

/// What a plan with errors is told.
pub(super) fn told(yaml: &str) -> String {
    let (compiled, told) = read(&whole(yaml), Path::new("."), &[]);
    assert!(compiled.is_none(), "no error in\n{yaml}\n{told}");
    told
}

impl Stage {
    pub(super) fn vu(&self, target: &Target, number: u64) -> Vu<Target> {
        self.worker.vu(VuId { scenario: self.program.scenarios()[0], number }, target.clone(), Traffic::default())
    }

    /// Plays iterations one after another.
    pub(super) async fn play(&self, target: &Target, iterations: u64) {
        let mut vu = self.vu(target, 1);
        for number in 0..iterations {
            iterate(&mut vu, Instant::now(), number).await;
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::new(Arc::clone(&self.layout), self.start);
        totals.merge(&self.recorder.swap(Recorder::new(Arc::clone(&self.layout), self.start)));
        totals
    }

    /// Passes and failures of each check that was counted at all.
    pub(super) fn checks(&self) -> BTreeMap<String, (u64, u64)> {
        checks(&self.layout, &self.totals())
    }
}

pub(super) fn checks(layout: &Layout, totals: &Totals) -> BTreeMap<String, (u64, u64)> {
    let names = layout.checks().iter().map(|check| check.name.clone());
    let counted = names.zip(totals.checks()).map(|(name, share)| {
        let passed = share.passes;
        (name, (passed, share.total - passed))
    });
    counted.filter(|(_, (passed, failed))| passed + failed > 0).collect()
}

/// The figure of a metric: how many values of a trend, the sum of a counter, the share of a rate.
pub(super) fn figure(stage: &Stage, totals: &Totals, metric: &str) -> f64 {
    let (name, selector) = Selector::parse_metric(metric).unwrap();
    let id = stage.layout.find(name).unwrap_or_else(|| panic!("no metric {name}"));
    match totals.metric(id, &selector, Duration::from_secs(3600)).unwrap() {
        Reading::Trend(trend) => trend.count() as f64,
        Reading::Rate(share) => share.rate(),
        Reading::Counter(sum) => sum,
        Reading::Gauge(range) => range.value,
    }
}

/// The largest value of a trend.
pub(super) fn largest(stage: &Stage, totals: &Totals, metric: &str) -> f64 {
    let (name, selector) = Selector::parse_metric(metric).unwrap();
    let trend = totals.trend(stage.layout.find(name).unwrap(), &selector, Duration::from_secs(3600));
    trend.max().unwrap().value
}

pub(super) async fn iterate(vu: &mut Vu<Target>, due: Instant, number: u64) -> Finished {
    std::future::poll_fn(|context| vu.poll_ready(context)).await.unwrap();
    vu.call(Arrival { due, number }).await.unwrap()
}

// === impl Target ===

impl Target {
    pub(super) fn new(answer: impl Fn(&Seen) -> Reply + 'static) -> Self {
        Self { seen: Rc::default(), answer: Rc::new(answer) }
    }

    /// Answers everything with 200 and this JSON.
    pub(super) fn json(value: Value) -> Self {
        Self::new(move |_| Reply::json(200, &value))
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.seen.borrow().iter().map(|seen| seen.line.clone()).collect()
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.seen.borrow().iter().map(|seen| seen.body.clone()).collect()
    }

    pub(super) fn header(&self, at: usize, name: &str) -> Option<String> {
        let seen = self.seen.borrow();
        seen[at].headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

impl Service<Request<Full<Bytes>>> for Target {
    type Response = Response<Parts>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Parts>, Failure>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let seen = Seen {
                line: format!("{} {}", parts.method, parts.uri),
                headers: parts.headers,
                body: String::from_utf8_lossy(&body).into_owned(),
                context: parts.extensions.get::<RequestContext>().unwrap().clone(),
            };
            let reply = (this.answer)(&seen);
            this.seen.borrow_mut().push(seen);
            if !reply.delay.is_zero() {
                tokio::time::sleep(reply.delay).await;
            }
            if let Some(kind) = reply.failure {
                let exchange = reply.exchange.unwrap_or_default();
                return Err(Failure { exchange, ..Failure::new(kind) });
            }
            let mut response = Response::builder().status(reply.status);
            for (name, value) in &reply.headers {
                response = response.header(*name, value);
            }
            let mut response = response.body(Parts { frames: reply.frames.into(), sleep: None }).unwrap();
            if let Some(exchange) = reply.exchange {
                response.extensions_mut().insert(exchange);
            }
            Ok(response)
        })
    }
}

// === impl Reply ===

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), frames: Vec::new(), delay: Duration::ZERO, failure: None, exchange: None }
    }

    pub(super) fn text(status: u16, text: impl Into<Bytes>) -> Self {
        Self { frames: vec![(Duration::ZERO, Ok(text.into()))], ..Self::status(status) }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::text(status, value.to_string())
    }

    pub(super) fn failed(kind: FailureKind) -> Self {
        Self { failure: Some(kind), ..Self::status(0) }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let Some((delay, _)) = self.frames.front() else { return Poll::Ready(None) };
        let delay = *delay;
        if !delay.is_zero() {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(delay)));
            std::task::ready!(sleep.as_mut().poll(context));
            self.sleep = None;
        }
        let (_, frame) = self.frames.pop_front().unwrap();
        Poll::Ready(Some(frame.map(Frame::data).map_err(Failure::new)))
    }
}

/// The contract's example: login, profile, agent.
pub(super) const TENANTS: &str = r#"
tenants: { count: 20, users: 5, password: secret }
workflow:
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: { email: "{{ user.email }}", password: "{{ user.password }}" }
    expect: { status: 200 }
    capture: { token: $.access_token }
  - name: profile
    request: GET /api/user/profile
    auth: { bearer: "{{ token }}" }
    expect: { status: [200, 304], json: { $.tenant: "{{ tenant.id }}" }, max_duration: 2s }
  - name: agent
    request: POST /api/llm/chat
    headers: { authorization: "Bearer {{ token }}" }
    json: { prompt: "hello {{ tenant.id }}", tenant: "{{ tenant.id }}" }
    when: "{{ token is defined }}"
    on_failure: stop
    metrics:
      llm_latency: { trend: duration }
      tokens_per_request: { trend: $.usage.total_tokens }
      cost_per_request: { trend: $.cost }
      cache_hits: { rate: $.cached }
"#;

/// A target that answers as the contract's example expects.
pub(super) fn api() -> Target {
    Target::new(|seen| match seen.line.as_str() {
        line if line.contains("/auth/") => Reply::json(200, &json!({ "access_token": "t-1", "expires_in": 3600 })),
        line if line.contains("/profile") => Reply::json(200, &json!({ "tenant": "1" })),
        _ => Reply::json(200, &json!({ "usage": { "total_tokens": 12 }, "cost": 0.002, "cached": true })),
    })
}
