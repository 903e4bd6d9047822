//! What an API embeds, on a real Postgres: whose transactions are whose, a pool that is resized while it is used, the
//! metrics that it emits, and the sample API that turns synthetic requests away.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ScopeMetrics};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use pacecar::middleware::Synthetic;
use pacecar::middleware::pool::Pool;
use tokio_postgres::NoTls;

use crate::support::json::count;
use crate::support::postgres::{self, Database};
use crate::support::{Pacecar, PlanFile, api};

const RUN: &str = "00000000000000cc";

fn pool(name: &str, url: &str, max: usize) -> Pool {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(url.parse().expect("a connection string"), NoTls, recycling);
    Pool::new(deadpool_postgres::Pool::builder(manager).max_size(max).build().expect("a pool"), name)
}

/// A database with the ledger, a run that is live, and a table that says whose each row is.
fn with_ledger() -> Database {
    let shared = postgres::shared();
    let database = shared.beside(shared.another());
    database.execute(
        "CREATE TABLE rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, whose text NOT NULL, n int CHECK (n >= 0))",
    );
    let plan = PlanFile::new(
        "\
name: ledger
base_url: http://127.0.0.1:1
workflow: [{ request: GET / }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
cleanup: { postgres: { url: \"${DATABASE_URL}\", roots: [{ table: rows, where: \"whose = 'nobody'\" }] } }
",
    );
    let path = plan.path();
    Pacecar::new(["cleanup".as_ref(), "install".as_ref(), path.as_os_str()])
        .set("DATABASE_URL", &database.url)
        .end()
        .expect_code(0);
    database.execute(&format!(
        "INSERT INTO pacecar.lease (run, plan, digest, kind, claim, shared, kept, sweeping, expires)
         VALUES ('{RUN}', 'x', '', 'run', '{{}}', '{{}}', false, false, now() + interval '1 hour')"
    ));
    database
}

/// How a transaction ends.
#[derive(Clone, Copy)]
enum Fate {
    Commit,
    /// A statement fails.
    Error,
    /// It is dropped without a word.
    Drop,
    /// Its handler is dropped after so long, wherever it is.
    Cancel(Duration),
}

async fn write(pool: &Pool, whose: Option<&Synthetic>, n: i32, fate: Fate) {
    let told = if whose.is_some() { "synthetic" } else { "real" };
    let work = async {
        let mut connection = pool.get().await.expect("it waits without a limit");
        let Ok(transaction) = connection.transaction_for(whose).await else { return };
        let insert = "INSERT INTO rows (whose, n) VALUES ($1, $2)";
        let n = if matches!(fate, Fate::Error) { -1 } else { n };
        if transaction.execute(insert, &[&told, &n]).await.is_err() || matches!(fate, Fate::Drop) {
            return;
        }
        // One that is cancelled may have got here.
        let _ = transaction.commit().await;
    };
    match fate {
        Fate::Cancel(after) => drop(tokio::time::timeout(after, work).await),
        _ => work.await,
    }
}

#[test]
fn of_ten_thousand_interleaved_transactions_no_real_row_is_in_the_ledger() {
    const TRANSACTIONS: i32 = 10_000;
    const AT_ONCE: i32 = 32;
    let database = with_ledger();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pool = pool("ledger", &database.url, 4);
        let synthetic = Synthetic {
            run: RUN.parse().expect("a run id"),
            tenant: "1".to_owned(),
            scenario: "main".to_owned(),
            step: "write".to_owned(),
        };
        let (next, synthetic) = (Arc::new(AtomicUsize::new(0)), Arc::new(synthetic));
        let writers = (0..AT_ONCE).map(|writer| {
            let (pool, next, synthetic) = (pool.clone(), Arc::clone(&next), Arc::clone(&synthetic));
            tokio::spawn(async move {
                let mut dice = fastrand::Rng::with_seed(u64::try_from(writer).expect("few") + 1);
                loop {
                    let n = i32::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(TRANSACTIONS);
                    if n >= TRANSACTIONS {
                        return;
                    }
                    let fate = match dice.u32(..10) {
                        0 => Fate::Error,
                        1 => Fate::Drop,
                        // From before a connection is there until after the commit.
                        2 | 3 => Fate::Cancel(Duration::from_micros(dice.u64(..40_000))),
                        _ => Fate::Commit,
                    };
                    write(&pool, dice.bool().then_some(&*synthetic), n, fate).await;
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("a writer");
        }
        assert_eq!((pool.status().used, pool.status().waiting), (0, 0));
    });
    let recorded =
        "EXISTS (SELECT FROM pacecar.ledger l WHERE l.relation = 'rows'::regclass AND (l.key->>'id')::bigint = r.id)";
    let rows = |whose: &str, recorded: &str| {
        database.count(&format!("SELECT count(*) FROM rows r WHERE whose = '{whose}' AND {recorded}"))
    };
    assert_eq!(rows("real", recorded), 0, "real rows in the ledger");
    assert_eq!(rows("synthetic", &format!("NOT {recorded}")), 0, "synthetic rows that are not");
    assert_eq!(database.count("SELECT count(*) FROM pacecar.ledger"), rows("synthetic", "true"));
    // Six of ten commit at least.
    assert!(rows("real", "true") > 2_000 && rows("synthetic", "true") > 2_000);
}

#[test]
fn a_pool_that_shrinks_and_grows_holds_its_bound_while_it_is_used() {
    let url = postgres::shared().another();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pool = pool("resized", &url, 40);
        // Four are open, as in a pool that was hardly used.
        let open: Vec<_> = taken(4, &pool).await;
        assert_eq!((pool.status().used, pool.status().idle), (4, 0));
        drop(open);
        for max in [2, 6, 1, 3] {
            pool.resize(NonZeroUsize::new(max).expect("not 0"));
            let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let users = (0..40).map(|_| {
                let (pool, now, most) = (pool.clone(), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    let connection = pool.get().await.expect("a connection");
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    connection.simple_query("SELECT pg_sleep(0.002)").await.expect("an answer");
                    now.fetch_sub(1, Ordering::SeqCst);
                })
            });
            for user in users.collect::<Vec<_>>() {
                user.await.expect("a user");
            }
            let most = most.load(Ordering::SeqCst);
            assert!(most <= max, "{most} at once of {max}");
            let status = pool.status();
            assert_eq!((status.max, status.used, status.waiting), (max, 0, 0));
            assert!(status.idle <= max, "{status:?}");
        }
        assert_eq!(pool.waits().count, 4 + 4 * 40);
    });
}

/// So many connections, all out at once.
async fn taken(count: usize, pool: &Pool) -> Vec<pacecar::middleware::pool::Connection> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(pool.get().await.expect("a connection"));
    }
    all
}

