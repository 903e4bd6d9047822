//! The chat: one question to the language model, one committed row for each answer.

use super::Shared;
use super::auth::{Bearer, read};
use super::error::ApiError;
use super::llm::Call;
use super::telemetry::{self, prompting, querying};
use super::tokens::Session;
use axum::Extension;
use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use http_body::Frame;
use pacecar::middleware::Synthetic;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;

/// What the model is called.
const MODEL: &str = "demo-1";
/// The most events that a streamed answer comes in, besides the last.
const EVENTS: u32 = 20;
/// The share of the time until the first of them.
const FIRST: f64 = 0.3;

#[derive(Deserialize)]
struct Question {
    prompt: String,
    #[serde(default)]
    stream: bool,
}

/// A body whose parts come by a channel. It ends when the sender is dropped.
struct Events {
    parts: mpsc::Receiver<Bytes>,
}

// === impl Events ===

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.parts.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

// === handlers ===

/// `POST /api/llm/chat`
pub(super) async fn chat(
    State(shared): State<Arc<Shared>>,
    Bearer(session): Bearer,
    synthetic: Option<Extension<Synthetic>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let Question { prompt, stream } = read(body)?;
    let prompt = prompt.replace('\0', "");
    let synthetic = synthetic.map(|Extension(synthetic)| synthetic);
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let call = shared.llm.call(&prompt);
    if stream || accepts.contains("text/event-stream") {
        if call.failed {
            tokio::time::sleep(call.latency.mul_f64(FIRST)).await;
            return Err(ApiError::Upstream);
        }
        let (sender, parts) = mpsc::channel(4);
        // Ends with the answer, or as soon as nobody reads any more.
        let telling = tell(shared, session, synthetic, prompt, call, sender);
        tokio::spawn(telemetry::below(telemetry::current(), telling));
        let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
        return Ok((headers, Body::new(Events { parts })).into_response());
    }
    prompting(MODEL, tokio::time::sleep(call.latency)).await;
    if call.failed {
        return Err(ApiError::Upstream);
    }
    let id = record(&shared, &session, synthetic.as_ref(), &prompt, &call).await?;
    let mut answer = facts(id, &call);
    answer["answer"] = Value::from(words(call.completion_tokens));
    Ok(Json(answer).into_response())
}

/// `DELETE /api/chats/{id}`
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Bearer(session): Bearer,
    id: Result<Path<i64>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NotFound)?;
    let client = shared.connection().await?;
    let statement = client.prepare_cached("DELETE FROM llm_usage WHERE id = $1 AND user_id = $2").await?;
    match querying("DELETE llm_usage", client.execute(&statement, &[&id, &session.email])).await? {
        0 => Err(ApiError::NotFound),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

// === helpers ===

/// Writes the one row of an answer; it is committed when this returns.
async fn record(
    shared: &Shared,
    session: &Session,
    synthetic: Option<&Synthetic>,
    prompt: &str,
    call: &Call,
) -> Result<i64, ApiError> {
    let mut client = shared.connection().await?;
    let transaction = querying("BEGIN", client.transaction_for(synthetic)).await?;
    let sql = "INSERT INTO llm_usage (user_id, tenant_id, prompt, model, tokens, cost, cached)
        VALUES ($1, $2, $3, $4, $5, $6::float8::numeric, $7) RETURNING id";
    let statement = transaction.prepare_cached(sql).await?;
    let tokens = i32::try_from(call.prompt_tokens.saturating_add(call.completion_tokens)).unwrap_or(i32::MAX);
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&session.email, &session.tenant, &prompt, &MODEL, &tokens, &call.cost, &call.cached];
    let row = querying("INSERT llm_usage", transaction.query_one(&statement, &parameters)).await?;
    querying("COMMIT", transaction.commit()).await?;
    Ok(row.get(0))
}

fn facts(id: i64, call: &Call) -> Value {
    json!({
        "id": id,
        "model": MODEL,
        "usage": {
            "prompt_tokens": call.prompt_tokens,
            "completion_tokens": call.completion_tokens,
            "total_tokens": call.prompt_tokens.saturating_add(call.completion_tokens),
        },
        "cost": call.cost,
        "cached": call.cached,
    })
}

/// An answer of so many tokens, a word each.
fn words(tokens: u32) -> String {
    const WORDS: [&str; 8] = ["the", "tenant", "asked", "and", "the", "model", "answered", "this"];
    let words = WORDS.iter().cycle().take(usize::try_from(tokens).unwrap_or(0));
    words.fold(String::new(), |mut text, word| {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        text
    })
}

/// Streams an answer: words with gaps between them, then what it cost, then the end.
async fn tell(
    shared: Arc<Shared>,
    session: Session,
    synthetic: Option<Synthetic>,
    prompt: String,
    call: Call,
    sender: mpsc::Sender<Bytes>,
) {
    let event = |value: &Value| Bytes::from(format!("data: {value}\n\n"));
    let events = call.completion_tokens.clamp(1, EVENTS);
    let gap = call.latency.mul_f64((1.0 - FIRST) / f64::from(events));
    let streaming = async {
        tokio::time::sleep(call.latency.mul_f64(FIRST)).await;
        for number in 0..events {
            let share = call.completion_tokens / events + u32::from(number < call.completion_tokens % events);
            if sender.send(event(&json!({ "delta": words(share) }))).await.is_err() {
                return false;
            }
            tokio::time::sleep(gap).await;
        }
        true
    };
    if !prompting(MODEL, streaming).await {
        return;
    }
    // Whoever is gone by now was not answered.
    if sender.is_closed() {
        return;
    }
    let last = match record(&shared, &session, synthetic.as_ref(), &prompt, &call).await {
        Ok(id) => event(&facts(id, &call)),
        Err(_) => event(&json!({ "error": "database" })),
    };
    if sender.send(last).await.is_ok() {
        let _ = sender.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
    }
}
