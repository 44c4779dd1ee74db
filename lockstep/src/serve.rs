//! `lockstep serve`: a model that is asked by HTTP.
//!
//! Reading order: [`routes`] has what is asked for, and [`body`] how a picture comes in. [`pictures`] are the
//! threads that look for digits in pictures, [`compute`] those that compute with the model what waits,
//! together. [`lane`] is what waits in front of both. [`reply`] and [`refusal`] are what is said, [`metrics`]
//! what is counted, [`page`] the page to draw on.
//!
//! 1. Nothing that comes from outside is unbounded: connections, headers, bodies and all of them together,
//!    pixels, what waits, and the time of each.
//! 2. What takes long, large pictures and rows, has threads of its own. Other pictures never wait for it.
//! 3. Beyond loopback who asks needs the page token, by TLS (`coordinator::http::access`).
//! 4. An answer has the bits of `lockstep predict`. It depends on its picture alone, whatever is computed
//!    together with it.

pub mod body;
pub mod compute;
pub mod lane;
pub mod metrics;
pub mod page;
pub mod pictures;
pub mod refusal;
pub mod reply;
pub mod routes;

use anyhow::Context;
use common::checkpoint::Model;
use compute::Engine;
use coordinator::http::access::Access;
use coordinator::http::connections::{self, Limits};
use coordinator::observe::console::Console;
use coordinator::session::Trust;
use metrics::Metrics;
use page::Page;
use pictures::Studio;
use routes::Server;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

/// Bounds of connections. The grace is for a head, a body, and an answer.
const LIMITS: Limits = Limits { connections: 256, grace: Duration::from_secs(75) };
/// Threads that take care of connections. Pictures and the model have their own.
const CONNECTION_THREADS: usize = 2;

/// Where a server listens, and who may ask it.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// Address to listen on, as `HOST:PORT`.
    pub address: String,
    /// Who may ask, beyond loopback.
    pub trust: Trust,
}

/// Answers until the program is asked to stop. `described` is the model in a line.
///
/// # Errors
/// When the address can't be listened on, a token is needed and can't be had, the model takes no pictures, or
/// a thread can't be started.
pub fn run(
    model: Model,
    described: &str,
    Entrance { address, trust }: &Entrance,
    threads: NonZeroUsize,
    console: &Console,
) -> anyhow::Result<()> {
    host::open_files::raise_limit();
    let (listener, bound) = listen(address)?;
    let access = Access::open(address, bound, trust)?;
    let model = Arc::new(model);
    let metrics = Arc::new(Metrics::default());
    let engine = Engine::start(&model, threads, &metrics)?;
    let studio = Studio::start(&model, &engine)?;
    let page = Page::of(page::HTML).context("the page's script and style can't be found")?;
    let server = Arc::new(Server::new(&model, page, studio, engine, Arc::clone(&metrics)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONNECTION_THREADS)
        .enable_all()
        .build()
        .context("can't start the threads for connections")?;
    let ended = runtime.block_on(async {
        let stop = host::stop::on_signals(false)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        info!("{}", host::printable(described));
        info!("listening on {}; Ctrl-C or SIGTERM stops it", access.url());
        access.note("ask");
        access.link(trust).iter().for_each(|link| console.line(link));
        let router = routes::router(Arc::clone(&server));
        connections::serve(listener, router, &access, LIMITS, &metrics, stop).await;
        anyhow::Ok(())
    });
    // What still computes is left behind: nobody waits for it.
    server.close();
    runtime.shutdown_background();
    ended
}

/// Opens the listener, and returns it with its address.
fn listen(address: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    coordinator::http::listen(address).map_err(|error| {
        anyhow::anyhow!(
            "can't listen on {address}: {error}; choose another --http (port 0 takes a free port)"
        )
    })
}
