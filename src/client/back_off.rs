//! Hears the target's wish to be left alone: `Retry-After` on 429 and 503.
//!
//! The wait is a number of seconds or a date (RFC 9110, 10.2.3). A date is taken against the
//! answer's own `date`, where it has one, because two machines' clocks differ. What is neither is
//! ignored; what is longer than five minutes counts as five.

use super::config::BackOff;
use super::{Failure, Request};
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tower::Service;

/// The longest that a target is left alone for one answer.
const LONGEST: Duration = Duration::from_secs(300);

/// Looks at answers for a wish to be left alone.
#[derive(Clone)]
pub(crate) struct BackingOff<S> {
    inner: S,
    tell: Option<BackOff>,
}

pin_project! {
    /// A request whose answer is looked at.
    pub(crate) struct Heard<F> {
        #[pin]
        inner: F,
        tell: Option<BackOff>,
    }
}

// === impl BackingOff ===

impl<S> BackingOff<S> {
    /// Wraps `inner`; without anybody to tell nothing is looked at.
    pub(crate) fn new(inner: S, tell: Option<BackOff>) -> Self {
        Self { inner, tell }
    }
}

impl<S, B> Service<Request> for BackingOff<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Failure>,
{
    type Response = S::Response;
    type Error = Failure;
    type Future = Heard<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Heard { inner: self.inner.call(request), tell: self.tell.clone() }
    }
}

// === impl Heard ===

impl<F, B> Future for Heard<F>
where
    F: Future<Output = Result<http::Response<B>, Failure>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.inner.poll(cx));
        if let (Ok(response), Some(tell)) = (&answered, this.tell)
            && matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
            && let Some(wait) = retry_after(response.headers(), SystemTime::now())
        {
            tell(wait);
        }
        Poll::Ready(answered)
    }
}

// === helpers ===

/// How long the target asks to be left alone, at most five minutes; none where it does not, or for no time.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |value: &HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    let value = text(headers.get(RETRY_AFTER)?)?;
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a long time.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(&value).ok()?;
        let date = headers.get(DATE).and_then(text).and_then(|date| httpdate::parse_http_date(&date).ok());
        until.duration_since(date.unwrap_or(now)).ok()?
    };
    (!wait.is_zero()).then(|| wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_all_else_is_ignored() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        let wait = |value: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        for (value, seconds) in [
            ("1", Some(1)),
            (" 120 ", Some(120)),
            ("300", Some(300)),
            ("301", Some(300)),
            ("99999999999999999999999", Some(300)),
            ("0", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1s", None),
            ("soon", None),
            ("0x10", None),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(30)),
            ("Wednesday, 21-Oct-26 07:28:31 GMT", Some(31)),
            ("Wed Oct 21 07:28:32 2026", Some(32)),
            ("Wed, 21 Oct 2026 07:27:59 GMT", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(300)),
            ("Wed, 99 Oct 2026 07:28:30 GMT", None),
        ] {
            assert_eq!(wait(value, None), seconds, "{value:?}");
        }
        let skewed = Some("Tue, 20 Oct 2026 00:00:00 GMT");
        assert_eq!(wait("Tue, 20 Oct 2026 00:00:07 GMT", skewed), Some(7), "by the target's own clock");
        assert_eq!(wait("9", skewed), Some(9));
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
