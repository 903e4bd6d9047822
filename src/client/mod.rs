//! The HTTP client of a VU: one tower stack over hyper, composed in `stack` and nowhere else.
//!
//! Each VU owns one instance, as in k6: its connections, its cookies, its timer. Per worker
//! thread names are shared, per process TLS and the cap. All of it runs on current-thread
//! runtimes, so nothing need be `Send`; a request boxes no future and spawns no task.
//!
//! The service takes `http::Request<Full<Bytes>>` with an absolute URI and, in its
//! extensions, a [`crate::measure::RequestContext`]; it answers a response whose extensions
//! carry a [`crate::measure::Exchange`], or a [`Failure`]. Proxy variables of the environment
//! are ignored: a measurement through a proxy measures the proxy.

mod back_off;
mod cap;
mod classify;
mod config;
mod connection;
mod cookies;
mod decompression;
mod in_process;
mod overheard;
mod progress;
mod proof;
mod redirect;
mod shared;
mod tag;
mod timeout;
mod trace;

#[cfg(test)]
mod tests;

pub use config::{BackOff, ClientConfig, DEFAULT_MAX_BODY, Overrides, compile};
pub use connection::ConnectionBody;
pub use in_process::ForeignBody;
pub use overheard::{HeardBody, Listener};
pub use proof::Proving;
pub use shared::{Shared, WorkerClient};

use crate::measure::Failure;
use back_off::BackingOff;
use bytes::Bytes;
use cap::{Capped, Line};
use cookies::Cookies;
use decompression::{Decoded, Decompression};
use http::Uri;
use http_body::Body;
use http_body_util::Full;
use overheard::Overheard;
use progress::Progress;
use proof::Proof;
use redirect::Redirect;
use std::sync::Arc;
use tag::Tag;
use timeout::{TimedBody, Timeout};
use tower::Service;
use trace::TraceContext;

/// What a client is asked: an absolute URI and a body that is whole.
pub type Request = http::Request<Full<Bytes>>;

/// What a client answers with: decoded, bounded in size and time, failing with [`Failure`].
pub type ClientBody<B = ConnectionBody> = TimedBody<HeardBody<Decoded<B>>>;

/// Says where requests may go.
pub type HostFilter = Arc<dyn Fn(&Uri) -> bool + Send + Sync>;

/// The stack of one VU, from the inside out. Each line says why it stands where it stands.
fn stack<S, B>(
    config: &ClientConfig,
    line: Option<Line>,
    progress: Progress,
    inner: S,
) -> impl Service<Request, Response = http::Response<ClientBody<B>>, Error = Failure, Future: 'static>
+ Clone
+ 'static
+ use<S, B>
where
    S: Service<Request, Response = http::Response<B>, Error = Failure, Future: 'static> + Clone + 'static,
    B: Body<Data = Bytes, Error = Failure> + Unpin + 'static,
{
    // Next to the wire: all above see bodies as they are meant, and none that is endless.
    let service = Decompression::new(inner, config.max_body);
    // Above the decoding: what is told can be read. Below all else: what is told is what leaves, hop by hop.
    let service = Overheard::new(service, config.listener.clone());
    // Below the redirect: a hop sets and gets cookies as any request, by the jar's rules for its host.
    let service = Cookies::new(service, progress.clone());
    // Below the redirect, as the cap: whichever hop is told to come later, none comes before that.
    let service = BackingOff::new(service, config.back_off.clone());
    // Below the redirect: a hop is a request that the target has to bear, so it pays as one, and none leaves while the
    // guard holds the traffic.
    let service = Capped::new(service, line, config.gate.clone(), progress.clone());
    // Below timeout and trace: all hops share one time and one span.
    let service = Redirect::new(service, config.redirects, config.hosts.clone(), progress.clone());
    // Around all that takes time. What cap and guard make wait is taken off again: it is the plan's wish.
    let service = Timeout::new(service, config.timeout, progress);
    // Above the redirect: written once, carried by each hop.
    let service = TraceContext::new(service, config.sampling, config.random_flag);
    // Above the redirect: made once for all hops that stay with the target, and lost by those that leave.
    let service = Proof::new(service, config.proving.clone());
    // Outermost: says who asks, of which the plan may think otherwise.
    Tag::new(service, config.user_agent.clone())
}
