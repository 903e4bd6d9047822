//! Looks again and again, one look at a time.

use super::super::timelines::Told;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{self, MissedTickBehavior};

/// Something that can be looked at.
pub(super) trait Source: Send {
    /// Why a look failed. Shows no secret.
    type Trouble: Display + Send;

    /// As the plan names it: `correlate.redis`.
    fn name(&self) -> String;

    /// One look.
    fn look(&mut self) -> impl Future<Output = Result<Vec<Told>, Self::Trouble>> + Send;

    /// The last word, after the load.
    fn farewell(&mut self) -> impl Future<Output = Vec<Told>> + Send {
        std::future::ready(Vec::new())
    }
}

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A source that fails is asked again after at most so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The most times that the pause doubles.
const DOUBLINGS: u32 = 5;

/// Looks each `every` until told to stop. The first look is at once.
pub(super) async fn poll<S: Source>(
    mut source: S,
    every: Duration,
    told: mpsc::Sender<Told>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ticks = time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut failed, mut complained) = (0_u32, false);
    loop {
        let turn = async {
            if failed > 0 {
                let longest = LONGEST_PAUSE.max(every);
                time::sleep(every.saturating_mul(1 << failed.min(DOUBLINGS)).min(longest)).await;
                ticks.reset_immediately();
            }
            ticks.tick().await;
            time::timeout(PATIENCE, source.look()).await
        };
        let looked = tokio::select! {
            looked = turn => looked,
            // A look that is under way is given up: what it would say is of after the load.
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let trouble = match looked {
            Ok(Ok(news)) => {
                // Without room it is lost: the next look comes.
                news.into_iter().for_each(|news| drop(told.try_send(news)));
                failed = 0;
                continue;
            }
            Ok(Err(trouble)) => trouble.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        failed = failed.saturating_add(1);
        if !complained {
            complained = true;
            let name = source.name();
            tracing::warn!(source = %name, error = %trouble, "a source cannot be read");
            let _ = told.try_send(Told::Note(format!("{name} cannot be read: {trouble}")));
        }
    }
    for news in source.farewell().await {
        let _ = told.try_send(news);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use tokio::time::Instant;

    /// Answers what is written: seconds of the look, and whether it succeeds.
    struct Script {
        begun: Instant,
        looks: Vec<(u64, bool)>,
        at: mpsc::UnboundedSender<u64>,
    }

    impl Source for Script {
        type Trouble = &'static str;

        fn name(&self) -> String {
            "correlate.test".to_owned()
        }

        async fn look(&mut self) -> Result<Vec<Told>, Self::Trouble> {
            let _ = self.at.send(self.begun.elapsed().as_secs());
            let (takes, succeeds) = if self.looks.is_empty() { (0, true) } else { self.looks.remove(0) };
            time::sleep(Duration::from_secs(takes)).await;
            if succeeds { Ok(vec![Told::Note("fine".to_owned())]) } else { Err("refused") }
        }

        async fn farewell(&mut self) -> Vec<Told> {
            vec![Told::Note("bye".to_owned())]
        }
    }

    async fn play(looks: Vec<(u64, bool)>, seconds: u64) -> (Vec<u64>, Vec<String>) {
        let (told, mut news) = mpsc::channel(100);
        let (stop, stopped) = watch::channel(false);
        let (at, mut looked) = mpsc::unbounded_channel();
        let script = Script { begun: Instant::now(), looks, at };
        let task = tokio::spawn(poll(script, Duration::from_secs(1), told, stopped));
        time::sleep(Duration::from_millis(seconds * 1_000 + 500)).await;
        stop.send(true).unwrap();
        task.await.unwrap();
        let mut instants = Vec::new();
        while let Ok(at) = looked.try_recv() {
            instants.push(at);
        }
        let mut notes = Vec::new();
        while let Ok(Told::Note(note)) = news.try_recv() {
            notes.push(note);
        }
        (instants, notes)
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_at_once_and_then_each_time_until_stopped() {
        let (at, notes) = play(Vec::new(), 3).await;
        assert_eq!(at, [0, 1, 2, 3]);
        assert_eq!(notes, ["fine", "fine", "fine", "fine", "bye"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_is_asked_less_often_and_told_once() {
        let (at, notes) = play(vec![(0, false), (0, false), (0, false), (0, true), (0, false)], 20).await;
        assert_eq!(at, [0, 2, 6, 14, 15, 17, 18, 19, 20]);
        assert_eq!(notes.iter().filter(|note| note.contains("cannot be read: refused")).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_given_up_and_does_not_hold_the_end() {
        let (at, notes) = play(vec![(3_600, true)], 6).await;
        assert_eq!(at[0], 0);
        assert_eq!(notes[0], "correlate.test cannot be read: no answer in time");
        let (_, notes) = play(vec![(3_600, true)], 1).await;
        assert_eq!(notes, ["bye"]);
    }
}
