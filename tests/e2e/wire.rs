//! What goes over the wire: trace context, baggage, user agent, cookies, connections, bodies.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::hostile::Request;
use crate::support::json::text;
use crate::support::plan::three_steps;
use crate::support::{Mode, Pacecar, PlanFile, Server};

/// Runs the three steps six times on two VUs; the run's id and what came in.
fn played() -> (String, Vec<Request>, usize) {
    let server = Server::start(Mode::Api);
    let ended = Pacecar::run(&three_steps().path()).set("API_URL", server.url()).end().expect_code(0);
    (text(&ended.summary(), &["pacecar", "run", "id"]).to_owned(), server.requests(), server.connections())
}

/// The fields of a `traceparent`.
fn trace(request: &Request) -> (String, String) {
    let value = request.header("traceparent");
    let fields: Vec<&str> = value.split('-').collect();
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    assert!(fields.len() == 4 && fields.iter().all(|field| hex(field)), "{value}");
    assert_eq!((fields[0], fields[3]), ("00", "01"), "version and flags of {value}");
    assert_eq!((fields[1].len(), fields[2].len()), (32, 16), "{value}");
    (fields[1].to_owned(), fields[2].to_owned())
}

#[test]
fn one_iteration_is_one_trace_of_the_run_and_each_request_a_span() {
    let (run, requests, _) = played();
    assert_eq!(requests.len(), 18);
    let mut traces: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut spans = BTreeSet::new();
    for request in &requests {
        let (trace, span) = trace(request);
        assert_eq!(&trace[..16], run, "the run's id is the first half of the trace id");
        assert_ne!(&trace[16..], "0000000000000000");
        traces.entry(trace).or_default().push(request.path());
        assert!(spans.insert(span), "a span id twice");
    }
    assert_eq!(traces.len(), 6, "one trace an iteration");
    for steps in traces.values() {
        assert_eq!(steps, &["/auth/v1/token", "/api/user/profile", "/api/llm/chat"]);
    }
}

#[test]
fn every_request_says_what_it_is() {
    let (run, requests, _) = played();
    for request in &requests {
        let step = match request.path() {
            "/auth/v1/token" => "login",
            "/api/user/profile" => "profile",
            _ => "agent",
        };
        let baggage: BTreeMap<&str, &str> =
            request.header("baggage").split(',').filter_map(|member| member.trim().split_once('=')).collect();
        let keys: Vec<&str> = baggage.keys().copied().collect();
        assert_eq!(keys, ["pacecar.run", "pacecar.scenario", "pacecar.step", "pacecar.tenant"], "{}", request.head);
        assert_eq!((baggage["pacecar.run"], baggage["pacecar.scenario"]), (run.as_str(), "main"));
        assert_eq!(baggage["pacecar.step"], step);
        assert!(!baggage["pacecar.tenant"].is_empty());
        assert_eq!(request.header("user-agent"), concat!("pacecar/", env!("CARGO_PKG_VERSION")));
        assert!(!request.header("host").is_empty());
    }
}

#[test]
fn a_user_stays_the_same_through_an_iteration() {
    let (_, requests, _) = played();
    let mut by_trace: BTreeMap<String, Vec<&Request>> = BTreeMap::new();
    for request in &requests {
        by_trace.entry(trace(request).0).or_default().push(request);
    }
    let mut emails = BTreeSet::new();
    for steps in by_trace.values() {
        let login = steps[0].json();
        let email = login["email"].as_str().unwrap().to_owned();
        assert_eq!(login["password"], "secret");
        for later in &steps[1..] {
            assert_eq!(later.header("authorization"), format!("Bearer token-{email}"));
        }
        assert_eq!(steps[0].header("content-type"), "application/json");
        emails.insert(email);
    }
    for email in &emails {
        let numbers = email.strip_prefix("test-").and_then(|rest| rest.strip_suffix("@example.com"));
        let (tenant, user) = numbers.and_then(|numbers| numbers.split_once('-')).expect("test-TENANT-USER@example.com");
        assert!((1..=3).contains(&tenant.parse::<u32>().unwrap()), "{email}");
        assert!((1..=2).contains(&user.parse::<u32>().unwrap()), "{email}");
    }
}

#[test]
fn each_iteration_has_its_own_cookies() {
    let (_, requests, _) = played();
    for request in &requests {
        let cookies = request.all("cookie");
        match request.path() {
            "/auth/v1/token" => assert_eq!(cookies, Vec::<&str>::new(), "a cookie from the iteration before"),
            _ => assert!(cookies.len() == 1 && cookies[0].starts_with("session=test-"), "{}", request.head),
        }
    }
}

#[test]
fn connections_are_kept_for_each_vu_unless_told_otherwise() {
    let (_, _, connections) = played();
    assert_eq!(connections, 2, "one for each VU");
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&three_steps().path()).set("API_URL", server.url()).arg("--no-connection-reuse");
    run.end().expect_code(0);
    assert_eq!(server.connections(), 18, "one for each request");
}

#[test]
fn bodies_and_authentication_are_what_the_plan_says() {
    let plan = PlanFile::new(
        r#"
name: bodies
base_url: ${API_URL}
http: { headers: { x-all: "yes" } }
workflow:
  - { name: form, request: POST /form, form: { a: "1 &=", b: "ü" } }
  - { name: raw, request: PUT /raw, body: "plain {{ user.email }}" }
  - { name: json, request: POST /json, json: { n: "{{ 1 + 2 }}", list: [true, null, "{{ user.email }}!"] } }
  - { name: basic, request: GET /basic, auth: { basic: { user: me, password: "pa:ss" } } }
  - { name: query, request: "GET /query?q={{ 'a b/c&d' }}" }
  - { name: skipped, request: GET /skipped, when: "{{ false }}" }
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
"#,
    );
    let server = Server::start(Mode::Api);
    Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
    let one = |path: &str| server.at(path).pop().unwrap_or_else(|| panic!("nothing at {path}"));
    assert_eq!(one("/form").header("content-type"), "application/x-www-form-urlencoded");
    let form = String::from_utf8(one("/form").body).unwrap();
    assert!(form == "a=1+%26%3D&b=%C3%BC" || form == "a=1%20%26%3D&b=%C3%BC", "{form}");
    assert_eq!(one("/raw").body, b"plain test-1-1@example.com");
    assert_eq!(one("/raw").method, "PUT");
    assert_eq!(one("/json").json(), serde_json::json!({ "n": 3, "list": [true, null, "test-1-1@example.com!"] }));
    assert_eq!(one("/basic").header("authorization"), "Basic bWU6cGE6c3M=");
    assert_eq!(one("/query").target, "/query?q=a%20b%2Fc%26d");
    assert!(server.at("/skipped").is_empty());
    assert!(server.requests().iter().all(|request| request.header("x-all") == "yes"));
}

#[test]
fn a_header_cannot_be_broken_out_of() {
    let plan = PlanFile::new(
        r#"
name: inject
base_url: ${API_URL}
data: { rows: rows.json }
workflow: [{ name: a, request: GET /, headers: { x-value: "{{ data.rows.value }}" } }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
"#,
    )
    .with("rows.json", r#"[{ "value": "a\r\nx-injected: yes" }]"#);
    let server = Server::start(Mode::Api);
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end();
    assert!(!ended.stderr.contains("panicked"), "{ended}");
    assert!(server.requests().iter().all(|request| request.all("x-injected").is_empty()), "it was sent");
}
