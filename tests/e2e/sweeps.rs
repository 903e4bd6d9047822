//! `when: every …`: what is old enough goes while traffic runs, the rest when it ends.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::json::{at, count};
use crate::support::postgres::{self, Database};
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server, api};

/// An API with a database of its own: nobody else's rows are in it.
struct Own {
    api: api::Own,
    database: Database,
}

fn own() -> Own {
    let api = api::own(&[]);
    let database = postgres::shared().beside(api.database_url.clone());
    Own { api, database }
}

/// A plan of this name whose chats go as `cleanup` says.
fn chats(name: &str, cleanup: &str) -> PlanFile {
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
    json: {{ prompt: "hello" }}
    think: 20ms
scenarios: {{ main: {{ executor: constant-vus, vus: 1, duration: 2m }} }}
cleanup: {{ {cleanup} }}
"#
    ))
}

const ROOT: &str = "{ table: llm_usage, where: \"user_id LIKE 'test-%'\", max_share: 1.0, age: created_at }";

fn by_age(name: &str, keep_for: &str) -> PlanFile {
    let postgres = format!("{{ url: \"${{DATABASE_URL}}\", roots: [{ROOT}] }}");
    chats(name, &format!("when: every 1s, keep_for: {keep_for}, lease: 20s, postgres: {postgres}"))
}

impl Own {
    fn run(&self, plan: &PlanFile) -> Pacecar {
        let run = Pacecar::run(&plan.path()).arg("--no-thresholds");
        run.set("API_URL", &self.api.url).set("DATABASE_URL", &self.database.url)
    }

    fn cleanup(&self, arguments: &[&str], plan: &PlanFile) -> Ended {
        let cleanup = Pacecar::new(["cleanup"]).args(arguments).arg(plan.path().as_os_str());
        cleanup.set("API_URL", &self.api.url).set("DATABASE_URL", &self.database.url).end()
    }

    /// So many chats of two hours ago.
    fn add_old(&self, rows: u32) {
        self.database.execute(&format!(
            "INSERT INTO llm_usage (user_id, tenant_id, prompt, model, tokens, cost, cached, created_at)
             SELECT 'test-1-1@example.com', 1, 'old', 'x', 1, 0, false, now() - interval '2 h'
             FROM generate_series(1, {rows})"
        ));
    }

    fn old(&self) -> i64 {
        self.database.count("SELECT count(*) FROM llm_usage WHERE prompt = 'old'")
    }

