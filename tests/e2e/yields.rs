//! What makes a running pacecar yield: the kill switch, conditions, the target's own wish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::json::{at, text};
use crate::support::program::Running;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

/// How long what was under way when the traffic paused may still come in.
const SETTLE: Duration = Duration::from_millis(400);

fn plan(guard: &str, executor: &str) -> PlanFile {
    PlanFile::new(format!(
        "\
name: yielding
base_url: ${{API_URL}}
workflow:
  - {{ name: one, request: GET /one, think: 20ms }}
  - {{ name: two, request: GET /two }}
scenarios: {{ main: {executor} }}
guard: {guard}
"
    ))
}

fn status(run: &Running) -> String {
    let address = run.address("control").to_string();
    Pacecar::new(["status", "--address"]).arg(address).end().stdout
}

/// Waits until the status of the run holds this.
#[track_caller]
fn wait_for(run: &Running, what: &str) {
    let begun = Instant::now();
    loop {
        let status = status(run);
        if status.contains(what) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never {what:?}: {status}");
    }
}

/// What comes in within `time`.
fn traffic(server: &Server, time: Duration) -> usize {
    let before = server.requests().len();
    thread::sleep(time);
    server.requests().len() - before
}

fn paused_ms(ended: &Ended) -> f64 {
    at(&ended.summary(), &["pacecar", "run"])["paused_ms"].as_f64().unwrap_or(0.0)
}

fn lag_ms(ended: &Ended) -> f64 {
    at(&ended.summary(), &["pacecar", "fidelity", "lag_ms", "max"]).as_f64().unwrap_or(0.0)
}

#[test]
fn while_the_stop_file_exists_nothing_is_sent_before_the_first_request_and_in_the_middle() {
    let executors = [
        "{ executor: constant-vus, vus: 3, duration: 2s }",
        "{ executor: constant-arrival-rate, rate: 50, duration: 2s, preAllocatedVUs: 10, maxVUs: 200 }",
    ];
    let stopped = |executor: &str| {
        let server = Server::start(Mode::Api);
        let plan = plan("{ stop_file: stop }", executor).with("stop", "");
        let stop = plan.folder().join("stop");
        let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).arg("-v").start();
        wait_for(&run, "held-by: [\"the stop file");
        thread::sleep(SETTLE);
        server.expect_untouched();
        std::fs::remove_file(&stop).unwrap();
        server.wait_for(10);
        std::fs::write(&stop, "").unwrap();
        wait_for(&run, "paused: \"true\"");
        thread::sleep(SETTLE);
        assert_eq!(traffic(&server, Duration::from_millis(800)), 0, "traffic while the stop file exists");
        // An operator cannot override it.
        let address = run.address("control").to_string();
        let resumed = Pacecar::new(["resume", "--address"]).arg(&address).end().expect_code(104);
        assert!(resumed.stderr.contains("the guard holds the traffic"), "{resumed}");
        std::fs::remove_file(&stop).unwrap();
        let ended = run.end().expect_ran();
        assert!(paused_ms(&ended) >= 800.0, "{ended}");
        assert!(
            ended.stderr.contains("the stop file held the traffic twice") || ended.stderr.contains("2 times"),
            "{ended}"
        );
        // All of its time was had.
        assert!(lag_ms(&ended) < paused_ms(&ended), "a pause is no lag: {ended}");
        assert_eq!(at(&ended.summary(), &["pacecar", "fidelity", "dropped"]).as_u64(), Some(0), "{ended}");
        let slowest = at(&ended.summary(), &["metrics", "http_req_response_time", "max"]).as_f64().unwrap();
        assert!(slowest < paused_ms(&ended), "a pause is nobody's response time: {ended}");
    };
    thread::scope(|scope| {
        for executor in executors {
            scope.spawn(move || stopped(executor));
        }
    });
}

#[test]
fn a_signal_is_a_kill_switch_and_a_held_run_can_be_stopped() {
    let server = Server::start(Mode::Api);
    let plan = plan("{ stop_file: '' }", "{ executor: constant-vus, vus: 2, duration: 1h }");
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).arg("-v").start();
    server.wait_for(5);
    run.signal(Signal::USR1);
    wait_for(&run, "held-by: [\"SIGUSR1\"]");
    thread::sleep(SETTLE);
    assert_eq!(traffic(&server, Duration::from_millis(500)), 0);
    run.signal(Signal::USR2);
    let before = server.requests().len();
    server.wait_for(before + 10);
    run.signal(Signal::USR1);
    wait_for(&run, "held-by");
    run.signal(Signal::TERM);
    let ended = run.end().expect_signalled();
    assert_ne!(text(&ended.summary(), &["pacecar", "run", "verdict"]), "fail", "{ended}");
}

