//! A WebSocket client of a test: frames in and out as JSON.

use crate::util::Gateway;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        ClientRequestBuilder, Error, Message, Utf8Bytes, handshake::client::Response,
        protocol::frame::coding::CloseCode,
    },
};

/// How long a frame may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Socket(pub WebSocketStream<TcpStream>);

/// Tries the handshake with these headers.
pub async fn handshake(
    gateway: &Gateway,
    protocol: Option<&str>,
    headers: &[(&str, &str)],
) -> Result<(Socket, Response), Error> {
    let uri = format!("ws://{}/v1/ws", gateway.address()).parse().unwrap();
    let mut request = ClientRequestBuilder::new(uri);
    for (name, value) in headers {
        request = request.with_header(*name, *value);
    }
    if let Some(protocol) = protocol {
        request = request.with_sub_protocol(protocol);
    }
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (socket, response) = client_async(request, stream).await?;
    Ok((Socket(socket), response))
}

impl Socket {
    /// Connects and is greeted.
    pub async fn open(gateway: &Gateway) -> Socket {
        let (mut socket, _) = handshake(gateway, Some("tidegate.v1"), &[]).await.unwrap();
        assert_eq!(socket.next().await["op"], "hello");
        socket
    }

    pub async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_text(&mut self, frame: &str) {
        self.0.send(Message::Text(Utf8Bytes::from(frame))).await.unwrap();
    }

    /// The next message that is no ping.
    pub async fn message(&mut self) -> Message {
        let wait = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(message)) => return message,
                    other => panic!("no message: {other:?}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("a message comes")
    }

    /// The next frame of text.
    pub async fn next(&mut self) -> Value {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("no frame: {other:?}"),
        }
    }

    /// The next frame but heartbeats and positions.
    pub async fn news(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            if !matches!(frame["op"].as_str(), Some("heartbeat" | "position")) {
                return frame;
            }
        }
    }

    pub async fn ask(&mut self, frame: Value) -> Value {
        let id = frame["id"].clone();
        self.send(frame).await;
        let answer = self.news().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// Subscribes with number 1 from `from`; answers the `ok`.
    pub async fn subscribe(&mut self, topic: &str, from: Value) -> Value {
        let frame = json!({"op": "subscribe", "id": 1, "sub": 1, "topics": [topic], "from": from});
        let ok = self.ask(frame).await;
        assert_eq!(ok["op"], "ok", "{ok}");
        ok
    }

    /// The values of records until there are `count`.
    pub async fn values(&mut self, count: usize) -> Vec<Value> {
        let mut values = vec![];
        while values.len() < count {
            let frame = self.news().await;
            assert_eq!(frame["op"], "records", "{frame}");
            let records = frame["records"].as_array().unwrap().iter();
            values.extend(records.map(|record| record["value"].clone()));
        }
        values
    }

    /// The code and reason of the close that comes, and `closing` before it.
    pub async fn closed(&mut self) -> (Value, u16) {
        let mut closing = json!(null);
        loop {
            match self.message().await {
                Message::Text(text) => closing = serde_json::from_str(&text).unwrap(),
                Message::Close(Some(frame)) => {
                    assert_eq!(closing["reason"].as_str(), Some(&*frame.reason), "{closing}");
                    let CloseCode::Library(code) = frame.code else { panic!("{frame}") };
                    return (closing, code);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Closes, and waits for the answer.
    pub async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while let Some(Ok(_)) = self.0.next().await {}
    }
}
