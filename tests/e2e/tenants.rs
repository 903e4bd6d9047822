//! The main job: tenants play against the sample API on a real Postgres, and nothing is left.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::api::{self, Api};
use crate::support::json::{at, count, number, text};
use crate::support::postgres::Database;
use crate::support::{Mode, Pacecar, PlanFile, Server, root};

const TEST_ROWS: &str = "SELECT count(*) FROM llm_usage WHERE user_id LIKE 'test-%'";

/// The guide's workflow with cleanup. Users are fixtures here: only what they cause is deleted.
fn tenants() -> PlanFile {
    PlanFile::new(
        r#"
name: tenants
environment: dev
base_url: ${API_URL}
tenants: { count: 20, users: 5, email: "test-{{ tenant }}-{{ user }}@example.com", password: "${AUTH_PASSWORD:-secret}" }
workflow:
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: { email: "{{ user.email }}", password: "{{ user.password }}" }
    expect: { status: 200 }
    capture: { token: $.access_token }
  - name: profile
    request: GET /api/user/profile
    auth: { bearer: "{{ token }}" }
    expect: { status: [200, 304] }
  - name: agent
    request: POST /api/llm/chat
    headers: { authorization: "Bearer {{ token }}" }
    json: { prompt: "what is new?" }
    expect: { status: 200 }
    metrics:
      tokens_per_request: { trend: $.usage.total_tokens }
      cost_per_request: { trend: $.cost }
      cache_hits: { rate: $.cached }
scenarios:
  main: { executor: shared-iterations, vus: 3, iterations: 30 }
thresholds: { http_req_failed: ["rate==0"], checks: ["rate==1"] }
guard: { environments: [dev], hosts: ["127.0.0.1"] }
cleanup:
  postgres:
    url: ${DATABASE_URL}
    database: app_staging
    roots: [{ table: llm_usage, where: "user_id LIKE 'test-%'", max_share: 1.0 }]
"#,
    )
}

/// `pacecar run` against the sample API and its database.
fn run(plan: &PlanFile, api: &Api) -> Pacecar {
    Pacecar::run(&plan.path()).set("API_URL", &api.url).set("DATABASE_URL", &api.database.url)
}

/// `pacecar cleanup` there, its summary exported.
fn cleanup(plan: &PlanFile, database: &Database) -> Pacecar {
    let cleanup = Pacecar::new(["cleanup".as_ref(), plan.path().as_os_str()]);
    cleanup.set("API_URL", "http://127.0.0.1:1").set("DATABASE_URL", &database.url)
}

/// What is not test data, table by table.
fn real(database: &Database) -> Vec<String> {
    database.rows(
        "SELECT 'users ' || count(*)::text FROM users UNION ALL \
         SELECT 'usage ' || count(*)::text FROM llm_usage WHERE user_id NOT LIKE 'test-%'",
    )
}

#[test]
fn what_a_run_makes_it_deletes_and_real_rows_stay() {
    let (_turn, api) = api::alone();
    let before = real(api.database);
    let ended = run(&tenants(), api).end().expect_code(0);
    let summary = ended.summary();
    assert_eq!(count(&summary, &["metrics", "iterations", "count"]), 30);
    assert_eq!(count(&summary, &["metrics", "http_reqs", "count"]), 90);
    assert!(number(&summary, &["metrics", "tokens_per_request", "avg"]) > 0.0);
    assert!(number(&summary, &["metrics", "cost_per_request", "avg"]) > 0.0);
    // Each answered chat is one committed row.
    let cleanup = at(&summary, &["pacecar", "cleanup"]);
    assert_eq!(count(cleanup, &["found", "public.llm_usage"]), 30, "{cleanup}");
    assert_eq!(count(cleanup, &["deleted", "public.llm_usage"]), 30, "{cleanup}");
    assert_eq!((count(cleanup, &["remaining"]), count(cleanup, &["quarantined"])), (0, 0));
    assert_eq!(api.database.count(TEST_ROWS), 0);
    assert_eq!(real(api.database), before);
    assert!(ended.stdout.contains("CLEANUP"), "{ended}");
}

