//! The demo end to end: over HTTP with a client that knows next to nothing, and in the database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls};

struct Answer {
    status: u16,
    text: String,
}

// === impl Answer ===

impl Answer {
    fn json(&self) -> Value {
        let start = self.text.find(['{', '[']).unwrap_or_else(|| panic!("no JSON: {}", self.text));
        serde_json::Deserializer::from_str(&self.text[start..]).into_iter().next().unwrap().unwrap()
    }
}

/// Sends one request on a connection of its own and reads until that is closed.
async fn send(demo: &Demo, request: &str, token: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(demo.api_url.strip_prefix("http://").unwrap()).await.unwrap();
    let bearer = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    let length = body.len();
    let head =
        format!("{request} HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: {length}\r\n{bearer}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // A body that is refused may not be read to its end.
    let _ = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.unwrap_or_else(|| panic!("no answer to {request}: {text}")), text }
}

async fn post(demo: &Demo, path: &str, token: &str, body: Value) -> Answer {
    send(demo, &format!("POST {path}"), token, body.to_string().as_bytes()).await
}

async fn login(demo: &Demo, email: &str, password: &str) -> Answer {
    post(demo, "/auth/v1/token?grant_type=password", "", json!({ "email": email, "password": password })).await
}

async fn token(demo: &Demo, email: &str) -> String {
    login(demo, email, "secret").await.json()["access_token"].as_str().unwrap().to_owned()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {sql}"), &[]).await.unwrap().get(0)
}

async fn start() -> Demo {
    Demo::start(DemoSettings::default()).await.unwrap()
}

/// The API's settings with a model that answers at once.
fn quick() -> ApiSettings {
    ApiSettings { llm_latency: Duration::from_millis(1), ..ApiSettings::from_environment(&[]).unwrap() }
}

