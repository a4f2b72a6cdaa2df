//! A request's body on its way to a handler. When a handler is done before
//! the body is, as when it refuses, what still comes is taken off for a while:
//! closing on a client that is still sending would reset the connection, and
//! the answer with it.

use crate::runtime::{TaskKind, Tasks};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// How long a client may go on sending after its answer.
const LINGER: Duration = Duration::from_secs(2);
/// And how much.
const LINGER_BYTES: usize = 64 << 20;

/// The body of a request.
pub(super) struct RequestBody {
    /// `None` once it was handed on.
    body: Option<Incoming>,
    /// Whether the client sends without being asked to go on.
    sends: bool,
    tasks: Tasks,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, headers: &HeaderMap, tasks: &Tasks) -> RequestBody {
        let sends = !headers.contains_key(header::EXPECT);
        RequestBody { body: Some(body), sends, tasks: tasks.clone() }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Asking for the body is what tells a client that waits to send it.
        self.sends = true;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        // Outside the runtime nobody is left to answer to.
        if let Some(body) = unread
            && self.sends
            && tokio::runtime::Handle::try_current().is_ok()
        {
            self.tasks.spawn("linger", TaskKind::Worker, take_off(body));
        }
    }
}

async fn take_off(mut body: Incoming) {
    let mut left = LINGER_BYTES;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            let len = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(len) else { return };
            left = rest;
        }
    };
    // Late or not, the body is dropped now, which ends the connection if it
    // is not complete.
    let _late = tokio::time::timeout(LINGER, all).await;
}
