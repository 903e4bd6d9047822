//! Follows redirects as Go's client, and so k6, does, and keeps to the hosts that are allowed.
//!
//! 301, 302 and 303 become a GET without a body (a HEAD stays one), 307 and 308 keep method
//! and body. What cannot be followed (too many, elsewhere, no or no usable `Location`) is
//! the answer as it is. Each redirect that is followed is a request of its own in every
//! count, so it is noted as a [`Hop`]. Unlike Go, `authorization` and cookies that the plan
//! wrote go to no other scheme, host or port, subdomains neither; and no `referer` is sent,
//! because a URL may hold a secret.

use super::progress::Progress;
use super::{HostFilter, Request};
use crate::measure::{Exchange, Failure, FailureKind, Hop, RequestContext};
use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{Extensions, Method, StatusCode, Uri};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;
use tower::Service;

/// How much of a redirect's body is read so that its connection can serve the next request. More closes it.
const MAX_DRAIN: u64 = 64 * 1024;

/// What says to whom the request belongs: it does not leave the origin.
const CREDENTIALS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, super::proof::PROOF];

/// What describes a body: it goes when the body goes.
const ABOUT_THE_BODY: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::TRANSFER_ENCODING,
];

/// Follows redirects.
#[derive(Clone)]
pub(crate) struct Redirect<S> {
    inner: S,
    rules: Rc<Rules>,
    progress: Progress,
}

/// What is followed.
struct Rules {
    max: u32,
    hosts: Option<HostFilter>,
}

/// A redirect that is to be followed as soon as its body is read.
struct Turn {
    status: StatusCode,
    extensions: Extensions,
    /// The request that was answered so.
    request: Request,
    next: Uri,
    relative: bool,
}

pin_project! {
    /// A request that may be redirected.
    pub(crate) struct Following<S: Service<Request>, B> {
        service: S,
        rules: Rc<Rules>,
        progress: Progress,
        followed: u32,
        // When the hop was due; none for the first, which knows it itself.
        due: Option<Instant>,
        #[pin]
        stage: Stage<S::Future, B>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, B> {
        Forbidden,
        Calling { #[pin] call: F },
        Draining { turn: Option<Turn>, body: Option<B>, drained: u64 },
    }
}

// === impl Redirect ===

impl<S> Redirect<S> {
    /// Wraps `inner`; follows at most `max`, and only to hosts that `hosts` allows.
    pub(crate) fn new(inner: S, max: u32, hosts: Option<HostFilter>, progress: Progress) -> Self {
        Self { inner, rules: Rc::new(Rules { max, hosts }), progress }
    }
}

impl<S, B> Service<Request> for Redirect<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Failure> + Clone,
    B: Body<Data = Bytes, Error = Failure> + Unpin,
{
    type Response = http::Response<B>;
    type Error = Failure;
    type Future = Following<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let stage = if self.rules.allow(request.uri()) {
            Stage::Calling { call: self.inner.call(request) }
        } else {
            Stage::Forbidden
        };
        Following {
            service: self.inner.clone(),
            rules: Rc::clone(&self.rules),
            progress: self.progress.clone(),
            followed: 0,
            due: None,
            stage,
        }
    }
}

// === impl Rules ===

impl Rules {
    fn allow(&self, uri: &Uri) -> bool {
        self.hosts.as_ref().is_none_or(|allowed| allowed(uri))
    }
}

// === impl Following ===

impl<S, B> Future for Following<S, B>
where
    S: Service<Request, Response = http::Response<B>, Error = Failure>,
    B: Body<Data = Bytes, Error = Failure> + Unpin,
{
    type Output = Result<http::Response<B>, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageProjection::Forbidden => {
                    return Poll::Ready(Err(this.progress.fail(FailureKind::Forbidden)));
                }
                StageProjection::Calling { call } => {
                    let answered = ready!(call.poll(cx));
                    let sent = this.progress.take_sent();
                    let mut response = answered?;
                    match turn(&mut response, sent, *this.followed, this.rules) {
                        Some(turn) => {
                            let body = Some(response.into_body());
                            this.stage.set(Stage::Draining { turn: Some(turn), body, drained: 0 });
                        }
                        None => {
                            if *this.followed > 0
                                && let Some(exchange) = response.extensions_mut().get_mut::<Exchange>()
                            {
                                exchange.hops = this.progress.take_hops();
                            }
                            return Poll::Ready(Ok(response));
                        }
                    }
                }
                StageProjection::Draining { turn, body, drained } => {
                    ready!(poll_drained(body, drained, cx));
                    // Only a future that is polled after its end has none.
                    let Some(turn) = turn.take() else { return Poll::Pending };
                    let ended = Instant::now();
                    *this.followed += 1;
                    this.progress.hop(turn.hop(*this.due, ended));
                    *this.due = Some(ended);
                    let call = this.service.call(turn.request());
                    this.stage.set(Stage::Calling { call });
                }
            }
        }
    }
}

