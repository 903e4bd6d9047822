//! Server-sent events, cut from a stream as it arrives (HTML standard, § 9.2.6).
//!
//! Only `data` matters here. One event is held at a time, and at most [`MAX_EVENT`] of it.

/// The longest event that is kept, in bytes.
pub(crate) const MAX_EVENT: usize = 1 << 20;

/// Cuts a stream into events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    /// Whether the event has a `data` line, were it an empty one.
    has_data: bool,
    /// Whether the last byte was a carriage return, whose line feed may be still to come.
    after_return: bool,
    /// Whether the first line is read, which may begin with a byte order mark.
    begun: bool,
    /// Whether a line or an event was longer than it may be; it is left out.
    overflown: bool,
}

// === impl Events ===

impl Events {
    /// Takes the next bytes and hands the data of each event that they end to `event`.
    pub(crate) fn push(&mut self, bytes: &[u8], mut event: impl FnMut(&[u8])) {
        let mut rest = bytes;
        if self.after_return && !rest.is_empty() {
            self.after_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&rest[..end]);
            self.end_line(&mut event);
            let (ended_by, after) = (rest[end], &rest[end + 1..]);
            rest = after;
            if ended_by == b'\r' {
                match rest.strip_prefix(b"\n") {
                    Some(after) => rest = after,
                    None => self.after_return = rest.is_empty(),
                }
            }
        }
        self.extend(rest);
    }

    /// The stream is whole. An event without its empty line counts: many servers leave it out at the end.
    pub(crate) fn finish(&mut self, mut event: impl FnMut(&[u8])) {
        self.end_line(&mut event);
        self.end_event(&mut event);
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > MAX_EVENT {
            self.overflown = true;
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, event: &mut impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        if text.is_empty() {
            self.end_event(event);
        } else if let Some(value) = field(text, b"data") {
            if self.data.len() + value.len() > MAX_EVENT {
                self.overflown = true;
            } else {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            self.has_data = true;
        }
        self.line = line;
        self.line.clear();
    }

    fn end_event(&mut self, event: &mut impl FnMut(&[u8])) {
        if self.has_data && !self.overflown {
            event(&self.data);
        }
        self.data.clear();
        self.has_data = false;
        self.overflown = false;
    }
}

/// Whether an event says something: neither empty nor the mark of the end that OpenAI's API sends.
pub(crate) fn has_content(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    !data.is_empty() && data != b"[DONE]"
}

/// The value of a line's field, without the one space that may stand before it.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use proptest::prelude::*;

    fn events(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = Events::default();
        let mut all = Vec::new();
        for chunk in chunks {
            reader.push(chunk, |data| all.push(String::from_utf8_lossy(data).into_owned()));
        }
        reader.finish(|data| all.push(String::from_utf8_lossy(data).into_owned()));
        all
    }

    const STREAM: &str =
        "\u{feff}: hello\r\ndata: a\r\n\r\nevent: x\ndata:b\ndata\ndata:  c\n\n\rid: 1\n\ndata: d\r\rdata: e";

    #[test]
    fn events_are_cut_as_the_standard_says() {
        assert_eq!(events(&[STREAM.as_bytes()]), ["a", "b\n\n c", "d", "e"]);
    }

    #[test]
    fn an_event_that_is_too_long_is_left_out_and_the_next_is_read() {
        let long = vec![b'x'; MAX_EVENT];
        assert_eq!(events(&[b"data: ", &long, b"\n\ndata: ok\n\n"]), ["ok"]);
    }

    #[test]
    fn the_mark_of_the_end_is_no_content() {
        assert!(has_content(b"{}"));
        assert!(!has_content(b"[DONE]"));
        assert!(!has_content(b" "));
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&STREAM.as_bytes()[from..cut]);
                from = cut;
            }
            chunks.push(&STREAM.as_bytes()[from..]);
            prop_assert_eq!(events(&chunks), ["a", "b\n\n c", "d", "e"]);
        }
    }
}
