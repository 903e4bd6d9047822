//! What a command printed: its last words, bounded, without secrets.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};

/// So many bytes are kept.
const KEPT: usize = 4096;
/// So many lines are told, each so long.
const LINES: usize = 4;
const WIDTH: usize = 200;
/// What is hidden where it would be told.
const HIDDEN: &str = "***";
/// Values shorter than this are no secrets, but parts of words.
const SECRET: usize = 6;

/// The last bytes that came. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<u8>>>);

/// Texts that must not be told.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[String]>);

// === impl Tail ===

impl Tail {
    /// Adds what came.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&bytes[bytes.len().saturating_sub(KEPT)..]);
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }

    /// The last lines.
    pub(super) fn told(&self, secrets: &Secrets) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        lines(&bytes, secrets)
    }
}

// === impl Secrets ===

impl Secrets {
    /// Of these values the long ones.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut long: Vec<String> =
            values.into_iter().filter(|value| value.len() >= SECRET).map(str::to_owned).collect();
        // One that holds another goes first.
        long.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(long.into())
    }

    /// A text without them, and without passwords of URLs.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.0.iter() {
            text = text.replace(secret.as_str(), HIDDEN);
        }
        hide_passwords(&text)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Secrets").field(&self.0.len()).finish()
    }
}

// === helpers ===

/// A file without a name: what outlives the command may write on, and nobody waits for it.
pub(super) fn nameless() -> io::Result<File> {
    for _ in 0..16 {
        let path = std::env::temp_dir().join(format!("pacecar-hook-{:016x}", fastrand::u64(..)));
        match OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// The last lines of a file.
pub(super) fn last_words(file: &mut File, secrets: &Secrets) -> String {
    let mut bytes = Vec::new();
    let length = file.seek(SeekFrom::End(0)).unwrap_or(0);
    let begun = file.seek(SeekFrom::Start(length.saturating_sub(KEPT as u64)));
    let read = begun.and_then(|_| file.take(KEPT as u64).read_to_end(&mut bytes));
    if read.is_ok() { lines(&bytes, secrets) } else { String::new() }
}

fn lines(bytes: &[u8], secrets: &Secrets) -> String {
    let text = secrets.hide(&String::from_utf8_lossy(bytes));
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.trim().chars().filter(|c| !c.is_control()).take(WIDTH).collect::<String>())
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(LINES)..].join("; ")
}

/// `postgres://user:***@host`
fn hide_passwords(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'')).unwrap_or(after.len());
        let (authority, more) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                let name = user.split_once(':').map_or(user, |(name, _)| name);
                shown.push_str(&format!("{name}:{HIDDEN}@{host}"));
            }
            None => shown.push_str(authority),
        }
        rest = more;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;

    #[test]
    fn of_much_the_last_lines_are_told() {
        let tail = Tail::default();
        for n in 0..10_000 {
            tail.push(format!("line {n}\n").as_bytes());
        }
        tail.push(b"\n\x1b[31mlast\x07\n");
        assert_eq!(tail.told(&Secrets::default()), "line 9997; line 9998; line 9999; [31mlast");
        assert!(tail.0.lock().unwrap().len() <= KEPT);
        tail.push(&vec![b'x'; 3 * KEPT]);
        assert_eq!(tail.told(&Secrets::default()).len(), WIDTH);
    }

    #[test]
    fn secrets_are_not_told() {
        let secrets = Secrets::new(["hunter22", "no", "a hunter22 b"]);
        assert_eq!(secrets.hide("a hunter22 b, hunter22, no"), "***, ***, no");
        assert_eq!(
            secrets.hide("at postgres://me:p:w@h:1/d and http://h/x@y and redis://:p@h"),
            "at postgres://me:***@h:1/d and http://h/x@y and redis://:***@h"
        );
    }

    #[test]
    fn a_nameless_file_is_read_from_its_end() {
        let mut file = nameless().unwrap();
        let mut other = file.try_clone().unwrap();
        other.write_all(&vec![b'\n'; 9000]).unwrap();
        other.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(last_words(&mut file, &Secrets::default()), "one; two");
    }
}
