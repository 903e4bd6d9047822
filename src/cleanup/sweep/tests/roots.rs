//! Roots alone: predicates, guards, rights, what real rows need, identity.

use super::*;
use crate::cleanup::Blocked;
use crate::cleanup::outcome::{Blocker, Note, RefusalCause, RefusalKind};

async fn not_following(database: &Database, roots: &[(&str, &str)]) -> Sweeper {
    let plan = database.plan_with(roots, |postgres| postgres.follow.value = Follow::None);
    Sweeper::connect(plan).await.unwrap()
}

#[tokio::test]
async fn test_rows_go_and_real_rows_stay() {
    let database = Database::new(USERS).await;
    let objects = database.objects().await;
    let mut sweeper = Sweeper::connect(database.plan(&[TEST_USERS])).await.unwrap();
    let preflight = sweeper.preflight().await.unwrap();
    assert_eq!(preflight.roots, [TableShare { name: "public.users".to_owned(), matched: 50, total: 100 }]);

    let dry = sweeper.dry_run().await;
    assert_eq!((table(&dry, "public.users"), dry.remaining, dry.dry_run), ((50, 0), 50, true));
    assert_eq!(database.count("users").await, 100, "a dry run deletes nothing");

    let mut seen = Vec::new();
    let outcome = sweeper.sweep(|progress| seen.push(progress.deleted)).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!((table(&outcome, "public.users"), outcome.remaining, outcome.quarantined), ((50, 50), 0, 0));
    assert_eq!(database.count("users WHERE email LIKE 'real-%'").await, 50);
    assert_eq!(database.count("users").await, 50);
    assert_eq!(seen.last(), Some(&50));
    assert_eq!(database.objects().await, objects, "nothing is created");

    let again = sweeper.sweep(|_| ()).await;
    assert_eq!((table(&again, "public.users"), again.is_clean()), ((0, 0), true));
}

#[tokio::test]
async fn what_the_database_cannot_take_as_a_predicate_is_invalid() {
    let database = Database::new(USERS).await;
    for (table, where_) in [
        ("users", "mail LIKE 'test-%'"),
        ("users", "nofunction(email)"),
        ("users", "email"),
        ("users", "id"),
        ("users", "email = 1"),
        ("users", "id = 'x'"),
        ("users", "id = email::int"),
        ("users", "other.email LIKE 'test-%'"),
        ("users", "count(email) > 0"),
        ("users", "EXISTS (SELECT 1 FROM users u WHERE u.id = 1)"),
        ("users", "id IN (SELECT id FROM nowhere)"),
        ("users", "email IS NOT NULL OR coalesce(true, false)"),
        ("users", "id IN (WITH d AS (DELETE FROM users RETURNING id) SELECT id FROM d)"),
        ("users", "current_user = 'pacecar'"),
        ("nowhere", "email LIKE 'test-%'"),
        ("nowhere.users", "email LIKE 'test-%'"),
    ] {
        let plan = compile(&section(&database.url, &[(table, where_)]), RUN, &mut Diagnostics::new("p"));
        // What text alone tells is refused even earlier.
        let Some(plan) = plan else { continue };
        let refusal = Sweeper::connect(plan).await.unwrap().preflight().await.unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::Invalid, "{where_}: {refusal}");
        assert_eq!(refusal.span, Span::new(9, 1));
        let outcome = Sweeper::connect(database.plan(&[(table, where_)])).await.unwrap().sweep(|_| ()).await;
        assert_eq!(outcome.refused.unwrap().kind(), RefusalKind::Invalid, "{where_}");
    }
    assert_eq!(database.count("users").await, 100);
}

#[tokio::test]
async fn a_predicate_that_writes_is_refused_and_writes_nothing() {
    let schema = "CREATE SEQUENCE s; CREATE FUNCTION f(text) RETURNS bool LANGUAGE sql AS
        $$ DELETE FROM users; SELECT true $$;";
    let database = Database::new(&format!("{USERS}{schema}")).await;
    for where_ in ["f(email)", "id < nextval('s')"] {
        let refusal = database.preflight(&[("users", where_)]).await.unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::Invalid, "{refusal}");
        assert!(!database.sweep(&[("users", where_)]).await.is_clean());
    }
    assert_eq!(database.count("users").await, 100);
    assert_eq!(database.count("s WHERE is_called").await, 0);
}

