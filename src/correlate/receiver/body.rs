//! Reads bodies that nobody vouches for: bounded in size as sent, in size as unpacked, in time, and together.

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;

/// Bytes of a message, as sent and as unpacked. Twice what gRPC servers take unless told otherwise.
pub(super) const LARGEST: usize = 8 << 20;
/// From the first byte of a body to its last.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// What is refused is still read away, up to this: a sender that is cut off while it writes sees no answer.
const DRAIN_BYTES: u64 = 160 << 20;
const DRAIN_WITHIN: Duration = READ_WITHIN;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// More bytes than a message may have, sent or unpacked.
    TooLarge,
    /// Other bodies take all the room there is.
    NoRoom,
    /// It did not come in time.
    TooSlow,
    /// The sender has gone.
    Broken,
    /// No gzip, though it says so.
    NotGzip,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Identity,
    Gzip,
}

// === impl Packing ===

impl Packing {
    /// By the value of `content-encoding` or `grpc-encoding`; none where it is not known.
    pub(super) fn named(value: Option<&http::HeaderValue>) -> Option<Self> {
        let Some(value) = value else { return Some(Self::Identity) };
        match value.to_str().ok()?.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// Reads a body of at most `most` bytes as it was sent. The permit holds its room.
pub(super) async fn read(
    body: &mut Incoming,
    most: usize,
    room: &Arc<Semaphore>,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), Unread> {
    if body.size_hint().lower() > most as u64 {
        return Err(Unread::TooLarge);
    }
    let reading = async {
        // What it says about its length is believed up to here; the rest when it comes.
        let mut bytes = Vec::with_capacity(usize::try_from(body.size_hint().lower()).unwrap_or(0).min(64 << 10));
        let mut held = acquire(room, 0)?;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(Unread::Broken) };
            let Some(data) = frame.data_ref() else { continue };
            if bytes.len() + data.len() > most {
                return Err(Unread::TooLarge);
            }
            held.merge(acquire(room, data.len())?);
            bytes.extend_from_slice(data);
        }
        Ok((bytes, held))
    };
    time::timeout(READ_WITHIN, reading).await.unwrap_or(Err(Unread::TooSlow))
}

/// Unpacks a body to at most [`LARGEST`] bytes.
pub(super) fn unpack(body: Vec<u8>, packing: Packing) -> Result<Bytes, Unread> {
    let unpacked = match packing {
        Packing::Identity => body,
        Packing::Gzip => gunzip(&body)?,
    };
    // Without the spare capacity, which the queues do not count.
    Ok(Bytes::from(unpacked.into_boxed_slice()))
}

/// Unpacks gzip as far as a message may be long.
pub(super) fn gunzip(packed: &[u8]) -> Result<Vec<u8>, Unread> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(packed).take(LARGEST as u64 + 1).read_to_end(&mut unpacked).map_err(|_| Unread::NotGzip)?;
    if unpacked.len() > LARGEST { Err(Unread::TooLarge) } else { Ok(unpacked) }
}

/// Reads away what is left of a body that is refused, so that the sender comes to hear why.
pub(super) async fn drain(headers: &HeaderMap, body: &mut Incoming) {
    // Such a sender waits for the word before it sends anything.
    if headers.contains_key(EXPECT) {
        return;
    }
    let draining = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    };
    let _ = time::timeout(DRAIN_WITHIN, draining).await;
}

fn acquire(room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Unread> {
    let bytes = u32::try_from(bytes).map_err(|_| Unread::TooLarge)?;
    Arc::clone(room).try_acquire_many_owned(bytes).map_err(|_| Unread::NoRoom)
}
