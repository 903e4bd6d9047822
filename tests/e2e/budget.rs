//! What a plan may spend: never more in any window, whoever sends, restarts, or is killed.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::json::at;
use crate::support::program::Running;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server, postgres};

/// The hostile server's price of a chat.
const PRICE: f64 = 0.002;

/// Four users that chat as fast as they may, and do something free before it.
fn plan(name: &str, budget: &str, rest: &str) -> PlanFile {
    PlanFile::new(format!(
        "\
name: {name}
base_url: ${{API_URL}}
http: {{ timeout: 2s }}
workflow:
  - {{ name: home, request: GET / }}
  - {{ name: agent, request: POST /api/llm/chat, metrics: {{ cost_per_request: {{ trend: $.cost }} }} }}
scenarios: {{ main: {{ executor: constant-vus, vus: 4, duration: 1h }} }}
guard: {{ budget: {{ cost_per_request: {budget} }} }}
{rest}
"
    ))
}

fn start(plan: &PlanFile, server: &Server) -> Running {
    Pacecar::run(&plan.path()).set("API_URL", server.url()).args(["-v", "-q"]).start()
}

/// Waits until the run says that its budget is used up.
#[track_caller]
fn wait_until_used_up(run: &Running) {
    let address = run.address("control").to_string();
    let begun = Instant::now();
    loop {
        let status = Pacecar::new(["status", "--address"]).arg(&address).end().stdout;
        if status.contains("the budget of cost_per_request is used up") {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never used up: {status}");
    }
}

fn paused_ms(ended: &Ended) -> f64 {
    at(&ended.summary(), &["pacecar", "run"])["paused_ms"].as_f64().unwrap_or(0.0)
}

fn lag_ms(ended: &Ended) -> f64 {
    at(&ended.summary(), &["pacecar", "fidelity", "lag_ms", "max"]).as_f64().unwrap_or(0.0)
}

fn chats(server: &Server) -> usize {
    server.at("/api/llm/chat").len()
}

#[test]
fn a_budget_is_spent_to_the_last_request_and_a_restart_does_not_fill_it() {
    let server = Server::start(Mode::Api);
    let plan = plan("spent", "{ sum: 0.02, per: 1h, each: 0.002 }", "");
    let run = start(&plan, &server);
    wait_until_used_up(&run);
    assert_eq!(chats(&server) as f64, 0.02 / PRICE);
    let homes = server.at("/").len();
    thread::sleep(Duration::from_millis(500));
    assert_eq!((chats(&server), server.at("/").len()), (10, homes), "all traffic pauses");
    run.signal(Signal::TERM);
    let ended = run.end().expect_signalled();
    assert!(ended.stderr.contains("the budget held the traffic once"), "{ended}");
    assert!(paused_ms(&ended) >= 400.0, "{ended}");
    assert!(lag_ms(&ended) < paused_ms(&ended), "a pause is no lag: {ended}");
    let state = plan.folder().join("plan.yaml.state");
    assert!(std::fs::read_to_string(&state).unwrap().contains("cost_per_request"));
    let run = start(&plan, &server);
    wait_until_used_up(&run);
    run.signal(Signal::TERM);
    run.end().expect_signalled();
    assert_eq!(chats(&server), 10);
}

#[test]
fn no_window_sees_more_than_the_sum_and_traffic_goes_on_when_it_frees() {
    let server = Server::start(Mode::Api);
    let plan = plan("windows", "{ sum: 0.01, per: 2s, each: 0.002 }", "");
    let run = start(&plan, &server);
    // Three windows' worth.
    let begun = Instant::now();
    while chats(&server) < 15 {
        assert!(begun.elapsed() < Duration::from_secs(40), "{} chats", chats(&server));
        thread::sleep(Duration::from_millis(20));
    }
    run.signal(Signal::TERM);
    let ended = run.end().expect_signalled();
    let came: Vec<_> = server.at("/api/llm/chat").iter().map(|request| request.at).collect();
    for (first, sixth) in came.iter().zip(&came[5..]) {
        assert!(*sixth - *first >= Duration::from_secs(2), "six within {:?}: {ended}", *sixth - *first);
    }
    assert!(ended.stderr.contains("traffic resumes"), "{ended}");
}

#[test]
fn what_killed_and_other_processes_spent_counts() {
    let server = Server::start(Mode::Api);
    let plan = plan("killed", "{ sum: 0.04, per: 1h, each: 0.002 }", "");
    let mut kills = 0;
    while chats(&server) < 20 && kills < 40 {
        let run = start(&plan, &server);
        let before = chats(&server);
        let begun = Instant::now();
        while chats(&server) < before + 2 && begun.elapsed() < Duration::from_secs(1) {
            thread::sleep(Duration::from_millis(2));
        }
        run.signal(Signal::KILL);
        drop(run.end());
        kills += 1;
        if begun.elapsed() >= Duration::from_secs(1) {
            break;
        }
    }
    // Two at once see what is left, which is what no process that was killed had on lease.
    let both = [start(&plan, &server), start(&plan, &server)];
    both.iter().for_each(wait_until_used_up);
    for run in both {
        run.signal(Signal::TERM);
        run.end().expect_signalled();
    }
    let spent = chats(&server);
    assert!((2..=20).contains(&spent), "{spent} chats of 20 after {kills} kills");
}

#[test]
fn while_nobody_knows_a_price_one_request_goes_and_without_a_figure_all_counts_as_spent() {
    let server = Server::start(Mode::Never);
    let plan = PlanFile::new(
        "\
name: unpriced
base_url: ${API_URL}
http: { timeout: 1s }
workflow: [ { name: agent, request: POST /api/llm/chat, metrics: { cost_per_request: { trend: $.cost } } } ]
scenarios: { main: { executor: constant-vus, vus: 4, duration: 1h } }
guard: { budget: { cost_per_request: { sum: 5.00, per: 1h } } }
",
    );
    let run = start(&plan, &server);
    wait_until_used_up(&run);
    run.signal(Signal::TERM);
    let ended = run.end().expect_signalled();
    assert_eq!(server.requests().len(), 1, "{ended}");
    // Once a price is known many go at once.
    let server = Server::start(Mode::Api);
    let plan = self::plan("priced", "{ sum: 1, per: 1h }", "");
    let run = start(&plan, &server);
    server.wait_for(40);
    run.signal(Signal::TERM);
    run.end().expect_signalled();
    // What nobody listens for was never sent, and costs nothing.
    let run = Pacecar::run(&plan.path()).set("API_URL", Server::closed()).args(["-d", "1s"]).end();
    assert!(!run.stderr.contains("used up"), "{run}");
}

#[test]
fn where_cleanup_has_a_database_the_budget_stands_there() {
    let database = postgres::shared().beside(postgres::shared().another());
    database.execute("CREATE TABLE users (id int PRIMARY KEY, email text)");
    let server = Server::start(Mode::Api);
    let cleanup = "cleanup: { postgres: { url: '${DATABASE_URL}', roots: [{ table: users, where: \"email LIKE 'test-%'\" }] }, lease: 2s }";
    let plan = plan("kept", "{ sum: 0.02, per: 1h, each: 0.002 }", cleanup);
    let start = || {
        let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", &database.url);
        run.args(["-v", "-q"]).start()
    };
    let run = start();
    server.wait_for(4);
    run.signal(Signal::KILL);
    drop(run.end());
    let both = [start(), start()];
    both.iter().for_each(wait_until_used_up);
    for run in both {
        run.signal(Signal::TERM);
        run.end().expect_signalled();
    }
    assert!((2..=10).contains(&chats(&server)), "{} chats of 10", chats(&server));
    assert_eq!(database.count("SELECT count(*) FROM pacecar.state WHERE plan = 'kept' AND key = 'budget'"), 1);
    assert!(!plan.folder().join("plan.yaml.state").exists());
}

#[test]
fn a_state_that_is_damaged_is_set_aside_and_one_that_cannot_be_kept_is_121() {
    let server = Server::start(Mode::Api);
    let plan = plan("damaged", "{ sum: 1, per: 1h, each: 0.002 }", "").with("plan.yaml.state", "{\"version\":1,");
    let run = || Pacecar::run(&plan.path()).set("API_URL", server.url()).args(["-i", "2"]).end();
    let ended = run().expect_ran();
    assert!(ended.stderr.contains("plan.yaml.state was set aside as"), "{ended}");
    assert!(plan.folder().join("plan.yaml.state.set-aside").exists());
    assert_eq!(chats(&server), 2);
    std::fs::remove_file(plan.folder().join("plan.yaml.state")).unwrap();
    std::fs::create_dir(plan.folder().join("plan.yaml.state")).unwrap();
    let ended = run().expect_code(121);
    assert!(ended.stderr.contains("what the budget has spent cannot be kept"), "{ended}");
    assert_eq!(chats(&server), 2, "nothing is sent");
}

#[test]
fn a_budget_of_nothing_that_a_step_counts_is_104() {
    for (budget, told) in [
        ("{ nothing: { sum: 1, per: 1h } }", "no step has a metric `nothing` to budget"),
        ("{ http_reqs: { sum: 1, per: 1h } }", "no step has a metric `http_reqs` to budget"),
        ("{ cached: { sum: 1, per: 1h } }", "cannot be summed up"),
        ("{ cost: { sum: 1, per: 1h, each: 2 } }", "`each` is above `sum`"),
        ("{ cost: { sum: 1, per: 10ms } }", "at least 1s"),
        ("{ cost: { sum: 0, per: 1h } }", "sum"),
        ("{ cost: { sum: 1 } }", "per"),
        ("{ cost: { sum: 1, per: 1h, max: 1 } }", "max"),
    ] {
        let plan = PlanFile::new(format!(
            "\
name: wrong
base_url: http://127.0.0.1:1
workflow: [ {{ name: a, request: GET /, metrics: {{ cost: {{ trend: $.cost }}, cached: {{ rate: $.cached }} }} }} ]
scenarios: {{ main: {{ executor: shared-iterations, vus: 1, iterations: 1 }} }}
guard: {{ budget: {budget} }}
"
        ));
        let ended = Pacecar::new(["check"]).arg(plan.path().as_ref()).end().expect_code(104);
        assert!(ended.stderr.contains(told), "{budget}: {ended}");
    }
}
