//! What a sender hears that is refused: gRPC's code and a message, as `google.rpc.Status`, which OTLP uses over
//! HTTP as well.

use crate::correlate::otlp::Writer;

/// The seconds after which a sender that was told 'later' should try again.
pub(super) const RETRY_AFTER: u64 = 1;

/// A code of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unavailable = 14,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: Code,
    pub(super) message: String,
}

// === impl Status ===

impl Status {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// As protobuf; 'later' says when.
    pub(super) fn protobuf(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.varint(1, self.code as u64);
        writer.bytes(2, self.message.as_bytes());
        if self.code == Code::Unavailable {
            writer.message(3, |any| {
                any.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
                any.message(2, |retry| retry.message(1, |delay| delay.varint(1, RETRY_AFTER)));
            });
        }
        writer.take()
    }

    /// As JSON.
    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::json!({ "code": self.code as u64, "message": self.message }).to_string().into_bytes()
    }
}
