//! k6's status: as JSON:API on the wire, as YAML on a terminal.

use pacecar::run;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `/v1/status`, as k6 writes it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct StatusDocument {
    pub(crate) data: StatusData,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct StatusData {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    pub(crate) attributes: Status,
}

/// k6's attributes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Status {
    status: u8,
    paused: bool,
    vus: u64,
    #[serde(rename = "vus-max")]
    vus_max: u64,
    stopped: bool,
    running: bool,
    tainted: bool,
    /// pacecar's own, there only while the guard holds the traffic: why.
    #[serde(default, rename = "held-by", skip_serializing_if = "Vec::is_empty")]
    held_by: Vec<String>,
}

/// What is to change; whatever else a PATCH holds is k6's status sent back.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Wish {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vus: Option<i64>,
    #[serde(default, rename = "vus-max", skip_serializing_if = "Option::is_none")]
    pub(crate) vus_max: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<bool>,
}

// === impl StatusDocument ===

impl StatusDocument {
    /// What a run is doing, and why the guard holds its traffic where it does.
    pub(crate) fn new(status: run::Status, held_by: Vec<String>) -> Self {
        let attributes = Status {
            status: status.stage.number(),
            paused: status.paused,
            vus: status.vus,
            vus_max: status.vus_max,
            stopped: status.stopped,
            running: status.running(),
            tainted: status.tainted,
            held_by,
        };
        Self { data: StatusData { kind: "status".to_owned(), id: "default".to_owned(), attributes } }
    }
}

// === impl Status ===

impl Status {
    /// As `k6 status` prints it: YAML, in which k6's nullable values are texts.
    pub(crate) fn yaml(&self) -> String {
        let Self { status, paused, vus, vus_max, stopped, running, tainted, held_by } = self;
        let mut yaml = format!(
            "status: {status}\npaused: \"{paused}\"\nvus: \"{vus}\"\nvus-max: \"{vus_max}\"\n\
             stopped: {stopped}\nrunning: {running}\ntainted: {tainted}\n"
        );
        // JSON's texts are YAML's.
        if !held_by.is_empty() {
            yaml.push_str(&format!("held-by: {}\n", serde_json::json!(held_by)));
        }
        yaml
    }
}

// === impl Wish ===

impl Wish {
    /// Reads the body of a PATCH.
    pub(crate) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let mut document: Map<String, Value> = serde_json::from_slice(body)?;
        let mut data: Map<String, Value> = serde_json::from_value(document.remove("data").unwrap_or_default())?;
        // By way of a map: a list would be read as a struct, too.
        let attributes: Map<String, Value> = serde_json::from_value(data.remove("attributes").unwrap_or_default())?;
        serde_json::from_value(Value::Object(attributes))
    }

    /// The body of a PATCH that asks for it.
    pub(crate) fn document(&self) -> Value {
        serde_json::json!({ "data": { "type": "status", "id": "default", "attributes": self } })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_status_is_printed_as_k6_prints_it() {
        let text = r#"{"data":{"type":"status","id":"default","attributes":{"status":7,"paused":false,"vus":7,"vus-max":8,"stopped":false,"running":true,"tainted":false}}}"#;
        let read: StatusDocument = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(
            read.data.attributes.yaml(),
            "status: 7\npaused: \"false\"\nvus: \"7\"\nvus-max: \"8\"\nstopped: false\nrunning: true\ntainted: false\n"
        );
    }

    #[test]
    fn what_k6_sends_is_read() {
        let k6 = r#"{"data":{"type":"status","id":"default","attributes":{"status":0,"paused":true,"vus":null,"vus-max":9,"stopped":false,"running":false,"tainted":false}}}"#;
        let read = |text: &str| Wish::read(text.as_bytes()).unwrap();
        assert_eq!(read(k6), Wish { paused: Some(true), vus: None, vus_max: Some(9), stopped: Some(false) });
        let own = Wish { vus: Some(3), ..Wish::default() };
        assert_eq!(read(&own.document().to_string()), own);
    }
}
