//! Short ways into JSON that say where they failed.

use serde_json::Value;

/// The value at a chain of keys; panics with what there is instead.
pub(crate) fn at<'a>(value: &'a Value, keys: &[&str]) -> &'a Value {
    let mut here = value;
    for key in keys {
        here = here.get(key).unwrap_or_else(|| panic!("no {key:?} of {keys:?} in {here:#}"));
    }
    here
}

/// The number at a chain of keys.
pub(crate) fn number(value: &Value, keys: &[&str]) -> f64 {
    at(value, keys).as_f64().unwrap_or_else(|| panic!("{keys:?} is no number: {}", at(value, keys)))
}

/// A count at a chain of keys.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be whole")]
pub(crate) fn count(value: &Value, keys: &[&str]) -> u64 {
    let number = number(value, keys);
    assert!(number >= 0.0 && number.fract() == 0.0, "{keys:?} is no count: {number}");
    number as u64
}

/// The text at a chain of keys.
pub(crate) fn text<'a>(value: &'a Value, keys: &[&str]) -> &'a str {
    at(value, keys).as_str().unwrap_or_else(|| panic!("{keys:?} is no text: {}", at(value, keys)))
}

/// The first object anywhere below `value` that has `key` with the text `wanted`.
pub(crate) fn find<'a>(value: &'a Value, key: &str, wanted: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) if map.get(key).and_then(Value::as_str) == Some(wanted) => Some(value),
        Value::Object(map) => map.values().find_map(|inner| find(inner, key, wanted)),
        Value::Array(list) => list.iter().find_map(|inner| find(inner, key, wanted)),
        _ => None,
    }
}
