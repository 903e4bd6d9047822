//! A run that is steered: through the control address, by pacecar's own verbs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::json::{count, text};
use crate::support::plan::one_step;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

fn steered() -> PlanFile {
    PlanFile::new(
        "\
name: steered
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, think: 20ms }]
setup: [{ name: make, request: POST /setup }]
teardown: [{ name: unmake, request: DELETE /teardown }]
scenarios: { main: { executor: externally-controlled, vus: 2, maxVUs: 5, duration: 0 } }
",
    )
}

/// A verb, sent to a run.
fn verb(to: SocketAddr, arguments: &[&str]) -> Ended {
    Pacecar::new(arguments).arg("--address").arg(to.to_string()).end()
}

/// `GET path`: status and body.
pub(crate) fn get(from: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(from).expect("somebody listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {from}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until the status has all of these lines.
fn wait_for(to: SocketAddr, lines: &[&str]) {
    let begun = Instant::now();
    loop {
        let ended = verb(to, &["status"]).expect_code(0);
        if lines.iter().all(|line| ended.stdout.lines().any(|have| have == *line)) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never {lines:?}: {ended}");
    }
}

#[test]
fn a_run_is_started_paused_scaled_and_stopped_by_its_verbs() {
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&steered().path()).set("API_URL", server.url()).args(["-v", "--paused"]).start();
    let address = run.address("control");
    wait_for(address, &["status: 4", "paused: \"true\"", "vus: \"0\"", "vus-max: \"5\"", "running: false"]);
    server.expect_untouched();
    verb(address, &["pause"]).expect_code(104);
    verb(address, &["resume"]).expect_code(0);
    wait_for(address, &["status: 7", "paused: \"false\"", "vus: \"2\"", "running: true", "stopped: false"]);
    verb(address, &["scale", "--vus", "4"]).expect_code(0);
    wait_for(address, &["vus: \"4\"", "vus-max: \"5\""]);
    let refused = verb(address, &["scale", "-u", "9"]).expect_code(104);
    assert!(refused.stderr.contains("must be less than or equal to the number of maxVUs (5)"), "{refused}");
    verb(address, &["scale", "-u", "7", "-m", "8"]).expect_code(0);
    wait_for(address, &["vus: \"7\"", "vus-max: \"8\""]);
    verb(address, &["pause"]).expect_code(0);
    wait_for(address, &["paused: \"true\"", "vus: \"0\""]);
    let held = server.requests().len();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(server.requests().len(), held, "requests during a pause");
    verb(address, &["resume"]).expect_code(0);
    server.wait_for(held + 10);
    let stopped = verb(address, &["stop"]).expect_code(0);
    assert!(stopped.stdout.contains("stopped: true"), "{stopped}");
    let ended = run.end();
    // On a machine too busy for its figures to be believed it says so first.
    assert!([Some(103), Some(120)].contains(&ended.code), "{ended}");
    assert_eq!((server.at("/setup").len(), server.at("/teardown").len()), (1, 1), "{ended}");
    // Each VU is cut off at the stop, as in k6, in the middle of a request perhaps.
    let (counted, came) = (count(&ended.summary(), &["metrics", "http_reqs", "count"]), server.requests().len() as u64);
    assert!((counted..=counted + 7).contains(&came), "{counted} counted, {came} came: {ended}");
    let summary = ended.summary();
    let verdict = text(&summary, &["pacecar", "run", "verdict"]);
    assert_ne!(verdict, "fail", "an operator is no failure of the target: {ended}");
}

#[test]
fn a_pause_is_no_time_of_the_run_to_rates_and_to_fidelity() {
    let server = Server::start(Mode::Api);
    let plan = PlanFile::new(
        "\
name: paused
base_url: ${API_URL}
workflow: [{ name: home, request: GET / }]
scenarios:
  main: { executor: constant-arrival-rate, rate: 100, duration: 2s, preAllocatedVUs: 50, arrivals: poisson }
thresholds: { http_reqs: ['rate>70'] }
",
    );
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).arg("-v").start();
    let address = run.address("control");
    server.wait_for(20);
    verb(address, &["pause"]).expect_code(0);
    thread::sleep(Duration::from_millis(2500));
    verb(address, &["resume"]).expect_code(0);
    let ended = run.end();
    let summary = ended.summary();
    let number = |path: &[&str]| crate::support::json::at(&summary, path).as_f64().unwrap_or(-1.0);
    // With the pause the rate would be below 50.
    assert_eq!(summary["metrics"]["http_reqs"]["thresholds"]["rate>70"], Value::Bool(false), "{ended}");
    assert!(ended.stdout.contains("left out of the rates"), "{ended}");
    assert!(number(&["pacecar", "run", "paused_ms"]) >= 2500.0, "{ended}");
    assert!(number(&["pacecar", "run", "duration_ms"]) >= 4400.0, "{ended}");
    // Worse than chance ever makes it is above 10: a Poisson process with a hole is that.
    let fit = number(&["pacecar", "fidelity", "arrivals", "main", "statistic"]);
    assert!((0.0..10.0).contains(&fit), "{ended}");
}