    fn young(&self) -> i64 {
        self.database.count("SELECT count(*) FROM llm_usage WHERE prompt <> 'old' AND user_id LIKE 'test-%'")
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        wait_until(what, || holds(self));
    }
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(45), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn swept(ended: &Ended) -> Value {
    at(&ended.summary(), &["pacecar", "cleanup"]).clone()
}

#[test]
fn what_is_old_goes_while_traffic_runs_and_the_rest_at_the_end() {
    let own = own();
    own.database.execute(
        "INSERT INTO llm_usage (user_id, tenant_id, prompt, model, tokens, cost, cached, created_at)
         VALUES ('me@real.example', 1, 'old', 'x', 1, 0, false, now() - interval '2 h')",
    );
    own.add_old(5);
    let plan = by_age("aged", "1h");
    let running = own.run(&plan).start();
    own.wait_until("the old rows stay", |own| own.old() == 1 && own.young() > 2);
    own.add_old(3);
    own.wait_until("later ones stay", |own| own.old() == 1);
    let young = own.young();
    assert!(young > 2, "what the run made a moment ago went");
    running.signal(Signal::INT);
    let ended = running.end().expect_code(105);
    let made = "SELECT last_value - (SELECT count(*) FROM llm_usage WHERE user_id NOT LIKE 'test-%')
        FROM pg_sequences WHERE sequencename LIKE 'llm_usage%'";
    let made = u64::try_from(own.database.count(made)).unwrap();
    let cleanup = swept(&ended);
    // All that ever was there, each once: the real one is none of them.
    assert_eq!(count(&cleanup, &["found", "public.llm_usage"]), made, "{cleanup}");
    assert_eq!(count(&cleanup, &["deleted", "public.llm_usage"]), made, "{cleanup}");
    assert_eq!(count(&cleanup, &["remaining"]), 0, "{cleanup}");
    assert_eq!((own.old(), own.young()), (1, 0), "{ended}");
}

#[test]
fn a_shared_root_is_left_alone_while_another_live_run_holds_it() {
    let own = own();
    let (first, second) = (
        by_age("first", "1h"),
        chats("second", &format!("lease: 20s, postgres: {{ url: \"${{DATABASE_URL}}\", roots: [{ROOT}] }}")),
    );
    let other = own.run(&second).start();
    own.wait_until("the other makes nothing", |own| own.young() > 0);
    let running = own.run(&first).args(["-u", "1", "-d", "2m"]).start();
    let live = "SELECT count(*) FROM pacecar.lease WHERE ended IS NULL AND plan = 'first'";
    own.wait_until("it does not begin", |own| own.database.count(live) == 1);
    own.add_old(4);
    // Two intervals and more.
    thread::sleep(Duration::from_millis(3_500));
    assert_eq!(own.old(), 4, "swept while another live run holds the root");
    other.signal(Signal::INT);
    other.end().expect_code(105);
    own.wait_until("the old rows stay", |own| own.old() == 0);
    running.signal(Signal::INT);
    let ended = running.end().expect_code(105);
    assert!(ended.stderr.contains("was left alone"), "{ended}");
    assert_eq!(own.young(), 0, "{ended}");
}

#[test]
fn the_ledger_knows_the_age_too_and_a_live_run_finishes_what_a_killed_one_left() {
    let own = own();
    let plan = chats(
        "recorded",
        "when: every 1s, keep_for: 1s, lease: 5s, postgres: { url: \"${DATABASE_URL}\", ledger: record }",
    );
    own.cleanup(&["install"], &plan).expect_code(0);
    let killed = own.run(&plan).start();
    own.wait_until("nothing is made", |own| own.young() > 2);
    killed.signal(Signal::KILL);
    killed.end();
    let left = own.database.count("SELECT coalesce(max(id), 0) FROM llm_usage WHERE user_id LIKE 'test-%'");
    // Its lease has not run out yet: what it left is not taken before the first request.
    let running = own.run(&plan).start();
    own.wait_until("what the killed one left stays", |own| {
        own.database.count(&format!("SELECT count(*) FROM llm_usage WHERE user_id LIKE 'test-%' AND id <= {left}")) == 0
    });
    let first = own.database.count("SELECT coalesce(min(id), 0) FROM llm_usage WHERE user_id LIKE 'test-%'");
    own.wait_until("its own aged rows stay", |own| {
        own.database.count(&format!("SELECT count(*) FROM llm_usage WHERE id = {first}")) == 0
    });
    running.signal(Signal::INT);
    let ended = running.end().expect_code(105);
    let cleanup = swept(&ended);
    assert_eq!(at(&cleanup, &["found", "public.llm_usage"]), at(&cleanup, &["deleted", "public.llm_usage"]));
    assert_eq!(own.young(), 0, "{ended}");
    own.cleanup(&["uninstall"], &plan).expect_code(0);
}

#[test]
fn only_what_is_old_goes_with_what_hangs_below_and_what_young_rows_need_stays() {
    let (server, shared) = (Server::start(Mode::Api), postgres::shared());
    let database = shared.beside(shared.another());
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, email text);
         CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users, parent int REFERENCES orders, made timestamptz);
         CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders);
         INSERT INTO users VALUES (1, 'test-1'), (2, 'me'), (3, 'you'), (4, 'they');
         INSERT INTO orders SELECT n, 1, NULL, now() - interval '2 h' FROM generate_series(1, 5) n;
         -- One that is young, one of which nobody knows, one that is old and that a young one needs.
         INSERT INTO orders VALUES (6, 1, NULL, now()), (7, 1, NULL, NULL), (8, 1, NULL, now() - interval '2 h'), (9, 1, 8, now());
         INSERT INTO orders SELECT n, 2, NULL, now() - interval '2 h' FROM generate_series(20, 40) n;
         INSERT INTO items SELECT n, n FROM generate_series(1, 9) n;
         INSERT INTO items VALUES (20, 20);",
    );
    let plan = PlanFile::new(
        r#"
name: below
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, think: 50ms }]
scenarios: { main: { executor: constant-vus, vus: 1, duration: 2m } }
cleanup:
  when: every 1s
  keep_for: 1h
  postgres:
    url: ${DATABASE_URL}
    roots:
      - { table: users, where: "email LIKE 'test-%'" }
      - { table: orders, where: "user_id IN (SELECT id FROM users WHERE email LIKE 'test-%')", age: made }
