//! Connections: how many there may be, and how long each may take.
//!
//! 1. At most so many are open as the caller says, fewer where the system's limit of open files is low. The
//!    next one waits in the system's queue.
//! 2. A request's head has `HEAD_TIMEOUT` from the moment in which it could begin. So a connection that says
//!    nothing is closed after it, whether it is new or was used before.
//! 3. A connection takes no further request after `CONNECTION_TIMEOUT`, and ends after the caller's grace
//!    more whatever it does. Programs and browsers open another one.
//! 4. Whoever takes no byte of an answer for `WRITE_TIMEOUT` is cut off.
//! 5. Beyond loopback TLS comes first. A connection has to show the page token before it is sure of its place
//!    (`unproved`). On loopback there is none of this.
//! 6. When the server stops, requests in progress are answered, for `STOP_GRACE` at most. A connection
//!    without one is closed after `IDLE_GRACE`: half a head is no request.

use super::access::Access;
use super::handshake;
use super::unproved::{AllUnproved, Evicted, Unproved};
use super::write_timeout::WriteTimeout;
use axum::Router;
use host::open_files;
use host::stop::StopRequests;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

/// Open files that others need: standard streams, the listener, the runtime.
const FILES_RESERVED: u64 = 32;
/// Most bytes of a request's head, and of what is read ahead of a body.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Longest time for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which a connection takes no further request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time in which a reader may take no byte of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time for requests in progress when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Longest time then for a connection without a request: what was answered may still be on its way.
const IDLE_GRACE: Duration = Duration::from_millis(500);
/// Pause after a connection could not be accepted: the system would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most open connections.
    pub connections: usize,
    /// Longest time for the request in progress after `CONNECTION_TIMEOUT`: a head's, a body's, and an
    /// answer's.
    pub grace: Duration,
}

/// Whoever counts connections.
pub trait Watch: Send + Sync + 'static {
    /// A connection has to wait for the end of another one.
    fn waits(&self) {}

    /// A connection is open.
    fn opened(&self) {}

    /// A connection has ended.
    fn closed(&self) {}
}

/// Whoever counts nothing.
impl Watch for () {}

/// Counts a connection for as long as it lives.
struct Open<W: Watch>(Arc<W>);

impl<W: Watch> Drop for Open<W> {
    fn drop(&mut self) {
        self.0.closed();
    }
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    router: Router,
    grace: Duration,
    stop: StopRequests,
    tls: Option<Tls>,
}

/// TLS, and the connections without a token.
#[derive(Clone)]
struct Tls {
    side: TlsAcceptor,
    unproved: Arc<AllUnproved>,
}

/// Serves those who may ask until the first request to stop, and then what is in progress, until the second.
pub async fn serve<W: Watch>(
    listener: TcpListener,
    router: Router,
    access: &Access,
    limits: Limits,
    watch: &Arc<W>,
    stop: StopRequests,
) {
    let most = open_files::limit().map_or(limits.connections, |files| {
        (files.saturating_sub(FILES_RESERVED) as usize).clamp(1, limits.connections)
    });
    let places = Arc::new(Semaphore::new(most));
    let tls = access.side().map(|side| Tls { side: side.clone(), unproved: Arc::default() });
    let router = access.guarded(router);
    let shared = Shared { router, grace: limits.grace, stop: stop.clone(), tls };
    let accept = async {
        loop {
            if places.available_permits() == 0 {
                watch.waits();
            }
            let Some(place) = place(&places, shared.tls.as_ref()).await else { return };
            match listener.accept().await {
                Ok((stream, address)) => {
                    host::tcp::prepare(&stream);
                    watch.opened();
                    let held = (place, Open(Arc::clone(watch)));
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        shared.take(stream, address).await;
                        drop(held);
                    });
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = stopped(stop.clone(), 1) => {}
    }
    drop(listener);
    info!("stopping: requests in progress are answered");
    let ended = async {
        // All places are free when all connections have ended.
        let _ = places.acquire_many(most as u32).await;
    };
    tokio::select! {
        ended = timeout(STOP_GRACE, ended) => {
            if ended.is_err() {
                warn!("requests in progress were cut off after {} s", STOP_GRACE.as_secs());
            }
        }
        () = stopped(stop, 2) => warn!("requests in progress were cut off"),
    }
}

/// Waits for so many requests to stop.
async fn stopped(mut stop: StopRequests, count: u32) {
    if stop.wait_for(|&so_far| so_far >= count).await.is_err() {
        // Nobody can ask any more.
        std::future::pending::<()>().await;
    }
}

/// Waits for a place, and makes one if it may.
async fn place(places: &Arc<Semaphore>, tls: Option<&Tls>) -> Option<OwnedSemaphorePermit> {
    let free = || Arc::clone(places).acquire_owned();
    let place = match tls {
        None => free().await,
        Some(tls) => tokio::select! {
            biased;
            place = free() => place,
            () = tls.unproved.make_room() => free().await,
        },
    };
    place.ok()
}

/// Waits until a connection is closed for another one.
async fn evicted(evicted: Evicted) {
    if evicted.await.is_err() {
        // It has shown the token.
        std::future::pending::<()>().await;
    }
}

impl Shared {
    /// Serves a connection, after the handshake where there is one.
    async fn take(self, stream: TcpStream, address: SocketAddr) {
        let Some(Tls { side, unproved }) = &self.tls else {
            return self.answer(WriteTimeout::new(stream, WRITE_TIMEOUT), None).await;
        };
        let (unproved, late) = unproved.add(address.ip(), Instant::now());
        let served = async {
            let passed = tokio::select! {
                passed = handshake::passed(side, stream, WRITE_TIMEOUT) => passed,
                () = stopped(self.stop.clone(), 1) => None,
            };
            if let Some(stream) = passed {
                self.answer(stream, Some(&unproved)).await;
            }
        };
        tokio::select! {
            () = served => {}
            () = evicted(late) => debug!("a connection without the page token was closed for another one"),
        }
    }

    /// Answers a connection's requests.
    async fn answer<S>(&self, stream: S, unproved: Option<&Arc<Unproved>>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
        let router = TowerToHyperService::new(self.router.clone());
        let in_progress = AtomicBool::new(false);
        let service = service_fn(|mut request: Request<Incoming>| {
            in_progress.store(true, Ordering::Relaxed);
            if let Some(unproved) = unproved {
                request.extensions_mut().insert(Arc::clone(unproved));
            }
            let answer = router.call(request);
            async {
                let answer = answer.await;
                in_progress.store(false, Ordering::Relaxed);
                answer
            }
        });
        let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
        let is_stopping = tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "a connection failed");
                }
                return;
            }
            () = stopped(self.stop.clone(), 1) => true,
            () = sleep(CONNECTION_TIMEOUT) => false,
        };
        served.as_mut().graceful_shutdown();
        let is_idle = is_stopping && !in_progress.load(Ordering::Relaxed);
        if timeout(if is_idle { IDLE_GRACE } else { self.grace }, served).await.is_err() {
            debug!("a connection was cut off");
        }
    }
}
