//! `pacecar canary`: always on, until it is stopped; and being stopped is how it ends well.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::program::Running;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server, api};

/// How long anything may take that is to happen. A hang is a failure.
const LIMIT: Duration = Duration::from_secs(40);

/// One step, ten times a second, without an end.
fn steady(more: &str) -> PlanFile {
    PlanFile::new(format!(
        "\
name: steady
base_url: ${{API_URL}}
workflow: [{{ name: home, request: GET / }}]
teardown: [{{ name: unmake, request: DELETE /teardown }}]
scenarios: {{ main: {{ executor: constant-arrival-rate, rate: 20, preAllocatedVUs: 5 }} }}
{more}"
    ))
}

fn canary(plan: &PlanFile, url: &str) -> Pacecar {
    Pacecar::canary(&plan.path()).set("API_URL", url).args(["-v", "--metrics-address", "127.0.0.1:0"]).limit(2 * LIMIT)
}

/// `GET path`: the body.
fn get(from: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(from).expect("somebody listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {from}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").expect("a whole answer").1.to_owned()
}

/// The value of a line of `/metrics`.
fn figure(from: SocketAddr, series: &str) -> Option<f64> {
    let text = get(from, "/metrics");
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Waits until a line of `/metrics` has a value that will do.
#[track_caller]
fn wait_for(from: SocketAddr, series: &str, will_do: impl Fn(f64) -> bool) {
    let begun = Instant::now();
    loop {
        let found = figure(from, series);
        if found.is_some_and(&will_do) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{series} is {found:?} in\n{}", get(from, "/metrics"));
        thread::sleep(Duration::from_millis(100));
    }
}

fn stop(running: Running) -> Ended {
    running.signal(Signal::TERM);
    running.end().expect_code(0)
}

#[test]
fn it_runs_without_a_duration_and_ends_well_by_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(Mode::Api);
        // A threshold that does not hold is told, and is no reason to call the canary dead.
        let plan = steady("thresholds: { http_reqs: ['count<1'] }\n");
        let running = canary(&plan, &server.url()).start();
        server.wait_for(25);
        running.signal(signal);
        let ended = running.end().expect_code(0);
        assert_eq!(server.at("/teardown").len(), 1, "{ended}");
        assert!(ended.stdout.contains("http_req_duration") && ended.stdout.contains("✗ 'count<1'"), "{ended}");
        assert!(ended.took < LIMIT, "{signal:?}: it took {:?}", ended.took);
    }
}

#[test]
fn a_second_signal_leaves_at_once() {
    let server = Server::start(Mode::Never);
    let running = canary(&steady(""), &server.url()).start();
    server.wait_for(3);
    running.signal(Signal::TERM);
    thread::sleep(Duration::from_millis(300));
    running.signal(Signal::TERM);
    let ended = running.end().expect_code(0);
    assert!(server.at("/teardown").is_empty(), "{ended}");
}

#[test]
fn one_that_is_stopped_through_its_address_says_so() {
    let server = Server::start(Mode::Api);
    let running = canary(&steady("thresholds: { http_reqs: ['count<1'] }\n"), &server.url()).start();
    let address = running.address("control");
    server.wait_for(3);
    Pacecar::new(["stop", "--address", &address.to_string()]).end().expect_code(0);
    running.end().expect_code(103);
}

#[test]
fn what_has_an_end_is_told_or_refused() {
    let server = Server::start(Mode::Api);
    let plan = |scenario: &str| {
        PlanFile::new(format!(
            "base_url: ${{API_URL}}\nworkflow: [{{ name: home, request: GET /, think: 50ms }}]\n{scenario}"
        ))
    };
    let counted = plan("scenarios: { main: { executor: shared-iterations, iterations: 3 } }\n");
    let ended = canary(&counted, &server.url()).end().expect_code(104);
    assert!(ended.stderr.contains("plan.yaml:3:") && ended.stderr.contains("come to an end"), "{ended}");
    let falls = plan("scenarios: { main: { executor: ramping-vus, stages: [{ duration: 1s, target: 0 }] } }\n");
    canary(&falls, &server.url()).end().expect_code(104);
    server.expect_untouched();
    // Neither a duration nor a last stage ends it; without scenarios it is one a second.
    for scenario in [
        "scenarios: { main: { executor: constant-vus, vus: 1, duration: 1s } }\n",
        "scenarios: { main: { executor: ramping-vus, stages: [{ duration: 1s, target: 1 }] } }\n",
        "",
    ] {
        let server = Server::start(Mode::Api);
        let running = canary(&plan(scenario), &server.url()).start();
        let metrics = running.address("metrics");
        // Past the second after which it would have ended.
        thread::sleep(Duration::from_millis(2500));
        let sent = server.requests().len();
        server.wait_for(sent + 2);
        assert_eq!(get(metrics, "/healthz"), "ok\n");
        let ended = stop(running);
        assert_eq!(ended.stderr.contains("not obeyed"), scenario.contains("constant"), "{ended}");
    }
}