#[tokio::test]
async fn a_predicate_that_calls_what_is_volatile_is_refused() {
    let database = Database::new(
        "CREATE TABLE users (id int, email text); INSERT INTO users VALUES (1, 'test-1'), (2, 'real');
         CREATE SCHEMA other; CREATE FUNCTION other.flip(text) RETURNS bool LANGUAGE sql AS 'SELECT random() < 0.5';
         CREATE FUNCTION \"Odd\"(users) RETURNS bool LANGUAGE sql AS 'SELECT random() < 0.5';
         CREATE FUNCTION steady(text) RETURNS bool LANGUAGE sql STABLE AS $$SELECT $1 LIKE 'test-%'$$",
    )
    .await;
    for predicate in [
        "email LIKE 'test-%' AND random() < 0.5",
        "email LIKE 'test-%' AND pg_catalog.\"random\" () < 0.5",
        "other.flip(email)",
        "\"Odd\"(users)",
        "users.\"Odd\"",
        "email LIKE 'test-%' AND pg_sleep(0) IS NOT NULL",
        "email LIKE 'test-%' AND set_config('a.b', 'c', false) IS NOT NULL",
        "email LIKE 'test-%' AND pg_advisory_lock(1) IS NULL",
    ] {
        let refusal = database.preflight(&[("users", predicate)]).await.unwrap_err();
        assert!(matches!(refusal.cause, RefusalCause::Volatile { .. }), "{predicate}: {refusal}");
        assert_eq!(refusal.kind(), RefusalKind::Invalid);
        assert!(database.sweep(&[("users", predicate)]).await.refused.is_some(), "{predicate}");
    }
    assert_eq!(database.count("users").await, 2);
    let outcome = database.sweep(&[("users", "steady(email) AND lower(email) = email AND now() > '2020-01-01'")]).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!(database.count("users").await, 1);
}

#[tokio::test]
async fn a_table_whose_deletes_are_something_else_is_refused() {
    let database = Database::new(
        "CREATE TABLE precious (id int); INSERT INTO precious VALUES (1);
         CREATE TABLE chats (id int, title text) PARTITION BY RANGE (id);
         CREATE TABLE chats_1 PARTITION OF chats FOR VALUES FROM (0) TO (9);
         INSERT INTO chats VALUES (1, 'test-1'), (2, 'real');
         CREATE RULE instead AS ON DELETE TO chats_1 DO INSTEAD DELETE FROM precious",
    )
    .await;
    for table in ["chats", "chats_1"] {
        let refusal = database.preflight(&[(table, "title LIKE 'test-%'")]).await.unwrap_err();
        assert!(matches!(refusal.cause, RefusalCause::Rule(_)), "{refusal}");
        assert_eq!(refusal.kind(), RefusalKind::Unable);
        assert!(database.sweep(&[(table, "title LIKE 'test-%'")]).await.refused.is_some());
    }
    assert_eq!((database.count("precious").await, database.count("chats").await), (1, 2));
}

#[tokio::test]
async fn a_view_or_a_table_of_the_system_is_no_root() {
    let database = Database::new(&format!(
        "{USERS} CREATE VIEW v AS SELECT * FROM users; CREATE MATERIALIZED VIEW m AS SELECT * FROM users;
         CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
         CREATE FOREIGN TABLE f (email text) SERVER s; CREATE SEQUENCE q;"
    ))
    .await;
    for (name, predicate) in [
        ("v", "email = 'x'"),
        ("m", "email = 'x'"),
        ("f", "email = 'x'"),
        ("q", "is_called"),
        ("pg_class", "relname = 'x'"),
    ] {
        let refusal = database.preflight(&[(name, predicate)]).await.unwrap_err();
        assert!(matches!(refusal.cause, RefusalCause::NotATable(_)), "{refusal}");
    }
    // Another session's temporary table is nobody's but its own.
    database.client.batch_execute("CREATE TEMP TABLE mine (email text)").await.unwrap();
    let refusal = database.preflight(&[("mine", "email = 'x'")]).await.unwrap_err();
    assert!(matches!(refusal.cause, RefusalCause::UnknownTable(_)), "{refusal}");
}

