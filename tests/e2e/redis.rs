//! Keys in a real Redis: what the patterns match is deleted, nothing else is, and what cannot work is refused.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::json::{at, count};
use crate::support::postgres::{self, Database};
use crate::support::program::Running;
use crate::support::redis::Redis;
use crate::support::{Mode, Pacecar, PlanFile, Server};

/// The server that the tests share, a database each.
fn shared() -> &'static Redis {
    static SHARED: OnceLock<Redis> = OnceLock::new();
    SHARED.get_or_init(|| Redis::start(&[]))
}

/// A plan of a few requests whose only cleanup is in Redis.
fn plan(section: &str) -> PlanFile {
    PlanFile::new(format!(
        "\
name: keys
base_url: ${{API_URL}}
workflow: [{{ name: home, request: GET /, think: 10ms }}]
scenarios: {{ main: {{ executor: shared-iterations, vus: 1, iterations: 3 }} }}
cleanup: {{ redis: {{ url: \"${{REDIS_URL}}\", {section} }} }}
"
    ))
}

fn run(plan: &PlanFile, server: &Server, url: &str) -> Pacecar {
    Pacecar::run(&plan.path()).set("API_URL", server.url()).set("REDIS_URL", url)
}

fn cleanup(plan: &PlanFile, url: &str) -> Pacecar {
    let cleanup = Pacecar::new(["cleanup".as_ref(), plan.path().as_os_str()]);
    cleanup.set("API_URL", "http://127.0.0.1:1").set("REDIS_URL", url)
}

#[test]
fn keys_that_a_pattern_matches_go_at_the_end_of_a_run_and_no_others() {
    let (redis, server) = (shared(), Server::start(Mode::Status(200)));
    redis.fill(1, "session:test-", 2500);
    redis.fill(1, "session:real-", 30);
    redis.fill(1, "tmp?", 2);
    redis.fill(2, "session:test-", 3);
    let plan = plan(r#"match: ["session:test-*", 'tmp\?*']"#);
    let ended = run(&plan, &server, &redis.url(1)).end().expect_ran();
    let cleanup = at(&ended.summary(), &["pacecar", "cleanup"]).clone();
    assert_eq!(count(&cleanup, &["found", "redis:session:test-*"]), 2500, "{cleanup}");
    assert_eq!(count(&cleanup, &["deleted", "redis:session:test-*"]), 2500, "{cleanup}");
    assert_eq!(count(&cleanup, &["deleted", r"redis:tmp\?*"]), 2, "{cleanup}");
    assert_eq!((count(&cleanup, &["remaining"]), count(&cleanup, &["quarantined"])), (0, 0));
    let left = redis.keys(1);
    assert!(left.len() == 30 && left.iter().all(|key| key.starts_with("session:real-")), "{left:?}");
    assert_eq!(redis.keys(2).len(), 3, "another database was touched");
    assert!(ended.stdout.contains("redis:session:test-*"), "{ended}");
}

#[test]
fn the_command_shows_and_then_deletes_the_same() {
    let redis = shared();
    redis.fill(3, "cache:test:", 40);
    redis.fill(3, "cache:", 5);
    let plan = plan(r#"match: ["cache:test:*"]"#);
    let dry = cleanup(&plan, &redis.url(3)).arg("--dry-run").end().expect_code(0);
    assert!(dry.stdout.contains("redis:cache:test:*") && dry.stdout.contains("found=40"), "{dry}");
    assert_eq!(redis.keys(3).len(), 45, "a dry run deleted");
    let done = cleanup(&plan, &redis.url(3)).end().expect_code(0);
    assert!(done.stdout.contains("deleted=40"), "{done}");
    assert_eq!(redis.keys(3).len(), 5);
    cleanup(&plan, &redis.url(3)).end().expect_code(0);
}

#[test]
fn with_a_run_id_only_the_keys_of_that_run_go() {
    let redis = shared();
    redis.fill(4, "job:0123456789abcdef:", 4);
    redis.fill(4, "job:fedcba9876543210:", 4);
    redis.fill(4, "job:all:", 4);
    let plan = plan(r#"match: ["job:{{ run }}:*", "job:all:*"]"#);
    cleanup(&plan, &redis.url(4)).args(["--run", "0123456789abcdef"]).end().expect_code(0);
    let left = redis.keys(4);
    assert!(left.len() == 8 && !left.iter().any(|key| key.contains("0123456789abcdef")), "{left:?}");
}

#[test]
fn patterns_match_as_the_server_matches() {
    // What the server does not match too would be refused as a foreign answer; what it does not hand out would stay.
    let redis = shared();
    let keys = ["tst*", "tst?", "tst[a]", "tstb", "tst-b", "tst\\", "tst]", "tst^", "tstbb", "tst"];
    for pattern in [
        r"tst\*", "tst?", "tst[a-b]", "tst[b-a]", "tst[^b]", r"tst[\]]", "tst[ab", r"tst\", "tst*b", "tst[-]b", "tst**",
    ] {
        redis.cli(5, &["FLUSHDB"]);
        for key in keys {
            redis.cli(5, &["SET", key, "1"]);
        }
        let matched = redis.cli(5, &["EVAL", "return redis.call('KEYS', ARGV[1])", "0", pattern]).len();
        let plan = plan(&format!("match: ['{pattern}']"));
        cleanup(&plan, &redis.url(5)).end().expect_code(0);
        let expected = if pattern == r"tst\*" || pattern == r"tst\" { 1 } else { matched };
        assert_eq!(redis.keys(5).len(), keys.len() - expected, "{pattern}");
    }
}

#[test]
fn patterns_that_could_mean_everything_and_no_patterns_are_refused() {
    for section in [r#"match: ["*"]"#, r#"match: ["[^x]*"]"#, r#"match: ["ab*"]"#, "match: []", r#"match: [""]"#] {
        let plan = plan(section);
        // Nobody listens there: it is refused before anything is asked.
        let ended = cleanup(&plan, "redis://127.0.0.1:1").end().expect_code(104);
        assert!(ended.stderr.contains("match"), "{ended}");
        let ended = Pacecar::new(["check".as_ref(), plan.path().as_os_str()])
            .set("API_URL", "http://127.0.0.1:1")
            .set("REDIS_URL", "redis://127.0.0.1:1")
            .end();
        ended.expect_code(104);
    }
}

#[test]
fn an_empty_url_is_off_for_a_run_and_refused_by_the_command() {
    let server = Server::start(Mode::Status(200));
    let plan = plan(r#"match: ["session:test-*"]"#);
    let ended = run(&plan, &server, "").end().expect_ran();
    assert!(ended.stderr.contains("cleanup.redis is off"), "{ended}");
    cleanup(&plan, "").end().expect_code(104);
}

#[test]
fn what_could_not_be_cleaned_up_does_not_begin() {
    let server = Server::start(Mode::Status(200));
    let plan = plan(r#"match: ["session:test-*"], max_keys: 5"#);
    // Nobody there.
    run(&plan, &server, "redis://127.0.0.1:1").end().expect_code(121);
    cleanup(&plan, "redis://127.0.0.1:1").end().expect_code(122);
    // More than may be deleted.
    let redis = shared();
    redis.fill(6, "session:test-", 6);
    let ended = run(&plan, &server, &redis.url(6)).end().expect_code(121);
    assert!(ended.stderr.contains("max_keys"), "{ended}");
    cleanup(&plan, &redis.url(6)).end().expect_code(121);
    assert_eq!(redis.keys(6).len(), 6);
    // A replica, even one that takes writes.
    let replica = Redis::start(&["--replica-read-only", "no"]);
    replica.cli(0, &["REPLICAOF", "127.0.0.1", "1"]);
    let ended = run(&plan, &server, &replica.url(0)).end().expect_code(121);
    assert!(ended.stderr.contains("replica"), "{ended}");
    cleanup(&plan, &replica.url(0)).end().expect_code(122);
    // A cluster.
    let cluster = Redis::start(&["--cluster-enabled", "yes"]);
    let ended = run(&plan, &server, &cluster.url(0)).end().expect_code(121);
    assert!(ended.stderr.contains("cluster"), "{ended}");
    assert!(server.requests().is_empty(), "a request was sent");
}

#[test]
fn rights_are_asked_before_the_first_request_and_no_password_is_shown() {
    let server = Server::start(Mode::Status(200));
    let redis = Redis::start(&[]);
    redis.cli(0, &["ACL", "SETUSER", "looker", "on", ">hidden-secret", "~*", "+@read", "+info", "+@transaction"]);
    redis.cli(0, &["ACL", "SETUSER", "tester", "on", ">hidden-secret", "~session:test-*", "+scan", "+unlink"]);
    redis.fill(0, "session:test-", 3);
    let plan = plan(r#"match: ["session:test-*"]"#);
    let of = |user: &str, password: &str| format!("redis://{user}:{password}@127.0.0.1:{}/0", redis.port);
    let ended = run(&plan, &server, &of("looker", "hidden-secret")).end().expect_code(121);
    assert!(ended.stderr.contains("UNLINK") && !ended.everything().contains("hidden-secret"), "{ended}");
    let ended = run(&plan, &server, &of("tester", "wrong-secret")).end().expect_code(121);
    assert!(!ended.everything().contains("wrong-secret"), "{ended}");
    assert!(server.requests().is_empty(), "a request was sent");
    assert_eq!(redis.keys(0).len(), 3);
    // Who may do this and nothing else can.
    run(&plan, &server, &of("tester", "hidden-secret")).end().expect_ran();
    assert!(redis.keys(0).is_empty());
    for url in ["redis://u:hidden-secret@h:port/0", "redis://u:hidden-secret@h/x", "http://u:hidden-secret@h"] {
        let ended = cleanup(&plan, url).end().expect_code(104);
        assert!(!ended.everything().contains("hidden-secret"), "{ended}");
    }
}

/// A plan with rows and keys: its leases are about both.
fn leased(name: &str, patterns: &str) -> PlanFile {
    PlanFile::new(format!(
        "\
name: {name}
base_url: ${{API_URL}}
workflow: [{{ name: home, request: GET /, think: 50ms }}]
scenarios: {{ main: {{ executor: constant-vus, vus: 1, duration: 2m }} }}
cleanup:
  lease: 5s
  redis: {{ url: \"${{REDIS_URL}}\", match: [{patterns}] }}
  postgres: {{ url: \"${{DATABASE_URL}}\", roots: [{{ table: users, where: \"email LIKE 'test-{{{{ run }}}}-%'\" }}] }}
"
    ))
}

/// A database of one real user.
fn database() -> Database {
    let database = postgres::shared().beside(postgres::shared().another());
    database.execute("CREATE TABLE users (email text); INSERT INTO users VALUES ('me')");
    database
}

/// Starts it, and waits until it is live; gives its id.
fn live(run: Pacecar, database: &Database, name: &str) -> (Running, String) {
    let running = run.start();
    let begun = Instant::now();
    let id = format!("SELECT run FROM pacecar.lease WHERE plan = '{name}' AND ended IS NULL AND NOT sweeping");
    let there = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('pacecar.lease')";
    loop {
        let ids = if database.count(there) == 1 { database.rows(&id) } else { Vec::new() };
        if let Some(id) = ids.into_iter().next() {
            return (running, id);
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it takes no lease");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn keys_that_runs_share_are_left_to_the_one_that_is_still_live() {
    let (redis, server, database) = (shared(), Server::start(Mode::Status(200)), database());
    let (first, second) =
        (leased("first", "\"both:test-*\", \"own:{{ run }}:*\""), leased("second", "\"both:test-*\""));
    let start = |plan: &PlanFile| run(plan, &server, &redis.url(7)).set("DATABASE_URL", &database.url);
    let (long, _) = live(start(&second), &database, "second");
    let (short, id) = live(start(&first), &database, "first");
    redis.fill(7, "both:test-", 5);
    redis.fill(7, &format!("own:{id}:"), 3);
    short.signal(Signal::INT);
    let ended = short.end().expect_code(105);
    assert!(ended.stderr.contains("redis:both:test-* is left to run"), "{ended}");
    assert_eq!(count(&ended.summary(), &["pacecar", "cleanup", "deleted", "redis:own:{{ run }}:*"]), 3);
    assert_eq!(redis.keys(7).len(), 5, "the keys of a live run were deleted");
    long.signal(Signal::INT);
    long.end().expect_code(105);
    assert_eq!(redis.keys(7), Vec::<String>::new(), "the last one out sweeps");
}

#[test]
fn keys_of_a_killed_run_go_with_its_rows() {
    let (redis, server, database) = (shared(), Server::start(Mode::Status(200)), database());
    let plan = leased("killed", "\"job:{{ run }}:*\", \"job:all:*\"");
    let start = || run(&plan, &server, &redis.url(8)).set("DATABASE_URL", &database.url);
    let expired = "SELECT count(*) FROM pacecar.lease WHERE ended IS NULL AND expires < clock_timestamp()";
    for next in ["run", "cleanup --expired"] {
        let (victim, id) = live(start(), &database, "killed");
        redis.fill(8, &format!("job:{id}:"), 4);
        redis.fill(8, "job:fedcba9876543210:", 1);
        redis.fill(8, "job:all:", 2);
        database.execute(&format!("INSERT INTO users VALUES ('test-{id}-1')"));
        victim.signal(Signal::KILL);
        victim.end();
        while database.count(expired) == 0 {
            thread::sleep(Duration::from_millis(50));
        }
        if next == "run" {
            start().args(["-u", "1", "-i", "1"]).end().expect_ran();
        } else {
            let expired = || cleanup(&plan, &redis.url(8)).set("DATABASE_URL", &database.url).arg("--expired");
            let dry = expired().arg("--dry-run").end().expect_code(0);
            assert!(dry.stdout.contains("redis:job:{{ run }}:*"), "{dry}");
            assert_eq!(redis.keys(8).len(), 7, "a dry run deleted");
            // Without their Redis the lease stays, and says so.
            let elsewhere =
                cleanup(&plan, "").set("DATABASE_URL", &database.url).arg("--expired").end().expect_code(122);
            assert!(elsewhere.stderr.contains("left keys in Redis"), "{elsewhere}");
            let done = expired().end().expect_code(0);
            assert!(done.stdout.contains("deleted=4"), "{done}");
        }
        assert_eq!(redis.keys(8), ["job:fedcba9876543210:0"], "after {next}");
        assert_eq!(database.count("SELECT count(*) FROM users"), 1, "after {next}");
    }
}
