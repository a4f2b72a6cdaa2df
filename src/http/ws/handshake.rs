//! The opening handshake (RFC 6455, 4.2): whether a request is one, which
//! subprotocol is spoken, and the 101 that answers it.

use crate::wire::{ErrorCode, PROTOCOL, Problem};
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Whether the two sides understand each other.
pub(super) enum Verdict {
    /// `tidegate.v1` was offered.
    Spoken,
    /// It was not.
    Unsupported(Problem),
}

/// A request that is a handshake.
pub(super) struct Handshake {
    pub verdict: Verdict,
    /// Whether a browser sent it: those alone send an `Origin`.
    pub browser: bool,
    accept: String,
    /// The subprotocol that the answer names.
    protocol: Option<HeaderValue>,
}

impl Handshake {
    /// `upgrade_required` for what is no handshake.
    pub fn check<B>(request: &Request<B>) -> Result<Handshake, Problem> {
        let headers = request.headers();
        if request.version() != Version::HTTP_11 {
            return Err(not_websocket("a WebSocket begins with HTTP/1.1"));
        }
        if !has_token(headers, header::CONNECTION, "upgrade")
            || !has_token(headers, header::UPGRADE, "websocket")
        {
            return Err(not_websocket("the request does not ask to upgrade to 'websocket'"));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(not_websocket("Sec-WebSocket-Version must be 13"));
        }
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
            return Err(not_websocket("Sec-WebSocket-Key is missing"));
        };
        let (verdict, protocol) = subprotocol(headers);
        Ok(Handshake {
            verdict,
            protocol,
            browser: headers.contains_key(header::ORIGIN),
            accept: derive_accept_key(key.as_bytes()),
        })
    }

    /// The answer that turns the connection into a WebSocket.
    pub fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        // Base64: always a header value.
        if let Ok(accept) = HeaderValue::try_from(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = &self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        response
    }
}

/// What is spoken, and what the answer says. Browsers give up a connection
/// whose answer names none of those they offered: to be told why, they get
/// their first one back.
fn subprotocol(headers: &HeaderMap) -> (Verdict, Option<HeaderValue>) {
    let offered: Vec<&str> = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).collect();
    if offered.contains(&PROTOCOL) {
        return (Verdict::Spoken, Some(HeaderValue::from_static(PROTOCOL)));
    }
    let first = offered.first().and_then(|first| HeaderValue::from_str(first).ok());
    let detail = format!("the subprotocol {PROTOCOL} is not among those that the client offers");
    (Verdict::Unsupported(Problem::new(ErrorCode::SubprotocolUnsupported, detail)), first)
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

/// `upgrade_required`.
pub(super) fn not_websocket(detail: &str) -> Problem {
    Problem::new(ErrorCode::UpgradeRequired, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, with `change` made to it.
    fn checked(change: impl FnOnce(&mut Request<()>)) -> Result<Handshake, Problem> {
        let mut request = Request::new(());
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "tidegate.v1, bearer.abc"),
        ] {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        change(&mut request);
        Handshake::check(&request)
    }

    #[test]
    fn the_standards_example_is_answered_as_the_standard_says() {
        let handshake = checked(|_| {}).unwrap();
        assert!(matches!(handshake.verdict, Verdict::Spoken) && !handshake.browser);
        let response = handshake.response();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()["sec-websocket-protocol"], "tidegate.v1");
    }

    #[test]
    fn what_is_no_handshake_is_told_so() {
        for name in ["connection", "upgrade", "sec-websocket-version", "sec-websocket-key"] {
            let refused = checked(|request| {
                request.headers_mut().remove(name);
            });
            assert_eq!(refused.err().unwrap().code, ErrorCode::UpgradeRequired, "{name}");
        }
        let version = checked(|request| *request.version_mut() = Version::HTTP_2);
        assert!(version.is_err());
    }

    #[test]
    fn another_subprotocol_is_named_back_and_not_spoken() {
        for (offered, answered) in [(Some("mqtt, x"), Some("mqtt")), (None, None)] {
            let handshake = checked(|request| {
                let headers = request.headers_mut();
                headers.remove("sec-websocket-protocol");
                headers.insert("origin", HeaderValue::from_static("http://localhost"));
                if let Some(offered) = offered {
                    headers.insert("sec-websocket-protocol", HeaderValue::from_static(offered));
                }
            });
            let handshake = handshake.unwrap();
            assert!(matches!(handshake.verdict, Verdict::Unsupported(_)) && handshake.browser);
            let response = handshake.response();
            let told = response.headers().get("sec-websocket-protocol");
            assert_eq!(told.and_then(|value| value.to_str().ok()), answered);
        }
    }
}
