//! How often the search is right, and how often it sees what is not there: a thousand seeded repetitions each. The
//! figures stand in docs/tuning.md.

use super::simulated::{Api, FLAT, HARSH, MEASURED, Noise, Simulated, pool, terms};
use super::{KNEE, SIZES};
use crate::tune::{Outcome, Setting, Standing, ValueReport, Verdict};

/// How often what came out, of so many.
#[derive(Debug, Default)]
struct Tally {
    repetitions: usize,
    right: usize,
    inconclusive: usize,
    /// An improvement was claimed.
    claimed: usize,
    /// A value was called worse that is not, by half a percent.
    slandered: usize,
    /// The truth lay in its interval.
    covered: usize,
    trials: usize,
}

const REPETITIONS: u64 = 1000;

/// Repetitions of one kind of API.
fn tally(
    name: &str,
    noise: Noise,
    (repetitions, budget): (u64, u32),
    make: impl Fn(&mut fastrand::Rng) -> (Api, f64),
) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..repetitions {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xA11CE);
        let (api, original) = make(&mut random);
        let mut terms = terms(&SIZES, Some(original), random.u64(..));
        terms.budget.trials = budget;
        terms.budget.time *= budget / 60;
        let (outcome, trials) = Simulated::new(api, noise, random.u64(..)).run(&terms);
        tally.add(&api, original, &outcome, trials.len());
    }
    let percent = |n: usize| 100.0 * n as f64 / tally.repetitions as f64;
    println!(
        "{name}: right {:.1} %, inconclusive {:.1} %, wrong {:.1} %, an equal one called worse {:.1} %, an improvement \
         claimed {:.1} %, of these the interval holds the truth in {:.1} %, {:.0} trials on average",
        percent(tally.right),
        percent(tally.inconclusive),
        percent(tally.repetitions - tally.right - tally.inconclusive),
        percent(tally.slandered),
        percent(tally.claimed),
        100.0 * tally.covered as f64 / tally.claimed.max(1) as f64,
        tally.trials as f64 / tally.repetitions as f64,
    );
    tally
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, api: &Api, original: f64, outcome: &Outcome, trials: usize) {
        self.repetitions += 1;
        self.trials += trials;
        self.inconclusive += usize::from(outcome.verdict == Verdict::Inconclusive);
        let right = api.right(&SIZES);
        let chosen = SIZES.into_iter().find(|size| outcome.recommendation.as_ref() == Some(&pool(*size)));
        self.right += usize::from(chosen.is_some_and(|chosen| right.contains(&chosen)));
        let p95 =
            |setting: &Setting| api.p95(setting.get("POOL").and_then(|size| size.parse().ok()).unwrap_or(f64::NAN));
        let slandered = |value: &&ValueReport| match &value.standing {
            Standing::Worse { than, .. } => p95(&value.setting) <= p95(than) * 1.005,
            _ => false,
        };
        self.slandered += usize::from(outcome.values.iter().any(|value| slandered(&value)));
        if let (Some(improvement), Some(chosen)) = (&outcome.improvement, chosen) {
            let truth = 1.0 - api.p95(chosen) / api.p95(original);
            self.claimed += 1;
            self.covered += usize::from(improvement.interval.contains(truth));
        }
    }

    fn share(&self, n: usize) -> f64 {
        n as f64 / self.repetitions as f64
    }
}

fn any_baseline(random: &mut fastrand::Rng) -> f64 {
    SIZES[random.usize(..SIZES.len())]
}

#[test]
fn the_noise_is_of_the_size_that_was_measured() {
    let mut ranges = 0.0;
    for seed in 0..400 {
        let mut api = Simulated::new(KNEE, MEASURED, seed);
        let terms = terms(&[8.0], None, seed);
        let crate::tune::Next::Run(mut order) = crate::tune::next(&terms, &[]) else { panic!() };
        let p95: Vec<f64> = (0..16)
            .map(|block| {
                order.seed = seed * 100 + block;
                api.trial(&order).result.unwrap().p95
            })
            .collect();
        let (low, high) = p95.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), p| (low.min(*p), high.max(*p)));
        ranges += high / low / 400.0;
    }
    println!("sixteen identical trials range {ranges:.2}-fold on average");
    assert!((2.0..2.5).contains(&ranges), "{ranges}");
}

#[test]
fn the_right_value_is_picked_95_times_of_100() {
    let found = tally("an API drawn by lot", MEASURED, (REPETITIONS, 60), |random| {
        (Api::drawn(random, &SIZES), any_baseline(random))
    });
    assert!(found.share(found.right) >= 0.95, "{found:?}");
    assert!(found.covered as f64 / found.claimed as f64 >= 0.95, "{found:?}");
}

#[test]
fn the_right_value_is_picked_where_a_plateau_ends_in_a_knee() {
    let found = tally("a knee at 8", MEASURED, (REPETITIONS, 60), |random| (KNEE, any_baseline(random)));
    assert!(found.share(found.right) >= 0.95, "{found:?}");
}

#[test]
fn a_difference_is_claimed_where_there_is_none_at_most_5_times_of_100() {
    let found = tally("no difference at all", MEASURED, (REPETITIONS, 60), |random| (FLAT, any_baseline(random)));
    assert!(found.share(found.claimed) <= 0.05, "{found:?}");
    assert!(found.share(found.slandered) <= 0.05, "{found:?}");
}

/// What the noise can be at its worst: nothing of it is common to a block.
mod soak {
    use super::*;

    #[test]
    #[ignore = "make soak: says what more noise does"]
    fn more_noise_takes_more_trials_and_is_not_more_often_wrong() {
        for (budget, least) in [(60, 0.90), (180, 0.95)] {
            let knee =
                tally(&format!("a knee at 8, harsh noise, {budget} trials"), HARSH, (REPETITIONS, budget), |random| {
                    (KNEE, any_baseline(random))
                });
            assert!(knee.share(knee.repetitions - knee.right - knee.inconclusive) <= 0.05, "{knee:?}");
            assert!(knee.share(knee.right) >= least);
            let flat = tally(
                &format!("no difference, harsh noise, {budget} trials"),
                HARSH,
                (REPETITIONS, budget),
                |random| (FLAT, any_baseline(random)),
            );
            assert!(flat.share(flat.claimed) <= 0.05 && flat.share(flat.slandered) <= 0.05, "{flat:?}");
        }
    }
}