#[tokio::test]
async fn what_only_looks_at_a_root_is_in_nobodys_way() {
    let database = Database::new(&format!(
        "{USERS} CREATE TABLE chats (id int PRIMARY KEY, u int REFERENCES users);
         INSERT INTO chats SELECT n, n FROM generate_series(1, 100) n;
         CREATE VIEW v AS SELECT * FROM chats; CREATE MATERIALIZED VIEW m AS SELECT chats.id, email FROM chats JOIN users ON u = users.id;
         CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
         CREATE FOREIGN TABLE f (id int, u int) SERVER s; CREATE TEMP TABLE seen AS SELECT * FROM users;"
    ))
    .await;
    let outcome = database.sweep(&[TEST_USERS]).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!((table(&outcome, "public.users"), table(&outcome, "public.chats")), ((50, 50), (50, 50)));
    // What they keep of it is theirs: a copy that nothing refers to.
    assert_eq!((database.count("v").await, database.count("m").await, database.count("seen").await), (50, 100, 100));
}

#[tokio::test]
async fn the_guards_of_extent_are_judged_before_the_first_request_only() {
    let database = Database::new(USERS).await;
    for (max_share, max_rows, right) in [(0.5, 50, true), (0.49, 50, false), (0.5, 49, false)] {
        let plan = || {
            database.plan_with(&[TEST_USERS], |postgres| {
                postgres.roots[0].max_share = Spanned::nowhere(max_share);
                postgres.max_rows = Spanned::nowhere(max_rows);
            })
        };
        let judged = Sweeper::connect(plan()).await.unwrap().preflight().await;
        assert_eq!(judged.is_ok(), right, "{max_share} {max_rows}: {judged:?}");
        assert!(judged.err().is_none_or(|refusal| refusal.kind() == RefusalKind::Guard));
    }
    // What a run itself adds is not held against it.
    database
        .client
        .batch_execute("INSERT INTO users SELECT n, 'test-x' FROM generate_series(101, 400) n")
        .await
        .unwrap();
    let plan = database.plan_with(&[TEST_USERS], |postgres| postgres.max_rows = Spanned::nowhere(10));
    let outcome = Sweeper::connect(plan).await.unwrap().sweep(|_| ()).await;
    assert_eq!((table(&outcome, "public.users"), outcome.is_clean()), ((350, 350), true));
}

#[tokio::test]
async fn an_empty_table_is_no_reason_to_refuse() {
    let database = Database::new("CREATE TABLE users (id int PRIMARY KEY, email text)").await;
    let plan = database.plan_with(&[TEST_USERS], |postgres| postgres.roots[0].max_share = Spanned::nowhere(0.1));
    assert_eq!(Sweeper::connect(plan).await.unwrap().preflight().await.unwrap().matched(), 0);
}

#[tokio::test]
async fn another_database_than_the_plan_means_is_refused() {
    let database = Database::new(USERS).await;
    let plan = |name: &str| {
        let name = name.to_owned();
        database.plan_with(&[TEST_USERS], |postgres| postgres.database = Some(Spanned::nowhere(name)))
    };
    let refusal = Sweeper::connect(plan("app_staging")).await.unwrap().preflight().await.unwrap_err();
    assert!(matches!(refusal.cause, RefusalCause::WrongDatabase { .. }), "{refusal}");
    assert_eq!(refusal.kind(), RefusalKind::Guard);
    let outcome = Sweeper::connect(plan("app_staging")).await.unwrap().sweep(|_| ()).await;
    assert_eq!(outcome.refused.unwrap().kind(), RefusalKind::Guard);
    assert_eq!(database.count("users").await, 100);
    assert!(Sweeper::connect(plan(&database.name)).await.unwrap().preflight().await.is_ok());
}

const CHATS: &str = "
    CREATE TABLE chats (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, note text);
    INSERT INTO chats SELECT n, n, 'test' FROM generate_series(1, 50) n;
    INSERT INTO chats SELECT n, n, 'real' FROM generate_series(51, 60) n;";

#[tokio::test]
async fn who_refers_is_deleted_first_whatever_the_order_of_the_roots() {
    let database = Database::new(&format!("{USERS}{CHATS}")).await;
    let roots = [TEST_USERS, ("chats", "user_id IN (SELECT id FROM users WHERE email LIKE 'test-%')")];
    let outcome = database.sweep(&roots).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!(table(&outcome, "public.users"), (50, 50));
    assert_eq!(table(&outcome, "public.chats"), (50, 50));
    assert_eq!(database.count("chats").await, 10);
}

