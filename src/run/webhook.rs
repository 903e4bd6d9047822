//! Webhooks: who is told beside the log when an alert fires, and when it clears.
//!
//! Each address has a task and a short queue of its own: one that is dead delays neither the others
//! nor the run. An address may itself be a secret, so no log has more of it than its origin.

use super::completed::chain;
use crate::correlate::{Protocol, Trust, Wire, WireError, authority, basic, trusting};
use crate::measure::Slos;
use crate::measure::slo::AlertChange;
use crate::semconv::{self, RunId};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;
use url::Url;

/// Notices that may wait for one address.
const WAITING: usize = 32;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited before each further try.
const AGAIN: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// How long the last notices may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Tells the addresses that alerts name. Its tasks end with it.
#[derive(Debug)]
pub(super) struct Webhooks {
    plan: String,
    run: RunId,
    queues: BTreeMap<String, mpsc::Sender<Bytes>>,
    tasks: JoinSet<()>,
}

/// One address.
struct Address {
    url: Url,
    wire: Wire,
}

#[derive(Debug, Error)]
enum Trouble {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no answer within {PATIENCE:?}")]
    Timeout,
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
}

// === impl Webhooks ===

impl Webhooks {
    /// For the alerts of these objectives.
    pub(super) fn start(slos: &Slos, plan: &str, run: RunId) -> Self {
        let mut this = Self { plan: plan.to_owned(), run, queues: BTreeMap::new(), tasks: JoinSet::new() };
        for text in slos.items().iter().flat_map(|slo| &slo.alerts).filter_map(|alert| alert.webhook.as_ref()) {
            // Reading the plan refused what is none.
            let Ok(url) = Url::parse(text) else { continue };
            if !this.queues.contains_key(text) {
                let (queue, notices) = mpsc::channel(WAITING);
                this.queues.insert(text.clone(), queue);
                this.tasks.spawn(serve(url, notices));
            }
        }
        this
    }

    /// Tells of an alert, where it names an address. Never waits.
    pub(super) fn tell(&self, change: &AlertChange) {
        let Some(queue) = change.webhook.as_ref().and_then(|text| self.queues.get(text)) else { return };
        let notice = Bytes::from(self.notice(change).to_string());
        if queue.try_send(notice).is_err() {
            let (slo, severity) = (&change.slo, change.alert.severity.as_str());
            tracing::warn!(slo, severity, "the webhook is too slow: it was not told");
        }
    }

    /// No more comes: waits for the last ones, for a moment.
    pub(super) async fn finish(mut self) {
        self.queues.clear();
        let _ = time::timeout(LAST_WORDS, async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    fn notice(&self, change: &AlertChange) -> serde_json::Value {
        let AlertChange { slo, good, objective, alert, burns: [long, short], budget_remaining, .. } = change;
        let (severity, fires) = (alert.severity.as_str(), alert.firing.is_some());
        let text = if fires {
            format!(
                "{severity}: the error budget of {slo} ({objective} % of {good}) burns {long:.1} times too fast over {}, \
                 {short:.1} times over {}; {:.1} % of it is left. Plan {}.",
                alert.long,
                alert.short,
                budget_remaining * 100.0,
                self.plan
            )
        } else {
            format!("resolved: the {severity} of {slo} over {} and {}. Plan {}.", alert.long, alert.short, self.plan)
        };
        json!({
            "version": 1,
            "status": if fires { "firing" } else { "resolved" },
            "plan": self.plan,
            "run": self.run.to_string(),
            "slo": slo,
            "good": good,
            "objective": objective,
            "severity": severity,
            "burn": alert.burn,
            "long": { "window": alert.long, "burn_rate": long },
            "short": { "window": alert.short, "burn_rate": short },
            "error_budget_remaining": budget_remaining,
            "at": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            "text": text,
        })
    }
}

// === impl Address ===

impl Address {
    /// Certificates are read from the disk: on a thread that may wait for it.
    async fn open(url: Url) -> Option<Self> {
        let secure = url.scheme() == "https";
        let tls = tokio::task::spawn_blocking(move || secure.then(|| trusting(&Trust::default(), b"http/1.1")));
        match tls.await {
            Ok(None) => Some(Self { url, wire: Wire::new(Protocol::Http, None) }),
            Ok(Some(Ok(tls))) => Some(Self { url, wire: Wire::new(Protocol::Http, Some(tls)) }),
            Ok(Some(Err(problem))) => {
                tracing::warn!(problem, "the webhook cannot be told");
                None
            }
            Err(_) => None,
        }
    }

    /// One notice, some times where it is not taken.
    async fn tell(&mut self, notice: Bytes) {
        let mut pauses = AGAIN.into_iter();
        loop {
            let trouble = match self.post(notice.clone()).await {
                Ok(status) if status.is_success() => return,
                Ok(status) => Trouble::Status(status),
                Err(trouble) => trouble,
            };
            let for_ever = match &trouble {
                Trouble::Status(status) => !matches!(status.as_u16(), 408 | 425 | 429 | 500..=599),
                Trouble::Request(_) => true,
                Trouble::Wire(_) | Trouble::Timeout => false,
            };
            let (server, error) = (self.url.origin().ascii_serialization(), chain(&trouble));
            let Some(pause) = pauses.next().filter(|_| !for_ever) else {
                tracing::warn!(server, %error, "the webhook did not take an alert");
                return;
            };
            tracing::debug!(server, %error, again = ?pause, "the webhook did not take an alert yet");
            time::sleep(pause).await;
        }
    }

    async fn post(&mut self, notice: Bytes) -> Result<StatusCode, Trouble> {
        let path =
            self.url.query().map_or_else(|| self.url.path().to_owned(), |query| format!("{}?{query}", self.url.path()));
        let mut request = Request::builder().method(Method::POST).uri(path).header(HOST, authority(&self.url));
        if let Some(headers) = request.headers_mut() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(USER_AGENT, HeaderValue::from_static(semconv::USER_AGENT));
            headers.extend(basic(&self.url).map(|basic| (AUTHORIZATION, basic)));
        }
        let request = request.body(Full::new(notice))?;
        match time::timeout(PATIENCE, self.wire.exchange(&self.url, request)).await {
            Ok(reply) => Ok(reply?.0.status),
            Err(_) => Err(Trouble::Timeout),
        }
    }
}

/// Ends when nobody tells any more, and all was told.
async fn serve(url: Url, mut notices: mpsc::Receiver<Bytes>) {
    let Some(mut address) = Address::open(url).await else { return };
    while let Some(notice) = notices.recv().await {
        address.tell(notice).await;
    }
}
