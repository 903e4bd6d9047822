//! SIGKILL at any instant: nothing is left after the next start.
//!
//! A run, or a cleanup, is killed at a random instant; the next start must leave no row of it. In
//! `make test` a few times, in `make soak` often: `PACECAR_SOAK_KILLS` says how often.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::api::{self, Api};
use crate::support::program::Running;
use crate::support::{Ended, Pacecar, PlanFile};

/// How often something is killed where nothing else is said.
const KILLS: u32 = 6;

/// What is not test data.
const REAL: &str =
    "SELECT md5(string_agg(u::text, ',' ORDER BY u.id)) FROM llm_usage u WHERE user_id NOT LIKE 'test-%'";
const TEST_ROWS: &str = "SELECT count(*) FROM llm_usage WHERE user_id LIKE 'test-%'";

/// A plan of this name, whose leases are good for so long.
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
    json: {{ prompt: "hello" }}
scenarios: {{ main: {{ executor: constant-vus, vus: 1, duration: 1s }} }}
cleanup:
  lease: {lease}
  postgres:
    url: ${{DATABASE_URL}}
    batch: 3
    roots: [{{ table: llm_usage, where: "user_id LIKE 'test-%'", max_share: 1.0 }}]
"#
    ))
}

/// Kills it, and waits until it is gone.
fn kill(victim: Running) {
    victim.signal(Signal::KILL);
    victim.end();
}

fn run(plan: &PlanFile, api: &Api) -> Pacecar {
    Pacecar::run(&plan.path()).set("API_URL", &api.url).set("DATABASE_URL", &api.database.url)
}

fn cleanup(plan: &PlanFile, api: &Api) -> Pacecar {
    let cleanup = Pacecar::new(["cleanup".as_ref(), plan.path().as_os_str()]);
    cleanup.set("API_URL", &api.url).set("DATABASE_URL", &api.database.url)
}

/// Waits until what the killed one still had under way has reached the database.
fn settled(api: &Api) {
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'api' AND state <> 'idle' AND datname = current_database()";
    let begun = Instant::now();
    thread::sleep(Duration::from_millis(400));
    while api.database.count(busy) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the API does not come to rest");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// A run, anywhere from its start to its end.
    Run,
    /// One that sweeps all the time.
    Sweeping,
    /// The command, in the midst of 3,000 rows.
    Cleanup,
    /// The same while it finishes a killed run.
    Expired,
    /// Two runs of two plans, at the same instant.
    Two,
}

const VICTIMS: [Victim; 5] = [Victim::Run, Victim::Sweeping, Victim::Cleanup, Victim::Expired, Victim::Two];

/// It ran to its end. On a machine that is so busy that a lease cannot be renewed for seconds it says so; what it leaves
/// is judged all the same.
fn ran(ended: Ended) -> Ended {
    if ended.code == Some(122)
        && (ended.stderr.contains("the lease could not be renewed") || ended.stderr.contains("the lease was lost"))
    {
        return ended;
    }
    ended.expect_ran()
}

