//! One request: checked, given an id, answered, counted and logged, whatever
//! the handler does. The one place where refusals are written out.

use super::{
    Site,
    connection::{Serving, Watched},
    incoming::RequestBody,
    metrics::Kind,
    refusal::Refusal,
    ws,
};
use crate::wire::{ErrorCode, PROBLEM_JSON};
use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
    },
    response::IntoResponse,
};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};
use tower::Service;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken over from a client, bytes.
const MAX_ID_BYTES: usize = 128;

/// Makes ids for requests that bring none: unique among gateways, and cheap.
pub(super) struct RequestIds {
    /// Of this process.
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> RequestIds {
        RequestIds { prefix: format!("{:08x}", fastrand::u32(..)), next: AtomicU64::new(1) }
    }

    /// The client's own id if it has a usable one, else a new one.
    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(REQUEST_ID) {
            Some(id) if usable(id.as_bytes()) => id.clone(),
            _ => {
                let n = self.next.fetch_add(1, Relaxed);
                let id = format!("{}-{n:x}", self.prefix);
                HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-"))
            }
        }
    }
}

fn usable(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.iter().all(u8::is_ascii_graphic)
}

/// An answer's body. The connection counts as serving until it was sent.
pub(super) struct Answer {
    body: Body,
    _serving: Serving,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Answers one request of a connection.
pub(super) async fn serve_request(
    site: Arc<Site>,
    watched: Arc<Watched>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let serving = watched.request(request.version() == Version::HTTP_2);
    let mut request = request;
    if request.uri().path() == ws::PATH {
        // What the connection becomes goes on being watched.
        request.extensions_mut().insert(Arc::clone(&watched));
    }
    let begun = Instant::now();
    let id = site.app.ids.of(request.headers());
    let (method, path) = (request.method().clone(), request.uri().clone());
    let span = tracing::debug_span!("request", id = id.to_str().unwrap_or("-"));
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = guarded(&site, request).instrument(span).await;
    if let Some(refusal) = response.extensions_mut().remove::<Box<Refusal>>() {
        response = written(response, *refusal, &method, path.path(), &id);
    }
    let took = begun.elapsed();
    let status = response.status();
    site.app.http.answered(Kind::of(&method, path.path()), status, took);
    tracing::debug!(%method, %path, status = status.as_u16(), ?took, ?id, "answered");
    site.app.guard.cors.allow(origin, response.headers_mut());
    response.headers_mut().insert(REQUEST_ID, id);
    Ok(response.map(|body| Answer { body, _serving: serving }))
}

/// The site's answer, if the request may come to it and nothing panics.
async fn guarded(site: &Site, request: Request<Incoming>) -> Response<Body> {
    let checked = site.app.guard.check(request.method(), request.uri(), request.headers());
    let (parts, body) = request.into_parts();
    let body = RequestBody::new(body, &parts.headers, &site.app.tasks);
    if let Err(problem) = checked {
        return Refusal::from(problem).into_response();
    }
    if let Some(answer) = site.app.guard.cors.preflight(&parts.method, &parts.headers) {
        return answer;
    }
    let mut router = site.router.clone();
    let answer = router.call(Request::from_parts(parts, Body::new(body)));
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => Refusal::internal("the handler panicked").into_response(),
    }
}

/// A refusal as problem details, with the headers that the handler's response
/// has, such as `Allow`.
fn written(
    response: Response<Body>,
    refusal: Refusal,
    method: &Method,
    path: &str,
    id: &HeaderValue,
) -> Response<Body> {
    let Refusal { problem, cause, elsewhere: _ } = refusal;
    let code = problem.code;
    if response.status().is_server_error() {
        let cause = cause.unwrap_or_else(|| problem.detail.clone());
        if code == ErrorCode::TooBusy || code == ErrorCode::Closing {
            tracing::debug!(%method, path, ?id, %code, %cause, "refused");
        } else {
            tracing::error!(%method, path, ?id, %code, %cause, "failed");
        }
    }
    let problem = if problem.instance.is_some() { problem } else { problem.at(path) };
    let json = problem.to_json();
    let (mut parts, _) = response.into_parts();
    let headers = &mut parts.headers;
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(json.len()));
    if let Some(seconds) = code.retry_after_secs() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if parts.status == StatusCode::REQUEST_TIMEOUT {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(json) };
    Response::from_parts(parts, body)
}
