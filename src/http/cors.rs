//! Pages of other origins (CORS): closed, but for the origins that the
//! operator names. Those may call everything; credentials are not theirs to
//! send, for the gateway has none that a browser would add by itself.

use super::guard::Guard;
use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, Request, StatusCode,
        header::{
            self, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_METHOD,
        },
    },
    response::Response,
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What clients of ours send beyond what every page may.
const SENT: HeaderValue = HeaderValue::from_static(
    "authorization, cache-control, content-type, idempotency-key, last-event-id, x-request-id",
);
/// What they read beyond what every page may.
const READ: HeaderValue = HeaderValue::from_static("retry-after, x-request-id");
/// How long a browser need not ask again, seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What the answer to a request says of other origins.
pub(super) struct Cors {
    /// Whether any origin is named, so that answers differ by it.
    varies: bool,
    origin: Option<HeaderValue>,
    preflight: bool,
}

impl Cors {
    /// Of one request.
    pub fn of<B>(guard: &Guard, request: &Request<B>) -> Cors {
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN).filter(|origin| guard.trusts(origin)).cloned();
        let asks = headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = origin.is_some() && request.method() == Method::OPTIONS && asks;
        Cors { varies: guard.trusts_any(), origin, preflight }
    }

    /// The answer to a browser that asks before it sends a page's request.
    pub fn preflight(&self) -> Option<Response> {
        if !self.preflight {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(response)
    }

    /// Lets a page of a trusted origin read the answer.
    pub fn open(self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = self.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
        }
    }
}
