//! A lease under stress: a database that goes away, a process that sleeps too long, rights that are missing.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::api::{self, Api};
use crate::support::cable::Cable;
use crate::support::postgres;
use crate::support::{Mode, Pacecar, PlanFile, Server};

const TEST_ROWS: &str = "SELECT count(*) FROM llm_usage WHERE user_id LIKE 'test-%'";

/// A plan of this name, which is also what its users ask.
fn plan(name: &str, lease: &str) -> PlanFile {
    PlanFile::new(format!(
        r#"
name: {name}
base_url: ${{API_URL}}
tenants: {{ count: 3, users: 2 }}
workflow:
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: {{ email: "{{{{ user.email }}}}", password: "{{{{ user.password }}}}" }}
    capture: {{ token: $.access_token }}
  - name: agent
    request: POST /api/llm/chat
    headers: {{ authorization: "Bearer {{{{ token }}}}" }}
    json: {{ prompt: {name} }}
    think: 20ms
scenarios: {{ main: {{ executor: constant-vus, vus: 2, duration: 5m }} }}
cleanup:
  lease: {lease}
  postgres:
    url: ${{DATABASE_URL}}
    roots: [{{ table: llm_usage, where: "user_id LIKE 'test-%'", max_share: 1.0 }}]
"#
    ))
}

fn run(plan: &PlanFile, api: &Api, database: &str) -> Pacecar {
    Pacecar::run(&plan.path()).arg("--no-thresholds").set("API_URL", &api.url).set("DATABASE_URL", database)
}

fn cleanup(plan: &PlanFile, api: &Api, database: &str) -> Pacecar {
    let cleanup = Pacecar::new(["cleanup".as_ref(), plan.path().as_os_str()]);
    cleanup.set("API_URL", &api.url).set("DATABASE_URL", database)
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(45), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Rows that the plan of this name made.
fn made(api: &Api, name: &str) -> i64 {
    api.database.count(&format!("SELECT count(*) FROM llm_usage WHERE prompt = '{name}'"))
}

/// Leases of this plan that can no longer be renewed.
fn ran_out(api: &Api, name: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM pacecar.lease WHERE plan = '{name}' AND ended IS NULL AND expires < clock_timestamp()"
    );
    api.database.count(&sql) == 1
}

/// A connection string that goes through a cable, and the cable.
fn through_a_cable(url: &str) -> (String, Cable) {
    let config: tokio_postgres::Config = url.parse().expect("a connection string");
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let cable = Cable::to(server);
    let (before, behind) = url.split_once(&format!(":{port}")).expect("the port");
    let (before, _) = before.rsplit_once('@').expect("a user");
    (format!("{before}@127.0.0.1:{}{behind}", cable.address.port()), cable)
}

#[test]
fn a_database_that_comes_back_in_time_ends_nothing() {
    let (_turn, api) = api::alone();
    let (url, cable) = through_a_cable(&api.database.url);
    let plan = plan("blinked", "30s");
    let running = run(&plan, api, &url).start();
    wait_until("nothing is made", || made(api, "blinked") > 0);
    cable.cut();
    thread::sleep(Duration::from_secs(1));
    cable.mend();
    let now = made(api, "blinked");
    wait_until("it stopped", || made(api, "blinked") > now + 5);
    running.signal(Signal::INT);
    running.end().expect_code(105);
    assert_eq!(api.database.count(TEST_ROWS), 0);
}

#[test]
fn a_database_that_stays_away_stops_the_traffic_and_what_comes_back_is_swept() {
    let (_turn, api) = api::alone();
    let (url, cable) = through_a_cable(&api.database.url);
    let plan = plan("away", "4s");
    let running = run(&plan, api, &url).start();
    wait_until("nothing is made", || made(api, "away") > 0);
    cable.cut();
    wait_until("the lease holds for ever", || ran_out(api, "away"));
    // Before it ran out the traffic had stopped.
    let now = made(api, "away");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(made(api, "away"), now, "traffic without a lease");
    let ended = running.end().expect_code(122);
    assert!(ended.stderr.contains("the traffic stopped") && ended.stderr.contains("cannot connect"), "{ended}");
    cable.mend();
    run(&plan, api, &url).args(["-u", "1", "-i", "1"]).end().expect_ran();
    assert_eq!(api.database.count(TEST_ROWS), 0, "the next start finishes it");
}

