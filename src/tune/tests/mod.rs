//! The search against APIs whose best value is known.
#![allow(clippy::unwrap_used, clippy::panic)]

mod simulated;

use super::*;
use simulated::{Api, MEASURED, Simulated, pool, terms};

const SIZES: [f64; 5] = [2.0, 4.0, 8.0, 16.0, 32.0];
const KNEE: Api = Api { rate: 100.0, service_ms: 45.0, room: 12.0, slowing: 0.02 };

#[test]
fn probe() {
    for size in SIZES {
        println!("{size} p95 {:.1} util {:.2}", KNEE.p95(size), KNEE.utilization(size));
    }
    println!("right {:?}", KNEE.right(&SIZES));
    let n: u64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    for (name, api, original) in [
        ("knee/16", KNEE, 16.0),
        ("knee/32", KNEE, 32.0),
        ("knee/4", KNEE, 4.0),
        ("flat/16", Api { rate: 1.0, service_ms: 45.0, room: 99.0, slowing: 0.0 }, 16.0),
    ] {
        let mut right = 0;
        let mut inc = 0;
        let mut none = 0;
        let mut claims = 0;
        let mut total = 0;
        let mut floor = 0.0;
        let mut reasons = String::new();
        for seed in 0..n {
            let (outcome, trials) =
                Simulated::new(api, MEASURED, seed * 7919 + 13).run(&terms(&SIZES, Some(original), seed));
            total += trials.len();
            floor += outcome.noise.map_or(0.0, |n| n.relative) / n as f64;
            claims += usize::from(outcome.improvement.is_some());
            match outcome.verdict {
                Verdict::Inconclusive => {
                    inc += 1;
                    if reasons.is_empty() {
                        reasons = outcome.reasons.join("\n   ");
                    }
                }
                Verdict::NonePasses => none += 1,
                Verdict::Recommended => {
                    let ok = api.right(&SIZES).iter().any(|s| Some(pool(*s)) == outcome.recommendation);
                    right += usize::from(ok);
                    if !ok {
                        println!("  wrong {:?}", outcome.recommendation.map(|s| s.to_string()));
                    }
                }
            }
        }
        println!(
            "{name}: right {right} inconclusive {inc} none {none} claims {claims} of {n}, {} trials, floor {floor:.2}\n   {reasons}",
            total as u64 / n
        );
    }
}
