//! What every request beyond loopback has to show: the page token, or a browser's cookie in its place.
//!
//! 1. Programs show the token as `Authorization: Bearer lp1_...`.
//! 2. A browser opens `/?token=lp1_...` once. It gets a cookie, and is sent on to `/`, so that the token
//!    stays neither in the address bar nor in what the page's own requests say.
//! 3. `/healthz` needs nothing: it says that the server is there, and nothing else.
//! 4. Everything else is answered with 401 and what to do. Whatever wrong was shown is worth a line in the
//!    log, [`LINES_PER_SECOND`] at most.

use super::headers;
use super::unproved::Unproved;
use crate::net::token_bucket::PeerLines;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tracing::warn;
use trust::page_token::PageToken;

/// What probes ask for.
const HEALTH: &str = "/healthz";
/// The page to which the link with the token leads.
const PAGE: &str = "/";
/// The token's name in the link.
const QUERY: &str = "token=";
/// The cookie's name.
const COOKIE: &str = "lockstep_page";
/// The scheme of `Authorization` (RFC 6750).
const SCHEME: &str = "Bearer";
/// Lines about wrong tokens in a second: any peer can cause them.
const LINES_PER_SECOND: u32 = 1;
/// Headers of every answer from here. Nothing of it may run, load, be kept, or tell where one came from.
const HEADERS: [(HeaderName, HeaderValue); 5] =
    headers("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
const FOR_PROGRAMS: &str = "the page token is missing or wrong; send it as Authorization: Bearer TOKEN. It is in the file \
                            page.token of the server's identity folder\n";
/// A browser that followed a link from another site sends its new cookie with the next click only.
const FOR_BROWSERS: &str = "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>Lockstep: token needed</title>\n\
    <h1>This page needs its token</h1>\n\
    <p>Open the address that the program printed at its start: it ends with <code>/?token=</code> and the token. \
    The token is also in the file <code>page.token</code> of its identity folder.</p>\n\
    <p>If you have just opened that address: <a href=\"/\">go on to the page</a>.</p>\n</html>\n";

/// The token that is to be shown.
#[derive(Debug)]
pub(super) struct Guard {
    token: PageToken,
    lines: PeerLines,
}

/// What a request has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The token or the cookie.
    Right,
    /// The token in the link.
    Link,
    /// Another token or cookie.
    Wrong,
    Nothing,
}

impl Guard {
    pub(super) fn new(token: PageToken) -> Self {
        Self { token, lines: PeerLines::new(LINES_PER_SECOND, LINES_PER_SECOND) }
    }

    /// Routes that only requests with the token reach.
    pub(super) fn before(guard: Arc<Self>, router: Router) -> Router {
        router.layer(from_fn_with_state(guard, pass))
    }

    fn shown_by(&self, method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) -> Shown {
        let judge = |is_right| if is_right { Shown::Right } else { Shown::Wrong };
        if path == PAGE && method == Method::GET {
            let token = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix(QUERY));
            if let Some(token) = token {
                return if self.token.is(token) { Shown::Link } else { Shown::Wrong };
            }
        }
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            return judge(bearer(value).is_some_and(|token| self.token.is(token)));
        }
        let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut own = values
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == COOKIE)
            .peekable();
        // Servers at other ports of this host may have set one too.
        if own.peek().is_none() {
            Shown::Nothing
        } else {
            judge(own.any(|(_, value)| self.token.is_cookie(value)))
        }
    }

    /// Sends a browser that has shown the token to the page, with a cookie.
    fn sent_on(&self) -> Response {
        let cookie = self.token.cookie();
        let cookie = format!("{COOKIE}={}; HttpOnly; Secure; SameSite=Strict; Path=/", *cookie);
        let headers = [(header::LOCATION, PAGE.to_owned()), (header::SET_COOKIE, cookie)];
        with_headers((StatusCode::SEE_OTHER, headers).into_response())
    }
}

/// The token in `Authorization`.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim())
}

