//! `--http-debug`: each request and its answer, told as they went over the wire but for secrets.
//!
//! Just above the wire, so that each hop, each cookie and what the client adds is heard. Where nobody listens a request
//! pays one branch.

mod masked;

pub(crate) use masked::Masks;

use super::Request;
use crate::measure::{Failure, RequestContext};
use bytes::{Buf, Bytes};
use http::{HeaderMap, Version, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tower::Service;

/// Who listens, and to what.
#[derive(Clone)]
pub struct Listener {
    tell: Arc<dyn Fn(&str) + Send + Sync>,
    bodies: bool,
    masks: Arc<Masks>,
}

/// Tells what passes.
#[derive(Clone)]
pub(crate) struct Overheard<S> {
    inner: S,
    listener: Option<Listener>,
}

pin_project! {
    /// A request whose answer is told.
    pub(crate) struct Hearing<F> {
        #[pin]
        inner: F,
        heard: Option<Box<Heard>>,
    }
}

/// A body that is told when it has passed.
pub struct HeardBody<B> {
    inner: B,
    heard: Option<Box<Heard>>,
}

/// An answer so far.
struct Heard {
    listener: Listener,
    trace: String,
    text: String,
    body: Vec<u8>,
    more: bool,
}

/// What is told of a body at most.
const MOST: usize = 16 << 10;

// === impl Listener ===

impl Listener {
    /// Listens to heads, and to `bodies` too. `secrets` are texts that are never told.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static, bodies: bool, secrets: Vec<String>) -> Self {
        Self { tell: Arc::new(tell), bodies, masks: Arc::new(Masks::new(secrets)) }
    }

    fn head(&self, text: &mut String, headers: &HeaderMap) {
        for (name, value) in headers {
            let value = self.masks.header(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
            let _ = writeln!(text, "{name}: {value}");
        }
    }

    fn body(&self, text: &mut String, body: &[u8], more: bool) {
        if !self.bodies || body.is_empty() {
            return;
        }
        let told = String::from_utf8_lossy(body);
        // What is no text is not for a terminal.
        let told: String = told.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
        let _ = writeln!(text, "\n{}{}", self.masks.text(&told), if more { " …" } else { "" });
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("bodies", &self.bodies).finish_non_exhaustive()
    }
}

// === impl Overheard ===

impl<S> Overheard<S> {
    /// Wraps `inner`; without a listener nothing is told.
    pub(crate) fn new(inner: S, listener: Option<Listener>) -> Self {
        Self { inner, listener }
    }
}

impl<S, B> Service<Request> for Overheard<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Failure>,
{
    type Response = http::Response<HeardBody<B>>;
    type Error = Failure;
    type Future = Hearing<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let heard = self.listener.as_ref().map(|listener| Box::new(Heard::request(listener, &request)));
        Hearing { inner: self.inner.call(request), heard }
    }
}

// === impl Hearing ===

impl<F, B> Future for Hearing<F>
where
    F: Future<Output = Result<http::Response<B>, Failure>>,
{
    type Output = Result<http::Response<HeardBody<B>>, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        let mut heard = this.heard.take();
        if let Some(heard) = &mut heard {
            match &answer {
                Ok(response) => heard.response(response),
                Err(failure) => {
                    heard.text = format!("Response: none: {} ({})\n", failure.kind.as_str(), heard.trace);
                }
            }
        }
        Poll::Ready(answer.map(|response| response.map(|inner| HeardBody { inner, heard })))
    }
}

// === impl HeardBody ===

