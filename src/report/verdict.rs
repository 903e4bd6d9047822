//! What a run came to, and the exit code that says so.

use std::fmt;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every threshold and judge holds.
    Pass,
    /// One does not.
    Fail,
    /// The generator, not the target, set the figures: they say nothing.
    Invalid,
}

/// How a command ends. The number is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Passed.
    Passed = 0,
    /// A threshold or a judge failed; an abort too.
    Failed = 99,
    /// Setup ran out of time.
    SetupTimeout = 100,
    /// Stopped through the control API.
    Stopped = 103,
    /// The plan or a flag is invalid.
    InvalidPlan = 104,
    /// Stopped by a signal.
    Signal = 105,
    /// An address that was asked for cannot be bound.
    AddressTaken = 106,
    /// Setup failed.
    SetupFailed = 107,
    /// The run is invalid.
    InvalidRun = 120,
    /// The guard refused to start.
    Refused = 121,
    /// Cleanup did not finish: something may be left.
    CleanupUnfinished = 122,
}

// === impl Verdict ===

impl Verdict {
    /// From whether the figures may be believed, and whether a threshold or judge failed. An invalid run neither
    /// passes nor fails.
    #[must_use]
    pub const fn of(valid: bool, failed: bool) -> Self {
        match (valid, failed) {
            (false, _) => Self::Invalid,
            (true, true) => Self::Fail,
            (true, false) => Self::Pass,
        }
    }

    /// `pass`, `fail` or `invalid`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
        }
    }

    /// The exit code that it alone asks for.
    #[must_use]
    pub const fn exit(self) -> Exit {
        match self {
            Self::Pass => Exit::Passed,
            Self::Fail => Exit::Failed,
            Self::Invalid => Exit::InvalidRun,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Exit ===

impl Exit {
    /// The one that is told where several apply: 104, 121, 106, 122, 107 and 100, 120, 99, 103 and 105. Of
    /// two of the same rank the first that is given. None is [`Exit::Passed`].
    #[must_use]
    pub fn choose(reasons: impl IntoIterator<Item = Self>) -> Self {
        reasons.into_iter().min_by_key(|reason| reason.rank()).unwrap_or(Self::Passed)
    }

    /// The one with this code; none where there is none.
    #[must_use]
    pub fn of(code: u8) -> Option<Self> {
        let all = [
            Self::Passed,
            Self::Failed,
            Self::SetupTimeout,
            Self::Stopped,
            Self::InvalidPlan,
            Self::Signal,
            Self::AddressTaken,
            Self::SetupFailed,
            Self::InvalidRun,
            Self::Refused,
            Self::CleanupUnfinished,
        ];
        all.into_iter().find(|exit| exit.code() == code)
    }

    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    const fn rank(self) -> u8 {
        match self {
            Self::InvalidPlan => 0,
            Self::Refused => 1,
            Self::AddressTaken => 2,
            Self::CleanupUnfinished => 3,
            Self::SetupFailed | Self::SetupTimeout => 4,
            Self::InvalidRun => 5,
            Self::Failed => 6,
            Self::Stopped | Self::Signal => 7,
            Self::Passed => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_several_apply_the_gravest_is_told() {
        let order = [104, 121, 106, 122, 107, 120, 99, 103, 0];
        let all = [
            Exit::Passed,
            Exit::Stopped,
            Exit::Failed,
            Exit::InvalidRun,
            Exit::SetupFailed,
            Exit::CleanupUnfinished,
            Exit::AddressTaken,
            Exit::Refused,
            Exit::InvalidPlan,
        ];
        for (n, want) in order.iter().enumerate() {
            assert_eq!(Exit::choose(all[..all.len() - n].iter().copied()).code(), *want);
        }
        assert_eq!(Exit::choose([Exit::SetupTimeout, Exit::SetupFailed]).code(), 100);
        assert_eq!(Exit::choose([Exit::Signal, Exit::Stopped]).code(), 105);
        assert_eq!(Exit::choose([]).code(), 0);
    }

    #[test]
    fn an_invalid_run_neither_passes_nor_fails() {
        assert_eq!(Verdict::of(false, true), Verdict::Invalid);
        assert_eq!(Verdict::of(false, false), Verdict::Invalid);
        assert_eq!(Verdict::of(true, true).exit().code(), 99);
        assert_eq!(Verdict::of(true, false).exit().code(), 0);
    }
}