#[test]
fn a_run_that_is_stopped_before_it_was_resumed_sends_nothing() {
    for by_signal in [false, true] {
        let server = Server::start(Mode::Api);
        let run = Pacecar::run(&steered().path()).set("API_URL", server.url()).args(["-v", "--paused"]).start();
        let address = run.address("control");
        wait_for(address, &["status: 4"]);
        if by_signal {
            run.signal(Signal::INT);
        } else {
            verb(address, &["stop"]).expect_code(0);
        }
        run.end().expect_code(if by_signal { 105 } else { 103 });
        server.expect_untouched();
    }
}

#[test]
fn metrics_and_the_page_tell_of_now() {
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&steered().path()).set("API_URL", server.url());
    let run = run.args(["-v", "--metrics-address", "127.0.0.1:0"]).start();
    let (address, metrics) = (run.address("control"), run.address("metrics"));
    server.wait_for(10);
    let begun = Instant::now();
    // What the workers handed over last is a second old at most.
    let live = loop {
        let live: Value = serde_json::from_str(&get(address, "/live.json").1).unwrap();
        if live["rate"].as_f64().unwrap() > 0.0 && live["p95_ms"].as_f64().is_some() {
            break live;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{live}");
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!((live["plan"].as_str(), live["stage"].as_str()), (Some("steered"), Some("running")));
    let (_, page) = get(address, "/");
    assert!(page.contains("id=\"rate\"") && page.contains("id=\"p95\""));
    let elsewhere = ["src=", "http://", "https://", "@import", "url("].into_iter().find(|link| page.contains(link));
    assert_eq!(elsewhere, None, "the page asks for something elsewhere");
    for from in [address, metrics] {
        let (_, text) = get(from, "/metrics");
        let requests = r#"pacecar_http_reqs_total{scenario="main",step="home"} "#;
        let told = text.lines().find_map(|line| line.strip_prefix(requests)).unwrap_or_else(|| panic!("{text}"));
        assert!(told.parse::<f64>().unwrap() >= 1.0, "{told}");
        assert!(
            text.contains("\npacecar_vus 2\n") && text.contains("pacecar_http_req_duration_seconds_bucket"),
            "{text}"
        );
        assert!(!text.contains("127.0.0.1") && !text.contains("tenant"), "{text}");
    }
    assert_eq!(get(metrics, "/v1/status").0, 404);
    verb(address, &["stop"]).expect_code(0);
    run.end().expect_code(103);
}

#[test]
fn a_token_is_asked_for_and_sent() {
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&steered().path()).set("API_URL", server.url());
    let run = run.env("PACECAR_TOKEN", "s3cret").args(["-v", "--address", "0.0.0.0:0"]).start();
    let address = SocketAddr::from(([127, 0, 0, 1], run.address("control").port()));
    assert_eq!((get(address, "/v1/status").0, get(address, "/").0, get(address, "/healthz").0), (401, 401, 200));
    let refused = verb(address, &["status"]).expect_code(104);
    assert!(refused.stderr.contains("PACECAR_TOKEN"), "{refused}");
    let stop = Pacecar::new(["stop", "-a", &address.to_string()]).env("PACECAR_TOKEN", "s3cret").end();
    stop.expect_code(0);
    let ended = run.end().expect_code(103);
    assert!(!ended.everything().contains("s3cret"), "{ended}");
}

