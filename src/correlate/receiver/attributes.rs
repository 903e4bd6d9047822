//! Attributes of spans, points and resources as plain text, no more of them than anybody reads.

use crate::correlate::otlp::{Fields, Malformed, Value};

/// Attributes that are kept of one span or point.
const MOST: usize = 64;
/// Bytes that are kept of a text.
const LONGEST: usize = 256;

/// Adds a `KeyValue` to `attributes`, unless its value is no scalar or there are enough.
pub(super) fn add(attributes: &mut Vec<(String, String)>, encoded: &[u8]) -> Result<(), Malformed> {
    if attributes.len() == MOST {
        return Ok(());
    }
    let (key, value) = key_value(encoded)?;
    if let Some(value) = value.map(any_value).transpose()?.flatten() {
        attributes.push((text(key), value));
    }
    Ok(())
}

/// Key and encoded `AnyValue` of a `KeyValue`.
pub(super) fn key_value(encoded: &[u8]) -> Result<(&[u8], Option<&[u8]>), Malformed> {
    let (mut key, mut value) = (&[][..], None);
    for field in Fields::of(encoded) {
        let field = field?;
        match field.number {
            1 => key = field.value.bytes()?,
            2 => value = Some(field.value.bytes()?),
            _ => {}
        }
    }
    Ok((key, value))
}

/// The text of an `AnyValue` that is text, not copied.
pub(super) fn string_value(encoded: &[u8]) -> Result<&[u8], Malformed> {
    let mut text = &[][..];
    for field in Fields::of(encoded) {
        let field = field?;
        if field.number == 1 {
            text = field.value.bytes()?;
        }
    }
    Ok(text)
}

/// Whose clock a resource is on: `service.name`, and which of its instances.
pub(super) fn service(resource: Option<&[u8]>) -> Result<String, Malformed> {
    let (mut name, mut instance, mut host) = (&[][..], &[][..], &[][..]);
    for field in Fields::of(resource.unwrap_or_default()) {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        let (key, value) = key_value(field.value.bytes()?)?;
        let wanted = match key {
            b"service.name" => &mut name,
            b"service.instance.id" => &mut instance,
            b"host.name" => &mut host,
            _ => continue,
        };
        *wanted = string_value(value.unwrap_or_default())?;
    }
    let mut service = text(name);
    let instance = if instance.is_empty() { host } else { instance };
    if !instance.is_empty() {
        service.push('/');
        service.push_str(&text(instance));
    }
    Ok(service)
}

/// A text, cut to what is kept. What is not UTF-8 is replaced: it is somebody's data, not our protocol.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut end = bytes.len().min(LONGEST);
    // Not within a character.
    while end < bytes.len() && end > 0 && bytes.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    let mut text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    // What was replaced is longer than what it replaces.
    while text.len() > LONGEST {
        text.pop();
    }
    text
}

fn any_value(encoded: &[u8]) -> Result<Option<String>, Malformed> {
    let mut text_of = None;
    for field in Fields::of(encoded) {
        let field = field?;
        text_of = match (field.number, field.value) {
            (1, Value::Bytes(value)) => Some(text(value)),
            (2, Value::Varint(value)) => Some((value != 0).to_string()),
            (3, Value::Varint(value)) => Some(value.cast_signed().to_string()),
            (4, Value::Fixed64(value)) => Some(f64::from_bits(value).to_string()),
            (1..=4, _) => return Err(Malformed::WrongType),
            _ => None,
        };
    }
    Ok(text_of)
}
