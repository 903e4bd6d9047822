//! How a value becomes part of a JSON text, a URL or a form.
//!
//! Templates are filled inside parsed values, so what is filled in is always escaped for where it stands.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As it is.
    None,
    /// Between the quotes of a JSON text.
    Json,
    /// In a path segment or a query component of a URL.
    Url,
    /// In `application/x-www-form-urlencoded`.
    Form,
}

// === impl Escape ===

impl Escape {
    /// Appends `text`, escaped.
    pub(crate) fn push(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::None => out.extend_from_slice(text.as_bytes()),
            Self::Json => push_json(text, out),
            Self::Url => {
                for piece in percent_encoding::utf8_percent_encode(text, RESERVED) {
                    out.extend_from_slice(piece.as_bytes());
                }
            }
            Self::Form => {
                for piece in url::form_urlencoded::byte_serialize(text.as_bytes()) {
                    out.extend_from_slice(piece.as_bytes());
                }
            }
        }
    }
}

/// Appends what stands between the quotes of a JSON text, copying in runs.
fn push_json(text: &str, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(byte >> 4)]);
                out.push(DIGITS[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use proptest::prelude::*;

    fn escaped(escape: Escape, text: &str) -> String {
        let mut out = Vec::new();
        escape.push(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn everything_but_unreserved_characters_is_encoded_in_a_url() {
        assert_eq!(escaped(Escape::Url, "a/b?c=d&e f#%+é~-._"), "a%2Fb%3Fc%3Dd%26e%20f%23%25%2B%C3%A9~-._");
    }

    #[test]
    fn a_form_writes_spaces_as_plus() {
        assert_eq!(escaped(Escape::Form, "a b&c=d+é"), "a+b%26c%3Dd%2B%C3%A9");
    }

    proptest! {
        #[test]
        fn any_text_survives_the_way_into_a_json_text(text in any::<String>()) {
            let read: String = serde_json::from_str(&format!("\"{}\"", escaped(Escape::Json, &text))).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
