//! The live page: the recorded earthquakes, or any topic, as they are
//! published, on a map and in a list. Its files lie in `static/live/`; it
//! speaks to the gateway as any other client does.

use super::{App, pages::answer, refusal::Refusal};
use crate::wire::ErrorCode;
use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, header},
    response::Response,
    routing::get,
};
use std::sync::Arc;

/// Scripts, styles and calls of its own origin, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const PAGE: &str = include_str!("../../static/live/index.html");

/// A file of the page with its name below `/live/` and its kind.
macro_rules! files {
    ($($name:literal $kind:expr),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("../../static/live/", $name)))),*]
    };
}

const FILES: &[(&str, &str, &str)] = files![
    "style.css" CSS,
    "theme.js" SCRIPT,
    "live.js" SCRIPT,
    "event.js" SCRIPT,
    "feed.js" SCRIPT,
    "ledger.js" SCRIPT,
    "lines.js" SCRIPT,
    "list.js" SCRIPT,
    "map.js" SCRIPT,
    "notice.js" SCRIPT,
    "positions.js" SCRIPT,
    "projection.js" SCRIPT,
    "rate.js" SCRIPT,
    "story.js" SCRIPT,
    "tails.js" SCRIPT,
    "words.js" SCRIPT,
    "world.js" SCRIPT,
];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(|| async { fresh(HTML, PAGE) }))
        .route("/live/{file}", get(|Path(name): Path<String>| async move { file(&name) }))
}

fn file(name: &str) -> Result<Response, Refusal> {
    let found = FILES.iter().find(|(of, ..)| *of == name);
    let (_, kind, text) = found.ok_or_else(|| {
        Refusal::new(ErrorCode::RouteUnknown, "the live page has no file of that name")
    })?;
    Ok(fresh(kind, text))
}

/// Asked for anew each time: page and gateway are to be of one version.
fn fresh(kind: &'static str, text: &'static str) -> Response {
    let mut response = answer(kind, POLICY, text);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `text` loads: the names in its imports, links and script tags.
    fn loaded(text: &str) -> Vec<&str> {
        let marks = ["from \"./", "href=\"/live/", "src=\"/live/"];
        let after = |mark| text.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
        marks.into_iter().flat_map(after).collect()
    }

    #[test]
    fn every_file_that_the_page_loads_is_served_and_no_other() {
        let texts = FILES.iter().map(|(.., text)| *text).chain([PAGE]);
        let mut wanted: Vec<_> = texts.flat_map(loaded).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut served: Vec<_> = FILES.iter().map(|(name, ..)| *name).collect();
        served.sort_unstable();
        assert_eq!(wanted, served);
    }
}
