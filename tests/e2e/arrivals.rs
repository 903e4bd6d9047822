//! Arrivals as the **target** has them, not as pacecar says: even where even ones were asked for, exponential
//! where a Poisson process was, and the same ones each time.

use pacecar::stats::exponential;

use crate::support::arrivals::ArrivalsServer;
use crate::support::json::{at, number};
use crate::support::{Pacecar, PlanFile};

/// 25 a second for 6 s on two paths. Gaps are long enough for a busy machine to leave their shape alone.
fn plan() -> PlanFile {
    PlanFile::new(
        "\
name: arrivals
base_url: ${API_URL}
workflows:
  even: { steps: [{ name: even, request: GET /even }] }
  poisson: { steps: [{ name: poisson, request: GET /poisson }] }
scenarios:
  even: { executor: constant-arrival-rate, rate: 25, duration: 6s, preAllocatedVUs: 40, exec: even }
  poisson: { executor: constant-arrival-rate, rate: 25, duration: 6s, preAllocatedVUs: 40, arrivals: poisson, exec: poisson }
",
    )
}

#[test]
fn at_the_target_a_poisson_process_is_exponential_and_a_constant_rate_is_even() {
    let (first, second) = (ArrivalsServer::start(), ArrivalsServer::start());
    let (one, other) = (plan(), plan());
    let running = [(&one, &first), (&other, &second)]
        .map(|(plan, server)| Pacecar::run(&plan.path()).set("API_URL", server.url()).start());
    let [ended, again] = running.map(crate::support::program::Running::end);
    let fidelity = &ended.summary()["pacecar"]["fidelity"];

    let mut even = first.gaps("/even");
    let mut poisson = first.gaps("/poisson");
    assert_eq!(even.len(), 149, "25 a second for 6 s, the first at once\n{ended}");
    assert!((75..=230).contains(&poisson.len()), "{} gaps\n{ended}", poisson.len());

    // Even gaps are 40 ms. A machine that stands still moves some of them, never most.
    let off = even.iter().filter(|gap| (**gap - 0.04).abs() > 0.02).count();
    assert!(off * 4 < even.len(), "{off} of {} gaps are off: {even:?}\n{ended}", even.len());
    let (even_fit, fit) = (exponential(&mut even).unwrap(), exponential(&mut poisson).unwrap());
    assert!(even_fit.statistic > 5.0 * fit.statistic, "{even_fit:?} {fit:?}\n{ended}");
    assert!(!even_fit.passes_at(0.005), "a constant rate is no Poisson process: {even_fit:?}");
    if number(fidelity, &["lag_ms", "max"]) < 10.0 {
        // Nothing held the generator back: what came in is what was drawn.
        assert!(fit.passes_at(0.005), "{fit:?}\n{ended}");
        assert_eq!(at(fidelity, &["arrivals", "even", "kept"]), true, "{fidelity:#}");
        assert_eq!(at(fidelity, &["arrivals", "poisson", "kept"]), true, "{fidelity:#}");
    }

    // The same plan makes the same arrivals. Drawn anew they would be whole gaps apart, more the longer it goes on.
    let (a, b) = (first.offsets("/poisson"), second.offsets("/poisson"));
    assert_eq!(a.len(), b.len(), "{ended}\n{again}");
    let mut apart: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).collect();
    apart.sort_unstable_by(f64::total_cmp);
    assert!(apart[apart.len() / 2] < 0.03, "half of them are {} s apart\n{ended}", apart[apart.len() / 2]);
}