"#,
    );
    let running = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", &database.url).start();
    let there = |table: &str| database.rows(&format!("SELECT id::text FROM {table} WHERE id < 20 ORDER BY id"));
    wait_until("the old ones stay", || there("orders") == ["6", "7", "8", "9"]);
    // An item that nobody needs goes though its order waits.
    assert_eq!(there("items"), ["6", "7", "9"]);
    assert_eq!(there("users"), ["1", "2", "3", "4"]);
    running.signal(Signal::INT);
    let cleanup = swept(&running.end().expect_code(105));
    let figures =
        |key: &str| ["users", "orders", "items"].map(|table| count(&cleanup, &[key, &format!("public.{table}")]));
    assert_eq!((figures("found"), figures("deleted")), ([1, 9, 9], [1, 9, 9]), "{cleanup}");
    assert_eq!(there("orders"), Vec::<String>::new());
    assert_eq!(database.count("SELECT count(*) FROM orders"), 21);
}

#[test]
fn a_run_does_not_begin_while_a_live_one_sweeps_what_both_share() {
    let (server, shared) = (Server::start(Mode::Api), postgres::shared());
    let database = shared.beside(shared.another());
    database.execute("CREATE TABLE users (email text); INSERT INTO users VALUES ('a'), ('b'), ('test-1')");
    let plan = PlanFile::new(
        r#"
name: waits
base_url: ${API_URL}
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
cleanup: { postgres: { url: "${DATABASE_URL}", roots: [{ table: users, where: "email LIKE 'test-%'" }] } }
"#,
    );
    let run = || Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", &database.url);
    run().end().expect_ran();
    assert_eq!(server.at("/").len(), 1);
    database.execute("INSERT INTO users VALUES ('test-2')");
    // As a canary does that is at it.
    database.execute("UPDATE pacecar.lease SET run = '00000000000000cc', plan = 'canary', kind = 'canary', ended = NULL, sweeping = false,
        shared = ARRAY[('users'::regclass::oid)::text || ' (email LIKE ''test-%'')'], expires = now() + interval '1 h'");
    let shares = database.rows("SELECT unnest(shared) FROM pacecar.lease WHERE ended IS NULL");
    let hold = "SELECT pg_advisory_lock(~x'00000000000000cc'::bit(64)::bigint), pg_sleep(60)";
    let mut sweeping = Command::new("psql")
        .args([&database.url, "-c", hold])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let locked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    wait_until("no lock", || database.count(locked) == 1);
    let waiting = run().start();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(server.at("/").len(), 1, "it began beside a sweep of {shares:?}");
    // However the sweep ends, its session is gone then.
    database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()");
    let _ = sweeping.wait();
    wait_until("it never begins", || server.at("/").len() == 2);
    database.execute("UPDATE pacecar.lease SET ended = now() WHERE run = '00000000000000cc'");
    waiting.end().expect_ran();
    assert_eq!(database.count("SELECT count(*) FROM users"), 2);
}

#[test]
fn check_says_what_will_not_be_swept() {
    let plan = |cleanup: &str| {
        let plan = chats("checked", cleanup);
        let check = Pacecar::new(["check".as_ref(), plan.path().as_os_str()]);
        check
            .set("API_URL", "http://127.0.0.1:1")
            .set("DATABASE_URL", "postgres://u@127.0.0.1:1/d")
            .end()
            .expect_code(0)
            .stderr
    };
    let root = "{ table: llm_usage, where: \"user_id LIKE 'test-%'\" }";
    let of =
        |more: &str, postgres: &str| plan(&format!("{more}, postgres: {{ url: \"${{DATABASE_URL}}\", {postgres} }}"));
    let warned = of("when: every 10m", &format!("roots: [{root}]"));
    assert!(warned.contains("nothing is swept while traffic runs"), "{warned}");
    for known in
        [format!("roots: [{ROOT}, {root}]"), format!("roots: [{root}], ledger: two-key"), "ledger: record".to_owned()]
    {
        let quiet = of("when: every 10m, keep_for: 5m", &known);
        assert!(!quiet.contains("while traffic runs"), "{quiet}");
    }
    let warned = of("keep_for: 1h", &format!("roots: [{ROOT}]"));
    assert!(warned.contains("keeps nothing"), "{warned}");
}
