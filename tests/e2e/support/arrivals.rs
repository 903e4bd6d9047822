//! A server that answers at once and remembers when each request came in: arrivals as the target has them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The server; it listens as long as the tests run.
pub(crate) struct ArrivalsServer {
    url: String,
    came: Came,
}

/// Path and instant of each request, in the order in which they were read.
type Came = Arc<Mutex<Vec<(String, Instant)>>>;

/// More than any test of ours sends.
const MOST: usize = 100_000;

// === impl ArrivalsServer ===

impl ArrivalsServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let came = Came::default();
        let all = Arc::clone(&came);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let came = Arc::clone(&all);
                thread::spawn(move || serve(stream, &came));
            }
        });
        Self { url, came }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the load has begun.
    pub(crate) fn wait_for_first(&self) {
        let since = Instant::now();
        while self.came.lock().expect("no server thread panics").is_empty() {
            assert!(since.elapsed() < Duration::from_secs(30), "no request came");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// When requests to `path` came in, in seconds from the first of them.
    pub(crate) fn offsets(&self, path: &str) -> Vec<f64> {
        let came = self.came.lock().expect("no server thread panics");
        let mut at: Vec<Instant> = came.iter().filter(|(to, _)| to == path).map(|(_, at)| *at).collect();
        at.sort_unstable();
        at.iter().map(|one| (*one - at[0]).as_secs_f64()).collect()
    }

    /// The gaps between neighbours, in seconds.
    pub(crate) fn gaps(&self, path: &str) -> Vec<f64> {
        self.offsets(path).windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// One connection: requests without a body, one after the other.
fn serve(mut stream: TcpStream, came: &Came) {
    let _ = stream.set_nodelay(true);
    let (mut head, mut buffer) = (Vec::new(), [0_u8; 4096]);
    while let Ok(read) = stream.read(&mut buffer) {
        let now = Instant::now();
        if read == 0 {
            return;
        }
        head.extend_from_slice(&buffer[..read]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
        head.clear();
        {
            let mut came = came.lock().expect("no server thread panics");
            if came.len() < MOST {
                came.push((path, now));
            }
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}
