//! Whether a worker got the CPU when it was ready to run.
//!
//! In a closed model nothing is late: an iteration is due when the one before it ended, and a generator that stood
//! still sees that end late, as if the target had been slow. So each worker listens to a beat of its own. One that
//! comes late although the worker did not use the CPU meanwhile (stopped, throttled, crowded out) is time in which
//! every answer waited to be read, and that the response times hold as the target's.
//!
//! Ten beats a second: a canary does not feel them.

use crate::measure::RecorderHandle;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const BEAT: Duration = Duration::from_millis(100);
/// A beat that is late by less is in time: fidelity's bound for lag.
const LATE: Duration = Duration::from_millis(50);

/// The beat of one worker.
#[derive(Debug)]
pub(super) struct Metronome {
    recorder: RecorderHandle,
    /// When the next beat is due.
    next: Instant,
    /// The thread's CPU time at the last one.
    cpu: Duration,
}

// === impl Metronome ===

impl Metronome {
    /// Of a worker whose load begins at `start`. Made in its thread.
    pub(super) fn new(start: Instant, recorder: RecorderHandle) -> Self {
        Self { recorder, next: start + BEAT, cpu: thread_cpu() }
    }

    /// Listens until it is dropped.
    pub(super) async fn listen(&mut self) {
        loop {
            sleep_until(self.next).await;
            self.beat();
        }
    }

    /// Counts the beat that is due, or that came due while all else ended: a worker that got no CPU until its time
    /// was over has heard none before.
    pub(super) fn beat(&mut self) {
        let (now, used) = (Instant::now(), thread_cpu());
        let starved = starved(now.saturating_duration_since(self.next), used.saturating_sub(self.cpu));
        if !starved.is_zero() {
            self.recorder.starved(starved);
        }
        (self.cpu, self.next) = (used, now + BEAT);
    }
}

/// Of a beat that was late: the time in which the worker did not run though it was ready to.
fn starved(late: Duration, used: Duration) -> Duration {
    if late <= LATE { Duration::ZERO } else { late.saturating_sub(used) }
}

/// The CPU time of this thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::measure::{LayoutBuilder, Recorder, Totals};
    use std::sync::Arc;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_late_beat_is_starved_but_for_what_the_worker_ran() {
        assert_eq!(starved(ms(50), ms(0)), ms(0));
        assert_eq!(starved(ms(2000), ms(10)), ms(1990));
        assert_eq!(starved(ms(300), ms(390)), ms(0), "it was busy, not starved");
    }

    #[test]
    fn a_thread_that_only_woke_for_the_end_is_seen() {
        let (layout, start) = (LayoutBuilder::new(Vec::new()).build(), Instant::now());
        let recorder = RecorderHandle::new(Recorder::new(Arc::clone(&layout), start));
        let mut metronome = Metronome::new(start, recorder.clone());
        metronome.beat();
        std::thread::sleep(ms(400));
        metronome.beat();
        let mut totals = Totals::new(Arc::clone(&layout), start);
        totals.merge(&recorder.swap(Recorder::new(layout, start)));
        assert!(totals.starved() >= ms(200), "{:?}", totals.starved());
    }

    #[test]
    fn a_thread_that_stands_still_is_seen() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (layout, start) = (LayoutBuilder::new(Vec::new()).build(), Instant::now());
        let recorder = RecorderHandle::new(Recorder::new(Arc::clone(&layout), start));
        let stand_still = async {
            tokio::time::sleep(ms(20)).await;
            std::thread::sleep(ms(400));
            tokio::time::sleep(ms(20)).await;
        };
        runtime.block_on(async {
            let mut metronome = Metronome::new(start, recorder.clone());
            tokio::select! { () = stand_still => {} () = metronome.listen() => {} }
        });
        let mut totals = Totals::new(Arc::clone(&layout), start);
        totals.merge(&recorder.swap(Recorder::new(layout, start)));
        // It was due at 100 ms at the latest, of at least 420.
        assert!(totals.starved() >= ms(200), "{:?}", totals.starved());
    }
}
