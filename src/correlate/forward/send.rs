//! The task that empties the queue: batches, retries, and a fate for every part.

use super::collector::{Collector, CollectorError};
use super::queue::{Forward, ForwardStats, Part};
use super::transport::{Answer, Transport, Trouble};
use crate::semconv::RunId;
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};

/// Bytes sent in one request, where the parts are smaller. A collector takes 20 MB.
const BATCH: usize = 1 << 20;
/// A batch is tried for so long, then it is lost and the next one has its turn.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first pause between two tries; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause, also where the collector asks for a longer one.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Sends what is queued on to a collector. Dropped, it stops at once, and what waits is lost.
#[derive(Debug)]
pub struct Forwarder {
    forward: Forward,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// The task's own state.
struct Sender {
    forward: Forward,
    transport: Transport,
    closing: watch::Receiver<bool>,
    /// Whether the last request failed: told when it changes, not each time.
    failing: bool,
}

/// What becomes of a batch.
enum Fate {
    /// The collector has it, less so many spans.
    Acknowledged(u64),
    /// It will not take all of it.
    Refused,
    /// It did not take it in time.
    Lost,
}

// === impl Forwarder ===

impl Forwarder {
    /// Starts to send for `run`, on the runtime where this is called. No connection is made before something waits.
    ///
    /// # Errors
    /// [`CollectorError::Variable`] where the certificate that `OTEL_EXPORTER_OTLP_CERTIFICATE` names is none.
    pub fn start(collector: Collector, run: RunId) -> Result<Self, CollectorError> {
        let transport = Transport::new(collector, run)?;
        let forward = Forward::new();
        let (closing, closes) = watch::channel(false);
        let sender = Sender { forward: forward.clone(), transport, closing: closes, failing: false };
        Ok(Self { forward, closing, task: tokio::spawn(sender.run()) })
    }

    /// The way in.
    #[must_use]
    pub fn handle(&self) -> Forward {
        self.forward.clone()
    }

    /// Sends what waits, for at most `within`; then all that is without a fate is lost.
    pub async fn finish(mut self, within: Duration) -> ForwardStats {
        self.forward.close();
        self.closing.send_replace(true);
        let _ = time::timeout(within, &mut self.task).await;
        self.task.abort();
        self.forward.abandon();
        self.forward.stats()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
        self.forward.abandon();
    }
}

// === impl Sender ===

impl Sender {
    /// Sends until the queue is closed and empty.
    async fn run(mut self) {
        while let Some(batch) = self.forward.batch(BATCH).await {
            // One bad message must not take its neighbours with it: what is refused is halved until it is alone.
            let mut work = vec![batch];
            while let Some(mut parts) = work.pop() {
                match self.deliver(&parts).await {
                    Fate::Acknowledged(mut rejected) => {
                        for part in &parts {
                            let lost = rejected.min(part.count);
                            rejected -= lost;
                            self.forward.settle(part, lost);
                        }
                    }
                    Fate::Refused if parts.len() > 1 => {
                        work.push(parts.split_off(parts.len() / 2));
                        work.push(parts);
                    }
                    Fate::Refused | Fate::Lost => parts.iter().for_each(|part| self.forward.settle(part, part.count)),
                }
            }
        }
    }

    async fn deliver(&mut self, parts: &[Part]) -> Fate {
        let Some(signal) = parts.first().map(|part| part.signal) else { return Fate::Acknowledged(0) };
        let body = join(parts);
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.transport.send(signal, &body).await {
                Answer::Acknowledged { rejected } => {
                    self.note(None);
                    return Fate::Acknowledged(rejected);
                }
                Answer::Refused(why) => {
                    self.note(Some(&why));
                    return Fate::Refused;
                }
                Answer::Later { after, why } => {
                    self.note(Some(&why));
                    // Jitter: pacecars that lost one collector together do not come back together.
                    let wait = after.unwrap_or_else(|| pause.mul_f64(0.75 + fastrand::f64() / 2.0)).min(MAX_PAUSE);
                    if began.elapsed() + wait > PATIENCE {
                        return Fate::Lost;
                    }
                    self.wait(wait).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Waits before the next try: not for long once the end has come.
    async fn wait(&mut self, wait: Duration) {
        let last = FIRST_PAUSE.min(wait);
        if *self.closing.borrow_and_update() {
            return time::sleep(last).await;
        }
        tokio::select! {
            () = time::sleep(wait) => {}
            _ = self.closing.changed() => time::sleep(last).await,
        }
    }

    fn note(&mut self, trouble: Option<&Trouble>) {
        let collector = self.transport.origin();
        match trouble {
            Some(why) if !self.failing => {
                let error: &dyn std::error::Error = why;
                tracing::warn!(collector, error, "the collector does not take what is forwarded");
            }
            None if self.failing => tracing::info!(collector, "the collector takes what is forwarded again"),
            _ => {}
        }
        self.failing = trouble.is_some();
    }
}

/// One request of several. Protobuf joins lists when messages are put one behind the other, byte for byte as they
/// were.
fn join(parts: &[Part]) -> Bytes {
    match parts {
        [part] => part.body.clone(),
        parts => {
            let mut joined = Vec::with_capacity(parts.iter().map(|part| part.body.len()).sum());
            parts.iter().for_each(|part| joined.extend_from_slice(&part.body));
            joined.into()
        }
    }
}
