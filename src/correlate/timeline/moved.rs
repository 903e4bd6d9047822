//! What moved with a failure: figures that rose or fell with the metric that failed, most telling first.
//!
//! The run is cut into windows. A figure moved with the metric in one of two ways. Either it went up and down with it
//! again and again: their ranks agree (Spearman) more than chance explains, where neighbouring windows count as the
//! few independent ones that they are worth, and the chance is shared by all figures that are looked at (Holm 1979).
//! Or there was one event, which no statistic of correlation can tell from chance: then the figure must have stood
//! elsewhere in the bad windows by several times of what it moves by itself, in the same windows. And a person must be
//! able to see the difference.

use crate::stats;
use crate::stats::rank::spearman;

/// A figure, window by window; none where it was not sampled.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What it is.
    pub name: String,
    /// One for each window.
    pub values: Vec<Option<f64>>,
}

/// The metric that failed, window by window.
#[derive(Clone, Debug)]
pub struct Failing {
    /// One for each window; none where nothing was measured.
    pub values: Vec<Option<f64>>,
    /// Which windows fail by themselves.
    pub bad: Vec<bool>,
}

/// A figure that moved with the failure.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Moved {
    /// What it is.
    pub name: String,
    /// Its median where things went well.
    pub good: f64,
    /// Its median where they did not.
    pub bad: f64,
    /// How far the ranks agree, −1 to 1.
    pub correlation: f64,
}

/// How likely a run in which nothing moved names something.
const CHANCE: f64 = 0.01;
/// How far the middle must have moved in one event, in the figure's own spread (median absolute deviations, scaled to
/// a normal's standard deviation).
const EVENT: f64 = 3.0;
/// How far the ranks must agree in one event, and how many standard deviations of chance among few windows.
const EVENT_AGREEMENT: (f64, f64) = (0.5, 2.3);
/// With fewer windows an event must stand out further, in proportion.
const ENOUGH: f64 = 24.0;
/// With fewer windows nothing can be said.
const LEAST: usize = 8;
/// What moved less than by this share is nothing that a person would see.
const VISIBLE: f64 = 0.1;
/// The most that are named.
const MOST: usize = 5;

/// What is known of one figure.
struct Judged {
    p_value: f64,
    /// Whether it is one event that stands out by itself.
    event: bool,
    moved: Moved,
}

/// The figures that moved with the failure, at most five; empty where nothing did.
#[must_use]
pub fn moved(failing: &Failing, candidates: &[Candidate]) -> Vec<Moved> {
    let mut found: Vec<Judged> = candidates.iter().filter_map(|candidate| judge(failing, candidate)).collect();
    found.sort_by(|one, other| one.p_value.total_cmp(&other.p_value));
    // Holm: the smallest chance is held to all of them, the next to all but one, until one does not hold.
    let all = found.len();
    let holds = |(rank, judged): &(usize, &Judged)| judged.p_value * (all - rank) as f64 <= CHANCE;
    let held = found.iter().enumerate().take_while(holds).count();
    let named = found.into_iter().enumerate().filter(|(rank, judged)| *rank < held || judged.event);
    let mut told: Vec<Moved> = named.map(|(_, judged)| judged.moved).collect();
    told.retain(Moved::is_visible);
    told.sort_by(|one, other| other.weight().total_cmp(&one.weight()));
    told.truncate(MOST);
    told
}

/// What is known of a figure. None where too little was seen, or nothing varied.
fn judge(failing: &Failing, candidate: &Candidate) -> Option<Judged> {
    let windows = failing.values.iter().zip(&failing.bad).zip(&candidate.values);
    let both: Vec<(f64, bool, f64)> =
        windows.filter_map(|((metric, bad), value)| Some(((*metric)?, *bad, (*value)?))).collect();
    if both.len() < LEAST {
        return None;
    }
    let metric: Vec<f64> = both.iter().map(|(metric, ..)| *metric).collect();
    let values: Vec<f64> = both.iter().map(|(.., value)| *value).collect();
    let agreement = spearman(&metric, &values)?;
    let (good, bad) = sides(&both, &metric);
    let (calm, worse) = (stats::median(&good)?, stats::median(&bad)?);
    let spread = f64::midpoint(deviation(&good, calm), deviation(&bad, worse));
    let (least, sigmas) = EVENT_AGREEMENT;
    // A spread that is guessed from few windows is often far too small.
    let event = EVENT * (ENOUGH / both.len() as f64).max(1.0);
    let agrees = agreement.rho.abs() >= least.max(sigmas / ((both.len() - 1) as f64).sqrt());
    let moved = Moved { name: candidate.name.clone(), good: calm, bad: worse, correlation: agreement.rho };
    Some(Judged { p_value: agreement.p_value, event: agrees && (worse - calm).abs() >= event * spread, moved })
}

/// The median absolute deviation, scaled so that it is a normal's standard deviation.
fn deviation(values: &[f64], middle: f64) -> f64 {
    let away: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    1.4826 * stats::median(&away).unwrap_or(0.0)
}

/// The figure in good and in bad windows: by what fails, or where that leaves a side nearly empty by the metric's
/// lowest and highest third.
fn sides(both: &[(f64, bool, f64)], metric: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let of = |wanted: bool| both.iter().filter(move |(_, bad, _)| *bad == wanted).map(|(.., value)| *value);
    let (good, bad): (Vec<f64>, Vec<f64>) = (of(false).collect(), of(true).collect());
    if good.len() >= LEAST / 4 && bad.len() >= LEAST / 4 {
        return (good, bad);
    }
    let mut sorted = metric.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (low, high) = (stats::quantile(&sorted, 1.0 / 3.0), stats::quantile(&sorted, 2.0 / 3.0));
    let (low, high) = (low.unwrap_or_default(), high.unwrap_or_default());
    let good = both.iter().filter(|(metric, ..)| *metric <= low).map(|(.., value)| *value).collect();
    let bad = both.iter().filter(|(metric, ..)| *metric >= high).map(|(.., value)| *value).collect();
    (good, bad)
}

