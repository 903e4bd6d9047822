//! The sample API on a real Postgres: `pacecar demo --serve`, started once for all tests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::guardian;
use super::postgres::{self, Database};

/// The sample API and its database.
pub(crate) struct Api {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    /// Where its tables live.
    pub(crate) database: &'static Database,
}

/// The shared API, for one test at a time: test data is told by predicates that all runs
/// share, so a cleanup would take the rows of a test beside it.
pub(crate) fn alone() -> (MutexGuard<'static, ()>, &'static Api) {
    static TURN: Mutex<()> = Mutex::new(());
    static SHARED: OnceLock<Api> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (turn, SHARED.get_or_init(start))
}

/// An API with knobs of its own and a database of its own; it ends with this.
pub(crate) struct Own {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    /// Its database.
    pub(crate) database_url: String,
    child: Child,
}

/// Starts one with these variables.
pub(crate) fn own(environment: &[(&str, &str)]) -> Own {
    let database_url = postgres::shared().another();
    let (child, url) = serve(&database_url, environment);
    Own { url, database_url, child }
}

impl Own {
    /// Its database, to be asked.
    pub(crate) fn database(&self) -> Database {
        postgres::shared().beside(self.database_url.clone())
    }

    /// What it says of itself.
    pub(crate) fn stats(&self) -> Value {
        stats(&self.url)
    }
}

/// What an API at this address says of itself.
pub(crate) fn stats(url: &str) -> Value {
    ask(url, "GET /api/llm/stats", "", "").1
}

/// A customer's request: status and JSON. `headers` end with a line break each.
pub(crate) fn ask(url: &str, line: &str, headers: &str, body: &str) -> (u16, Value) {
    let authority = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).expect("the API is there");
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

impl Drop for Own {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn start() -> Api {
    let database = postgres::shared();
    let (_, url) = serve(&database.url, &[]);
    Api { url, database }
}

/// `pacecar demo --serve` on a database, and where it serves.
fn serve(database_url: &str, environment: &[(&str, &str)]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pacecar"))
        .args(["demo", "--serve"])
        .env("DATABASE_URL", database_url)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("the sample API starts");
    guardian::ends_with_us(child.id(), "TERM");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let (found, address) = mpsc::channel();
    // Reads on to the end: a full pipe would stop the API.
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if let Some(url) = address_in(&line) {
                let _ = found.send(url);
            }
        }
    });
    let url = address.recv_timeout(Duration::from_secs(60)).expect("demo --serve prints http://127.0.0.1:PORT");
    (child, url)
}

/// The first `http://127.0.0.1:PORT` of a line.
fn address_in(line: &str) -> Option<String> {
    const PREFIX: &str = "http://127.0.0.1:";
    let from = line.find(PREFIX)?;
    let port: String = line[from + PREFIX.len()..].chars().take_while(char::is_ascii_digit).collect();
    (!port.is_empty()).then(|| format!("{PREFIX}{port}"))
}