impl<B> Body for HeardBody<B>
where
    B: Body<Data = Bytes, Error = Failure> + Unpin,
{
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(heard) = &mut self.heard
            && let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            heard.keep(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Heard ===

impl Heard {
    /// Tells a request.
    fn request(listener: &Listener, request: &Request) -> Self {
        let trace = request.extensions().get::<RequestContext>().map(|context| context.trace.to_string());
        let trace = trace.unwrap_or_default();
        let uri = listener.masks.uri(request.uri());
        let mut text = format!("Request: ({trace})\n{} {uri}\n", request.method());
        if let Some(authority) = request.uri().authority().filter(|_| !request.headers().contains_key(header::HOST)) {
            let _ = writeln!(text, "host: {}", authority.as_str().rsplit('@').next().unwrap_or_default());
        }
        listener.head(&mut text, request.headers());
        let mut body = request.body().clone();
        // A whole body is there at once.
        let whole = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Some(Ok(frame))) = whole
            && let Some(data) = frame.data_ref()
        {
            let told = data.get(..data.len().min(MOST)).unwrap_or_default();
            listener.body(&mut text, told, data.remaining() > MOST);
        }
        (listener.tell)(&format!("{text}\n"));
        Self { listener: listener.clone(), trace, text: String::new(), body: Vec::new(), more: false }
    }

    fn response<B>(&mut self, response: &http::Response<B>) {
        let version = match response.version() {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            _ => "HTTP/1.1",
        };
        self.text = format!("Response: ({})\n{version} {}\n", self.trace, response.status());
        self.listener.head(&mut self.text, response.headers());
    }

    fn keep(&mut self, data: &Bytes) {
        if self.listener.bodies {
            let room = MOST - self.body.len();
            self.body.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
            self.more |= data.len() > room;
        }
    }
}

impl Drop for Heard {
    /// The answer has passed, or nobody reads it any further.
    fn drop(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        if text.is_empty() {
            text = format!("Response: none: cut off ({})\n", self.trace);
        }
        self.listener.body(&mut text, &self.body, self.more);
        (self.listener.tell)(&format!("{text}\n"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::measure::FailureKind;
    use http_body_util::{BodyExt, Full};
    use std::convert::Infallible;
    use std::sync::Mutex;

    fn listening(bodies: bool) -> (Listener, Arc<Mutex<String>>) {
        let told = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&told);
        let tell = move |text: &str| into.lock().unwrap().push_str(text);
        (Listener::new(tell, bodies, vec!["hunter2x".to_owned()]), told)
    }

    async fn heard(bodies: bool) -> String {
        let (listener, told) = listening(bodies);
        let answer = |_: Request| async {
            let body = Full::new(Bytes::from_static(br#"{"access_token":"abc","user":"me"}"#));
            let response = http::Response::builder().header("set-cookie", "id=abc").header("x-kind", "plain");
            Ok::<_, Failure>(response.body(body.map_err(|never: Infallible| match never {}).boxed()).unwrap())
        };
        let mut service = Overheard::new(tower::service_fn(answer), Some(listener));
        let request = http::Request::post("http://user:pw@example.com/login?token=abc&page=2")
            .header("authorization", "Bearer abc")
            .header("x-note", "hunter2x")
            .body(Full::new(Bytes::from_static(br#"{"password":"abc","email":"a@b.c"}"#)))
            .unwrap();
        let response = service.call(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        told.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn heads_are_told_without_secrets() {
        let told = heard(false).await;
        for part in ["Request: (", "POST ", "page=2", "host: example.com", "Response: (", "200 OK", "x-kind: plain"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        for secret in ["abc", "hunter2x", "pw@"] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
        assert!(!told.contains("a@b.c"), "no bodies: {told}");
    }

    #[tokio::test]
    async fn bodies_are_told_where_they_are_asked_for() {
        let told = heard(true).await;
        assert!(told.contains("a@b.c") && told.contains(r#""user":"me""#), "{told}");
        assert!(!told.contains("\"abc\""), "{told}");
    }

    #[tokio::test]
    async fn what_got_no_answer_is_told_too() {
        let (listener, told) = listening(true);
        let fails =
            |_: Request| async { Err::<http::Response<HeardBody<Full<Bytes>>>, _>(Failure::new(FailureKind::Refused)) };
        let mut service = Overheard::new(tower::service_fn(fails), Some(listener));
        let _ = service.call(http::Request::get("http://example.com/").body(Full::default()).unwrap()).await;
        assert!(told.lock().unwrap().contains("Response: none: connection refused"));
    }
}
