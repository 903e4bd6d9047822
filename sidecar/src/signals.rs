//! Ctrl-C and SIGTERM: once is gently, twice is at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for the signals that ask pacecar to stop.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

// === impl StopSignals ===

impl StopSignals {
    /// Takes over the signals from here on: the process no longer dies of them.
    ///
    /// # Errors
    /// Where the kernel refuses the handler.
    pub(crate) fn install() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next of them. Cancel safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
