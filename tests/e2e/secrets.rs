//! Secrets reach the target and nothing else: no output, log, error or summary has them.

use crate::support::plan::three_steps;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

/// A text that stands nowhere else.
const MARK: &str = "mark7f3c19";

#[track_caller]
fn kept(what: &str, ended: &Ended) {
    let everything = ended.everything();
    if let Some(line) = everything.lines().find(|line| line.contains(MARK)) {
        panic!("{what}: a secret got out: {line}\n{ended}");
    }
}

#[test]
fn passwords_and_tokens_stay_inside_when_all_is_well_and_when_nothing_is() {
    for mode in [Mode::Api, Mode::Status(401), Mode::Garbage, Mode::ResetOnAccept, Mode::CloseSilently] {
        let server = Server::start(mode.clone());
        let run = Pacecar::run(&three_steps().path()).set("API_URL", server.url()).set("AUTH_PASSWORD", MARK);
        let ended = run.arg("-v").args(["--log-format", "json"]).end();
        if matches!(mode, Mode::Api) {
            let login = &server.at("/auth/v1/token")[0];
            assert_eq!(login.json()["password"], MARK, "the target did not get it");
        }
        kept(&format!("{mode:?}"), &ended);
        assert!(!ended.everything().contains("token-test-"), "{mode:?}: a token got out: {ended}");
    }
}

#[test]
fn a_plan_that_is_wrong_is_told_without_its_secrets() {
    let plan = PlanFile::new(
        "\
name: wrong
base_url: http://127.0.0.1:1
tenants: { password: \"${AUTH_PASSWORD}\", passwrod: 1 }
workflow:
  - { name: a, request: GET /, auth: { basic: { user: me, password: \"${AUTH_PASSWORD}{{ \" } } }
cleanup: { postgres: { url: \"${DATABASE_URL}\", roots: [] } }
scenarios: { main: { executor: shared-iterations } }
",
    );
    let run = Pacecar::run(&plan.path()).set("AUTH_PASSWORD", MARK);
    let ended = run.set("DATABASE_URL", format!("postgres://someone:{MARK}@[:bad/db")).end().expect_code(104);
    kept("an invalid plan", &ended);
}

#[test]
fn a_database_that_is_away_is_told_without_its_password() {
    let plan = PlanFile::new(
        "\
name: away
base_url: ${API_URL}
workflow: [{ name: a, request: GET / }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
cleanup: { postgres: { url: \"${DATABASE_URL}\", roots: [{ table: llm_usage, where: \"user_id LIKE 'test-%'\" }] } }
",
    );
    let server = Server::start(Mode::Api);
    let port = Server::closed().rsplit(':').next().unwrap().to_owned();
    let url = format!("postgres://someone:{MARK}@127.0.0.1:{port}/db");
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", &url).arg("-v");
    let ended = run.end().expect_code(121);
    kept("a database that is away", &ended);
    server.expect_untouched();
    let cleanup = Pacecar::new(["cleanup".as_ref(), plan.path().as_os_str()]).set("API_URL", server.url());
    let ended = cleanup.set("DATABASE_URL", &url).end().expect_code(122);
    kept("the command cleanup", &ended);
}

#[test]
fn a_password_in_a_url_stays_inside() {
    let server = Server::start(Mode::Api);
    let with_password = server.url().replace("http://", &format!("http://someone:{MARK}@"));
    for url in [with_password, format!("http://someone:{MARK}@127.0.0.1:1")] {
        let ended = Pacecar::run(&three_steps().path()).set("API_URL", url).arg("-v").end();
        kept("a URL with a password", &ended);
    }
}

#[test]
fn what_passes_on_the_wire_is_told_on_request_and_without_secrets() {
    let server = Server::start(Mode::Api);
    for (flag, bodies) in [("--http-debug", false), ("--http-debug=full", true)] {
        let run = Pacecar::run(&three_steps().path()).set("API_URL", server.url()).set("AUTH_PASSWORD", MARK);
        let ended = run.args([flag, "-i", "1"]).end();
        for part in ["Request: (", "POST ", "authorization: Bearer ***", "Response: (", "HTTP/1.1 200"] {
            assert!(ended.stderr.contains(part), "{flag}: no {part:?}: {ended}");
        }
        assert_eq!(ended.stderr.contains(r#""prompt":"hello""#), bodies, "{flag}: {ended}");
        assert_eq!(ended.stderr.matches("Request: (").count(), 3, "{flag}: {ended}");
        kept(flag, &ended);
        assert!(!ended.everything().contains("token-test-"), "{flag}: a token got out: {ended}");
    }
    Pacecar::run(&three_steps().path()).arg("--http-debug=everything").end().expect_code(104);
}