#[tokio::test]
async fn what_the_roots_match_is_fixed_before_anything_is_deleted() {
    // Without a foreign key the users go first, and then no chat is matched any more.
    let schema = format!(
        "{USERS} CREATE TABLE chats (id int, user_id int); INSERT INTO chats SELECT n, n FROM generate_series(1, 60) n"
    );
    let database = Database::new(&schema).await;
    let roots = [TEST_USERS, ("chats", "user_id IN (SELECT id FROM users WHERE email LIKE 'test-%')")];
    let outcome = database.sweep(&roots).await;
    assert_eq!((table(&outcome, "public.chats"), outcome.is_clean()), ((50, 50), true));
    assert_eq!(database.count("chats").await, 10);
}

#[tokio::test]
async fn a_real_row_keeps_what_it_needs_and_is_named() {
    let schema = format!(
        "{USERS}{CHATS} ALTER TABLE users ADD boss int REFERENCES users;
         CREATE TABLE invoices (no text, part int, chat int REFERENCES chats, PRIMARY KEY (no, part));
         UPDATE users SET boss = 7 WHERE id = 3;
         INSERT INTO invoices VALUES ('A', 1, 3);"
    );
    let database = Database::new(&schema).await;
    let roots = [TEST_USERS, ("chats", "note = 'test'")];
    let dry = not_following(&database, &roots).await.dry_run().await;
    // The invoice keeps chat 3, that keeps user 3, and that keeps its boss, user 7.
    assert_eq!((dry.quarantined, dry.remaining), (3, 100));
    let outcome = not_following(&database, &roots).await.sweep(|_| ()).await;
    assert_eq!((outcome.quarantined, outcome.remaining, outcome.is_clean()), (3, 3, false));
    assert!(outcome.refused.is_none(), "{outcome:?}");
    assert_eq!(table(&outcome, "public.users"), (50, 48));
    assert_eq!(table(&outcome, "public.chats"), (50, 49));
    let by = Blocker::Row {
        table: "public.invoices".to_owned(),
        key: "(no, part)=(A, 1)".to_owned(),
        constraint: "invoices_chat_fkey".to_owned(),
    };
    assert_eq!(outcome.blocked, [Blocked { table: "public.chats".to_owned(), by }]);
    let note = Note::NotFollowed { table: "public.invoices".to_owned(), root: "public.chats".to_owned(), rows: 1 };
    assert_eq!(outcome.notes, [note]);
    assert_eq!(database.count("invoices").await, 1);
    assert_eq!(database.count("users WHERE id IN (3, 7)").await, 2);

    database.client.batch_execute("DELETE FROM invoices").await.unwrap();
    assert!(database.sweep(&roots).await.is_clean());
}

#[tokio::test]
async fn a_row_that_stays_is_counted_even_where_the_predicate_ceases_to_match() {
    let schema = format!(
        "{USERS} CREATE TABLE chats (id int PRIMARY KEY, user_id int);
         INSERT INTO chats SELECT n, n FROM generate_series(1, 50) n;
         CREATE TABLE invoices (id int PRIMARY KEY, chat int REFERENCES chats); INSERT INTO invoices VALUES (1, 3);"
    );
    let database = Database::new(&schema).await;
    let roots = [TEST_USERS, ("chats", "user_id IN (SELECT id FROM users WHERE email LIKE 'test-%')")];
    let outcome = not_following(&database, &roots).await.sweep(|_| ()).await;
    assert_eq!((outcome.quarantined, outcome.remaining), (1, 1), "{outcome:?}");
    assert_eq!(table(&outcome, "public.chats"), (50, 49));
}

#[tokio::test]
async fn what_would_be_deleted_or_changed_by_the_database_itself_is_kept() {
    for action in ["CASCADE", "SET NULL", "SET DEFAULT"] {
        let schema = format!(
            "{USERS} CREATE TABLE chats (id int PRIMARY KEY, user_id int DEFAULT 60 REFERENCES users ON DELETE {action}, note text);"
        );
        let database = Database::new(&schema).await;
        database
            .client
            .batch_execute("INSERT INTO chats VALUES (1, 3, 'real'), (2, 4, 'test'), (3, 99, 'real')")
            .await
            .unwrap();
        assert!(not_following(&database, &[TEST_USERS]).await.preflight().await.is_ok());
        let outcome = not_following(&database, &[TEST_USERS]).await.sweep(|_| ()).await;
        assert_eq!((outcome.quarantined, outcome.remaining), (2, 2), "{outcome:?}");
        assert_eq!(database.count("chats WHERE (id, user_id) IN ((1, 3), (2, 4), (3, 99))").await, 3, "{action}");

        // As a root its test rows are counted, and its real rows still keep theirs.
        let roots = [TEST_USERS, ("chats", "note = 'test'")];
        let outcome = not_following(&database, &roots).await.sweep(|_| ()).await;
        assert_eq!((outcome.quarantined, outcome.remaining), (1, 1), "{outcome:?}");
        assert_eq!(table(&outcome, "public.chats"), (1, 1));
        assert_eq!(database.count("chats WHERE (id, user_id) IN ((1, 3), (3, 99))").await, 2, "{action}");
    }
}

