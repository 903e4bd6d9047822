//! `undo`: what no database can clean is undone at the end, and after a kill by whoever starts next.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::json::{at, count};
use crate::support::postgres::{self, Database};
use crate::support::shelf::Shelf;
use crate::support::{Pacecar, PlanFile};

/// Log in, make a thing, think. `scenario` is the executor's part.
fn plan(scenario: &str) -> PlanFile {
    PlanFile::new(format!(
        r#"
name: things
base_url: ${{API_URL}}
tenants: {{ count: 2, users: 2 }}
workflow:
  - name: login
    request: POST /login
    json: {{ email: "{{{{ user.email }}}}" }}
    capture: {{ token: $.token }}
  - name: make
    request: POST /things
    auth: {{ bearer: "{{{{ token }}}}" }}
    expect: {{ status: 201 }}
    capture: {{ id: $.id }}
    undo: DELETE /things/{{{{ id }}}}
    think: 5ms
scenarios: {{ main: {{ {scenario} }} }}
"#
    ))
}

fn run(plan: &PlanFile, shelf: &Shelf) -> Pacecar {
    Pacecar::run(&plan.path()).set("API_URL", &shelf.url)
}

fn cleanup(plan: &PlanFile, shelf: &Shelf) -> Pacecar {
    Pacecar::new(["cleanup".as_ref(), plan.path().as_os_str()]).set("API_URL", &shelf.url)
}

/// The journals beside a plan.
fn journals(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.to_string_lossy().contains(".undo-")).collect()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_a_run_creates_is_undone_and_stands_in_no_figure() {
    let shelf = Shelf::start();
    let plan = plan("executor: shared-iterations, vus: 3, iterations: 20");
    let ended = run(&plan, &shelf).end().expect_ran();
    let summary = ended.summary();
    assert_eq!((shelf.made(), shelf.there()), (20, Vec::new()));
    assert_eq!(count(&summary, &["metrics", "http_reqs", "count"]), 40, "what undoes is no load");
    let cleanup = at(&summary, &["pacecar", "cleanup"]);
    assert_eq!(count(cleanup, &["found", "undo:make"]), 20, "{cleanup}");
    assert_eq!(count(cleanup, &["deleted", "undo:make"]), 20, "{cleanup}");
    assert_eq!((count(cleanup, &["remaining"]), count(cleanup, &["quarantined"])), (0, 0));
    assert!(ended.stdout.contains("undo:make"), "{ended}");
    assert_eq!(journals(plan.folder()), Vec::<PathBuf>::new(), "a settled journal stays");
}

#[test]
fn what_a_killed_run_left_is_undone_by_the_next_start() {
    let shelf = Shelf::start();
    let plan = plan("executor: constant-vus, vus: 2, duration: 2m");
    let running = run(&plan, &shelf).start();
    wait_until("nothing was made", || shelf.made() >= 10);
    // Whatever is on its way has its answer soon; what no answer came for has no known name.
    shelf.slow(Duration::from_secs(3600));
    wait_until("both are on their way for ever", || {
        let made = shelf.made();
        thread::sleep(Duration::from_millis(50));
        shelf.making() == 2 && shelf.made() == made
    });
    running.signal(Signal::KILL);
    let _ = running.end();
    let left = shelf.there();
    assert!(left.len() >= 10);
    let journal = journals(plan.folder()).pop().expect("the journal of the killed run");
    let text = std::fs::read_to_string(&journal).unwrap();
    assert!(!text.contains("hidden-token") && !text.contains("secret"), "a secret is in the journal: {text}");
    // As a kill in the middle of a write leaves it.
    std::fs::OpenOptions::new()
        .append(true)
        .open(&journal)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"{\"id\": 99, \"ph"))
        .unwrap();
    // Tokens do not outlive a restart either.
    shelf.forget_tokens();
    shelf.slow(Duration::ZERO);

    let ended = run(&plan, &shelf).args(["-u", "1", "-i", "1"]).end().expect_code(122);
    // The two whose answers never came have no known name: told, and counted as left.
    assert_eq!(shelf.there().len(), 2, "{ended}");
    assert!(ended.stderr.contains("no answer came"), "{ended}");
    assert_eq!(count(&ended.summary(), &["pacecar", "cleanup", "remaining"]), 2);
    assert_eq!(journals(plan.folder()), Vec::<PathBuf>::new());
    // Told once.
    run(&plan, &shelf).args(["-u", "1", "-i", "1"]).end().expect_ran();
}

