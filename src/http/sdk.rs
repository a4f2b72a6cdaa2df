//! The JavaScript client, as it stands in `static/sdk/`: a page may import it
//! from the gateway that it speaks to, so that both are always of one version.

use super::{App, pages::answer, refusal::Refusal};
use crate::wire::ErrorCode;
use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const TYPES: &str = "text/plain; charset=utf-8";
/// A module loads nothing but what its page allows.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// A file of the client with its path below `/sdk/` and its kind.
macro_rules! files {
    ($($name:literal $kind:expr),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("../../static/sdk/", $name)))),*]
    };
}

const FILES: &[(&str, &str, &str)] = files![
    "tidegate.js" SCRIPT,
    "fallback.js" SCRIPT,
    "outbox.js" SCRIPT,
    "group.js" SCRIPT,
    "tidegate.d.ts" TYPES,
    "fallback.d.ts" TYPES,
    "outbox.d.ts" TYPES,
    "group.d.ts" TYPES,
    "package.json" "application/json",
    "README.md" "text/markdown; charset=utf-8",
];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/sdk/{file}", get(file))
}

async fn file(Path(name): Path<String>) -> Response {
    let Some((_, kind, text)) = FILES.iter().find(|(known, ..)| *known == name) else {
        let detail = format!("the client has no file '{name}': see /sdk/README.md");
        return Refusal::new(ErrorCode::RouteUnknown, detail).into_response();
    };
    let mut response = answer(kind, POLICY, *text);
    // A page of another origin may import it. Nothing here is anyone's secret.
    for (name, value) in
        [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, "no-cache")]
    {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
