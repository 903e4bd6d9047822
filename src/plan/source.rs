//! From bytes to text: what cannot be YAML at all is said here, with its place.

use super::diagnostics::Diagnostics;
use super::span::Span;

/// The largest plan in bytes. A plan is written by hand; data belongs in `data:` files.
pub const LARGEST: usize = 1 << 20;

/// The diagnostics of a plan that could not be read from where it stands.
#[must_use]
pub fn unreadable(file: &str, error: &std::io::Error) -> Diagnostics {
    let mut diagnostics = Diagnostics::new(file);
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "check the path; `-` reads the plan from standard input",
        std::io::ErrorKind::PermissionDenied => "check the file's permissions",
        std::io::ErrorKind::IsADirectory => "name a file; the ready plans stand in config/",
        _ => "check the path",
    };
    diagnostics.error(Span::new(1, 1), format!("the plan cannot be read: {error}")).hint(hint);
    diagnostics
}

/// The source as text, without its byte order mark.
pub(crate) fn decode<'a>(source: &'a [u8], diagnostics: &mut Diagnostics) -> Option<&'a str> {
    if source.len() > LARGEST {
        diagnostics
            .error(Span::new(1, 1), format!("the plan has {} bytes, more than {LARGEST}", source.len()))
            .hint("a plan this large holds data: put it into files and name them under `data:`");
        return None;
    }
    if source.starts_with(&[0xff, 0xfe]) || source.starts_with(&[0xfe, 0xff]) {
        diagnostics.error(Span::new(1, 1), "the plan is UTF-16, not UTF-8").hint("save the file as UTF-8");
        return None;
    }
    match std::str::from_utf8(source) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let span = end_of(&source[..error.valid_up_to()]);
            diagnostics.error(span, "the plan is not UTF-8 here").hint("save the file as UTF-8");
            None
        }
    }
}

/// The place just behind valid UTF-8.
fn end_of(valid: &[u8]) -> Span {
    let text = String::from_utf8_lossy(valid);
    let last = text.rsplit('\n').next().unwrap_or("");
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX - 1) + 1;
    let lines = text.bytes().filter(|byte| *byte == b'\n').count();
    Span::new(count(lines), count(last.trim_start_matches('\u{feff}').chars().count()))
}
