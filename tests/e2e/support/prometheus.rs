//! A Prometheus of a test's own, on a port of its own, that takes remote writes and ends with this process.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{guardian, http};

/// A running server with nothing in it.
pub(crate) struct Prometheus {
    port: u16,
    _folder: TempDir,
}

// === impl Prometheus ===

impl Prometheus {
    pub(crate) fn start() -> Self {
        // Somebody may take the port between the two: then the server ends, and another is tried.
        for _ in 0..5 {
            if let Some(started) = Self::try_start() {
                return started;
            }
        }
        panic!("no prometheus starts: scripts/ensure.sh prometheus");
    }

    fn try_start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().expect("a folder for Prometheus");
        std::fs::write(folder.path().join("prometheus.yml"), "scrape_configs: []\n").unwrap();
        let mut child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.enable-remote-write-receiver"])
            .args(["--enable-feature=native-histograms", &format!("--web.listen-address=127.0.0.1:{port}")])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus starts: scripts/ensure.sh prometheus");
        guardian::ends_with_us(child.id(), "KILL");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if child.try_wait().expect("the server can be waited for").is_some() {
                return None;
            }
            if http::is_ready(port, "/-/ready") {
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

    /// The labels of all series that a selector takes.
    pub(crate) fn series(&self, selector: &str) -> Vec<Value> {
        let answer = http::get_json(self.port, "/api/v1/series", &[("match[]", selector)]);
        answer["data"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
    }

    /// What an instant query says now, each result with its labels.
    pub(crate) fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let answer = http::get_json(self.port, "/api/v1/query", &[("query", query)]);
        let results = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}")).clone();
        let number = |result: &Value| {
            let text = result["value"][1].as_str().unwrap_or_else(|| panic!("{query}: {result}"));
            text.parse().unwrap_or_else(|_| panic!("{query}: {result}"))
        };
        results.iter().map(|result| (result["metric"].clone(), number(result))).collect()
    }

    /// The one figure of an instant query.
    #[track_caller]
    pub(crate) fn figure(&self, query: &str) -> f64 {
        let results = self.query(query);
        assert_eq!(results.len(), 1, "{query}: {results:?}");
        results[0].1
    }
}