#[tokio::test]
async fn the_tenant_workflow_works_and_leaves_one_row_a_chat() {
    let demo = Demo::start_with(DemoSettings::default(), quick()).await.unwrap();
    let before = demo.real_digest().await.unwrap();
    let counts = demo.counts().await.unwrap();
    assert_eq!((counts.test_users, counts.real_users, counts.test_chats, counts.real_chats), (100, 240, 0, 20_000));
    assert_eq!(before.rows, 20_244);

    let answer = login(&demo, "test-8-2@example.com", "secret").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let logged_in = answer.json();
    assert_eq!((&logged_in["token_type"], &logged_in["user"]["tenant"]), (&json!("bearer"), &json!(8)));
    let bearer = logged_in["access_token"].as_str().unwrap().to_owned();
    assert_eq!(token(&demo, "test-8-2@example.com").await, bearer, "one token a user while it is fresh");

    let profile = send(&demo, "GET /api/user/profile", &bearer, b"").await;
    assert_eq!(profile.status, 200);
    assert_eq!(profile.json()["tenant"], json!(8));
    assert_eq!(profile.json()["email"], json!("test-8-2@example.com"));

    let mut chats = Vec::new();
    for _ in 0..3 {
        let answer = post(&demo, "/api/llm/chat", &bearer, json!({ "prompt": "why?" })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let chat = answer.json();
        let usage = &chat["usage"];
        let sum = usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
        assert_eq!(usage["total_tokens"].as_u64().unwrap(), sum);
        assert!(chat["cost"].is_number() && chat["cached"].is_boolean() && chat["answer"].is_string());
        chats.push(chat["id"].as_i64().unwrap());
    }
    assert_eq!(demo.counts().await.unwrap().test_chats, 3);
    let client = connect(&demo.database_url).await;
    assert_eq!(count(&client, "llm_usage WHERE user_id = 'test-8-2@example.com' AND tenant_id = 8").await, 3);

    // One's own chat can be taken back, once, and nobody else's.
    let other = token(&demo, "test-1-1@example.com").await;
    let path = format!("DELETE /api/chats/{}", chats[0]);
    for (bearer, status) in [("", 401), (other.as_str(), 404), (bearer.as_str(), 204), (bearer.as_str(), 404)] {
        assert_eq!(send(&demo, &path, bearer, b"").await.status, status);
    }
    assert_eq!(demo.counts().await.unwrap().test_chats, 2);
    assert_eq!(demo.real_digest().await.unwrap(), before);
    client
        .execute("UPDATE llm_usage SET tokens = tokens + 1 WHERE user_id NOT LIKE 'test-%' AND id = 1", &[])
        .await
        .unwrap();
    assert_ne!(demo.real_digest().await.unwrap(), before, "a touched row shows");

    let stats = send(&demo, "GET /api/llm/stats", "", b"").await.json();
    assert_eq!((&stats["togetherAI"]["failures"], &stats["requests"]), (&json!(0), &json!(3)));
    assert!(
        stats["pool"]["max"].as_u64().unwrap() > 0
            && stats["pool"]["used"].is_u64()
            && stats["pool"]["pending"].is_u64()
    );
    for path in ["/healthz", "/api/llm/health"] {
        assert_eq!(send(&demo, &format!("GET {path}"), "", b"").await.status, 200);
    }
    let directory = demo.postgres.as_ref().unwrap().directory().to_owned();
    demo.stop().await.unwrap();
    assert!(!directory.exists());
}

#[tokio::test]
async fn who_is_not_known_is_not_let_in() {
    let demo = start().await;
    for (email, password) in [
        ("test-1-1@example.com", "wrong"),
        ("nobody@example.com", "secret"),
        ("test-1-1@example.com", ""),
        ("ada@acme.example", "secret"),
    ] {
        let answer = login(&demo, email, password).await;
        assert_eq!(answer.status, 401, "{email}");
        assert!(answer.json()["error"].is_string());
    }
    for token in ["", "x", "00000000000000000000000000000000", "\u{fc}"] {
        assert_eq!(send(&demo, "GET /api/user/profile", token, b"").await.status, 401);
        assert_eq!(post(&demo, "/api/llm/chat", token, json!({ "prompt": "x" })).await.status, 401);
    }
    let body = json!({ "email": "test-7-9@example.com", "password": "another" });
    assert_eq!(post(&demo, "/auth/v1/signup", "", body.clone()).await.status, 201);
    assert_eq!(post(&demo, "/auth/v1/signup", "", body).await.status, 409);
    assert_eq!(login(&demo, "test-7-9@example.com", "secret").await.status, 401);
    let answer = login(&demo, "test-7-9@example.com", "another").await.json();
    assert_eq!(answer["user"]["tenant"], json!(7));
    // Whose account is deleted is out, whatever token it holds.
    let client = connect(&demo.database_url).await;
    client.execute("DELETE FROM users WHERE email = 'test-7-9@example.com'", &[]).await.unwrap();
    assert_eq!(send(&demo, "GET /api/user/profile", answer["access_token"].as_str().unwrap(), b"").await.status, 401);
    demo.stop().await.unwrap();
}

#[tokio::test]
async fn hostile_input_gets_an_error_in_json() {
    let demo = start().await;
    let bearer = token(&demo, "test-1-1@example.com").await;
    let large = vec![b'x'; 200_000];
    for (request, body, status) in [
        ("POST /auth/v1/token?grant_type=password", &b"not json"[..], 400),
        ("POST /auth/v1/token?grant_type=password", b"", 400),
        ("POST /auth/v1/token?grant_type=password", b"{\"email\":1,\"password\":[]}", 400),
        ("POST /auth/v1/token?grant_type=password", b"{\"email\":\"a\\u0000b\",\"password\":\"\\u0000\"}", 401),
        ("POST /auth/v1/token?grant_type=password", b"\xff\xfe", 400),
        ("POST /auth/v1/token?grant_type=refresh", b"{}", 400),
        ("POST /auth/v1/token", b"{}", 400),
        ("POST /auth/v1/token?%ff=%zz", b"{}", 400),
        ("POST /auth/v1/token?grant_type=password", &large, 413),
        ("POST /auth/v1/signup", b"{\"email\":\"nothing\",\"password\":\"x\"}", 400),
        ("POST /auth/v1/signup", b"{\"email\":\"a\\u0000@b\",\"password\":\"x\"}", 400),
        ("POST /auth/v1/signup", b"{\"email\":\"test-99999999999999999999-1@b\",\"password\":\"x\"}", 201),
        ("POST /api/llm/chat", b"{\"prompt\":7}", 400),
        ("POST /api/llm/chat", b"[[[[", 400),
        ("POST /api/llm/chat", b"{\"prompt\":\"a\\u0000b\"}", 200),
        ("DELETE /api/chats/x", b"", 404),
        ("DELETE /api/chats/99999999999999999999", b"", 404),
        ("GET /nowhere", b"", 404),
        ("GET /api/llm/chat", b"", 405),
    ] {
        let answer = send(&demo, request, &bearer, body).await;
        assert_eq!(answer.status, status, "{request}: {}", answer.text);
        assert!(answer.json().is_object(), "{request}: {}", answer.text);
    }
    demo.stop().await.unwrap();
}

#[tokio::test]
async fn a_streamed_answer_ends_with_its_cost_and_is_one_row() {
    let demo = Demo::start_with(DemoSettings::default(), quick()).await.unwrap();
    let bearer = token(&demo, "test-1-1@example.com").await;
    let answer = post(&demo, "/api/llm/chat", &bearer, json!({ "prompt": "why?", "stream": true })).await;
    assert!(answer.text.contains("content-type: text/event-stream"), "{}", answer.text);
    let events: Vec<&str> = answer.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let last: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert!(last["usage"]["total_tokens"].as_u64().unwrap() > 0 && last["cost"].is_number());
    let words: usize = events[..events.len() - 2]
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["delta"].as_str().unwrap().split(' ').count())
        .sum();
    assert_eq!(words as u64, last["usage"]["completion_tokens"].as_u64().unwrap());
    assert_eq!(demo.counts().await.unwrap().test_chats, 1);
    demo.stop().await.unwrap();
}

