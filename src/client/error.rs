//! Why a call to a gateway did not do what it should, in words for people:
//! what happened, its code, what to do, and where more is said.

use crate::wire::ErrorCode;
use serde_json::{Map, Value};
use std::fmt;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address is not one.
    #[error("the server address {0:?} is not a URL such as http://127.0.0.1:8080")]
    Server(String),
    /// Nobody answers there.
    #[error(
        "no answer from {server}: {reason}\n  what to do: start a gateway with `tidegate serve`, or name another with --server"
    )]
    Unreachable {
        /// The address.
        server: String,
        /// What the network said.
        reason: String,
    },
    /// The connection was lost in the middle of a call.
    #[error("the connection to {server} was lost: {reason}")]
    Lost {
        /// The address.
        server: String,
        /// What the network said.
        reason: String,
    },
    /// The gateway refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Something answered, but not a gateway, or not one of this version.
    #[error("{server} answered {status} with something that a gateway does not say: {shown}")]
    Foreign {
        /// The address.
        server: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        shown: String,
    },
    /// A stream ended without saying that it was at its end.
    #[error("the stream was cut before its end: records may be missing")]
    Cut,
    /// What was to be sent could not be read.
    #[error("{0}")]
    Input(String),
}

impl ClientError {
    /// Whether no gateway could be reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, ClientError::Unreachable { .. })
    }
}

/// A problem as the gateway told it (RFC 9457).
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status; 0 when it came in a stream.
    pub status: u16,
    /// What went wrong, for programs.
    pub code: String,
    /// What went wrong in this case.
    pub detail: String,
    /// A page that says more.
    pub help: Option<String>,
    /// Whether the request may have had an effect all the same.
    pub may_have_happened: bool,
    /// What else was said, such as `differences`.
    pub extras: Map<String, Value>,
}

impl Refusal {
    /// Reads problem details; `None` when `problem` is none. `server` makes
    /// the help page's address whole.
    #[must_use]
    pub fn read(server: &str, problem: &Value) -> Option<Refusal> {
        let mut members = problem.as_object()?.clone();
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let code = text("code")?;
        let detail = text("detail").or_else(|| text("title")).unwrap_or_default();
        let help = text("type").map(|page| match page.strip_prefix('/') {
            Some(path) => format!("{server}/{path}"),
            None => page,
        });
        let status = members.remove("status").and_then(|n| n.as_u64()).unwrap_or(0);
        let may_have_happened =
            members.remove("may_have_happened").is_some_and(|v| v == Value::Bool(true));
        for told in ["title", "instance", "retryable"] {
            members.remove(told);
        }
        Some(Refusal {
            status: u16::try_from(status).unwrap_or(0),
            code,
            detail,
            help,
            may_have_happened,
            extras: members,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)?;
        for (name, value) in &self.extras {
            write!(f, "\n  {name}: {value}")?;
        }
        if self.may_have_happened {
            f.write_str("\n  the request may have had an effect all the same")?;
        }
        if let Some(code) = ErrorCode::parse(&self.code) {
            write!(f, "\n  what to do: {}", code.remedy())?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  more: {help}")?;
        }
        Ok(())
    }
}

/// The last words of an error's chain of causes, which say the most.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_says_what_happened_what_to_do_and_where_more_is_said() {
        let problem = json!({
            "type": "/docs/errors/topic_unknown", "title": "Topic unknown", "status": 404,
            "detail": "topic 'x' does not exist", "code": "topic_unknown",
            "retryable": false, "may_have_happened": false, "topic": "x",
        });
        let refusal = Refusal::read("http://h:1", &problem).unwrap();
        let told = refusal.to_string();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], "topic 'x' does not exist (topic_unknown)");
        assert_eq!(lines[1], "  topic: \"x\"");
        assert!(lines[2].starts_with("  what to do: "), "{told}");
        assert_eq!(lines[3], "  more: http://h:1/docs/errors/topic_unknown");
    }

    #[test]
    fn what_is_no_problem_is_not_taken_for_one() {
        assert_eq!(Refusal::read("http://h", &json!({"detail": "x"})), None);
        assert_eq!(Refusal::read("http://h", &json!([1])), None);
    }
}
