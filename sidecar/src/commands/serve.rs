//! What the commands that run a plan have in common: the control address, from its flags to its end.

use crate::control::{Address, AddressError, DEFAULT, Served, Server, Token};
use crate::output;
use pacecar::report::Exit;
use pacecar::run::Handle;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::sync::Notify;

/// What the flags and the environment say of the control address.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// None: the default one, where it is free.
    address: Option<Address>,
    metrics: Option<Address>,
    token: Option<Token>,
}

/// What is bound, before anything is served or sent.
pub(crate) struct Bound {
    control: Option<(TcpListener, Address)>,
    metrics: Option<TcpListener>,
    token: Option<Token>,
}

/// What serves a run.
pub(crate) struct Serving {
    _server: Server,
    /// Told when somebody stops the run through it.
    stopped: Arc<Notify>,
}

// === impl Control ===

impl Control {
    /// Reads the flags. Every problem at once.
    pub(crate) fn read(address: Option<&str>, metrics: Option<&str>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let token = Token::from_env().map_err(|error| problems.push(error.to_string())).unwrap_or_default();
        let mut read = |flag: &str, text: Option<&str>| -> Option<Address> {
            let read = text.filter(|text| !text.is_empty())?.parse();
            read.map_err(|error: AddressError| problems.push(format!("{flag}: {error}"))).ok()
        };
        let (address, metrics) = (read("--address", address), read("--metrics-address", metrics));
        if let Some(Err(error)) = address.as_ref().map(|address| address.protect(token.is_some())) {
            problems.push(format!("--address: {error}"));
        }
        if problems.is_empty() { Ok(Self { address, metrics, token }) } else { Err(problems) }
    }

    /// Binds what was asked for. The default address may be another's, as in k6: then there is none.
    ///
    /// # Errors
    /// What cannot be bound and was asked for.
    pub(crate) fn bind(self) -> Result<Bound, String> {
        let control = match self.address {
            Some(address) => {
                let listener = address.bind().map_err(|error| told("--address", &error))?;
                Some((listener, address))
            }
            None => match DEFAULT.parse::<Address>().and_then(|address| Ok((address.bind()?, address))) {
                Ok(bound) => Some(bound),
                Err(error) => {
                    let error = pacecar::run::chain(&error);
                    tracing::warn!(%error, "no control address; --address gives another one");
                    None
                }
            },
        };
        let metrics = match &self.metrics {
            Some(address) => Some(address.bind().map_err(|error| told("--metrics-address", &error))?),
            None => None,
        };
        Ok(Bound { control, metrics, token: self.token })
    }
}

fn told(flag: &str, error: &AddressError) -> String {
    format!("{flag}: {}", pacecar::run::chain(error))
}

// === impl Bound ===

impl Bound {
    /// Serves a run from here on, until what is returned is dropped.
    ///
    /// # Errors
    /// How the command ends where a thread cannot be had; why is told.
    pub(crate) fn serve(self, handle: Handle) -> Result<Serving, Exit> {
        let stopped = Arc::new(Notify::new());
        let served = Served { handle, stopped: Arc::clone(&stopped) };
        let server = Server::start(self.control, self.metrics, self.token, served).map_err(|error| {
            output::error(&format!("the control address cannot be served: {error}"));
            Exit::AddressTaken
        })?;
        if let Some(address) = server.address() {
            tracing::info!(target: "pacecar", %address, "control address");
        }
        if let Some(address) = server.metrics_address() {
            tracing::info!(target: "pacecar", %address, "metrics address");
        }
        Ok(Serving { _server: server, stopped })
    }
}

// === impl Serving ===

impl Serving {
    /// Waits until somebody stops the run through the control address. Cancel safe.
    pub(crate) async fn stopped(&self) {
        self.stopped.notified().await;
    }
}
