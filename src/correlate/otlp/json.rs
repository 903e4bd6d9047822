//! OTLP/JSON made into OTLP's protobuf while it is read, without a tree in between.
//!
//! A tree of `{}` and `0` takes twenty times the text in memory, and a hostile sender would write just that. Here
//! the output is never much longer than the input. Depth is bounded by the JSON reader (128 levels).

use super::schema::{FieldOf, Kind, Message};
use super::write::Writer;
use super::{Malformed, Signal};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Encodes the JSON form of the request that carries `signal`. Unknown keys are passed over, as OTLP asks.
///
/// # Errors
/// [`Malformed::Json`] where it is no JSON, or a known key has a value that its type does not have.
pub fn transcode(signal: Signal, json: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer::default();
    let mut reader = serde_json::Deserializer::from_slice(json);
    MessageSeed { message: Message::of(signal), writer: &mut writer }
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        .map_err(|error| {
            // It may repeat a value, and a value may be megabytes.
            let mut text = error.to_string();
            if let Some((at, _)) = text.char_indices().nth(200) {
                text.truncate(at);
            }
            Malformed::Json(text)
        })?;
    Ok(writer.take())
}

/// Reads an object as the fields of a message.
struct MessageSeed<'w> {
    message: &'static Message,
    writer: &'w mut Writer,
}

/// Reads the value of a field, or all values of one that is repeated.
struct FieldSeed<'w> {
    field: &'static FieldOf,
    writer: &'w mut Writer,
}

/// Reads one value. `element`: as part of a packed list, without a tag.
struct ValueSeed<'w> {
    field: &'static FieldOf,
    writer: &'w mut Writer,
    element: bool,
}

/// A key: the field that it names.
struct KeySeed(&'static Message);

// === impl MessageSeed ===

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(KeySeed(self.message))? {
            match field {
                Some(field) => map.next_value_seed(FieldSeed { field, writer: self.writer })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

// === impl KeySeed ===

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<&'static FieldOf>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<&'static FieldOf>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(key))
    }
}

// === impl FieldSeed ===

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.field.repeated {
            deserializer.deserialize_any(self)
        } else {
            ValueSeed { field: self.field, writer: self.writer, element: false }.deserialize(deserializer)
        }
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list for {}", self.field.key)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { field, writer } = self;
        if matches!(field.kind, Kind::Message(_) | Kind::Text | Kind::Bytes | Kind::Hex(_)) {
            while list.next_element_seed(ValueSeed { field, writer, element: false })?.is_some() {}
            return Ok(());
        }
        writer.message(field.number, |writer| {
            while list.next_element_seed(ValueSeed { field, writer, element: true })?.is_some() {}
            Ok(())
        })
    }
}

// === impl ValueSeed ===

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ValueSeed<'_> {
    fn wrong<E: Error>(&self) -> E {
        E::custom(format_args!("a value that {} cannot have", self.field.key))
    }

    fn varint<E>(self, value: u64) -> Result<(), E> {
        if self.element {
            self.writer.number(value)
        } else {
            self.writer.varint(self.field.number, value)
        }
        Ok(())
    }

    fn eight<E>(self, value: u64) -> Result<(), E> {
        if self.element {
            self.writer.eight(value)
        } else {
            self.writer.fixed64(self.field.number, value)
        }
        Ok(())
    }

    /// A whole number, however it was written.
    fn whole<E: Error>(self, value: i128) -> Result<(), E> {
        let signed = i64::try_from(value);
        let unsigned = u64::try_from(value);
        match (self.field.kind, signed, unsigned) {
            (Kind::Int | Kind::Enum(..), Ok(value), _) => self.varint(value.cast_unsigned()),
            (Kind::Uint, _, Ok(value)) => self.varint(value),
            (Kind::Sint, Ok(value), _) => match i32::try_from(value) {
                Ok(value) => self.varint(u64::from(((value << 1) ^ (value >> 31)).cast_unsigned())),
                Err(_) => Err(self.wrong()),
            },
            (Kind::Fixed64, _, Ok(value)) => self.eight(value),
            (Kind::Sfixed64, Ok(value), _) => self.eight(value.cast_unsigned()),
            (Kind::Fixed32, _, Ok(value)) => match u32::try_from(value) {
                Ok(value) => {
                    self.writer.fixed32(self.field.number, value);
                    Ok(())
                }
                Err(_) => Err(self.wrong()),
            },
            (Kind::Double, ..) => self.eight((value as f64).to_bits()),
            _ => Err(self.wrong()),
        }
    }

    /// A text that stands for a number: how JSON carries 64 bits, and what is no number.
    fn number<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                let value = match text {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    _ => text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| self.wrong())?,
                };
                self.eight(value.to_bits())
            }
            Kind::Enum(prefix, names) => {
                let name = text.strip_prefix(prefix).unwrap_or(text);
                match names.iter().position(|known| *known == name) {
                    Some(value) => self.varint(value as u64),
                    None => match text.parse::<i32>() {
                        Ok(value) => self.whole(value.into()),
                        Err(_) => Err(self.wrong()),
                    },
                }
            }
            _ => match text.parse::<i64>().map(i128::from).or_else(|_| text.parse::<u64>().map(i128::from)) {
                Ok(value) => self.whole(value),
                Err(_) => Err(self.wrong()),
            },
        }
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value that {} can have", self.field.key)
    }

    /// `null` is as if the key were not there.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.element { Err(self.wrong()) } else { Ok(()) }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.varint(u64::from(value)),
            _ => Err(self.wrong()),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.whole(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.whole(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => self.eight(value.to_bits()),
            // 1.5e3 is a whole number too. Past 2^53 nobody can tell which one was meant.
            _ if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => self.whole(value as i128),
            _ => Err(self.wrong()),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let number = self.field.number;
        match self.field.kind {
            Kind::Text => self.writer.bytes(number, text.as_bytes()),
            Kind::Bytes => {
                let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
                self.writer.bytes(number, &decoded.map_err(|_| self.wrong())?);
            }
            Kind::Hex(length) => {
                let id = hex(text, length).ok_or_else(|| self.wrong())?;
                self.writer.bytes(number, id.get(..text.len() / 2).unwrap_or_default());
            }
            Kind::Bool | Kind::Message(_) => return Err(self.wrong()),
            _ => return self.number(text),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.field.kind {
            Kind::Message(message) => {
                self.writer.message(self.field.number, |writer| MessageSeed { message, writer }.visit_map(map))
            }
            _ => Err(self.wrong()),
        }
    }
}

/// An id of `length` bytes in hex, of either case; nothing at all is an id that is not there.
fn hex(text: &str, length: usize) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    if text.is_empty() {
        return Some(id);
    }
    if text.len() != 2 * length {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        *byte = (digit(0)? * 16 + digit(1)?) as u8;
    }
    Some(id)
}
