//! What can be asked for: the page, a prediction, the model, health and metrics.

use super::body::Room;
use super::compute::Engine;
use super::metrics::{Metrics, Waiting};
use super::page::Page;
use super::pictures::Studio;
use super::refusal::{Reason, Refusal};
use super::reply;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use common::checkpoint::Model;
use std::sync::Arc;
use std::time::Instant;

/// The paths; all others are counted as one.
const PATHS: [&str; 5] = ["/", "/predict", "/model", "/healthz", "/metrics"];
/// Headers of every answer.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What all connections share.
pub struct Server {
    page: Page,
    about: Bytes,
    room: Room,
    studio: Studio,
    engine: Engine,
    metrics: Arc<Metrics>,
}

impl Server {
    /// A server of this model.
    #[must_use]
    pub fn new(model: &Model, page: Page, studio: Studio, engine: Engine, metrics: Arc<Metrics>) -> Self {
        let about = reply::about(model, studio.reads_digits()).into();
        Self { page, about, room: Room::default(), studio, engine, metrics }
    }

    /// Ends its threads.
    pub fn close(&self) {
        self.studio.close();
        self.engine.close();
    }
}

/// The routes.
pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/predict", post(predict))
        .route("/model", get(model))
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .fallback(async || Refusal::NoRoute)
        .method_not_allowed_fallback(async || Refusal::Method)
        .layer(from_fn_with_state(Arc::clone(&server), counted))
        .with_state(server)
}

async fn page(State(server): State<Arc<Server>>) -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, server.page.policy.clone());
    (headers, server.page.html)
}

async fn predict(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    match predicted(&server, &uri, headers.contains_key(header::EXPECT), body).await {
        Ok((is_row, answer)) => {
            server.metrics.picture(if is_row { "row" } else { "one" });
            ([(header::CONTENT_TYPE, JSON)], answer).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn predicted(
    server: &Server,
    uri: &Uri,
    expects: bool,
    body: Body,
) -> Result<(bool, Vec<u8>), Refusal> {
    let is_row = match uri.query() {
        None | Some("") => false,
        Some("line") => true,
        Some(_) => return Err(Refusal::Query),
    };
    let content = server.room.read(body, expects).await?;
    Ok((is_row, server.studio.answer(content, is_row).await?))
}

async fn model(State(server): State<Arc<Server>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, JSON)], server.about.clone())
}

async fn metrics(State(server): State<Arc<Server>>) -> impl IntoResponse {
    let waiting = Waiting { lanes: server.studio.waiting().collect(), model: server.engine.waiting() };
    ([(header::CONTENT_TYPE, TEXT)], server.metrics.text(&waiting))
}

/// Counts a request, and adds the headers that every answer has.
async fn counted(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let path = PATHS.into_iter().find(|path| *path == request.uri().path()).unwrap_or("other");
    let begun = Instant::now();
    let mut response = next.run(request).await;
    let reason = response.extensions().get::<Reason>().map(|Reason(reason)| *reason);
    server.metrics.request(path, response.status().as_u16(), reason, begun.elapsed());
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}
