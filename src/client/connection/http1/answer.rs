//! The head of an answer: from bytes to status, headers, and where the body ends (RFC 9112, 6.3).

use super::framing::{Framing, FramingError};
use super::request::{asks_to_close, has_token};
use super::{Asked, Head, Http1Error};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use httparse::{ParserConfig, Response, Status};
use std::mem::MaybeUninit;

/// How many headers an answer mostly has at most: there is room for so many without an allocation.
const USUAL_HEADERS: usize = 100;

/// How many headers an answer may have.
const MAX_HEADERS: usize = 4096;

/// What stands at the front of the bytes.
#[derive(Debug)]
pub(super) enum Parsed {
    /// No whole head yet.
    Partial,
    /// A head that only announces another; it is taken off.
    Informational,
    /// The head; it is taken off. `keep`: whether the connection may be used again.
    Whole { head: Head, framing: Framing, keep: bool },
}

/// Reads the head at the front of `held`. Its values share the bytes: nothing is copied.
pub(super) fn parse(held: &mut Bytes, asked: Asked) -> Result<Parsed, Http1Error> {
    let mut slots = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    let mut more = Vec::new();
    let mut response = Response::new(&mut []);
    let config = ParserConfig::default();
    let mut read = config.parse_response_with_uninit_headers(&mut response, held, &mut slots);
    if read == Err(httparse::Error::TooManyHeaders) {
        more.resize_with(MAX_HEADERS, MaybeUninit::uninit);
        response = Response::new(&mut []);
        read = config.parse_response_with_uninit_headers(&mut response, held, &mut more);
    }
    let Status::Complete(length) = read.map_err(Http1Error::Head)? else { return Ok(Parsed::Partial) };
    let invalid = |error: http::Error| Http1Error::Field(error);
    let status = StatusCode::from_u16(response.code.unwrap_or_default()).map_err(|error| invalid(error.into()))?;
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        drop(held.split_to(length));
        return Ok(Parsed::Informational);
    }
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|error| invalid(error.into()))?;
        let value = HeaderValue::from_maybe_shared(held.slice_ref(header.value));
        headers.append(name, value.map_err(|error| invalid(error.into()))?);
    }
    drop(held.split_to(length));
    let framing = framing(status, version, &headers, asked)?;
    let upgraded = status == StatusCode::SWITCHING_PROTOCOLS || (asked == Asked::Connect && status.is_success());
    let wished = if version == Version::HTTP_10 { has_token(&headers, "keep-alive") } else { true };
    let keep = wished && !asks_to_close(&headers) && !upgraded && framing != Framing::UntilClose;
    Ok(Parsed::Whole { head: Head { status, version, headers }, framing, keep })
}

/// Where the body ends.
fn framing(status: StatusCode, version: Version, headers: &HeaderMap, asked: Asked) -> Result<Framing, Http1Error> {
    let bodiless = matches!(status.as_u16(), 101 | 204 | 304) || asked == Asked::Head;
    if bodiless || (asked == Asked::Connect && status.is_success()) {
        return Ok(Framing::Ended);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        if version == Version::HTTP_10 {
            return Err(Http1Error::Length(FramingError::TransferEncoding));
        }
        return Ok(if is_chunked(headers) { Framing::chunked() } else { Framing::UntilClose });
    }
    match content_length(headers) {
        Ok(Some(length)) => Ok(Framing::length(length)),
        Ok(None) => Ok(Framing::UntilClose),
        Err(error) => Err(Http1Error::Length(error)),
    }
}

/// Whether `chunked` is the last of the codings.
fn is_chunked(headers: &HeaderMap) -> bool {
    let last = headers.get_all(TRANSFER_ENCODING).into_iter().next_back().and_then(|value| value.to_str().ok());
    let coding = last.and_then(|value| value.rsplit(',').next());
    coding.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
}

/// The length that the headers agree on; none where none of them says.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, FramingError> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let text = value.to_str().map_err(|_| FramingError::ContentLength)?;
        for number in text.split(',') {
            let number = number.trim();
            // `u64` would take a sign as well.
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let number: u64 = number.parse().ok().filter(|_| digits).ok_or(FramingError::ContentLength)?;
            if length.is_some_and(|known| known != number) {
                return Err(FramingError::ContentLength);
            }
            length = Some(number);
        }
    }
    Ok(length)
}
