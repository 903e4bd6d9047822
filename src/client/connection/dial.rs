//! Makes a connection: resolves the name, connects, negotiates TLS, and says hello.

use super::Network;
use super::host::Host;
use super::http1::Http1;
use super::http2::Http2;
use super::io::{Counted, Marks, Timed, Transport};
use crate::client::classify;
use crate::client::progress::Progress;
use crate::measure::{Failure, FailureKind, Traffic};
use crate::plan::HttpVersion;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one address may take where there is another to try; the last has what is left of the request's time.
const PER_ADDRESS: Duration = Duration::from_secs(5);

/// A connection that was just made.
pub(super) enum Fresh {
    Http1(Box<Http1>),
    Http2(Rc<Http2>),
}

/// Connects to a host.
///
/// # Errors
/// A [`Failure`] with the phases as far as they came.
pub(super) async fn dial(
    network: Rc<Network>,
    host: Rc<Host>,
    traffic: Traffic,
    progress: Progress,
) -> Result<Fresh, Failure> {
    let fail =
        |kind: FailureKind, error: Box<dyn Error + Send + Sync>| Failure { source: Some(error), ..progress.fail(kind) };
    let tls = match host.is_secure() {
        true => Some(network.tls().await.map_err(|error| fail(FailureKind::Tls, error))?),
        false => None,
    };
    let addresses = network.resolver.resolve(&host.name).await.map_err(|error| fail(FailureKind::Dns, error.into()))?;
    progress.connecting();
    let stream =
        connect(&addresses, host.port).await.map_err(|error| fail(classify::connecting(&error), error.into()))?;
    // Without this a small request may wait for the acknowledgement of the one before it.
    stream.set_nodelay(true).map_err(|error| fail(FailureKind::Connect, error.into()))?;
    let counted = Counted::new(stream, traffic);
    let transport = match tls {
        None => Transport::Plain(counted),
        Some(connector) => {
            progress.handshaking();
            let name = ServerName::try_from(host.name.to_string())
                .map_err(|error| fail(FailureKind::InvalidRequest, error.into()))?;
            let stream = connector
                .connect(name, counted)
                .await
                .map_err(|error| fail(classify::handshaking(&error), error.into()))?;
            Transport::Tls(Box::new(stream))
        }
    };
    progress.connected();
    let version = transport.tls();
    let http2 = match network.version {
        HttpVersion::Auto => transport.agreed_http2(),
        HttpVersion::Http1 => false,
        HttpVersion::Http2 => true,
    };
    let marks = Rc::new(Marks::default());
    let io = Timed::new(transport, Rc::clone(&marks));
    let refused = |error: hyper::Error| fail(classify::exchanging(&error), error.into());
    Ok(if http2 {
        Fresh::Http2(Rc::new(Http2::new(io, marks, version).await.map_err(refused)?))
    } else {
        Fresh::Http1(Http1::new(io, marks, version, network.room.clone()))
    })
}

/// Tries the addresses in order.
///
/// # Errors
/// That of the first address: the others are often of a family that this machine does not have.
async fn connect(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut first = None;
    for (at, address) in addresses.iter().enumerate() {
        let attempt = TcpStream::connect(SocketAddr::new(*address, port));
        let result = if at + 1 == addresses.len() {
            attempt.await
        } else {
            timeout(PER_ADDRESS, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                tracing::debug!(%address, port, %error, "connecting failed");
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}
