//! Plans that cannot run: exit 104, at once, every problem with its place, and nothing sent.

use std::fmt::Write as _;
use std::time::Duration;

use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

/// Everything that is wrong with this plan, by line and column.
const WRONG: &str = "\
name: wrong
base_url: ${API_URL}
sceanrios: {}
workflow:
  - name: home
    request: GET /
    expct: { status: 200 }
    think: soon
scenarios:
  main: { executor: constant-vu, vus: 1, duration: 1s }
  other: { executor: constant-vus, vus: many, duration: 1s }
thresholds:
  http_req_duration: [\"p(95) is small\"]
";

/// Runs a plan that is wrong; holds that nothing was sent and that it took no time.
fn refused(plan: &PlanFile) -> Ended {
    // The machine may be busy with other tests: one try in three must be quick.
    for last in [false, false, true] {
        let server = Server::start(Mode::Api);
        let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(104);
        server.expect_untouched();
        assert!(!ended.has_summary(), "a summary of nothing");
        if ended.took < Duration::from_secs(1) {
            return ended;
        }
        assert!(!last, "an invalid plan took {:?}", ended.took);
    }
    unreachable!("the last try returns or fails")
}

#[test]
fn every_problem_is_told_at_once_with_its_place_and_the_right_spelling() {
    let plan = PlanFile::new(WRONG);
    let ended = refused(&plan);
    let file = plan.path().display().to_string();
    // Unknown keys stand where they begin; of a wrong value the line is enough.
    for place in ["3:1: ", "7:5: ", "8:", "10:", "11:", "13:"] {
        assert!(ended.stderr.contains(&format!("{file}:{place}")), "no problem at {place}\n{ended}");
    }
    for spelling in ["scenarios", "expect", "constant-vus"] {
        assert!(ended.stderr.contains(spelling), "no hint at {spelling}\n{ended}");
    }
    assert_eq!(ended.stdout, "", "problems go to standard error");
}

#[test]
fn check_tells_what_run_tells() {
    let plan = PlanFile::new(WRONG);
    let path = plan.path();
    let check = Pacecar::new(["check".as_ref(), path.as_os_str()]).set("API_URL", "http://127.0.0.1:1");
    let check = check.end().expect_code(104);
    let places = |ended: &Ended| -> Vec<String> {
        let file = format!("{}:", path.display());
        let told = |line: &&str| line.starts_with(&file) && !line.contains(": warning: ");
        ended.stderr.lines().filter(told).map(str::to_owned).collect()
    };
    assert_eq!(places(&check), places(&refused(&plan)));
}

#[test]
fn a_file_that_is_no_plan_is_an_error_with_a_place() {
    let mut deep = String::from("name: deep\nsetup: ");
    deep.push_str(&"[".repeat(100_000));
    let mut wide = String::from("name: wide\nhttp:\n  headers:\n");
    for i in 0..400_000 {
        let _ = writeln!(wide, "    x-{i}: {}", "y".repeat(40));
    }
    let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let cases: [(&str, &[u8]); 10] = [
        ("empty", b""),
        ("only a comment", b"# nothing\n"),
        ("a list", b"- 1\n- 2\n"),
        ("text", b"hello"),
        ("not UTF-8", b"name: \xff\xfe\n"),
        ("broken YAML", b"name: [\n"),
        ("a key twice", b"name: a\nname: b\n"),
        ("too deep", deep.as_bytes()),
        ("too large", wide.as_bytes()),
        ("aliases that grow", bomb.as_bytes()),
    ];
    for (what, text) in cases {
        let plan = PlanFile::new(text);
        for command in ["check", "run"] {
            let ended = Pacecar::new([command.as_ref(), plan.path().as_os_str()]).end();
            let place = format!("{}:", plan.path().display());
            let rest = ended.stderr.lines().find_map(|line| line.strip_prefix(&place));
            let mut numbers = rest.unwrap_or_default().split(':');
            let placed = (0..2).all(|_| numbers.next().is_some_and(|number| number.parse::<u32>().is_ok()));
            assert!(placed, "{what}: no FILE:LINE:COLUMN from {command}\n{ended}");
            ended.expect_code(104);
        }
    }
}

#[test]
fn a_missing_plan_and_a_missing_or_empty_data_file_are_errors() {
    let missing = Pacecar::new(["run", "no-such-plan.yaml"]).end().expect_code(104);
    assert!(missing.stderr.contains("no-such-plan.yaml:"), "{missing}");

    let text = "\
name: data
base_url: http://127.0.0.1:1
data: { prompts: prompts.json }
workflow: [{ name: a, request: 'GET /{{ data.prompts.prompt }}' }]
scenarios: { main: { executor: shared-iterations } }
";
    let absent = PlanFile::new(text);
    let ended = refused(&absent);
    assert!(ended.stderr.contains("prompts.json") && ended.stderr.contains("plan.yaml:3:"), "{ended}");
    for (what, data) in [("empty", ""), ("an empty list", "[]"), ("no JSON", "[{"), ("no list", "{}")] {
        let ended = refused(&PlanFile::new(text).with("prompts.json", data));
        assert!(ended.stderr.contains("prompts.json"), "{what}: {ended}");
    }
}

#[test]
fn what_is_filled_in_never_becomes_structure() {
    let plan = PlanFile::new(
        "\
name: fill
base_url: ${API_URL}
http: { headers: { x-filled: \"${FILLED}\" } }
workflow: [{ name: a, request: GET / }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
",
    );
    let server = Server::start(Mode::Api);
    let value = "a: {b}, [c] # \"d\" 'e'";
    Pacecar::run(&plan.path()).set("API_URL", server.url()).set("FILLED", value).end().expect_code(0);
    assert_eq!(server.requests()[0].header("x-filled"), value);
}

#[test]
fn a_required_name_that_is_not_set_says_its_message() {
    let plan = PlanFile::new(
        "\
name: required
base_url: ${API_URL}
workflow: [{ name: a, request: 'GET /${WHERE:?say where to go}' }]
scenarios: { main: { executor: shared-iterations } }
",
    );
    let ended = refused(&plan);
    assert!(ended.stderr.contains("say where to go") && ended.stderr.contains("plan.yaml:3:"), "{ended}");
}
