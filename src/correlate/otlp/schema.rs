//! The messages of OTLP 1.x as tables: which JSON key is which field, and how its value is encoded.
//!
//! Only what turns JSON into protobuf needs them; protobuf passes through without. Keys are matched in
//! lowerCamelCase, which OTLP/JSON asks for, and in snake_case, which protobuf's own JSON readers take too.

use super::Signal;

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: &'static [FieldOf],
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct FieldOf {
    /// In lowerCamelCase.
    pub(super) key: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// How a value is encoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    /// Base64.
    Bytes,
    /// Bytes in hex: OTLP/JSON's ids, of this length, or empty.
    Hex(usize),
    Bool,
    /// `int64` and `int32`.
    Int,
    /// `uint64` and `uint32`.
    Uint,
    /// `sint32`, zigzag.
    Sint,
    Fixed64,
    Sfixed64,
    Fixed32,
    Double,
    /// A number; its name, in capitals with this prefix, is taken too.
    Enum(&'static str, &'static [&'static str]),
    Message(&'static Message),
}

const fn one(key: &'static str, number: u32, kind: Kind) -> FieldOf {
    FieldOf { key, number, kind, repeated: false }
}

const fn many(key: &'static str, number: u32, kind: Kind) -> FieldOf {
    FieldOf { key, number, kind, repeated: true }
}

const fn list(key: &'static str, number: u32, message: &'static Message) -> FieldOf {
    many(key, number, Kind::Message(message))
}

use Kind::{Bool, Bytes, Double, Enum, Fixed32, Fixed64, Hex, Int, Sfixed64, Sint, Text, Uint};

const TRACE_ID: Kind = Hex(16);
const SPAN_ID: Kind = Hex(8);
const TEMPORALITY: Kind = Enum("AGGREGATION_TEMPORALITY_", &["UNSPECIFIED", "DELTA", "CUMULATIVE"]);

// === common ===

static ANY_VALUE: Message = Message {
    fields: &[
        one("stringValue", 1, Text),
        one("boolValue", 2, Bool),
        one("intValue", 3, Int),
        one("doubleValue", 4, Double),
        one("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
        one("kvlistValue", 6, Kind::Message(&KVLIST_VALUE)),
        one("bytesValue", 7, Bytes),
    ],
};
static ARRAY_VALUE: Message = Message { fields: &[list("values", 1, &ANY_VALUE)] };
static KVLIST_VALUE: Message = Message { fields: &[list("values", 1, &KEY_VALUE)] };
static KEY_VALUE: Message = Message { fields: &[one("key", 1, Text), one("value", 2, Kind::Message(&ANY_VALUE))] };
static SCOPE: Message = Message {
    fields: &[
        one("name", 1, Text),
        one("version", 2, Text),
        list("attributes", 3, &KEY_VALUE),
        one("droppedAttributesCount", 4, Uint),
    ],
};
static ENTITY_REF: Message = Message {
    fields: &[
        one("schemaUrl", 1, Text),
        one("type", 2, Text),
        many("idKeys", 3, Text),
        many("descriptionKeys", 4, Text),
    ],
};
static RESOURCE: Message = Message {
    fields: &[
        list("attributes", 1, &KEY_VALUE),
        one("droppedAttributesCount", 2, Uint),
        list("entityRefs", 3, &ENTITY_REF),
    ],
};

// === traces ===

static TRACES: Message = Message { fields: &[list("resourceSpans", 1, &RESOURCE_SPANS)] };
static RESOURCE_SPANS: Message = Message {
    fields: &[
        one("resource", 1, Kind::Message(&RESOURCE)),
        list("scopeSpans", 2, &SCOPE_SPANS),
        one("schemaUrl", 3, Text),
    ],
};
static SCOPE_SPANS: Message =
    Message { fields: &[one("scope", 1, Kind::Message(&SCOPE)), list("spans", 2, &SPAN), one("schemaUrl", 3, Text)] };
static SPAN: Message = Message {
    fields: &[
        one("traceId", 1, TRACE_ID),
        one("spanId", 2, SPAN_ID),
        one("traceState", 3, Text),
        one("parentSpanId", 4, SPAN_ID),
        one("name", 5, Text),
        one("kind", 6, Enum("SPAN_KIND_", &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"])),
        one("startTimeUnixNano", 7, Fixed64),
        one("endTimeUnixNano", 8, Fixed64),
        list("attributes", 9, &KEY_VALUE),
        one("droppedAttributesCount", 10, Uint),
        list("events", 11, &EVENT),
        one("droppedEventsCount", 12, Uint),
        list("links", 13, &LINK),
        one("droppedLinksCount", 14, Uint),
        one("status", 15, Kind::Message(&STATUS)),
        one("flags", 16, Fixed32),
    ],
};
static EVENT: Message = Message {
    fields: &[
        one("timeUnixNano", 1, Fixed64),
        one("name", 2, Text),
        list("attributes", 3, &KEY_VALUE),
        one("droppedAttributesCount", 4, Uint),
    ],
};
static LINK: Message = Message {
    fields: &[
        one("traceId", 1, TRACE_ID),
        one("spanId", 2, SPAN_ID),
        one("traceState", 3, Text),
        list("attributes", 4, &KEY_VALUE),
        one("droppedAttributesCount", 5, Uint),
        one("flags", 6, Fixed32),
    ],
};
static STATUS: Message =
    Message { fields: &[one("message", 2, Text), one("code", 3, Enum("STATUS_CODE_", &["UNSET", "OK", "ERROR"]))] };

// === metrics ===

static METRICS: Message = Message { fields: &[list("resourceMetrics", 1, &RESOURCE_METRICS)] };
static RESOURCE_METRICS: Message = Message {
    fields: &[
        one("resource", 1, Kind::Message(&RESOURCE)),
        list("scopeMetrics", 2, &SCOPE_METRICS),
        one("schemaUrl", 3, Text),
    ],
};
static SCOPE_METRICS: Message = Message {
    fields: &[one("scope", 1, Kind::Message(&SCOPE)), list("metrics", 2, &METRIC), one("schemaUrl", 3, Text)],
};
static METRIC: Message = Message {
    fields: &[
        one("name", 1, Text),
        one("description", 2, Text),
        one("unit", 3, Text),
        one("gauge", 5, Kind::Message(&GAUGE)),
        one("sum", 7, Kind::Message(&SUM)),
        one("histogram", 9, Kind::Message(&HISTOGRAM)),
        one("exponentialHistogram", 10, Kind::Message(&EXPONENTIAL)),
        one("summary", 11, Kind::Message(&SUMMARY)),
        list("metadata", 12, &KEY_VALUE),
    ],
};
static GAUGE: Message = Message { fields: &[list("dataPoints", 1, &NUMBER_POINT)] };
static SUM: Message = Message {
    fields: &[
        list("dataPoints", 1, &NUMBER_POINT),
        one("aggregationTemporality", 2, TEMPORALITY),
        one("isMonotonic", 3, Bool),
    ],
};
static HISTOGRAM: Message =
    Message { fields: &[list("dataPoints", 1, &HISTOGRAM_POINT), one("aggregationTemporality", 2, TEMPORALITY)] };
static EXPONENTIAL: Message =
    Message { fields: &[list("dataPoints", 1, &EXPONENTIAL_POINT), one("aggregationTemporality", 2, TEMPORALITY)] };
static SUMMARY: Message = Message { fields: &[list("dataPoints", 1, &SUMMARY_POINT)] };
static NUMBER_POINT: Message = Message {
    fields: &[
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("asDouble", 4, Double),
        list("exemplars", 5, &EXEMPLAR),
        one("asInt", 6, Sfixed64),
        list("attributes", 7, &KEY_VALUE),
        one("flags", 8, Uint),
    ],
};
static HISTOGRAM_POINT: Message = Message {
    fields: &[
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("count", 4, Fixed64),
        one("sum", 5, Double),
        many("bucketCounts", 6, Fixed64),
        many("explicitBounds", 7, Double),
        list("exemplars", 8, &EXEMPLAR),
        list("attributes", 9, &KEY_VALUE),
        one("flags", 10, Uint),
        one("min", 11, Double),
        one("max", 12, Double),
    ],
};
static BUCKETS: Message = Message { fields: &[one("offset", 1, Sint), many("bucketCounts", 2, Uint)] };
static EXPONENTIAL_POINT: Message = Message {
    fields: &[
        list("attributes", 1, &KEY_VALUE),
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("count", 4, Fixed64),
        one("sum", 5, Double),
        one("scale", 6, Sint),
        one("zeroCount", 7, Fixed64),
        one("positive", 8, Kind::Message(&BUCKETS)),
        one("negative", 9, Kind::Message(&BUCKETS)),
        one("flags", 10, Uint),
        list("exemplars", 11, &EXEMPLAR),
        one("min", 12, Double),
        one("max", 13, Double),
        one("zeroThreshold", 14, Double),
    ],
};
static QUANTILE: Message = Message { fields: &[one("quantile", 1, Double), one("value", 2, Double)] };
static SUMMARY_POINT: Message = Message {
    fields: &[
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("count", 4, Fixed64),
        one("sum", 5, Double),
        list("quantileValues", 6, &QUANTILE),
        list("attributes", 7, &KEY_VALUE),
        one("flags", 8, Uint),
    ],
};
static EXEMPLAR: Message = Message {
    fields: &[
        one("timeUnixNano", 2, Fixed64),
        one("asDouble", 3, Double),
        one("spanId", 4, SPAN_ID),
        one("traceId", 5, TRACE_ID),
        one("asInt", 6, Sfixed64),
        list("filteredAttributes", 7, &KEY_VALUE),
    ],
};

// === logs ===

static LOGS: Message = Message { fields: &[list("resourceLogs", 1, &RESOURCE_LOGS)] };
static RESOURCE_LOGS: Message = Message {
    fields: &[
        one("resource", 1, Kind::Message(&RESOURCE)),
        list("scopeLogs", 2, &SCOPE_LOGS),
        one("schemaUrl", 3, Text),
    ],
};
static SCOPE_LOGS: Message = Message {
    fields: &[one("scope", 1, Kind::Message(&SCOPE)), list("logRecords", 2, &LOG_RECORD), one("schemaUrl", 3, Text)],
};
static LOG_RECORD: Message = Message {
    fields: &[
        one("timeUnixNano", 1, Fixed64),
        one("severityNumber", 2, Enum("SEVERITY_NUMBER_", &SEVERITIES)),
        one("severityText", 3, Text),
        one("body", 5, Kind::Message(&ANY_VALUE)),
        list("attributes", 6, &KEY_VALUE),
        one("droppedAttributesCount", 7, Uint),
        one("flags", 8, Fixed32),
        one("traceId", 9, TRACE_ID),
        one("spanId", 10, SPAN_ID),
        one("observedTimeUnixNano", 11, Fixed64),
        one("eventName", 12, Text),
    ],
};
static SEVERITIES: [&str; 25] = [
    "UNSPECIFIED",
    "TRACE",
    "TRACE2",
    "TRACE3",
    "TRACE4",
    "DEBUG",
    "DEBUG2",
    "DEBUG3",
    "DEBUG4",
    "INFO",
    "INFO2",
    "INFO3",
    "INFO4",
    "WARN",
    "WARN2",
    "WARN3",
    "WARN4",
    "ERROR",
    "ERROR2",
    "ERROR3",
    "ERROR4",
    "FATAL",
    "FATAL2",
    "FATAL3",
    "FATAL4",
];

// === impl Message ===

impl Message {
    /// The request that carries `signal`.
    pub(super) fn of(signal: Signal) -> &'static Self {
        match signal {
            Signal::Traces => &TRACES,
            Signal::Metrics => &METRICS,
            Signal::Logs => &LOGS,
        }
    }

    /// The field that a JSON key names.
    pub(super) fn field(&self, key: &str) -> Option<&'static FieldOf> {
        self.fields.iter().find(|field| field.key == key || (key.contains('_') && is_snake_of(key, field.key)))
    }
}

/// Whether `snake` is `camel` in snake_case.
fn is_snake_of(snake: &str, camel: &str) -> bool {
    let mut rest = snake.chars();
    camel.chars().all(|letter| {
        (!letter.is_ascii_uppercase() || rest.next() == Some('_')) && rest.next() == Some(letter.to_ascii_lowercase())
    }) && rest.next().is_none()
}