#[test]
fn what_cannot_be_bound_or_must_not_be_is_told_before_any_request() {
    let server = Server::start(Mode::Api);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let run = |flag: &str, address: &str| {
        Pacecar::run(&one_step().path()).set("API_URL", server.url()).arg(flag).arg(address).end()
    };
    for flag in ["--address", "--metrics-address"] {
        // The port is free again as soon as the listener is gone; another that is taken for sure is the server's own.
        let ended = run(flag, server.url().trim_start_matches("http://")).expect_code(106);
        assert!(ended.stderr.contains(flag) && ended.stderr.contains("cannot be bound"), "{ended}");
    }
    for address in
        ["0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:1", "nonsense", "127.0.0.1", taken.split(':').next().unwrap()]
    {
        let ended = run("--address", address).expect_code(104);
        assert!(ended.stderr.contains("--address"), "{ended}");
    }
    // The guard's word goes before that of a taken address.
    let guarded = PlanFile::new(
        "\
name: guarded
environment: production
base_url: ${API_URL}
workflow: [{ name: a, request: GET / }]
scenarios: { main: { executor: shared-iterations } }
",
    );
    let both = Pacecar::run(&guarded.path()).set("API_URL", server.url());
    both.arg("--address").arg(server.url().trim_start_matches("http://")).end().expect_code(121);
    server.expect_untouched();
}

#[test]
fn the_default_address_may_be_anothers() {
    // Where somebody on this machine has it already, that will do.
    let _taken = TcpListener::bind("127.0.0.1:6565");
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&one_step().path()).without("PACECAR_ADDRESS").set("API_URL", server.url());
    let ended = run.args(["--log-format", "json"]).end().expect_code(0);
    let warnings: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(warnings.len(), 1, "{ended}");
    let warning: Value = serde_json::from_str(warnings[0]).unwrap_or_else(|_| panic!("{ended}"));
    assert!(warning["error"].as_str().is_some_and(|error| error.contains("127.0.0.1:6565")), "{ended}");
}

#[test]
fn a_run_that_lingers_keeps_its_address_until_it_is_stopped() {
    for by_signal in [false, true] {
        let server = Server::start(Mode::Api);
        let run = Pacecar::run(&one_step().path()).set("API_URL", server.url()).args(["-v", "--linger"]).start();
        let address = run.address("control");
        wait_for(address, &["status: 9", "running: false", "vus: \"0\""]);
        let metrics: Value = serde_json::from_str(&get(address, "/v1/metrics/iterations").1).unwrap();
        assert_eq!(metrics["data"]["attributes"]["sample"]["count"], 3.0, "{metrics}");
        if by_signal {
            run.signal(Signal::TERM);
        } else {
            verb(address, &["stop"]).expect_code(0);
        }
        // The verdict stands, whoever ends the lingering.
        let ended = run.end().expect_code(0);
        assert!(ended.has_summary(), "{ended}");
    }
}

#[test]
fn verbs_say_what_to_do_where_nobody_answers() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for arguments in [&["status"][..], &["pause"], &["resume"], &["stop"], &["scale", "-u", "1"]] {
        let ended = verb(nobody, arguments).expect_code(104);
        assert!(ended.stderr.contains("--address"), "{ended}");
    }
    Pacecar::new(["scale"]).end().expect_code(104);
    // Somebody else's server.
    let server = Server::start(Mode::Api);
    let other: SocketAddr = server.url().trim_start_matches("http://").parse().unwrap();
    let ended = verb(other, &["status"]).expect_code(104);
    assert!(ended.stderr.contains("does not speak as pacecar"), "{ended}");
}
