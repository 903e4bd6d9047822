//! An API on axum that embeds pacecar, both ways.
//!
//! The layers around its router know pacecar's requests from its customers', and turn them away first when the API is
//! busy. And a run inside the process drives that very router with a plan, without a socket, as its tests do:
//!
//! ```text
//! cargo run --example embed_axum --features engine,limit           # the run, and what it came to
//! cargo run --example embed_axum --features engine,limit -- serve  # the API on 127.0.0.1:8080, for a sidecar
//! cargo test --example embed_axum --features engine,limit          # the test at the end
//! ```
#![allow(clippy::print_stdout, reason = "the result of an example")]

use axum::extract::{Extension, Json, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Router, response::IntoResponse};
use pacecar::middleware::{InFlightLayer, LimitLayer, Synthetic, SyntheticLayer, YieldLayer};
use pacecar::run::{Run, Verdict};
use pacecar::semconv::Secret;
use serde_json::{Value, json};
use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

/// What the sidecar plays against this API in staging: the same file would do.
const PLAN: &str = r#"
name: embedded
tenants: { count: 3, users: 2 }
workflow:
  - name: login
    request: POST /auth/v1/token
    json: { email: "{{ user.email }}", password: "{{ user.password }}" }
    expect: { status: 200 }
    capture: { token: $.access_token }
  - name: profile
    request: GET /api/user/profile
    auth: { bearer: "{{ token }}" }
    expect: { status: 200, json: { $.tenant: "{{ tenant.id }}" } }
scenarios:
  tenants: { executor: shared-iterations, vus: 4, iterations: 100 }
thresholds:
  checks: ["rate==1"]
  http_req_failed: ["rate==0"]
"#;

/// The API with its layers, the outermost last.
fn app() -> Result<Router, Box<dyn Error>> {
    let in_flight = InFlightLayer::new();
    let pressure = in_flight.in_flight();
    let mut synthetic = SyntheticLayer::new();
    // With PACECAR_SECRET here and at the generator, nobody else can pass for synthetic.
    if let Some(secret) = Secret::from_env()? {
        synthetic = synthetic.secret(secret);
    }
    let ceiling = NonZeroU32::new(1_000).unwrap_or(NonZeroU32::MIN);
    Ok(Router::new()
        .route("/auth/v1/token", post(login))
        .route("/api/user/profile", get(profile))
        .layer(in_flight)
        .layer(LimitLayer::per_second(ceiling))
        .layer(YieldLayer::new(pressure.above(200)).or(pressure.slower_than(Duration::from_millis(500))))
        .layer(synthetic))
}

async fn login(Json(body): Json<Value>) -> Json<Value> {
    // Whoever is `test-2-1@example.com` gets a token that says tenant 2.
    let tenant = body["email"].as_str().and_then(|email| email.split('-').nth(1)).unwrap_or("0");
    Json(json!({ "access_token": format!("token-{tenant}") }))
}

async fn profile(headers: HeaderMap, synthetic: Option<Extension<Synthetic>>, _: Request) -> impl IntoResponse {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(tenant) = token.strip_prefix("Bearer token-") else { return StatusCode::UNAUTHORIZED.into_response() };
    // What the handler does for a real tenant and must not do for a synthetic one, it knows here.
    let bill = synthetic.is_none();
    Json(json!({ "tenant": tenant, "billed": bill })).into_response()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
        return Ok(axum::serve(listener, app()?).await?);
    }
    let result = Run::from_plan(PLAN).target(app()?).execute().await?;
    println!("{result}");
    if result.verdict == Verdict::Fail { Err("a threshold failed".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tenant_workflow_holds() -> Result<(), Box<dyn Error>> {
        let result = Run::from_plan(PLAN).target(app()?).execute().await?;
        // On a machine that is too busy to measure anything it is `Invalid`, which is no failure of the API.
        assert_ne!(result.verdict, Verdict::Fail, "{result}");
        Ok(())
    }
}