/// How often something is killed.
fn kills(few: u32) -> u32 {
    std::env::var("PACECAR_SOAK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

#[test]
fn what_is_killed_at_any_instant_is_finished_by_the_next_start() {
    let own = api::own(&[]);
    let api = &Api { url: own.url.clone(), database: Box::leak(Box::new(own.database())) };
    let kills = kills(KILLS);
    let (plan, other) = (plan("killed", "4s"), plan("other", "4s"));
    let text = std::fs::read_to_string(plan.path()).unwrap();
    let text = text
        .replace("cleanup:", "cleanup:\n  when: every 100ms")
        .replace("max_share: 1.0", "max_share: 1.0, age: created_at");
    let sweeping = PlanFile::new(text);
    let before = api.database.rows(REAL);
    let add = || {
        api.database.execute(
            "INSERT INTO llm_usage (user_id, tenant_id, prompt, model, tokens, cost, cached)
             SELECT 'test-1-1@example.com', 1, 'x', 'x', 1, 0, false FROM generate_series(1, 3000)",
        );
    };
    let start = |plan: &PlanFile| run(plan, api).args(["-u", "2", "-d", "2s", "--no-thresholds"]).start();
    let (mut left_rows, mut in_cleanup) = (0, 0);
    for number in 0..kills {
        let kind = VICTIMS[number as usize % VICTIMS.len()];
        let (victims, longest) = match kind {
            Victim::Run => (vec![start(&plan)], 3_000),
            Victim::Sweeping => (vec![start(&sweeping)], 3_000),
            Victim::Two => (vec![start(&plan), start(&other)], 3_000),
            Victim::Cleanup => {
                add();
                (vec![cleanup(&plan, api).start()], 600)
            }
            Victim::Expired => {
                let run = start(&plan);
                thread::sleep(Duration::from_millis(500));
                kill(run);
                add();
                let held = "SELECT count(*) FROM pacecar.lease WHERE ended IS NULL AND expires > clock_timestamp()";
                while api.database.count(held) > 0 {
                    thread::sleep(Duration::from_millis(20));
                }
                (vec![cleanup(&plan, api).arg("--expired").start()], 600)
            }
        };
        // The first one is killed while it makes schema and table.
        let instant = if number == 0 { 30 } else { fastrand::u64(0..longest) };
        thread::sleep(Duration::from_millis(instant));
        victims.iter().for_each(|victim| victim.signal(Signal::KILL));
        for victim in victims {
            victim.end();
        }
        settled(api);
        let rows = api.database.count(TEST_ROWS);
        left_rows += i64::from(rows > 0);
        in_cleanup += i64::from(matches!(kind, Victim::Cleanup | Victim::Expired) && rows > 0);
        // At once: the lease of the dead one has not run out yet.
        let next = ran(run(&plan, api).args(["-u", "1", "-i", "1"]).end());
        assert_eq!(
            api.database.count(TEST_ROWS),
            0,
            "kill {number} of {kind:?} after {instant} ms: rows are left\n{next}"
        );
    }
    ran(run(&other, api).args(["-u", "1", "-i", "1"]).end());
    assert_eq!(api.database.rows(REAL), before, "a real row was touched");
    assert_eq!(api.database.count("SELECT count(*) FROM pacecar.lease WHERE ended IS NULL"), 0);
    assert!(kills < 50 || (left_rows > 10 && in_cleanup > 3), "too few kills met rows: {left_rows}, {in_cleanup}");
}

#[test]
fn the_ledger_is_whole_whenever_something_is_killed() {
    let own = api::own(&[]);
    let api = &Api { url: own.url.clone(), database: Box::leak(Box::new(own.database())) };
    let text = std::fs::read_to_string(plan("recorded", "4s").path()).unwrap();
    let roots = text.lines().find(|line| line.contains("roots:")).unwrap().to_owned();
    let plan =
        PlanFile::new(text.replace(&roots, "    ledger: record").replace("cleanup:", "cleanup:\n  when: every 200ms"));
    let verb = |verb: &str| {
        let cleanup = Pacecar::new(["cleanup".as_ref(), verb.as_ref(), plan.path().as_os_str()]);
        cleanup.set("API_URL", &api.url).set("DATABASE_URL", &api.database.url)
    };
    let objects = "SELECT string_agg(text, ';' ORDER BY text) FROM (
        SELECT tgrelid::regclass || ' ' || tgname AS text FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
        UNION ALL SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema') o";
    let real = "SELECT coalesce(md5(string_agg(u::text, ',' ORDER BY u.id)), '') FROM llm_usage u";
    let (before, rows) = (api.database.rows(objects), api.database.rows(real));
    let installed = {
        verb("install").end().expect_code(0);
        api.database.rows(objects)
    };
    for number in 0..kills(4) {
        let longest = if number % 2 == 0 { 2_500 } else { 250 };
        let victim = match number % 4 {
            1 => verb("uninstall").start(),
            3 => {
                verb("uninstall").end().expect_code(0);
                verb("install").start()
            }
            _ => run(&plan, api).args(["-u", "2", "-d", "2s", "--no-thresholds"]).start(),
        };
        let instant = fastrand::u64(0..longest);
        thread::sleep(Duration::from_millis(instant));
        kill(victim);
        settled(api);
        let now = api.database.rows(objects);
        assert!(now == installed || now == before, "half installed after {instant} ms: {now:?}");
        verb("install").end().expect_code(0);
        assert_eq!(api.database.rows(objects), installed);
        let next = run(&plan, api).args(["-u", "1", "-i", "1"]).end().expect_ran();
        assert_eq!(
            api.database.count("SELECT count(*) FROM pacecar.ledger"),
            0,
            "kill {number} after {instant} ms\n{next}"
        );
        assert_eq!(api.database.rows(real), rows, "kill {number} after {instant} ms\n{next}");
    }
    verb("uninstall").end().expect_code(0);
    assert_eq!(api.database.rows(objects), before);
}

#[test]
fn what_a_killed_run_left_goes_with_expired_once_its_lease_ran_out() {
    let (_turn, api) = api::alone();
    let plan = plan("killed", "5s");
    let victim = run(&plan, api).args(["-u", "2", "-d", "1m", "--no-thresholds"]).start();
    let begun = Instant::now();
    while api.database.count(TEST_ROWS) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no rows were made");
        thread::sleep(Duration::from_millis(20));
    }
    kill(victim);
    settled(api);
    let held =
        "SELECT count(*) FROM pacecar.lease WHERE plan = 'killed' AND ended IS NULL AND expires > clock_timestamp()";
    while api.database.count(held) > 0 {
        thread::sleep(Duration::from_millis(50));
    }
    let dry = cleanup(&plan, api).args(["--expired", "--dry-run"]).end().expect_code(0);
    assert!(dry.stdout.contains("public.llm_usage"), "{dry}");
    assert!(api.database.count(TEST_ROWS) >= 3, "a dry run deleted");
    let done = cleanup(&plan, api).arg("--expired").end().expect_code(0);
    assert!(done.stdout.contains("public.llm_usage"), "{done}");
    assert_eq!(api.database.count(TEST_ROWS), 0);
    // Nothing more.
    cleanup(&plan, api).arg("--expired").end().expect_code(0);
}

#[test]
fn a_shared_root_is_left_to_the_run_that_is_still_live() {
    let (_turn, api) = api::alone();
    let (first, second) = (plan("killed", "20s"), plan("other", "20s"));
    let long = run(&second, api).args(["-u", "1", "-d", "1m", "--no-thresholds"]).start();
    let held = "SELECT count(*) FROM pacecar.lease WHERE plan = 'other' AND ended IS NULL";
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30)
        && (api.database.count("SELECT count(*) FROM pg_namespace WHERE nspname = 'pacecar'") == 0
            || api.database.count(held) == 0
            || api.database.count(TEST_ROWS) == 0)
    {
        thread::sleep(Duration::from_millis(20));
    }
    let short = run(&first, api).args(["-u", "1", "-i", "2"]).end().expect_code(0);
    assert!(short.stderr.contains("left to run"), "{short}");
    assert!(api.database.count(TEST_ROWS) > 0, "the rows of a live run were deleted");
    long.signal(Signal::INT);
    long.end().expect_code(105);
    assert_eq!(api.database.count(TEST_ROWS), 0, "the last one out sweeps");
}

#[test]
fn a_lease_that_is_lost_stops_the_traffic_and_is_122() {
    let (_turn, api) = api::alone();
    let plan = plan("lost", "3s");
    let run = run(&plan, api).args(["-u", "1", "-d", "5m", "--no-thresholds"]).start();
    let begun = Instant::now();
    while api.database.count(TEST_ROWS) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no rows were made");
        thread::sleep(Duration::from_millis(20));
    }
    // As another does that takes it over, and finishes.
    api.database
        .execute("UPDATE pacecar.lease SET term = term + 1, ended = now() WHERE plan = 'lost' AND ended IS NULL");
    let ended = run.end().expect_code(122);
    assert!(ended.stderr.contains("the lease was lost"), "{ended}");
    cleanup(&plan, api).end().expect_code(0);
    assert_eq!(api.database.count(TEST_ROWS), 0);
}
