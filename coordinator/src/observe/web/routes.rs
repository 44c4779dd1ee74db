//! What can be asked for: the page and its files, the run as JSON, the stream, health and metrics.

use super::stream::Readers;
use super::{Shared, page, prometheus};
use crate::http::headers;
use crate::http::host_header::Names;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use host::clock::wall_seconds;
use std::sync::Arc;

/// Headers of every answer. Scripts and styles come from here alone, and nothing is asked elsewhere.
const HEADERS: [(HeaderName, HeaderValue); 5] = headers(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// What all requests share.
#[derive(Clone)]
struct Server {
    shared: Arc<Shared>,
    readers: Readers,
    names: Arc<Names>,
}

/// The routes.
pub(super) fn router(shared: Arc<Shared>, readers: Readers, names: Names) -> Router {
    let server = Server { shared, readers, names: Arc::new(names) };
    Router::new()
        .route("/api/run", get(run))
        .route("/api/events", get(events))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .fallback(get(file))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, "this page is read-only: only GET is understood\n")
        })
        .layer(from_fn_with_state(server.clone(), checked))
        .with_state(server)
}

async fn file(uri: Uri) -> Response {
    match page::file(uri.path()) {
        Some((kind, content)) => ([(header::CONTENT_TYPE, kind)], content).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such page; the run's is at /\n").into_response(),
    }
}

async fn run(State(server): State<Server>) -> impl IntoResponse {
    let snapshot = server.shared.lock().snapshot(wall_seconds());
    // As for the stream.
    let json = serde_json::to_string(&snapshot).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], json)
}

async fn events(State(server): State<Server>) -> (HeaderMap, Body) {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    (headers, server.readers.body())
}

async fn metrics(State(server): State<Server>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (kind, text) = prometheus::answer(&server.shared.lock(), accept);
    ([(header::CONTENT_TYPE, kind)], text)
}

/// Refuses requests under names that are not this server's, and adds the headers that every answer has.
async fn checked(State(server): State<Server>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut response = if server.names.allow(host) {
        next.run(request).await
    } else {
        let text = "this server is not known by that name; ask for it by its address\n";
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}
