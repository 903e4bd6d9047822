//! An API with a pool that has a size: `GET /work` holds a place of it for a moment, `GET /stats` tells of it,
//! `PUT /pool` resizes it live. It is what a tune turns the knobs of, in a process of its own.
//!
//! It is played by this binary itself, so that nothing else has to be installed: [`command`] is how it is called.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "as an API it speaks to whoever started it")]

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::guardian;

/// How long `GET /work` holds a place.
const WORK: Duration = Duration::from_millis(10);

/// The pool.
#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    max: usize,
    used: usize,
}

/// The API, started by a test and not by a tune. It ends with this.
pub(crate) struct Pooled {
    child: Child,
    pub(crate) port: u16,
}

/// What plays the API, as a list of YAML.
pub(crate) fn command() -> String {
    let program = std::env::current_exe().expect("a path");
    format!("[{:?}, --exact, 'tune::the_api', --ignored, --nocapture]", program.display())
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Plays the API, as the environment says: `PORT`, `POOL_MAX`; `LOG`, a file that gets a line for each size; `REFUSES`, a
/// size with which it does not start; `DIES`, one with which it ends at the third piece of work; `LINGERS`, one with which it
/// never listens; `DEAF`: it has 3 places whatever it is
/// told; `CHILD`: a child in a session of its own.
pub(crate) fn serve() {
    let text = |name| std::env::var(name).ok();
    let Some(port) = text("PORT").and_then(|port| port.parse::<u16>().ok()) else { return };
    let size = text("POOL_MAX").unwrap_or_default();
    log(&format!("start {size}"));
    if text("REFUSES").as_deref() == Some(&size) {
        eprintln!("a pool of {size} is not for me; my password is {}", text("SECRET").unwrap_or_default());
        std::process::exit(3);
    }
    if text("CHILD").is_some() {
        let mut child = Command::new("sh");
        child.args(["-c", "setsid sleep 300 & echo $! > child.pid; wait"]).stdout(Stdio::null()).stderr(Stdio::null());
        drop(child.spawn().expect("sh starts"));
    }
    if text("LINGERS").as_deref() == Some(&size) {
        thread::sleep(Duration::from_secs(300));
    }
    let deaf = text("DEAF").is_some();
    let pool = Arc::new(Pool::default());
    pool.resize(if deaf { 3 } else { size.parse().unwrap_or(4) });
    let listener = match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on {port}: {error}");
            std::process::exit(4);
        }
    };
    println!("listening");
    for stream in listener.incoming().flatten() {
        let pool = Arc::clone(&pool);
        thread::spawn(move || pool.answer(&stream, deaf));
    }
}

// === impl Pooled ===

impl Pooled {
    /// Starts it with a pool of this size and more variables.
    pub(crate) fn start(size: &str, more: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["--exact", "tune::the_api", "--ignored", "--nocapture"]);
        command.env("PORT", port.to_string()).env("POOL_MAX", size).envs(more.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().expect("it starts");
        guardian::ends_with_us(child.id(), "KILL");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let heard = lines.map_while(Result::ok).any(|line| line.contains("listening"));
        assert!(heard, "the API does not listen");
        Self { child, port }
    }

    /// The size of its pool.
    pub(crate) fn size(&self) -> u64 {
        stats(self.port)["pool"]["max"].as_u64().expect("a size")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the API at this port says of itself.
fn stats(port: u16) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.write_all(b"GET /stats HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

// === impl Pool ===

impl Pool {
    fn resize(&self, max: usize) {
        self.state.lock().unwrap().max = max;
        self.freed.notify_all();
        log(&format!("size {max}"));
    }

    fn work(&self) {
        static DONE: AtomicU32 = AtomicU32::new(0);
        let dies = std::env::var("DIES").is_ok_and(|size| std::env::var("POOL_MAX").is_ok_and(|own| own == size));
        if dies && DONE.fetch_add(1, Ordering::Relaxed) == 2 {
            std::process::exit(5);
        }
        let mut state = self.freed.wait_while(self.state.lock().unwrap(), |state| state.used >= state.max).unwrap();
        state.used += 1;
        drop(state);
        thread::sleep(WORK);
        self.state.lock().unwrap().used -= 1;
        self.freed.notify_one();
    }

    /// Answers one connection until it ends.
    fn answer(&self, stream: &TcpStream, deaf: bool) {
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::new(stream);
        loop {
            let (mut head, mut length, mut last) = (String::new(), 0, false);
            loop {
                let mut line = String::new();
                match reader.read_line(&mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) if line.trim().is_empty() => break,
                    Ok(_) if head.is_empty() => head = line,
                    Ok(_) => {
                        let line = line.to_ascii_lowercase();
                        if let Some(value) = line.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap_or(0);
                        }
                        last |= line.trim() == "connection: close";
                    }
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            let answer = match head.split_whitespace().take(2).collect::<Vec<_>>().as_slice() {
                ["GET", "/healthz"] => (200, json!({})),
                ["GET", "/stats"] => {
                    let State { max, used } = *self.state.lock().unwrap();
                    (200, json!({ "pool": { "max": max, "used": used } }))
                }
                ["GET", "/work"] => {
                    self.work();
                    (200, json!({}))
                }
                ["PUT", "/pool"] => match serde_json::from_slice::<Value>(&body).unwrap_or_default()["max"].as_u64() {
                    // A number, not a text that looks like one.
                    Some(max) if max < 1000 => {
                        if !deaf {
                            self.resize(usize::try_from(max).expect("small"));
                        }
                        (204, json!(null))
                    }
                    _ => (400, json!({})),
                },
                _ => (404, json!({})),
            };
            let text = if answer.1.is_null() { String::new() } else { answer.1.to_string() };
            let head = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\n\r\n", answer.0, text.len());
            if (&mut &*stream).write_all(format!("{head}{text}").as_bytes()).is_err() || last {
                return;
            }
        }
    }
}

fn log(line: &str) {
    if let Ok(path) = std::env::var("LOG")
        && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{line}");
    }
}
