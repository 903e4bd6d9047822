//! The task that empties the queue: batches, retries, and a fate for every part.

use super::collector::{Collector, CollectorError};
use super::queue::{Forward, ForwardStats, Kind, Part};
use super::transport::{Answer, Transport};
use crate::semconv::RunId;
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
    deadline: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

// === impl Forwarder ===

impl Forwarder {
    /// Starts to send, on the runtime where this is called. No connection is made before something waits.
    ///
    /// # Errors
    /// [`CollectorError::Variable`] where the certificate that `OTEL_EXPORTER_OTLP_CERTIFICATE` names is none.
    pub fn start(collector: Collector, run: RunId) -> Result<Self, CollectorError> {
        let transport = Transport::new(collector, run)?;
        let forward = Forward::new();
        let (deadline, deadlines) = watch::channel(None);
        let task = tokio::spawn(run(forward.clone(), transport, deadlines));
        Ok(Self { forward, deadline, task })
    }

    /// The way in.
    #[must_use]
    pub fn handle(&self) -> Forward {
        self.forward.clone()
    }

    /// Sends what waits, for at most `within`; then all that is without a fate is lost.
    pub async fn finish(mut self, within: Duration) -> ForwardStats {
        self.forward.close();
        let deadline = Instant::now() + within;
        self.deadline.send_replace(Some(deadline));
        let _ = time::timeout_at(deadline, &mut self.task).await;
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
