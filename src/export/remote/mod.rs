//! `prometheus-rw=URL`: Prometheus' remote write 1.0, with k6's names.
//!
//! Each push has the whole of each series so far, as a scrape would: a push that is not taken costs resolution, and
//! nothing is lost as long as a later one is taken.

mod config;
mod encode;

pub use config::RemoteWrite;

use super::error::OutputError;
use super::news::News;
use super::push::{Pushed, Pusher};
use super::queue::Tally;
use super::series::Series;
use super::sink::{Closing, Sink};
use super::tags::Tagging;
use crate::measure::WallClock;
use encode::Encoder;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{self, Instant};

/// For one request: k6's.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A series that does not change is sent again: past five minutes Prometheus takes it for gone.
const AGAIN: Duration = Duration::from_secs(60);
/// For the last push.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(250);
/// Prometheus keeps times in milliseconds.
const MS_OF_SECOND: f64 = 1_000.0;

/// Sends series.
pub(super) struct RemoteSink {
    series: Series,
    encoder: Encoder,
    pusher: Pusher,
    target: String,
    clock: WallClock,
    stale_markers: bool,
    /// The time of the last push, since the Unix epoch in ms: the next one must be later.
    last: i64,
    /// Whether what was taken in has been sent.
    settled: bool,
    tally: Arc<Tally>,
    closing: Closing,
}

// === impl RemoteSink ===

impl RemoteSink {
    /// No connection is made before something is to be sent.
    ///
    /// # Errors
    /// [`OutputError::Tls`]
    pub(super) fn open(
        config: &RemoteWrite,
        tagging: &Arc<Tagging>,
        clock: WallClock,
        tally: Arc<Tally>,
        closing: Closing,
    ) -> Result<Self, OutputError> {
        Ok(Self {
            series: Series::new(tagging, MS_OF_SECOND),
            encoder: Encoder::new(tagging, config.trends.clone()),
            pusher: Pusher::new("prometheus-rw", &config.url, config.headers.clone(), &config.trust, TIMEOUT)?,
            target: config.target(),
            clock,
            stale_markers: config.stale_markers,
            last: 0,
            settled: true,
            tally,
            closing,
        })
    }

    /// Sends what changed, and what was not sent for long. Whether the server has it.
    async fn push(&mut self) -> Pushed {
        let now = Instant::now();
        let due = |sent: Option<Instant>| sent.is_none_or(|sent| now.saturating_duration_since(sent) >= AGAIN);
        let time = self.now();
        let bodies = self.encoder.encode(&self.series, time, |cell| cell.changed || due(cell.sent));
        let points = self.series.pending();
        let pushed = self.post(bodies).await;
        if pushed == Pushed::Taken {
            self.tally.wrote(points);
            self.series
                .cells_mut()
                .filter(|cell| cell.changed || due(cell.sent))
                .for_each(|cell| cell.settle(now, false));
            self.settled = true;
        } else {
            self.series.give_back(points);
        }
        pushed
    }

    async fn post(&mut self, bodies: Vec<bytes::Bytes>) -> Pushed {
        for body in bodies {
            let pushed = self.pusher.post(&self.target, body).await;
            if pushed != Pushed::Taken {
                return pushed;
            }
        }
        Pushed::Taken
    }

    /// The time of a push in ms since the Unix epoch: later than any before.
    fn now(&mut self) -> i64 {
        let now = i64::try_from(self.clock.unix(Instant::now()).as_millis()).unwrap_or(i64::MAX);
        self.last = now.max(self.last + 1);
        self.last
    }
}

impl Sink for RemoteSink {
    fn take(&mut self, news: &News, part: &Range<usize>) -> bool {
        self.series.take(news, part);
        self.settled = false;
        false
    }

    async fn flush(&mut self) {
        self.push().await;
    }

    async fn finish(&mut self) {
        // What did not work while there was time is not waited for at the end.
        let hopeless = self.pusher.is_failing();
        let began = Instant::now();
        while !self.settled && self.push().await == Pushed::NotNow && !hopeless && began.elapsed() < LAST_PATIENCE {
            time::sleep(PAUSE).await;
        }
        if self.stale_markers && self.settled && self.closing.is_now() {
            let time = self.now();
            let bodies = self.encoder.stale(&self.series, time);
            self.post(bodies).await;
        }
    }
}
