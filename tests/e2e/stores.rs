//! Object stores: a run's files go there and results come from there, against a local S3 server (moto's).

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::plan::three_steps;
use crate::support::{Mode, Pacecar, Server, guardian, root};

const SECRET: &str = "mark7f3c19-secret-key";

/// A running S3 server; it ends with this.
struct Store {
    url: String,
    child: Child,
}

impl Store {
    /// None where it is not installed: the test is skipped, and says so.
    #[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn start() -> Option<Self> {
        let program: PathBuf = root().join("target/tools/moto/bin/moto_server");
        if !program.exists() {
            println!("skipped: no S3 server (scripts/ensure.sh s3)");
            return None;
        }
        // Taken and let go again: the server has no way to tell which port it chose.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the S3 server starts");
        guardian::ends_with_us(child.id(), "KILL");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let running = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Running on"));
        assert!(running, "the S3 server did not start");
        // Somebody must read what it logs.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let this = Self { url: format!("http://127.0.0.1:{port}"), child };
        this.request("PUT", "/reports");
        Some(this)
    }

    /// The status and the body of a request without a signature, which moto allows.
    fn request(&self, method: &str, path: &str) -> (u16, String) {
        use std::io::{Read as _, Write as _};
        let authority = self.url.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(authority).unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    fn call(&self, call: Pacecar) -> Pacecar {
        call.env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_ENDPOINT_URL", &self.url)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_shares_its_report_and_its_result_with_one_flag_each() {
    let Some(store) = Store::start() else { return };
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&three_steps().path()).set("API_URL", server.url()).arg("-v");
    let run = run.args(["--report", "s3://reports/load/run 1.html", "--result", "s3://reports/run.json"]);
    let ended = store.call(run).end().expect_ran();
    assert!(!ended.everything().contains(SECRET), "a key got out: {ended}");
    let (status, list) = store.request("GET", "/reports");
    let size = list.split("<Key>load/run 1.html</Key>").nth(1).and_then(|rest| rest.split("<Size>").nth(1));
    let size: u64 = size.and_then(|rest| rest.split('<').next()?.parse().ok()).unwrap_or(0);
    assert!(status == 200 && size > 10_000, "{status} {list}");
    let again = store.call(Pacecar::new(["report", "s3://reports/run.json"])).end().expect_code(0);
    assert_eq!(again.stdout, ended.stdout);
    let compared = store.call(Pacecar::new(["compare", "s3://reports/run.json", "s3://reports/run.json"]));
    compared.end().expect_code(0);
    let missing = store.call(Pacecar::new(["report", "s3://reports/none.json"])).end().expect_code(104);
    assert!(missing.stderr.contains("s3://reports/none.json"), "{missing}");
}

#[test]
fn a_store_that_is_gone_is_told_and_costs_the_run_nothing() {
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&three_steps().path()).set("API_URL", server.url());
    let run = run.args(["--report", "s3://reports/run.html"]).env("AWS_ENDPOINT_URL", Server::closed());
    let run = run.env("AWS_ACCESS_KEY_ID", "AKIATEST").env("AWS_SECRET_ACCESS_KEY", SECRET);
    let ended = run.end().expect_ran();
    assert!(ended.stderr.contains("the report cannot be written to s3://reports/run.html"), "{ended}");
    assert!(!ended.everything().contains(SECRET), "a key got out: {ended}");
}

#[test]
fn an_address_that_is_none_is_refused_before_anything_is_sent() {
    let server = Server::start(Mode::Api);
    for (flag, address) in [
        ("--report", "ftp://host/run.html"),
        ("--result", "s3://bucket"),
        ("--report", "https://example.com/run.html"),
        ("--junit", "s3:///run.xml"),
        ("--report", "gs://"),
    ] {
        let run = Pacecar::run(&three_steps().path()).set("API_URL", server.url());
        let ended = run.args([flag, address]).end().expect_code(104);
        assert!(ended.stderr.contains(flag), "{flag} {address}: {ended}");
    }
    server.expect_untouched();
    let folder = tempfile::tempdir().unwrap();
    let file = format!("file://{}/r.json", folder.path().display());
    Pacecar::run(&three_steps().path()).set("API_URL", server.url()).args(["--result", &file]).end().expect_ran();
    assert!(folder.path().join("r.json").is_file());
}
