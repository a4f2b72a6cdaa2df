//! What the command line speaks to a running gateway with: one method for
//! each call of the interface, over HTTP. Knows the v1 shapes and nothing of
//! how a gateway works inside.

mod error;
mod groups;
mod lines;
mod link;
mod live;
pub mod load;
mod member;
mod read;
mod relay;
#[cfg(test)]
mod tests;

pub use error::{ClientError, Refusal};
pub use lines::Lines;
pub use live::{LiveItem, LiveReader, SubscribeRequest};
pub use member::{JoinRequest, MemberItem, MemberReader};
pub use read::{ReadRequest, RecordStream, StreamItem};
pub use relay::Relay;

use crate::domain::TopicName;
use crate::wire::{
    PublishAnswer, StreamAnswer, TopicBody, TopicDescription, TopicPage, TopicPatchBody,
    TopicSummary, TrimAnswer, TrimBody,
};
use bytes::Bytes;
use error::root_cause;
use futures_util::{Stream, TryStreamExt};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{sync::Arc, time::Duration};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How much of a foreign answer is shown, characters.
const SHOWN: usize = 200;
/// Topics asked for at once when all are listed.
const LIST_PAGE: &str = "500";
/// What cannot stand in a query as it is, names of fields being our own.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A gateway's address and a pool of connections to it.
#[derive(Clone, Debug)]
pub struct Client {
    server: String,
    http: reqwest::Client,
}

/// How a publish is to be made.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// `synced` or `buffered`, if not as the topic says.
    pub durability: Option<String>,
    /// Names the request, so that a repeat does nothing.
    pub idempotency_key: Option<String>,
}

impl Client {
    /// Speaks to the gateway at `server`, such as `http://127.0.0.1:8080`.
    pub fn new(server: &str) -> Result<Client, ClientError> {
        let bad = || ClientError::Server(server.to_owned());
        let url = Url::parse(server).map_err(|_| bad())?;
        if url.scheme() != "http" || !url.has_host() || url.query().is_some() {
            return Err(bad());
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Input(root_cause(&error)))?;
        Ok(Client { server: server.trim_end_matches('/').to_owned(), http })
    }

    /// The address without a slash at its end.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Creates a topic, or ensures that it is there as asked: whether it was
    /// made, and what it is.
    pub async fn put_topic(
        &self,
        topic: &TopicName,
        settings: &TopicBody,
    ) -> Result<(bool, TopicSummary), ClientError> {
        let request = self.request(Method::PUT, &topic_path(topic), &[]).json(settings);
        let response = self.send(request).await?;
        let created = response.status() == StatusCode::CREATED;
        Ok((created, self.parsed(response).await?))
    }

