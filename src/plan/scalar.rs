//! The types of unquoted scalars: YAML 1.2's core schema, where `off` and `no` are text.

use super::node::Kind;

/// What an unquoted scalar is.
pub(crate) fn resolve(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Kind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
        _ => {}
    }
    number(text).unwrap_or_else(|| Kind::Text(text.to_owned()))
}

fn number(text: &str) -> Option<Kind> {
    let radix = |digits: &str, radix| {
        let proper = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        proper.then(|| i64::from_str_radix(digits, radix).ok().map(Kind::Int)).flatten()
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let proper = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    if !proper {
        return None;
    }
    if mantissa.contains('.') || exponent.is_some() {
        return text.parse().ok().map(Kind::Float);
    }
    text.parse().map(Kind::Int).or_else(|_| text.parse().map(Kind::Float)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        for (text, expected) in [
            ("", Kind::Null),
            ("~", Kind::Null),
            ("true", Kind::Bool(true)),
            ("8", Kind::Int(8)),
            ("-8", Kind::Int(-8)),
            ("007", Kind::Int(7)),
            ("0x1F", Kind::Int(31)),
            ("0o17", Kind::Int(15)),
            ("1.5", Kind::Float(1.5)),
            (".5", Kind::Float(0.5)),
            ("1.", Kind::Float(1.0)),
            ("1e3", Kind::Float(1000.0)),
            ("99999999999999999999", Kind::Float(1e20)),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
        for text in
            ["off", "no", "yes", "10m", "1.2.3", ".", "-", "+", "e5", "1e", "0x", "0xg", "1_000", "inf", "nan", "0x+1"]
        {
            assert_eq!(resolve(text), Kind::Text(text.to_owned()), "{text}");
        }
    }
}
