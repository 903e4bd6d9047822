//! One figure of both sides: how far it moved, and whether that is a regression.

use super::figures::{Better, Figure, Shown};
use super::{ChangeInterval, Comparing, Outcome};
use crate::measure::Share;
use crate::stats::{Interval, lag_one, mean, welch};

/// Two response times nearer than this are the same, whatever share of them that is: what a clock and a scheduler add.
const LEAST_MS: f64 = 1.0;
/// How surely a difference must be told from noise.
const CONFIDENCE: f64 = 0.95;
/// The most that neighbouring windows are taken to lean on each other.
const MOST_LEAN: f64 = 0.9;

/// Judges a figure; none where one of the sides does not have it.
pub(super) fn judge(before: &[Figure], after: &[Figure], threshold: f64) -> Option<Comparing> {
    let (first, _) = (before.first()?, after.first()?);
    let (base, new) = (whole(before)?, whole(after)?);
    let change = change(base, new);
    let interval =
        if before.len() + after.len() > 2 { by_runs(before, after) } else { by_windows(first, after.first()?) };
    // What a threshold of the newer plan says counts, too.
    let better = [before, after].into_iter().flatten().map(|figure| figure.better).find(|it| *it != Better::Neither);
    let beyond = |worse: f64| worse > threshold && far(first, base, new);
    let outcome = match better {
        None | Some(Better::Neither) => Outcome::Told,
        Some(Better::FewerFailed) => match change {
            None => Outcome::Worse,
            Some(change) if change > threshold => Outcome::Worse,
            Some(change) if change < -threshold => Outcome::Better,
            Some(_) => Outcome::Same,
        },
        Some(way) => {
            // An open change, from nothing to something, is as large as any.
            let up = change.unwrap_or(f64::INFINITY);
            let worse = if way == Better::Higher { fall(base, new) } else { up };
            let gain = if way == Better::Higher { up } else { fall(base, new) };
            let sure = |rises: bool| stands_out(before, after, interval, rises);
            if beyond(worse) && sure(way != Better::Higher) {
                Outcome::Worse
            } else if beyond(gain) && sure(way == Better::Higher) {
                Outcome::Better
            } else {
                Outcome::Same
            }
        }
    };
    Some(Comparing {
        metric: first.metric.clone(),
        stat: first.stat.clone(),
        base,
        new,
        change,
        interval: interval.map(ChangeInterval::from).filter(|it| it.low.is_finite() && it.high.is_finite()),
        outcome,
        shown: first.shown,
    })
}

/// The figure of a side: of shares that of all together, else the mean over runs.
fn whole(side: &[Figure]) -> Option<f64> {
    let shares: Vec<Share> = side.iter().filter_map(|figure| figure.share).collect();
    if shares.len() == side.len() {
        let (passes, total) = shares.iter().fold((0, 0), |(p, t), share| (p + share.passes, t + share.total));
        return (total > 0).then(|| passes as f64 / total as f64);
    }
    mean(&side.iter().map(|figure| figure.value).collect::<Vec<_>>())
}

/// By which share it changed; none from nothing to something.
fn change(base: f64, new: f64) -> Option<f64> {
    if (new - base).abs() <= f64::EPSILON * base.abs().max(new.abs()) {
        return Some(0.0);
    }
    (base != 0.0).then(|| (new - base) / base.abs())
}

/// By which share it fell.
fn fall(base: f64, new: f64) -> f64 {
    if base == 0.0 { 0.0 } else { (base - new) / base.abs() }
}

/// Whether a difference is one that anybody feels.
fn far(figure: &Figure, base: f64, new: f64) -> bool {
    figure.shown != Shown::Time || (new - base).abs() > LEAST_MS
}

/// Whether a difference stands out of the noise, so far as that is known.
fn stands_out(before: &[Figure], after: &[Figure], interval: Option<Interval>, rises: bool) -> bool {
    let by_interval = interval.map(|it| if rises { it.low > 0.0 } else { it.high < 0.0 });
    if before.len() + after.len() > 2 {
        // A figure that is 0 in some run has no ratio: then the threshold alone decides.
        return by_interval.unwrap_or(true);
    }
    let apart = match (before, after) {
        ([one], [other]) => apart(one, other, rises),
        _ => true,
    };
    apart && by_interval.unwrap_or(true)
}

/// Whether the values of two runs lie apart.
fn apart(one: &Figure, other: &Figure, rises: bool) -> bool {
    if let (Some(before), Some(after)) = (one.share, other.share) {
        let of = |share: Share| crate::stats::wilson(share.passes, share.total, CONFIDENCE);
        let (before, after) = (of(before), of(after));
        return if rises { after.low > before.high } else { after.high < before.low };
    }
    match (one.within, other.within) {
        (Some((low, high)), Some((from, to))) => {
            if rises {
                from > high
            } else {
                to < low
            }
        }
        _ => true,
    }
}

/// The interval of the logarithm of the ratio, with runs as the sampling unit.
fn by_runs(before: &[Figure], after: &[Figure]) -> Option<Interval> {
    let logs = |side: &[Figure]| -> Option<Vec<f64>> {
        side.iter().map(|figure| (figure.value > 0.0).then(|| figure.value.ln())).collect()
    };
    welch(&logs(before)?, &logs(after)?, CONFIDENCE)
}

/// The same of one run each, with windows of time as the sampling unit: what it cannot know is how runs differ.
fn by_windows(one: &Figure, other: &Figure) -> Option<Interval> {
    let logs = |figure: &Figure| -> Option<Vec<f64>> {
        figure.windows.iter().map(|value| (*value > 0.0).then(|| value.ln())).collect()
    };
    let (before, after) = (logs(one)?, logs(other)?);
    if before.is_empty() || after.is_empty() {
        return None;
    }
    let interval = welch(&before, &after, CONFIDENCE)?;
    // Neighbours lean on each other, so there are fewer of them than it seems (Bartlett).
    let lean = lag_one(&before).max(lag_one(&after)).clamp(0.0, MOST_LEAN);
    let (middle, reach) = (f64::midpoint(interval.low, interval.high), interval.width() / 2.0);
    let reach = reach * ((1.0 + lean) / (1.0 - lean)).sqrt();
    Some(Interval { low: middle - reach, high: middle + reach })
}