#[tokio::test]
async fn a_pool_that_runs_out_is_a_503_and_shows() {
    let pool_max = std::num::NonZeroUsize::MIN;
    let api = ApiSettings { pool_max, pool_min: 1, pool_wait: Duration::from_millis(50), ..quick() };
    let demo = Demo::start_with(DemoSettings::default(), api).await.unwrap();
    let bearer = token(&demo, "test-1-1@example.com").await;
    // The only connection waits for a lock that we hold.
    let mut client = connect(&demo.database_url).await;
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("LOCK TABLE llm_usage").await.unwrap();
    let chat = post(&demo, "/api/llm/chat", &bearer, json!({ "prompt": "x" }));
    let rest = async {
        while send(&demo, "GET /api/llm/stats", "", b"").await.json()["pool"]["used"] != json!(1) {}
        let answer = send(&demo, "GET /api/user/profile", &bearer, b"").await;
        transaction.commit().await.unwrap();
        answer
    };
    let (chat, answer) = tokio::join!(chat, rest);
    assert_eq!((answer.status, &answer.json()["error"]), (503, &json!("pool_exhausted")));
    assert_eq!(chat.status, 200);
    demo.stop().await.unwrap();
}

#[tokio::test]
async fn in_somebody_elses_database_what_was_made_is_removed_and_nothing_else() {
    let cluster = tokio::task::spawn_blocking(|| TemporaryPostgres::start().unwrap()).await.unwrap();
    let settings = || DemoSettings { database_url: Some(cluster.url()), ..DemoSettings::default() };
    let client = connect(&cluster.url()).await;
    let tables = "pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";

    // Nothing was there: nothing is left.
    let demo = Demo::start(settings()).await.unwrap();
    assert!(!demo.temporary_postgres);
    assert_eq!(count(&client, tables).await, 3);
    // A second one beside it leaves the first one's tables alone.
    let second = Demo::start(settings()).await.unwrap();
    second.stop().await.unwrap();
    assert_eq!(demo.counts().await.unwrap().test_users, 100);
    demo.stop().await.unwrap();
    assert_eq!(count(&client, tables).await, 0);

    // Tables of that shape are kept, with the rows that were there; a user of that name too.
    let mine = "CREATE TABLE tenants (id bigint PRIMARY KEY, name text NOT NULL);
        CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id bigint REFERENCES tenants,
            email text UNIQUE, password_hash text);
        INSERT INTO tenants VALUES (1, 'mine');
        INSERT INTO users (tenant_id, email, password_hash) VALUES (1, 'me@mine.example', ''), (1, 'test-1-1@example.com', '');";
    client.batch_execute(mine).await.unwrap();
    let demo = Demo::start(settings()).await.unwrap();
    let counts = demo.counts().await.unwrap();
    assert_eq!(
        (counts.real_users, counts.test_users, counts.real_chats),
        (1, 100, 0),
        "no real rows are made up there"
    );
    demo.stop().await.unwrap();
    assert_eq!(
        (count(&client, tables).await, count(&client, "users").await, count(&client, "tenants").await),
        (2, 2, 1)
    );

    // A table of chats that was there loses those of the demo's users, and no other.
    let chats = "CREATE TABLE llm_usage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id text,
            tenant_id bigint, prompt text, model text, tokens integer, cost numeric, cached boolean,
            created_at timestamptz DEFAULT now());
        INSERT INTO llm_usage (user_id) VALUES ('me@mine.example'), ('test-1-1@example.com');";
    client.batch_execute(chats).await.unwrap();
    let demo = Demo::start_with(settings(), quick()).await.unwrap();
    let token = token(&demo, "test-2-1@example.com").await;
    post(&demo, "/api/llm/chat", &token, json!({ "prompt": "hello" })).await;
    client.batch_execute("INSERT INTO llm_usage (user_id) VALUES ('you@mine.example')").await.unwrap();
    assert_eq!(count(&client, "llm_usage").await, 4);
    demo.stop().await.unwrap();
    assert_eq!(count(&client, "llm_usage WHERE user_id LIKE '%@mine.example'").await, 2);
    assert_eq!(count(&client, "llm_usage").await, 3, "the test row that was there before is not the demo's");
    client.batch_execute("DROP TABLE llm_usage").await.unwrap();

    // What a killed demo left is known by its mark.
    client.batch_execute("DROP TABLE users, tenants").await.unwrap();
    let killed = Demo::start(settings()).await.unwrap();
    client
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pacecar demo'", &[])
        .await
        .unwrap();
    assert!(killed.stop().await.is_err());
    assert_eq!(count(&client, tables).await, 3);
    Demo::start(settings()).await.unwrap().stop().await.unwrap();
    assert_eq!(count(&client, tables).await, 0);

    // A table of that name and another shape is somebody else's.
    client.batch_execute("CREATE TABLE llm_usage (id int)").await.unwrap();
    let error = Demo::start(settings()).await.unwrap_err();
    assert!(matches!(error, DemoError::Store(StoreError::Taken("llm_usage"))), "{error:?}");
    assert_eq!(count(&client, tables).await, 1, "what was made on the way is gone again");
    tokio::task::spawn_blocking(|| drop(cluster)).await.unwrap();
}

#[tokio::test]
async fn what_cannot_start_says_why_without_a_secret() {
    let start = async |url: &str, port: Option<u16>| {
        Demo::start(DemoSettings { database_url: Some(url.to_owned()), port, ..DemoSettings::default() })
            .await
            .unwrap_err()
    };
    let error = start("postgres://u:hidden@127.0.0.1:1/d", None).await;
    assert!(
        matches!(error, DemoError::Store(StoreError::Connect(_))) && !format!("{error:?} {error}").contains("hidden")
    );
    assert!(matches!(start("hidden", None).await, DemoError::Store(StoreError::Url)));
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    assert!(matches!(start("postgres://u:hidden@127.0.0.1:1/d", Some(port)).await, DemoError::Bind { .. }));
}
