//! A server on loopback that answers as told: well, badly, or with intent to harm.
//!
//! It keeps what came in, byte by byte, so that a test can say what was sent and what was not.
//! Every connection has its thread; all of them end with the [`Server`].

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How a [`Server`] answers.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// The guide's three paths as an API would, anything else with 200.
    Api,
    /// This status, with an empty body.
    Status(u16),
    /// This status to so many requests, 200 to all that follow; with an empty body.
    Later(u16, usize),
    /// This status at these paths, 200 elsewhere.
    StatusAt(&'static str, u16),
    /// This status with this `retry-after` to so many requests, 200 to all that follow.
    RetryAfter(u16, &'static str, usize),
    /// 500 while this is true, an API otherwise.
    Failing(Arc<AtomicBool>),
    /// Resets the connection before reading.
    ResetOnAccept,
    /// Resets after half of the body.
    ResetMidBody,
    /// Closes after half of the body, in good order.
    Truncated,
    /// Closes without an answer.
    CloseSilently,
    /// Answers well, and closes without having said so.
    CloseAfterAnswer,
    /// Never answers.
    Never,
    /// One byte each 100 ms.
    SlowBytes,
    /// What is no HTTP.
    Garbage,
    /// Plain HTTP to whoever says anything at all: what a TLS client meets at the wrong port.
    NoTls,
    /// A body without an end.
    EndlessBody,
    /// Headers without an end.
    EndlessHeaders,
    /// A JSON document of 200 MB.
    HugeJson,
    /// To itself, for ever.
    RedirectLoop,
    /// To somewhere else.
    RedirectTo(String),
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The head as it came in.
    pub(crate) head: String,
    /// When it was whole.
    pub(crate) at: Instant,
}

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    mode: Mode,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    stopped: AtomicBool,
}

// === impl Request ===

impl Request {
    /// The values of a header, by its name in lower case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of a header; fails where there are none or many.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in {}", self.head);
        values[0]
    }

    /// The path without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

// === impl Server ===

impl Server {
    /// Starts one on a free port.
    pub(crate) fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            mode,
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let for_accept = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &for_accept));
        Self { address, shared }
    }

    /// A URL where nobody listens.
    pub(crate) fn closed() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests that came in whole, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The requests to a path.
    pub(crate) fn at(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }

    /// How many connections came in.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Fails if anything at all came in.
    #[track_caller]
    pub(crate) fn expect_untouched(&self) {
        assert_eq!(self.connections(), 0, "something was sent: {:?}", self.requests());
    }

    /// Waits until `number` requests came in.
    #[track_caller]
    pub(crate) fn wait_for(&self, number: usize) {
        let begun = Instant::now();
        while self.shared.requests.lock().unwrap().len() < number {
            assert!(begun.elapsed() < Duration::from_secs(20), "fewer than {number} requests came in");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes `accept`, which then looks at the flag.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        thread::spawn(move || drop(serve(stream, &shared)));
    }
}

/// Serves one connection until its end, an error, or the server's end.
fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    if matches!(shared.mode, Mode::ResetOnAccept) {
        return reset(stream);
    }
    if matches!(shared.mode, Mode::NoTls) {
        let _ = stream.read(&mut [0; 8192])?;
        return respond(&mut stream, 400, &[], b"plain HTTP only");
    }
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer, shared)? {
        shared.requests.lock().unwrap().push(request.clone());
        if !answer(&mut stream, shared, &request)? {
            return if matches!(shared.mode, Mode::ResetMidBody) { reset(stream) } else { Ok(()) };
        }
    }
    Ok(())
}

/// Closes with a reset instead of in good order.
fn reset(stream: TcpStream) -> io::Result<()> {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}

