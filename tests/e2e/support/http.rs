//! A question over HTTP, for servers of the tests' own.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Asks a server on loopback with GET; its answer must be JSON.
#[track_caller]
pub(crate) fn get_json(port: u16, path: &str, parameters: &[(&str, &str)]) -> Value {
    let text = get(port, path, parameters).expect("the server answers");
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Whether a server on loopback answers a question with 200.
pub(crate) fn is_ready(port: u16, path: &str) -> bool {
    get(port, path, &[]).is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

fn get(port: u16, path: &str, parameters: &[(&str, &str)]) -> io::Result<String> {
    let query: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let request = format!("GET {path}?{} HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n", query.join("&"));
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
