//! Where the body of an answer ends, and what of the bytes read belongs to it. Pure: bytes in, bytes out.

use bytes::{Buf as _, Bytes};

/// The most bytes of all extensions of a body's chunks together, and of its trailers: nobody reads either.
const MAX_ASIDE: u32 = 16 * 1024;

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nothing.
    Ended,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks, each with its size before it.
    Chunked(Chunks),
    /// All that comes until the connection ends.
    UntilClose,
}

/// How far the chunks have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    at: At,
    /// Of the chunk: its size so far, then what is left of it.
    left: u64,
    /// Bytes of extensions and trailers so far.
    aside: u32,
}

/// Before which byte of the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The first digit of a size.
    Start,
    Size,
    /// White space after a size.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a trailer's line.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
}

/// What a body is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    /// `content-length` is no number, or several that differ.
    #[error("content-length is no number")]
    ContentLength,
    /// `transfer-encoding` where there is none.
    #[error("HTTP/1.0 has no transfer-encoding")]
    TransferEncoding,
    /// The size of a chunk is none.
    #[error("the size of a chunk is none")]
    ChunkSize,
    /// A chunk is not followed by a line's end.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// Extensions or trailers without an end.
    #[error("extensions or trailers of more than {MAX_ASIDE} bytes")]
    Aside,
}

// === impl Framing ===

impl Framing {
    /// A body of so many bytes.
    pub(super) const fn length(bytes: u64) -> Self {
        if bytes == 0 { Self::Ended } else { Self::Length(bytes) }
    }

    /// A body in chunks.
    pub(super) const fn chunked() -> Self {
        Self::Chunked(Chunks { at: At::Start, left: 0, aside: 0 })
    }

    /// Whether nothing is to come.
    pub(super) fn is_over(&self) -> bool {
        *self == Self::Ended
    }

    /// How much is to come, where that is known.
    pub(super) const fn left(&self) -> Option<u64> {
        match self {
            Self::Ended => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// The connection has ended: whether the body has so too.
    pub(super) fn end_with_connection(&mut self) -> bool {
        if *self == Self::UntilClose {
            *self = Self::Ended;
        }
        self.is_over()
    }

    /// Takes the next piece of the body off the front of `held`. None: there is none in it (any more).
    ///
    /// # Errors
    /// [`FramingError`] where it is no body of its kind.
    pub(super) fn take(&mut self, held: &mut Bytes) -> Result<Option<Bytes>, FramingError> {
        if held.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Ended => Ok(None),
            Self::UntilClose => Ok(Some(std::mem::take(held))),
            Self::Length(left) => {
                let data = split(held, left);
                if *left == 0 {
                    *self = Self::Ended;
                }
                Ok(Some(data))
            }
            Self::Chunked(chunks) => {
                let (data, over) = chunks.take(held)?;
                if over {
                    *self = Self::Ended;
                }
                Ok(data)
            }
        }
    }
}

/// Splits at most `left` bytes off.
fn split(held: &mut Bytes, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left).map_or(held.len(), |left| left.min(held.len()));
    *left -= length as u64;
    held.split_to(length)
}

// === impl Chunks ===

impl Chunks {
    /// The next piece, and whether the last chunk and its trailers are through.
    fn take(&mut self, held: &mut Bytes) -> Result<(Option<Bytes>, bool), FramingError> {
        while let Some(byte) = held.first().copied() {
            if self.at == At::Data {
                let data = split(held, &mut self.left);
                if self.left == 0 {
                    self.at = At::DataCr;
                }
                return Ok((Some(data), false));
            }
            held.advance(1);
            match self.next(byte)? {
                Some(at) => self.at = at,
                None => return Ok((None, true)),
            }
        }
        Ok((None, false))
    }

    /// What comes after this byte; none where it was the last.
    fn next(&mut self, byte: u8) -> Result<Option<At>, FramingError> {
        let at = match (self.at, byte) {
            (At::Start | At::Size, digit) if digit.is_ascii_hexdigit() => {
                let digit = (digit as char).to_digit(16).map_or(0, u64::from);
                let grown = self.left.checked_mul(16).and_then(|size| size.checked_add(digit));
                self.left = grown.ok_or(FramingError::ChunkSize)?;
                At::Size
            }
            (At::Size | At::Blank, b' ' | b'\t') => At::Blank,
            (At::Size | At::Blank, b';') => At::Extension,
            (At::Size | At::Blank | At::Extension, b'\r') => At::SizeLf,
            // Some end a line with this alone, others do not see it: what is one chunk to us is another to them.
            (At::Extension, b'\n') => return Err(FramingError::ChunkSize),
            (At::Extension, _) => self.aside(At::Extension)?,
            (At::SizeLf, b'\n') if self.left == 0 => At::Line,
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Start,
            (At::Line, b'\r') => At::EndLf,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::Line | At::Trailer, _) => self.aside(At::Trailer)?,
            (At::TrailerLf, b'\n') => At::Line,
            (At::EndLf, b'\n') => return Ok(None),
            (At::DataCr | At::DataLf | At::TrailerLf | At::EndLf, _) => return Err(FramingError::ChunkEnd),
            _ => return Err(FramingError::ChunkSize),
        };
        Ok(Some(at))
    }

    /// Counts a byte that nobody reads.
    fn aside(&mut self, at: At) -> Result<At, FramingError> {
        self.aside += 1;
        if self.aside > MAX_ASIDE { Err(FramingError::Aside) } else { Ok(at) }
    }
}