    /// Every topic whose name begins with `prefix`, in order of name.
    pub async fn topics(&self, prefix: &str) -> Result<Vec<TopicSummary>, ClientError> {
        let mut topics = vec![];
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("limit", LIST_PAGE)];
            if !prefix.is_empty() {
                query.push(("prefix", prefix));
            }
            if let Some(after) = &after {
                query.push(("after", after));
            }
            let page: TopicPage = self.call(Method::GET, "/v1/topics", &query).await?;
            topics.extend(page.topics);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(topics),
            }
        }
    }

    /// A topic's settings and partitions.
    pub async fn topic(&self, topic: &TopicName) -> Result<TopicDescription, ClientError> {
        self.call(Method::GET, &topic_path(topic), &[]).await
    }

    /// Changes those settings of a topic that `patch` names.
    pub async fn alter_topic(
        &self,
        topic: &TopicName,
        patch: &TopicPatchBody,
    ) -> Result<TopicSummary, ClientError> {
        let request = self.request(Method::PATCH, &topic_path(topic), &[]).json(patch);
        let response = self.send(request).await?;
        self.parsed(response).await
    }

    /// Deletes a topic and all its records.
    pub async fn delete_topic(&self, topic: &TopicName) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &topic_path(topic), &[])).await.map(drop)
    }

    /// Moves the start of partitions.
    pub async fn trim(
        &self,
        topic: &TopicName,
        body: &TrimBody,
    ) -> Result<TrimAnswer, ClientError> {
        let path = format!("{}/trim", topic_path(topic));
        let response = self.send(self.request(Method::POST, &path, &[]).json(body)).await?;
        self.parsed(response).await
    }

    /// Publishes a JSON body (`{"records":[…]}`): all of it or nothing.
    pub async fn publish(
        &self,
        topic: &TopicName,
        body: impl Into<Bytes>,
        options: &PublishOptions,
    ) -> Result<PublishAnswer, ClientError> {
        let request = self.publish_request(topic, JSON, &[], options).body(body.into());
        let response = self.send(request).await?;
        self.parsed(response).await
    }

    /// Publishes a body of any other type as one value. `query` may hold
    /// `key` and `partition`.
    pub async fn publish_value(
        &self,
        topic: &TopicName,
        content_type: &str,
        query: &[(&str, &str)],
        body: impl Into<Bytes>,
        options: &PublishOptions,
    ) -> Result<PublishAnswer, ClientError> {
        let request = self.publish_request(topic, content_type, query, options).body(body.into());
        let response = self.send(request).await?;
        self.parsed(response).await
    }

    /// Publishes NDJSON of any length: the lines are stored in turn, and the
    /// answer comes at the end. An `Input` error of `body` ends the stream.
    pub async fn publish_stream(
        &self,
        topic: &TopicName,
        body: impl Stream<Item = Result<Bytes, ClientError>> + Send + 'static,
        options: &PublishOptions,
    ) -> Result<StreamAnswer, ClientError> {
        let fault = Arc::new(Mutex::new(None));
        let kept = fault.clone();
        // The transport carries the fault as a text at best: it is kept aside.
        let body = body.map_err(move |error| {
            let told = std::io::Error::other(error.to_string());
            *kept.lock() = Some(error);
            told
        });
        let body = reqwest::Body::wrap_stream(body);
        let request = self.publish_request(topic, NDJSON, &[], options).body(body);
        let sent = self.send(request).await;
        if let Some(fault) = fault.lock().take() {
            return Err(fault);
        }
        self.parsed(sent?).await
    }

    /// Whether the gateway is ready; what it says if it is not.
    pub async fn ready(&self) -> Result<Value, ClientError> {
        self.call(Method::GET, "/readyz", &[]).await
    }

    fn publish_request(
        &self,
        topic: &TopicName,
        content_type: &str,
        query: &[(&str, &str)],
        options: &PublishOptions,
    ) -> RequestBuilder {
        let mut query = query.to_vec();
        if let Some(durability) = &options.durability {
            query.push(("durability", durability));
        }
        let path = format!("{}/records", topic_path(topic));
        let request =
            self.request(Method::POST, &path, &query).header("content-type", content_type);
        match &options.idempotency_key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let response = self.send(self.request(method, path, query)).await?;
        self.parsed(response).await
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = format!("{}{path}", self.server);
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, QUERY));
        }
        self.http.request(method, url)
    }

    /// Sends, and makes an error of every answer that is no success.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.network(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| self.network(&error))?;
        let problem = serde_json::from_slice(&body).ok();
        Err(match problem.and_then(|problem| Refusal::read(&self.server, &problem)) {
            Some(refusal) => ClientError::Refused(Box::new(refusal)),
            None => self.foreign(status, &body),
        })
    }

    async fn parsed<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| self.network(&error))?;
        serde_json::from_slice(&body).map_err(|_| self.foreign(status, &body))
    }

    fn foreign(&self, status: u16, body: &[u8]) -> ClientError {
        let text = String::from_utf8_lossy(body);
        let shown = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        ClientError::Foreign { server: self.server.clone(), status, shown }
    }

    fn network(&self, error: &reqwest::Error) -> ClientError {
        let (server, reason) = (self.server.clone(), root_cause(error));
        if error.is_connect() {
            ClientError::Unreachable { server, reason }
        } else {
            ClientError::Lost { server, reason }
        }
    }
}

fn topic_path(topic: &TopicName) -> String {
    // A topic's name has no character that a path would have to escape.
    format!("/v1/topics/{topic}")
}