#[test]
fn a_condition_pauses_the_traffic_and_a_probe_that_goes_well_ends_it() {
    let executors = [
        "{ executor: constant-vus, vus: 4, duration: 1h }",
        "{ executor: constant-arrival-rate, rate: 40, duration: 1h, preAllocatedVUs: 20 }",
        "{ executor: constant-arrival-rate, rate: 2, duration: 1h, preAllocatedVUs: 2 }",
    ];
    let broken = |executor: &str| {
        let fails = Arc::new(AtomicBool::new(true));
        let server = Server::start(Mode::Failing(Arc::clone(&fails)));
        let plan = plan("{ pause_when: ['http_req_failed > 0.5 over 1s'] }", executor);
        let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).arg("-v").start();
        wait_for(&run, "held-by: [\"http_req_failed 1 > 0.5 over 1s\"]");
        thread::sleep(SETTLE);
        // A probe is one iteration of two steps, at most one a second.
        let probes = traffic(&server, Duration::from_secs(3));
        assert!(probes <= 8, "{executor}: {probes} requests in three seconds of a pause");
        fails.store(false, Ordering::SeqCst);
        wait_for(&run, "paused: \"false\"");
        let before = server.requests().len();
        server.wait_for(before + 4);
        run.signal(Signal::INT);
        let ended = run.end().expect_signalled();
        assert!(ended.stderr.contains("traffic pauses") && ended.stderr.contains("traffic resumes"), "{ended}");
        assert!(paused_ms(&ended) > 2000.0, "{ended}");
        assert!(lag_ms(&ended) < paused_ms(&ended), "a pause is no lag: {ended}");
    };
    thread::scope(|scope| {
        for executor in executors {
            scope.spawn(move || broken(executor));
        }
    });
}

#[test]
fn a_condition_without_a_sample_pauses_nothing() {
    let server = Server::start(Mode::Api);
    let guard = "{ pause_when: ['pool_utilization>0 over 1s', 'http_req_failed{step:one}>0 over 1s'] }";
    let plan = plan(guard, "{ executor: constant-vus, vus: 2, duration: 3s }");
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_ran();
    assert!(ended.stderr.contains("nothing tells of the pool"), "{ended}");
    assert_eq!(paused_ms(&ended), 0.0, "{ended}");
}

#[test]
fn a_condition_that_is_none_is_104_at_its_place() {
    let plan = plan("{ pause_when: ['http_req_failed>0.5'] }", "{ executor: constant-vus, vus: 1, duration: 1s }");
    let ended = Pacecar::new(["check"]).arg(plan.path().as_ref()).end().expect_code(104);
    assert!(ended.stderr.contains(":7:23: `http_req_failed>0.5` is no condition: it has no `over D`"), "{ended}");
}

#[test]
fn a_target_that_asks_to_be_left_alone_is_left_alone() {
    for status in [429, 503] {
        let server = Server::start(Mode::RetryAfter(status, "1", 1));
        let plan = plan("{ max_rate: 1000/s }", "{ executor: per-vu-iterations, vus: 1, iterations: 3 }");
        let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_ran();
        let came = server.requests();
        assert_eq!(came.len(), 6, "{ended}");
        assert!(came[1].at - came[0].at >= Duration::from_secs(1), "{ended}");
        assert!(paused_ms(&ended) >= 990.0, "{ended}");
        assert!(ended.stderr.contains("Retry-After of 1s"), "{ended}");
        let slowest = at(&ended.summary(), &["metrics", "http_req_response_time", "max"]).as_f64().unwrap();
        assert!(slowest < paused_ms(&ended), "{ended}");
    }
    for (status, after) in [(429, "soon"), (503, "0"), (500, "30"), (200, "30")] {
        let server = Server::start(Mode::RetryAfter(status, after, 1));
        let plan = plan("{ max_rate: 1000/s }", "{ executor: per-vu-iterations, vus: 1, iterations: 3 }");
        let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_ran();
        assert_eq!((server.requests().len(), paused_ms(&ended)), (6, 0.0), "{status} {after}: {ended}");
    }
}

/// Something around the load, and something to undo.
fn around() -> PlanFile {
    PlanFile::new(
        "\
name: around
base_url: ${API_URL}
setup:
  - { name: first, request: POST /first, think: 300ms }
  - { name: second, request: POST /second }
teardown: [{ name: unmake, request: DELETE /teardown }]
workflow: [{ name: home, request: POST /things, think: 20ms, undo: 'DELETE /things/{{ iteration }}' }]
scenarios: { main: { executor: constant-vus, vus: 1, duration: 1h } }
guard: { stop_file: stop }
",
    )
}

#[test]
fn a_run_that_is_stopped_while_it_is_held_sends_nothing_more_and_the_next_one_undoes() {
    let server = Server::start(Mode::Api);
    let plan = around();
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).arg("-v").start();
    server.wait_for(6);
    run.signal(Signal::USR1);
    wait_for(&run, "held-by");
    thread::sleep(SETTLE);
    let sent = server.requests().len();
    run.signal(Signal::TERM);
    let ended = run.end().expect_code(122);
    assert_eq!(server.requests().len(), sent, "{ended}");
    assert!(ended.stderr.contains("neither teardown nor undo was sent: traffic is held: SIGUSR1"), "{ended}");
    let made = server.at("/things").len();
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).args(["-i", "1"]).end().expect_ran();
    let undone = server.requests().iter().filter(|request| request.target.starts_with("/things/")).count();
    assert_eq!(undone, made + 1, "{run}");
}

#[test]
fn setup_is_held_too_and_a_run_that_is_stopped_then_ends() {
    let server = Server::start(Mode::Api);
    let plan = around();
    let stop = plan.folder().join("stop");
    for resumes in [true, false] {
        let (before, sent) = (server.at("/second").len(), server.requests().len());
        let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).args(["-v", "-d", "1s"]).start();
        server.wait_for(sent + 1);
        // Setup thinks for a while after its first step; where this machine is faster than that, it waits at the second.
        std::fs::write(&stop, "").unwrap();
        wait_for(&run, "held-by");
        if resumes {
            std::fs::remove_file(&stop).unwrap();
            run.end().expect_ran();
            assert_eq!(server.at("/second").len(), before + 1);
        } else {
            run.signal(Signal::TERM);
            let ended = run.end();
            assert!([105, 120, 122].contains(&ended.code.unwrap_or(0)), "{ended}");
        }
    }
}