#[tokio::test]
async fn rows_that_refer_to_each_other_go_in_waves_and_rings_at_once() {
    let schema = "
        CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a, b int, test bool);
        CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, test bool);
        ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;
        -- a chain against the order of the rows, one that refers to itself, and a ring over two tables
        INSERT INTO a SELECT n, nullif(n - 1, 0), NULL, true FROM generate_series(1, 40) n;
        INSERT INTO a VALUES (50, 50, NULL, true), (60, NULL, NULL, true), (99, NULL, NULL, false);
        INSERT INTO b VALUES (1, 60, true), (99, 99, false);
        UPDATE a SET b = 1 WHERE id = 60;";
    let database = Database::new(schema).await;
    let outcome = database.sweep(&[("a", "test"), ("b", "test")]).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!((table(&outcome, "public.a"), table(&outcome, "public.b")), ((42, 42), (1, 1)));
    assert_eq!((database.count("a").await, database.count("b").await), (1, 1));
}

#[tokio::test]
async fn a_partition_counts_under_its_topmost_parent() {
    let schema = "
        CREATE SCHEMA s;
        CREATE TABLE s.usage (id int, day int, who text) PARTITION BY RANGE (day);
        CREATE TABLE s.usage_1 PARTITION OF s.usage FOR VALUES FROM (0) TO (10);
        CREATE TABLE s.usage_2 PARTITION OF s.usage FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
        CREATE TABLE s.usage_2_a PARTITION OF s.usage_2 FOR VALUES FROM (0) TO (1000);
        INSERT INTO s.usage SELECT n, n % 20, CASE WHEN n <= 100 THEN 'test-1' ELSE 'ada' END FROM generate_series(1, 200) n;";
    let database = Database::new(schema).await;
    let leaf = database.sweep(&[("s.usage_2_a", "who LIKE 'test-%'")]).await;
    assert_eq!((table(&leaf, "s.usage"), leaf.is_clean()), ((50, 50), true));
    // The same rows by two roots are counted once.
    let both = database.sweep(&[("s.usage_1", "who LIKE 'test-%'"), ("s.usage", "who LIKE 'test%'")]).await;
    assert_eq!((table(&both, "s.usage"), both.tables.len(), both.is_clean()), ((50, 50), 1, true));
    assert_eq!(database.count("s.usage").await, 100);
    assert_eq!(database.count("s.usage WHERE who = 'ada'").await, 100);
}

#[tokio::test]
async fn a_partitioned_table_that_is_referred_to_keeps_what_is_needed() {
    let schema = "
        CREATE TABLE chats (id int PRIMARY KEY, test bool) PARTITION BY RANGE (id);
        CREATE TABLE chats_1 PARTITION OF chats FOR VALUES FROM (0) TO (10);
        CREATE TABLE chats_2 PARTITION OF chats FOR VALUES FROM (10) TO (20);
        CREATE TABLE notes (id int PRIMARY KEY, chat int REFERENCES chats ON DELETE CASCADE, test bool);
        INSERT INTO chats SELECT n, true FROM generate_series(1, 19) n;
        INSERT INTO notes VALUES (1, 3, true), (2, 13, false);";
    let database = Database::new(schema).await;
    let outcome = not_following(&database, &[("chats", "test"), ("notes", "test")]).await.sweep(|_| ()).await;
    assert_eq!((outcome.quarantined, outcome.remaining), (1, 1), "{outcome:?}");
    assert_eq!(table(&outcome, "public.chats"), (19, 18));
    assert_eq!(database.count("notes WHERE id = 2 AND chat = 13").await, 1);
}

