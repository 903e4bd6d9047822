//! An InfluxDB 1.x of a test's own, on a port of its own, that ends with this process.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{guardian, http};

/// A running server with nothing in it.
pub(crate) struct InfluxDb {
    port: u16,
    _folder: TempDir,
}

// === impl InfluxDb ===

impl InfluxDb {
    pub(crate) fn start() -> Self {
        // Somebody may take the port between the two: then the server ends, and another is tried.
        for _ in 0..5 {
            if let Some(started) = Self::try_start() {
                return started;
            }
        }
        panic!("no influxd starts: scripts/ensure.sh influxdb");
    }

    fn try_start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().expect("a folder for InfluxDB");
        let mut command = Command::new("influxd");
        command.arg("run").env("INFLUXDB_HTTP_BIND_ADDRESS", format!("127.0.0.1:{port}"));
        for (name, below) in [("META_DIR", "meta"), ("DATA_DIR", "data"), ("DATA_WAL_DIR", "wal")] {
            command.env(format!("INFLUXDB_{name}"), folder.path().join(below));
        }
        for (name, value) in [
            ("BIND_ADDRESS", "127.0.0.1:0"),
            ("REPORTING_DISABLED", "true"),
            ("MONITOR_STORE_ENABLED", "false"),
            ("HTTP_LOG_ENABLED", "false"),
        ] {
            command.env(format!("INFLUXDB_{name}"), value);
        }
        let command =
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("influxd starts: scripts/ensure.sh influxdb");
        guardian::ends_with_us(child.id(), "KILL");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if child.try_wait().expect("the server can be waited for").is_some() {
                return None;
            }
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Self { port, _folder: folder });
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        None
    }

    /// Its address: `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The first result of a query.
    #[track_caller]
    pub(crate) fn query(&self, database: &str, query: &str) -> Value {
        let parameters = [("db", database), ("epoch", "ns"), ("q", query)];
        let value: Value = http::get_json(self.port, "/query", &parameters);
        assert!(value["results"][0]["error"].is_null(), "{query}: {value}");
        value["results"][0].clone()
    }

    /// The rows of a query, of all series: columns by name.
    #[track_caller]
    pub(crate) fn rows(&self, database: &str, query: &str) -> Vec<serde_json::Map<String, Value>> {
        let result = self.query(database, query);
        let series = result["series"].as_array().cloned().unwrap_or_default();
        let rows = |series: &Value| -> Vec<serde_json::Map<String, Value>> {
            let columns: Vec<_> = series["columns"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
            let tags = series["tags"].as_object().cloned().unwrap_or_default();
            let row = |values: &Value| {
                let values = values.as_array().unwrap().iter().cloned();
                columns.iter().map(|name| (*name).to_owned()).zip(values).chain(tags.clone()).collect()
            };
            series["values"].as_array().unwrap().iter().map(row).collect()
        };
        series.iter().flat_map(rows).collect()
    }
}
