//! What a tune is doing: two lines on a terminal, a line a trial in a pipe.

use super::{ProgressLines, Teller, clock};
use crate::output;
use pacecar::run::{News, Progress};
use pacecar::tune::{Order, Trial};
use std::time::Duration;

/// The lines of a tune. Dropping it removes them.
pub(crate) struct TuneLines {
    lines: ProgressLines,
    quiet: bool,
    /// Where the experiment stands: trials made, trials at most, time left.
    standing: (usize, usize, Duration),
}

// === impl TuneLines ===

impl TuneLines {
    /// Lines on standard error: redrawn where it is a terminal without `NO_COLOR`, else one after the other. With
    /// `quiet` only what a person must know.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { lines: ProgressLines::new(quiet), quiet, standing: (0, 0, Duration::ZERO) }
    }

    /// What prints beside the lines.
    pub(crate) fn teller(&self) -> Teller {
        self.lines.teller()
    }

    /// Shows what happens.
    pub(crate) fn show(&mut self, news: &News<'_>) {
        match news {
            News::Leftover(left) => {
                let applied = left.applied.as_ref().map(ToString::to_string).unwrap_or_default();
                self.say(&format!(
                    "pacecar: a tune that was killed left {applied} in effect; the original, {}, is put back first\n",
                    left.original
                ));
            }
            News::Note(note) => self.say(&format!("pacecar: {note}\n")),
            News::Standing(standing) => self.standing = (standing.made, standing.most, standing.left),
            News::Applying(order) => self.lines.say_phase(format!("{}  setting {}…", self.place(order), order.setting)),
            News::Running(order, progress) => self.running(order, progress),
            News::Made(trial) => self.made(trial),
            News::Restoring => self.lines.say_phase("putting the original back…".to_owned()),
        }
    }

    fn running(&mut self, order: &Order, progress: &Progress) {
        self.lines.show(progress);
        let (_, _, left) = self.standing;
        let place = self.place(order);
        self.lines.say_phase(format!("{place}  {}  at most {} left", order.setting, clock(left)));
    }

    fn made(&mut self, trial: &Trial) {
        if self.quiet || self.lines.is_drawn() {
            return;
        }
        let (made, most, left) = self.standing;
        let came = match &trial.result {
            Ok(measured) if !measured.is_valid() => format!("invalid: {}", measured.invalid.join("; ")),
            Ok(measured) => {
                let used = measured.utilization.map(|used| format!(", pool {:.0} % used", used * 100.0));
                format!("p95 {:.1} ms{}", measured.p95, used.unwrap_or_default())
            }
            Err(failure) => format!("failed: {failure}"),
        };
        let number = made + 1;
        let left = clock(left.saturating_sub(trial.took));
        let phase = trial.order.phase.as_str();
        output::message(&format!(
            "trial {number} of at most {most}  {phase}  {}  {came}  (at most {left} left)\n",
            trial.order.setting
        ));
    }

    /// `trial 12/60 screening`
    fn place(&self, order: &Order) -> String {
        let (made, most, _) = self.standing;
        format!("trial {}/{most} {}", made + 1, order.phase.as_str())
    }

    fn say(&self, text: &str) {
        self.teller().say(text);
    }
}
