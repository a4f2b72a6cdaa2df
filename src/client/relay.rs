//! A call that is passed on to another gateway as it is, and its answer as it
//! came.

use super::{CONNECT, ClientError, error::root_cause};
use bytes::Bytes;
use reqwest::{Method, StatusCode, header::HeaderMap};
use std::time::Duration;

/// How long the other gateway may take: the longest poll, and some more.
const ANSWER: Duration = Duration::from_secs(75);
/// For how long a connection that rests is kept.
const REST: Duration = Duration::from_secs(30);

/// A pool of connections to other gateways.
#[derive(Clone, Debug)]
pub struct Relay {
    http: reqwest::Client,
}

impl Relay {
    /// Speaks to gateways alone: no proxy, no redirects.
    pub fn new() -> Result<Relay, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .pool_idle_timeout(REST)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| ClientError::Input(root_cause(&error)))?;
        Ok(Relay { http })
    }

    /// Has the gateway at `server`, such as `http://10.0.0.7:8080`, answer a call
    /// to `target`, which is a path and a query. Any status is an answer.
    pub async fn pass(
        &self,
        server: &str,
        (method, target): (Method, &str),
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), ClientError> {
        let failed = |error: reqwest::Error| {
            let (server, reason) = (server.to_owned(), root_cause(&error));
            if error.is_connect() {
                ClientError::Unreachable { server, reason }
            } else {
                ClientError::Lost { server, reason }
            }
        };
        let request = self.http.request(method, format!("{server}{target}"));
        let answer = request.headers(headers).body(body).send().await.map_err(failed)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok((status, headers, answer.bytes().await.map_err(failed)?))
    }
}