/// Answers one request; `false` where the connection is to be closed.
fn answer(stream: &mut TcpStream, shared: &Shared, request: &Request) -> io::Result<bool> {
    match &shared.mode {
        Mode::Api => api(stream, request).map(|()| true),
        Mode::Status(status) => respond(stream, *status, &[], b"").map(|()| true),
        Mode::Later(status, times) => {
            let refused = shared.requests.lock().unwrap().len() <= *times;
            respond(stream, if refused { *status } else { 200 }, &[], b"").map(|()| true)
        }
        Mode::RetryAfter(status, after, times) => {
            let refused = shared.requests.lock().unwrap().len() <= *times;
            if refused {
                return respond(stream, *status, &[("retry-after", after)], b"").map(|()| true);
            }
            respond(stream, 200, &[], b"").map(|()| true)
        }
        Mode::Failing(fails) if fails.load(Ordering::SeqCst) => respond(stream, 500, &[], b"").map(|()| true),
        Mode::Failing(_) => api(stream, request).map(|()| true),
        Mode::StatusAt(path, status) if request.path() == *path => respond(stream, *status, &[], b"").map(|()| true),
        Mode::StatusAt(..) => api(stream, request).map(|()| true),
        Mode::ResetMidBody | Mode::Truncated => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
            stream.write_all(&[b'x'; 500])?;
            // Time to be read, so that what follows is seen as a cut in the body.
            thread::sleep(Duration::from_millis(20));
            Ok(false)
        }
        Mode::CloseAfterAnswer => api(stream, request).map(|()| false),
        Mode::ResetOnAccept | Mode::CloseSilently | Mode::NoTls => Ok(false),
        Mode::Never => {
            while !shared.stopped.load(Ordering::SeqCst) && !gone(stream) {
                thread::sleep(Duration::from_millis(50));
            }
            Ok(false)
        }
        Mode::SlowBytes => {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".iter().chain(std::iter::repeat(&b'x')) {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                stream.write_all(&[*byte])?;
                thread::sleep(Duration::from_millis(100));
            }
            Ok(false)
        }
        Mode::Garbage => {
            stream.write_all(b"\x00\x01\x02 not http \xff\xfe\r\n\r\n{{{{\r\n\r\n")?;
            Ok(false)
        }
        Mode::EndlessBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")?;
            pour(stream, shared, &[b'x'; 65536])
        }
        Mode::EndlessHeaders => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            pour(stream, shared, b"x-more: and more and more and more and more and more\r\n".repeat(500).as_slice())
        }
        Mode::HugeJson => {
            const SIZE: usize = 200 << 20;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {SIZE}\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            let (open, close) = (br#"{"access_token":""#, br#""}"#);
            stream.write_all(open)?;
            let mut left = SIZE - open.len() - close.len();
            let block = vec![b'x'; 65536];
            while left > 0 {
                let part = left.min(block.len());
                stream.write_all(&block[..part])?;
                left -= part;
            }
            stream.write_all(close)?;
            Ok(true)
        }
        Mode::RedirectLoop => respond(stream, 302, &[("location", "/again")], b"").map(|()| true),
        Mode::RedirectTo(url) => respond(stream, 302, &[("location", url)], b"").map(|()| true),
    }
}

/// Writes the same bytes until the other side has had enough, at most for a while.
fn pour(stream: &mut TcpStream, shared: &Shared, bytes: &[u8]) -> io::Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) && !shared.stopped.load(Ordering::SeqCst) {
        stream.write_all(bytes)?;
    }
    Ok(false)
}

/// The guide's three paths. A token tells whose it is, so that `profile` can say it again.
fn api(stream: &mut TcpStream, request: &Request) -> io::Result<()> {
    let json = [("content-type", "application/json")];
    match request.path() {
        "/auth/v1/token" => {
            let email = request.json()["email"].as_str().unwrap_or_default().to_owned();
            let cookie = format!("session={email}; Path=/");
            let headers = [json[0], ("set-cookie", cookie.as_str())];
            respond(stream, 200, &headers, format!(r#"{{"access_token":"token-{email}"}}"#).as_bytes())
        }
        "/api/user/profile" => {
            let bearer = request.all("authorization").first().copied().unwrap_or_default();
            let email = bearer.strip_prefix("Bearer token-").unwrap_or_default();
            respond(stream, 200, &json, format!(r#"{{"email":"{email}"}}"#).as_bytes())
        }
        "/api/llm/chat" => {
            let body = br#"{"id":7,"usage":{"total_tokens":300},"cost":0.002,"cached":true}"#;
            respond(stream, 200, &json, body)
        }
        _ => respond(stream, 200, &json, br#"{"ok":true}"#),
    }
}

fn respond(stream: &mut TcpStream, status: u16, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
    let mut answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str("\r\n");
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(body);
    stream.write_all(&answer)
}

/// Reads one request; `None` where the connection or the server has ended before one began.
fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, shared: &Shared) -> io::Result<Option<Request>> {
    let mut head_end = None;
    loop {
        if head_end.is_none() {
            head_end = buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        }
        if let Some(end) = head_end {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let headers = headers(&head);
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
            if buffer.len() >= end + length {
                let body = buffer[end..end + length].to_vec();
                buffer.drain(..end + length);
                let mut first = head.split_whitespace();
                let method = first.next().unwrap_or_default().to_owned();
                let target = first.next().unwrap_or_default().to_owned();
                return Ok(Some(Request { method, target, headers, body, head, at: Instant::now() }));
            }
        }
        let mut part = [0; 8192];
        match stream.read(&mut part) {
            Ok(0) => return Ok(None),
            Ok(size) => buffer.extend_from_slice(&part[..size]),
            Err(error) if is_pause(&error) => {
                if shared.stopped.load(Ordering::SeqCst) {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn headers(head: &str) -> Vec<(String, String)> {
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
}

/// Whether the other side has closed.
fn gone(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => !is_pause(&error),
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