// === impl Moved ===

impl Moved {
    fn is_visible(&self) -> bool {
        let level = self.good.abs().max(self.bad.abs());
        level > 0.0 && (self.bad - self.good).abs() >= VISIBLE * level
    }

    /// How telling it is: how far the ranks agree, and between equals how much it moved.
    fn weight(&self) -> f64 {
        let level = self.good.abs().max(self.bad.abs());
        let share = if level > 0.0 { (self.bad - self.good).abs() / level } else { 0.0 };
        self.correlation.abs() + share.min(2.0) * 0.1
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::stats::series::ar1;

    /// Neighbouring seeds begin alike.
    fn noise(n: usize, phi: f64, seed: u64) -> Vec<f64> {
        ar1(n, phi, seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn candidate(name: &str, values: impl IntoIterator<Item = f64>) -> Candidate {
        Candidate { name: name.to_owned(), values: values.into_iter().map(Some).collect() }
    }

    fn failing(values: impl IntoIterator<Item = f64>, bound: f64) -> Failing {
        let values: Vec<f64> = values.into_iter().collect();
        Failing {
            bad: values.iter().map(|value| *value >= bound).collect(),
            values: values.into_iter().map(Some).collect(),
        }
    }

    /// 60 windows: calm, a spike of 20, calm, with noise.
    fn spike(calm: f64, worst: f64, seed: u64) -> Vec<f64> {
        let noise = noise(60, 0.3, seed);
        let level = |window: usize| if (20..40).contains(&window) { worst } else { calm };
        noise.into_iter().enumerate().map(|(window, noise)| level(window) * (1.0 + 0.05 * noise)).collect()
    }

    #[test]
    fn what_rose_with_the_failure_is_named_and_what_did_not_is_not() {
        let metric = failing(spike(50.0, 400.0, 1), 200.0);
        let found = moved(
            &metric,
            &[
                candidate("pool pending", spike(0.2, 6.0, 2)),
                candidate("cache hits", spike(0.9, 0.4, 3)),
                candidate("memory", spike(100.0, 100.0, 4)),
                candidate("constant", vec![3.0; 60]),
                candidate("empty", Vec::new()),
            ],
        );
        let names: Vec<_> = found.iter().map(|moved| moved.name.as_str()).collect();
        assert_eq!(names.len(), 2, "{found:?}");
        assert!(names.contains(&"pool pending") && names.contains(&"cache hits"));
        let hits = found.iter().find(|moved| moved.name == "cache hits").unwrap();
        assert!(hits.correlation < -0.5 && hits.good > 0.8 && hits.bad < 0.5, "{hits:?}");
    }

    #[test]
    fn at_most_five_are_named_the_strongest_first() {
        let metric = failing(spike(50.0, 400.0, 1), 200.0);
        let mut all: Vec<_> = (0..8).map(|n| candidate(&format!("{n}"), spike(1.0, 1.3, 10 + n))).collect();
        all.push(candidate("itself", spike(50.0, 400.0, 1)));
        let found = moved(&metric, &all);
        assert_eq!(found.len(), MOST);
        assert_eq!(found[0].name, "itself");
    }

    #[test]
    fn a_run_that_failed_from_its_first_window_is_compared_with_itself() {
        let rising = (0..40).map(|window| 300.0 + 10.0 * f64::from(window));
        let metric = failing(rising, 200.0);
        let memory = candidate("memory", (0..40).map(|window| 100.0 + f64::from(window * window)));
        let flat = candidate("flat", noise(40, 0.3, 5).into_iter().map(|noise| 100.0 + 20.0 * noise));
        let found = moved(&metric, &[memory, flat]);
        assert_eq!(found.iter().map(|moved| moved.name.as_str()).collect::<Vec<_>>(), ["memory"]);
    }

    #[test]
    fn what_nobody_would_see_is_not_named() {
        let metric = failing(spike(50.0, 400.0, 1), 200.0);
        let hair = spike(1.0, 2.0, 1).into_iter().map(|value| 1_000.0 + value);
        assert!(moved(&metric, &[candidate("a hair", hair)]).is_empty());
    }

    #[test]
    fn too_few_windows_say_nothing() {
        let metric = failing([1.0, 1.0, 9.0, 9.0], 5.0);
        assert!(moved(&metric, &[candidate("x", [1.0, 1.0, 9.0, 9.0])]).is_empty());
    }

    #[test]
    fn noise_names_something_in_at_most_one_run_of_twenty() {
        // Ten figures beside a metric, none of which knows of it, with little memory and with much.
        for (windows, phi) in [(60, 0.0), (60, 0.6), (12, 0.0), (12, 0.6)] {
            let named = (0..200_u64)
                .filter(|run| {
                    let metric =
                        failing(noise(windows, phi, run * 100).into_iter().map(|value| 100.0 + 30.0 * value), 120.0);
                    let figures: Vec<_> = (1..=10)
                        .map(|n| {
                            let noise = noise(windows, phi, run * 100 + n).into_iter();
                            candidate(&format!("{n}"), noise.map(|value| 10.0 + 5.0 * value))
                        })
                        .collect();
                    !moved(&metric, &figures).is_empty()
                })
                .count();
            assert!(named <= 10, "{named} of 200 at {phi}, {windows} windows");
        }
    }
}
