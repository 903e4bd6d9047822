//! The ledger of rows: what it records, what it must never say, and that it goes without a trace.

use std::process::{Command, Stdio};

use crate::support::json::{at, count};
use crate::support::postgres::{self, Database};
use crate::support::{Ended, Pacecar, PlanFile, api};

const RUN: &str = "00000000000000aa";
const LEDGER: &str = "SELECT relation::regclass || ' ' || key || CASE WHEN hearsay THEN ' hearsay' ELSE '' END
    FROM pacecar.ledger ORDER BY seq";

/// A database of the test's own: triggers on the tables of others would be in their way.
fn database(name: &str) -> Database {
    let shared = postgres::shared();
    shared.execute(&format!("DROP DATABASE IF EXISTS {name}"));
    shared.execute(&format!("CREATE DATABASE {name}"));
    let (server, _) = shared.url.rsplit_once('/').expect("a database in the url");
    let own = shared.beside(format!("{server}/{name}"));
    own.execute(
        "CREATE TABLE orders (id int PRIMARY KEY DEFERRABLE, note text);
         CREATE TABLE \"Odd \"\"name\" (\"<key of n>\" int, \"a'b\" text, PRIMARY KEY (\"<key of n>\", \"a'b\"));
         CREATE TABLE part (id int, day int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
         CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
         CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
         CREATE TABLE keyless (note text);
         INSERT INTO orders VALUES (1, 'real');",
    );
    own
}

fn plan() -> PlanFile {
    PlanFile::new(
        "\
name: ledger
base_url: http://127.0.0.1:1
workflow: [{ request: GET / }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
cleanup: { postgres: { url: \"${DATABASE_URL}\", roots: [{ table: orders, where: \"note LIKE 'test-%'\" }] } }
",
    )
}

fn cleanup(verb: &str, plan: &PlanFile, database: &Database) -> Pacecar {
    Pacecar::new(["cleanup".as_ref(), verb.as_ref(), plan.path().as_os_str()]).set("DATABASE_URL", &database.url)
}

/// A run that is live, without the run.
fn live(database: &Database) {
    database.execute(&format!(
        "INSERT INTO pacecar.lease (run, plan, digest, kind, claim, shared, kept, sweeping, expires)
         VALUES ('{RUN}', 'x', '', 'run', '{{}}', '{{}}', false, false, now() + interval '1 hour')"
    ));
}

fn schema(database: &Database) -> String {
    let dump = Command::new("pg_dump").args(["--schema-only", "--dbname", &database.url]).output().expect("pg_dump");
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let text = String::from_utf8(dump.stdout).expect("text");
    // These carry a number that is drawn anew for each dump.
    text.lines().filter(|line| !line.contains("restrict")).collect::<Vec<_>>().join("\n")
}

#[test]
fn uninstall_leaves_the_schema_as_it_was_and_refuses_while_rows_are_recorded() {
    let (database, plan) = (database("e2e_ledger_schema"), plan());
    let before = schema(&database);
    let installed = cleanup("install", &plan, &database).end().expect_code(0);
    for table in ["public.orders", "public.\"Odd \"\"name\"", "public.part_2", "public.keyless"] {
        assert!(installed.stdout.contains(table), "{table}: {installed}");
    }
    let installed_once = schema(&database);
    database.execute("CREATE TABLE late (id int PRIMARY KEY)");
    let again = cleanup("install", &plan, &database).end().expect_code(0);
    assert!(again.stdout.contains("1 of them new"), "{again}");
    database.execute("DROP TABLE late");
    assert_ne!(before, installed_once);

    live(&database);
    database.execute(&format!("BEGIN; SET LOCAL pacecar.run_id = '{RUN}'; INSERT INTO orders VALUES (2, 'x'); COMMIT"));
    cleanup("uninstall", &plan, &database).end().expect_code(122);
    assert_eq!(database.count("SELECT count(*) FROM pacecar.ledger"), 1);
    database.execute("DELETE FROM orders WHERE id = 2");
    // The run has not ended.
    cleanup("uninstall", &plan, &database).end().expect_code(122);
    database.execute("UPDATE pacecar.lease SET ended = now()");
    cleanup("uninstall", &plan, &database).end().expect_code(0);
    assert_eq!(schema(&database), before);
    cleanup("uninstall", &plan, &database).end().expect_code(0);
}

#[test]
fn a_schema_of_that_name_that_is_not_ours_is_refused() {
    let (database, plan) = (database("e2e_ledger_foreign"), plan());
    database.execute("CREATE SCHEMA pacecar; CREATE TABLE pacecar.theirs (id int)");
    cleanup("install", &plan, &database).end().expect_code(122);
    assert_eq!(database.count("SELECT count(*) FROM pg_class WHERE relnamespace = 'pacecar'::regnamespace"), 1);
}

#[test]
fn a_record_follows_its_row_and_never_outlives_it() {
    let (database, plan) = (database("e2e_ledger_rows"), plan());
    cleanup("install", &plan, &database).end().expect_code(0);
    live(&database);
    let tagged = |sql: &str| format!("BEGIN; SET LOCAL pacecar.run_id = '{RUN}'; {sql}; COMMIT");
    let comment = format!("/*traceparent='00-{RUN}0000000000000001-0000000000000001-01'*/");
    let steps: Vec<(&str, String, &[&str])> = vec![
        ("nothing is recorded of a real transaction", "INSERT INTO orders VALUES (9, 'real')".into(), &[]),
        (
            "nor of garbage",
            "BEGIN; SET LOCAL pacecar.run_id = 'x'' OR 1=1 --'; INSERT INTO orders VALUES (8, 'real'); COMMIT".into(),
            &[],
        ),
        (
            "nor of a run that nobody knows",
            "BEGIN; SET LOCAL pacecar.run_id = '00000000000000bb'; INSERT INTO orders VALUES (7, 'real'); COMMIT"
                .into(),
            &[],
        ),
        ("a tagged one is", tagged("INSERT INTO orders VALUES (2, 't')"), &["orders {\"id\": 2}"]),
        (
            "not what is rolled back",
            format!("BEGIN; SET LOCAL pacecar.run_id = '{RUN}'; INSERT INTO orders VALUES (3, 't'); ROLLBACK"),
            &["orders {\"id\": 2}"],
        ),
        (
            "nor what an upsert only changed",
            tagged(
                "MERGE INTO orders o USING (SELECT 1 AS id) s ON o.id = s.id WHEN MATCHED THEN UPDATE SET note = 'changed' WHEN NOT MATCHED THEN INSERT VALUES (1, 'x')",
            ),
            &["orders {\"id\": 2}"],
        ),
        ("keys may be swapped", "UPDATE orders SET id = 3 - id WHERE id IN (1, 2)".into(), &["orders {\"id\": 1}"]),
        (
            "a key that is used again is real",
            "DELETE FROM orders WHERE id = 1; INSERT INTO orders VALUES (1, 'real')".into(),
            &[],
        ),
        (
            "partitions by their leaf",
            tagged("INSERT INTO part VALUES (1, 1), (2, 12); INSERT INTO part_1 VALUES (3, 3)"),
            &["part_1 {\"id\": 1, \"day\": 1}", "part_2 {\"id\": 2, \"day\": 12}", "part_1 {\"id\": 3, \"day\": 3}"],
        ),
        (
            "a row that moves is followed",
            "UPDATE part SET day = day + 10 WHERE day < 10; INSERT INTO part VALUES (1, 1)".into(),
            &["part_2 {\"id\": 1, \"day\": 11}", "part_2 {\"id\": 2, \"day\": 12}", "part_2 {\"id\": 3, \"day\": 13}"],
        ),
        ("nothing is left of a table that is emptied", "TRUNCATE part".into(), &[]),
        (
            "names that need quotes",
            tagged("INSERT INTO \"Odd \"\"name\" VALUES (1, 'x''y')"),
            &["\"Odd \"\"name\" {\"a'b\": \"x'y\", \"<key of n>\": 1}"],
        ),
        (
            "also where triggers rest",
            "SET session_replication_role = replica; DELETE FROM \"Odd \"\"name\"".into(),
            &[],
        ),
        (
            "a comment is hearsay",
            format!("{comment} INSERT INTO orders VALUES (20, 'h')"),
            &["orders {\"id\": 20} hearsay"],
        ),
    ];
    for (what, sql, expected) in steps {
        database.execute(&sql);
        assert_eq!(database.rows(LEDGER), expected, "{what}");
    }
    let updated = "SELECT relation::regclass || ' ' || rows FROM pacecar.updates";
    assert_eq!(database.rows(updated), ["orders 1"], "an update of a row that was there before is counted");
}

#[test]
fn the_application_needs_no_right_in_the_schema_and_gets_none() {
    let (database, plan) = (database("e2e_ledger_rights"), plan());
    cleanup("install", &plan, &database).end().expect_code(0);
    live(&database);
    database.execute(&format!(
        "DROP ROLE IF EXISTS e2e_app; CREATE ROLE e2e_app; GRANT ALL ON orders TO e2e_app; SET ROLE e2e_app;
         CREATE TEMP TABLE lease (run text, kind text); CREATE TEMP TABLE ledger (x int);
         SET search_path = pg_temp, public;
         BEGIN; SET LOCAL pacecar.run_id = '{RUN}'; INSERT INTO orders VALUES (5, 't'); UPDATE orders SET id = 6 WHERE id = 5; COMMIT;
         RESET ROLE"
    ));
    assert_eq!(database.rows(LEDGER), ["orders {\"id\": 6}"]);
    let may = "SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'pacecar'::regnamespace AND c.relkind = 'r'
        AND has_table_privilege('e2e_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE')";
    assert_eq!(database.count(may), 0);
    assert_eq!(
        database.rows(
            "SELECT proname::text FROM pg_proc p WHERE p.pronamespace = 'pacecar'::regnamespace
                AND has_function_privilege('e2e_app', p.oid, 'EXECUTE')"
        ),
        ["concerns"]
    );
    database.execute("DELETE FROM orders; REVOKE ALL ON orders FROM e2e_app; DROP ROLE e2e_app");
}

#[test]
fn however_rows_come_and_go_records_are_theirs() {
    let (database, plan) = (database("e2e_ledger_ways"), plan());
    cleanup("install", &plan, &database).end().expect_code(0);
    live(&database);
    database.execute(
        "INSERT INTO pacecar.lease (run, plan, digest, kind, claim, shared, kept, sweeping, expires, ended)
         VALUES ('00000000000000ee', 'x', '', 'canary', '{}', '{}', false, false, now(), now()),
                ('00000000000000cc', 'x', '', 'cleanup', '{}', '{}', false, false, now() + interval '1 h', NULL)",
    );
    let tagged = |sql: &str| format!("BEGIN; SET LOCAL pacecar.run_id = '{RUN}'; {sql}; COMMIT");
    let of = |run: &str, sql: &str| format!("BEGIN; SET LOCAL pacecar.run_id = '{run}'; {sql}; COMMIT");
    let steps: Vec<(&str, String, &[&str])> = vec![
        (
            "COPY is an insert",
            tagged("COPY orders FROM PROGRAM 'printf \"2\\ta\\n3\\tb\\n\"'"),
            &["orders {\"id\": 2}", "orders {\"id\": 3}"],
        ),
        (
            "of an upsert only what is new",
            tagged(
                "ALTER TABLE orders DROP CONSTRAINT orders_pkey; ALTER TABLE orders ADD PRIMARY KEY (id);
                INSERT INTO orders VALUES (1, 'x'), (4, 'y') ON CONFLICT (id) DO UPDATE SET note = 'upserted'",
            ),
            &["orders {\"id\": 2}", "orders {\"id\": 3}", "orders {\"id\": 4}"],
        ),
        (
            "nothing of ON CONFLICT DO NOTHING",
            tagged(
                "INSERT INTO orders VALUES (1, 'x') ON CONFLICT DO NOTHING; DELETE FROM orders WHERE id IN (2, 3, 4)",
            ),
            &[],
        ),
        (
            "of a savepoint what is left",
            tagged(
                "INSERT INTO orders VALUES (5, 'a'); SAVEPOINT s; INSERT INTO orders VALUES (6, 'b'); ROLLBACK TO s; INSERT INTO orders VALUES (7, 'c')",
            ),
            &["orders {\"id\": 5}", "orders {\"id\": 7}"],
        ),
        (
            "a deletion that is rolled back was none",
            "BEGIN; DELETE FROM orders WHERE id = 5; ROLLBACK; DELETE FROM orders WHERE id = 7".into(),
            &["orders {\"id\": 5}"],
        ),
        ("nobody's where the id is empty", of("", "INSERT INTO orders VALUES (10, 'real')"), &["orders {\"id\": 5}"]),
        (
            "nor after the transaction that said it",
            format!("{}; INSERT INTO orders VALUES (11, 'real')", of(RUN, "SELECT 1")),
            &["orders {\"id\": 5}"],
        ),
        (
            "a cleanup is no run",
            of("00000000000000cc", "INSERT INTO orders VALUES (12, 'real')"),
            &["orders {\"id\": 5}"],
        ),
        (
            "one that ended still counts",
            of("00000000000000ee", "INSERT INTO orders VALUES (13, 't')"),
            &["orders {\"id\": 5}", "orders {\"id\": 13}"],
        ),
        (
            "what a CTE inserts and deletes",
            tagged(
                "WITH gone AS (DELETE FROM orders WHERE id = 5 RETURNING note) INSERT INTO orders SELECT 14, note FROM gone",
            ),
            &["orders {\"id\": 13}", "orders {\"id\": 14}"],
        ),
        ("whole tables are emptied together", "TRUNCATE orders, part".into(), &[]),
        (
            "a partition that is taken off keeps its records",
            tagged("INSERT INTO part VALUES (1, 1); ALTER TABLE part DETACH PARTITION part_1"),
            &["part_1 {\"id\": 1, \"day\": 1}"],
        ),
        (
            "and goes with its rows",
            "DELETE FROM part_1; ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES FROM (0) TO (10)".into(),
            &[],
        ),
        (
            "huge numbers and odd types",
            "CREATE TABLE odd (a numeric, b timestamptz, c bytea, d float8, PRIMARY KEY (a, b, c, d))".into(),
            &[],
        ),
    ];
    for (what, sql, expected) in steps {
        database.execute(&sql);
        assert_eq!(database.rows(LEDGER), expected, "{what}");
    }
    // Recorded from the next install on; then found under any settings.
    cleanup("install", &plan, &database).end().expect_code(0);
    database.execute(&tagged("SET LOCAL timezone = 'Asia/Kolkata'; SET LOCAL bytea_output = escape; SET LOCAL extra_float_digits = -4;
        SET LOCAL intervalstyle = sql_standard; INSERT INTO odd VALUES (12345678901234567890.123456789, '2024-02-29 12:00+00', '\\x00ff', 0.1 + 0.2)"));
    assert_eq!(database.count("SELECT count(*) FROM pacecar.ledger"), 1);
    database.execute("SET timezone = 'America/Caracas'; DELETE FROM odd");
    assert_eq!(database.count("SELECT count(*) FROM pacecar.ledger"), 0);
}

#[test]
fn what_is_altered_after_install_disturbs_nobody_and_is_told() {
    let (database, plan) = (database("e2e_ledger_altered"), plan());
    cleanup("install", &plan, &database).end().expect_code(0);
    live(&database);
    let tagged = |sql: &str| format!("BEGIN; SET LOCAL pacecar.run_id = '{RUN}'; {sql}; COMMIT");
    let missing = || {
        let again = cleanup("install", &plan, &database).end().expect_code(0);
        let new =
            again.stdout.lines().filter(|line| line.ends_with("(new)")).map(|line| line.trim().replace("  (new)", ""));
        new.collect::<Vec<_>>()
    };
    assert_eq!(missing(), Vec::<String>::new());
    // A column beside the key: nothing changes.
    database.execute("ALTER TABLE orders DROP COLUMN note, ADD COLUMN more int");
    database.execute(&tagged("INSERT INTO orders VALUES (2, 2)"));
    assert_eq!(database.rows(LEDGER), ["orders {\"id\": 2}"]);
    // A renamed key: the application goes on, and what cannot be told is real.
    database.execute("ALTER TABLE orders RENAME COLUMN id TO number");
    database.execute(&tagged("INSERT INTO orders VALUES (3, 3)"));
    assert_eq!(database.rows(LEDGER), ["orders {\"id\": 2}"]);
    database.execute("UPDATE orders SET more = 9 WHERE number = 2");
    assert_eq!(database.rows(LEDGER), Vec::<String>::new(), "which row a record means can no longer be told");
    assert_eq!(missing(), ["public.orders"]);
    database.execute(&tagged("INSERT INTO orders VALUES (4, 4)"));
    assert_eq!(database.rows(LEDGER), ["orders {\"number\": 4}"]);
    // Another key, a new name, another schema.
    database.execute("UPDATE orders SET more = 0 WHERE more IS NULL; ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (number, more)");
    database.execute(&tagged("INSERT INTO orders VALUES (5, 5)"));
    database.execute("DELETE FROM orders WHERE number = 4");
    assert_eq!(missing(), ["public.orders"]);
    database
        .execute("ALTER TABLE part RENAME TO parts; CREATE SCHEMA elsewhere; ALTER TABLE orders SET SCHEMA elsewhere");
    database.execute(&tagged("INSERT INTO parts VALUES (1, 1); INSERT INTO elsewhere.orders VALUES (6, 6)"));
    assert_eq!(missing(), ["public.parts"]);
    database.execute(&tagged("INSERT INTO parts VALUES (2, 2); DELETE FROM parts; DELETE FROM elsewhere.orders"));
    assert_eq!(database.rows(LEDGER), Vec::<String>::new());
    // A table that is gone leaves nothing that could mean another.
    database.execute(&tagged("INSERT INTO elsewhere.orders VALUES (7, 7)"));
    database.execute("DROP TABLE elsewhere.orders; UPDATE pacecar.lease SET ended = now()");
    cleanup("uninstall", &plan, &database).end().expect_code(0);
    let left = "SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid WHERE p.proname LIKE 'inserted%'";
    assert_eq!(database.count(left), 0);
}

#[test]
fn a_copy_of_the_database_believes_nothing_of_its_ledger() {
    let (database, plan) = (database("e2e_ledger_original"), plan());
    let copy = self::database("e2e_ledger_copy");
    cleanup("install", &plan, &database).end().expect_code(0);
    live(&database);
    database.execute(&format!("BEGIN; SET LOCAL pacecar.run_id = '{RUN}'; INSERT INTO orders VALUES (2, 'x'); COMMIT"));
    let before = {
        copy.execute("DROP TABLE orders, \"Odd \"\"name\", part, keyless");
        let dump = Command::new("pg_dump").args(["--dbname", &database.url]).output().expect("pg_dump");
        let mut psql = Command::new("psql")
            .args([&copy.url, "-q", "-v", "ON_ERROR_STOP=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut psql.stdin.take().unwrap(), &dump.stdout).unwrap();
        assert!(psql.wait().unwrap().success());
        copy.rows("SELECT id::text FROM orders ORDER BY id")
    };
    let recorded =
        PlanFile::new(std::fs::read_to_string(plan.path()).unwrap().replace("roots:", "ledger: record, roots:"));
    for command in [vec!["cleanup"], vec!["cleanup", "install"]] {
        let refused = Pacecar::new(command)
            .arg(recorded.path().as_os_str())
            .set("DATABASE_URL", &copy.url)
            .end()
            .expect_code(122);
        assert!(refused.stderr.contains("was copied from another"), "{refused}");
    }
    Pacecar::run(&recorded.path()).set("DATABASE_URL", &copy.url).end().expect_code(121);
    assert_eq!(copy.rows("SELECT id::text FROM orders ORDER BY id"), before);
    // It goes there, with what it says, and stays where it belongs.
    copy.execute("UPDATE pacecar.lease SET ended = now()");
    cleanup("uninstall", &plan, &copy).end().expect_code(0);
    assert_eq!(copy.count("SELECT count(*) FROM pg_namespace WHERE nspname = 'pacecar'"), 0);
    assert_eq!(database.rows(LEDGER), ["orders {\"id\": 2}"]);
}

#[test]
fn what_others_put_into_a_schema_of_that_name_deletes_no_row_of_anybody_else() {
    let shared = postgres::shared();
    let owner = database("e2e_ledger_planted");
    owner.execute(
        "DROP ROLE IF EXISTS e2e_planter; CREATE ROLE e2e_planter LOGIN PASSWORD 'secret';
         GRANT CREATE ON DATABASE e2e_ledger_planted TO e2e_planter",
    );
    let config: tokio_postgres::Config = owner.url.parse().unwrap();
    let planter =
        shared.beside(format!("postgres://e2e_planter:secret@127.0.0.1:{}/e2e_ledger_planted", config.get_ports()[0]));
    let claim = r#"{"roots": [{"table": "orders", "where": "id > 0", "max_share": 1.0, "age": null}], "keep": [],
        "keep_roots": false, "follow": "none", "ledger": "off", "takes": "own"}"#;
    // As install makes it, but for whose it is: a ledger with a real row, and a lease that claims all orders.
    let (real, plan) = (database("e2e_ledger_real"), plan());
    cleanup("install", &plan, &real).end().expect_code(0);
    let dump = Command::new("pg_dump")
        .args(["--schema=pacecar", "--no-owner", "--no-privileges", "--dbname", &real.url])
        .output()
        .unwrap();
    let dump = String::from_utf8(dump.stdout).unwrap();
    let mut psql = Command::new("psql")
        .args([&planter.url, "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut psql.stdin.take().unwrap(), dump.as_bytes()).unwrap();
    psql.wait().unwrap();
    planter.execute(&format!(
        "INSERT INTO pacecar.lease (run, plan, digest, kind, claim, shared, kept, sweeping, expires)
         VALUES ('{RUN}', 'ledger', '', 'run', '{claim}', '{{}}', false, false, now() - interval '1 h');
         INSERT INTO pacecar.ledger (run, relation, key, hearsay, xid)
         SELECT '{RUN}', c.oid, '{{\"id\": 1}}', false, '1' FROM pg_class c WHERE c.relname = 'orders';
         DO $$ BEGIN EXECUTE format('COMMENT ON TABLE pacecar.ledger IS %L', 'made by pacecar cleanup install; ledger '
            || 'pacecar.ledger'::regclass::oid || ' of database ' || (SELECT oid FROM pg_database WHERE datname = current_database())); END $$"
    ));
    let orders = || owner.rows("SELECT id::text FROM orders");
    let expired = cleanup("--expired", &plan, &owner).end().expect_code(122);
    assert!(expired.stderr.contains("stands in a table of another user"), "{expired}");
    assert_eq!(orders(), ["1"], "a lease of somebody else's deleted a real row");
    let recorded =
        PlanFile::new(std::fs::read_to_string(plan.path()).unwrap().replace("roots:", "ledger: record, roots:"));
    let refused = cleanup("--all", &recorded, &owner).end().expect_code(122);
    assert!(refused.stderr.contains("does not own"), "{refused}");
    assert_eq!(orders(), ["1"], "a ledger of somebody else's deleted a real row");
    owner.execute("DROP SCHEMA pacecar CASCADE; DROP OWNED BY e2e_planter; DROP ROLE e2e_planter");
}

/// A run of the sample API whose plan has this under `cleanup.postgres`.
fn chats(cleanup: &str) -> PlanFile {
    PlanFile::new(format!(
        r#"
name: chats
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
scenarios: {{ main: {{ executor: shared-iterations, vus: 2, iterations: 6 }} }}
cleanup: {{ postgres: {{ url: "${{DATABASE_URL}}", {cleanup} }} }}
"#
    ))
}

fn run_id(ended: &Ended) -> String {
    at(&ended.summary(), &["pacecar", "run", "id"]).as_str().expect("an id").to_owned()
}

#[test]
fn what_a_run_made_is_known_by_its_records_alone() {
    let (_turn, api) = api::alone();
    let database = api.database;
    database.execute("DROP SCHEMA IF EXISTS pacecar CASCADE");
    let rows = "SELECT count(*) FROM llm_usage WHERE user_id LIKE 'test-%'";
    let record = chats("ledger: record");
    let run = |plan: &PlanFile| Pacecar::run(&plan.path()).set("API_URL", &api.url).set("DATABASE_URL", &database.url);
    let clean = |plan: &PlanFile, arguments: &[&str]| {
        let cleanup = Pacecar::new(["cleanup"]).args(arguments).arg(plan.path().as_os_str());
        cleanup.set("API_URL", &api.url).set("DATABASE_URL", &database.url).end()
    };
    // Before it is installed nothing starts.
    let refused = run(&record).end().expect_code(121);
    assert!(refused.stderr.contains("pacecar cleanup install"), "{refused}");
    run(&record).arg("--no-cleanup").end().expect_code(121);

    clean(&record, &["install"]).expect_code(0);
    // A row that a convention would take, and that no run made.
    database.execute(
        "INSERT INTO llm_usage (user_id, tenant_id, prompt, model, tokens, cost, cached)
         VALUES ('test-9-9@example.com', 1, 'by hand', 'x', 1, 0, false)",
    );
    let ended = run(&record).end().expect_code(0);
    let cleanup = at(&ended.summary(), &["pacecar", "cleanup"]).clone();
    assert_eq!(count(&cleanup, &["found", "public.llm_usage"]), 6, "{cleanup}");
    assert_eq!(count(&cleanup, &["deleted", "public.llm_usage"]), 6, "{cleanup}");
    assert_eq!(database.count(rows), 1, "the row by hand is real");

    // Both must agree.
    let both =
        chats("ledger: two-key, roots: [{ table: llm_usage, where: \"user_id LIKE 'test-%'\", max_share: 1.0 }]");
    let ended = run(&both).end().expect_code(0);
    assert_eq!(count(&ended.summary(), &["pacecar", "cleanup", "deleted", "public.llm_usage"]), 6);
    assert_eq!(database.count(rows), 1, "no record, no deletion");

    // Rows that were to stay do, and go by their run.
    let kept = run(&record).arg("--no-cleanup").end().expect_code(0);
    let other = run(&record).end().expect_code(0);
    assert_eq!(database.count(rows), 7, "the next run leaves them\n{other}");
    clean(&record, &["--expired"]).expect_code(0);
    assert_eq!(database.count(rows), 7, "no reaper takes them");
    clean(&record, &["uninstall"]).expect_code(122);
    clean(&record, &["--run", &run_id(&other)]).expect_code(0);
    assert_eq!(database.count(rows), 7, "the other run left nothing");
    clean(&record, &["--run", &run_id(&kept)]).expect_code(0);
    assert_eq!(database.count(rows), 1);

    // Or by a cleanup that takes everything.
    run(&record).arg("--no-cleanup").end().expect_code(0);
    clean(&record, &[]).expect_code(0);
    assert_eq!(database.count(rows), 1);

    clean(&record, &["uninstall"]).expect_code(0);
    assert_eq!(database.count("SELECT count(*) FROM pg_namespace WHERE nspname = 'pacecar'"), 0);
    database.execute("DELETE FROM llm_usage WHERE user_id LIKE 'test-%'");
}

#[test]
fn an_api_that_never_sets_the_id_is_told() {
    let database = database("e2e_ledger_silent");
    let plan = PlanFile::new(
        "\
name: silent
base_url: ${API_URL}
workflow: [{ name: a, request: GET / }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
cleanup: { postgres: { url: \"${DATABASE_URL}\", ledger: record } }
",
    );
    let server = crate::support::Server::start(crate::support::Mode::Api);
    cleanup("install", &plan, &database).set("API_URL", server.url()).end().expect_code(0);
    database.execute("CREATE TABLE late (id int PRIMARY KEY)");
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("DATABASE_URL", &database.url);
    let ended = run.end().expect_code(0);
    assert!(ended.stderr.contains("the ledger recorded nothing"), "{ended}");
    assert!(ended.stderr.contains("does not record public.late"), "{ended}");
}
