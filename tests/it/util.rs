//! A gateway of a test's own, and its callers: a well-behaved client, and a
//! raw one that can misbehave.

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tempfile::TempDir;
use tidegate::{
    config::{Config, EngineKind},
    server::Server,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Runs each scenario, an `async fn(&Gateway)`, on every engine; with other
/// settings where a function that makes them is named.
macro_rules! on_every_engine {
    ($($scenario:ident $(with $settings:ident)?;)*) => {$(
        mod $scenario {
            use crate::util::Gateway;
            use tidegate::config::EngineKind;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_memory() {
                on(EngineKind::Memory).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sled() {
                on(EngineKind::Sled).await;
            }

            async fn on(engine: EngineKind) {
                let gateway = Gateway::start(engine, |_config| {
                    $(super::$settings(_config);)?
                })
                .await;
                super::$scenario(&gateway).await;
                gateway.stop().await;
            }
        }
    )*};
}
pub(crate) use on_every_engine;

/// A gateway with an empty store.
pub struct Gateway {
    server: Server,
    client: reqwest::Client,
    config: Config,
    dir: TempDir,
}

/// What a well-behaved client was answered.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Gateway {
    pub async fn start(engine: EngineKind, settings: impl FnOnce(&mut Config)) -> Gateway {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            engine,
            data_dir: dir.path().join("data"),
            ..Config::default()
        };
        config.sled.data_dir.clone_from(&config.data_dir);
        config.sled.cache_active = 16 << 20;
        // The disk under a test may be nearly full.
        config.sled.reserve_bytes = 0;
        config.http.shutdown_deadline = Duration::from_secs(5);
        settings(&mut config);
        Gateway::over(dir, config).await
    }

    async fn over(dir: TempDir, config: Config) -> Gateway {
        let server = Server::start(config.clone()).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Gateway { server, client, config, dir }
    }

    /// Stops, and starts again over the same store, at another port.
    pub async fn restart(self) -> Gateway {
        self.server.stop().await;
        Gateway::over(self.dir, self.config).await
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Tasks that are running.
    pub fn tasks(&self) -> usize {
        self.server.tasks()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// A request still to be sent.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path)).timeout(Duration::from_secs(60))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// A request with a JSON body.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Reply {
        self.send(self.request(method, path).json(body)).await
    }

    /// A request with a body of any type.
    pub async fn body(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let request = self.request(method, path).header("content-type", content_type);
        self.send(request.body(body)).await
    }

    /// Makes a topic.
    pub async fn topic(&self, name: &str, partitions: u32) {
        let body = json!({ "partitions": partitions });
        let reply = self.json(Method::PUT, &format!("/v1/topics/{name}"), &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }

    /// Publishes as one; answers partition and offset of each record.
    pub async fn publish(&self, topic: &str, records: Value) -> Vec<(u64, u64)> {
        let path = format!("/v1/topics/{topic}/records");
        let reply = self.json(Method::POST, &path, &json!({ "records": records })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        places(&reply.value())
    }

    /// A page, which must be one.
    pub async fn page(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.value()
    }
}

/// Partition and offset of each record of a publish's answer.
pub fn places(answer: &Value) -> Vec<(u64, u64)> {
    let records = answer["records"].as_array().unwrap().iter();
    records.map(|r| (r["partition"].as_u64().unwrap(), r["offset"].as_u64().unwrap())).collect()
}

/// The texts or JSON values of a page's records.
pub fn values(page: &Value) -> Vec<Value> {
    let records = page["records"].as_array().unwrap().iter();
    records.map(|r| r.get("value").or_else(|| r.get("text")).unwrap().clone()).collect()
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The problem that this must be, checked for its form.
    pub fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.value();
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], format!("/docs/errors/{code}"));
        for member in ["title", "detail", "instance", "retryable", "may_have_happened"] {
            assert!(!problem[member].is_null(), "no {member} in {problem}");
        }
        if [429, 503].contains(&self.status) {
            assert!(!self.header("retry-after").is_empty(), "no Retry-After with {problem}");
        }
        problem
    }

    /// `status code` of the problem that this must be.
    pub fn refused(&self) -> String {
        format!("{} {}", self.status, self.problem()["code"].as_str().unwrap())
    }
}

/// A client that sends what it likes, when it likes.
pub struct Raw(TcpStream);

impl Raw {
    pub async fn connect(gateway: &Gateway) -> Raw {
        Raw(TcpStream::connect(gateway.address()).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// All that comes until the server closes, which it must within 20 s.
    pub async fn until_closed(mut self) -> String {
        let mut all = vec![];
        let read = self.0.read_to_end(&mut all);
        match tokio::time::timeout(Duration::from_secs(20), read).await {
            // A reset after an answer is an end as well.
            Ok(_) => String::from_utf8_lossy(&all).into_owned(),
            Err(_) => panic!("still open; so far: {}", String::from_utf8_lossy(&all)),
        }
    }

    /// What has come once it contains `text`, within 20 s.
    pub async fn until(&mut self, text: &str) -> String {
        let mut all = vec![];
        let read = async {
            while !String::from_utf8_lossy(&all).contains(text) {
                let mut buffer = [0; 4096];
                let n = self.0.read(&mut buffer).await.unwrap();
                assert!(n > 0, "closed; so far: {}", String::from_utf8_lossy(&all));
                all.extend_from_slice(&buffer[..n]);
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
        String::from_utf8_lossy(&all).into_owned()
    }
}
