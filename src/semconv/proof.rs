//! Proof that a request comes from who knows a shared secret: the value of the header [`super::PROOF`].
//!
//! `v1-ISSUED-MAC`: when it was made (seconds since 1970, 16 hex digits), and HMAC-SHA-256 over the trace id and that
//! time. Bound to one trace and good for [`LIFETIME`]: who catches one can neither use it for another trace nor later.
//! A secret never leaves the two who know it.

use super::TraceId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::time::{Duration, SystemTime};

/// The length of a proof in bytes.
pub const PROOF_LEN: usize = 3 + 16 + 1 + 64;
/// How old a proof may be.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// How far the clock of who made it may be ahead.
const AHEAD: Duration = Duration::from_secs(30);
/// The shortest secret, in bytes.
const SHORTEST: usize = 16;
/// What the MAC is over besides trace and time: the same key signs nothing else by accident.
const DOMAIN: &[u8] = b"pacecar-proof v1\0";

/// A secret that the generator and the API share. `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// Shorter than 16 bytes: it could be guessed.
    TooShort,
    /// The environment variable is not Unicode.
    NotUnicode,
}

// === impl Secret ===

impl Secret {
    /// Takes a secret of at least 16 bytes.
    ///
    /// # Errors
    /// [`SecretError::TooShort`].
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, SecretError> {
        let secret = secret.as_ref();
        if secret.len() < SHORTEST {
            return Err(SecretError::TooShort);
        }
        // HMAC takes keys of any length.
        Hmac::new_from_slice(secret).map(Self).map_err(|_| SecretError::TooShort)
    }

    /// Reads `PACECAR_SECRET`; none where it is not set or empty.
    ///
    /// # Errors
    /// Where what it holds is no secret.
    pub fn from_env() -> Result<Option<Self>, SecretError> {
        match std::env::var(super::SECRET) {
            Ok(secret) if !secret.is_empty() => Self::new(secret).map(Some),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(SecretError::NotUnicode),
        }
    }

    /// Makes the proof for the requests of a trace.
    #[must_use]
    pub fn prove(&self, trace: &TraceId, now: SystemTime) -> [u8; PROOF_LEN] {
        let issued = seconds(now);
        let mut proof = [b'-'; PROOF_LEN];
        proof[..2].copy_from_slice(b"v1");
        write_hex(&mut proof[3..19], &issued.to_be_bytes());
        write_hex(&mut proof[20..], &self.mac(trace, issued).finalize().into_bytes());
        proof
    }

    /// Whether `proof` was made for this trace by who knows the secret, and not too long ago. The comparison takes the
    /// same time wherever they differ.
    #[must_use]
    pub fn proves(&self, proof: &[u8], trace: &TraceId, now: SystemTime) -> bool {
        let Some((issued, mac)) = read(proof) else { return false };
        let now = seconds(now);
        let fresh = issued <= now.saturating_add(AHEAD.as_secs()) && now.saturating_sub(issued) <= LIFETIME.as_secs();
        fresh && self.mac(trace, issued).verify_slice(&mac).is_ok()
    }

    fn mac(&self, trace: &TraceId, issued: u64) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(DOMAIN);
        mac.update(&trace.0);
        mac.update(&issued.to_be_bytes());
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

// === impl SecretError ===

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "the secret is shorter than 16 bytes",
            Self::NotUnicode => "the secret is not Unicode",
        })
    }
}

impl std::error::Error for SecretError {}

// === helpers ===

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn read(proof: &[u8]) -> Option<(u64, [u8; 32])> {
    if proof.len() != PROOF_LEN || !proof.starts_with(b"v1-") || proof[19] != b'-' {
        return None;
    }
    let (mut issued, mut mac) = ([0; 8], [0; 32]);
    read_hex(&proof[3..19], &mut issued)?;
    read_hex(&proof[20..], &mut mac)?;
    Some((u64::from_be_bytes(issued), mac))
}

/// Twice as many digits as bytes.
fn write_hex(out: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn read_hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::semconv::RunId;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn at(offset: i64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.as_secs().saturating_add_signed(offset))
    }

    fn trace(random: u64) -> TraceId {
        TraceId::of_run(RunId::new(7), random)
    }

    #[test]
    fn a_proof_holds_for_its_trace_and_for_a_minute() {
        let secret = Secret::new("correct horse battery").unwrap();
        let proof = secret.prove(&trace(1), at(0));
        for (after, good) in [(0, true), (60, true), (61, false), (-30, true), (-31, false)] {
            assert_eq!(secret.proves(&proof, &trace(1), at(after)), good, "{after} s later");
        }
        assert!(!secret.proves(&proof, &trace(2), at(0)), "another trace");
        assert!(!Secret::new("correct horse batterz").unwrap().proves(&proof, &trace(1), at(0)), "another secret");
    }

    #[test]
    fn every_byte_of_a_proof_counts() {
        let secret = Secret::new("correct horse battery").unwrap();
        let proof = secret.prove(&trace(1), at(0));
        for index in 0..PROOF_LEN {
            let mut forged = proof;
            forged[index] = if forged[index] == b'0' { b'1' } else { b'0' };
            assert!(!secret.proves(&forged, &trace(1), at(0)), "byte {index}");
        }
        assert!(!secret.proves(&proof[..PROOF_LEN - 1], &trace(1), at(0)));
        assert!(!secret.proves(b"", &trace(1), at(0)));
        assert!(!secret.proves(&[0xff; PROOF_LEN], &trace(1), at(0)));
    }

    #[test]
    fn a_secret_is_long_and_stays_one() {
        assert_eq!(Secret::new("short").unwrap_err(), SecretError::TooShort);
        assert_eq!(format!("{:?}", Secret::new("correct horse battery").unwrap()), "Secret");
    }

    /// Computed with OpenSSL over `"pacecar-proof v1\0"`, the trace id and the time: another program can make the same.
    #[test]
    fn a_proof_is_what_others_compute() {
        let secret = Secret::new("correct horse battery").unwrap();
        let proof = secret.prove(&trace(1), at(0));
        assert_eq!(
            std::str::from_utf8(&proof).unwrap(),
            "v1-000000006b49d200-848a1a2d068e7e6e462b2a549f0f56d29a6f57009ae4cf9f1b304d51b6afe634"
        );
    }
}