#[tokio::test]
async fn names_that_need_quotes_are_told_as_postgres_quotes_them() {
    let schema = r#"
        CREATE TABLE "user" ("Name" text, id int PRIMARY KEY);
        CREATE TABLE "A ""b""" ("select" int REFERENCES "user", t text);
        INSERT INTO "user" VALUES ('test-1', 1), ('ada', 2);
        INSERT INTO "A ""b""" VALUES (1, 'x'), (2, 'y');"#;
    let database = Database::new(schema).await;
    let roots = [("\"user\"", "\"Name\" LIKE 'test-%'"), (r#"public."A ""b""""#, "\"select\" = 1")];
    let outcome = database.sweep(&roots).await;
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!(table(&outcome, "public.\"user\""), (1, 1));
    assert_eq!(table(&outcome, r#"public."A ""b""""#), (1, 1));
    assert_eq!(database.count("\"user\"").await, 1);
}

#[tokio::test]
async fn two_runs_delete_their_own_rows_only() {
    let schema = "CREATE TABLE usage (id int PRIMARY KEY, run text);
        INSERT INTO usage SELECT n, CASE WHEN n % 2 = 0 THEN 'abcdef0123456789' ELSE '0000000000000001' END
        FROM generate_series(1, 20) n;";
    let database = Database::new(schema).await;
    let roots = [("usage", "run = '{{ run }}'")];
    let outcome = database.sweep(&roots).await;
    assert_eq!((table(&outcome, "public.usage"), outcome.is_clean()), ((10, 10), true));
    let other = compile(&section(&database.url, &roots), RunId::new(1), &mut Diagnostics::new("p")).unwrap();
    assert_eq!(database.count("usage WHERE run = '0000000000000001'").await, 10);
    let outcome = Sweeper::connect(other).await.unwrap().sweep(|_| ()).await;
    assert_eq!(table(&outcome, "public.usage"), (10, 10));
}

#[tokio::test]
async fn two_sweeps_at_once_come_to_the_same() {
    let database = Database::new(&format!("{USERS}{CHATS}")).await;
    let roots = [TEST_USERS, ("chats", "note = 'test'")];
    let (one, two) = tokio::join!(database.sweep(&roots), database.sweep(&roots));
    assert_eq!((one.remaining, two.remaining), (0, 0), "{one:?} {two:?}");
    assert_eq!(one.deleted() + two.deleted(), 100);
    assert_eq!(database.count("users").await, 50);
}

#[tokio::test]
async fn a_trigger_that_keeps_rows_is_not_called_done() {
    let schema = format!(
        "{USERS} CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER keep BEFORE DELETE ON users FOR EACH ROW WHEN (OLD.id = 3) EXECUTE FUNCTION keep();"
    );
    let database = Database::new(&schema).await;
    let outcome = database.sweep(&[TEST_USERS]).await;
    assert_eq!((outcome.remaining, table(&outcome, "public.users")), (1, (50, 49)));
    assert_eq!(outcome.refused.unwrap().kind(), RefusalKind::Unable);
}

#[tokio::test]
async fn row_security_and_missing_rights_are_told() {
    let schema =
        format!("{USERS} CREATE ROLE limited_{0} LOGIN PASSWORD 'x'; GRANT SELECT ON users TO limited_{0};", "r");
    let database = Database::new(&schema).await;
    let url = database.url.split('@').nth(1).map(|rest| format!("postgres://limited_r:x@{rest}")).unwrap();
    let refused = async || {
        let plan = compile(&section(&url, &[TEST_USERS]), RUN, &mut Diagnostics::new("p")).unwrap();
        Sweeper::connect(plan).await.unwrap().sweep(|_| ()).await.refused.map(|refusal| (refusal.kind(), refusal.cause))
    };
    let (kind, cause) = refused().await.unwrap();
    assert!(
        kind == RefusalKind::Unable && matches!(cause, RefusalCause::MissingRight { right: "DELETE", .. }),
        "{cause}"
    );
    database
        .client
        .batch_execute(
            "GRANT DELETE ON users TO limited_r; ALTER TABLE users ENABLE ROW LEVEL SECURITY;
            CREATE POLICY p ON users USING (id > 10)",
        )
        .await
        .unwrap();
    let (kind, cause) = refused().await.unwrap();
    assert!(kind == RefusalKind::Unable && matches!(cause, RefusalCause::RowSecurity(_)), "{cause}");
    assert_eq!(database.count("users").await, 100);
    database.client.batch_execute("ALTER TABLE users DISABLE ROW LEVEL SECURITY").await.unwrap();
    assert!(refused().await.is_none());
}

#[tokio::test]
async fn a_row_that_becomes_real_meanwhile_stays() {
    let database = Database::new(USERS).await;
    // Somebody holds a test row and makes it real while the sweep waits for it.
    let mut other = connect(&database.url).await;
    let transaction = other.transaction().await.unwrap();
    transaction.batch_execute("UPDATE users SET email = 'ada@acme.example' WHERE id = 3").await.unwrap();
    let observer = connect(&database.url).await;
    let commit = async {
        someone_waits(&observer).await;
        transaction.commit().await.unwrap();
    };
    let roots = [TEST_USERS];
    let (outcome, ()) = tokio::join!(database.sweep(&roots), commit);
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!(database.count("users WHERE email = 'ada@acme.example'").await, 1);
    assert_eq!(database.count("users").await, 51);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_without_its_password() {
    let plan = |url: &str| compile(&section(url, &[TEST_USERS]), RUN, &mut Diagnostics::new("p")).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let refusal = Sweeper::connect(plan(&format!("postgres://u:hidden@127.0.0.1:{port}/d"))).await.unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::Unable);
    assert!(!format!("{refusal:?} {refusal}").contains("hidden"));
    let database = Database::new("").await;
    let wrong = database.url.replacen("demo:", "demo:wrong", 1);
    let refusal = Sweeper::connect(plan(&wrong)).await.unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::Unable);
}

#[tokio::test]
async fn a_session_that_is_cut_ends_in_an_error() {
    let database = Database::new(USERS).await;
    let mut sweeper = Sweeper::connect(database.plan(&[TEST_USERS])).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pacecar' AND datname = current_database()";
    database.client.query(cut, &[]).await.unwrap();
    let outcome = sweeper.sweep(|_| ()).await;
    assert_eq!(outcome.refused.unwrap().kind(), RefusalKind::Unable);
}

#[test]
fn what_is_off_or_does_nothing_is_told_when_compiled() {
    let told = |change: &dyn Fn(&mut Cleanup)| {
        let mut section = section("postgres://u@h/d", &[TEST_USERS]);
        change(&mut section);
        let mut diagnostics = Diagnostics::new("p");
        let plan = compile(&section, RUN, &mut diagnostics);
        (plan.is_some(), diagnostics.has_errors(), diagnostics.to_string())
    };
    let postgres = |section: &mut Cleanup, change: fn(&mut CleanupPostgres)| change(section.postgres.as_mut().unwrap());
    assert!(told(&|_| ()).0);
    let (on, wrong, text) = told(&|section| postgres(section, |postgres| postgres.url.value.clear()));
    assert!(!on && !wrong && text.is_empty(), "the plan's reader has said so: {text}");
    let (on, wrong, _) = told(&|section| {
        postgres(section, |postgres| {
            postgres.url.value.clear();
            postgres.roots[0].where_ = None;
        })
    });
    assert!(!on && wrong, "a wrong root is wrong though cleanup is off");
    let (on, wrong, text) = told(&|section| postgres(section, |postgres| postgres.url.value = "u:hidden@h".to_owned()));
    assert!(!on && wrong && !text.contains("hidden"), "{text}");
    for change in [
        (|postgres| postgres.roots[0].age = Some(Spanned::nowhere("created at".to_owned())))
            as fn(&mut CleanupPostgres),
        |postgres| postgres.roots[0].table.value = "users; DROP TABLE x".to_owned(),
        |postgres| postgres.roots[0].where_ = Some(Spanned::nowhere("1=1".to_owned())),
        |postgres| postgres.roots[0].max_share.value = 1.5,
        |postgres| postgres.batch.value = 0,
    ] {
        let (_, wrong, text) = told(&|section| postgres(section, change));
        assert!(wrong, "{text}");
    }
    let (on, wrong, text) = told(&|section| section.when.value = When::Every(Duration::from_secs(60)));
    assert!(on && !wrong && text.contains("nothing is swept while traffic runs"), "{text}");
    let (on, wrong, text) = told(&|section| section.keep_for.value = Duration::from_secs(60));
    assert!(on && !wrong && text.contains("keeps nothing"), "{text}");
    assert!(told(&|section| section.when.value = When::Never).0);
}