#[test]
fn what_is_named_by_the_client_is_undone_even_where_no_answer_came() {
    let shelf = Shelf::start();
    let plan = PlanFile::new(
        "\
name: named
base_url: ${API_URL}
workflow:
  - name: make
    request: PUT /things/{{ iteration * 1000 + vu }}
    undo: DELETE /things/{{ iteration * 1000 + vu }}
scenarios: { main: { executor: per-vu-iterations, vus: 2, iterations: 1, maxDuration: 2m } }
",
    );
    shelf.slow(Duration::from_secs(3600));
    let running = run(&plan, &shelf).start();
    wait_until("two are on their way", || shelf.there().len() == 2);
    running.signal(Signal::KILL);
    let _ = running.end();
    let dry = cleanup(&plan, &shelf).arg("--dry-run").end().expect_code(0);
    assert!(dry.stdout.contains("undo:make") && dry.stdout.contains("found=2"), "{dry}");
    assert_eq!(shelf.there().len(), 2, "a dry run deleted");
    let done = cleanup(&plan, &shelf).end().expect_code(0);
    assert!(done.stdout.contains("deleted=2"), "{done}");
    assert_eq!((shelf.there(), journals(plan.folder())), (Vec::new(), Vec::new()));
    cleanup(&plan, &shelf).end().expect_code(0);
}

#[test]
fn with_no_cleanup_it_stays_until_the_command() {
    let shelf = Shelf::start();
    let plan = plan("executor: shared-iterations, vus: 2, iterations: 6");
    let ended = run(&plan, &shelf).arg("--no-cleanup").end().expect_ran();
    assert!(ended.summary()["pacecar"].get("cleanup").is_none(), "no cleanup ran");
    assert_eq!((shelf.there().len(), journals(plan.folder()).len()), (6, 1));
    shelf.forget_tokens();
    let before = shelf.logins();
    cleanup(&plan, &shelf).end().expect_code(0);
    assert_eq!((shelf.there(), journals(plan.folder())), (Vec::new(), Vec::new()));
    assert!(shelf.logins() - before <= 4, "each user logs in once");
}

#[test]
fn what_cannot_be_undone_is_left_told_and_tried_again() {
    let shelf = Shelf::start();
    let plan = plan("executor: shared-iterations, vus: 1, iterations: 2");
    shelf.stuck(Some(405));
    let ended = run(&plan, &shelf).end().expect_code(122);
    assert_eq!(count(&ended.summary(), &["pacecar", "cleanup", "remaining"]), 2);
    assert!(ended.stderr.contains("405") && !ended.everything().contains("hidden-token"), "{ended}");
    assert_eq!(journals(plan.folder()).len(), 1);
    shelf.stuck(None);
    cleanup(&plan, &shelf).end().expect_code(0);
    assert_eq!((shelf.there(), journals(plan.folder())), (Vec::new(), Vec::new()));
}

#[test]
fn what_is_gone_already_counts_as_undone_and_what_was_refused_as_nothing() {
    let shelf = Shelf::start();
    let plan = plan("executor: shared-iterations, vus: 1, iterations: 3");
    shelf.stuck(Some(410));
    run(&plan, &shelf).end().expect_ran();
    // Nobody is let in: nothing is created, and nothing is to be undone.
    let text = std::fs::read_to_string(plan.path()).unwrap().replace("{{ token }}", "no");
    let refused = PlanFile::new(text);
    let ended = run(&refused, &shelf).end().expect_ran();
    assert_eq!(count(&ended.summary(), &["pacecar", "cleanup", "found", "undo:make"]), 0);
    assert_eq!(shelf.made(), 3);
}

#[test]
fn an_iteration_is_undone_last_first() {
    let shelf = Shelf::start();
    let text = std::fs::read_to_string(plan("executor: per-vu-iterations, vus: 1, iterations: 1").path()).unwrap();
    let second = text.split("  - name: make").nth(1).unwrap().split("scenarios").next().unwrap();
    let second = second.replace("capture: { id: $.id }", "capture: { other: $.id }").replace("{{ id }}", "{{ other }}");
    let plan = PlanFile::new(text.replace("scenarios:", &format!("  - name: again{second}scenarios:")));
    run(&plan, &shelf).end().expect_ran();
    assert_eq!(shelf.deleted(), [2, 1]);
}

