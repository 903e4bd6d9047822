//! Results: written by a run, rendered again, and the results of several workers put together as one run.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::json::{at, count, number, text};
use crate::support::plan::three_steps;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

/// A folder for results.
struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn json(&self, name: &str) -> Value {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// `pacecar COMMAND FILE...`
fn pacecar<P: AsRef<Path>>(command: &str, files: impl IntoIterator<Item = P>) -> Pacecar {
    files.into_iter().fold(Pacecar::new([command]), |call, file| call.arg(file.as_ref()))
}

/// A run whose result stands on the shelf.
fn run(plan: &PlanFile, server: &Server, result: &Path) -> Pacecar {
    Pacecar::run(&plan.path()).set("API_URL", server.url()).arg("--result").arg(result)
}

#[track_caller]
fn refused(ended: Ended, names: &str) {
    let ended = ended.expect_code(104);
    assert!(ended.stderr.contains(names), "the message does not name {names}: {ended}");
    assert!(ended.stdout.trim().is_empty(), "{ended}");
}

#[test]
fn a_result_renders_as_the_run_printed_it_and_holds_full_histograms() {
    let (server, shelf) = (Server::start(Mode::Later(500, 4)), Shelf::new());
    let ended = run(&three_steps(), &server, &shelf.path("r.json")).end();
    assert!(matches!(ended.code, Some(99 | 120)), "{ended}");
    assert_eq!(shelf.names(), ["r.json"], "nothing is left beside it");
    let result = shelf.json("r.json");
    assert_eq!((count(&result, &["version"]), text(&result, &["format"])), (1, "pacecar-result"));
    assert_eq!(at(&result, &["summary"]), &ended.summary());
    let login = &result["totals"]["scenarios"][0]["steps"][0];
    let requests = count(login, &["expected", "count"]) + count(login, &["unexpected", "count"]);
    let of = |kind: &str| login[kind]["trends"]["http_req_duration"]["count"].as_u64().unwrap_or(0);
    assert_eq!(of("expected") + of("unexpected"), requests, "{login:#}");
    let traces = &result["totals"]["failures"][0]["last"];
    let id = text(&result, &["run", "id"]);
    assert!(traces[0]["trace"].as_str().is_some_and(|trace| trace.starts_with(id)), "{traces}");

    let summary = shelf.path("summary.json");
    let again = pacecar("report", [shelf.path("r.json")]).arg("--summary-export").arg(&summary);
    let again = again.arg("--result").arg(shelf.path("again.json")).end().expect_code(0);
    assert_eq!(again.stdout, ended.stdout);
    assert_eq!(shelf.json("summary.json"), ended.summary());
    assert_eq!(shelf.json("again.json")["totals"], result["totals"]);
}

#[test]
fn the_results_of_segments_are_one_run_whose_thresholds_are_judged_on_the_whole() {
    let plan = PlanFile::new(
        "\
name: parts
base_url: ${API_URL}
workflow:
  - { name: a, request: GET /a, expect: { status: 200 }, metrics: { cost: { trend: $.cost } } }
  - { name: b, request: GET /b, expect: { status: 200 } }
scenarios: { main: { executor: shared-iterations, vus: 4, iterations: 31 } }
thresholds: { http_reqs: [count==62], iterations: [count==31] }
",
    );
    let (server, shelf) = (Server::start(Mode::Api), Shelf::new());
    let files: Vec<PathBuf> = (0..3).map(|n| shelf.path(&format!("{n}.json"))).collect();
    let mut sum = 0;
    for (n, file) in files.iter().enumerate() {
        // As a worker of an Indexed Job; one says it by flag.
        let call = run(&plan, &server, file);
        let call = if n == 2 {
            call.args(["--execution-segment", "2/3:1"])
        } else {
            call.env("JOB_COMPLETION_INDEX", n.to_string()).env("JOB_COMPLETIONS", "3")
        };
        let ended = call.end();
        assert!(matches!(ended.code, Some(99 | 120)), "no part alone has them all: {ended}");
        sum += count(&ended.summary(), &["metrics", "iterations", "count"]);
    }
    assert_eq!(sum, 31);
    let summary = shelf.path("summary.json");
    let call = pacecar("merge", &files).arg("--summary-export").arg(&summary);
    let ended = call.arg("--result").arg(shelf.path("whole.json")).end().expect_ran();
    let whole = shelf.json("summary.json");
    assert_eq!(count(&whole, &["metrics", "iterations", "count"]), 31);
    assert_eq!(count(&whole, &["metrics", "http_reqs", "count"]), 62);
    assert_eq!(count(&whole, &["pacecar", "fidelity", "completed"]), 31);
    assert_eq!(count(&whole, &["root_group", "groups", "a", "checks", "a status", "passes"]), 31);
    assert_eq!(at(&whole, &["metrics", "http_reqs", "thresholds", "count==62"]), &Value::Bool(false));
    // Rates are over the time in which any of them played: one after the other, so the sum.
    let parts = files
        .iter()
        .map(|file| number(&shelf.json(file.file_name().unwrap().to_str().unwrap()), &["run", "duration_ms"]));
    let time = parts.sum::<f64>() / 1e3;
    let rate = number(&whole, &["metrics", "http_reqs", "rate"]);
    assert!((rate - 62.0 / time).abs() < 0.01 * rate, "{rate} over {time} s");
    // What is merged is a result as any other.
    let again = pacecar("report", [shelf.path("whole.json")]).end().expect_code(0);
    assert_eq!(again.stdout, ended.stdout);
    assert_eq!(at(&shelf.json("whole.json"), &["workers"]).as_array().unwrap().len(), 3);

    refused(pacecar("merge", [&files[0], &files[1], &files[0]]).end(), "0.json");
    refused(pacecar("merge", [&shelf.path("whole.json"), &files[1]]).end(), "1.json");
}

#[test]
fn merged_percentiles_are_those_of_all_requests_together() {
    let plan = |step: &str| {
        format!(
            "name: sides\nbase_url: ${{API_URL}}\nworkflow: [{{ name: a, request: GET {step}, think: 1ms }}]\n\
             scenarios: {{ main: {{ executor: shared-iterations, vus: 1, iterations: 20 }} }}\n\
             thresholds: {{ \"http_reqs{{status:500}}\": [count==20] }}\n"
        )
    };
    let (server, shelf) = (Server::start(Mode::StatusAt("/bad", 500)), Shelf::new());
    for (name, step) in [("good.json", "/good"), ("bad.json", "/bad")] {
        run(&PlanFile::new(plan(step)), &server, &shelf.path(name)).end();
    }
    let summary = shelf.path("summary.json");
    let files = ["good.json", "bad.json"].map(|name| shelf.path(name));
    let ended = pacecar("merge", files).arg("--summary-export").arg(&summary).end().expect_ran();
    assert!(ended.stderr.contains("warning") && ended.stderr.contains("different texts"), "{ended}");
    let whole = shelf.json("summary.json");
    assert_eq!(number(&whole, &["metrics", "http_req_failed", "value"]), 0.5);
    let of = |name: &str| shelf.json(name)["summary"]["metrics"]["http_req_duration"].clone();
    let (one, other) = (of("good.json"), of("bad.json"));
    let merged = at(&whole, &["metrics", "http_req_duration"]);
    let extreme = |key: &str, pick: fn(f64, f64) -> f64| pick(number(&one, &[key]), number(&other, &[key]));
    assert_eq!(number(merged, &["min"]), extreme("min", f64::min));
    assert_eq!(number(merged, &["max"]), extreme("max", f64::max));
    let mean = (number(&one, &["avg"]) + number(&other, &["avg"])) / 2.0;
    assert!((number(merged, &["avg"]) - mean).abs() < 1e-9, "{merged}");
}

#[test]
fn what_is_no_result_is_refused_by_name() {
    let (server, shelf) = (Server::start(Mode::Api), Shelf::new());
    run(&three_steps(), &server, &shelf.path("sound.json")).end().expect_ran();
    let sound = std::fs::read(shelf.path("sound.json")).unwrap();
    let with = |key: &str, value: Value| {
        let mut result = shelf.json("sound.json");
        result[key] = value;
        result.to_string().into_bytes()
    };
    let cases: [(&str, Vec<u8>); 8] = [
        ("empty.json", Vec::new()),
        ("text.json", b"not a result\n".to_vec()),
        ("cut.json", sound[..sound.len() / 2].to_vec()),
        ("foreign.json", b"{\"metrics\": {}}".to_vec()),
        ("summary.json", shelf.json("sound.json")["summary"].to_string().into_bytes()),
        ("later.json", with("version", 999.into())),
        ("zero.json", with("version", 0.into())),
        ("damaged.json", with("totals", 7.into())),
    ];
    for (name, bytes) in &cases {
        std::fs::write(shelf.path(name), bytes).unwrap();
        refused(pacecar("report", [shelf.path(name)]).end(), name);
        refused(pacecar("merge", [shelf.path("sound.json"), shelf.path(name)]).end(), name);
    }
    refused(pacecar("report", [shelf.path("nowhere.json")]).end(), "nowhere.json");
    pacecar("report", [shelf.path("sound.json")]).end().expect_code(0);
    // What a later version adds is not in the way.
    std::fs::write(shelf.path("more.json"), with("added_later", serde_json::json!({ "a": [1] }))).unwrap();
    pacecar("report", [shelf.path("more.json")]).end().expect_code(0);
    let other = PlanFile::new(std::fs::read_to_string(three_steps().path()).unwrap().replace("three-steps", "another"));
    run(&other, &server, &shelf.path("other.json")).end().expect_ran();
    refused(pacecar("merge", ["sound.json", "other.json"].map(|name| shelf.path(name))).end(), "other.json");
}

#[test]
fn a_result_that_cannot_be_written_is_told_and_changes_nothing() {
    let (server, shelf) = (Server::start(Mode::Api), Shelf::new());
    let ended = run(&three_steps(), &server, &shelf.path("nowhere/r.json")).end().expect_ran();
    assert!(ended.stderr.contains("the result cannot be written to"), "{ended}");
    // A device takes it and stays one.
    run(&three_steps(), &server, Path::new("/dev/null")).end().expect_ran();
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_worker_that_does_not_know_of_how_many_it_is_does_not_start() {
    let server = Server::start(Mode::Api);
    let call = Pacecar::run(&three_steps().path()).set("API_URL", server.url()).env("JOB_COMPLETION_INDEX", "1");
    let ended = call.end().expect_code(104);
    assert!(ended.stderr.contains("JOB_COMPLETIONS"), "{ended}");
    server.expect_untouched();
}

#[test]
fn a_result_holds_no_secret() {
    const MARK: &str = "mark7f3c19";
    for mode in [Mode::Api, Mode::Status(401), Mode::Garbage] {
        let (server, shelf) = (Server::start(mode), Shelf::new());
        let url = server.url().replace("http://", &format!("http://someone:{MARK}@"));
        let call = Pacecar::run(&three_steps().path()).set("API_URL", url).set("AUTH_PASSWORD", MARK);
        call.arg("--result").arg(shelf.path("r.json")).end();
        let result = std::fs::read_to_string(shelf.path("r.json")).unwrap();
        assert!(!result.contains(MARK) && !result.contains("token-test-"), "{result}");
    }
}

/// The first of the three words, wherever it stands in a file.
fn first_word(page: &str) -> &'static str {
    let page = page.to_lowercase();
    ["pass", "fail", "invalid"].into_iter().min_by_key(|word| page.find(word).unwrap_or(usize::MAX)).unwrap()
}

#[test]
fn a_report_begins_with_its_verdict_and_shows_the_thresholds_as_the_plan_writes_them() {
    for (mode, code, word) in [(Mode::Api, 0, "pass"), (Mode::Status(500), 99, "fail")] {
        let (server, shelf) = (Server::start(mode), Shelf::new());
        let text = std::fs::read_to_string(three_steps().path()).unwrap();
        // By the plan's own key, and by flag.
        let plan = PlanFile::new(format!("{text}report: {}\n", shelf.path("by-key.html").display()));
        let call = || Pacecar::run(&plan.path()).set("API_URL", server.url());
        let ended = call().end();
        let invalid = ended.code == Some(120);
        assert!(invalid || ended.code == Some(code), "{ended}");
        let page = std::fs::read_to_string(shelf.path("by-key.html")).unwrap();
        assert_eq!(first_word(&page), if invalid { "invalid" } else { word });
        assert!(page.contains("p(95)&lt;60000") && page.contains("rate==0"), "{page}");
        assert!(page.contains("<svg") && !page.contains("<script") && page.ends_with("</html>\n"), "{page}");
        call().arg("--report").arg(shelf.path("by-flag.html")).arg("--result").arg(shelf.path("r.json")).end();
        assert!(shelf.path("by-flag.html").is_file());
        let again = pacecar("report", [shelf.path("r.json")]).arg("--report").arg(shelf.path("again.html"));
        again.end().expect_code(0);
        let read = |name: &str| std::fs::read_to_string(shelf.path(name)).unwrap();
        assert_eq!(read("again.html"), read("by-flag.html"), "rendered again it is the same");
    }
}

#[test]
fn what_plan_and_target_say_is_text_in_the_report() {
    let plan = PlanFile::new(
        "\
name: hostile
base_url: ${API_URL}
workflow:
  - { name: \"<img src=x onerror=alert(1)>\", request: \"GET /?q=<script>\", expect: { status: 204 } }
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 2 } }
",
    );
    let (server, shelf) = (Server::start(Mode::Status(200)), Shelf::new());
    Pacecar::run(&plan.path()).set("API_URL", server.url()).arg("--report").arg(shelf.path("r.html")).end();
    let page = std::fs::read_to_string(shelf.path("r.html")).unwrap();
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
    assert!(!page.contains("<img") && !page.contains("<script"), "{page}");
}

