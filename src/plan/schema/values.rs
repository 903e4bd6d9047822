//! The scalars of a plan. Where a number or a word is meant, a text with `${…}` may stand too.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;
use std::marker::PhantomData;

/// A pattern of texts that are filled before they are read.
const FILLED: &str = r"\$\{";

/// A text; numbers and the like are taken as they are written.
pub(super) struct Text;
/// One text, or a list.
pub(super) struct Texts;
/// A whole number of at least 0.
pub(super) struct Integer;
/// A number.
pub(super) struct Number;
/// True or false.
pub(super) struct Flag;
/// A duration.
pub(super) struct Time;
/// A part of a run.
pub(super) struct Part;
/// A pause.
pub(super) struct Pause;
/// A rate.
pub(super) struct Rate;
/// A status, or a list of them.
pub(super) struct Statuses;
/// One of a few words, or a text that is filled.
pub(super) struct Word<T>(PhantomData<T>);

/// Describes a type that stands in place, without a definition of its own.
macro_rules! inline {
    ($($type:ty => $name:literal: $schema:expr;)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )*};
}

inline! {
    Text => "text": json_schema!({ "type": ["string", "number", "boolean"] });
    Texts => "texts": json_schema!({ "type": ["array", "string"], "items": { "type": ["string", "number", "boolean"] } });
    Integer => "integer": json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": FILLED }] });
    Number => "number": json_schema!({ "anyOf": [{ "type": "number", "minimum": 0 }, { "type": "string", "pattern": FILLED }] });
    Flag => "flag": json_schema!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": FILLED }] });
    Time => "time": timed("^\\+?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)$|^\\+?(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d))+$");
    Pause => "pause": timed("^[0-9.]+[0-9.nuµμmshd]*(\\.\\.[0-9.]+[0-9.nuµμmshd]*)?$");
    Part => "part": json_schema!({ "type": "string", "pattern": "\\.\\.|\\$\\{" });
    Rate => "rate": json_schema!({ "type": "string", "pattern": "^ *[0-9.]+ */ *[0-9.]*[nuµμmshd]|\\$\\{" });
    Statuses => "statuses": json_schema!({
        "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": FILLED },
            { "type": "array", "minItems": 1, "items": {
                "anyOf": [{ "type": "integer", "minimum": 100, "maximum": 599 }, { "type": "string", "pattern": FILLED }]
            } },
        ]
    });
}

// === impl Word ===

impl<T: JsonSchema> JsonSchema for Word<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words = T::json_schema(generator);
        json_schema!({ "anyOf": [words, { "type": "string", "pattern": FILLED }] })
    }
}

/// Milliseconds, a text of this pattern, or one that is filled.
fn timed(pattern: &str) -> Schema {
    json_schema!({
        "anyOf": [
            { "type": "number", "minimum": 0 },
            { "type": "string", "pattern": pattern },
            { "type": "string", "pattern": FILLED },
        ]
    })
}
