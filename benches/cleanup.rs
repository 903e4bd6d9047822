//! A sweep against one hand-written `DELETE … USING` of the same rows, and what a sweep does to the
//! p95 of others.
//!
//! Each on a fresh copy of the same database: users, and chats that refer to them, half of each test
//! data. `PACECAR_BENCH_ROWS` is how many test rows there are in all (default 200,000).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::panic)]

// The one copy is the demo's: a second way to start a Postgres would be a second way to leave one.
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the demo uses more of it than a bench")]
#[path = "../sidecar/src/demo/postgres/mod.rs"]
mod postgres;

use pacecar::cleanup::{Sweeper, compile};
use pacecar::plan;
use pacecar::semconv::RunId;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn sweeper_plan(url: &str, batch: u32, pace: u32) -> pacecar::cleanup::CleanupPlan {
    let text = format!(
        "cleanup: {{ postgres: {{ url: \"{url}\", batch: {batch}, max_rows_per_second: {pace},
           roots: [ {{ table: users, where: \"email LIKE 'test-%'\" }} ] }} }}"
    );
    let (plan, mut diagnostics) = plan::read("bench.yaml", text.as_bytes(), &plan::Variables::default());
    let plan = plan.and_then(|plan| compile(plan.cleanup.as_ref()?, RunId::new(1), &mut diagnostics));
    plan.unwrap_or_else(|| panic!("{diagnostics}"))
}

async fn copy(admin: &Client, number: usize) -> String {
    let name = format!("copy{number}");
    admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE source")).await.unwrap();
    name
}

/// p95 in milliseconds of one small transaction after the other, until `until` is over.
async fn foreground(client: &Client, until: impl Future<Output = ()>) -> (f64, usize) {
    let mut until = std::pin::pin!(until);
    let mut took = Vec::new();
    let statement = client.prepare("UPDATE chats SET note = 'seen' WHERE id = $1").await.unwrap();
    let mut id = 0_i32;
    loop {
        let query = async {
            id = (id + 7_919) % 50_000;
            let begun = Instant::now();
            client.execute(&statement, &[&(-id)]).await.unwrap();
            let took = begun.elapsed();
            tokio::time::sleep(Duration::from_millis(2)).await;
            took
        };
        tokio::select! {
            biased;
            () = &mut until => break,
            one = query => took.push(one.as_secs_f64() * 1e3),
        }
    }
    took.sort_by(f64::total_cmp);
    (took[took.len() * 95 / 100], took.len())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let rows: i64 = std::env::var("PACECAR_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(200_000);
    let cluster = postgres::TemporaryPostgres::start().unwrap();
    let admin = connect(&cluster.url()).await;
    admin.batch_execute("CREATE DATABASE source").await.unwrap();
    let source = connect(&cluster.url_of("source")).await;
    let parents = rows / 5;
    let children = rows - parents;
    source
        .batch_execute(&format!(
            "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
             CREATE TABLE chats (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, note text);
             INSERT INTO users SELECT n, 'test-' || n FROM generate_series(1, {parents}) n;
             INSERT INTO users SELECT -n, 'real-' || n FROM generate_series(1, {parents}) n;
             INSERT INTO chats SELECT n, 1 + n % {parents}, repeat('x', 60) FROM generate_series(1, {children}) n;
             INSERT INTO chats SELECT -n, -1 - n % {parents}, repeat('x', 60) FROM generate_series(1, {children}) n;
             CREATE INDEX ON chats (user_id);"
        ))
        .await
        .unwrap();
    source.batch_execute("VACUUM ANALYZE").await.unwrap();
    drop(source);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut best = [f64::MAX; 2];
    for round in 0..5 {
        let by_hand = connect(&cluster.url_of(&copy(&admin, round * 2).await)).await;
        let begun = Instant::now();
        by_hand
            .batch_execute(
                "BEGIN; DELETE FROM chats c USING users u WHERE u.id = c.user_id AND u.email LIKE 'test-%';
                 DELETE FROM users WHERE email LIKE 'test-%'; COMMIT",
            )
            .await
            .unwrap();
        best[0] = best[0].min(begun.elapsed().as_secs_f64());
        drop(by_hand);
        let url = cluster.url_of(&copy(&admin, round * 2 + 1).await);
        let mut sweeper = Sweeper::connect(sweeper_plan(&url, 10_000, 10_000_000)).await.unwrap();
        let begun = Instant::now();
        let outcome = sweeper.sweep(|_| ()).await;
        best[1] = best[1].min(begun.elapsed().as_secs_f64());
        assert!(outcome.is_clean() && outcome.deleted() == rows.unsigned_abs(), "{outcome:?}");
    }
    #[allow(clippy::cast_precision_loss)]
    let per_second = best.map(|seconds| rows as f64 / seconds);
    println!("hand-written DELETE USING: {:.0} rows/s", per_second[0]);
    println!("sweep, batches of 10,000:  {:.0} rows/s, {:.2} x", per_second[1], per_second[1] / per_second[0]);

    let name = copy(&admin, 100).await;
    let url = cluster.url_of(&name);
    let client = connect(&url).await;
    let (alone, calm) = foreground(&client, tokio::time::sleep(Duration::from_secs(5))).await;
    let sweep = async {
        let mut sweeper = Sweeper::connect(sweeper_plan(&url, 1_000, 20_000)).await.unwrap();
        let outcome = sweeper.sweep(|_| ()).await;
        assert!(outcome.is_clean(), "{outcome:?}");
    };
    let (during, busy) = foreground(&client, sweep).await;
    println!(
        "p95 of others: {alone:.3} ms alone (n = {calm}), {during:.3} ms during a sweep (n = {busy}), {:.2} x",
        during / alone
    );
}
