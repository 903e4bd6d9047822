//! What a person sees at a terminal, and what `NO_COLOR` and a pipe switch off.

use std::process::{Command, Stdio};

use crate::support::{Mode, PlanFile, Server};

const PLAN: &str = "\
name: seen
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, think: 50ms }]
scenarios: { main-line: { executor: constant-vus, vus: 2, duration: 2s } }
";

/// What `pacecar run` shows at a terminal of 80 columns. `script` lends the terminal.
fn at_a_terminal(environment: &[(&str, &str)]) -> String {
    let (server, plan) = (Server::start(Mode::Api), PlanFile::new(PLAN));
    let command = format!("stty cols 80; exec '{}' run '{}'", env!("CARGO_BIN_EXE_pacecar"), plan.path().display());
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
