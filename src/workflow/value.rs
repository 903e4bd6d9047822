//! Values of variables: read without copying where that is possible, and compared.

use super::escape::Escape;
use minijinja::value::ValueKind;
use serde_json::{Number, Value};
use std::borrow::Cow;

/// The most parts a computed value may have: a lazy list of the template engine can be endless.
const MAX_PARTS: usize = 1 << 20;
/// How deep a computed value may nest.
const MAX_DEPTH: usize = 64;

/// The value of a variable or expression.
#[derive(Clone, Debug)]
pub(crate) enum Got<'a> {
    /// A text.
    Text(&'a str),
    /// A number that pacecar counts itself.
    Integer(u64),
    /// A captured value, or one of a data file.
    Json(&'a Value),
    /// A computed value.
    Owned(Value),
}

// === impl Got ===

impl<'a> Got<'a> {
    /// Its value, copied where it is borrowed.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.to_owned()),
            Self::Integer(number) => Value::from(number),
            Self::Json(value) => value.clone(),
            Self::Owned(value) => value,
        }
    }

    /// Its text: texts as they are, all else as JSON.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Json(value) => text_of(value),
            Self::Owned(value) => text_of(value),
        }
    }

    /// Appends its text, escaped.
    pub(crate) fn write_text(&self, escape: Escape, out: &mut Vec<u8>) {
        escape.push(&self.text(), out);
    }

    /// Appends it as JSON, its type kept.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => quoted(text, out),
            Self::Json(Value::String(text)) => quoted(text, out),
            Self::Owned(Value::String(text)) => quoted(text, out),
            other => Escape::None.push(&other.text(), out),
        }
    }

    /// Whether it is true as Jinja reads it: not null, false, zero or empty.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Integer(number) => *number != 0,
            Self::Json(value) => truth(value),
            Self::Owned(value) => truth(value),
        }
    }

    /// It as the template engine sees it.
    pub(crate) fn to_engine(&self) -> minijinja::Value {
        match self {
            Self::Text(text) => minijinja::Value::from(*text),
            Self::Integer(number) => minijinja::Value::from(*number),
            Self::Json(value) => to_engine(value),
            Self::Owned(value) => to_engine(value),
        }
    }
}

/// A JSON value as the template engine sees it.
pub(crate) fn to_engine(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(value) => minijinja::Value::from(*value),
        Value::Number(number) => {
            if let Some(value) = number.as_i64() {
                minijinja::Value::from(value)
            } else if let Some(value) = number.as_u64() {
                minijinja::Value::from(value)
            } else {
                minijinja::Value::from(number.as_f64().unwrap_or(f64::NAN))
            }
        }
        Value::String(text) => minijinja::Value::from(text.as_str()),
        Value::Array(items) => items.iter().map(to_engine).collect(),
        Value::Object(map) => {
            minijinja::Value::from_pairs(map.iter().map(|(key, value)| (key.as_str(), to_engine(value))))
        }
    }
}

/// A value of the template engine as JSON; none where it is undefined, holds an error, or is too large.
pub(crate) fn from_engine(value: &minijinja::Value) -> Option<Value> {
    convert(value, 0, &mut MAX_PARTS.clone())
}

/// Whether an answer's value is the expected one: JSON equality, numbers by value, and an
/// integer also matches its decimal text, because half of all APIs write ids as text.
pub(crate) fn matches(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Number(expected), Value::Number(actual)) => same_number(expected, actual),
        (Value::Number(expected), Value::String(actual)) => {
            (expected.is_i64() || expected.is_u64()) && *actual == expected.to_string()
        }
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| matches(e, a))
        }
        (Value::Object(expected), Value::Object(actual)) => {
            expected.len() == actual.len()
                && expected.iter().all(|(key, e)| actual.get(key).is_some_and(|a| matches(e, a)))
        }
        _ => expected == actual,
    }
}

/// A value as a figure: numbers, texts of a number, and true and false as 1 and 0, as k6 counts them.
pub(crate) fn figure(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|figure| figure.is_finite())
}

fn same_number(a: &Number, b: &Number) -> bool {
    match (a.as_i64(), b.as_i64(), a.as_u64(), b.as_u64()) {
        (Some(a), Some(b), ..) => a == b,
        (.., Some(a), Some(b)) => a == b,
        _ => a.as_f64() == b.as_f64(),
    }
}

fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed("null"),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        other => Cow::Owned(other.to_string()),
    }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    Escape::Json.push(text, out);
    out.push(b'"');
}

fn convert(value: &minijinja::Value, depth: usize, parts: &mut usize) -> Option<Value> {
    *parts = parts.checked_sub(1)?;
    if depth > MAX_DEPTH {
        return None;
    }
    Some(match value.kind() {
        ValueKind::Undefined | ValueKind::Invalid => return None,
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => number(value)?,
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter().ok()? {
                items.push(convert(&item, depth + 1, parts)?);
            }
            Value::Array(items)
        }
        ValueKind::Map => {
            let mut map = serde_json::Map::new();
            for key in value.try_iter().ok()? {
                let item = value.get_item(&key).ok()?;
                map.insert(key.to_string(), convert(&item, depth + 1, parts)?);
            }
            Value::Object(map)
        }
        _ => Value::String(value.to_string()),
    })
}

fn number(value: &minijinja::Value) -> Option<Value> {
    if value.is_integer() {
        if let Ok(integer) = i64::try_from(value.clone()) {
            return Some(Value::from(integer));
        }
        if let Ok(integer) = u64::try_from(value.clone()) {
            return Some(Value::from(integer));
        }
    }
    Number::from_f64(f64::try_from(value.clone()).ok()?).map(Value::Number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use serde_json::json;

    #[test]
    fn an_expected_integer_matches_its_decimal_text_and_no_other() {
        assert!(matches(&json!(7), &json!("7")));
        assert!(matches(&json!({ "a": [7] }), &json!({ "a": ["7"] })));
        assert!(!matches(&json!(7), &json!("07")));
        assert!(!matches(&json!(7), &json!("7.0")));
        assert!(!matches(&json!("7"), &json!(7)));
        assert!(!matches(&json!(1.5), &json!("1.5")));
    }

    #[test]
    fn numbers_are_compared_by_value() {
        assert!(matches(&json!(1), &json!(1.0)));
        assert!(!matches(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992_i64)));
        assert!(matches(&json!(u64::MAX), &json!(u64::MAX)));
        assert!(!matches(&json!(null), &json!(false)));
    }

    #[test]
    fn values_survive_the_way_through_the_engine() {
        for value in [json!(null), json!(true), json!(-3), json!(u64::MAX), json!(0.5), json!("é"), json!([1, ["a"]])]
        {
            assert_eq!(from_engine(&to_engine(&value)), Some(value));
        }
        assert_eq!(from_engine(&to_engine(&json!({ "a": { "b": [] } }))), Some(json!({ "a": { "b": [] } })));
    }

    #[test]
    fn figures_are_numbers_texts_of_numbers_and_truth() {
        assert_eq!(figure(&json!(0.002)), Some(0.002));
        assert_eq!(figure(&json!("0.002")), Some(0.002));
        assert_eq!(figure(&json!(true)), Some(1.0));
        for none in [json!(null), json!("many"), json!("NaN"), json!("inf"), json!([1]), json!({})] {
            assert_eq!(figure(&none), None, "{none}");
        }
    }
}
