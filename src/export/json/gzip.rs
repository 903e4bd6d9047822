//! A gzip stream that is whole up to each chunk: what was written can be read even where the rest is lost.
//!
//! It is one member, as `gzip` makes it, as long as all goes well: readers that stop at the first member read all. Where
//! a chunk could not be written, the member is ended before it, and the next chunk begins another.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use std::io;

/// Magic, deflate, no flags, no time, no extra flags, Unix.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// Packs chunks.
pub(super) struct Packer {
    compress: Compress,
    crc: Crc,
    /// Whether a member has begun.
    open: bool,
    /// What ends the member as it was before the last chunk.
    before: Option<Vec<u8>>,
}

// === impl Packer ===

impl Packer {
    pub(super) fn new() -> Self {
        Self { compress: Compress::new(Compression::fast(), false), crc: Crc::new(), open: false, before: None }
    }

    /// Packs a chunk, up to its last byte.
    pub(super) fn pack(&mut self, chunk: &[u8]) -> io::Result<Vec<u8>> {
        self.before = self.open.then(|| self.trailer());
        let mut packed = self.begin();
        self.deflate(chunk, FlushCompress::Sync, &mut packed)?;
        self.crc.update(chunk);
        Ok(packed)
    }

    /// The last chunk was not written: what ends the member before it, where there is one.
    pub(super) fn give_up(&mut self) -> Vec<u8> {
        self.reset();
        self.before.take().unwrap_or_default()
    }

    /// What ends the stream. One that nothing was written to is an empty member.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut end = self.begin();
        end.extend(self.trailer());
        self.reset();
        end
    }

    fn begin(&mut self) -> Vec<u8> {
        let header: &[u8] = if std::mem::replace(&mut self.open, true) { &[] } else { &HEADER };
        header.to_vec()
    }

    fn reset(&mut self) {
        self.compress.reset();
        self.crc.reset();
        self.open = false;
    }

    /// An empty last block, and the checks. The bytes before it are whole: each chunk was flushed.
    fn trailer(&self) -> Vec<u8> {
        let mut trailer = vec![0x03, 0x00];
        trailer.extend_from_slice(&self.crc.sum().to_le_bytes());
        trailer.extend_from_slice(&self.crc.amount().to_le_bytes());
        trailer
    }

    fn deflate(&mut self, mut chunk: &[u8], flush: FlushCompress, out: &mut Vec<u8>) -> io::Result<()> {
        loop {
            out.reserve(chunk.len() / 2 + 1024);
            let (taken, made) = (self.compress.total_in(), out.len());
            let status = self.compress.compress_vec(chunk, out, flush).map_err(io::Error::other)?;
            let taken = usize::try_from(self.compress.total_in() - taken).unwrap_or(chunk.len());
            chunk = chunk.get(taken..).unwrap_or_default();
            let full = out.len() == out.capacity();
            if chunk.is_empty() && !full || matches!(status, Status::BufError) && out.len() == made {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flate2::read::{GzDecoder, MultiGzDecoder};
    use proptest::prelude::*;
    use std::io::Read as _;

    fn first(packed: &[u8]) -> String {
        let mut text = String::new();
        GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        text
    }

    fn all(packed: &[u8]) -> String {
        let mut text = String::new();
        MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_lost_chunk_leaves_what_was_before_it_and_what_came_after() {
        let mut packer = Packer::new();
        let mut file = packer.pack(b"one\n").unwrap();
        file.extend(packer.pack(b"two\n").unwrap());
        let _lost = packer.pack(b"three\n").unwrap();
        file.extend(packer.give_up());
        assert_eq!(all(&file), "one\ntwo\n");
        file.extend(packer.pack(b"four\n").unwrap());
        file.extend(packer.finish());
        assert_eq!(all(&file), "one\ntwo\nfour\n");
    }

    #[test]
    fn nothing_written_is_an_empty_member() {
        let mut packer = Packer::new();
        let _lost = packer.pack(b"one").unwrap();
        assert!(packer.give_up().is_empty());
        assert_eq!(all(&packer.finish()), "");
    }

    proptest! {
        #[test]
        fn chunks_are_one_member(chunks in prop::collection::vec("[ -~]{0,2000}", 0..6)) {
            let mut packer = Packer::new();
            let mut file = Vec::new();
            chunks.iter().for_each(|chunk| file.extend(packer.pack(chunk.as_bytes()).unwrap()));
            file.extend(packer.finish());
            prop_assert_eq!(first(&file), chunks.concat());
        }
    }
}
