//! Any bytes as OTLP/JSON: refused, or made into protobuf that is read without a complaint about its form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pacecar::correlate::otlp::{Malformed, Signal, transcode};
use pacecar::correlate::{Taken, Taker, intake};
use pacecar::semconv::RunId;

fuzz_target!(|bytes: &[u8]| {
    for signal in Signal::ALL {
        let Ok(message) = transcode(signal, bytes) else { continue };
        let (outgoing, _incoming) = intake();
        let taker = Taker::new(RunId::new(0x6161_6161_6161_6161), outgoing, None);
        let taken = taker.take(signal, message.into());
        assert!(!matches!(taken, Taken::Garbage(Malformed::Truncated | Malformed::BadField)), "{taken:?}");
    }
});
