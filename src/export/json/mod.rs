//! `json=FILE`: k6's NDJSON, a line for each metric before its first point, and a line for each point.
//!
//! What cannot be written is lost and leaves no half a line: a chunk of whole lines is written or taken back.

mod gzip;
mod line;
mod place;

pub use place::JsonPlace;

use super::error::OutputError;
use super::news::News;
use super::queue::Tally;
use super::sink::Sink;
use super::tags::Tagging;
use crate::measure::{Thresholds, WallClock};
use line::Lines;
use place::Opened;
use std::ops::Range;
use std::sync::Arc;

/// Bytes that are written at once.
const CHUNK: usize = 64 << 10;

/// Writes NDJSON.
pub(super) struct JsonSink {
    tagging: Arc<Tagging>,
    lines: Lines,
    opened: Opened,
    tally: Arc<Tally>,
    chunk: Vec<u8>,
    /// Points in the chunk.
    points: u64,
    /// Whether the run has begun: before, what is in the file stays there.
    begun: bool,
    /// Whether the last write failed: told when it changes, not each time.
    failing: bool,
}

// === impl JsonSink ===

impl JsonSink {
    /// Opens `place`. What is in a file stays there until the run begins.
    ///
    /// # Errors
    /// [`OutputError::Open`]
    pub(super) fn open(
        place: &JsonPlace,
        tagging: &Arc<Tagging>,
        thresholds: &Thresholds,
        clock: WallClock,
        tally: Arc<Tally>,
    ) -> Result<Self, OutputError> {
        Ok(Self {
            tagging: Arc::clone(tagging),
            lines: Lines::new(tagging, thresholds, clock),
            opened: Opened::open(place)?,
            tally,
            chunk: Vec::with_capacity(CHUNK + CHUNK / 4),
            points: 0,
            begun: false,
            failing: false,
        })
    }

    /// Writes the chunk, or gives it up.
    fn write(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let points = std::mem::take(&mut self.points);
        match self.opened.write(&self.chunk) {
            Ok(()) => {
                self.tally.wrote(points);
                self.lines.settle(true);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(file = %self.opened.place(), "points are written again");
                }
            }
            Err(error) => {
                self.lines.settle(false);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(file = %self.opened.place(), %error, "points cannot be written");
                }
            }
        }
        self.chunk.clear();
    }
}

impl Sink for JsonSink {
    fn take(&mut self, news: &News, part: &Range<usize>) -> bool {
        if matches!(news, News::Begin) && !self.begun {
            self.begun = true;
            self.opened.begin();
        }
        let tagging = Arc::clone(&self.tagging);
        news.each(part, &tagging, |points| {
            for (metric, value) in points.values {
                for _ in 0..points.count {
                    self.lines.point(*metric, points.class, points.at, *value, &mut self.chunk);
                    self.points += 1;
                    if self.chunk.len() >= CHUNK {
                        self.write();
                    }
                }
            }
        });
        self.write();
        false
    }

    async fn flush(&mut self) {}

    async fn finish(&mut self) {
        if self.begun
            && let Err(error) = self.opened.finish()
        {
            tracing::warn!(file = %self.opened.place(), %error, "the file could not be ended");
        }
    }
}
