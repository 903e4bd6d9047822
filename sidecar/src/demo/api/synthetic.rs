//! Which run a request belongs to, and how the database learns it.
//!
//! The setting is local to the transaction, and set by the statement that inserts: it needs no round trip
//! of its own and cannot stay behind in a pooled connection.

use http::HeaderMap;
use pacecar::semconv::RunId;

/// The run that `baggage` names, as 16 hex digits; empty for everybody else's requests.
pub(super) fn run_id(headers: &HeaderMap) -> String {
    let members = headers.get_all("baggage").iter().filter_map(|value| value.to_str().ok());
    let mut members = members.flat_map(|value| value.split(','));
    let named = members.find_map(|member| member.trim().strip_prefix("pacecar.run="));
    named.and_then(|id| id.parse::<RunId>().ok()).map(|id| id.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_run_of_pacecar_is_one() {
        for (baggage, expected) in [
            ("a=b,pacecar.run=0123456789abcdef,pacecar.step=x", "0123456789abcdef"),
            ("pacecar.run=garbage", ""),
            ("pacecar.run=", ""),
            ("a=pacecar.run=0123456789abcdef", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("baggage", baggage.parse().unwrap());
            assert_eq!(run_id(&headers), expected, "{baggage}");
        }
        assert_eq!(run_id(&HeaderMap::new()), "");
    }
}
