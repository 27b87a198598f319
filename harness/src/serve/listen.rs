//! Listeners and connections: TLS, HTTP/1.1 and 2, limits on what a client may hold and
//! how long it may take, and a way out that lets answers be finished.

use core::convert::Infallible;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::tls::Identity;
use super::{Live, api};

/// How many requests a client may have under way on one connection (HTTP/2).
const STREAMS_MAX: u32 = 250;
/// How often a silent connection is asked whether it is alive (HTTP/2).
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait when the system has no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// All listeners.
pub struct Listeners {
    tasks: JoinSet<()>,
    live: Arc<Live>,
}

impl Listeners {
    /// Takes connections from now on.
    #[must_use]
    pub fn start(
        bound: Vec<(TcpListener, SocketAddr, bool)>,
        identity: &Identity,
        live: &Arc<Live>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(live.settings.server.connections_max));
        let front = api::Front::new(Arc::clone(live));
        let mut tasks = JoinSet::new();
        for (listener, _, tls) in bound {
            let door = Door {
                tls: tls.then(|| TlsAcceptor::from(Arc::clone(&identity.server))),
                front: front.clone(),
                builder: builder(live),
                live: Arc::clone(live),
            };
            tasks.spawn(accept(listener, Arc::new(door), Arc::clone(&permits)));
        }
        Self { tasks, live: Arc::clone(live) }
    }

    /// Takes no more connections, and waits, but not for long, for those there are; they
    /// have been told through [`Live::closing`].
    pub async fn stop(mut self, patience: Duration) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        let until = tokio::time::Instant::now() + patience;
        while api::connections(&self.live) > 0 {
            if tokio::time::Instant::now() >= until {
                tracing::warn!("connections were cut: their clients did not close them in time");
                return;
            }
            tokio::time::sleep(PAUSE / 5).await;
        }
    }
}

struct Door {
    tls: Option<TlsAcceptor>,
    front: api::Front,
    builder: Builder<TokioExecutor>,
    live: Arc<Live>,
}

fn builder(live: &Live) -> Builder<TokioExecutor> {
    let server = &live.settings.server;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(server.header_timeout)
        .max_buf_size(server.header_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(server.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL);
    builder
}

async fn accept(listener: TcpListener, door: Arc<Door>, permits: Arc<Semaphore>) {
    loop {
        // Before the connection is taken: those that are too many wait in the system.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(Arc::clone(&door).welcome(stream, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Door {
    async fn welcome(self: Arc<Self>, stream: TcpStream, permit: OwnedSemaphorePermit) {
        self.live.connections.fetch_add(1, Ordering::Relaxed);
        // Answers are small and wait for nothing.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => self.converse(stream).await,
            Some(tls) => {
                let limit = self.live.settings.server.header_timeout;
                match tokio::time::timeout(limit, tls.accept(stream)).await {
                    Ok(Ok(stream)) => self.converse(stream).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                    Err(_) => tracing::debug!("no TLS in time"),
                }
            }
        }
        self.live.connections.fetch_sub(1, Ordering::Relaxed);
        drop(permit);
    }

    async fn converse<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let asked = Arc::new(AtomicBool::new(false));
        let front = self.front.clone();
        let noted = Arc::clone(&asked);
        let secure = api::Secure(self.tls.is_some());
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            noted.store(true, Ordering::Relaxed);
            let answer = front.clone().serve(secure, request.map(axum::body::Body::new));
            async { Ok::<_, Infallible>(answer.await) }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = core::pin::pin!(connection);
        let mut closing = self.live.closing.clone();
        // Until the version is known no other limit of time holds.
        let mut first =
            core::pin::pin!(tokio::time::sleep(self.live.settings.server.header_timeout));
        let (mut waits, mut open) = (true, true);
        let outcome = loop {
            tokio::select! {
                outcome = connection.as_mut() => break outcome,
                () = first.as_mut(), if waits => {
                    waits = false;
                    if !asked.load(Ordering::Relaxed) {
                        tracing::debug!("a connection without a request was cut");
                        return;
                    }
                }
                _ = closing.changed(), if open => {
                    open = false;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "a connection broke");
        }
    }
}
