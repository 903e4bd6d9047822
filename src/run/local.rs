//! A thread of its own for work that may not move between threads.
//!
//! VUs hold their connections and counters without locks, so their futures are not `Send`.
//! Setup and teardown play a VU too; here they get a runtime as a worker's, and the caller's
//! runtime, whatever it is, only waits.

use std::future::Future;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// Runs what `make` makes on a thread of its own and waits for it.
///
/// The thread ends with the future. Where the waiting is dropped, the thread still runs to
/// the future's end: callers bound the future in time.
///
/// # Errors
/// Where the thread or its runtime cannot be made, or the future panics.
pub(super) async fn run<F, Fut, T>(name: &str, make: F) -> std::io::Result<T>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T>,
    T: Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                // The receiver may be gone; then nobody wants the error either.
                let _ = answer.send(Err(error));
                return;
            }
        };
        let value = LocalSet::new().block_on(&runtime, make());
        let _ = answer.send(Ok(value));
    })?;
    answered.await.unwrap_or_else(|_| Err(std::io::Error::other("the thread ended without an answer")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::rc::Rc;

    #[tokio::test]
    async fn what_cannot_move_runs_elsewhere() {
        let value = run("test", || async {
            let shared = Rc::new(41);
            tokio::task::yield_now().await;
            *shared + 1
        });
        assert_eq!(value.await.unwrap(), 42);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_no_hang() {
        let value: std::io::Result<()> = run("test", || async { panic!("on purpose") }).await;
        assert!(value.is_err());
    }
}
