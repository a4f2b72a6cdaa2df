//! What goes over the wire, seen by a server that answers from a script.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A client, and what a server said that answers its one request with
/// `answer`: the head of that request.
async fn spoken<T>(status: &str, body: &str, call: impl AsyncFnOnce(Client) -> T) -> (T, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = vec![];
        while !heard.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            if socket.read_buf(&mut heard).await.unwrap() == 0 {
                break;
            }
        }
        // The client may have gone already.
        let _ = socket.write_all(answer.as_bytes()).await;
        String::from_utf8_lossy(&heard).into_owned()
    };
    tokio::join!(call(client), serve)
}

fn topic() -> TopicName {
    TopicName::new("a.b").unwrap()
}

#[tokio::test]
async fn a_read_asks_for_a_stream_with_its_parameters_encoded() {
    let read = ReadRequest {
        topics: vec![topic(), TopicName::new("c").unwrap()],
        from: Some("time:2018-02-01T00:00:00+01:00".to_owned()),
        partitions: vec![0, 3],
        follow: true,
        ..ReadRequest::default()
    };
    let body = "{\"op\":\"end\",\"cursor\":\"x\",\"records\":0}\n";
    let (end, head) = spoken("200 OK", body, async |client| {
        client.read(&read).await.unwrap().next().await.unwrap()
    })
    .await;
    assert_eq!(end, Some(StreamItem::End(Some("x".to_owned()))));
    let target = "GET /v1/records?topic=a.b&topic=c&from=time%3A2018-02-01T00%3A00%3A00%2B01%3A00\
                  &partition=0&partition=3&follow=true HTTP/1.1\r\n";
    assert!(head.starts_with(target), "{head}");
    assert!(head.contains("accept: application/x-ndjson\r\n"), "{head}");
}

#[tokio::test]
async fn a_refusal_is_told_by_its_problem() {
    let body = r#"{"code":"topic_unknown","detail":"no","type":"/docs/errors/topic_unknown","status":404}"#;
    let (result, head) =
        spoken("404 Not Found", body, async |client| client.topic(&topic()).await).await;
    assert!(matches!(result, Err(ClientError::Refused(r)) if r.code == "topic_unknown"));
    assert!(head.starts_with("GET /v1/topics/a.b HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_stranger_is_not_taken_for_a_gateway() {
    for status in ["200 OK", "502 Bad Gateway"] {
        let (result, _) =
            spoken(status, "<html>", async |client| client.topic(&topic()).await).await;
        assert!(matches!(result, Err(ClientError::Foreign { shown, .. }) if shown == "<html>"));
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(&format!("http://{address}")).unwrap();
    assert!(client.ready().await.unwrap_err().is_unreachable());
}

#[tokio::test]
async fn a_fault_of_the_input_is_told_as_it_is() {
    let fault = || futures_util::stream::iter([Err(ClientError::Input("line 3".to_owned()))]);
    let (result, _) = spoken("400 Bad Request", "", async |client| {
        client.publish_stream(&topic(), fault(), &PublishOptions::default()).await
    })
    .await;
    assert!(matches!(result, Err(ClientError::Input(what)) if what == "line 3"));
}

#[test]
fn an_address_is_a_plain_http_url() {
    for bad in ["", "127.0.0.1:8080", "https://h", "ftp://h", "http://h?x=1"] {
        assert!(Client::new(bad).is_err(), "{bad}");
    }
    assert_eq!(Client::new("http://h:1/").unwrap().server(), "http://h:1");
}
