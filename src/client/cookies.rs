//! The cookies of one iteration.
//!
//! Below the redirect, so that a hop stores and sends cookies as any request does, and the
//! jar's rules alone decide which host gets which. A new iteration starts with an empty jar.

use super::Request;
use super::progress::Progress;
use crate::measure::{Failure, RequestContext};
use cookie_store::{CookieStore, RawCookie};
use http::Uri;
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use pin_project_lite::pin_project;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tower::Service;
use url::Url;

/// How many cookies a jar takes in one iteration: as browsers, far beyond what an API sets.
const MAX_COOKIES: usize = 3_000;

/// Sends and stores cookies.
#[derive(Clone, Debug)]
pub(crate) struct Cookies<S> {
    inner: S,
    jar: Rc<RefCell<Jar>>,
    progress: Progress,
}

/// The cookies of the VU's iteration.
#[derive(Debug, Default)]
struct Jar {
    store: CookieStore,
    /// How many were taken; zero is a jar that nobody needs to look into.
    taken: usize,
    iteration: Option<u64>,
}

pin_project! {
    /// A request whose answer may set cookies.
    pub(crate) struct Storing<F> {
        #[pin]
        inner: F,
        progress: Progress,
        jar: Rc<RefCell<Jar>>,
    }
}

// === impl Cookies ===

impl<S> Cookies<S> {
    /// Wraps `inner` with an empty jar.
    pub(crate) fn new(inner: S, progress: Progress) -> Self {
        Self { inner, jar: Rc::default(), progress }
    }
}

impl<S, B> Service<Request> for Cookies<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Failure>,
{
    type Response = http::Response<B>;
    type Error = Failure;
    type Future = Storing<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let iteration = request.extensions().get::<RequestContext>().map(|context| context.iteration);
        {
            let jar = &mut *self.jar.borrow_mut();
            jar.enter(iteration);
            if jar.taken > 0 {
                self.progress.keep_cookie(request.headers().get(COOKIE).cloned());
                let uri = request.uri().clone();
                jar.write(&uri, request.headers_mut());
            }
        }
        Storing { inner: self.inner.call(request), progress: self.progress.clone(), jar: Rc::clone(&self.jar) }
    }
}

// === impl Storing ===

impl<F, B> Future for Storing<F>
where
    F: Future<Output = Result<http::Response<B>, Failure>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        if response.headers().contains_key(SET_COOKIE)
            && let Some(uri) = this.progress.sent_to()
        {
            this.jar.borrow_mut().store(&uri, response.headers());
        }
        Poll::Ready(Ok(response))
    }
}

// === impl Jar ===

impl Jar {
    /// Empties the jar where a new iteration begins.
    fn enter(&mut self, iteration: Option<u64>) {
        if self.iteration != iteration {
            self.iteration = iteration;
            if self.taken > 0 {
                self.taken = 0;
                self.store.clear();
            }
        }
    }

    /// Stores what an answer sets.
    fn store(&mut self, uri: &Uri, headers: &HeaderMap) {
        let Ok(url) = Url::parse(&uri.to_string()) else { return };
        for value in headers.get_all(SET_COOKIE) {
            if self.taken >= MAX_COOKIES {
                return;
            }
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if let Ok(cookie) = RawCookie::parse(text)
                && self.store.insert_raw(&cookie, &url).is_ok()
            {
                self.taken += 1;
            }
        }
    }

    /// Adds the jar's cookies to what the plan wrote; of two with one name the plan's is sent.
    fn write(&self, uri: &Uri, headers: &mut HeaderMap) {
        let Ok(url) = Url::parse(&uri.to_string()) else { return };
        let mut cookies = self.store.matches(&url);
        if cookies.is_empty() {
            return;
        }
        // RFC 6265: longer paths first. The names make the order the same each time.
        cookies.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then_with(|| a.name().cmp(b.name())));
        let mut line = headers.get(COOKIE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let given = line.clone().unwrap_or_default();
        let is_given = |name: &str| given.split(';').any(|pair| pair.trim().split('=').next() == Some(name));
        for cookie in cookies {
            if is_given(cookie.name()) {
                continue;
            }
            let line = line.get_or_insert_default();
            let separator = if line.is_empty() { "" } else { "; " };
            // Writing to a String cannot fail.
            let _ = write!(line, "{separator}{}={}", cookie.name(), cookie.value());
        }
        if let Some(Ok(value)) = line.map(|line| HeaderValue::from_bytes(line.as_bytes())) {
            headers.insert(COOKIE, value);
        }
    }
}