#[test]
fn what_was_lost_while_the_database_was_away_is_taken_back() {
    let (_turn, api) = api::alone();
    let (url, cable) = through_a_cable(&api.database.url);
    let plan = plan("back", "4s");
    let running = run(&plan, api, &url).start();
    wait_until("nothing is made", || made(api, "back") > 0);
    cable.cut();
    wait_until("the lease holds for ever", || ran_out(api, "back"));
    cable.mend();
    let ended = running.end().expect_code(122);
    assert!(ended.stderr.contains("the traffic stopped"), "{ended}");
    // It sweeps where the database was there again in time; where it was not, it says so and the next start does.
    if ended.stderr.contains("cannot connect") {
        run(&plan, api, &url).args(["-u", "1", "-i", "1"]).end().expect_ran();
    }
    assert_eq!(api.database.count(TEST_ROWS), 0, "nothing is left when the database is there again: {ended}");
}

#[test]
fn one_that_was_frozen_neither_sends_nor_deletes_what_is_anothers_by_now() {
    let (_turn, api) = api::alone();
    let (first, second) = (plan("frozen", "4s"), plan("awake", "20s"));
    let frozen = run(&first, api, &api.database.url).start();
    wait_until("nothing is made", || made(api, "frozen") > 3);
    frozen.signal(Signal::STOP);
    wait_until("the lease holds for ever", || ran_out(api, "frozen"));
    cleanup(&first, api, &api.database.url).arg("--expired").end().expect_code(0);
    wait_until("what was under way stays", || {
        cleanup(&first, api, &api.database.url).end().expect_code(0);
        api.database.count(TEST_ROWS) == 0
    });
    let awake = run(&second, api, &api.database.url).start();
    wait_until("the other makes nothing", || made(api, "awake") > 3);
    let oldest = api.database.count("SELECT min(id) FROM llm_usage WHERE prompt = 'awake'");
    frozen.signal(Signal::CONT);
    let ended = frozen.end().expect_code(122);
    assert!(ended.stderr.contains("the lease was lost"), "{ended}");
    assert_eq!(made(api, "frozen"), 0, "it sent something");
    assert_eq!(
        api.database.count("SELECT min(id) FROM llm_usage WHERE prompt = 'awake'"),
        oldest,
        "it deleted rows of a live run"
    );
    awake.signal(Signal::INT);
    awake.end().expect_code(105);
    assert_eq!(api.database.count(TEST_ROWS), 0);
}

#[test]
fn without_the_right_to_make_its_schema_nothing_starts() {
    let (server, shared) = (Server::start(Mode::Api), postgres::shared());
    let url = shared.another();
    let database = shared.beside(url.clone());
    let name: String = database.rows("SELECT current_database()::text").remove(0);
    database.execute(
        "CREATE TABLE users (email text PRIMARY KEY); INSERT INTO users VALUES ('me'), ('you'), ('test-1');
         DROP ROLE IF EXISTS e2e_sweeper; CREATE ROLE e2e_sweeper LOGIN PASSWORD 'secret';
         GRANT SELECT, DELETE ON users TO e2e_sweeper",
    );
    let config: tokio_postgres::Config = url.parse().unwrap();
    let limited = format!("postgres://e2e_sweeper:secret@127.0.0.1:{}/{name}", config.get_ports()[0]);
    let plan = PlanFile::new(
        "\
name: limited
base_url: ${API_URL}
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
cleanup: { postgres: { url: \"${DATABASE_URL}\", roots: [{ table: users, where: \"email LIKE 'test-%'\" }] } }
",
    );
    let run = || Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", &limited);
    let clean = |arguments: &[&str]| {
        let cleanup = Pacecar::new(["cleanup"]).args(arguments).arg(plan.path().as_os_str());
        cleanup.set("API_URL", server.url()).set("DATABASE_URL", &limited).end()
    };
    let refused = run().end().expect_code(121);
    assert!(refused.stderr.contains("may not create the schema"), "{refused}");
    clean(&[]).expect_code(122);
    clean(&["install"]).expect_code(122);
    assert_eq!(server.requests().len(), 0, "a request was sent");
    assert_eq!(database.count("SELECT count(*) FROM users"), 3);
    // A dry run makes nothing, so it needs no such right.
    clean(&["--dry-run"]).expect_code(0);
    // One that somebody made for it will do.
    database.execute("CREATE SCHEMA pacecar AUTHORIZATION e2e_sweeper");
    run().end().expect_ran();
    assert_eq!(database.count("SELECT count(*) FROM users"), 2);
    // Whose tables are others' cannot have them recorded.
    let refused = clean(&["install"]).expect_code(122);
    assert!(refused.stderr.contains("does not own"), "{refused}");
    assert_eq!(database.count("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pacecar%'"), 0);
    database.execute("DROP SCHEMA pacecar CASCADE; DROP OWNED BY e2e_sweeper; DROP ROLE e2e_sweeper");
}
