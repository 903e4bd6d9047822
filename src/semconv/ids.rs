//! The run id and the ids of W3C Trace Context.
//!
//! A run's id is the first 8 bytes of the trace id of each of its requests, so a trace
//! backend, a log line or a SQL comment that carries a trace id names the run as well.

use std::fmt;
use std::str::FromStr;

/// The id of one run: 64 bits, written as 16 lower-case hex digits. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(u64);

/// The id of one trace: 16 bytes, the first 8 of them the run's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of one span: 8 bytes, never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// Not exactly this many lower-case hex digits.
    NotHex {
        /// How many digits there must be.
        digits: usize,
    },
    /// All zeros, which W3C Trace Context calls invalid.
    Zero,
}

// === impl RunId ===

impl RunId {
    /// Makes a run id of 64 random bits; a zero, which is no id, becomes one.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    /// The 64 bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for RunId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = parse_hex::<8>(text)?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

// === impl TraceId ===

impl TraceId {
    /// The trace id of an iteration of `run`, with 64 random bits behind the run's id.
    #[must_use]
    pub const fn of_run(run: RunId, random: u64) -> Self {
        let (high, low) = (run.0.to_be_bytes(), random.to_be_bytes());
        let mut bytes = [0; 16];
        let mut i = 0;
        while i < 8 {
            bytes[i] = high[i];
            bytes[i + 8] = low[i];
            i += 1;
        }
        Self(bytes)
    }

    /// The run that a trace id of pacecar's names. For a foreign trace these are just its first 8 bytes.
    #[must_use]
    pub fn run(&self) -> RunId {
        let mut high = [0; 8];
        high.copy_from_slice(&self.0[..8]);
        RunId::new(u64::from_be_bytes(high))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for TraceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex::<16>(text).map(Self)
    }
}

// === impl SpanId ===

impl SpanId {
    /// A span id of 64 random bits; a zero, which is no id, becomes one.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self((if bits == 0 { 1 } else { bits }).to_be_bytes())
    }
}

impl SpanId {
    /// The id of the root span of a trace that pacecar makes: of the iteration. It follows from the trace id, so that
    /// nobody has to carry it (the finalizer of splitmix64 over the low 8 bytes).
    #[must_use]
    pub const fn root_of(trace: &TraceId) -> Self {
        let mut low = 0_u64;
        let mut i = 8;
        while i < 16 {
            low = low << 8 | trace.0[i] as u64;
            i += 1;
        }
        low = (low ^ (low >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        low = (low ^ (low >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self::new(low ^ (low >> 31))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl FromStr for SpanId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hex::<8>(text).map(Self)
    }
}

// === impl IdError ===

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHex { digits } => write!(f, "not {digits} lower-case hex digits"),
            Self::Zero => f.write_str("all zeros, which is no id"),
        }
    }
}

impl std::error::Error for IdError {}

/// Reads exactly `2 * N` lower-case hex digits that are not all zero.
fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    let malformed = IdError::NotHex { digits: 2 * N };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(malformed);
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0]).ok_or(malformed)? << 4) | value(pair[1]).ok_or(malformed)?;
    }
    if bytes == [0; N] { Err(IdError::Zero) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_trace_id_begins_with_its_run() {
        let run: RunId = "0123456789abcdef".parse().unwrap();
        let trace = TraceId::of_run(run, 7);
        assert_eq!(trace.to_string(), "0123456789abcdef0000000000000007");
        assert_eq!(trace.run(), run);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert_eq!("0123".parse::<RunId>(), Err(IdError::NotHex { digits: 16 }));
        assert_eq!("0123456789ABCDEF".parse::<RunId>(), Err(IdError::NotHex { digits: 16 }));
        assert_eq!("0000000000000000".parse::<SpanId>(), Err(IdError::Zero));
        assert_eq!(RunId::new(0).bits(), 1);
    }
}
