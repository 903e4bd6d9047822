//! Any bytes as an OTLP message of traces: there is always an answer, and what is queued comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pacecar::correlate::otlp::Signal;
use pacecar::correlate::{Taker, intake};
use pacecar::semconv::RunId;

fuzz_target!(|bytes: &[u8]| {
    let (outgoing, mut incoming) = intake();
    // A run whose id a fuzzer finds: eight times the letter a.
    let taker = Taker::new(RunId::new(0x6161_6161_6161_6161), outgoing, None);
    taker.take(Signal::Traces, bytes.to_vec().into());
    while let Some(mut batch) = incoming.try_next() {
        batch.drain().for_each(drop);
    }
});
