//! What a person sees at a terminal, and what `NO_COLOR` and a pipe switch off.

use std::process::{Command, Stdio};

use crate::support::{Mode, PlanFile, Server, postgres};

const PLAN: &str = "\
name: seen
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, think: 50ms }]
scenarios: { main-line: { executor: constant-vus, vus: 2, duration: 2s } }
";

/// What `pacecar run` shows at a terminal of 80 columns.
fn at_a_terminal(environment: &[(&str, &str)]) -> String {
    let (server, plan) = (Server::start(Mode::Api), PlanFile::new(PLAN));
    shown("run", &plan, &server, environment)
}

/// What a command shows at a terminal of 80 columns. `script` lends the terminal.
fn shown(command: &str, plan: &PlanFile, server: &Server, environment: &[(&str, &str)]) -> String {
    let program = env!("CARGO_BIN_EXE_pacecar");
    let command = format!("stty cols 80; exec '{program}' {command} '{}'", plan.path().display());
    let shown = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .env("API_URL", server.url())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("script, of util-linux");
    assert!(shown.status.success(), "{shown:?}");
    String::from_utf8(shown.stdout).unwrap()
}

#[test]
fn a_terminal_sees_progress_with_p95_and_failures_and_colour() {
    let shown = at_a_terminal(&[]);
    let line = shown.lines().find(|line| line.contains("main-line") && line.contains("VUs")).expect("progress");
    assert!(line.contains("p95") && line.contains("failed"), "80 columns are too few for {line:?}");
    assert!(shown.contains("\u{1b}[3"), "no colour: {shown:?}");
}

#[test]
fn no_color_switches_colour_and_progress_off() {
    let shown = at_a_terminal(&[("NO_COLOR", "1")]);
    assert!(shown.contains("http_req_duration"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "escapes: {shown:?}");
    assert!(!shown.contains("main-line "), "progress: {shown:?}");
}

#[test]
fn a_cleanup_says_on_a_terminal_how_far_it_is() {
    let database = postgres::shared().another();
    let plan = PlanFile::new(
        "\
name: far
cleanup:
  postgres:
    url: ${DATABASE_URL}
    max_rows_per_second: 2000
    batch: 500
    roots: [{ table: users, where: \"email LIKE 'test-%'\", max_share: 1.0 }]
",
    );
    postgres::shared().beside(database.clone()).execute(
        "CREATE TABLE users (email text); INSERT INTO users SELECT 'test-' || n FROM generate_series(1, 3000) n",
    );
    let shown = shown("cleanup", &plan, &Server::start(Mode::Api), &[("DATABASE_URL", &database)]);
    assert!(shown.contains("looking for test data") && shown.contains(" of 3000"), "{shown:?}");
    assert!(shown.contains("3000 rows deleted"), "{shown:?}");
}
