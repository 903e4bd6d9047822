//! Ctrl-C, SIGTERM and a terminal that closes: once is gently, twice is at once. And the kill switch.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for the signals that ask pacecar to stop.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// None where the caller asked to be left alone by it, as `nohup` does.
    hangup: Option<Signal>,
}

// === impl StopSignals ===

impl StopSignals {
    /// Takes over the signals from here on: the process no longer dies of them.
    ///
    /// # Errors
    /// Where the kernel refuses the handler.
    pub(crate) fn install() -> std::io::Result<Self> {
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// The next of them. Cancel safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = async {
                match &mut self.hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}

/// Waits for the signals of the kill switch: SIGUSR1 is on, SIGUSR2 is off.
pub(crate) struct KillSwitch {
    on: Signal,
    off: Signal,
}

// === impl KillSwitch ===

impl KillSwitch {
    /// Takes over the signals from here on: the process no longer dies of them.
    ///
    /// # Errors
    /// Where the kernel refuses the handler.
    pub(crate) fn install() -> std::io::Result<Self> {
        Ok(Self { on: signal(SignalKind::user_defined1())?, off: signal(SignalKind::user_defined2())? })
    }

    /// The next of them: whether it is on. Cancel safe.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            // Of both at once the one that stops counts.
            biased;
            _ = self.on.recv() => true,
            _ = self.off.recv() => false,
        }
    }
}

/// Whether SIGHUP was ignored when this process began: installing a handler would undo that.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| hangup_is_in(&status))
}

fn hangup_is_in(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal 1 is the lowest bit.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_read_from_the_kernels_text() {
        assert!(hangup_is_in("SigQ:\t0/1\nSigIgn:\t0000000000001001\n"));
        assert!(!hangup_is_in("SigIgn:\t0000000000001000\n"));
        assert!(!hangup_is_in("nothing"));
    }
}