#[test]
fn compare_names_each_metric_with_its_difference_and_exits_with_99_on_a_regression() {
    let (well, badly, shelf) = (Server::start(Mode::Api), Server::start(Mode::Later(500, 3)), Shelf::new());
    run(&three_steps(), &well, &shelf.path("base.json")).end();
    run(&three_steps(), &badly, &shelf.path("new.json")).end();
    let [base, new] = ["base.json", "new.json"].map(|name| shelf.path(name));
    // A higher failure rate is a regression, a lower one none, the same result neither.
    let ended = pacecar("compare", [&base, &new]).end().expect_code(99);
    for metric in ["http_req_duration", "http_req_failed", "http_reqs", "iterations", "http_req_waiting", "vus"] {
        let line = ended.stdout.lines().find(|line| line.split_whitespace().any(|word| word == metric));
        // A gauge is sampled once a second, and a run may be shorter.
        assert!(metric == "vus" || line.is_some_and(|line| line.contains('%')), "{metric}: {ended}");
    }
    assert!(
        ended.stdout.contains("regression: http_req_failed rate") || ended.stdout.contains("regressions: "),
        "{ended}"
    );
    assert!(
        ended.stderr.is_empty()
            && ended.stdout.contains("only the base has ")
            && ended.stdout.contains("cost_per_request"),
        "{ended}"
    );
    // What answers again is slower than what refused, perhaps: that is another metric's.
    let back = pacecar("compare", [&new, &base]).end();
    assert!(back.stdout.contains("✓ http_req_failed rate") && !back.stdout.contains("✗ http_req_failed"), "{back}");
    // How long so few requests took is another question.
    pacecar("compare", [&new, &base]).args(["--threshold", "100000%"]).end().expect_code(0);
    pacecar("compare", [&base, &base]).end().expect_code(0);
    let marked = pacecar("compare", [&base, &new]).arg("--markdown").end().expect_code(99);
    assert!(
        marked.stdout.starts_with("### ❌ pacecar: ") && marked.stdout.contains("| `http_req_failed rate` |"),
        "{marked}"
    );
    let json = pacecar("compare", [&base, &new]).args(["--format", "json"]).end().expect_code(99);
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).unwrap()["regression"], true);
    // Several of each.
    let several = pacecar("compare", [&new]).arg("--base").arg(&base).arg("--base").arg(&base).end().expect_code(99);
    assert!(several.stdout.matches("  base  ").count() == 2, "{several}");
    refused(pacecar("compare", [&base]).end(), "BASE NEW");
    refused(pacecar("compare", [&base, &new]).args(["--threshold", "much"]).end(), "--threshold");
    std::fs::write(shelf.path("cut.json"), &std::fs::read(&base).unwrap()[..500]).unwrap();
    refused(pacecar("compare", [&base, &shelf.path("cut.json")]).end(), "cut.json");
}

#[test]
fn a_report_may_be_a_comment_on_a_pull_request() {
    let (server, shelf) = (Server::start(Mode::Status(500)), Shelf::new());
    run(&three_steps(), &server, &shelf.path("r.json")).end();
    let ended = pacecar("report", [shelf.path("r.json")]).arg("--markdown").end().expect_code(0);
    assert!(ended.stdout.starts_with("### ") && ended.stdout.contains("| `http_req_failed: rate==0` |"), "{ended}");
}
