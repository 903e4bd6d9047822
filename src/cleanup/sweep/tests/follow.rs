//! The closure over foreign keys: what goes with the roots' rows, and what stays.

use super::*;
use crate::cleanup::outcome::{Blocker, Note, RefusalCause, RefusalKind};
use crate::cleanup::{LedgerScope, Scope};
use crate::plan::Keep;

impl Database {
    async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    async fn sweep_with(&self, roots: &[(&str, &str)], change: impl FnOnce(&mut CleanupPostgres)) -> CleanupOutcome {
        Sweeper::connect(self.plan_with(roots, change)).await.unwrap().sweep(|_| ()).await
    }

    /// One text that changes with any column of any row of a query.
    async fn digest(&self, sql: &str) -> String {
        let sql = format!("SELECT coalesce(md5(string_agg(x::text, '|' ORDER BY x::text)), '') FROM ({sql}) x");
        self.client.query_one(&sql, &[]).await.unwrap().get(0)
    }
}

fn keep(table: &str, where_: &str) -> Keep {
    Keep { table: Spanned::nowhere(table.to_owned()), where_: Spanned::nowhere(where_.to_owned()) }
}

fn names(outcome: &CleanupOutcome) -> Vec<String> {
    let mut names: Vec<String> = outcome
        .blocked
        .iter()
        .map(|blocked| match &blocked.by {
            Blocker::Row { table, key, .. } => format!("{table} {key}"),
            Blocker::Fixture { table, key, .. } => format!("fixture {table} {key}"),
            Blocker::Constraint { table, .. } => table.clone(),
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// One of everything: chains, two ways to a root, self-references, rings, composite keys (both matches),
/// partitions on both sides, other schemas, reserved names, generated columns, no primary key, each ON DELETE.
const SHOP: &str = r#"
    CREATE SCHEMA billing; CREATE SCHEMA "Odd schema";
    CREATE TABLE models (id int PRIMARY KEY);
    CREATE TABLE tenants (id int PRIMARY KEY, name text, first_user int);
    CREATE TABLE "user" (id int PRIMARY KEY, "Select" text NOT NULL, tenant int REFERENCES tenants ON DELETE CASCADE,
        boss int REFERENCES "user" ON DELETE SET NULL, loud text GENERATED ALWAYS AS (upper("Select")) STORED);
    ALTER TABLE tenants ADD FOREIGN KEY (first_user) REFERENCES "user" DEFERRABLE INITIALLY DEFERRED;
    CREATE TABLE chats (tenant int, no int, user_id int NOT NULL REFERENCES "user" ON DELETE RESTRICT,
        model int REFERENCES models, last_message int, PRIMARY KEY (tenant, no)) PARTITION BY LIST (tenant);
    CREATE TABLE chats_odd PARTITION OF chats FOR VALUES IN (1, 3, 5, 7, 9);
    CREATE TABLE chats_even PARTITION OF chats DEFAULT PARTITION BY RANGE (no);
    CREATE TABLE chats_even_all PARTITION OF chats_even DEFAULT;
    CREATE TABLE messages (id int PRIMARY KEY, tenant int, chat int, note text,
        FOREIGN KEY (tenant, chat) REFERENCES chats MATCH FULL ON DELETE CASCADE);
    ALTER TABLE chats ADD FOREIGN KEY (last_message) REFERENCES messages;
    CREATE TABLE "Odd schema"."usage ""log""" (tenant int, chat int, tokens int, who int DEFAULT 1 REFERENCES "user" ON DELETE SET DEFAULT,
        FOREIGN KEY (tenant, chat) REFERENCES chats);
    CREATE TABLE billing.invoices (id int PRIMARY KEY, sandbox bool, user_id int REFERENCES "user", payer int REFERENCES "user");
    CREATE TABLE billing.lines (invoice int REFERENCES billing.invoices ON DELETE CASCADE, line int, PRIMARY KEY (invoice, line));

    INSERT INTO models VALUES (1);
    BEGIN;
    INSERT INTO tenants SELECT n, CASE WHEN n % 2 = 0 THEN 'test-' ELSE 'real-' END || n, n * 10 FROM generate_series(1, 10) n;
    INSERT INTO "user" SELECT n, 't' || n / 10, n / 10, CASE WHEN n % 10 > 0 THEN n - 1 END FROM generate_series(10, 109) n;
    INSERT INTO chats SELECT n / 10, n, n, 1 FROM generate_series(10, 109) n;
    INSERT INTO messages SELECT n, n / 30, n / 3, 'x' FROM generate_series(30, 329) n;
    UPDATE chats SET last_message = no * 3;
    INSERT INTO "Odd schema"."usage ""log""" SELECT n / 10, n, n, n FROM generate_series(10, 109) n, generate_series(1, 3);
    INSERT INTO billing.invoices SELECT n, true, n, n FROM generate_series(10, 109) n;
    INSERT INTO billing.lines SELECT n, m FROM generate_series(10, 109) n, generate_series(1, 2) m;
    COMMIT;"#;
const TEST_TENANTS: (&str, &str) = ("tenants", "name LIKE 'test-%'");
const REAL: &str = r#"
    SELECT 't', t::text FROM tenants t WHERE id % 2 = 1 UNION ALL SELECT 'u', u::text FROM "user" u WHERE tenant % 2 = 1
    UNION ALL SELECT 'c', c::text FROM chats c WHERE tenant % 2 = 1 UNION ALL SELECT 'm', m::text FROM messages m WHERE tenant % 2 = 1
    UNION ALL SELECT 'l', l::text FROM "Odd schema"."usage ""log""" l WHERE tenant % 2 = 1
    UNION ALL SELECT 'i', i::text FROM billing.invoices i WHERE id / 10 % 2 = 1
    UNION ALL SELECT 'x', x::text FROM billing.lines x WHERE invoice / 10 % 2 = 1 UNION ALL SELECT 'o', o::text FROM models o"#;

#[tokio::test]
async fn all_that_refers_to_a_root_goes_and_nothing_else() {
    let database = Database::new(SHOP).await;
    let (objects, real) = (database.objects().await, database.digest(REAL).await);
    let mut sweeper = Sweeper::connect(database.plan(&[TEST_TENANTS])).await.unwrap();
    assert_eq!(sweeper.preflight().await.unwrap().matched(), 5);
    let dry = sweeper.dry_run().await;
    let outcome = sweeper.sweep(|_| ()).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    for (name, rows) in [
        ("public.tenants", 5),
        ("public.\"user\"", 50),
        ("public.chats", 50),
        ("public.messages", 150),
        ("\"Odd schema\".\"usage \"\"log\"\"\"", 150),
        ("billing.invoices", 50),
        ("billing.lines", 100),
    ] {
        assert_eq!(table(&outcome, name), (rows, rows), "{name}");
        assert_eq!(table(&dry, name), (rows, 0), "{name}");
    }
    assert_eq!(outcome.tables.len(), 7, "what was never found is not told: {outcome:?}");
    assert_eq!(database.digest(REAL).await, real);
    assert_eq!(database.count("tenants").await + database.count("\"user\"").await, 55);
    assert_eq!(database.objects().await, objects, "nothing is created");
}

#[tokio::test]
async fn a_real_row_keeps_all_that_it_needs_and_only_that() {
    let database = Database::new(SHOP).await;
    // A real user's boss is a test user; an invoice of a test user is paid by a real one.
    database
        .sql(
            "UPDATE \"user\" SET boss = 21 WHERE id = 35;
             UPDATE billing.invoices SET payer = 35 WHERE id = 45;",
        )
        .await;
    let real = database.digest(REAL).await;
    let outcome = database.sweep(&[TEST_TENANTS]).await;
    assert!(outcome.refused.is_none(), "{outcome:?}");
    // User 21 needs its boss 20 and tenant 2, whose first user is 20. Invoice 45 is real, so are its lines, and
    // it needs user 45, its bosses 44 to 40, tenant 4.
    assert_eq!((outcome.quarantined, outcome.remaining), (3 + 7, 3 + 7));
    assert_eq!(names(&outcome), ["billing.invoices (id)=(45)", "public.\"user\" (id)=(35)"]);
    assert_eq!(table(&outcome, "public.\"user\""), (50, 42));
    assert_eq!(table(&outcome, "billing.invoices"), (49, 49));
    assert_eq!(table(&outcome, "billing.lines"), (98, 98));
    assert_eq!(database.count("billing.lines WHERE invoice = 45").await, 2);
    assert_eq!(database.digest(REAL).await, real);
}

#[tokio::test]
async fn a_null_reference_makes_nothing_real_and_a_dangling_one_does() {
    let database = Database::new(&format!(
        "{USERS} CREATE TABLE chats (id int PRIMARY KEY, owner int REFERENCES users, guest int);
         INSERT INTO chats VALUES (1, 1, NULL), (2, 2, 3), (3, 3, 999), (4, NULL, NULL), (5, 4, 51);
         ALTER TABLE chats ADD FOREIGN KEY (guest) REFERENCES users NOT VALID;"
    ))
    .await;
    let outcome = database.sweep(&[TEST_USERS]).await;
    assert_eq!(table(&outcome, "public.chats"), (2, 2), "{outcome:?}");
    assert_eq!(names(&outcome), ["public.chats (id)=(3)", "public.chats (id)=(5)"]);
    assert_eq!((outcome.quarantined, table(&outcome, "public.users")), (2, (50, 48)));
}

#[tokio::test]
async fn a_composite_key_with_a_null_leads_nowhere() {
    let database = Database::new(
        "CREATE TABLE a (x int, y int, test bool, PRIMARY KEY (x, y));
         CREATE TABLE b (id int PRIMARY KEY, x int, y int, owner int, FOREIGN KEY (x, y) REFERENCES a);
         CREATE TABLE o (id int PRIMARY KEY, test bool); ALTER TABLE b ADD FOREIGN KEY (owner) REFERENCES o;
         INSERT INTO a VALUES (1, 1, true), (1, 2, false); INSERT INTO o VALUES (1, true), (2, false);
         INSERT INTO b VALUES (1, 1, 1, NULL), (2, 1, NULL, 1), (3, 1, 2, 1), (4, 1, 2, NULL), (5, NULL, NULL, 2);",
    )
    .await;
    let outcome = database.sweep(&[("a", "test"), ("o", "test")]).await;
    // Row 3 refers to a real a, so it is real, and keeps o 1.
    assert_eq!(table(&outcome, "public.b"), (2, 2), "{outcome:?}");
    assert_eq!((names(&outcome), outcome.quarantined), (vec!["public.b (id)=(3)".to_owned()], 1));
    assert_eq!(database.count("b WHERE id IN (3, 4, 5)").await, 3);
}

#[tokio::test]
async fn what_is_kept_is_real_whatever_it_refers_to() {
    let database = Database::new(SHOP).await;
    database.sql("UPDATE billing.invoices SET sandbox = false WHERE id = 20").await;
    let outcome = database
        .sweep_with(&[TEST_TENANTS], |postgres| postgres.keep = vec![keep("billing.invoices", "NOT sandbox")])
        .await;
    assert_eq!(
        (outcome.quarantined, names(&outcome)),
        (2, vec!["billing.invoices (id)=(20)".to_owned()]),
        "{outcome:?}"
    );
    assert_eq!(database.count("billing.lines WHERE invoice = 20").await, 2);
    // What a root matches too, and all of a table.
    let database = Database::new(USERS).await;
    let outcome = database.sweep_with(&[TEST_USERS], |postgres| postgres.keep = vec![keep("users", "id = 7")]).await;
    assert_eq!((table(&outcome, "public.users"), outcome.is_clean()), ((49, 49), true));
    let outcome = database.sweep_with(&[TEST_USERS], |postgres| postgres.keep = vec![keep("users", "true")]).await;
    assert_eq!((table(&outcome, "public.users"), outcome.is_clean()), ((0, 0), true));
    let wrong = database.sweep_with(&[TEST_USERS], |postgres| postgres.keep = vec![keep("users", "nowhere")]).await;
    assert_eq!(wrong.refused.unwrap().kind(), RefusalKind::Invalid);
}

#[tokio::test]
async fn fixtures_stay_and_what_hangs_below_them_goes() {
    let database = Database::new(SHOP).await;
    let fixtures = database.digest("SELECT * FROM tenants").await;
    let outcome =
        database.sweep_with(&[("tenants", "name LIKE 'test-1%'")], |postgres| postgres.keep_roots.value = true).await;
    // Tenant 10 refers to its first user: a fixture is not changed, so that user stays, and is named as needed.
    assert_eq!(table(&outcome, "public.tenants"), (0, 0), "fixtures are not counted: {outcome:?}");
    assert_eq!(table(&outcome, "public.\"user\""), (10, 9));
    assert_eq!((outcome.quarantined, names(&outcome)), (1, vec!["fixture public.tenants (id)=(10)".to_owned()]));
    assert_eq!(database.digest("SELECT * FROM tenants").await, fixtures);
    assert_eq!(table(&outcome, "public.messages"), (30, 30));

    let database = Database::new(&format!("{USERS} CREATE TABLE c (u int REFERENCES users ON DELETE CASCADE); INSERT INTO c SELECT n FROM generate_series(1, 60) n")).await;
    let outcome = database.sweep_with(&[TEST_USERS], |postgres| postgres.keep_roots.value = true).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!((database.count("users").await, database.count("c").await), (100, 10));
}

#[tokio::test]
async fn a_root_that_others_hold_is_left_alone_with_what_hangs_below_it() {
    let database = Database::new(&format!(
        "{USERS} CREATE TABLE jobs (id int PRIMARY KEY, run text, u int REFERENCES users);
         INSERT INTO jobs SELECT n, CASE WHEN n % 2 = 0 THEN 'abcdef0123456789' ELSE 'other' END, n FROM generate_series(1, 20) n;
         CREATE TABLE steps (job int REFERENCES jobs, u int REFERENCES users); INSERT INTO steps SELECT n, n FROM generate_series(1, 20) n;"
    ))
    .await;
    let roots = [TEST_USERS, ("jobs", "run = '{{ run }}'")];
    let plan = database.plan(&roots);
    let scope = Scope::of_run(&plan);
    assert_eq!((scope.left_alone.as_slice(), &scope.ledger), ([0].as_slice(), &LedgerScope::Runs(vec![RUN])));
    let mut sweeper = Sweeper::connect(plan).await.unwrap().within(scope);
    let outcome = sweeper.sweep(|_| ()).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!((table(&outcome, "public.jobs"), table(&outcome, "public.steps")), ((10, 10), (10, 10)));
    assert_eq!(table(&outcome, "public.users"), (0, 0));
    assert_eq!((database.count("users").await, database.count("jobs").await), (100, 10));
    assert!(outcome.notes.iter().any(|note| matches!(note, Note::ForNow { table, .. } if table == "public.users")));
    // The last one out sweeps all.
    assert!(database.sweep(&roots).await.is_clean());
    assert_eq!((database.count("users").await, database.count("jobs").await), (50, 0));
}

#[tokio::test]
async fn only_what_is_old_enough_goes_while_traffic_runs() {
    let database = Database::new(
        "CREATE TABLE users (id int PRIMARY KEY, email text);
         CREATE TABLE chats (id int PRIMARY KEY, u int REFERENCES users, up int REFERENCES chats, created_at timestamptz);
         CREATE TABLE messages (id int PRIMARY KEY, chat int REFERENCES chats);
         INSERT INTO users SELECT n, 'test-' || n FROM generate_series(1, 10) n;
         INSERT INTO chats SELECT n, n, NULL, now() - CASE WHEN n <= 5 THEN interval '1 hour' ELSE interval '1 s' END FROM generate_series(1, 10) n;
         UPDATE chats SET up = 1 WHERE id = 9; UPDATE chats SET created_at = NULL WHERE id = 5;
         INSERT INTO messages SELECT n, n FROM generate_series(1, 10) n;",
    )
    .await;
    let plan = database.plan_with(&[TEST_USERS, ("chats", "u > 0")], |postgres| {
        postgres.roots[1].age = Some(Spanned::nowhere("Created_At".to_owned()));
    });
    let scope = Scope { older_than: Some(Duration::from_secs(600)), ..Scope::all() };
    let outcome = Sweeper::connect(plan).await.unwrap().within(scope).sweep(|_| ()).await;
    assert!(outcome.is_clean(), "what is young is not left behind: {outcome:?}");
    // Chat 1 is needed by the young chat 9, but its message is not; nobody knows how old chat 5 is.
    assert_eq!((table(&outcome, "public.chats"), table(&outcome, "public.messages")), ((3, 3), (4, 4)));
    assert_eq!((database.count("users").await, database.count("chats").await), (10, 7));
    let refused = database
        .sweep_with(&[TEST_USERS], |postgres| postgres.roots[0].age = Some(Spanned::nowhere("email".to_owned())))
        .await;
    assert!(matches!(refused.refused.unwrap().cause, RefusalCause::Age { .. }));
}

const LEDGER: &str = "SET search_path = public; CREATE SCHEMA pacecar; CREATE TABLE pacecar.ledger (seq bigint GENERATED ALWAYS AS IDENTITY, run text NOT NULL,
    relation oid NOT NULL, key jsonb NOT NULL, hearsay boolean NOT NULL, xid xid8 NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());";

#[tokio::test]
async fn what_the_ledger_has_is_test_data_without_any_name() {
    let database = Database::new(&format!(
        "{USERS} {LEDGER}
         CREATE TABLE orders (day date, no bigint, u int REFERENCES users, PRIMARY KEY (day, no)) PARTITION BY RANGE (no);
         CREATE TABLE orders_1 PARTITION OF orders DEFAULT;
         CREATE TABLE notes (id int PRIMARY KEY, day date, no bigint, FOREIGN KEY (day, no) REFERENCES orders ON DELETE CASCADE);
         INSERT INTO orders SELECT '2026-01-01', n, 60 FROM generate_series(1, 20) n; INSERT INTO notes VALUES (1, '2026-01-01', 3);
         INSERT INTO pacecar.ledger (run, relation, key, hearsay, xid)
            SELECT CASE WHEN no <= 5 THEN 'abcdef0123456789' ELSE '0000000000000001' END, tableoid, to_jsonb(o) - 'u', no = 10, '1' FROM orders o WHERE no <= 10;"
    ))
    .await;
    let plan = |ledger: Ledger| database.plan_with(&[TEST_USERS], |postgres| postgres.ledger.value = ledger);
    let scope = Scope::of_run(&plan(Ledger::Record));
    let outcome = Sweeper::connect(plan(Ledger::Record)).await.unwrap().within(scope).sweep(|_| ()).await;
    // The note is real: no root leads to it, and the ledger does not have it.
    assert_eq!((table(&outcome, "public.orders"), outcome.quarantined), ((5, 4), 1), "{outcome:?}");
    assert_eq!(names(&outcome), ["public.notes (id)=(1)"]);
    database.sql("DELETE FROM notes").await;
    // Hearsay alone deletes nothing.
    let outcome = Sweeper::connect(plan(Ledger::Record)).await.unwrap().sweep(|_| ()).await;
    assert_eq!((table(&outcome, "public.orders"), outcome.is_clean()), ((5, 5), true), "{outcome:?}");
    assert_eq!(database.count("orders WHERE no >= 10").await, 11);
    assert_eq!(database.count("users").await, 50);
}

#[tokio::test]
async fn two_keys_must_agree() {
    let database = Database::new(&format!(
        "{USERS} {LEDGER}
         CREATE TABLE chats (id int PRIMARY KEY, u int REFERENCES users);
         INSERT INTO chats SELECT n, n FROM generate_series(1, 60) n;
         INSERT INTO pacecar.ledger (run, relation, key, hearsay, xid)
            SELECT 'abcdef0123456789', tableoid, jsonb_build_object('id', id), id = 3, '1'::xid8 FROM users WHERE id IN (2, 3, 55)
            UNION ALL SELECT 'abcdef0123456789', tableoid, jsonb_build_object('id', id), false, '1'::xid8 FROM chats WHERE id IN (1, 3, 55);"
    ))
    .await;
    let outcome = database.sweep_with(&[TEST_USERS], |postgres| postgres.ledger.value = Ledger::TwoKey).await;
    // User 2 is recorded, but its chat is not: that is real. User 3 is hearsay, and a root says so too.
    assert_eq!((table(&outcome, "public.users"), table(&outcome, "public.chats")), ((2, 1), (2, 2)), "{outcome:?}");
    assert_eq!(names(&outcome), ["public.chats (id)=(2)"]);
    assert_eq!(database.count("users WHERE id IN (1, 2, 55)").await, 3);
}

#[tokio::test]
async fn a_ledger_that_was_never_made_is_refused() {
    let database = Database::new(USERS).await;
    let outcome = database.sweep_with(&[TEST_USERS], |postgres| postgres.ledger.value = Ledger::Record).await;
    let refusal = outcome.refused.unwrap();
    assert!(matches!(refusal.cause, RefusalCause::NoLedger), "{refusal}");
    assert_eq!((refusal.kind(), refusal.hint()), (RefusalKind::Unable, "pacecar cleanup install PLAN"));
}

#[tokio::test]
async fn more_rows_than_allowed_are_refused_with_what_hangs_below_them() {
    let database = Database::new(SHOP).await;
    for (max_rows, right) in [(555, true), (554, false)] {
        let plan = database.plan_with(&[TEST_TENANTS], |postgres| postgres.max_rows.value = max_rows);
        let judged = Sweeper::connect(plan).await.unwrap().preflight().await;
        assert_eq!(judged.is_ok(), right, "{judged:?}");
    }
}

#[tokio::test]
async fn what_may_not_be_read_or_deleted_below_a_root_is_refused_before() {
    let database = Database::new(&format!(
        "{SHOP} CREATE ROLE below_r LOGIN PASSWORD 'x'; GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA public TO below_r;"
    ))
    .await;
    let url = database.url.split('@').nth(1).map(|rest| format!("postgres://below_r:x@{rest}")).unwrap();
    let refused = async || {
        let plan = compile(&section(&url, &[TEST_TENANTS]), RUN, &mut Diagnostics::new("p")).unwrap();
        Sweeper::connect(plan)
            .await
            .unwrap()
            .preflight()
            .await
            .err()
            .map(|refusal| (refusal.kind(), refusal.to_string()))
    };
    for (grant, missing) in [
        ("", "USAGE on"),
        ("GRANT USAGE ON SCHEMA billing, \"Odd schema\" TO below_r", "SELECT on"),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA billing, \"Odd schema\" TO below_r", "DELETE on"),
    ] {
        database.sql(grant).await;
        let (kind, text) = refused().await.unwrap();
        assert!(kind == RefusalKind::Unable && text.contains(missing), "{text}");
    }
    database.sql("GRANT DELETE ON ALL TABLES IN SCHEMA billing, \"Odd schema\" TO below_r").await;
    assert_eq!(refused().await, None);
}

#[tokio::test]
async fn what_hangs_below_a_row_that_becomes_real_meanwhile_stays() {
    let database = Database::new(&format!(
        "{USERS} CREATE TABLE chats (id int PRIMARY KEY, u int REFERENCES users ON DELETE CASCADE);
         INSERT INTO chats SELECT n, n FROM generate_series(1, 60) n;"
    ))
    .await;
    // The sweep is held up at chat 2, in its first batch; user 40, whose chat comes in a later one, becomes real.
    let mut other = connect(&database.url).await;
    let transaction = other.transaction().await.unwrap();
    transaction.batch_execute("SELECT 1 FROM chats WHERE id = 2 FOR UPDATE").await.unwrap();
    let observer = connect(&database.url).await;
    let change = async {
        someone_waits(&observer).await;
        observer.batch_execute("UPDATE users SET email = 'ada@acme.example' WHERE id = 40").await.unwrap();
        transaction.commit().await.unwrap();
    };
    let roots = [TEST_USERS];
    let (outcome, ()) = tokio::join!(database.sweep(&roots), change);
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!(database.count("users WHERE id = 40").await, 1);
    assert_eq!(database.count("chats WHERE id = 40").await, 1, "its chat is a real user's now");
    assert_eq!((database.count("users").await, database.count("chats").await), (51, 11));
}

#[tokio::test]
async fn a_transaction_that_has_long_been_open_is_in_nobodys_way() {
    let database = Database::new("CREATE TABLE other (id int)").await;
    // All that comes from here on is newer than the oldest transaction that runs.
    let mut other = connect(&database.url).await;
    let transaction = other.transaction().await.unwrap();
    transaction.batch_execute("INSERT INTO other VALUES (1)").await.unwrap();
    let below = "CREATE TABLE chats (id int PRIMARY KEY, u int NOT NULL REFERENCES users);
         INSERT INTO chats SELECT n, n FROM generate_series(1, 100) n;";
    database.sql(&format!("{USERS} {below}")).await;
    let outcome = database.sweep(&[TEST_USERS]).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!((table(&outcome, "public.users"), table(&outcome, "public.chats")), ((50, 50), (50, 50)));
    assert_eq!((database.count("users").await, database.count("chats").await), (50, 50));
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn a_real_row_that_comes_meanwhile_is_not_taken_by_a_cascade() {
    for action in ["CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION", "RESTRICT"] {
        let database = Database::new(&format!(
            "{USERS} CREATE TABLE chats (id int PRIMARY KEY, u int REFERENCES users ON DELETE {action}, owner int REFERENCES users);
             INSERT INTO chats SELECT n, n FROM generate_series(1, 60) n;"
        ))
        .await;
        // Held up at user 2: a chat of user 2 that a real user owns is committed meanwhile.
        let mut other = connect(&database.url).await;
        let transaction = other.transaction().await.unwrap();
        transaction.batch_execute("INSERT INTO chats VALUES (1000, 2, 60)").await.unwrap();
        let observer = connect(&database.url).await;
        let commit = async {
            someone_waits(&observer).await;
            transaction.commit().await.unwrap();
        };
        let roots = [TEST_USERS];
        let (outcome, ()) = tokio::join!(database.sweep(&roots), commit);
        assert!(outcome.refused.is_none(), "{action}: {outcome:?}");
        assert_eq!(
            (outcome.quarantined, names(&outcome)),
            (1, vec!["public.chats (id)=(1000)".to_owned()]),
            "{action}"
        );
        assert_eq!(database.count("chats WHERE id = 1000 AND u = 2 AND owner = 60").await, 1, "{action}");
        assert_eq!((database.count("users").await, database.count("chats").await), (51, 11), "{action}");
    }
}

#[tokio::test]
async fn keys_whose_triggers_are_disabled_are_followed_all_the_same() {
    let database = Database::new(&format!(
        "{USERS} CREATE TABLE chats (id int PRIMARY KEY, u int REFERENCES users, owner int REFERENCES users);
         INSERT INTO chats VALUES (1, 1, NULL), (2, 2, 60); ALTER TABLE users DISABLE TRIGGER ALL; ALTER TABLE chats DISABLE TRIGGER ALL;"
    ))
    .await;
    let outcome = database.sweep(&[TEST_USERS]).await;
    assert_eq!((outcome.quarantined, names(&outcome)), (1, vec!["public.chats (id)=(2)".to_owned()]), "{outcome:?}");
    assert_eq!((database.count("users").await, database.count("chats").await), (51, 1));
}

#[tokio::test]
async fn what_inherits_from_a_root_is_told_under_its_own_name() {
    let database = Database::new(
        "CREATE TABLE events (id int PRIMARY KEY, who text); CREATE TABLE logins (ip text, PRIMARY KEY (id)) INHERITS (events);
         CREATE TABLE notes (id int PRIMARY KEY, login int REFERENCES logins);
         INSERT INTO events VALUES (1, 'test-1'), (2, 'ada'); INSERT INTO logins VALUES (1, 'test-1', 'x'), (2, 'ada', 'y');
         INSERT INTO notes VALUES (1, 1), (2, 2);",
    )
    .await;
    let outcome = database.sweep(&[("events", "who LIKE 'test-%'")]).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    for name in ["public.events", "public.logins", "public.notes"] {
        assert_eq!(table(&outcome, name), (1, 1), "{name}");
    }
    assert_eq!((database.count("events").await, database.count("notes").await), (2, 1));
}

#[tokio::test]
async fn a_ring_larger_than_a_batch_goes_at_once_and_a_long_key_is_told_in_part() {
    let database = Database::new(
        "CREATE TABLE r (id int PRIMARY KEY, next int REFERENCES r DEFERRABLE, test bool);
         BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO r SELECT n, n % 200 + 1, true FROM generate_series(1, 200) n; COMMIT;
         CREATE TABLE t (id int PRIMARY KEY, test bool); INSERT INTO t VALUES (1, true), (2, true);
         CREATE TABLE k (id text PRIMARY KEY, t int REFERENCES t, o int REFERENCES t); INSERT INTO t VALUES (3, false);
         INSERT INTO k SELECT n || repeat('x', 2000), n, 3 FROM generate_series(1, 2) n;",
    )
    .await;
    let outcome = database.sweep(&[("r", "test"), ("t", "test")]).await;
    assert_eq!(table(&outcome, "public.r"), (200, 200), "{outcome:?}");
    assert_eq!((outcome.quarantined, names(&outcome).len()), (2, 2));
    assert!(names(&outcome).iter().all(|name| name.len() < 300));
}