/// The redirect that this answer is, if it is one that is to be followed.
fn turn<B>(response: &mut http::Response<B>, sent: Option<Request>, followed: u32, rules: &Rules) -> Option<Turn> {
    let status = response.status();
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) || followed >= rules.max {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.as_bytes();
    let request = sent?;
    let (next, relative) = target(request.uri(), location)?;
    if !rules.allow(&next) {
        return None;
    }
    Some(Turn { status, extensions: std::mem::take(response.extensions_mut()), request, next, relative })
}

/// Reads a redirect's body to its end, as far as that is worth it.
fn poll_drained<B>(body: &mut Option<B>, drained: &mut u64, cx: &mut Context<'_>) -> Poll<()>
where
    B: Body<Data = Bytes, Error = Failure> + Unpin,
{
    while let Some(reading) = body {
        match ready!(Pin::new(reading).poll_frame(cx)) {
            Some(Ok(frame)) => {
                *drained += frame.data_ref().map_or(0, |data| data.len() as u64);
                if *drained > MAX_DRAIN {
                    *body = None;
                }
            }
            // A redirect whose body fails is still one that says where to go.
            Some(Err(_)) | None => *body = None,
        }
    }
    Poll::Ready(())
}

// === impl Turn ===

impl Turn {
    fn hop(&self, due: Option<Instant>, ended: Instant) -> Hop {
        let known = self.extensions.get::<Exchange>().cloned().unwrap_or_default();
        let mut timings = known.timings;
        timings.receiving = known.head_at.map_or_else(Default::default, |head| ended.saturating_duration_since(head));
        let due = due.or_else(|| self.extensions.get::<RequestContext>().map(|context| context.due));
        Hop {
            status: self.status.as_u16(),
            timings,
            due: due.unwrap_or(ended),
            held: known.held,
            ended,
            proto: known.proto,
            tls: known.tls,
        }
    }

    /// The request that follows the redirect.
    fn request(self) -> Request {
        let mut request = self.request;
        if !same_origin(request.uri(), &self.next) {
            for name in CREDENTIALS {
                request.headers_mut().remove(name);
            }
        }
        // As in Go: a `host` of the plan's own stays only where the redirect says no host.
        if !self.relative {
            request.headers_mut().remove(header::HOST);
        }
        if !matches!(self.status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
            if *request.method() != Method::HEAD {
                *request.method_mut() = Method::GET;
            }
            *request.body_mut() = Full::default();
            for name in ABOUT_THE_BODY {
                request.headers_mut().remove(name);
            }
        }
        *request.uri_mut() = self.next;
        *request.extensions_mut() = self.extensions;
        request.extensions_mut().remove::<Exchange>();
        request
    }
}

/// Where a `Location` leads, and whether it says so relative to where it came from.
fn target(from: &Uri, location: &[u8]) -> Option<(Uri, bool)> {
    let location = String::from_utf8_lossy(location);
    let location = location.trim();
    if location.is_empty() {
        return None;
    }
    let relative = matches!(url::Url::parse(location), Err(url::ParseError::RelativeUrlWithoutBase))
        && !location.starts_with("//");
    let mut next = url::Url::parse(&from.to_string()).ok()?.join(location).ok()?;
    next.set_fragment(None);
    if !matches!(next.scheme(), "http" | "https") || !next.has_host() {
        return None;
    }
    Some((next.as_str().parse().ok()?, relative))
}

/// Whether two URLs have the same scheme, host and port.
pub(super) fn same_origin(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().or(if uri.scheme_str() == Some("https") { Some(443) } else { Some(80) });
    one.scheme() == other.scheme()
        && port(one) == port(other)
        && one.host().unwrap_or_default().eq_ignore_ascii_case(other.host().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn leads(from: &str, location: &str) -> Option<(String, bool)> {
        target(&from.parse().unwrap(), location.as_bytes()).map(|(uri, relative)| (uri.to_string(), relative))
    }

    #[test]
    fn a_location_is_resolved_against_where_it_came_from() {
        let from = "http://a.test:8080/x/y?q=1";
        let cases = [
            ("/z", Some(("http://a.test:8080/z", true))),
            ("z?r=2", Some(("http://a.test:8080/x/z?r=2", true))),
            ("?r=2", Some(("http://a.test:8080/x/y?r=2", true))),
            ("../w#part", Some(("http://a.test:8080/w", true))),
            ("//b.test/z", Some(("http://b.test/z", false))),
            ("https://b.test", Some(("https://b.test/", false))),
            ("/with space", Some(("http://a.test:8080/with%20space", true))),
            ("http://[::1]:81/z", Some(("http://[::1]:81/z", false))),
            ("", None),
            ("mailto:a@b.test", None),
            ("http://", None),
            ("http://[::1", None),
        ];
        for (location, expected) in cases {
            assert_eq!(leads(from, location), expected.map(|(uri, relative)| (uri.to_owned(), relative)), "{location}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one: &str, other: &str| same_origin(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(same("http://a.test/x", "http://A.test:80/y"));
        assert!(same("https://a.test", "https://a.test:443"));
        assert!(!same("http://a.test", "https://a.test"));
        assert!(!same("http://a.test", "http://a.test:81"));
        assert!(!same("http://a.test", "http://sub.a.test"));
    }
}