async fn pass(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let uri = request.uri();
    if uri.path() == HEALTH {
        return next.run(request).await;
    }
    let shown = guard.shown_by(request.method(), uri.path(), uri.query(), request.headers());
    let connection = request.extensions().get::<Arc<Unproved>>();
    match shown {
        Shown::Right => {
            connection.iter().for_each(|connection| connection.has_proved());
            next.run(request).await
        }
        Shown::Link => {
            connection.iter().for_each(|connection| connection.has_proved());
            guard.sent_on()
        }
        Shown::Wrong | Shown::Nothing => {
            if shown == Shown::Wrong {
                let address = connection.map(|connection| connection.address().to_string());
                guard.lines.note(|left_out| {
                    warn!(address, left_out, "refused a request with a wrong page token or an old cookie");
                });
            }
            refusal(request.headers())
        }
    }
}

fn refusal(headers: &HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (kind, text) = if accepts.contains("text/html") {
        ("text/html; charset=utf-8", FOR_BROWSERS)
    } else {
        ("text/plain; charset=utf-8", FOR_PROGRAMS)
    };
    let headers = [(header::WWW_AUTHENTICATE, SCHEME), (header::CONTENT_TYPE, kind)];
    with_headers((StatusCode::UNAUTHORIZED, headers, text).into_response())
}

fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    /// What a request for a path has shown.
    fn shown(guard: &Guard, target: &str, pairs: &[(HeaderName, &str)]) -> Shown {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        guard.shown_by(&Method::GET, path, query, &headers(pairs))
    }

    #[test]
    fn the_token_is_taken_from_its_header_and_the_link_and_the_cookie_from_its_own() {
        let token = PageToken::generate().unwrap();
        let [text, cookie] = [token.reveal(), token.cookie()];
        let guard = Guard::new(token);
        let link = format!("/?a=b&token={}", *text);
        assert_eq!(shown(&guard, &link, &[]), Shown::Link);
        assert_eq!(shown(&guard, &format!("/api/run?token={}", *text), &[]), Shown::Nothing);
        assert_eq!(
            guard.shown_by(
                &Method::POST,
                "/",
                link.split_once('?').map(|(_, query)| query),
                &HeaderMap::new()
            ),
            Shown::Nothing
        );
        for value in [format!("Bearer {}", *text), format!("bearer  {}", *text)] {
            assert_eq!(
                shown(&guard, "/metrics", &[(header::AUTHORIZATION, &value)]),
                Shown::Right,
                "{value}"
            );
        }
        for value in
            [format!("other=1; {COOKIE}={}", *cookie), format!("{COOKIE}=old; {COOKIE}={};x", *cookie)]
        {
            assert_eq!(shown(&guard, "/", &[(header::COOKIE, &value)]), Shown::Right, "{value}");
        }
        let mut both = headers(&[(header::COOKIE, "a=b")]);
        both.append(header::COOKIE, HeaderValue::from_str(&format!("{COOKIE}={}", *cookie)).unwrap());
        assert_eq!(guard.shown_by(&Method::GET, "/", None, &both), Shown::Right);
    }

    #[test]
    fn what_is_wrong_is_no_substitute_for_what_is_right_elsewhere() {
        let [token, other] = [PageToken::generate().unwrap(), PageToken::generate().unwrap()];
        let cookie = format!("{COOKIE}={}", *token.cookie());
        let [text, wrong] = [token.reveal(), other.reveal()];
        let guard = Guard::new(token);
        let good = (header::COOKIE, cookie.as_str());
        for (target, pairs) in [
            (format!("/?token={}", *wrong), vec![good.clone()]),
            ("/?token=".to_owned(), vec![good.clone()]),
            ("/".to_owned(), vec![(header::AUTHORIZATION, "Bearer x"), good.clone()]),
            ("/".to_owned(), vec![(header::AUTHORIZATION, &text[..])]),
            ("/".to_owned(), vec![(header::AUTHORIZATION, "Basic eDp4")]),
            ("/".to_owned(), vec![(header::COOKIE, "lockstep_page=1")]),
        ] {
            assert_eq!(shown(&guard, &target, &pairs), Shown::Wrong, "{target} {pairs:?}");
        }
        assert_eq!(
            shown(&guard, "/", &[(header::COOKIE, "xlockstep_page=1; lockstep_page")]),
            Shown::Nothing
        );
    }
}
