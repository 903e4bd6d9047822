//! The time a request may take: connecting, its answer, the answer's body, all hops.
//!
//! Not counted is what the cap makes it wait. One timer per VU, and it is set once in a
//! timeout rather than once per request: it is left running, and where it rings for a
//! request that has time left it is set again. A request that never waits never touches it.

use super::Request;
use super::progress::Progress;
use crate::measure::{Failure, FailureKind};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

/// Ends a request that takes too long with [`FailureKind::Timeout`].
#[derive(Clone, Debug)]
pub(crate) struct Timeout<S> {
    inner: S,
    limit: Duration,
    timer: Timer,
    progress: Progress,
}

pin_project! {
    /// A request with its patience.
    pub(crate) struct Timed<F> {
        #[pin]
        inner: F,
        patience: Option<Patience>,
    }
}

/// A body that has the rest of its request's time.
#[derive(Debug)]
pub struct TimedBody<B> {
    /// None after its end: dropping it closes what it came from.
    inner: Option<B>,
    patience: Option<Patience>,
    /// Whether a frame came: the clock is read between frames, not before the first.
    started: bool,
}

/// The VU's timer while no request has it.
type Timer = Rc<RefCell<Option<Pin<Box<Sleep>>>>>;

/// What is left of the time.
#[derive(Debug)]
struct Patience {
    /// When it ends, but for what is excused. None: too far off to be an instant.
    end: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    home: Timer,
    progress: Progress,
}

// === impl Timeout ===

impl<S> Timeout<S> {
    /// Wraps `inner`.
    pub(crate) fn new(inner: S, limit: Duration, progress: Progress) -> Self {
        Self { inner, limit, timer: Timer::default(), progress }
    }
}

impl<S, B> Service<Request> for Timeout<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Failure>,
{
    type Response = http::Response<TimedBody<B>>;
    type Error = Failure;
    type Future = Timed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.progress.begin();
        let patience = Patience {
            end: Instant::now().checked_add(self.limit),
            timer: None,
            home: Rc::clone(&self.timer),
            progress: self.progress.clone(),
        };
        Timed { inner: self.inner.call(request), patience: Some(patience) }
    }
}

// === impl Timed ===

impl<F, B> Future for Timed<F>
where
    F: Future<Output = Result<http::Response<B>, Failure>>,
{
    type Output = Result<http::Response<TimedBody<B>>, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.inner.poll(cx) {
            Poll::Ready(Ok(response)) => {
                let patience = this.patience.take();
                Poll::Ready(Ok(response.map(|inner| TimedBody { inner: Some(inner), patience, started: false })))
            }
            Poll::Ready(Err(failure)) => Poll::Ready(Err(failure)),
            Poll::Pending => match this.patience {
                Some(patience) => {
                    ready!(patience.poll_over(cx));
                    Poll::Ready(Err(patience.progress.fail(FailureKind::Timeout)))
                }
                None => Poll::Pending,
            },
        }
    }
}

// === impl TimedBody ===

impl<B> Body for TimedBody<B>
where
    B: Body<Data = Bytes, Error = Failure> + Unpin,
{
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        // A body that always has more never lets the timer ring, so the clock is asked as well.
        let over = this.started && this.patience.as_ref().is_some_and(Patience::is_over);
        if !over {
            match Pin::new(inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.started = true;
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(end) => {
                    this.inner = None;
                    this.patience = None;
                    return Poll::Ready(end);
                }
                Poll::Pending => match &mut this.patience {
                    Some(patience) => ready!(patience.poll_over(cx)),
                    None => return Poll::Pending,
                },
            }
        }
        this.inner = None;
        this.patience = None;
        Poll::Ready(Some(Err(Failure::new(FailureKind::Timeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

// === impl Patience ===

impl Patience {
    /// When it ends. None: not in sight, or while the cap holds the request.
    fn end(&self) -> Option<Instant> {
        self.end?.checked_add(self.progress.excused()?)
    }

    fn is_over(&self) -> bool {
        self.end().is_some_and(|end| Instant::now() >= end)
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // While the cap holds the request, the cap's own timer wakes it.
        let Some(end) = self.end() else { return Poll::Pending };
        let home = &self.home;
        let timer =
            self.timer.get_or_insert_with(|| home.borrow_mut().take().unwrap_or_else(|| Box::pin(sleep_until(end))));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            *self.home.borrow_mut() = Some(timer);
        }
    }
}
