//! An experiment over knobs, on processes, hooks and requests that are real; and that it leaves nothing behind,
//! however it ends.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::Value;

use crate::support::json::{at, text};
use crate::support::pooled::{self, Pooled};
use crate::support::{Ended, Pacecar, PlanFile, Running, postgres};

/// The API of these tests, in a process of its own: no test.
#[test]
#[ignore = "the API of the other tests"]
fn the_api() {
    pooled::serve();
}

/// A plan that turns `POOL_MAX` of the API at `port`.
fn plan(port: u16, tune: &str) -> String {
    plan_at(port, 40, tune)
}

fn plan_at(port: u16, rate: u32, tune: &str) -> String {
    format!(
        "\
name: tuned
environment: dev
base_url: http://127.0.0.1:{port}
http: {{ timeout: 5s }}
workflow: [{{ name: work, request: GET /work }}]
scenarios:
  paced: {{ executor: constant-arrival-rate, rate: {rate}, duration: 1m, preAllocatedVUs: 40 }}
correlate: {{ pool: {{ http: {{ url: /stats, every: 50ms, used: $.pool.used, max: $.pool.max }} }} }}
tune:
  trial: {{ warmup: 200ms, duration: 800ms }}
  hold: {{ factor: 1.2, duration: 1s }}
{tune}"
    )
}

/// `pacecar tune`, of a plan that stands in `plan`.
fn tune(plan: &PlanFile) -> Pacecar {
    Pacecar::new(["tune", "--address", "127.0.0.1:0"])
        .arg(&*plan.path())
        .arg("--result")
        .arg(plan.folder().join("result.json"))
}

fn result(plan: &PlanFile) -> Value {
    let text = fs::read_to_string(plan.folder().join("result.json")).expect("a result");
    serde_json::from_str(&text).expect("JSON")
}

/// The errors of the failed trials of a value.
fn failures(result: &Value, value: &str) -> Vec<String> {
    let trials = at(result, &["trials"]).as_array().expect("a list");
    let of_value = trials.iter().filter(|trial| text(trial, &["knobs", "POOL_MAX"]) == value);
    of_value.filter_map(|trial| trial["error"].as_str().map(str::to_owned)).collect()
}

