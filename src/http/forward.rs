//! Calls for members that another gateway serves: they are passed on to it, so
//! that clients may call any gateway. How is not known here.

use super::{App, body, extract::text_header, refusal::Refusal};
use crate::wire::{ErrorCode, require_json};
use async_trait::async_trait;
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;

/// On a call that a gateway has passed on: it goes no further.
pub const FORWARDED: HeaderName = HeaderName::from_static("tidegate-forwarded");

/// A call to be passed on.
#[derive(Clone, Debug)]
pub struct ForwardedCall {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Those of its headers that matter: who calls, and what the body is. The
    /// one that says that it was passed on is among them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What the other gateway said.
#[derive(Clone, Debug)]
pub struct ForwardedAnswer {
    /// The status.
    pub status: StatusCode,
    /// Its headers; those that matter are passed on.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The way to other gateways.
#[async_trait]
pub trait Forward: Send + Sync + 'static {
    /// Has the gateway at `address` answer; what went wrong if it does not. A
    /// poll may take as long as it asks to wait.
    async fn forward(&self, address: &str, call: ForwardedCall) -> Result<ForwardedAnswer, String>;
}

/// A call about a group whose body has come.
pub(super) struct Call {
    call: ForwardedCall,
    forwarded: bool,
}

impl Call {
    /// Takes the body, which is JSON unless it is empty.
    pub(super) async fn take(app: &App, request: Request) -> Result<Call, Refusal> {
        let (parts, body) = request.into_parts();
        let body = body::modest(app, body).await?;
        if !body.is_empty() {
            let (name, code) = (header::CONTENT_TYPE, ErrorCode::ContentTypeUnsupported);
            require_json(text_header(&parts.headers, name, code)?)?;
        }
        let forwarded = parts.headers.contains_key(FORWARDED);
        let mut headers = HeaderMap::new();
        for name in [header::AUTHORIZATION, header::CONTENT_TYPE] {
            if let Some(value) = parts.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(FORWARDED, HeaderValue::from_static("1"));
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let call = ForwardedCall { method: parts.method, target, headers, body };
        Ok(Call { call, forwarded })
    }

    /// Its body.
    pub(super) fn body(&self) -> &Bytes {
        &self.call.body
    }

    /// What was answered here, or, where the member is another gateway's, there.
    pub(super) async fn or_elsewhere(
        self,
        app: &App,
        answer: Result<Response, Refusal>,
    ) -> Result<Response, Refusal> {
        let refusal = match answer {
            Err(refusal) => refusal,
            Ok(response) => return Ok(response),
        };
        let (Some(forward), Some(address), false) =
            (&app.forward, &refusal.elsewhere, self.forwarded)
        else {
            return Err(refusal);
        };
        match forward.forward(address, self.call).await {
            Ok(answer) => Ok(passed_on(answer)),
            Err(error) => {
                tracing::warn!(address, error, "another gateway did not answer");
                Err(refusal)
            }
        }
    }
}

fn passed_on(answer: ForwardedAnswer) -> Response {
    let mut response = Response::new(answer.body.into());
    *response.status_mut() = answer.status;
    for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
        if let Some(value) = answer.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
