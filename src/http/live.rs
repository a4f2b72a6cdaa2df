//! The live page: the recorded earthquakes, or any topic, as they are
//! published, on a map and in a list. Its files lie in `static/live/`; it
//! speaks to the gateway as any other client does.

use super::{App, pages::answer, refusal::Refusal};
use crate::wire::ErrorCode;
use axum::{Router, extract::Path, response::Response, routing::get};
use std::sync::Arc;

/// Scripts, styles and calls of its own origin, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the page: its name, what it is, and what it holds.
type File = (&'static str, &'static str, &'static str);

const PAGE: &str = include_str!("../../static/live/index.html");
const FILES: &[File] = &[
    ("style.css", CSS, include_str!("../../static/live/style.css")),
    ("theme.js", SCRIPT, include_str!("../../static/live/theme.js")),
    ("live.js", SCRIPT, include_str!("../../static/live/live.js")),
    ("event.js", SCRIPT, include_str!("../../static/live/event.js")),
    ("feed.js", SCRIPT, include_str!("../../static/live/feed.js")),
    ("ledger.js", SCRIPT, include_str!("../../static/live/ledger.js")),
    ("list.js", SCRIPT, include_str!("../../static/live/list.js")),
    ("map.js", SCRIPT, include_str!("../../static/live/map.js")),
    ("positions.js", SCRIPT, include_str!("../../static/live/positions.js")),
    ("projection.js", SCRIPT, include_str!("../../static/live/projection.js")),
    ("rate.js", SCRIPT, include_str!("../../static/live/rate.js")),
    ("story.js", SCRIPT, include_str!("../../static/live/story.js")),
    ("tails.js", SCRIPT, include_str!("../../static/live/tails.js")),
    ("words.js", SCRIPT, include_str!("../../static/live/words.js")),
    ("world.js", SCRIPT, include_str!("../../static/live/world.js")),
];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(|| async { answer(HTML, POLICY, PAGE) }))
        .route("/live/{file}", get(|Path(name): Path<String>| async move { file(&name) }))
}

fn file(name: &str) -> Result<Response, Refusal> {
    let found = FILES.iter().find(|(of, ..)| *of == name);
    let (_, kind, text) = found.ok_or_else(|| {
        Refusal::new(ErrorCode::RouteUnknown, "the live page has no file of that name")
    })?;
    Ok(answer(kind, POLICY, *text))
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
