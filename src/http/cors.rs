//! Pages of other origins: a list of those that may call, none by default. It
//! stands around the whole site, refusals included, so that a page can read
//! why it was refused.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};

/// What pages may send; a preflight asks for it.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// What pages may read of an answer, besides what they always may.
const EXPOSED: &str = "x-request-id, retry-after, location, etag";
/// How long a browser keeps the answer to a preflight, seconds: the most that
/// all of them keep.
const MAX_AGE: &str = "600";
const PRIVATE_NETWORK_ASKED: &str = "access-control-request-private-network";
const PRIVATE_NETWORK: &str = "access-control-allow-private-network";

/// The origins whose pages may call.
#[derive(Clone, Debug)]
pub(super) struct Cors {
    /// Lower case, as browsers send them.
    origins: Vec<String>,
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Cors {
        let plain = |origin: &String| origin.trim_end_matches('/').to_ascii_lowercase();
        Cors { origins: origins.iter().map(plain).collect() }
    }

    /// Whether pages of `origin` may call.
    pub(super) fn lists(&self, origin: &str) -> bool {
        self.origins.iter().any(|listed| listed == origin)
    }

    fn listed(&self, origin: Option<&HeaderValue>) -> bool {
        origin.and_then(|origin| origin.to_str().ok()).is_some_and(|origin| self.lists(origin))
    }

    /// The answer to a browser that asks what a page of a listed origin may
    /// send. `None` if the request is no such question.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        let asks = method == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && self.listed(headers.get(header::ORIGIN));
        if !asks {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        // All that it asks for: headers are checked where they are used.
        if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        if headers.contains_key(PRIVATE_NETWORK_ASKED) {
            answer.insert(PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        Some(response)
    }

    /// Lets a page of a listed origin read the answer.
    pub(super) fn allow(&self, origin: Option<HeaderValue>, answer: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        // A cache must not hand it to a page of another origin.
        answer.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin.filter(|origin| self.listed(Some(origin))) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = HeaderValue::from_static(EXPOSED);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}
