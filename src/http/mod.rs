//! The HTTP side: the map of addresses, what is taken out of requests, and the
//! connections under it. Handlers take out, call the broker once, and convert;
//! they decide nothing.
//!
//! ```text
//! listen ─► connection ─► serve ─► router ─► topics | publish, upload | read, page, stream | groups,
//!                                            members, poll, forward | ops | pages, sdk
//!  bounds    time-outs     guard, ids, refusals       extract, body ─► broker ─► wire
//! ```

mod body;
mod canned;
mod config;
mod connection;
mod cors;
mod extract;
pub mod floor;
mod forward;
mod group_answers;
mod groups;
mod guard;
mod incoming;
mod listen;
mod live;
mod members;
mod metrics;
mod openapi;
mod ops;
mod page;
mod pages;
mod poll;
mod problems;
mod publish;
mod read;
mod refusal;
mod sdk;
mod serve;
mod stream;
mod stream_form;
mod topics;
mod upload;
mod ws;

pub use config::HttpConfig;
pub use forward::{Forward, ForwardedAnswer, ForwardedCall};
pub use listen::listen;
pub use openapi::document;

use crate::{
    broker::Broker,
    runtime::{Metrics, Shutdown, Tasks},
    session::Host,
};
use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use guard::Guard;
use metrics::HttpMetrics;
use serve::RequestIds;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::Semaphore;
use ws::WebSockets;

/// Memory for answers that wait to be sent, in KiB: pages, and the large
/// pieces of streams.
const ANSWER_ROOM_KIB: usize = 128 << 10;

/// What every handler may use.
struct App {
    broker: Arc<Broker>,
    metrics: Metrics,
    config: HttpConfig,
    shutdown: Shutdown,
    tasks: Tasks,
    guard: Guard,
    http: HttpMetrics,
    ws: WebSockets,
    ids: RequestIds,
    answer_room: Arc<Semaphore>,
    /// To whom members are that another gateway serves.
    forward: Option<Arc<dyn Forward>>,
}

/// All that is served at one address.
pub struct Site {
    app: Arc<App>,
    router: Router,
}

impl Site {
    /// The site of `sessions` and their broker at the address `at`. Its connections are `tasks`,
    /// and follow the phases of `shutdown`. Calls for members that another gateway serves go on
    /// by `forward`, where there are other gateways.
    #[must_use]
    pub fn new(
        config: HttpConfig,
        at: SocketAddr,
        sessions: Arc<Host>,
        metrics: &Metrics,
        shutdown: Shutdown,
        tasks: Tasks,
        forward: Option<Arc<dyn Forward>>,
    ) -> Arc<Site> {
        let app = Arc::new(App {
            broker: Arc::clone(sessions.broker()),
            metrics: metrics.clone(),
            guard: Guard::new(at, &config.allowed_hosts, &config.cors_origins),
            config,
            shutdown,
            tasks,
            http: HttpMetrics::new(metrics),
            ws: WebSockets::new(sessions),
            ids: RequestIds::new(),
            answer_room: Arc::new(Semaphore::new(ANSWER_ROOM_KIB)),
            forward,
        });
        let router = openapi::routes()
            .merge(pages::routes())
            .merge(live::routes())
            .merge(sdk::routes())
            .merge(ws::routes())
            .fallback(refusal::no_route)
            .method_not_allowed_fallback(refusal::no_method)
            .with_state(Arc::clone(&app));
        Arc::new(Site { app, router })
    }
}

/// An answer in JSON that was written already.
fn json(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(crate::wire::JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An answer in JSON of one of the shapes of `wire`.
fn shape(status: StatusCode, body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => json(status, body),
        Err(error) => refusal::Refusal::internal(error.to_string()).into_response(),
    }
}
