//! The two clocks against a theory: a target that stands still, and a generator that does.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::json::{at, count, number};
use crate::support::{Mode, Pacecar, PlanFile, Server, guardian};

/// The server of the peers' comparison, in a process of its own: a thread cannot be stopped alone.
struct Target {
    child: Child,
    url: String,
}

// === impl Target ===

impl Target {
    fn start(folder: &Path) -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/peers/server.c");
        let program = folder.join("server");
        let built = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).status().expect("cc starts");
        assert!(built.success(), "{source} does not compile");
        let mut child = Command::new(&program).stdout(Stdio::piped()).spawn().expect("the server starts");
        guardian::ends_with_us(child.id(), "KILL");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut port).expect("it prints its port");
        Self { child, url: format!("http://127.0.0.1:{}", port.trim()) }
    }

    /// Stops it for so long, and tells for how long at least it really stood still.
    fn stall(&self, time: Duration) -> Duration {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).expect("it is there to be stopped");
        let since = Instant::now();
        thread::sleep(time);
        let stood = since.elapsed();
        kill_process(pid, Signal::CONT).expect("it is there to go on");
        stood
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stall_is_felt_as_theory_says_whatever_k6s_clock_makes_of_it() {
    // 200/s for 8 s are 1600 requests: p(99) is what the slowest 16 had at least. They came in the first 80 ms of the
    // stall, so it is the stall less 80 ms.
    let plan = PlanFile::new(
        "\
name: stall
base_url: ${API_URL}
tenants: { count: 50, users: 10 }
workflow: [{ name: home, request: GET / }]
scenarios:
  enough: { executor: constant-arrival-rate, rate: 200, duration: 8s, preAllocatedVUs: 400 }
  few: { executor: constant-arrival-rate, rate: 200, duration: 8s, preAllocatedVUs: 5 }
thresholds:
  \"http_req_response_time{scenario:enough}\": [\"p(99)>=0\"]
  \"http_req_response_time{scenario:few}\": [\"p(99)>=0\"]
  \"http_req_duration{scenario:few}\": [\"p(98)>=0\"]
  \"dropped_iterations{scenario:few}\": [\"count>=0\"]
",
    );
    let folder = tempfile::tempdir().expect("a folder for the server");
    let target = Target::start(folder.path());
    let stats = ["--summary-trend-stats", "p(98),p(99)"];
    let running = Pacecar::run(&plan.path()).set("API_URL", &target.url).args(stats).start();
    thread::sleep(Duration::from_secs(3));
    let stalled = target.stall(Duration::from_secs(1));
    // Where the machine is busy the run may be invalid, for lag. What was felt is felt all the same.
    let ended = running.end();
    let summary = ended.summary();
    let metrics = at(&summary, &["metrics"]);

    let theory = (stalled.as_secs_f64() - 0.08) * 1e3;
    let felt = number(metrics, &["http_req_response_time{scenario:enough}", "p(99)"]);
    assert!(felt > 0.95 * theory, "p(99) {felt} ms; in theory {theory} ms\n{ended}");
    assert!(felt < 1.5 * theory, "p(99) {felt} ms; in theory {theory} ms\n{ended}");

    // With five VUs the others of that second are dropped. k6's clock never hears of them; ours does, as a bound.
    let dropped = count(metrics, &["dropped_iterations{scenario:few}", "count"]);
    assert!(dropped > 150, "{dropped} dropped\n{ended}");
    let k6s = number(metrics, &["http_req_duration{scenario:few}", "p(98)"]);
    let ours = number(metrics, &["http_req_response_time{scenario:few}", "p(99)"]);
    assert!(k6s < 0.5 * theory && ours > theory, "k6's clock {k6s} ms, ours {ours} ms, in theory {theory} ms\n{ended}");
    assert!(ours >= felt, "fewer VUs made it better: {ours} ms against {felt} ms\n{ended}");
    assert!(ended.stdout.contains("p(99)=≥"), "{ended}");
}

#[test]
fn a_generator_that_stood_still_makes_the_run_invalid_and_a_slow_target_does_not() {
    let plan = PlanFile::new(
        "\
name: lag
base_url: ${API_URL}
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: constant-arrival-rate, rate: 50, duration: 4s, preAllocatedVUs: 100 } }
thresholds: { http_reqs: [\"count<0\"] }
",
    );
    let server = Server::start(Mode::Api);
    let running = Pacecar::run(&plan.path()).set("API_URL", server.url()).start();
    thread::sleep(Duration::from_millis(1500));
    running.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(1));
    running.signal(Signal::CONT);
    // 120 before 99: figures that say nothing fail nothing.
    let ended = running.end().expect_code(120);
    let summary = ended.summary();
    let own = at(&summary, &["pacecar"]);
    assert_eq!((&own["run"]["verdict"], &own["fidelity"]["valid"]), (&"invalid".into(), &false.into()));
    assert_eq!(own["fidelity"]["reasons"].as_array().map(Vec::len), Some(1), "{own:#}");
    assert!(number(own, &["fidelity", "lag_ms", "p(99)"]) > 500.0, "{own:#}");
    assert_eq!(count(own, &["fidelity", "started"]), 200, "late is not lost: {own:#}");
    assert!(ended.stdout.contains("invalid"), "{ended}");

    let never = Server::start(Mode::Never);
    let plan = std::fs::read_to_string(plan.path()).expect("the plan is there");
    let slow =
        PlanFile::new(plan.replace("duration: 4s", "duration: 1s, gracefulStop: 1s").replace("count<0", "count>=0"));
    let ended = Pacecar::run(&slow.path()).set("API_URL", never.url()).end();
    let fidelity = &ended.summary()["pacecar"]["fidelity"];
    assert_eq!(count(fidelity, &["censored"]), 50, "all of them were cut off: {fidelity}");
    assert_eq!(fidelity["achieved_ratio"], 1, "{fidelity}");
}