#[test]
fn a_plan_for_a_canary_passes_check_and_is_no_plan_for_a_run() {
    let plan = steady("");
    let check = Pacecar::new(["check".as_ref(), plan.path().as_os_str()]).set("API_URL", "http://127.0.0.1:1").end();
    let check = check.expect_code(0);
    assert!(check.stderr.contains("only a canary takes it"), "{check}");
    let run = Pacecar::run(&plan.path()).set("API_URL", "http://127.0.0.1:1").end().expect_code(104);
    assert!(run.stderr.contains("duration is unspecified"), "{run}");
}

const SLO: &str = "\
slo:
  - name: availability
    good: http_req_failed
    objective: 99.9
    alerts: [{ severity: page, burn: 14.4, long: 6s, short: 2s }, { severity: ticket, burn: 1, long: 3d, short: 6h }]
  - { name: fast, good: 'http_req_response_time{step:home}<60000', objective: 99 }
";

#[test]
fn burn_rates_and_alerts_tell_of_now_and_clear_again() {
    let fails = Arc::new(AtomicBool::new(true));
    let server = Server::start(Mode::Failing(Arc::clone(&fails)));
    let running = canary(&steady(SLO), &server.url()).start();
    let metrics = running.address("metrics");
    let page = r#"pacecar_slo_alert{slo="availability",severity="page",long="6s",short="2s"}"#;
    let ticket = r#"pacecar_slo_alert{slo="availability",severity="ticket",long="3d",short="6h"}"#;
    wait_for(metrics, page, |it| it == 1.0);
    wait_for(metrics, ticket, |it| it == 1.0);
    // All fail, and a thousandth may: over each window, of what there is of it.
    for window in ["2s", "6s", "6h", "3d", "30d"] {
        wait_for(metrics, &format!(r#"pacecar_slo_burn_rate{{slo="availability",window="{window}"}}"#), |it| {
            it == 1000.0
        });
    }
    wait_for(metrics, r#"pacecar_slo_error_budget_remaining{slo="availability"}"#, |it| it == -999.0);
    wait_for(metrics, r#"pacecar_slo_error_budget_remaining{slo="fast"}"#, |it| it == 1.0);
    wait_for(metrics, r#"pacecar_slo_alert{slo="fast",severity="page",long="1h",short="5m"}"#, |it| it == 0.0);
    fails.store(false, Ordering::SeqCst);
    wait_for(metrics, page, |it| it == 0.0);
    assert_eq!(figure(metrics, ticket), Some(1.0), "six hours do not forget in six seconds");
    let ended = stop(running);
    assert!(ended.stderr.contains("SLO alert fires") && ended.stderr.contains("SLO alert clears"), "{ended}");
}

#[test]
fn a_webhook_is_told_when_an_alert_fires_and_clears_and_tried_again_where_it_is_not_taken() {
    let fails = Arc::new(AtomicBool::new(true));
    let (server, pager) = (Server::start(Mode::Failing(Arc::clone(&fails))), Server::start(Mode::Later(503, 1)));
    let plan = steady(
        "\
slo:
  - name: availability
    good: http_req_failed
    objective: 99
    alerts: [{ severity: ticket, burn: 50, long: 4s, short: 2s, webhook: '${WEBHOOK}' }]
",
    );
    let webhook = format!("{}/hook/s3cret?room=7", pager.url());
    let running = canary(&plan, &server.url()).set("WEBHOOK", &webhook).start();
    pager.wait_for(2);
    fails.store(false, Ordering::SeqCst);
    pager.wait_for(3);
    let ended = stop(running);
    let told: Vec<_> = pager.requests().iter().map(|request| (request.target.clone(), request.json())).collect();
    assert!(told.iter().all(|(target, _)| target == "/hook/s3cret?room=7"), "{told:?}");
    assert_eq!(told[0].1, told[1].1, "the same notice once more");
    let texts = |key: &str| told.iter().map(|(_, body)| body[key].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(texts("status"), ["firing", "firing", "resolved"]);
    assert_eq!((&*texts("slo")[0], &*texts("severity")[0], &*texts("plan")[0]), ("availability", "ticket", "steady"));
    assert_eq!(told[0].1["long"]["window"], "4s");
    assert!(told[0].1["short"]["burn_rate"].as_f64().unwrap() >= 50.0, "{told:?}");
    assert!(!ended.everything().contains("s3cret"), "{ended}");
}

#[test]
fn windows_and_alerts_survive_a_restart_of_a_canary_and_a_run_begins_anew() {
    let fails = Arc::new(AtomicBool::new(true));
    let server = Server::start(Mode::Failing(Arc::clone(&fails)));
    let plan = steady(SLO);
    let first = canary(&plan, &server.url()).start();
    let ticket = r#"pacecar_slo_alert{slo="availability",severity="ticket",long="3d",short="6h"}"#;
    wait_for(first.address("metrics"), ticket, |it| it == 1.0);
    stop(first);
    fails.store(false, Ordering::SeqCst);
    let second = canary(&plan, &server.url()).start();
    let metrics = second.address("metrics");
    wait_for(metrics, ticket, |it| it == 1.0);
    wait_for(metrics, r#"pacecar_slo_burn_rate{slo="availability",window="3d"}"#, |it| it > 1.0 && it < 1000.0);
    let ended = stop(second);
    assert!(!ended.stderr.contains("SLO alert fires"), "it was told before: {ended}");
    // A run of the same plan is judged by itself.
    let finite =
        PlanFile::new(std::fs::read_to_string(plan.path()).unwrap().replace("rate: 20,", "rate: 20, duration: 3s,"))
            .with("plan.yaml.state", std::fs::read(plan.folder().join("plan.yaml.state")).unwrap());
    let run = Pacecar::run(&finite.path()).set("API_URL", server.url());
    let run = run.args(["-v", "--metrics-address", "127.0.0.1:0"]).start();
    let metrics = run.address("metrics");
    wait_for(metrics, r#"pacecar_slo_burn_rate{slo="availability",window="30d"}"#, |it| it == 0.0);
    run.end().expect_ran();
}

#[test]
fn a_state_that_cannot_be_kept_stops_nothing() {
    let server = Server::start(Mode::Api);
    // A folder in the place of the file.
    let plan = steady(SLO);
    std::fs::create_dir(plan.folder().join("plan.yaml.state")).unwrap();
    let running = canary(&plan, &server.url()).start();
    wait_for(running.address("metrics"), r#"pacecar_slo_burn_rate{slo="fast",window="30d"}"#, |it| it == 0.0);
    server.wait_for(5);
    let ended = stop(running);
    assert!(ended.stderr.contains("do not survive a restart"), "{ended}");
}

#[test]
fn its_rows_are_gone_when_it_ends() {
    let (_turn, api) = api::alone();
    let plan = PlanFile::new(
        r#"
name: rows
base_url: ${API_URL}
tenants: { count: 3, users: 2 }
workflow:
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: { email: "{{ user.email }}", password: "{{ user.password }}" }
    capture: { token: $.access_token }
  - name: agent
    request: POST /api/llm/chat
    headers: { authorization: "Bearer {{ token }}" }
    json: { prompt: "hello" }
scenarios: { main: { executor: constant-arrival-rate, rate: 10, preAllocatedVUs: 3 } }
slo: [{ name: availability, good: http_req_failed, objective: 99 }]
cleanup:
  postgres:
    url: ${DATABASE_URL}
    roots: [{ table: llm_usage, where: "user_id LIKE 'test-%'", max_share: 1.0, age: created_at }]
"#,
    );
    let rows = || api.database.count("SELECT count(*) FROM llm_usage WHERE user_id LIKE 'test-%'");
    let running = canary(&plan, &api.url).set("DATABASE_URL", &api.database.url).start();
    let begun = Instant::now();
    while rows() == 0 {
        assert!(begun.elapsed() < LIMIT, "no row was made");
        thread::sleep(Duration::from_millis(50));
    }
    let ended = stop(running);
    assert_eq!(rows(), 0, "{ended}");
    assert!(!plan.folder().join("plan.yaml.state").exists(), "its state stands in the database");
    let kept = "SELECT count(*) FROM pacecar.state WHERE plan = 'rows' AND key = 'slo'";
    assert_eq!(api.database.count(kept), 1);
}