#[test]
fn rows_stay_with_no_cleanup_and_go_with_the_command() {
    let (_turn, api) = api::alone();
    let plan = tenants();
    // Runs of other tests left their leases there.
    api.database.execute("DROP SCHEMA IF EXISTS pacecar CASCADE");
    let ended = run(&plan, api).args(["-i", "8", "-u", "2", "--no-cleanup"]).end().expect_code(0);
    assert!(ended.summary()["pacecar"].get("cleanup").is_none(), "no cleanup ran");
    assert_eq!(api.database.count(TEST_ROWS), 8);

    let dry = cleanup(&plan, api.database).arg("--dry-run").end().expect_code(0);
    assert!(dry.stdout.contains("public.llm_usage") && dry.stdout.contains('8'), "{dry}");
    assert_eq!(api.database.count(TEST_ROWS), 8, "a dry run deleted");
    assert_eq!(
        api.database.count("SELECT count(*) FROM pg_namespace WHERE nspname = 'pacecar'"),
        0,
        "a dry run created"
    );

    let before = real(api.database);
    let done = cleanup(&plan, api.database).end().expect_code(0);
    assert!(done.stdout.contains("public.llm_usage"), "{done}");
    assert_eq!(api.database.count(TEST_ROWS), 0);
    assert_eq!(real(api.database), before);
    cleanup(&plan, api.database).end().expect_code(0);
}

#[test]
fn a_run_that_is_interrupted_cleans_up_all_the_same() {
    let (_turn, api) = api::alone();
    let plan = tenants();
    let run = run(&plan, api).args(["-u", "2", "-d", "2m"]).start();
    let begun = std::time::Instant::now();
    while api.database.count(TEST_ROWS) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no rows were made");
        std::thread::sleep(Duration::from_millis(50));
    }
    run.signal(Signal::INT);
    let ended = run.end().expect_code(105);
    let cleanup = at(&ended.summary(), &["pacecar", "cleanup"]).clone();
    assert!(count(&cleanup, &["deleted", "public.llm_usage"]) >= 3, "{cleanup}");
    assert_eq!(count(&cleanup, &["remaining"]), 0);
    assert_eq!(api.database.count(TEST_ROWS), 0);
}

#[test]
fn the_ready_plan_of_the_guide_runs_against_the_sample_api() {
    let (_turn, api) = api::alone();
    let path = root().join("config/tenant-workflow.yaml");
    let run = Pacecar::run(&path).set("API_URL", &api.url).args(["-u", "2", "-i", "10", "--no-thresholds"]);
    let ended = run.set("DATABASE_URL", &api.database.url).end().expect_code(0);
    let summary = ended.summary();
    assert_eq!(count(&summary, &["metrics", "checks", "fails"]), 0, "{ended}");
    assert_eq!(count(&summary, &["pacecar", "cleanup", "remaining"]), 0);
    assert_eq!(api.database.count(TEST_ROWS), 0);
}

/// Tables of the test's own, so that what is there is known to the row.
fn own_tables(database: &Database) {
    database.execute(
        "DROP TABLE IF EXISTS e2e_line, e2e_note;
         CREATE TABLE e2e_note (id int PRIMARY KEY, owner text NOT NULL);
         CREATE TABLE e2e_line (id int PRIMARY KEY, note int NOT NULL REFERENCES e2e_note);
         INSERT INTO e2e_note SELECT i, CASE WHEN i <= 40 THEN 'test-' || i ELSE 'real-' || i END
             FROM generate_series(1, 100) i;",
    );
}

