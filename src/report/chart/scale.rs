//! From values to pixels, and the ticks beside an axis.

/// How values are laid out along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From 0, evenly.
    Linear,
    /// Each power of ten as long as the next: for what spans several.
    Log,
}

/// An axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
    /// Where `low` and `high` stand, in pixels.
    from: f64,
    to: f64,
}

// === impl Scale ===

impl Scale {
    /// An axis over values up to `high` (from `low`, where it is logarithmic), rounded out to whole ticks.
    pub(super) fn new(kind: Kind, low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) = match kind {
            Kind::Linear => {
                let high = if high > 0.0 && high.is_finite() { high } else { 1.0 };
                let step = step(high / 4.0);
                (0.0, (high / step - 1e-9).ceil() * step)
            }
            Kind::Log => {
                let high = if high > 0.0 && high.is_finite() { high } else { 1.0 };
                let low = if low > 0.0 && low < high { low } else { high / 10.0 };
                let (low, high) = (below(low), above(high));
                if low < high { (low, high) } else { (low / 10.0, high) }
            }
        };
        Self { kind, low, high, from, to }
    }

    /// An axis over just these values.
    pub(super) const fn exactly(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self { kind: Kind::Linear, low, high, from, to }
    }

    /// A logarithmic axis over just these values.
    pub(super) fn log(low: f64, high: f64, from: f64, to: f64) -> Self {
        let low = if low > 0.0 { low } else { f64::MIN_POSITIVE };
        Self { kind: Kind::Log, low, high: high.max(low * 1.01), from, to }
    }

    /// Where a value stands; what lies beyond the axis stands at its end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = match self.kind {
            Kind::Linear => (value - self.low) / (self.high - self.low).max(f64::MIN_POSITIVE),
            Kind::Log => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// At most about so many values that are told beside the axis, rising.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        match self.kind {
            Kind::Linear => {
                let step = step((self.high - self.low) / most.max(1) as f64);
                let first = (self.low / step - 1e-9).ceil();
                (0..=most * 2)
                    .map(|n| (first + n as f64) * step)
                    .take_while(|value| *value <= self.high * (1.0 + 1e-9))
                    .collect()
            }
            Kind::Log => {
                let decades = (self.high / self.low).log10();
                let within: &[f64] = if decades * 3.0 <= most as f64 {
                    &[1.0, 2.0, 5.0]
                } else if decades * 2.0 <= most as f64 {
                    &[1.0, 3.0]
                } else {
                    &[1.0]
                };
                let every = (decades / most.max(1) as f64).ceil().max(1.0) as i32;
                let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
                let powers = (first..=last).filter(|power| (power - first) % every == 0 || within.len() > 1);
                powers
                    .flat_map(|power| within.iter().map(move |digit| digit * 10_f64.powi(power)))
                    .filter(|value| *value >= self.low * (1.0 - 1e-9) && *value <= self.high * (1.0 + 1e-9))
                    .collect()
            }
        }
    }
}

/// Seconds between ticks of a time axis, as people count them.
pub(super) fn seconds_between(span: f64, most: usize) -> f64 {
    const STEPS: [f64; 19] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
        21_600.0, 86_400.0,
    ];
    let least = span / most.max(1) as f64;
    STEPS.into_iter().find(|step| *step >= least).unwrap_or_else(|| (least / 86_400.0).ceil() * 86_400.0)
}

/// The least of 1, 2, 2.5, 5 times a power of ten that is not below.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(f64::MIN_POSITIVE).log10().floor());
    [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(power * 10.0)
}

/// The greatest of 1, 2, 5 times a power of ten that is not above.
fn below(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|digit| digit * power).find(|edge| *edge <= value * (1.0 + 1e-9)).unwrap_or(power)
}

/// The least of 1, 2, 5 times a power of ten that is not below.
fn above(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|edge| *edge >= value * (1.0 - 1e-9))
        .unwrap_or(power * 10.0)
}
