//! `influxdb=URL/DB`: InfluxDB's line protocol, with k6's measurements, tags and fields.
//!
//! Version 1 takes it at `/write`; so do 2 and 3, with a token. With an organization it goes to 2's own `/api/v2/write`.

mod config;
mod line;

pub use config::InfluxDb;

use super::error::OutputError;
use super::news::News;
use super::push::{Pushed, Pusher};
use super::queue::Tally;
use super::sink::{Closing, Sink};
use super::tags::Tagging;
use crate::measure::WallClock;
use bytes::Bytes;
use line::Lines;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{self, Instant};

/// Lines of one request: InfluxDB's own advice is 5,000 to 10,000.
const MOST_LINES: u64 = 10_000;
/// For one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Lines are tried for so long; meanwhile others wait, and past the bound of the queue they are lost. Where the ones
/// before were given up, the next are tried once: a backlog that nobody takes is of no use to anybody.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same once the run is over.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// The first pause between two tries; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Writes lines to an InfluxDB.
pub(super) struct InfluxSink {
    tagging: Arc<Tagging>,
    lines: Lines,
    pusher: Pusher,
    /// Where lines are posted, and where a database is made; none where it must be there.
    write: String,
    create: Option<String>,
    /// Whether the server was asked to make the database.
    created: bool,
    /// Bodies that are full, and how many points each has.
    full: Vec<(Bytes, u64)>,
    tally: Arc<Tally>,
    closing: Closing,
}

// === impl InfluxSink ===

impl InfluxSink {
    /// No connection is made before something is to be written.
    ///
    /// # Errors
    /// [`OutputError::Tls`]
    pub(super) fn open(
        config: &InfluxDb,
        tagging: &Arc<Tagging>,
        clock: WallClock,
        tally: Arc<Tally>,
        closing: Closing,
    ) -> Result<Self, OutputError> {
        Ok(Self {
            tagging: Arc::clone(tagging),
            lines: Lines::new(tagging, config, clock),
            pusher: Pusher::new("influxdb", &config.url, config.headers.clone(), &config.trust, TIMEOUT)?,
            write: config.write_target(),
            create: config.create_target(),
            created: false,
            full: Vec::new(),
            tally,
            closing,
        })
    }

    /// Sends a body until the server has it, or there is no hope for it.
    async fn deliver(&mut self, body: &Bytes) -> bool {
        let began = Instant::now();
        let hopeless = self.pusher.is_failing();
        let mut pause = FIRST_PAUSE;
        loop {
            let pushed = match self.make_database().await {
                Pushed::Taken => self.pusher.post(&self.write, body.clone()).await,
                not => not,
            };
            match pushed {
                Pushed::Taken => return true,
                Pushed::Never => return false,
                Pushed::NotNow => {}
                // Somebody dropped it, or it never was.
                Pushed::Missing if self.create.is_some() => self.created = false,
                Pushed::Missing => return false,
            }
            if self.closing.is_now() {
                // What did not work while there was time is not waited for at the end.
                if hopeless || began.elapsed() > LAST_PATIENCE {
                    return false;
                }
                time::sleep(FIRST_PAUSE).await;
            } else {
                if hopeless || began.elapsed() + pause > PATIENCE {
                    return false;
                }
                // Jitter: those that lost one server together do not come back together.
                self.closing.sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }

    /// Asks for the database once. That the server does not make it is no trouble yet: it may be there.
    async fn make_database(&mut self) -> Pushed {
        let Some(create) = self.create.as_ref().filter(|_| !self.created) else { return Pushed::Taken };
        match self.pusher.post(create, Bytes::new()).await {
            Pushed::NotNow => Pushed::NotNow,
            _ => {
                self.created = true;
                Pushed::Taken
            }
        }
    }
}

impl Sink for InfluxSink {
    fn take(&mut self, news: &News, part: &Range<usize>) -> bool {
        let tagging = Arc::clone(&self.tagging);
        news.each(part, &tagging, |points| {
            for (metric, value) in points.values {
                for _ in 0..points.count {
                    self.lines.point(*metric, points.class, points.at, *value);
                    if self.lines.count() >= MOST_LINES {
                        self.full.push(self.lines.take());
                    }
                }
            }
        });
        !self.full.is_empty()
    }

    async fn flush(&mut self) {
        if self.lines.count() > 0 {
            self.full.push(self.lines.take());
        }
        self.lines.forget();
        for (body, points) in std::mem::take(&mut self.full) {
            if self.deliver(&body).await {
                self.tally.wrote(points);
            }
        }
    }

    async fn finish(&mut self) {
        self.flush().await;
    }
}