/// The lines of the API's log.
fn log(plan: &PlanFile) -> Vec<String> {
    let text = fs::read_to_string(plan.folder().join("api.log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Waits for what must come, at most half a minute.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} does not come");
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_alive(pid: i32) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    !zombie && Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// Whether nobody listens there any more.
fn is_free(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
}

fn process(port: u16, tune: &str) -> PlanFile {
    let command = pooled::command();
    let apply = format!("  apply: {{ process: {{ command: {command}, ready: GET /healthz, within: 20s }} }}\n");
    PlanFile::new(plan(port, &format!("{apply}{tune}")))
}

/// With what the API of a plan is started.
fn started(plan: &PlanFile, port: u16) -> Pacecar {
    let log = plan.folder().join("api.log");
    tune(plan).env("PORT", port.to_string()).env("LOG", log)
}

#[test]
fn a_process_is_tuned_and_nothing_of_it_is_left() {
    let port = pooled::free_port();
    let plan = process(port, "  knobs: { POOL_MAX: [1, 4] }\n  original: { POOL_MAX: 4 }\n  budget: { trials: 20 }\n");
    // With one place of 10 ms each, 90 a second are nine tenths of what it can: too much by the constraint.
    fs::write(plan.path(), fs::read_to_string(plan.path()).unwrap().replace("rate: 40", "rate: 90")).unwrap();
    let env = plan.folder().join("pool.env");
    let ended = started(&plan, port).arg("--write-env").arg(&env).limit(Duration::from_secs(180)).end();
    let result = result(&plan);
    let trials = at(&result, &["trials"]).as_array().unwrap();
    let of = |value: &str| trials.iter().filter(|trial| text(trial, &["knobs", "POOL_MAX"]) == value).count();
    assert!(of("4") >= 3, "{result:#}");
    // On a machine that is busy with other tests nothing may be believed; what is said is never wrong.
    match text(&result, &["verdict"]) {
        "recommended" => {
            assert_eq!(ended.code, Some(0), "{ended}");
            assert_eq!(text(&result, &["recommendation", "POOL_MAX"]), "4", "{ended}");
            assert_eq!(fs::read_to_string(&env).unwrap(), "POOL_MAX=4\n");
            assert!(of("4") >= 5 && trials.iter().any(|trial| trial["hold"] == true), "{result:#}");
            assert!(ended.stdout.contains("recommended: POOL_MAX=4"), "{ended}");
        }
        verdict => {
            assert_eq!((verdict, ended.code), ("inconclusive", Some(120)), "{ended}");
            assert!(!env.exists() && at(&result, &["recommendation"]).is_null(), "{ended}");
        }
    }
    assert!(ended.stderr.contains("trial 1 of at most 20"), "{ended}");
    assert!(is_free(port), "what was started has ended");
    let known = ["plan.yaml", "result.json", "pool.env", "api.log"];
    for file in fs::read_dir(plan.folder()).unwrap() {
        let name = file.unwrap().file_name();
        assert!(known.iter().any(|known| *known == name), "{name:?} is left");
    }
}

#[test]
fn a_value_with_which_the_api_does_not_start_is_a_failed_trial_and_not_the_end() {
    let port = pooled::free_port();
    let plan = process(port, "  knobs: { POOL_MAX: [2, 4] }\n  budget: { trials: 6 }\n");
    let ended = started(&plan, port).env("REFUSES", "2").set("SECRET", "hunter222").end();
    let result = result(&plan);
    let failed = failures(&result, "2");
    assert!(!failed.is_empty(), "{ended}\n{result:#}");
    for failure in failed {
        assert!(failure.contains("exit status: 3") && failure.contains("a pool of 2 is not for me"), "{failure}");
        assert!(!failure.contains("hunter222"), "{failure}");
    }
    let trials = at(&result, &["trials"]).as_array().unwrap();
    assert!(trials.iter().any(|trial| trial["error"].is_null()), "{result:#}");
    assert!(at(&result, &["improvement"]).is_null() && is_free(port));
}

#[test]
fn a_value_that_is_ready_too_late_is_a_failed_trial_and_not_the_end() {
    let port = pooled::free_port();
    let plan = process(port, "  knobs: { POOL_MAX: [2, 4] }\n  original: { POOL_MAX: 4 }\n  budget: { trials: 6 }\n");
    let text = fs::read_to_string(plan.path()).unwrap();
    fs::write(plan.path(), text.replace("within: 20s", "within: 3s").replace("[2, 4]", "[2]")).unwrap();
    let ended = started(&plan, port).env("LINGERS", "2").end();
    let result = result(&plan);
    let failed = failures(&result, "2");
    assert!(!failed.is_empty() && failed[0].contains("not ready within 3s"), "{ended}\n{result:#}");
    assert!(is_free(port));
}

#[test]
fn an_api_that_dies_under_a_value_is_a_failed_trial_and_not_the_end() {
    let port = pooled::free_port();
    let plan = process(port, "  knobs: { POOL_MAX: [2] }\n  original: { POOL_MAX: 4 }\n  budget: { trials: 6 }\n");
    let ended = started(&plan, port).env("DIES", "2").end();
    let failed = failures(&result(&plan), "2");
    assert!(!failed.is_empty() && failed[0].contains("the target was lost: it ended with exit status: 5"), "{ended}");
    assert!(failures(&result(&plan), "4").is_empty() && is_free(port), "{ended}");
}

#[test]
fn a_port_that_somebody_else_has_is_not_taken_for_the_api() {
    let other = Pooled::start("4", &[]);
    let plan = process(other.port, "  knobs: { POOL_MAX: [2] }\n  budget: { trials: 3 }\n");
    let ended = started(&plan, other.port).end();
    let failed = failures(&result(&plan), "2");
    assert!(!failed.is_empty() && failed[0].contains("answered already"), "{ended}");
    assert!(log(&plan).is_empty(), "nothing was started");
}

#[test]
fn another_size_than_the_one_that_was_set_is_no_trial_of_it() {
    let port = pooled::free_port();
    let plan = process(port, "  knobs: { POOL_MAX: [2] }\n  budget: { trials: 3 }\n");
    let ended = started(&plan, port).env("DEAF", "1").end();
    let failed = failures(&result(&plan), "2");
    assert!(!failed.is_empty() && failed[0].contains("POOL_MAX=2 was set, and the pool says 3"), "{ended}");
}

#[test]
fn what_a_tune_started_dies_with_it_with_all_its_children() {
    let port = pooled::free_port();
    let plan = process(port, "  knobs: { POOL_MAX: [4] }\n");
    for signal in [Signal::KILL, Signal::TERM] {
        let _ = fs::remove_file(plan.folder().join("child.pid"));
        let running = started(&plan, port).env("CHILD", "1").start();
        until("the API", || !is_free(port));
        let mut child = None;
        until("its child", || {
            let text = fs::read_to_string(plan.folder().join("child.pid")).unwrap_or_default();
            child = text.trim().parse::<i32>().ok().filter(|pid| is_alive(*pid));
            child.is_some()
        });
        let asked = Instant::now();
        running.signal(signal);
        let ended = running.end();
        if signal == Signal::TERM {
            assert_eq!(ended.code, Some(105), "{ended}");
            assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
            assert!(is_free(port) && !child.is_some_and(is_alive), "it ends before the tune does");
        }
        until("the end of the API", || is_free(port));
        until("the end of its child", || !child.is_some_and(is_alive));
    }
}

/// A plan whose hook writes the value into a file beside it, in which it says what is in effect.
fn hook(port: u16, tune: &str) -> PlanFile {
    let apply = "  apply: { exec: { command: [sh, set.sh], ready: GET /healthz, within: 20s } }\n";
    let script = "echo \"$POOL_MAX\" >> applied\necho \"setting $POOL_MAX\"\n[ \"$POOL_MAX\" != 13 ] || exit 7\n";
    // The hook changes a file and not the API: nobody asks that for its size.
    let text = plan(port, &format!("{apply}{tune}")).replace("correlate:", "# correlate:");
    PlanFile::new(text).with("set.sh", script)
}

/// What the hook set, in order.
fn applied(plan: &PlanFile) -> Vec<String> {
    let text = fs::read_to_string(plan.folder().join("applied")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn mark(plan: &PlanFile) -> std::path::PathBuf {
    plan.folder().join("plan.yaml.tune")
}

/// A run of a plan whose hook set something else than the original.
fn interrupted(plan: &PlanFile) -> Running {
    let running = tune(plan).arg("-v").start();
    until("a value", || applied(plan).iter().any(|value| value != "4"));
    running
}

const SET_BY_HOOK: &str = "  knobs: { POOL_MAX: [2] }\n  original: { POOL_MAX: 4 }\n";

#[test]
fn a_hook_sets_the_values_and_the_original_is_back_in_the_end() {
    let api = Pooled::start("4", &[]);
    let tune_it = "  knobs: { POOL_MAX: [13, 4] }\n  original: { POOL_MAX: 4 }\n  budget: { trials: 6 }\n";
    let plan = hook(api.port, tune_it);
    let ended = tune(&plan).end();
    let failed = failures(&result(&plan), "13");
    assert!(!failed.is_empty() && failed[0].contains("exit status: 7: setting 13"), "{failed:?} {ended}");
    assert_eq!(applied(&plan).last().map(String::as_str), Some("4"), "{ended}");
    assert!(!mark(&plan).exists());
}

#[test]
fn ctrl_c_puts_the_original_back_within_five_seconds() {
    let api = Pooled::start("2", &[]);
    let plan = hook(api.port, SET_BY_HOOK);
    let running = interrupted(&plan);
    let asked = Instant::now();
    running.signal(Signal::INT);
    until("the original", || applied(&plan).last().is_some_and(|value| value == "4"));
    let took = asked.elapsed();
    let ended = running.end().expect_code(105);
    assert!(took < Duration::from_secs(5), "{took:?}: {ended}");
    assert!(!mark(&plan).exists(), "{ended}");
}

#[test]
fn a_hook_that_is_interrupted_does_not_land_on_the_original() {
    let api = Pooled::start("2", &[]);
    let plan = hook(api.port, SET_BY_HOOK);
    let script = "[ \"$POOL_MAX\" = 4 ] || { echo begun > begun; sleep 2; }\necho \"$POOL_MAX\" >> applied\n";
    fs::write(plan.folder().join("set.sh"), script).unwrap();
    let running = tune(&plan).start();
    until("the hook", || plan.folder().join("begun").exists());
    running.signal(Signal::INT);
    let ended = running.end().expect_code(105);
    assert_eq!(applied(&plan).last().map(String::as_str), Some("4"), "{ended}");
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(applied(&plan).last().map(String::as_str), Some("4"), "and so it stays");
}

#[test]
fn what_a_killed_tune_left_is_found_and_put_back() {
    let api = Pooled::start("2", &[]);
    let plan = hook(api.port, SET_BY_HOOK);
    let kill = || {
        let running = interrupted(&plan);
        running.signal(Signal::KILL);
        running.end();
        assert_eq!(applied(&plan).last().map(String::as_str), Some("2"));
        assert!(fs::read_to_string(mark(&plan)).unwrap().contains("\"POOL_MAX\": \"4\""));
    };
    kill();
    let restore = || Pacecar::new(["tune", "--restore"]).arg(&*plan.path()).end().expect_code(0);
    let ended = restore();
    assert!(ended.stdout.contains("restored: POOL_MAX=4"), "{ended}");
    assert_eq!(applied(&plan).last().map(String::as_str), Some("4"));
    assert!(!mark(&plan).exists());
    assert!(restore().stdout.contains("nothing to restore"));
    fs::remove_file(plan.folder().join("applied")).unwrap();
    kill();
    fs::remove_file(plan.folder().join("applied")).unwrap();
    let text = fs::read_to_string(plan.path()).unwrap();
    fs::write(plan.path(), format!("{text}  budget: {{ trials: 1 }}\n")).unwrap();
    let ended = tune(&plan).end();
    assert!(ended.stderr.contains("a tune that was killed left POOL_MAX=2 in effect"), "{ended}");
    assert_eq!(applied(&plan).first().map(String::as_str), Some("4"), "first of all");
    assert!(!mark(&plan).exists());
}

#[test]
fn two_tunes_of_one_plan_do_not_run_at_once() {
    let api = Pooled::start("2", &[]);
    let plan = hook(api.port, SET_BY_HOOK);
    let running = interrupted(&plan);
    let ended = Pacecar::new(["tune", "--address", "127.0.0.1:0"]).arg(&*plan.path()).end().expect_code(121);
    assert!(ended.stderr.contains("another tune of this plan is running"), "{ended}");
    running.signal(Signal::INT);
    running.end().expect_code(105);
}

#[test]
fn a_request_sets_the_values_as_numbers_and_puts_the_original_back() {
    let api = Pooled::start("4", &[]);
    let apply = "  apply: { http: { request: PUT /pool, json: { max: \"{{ knobs.POOL_MAX }}\" } } }\n";
    let tune_it = "  knobs: { POOL_MAX: [3, 5000] }\n  original: { POOL_MAX: 4 }\n  budget: { trials: 6 }\n";
    let plan = PlanFile::new(plan(api.port, &format!("{apply}{tune_it}")));
    let ended = tune(&plan).end();
    let result = result(&plan);
    let failed = failures(&result, "5000");
    assert!(!failed.is_empty() && failed[0].contains("status 400"), "{failed:?}\n{ended}");
    let trials = at(&result, &["trials"]).as_array().unwrap();
    let read_back = trials.iter().filter(|trial| trial["error"].is_null());
    assert!(read_back.count() >= 2, "{result:#}");
    assert_eq!(api.size(), 4, "{ended}");
    assert!(!mark(&plan).exists());
}

#[test]
fn an_operator_stops_it_and_the_original_is_back() {
    let api = Pooled::start("2", &[]);
    let plan = hook(api.port, SET_BY_HOOK);
    let running = interrupted(&plan);
    let address = running.address("control").to_string();
    let status = Pacecar::new(["status", "--address", &address]).end().expect_code(0);
    assert!(status.stdout.contains("running"), "{status}");
    Pacecar::new(["stop", "--address", &address]).end().expect_code(0);
    running.end().expect_code(103);
    assert_eq!(applied(&plan).last().map(String::as_str), Some("4"));
}

#[test]
fn what_the_database_cannot_hold_is_not_tried() {
    let database = postgres::shared();
    let most = database.count("SELECT current_setting('max_connections')::bigint");
    let port = pooled::free_port();
    let tune_it = format!(
        "  knobs: {{ POOL_MAX: [4, {most}] }}\n  capacity: {{ replicas: 2, surge: 0.5, reserve: 3 }}\n  budget: {{ trials: 3 }}\n"
    );
    let plan = process(port, &tune_it);
    let text = fs::read_to_string(plan.path()).unwrap();
    fs::write(plan.path(), text.replace("correlate: { ", "correlate: { postgres: { url: \"${DATABASE_URL}\" }, "))
        .unwrap();
    let ended = started(&plan, port).env("DATABASE_URL", &database.url).end();
    assert!(log(&plan).iter().all(|line| !line.ends_with(&format!(" {most}"))), "{ended}");
    let result = result(&plan);
    let reasons = at(&result, &["reasons"]).to_string();
    let formula =
        format!("2 × {most} × (1 + 0.5) + 3 = {} connections, of which the database has {most}", most * 3 + 3);
    assert!(reasons.contains(&formula), "{reasons}");
}

#[test]
fn a_database_that_refuses_connections_ends_it_before_anything_is_set() {
    let api = Pooled::start("2", &[]);
    let plan = hook(api.port, SET_BY_HOOK);
    let text = fs::read_to_string(plan.path()).unwrap();
    let port = pooled::free_port();
    let cleanup = format!(
        "cleanup: {{ postgres: {{ url: postgres://a@127.0.0.1:{port}/b, roots: [{{ table: users, where: \"email LIKE 'test-%'\" }}] }} }}\n"
    );
    fs::write(plan.path(), format!("{text}{cleanup}")).unwrap();
    let ended = tune(&plan).end().expect_code(121);
    assert!(ended.stderr.contains("cleanup"), "{ended}");
    assert!(applied(&plan).is_empty() && !mark(&plan).exists());
}

/// A tune over a hook with rows to clean up, whose database refuses connections once a value is set. It takes them again
/// after `refused`, or when the tune has ended.
fn with_a_failing_database(refused: Option<Duration>) -> (PlanFile, Ended) {
    let shared = postgres::shared();
    let url = shared.another();
    let database = shared.beside(url.clone());
    database.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text)");
    let name = url.rsplit('/').next().and_then(|name| name.split('?').next()).expect("a name").to_owned();
    let api = Pooled::start("2", &[]);
    let plan = hook(api.port, "  knobs: { POOL_MAX: [2] }\n  original: { POOL_MAX: 4 }\n  budget: { trials: 6 }\n");
    let text = fs::read_to_string(plan.path()).unwrap();
    let cleanup = "cleanup: { lease: 2s, postgres: { url: \"${DATABASE_URL}\", follow: none, \
                   roots: [{ table: users, where: \"email LIKE 'test-%'\" }] } }\n";
    fs::write(plan.path(), format!("{text}{cleanup}")).unwrap();
    let running = tune(&plan).env("DATABASE_URL", &url).start();
    until("a value", || applied(&plan).iter().any(|value| value == "2"));
    shared.execute(&format!(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    ));
    let allow = || shared.execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    if let Some(refused) = refused {
        thread::sleep(refused);
        allow();
    }
    let ended = running.end();
    allow();
    assert_eq!(applied(&plan).last().map(String::as_str), Some("4"), "{ended}");
    assert!(!mark(&plan).exists());
    (plan, ended)
}

#[test]
fn a_database_that_refuses_connections_for_long_ends_it_with_the_original_back() {
    let (_, ended) = with_a_failing_database(None);
    assert!(matches!(ended.code, Some(121 | 122)), "{ended}");
}

#[test]
fn a_database_that_refuses_connections_for_a_moment_costs_a_trial() {
    let (plan, ended) = with_a_failing_database(Some(Duration::from_millis(1500)));
    assert!(plan.folder().join("result.json").exists(), "{ended}");
    // Nothing is certain of a machine that takes longer for the trial than the database is away.
    if !failures(&result(&plan), "2").is_empty() {
        assert_eq!(ended.code, Some(120), "the experiment goes on: {ended}");
    }
}

#[test]
fn what_is_wrong_is_told_before_anything_is_set() {
    let port = pooled::free_port();
    let none = PlanFile::new("name: none\nbase_url: http://127.0.0.1:1\nworkflow: [{ request: GET / }]\n");
    let ended = tune(&none).end().expect_code(104);
    assert!(ended.stderr.contains("plan.yaml:1:1: the plan has no section `tune`"), "{ended}");
    let wrong = "  knobs: { POOL_MAX: [2] }
  apply: { http: { request: PUT /pool, json: { max: \"{{ knobs.POOL_MIN }}\" } } }
  constraints: { pool_utilisation: \"<0.8\", http_req_failed: \"=0\", http_req_duration: \"count<1s\" }
  objective: { metric: http_reqs }
";
    let plan = PlanFile::new(plan(port, wrong));
    for ended in [tune(&plan).end(), Pacecar::new(["check"]).arg(&*plan.path()).end()] {
        let ended: Ended = ended.expect_code(104);
        for problem in [
            "`knobs.POOL_MIN` is unknown",
            "no metric is called \"pool_utilisation\"",
            "`=0` is no constraint",
            "`count<1s` is no constraint",
            "the objective http_reqs is no trend",
        ] {
            assert!(ended.stderr.contains(problem), "{problem}: {ended}");
        }
        assert!(ended.stderr.contains("did you mean `pool_utilization`?"), "{ended}");
    }
}

#[test]
fn a_hold_that_the_guard_does_not_allow_is_refused_before_the_first_trial() {
    let api = Pooled::start("2", &[]);
    let plan = hook(api.port, SET_BY_HOOK);
    let text = fs::read_to_string(plan.path()).unwrap();
    fs::write(plan.path(), format!("{text}guard: {{ environments: [dev], max_rate: 45/s }}\n")).unwrap();
    let ended = tune(&plan).end().expect_code(121);
    assert!(ended.stderr.contains("`tune.hold` is more than is allowed"), "{ended}");
    assert!(applied(&plan).is_empty());
}

#[test]
fn a_plan_with_a_tune_is_run_as_any_other() {
    let api = Pooled::start("4", &[]);
    let plan = hook(api.port, SET_BY_HOOK);
    let text = fs::read_to_string(plan.path()).unwrap();
    fs::write(plan.path(), text.replace("duration: 1m", "duration: 1s")).unwrap();
    Pacecar::run(&plan.path()).end().expect_code(0);
    assert!(applied(&plan).is_empty());
    assert!(Path::new(&plan.path().to_path_buf()).exists());
}
