//! The generator on trial: what FIDELITY says of one that was held back, and of one that was not.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::arrivals::ArrivalsServer;
use crate::support::json::{at, count, number, text};
use crate::support::{Mode, Pacecar, PlanFile, Server};

#[test]
fn vus_that_stood_still_make_the_run_invalid_though_nothing_of_theirs_is_late() {
    let plan = PlanFile::new(
        "\
name: closed
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, think: 20ms }]
scenarios: { main: { executor: constant-vus, vus: 4, duration: 5s } }
",
    );
    let server = ArrivalsServer::start();
    let running = Pacecar::run(&plan.path()).set("API_URL", server.url()).start();
    server.wait_for_first();
    thread::sleep(Duration::from_millis(1000));
    running.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(2));
    running.signal(Signal::CONT);
    let ended = running.end().expect_code(120);
    let summary = ended.summary();
    let fidelity = at(&summary, &["pacecar", "fidelity"]);
    let reasons = fidelity["reasons"].as_array().expect("a list");
    assert!(
        reasons.iter().any(|reason| reason.as_str().is_some_and(|it| it.contains("stood still for"))),
        "{fidelity:#}"
    );
    assert_eq!(count(fidelity, &["scheduled"]), count(fidelity, &["started"]), "of VUs they are the same");
}

#[test]
fn what_a_sleeping_generator_drops_is_its_own_doing_however_few_late_starts_there_are() {
    // One VU of 2 ms could serve all of it. The second in which nothing moved leaves one late start, which no p(99) of lag
    // would show in a longer run, and as good as 100 drops of 500.
    let plan = PlanFile::new(
        "\
name: missed
base_url: ${API_URL}
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: constant-arrival-rate, rate: 100, duration: 5s, preAllocatedVUs: 1, maxVUs: 1 } }
",
    );
    let server = ArrivalsServer::start();
    let running = Pacecar::run(&plan.path()).set("API_URL", server.url()).start();
    server.wait_for_first();
    thread::sleep(Duration::from_millis(1000));
    running.signal(Signal::STOP);
    thread::sleep(Duration::from_millis(1500));
    running.signal(Signal::CONT);
    let ended = running.end().expect_code(120);
    let summary = ended.summary();
    let fidelity = at(&summary, &["pacecar", "fidelity"]);
    assert_eq!(count(fidelity, &["scheduled"]), 500, "what the schedule has, whatever became of it: {fidelity:#}");
    assert_eq!(count(fidelity, &["started"]) + count(fidelity, &["dropped"]), 500, "{fidelity:#}");
    assert!(ended.stdout.contains("of what was due while VUs were free"), "{ended}");
}

#[test]
fn too_few_vus_and_a_target_that_never_answers_are_not_the_generators_fault() {
    let plan = PlanFile::new(
        "\
name: few
base_url: ${API_URL}
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: constant-arrival-rate, rate: 50, duration: 2s, preAllocatedVUs: 2, maxVUs: 2, gracefulStop: 0s } }
",
    );
    let never = Server::start(Mode::Never);
    let ended = Pacecar::run(&plan.path()).set("API_URL", never.url()).end();
    let summary = ended.summary();
    let fidelity = at(&summary, &["pacecar", "fidelity"]);
    let numbers = ["scheduled", "started", "dropped", "censored"].map(|key| count(fidelity, &[key]));
    assert_eq!(numbers, [100, 2, 98, 100], "{fidelity:#}");
    // On a machine that stood still as well, lag may say so; the drops never do.
    assert!(!ended.stdout.contains("while VUs were free"), "{ended}");
    assert!(ended.stdout.contains("not tested: iterations were dropped"), "{ended}");
}

#[test]
fn a_signal_ends_the_schedule_where_it_came() {
    let plan = PlanFile::new(
        "\
name: signal
base_url: ${API_URL}
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: constant-arrival-rate, rate: 20, duration: 60s, preAllocatedVUs: 20 } }
",
    );
    let server = ArrivalsServer::start();
    let running = Pacecar::run(&plan.path()).set("API_URL", server.url()).start();
    server.wait_for_first();
    thread::sleep(Duration::from_millis(1000));
    running.signal(Signal::TERM);
    let ended = running.end();
    let summary = ended.summary();
    let fidelity = at(&summary, &["pacecar", "fidelity"]);
    let scheduled = count(fidelity, &["scheduled"]);
    // Not the 1,200 of the whole minute.
    assert!((1..200).contains(&scheduled), "{fidelity:#}");
    assert_eq!(scheduled, count(fidelity, &["started"]) + count(fidelity, &["dropped"]), "{fidelity:#}");
    assert!(!ended.stdout.contains("while VUs were free"), "{ended}");
}

