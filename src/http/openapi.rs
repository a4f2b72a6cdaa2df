//! The map of addresses, and the OpenAPI document that is made of it: a route
//! and its documentation are one line.

use super::{App, groups, members, ops, poll, publish, read, topics};
use crate::wire::{ControlLine, NewRecord, ProblemBody, ReadRecord};
use axum::Router;
use std::sync::Arc;
use utoipa::{
    OpenApi,
    openapi::{RefOr, Required, path::Operation},
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// What the document says beside the calls.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "tidegate",
        description = "A pub/sub messaging gateway: a durable, partitioned log over HTTP. \
            Records are published to topics, kept in order in their partitions, and read back \
            from anywhere, live or from history.\n\n\
            Refusals are problem details (RFC 9457) with a `code`; each has a page under \
            `/docs/errors/`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "topics", description = "Make, describe, change and delete topics."),
        (name = "publishing", description = "Put records into a topic."),
        (name = "reading", description = "Get records out, a page at a time or as a stream."),
        (name = "groups", description = "Share the work of topics, and remember how far it has come."),
        (name = "operations", description = "For those who run the gateway."),
    ),
    components(schemas(ProblemBody, ControlLine, NewRecord, ReadRecord, read::ValueForm)),
)]
struct Document;

fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(topics::list_topics))
        .routes(routes!(
            topics::put_topic,
            topics::get_topic,
            topics::patch_topic,
            topics::delete_topic
        ))
        .routes(routes!(topics::trim_topic))
        .routes(routes!(publish::publish, read::read_topic))
        .routes(routes!(read::read_topics))
        .routes(routes!(topics::find_offset))
        .routes(routes!(groups::list_groups))
        .routes(routes!(groups::get_group, groups::delete_group))
        .routes(routes!(members::join_group))
        .routes(routes!(members::leave_group))
        .routes(routes!(poll::poll_member))
        .routes(routes!(members::renew_member))
        .routes(routes!(members::release_partitions))
        .routes(routes!(groups::commit_offsets, groups::get_commits))
        .routes(routes!(groups::reset_commits))
        .routes(routes!(ops::healthz))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
}

/// Every call of the API.
pub(super) fn routes() -> Router<Arc<App>> {
    documented().split_for_parts().0
}

/// What no macro says: which bodies may be left out. A topic is made with the settings of the
/// server, and a member gives up whatever it was asked for.
fn completed(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let paths = &mut document.paths.paths;
    let topic = paths.get_mut("/v1/topics/{topic}").and_then(|path| path.put.as_mut());
    spare_the_body(topic);
    let release = "/v1/groups/{group}/members/{member}/release";
    spare_the_body(paths.get_mut(release).and_then(|path| path.post.as_mut()));
    document
}

fn spare_the_body(operation: Option<&mut Operation>) {
    if let Some(RefOr::T(body)) = operation.and_then(|call| call.request_body.as_mut()) {
        body.required = Some(Required::False);
    }
}

/// The OpenAPI document, as it is served and committed.
#[must_use]
pub fn document() -> String {
    let (_, document) = documented().split_for_parts();
    let mut text = completed(document).to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
