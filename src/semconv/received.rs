//! What pacecar wrote into `baggage`, read by who received it.
//!
//! Whoever sends a request writes its baggage, so this is said, not proven; lengths are bounded here, because what is
//! read ends up in spans and maps.

use super::RunId;

/// The most of all `baggage` that is read, in bytes: what W3C Baggage asks of everybody.
const MOST: usize = 8192;
/// The most of a name that is kept, in bytes.
const LONGEST: usize = 256;

/// The members of `baggage` that are pacecar's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedBaggage {
    /// `pacecar.run`
    pub run: RunId,
    /// `pacecar.scenario`; empty where it is not said.
    pub scenario: String,
    /// `pacecar.tenant`; empty where it is not said.
    pub tenant: String,
    /// `pacecar.step`; empty where it is not said.
    pub step: String,
}

// === impl ReceivedBaggage ===

impl ReceivedBaggage {
    /// Whether a value of `baggage` can have members of pacecar's: quick, and right where it says no.
    #[must_use]
    #[inline]
    pub fn may_be_in(value: &[u8]) -> bool {
        const KEY: &[u8] = b"pacecar.run";
        let mut rest = value;
        while rest.len() > KEY.len() {
            if rest.trim_ascii_start().starts_with(KEY) {
                return true;
            }
            let Some(comma) = rest.iter().position(|byte| *byte == b',') else { return false };
            rest = &rest[comma + 1..];
        }
        false
    }

    /// Reads the values of all `baggage` headers of a request. None where no run is named. What is not pacecar's is
    /// passed over without a copy.
    #[must_use]
    pub fn decode<'a>(headers: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut budget = MOST;
        let mut run: Option<RunId> = None;
        let [mut scenario, mut tenant, mut step] = [const { String::new() }; 3];
        for value in headers {
            let Some(value) = within(value, &mut budget) else { continue };
            for (key, value) in members(value) {
                match key {
                    "pacecar.run" => run = Some(value.parse().ok()?),
                    "pacecar.scenario" => scenario = decoded(value),
                    "pacecar.tenant" => tenant = decoded(value),
                    "pacecar.step" => step = decoded(value),
                    _ => {}
                }
            }
        }
        run.map(|run| Self { run, scenario, tenant, step })
    }
}

// === helpers ===

/// A header's text, while all of them together are not too long.
fn within<'a>(value: &'a [u8], budget: &mut usize) -> Option<&'a str> {
    *budget = budget.checked_sub(value.len())?;
    std::str::from_utf8(value).ok()
}

/// `key=value;property`, joined by commas.
fn members(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(',').filter_map(|member| {
        let member = member.split(';').next().unwrap_or_default();
        let (key, value) = member.split_once('=')?;
        Some((key.trim(), value.trim()))
    })
}

/// Undoes percent-encoding; what is no UTF-8 is replaced, as W3C Baggage asks.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len().min(LONGEST));
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        if bytes.len() == LONGEST {
            break;
        }
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        match (first, digit(0), digit(1)) {
            #[allow(clippy::cast_possible_truncation, reason = "two hex digits")]
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::semconv::Baggage;

    fn decode(values: &[&str]) -> Option<ReceivedBaggage> {
        ReceivedBaggage::decode(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn what_was_written_is_read() {
        let written = Baggage { run: RunId::new(1), scenario: "a b", tenant: "t,1=ü", step: "log\"in%;" };
        let text = written.to_string();
        for values in [&[text.as_str()][..], &["x=y, z=1;p", &text], &[&format!("x=y ,{text}, more=1")]] {
            let read = decode(values).unwrap();
            assert_eq!((read.run, read.scenario.as_str()), (written.run, "a b"), "{values:?}");
            assert_eq!((read.tenant.as_str(), read.step.as_str()), ("t,1=ü", "log\"in%;"));
        }
    }

    #[test]
    fn without_a_run_there_is_nothing() {
        for text in [
            "",
            "a=b",
            "pacecar.tenant=1",
            "pacecar.run=",
            "pacecar.run=garbage",
            "pacecar.run=0000000000000000",
            "a=pacecar.run=0123456789abcdef",
            "xpacecar.run=0123456789abcdef",
        ] {
            assert_eq!(decode(&[text]), None, "{text}");
        }
        assert!(ReceivedBaggage::decode([&b"\xff\xfe"[..]].into_iter()).is_none());
    }

    #[test]
    fn the_quick_look_misses_nothing() {
        for text in
            ["pacecar.run=0123456789abcdef", " \t pacecar.run = x", "a=b, pacecar.run=0", "a=b;c=d,,pacecar.run=1"]
        {
            assert!(ReceivedBaggage::may_be_in(text.as_bytes()), "{text}");
        }
        for text in ["", ",", "pacecar.run", "a=pacecar.run=1", "userId=alice,serverNode=DF%2028", "pacecar.tenant=7"] {
            assert!(!ReceivedBaggage::may_be_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let long = format!("pacecar.run=0123456789abcdef,pacecar.tenant={}", "t".repeat(4000));
        assert_eq!(decode(&[&long]).unwrap().tenant.len(), LONGEST);
        let endless = format!("{},pacecar.run=0123456789abcdef", "a=b,".repeat(MOST));
        assert_eq!(decode(&[&endless]), None);
    }
}