#[test]
fn a_journal_that_cannot_be_written_refuses_the_run() {
    let shelf = Shelf::start();
    let text = std::fs::read(plan("executor: shared-iterations, vus: 1, iterations: 1").path()).unwrap();
    // Read from standard input, the plan's journal stands in the working directory, where nobody can write.
    let ended = Pacecar::new(["run", "-"])
        .set("API_URL", &shelf.url)
        .stdin(text)
        .directory(Path::new("/proc/self"))
        .end()
        .expect_code(121);
    assert!(ended.stderr.contains("journal"), "{ended}");
    assert_eq!(shelf.made(), 0, "a request was sent");
}

/// The same plan with a database of its own, and the database.
fn with_database(scenario: &str) -> (PlanFile, Database) {
    let database = postgres::shared().beside(postgres::shared().another());
    database.execute("CREATE TABLE users (email text); INSERT INTO users VALUES ('me')");
    let text = std::fs::read_to_string(plan(scenario).path()).unwrap();
    let cleanup = r#"cleanup: { lease: 4s, postgres: { url: "${DATABASE_URL}", roots: [{ table: users, where: "email LIKE 'test-%'" }] } }"#;
    (PlanFile::new(format!("{text}{cleanup}\n")), database)
}

/// Lines in the journal of the database.
fn lines(database: &Database) -> i64 {
    database.count("SELECT count(*) FROM pacecar.journal")
}

#[test]
fn with_a_database_the_journal_outlives_the_machine() {
    let shelf = Shelf::start();
    let (plan, database) = with_database("executor: constant-vus, vus: 2, duration: 2m");
    // As a pod that is scheduled anew: the same plan on another disk.
    let elsewhere = || PlanFile::new(std::fs::read_to_string(plan.path()).unwrap());
    let of = |pacecar: Pacecar| pacecar.set("DATABASE_URL", &database.url);
    for next in ["run", "cleanup", "cleanup --expired"] {
        let running = of(run(&plan, &shelf)).start();
        let made = shelf.made();
        wait_until("nothing was made", || shelf.made() >= made + 10);
        running.signal(Signal::KILL);
        let _ = running.end();
        assert_eq!(journals(plan.folder()), Vec::<PathBuf>::new(), "a file beside the plan");
        assert!(shelf.there().len() >= 10 && lines(&database) >= 10);
        let text = database.rows("SELECT line FROM pacecar.journal").concat();
        assert!(!text.contains("hidden-token") && !text.contains("secret"), "a secret is in the journal: {text}");
        shelf.forget_tokens();
        match next {
            // Its lease has not run out yet: what is left is undone at the end.
            "run" => {
                let ended = of(run(&elsewhere(), &shelf)).args(["-u", "1", "-i", "1"]).end();
                assert!(ended.stderr.contains("was killed and left"), "{ended}");
            }
            "cleanup" => {
                of(cleanup(&elsewhere(), &shelf)).arg("--dry-run").end().expect_code(0);
                assert!(shelf.there().len() >= 10, "a dry run deleted");
                of(cleanup(&elsewhere(), &shelf)).end();
            }
            _ => {
                let held = "SELECT count(*) FROM pacecar.lease WHERE ended IS NULL AND expires > clock_timestamp()";
                wait_until("the lease holds for ever", || database.count(held) == 0);
                of(cleanup(&elsewhere(), &shelf)).arg("--expired").end();
            }
        }
        // What no answer came for has no known name: at most one for each VU.
        assert!(shelf.there().len() <= 2, "{next}: {:?}", shelf.there());
        assert_eq!(lines(&database), 0, "{next}");
        shelf.clear();
    }
}

#[test]
fn a_settled_journal_leaves_nothing_in_the_database_and_a_live_one_is_left_alone() {
    let shelf = Shelf::start();
    let (plan, database) = with_database("executor: constant-vus, vus: 1, duration: 2m");
    let of = |pacecar: Pacecar| pacecar.set("DATABASE_URL", &database.url);
    let running = of(run(&plan, &shelf)).start();
    wait_until("nothing was made", || shelf.made() >= 5);
    of(cleanup(&plan, &shelf)).end().expect_code(0);
    assert!(shelf.there().len() >= 5, "what a live run made was undone");
    running.signal(Signal::INT);
    let ended = running.end().expect_code(105);
    assert_eq!(
        at(&ended.summary(), &["pacecar", "cleanup", "found", "undo:make"]),
        at(&ended.summary(), &["pacecar", "cleanup", "deleted", "undo:make"])
    );
    assert_eq!((shelf.there(), lines(&database)), (Vec::new(), 0));
}
