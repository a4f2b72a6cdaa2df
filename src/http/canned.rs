//! Answers to clients that never became a request: written as they stand here,
//! before or without the machinery.

use crate::wire::{ErrorCode, PROBLEM_JSON, Problem};
use std::sync::LazyLock;

/// To a client whose headers did not come in time.
pub(super) static HEADERS_TOO_SLOW: LazyLock<String> = LazyLock::new(|| {
    answer(&Problem::new(ErrorCode::BodyTimeout, "the request's headers did not come in time"))
});

/// To one connection more than there may be.
pub(super) static TOO_MANY_CONNECTIONS: LazyLock<String> = LazyLock::new(|| {
    answer(&Problem::new(ErrorCode::TooBusy, "there are as many connections as there may be"))
});

fn answer(problem: &Problem) -> String {
    let status = problem.code.status();
    let reason = match status {
        408 => "Request Timeout",
        _ => "Service Unavailable",
    };
    let retry = problem.code.retry_after_secs();
    let retry = retry.map_or(String::new(), |seconds| format!("retry-after: {seconds}\r\n"));
    let body = String::from_utf8(problem.to_json()).unwrap_or_default();
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {PROBLEM_JSON}\r\nconnection: close\r\n\
         {retry}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
