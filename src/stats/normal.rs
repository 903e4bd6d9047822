//! Quantiles of the normal and of Student's distribution, and the normal's tail.

use std::f64::consts::{FRAC_PI_2, PI};

/// The value below which a standard normal variable lies with probability `p`; infinite at 0 and 1.
///
/// Wichura, *Algorithm AS 241*, Applied Statistics 37 (1988), PPND7: about seven digits.
#[must_use]
pub fn quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let above = ((59.109_374_720 * r + 159.291_132_02) * r + 50.434_271_938) * r + 3.387_132_717_9;
        let below = ((67.187_563_600 * r + 78.757_757_664) * r + 17.895_169_469) * r + 1.0;
        return q * above / below;
    }
    let tail = p.min(1.0 - p);
    if tail.is_nan() || tail <= 0.0 {
        return f64::INFINITY.copysign(q);
    }
    let r = (-tail.ln()).sqrt();
    let value = if r <= 5.0 {
        let r = r - 1.6;
        let above = ((0.170_238_211_03 * r + 1.306_728_481_6) * r + 2.756_815_390_0) * r + 1.423_437_277_7;
        above / ((0.120_211_329_75 * r + 0.737_001_642_50) * r + 1.0)
    } else {
        let r = r - 5.0;
        let above = ((0.017_337_203_997 * r + 0.428_682_943_37) * r + 3.081_226_386_0) * r + 6.657_905_115_0;
        above / ((0.012_258_202_635 * r + 0.241_978_942_25) * r + 1.0)
    };
    value.copysign(q)
}

/// The probability that a standard normal variable lies further from 0 than `z`, on either side.
///
/// Abramowitz and Stegun (1964), 7.1.26: within 1.5e-7.
#[must_use]
pub fn two_sided(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series =
        ((((1.061_405_429 * t - 1.453_152_027) * t + 1.421_413_741) * t - 0.284_496_736) * t + 0.254_829_592) * t;
    series * (-x * x).exp()
}

/// How far from 0 a variable of Student's distribution with `freedom` degrees of freedom (at least 1) lies at most
/// with probability `confidence`, on either side.
///
/// Hill, *Algorithm 396*, Communications of the ACM 13 (1970).
#[must_use]
pub fn student(confidence: f64, freedom: f64) -> f64 {
    let p = (1.0 - confidence).clamp(f64::MIN_POSITIVE, 1.0);
    let n = freedom.max(1.0);
    if n < 1.5 {
        return (p * FRAC_PI_2).cos() / (p * FRAC_PI_2).sin();
    }
    if n < 2.5 {
        return (2.0 / (p * (2.0 - p)) - 2.0).sqrt();
    }
    let a = 1.0 / (n - 0.5);
    let b = 48.0 / (a * a);
    let mut c = ((20_700.0 * a / b - 98.0) * a - 16.0) * a + 96.36;
    let d = ((94.5 / (b + c) - 3.0) / b + 1.0) * (a * PI / 2.0).sqrt() * n;
    let mut y = (d * p).powf(2.0 / n);
    if y > 0.05 + a {
        let x = quantile(p / 2.0);
        y = x * x;
        if n < 5.0 {
            c += 0.3 * (n - 4.5) * (x + 0.6);
        }
        c += (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b;
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x;
        y = (a * y * y).exp_m1();
    } else {
        let inner = 1.0 / (((n + 6.0) / (n * y) - 0.089 * d - 0.822) * (n + 2.0) * 3.0) + 0.5 / (n + 4.0);
        y = (inner * y - 1.0) * (n + 1.0) / (n + 2.0) + 1.0 / y;
    }
    (n * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, expected) in
            [(0.5, 0.0), (0.975, 1.959_964), (0.995, 2.575_829), (0.05, -1.644_854), (1e-6, -4.753_424)]
        {
            assert!((quantile(p) - expected).abs() < 2e-6, "{p}: {}", quantile(p));
        }
        assert_eq!(quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(quantile(1.0), f64::INFINITY);
    }

    #[test]
    fn tails_are_those_of_the_tables() {
        for (z, expected) in [(0.0, 1.0), (1.959_964, 0.05), (-2.575_829, 0.01), (10.0, 0.0)] {
            assert!((two_sided(z) - expected).abs() < 1e-6, "{z}: {}", two_sided(z));
        }
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (confidence, freedom, expected) in [
            (0.95, 1.0, 12.7062),
            (0.95, 2.0, 4.3027),
            (0.95, 4.0, 2.7764),
            (0.95, 9.0, 2.2622),
            (0.95, 19.0, 2.0930),
            (0.99, 19.0, 2.8609),
            (0.95, 1e6, 1.9600),
        ] {
            let found = student(confidence, freedom);
            assert!((found - expected).abs() < 5e-4, "{confidence} {freedom}: {found}");
        }
    }
}