#[test]
fn the_metrics_of_pool_and_runtime_have_their_conventional_names() {
    let url = postgres::shared().another();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).with_interval(Duration::from_secs(3600)).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    opentelemetry::global::set_meter_provider(provider.clone());
    runtime.block_on(async {
        pacecar::middleware::runtime::observe(&tokio::runtime::Handle::current());
        let pool = pool("metrics", &url, 2);
        let held = taken(2, &pool).await;
        let third = tokio::spawn({
            let pool = pool.clone();
            async move { pool.get().await.map(drop) }
        });
        while pool.status().waiting == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        provider.force_flush().expect("an export");
        let told = told(&exporter);
        for (figure, value) in [
            ("db.client.connection.count{idle}", 0.0),
            ("db.client.connection.count{used}", 2.0),
            ("db.client.connection.max", 2.0),
            ("db.client.connection.pending_requests", 1.0),
            ("db.client.connection.wait_time", 2.0),
        ] {
            assert_eq!(
                told.iter().find(|(name, _)| name == figure).map(|(_, value)| *value),
                Some(value),
                "{figure}: {told:?}"
            );
        }
        for name in
            ["num_workers", "num_alive_tasks", "global_queue_depth", "worker_total_busy_duration", "worker_park_count"]
        {
            let name = format!("tokio.runtime.{name}");
            assert!(told.iter().any(|(known, _)| *known == name), "{name}: {told:?}");
        }
        drop(held);
        third.await.expect("a task").expect("a connection");
        exporter.reset();
        provider.force_flush().expect("an export");
        let told = self::told(&exporter);
        let of = |figure: &str| told.iter().find(|(name, _)| name == figure).map(|(_, value)| *value);
        assert_eq!((of("db.client.connection.wait_time"), of("db.client.connection.use_time")), (Some(3.0), Some(3.0)));
        assert_eq!(of("db.client.connection.count{used}"), Some(0.0), "{told:?}");
    });
    provider.shutdown().expect("it ends");
}

/// What was exported of the pool `metrics` and the runtime: the value of a sum or gauge (with its state), the count of a
/// histogram. Pools of other tests are in there, too.
fn told(exporter: &InMemoryMetricExporter) -> Vec<(String, f64)> {
    let mut told = Vec::new();
    for resource in exporter.get_finished_metrics().expect("metrics") {
        for metric in resource.scope_metrics().flat_map(ScopeMetrics::metrics) {
            let mut tell = |attributes: Vec<KeyValue>, value: f64| {
                let of =
                    |key: &str| attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.as_str());
                if of("db.client.connection.pool.name").is_some_and(|name| name != "metrics") {
                    return;
                }
                let state = of("db.client.connection.state").map_or_else(String::new, |state| format!("{{{state}}}"));
                told.push((format!("{}{state}", metric.name()), value));
            };
            match metric.data() {
                AggregatedMetrics::I64(MetricData::Sum(sum)) => {
                    sum.data_points().for_each(|it| tell(it.attributes().cloned().collect(), it.value() as f64));
                }
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    sum.data_points().for_each(|it| tell(it.attributes().cloned().collect(), it.value() as f64));
                }
                AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                    sum.data_points().for_each(|it| tell(it.attributes().cloned().collect(), it.value()));
                }
                AggregatedMetrics::U64(MetricData::Gauge(gauge)) => {
                    gauge.data_points().for_each(|it| tell(it.attributes().cloned().collect(), it.value() as f64));
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    histogram.data_points().for_each(|it| tell(it.attributes().cloned().collect(), it.count() as f64));
                }
                _ => {}
            }
        }
    }
    told
}

