//! Login, signup and profile.

use super::Shared;
use super::error::ApiError;
use super::telemetry::querying;
use super::tokens::{LIFETIME, Session};
use crate::demo::store::hash_password;
use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Query, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use http::request::Parts;
use http::{StatusCode, header};
use pacecar::middleware::Synthetic;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

/// Who asks, by the bearer token.
pub(super) struct Bearer(pub(super) Session);

// === impl Bearer ===

impl FromRequestParts<Arc<Shared>> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = value.and_then(|value| value.split_once(' ')).ok_or(ApiError::Token)?;
        let session = scheme.eq_ignore_ascii_case("bearer").then(|| shared.tokens.find(token.trim())).flatten();
        session.map(Self).ok_or(ApiError::Token)
    }
}

// === handlers ===

/// `POST /auth/v1/token?grant_type=password`
pub(super) async fn token(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<HashMap<String, String>>, axum::extract::rejection::QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let grant = query.ok().and_then(|Query(mut query)| query.remove("grant_type"));
    if grant.as_deref() != Some("password") {
        return Err(ApiError::Invalid("grant_type must be `password`"));
    }
    let Credentials { email, password } = read(body)?;
    let known = {
        let client = shared.connection().await?;
        let statement =
            client.prepare_cached("SELECT id, tenant_id, password_hash FROM users WHERE email = $1").await?;
        querying("SELECT users", client.query_opt(&statement, &[&email.replace('\0', "")])).await?
        // The connection goes back before the hashing: that needs no database.
    };
    let hash = known.as_ref().map_or_else(|| shared.nobody.clone(), |row| row.get(2));
    let (fits, fresh) = blocking(move || {
        let parsed = PasswordHash::new(&hash).ok();
        let fits = parsed.is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        (fits, argon2::password_hash::try_generate_salt().ok())
    })
    .await?;
    let (Some(row), true) = (known, fits) else { return Err(ApiError::Credentials) };
    let fresh = fresh.ok_or(ApiError::Internal)?.iter().map(|byte| format!("{byte:02x}")).collect();
    let (id, tenant): (i64, i64) = (row.get(0), row.get(1));
    let token = shared.tokens.issue(Session { email: email.clone(), tenant }, fresh);
    Ok(Json(json!({
        "access_token": token,
        "token_type": "bearer",
        "expires_in": LIFETIME.as_secs() / 2,
        "user": { "id": id, "email": email, "tenant": tenant },
    })))
}

/// `POST /auth/v1/signup`
pub(super) async fn signup(
    State(shared): State<Arc<Shared>>,
    synthetic: Option<Extension<Synthetic>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Credentials { email, password } = read(body)?;
    let shape = email.len() <= 320 && email.contains('@') && !email.contains(|c: char| c.is_control() || c == ' ');
    if !shape || password.is_empty() {
        return Err(ApiError::Invalid("an email and a password are needed"));
    }
    let tenant = tenant_of(&email);
    let hash = blocking(move || hash_password(password.as_bytes())).await?.map_err(|_| ApiError::Internal)?;
    let mut client = shared.connection().await?;
    let synthetic = synthetic.as_deref();
    let transaction = querying("BEGIN", client.transaction_for(synthetic)).await?;
    let sql = "INSERT INTO tenants (id, name) VALUES ($1, 'test-' || $1::bigint) ON CONFLICT DO NOTHING";
    let statement = transaction.prepare_cached(sql).await?;
    querying("INSERT tenants", transaction.execute(&statement, &[&tenant])).await?;
    let sql = "INSERT INTO users (tenant_id, email, password_hash) VALUES ($1, $2, $3)
        ON CONFLICT (email) DO NOTHING RETURNING id";
    let statement = transaction.prepare_cached(sql).await?;
    let inserted = querying("INSERT users", transaction.query_opt(&statement, &[&tenant, &email, &hash])).await?;
    // Who is there already keeps the tenant too.
    let row = inserted.ok_or(ApiError::Conflict)?;
    querying("COMMIT", transaction.commit()).await?;
    let user = json!({ "id": row.get::<_, i64>(0), "email": email, "tenant": tenant });
    Ok((StatusCode::CREATED, Json(json!({ "user": user }))))
}

/// `GET /api/user/profile`
pub(super) async fn profile(
    State(shared): State<Arc<Shared>>,
    Bearer(session): Bearer,
) -> Result<Json<Value>, ApiError> {
    let client = shared.connection().await?;
    let sql = "SELECT u.id, t.id, t.name, pg_sleep($2)::text
        FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.email = $1";
    let statement = client.prepare_cached(sql).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&session.email, &shared.query.as_secs_f64()];
    let found = querying("SELECT users tenants", client.query_opt(&statement, &parameters)).await?;
    // Gone since the login: the token is worth nothing any more.
    let row = found.ok_or(ApiError::Token)?;
    Ok(Json(json!({
        "id": row.get::<_, i64>(0),
        "email": session.email,
        "tenant": row.get::<_, i64>(1),
        "tenant_name": row.get::<_, &str>(2),
    })))
}

// === helpers ===

/// Reads a JSON body, whatever the content type says.
pub(super) fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, ApiError> {
    let body = body.map_err(|error| match error.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
        _ => ApiError::Invalid("the body could not be read"),
    })?;
    serde_json::from_slice(&body).map_err(|_| ApiError::Invalid("the body is not the JSON that is needed"))
}

/// Runs what takes the processor for long where it is in nobody's way.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::Internal)
}

/// The tenant of a new user: `test-T-U@…` is of tenant T, anybody else of the first.
fn tenant_of(email: &str) -> i64 {
    let number =
        email.strip_prefix("test-").and_then(|rest| rest.split_once('-')).and_then(|(tenant, _)| tenant.parse().ok());
    number.filter(|tenant| (1..1_000_000).contains(tenant)).unwrap_or(1)
}
