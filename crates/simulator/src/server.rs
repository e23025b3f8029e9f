//! The sockets: a thread of its own serves one simulated provider until it is dropped.

use crate::anypoint::Anypoint;
use crate::api::{Api, Facts};
use crate::api7::Api7;
use crate::ledger::{Ledger, Seen};
use crate::mural::Mural;
use crate::pactflow::PactFlow;
use crate::scenario::{Provider, Scenario};
use crate::solace_cloud::SolaceCloud;
use crate::stream;
use crate::time::instant;
use crate::tls::{self, TlsListener};
use crate::world::World;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::{Router, body::Body, http::HeaderValue, http::header};
use headwater_contracts::{Clock, Timestamp};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Longest body of a request that is read.
const BODY_MAX: usize = 1 << 20;

/// A running simulator. Dropping it stops it, whatever requests are open.
pub struct Simulator {
    url: String,
    credential: String,
    unprivileged_credential: String,
    address: SocketAddr,
    certificate: Option<String>,
    trap_url: String,
    world: Arc<Mutex<World>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Serves `provider` on a free port of 127.0.0.1. The scenario begins now, by `clock`.
    ///
    /// # Errors
    /// If no port can be bound or no thread started.
    pub fn start(provider: Provider, scenario: Scenario, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), provider, scenario, clock)
    }

    /// Serves `provider` on `address`.
    ///
    /// # Errors
    /// If the address cannot be bound or no thread started.
    pub fn start_on(
        address: SocketAddr,
        provider: Provider,
        scenario: Scenario,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        let trap = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        trap.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (certificate, acceptor) = if scenario.tls { Some(tls::self_signed()?) } else { None }.unzip();
        let scheme = if scenario.tls { "https" } else { "http" };
        let origin = format!("{scheme}://{address}");
        let trap_url = format!("http://{}", trap.local_addr()?);
        let start = clock.now().timestamp_millis() + i64::from(scenario.clock_skew_s) * 1000;
        let api: Box<dyn Api> = match provider {
            Provider::PactFlow => Box::new(PactFlow::new(&scenario, origin.clone(), trap_url.clone())),
            Provider::Api7 => Box::new(Api7::new(&scenario, start)),
            Provider::Mural => Box::new(Mural::new(&scenario, start)),
            Provider::SolaceCloud => Box::new(SolaceCloud::new(&scenario, start)),
            Provider::Anypoint => Box::new(Anypoint::new(&scenario, start)),
        };
        let Facts { credential, unprivileged_credential, context_path, .. } = api.facts().clone();
        let url = format!("{origin}{context_path}");
        let world = Arc::new(Mutex::new(World::new(scenario, clock, api, trap_url.clone())));

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let shared = world.clone();
        let thread = std::thread::Builder::new().name(format!("simulator-{provider}")).spawn(move || {
            // Leaving this block drops the runtime, and with it every open connection.
            runtime.block_on(async move {
                let doors = async {
                    let (listener, trap) = (TcpListener::from_std(listener)?, TcpListener::from_std(trap)?);
                    let receive = Router::new().fallback(receive).with_state(shared.clone());
                    let front = match acceptor {
                        Some(acceptor) => axum::serve(TlsListener::new(listener, acceptor), receive).into_future(),
                        None => axum::serve(listener, receive).into_future(),
                    };
                    let trap = axum::serve(trap, Router::new().fallback(spring).with_state(shared));
                    tokio::try_join!(front, trap.into_future())
                };
                tokio::select! { _ = doors => {}, _ = stopped => {} }
            });
        })?;
        Ok(Self {
            url,
            credential,
            unprivileged_credential,
            address,
            certificate,
            trap_url,
            world,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The endpoint to configure, with the context path and without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token or key that works.
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// A valid token or key that may not read the audit log: 403.
    pub fn unprivileged_credential(&self) -> &str {
        &self.unprivileged_credential
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// PEM of the certificate that a client must trust, if it serves HTTPS ([`Scenario::tls`]).
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// The origin that hostile links and redirects point to; whoever goes there is in [`Ledger::trapped`].
    pub fn trap_url(&self) -> &str {
        &self.trap_url
    }

    /// The truth.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.world.clone())
    }

    /// The server's clock.
    pub fn now(&self) -> Timestamp {
        instant(self.world.lock().unwrap_or_else(PoisonError::into_inner).now())
    }

    /// Stops serving; open requests break off. The ledger stays readable. A second call does nothing.
    pub fn stop(&mut self) {
        // The receiver is gone if the server has ended by itself: then there is nothing to stop.
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn receive(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let seen = seen(&request);
    let body = axum::body::to_bytes(request.into_body(), BODY_MAX).await.unwrap_or_default().to_vec();
    let (decision, date) = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        (world.receive(seen, body), world.date())
    };
    let Some(reply) = decision.reply else { return std::future::pending().await };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = axum::http::StatusCode::from_u16(reply.status).unwrap_or_default();
    let headers = response.headers_mut();
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    if decision.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    stamp(&mut response, date);
    *response.body_mut() = stream::body(world, reply, decision.ending, decision.gzip);
    response
}

/// Somebody has followed a hostile link.
async fn spring(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    world.lock().unwrap_or_else(PoisonError::into_inner).trap(seen(&request));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = axum::http::StatusCode::NOT_FOUND;
    response
}

/// Sets `Date`. The HTTP library adds its own only where there is none, so that absence needs a present, empty value.
fn stamp(response: &mut Response, date: Option<String>) {
    if let Ok(value) = HeaderValue::from_str(&date.unwrap_or_default()) {
        response.headers_mut().insert(header::DATE, value);
    }
}

fn seen(request: &Request) -> Seen {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Seen {
        at: instant(0),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        status: None,
        audit: false,
    }
}
