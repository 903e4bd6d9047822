//! The headers `traceparent` and `baggage`, written and read without allocating where it matters.

use super::ids::{IdError, RunId, SpanId, TraceId};
use std::fmt;

/// The length of a `traceparent` of version 00 in bytes.
pub const TRACEPARENT_LEN: usize = 55;

/// What a `traceparent` carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace: one iteration.
    pub trace: TraceId,
    /// The span that is the parent of what the receiver does: one request.
    pub span: SpanId,
    /// The flags as sent. pacecar sends [`TraceContext::SAMPLED`]; see [`TraceContext::RANDOM`].
    pub flags: u8,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceContextError {
    /// Not four fields of the right length, joined by dashes, or a forbidden version.
    Malformed,
    /// One of the ids is none.
    Id(IdError),
}

/// The four members that pacecar writes into `baggage`. None of them is a secret:
/// baggage travels on to third parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baggage<'a> {
    /// `pacecar.run`
    pub run: RunId,
    /// `pacecar.scenario`
    pub scenario: &'a str,
    /// `pacecar.tenant`
    pub tenant: &'a str,
    /// `pacecar.step`
    pub step: &'a str,
}

// === impl TraceContext ===

impl TraceContext {
    /// The flag of a trace that is recorded.
    pub const SAMPLED: u8 = 0x01;
    /// The random flag of level 2. Off unless the plan asks for it: OpenTelemetry Go before
    /// 1.42 and Rust before 0.32 throw away a `traceparent` that carries it.
    pub const RANDOM: u8 = 0x02;

    /// Writes the header's value.
    #[must_use]
    pub fn encode(&self) -> [u8; TRACEPARENT_LEN] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut out = [b'-'; TRACEPARENT_LEN];
        out[0] = b'0';
        out[1] = b'0';
        let mut hex = |at: usize, bytes: &[u8]| {
            for (i, byte) in bytes.iter().enumerate() {
                out[at + 2 * i] = DIGITS[usize::from(byte >> 4)];
                out[at + 2 * i + 1] = DIGITS[usize::from(byte & 15)];
            }
        };
        hex(3, &self.trace.0);
        hex(36, &self.span.0);
        hex(53, &[self.flags]);
        out
    }

    /// Reads the header's value. Later versions are read as far as version 00 goes, as the
    /// specification asks.
    ///
    /// # Errors
    /// [`TraceContextError`] where the value is malformed; the caller then acts as if there were none.
    pub fn decode(value: &str) -> Result<Self, TraceContextError> {
        let mut fields = value.trim().split('-');
        let mut next = || fields.next().ok_or(TraceContextError::Malformed);
        let (version, trace, span, flags) = (next()?, next()?, next()?, next()?);
        let hex_byte = |text: &str| {
            if text.len() == 2 && !text.bytes().any(|b| b.is_ascii_uppercase() || b == b'+') {
                u8::from_str_radix(text, 16).map_err(|_| TraceContextError::Malformed)
            } else {
                Err(TraceContextError::Malformed)
            }
        };
        let version = hex_byte(version)?;
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return Err(TraceContextError::Malformed);
        }
        Ok(Self {
            trace: trace.parse().map_err(TraceContextError::Id)?,
            span: span.parse().map_err(TraceContextError::Id)?,
            flags: hex_byte(flags)?,
        })
    }
}

// === impl TraceContextError ===

impl fmt::Display for TraceContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a traceparent"),
            Self::Id(_) => f.write_str("a traceparent with an invalid id"),
        }
    }
}

impl std::error::Error for TraceContextError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed => None,
            Self::Id(source) => Some(source),
        }
    }
}

// === impl Baggage ===

impl fmt::Display for Baggage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pacecar.run={},pacecar.scenario=", self.run)?;
        write_encoded(f, self.scenario)?;
        f.write_str(",pacecar.tenant=")?;
        write_encoded(f, self.tenant)?;
        f.write_str(",pacecar.step=")?;
        write_encoded(f, self.step)
    }
}

/// Percent-encodes what a baggage value may not hold (W3C Baggage, `baggage-octet`).
fn write_encoded(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        let plain = matches!(byte, 0x21 | 0x23..=0x24 | 0x26..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
        if plain {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_traceparent_survives_the_round_trip() {
        let text = "00-0123456789abcdef0000000000000007-00000000000000aa-01";
        let context = TraceContext::decode(text).unwrap();
        assert_eq!(context.encode().as_slice(), text.as_bytes());
    }

    #[test]
    fn malformed_traceparents_are_refused() {
        for text in [
            "",
            "00",
            "ff-0123456789abcdef0000000000000007-00000000000000aa-01",
            "00-0123456789abcdef0000000000000007-00000000000000aa-01-more",
            "00-00000000000000000000000000000000-00000000000000aa-01",
            "00-0123456789abcdef0000000000000007-00000000000000AA-01",
            "00-0123456789abcdef0000000000000007-00000000000000aa-+1",
        ] {
            assert!(TraceContext::decode(text).is_err(), "{text}");
        }
        assert!(TraceContext::decode("01-0123456789abcdef0000000000000007-00000000000000aa-01-more").is_ok());
    }

    #[test]
    fn baggage_values_are_percent_encoded() {
        let baggage = Baggage { run: RunId::new(1), scenario: "a b", tenant: "t,1", step: "log\"in%" };
        assert_eq!(
            baggage.to_string(),
            "pacecar.run=0000000000000001,pacecar.scenario=a%20b,pacecar.tenant=t%2C1,pacecar.step=log%22in%25"
        );
    }
}