#[test]
fn reasons_say_what_to_do_and_validity_is_what_the_figures_say() {
    let plan = PlanFile::new(
        "\
name: calm
base_url: ${API_URL}
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: constant-arrival-rate, rate: 100, duration: 2s, preAllocatedVUs: 50 } }
",
    );
    let server = ArrivalsServer::start();
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end();
    let summary = ended.summary();
    let fidelity = at(&summary, &["pacecar", "fidelity"]);
    assert_eq!(count(fidelity, &["scheduled"]), 200, "{fidelity:#}");
    let reasons = fidelity["reasons"].as_array().expect("a list");
    // Whether this machine was calm nobody knows; that exit, verdict, reasons and figures agree is up to pacecar.
    let valid = fidelity["valid"] == true;
    assert_eq!((valid, valid), (reasons.is_empty(), ended.code == Some(0)), "{ended}");
    assert_eq!(text(&summary, &["pacecar", "run", "verdict"]) == "invalid", !valid);
    if number(fidelity, &["lag_ms", "p(99)"]) > 50.0 {
        assert!(!valid, "{fidelity:#}");
        assert!(reasons.iter().all(|reason| reason.as_str().is_some_and(|it| it.contains("give it"))), "{reasons:?}");
    }
    if number(fidelity, &["lag_ms", "max"]) <= 20.0 {
        assert!(valid, "{fidelity:#}");
    }
}

/// What takes minutes, or the whole machine: `make soak`.
mod soak {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A loop that is busy on the first core, for at most 20 s.
    struct BusyLoop(Child);

    impl BusyLoop {
        fn start() -> Self {
            let busy = ["-c", "0", "timeout", "20", "sh", "-c", "while :; do :; done"];
            Self(Command::new("taskset").args(busy).stdin(Stdio::null()).spawn().expect("taskset starts"))
        }
    }

    impl Drop for BusyLoop {
        fn drop(&mut self) {
            // `timeout` takes its child with it.
            let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
    }

    fn plan(executor: &str) -> PlanFile {
        PlanFile::new(format!(
            "\
name: soak
base_url: ${{API_URL}}
workflow: [{{ name: home, request: GET / }}]
scenarios: {{ main: {{ {executor} }} }}
"
        ))
    }

    const OPEN: &str = "executor: constant-arrival-rate, rate: 200, duration: 2s, preAllocatedVUs: 50";

    #[test]
    #[ignore = "make soak: 45 s, on a machine with nothing else to do"]
    fn a_calm_generator_is_valid_in_20_runs() {
        let (plan, server) = (plan(OPEN), ArrivalsServer::start());
        let lags: Vec<f64> = (0..20)
            .map(|_| {
                let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
                number(&ended.summary(), &["pacecar", "fidelity", "lag_ms", "p(99)"])
            })
            .collect();
        assert!(lags.iter().all(|lag| *lag <= 50.0), "valid, and still late: {lags:.3?} ms");
    }

    #[test]
    #[ignore = "make soak: keeps a core busy"]
    fn a_generator_crowded_out_of_its_core_is_invalid() {
        let server = ArrivalsServer::start();
        for executor in [
            "executor: constant-arrival-rate, rate: 200, duration: 5s, preAllocatedVUs: 50",
            "executor: constant-vus, vus: 20, duration: 5s",
        ] {
            let plan = plan(executor);
            let _busy: Vec<BusyLoop> = (0..4).map(|_| BusyLoop::start()).collect();
            let crowd = ["-c", "0", "nice", "-n", "19"];
            let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).under("taskset", &crowd).end();
            let ended = ended.expect_code(120);
            assert!(ended.stdout.contains("of 1 cores"), "{ended}");
        }
    }

    #[test]
    #[ignore = "make soak: needs the right to make a control group"]
    fn a_throttled_generator_is_invalid_and_names_its_limit() {
        let group = std::path::Path::new("/sys/fs/cgroup/cpu/pacecar-soak");
        std::fs::create_dir_all(group).expect("a control group with a CPU limit (cgroup v1, as root)");
        std::fs::write(group.join("cpu.cfs_period_us"), "100000").expect("its period");
        std::fs::write(group.join("cpu.cfs_quota_us"), "3000").expect("its limit");
        let (plan, server) = (
            plan("executor: constant-arrival-rate, rate: 300, duration: 5s, preAllocatedVUs: 50"),
            ArrivalsServer::start(),
        );
        let join = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.display());
        let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).under("sh", &["-c", &join, "sh"]).end();
        let _ = std::fs::remove_dir(group);
        let ended = ended.expect_code(120);
        let reasons = &ended.summary()["pacecar"]["fidelity"]["reasons"];
        assert!(reasons[0].as_str().is_some_and(|reason| reason.contains("CPU throttling held it back")), "{reasons}");
    }
}
