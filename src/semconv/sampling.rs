//! Which traces are recorded: a share of them, decided by the trace id alone.
//!
//! Everybody who sees the id comes to the same decision without asking, as OpenTelemetry's ratio samplers do
//! (`TraceIdRatioBased`: the low 8 bytes, the topmost bit left out, against the share of 2⁶³).

use super::TraceId;

/// A share of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Ids below it are recorded; 2⁶³ is all.
    below: u64,
}

const WHOLE: u64 = 1 << 63;

// === impl Sampling ===

impl Sampling {
    /// All traces.
    pub const ALL: Self = Self { below: WHOLE };

    /// A share from 0 to 1; what lies outside is taken as the nearest of them.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    pub fn ratio(share: f64) -> Self {
        if share >= 1.0 {
            return Self::ALL;
        }
        Self { below: (share.max(0.0) * WHOLE as f64) as u64 }
    }

    /// Whether a trace is recorded.
    #[must_use]
    pub fn takes(self, trace: &TraceId) -> bool {
        let mut low = [0; 8];
        low.copy_from_slice(&trace.0[8..]);
        u64::from_be_bytes(low) >> 1 < self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semconv::RunId;

    #[test]
    fn a_share_is_taken_by_the_low_bytes() {
        let trace = |low| TraceId::of_run(RunId::new(7), low);
        assert!(Sampling::ALL.takes(&trace(u64::MAX)) && Sampling::ratio(7.0).takes(&trace(u64::MAX)));
        assert!(!Sampling::ratio(0.0).takes(&trace(0)) && !Sampling::ratio(f64::NAN).takes(&trace(0)));
        let half = Sampling::ratio(0.5);
        assert!(half.takes(&trace(u64::MAX / 2)) && !half.takes(&trace(u64::MAX / 2 + 1)));
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let taken = (0..10_000_u64).filter(|n| Sampling::ratio(0.1).takes(&trace(n.wrapping_mul(step)))).count();
        assert!((900..1100).contains(&taken), "{taken}");
    }
}
