//! From what went wrong to what the client is told: every handler's error.
//!
//! A refusal travels as an extension of an empty response, so that it is
//! written, and logged with the request's id, in one place: `serve`.

use crate::{
    broker::BrokerError,
    domain::CorruptRecord,
    engine::{EngineError, GroupError},
    runtime::Panicked,
    wire::{ErrorCode, Problem},
};
use axum::{
    http::{StatusCode, header::ALLOW},
    response::{IntoResponse, Response},
};

/// Why a request is refused: what the client may know, and what the log must.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub problem: Problem,
    pub cause: Option<String>,
    /// The gateway that could answer instead.
    pub elsewhere: Option<Box<str>>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Refusal {
        Problem::new(code, detail).into()
    }

    /// Something is wrong with the program itself.
    pub(super) fn internal(cause: impl Into<String>) -> Refusal {
        let problem = Problem::new(ErrorCode::Internal, "something went wrong in the gateway");
        Refusal { problem, cause: Some(cause.into()), elsewhere: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.code.status());
        let mut response = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        response.extensions_mut().insert(Box::new(self));
        response
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal { problem, cause: None, elsewhere: None }
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Refusal {
        let cause = Some(error.to_string());
        Refusal { problem: error.into(), cause, elsewhere: None }
    }
}

impl From<Panicked> for Refusal {
    fn from(error: Panicked) -> Refusal {
        Refusal::internal(error.to_string())
    }
}

impl From<CorruptRecord> for Refusal {
    fn from(error: CorruptRecord) -> Refusal {
        Refusal { problem: error.into(), cause: Some(error.to_string()), elsewhere: None }
    }
}

impl From<BrokerError> for Refusal {
    fn from(error: BrokerError) -> Refusal {
        match error {
            BrokerError::Engine(error) => error.into(),
            BrokerError::Group(GroupError::Elsewhere(address)) => {
                let error = GroupError::Elsewhere(address.clone());
                let cause = Some(error.to_string());
                Refusal { problem: error.into(), cause, elsewhere: Some(address.into()) }
            }
            other => Refusal::from(Problem::from(other)),
        }
    }
}

/// No such address.
pub(super) async fn no_route() -> Refusal {
    Refusal::new(ErrorCode::RouteUnknown, "nothing is served under this path")
}

/// The address is there, but not for this method. The router adds `Allow`.
pub(super) async fn no_method() -> Response {
    let detail = format!("this path does not take this method; see the {ALLOW} header");
    Refusal::new(ErrorCode::MethodNotAllowed, detail).into_response()
}