/// A plan that sends one request and cleans those tables.
fn own_plan(root: &str, more: &str) -> PlanFile {
    PlanFile::new(format!(
        "\
name: own
base_url: ${{API_URL}}
workflow: [{{ name: a, request: GET / }}]
scenarios: {{ main: {{ executor: shared-iterations, vus: 1, iterations: 1 }} }}
cleanup: {{ postgres: {{ url: \"${{DATABASE_URL}}\", {more} roots: [{root}] }} }}
"
    ))
}

#[test]
fn only_what_the_predicate_matches_is_deleted() {
    let (_turn, api) = api::alone();
    own_tables(api.database);
    let server = Server::start(Mode::Api);
    let plan = own_plan("{ table: e2e_note, where: \"owner LIKE 'test-%'\" }", "batch: 7,");
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", &api.database.url);
    let summary = run.end().expect_code(0).summary();
    assert_eq!(count(&summary, &["pacecar", "cleanup", "found", "public.e2e_note"]), 40);
    assert_eq!(count(&summary, &["pacecar", "cleanup", "deleted", "public.e2e_note"]), 40);
    assert_eq!(api.database.count("SELECT count(*) FROM e2e_note"), 60);
    assert_eq!(api.database.count("SELECT count(*) FROM e2e_note WHERE owner LIKE 'test-%'"), 0);
}

#[test]
fn a_cleanup_that_could_do_harm_or_could_not_work_refuses_to_start() {
    let (_turn, api) = api::alone();
    own_tables(api.database);
    let good = "{ table: e2e_note, where: \"owner LIKE 'test-%'\" }";
    for (what, root, more, code) in [
        ("no predicate", "{ table: e2e_note }", "", 104),
        ("a constant predicate", "{ table: e2e_note, where: \"true\" }", "", 104),
        ("no column", "{ table: e2e_note, where: \"1 = 1\" }", "", 104),
        ("more than a predicate", "{ table: e2e_note, where: \"owner = 'x'; DROP TABLE e2e_note\" }", "", 104),
        ("a comment", "{ table: e2e_note, where: \"owner = 'x' OR true --\" }", "", 104),
        ("no table name", "{ table: \"e2e_note; DROP\", where: \"owner LIKE 'test-%'\" }", "", 104),
        ("too large a share", "{ table: e2e_note, where: \"owner LIKE '%-%'\" }", "", 121),
        ("too small a share", "{ table: e2e_note, where: \"owner LIKE 'test-%'\", max_share: 0.1 }", "", 121),
        ("too many rows", good, "max_rows: 10,", 121),
        ("another database", good, "database: app_production,", 121),
        ("a table that is not there", "{ table: e2e_nothing, where: \"owner LIKE 'test-%'\" }", "", 104),
        ("a column that is not there", "{ table: e2e_note, where: \"nobody LIKE 'test-%'\" }", "", 104),
    ] {
        let server = Server::start(Mode::Api);
        let plan = own_plan(root, more);
        let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", &api.database.url);
        let ended = run.end();
        assert_eq!(ended.code, Some(code), "{what}: {ended}");
        server.expect_untouched();
        assert_eq!(api.database.count("SELECT count(*) FROM e2e_note"), 100, "{what}");
    }
}

#[test]
fn a_cleanup_without_a_url_is_off_with_a_warning_and_refused_as_a_command() {
    let server = Server::start(Mode::Api);
    let plan = own_plan("{ table: e2e_note, where: \"owner LIKE 'test-%'\" }", "");
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", "").end().expect_code(0);
    assert!(ended.summary()["pacecar"].get("cleanup").is_none());
    assert!(ended.stderr.contains("cleanup"), "no warning: {ended}");
    let command = Pacecar::new(["cleanup".as_ref(), plan.path().as_os_str()]).set("API_URL", server.url());
    command.set("DATABASE_URL", "").end().expect_code(104);
}

#[test]
fn a_database_that_goes_away_before_the_cleanup_is_122_and_told() {
    let (_turn, api) = api::alone();
    own_tables(api.database);
    let server = Server::start(Mode::Api);
    let plan = own_plan("{ table: e2e_note, where: \"owner LIKE 'test-%'\" }", "");
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", &api.database.url);
    let run = run.args(["-d", "3s"]).start();
    server.wait_for(1);
    // The cleanup finds another table than the one that was there at the start.
    api.database.execute("ALTER TABLE e2e_note RENAME TO e2e_moved");
    let ended = run.end();
    api.database.execute("ALTER TABLE e2e_moved RENAME TO e2e_note");
    let ended = ended.expect_code(122);
    assert!(ended.stderr.contains("e2e_note"), "{ended}");
    assert_eq!(text(&ended.summary(), &["pacecar", "run", "plan"]), "own", "the summary stands all the same");
    // The next start would finish it; so does this.
    cleanup(&plan, api.database).end().expect_code(0);
    assert_eq!(api.database.count("SELECT count(*) FROM pacecar.lease WHERE ended IS NULL"), 0);
}