/// One tenant, one request after another.
fn paced(iterations: u32) -> PlanFile {
    PlanFile::new(format!(
        "\
name: paced
base_url: ${{API_URL}}
tenants: {{ count: 1, users: 1 }}
workflow: [ {{ name: health, request: GET /healthz, expect: {{ status: 200 }} }} ]
scenarios: {{ main: {{ executor: shared-iterations, vus: 1, iterations: {iterations} }} }}
thresholds: {{ http_req_failed: ['rate==0'], checks: ['rate==1'] }}
"
    ))
}

#[test]
fn only_who_proves_that_he_knows_the_secret_is_synthetic_to_the_sample_api() {
    let secret = "a secret of at least 16 bytes";
    let api = api::own(&[("PACECAR_SECRET", secret), ("LIMIT_PER_TENANT", "1")]);
    let shed = |secret: Option<&str>| {
        let plan = paced(4);
        let run = Pacecar::run(&plan.path()).set("API_URL", &api.url);
        let run = secret.into_iter().fold(run, |run, secret| run.env("PACECAR_SECRET", secret));
        let ended = run.end().expect_code(0);
        assert!(!ended.stdout.contains(secret.unwrap_or("?")) && !ended.stderr.contains(secret.unwrap_or("?")));
        let summary = ended.summary();
        assert_eq!(count(&summary, &["metrics", "http_reqs", "count"]), 4);
        summary["metrics"]["http_reqs_shed"]["count"].as_f64().unwrap_or(0.0)
    };
    assert_eq!(shed(None), 0.0, "without a proof they are real requests, which nobody limits");
    assert_eq!(shed(Some("another secret of some length")), 0.0);
    assert!(shed(Some(secret)) >= 1.0, "four of one tenant at once are more than one a second");
    Pacecar::run(&paced(1).path()).set("API_URL", &api.url).env("PACECAR_SECRET", "short").end().expect_code(104);
}

#[test]
fn synthetic_requests_yield_to_real_ones_that_wait_for_the_pool() {
    let api = api::own(&[
        ("PG_POOL_MAX", "1"),
        ("PG_POOL_CONNECTION_TIMEOUT_MS", "60000"),
        ("PG_QUERY_MS", "50"),
        ("YIELD_POOL_WAITING", "1"),
    ]);
    let plan = PlanFile::new(
        "\
name: yields
base_url: ${API_URL}
tenants: { count: 2, users: 2, password: secret }
workflow:
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: { email: \"{{ user.email }}\", password: \"{{ user.password }}\" }
    capture: { token: $.access_token }
  - name: profile
    request: GET /api/user/profile
    auth: { bearer: \"{{ token }}\" }
scenarios: { main: { executor: shared-iterations, vus: 2, iterations: 12 } }
thresholds: { http_req_failed: ['rate==0'], http_reqs_shed: ['count>0'] }
",
    );
    let token = token(&api.url);
    // Six customers, of which five wait at any time: well beyond one. The two VUs alone never are.
    let customers: Vec<_> = (0..6)
        .map(|_| {
            let (url, token) = (api.url.clone(), token.clone());
            let ask = move |_| api::ask(&url, "GET /api/user/profile", &token, "").0;
            thread::spawn(move || (0..20).map(ask).collect::<Vec<u16>>())
        })
        .collect();
    while api.stats()["pool"]["pending"].as_u64() < Some(2) {
        thread::sleep(Duration::from_millis(5));
    }
    Pacecar::run(&plan.path()).set("API_URL", &api.url).end().expect_code(0);
    for customer in customers {
        assert_eq!(customer.join().expect("a customer"), [200; 20], "nobody turns a customer away");
    }
}

/// What a customer who has logged in sends with each request.
fn token(url: &str) -> String {
    let body = r#"{"email":"test-1-1@example.com","password":"secret"}"#;
    let (_, answer) = api::ask(url, "POST /auth/v1/token?grant_type=password", "", body);
    format!("authorization: Bearer {}\r\n", answer["access_token"].as_str().expect("a token"))
}

#[test]
fn the_pool_of_the_sample_api_is_resized_while_it_serves() {
    let api = api::own(&[("PG_POOL_MAX", "8")]);
    let json = "content-type: application/json\r\n";
    assert_eq!(api::ask(&api.url, "PUT /admin/pool", json, r#"{"max":3}"#), (200, serde_json::json!({ "max": 3 })));
    assert_eq!(api.stats()["pool"]["max"], 3);
    for body in [r#"{"max":0}"#, r#"{"max":1000000}"#, "{}", "x"] {
        assert_eq!(api::ask(&api.url, "PUT /admin/pool", json, body).0, 400, "{body}");
    }
    assert_eq!(api::ask(&api.url, "GET /admin/pool", "", "").1["max"], 3);
}
