//! Series that behave as the figures of a load test do, for tests: seeded, with a known truth.

use fastrand::Rng;

/// A standard normal draw (Box and Muller).
pub(crate) fn normal(random: &mut Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

/// An exponential draw of mean 1.
pub(crate) fn exponential(random: &mut Rng) -> f64 {
    -(1.0 - random.f64()).ln()
}

/// A first-order autoregression with variance 1 and mean 0, from its stationary state.
pub(crate) fn ar1(n: usize, phi: f64, seed: u64) -> Vec<f64> {
    let mut random = Rng::with_seed(seed);
    let mut value = normal(&mut random);
    let step = (1.0 - phi * phi).sqrt();
    (0..n)
        .map(|_| {
            value = phi * value + step * normal(&mut random);
            value
        })
        .collect()
}

/// Response times of one queue with Poisson arrivals whose server works at full speed most of the time, and now and
/// then at a third of it: `bins` bins of `per_bin` values. Lindley's recursion, after a warm-up.
pub(crate) fn on_off_queue(bins: usize, per_bin: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = Rng::with_seed(seed);
    let (mut waiting, mut slow, mut left) = (0.0_f64, false, 0.0);
    let mut next = || {
        if left <= 0.0 {
            slow = !slow;
            left = exponential(&mut random) * if slow { 12.0 } else { 60.0 };
        }
        let gap = exponential(&mut random);
        left -= gap;
        let service = exponential(&mut random) * if slow { 1.2 } else { 0.4 };
        let response = waiting + service;
        waiting = (response - gap).max(0.0);
        response
    };
    (0..500).for_each(|_| {
        next();
    });
    (0..bins).map(|_| (0..per_bin).map(|_| next()).collect()).collect()
}
