//! Which requests are pacecar's.
//!
//! Both markers must agree: the run id in `baggage`, and the first half of the trace id in `traceparent`. A request of
//! a customer, whose gateway writes either header, has neither.

use crate::semconv::{self, ReceivedBaggage, RunId, TraceContext, TraceId};
use http::HeaderMap;
use http::header::HeaderName;

const BAGGAGE: HeaderName = HeaderName::from_static(semconv::BAGGAGE);
const TRACEPARENT: HeaderName = HeaderName::from_static(semconv::TRACEPARENT);

/// A request of pacecar's, as [`SyntheticLayer`](super::SyntheticLayer) puts it into the request's extensions.
///
/// The names are as the plan has them, at most 256 bytes each; empty where the request does not say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Synthetic {
    /// The run that it belongs to.
    pub run: RunId,
    /// The tenant that it plays.
    pub tenant: String,
    /// The scenario.
    pub scenario: String,
    /// The step of its workflow.
    pub step: String,
}

// === impl Synthetic ===

impl Synthetic {
    /// Reads a request's headers: none where it is a real one. What is said is not proven here.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        read(headers).map(|(_, synthetic)| synthetic)
    }
}

/// The request of pacecar's that these headers are of, and its trace. Nothing is allocated for any other.
#[inline]
pub(super) fn read(headers: &HeaderMap) -> Option<(TraceId, Synthetic)> {
    // Few requests have baggage, and hardly any real one has ours: everything else is looked at only then.
    let mut baggage = headers.get_all(BAGGAGE).iter();
    if baggage.any(|value| ReceivedBaggage::may_be_in(value.as_bytes())) { read_marked(headers) } else { None }
}

#[cold]
fn read_marked(headers: &HeaderMap) -> Option<(TraceId, Synthetic)> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let trace = TraceContext::decode(parent.to_str().ok()?).ok()?.trace;
    let baggage = ReceivedBaggage::decode(headers.get_all(BAGGAGE).iter().map(http::HeaderValue::as_bytes))?;
    let ReceivedBaggage { run, scenario, tenant, step } = baggage;
    (trace.run() == run).then_some((trace, Synthetic { run, tenant, scenario, step }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }

    const PARENT: (&str, &str) = ("traceparent", "00-0123456789abcdef0000000000000007-00000000000000aa-01");
    const OTHER: (&str, &str) = ("traceparent", "00-fedcba98765432100000000000000007-00000000000000aa-01");
    const BAGGAGE: (&str, &str) =
        ("baggage", "pacecar.run=0123456789abcdef,pacecar.scenario=main,pacecar.tenant=7,pacecar.step=log%20in");

    #[test]
    fn trace_and_baggage_must_name_the_same_run() {
        let found = Synthetic::from_headers(&headers(&[PARENT, ("baggage", "a=b"), BAGGAGE])).unwrap();
        assert_eq!((found.tenant.as_str(), found.scenario.as_str(), found.step.as_str()), ("7", "main", "log in"));
        assert_eq!(found.run.to_string(), "0123456789abcdef");
        for real in [
            &[][..],
            &[PARENT],
            &[BAGGAGE],
            &[OTHER, BAGGAGE],
            &[PARENT, ("baggage", "pacecar.run=fedcba9876543210")],
            &[PARENT, ("baggage", "a=b")],
            &[("traceparent", "garbage"), BAGGAGE],
            // Two parents are none: W3C Trace Context.
            &[PARENT, OTHER, BAGGAGE],
        ] {
            assert_eq!(Synthetic::from_headers(&headers(real)), None, "{real:?}");
        }
    }
}
